//! IPv4's decisions by the routing tables: where a packet that came in goes, and by which way one made here leaves.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{DevId, DropReason, Instant, Pkt, PktType};
use netspace_fib::{Kind, NextHop, Query, Route, Scope};
use netspace_wire::ipv4::Ipv4Repr;

use super::source::{is_local, select_source};
use super::state::RouteIn;
use crate::dev::Devices;
use crate::error::SockError;
use crate::icmp::Error;
use crate::route::{CacheKey, Refusal, silently};
use crate::{Netns, RouteKind, RouteOut, RouteQuery};

/// Whether a next hop can be used: its device is up (and has carrier, where that is asked for), and is the one wanted.
fn usable(
    ns: &Netns,
    now: Instant,
    oif: DevId,
    route: &Route<ipnet::Ipv4Net>,
    hop: &NextHop<Ipv4Addr>,
) -> Option<i32> {
    let device = ns.dev.get(hop.dev)?;
    let carrier = device.carrier
        || (ns.sysctl.all4.ignore_routes_with_linkdown == 0
            && device.conf.v4.ignore_routes_with_linkdown == 0);
    let wanted = oif == DevId::NONE || hop.dev == oif;
    (device.is_up() && carrier && wanted && route.expires.is_none_or(|at| now < at)).then_some(0)
}

/// The decision about a packet that came in: the one made for the packet before it, if that was of the same flow.
pub(crate) fn route_in_cached(
    ns: &mut Netns,
    now: Instant,
    pkt: &Pkt,
    ip: &Ipv4Repr,
) -> Result<RouteIn, Refusal> {
    if pkt.pkt_type != PktType::Host {
        return route_in(ns, now, pkt, ip).map(|(route, _)| route);
    }
    let key = CacheKey { src: ip.src, dst: ip.dst, dev: pkt.dev, mark: pkt.mark, tos: ip.tos & 0x1c };
    let hash = flow_hash(ip.src, ip.dst);
    if let Some(route) = ns.ip.routes_in.get(hash, &key, ns.route_generation) {
        return Ok(route);
    }
    let (route, lasting) = route_in(ns, now, pkt, ip)?;
    if lasting && route != RouteIn::Multicast {
        ns.ip.routes_in.put(hash, key, ns.route_generation, route);
    }
    Ok(route)
}

/// Decides about a packet that came in (RFC 1812 §5.2.3, Linux's `ip_route_input_slow`), and tells whether the decision
/// lasts until the tables change.
fn route_in(ns: &Netns, now: Instant, pkt: &Pkt, ip: &Ipv4Repr) -> Result<(RouteIn, bool), Refusal> {
    let Some(device) = ns.dev.get(pkt.dev) else { return Err(silently(DropReason::DevDown)) };
    let looped = pkt.pkt_type == PktType::Loopback || device.is_loopback();
    check_addresses(ns, pkt.dev, ip, looped)?;
    if ip.dst.is_multicast() {
        let looped = pkt.pkt_type == PktType::Loopback;
        // Queries come from routers, whom no filter of sources is about.
        let asked = ip.protocol == netspace_wire::protocol::IGMP && device.groups4.is_member(ip.dst);
        let member = looped || asked || device.groups4.allows(ip.dst, ip.src) || device.allmulti > 0;
        if !member {
            return Err(silently(DropReason::GroupNotJoined));
        }
        check_reverse_path(ns, now, pkt, ip, looped)?;
        return Ok((RouteIn::Multicast, false));
    }
    if is_to_everybody(ip) {
        check_reverse_path(ns, now, pkt, ip, looped)?;
        return Ok((RouteIn::Broadcast, false));
    }
    let query = Query {
        src: Some(ip.src),
        iif: pkt.dev,
        mark: pkt.mark,
        tos: ip.tos & 0x1c,
        hash: flow_hash(ip.src, ip.dst),
        ..Query::to(ip.dst)
    };
    let forwarding = device.conf.v4.forwarding != 0;
    let Some((route, hop)) = ns.fib4.lookup(&query, |r, h| usable(ns, now, DevId::NONE, r, h)) else {
        return Err(if forwarding {
            Refusal(DropReason::NoRoute, Some(Error::NetUnreachable))
        } else {
            silently(DropReason::ForwardingOff)
        });
    };
    check_reverse_path(ns, now, pkt, ip, looped)?;
    match route.kind {
        Kind::Local | Kind::Anycast => Ok((RouteIn::Local, true)),
        Kind::Broadcast => Ok((RouteIn::Broadcast, true)),
        _ if !forwarding => Err(silently(DropReason::ForwardingOff)),
        Kind::Blackhole => Err(silently(DropReason::RouteProhibited)),
        Kind::Unreachable => Err(Refusal(DropReason::RouteProhibited, Some(Error::HostUnreachable))),
        Kind::Prohibit => Err(Refusal(DropReason::RouteProhibited, Some(Error::Prohibited))),
        Kind::Throw => Err(Refusal(DropReason::NoRoute, Some(Error::NetUnreachable))),
        Kind::Unicast | Kind::Multicast => {
            let dev_mtu = ns.dev.get(hop.dev).map_or(0, |d| d.mtu);
            let mtu = route.mtu.map_or(dev_mtu, |m| m.min(dev_mtu));
            let lasting = route.expires.is_none();
            Ok((RouteIn::Forward { via: hop.via.unwrap_or(ip.dst), dev: hop.dev, mtu }, lasting))
        }
    }
}

/// Whether a packet is for every host of the link: to 255.255.255.255, or as 4.2BSD did it, from and to 0.0.0.0.
const fn is_to_everybody(ip: &Ipv4Repr) -> bool {
    ip.dst.is_broadcast() || (ip.dst.is_unspecified() && ip.src.is_unspecified())
}

/// Addresses that may not be in a packet from a link (martians: RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
fn check_addresses(ns: &Netns, dev: DevId, ip: &Ipv4Repr, looped: bool) -> Result<(), Refusal> {
    if ip.src.is_multicast() || ip.src.is_broadcast() {
        return Err(silently(DropReason::IpSourceInvalid));
    }
    // "This host" without an address yet (DHCP) speaks to broadcasts and groups only.
    let zero_source = ip.src.octets()[0] == 0;
    if zero_source && !is_to_everybody(ip) && !ip.dst.is_multicast() {
        return Err(silently(DropReason::IpSourceInvalid));
    }
    if ip.dst.octets()[0] == 0 && !(ip.dst.is_unspecified() && zero_source) {
        return Err(silently(DropReason::IpDestInvalid));
    }
    if looped {
        return Ok(());
    }
    let localnet = ns.dev.get(dev).is_some_and(|d| d.conf.v4.route_localnet != 0);
    if ip.dst.is_loopback() && !localnet {
        return Err(silently(DropReason::IpDestInvalid));
    }
    if ip.src.is_loopback() && !localnet {
        return Err(silently(DropReason::IpSourceInvalid));
    }
    let accept_local =
        ns.sysctl.all4.accept_local != 0 || ns.dev.get(dev).is_some_and(|d| d.conf.v4.accept_local != 0);
    if !accept_local && is_local(ns, ip.src) {
        return Err(silently(DropReason::IpSourceInvalid));
    }
    Ok(())
}

/// The reverse-path filter (RFC 3704): strict, the way back leads by the same device; loose, there is one.
fn check_reverse_path(
    ns: &Netns,
    now: Instant,
    pkt: &Pkt,
    ip: &Ipv4Repr,
    looped: bool,
) -> Result<(), Refusal> {
    let own = ns.dev.get(pkt.dev).map_or(0, |d| d.conf.v4.rp_filter);
    let mode = own.max(ns.sysctl.all4.rp_filter);
    if mode == 0 || looped || ip.src.is_unspecified() {
        return Ok(());
    }
    let query = Query { mark: pkt.mark, ..Query::to(ip.src) };
    let oif = if mode == 1 { pkt.dev } else { DevId::NONE };
    let best = ns.fib4.lookup(&query, |r, h| usable(ns, now, DevId::NONE, r, h));
    let ok = best.is_some_and(|(route, hop)| {
        route.kind == Kind::Unicast
            && (oif == DevId::NONE || route.hops.iter().any(|h| h.dev == oif) || hop.dev == oif)
    });
    if ok { Ok(()) } else { Err(silently(DropReason::ReversePath)) }
}

/// A hash of the addresses: flows between the same hosts take the same of several ways.
pub(crate) fn flow_hash(src: Ipv4Addr, dst: Ipv4Addr) -> u32 {
    let mixed = (src.to_bits() ^ dst.to_bits().rotate_left(16)).wrapping_mul(0x9e37_79b1);
    mixed ^ (mixed >> 15)
}

/// The way out for a packet made here (Linux's `ip_route_output_key`).
pub(crate) fn route_out(ns: &Netns, now: Instant, q: &RouteQuery) -> Result<RouteOut, SockError> {
    let IpAddr::V4(dst) = q.dst else { return Err(SockError::AddressFamily) };
    let src = match q.src {
        Some(IpAddr::V4(src)) if !src.is_unspecified() => Some(src),
        _ => None,
    };
    let dst = if dst.is_unspecified() { src.unwrap_or(Ipv4Addr::LOCALHOST) } else { dst };
    let oif = q.oif.unwrap_or(DevId::NONE);
    if oif != DevId::NONE && !ns.dev.get(oif).ok_or(SockError::NoDevice)?.is_up() {
        return Err(SockError::NetworkUnreachable);
    }
    let hash = if q.hash != 0 { q.hash } else { flow_hash(src.unwrap_or(Ipv4Addr::UNSPECIFIED), dst) };
    let query = Query { dst, src, iif: Devices::LOOPBACK, oif, mark: q.mark, tos: q.tos & 0x1c, hash };
    match ns.fib4.lookup(&query, |r, h| usable(ns, now, oif, r, h)) {
        Some((route, hop)) => by_route(ns, now, dst, src, route, hop),
        // The tables do not know, but the program does: it is on that link.
        None if oif != DevId::NONE => Ok(finish(ns, now, dst, src, None, NextHop::on(oif), cast(dst))),
        None if group_source(ns, dst, src).is_some() => {
            let dev = group_source(ns, dst, src).unwrap_or(DevId::NONE);
            Ok(finish(ns, now, dst, src, None, NextHop::on(dev), cast(dst)))
        }
        None => Err(SockError::NetworkUnreachable),
    }
}

/// The device for a group or broadcast packet whose source address was chosen: the one that has it.
fn group_source(ns: &Netns, dst: Ipv4Addr, src: Option<Ipv4Addr>) -> Option<DevId> {
    let src = src.filter(|_| cast(dst) != RouteKind::Unicast)?;
    ns.dev.iter().find(|d| d.is_up() && d.has_addr4(src)).map(|d| d.id)
}

fn cast(dst: Ipv4Addr) -> RouteKind {
    if dst.is_multicast() {
        RouteKind::Multicast
    } else if dst.is_broadcast() {
        RouteKind::Broadcast
    } else {
        RouteKind::Unicast
    }
}

fn by_route(
    ns: &Netns,
    now: Instant,
    dst: Ipv4Addr,
    src: Option<Ipv4Addr>,
    route: &Route<ipnet::Ipv4Net>,
    hop: NextHop<Ipv4Addr>,
) -> Result<RouteOut, SockError> {
    let kind = match route.kind {
        Kind::Local | Kind::Anycast => RouteKind::Local,
        Kind::Broadcast => RouteKind::Broadcast,
        Kind::Unicast | Kind::Multicast => cast(dst),
        Kind::Blackhole => return Err(SockError::Invalid),
        Kind::Unreachable => return Err(SockError::HostUnreachable),
        Kind::Prohibit => return Err(SockError::Access),
        Kind::Throw => return Err(SockError::NetworkUnreachable),
    };
    // Loopback addresses stay on this host (RFC 1122 §3.2.1.3 (g)).
    let out = ns.dev.get(hop.dev).filter(|_| kind != RouteKind::Local);
    if src.is_some_and(|s| s.is_loopback())
        && out.is_some_and(|d| !d.is_loopback() && d.conf.v4.route_localnet == 0)
    {
        return Err(SockError::Invalid);
    }
    // A group packet may come from the device that has the chosen source, whatever the default route says.
    let by_source =
        group_source(ns, dst, src).filter(|_| kind != RouteKind::Local && route.prefix.prefix_len() < 4);
    let hop = by_source.map_or(hop, NextHop::on);
    Ok(finish(ns, now, dst, src, Some(route), hop, kind))
}

/// Fills in source, next hop, MTU and what was learnt about the path.
fn finish(
    ns: &Netns,
    now: Instant,
    dst: Ipv4Addr,
    src: Option<Ipv4Addr>,
    route: Option<&Route<ipnet::Ipv4Net>>,
    hop: NextHop<Ipv4Addr>,
    kind: RouteKind,
) -> RouteOut {
    let local = kind == RouteKind::Local;
    let dev = if local { Devices::LOOPBACK } else { hop.dev };
    let mut via = if kind == RouteKind::Unicast { hop.via.unwrap_or(dst) } else { dst };
    let dev_mtu = ns.dev.get(dev).map_or(0, |d| d.mtu);
    let mut mtu = route.and_then(|r| r.mtu).map_or(dev_mtu, |m| m.min(dev_mtu));
    let mut mtu_locked = route.is_some_and(|r| r.mtu_lock);
    let mut expires = route.and_then(|r| r.expires).unwrap_or(Instant::FAR_FUTURE);
    if kind == RouteKind::Unicast
        && let Some(learnt) = ns.ip.exceptions.get(&dst, now)
    {
        expires = expires.min(learnt.expires);
        via = learnt.gateway.unwrap_or(via);
        if let Some((path_mtu, low)) = learnt.mtu.filter(|_| !mtu_locked) {
            mtu = mtu.min(path_mtu);
            mtu_locked = low;
        }
    }
    let chosen = || match route.and_then(|r| r.prefsrc) {
        Some(prefsrc) if !local => prefsrc,
        _ if local => dst,
        _ => select_source(ns, dev, via, Scope::Link).unwrap_or(Ipv4Addr::UNSPECIFIED),
    };
    RouteOut {
        kind,
        src: src.unwrap_or_else(chosen).into(),
        dev,
        via: via.into(),
        mtu,
        dev_mtu,
        mtu_locked,
        hop_limit: route.and_then(|r| r.hop_limit),
        generation: ns.route_generation,
        expires,
    }
}
