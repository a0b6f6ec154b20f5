//! Changing routes: `RTM_NEWROUTE`, `RTM_DELROUTE`.

use std::net::IpAddr;

use ipnet::IpNet;
use netspace_base::DevId;
use netspace_fib::{Add, Kind as RouteType, Net, NextHop, Route, Scope, TABLE_MAIN};
use netspace_stack::sock::SockError;
use netspace_stack::{Netns, Turn};

use super::super::read::{ATTR_HEADER_LEN, Attr, Attrs, align, attrs as inner_attrs};
use super::super::{NlError, Replies, Request, flag};
use super::route::{HEADER_LEN, POLICY, RTAX_HOPLIMIT, RTAX_LOCK, RTAX_MTU, RTNH_F_ONLINK, Rtmsg, rta};
use super::{AF_INET, AF_INET6};
use crate::bytes_at::{u16_at, u32_at};

/// What a request to add or remove a route says, for either family.
struct Named<N: Net> {
    route: Route<N>,
    /// Next hops were given, so that a removal must match them.
    hops_given: bool,
    metric_given: bool,
}

/// Adds a route, or puts it in another's place.
pub(super) fn add(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let how = match (request.has(flag::REPLACE), request.has(flag::APPEND), request.has(flag::EXCL)) {
        (true, ..) => Add::Replace,
        (false, true, false) => Add::Append,
        _ => Add::New,
    };
    let (header, attrs) = read(request)?;
    let net = prefix(&header, &attrs)?;
    let must_exist = !request.has(flag::CREATE);
    let outcome = match net {
        IpNet::V4(net) => {
            let route = named(ns, &header, &attrs, net)?.route;
            if must_exist && ns.fib4.exact(route.table, net).is_empty() {
                return Err(NlError::bare(libc::ENOENT));
            }
            ns.add_route4(t, route, how)
        }
        IpNet::V6(net) => {
            let route = named(ns, &header, &attrs, net)?.route;
            if must_exist && ns.fib6.exact(route.table, net).is_empty() {
                return Err(NlError::bare(libc::ENOENT));
            }
            ns.add_route6(t, route, how)
        }
    };
    outcome.map_err(|error| match error {
        SockError::NetworkUnreachable | SockError::HostUnreachable => NlError {
            errno: crate::errno::of(error),
            message: Some("Nexthop has invalid gateway"),
            offset: attrs.get(rta::GATEWAY).map(|a| a.offset),
        },
        SockError::NetworkDown => NlError::new(libc::ENETDOWN, "Nexthop device is not up"),
        SockError::NoDevice => NlError::new(libc::ENODEV, "Device for nexthop is unknown"),
        error => error.into(),
    })
}

/// Removes the first route that fits all that is given.
pub(super) fn delete(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let (header, attrs) = read(request)?;
    let gone = match prefix(&header, &attrs)? {
        IpNet::V4(net) => {
            let wanted = named(ns, &header, &attrs, net)?;
            ns.fib4.remove(wanted.route.table, net, |route| fits(&wanted, &header, route)).is_ok()
        }
        IpNet::V6(net) => {
            let wanted = named(ns, &header, &attrs, net)?;
            ns.fib6.remove(wanted.route.table, net, |route| fits(&wanted, &header, route)).is_ok()
        }
    };
    ns.routes_changed();
    if gone { Ok(()) } else { Err(NlError::bare(libc::ESRCH)) }
}

fn fits<N: Net>(wanted: &Named<N>, header: &Rtmsg, route: &Route<N>) -> bool {
    let (w, nowhere) = (&wanted.route, 255);
    let hop_fits = |want: &NextHop<N::Addr>| {
        route.hops.iter().any(|h| {
            (want.via.is_none() || h.via == want.via) && (want.dev == DevId::NONE || h.dev == want.dev)
        })
    };
    (!wanted.metric_given || route.metric == w.metric)
        && (header.protocol == 0 || route.protocol == header.protocol)
        && (header.ty == 0 || route.kind == w.kind)
        && (header.scope == nowhere || header.family == AF_INET6 || route.scope == w.scope)
        && route.tos == w.tos
        && w.prefsrc.is_none_or(|src| route.prefsrc == Some(src))
        && (!wanted.hops_given || w.hops.iter().all(hop_fits))
}

fn read<'a>(request: &Request<'a>) -> Result<(Rtmsg, Attrs<'a>), NlError> {
    let header = Rtmsg::read(request).ok_or(NlError::bare(libc::EINVAL))?;
    Ok((header, request.attrs(HEADER_LEN, POLICY)?))
}

fn prefix(header: &Rtmsg, attrs: &Attrs<'_>) -> Result<IpNet, NlError> {
    let unspecified: IpAddr = if header.family == AF_INET { [0; 4].into() } else { [0; 16].into() };
    let dst = attrs.ip(rta::DST).unwrap_or(unspecified);
    if dst.is_ipv4() != (header.family == AF_INET) {
        return Err(NlError::new(libc::EINVAL, "Invalid prefix for given prefix length"));
    }
    let net =
        IpNet::new(dst, header.dst_len).map_err(|_| NlError::new(libc::EINVAL, "Invalid prefix length"))?;
    if net.trunc() != net {
        return Err(NlError::new(libc::EINVAL, "Invalid prefix for given prefix length"));
    }
    Ok(net)
}

/// An address of the family of `N`.
trait FromIp: Sized {
    fn from_ip(addr: IpAddr) -> Option<Self>;
}

impl FromIp for std::net::Ipv4Addr {
    fn from_ip(addr: IpAddr) -> Option<Self> {
        if let IpAddr::V4(v4) = addr { Some(v4) } else { None }
    }
}

impl FromIp for std::net::Ipv6Addr {
    fn from_ip(addr: IpAddr) -> Option<Self> {
        if let IpAddr::V6(v6) = addr { Some(v6) } else { None }
    }
}

fn named<N: Net>(ns: &Netns, header: &Rtmsg, attrs: &Attrs<'_>, net: N) -> Result<Named<N>, NlError>
where
    N::Addr: FromIp,
{
    let kind = route_type(header.ty).ok_or(NlError::new(libc::EINVAL, "Invalid route type"))?;
    let metrics = Metrics::read(attrs)?;
    let hops = hops::<N::Addr>(ns, header, attrs)?;
    let table = attrs.u32(rta::TABLE).unwrap_or(u32::from(header.table));
    let (hops_given, metric) = (!hops.is_empty(), attrs.u32(rta::PRIORITY));
    let prefsrc = address(attrs.get(rta::PREFSRC))?;
    let route = Route {
        table: if table == 0 { TABLE_MAIN } else { table },
        kind,
        scope: route_scope(header.scope),
        protocol: header.protocol,
        tos: header.tos,
        metric: metric.unwrap_or(0),
        prefsrc,
        hops: hops.into_iter().collect(),
        mtu: metrics.mtu,
        mtu_lock: metrics.mtu_lock,
        hop_limit: metrics.hop_limit,
        preference: match attrs.get(rta::PREF).and_then(Attr::u8) {
            Some(1) => 1,
            Some(3) => -1,
            _ => 0,
        },
        ..Route::new(net, NextHop::on(DevId::NONE))
    };
    Ok(Named { route, hops_given, metric_given: metric.is_some() })
}

fn address<A: FromIp>(attr: Option<&Attr<'_>>) -> Result<Option<A>, NlError> {
    let Some(attr) = attr else { return Ok(None) };
    let addr = attr.ip().and_then(A::from_ip);
    addr.map(Some).ok_or(NlError::new(libc::EINVAL, "Invalid address").at(attr.offset))
}

/// 0 stands for "any" in a removal, and for unicast otherwise.
const fn route_type(number: u8) -> Option<RouteType> {
    Some(match number {
        0 | 1 => RouteType::Unicast,
        2 => RouteType::Local,
        3 => RouteType::Broadcast,
        4 => RouteType::Anycast,
        5 => RouteType::Multicast,
        6 => RouteType::Blackhole,
        7 => RouteType::Unreachable,
        8 => RouteType::Prohibit,
        9 => RouteType::Throw,
        _ => return None,
    })
}

const fn route_scope(number: u8) -> Scope {
    match number {
        255 => Scope::Nowhere,
        254 => Scope::Host,
        253 => Scope::Link,
        200 => Scope::Site,
        _ => Scope::Universe,
    }
}

/// What `RTA_METRICS` says, of what the stack keeps. Others (window, initcwnd, …) are refused rather than forgotten.
#[derive(Default)]
struct Metrics {
    mtu: Option<u32>,
    mtu_lock: bool,
    hop_limit: Option<u8>,
}

impl Metrics {
    fn read(attrs: &Attrs<'_>) -> Result<Self, NlError> {
        let mut out = Self::default();
        for metric in attrs.get(rta::METRICS).into_iter().flat_map(Attr::nested) {
            let value = metric.u32().ok_or(NlError::bare(libc::EINVAL).at(metric.offset))?;
            match metric.ty {
                RTAX_LOCK => out.mtu_lock = value & 1 << RTAX_MTU != 0,
                RTAX_MTU => out.mtu = Some(value).filter(|&mtu| mtu != 0),
                RTAX_HOPLIMIT => out.hop_limit = u8::try_from(value).ok().filter(|&limit| limit != 0),
                _ => {
                    return Err(
                        NlError::new(libc::EOPNOTSUPP, "this metric is not supported here").at(metric.offset)
                    );
                }
            }
        }
        Ok(out)
    }
}

/// The next hops that a request names: one by `RTA_GATEWAY` and `RTA_OIF`, or several by `RTA_MULTIPATH`.
fn hops<A: FromIp>(ns: &Netns, header: &Rtmsg, attrs: &Attrs<'_>) -> Result<Vec<NextHop<A>>, NlError> {
    let known = |index: u32, offset: usize| match ns.dev.get(DevId(index)) {
        None if index != 0 => Err(NlError::new(libc::ENODEV, "Device does not exist").at(offset)),
        _ => Ok(DevId(index)),
    };
    let onlink = |flags: u32| flags & RTNH_F_ONLINK != 0;
    if let Some(list) = attrs.get(rta::MULTIPATH) {
        return multipath_hops(list, known, onlink);
    }
    let via = address(attrs.get(rta::GATEWAY))?;
    let dev = match attrs.get(rta::OIF) {
        Some(attr) => known(attr.u32().unwrap_or(0), attr.offset)?,
        None => DevId::NONE,
    };
    if via.is_none() && dev == DevId::NONE {
        return Ok(Vec::new());
    }
    Ok(vec![NextHop { via, dev, weight: 1, onlink: onlink(header.flags) }])
}

fn multipath_hops<A: FromIp>(
    list: &Attr<'_>,
    known: impl Fn(u32, usize) -> Result<DevId, NlError>,
    onlink: impl Fn(u32) -> bool,
) -> Result<Vec<NextHop<A>>, NlError> {
    const RTNEXTHOP_LEN: usize = 8;
    let mut out = Vec::new();
    let mut at = 0;
    while list.data.len() - at >= RTNEXTHOP_LEN {
        let rest = &list.data[at..];
        let offset = list.offset + ATTR_HEADER_LEN + at;
        let len = u16_at(rest, 0).map_or(0, usize::from);
        if len < RTNEXTHOP_LEN || len > rest.len() {
            return Err(NlError::new(
                libc::EINVAL,
                "Invalid nexthop configuration - extra data after nexthop",
            )
            .at(offset));
        }
        let inside = &rest[RTNEXTHOP_LEN..len];
        let via =
            address(inner_attrs(inside, offset + RTNEXTHOP_LEN).find(|a| a.ty == rta::GATEWAY).as_ref())?;
        let dev = known(u32_at(rest, 4).unwrap_or(0), offset)?;
        out.push(NextHop { via, dev, weight: u16::from(rest[3]) + 1, onlink: onlink(u32::from(rest[2])) });
        at += align(len).min(rest.len());
    }
    Ok(out)
}
