//! ICMP that comes in (RFC 792, RFC 1122 §3.2.2, RFC 1191): errors, echo, timestamps, redirects.

use std::net::Ipv4Addr;

use netspace_base::{ChecksumState, DropReason, Duration, Pkt, Point};
use netspace_wire::checksum;
use netspace_wire::icmpv4::{Icmpv4Repr, TIMESTAMP_LEN, kind, unreachable};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::protocol;

use super::error::{ERROR_MAX, count_out};
use super::source::is_local;
use crate::l4::{self, Arrival, Cast, IcmpError};
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::{Netns, RouteQuery, Step, Stop, Turn};

fn count_in(ns: &mut Netns, icmp_type: u8) {
    let counter = match icmp_type {
        kind::ECHO_REPLY => Counter::IcmpInEchoReps,
        kind::UNREACHABLE => Counter::IcmpInDestUnreachs,
        kind::SOURCE_QUENCH => Counter::IcmpInSrcQuenchs,
        kind::REDIRECT => Counter::IcmpInRedirects,
        kind::ECHO_REQUEST => Counter::IcmpInEchos,
        kind::TIME_EXCEEDED => Counter::IcmpInTimeExcds,
        kind::PARAMETER_PROBLEM => Counter::IcmpInParmProbs,
        kind::TIMESTAMP => Counter::IcmpInTimestamps,
        kind::TIMESTAMP_REPLY => Counter::IcmpInTimestampReps,
        _ => return,
    };
    ns.snmp.inc(counter);
}

/// Takes an ICMP message for this host (data = ICMP header on).
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    l4::raw_deliver(ns, t, &pkt, arrival);
    ns.snmp.inc(Counter::IcmpInMsgs);
    t.trace.at(t.now, ns.id, Point::IcmpReceive, &pkt);
    if pkt.checksum == ChecksumState::None && !checksum::verify_pkt(&pkt, 0, pkt.len(), 0) {
        ns.snmp.inc(Counter::IcmpInCsumErrors);
        return Err(Stop::Drop(pkt, DropReason::IcmpChecksum));
    }
    let linear = pkt.len().min(ERROR_MAX);
    let parsed = if pkt.pull_linear(linear) { Icmpv4Repr::parse(pkt.data()).ok() } else { None };
    let Some((repr, header_len)) = parsed else { return Err(Stop::Drop(pkt, DropReason::IcmpMalformed)) };
    count_in(ns, repr.type_code().0);
    if ignores(ns, &repr, arrival.cast) {
        return Err(Stop::Drop(pkt, DropReason::IcmpIgnored));
    }
    match repr {
        Icmpv4Repr::EchoRequest { ident, seq } => {
            echo(ns, t, &pkt, arrival, &Icmpv4Repr::EchoReply { ident, seq }, header_len);
            Ok(pkt)
        }
        Icmpv4Repr::EchoReply { .. } => {
            l4::echo_reply(ns, t, &pkt, arrival);
            Ok(pkt)
        }
        Icmpv4Repr::Timestamp { reply: false, ident, seq, times: [origin, ..] } => {
            let now = (t.now.as_millis() % 86_400_000) as u32;
            let reply = Icmpv4Repr::Timestamp { reply: true, ident, seq, times: [origin, now, now] };
            echo(ns, t, &pkt, arrival, &reply, TIMESTAMP_LEN);
            Ok(pkt)
        }
        Icmpv4Repr::Redirect { gateway, .. } => redirect(ns, t, pkt, arrival, header_len, gateway),
        Icmpv4Repr::Unreachable { .. }
        | Icmpv4Repr::TimeExceeded { .. }
        | Icmpv4Repr::ParameterProblem { .. } => error(ns, t, pkt, arrival, &repr, header_len),
        _ => Ok(pkt),
    }
}

/// Whether a message is passed over: requests where they are not to be answered, all else that was sent to everybody, for
/// nothing but a request is meant for all (RFC 1122 §3.2.2.6, §3.2.2.8).
fn ignores(ns: &Netns, repr: &Icmpv4Repr, cast: Cast) -> bool {
    let (conf, to_all) = (&ns.sysctl.net4, cast != Cast::Unicast);
    match repr {
        Icmpv4Repr::EchoRequest { .. } => {
            conf.icmp_echo_ignore_all != 0 || (to_all && conf.icmp_echo_ignore_broadcasts != 0)
        }
        Icmpv4Repr::Timestamp { reply: false, .. } => to_all && conf.icmp_echo_ignore_broadcasts != 0,
        _ => to_all,
    }
}

/// Answers with the request's data; the slices are shared, not copied.
fn echo(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival, reply: &Icmpv4Repr, header_len: usize) {
    let mut out = t.new_pkt();
    reply.emit(out.push(reply.header_len()));
    for bytes in pkt.payload_from(header_len) {
        out.append_frag(bytes);
    }
    let sum = checksum::of_pkt(&out, 0);
    out.data_mut()[2..4].copy_from_slice(&sum.to_be_bytes());
    out.protocol = netspace_wire::ethernet::ETHERTYPE_IPV4;
    out.checksum = ChecksumState::Unnecessary;
    ns.snmp.inc(Counter::IcmpOutMsgs);
    count_out(ns, reply.type_code().0);
    let src = (arrival.cast == Cast::Unicast).then_some(arrival.dst);
    let mark = if ns.sysctl.net4.fwmark_reflect != 0 { pkt.mark } else { 0 };
    let info = SendInfo { src, tos: arrival.tos, mark, ..SendInfo::new(arrival.src, protocol::ICMP) };
    let _ = super::send::send(ns, t, out, &info);
}

/// An error about a packet of ours: path MTU first, then the socket that sent it.
fn error(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: Box<Pkt>,
    arrival: &Arrival,
    repr: &Icmpv4Repr,
    header_len: usize,
) -> Step {
    let quoted = &pkt.data()[header_len..];
    let Ok((inner, inner_len)) = Ipv4Repr::parse_quoted(quoted) else {
        return Err(Stop::Drop(pkt, DropReason::IcmpMalformed));
    };
    let (icmp_type, icmp_code) = repr.type_code();
    let info = match *repr {
        Icmpv4Repr::Unreachable { code: unreachable::FRAGMENTATION_NEEDED, mtu } => {
            if is_local(ns, inner.src) && ns.sockets.sysctls.no_pmtu_disc != 1 {
                update_pmtu(ns, t, &inner, u32::from(mtu))
            } else {
                u32::from(mtu)
            }
        }
        Icmpv4Repr::ParameterProblem { pointer, .. } => u32::from(pointer),
        _ => 0,
    };
    let error = IcmpError {
        src: inner.src.into(),
        dst: inner.dst.into(),
        protocol: inner.protocol,
        icmp_type,
        icmp_code,
        info,
        offender: arrival.src,
        dev: arrival.dev,
        ttl: arrival.ttl,
        tos: arrival.tos,
        quoted,
        transport: inner_len,
    };
    l4::icmp_error(ns, t, &error);
    Ok(pkt)
}

/// Notes a smaller path MTU (RFC 1191 §6.3); routers that do not tell it get the next lower common one (§7.1).
fn update_pmtu(ns: &mut Netns, t: &Turn, inner: &Ipv4Repr, told: u32) -> u32 {
    const PLATEAUS: [u32; 10] = [32000, 17914, 8166, 4352, 2002, 1492, 576, 296, 216, 128];
    let len = u32::from(inner.total_len);
    let mtu = if told == 0 || told >= len && told > 0xfff0 {
        PLATEAUS.iter().copied().find(|&p| p < len).unwrap_or(68)
    } else {
        told
    };
    let floor = ns.sysctl.route4.min_pmtu as u32;
    let (mtu, low) = if mtu < floor { (floor, true) } else { (mtu, false) };
    let current = ns.route_out(t.now, &RouteQuery::to(inner.dst.into())).map(|r| r.mtu);
    if current.is_ok_and(|current| mtu < current || (low && mtu <= current)) {
        let expires = t.now + Duration::from_secs(ns.sysctl.route4.mtu_expires as u64);
        ns.ip.exceptions.update(t.now, inner.dst, expires, |e| e.mtu = Some((mtu, low)));
        ns.routes_changed();
    }
    mtu
}

/// Follows a redirect if it comes from the gateway in use and names a neighbour (RFC 1122 §3.2.2.2).
fn redirect(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: Box<Pkt>,
    arrival: &Arrival,
    header_len: usize,
    gateway: Ipv4Addr,
) -> Step {
    let Ok((inner, _)) = Ipv4Repr::parse_quoted(&pkt.data()[header_len..]) else {
        return Err(Stop::Drop(pkt, DropReason::IcmpMalformed));
    };
    let follow = ns.dev.get(arrival.dev).is_some_and(|device| {
        let (own, all) = (&device.conf.v4, &ns.sysctl.all4);
        let accepts = if own.forwarding != 0 {
            own.accept_redirects != 0 && all.accept_redirects != 0
        } else {
            own.accept_redirects != 0 || all.accept_redirects != 0
        };
        let on_link = device.addrs4.iter().any(|a| a.net().contains(&gateway) && a.addr != gateway);
        accepts && on_link && !gateway.is_multicast() && is_local(ns, inner.src)
    });
    let route = ns.route_out(t.now, &RouteQuery::to(inner.dst.into()));
    let from_gateway = route.is_ok_and(|r| r.via == arrival.src && r.dev == arrival.dev);
    if !follow || !from_gateway || is_local(ns, gateway) {
        return Err(Stop::Drop(pkt, DropReason::PolicyRedirect));
    }
    let expires = t.now + Duration::from_secs(300);
    ns.ip.exceptions.update(t.now, inner.dst, expires, |e| e.gateway = Some(gateway));
    ns.routes_changed();
    Ok(pkt)
}
