//! A datagram stand-in's two ends, and what lies between them.
//!
//! The door pushes datagrams into the program's end and remembers each, so that a trapped call can take one out again
//! with all that belongs to it. What the program has read natively is known by how much of the outer end's send memory is
//! still in use.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use crate::sys::file;
use crate::sys::socket::{self, Kind, Name};

/// Most datagrams lying in the program's end. The kernel allows ten (`net.unix.max_dgram_qlen`).
const MAX_PUSHED: usize = 8;

/// Something that can be pushed.
pub(crate) trait Payload {
    /// Its bytes.
    fn slices(&self) -> Vec<IoSlice<'_>>;
}

#[derive(Debug)]
struct Outer {
    fd: OwnedFd,
    name: Name,
    inner_name: Name,
}

#[derive(Debug)]
struct Pushed<T> {
    item: T,
    /// How much of the outer end's send memory it takes while it is unread, bytes.
    memory: usize,
}

/// The two ends of a datagram stand-in.
#[derive(Debug)]
pub(crate) struct Push<T> {
    /// The door's descriptor of the program's end.
    pub(crate) inner: OwnedFd,
    outer: Option<Outer>,
    connected: bool,
    /// The program's end takes no more: it was shut for reading.
    shut: bool,
    pushed: VecDeque<Pushed<T>>,
}

impl<T: Payload> Push<T> {
    pub(crate) fn new(nonblocking: bool) -> io::Result<Self> {
        let inner = socket::unix(Kind::Datagram, nonblocking)?;
        Ok(Self { inner, outer: None, connected: false, shut: false, pushed: VecDeque::new() })
    }

    /// Whether the program's descriptor is non-blocking.
    pub(crate) fn is_nonblocking(&self) -> bool {
        file::is_nonblocking(self.inner.as_fd())
    }

    /// The outer end, once there is one, to be watched.
    pub(crate) fn outer(&self) -> Option<&OwnedFd> {
        self.outer.as_ref().map(|outer| &outer.fd)
    }

    fn need_outer(&mut self) -> io::Result<&Outer> {
        if self.outer.is_none() {
            let inner_name = socket::autobind(self.inner.as_fd())?;
            let fd = socket::unix(Kind::Datagram, true)?;
            let name = socket::autobind(fd.as_fd())?;
            socket::connect(fd.as_fd(), &inner_name)?;
            self.outer = Some(Outer { fd, name, inner_name });
        }
        self.outer.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether plain writes of the program go to the outer end; without a connection they fail.
    pub(crate) fn set_connected(&mut self, connected: bool) -> io::Result<()> {
        if connected == self.connected {
            return Ok(());
        }
        if connected {
            let name = self.need_outer()?.name.clone();
            socket::connect(self.inner.as_fd(), &name)?;
        } else {
            self.dissolve()?;
        }
        self.connected = connected;
        Ok(())
    }

    /// Dissolves the program's end's connection. That empties its queue: what was pushed is pushed anew.
    fn dissolve(&mut self) -> io::Result<()> {
        self.forget_consumed();
        socket::disconnect(self.inner.as_fd())?;
        if let Some(outer) = &self.outer {
            socket::take_error(outer.fd.as_fd());
        }
        for pushed in std::mem::take(&mut self.pushed) {
            self.push(pushed.item);
        }
        Ok(())
    }

    /// The program has shut its socket down, `how` as in shutdown(2). What comes later can be had by trapped calls only.
    pub(crate) fn shut(&mut self, how: i32) {
        self.shut |= how != libc::SHUT_WR;
        socket::shutdown(self.inner.as_fd(), how);
    }

    /// Whether another datagram may be pushed.
    pub(crate) fn has_room(&self) -> bool {
        !self.shut && self.pushed.len() < MAX_PUSHED
    }

    /// Puts a datagram into the program's end; false if that end takes no more (it was shut for reading).
    pub(crate) fn push(&mut self, item: T) -> bool {
        let Ok(outer) = self.need_outer() else { return false };
        let before = socket::unread_by_peer(outer.fd.as_fd());
        let sent = socket::send_vectored(outer.fd.as_fd(), &item.slices()).is_ok();
        if sent {
            let after = socket::unread_by_peer(outer.fd.as_fd());
            // If the program has read something in between the difference is too small; at least it is not nothing.
            let memory = after.saturating_sub(before).max(1);
            self.pushed.push_back(Pushed { item, memory });
        }
        sent
    }

    /// Forgets the pushed datagrams that the program has read natively.
    pub(crate) fn forget_consumed(&mut self) {
        let Some(outer) = &self.outer else { return };
        if self.pushed.is_empty() {
            return;
        }
        let unread = socket::unread_by_peer(outer.fd.as_fd());
        let mut sum: usize = self.pushed.iter().map(|p| p.memory).sum();
        while sum > unread
            && let Some(front) = self.pushed.pop_front()
        {
            sum -= front.memory;
        }
        if unread == 0 {
            self.pushed.clear();
        }
    }

    /// The first pushed datagram that the program has not read.
    pub(crate) fn first(&mut self) -> Option<&T> {
        self.forget_consumed();
        self.pushed.front().map(|pushed| &pushed.item)
    }

    /// Takes the first one back.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.forget_consumed();
        while let Some(front) = self.pushed.pop_front() {
            if self.take_natively() {
                return Some(front.item);
            }
            // Another thread has just read it natively.
        }
        None
    }

    fn take_natively(&self) -> bool {
        for _ in 0..2 {
            match socket::receive(self.inner.as_fd(), &mut [0; 1], false) {
                Ok(_) => return true,
                // The error that was raised: it hides the datagram only once.
                Err(error) if error.raw_os_error() == Some(libc::ECONNRESET) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// What the program has written natively: the next datagram.
    pub(crate) fn written(&self, buffer: &mut [u8]) -> Option<usize> {
        let outer = self.outer.as_ref()?;
        socket::receive(outer.fd.as_fd(), buffer, false).ok()
    }

    /// Whether poll shows an error on the program's end.
    pub(crate) fn shows_error(&self) -> bool {
        socket::poll(self.inner.as_fd()) & libc::POLLERR != 0
    }

    /// Poll shows no error any more.
    pub(crate) fn clear_error(&self) {
        socket::take_error(self.inner.as_fd());
    }

    /// Makes poll show an error on the program's end. What the program has written must have been taken before.
    pub(crate) fn raise_error(&mut self) -> io::Result<()> {
        self.need_outer()?;
        let Some(outer) = &self.outer else { return Ok(()) };
        if !self.connected {
            socket::connect(self.inner.as_fd(), &outer.name)?;
        }
        socket::send(self.inner.as_fd(), &[0])?;
        socket::disconnect(outer.fd.as_fd())?;
        socket::connect(outer.fd.as_fd(), &outer.inner_name)?;
        if !self.connected {
            self.dissolve()?;
        }
        Ok(())
    }
}
