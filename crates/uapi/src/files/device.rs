//! Devices, their addresses and groups: `dev`, `dev_mcast`, `if_inet6`, `igmp`, `igmp6`.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use netspace_base::Instant;
use netspace_stack::Netns;

use super::route::hex6;
use crate::netlink::route::addr::flags6;

pub(super) fn dev(ns: &Netns, _now: Instant) -> String {
    let mut out = "Inter-|   Receive                                                |  Transmit\n \
                   face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo \
                   colls carrier compressed\n"
        .to_owned();
    for device in ns.dev.iter() {
        let s = &device.stats;
        let _ = writeln!(
            out,
            "{:>6}: {:7} {:7} {:4} {:4} {:4} {:5} {:10} {:9} {:8} {:7} {:4} {:4} {:4} {:5} {:7} {:10}",
            device.name,
            s.rx_bytes,
            s.rx_packets,
            s.rx_errors,
            s.rx_dropped,
            0,
            0,
            0,
            s.multicast,
            s.tx_bytes,
            s.tx_packets,
            s.tx_errors,
            s.tx_dropped,
            0,
            0,
            0,
            0,
        );
    }
    out
}

pub(super) fn if_inet6(ns: &Netns, _now: Instant) -> String {
    let mut out = String::new();
    for device in ns.dev.iter() {
        for addr in &device.addrs6 {
            let _ = writeln!(
                out,
                "{} {:02x} {:02x} {:02x} {:02x} {:>8}",
                hex6(addr.addr),
                device.id.0,
                addr.prefix_len,
                scope(addr.addr),
                flags6(addr) & 0xff,
                device.name,
            );
        }
    }
    out
}

/// The kernel's own number for a scope, which this file shows: 0x10 the host, 0x20 the link, 0 everywhere.
const fn scope(addr: Ipv6Addr) -> u8 {
    if addr.is_loopback() {
        0x10
    } else if addr.is_unicast_link_local() {
        0x20
    } else {
        0
    }
}
