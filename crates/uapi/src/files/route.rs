//! Routes: `route` (the main table of IPv4), `ipv6_route` (all tables of IPv6).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_base::{DevId, Instant};
use netspace_fib::{Kind, TABLE_MAIN, protocol};
use netspace_stack::Netns;

const UP: u32 = 0x1;
const GATEWAY: u32 = 0x2;
const HOST: u32 = 0x4;
const REJECT: u32 = 0x200;
const DEFAULT: u32 = 0x1_0000;
const ADDRCONF: u32 = 0x4_0000;
const ANYCAST: u32 = 0x10_0000;
const NONEXTHOP: u32 = 0x20_0000;
const EXPIRES: u32 = 0x40_0000;
const LOCAL: u32 = 0x8000_0000;

/// The width to which Linux pads the lines of this file.
const WIDTH: usize = 127;

fn dev_name(ns: &Netns, dev: DevId) -> &str {
    ns.dev.get(dev).map_or("*", |d| &d.name)
}

/// An IPv4 address as it lies in memory, printed as a number.
pub(super) fn hex4(addr: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(addr.octets()))
}

/// An IPv6 address as 32 digits.
pub(super) fn hex6(addr: Ipv6Addr) -> String {
    addr.octets().iter().fold(String::with_capacity(32), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

pub(super) fn route(ns: &Netns, _now: Instant) -> String {
    let header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let mut out = format!("{header:<WIDTH$}\n");
    for route in ns.fib4.routes().filter(|r| r.table == TABLE_MAIN) {
        if matches!(route.kind, Kind::Broadcast | Kind::Multicast) {
            continue;
        }
        let host = if route.prefix.prefix_len() == 32 { HOST } else { 0 };
        let refused = if route.kind.is_refusal() { REJECT } else { 0 };
        // Of several next hops the file shows the first.
        let hop = route.hops.first();
        let via = hop.and_then(|h| h.via);
        let gateway = if via.is_some() { GATEWAY } else { 0 };
        let line = format!(
            "{}\t{}\t{}\t{:04X}\t0\t0\t{}\t{}\t0\t0\t0",
            hop.map_or("*", |h| dev_name(ns, h.dev)),
            hex4(route.prefix.network()),
            hex4(via.unwrap_or(Ipv4Addr::UNSPECIFIED)),
            UP | gateway | host | refused,
            route.metric,
            hex4(route.prefix.netmask()),
        );
        let _ = writeln!(out, "{line:<WIDTH$}");
    }
    out
}

pub(super) fn rt_cache(_ns: &Netns, _now: Instant) -> String {
    let header = "Iface\tDestination\tGateway \tFlags\t\tRefCnt\tUse\tMetric\tSource\t\tMTU\tWindow\tIRTT\tTOS\tHHRef\tHHUptod\tSpecDst";
    format!("{header:<WIDTH$}\n")
}

pub(super) fn ipv6_route(ns: &Netns, _now: Instant) -> String {
    let mut out = String::new();
    for route in ns.fib6.routes() {
        let hop = route.hops.first();
        let via = hop.and_then(|h| h.via);
        let len = route.prefix.prefix_len();
        let mut flags = UP;
        let mut set = |on: bool, flag: u32| flags |= if on { flag } else { 0 };
        set(via.is_some(), GATEWAY);
        set(len == 128 && route.kind == Kind::Unicast, HOST);
        set(route.kind.is_refusal(), REJECT | NONEXTHOP);
        set(route.kind == Kind::Local, LOCAL | NONEXTHOP);
        set(route.kind == Kind::Anycast, ANYCAST | NONEXTHOP);
        set(route.protocol == protocol::RA, ADDRCONF);
        set(route.protocol == protocol::RA && len == 0, DEFAULT);
        set(route.expires.is_some(), EXPIRES);
        let _ = writeln!(
            out,
            "{} {len:02x} {} 00 {} {:08x} {:08x} {:08x} {flags:08x} {:>8}",
            hex6(route.prefix.network()),
            hex6(Ipv6Addr::UNSPECIFIED),
            hex6(via.unwrap_or(Ipv6Addr::UNSPECIFIED)),
            route.metric,
            1,
            0,
            hop.map_or("lo", |h| dev_name(ns, h.dev)),
        );
    }
    out
}
