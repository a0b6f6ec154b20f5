//! `netspace up`: starts a lab in a process of its own, and comes back when it is ready.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use netspace_lab::run::RunError;
use serde::{Deserialize, Serialize};

use crate::args::{DaemonArgs, UpArgs};
use crate::labfile;
use crate::output::{BadInput, bad_input, message};
use crate::running::{Options, Running, lab_error};

/// Marks the line with which the started process tells how its start went; other lines are messages.
const MARK: char = '\u{1}';

/// How a start went.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    Ready,
    Failed { message: String, bad_input: bool },
}

/// Starts the lab in the background.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<u8> {
    if args.lab.as_os_str() == "-" {
        return Err(bad_input("a lab in the background needs a file: standard input will be gone"));
    }
    // What is wrong with the file is told here, on the user's own terminal.
    let loaded = labfile::load(&args.lab)?;
    let name = loaded.plan.name.clone();
    let mut command = Command::new("/proc/self/exe");
    command.arg0("netspace").arg("__lab").arg(&args.lab);
    if let Some(dir) = &args.pcap {
        command.arg("--pcap").arg(dir);
    }
    if let Some(seed) = args.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    let (reader, writer) = io::pipe()?;
    let copy = writer.try_clone()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(writer))
        .stderr(Stdio::from(copy))
        .spawn()
        .context("cannot start the lab's process")?;
    // It holds our copies of the pipe's end; only the lab's process may.
    drop(command);
    match outcome(reader)? {
        Some(Outcome::Ready) => {
            message(format_args!(
                "lab {name} is up: `netspace exec HOST -- CMD`, `netspace shell HOST`, `netspace down`"
            ));
            Ok(0)
        }
        Some(Outcome::Failed { message, bad_input: true }) => {
            child.wait()?;
            Err(BadInput(message).into())
        }
        Some(Outcome::Failed { message, .. }) => {
            child.wait()?;
            bail!(message)
        }
        None => bail!("the lab's process ended in its start: {}", child.wait()?),
    }
}

/// Shows messages until the start is over.
fn outcome(reader: io::PipeReader) -> anyhow::Result<Option<Outcome>> {
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix(MARK) {
            Some(json) => return Ok(Some(serde_json::from_str(json)?)),
            None => message(format_args!("{line}")),
        }
    }
    Ok(None)
}

/// The process behind `up`.
pub(crate) fn daemon(args: &DaemonArgs) -> anyhow::Result<u8> {
    // A session of its own: neither a closed terminal nor Ctrl-C reaches it.
    let _ = rustix::process::setsid();
    let mut running = match start(args) {
        Ok(running) => running,
        Err(error) => {
            let bad_input = error.downcast_ref::<BadInput>().is_some();
            tell(&Outcome::Failed { message: format!("{error:#}"), bad_input })?;
            return Ok(1);
        }
    };
    let result = to_log(&running).and_then(|stdout| serve(&mut running, stdout));
    running.end();
    result.map(|()| 0)
}

fn start(args: &DaemonArgs) -> anyhow::Result<Running> {
    let loaded = labfile::load_quietly(&args.lab)?;
    let options = Options { seed: args.seed, pcap: args.pcap.as_deref(), background: true };
    let mut running = Running::start(loaded, options)?;
    match running.start_programs() {
        Ok(()) => Ok(running),
        Err(error) => {
            running.end();
            Err(lab_error(error))
        }
    }
}

fn tell(outcome: &Outcome) -> anyhow::Result<()> {
    let line = format!("{MARK}{}\n", serde_json::to_string(outcome)?);
    io::stdout().write_all(line.as_bytes())?;
    io::stdout().flush()?;
    Ok(())
}

/// From here on, messages go to the lab's log; gives what standard output was.
fn to_log(running: &Running) -> anyhow::Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let dir = running.session.dir().context("the lab has no directory")?;
    let path = dir.path().join("log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = log.with_context(|| format!("cannot open {}", path.display()))?;
    rustix::stdio::dup2_stdout(&log)?;
    rustix::stdio::dup2_stderr(&log)?;
    Ok(stdout)
}

/// Says that the lab is ready, then serves it until it is to stop.
fn serve(running: &mut Running, stdout: std::os::fd::OwnedFd) -> anyhow::Result<()> {
    let line = format!("{MARK}{}\n", serde_json::to_string(&Outcome::Ready)?);
    let mut stdout = std::fs::File::from(stdout);
    // Whoever waits for it has given up: then nobody knows of this lab.
    stdout.write_all(line.as_bytes()).context("the starter has gone")?;
    drop(stdout);
    match running.lab.drive(None, &mut running.session, |_| false) {
        Ok(_) | Err(RunError::Stopped) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
