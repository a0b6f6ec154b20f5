//! Interface identifiers: the lower half of addresses that a host makes by itself.

use std::hash::Hasher;
use std::net::Ipv6Addr;

use netspace_base::DevId;
use siphasher::sip::SipHasher13;

use crate::Netns;

/// An address of a prefix and an interface identifier.
pub(super) fn with_identifier(prefix: Ipv6Addr, id: [u8; 8]) -> Ipv6Addr {
    let mut octets = prefix.octets();
    octets[8..].copy_from_slice(&id);
    octets.into()
}

/// A stable, opaque address in a prefix (RFC 7217): from the prefix, the device and this host's secret.
pub(crate) fn stable_address(ns: &Netns, dev: DevId, prefix: Ipv6Addr, dad_counter: u8) -> Ipv6Addr {
    let mut hasher = SipHasher13::new_with_keys(ns.ip6.stable_secret, u64::from(dev.0));
    hasher.write(&prefix.octets()[..8]);
    hasher.write_u8(dad_counter);
    with_identifier(prefix, hasher.finish().to_be_bytes())
}
