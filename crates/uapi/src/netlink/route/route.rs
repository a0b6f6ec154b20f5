//! Routes: `RTM_GETROUTE` (dumps, and the way to one destination), `RTM_NEWROUTE`, `RTM_DELROUTE`.
//!
//! `struct rtmsg { u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags; }`, then `RTA_*`.

use std::net::IpAddr;

use ipnet::IpNet;
use netspace_base::{DevId, Instant};
use netspace_fib::{
    Fib, Kind as RouteType, Net, NextHop, Query, Route, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
use netspace_stack::dev::Device;
use netspace_stack::{Netns, RouteKind, RouteOut, RouteQuery, Turn};

use super::super::read::{Attrs, Kind, Policy};
use super::super::write::Message;
use super::super::{NlError, Replies, Request};
use super::{AF_INET, AF_INET6, rtm};
use crate::bytes_at::u32_at;

/// `sizeof(struct rtmsg)`.
pub(super) const HEADER_LEN: usize = 12;

/// `RTA_*`.
pub(super) mod rta {
    pub(crate) const DST: u16 = 1;
    pub(crate) const SRC: u16 = 2;
    pub(crate) const IIF: u16 = 3;
    pub(crate) const OIF: u16 = 4;
    pub(crate) const GATEWAY: u16 = 5;
    pub(crate) const PRIORITY: u16 = 6;
    pub(crate) const PREFSRC: u16 = 7;
    pub(crate) const METRICS: u16 = 8;
    pub(crate) const MULTIPATH: u16 = 9;
    pub(crate) const CACHEINFO: u16 = 12;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const MARK: u16 = 16;
    pub(crate) const PREF: u16 = 20;
    pub(crate) const UID: u16 = 25;
    pub(crate) const IP_PROTO: u16 = 27;
    pub(crate) const SPORT: u16 = 28;
    pub(crate) const DPORT: u16 = 29;
}

/// Inside `RTA_METRICS`.
pub(super) const RTAX_LOCK: u16 = 1;
pub(super) const RTAX_MTU: u16 = 2;
pub(super) const RTAX_HOPLIMIT: u16 = 10;

const RTNH_F_DEAD: u32 = 1;
pub(super) const RTNH_F_ONLINK: u32 = 4;
const RTNH_F_LINKDOWN: u32 = 16;
const RTM_F_CLONED: u32 = 0x200;
const RTM_F_FIB_MATCH: u32 = 0x2000;

pub(super) const POLICY: Policy = &[
    (rta::DST, Kind::Ip),
    (rta::SRC, Kind::Ip),
    (rta::IIF, Kind::U32),
    (rta::OIF, Kind::U32),
    (rta::GATEWAY, Kind::Ip),
    (rta::PRIORITY, Kind::U32),
    (rta::PREFSRC, Kind::Ip),
    (rta::METRICS, Kind::Nested),
    (rta::MULTIPATH, Kind::Any),
    (rta::TABLE, Kind::U32),
    (rta::MARK, Kind::U32),
    (rta::PREF, Kind::U8),
    (rta::UID, Kind::U32),
    (rta::IP_PROTO, Kind::U8),
    (rta::SPORT, Kind::U16),
    (rta::DPORT, Kind::U16),
];

/// The family's header as read.
#[derive(Clone, Copy)]
pub(super) struct Rtmsg {
    pub(super) family: u8,
    pub(super) dst_len: u8,
    pub(super) tos: u8,
    pub(super) table: u8,
    pub(super) protocol: u8,
    pub(super) scope: u8,
    pub(super) ty: u8,
    pub(super) flags: u32,
}

impl Rtmsg {
    pub(super) fn read(request: &Request<'_>) -> Option<Self> {
        let body = request.body();
        let [family, dst_len, _src_len, tos, table, protocol, scope, ty, ..] = *body else { return None };
        Some(Self { family, dst_len, tos, table, protocol, scope, ty, flags: u32_at(body, 8)? })
    }
}

/// What a dump is to be cut to; 0 and none stand for "any".
#[derive(Clone, Copy, Default)]
struct Filter {
    table: u32,
    protocol: u8,
    ty: u8,
    oif: Option<u32>,
}

impl Filter {
    fn is_any(&self) -> bool {
        self.table == 0 && self.protocol == 0 && self.ty == 0 && self.oif.is_none()
    }

    fn accepts<N: Net>(&self, route: &Route<N>) -> bool {
        (self.table == 0 || route.table == self.table)
            && (self.protocol == 0 || route.protocol == self.protocol)
            && (self.ty == 0 || route.kind as u8 == self.ty)
            && self.oif.is_none_or(|oif| route.hops.iter().any(|hop| hop.dev.0 == oif))
    }
}

/// All routes of all tables; with strict checks, those that the request's header and attributes ask for.
pub(super) fn dump(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let mut filter = Filter::default();
    if let Some(header) = Rtmsg::read(request) {
        // "Cached" routes: there are none, as in Linux since 3.6 (IPv6 keeps exceptions, which are not shown here).
        if header.flags & RTM_F_CLONED != 0 {
            return Ok(());
        }
        if request.strict {
            filter = Filter {
                table: attrs.u32(rta::TABLE).unwrap_or(u32::from(header.table)),
                protocol: header.protocol,
                ty: header.ty,
                oif: attrs.u32(rta::OIF),
            };
        }
    }
    if !filter.is_any() {
        out.set_filtered();
    }
    let family = request.family();
    if family == 0 || family == AF_INET {
        dump_fib(ns, t.now, &ns.fib4, AF_INET, filter, out, family != 0)?;
    }
    if family == 0 || family == AF_INET6 {
        dump_fib(ns, t.now, &ns.fib6, AF_INET6, filter, out, family != 0)?;
    }
    Ok(())
}

fn dump_fib<N: Net + Into<IpNet>>(
    ns: &Netns,
    now: Instant,
    fib: &Fib<N>,
    family: u8,
    filter: Filter,
    out: &mut Replies,
    must_exist: bool,
) -> Result<(), NlError> {
    let standing = [0, TABLE_LOCAL, TABLE_MAIN, TABLE_DEFAULT];
    if must_exist && !standing.contains(&filter.table) && !fib.has_table(filter.table) {
        let text =
            if family == AF_INET { "ipv4: FIB table does not exist" } else { "FIB table does not exist" };
        return Err(NlError::new(libc::ENOENT, text));
    }
    for route in fib.routes().filter(|route| filter.accepts(route)) {
        let mut message = out.message(rtm::NEWROUTE);
        write(&mut message, ns, now, family, route);
        out.push(message);
    }
    Ok(())
}

fn header(
    family: u8,
    dst_len: u8,
    tos: u8,
    table: u32,
    [protocol, scope, ty]: [u8; 3],
    flags: u32,
) -> Vec<u8> {
    // Numbers that need more than a byte are told by RTA_TABLE; the header says RT_TABLE_COMPAT.
    let table = u8::try_from(table).unwrap_or(252);
    let mut header = vec![family, dst_len, 0, tos, table, protocol, scope, ty];
    header.extend(flags.to_ne_bytes());
    header
}

/// One route as a dump shows it, its attributes in Linux's order (which differs between the families).
fn write<N: Net + Into<IpNet>>(
    message: &mut Message,
    ns: &Netns,
    now: Instant,
    family: u8,
    route: &Route<N>,
) {
    let prefix: IpNet = route.prefix.into();
    let v6 = family == AF_INET6;
    // IPv6 routes have no scope on Linux.
    let scope = if v6 { 0 } else { route.scope as u8 };
    let flags = match route.hops.as_slice() {
        [hop] => hop_flags(ns, hop),
        _ => 0,
    };
    let kind = [route.protocol, scope, route.kind as u8];
    message.raw(&header(family, prefix.prefix_len(), route.tos, route.table, kind, flags));
    message.u32(rta::TABLE, route.table);
    if prefix.prefix_len() > 0 {
        message.ip(rta::DST, prefix.addr());
    }
    if !v6 && route.metric != 0 {
        message.u32(rta::PRIORITY, route.metric);
    }
    if let (true, Some(src)) = (v6, route.prefsrc) {
        message.ip(rta::PREFSRC, src.into());
    }
    write_metrics(message, route);
    if v6 {
        message.u32(rta::PRIORITY, route.metric);
    }
    if let (false, Some(src)) = (v6, route.prefsrc) {
        message.ip(rta::PREFSRC, src.into());
    }
    write_hops(message, ns, route);
    if v6 {
        let expires = route.expires.map(|at| at.saturating_since(now));
        write_cache_info(message, expires, refusal_errno(route.kind));
        message.u8(rta::PREF, preference(route.preference));
    }
}

fn hop_flags<A>(ns: &Netns, hop: &NextHop<A>) -> u32 {
    let onlink = if hop.onlink { RTNH_F_ONLINK } else { 0 };
    let state = match ns.dev.get(hop.dev) {
        Some(device) if !device.is_up() => RTNH_F_DEAD,
        Some(device) if !device.carrier => RTNH_F_LINKDOWN,
        _ => 0,
    };
    onlink | state
}

fn write_metrics<N: Net>(message: &mut Message, route: &Route<N>) {
    if route.mtu.is_none() && route.hop_limit.is_none() {
        return;
    }
    message.nest(rta::METRICS, false, |m| {
        if route.mtu_lock {
            m.u32(RTAX_LOCK, 1 << RTAX_MTU);
        }
        if let Some(mtu) = route.mtu {
            m.u32(RTAX_MTU, mtu);
        }
        if let Some(limit) = route.hop_limit {
            m.u32(RTAX_HOPLIMIT, u32::from(limit));
        }
    });
}

fn write_hops<N: Net>(message: &mut Message, ns: &Netns, route: &Route<N>) {
    match route.hops.as_slice() {
        [] => {}
        [hop] => {
            if let Some(via) = hop.via {
                message.ip(rta::GATEWAY, via.into());
            }
            if hop.dev != DevId::NONE {
                message.u32(rta::OIF, hop.dev.0);
            }
        }
        hops => {
            message.attr(rta::MULTIPATH, &multipath(ns, hops));
        }
    }
}

/// `struct rtnexthop { u16 len; u8 flags, hops; i32 ifindex; }`, each with attributes of its own.
fn multipath<A: Copy + Into<IpAddr>>(ns: &Netns, hops: &[NextHop<A>]) -> Vec<u8> {
    let mut out = Vec::new();
    for hop in hops {
        // A message without its header is a list of attributes.
        let mut inside = Message::new(0, 0, 0, 0);
        if let Some(via) = hop.via {
            inside.ip(rta::GATEWAY, via.into());
        }
        let attrs = inside.into_bytes().split_off(super::super::read::HEADER_LEN);
        out.extend((8 + attrs.len() as u16).to_ne_bytes());
        out.extend([hop_flags(ns, hop) as u8, hop.weight.saturating_sub(1) as u8]);
        out.extend(hop.dev.0.to_ne_bytes());
        out.extend(attrs);
    }
    out
}

/// `struct rta_cacheinfo`: of its eight numbers only the expiry (in hundredths of a second) and the error are kept here.
fn write_cache_info(message: &mut Message, expires: Option<std::time::Duration>, errno: i32) {
    let expires = expires.map_or(0, |d| u32::try_from(d.as_millis() / 10).unwrap_or(u32::MAX));
    let words = [0, 0, expires, (-errno) as u32, 0, 0, 0, 0];
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
    message.attr(rta::CACHEINFO, &bytes);
}

const fn refusal_errno(kind: RouteType) -> i32 {
    match kind {
        RouteType::Unreachable => libc::EHOSTUNREACH,
        RouteType::Prohibit => libc::EACCES,
        RouteType::Blackhole => libc::EINVAL,
        RouteType::Throw => libc::EAGAIN,
        _ => 0,
    }
}

/// RFC 4191's preference as its two bits: 1 high, 0 medium, 3 low.
const fn preference(preference: i8) -> u8 {
    match preference {
        1.. => 1,
        0 => 0,
        _ => 3,
    }
}

/// The way to one destination: what the data path itself would choose.
pub(super) fn get(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let header =
        Rtmsg::read(request).ok_or(NlError::new(libc::EINVAL, "Invalid header for get route request"))?;
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    if attrs.u32(rta::IIF).is_some_and(|iif| iif != 0) {
        return Err(NlError::new(
            libc::EOPNOTSUPP,
            "the way of a packet that came by a device cannot be asked for here",
        ));
    }
    let unspecified: IpAddr = if header.family == AF_INET { [0; 4].into() } else { [0; 16].into() };
    let dst = attrs.ip(rta::DST).unwrap_or(unspecified);
    if dst.is_ipv4() != (header.family == AF_INET) {
        return Err(NlError::bare(libc::EINVAL));
    }
    let src = attrs.ip(rta::SRC).filter(|src| src.is_ipv4() == dst.is_ipv4());
    let query = RouteQuery {
        dst,
        src,
        oif: attrs.u32(rta::OIF).filter(|&oif| oif != 0).map(DevId),
        mark: attrs.u32(rta::MARK).unwrap_or(0),
        tos: header.tos,
        hash: 0,
    };
    if header.flags & RTM_F_FIB_MATCH != 0 {
        return get_match(ns, t.now, &query, out);
    }
    let found = ns.route_out(t.now, &query)?;
    let mut message = out.message(rtm::NEWROUTE);
    write_found(&mut message, &header, &query, &found, &attrs);
    out.push(message);
    Ok(())
}

/// The entry of the tables that a lookup ends at (`ip route get fibmatch`).
fn get_match(ns: &Netns, now: Instant, query: &RouteQuery, out: &mut Replies) -> Result<(), NlError> {
    let unreachable = NlError::bare(libc::ENETUNREACH);
    let mut message = out.message(rtm::NEWROUTE);
    match query.dst {
        IpAddr::V4(dst) => {
            let src = query.src.and_then(|src| if let IpAddr::V4(src) = src { Some(src) } else { None });
            let query = Query {
                src,
                oif: query.oif.unwrap_or_default(),
                mark: query.mark,
                tos: query.tos,
                ..Query::to(dst)
            };
            let (route, _) = ns.fib4.lookup(&query, |_, hop| usable(ns, hop)).ok_or(unreachable)?;
            write(&mut message, ns, now, AF_INET, route);
        }
        IpAddr::V6(dst) => {
            let src = query.src.and_then(|src| if let IpAddr::V6(src) = src { Some(src) } else { None });
            let query = Query {
                src,
                oif: query.oif.unwrap_or_default(),
                mark: query.mark,
                tos: query.tos,
                ..Query::to(dst)
            };
            let (route, _) = ns.fib6.lookup(&query, |_, hop| usable(ns, hop)).ok_or(unreachable)?;
            write(&mut message, ns, now, AF_INET6, route);
        }
    }
    out.push(message);
    Ok(())
}

fn usable<A>(ns: &Netns, hop: &NextHop<A>) -> Option<i32> {
    (hop.dev == DevId::NONE || ns.dev.get(hop.dev).is_some_and(Device::is_up)).then_some(0)
}

fn write_found(
    message: &mut Message,
    asked: &Rtmsg,
    query: &RouteQuery,
    found: &RouteOut,
    attrs: &Attrs<'_>,
) {
    const RTCF_BROADCAST: u32 = 0x1000_0000;
    const RTCF_MULTICAST: u32 = 0x2000_0000;
    const RTCF_LOCAL: u32 = 0x8000_0000;
    let (ty, table, flags) = match found.kind {
        RouteKind::Unicast => (RouteType::Unicast, TABLE_MAIN, 0),
        RouteKind::Local => (RouteType::Local, TABLE_LOCAL, RTCF_LOCAL),
        RouteKind::Broadcast => (RouteType::Broadcast, TABLE_LOCAL, RTCF_BROADCAST),
        RouteKind::Multicast => (RouteType::Multicast, TABLE_MAIN, RTCF_MULTICAST),
    };
    let v6 = asked.family == AF_INET6;
    let dst_len = if v6 { 128 } else { 32 };
    // IPv6 shows the entry itself, IPv4 a clone of it.
    let flags = if v6 { 0 } else { flags | RTM_F_CLONED };
    message.raw(&header(asked.family, dst_len, asked.tos, table, [0, 0, ty as u8], flags));
    message.u32(rta::TABLE, table).ip(rta::DST, query.dst);
    if let Some(src) = query.src {
        message.ip(rta::SRC, src);
    }
    message.u32(rta::OIF, found.dev.0);
    if query.src.is_none() {
        message.ip(rta::PREFSRC, found.src);
    }
    if found.via != query.dst && found.kind == RouteKind::Unicast {
        message.ip(rta::GATEWAY, found.via);
    }
    if found.mtu != found.dev_mtu {
        message.nest(rta::METRICS, false, |m| {
            m.u32(RTAX_MTU, found.mtu);
        });
    }
    if query.mark != 0 {
        message.u32(rta::MARK, query.mark);
    }
    message.u32(rta::UID, attrs.u32(rta::UID).unwrap_or(0));
    write_cache_info(message, None, 0);
    if v6 {
        message.u8(rta::PREF, 0);
    }
}
