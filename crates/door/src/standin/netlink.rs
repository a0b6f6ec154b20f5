//! Netlink stand-ins: replies are pushed into the program's end as datagrams are.

use std::io::{self, IoSlice};

use netspace_stack::{Netns, Turn};
use netspace_uapi::Errno;
use netspace_uapi::netlink::NetlinkSocket;

use super::push::{Payload, Push};

/// The largest request that is read from a plain write, bytes.
const MAX_REQUEST: usize = 128 * 1024;

impl Payload for Vec<u8> {
    fn slices(&self) -> Vec<IoSlice<'_>> {
        vec![IoSlice::new(self)]
    }
}

/// The stand-in of an AF_NETLINK socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    /// Its two ends.
    pub(crate) push: Push<Vec<u8>>,
    /// What it is and what waits in it.
    pub(crate) state: NetlinkSocket,
    /// `SOCK_RAW` or `SOCK_DGRAM`: they are the same.
    pub(crate) ty: i32,
    /// The port it gets if it chooses none.
    pub(crate) free_port: u32,
}

impl Netlink {
    pub(crate) fn new(state: NetlinkSocket, ty: i32, free_port: u32, nonblocking: bool) -> io::Result<Self> {
        let mut push = Push::new(nonblocking)?;
        // Plain writes are requests.
        push.set_connected(true)?;
        Ok(Self { push, state, ty, free_port })
    }

    /// Answers requests; the replies are there when this returns.
    pub(crate) fn request(&mut self, ns: &mut Netns, t: &mut Turn, datagram: &[u8]) {
        self.state.autobind(self.free_port);
        self.state.request(ns, t, datagram);
        self.sync();
    }

    /// Answers what the program has written natively.
    pub(crate) fn pump_up(&mut self, ns: &mut Netns, t: &mut Turn) {
        let mut buffer = vec![0; MAX_REQUEST];
        while let Some(n) = self.push.written(&mut buffer) {
            self.request(ns, t, &buffer[..n]);
        }
    }

    /// Makes poll on the program's end tell whether there are replies.
    pub(crate) fn sync(&mut self) {
        self.push.forget_consumed();
        while self.push.has_room() && self.state.is_readable() {
            let Ok(datagram) = self.state.recv(usize::MAX, false) else { break };
            if !self.push.push(datagram.data) {
                break;
            }
        }
    }

    /// Whether there is something to receive.
    pub(crate) fn has_news(&mut self) -> bool {
        self.push.first().is_some() || self.state.is_readable()
    }

    /// The next reply for a trapped call.
    pub(crate) fn receive(&mut self, peek: bool) -> Result<Vec<u8>, Errno> {
        let pushed = if peek { self.push.first().cloned() } else { self.push.take() };
        match pushed {
            Some(reply) => Ok(reply),
            None => self.state.recv(usize::MAX, peek).map(|datagram| datagram.data),
        }
    }
}
