//! A neighbour-discovery message comes in.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{DevId, DropReason, Pkt, Point};
use netspace_wire::ipv6;
use netspace_wire::ndp::{HOP_LIMIT, NdpMessage, NdpOptions, NdpRepr, NeighborAdvertisement};

use super::send::advertise;
use crate::ip6::state::AddrState;
use crate::ip6::{ra, redirect, switch};
use crate::l4::Arrival;
use crate::neigh::{NeighState, News, resolve};
use crate::{Netns, Step, Stop, Turn};

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
            switch::conflict(ns, t, dev, target);
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
        resolve::update(ns, t, dev, src.into(), news, true);
    }
    let to = if prober { ipv6::ALL_NODES } else { src };
    advertise(ns, t, dev, target, to, !prober);
    true
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
            switch::conflict(ns, t, dev, na.target);
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
    resolve::update(ns, t, dev, na.target.into(), news, false);
    if was_router && !na.router {
        ra::router_gone(ns, dev, na.target);
    }
    true
}
