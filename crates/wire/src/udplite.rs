//! UDP-Lite (RFC 3828): UDP whose checksum may cover only the first bytes of a datagram.
//!
//! ```text
//! | source port | destination port | coverage | checksum |   coverage: bytes from the header's first on; 0 = all
//! ```
//! How long the datagram is, only the network header says.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::WireError;

/// Bytes of the header: the least that a checksum covers, too.
pub const HEADER_LEN: usize = 8;
/// Where the checksum lies.
const CHECKSUM_OFFSET: usize = 6;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    src_port: U16,
    dst_port: U16,
    coverage: U16,
    checksum: U16,
}

/// A UDP-Lite header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpLiteRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The bytes that the checksum covers, from the header's first on; 0 means the whole datagram.
    pub coverage: u16,
}

impl UdpLiteRepr {
    /// Reads the header, and how long it is. What its coverage is worth, [`Self::covered`] tells.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, _) = Header::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        let (src_port, dst_port) = (h.src_port.get(), h.dst_port.get());
        Ok((Self { src_port, dst_port, coverage: h.coverage.get() }, HEADER_LEN))
    }

    /// The bytes that the checksum covers in a datagram of `len` bytes (header included); an error if they would end within
    /// the header or behind the datagram (RFC 3828 §3.1).
    pub fn covered(&self, len: usize) -> Result<usize, WireError> {
        match usize::from(self.coverage) {
            0 => Ok(len),
            covered if (HEADER_LEN..=len).contains(&covered) => Ok(covered),
            _ => Err(WireError::Length),
        }
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
            coverage: self.coverage.into(),
            checksum: 0.into(),
        };
        out[..HEADER_LEN].copy_from_slice(h.as_bytes());
    }
}

/// Writes a checksum into a header. 0 would say that there is none, which UDP-Lite does not know: 0xffff stands for it.
pub fn set_checksum(header: &mut [u8], checksum: u16) {
    let value = if checksum == 0 { 0xffff } else { checksum };
    header[CHECKSUM_OFFSET..HEADER_LEN].copy_from_slice(&value.to_be_bytes());
}

/// Whether the header has no checksum, which is never allowed (RFC 3828 §3.1).
pub fn has_no_checksum(header: &[u8]) -> bool {
    header.get(CHECKSUM_OFFSET..HEADER_LEN) == Some(&[0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_comes_back_as_it_was_written() {
        let repr = UdpLiteRepr { src_port: 1234, dst_port: 5000, coverage: 20 };
        let mut bytes = [0xee; 9];
        repr.emit(&mut bytes);
        assert_eq!(bytes, [0x04, 0xd2, 0x13, 0x88, 0, 20, 0, 0, 0xee]);
        assert_eq!(UdpLiteRepr::parse(&bytes), Ok((repr, 8)));
        assert!(has_no_checksum(&bytes));
        set_checksum(&mut bytes, 0);
        assert_eq!(bytes[6..8], [0xff, 0xff]);
        assert_eq!(UdpLiteRepr::parse(&bytes[..7]), Err(WireError::Truncated));
    }

    #[test]
    fn a_coverage_lies_between_the_header_and_the_datagram_s_end() {
        let covered = |coverage| UdpLiteRepr { src_port: 1, dst_port: 2, coverage }.covered(18).ok();
        let found = [0, 7, 8, 18, 19].map(covered);
        assert_eq!(found, [Some(18), None, Some(8), Some(18), None]);
    }
}
