//! Router discovery (RFC 4861 §6): routers advertise themselves and prefixes, hosts solicit and listen.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use netspace_base::{DevId, Duration, Instant};
use netspace_fib::{Add, NextHop, Route, protocol};
use netspace_wire::ipv6::{ALL_NODES, ALL_ROUTERS};
use netspace_wire::ndp::{
    NdpMessage, NdpOptions, NdpRepr, PrefixInfo, RouteInfo, RouterAdvertisement, RouterPreference,
};

use super::addr::link_local;
use crate::neigh::{self, NeighState, News, ndp};
use crate::sock::SockError;
use crate::{Netns, TimerKey, Turn};

/// The metric of routes learnt from advertisements.
const METRIC_RA: u32 = 1024;
/// Default routers remembered on a device.
const ROUTERS_MAX: usize = 16;
/// Unsolicited advertisements that come quickly at the start (RFC 4861 §10).
const INITIAL_ADVERTS: u32 = 3;
/// The longest time between them.
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);
/// The shortest time between advertisements to all nodes.
const MIN_DELAY_BETWEEN: Duration = Duration::from_secs(3);
/// The longest time a solicitation waits for its answer, ms.
const MAX_RA_DELAY_MS: u64 = 500;

/// A prefix that a router advertises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdvertisedPrefix {
    /// The prefix.
    pub net: Ipv6Net,
    /// Its addresses are on the link.
    pub on_link: bool,
    /// Hosts make addresses in it.
    pub autonomous: bool,
    /// How long addresses are valid, seconds; `u32::MAX`: for ever.
    pub valid_s: u32,
    /// How long they are preferred, seconds.
    pub preferred_s: u32,
}

impl AdvertisedPrefix {
    /// On the link, for SLAAC, for 30 days, preferred for 7 (RFC 4861 §6.2.1).
    pub const fn new(net: Ipv6Net) -> Self {
        Self { net, on_link: true, autonomous: true, valid_s: 2_592_000, preferred_s: 604_800 }
    }
}

/// What a router says on a device (radvd's options; RFC 4861 §6.2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouterConfig {
    /// Prefixes of the link.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// How long this is a default router, seconds; 0: it is none.
    pub lifetime_s: u16,
    /// Among routers: -1, 0 or 1 (RFC 4191).
    pub preference: i8,
    /// The hop limit that hosts should use; 0: not said.
    pub hop_limit: u8,
    /// The MTU that hosts should use.
    pub mtu: Option<u32>,
    /// Addresses come by DHCPv6.
    pub managed: bool,
    /// Other configuration comes by DHCPv6.
    pub other: bool,
    /// Routes by this router: prefix, preference, lifetime in seconds (RFC 4191).
    pub routes: Vec<(Ipv6Net, i8, u32)>,
    /// Name servers and their lifetime in seconds (RFC 8106).
    pub dns_servers: Vec<(Ipv6Addr, u32)>,
    /// The longest time between unsolicited advertisements.
    pub max_interval: Duration,
    /// The shortest.
    pub min_interval: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            lifetime_s: 1800,
            preference: 0,
            hop_limit: 64,
            mtu: None,
            managed: false,
            other: false,
            routes: Vec::new(),
            dns_servers: Vec::new(),
            max_interval: Duration::from_secs(600),
            min_interval: Duration::from_secs(200),
        }
    }
}

/// What router discovery keeps for a device.
#[derive(Debug, Default)]
pub struct NdState {
    /// What this host advertises there as a router.
    pub router: Option<RouterConfig>,
    /// Name servers that advertisements told, and until when.
    pub dns_servers: Vec<(Ipv6Addr, Instant)>,
    /// Addresses come by DHCPv6 (the last advertisement's M flag).
    pub managed: bool,
    /// Other configuration comes by DHCPv6 (the O flag).
    pub other: bool,
    pub(crate) dad_due: Vec<(Ipv6Addr, Instant)>,
    solicitations: u32,
    soliciting: Option<Duration>,
    heard: bool,
    adverts: u32,
    last_advert: Option<Instant>,
    next_advert: Option<Instant>,
}

// ---- Host ----------------------------------------------------------------------------------------------------------

/// Whether router advertisements are heeded on a device.
fn accepts(ns: &Netns, dev: DevId) -> bool {
    ns.dev.get(dev).is_some_and(|d| {
        let conf = &d.conf.v6;
        !d.is_loopback() && (conf.accept_ra == 2 || (conf.accept_ra == 1 && conf.forwarding == 0))
    })
}

/// The device came up: a host will ask for routers once it has a link-local address, a router begins to advertise.
pub(crate) fn device_up(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    if let Some(device) = ns.dev.get_mut(dev) {
        device.nd.heard = false;
        device.nd.solicitations = 0;
        device.nd.soliciting = None;
    }
    if link_local(ns, dev).is_some() {
        link_local_ready(ns, t, dev);
    }
}

/// The link-local address may be used now.
pub(crate) fn link_local_ready(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    router_changed(ns, t, dev);
    let wants = accepts(ns, dev);
    let Some(device) = ns.dev.get_mut(dev) else { return };
    if !wants || device.nd.soliciting.is_some() || device.conf.v6.router_solicitations == 0 {
        return;
    }
    device.nd.soliciting =
        Some(Duration::from_secs(device.conf.v6.router_solicitation_interval.max(1) as u64));
    // RFC 4861 §6.3.7: a random delay, unless duplicate address detection has waited already.
    on_solicit_timer(ns, t, dev);
}

/// Asks for routers, then ever more rarely until one has answered (RFC 7559).
pub(crate) fn on_solicit_timer(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let wants = accepts(ns, dev);
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let most = device.conf.v6.router_solicitations;
    let done = device.nd.heard || (most >= 0 && device.nd.solicitations >= most as u32);
    let Some(interval) = device.nd.soliciting.filter(|_| wants && !done && device.is_up()) else {
        device.nd.soliciting = None;
        return;
    };
    device.nd.solicitations += 1;
    let longest = Duration::from_secs(device.conf.v6.router_solicitation_max_interval.max(1) as u64);
    device.nd.soliciting = Some((interval * 2).min(longest));
    let running = device.is_running();
    // Each interval is varied by a tenth (RFC 7559 §2).
    let nanos = interval.as_nanos() as u64;
    let varied = nanos - nanos / 10 + ns.rng.below(nanos / 5 + 1);
    ns.timers.set(t.now + Duration::from_nanos(varied), TimerKey::RouterSolicit(dev));
    let Some(src) = link_local(ns, dev).filter(|_| running) else { return };
    let options = NdpOptions { source_lladdr: ndp::own_mac(ns, dev), ..NdpOptions::default() };
    let repr = NdpRepr { message: NdpMessage::RouterSolicitation, options };
    ndp::send(ns, t, dev, src, ALL_ROUTERS, &repr, None);
}

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
    neigh::update(ns, t, dev, IpAddr::V6(router), news, options.source_lladdr.is_some());
    for prefix in &options.prefixes {
        super::slaac::prefix(ns, t, dev, prefix);
    }
    for route in &options.routes {
        route_info(ns, t.now, dev, router, route);
    }
    super::slaac::schedule(ns, t.now);
    ns.routes_changed();
    true
}

/// The moment a lifetime in seconds ends; `u32::MAX` never does.
pub(crate) fn until(now: Instant, life_s: u32) -> Instant {
    if life_s == u32::MAX { Instant::FAR_FUTURE } else { now + Duration::from_secs(life_s.into()) }
}

const fn preference(of: RouterPreference) -> i8 {
    match of {
        RouterPreference::Low => -1,
        RouterPreference::Medium => 0,
        RouterPreference::High => 1,
    }
}

const fn to_preference(of: i8) -> RouterPreference {
    match of {
        i8::MIN..=-1 => RouterPreference::Low,
        0 => RouterPreference::Medium,
        _ => RouterPreference::High,
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
    if (1000..=10_000_000).contains(&adv.retrans_ms) {
        neigh.retrans_time_ms = adv.retrans_ms as i32;
    }
}

/// A default router does not answer any more: kept routes must be chosen anew, so that another is tried.
pub(crate) fn router_unreachable(ns: &mut Netns, _dev: DevId, _router: Ipv6Addr) {
    ns.routes_changed();
}

/// A neighbour says that it is no router any more: routes by it go (RFC 4861 §7.2.5).
pub(crate) fn router_gone(ns: &mut Netns, dev: DevId, router: Ipv6Addr) {
    let by = NextHop::by(router, dev);
    ns.fib6.retain(|r| r.protocol != protocol::RA || r.hops.first() != Some(&by));
    ns.ip6.exceptions.retain(|_, e| e.gateway != Some(router));
    ns.routes_changed();
}

/// This host has become a router: what other routers told it is forgotten.
pub(crate) fn forget_routers(ns: &mut Netns, dev: DevId) {
    ns.fib6.retain(|r| r.protocol != protocol::RA || r.hops.first().is_none_or(|h| h.dev != dev));
    ns.routes_changed();
}

/// The device went down.
pub(crate) fn device_down(ns: &mut Netns, dev: DevId) {
    if let Some(device) = ns.dev.get_mut(dev) {
        let router = device.nd.router.take();
        device.nd = NdState { router, ..NdState::default() };
    }
}

// ---- Router --------------------------------------------------------------------------------------------------------

impl Netns {
    /// Makes this host advertise itself as a router on `dev` (it must forward: `ipv6.conf.all.forwarding`), or stop:
    /// the last advertisement then says so.
    pub fn set_router_advertisement(
        &mut self,
        t: &mut Turn,
        dev: DevId,
        config: Option<RouterConfig>,
    ) -> Result<(), SockError> {
        let device = self.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
        if config.is_none() && device.nd.router.is_some() {
            advertise(self, t, dev, ALL_NODES, true);
        }
        if let Some(device) = self.dev.get_mut(dev) {
            device.nd.router = config;
            device.nd.adverts = 0;
        }
        router_changed(self, t, dev);
        Ok(())
    }
}

fn is_advertising(ns: &Netns, dev: DevId) -> bool {
    ns.dev.get(dev).is_some_and(|d| d.nd.router.is_some() && d.is_running() && d.conf.v6.forwarding != 0)
        && link_local(ns, dev).is_some()
}

/// Something changed about being a router: begin to advertise, if all it needs is there.
pub(crate) fn router_changed(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    if is_advertising(ns, dev) && ns.dev.get(dev).is_some_and(|d| d.nd.next_advert.is_none()) {
        on_advert_timer(ns, t, dev);
    }
}

/// An advertisement to all nodes is due (RFC 4861 §6.2.4).
pub(crate) fn on_advert_timer(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    if !is_advertising(ns, dev) {
        if let Some(device) = ns.dev.get_mut(dev) {
            device.nd.next_advert = None;
        }
        return;
    }
    // A timer that was overtaken by an earlier advertisement.
    if ns.dev.get(dev).is_some_and(|d| d.nd.next_advert.is_some_and(|at| at > t.now)) {
        return;
    }
    advertise(ns, t, dev, ALL_NODES, false);
    let draw = ns.rng.u64();
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let Some(config) = &device.nd.router else { return };
    let spread = config.max_interval.saturating_sub(config.min_interval).as_nanos() as u64;
    let mut wait = config.min_interval + Duration::from_nanos(if spread == 0 { 0 } else { draw % spread });
    device.nd.adverts += 1;
    if device.nd.adverts < INITIAL_ADVERTS {
        wait = wait.min(INITIAL_INTERVAL);
    }
    device.nd.last_advert = Some(t.now);
    device.nd.next_advert = Some(t.now + wait);
    ns.timers.set(t.now + wait, TimerKey::RouterAdvert(dev));
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
        neigh::update(ns, t, dev, IpAddr::V6(src), news, true);
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

fn advertise(ns: &mut Netns, t: &mut Turn, dev: DevId, to: Ipv6Addr, farewell: bool) {
    let Some(src) = link_local(ns, dev) else { return };
    let Some(config) = ns.dev.get(dev).and_then(|d| d.nd.router.clone()) else { return };
    let prefix = |p: &AdvertisedPrefix| PrefixInfo {
        prefix: p.net.trunc().addr(),
        prefix_len: p.net.prefix_len(),
        on_link: p.on_link,
        autonomous: p.autonomous,
        valid_s: p.valid_s,
        preferred_s: p.preferred_s,
    };
    let route = |&(net, pref, lifetime_s): &(Ipv6Net, i8, u32)| RouteInfo {
        prefix: net.trunc().addr(),
        prefix_len: net.prefix_len(),
        preference: to_preference(pref),
        lifetime_s,
    };
    let repr = NdpRepr {
        message: NdpMessage::RouterAdvertisement(RouterAdvertisement {
            hop_limit: config.hop_limit,
            managed: config.managed,
            other: config.other,
            preference: to_preference(config.preference),
            router_lifetime_s: if farewell { 0 } else { config.lifetime_s },
            reachable_ms: 0,
            retrans_ms: 0,
        }),
        options: NdpOptions {
            source_lladdr: ndp::own_mac(ns, dev),
            mtu: config.mtu,
            prefixes: config.prefixes.iter().map(prefix).collect(),
            routes: config.routes.iter().map(route).collect(),
            dns_servers: config.dns_servers.iter().copied().collect(),
            ..NdpOptions::default()
        },
    };
    ndp::send(ns, t, dev, src, to, &repr, None);
}
