//! ARP (RFC 826, RFC 1122 §2.3.2, RFC 5227): IPv4 addresses on Ethernet.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{DevId, DropReason, Duration, Pkt, PktType, Point};
use netspace_fib::Scope;
use netspace_wire::arp::{ArpOperation, ArpRepr, PACKET_LEN};
use netspace_wire::ethernet::ETHERTYPE_ARP;
use netspace_wire::{MacAddr, WireError};

use super::{NeighState, News, To};
use crate::ip::addr::{is_local, select_source};
use crate::{Netns, Step, Stop, Turn};

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
    let step = super::output(ns, t, pkt, To::Mac(dst));
    ns.finish(t, step);
}

/// Takes an ARP packet (in front): learn from it, answer it (RFC 826 "packet reception").
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>) -> Step {
    t.trace.at(t.now, ns.id, Point::ArpReceive, &pkt);
    let parsed =
        if pkt.pull_linear(PACKET_LEN) { ArpRepr::parse(pkt.data()) } else { Err(WireError::Truncated) };
    let Ok((arp, _)) = parsed else { return Err(Stop::Drop(pkt, DropReason::ArpMalformed)) };
    let bad_target = arp.target_ip.is_loopback() || arp.target_ip.is_multicast();
    let bad_sender =
        arp.sender_ip.is_multicast() || arp.sender_ip.is_broadcast() || !arp.sender_mac.is_unicast();
    if bad_target || bad_sender || arp.sender_ip.is_loopback() {
        return Err(Stop::Drop(pkt, DropReason::ArpIgnored));
    }
    let dev = pkt.dev;
    let ours = is_local(ns, arp.target_ip) && !ignores(ns, dev, &arp);
    let gratuitous = arp.sender_ip == arp.target_ip;
    if gratuitous && ns.dev.get(dev).is_some_and(|d| d.conf.v4.drop_gratuitous_arp != 0) {
        return Err(Stop::Drop(pkt, DropReason::ArpIgnored));
    }
    if arp.operation == ArpOperation::Request && ours && !is_local(ns, arp.sender_ip) {
        // A probe (sender 0.0.0.0: RFC 5227 §2.1.1) is answered but teaches nothing.
        if !arp.sender_ip.is_unspecified() {
            learn(ns, t, dev, &arp, NeighState::Stale, true);
        }
        send(ns, t, dev, &arp.reply(own_mac(ns, dev)), arp.sender_mac);
        return Ok(pkt);
    }
    if arp.sender_ip.is_unspecified() || is_local(ns, arp.sender_ip) {
        return Err(Stop::Drop(pkt, DropReason::ArpNotForUs));
    }
    let accept = ns.sysctl.all4.arp_accept.max(ns.dev.get(dev).map_or(0, |d| d.conf.v4.arp_accept));
    let solicited = arp.operation == ArpOperation::Reply && pkt.pkt_type == PktType::Host && ours;
    let known = ns.neigh.get(dev, arp.sender_ip.into()).is_some();
    let taken = known || (gratuitous && accept > 0);
    if !taken {
        return Err(Stop::Drop(pkt, DropReason::ArpNotForUs));
    }
    let state = if solicited { NeighState::Reachable } else { NeighState::Stale };
    learn(ns, t, dev, &arp, state, !known);
    Ok(pkt)
}

/// Whether a request is not to be answered here (`arp_ignore`).
fn ignores(ns: &Netns, dev: DevId, arp: &ArpRepr) -> bool {
    let Some(device) = ns.dev.get(dev) else { return true };
    let own = device.addrs4.iter().find(|a| a.addr == arp.target_ip);
    match ns.sysctl.all4.arp_ignore.max(device.conf.v4.arp_ignore) {
        0 => false,
        1 => own.is_none(),
        2 => own.is_none_or(|a| !a.net().contains(&arp.sender_ip)),
        3 => own.is_some_and(|a| a.scope == Scope::Host),
        8 => true,
        _ => false,
    }
}

/// Notes the sender's address. Within the lock time a different one does not replace it: of several answers the first
/// counts.
fn learn(ns: &mut Netns, t: &mut Turn, dev: DevId, arp: &ArpRepr, state: NeighState, create: bool) {
    let addr = IpAddr::V4(arp.sender_ip);
    let lock = ns.dev.get(dev).map_or(0, |d| d.conf.neigh4.locktime);
    let lock = Duration::from_millis(lock as u64 * 10);
    let settled = ns.neigh.get(dev, addr).is_none_or(|n| t.now > n.updated + lock);
    let news = News {
        mac: Some(arp.sender_mac),
        state,
        overrides: settled || arp.sender_ip == arp.target_ip,
        weak_override: false,
        is_router: None,
    };
    super::update(ns, t, dev, addr, news, create);
}
