//! `netspace demo`: an embedded lab on which this binary is server and client; what happened is then told in plain words.

mod flow;
mod page;
mod print;
mod story;

use std::io::{self, Write};

use anyhow::{Context, bail};
use netspace_base::{Duration, Event};
use netspace_lab::run::{RunError, Spawn, Stdio};
use netspace_observe::Storyteller;

use crate::args::DemoArgs;
use crate::commands::exec::exit_code;
use crate::labfile;
use crate::output::{BOLD, DIM, Out, VALUE};
use crate::running::{Options, Running, lab_error};
use crate::session::Names as LabNames;
use flow::{Flow, Names};

/// The demo's lab.
const LAB: &str = "\
name: demo
hosts:
  client: {}
  server:
    run:
      - cmd: netspace tool http -4 --port 80 --once
        ready: {port: 80}
routers: {router: {}}
switches: {switch: {}}
links:
  - client -- switch
  - switch -- router
  - router -- server
";

/// What the client sends, and where.
const BODY: &str = r#"{"item":"tea","cups":2}"#;
const URL: &str = "http://server/orders";
const PORT: u16 = 80;
/// How long the client may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the last segments of the close may take after the client's end.
const CLOSING: Duration = Duration::from_millis(100);

const TRY_NEXT: &str = "\
netspace run LAB.yaml                      a network of your own, its checks
netspace run LAB.yaml --on client -- curl http://server/   your own programs
netspace up LAB.yaml; netspace shell client        a shell on one of its hosts
netspace link gw--server set delay 80ms loss 5%          a worse link, live
netspace trace server tcp           each packet, live; drops and their reason";

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    let loaded = labfile::load_text(LAB, "the demo's lab", None, |_| {})?;
    let mut running = Running::start(loaded, Options::default())?;
    running.session.show_output = false;
    let result = request(&mut running);
    let names = running.session.names().clone();
    running.end();
    let (events, answer) = match result {
        Ok(got) => got,
        Err(error) => return Err(error.context("the demo could not be run (see `netspace doctor`)")),
    };
    let mut out = Out::new();
    if args.json {
        let mut storyteller = Storyteller::default();
        for event in &events {
            writeln!(out, "{}", storyteller.record(event, &names).to_json())?;
        }
    } else {
        print(&mut out, &events, &names, &answer)?;
    }
    out.flush()?;
    Ok(0)
}

/// Sends the request; gives all events, and what the client printed.
fn request(running: &mut Running) -> anyhow::Result<(Vec<Event>, String)> {
    running.start_programs().map_err(lab_error)?;
    running.session.recorded = Some(Vec::new());
    running.lab.world.set_trace(true);
    let argv = ["netspace", "tool", "fetch", "-4", "--data", BODY, URL].map(str::to_owned);
    let spawn = Spawn { stdio: Stdio::Capture, ..Spawn::lines("client", &argv) };
    let client = running.lab.spawn(spawn).map_err(lab_error)?;
    let deadline = running.lab.world.now() + PATIENCE;
    let drive = |running: &mut Running, deadline, until_exit: bool| -> Result<bool, RunError> {
        running.lab.drive(Some(deadline), &mut running.session, |lab| {
            until_exit && lab.exit_status(client).is_some()
        })
    };
    let ended = drive(running, deadline, true).map_err(lab_error)?;
    let closing = running.lab.world.now() + CLOSING;
    drive(running, closing, false).map_err(lab_error)?;
    let (stdout, stderr) = running.lab.captured(client);
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    if !ended {
        bail!("the client did not end within {} s: {stderr}", PATIENCE.as_secs());
    }
    let status = running.lab.exit_status(client).context("the client has ended")?;
    if !status.success() {
        bail!("the client ended with exit code {}: {stderr}", exit_code(status.code(), None));
    }
    let events = running.session.recorded.take().unwrap_or_default();
    Ok((events, String::from_utf8_lossy(&stdout).into_owned()))
}

fn print(out: &mut Out, events: &[Event], lab_names: &LabNames, answer: &str) -> anyhow::Result<()> {
    let names = Names {
        hosts: lab_names.hosts().map(|(ns, name)| (ns, name.to_owned())).collect(),
        devices: lab_names.devices().clone(),
    };
    let flow = Flow::find(events, PORT).context("no connection is among the events")?;
    let mut parts = vec![introduction()?];
    parts.extend(print::story(&story::tell(&flow, &names))?);
    parts.push(end(events, &flow, answer)?);
    page::write(out, &parts)?;
    Ok(())
}

fn introduction() -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    writeln!(out, "{BOLD}One request, from program to program{BOLD:#}")?;
    writeln!(out, "\n  {VALUE}client ─── switch ─── router ─── server{VALUE:#}\n")?;
    let text = format!("A program on client sends {BODY} to {URL}. Every step below happened just now.");
    for line in print::wrap(&text, 78) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{DIM}+ is the time since the line before it.{DIM:#}\n")?;
    Ok(out)
}

fn end(events: &[Event], flow: &Flow<'_>, answer: &str) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let (first, last) = (events.first().map(|e| e.at), events.last().map(|e| e.at));
    if let (Some(first), Some(last)) = (first, last) {
        let (segments, all) = (flow.segments.len(), print::since(first, last));
        writeln!(out, "{segments} segments, {} events, {all} in all. The client printed:", events.len())?;
    }
    for line in print::wrap(answer.trim_end(), 76) {
        writeln!(out, "  {DIM}{line}{DIM:#}")?;
    }
    writeln!(out, "\n{BOLD}What to try next{BOLD:#}")?;
    for line in TRY_NEXT.lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
