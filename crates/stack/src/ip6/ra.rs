//! Router discovery (RFC 4861 §6), what others say: a host heeds advertisements, a router solicitations.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use netspace_base::{DevId, Duration, Instant};
use netspace_fib::{Add, NextHop, Route, protocol};
use netspace_wire::ndp::{NdpOptions, RouteInfo, RouterAdvertisement, RouterPreference};

use super::discover::{accepts, is_advertising};
use super::slaac::{self, until};
pub use super::state::{AdvertisedPrefix, NdState, RouterConfig};
use crate::neigh::{NeighState, News, resolve};
use crate::{Netns, TimerKey, Turn};

/// The metric of routes learnt from advertisements.
const METRIC_RA: u32 = 1024;
/// Default routers remembered on a device.
const ROUTERS_MAX: usize = 16;
/// The shortest time between advertisements to all nodes.
const MIN_DELAY_BETWEEN: Duration = Duration::from_secs(3);
/// The longest time a solicitation waits for its answer, ms.
const MAX_RA_DELAY_MS: u64 = 500;
/// The shortest time between solicitations that is taken from an advertisement, as on Linux, ms.
const RETRANS_LEAST_MS: u32 = 10;

/// A router advertises itself (RFC 4861 §6.3.4); false if it is not heeded.
pub(crate) fn receive(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    router: Ipv6Addr,
    adv: &RouterAdvertisement,
    options: &NdpOptions,
) -> bool {
    let own = ns.dev.iter().any(|d| d.addr6(router).is_some());
    if !accepts(ns, dev) || (own && ns.dev.get(dev).is_some_and(|d| d.conf.v6.accept_ra_from_local == 0)) {
        return false;
    }
    if let Some(device) = ns.dev.get_mut(dev) {
        device.nd.heard = true;
        device.nd.managed = adv.managed;
        device.nd.other = adv.other;
        for &(server, life) in &options.dns_servers {
            device.nd.dns_servers.retain(|(s, _)| *s != server);
            if life > 0 && device.nd.dns_servers.len() < ROUTERS_MAX {
                device.nd.dns_servers.push((server, until(t.now, life)));
            }
        }
    }
    default_route(ns, t.now, dev, router, adv);
    parameters(ns, dev, adv, options.mtu);
    let news = News {
        mac: options.source_lladdr,
        state: NeighState::Stale,
        overrides: true,
        weak_override: false,
        is_router: Some(true),
    };
    resolve::update(ns, t, dev, IpAddr::V6(router), news, options.source_lladdr.is_some());
    for prefix in &options.prefixes {
        slaac::prefix(ns, t, dev, prefix);
    }
    for route in &options.routes {
        route_info(ns, t.now, dev, router, route);
    }
    slaac::schedule(ns, t.now);
    ns.routes_changed();
    true
}

const fn preference(of: RouterPreference) -> i8 {
    match of {
        RouterPreference::Low => -1,
        RouterPreference::Medium => 0,
        RouterPreference::High => 1,
    }
}

fn default_route(ns: &mut Netns, now: Instant, dev: DevId, router: Ipv6Addr, adv: &RouterAdvertisement) {
    let Some(conf) = ns.dev.get(dev).map(|d| d.conf.v6.clone()) else { return };
    let life = u32::from(adv.router_lifetime_s);
    if conf.accept_ra_defrtr == 0 || (life > 0 && life < conf.accept_ra_min_lft as u32) {
        return;
    }
    let pref = if conf.accept_ra_rtr_pref != 0 { preference(adv.preference) } else { 0 };
    let hop_limit = (adv.hop_limit != 0).then_some(adv.hop_limit);
    learn_route(ns, now, dev, router, Ipv6Net::default(), pref, life, hop_limit);
}

fn route_info(ns: &mut Netns, now: Instant, dev: DevId, router: Ipv6Addr, info: &RouteInfo) {
    let Some(conf) = ns.dev.get(dev).map(|d| d.conf.v6.clone()) else { return };
    let range = conf.accept_ra_rt_info_min_plen..=conf.accept_ra_rt_info_max_plen;
    let Ok(net) = Ipv6Net::new(info.prefix, info.prefix_len) else { return };
    if range.contains(&i32::from(info.prefix_len)) && !net.addr().is_unicast_link_local() {
        learn_route(ns, now, dev, router, net.trunc(), preference(info.preference), info.lifetime_s, None);
    }
}

#[allow(clippy::too_many_arguments)]
fn learn_route(
    ns: &mut Netns,
    now: Instant,
    dev: DevId,
    router: Ipv6Addr,
    net: Ipv6Net,
    preference: i8,
    life_s: u32,
    hop_limit: Option<u8>,
) {
    let hop = NextHop::by(router, dev);
    let same = |r: &Route<Ipv6Net>| r.protocol == protocol::RA && r.hops.first() == Some(&hop);
    let _ = ns.fib6.remove(netspace_fib::TABLE_MAIN, net, same);
    let learnt = ns.fib6.exact(netspace_fib::TABLE_MAIN, net).len();
    if life_s == 0 || learnt >= ROUTERS_MAX {
        return;
    }
    let expires = until(now, life_s);
    let route = Route {
        protocol: protocol::RA,
        metric: METRIC_RA,
        preference,
        hop_limit,
        expires: (expires != Instant::FAR_FUTURE).then_some(expires),
        ..Route::new(net, hop)
    };
    let _ = ns.fib6.add(route, Add::Append);
}

/// Hop limit, neighbour-discovery times and MTU of the link.
fn parameters(ns: &mut Netns, dev: DevId, adv: &RouterAdvertisement, mtu: Option<u32>) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let conf = &mut device.conf.v6;
    if adv.hop_limit != 0 && i32::from(adv.hop_limit) >= conf.accept_ra_min_hop_limit {
        conf.hop_limit = adv.hop_limit.into();
    }
    if let Some(mtu) = mtu.filter(|m| conf.accept_ra_mtu != 0 && (1280..=device.mtu).contains(m)) {
        conf.mtu = mtu as i32;
    }
    let neigh = &mut device.conf.neigh6;
    if (1..3_600_000).contains(&adv.reachable_ms) {
        neigh.base_reachable_time_ms = adv.reachable_ms as i32;
    }
    if adv.retrans_ms != 0 {
        neigh.retrans_time_ms = adv.retrans_ms.clamp(RETRANS_LEAST_MS, i32::MAX as u32) as i32;
    }
}

/// A neighbour says that it is no router any more: routes by it go (RFC 4861 §7.2.5).
pub(crate) fn router_gone(ns: &mut Netns, dev: DevId, router: Ipv6Addr) {
    let by = NextHop::by(router, dev);
    ns.fib6.retain(|r| r.protocol != protocol::RA || r.hops.first() != Some(&by));
    ns.ip6.exceptions.forget_gateway(router);
    ns.routes_changed();
}

/// This host has become a router: what other routers told it is forgotten.
pub(crate) fn forget_routers(ns: &mut Netns, dev: DevId) {
    ns.fib6.retain(|r| r.protocol != protocol::RA || r.hops.first().is_none_or(|h| h.dev != dev));
    ns.routes_changed();
}

/// A host asks for routers (RFC 4861 §6.2.6): all are told, soon.
pub(crate) fn solicitation(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    src: Ipv6Addr,
    options: &NdpOptions,
) -> bool {
    if !is_advertising(ns, dev) {
        return false;
    }
    if let Some(mac) = options.source_lladdr.filter(|_| !src.is_unspecified()) {
        let news = News {
            mac: Some(mac),
            state: NeighState::Stale,
            overrides: true,
            weak_override: false,
            is_router: Some(false),
        };
        resolve::update(ns, t, dev, IpAddr::V6(src), news, true);
    }
    let delay = Duration::from_nanos(ns.rng.below(MAX_RA_DELAY_MS * 1_000_000));
    let Some(device) = ns.dev.get_mut(dev) else { return false };
    let earliest = device.nd.last_advert.map_or(Instant::ZERO, |at| at + MIN_DELAY_BETWEEN);
    let at = (t.now + delay).max(earliest);
    if device.nd.next_advert.is_none_or(|next| at < next) {
        device.nd.next_advert = Some(at);
        ns.timers.set(at, TimerKey::RouterAdvert(dev));
    }
    true
}
