//! An IPv6 packet is for another host: this one is its router.

use std::net::Ipv6Addr;

use netspace_base::{Detail, DevId, DropReason, Pkt, PktType, Point};
use netspace_wire::ipv6::ext::{ChainError, ExtOption, OptionIter, UnknownAction, header_len};
use netspace_wire::ipv6::{self, HEADER_LEN, Ipv6Repr};
use netspace_wire::protocol;

use super::output;
use crate::icmp::{self, Error};
use crate::snmp::Counter;
use crate::{Netns, RouteKind, Step, Stop, Turn};

/// Passes a packet (network header in front) on to `via` by `dev`: hop-by-hop options, hop limit, scope, redirect, MTU.
pub(crate) fn forward(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    ip: &Ipv6Repr,
    via: Ipv6Addr,
    dev: DevId,
    mtu: u32,
) -> Step {
    if pkt.pkt_type != PktType::Host || ip.src.is_unspecified() {
        return Err(Stop::Drop(pkt, DropReason::Ip6SourceInvalid));
    }
    if ip.next_header == protocol::HOP_BY_HOP
        && let Err(error) = hop_by_hop(&mut pkt)
    {
        if let ChainError::Problem { code, pointer, .. } = error {
            icmp::send_error(ns, t, &pkt, Error::ParameterProblem { code, pointer });
        }
        return Err(Stop::Drop(pkt, DropReason::Ip6Extension));
    }
    if ip.hop_limit <= 1 {
        icmp::send_error(ns, t, &pkt, Error::TimeExceeded);
        return Err(Stop::Drop(pkt, DropReason::TtlExceeded));
    }
    // RFC 4291 §2.5.6: link-local addresses stay on their link; there a packet may turn.
    if dev != pkt.dev && (ip.src.is_unicast_link_local() || ip.dst.is_unicast_link_local()) {
        icmp::send_error(ns, t, &pkt, Error::BeyondScope);
        return Err(Stop::Drop(pkt, DropReason::ScopeExceeded));
    }
    if dev == pkt.dev {
        super::redirect::send(ns, t, &pkt, ip, via);
    }
    if output::wire_len(&pkt) > mtu as usize {
        ns.snmp.inc(Counter::Ip6InTooBigErrors);
        icmp::send_error(ns, t, &pkt, Error::TooBig { mtu });
        return Err(Stop::Drop(pkt, DropReason::TooBig));
    }
    let hop_limit = ipv6::decrement_hop_limit(pkt.data_mut());
    ns.snmp.inc(Counter::Ip6OutForwDatagrams);
    t.trace.with(t.now, ns.id, Point::Forward, &pkt, || Detail::Ttl(hop_limit));
    pkt.dev = dev;
    pkt.priority = 0;
    output::output(ns, t, pkt, RouteKind::Unicast, via)
}

/// The only options that a router looks at (RFC 8200 §4.3).
fn hop_by_hop(pkt: &mut Pkt) -> Result<(), ChainError> {
    if !pkt.pull_linear(HEADER_LEN + 2) {
        return Err(ChainError::Truncated);
    }
    let len = header_len(protocol::HOP_BY_HOP, &pkt.data()[HEADER_LEN..]).ok_or(ChainError::Truncated)?;
    if !pkt.pull_linear(HEADER_LEN + len) {
        return Err(ChainError::Truncated);
    }
    let options = &pkt.data()[HEADER_LEN + 2..HEADER_LEN + len];
    for option in OptionIter::new(options, HEADER_LEN + 2) {
        let Ok(ExtOption { kind, at, .. }) = option else { return Err(ChainError::Drop) };
        let known = matches!(kind, 0 | 1 | 5);
        match UnknownAction::of(kind) {
            _ if known => {}
            UnknownAction::Skip => {}
            UnknownAction::Drop => return Err(ChainError::Drop),
            UnknownAction::Report | UnknownAction::ReportUnlessMulticast => {
                return Err(ChainError::Problem { code: 2, pointer: at as u32, unless_multicast: false });
            }
        }
    }
    Ok(())
}
