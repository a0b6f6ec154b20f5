//! IPv4's state, per namespace and per device: plain values, and what follows from them alone.

use std::hash::{BuildHasher, Hasher};
use std::net::Ipv4Addr;

use foldhash::fast::FixedState;
use ipnet::Ipv4Net;
use netspace_base::{DevId, Rng};
use netspace_fib::{Kind, NextHop, Route, Scope, TABLE_LOCAL, TABLE_MAIN, protocol};

use crate::membership::Groups;
use crate::reassembly::Reassembly;
use crate::route::{Exceptions, RouteCache};

/// The IPv4 groups of a device.
pub type Groups4 = Groups<Ipv4Addr>;

/// An IPv4 address of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addr4 {
    /// The address.
    pub addr: Ipv4Addr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// The broadcast address, if one was given or follows from the prefix.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it may be used.
    pub scope: Scope,
    /// Another address of the same prefix came before it.
    pub secondary: bool,
}

impl Addr4 {
    /// Its prefix, host bits cleared.
    pub fn net(&self) -> Ipv4Net {
        Ipv4Net::new(self.addr, self.prefix_len).unwrap_or_default().trunc()
    }

    /// The routes that come with it: to itself, to its prefix, to its broadcast address.
    pub(super) fn routes(&self, dev: DevId, loopback: bool) -> Vec<Route<Ipv4Net>> {
        let kernel = |prefix: Ipv4Net, table, kind, scope| Route {
            table,
            kind,
            scope,
            protocol: protocol::KERNEL,
            prefsrc: Some(self.addr),
            ..Route::new(prefix, NextHop::on(dev))
        };
        let net = self.net();
        let mut out = vec![kernel(Ipv4Net::from(self.addr), TABLE_LOCAL, Kind::Local, Scope::Host)];
        if !self.secondary && self.prefix_len < 32 {
            let (table, kind, scope) = if loopback {
                (TABLE_LOCAL, Kind::Local, Scope::Host)
            } else {
                (TABLE_MAIN, Kind::Unicast, Scope::Link)
            };
            out.push(kernel(net, table, kind, scope));
        }
        if !self.secondary && self.prefix_len < 31 {
            out.push(kernel(Ipv4Net::from(net.broadcast()), TABLE_LOCAL, Kind::Broadcast, Scope::Link));
        }
        if let Some(broadcast) = self.broadcast.filter(|&b| b != net.broadcast() && !b.is_broadcast()) {
            out.push(kernel(Ipv4Net::from(broadcast), TABLE_LOCAL, Kind::Broadcast, Scope::Link));
        }
        out
    }
}

/// What names the packet that a fragment belongs to; devices are told apart, as Linux does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FragKey4 {
    pub(super) src: Ipv4Addr,
    pub(super) dst: Ipv4Addr,
    pub(super) protocol: u8,
    pub(super) id: u16,
    pub(super) dev: DevId,
}

/// IPv4 packets that wait for their other fragments.
pub type Reassembly4 = Reassembly<FragKey4>;

/// What becomes of a packet that came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RouteIn {
    /// It is for this host.
    Local,
    /// It is for every host on the link.
    Broadcast,
    /// It is for a group that was joined here.
    Multicast,
    /// It is for another host: the next hop, its device, and the MTU towards it.
    Forward { via: Ipv4Addr, dev: DevId, mtu: u32 },
}

/// IPv4's own state: fragments, identifiers, what was learnt about paths.
#[derive(Debug)]
pub(crate) struct Ip {
    pub(crate) reassembly: Reassembly4,
    pub(crate) exceptions: Exceptions<Ipv4Addr>,
    pub(crate) routes_in: RouteCache<Ipv4Addr, RouteIn>,
    idents: Box<[u16; 256]>,
    hash: FixedState,
}

impl Ip {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut idents = Box::new([0; 256]);
        idents.iter_mut().for_each(|id| *id = rng.u32() as u16);
        Self {
            reassembly: Reassembly4::new(rng.u64()),
            exceptions: Exceptions::new(rng.u64()),
            routes_in: RouteCache::new(),
            idents,
            hash: FixedState::with_seed(rng.u64()),
        }
    }

    /// The identification of a packet: a counter for its addresses and protocol, so that fragments are not mixed up
    /// (RFC 6864 §4.2) and one host's rate does not show to another. `count`: frames that it may be cut into.
    pub(crate) fn ident(&mut self, src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, count: u16) -> u16 {
        let mut hasher = self.hash.build_hasher();
        hasher.write_u64(u64::from(src.to_bits()) << 32 | u64::from(dst.to_bits()));
        hasher.write_u8(protocol);
        let slot = &mut self.idents[hasher.finish() as usize & 0xff];
        let id = *slot;
        *slot = slot.wrapping_add(count.max(1));
        id
    }
}
