//! The way out for packets made here, for both families: the routing tables are asked, or a kept answer is used.

use std::net::IpAddr;

use netspace_base::Instant;

use crate::error::SockError;
use crate::route::SendInfo;
use crate::{Netns, RouteKind, RouteOut, RouteQuery, Turn, ip, ip6};

impl Netns {
    /// The way out for a packet made here, v4 or v6. The error is what the program is told: `NetworkUnreachable` without
    /// a route, `HostUnreachable`, `Access` (prohibit), `Invalid` (blackhole), `AddressNotAvailable`, `NetworkDown`.
    pub fn route_out(&self, now: Instant, query: &RouteQuery) -> Result<RouteOut, SockError> {
        match query.dst {
            IpAddr::V4(_) => ip::route::route_out(self, now, query),
            IpAddr::V6(_) => ip6::route::route_out(self, now, query),
        }
    }
}

/// The kept route if it still holds, else a new one.
pub(crate) fn way_out(ns: &Netns, t: &Turn, info: &SendInfo) -> Result<RouteOut, SockError> {
    let route = match info.route {
        Some(route) if ns.route_valid(t.now, &route) => route,
        _ => ns.route_out(t.now, &info.query(0))?,
    };
    if info.dont_route && route.via != info.dst && route.kind == RouteKind::Unicast {
        return Err(SockError::NetworkUnreachable);
    }
    Ok(route)
}
