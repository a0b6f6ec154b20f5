//! The story of a connection whose events are made here, packet by packet.

use std::net::Ipv4Addr;

use netspace_base::{Detail, DevId, Event, Instant, NsId, PktId, Point};
use netspace_wire::MacAddr;
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetRepr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::protocol;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions, TcpRepr};

use super::flow::{Flow, Names};
use super::print;
use super::story;

const CLIENT: NsId = NsId(0);
const SWITCH: NsId = NsId(1);
const ROUTER: NsId = NsId(2);
const SERVER: NsId = NsId(3);
const C: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const R: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const S: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

#[derive(Default)]
struct Tape {
    events: Vec<Event>,
    now_us: u64,
    next_pkt: u64,
}

impl Tape {
    fn push(&mut self, ns: NsId, point: Point, pkt: u64, detail: Detail, head: Vec<u8>, protocol: u16) {
        self.now_us += 7;
        let len = head.len() as u32;
        self.events.push(Event {
            at: Instant::from_micros(self.now_us),
            ns,
            dev: DevId(2),
            point,
            pkt: PktId(pkt),
            detail,
            head: head.into(),
            protocol,
            len,
        });
    }

    fn own(&mut self, ns: NsId, point: Point, detail: Detail) {
        self.push(ns, point, 0, detail, Vec::new(), 0);
    }

    fn state(&mut self, ns: NsId, from: &'static str, to: &'static str) {
        self.own(ns, Point::TcpState, Detail::State { from, to });
    }

    fn arp(&mut self, from: NsId, operation: ArpOperation) {
        self.next_pkt += 1;
        let (mac, ask) = (MacAddr([2, 0, 0, 0, 0, 1]), operation == ArpOperation::Request);
        let (sender_ip, target_ip) = if ask { (C, R) } else { (R, C) };
        let arp = ArpRepr { operation, sender_mac: mac, sender_ip, target_mac: mac, target_ip };
        let mut frame = vec![0; 14 + arp.header_len()];
        EthernetRepr { dst: mac, src: mac, ethertype: ETHERTYPE_ARP }.emit(&mut frame);
        arp.emit(&mut frame[14..]);
        let pkt = self.next_pkt;
        self.push(from, Point::ArpSend, pkt, Detail::None, frame.clone(), 0);
        self.push(SWITCH, Point::BridgeLearn, pkt, Detail::Port(DevId(2)), frame.clone(), 0);
        let to = if ask { ROUTER } else { CLIENT };
        self.push(to, Point::ArpReceive, pkt, Detail::None, frame, 0);
    }

    /// One segment's way over all hosts.
    fn segment(&mut self, from_client: bool, seq: u32, ack: u32, flags: TcpFlags, payload: usize) {
        self.next_pkt += 1;
        let pkt = self.next_pkt;
        let (src, dst, ports) = if from_client { (C, S, (40000, 80)) } else { (S, C, (80, 40000)) };
        let (from, to) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let tcp = TcpRepr {
            src_port: ports.0,
            dst_port: ports.1,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags,
            window: 1000,
            urgent: 0,
            options: TcpOptions::default(),
        };
        let bytes = |ttl: u8| {
            let len = tcp.header_len() + payload;
            let mut ip = Ipv4Repr::new(src, dst, protocol::TCP, len);
            ip.ttl = ttl;
            let mut packet = vec![0; ip.header_len() + len];
            let at = ip.header_len();
            ip.emit(&mut packet);
            tcp.emit(&mut packet[at..]);
            packet
        };
        let (before, after) = (bytes(64), bytes(63));
        let via = if from_client { R } else { Ipv4Addr::new(10, 0, 2, 1) };
        let route = |via: Ipv4Addr| Detail::Route { via: via.into(), dev: DevId(2) };
        let neighbour = |addr: Ipv4Addr| Detail::Neighbour { addr: addr.into(), mac: [2, 0, 0, 0, 0, 9] };
        for (point, detail) in [
            (Point::TcpSend, Detail::None),
            (Point::RouteOut, route(via)),
            (Point::IpSend, Detail::None),
            (Point::NeighSend, neighbour(via)),
            (Point::DevSend, Detail::None),
        ] {
            self.push(from, point, pkt, detail, before.clone(), ETHERTYPE_IPV4);
        }
        self.push(SWITCH, Point::BridgeForward, pkt, Detail::Port(DevId(2)), before.clone(), ETHERTYPE_IPV4);
        for (point, detail, packet) in [
            (Point::RingReceive, Detail::None, &before),
            (Point::DevReceive, Detail::None, &before),
            (Point::IpReceive, Detail::None, &before),
            (Point::RouteIn, Detail::None, &before),
            (Point::Forward, Detail::Ttl(63), &after),
            (Point::RouteOut, route(dst), &after),
            (Point::NeighSend, neighbour(dst), &after),
            (Point::DevSend, Detail::None, &after),
        ] {
            self.push(ROUTER, point, pkt, detail, packet.clone(), ETHERTYPE_IPV4);
        }
        let up = [
            Point::RingReceive,
            Point::DevReceive,
            Point::IpReceive,
            Point::Deliver,
            Point::Demux,
            Point::TcpReceive,
        ];
        for point in up {
            self.push(to, point, pkt, Detail::None, after.clone(), ETHERTYPE_IPV4);
        }
        if payload > 0 {
            self.push(to, Point::SocketQueue, pkt, Detail::Bytes(payload as u64), after, ETHERTYPE_IPV4);
        }
    }

    /// A whole request and its answer.
    fn request() -> Self {
        let mut tape = Self::default();
        let (syn, ack, fin, psh) = (TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN, TcpFlags::PSH);
        tape.own(CLIENT, Point::Syscall, Detail::Text("socket(AF_INET, SOCK_STREAM, 0) = 3".into()));
        tape.own(CLIENT, Point::Syscall, Detail::Text("connect(3, 10.0.2.2:80) = 0".into()));
        tape.state(CLIENT, "CLOSED", "SYN-SENT");
        tape.arp(CLIENT, ArpOperation::Request);
        tape.arp(ROUTER, ArpOperation::Reply);
        tape.segment(true, 1000, 0, syn, 0);
        tape.segment(false, 5000, 1001, syn | ack, 0);
        tape.state(CLIENT, "SYN-SENT", "ESTABLISHED");
        tape.segment(true, 1001, 5001, ack, 0);
        tape.state(SERVER, "SYN-RECEIVED", "ESTABLISHED");
        tape.own(CLIENT, Point::SocketSend, Detail::Bytes(150));
        tape.segment(true, 1001, 5001, ack | psh, 150);
        tape.own(SERVER, Point::SocketRead, Detail::Bytes(150));
        tape.own(SERVER, Point::SocketSend, Detail::Bytes(200));
        tape.segment(false, 5001, 1151, ack | psh, 200);
        tape.own(CLIENT, Point::SocketRead, Detail::Bytes(200));
        tape.segment(false, 5201, 1151, ack | fin, 0);
        tape.state(SERVER, "ESTABLISHED", "FIN-WAIT-1");
        tape.segment(true, 1151, 5202, ack | fin, 0);
        tape.segment(false, 5202, 1152, ack, 0);
        tape.state(CLIENT, "LAST-ACK", "CLOSED");
        tape
    }
}

fn names() -> Names {
    let mut names = Names::default();
    for (ns, name) in [(CLIENT, "client"), (SWITCH, "switch"), (ROUTER, "router"), (SERVER, "server")] {
        names.hosts.insert(ns, name.to_owned());
        names.devices.insert((ns, DevId(2)), "eth0".to_owned());
    }
    names
}

fn printed(events: &[Event]) -> String {
    let flow = Flow::find(events, 80).expect("a connection");
    let mut text = Vec::new();
    text.extend(print::story(&story::tell(&flow, &names())).expect("printed").concat());
    anstream::adapter::strip_str(&String::from_utf8(text).expect("UTF-8")).to_string()
}

#[test]
fn a_whole_request_is_told_layer_by_layer() {
    let text = printed(&Tape::request().events);
    let in_order = [
        "system call connect(3, 10.0.2.2:80)",
        "route: the next hop is 10.0.1.1",
        "who has 10.0.1.1?",
        "10.0.1.1 is at 02:00:00:00:00:01",
        "SYN, seq 0 to server",
        "SYN ACK, seq 0, ack 1 to client",
        "SYN-SENT → ESTABLISHED",
        "150 bytes, written by the program, enter the send buffer",
        "bytes 1–150 (PSH ACK), ack 1",
        "time to live 64",
        "out by port eth0",
        "time to live 64 → 63",
        "ports 40000 → 80 tell the socket",
        "150 bytes lie in the socket's receive queue",
        "the program reads 150 bytes",
        "bytes 1–200",
        "the program reads 200 bytes",
        "FIN ACK, seq 201",
        "FIN ACK, seq 151",
    ];
    let mut rest = text.as_str();
    for wanted in in_order {
        // A long line is cut at spaces: look with the cuts taken out.
        let flat = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(wanted), "no {wanted:?} in its place in\n{text}");
        let word = wanted.split(' ').next().unwrap_or(wanted);
        rest = &rest[rest.find(word).map_or(0, |at| at + word.len())..];
    }
    assert!(!text.contains("Not seen"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let mut events = Tape::request().events;
    events.retain(|event| event.point != Point::Forward && event.point != Point::ArpSend);
    events.retain(|event| !(event.ns == SERVER && event.point == Point::SocketRead));
    let text = printed(&events);
    let missing = text.split("Not seen in this run:").nth(1).expect("it says that something is missing");
    let missing = missing.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(missing.contains("forward on the way"), "{missing}");
    assert!(missing.contains("socket-read on server"), "{missing}");
}

#[test]
fn no_connection_gives_no_story() {
    let events: Vec<Event> = Tape::request().events.into_iter().filter(|event| event.pkt.0 == 0).collect();
    assert!(Flow::find(&events, 80).is_none());
}
