//! An IPv6 packet is for this host: extension headers, fragments, then its protocol takes it.

use std::net::IpAddr;

use netspace_base::{DevId, DropReason, Pkt, Point};
use netspace_wire::ipv6::ext::{Chain, ChainError, is_extension};
use netspace_wire::ipv6::{HEADER_LEN, Ipv6Repr, NEXT_HEADER_OFFSET};
use netspace_wire::protocol;

use crate::icmp::{self, Error};
use crate::l4::{self, Arrival, Cast};
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, Turn};

/// Bytes of headers that are looked at without moving more into the linear area.
const USUAL_HEADERS: usize = 128;

/// Takes a packet for this host (network header in front).
pub(crate) fn deliver(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, ip: &Ipv6Repr, cast: Cast) -> Step {
    let mut upper = upper_layer(ns, t, &mut pkt, ip, cast);
    let was_fragment = upper.is_ok_and(|c| c.fragment.is_some());
    if let Ok(chain) = upper
        && let Some((fragment, _)) = chain.fragment.filter(|(f, _)| !f.is_atomic())
    {
        pkt = super::reassemble::reassemble(ns, t, pkt, ip, &chain, fragment)?;
        upper = upper_layer(ns, t, &mut pkt, ip, cast);
        // A fragment within a reassembled packet is an attack, not a packet.
        if upper.is_ok_and(|c| c.fragment.is_some_and(|(f, _)| !f.is_atomic())) {
            return Err(Stop::Drop(pkt, DropReason::Ip6Extension));
        }
    }
    let Ok(chain) = upper else { return Err(Stop::Drop(pkt, DropReason::Ip6Extension)) };
    // A reassembled packet may bear a mark that only one of its fragments had.
    let traffic_class = netspace_wire::ipv6::traffic_class(pkt.network_header()).unwrap_or(ip.traffic_class);
    ns.snmp.inc(Counter::Ip6InDelivers);
    t.trace.at(t.now, ns.id, Point::Deliver, &pkt);
    let arrival = Arrival {
        src: IpAddr::V6(ip.src),
        dst: IpAddr::V6(ip.dst),
        local: IpAddr::V6(local_address(ns, &pkt, ip, cast)),
        protocol: chain.protocol,
        ttl: ip.hop_limit,
        tos: traffic_class,
        dev: receiving_device(ns, &pkt, ip, cast),
        cast,
    };
    if !pkt.pull_linear(chain.offset) {
        return Err(Stop::Drop(pkt, DropReason::IpTruncated));
    }
    pkt.pull(chain.offset);
    pkt.set_transport_header();
    if was_fragment && refuses_fragmented_ndp(ns, &pkt, chain.protocol) {
        return Err(Stop::Drop(pkt, DropReason::NdpInvalid));
    }
    match arrival.protocol {
        protocol::ICMPV6 => super::icmp::receive(ns, t, pkt, &arrival),
        protocol::NO_NEXT => Ok(pkt),
        _ => l4::deliver(ns, t, pkt, &arrival),
    }
}

/// Neighbour discovery in fragments could slip past filters (RFC 6980).
fn refuses_fragmented_ndp(ns: &Netns, pkt: &Pkt, upper: u8) -> bool {
    let suppressed = ns.dev.get(pkt.dev).is_some_and(|d| d.conf.v6.suppress_frag_ndisc != 0);
    let kind = pkt.data().first().copied().or_else(|| pkt.frags().first().map(|f| f[0]));
    suppressed && upper == protocol::ICMPV6 && kind.is_some_and(|k| (133..=137).contains(&k))
}

/// Walks the extension headers; refused ones are answered as they ask for.
fn upper_layer(
    ns: &mut Netns,
    t: &mut Turn,
    pkt: &mut Box<Pkt>,
    ip: &Ipv6Repr,
    cast: Cast,
) -> Result<Chain, ()> {
    let next = pkt.data()[NEXT_HEADER_OFFSET];
    if !is_extension(next) {
        return Ok(Chain {
            protocol: next,
            offset: HEADER_LEN,
            protocol_at: NEXT_HEADER_OFFSET,
            fragment: None,
            router_alert: None,
            unfragmentable_len: HEADER_LEN,
            unfragmentable_next_at: NEXT_HEADER_OFFSET,
        });
    }
    let usual = pkt.len().min(USUAL_HEADERS);
    let _ = pkt.pull_linear(usual);
    let mut parsed = Chain::parse(pkt.data());
    if parsed == Err(ChainError::Truncated) && !pkt.frags().is_empty() {
        pkt.linearize();
        parsed = Chain::parse(pkt.data());
    }
    parsed.map_err(|error| match error {
        ChainError::Problem { code, pointer, unless_multicast } => {
            if cast != Cast::Multicast {
                icmp::send_error(ns, t, pkt, Error::ParameterProblem { code, pointer });
            } else if !unless_multicast && code == 2 {
                super::error::send_problem_to_group(ns, t, pkt, ip, pointer);
            }
        }
        ChainError::Drop | ChainError::Truncated => {}
    })
}

/// The device that programs are told: a packet to an own address comes by loopback, and counts as received by the device
/// that has the address. Its scope and `IPV6_PKTINFO` say so, and a socket bound to that device takes it.
fn receiving_device(ns: &Netns, pkt: &Pkt, ip: &Ipv6Repr, cast: Cast) -> DevId {
    let looped = cast == Cast::Unicast && ns.dev.get(pkt.dev).is_some_and(crate::dev::Device::is_loopback);
    let owner = || ns.dev.iter().find(|device| device.addr6(ip.dst).is_some());
    if looped { owner().map_or(pkt.dev, |device| device.id) } else { pkt.dev }
}

/// The address of ours that the packet came to: for a group, one of the receiving device.
fn local_address(ns: &Netns, pkt: &Pkt, ip: &Ipv6Repr, cast: Cast) -> std::net::Ipv6Addr {
    if cast == Cast::Unicast {
        return ip.dst;
    }
    super::source::select_source(ns, pkt.dev, ip.src).unwrap_or(ip.dst)
}
