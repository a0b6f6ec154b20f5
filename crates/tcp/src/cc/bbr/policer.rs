//! Token-bucket policers, as BBR finds them: long-term sampling.
//!
//! A policer lets bursts pass and then drops what is above its rate, so the highest rate seen is not one that lasts.
//! When the loss rate is high over an interval that begins and ends with loss, and the next interval brings about the
//! same rate, that rate is taken for the policer's, and kept to for a while.

use netspace_base::{Duration, Instant};

use super::super::Moment;
use super::super::sample::per_second;

/// An interval lasts at least so many rounds, and is given up after four times as many.
const INTERVAL_ROUNDS: u32 = 4;
/// The loss of a policed interval, in 1/256 of what was delivered: about a fifth.
const LOSS_THRESHOLD: u64 = 50;
/// Rates of two intervals are equal if they differ by no more than an eighth, or by 4 kbit/s.
const RATIO_SHIFT: u32 = 3;
const DIFFERENCE_MAX: u64 = 500;
/// Rounds for which a policer's rate is kept to.
const KEEP_ROUNDS: u32 = 48;

/// What is known of a policer.
#[derive(Debug, Default)]
pub(super) struct Policer {
    /// The rate of the last interval, or the mean of the last two, bytes per second; 0 = none.
    rate: u64,
    /// It is kept to.
    active: bool,
    /// An interval is being sampled: from when, with what delivered and lost by then, for how many rounds.
    sampling: bool,
    rounds: u32,
    since: Instant,
    delivered: u64,
    lost: u64,
}

impl Policer {
    /// The rate to keep to, bytes per second.
    pub(super) fn rate(&self) -> Option<u64> {
        self.active.then_some(self.rate)
    }

    /// Forgets all.
    pub(super) fn reset(&mut self, at: &Moment) {
        *self = Self::default();
        self.begin_interval(at);
    }

    /// A round's rate is being kept to; true if that has lasted long enough: probing begins anew.
    pub(super) fn is_over(&mut self, round_start: bool) -> bool {
        self.rounds += u32::from(self.active && round_start);
        self.active && self.rounds >= KEEP_ROUNDS
    }

    /// An ACK came while no rate is kept to. `lost`: it told of loss.
    pub(super) fn sample(&mut self, at: &Moment, round_start: bool, lost: bool, app_limited: bool) {
        if !self.sampling {
            // An interval begins, and ends, with a loss: the policer's bucket is empty then.
            if !lost {
                return;
            }
            self.begin_interval(at);
            self.sampling = true;
        }
        if app_limited {
            return self.reset(at);
        }
        self.rounds += u32::from(round_start);
        if self.rounds < INTERVAL_ROUNDS {
            return;
        }
        if self.rounds > 4 * INTERVAL_ROUNDS {
            return self.reset(at);
        }
        let (lost_bytes, delivered) = (at.lost - self.lost, at.delivered - self.delivered);
        if !lost || delivered == 0 || lost_bytes * 256 < LOSS_THRESHOLD * delivered {
            return;
        }
        let elapsed = at.now.saturating_since(self.since);
        if elapsed >= Duration::from_millis(1) {
            self.end_interval(at, per_second(delivered, elapsed));
        }
    }

    fn begin_interval(&mut self, at: &Moment) {
        self.since = at.now;
        self.delivered = at.delivered;
        self.lost = at.lost;
        self.rounds = 0;
    }

    fn end_interval(&mut self, at: &Moment, rate: u64) {
        let difference = rate.abs_diff(self.rate);
        let equal = difference <= self.rate >> RATIO_SHIFT || difference <= DIFFERENCE_MAX;
        if self.rate != 0 && equal {
            self.rate = rate.midpoint(self.rate);
            self.active = true;
            self.rounds = 0;
            return;
        }
        self.rate = rate;
        self.begin_interval(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of 100 ms in which `delivered` and `lost` bytes are added.
    fn rounds(policer: &mut Policer, at: &mut Moment, count: u32, delivered: u64, lost: u64) {
        for _ in 0..count {
            at.now += Duration::from_millis(100);
            at.delivered += delivered;
            at.lost += lost;
            policer.sample(at, true, lost > 0, false);
        }
    }

    #[test]
    fn two_lossy_intervals_of_one_rate_are_a_policer() {
        let (mut policer, mut at) = (Policer::default(), Moment::default());
        rounds(&mut policer, &mut at, 4, 100_000, 40_000);
        assert_eq!(policer.rate(), None, "one interval is chance");
        rounds(&mut policer, &mut at, 4, 100_000, 40_000);
        assert_eq!(policer.rate(), Some(1_000_000));
        for _ in 0..KEEP_ROUNDS - 1 {
            assert!(!policer.is_over(true));
        }
        assert!(policer.is_over(true));
    }

    #[test]
    fn light_loss_and_changing_rates_are_none() {
        let (mut policer, mut at) = (Policer::default(), Moment::default());
        rounds(&mut policer, &mut at, 40, 100_000, 5_000);
        assert_eq!(policer.rate(), None);
        for step in 1..6 {
            rounds(&mut policer, &mut at, 4, 100_000 * step, 40_000 * step);
            assert_eq!(policer.rate(), None);
        }
    }
}
