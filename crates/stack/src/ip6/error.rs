//! ICMPv6 errors that are sent (RFC 4443 §2.4, §3).

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{Duration, Pkt, PktType};
use netspace_wire::icmpv6::{HEADER_LEN, Icmpv6Repr, fill_checksum, is_error, kind, unreachable};
use netspace_wire::ipv6::ext::{Chain, FragmentRepr, header_len, is_extension};
use netspace_wire::ipv6::{Ipv6Repr, MTU_MIN};
use netspace_wire::protocol;

use super::message::{count_out, message};
use super::source::is_local;
use crate::icmp::{Error, Limited, quote};
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::{Netns, RouteQuery, Turn};

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
    send_about(ns, t, pkt, &ip, &repr, group_ok);
}

/// An option that a group packet carried asks for an answer (RFC 4443 §2.4 (e.3), parameter problem code 2).
pub(crate) fn send_problem_to_group(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ip: &Ipv6Repr, pointer: u32) {
    send_about(ns, t, pkt, ip, &Icmpv6Repr::ParameterProblem { code: 2, pointer }, true);
}

fn send_about(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ip: &Ipv6Repr, repr: &Icmpv6Repr, group_ok: bool) {
    let to_host = matches!(pkt.pkt_type, PktType::Host | PktType::Outgoing);
    if (!group_ok && (!to_host || ip.dst.is_multicast())) || ip.src.is_unspecified() || ip.src.is_multicast()
    {
        return;
    }
    if is_about_error(pkt) {
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
    let _ = super::send::send(ns, t, out, &info);
}

/// No errors about errors and redirects (RFC 4443 §2.4 (e.1), (e.2)). What a later fragment belongs to cannot be seen; unlike
/// IPv4, IPv6 has its sender told.
fn is_about_error(pkt: &Pkt) -> bool {
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
            return false;
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
