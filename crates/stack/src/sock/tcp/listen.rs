//! Passive opens: the SYN queue, the accept queue, and what happens when they are full.
//!
//! As on Linux a listener has two queues. A SYN makes a half-open child; its ACK moves the child to the accept queue. When
//! the accept queue holds more than the backlog, new SYNs are dropped, and so is the ACK that would complete a handshake:
//! the peer believes in a connection, our SYN/ACK is repeated, and the next ACK tries again. With `tcp_abort_on_overflow`
//! the peer is reset instead.

use std::collections::VecDeque;
use std::net::SocketAddr;

use netspace_base::DropReason;
use netspace_tcp::{Connection, Segment};
use netspace_wire::tcp::{SeqNum, TcpFlags};

use super::accept_queue::make_ready;
use super::answer::reset;
use super::connection::into_connection;
use super::fast_open::Admission;
use super::gone::remove;
use super::initial::{initial_sequence, timestamp_offset};
use super::packet::path_mss;
use super::tables::Entry;
use super::wake::tell;
use super::{Listener, TcpSock, TcpState, config, cookie, fast_open, pump};
use crate::l4::Arrival;
use crate::snmp::Counter;
use crate::sock::socket::{Kind, Socket};
use crate::sock::table::{MAX_SOCKETS, Tuple};
use crate::sock::{Owner, SockError, SockId, SockType, bind};
use crate::{Netns, RouteOut, RouteQuery, Turn};

/// listen(2). A second call changes the backlog.
pub(crate) fn listen(ns: &mut Netns, t: &mut Turn, id: SockId, backlog: i32) -> Result<(), SockError> {
    let limit = ns.sockets.sysctls.somaxconn as usize;
    let backlog = usize::try_from(backlog).unwrap_or(usize::MAX).min(limit);
    let socket = ns.sockets.get_mut(id)?;
    let tcp = socket.tcp_mut().ok_or(SockError::OperationUnsupported)?;
    match &mut tcp.state {
        TcpState::Listen(listener) => {
            listener.backlog = backlog;
            return Ok(());
        }
        TcpState::Connection(connection) if connection.state() != netspace_tcp::State::Closed => {
            return Err(SockError::Invalid);
        }
        TcpState::Connection(_) | TcpState::Idle => {}
    }
    let port = tcp.bucket.map(|(port, _)| port);
    match port {
        None => bind::take_port(ns, id, 0)?,
        // Others may have bound to the port with SO_REUSEADDR: only one of them can listen.
        Some(port) if bind::conflicts(&ns.sockets, id, port, false) => return Err(SockError::AddressInUse),
        Some(_) => {}
    }
    let (half_open, early) = (ns.sockets.tcp.new_set(), ns.sockets.tcp.new_set());
    let socket = ns.sockets.get_mut(id)?;
    (socket.shut_read, socket.shut_write, socket.remote) = (false, false, None);
    let (addr, port) = (socket.local, socket.local_port);
    if let Some(tcp) = socket.tcp_mut() {
        tcp.state = TcpState::Listen(Box::new(Listener {
            backlog,
            half_open,
            early,
            ready: VecDeque::new(),
            overflowed_at: None,
        }));
        tcp.told = crate::sock::Readiness::empty();
    }
    ns.sockets.tcp.insert_listener(id, addr, port);
    // Readiness goes from OUT and HUP to nothing.
    ns.sockets.wake(t, id);
    Ok(())
}

/// accept(2): the oldest connection of the accept queue.
pub(crate) fn accept(ns: &mut Netns, t: &mut Turn, id: SockId) -> Result<(SockId, SocketAddr), SockError> {
    let socket = ns.sockets.get_mut(id)?;
    let listener = socket.tcp_mut().and_then(TcpSock::listener_mut).ok_or(SockError::Invalid)?;
    let child = listener.ready.pop_front().ok_or(SockError::WouldBlock)?;
    let owner = Owner { inode: 0, uid: socket.owner.uid };
    tell(ns, t, id);
    let socket = ns.sockets.table.get_mut(child).ok_or(SockError::ConnectionAborted)?;
    socket.orphan = false;
    socket.owner = owner;
    let peer = socket.remote_shown().ok_or(SockError::ConnectionAborted)?;
    if let Some(tcp) = socket.tcp_mut() {
        tcp.parent = None;
        tcp.told = crate::sock::Readiness::empty();
    }
    Ok((child, peer))
}

// ---- SYN -----------------------------------------------------------------------------------------------------------

/// A segment for a listener, not for one of its children (RFC 9293 §3.10.7.2).
pub(super) fn receive(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    segment: Segment,
    tuple: Tuple,
    arrival: &Arrival,
    floor: Option<SeqNum>,
) -> Result<(), DropReason> {
    let flags = segment.flags;
    if flags.contains(TcpFlags::RST) {
        return Err(DropReason::TcpReset);
    }
    let (route, mss) = path(ns, t, id, &tuple, arrival);
    if flags.contains(TcpFlags::ACK) {
        let full = ready_is_full(ns, id);
        let Some(connection) = cookie::redeem(ns, t, id, &segment, &tuple, mss).filter(|_| !full) else {
            reset(ns, t, &tuple, &segment, arrival);
            return Err(DropReason::TcpNoSocket);
        };
        let child = insert_child(ns, id, tuple, route, mss, connection);
        return into_connection(ns, t, child, segment);
    }
    if !flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::FIN) {
        return Err(DropReason::TcpFlags);
    }
    receive_syn(ns, t, id, segment, tuple, arrival, (route, mss, floor))
}

/// A SYN: answered, if the queues have room. `floor`: the first number to use after a TIME-WAIT of the same names.
fn receive_syn(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    segment: Segment,
    tuple: Tuple,
    arrival: &Arrival,
    (route, mss, floor): (Option<RouteOut>, u16, Option<SeqNum>),
) -> Result<(), DropReason> {
    if ready_is_full(ns, id) {
        ns.snmp.inc(Counter::TcpExtListenDrops);
        return Err(DropReason::TcpListenOverflow);
    }
    let Some(listener) = ns.sockets.table[id].tcp().and_then(TcpSock::listener) else {
        return Err(DropReason::TcpNoSocket);
    };
    let sysctls = &ns.sockets.sysctls;
    let most = listener.backlog.max(1).min(sysctls.tcp_max_syn_backlog as usize);
    let full = listener.half_open.len() >= most || ns.sockets.table.len() >= MAX_SOCKETS;
    if sysctls.tcp_syncookies == 2 || (full && sysctls.tcp_syncookies != 0) {
        cookie::answer(ns, t, id, &segment, &tuple, arrival, mss);
        return Ok(());
    }
    if full {
        ns.snmp.inc(Counter::TcpExtTcpReqQFullDrop);
        return Err(DropReason::TcpSynOverflow);
    }
    let sockets = &ns.sockets;
    let offset = timestamp_offset(sockets, &tuple);
    let settings = config::config(&sockets.table[id], &sockets.sysctls);
    let settings = ns.sockets.tcp.settings.share(settings);
    let sockets = &ns.sockets;
    let iss = floor.unwrap_or_else(|| initial_sequence(&sockets.secret, &tuple, t.now));
    match fast_open::admit(ns, id, &tuple, &segment) {
        Admission::Handshake(cookie) => {
            let mut connection =
                Connection::accept(settings, t.now, iss, &segment, mss).with_timestamp_offset(offset);
            cookie.into_iter().for_each(|cookie| connection.offer_cookie(cookie));
            let child = insert_child(ns, id, tuple, route, mss, connection);
            pump(ns, t, child);
        }
        Admission::Early(cookie) => {
            let mut connection =
                Connection::accept_fast(settings, t.now, iss, &segment, mss).with_timestamp_offset(offset);
            cookie.into_iter().for_each(|cookie| connection.offer_cookie(cookie));
            let child = insert_child(ns, id, tuple, route, mss, connection);
            begin_early(ns, t, id, child);
        }
    }
    Ok(())
}

/// A child whose SYN brought a good cookie waits to be accepted at once (RFC 7413 §4.2.2).
fn begin_early(ns: &mut Netns, t: &mut Turn, listener: SockId, child: SockId) {
    if let Some(listener) =
        ns.sockets.table.get_mut(listener).and_then(Socket::tcp_mut).and_then(TcpSock::listener_mut)
    {
        listener.early.insert(child);
    }
    if let Some(tcp) = ns.sockets.table.get_mut(child).and_then(Socket::tcp_mut) {
        tcp.early_of = Some(listener);
    }
    make_ready(ns, t, child);
    pump(ns, t, child);
}

/// Whether the accept queue holds more than the backlog.
fn ready_is_full(ns: &Netns, id: SockId) -> bool {
    let listener = ns.sockets.table.get(id).and_then(Socket::tcp).and_then(TcpSock::listener);
    listener.is_none_or(|listener| listener.ready.len() > listener.backlog)
}

/// The way back to a peer, and what fits it.
fn path(ns: &Netns, t: &Turn, id: SockId, tuple: &Tuple, arrival: &Arrival) -> (Option<RouteOut>, u16) {
    let listener = &ns.sockets.table[id];
    let query = RouteQuery {
        dst: tuple.remote,
        src: Some(tuple.local),
        oif: listener.opts.bound_dev.or(Some(tuple.scope).filter(|dev| dev.0 != 0)),
        mark: listener.opts.mark,
        tos: arrival.tos & 0xfc,
        hash: 0,
    };
    let route = ns.route_out(t.now, &query).ok();
    (route, route.map_or(536, |route| path_mss(&route, tuple.remote)))
}

/// Enters a child whose handshake is under way into the tables and the SYN queue.
fn insert_child(
    ns: &mut Netns,
    id: SockId,
    tuple: Tuple,
    route: Option<RouteOut>,
    mss: u16,
    connection: Connection,
) -> SockId {
    let mut child = make_child(ns, id, tuple);
    child.route = route;
    if let Some(tcp) = child.tcp_mut() {
        tcp.path_mss = mss;
        tcp.state = TcpState::Connection(Box::new(connection));
    }
    let sockets = &mut ns.sockets;
    let child = sockets.table.insert(child);
    sockets.tcp.join(child, tuple.local_port);
    sockets.tcp.insert_connection(tuple, Entry::Socket(child));
    if let Some(listener) = sockets.table[id].tcp_mut().and_then(TcpSock::listener_mut) {
        listener.half_open.insert(child);
    }
    child
}

/// A child inherits its listener's options (accept(2)).
fn make_child(ns: &mut Netns, id: SockId, tuple: Tuple) -> Socket {
    let cookie = ns.sockets.next_cookie();
    let listener = &ns.sockets.table[id];
    let opts = listener.tcp().map(|tcp| tcp.opts.clone());
    let tcp = TcpSock {
        tuple: Some(tuple),
        bucket: Some((tuple.local_port, false)),
        parent: Some(id),
        ..TcpSock::new(opts.unwrap_or_else(|| super::OptionsTcp::new(&ns.sockets.sysctls)))
    };
    let mut child = Socket::new(
        listener.family,
        SockType::Stream,
        listener.protocol,
        cookie,
        Kind::Tcp(Box::new(tcp)),
        listener.opts.clone(),
    );
    if !child.opts.memberships.is_empty() {
        child.opts.memberships.clear();
    }
    child.owner = Owner { inode: 0, uid: listener.owner.uid };
    child.local = tuple.local;
    child.local_port = tuple.local_port;
    child.remote = Some(SocketAddr::new(tuple.remote, tuple.remote_port));
    if tuple.scope.0 != 0 {
        child.opts.bound_dev = Some(tuple.scope);
    }
    // Nobody can name it until it is accepted.
    child.orphan = true;
    child
}

// ---- Children ------------------------------------------------------------------------------------------------------

/// Whether the ACK that would complete a child's handshake must be dropped: the accept queue is full.
pub(super) fn refuses(ns: &mut Netns, t: &mut Turn, child: SockId, segment: &Segment) -> Option<DropReason> {
    let socket = ns.sockets.table.get_mut(child)?;
    let parent = socket.tcp()?.parent?;
    let connection = socket.tcp_mut()?.connection_mut()?;
    let completes = connection.state() == netspace_tcp::State::SynReceived
        && !connection.is_early()
        && segment.flags.contains(TcpFlags::ACK)
        && !segment.flags.intersects(TcpFlags::RST | TcpFlags::SYN);
    if !completes {
        return None;
    }
    let listener = ns.sockets.table.get(parent)?.tcp()?.listener()?;
    if listener.ready.len() <= listener.backlog {
        return None;
    }
    ns.snmp.inc(Counter::TcpExtListenDrops);
    if ns.sockets.sysctls.tcp_abort_on_overflow != 0 {
        abort_child(ns, t, child);
    }
    Some(DropReason::TcpListenOverflow)
}

fn abort_child(ns: &mut Netns, t: &mut Turn, child: SockId) {
    if let Some(connection) =
        ns.sockets.table.get_mut(child).and_then(Socket::tcp_mut).and_then(TcpSock::connection_mut)
    {
        connection.abort(t.now);
        pump(ns, t, child);
    }
}

/// The listener is closed or shut down: connections nobody has accepted are reset, half-open ones forgotten.
pub(super) fn stop(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let (addr, port) = (socket.local, socket.local_port);
    let Some(tcp) = socket.tcp_mut() else { return };
    if !matches!(tcp.state, TcpState::Listen(_)) {
        return;
    }
    let TcpState::Listen(listener) = std::mem::replace(&mut tcp.state, TcpState::Idle) else { return };
    ns.sockets.tcp.remove_listener(id, addr, port);
    for child in listener.ready {
        if let Some(tcp) = ns.sockets.table.get_mut(child).and_then(Socket::tcp_mut) {
            tcp.parent = None;
        }
        ns.sockets.tcp.orphans += 1;
        let live = ns.sockets.table.get(child).and_then(Socket::tcp).and_then(TcpSock::connection);
        if live.is_some_and(|connection| connection.state() != netspace_tcp::State::Closed) {
            abort_child(ns, t, child);
        } else {
            ns.sockets.tcp.orphans -= 1;
            remove(ns, child);
        }
    }
    let mut half_open: Vec<SockId> = listener.half_open.into_iter().collect();
    half_open.sort_unstable();
    for child in half_open {
        remove(ns, child);
    }
}
