//! Fair queues with controlled delay (RFC 8290): flows take turns, those that have just begun come first.
//!
//! ```text
//!           ╭ new flows ──▶ quantum spent, or empty ──▶ ╮
//!  hash ──▶ ┤                                           ├──▶ each by controlled delay ──▶ the rate
//!           ╰ old flows ◀── each in turn, a quantum ──◀ ╯
//! ```

use std::collections::{BTreeMap, VecDeque};

use netspace_base::Instant;
use netspace_wire::ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use netspace_wire::protocol;

use crate::codel::{Codel, Dequeued, Entry, FrameQueue};
use crate::discipline::FqCodelSettings;

#[derive(Debug)]
struct Flow<T> {
    queue: FrameQueue<T>,
    codel: Codel,
    /// Bytes that it may still send in this turn.
    credit: i64,
    /// Whether it stands in one of the lists.
    listed: bool,
}

/// The queues. At most `flows` of them exist.
#[derive(Debug)]
pub(crate) struct FqCodel<T> {
    flows: BTreeMap<u32, Flow<T>>,
    new: VecDeque<u32>,
    old: VecDeque<u32>,
    /// Makes the spread of flows unforeseeable for others.
    salt: u64,
    frames: usize,
    bytes: usize,
}

impl<T> FqCodel<T> {
    pub(crate) const fn new(salt: u64) -> Self {
        Self { flows: BTreeMap::new(), new: VecDeque::new(), old: VecDeque::new(), salt, frames: 0, bytes: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.frames
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes in a frame. If then more wait than may, the first of the longest queue is given back: it is dropped.
    pub(crate) fn enqueue(&mut self, settings: &FqCodelSettings, entry: Entry<T>) -> Option<Entry<T>> {
        let number = (flow_hash(entry.pkt.data(), self.salt) % u64::from(settings.flows)) as u32;
        let flow = self.flows.entry(number).or_insert_with(|| Flow {
            queue: FrameQueue::default(),
            codel: Codel::default(),
            credit: 0,
            listed: false,
        });
        self.frames += 1;
        self.bytes += entry.pkt.len();
        flow.queue.push(entry);
        if !flow.listed {
            flow.listed = true;
            flow.credit = i64::from(settings.quantum);
            self.new.push_back(number);
        }
        if self.frames <= settings.codel.limit { None } else { self.take_from_longest() }
    }

    /// Takes the first frame of the longest queue.
    pub(crate) fn take_from_longest(&mut self) -> Option<Entry<T>> {
        let longest = self.flows.values_mut().max_by_key(|flow| flow.queue.bytes())?;
        let entry = longest.queue.pop()?;
        self.frames -= 1;
        self.bytes -= entry.pkt.len();
        Some(entry)
    }

    /// Takes the next frame to send at `now` (RFC 8290 §4.2).
    pub(crate) fn dequeue(&mut self, now: Instant, settings: &FqCodelSettings) -> Dequeued<T> {
        let mut out = Dequeued::default();
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &mut self.new } else { &mut self.old };
            let Some(&number) = list.front() else { return out };
            let Some(flow) = self.flows.get_mut(&number) else { return out };
            if flow.credit <= 0 {
                flow.credit += i64::from(settings.quantum);
                list.pop_front();
                self.old.push_back(number);
                continue;
            }
            let others = self.bytes - flow.queue.bytes();
            let (frames, bytes) = (flow.queue.len(), flow.queue.bytes());
            let taken = flow.codel.dequeue(now, &settings.codel, &mut flow.queue, others);
            self.frames -= frames - flow.queue.len();
            self.bytes -= bytes - flow.queue.bytes();
            out.dropped.extend(taken.dropped);
            if let Some(frame) = taken.frame {
                flow.credit -= frame.pkt.len() as i64;
                return Dequeued { frame: Some(frame), marked: taken.marked, dropped: out.dropped };
            }
            list.pop_front();
            // An emptied new flow goes behind the old ones, lest it come first again at once and starve them.
            if is_new && !self.old.is_empty() {
                self.old.push_back(number);
            } else {
                flow.listed = false;
            }
        }
    }
}

/// A hash of what tells flows apart: addresses, protocol and ports of IP; else the Ethernet addresses.
fn flow_hash(frame: &[u8], salt: u64) -> u64 {
    let mut hash = salt;
    let mut mix = |bytes: &[u8]| {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            // SplitMix64's finisher, applied to each word in turn.
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_add(0x9e37_79b9_7f4a_7c15);
            hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            hash ^= hash >> 31;
        }
    };
    let ip = frame.get(ethernet::HEADER_LEN..).unwrap_or_default();
    let ethertype = frame.get(12..14).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let (addresses, next, header_len, first) = match (ethertype, ip.len()) {
        (ETHERTYPE_IPV4, 20..) => {
            let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff;
            (&ip[12..20], ip[9], usize::from(ip[0] & 0xf) * 4, fragment == 0)
        }
        (ETHERTYPE_IPV6, 40..) => (&ip[8..40], ip[6], 40, true),
        _ => {
            mix(frame.get(..14).unwrap_or(frame));
            return hash;
        }
    };
    mix(addresses);
    mix(&[next]);
    // All fragments of a packet go the way of the one without ports.
    if first && matches!(next, protocol::TCP | protocol::UDP) {
        mix(ip.get(header_len..header_len + 4).unwrap_or_default());
    }
    hash
}
