//! IPv6's decisions by the routing tables: where a packet that came in goes, and by which way one made here leaves.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use netspace_base::{DevId, DropReason, Instant, Pkt, PktType};
use netspace_fib::{Kind, NextHop, Query, Route, protocol};
use netspace_wire::ipv6::Ipv6Repr;

use super::source::select_source;
use super::state::RouteIn;
use crate::dev::Devices;
use crate::error::SockError;
use crate::icmp::Error;
use crate::neigh::NeighState;
use crate::route::{CacheKey, Refusal, silently};
use crate::{Netns, RouteKind, RouteOut, RouteQuery};

/// How good a next hop is: its device is up and the one wanted; among routers the preferred and reachable one first
/// (RFC 4191 §3.2, RFC 4861 §6.3.6).
fn score(
    ns: &Netns,
    now: Instant,
    oif: DevId,
    route: &Route<Ipv6Net>,
    hop: &NextHop<Ipv6Addr>,
) -> Option<i32> {
    let device = ns.dev.get(hop.dev)?;
    let carrier = device.carrier
        || (ns.sysctl.all6.ignore_routes_with_linkdown == 0
            && device.conf.v6.ignore_routes_with_linkdown == 0);
    // A local address is reached by loopback, so its route fits any device that is asked for.
    let wanted = oif == DevId::NONE || hop.dev == oif;
    if !device.is_up() || !carrier || !wanted || route.expires.is_some_and(|at| now >= at) {
        return None;
    }
    let Some(via) = hop.via.filter(|_| route.protocol == protocol::RA) else { return Some(0) };
    let reachable = match ns.neigh.get(hop.dev, via.into()).map(|n| n.state) {
        Some(NeighState::Failed) => -2,
        Some(NeighState::Incomplete) => -1,
        _ => 1,
    };
    // RFC 4191 §3.2: a reachable router of low preference is better than an unreachable one of high preference.
    Some(reachable * 4 + i32::from(route.preference))
}

/// The decision about a packet that came in: the one made for the packet before it, if that was of the same flow.
pub(crate) fn route_in_cached(
    ns: &mut Netns,
    now: Instant,
    pkt: &Pkt,
    ip: &Ipv6Repr,
) -> Result<RouteIn, Refusal> {
    if pkt.pkt_type != PktType::Host {
        return route_in(ns, now, pkt, ip).map(|(route, _)| route);
    }
    let key = CacheKey { src: ip.src, dst: ip.dst, dev: pkt.dev, mark: pkt.mark, tos: 0 };
    let hash = flow_hash(ip.src, ip.dst, 0);
    if let Some(route) = ns.ip6.routes_in.get(hash, &key, ns.route_generation) {
        return Ok(route);
    }
    let (route, lasting) = route_in(ns, now, pkt, ip)?;
    if lasting && route != RouteIn::Multicast {
        ns.ip6.routes_in.put(hash, key, ns.route_generation, route);
    }
    Ok(route)
}

/// Decides about a packet that came in, and tells whether the decision lasts until the tables change.
fn route_in(ns: &Netns, now: Instant, pkt: &Pkt, ip: &Ipv6Repr) -> Result<(RouteIn, bool), Refusal> {
    let Some(device) = ns.dev.get(pkt.dev) else { return Err(silently(DropReason::DevDown)) };
    let looped = pkt.pkt_type == PktType::Loopback || device.is_loopback();
    check_addresses(ip, looped)?;
    if ip.dst.is_multicast() {
        let looped = pkt.pkt_type == PktType::Loopback;
        // Queries come from routers, whom no filter of sources is about.
        let asked = || device.groups6.is_member(ip.dst) && super::mld::is_mld(pkt.network_header());
        let member = looped || device.groups6.allows(ip.dst, ip.src) || device.allmulti > 0 || asked();
        return if member {
            Ok((RouteIn::Multicast, false))
        } else {
            Err(silently(DropReason::GroupNotJoined))
        };
    }
    // A link-local destination is one of the link that the packet came by.
    let link = ip.dst.is_unicast_link_local() && !looped;
    let only = if link { pkt.dev } else { DevId::NONE };
    let query = Query {
        src: Some(ip.src),
        iif: pkt.dev,
        mark: pkt.mark,
        hash: flow_hash(ip.src, ip.dst, 0),
        ..Query::to(ip.dst)
    };
    let forwarding = ns.sysctl.all6.forwarding != 0;
    let found = ns.fib6.lookup(&query, |r, h| score(ns, now, only, r, h));
    if found.is_none_or(|(r, _)| r.kind != Kind::Local) && device.addr6(ip.dst).is_some() {
        return Err(silently(DropReason::Ip6Tentative));
    }
    let Some((route, hop)) = found else {
        return Err(if forwarding {
            Refusal(DropReason::NoRoute, Some(Error::NetUnreachable))
        } else {
            silently(DropReason::ForwardingOff)
        });
    };
    match route.kind {
        Kind::Local | Kind::Anycast => Ok((RouteIn::Local, true)),
        _ if !forwarding || link => Err(silently(DropReason::ForwardingOff)),
        Kind::Blackhole => Err(silently(DropReason::RouteProhibited)),
        Kind::Unreachable | Kind::Broadcast => {
            Err(Refusal(DropReason::RouteProhibited, Some(Error::NetUnreachable)))
        }
        Kind::Prohibit => Err(Refusal(DropReason::RouteProhibited, Some(Error::Prohibited))),
        Kind::Throw => Err(Refusal(DropReason::NoRoute, Some(Error::NetUnreachable))),
        Kind::Unicast | Kind::Multicast => {
            let dev_mtu = ns.dev.get(hop.dev).map_or(0, crate::dev::Device::mtu6);
            let mtu = route.mtu.map_or(dev_mtu, |m| m.min(dev_mtu));
            // Among advertised routers the choice changes with what is known about them.
            let lasting = route.expires.is_none() && route.protocol != protocol::RA;
            Ok((RouteIn::Forward { via: hop.via.unwrap_or(ip.dst), dev: hop.dev, mtu }, lasting))
        }
    }
}

/// Addresses that may not be in a packet from a link (RFC 4291 §2.5.2, §2.5.3, §2.7).
fn check_addresses(ip: &Ipv6Repr, looped: bool) -> Result<(), Refusal> {
    if ip.src.is_multicast() {
        return Err(silently(DropReason::Ip6SourceInvalid));
    }
    if !looped && ip.src.is_loopback() {
        return Err(silently(DropReason::Ip6SourceInvalid));
    }
    let interface_local = ip.dst.is_multicast() && ip.dst.octets()[1] & 15 <= 1;
    if ip.dst.is_unspecified() || (!looped && (ip.dst.is_loopback() || interface_local)) {
        return Err(silently(DropReason::IpDestInvalid));
    }
    // IPv4-mapped addresses never appear on a wire.
    if ip.src.to_ipv4_mapped().is_some() || ip.dst.to_ipv4_mapped().is_some() {
        return Err(silently(DropReason::Ip6SourceInvalid));
    }
    Ok(())
}

/// A hash of the addresses: flows between the same hosts take the same of several ways.
fn flow_hash(src: Ipv6Addr, dst: Ipv6Addr, label: u32) -> u32 {
    let mixed = (src.to_bits() ^ dst.to_bits().rotate_left(32)) ^ u128::from(label) << 40;
    let folded = (mixed >> 64) as u64 ^ mixed as u64;
    let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// The way out for a packet made here (Linux's `ip6_route_output`).
pub(crate) fn route_out(ns: &Netns, now: Instant, q: &RouteQuery) -> Result<RouteOut, SockError> {
    let IpAddr::V6(dst) = q.dst else { return Err(SockError::AddressFamily) };
    let src = match q.src {
        Some(IpAddr::V6(src)) if !src.is_unspecified() => Some(src),
        _ => None,
    };
    let dst = if dst.is_unspecified() { src.unwrap_or(Ipv6Addr::LOCALHOST) } else { dst };
    let mut oif = q.oif.unwrap_or(DevId::NONE);
    if oif != DevId::NONE && !ns.dev.get(oif).ok_or(SockError::NoDevice)?.is_up() {
        return Err(SockError::NetworkUnreachable);
    }
    let scoped = dst.is_unicast_link_local() || dst.is_multicast();
    if oif == DevId::NONE && scoped {
        // The source address says which link is meant.
        let of_source = src.and_then(|s| ns.dev.iter().find(|d| d.is_up() && d.addr6(s).is_some()));
        oif = of_source.map_or(DevId::NONE, |d| d.id);
    }
    // An own address is reached over loopback, by whatever device it was asked for.
    let local_hop = |r: &Route<Ipv6Net>, h: &NextHop<Ipv6Addr>| {
        let only = if r.kind == Kind::Local && !scoped { DevId::NONE } else { oif };
        score(ns, now, only, r, h)
    };
    let hash = if q.hash != 0 { q.hash } else { flow_hash(src.unwrap_or(Ipv6Addr::UNSPECIFIED), dst, 0) };
    let query = Query { dst, src, iif: Devices::LOOPBACK, oif, mark: q.mark, tos: q.tos, hash };
    match ns.fib6.lookup(&query, local_hop) {
        Some((route, hop)) => by_route(ns, now, dst, src, route, hop),
        None => Err(SockError::NetworkUnreachable),
    }
}

fn by_route(
    ns: &Netns,
    now: Instant,
    dst: Ipv6Addr,
    src: Option<Ipv6Addr>,
    route: &Route<Ipv6Net>,
    hop: NextHop<Ipv6Addr>,
) -> Result<RouteOut, SockError> {
    let kind = match route.kind {
        Kind::Local | Kind::Anycast => RouteKind::Local,
        _ if dst.is_multicast() => RouteKind::Multicast,
        Kind::Unicast | Kind::Multicast => RouteKind::Unicast,
        Kind::Blackhole => return Err(SockError::Invalid),
        Kind::Unreachable | Kind::Broadcast => return Err(SockError::HostUnreachable),
        Kind::Prohibit => return Err(SockError::Access),
        Kind::Throw => return Err(SockError::NetworkUnreachable),
    };
    let local = kind == RouteKind::Local;
    let dev = if local { Devices::LOOPBACK } else { hop.dev };
    let device = ns.dev.get(dev).ok_or(SockError::NetworkUnreachable)?;
    let mut via = if kind == RouteKind::Unicast { hop.via.unwrap_or(dst) } else { dst };
    let mut mtu = route.mtu.map_or(device.mtu6(), |m| m.min(device.mtu6()));
    let mut expires = route.expires.unwrap_or(Instant::FAR_FUTURE);
    if kind == RouteKind::Unicast
        && let Some(learnt) = ns.ip6.exceptions.get(&dst, now)
    {
        expires = expires.min(learnt.expires);
        via = learnt.gateway.unwrap_or(via);
        mtu = learnt.mtu.filter(|_| !route.mtu_lock).map_or(mtu, |(path_mtu, _)| mtu.min(path_mtu));
    }
    let chosen = || match route.prefsrc {
        Some(prefsrc) if !local => Some(prefsrc),
        _ if local => Some(dst),
        _ => select_source(ns, dev, dst),
    };
    let Some(src) = src.or_else(chosen) else { return Err(SockError::AddressNotAvailable) };
    Ok(RouteOut {
        kind,
        src: src.into(),
        dev,
        via: via.into(),
        mtu,
        dev_mtu: device.mtu6(),
        mtu_locked: route.mtu_lock,
        hop_limit: route.hop_limit.or(Some(device.conf.v6.hop_limit as u8)),
        generation: ns.route_generation,
        expires,
    })
}
