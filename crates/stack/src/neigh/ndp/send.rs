//! Neighbour-discovery messages to whom the address says: a group, or a neighbour that may have to be asked for first.

use std::net::Ipv6Addr;

use netspace_base::DevId;
use netspace_wire::MacAddr;
use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr, NeighborAdvertisement};

use super::{make, own_mac};
use crate::ip6::message;
use crate::neigh::{To, resolve};
use crate::{Netns, Turn};

/// Sends a neighbour-discovery message on a link.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, dev: DevId, src: Ipv6Addr, dst: Ipv6Addr, repr: &NdpRepr) {
    let pkt = make(ns, t, dev, src, dst, repr);
    if dst.is_multicast() {
        message::send_on_link(ns, t, pkt, MacAddr::multicast_v6(dst));
    } else {
        message::count_request(ns, &pkt);
        let step = resolve::output(ns, t, pkt, To::Hop(dst.into()));
        ns.finish(t, step);
    }
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
    send(ns, t, dev, addr, to, &repr);
}
