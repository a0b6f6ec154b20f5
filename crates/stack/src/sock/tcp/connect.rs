//! Active opens: names, initial sequence numbers, the SYN.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use netspace_base::DevId;
use netspace_tcp::{Connection, FastOpenAsk};

use super::gone::forget_connection;
use super::initial::{initial_sequence, timestamp_offset};
use super::packet::path_mss;
use super::tables::Entry;
use super::{TcpSock, TcpState, config, fast_open, pump, sock_error, time_wait};
use crate::snmp::Counter;
use crate::sock::socket::{Socket, scope_dev};
use crate::sock::table::{Sockets, Tuple};
use crate::sock::{Connect, Family, SockError, SockId, bind, out};
use crate::{Netns, RouteKind, RouteQuery, Turn};

/// connect(2). With `TCP_FASTOPEN_CONNECT` and a cookie it succeeds at once: the SYN waits for the first data.
pub(crate) fn connect(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    addr: SocketAddr,
) -> Result<Connect, SockError> {
    if let Some(result) = already(ns, id)? {
        return result;
    }
    let (tuple, mss) = prepare(ns, t, id, addr)?;
    let wants = ns.sockets.get(id)?.tcp().is_some_and(|tcp| tcp.opts.fastopen_connect);
    let ask = if wants { fast_open::ask(ns, t.now, id, &tuple) } else { None };
    let Some(mut ask) = ask else {
        open(ns, t, id, tuple, mss, None);
        pump(ns, t, id);
        return Ok(Connect::InProgress);
    };
    ask.deferred = ask.no_cookie || !ask.cookie.is_empty();
    let deferred = ask.deferred;
    open(ns, t, id, tuple, mss, Some(ask));
    pump(ns, t, id);
    Ok(if deferred { Connect::Done } else { Connect::InProgress })
}

/// sendmsg(2) with `MSG_FASTOPEN`: connects, with what fits of the data on the SYN if a cookie is known. How many bytes
/// that were; [`SockError::InProgress`] if none could go and a cookie was asked for.
pub(crate) fn connect_with_data(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    addr: SocketAddr,
    mut data: Bytes,
) -> Result<usize, SockError> {
    fast_open::client_allowed(&ns.sockets.sysctls)?;
    if let Some(result) = already(ns, id)? {
        return result.and(Err(SockError::IsConnected));
    }
    let (tuple, mss) = prepare(ns, t, id, addr)?;
    let ask = fast_open::ask(ns, t.now, id, &tuple);
    open(ns, t, id, tuple, mss, ask);
    let tcp = ns.sockets.get_mut(id)?.tcp_mut();
    let Some(connection) = tcp.and_then(TcpSock::connection_mut) else { return Err(SockError::InProgress) };
    data.truncate(connection.syn_data_room());
    let taken = connection.send(t.now, data);
    pump(ns, t, id);
    if taken == 0 { Err(SockError::InProgress) } else { Ok(taken) }
}

/// Finds the way and settles the names; the connection's tuple and the segment size of its path.
fn prepare(ns: &mut Netns, t: &mut Turn, id: SockId, addr: SocketAddr) -> Result<(Tuple, u16), SockError> {
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
    if socket.opts.bound_dev != dev {
        socket.opts.bound_dev = dev;
    }
    Ok((tuple, path_mss(&route, tuple.remote)))
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

/// Makes the connection; its SYN goes with the next [`pump()`].
fn open(ns: &mut Netns, t: &mut Turn, id: SockId, tuple: Tuple, mss: u16, ask: Option<FastOpenAsk>) {
    let sockets = &mut ns.sockets;
    let config = config::config(&sockets.table[id], &sockets.sysctls);
    let config = sockets.tcp.settings.share(config);
    let offset = timestamp_offset(sockets, &tuple);
    let iss = initial_sequence(&sockets.secret, &tuple, t.now);
    let socket = &mut sockets.table[id];
    socket.error = None;
    (socket.shut_read, socket.shut_write) = (false, false);
    let Some(tcp) = socket.tcp_mut() else { return };
    tcp.path_mss = mss;
    tcp.connecting = true;
    let connection = match ask {
        Some(ask) => Connection::connect_fast(config, t.now, iss, mss, ask),
        None => Connection::connect(config, t.now, iss, mss),
    };
    tcp.state = TcpState::Connection(Box::new(connection.with_timestamp_offset(offset)));
    ns.snmp.inc(Counter::TcpActiveOpens);
}
