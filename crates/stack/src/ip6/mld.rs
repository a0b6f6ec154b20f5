//! MLD (RFC 3810; RFC 2710 towards older queriers): this host's group memberships on a link.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{DevId, DropReason, Duration, Pkt};
use netspace_wire::MacAddr;
use netspace_wire::icmpv6::fill_checksum;
use netspace_wire::igmp::{GroupRecord, RecordKind};
use netspace_wire::ipv6::ext::router_alert_header;
use netspace_wire::ipv6::{ALL_MLDV2_ROUTERS, ALL_NODES, ALL_ROUTERS, HEADER_LEN, Ipv6Repr};
use netspace_wire::mld::MldRepr;
use netspace_wire::protocol;

use super::source::link_local;
use crate::error::SockError;
use crate::l4::Arrival;
use crate::membership::{Due, within};
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// How long an older querier is believed to be there (RFC 3810 §9.12: 2 × 125 s + 10 s).
const OLDER_QUERIER_PRESENT: Duration = Duration::from_secs(260);
/// The time in which changes are collected into one report.
const CHANGE_DELAY: Duration = Duration::from_millis(1);
/// Records in one report: 20 bytes each, what fits into the least MTU.
const RECORDS_MAX: usize = 60;
/// All nodes and all routers, interface-local and (routers) site-local.
const INTERFACE_NODES: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);
const INTERFACE_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 2);
const SITE_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2);

/// Joins a group on a device; the link's routers are told.
pub(crate) fn join(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr) {
    let _ = try_join(ns, t, dev, group);
}

/// Joins a group for a socket.
pub(crate) fn try_join(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr) -> Result<(), SockError> {
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    let first = device.groups6.join(group).ok_or(SockError::NoBuffers)?;
    if first && device.is_up() {
        changed(ns, t, dev, group, true);
    }
    Ok(())
}

/// Leaves a group on a device; after the last user the link's routers are told.
pub(crate) fn leave(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let Some(last) = device.groups6.leave(group) else { return };
    if !device.is_up() {
        return;
    }
    if version(ns, t, dev) == 2 {
        changed(ns, t, dev, group, false);
    } else if last.reporter && is_reported(ns, dev, group) {
        send(ns, t, dev, ALL_ROUTERS, &MldRepr::Done { group });
    }
}

fn version(ns: &Netns, t: &Turn, dev: DevId) -> u8 {
    let Some(device) = ns.dev.get(dev) else { return 2 };
    let forced = device.conf.v6.force_mld_version.max(ns.sysctl.all6.force_mld_version);
    device.groups6.version(t.now, 2, forced)
}

/// All nodes and interface-local groups are never reported (RFC 3810 §6).
fn is_reported(ns: &Netns, dev: DevId, group: Ipv6Addr) -> bool {
    group != ALL_NODES
        && group.octets()[1] & 15 > 1
        && ns.dev.get(dev).is_some_and(|d| d.is_up() && !d.is_loopback() && d.master.is_none())
}

/// A change is reported almost at once, together with others of the same moment; repetitions follow.
fn changed(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr, joined: bool) {
    if is_reported(ns, dev, group) {
        let times = ns.sysctl.net6.mld_qrv.max(1) as u32;
        let what = if joined { Due::Joined(group, times) } else { Due::Left(group, times) };
        put_off(ns, t, dev, CHANGE_DELAY, what);
    }
}

/// Reports changes; those that are to be repeated are due again, together, after a random time.
fn report_changes(ns: &mut Netns, t: &mut Turn, dev: DevId, changes: &[(bool, Ipv6Addr, u32)]) {
    let speaks_newest = version(ns, t, dev) == 2;
    let Some(conf) = ns.dev.get(dev).map(|d| &d.conf.v6) else { return };
    let interval = if speaks_newest {
        conf.mldv2_unsolicited_report_interval
    } else {
        conf.mldv1_unsolicited_report_interval
    };
    let wait = within(&mut ns.rng, Duration::from_millis(interval as u64));
    for &(joined, group, times) in changes.iter().filter(|(_, _, times)| *times > 1) {
        let what = if joined { Due::Joined(group, times - 1) } else { Due::Left(group, times - 1) };
        put_off(ns, t, dev, wait, what);
    }
    if speaks_newest {
        let record = |&(joined, group, _): &(bool, Ipv6Addr, u32)| GroupRecord {
            kind: if joined { RecordKind::ToExclude } else { RecordKind::ToInclude },
            group,
            sources: Vec::new(),
        };
        let records: Vec<_> = changes.iter().map(record).collect();
        for records in records.chunks(RECORDS_MAX) {
            send(ns, t, dev, ALL_MLDV2_ROUTERS, &MldRepr::ReportV2 { records: records.to_vec() });
        }
    } else {
        for &(_, group, _) in changes.iter().filter(|(joined, ..)| *joined) {
            report_one(ns, t, dev, group);
        }
    }
}

fn put_off(ns: &mut Netns, t: &Turn, dev: DevId, wait: Duration, what: Due<Ipv6Addr>) {
    let at = t.now + wait;
    if ns.dev.get_mut(dev).is_some_and(|d| d.groups6.report_at(at, what)) {
        ns.timers.set(at, TimerKey::Mld(dev));
    }
}

/// Reports are due.
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let mut changes = Vec::new();
    for due in device.groups6.take_due(t.now) {
        match due {
            Due::All => report_all(ns, t, dev),
            Due::One(group) => report_one(ns, t, dev, group),
            Due::Joined(group, times) => changes.push((true, group, times)),
            Due::Left(group, times) => changes.push((false, group, times)),
        }
    }
    if !changes.is_empty() {
        report_changes(ns, t, dev, &changes);
    }
}

/// One report of all groups (version 2's answer to a general query).
fn report_all(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let groups: Vec<Ipv6Addr> =
        ns.dev.get(dev).map(|d| d.groups6.iter().map(|g| g.addr).collect()).unwrap_or_default();
    let record = |group| GroupRecord { kind: RecordKind::IsExclude, group, sources: Vec::new() };
    let records: Vec<_> = groups.into_iter().filter(|g| is_reported(ns, dev, *g)).map(record).collect();
    for records in records.chunks(RECORDS_MAX) {
        send(ns, t, dev, ALL_MLDV2_ROUTERS, &MldRepr::ReportV2 { records: records.to_vec() });
    }
}

/// A report about one group, in the version that the link speaks.
fn report_one(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr) {
    let member = ns.dev.get(dev).is_some_and(|d| d.groups6.is_member(group));
    if !member || !is_reported(ns, dev, group) {
        return;
    }
    if let Some(device) = ns.dev.get_mut(dev) {
        device.groups6.reported(group, true);
    }
    if version(ns, t, dev) == 1 {
        send(ns, t, dev, group, &MldRepr::ReportV1 { group });
    } else {
        let records = vec![GroupRecord { kind: RecordKind::IsExclude, group, sources: Vec::new() }];
        send(ns, t, dev, ALL_MLDV2_ROUTERS, &MldRepr::ReportV2 { records });
    }
}

/// Sends a message with hop limit 1 and a router alert; without a usable link-local address from `::` (RFC 3590).
fn send(ns: &mut Netns, t: &mut Turn, dev: DevId, dst: Ipv6Addr, repr: &MldRepr) {
    let src = link_local(ns, dev).unwrap_or(Ipv6Addr::UNSPECIFIED);
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    fill_checksum(src, dst, &mut bytes);
    let kind = bytes[0];
    let mut pkt = super::message::message(t, &bytes);
    pkt.set_transport_header();
    let alert = router_alert_header(protocol::ICMPV6);
    pkt.push(alert.len()).copy_from_slice(&alert);
    let header =
        Ipv6Repr { hop_limit: 1, ..Ipv6Repr::new(src, dst, protocol::HOP_BY_HOP, alert.len() + bytes.len()) };
    header.emit(pkt.push(HEADER_LEN));
    pkt.set_network_header();
    pkt.dev = dev;
    super::message::count_out(ns, kind);
    super::message::send_on_link(ns, t, pkt, MacAddr::multicast_v6(dst));
}

/// Takes an MLD message (data = ICMPv6 header on; its checksum was checked).
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    pkt.linearize();
    // RFC 3810 §6.2: from a link-local address with hop limit 1.
    let from_link = matches!(arrival.src, IpAddr::V6(a) if a.is_unicast_link_local() || a.is_unspecified());
    let parsed = MldRepr::parse(pkt.data()).ok().filter(|_| from_link && arrival.ttl == 1);
    let Some((repr, _)) = parsed else { return Err(Stop::Drop(pkt, DropReason::IgmpMalformed)) };
    match repr {
        MldRepr::Query { max_response_ms, group, v2 } => {
            query(ns, t, pkt.dev, max_response_ms, group, v2.is_some());
        }
        MldRepr::ReportV1 { group } => {
            let older = version(ns, t, pkt.dev) < 2;
            if let Some(device) = ns.dev.get_mut(pkt.dev).filter(|_| older) {
                device.groups6.reported(group, false);
            }
        }
        MldRepr::Done { .. } | MldRepr::ReportV2 { .. } => {}
    }
    Ok(pkt)
}

/// A router asks who is a member (RFC 3810 §6.2).
fn query(ns: &mut Netns, t: &mut Turn, dev: DevId, max_response_ms: u32, group: Ipv6Addr, v2: bool) {
    let asked = Duration::from_millis(max_response_ms.max(1).into());
    if !v2 && let Some(device) = ns.dev.get_mut(dev) {
        device.groups6.heard_older(1, t.now + OLDER_QUERIER_PRESENT);
    }
    let speaks_v2 = version(ns, t, dev) == 2;
    let groups: Vec<Ipv6Addr> =
        ns.dev.get(dev).map(|d| d.groups6.iter().map(|g| g.addr).collect()).unwrap_or_default();
    if group.is_unspecified() && speaks_v2 {
        let wait = within(&mut ns.rng, asked);
        put_off(ns, t, dev, wait, Due::All);
        return;
    }
    for member in groups.into_iter().filter(|g| group.is_unspecified() || *g == group) {
        if is_reported(ns, dev, member) {
            let wait = within(&mut ns.rng, asked);
            put_off(ns, t, dev, wait, Due::One(member));
        }
    }
}

/// The device came up: the groups that every node joins, and what was joined before is reported.
pub(crate) fn device_up(ns: &mut Netns, t: &mut Turn, dev: DevId, router: bool) {
    let before: Vec<Ipv6Addr> =
        ns.dev.get(dev).map(|d| d.groups6.iter().map(|g| g.addr).collect()).unwrap_or_default();
    for group in before {
        changed(ns, t, dev, group, true);
    }
    join(ns, t, dev, INTERFACE_NODES);
    join(ns, t, dev, ALL_NODES);
    if router {
        set_router(ns, t, dev, true);
    }
}

/// A router is in the routers' groups (RFC 4291 §2.8).
pub(crate) fn set_router(ns: &mut Netns, t: &mut Turn, dev: DevId, router: bool) {
    for group in [INTERFACE_ROUTERS, ALL_ROUTERS, SITE_ROUTERS] {
        let member = ns.dev.get(dev).is_some_and(|d| d.groups6.is_member(group));
        if router && !member {
            join(ns, t, dev, group);
        } else if !router && member {
            leave(ns, t, dev, group);
        }
    }
}

/// The link-local address may be used now: what was reported from `::` is reported again.
pub(crate) fn link_local_ready(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    report_all(ns, t, dev);
}

/// The device went down: the groups of addresses and of every node go, those of sockets stay.
pub(crate) fn device_down(ns: &mut Netns, dev: DevId) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    device.groups6.reset();
    let solicited =
        |a: Ipv6Addr| a.segments()[..7] == [0xff02, 0, 0, 0, 0, 1, 0xff00 | (a.octets()[13] as u16)];
    let own: Vec<Ipv6Addr> = device
        .groups6
        .iter()
        .map(|g| g.addr)
        .filter(|a| {
            solicited(*a)
                || [INTERFACE_NODES, ALL_NODES, INTERFACE_ROUTERS, ALL_ROUTERS, SITE_ROUTERS].contains(a)
        })
        .collect();
    for group in own {
        while device.groups6.is_member(group) {
            let _ = device.groups6.leave(group);
        }
    }
}
