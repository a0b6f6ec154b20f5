//! Ping sockets: `SOCK_DGRAM` with `IPPROTO_ICMP` or `IPPROTO_ICMPV6`. A program sends echo requests without privilege;
//! the socket's "port" is the identifier, which replaces whatever the program wrote there.

use netspace_base::{ChecksumState, Detail, Pkt, Point};
use netspace_wire::{checksum, protocol};

use super::error::{self, Meaning};
use super::queue::Datagram;
use super::socket::shown;
use super::table::{Sockets, choose};
use super::{Family, Message, SockError, SockId, bind, bpf, out, udp};
use crate::l4::{Arrival, IcmpError};
use crate::{Netns, Turn};

/// Bytes of an ICMP echo header.
const HEADER: usize = 8;
/// Most bytes of a message.
const MAX_LEN: usize = 65_535;
/// Takes a socket out of the table.
pub(crate) fn unhash(sockets: &mut Sockets, id: SockId) {
    let Some(socket) = sockets.table.get(id) else { return };
    let key = (socket.family == Family::Inet6, socket.local_port);
    if let Some(ids) = sockets.ping.get_mut(&key) {
        ids.retain(|&mut other| other != id);
        if ids.is_empty() {
            sockets.ping.remove(&key);
        }
    }
}

/// sendmsg(2): an echo request from its ICMP header on.
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
    socket.check_error()?;
    let v6 = socket.family == Family::Inet6;
    let request = if v6 { 128 } else { 8 };
    if len < HEADER || message.data[0] != request || message.data[1] != 0 {
        return Err(SockError::Invalid);
    }
    let dst = out::destination(socket, message.to)?;
    if v6 && dst.is_ipv4() {
        return Err(SockError::Invalid);
    }
    let mut flow = out::route(ns, t, id, dst, message.to, &message.control)?;
    flow.dont_route |= message.dont_route;
    flow.confirm = message.confirm;
    bind::autobind(ns, id)?;
    let df = out::check_mtu(ns, t, id, &flow, len)?;
    let mut pkt = t.new_pkt();
    let mut header = [0; HEADER];
    header.copy_from_slice(&message.data[..HEADER]);
    header[2..4].fill(0);
    header[4..6].copy_from_slice(&ns.sockets.get(id)?.local_port.to_be_bytes());
    pkt.append(&header);
    pkt.append_frag(message.data.slice(HEADER..));
    pkt.set_transport_header();
    t.trace.socket(t.now, ns.id, Point::SocketSend, || Detail::Bytes(len as u64));
    let pseudo = if v6 { checksum::pseudo_header(flow.src, flow.dst.ip(), protocol::ICMPV6, len) } else { 0 };
    let sum = checksum::finish(checksum::sum_pkt(&pkt, 0) + pseudo);
    pkt.data_mut()[2..4].copy_from_slice(&sum.to_be_bytes());
    pkt.checksum = ChecksumState::Unnecessary;
    out::send(ns, t, id, &flow, pkt, df)?;
    Ok(len)
}

/// An echo reply has come: a copy goes to the socket with its identifier.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival) -> bool {
    let Some(&[high, low]) = pkt.data().get(4..6) else { return false };
    let echo_id = u16::from_be_bytes([high, low]);
    let Some(id) = find(&ns.sockets, arrival, echo_id) else { return false };
    let socket = &mut ns.sockets.table[id];
    if socket.opts.filter.as_ref().is_some_and(|filter| filter.run(&bpf::Input::of(pkt)) == 0) {
        return true;
    }
    let datagram = Datagram {
        data: pkt.payload_from(0),
        from: shown(socket.family, arrival.src, 0, Some(arrival.dev)),
        control: udp::control(t, pkt, arrival, 0),
    };
    if socket.rx.push(socket.opts.rcvbuf, datagram) {
        t.trace.at(t.now, ns.id, Point::SocketQueue, pkt);
        ns.sockets.wake(t, id);
    }
    true
}

fn find(sockets: &Sockets, arrival: &Arrival, echo_id: u16) -> Option<SockId> {
    let ids = sockets.ping.get(&(arrival.src.is_ipv6(), echo_id))?;
    let fits = |id: &SockId| {
        let socket = &sockets.table[*id];
        (socket.local.is_unspecified() || socket.local == arrival.local)
            && socket.remote.is_none_or(|remote| remote.ip() == arrival.src)
    };
    choose(&sockets.table, ids.iter().copied().filter(fits), (arrival.src, arrival.dev), None, || 0)
}

/// An ICMP error about an echo request.
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, error: &IcmpError<'_>, meaning: Meaning) {
    let Some(header) = error.quoted.get(error.transport..error.transport + HEADER) else { return };
    let echo_id = u16::from_be_bytes([header[4], header[5]]);
    let v6 = error.src.is_ipv6();
    let Some(ids) = ns.sockets.ping.get(&(v6, echo_id)) else { return };
    let fits = |id: &SockId| {
        let socket = &ns.sockets.table[*id];
        (socket.local.is_unspecified() || socket.local == error.src)
            && socket.remote.is_none_or(|remote| remote.ip() == error.dst)
    };
    let Some(id) = ids.iter().copied().find(fits) else { return };
    error::tell(ns, t, id, error, meaning, error.transport, 0);
}
