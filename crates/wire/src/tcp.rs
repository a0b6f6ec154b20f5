//! TCP (RFC 9293 §3.1) and its options.
//!
//! ```text
//! | source port | destination port |
//! | sequence number                |
//! | acknowledgement number         |
//! | offset, flags | window         |
//! | checksum      | urgent pointer |
//! | options, 0–40 bytes …          |
//! ```

mod flags;
mod options;
mod seq;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::WireError;
pub use flags::TcpFlags;
pub use options::{AccEcnOption, FastOpenCookie, MAX_WINDOW_SCALE, OPTIONS_MAX, TcpOptions};
pub use seq::SeqNum;

/// Bytes of a TCP header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest TCP header.
pub const HEADER_LEN_MAX: usize = HEADER_LEN + OPTIONS_MAX;
/// Where the flags lie (their low byte; AE is bit 0 of the byte before).
pub const FLAGS_OFFSET: usize = 13;
/// Where the checksum lies.
pub const CHECKSUM_OFFSET: usize = 16;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    src_port: U16,
    dst_port: U16,
    seq: U32,
    ack: U32,
    offset_flags: U16,
    window: U16,
    checksum: U16,
    urgent: U16,
}

/// A TCP header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TcpRepr {
    /// From which port.
    pub src_port: u16,
    /// To which port.
    pub dst_port: u16,
    /// The number of the first byte (of SYN, if set).
    pub seq: SeqNum,
    /// The next number expected; means nothing without ACK.
    pub ack: SeqNum,
    /// The control bits.
    pub flags: TcpFlags,
    /// The receive window as it is on the wire: not scaled.
    pub window: u16,
    /// The urgent pointer; means nothing without URG.
    pub urgent: u16,
    /// The options.
    pub options: TcpOptions,
}

impl TcpRepr {
    /// Reads the header, and how long it is with its options. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (h, _) = Header::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        let offset_flags = h.offset_flags.get();
        let len = usize::from(offset_flags >> 12) * 4;
        if len < HEADER_LEN {
            return Err(WireError::Length);
        }
        let options = bytes.get(HEADER_LEN..len).ok_or(WireError::Truncated)?;
        let flags = TcpFlags::from_bits_truncate(offset_flags);
        let repr = Self {
            src_port: h.src_port.get(),
            dst_port: h.dst_port.get(),
            seq: SeqNum(h.seq.get()),
            ack: SeqNum(h.ack.get()),
            flags,
            window: h.window.get(),
            urgent: h.urgent.get(),
            options: TcpOptions::parse(options, flags.contains(TcpFlags::SYN)),
        };
        Ok((repr, len))
    }

    /// Bytes that [`Self::emit`] writes: a multiple of four, at most [`HEADER_LEN_MAX`].
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header, its checksum 0. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let options_len = self.options.emit(&mut out[HEADER_LEN..]);
        let words = ((HEADER_LEN + options_len) / 4) as u16;
        let h = Header {
            src_port: self.src_port.into(),
            dst_port: self.dst_port.into(),
            seq: self.seq.0.into(),
            ack: self.ack.0.into(),
            offset_flags: (words << 12 | self.flags.bits()).into(),
            window: self.window.into(),
            checksum: 0.into(),
            urgent: self.urgent.into(),
        };
        out[..HEADER_LEN].copy_from_slice(h.as_bytes());
    }
}

/// Source and destination port of a TCP or UDP header: all that a lookup needs.
pub fn ports(header: &[u8]) -> Option<(u16, u16)> {
    Some((crate::u16_at(header, 0)?, crate::u16_at(header, 2)?))
}
