//! UDP-Lite (RFC 3828): checksums that cover only the first bytes of a datagram.
//!
//! A sender that can live with damaged payload (voice, say) lets the checksum cover the header and what must be right; a
//! receiver says how much must be covered at least.

use std::net::IpAddr;

use netspace_base::{ChecksumState, Pkt};
use netspace_wire::udplite::{self, UdpLiteRepr};
use netspace_wire::{checksum, protocol};

/// A socket's coverage options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Coverage {
    /// `UDPLITE_SEND_CSCOV`: bytes covered of what is sent; 0 or none: all.
    pub(crate) send: Option<u16>,
    /// `UDPLITE_RECV_CSCOV`: bytes that must be covered of what is taken; 0: all. None, as long as nobody has said, takes
    /// any (Linux).
    pub(crate) receive: Option<u16>,
}

impl Coverage {
    /// Whether a received datagram has enough of it covered. `covered` is none if all of it is.
    pub(super) const fn accepts(self, covered: Option<usize>) -> bool {
        match (self.receive, covered) {
            (None, _) | (_, None) => true,
            (Some(0), Some(_)) => false,
            (Some(least), Some(covered)) => covered >= least as usize,
        }
    }
}

/// Puts the header in front of a payload, its checksum filled in: what it covers is for the sender alone to say, so no device
/// could do it later.
pub(super) fn put_header(pkt: &mut Pkt, ports: (u16, u16), ends: (IpAddr, IpAddr), wanted: Option<u16>) {
    let len = pkt.len() + udplite::HEADER_LEN;
    let coverage = wanted.unwrap_or(u16::MAX).min(len as u16);
    let header = UdpLiteRepr { src_port: ports.0, dst_port: ports.1, coverage };
    header.emit(pkt.push(udplite::HEADER_LEN));
    pkt.set_transport_header();
    let covered = if coverage == 0 { len } else { usize::from(coverage) };
    let pseudo = checksum::pseudo_header(ends.0, ends.1, protocol::UDPLITE, len);
    let sum = checksum::finish(checksum::sum_pkt_range(pkt, 0, covered) + pseudo);
    udplite::set_checksum(pkt.data_mut(), sum);
    pkt.checksum = ChecksumState::Unnecessary;
}

/// Whether the covered bytes of a received datagram are undamaged.
pub(super) fn checksum_ok(pkt: &Pkt, ends: (IpAddr, IpAddr), covered: usize) -> bool {
    if udplite::has_no_checksum(pkt.data()) {
        return false;
    }
    let pseudo = checksum::pseudo_header(ends.0, ends.1, protocol::UDPLITE, pkt.len());
    pkt.checksum != ChecksumState::None || checksum::verify_pkt(pkt, 0, covered, pseudo)
}
