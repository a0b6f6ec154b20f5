//! `netspace exec` and `netspace shell`: a program on a host of a running lab, on this terminal.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags};

use crate::args::{ExecArgs, ShellArgs};
use crate::control::{Client, Exec, Reply, Request, Text};
use crate::output::{bad_input, error};
use crate::runtime::{self, LabInfo};
use crate::terminal::{self, Pty, RawMode, Relay, Relayed, Signals};

/// Signals that are passed on to a program that has no terminal of its own.
const PASSED_ON: [i32; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];
/// Signals that concern a terminal passed through.
const OF_TERMINAL: [i32; 4] = [libc::SIGWINCH, libc::SIGTERM, libc::SIGHUP, libc::SIGINT];

/// Runs a command; its exit code is ours.
pub(crate) fn exec(args: &ExecArgs) -> anyhow::Result<u8> {
    let lab = runtime::choose(args.lab.lab.as_deref())?;
    run(&lab, &args.host, args.cmd.clone())
}

/// Opens a shell.
pub(crate) fn shell(args: &ShellArgs) -> anyhow::Result<u8> {
    let lab = runtime::choose(args.lab.lab.as_deref())?;
    let shell =
        std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    run(&lab, &args.host, vec![shell])
}

fn run(lab: &LabInfo, host: &str, argv: Vec<OsString>) -> anyhow::Result<u8> {
    let mut client = Client::connect(lab)?;
    let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let env = std::env::vars_os().map(|(name, value)| (Text::from(name), Text::from(value)));
    let tty = terminal::is_interactive();
    let request = Request::Exec(Exec {
        host: host.to_owned(),
        argv: argv.into_iter().map(Text::from).collect(),
        env: env.collect(),
        cwd: Text::from(cwd.into_os_string()),
        tty,
    });
    if tty { on_terminal(&mut client, &request) } else { with_descriptors(&mut client, &request) }
}

/// What an answer means: the program has started (none), or all is over.
fn outcome(reply: Option<Reply>) -> anyhow::Result<Option<u8>> {
    match reply {
        Some(Reply::Started { .. }) => Ok(None),
        Some(Reply::Exited { code, signal }) => Ok(Some(exit_code(code, signal))),
        Some(Reply::Error { message, code: 2 }) => Err(bad_input(message)),
        Some(Reply::Error { message, code }) => {
            error(&message);
            Ok(Some(code))
        }
        Some(_) => bail!("the lab gave an answer to another question"),
        None => bail!("the lab has gone, and the program with it"),
    }
}

/// As shells give it: the code, or 128 + the signal.
pub(crate) fn exit_code(code: Option<i32>, signal: Option<i32>) -> u8 {
    let code = code.unwrap_or_else(|| 128 + signal.unwrap_or(0));
    // Exit codes have eight bits.
    (code & 0xff) as u8
}

/// Passes our own descriptors: the program reads and writes them directly.
fn with_descriptors(client: &mut Client, request: &Request) -> anyhow::Result<u8> {
    let signals = Signals::catch(&PASSED_ON)?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    client.send(request, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
    loop {
        if !client.has_reply() {
            let (lab, signal) = (client.fd(), signals.fd());
            let mut fds = [PollFd::new(&lab, PollFlags::IN), PollFd::new(&signal, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait"),
            }
            let ready = !fds[0].revents().is_empty();
            for signal in signals.take() {
                client.send(&Request::Signal { signal }, &[])?;
            }
            if !ready {
                continue;
            }
        }
        let reply = client.receive()?;
        if let Some(code) = outcome(reply)? {
            return Ok(code);
        }
    }
}

/// Gives the program a terminal of its own and carries bytes between it and ours.
fn on_terminal(client: &mut Client, request: &Request) -> anyhow::Result<u8> {
    let signals = Signals::catch(&OF_TERMINAL)?;
    let Pty { master, slave } = Pty::open()?;
    client.send(request, &[slave.as_fd()])?;
    // Only the program holds it from here on: when it goes, we see the end.
    drop(slave);
    let first = client.receive()?;
    if let Some(code) = outcome(first)? {
        return Ok(code);
    }
    let raw = RawMode::enter().context("cannot use this terminal")?;
    let mut relay = Relay::new(&master)?;
    let code = loop {
        if !client.has_reply() {
            match relay.run(client.fd(), &signals)? {
                Relayed::Reply => {}
                Relayed::Signals(came) => {
                    // Our terminal has gone, or somebody ends us: the program is hung up on when we go.
                    if let Some(signal) = came.iter().find(|signal| **signal != libc::SIGWINCH) {
                        break exit_code(None, Some(*signal));
                    }
                    terminal::copy_window_size(&master);
                    continue;
                }
            }
        }
        let reply = client.receive()?;
        if let Some(code) = outcome(reply)? {
            break code;
        }
    };
    relay.drain()?;
    drop(raw);
    Ok(code)
}
