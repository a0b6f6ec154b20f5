//! An IPv4 packet is for another host: this one is its router (RFC 1812 §5.3).

use std::net::Ipv4Addr;

use netspace_base::{Detail, DevId, DropReason, Pkt, PktType, Point};
use netspace_fib::{Kind, Query};
use netspace_wire::ipv4::{self, Ipv4Repr};

use super::output;
use crate::icmp::{self, Error};
use crate::snmp::Counter;
use crate::{Netns, RouteKind, Step, Stop, Turn};

/// Passes a packet (network header in front) on to `via` by `dev`: TTL, MTU, redirect, output.
pub(crate) fn forward(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    ip: &Ipv4Repr,
    via: Ipv4Addr,
    dev: DevId,
    mtu: u32,
) -> Step {
    // Only what was sent to this station is passed on: not what a group's frame carried (RFC 1812 §5.3.4).
    if pkt.pkt_type != PktType::Host {
        return Err(Stop::Drop(pkt, DropReason::IpDestInvalid));
    }
    if ip.ttl <= 1 {
        icmp::send_error(ns, t, &pkt, Error::TimeExceeded);
        return Err(Stop::Drop(pkt, DropReason::TtlExceeded));
    }
    let mtu = path_mtu(ns, t, ip.dst, mtu);
    if ip.dont_fragment && output::wire_len(&pkt) > mtu as usize {
        icmp::send_error(ns, t, &pkt, Error::TooBig { mtu });
        return Err(Stop::Drop(pkt, DropReason::TooBig));
    }
    if dev == pkt.dev {
        redirect(ns, t, &pkt, ip, via);
    }
    if !ip.options.is_empty() {
        record_route(ns, &mut pkt, ip, dev, via);
    }
    let ttl = ipv4::decrement_ttl(pkt.data_mut());
    ns.snmp.inc(Counter::IpForwDatagrams);
    t.trace.with(t.now, ns.id, Point::Forward, &pkt, || Detail::Ttl(ttl));
    pkt.dev = dev;
    pkt.priority = 0;
    output::output(ns, t, pkt, RouteKind::Unicast, via, mtu)
}

/// Forwarding heeds the device's MTU only, unless it is told to believe what path-MTU discovery found.
fn path_mtu(ns: &Netns, t: &Turn, dst: Ipv4Addr, mtu: u32) -> u32 {
    if ns.sysctl.net4.ip_forward_use_pmtu == 0 {
        return mtu;
    }
    let learnt = ns.ip.exceptions.get(&dst, t.now).and_then(|e| e.mtu);
    learnt.map_or(mtu, |(path_mtu, _)| mtu.min(path_mtu))
}

/// A packet that leaves by the device it came by: its sender could have sent it to `via` itself (RFC 1812 §5.2.7.2).
fn redirect(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ip: &Ipv4Repr, via: Ipv4Addr) {
    let Some(device) = ns.dev.get(pkt.dev) else { return };
    let all = &ns.sysctl.all4;
    let sends = all.send_redirects != 0 || device.conf.v4.send_redirects != 0;
    let shared = all.shared_media != 0 || device.conf.v4.shared_media != 0;
    // Only a neighbour on this link could send to `via` itself.
    let query = Query::to(ip.src);
    let back = ns.fib4.lookup(&query, |_, hop| (hop.dev == pkt.dev).then_some(0));
    let neighbour = back.is_some_and(|(route, hop)| route.kind == Kind::Unicast && hop.via.is_none());
    let same_subnet = device.addrs4.iter().any(|a| a.net().contains(&ip.src) && a.net().contains(&via));
    if sends && neighbour && (shared || same_subnet) && !ip.options.source_route_pending() {
        icmp::send_error(ns, t, pkt, Error::Redirect4 { gateway: via });
    }
}

/// Notes this router in a record-route option.
fn record_route(ns: &Netns, pkt: &mut Pkt, ip: &Ipv4Repr, dev: DevId, via: Ipv4Addr) {
    let mut changed = *ip;
    let own = super::source::select_source(ns, dev, via, netspace_fib::Scope::Link);
    if changed.options.record_route(own.unwrap_or(Ipv4Addr::UNSPECIFIED)) {
        let header_len = changed.header_len();
        if pkt.data().len() >= header_len {
            changed.emit(&mut pkt.data_mut()[..header_len]);
        }
    }
}
