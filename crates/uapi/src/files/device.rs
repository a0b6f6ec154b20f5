//! Devices, their addresses and groups: `dev`, `dev_mcast`, `if_inet6`, `igmp`, `igmp6`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv6Addr;

use netspace_base::Instant;
use netspace_stack::Netns;

use super::route::{hex4, hex6};
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

/// The groups of all devices: number and name of the device, how often joined, and the group's Ethernet address.
pub(super) fn dev_mcast(ns: &Netns, _now: Instant) -> String {
    let mut out = String::new();
    for device in ns.dev.iter().filter(|d| !d.is_loopback()) {
        let six = device.groups6.iter().map(|g| {
            let [.., a, b, c, d] = g.addr.octets();
            (g.users, [0x33, 0x33, a, b, c, d])
        });
        let four = device.groups4.iter().map(|g| {
            let [_, b, c, d] = g.addr.octets();
            (g.users, [0x01, 0x00, 0x5e, b & 0x7f, c, d])
        });
        // Several groups may share one address.
        let mut by_mac: BTreeMap<[u8; 6], u32> = BTreeMap::new();
        for (users, mac) in six.chain(four) {
            *by_mac.entry(mac).or_default() += users;
        }
        for (mac, users) in by_mac {
            let mac: String = mac.iter().map(|b| format!("{b:02x}")).collect();
            let _ = writeln!(out, "{:<4} {:<15} {users:<5} {:<5} {mac}", device.id.0, device.name, 0);
        }
    }
    out
}

pub(super) fn igmp(ns: &Netns, _now: Instant) -> String {
    let mut out = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n".to_owned();
    for device in ns.dev.iter() {
        let count = device.groups4.iter().count();
        if count == 0 {
            continue;
        }
        let _ = writeln!(out, "{}\t{:<10}: {count:5} {:>7}", device.id.0, device.name, "V3");
        // The latest first, as on Linux.
        for group in device.groups4.iter().rev() {
            let _ = writeln!(out, "\t\t\t\t{} {:5} 0:00000000\t\t0", hex4(group.addr), group.users);
        }
    }
    out
}

pub(super) fn igmp6(ns: &Netns, _now: Instant) -> String {
    /// `MAF_LOADED`: the device's filter knows the group. `MAF_NOREPORT`: routers are never told of it.
    const LOADED: u32 = 4;
    const NO_REPORT: u32 = 8;
    /// All nodes of the link.
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut out = String::new();
    for device in ns.dev.iter() {
        for group in device.groups6.iter().rev() {
            let (index, name, users) = (device.id.0, &device.name, group.users);
            let flags = match group.addr.octets() {
                [_, scope, ..] if scope & 15 < 2 => NO_REPORT,
                _ if group.addr == ALL_NODES => LOADED | NO_REPORT,
                _ => LOADED,
            };
            let _ = writeln!(out, "{index:<4} {name:<15} {} {users:5} {flags:08X} 0", hex6(group.addr));
        }
    }
    out
}

/// The sources in the filters of groups, and how many filters include and exclude each.
pub(super) fn mcfilter(ns: &Netns, _now: Instant) -> String {
    let mut out = "Idx Device        MCA        SRC    INC    EXC\n".to_owned();
    for device in ns.dev.iter() {
        for group in device.groups4.iter() {
            for source in group.sources() {
                let (index, name) = (device.id.0, &device.name);
                let (mca, src) = (group.addr.to_bits(), source.addr.to_bits());
                let (include, exclude) = (source.include, source.exclude);
                let _ =
                    writeln!(out, "{index:3} {name:>6.6} 0x{mca:08x} 0x{src:08x} {include:6} {exclude:6}");
            }
        }
    }
    out
}

pub(super) fn mcfilter6(ns: &Netns, _now: Instant) -> String {
    let mut out =
        "Idx Device                Multicast Address                   Source Address    INC    EXC\n"
            .to_owned();
    for device in ns.dev.iter() {
        for group in device.groups6.iter() {
            for source in group.sources() {
                let (index, name) = (device.id.0, &device.name);
                let (mca, src) = (hex6(group.addr), hex6(source.addr));
                let (include, exclude) = (source.include, source.exclude);
                let _ = writeln!(out, "{index:3} {name:>6.6} {mca} {src} {include:6} {exclude:6}");
            }
        }
    }
    out
}
