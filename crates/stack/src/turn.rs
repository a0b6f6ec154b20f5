//! What is lent to the stack for one event: the time, effects to carry out, where to note what happens.

use netspace_base::{DevId, DropReason, Instant, Ledger, NsId, Pkt, PktId, Trace};

use crate::packet::PacketId;
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
    /// The same of a packet socket: look at [`crate::Netns::packet_readiness`].
    WakePacket(PacketId),
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
    /// Ended packets whose memory is used again.
    spare: Vec<Box<Pkt>>,
}

impl Turn {
    /// Packets kept for use again.
    const SPARE_MAX: usize = 4096;
    /// Larger ones are given back to the allocator, bytes.
    const SPARE_CAPACITY: usize = 2048;

    /// The name for a new packet, counted as created.
    pub fn new_pkt_id(&mut self) -> PktId {
        self.next_pkt += 1;
        self.ledger.created += 1;
        PktId(self.next_pkt)
    }

    /// An empty packet, traced if tracing is on.
    pub fn new_pkt(&mut self) -> Box<Pkt> {
        let id = self.new_pkt_id();
        let mut pkt = match self.spare.pop() {
            Some(spare) => spare,
            None => Pkt::new(id),
        };
        pkt.id = id;
        pkt.traced = self.trace.on;
        pkt
    }

    /// Takes an ended packet's memory for the next one.
    pub(crate) fn recycle(&mut self, mut pkt: Box<Pkt>) {
        if self.spare.len() < Self::SPARE_MAX && pkt.capacity() <= Self::SPARE_CAPACITY {
            pkt.clear();
            self.spare.push(pkt);
        }
    }

    /// A packet has become part of another: it was never one of its own.
    pub(crate) fn join_pkt(&mut self, pkt: Box<Pkt>) {
        self.ledger.created -= 1;
        self.recycle(pkt);
    }

    /// A copy of `pkt` (same name, shared payload), counted as created.
    pub fn clone_pkt(&mut self, pkt: &Pkt) -> Box<Pkt> {
        self.ledger.created += 1;
        match self.spare.pop() {
            Some(mut spare) => {
                spare.copy_from(pkt);
                spare
            }
            None => Box::new(pkt.clone()),
        }
    }
}
