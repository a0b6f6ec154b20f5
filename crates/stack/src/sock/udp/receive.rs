//! Datagrams into sockets.

use std::net::SocketAddr;

use bytes::Bytes;
use netspace_base::{ChecksumState, Detail, DropReason, Pkt, Point};
use netspace_wire::udplite::{self, UdpLiteRepr};
use netspace_wire::{checksum, protocol, udp};
use smallvec::SmallVec;

use super::flavour::Flavour;
use super::{flavour, lite};
use crate::l4::{Arrival, Cast, IcmpError};
use crate::sock::error::{self, Meaning};
use crate::sock::queue::Datagram;
use crate::sock::socket::{Socket, shown};
use crate::sock::{RecvControl, SockId, bpf, net};
use crate::{Netns, Step, Stop, Turn};

/// What the header of a datagram says.
#[derive(Clone, Copy, Debug)]
struct Heading {
    src_port: u16,
    dst_port: u16,
    /// UDP-Lite: the bytes that the checksum covers, if it is not all.
    covered: Option<usize>,
    /// Over IPv6 without a checksum: only for sockets that allow it (RFC 6936).
    unchecked6: bool,
}

/// A datagram for this host.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    t.trace.at(t.now, ns.id, Point::UdpReceive, &pkt);
    let flavour = flavour::of(arrival.protocol);
    let read = if flavour.is_lite() { read_lite(&mut pkt, arrival) } else { read_udp(&mut pkt, arrival) };
    let heading = match read {
        Ok(heading) => heading,
        Err(Unreadable::Malformed) => return Err(Stop::Drop(pkt, flavour.malformed)),
        Err(Unreadable::Checksum) => return Err(bad_checksum(ns, pkt, flavour, arrival)),
    };
    if arrival.cast != Cast::Unicast {
        return receive_for_all(ns, t, pkt, arrival, &heading);
    }
    let (to, from) = ((arrival.dst, heading.dst_port), (arrival.src, heading.src_port));
    let Some(id) = ns.sockets.find_udp(flavour.protocol, to, from, arrival.dev, Some(&pkt)) else {
        net::port_unreachable(ns, t, &pkt, arrival);
        return Err(Stop::Drop(pkt, flavour.no_port));
    };
    t.trace.with(t.now, ns.id, Point::Demux, &pkt, || demux_detail(ns, id));
    if heading.unchecked6 && !takes_unchecked(&ns.sockets.table[id]) {
        return Err(bad_checksum(ns, pkt, flavour, arrival));
    }
    match queue(ns, t, id, &pkt, arrival, &heading) {
        Ok(()) => Ok(pkt),
        Err(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

fn bad_checksum(ns: &mut Netns, pkt: Box<Pkt>, flavour: &Flavour, arrival: &Arrival) -> Stop {
    ns.snmp.inc(flavour.counters(arrival.src.is_ipv4()).in_errors);
    Stop::Drop(pkt, flavour.checksum)
}

/// `UDP_NO_CHECK6_RX`.
fn takes_unchecked(socket: &Socket) -> bool {
    socket.udp_ref().is_some_and(|udp| udp.no_check6_rx)
}

fn demux_detail(ns: &Netns, id: SockId) -> Detail {
    ns.sockets.table.get(id).map_or(Detail::None, |s| Detail::Text(format!("{}", s.local_shown()).into()))
}

/// Why a datagram cannot be taken whoever it is for.
enum Unreadable {
    Malformed,
    Checksum,
}

fn read_udp(pkt: &mut Pkt, arrival: &Arrival) -> Result<Heading, Unreadable> {
    if !pkt.pull_linear(udp::HEADER_LEN) {
        return Err(Unreadable::Malformed);
    }
    let (header, _) = udp::UdpRepr::parse(pkt.data()).map_err(|_| Unreadable::Malformed)?;
    if pkt.gso.is_none() {
        let len = usize::from(header.len);
        if len > pkt.len() || len < udp::HEADER_LEN {
            return Err(Unreadable::Malformed);
        }
        pkt.truncate(len);
    }
    // RFC 768 allows it; over IPv6 the socket must (RFC 8200 §8.1).
    let unchecked = pkt.checksum == ChecksumState::None && udp::has_no_checksum(pkt.data());
    if !unchecked && !checksum_ok(pkt, arrival) {
        return Err(Unreadable::Checksum);
    }
    let unchecked6 = unchecked && arrival.src.is_ipv6();
    Ok(Heading { src_port: header.src_port, dst_port: header.dst_port, covered: None, unchecked6 })
}

fn checksum_ok(pkt: &Pkt, arrival: &Arrival) -> bool {
    if pkt.checksum != ChecksumState::None {
        return true;
    }
    let pseudo = checksum::pseudo_header(arrival.src, arrival.dst, protocol::UDP, pkt.len());
    checksum::verify_pkt(pkt, 0, pkt.len(), pseudo)
}

fn read_lite(pkt: &mut Pkt, arrival: &Arrival) -> Result<Heading, Unreadable> {
    if !pkt.pull_linear(udplite::HEADER_LEN) {
        return Err(Unreadable::Malformed);
    }
    let (header, _) = UdpLiteRepr::parse(pkt.data()).map_err(|_| Unreadable::Malformed)?;
    let len = pkt.len();
    let covered = header.covered(len).map_err(|_| {
        // As Linux counts them.
        if usize::from(header.coverage) < udplite::HEADER_LEN {
            Unreadable::Checksum
        } else {
            Unreadable::Malformed
        }
    })?;
    if !lite::checksum_ok(pkt, (arrival.src, arrival.dst), covered) {
        return Err(Unreadable::Checksum);
    }
    let covered = Some(covered).filter(|&covered| covered < len);
    Ok(Heading { src_port: header.src_port, dst_port: header.dst_port, covered, unchecked6: false })
}

/// A datagram to a broadcast address or a group: a copy for each socket that takes it.
fn receive_for_all(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, arrival: &Arrival, header: &Heading) -> Step {
    let flavour = flavour::of(arrival.protocol);
    let takers: SmallVec<[SockId; 8]> = ns
        .sockets
        .udp
        .of(flavour.protocol)
        .on_port(header.dst_port)
        .iter()
        .copied()
        .filter(|&id| takes_cast(&ns.sockets.table[id], arrival, header))
        .collect();
    let mut end = Err(flavour.ignored_multi);
    for id in takers {
        let queued = queue(ns, t, id, &pkt, arrival, header);
        if end.is_err() {
            end = queued;
        }
    }
    match end {
        Ok(()) => Ok(pkt),
        Err(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

fn takes_cast(socket: &Socket, arrival: &Arrival, header: &Heading) -> bool {
    let from = SocketAddr::new(arrival.src, header.src_port);
    socket.local_matches(arrival.dst)
        && socket.dev_matches(arrival.dev)
        && socket.remote.is_none_or(|remote| remote == from)
        && (arrival.cast == Cast::Broadcast || is_member(socket, arrival))
        && (!header.unchecked6 || takes_unchecked(socket))
}

/// Whether a socket takes datagrams to a group: it has joined it on that device and its filter lets the source pass, or it
/// has not joined it, another socket has, and `IP_MULTICAST_ALL` is on.
pub(crate) fn is_member(socket: &Socket, arrival: &Arrival) -> bool {
    let opts = &socket.opts;
    let all = if arrival.dst.is_ipv4() { opts.multicast_all } else { opts.multicast_all6 };
    let joined = opts.memberships.iter().find(|m| m.group == arrival.dst && m.dev == arrival.dev);
    joined.map_or(all, |member| member.filter.allows(arrival.src))
}

/// Puts a datagram (or the several of a GSO packet) on a socket's queue.
fn queue(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    pkt: &Pkt,
    arrival: &Arrival,
    header: &Heading,
) -> Result<(), DropReason> {
    let flavour = flavour::of(arrival.protocol);
    let counters = flavour.counters(arrival.src.is_ipv4());
    let socket = ns.sockets.table.get_mut(id).ok_or(flavour.no_port)?;
    let keep = match accepted_len(socket, pkt, arrival, header) {
        Ok(keep) => keep,
        Err(reason) => {
            socket.rx.refuse();
            ns.snmp.inc(counters.in_errors);
            return Err(reason);
        }
    };
    let mut payload = pkt.payload_from(udp::HEADER_LEN);
    let mut len = keep - udp::HEADER_LEN;
    cut_to(&mut payload, len);
    let gso = pkt.gso.map(|gso| usize::from(gso.size)).filter(|&size| size < len);
    let wants_gro = socket.udp().is_some_and(|udp| udp.gro);
    let mut control = control(t, pkt, arrival, header.dst_port);
    let from = shown(socket.family, arrival.src, header.src_port, Some(arrival.dev));
    let piece = match gso {
        Some(size) if wants_gro => {
            control.gro_size = Some(size as u16);
            len
        }
        Some(size) => size,
        None => len,
    };
    loop {
        let rest = split(&mut payload, piece);
        let datagram = Datagram { data: payload, from, control: control.clone() };
        if !socket.rx.push(socket.opts.rcvbuf, datagram) {
            ns.snmp.inc(counters.in_errors);
            return Err(flavour.queue_full);
        }
        ns.snmp.inc(counters.in_datagrams);
        len -= piece.min(len);
        if len == 0 {
            break;
        }
        payload = rest;
    }
    t.trace.at(t.now, ns.id, Point::SocketQueue, pkt);
    ns.sockets.wake(t, id);
    Ok(())
}

/// How much of a datagram the socket takes, the header included: what its options and its filter say.
fn accepted_len(
    socket: &mut Socket,
    pkt: &Pkt,
    arrival: &Arrival,
    header: &Heading,
) -> Result<usize, DropReason> {
    if below_min_ttl(socket, arrival) {
        return Err(DropReason::SocketFilter);
    }
    if !socket.udp().is_some_and(|udp| udp.coverage.accepts(header.covered)) {
        return Err(DropReason::UdpLiteCoverage);
    }
    let Some(filter) = &socket.opts.filter else { return Ok(pkt.len()) };
    match filter.run(&bpf::Input::of(pkt)) as usize {
        0 => Err(DropReason::SocketFilter),
        cap => Ok(pkt.len().min(cap.max(udp::HEADER_LEN))),
    }
}

/// `IP_MINTTL`, `IPV6_MINHOPCOUNT`: packets from farther away are not taken (RFC 5082).
pub(crate) fn below_min_ttl(socket: &Socket, arrival: &Arrival) -> bool {
    let opts = &socket.opts;
    arrival.ttl < if arrival.src.is_ipv4() { opts.min_ttl } else { opts.min_hops6 }
}

/// What recvmsg tells of a packet besides its payload.
pub(crate) fn control(t: &Turn, pkt: &Pkt, arrival: &Arrival, to_port: u16) -> RecvControl {
    let at = if pkt.received_at == netspace_base::Instant::ZERO { t.now } else { pkt.received_at };
    RecvControl {
        to: Some(arrival.dst),
        local: Some(arrival.local),
        to_port,
        dev: arrival.dev,
        ttl: arrival.ttl,
        tos: arrival.tos,
        at,
        mark: pkt.mark,
        priority: pkt.priority,
        frag_size: pkt.frag_size,
        ..RecvControl::default()
    }
}

/// Cuts slices to their first `len` bytes.
pub(crate) fn cut_to(parts: &mut SmallVec<[Bytes; 2]>, len: usize) {
    let _rest = split(parts, len);
}

/// Splits slices after `len` bytes; the first `len` stay.
fn split(parts: &mut SmallVec<[Bytes; 2]>, len: usize) -> SmallVec<[Bytes; 2]> {
    let mut left = len;
    let mut rest = SmallVec::new();
    let mut keep = 0;
    for part in parts.iter_mut() {
        if left >= part.len() {
            left -= part.len();
            keep += 1;
        } else if left > 0 {
            rest.push(part.split_off(left));
            left = 0;
            keep += 1;
        } else {
            rest.push(std::mem::take(part));
        }
    }
    parts.truncate(keep);
    rest
}

/// An ICMP error about a datagram: it goes to the socket that a reply would go to.
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, error: &IcmpError<'_>, meaning: Meaning) {
    let Some((ours, theirs)) = error::quoted_ports(error) else { return };
    let Some(id) =
        ns.sockets.find_udp(error.protocol, (error.src, ours), (error.dst, theirs), error.dev, None)
    else {
        return;
    };
    error::tell(ns, t, id, error, meaning, error.transport + udp::HEADER_LEN, theirs);
}
