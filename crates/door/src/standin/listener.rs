//! Listening TCP stand-ins.
//!
//! The program's end is a listening AF_UNIX socket. While the stack has a connection to accept, one connection of our own
//! (the *token*) waits in it, so that poll tells "readable"; accept(2) is trapped, and what it gives the program is just
//! the token's accepted end. Other connections than our own are turned away by their credentials.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use netspace_stack::Netns;
use netspace_stack::sock::{Readiness, SockId};

use super::Fresh;
use crate::sys::socket::{self, Kind, Name};

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The door's descriptor of the program's end.
    pub(crate) inner: OwnedFd,
    name: Name,
    token: Option<OwnedFd>,
    /// Accepted from the stack, but the program's call was interrupted before it could be given.
    pub(crate) stash: VecDeque<(SockId, SocketAddr)>,
}

impl Listener {
    /// Makes the program's end listen.
    pub(crate) fn new(inner: &Fresh) -> io::Result<Self> {
        const BACKLOG: i32 = 16;
        let inner = inner.inner.try_clone()?;
        let name = socket::autobind(inner.as_fd())?;
        socket::listen(inner.as_fd(), BACKLOG)?;
        Ok(Self { inner, name, token: None, stash: VecDeque::new() })
    }

    /// Makes poll on the program's end tell whether there is something to accept.
    pub(crate) fn sync(&mut self, ns: &Netns, id: SockId) {
        let ready = !self.stash.is_empty() || ns.readiness(id).contains(Readiness::IN);
        match (ready, self.token.is_some()) {
            (true, false) => self.token = self.new_token().ok(),
            (false, true) => {
                // Taken out and dropped with its other end.
                let _ = socket::accept_own(self.inner.as_fd());
                self.token = None;
            }
            _ => {}
        }
    }

    fn new_token(&self) -> io::Result<OwnedFd> {
        let token = socket::unix(Kind::Stream, true)?;
        socket::connect(token.as_fd(), &self.name)?;
        Ok(token)
    }

    /// A pair for an accepted connection (program's end, outer end); the token, if there is one, becomes it.
    pub(crate) fn take_pair(&mut self) -> io::Result<(OwnedFd, OwnedFd)> {
        if let Some(outer) = self.token.take()
            && let Ok(inner) = socket::accept_own(self.inner.as_fd())
        {
            return Ok((inner, outer));
        }
        socket::pair(Kind::Stream)
    }
}
