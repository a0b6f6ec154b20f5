//! Round-trip times and the retransmission timeout (RFC 6298), with Linux's lower bound.
//!
//! Linux: RTO = SRTT + max(200 ms, 4·RTTVAR), because a peer may hold back its ACK for up to 200 ms; the deviation that
//! counts is the largest of the last round trip, because many samples a round trip would otherwise wash a spike out
//! (RFC 7323 appendix G speaks of the same).

use netspace_base::{Duration, Instant};

/// How long a smallest round-trip time counts before a new one is taken.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(300);

/// Times in nanoseconds; 0 = no sample yet.
#[derive(Debug, Default)]
pub(crate) struct RttEstimator {
    srtt_ns: u64,
    mdev_ns: u64,
    mdev_max_ns: u64,
    rttvar_ns: u64,
    /// The deviation's round trip ends when this is acknowledged.
    round_end: u64,
    min_ns: u64,
    min_at: Instant,
    /// How often the timeout was doubled since the last good sample.
    pub(crate) backoff: u8,
}

/// Bounds of the timeout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtoBounds {
    pub(crate) initial: Duration,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl RttEstimator {
    /// Takes a sample (of a segment sent once: Karn). `una` and `nxt` tell the rounds.
    pub(crate) fn sample(&mut self, now: Instant, rtt: Duration, una: u64, nxt: u64, bounds: &RtoBounds) {
        let rtt_ns = (rtt.as_nanos() as u64).max(1);
        // RFC 6298 (5.7) and Karn: only a measurement ends the back-off.
        self.backoff = 0;
        if self.min_ns == 0 || rtt_ns <= self.min_ns || now.saturating_since(self.min_at) > MIN_RTT_WINDOW {
            self.min_ns = rtt_ns;
            self.min_at = now;
        }
        let floor_ns = bounds.min.as_nanos() as u64;
        if self.srtt_ns == 0 {
            // RFC 6298 (2.2).
            self.srtt_ns = rtt_ns;
            self.mdev_ns = rtt_ns / 2;
            self.rttvar_ns = (self.mdev_ns * 4).max(floor_ns);
            self.mdev_max_ns = self.rttvar_ns;
            self.round_end = nxt;
            return;
        }
        // RFC 6298 (2.3): RTTVAR first, from the old SRTT. A falling RTT raises the deviation less (as Linux does), so
        // that an improvement does not lengthen the timeout.
        let error_ns = self.srtt_ns.abs_diff(rtt_ns);
        if rtt_ns < self.srtt_ns && error_ns > self.mdev_ns {
            self.mdev_ns += (error_ns - self.mdev_ns) / 32;
        } else {
            self.mdev_ns = self.mdev_ns - self.mdev_ns / 4 + error_ns / 4;
        }
        self.srtt_ns = (self.srtt_ns - self.srtt_ns / 8 + rtt_ns / 8).max(1);
        self.mdev_max_ns = self.mdev_max_ns.max(self.mdev_ns * 4);
        self.rttvar_ns = self.rttvar_ns.max(self.mdev_max_ns);
        if una >= self.round_end {
            if self.mdev_max_ns < self.rttvar_ns {
                self.rttvar_ns -= (self.rttvar_ns - self.mdev_max_ns) / 4;
            }
            self.round_end = nxt;
            self.mdev_max_ns = floor_ns;
        }
    }

    /// The timeout without back-off.
    pub(crate) fn rto_base(&self, bounds: &RtoBounds) -> Duration {
        if self.srtt_ns == 0 {
            return bounds.initial;
        }
        Duration::from_nanos(self.srtt_ns + self.rttvar_ns).clamp(bounds.min, bounds.max)
    }

    /// The timeout now (RFC 6298 5.5: doubled for each expiry).
    pub(crate) fn rto(&self, bounds: &RtoBounds) -> Duration {
        self.rto_base(bounds).saturating_mul(1 << self.backoff.min(31)).min(bounds.max)
    }

    /// Smoothed round-trip time; none before the first sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        (self.srtt_ns != 0).then(|| Duration::from_nanos(self.srtt_ns))
    }

    /// Mean deviation.
    pub(crate) fn mdev(&self) -> Duration {
        Duration::from_nanos(self.mdev_ns)
    }

    /// The same as [`RttEstimator::min`] in nanoseconds; 0 before the first sample.
    pub(crate) fn min_ns(&self) -> u64 {
        self.min_ns
    }

    /// Smallest round-trip time of the last five minutes; none before the first sample.
    pub(crate) fn min(&self) -> Option<Duration> {
        (self.min_ns != 0).then(|| Duration::from_nanos(self.min_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RtoBounds = RtoBounds {
        initial: Duration::from_secs(1),
        min: Duration::from_millis(200),
        max: Duration::from_secs(120),
    };

    #[test]
    fn steady_times_converge_and_back_off_doubles() {
        let mut rtt = RttEstimator::default();
        assert_eq!(rtt.rto(&BOUNDS), Duration::from_secs(1));
        for n in 0..100 {
            rtt.sample(Instant::from_millis(100 * n), Duration::from_millis(100), n, n + 1, &BOUNDS);
        }
        assert!(rtt.srtt().unwrap().abs_diff(Duration::from_millis(100)) < Duration::from_micros(1));
        let rto = rtt.rto(&BOUNDS);
        assert!(rto >= Duration::from_millis(299) && rto <= Duration::from_millis(310), "{rto:?}");
        rtt.backoff = 3;
        assert_eq!(rtt.rto(&BOUNDS), rto * 8);
        rtt.backoff = 20;
        assert_eq!(rtt.rto(&BOUNDS), BOUNDS.max);
    }

    #[test]
    fn a_jump_raises_the_timeout_at_once() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Instant::ZERO, Duration::from_millis(20), 0, 1, &BOUNDS);
        rtt.sample(Instant::ZERO, Duration::from_millis(900), 1, 2, &BOUNDS);
        assert!(rtt.rto(&BOUNDS) > Duration::from_millis(900), "{:?}", rtt.rto(&BOUNDS));
        assert_eq!(rtt.min(), Some(Duration::from_millis(20)));
    }
}
