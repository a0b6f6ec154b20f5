//! IPv6 or routing is switched on or off on a device.

use std::net::Ipv6Addr;

use netspace_base::DevId;

use super::state::AddrState;
use super::{addr, discover, mld, ra};
use crate::{Netns, Turn};

/// `forwarding` was switched on a device: a router joins the routers' groups and forgets what routers told it.
pub(crate) fn forwarding_changed(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get(dev) else { return };
    let (router, up) = (device.conf.v6.forwarding != 0, device.is_up());
    if !up || !device.has_ipv6() {
        return;
    }
    mld::set_router(ns, t, dev, router);
    if router && ns.dev.get(dev).is_some_and(|d| d.conf.v6.accept_ra < 2) {
        ra::forget_routers(ns, dev);
    }
    discover::router_changed(ns, t, dev);
}

/// `disable_ipv6` was switched on a device.
pub(crate) fn enabled_changed(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get(dev) else { return };
    if !device.is_up() {
        return;
    }
    if device.conf.v6.disable_ipv6 == 0 {
        addr::device_up(ns, t, dev);
    } else {
        addr::device_down(ns, dev, true);
    }
}

/// Somebody else has the address: it is never used (RFC 4862 §5.4.5).
pub(crate) fn conflict(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: Ipv6Addr) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let disable = device.conf.v6.accept_dad > 1 && addr.is_unicast_link_local();
    device.nd.dad_due.retain(|(a, _)| *a != addr);
    if let Some(entry) = device.addrs6.iter_mut().find(|a| a.addr == addr) {
        entry.state = AddrState::Duplicate;
    }
    if disable {
        device.conf.v6.disable_ipv6 = 1;
        enabled_changed(ns, t, dev);
    }
    ns.routes_changed();
}
