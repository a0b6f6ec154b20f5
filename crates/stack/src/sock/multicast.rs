//! Joining and leaving groups (RFC 1112, RFC 3493 §5.2) and the filters of their sources (RFC 3678): the socket's list, and
//! the device's through IGMP and MLD.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::DevId;

use super::socket::Member;
use super::{Filter, FilterMode, Membership, SockError, SockId, SourceFilter, SourceMembership};
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
    join_with(ns, t, id, asked, Filter::ANY)
}

fn join_with(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    asked: Membership,
    filter: Filter<IpAddr>,
) -> Result<(), SockError> {
    let (group, dev) = place(ns, t, &asked)?;
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
    ns.change_membership(t, dev, group, None, Some(&filter))?;
    ns.sockets.get_mut(id)?.opts.memberships.push(Member { group, dev, asked, filter });
    Ok(())
}

/// The group and device that a request names.
fn place(ns: &Netns, t: &Turn, asked: &Membership) -> Result<(IpAddr, DevId), SockError> {
    let group = asked.group.to_canonical();
    if !group.is_multicast() {
        return Err(SockError::Invalid);
    }
    Ok((group, device(ns, t, asked)?))
}

/// `IP_DROP_MEMBERSHIP`, `IPV6_LEAVE_GROUP`.
pub(crate) fn leave(ns: &mut Netns, t: &mut Turn, id: SockId, asked: Membership) -> Result<(), SockError> {
    let group = asked.group.to_canonical();
    let named = asked.dev.filter(|dev| *dev != DevId::NONE);
    let by_local = asked.local.filter(|local| !local.is_unspecified()).and_then(|local| device_of(ns, local));
    let dev = named.or(by_local);
    let members = &ns.sockets.get(id)?.opts.memberships;
    let at = members
        .iter()
        .position(|m| m.group == group && dev.is_none_or(|dev| dev == m.dev))
        .ok_or(SockError::AddressNotAvailable)?;
    leave_at(ns, t, id, at)
}

fn leave_at(ns: &mut Netns, t: &mut Turn, id: SockId, at: usize) -> Result<(), SockError> {
    let member = ns.sockets.get_mut(id)?.opts.memberships.remove(at);
    // The device may have gone, and its groups with it.
    let _ = ns.change_membership(t, member.dev, member.group, Some(&member.filter), None);
    Ok(())
}

/// The socket is gone: it leaves all groups.
pub(crate) fn leave_all(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    for member in std::mem::take(&mut socket.opts.memberships) {
        let _ = ns.change_membership(t, member.dev, member.group, Some(&member.filter), None);
    }
}

// ---- Sources -------------------------------------------------------------------------------------------------------

/// What a program does to one source of a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceChange {
    /// Hear it, and join for it if need be.
    Join,
    /// Do not hear it any more; with the last one the group is left.
    Leave,
    /// Hear all but it.
    Block,
    /// Hear it again.
    Unblock,
}

/// `IP_ADD_SOURCE_MEMBERSHIP` and its kin (RFC 3678 §4.1, §5.1); errors are Linux's.
pub(crate) fn source(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    asked: SourceMembership,
    change: SourceChange,
) -> Result<(), SockError> {
    let source = asked.source.to_canonical();
    let (group, dev) = place(ns, t, &asked.at)?;
    if source.is_ipv4() != group.is_ipv4() {
        return Err(SockError::AddressNotAvailable);
    }
    let members = &ns.sockets.get(id)?.opts.memberships;
    let Some(at) = members.iter().position(|m| m.group == group && m.dev == dev) else {
        let only = Filter { mode: FilterMode::Include, sources: vec![source] };
        return if change == SourceChange::Join {
            join_with(ns, t, id, asked.at, only)
        } else {
            Err(SockError::Invalid)
        };
    };
    let most = sources_max(ns, group);
    match changed(&members[at].filter, source, change, most)? {
        // "Include nobody" is not to be a member (RFC 3678 §4.1.3).
        new if new == Filter::NONE => leave_at(ns, t, id, at),
        new => replace(ns, t, id, at, new),
    }
}

/// The filter after a change of one source.
fn changed(
    old: &Filter<IpAddr>,
    source: IpAddr,
    change: SourceChange,
    most: usize,
) -> Result<Filter<IpAddr>, SockError> {
    let (mode, add) = match change {
        SourceChange::Join => (FilterMode::Include, true),
        SourceChange::Leave => (FilterMode::Include, false),
        SourceChange::Block => (FilterMode::Exclude, true),
        SourceChange::Unblock => (FilterMode::Exclude, false),
    };
    // Only an empty list may turn into the other kind.
    if old.mode != mode && !old.sources.is_empty() {
        return Err(SockError::Invalid);
    }
    let mut new = Filter { mode, sources: old.sources.clone() };
    let at = new.sources.iter().position(|known| *known == source);
    match (add, at) {
        (true, _) if new.sources.len() >= most => return Err(SockError::NoBuffers),
        (true, Some(_)) | (false, None) => return Err(SockError::AddressNotAvailable),
        (true, None) => new.sources.push(source),
        (false, Some(at)) => {
            new.sources.remove(at);
        }
    }
    Ok(new)
}

fn sources_max(ns: &Netns, group: IpAddr) -> usize {
    let most = if group.is_ipv4() { ns.sysctl.net4.igmp_max_msf } else { ns.sysctl.net6.mld_max_msf };
    usize::try_from(most).unwrap_or(0)
}

fn replace(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    at: usize,
    new: Filter<IpAddr>,
) -> Result<(), SockError> {
    let member = &mut ns.sockets.get_mut(id)?.opts.memberships[at];
    let (dev, group) = (member.dev, member.group);
    let old = std::mem::replace(&mut member.filter, new.clone());
    let _ = ns.change_membership(t, dev, group, Some(&old), Some(&new));
    Ok(())
}

/// `IP_MSFILTER`, `MCAST_MSFILTER`: the whole filter at once.
pub(crate) fn set_filter(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    asked: SourceFilter,
) -> Result<(), SockError> {
    let (group, dev) = place(ns, t, &asked.at)?;
    if asked.filter.sources.len() > sources_max(ns, group) {
        return Err(SockError::NoBuffers);
    }
    if asked.filter.sources.iter().any(|source| source.is_ipv4() != group.is_ipv4()) {
        return Err(SockError::AddressNotAvailable);
    }
    let at = ns.sockets.get(id)?.opts.memberships.iter().position(|m| m.group == group && m.dev == dev);
    match (at, asked.filter == Filter::NONE) {
        (None, true) => Err(SockError::AddressNotAvailable),
        (None, false) => Err(SockError::Invalid),
        (Some(at), true) => leave_at(ns, t, id, at),
        (Some(at), false) => replace(ns, t, id, at, asked.filter),
    }
}

impl Netns {
    /// A membership's source filter: what `IP_MSFILTER` and `MCAST_MSFILTER` get. [`SockError::AddressNotAvailable`] if the
    /// socket has not joined the group there.
    pub fn source_filter(&self, t: &Turn, s: SockId, at: &Membership) -> Result<Filter<IpAddr>, SockError> {
        let (group, dev) = place(self, t, at)?;
        let members = &self.sockets.get(s)?.opts.memberships;
        let member = members.iter().find(|m| m.group == group && m.dev == dev);
        member.map(|m| m.filter.clone()).ok_or(SockError::AddressNotAvailable)
    }
}
