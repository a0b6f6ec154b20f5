//! Running a lab: setup commands, background programs, checks, and the end of it all.
//!
//! ```text
//! Lab::start ─▶ setup (each host's commands, in order) ─▶ programs (wait until ready) ─▶ checks (retried) ─▶ stop
//! ```
//! A [`Lab`] is a [`World`] with its programs. Each of the calls above drives the world until it is done; a [`Watcher`]
//! sees what happens meanwhile (lines of output, ends of programs, descriptors of its own).

mod check;
mod output;
mod program;
mod start;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use netspace_base::Instant;
use netspace_door::{LaunchError, ProgramId};

use crate::world::World;

pub use check::{CheckReport, Outcome};
pub use program::{Program, Spawn, Stdio, log_file};

use output::Pipes;

/// How many ended programs are remembered.
const ENDED_MAX: usize = 1024;

/// How programs are run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What the word `netspace` means in a lab file's commands: the running binary.
    pub netspace: PathBuf,
    /// The environment of all programs; a node's and a program's own come on top.
    pub env: Vec<(String, String)>,
    /// Their working directory.
    pub cwd: PathBuf,
    /// User and group to run them as, where we are root.
    pub run_as: Option<(u32, u32)>,
}

impl RunOptions {
    /// This process's binary, environment and directory.
    pub fn from_this_process() -> io::Result<Self> {
        let text = |s: std::ffi::OsString| s.into_string().ok();
        let env = std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect();
        Ok(Self { netspace: std::env::current_exe()?, env, cwd: std::env::current_dir()?, run_as: None })
    }
}

/// Something that happened in a running lab.
#[derive(Clone, Debug)]
pub enum LabEvent {
    /// A program wrote a line.
    Output {
        /// The host it runs on.
        host: String,
        /// Its name.
        program: String,
        /// Whether to standard error.
        stderr: bool,
        /// The line, without its end.
        line: String,
    },
    /// A background program of the file started.
    Started {
        /// The host it runs on.
        host: String,
        /// Its name.
        program: String,
    },
    /// A program ended.
    Exited {
        /// The host it ran on.
        host: String,
        /// Its name.
        program: String,
        /// How.
        status: ExitStatus,
        /// Whether it is a background program of the file, which was to run as long as the lab.
        background: bool,
    },
    /// A check has come to its end.
    Checked(CheckReport),
}

/// Sees what happens while a lab is driven.
pub trait Watcher {
    /// Called after each turn of the loop, with the tokens of watched descriptors that are ready
    /// ([`World::watch`]; tokens below 2⁶²).
    fn on_step(&mut self, lab: &mut Lab, ready: &[u64]);

    /// Whether to give up what is being waited for (the user pressed Ctrl-C).
    fn stop(&self) -> bool {
        false
    }
}

/// Sees nothing.
impl Watcher for () {
    fn on_step(&mut self, _: &mut Lab, _: &[u64]) {}
}

/// Why a lab could not be started or run on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system refused something.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stack refused the plan.
    #[error(transparent)]
    Build(#[from] crate::world::BuildError),
    /// There is no host of this name.
    #[error("there is no host `{name}`{help}")]
    NoHost {
        /// The name.
        name: String,
        /// What was probably meant.
        help: String,
    },
    /// A program could not be started.
    #[error("on {host}: {error}")]
    Launch {
        /// The host.
        host: String,
        /// Why.
        error: LaunchError,
    },
    /// A setup command failed.
    #[error("setup of {host}: `{command}` {status}{output}")]
    Setup {
        /// The host.
        host: String,
        /// The command.
        command: String,
        /// How it ended, in words.
        status: String,
        /// What it wrote last, each line behind a line break.
        output: String,
    },
    /// A background program ended or did not become ready.
    #[error("{host}: `{program}` {what}{output}")]
    NotReady {
        /// The host.
        host: String,
        /// The program.
        program: String,
        /// What happened.
        what: String,
        /// What it wrote last, each line behind a line break.
        output: String,
    },
    /// The watcher asked to stop.
    #[error("stopped")]
    Stopped,
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    /// Its hosts, links and clock.
    pub world: World,
    options: RunOptions,
    programs: BTreeMap<ProgramId, Program>,
    pipes: Pipes,
    events: Vec<LabEvent>,
    ended: BTreeMap<ProgramId, ExitStatus>,
}

impl Lab {
    /// What happened since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<LabEvent> {
        std::mem::take(&mut self.events)
    }

    /// Programs that run now.
    pub fn programs(&self) -> impl Iterator<Item = (ProgramId, &Program)> {
        self.programs.iter().filter(|(id, _)| !self.ended.contains_key(id)).map(|(id, p)| (*id, p))
    }

    /// How a program has ended; none while it runs.
    pub fn exit_status(&self, program: ProgramId) -> Option<ExitStatus> {
        self.ended.get(&program).copied()
    }

    /// One turn of the loop: at most `max_wait`, without it until something happens. Gives the watched descriptors'
    /// tokens.
    pub fn step(&mut self, max_wait: Option<Duration>) -> Result<Vec<u64>, RunError> {
        let ready = self.world.step(max_wait)?;
        let (own, others): (Vec<u64>, Vec<u64>) = ready.into_iter().partition(|&t| Pipes::is_token(t));
        for token in own {
            self.read_pipe(token);
        }
        self.note_exits();
        Ok(others)
    }

    /// Drives the lab until `done` says so; false if `deadline` comes first.
    pub fn drive(
        &mut self,
        deadline: Option<Instant>,
        watcher: &mut dyn Watcher,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, RunError> {
        loop {
            if done(self) {
                return Ok(true);
            }
            let now = self.world.now();
            if deadline.is_some_and(|d| now >= d) {
                return Ok(false);
            }
            let ready = self.step(deadline.map(|d| d.saturating_since(now)))?;
            watcher.on_step(self, &ready);
            if watcher.stop() {
                return Err(RunError::Stopped);
            }
        }
    }

    /// Forgets the oldest programs that have ended, so that a lab which runs for days does not grow.
    fn forget_ended(&mut self) {
        while self.ended.len() > ENDED_MAX {
            let Some((id, _)) = self.ended.pop_first() else { return };
            self.programs.remove(&id);
            self.captured(id);
        }
    }

    fn note_exits(&mut self) {
        for (id, status) in self.world.take_exits() {
            self.ended.insert(id, status);
            self.drain_pipes(id);
            if let Some(program) = self.programs.get(&id) {
                self.events.push(LabEvent::Exited {
                    host: program.host.clone(),
                    program: program.name.clone(),
                    status,
                    background: program.background,
                });
            }
        }
        self.forget_ended();
    }

    /// Ends all programs: asks them to (SIGTERM), waits at most `grace`, then kills what is left.
    pub fn stop(&mut self, grace: Duration) {
        const SIGTERM: i32 = 15;
        for (id, _, _) in self.world.programs() {
            // A program that has just ended needs no signal.
            let _ = self.world.signal(id, SIGTERM, true);
        }
        let deadline = self.world.now() + grace;
        let gone = self.drive(Some(deadline), &mut (), |lab| lab.world.programs().is_empty());
        drop(gone);
        self.world.close_door();
    }
}
