//! ICMPv6 (RFC 4443, RFC 8201): errors sent and received, echo; neighbour discovery and MLD are handed on.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{ChecksumState, DropReason, Duration, Pkt, PktType, Point};
use netspace_wire::checksum;
use netspace_wire::ethernet::ETHERTYPE_IPV6;
use netspace_wire::icmpv6::{HEADER_LEN, Icmpv6Repr, fill_checksum, is_error, kind, unreachable};
use netspace_wire::ipv6::ext::{Chain, FragmentRepr, header_len, is_extension};
use netspace_wire::ipv6::{Ipv6Repr, MTU_MIN};
use netspace_wire::protocol;

use super::addr::is_local;
use crate::icmp::{Error, Limited, quote};
use crate::l4::{self, Arrival, Cast, IcmpError};
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::{Netns, RouteQuery, Step, Stop, Turn};

// ---- Errors that are sent ------------------------------------------------------------------------------------------

/// Tells the sender of a packet about an error, if rules and rates allow it.
pub(crate) fn send_error(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, error: Error) {
    let Ok((ip, _)) = Ipv6Repr::parse(pkt.network_header()) else { return };
    let repr = match error {
        Error::NetUnreachable => Icmpv6Repr::Unreachable { code: unreachable::NO_ROUTE },
        Error::HostUnreachable => Icmpv6Repr::Unreachable { code: unreachable::ADDRESS },
        Error::PortUnreachable => Icmpv6Repr::Unreachable { code: unreachable::PORT },
        Error::Prohibited => Icmpv6Repr::Unreachable { code: unreachable::PROHIBITED },
        Error::BeyondScope => Icmpv6Repr::Unreachable { code: unreachable::BEYOND_SCOPE },
        Error::ProtocolUnreachable => {
            let at = Chain::parse(pkt.network_header()).map_or(6, |chain| chain.protocol_at);
            Icmpv6Repr::ParameterProblem { code: 1, pointer: at as u32 }
        }
        Error::TooBig { mtu } => Icmpv6Repr::PacketTooBig { mtu },
        Error::TimeExceeded => Icmpv6Repr::TimeExceeded { code: 0 },
        Error::ReassemblyTime => Icmpv6Repr::TimeExceeded { code: 1 },
        Error::ParameterProblem { code, pointer } => Icmpv6Repr::ParameterProblem { code, pointer },
        Error::Redirect4 { .. } => return,
    };
    // RFC 4443 §2.4 (e.3): packet too big may be about a group packet.
    let group_ok = matches!(error, Error::TooBig { .. });
    send(ns, t, pkt, &ip, &repr, group_ok);
}

/// An option that a group packet carried asks for an answer (RFC 4443 §2.4 (e.3), parameter problem code 2).
pub(crate) fn send_problem_to_group(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ip: &Ipv6Repr, pointer: u32) {
    send(ns, t, pkt, ip, &Icmpv6Repr::ParameterProblem { code: 2, pointer }, true);
}

fn send(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ip: &Ipv6Repr, repr: &Icmpv6Repr, group_ok: bool) {
    let to_host = matches!(pkt.pkt_type, PktType::Host | PktType::Outgoing);
    if (!group_ok && (!to_host || ip.dst.is_multicast())) || ip.src.is_unspecified() || ip.src.is_multicast()
    {
        return;
    }
    if is_about_error_or_later_fragment(pkt) {
        return;
    }
    let loopback = is_local(ns, ip.src);
    if !loopback && limited(ns, t, ip.src, repr) {
        return;
    }
    // For us: our address answers; for others: what the route back chooses.
    let src = is_local(ns, ip.dst).then_some(IpAddr::V6(ip.dst));
    let dev = ip.src.is_unicast_link_local().then_some(pkt.dev);
    let query = RouteQuery { src, oif: dev, ..RouteQuery::to(ip.src.into()) };
    let Ok(route) = ns.route_out(t.now, &query) else { return };
    let IpAddr::V6(source) = route.src else { return };
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(&quote(pkt, MTU_MIN - 40 - HEADER_LEN));
    fill_checksum(source, ip.src, &mut bytes);
    let out = message(t, &bytes);
    count_out(ns, repr.type_code().0);
    let info = SendInfo {
        src: Some(route.src),
        dev,
        route: Some(route),
        mark: if ns.sysctl.net6.fwmark_reflect != 0 { pkt.mark } else { 0 },
        ..SendInfo::new(ip.src.into(), protocol::ICMPV6)
    };
    let _ = super::send(ns, t, out, &info);
}

/// No errors about errors, redirects, or fragments other than the first (RFC 4443 §2.4 (e.1), (e.2)).
fn is_about_error_or_later_fragment(pkt: &Pkt) -> bool {
    let mut head = pkt.network_header().to_vec();
    for frag in pkt.frags() {
        let room = 128usize.saturating_sub(head.len());
        head.extend_from_slice(&frag[..frag.len().min(room)]);
    }
    // Not `Chain::parse`: what is wrong with a header is why an error is about to be sent.
    let (mut next, mut at) = (head.get(6).copied().unwrap_or(protocol::NO_NEXT), 40);
    while is_extension(next) {
        let Some(bytes) = head.get(at..).filter(|b| b.len() >= 8) else { return false };
        if next == protocol::FRAGMENT && FragmentRepr::parse(bytes).is_ok_and(|(f, _)| f.offset > 0) {
            return true;
        }
        at += header_len(next, bytes).unwrap_or(8);
        next = bytes[0];
    }
    next == protocol::ICMPV6 && head.get(at).is_none_or(|&icmp| is_error(icmp) || icmp == kind::REDIRECT)
}

/// Whether rates forbid it. "Packet too big" is never held back: path-MTU discovery lives on it.
fn limited(ns: &mut Netns, t: &Turn, dst: Ipv6Addr, repr: &Icmpv6Repr) -> bool {
    if matches!(repr, Icmpv6Repr::PacketTooBig { .. }) {
        return false;
    }
    // As on Linux, a destination behind a wide prefix stands for many hosts and may be told more often.
    let found = ns.fib6.lookup(&netspace_fib::Query::to(dst), |_, _| Some(0));
    let host_bits = found.map_or(0, |(route, _)| 128 - u32::from(route.prefix.prefix_len()));
    let interval = Duration::from_millis(ns.sysctl.icmp6.ratelimit as u64) / (1 << (host_bits / 32));
    let allowed = ns.icmp.allow(t.now, &ns.sysctl, dst.into(), interval);
    if allowed == Err(Limited::Host) || allowed == Err(Limited::Global) {
        ns.snmp.inc(Counter::Icmp6OutRateLimitHost);
    }
    allowed.is_err()
}

/// A message of ours, its checksum in place.
pub(crate) fn message(t: &mut Turn, bytes: &[u8]) -> Box<Pkt> {
    let mut pkt = t.new_pkt();
    pkt.append(bytes);
    pkt.protocol = ETHERTYPE_IPV6;
    pkt.checksum = ChecksumState::Unnecessary;
    pkt
}

/// Counts a message that is sent.
pub(crate) fn count_out(ns: &mut Netns, icmp_type: u8) {
    ns.snmp.inc(Counter::Icmp6OutMsgs);
    ns.snmp.inc(match icmp_type {
        kind::UNREACHABLE => Counter::Icmp6OutDestUnreachs,
        kind::PACKET_TOO_BIG => Counter::Icmp6OutPktTooBigs,
        kind::TIME_EXCEEDED => Counter::Icmp6OutTimeExcds,
        kind::PARAMETER_PROBLEM => Counter::Icmp6OutParmProblems,
        kind::ECHO_REQUEST => Counter::Icmp6OutEchos,
        kind::ECHO_REPLY => Counter::Icmp6OutEchoReplies,
        kind::MLD_QUERY => Counter::Icmp6OutGroupMembQueries,
        kind::MLD_REPORT => Counter::Icmp6OutGroupMembResponses,
        kind::MLD_DONE => Counter::Icmp6OutGroupMembReductions,
        kind::ROUTER_SOLICITATION => Counter::Icmp6OutRouterSolicits,
        kind::ROUTER_ADVERTISEMENT => Counter::Icmp6OutRouterAdvertisements,
        kind::NEIGHBOR_SOLICITATION => Counter::Icmp6OutNeighborSolicits,
        kind::NEIGHBOR_ADVERTISEMENT => Counter::Icmp6OutNeighborAdvertisements,
        kind::REDIRECT => Counter::Icmp6OutRedirects,
        kind::MLD_REPORT_V2 => Counter::Icmp6OutMldv2Reports,
        _ => return,
    });
}

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

// ---- Messages that come in -----------------------------------------------------------------------------------------

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
            kind::ROUTER_SOLICITATION..=kind::REDIRECT => crate::neigh::ndp::receive(ns, t, pkt, arrival),
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
    let _ = super::send(ns, t, out, &info);
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
