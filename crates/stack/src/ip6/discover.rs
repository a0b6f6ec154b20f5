//! Router discovery (RFC 4861 §6), what this host says: hosts solicit, routers advertise themselves and prefixes.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netspace_base::{DevId, Duration};
use netspace_wire::ipv6::{ALL_NODES, ALL_ROUTERS};
use netspace_wire::ndp::{
    NdpMessage, NdpOptions, NdpRepr, PrefixInfo, RouteInfo, RouterAdvertisement, RouterPreference,
};

use super::source::link_local;
use super::state::{AdvertisedPrefix, NdState, RouterConfig};
use crate::error::SockError;
use crate::neigh::ndp;
use crate::{Netns, TimerKey, Turn};

/// Unsolicited advertisements that come quickly at the start (RFC 4861 §10).
const INITIAL_ADVERTS: u32 = 3;
/// The longest time between them.
const INITIAL_INTERVAL: Duration = Duration::from_secs(16);

// ---- Host ----------------------------------------------------------------------------------------------------------

/// Whether router advertisements are heeded on a device.
pub(super) fn accepts(ns: &Netns, dev: DevId) -> bool {
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
        device.nd.next_solicit = None;
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
    // A timer from before the link went and came again.
    if device.nd.next_solicit.is_some_and(|at| at > t.now) {
        return;
    }
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
    let next = t.now + Duration::from_nanos(varied);
    if let Some(device) = ns.dev.get_mut(dev) {
        device.nd.next_solicit = Some(next);
    }
    ns.timers.set(next, TimerKey::RouterSolicit(dev));
    let Some(src) = link_local(ns, dev).filter(|_| running) else { return };
    let options = NdpOptions { source_lladdr: ndp::own_mac(ns, dev), ..NdpOptions::default() };
    let repr = NdpRepr { message: NdpMessage::RouterSolicitation, options };
    ndp::send::send(ns, t, dev, src, ALL_ROUTERS, &repr);
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

pub(super) fn is_advertising(ns: &Netns, dev: DevId) -> bool {
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
    ndp::send::send(ns, t, dev, src, to, &repr);
}

const fn to_preference(of: i8) -> RouterPreference {
    match of {
        i8::MIN..=-1 => RouterPreference::Low,
        0 => RouterPreference::Medium,
        _ => RouterPreference::High,
    }
}
