//! DCTCP (RFC 8257): the window falls by as much as is marked.
//!
//! The switches of a data centre mark what finds a short queue. Where Reno and CUBIC halve on the first mark, DCTCP averages
//! the share of marked bytes, round by round, and lowers the window by half of that share: the queue stays short, and the link
//! full. Without ECN it is Reno.

use super::info::{ControllerInfo, DctcpInfo};
use super::reno::Reno;
use super::{Acked, Cause, Marks, Window};

/// Shares are in 1/1024.
const UNIT: u32 = 1_024;
/// The average's weight g, 1/16.
const WEIGHT_SHIFT: u32 = 4;

#[derive(Debug)]
pub(super) struct Dctcp {
    /// The share of marked bytes, averaged (RFC 8257 §3.3's alpha).
    share: u32,
    /// Of this round: bytes delivered, and marked; it ends when this is acknowledged.
    delivered: u64,
    marked: u64,
    round_end: u64,
    reno: Reno,
}

impl Default for Dctcp {
    /// §3.3: 1, so that the first mark is answered with care.
    fn default() -> Self {
        Self { share: UNIT, delivered: 0, marked: 0, round_end: 0, reno: Reno::default() }
    }
}

impl Window for Dctcp {
    /// §3.3 step 6 to 8.
    fn on_marks(&mut self, marks: &Marks) {
        self.delivered += u64::from(marks.delivered);
        self.marked += u64::from(marks.marked.min(marks.delivered));
        if marks.una < self.round_end {
            return;
        }
        let fresh = (self.marked << (10 - WEIGHT_SHIFT)) / self.delivered.max(1);
        // A small share goes at once: sixteenths of it would be nothing.
        let aged = if self.share < 1 << WEIGHT_SHIFT { self.share } else { self.share >> WEIGHT_SHIFT };
        self.share = (self.share - aged + fresh as u32).min(UNIT);
        self.round_end = marks.nxt;
        self.delivered = 0;
        self.marked = 0;
    }

    fn grow(&mut self, cwnd: u32, acked: &Acked) -> u32 {
        self.reno.grow(cwnd, acked)
    }

    /// §3.3 step 9; loss is answered as ever (§3.4).
    fn reduce(&mut self, cwnd: u32, cause: Cause) -> u32 {
        match cause {
            Cause::Marks => cwnd - (u64::from(cwnd) * u64::from(self.share) / u64::from(2 * UNIT)) as u32,
            Cause::Loss => cwnd / 2,
        }
    }

    fn info(&self, mss: u32) -> Option<ControllerInfo> {
        Some(ControllerInfo::Dctcp(DctcpInfo {
            enabled: true,
            ce_state: false,
            alpha: self.share,
            marked: (self.marked / u64::from(mss) * u64::from(mss)) as u32,
            delivered: (self.delivered / u64::from(mss) * u64::from(mss)) as u32,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CWND: u32 = 100_000;

    /// Rounds of a window each, of which so many bytes are marked.
    fn rounds(dctcp: &mut Dctcp, count: u64, marked: u32) {
        for n in 0..count {
            let una = dctcp.round_end.max(n);
            dctcp.on_marks(&Marks { delivered: CWND, marked, una, nxt: una + u64::from(CWND) });
        }
    }

    #[test]
    fn the_window_falls_by_half_the_marked_share() {
        let mut dctcp = Dctcp::default();
        assert_eq!(dctcp.reduce(CWND, Cause::Marks), CWND / 2, "the first mark halves");
        rounds(&mut dctcp, 100, CWND / 10);
        // The share settles at a tenth; the window falls by a twentieth.
        let fallen = CWND - dctcp.reduce(CWND, Cause::Marks);
        assert!(fallen.abs_diff(CWND / 20) < CWND / 200, "{fallen}");
        assert_eq!(dctcp.reduce(CWND, Cause::Loss), CWND / 2);
        rounds(&mut dctcp, 100, 0);
        assert_eq!(dctcp.reduce(CWND, Cause::Marks), CWND, "all is forgotten");
    }

    #[test]
    fn a_round_counts_once() {
        let mut dctcp = Dctcp::default();
        dctcp.on_marks(&Marks { delivered: 1_000, marked: 0, una: 1, nxt: 50_000 });
        let share = dctcp.share;
        dctcp.on_marks(&Marks { delivered: 1_000, marked: 0, una: 20_000, nxt: 60_000 });
        assert_eq!(dctcp.share, share, "the round goes on");
        dctcp.on_marks(&Marks { delivered: 1_000, marked: 0, una: 50_000, nxt: 90_000 });
        assert!(dctcp.share < share);
    }
}
