//! Explicit congestion notification (RFC 3168): the two low bits of IPv4's type of service and IPv6's traffic class.
//!
//! ```text
//! 00 Not-ECT   01 ECT(1)   10 ECT(0)   11 CE
//! ```

use netspace_base::Pkt;

use crate::{ipv4, ipv6};

/// The bits of the type of service or traffic class.
const MASK: u8 = 3;

/// A codepoint of the ECN field (RFC 3168 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Ecn {
    /// The transport does not take part.
    #[default]
    NotEct = 0,
    /// ECN-capable, ECT(1) (RFC 8311 leaves it to experiments, RFC 9331 to L4S).
    Ect1 = 1,
    /// ECN-capable, ECT(0).
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// The codepoint in a type of service or traffic class.
    pub const fn of(tos: u8) -> Self {
        match tos & MASK {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The type of service or traffic class with this codepoint.
    pub const fn on(self, tos: u8) -> u8 {
        tos & !MASK | self as u8
    }

    /// Whether the transport takes part: a router may mark the packet instead of dropping it.
    pub const fn is_capable(self) -> bool {
        !matches!(self, Self::NotEct)
    }
}

/// The codepoints that the fragments of a packet had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EcnSeen(u8);

impl EcnSeen {
    /// Another fragment has come.
    pub fn add(&mut self, ecn: Ecn) {
        self.0 |= 1 << ecn as u8;
    }

    fn has(self, ecn: Ecn) -> bool {
        self.0 & 1 << ecn as u8 != 0
    }

    /// What the whole packet has, if its first fragment had `first` (RFC 3168 §5.3): a mark on one fragment marks the
    /// whole. None: capable and not capable fragments are mixed, which no sender does; the packet is dropped, as Linux does.
    pub fn joined(self, first: Ecn) -> Option<Ecn> {
        if self.has(Ecn::NotEct) && self.0 != 1 {
            return None;
        }
        Some(if self.has(Ecn::Ce) { Ecn::Ce } else { first })
    }
}

/// Marks a packet whose data starts at its IP header: congestion experienced. False if its transport does not take part, or
/// it is no IP packet: who wanted to mark it may have to drop it.
pub fn mark_ce(pkt: &mut Pkt) -> bool {
    if !pkt.pull_linear(ipv4::HEADER_LEN.min(pkt.len())) {
        return false;
    }
    let header = pkt.data_mut();
    match header.first().map(|byte| byte >> 4) {
        Some(4) if header.len() >= ipv4::HEADER_LEN && Ecn::of(header[1]).is_capable() => {
            ipv4::set_tos(header, Ecn::Ce.on(header[1]));
            true
        }
        Some(6) => {
            let class = ipv6::traffic_class(header).filter(|&class| Ecn::of(class).is_capable());
            if let Some(class) = class {
                ipv6::set_traffic_class(header, Ecn::Ce.on(class));
            }
            class.is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::PktId;

    use super::*;

    #[test]
    fn codepoints_lie_in_the_low_bits() {
        assert_eq!(Ecn::of(0xb9), Ecn::Ect1);
        assert_eq!(Ecn::Ce.on(0xb8), 0xbb);
        assert_eq!(Ecn::NotEct.on(0xbb), 0xb8);
    }

    #[test]
    fn fragments_join_as_rfc_3168_says() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        let cases = [
            (&[NotEct, NotEct][..], Some(NotEct)),
            (&[Ect0, Ect0], Some(Ect0)),
            (&[Ect0, Ect1], Some(Ect0)),
            (&[Ect0, Ce], Some(Ce)),
            (&[Ce, Ect1], Some(Ce)),
            (&[NotEct, Ce], None),
            (&[Ect0, NotEct], None),
        ];
        for (fragments, whole) in cases {
            let mut seen = EcnSeen::default();
            fragments.iter().for_each(|&ecn| seen.add(ecn));
            assert_eq!(seen.joined(fragments[0]), whole, "{fragments:?}");
        }
    }

    #[test]
    fn only_packets_of_capable_transports_are_marked() {
        let mut v4 = [0; 20];
        (v4[0], v4[1]) = (0x45, 0x02);
        ipv4::fill_header_checksum(&mut v4);
        let mut pkt = Pkt::from_slice(PktId(1), &v4);
        assert!(mark_ce(&mut pkt));
        assert_eq!(pkt.data()[1], 0x03);
        let marked = pkt.data().to_vec();
        ipv4::fill_header_checksum(pkt.data_mut());
        assert_eq!(pkt.data(), marked, "the checksum went along");
        v4[1] = 0;
        assert!(!mark_ce(&mut Pkt::from_slice(PktId(2), &v4)));
        let mut v6 = [0; 40];
        (v6[0], v6[1]) = (0x6b, 0xa5);
        let mut pkt = Pkt::from_slice(PktId(3), &v6);
        assert!(mark_ce(&mut pkt));
        assert_eq!(pkt.data()[..2], [0x6b, 0xb5]);
    }
}
