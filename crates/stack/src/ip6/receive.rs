//! An IPv6 packet comes in: its header is checked, its way decided.

use netspace_base::{Detail, DropReason, Pkt, PktType, Point};
use netspace_wire::ecn::Ecn;
use netspace_wire::ipv6::{HEADER_LEN, Ipv6Repr};
use netspace_wire::protocol;

use super::route::route_in_cached;
use super::state::RouteIn;
use crate::dev::Device;
use crate::icmp;
use crate::ip::receive::{count_ecn, mark_transport};
use crate::l4::Cast;
use crate::route::Refusal;
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, Turn};

/// By ECN field: not capable, ECT(1), ECT(0), CE.
const ECN_COUNTERS: [Counter; 4] =
    [Counter::Ip6InNoEctPkts, Counter::Ip6InEct1Pkts, Counter::Ip6InEct0Pkts, Counter::Ip6InCePkts];

/// Takes a packet (network header in front): header, route; then deliver or forward.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>) -> Step {
    ns.snmp.inc(Counter::Ip6InReceives);
    ns.snmp.add(Counter::Ip6InOctets, pkt.len() as u64);
    t.trace.at(t.now, ns.id, Point::IpReceive, &pkt);
    if !ns.dev.get(pkt.dev).is_some_and(Device::has_ipv6) {
        return Err(Stop::Drop(pkt, DropReason::Ip6Disabled));
    }
    if !pkt.pull_linear(HEADER_LEN) {
        return Err(Stop::Drop(pkt, DropReason::IpTruncated));
    }
    let Ok((ip, _)) = Ipv6Repr::parse(pkt.data()) else { return Err(Stop::Drop(pkt, DropReason::Ip6Header)) };
    let len = HEADER_LEN + usize::from(ip.payload_len);
    // Jumbograms (length 0 with a jumbo option) are not taken.
    if len > pkt.len() || (ip.payload_len == 0 && ip.next_header == protocol::HOP_BY_HOP) {
        return Err(Stop::Drop(pkt, DropReason::IpTruncated));
    }
    pkt.truncate(len);
    if pkt.gso.is_some() {
        mark_transport(&mut pkt, HEADER_LEN);
    }
    count_ecn(ns, &pkt, Ecn::of(ip.traffic_class), ECN_COUNTERS);
    // RFC 4443 and Linux: a unicast packet must not have come in a group's frame where that is asked for.
    let group_frame = matches!(pkt.pkt_type, PktType::Multicast | PktType::Broadcast);
    if group_frame && !ip.dst.is_multicast() && drops_unicast_in_group_frames(ns, &pkt) {
        return Err(Stop::Drop(pkt, DropReason::IpDestInvalid));
    }
    let route = route_in_cached(ns, t.now, &pkt, &ip);
    t.trace.with(t.now, ns.id, Point::RouteIn, &pkt, || match route {
        Ok(RouteIn::Forward { via, dev, .. }) => Detail::Route { via: via.into(), dev },
        _ => Detail::None,
    });
    match route {
        Ok(RouteIn::Forward { via, dev, mtu }) => super::forward::forward(ns, t, pkt, &ip, via, dev, mtu),
        Ok(RouteIn::Local) => super::deliver::deliver(ns, t, pkt, &ip, Cast::Unicast),
        Ok(RouteIn::Multicast) => {
            ns.snmp.inc(Counter::Ip6InMcastPkts);
            ns.snmp.add(Counter::Ip6InMcastOctets, len as u64);
            super::deliver::deliver(ns, t, pkt, &ip, Cast::Multicast)
        }
        Err(Refusal(reason, error)) => {
            if let Some(error) = error {
                icmp::send_error(ns, t, &pkt, error);
            }
            Err(Stop::Drop(pkt, reason))
        }
    }
}

fn drops_unicast_in_group_frames(ns: &Netns, pkt: &Pkt) -> bool {
    ns.sysctl.all6.drop_unicast_in_l2_multicast != 0
        || ns.dev.get(pkt.dev).is_some_and(|d| d.conf.v6.drop_unicast_in_l2_multicast != 0)
}
