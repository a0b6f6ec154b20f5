//! Congestion control: how much may be under way, and how fast.
//!
//! All windows are in bytes. [`Congestion`] keeps what every algorithm moves (cwnd, ssthresh, the pacing rate) and a
//! controller, of one of two kinds:
//!
//! | kind | who moves the window | what the controller says |
//! |---|---|---|
//! | [`Window`] | slow start, rate reduction and restart, common to all: here and in `send::recovery` | how it grows in congestion avoidance, how far it falls |
//! | [`Model`] | the controller alone, by delivery-rate samples | the window and the pacing rate |

mod bbr;
mod bbr3;
mod cubic;
mod dctcp;
mod hystart;
mod info;
mod kind;
mod reno;
mod sample;
mod windowed_max;

use std::fmt;

use netspace_base::Duration;

pub use info::{BbrInfo, ControllerInfo, DctcpInfo};
pub use kind::CongestionKind;
pub(crate) use sample::{Acked, Cause, Lost, Marks, Moment, Phase, RateSample, per_second};

/// Segments that may go before the first ACK (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
/// No window grows beyond this, bytes.
const CWND_MAX: u32 = 1 << 30;

/// A controller that lets the window grow while all is well and fall when congestion is met.
trait Window: fmt::Debug + Send + Sync {
    /// Slow start: by how much the window may grow, and whether slow start is over. `first`: congestion was never met.
    fn start(&mut self, acked: &Acked, _first: bool) -> (u32, bool) {
        (acked.bytes, false)
    }

    /// An ACK came, with or without marks, before anything else is made of it.
    fn on_marks(&mut self, _marks: &Marks) {}

    /// Congestion avoidance: the new window.
    fn grow(&mut self, cwnd: u32, acked: &Acked) -> u32;

    /// Congestion was met: the new window.
    fn reduce(&mut self, cwnd: u32, cause: Cause) -> u32;

    /// That was a mistake.
    fn undo(&mut self) {}

    /// Sending starts again after so long.
    fn on_idle_end(&mut self, _idle: Duration) {}

    /// Its state in numbers, if it has any to tell.
    fn info(&self, _mss: u32) -> Option<ControllerInfo> {
        None
    }
}

/// A controller that measures the path and sets window and pacing rate by what it finds.
trait Model: fmt::Debug + Send + Sync {
    /// Sending begins, or this controller takes over.
    fn begin(&mut self, windows: Windows, at: &Moment) -> Windows;

    /// An ACK came.
    fn on_ack(&mut self, windows: Windows, acked: &Acked) -> Windows;

    /// A range was deemed lost, if it wants to know ([`Model::watches_losses`]).
    fn on_loss(&mut self, _windows: Windows, _lost: &Lost, _at: &Moment) {}

    /// Whether it wants to know of each range lost.
    fn watches_losses(&self) -> bool {
        false
    }

    /// Recovery begins, by loss or timeout.
    fn on_congestion(&mut self, windows: Windows);

    /// The retransmission timer fired.
    fn on_timeout(&mut self, at: &Moment);

    /// Losses turned out to be none.
    fn undo(&mut self, windows: Windows, at: &Moment) -> Windows;

    /// Sending starts again after a pause.
    fn on_idle_end(&mut self, windows: Windows, at: &Moment) -> Windows;

    /// It sends little on purpose, to see the path empty: samples of now do not tell the path's rate.
    fn is_probing_rtt(&self) -> bool;

    /// Its state in numbers.
    fn info(&self) -> ControllerInfo;
}

/// What bounds the pacing rate, and how it follows from a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PacingBounds {
    /// Bytes per second at most.
    pub(crate) max: u64,
    /// Per cent of a window in a round trip: in slow start, and in congestion avoidance.
    pub(crate) slow_start: u32,
    pub(crate) avoidance: u32,
}

/// What every controller moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Windows {
    cwnd: u32,
    ssthresh: u32,
    pacing_rate: u64,
}

#[derive(Debug)]
enum Controller {
    Window(Box<dyn Window>),
    Model(Box<dyn Model>),
}

/// The congestion window and the controller that moves it.
#[derive(Debug)]
pub(crate) struct Congestion {
    /// Congestion window, bytes.
    pub(crate) cwnd: u32,
    /// Slow-start threshold, bytes.
    pub(crate) ssthresh: u32,
    /// Bytes per second at which segments may go; `u64::MAX` = not known yet.
    pub(crate) pacing_rate: u64,
    kind: CongestionKind,
    controller: Controller,
}

impl Congestion {
    /// `seed` is the controller's chance.
    pub(crate) fn new(kind: CongestionKind, mss: u32, seed: u64) -> Self {
        Self {
            cwnd: initial_window(mss),
            ssthresh: CWND_MAX,
            pacing_rate: u64::MAX,
            kind,
            controller: kind.controller(seed),
        }
    }

    /// Changes the algorithm of a live connection; windows stay.
    pub(crate) fn set_kind(&mut self, kind: CongestionKind, at: &Moment, seed: u64) {
        if kind != self.kind {
            self.kind = kind;
            self.controller = kind.controller(seed);
            self.begin(at);
        }
    }

    /// The segment size became known or changed before anything was sent.
    pub(crate) fn restart(&mut self, mss: u32) {
        self.cwnd = initial_window(mss);
    }

    /// The handshake is done.
    pub(crate) fn begin(&mut self, at: &Moment) {
        let windows = self.windows();
        if let Controller::Model(model) = &mut self.controller {
            let windows = model.begin(windows, at);
            self.set(windows);
        }
    }

    /// The threshold in whole segments; `i32::MAX` while there is none, as Linux shows it.
    pub(crate) fn ssthresh_segments(&self, mss: u32) -> u32 {
        if self.ssthresh == CWND_MAX { i32::MAX as u32 } else { self.ssthresh / mss }
    }

    pub(crate) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Whether the controller sets the window by itself, in recovery too.
    pub(crate) fn is_model(&self) -> bool {
        matches!(self.controller, Controller::Model(_))
    }

    /// What the controller tells of itself.
    pub(crate) fn info(&self, mss: u32) -> Option<ControllerInfo> {
        match &self.controller {
            Controller::Window(window) => window.info(mss),
            Controller::Model(model) => Some(model.info()),
        }
    }

    /// Whether each range that is lost is to be told ([`Congestion::on_loss`]).
    pub(crate) fn watches_losses(&self) -> bool {
        matches!(&self.controller, Controller::Model(model) if model.watches_losses())
    }

    /// Ranges were deemed lost.
    pub(crate) fn on_loss(&mut self, lost: &[Lost], at: &Moment) {
        let windows = self.windows();
        if let Controller::Model(model) = &mut self.controller {
            lost.iter().for_each(|lost| model.on_loss(windows, lost, at));
        }
    }

    /// Whether the controller sends little on purpose.
    pub(crate) fn is_probing_rtt(&self) -> bool {
        matches!(&self.controller, Controller::Model(model) if model.is_probing_rtt())
    }

    /// Bytes were delivered, or lost: a model is brought up to date; a window, that was in use, grows.
    pub(crate) fn on_ack(&mut self, mut acked: Acked) {
        let windows = self.windows();
        let window = match &mut self.controller {
            Controller::Model(model) => {
                let windows = model.on_ack(windows, &acked);
                return self.set(windows);
            }
            Controller::Window(window) => window,
        };
        if windows.cwnd < windows.ssthresh {
            // RFC 5681 §3.1, in bytes (RFC 3465 without its limit: an ACK may stand for 64 KiB here).
            let (growth, over) = window.start(&acked, windows.ssthresh == CWND_MAX);
            if over {
                self.ssthresh = self.cwnd;
            }
            let room = self.ssthresh - self.cwnd;
            self.cwnd = (self.cwnd + growth.min(room)).min(CWND_MAX);
            acked.bytes -= room.min(acked.bytes);
            if acked.bytes == 0 {
                return;
            }
        }
        self.cwnd = window.grow(self.cwnd, &acked).min(CWND_MAX);
    }

    /// The pacing rate that follows from a window: so many per cent of it in a round trip, the larger share while slow
    /// start has far to go (Linux's tcp_update_pacing_rate). A model has set its own.
    pub(crate) fn update_pacing_rate(&mut self, at: &Moment, flight: u32, bounds: &PacingBounds) {
        if !self.is_model() && !at.srtt.is_zero() {
            let slow_start = self.cwnd < self.ssthresh / 2;
            let ratio = if slow_start { bounds.slow_start } else { bounds.avoidance };
            let percent = u64::from(self.cwnd.max(flight)) * u64::from(ratio);
            self.pacing_rate = percent * 10_000 / (at.srtt.as_micros() as u64).max(1);
        }
        self.pacing_rate = self.pacing_rate.min(bounds.max);
    }

    /// An ACK told of marks, or that there were none.
    pub(crate) fn on_marks(&mut self, marks: &Marks) {
        if let Controller::Window(window) = &mut self.controller {
            window.on_marks(marks);
        }
    }

    /// Congestion was met: lowers ssthresh. The window itself follows by rate reduction, or falls at
    /// once after a timeout.
    pub(crate) fn on_congestion(&mut self, mss: u32, cause: Cause) {
        let windows = self.windows();
        match &mut self.controller {
            Controller::Window(window) => self.ssthresh = window.reduce(self.cwnd, cause).max(2 * mss),
            Controller::Model(model) => model.on_congestion(windows),
        }
    }

    /// The retransmission timer fired: the window has fallen to what is in flight and a segment.
    pub(crate) fn on_timeout(&mut self, at: &Moment) {
        if let Controller::Model(model) = &mut self.controller {
            model.on_timeout(at);
        }
    }

    /// The reduction was a mistake: take up where it was.
    pub(crate) fn undo(&mut self, cwnd: u32, ssthresh: u32, at: &Moment) {
        let windows = self.windows();
        match &mut self.controller {
            Controller::Window(window) => {
                self.cwnd = self.cwnd.max(cwnd);
                window.undo();
            }
            Controller::Model(model) => {
                let windows = model.undo(windows, at);
                self.set(windows);
            }
        }
        self.ssthresh = self.ssthresh.max(ssthresh);
    }

    /// Sending starts again after `idle` without anything in flight: halves the window for each timeout that passed,
    /// not below the initial one (RFC 2861), if `decay`; and moves CUBIC's clock on (RFC 9438 §5.8).
    pub(crate) fn on_idle_end(&mut self, idle: Duration, rto: Duration, at: &Moment, decay: bool) {
        let windows = self.windows();
        match &mut self.controller {
            Controller::Window(window) => window.on_idle_end(idle),
            Controller::Model(model) => {
                let windows = model.on_idle_end(windows, at);
                return self.set(windows);
            }
        }
        if !decay || idle <= rto || rto.is_zero() {
            return;
        }
        let restart = initial_window(at.mss).min(self.cwnd);
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        let halvings = (idle.as_nanos() / rto.as_nanos()).min(31) as u32;
        self.cwnd = (self.cwnd >> halvings).max(restart);
    }

    fn windows(&self) -> Windows {
        Windows { cwnd: self.cwnd, ssthresh: self.ssthresh, pacing_rate: self.pacing_rate }
    }

    fn set(&mut self, windows: Windows) {
        self.cwnd = windows.cwnd.min(CWND_MAX);
        self.ssthresh = windows.ssthresh;
        self.pacing_rate = windows.pacing_rate;
    }
}

/// RFC 6928: ten segments, at most 14600 bytes unless two segments are more.
fn initial_window(mss: u32) -> u32 {
    (INITIAL_SEGMENTS * mss).min((2 * mss).max(14_600))
}

#[cfg(test)]
mod tests {
    use netspace_base::Instant;

    use super::*;

    const MSS: u32 = 1460;

    fn moment(now_ms: u64) -> Moment {
        let now = Instant::from_millis(now_ms);
        Moment { now, srtt: Duration::from_millis(100), mss: MSS, ..Moment::default() }
    }

    fn acked(now_ms: u64, bytes: u32) -> Acked {
        Acked { at: moment(now_ms), bytes, ..Acked::default() }
    }

    #[test]
    fn slow_start_doubles_each_round_trip() {
        let mut cc = Congestion::new(CongestionKind::Reno, MSS, 1);
        assert_eq!(cc.cwnd, 14_600);
        cc.on_ack(acked(100, 14_600));
        assert_eq!(cc.cwnd, 29_200);
    }

    #[test]
    fn reno_adds_a_segment_each_round_trip_and_halves() {
        let mut cc = Congestion::new(CongestionKind::Reno, MSS, 1);
        cc.cwnd = 100 * MSS;
        cc.ssthresh = 50 * MSS;
        for _ in 0..100 {
            cc.on_ack(acked(100, MSS));
        }
        assert_eq!(cc.cwnd, 101 * MSS);
        cc.on_congestion(MSS, Cause::Loss);
        assert_eq!(cc.ssthresh, 101 * MSS / 2);
    }

    #[test]
    fn cubic_returns_to_its_maximum_after_k_and_probes_beyond() {
        let mut cc = Congestion::new(CongestionKind::Cubic, MSS, 1);
        cc.cwnd = 1000 * MSS;
        cc.on_congestion(MSS, Cause::Loss);
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
        let mut cc = Congestion::new(CongestionKind::Cubic, MSS, 1);
        cc.cwnd = 400 * MSS;
        let rto = Duration::from_millis(300);
        cc.on_idle_end(Duration::from_millis(700), rto, &moment(0), true);
        assert_eq!(cc.cwnd, 100 * MSS);
        cc.on_idle_end(Duration::from_secs(70), rto, &moment(0), true);
        assert_eq!(cc.cwnd, 10 * MSS);
    }
}
