//! HyStart++ (RFC 9406): leaves slow start when the round-trip time begins to rise, before the queue overflows.
//!
//! A rise may be chance, so slow start first only becomes conservative, a quarter as fast; if the time falls again it
//! goes on as before, and if it does not for five rounds, slow start is over.

use netspace_base::Duration;

use super::Acked;

/// Samples that a round needs to count.
const SAMPLES_MIN: u8 = 8;
/// Bounds of the rise that counts: an eighth of the round-trip time within these.
const RISE_MIN: Duration = Duration::from_millis(4);
const RISE_MAX: Duration = Duration::from_millis(16);
/// Growth in conservative slow start: one part of so many.
const CONSERVATIVE_DIVISOR: u32 = 4;
/// Rounds of conservative slow start before it ends.
const CONSERVATIVE_ROUNDS: u8 = 5;

#[derive(Debug, Default)]
pub(super) struct HyStart {
    /// The round ends when this is acknowledged.
    round_end: u64,
    last_min: Option<Duration>,
    current_min: Option<Duration>,
    samples: u8,
    /// Conservative: the time at which it began to be, and rounds since.
    baseline: Option<Duration>,
    rounds: u8,
}

impl HyStart {
    /// By how much the window may grow by, and whether slow start is over.
    pub(super) fn on_ack(&mut self, acked: &Acked) -> (u32, bool) {
        let mut over = false;
        if acked.una >= self.round_end {
            over = self.begin_round(acked.nxt);
        }
        if let Some(rtt) = acked.rtt {
            self.current_min = Some(self.current_min.map_or(rtt, |min| min.min(rtt)));
            self.samples = self.samples.saturating_add(1);
            self.judge();
        }
        let growth = if self.baseline.is_some() { acked.bytes / CONSERVATIVE_DIVISOR } else { acked.bytes };
        (growth, over)
    }

    fn begin_round(&mut self, nxt: u64) -> bool {
        self.round_end = nxt;
        self.last_min = self.current_min.or(self.last_min);
        self.current_min = None;
        self.samples = 0;
        if self.baseline.is_some() {
            self.rounds += 1;
        }
        self.rounds >= CONSERVATIVE_ROUNDS
    }

    /// §4.2: compares this round with the last.
    fn judge(&mut self) {
        if self.samples < SAMPLES_MIN {
            return;
        }
        let (Some(current), Some(last)) = (self.current_min, self.last_min) else { return };
        match self.baseline {
            None if current >= last + (last / 8).clamp(RISE_MIN, RISE_MAX) => {
                self.baseline = Some(current);
                self.rounds = 0;
            }
            Some(baseline) if current < baseline => self.baseline = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(hystart: &mut HyStart, n: u64, rtt_ms: u64) -> (u32, bool) {
        let mut result = (0, false);
        for _ in 0..SAMPLES_MIN {
            let acked = Acked {
                bytes: 1_000,
                rtt: Some(Duration::from_millis(rtt_ms)),
                una: n * 10,
                nxt: n * 10 + 10,
                ..Acked::default()
            };
            let (growth, over) = hystart.on_ack(&acked);
            result = (growth, result.1 || over);
        }
        result
    }

    #[test]
    fn a_lasting_rise_ends_slow_start_and_a_passing_one_does_not() {
        let mut hystart = HyStart::default();
        assert_eq!(round(&mut hystart, 1, 40), (1_000, false));
        assert_eq!(round(&mut hystart, 2, 41), (1_000, false));
        assert_eq!(round(&mut hystart, 3, 60), (250, false));
        assert_eq!(round(&mut hystart, 4, 41), (1_000, false));
        assert_eq!(round(&mut hystart, 5, 60).0, 250);
        for n in 6..10 {
            assert_eq!(round(&mut hystart, n, 70), (250, false));
        }
        assert!(round(&mut hystart, 10, 80).1);
    }
}
