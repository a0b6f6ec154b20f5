//! Segments and ICMP errors for this host: the way to the connection, the listener, or a reset.

use std::net::IpAddr;

use netspace_base::{ChecksumState, Detail, DropReason, Pkt, Point};
use netspace_tcp::{IcmpError as TcpIcmp, Segment, State};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{HEADER_LEN, SeqNum, TcpFlags, TcpRepr};
use netspace_wire::{checksum, protocol};

use super::answer::reset;
use super::connection::into_connection;
use super::pump::refresh_route;
use super::tables::Entry;
use super::{TcpSock, listen, pump, time_wait};
use crate::l4::{Arrival, Cast, IcmpError};
use crate::snmp::Counter;
use crate::sock::error::{self, Meaning};
use crate::sock::socket::Socket;
use crate::sock::table::Tuple;
use crate::sock::{PmtuDiscover, SockError, SockId, bpf, udp};
use crate::{Netns, Step, Stop, Turn};

/// A segment for this host.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    t.trace.at(t.now, ns.id, Point::TcpReceive, &pkt);
    ns.snmp.add(Counter::TcpInSegs, pieces(&pkt));
    // RFC 9293 §3.9.2.3 (MUST-57): a segment to a group or broadcast address is silently dropped.
    if arrival.cast != Cast::Unicast {
        return Err(Stop::Drop(pkt, DropReason::IpDestInvalid));
    }
    let Some(header_len) = header_len(&mut pkt) else {
        return Err(Stop::Drop(pkt, DropReason::TcpMalformed));
    };
    if !checksum_ok(&pkt, arrival) {
        ns.snmp.inc(Counter::TcpInErrs);
        return Err(Stop::Drop(pkt, DropReason::TcpChecksum));
    }
    let Ok((header, _)) = TcpRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::TcpMalformed));
    };
    let to = (arrival.dst, header.dst_port);
    let tuple = Tuple::new(to, (arrival.src, header.src_port), arrival.dev);
    let segment = segment(&pkt, header, header_len, arrival);
    match deliver(ns, t, &pkt, &tuple, segment, arrival) {
        Ok(()) => Ok(pkt),
        Err(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

fn pieces(pkt: &Pkt) -> u64 {
    pkt.gso.map_or(1, |gso| {
        (pkt.len().saturating_sub(HEADER_LEN)).div_ceil(usize::from(gso.size.max(1))).max(1) as u64
    })
}

/// Makes the header linear; its length.
fn header_len(pkt: &mut Pkt) -> Option<usize> {
    if !pkt.pull_linear(HEADER_LEN) {
        return None;
    }
    let len = usize::from(pkt.data()[12] >> 4) * 4;
    (len >= HEADER_LEN && pkt.pull_linear(len)).then_some(len)
}

fn checksum_ok(pkt: &Pkt, arrival: &Arrival) -> bool {
    if pkt.checksum != ChecksumState::None {
        return true;
    }
    let pseudo = checksum::pseudo_header(arrival.src, arrival.dst, protocol::TCP, pkt.len());
    checksum::verify_pkt(pkt, 0, pkt.len(), pseudo)
}

fn segment(pkt: &Pkt, header: TcpRepr, header_len: usize, arrival: &Arrival) -> Segment {
    Segment {
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        urgent: header.urgent,
        options: header.options,
        payload: pkt.payload_from(header_len),
        gso_size: pkt.gso.map(|gso| gso.size),
        ecn: Ecn::of(arrival.tos),
        accurate_ecn: false,
    }
}

fn deliver(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: &Pkt,
    tuple: &Tuple,
    segment: Segment,
    arrival: &Arrival,
) -> Result<(), DropReason> {
    match ns.sockets.tcp.connection(tuple) {
        Some(Entry::Socket(id)) => to_connection(ns, t, id, pkt, segment, arrival),
        Some(Entry::TimeWait(number)) => {
            let floor = time_wait::receive(ns, t, number, tuple, &segment, arrival)?;
            to_listener(ns, t, pkt, tuple, segment, arrival, Some(floor))
        }
        None => to_listener(ns, t, pkt, tuple, segment, arrival, None),
    }
}

/// A segment of no connection: a listener may take it. `floor`: see [`listen::receive`].
fn to_listener(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: &Pkt,
    tuple: &Tuple,
    segment: Segment,
    arrival: &Arrival,
    floor: Option<SeqNum>,
) -> Result<(), DropReason> {
    let to = (tuple.local, tuple.local_port);
    let from = (tuple.remote, tuple.remote_port);
    let payload_at = usize::from(pkt.data().get(12).map_or(0, |offset| offset >> 4)) * 4;
    let Some(id) = ns.sockets.find_listener(to, from, arrival.dev, Some((pkt, payload_at))) else {
        reset(ns, t, tuple, &segment, arrival);
        let is_reset = segment.flags.contains(TcpFlags::RST);
        return Err(if is_reset { DropReason::TcpReset } else { DropReason::TcpNoSocket });
    };
    admit(ns, id, pkt, arrival)?;
    t.trace.with(t.now, ns.id, Point::Demux, pkt, || demux_detail(&ns.sockets.table[id]));
    listen::receive(ns, t, id, segment, *tuple, arrival, floor)
}

fn demux_detail(socket: &Socket) -> Detail {
    let text = match socket.remote_shown() {
        Some(peer) => format!("{} - {peer}", socket.local_shown()),
        None => format!("{} (listening)", socket.local_shown()),
    };
    Detail::Text(text.into())
}

/// What keeps a segment from its socket: `IP_MINTTL`, the socket's filter.
fn admit(ns: &mut Netns, id: SockId, pkt: &Pkt, arrival: &Arrival) -> Result<(), DropReason> {
    let socket = &ns.sockets.table[id];
    if udp::below_min_ttl(socket, arrival) {
        ns.snmp.inc(Counter::TcpExtTcpMinTtlDrop);
        return Err(DropReason::SocketFilter);
    }
    match &socket.opts.filter {
        Some(filter) if filter.run(&bpf::Input::of(pkt)) == 0 => Err(DropReason::SocketFilter),
        _ => Ok(()),
    }
}

fn to_connection(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    pkt: &Pkt,
    segment: Segment,
    arrival: &Arrival,
) -> Result<(), DropReason> {
    if !ns.sockets.table[id].dev_matches(arrival.dev) {
        return Err(DropReason::TcpNoSocket);
    }
    admit(ns, id, pkt, arrival)?;
    t.trace.with(t.now, ns.id, Point::Demux, pkt, || demux_detail(&ns.sockets.table[id]));
    if let Some(reason) = listen::refuses(ns, t, id, &segment) {
        return Err(reason);
    }
    let has_data = !segment.payload.is_empty();
    let result = into_connection(ns, t, id, segment);
    if has_data && result.is_ok() {
        t.trace.at(t.now, ns.id, Point::SocketQueue, pkt);
    }
    result
}

// ---- ICMP ----------------------------------------------------------------------------------------------------------

/// An ICMP error about a segment: the connection decides, if the quoted number is one in flight (RFC 5927 §4.1).
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, error: &IcmpError<'_>, meaning: Meaning) {
    let Some((ours, theirs)) = error::quoted_ports(error) else { return };
    let tuple = Tuple::new((error.src, ours), (error.dst, theirs), error.dev);
    let Some(Entry::Socket(id)) = ns.sockets.tcp.connection(&tuple) else { return };
    let Some(seq) = quoted_seq(error) else { return };
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let recv_err = socket.recv_err(error.dst);
    let discover = socket.pmtu_discover(error.dst);
    let Some(connection) = socket.tcp_mut().and_then(TcpSock::connection_mut) else { return };
    if !connection.is_in_flight(seq) && connection.state() != State::SynSent {
        ns.snmp.inc(Counter::TcpExtOutOfWindowIcmps);
        return;
    }
    if meaning.error == SockError::MessageSize {
        if discover != PmtuDiscover::Interface && discover != PmtuDiscover::Omit {
            path_changed(ns, t, id);
        }
        return;
    }
    let opening = connection.state().is_opening();
    if let Some(kind) = tcp_icmp(error.src, meaning) {
        connection.on_icmp_error(kind);
    }
    if recv_err && !opening && meaning.hard {
        socket.error = Some(meaning.error);
        ns.sockets.wake(t, id);
    }
    pump(ns, t, id);
}

fn quoted_seq(error: &IcmpError<'_>) -> Option<SeqNum> {
    let at = error.transport + 4;
    let bytes = error.quoted.get(at..at + 4)?;
    Some(SeqNum(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
}

fn tcp_icmp(src: IpAddr, meaning: Meaning) -> Option<TcpIcmp> {
    Some(match meaning.error {
        SockError::NetworkUnreachable => TcpIcmp::NetworkUnreachable,
        SockError::HostUnreachable | SockError::HostDown => TcpIcmp::HostUnreachable,
        SockError::NoSuchOption => TcpIcmp::ProtocolUnreachable,
        SockError::ConnectionRefused => TcpIcmp::PortUnreachable,
        SockError::Access => TcpIcmp::Prohibited,
        _ if src.is_ipv4() => TcpIcmp::HostUnreachable,
        _ => return None,
    })
}

/// The path's MTU has shrunk: the connection learns it and sends again what was too long (RFC 1191 §6.4).
fn path_changed(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let socket = &mut ns.sockets.table[id];
    socket.route = None;
    let Some(tuple) = socket.tcp().and_then(|tcp| tcp.tuple) else { return };
    refresh_route(ns, t, id, &tuple);
    pump(ns, t, id);
}
