//! An ARP packet comes in.

use std::net::IpAddr;

use netspace_base::{DevId, DropReason, Duration, Pkt, PktType, Point};
use netspace_fib::Scope;
use netspace_wire::WireError;
use netspace_wire::arp::{ArpOperation, ArpRepr, PACKET_LEN};

use super::{own_mac, send};
use crate::ip::source::is_local;
use crate::neigh::{NeighState, News, resolve};
use crate::{Netns, Step, Stop, Turn};

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
    resolve::update(ns, t, dev, addr, news, create);
}
