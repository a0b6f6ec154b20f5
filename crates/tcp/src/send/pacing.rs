//! Pacing: when the next segment may go, and how large it is for its rate.
//!
//! A segment of `len` bytes keeps the next one back for `len / rate`, so that a window leaves evenly over the round trip
//! instead of at once. As in Linux, only connections pace that were asked to (`SO_MAX_PACING_RATE`) or whose congestion
//! control needs it; but the rate sizes super-segments for all: one holds about a millisecond's worth, so that a slow
//! connection does not leave in bursts.

use netspace_base::{Duration, Instant};

use crate::config::Config;

/// Segments at the start of a connection that are not paced: the initial window goes at once.
const UNPACED_SEGMENTS: u32 = 10;
/// A super-segment holds 1/2¹⁰ of a second's worth.
const BURST_SHIFT: u32 = 10;

/// The pacing of a connection.
#[derive(Debug)]
pub(crate) struct Pacing {
    on: bool,
    /// When the next segment may go.
    next_at: Instant,
}

impl Pacing {
    pub(super) fn new(on: bool) -> Self {
        Self { on, next_at: Instant::ZERO }
    }

    /// From now on, segments are paced. It stays so.
    pub(crate) fn turn_on(&mut self) {
        self.on = true;
    }

    /// Until when nothing may go, if it is not over.
    pub(crate) fn wait(&self, now: Instant) -> Option<Instant> {
        (self.on && self.next_at > now).then_some(self.next_at)
    }

    /// How long nothing may go.
    pub(crate) fn delay(&self, now: Instant) -> Duration {
        if self.on { self.next_at.saturating_since(now) } else { Duration::ZERO }
    }

    /// `len` bytes went out at `rate` bytes per second, after `segments` segments. Being late earns up to half of the
    /// next wait, so that timers that are not exact do not slow the connection down.
    pub(super) fn on_sent(&mut self, now: Instant, len: u32, rate: u64, segments: u32) {
        if !self.on {
            return;
        }
        let late = now.saturating_since(self.next_at);
        self.next_at = self.next_at.max(now);
        if rate == u64::MAX || rate == 0 || segments < UNPACED_SEGMENTS {
            return;
        }
        let wait = Duration::from_nanos(u64::from(len).saturating_mul(1_000_000_000) / rate);
        self.next_at += wait - (wait / 2).min(late);
    }
}

/// Bytes of payload of a super-segment at `rate` bytes per second: a millisecond's worth, more where the round trip is so
/// short that bursts do no harm, and at least `segments_min` segments (Linux's tcp_tso_autosize).
pub(super) fn burst(rate: u64, mss: u32, min_rtt_ns: u64, segments_min: u32, config: &Config) -> u32 {
    let mut bytes = rate >> BURST_SHIFT;
    let distance = (min_rtt_ns / 1_000).checked_shr(config.tso_rtt_log).unwrap_or(0);
    if distance < 32 {
        bytes += u64::from(config.gso_max) >> distance;
    }
    let bytes = bytes.min(u64::from(config.gso_max)) as u32;
    let largest = (config.gso_max / mss).max(1);
    (bytes / mss).max(segments_min).clamp(1, largest) * mss
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn segments_leave_at_the_rate() {
        let mut pacing = Pacing::new(true);
        let mut now = Instant::from_secs(5);
        let begin = now;
        for _ in 0..1_001 {
            if let Some(at) = pacing.wait(now) {
                now = at;
            }
            pacing.on_sent(now, 1_000, 1_000_000, UNPACED_SEGMENTS);
        }
        // The first one had the credit of a long pause: half a wait.
        assert_eq!(now - begin, MS * 1_000 - MS / 2);
    }

    #[test]
    fn lateness_is_made_up_for_but_no_more_than_half() {
        let mut pacing = Pacing::new(true);
        let start = Instant::from_secs(5);
        pacing.on_sent(start, 1_000, 1_000_000, UNPACED_SEGMENTS);
        let due = pacing.wait(start).unwrap();
        pacing.on_sent(due + MS / 4, 1_000, 1_000_000, UNPACED_SEGMENTS);
        assert_eq!(pacing.wait(due + MS / 4), Some(due + MS));
        pacing.on_sent(due + MS * 50, 1_000, 1_000_000, UNPACED_SEGMENTS);
        assert_eq!(pacing.wait(due + MS * 50), Some(due + MS * 50 + MS / 2));
    }

    #[test]
    fn the_first_segments_and_unknown_rates_go_at_once() {
        let mut pacing = Pacing::new(true);
        let now = Instant::from_secs(5);
        pacing.on_sent(now, 14_600, 1_000, UNPACED_SEGMENTS - 1);
        pacing.on_sent(now, 14_600, u64::MAX, UNPACED_SEGMENTS);
        assert_eq!(pacing.wait(now), None);
        let mut off = Pacing::new(false);
        off.on_sent(now, 14_600, 1_000, UNPACED_SEGMENTS);
        assert_eq!((off.wait(now), off.delay(now)), (None, Duration::ZERO));
    }

    #[test]
    fn bursts_follow_rate_and_distance() {
        let config = Config::default();
        let burst = |rate, rtt: Duration| {
            burst(rate, 1_460, rtt.as_nanos() as u64, config.min_tso_segs, &config) / 1_460
        };
        assert_eq!(burst(u64::MAX, 100 * MS), 44, "as large as one gets");
        assert_eq!(burst(1_000_000, 100 * MS), 2, "8 Mbit/s: the least");
        assert_eq!(burst(12_500_000, 100 * MS), 8, "100 Mbit/s: 12 kB");
        assert_eq!(burst(1_000_000, MS / 10), 44, "next door");
        assert_eq!(burst(1_000_000, MS), 23, "near: half as much");
        // A loopback's segments fill a packet by themselves.
        assert_eq!(super::burst(1_000_000, 65_483, 1, 2, &config), 65_483);
    }
}
