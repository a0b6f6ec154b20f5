//! The way out for datagrams (UDP, ping, raw): destination, source, route, path MTU, then the network layer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netspace_base::{DevId, Pkt};

use super::error;
pub(crate) use super::flow::Flow;
use super::net;
use super::socket::{Socket, canonical, scope_dev};
use super::table::Tuple;
use super::{Family, PmtuDiscover, SendControl, SockError, SockId};
use crate::route::SendInfo;
use crate::{Netns, RouteKind, RouteQuery, Turn};

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
const IPV6_HEADER: usize = 40;

impl Flow {
    /// Bytes of network header in front of the datagram.
    pub(crate) fn header_len(&self, socket: &Socket) -> usize {
        if self.dst.is_ipv4() { IPV4_HEADER + socket.opts.ip_options.len() } else { IPV6_HEADER }
    }
}

/// The destination of a send call: given, or the peer's. Mapped addresses come out as IPv4; `0.0.0.0` and `::` mean this
/// host.
pub(crate) fn destination(socket: &Socket, to: Option<SocketAddr>) -> Result<SocketAddr, SockError> {
    let Some(to) = to else { return socket.remote.ok_or(SockError::DestinationRequired) };
    if socket.family == Family::Inet && to.is_ipv6() {
        return Err(SockError::AddressFamily);
    }
    let to = loopback_for_any(canonical(to));
    let reachable = match socket.family {
        Family::Inet => true,
        Family::Inet6 if to.is_ipv4() => {
            !socket.opts.v6only && (socket.local.is_unspecified() || socket.local.is_ipv4())
        }
        // As Linux: bound to a mapped address, the socket speaks IPv4 only.
        Family::Inet6 if socket.local.is_ipv4() => return Err(SockError::AddressFamily),
        Family::Inet6 => true,
    };
    if reachable { Ok(to) } else { Err(SockError::NetworkUnreachable) }
}

/// `0.0.0.0` and `::` as destinations mean this host (RFC 1122 §3.2.1.3 (a), as Linux).
pub(crate) fn loopback_for_any(to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), to.port()),
        IpAddr::V6(v6) if v6.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), to.port()),
        _ => to,
    }
}

/// The device that a datagram to `dst` must leave by, and the source that goes with it.
fn out_device(socket: &Socket, dst: IpAddr, asked: Option<DevId>) -> (Option<DevId>, Option<IpAddr>) {
    let dev = socket.opts.bound_dev.or(asked);
    let multicast = &socket.opts.multicast;
    match dst {
        IpAddr::V4(v4) if v4.is_multicast() => (dev.or(multicast.dev4), multicast.src4.map(IpAddr::V4)),
        IpAddr::V6(v6) if v6.is_multicast() => (dev.or(multicast.dev6), None),
        IpAddr::V4(_) => (dev.or(socket.opts.unicast_if4), None),
        IpAddr::V6(_) => (dev.or(socket.opts.unicast_if6), None),
    }
}

/// Finds the way for a datagram to `dst`.
pub(crate) fn route(
    ns: &mut Netns,
    t: &Turn,
    id: SockId,
    dst: SocketAddr,
    to: Option<SocketAddr>,
    control: &SendControl,
) -> Result<Flow, SockError> {
    let socket = ns.sockets.get(id)?;
    let asked = control.dev.or_else(|| to.as_ref().and_then(scope_dev)).or_else(|| scope_dev(&dst));
    if let (Some(bound), Some(asked)) = (socket.opts.bound_dev, asked)
        && bound != asked
    {
        return Err(SockError::Invalid);
    }
    check_source(ns, socket, control, asked)?;
    let (oif, multicast_src) = out_device(socket, dst.ip(), asked);
    let bound = Some(socket.local).filter(|local| !local.is_unspecified());
    let src =
        control.source.map(|s| s.to_canonical()).filter(|s| !s.is_unspecified()).or(bound).or(multicast_src);
    let mark = control.mark.unwrap_or(socket.opts.mark);
    let v4 = dst.is_ipv4();
    let tos = control.tos.unwrap_or(if v4 { socket.opts.tos } else { socket.opts.tclass6 });
    let cached = socket.route.filter(|r| {
        socket.remote == Some(dst) && *control == SendControl::default() && ns.route_valid(t.now, r)
    });
    let route = match cached {
        Some(route) => route,
        None => ns.route_out(t.now, &RouteQuery { dst: dst.ip(), src, oif, mark, tos, hash: 0 })?,
    };
    if route.kind == RouteKind::Broadcast && !socket.opts.broadcast {
        return Err(SockError::Access);
    }
    let flow = Flow {
        src: src.unwrap_or(route.src),
        dst,
        route,
        ttl: control.ttl.or_else(|| hop_limit(socket, dst.ip())),
        tos,
        mark,
        priority: priority(socket, control, v4),
        dont_fragment: control.dont_fragment.unwrap_or(socket.opts.dont_frag6),
        dont_route: socket.opts.dont_route,
        confirm: false,
    };
    if socket.remote == Some(dst) && *control == SendControl::default() {
        ns.sockets.table[id].route = Some(route);
    }
    Ok(flow)
}

/// Its class for queueing: said, or what its own type of service makes of it, or the socket's.
fn priority(socket: &Socket, control: &SendControl, v4: bool) -> u32 {
    let by_tos = control.tos.filter(|_| v4).map(priority_of);
    control.priority.or(by_tos).unwrap_or(socket.opts.priority)
}

/// The queueing class that Linux derives from the type of service (`rt_tos2priority`).
pub(crate) fn priority_of(tos: u8) -> u32 {
    const CLASS: [u32; 16] = [0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4];
    CLASS[usize::from((tos & 0x1e) >> 1)]
}

/// `IPV6_PKTINFO` may only name addresses of this host (RFC 3542 §6.1), but for those that may bind to others.
fn check_source(
    ns: &Netns,
    socket: &Socket,
    control: &SendControl,
    dev: Option<DevId>,
) -> Result<(), SockError> {
    let foreign = |source: IpAddr| source.is_ipv6() && !net::is_local(ns, source, dev);
    let any = socket.opts.freebind || socket.opts.transparent;
    if !any && control.source.is_some_and(foreign) { Err(SockError::Invalid) } else { Ok(()) }
}

fn hop_limit(socket: &Socket, dst: IpAddr) -> Option<u8> {
    let multicast = &socket.opts.multicast;
    match dst {
        IpAddr::V4(v4) if v4.is_multicast() => Some(multicast.ttl4),
        IpAddr::V4(_) => socket.opts.ttl,
        IpAddr::V6(v6) if v6.is_multicast() => Some(multicast.hops6),
        IpAddr::V6(_) => socket.opts.hops6,
    }
}

/// Whether a datagram of `len` bytes (transport header included) may be sent, and whether with DF: what the socket's
/// path-MTU discovery says. A datagram that is too long for it is a local error: EMSGSIZE, and with `IP_RECVERR` an entry
/// in the error queue that tells the MTU.
pub(crate) fn check_mtu(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    flow: &Flow,
    len: usize,
) -> Result<bool, SockError> {
    let socket = ns.sockets.get(id)?;
    let whole = len + flow.header_len(socket);
    let limit = if flow.dst.is_ipv4() { 65_535 } else { 65_535 + IPV6_HEADER };
    let discover = socket.pmtu_discover(flow.dst.ip());
    let mtu = match discover {
        PmtuDiscover::Probe | PmtuDiscover::Interface | PmtuDiscover::Omit => flow.route.dev_mtu,
        _ if flow.dst.is_ipv6() && socket.opts.mtu6 != 0 => flow.route.mtu.min(socket.opts.mtu6),
        _ => flow.route.mtu,
    };
    let fits = whole <= mtu as usize;
    let never_cut = matches!(discover, PmtuDiscover::Do | PmtuDiscover::Probe | PmtuDiscover::Interface)
        || (flow.dst.is_ipv6() && flow.dont_fragment);
    if whole > limit || (never_cut && !fits) {
        error::local_too_long(ns, t, id, flow, mtu);
        return Err(SockError::MessageSize);
    }
    Ok(match discover {
        PmtuDiscover::Do | PmtuDiscover::Probe => true,
        PmtuDiscover::Want => fits && !flow.route.mtu_locked,
        _ => false,
    })
}

/// Hands a finished datagram (data = transport header on) to the network layer.
pub(crate) fn send(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    flow: &Flow,
    mut pkt: Box<Pkt>,
    df: bool,
) -> Result<(), SockError> {
    let socket = ns.sockets.get(id)?;
    let v4 = flow.dst.is_ipv4();
    pkt.mark = flow.mark;
    pkt.priority = flow.priority;
    let discover = socket.pmtu_discover(flow.dst.ip());
    let own_mtu = matches!(discover, PmtuDiscover::Probe | PmtuDiscover::Interface | PmtuDiscover::Omit);
    let tuple = Tuple::new((flow.src, socket.local_port), (flow.dst.ip(), flow.dst.port()), DevId::NONE);
    let label = if v4 || !socket.opts.auto_flow_label { 0 } else { ns.sockets.secret.flow_label(&tuple) };
    let info = SendInfo {
        flow_label: label,
        src: Some(flow.src),
        ttl: flow.ttl,
        tos: flow.tos,
        df,
        mtu: own_mtu.then_some(flow.route.dev_mtu),
        dev: Some(flow.route.dev).filter(|_| flow.route.kind != RouteKind::Local),
        mark: flow.mark,
        multicast_loop: if v4 { socket.opts.multicast.loop4 } else { socket.opts.multicast.loop6 },
        options: if v4 { socket.opts.ip_options.clone() } else { Vec::new() },
        dont_route: flow.dont_route,
        route: Some(flow.route),
        ..SendInfo::new(flow.dst.ip(), socket.protocol)
    };
    let recv_err = socket.recv_err(flow.dst.ip());
    if flow.confirm {
        ns.confirm_neighbour(t.now, flow.route.dev, flow.route.via);
    }
    match net::send(ns, t, pkt, &info) {
        // Without IP_RECVERR a full queue below is not told, as on Linux (NET_XMIT_DROP).
        Err(SockError::NoBuffers) if !recv_err => Ok(()),
        result => result,
    }
}
