//! An IPv4 fragment joins its packet (RFC 791 §3.2, RFC 1122 §3.3.2).

use netspace_base::{DropReason, Duration, Pkt, Point};
use netspace_wire::ecn::Ecn;
use netspace_wire::ipv4::Ipv4Repr;

use super::state::FragKey4;
use crate::icmp::{self, Error};
use crate::reassembly::{Joined, Piece};
use crate::snmp::Counter;
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// Adds a fragment (data = payload, network header marked); the whole packet, when it was the last that was missing.
pub(crate) fn reassemble(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, ip: &Ipv4Repr) -> Step {
    ns.snmp.inc(Counter::IpReasmReqds);
    t.trace.at(t.now, ns.id, Point::Reassemble, &pkt);
    let len = pkt.len();
    let end = usize::from(ip.fragment_offset) + len;
    if len == 0 || end > 0xffff - 20 || (ip.more_fragments && !len.is_multiple_of(8)) {
        return Err(Stop::Drop(pkt, DropReason::ReassemblyOverlap));
    }
    let key = FragKey4 { src: ip.src, dst: ip.dst, protocol: ip.protocol, id: ip.id, dev: pkt.dev };
    let high_thresh = ns.sysctl.net4.ipfrag_high_thresh as usize;
    let deadline = t.now + Duration::from_secs(ns.sysctl.net4.ipfrag_time as u64);
    let timers = &mut ns.timers;
    let ecn = Ecn::of(ip.tos);
    let piece = Piece { offset: u32::from(ip.fragment_offset), more: ip.more_fragments, ecn, pkt };
    let joined = ns.ip.reassembly.add(key, piece, high_thresh, || timers.set(deadline, TimerKey::Frag4(key)));
    if matches!(joined, Joined::Overlap(..)) {
        ns.snmp.inc(Counter::IpExtReasmOverlaps);
    }
    let (mut pkt, ecn) = whole(ns, t, joined)?;
    ns.snmp.inc(Counter::IpReasmOks);
    rewrite_header(&mut pkt, ecn);
    Ok(pkt)
}

/// The whole packet with its ECN field, if the fragment made it so; for both families.
pub(crate) fn whole(ns: &mut Netns, t: &mut Turn, joined: Joined) -> Result<(Box<Pkt>, Ecn), Stop> {
    let (pieces, timer, reason) = match joined {
        Joined::Waiting => return Err(Stop::Taken),
        Joined::Duplicate(pkt) => return Err(Stop::Drop(pkt, DropReason::ReassemblyDuplicate)),
        Joined::NoMemory(pkt) => return Err(Stop::Drop(pkt, DropReason::ReassemblyMemory)),
        Joined::Overlap(pieces, timer) => (pieces, timer, DropReason::ReassemblyOverlap),
        Joined::MixedEcn(pieces, timer) => (pieces, timer, DropReason::ReassemblyEcn),
        Joined::Whole { pkt, others, timer, ecn } => {
            ns.timers.cancel(timer);
            t.ledger.delivered += others;
            return Ok((pkt, ecn));
        }
    };
    ns.timers.cancel(timer);
    Err(ns.drop_together(t, pieces, reason))
}

/// The whole packet's header: its length, no fragment, the ECN field that all fragments make (RFC 3168 §5.3).
fn rewrite_header(pkt: &mut Pkt, ecn: Ecn) {
    let back = pkt.since_network_header();
    let payload = pkt.len();
    pkt.unpull(back);
    if let Ok((mut ip, len)) = Ipv4Repr::parse_quoted(pkt.data()) {
        ip.fragment_offset = 0;
        ip.more_fragments = false;
        ip.total_len = (len + payload).min(0xffff) as u16;
        ip.tos = ecn.on(ip.tos);
        if ip.header_len() == len {
            ip.emit(&mut pkt.data_mut()[..len]);
        }
    }
    pkt.pull(back);
}

/// Some fragments did not come in time: the sender is told if the first one did (RFC 792, "time exceeded").
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, key: &FragKey4) {
    let tell = ns.ip.reassembly.has_first(key);
    let pieces = ns.ip.reassembly.remove(key);
    if let Some(first) = pieces.first().filter(|_| tell) {
        let mut quoted = first.clone();
        let back = quoted.since_network_header();
        quoted.unpull(back);
        icmp::send_error(ns, t, &quoted, Error::ReassemblyTime);
    }
    ns.snmp.inc(Counter::IpReasmFails);
    let stop = ns.drop_together(t, pieces, DropReason::ReassemblyTimeout);
    ns.finish(t, Err(stop));
}
