//! Packets as text, whole, cut short and malformed.

mod common;

use std::net::Ipv4Addr;

use common::{CLIENT4, SERVER4, client6, frames, ip4, ip6, payload, server6, tcp_header, udp, wire_bytes};
use netspace_base::{Pkt, PktId};
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use netspace_wire::icmpv4::{Icmpv4Repr, unreachable};
use netspace_wire::icmpv6::Icmpv6Repr;
use netspace_wire::igmp::{GroupRecord, IgmpRepr, RecordKind};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};
use netspace_wire::text::{Summarizer, link_summary, summary};
use netspace_wire::udplite::UdpLiteRepr;
use netspace_wire::{MacAddr, protocol};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

fn tcp_line(change: impl FnOnce(&mut netspace_wire::tcp::TcpRepr), len: usize) -> (String, Vec<u8>) {
    let mut repr = tcp_header(TcpFlags::ACK);
    repr.seq = SeqNum(1000);
    change(&mut repr);
    let mut pkt = payload(len);
    repr.emit(pkt.push(repr.header_len()));
    ip4(&mut pkt, protocol::TCP);
    let bytes = wire_bytes(pkt);
    (summary(ETHERTYPE_IPV4, &bytes), bytes)
}

#[test]
fn tcp_as_tcpdump_prints_it() {
    let (line, _) = tcp_line(
        |r| {
            r.flags = TcpFlags::SYN;
            let (mss, window_scale, timestamps) = (Some(1460), Some(7), Some((1, 0)));
            r.options =
                TcpOptions { mss, window_scale, timestamps, sack_permitted: true, ..TcpOptions::default() };
        },
        0,
    );
    assert_eq!(
        line,
        "IP 10.0.1.2.49500 > 10.0.2.2.80: Flags [S], seq 1000, win 501, \
         options [mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7], length 0"
    );
    let (line, _) = tcp_line(|r| r.options.sack.push((SeqNum(9), SeqNum(11))), 1448);
    assert_eq!(
        line,
        "IP 10.0.1.2.49500 > 10.0.2.2.80: Flags [.], seq 1000:2448, ack 5000, win 501, \
         options [nop,nop,TS val 1 ecr 2,nop,nop,sack 1 {9:11}], length 1448"
    );
}

#[test]
fn numbers_can_be_relative() {
    let mut summarizer = Summarizer::default();
    let (_, syn) = tcp_line(|r| r.flags = TcpFlags::SYN, 0);
    let (_, data) = tcp_line(|r| r.seq = SeqNum(1001), 10);
    assert!(summarizer.summary(ETHERTYPE_IPV4, &syn).contains("seq 1000,"));
    let line = summarizer.summary(ETHERTYPE_IPV4, &data);
    assert!(line.contains("seq 1:11, ack 1,"), "{line}");
}

#[test]
fn udp_and_fragments() {
    let mut pkt = payload(30);
    udp(&mut pkt);
    ip6(&mut pkt, protocol::UDP);
    assert_eq!(
        summary(ETHERTYPE_IPV6, &wire_bytes(pkt)),
        "IP6 fd00::1:2.5000 > fd00::2:2.53: UDP, length 30"
    );
    let mut repr = Ipv4Repr::new(CLIENT4, SERVER4, protocol::UDP, 20);
    (repr.fragment_offset, repr.id) = (1480, 7);
    let mut bytes = vec![0; 40];
    repr.emit(&mut bytes);
    let line = summary(ETHERTYPE_IPV4, &bytes);
    assert_eq!(line, "IP 10.0.1.2 > 10.0.2.2: udp fragment (id 7, bytes 1480-1500, last)");
}

#[test]
fn udplite_tells_its_coverage() {
    let line = |coverage: u16| {
        let mut pkt = payload(30);
        let repr = UdpLiteRepr { src_port: 5000, dst_port: 53, coverage };
        repr.emit(pkt.push(repr.header_len()));
        ip6(&mut pkt, protocol::UDPLITE);
        summary(ETHERTYPE_IPV6, &wire_bytes(pkt))
    };
    assert_eq!(line(12), "IP6 fd00::1:2.5000 > fd00::2:2.53: UDP-Lite, coverage 12, length 30");
    assert_eq!(line(0), "IP6 fd00::1:2.5000 > fd00::2:2.53: UDP-Lite, coverage 38, length 30");
    assert_eq!(line(39), "IP6 fd00::1:2.5000 > fd00::2:2.53: UDP-Lite, bad coverage 39");
}

#[test]
fn arp_and_ethernet() {
    let repr = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: MAC,
        sender_ip: CLIENT4,
        target_mac: MacAddr::ZERO,
        target_ip: SERVER4,
    };
    let mut bytes = [0; 28];
    repr.emit(&mut bytes);
    assert_eq!(summary(ETHERTYPE_ARP, &bytes), "ARP, Request who-has 10.0.2.2 tell 10.0.1.2");
    repr.reply(MAC).emit(&mut bytes);
    assert_eq!(summary(ETHERTYPE_ARP, &bytes), "ARP, Reply 10.0.2.2 is-at 02:00:00:00:00:09");
    assert_eq!(link_summary(&frames()[0]), "02:00:00:00:00:01 > 02:00:00:00:00:02");
    let tagged = [&frames()[2][..12], &[0x81, 0, 0, 5], &frames()[2][12..]].concat();
    assert_eq!(summary(0, &tagged), "vlan 5, IP 10.0.1.2.5000 > 10.0.2.2.53: UDP, length 33");
}

#[test]
fn icmp_errors_quote_what_they_are_about() {
    let mut quoted = payload(12);
    udp(&mut quoted);
    ip4(&mut quoted, protocol::UDP);
    let mut pkt = Pkt::from_slice(PktId(1), &wire_bytes(quoted)[..28]);
    let port = Icmpv4Repr::Unreachable { code: unreachable::PORT, mtu: 0 };
    port.emit(pkt.push(8));
    ip4(&mut pkt, protocol::ICMP);
    assert_eq!(
        summary(ETHERTYPE_IPV4, pkt.data()),
        "IP 10.0.1.2 > 10.0.2.2: ICMP 10.0.2.2 udp port 53 unreachable \
         (for 10.0.1.2.5000 > 10.0.2.2.53: UDP), length 36"
    );
    let mut pkt = Pkt::new(PktId(1));
    Icmpv6Repr::EchoRequest { ident: 3, seq: 4 }.emit(pkt.push(8));
    ip6(&mut pkt, protocol::ICMPV6);
    assert_eq!(
        summary(ETHERTYPE_IPV6, pkt.data()),
        "IP6 fd00::1:2 > fd00::2:2: ICMP6, echo request, id 3, seq 4, length 8"
    );
}

#[test]
fn discovery_and_membership() {
    let repr = NdpRepr {
        message: NdpMessage::NeighborSolicitation { target: server6() },
        options: NdpOptions { source_lladdr: Some(MAC), ..NdpOptions::default() },
    };
    let mut pkt = Pkt::new(PktId(1));
    repr.emit(pkt.push(repr.header_len()));
    ip6(&mut pkt, protocol::ICMPV6);
    let line = summary(ETHERTYPE_IPV6, pkt.data());
    assert_eq!(
        line,
        format!(
            "IP6 {} > {}: ICMP6, neighbor solicitation, who has {}, source {MAC}, length 32",
            client6(),
            server6(),
            server6()
        )
    );
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let repr = IgmpRepr::ReportV3 {
        records: vec![GroupRecord { kind: RecordKind::ToExclude, group, sources: vec![] }],
    };
    let mut pkt = Pkt::new(PktId(1));
    repr.emit(pkt.push(repr.header_len()));
    let ip = Ipv4Repr::new(CLIENT4, Ipv4Addr::new(224, 0, 0, 22), protocol::IGMP, pkt.len());
    ip.emit(pkt.push(20));
    let line = summary(ETHERTYPE_IPV4, pkt.data());
    assert_eq!(line, "IP 10.0.1.2 > 224.0.0.22: igmp v3 report, ToExclude 239.1.2.3");
}

#[test]
fn every_prefix_of_a_frame_has_a_line() {
    for frame in frames() {
        for len in 0..frame.len() {
            let line = summary(0, &frame[..len]);
            assert!(!line.is_empty());
        }
        let cut = summary(0, &frame[..40]);
        assert!(cut.contains("[|") || cut.contains("length") || cut.contains("IP6"), "{cut}");
    }
}
