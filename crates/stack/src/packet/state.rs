//! What packet sockets are: plain values, owned by the namespace.

use std::collections::VecDeque;

use bytes::Bytes;
use netspace_base::{DevId, Instant, PktType};
use slotmap::SlotMap;
use smallvec::SmallVec;

use super::PacketId;
use super::fanout::Groups;
use crate::error::SockError;
use crate::sock::{Owner, bpf};
use crate::{Effect, Turn};

/// The most packet sockets that a namespace holds.
pub const MAX_SOCKETS: usize = 4096;
/// Bytes that Linux counts for a frame on the queue besides its data.
const FRAME_OVERHEAD: usize = 768;

/// `SOCK_RAW` or `SOCK_DGRAM`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketType {
    /// Frames with their link-layer header.
    Raw,
    /// Packets from the network header on; the stack makes the link-layer header of those that are sent.
    Dgram,
}

/// `struct sockaddr_ll` in words: where a frame goes, or whence it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkAddr {
    /// The device; [`DevId::NONE`] if none is named.
    pub dev: DevId,
    /// The EtherType.
    pub protocol: u16,
    /// The station's address.
    pub mac: [u8; 6],
}

/// A frame, or as much of it as the socket's filter wants.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its bytes: from the link-layer header on ([`PacketType::Raw`]), or from the network header.
    pub data: SmallVec<[Bytes; 2]>,
    /// How long it was, bytes, before the filter cut it.
    pub len: usize,
    /// Where in `data` the network header starts.
    pub network: usize,
    /// The device.
    pub dev: DevId,
    /// What kind of link: `ARPHRD_…`.
    pub link_type: u16,
    /// For whom it was.
    pub pkt_type: PktType,
    /// Its EtherType.
    pub protocol: u16,
    /// Who sent it on the link.
    pub source: [u8; 6],
    /// When the device received or sent it.
    pub at: Instant,
    /// Its transport checksum is left to the device to fill in (`TP_STATUS_CSUMNOTREADY`).
    pub checksum_partial: bool,
    /// Its transport checksum is known to be right (`TP_STATUS_CSUM_VALID`).
    pub checksum_valid: bool,
}

impl Frame {
    /// Bytes of it that are here.
    pub fn captured(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }
}

/// What a membership asks of the device (`PACKET_MR_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberKind {
    /// Frames to one group's address.
    Multicast([u8; 6]),
    /// Every frame.
    Promiscuous,
    /// Every group's frames.
    AllMulticast,
    /// Frames to one more station address.
    Unicast([u8; 6]),
}

/// `PACKET_ADD_MEMBERSHIP`: ends with the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// On which device.
    pub dev: DevId,
    /// What is asked.
    pub kind: MemberKind,
}

/// `PACKET_STATISTICS`: since the last reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PacketStats {
    /// Frames that passed the filter, those dropped included.
    pub packets: u32,
    /// Frames that found the queue full.
    pub drops: u32,
}

/// What `ss -0` and `/proc/net/packet` show of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketInfo {
    /// Raw or datagram.
    pub ty: PacketType,
    /// The EtherType it is bound to; 0 for none.
    pub protocol: u16,
    /// The device it is bound to; [`DevId::NONE`] for all.
    pub dev: DevId,
    /// Whether it takes frames.
    pub running: bool,
    /// Bytes that wait in its queue.
    pub memory: usize,
    /// Who has it.
    pub owner: Owner,
}

/// A packet socket.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    pub(crate) ty: PacketType,
    pub(crate) protocol: u16,
    pub(crate) dev: Option<DevId>,
    pub(crate) owner: Owner,
    pub(crate) filter: Option<bpf::Program>,
    pub(crate) filter_locked: bool,
    pub(crate) ignore_outgoing: bool,
    pub(crate) rcvbuf: u32,
    pub(crate) members: Vec<(Member, u32)>,
    pub(crate) fanout: Option<u16>,
    pub(crate) error: Option<SockError>,
    pub(crate) stats: PacketStats,
    pub(crate) queue: VecDeque<Frame>,
    /// Bytes that the queue is counted with.
    pub(crate) memory: usize,
    /// Where in the effects of the current turn its wake-up lies, if there is one.
    wake_at: usize,
}

impl PacketSocket {
    pub(crate) fn new(ty: PacketType, protocol: u16, rcvbuf: u32) -> Self {
        Self {
            ty,
            protocol,
            dev: None,
            owner: Owner::default(),
            filter: None,
            filter_locked: false,
            ignore_outgoing: false,
            rcvbuf,
            members: Vec::new(),
            fanout: None,
            error: None,
            stats: PacketStats::default(),
            queue: VecDeque::new(),
            memory: 0,
            wake_at: usize::MAX,
        }
    }

    /// Queues a frame; false, and counted, if the queue is full. As on Linux an empty queue takes any.
    pub(crate) fn push(&mut self, frame: Frame) -> bool {
        self.stats.packets = self.stats.packets.wrapping_add(1);
        let size = frame.captured() + FRAME_OVERHEAD;
        if self.memory > 0 && self.memory + size > self.rcvbuf as usize {
            self.stats.drops = self.stats.drops.wrapping_add(1);
            return false;
        }
        self.memory += size;
        self.queue.push_back(frame);
        true
    }

    /// Takes the first frame, or only copies it (`MSG_PEEK`).
    pub(crate) fn take(&mut self, peek: bool) -> Option<Frame> {
        if peek {
            return self.queue.front().cloned();
        }
        let frame = self.queue.pop_front()?;
        self.memory -= frame.captured() + FRAME_OVERHEAD;
        Some(frame)
    }
}

/// All packet sockets of a namespace.
#[derive(Debug, Default)]
pub struct PacketSockets {
    pub(crate) table: SlotMap<PacketId, PacketSocket>,
    pub(crate) groups: Groups,
    /// The socket whose frame is on its way out: it does not get it back.
    pub(crate) sender: Option<PacketId>,
}

impl PacketSockets {
    pub(crate) fn get(&self, id: PacketId) -> Result<&PacketSocket, SockError> {
        self.table.get(id).ok_or(SockError::NoSuchSocket)
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Result<&mut PacketSocket, SockError> {
        self.table.get_mut(id).ok_or(SockError::NoSuchSocket)
    }

    /// Tells the world that what a socket is ready for may have changed: once per drained turn.
    pub(crate) fn wake(&mut self, t: &mut Turn, id: PacketId) {
        let Some(socket) = self.table.get_mut(id) else { return };
        if matches!(t.effects.get(socket.wake_at), Some(Effect::WakePacket(woken)) if *woken == id) {
            return;
        }
        socket.wake_at = t.effects.len();
        t.effects.push(Effect::WakePacket(id));
    }

    /// A device went down, or away: those bound to it are told, as on Linux.
    pub(crate) fn on_dev_down(&mut self, t: &mut Turn, dev: DevId, gone: bool) {
        let bound: Vec<PacketId> =
            self.table.iter().filter(|(_, socket)| socket.dev == Some(dev)).map(|(id, _)| id).collect();
        for id in bound {
            let Some(socket) = self.table.get_mut(id) else { continue };
            socket.error = Some(SockError::NetworkDown);
            if gone {
                socket.dev = None;
                socket.protocol = 0;
            }
            self.wake(t, id);
        }
        if gone {
            for (_, socket) in &mut self.table {
                socket.members.retain(|(member, _)| member.dev != dev);
            }
        }
    }
}
