//! An IPv6 packet is cut into fragments by its source (RFC 8200 §4.5).

use netspace_base::{Bytes, DropReason, Pkt};
use netspace_wire::checksum::fill_checksum;
use netspace_wire::ipv6::HEADER_LEN;
use netspace_wire::ipv6::ext::{Chain, FRAGMENT_HEADER_LEN, FragmentRepr};
use netspace_wire::protocol;
use smallvec::SmallVec;

use crate::ip::fragment::slice;
use crate::neigh::{To, resolve};
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, Turn};

/// Cuts a packet (network header in front) and sends each fragment.
pub(crate) fn fragment(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, mtu: u32, to: To) -> Step {
    let usual = pkt.len().min(256);
    let _ = pkt.pull_linear(usual);
    let chain = match Chain::parse(pkt.data()) {
        Ok(chain) if chain.fragment.is_none() => chain,
        _ => return Err(Stop::Drop(pkt, DropReason::FragmentFailed)),
    };
    let head_len = chain.unfragmentable_len;
    let room = (mtu as usize).saturating_sub(head_len + FRAGMENT_HEADER_LEN) & !7;
    if room == 0 {
        return Err(Stop::Drop(pkt, DropReason::FragmentFailed));
    }
    fill_checksum(&mut pkt);
    let mut head = pkt.data()[..head_len].to_vec();
    let next_header = std::mem::replace(&mut head[chain.unfragmentable_next_at], protocol::FRAGMENT);
    let payload = pkt.payload_from(head_len);
    let (len, id) = (pkt.len() - head_len, ns.ip6.ident());
    for at in (0..len).step_by(room) {
        let piece = room.min(len - at);
        let part = FragmentRepr { next_header, offset: at as u16, more: at + piece < len, id };
        let fragment = build(t, &pkt, &head, &part, slice(&payload, at, piece), piece);
        ns.snmp.inc(Counter::Ip6FragCreates);
        ns.snmp.inc(Counter::Ip6OutTransmits);
        ns.snmp.add(Counter::Ip6OutOctets, fragment.len() as u64);
        let step = resolve::output(ns, t, fragment, to);
        ns.finish(t, step);
    }
    ns.snmp.inc(Counter::Ip6FragOks);
    // The whole has become its fragments, each counted as created.
    t.ledger.created -= 1;
    Err(Stop::Taken)
}

fn build(
    t: &mut Turn,
    whole: &Pkt,
    head: &[u8],
    part: &FragmentRepr,
    payload: SmallVec<[Bytes; 2]>,
    payload_len: usize,
) -> Box<Pkt> {
    t.ledger.created += 1;
    let mut out = Pkt::new(whole.id);
    (out.dev, out.protocol, out.pkt_type) = (whole.dev, whole.protocol, whole.pkt_type);
    (out.mark, out.priority, out.traced) = (whole.mark, whole.priority, whole.traced);
    (out.checksum, out.hash) = (whole.checksum, whole.hash);
    out.set_transport_header();
    let header = out.push(head.len() + FRAGMENT_HEADER_LEN);
    header[..head.len()].copy_from_slice(head);
    part.emit(&mut header[head.len()..]);
    let ip_payload = (head.len() - HEADER_LEN + FRAGMENT_HEADER_LEN + payload_len) as u16;
    header[4..6].copy_from_slice(&ip_payload.to_be_bytes());
    out.set_network_header();
    for bytes in payload {
        out.append_frag(bytes);
    }
    out
}
