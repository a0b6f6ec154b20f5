//! ICMP (RFC 792, RFC 1122 §3.2.2, RFC 1191): errors sent and received, echo, timestamps, redirects.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{ChecksumState, DropReason, Duration, Pkt, PktType, Point};
use netspace_wire::checksum;
use netspace_wire::icmpv4::{
    HEADER_LEN, Icmpv4Repr, TIMESTAMP_LEN, fill_checksum, is_error, kind, unreachable,
};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::protocol;

use super::addr::is_local;
use crate::icmp::{Error, Limited, quote};
use crate::l4::{self, Arrival, Cast, IcmpError};
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::{Netns, RouteQuery, Step, Stop, Turn};

/// The longest error message, its IPv4 header included (RFC 1812 §4.3.2.3).
const ERROR_MAX: usize = 576;

// ---- Errors that are sent ------------------------------------------------------------------------------------------

/// Tells the sender of a packet about an error, if rules and rates allow it.
pub(crate) fn send_error(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, error: Error) {
    let Ok((ip, header_len)) = Ipv4Repr::parse_quoted(pkt.network_header()) else { return };
    if !may_be_answered(ns, pkt, &ip, header_len) {
        return;
    }
    let repr = message(error);
    let (icmp_type, icmp_code) = repr.type_code();
    let dst = IpAddr::V4(ip.src);
    let loopback = ns.dev.get(pkt.dev).is_some_and(crate::dev::Device::is_loopback) || is_local(ns, ip.src);
    let redirect_denied =
        matches!(error, Error::Redirect4 { .. }) && !ns.icmp.allow_redirect(t.now, &ns.sysctl, dst);
    if redirect_denied || (!loopback && limited(ns, t, dst, icmp_type, icmp_code)) {
        return;
    }
    let quoted = quote(pkt, ERROR_MAX - 20 - HEADER_LEN);
    let mut out = build(t, &repr, &quoted);
    ns.snmp.inc(Counter::IcmpOutMsgs);
    count_out(ns, icmp_type);
    out.priority = 7;
    let info = SendInfo {
        src: error_source(ns, pkt, &ip),
        tos: ip.tos & 0x1e | 0xc0,
        mark: if ns.sysctl.net4.fwmark_reflect != 0 { pkt.mark } else { 0 },
        ..SendInfo::new(dst, protocol::ICMP)
    };
    let _ = super::send(ns, t, out, &info);
}

/// Whether an error may be sent about this packet at all (RFC 1122 §3.2.2).
fn may_be_answered(ns: &Netns, pkt: &Pkt, ip: &Ipv4Repr, header_len: usize) -> bool {
    if !matches!(pkt.pkt_type, PktType::Host | PktType::Outgoing) || ip.fragment_offset != 0 {
        return false;
    }
    let no_host = |a: Ipv4Addr| a.is_multicast() || a.is_broadcast() || a.is_unspecified();
    if no_host(ip.dst) || no_host(ip.src) || is_broadcast(ns, ip.dst) {
        return false;
    }
    if ip.protocol != protocol::ICMP {
        return true;
    }
    let first = pkt.network_header().get(header_len).copied().or_else(|| pkt.frags().first().map(|f| f[0]));
    first.is_some_and(|kind| !is_error(kind) && kind <= 18)
}

/// Whether an address is the broadcast address of one of our subnets.
fn is_broadcast(ns: &Netns, addr: Ipv4Addr) -> bool {
    let query = netspace_fib::Query::to(addr);
    let found = ns.fib4.lookup_in(netspace_fib::TABLE_LOCAL, &query, |_, _| Some(0));
    found.is_some_and(|(route, _)| route.kind == netspace_fib::Kind::Broadcast)
}

fn message(error: Error) -> Icmpv4Repr {
    let code = |code| Icmpv4Repr::Unreachable { code, mtu: 0 };
    match error {
        Error::NetUnreachable => code(unreachable::NET),
        Error::HostUnreachable | Error::BeyondScope => code(unreachable::HOST),
        Error::ProtocolUnreachable => code(unreachable::PROTOCOL),
        Error::PortUnreachable => code(unreachable::PORT),
        Error::Prohibited => code(unreachable::ADMIN_PROHIBITED),
        Error::TooBig { mtu } => {
            Icmpv4Repr::Unreachable { code: unreachable::FRAGMENTATION_NEEDED, mtu: mtu.min(0xffff) as u16 }
        }
        Error::TimeExceeded => Icmpv4Repr::TimeExceeded { code: 0 },
        Error::ReassemblyTime => Icmpv4Repr::TimeExceeded { code: 1 },
        Error::ParameterProblem { code, pointer } => {
            Icmpv4Repr::ParameterProblem { code, pointer: pointer as u8 }
        }
        Error::Redirect4 { gateway } => Icmpv4Repr::Redirect { code: 1, gateway },
    }
}

/// Whether rates forbid it. "Fragmentation needed" is never held back: path-MTU discovery lives on it.
fn limited(ns: &mut Netns, t: &Turn, dst: IpAddr, icmp_type: u8, icmp_code: u8) -> bool {
    let conf = &ns.sysctl.net4;
    let exempt = icmp_type == kind::UNREACHABLE && icmp_code == unreachable::FRAGMENTATION_NEEDED;
    if exempt || conf.icmp_ratemask & (1 << icmp_type) == 0 {
        return false;
    }
    let interval = Duration::from_millis(conf.icmp_ratelimit as u64);
    match ns.icmp.allow(t.now, &ns.sysctl, dst, interval) {
        Ok(()) => false,
        Err(Limited::Global) => {
            ns.snmp.inc(Counter::IcmpOutRateLimitGlobal);
            true
        }
        Err(Limited::Host) => {
            ns.snmp.inc(Counter::IcmpOutRateLimitHost);
            true
        }
    }
}

/// The source of an error: the address the packet was for, if it is ours; else what the route back chooses, or the
/// receiving device's address where that is asked for.
fn error_source(ns: &Netns, pkt: &Pkt, ip: &Ipv4Repr) -> Option<IpAddr> {
    if is_local(ns, ip.dst) {
        return Some(ip.dst.into());
    }
    let inbound = ns.sysctl.net4.icmp_errors_use_inbound_ifaddr != 0 && pkt.pkt_type == PktType::Host;
    let device = ns.dev.get(pkt.dev).filter(|_| inbound)?;
    device.addrs4.first().map(|a| a.addr.into())
}

/// A message: header, rest, checksum.
fn build(t: &mut Turn, repr: &Icmpv4Repr, rest: &[u8]) -> Box<Pkt> {
    let mut pkt = t.new_pkt();
    let header_len = repr.header_len();
    let mut bytes = vec![0; header_len];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(rest);
    fill_checksum(&mut bytes);
    pkt.append(&bytes);
    pkt.protocol = netspace_wire::ethernet::ETHERTYPE_IPV4;
    pkt.checksum = ChecksumState::Unnecessary;
    pkt
}

fn count_out(ns: &mut Netns, icmp_type: u8) {
    let counter = match icmp_type {
        kind::ECHO_REPLY => Counter::IcmpOutEchoReps,
        kind::UNREACHABLE => Counter::IcmpOutDestUnreachs,
        kind::REDIRECT => Counter::IcmpOutRedirects,
        kind::ECHO_REQUEST => Counter::IcmpOutEchos,
        kind::TIME_EXCEEDED => Counter::IcmpOutTimeExcds,
        kind::PARAMETER_PROBLEM => Counter::IcmpOutParmProbs,
        kind::TIMESTAMP => Counter::IcmpOutTimestamps,
        kind::TIMESTAMP_REPLY => Counter::IcmpOutTimestampReps,
        _ => return,
    };
    ns.snmp.inc(counter);
}

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

// ---- Messages that come in -----------------------------------------------------------------------------------------

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
    let ignores_groups = ns.sysctl.net4.icmp_echo_ignore_broadcasts != 0 && arrival.cast != Cast::Unicast;
    match repr {
        Icmpv4Repr::EchoRequest { .. } | Icmpv4Repr::Timestamp { reply: false, .. }
            if ignores_groups || ns.sysctl.net4.icmp_echo_ignore_all != 0 =>
        {
            Err(Stop::Drop(pkt, DropReason::IcmpIgnored))
        }
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
    let _ = super::send(ns, t, out, &info);
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
