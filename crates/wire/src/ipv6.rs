//! IPv6 (RFC 8200): the fixed header. Extension headers are in [`ext`].
//!
//! ```text
//! | 6 | traffic class | flow label           |
//! | payload length | next header | hop limit |
//! | source, 16 bytes                         |
//! | destination, 16 bytes                    |
//! ```

pub mod ext;

use std::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{WireError, checksum};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Where the next header lies.
pub const NEXT_HEADER_OFFSET: usize = 6;
/// Where the hop limit lies.
pub const HOP_LIMIT_OFFSET: usize = 7;
/// Every IPv6 link carries packets of this size (RFC 8200 §5).
pub const MTU_MIN: usize = 1280;

/// All nodes on the link, `ff02::1`.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link, `ff02::2`.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All MLDv2 routers on the link, `ff02::16`.
pub const ALL_MLDV2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    version_class_flow: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
}

/// The fixed header of an IPv6 packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv6Repr {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// What follows: an extension header or the upper layer ([`crate::protocol`]).
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// DSCP, and ECN in the lower two bits.
    pub traffic_class: u8,
    /// The flow's label, 20 bits.
    pub flow_label: u32,
    /// Bytes behind this header, extension headers included. More than have arrived is for the caller to refuse.
    pub payload_len: u16,
}

impl Ipv6Repr {
    /// A header before `payload_len` bytes, hop limit 64.
    pub const fn new(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8, payload_len: usize) -> Self {
        debug_assert!(payload_len <= 0xffff);
        Self {
            src,
            dst,
            next_header,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            payload_len: payload_len as u16,
        }
    }

    /// Reads the header, and how long it is.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, _) = Header::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        let first = h.version_class_flow.get();
        if first >> 28 != 6 {
            return Err(WireError::Version);
        }
        let repr = Self {
            src: h.src.into(),
            dst: h.dst.into(),
            next_header: h.next_header,
            hop_limit: h.hop_limit,
            traffic_class: (first >> 20) as u8,
            flow_label: first & 0xf_ffff,
            payload_len: h.payload_len.get(),
        };
        Ok((repr, HEADER_LEN))
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0xf_ffff;
        let h = Header {
            version_class_flow: first.into(),
            payload_len: self.payload_len.into(),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out[..HEADER_LEN].copy_from_slice(h.as_bytes());
    }

    /// The sum of the pseudo-header for `len` bytes of the upper layer `protocol` (not [`Self::next_header`] when
    /// extension headers stand between).
    pub fn pseudo_sum(&self, protocol: u8, len: usize) -> u32 {
        checksum::pseudo_header_v6(self.src, self.dst, protocol, len)
    }
}

/// Takes one from the hop limit; gives what is left. The caller has seen that it is not 0.
pub fn decrement_hop_limit(header: &mut [u8]) -> u8 {
    header[HOP_LIMIT_OFFSET] = header[HOP_LIMIT_OFFSET].wrapping_sub(1);
    header[HOP_LIMIT_OFFSET]
}

/// The traffic class of a header, if its first bytes are there.
pub fn traffic_class(header: &[u8]) -> Option<u8> {
    Some(header.first()? << 4 | header.get(1)? >> 4)
}

/// Changes the traffic class (ECN marks, for instance).
pub fn set_traffic_class(header: &mut [u8], class: u8) {
    header[0] = header[0] & 0xf0 | class >> 4;
    header[1] = class << 4 | header[1] & 0x0f;
}
