//! An IPv6 packet leaves: its next hop's Ethernet address. It fits: only the source fragments.

use std::net::Ipv6Addr;

use netspace_base::Pkt;
use netspace_wire::MacAddr;

use crate::neigh::{To, resolve};
use crate::snmp::Counter;
use crate::{Netns, RouteKind, Step, Turn};

pub(crate) use crate::ip::output::wire_len;

/// Sends a packet (network header in front, `pkt.dev` the device) to the next hop `via`.
pub(crate) fn output(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, kind: RouteKind, via: Ipv6Addr) -> Step {
    ns.snmp.inc(Counter::Ip6OutTransmits);
    ns.snmp.add(Counter::Ip6OutOctets, pkt.len() as u64);
    resolve::output(ns, t, pkt, next_hop(kind, via))
}

/// Whom a packet goes to on the link.
pub(crate) const fn next_hop(kind: RouteKind, via: Ipv6Addr) -> To {
    match kind {
        RouteKind::Multicast => To::Mac(MacAddr::multicast_v6(via)),
        RouteKind::Unicast | RouteKind::Local | RouteKind::Broadcast => To::Hop(std::net::IpAddr::V6(via)),
    }
}
