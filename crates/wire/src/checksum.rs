//! The Internet checksum (RFC 1071): the complement of the ones' complement sum of 16-bit words.
//!
//! Sums are passed around as `u32` with a value of at most 0xffff each, so a few of them can be added with `+`; [`fold`]
//! brings the result back to 16 bits and [`finish`] complements it.
//!
//! # Partial checksums
//! A packet whose [`ChecksumState`] is `Partial` carries in its transport checksum field the **folded, not complemented
//! pseudo-header sum** (over the transport length that the packet has now). Whoever needs the real value computes
//! `finish(sum of the transport header and payload as they stand)`, which [`fill_checksum`] does. The sender calls
//! [`set_partial`]; `gso::cut` seeds each frame again, as their lengths differ.

mod packet;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netspace_base::{ChecksumState, Pkt};

use crate::protocol;

pub use packet::{fill_checksum, recompute, verify};

/// The sum of `bytes` as 16-bit words, at most 0xffff. An odd byte at the end counts as the word's upper half.
pub fn sum(bytes: &[u8]) -> u32 {
    // RFC 1071 §2 (B): the byte order of the sum may be exchanged at the end, so words are added as they lie in memory,
    // and four at a time (parallel summation).
    let mut acc: u64 = 0;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let v = u64::from_ne_bytes(*chunk);
        acc += (v & 0xffff_ffff) + (v >> 32);
    }
    let (words, rest) = rest.as_chunks::<2>();
    for word in words {
        acc += u64::from(u16::from_ne_bytes(*word));
    }
    if let [last] = rest {
        acc += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    acc = (acc & 0xffff_ffff) + (acc >> 32);
    acc = (acc & 0xffff_ffff) + (acc >> 32);
    u32::from(u16::from_be(fold(acc as u32)))
}

/// The sum brought back to 16 bits, carries added in.
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum for a sum: folded and complemented.
pub const fn finish(sum: u32) -> u16 {
    !fold(sum)
}

/// Sums bytes that come in parts, of odd lengths too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summer {
    sum: u32,
    odd: bool,
}

impl Summer {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let part = sum(bytes);
        // RFC 1071 §2 (B): at an odd offset, the bytes of each word are exchanged.
        let part = if self.odd { u32::from((part as u16).swap_bytes()) } else { part };
        self.sum = u32::from(fold(self.sum + part));
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The sum so far.
    pub const fn sum(self) -> u32 {
        self.sum
    }
}

/// The sum of the pseudo-header of TCP and UDP over IPv4 (RFC 9293 §3.1); `len` is the transport length.
pub fn pseudo_header_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: usize) -> u32 {
    u32::from(fold(sum(&src.octets()) + sum(&dst.octets()) + u32::from(protocol) + len_sum(len)))
}

/// The sum of the pseudo-header over IPv6 (RFC 8200 §8.1); `len` is the upper-layer length.
pub fn pseudo_header_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, len: usize) -> u32 {
    u32::from(fold(sum(&src.octets()) + sum(&dst.octets()) + u32::from(protocol) + len_sum(len)))
}

/// The pseudo-header sum for addresses of one family. For a mixture (which no caller has) it is the IPv6 sum of the mapped
/// addresses.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> u32 {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => pseudo_header_v4(src, dst, protocol, len),
        (src, dst) => pseudo_header_v6(mapped(src), mapped(dst), protocol, len),
    }
}

fn mapped(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

const fn len_sum(len: usize) -> u32 {
    (len as u32 & 0xffff) + ((len as u32) >> 16)
}

/// The sum of the packet's bytes from offset `from` of its data to its end, over the linear area and all slices.
pub fn sum_pkt(pkt: &Pkt, from: usize) -> u32 {
    sum_pkt_range(pkt, from, usize::MAX)
}

/// As [`sum_pkt`], of at most `len` bytes: without Ethernet padding, for instance.
pub fn sum_pkt_range(pkt: &Pkt, from: usize, len: usize) -> u32 {
    let mut summer = Summer::default();
    let (mut skip, mut left) = (from, len);
    for part in std::iter::once(pkt.data()).chain(pkt.frags().iter().map(AsRef::as_ref)) {
        let skipped = skip.min(part.len());
        skip -= skipped;
        let part = &part[skipped..];
        let part = &part[..part.len().min(left)];
        left -= part.len();
        summer.add(part);
    }
    summer.sum()
}

/// The checksum of the packet's bytes from offset `from` of its data to its end (ICMPv4, for instance). The checksum field
/// must be 0.
pub fn of_pkt(pkt: &Pkt, from: usize) -> u16 {
    finish(sum_pkt(pkt, from))
}

/// The checksum after one 16-bit word that it covers has changed (RFC 1624 §3, equation 3).
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    finish(!checksum as u32 + !old as u32 + new as u32)
}

/// The checksum after one 32-bit number that it covers has changed: an IPv4 address, a sequence number.
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    let checksum = update_u16(checksum, (old >> 16) as u16, (new >> 16) as u16);
    update_u16(checksum, old as u16, new as u16)
}

/// The checksum after an even number of bytes that it covers has changed: an IPv6 address. Both slices are equally long.
pub fn update_bytes(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    debug_assert_eq!(old.len(), new.len());
    debug_assert_eq!(old.len() % 2, 0);
    finish(u32::from(!checksum) + (0xffff - sum(old)) + sum(new))
}

/// Whether bytes with a checksum in them are undamaged; `pseudo` is 0 where no pseudo-header is covered.
pub fn is_valid(bytes: &[u8], pseudo: u32) -> bool {
    fold(sum(bytes) + pseudo) == 0xffff
}

/// Whether the packet's first `len` bytes from offset `from` on, with a checksum in them, are undamaged. UDP's "no
/// checksum" (0, IPv4 only) is for the caller to see first.
pub fn verify_pkt(pkt: &Pkt, from: usize, len: usize, pseudo: u32) -> bool {
    fold(sum_pkt_range(pkt, from, len) + pseudo) == 0xffff
}

/// Where the checksum field lies in a transport header, if the protocol has one that covers the whole packet.
pub const fn field_offset(protocol: u8) -> Option<usize> {
    match protocol {
        protocol::TCP => Some(16),
        protocol::UDP => Some(6),
        protocol::ICMP | protocol::ICMPV6 | protocol::IGMP => Some(2),
        _ => None,
    }
}

/// Marks a packet whose data starts at a TCP or UDP header as [`ChecksumState::Partial`], with the pseudo-header's sum in
/// the checksum field. `pseudo` is what [`pseudo_header`] gives for the whole transport length. Panics if the transport
/// header is not in the linear area.
pub fn set_partial(pkt: &mut Pkt, protocol: u8, pseudo: u32) {
    let Some(at) = field_offset(protocol) else { return };
    pkt.data_mut()[at..at + 2].copy_from_slice(&fold(pseudo).to_be_bytes());
    pkt.checksum = ChecksumState::Partial;
}

#[cfg(test)]
mod tests {
    use netspace_base::{Bytes, PktId};

    use super::*;

    fn slow_sum(bytes: &[u8]) -> u32 {
        let mut sum = 0;
        for pair in bytes.chunks(2) {
            let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
            sum = u32::from(fold(sum + u32::from(word)));
        }
        sum
    }

    #[test]
    fn rfc_1071_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes), 0xddf2);
        assert_eq!(finish(sum(&bytes)), 0x220d);
    }

    #[test]
    fn fast_and_slow_sums_agree_on_every_length() {
        let bytes: Vec<u8> = (0..300u32).map(|i| (i * 37 + 255) as u8).collect();
        for from in 0..9 {
            for to in from..bytes.len() {
                assert_eq!(sum(&bytes[from..to]), slow_sum(&bytes[from..to]), "{from}..{to}");
            }
        }
        assert_eq!(sum(&[0xff; 65_536]), 0xffff);
    }

    #[test]
    fn parts_of_odd_length_sum_as_the_whole() {
        let bytes: Vec<u8> = (0..61u32).map(|i| (i * 7 + 3) as u8).collect();
        for cut in 0..=61 {
            let mut pkt = Pkt::from_slice(PktId(1), &bytes[..cut]);
            pkt.append_frag(Bytes::copy_from_slice(&bytes[cut..cut + (61 - cut) / 2]));
            pkt.append_frag(Bytes::copy_from_slice(&bytes[cut + (61 - cut) / 2..]));
            for from in 0..10 {
                assert_eq!(fold(sum_pkt(&pkt, from)), fold(sum(&bytes[from..])), "{cut} {from}");
            }
        }
    }

    #[test]
    fn rfc_1624_example_updates_to_zero() {
        // §4: checksum 0xdd2f, a word changes from 0x5555 to 0x3285.
        assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn updates_agree_with_a_new_sum() {
        let mut bytes: Vec<u8> = (0..40u32).map(|i| (i * 11 + 5) as u8).collect();
        let before = finish(sum(&bytes));
        let old = bytes.clone();
        bytes[4..8].copy_from_slice(&[9, 8, 7, 6]);
        bytes[20..36].copy_from_slice(&[0xab; 16]);
        let word = |b: &[u8]| u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
        let after = update_u32(before, word(&old), word(&bytes));
        assert_eq!(update_bytes(after, &old[20..36], &bytes[20..36]), finish(sum(&bytes)));
    }
}
