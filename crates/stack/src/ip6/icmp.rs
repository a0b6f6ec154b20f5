//! ICMPv6 that comes in (RFC 4443, RFC 8201): errors, echo; neighbour discovery and MLD are handed on.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{ChecksumState, DropReason, Duration, Pkt, Point};
use netspace_wire::checksum;
use netspace_wire::ethernet::ETHERTYPE_IPV6;
use netspace_wire::icmpv6::{Icmpv6Repr, is_error, kind};
use netspace_wire::ipv6::ext::Chain;
use netspace_wire::ipv6::{Ipv6Repr, MTU_MIN};
use netspace_wire::protocol;

use super::message::count_out;
use super::source::is_local;
use crate::l4::{self, Arrival, Cast, IcmpError};
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::{Netns, RouteQuery, Step, Stop, Turn};

fn count_in(ns: &mut Netns, icmp_type: u8) {
    ns.snmp.inc(match icmp_type {
        kind::UNREACHABLE => Counter::Icmp6InDestUnreachs,
        kind::PACKET_TOO_BIG => Counter::Icmp6InPktTooBigs,
        kind::TIME_EXCEEDED => Counter::Icmp6InTimeExcds,
        kind::PARAMETER_PROBLEM => Counter::Icmp6InParmProblems,
        kind::ECHO_REQUEST => Counter::Icmp6InEchos,
        kind::ECHO_REPLY => Counter::Icmp6InEchoReplies,
        kind::MLD_QUERY => Counter::Icmp6InGroupMembQueries,
        kind::MLD_REPORT => Counter::Icmp6InGroupMembResponses,
        kind::MLD_DONE => Counter::Icmp6InGroupMembReductions,
        kind::ROUTER_SOLICITATION => Counter::Icmp6InRouterSolicits,
        kind::ROUTER_ADVERTISEMENT => Counter::Icmp6InRouterAdvertisements,
        kind::NEIGHBOR_SOLICITATION => Counter::Icmp6InNeighborSolicits,
        kind::NEIGHBOR_ADVERTISEMENT => Counter::Icmp6InNeighborAdvertisements,
        kind::REDIRECT => Counter::Icmp6InRedirects,
        kind::MLD_REPORT_V2 => Counter::Icmp6InMldv2Reports,
        _ => return,
    });
}

/// Takes an ICMPv6 message for this host (data = ICMPv6 header on).
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (arrival.src, arrival.dst) else {
        return Err(Stop::Drop(pkt, DropReason::IcmpMalformed));
    };
    ns.snmp.inc(Counter::Icmp6InMsgs);
    t.trace.at(t.now, ns.id, Point::IcmpReceive, &pkt);
    let pseudo = checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, pkt.len());
    if pkt.checksum == ChecksumState::None && !checksum::verify_pkt(&pkt, 0, pkt.len(), pseudo) {
        ns.snmp.inc(Counter::Icmp6InCsumErrors);
        return Err(Stop::Drop(pkt, DropReason::IcmpChecksum));
    }
    l4::raw_deliver(ns, t, &pkt, arrival);
    let linear = pkt.len().min(MTU_MIN);
    let parsed = if pkt.pull_linear(linear) { Icmpv6Repr::parse(pkt.data()).ok() } else { None };
    let Some((repr, header_len)) = parsed else { return Err(Stop::Drop(pkt, DropReason::IcmpMalformed)) };
    count_in(ns, repr.type_code().0);
    match repr {
        Icmpv6Repr::EchoRequest { ident, seq } => {
            let conf = &ns.sysctl.icmp6;
            let group = arrival.cast == Cast::Multicast;
            if conf.echo_ignore_all != 0 || (group && conf.echo_ignore_multicast != 0) {
                return Err(Stop::Drop(pkt, DropReason::IcmpIgnored));
            }
            echo(ns, t, &pkt, arrival, &Icmpv6Repr::EchoReply { ident, seq }, header_len);
            Ok(pkt)
        }
        Icmpv6Repr::EchoReply { .. } => {
            l4::echo_reply(ns, t, &pkt, arrival);
            Ok(pkt)
        }
        Icmpv6Repr::Other { kind: k, .. } => match k {
            kind::ROUTER_SOLICITATION..=kind::REDIRECT => {
                crate::neigh::ndp::receive::receive(ns, t, pkt, arrival)
            }
            kind::MLD_QUERY | kind::MLD_REPORT | kind::MLD_DONE | kind::MLD_REPORT_V2 => {
                super::mld::receive(ns, t, pkt, arrival)
            }
            _ if is_error(k) => error(ns, t, pkt, arrival, &repr, header_len),
            _ => Ok(pkt),
        },
        _ => error(ns, t, pkt, arrival, &repr, header_len),
    }
}

/// Answers with the request's data; the slices are shared, not copied.
fn echo(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival, reply: &Icmpv6Repr, header_len: usize) {
    let src = (arrival.cast == Cast::Unicast).then_some(arrival.dst);
    let dev = matches!(arrival.src, IpAddr::V6(a) if a.is_unicast_link_local()).then_some(arrival.dev);
    let query = RouteQuery { src, oif: dev, ..RouteQuery::to(arrival.src) };
    let Ok(route) = ns.route_out(t.now, &query) else { return };
    let mut out = t.new_pkt();
    reply.emit(out.push(reply.header_len()));
    for bytes in pkt.payload_from(header_len) {
        out.append_frag(bytes);
    }
    let pseudo = checksum::pseudo_header(route.src, arrival.src, protocol::ICMPV6, out.len());
    let sum = checksum::finish(checksum::sum_pkt(&out, 0) + pseudo);
    out.data_mut()[2..4].copy_from_slice(&sum.to_be_bytes());
    out.protocol = ETHERTYPE_IPV6;
    out.checksum = ChecksumState::Unnecessary;
    count_out(ns, kind::ECHO_REPLY);
    let mark = if ns.sysctl.net6.fwmark_reflect != 0 { pkt.mark } else { 0 };
    let info = SendInfo {
        src: Some(route.src),
        dev,
        tos: arrival.tos,
        mark,
        route: Some(route),
        ..SendInfo::new(arrival.src, protocol::ICMPV6)
    };
    let _ = super::send::send(ns, t, out, &info);
}

/// An error about a packet of ours: path MTU first, then the socket that sent it.
fn error(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: Box<Pkt>,
    arrival: &Arrival,
    repr: &Icmpv6Repr,
    header_len: usize,
) -> Step {
    let quoted = &pkt.data()[header_len..];
    let Ok((inner, _)) = Ipv6Repr::parse(quoted) else {
        return Err(Stop::Drop(pkt, DropReason::IcmpMalformed));
    };
    let Ok(chain) = Chain::parse(quoted) else { return Err(Stop::Drop(pkt, DropReason::IcmpMalformed)) };
    let (icmp_type, icmp_code) = repr.type_code();
    let info = match *repr {
        Icmpv6Repr::PacketTooBig { mtu } => {
            if is_local(ns, inner.src) {
                update_pmtu(ns, t, inner.dst, mtu);
            }
            mtu
        }
        Icmpv6Repr::ParameterProblem { pointer, .. } => pointer,
        _ => 0,
    };
    let error = IcmpError {
        src: inner.src.into(),
        dst: inner.dst.into(),
        protocol: chain.protocol,
        icmp_type,
        icmp_code,
        info,
        offender: arrival.src,
        dev: arrival.dev,
        ttl: arrival.ttl,
        tos: arrival.tos,
        quoted,
        transport: chain.offset.min(quoted.len()),
    };
    l4::icmp_error(ns, t, &error);
    Ok(pkt)
}

/// Notes a smaller path MTU (RFC 8201 §4); less than 1280 is not believed.
fn update_pmtu(ns: &mut Netns, t: &Turn, dst: Ipv6Addr, told: u32) {
    let mtu = told.max(MTU_MIN as u32);
    let current = ns.route_out(t.now, &RouteQuery::to(dst.into())).map(|r| r.mtu);
    if current.is_ok_and(|current| mtu < current) {
        let expires = t.now + Duration::from_secs(ns.sysctl.route6.mtu_expires as u64);
        ns.ip6.exceptions.update(t.now, dst, expires, |e| e.mtu = Some((mtu, false)));
        ns.routes_changed();
    }
}
