//! What the fuzz targets and the smoke tests call: a parser on any bytes, with the promises that must hold. No call may
//! panic; what was parsed must read back the same after it was written.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::type_complexity)]

use netspace_base::{Bytes, ChecksumState, Gso, GsoKind, Pkt, PktId};
use netspace_wire::arp::ArpRepr;
use netspace_wire::ethernet::EthernetRepr;
use netspace_wire::icmpv4::Icmpv4Repr;
use netspace_wire::icmpv6::Icmpv6Repr;
use netspace_wire::igmp::IgmpRepr;
use netspace_wire::ipv4::{Ipv4Options, Ipv4Repr};
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::ipv6::ext::{Chain, FragmentRepr};
use netspace_wire::mld::MldRepr;
use netspace_wire::ndp::NdpRepr;
use netspace_wire::tcp::TcpRepr;
use netspace_wire::text::{Summarizer, link_summary, strip_link, summary};
use netspace_wire::udp::UdpRepr;
use netspace_wire::{checksum, gso, icmpv4, icmpv6, ipv4, tcp, udp};

/// Parses, writes, parses again.
macro_rules! round_trip {
    ($name:ident, $repr:ty) => {
        pub fn $name(bytes: &[u8]) {
            let Ok((repr, len)) = <$repr>::parse(bytes) else { return };
            assert!(len <= bytes.len());
            let mut out = vec![0xee; repr.header_len()];
            repr.emit(&mut out);
            let (again, again_len) = <$repr>::parse(&out).expect("what was written is valid");
            assert_eq!((again, again_len), (repr, out.len()));
        }
    };
}

round_trip!(ethernet, EthernetRepr);
round_trip!(arp, ArpRepr);
round_trip!(ipv6_fixed, Ipv6Repr);
round_trip!(fragment, FragmentRepr);
round_trip!(icmpv4_header, Icmpv4Repr);
round_trip!(icmpv6_header, Icmpv6Repr);
round_trip!(ndp, NdpRepr);
round_trip!(igmp, IgmpRepr);
round_trip!(mld, MldRepr);
round_trip!(udp_header, UdpRepr);
round_trip!(ipv4_header, Ipv4Repr);

pub fn ipv4(bytes: &[u8]) {
    // Mutated headers hardly ever have a right checksum, so it is mended first.
    let mut bytes = bytes.to_vec();
    let len = bytes.first().map_or(0, |b| usize::from(b & 0xf) * 4);
    if len >= ipv4::HEADER_LEN && len <= bytes.len() {
        ipv4::fill_header_checksum(&mut bytes[..len]);
    }
    ipv4_header(&bytes);
    let _ = Ipv4Repr::parse_quoted(&bytes);
    if let Ok(mut options) = Ipv4Options::parse(bytes.get(20..).unwrap_or_default()) {
        assert!(options.iter().count() <= 40);
        let _ = options.source_route_pending();
        let _ = options.record_route([1, 2, 3, 4].into());
        assert_eq!(Ipv4Options::parse(options.as_bytes()), Ok(options));
        let later = options.for_later_fragments();
        assert_eq!(Ipv4Options::parse(later.as_bytes()), Ok(later));
    }
    if Ipv4Repr::parse(&bytes).is_ok() && bytes[8] > 0 {
        ipv4::decrement_ttl(&mut bytes);
        ipv4::set_tos(&mut bytes, 0xff);
        assert!(Ipv4Repr::parse(&bytes).is_ok(), "the checksum goes along");
    }
}

pub fn ipv6(bytes: &[u8]) {
    ipv6_fixed(bytes);
    if let Ok(chain) = Chain::parse(bytes) {
        assert!(chain.offset <= bytes.len().max(40));
        assert!(chain.protocol_at < chain.offset && chain.unfragmentable_len <= chain.offset);
    }
    fragment(bytes);
}

pub fn icmp4(bytes: &[u8]) {
    icmpv4_header(bytes);
    let _ = icmpv4::echo_ident(bytes);
}

pub fn icmp6(bytes: &[u8]) {
    icmpv6_header(bytes);
    let _ = icmpv6::echo_ident(bytes);
}

pub fn igmp_any(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 8 {
        icmpv4::fill_checksum(&mut bytes); // at the same place, over the same bytes
    }
    igmp(&bytes);
}

pub fn udp(bytes: &[u8]) {
    udp_header(bytes);
    let _ = udp::has_no_checksum(bytes);
}

pub fn tcp(bytes: &[u8]) {
    let _ = tcp::ports(bytes);
    let Ok((mut repr, len)) = TcpRepr::parse(bytes) else { return };
    assert!(len <= bytes.len() && repr.header_len() <= tcp::HEADER_LEN_MAX);
    let mut out = vec![0xee; repr.header_len()];
    repr.emit(&mut out);
    let (again, again_len) = TcpRepr::parse(&out).expect("what was written is valid");
    // With padding, fewer SACK blocks may fit than came, and the counters of accurate ECN not at all.
    repr.options.sack.truncate(again.options.sack.len());
    if again.options.acc_ecn.is_none() {
        repr.options.acc_ecn = None;
    }
    assert_eq!((again, again_len), (repr, out.len()));
}

pub fn text(bytes: &[u8]) {
    let mut summarizer = Summarizer::default();
    for protocol in [0, 0x0800, 0x86dd, 0x0806] {
        assert!(!summary(protocol, bytes).is_empty());
        assert!(!summarizer.summary(protocol, bytes).contains('\n'));
    }
    let _ = (link_summary(bytes), strip_link(bytes));
}

/// Cuts a frame as if it were a GSO packet, fills in and verifies checksums.
pub fn gso(bytes: &[u8]) {
    for (kind, size) in [(GsoKind::Tcp, 7), (GsoKind::Udp, 100)] {
        for linear in [bytes.len(), 54.min(bytes.len())] {
            let mut pkt = Pkt::from_slice(PktId(1), &bytes[..linear]);
            pkt.append_frag(Bytes::copy_from_slice(&bytes[linear..]));
            pkt.set_mac_header();
            let _ = checksum::verify(&pkt);
            pkt.gso = Some(Gso { size, kind });
            pkt.checksum = ChecksumState::Partial;
            let (count, total) = gso::frames_and_bytes(&pkt);
            let frames = gso::cut(pkt);
            assert_eq!(frames.len(), count);
            if count > 1 {
                assert_eq!(frames.iter().map(|f| f.len()).sum::<usize>(), total);
            }
            for mut frame in frames {
                checksum::fill_checksum(&mut frame);
                let _ = checksum::verify(&frame);
            }
        }
    }
}

/// All of them by name.
pub const ALL: &[(&str, fn(&[u8]))] = &[
    ("ethernet", ethernet),
    ("arp", arp),
    ("ipv4", ipv4),
    ("ipv6", ipv6),
    ("icmp4", icmp4),
    ("icmp6", icmp6),
    ("ndp", ndp),
    ("igmp", igmp_any),
    ("mld", mld),
    ("udp", udp),
    ("tcp", tcp),
    ("text", text),
    ("gso", gso),
];
