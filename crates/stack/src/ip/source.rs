//! Whose an IPv4 address is, and which one packets made here get as their source.

use std::net::Ipv4Addr;

use netspace_base::DevId;
use netspace_fib::{Kind, Scope, TABLE_LOCAL};

use super::state::Addr4;
use crate::Netns;

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
