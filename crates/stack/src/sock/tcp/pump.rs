//! What comes of a connection's change: segments go out, events are carried out, the timer is set, the program is woken.

use std::net::IpAddr;

use netspace_base::{Detail, Point};
use netspace_tcp::{Connection, Event, Mib, Segment, State};
use netspace_wire::protocol;
use netspace_wire::tcp::TcpFlags;

use super::gone::{release_names, remove};
use super::packet::{packet, path_mss};
use super::wake::tell;
use super::{TcpState, accept_queue, fast_open, sock_error, time_wait};
use crate::l4::SockTimer;
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::sock::net;
use crate::sock::socket::Socket;
use crate::sock::table::Tuple;
use crate::sock::{PmtuDiscover, SockError, SockId};
use crate::{Netns, RouteOut, RouteQuery, TimerKey, Turn};

/// Carries out all that follows from a change of the connection `id`.
pub(crate) fn pump(ns: &mut Netns, t: &mut Turn, id: SockId) {
    transmit(ns, t, id);
    if events(ns, t, id) {
        // An event (a child accepted, a time-out) may have queued an answer.
        transmit(ns, t, id);
    }
    count(ns, id);
    arm(ns, id);
    settle(ns, t, id);
}

/// What the connection has counted: `Tcp: RetransSegs`, and its share of `TcpExt`.
fn count(ns: &mut Netns, id: SockId) {
    let Some(tcp) = ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut) else { return };
    let Some(connection) = tcp.connection_mut() else { return };
    for (mib, n) in connection.take_mibs() {
        ns.snmp.add(counter(mib), u64::from(n));
    }
    let total = connection.segments_resent();
    let new = total.wrapping_sub(std::mem::replace(&mut tcp.resent, total));
    if new > 0 {
        ns.snmp.add(Counter::TcpRetransSegs, u64::from(new));
    }
}

const fn counter(mib: Mib) -> Counter {
    match mib {
        Mib::DeliveredCe => Counter::TcpExtTcpDeliveredCe,
        Mib::FastOpenActive => Counter::TcpExtTcpFastOpenActive,
        Mib::MtupSuccess => Counter::TcpExtTcpMtupSuccess,
        Mib::MtupFail => Counter::TcpExtTcpMtupFail,
        Mib::SpuriousRtos => Counter::TcpExtTcpSpuriousRtos,
        Mib::FastOpenActiveFail => Counter::TcpExtTcpFastOpenActiveFail,
    }
}

/// Sends what the connection has to send.
fn transmit(ns: &mut Netns, t: &mut Turn, id: SockId) {
    while let Some(socket) = ns.sockets.table.get_mut(id) {
        let Some(tcp) = socket.tcp_mut() else { return };
        let Some(tuple) = tcp.tuple else { return };
        let Some(segment) = tcp.connection_mut().and_then(|connection| connection.poll_transmit(t.now))
        else {
            return;
        };
        send_segment(ns, t, id, &tuple, segment);
    }
}

fn send_segment(ns: &mut Netns, t: &mut Turn, id: SockId, tuple: &Tuple, segment: Segment) {
    let Some(route) = route(ns, t, id, tuple) else {
        // No way at the moment: lost, as if on the wire; the retransmission asks again.
        ns.snmp.inc(Counter::IpOutNoRoutes);
        return;
    };
    let socket = &ns.sockets.table[id];
    let mut info = send_info(socket, tuple, route);
    info.tos = segment.ecn.on(info.tos);
    if !tuple.remote.is_ipv4() && socket.opts.auto_flow_label {
        info.flow_label = ns.sockets.secret.flow_label(tuple);
    }
    let (mark, priority) = (socket.opts.mark, socket.opts.priority);
    if segment.flags.contains(TcpFlags::RST) {
        ns.snmp.inc(Counter::TcpOutRsts);
    }
    let pieces = match segment.gso_size {
        Some(size) => segment.payload_len().div_ceil(usize::from(size)).max(1) as u64,
        None => 1,
    };
    ns.snmp.add(Counter::TcpOutSegs, pieces);
    let payload = segment.payload_len();
    let mut pkt = packet(t, tuple, segment);
    pkt.mark = mark;
    pkt.priority = priority;
    let detail = if payload == 0 { Detail::None } else { Detail::Bytes(payload as u64) };
    net::trace_made(ns, t, Point::TcpSend, &pkt, (tuple.local, tuple.remote), protocol::TCP, detail);
    // A queue below that is full loses the packet; TCP notices by itself.
    let _lost = net::send(ns, t, pkt, &info);
}

/// The kept route, or a new one; a new path MTU is told to the connection.
fn route(ns: &mut Netns, t: &Turn, id: SockId, tuple: &Tuple) -> Option<RouteOut> {
    let socket = &ns.sockets.table[id];
    if let Some(route) = socket.route.filter(|route| ns.route_valid(t.now, route)) {
        return Some(route);
    }
    let query = RouteQuery {
        dst: tuple.remote,
        src: Some(tuple.local),
        oif: out_device(socket, tuple),
        mark: socket.opts.mark,
        tos: tos(socket, tuple.remote),
        hash: ns.sockets.secret.hash(b'm', tuple) as u32,
    };
    let route = ns.route_out(t.now, &query).ok()?;
    let socket = &mut ns.sockets.table[id];
    socket.route = Some(route);
    let mss = path_mss(&route, tuple.remote);
    if let Some(tcp) = socket.tcp_mut()
        && tcp.path_mss != mss
    {
        tcp.path_mss = mss;
        if let Some(connection) = tcp.connection_mut() {
            connection.on_path_mtu(t.now, mss);
        }
    }
    Some(route)
}

/// Asks for the route again after the path has changed.
pub(super) fn refresh_route(ns: &mut Netns, t: &Turn, id: SockId, tuple: &Tuple) {
    let _none = route(ns, t, id, tuple);
}

/// The device that a connection is tied to.
pub(super) fn out_device(socket: &Socket, tuple: &Tuple) -> Option<netspace_base::DevId> {
    socket.opts.bound_dev.or(Some(tuple.scope).filter(|dev| dev.0 != 0))
}

fn tos(socket: &Socket, remote: IpAddr) -> u8 {
    if remote.is_ipv4() { socket.opts.tos } else { socket.opts.tclass6 }
}

fn send_info(socket: &Socket, tuple: &Tuple, route: RouteOut) -> SendInfo {
    let v4 = tuple.remote.is_ipv4();
    let discover = socket.pmtu_discover(tuple.remote);
    SendInfo {
        src: Some(tuple.local),
        ttl: if v4 { socket.opts.ttl } else { socket.opts.hops6 },
        tos: tos(socket, tuple.remote),
        df: !route.mtu_locked
            && matches!(discover, PmtuDiscover::Want | PmtuDiscover::Do | PmtuDiscover::Probe),
        dev: out_device(socket, tuple),
        mark: socket.opts.mark,
        multicast_loop: false,
        options: if v4 { socket.opts.ip_options.clone() } else { Vec::new() },
        dont_route: socket.opts.dont_route,
        route: Some(route),
        ..SendInfo::new(tuple.remote, protocol::TCP)
    }
}

/// Carries out what happened to the connection; whether anything did.
fn events(ns: &mut Netns, t: &mut Turn, id: SockId) -> bool {
    let mut any = false;
    while let Some(socket) = ns.sockets.table.get_mut(id) {
        let Some(tcp) = socket.tcp_mut() else { return any };
        let Some(event) = tcp.connection_mut().and_then(Connection::poll_event) else {
            return any;
        };
        any = true;
        match event {
            Event::StateChanged(from, to) => state_changed(ns, t, id, from, to),
            Event::Connected => {
                fast_open::learn(ns, t.now, id);
                accept_queue::child_connected(ns, t, id);
            }
            // Readable again although it was readable before: level-triggered readiness does not show that.
            Event::Readable | Event::Urgent => {
                accept_queue::make_ready(ns, t, id);
                ns.sockets.wake(t, id);
            }
            Event::Writable | Event::Closed => {}
        }
    }
    any
}

fn state_changed(ns: &mut Netns, t: &mut Turn, id: SockId, from: State, to: State) {
    t.trace.socket(t.now, ns.id, Point::TcpState, || Detail::State { from: from.name(), to: to.name() });
    if from == State::SynReceived {
        fast_open::settled(ns, id);
    }
    match (from, to) {
        (State::SynSent | State::SynReceived, State::Closed) => ns.snmp.inc(Counter::TcpAttemptFails),
        (State::Established | State::CloseWait, State::Closed) => ns.snmp.inc(Counter::TcpEstabResets),
        (State::SynReceived, State::Established) => {
            let active = ns.sockets.table[id]
                .tcp()
                .and_then(|tcp| tcp.connection())
                .is_some_and(Connection::is_active);
            if !active {
                ns.snmp.inc(Counter::TcpPassiveOpens);
            }
        }
        _ => {}
    }
}

/// Sets the connection's timer. One that is set too early is left: when it fires, it is set again.
fn arm(ns: &mut Netns, id: SockId) {
    let Some(tcp) = ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut) else { return };
    let next = match &tcp.state {
        TcpState::Connection(connection) if connection.state() != State::TimeWait => {
            connection.next_timeout()
        }
        _ => None,
    };
    match (next, tcp.timer) {
        (Some(at), Some((_, set))) if set <= at => {}
        (Some(at), set) => {
            if let Some((timer, _)) = set {
                ns.timers.cancel(timer);
            }
            tcp.timer = Some((ns.timers.set(at, TimerKey::Sock(SockTimer::Tcp(id))), at));
        }
        (None, Some((timer, _))) => {
            ns.timers.cancel(timer);
            tcp.timer = None;
        }
        (None, None) => {}
    }
}

/// A connection's timer has fired.
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(tcp) = ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut) else { return };
    tcp.timer = None;
    let Some(connection) = tcp.connection_mut() else { return };
    if connection.next_timeout().is_some_and(|at| at <= t.now) {
        connection.on_timeout(t.now);
        fast_open::suspect_black_hole(ns, t.now, id);
        pump(ns, t, id);
    } else {
        arm(ns, id);
    }
}

/// Does what the connection's state asks for, and wakes the program if its readiness has changed.
fn settle(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let Some(tcp) = socket.tcp_mut() else { return };
    let Some(connection) = tcp.connection_mut() else { return };
    let state = connection.state();
    let error = connection.take_error().map(sock_error);
    if error.is_some() {
        socket.error = error;
    }
    if error == Some(SockError::TimedOut) {
        ns.snmp.inc(Counter::TcpExtTcpAbortOnTimeout);
    }
    match state {
        State::TimeWait => time_wait::enter(ns, t, id),
        State::Closed => closed(ns, t, id),
        _ => {}
    }
    tell(ns, t, id);
}

/// The connection is over: its names are free, and an orphan is gone.
fn closed(ns: &mut Netns, t: &mut Turn, id: SockId) {
    release_names(ns, id);
    let socket = &mut ns.sockets.table[id];
    let orphan = socket.orphan;
    let parent = socket.tcp().and_then(|tcp| tcp.parent);
    match parent {
        // A child in the accept queue waits to be accepted, even though it has ended; a half-open one is forgotten.
        Some(parent) => {
            if accept_queue::forget_half_open(ns, parent, id) {
                remove(ns, id);
            }
        }
        None if orphan => {
            ns.sockets.tcp.orphans = ns.sockets.tcp.orphans.saturating_sub(1);
            remove(ns, id);
        }
        None => tell(ns, t, id),
    }
}
