//! Neighbour discovery (RFC 4861): router and neighbour solicitations and advertisements, redirects.
//!
//! A message is an ICMPv6 message of type 133–137; its options follow the fixed part.

mod options;

use std::net::Ipv6Addr;

use crate::icmpv6::kind;
use crate::{WireError, array_at, u16_at, u32_at};
pub use options::{NdpOptions, PrefixInfo, RouteInfo};

/// A received message must have this hop limit: it then comes from the link (RFC 4861 §6.1, §7.1).
pub const HOP_LIMIT: u8 = 255;

/// The preference of a default router or route (RFC 4191 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum RouterPreference {
    /// Below others.
    Low,
    /// Neither.
    #[default]
    Medium,
    /// Above others.
    High,
}

impl RouterPreference {
    /// From the two bits; the reserved value counts as medium (RFC 4191 §2.2).
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            1 => Self::High,
            3 => Self::Low,
            _ => Self::Medium,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::High => 1,
            Self::Medium => 0,
            Self::Low => 3,
        }
    }
}

/// What a router advertisement says besides its options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RouterAdvertisement {
    /// The hop limit that hosts should use; 0: not said.
    pub hop_limit: u8,
    /// Addresses come by DHCPv6.
    pub managed: bool,
    /// Other configuration comes by DHCPv6.
    pub other: bool,
    /// The router's preference.
    pub preference: RouterPreference,
    /// How long the router is a default router, seconds; 0: it is none.
    pub router_lifetime_s: u16,
    /// How long a neighbour is reachable after a confirmation, ms; 0: not said.
    pub reachable_ms: u32,
    /// Between solicitations, ms; 0: not said.
    pub retrans_ms: u32,
}

/// What a neighbour advertisement says besides its options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighborAdvertisement {
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It overrides what is cached.
    pub override_: bool,
    /// Whose link-layer address it tells.
    pub target: Ipv6Addr,
}

/// The kind of a message and its fixed part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NdpMessage {
    /// Routers, tell about yourselves.
    RouterSolicitation,
    /// A router tells about itself and the link.
    RouterAdvertisement(RouterAdvertisement),
    /// Who has this address?
    NeighborSolicitation {
        /// Which address.
        target: Ipv6Addr,
    },
    /// Someone has this address.
    NeighborAdvertisement(NeighborAdvertisement),
    /// For the destination, the target is a better first hop.
    Redirect {
        /// The better first hop, or the destination itself if it is on the link.
        target: Ipv6Addr,
        /// For packets to here.
        destination: Ipv6Addr,
    },
}

/// A neighbour-discovery message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NdpRepr {
    /// The fixed part.
    pub message: NdpMessage,
    /// The options.
    pub options: NdpOptions,
}

impl NdpRepr {
    /// Reads a whole message (`bytes` must end where it ends) and how long it is. Checked is what RFC 4861 §6.1, §7.1 and
    /// §8.1 ask of the message itself: code 0, lengths, options, targets. Hop limit, checksum and the rules about the IP
    /// addresses are for the caller ([`Self::addresses_are_valid`]).
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let [kind, code]: [u8; 2] = array_at(bytes, 0).ok_or(WireError::Truncated)?;
        if !(kind::ROUTER_SOLICITATION..=kind::REDIRECT).contains(&kind) {
            return Err(WireError::Type(kind));
        }
        if code != 0 {
            return Err(WireError::Field(1));
        }
        let fixed = fixed_len(kind);
        if bytes.len() < fixed {
            return Err(WireError::Truncated);
        }
        let message = parse_fixed(kind, bytes)?;
        let options = NdpOptions::parse(&bytes[fixed..], fixed)?;
        Ok((Self { message, options }, bytes.len()))
    }

    /// The message's ICMPv6 type.
    pub const fn kind(&self) -> u8 {
        match self.message {
            NdpMessage::RouterSolicitation => kind::ROUTER_SOLICITATION,
            NdpMessage::RouterAdvertisement(_) => kind::ROUTER_ADVERTISEMENT,
            NdpMessage::NeighborSolicitation { .. } => kind::NEIGHBOR_SOLICITATION,
            NdpMessage::NeighborAdvertisement(_) => kind::NEIGHBOR_ADVERTISEMENT,
            NdpMessage::Redirect { .. } => kind::REDIRECT,
        }
    }

    /// Bytes that [`Self::emit`] writes: the whole message.
    pub fn header_len(&self) -> usize {
        fixed_len(self.kind()) + self.options.len()
    }

    /// Writes the whole message, its checksum 0 ([`crate::icmpv6::fill_checksum`]). Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let kind = self.kind();
        let fixed = fixed_len(kind);
        out[..fixed].fill(0);
        out[0] = kind;
        match &self.message {
            NdpMessage::RouterSolicitation => {}
            NdpMessage::RouterAdvertisement(ra) => {
                out[4] = ra.hop_limit;
                out[5] = u8::from(ra.managed) << 7 | u8::from(ra.other) << 6 | ra.preference.bits() << 3;
                out[6..8].copy_from_slice(&ra.router_lifetime_s.to_be_bytes());
                out[8..12].copy_from_slice(&ra.reachable_ms.to_be_bytes());
                out[12..16].copy_from_slice(&ra.retrans_ms.to_be_bytes());
            }
            NdpMessage::NeighborSolicitation { target } => out[8..24].copy_from_slice(&target.octets()),
            NdpMessage::NeighborAdvertisement(na) => {
                out[4] = u8::from(na.router) << 7 | u8::from(na.solicited) << 6 | u8::from(na.override_) << 5;
                out[8..24].copy_from_slice(&na.target.octets());
            }
            NdpMessage::Redirect { target, destination } => {
                out[8..24].copy_from_slice(&target.octets());
                out[24..40].copy_from_slice(&destination.octets());
            }
        }
        self.options.emit(&mut out[fixed..]);
    }

    /// Whether the packet's addresses fit the message (RFC 4861 §6.1.1, §6.1.2, §7.1.1, §7.1.2, §8.1).
    pub fn addresses_are_valid(&self, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        match &self.message {
            NdpMessage::RouterSolicitation => !src.is_unspecified() || self.options.source_lladdr.is_none(),
            NdpMessage::RouterAdvertisement(_) | NdpMessage::Redirect { .. } => src.is_unicast_link_local(),
            NdpMessage::NeighborSolicitation { target } => {
                !src.is_unspecified()
                    || (self.options.source_lladdr.is_none() && dst == solicited_node(*target))
            }
            NdpMessage::NeighborAdvertisement(na) => !(dst.is_multicast() && na.solicited),
        }
    }
}

const fn fixed_len(kind: u8) -> usize {
    match kind {
        kind::ROUTER_SOLICITATION => 8,
        kind::ROUTER_ADVERTISEMENT => 16,
        kind::REDIRECT => 40,
        _ => 24,
    }
}

/// The fixed part; `bytes` has been seen to be long enough.
fn parse_fixed(kind: u8, bytes: &[u8]) -> Result<NdpMessage, WireError> {
    let addr = |at| array_at::<16>(bytes, at).map(Ipv6Addr::from).ok_or(WireError::Truncated);
    // A target is one node's address (RFC 4861 §7.1.1, §7.1.2, §8.1).
    let target = || match addr(8)? {
        target if target.is_multicast() || target.is_unspecified() => Err(WireError::Field(8)),
        target => Ok(target),
    };
    Ok(match kind {
        kind::ROUTER_SOLICITATION => NdpMessage::RouterSolicitation,
        kind::ROUTER_ADVERTISEMENT => NdpMessage::RouterAdvertisement(RouterAdvertisement {
            hop_limit: bytes[4],
            managed: bytes[5] & 0x80 != 0,
            other: bytes[5] & 0x40 != 0,
            preference: RouterPreference::from_bits(bytes[5] >> 3),
            router_lifetime_s: u16_at(bytes, 6).ok_or(WireError::Truncated)?,
            reachable_ms: u32_at(bytes, 8).ok_or(WireError::Truncated)?,
            retrans_ms: u32_at(bytes, 12).ok_or(WireError::Truncated)?,
        }),
        kind::NEIGHBOR_SOLICITATION => NdpMessage::NeighborSolicitation { target: target()? },
        kind::NEIGHBOR_ADVERTISEMENT => NdpMessage::NeighborAdvertisement(NeighborAdvertisement {
            router: bytes[4] & 0x80 != 0,
            solicited: bytes[4] & 0x40 != 0,
            override_: bytes[4] & 0x20 != 0,
            target: target()?,
        }),
        _ => {
            let destination = addr(24)?;
            if destination.is_multicast() {
                return Err(WireError::Field(24));
            }
            NdpMessage::Redirect { target: target()?, destination }
        }
    })
}

/// The solicited-node group of an address: `ff02::1:ff` and its lower 24 bits (RFC 4291 §2.7.1).
pub const fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let o = addr.octets();
    let low = (o[14] as u16) << 8 | o[15] as u16;
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | o[13] as u16, low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MacAddr;

    fn solicitation() -> NdpRepr {
        NdpRepr {
            message: NdpMessage::NeighborSolicitation { target: "fd00::12:3456".parse().unwrap() },
            options: NdpOptions { source_lladdr: Some(MacAddr([2, 0, 0, 0, 0, 1])), ..NdpOptions::default() },
        }
    }

    #[test]
    fn a_solicitation_is_32_bytes_and_reads_back() {
        let repr = solicitation();
        let mut bytes = vec![0xee; repr.header_len()];
        repr.emit(&mut bytes);
        assert_eq!(bytes.len(), 32);
        assert_eq!(bytes[24..], [1, 1, 2, 0, 0, 0, 0, 1]);
        assert_eq!(NdpRepr::parse(&bytes), Ok((repr, 32)));
    }

    #[test]
    fn an_option_of_length_zero_is_refused() {
        let repr = solicitation();
        let mut bytes = vec![0; repr.header_len()];
        repr.emit(&mut bytes);
        bytes[25] = 0;
        assert_eq!(NdpRepr::parse(&bytes), Err(WireError::Option(24)));
        bytes[25] = 2;
        assert_eq!(NdpRepr::parse(&bytes), Err(WireError::Option(24)));
    }

    #[test]
    fn duplicate_address_detection_has_its_address_rules() {
        let mut repr = solicitation();
        let target: Ipv6Addr = "fd00::12:3456".parse().unwrap();
        let group = solicited_node(target);
        assert_eq!(group.to_string(), "ff02::1:ff12:3456");
        assert!(!repr.addresses_are_valid(Ipv6Addr::UNSPECIFIED, group), "it must not tell a source MAC");
        repr.options.source_lladdr = None;
        assert!(repr.addresses_are_valid(Ipv6Addr::UNSPECIFIED, group));
        assert!(!repr.addresses_are_valid(Ipv6Addr::UNSPECIFIED, target));
    }
}
