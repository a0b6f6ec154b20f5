//! A segment becomes a packet.

use std::net::IpAddr;

use netspace_base::{Gso, GsoKind, Pkt};
use netspace_tcp::Segment;
use netspace_wire::tcp::TcpRepr;
use netspace_wire::{checksum, protocol};

use crate::sock::table::Tuple;
use crate::{RouteOut, Turn};

/// Bytes of a TCP header without options.
const TCP_HEADER: u32 = 20;
/// Least MSS that a path gives.
const MIN_PATH_MSS: u32 = 48;

/// The largest segment that fits a path.
pub(super) fn path_mss(route: &RouteOut, remote: IpAddr) -> u16 {
    let ip_header = if remote.is_ipv4() { 20 } else { 40 };
    // An IPv4 packet is 65535 bytes at most, whatever the loopback device could carry.
    route
        .mtu
        .min(u32::from(u16::MAX))
        .saturating_sub(ip_header + TCP_HEADER)
        .clamp(MIN_PATH_MSS, u32::from(u16::MAX)) as u16
}

/// A packet with a TCP header, its checksum still to be computed.
pub(super) fn packet(t: &mut Turn, tuple: &Tuple, segment: Segment) -> Box<Pkt> {
    let mut pkt = t.new_pkt();
    let payload_len = segment.payload_len();
    let header = TcpRepr {
        src_port: tuple.local_port,
        dst_port: tuple.remote_port,
        seq: segment.seq,
        ack: segment.ack,
        flags: segment.flags,
        window: segment.window,
        urgent: segment.urgent,
        options: segment.options,
    };
    for part in segment.payload {
        pkt.append_frag(part);
    }
    let header_len = header.header_len();
    header.emit(pkt.push(header_len));
    pkt.set_transport_header();
    if let Some(size) = segment.gso_size
        && payload_len > usize::from(size)
    {
        let kind = if segment.accurate_ecn { GsoKind::TcpAccurateEcn } else { GsoKind::Tcp };
        pkt.gso = Some(Gso { size, kind });
    }
    let pseudo = checksum::pseudo_header(tuple.local, tuple.remote, protocol::TCP, header_len + payload_len);
    checksum::set_partial(&mut pkt, protocol::TCP, pseudo);
    pkt
}
