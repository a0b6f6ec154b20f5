//! IPv4 addresses of devices: adding, removing, and choosing one as a source.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netspace_base::DevId;
use netspace_fib::{Add, Kind, NextHop, Route, Scope, TABLE_LOCAL, TABLE_MAIN, protocol};

use crate::sock::SockError;
use crate::{Netns, Turn};

/// An IPv4 address of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addr4 {
    /// The address.
    pub addr: Ipv4Addr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// The broadcast address, if one was given or follows from the prefix.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it may be used.
    pub scope: Scope,
    /// Another address of the same prefix came before it.
    pub secondary: bool,
}

impl Addr4 {
    /// Its prefix, host bits cleared.
    pub fn net(&self) -> Ipv4Net {
        Ipv4Net::new(self.addr, self.prefix_len).unwrap_or_default().trunc()
    }

    /// The routes that come with it: to itself, to its prefix, to its broadcast address.
    fn routes(&self, dev: DevId, loopback: bool) -> Vec<Route<Ipv4Net>> {
        let kernel = |prefix: Ipv4Net, table, kind, scope| Route {
            table,
            kind,
            scope,
            protocol: protocol::KERNEL,
            prefsrc: Some(self.addr),
            ..Route::new(prefix, NextHop::on(dev))
        };
        let net = self.net();
        let mut out = vec![kernel(Ipv4Net::from(self.addr), TABLE_LOCAL, Kind::Local, Scope::Host)];
        if !self.secondary && self.prefix_len < 32 {
            let (table, kind, scope) = if loopback {
                (TABLE_LOCAL, Kind::Local, Scope::Host)
            } else {
                (TABLE_MAIN, Kind::Unicast, Scope::Link)
            };
            out.push(kernel(net, table, kind, scope));
        }
        if !self.secondary && self.prefix_len < 31 {
            out.push(kernel(Ipv4Net::from(net.broadcast()), TABLE_LOCAL, Kind::Broadcast, Scope::Link));
        }
        if let Some(broadcast) = self.broadcast.filter(|&b| b != net.broadcast() && !b.is_broadcast()) {
            out.push(kernel(Ipv4Net::from(broadcast), TABLE_LOCAL, Kind::Broadcast, Scope::Link));
        }
        out
    }
}

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
    for route in addr.routes(dev, loopback) {
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

/// The device went down: every route over it goes.
pub(crate) fn device_down(ns: &mut Netns, dev: DevId) {
    ns.fib4.retain(|route| {
        route.hops.retain(|hop| hop.dev != dev);
        !route.hops.is_empty() || route.kind.is_refusal()
    });
    ns.routes_changed();
}

/// Whether an address is one of this host's.
pub(crate) fn is_local(ns: &Netns, addr: Ipv4Addr) -> bool {
    let query = netspace_fib::Query::to(addr);
    ns.fib4.lookup_in(TABLE_LOCAL, &query, |_, _| Some(0)).is_some_and(|(route, _)| route.kind == Kind::Local)
}

/// The source address for packets to `dst` by `dev` (Linux's `inet_select_addr`): the device's first primary address on
/// the destination's subnet, else its first, else another device's.
pub(crate) fn select_source(ns: &Netns, dev: DevId, dst: Ipv4Addr, scope: Scope) -> Option<Ipv4Addr> {
    let usable = |a: &&Addr4| !a.secondary && a.scope <= scope;
    if let Some(device) = ns.dev.get(dev) {
        let on_subnet = device.addrs4.iter().filter(usable).find(|a| a.net().contains(&dst));
        if let Some(found) = on_subnet.or_else(|| device.addrs4.iter().find(usable)) {
            return Some(found.addr);
        }
    }
    let not_link = |a: &&Addr4| usable(a) && a.scope != Scope::Link;
    ns.dev.iter().filter(|d| d.is_up()).flat_map(|d| d.addrs4.iter()).find(not_link).map(|a| a.addr)
}
