//! Source filters of multicast groups (RFC 3376, RFC 3810, RFC 3678): what sockets hear and what routers are told.

mod sock_common;

use std::net::IpAddr;
use std::time::Duration;

use netspace_base::{DevId, Pkt};
use netspace_stack::sock::{
    Filter, FilterMode, Membership, SockError, SockId, SockOpt, SourceFilter, SourceMembership,
};
use netspace_wire::igmp::{GroupRecord, IgmpRepr, QueryV3, RecordKind};
use netspace_wire::ipv4::{Ipv4Options, Ipv4Repr};
use netspace_wire::mld::MldRepr;
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const GROUP: &str = "232.1.2.3";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(group: &str, dev: DevId) -> Membership {
    Membership { group: ip(group), dev: Some(dev), local: None }
}

/// Sources of [`GROUP`], or of `ff35::1` where they are IPv6's.
fn of(net: &Net, n: usize, source: &str) -> SourceMembership {
    let group = if source.contains(':') { "ff35::1" } else { GROUP };
    SourceMembership { at: at(group, net.dev[n]), source: ip(source) }
}

fn set(net: &mut Net, n: usize, s: SockId, option: SockOpt) -> Result<(), SockError> {
    net.call(n, |ns, t| ns.set_option(t, s, option))
}

fn filter(mode: FilterMode, sources: &[&str]) -> Filter<IpAddr> {
    Filter { mode, sources: sources.iter().map(|s| ip(s)).collect() }
}

fn got(net: &Net, n: usize, s: SockId, group: &str) -> Result<Filter<IpAddr>, SockError> {
    net.host[n].source_filter(&net.t, s, &at(group, net.dev[n]))
}

/// The sender A, its datagrams to groups leaving by the link.
fn sender(net: &mut Net) -> SockId {
    let s = net.udp_at(A, "10.0.0.1:6000");
    let out = at("0.0.0.0", net.dev[A]);
    set(net, A, s, SockOpt::IpMulticastIf(out)).unwrap();
    s
}

fn hears(net: &mut Net, from: SockId, s: SockId) -> bool {
    net.send_to(A, from, b"x", "232.1.2.3:5000").unwrap();
    net.advance(MS * 10);
    net.recv(B, s).is_ok()
}

#[test]
fn a_socket_hears_whom_it_asked_for() {
    let mut net = Net::new();
    let from = sender(&mut net);
    let s = net.udp_at(B, "0.0.0.0:5000");
    let (a, other) = (of(&net, B, "10.0.0.1"), of(&net, B, "10.0.0.77"));
    set(&mut net, B, s, SockOpt::JoinSource(other)).unwrap();
    assert!(!hears(&mut net, from, s), "only another was asked for");
    set(&mut net, B, s, SockOpt::JoinSource(a)).unwrap();
    assert!(hears(&mut net, from, s));
    set(&mut net, B, s, SockOpt::LeaveSource(a)).unwrap();
    assert!(!hears(&mut net, from, s));
    set(&mut net, B, s, SockOpt::LeaveSource(other)).unwrap();
    assert_eq!(got(&net, B, s, GROUP), Err(SockError::AddressNotAvailable), "without sources it has left");

    let join = SockOpt::IpAddMembership(a.at);
    set(&mut net, B, s, join.clone()).unwrap();
    assert!(hears(&mut net, from, s));
    set(&mut net, B, s, SockOpt::BlockSource(a)).unwrap();
    assert!(!hears(&mut net, from, s));
    // Another socket's wishes bring the datagrams to the host, not to this socket.
    let second = net.udp_at(B, "0.0.0.0:5001");
    set(&mut net, B, second, join).unwrap();
    assert!(!hears(&mut net, from, s));
    set(&mut net, B, s, SockOpt::UnblockSource(a)).unwrap();
    assert!(hears(&mut net, from, s));
    net.assert_ledger();
}

#[test]
fn mistakes_are_told_as_on_linux() {
    let mut net = Net::new();
    let s = net.udp_at(B, "0.0.0.0:5000");
    for (one, two, group, most) in [("1.1.1.1", "1.1.1.2", GROUP, 10), ("fd01::1", "fd01::2", "ff35::1", 64)]
    {
        let (first, second) = (of(&net, B, one), of(&net, B, two));
        let at = first.at;
        let mut try_set = |option| set(&mut net, B, s, option);
        for change in [SockOpt::BlockSource, SockOpt::UnblockSource, SockOpt::LeaveSource] {
            assert_eq!(try_set(change(first)), Err(SockError::Invalid), "not joined");
        }
        assert_eq!(try_set(SockOpt::JoinSource(first)), Ok(()));
        assert_eq!(try_set(SockOpt::JoinSource(first)), Err(SockError::AddressNotAvailable));
        assert_eq!(try_set(SockOpt::LeaveSource(second)), Err(SockError::AddressNotAvailable));
        assert_eq!(try_set(SockOpt::BlockSource(second)), Err(SockError::Invalid), "it includes");
        assert_eq!(try_set(SockOpt::IpAddMembership(at)), Err(SockError::AddressInUse));
        let many = |n: usize| {
            SockOpt::SourceFilter(SourceFilter {
                at,
                filter: Filter { mode: FilterMode::Include, sources: vec![ip(one); n] },
            })
        };
        assert_eq!(try_set(many(most + 1)), Err(SockError::NoBuffers));
        assert_eq!(try_set(many(most)), Ok(()));
        assert_eq!(try_set(SockOpt::JoinSource(second)), Err(SockError::NoBuffers));
        assert_eq!(try_set(many(0)), Ok(()), "include nobody: leave");
        assert_eq!(try_set(many(0)), Err(SockError::AddressNotAvailable));
        assert_eq!(try_set(many(1)), Err(SockError::Invalid));
        // A plain membership without blocked sources may become one of sources.
        assert_eq!(try_set(SockOpt::IpAddMembership(at)), Ok(()));
        assert_eq!(try_set(SockOpt::JoinSource(second)), Ok(()));
        assert_eq!(got(&net, B, s, group), Ok(filter(FilterMode::Include, &[two])));
        let elsewhere = Membership { dev: Some(DevId(99)), ..at };
        let nowhere = SourceMembership { at: elsewhere, source: ip(one) };
        assert_eq!(set(&mut net, B, s, SockOpt::JoinSource(nowhere)), Err(SockError::NoDevice));
    }
    let no_group = SourceMembership { at: at("10.1.1.1", net.dev[B]), source: ip("1.1.1.1") };
    assert_eq!(set(&mut net, B, s, SockOpt::JoinSource(no_group)), Err(SockError::Invalid));
}

thread_local! {
    /// What went over the link.
    static SEEN: std::cell::RefCell<Vec<Pkt>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn watch(pkt: &Pkt) -> bool {
    SEEN.with_borrow_mut(|seen| seen.push(pkt.clone()));
    false
}

/// The records about our groups in the reports that were sent since the last call.
fn reported() -> Vec<(RecordKind, Vec<IpAddr>)> {
    let short = |r: GroupRecord<_>| (r.kind, r.sources);
    let mut out = Vec::new();
    for mut pkt in SEEN.take() {
        pkt.linearize();
        let bytes = &pkt.data()[14..];
        if let Ok((header, len)) = Ipv4Repr::parse(bytes)
            && header.protocol == 2
            && let Ok((IgmpRepr::ReportV3 { records }, _)) = IgmpRepr::parse(&bytes[len..])
        {
            let ours = records.into_iter().filter(|r| r.group.to_string() == GROUP).map(short);
            out.extend(ours.map(|(kind, s)| (kind, s.into_iter().map(IpAddr::from).collect())));
        }
        if bytes.get(6) == Some(&0)
            && let Ok((MldRepr::ReportV2 { records }, _)) = MldRepr::parse(&bytes[48..])
        {
            for record in records.into_iter().filter(|r| r.group.to_string() == "ff35::1") {
                out.push((record.kind, record.sources.into_iter().map(IpAddr::from).collect()));
            }
        }
    }
    out
}

#[test]
fn routers_are_told_of_every_change_twice() {
    use RecordKind::{AllowNew, BlockOld, ToExclude, ToInclude};
    for [one, two] in [["1.1.1.1", "1.1.1.2"], ["fd01::1", "fd01::2"]] {
        let mut net = Net::new();
        net.lose = Some(watch);
        let (s, other) = (net.udp(B), net.udp(B));
        let (first, second) = (of(&net, B, one), of(&net, B, two));
        let mut told = |s, option| {
            set(&mut net, B, s, option).unwrap();
            net.advance(SECOND * 5);
            let mut records = reported();
            let half = records.split_off(records.len() / 2);
            assert_eq!(records, half, "each change is told twice");
            records
        };
        let [a, b] = [one, two].map(ip);
        assert_eq!(told(s, SockOpt::JoinSource(first)), [(AllowNew, vec![a])]);
        assert_eq!(told(s, SockOpt::JoinSource(second)), [(AllowNew, vec![b])]);
        assert_eq!(told(other, SockOpt::JoinSource(second)), [], "it is heard already");
        assert_eq!(told(s, SockOpt::LeaveSource(first)), [(BlockOld, vec![a])]);
        assert_eq!(told(s, SockOpt::IpDropMembership(first.at)), []);
        assert_eq!(told(s, SockOpt::IpAddMembership(first.at)), [(ToExclude, vec![])]);
        assert_eq!(told(s, SockOpt::BlockSource(first)), [(BlockOld, vec![a])]);
        assert_eq!(told(s, SockOpt::BlockSource(second)), [], "somebody includes it");
        assert_eq!(told(other, SockOpt::IpDropMembership(first.at)), [(BlockOld, vec![b])]);
        assert_eq!(told(s, SockOpt::UnblockSource(first)), [(AllowNew, vec![a])]);
        assert_eq!(told(s, SockOpt::IpDropMembership(first.at)), [(ToInclude, vec![])]);
    }
}

/// A query of version 3, as a frame.
fn query(group: &str, sources: &[&str]) -> Vec<u8> {
    let v3 = QueryV3 {
        suppress: false,
        robustness: 2,
        interval_s: 125,
        sources: sources.iter().map(|s| s.parse().unwrap()).collect(),
    };
    let repr = IgmpRepr::Query { max_response_ds: 10, group: group.parse().unwrap(), v3: Some(v3) };
    let mut igmp = vec![0; repr.header_len()];
    repr.emit(&mut igmp);
    let to = if group == "0.0.0.0" { [224, 0, 0, 1] } else { [232, 1, 2, 3] };
    let header = Ipv4Repr {
        ttl: 1,
        options: Ipv4Options::ROUTER_ALERT,
        ..Ipv4Repr::new([10, 0, 0, 9].into(), to.into(), 2, igmp.len())
    };
    let header = Ipv4Repr { total_len: (header.header_len() + igmp.len()) as u16, ..header };
    let mut out = [[1, 0, 0x5e, to[1] & 0x7f, to[2], to[3]].as_slice(), &[2, 0, 0, 0, 0, 9, 8, 0]].concat();
    let at = out.len();
    out.resize(at + header.header_len(), 0);
    header.emit(&mut out[at..]);
    out.extend(igmp);
    out
}

#[test]
fn queries_are_answered_for_what_is_heard() {
    use RecordKind::{IsExclude, IsInclude};
    let mut net = Net::new();
    let s = net.udp(B);
    let dev = net.dev[B];
    for source in ["1.1.1.1", "1.1.1.2"] {
        let asked = of(&net, B, source);
        set(&mut net, B, s, SockOpt::JoinSource(asked)).unwrap();
    }
    net.advance(SECOND * 5);
    net.lose = Some(watch);
    let answer = |net: &mut Net, queries: &[Vec<u8>]| {
        for query in queries {
            net.call(B, |ns, t| {
                let id = t.new_pkt_id();
                ns.receive(t, dev, Pkt::from_slice(id, query));
            });
        }
        net.advance(SECOND * 3);
        reported()
    };
    let [a, b] = ["1.1.1.1", "1.1.1.2"].map(ip);
    let both = vec![a, b];
    assert_eq!(answer(&mut net, &[query("0.0.0.0", &[])]), [(IsInclude, both.clone())]);
    assert_eq!(answer(&mut net, &[query(GROUP, &[])]), [(IsInclude, both)]);
    assert_eq!(answer(&mut net, &[query(GROUP, &["1.1.1.2", "9.9.9.9"])]), [(IsInclude, vec![b])]);
    assert_eq!(answer(&mut net, &[query(GROUP, &["9.9.9.9"])]), [], "nothing to say");
    let two = [query(GROUP, &["1.1.1.2"]), query(GROUP, &["1.1.1.1"])];
    assert_eq!(answer(&mut net, &two), [(IsInclude, vec![a, b])], "one answer to both");
    let exclude = SourceFilter { at: at(GROUP, dev), filter: filter(FilterMode::Exclude, &["1.1.1.1"]) };
    set(&mut net, B, s, SockOpt::SourceFilter(exclude)).unwrap();
    net.advance(SECOND * 5);
    reported();
    assert_eq!(answer(&mut net, &[query(GROUP, &[])]), [(IsExclude, vec![a])]);
    assert_eq!(answer(&mut net, &[query(GROUP, &["1.1.1.1", "1.1.1.2"])]), [(IsInclude, vec![b])]);
}
