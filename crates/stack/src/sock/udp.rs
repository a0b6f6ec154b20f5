//! UDP (RFC 768, RFC 8200 §8.1): datagrams out of and into sockets.
//!
//! ```text
//! send → destination → route → [cork] → header → out::send        receive → checksum → find socket → filter → queue
//! ```
//! Large sends with `UDP_SEGMENT` travel as one packet and are cut where frames are needed.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use netspace_base::{ChecksumState, Detail, DropReason, Gso, GsoKind, Pkt, Point};
use netspace_wire::{checksum, protocol, udp};
use smallvec::SmallVec;

use super::error::{self, Meaning};
use super::out::{self, Flow};
use super::queue::Datagram;
use super::socket::{Socket, shown};
use super::table::UdpKeys;
use super::{Connect, Family, Message, RecvControl, SockError, SockId, bind, bpf, net};
use crate::l4::{Arrival, Cast, IcmpError};
use crate::snmp::Counter;
use crate::{Netns, RouteKind, RouteQuery, Step, Stop, Turn};

/// Most datagrams in one send with `UDP_SEGMENT` (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: usize = 128;
/// Most payload bytes of a datagram.
const MAX_PAYLOAD: usize = 65_535 - udp::HEADER_LEN;

/// UDP's own state of a socket.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    /// `UDP_CORK`.
    pub(crate) cork: bool,
    /// `UDP_SEGMENT`.
    pub(crate) segment: u16,
    /// `UDP_GRO`.
    pub(crate) gro: bool,
    /// What `UDP_CORK` or `MSG_MORE` holds back.
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
struct Pending {
    flow: Flow,
    data: SmallVec<[Bytes; 4]>,
    len: usize,
    gso_size: u16,
}

// ---- Out -----------------------------------------------------------------------------------------------------------

/// sendmsg(2).
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, id: SockId, message: Message) -> Result<usize, SockError> {
    let len = message.data.len();
    let socket = ns.sockets.get_mut(id)?;
    if message.oob {
        return Err(SockError::OperationUnsupported);
    }
    if len > MAX_PAYLOAD {
        return Err(beyond_any_packet(ns, t, id, &message));
    }
    if socket.shut_write {
        return Err(SockError::BrokenPipe);
    }
    socket.check_error()?;
    let udp = socket.udp().ok_or(SockError::OperationUnsupported)?;
    let hold = message.more || udp.cork;
    let gso_size = message.control.gso_size.unwrap_or(udp.segment);
    let pending = udp.pending.take();
    let mut pending = match pending {
        Some(pending) => pending,
        None => Box::new(begin(ns, t, id, &message, gso_size)?),
    };
    if pending.len + len > MAX_PAYLOAD && (pending.len > 0 || pending.flow.dst.is_ipv4()) {
        return Err(SockError::MessageSize);
    }
    pending.len += len;
    pending.data.push(message.data);
    if hold {
        if let Some(udp) = ns.sockets.get_mut(id)?.udp() {
            udp.pending = Some(pending);
        }
        return Ok(len);
    }
    finish(ns, t, id, *pending)?;
    Ok(len)
}

/// No datagram is that long. IPv6 tells the path's MTU on the error queue all the same (Linux; tracepath begins so).
fn beyond_any_packet(ns: &mut Netns, t: &mut Turn, id: SockId, message: &Message) -> SockError {
    if let Ok(Pending { flow, .. }) = begin(ns, t, id, message, 0)
        && flow.dst.is_ipv6()
    {
        error::local_too_long(ns, t, id, &flow, flow.route.mtu);
    }
    SockError::MessageSize
}

fn begin(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    message: &Message,
    gso_size: u16,
) -> Result<Pending, SockError> {
    let dst = out::destination(ns.sockets.get(id)?, message.to)?;
    if dst.port() == 0 {
        return Err(SockError::Invalid);
    }
    let mut flow = out::route(ns, t, id, dst, message.to, &message.control)?;
    flow.dont_route |= message.dont_route;
    flow.confirm = message.confirm;
    bind::autobind(ns, id)?;
    Ok(Pending { flow, data: SmallVec::new(), len: 0, gso_size })
}

/// Sends what `UDP_CORK` held back (the option was taken away).
pub(crate) fn uncork(ns: &mut Netns, t: &mut Turn, id: SockId) -> Result<(), SockError> {
    let pending = ns.sockets.get_mut(id)?.udp().and_then(|udp| udp.pending.take());
    pending.map_or(Ok(()), |pending| finish(ns, t, id, *pending))
}

fn finish(ns: &mut Netns, t: &mut Turn, id: SockId, pending: Pending) -> Result<(), SockError> {
    let Pending { flow, data, len, gso_size } = pending;
    let size = usize::from(gso_size);
    let cut = gso_size != 0 && len > size;
    let socket = ns.sockets.get(id)?;
    if cut {
        let frame = size + udp::HEADER_LEN + flow.header_len(socket);
        if len > size * MAX_SEGMENTS || (socket.opts.no_check && flow.dst.is_ipv4()) {
            return Err(SockError::Invalid);
        }
        if frame > flow.route.mtu as usize {
            return Err(SockError::MessageSize);
        }
    }
    let df = out::check_mtu(ns, t, id, &flow, udp::HEADER_LEN + if cut { size } else { len })?;
    let pkt = build(ns, t, id, &flow, data, gso_size);
    let v4 = flow.dst.is_ipv4();
    let sent = out::send(ns, t, id, &flow, pkt, df);
    let datagrams = if cut { len.div_ceil(size) } else { 1 } as u64;
    ns.snmp.add(
        match (sent.is_ok(), v4) {
            (true, true) => Counter::UdpOutDatagrams,
            (true, false) => Counter::Udp6OutDatagrams,
            (false, true) => Counter::UdpSndbufErrors,
            (false, false) => Counter::Udp6SndbufErrors,
        },
        datagrams,
    );
    sent
}

fn build(
    ns: &Netns,
    t: &mut Turn,
    id: SockId,
    flow: &Flow,
    data: SmallVec<[Bytes; 4]>,
    gso_size: u16,
) -> Box<Pkt> {
    let socket = &ns.sockets.table[id];
    let mut pkt = t.new_pkt();
    for part in data {
        pkt.append_frag(part);
    }
    let len = pkt.len();
    t.trace.socket(t.now, ns.id, Point::SocketSend, || Detail::Bytes(len as u64));
    let header = udp::UdpRepr::new(socket.local_port, flow.dst.port(), len);
    header.emit(pkt.push(udp::HEADER_LEN));
    pkt.set_transport_header();
    if gso_size != 0 && len > usize::from(gso_size) {
        pkt.gso = Some(Gso { size: gso_size, kind: GsoKind::Udp });
    }
    if socket.opts.no_check && flow.dst.is_ipv4() {
        pkt.checksum = ChecksumState::None;
    } else {
        let pseudo = checksum::pseudo_header(flow.src, flow.dst.ip(), protocol::UDP, len + udp::HEADER_LEN);
        checksum::set_partial(&mut pkt, protocol::UDP, pseudo);
    }
    net::trace_made(ns, t, Point::UdpSend, &pkt, (flow.src, flow.dst.ip()), protocol::UDP, Detail::None);
    pkt
}

/// connect(2): a default destination, and only datagrams from there.
pub(crate) fn connect(ns: &mut Netns, t: &Turn, id: SockId, addr: SocketAddr) -> Result<Connect, SockError> {
    let socket = ns.sockets.get(id)?;
    if socket.family == Family::Inet6 && addr.is_ipv4() {
        return Err(SockError::AddressFamily);
    }
    let remote = out::destination(socket, Some(addr))?;
    let dev = socket.opts.bound_dev.or_else(|| super::socket::scope_dev(&addr));
    let multicast = &socket.opts.multicast;
    let oif = match remote.ip() {
        IpAddr::V4(v4) if v4.is_multicast() => dev.or(multicast.dev4),
        IpAddr::V6(v6) if v6.is_multicast() => dev.or(multicast.dev6),
        _ => dev,
    };
    let src = Some(socket.local).filter(|local| !local.is_unspecified());
    let query = RouteQuery {
        dst: remote.ip(),
        src,
        oif,
        mark: socket.opts.mark,
        tos: if remote.is_ipv4() { socket.opts.tos } else { socket.opts.tclass6 },
        hash: 0,
    };
    let route = ns.route_out(t.now, &query)?;
    if route.kind == RouteKind::Broadcast && !socket.opts.broadcast {
        return Err(SockError::Access);
    }
    bind::autobind(ns, id)?;
    rename(ns, id, |socket| {
        if socket.local.is_unspecified() {
            socket.local = route.src;
        }
        if super::socket::scope_dev(&addr).is_some() && socket.opts.bound_dev.is_none() {
            socket.opts.bound_dev = dev;
        }
        socket.remote = Some(remote);
        socket.route = Some(route);
        socket.error = None;
    })?;
    Ok(Connect::Done)
}

/// connect(2) with `AF_UNSPEC`: no peer any more; names that bind did not give go with it.
pub(crate) fn disconnect(ns: &mut Netns, id: SockId) -> Result<(), SockError> {
    let keep_port = ns.sockets.get(id)?.port_bound;
    if !keep_port {
        unhash(ns, id);
    }
    let forget = |socket: &mut Socket| {
        socket.remote = None;
        socket.route = None;
        if !socket.addr_bound {
            socket.local = super::unspecified(socket.family);
        }
    };
    if keep_port {
        return rename(ns, id, forget);
    }
    let socket = ns.sockets.get_mut(id)?;
    forget(socket);
    socket.local_port = 0;
    Ok(())
}

/// Changes a socket's names with the tables following.
pub(crate) fn rename(ns: &mut Netns, id: SockId, change: impl FnOnce(&mut Socket)) -> Result<(), SockError> {
    let sockets = &mut ns.sockets;
    let socket = sockets.get_mut(id)?;
    let hashed = socket.local_port != 0;
    let before = UdpKeys::of(socket);
    change(socket);
    let after = UdpKeys::of(socket);
    if hashed && socket.udp().is_some() {
        sockets.udp.remove(id, before);
        sockets.udp.insert(id, after);
    }
    Ok(())
}

/// Takes a socket out of the tables.
pub(crate) fn unhash(ns: &mut Netns, id: SockId) {
    let Some(socket) = ns.sockets.table.get(id) else { return };
    if socket.local_port != 0 {
        let keys = UdpKeys::of(socket);
        ns.sockets.udp.remove(id, keys);
    }
}

// ---- In ------------------------------------------------------------------------------------------------------------

/// A datagram for this host.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    t.trace.at(t.now, ns.id, Point::UdpReceive, &pkt);
    if !pkt.pull_linear(udp::HEADER_LEN) {
        return Err(Stop::Drop(pkt, DropReason::UdpMalformed));
    }
    let Ok((header, _)) = udp::UdpRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::UdpMalformed));
    };
    let len = usize::from(header.len);
    if pkt.gso.is_none() {
        if len > pkt.len() || len < udp::HEADER_LEN {
            return Err(Stop::Drop(pkt, DropReason::UdpMalformed));
        }
        pkt.truncate(len);
    }
    if !checksum_ok(&pkt, arrival) {
        return Err(Stop::Drop(pkt, DropReason::UdpChecksum));
    }
    if arrival.cast != Cast::Unicast {
        return receive_for_all(ns, t, pkt, arrival, &header);
    }
    let to = (arrival.dst, header.dst_port);
    let Some(id) = ns.sockets.find_udp(to, (arrival.src, header.src_port), arrival.dev) else {
        net::port_unreachable(ns, t, &pkt, arrival);
        return Err(Stop::Drop(pkt, DropReason::UdpNoPort));
    };
    t.trace.with(t.now, ns.id, Point::Demux, &pkt, || demux_detail(ns, id));
    match queue(ns, t, id, &pkt, arrival, &header) {
        Ok(()) => Ok(pkt),
        Err(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

fn demux_detail(ns: &Netns, id: SockId) -> Detail {
    ns.sockets.table.get(id).map_or(Detail::None, |s| Detail::Text(format!("{}", s.local_shown()).into()))
}

fn checksum_ok(pkt: &Pkt, arrival: &Arrival) -> bool {
    if pkt.checksum != ChecksumState::None {
        return true;
    }
    if udp::has_no_checksum(pkt.data()) {
        // RFC 768 allows it; RFC 8200 §8.1 does not.
        return arrival.src.is_ipv4();
    }
    let pseudo = checksum::pseudo_header(arrival.src, arrival.dst, protocol::UDP, pkt.len());
    checksum::verify_pkt(pkt, 0, pkt.len(), pseudo)
}

/// A datagram to a broadcast address or a group: a copy for each socket that takes it.
fn receive_for_all(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: Box<Pkt>,
    arrival: &Arrival,
    header: &udp::UdpRepr,
) -> Step {
    let takers: SmallVec<[SockId; 8]> = ns
        .sockets
        .udp
        .on_port(header.dst_port)
        .iter()
        .copied()
        .filter(|&id| takes_cast(&ns.sockets.table[id], arrival, header))
        .collect();
    let mut end = Err(DropReason::UdpIgnoredMulti);
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

fn takes_cast(socket: &Socket, arrival: &Arrival, header: &udp::UdpRepr) -> bool {
    let from = SocketAddr::new(arrival.src, header.src_port);
    socket.local_matches(arrival.dst)
        && socket.dev_matches(arrival.dev)
        && socket.remote.is_none_or(|remote| remote == from)
        && (arrival.cast == Cast::Broadcast || is_member(socket, arrival))
}

/// Whether a socket takes datagrams to a group: it has joined it on that device, or has left `IP_MULTICAST_ALL` on and
/// another socket has.
pub(crate) fn is_member(socket: &Socket, arrival: &Arrival) -> bool {
    let joined = |dev| socket.opts.memberships.iter().any(|m| m.group == arrival.dst && m.dev == dev);
    socket.opts.multicast_all || joined(arrival.dev)
}

/// Puts a datagram (or the several of a GSO packet) on a socket's queue.
fn queue(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    pkt: &Pkt,
    arrival: &Arrival,
    header: &udp::UdpRepr,
) -> Result<(), DropReason> {
    let socket = ns.sockets.table.get_mut(id).ok_or(DropReason::UdpNoPort)?;
    if below_min_ttl(socket, arrival) {
        return Err(DropReason::SocketFilter);
    }
    let mut keep = pkt.len();
    if let Some(filter) = &socket.opts.filter {
        let cap = filter.run(&bpf::Input::of(pkt)) as usize;
        if cap == 0 {
            return Err(DropReason::SocketFilter);
        }
        keep = keep.min(cap.max(udp::HEADER_LEN));
    }
    let mut payload = pkt.payload_from(udp::HEADER_LEN);
    let mut len = keep - udp::HEADER_LEN;
    cut_to(&mut payload, len);
    let gso = pkt.gso.map(|gso| usize::from(gso.size)).filter(|&size| size < len);
    let wants_gro = socket.udp().is_some_and(|udp| udp.gro);
    let mut control = control(t, pkt, arrival, header.dst_port);
    let from = shown(socket.family, arrival.src, header.src_port, Some(arrival.dev));
    let counter = |v4, v6| if arrival.src.is_ipv4() { v4 } else { v6 };
    let in_datagrams = counter(Counter::UdpInDatagrams, Counter::Udp6InDatagrams);
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
            let in_errors = counter(Counter::UdpInErrors, Counter::Udp6InErrors);
            ns.snmp.inc(in_errors);
            return Err(DropReason::SocketQueueFull);
        }
        ns.snmp.inc(in_datagrams);
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

/// `IP_MINTTL`: packets from farther away are not taken.
pub(crate) fn below_min_ttl(socket: &Socket, arrival: &Arrival) -> bool {
    arrival.src.is_ipv4() && arrival.ttl < socket.opts.min_ttl
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
    let Some(id) = ns.sockets.find_udp((error.src, ours), (error.dst, theirs), error.dev) else { return };
    error::tell(ns, t, id, error, meaning, error.transport + udp::HEADER_LEN, theirs);
}
