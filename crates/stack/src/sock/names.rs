//! What sockets are found by: keys, and the maps that they are keys of.

use std::hash::Hasher;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use netspace_base::{DevId, Rng};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use super::SockId;

/// A hash map whose order depends on nothing but the seed.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// A hash set of the same kind.
pub(crate) type Set<K> = hashbrown::HashSet<K, FixedState>;
/// The sockets under one key; nearly always one.
pub(crate) type Ids = SmallVec<[SockId; 2]>;

/// The four names of a connection, and the link when addresses mean nothing without it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tuple {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    /// For link-local peers; else none.
    pub(crate) scope: DevId,
}

impl Tuple {
    pub(crate) fn new(local: (IpAddr, u16), remote: (IpAddr, u16), dev: DevId) -> Self {
        let scoped = matches!(remote.0, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Self {
            local: local.0,
            remote: remote.0,
            local_port: local.1,
            remote_port: remote.1,
            scope: if scoped { dev } else { DevId::NONE },
        }
    }
}

/// Keys for hashes that must not be guessed from outside (RFC 6056, RFC 6528).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secret(u64, u64);

impl Secret {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self(rng.u64(), rng.u64())
    }

    /// The IPv6 flow label of a flow (RFC 6437 §3: not zero, hard to guess, the same for all its packets).
    pub(crate) fn flow_label(&self, tuple: &Tuple) -> u32 {
        (self.hash(b'f', tuple) as u32 & 0xf_ffff).max(1)
    }

    /// A hash of an address pair and ports for one purpose.
    pub(crate) fn hash(&self, purpose: u8, tuple: &Tuple) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_u8(purpose);
        for ip in [tuple.local, tuple.remote] {
            match ip {
                IpAddr::V4(v4) => hasher.write(&v4.octets()),
                IpAddr::V6(v6) => hasher.write(&v6.octets()),
            }
        }
        hasher.write_u16(tuple.local_port);
        hasher.write_u16(tuple.remote_port);
        hasher.finish()
    }
}

/// Whether the devices of two sockets overlap.
pub(crate) fn devices_overlap(a: Option<DevId>, b: Option<DevId>) -> bool {
    a.is_none() || b.is_none() || a == b
}
