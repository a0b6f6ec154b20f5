//! `PACKET_FANOUT`: sockets of a group share what arrives, each frame going to one of them.

use std::collections::BTreeMap;

use bitflags::bitflags;
use netspace_base::Rng;
use netspace_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};

use super::PacketId;

/// The most sockets of a group (`PACKET_FANOUT_MAX`, as it was before it could be chosen).
const MAX_MEMBERS: usize = 256;

/// How a group chooses (`PACKET_FANOUT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FanoutMode {
    /// By the flow, both directions alike.
    Hash,
    /// In turn.
    LoadBalance,
    /// By processor: there is one.
    Cpu,
    /// The first whose queue has room.
    Rollover,
    /// By chance.
    Random,
    /// By receive queue: there is one.
    Queue,
}

bitflags! {
    /// What a group does besides (`PACKET_FANOUT_FLAG_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FanoutFlags: u16 {
        /// If the chosen one's queue is full, the next with room takes it.
        const ROLLOVER = 0x1000;
        /// What the host sends is not for the group.
        const IGNORE_OUTGOING = 0x4000;
        /// Fragments are put together before they are dealt out: accepted, they go by their addresses anyway.
        const DEFRAG = 0x8000;
    }
}

/// A group: all of its sockets are bound to the same protocol and device.
#[derive(Debug)]
pub(crate) struct Group {
    mode: FanoutMode,
    pub(crate) flags: FanoutFlags,
    protocol: u16,
    dev: u32,
    members: Vec<PacketId>,
    turn: usize,
}

/// All groups of a namespace, by their number.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<u16, Group>);

impl Groups {
    /// Joins a group, which is made if it does not exist; false if it is another kind of group, or full.
    pub(crate) fn join(
        &mut self,
        number: u16,
        id: PacketId,
        (mode, flags): (FanoutMode, FanoutFlags),
        (protocol, dev): (u16, u32),
    ) -> bool {
        let group = self.0.entry(number).or_insert_with(|| Group {
            mode,
            flags,
            protocol,
            dev,
            members: Vec::new(),
            turn: 0,
        });
        let alike = (group.mode, group.flags, group.protocol, group.dev) == (mode, flags, protocol, dev);
        if !alike || group.members.len() >= MAX_MEMBERS {
            return false;
        }
        group.members.push(id);
        true
    }

    /// Leaves a group, which ends with its last socket.
    pub(crate) fn leave(&mut self, number: u16, id: PacketId) {
        if let Some(group) = self.0.get_mut(&number) {
            group.members.retain(|&member| member != id);
            if group.members.is_empty() {
                self.0.remove(&number);
            }
        }
    }

    pub(crate) fn get(&self, number: u16) -> Option<&Group> {
        self.0.get(&number)
    }

    /// Who of a group gets a frame of this network packet. `has_room` tells of a socket's queue.
    pub(crate) fn choose(
        &mut self,
        number: u16,
        (protocol, packet): (u16, &[u8]),
        rng: &mut Rng,
        has_room: impl Fn(PacketId) -> bool,
    ) -> Option<PacketId> {
        let group = self.0.get_mut(&number)?;
        let count = group.members.len();
        let first = match group.mode {
            FanoutMode::Hash => flow_hash(protocol, packet) as usize % count,
            FanoutMode::LoadBalance => {
                group.turn = (group.turn + 1) % count;
                group.turn
            }
            FanoutMode::Cpu | FanoutMode::Queue => 0,
            FanoutMode::Rollover => group.turn % count,
            FanoutMode::Random => rng.below(count as u64) as usize,
        };
        let rolls = group.mode == FanoutMode::Rollover || group.flags.contains(FanoutFlags::ROLLOVER);
        let mut order = (0..count).map(|step| (first + step) % count);
        let place = if rolls { order.find(|&n| has_room(group.members[n])) } else { None }.unwrap_or(first);
        if group.mode == FanoutMode::Rollover {
            group.turn = place;
        }
        group.members.get(place).copied()
    }
}

/// A hash of the flow that both directions share: addresses and, of unfragmented TCP and UDP, ports.
fn flow_hash(protocol: u16, packet: &[u8]) -> u32 {
    let word = |at: usize| packet.get(at..at + 4).map_or(0, |w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    let (addresses, ports) = match protocol {
        ETHERTYPE_IPV4 => {
            let header = usize::from(packet.first().copied().unwrap_or(0) & 0xf) * 4;
            let fragment = word(4) & 0x3fff != 0;
            (word(12) ^ word(16), if fragment { 0 } else { word(header) })
        }
        ETHERTYPE_IPV6 => {
            let halves = (8..40).step_by(4).fold(0, |sum, at| sum ^ word(at));
            (halves, word(40))
        }
        _ => (0, 0),
    };
    let hash = addresses ^ (ports >> 16) ^ (ports & 0xffff);
    // Fibonacci hashing: neighbouring flows fall far apart.
    hash.wrapping_mul(0x9e37_79b9).rotate_left(15)
}
