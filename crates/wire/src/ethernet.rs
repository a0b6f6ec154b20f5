//! Ethernet II (IEEE 802.3 with a type field).
//!
//! ```text
//! | destination 6 | source 6 | EtherType 2 | payload 46–1500 …
//! ```

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{MacAddr, WireError};

/// Bytes of an Ethernet header.
pub const HEADER_LEN: usize = 14;
/// The shortest payload; shorter ones are padded on a real wire.
pub const PAYLOAD_MIN: usize = 46;

/// IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// An 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// An 802.1ad service tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    dst: MacAddr,
    src: MacAddr,
    ethertype: U16,
}

/// An Ethernet header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EthernetRepr {
    /// To which station or group.
    pub dst: MacAddr,
    /// From which station.
    pub src: MacAddr,
    /// What follows.
    pub ethertype: u16,
}

impl EthernetRepr {
    /// Reads the header, and how long it is.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, _) = Header::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        Ok((Self { dst: h.dst, src: h.src, ethertype: h.ethertype.get() }, HEADER_LEN))
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let h = Header { dst: self.dst, src: self.src, ethertype: self.ethertype.into() };
        out[..HEADER_LEN].copy_from_slice(h.as_bytes());
    }
}
