//! MLD (RFC 3810; RFC 2710 towards older queriers): this host's group memberships on a link.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{DevId, DropReason, Duration, Pkt};
use netspace_wire::MacAddr;
use netspace_wire::icmpv6::fill_checksum;
use netspace_wire::igmp::{GroupRecord, QueryV3};
use netspace_wire::ipv6::ext::{ALERT_MLD, Chain, router_alert_header};
use netspace_wire::ipv6::{ALL_MLDV2_ROUTERS, ALL_NODES, ALL_ROUTERS, HEADER_LEN, Ipv6Repr};
use netspace_wire::mld::MldRepr;
use netspace_wire::protocol;

use super::source::link_local;
use crate::error::SockError;
use crate::l4::Arrival;
use crate::membership::{Due, Filter, packed, within};
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// How long an older querier is believed to be there (RFC 3810 §9.12: 2 × 125 s + 10 s).
const OLDER_QUERIER_PRESENT: Duration = Duration::from_secs(260);
/// The time in which changes are collected into one report.
const CHANGE_DELAY: Duration = Duration::from_millis(1);
/// Headers around the records of a report: IPv6, router alert, ICMPv6.
const REPORT_OVERHEAD: usize = HEADER_LEN + 8 + 8;
/// All nodes and all routers, interface-local and (routers) site-local.
const INTERFACE_NODES: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);
const INTERFACE_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 2);
const SITE_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2);

/// Joins a group on a device; the link's routers are told.
pub(crate) fn join(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr) {
    let _ = change(ns, t, dev, group, None, Some(&Filter::ANY));
}

/// Changes the filter of one of a group's users on a device; the link's routers are told. `old` is none for one that joins,
/// `new` for one that leaves.
pub(crate) fn change(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    group: Ipv6Addr,
    old: Option<&Filter<Ipv6Addr>>,
    new: Option<&Filter<Ipv6Addr>>,
) -> Result<(), SockError> {
    let device = ns.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
    let changed = device.groups6.change(group, old, new).ok_or(SockError::NoBuffers)?;
    if !device.is_up() {
        return Ok(());
    }
    let version = version(ns, t, dev);
    match changed.gone {
        Some(last) if version < 2 => {
            if last.reporter && is_reported(ns, dev, group) {
                send(ns, t, dev, ALL_ROUTERS, &MldRepr::Done { group });
            }
        }
        _ if changed.before == changed.after => {}
        _ => report_change(ns, t, dev, group, &changed.before, &changed.after),
    }
    Ok(())
}

/// Leaves a group on a device; after the last user the link's routers are told.
pub(crate) fn leave(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr) {
    let _ = change(ns, t, dev, group, Some(&Filter::ANY), None);
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
fn report_change(
    ns: &mut Netns,
    t: &Turn,
    dev: DevId,
    group: Ipv6Addr,
    before: &Filter<Ipv6Addr>,
    after: &Filter<Ipv6Addr>,
) {
    if !is_reported(ns, dev, group) {
        return;
    }
    let times = ns.sysctl.net6.mld_qrv.max(1) as u32;
    if let Some(device) = ns.dev.get_mut(dev) {
        device.groups6.note_change(group, before, after, times);
        put_off(ns, t, dev, CHANGE_DELAY, Due::Changes);
    }
}

/// Reports changes; those that are to be repeated are due again, together, after a random time.
fn report_changes(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let speaks_newest = version(ns, t, dev) == 2;
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let conf = &device.conf.v6;
    let interval = if speaks_newest {
        conf.mldv2_unsolicited_report_interval
    } else {
        conf.mldv1_unsolicited_report_interval
    };
    let (groups, records, again) = device.groups6.take_changes();
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
fn send_records(ns: &mut Netns, t: &mut Turn, dev: DevId, records: Vec<GroupRecord<Ipv6Addr>>) {
    let Some(mtu) = ns.dev.get(dev).map(|d| d.mtu as usize) else { return };
    for records in packed(records, 16, mtu.saturating_sub(REPORT_OVERHEAD)) {
        send(ns, t, dev, ALL_MLDV2_ROUTERS, &MldRepr::ReportV2 { records });
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
    for due in device.groups6.take_due(t.now) {
        match due {
            Due::All => report_all(ns, t, dev),
            Due::One(group, asked) => report_one(ns, t, dev, group, &asked),
            Due::Changes => report_changes(ns, t, dev),
        }
    }
}

/// One report of all groups (version 2's answer to a general query).
fn report_all(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(groups) = ns.dev.get(dev).map(|d| &d.groups6) else { return };
    let records = groups.iter().filter(|g| is_reported(ns, dev, g.addr)).map(|g| g.addr);
    let records = records.filter_map(|group| groups.current(group, &[])).collect();
    send_records(ns, t, dev, records);
}

/// A report about one group (or only about the sources that were asked for), in the version that the link speaks.
fn report_one(ns: &mut Netns, t: &mut Turn, dev: DevId, group: Ipv6Addr, asked: &[Ipv6Addr]) {
    if !is_reported(ns, dev, group) {
        return;
    }
    let version = version(ns, t, dev);
    let Some(groups) = ns.dev.get_mut(dev).map(|d| &mut d.groups6) else { return };
    let Some(record) = groups.current(group, asked) else { return };
    groups.reported(group, true);
    match version {
        1 => send(ns, t, dev, group, &MldRepr::ReportV1 { group }),
        _ => send_records(ns, t, dev, vec![record]),
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

/// Whether a packet (from its network header on) is an MLD message.
pub(super) fn is_mld(packet: &[u8]) -> bool {
    let kind = Chain::parse(packet).ok().filter(|chain| chain.protocol == protocol::ICMPV6);
    kind.and_then(|chain| packet.get(chain.offset)).is_some_and(|kind| matches!(kind, 130..=132 | 143))
}

/// Takes an MLD message (data = ICMPv6 header on; its checksum was checked).
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    pkt.linearize();
    // RFC 3810 §5.2.13, §6.2: from a link-local address with hop limit 1; a query with a router alert, and never from `::`.
    let from_link = matches!(arrival.src, IpAddr::V6(a) if a.is_unicast_link_local() || a.is_unspecified());
    let parsed = MldRepr::parse(pkt.data()).ok().filter(|_| from_link && arrival.ttl == 1);
    let Some((repr, _)) = parsed else { return Err(Stop::Drop(pkt, DropReason::IgmpMalformed)) };
    if matches!(repr, MldRepr::Query { .. }) && !is_from_router(&pkt, arrival) {
        return Err(Stop::Drop(pkt, DropReason::IgmpMalformed));
    }
    match repr {
        MldRepr::Query { max_response_ms, group, v2 } => {
            query(ns, t, pkt.dev, max_response_ms, group, v2);
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

/// Whether a query bears what routers put there: a source, and a router alert.
fn is_from_router(query: &Pkt, arrival: &Arrival) -> bool {
    let alert = Chain::parse(query.network_header()).is_ok_and(|chain| chain.router_alert == Some(ALERT_MLD));
    alert && !arrival.src.is_unspecified()
}

/// A router asks who is a member (RFC 3810 §6.2).
fn query(
    ns: &mut Netns,
    t: &Turn,
    dev: DevId,
    max_response_ms: u32,
    group: Ipv6Addr,
    v2: Option<QueryV3<Ipv6Addr>>,
) {
    let asked = Duration::from_millis(max_response_ms.max(1).into());
    if v2.is_none()
        && let Some(device) = ns.dev.get_mut(dev)
    {
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
    let asked_sources = v2.map(|q| q.sources).unwrap_or_default();
    for member in groups.into_iter().filter(|g| group.is_unspecified() || *g == group) {
        if is_reported(ns, dev, member) {
            let wait = within(&mut ns.rng, asked);
            put_off(ns, t, dev, wait, Due::One(member, asked_sources.clone()));
        }
    }
}

/// The device came up: the groups that every node joins, and what was joined before is reported.
pub(crate) fn device_up(ns: &mut Netns, t: &mut Turn, dev: DevId, router: bool) {
    let before: Vec<_> =
        ns.dev.get(dev).map(|d| d.groups6.iter().map(|g| (g.addr, g.filter())).collect()).unwrap_or_default();
    for (group, filter) in before {
        report_change(ns, t, dev, group, &Filter::NONE, &filter);
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
