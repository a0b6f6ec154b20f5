//! UDP (RFC 768, RFC 8200 §8.1) and UDP-Lite (RFC 3828): datagrams out of and into sockets.
//!
//! ```text
//! send → destination → route → [cork] → header → out::send        receive → checksum → find socket → filter → queue
//! ```
//! | file | what |
//! |---|---|
//! | `send`, `receive` | the two ways |
//! | `flavour` | the names that UDP and UDP-Lite give to the same things |
//! | `lite` | checksums that cover only a part |

pub(crate) mod flavour;
mod lite;
mod receive;
mod send;
mod state;

use std::net::{IpAddr, SocketAddr};

pub(crate) use lite::Coverage;
pub(crate) use receive::{below_min_ttl, control, cut_to, icmp_error, is_member, receive};
pub(crate) use send::{send, uncork};
pub(crate) use state::Udp;

use super::socket::Socket;
use super::table::UdpKeys;
use super::{Connect, Family, SockError, SockId, bind, out};
use crate::{Netns, RouteKind, RouteQuery, Turn};

impl Socket {
    /// Whether datagrams to the family that `v4` tells go without a checksum.
    fn sends_unchecked(&self, v4: bool) -> bool {
        if v4 { self.opts.no_check } else { self.udp_ref().is_some_and(|udp| udp.no_check6_tx) }
    }
}

/// `UDP_GRO`: while any socket wants several datagrams at once, devices join them.
pub(crate) fn set_gro(ns: &mut Netns, id: SockId, on: bool) -> Result<(), SockError> {
    let udp = ns.sockets.get_mut(id)?.udp().ok_or(SockError::NoSuchOption)?;
    let before = std::mem::replace(&mut udp.gro, on);
    ns.dev.udp_gro_users = ns.dev.udp_gro_users + u32::from(on) - u32::from(before);
    Ok(())
}

/// The socket is gone.
pub(crate) fn close(ns: &mut Netns, id: SockId) {
    let _ = set_gro(ns, id, false);
    unhash(ns, id);
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
        IpAddr::V4(_) => dev.or(socket.opts.unicast_if4),
        IpAddr::V6(_) => dev.or(socket.opts.unicast_if6),
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
    let (hashed, protocol) = (socket.local_port != 0, socket.protocol);
    let before = UdpKeys::of(socket);
    change(socket);
    let after = UdpKeys::of(socket);
    if hashed && socket.udp().is_some() {
        let table = sockets.udp.of_mut(protocol);
        table.remove(id, before);
        table.insert(id, after);
    }
    Ok(())
}

/// Takes a socket out of the tables.
pub(crate) fn unhash(ns: &mut Netns, id: SockId) {
    let Some(socket) = ns.sockets.table.get(id) else { return };
    if socket.local_port != 0 {
        let (keys, protocol) = (UdpKeys::of(socket), socket.protocol);
        ns.sockets.udp.of_mut(protocol).remove(id, keys);
    }
}
