//! IPv4 (RFC 791).
//!
//! ```text
//! | 4, IHL | TOS | total length          |
//! | identification | flags, fragment     |
//! | TTL | protocol | header checksum     |
//! | source                               |
//! | destination                          |
//! | options, 0–40 bytes …                |
//! ```

mod options;

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{WireError, checksum};
pub use options::{Ipv4Option, Ipv4Options, OPTIONS_MAX};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const HEADER_LEN_MAX: usize = HEADER_LEN + OPTIONS_MAX;
/// Where TTL, protocol and checksum lie.
pub const TTL_OFFSET: usize = 8;
/// Where the header checksum lies.
pub const CHECKSUM_OFFSET: usize = 10;
/// Every IPv4 link carries packets of this size (RFC 791 §3.2).
pub const MTU_MIN: usize = 68;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    version_ihl: u8,
    tos: u8,
    total_len: U16,
    id: U16,
    fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    src: [u8; 4],
    dst: [u8; 4],
}

/// An IPv4 header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4Repr {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// What follows ([`crate::protocol`]).
    pub protocol: u8,
    /// Time to live, hops.
    pub ttl: u8,
    /// Type of service: DSCP, and ECN in the lower two bits.
    pub tos: u8,
    /// The packet's number, for reassembly.
    pub id: u16,
    /// Routers must not fragment it.
    pub dont_fragment: bool,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Where this fragment belongs in the payload, bytes (a multiple of eight).
    pub fragment_offset: u16,
    /// Header and payload, bytes. Longer than what has arrived is for the caller to refuse.
    pub total_len: u16,
    /// The options.
    pub options: Ipv4Options,
}

impl Ipv4Repr {
    /// A header without options before `payload_len` bytes; TTL 64, not a fragment.
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload_len: usize) -> Self {
        debug_assert!(payload_len <= 0xffff - HEADER_LEN);
        Self {
            src,
            dst,
            protocol,
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            total_len: (HEADER_LEN + payload_len) as u16,
            options: Ipv4Options::default(),
        }
    }

    /// Reads the header, and how long it is with its options; the header checksum and the options are checked. Whether
    /// `total_len` bytes have arrived is for the caller to check, as the payload need not lie in `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, len) = Self::header(bytes)?;
        if !checksum::is_valid(&bytes[..len], 0) {
            return Err(WireError::Checksum);
        }
        let options = Ipv4Options::parse(&bytes[HEADER_LEN..len])?;
        let repr = Self::from_header(h, options);
        if usize::from(repr.total_len) < len {
            return Err(WireError::Length);
        }
        Ok((repr, len))
    }

    /// Reads a header that an ICMP error quotes: neither its checksum nor its options are checked, as routers have changed
    /// them on the way. Malformed options are left out.
    pub fn parse_quoted(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, len) = Self::header(bytes)?;
        let options = Ipv4Options::parse(&bytes[HEADER_LEN..len]).unwrap_or_default();
        Ok((Self::from_header(h, options), len))
    }

    fn header(bytes: &[u8]) -> Result<(&Header, usize), WireError> {
        let (h, _) = Header::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        if h.version_ihl >> 4 != 4 {
            return Err(WireError::Version);
        }
        let len = usize::from(h.version_ihl & 0xf) * 4;
        if len < HEADER_LEN {
            return Err(WireError::Length);
        }
        if bytes.len() < len {
            return Err(WireError::Truncated);
        }
        Ok((h, len))
    }

    fn from_header(h: &Header, options: Ipv4Options) -> Self {
        let fragment = h.fragment.get();
        Self {
            src: h.src.into(),
            dst: h.dst.into(),
            protocol: h.protocol,
            ttl: h.ttl,
            tos: h.tos,
            id: h.id.get(),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: (fragment & OFFSET_MASK) << 3,
            total_len: h.total_len.get(),
            options,
        }
    }

    /// Whether this is a fragment (the first included).
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Bytes of payload.
    pub const fn payload_len(&self) -> usize {
        (self.total_len as usize).saturating_sub(self.header_len())
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.options.padded_len()
    }

    /// Writes the header with its checksum. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let len = self.header_len();
        let mut fragment = self.fragment_offset >> 3;
        fragment |= if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        fragment |= if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        let h = Header {
            version_ihl: 0x40 | (len / 4) as u8,
            tos: self.tos,
            total_len: self.total_len.into(),
            id: self.id.into(),
            fragment: fragment.into(),
            ttl: self.ttl,
            protocol: self.protocol,
            checksum: 0.into(),
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out[..HEADER_LEN].copy_from_slice(h.as_bytes());
        self.options.emit(&mut out[HEADER_LEN..len]);
        fill_header_checksum(&mut out[..len]);
    }

    /// The sum of the pseudo-header for `len` bytes of transport header and payload.
    pub fn pseudo_sum(&self, len: usize) -> u32 {
        checksum::pseudo_header_v4(self.src, self.dst, self.protocol, len)
    }
}

/// Computes the checksum of `header` (exactly the header, options included) and writes it.
pub fn fill_header_checksum(header: &mut [u8]) {
    header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let value = checksum::finish(checksum::sum(header));
    header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&value.to_be_bytes());
}

/// Takes one from the TTL and updates the checksum (RFC 1141); gives the TTL that is left. The caller has seen that it is
/// not 0.
pub fn decrement_ttl(header: &mut [u8]) -> u8 {
    let old = u16::from_be_bytes([header[TTL_OFFSET], header[TTL_OFFSET + 1]]);
    let new = old.wrapping_sub(0x100);
    set_word(header, TTL_OFFSET, old, new);
    header[TTL_OFFSET]
}

/// Changes the type of service and updates the checksum (ECN marks, for instance).
pub fn set_tos(header: &mut [u8], tos: u8) {
    let old = u16::from_be_bytes([header[0], header[1]]);
    set_word(header, 0, old, old & 0xff00 | u16::from(tos));
}

fn set_word(header: &mut [u8], at: usize, old: u16, new: u16) {
    header[at..at + 2].copy_from_slice(&new.to_be_bytes());
    let sum = u16::from_be_bytes([header[CHECKSUM_OFFSET], header[CHECKSUM_OFFSET + 1]]);
    let sum = checksum::update_u16(sum, old, new);
    header[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol;

    fn header() -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        Ipv4Repr::new(src, dst, protocol::UDP, 8).emit(&mut out);
        out
    }

    #[test]
    fn a_decremented_ttl_keeps_the_checksum_right() {
        let mut bytes = header();
        for left in (0..64).rev() {
            assert_eq!(decrement_ttl(&mut bytes), left);
            assert_eq!(Ipv4Repr::parse(&bytes).unwrap().0.ttl, left);
        }
        set_tos(&mut bytes, 3);
        assert_eq!(Ipv4Repr::parse(&bytes).unwrap().0.tos, 3);
    }

    #[test]
    fn bad_headers_are_refused() {
        let refuse = |change: fn(&mut [u8; HEADER_LEN])| {
            let mut bytes = header();
            change(&mut bytes);
            Ipv4Repr::parse(&bytes).unwrap_err()
        };
        assert_eq!(refuse(|b| b[0] = 0x65), WireError::Version);
        assert_eq!(refuse(|b| b[0] = 0x44), WireError::Length);
        assert_eq!(refuse(|b| b[0] = 0x46), WireError::Truncated);
        assert_eq!(refuse(|b| b[15] ^= 1), WireError::Checksum);
        assert_eq!(
            refuse(|b| {
                b[3] = 19;
                fill_header_checksum(b);
            }),
            WireError::Length
        );
        assert_eq!(Ipv4Repr::parse(&header()[..19]).unwrap_err(), WireError::Truncated);
    }
}
