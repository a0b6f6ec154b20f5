//! A terminal passed through to a program on a host, as `ssh -t` does: the program gets a pseudo-terminal of its own, ours
//! goes into raw mode, bytes and window sizes are carried between the two until the program ends.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{self, OptionalActions, Termios};

/// Whether standard input and output both are a terminal.
pub(crate) fn is_interactive() -> bool {
    termios::isatty(io::stdin()) && termios::isatty(io::stdout())
}

/// How many lines the terminal has, if standard input and output both are one.
pub(crate) fn rows() -> Option<usize> {
    let size = is_interactive().then(|| termios::tcgetwinsize(io::stdout()).ok()).flatten()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// Whether this process is in the foreground of its terminal: then what is typed there reaches its whole group.
pub(crate) fn is_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    termios::tcgetpgrp(&terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Puts the terminal on standard input into raw mode, until dropped.
#[derive(Debug)]
pub(crate) struct RawMode(Termios);

impl RawMode {
    pub(crate) fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // What has been typed already is for the program: it is kept.
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A pseudo-terminal: our end, and the program's.
#[derive(Debug)]
pub(crate) struct Pty {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

impl Pty {
    /// Opens one with the size and the settings of the terminal on standard input.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).context("cannot open a pseudo-terminal")?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave =
            rustix::pty::ioctl_tiocgptpeer(&master, flags).context("cannot open a pseudo-terminal")?;
        if let Ok(settings) = termios::tcgetattr(io::stdin()) {
            termios::tcsetattr(&slave, OptionalActions::Now, &settings)?;
        }
        copy_window_size(&master);
        Ok(Self { master, slave })
    }
}

/// Gives the pseudo-terminal the size of ours; the kernel tells its program (`SIGWINCH`).
pub(crate) fn copy_window_size(master: &OwnedFd) {
    if let Ok(size) = termios::tcgetwinsize(io::stdin()) {
        let _ = termios::tcsetwinsize(master, size);
    }
}

/// Signals, as something that a loop can wait for.
#[derive(Debug)]
pub(crate) struct Signals {
    receiver: UnixStream,
    came: Vec<(i32, Arc<AtomicBool>)>,
    ids: Vec<signal_hook::SigId>,
}

impl Signals {
    /// Catches these signals from now on, until dropped.
    pub(crate) fn catch(signals: &[i32]) -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        let mut caught = Self { receiver, came: Vec::new(), ids: Vec::new() };
        for &signal in signals {
            // The flag tells which signal it was; set before the byte that wakes the loop is written.
            let flag = Arc::new(AtomicBool::new(false));
            caught.ids.push(signal_hook::flag::register(signal, Arc::clone(&flag))?);
            caught.ids.push(signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?);
            caught.came.push((signal, flag));
        }
        Ok(caught)
    }

    /// Readable when a signal has come.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }

    /// The signals that have come since the last call.
    pub(crate) fn take(&self) -> Vec<i32> {
        let mut buffer = [0; 64];
        while let Ok(1..) = (&self.receiver).read(&mut buffer) {}
        let came = self.came.iter().filter(|(_, flag)| flag.swap(false, Ordering::SeqCst));
        came.map(|&(signal, _)| signal).collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// How a relay ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Relayed {
    /// Something is to be read from the lab.
    Reply,
    /// These signals have come.
    Signals(Vec<i32>),
}

/// Carries bytes between our terminal and the pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    master: &'a OwnedFd,
    /// Typed, but not yet taken by the program.
    typed: Vec<u8>,
    input_open: bool,
    output_open: bool,
}

impl<'a> Relay<'a> {
    pub(crate) fn new(master: &'a OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(master, true)?;
        Ok(Self { master, typed: Vec::new(), input_open: true, output_open: true })
    }

    /// Carries until the lab has sent something (on `lab`) or signals have come.
    pub(crate) fn run(&mut self, lab: BorrowedFd<'_>, signals: &Signals) -> anyhow::Result<Relayed> {
        loop {
            let (lab_ready, signal_ready) = self.carry(lab, signals)?;
            if signal_ready {
                return Ok(Relayed::Signals(signals.take()));
            }
            if lab_ready {
                return Ok(Relayed::Reply);
            }
        }
    }

    /// One wait, and what it brings.
    fn carry(&mut self, lab: BorrowedFd<'_>, signals: &Signals) -> anyhow::Result<(bool, bool)> {
        let stdin = io::stdin();
        let room = self.typed.len() < 4096;
        let input = if self.input_open && room { PollFlags::IN } else { PollFlags::empty() };
        let mut output = PollFlags::empty();
        output.set(PollFlags::IN, self.output_open);
        output.set(PollFlags::OUT, self.output_open && !self.typed.is_empty());
        let signal_fd = signals.fd();
        let mut fds = vec![PollFd::new(&lab, PollFlags::IN), PollFd::new(&signal_fd, PollFlags::IN)];
        // A closed pseudo-terminal is ready for ever, whatever is asked: leave it out.
        let master_at = self.output_open.then(|| {
            fds.push(PollFd::new(self.master, output));
            fds.len() - 1
        });
        let stdin_at = (!input.is_empty()).then(|| {
            fds.push(PollFd::new(&stdin, input));
            fds.len() - 1
        });
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        let ready = |at: usize| !fds[at].revents().is_empty();
        let (lab_ready, signal_ready) = (ready(0), ready(1));
        let (master_ready, stdin_ready) = (master_at.is_some_and(ready), stdin_at.is_some_and(ready));
        drop(fds);
        if stdin_ready {
            self.read_input()?;
        }
        if master_ready {
            self.write_typed()?;
            self.read_output()?;
        }
        Ok((lab_ready, signal_ready))
    }

    fn read_input(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => self.input_open = false,
            Ok(n) => self.typed.extend_from_slice(&buffer[..n]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(rustix::io::Errno::IO) => self.input_open = false,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn write_typed(&mut self) -> io::Result<()> {
        while !self.typed.is_empty() {
            match rustix::io::write(self.master, &self.typed) {
                Ok(n) => drop(self.typed.drain(..n)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::IO) => self.typed.clear(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Shows what the program has written; false when nothing more is there now.
    fn read_output(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(self.master, &mut buffer) {
            // The program's side is closed by all.
            Ok(0) | Err(rustix::io::Errno::IO) => {
                self.output_open = false;
                Ok(false)
            }
            Ok(n) => {
                let mut out = io::stdout().lock();
                out.write_all(&buffer[..n])?;
                out.flush()?;
                Ok(true)
            }
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(rustix::io::Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Shows what the program has written before it ended.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        while self.output_open && self.read_output()? {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_come_as_numbers() {
        let signals = Signals::catch(&[libc::SIGWINCH]).expect("caught");
        assert!(signals.take().is_empty());
        signal_hook::low_level::raise(libc::SIGWINCH).expect("raised");
        assert_eq!(signals.take(), [libc::SIGWINCH]);
    }

    #[test]
    fn a_pseudo_terminal_carries_both_ways() {
        let pty = Pty::open().expect("a pty");
        let mut relay = Relay::new(&pty.master).expect("a relay");
        relay.typed.extend_from_slice(b"line\n");
        relay.write_typed().expect("written");
        let mut buffer = [0; 16];
        let n = rustix::io::read(&pty.slave, &mut buffer).expect("read");
        assert_eq!(&buffer[..n], b"line\n");
        drop(pty.slave);
        relay.drain().expect("drained");
        assert!(!relay.output_open);
    }
}
