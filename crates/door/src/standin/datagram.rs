//! Datagram stand-ins: UDP, raw and ping sockets.
//!
//! The program's end is an AF_UNIX datagram socket. The first datagrams of the stack's queue are *pushed* into it by the
//! outer end, so that poll tells "readable" and read(2) and recv(2) just work; calls that want addresses or control
//! messages are trapped, take the datagram out again through the door's descriptor of the program's end, and answer with
//! all that came with it. On a connected socket the program's end is connected to the outer one, from which its
//! plain writes are read.
//!
//! A pending error shows as `POLLERR`: the program's end gets an error when the outer end, with something unread,
//! dissolves its connection. The kernel's error is ECONNRESET whatever ours is; trapped calls tell the true one.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use netspace_stack::sock::{Message, Readiness, Received, RecvFlags, SockError, SockId};
use netspace_stack::{Netns, Turn};

use crate::sys::file;
use crate::sys::socket::{self, Kind, Name};

/// Most datagrams lying in the program's end. The kernel allows ten (`net.unix.max_dgram_qlen`).
const MAX_PUSHED: usize = 8;
/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_536;

#[derive(Debug)]
struct Pushed {
    received: Received,
    /// How much of the outer end's send memory it takes while it is unread, bytes.
    memory: usize,
}

#[derive(Debug)]
struct Outer {
    fd: OwnedFd,
    name: Name,
    inner_name: Name,
}

/// The stand-in of a datagram socket.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// The door's descriptor of the program's end.
    pub(crate) inner: OwnedFd,
    outer: Option<Outer>,
    /// The program's end is connected to the outer one.
    connected: bool,
    pushed: VecDeque<Pushed>,
    /// `POLLERR` is shown.
    raised: bool,
}

impl Datagram {
    pub(crate) fn new(nonblocking: bool) -> io::Result<Self> {
        let inner = socket::unix(Kind::Datagram, nonblocking)?;
        Ok(Self { inner, outer: None, connected: false, pushed: VecDeque::new(), raised: false })
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

    /// The socket has a peer now (or none): plain writes go somewhere (or fail).
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
            self.push(pushed.received);
        }
        Ok(())
    }

    /// Puts a datagram into the program's end.
    fn push(&mut self, received: Received) {
        let Ok(outer) = self.need_outer() else { return };
        let before = socket::unread_by_peer(outer.fd.as_fd());
        let slices: Vec<IoSlice<'_>> = received.data.iter().map(|bytes| IoSlice::new(bytes)).collect();
        if socket::send_vectored(outer.fd.as_fd(), &slices).is_ok() {
            let after = socket::unread_by_peer(outer.fd.as_fd());
            // If the program has read something in between the difference is too small; at least it is not nothing.
            let memory = after.saturating_sub(before).max(1);
            self.pushed.push_back(Pushed { received, memory });
        }
    }

    /// Forgets the pushed datagrams that the program has read natively.
    fn forget_consumed(&mut self) {
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

    /// The next datagram for a trapped call.
    pub(crate) fn receive(
        &mut self,
        ns: &mut Netns,
        t: &mut Turn,
        id: SockId,
        flags: RecvFlags,
    ) -> Result<Received, SockError> {
        if flags.error_queue || flags.oob {
            return ns.recv(t, id, 0, flags);
        }
        // A pending error comes before data.
        if ns.readiness(id).contains(Readiness::ERR)
            && let Some(error) = ns.take_error(id)
        {
            return Err(error);
        }
        self.forget_consumed();
        while !self.pushed.is_empty() {
            if flags.peek {
                if let Some(front) = self.pushed.front() {
                    return Ok(front.received.clone());
                }
            } else if let Some(front) = self.pushed.pop_front() {
                if self.take_natively() {
                    return Ok(front.received);
                }
                // Another thread has just read it natively.
            }
        }
        ns.recv(t, id, MAX_DATAGRAM, flags)
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

    /// Passes on what the program has written natively.
    pub(crate) fn pump_up(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) {
        let Some(outer) = &self.outer else { return };
        let mut buffer = Vec::new();
        loop {
            buffer.resize(MAX_DATAGRAM, 0);
            let Ok(n) = socket::receive(outer.fd.as_fd(), &mut buffer, false) else { return };
            let data = Bytes::copy_from_slice(&buffer[..n]);
            // What fails is lost, as a datagram may be; the error shows as the socket's pending one.
            let _ = ns.send(t, id, Message { data, ..Message::default() });
        }
    }

    /// Makes poll on the program's end tell what the stack's socket is ready for.
    pub(crate) fn sync(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) {
        self.forget_consumed();
        while self.pushed.len() < MAX_PUSHED && ns.readiness(id).contains(Readiness::IN) {
            match ns.recv(t, id, MAX_DATAGRAM, RecvFlags::default()) {
                Ok(received) => self.push(received),
                Err(_) => break,
            }
        }
        let wanted = ns.readiness(id).contains(Readiness::ERR);
        let shown = self.raised && socket::poll(self.inner.as_fd()) & libc::POLLERR != 0;
        if self.raised && !shown && wanted {
            // The program has met the error natively.
            let _ = ns.take_error(id);
        }
        let wanted = ns.readiness(id).contains(Readiness::ERR);
        if wanted && !shown {
            self.raised = self.raise(ns, t, id).is_ok();
        } else if !wanted && shown {
            socket::take_error(self.inner.as_fd());
        }
        self.raised &= wanted;
    }

    /// Shows an error on the program's end.
    fn raise(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) -> io::Result<()> {
        self.need_outer()?;
        self.pump_up(ns, t, id);
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
