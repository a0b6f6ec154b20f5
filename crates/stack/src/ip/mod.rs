//! IPv4 (RFC 791, RFC 1122, RFC 1812): the packet's way from the link to the transport and back.
//!
//! ```text
//! receive (header, checksum) → route_in ─┬ local, broadcast, group → deliver → reassemble → ICMP, IGMP, l4
//!                                        └ other host → forward (TTL, MTU, redirect) ─┐
//! send (from sockets) → route_out → header ─────────────────────────────────────────→ output → fragment → neigh
//! ```

pub mod addr;
pub(crate) mod deliver;
pub(crate) mod forward;
pub(crate) mod fragment;
pub(crate) mod icmp;
pub mod igmp;
pub(crate) mod output;
pub mod reassemble;
pub(crate) mod receive;
pub(crate) mod route;
pub(crate) mod send;

use std::hash::{BuildHasher, Hasher};
use std::net::Ipv4Addr;

use foldhash::fast::FixedState;
use netspace_base::Rng;

use crate::route::{Exceptions, RouteCache};
use reassemble::Reassembly4;

pub(crate) use route::route_out;
pub(crate) use send::{send, send_with_header};

/// IPv4's own state: fragments, identifiers, what was learnt about paths.
#[derive(Debug)]
pub(crate) struct Ip {
    pub(crate) reassembly: Reassembly4,
    pub(crate) exceptions: Exceptions<Ipv4Addr>,
    pub(crate) routes_in: RouteCache<Ipv4Addr, route::RouteIn>,
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
