//! bind(2): which names a socket may take, and the ports chosen by themselves.
//!
//! Linux's rules, seen from outside: two sockets of a protocol may have one port if their devices or addresses do not
//! overlap; if both have `SO_REUSEADDR` (for TCP: and the other does not listen); or if both have `SO_REUSEPORT` and one
//! owner. An IPv6 wildcard overlaps with IPv4, unless it is `IPV6_V6ONLY`.

use std::net::{IpAddr, SocketAddr};

use super::socket::{Kind, Socket, canonical, needs_scope, scope_dev};
use super::table::{Sockets, UdpKeys, addresses_overlap, devices_overlap};
use super::{Family, SockError, SockId, SockType, net, reuseport, tcp};
use crate::Netns;

/// The identifiers that may be tried before a ping socket finds none free.
const IDS: u32 = 65_536;

/// bind(2).
pub(crate) fn bind(ns: &mut Netns, id: SockId, addr: SocketAddr) -> Result<(), SockError> {
    let socket = ns.sockets.get(id)?;
    check_family(socket, addr)?;
    if socket.ty != SockType::Raw
        && (socket.local_port != 0 || socket.remote.is_some() || tcp::is_active(socket))
    {
        return Err(SockError::Invalid);
    }
    let dev = scope_dev(&addr).or(socket.opts.bound_dev);
    let wanted = canonical(addr);
    check_address(ns, id, wanted.ip(), dev)?;
    let port = wanted.port();
    if port != 0 && u32::from(port) < ns.sockets.sysctls.unprivileged_port_start {
        return Err(SockError::Access);
    }
    take_name(ns, id, addr, port, dev)
}

fn check_family(socket: &Socket, addr: SocketAddr) -> Result<(), SockError> {
    match (socket.family, addr) {
        (Family::Inet, SocketAddr::V6(_)) => Err(SockError::AddressFamily),
        (Family::Inet6, SocketAddr::V4(_)) => Err(SockError::Invalid),
        (Family::Inet6, SocketAddr::V6(v6)) => {
            if v6.ip().to_ipv4_mapped().is_some() && socket.opts.v6only {
                return Err(SockError::Invalid);
            }
            let stream = socket.ty == SockType::Stream;
            if v6.ip().is_multicast() && stream { Err(SockError::Invalid) } else { Ok(()) }
        }
        (Family::Inet, SocketAddr::V4(_)) => Ok(()),
    }
}

/// Whether a socket may be bound to `ip`: a wildcard, an address of this host, a broadcast address, a group.
fn check_address(
    ns: &Netns,
    id: SockId,
    ip: IpAddr,
    dev: Option<netspace_base::DevId>,
) -> Result<(), SockError> {
    let opts = &ns.sockets.get(id)?.opts;
    if ip.is_unspecified() || ip.is_multicast() {
        return Ok(());
    }
    if let IpAddr::V6(v6) = ip
        && needs_scope(&v6)
        && dev.is_none()
    {
        return Err(SockError::Invalid);
    }
    let sysctls = &ns.sockets.sysctls;
    let nonlocal = if ip.is_ipv4() { sysctls.nonlocal_bind } else { sysctls.nonlocal_bind6 } != 0;
    if opts.freebind
        || opts.transparent
        || nonlocal
        || net::is_local(ns, ip, dev)
        || net::is_broadcast(ns, ip)
    {
        return Ok(());
    }
    Err(SockError::AddressNotAvailable)
}

fn take_name(
    ns: &mut Netns,
    id: SockId,
    addr: SocketAddr,
    port: u16,
    dev: Option<netspace_base::DevId>,
) -> Result<(), SockError> {
    let socket = ns.sockets.get_mut(id)?;
    let before = (socket.local, socket.opts.bound_dev);
    let is_raw = matches!(socket.kind, Kind::Raw);
    socket.local = addr.ip().to_canonical();
    if scope_dev(&addr).is_some() {
        socket.opts.bound_dev = dev;
    }
    let specified = !addr.ip().is_unspecified();
    let later = port == 0 && socket.opts.bind_address_no_port && socket.ty != SockType::Raw;
    let got = if is_raw || later { Ok(()) } else { take_port(ns, id, port) };
    let socket = ns.sockets.get_mut(id)?;
    if let Err(error) = got {
        (socket.local, socket.opts.bound_dev) = before;
        return Err(error);
    }
    socket.addr_bound = specified;
    socket.port_bound = port != 0;
    if is_raw {
        // A port means nothing to a raw socket.
        socket.port_bound = false;
    }
    Ok(())
}

/// Gives the socket a port (0: one that is free) and enters it into its protocol's tables.
pub(crate) fn take_port(ns: &mut Netns, id: SockId, port: u16) -> Result<(), SockError> {
    let sockets = &mut ns.sockets;
    let socket = sockets.get(id)?;
    let is_tcp = match socket.kind {
        Kind::Udp(_) => false,
        Kind::Tcp(_) => true,
        Kind::Ping => return take_echo_id(sockets, id, port),
        Kind::Raw => return Ok(()),
    };
    let port = if port == 0 {
        free_port(sockets, id).ok_or(SockError::AddressInUse)?
    } else if conflicts(sockets, id, port, false) {
        return Err(SockError::AddressInUse);
    } else {
        port
    };
    let socket = &mut sockets.table[id];
    socket.local_port = port;
    if is_tcp {
        if let Some(tcp) = socket.tcp_mut() {
            tcp.bucket = Some((port, true));
        }
        sockets.tcp.bind(id, port);
    } else {
        let (keys, protocol) = (UdpKeys::of(socket), socket.protocol);
        sockets.udp.of_mut(protocol).insert(id, keys);
    }
    reuseport::joined(sockets, id);
    Ok(())
}

/// Gives the socket an identifier (0: one that is free).
fn take_echo_id(sockets: &mut Sockets, id: SockId, wanted: u16) -> Result<(), SockError> {
    let socket = &sockets.table[id];
    let v6 = socket.family == Family::Inet6;
    let free = |echo_id: u16| {
        let others = sockets.ping.get(&(v6, echo_id)).map_or(&[][..], |ids| ids);
        !others.iter().any(|&other| {
            let other_socket = &sockets.table[other];
            other != id
                && addresses_overlap(socket, other_socket)
                && !(socket.opts.reuse_addr && other_socket.opts.reuse_addr)
        })
    };
    let echo_id = if wanted == 0 {
        let start = sockets.rng.clone().u32();
        let chosen = (0..IDS)
            .map(|step| start.wrapping_add(step) as u16)
            .find(|&candidate| candidate != 0 && free(candidate));
        sockets.rng.u32();
        chosen.ok_or(SockError::AddressInUse)?
    } else if free(wanted) {
        wanted
    } else {
        return Err(SockError::AddressInUse);
    };
    sockets.table[id].local_port = echo_id;
    sockets.ping.entry((v6, echo_id)).or_default().push(id);
    Ok(())
}

/// Binds to a port chosen here, if the socket has none yet.
pub(crate) fn autobind(ns: &mut Netns, id: SockId) -> Result<(), SockError> {
    if ns.sockets.get(id)?.local_port != 0 {
        return Ok(());
    }
    // Linux tells EAGAIN when sending finds no port, bind itself EADDRINUSE.
    take_port(ns, id, 0).map_err(|_| SockError::WouldBlock)
}

/// The ports that may be chosen for a socket, inclusive (`IP_LOCAL_PORT_RANGE` within the sysctl's range).
pub(crate) fn port_range(sockets: &Sockets, socket: &Socket) -> (u16, u16) {
    let (mut low, mut high) = sockets.sysctls.port_range();
    let own = socket.opts.local_port_range;
    let (own_low, own_high) = (own as u16, (own >> 16) as u16);
    if own_low != 0 && (low..=high).contains(&own_low) {
        low = own_low;
    }
    if own_high != 0 && (low..=high).contains(&own_high) {
        high = own_high;
    }
    (low, high)
}

/// A free port, looked for from a random one on (RFC 6056 §3.3.1).
fn free_port(sockets: &mut Sockets, id: SockId) -> Option<u16> {
    let (low, high) = port_range(sockets, &sockets.table[id]);
    let count = u64::from(high - low) + 1;
    let start = sockets.rng.below(count);
    (0..count)
        .map(|step| low + ((start + step) % count) as u16)
        .find(|&port| !sockets.sysctls.reserved_ports.contains(port) && !conflicts(sockets, id, port, true))
}

/// Whether another socket's name forbids `port` to the socket. `alone`: reuse does not help, as when the port is chosen here.
pub(crate) fn conflicts(sockets: &Sockets, id: SockId, port: u16, alone: bool) -> bool {
    let socket = &sockets.table[id];
    let is_tcp = matches!(socket.kind, Kind::Tcp(_));
    let clash = |other: SockId| {
        let Some(other_socket) = sockets.table.get(other).filter(|_| other != id) else { return false };
        if !devices_overlap(socket.opts.bound_dev, other_socket.opts.bound_dev)
            || !addresses_overlap(socket, other_socket)
        {
            return false;
        }
        alone || !may_share(socket, other_socket, is_tcp)
    };
    if is_tcp {
        sockets.tcp.bound_to(port).any(clash) || sockets.tcp.time_wait_clashes(socket, port, alone)
    } else {
        sockets.udp.of(socket.protocol).on_port(port).iter().copied().any(clash)
    }
}

fn may_share(socket: &Socket, other: &Socket, is_tcp: bool) -> bool {
    let both_addr = socket.opts.reuse_addr && other.opts.reuse_addr;
    let both_port = socket.opts.reuse_port && other.opts.reuse_port && socket.owner.uid == other.owner.uid;
    both_port || (both_addr && !(is_tcp && tcp::is_listening(other)))
}
