//! `netspace ps`: running labs, their hosts, programs and addresses.

use std::io::{self, Write};

use anyhow::bail;

use crate::args::PsArgs;
use crate::control::{Client, LabState, Reply, Request};
use crate::output::{BAD, BOLD, DIM, Out, VALUE, WARN, message, warning};
use crate::runtime;

/// Below this, time fidelity is worth a warning, percent.
const FIDELITY_FINE: f64 = 99.0;

/// Lists what runs.
pub(crate) fn run(args: &PsArgs) -> anyhow::Result<u8> {
    let labs = match &args.lab {
        Some(name) => vec![runtime::choose(Some(name))?],
        None => runtime::running()?,
    };
    let mut states = Vec::new();
    for lab in &labs {
        match ask(lab) {
            Ok(state) => states.push(state),
            // It may have ended meanwhile; then it does not run.
            Err(_) if args.lab.is_none() && !runtime::is_alive(lab)? => {}
            Err(error) => warning(&format!("lab {}: {error:#}", lab.name)),
        }
    }
    let mut out = Out::new();
    if args.json {
        out.json(&states)?;
    } else {
        for (i, state) in states.iter().enumerate() {
            if i > 0 {
                writeln!(out)?;
            }
            print(&mut out, state)?;
        }
        if states.is_empty() {
            message(format_args!("no lab is running"));
        }
    }
    out.flush()?;
    Ok(0)
}

fn ask(lab: &runtime::LabInfo) -> anyhow::Result<LabState> {
    match Client::connect(lab)?.ask(&Request::Ps)? {
        Reply::Lab(state) => Ok(state),
        _ => bail!("an answer to another question"),
    }
}

fn print(out: &mut Out, lab: &LabState) -> io::Result<()> {
    let file = lab.file.as_deref().unwrap_or("standard input");
    writeln!(out, "{BOLD}{}{BOLD:#}  {file}", lab.name)?;
    let fidelity = lab.time_fidelity_percent;
    let style = if fidelity >= FIDELITY_FINE { DIM } else { WARN };
    writeln!(
        out,
        "{DIM}process {}, up {}, {DIM:#}{style}time fidelity {fidelity:.1} %{style:#}",
        lab.pid,
        duration(lab.uptime_seconds)
    )?;
    let width = lab.hosts.iter().map(|host| host.name.chars().count()).max().unwrap_or(0).max(4);
    for host in &lab.hosts {
        let mut name = host.name.as_str();
        for interface in &host.interfaces {
            let addresses = interface.addresses.join(" ");
            let down = if interface.up { "" } else { " down" };
            let kind = if name.is_empty() { "" } else { host.kind.as_str() };
            write!(out, "  {BOLD}{name:<width$}{BOLD:#}  {kind:<6}  {}", interface.name)?;
            if !addresses.is_empty() {
                write!(out, "  {VALUE}{addresses}{VALUE:#}")?;
            }
            writeln!(out, "{BAD}{down}{BAD:#}")?;
            name = "";
        }
        if host.interfaces.is_empty() {
            writeln!(out, "  {BOLD}{name:<width$}{BOLD:#}  {}", host.kind)?;
        }
        for program in &host.programs {
            writeln!(out, "  {:<width$}  {DIM}{:>6}{DIM:#}  {}", "", program.pid, program.command)?;
        }
    }
    Ok(())
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}
