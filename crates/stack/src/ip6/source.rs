//! Whose an IPv6 address is, and which one packets made here get as their source (RFC 6724).

use std::net::Ipv6Addr;

use netspace_base::DevId;
use netspace_fib::{Kind, Query, TABLE_LOCAL};

use super::state::{Addr6, AddrState};
use crate::Netns;

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
