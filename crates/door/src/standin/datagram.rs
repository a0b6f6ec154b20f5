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

use std::io::IoSlice;

use bytes::Bytes;
use netspace_stack::sock::{Message, Readiness, Received, RecvFlags, SockError, SockId};
use netspace_stack::{Netns, Turn};

use super::push::{Payload, Push};

/// The largest datagram there is.
pub(crate) const MAX_DATAGRAM: usize = 65_536;
/// Most plain writes passed on at once.
const MAX_WRITES: usize = 256;

impl Payload for Received {
    fn slices(&self) -> Vec<IoSlice<'_>> {
        self.data.iter().map(|bytes| IoSlice::new(bytes)).collect()
    }
}

/// The stand-in of a datagram socket.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// Its two ends.
    pub(crate) push: Push<Received>,
    /// `POLLERR` is shown.
    raised: bool,
}

impl Datagram {
    pub(crate) fn new(nonblocking: bool) -> std::io::Result<Self> {
        Ok(Self { push: Push::new(nonblocking)?, raised: false })
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
        let pushed = if flags.peek { self.push.first().cloned() } else { self.push.take() };
        match pushed {
            Some(received) => Ok(received),
            None => ns.recv(t, id, MAX_DATAGRAM, flags),
        }
    }

    /// Passes on what the program has written natively. True if there may be more.
    pub(crate) fn pump_up(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) -> bool {
        if self.push.outer().is_none() {
            return false;
        }
        let mut buffer = vec![0; MAX_DATAGRAM];
        for _ in 0..MAX_WRITES {
            let Some(n) = self.push.written(&mut buffer) else { return false };
            let data = Bytes::copy_from_slice(&buffer[..n]);
            // What fails is lost, as a datagram may be; the error shows as the socket's pending one.
            let _ = ns.send(t, id, Message { data, ..Message::default() });
        }
        true
    }

    /// Makes poll on the program's end tell what the stack's socket is ready for.
    pub(crate) fn sync(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) {
        self.push.forget_consumed();
        while self.push.has_room() && ns.readiness(id).contains(Readiness::IN) {
            let Ok(received) = ns.recv(t, id, MAX_DATAGRAM, RecvFlags::default()) else { break };
            // Another thread has shut it for reading.
            if !self.push.push(received) {
                break;
            }
        }
        let shown = self.raised && self.push.shows_error();
        if self.raised && !shown {
            // The program has met the error natively.
            let _ = ns.take_error(id);
        }
        let wanted = ns.readiness(id).contains(Readiness::ERR);
        if wanted && !shown {
            self.pump_up(ns, t, id);
            self.raised = self.push.raise_error().is_ok();
        } else if !wanted && shown {
            self.push.clear_error();
        }
        self.raised &= wanted;
    }
}
