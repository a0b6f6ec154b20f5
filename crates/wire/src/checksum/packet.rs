//! The transport checksum of a whole packet, whose headers are found first.

use netspace_base::{ChecksumState, Pkt};

use super::{field_offset, finish, fold, sum_pkt_range, verify_pkt};
use crate::locate::{Transport, transport};
use crate::protocol;

/// Turns a partial transport checksum into a real one, in place; the state becomes [`ChecksumState::Unnecessary`], as the
/// packet is still undamaged. Other states are left alone. The packet starts at its Ethernet or network header (found by
/// the marks). A GSO packet gets the checksum of the whole; cut it first if frames are wanted.
pub fn fill_checksum(pkt: &mut Pkt) {
    if pkt.checksum != ChecksumState::Partial {
        return;
    }
    pkt.checksum = ChecksumState::Unnecessary;
    let Some(Transport { protocol, offset, len, .. }) = transport(pkt) else { return };
    let Some(at) = field_offset(protocol).map(|at| at + offset) else { return };
    if !pkt.pull_linear(at + 2) {
        return;
    }
    let mut value = finish(sum_pkt_range(pkt, offset, len));
    if protocol == protocol::UDP && value == 0 {
        value = 0xffff; // RFC 768: 0 says "no checksum"
    }
    pkt.data_mut()[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Computes the transport checksum anew, whatever the field and the packet's state say: for packets made by hand. The
/// packet starts at its Ethernet or network header. An IPv4 header's own checksum is left alone.
pub fn recompute(pkt: &mut Pkt) {
    let Some(found) = transport(pkt) else { return };
    let Some(at) = field_offset(found.protocol).map(|at| at + found.offset) else { return };
    if pkt.pull_linear(at + 2) {
        let seed = fold(found.pseudo_sum());
        pkt.data_mut()[at..at + 2].copy_from_slice(&seed.to_be_bytes());
        pkt.checksum = ChecksumState::Partial;
        fill_checksum(pkt);
    }
}

/// Whether the transport checksum of a packet that starts at its Ethernet or network header is right, whatever its state
/// says; a partial one is right by definition. Packets without one (fragments, unknown protocols, UDP over IPv4 with 0)
/// pass.
pub fn verify(pkt: &Pkt) -> bool {
    if pkt.checksum == ChecksumState::Partial {
        return true;
    }
    let Some(found) = transport(pkt) else { return true };
    let Some(at) = field_offset(found.protocol) else { return true };
    let field = pkt.copy_range(found.offset + at, 2);
    if found.protocol == protocol::UDP && found.is_v4() && field == [0, 0] {
        return true;
    }
    field.len() == 2 && verify_pkt(pkt, found.offset, found.len, found.pseudo_sum())
}
