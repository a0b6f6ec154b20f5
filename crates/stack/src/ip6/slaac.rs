//! Addresses made from router advertisements (SLAAC, RFC 4862 §5.5), and the end of what was learnt.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netspace_base::{DevId, Duration, Instant};
use netspace_fib::{Add, NextHop, Route, protocol};
use netspace_wire::MacAddr;
use netspace_wire::ndp::PrefixInfo;

use super::addr;
use super::identifier::{stable_address, with_identifier};
use super::own_route::METRIC_ADDRCONF;
use super::state::{Addr6, AddrState};
use crate::{Netns, TimerKey, Turn};

/// RFC 4862 §5.5.3 (e): an unauthenticated advertisement cannot cut a longer lifetime below this.
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// The moment a lifetime in seconds ends; `u32::MAX` never does.
pub(crate) fn until(now: Instant, life_s: u32) -> Instant {
    if life_s == u32::MAX { Instant::FAR_FUTURE } else { now + Duration::from_secs(life_s.into()) }
}

/// A prefix was advertised: it is on the link, hosts make addresses in it, or both.
pub(crate) fn prefix(ns: &mut Netns, t: &mut Turn, dev: DevId, info: &PrefixInfo) {
    let Some(device) = ns.dev.get(dev) else { return };
    let (conf, mac) = (&device.conf.v6, device.mac);
    let Ok(net) = Ipv6Net::new(info.prefix, info.prefix_len).map(|n| n.trunc()) else { return };
    let bad =
        net.addr().is_unicast_link_local() || net.addr().is_multicast() || info.preferred_s > info.valid_s;
    if bad || conf.accept_ra_pinfo == 0 || info.valid_s < conf.accept_ra_min_lft as u32 && info.valid_s > 0 {
        return;
    }
    let (autoconf, most, mode) = (conf.autoconf != 0, conf.max_addresses as usize, conf.addr_gen_mode);
    if info.on_link {
        on_link(ns, t.now, dev, net, info.valid_s);
    }
    // Interface identifiers have 64 bits (RFC 4862 §5.5.3 (d)).
    if info.autonomous && autoconf && info.prefix_len == 64 {
        let address = match mode {
            0 => with_identifier(net.addr(), MacAddr(mac).eui64()),
            _ => stable_address(ns, dev, net.addr(), 0),
        };
        autonomous(ns, t, dev, address, info, most);
    }
}

/// The route to a prefix of the link, for as long as it is valid.
fn on_link(ns: &mut Netns, now: Instant, dev: DevId, net: Ipv6Net, valid_s: u32) {
    let hop = NextHop::on(dev);
    let same = |r: &Route<Ipv6Net>| r.protocol == protocol::KERNEL && r.hops.first() == Some(&hop);
    // An address put there by hand keeps the route for ever.
    if ns.fib6.exact(netspace_fib::TABLE_MAIN, net).iter().any(|r| same(r) && r.expires.is_none()) {
        return;
    }
    let _ = ns.fib6.remove(netspace_fib::TABLE_MAIN, net, same);
    if valid_s > 0 {
        let expires = until(now, valid_s);
        let route = Route {
            protocol: protocol::KERNEL,
            metric: METRIC_ADDRCONF,
            expires: (expires != Instant::FAR_FUTURE).then_some(expires),
            ..Route::new(net, hop)
        };
        let _ = ns.fib6.add(route, Add::Append);
    }
}

/// Makes the address, or gives it new lifetimes (RFC 4862 §5.5.3 (e)).
fn autonomous(ns: &mut Netns, t: &mut Turn, dev: DevId, address: Ipv6Addr, info: &PrefixInfo, most: usize) {
    let (valid, preferred) = (until(t.now, info.valid_s), until(t.now, info.preferred_s));
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let made = device.addrs6.iter().filter(|a| a.autoconf).count();
    if let Some(entry) = device.addrs6.iter_mut().find(|a| a.addr == address) {
        if !entry.autoconf {
            return;
        }
        let left = entry.valid_until - t.now;
        let told = Duration::from_secs(info.valid_s.into());
        entry.valid_until = if told > TWO_HOURS || told > left {
            valid
        } else if left > TWO_HOURS {
            t.now + TWO_HOURS
        } else {
            entry.valid_until
        };
        entry.preferred_until = preferred.min(entry.valid_until);
        if entry.is_usable() {
            entry.state = if t.now < preferred { AddrState::Preferred } else { AddrState::Deprecated };
        }
        return;
    }
    if info.valid_s > 0 && (most == 0 || made < most) {
        let net = Ipv6Net::new_assert(address, 64);
        let entry =
            Addr6 { autoconf: true, valid_until: valid, preferred_until: preferred, ..Addr6::new(net) };
        let _ = addr::add(ns, t, dev, entry, false);
    }
}

/// Sets the timer for what runs out first.
pub(crate) fn schedule(ns: &mut Netns, now: Instant) {
    let addrs = ns.dev.iter().flat_map(|d| d.addrs6.iter());
    let ends = addrs.flat_map(|a| [a.preferred_until, a.valid_until]);
    let routes = ns.fib6.routes().filter_map(|r| r.expires);
    let first = ends.chain(routes).filter(|&at| at > now && at != Instant::FAR_FUTURE).min();
    if let Some(old) = ns.ip6.lifetimes.take() {
        ns.timers.cancel(old);
    }
    ns.ip6.lifetimes = first.map(|at| ns.timers.set(at, TimerKey::Lifetimes));
}

/// Something has run out: addresses are deprecated or removed, routes go.
pub(crate) fn on_lifetimes(ns: &mut Netns, t: &mut Turn) {
    ns.ip6.lifetimes = None;
    let mut gone = Vec::new();
    for device in ns.dev.iter_mut() {
        device.nd.dns_servers.retain(|(_, at)| t.now < *at);
        for entry in &mut device.addrs6 {
            if t.now >= entry.valid_until {
                gone.push((device.id, entry.addr, entry.prefix_len));
            } else if t.now >= entry.preferred_until && entry.state == AddrState::Preferred {
                entry.state = AddrState::Deprecated;
            }
        }
    }
    for (dev, address, prefix_len) in gone {
        let _ = addr::remove(ns, t, dev, Ipv6Net::new_assert(address, prefix_len));
    }
    ns.fib6.retain(|r| r.expires.is_none_or(|at| t.now < at));
    ns.routes_changed();
    schedule(ns, t.now);
}
