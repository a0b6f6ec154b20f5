//! IPv6 addresses of devices: adding, removing, and choosing one as a source (RFC 6724).

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netspace_base::{DevId, Instant};
use netspace_fib::{Add, Kind, NextHop, Query, Route, TABLE_LOCAL, protocol};
use netspace_wire::MacAddr;

use crate::sock::SockError;
use crate::{Netns, Turn};

/// The metric of routes that come with addresses and prefixes.
pub(crate) const METRIC_ADDRCONF: u32 = 256;

/// Whether an address may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddrState {
    /// Being checked for duplicates (RFC 4862 §5.4): not used yet.
    Tentative,
    /// In use.
    Preferred,
    /// Not for new communication (RFC 4862 §5.5.4).
    Deprecated,
    /// Another station has it: not used.
    Duplicate,
}

/// An IPv6 address of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addr6 {
    /// The address.
    pub addr: Ipv6Addr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// Whether it may be used.
    pub state: AddrState,
    /// It was made from a router advertisement.
    pub autoconf: bool,
    /// Not for new communication after this.
    pub preferred_until: Instant,
    /// Gone after this.
    pub valid_until: Instant,
    pub(crate) probes_left: u32,
}

impl Addr6 {
    pub(crate) const fn new(net: Ipv6Net) -> Self {
        Self {
            addr: net.addr(),
            prefix_len: net.prefix_len(),
            state: AddrState::Preferred,
            autoconf: false,
            preferred_until: Instant::FAR_FUTURE,
            valid_until: Instant::FAR_FUTURE,
            probes_left: 0,
        }
    }

    /// Its prefix, host bits cleared.
    pub fn net(&self) -> Ipv6Net {
        Ipv6Net::new(self.addr, self.prefix_len).unwrap_or_default().trunc()
    }

    /// Whether packets to it are taken.
    pub const fn is_usable(&self) -> bool {
        matches!(self.state, AddrState::Preferred | AddrState::Deprecated)
    }

    /// Linux's number for its scope (`ifa_scope`): universe 0, site 200, link 253, host 254.
    pub const fn scope(&self) -> u8 {
        if self.addr.is_loopback() {
            254
        } else if self.addr.is_unicast_link_local() {
            253
        } else {
            0
        }
    }
}

fn kernel_route(prefix: Ipv6Net, dev: DevId, kind: Kind, table: u32, metric: u32) -> Route<Ipv6Net> {
    Route { table, kind, metric, protocol: protocol::KERNEL, ..Route::new(prefix, NextHop::on(dev)) }
}

/// Adds an address; with the device up its prefix' route comes, and duplicate address detection begins unless `nodad`.
pub(crate) fn add(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    entry: Addr6,
    nodad: bool,
) -> Result<(), SockError> {
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    if entry.addr.is_multicast() || entry.addr.is_unspecified() {
        return Err(SockError::Invalid);
    }
    if device.conf.v6.disable_ipv6 != 0 {
        return Err(SockError::Access);
    }
    if device.addr6(entry.addr).is_some() {
        return Err(SockError::Exists);
    }
    let check = !nodad && super::dad::is_wanted(device);
    let state = if check { AddrState::Tentative } else { entry.state };
    device.addrs6.push(Addr6 { state, ..entry });
    if device.is_up() {
        install(ns, t, dev, entry.addr);
    }
    ns.routes_changed();
    Ok(())
}

/// Puts an address to work: prefix route, solicited-node group, then duplicate address detection or its local route.
fn install(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: Ipv6Addr) {
    let Some(device) = ns.dev.get(dev) else { return };
    let Some(entry) = device.addr6(addr).copied() else { return };
    let loopback = device.is_loopback();
    if entry.prefix_len < 128 && !loopback {
        let mut route =
            kernel_route(entry.net(), dev, Kind::Unicast, netspace_fib::TABLE_MAIN, METRIC_ADDRCONF);
        route.expires = (entry.valid_until != Instant::FAR_FUTURE).then_some(entry.valid_until);
        if !entry.autoconf {
            let _ = ns.fib6.add(route, Add::Append);
        }
    }
    if !loopback {
        super::mld::join(ns, t, dev, netspace_wire::ndp::solicited_node(addr));
    }
    if entry.state == AddrState::Tentative {
        super::dad::start(ns, t, dev, addr);
    } else {
        activate(ns, dev, addr);
    }
    ns.routes_changed();
}

/// The address may be used: packets to it are for this host.
pub(crate) fn activate(ns: &mut Netns, dev: DevId, addr: Ipv6Addr) {
    let _ = ns.fib6.add(kernel_route(addr.into(), dev, Kind::Local, TABLE_LOCAL, 0), Add::Append);
    ns.routes_changed();
}

/// Takes an address out of work.
fn uninstall(ns: &mut Netns, t: &mut Turn, dev: DevId, entry: &Addr6) {
    let on_dev = |r: &Route<Ipv6Net>| r.hops.first().is_some_and(|h| h.dev == dev);
    let _ = ns.fib6.remove(TABLE_LOCAL, entry.addr.into(), |r| r.kind == Kind::Local && on_dev(r));
    let shared = ns.dev.get(dev).is_some_and(|d| d.addrs6.iter().any(|a| a.net() == entry.net()));
    if !shared && entry.prefix_len < 128 {
        let kernel =
            |r: &Route<Ipv6Net>| r.protocol == protocol::KERNEL && on_dev(r) && r.hops[0].via.is_none();
        let _ = ns.fib6.remove(netspace_fib::TABLE_MAIN, entry.net(), kernel);
    }
    super::mld::leave(ns, t, dev, netspace_wire::ndp::solicited_node(entry.addr));
}

/// Removes an address with its routes.
pub(crate) fn remove(ns: &mut Netns, t: &mut Turn, dev: DevId, net: Ipv6Net) -> Result<(), SockError> {
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    let at = device
        .addrs6
        .iter()
        .position(|a| a.addr == net.addr() && a.prefix_len == net.prefix_len())
        .ok_or(SockError::AddressNotAvailable)?;
    let entry = device.addrs6.remove(at);
    uninstall(ns, t, dev, &entry);
    ns.routes_changed();
    Ok(())
}

/// The device came up: groups, its link-local address, the addresses that it has, router discovery.
pub(crate) fn device_up(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    if !super::is_enabled(ns, dev) {
        return;
    }
    let Some(device) = ns.dev.get(dev) else { return };
    let (loopback, router) = (device.is_loopback(), device.conf.v6.forwarding != 0);
    if !loopback {
        let all_groups: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
        let _ = ns
            .fib6
            .add(kernel_route(all_groups, dev, Kind::Multicast, TABLE_LOCAL, METRIC_ADDRCONF), Add::Append);
        super::mld::device_up(ns, t, dev, router);
    }
    let addrs: Vec<Ipv6Addr> =
        ns.dev.get(dev).map(|d| d.addrs6.iter().map(|a| a.addr).collect()).unwrap_or_default();
    for addr in addrs {
        install(ns, t, dev, addr);
    }
    add_link_local(ns, t, dev);
    super::ra::device_up(ns, t, dev);
    ns.routes_changed();
}

/// Every link has a link-local address (RFC 4291 §2.8), made from the device's MAC or a secret (`addr_gen_mode`).
fn add_link_local(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get(dev) else { return };
    let has = device.addrs6.iter().any(|a| a.addr.is_unicast_link_local());
    if device.is_loopback() || has || device.conf.v6.addr_gen_mode == 1 {
        return;
    }
    let addr = match device.conf.v6.addr_gen_mode {
        0 => MacAddr(device.mac).link_local(),
        _ => super::slaac::stable_address(ns, dev, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 0),
    };
    let _ = add(ns, t, dev, Addr6::new(Ipv6Net::new_assert(addr, 64)), false);
}

/// The device went down: routes over it go, and addresses that were not put there by hand. `all`: those, too.
pub(crate) fn device_down(ns: &mut Netns, dev: DevId, all: bool) {
    let keep = !all
        && ns.sysctl.all6.keep_addr_on_down.max(ns.dev.get(dev).map_or(0, |d| d.conf.v6.keep_addr_on_down))
            > 0;
    if let Some(device) = ns.dev.get_mut(dev) {
        // Linux throws static addresses away, too, unless told to keep them.
        device.addrs6.retain(|a| {
            let by_hand = !a.autoconf && !a.addr.is_unicast_link_local();
            !all && ((keep && by_hand) || a.addr.is_loopback())
        });
        let wanted = super::dad::is_wanted(device);
        for addr in device.addrs6.iter_mut().filter(|a| !a.is_usable()) {
            addr.state = if wanted { AddrState::Tentative } else { AddrState::Preferred };
        }
    }
    ns.fib6.retain(|route| {
        route.hops.retain(|hop| hop.dev != dev);
        !route.hops.is_empty() || route.kind.is_refusal()
    });
    super::mld::device_down(ns, dev);
    super::ra::device_down(ns, dev);
    ns.routes_changed();
}

/// Whether an address is one of this host's and may be used.
pub(crate) fn is_local(ns: &Netns, addr: Ipv6Addr) -> bool {
    let found = ns.fib6.lookup_in(TABLE_LOCAL, &Query::to(addr), |_, _| Some(0));
    found.is_some_and(|(route, _)| route.kind == Kind::Local)
}

/// The device's link-local address, if it may be used.
pub(crate) fn link_local(ns: &Netns, dev: DevId) -> Option<Ipv6Addr> {
    let device = ns.dev.get(dev)?;
    device.addrs6.iter().find(|a| a.is_usable() && a.addr.is_unicast_link_local()).map(|a| a.addr)
}

/// An address' scope, so that they compare (RFC 6724 §3.1, RFC 4007 §5).
fn scope(addr: Ipv6Addr) -> u8 {
    if addr.is_multicast() {
        addr.octets()[1] & 15
    } else if addr.is_loopback() || addr.is_unicast_link_local() {
        2
    } else {
        14
    }
}

/// An address' label in the default policy table (RFC 6724 §2.1, Linux's additions).
fn label(addr: Ipv6Addr) -> u8 {
    let s = addr.segments();
    match s {
        _ if addr.is_loopback() => 0,
        [0, 0, 0, 0, 0, 0xffff, ..] => 4,
        [0, 0, 0, 0, 0, 0, ..] => 3,
        [0x2001, 0, ..] => 6,
        [0x2001, b, ..] if b & 0xfff0 == 0x10 => 7,
        [0x2002, ..] => 2,
        [a, ..] if a & 0xfe00 == 0xfc00 => 5,
        _ => 1,
    }
}

/// Leading bits that two addresses share, at most `limit`.
fn common_prefix(a: Ipv6Addr, b: Ipv6Addr, limit: u8) -> u8 {
    let differing = a.to_bits() ^ b.to_bits();
    (differing.leading_zeros() as u8).min(limit)
}

/// The source address for packets to `dst` by `dev`: RFC 6724 §5, rules 1, 2, 3, 5, 6 and 8.
pub(crate) fn select_source(ns: &Netns, dev: DevId, dst: Ipv6Addr) -> Option<Ipv6Addr> {
    let link_only = dst.is_unicast_link_local() || (dst.is_multicast() && scope(dst) <= 2);
    let only_dev = link_only
        || ns.sysctl.all6.use_oif_addrs_only != 0
        || ns.dev.get(dev).is_some_and(|d| d.conf.v6.use_oif_addrs_only != 0);
    let want = scope(dst);
    let rank = |on: DevId, a: &Addr6| {
        let have = scope(a.addr);
        // Rule 2: the smallest scope that reaches; else the largest there is.
        let fit = if have >= want { 100 - i32::from(have) } else { i32::from(have) - 100 };
        (
            a.addr == dst,
            fit,
            a.state == AddrState::Preferred,
            on == dev,
            label(a.addr) == label(dst),
            common_prefix(a.addr, dst, a.prefix_len),
        )
    };
    let mut best = None;
    for device in ns.dev.iter().filter(|d| d.is_up() && (!only_dev || d.id == dev)) {
        for addr in device.addrs6.iter().filter(|a| a.is_usable()) {
            // A link-local address means nothing on another link.
            if device.id != dev && addr.addr.is_unicast_link_local() {
                continue;
            }
            let points = rank(device.id, addr);
            if best.is_none_or(|(most, _)| points > most) {
                best = Some((points, addr.addr));
            }
        }
    }
    best.map(|(_, addr)| addr)
}
