//! IPv6's state, per namespace and per device: plain values, and what follows from them alone.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netspace_base::{DevId, Duration, Instant, Rng, TimerId};

use crate::membership::Groups;
use crate::reassembly::Reassembly;
use crate::route::{Exceptions, RouteCache};

/// The IPv6 groups of a device.
pub type Groups6 = Groups<Ipv6Addr>;

/// Whether an address may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddrState {
    /// Being checked for duplicates (RFC 4862 §5.4): not used yet.
    Tentative,
    /// In use.
    Preferred,
    /// Not for new communication (RFC 4862 §5.5.4).
    Deprecated,
    /// Another station has it: not used.
    Duplicate,
}

/// An IPv6 address of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addr6 {
    /// The address.
    pub addr: Ipv6Addr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// Whether it may be used.
    pub state: AddrState,
    /// It was made from a router advertisement.
    pub autoconf: bool,
    /// Not for new communication after this.
    pub preferred_until: Instant,
    /// Gone after this.
    pub valid_until: Instant,
    pub(crate) probes_left: u32,
}

impl Addr6 {
    pub(crate) const fn new(net: Ipv6Net) -> Self {
        Self {
            addr: net.addr(),
            prefix_len: net.prefix_len(),
            state: AddrState::Preferred,
            autoconf: false,
            preferred_until: Instant::FAR_FUTURE,
            valid_until: Instant::FAR_FUTURE,
            probes_left: 0,
        }
    }

    /// Its prefix, host bits cleared.
    pub fn net(&self) -> Ipv6Net {
        Ipv6Net::new(self.addr, self.prefix_len).unwrap_or_default().trunc()
    }

    /// Whether packets to it are taken.
    pub const fn is_usable(&self) -> bool {
        matches!(self.state, AddrState::Preferred | AddrState::Deprecated)
    }

    /// Linux's number for its scope (`ifa_scope`): universe 0, site 200, link 253, host 254.
    pub const fn scope(&self) -> u8 {
        if self.addr.is_loopback() {
            254
        } else if self.addr.is_unicast_link_local() {
            253
        } else {
            0
        }
    }
}

/// A prefix that a router advertises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdvertisedPrefix {
    /// The prefix.
    pub net: Ipv6Net,
    /// Its addresses are on the link.
    pub on_link: bool,
    /// Hosts make addresses in it.
    pub autonomous: bool,
    /// How long addresses are valid, seconds; `u32::MAX`: for ever.
    pub valid_s: u32,
    /// How long they are preferred, seconds.
    pub preferred_s: u32,
}

impl AdvertisedPrefix {
    /// On the link, for SLAAC, for 30 days, preferred for 7 (RFC 4861 §6.2.1).
    pub const fn new(net: Ipv6Net) -> Self {
        Self { net, on_link: true, autonomous: true, valid_s: 2_592_000, preferred_s: 604_800 }
    }
}

/// What a router says on a device (radvd's options; RFC 4861 §6.2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouterConfig {
    /// Prefixes of the link.
    pub prefixes: Vec<AdvertisedPrefix>,
    /// How long this is a default router, seconds; 0: it is none.
    pub lifetime_s: u16,
    /// Among routers: -1, 0 or 1 (RFC 4191).
    pub preference: i8,
    /// The hop limit that hosts should use; 0: not said.
    pub hop_limit: u8,
    /// The MTU that hosts should use.
    pub mtu: Option<u32>,
    /// Addresses come by DHCPv6.
    pub managed: bool,
    /// Other configuration comes by DHCPv6.
    pub other: bool,
    /// Routes by this router: prefix, preference, lifetime in seconds (RFC 4191).
    pub routes: Vec<(Ipv6Net, i8, u32)>,
    /// Name servers and their lifetime in seconds (RFC 8106).
    pub dns_servers: Vec<(Ipv6Addr, u32)>,
    /// The longest time between unsolicited advertisements.
    pub max_interval: Duration,
    /// The shortest.
    pub min_interval: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            prefixes: Vec::new(),
            lifetime_s: 1800,
            preference: 0,
            hop_limit: 64,
            mtu: None,
            managed: false,
            other: false,
            routes: Vec::new(),
            dns_servers: Vec::new(),
            max_interval: Duration::from_secs(600),
            min_interval: Duration::from_secs(200),
        }
    }
}

/// What router discovery keeps for a device.
#[derive(Debug, Default)]
pub struct NdState {
    /// What this host advertises there as a router.
    pub router: Option<RouterConfig>,
    /// Name servers that advertisements told, and until when.
    pub dns_servers: Vec<(Ipv6Addr, Instant)>,
    /// Addresses come by DHCPv6 (the last advertisement's M flag).
    pub managed: bool,
    /// Other configuration comes by DHCPv6 (the O flag).
    pub other: bool,
    pub(crate) dad_due: Vec<(Ipv6Addr, Instant)>,
    pub(super) solicitations: u32,
    /// The time from the next router solicitation to the one after it.
    pub(super) soliciting: Option<Duration>,
    pub(super) next_solicit: Option<Instant>,
    pub(super) heard: bool,
    pub(super) adverts: u32,
    pub(super) last_advert: Option<Instant>,
    pub(super) next_advert: Option<Instant>,
}

/// What names the packet that a fragment belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FragKey6 {
    pub(super) src: Ipv6Addr,
    pub(super) dst: Ipv6Addr,
    pub(super) id: u32,
    pub(super) dev: DevId,
}

/// IPv6 packets that wait for their other fragments.
pub type Reassembly6 = Reassembly<FragKey6>;

/// What becomes of a packet that came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RouteIn {
    /// It is for this host.
    Local,
    /// It is for a group that was joined here.
    Multicast,
    /// It is for another host: the next hop, its device, and the MTU towards it.
    Forward { via: Ipv6Addr, dev: DevId, mtu: u32 },
}

/// IPv6's own state: fragments, identifiers, what was learnt about paths.
#[derive(Debug)]
pub(crate) struct Ip6 {
    pub(crate) reassembly: Reassembly6,
    pub(crate) exceptions: Exceptions<Ipv6Addr>,
    pub(crate) routes_in: RouteCache<Ipv6Addr, RouteIn>,
    /// When the first learnt address or route runs out.
    pub(crate) lifetimes: Option<TimerId>,
    /// Makes stable interface identifiers (RFC 7217).
    pub(crate) stable_secret: u64,
    next_ident: u32,
}

impl Ip6 {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            reassembly: Reassembly6::new(rng.u64()),
            exceptions: Exceptions::new(rng.u64()),
            routes_in: RouteCache::new(),
            lifetimes: None,
            stable_secret: rng.u64(),
            next_ident: rng.u32(),
        }
    }

    /// The identification of the next fragmented packet.
    pub(crate) fn ident(&mut self) -> u32 {
        self.next_ident = self.next_ident.wrapping_add(1).max(1);
        self.next_ident
    }
}
