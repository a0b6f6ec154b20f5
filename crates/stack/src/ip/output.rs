//! An IPv4 packet leaves: fragments if it must, then its next hop's Ethernet address.

use std::net::Ipv4Addr;

use netspace_base::{GsoKind, Pkt, Point};
use netspace_wire::MacAddr;

use crate::neigh::{To, resolve};
use crate::snmp::Counter;
use crate::{Netns, RouteKind, Step, Turn};

/// Sends a packet (network header in front, `pkt.dev` the device) to the next hop `via`.
pub(crate) fn output(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: Box<Pkt>,
    kind: RouteKind,
    via: Ipv4Addr,
    mtu: u32,
) -> Step {
    let to = match kind {
        RouteKind::Broadcast => To::Mac(MacAddr::BROADCAST),
        RouteKind::Multicast => To::Mac(MacAddr::multicast_v4(via)),
        RouteKind::Unicast | RouteKind::Local => To::Hop(via.into()),
    };
    ns.snmp.inc(Counter::IpOutTransmits);
    ns.snmp.add(Counter::IpExtOutOctets, pkt.len() as u64);
    if wire_len(&pkt) <= mtu as usize {
        return resolve::output(ns, t, pkt, to);
    }
    t.trace.at(t.now, ns.id, Point::Fragment, &pkt);
    super::fragment::fragment(ns, t, pkt, mtu, to)
}

/// How many packets this one becomes on the wire: a large segment counts as its pieces.
pub(crate) fn wire_packets(pkt: &Pkt) -> u64 {
    let Some(gso) = pkt.gso else { return 1 };
    let headers = wire_len(pkt) - usize::from(gso.size);
    pkt.len().saturating_sub(headers).div_ceil(usize::from(gso.size.max(1))).max(1) as u64
}

/// The length of the largest IP packet that this one becomes on the wire: a large segment's pieces count, not its whole.
pub(crate) fn wire_len(pkt: &Pkt) -> usize {
    let Some(gso) = pkt.gso else { return pkt.len() };
    let transport = match gso.kind {
        GsoKind::Tcp | GsoKind::TcpAccurateEcn => {
            pkt.transport_header().get(12).map_or(20, |offset| usize::from(offset >> 4) * 4)
        }
        GsoKind::Udp => 8,
    };
    pkt.network_header_len() + transport + usize::from(gso.size)
}
