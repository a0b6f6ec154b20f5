//! Segments that belong to no socket: resets, and ACKs of TIME-WAIT.

use netspace_base::{Detail, Point};
use netspace_tcp::Segment;
use netspace_wire::protocol;

use super::packet::packet;
use crate::l4::Arrival;
use crate::route::SendInfo;
use crate::snmp::Counter;
use crate::sock::net;
use crate::sock::table::Tuple;
use crate::{Netns, RouteQuery, Turn};

/// Answers a segment that no socket takes (RFC 9293 §3.10.7.1).
pub(super) fn reset(ns: &mut Netns, t: &mut Turn, tuple: &Tuple, segment: &Segment, arrival: &Arrival) {
    let Some(answer) = Segment::reset_for(segment) else { return };
    ns.snmp.inc(Counter::TcpOutRsts);
    answer_without_socket(ns, t, tuple, answer, arrival.tos);
}

/// Sends a segment that belongs to no socket: a reset, or an ACK of TIME-WAIT.
pub(super) fn answer_without_socket(ns: &mut Netns, t: &mut Turn, tuple: &Tuple, answer: Segment, tos: u8) {
    let query = RouteQuery {
        dst: tuple.remote,
        src: Some(tuple.local),
        oif: Some(tuple.scope).filter(|dev| dev.0 != 0),
        mark: 0,
        tos,
        hash: 0,
    };
    let Ok(route) = ns.route_out(t.now, &query) else { return };
    ns.snmp.inc(Counter::TcpOutSegs);
    let pkt = packet(t, tuple, answer);
    let ends = (tuple.local, tuple.remote);
    net::trace_made(ns, t, Point::TcpSend, &pkt, ends, protocol::TCP, Detail::None);
    let info = SendInfo {
        src: Some(tuple.local),
        tos: tos & 0xfc,
        df: true,
        dev: query.oif,
        multicast_loop: false,
        route: Some(route),
        ..SendInfo::new(tuple.remote, protocol::TCP)
    };
    // Nobody waits for it.
    let _lost = net::send(ns, t, pkt, &info);
}
