//! Every kind of packet that `netspace-wire` writes, read by tshark and tcpdump: an independent opinion on the formats,
//! and on the text form. Skipped where the programs are not installed.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use netspace_base::{Duration, Instant};
use netspace_observe::{Interface, PcapNg};
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetRepr};
use netspace_wire::icmpv4::{Icmpv4Repr, fill_checksum};
use netspace_wire::icmpv6::{self, Icmpv6Repr};
use netspace_wire::igmp::{GroupRecord, IgmpRepr, QueryV3, RecordKind};
use netspace_wire::ipv4::{Ipv4Options, Ipv4Repr};
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::ipv6::ext::{FragmentRepr, router_alert_header};
use netspace_wire::mld::MldRepr;
use netspace_wire::ndp::{
    NdpMessage, NdpOptions, NdpRepr, NeighborAdvertisement, PrefixInfo, RouteInfo, RouterAdvertisement,
    RouterPreference, solicited_node,
};
use netspace_wire::tcp::{FastOpenCookie, SeqNum, TcpFlags, TcpOptions, TcpRepr};
use netspace_wire::text::summary;
use netspace_wire::udp::UdpRepr;
use netspace_wire::{MacAddr, checksum, protocol};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

fn client6() -> Ipv6Addr {
    "fe80::1".parse().unwrap()
}

fn server6() -> Ipv6Addr {
    "fd00::2:2".parse().unwrap()
}

/// Writes a representation into bytes, with `payload` behind it.
macro_rules! bytes {
    ($repr:expr, $payload:expr) => {{
        let repr = $repr;
        let mut out = vec![0; repr.header_len()];
        repr.emit(&mut out);
        out.extend_from_slice($payload);
        out
    }};
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    bytes!(EthernetRepr { dst: MacAddr([2, 0, 0, 0, 0, 2]), src: MAC, ethertype }, payload)
}

/// IPv4 with options, around a message whose checksum field gets the real value.
fn ip4(proto: u8, dst: Ipv4Addr, options: Ipv4Options, mut message: Vec<u8>) -> Vec<u8> {
    let mut repr = Ipv4Repr::new(CLIENT, dst, proto, message.len());
    repr.options = options;
    repr.total_len += options.padded_len() as u16;
    match proto {
        protocol::ICMP => fill_checksum(&mut message),
        protocol::IGMP => {}
        _ => fill(&mut message, proto, repr.pseudo_sum(repr.payload_len())),
    }
    ethernet(ETHERTYPE_IPV4, &bytes!(repr, &message))
}

fn ip6(proto: u8, dst: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let mut repr = Ipv6Repr::new(client6(), dst, proto, message.len());
    repr.hop_limit = 255;
    match proto {
        protocol::ICMPV6 => icmpv6::fill_checksum(client6(), dst, &mut message),
        _ => {
            let pseudo = repr.pseudo_sum(proto, message.len());
            fill(&mut message, proto, pseudo);
        }
    }
    ethernet(ETHERTYPE_IPV6, &bytes!(repr, &message))
}

fn fill(message: &mut [u8], proto: u8, pseudo: u32) {
    let at = checksum::field_offset(proto).unwrap();
    let value = checksum::finish(checksum::sum(message) + pseudo);
    message[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn tcp(flags: TcpFlags, options: TcpOptions, payload: &[u8]) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: 49_500,
        dst_port: 7777,
        seq: SeqNum(1000),
        ack: SeqNum(if flags.contains(TcpFlags::ACK) { 5000 } else { 0 }),
        flags,
        window: 501,
        urgent: 0,
        options,
    };
    bytes!(repr, payload)
}

fn tcp_packets() -> Vec<Vec<u8>> {
    let none = Ipv4Options::default();
    let syn = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some((77, 0)),
        fast_open: Some(FastOpenCookie::from_slice(&[1, 2, 3, 4, 5, 6, 7, 8])),
        ..TcpOptions::default()
    };
    let sack = TcpOptions {
        timestamps: Some((1, 2)),
        sack: [(SeqNum(10), SeqNum(20)), (SeqNum(30), SeqNum(40))].into_iter().collect(),
        ..TcpOptions::default()
    };
    let plain = TcpOptions::default;
    vec![
        ip4(
            protocol::TCP,
            SERVER,
            none,
            tcp(TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR, syn.clone(), b""),
        ),
        ip4(protocol::TCP, SERVER, none, tcp(TcpFlags::ACK | TcpFlags::PSH, plain(), b"hello")),
        ip4(protocol::TCP, SERVER, none, tcp(TcpFlags::ACK, sack, b"")),
        ip4(protocol::TCP, SERVER, none, tcp(TcpFlags::RST, plain(), b"")),
        ip6(protocol::TCP, server6(), tcp(TcpFlags::SYN | TcpFlags::ACK, syn, b"")),
        ip6(protocol::TCP, server6(), tcp(TcpFlags::FIN | TcpFlags::ACK, plain(), b"bye")),
    ]
}

fn udp_and_icmp_packets() -> Vec<Vec<u8>> {
    let none = Ipv4Options::default();
    let datagram = || bytes!(UdpRepr::new(5000, 7778, 5), b"hello");
    let quoted = ip4(protocol::UDP, SERVER, none, datagram())[14..].to_vec();
    let quoted6 = ip6(protocol::UDP, server6(), datagram())[14..].to_vec();
    let error = |repr: Icmpv4Repr| ip4(protocol::ICMP, SERVER, none, bytes!(repr, &quoted));
    let error6 = |repr: Icmpv6Repr| ip6(protocol::ICMPV6, server6(), bytes!(repr, &quoted6));
    let record = Ipv4Options::parse(&[7, 7, 4, 0, 0, 0, 0]).unwrap();
    let times = [1, 2, 3];
    vec![
        ip4(protocol::UDP, SERVER, none, datagram()),
        ip4(protocol::UDP, SERVER, record, datagram()),
        ip6(protocol::UDP, server6(), datagram()),
        ip4(protocol::ICMP, SERVER, none, bytes!(Icmpv4Repr::EchoRequest { ident: 9, seq: 1 }, &[0; 56])),
        ip4(protocol::ICMP, SERVER, none, bytes!(Icmpv4Repr::EchoReply { ident: 9, seq: 1 }, &[0; 56])),
        ip4(
            protocol::ICMP,
            SERVER,
            none,
            bytes!(Icmpv4Repr::Timestamp { reply: false, ident: 9, seq: 1, times }, &[]),
        ),
        error(Icmpv4Repr::Unreachable { code: 0, mtu: 0 }),
        error(Icmpv4Repr::Unreachable { code: 1, mtu: 0 }),
        error(Icmpv4Repr::Unreachable { code: 2, mtu: 0 }),
        error(Icmpv4Repr::Unreachable { code: 3, mtu: 0 }),
        error(Icmpv4Repr::Unreachable { code: 4, mtu: 1400 }),
        error(Icmpv4Repr::Unreachable { code: 13, mtu: 0 }),
        error(Icmpv4Repr::TimeExceeded { code: 0 }),
        error(Icmpv4Repr::TimeExceeded { code: 1 }),
        error(Icmpv4Repr::Redirect { code: 1, gateway: SERVER }),
        error(Icmpv4Repr::ParameterProblem { code: 0, pointer: 20 }),
        ip6(protocol::ICMPV6, server6(), bytes!(Icmpv6Repr::EchoRequest { ident: 9, seq: 1 }, &[0; 56])),
        error6(Icmpv6Repr::Unreachable { code: 0 }),
        error6(Icmpv6Repr::Unreachable { code: 3 }),
        error6(Icmpv6Repr::Unreachable { code: 4 }),
        error6(Icmpv6Repr::PacketTooBig { mtu: 1280 }),
        error6(Icmpv6Repr::TimeExceeded { code: 0 }),
        error6(Icmpv6Repr::ParameterProblem { code: 1, pointer: 40 }),
    ]
}

fn discovery_packets() -> Vec<Vec<u8>> {
    let request = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: MAC,
        sender_ip: CLIENT,
        target_mac: MacAddr::ZERO,
        target_ip: Ipv4Addr::new(10, 0, 1, 1),
    };
    let mut out = vec![
        ethernet(ETHERTYPE_ARP, &bytes!(request, &[])),
        ethernet(ETHERTYPE_ARP, &bytes!(request.reply(MacAddr([2; 6])), &[])),
    ];
    let prefix = PrefixInfo {
        prefix: "fd00:1::".parse().unwrap(),
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_s: 86_400,
        preferred_s: 14_400,
    };
    let preference = RouterPreference::High;
    let route =
        RouteInfo { prefix: "fd00:2::".parse().unwrap(), prefix_len: 48, preference, lifetime_s: 600 };
    let ra = RouterAdvertisement { hop_limit: 64, router_lifetime_s: 1800, preference, ..Default::default() };
    let source = NdpOptions { source_lladdr: Some(MAC), ..NdpOptions::default() };
    let target = NdpOptions { target_lladdr: Some(MAC), ..NdpOptions::default() };
    let all = NdpOptions {
        mtu: Some(1500),
        prefixes: [prefix].into_iter().collect(),
        routes: [route].into_iter().collect(),
        dns_servers: [(server6(), 600)].into_iter().collect(),
        ..source.clone()
    };
    let redirected = NdpOptions { redirected: vec![0x60; 40], ..target.clone() };
    let na = NeighborAdvertisement { router: true, solicited: true, override_: true, target: server6() };
    let routers: Ipv6Addr = "ff02::2".parse().unwrap();
    for (message, options, dst) in [
        (NdpMessage::RouterSolicitation, source.clone(), routers),
        (NdpMessage::RouterAdvertisement(ra), all, "ff02::1".parse().unwrap()),
        (NdpMessage::NeighborSolicitation { target: server6() }, source, solicited_node(server6())),
        (NdpMessage::NeighborAdvertisement(na), target, server6()),
        (NdpMessage::Redirect { target: client6(), destination: server6() }, redirected, server6()),
    ] {
        out.push(ip6(protocol::ICMPV6, dst, bytes!(NdpRepr { message, options }, &[])));
    }
    out
}

fn membership_packets() -> Vec<Vec<u8>> {
    let alert = Ipv4Options::ROUTER_ALERT;
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let v3 = QueryV3 { suppress: false, robustness: 2, interval_s: 125, sources: vec![CLIENT] };
    let record = |kind| GroupRecord { kind, group, sources: vec![CLIENT, SERVER] };
    let igmp = [
        IgmpRepr::Query { max_response_ds: 100, group: Ipv4Addr::UNSPECIFIED, v3: None },
        IgmpRepr::Query { max_response_ds: 100, group, v3: Some(v3) },
        IgmpRepr::ReportV1 { group },
        IgmpRepr::ReportV2 { group },
        IgmpRepr::Leave { group },
        IgmpRepr::ReportV3 { records: vec![record(RecordKind::ToExclude), record(RecordKind::AllowNew)] },
    ];
    let mut out: Vec<_> =
        igmp.into_iter().map(|repr| ip4(protocol::IGMP, group, alert, bytes!(repr, &[]))).collect();
    let group: Ipv6Addr = "ff05::1234".parse().unwrap();
    let v2 = QueryV3 { suppress: false, robustness: 2, interval_s: 125, sources: vec![server6()] };
    let record = GroupRecord { kind: RecordKind::ToExclude, group, sources: vec![] };
    for repr in [
        MldRepr::Query { max_response_ms: 10_000, group: Ipv6Addr::UNSPECIFIED, v2: None },
        MldRepr::Query { max_response_ms: 10_000, group, v2: Some(v2) },
        MldRepr::ReportV1 { group },
        MldRepr::Done { group },
        MldRepr::ReportV2 { records: vec![record] },
    ] {
        let mut message = bytes!(repr, &[]);
        icmpv6::fill_checksum(client6(), group, &mut message);
        let payload = [&router_alert_header(protocol::ICMPV6)[..], &message].concat();
        let mut ip = Ipv6Repr::new(client6(), group, protocol::HOP_BY_HOP, payload.len());
        ip.hop_limit = 1;
        out.push(ethernet(ETHERTYPE_IPV6, &bytes!(ip, &payload)));
    }
    out
}

fn fragments() -> Vec<Vec<u8>> {
    let mut first = Ipv4Repr::new(CLIENT, SERVER, protocol::UDP, 16);
    (first.more_fragments, first.id) = (true, 7);
    let mut last = Ipv4Repr::new(CLIENT, SERVER, protocol::UDP, 8);
    (last.fragment_offset, last.id) = (16, 7);
    let header = FragmentRepr { next_header: protocol::UDP, offset: 1448, more: true, id: 99 };
    let piece = bytes!(header, &[1; 16]);
    let ip = Ipv6Repr::new(client6(), server6(), protocol::FRAGMENT, piece.len());
    vec![
        ethernet(ETHERTYPE_IPV4, &bytes!(first, &bytes!(UdpRepr::new(5000, 7778, 16), b"xxxxxxxx"))),
        ethernet(ETHERTYPE_IPV4, &bytes!(last, b"yyyyyyyy")),
        ethernet(ETHERTYPE_IPV6, &bytes!(ip, &piece)),
    ]
}

fn packets() -> Vec<Vec<u8>> {
    let kinds =
        [tcp_packets(), udp_and_icmp_packets(), discovery_packets(), membership_packets(), fragments()];
    kinds.concat()
}

/// What a program prints that reads the capture from its standard input; None if it is not installed.
fn read_by(program: &str, args: &[&str]) -> Option<Vec<String>> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .inspect_err(|_| eprintln!("{program} is not installed: not checked"))
        .ok()?;
    let mut file = PcapNg::new(Vec::new(), Duration::ZERO).unwrap();
    let eth0 = file.add_interface(&Interface { name: "eth0", ..Interface::default() }).unwrap();
    for (i, packet) in packets().iter().enumerate() {
        file.write(eth0, Instant::from_millis(i as u64), None, packet, None).unwrap();
    }
    child.stdin.take().unwrap().write_all(&file.into_inner()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect())
}

#[test]
fn tshark_finds_nothing_wrong() {
    let mut args = vec!["-r", "-", "-T", "fields", "-E", "separator=;"];
    for option in ["ip", "tcp", "udp"] {
        args.push("-o");
        args.push(match option {
            "ip" => "ip.check_checksum:TRUE",
            "tcp" => "tcp.check_checksum:TRUE",
            _ => "udp.check_checksum:TRUE",
        });
    }
    let statuses = ["ip", "tcp", "udp", "icmp", "icmpv6", "igmp"].map(|p| format!("{p}.checksum.status"));
    for field in
        ["_ws.malformed", "_ws.expert.severity"].into_iter().chain(statuses.iter().map(String::as_str))
    {
        args.extend(["-e", field]);
    }
    let Some(lines) = read_by("tshark", &args) else { return };
    let packets = packets();
    assert_eq!(lines.len(), packets.len());
    for (line, packet) in lines.iter().zip(&packets) {
        let text = summary(0, packet);
        println!("{line:30} {text}");
        let fields: Vec<_> = line.split(';').collect();
        assert_eq!(fields[0], "", "malformed: {text}");
        // 0x00800000 is "error"; resets and the like are notes and warnings.
        let severities = fields[1].split(',').filter_map(|s| s.parse::<u32>().ok());
        assert!(severities.max().unwrap_or(0) < 0x0080_0000, "{line}: {text}");
        for status in &fields[2..] {
            assert!(status.split(',').all(|s| s != "0"), "bad checksum: {line}: {text}");
        }
    }
}

/// Where we tell more or tell it otherwise: who is asked about, which groups, which bytes a fragment has.
const DIFFERENT: &[&str] = &["igmp query", "igmp v3", "multicast listener", " fragment "];

#[test]
fn tcpdump_prints_the_same_lines() {
    let Some(lines) = read_by("tcpdump", &["-r", "-", "-n", "-t", "-S"]) else { return };
    let packets = packets();
    assert_eq!(lines.len(), packets.len());
    let mut compared = 0;
    for (line, packet) in lines.iter().zip(&packets) {
        let text = summary(0, packet);
        if DIFFERENT.iter().any(|d| text.contains(d)) {
            continue;
        }
        compared += 1;
        // What an ICMP error quotes, and options of neighbour discovery, are our additions.
        let start = line.replace("tfo  cookie", "tfo cookie");
        let (start, length) = start.rsplit_once(", length ").unwrap_or((&start, ""));
        assert!(text.starts_with(start), "ours: {text}\ntcpdump: {line}");
        assert!(text.starts_with("ARP") || text.ends_with(length), "{text}");
    }
    assert!(compared > 35, "{compared}");
}
