//! Joining and leaving groups (RFC 1112, RFC 3493 §5.2): the socket's list, and the device's through IGMP and MLD.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::DevId;

use super::socket::Member;
use super::{Membership, SockError, SockId};
use crate::{Netns, RouteQuery, Turn};

/// The most groups that a socket joins for IPv6 (Linux bounds them by `optmem_max`).
const MAX_GROUPS6: usize = 512;

/// The device that a membership is about: named, or by its address, or where a route to the group leads.
fn device(ns: &Netns, t: &Turn, asked: &Membership) -> Result<DevId, SockError> {
    if let Some(dev) = asked.dev.filter(|dev| *dev != DevId::NONE) {
        return ns.dev.get(dev).map(|dev| dev.id).ok_or(SockError::NoDevice);
    }
    if let Some(local) = asked.local.filter(|local| !local.is_unspecified()) {
        return device_of(ns, local).ok_or(SockError::NoDevice);
    }
    if let Ok(route) = ns.route_out(t.now, &RouteQuery::to(asked.group)) {
        return Ok(route.dev);
    }
    // Without a route to it, the first device that can do multicast.
    let fits = |dev: &&crate::dev::Device| dev.is_up() && !dev.is_loopback();
    ns.dev.iter().find(fits).map(|dev| dev.id).ok_or(SockError::NoDevice)
}

/// The device that has an address.
pub(crate) fn device_of(ns: &Netns, addr: Ipv4Addr) -> Option<DevId> {
    ns.dev.iter().find(|dev| dev.has_addr4(addr)).map(|dev| dev.id)
}

/// `IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`.
pub(crate) fn join(ns: &mut Netns, t: &mut Turn, id: SockId, asked: Membership) -> Result<(), SockError> {
    let group = asked.group.to_canonical();
    if !group.is_multicast() {
        return Err(SockError::Invalid);
    }
    let dev = device(ns, t, &asked)?;
    let limit = match group {
        IpAddr::V4(_) => ns.sockets.sysctls.igmp_max_memberships as usize,
        IpAddr::V6(_) => MAX_GROUPS6,
    };
    let members = &ns.sockets.get(id)?.opts.memberships;
    if members.iter().any(|m| m.group == group && m.dev == dev) {
        return Err(SockError::AddressInUse);
    }
    if members.iter().filter(|m| m.group.is_ipv4() == group.is_ipv4()).count() >= limit {
        return Err(SockError::NoBuffers);
    }
    ns.join_group(t, dev, group)?;
    ns.sockets.get_mut(id)?.opts.memberships.push(Member { group, dev, asked });
    Ok(())
}

/// `IP_DROP_MEMBERSHIP`, `IPV6_LEAVE_GROUP`.
pub(crate) fn leave(ns: &mut Netns, t: &mut Turn, id: SockId, asked: Membership) -> Result<(), SockError> {
    let group = asked.group.to_canonical();
    let named = asked.dev.filter(|dev| *dev != DevId::NONE);
    let by_local = asked.local.filter(|local| !local.is_unspecified()).and_then(|local| device_of(ns, local));
    let dev = named.or(by_local);
    let members = &mut ns.sockets.get_mut(id)?.opts.memberships;
    let at = members
        .iter()
        .position(|m| m.group == group && dev.is_none_or(|dev| dev == m.dev))
        .ok_or(SockError::AddressNotAvailable)?;
    let member = members.remove(at);
    ns.leave_group(t, member.dev, group);
    Ok(())
}

/// The socket is gone: it leaves all groups.
pub(crate) fn leave_all(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    for member in std::mem::take(&mut socket.opts.memberships) {
        ns.leave_group(t, member.dev, member.group);
    }
}
