//! Every representation reads back as it was written, whatever its values are.

use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::EthernetRepr;
use netspace_wire::icmpv4::Icmpv4Repr;
use netspace_wire::icmpv6::Icmpv6Repr;
use netspace_wire::igmp::{GroupRecord, IgmpRepr, QueryV3, RecordKind};
use netspace_wire::ipv4::{Ipv4Options, Ipv4Repr};
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::ipv6::ext::FragmentRepr;
use netspace_wire::mld::MldRepr;
use netspace_wire::ndp::{
    NdpMessage, NdpOptions, NdpRepr, NeighborAdvertisement, PrefixInfo, RouterAdvertisement, RouterPreference,
};
use netspace_wire::tcp::{FastOpenCookie, SeqNum, TcpFlags, TcpOptions, TcpRepr};
use netspace_wire::udp::UdpRepr;
use netspace_wire::{MacAddr, checksum};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Writes, parses and compares.
macro_rules! reads_back {
    ($repr:expr, $type:ty) => {{
        let repr = $repr;
        let mut out = vec![0xee; repr.header_len()];
        repr.emit(&mut out);
        let len = out.len();
        prop_assert_eq!(<$type>::parse(&out), Ok((repr.clone(), len)));
        for cut in 0..len {
            let _ = <$type>::parse(&out[..cut]);
        }
    }};
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn unicast6() -> impl Strategy<Value = Ipv6Addr> {
    any::<Ipv6Addr>().prop_filter("a target", |a| !a.is_multicast() && !a.is_unspecified())
}

fn ipv4() -> impl Strategy<Value = Ipv4Repr> {
    let flags = (any::<bool>(), any::<bool>(), 0..0x2000u16);
    let fields = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u16>());
    let options = prop_oneof![
        Just(vec![]),
        Just(vec![148, 4, 0, 0]),
        Just(vec![1, 7, 7, 4, 0, 0, 0, 0]),
        vec(any::<u8>(), 0..36).prop_map(|v| [&[200, v.len() as u8 + 2], &v[..]].concat()),
    ];
    (any::<[Ipv4Addr; 2]>(), fields, flags, options, any::<u16>()).prop_map(
        |([src, dst], (protocol, ttl, tos, id), (dont_fragment, more_fragments, offset), options, len)| {
            let options = Ipv4Options::parse(&options).unwrap();
            let mut repr = Ipv4Repr {
                src,
                dst,
                protocol,
                ttl,
                tos,
                id,
                dont_fragment,
                more_fragments,
                fragment_offset: offset << 3,
                total_len: 0,
                options,
            };
            repr.total_len = len.max(repr.header_len() as u16);
            repr
        },
    )
}

fn syn_options() -> impl Strategy<Value = TcpOptions> {
    let cookie = prop_oneof![
        Just(FastOpenCookie::new()),
        (2..=8usize).prop_flat_map(|n| vec(any::<u8>(), n * 2)).prop_map(|v| FastOpenCookie::from_slice(&v)),
    ];
    (
        option::of(1..=u16::MAX),
        option::of(0..=14u8),
        any::<bool>(),
        option::of(any::<(u32, u32)>()),
        option::of(cookie),
    )
        .prop_map(|(mss, window_scale, sack_permitted, timestamps, fast_open)| TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            timestamps,
            fast_open,
            ..TcpOptions::default()
        })
}

fn other_options() -> impl Strategy<Value = TcpOptions> {
    let sack = vec(any::<(u32, u32)>(), 0..=3);
    (option::of(any::<(u32, u32)>()), sack).prop_map(|(timestamps, sack)| TcpOptions {
        timestamps,
        sack: sack.into_iter().map(|(a, b)| (SeqNum(a), SeqNum(b))).collect(),
        ..TcpOptions::default()
    })
}

fn tcp() -> impl Strategy<Value = TcpRepr> {
    let options = prop_oneof![
        syn_options().prop_map(|o| (o, TcpFlags::SYN)),
        other_options().prop_map(|o| (o, TcpFlags::empty()))
    ];
    (any::<(u16, u16, u32, u32)>(), any::<(u16, u16, u16)>(), options).prop_map(
        |((src_port, dst_port, seq, ack), (bits, window, urgent), (options, syn))| TcpRepr {
            src_port,
            dst_port,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags: TcpFlags::from_bits_truncate(bits).difference(TcpFlags::SYN) | syn,
            window,
            urgent,
            options,
        },
    )
}

fn ndp_options() -> impl Strategy<Value = NdpOptions> {
    let prefix = (any::<Ipv6Addr>(), 0..=128u8, any::<(bool, bool)>(), any::<(u32, u32)>()).prop_map(
        |(prefix, prefix_len, (on_link, autonomous), (valid_s, preferred_s))| PrefixInfo {
            prefix,
            prefix_len,
            on_link,
            autonomous,
            valid_s,
            preferred_s,
        },
    );
    let redirected = (0..20usize).prop_flat_map(|n| vec(any::<u8>(), n * 8));
    let dns = vec(any::<(Ipv6Addr, u32)>(), 0..3);
    (option::of(mac()), option::of(mac()), option::of(any::<u32>()), vec(prefix, 0..4), dns, redirected)
        .prop_map(|(source_lladdr, target_lladdr, mtu, prefixes, dns_servers, redirected)| NdpOptions {
            source_lladdr,
            target_lladdr,
            mtu,
            prefixes: prefixes.into_iter().collect(),
            dns_servers: dns_servers.into_iter().collect(),
            redirected,
            ..NdpOptions::default()
        })
}

fn ndp_message() -> impl Strategy<Value = NdpMessage> {
    let ra = (any::<(u8, bool, bool)>(), 0..3usize, any::<(u16, u32, u32)>()).prop_map(
        |((hop_limit, managed, other), preference, (router_lifetime_s, reachable_ms, retrans_ms))| {
            let preferences = [RouterPreference::Low, RouterPreference::Medium, RouterPreference::High];
            NdpMessage::RouterAdvertisement(RouterAdvertisement {
                hop_limit,
                managed,
                other,
                preference: preferences[preference],
                router_lifetime_s,
                reachable_ms,
                retrans_ms,
            })
        },
    );
    let na =
        (any::<(bool, bool, bool)>(), unicast6()).prop_map(|((router, solicited, override_), target)| {
            NdpMessage::NeighborAdvertisement(NeighborAdvertisement { router, solicited, override_, target })
        });
    prop_oneof![
        Just(NdpMessage::RouterSolicitation),
        ra,
        unicast6().prop_map(|target| NdpMessage::NeighborSolicitation { target }),
        na,
        (unicast6(), unicast6())
            .prop_map(|(target, destination)| NdpMessage::Redirect { target, destination }),
    ]
}

fn record<A: Arbitrary>() -> impl Strategy<Value = GroupRecord<A>> {
    (1..=6u8, any::<A>(), vec(any::<A>(), 0..5)).prop_map(|(kind, group, sources)| GroupRecord {
        kind: RecordKind::from_number(kind).unwrap(),
        group,
        sources,
    })
}

fn query<A: Arbitrary>() -> impl Strategy<Value = QueryV3<A>> {
    (any::<bool>(), 0..8u8, 0..128u32, vec(any::<A>(), 0..5)).prop_map(
        |(suppress, robustness, interval_s, sources)| QueryV3 { suppress, robustness, interval_s, sources },
    )
}

fn igmp() -> impl Strategy<Value = IgmpRepr> {
    prop_oneof![
        (0..128u32, any::<Ipv4Addr>(), option::of(query()))
            .prop_map(|(max_response_ds, group, v3)| IgmpRepr::Query { max_response_ds, group, v3 }),
        any::<Ipv4Addr>().prop_map(|group| IgmpRepr::ReportV1 { group }),
        any::<Ipv4Addr>().prop_map(|group| IgmpRepr::ReportV2 { group }),
        any::<Ipv4Addr>().prop_map(|group| IgmpRepr::Leave { group }),
        vec(record(), 0..4).prop_map(|records| IgmpRepr::ReportV3 { records }),
    ]
}

fn mld() -> impl Strategy<Value = MldRepr> {
    prop_oneof![
        (0..0x8000u32, any::<Ipv6Addr>(), option::of(query()))
            .prop_map(|(max_response_ms, group, v2)| MldRepr::Query { max_response_ms, group, v2 }),
        any::<Ipv6Addr>().prop_map(|group| MldRepr::ReportV1 { group }),
        any::<Ipv6Addr>().prop_map(|group| MldRepr::Done { group }),
        vec(record(), 0..4).prop_map(|records| MldRepr::ReportV2 { records }),
    ]
}

fn icmpv4() -> impl Strategy<Value = Icmpv4Repr> {
    let id = any::<(u16, u16)>();
    prop_oneof![
        id.prop_map(|(ident, seq)| Icmpv4Repr::EchoRequest { ident, seq }),
        any::<(u16, u16)>().prop_map(|(ident, seq)| Icmpv4Repr::EchoReply { ident, seq }),
        any::<u16>().prop_map(|mtu| Icmpv4Repr::Unreachable { code: 4, mtu }),
        any::<u8>().prop_map(|code| Icmpv4Repr::TimeExceeded { code }),
        any::<(u8, Ipv4Addr)>().prop_map(|(code, gateway)| Icmpv4Repr::Redirect { code, gateway }),
        any::<(u8, u8)>().prop_map(|(code, pointer)| Icmpv4Repr::ParameterProblem { code, pointer }),
        any::<(bool, u16, u16, [u32; 3])>().prop_map(|(reply, ident, seq, times)| Icmpv4Repr::Timestamp {
            reply,
            ident,
            seq,
            times
        }),
        any::<(u8, [u8; 4])>().prop_map(|(code, rest)| Icmpv4Repr::Other { kind: 40, code, rest }),
    ]
}

fn icmpv6() -> impl Strategy<Value = Icmpv6Repr> {
    prop_oneof![
        any::<(u16, u16)>().prop_map(|(ident, seq)| Icmpv6Repr::EchoRequest { ident, seq }),
        any::<(u16, u16)>().prop_map(|(ident, seq)| Icmpv6Repr::EchoReply { ident, seq }),
        any::<u8>().prop_map(|code| Icmpv6Repr::Unreachable { code }),
        any::<u32>().prop_map(|mtu| Icmpv6Repr::PacketTooBig { mtu }),
        any::<u8>().prop_map(|code| Icmpv6Repr::TimeExceeded { code }),
        any::<(u8, u32)>().prop_map(|(code, pointer)| Icmpv6Repr::ParameterProblem { code, pointer }),
        any::<(u8, [u8; 4])>().prop_map(|(code, rest)| Icmpv6Repr::Other { kind: 135, code, rest }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn link_headers(dst in mac(), src in mac(), ethertype: u16, ips: [Ipv4Addr; 2], reply: bool) {
        reads_back!(EthernetRepr { dst, src, ethertype }, EthernetRepr);
        let operation = if reply { ArpOperation::Reply } else { ArpOperation::Request };
        let [sender_ip, target_ip] = ips;
        reads_back!(ArpRepr { operation, sender_mac: src, sender_ip, target_mac: dst, target_ip }, ArpRepr);
        prop_assert_eq!(src.to_string().parse(), Ok(src));
    }

    #[test]
    fn ipv4_header(repr in ipv4()) {
        reads_back!(repr, Ipv4Repr);
    }

    #[test]
    fn ipv6_headers(addrs: [Ipv6Addr; 2], bytes: [u8; 3], flow_label in 0..1u32 << 20, payload_len: u16, id: u32) {
        let ([src, dst], [next_header, hop_limit, traffic_class]) = (addrs, bytes);
        let repr = Ipv6Repr { src, dst, next_header, hop_limit, traffic_class, flow_label, payload_len };
        reads_back!(repr, Ipv6Repr);
        let repr = FragmentRepr { next_header, offset: payload_len & !7, more: hop_limit & 1 == 1, id };
        reads_back!(repr, FragmentRepr);
    }

    #[test]
    fn transport_headers(repr in tcp(), ports: [u16; 2], len in 8..=u16::MAX) {
        reads_back!(repr, TcpRepr);
        reads_back!(UdpRepr { src_port: ports[0], dst_port: ports[1], len }, UdpRepr);
    }

    #[test]
    fn control_messages(v4 in icmpv4(), v6 in icmpv6()) {
        reads_back!(v4, Icmpv4Repr);
        reads_back!(v6, Icmpv6Repr);
    }

    #[test]
    fn discovery_messages(message in ndp_message(), options in ndp_options()) {
        reads_back!(NdpRepr { message, options }, NdpRepr);
    }

    #[test]
    fn membership_messages(v4 in igmp(), v6 in mld()) {
        reads_back!(v4, IgmpRepr);
        reads_back!(v6, MldRepr);
    }

    #[test]
    fn an_updated_checksum_is_the_computed_one(mut bytes in vec(any::<u8>(), 40..60), new: [u8; 16], at in 0..6usize) {
        bytes.truncate(bytes.len() & !1);
        let (at, before) = (at * 4, checksum::finish(checksum::sum(&bytes)));
        let old: [u8; 16] = bytes[at..at + 16].try_into().unwrap();
        bytes[at..at + 16].copy_from_slice(&new);
        // An all-zero sum has two forms, 0x0000 and 0xffff; RFC 1624 tells why an update may give the other one.
        let same = |a: u16, b: u16| a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0);
        let computed = checksum::finish(checksum::sum(&bytes));
        prop_assert!(same(checksum::update_bytes(before, &old, &new), computed));
        let words = old.chunks(4).zip(new.chunks(4));
        let word = |b: &[u8]| u32::from_be_bytes(b.try_into().unwrap());
        let by_words = words.fold(before, |sum, (o, n)| checksum::update_u32(sum, word(o), word(n)));
        prop_assert!(same(by_words, computed));
    }
}
