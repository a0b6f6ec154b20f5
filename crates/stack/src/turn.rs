//! What is lent to the stack for one event: the time, effects to carry out, where to note what happens.

use netspace_base::{DevId, DropReason, Instant, Ledger, NsId, Pkt, PktId, Trace};

use crate::sock::SockId;

/// Something for the world outside a namespace to do.
#[derive(Debug)]
pub enum Effect {
    /// A frame leaves by a device whose other end is outside the namespace: carry it over the link.
    Xmit {
        /// The device it leaves by.
        dev: DevId,
        /// The frame, its Ethernet header in front.
        pkt: Box<Pkt>,
    },
    /// What a socket is ready for may have changed: look at [`crate::Netns::readiness`].
    Wake(SockId),
}

/// How a packet's walk ends early.
#[derive(Debug)]
#[must_use]
pub enum Stop {
    /// It is dropped, for one reason.
    Drop(Box<Pkt>, DropReason),
    /// Somebody has taken it and accounts for it: a queue, a link, another walk.
    Taken,
}

/// What a stage gives: the packet for the next stage, or its end. A walk that comes to its end with the packet in hand
/// has delivered it.
pub type Step = Result<Box<Pkt>, Stop>;

/// A copy of a frame seen on a device whose `capture` is on.
#[derive(Debug)]
pub struct Tap {
    /// When.
    pub at: Instant,
    /// On which host.
    pub ns: NsId,
    /// On which device.
    pub dev: DevId,
    /// Whether the device was sending it.
    pub outgoing: bool,
    /// The frame (payload slices shared with the original).
    pub frame: Box<Pkt>,
}

/// Lent to the stack for one event. One per lab (or thread), reused.
#[derive(Debug, Default)]
pub struct Turn {
    /// The moment at which the event happens.
    pub now: Instant,
    /// What the world is to do, in order. The world drains it after each call.
    pub effects: Vec<Effect>,
    /// Frames captured on devices with `capture` on. The world drains it.
    pub taps: Vec<Tap>,
    /// Where trace points note packets.
    pub trace: Trace,
    /// Where packets ended.
    pub ledger: Ledger,
    next_pkt: u64,
}

impl Turn {
    /// The name for a new packet, counted as created.
    pub fn new_pkt_id(&mut self) -> PktId {
        self.next_pkt += 1;
        self.ledger.created += 1;
        PktId(self.next_pkt)
    }

    /// An empty packet, traced if tracing is on.
    pub fn new_pkt(&mut self) -> Box<Pkt> {
        let mut pkt = Pkt::new(self.new_pkt_id());
        pkt.traced = self.trace.on;
        pkt
    }

    /// A copy of `pkt` (same name, shared payload), counted as created.
    pub fn clone_pkt(&mut self, pkt: &Pkt) -> Box<Pkt> {
        self.ledger.created += 1;
        Box::new(pkt.clone())
    }
}
