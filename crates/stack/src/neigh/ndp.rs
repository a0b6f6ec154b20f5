//! Neighbour discovery (RFC 4861): IPv6 addresses on Ethernet. Router discovery is in [`crate::ip6::ra`].

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{DevId, DropReason, Pkt, Point};
use netspace_wire::icmpv6::fill_checksum;
use netspace_wire::ipv6::{self, HEADER_LEN, Ipv6Repr};
use netspace_wire::ndp::{HOP_LIMIT, NdpMessage, NdpOptions, NdpRepr, NeighborAdvertisement, solicited_node};
use netspace_wire::{MacAddr, protocol};

use super::{NeighState, News, To};
use crate::ip6::addr::{AddrState, select_source};
use crate::ip6::{dad, ra, redirect};
use crate::l4::Arrival;
use crate::{Netns, Step, Stop, Turn};

/// Sends a neighbour-discovery message on a link; `unicast`: to this station whatever the destination address is.
pub(crate) fn send(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    repr: &NdpRepr,
    unicast: Option<MacAddr>,
) {
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    fill_checksum(src, dst, &mut bytes);
    let mut pkt = crate::ip6::icmp::message(t, &bytes);
    pkt.set_transport_header();
    let class = ns.dev.get(dev).map_or(0, |d| d.conf.v6.ndisc_tclass) as u8;
    let header = Ipv6Repr {
        hop_limit: HOP_LIMIT,
        traffic_class: class,
        ..Ipv6Repr::new(src, dst, protocol::ICMPV6, bytes.len())
    };
    header.emit(pkt.push(HEADER_LEN));
    pkt.set_network_header();
    pkt.dev = dev;
    crate::ip6::icmp::count_out(ns, repr.kind());
    t.trace.at(t.now, ns.id, Point::NdpSend, &pkt);
    let to = match unicast {
        Some(mac) => To::Mac(mac),
        None if dst.is_multicast() => To::Mac(MacAddr::multicast_v6(dst)),
        None => To::Hop(dst.into()),
    };
    crate::ip6::send::send_on_link(ns, t, pkt, to);
}

/// Asks for the link-layer address of `target`: its solicited-node group, or the station that had it.
pub(super) fn solicit(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    target: Ipv6Addr,
    source: Option<IpAddr>,
    unicast: Option<MacAddr>,
) {
    let usable = |a: &Ipv6Addr| {
        ns.dev.get(dev).is_some_and(|d| d.addr6(*a).is_some_and(crate::ip6::addr::Addr6::is_usable))
    };
    let given = match source {
        Some(IpAddr::V6(src)) => Some(src).filter(usable),
        _ => None,
    };
    // RFC 4861 §7.2.2: the source of the packet that asks, if it is the device's; never a tentative one.
    let Some(src) = given.or_else(|| select_source(ns, dev, target)) else { return };
    let repr = NdpRepr {
        message: NdpMessage::NeighborSolicitation { target },
        options: NdpOptions { source_lladdr: own_mac(ns, dev), ..NdpOptions::default() },
    };
    let dst = if unicast.is_some() { target } else { solicited_node(target) };
    send(ns, t, dev, src, dst, &repr, unicast);
}

pub(crate) fn own_mac(ns: &Netns, dev: DevId) -> Option<MacAddr> {
    ns.dev.get(dev).map(|d| MacAddr(d.mac))
}

/// Takes a neighbour-discovery message (data = ICMPv6 header on).
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (arrival.src, arrival.dst) else {
        return Err(Stop::Drop(pkt, DropReason::NdpInvalid));
    };
    t.trace.at(t.now, ns.id, Point::NdpReceive, &pkt);
    let Ok((repr, _)) = NdpRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::NdpInvalid));
    };
    // RFC 4861 §7.1, §6.1, §8.1: a hop limit of 255 proves that it was sent on this link.
    let valid =
        arrival.ttl == HOP_LIMIT && pkt.data().get(1) == Some(&0) && repr.addresses_are_valid(src, dst);
    if !valid {
        return Err(Stop::Drop(pkt, DropReason::NdpInvalid));
    }
    let taken = match &repr.message {
        NdpMessage::NeighborSolicitation { target } => {
            solicitation(ns, t, arrival.dev, src, *target, &repr.options)
        }
        NdpMessage::NeighborAdvertisement(na) => advertisement(ns, t, arrival.dev, na, &repr.options),
        NdpMessage::RouterSolicitation => ra::solicitation(ns, t, arrival.dev, src, &repr.options),
        NdpMessage::RouterAdvertisement(adv) => ra::receive(ns, t, arrival.dev, src, adv, &repr.options),
        NdpMessage::Redirect { target, destination } => {
            redirect::receive(ns, t, arrival, *target, *destination, &repr.options)
        }
    };
    if taken { Ok(pkt) } else { Err(Stop::Drop(pkt, DropReason::NdpNotForUs)) }
}

/// Somebody asks for an address (RFC 4861 §7.2.3, RFC 4862 §5.4.3).
fn solicitation(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    src: Ipv6Addr,
    target: Ipv6Addr,
    options: &NdpOptions,
) -> bool {
    let Some(state) = ns.dev.get(dev).and_then(|d| d.addr6(target)).map(|a| a.state) else { return false };
    match state {
        // Another station probes for the address that we probe for: neither may have it.
        AddrState::Tentative if src.is_unspecified() => {
            dad::conflict(ns, t, dev, target);
            return true;
        }
        AddrState::Tentative | AddrState::Duplicate => return false,
        AddrState::Preferred | AddrState::Deprecated => {}
    }
    let prober = src.is_unspecified();
    if let Some(mac) = options.source_lladdr.filter(|_| !prober) {
        let news = News {
            mac: Some(mac),
            state: NeighState::Stale,
            overrides: true,
            weak_override: false,
            is_router: None,
        };
        super::update(ns, t, dev, src.into(), news, true);
    }
    let to = if prober { ipv6::ALL_NODES } else { src };
    advertise(ns, t, dev, target, to, !prober);
    true
}

/// Tells who has `addr` (RFC 4861 §7.2.4, §7.2.6).
pub(crate) fn advertise(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    addr: Ipv6Addr,
    to: Ipv6Addr,
    solicited: bool,
) {
    let router = ns.dev.get(dev).is_some_and(|d| d.conf.v6.forwarding != 0);
    let repr = NdpRepr {
        message: NdpMessage::NeighborAdvertisement(NeighborAdvertisement {
            router,
            solicited,
            override_: true,
            target: addr,
        }),
        options: NdpOptions { target_lladdr: own_mac(ns, dev), ..NdpOptions::default() },
    };
    send(ns, t, dev, addr, to, &repr, None);
}

/// Somebody tells who has an address (RFC 4861 §7.2.5).
fn advertisement(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    na: &NeighborAdvertisement,
    options: &NdpOptions,
) -> bool {
    let Some(device) = ns.dev.get(dev) else { return false };
    // An address that failed its check is its other owner's.
    if let Some(own) = device.addr6(na.target).filter(|a| a.state != AddrState::Duplicate) {
        if own.state == AddrState::Tentative {
            dad::conflict(ns, t, dev, na.target);
            return true;
        }
        return false;
    }
    if !na.solicited && device.conf.v6.drop_unsolicited_na != 0 {
        return false;
    }
    let Some(known) = ns.neigh.get(dev, na.target.into()) else { return false };
    let was_router = known.is_router;
    let news = News {
        mac: options.target_lladdr,
        state: if na.solicited { NeighState::Reachable } else { NeighState::Stale },
        overrides: na.override_,
        weak_override: true,
        is_router: Some(na.router),
    };
    super::update(ns, t, dev, na.target.into(), news, false);
    if was_router && !na.router {
        ra::router_gone(ns, dev, na.target);
    }
    true
}
