//! ICMPv6 redirects (RFC 4861 §8): a router tells, a host follows.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{Duration, Pkt};
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr};

use super::source::link_local;
use crate::l4::Arrival;
use crate::neigh::{NeighState, News, ndp, resolve};
use crate::{Netns, RouteQuery, Turn};

/// A packet leaves by the device it came by: its sender, a neighbour, could have sent it to `via` itself.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ip: &Ipv6Repr, via: Ipv6Addr) {
    let Some(own) = link_local(ns, pkt.dev) else { return };
    // RFC 4861 §8: a better router is named by its link-local address; the destination itself by its own.
    if via != ip.dst && !via.is_unicast_link_local() {
        return;
    }
    let on_link = ns.dev.get(pkt.dev).is_some_and(|d| d.addrs6.iter().any(|a| a.net().contains(&ip.src)));
    if !on_link || !ns.icmp.allow_redirect(t.now, &ns.sysctl, ip.src.into()) {
        return;
    }
    let known = ns.neigh.get(pkt.dev, via.into()).filter(|n| n.state.is_valid()).map(|n| n.mac);
    let quoted = crate::icmp::quote(pkt, 1280 - 40 - 40 - 8 - 8);
    let repr = NdpRepr {
        message: NdpMessage::Redirect { target: via, destination: ip.dst },
        options: NdpOptions { target_lladdr: known, redirected: quoted, ..NdpOptions::default() },
    };
    ndp::send::send(ns, t, pkt.dev, own, ip.src, &repr);
}

/// Follows a redirect if it comes from the router in use for the destination.
pub(crate) fn receive(
    ns: &mut Netns,
    t: &mut Turn,
    arrival: &Arrival,
    target: Ipv6Addr,
    destination: Ipv6Addr,
    options: &NdpOptions,
) -> bool {
    let accepts =
        ns.dev.get(arrival.dev).is_some_and(|d| d.conf.v6.accept_redirects != 0 && d.conf.v6.forwarding == 0);
    let valid_target = target == destination || target.is_unicast_link_local();
    let route = ns.route_out(t.now, &RouteQuery::to(destination.into()));
    let from_router = route.is_ok_and(|r| r.via == arrival.src && r.dev == arrival.dev);
    if !accepts || !valid_target || destination.is_multicast() || !from_router {
        return false;
    }
    if let Some(mac) = options.target_lladdr {
        let news = News {
            mac: Some(mac),
            state: NeighState::Stale,
            overrides: true,
            weak_override: false,
            is_router: (target != destination).then_some(true),
        };
        resolve::update(ns, t, arrival.dev, IpAddr::V6(target), news, true);
    }
    // Until neighbour discovery finds the target unreachable, or as long as Linux keeps learnt routes.
    let expires = t.now + Duration::from_secs(ns.sysctl.route6.gc_timeout as u64 * 5);
    ns.ip6.exceptions.update(t.now, destination, expires, |e| e.gateway = Some(target));
    ns.routes_changed();
    true
}
