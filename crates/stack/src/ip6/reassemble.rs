//! An IPv6 fragment joins its packet (RFC 8200 §4.5, RFC 5722).

use netspace_base::{DropReason, Duration, Pkt, Point};
use netspace_wire::ecn::Ecn;
use netspace_wire::ipv6::ext::{Chain, FragmentRepr};
use netspace_wire::ipv6::{HEADER_LEN, Ipv6Repr};

use super::state::FragKey6;
use crate::icmp::{self, Error};
use crate::ip::reassemble::whole;
use crate::reassembly::Piece;
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// Adds a fragment (network header in front); the whole packet, when it was the last that was missing.
pub(crate) fn reassemble(
    ns: &mut Netns,
    t: &mut Turn,
    mut pkt: Box<Pkt>,
    ip: &Ipv6Repr,
    chain: &Chain,
    fragment: FragmentRepr,
) -> Step {
    ns.snmp.inc(Counter::Ip6ReasmReqds);
    t.trace.at(t.now, ns.id, Point::Reassemble, &pkt);
    let len = pkt.len() - chain.offset;
    // RFC 8200 §4.5: the pointer is at the payload length, or at the fragment offset.
    if fragment.more && (len == 0 || !len.is_multiple_of(8)) {
        icmp::send_error(ns, t, &pkt, Error::ParameterProblem { code: 0, pointer: 4 });
        return Err(Stop::Drop(pkt, DropReason::ReassemblyOverlap));
    }
    if usize::from(fragment.offset) + len > 0xffff {
        let pointer = chain.offset as u32 - 6;
        icmp::send_error(ns, t, &pkt, Error::ParameterProblem { code: 0, pointer });
        return Err(Stop::Drop(pkt, DropReason::ReassemblyOverlap));
    }
    if fragment.offset == 0 && !is_whole(&mut pkt, chain) {
        icmp::send_error(ns, t, &pkt, Error::ParameterProblem { code: 3, pointer: 0 });
        return Err(Stop::Drop(pkt, DropReason::Ip6Extension));
    }
    let key = FragKey6 { src: ip.src, dst: ip.dst, id: fragment.id, dev: pkt.dev };
    if !pkt.pull_linear(chain.offset) {
        return Err(Stop::Drop(pkt, DropReason::IpTruncated));
    }
    pkt.pull(chain.offset);
    let high_thresh = ns.sysctl.net6.ip6frag_high_thresh as usize;
    let deadline = t.now + Duration::from_secs(ns.sysctl.net6.ip6frag_time as u64);
    let timers = &mut ns.timers;
    let ecn = Ecn::of(ip.traffic_class);
    let piece = Piece { offset: u32::from(fragment.offset), more: fragment.more, ecn, pkt };
    let joined =
        ns.ip6.reassembly.add(key, piece, high_thresh, || timers.set(deadline, TimerKey::Frag6(key)));
    let (pkt, ecn) = whole(ns, t, joined)?;
    ns.snmp.inc(Counter::Ip6ReasmOks);
    match rebuild(&pkt, ecn) {
        Some(whole) => Ok(whole),
        None => Err(Stop::Drop(pkt, DropReason::Ip6Extension)),
    }
}

/// Whether the first fragment holds all headers (RFC 8200 §4.5, RFC 7112).
fn is_whole(first: &mut Pkt, chain: &Chain) -> bool {
    if chain.first_fragment_is_whole(first.data()) {
        return true;
    }
    first.linearize();
    chain.first_fragment_is_whole(first.data())
}

/// The whole packet: the first fragment's headers without the fragment header, then all payload.
fn rebuild(first: &Pkt, ecn: Ecn) -> Option<Box<Pkt>> {
    let chain = Chain::parse(first.network_header()).ok()?;
    let (fragment, _) = chain.fragment?;
    let head_len = chain.unfragmentable_len;
    let mut head = first.network_header().get(..head_len)?.to_vec();
    head[chain.unfragmentable_next_at] = fragment.next_header;
    let payload_len = u16::try_from(head_len - HEADER_LEN + first.len()).ok()?;
    head[4..6].copy_from_slice(&payload_len.to_be_bytes());
    let (ip, _) = Ipv6Repr::parse(&head).ok()?;
    netspace_wire::ipv6::set_traffic_class(&mut head, ecn.on(ip.traffic_class));
    let mut out = Pkt::new(first.id);
    (out.dev, out.protocol, out.pkt_type) = (first.dev, first.protocol, first.pkt_type);
    (out.mark, out.hash, out.traced) = (first.mark, first.hash, first.traced);
    out.priority = first.priority;
    (out.checksum, out.received_at) = (first.checksum, first.received_at);
    out.frag_size = first.frag_size;
    out.append(&head);
    out.set_network_header();
    for bytes in first.payload_from(0) {
        out.append_frag(bytes);
    }
    Some(out)
}

/// Some fragments did not come in time: the sender is told if the first one did (RFC 8200 §4.5).
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, key: &FragKey6) {
    let tell = ns.ip6.reassembly.has_first(key);
    let pieces = ns.ip6.reassembly.remove(key);
    if let Some(first) = pieces.first().filter(|_| tell) {
        icmp::send_error(ns, t, first, Error::ReassemblyTime);
    }
    ns.snmp.inc(Counter::Ip6ReasmFails);
    let stop = ns.drop_together(t, pieces, DropReason::ReassemblyTimeout);
    ns.finish(t, Err(stop));
}
