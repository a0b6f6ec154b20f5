//! IPv4 addresses of devices: adding and removing.

use ipnet::Ipv4Net;
use netspace_base::DevId;
use netspace_fib::{Add, Scope};

use super::source::is_local;
pub use super::state::Addr4;
use crate::error::SockError;
use crate::{Netns, Turn};

/// Adds an address; with the device up its routes come too, and the link is told (gratuitous ARP).
pub(crate) fn add(ns: &mut Netns, t: &mut Turn, dev: DevId, net: Ipv4Net) -> Result<(), SockError> {
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    let addr = net.addr();
    if addr.is_multicast() || addr.is_broadcast() || addr.is_unspecified() {
        return Err(SockError::Invalid);
    }
    if device.addrs4.iter().any(|a| a.addr == addr && a.prefix_len == net.prefix_len()) {
        return Err(SockError::Exists);
    }
    let secondary = device.addrs4.iter().any(|a| !a.secondary && a.net() == net.trunc());
    let scope = if addr.is_loopback() {
        Scope::Host
    } else if addr.is_link_local() {
        Scope::Link
    } else {
        Scope::Universe
    };
    let broadcast = (net.prefix_len() < 31 && !device.is_loopback()).then(|| net.broadcast());
    let entry = Addr4 { addr, prefix_len: net.prefix_len(), broadcast, scope, secondary };
    // Primaries first, in the order in which they came.
    let at = if secondary { device.addrs4.len() } else { device.addrs4.partition_point(|a| !a.secondary) };
    device.addrs4.insert(at, entry);
    if device.is_up() {
        install(ns, dev, &entry);
        crate::neigh::arp::announce(ns, t, dev, addr);
    }
    ns.routes_changed();
    Ok(())
}

/// Puts an address' routes in.
fn install(ns: &mut Netns, dev: DevId, addr: &Addr4) {
    let loopback = ns.dev.get(dev).is_some_and(crate::dev::Device::is_loopback);
    for route in addr.routes(dev, loopback) {
        // Two devices in one prefix: both routes stay, the first is used.
        let _ = ns.fib4.add(route, Add::Append);
    }
}

/// Takes an address' routes out.
fn uninstall(ns: &mut Netns, dev: DevId, addr: &Addr4) {
    let loopback = ns.dev.get(dev).is_some_and(crate::dev::Device::is_loopback);
    let others = ns.dev.get(dev).map(|d| d.addrs4.clone()).unwrap_or_default();
    let kept: Vec<_> = others.iter().flat_map(|other| other.routes(dev, loopback)).collect();
    // The same address with another prefix has routes in common with this one.
    for route in addr.routes(dev, loopback).into_iter().filter(|route| !kept.contains(route)) {
        let _ = ns.fib4.remove(route.table, route.prefix, |r| *r == route);
    }
}

/// Removes an address with its routes, and routes that used it as a source. Secondaries of its prefix go with it, unless
/// `promote_secondaries` lets the first take its place.
pub(crate) fn remove(ns: &mut Netns, t: &mut Turn, dev: DevId, net: Ipv4Net) -> Result<(), SockError> {
    let promote = ns.sysctl.all4.promote_secondaries != 0
        || ns.dev.get(dev).is_some_and(|d| d.conf.v4.promote_secondaries != 0);
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    let at = device
        .addrs4
        .iter()
        .position(|a| a.addr == net.addr() && a.prefix_len == net.prefix_len())
        .ok_or(SockError::AddressNotAvailable)?;
    let gone = device.addrs4.remove(at);
    let mut removed = vec![gone];
    let mut promoted = None;
    if !gone.secondary {
        let same = |a: &Addr4| a.secondary && a.net() == gone.net();
        if promote {
            promoted = device.addrs4.iter_mut().find(|a| same(a)).map(|a| {
                a.secondary = false;
                *a
            });
        } else {
            removed.extend(device.addrs4.extract_if(.., |a| same(a)));
        }
    }
    for addr in &removed {
        uninstall(ns, dev, addr);
        let source = Some(addr.addr);
        if !is_local(ns, addr.addr) {
            ns.fib4.retain(|r| r.prefsrc != source);
        }
    }
    if let Some(addr) = promoted {
        install(ns, dev, &addr);
        crate::neigh::arp::announce(ns, t, dev, addr.addr);
    }
    ns.routes_changed();
    Ok(())
}

/// The device came up: its addresses' routes come, and the link is told.
pub(crate) fn device_up(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let addrs = ns.dev.get(dev).map(|d| d.addrs4.clone()).unwrap_or_default();
    for addr in addrs {
        install(ns, dev, &addr);
        crate::neigh::arp::announce(ns, t, dev, addr.addr);
    }
    ns.routes_changed();
}

/// The device went down: every route over it goes, and what was learnt about paths.
pub(crate) fn device_down(ns: &mut Netns, dev: DevId) {
    ns.ip.exceptions.clear();
    ns.fib4.retain(|route| {
        route.hops.retain(|hop| hop.dev != dev);
        !route.hops.is_empty() || route.kind.is_refusal()
    });
    ns.routes_changed();
}
