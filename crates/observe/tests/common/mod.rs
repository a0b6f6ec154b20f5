//! Events for the tests.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::borrow::Cow;
use std::net::Ipv4Addr;

use netspace_base::{Detail, DevId, Event, Instant, NsId, Pkt, PktId, Point, Trace};
use netspace_observe::Names;
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetRepr};
use netspace_wire::icmpv4::Icmpv4Repr;
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions, TcpRepr};
use netspace_wire::udp::UdpRepr;
use netspace_wire::{MacAddr, protocol};

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

pub struct Lab;

impl Names for Lab {
    fn host(&self, ns: NsId) -> Cow<'_, str> {
        ["client", "gw"].get(ns.0 as usize).map_or_else(|| format!("ns{}", ns.0).into(), |&n| n.into())
    }

    fn device(&self, _: NsId, dev: DevId) -> Cow<'_, str> {
        format!("eth{}", dev.0 - 1).into()
    }
}

/// The event of `pkt` at `point` on host 0, as a stage would note it.
pub fn event(pkt: &mut Pkt, point: Point, detail: Detail) -> Event {
    pkt.traced = true;
    pkt.dev = DevId(1);
    let mut trace = Trace::default();
    trace.with(Instant::from_micros(1234), NsId(0), point, pkt, || detail);
    trace.take().remove(0)
}

pub fn socket_event(point: Point, detail: Detail) -> Event {
    let mut trace = Trace::default();
    trace.on = true;
    trace.socket(Instant::from_micros(5), NsId(1), point, || detail);
    trace.take().remove(0)
}

fn pkt(protocol: u16) -> Box<Pkt> {
    let mut pkt = Pkt::new(PktId(7));
    pkt.protocol = protocol;
    pkt
}

fn ip(pkt: &mut Pkt, proto: u8) {
    let repr = Ipv4Repr::new(CLIENT, SERVER, proto, pkt.len());
    repr.emit(pkt.push(20));
    pkt.set_network_header();
}

pub fn tcp() -> Box<Pkt> {
    let mut pkt = pkt(ETHERTYPE_IPV4);
    let repr = TcpRepr {
        src_port: 49_500,
        dst_port: 80,
        seq: SeqNum(7),
        ack: SeqNum(0),
        flags: TcpFlags::SYN,
        window: 64_240,
        urgent: 0,
        options: TcpOptions::default(),
    };
    repr.emit(pkt.push(20));
    ip(&mut pkt, protocol::TCP);
    pkt
}

pub fn udp() -> Box<Pkt> {
    let mut pkt = pkt(ETHERTYPE_IPV4);
    UdpRepr::new(5000, 53, 0).emit(pkt.push(8));
    ip(&mut pkt, protocol::UDP);
    pkt
}

pub fn ping() -> Box<Pkt> {
    let mut pkt = pkt(ETHERTYPE_IPV4);
    Icmpv4Repr::EchoRequest { ident: 1, seq: 2 }.emit(pkt.push(8));
    ip(&mut pkt, protocol::ICMP);
    pkt
}

pub fn solicitation() -> Box<Pkt> {
    let mut pkt = pkt(ETHERTYPE_IPV6);
    let message = NdpMessage::NeighborSolicitation { target: "fd00::1".parse().unwrap() };
    let repr = NdpRepr { message, options: NdpOptions::default() };
    repr.emit(pkt.push(repr.header_len()));
    let (src, dst) = ("fd00::2".parse().unwrap(), "ff02::1:ff00:1".parse().unwrap());
    Ipv6Repr::new(src, dst, protocol::ICMPV6, pkt.len()).emit(pkt.push(40));
    pkt.set_network_header();
    pkt
}

pub fn arp() -> Box<Pkt> {
    let mut pkt = pkt(ETHERTYPE_ARP);
    let repr = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        sender_ip: CLIENT,
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(10, 0, 1, 1),
    };
    repr.emit(pkt.push(28));
    pkt.set_network_header();
    let eth =
        EthernetRepr { dst: MacAddr::BROADCAST, src: MacAddr([2, 0, 0, 0, 0, 1]), ethertype: ETHERTYPE_ARP };
    eth.emit(pkt.push(14));
    pkt.set_mac_header();
    pkt
}
