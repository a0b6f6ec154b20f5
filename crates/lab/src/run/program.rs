//! Launching programs on hosts.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;

use netspace_door::{Launch, ProgramId, Session};

use crate::file::suggest;

use super::output::NewPipe;
use super::{Lab, RunError};

/// How many of a program's last lines are kept, for messages.
const LAST_LINES: usize = 20;

/// A program of the lab.
#[derive(Debug)]
pub struct Program {
    /// The host it runs on.
    pub host: String,
    /// Its name: its command's first word, without the directory.
    pub name: String,
    /// Its command.
    pub command: Vec<String>,
    /// Whether it is a background program of the file.
    pub background: bool,
    last: VecDeque<String>,
    pub(super) wants: Option<String>,
    pub(super) said: bool,
}

impl Program {
    /// Keeps a line for messages, and notes the one that tells of readiness.
    pub(super) fn remember(&mut self, line: &str) {
        if self.wants.as_ref().is_some_and(|w| line.contains(w)) {
            self.said = true;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// Its last lines, each behind a line break.
    pub(super) fn last_lines(&self) -> String {
        self.last.iter().map(|line| format!("\n  {line}")).collect()
    }
}

/// Where a program's standard descriptors lead.
#[derive(Debug)]
pub enum Stdio {
    /// Nothing to read; what it writes comes as [`super::LabEvent::Output`], line by line.
    Lines,
    /// Nothing to read; what it writes is kept ([`Lab::captured`]).
    Capture,
    /// These, and perhaps a terminal.
    Fds {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
        /// A pseudo-terminal's slave, to be its controlling terminal.
        tty: Option<OwnedFd>,
    },
}

/// A program to start.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The host.
    pub host: &'a str,
    /// Its words; the first may be `netspace`, the running binary.
    pub argv: &'a [String],
    /// Environment variables on top of the host's.
    pub env: &'a [(String, String)],
    /// Its standard descriptors.
    pub stdio: Stdio,
    /// Its session.
    pub session: Session,
    /// Its working directory; none: the lab's.
    pub cwd: Option<std::path::PathBuf>,
}

impl<'a> Spawn<'a> {
    /// A program whose lines come as events.
    pub const fn lines(host: &'a str, argv: &'a [String]) -> Self {
        Self { host, argv, env: &[], stdio: Stdio::Lines, session: Session::Own, cwd: None }
    }
}

impl Lab {
    /// Starts a program on a host.
    pub fn spawn(&mut self, spawn: Spawn<'_>) -> Result<ProgramId, RunError> {
        let host = spawn.host;
        let Some(ns) = self.world.host_id(host) else {
            let names = self.world.plan().nodes.iter().map(|n| n.name.as_str());
            let help =
                suggest::nearest(host, names).map(|n| format!(": did you mean `{n}`?")).unwrap_or_default();
            return Err(RunError::NoHost { name: host.to_owned(), help });
        };
        let (stdin, stdout, stderr, tty, readers) = descriptors(spawn.stdio)?;
        let launch = Launch {
            ns,
            argv: c_strings(self.resolve(spawn.argv))?,
            env: c_strings(self.environment(host, spawn.env))?,
            cwd: spawn.cwd.unwrap_or_else(|| self.options.cwd.clone()),
            stdin,
            stdout,
            stderr,
            tty,
            session: spawn.session,
            run_as: self.options.run_as,
        };
        let id =
            self.world.launch(launch).map_err(|error| RunError::Launch { host: host.to_owned(), error })?;
        let name = spawn.argv.first().map_or("", String::as_str);
        self.programs.insert(
            id,
            Program {
                host: host.to_owned(),
                name: name.rsplit('/').next().unwrap_or(name).to_owned(),
                command: spawn.argv.to_vec(),
                background: false,
                last: VecDeque::new(),
                wants: None,
                said: false,
            },
        );
        if let Some((out, err, capture)) = readers {
            self.add_pipe(out, id, false, capture)?;
            self.add_pipe(err, id, true, capture)?;
        }
        Ok(id)
    }

    /// What a program started with [`Stdio::Capture`] has written so far: standard output and error. Taken once.
    pub fn captured(&mut self, program: ProgramId) -> (Vec<u8>, Vec<u8>) {
        (self.pipes.captured(program, false), self.pipes.captured(program, true))
    }

    /// `netspace` is the running binary, wherever it lies.
    fn resolve(&self, argv: &[String]) -> Vec<String> {
        let mut argv = argv.to_vec();
        if let Some(first) = argv.first_mut().filter(|w| *w == "netspace") {
            *first = self.options.netspace.to_string_lossy().into_owned();
        }
        argv
    }

    /// The options' environment, then the host's, then the program's; and a `PATH` on which `netspace` is found.
    fn environment(&self, host: &str, own: &[(String, String)]) -> Vec<String> {
        let mut env: BTreeMap<String, String> = self.options.env.iter().cloned().collect();
        let path = env.get("PATH").cloned().unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
        let directory = self.options.netspace.parent().map(|d| d.to_string_lossy().into_owned());
        // Administrators' tools (ip, tcpdump, sshd) lie where a plain user's PATH does not look.
        let mut parts: Vec<&str> = path.split(':').collect();
        for sbin in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
            if !parts.contains(&sbin) {
                parts.push(sbin);
            }
        }
        parts.extend(directory.as_deref());
        env.insert("PATH".into(), parts.join(":"));
        env.insert("HOSTNAME".into(), host.to_owned());
        env.insert("NETSPACE_HOST".into(), host.to_owned());
        env.insert("NETSPACE_LAB".into(), self.world.plan().name.clone());
        let node = self.world.plan().nodes.iter().find(|n| n.name == host);
        env.extend(node.into_iter().flat_map(|n| n.env.iter().cloned()));
        env.extend(own.iter().cloned());
        env.into_iter().map(|(k, v)| format!("{k}={v}")).collect()
    }
}

type Descriptors = (OwnedFd, OwnedFd, OwnedFd, Option<OwnedFd>, Option<(OwnedFd, OwnedFd, bool)>);

fn descriptors(stdio: Stdio) -> io::Result<Descriptors> {
    let capture = matches!(stdio, Stdio::Capture);
    if let Stdio::Fds { stdin, stdout, stderr, tty } = stdio {
        return Ok((stdin, stdout, stderr, tty, None));
    }
    let null: OwnedFd = File::open("/dev/null")?.into();
    let (out, err) = (NewPipe::new()?, NewPipe::new()?);
    let (out_write, err_write) = (out.write.try_clone()?, err.write.try_clone()?);
    Ok((null, out_write, err_write, None, Some((out.reader(), err.reader(), capture))))
}

fn c_strings(words: Vec<String>) -> io::Result<Vec<CString>> {
    let bad = |_| io::Error::new(io::ErrorKind::InvalidInput, "a word or variable holds a zero byte");
    words.into_iter().map(|w| CString::new(w).map_err(bad)).collect()
}

/// A file for a program's output, opened for appending.
pub fn log_file(path: &std::path::Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().create(true).append(true).open(path)?.into())
}
