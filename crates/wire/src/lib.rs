//! Packet formats, one module per header.
//!
//! Each header has a representation, `XRepr`, that holds only what the stack accepts: `XRepr::parse` reads it from
//! bytes, `header_len` tells how many bytes it takes, `emit` writes it. Parsing never panics, whatever the bytes are.
//! `emit` leaves checksum fields 0 unless its documentation says otherwise; [`checksum`] fills them in.
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod ecn;
mod error;
pub mod ethernet;
pub mod gro;
pub mod gso;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
mod locate;
mod mac;
pub mod mld;
pub mod ndp;
pub mod protocol;
pub mod tcp;
pub mod text;
pub mod udp;
pub mod udplite;

pub use error::WireError;
pub use mac::{MacAddr, MacParseError};

/// The first `N` bytes of `bytes` from `at` on, if they are there.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The 16-bit number at `at`, big endian.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// The 32-bit number at `at`, big endian.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}
