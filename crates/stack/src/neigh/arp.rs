//! ARP (RFC 826, RFC 1122 §2.3.2, RFC 5227): IPv4 addresses on Ethernet.

pub(crate) mod receive;

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{DevId, Point};
use netspace_fib::Scope;
use netspace_wire::MacAddr;
use netspace_wire::arp::{ArpOperation, ArpRepr, PACKET_LEN};
use netspace_wire::ethernet::ETHERTYPE_ARP;

use super::station;
use crate::ip::source::{is_local, select_source};
use crate::{Netns, Turn};

/// Asks who has `target`: everybody on the link, or the station that had it.
pub(super) fn solicit(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    target: Ipv4Addr,
    source: Option<IpAddr>,
    unicast: Option<MacAddr>,
) {
    let announce = ns.sysctl.all4.arp_announce.max(ns.dev.get(dev).map_or(0, |d| d.conf.v4.arp_announce));
    let on_subnet = |a: Ipv4Addr| {
        ns.dev.get(dev).is_some_and(|d| d.addrs4.iter().any(|e| e.addr == a && e.net().contains(&target)))
    };
    let sender = match source {
        // 0: any local address; 1: one of the target's subnet if possible; 2: always the best for the target.
        Some(IpAddr::V4(src)) if announce == 0 && is_local(ns, src) => src,
        Some(IpAddr::V4(src)) if announce == 1 && on_subnet(src) => src,
        _ => select_source(ns, dev, target, Scope::Link).unwrap_or(Ipv4Addr::UNSPECIFIED),
    };
    let request = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: own_mac(ns, dev),
        sender_ip: sender,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    };
    send(ns, t, dev, &request, unicast.unwrap_or(MacAddr::BROADCAST));
}

/// Tells the link which station has an address now (gratuitous ARP: RFC 5227 §2.3).
pub(crate) fn announce(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: Ipv4Addr) {
    if !ns.dev.get(dev).is_some_and(|d| d.is_running() && d.needs_neigh()) {
        return;
    }
    let own = own_mac(ns, dev);
    let announcement = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: own,
        sender_ip: addr,
        target_mac: MacAddr::ZERO,
        target_ip: addr,
    };
    send(ns, t, dev, &announcement, MacAddr::BROADCAST);
}

fn own_mac(ns: &Netns, dev: DevId) -> MacAddr {
    ns.dev.get(dev).map_or(MacAddr::ZERO, |d| MacAddr(d.mac))
}

fn send(ns: &mut Netns, t: &mut Turn, dev: DevId, arp: &ArpRepr, dst: MacAddr) {
    let mut pkt = t.new_pkt();
    pkt.dev = dev;
    pkt.protocol = ETHERTYPE_ARP;
    arp.emit(pkt.push(PACKET_LEN));
    pkt.set_network_header();
    t.trace.at(t.now, ns.id, Point::ArpSend, &pkt);
    let step = station::send(ns, t, pkt, dst);
    ns.finish(t, step);
}
