//! UDP (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::WireError;

/// Bytes of a UDP header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum lies.
pub const CHECKSUM_OFFSET: usize = 6;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    src_port: U16,
    dst_port: U16,
    len: U16,
    checksum: U16,
}

/// A UDP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpRepr {
    /// From which port; 0 if no reply is wanted.
    pub src_port: u16,
    /// To which port.
    pub dst_port: u16,
    /// Header and payload, bytes. Longer than what has arrived is for the caller to refuse.
    pub len: u16,
}

impl UdpRepr {
    /// The header before `payload_len` bytes (at most 65,527).
    pub const fn new(src_port: u16, dst_port: u16, payload_len: usize) -> Self {
        debug_assert!(payload_len <= 0xffff - HEADER_LEN);
        Self { src_port, dst_port, len: (HEADER_LEN + payload_len) as u16 }
    }

    /// Reads the header, and how long it is.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, _) = Header::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        let len = h.len.get();
        if usize::from(len) < HEADER_LEN {
            return Err(WireError::Length);
        }
        Ok((Self { src_port: h.src_port.get(), dst_port: h.dst_port.get(), len }, HEADER_LEN))
    }

    /// Bytes of payload.
    pub const fn payload_len(&self) -> usize {
        self.len as usize - HEADER_LEN
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, its checksum 0. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let h = Header {
            src_port: self.src_port.into(),
            dst_port: self.dst_port.into(),
            len: self.len.into(),
            checksum: 0.into(),
        };
        out[..HEADER_LEN].copy_from_slice(h.as_bytes());
    }
}

/// Whether the header says that it carries no checksum (allowed over IPv4 only).
pub fn has_no_checksum(header: &[u8]) -> bool {
    header.get(CHECKSUM_OFFSET..HEADER_LEN) == Some(&[0, 0])
}
