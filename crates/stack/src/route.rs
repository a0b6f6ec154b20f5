//! Routes as plain values, for both families: questions, answers, what was learnt about paths, decisions that are kept.

use std::hash::Hash;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netspace_base::{DevId, DropReason, Instant};

use crate::icmp::Error;

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

/// The way out. A socket may keep it as long as [`crate::Netns::route_valid`] says so.
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
    /// Whether routers (and this host) must not fragment it.
    pub df: bool,
    /// The MTU against which it is fragmented here; none: the path's.
    pub mtu: Option<u32>,
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
            df: false,
            mtu: None,
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

/// What was learnt about the way to one destination: a path MTU (RFC 1191, RFC 8201) or a better gateway (a redirect).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception<A> {
    /// The path MTU, and whether it fell below the least that is believed.
    pub mtu: Option<(u32, bool)>,
    /// The gateway that a redirect named.
    pub gateway: Option<A>,
    /// Until when it holds.
    pub expires: Instant,
}

/// What was learnt about single destinations; bounded, the oldest goes first.
#[derive(Debug)]
pub(crate) struct Exceptions<A> {
    map: HashMap<A, Exception<A>, FixedState>,
}

impl<A: Copy + Eq + Hash + Ord> Exceptions<A> {
    /// Destinations remembered at most.
    const MAX: usize = 8192;

    pub(crate) fn new(hash_seed: u64) -> Self {
        Self { map: HashMap::with_hasher(FixedState::with_seed(hash_seed)) }
    }

    /// What holds for a destination at `now`.
    #[inline]
    pub(crate) fn get(&self, dst: &A, now: Instant) -> Option<&Exception<A>> {
        if self.map.is_empty() {
            return None;
        }
        self.map.get(dst).filter(|e| now < e.expires)
    }

    /// Notes something about a destination; what is not news stays.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        dst: A,
        expires: Instant,
        change: impl FnOnce(&mut Exception<A>),
    ) {
        if self.map.len() >= Self::MAX && !self.map.contains_key(&dst) {
            self.map.retain(|_, e| now < e.expires);
            if self.map.len() >= Self::MAX
                && let Some(oldest) = self.map.iter().min_by_key(|(a, e)| (e.expires, **a)).map(|(a, _)| *a)
            {
                self.map.remove(&oldest);
            }
        }
        let fresh = Exception { mtu: None, gateway: None, expires };
        let entry = self.map.entry(dst).or_insert(fresh);
        if now >= entry.expires {
            *entry = fresh;
        }
        entry.expires = expires;
        change(entry);
    }

    /// Forgets everything: the routes that it was learnt about have changed.
    pub(crate) fn clear(&mut self) {
        self.map.clear();
    }

    /// Forgets what redirects said about a gateway; true if there was something.
    pub(crate) fn forget_gateway(&mut self, gateway: A) -> bool {
        let before = self.map.len();
        self.map.retain(|_, e| e.gateway != Some(gateway));
        self.map.len() < before
    }

    /// All that holds at `now`, by destination.
    pub(crate) fn list(&self, now: Instant) -> Vec<(A, Exception<A>)> {
        let mut all: Vec<_> =
            self.map.iter().filter(|(_, e)| now < e.expires).map(|(a, e)| (*a, *e)).collect();
        all.sort_unstable_by_key(|(a, _)| *a);
        all
    }
}

/// Why a packet that came in goes no further, and what its sender is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal(pub(crate) DropReason, pub(crate) Option<Error>);

/// A refusal of which nobody is told.
pub(crate) const fn silently(reason: DropReason) -> Refusal {
    Refusal(reason, None)
}

/// What a decision about a packet that came in was made by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CacheKey<A> {
    pub(crate) src: A,
    pub(crate) dst: A,
    pub(crate) dev: DevId,
    pub(crate) mark: u32,
    pub(crate) tos: u8,
}

#[derive(Clone, Copy, Debug)]
struct Slot<A, R> {
    key: CacheKey<A>,
    generation: u64,
    route: R,
}

/// The last decisions about packets that came in, so that a flow's packets do not each walk the tables. A change of any
/// route, address, device or sysctl makes all of them stale.
#[derive(Debug)]
pub(crate) struct RouteCache<A, R> {
    /// Empty until the first decision: a namespace that never receives pays nothing.
    slots: Vec<Option<Slot<A, R>>>,
}

impl<A: Copy + Eq, R: Copy> RouteCache<A, R> {
    const SLOTS: usize = 64;

    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The decision made before, if it still holds.
    #[inline]
    pub(crate) fn get(&self, hash: u32, key: &CacheKey<A>, generation: u64) -> Option<R> {
        let slot = self.slots.get(hash as usize % Self::SLOTS)?.as_ref()?;
        (slot.generation == generation && slot.key == *key).then_some(slot.route)
    }

    /// Keeps a decision.
    pub(crate) fn put(&mut self, hash: u32, key: CacheKey<A>, generation: u64, route: R) {
        if self.slots.is_empty() {
            self.slots.resize_with(Self::SLOTS, || None);
        }
        self.slots[hash as usize % Self::SLOTS] = Some(Slot { key, generation, route });
    }
}
