//! `netspace run`: starts a lab, runs its checks or one command, stops it.

use std::io::{self, Write};
use std::os::fd::AsFd;

use netspace_door::Session as ProgramSession;
use netspace_lab::run::{CheckReport, Outcome, RunError, Spawn, Stdio};
use serde::Serialize;

use crate::args::RunArgs;
use crate::commands::exec::exit_code;
use crate::labfile;
use crate::output::{Out, bad_input, error, message};
use crate::running::{Options, Running, lab_error};
use crate::session::{OnSignal, exit_code_of, find_host_in};

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    lab: &'a str,
    ok: bool,
    checks: &'a [CheckReport],
}

/// Runs the lab; gives the exit code.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let loaded = labfile::load(&args.lab)?;
    if let Some(host) = &args.on {
        find_host_in(loaded.plan.nodes.iter().map(|node| node.name.as_str()), host).map_err(bad_input)?;
    }
    let options = Options { seed: args.seed, pcap: args.pcap.as_deref(), background: false };
    let mut running = Running::start(loaded, options)?;
    running.session.show_output = args.on.is_none() && !args.quiet;
    let result = work(&mut running, args);
    running.end();
    result
}

fn work(running: &mut Running, args: &RunArgs) -> anyhow::Result<u8> {
    match started(running, args) {
        // A signal or `netspace down`.
        Err(RunError::Stopped) => Ok(match (running.session.stopped_by(), &args.on) {
            (Some(signal), _) => exit_code(None, Some(signal)),
            (None, Some(_)) => exit_code(None, Some(libc::SIGTERM)),
            // The checks that were still to come do not hold.
            (None, None) => 1,
        }),
        Err(error) => Err(lab_error(error)),
        Ok(Done::Code(code)) => Ok(code),
        Ok(Done::Checked(reports)) => {
            let ok = reports.iter().all(|report| report.outcome == Outcome::Ok);
            if args.json {
                let mut out = Out::new();
                out.json(&Report { lab: &running.lab.world.plan().name, ok, checks: &reports })?;
                out.flush()?;
            }
            Ok(u8::from(!ok))
        }
    }
}

enum Done {
    /// The command has ended with this code.
    Code(u8),
    /// The checks have been made.
    Checked(Vec<CheckReport>),
}

fn started(running: &mut Running, args: &RunArgs) -> Result<Done, RunError> {
    running.start_programs()?;
    if let Some(host) = &args.on {
        return command(running, host, args).map(Done::Code);
    }
    running.session.show_checks = !args.json;
    let plan = running.lab.world.plan().clone();
    if plan.checks.is_empty() {
        wait(running, args.quiet)?;
        return Ok(Done::Checked(Vec::new()));
    }
    running.lab.run_checks(&mut running.session).map(Done::Checked)
}

/// Runs the command on this terminal, as if it had been typed here.
fn command(running: &mut Running, host: &str, args: &RunArgs) -> Result<u8, RunError> {
    let mut argv = Vec::new();
    for arg in &args.cmd {
        match arg.to_str() {
            Some(arg) => argv.push(arg.to_owned()),
            None => {
                return Err(
                    io::Error::new(io::ErrorKind::InvalidInput, format!("{arg:?} is not UTF-8")).into()
                );
            }
        }
    }
    let stdio = Stdio::Fds {
        stdin: io::stdin().as_fd().try_clone_to_owned()?,
        stdout: io::stdout().as_fd().try_clone_to_owned()?,
        stderr: io::stderr().as_fd().try_clone_to_owned()?,
        tty: None,
    };
    let spawn = Spawn { stdio, session: ProgramSession::Caller, ..Spawn::lines(host, &argv) };
    let program = match running.lab.spawn(spawn) {
        Ok(program) => program,
        Err(launch @ RunError::Launch { .. }) => {
            error(&launch);
            return Ok(exit_code_of(&launch));
        }
        Err(other) => return Err(other),
    };
    running.session.on_signal = OnSignal::PassOn(program);
    running.lab.drive(None, &mut running.session, |lab| lab.exit_status(program).is_some())?;
    let status = running.lab.exit_status(program);
    let signal = status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status));
    Ok(exit_code(status.and_then(|status| status.code()), signal))
}

/// A lab without checks runs as long as its programs do.
fn wait(running: &mut Running, quiet: bool) -> Result<(), RunError> {
    if running.lab.world.programs().is_empty() {
        if !quiet {
            message(format_args!(
                "the lab has no checks and runs no programs; `netspace up` keeps one running"
            ));
        }
        return Ok(());
    }
    if !quiet {
        message(format_args!("the lab has no checks: it runs until its programs end, or Ctrl-C"));
    }
    let ended = running.lab.drive(None, &mut running.session, |lab| lab.world.programs().is_empty());
    match ended {
        // That is how such a lab is meant to end.
        Err(RunError::Stopped) => Ok(()),
        other => other.map(drop),
    }
}
