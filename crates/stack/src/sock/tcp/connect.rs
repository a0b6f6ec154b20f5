//! Active opens: names, initial sequence numbers, the SYN.

use std::net::{IpAddr, SocketAddr};

use netspace_base::DevId;
use netspace_tcp::Connection;

use super::gone::forget_connection;
use super::initial::{initial_sequence, timestamp_offset};
use super::packet::path_mss;
use super::tables::Entry;
use super::{TcpState, config, pump, sock_error, time_wait};
use crate::snmp::Counter;
use crate::sock::socket::{Socket, scope_dev};
use crate::sock::table::{Sockets, Tuple};
use crate::sock::{Connect, Family, SockError, SockId, bind, out};
use crate::{Netns, RouteKind, RouteQuery, Turn};

/// connect(2).
pub(crate) fn connect(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    addr: SocketAddr,
) -> Result<Connect, SockError> {
    if let Some(result) = already(ns, id)? {
        return result;
    }
    let socket = ns.sockets.get(id)?;
    if socket.family == Family::Inet6 && addr.is_ipv4() {
        return Err(SockError::AddressFamily);
    }
    let remote = out::destination(socket, Some(addr))?;
    let dev = socket.opts.bound_dev.or_else(|| scope_dev(&addr));
    if let (IpAddr::V6(v6), None) = (remote.ip(), dev)
        && v6.is_unicast_link_local()
    {
        return Err(SockError::Invalid);
    }
    let query = RouteQuery {
        dst: remote.ip(),
        src: Some(socket.local).filter(|local| !local.is_unspecified()),
        oif: dev,
        mark: socket.opts.mark,
        tos: if remote.is_ipv4() { socket.opts.tos } else { socket.opts.tclass6 },
        hash: 0,
    };
    let route = ns.route_out(t.now, &query)?;
    if matches!(route.kind, RouteKind::Broadcast | RouteKind::Multicast) {
        return Err(SockError::NetworkUnreachable);
    }
    let src = query.src.unwrap_or(route.src);
    let tuple = take_names(ns, t, id, src, remote, dev.unwrap_or(DevId::NONE))?;
    let socket = &mut ns.sockets.table[id];
    socket.route = Some(route);
    socket.opts.bound_dev = dev;
    open(ns, t, id, tuple, path_mss(&route, tuple.remote));
    Ok(Connect::InProgress)
}

/// What connect(2) says to a socket that is not new: as Linux, success or failure of an attempt under way is told once.
fn already(ns: &mut Netns, id: SockId) -> Result<Option<Result<Connect, SockError>>, SockError> {
    let socket = ns.sockets.get_mut(id)?;
    let pending = socket.error;
    let tcp = socket.tcp_mut().ok_or(SockError::OperationUnsupported)?;
    let connecting = tcp.connecting;
    let connection = match &tcp.state {
        TcpState::Idle if connecting => {
            tcp.connecting = false;
            return Ok(Some(Err(socket.take_error().unwrap_or(SockError::ConnectionAborted))));
        }
        TcpState::Idle => return Ok(None),
        TcpState::Listen(_) => return Ok(Some(Err(SockError::IsConnected))),
        TcpState::Connection(connection) => connection,
    };
    if connection.state().is_opening() {
        return Ok(Some(Err(SockError::Already)));
    }
    let closed = connection.state() == netspace_tcp::State::Closed;
    tcp.connecting = false;
    if closed {
        // The attempt failed, or an old connection is over: the socket can be used again.
        let failed = connecting.then(|| connection.error().map_or(SockError::ConnectionAborted, sock_error));
        forget_connection(ns, id);
        return Ok(failed.map(|error| {
            let _told = ns.sockets.get_mut(id).map(Socket::take_error);
            Err(pending.unwrap_or(error))
        }));
    }
    Ok(Some(if connecting { Ok(Connect::Done) } else { Err(SockError::IsConnected) }))
}

/// Settles the four names: a port of our own if bind gave none.
fn take_names(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    src: IpAddr,
    remote: SocketAddr,
    dev: DevId,
) -> Result<Tuple, SockError> {
    let bound = ns.sockets.table[id].tcp().and_then(|tcp| tcp.bucket);
    let with_port = |port| Tuple::new((src, port), (remote.ip(), remote.port()), dev);
    let port = match bound {
        Some((port, _)) => {
            if !take_tuple(ns, t, &with_port(port)) {
                return Err(SockError::AddressNotAvailable);
            }
            port
        }
        None => ephemeral_port(ns, t, id, with_port)?,
    };
    let tuple = with_port(port);
    let socket = &mut ns.sockets.table[id];
    socket.local = src;
    socket.local_port = port;
    socket.remote = Some(remote);
    if let Some(tcp) = socket.tcp_mut() {
        if tcp.bucket.is_none() {
            tcp.bucket = Some((port, false));
        }
        tcp.tuple = Some(tuple);
    }
    ns.sockets.tcp.join(id, port);
    ns.sockets.tcp.insert_connection(tuple, Entry::Socket(id));
    Ok(tuple)
}

/// Whether the four names are free; a TIME-WAIT that may be taken over (RFC 6191) gives them up.
fn take_tuple(ns: &mut Netns, t: &Turn, tuple: &Tuple) -> bool {
    match ns.sockets.tcp.connection(tuple) {
        None => true,
        Some(Entry::Socket(_)) => false,
        Some(Entry::TimeWait(number)) => time_wait::take_over(ns, t.now, number),
    }
}

/// A port chosen by hash, as RFC 6056 §3.3.4 (algorithm 4, double hash) and with Linux's preference: ports of the parity of
/// the range's start first, which leaves the others to bind.
fn ephemeral_port(
    ns: &mut Netns,
    t: &Turn,
    id: SockId,
    with_port: impl Fn(u16) -> Tuple,
) -> Result<u16, SockError> {
    let (low, high) = bind::port_range(&ns.sockets, &ns.sockets.table[id]);
    let count = u32::from(high - low) + 1;
    let hash = ns.sockets.secret.hash(b'p', &with_port(0));
    let slot = (hash >> 32) as usize % ns.sockets.tcp.port_counters.len();
    let counter = ns.sockets.tcp.port_counters[slot];
    let start = (hash as u32).wrapping_add(u32::from(counter)) % count;
    for parity in [0, 1] {
        let first = (start & !1) + parity;
        for step in (0..count).step_by(2) {
            let offset = (first + step) % count.next_multiple_of(2);
            if offset >= count {
                continue;
            }
            let port = low + offset as u16;
            if is_free(&ns.sockets, port) && take_tuple(ns, t, &with_port(port)) {
                ns.sockets.tcp.port_counters[slot] = counter.wrapping_add(step as u16 + 2);
                return Ok(port);
            }
        }
    }
    Err(SockError::AddressNotAvailable)
}

fn is_free(sockets: &Sockets, port: u16) -> bool {
    !sockets.sysctls.reserved_ports.contains(port) && sockets.tcp.may_share(port)
}

/// Starts the handshake.
fn open(ns: &mut Netns, t: &mut Turn, id: SockId, tuple: Tuple, mss: u16) {
    let sockets = &mut ns.sockets;
    let config =
        config::config(&sockets.table[id], &sockets.sysctls, timestamp_offset(&sockets.secret, &tuple));
    let iss = initial_sequence(&sockets.secret, &tuple, t.now);
    let socket = &mut sockets.table[id];
    socket.error = None;
    (socket.shut_read, socket.shut_write) = (false, false);
    let Some(tcp) = socket.tcp_mut() else { return };
    tcp.path_mss = mss;
    tcp.connecting = true;
    tcp.state = TcpState::Connection(Box::new(Connection::connect(config, t.now, iss, mss)));
    ns.snmp.inc(Counter::TcpActiveOpens);
    pump(ns, t, id);
}
