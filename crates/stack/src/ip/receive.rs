//! An IPv4 packet comes in: its header is checked, its way decided.

use std::net::IpAddr;

use netspace_base::{Detail, DropReason, Pkt, PktType, Point};
use netspace_wire::WireError;
use netspace_wire::ecn::Ecn;
use netspace_wire::ipv4::{HEADER_LEN, HEADER_LEN_MAX, Ipv4Repr};

use super::route::route_in_cached;
use super::state::RouteIn;
use crate::icmp::{self, Error};
use crate::l4::{Arrival, Cast};
use crate::route::Refusal;
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, Turn};

/// By ECN field: not capable, ECT(1), ECT(0), CE.
const ECN_COUNTERS: [Counter; 4] =
    [Counter::IpExtInNoEctPkts, Counter::IpExtInEct1Pkts, Counter::IpExtInEct0Pkts, Counter::IpExtInCePkts];

/// Takes a packet (network header in front): header, options, route; then deliver or forward.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>) -> Step {
    ns.snmp.inc(Counter::IpInReceives);
    ns.snmp.add(Counter::IpExtInOctets, pkt.len() as u64);
    t.trace.at(t.now, ns.id, Point::IpReceive, &pkt);
    let want = HEADER_LEN_MAX.min(pkt.len());
    if want < HEADER_LEN || !pkt.pull_linear(want) {
        return Err(Stop::Drop(pkt, DropReason::IpTruncated));
    }
    let (ip, header_len) = match Ipv4Repr::parse(pkt.data()) {
        Ok(parsed) => parsed,
        Err(error) => return refuse_header(ns, t, pkt, error),
    };
    if usize::from(ip.total_len) > pkt.len() {
        return Err(Stop::Drop(pkt, DropReason::IpTruncated));
    }
    pkt.truncate(ip.total_len.into());
    if pkt.gso.is_some() {
        mark_transport(&mut pkt, header_len);
    }
    count_ecn(ns, &pkt, Ecn::of(ip.tos), ECN_COUNTERS);
    if ip.options.source_route_pending() && !accepts_source_route(ns, &pkt) {
        return Err(Stop::Drop(pkt, DropReason::IpOptions));
    }
    let route = route_in_cached(ns, t.now, &pkt, &ip);
    t.trace.with(t.now, ns.id, Point::RouteIn, &pkt, || match route {
        Ok(RouteIn::Forward { via, dev, .. }) => Detail::Route { via: via.into(), dev },
        _ => Detail::None,
    });
    match route {
        Ok(RouteIn::Forward { via, dev, mtu }) => super::forward::forward(ns, t, pkt, &ip, via, dev, mtu),
        Ok(RouteIn::Local) => local(ns, t, pkt, &ip, header_len, Cast::Unicast),
        Ok(RouteIn::Broadcast) => {
            ns.snmp.inc(Counter::IpExtInBcastPkts);
            ns.snmp.add(Counter::IpExtInBcastOctets, u64::from(ip.total_len));
            local(ns, t, pkt, &ip, header_len, Cast::Broadcast)
        }
        Ok(RouteIn::Multicast) => {
            ns.snmp.inc(Counter::IpExtInMcastPkts);
            ns.snmp.add(Counter::IpExtInMcastOctets, u64::from(ip.total_len));
            local(ns, t, pkt, &ip, header_len, Cast::Multicast)
        }
        Err(Refusal(reason, error)) => {
            if let Some(error) = error {
                icmp::send_error(ns, t, &pkt, error);
            }
            Err(Stop::Drop(pkt, reason))
        }
    }
}

/// A header that does not parse, by what is wrong with it.
fn refuse_header(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, error: WireError) -> Step {
    match error {
        WireError::Checksum => {
            ns.snmp.inc(Counter::IpExtInCsumErrors);
            Err(Stop::Drop(pkt, DropReason::IpChecksum))
        }
        WireError::Option(at) => {
            icmp::send_error(ns, t, &pkt, Error::ParameterProblem { code: 0, pointer: u32::from(at) });
            Err(Stop::Drop(pkt, DropReason::IpOptions))
        }
        _ => Err(Stop::Drop(pkt, DropReason::IpHeader)),
    }
}

fn accepts_source_route(ns: &Netns, pkt: &Pkt) -> bool {
    ns.sysctl.all4.accept_source_route > 0
        && ns.dev.get(pkt.dev).is_some_and(|d| d.conf.v4.accept_source_route > 0)
}

/// Marks where the transport header starts, for those who must know how large a large segment's pieces are.
pub(crate) fn mark_transport(pkt: &mut Pkt, header_len: usize) {
    if pkt.pull_linear(header_len + 20) {
        pkt.pull(header_len);
        pkt.set_transport_header();
        pkt.unpull(header_len);
    }
}

/// Counts the ECN bits of what comes in (RFC 3168 §5), by packets as on the wire; `counters`: not capable, ECT(1), ECT(0), CE.
pub(crate) fn count_ecn(ns: &mut Netns, pkt: &Pkt, ecn: Ecn, counters: [Counter; 4]) {
    let [not_ect, ect1, ect0, ce] = counters;
    let counter = match ecn {
        Ecn::NotEct => not_ect,
        Ecn::Ect1 => ect1,
        Ecn::Ect0 => ect0,
        Ecn::Ce => ce,
    };
    ns.snmp.add(counter, crate::ip::output::wire_packets(pkt));
}

/// For this host: what the transport is told, then reassembly and delivery.
fn local(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    ip: &Ipv4Repr,
    header_len: usize,
    cast: Cast,
) -> Step {
    let device = ns.dev.get(pkt.dev);
    // A unicast packet in a group frame is somebody's trick (RFC 1122 §3.3.6).
    let group_frame = matches!(pkt.pkt_type, PktType::Multicast | PktType::Broadcast);
    if cast == Cast::Unicast
        && group_frame
        && (ns.sysctl.all4.drop_unicast_in_l2_multicast != 0
            || device.is_some_and(|d| d.conf.v4.drop_unicast_in_l2_multicast != 0))
    {
        return Err(Stop::Drop(pkt, DropReason::IpDestInvalid));
    }
    let own = device.and_then(|d| d.addrs4.first()).map(|a| a.addr);
    let arrival = Arrival {
        src: IpAddr::V4(ip.src),
        dst: IpAddr::V4(ip.dst),
        local: IpAddr::V4(if cast == Cast::Unicast { ip.dst } else { own.unwrap_or(ip.dst) }),
        protocol: ip.protocol,
        ttl: ip.ttl,
        tos: ip.tos,
        dev: pkt.dev,
        cast,
    };
    pkt.pull(header_len);
    pkt.set_transport_header();
    super::deliver::deliver(ns, t, pkt, ip, &arrival)
}
