//! The neighbour table.

use std::collections::VecDeque;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netspace_base::{DevId, Duration, Instant, Pkt, TimerId};
use netspace_wire::MacAddr;
use slotmap::SlotMap;

slotmap::new_key_type! {
    /// Names an entry of the neighbour table.
    pub struct NeighId;
}

/// What is known about a neighbour (`NUD_*`, with Linux's numbers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum NeighState {
    /// Asked, not answered yet: packets wait.
    Incomplete = 0x01,
    /// Confirmed not long ago.
    Reachable = 0x02,
    /// Known, but not confirmed lately.
    Stale = 0x04,
    /// In use though stale: a confirmation is waited for.
    Delay = 0x08,
    /// Being asked again.
    Probe = 0x10,
    /// Did not answer.
    Failed = 0x20,
    /// Set by an administrator.
    Permanent = 0x80,
}

impl NeighState {
    /// Its name as `ip neigh` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
            Self::Permanent => "PERMANENT",
        }
    }

    /// Whether its link-layer address may be used.
    pub const fn is_valid(self) -> bool {
        !matches!(self, Self::Incomplete | Self::Failed)
    }
}

/// A neighbour.
#[derive(Debug)]
pub struct Neighbour {
    /// Its IP address.
    pub addr: IpAddr,
    /// The device behind which it is.
    pub dev: DevId,
    /// Its link-layer address, if the state says it is valid.
    pub mac: MacAddr,
    /// What is known.
    pub state: NeighState,
    /// It said that it is a router (IPv6).
    pub is_router: bool,
    /// When a packet was last sent to it.
    pub used: Instant,
    /// When it was last confirmed.
    pub confirmed: Instant,
    /// When its state or address last changed.
    pub updated: Instant,
    /// Probes sent without an answer.
    pub probes: u32,
    pub(super) reachable_for: Duration,
    pub(super) timer: Option<TimerId>,
    pub(super) queue: VecDeque<Box<Pkt>>,
    pub(super) queue_bytes: usize,
}

/// Where a packet goes on a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum To {
    /// To a station or group whose address is known.
    Mac(MacAddr),
    /// To a neighbour.
    Hop(IpAddr),
}

/// What an ARP or neighbour-discovery message tells about a neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    pub(crate) mac: Option<MacAddr>,
    pub(crate) state: NeighState,
    /// A different address replaces the one that is known.
    pub(crate) overrides: bool,
    /// A different address that may not replace a known one makes it doubtful (RFC 4861 §7.2.5).
    pub(crate) weak_override: bool,
    pub(crate) is_router: Option<bool>,
}

/// All neighbours of a namespace.
#[derive(Debug)]
pub struct Neigh {
    pub(super) entries: SlotMap<NeighId, Neighbour>,
    pub(super) by_addr: HashMap<(DevId, IpAddr), NeighId, FixedState>,
    pub(super) gc_running: bool,
    pub(super) queued: u64,
    /// Entries of IPv4, of IPv6.
    pub(super) counts: [usize; 2],
}

impl Neigh {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            entries: SlotMap::with_key(),
            by_addr: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            gc_running: false,
            queued: 0,
            counts: [0; 2],
        }
    }

    /// All neighbours, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Neighbour> + '_ {
        self.entries.values()
    }

    /// A neighbour.
    pub fn get(&self, dev: DevId, addr: IpAddr) -> Option<&Neighbour> {
        self.entries.get(*self.by_addr.get(&(dev, addr))?)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Packets that wait for an answer.
    pub(crate) const fn queued(&self) -> u64 {
        self.queued
    }

    pub(crate) fn take_queued(&mut self) -> Vec<Box<Pkt>> {
        self.queued = 0;
        self.entries.values_mut().flat_map(|n| n.queue.drain(..)).collect()
    }

    pub(super) fn id(&self, dev: DevId, addr: IpAddr) -> Option<NeighId> {
        self.by_addr.get(&(dev, addr)).copied()
    }
}
