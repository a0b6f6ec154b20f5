//! Congestion control: how much may be under way.
//!
//! All windows are in bytes. [`Congestion`] keeps the two variables that every algorithm has, cwnd and ssthresh, and
//! does what they share (slow start, the reduction after a timeout, restart after idleness); the algorithms say how the
//! window grows in congestion avoidance and how far it falls on loss. Recovery itself (which segments to send again,
//! proportional rate reduction) is `send::recovery`'s.

mod cubic;
mod hystart;
mod reno;

use netspace_base::{Duration, Instant};

use cubic::Cubic;
use hystart::HyStart;
use reno::Reno;

/// Segments that may go before the first ACK (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
/// No window grows beyond this, bytes.
const CWND_MAX: u32 = 1 << 30;

/// A congestion control algorithm (`TCP_CONGESTION`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CongestionKind {
    /// NewReno (RFC 5681, 6582).
    Reno,
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
}

impl CongestionKind {
    /// All of them, the default first.
    pub const ALL: &[Self] = &[Self::Cubic, Self::Reno];

    /// Its name, as `TCP_CONGESTION` tells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// What an ACK tells the algorithm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub(crate) now: Instant,
    /// Bytes newly delivered.
    pub(crate) bytes: u32,
    pub(crate) srtt: Duration,
    pub(crate) mss: u32,
    /// The round-trip time that this ACK showed, if it did.
    pub(crate) rtt: Option<Duration>,
    /// SND.UNA and SND.NXT, which tell the rounds.
    pub(crate) una: u64,
    pub(crate) nxt: u64,
}

#[derive(Debug)]
enum Algorithm {
    Reno(Reno),
    Cubic(Cubic),
}

/// The congestion window and the algorithm that moves it.
#[derive(Debug)]
pub(crate) struct Congestion {
    /// Congestion window, bytes.
    pub(crate) cwnd: u32,
    /// Slow-start threshold, bytes.
    pub(crate) ssthresh: u32,
    algorithm: Algorithm,
    /// CUBIC's way out of the first slow start.
    hystart: HyStart,
}

impl Congestion {
    pub(crate) fn new(kind: CongestionKind, mss: u32) -> Self {
        Self {
            cwnd: initial_window(mss),
            ssthresh: CWND_MAX,
            algorithm: Algorithm::of(kind),
            hystart: HyStart::default(),
        }
    }

    pub(crate) fn kind(&self) -> CongestionKind {
        match self.algorithm {
            Algorithm::Reno(_) => CongestionKind::Reno,
            Algorithm::Cubic(_) => CongestionKind::Cubic,
        }
    }

    /// Changes the algorithm of a live connection; windows stay.
    pub(crate) fn set_kind(&mut self, kind: CongestionKind) {
        if kind != self.kind() {
            self.algorithm = Algorithm::of(kind);
        }
    }

    /// The segment size became known or changed before anything was sent.
    pub(crate) fn restart(&mut self, mss: u32) {
        self.cwnd = initial_window(mss);
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Bytes were delivered while the window was in use: grow it.
    pub(crate) fn on_ack(&mut self, mut acked: Acked) {
        if self.in_slow_start() {
            // RFC 5681 §3.1, in bytes (RFC 3465 without its limit: an ACK may stand for 64 KiB here).
            let mut growth = acked.bytes;
            // RFC 9406 §4.3: only before the first loss.
            if self.ssthresh == CWND_MAX && matches!(self.algorithm, Algorithm::Cubic(_)) {
                let over;
                (growth, over) = self.hystart.on_ack(&acked, growth);
                if over {
                    self.ssthresh = self.cwnd;
                }
            }
            let room = self.ssthresh - self.cwnd;
            self.cwnd = (self.cwnd + growth.min(room)).min(CWND_MAX);
            acked.bytes -= room.min(acked.bytes);
            if acked.bytes == 0 {
                return;
            }
        }
        self.cwnd = match &mut self.algorithm {
            Algorithm::Reno(reno) => reno.grow(self.cwnd, &acked),
            Algorithm::Cubic(cubic) => cubic.grow(self.cwnd, &acked),
        }
        .min(CWND_MAX);
    }

    /// Congestion was met (loss, later ECN): lowers ssthresh. The window itself follows by rate reduction, or falls at
    /// once after a timeout.
    pub(crate) fn on_congestion(&mut self, mss: u32) {
        let reduced = match &mut self.algorithm {
            Algorithm::Reno(_) => self.cwnd / 2,
            Algorithm::Cubic(cubic) => cubic.reduce(self.cwnd),
        };
        self.ssthresh = reduced.max(2 * mss);
    }

    /// The reduction was a mistake: take up where it was.
    pub(crate) fn undo(&mut self, cwnd: u32, ssthresh: u32) {
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
        if let Algorithm::Cubic(cubic) = &mut self.algorithm {
            cubic.undo();
        }
    }

    /// Sending starts again after `idle` without anything in flight: halves the window for each timeout that passed,
    /// not below the initial one (RFC 2861), if `decay`; and moves CUBIC's clock on (RFC 9438 §5.8).
    pub(crate) fn on_idle_end(&mut self, idle: Duration, rto: Duration, mss: u32, decay: bool) {
        if let Algorithm::Cubic(cubic) = &mut self.algorithm {
            cubic.on_idle_end(idle);
        }
        if !decay || idle <= rto || rto.is_zero() {
            return;
        }
        let restart = initial_window(mss).min(self.cwnd);
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let halvings = (idle.as_nanos() / rto.as_nanos()).min(31) as u32;
        self.cwnd = (self.cwnd >> halvings).max(restart);
    }
}

impl Algorithm {
    fn of(kind: CongestionKind) -> Self {
        match kind {
            CongestionKind::Reno => Self::Reno(Reno::default()),
            CongestionKind::Cubic => Self::Cubic(Cubic::default()),
        }
    }
}

/// RFC 6928: ten segments, at most 14600 bytes unless two segments are more.
fn initial_window(mss: u32) -> u32 {
    (INITIAL_SEGMENTS * mss).min((2 * mss).max(14_600))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1460;

    fn acked(now_ms: u64, bytes: u32) -> Acked {
        Acked {
            now: Instant::from_millis(now_ms),
            bytes,
            srtt: Duration::from_millis(100),
            mss: MSS,
            rtt: None,
            una: 0,
            nxt: 0,
        }
    }

    #[test]
    fn slow_start_doubles_each_round_trip() {
        let mut cc = Congestion::new(CongestionKind::Reno, MSS);
        assert_eq!(cc.cwnd, 14_600);
        cc.on_ack(acked(100, 14_600));
        assert_eq!(cc.cwnd, 29_200);
    }

    #[test]
    fn reno_adds_a_segment_each_round_trip_and_halves() {
        let mut cc = Congestion::new(CongestionKind::Reno, MSS);
        cc.cwnd = 100 * MSS;
        cc.ssthresh = 50 * MSS;
        for _ in 0..100 {
            cc.on_ack(acked(100, MSS));
        }
        assert_eq!(cc.cwnd, 101 * MSS);
        cc.on_congestion(MSS);
        assert_eq!(cc.ssthresh, 101 * MSS / 2);
    }

    #[test]
    fn cubic_returns_to_its_maximum_after_k_and_probes_beyond() {
        let mut cc = Congestion::new(CongestionKind::Cubic, MSS);
        cc.cwnd = 1000 * MSS;
        cc.on_congestion(MSS);
        assert_eq!(cc.ssthresh / MSS, 700);
        cc.cwnd = cc.ssthresh;
        // K = cbrt(300 / 0.4) = 9.09 s: after it the window is back at the maximum.
        let mut at_nine_seconds = 0;
        for ms in (0..14_000u64).step_by(100) {
            let whole_window = cc.cwnd;
            cc.on_ack(acked(ms, whole_window));
            if ms == 9_000 {
                at_nine_seconds = cc.cwnd / MSS;
            }
        }
        assert!((985..=1005).contains(&at_nine_seconds), "{at_nine_seconds}");
        assert!(cc.cwnd / MSS > 1030, "{}", cc.cwnd / MSS);
    }

    #[test]
    fn idleness_decays_the_window_to_the_initial_one() {
        let mut cc = Congestion::new(CongestionKind::Cubic, MSS);
        cc.cwnd = 400 * MSS;
        let rto = Duration::from_millis(300);
        cc.on_idle_end(Duration::from_millis(700), rto, MSS, true);
        assert_eq!(cc.cwnd, 100 * MSS);
        cc.on_idle_end(Duration::from_secs(70), rto, MSS, true);
        assert_eq!(cc.cwnd, 10 * MSS);
    }
}
