//! An IPv4 packet is cut into fragments that fit the link (RFC 791 §3.2).

use netspace_base::{Bytes, DropReason, Pkt};
use netspace_wire::checksum::fill_checksum;
use netspace_wire::ipv4::Ipv4Repr;
use smallvec::SmallVec;

use crate::icmp::Error;
use crate::neigh::{To, resolve};
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, Turn};

/// Cuts a packet (network header in front) and sends each fragment; one with DF ends here.
pub(crate) fn fragment(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, mtu: u32, to: To) -> Step {
    let Ok((ip, header_len)) = Ipv4Repr::parse_quoted(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::FragmentFailed));
    };
    let room = (mtu as usize).saturating_sub(header_len) & !7;
    if ip.dont_fragment || room == 0 {
        return ns.refuse_later(pkt, Error::TooBig { mtu }, DropReason::FragmentFailed);
    }
    // A fragment that ends beyond the longest packet: what is cut from there on has no place in the offset field.
    let len = pkt.len() - header_len;
    if usize::from(ip.fragment_offset) + len > 0xffff {
        return Err(Stop::Drop(pkt, DropReason::FragmentFailed));
    }
    fill_checksum(&mut pkt);
    let payload = pkt.payload_from(header_len);
    let later_options = ip.options.for_later_fragments();
    for at in (0..len).step_by(room) {
        let piece = room.min(len - at);
        let mut part = ip;
        part.fragment_offset += at as u16;
        part.more_fragments |= at + piece < len;
        if at > 0 {
            part.options = later_options;
        }
        part.total_len = (part.header_len() + piece) as u16;
        let fragment = build(t, &pkt, &part, slice(&payload, at, piece));
        ns.snmp.inc(Counter::IpFragCreates);
        let step = resolve::output(ns, t, fragment, to);
        ns.finish(t, step);
    }
    ns.snmp.inc(Counter::IpFragOks);
    // The whole has become its fragments, each counted as created.
    t.ledger.created -= 1;
    Err(Stop::Taken)
}

fn build(t: &mut Turn, whole: &Pkt, ip: &Ipv4Repr, payload: SmallVec<[Bytes; 2]>) -> Box<Pkt> {
    t.ledger.created += 1;
    let mut out = Pkt::new(whole.id);
    (out.dev, out.protocol, out.pkt_type) = (whole.dev, whole.protocol, whole.pkt_type);
    (out.mark, out.priority, out.traced) = (whole.mark, whole.priority, whole.traced);
    (out.checksum, out.hash) = (whole.checksum, whole.hash);
    out.set_transport_header();
    ip.emit(out.push(ip.header_len()));
    out.set_network_header();
    for bytes in payload {
        out.append_frag(bytes);
    }
    out
}

/// `len` bytes from `at` of bytes that lie in slices.
pub(crate) fn slice(parts: &[Bytes], at: usize, len: usize) -> SmallVec<[Bytes; 2]> {
    let (mut skip, mut left) = (at, len);
    let mut out = SmallVec::new();
    for part in parts {
        if left == 0 {
            break;
        }
        if skip >= part.len() {
            skip -= part.len();
            continue;
        }
        let take = left.min(part.len() - skip);
        out.push(part.slice(skip..skip + take));
        left -= take;
        skip = 0;
    }
    out
}
