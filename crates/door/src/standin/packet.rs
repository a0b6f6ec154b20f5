//! Packet stand-ins. Without a ring, frames are pushed into the program's end as datagrams are. With a ring they lie in
//! memory shared with the program; a byte is pushed for as long as poll(2) shall tell "readable".

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use netspace_stack::packet::{Frame, LinkAddr};
use netspace_stack::sock::{Readiness, SockError};
use netspace_stack::{Netns, Turn};
use netspace_uapi::packet::PacketSocket;

use super::push::{Payload, Push};
use crate::sys::shared::Shared;

/// The largest frame that is read from a plain write, bytes.
const MAX_FRAME: usize = 65_536;
/// How soon, and how late at most, it is looked whether a reader has given the ring back, milliseconds.
const FIRST_LOOK_MS: u64 = 1;
const LAST_LOOK_MS: u64 = 16;

/// What lies in the program's end.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// A frame, to be read.
    Frame(Box<Frame>),
    /// The ring has something.
    Ring,
}

impl Payload for Shown {
    fn slices(&self) -> Vec<IoSlice<'_>> {
        match self {
            Self::Frame(frame) => frame.data.iter().map(|part| IoSlice::new(part)).collect(),
            Self::Ring => vec![IoSlice::new(&[0])],
        }
    }
}

/// The stand-in of a packet socket.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Its two ends.
    pub(crate) push: Push<Shown>,
    /// What its program has set, and its rings.
    pub(crate) state: PacketSocket,
    /// The rings' memory.
    memory: Option<Shared>,
    /// `POLLERR` is shown.
    raised: bool,
    /// When the block that is being filled is handed over, by the supervisor's clock, milliseconds.
    retire_at_ms: Option<u64>,
    /// When to look whether the reader has given the ring back, and the pause before it.
    look: Option<(u64, u64)>,
}

impl Packet {
    pub(crate) fn new(state: PacketSocket, nonblocking: bool) -> io::Result<Self> {
        let mut push = Push::new(nonblocking)?;
        // Plain writes are frames to be sent.
        push.set_connected(true)?;
        Ok(Self { push, state, memory: None, raised: false, retire_at_ms: None, look: None })
    }

    /// Gives the rings memory of `len` bytes; 0: there are none any more.
    pub(crate) fn set_memory(&mut self, len: usize) -> io::Result<()> {
        self.retire_at_ms = None;
        self.hide_ring();
        self.memory = if len == 0 { None } else { Some(Shared::new(len)?) };
        Ok(())
    }

    /// The rings' memory, if there is any.
    pub(crate) const fn memory(&self) -> Option<&Shared> {
        self.memory.as_ref()
    }

    /// When to look at the ring, by the supervisor's clock, milliseconds.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.retire_at_ms.into_iter().chain(self.look.map(|(at, _)| at)).min()
    }

    /// Passes on what the program has written natively.
    pub(crate) fn pump_up(&mut self, ns: &mut Netns, t: &mut Turn) {
        let mut buffer = vec![0; MAX_FRAME];
        while let Some(n) = self.push.written(&mut buffer) {
            // What fails is lost, as a frame may be.
            let _ = ns.packet_send(t, self.state.id, None, Bytes::copy_from_slice(&buffer[..n]));
        }
    }

    /// Sends what the program has put into its ring: how many bytes.
    pub(crate) fn send_ring(
        &mut self,
        ns: &mut Netns,
        t: &mut Turn,
        to: Option<LinkAddr>,
    ) -> Result<usize, SockError> {
        let mut sent = 0;
        while let (Some(ring), Some(memory)) = (&mut self.state.tx, &mut self.memory) {
            match ring.take(memory) {
                Some(Ok(frame)) => sent += ns.packet_send(t, self.state.id, to, Bytes::from(frame))?,
                Some(Err(_)) => return Err(SockError::Invalid),
                None => break,
            }
        }
        Ok(sent)
    }

    /// The next frame for a trapped call.
    pub(crate) fn receive(&mut self, ns: &mut Netns, peek: bool) -> Result<Frame, SockError> {
        if ns.packet_readiness(self.state.id).contains(Readiness::ERR)
            && let Some(error) = ns.packet_take_error(self.state.id)
        {
            return Err(error);
        }
        let pushed = match self.push.first() {
            Some(Shown::Ring) => return Err(SockError::WouldBlock),
            Some(shown) if peek => Some(shown.clone()),
            _ => self.push.take(),
        };
        match pushed {
            Some(Shown::Frame(frame)) => Ok(*frame),
            _ => ns.packet_recv(self.state.id, peek),
        }
    }

    /// Makes the ring and poll tell what has come. `epoch` is the wall clock's time at the lab's start, `now_ms` the
    /// supervisor's clock.
    pub(crate) fn sync(&mut self, ns: &mut Netns, epoch: Duration, now_ms: u64) {
        self.show_error(ns);
        if self.state.rx.is_some() && self.memory.is_some() {
            self.fill_ring(ns, epoch, now_ms);
            return self.show_ring(now_ms);
        }
        self.push.forget_consumed();
        while self.push.has_room()
            && !ns.packet_readiness(self.state.id).contains(Readiness::ERR)
            && let Ok(frame) = ns.packet_recv(self.state.id, false)
        {
            if !self.push.push(Shown::Frame(Box::new(frame))) {
                break;
            }
        }
    }

    fn show_error(&mut self, ns: &Netns) {
        let wanted = ns.packet_readiness(self.state.id).contains(Readiness::ERR);
        if wanted && !self.raised {
            self.raised = self.push.raise_error().is_ok();
        } else if !wanted && std::mem::take(&mut self.raised) {
            self.push.clear_error();
        }
    }

    fn fill_ring(&mut self, ns: &mut Netns, epoch: Duration, now_ms: u64) {
        let (Some(ring), Some(memory)) = (&mut self.state.rx, &mut self.memory) else { return };
        if self.retire_at_ms.is_some_and(|at| at <= now_ms) {
            ring.retire(memory);
            self.retire_at_ms = None;
        }
        while let Ok(frame) = ns.packet_recv(self.state.id, false) {
            let was_open = ring.retire_after().is_some();
            if !ring.push(memory, &frame, epoch + Duration::from_nanos(frame.at.as_nanos())) {
                self.state.ring_drops = self.state.ring_drops.saturating_add(1);
            }
            if !was_open {
                self.retire_at_ms = None;
            }
        }
        if self.retire_at_ms.is_none() {
            self.retire_at_ms = ring.retire_after().map(|after| now_ms + after.as_millis() as u64);
        }
    }

    fn show_ring(&mut self, now_ms: u64) {
        let (Some(ring), Some(memory)) = (&self.state.rx, &self.memory) else { return };
        if !ring.is_readable(memory) {
            return self.hide_ring();
        }
        match self.look {
            None => {
                self.push.push(Shown::Ring);
                self.look = Some((now_ms + FIRST_LOOK_MS, FIRST_LOOK_MS));
            }
            Some((at, pause)) if at <= now_ms => {
                let pause = (pause * 2).min(LAST_LOOK_MS);
                self.look = Some((now_ms + pause, pause));
            }
            Some(_) => {}
        }
    }

    fn hide_ring(&mut self) {
        if self.look.take().is_some() {
            self.push.take();
        }
    }
}
