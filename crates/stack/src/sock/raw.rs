//! Raw sockets: packets of one IP protocol as they are. IPv4 delivers the IP header with them, IPv6 (RFC 3542) does not.

use netspace_base::{ChecksumState, Detail, Pkt, Point};
use netspace_wire::{checksum, protocol};
use smallvec::SmallVec;

use super::error::{self, Meaning};
use super::net;
use super::out::{self, Flow};
use super::queue::Datagram;
use super::socket::{Kind, Socket, shown};
use super::table::Sockets;
use super::{Family, Message, SockError, SockId, bpf, udp};
use crate::l4::{Arrival, Cast, IcmpError};
use crate::{Netns, Turn};

/// Most bytes of a packet.
const MAX_LEN: usize = 65_535;
/// Where an ICMPv6 message has its checksum.
const ICMPV6_CHECKSUM: u16 = 2;

/// Enters a new socket into the table of its protocol.
pub(crate) fn hash(sockets: &mut Sockets, id: SockId) {
    let socket = &mut sockets.table[id];
    let v6 = socket.family == Family::Inet6;
    if socket.protocol == protocol::RAW {
        socket.opts.hdrincl4 = !v6;
        socket.opts.hdrincl6 = v6;
    }
    // What `ss` and `/proc/net/raw` show as port.
    socket.local_port = u16::from(socket.protocol);
    let key = (v6, socket.protocol);
    sockets.raw.entry(key).or_default().push(id);
}

/// Takes a socket out of the table.
pub(crate) fn unhash(sockets: &mut Sockets, id: SockId) {
    let Some(socket) = sockets.table.get(id) else { return };
    let key = (socket.family == Family::Inet6, socket.protocol);
    if let Some(ids) = sockets.raw.get_mut(&key) {
        ids.retain(|&mut other| other != id);
    }
}

// ---- Out -----------------------------------------------------------------------------------------------------------

/// sendmsg(2).
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, id: SockId, message: Message) -> Result<usize, SockError> {
    let len = message.data.len();
    let socket = ns.sockets.get_mut(id)?;
    if message.oob {
        return Err(SockError::OperationUnsupported);
    }
    if len > MAX_LEN {
        return Err(SockError::MessageSize);
    }
    if socket.shut_write {
        return Err(SockError::BrokenPipe);
    }
    let v6 = socket.family == Family::Inet6;
    let header_included = if v6 { socket.opts.hdrincl6 } else { socket.opts.hdrincl4 };
    // Linux: sending does not meet the pending error unless the program writes the header itself. `traceroute -I` sends
    // its probes in one go, and the first answers are errors.
    if header_included {
        socket.check_error()?;
    }
    let mut dst = out::destination(socket, message.to)?;
    if v6 && dst.is_ipv4() {
        return Err(SockError::NetworkUnreachable);
    }
    dst.set_port(0);
    let mut flow = out::route(ns, t, id, dst, message.to, &message.control)?;
    flow.dont_route |= message.dont_route;
    flow.confirm = message.confirm;
    let df = check(ns, t, id, &flow, len, header_included)?;
    let mut pkt = t.new_pkt();
    pkt.append_frag(message.data);
    t.trace.socket(t.now, ns.id, Point::SocketSend, || Detail::Bytes(len as u64));
    pkt.set_transport_header();
    pkt.mark = flow.mark;
    pkt.checksum = ChecksumState::Unnecessary;
    if header_included {
        let protocol = ns.sockets.get(id)?.protocol;
        net::send_with_header(ns, t, pkt, &flow, protocol)?;
    } else {
        if v6 {
            fill_checksum(&ns.sockets.table[id], &flow, &mut pkt);
        }
        out::send(ns, t, id, &flow, pkt, df)?;
    }
    Ok(len)
}

/// Refuses what cannot be sent before a packet is made of it; tells whether to set DF.
fn check(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    flow: &Flow,
    len: usize,
    header_included: bool,
) -> Result<bool, SockError> {
    if !header_included {
        let past_end = |at: u16| usize::from(at) + 2 > len;
        if flow.dst.is_ipv6() && checksum_offset(ns.sockets.get(id)?).is_some_and(past_end) {
            return Err(SockError::Invalid);
        }
        return out::check_mtu(ns, t, id, flow, len);
    }
    if len < if flow.dst.is_ipv4() { 20 } else { 40 } {
        return Err(SockError::Invalid);
    }
    if len > flow.route.dev_mtu as usize {
        error::local_too_long(ns, t, id, flow, flow.route.dev_mtu);
        return Err(SockError::MessageSize);
    }
    Ok(false)
}

/// `IPV6_CHECKSUM`: the checksum's place in the payload; ICMPv6 always has one (RFC 3542 §3.1).
fn fill_checksum(socket: &Socket, flow: &Flow, pkt: &mut Pkt) {
    let Some(offset) = checksum_offset(socket) else { return };
    let at = usize::from(offset);
    let len = pkt.len();
    if !pkt.pull_linear(at + 2) {
        return;
    }
    pkt.data_mut()[at..at + 2].fill(0);
    let pseudo = checksum::pseudo_header(flow.src, flow.dst.ip(), socket.protocol, len);
    let mut sum = checksum::finish(checksum::sum_pkt(pkt, 0) + pseudo);
    if sum == 0 && socket.protocol == protocol::UDP {
        sum = 0xffff;
    }
    pkt.data_mut()[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn checksum_offset(socket: &Socket) -> Option<u16> {
    if socket.protocol == protocol::ICMPV6 { Some(ICMPV6_CHECKSUM) } else { socket.opts.checksum6 }
}

// ---- In ------------------------------------------------------------------------------------------------------------

/// Gives every raw socket that takes the packet a copy; whether there was one.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival) -> bool {
    let v6 = arrival.src.is_ipv6();
    let Some(ids) = ns.sockets.raw.get(&(v6, arrival.protocol)).filter(|ids| !ids.is_empty()) else {
        return false;
    };
    let takers: SmallVec<[SockId; 4]> =
        ids.iter().copied().filter(|&id| takes(&ns.sockets.table[id], pkt, arrival)).collect();
    if takers.is_empty() {
        return false;
    }
    // A program reads what would have been on the wire.
    let mut filled = None;
    if pkt.checksum == ChecksumState::Partial {
        let mut copy = pkt.clone();
        let header = copy.since_network_header();
        copy.unpull(header);
        checksum::fill_checksum(&mut copy);
        copy.pull(header);
        filled = Some(copy);
    }
    let pkt = filled.as_ref().unwrap_or(pkt);
    for id in takers {
        queue(ns, t, id, pkt, arrival);
    }
    true
}

fn takes(socket: &Socket, pkt: &Pkt, arrival: &Arrival) -> bool {
    let to_us = socket.local.is_unspecified() || socket.local == arrival.dst;
    let from_peer = socket.remote.is_none_or(|remote| remote.ip() == arrival.src);
    let cast = arrival.cast != Cast::Multicast || udp::is_member(socket, arrival);
    to_us && from_peer && cast && socket.dev_matches(arrival.dev) && passes_icmp_filter(socket, pkt)
}

/// `ICMP_FILTER`, `ICMP6_FILTER`: a set bit blocks the type.
fn passes_icmp_filter(socket: &Socket, pkt: &Pkt) -> bool {
    let Some(&icmp_type) = pkt.data().first() else { return true };
    match (socket.family, socket.protocol) {
        (Family::Inet, protocol::ICMP) => icmp_type >= 32 || socket.opts.icmp_filter & (1 << icmp_type) == 0,
        (Family::Inet6, protocol::ICMPV6) => {
            socket.opts.icmp6_filter[usize::from(icmp_type >> 5)] & (1 << (icmp_type & 31)) == 0
        }
        _ => true,
    }
}

fn queue(ns: &mut Netns, t: &mut Turn, id: SockId, pkt: &Pkt, arrival: &Arrival) {
    let socket = &mut ns.sockets.table[id];
    if udp::below_min_ttl(socket, arrival) {
        return;
    }
    if let (Family::Inet6, Some(_)) = (socket.family, checksum_offset(socket))
        && pkt.checksum == ChecksumState::None
        && !checksum::verify_pkt(
            pkt,
            0,
            pkt.len(),
            checksum::pseudo_header(arrival.src, arrival.dst, arrival.protocol, pkt.len()),
        )
    {
        return;
    }
    let mut input = bpf::Input::of(pkt);
    let mut data = pkt.payload_from(0);
    if socket.family == Family::Inet {
        input.data = pkt.network_header();
        let header = &pkt.network_header()[..pkt.since_network_header()];
        data.insert(0, bytes::Bytes::copy_from_slice(header));
    }
    if let Some(filter) = &socket.opts.filter {
        let cap = filter.run(&input) as usize;
        if cap == 0 {
            return;
        }
        udp::cut_to(&mut data, cap);
    }
    let datagram = Datagram {
        data,
        from: shown(socket.family, arrival.src, 0, Some(arrival.dev)),
        control: udp::control(t, pkt, arrival, 0),
    };
    if socket.rx.push(socket.opts.rcvbuf, datagram) {
        t.trace.at(t.now, ns.id, Point::SocketQueue, pkt);
        ns.sockets.wake(t, id);
    }
}

/// An ICMP error about a packet of the socket's protocol, from its address and to its peer.
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, error: &IcmpError<'_>, meaning: Meaning) {
    let v6 = error.src.is_ipv6();
    let Some(ids) = ns.sockets.raw.get(&(v6, error.protocol)) else { return };
    let fits = |id: &SockId| {
        let socket = &ns.sockets.table[*id];
        matches!(socket.kind, Kind::Raw)
            && (socket.local.is_unspecified() || socket.local == error.src)
            && socket.remote.is_none_or(|remote| remote.ip() == error.dst)
            && (socket.remote.is_some() || socket.recv_err(error.dst))
            && socket.dev_matches(error.dev)
    };
    let hit: SmallVec<[SockId; 4]> = ids.iter().copied().filter(fits).collect();
    for id in hit {
        let opts = &ns.sockets.table[id].opts;
        let whole = if v6 { opts.hdrincl6 } else { opts.hdrincl4 };
        error::tell(ns, t, id, error, meaning, if whole { 0 } else { error.transport }, 0);
    }
}
