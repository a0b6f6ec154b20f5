//! Asking the routing tables the way out, for both families: what sockets use.

use std::net::IpAddr;

use netspace_base::{DevId, Instant};

use crate::Netns;
use crate::sock::{PmtuDiscover, SockError};

/// What a packet made here is to be routed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteQuery {
    /// Where to.
    pub dst: IpAddr,
    /// The source address, if it is chosen already (bound sockets).
    pub src: Option<IpAddr>,
    /// The device it must leave by (`SO_BINDTODEVICE`, a scope, `IP_MULTICAST_IF`).
    pub oif: Option<DevId>,
    /// The firewall mark.
    pub mark: u32,
    /// Type of service, traffic class.
    pub tos: u8,
    /// The flow's hash, for routes with several next hops.
    pub hash: u32,
}

impl RouteQuery {
    /// A query with nothing but a destination.
    pub const fn to(dst: IpAddr) -> Self {
        Self { dst, src: None, oif: None, mark: 0, tos: 0, hash: 0 }
    }
}

/// What a packet that leaves by a route is to its receivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RouteKind {
    /// To one host over a device.
    Unicast,
    /// To this host itself, over loopback.
    Local,
    /// To all hosts on a link.
    Broadcast,
    /// To a group; a copy comes back here if the group is joined.
    Multicast,
}

/// The way out. A socket may keep it as long as [`Netns::route_valid`] says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteOut {
    /// What it leads to.
    pub kind: RouteKind,
    /// The source address to use: the one asked for, else the one chosen.
    pub src: IpAddr,
    /// The device the packet leaves by (loopback for [`RouteKind::Local`]).
    pub dev: DevId,
    /// The next hop: a gateway, or the destination itself on a connected route.
    pub via: IpAddr,
    /// The largest IP packet that the path takes: of device MTU, the route's MTU and what path-MTU discovery found.
    pub mtu: u32,
    /// The device's MTU (for `IP_PMTUDISC_PROBE` and `…_INTERFACE`).
    pub dev_mtu: u32,
    /// Whether the MTU was fixed by the administrator or fell below the minimum: do not set DF.
    pub mtu_locked: bool,
    /// The hop limit that router advertisements or the route ask for.
    pub hop_limit: Option<u8>,
    /// The state of tables that it was made from.
    pub generation: u64,
    /// When it must be asked for again (a redirect or path MTU runs out).
    pub expires: Instant,
}

impl Netns {
    /// The way out for a packet made here, v4 or v6. The error is what the program is told: `NetworkUnreachable` without
    /// a route, `HostUnreachable`, `Access` (prohibit), `Invalid` (blackhole), `AddressNotAvailable`, `NetworkDown`.
    pub fn route_out(&self, now: Instant, query: &RouteQuery) -> Result<RouteOut, SockError> {
        match query.dst {
            IpAddr::V4(_) => crate::ip::route_out(self, now, query),
            IpAddr::V6(_) => crate::ip6::route_out(self, now, query),
        }
    }

    /// Whether a kept [`RouteOut`] still holds: no route, address, device or path MTU has changed since.
    #[inline]
    pub fn route_valid(&self, now: Instant, route: &RouteOut) -> bool {
        route.generation == self.route_generation && now < route.expires
    }

    /// Tells that kept routes must be asked for again.
    pub(crate) fn routes_changed(&mut self) {
        self.route_generation += 1;
    }
}

/// What the network layer is told about a packet to send; its data is the transport header and payload.
#[derive(Clone, Debug)]
pub struct SendInfo {
    /// Where to.
    pub dst: IpAddr,
    /// The source address; none: the one that the route chooses (the transport checksum must not depend on it then).
    pub src: Option<IpAddr>,
    /// The transport protocol.
    pub protocol: u8,
    /// Time to live or hop limit; none: the namespace's default (1 for groups).
    pub ttl: Option<u8>,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Whether and against which MTU it may be fragmented.
    pub pmtu: PmtuDiscover,
    /// The device it must leave by.
    pub dev: Option<DevId>,
    /// The firewall mark.
    pub mark: u32,
    /// Whether this host's own members of the group get a copy.
    pub multicast_loop: bool,
    /// IPv4 options, padded to 4 bytes.
    pub options: Vec<u8>,
    /// The IPv6 flow label.
    pub flow_label: u32,
    /// Whether a route by a gateway is refused (`MSG_DONTROUTE`).
    pub dont_route: bool,
    /// A way out that the caller has kept; used if it still holds.
    pub route: Option<RouteOut>,
}

impl SendInfo {
    /// To `dst` by `protocol`, with defaults for the rest.
    pub fn new(dst: IpAddr, protocol: u8) -> Self {
        Self {
            dst,
            src: None,
            protocol,
            ttl: None,
            tos: 0,
            pmtu: PmtuDiscover::Want,
            dev: None,
            mark: 0,
            multicast_loop: true,
            options: Vec::new(),
            flow_label: 0,
            dont_route: false,
            route: None,
        }
    }

    /// The question to the routing tables.
    pub(crate) fn query(&self, hash: u32) -> RouteQuery {
        RouteQuery { dst: self.dst, src: self.src, oif: self.dev, mark: self.mark, tos: self.tos, hash }
    }
}
