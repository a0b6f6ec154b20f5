//! The routes that come with addresses.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netspace_base::DevId;
use netspace_fib::{Add, Kind, NextHop, Route, TABLE_LOCAL, protocol};

use crate::Netns;

/// The metric of routes that come with addresses and prefixes.
pub(crate) const METRIC_ADDRCONF: u32 = 256;

/// A route of the kernel's own making.
pub(super) fn kernel_route(
    prefix: Ipv6Net,
    dev: DevId,
    kind: Kind,
    table: u32,
    metric: u32,
) -> Route<Ipv6Net> {
    Route { table, kind, metric, protocol: protocol::KERNEL, ..Route::new(prefix, NextHop::on(dev)) }
}

/// The address may be used: packets to it are for this host.
pub(crate) fn activate(ns: &mut Netns, dev: DevId, addr: Ipv6Addr) {
    let _ = ns.fib6.add(kernel_route(addr.into(), dev, Kind::Local, TABLE_LOCAL, 0), Add::Append);
    ns.routes_changed();
}
