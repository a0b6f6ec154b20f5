//! ICMP errors that are sent (RFC 792, RFC 1122 §3.2.2, RFC 1812 §4.3).

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{ChecksumState, Duration, Pkt, PktType};
use netspace_wire::icmpv4::{HEADER_LEN, Icmpv4Repr, fill_checksum, is_error, kind, unreachable};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::protocol;

use super::source::is_local;
use crate::icmp::{Error, Limited, quote};
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::{Netns, Turn};

/// The longest error message, its IPv4 header included (RFC 1812 §4.3.2.3).
pub(super) const ERROR_MAX: usize = 576;

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
    let _ = super::send::send(ns, t, out, &info);
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

/// Counts a message that is sent.
pub(super) fn count_out(ns: &mut Netns, icmp_type: u8) {
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
