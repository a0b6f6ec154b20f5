//! Sequence numbers inside the endpoint: 64 bits wide, so that they never wrap.
//!
//! The low 32 bits are what is on the wire. Every number here starts at 2³² or above, so the distance to an older
//! number never underflows. A number from the wire is read as the one nearest to a reference (RFC 9293 §3.4: all
//! comparisons are within half of the 32-bit space).

use netspace_wire::tcp::SeqNum;

/// The 64-bit number of an initial sequence number.
pub(crate) fn first(initial: SeqNum) -> u64 {
    (1 << 32) | u64::from(initial.0)
}

/// The number nearest to `reference` that is `wire` on the wire.
pub(crate) fn near(reference: u64, wire: SeqNum) -> u64 {
    let distance = wire.0.wrapping_sub(reference as u32) as i32;
    reference.wrapping_add_signed(i64::from(distance))
}

/// What is on the wire for `seq`.
pub(crate) fn wire(seq: u64) -> SeqNum {
    SeqNum(seq as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_unwrap_to_the_nearest() {
        let start = first(SeqNum(0xffff_fff0));
        assert_eq!(near(start, SeqNum(0x10)), start + 0x20);
        assert_eq!(near(start + 0x20, SeqNum(0xffff_fff0)), start);
        assert_eq!(wire(start + 0x20), SeqNum(0x10));
        let low = first(SeqNum(0));
        assert_eq!(near(low, SeqNum(u32::MAX)), low - 1);
    }
}
