//! What a route is.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netspace_base::{DevId, Instant};
use prefix_trie::Prefix;
use smallvec::{SmallVec, smallvec};

/// An address family's prefixes.
pub trait Net: Prefix + Copy + Eq + Debug {
    /// The family's addresses.
    type Addr: Copy + Eq + Ord + Debug + Into<IpAddr>;
    /// Whether the family has a third table (`default`), as IPv4 on Linux.
    const HAS_DEFAULT_TABLE: bool;
    /// The prefix of one address.
    fn host(addr: Self::Addr) -> Self;
    /// Whether the prefix holds an address.
    fn covers(&self, addr: Self::Addr) -> bool;
    /// The prefix with its host bits cleared.
    fn truncated(self) -> Self;
    /// Its length in bits.
    fn bits(self) -> u8;
}

impl Net for Ipv4Net {
    type Addr = Ipv4Addr;
    const HAS_DEFAULT_TABLE: bool = true;

    fn host(addr: Ipv4Addr) -> Self {
        Self::from(addr)
    }

    fn covers(&self, addr: Ipv4Addr) -> bool {
        Self::contains(self, &addr)
    }

    fn truncated(self) -> Self {
        self.trunc()
    }

    fn bits(self) -> u8 {
        self.prefix_len()
    }
}

impl Net for Ipv6Net {
    type Addr = Ipv6Addr;
    const HAS_DEFAULT_TABLE: bool = false;

    fn host(addr: Ipv6Addr) -> Self {
        Self::from(addr)
    }

    fn covers(&self, addr: Ipv6Addr) -> bool {
        Self::contains(self, &addr)
    }

    fn truncated(self) -> Self {
        self.trunc()
    }

    fn bits(self) -> u8 {
        self.prefix_len()
    }
}

/// What happens to packets that take a route (`rtm_type`, with Linux's numbers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// They go to a next hop.
    Unicast = 1,
    /// They are for this host.
    Local = 2,
    /// They are for every host on the link.
    Broadcast = 3,
    /// They are for this host and others (IPv6 anycast).
    Anycast = 4,
    /// They are for a group.
    Multicast = 5,
    /// They vanish.
    Blackhole = 6,
    /// They are refused: "host unreachable".
    Unreachable = 7,
    /// They are refused: "administratively prohibited".
    Prohibit = 8,
    /// The next table is asked.
    Throw = 9,
}

impl Kind {
    /// Whether the kind needs no next hop.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Blackhole | Self::Unreachable | Self::Prohibit | Self::Throw)
    }
}

/// How far a destination is (`rtm_scope`, with Linux's numbers).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Scope {
    /// Anywhere, by a gateway.
    Universe = 0,
    /// Within this site.
    Site = 200,
    /// On the link.
    Link = 253,
    /// This host.
    Host = 254,
    /// Nowhere.
    Nowhere = 255,
}

/// Who made a route (`rtm_protocol`).
pub mod protocol {
    /// An ICMP redirect.
    pub const REDIRECT: u8 = 1;
    /// The stack itself, with an address.
    pub const KERNEL: u8 = 2;
    /// The start-up configuration.
    pub const BOOT: u8 = 3;
    /// An administrator.
    pub const STATIC: u8 = 4;
    /// A router advertisement.
    pub const RA: u8 = 9;
}

/// One way on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextHop<A> {
    /// The gateway; none: the destination is on the link.
    pub via: Option<A>,
    /// The device.
    pub dev: DevId,
    /// Its share among a route's next hops.
    pub weight: u16,
    /// The gateway is on the link even if no address here says so.
    pub onlink: bool,
}

impl<A> NextHop<A> {
    /// By a gateway.
    pub const fn by(via: A, dev: DevId) -> Self {
        Self { via: Some(via), dev, weight: 1, onlink: false }
    }

    /// On the link of `dev`.
    pub const fn on(dev: DevId) -> Self {
        Self { via: None, dev, weight: 1, onlink: false }
    }
}

/// A route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route<N: Net> {
    /// Where to.
    pub prefix: N,
    /// The table it is in.
    pub table: u32,
    /// What happens to the packets.
    pub kind: Kind,
    /// How far the destination is.
    pub scope: Scope,
    /// Who made it: see [`protocol`].
    pub protocol: u8,
    /// Only for packets of this type of service; 0: for all.
    pub tos: u8,
    /// Lower is better.
    pub metric: u32,
    /// The source address for packets made here.
    pub prefsrc: Option<N::Addr>,
    /// The ways on; empty for refusals.
    pub hops: SmallVec<[NextHop<N::Addr>; 1]>,
    /// The path's MTU, if the administrator or a router advertisement fixed it.
    pub mtu: Option<u32>,
    /// Whether the MTU holds even if a smaller one is reported.
    pub mtu_lock: bool,
    /// The hop limit for packets made here.
    pub hop_limit: Option<u8>,
    /// Among routes of the same metric: RFC 4191's preference, -1, 0 or 1.
    pub preference: i8,
    /// When it ends by itself.
    pub expires: Option<Instant>,
}

impl<N: Net> Route<N> {
    /// A unicast route of the main table with one next hop and no extras.
    pub fn new(prefix: N, hop: NextHop<N::Addr>) -> Self {
        let scope = if hop.via.is_some() { Scope::Universe } else { Scope::Link };
        Self {
            prefix: prefix.truncated(),
            table: crate::TABLE_MAIN,
            kind: Kind::Unicast,
            scope,
            protocol: protocol::BOOT,
            tos: 0,
            metric: 0,
            prefsrc: None,
            hops: smallvec![hop],
            mtu: None,
            mtu_lock: false,
            hop_limit: None,
            preference: 0,
            expires: None,
        }
    }

    /// A route of the main table that refuses packets.
    pub fn refusal(prefix: N, kind: Kind) -> Self {
        Self { kind, hops: SmallVec::new(), ..Self::new(prefix, NextHop::on(DevId::NONE)) }
    }
}
