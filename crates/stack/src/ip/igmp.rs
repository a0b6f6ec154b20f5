//! IGMP (RFC 3376; RFC 2236, RFC 1112 towards older queriers): this host's group memberships on a link.

use std::net::{IpAddr, Ipv4Addr};

use netspace_base::{ChecksumState, DevId, DropReason, Duration, Pkt, Point};
use netspace_wire::igmp::{ALL_ROUTERS, ALL_SYSTEMS, ALL_V3_ROUTERS, GroupRecord, IgmpRepr, QueryV3};
use netspace_wire::ipv4::Ipv4Options;
use netspace_wire::protocol;

use crate::error::SockError;
use crate::l4::{self, Arrival};
use crate::membership::{Due, Filter, packed, within};
use crate::route::SendInfo;
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// How long a querier of version 1 is believed to be there (RFC 2236 §8.11).
const V1_QUERIER_PRESENT: Duration = Duration::from_secs(400);
/// The same of version 2 (RFC 3376 §8.12: 2 × 125 s + 10 s).
const V2_QUERIER_PRESENT: Duration = Duration::from_secs(260);
/// The time in which changes are collected into one report.
const CHANGE_DELAY: Duration = Duration::from_millis(1);
/// Headers around the records of a report: IPv4 with router alert, IGMP.
const REPORT_OVERHEAD: usize = 24 + 8;
/// The time within which a version 1 query is answered.
const V1_RESPONSE: Duration = Duration::from_secs(10);

/// Changes the filter of one of a group's users on a device; the link's routers are told. `old` is none for one that joins,
/// `new` for one that leaves.
pub(crate) fn change(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    group: Ipv4Addr,
    old: Option<&Filter<Ipv4Addr>>,
    new: Option<&Filter<Ipv4Addr>>,
) -> Result<(), SockError> {
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    let changed = device.groups4.change(group, old, new).ok_or(SockError::NoBuffers)?;
    if !device.is_up() {
        return Ok(());
    }
    let version = version(ns, t, dev);
    match changed.gone {
        Some(last) if version < 3 => {
            if version == 2 && last.reporter && is_reported(ns, dev, group) {
                send(ns, t, dev, ALL_ROUTERS, &IgmpRepr::Leave { group });
            }
        }
        _ if changed.before == changed.after => {}
        _ => report_change(ns, t, dev, group, &changed.before, &changed.after),
    }
    Ok(())
}

fn version(ns: &Netns, t: &Turn, dev: DevId) -> u8 {
    let Some(device) = ns.dev.get(dev) else { return 3 };
    let forced = device.conf.v4.force_igmp_version.max(ns.sysctl.all4.force_igmp_version);
    device.groups4.version(t.now, 3, forced)
}

/// All systems are never reported, groups of the link only where that is asked for, nothing on loopback.
fn is_reported(ns: &Netns, dev: DevId, group: Ipv4Addr) -> bool {
    let link_local = group.octets()[..3] == [224, 0, 0];
    group != ALL_SYSTEMS
        && (!link_local || ns.sysctl.net4.igmp_link_local_mcast_reports != 0)
        && ns.dev.get(dev).is_some_and(|d| d.is_up() && !d.is_loopback() && d.master.is_none())
}

/// A change is reported almost at once, together with others of the same moment; repetitions follow.
fn report_change(
    ns: &mut Netns,
    t: &Turn,
    dev: DevId,
    group: Ipv4Addr,
    before: &Filter<Ipv4Addr>,
    after: &Filter<Ipv4Addr>,
) {
    if !is_reported(ns, dev, group) {
        return;
    }
    let times = ns.sysctl.net4.igmp_qrv.max(1) as u32;
    if let Some(device) = ns.dev.get_mut(dev) {
        device.groups4.note_change(group, before, after, times);
        put_off(ns, t, dev, CHANGE_DELAY, Due::Changes);
    }
}

/// Reports changes; those that are to be repeated are due again, together, after a random time.
fn report_changes(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let speaks_newest = version(ns, t, dev) == 3;
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let conf = &device.conf.v4;
    let interval = if speaks_newest {
        conf.igmpv3_unsolicited_report_interval
    } else {
        conf.igmpv2_unsolicited_report_interval
    };
    let (groups, records, again) = device.groups4.take_changes();
    if again {
        let wait = within(&mut ns.rng, Duration::from_millis(interval as u64));
        put_off(ns, t, dev, wait, Due::Changes);
    }
    if speaks_newest {
        return send_records(ns, t, dev, records);
    }
    for group in groups {
        report_one(ns, t, dev, group, &[]);
    }
}

/// Sends records in as many reports as the device's MTU asks for.
fn send_records(ns: &mut Netns, t: &mut Turn, dev: DevId, records: Vec<GroupRecord<Ipv4Addr>>) {
    let Some(mtu) = ns.dev.get(dev).map(|d| d.mtu as usize) else { return };
    for records in packed(records, 4, mtu.saturating_sub(REPORT_OVERHEAD)) {
        send(ns, t, dev, ALL_V3_ROUTERS, &IgmpRepr::ReportV3 { records });
    }
}

fn put_off(ns: &mut Netns, t: &Turn, dev: DevId, wait: Duration, what: Due<Ipv4Addr>) {
    let at = t.now + wait;
    if ns.dev.get_mut(dev).is_some_and(|d| d.groups4.report_at(at, what)) {
        ns.timers.set(at, TimerKey::Igmp(dev));
    }
}

/// Reports are due.
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    for due in device.groups4.take_due(t.now) {
        match due {
            Due::All => report_all(ns, t, dev),
            Due::One(group, asked) => report_one(ns, t, dev, group, &asked),
            Due::Changes => report_changes(ns, t, dev),
        }
    }
}

/// One report of all groups (version 3's answer to a general query).
fn report_all(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(groups) = ns.dev.get(dev).map(|d| &d.groups4) else { return };
    let records = groups.iter().filter(|g| is_reported(ns, dev, g.addr)).map(|g| g.addr);
    let records = records.filter_map(|group| groups.current(group, &[])).collect();
    send_records(ns, t, dev, records);
}

/// A report about one group (or only about the sources that were asked for), in the version that the link speaks.
fn report_one(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv4Addr, asked: &[Ipv4Addr]) {
    if !is_reported(ns, dev, group) {
        return;
    }
    let version = version(ns, t, dev);
    let Some(groups) = ns.dev.get_mut(dev).map(|d| &mut d.groups4) else { return };
    let Some(record) = groups.current(group, asked) else { return };
    groups.reported(group, true);
    match version {
        1 => send(ns, t, dev, group, &IgmpRepr::ReportV1 { group }),
        2 => send(ns, t, dev, group, &IgmpRepr::ReportV2 { group }),
        _ => send_records(ns, t, dev, vec![record]),
    }
}

fn send(ns: &mut Netns, t: &mut Turn, dev: DevId, dst: Ipv4Addr, repr: &IgmpRepr) {
    let mut pkt = t.new_pkt();
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    pkt.append(&bytes);
    pkt.checksum = ChecksumState::Unnecessary;
    pkt.protocol = netspace_wire::ethernet::ETHERTYPE_IPV4;
    let info = SendInfo {
        dev: Some(dev),
        ttl: Some(1),
        tos: 0xc0,
        df: true,
        multicast_loop: false,
        options: Ipv4Options::ROUTER_ALERT.as_bytes().to_vec(),
        ..SendInfo::new(dst.into(), protocol::IGMP)
    };
    let _ = super::send::send(ns, t, pkt, &info);
}

/// Takes an IGMP message (data = IGMP header on).
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    l4::raw_deliver(ns, t, &pkt, arrival);
    t.trace.at(t.now, ns.id, Point::IcmpReceive, &pkt);
    pkt.linearize();
    let Ok((repr, _)) = IgmpRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::IgmpMalformed));
    };
    match repr {
        IgmpRepr::Query { max_response_ds, group, v3 } => {
            query(ns, t, pkt.dev, max_response_ds, group, v3);
        }
        // Another member has answered: versions 1 and 2 then keep silent (RFC 2236 §3).
        IgmpRepr::ReportV1 { group } | IgmpRepr::ReportV2 { group } => {
            let ours = matches!(arrival.src, IpAddr::V4(src) if super::source::is_local(ns, src));
            let older = version(ns, t, pkt.dev) < 3;
            if let Some(device) = ns.dev.get_mut(pkt.dev).filter(|_| older && !ours) {
                device.groups4.reported(group, false);
            }
        }
        IgmpRepr::Leave { .. } | IgmpRepr::ReportV3 { .. } => {}
    }
    Ok(pkt)
}

/// A router asks who is a member (RFC 3376 §5.2).
fn query(
    ns: &mut Netns,
    t: &Turn,
    dev: DevId,
    max_response_ds: u32,
    group: Ipv4Addr,
    v3: Option<QueryV3<Ipv4Addr>>,
) {
    let told = Duration::from_millis(u64::from(max_response_ds) * 100);
    // Only version 1 leaves the time out; in version 3 none means at once.
    let (asked, older) = match (&v3, max_response_ds) {
        (Some(_), _) => (told, None),
        (None, 0) => (V1_RESPONSE, Some((1, V1_QUERIER_PRESENT))),
        (None, _) => (told, Some((2, V2_QUERIER_PRESENT))),
    };
    if let (Some((version, present)), Some(device)) = (older, ns.dev.get_mut(dev)) {
        device.groups4.heard_older(version, t.now + present);
    }
    let speaks_v3 = version(ns, t, dev) == 3;
    let groups: Vec<Ipv4Addr> =
        ns.dev.get(dev).map(|d| d.groups4.iter().map(|g| g.addr).collect()).unwrap_or_default();
    if group.is_unspecified() && speaks_v3 {
        let wait = within(&mut ns.rng, asked);
        put_off(ns, t, dev, wait, Due::All);
        return;
    }
    let asked_sources = v3.map(|q| q.sources).unwrap_or_default();
    for member in groups.into_iter().filter(|g| group.is_unspecified() || *g == group) {
        if is_reported(ns, dev, member) {
            let wait = within(&mut ns.rng, asked);
            put_off(ns, t, dev, wait, Due::One(member, asked_sources.clone()));
        }
    }
}

/// The device came up: all systems is joined, and what was joined before is reported.
pub(crate) fn device_up(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    if !device.groups4.is_member(ALL_SYSTEMS) {
        let _ = device.groups4.join(ALL_SYSTEMS);
    }
    let groups: Vec<_> = device.groups4.iter().map(|g| (g.addr, g.filter())).collect();
    for (group, filter) in groups {
        report_change(ns, t, dev, group, &Filter::NONE, &filter);
    }
}

/// The device went down: nothing is reported any more.
pub(crate) fn device_down(ns: &mut Netns, dev: DevId) {
    if let Some(device) = ns.dev.get_mut(dev) {
        device.groups4.reset();
        let _ = device.groups4.leave(ALL_SYSTEMS);
    }
}
