//! Which packet sockets get a frame, and how much of it.

use bytes::Bytes;
use netspace_base::{ChecksumState, DevId, Pkt, PktType, Point};
use netspace_wire::ethernet::{EthernetRepr, HEADER_LEN};
use smallvec::SmallVec;

use super::fanout::FanoutFlags;
use super::state::{Frame, PacketSocket, PacketSockets, PacketType};
use super::{ARPHRD_ETHER, ARPHRD_LOOPBACK, ETH_P_802_2, ETH_P_ALL, PacketId};
use crate::dev::Device;
use crate::error::SockError;
use crate::sock::bpf;
use crate::{Netns, Turn};

/// The least EtherType; below it the field is a length (IEEE 802.3 §3.2.6).
const MIN_ETHERTYPE: u16 = 1536;

/// What a frame's header tells, once for all sockets.
struct Seen {
    pkt_type: PktType,
    protocol: u16,
    source: [u8; 6],
    link_type: u16,
    at: netspace_base::Instant,
}

/// A frame (link-layer header in front) as a device receives it, before a bridge or a protocol takes it, or sends it:
/// for the sockets of `ETH_P_ALL`.
#[inline]
pub(crate) fn all(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, outgoing: bool) {
    if !ns.packets.table.is_empty() {
        to_matching(ns, t, pkt, ETH_P_ALL, outgoing);
    }
}

/// A frame (link-layer header in front) that the device itself takes: for the sockets of its EtherType. Whether there
/// was one.
#[inline]
pub(crate) fn typed(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ethertype: u16) -> bool {
    !ns.packets.table.is_empty() && to_matching(ns, t, pkt, protocol_of(ethertype), false)
}

const fn protocol_of(ethertype: u16) -> u16 {
    if ethertype < MIN_ETHERTYPE { ETH_P_802_2 } else { ethertype }
}

fn to_matching(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, bound_to: u16, outgoing: bool) -> bool {
    let packets = &ns.packets;
    let takes = |(id, socket): &(PacketId, &PacketSocket)| {
        socket.protocol == bound_to
            && socket.dev.is_none_or(|dev| dev == pkt.dev)
            && !(outgoing && (ignores_outgoing(packets, socket) || packets.sender == Some(*id)))
    };
    let takers: SmallVec<[(PacketId, Option<u16>); 4]> =
        packets.table.iter().filter(takes).map(|(id, socket)| (id, socket.fanout)).collect();
    let Some(seen) = look(ns, t, pkt, outgoing).filter(|_| !takers.is_empty()) else { return false };
    let mut served: SmallVec<[u16; 4]> = SmallVec::new();
    for (id, fanout) in takers {
        let chosen = match fanout {
            None => Some(id),
            // The group has had it.
            Some(number) if served.contains(&number) => None,
            Some(number) => {
                served.push(number);
                choose(ns, number, pkt, &seen)
            }
        };
        if let Some(id) = chosen {
            queue(ns, t, id, pkt, &seen);
        }
    }
    true
}

fn ignores_outgoing(packets: &PacketSockets, socket: &PacketSocket) -> bool {
    let group = socket.fanout.and_then(|number| packets.groups.get(number));
    socket.ignore_outgoing || group.is_some_and(|group| group.flags.contains(FanoutFlags::IGNORE_OUTGOING))
}

fn look(ns: &Netns, t: &Turn, pkt: &Pkt, outgoing: bool) -> Option<Seen> {
    let device = ns.dev.get(pkt.dev)?;
    let (eth, _) = EthernetRepr::parse(pkt.data()).ok()?;
    Some(Seen {
        pkt_type: if outgoing { PktType::Outgoing } else { classify(device, eth.dst.0) },
        protocol: protocol_of(eth.ethertype),
        source: eth.src.0,
        link_type: link_type(device),
        at: t.now,
    })
}

/// The kind of a device's link.
pub(crate) const fn link_type(device: &Device) -> u16 {
    if device.is_loopback() { ARPHRD_LOOPBACK } else { ARPHRD_ETHER }
}

/// For whom a frame that a device receives is.
fn classify(device: &Device, dst: [u8; 6]) -> PktType {
    if dst == [0xff; 6] {
        PktType::Broadcast
    } else if dst[0] & 1 == 1 {
        PktType::Multicast
    } else if dst == device.mac {
        PktType::Host
    } else {
        PktType::OtherHost
    }
}

fn choose(ns: &mut Netns, number: u16, pkt: &Pkt, seen: &Seen) -> Option<PacketId> {
    let table = &ns.packets.table;
    let has_room = |id: PacketId| table.get(id).is_some_and(|s| s.memory < s.rcvbuf as usize);
    let network = pkt.data().get(HEADER_LEN..).unwrap_or_default();
    ns.packets.groups.choose(number, (seen.protocol, network), &mut ns.rng, has_room)
}

fn queue(ns: &mut Netns, t: &mut Turn, id: PacketId, pkt: &Pkt, seen: &Seen) {
    let Some(socket) = ns.packets.table.get_mut(id) else { return };
    let start = if socket.ty == PacketType::Raw { 0 } else { HEADER_LEN };
    let len = pkt.len().saturating_sub(start);
    let keep = match &socket.filter {
        None => len,
        Some(program) => {
            let mut input = bpf::Input::of(pkt);
            input.data = pkt.data().get(start..).unwrap_or_default();
            input.network = pkt.data().get(HEADER_LEN..).unwrap_or_default();
            input.link = pkt.data();
            input.protocol = seen.protocol;
            input.pkt_type = u32::from(seen.pkt_type.number());
            len.min(program.run(&input) as usize)
        }
    };
    if keep == 0 {
        return;
    }
    let frame = Frame {
        data: cut(pkt, start, keep),
        len,
        network: HEADER_LEN - start,
        dev: pkt.dev,
        link_type: seen.link_type,
        pkt_type: seen.pkt_type,
        protocol: seen.protocol,
        source: seen.source,
        at: seen.at,
        checksum_partial: pkt.checksum == ChecksumState::Partial,
        checksum_valid: pkt.checksum == ChecksumState::Unnecessary,
    };
    if socket.push(frame) {
        t.trace.at(t.now, ns.id, Point::SocketQueue, pkt);
        ns.packets.wake(t, id);
    }
}

/// The first `keep` bytes from `start` on: the headers copied, the payload shared.
fn cut(pkt: &Pkt, start: usize, keep: usize) -> SmallVec<[Bytes; 2]> {
    let linear = pkt.data().get(start..).unwrap_or_default();
    let head = &linear[..linear.len().min(keep)];
    let mut left = keep - head.len();
    let mut data = SmallVec::new();
    data.push(Bytes::copy_from_slice(head));
    for frag in pkt.frags() {
        if left == 0 {
            break;
        }
        let part = frag.slice(..frag.len().min(left));
        left -= part.len();
        data.push(part);
    }
    data
}

/// Runs `send` with `id` known as the sender of what leaves by it.
pub(crate) fn sent_by<R>(ns: &mut Netns, id: PacketId, send: impl FnOnce(&mut Netns) -> R) -> R {
    ns.packets.sender = Some(id);
    let result = send(ns);
    ns.packets.sender = None;
    result
}

/// A device that a frame may leave by.
pub(crate) fn device_up(ns: &Netns, dev: DevId) -> Result<&Device, SockError> {
    let device = ns.dev.get(dev).ok_or(SockError::NoSuchAddress)?;
    if device.is_up() { Ok(device) } else { Err(SockError::NetworkDown) }
}
