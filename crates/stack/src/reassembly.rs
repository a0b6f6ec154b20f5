//! Joining fragments: what IPv4 (RFC 791 §3.2) and IPv6 (RFC 8200 §4.5) share.
//!
//! Pieces of a packet wait under its key until they cover it without a hole. An exact duplicate is passed over; any other
//! overlap throws the whole packet away (RFC 5722; Linux does so for IPv4 as well). Memory and time are bounded.

use std::collections::BTreeMap;
use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netspace_base::{ChecksumState, Pkt, TimerId};
use netspace_wire::ecn::{Ecn, EcnSeen};

/// Memory that a waiting fragment takes besides its bytes.
const OVERHEAD: usize = 768;

/// Packets that wait for their other fragments.
#[derive(Debug)]
pub struct Reassembly<K> {
    queues: HashMap<K, Queue, FixedState>,
    memory: usize,
    pieces: u64,
}

/// The fragments of one packet that have come.
#[derive(Debug)]
struct Queue {
    /// By offset: each piece's data is the payload, its network header in front of it.
    pieces: BTreeMap<u32, Box<Pkt>>,
    /// Where the packet ends, once its last fragment has come.
    end: Option<u32>,
    bytes: u32,
    timer: TimerId,
    ecn: EcnSeen,
    /// The first fragment's own.
    ecn_first: Ecn,
}

/// What a fragment was good for.
#[derive(Debug)]
pub(crate) enum Joined {
    /// Others are missing.
    Waiting,
    /// It was here already: the copy comes back.
    Duplicate(Box<Pkt>),
    /// It overlaps with others, or ends elsewhere: everything comes back, the offender first.
    Overlap(Vec<Box<Pkt>>, TimerId),
    /// The memory is used up.
    NoMemory(Box<Pkt>),
    /// Some are ECN-capable, some are not: everything comes back (RFC 3168 §5.3).
    MixedEcn(Vec<Box<Pkt>>, TimerId),
    /// The packet is whole: its first fragment with the payload of all, how many there were besides it, and its ECN field.
    Whole { pkt: Box<Pkt>, others: u64, timer: TimerId, ecn: Ecn },
}

/// A fragment on its way to its packet.
pub(crate) struct Piece {
    pub(crate) offset: u32,
    pub(crate) more: bool,
    pub(crate) ecn: Ecn,
    /// Data = payload.
    pub(crate) pkt: Box<Pkt>,
}

impl<K: Copy + Eq + Hash + Ord> Reassembly<K> {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self { queues: HashMap::with_hasher(FixedState::with_seed(hash_seed)), memory: 0, pieces: 0 }
    }

    /// Fragments that wait.
    pub(crate) const fn queued(&self) -> u64 {
        self.pieces
    }

    /// Bytes that they take.
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Packets that they belong to.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Adds a fragment; `new_timer` is asked for the timeout when it is its packet's first.
    pub(crate) fn add(
        &mut self,
        key: K,
        piece: Piece,
        high_thresh: usize,
        new_timer: impl FnOnce() -> TimerId,
    ) -> Joined {
        let len = piece.pkt.len() as u32;
        let cost = len as usize + OVERHEAD;
        if self.memory + cost > high_thresh {
            return Joined::NoMemory(piece.pkt);
        }
        let queue = self.queues.entry(key).or_insert_with(|| Queue {
            pieces: BTreeMap::new(),
            end: None,
            bytes: 0,
            timer: new_timer(),
            ecn: EcnSeen::default(),
            ecn_first: Ecn::NotEct,
        });
        let (start, end) = (piece.offset, piece.offset + len);
        if queue.pieces.get(&start).is_some_and(|old| old.len() as u32 == len)
            && (piece.more || queue.end == Some(end))
        {
            return Joined::Duplicate(piece.pkt);
        }
        if queue.clashes(start, end, piece.more) {
            let timer = queue.timer;
            let mut all = vec![piece.pkt];
            all.extend(self.remove(&key));
            return Joined::Overlap(all, timer);
        }
        if !piece.more {
            queue.end = Some(end);
        }
        queue.bytes += len;
        queue.ecn.add(piece.ecn);
        if start == 0 {
            queue.ecn_first = piece.ecn;
        }
        queue.pieces.insert(start, piece.pkt);
        let whole = queue.end == Some(queue.bytes);
        self.memory += cost;
        self.pieces += 1;
        if whole { self.take_whole(&key) } else { Joined::Waiting }
    }

    fn take_whole(&mut self, key: &K) -> Joined {
        let Some(queue) = self.queues.get(key) else { return Joined::Waiting };
        let (timer, ecn) = (queue.timer, queue.ecn.joined(queue.ecn_first));
        let Some(ecn) = ecn else { return Joined::MixedEcn(self.remove(key), timer) };
        let mut pieces = self.remove(key).into_iter();
        let Some(mut pkt) = pieces.next() else { return Joined::Waiting };
        let mut others = 0;
        pkt.frag_size = network_len(&pkt);
        for piece in pieces {
            others += 1;
            pkt.frag_size = pkt.frag_size.max(network_len(&piece));
            for bytes in piece.payload_from(0) {
                pkt.append_frag(bytes);
            }
            pkt.checksum = weakest(pkt.checksum, piece.checksum);
        }
        Joined::Whole { pkt, others, timer, ecn }
    }

    /// Takes a packet's fragments out, by offset.
    pub(crate) fn remove(&mut self, key: &K) -> Vec<Box<Pkt>> {
        let Some(queue) = self.queues.remove(key) else { return Vec::new() };
        self.memory -= queue.pieces.values().map(|p| p.len() + OVERHEAD).sum::<usize>();
        self.pieces -= queue.pieces.len() as u64;
        queue.pieces.into_values().collect()
    }

    /// Whether a packet's first fragment has come.
    pub(crate) fn has_first(&self, key: &K) -> bool {
        self.queues.get(key).is_some_and(|q| q.pieces.contains_key(&0))
    }

    /// Takes everything out.
    pub(crate) fn take_queued(&mut self) -> Vec<Box<Pkt>> {
        let mut keys: Vec<K> = self.queues.keys().copied().collect();
        keys.sort_unstable();
        keys.iter().flat_map(|key| self.remove(key)).collect()
    }
}

impl Queue {
    /// Whether a fragment from `start` to `end` contradicts those that are here.
    fn clashes(&self, start: u32, end: u32, more: bool) -> bool {
        let beyond = match self.end {
            Some(last) => end > last || (!more && end != last),
            None => !more && self.pieces.iter().next_back().is_some_and(|(at, p)| at + p.len() as u32 > end),
        };
        let before =
            self.pieces.range(..=start).next_back().is_some_and(|(at, p)| at + p.len() as u32 > start);
        let behind = self.pieces.range(start..).next().is_some_and(|(&at, _)| at < end);
        beyond || before || behind
    }
}

/// A fragment's length, its network header included.
fn network_len(fragment: &Pkt) -> u16 {
    u16::try_from(fragment.since_network_header() + fragment.len()).unwrap_or(u16::MAX)
}

/// What is known about the checksum of bytes that came in several packets.
const fn weakest(a: ChecksumState, b: ChecksumState) -> ChecksumState {
    match (a, b) {
        (ChecksumState::Unnecessary, ChecksumState::Unnecessary) => ChecksumState::Unnecessary,
        _ => ChecksumState::None,
    }
}
