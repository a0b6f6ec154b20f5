//! Where every packet went. `created = delivered + sent + dropped + queued` holds after every turn; tests assert it.

use crate::DropReason;

/// Counts of packets by their end.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Packets that came to be: received from a link, made by a socket or by the stack itself, or cloned.
    pub created: u64,
    /// Packets whose payload reached a socket or was consumed by the stack (an ARP reply, an acknowledgement).
    pub delivered: u64,
    /// Packets handed to a link.
    pub sent: u64,
    dropped: Box<[u64; DropReason::COUNT]>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { created: 0, delivered: 0, sent: 0, dropped: Box::new([0; DropReason::COUNT]) }
    }
}

impl Ledger {
    /// Counts one packet as dropped for `reason`.
    pub fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// How many packets were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many packets were dropped in all.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Packets that have not come to an end: they must all be in a queue.
    pub fn in_flight(&self) -> u64 {
        self.created - self.delivered - self.sent - self.dropped_total()
    }

    /// Reasons that have dropped at least one packet, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&r| (r, self.dropped(r))).filter(|&(_, n)| n > 0)
    }
}
