//! How much more than the bandwidth tells is delivered at once: ACKs that come in bursts (Wi-Fi, cable, a receiver that
//! is behind) would otherwise leave the sender without window between them.

use netspace_base::{Duration, Instant};

use super::super::Moment;
use super::super::sample::bytes_in;

/// The excess of the last so many rounds counts, in two halves.
const HALF_WINDOW_ROUNDS: u32 = 5;
/// No window grows by more than this time's worth.
const EXTRA_MAX: Duration = Duration::from_millis(100);
/// Bytes of an epoch after which it ends in any case.
const EPOCH_MAX: u64 = 1 << 30;

/// The excess, in bytes.
#[derive(Debug, Default)]
pub(super) struct Aggregation {
    /// The largest excess of this half of the window, and of the last.
    halves: [u64; 2],
    rounds: u32,
    /// What was delivered since the epoch began.
    epoch_at: Instant,
    epoch_bytes: u64,
}

impl Aggregation {
    /// An epoch begins: nothing is in excess.
    pub(super) fn begin(&mut self, now: Instant) {
        self.epoch_at = now;
        self.epoch_bytes = 0;
    }

    /// `bytes` were delivered, where `rate` bytes per second are expected.
    pub(super) fn update(&mut self, at: &Moment, round_start: bool, bytes: u32, rate: u64, cwnd: u32) {
        if round_start {
            self.rounds += 1;
            if self.rounds >= HALF_WINDOW_ROUNDS {
                self.rounds = 0;
                self.halves = [0, self.halves[0]];
            }
        }
        let mut expected = bytes_in(rate, at.now.saturating_since(self.epoch_at));
        if self.epoch_bytes <= expected || self.epoch_bytes + u64::from(bytes) >= EPOCH_MAX {
            self.begin(at.now);
            expected = 0;
        }
        self.epoch_bytes += u64::from(bytes);
        let excess = self.epoch_bytes.saturating_sub(expected).min(u64::from(cwnd));
        self.halves[0] = self.halves[0].max(excess);
    }

    /// By how much the window is to be larger.
    pub(super) fn extra(&self, rate: u64) -> u64 {
        self.halves[0].max(self.halves[1]).min(bytes_in(rate, EXTRA_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_above_the_rate_count_for_ten_rounds() {
        let mut aggregation = Aggregation::default();
        let mut at = Moment { now: Instant::from_secs(1), ..Moment::default() };
        aggregation.begin(at.now);
        // 1 MB/s, acknowledged every 20 ms.
        for _ in 0..20 {
            at.now += Duration::from_millis(20);
            aggregation.update(&at, false, 20_000, 1_000_000, 1 << 20);
        }
        assert_eq!(aggregation.extra(1_000_000), 20_000);
        assert_eq!(aggregation.extra(100_000), 10_000, "at most 100 ms worth");
        for _ in 0..2 * HALF_WINDOW_ROUNDS {
            at.now += Duration::from_millis(20);
            aggregation.update(&at, true, 1_000, 1_000_000, 1 << 20);
        }
        assert_eq!(aggregation.extra(1_000_000), 1_000);
    }
}
