//! Packets for the tests, built from representations.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_base::{Bytes, ChecksumState, Pkt, PktId};
use netspace_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetRepr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions, TcpRepr};
use netspace_wire::udp::UdpRepr;
use netspace_wire::{MacAddr, checksum, protocol};

pub const CLIENT4: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
pub const SERVER4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

pub fn client6() -> Ipv6Addr {
    "fd00::1:2".parse().unwrap()
}

pub fn server6() -> Ipv6Addr {
    "fd00::2:2".parse().unwrap()
}

/// A packet whose linear area is empty and whose payload lies in slices of 1000 bytes.
pub fn payload(len: usize) -> Box<Pkt> {
    let bytes: Vec<u8> = (0..len).map(|i| (i * 31 + i / 256) as u8).collect();
    let bytes = Bytes::from(bytes);
    let mut pkt = Pkt::new(PktId(7));
    for at in (0..len).step_by(1000) {
        pkt.append_frag(bytes.slice(at..len.min(at + 1000)));
    }
    pkt
}

pub fn tcp_header(flags: TcpFlags) -> TcpRepr {
    TcpRepr {
        src_port: 49_500,
        dst_port: 80,
        seq: SeqNum(u32::MAX - 1000),
        ack: SeqNum(5000),
        flags,
        window: 501,
        urgent: 0,
        options: TcpOptions { timestamps: Some((1, 2)), ..TcpOptions::default() },
    }
}

pub fn udp(pkt: &mut Pkt) {
    let repr = UdpRepr::new(5000, 53, pkt.len());
    repr.emit(pkt.push(repr.header_len()));
}

pub fn tcp(pkt: &mut Pkt, flags: TcpFlags) {
    let repr = tcp_header(flags);
    repr.emit(pkt.push(repr.header_len()));
}

/// Puts IPv4 in front, its transport checksum partial.
pub fn ip4(pkt: &mut Pkt, proto: u8) {
    pkt.set_transport_header();
    let mut repr = Ipv4Repr::new(CLIENT4, SERVER4, proto, pkt.len());
    repr.id = 0xfffe;
    checksum::set_partial(pkt, proto, repr.pseudo_sum(pkt.len()));
    repr.emit(pkt.push(repr.header_len()));
    pkt.set_network_header();
    pkt.protocol = ETHERTYPE_IPV4;
}

/// Puts IPv6 in front, its transport checksum partial.
pub fn ip6(pkt: &mut Pkt, proto: u8) {
    pkt.set_transport_header();
    let repr = Ipv6Repr::new(client6(), server6(), proto, pkt.len());
    checksum::set_partial(pkt, proto, repr.pseudo_sum(proto, pkt.len()));
    repr.emit(pkt.push(repr.header_len()));
    pkt.set_network_header();
    pkt.protocol = ETHERTYPE_IPV6;
}

pub fn ethernet(pkt: &mut Pkt) {
    let (dst, src) = (MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]));
    let repr = EthernetRepr { dst, src, ethertype: pkt.protocol };
    repr.emit(pkt.push(repr.header_len()));
}

/// The whole packet's bytes, checksums real.
pub fn wire_bytes(mut pkt: Box<Pkt>) -> Vec<u8> {
    checksum::fill_checksum(&mut pkt);
    assert_ne!(pkt.checksum, ChecksumState::Partial);
    pkt.copy_range(0, pkt.len())
}

/// Whole frames (Ethernet first) of many kinds.
pub fn frames() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for v6 in [false, true] {
        for (proto, len) in [(protocol::TCP, 100), (protocol::TCP, 0), (protocol::UDP, 33)] {
            let mut pkt = payload(len);
            if proto == protocol::TCP {
                tcp(&mut pkt, TcpFlags::ACK | TcpFlags::PSH);
            } else {
                udp(&mut pkt);
            }
            if v6 {
                ip6(&mut pkt, proto);
            } else {
                ip4(&mut pkt, proto);
            }
            ethernet(&mut pkt);
            out.push(wire_bytes(pkt));
        }
    }
    out
}
