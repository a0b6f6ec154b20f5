//! Delivery-rate estimation (draft-cheng-iccrg-delivery-rate-estimation-02), in bytes.
//!
//! Each segment remembers, when it is sent, what had been delivered by then. When it arrives, the difference over the
//! time it took is a sample of the path's rate:
//!
//! ```text
//!  sent   ──┬────── send elapsed ──────┬──▶         rate = delivered / max(send elapsed, ACK elapsed)
//!           │first_sent_at             │sent_at
//!  ACKs   ──┴─┬──── ACK elapsed ───────┴──┬──▶
//!             │delivered_at               │now
//! ```
//! The longer of the two is taken, because ACKs may come in bursts and segments may leave in bursts; neither can make
//! the path look faster than it is.

use netspace_base::{Duration, Instant};

use crate::cc::{Lost, RateSample, per_second};

/// What a segment remembers from the moment it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    /// Bytes delivered by then (P.delivered), and when that last changed (P.delivered_time).
    delivered: u64,
    delivered_at: Instant,
    /// When the segment was sent that was delivered last, or the first after a pause (P.first_sent_time).
    first_sent_at: Instant,
    /// Bytes lost by then, without the high bits.
    lost: u32,
    /// Bytes in flight with it (P.tx_in_flight).
    in_flight: u32,
    /// Packets told to be marked by then.
    marked: u32,
    /// The program, not the network, limited what was in flight (P.is_app_limited).
    app_limited: bool,
}

impl Stamp {
    /// Bytes lost since, of `lost` in all.
    fn lost_since(&self, lost: u64) -> u32 {
        (lost as u32).wrapping_sub(self.lost)
    }

    /// What is told of a range with this stamp when it is deemed lost, as the last of `lost` bytes in all.
    pub(super) fn lost(&self, start: u64, end: u64, lost: u64) -> Lost {
        let (in_flight, app_limited) = (self.in_flight, self.app_limited);
        Lost { start, end, in_flight, since: self.lost_since(lost), app_limited }
    }
}

/// What is counted elsewhere: bytes lost so far, and packets told to be marked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) lost: u64,
    pub(super) marked: u32,
}

/// The newest segment that an ACK says has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) order: (u64, u64),
    pub(super) sent_at: Instant,
    pub(super) resent: bool,
    pub(super) stamp: Stamp,
}

/// The rate that `TCP_INFO` tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    delivered: u64,
    interval_ns: u64,
    /// It is a lower bound: the program did not send more.
    pub(crate) app_limited: bool,
}

impl Rate {
    /// Bytes per second; 0 before the first sample.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        per_second(self.delivered, Duration::from_nanos(self.interval_ns))
    }
}

/// The connection's side of it.
#[derive(Debug, Default)]
pub(crate) struct RateEstimator {
    /// Bytes delivered in all, and when that last changed (C.delivered, C.delivered_time).
    pub(crate) delivered: u64,
    delivered_at: Instant,
    /// When the segment was sent that was delivered last (C.first_sent_time).
    first_sent_at: Instant,
    /// The program limits the rate until so many bytes are delivered (C.app_limited); 0 = it does not.
    app_limited: u64,
    /// The last rate that was not limited by the program, or a higher one that was.
    pub(crate) rate: Rate,
}

impl RateEstimator {
    /// A segment goes out; with it, `in_flight` bytes are. `idle`: nothing was before.
    pub(super) fn stamp(&mut self, now: Instant, idle: bool, in_flight: u32, sums: Sums) -> Stamp {
        if idle {
            // A pause is no part of any sample.
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: sums.lost as u32,
            in_flight,
            marked: sums.marked,
            app_limited: self.app_limited != 0,
        }
    }

    /// The program has nothing to send although the network would take more: samples of what is in flight, and until it
    /// has arrived, tell only how fast the program is.
    pub(crate) fn limit_by_program(&mut self, in_flight: u32) {
        self.app_limited = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// Whether samples are limited by the program at present.
    pub(crate) fn is_app_limited(&self) -> bool {
        self.app_limited != 0
    }

    /// `bytes` have arrived, the newest of them as `arrival` says. The sample has no interval if it cannot be told.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        bytes: u32,
        arrival: Option<Arrival>,
        min_rtt_ns: u64,
        sums: Sums,
    ) -> RateSample {
        self.delivered += u64::from(bytes);
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        if bytes == 0 {
            return RateSample::default();
        }
        self.delivered_at = now;
        let Some(Arrival { sent_at, resent, stamp, .. }) = arrival else { return RateSample::default() };
        self.first_sent_at = sent_at;
        let elapsed_ns = |from: Instant, to: Instant| to.as_nanos().saturating_sub(from.as_nanos());
        let send_ns = elapsed_ns(stamp.first_sent_at, sent_at);
        let interval_ns = elapsed_ns(stamp.delivered_at, now).max(send_ns);
        // Faster than any round trip: the ACK of an earlier copy, or compressed ACKs.
        let interval_ns = if interval_ns < min_rtt_ns { 0 } else { interval_ns };
        let sample = RateSample {
            delivered: self.delivered - stamp.delivered,
            interval: Duration::from_nanos(interval_ns),
            prior_delivered: stamp.delivered,
            in_flight: stamp.in_flight,
            lost: stamp.lost_since(sums.lost),
            marked: sums.marked.wrapping_sub(stamp.marked),
            app_limited: stamp.app_limited,
            resent,
        };
        self.remember(&sample, interval_ns);
        sample
    }

    fn remember(&mut self, sample: &RateSample, interval_ns: u64) {
        if interval_ns == 0 {
            return;
        }
        let higher = u128::from(sample.delivered) * u128::from(self.rate.interval_ns)
            >= u128::from(self.rate.delivered) * u128::from(interval_ns);
        if !sample.app_limited || higher {
            let (delivered, app_limited) = (sample.delivered, sample.app_limited);
            self.rate = Rate { delivered, interval_ns, app_limited };
        }
    }

    /// The handshake is acknowledged: the first sample begins here.
    pub(super) fn begin(&mut self, now: Instant) {
        self.delivered_at = now;
        self.first_sent_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Sums = Sums { lost: 0, marked: 0 };
    const MS: Duration = Duration::from_millis(1);
    const MS_NS: u64 = 1_000_000;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn arrival(order: u64, sent_ms: u64, stamp: Stamp) -> Option<Arrival> {
        Some(Arrival { order: (order, 0), sent_at: at(sent_ms), resent: false, stamp })
    }

    #[test]
    fn the_longer_of_sending_and_acknowledging_counts() {
        let mut rate = RateEstimator::default();
        rate.begin(at(0));
        let first = rate.stamp(at(0), true, 1_000, NONE);
        let second = rate.stamp(at(30), false, 2_000, NONE);
        // ACKs held back and sent together: the samples are over the time of sending.
        let sample = rate.sample(at(40), 1_000, arrival(1, 0, first), 10 * MS_NS, NONE);
        assert_eq!((sample.delivered, sample.interval), (1_000, 40 * MS));
        let sample = rate.sample(at(40), 1_000, arrival(2, 30, second), 10 * MS_NS, NONE);
        assert_eq!((sample.delivered, sample.interval), (2_000, 40 * MS));
        assert_eq!(rate.rate.bytes_per_second(), 50_000);
        let third = rate.stamp(at(60), false, 1_000, NONE);
        let sample = rate.sample(at(70), 1_000, arrival(3, 60, third), 10 * MS_NS, NONE);
        assert_eq!(
            sample.interval,
            30 * MS,
            "from the second's sending to the third's, and the ACKs between"
        );
    }

    #[test]
    fn a_sample_shorter_than_a_round_trip_is_none() {
        let mut rate = RateEstimator::default();
        let stamp = rate.stamp(at(0), true, 1_000, NONE);
        let sample = rate.sample(at(5), 1_000, arrival(1, 0, stamp), 10 * MS_NS, NONE);
        assert!(sample.interval.is_zero());
        assert_eq!(rate.rate.bytes_per_second(), 0);
    }

    #[test]
    fn what_the_program_limits_counts_only_if_it_is_more() {
        let mut rate = RateEstimator::default();
        let stamp = rate.stamp(at(0), true, 10_000, NONE);
        rate.sample(at(10), 10_000, arrival(1, 0, stamp), MS_NS, NONE);
        assert_eq!(rate.rate.bytes_per_second(), 1_000_000);
        rate.limit_by_program(0);
        let stamp = rate.stamp(at(20), true, 1_000, NONE);
        rate.sample(at(30), 1_000, arrival(2, 20, stamp), MS_NS, NONE);
        assert_eq!((rate.rate.bytes_per_second(), rate.rate.app_limited), (1_000_000, false));
        assert!(!rate.is_app_limited(), "what was in flight has arrived");
        rate.limit_by_program(0);
        let stamp = rate.stamp(at(40), true, 30_000, NONE);
        rate.sample(at(50), 30_000, arrival(3, 40, stamp), MS_NS, NONE);
        assert_eq!((rate.rate.bytes_per_second(), rate.rate.app_limited), (3_000_000, true));
    }

    #[test]
    fn a_sample_tells_what_was_lost_since() {
        let mut rate = RateEstimator::default();
        let lost = u64::from(u32::MAX) - 10;
        let stamp = rate.stamp(at(0), true, 9_000, Sums { lost, marked: 7 });
        let sample =
            rate.sample(at(10), 1_000, arrival(1, 0, stamp), MS_NS, Sums { lost: lost + 2_000, marked: 9 });
        assert_eq!((sample.in_flight, sample.lost, sample.marked), (9_000, 2_000, 2));
    }
}
