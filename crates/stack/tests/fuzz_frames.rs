//! The whole stack under seeded random scripts of damaged frames, time and socket calls. `fuzz/` runs the same entry point.

mod fuzz_entry;

use netspace_base::{Rng, Seed};
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthernetRepr};
use netspace_wire::icmpv4::Icmpv4Repr;
use netspace_wire::icmpv6::Icmpv6Repr;
use netspace_wire::igmp::IgmpRepr;
use netspace_wire::ipv4::{Ipv4Options, Ipv4Repr};
use netspace_wire::ipv6::ext::{FragmentRepr, router_alert_header};
use netspace_wire::ipv6::{HOP_LIMIT_OFFSET, Ipv6Repr};
use netspace_wire::mld::MldRepr;
use netspace_wire::ndp::{
    NdpMessage, NdpOptions, NdpRepr, NeighborAdvertisement, PrefixInfo, RouterAdvertisement, solicited_node,
};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions, TcpRepr};
use netspace_wire::udp::UdpRepr;
use netspace_wire::{MacAddr, protocol};

const SCRIPTS: usize = 1500;
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

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
    bytes!(EthernetRepr { dst: MacAddr(fuzz_entry::MAC), src: PEER, ethertype }, payload)
}

fn ip4(dst: &str, proto: u8, payload: &[u8]) -> Vec<u8> {
    let repr = Ipv4Repr::new([10, 0, 1, 2].into(), dst.parse().unwrap(), proto, payload.len());
    ethernet(ETHERTYPE_IPV4, &bytes!(repr, payload))
}

fn ip6(dst: &str, proto: u8, payload: &[u8]) -> Vec<u8> {
    ip6_from("fd00:1::2", dst, proto, payload)
}

fn ip6_from(src: &str, dst: &str, proto: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    let mut repr = Ipv6Repr::new(src, dst, proto, payload.len());
    repr.hop_limit = 255;
    ethernet(ETHERTYPE_IPV6, &bytes!(repr, payload))
}

fn tcp(flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    let syn = TcpOptions {
        mss: Some(1460),
        sack_permitted: true,
        timestamps: Some((5, 0)),
        ..TcpOptions::default()
    };
    let options = if flags.contains(TcpFlags::SYN) { syn } else { TcpOptions::default() };
    let (seq, ack) = (SeqNum(100), SeqNum(0));
    bytes!(
        TcpRepr { src_port: 4000, dst_port: 80, seq, ack, flags, window: 1000, urgent: 0, options },
        payload
    )
}

fn neighbour_frames() -> Vec<Vec<u8>> {
    let arp = |operation| ArpRepr {
        operation,
        sender_mac: PEER,
        sender_ip: [10, 0, 1, 2].into(),
        target_mac: MacAddr(fuzz_entry::MAC),
        target_ip: [10, 0, 1, 1].into(),
    };
    let options =
        NdpOptions { source_lladdr: Some(PEER), target_lladdr: Some(PEER), ..NdpOptions::default() };
    let prefix = PrefixInfo {
        prefix: "fd00:9::".parse().unwrap(),
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_s: 100,
        preferred_s: 50,
    };
    let with_prefix = NdpOptions { prefixes: [prefix].into_iter().collect(), ..options.clone() };
    let us: std::net::Ipv6Addr = "fd00:1::1".parse().unwrap();
    let peer = "fd00:1::2".parse().unwrap();
    let na = NeighborAdvertisement { router: false, solicited: true, override_: true, target: peer };
    let ra = RouterAdvertisement { router_lifetime_s: 10, ..RouterAdvertisement::default() };
    let ndp = |message, options| bytes!(NdpRepr { message, options }, &[]);
    vec![
        ethernet(ETHERTYPE_ARP, &bytes!(arp(ArpOperation::Request), &[])),
        ethernet(ETHERTYPE_ARP, &bytes!(arp(ArpOperation::Reply), &[])),
        ip6(
            &solicited_node(us).to_string(),
            protocol::ICMPV6,
            &ndp(NdpMessage::NeighborSolicitation { target: us }, options.clone()),
        ),
        ip6("fd00:1::1", protocol::ICMPV6, &ndp(NdpMessage::NeighborAdvertisement(na), options.clone())),
        ip6_from(
            "fe80::2",
            "ff02::1",
            protocol::ICMPV6,
            &ndp(NdpMessage::RouterAdvertisement(ra), with_prefix),
        ),
        ip6("ff02::2", protocol::ICMPV6, &ndp(NdpMessage::RouterSolicitation, options.clone())),
        ip6_from(
            "fe80::2",
            "fd00:1::1",
            protocol::ICMPV6,
            &ndp(NdpMessage::Redirect { target: peer, destination: "fd00:2::9".parse().unwrap() }, options),
        ),
    ]
}

fn ip_frames() -> Vec<Vec<u8>> {
    let udp = bytes!(UdpRepr::new(9, 53, 40), &[7; 40]);
    let ping = bytes!(Icmpv4Repr::EchoRequest { ident: 1, seq: 1 }, &[0; 32]);
    let ping6 = bytes!(Icmpv6Repr::EchoRequest { ident: 1, seq: 1 }, &[0; 32]);
    let mut first = Ipv4Repr::new([10, 0, 1, 2].into(), [10, 0, 1, 1].into(), protocol::UDP, 24);
    (first.more_fragments, first.id) = (true, 7);
    let last = Ipv4Repr { more_fragments: false, fragment_offset: 24, ..first };
    let mut options = Ipv4Repr::new([10, 0, 1, 2].into(), [10, 0, 2, 9].into(), protocol::UDP, udp.len());
    options.options = Ipv4Options::parse(&[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    options.total_len += 12;
    let piece = |offset, more| FragmentRepr { next_header: protocol::UDP, offset, more, id: 9 };
    let group = "239.1.1.1".parse().unwrap();
    let query = bytes!(IgmpRepr::Query { max_response_ds: 1, group, v3: None }, &[]);
    let mld = bytes!(MldRepr::Query { max_response_ms: 1, group: "::".parse().unwrap(), v2: None }, &[]);
    let mld = [&router_alert_header(protocol::ICMPV6)[..], &mld].concat();
    let mut mld = ip6_from("fe80::2", "ff02::1", protocol::HOP_BY_HOP, &mld);
    mld[14 + HOP_LIMIT_OFFSET] = 1;
    let quoted = ip4("10.0.1.1", protocol::TCP, &tcp(TcpFlags::ACK, b""))[14..].to_vec();
    let too_big = bytes!(Icmpv4Repr::Unreachable { code: 4, mtu: 600 }, &quoted);
    vec![
        ip4("10.0.1.1", protocol::UDP, &udp),
        ip4("10.0.2.9", protocol::UDP, &udp),
        ip4("10.0.1.1", protocol::ICMP, &ping),
        ip4("10.0.1.1", protocol::ICMP, &too_big),
        ip4("255.255.255.255", protocol::UDP, &udp),
        ip4("224.0.0.1", protocol::IGMP, &query),
        ip4("10.0.1.1", 99, &[1; 30]),
        ip6("fd00:1::1", protocol::UDP, &udp),
        ip6("fd00:2::9", protocol::UDP, &udp),
        ip6("fd00:1::1", protocol::ICMPV6, &ping6),
        mld,
        ethernet(ETHERTYPE_IPV4, &bytes!(first, &udp[..24])),
        ethernet(ETHERTYPE_IPV4, &bytes!(last, &udp[24..])),
        ethernet(ETHERTYPE_IPV4, &bytes!(options, &udp)),
        ip6("fd00:1::1", protocol::FRAGMENT, &bytes!(piece(0, true), &udp[..24])),
        ip6("fd00:1::1", protocol::FRAGMENT, &bytes!(piece(24, false), &udp[24..])),
    ]
}

fn tcp_frames() -> Vec<Vec<u8>> {
    let all = [
        (TcpFlags::SYN, &b""[..]),
        (TcpFlags::ACK, b""),
        (TcpFlags::ACK | TcpFlags::PSH, b"GET / HTTP/1.1\r\n\r\n"),
        (TcpFlags::FIN | TcpFlags::ACK, b""),
        (TcpFlags::RST, b""),
        (TcpFlags::SYN | TcpFlags::ACK, b""),
        (TcpFlags::ACK | TcpFlags::URG, b"u"),
    ];
    let segments = all.map(|(flags, payload)| tcp(flags, payload));
    let v4 = segments.iter().map(|s| ip4("10.0.1.1", protocol::TCP, s));
    v4.chain(segments.iter().map(|s| ip6("fd00:1::1", protocol::TCP, s))).collect()
}

/// A frame as a step of a script: to our MAC, checksums mended.
fn frame_step(how: u8, frame: &[u8]) -> Vec<u8> {
    [&[how << 3], &(frame.len() as u16).to_le_bytes()[..], frame].concat()
}

/// Scripts that go as they should: each frame by itself, and whole connections.
fn seeds() -> Vec<Vec<u8>> {
    let neighbours = neighbour_frames();
    let known = [frame_step(9, &neighbours[0]), frame_step(9, &neighbours[2])].concat();
    let mut scripts: Vec<_> = neighbours.iter().map(|f| frame_step(9, f)).collect();
    scripts.extend(ip_frames().iter().map(|f| [&known[..], &frame_step(9, f)].concat()));
    scripts.push(scripts.concat());
    let tcp = tcp_frames();
    for (side, to) in tcp.chunks(7).zip([8, 9]) {
        let mut script = known.clone();
        script.extend(frame_step(9, &side[0]));
        for segment in [1, 2, 2, 3] {
            script.extend(frame_step(11, &side[segment]));
            script.extend([6, 0, 6 | 1 << 3, 2, 6 | 2 << 3, 2, 5]);
        }
        scripts.push(script.clone());
        script.extend(frame_step(11, &side[4]));
        script.extend([4, 0xff, 0xff, 6 | 4 << 3, 2]);
        scripts.push(script);
        let call = [7 | to << 3, 80, 0, 6 | 2 << 3, 2];
        let answers = [frame_step(11, &side[5]), frame_step(11, &side[2]), vec![6 | 1 << 3, 2]].concat();
        let end = [&frame_step(11, &side[3])[..], &[6 | 4 << 3, 2, 5, 5]].concat();
        scripts.push([&known[..], &call, &answers, &end].concat());
    }
    scripts.push((0..16u8).flat_map(|how| [7 | how << 3, 80, 0, 5, 5]).collect());
    scripts
}

fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut script = Vec::new();
    for _ in 0..=rng.below(3) {
        script.extend_from_slice(&seeds[rng.below(seeds.len() as u64) as usize]);
    }
    for _ in 0..rng.below(6) {
        let at = rng.below(script.len() as u64) as usize;
        match rng.below(6) {
            0 => script.truncate(at.max(1)),
            1 => drop(script.splice(at..at, [4, rng.u32() as u8, rng.below(40) as u8])),
            2 => drop(script.splice(at..at, [6 | (rng.u32() as u8) << 3, rng.u32() as u8])),
            3 => script[at] = rng.u32() as u8,
            _ => script[at] ^= 1 << rng.below(8),
        }
    }
    script
}

#[test]
fn the_stack_survives_damaged_frames_and_loses_no_packet() {
    let seeds = seeds();
    for seed in &seeds {
        fuzz_entry::frames(seed);
    }
    let mut rng = Seed(3).stream("stack-fuzz", 0);
    for round in 0..SCRIPTS {
        let script = mutate(&mut rng, &seeds);
        let result = std::panic::catch_unwind(|| drop(fuzz_entry::frames(&script)));
        assert!(result.is_ok(), "round {round}: {script:02x?}");
    }
}

/// The scripts that are damaged come far when they are whole: else the test above would test little.
#[test]
fn whole_scripts_reach_the_program() {
    let outcomes: Vec<_> = seeds().iter().map(|seed| fuzz_entry::frames(seed)).collect();
    let count = |test: fn(&fuzz_entry::Outcome) -> bool| outcomes.iter().filter(|o| test(o)).count();
    assert!(count(|o| o.accepted == 1 && o.read == 36) >= 4, "accepted connections: {outcomes:?}");
    assert!(count(|o| o.accepted == 0 && o.read == 18) >= 2, "made connections: {outcomes:?}");
}

/// Not a test: writes the fuzz target's first inputs.
#[test]
#[ignore = "writes fuzz/seeds"]
fn write_seeds() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/stack");
    std::fs::create_dir_all(&dir).unwrap();
    for (n, seed) in seeds().iter().enumerate() {
        std::fs::write(dir.join(n.to_string()), seed).unwrap();
    }
}
