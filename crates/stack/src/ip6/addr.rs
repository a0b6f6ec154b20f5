//! IPv6 addresses of devices: adding and removing.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netspace_base::{DevId, Instant};
use netspace_fib::{Add, Kind, Route, TABLE_LOCAL, protocol};
use netspace_wire::MacAddr;

use super::own_route::{METRIC_ADDRCONF, activate, kernel_route};
pub use super::state::{Addr6, AddrState};
use crate::error::SockError;
use crate::{Netns, Turn};

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
    let Some(device) = ns.dev.get(dev).filter(|d| d.has_ipv6()) else { return };
    let (loopback, router) = (device.is_loopback(), device.conf.v6.forwarding != 0);
    if !loopback {
        let all_groups: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8);
        let _ = ns
            .fib6
            .add(kernel_route(all_groups, dev, Kind::Multicast, TABLE_LOCAL, METRIC_ADDRCONF), Add::Append);
    }
    super::mld::device_up(ns, t, dev, router);
    let addrs: Vec<Ipv6Addr> =
        ns.dev.get(dev).map(|d| d.addrs6.iter().map(|a| a.addr).collect()).unwrap_or_default();
    for addr in addrs {
        install(ns, t, dev, addr);
    }
    add_own(ns, t, dev);
    super::discover::device_up(ns, t, dev);
    ns.routes_changed();
}

/// The address that every device has by itself (RFC 4291 §2.8): `::1` on loopback, elsewhere a link-local one, made from the
/// device's MAC or a secret (`addr_gen_mode`).
fn add_own(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get(dev) else { return };
    if device.is_loopback() {
        let _ = add(ns, t, dev, Addr6::new(Ipv6Addr::LOCALHOST.into()), true);
        return;
    }
    let has = device.addrs6.iter().any(|a| a.addr.is_unicast_link_local());
    if has || device.conf.v6.addr_gen_mode == 1 {
        return;
    }
    let addr = match device.conf.v6.addr_gen_mode {
        0 => MacAddr(device.mac).link_local(),
        _ => super::identifier::stable_address(ns, dev, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 0),
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
    ns.ip6.exceptions.clear();
    super::mld::device_down(ns, dev);
    super::discover::device_down(ns, dev);
    ns.routes_changed();
}
