//! Datagrams out of sockets: `UDP_CORK`, `UDP_SEGMENT`, checksums.

use bytes::Bytes;
use netspace_base::{ChecksumState, Detail, Gso, GsoKind, Pkt, Point};
use netspace_wire::{checksum, protocol, udp};
use smallvec::SmallVec;

use super::state::Pending;
use super::{flavour, lite};
use crate::sock::out::{self, Flow};
use crate::sock::socket::Socket;
use crate::sock::{Message, SockError, SockId, bind, error, net};
use crate::{Netns, Turn};

/// Most datagrams in one send with `UDP_SEGMENT` (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: usize = 128;
/// Most payload bytes of a datagram.
const MAX_PAYLOAD: usize = 65_535 - udp::HEADER_LEN;

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
    let flavour = flavour::of(socket.protocol);
    if gso_size != 0 {
        check_segments(socket, &flow, len, size)?;
    }
    let df = out::check_mtu(ns, t, id, &flow, udp::HEADER_LEN + if cut { size } else { len })?;
    let pkt = build(ns, t, id, &flow, data, gso_size);
    let counters = flavour.counters(flow.dst.is_ipv4());
    let sent = out::send(ns, t, id, &flow, pkt, df);
    // As on Linux, one send is one datagram, however many it becomes.
    ns.snmp.inc(if sent.is_ok() { counters.out_datagrams } else { counters.sndbuf_errors });
    sent
}

/// What `UDP_SEGMENT` asks of a send, in Linux's order.
fn check_segments(socket: &Socket, flow: &Flow, len: usize, size: usize) -> Result<(), SockError> {
    let frame = len.min(size) + udp::HEADER_LEN + flow.header_len(socket);
    if frame > flow.route.mtu as usize {
        return Err(SockError::MessageSize);
    }
    if len > size * MAX_SEGMENTS || socket.sends_unchecked(flow.dst.is_ipv4()) {
        return Err(SockError::Invalid);
    }
    if socket.protocol == protocol::UDPLITE { Err(SockError::InputOutput) } else { Ok(()) }
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
    let (ports, ends) = ((socket.local_port, flow.dst.port()), (flow.src, flow.dst.ip()));
    if let Some(udp) = socket.udp_ref().filter(|_| socket.protocol == protocol::UDPLITE) {
        lite::put_header(&mut pkt, ports, ends, udp.coverage.send);
        net::trace_made(ns, t, Point::UdpSend, &pkt, ends, protocol::UDPLITE, Detail::None);
        return pkt;
    }
    udp::UdpRepr::new(ports.0, ports.1, len).emit(pkt.push(udp::HEADER_LEN));
    pkt.set_transport_header();
    if gso_size != 0 && len > usize::from(gso_size) {
        pkt.gso = Some(Gso { size: gso_size, kind: GsoKind::Udp });
    }
    if socket.sends_unchecked(flow.dst.is_ipv4()) {
        pkt.checksum = ChecksumState::None;
    } else {
        let pseudo = checksum::pseudo_header(ends.0, ends.1, protocol::UDP, len + udp::HEADER_LEN);
        checksum::set_partial(&mut pkt, protocol::UDP, pseudo);
    }
    net::trace_made(ns, t, Point::UdpSend, &pkt, ends, protocol::UDP, Detail::None);
    pkt
}
