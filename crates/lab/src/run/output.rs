//! What programs write: pipes, read as lines or kept whole.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use netspace_door::ProgramId;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Lab, LabEvent};

/// Tokens of pipes: this bit is set. (The door's own token has all bits set.)
const TOKEN: u64 = 1 << 62;
/// The longest line that is passed on; a longer one is cut.
const LINE_MAX: usize = 16 * 1024;
/// How much of a captured program's output is kept.
const CAPTURE_MAX: usize = 4 * 1024 * 1024;

/// A pipe from a program.
#[derive(Debug)]
struct Pipe {
    fd: OwnedFd,
    program: ProgramId,
    stderr: bool,
    line: Vec<u8>,
    /// Keep the bytes instead of passing on lines.
    capture: bool,
}

/// All pipes from programs, and what was captured.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    open: BTreeMap<u64, Pipe>,
    next: u64,
    captured: BTreeMap<(ProgramId, bool), Vec<u8>>,
}

/// A pipe whose reading end is not yet watched.
pub(super) struct NewPipe {
    read: OwnedFd,
    /// For the program.
    pub(super) write: OwnedFd,
}

impl NewPipe {
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Ours alone: a program expects its standard output to block.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        Ok(Self { read, write })
    }

    /// Keeps the reading end; the writing end has gone to the program.
    pub(super) fn reader(self) -> OwnedFd {
        self.read
    }
}

impl Pipes {
    pub(super) const fn is_token(token: u64) -> bool {
        token & TOKEN != 0
    }

    pub(super) fn captured(&mut self, program: ProgramId, stderr: bool) -> Vec<u8> {
        self.captured.remove(&(program, stderr)).unwrap_or_default()
    }
}

impl Lab {
    /// Reads from `fd` from now on.
    pub(super) fn add_pipe(
        &mut self,
        fd: OwnedFd,
        program: ProgramId,
        stderr: bool,
        capture: bool,
    ) -> io::Result<()> {
        self.pipes.next += 1;
        let token = TOKEN | self.pipes.next;
        self.world.watch(fd.as_fd(), token, false)?;
        self.pipes.open.insert(token, Pipe { fd, program, stderr, line: Vec::new(), capture });
        Ok(())
    }

    /// Reads what a pipe holds; at its end it is closed.
    pub(super) fn read_pipe(&mut self, token: u64) {
        let Some(mut pipe) = self.pipes.open.remove(&token) else { return };
        let mut buffer = [0; 16 * 1024];
        loop {
            match rustix::io::read(&pipe.fd, &mut buffer) {
                Ok(0) => break,
                Ok(n) => self.take_output(&mut pipe, &buffer[..n]),
                Err(rustix::io::Errno::AGAIN) => {
                    self.pipes.open.insert(token, pipe);
                    return;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        // Closing it takes it out of the epoll in any case.
        let _ = self.world.unwatch(pipe.fd.as_fd());
        if !pipe.line.is_empty() {
            let line = std::mem::take(&mut pipe.line);
            self.line(&pipe, &line);
        }
    }

    /// Reads what is left of a program that has ended.
    pub(super) fn drain_pipes(&mut self, program: ProgramId) {
        let tokens: Vec<u64> =
            self.pipes.open.iter().filter(|(_, p)| p.program == program).map(|(t, _)| *t).collect();
        for token in tokens {
            self.read_pipe(token);
        }
    }

    fn take_output(&mut self, pipe: &mut Pipe, bytes: &[u8]) {
        if pipe.capture {
            let kept = self.pipes.captured.entry((pipe.program, pipe.stderr)).or_default();
            let room = CAPTURE_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            return;
        }
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut pipe.line);
                self.line(pipe, &line);
            } else if pipe.line.len() < LINE_MAX {
                pipe.line.push(byte);
            }
        }
    }

    fn line(&mut self, pipe: &Pipe, line: &[u8]) {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        let Some(program) = self.programs.get_mut(&pipe.program) else { return };
        program.remember(&line);
        let (host, program) = (program.host.clone(), program.name.clone());
        self.events.push(LabEvent::Output { host, program, stderr: pipe.stderr, line });
    }
}
