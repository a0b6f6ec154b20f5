//! The fuzz targets' entry points on seeded random mutations of valid packets: the same bytes on every run.

mod common;
mod entry;

use std::net::Ipv4Addr;

use netspace_base::{Rng, Seed};
use netspace_wire::MacAddr;
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::icmpv4::Icmpv4Repr;
use netspace_wire::igmp::{GroupRecord, IgmpRepr, QueryV3, RecordKind};
use netspace_wire::mld::MldRepr;
use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr, PrefixInfo, RouteInfo, RouterAdvertisement};

const ROUNDS: usize = 40_000;
const LEN_MAX: usize = 300;

fn written(len: usize, emit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; len];
    emit(&mut bytes);
    bytes
}

fn ndp_messages() -> Vec<Vec<u8>> {
    let addr = common::server6();
    let prefix = PrefixInfo {
        prefix: addr,
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_s: 86_400,
        preferred_s: 14_400,
    };
    let route = RouteInfo { prefix: addr, prefix_len: 48, preference: Default::default(), lifetime_s: 600 };
    let options = NdpOptions {
        source_lladdr: Some(MacAddr([2, 0, 0, 0, 0, 1])),
        target_lladdr: Some(MacAddr([2, 0, 0, 0, 0, 2])),
        mtu: Some(1500),
        prefixes: [prefix].into_iter().collect(),
        routes: [route].into_iter().collect(),
        dns_servers: [(addr, 600)].into_iter().collect(),
        redirected: vec![0x60; 48],
    };
    [
        NdpMessage::RouterSolicitation,
        NdpMessage::RouterAdvertisement(RouterAdvertisement::default()),
        NdpMessage::NeighborSolicitation { target: addr },
        NdpMessage::Redirect { target: addr, destination: addr },
    ]
    .into_iter()
    .map(|message| NdpRepr { message, options: options.clone() })
    .map(|repr| written(repr.header_len(), |out| repr.emit(out)))
    .collect()
}

fn group_messages() -> Vec<Vec<u8>> {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let v3 = QueryV3 { suppress: false, robustness: 2, interval_s: 125, sources: vec![group, group] };
    let record = GroupRecord { kind: RecordKind::AllowNew, group, sources: vec![group] };
    let igmp = [
        IgmpRepr::Query { max_response_ds: 100, group, v3: Some(v3) },
        IgmpRepr::ReportV2 { group },
        IgmpRepr::ReportV3 { records: vec![record.clone(), record] },
    ];
    let group = common::server6();
    let v2 = QueryV3 { suppress: true, robustness: 7, interval_s: 200, sources: vec![group] };
    let record = GroupRecord { kind: RecordKind::IsExclude, group, sources: vec![group] };
    let mld = [
        MldRepr::Query { max_response_ms: 40_000, group, v2: Some(v2) },
        MldRepr::Done { group },
        MldRepr::ReportV2 { records: vec![record.clone(), record] },
    ];
    let igmp = igmp.iter().map(|repr| written(repr.header_len(), |out| repr.emit(out)));
    let mld = mld.iter().map(|repr| written(repr.header_len(), |out| repr.emit(out)));
    igmp.chain(mld).collect()
}

/// Whole frames, and each of their headers by itself.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = common::frames();
    let inner: Vec<_> = seeds.iter().flat_map(|f| [14, 34, 54].map(|at| f[at..].to_vec())).collect();
    seeds.extend(inner);
    seeds.extend(ndp_messages());
    seeds.extend(group_messages());
    let arp = ArpRepr {
        operation: ArpOperation::Request,
        sender_mac: MacAddr::BROADCAST,
        sender_ip: common::CLIENT4,
        target_mac: MacAddr::ZERO,
        target_ip: common::SERVER4,
    };
    seeds.push(written(28, |out| arp.emit(out)));
    let quote = seeds[0][14..].to_vec();
    let mut error = written(8, |out| Icmpv4Repr::Unreachable { code: 3, mtu: 0 }.emit(out));
    error.extend(quote);
    seeds.push(error);
    seeds
}

/// Changes a few bytes or bits, the length, or joins two packets.
fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |rng: &mut Rng| &seeds[rng.below(seeds.len() as u64) as usize];
    let mut bytes = pick(rng).clone();
    for _ in 0..=rng.below(5) {
        let at = rng.below(bytes.len().max(1) as u64) as usize;
        match rng.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(&pick(rng)[..]),
            2 => drop(bytes.splice(at..at, [0; 4])),
            3 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = [0, 1, 0x7f, 0x80, 0xff][at % 5]),
            4 | 5 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = rng.u32() as u8),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << (rng.u32() % 8)),
        }
    }
    bytes.truncate(LEN_MAX);
    bytes
}

#[test]
fn no_parser_panics_and_all_read_back_what_they_wrote() {
    let seeds = seeds();
    for seed in &seeds {
        entry::ALL.iter().for_each(|(_, target)| target(seed));
    }
    let mut rng = Seed(1).stream("smoke-fuzz", 0);
    for round in 0..ROUNDS {
        let bytes = mutate(&mut rng, &seeds);
        for (name, target) in entry::ALL {
            let result = std::panic::catch_unwind(|| target(&bytes));
            assert!(result.is_ok(), "target {name}, round {round}: {bytes:02x?}");
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut rng = Seed(2).stream("smoke-fuzz", 0);
    for _ in 0..ROUNDS / 2 {
        let mut bytes = vec![0; rng.below(128) as usize];
        rng.fill(&mut bytes);
        entry::ALL.iter().for_each(|(_, target)| target(&bytes));
    }
}

/// Not a test: writes the fuzz targets' first inputs. Every target gets the seeds that its parser takes furthest, so
/// simply all of them.
#[test]
#[ignore = "writes fuzz/seeds"]
fn write_seeds() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (name, at) in
        [("text", 0), ("gso", 0), ("ethernet", 0), ("ipv4", 14), ("ipv6", 14), ("tcp", 34), ("udp", 34)]
    {
        let seeds = common::frames().into_iter().map(|f| f[at..].to_vec()).collect();
        save(&root.join(name), seeds);
    }
    let (igmp, mld): (Vec<_>, Vec<_>) =
        group_messages().into_iter().partition(|m| (0x11..=0x22).contains(&m[0]));
    save(&root.join("igmp"), igmp);
    save(&root.join("mld"), mld);
    save(&root.join("ndp"), ndp_messages());
    let (arp, icmp) = (seeds().remove(seeds().len() - 2), seeds().remove(seeds().len() - 1));
    save(&root.join("arp"), vec![arp]);
    save(&root.join("icmp4"), vec![icmp.clone()]);
    save(&root.join("icmp6"), vec![icmp]);
}

fn save(dir: &std::path::Path, mut seeds: Vec<Vec<u8>>) {
    std::fs::create_dir_all(dir).unwrap();
    seeds.dedup();
    for (n, seed) in seeds.iter().enumerate() {
        std::fs::write(dir.join(n.to_string()), seed).unwrap();
    }
}
