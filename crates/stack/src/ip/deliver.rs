//! An IPv4 packet is for this host: fragments are joined, then its protocol takes it.

use netspace_base::{Pkt, Point};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::protocol;

use crate::l4::{self, Arrival};
use crate::snmp::Counter;
use crate::{Netns, Step, Turn};

/// Takes a packet for this host (data = behind its header).
pub(crate) fn deliver(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    ip: &Ipv4Repr,
    arrival: &Arrival,
) -> Step {
    let mut arrival = *arrival;
    if ip.is_fragment() {
        pkt = super::reassemble::reassemble(ns, t, pkt, ip)?;
        // The whole may bear a mark that only one of its fragments had.
        arrival.tos = pkt.network_header().get(1).copied().unwrap_or(ip.tos);
    }
    ns.snmp.inc(Counter::IpInDelivers);
    t.trace.at(t.now, ns.id, Point::Deliver, &pkt);
    match arrival.protocol {
        protocol::ICMP => super::icmp::receive(ns, t, pkt, &arrival),
        protocol::IGMP => super::igmp::receive(ns, t, pkt, &arrival),
        _ => l4::deliver(ns, t, pkt, &arrival),
    }
}
