//! IPv6 (RFC 8200): the packet's way from the link to the transport and back, with the names that [`crate::ip`] uses.
//!
//! ```text
//! receive (header) → route_in ─┬ local, group → deliver (extension headers) → reassemble → ICMPv6, l4
//!                              └ other host → forward (hop limit, MTU, redirect) ─┐
//! send (from sockets) → route_out → header ─────────────────────────────────────→ output → fragment → neigh
//! ```
//! Configuration by itself: [`dad`] (RFC 4862 §5.4), [`ra`] (RFC 4861 §6), [`slaac`] (RFC 4862 §5.5), [`mld`].

pub mod addr;
pub mod dad;
pub(crate) mod deliver;
pub(crate) mod forward;
pub(crate) mod fragment;
pub(crate) mod icmp;
pub mod mld;
pub(crate) mod output;
pub mod ra;
pub mod reassemble;
pub(crate) mod receive;
pub(crate) mod redirect;
pub(crate) mod route;
pub(crate) mod send;
pub mod slaac;

use std::net::Ipv6Addr;

use netspace_base::{DevId, Rng, TimerId};

use crate::route::{Exceptions, RouteCache};
use crate::{Netns, Turn};
use reassemble::Reassembly6;

pub(crate) use route::route_out;
pub(crate) use send::{send, send_with_header};

/// IPv6's own state: fragments, identifiers, what was learnt about paths.
#[derive(Debug)]
pub(crate) struct Ip6 {
    pub(crate) reassembly: Reassembly6,
    pub(crate) exceptions: Exceptions<Ipv6Addr>,
    pub(crate) routes_in: RouteCache<Ipv6Addr, route::RouteIn>,
    /// When the first learnt address or route runs out.
    pub(crate) lifetimes: Option<TimerId>,
    /// Makes stable interface identifiers (RFC 7217).
    pub(crate) stable_secret: u64,
    next_ident: u32,
}

impl Ip6 {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            reassembly: Reassembly6::new(rng.u64()),
            exceptions: Exceptions::new(rng.u64()),
            routes_in: RouteCache::new(),
            lifetimes: None,
            stable_secret: rng.u64(),
            next_ident: rng.u32(),
        }
    }

    /// The identification of the next fragmented packet.
    pub(crate) fn ident(&mut self) -> u32 {
        self.next_ident = self.next_ident.wrapping_add(1).max(1);
        self.next_ident
    }
}

/// Whether IPv6 works on a device.
pub(crate) fn is_enabled(ns: &Netns, dev: DevId) -> bool {
    ns.dev.get(dev).is_some_and(|d| d.conf.v6.disable_ipv6 == 0 && d.mtu >= 1280 && d.master.is_none())
}

/// `forwarding` was switched on a device: a router joins the routers' groups and forgets what routers told it.
pub(crate) fn forwarding_changed(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get(dev) else { return };
    let (router, up) = (device.conf.v6.forwarding != 0, device.is_up());
    if !up || !is_enabled(ns, dev) {
        return;
    }
    mld::set_router(ns, t, dev, router);
    if router && ns.dev.get(dev).is_some_and(|d| d.conf.v6.accept_ra < 2) {
        ra::forget_routers(ns, dev);
    }
    ra::router_changed(ns, t, dev);
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
