//! One packet socket: what its program has set, and its rings.

use std::collections::BTreeMap;

use netspace_stack::Netns;
use netspace_stack::packet::{PacketId, PacketType};
use netspace_stack::sock::SockError;

use super::option::{
    Asked, PACKET_AUXDATA, PACKET_COPY_THRESH, PACKET_HDRLEN, PACKET_IGNORE_OUTGOING, PACKET_LOSS,
    PACKET_ORIGDEV, PACKET_QDISC_BYPASS, PACKET_RESERVE, PACKET_RX_RING, PACKET_STATISTICS, PACKET_TIMESTAMP,
    PACKET_TX_RING, PACKET_TX_TIMESTAMP, PACKET_VERSION, PACKET_VNET_HDR, SOL_PACKET, read,
};
use super::ring::{Geometry, RxRing, TxRing, Version};
use crate::bytes_at::{i32_at, u32_at};
use crate::errno::{EINVAL, ENOPROTOOPT, Errno};

/// `SO_BPF_EXTENSIONS`: how much of the ancillary data filters know (`SKF_AD_MAX`).
const SO_BPF_EXTENSIONS: i32 = 48;
const BPF_EXTENSIONS: i32 = 64;
/// The least receive buffer, as getsockopt tells it.
const MIN_RCVBUF: u32 = 2304;

/// What a setsockopt call has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Changed {
    /// Nothing that others must know.
    Nothing,
    /// The rings: they need this many bytes of shared memory, zeroed; 0: none any more.
    Rings(usize),
}

/// A packet socket's own part.
#[derive(Debug)]
pub struct PacketSocket {
    /// Its name in the stack.
    pub id: PacketId,
    ty: PacketType,
    version: Version,
    reserve: usize,
    pub(super) auxdata: bool,
    pub(super) timestamp: bool,
    pub(super) timestamp_ns: bool,
    geometry: [Option<Geometry>; 2],
    /// Received frames go here, once there is memory.
    pub rx: Option<RxRing>,
    /// Frames to be sent come from here.
    pub tx: Option<TxRing>,
    /// Frames that found the ring full, since the counts were read.
    pub ring_drops: u32,
    /// Options that are kept and told, by number.
    kept: BTreeMap<i32, i32>,
}

impl PacketSocket {
    /// A new one.
    pub const fn new(id: PacketId, ty: PacketType) -> Self {
        Self {
            id,
            ty,
            version: Version::V1,
            reserve: 0,
            auxdata: false,
            timestamp: false,
            timestamp_ns: false,
            geometry: [None; 2],
            rx: None,
            tx: None,
            ring_drops: 0,
            kept: BTreeMap::new(),
        }
    }

    /// `SOCK_RAW` or `SOCK_DGRAM`.
    pub const fn ty(&self) -> PacketType {
        self.ty
    }

    /// setsockopt(2). For `SO_ATTACH_FILTER` `bytes` is the program.
    pub fn set(&mut self, ns: &mut Netns, level: i32, number: i32, bytes: &[u8]) -> Result<Changed, Errno> {
        match (level, number) {
            (SOL_PACKET, PACKET_RX_RING) => self.set_ring(0, bytes),
            (SOL_PACKET, PACKET_TX_RING) => self.set_ring(1, bytes),
            (SOL_PACKET, _) => self.set_packet(ns, number, bytes),
            (libc::SOL_SOCKET, _) => self.set_socket(ns, number, bytes),
            _ => Err(ENOPROTOOPT),
        }
    }

    fn set_packet(&mut self, ns: &mut Netns, number: i32, bytes: &[u8]) -> Result<Changed, Errno> {
        let ringed = self.geometry != [None; 2];
        match read(number, bytes)? {
            Asked::Join(member) => ns.packet_join(self.id, member)?,
            Asked::Leave(member) => ns.packet_leave(self.id, member)?,
            Asked::Fanout(group, mode, flags) => ns.packet_fanout(self.id, group, mode, flags)?,
            Asked::IgnoreOutgoing(on) => {
                ns.packet_ignore_outgoing(self.id, on)?;
                self.kept.insert(number, i32::from(on));
            }
            Asked::Version(_) | Asked::Reserve(_) if ringed => return Err(Errno(libc::EBUSY)),
            Asked::Version(version) => self.version = version,
            Asked::Reserve(bytes) => self.reserve = bytes,
            Asked::Keep(value) => {
                if number == PACKET_AUXDATA {
                    self.auxdata = value != 0;
                }
                self.kept.insert(number, value);
            }
        }
        Ok(Changed::Nothing)
    }

    fn set_ring(&mut self, which: usize, bytes: &[u8]) -> Result<Changed, Errno> {
        if which == 1 && self.version == Version::V3 {
            return Err(EINVAL);
        }
        let asked = Geometry::parse(bytes, self.version, self.reserve)?;
        if asked.is_some() && self.geometry[which].is_some() {
            return Err(Errno(libc::EBUSY));
        }
        self.geometry[which] = asked;
        let [rx, tx] = self.geometry;
        let rx_len = rx.map_or(0, |geometry| geometry.bytes());
        self.rx = rx.map(|geometry| RxRing::new(self.version, geometry, self.ty, self.reserve));
        self.tx = tx.map(|geometry| TxRing::new(self.version, geometry, rx_len));
        Ok(Changed::Rings(rx_len + tx.map_or(0, |geometry| geometry.bytes())))
    }

    fn set_socket(&mut self, ns: &mut Netns, number: i32, bytes: &[u8]) -> Result<Changed, Errno> {
        let int = || i32_at(bytes, 0).ok_or(EINVAL);
        match number {
            libc::SO_ATTACH_FILTER => {
                ns.packet_filter(self.id, Some(&crate::option::filter(bytes)?))?;
            }
            libc::SO_DETACH_FILTER => ns.packet_filter(self.id, None)?,
            libc::SO_LOCK_FILTER => ns.packet_lock_filter(self.id, int()? != 0)?,
            libc::SO_TIMESTAMP => {
                self.timestamp = int()? != 0;
                self.timestamp_ns = false;
            }
            libc::SO_TIMESTAMPNS => {
                self.timestamp_ns = int()? != 0;
                self.timestamp = false;
            }
            libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => {
                let most = if number == libc::SO_RCVBUF { ns.sock_sysctls().rmem_max } else { u32::MAX / 2 };
                let bytes = (int()? as u32).min(most).saturating_mul(2).max(MIN_RCVBUF);
                ns.packet_set_rcvbuf(self.id, bytes)?;
            }
            libc::SO_SNDBUF
            | libc::SO_SNDBUFFORCE
            | libc::SO_BROADCAST
            | libc::SO_REUSEADDR
            | libc::SO_PRIORITY
            | libc::SO_MARK
            | libc::SO_TIMESTAMPING
            | libc::SO_BUSY_POLL => {
                self.kept.insert(number, int()?);
            }
            _ => return Err(ENOPROTOOPT),
        }
        Ok(Changed::Nothing)
    }

    /// getsockopt(2): the value, not yet cut to the caller's room. `asked` is what the caller's buffer holds, for
    /// `PACKET_HDRLEN`.
    pub fn get(&mut self, ns: &mut Netns, level: i32, number: i32, asked: &[u8]) -> Result<Vec<u8>, Errno> {
        let kept = |number| self.kept.get(&number).copied().unwrap_or(0);
        let int = match (level, number) {
            (SOL_PACKET, PACKET_STATISTICS) => return self.statistics(ns),
            (SOL_PACKET, PACKET_HDRLEN) => {
                let version = Version::of(u32_at(asked, 0).ok_or(EINVAL)?).ok_or(EINVAL)?;
                version.header_len() as i32
            }
            (SOL_PACKET, PACKET_VERSION) => self.version.number() as i32,
            (SOL_PACKET, PACKET_RESERVE) => self.reserve as i32,
            (SOL_PACKET, PACKET_VNET_HDR) => 0,
            (
                SOL_PACKET,
                PACKET_AUXDATA
                | PACKET_ORIGDEV
                | PACKET_LOSS
                | PACKET_QDISC_BYPASS
                | PACKET_COPY_THRESH
                | PACKET_TX_TIMESTAMP
                | PACKET_TIMESTAMP
                | PACKET_IGNORE_OUTGOING,
            ) => kept(number),
            (libc::SOL_SOCKET, libc::SO_TYPE) => match self.ty {
                PacketType::Raw => libc::SOCK_RAW,
                PacketType::Dgram => libc::SOCK_DGRAM,
            },
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_PACKET,
            // As on Linux, whatever it is bound to.
            (libc::SOL_SOCKET, libc::SO_PROTOCOL | libc::SO_ACCEPTCONN) => 0,
            (libc::SOL_SOCKET, libc::SO_ERROR) => ns.packet_take_error(self.id).map_or(0, crate::errno::of),
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => ns.packet_rcvbuf(self.id)? as i32,
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                self.kept.get(&number).map_or(ns.sock_sysctls().wmem_default as i32, |n| n.saturating_mul(2))
            }
            (libc::SOL_SOCKET, SO_BPF_EXTENSIONS) => BPF_EXTENSIONS,
            (libc::SOL_SOCKET, libc::SO_TIMESTAMP) => i32::from(self.timestamp),
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => i32::from(self.timestamp_ns),
            (
                libc::SOL_SOCKET,
                libc::SO_BROADCAST | libc::SO_REUSEADDR | libc::SO_PRIORITY | libc::SO_MARK,
            ) => kept(number),
            _ => return Err(ENOPROTOOPT),
        };
        Ok(int.to_ne_bytes().to_vec())
    }

    /// `struct tpacket_stats { u32 packets, drops; }`, for V3 with the number of times that the ring was full.
    fn statistics(&mut self, ns: &mut Netns) -> Result<Vec<u8>, Errno> {
        let stats = ns.packet_take_stats(self.id).map_err(|error: SockError| Errno::from(error))?;
        let drops = stats.drops + std::mem::take(&mut self.ring_drops);
        let mut out = [stats.packets.to_ne_bytes(), drops.to_ne_bytes()].concat();
        if self.version == Version::V3 {
            out.extend(drops.to_ne_bytes());
        }
        Ok(out)
    }
}
