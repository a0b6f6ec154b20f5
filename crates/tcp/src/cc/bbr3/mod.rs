//! BBR, version 3 (draft-ietf-ccwg-bbr-05).
//!
//! Version 1 takes no notice of loss. Version 3 keeps, besides the path's rate and round-trip time, how much may be in
//! flight before too much is lost, on two scales of time: what probing has found to be safe (long-term), and what recent
//! losses suggest (short-term). The response to ECN marks is that of Google's implementation; the draft has none yet.
//!
//! ```text
//! Startup ── Drain ──▶ Down ── Cruise ── Refill ── Up ─╮     any ──(5 s without a new minimum)── ProbeRtt
//!                       ╰────────────◀────────────────╯
//! ```
//! | file | what |
//! |---|---|
//! | `model` | rate, time and volume of the path |
//! | `states` | the machine above |
//! | `control` | pacing rate and window |

mod control;
mod model;
mod states;

use netspace_base::{Duration, Instant, Rng, Seed};

use super::info::{BbrInfo, ControllerInfo};
use super::sample::{Acked, Lost, Moment, Phase};
use super::windowed_max::WindowedMax;
use super::{Model, Windows};
use model::{Saved, ShortTerm};

/// Gains are in 1/256.
const UNIT: u32 = 256;
/// Segments in flight at least (MinPipeCwnd).
const CWND_MIN: u32 = 4;
/// No bound: what is not known to be too much.
const UNBOUNDED: u64 = u64::MAX;

/// The states (§5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

impl State {
    /// Pacing and window gain (§5.6.1).
    const fn gains(self) -> (u32, u32) {
        match self {
            Self::Startup => (UNIT * 277 / 100, 2 * UNIT),
            Self::Drain => (UNIT / 2, 2 * UNIT),
            Self::Down => (UNIT * 9 / 10, 2 * UNIT),
            Self::Cruise | Self::Refill => (UNIT, 2 * UNIT),
            Self::Up => (UNIT * 5 / 4, UNIT * 9 / 4),
            Self::ProbeRtt => (UNIT, UNIT / 2),
        }
    }

    const fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// It sends faster than the path is known to be: losses are expected, and tell of the long term.
    const fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }
}

/// Which of a probe's packets the ACKs of now are for (§5.3.3.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AckPhase {
    /// Not of a probe.
    Init,
    /// Of the refill before it.
    Refilling,
    /// The probe has just begun.
    Starting,
    /// Of the probe.
    Feedback,
    /// The probe is over; its last packets are still being acknowledged.
    Stopping,
}

/// The state of BBR. Rates are in bytes per second, volumes in bytes.
#[derive(Debug)]
pub(super) struct Bbr3 {
    state: State,
    ack_phase: AckPhase,
    /// Rounds: the next begins when so many bytes are delivered; one has just begun.
    rounds: u64,
    round_end: u64,
    round_start: bool,
    /// The same, but counted from the first loss of a round.
    loss_round_end: u64,
    loss_round_start: bool,
    /// Something was lost, or marked, in this round; how many ranges were lost, and where the last ended.
    loss_in_round: bool,
    marks_in_round: bool,
    loss_ranges: u32,
    last_loss_end: u64,
    /// The highest rates of this and of the last probing cycle.
    max_rates: [u64; 2],
    /// The most that was delivered in a round, as rate and as volume.
    rate_latest: u64,
    volume_latest: u64,
    /// Bounds: what probing has found, and what recent losses suggest.
    volume_long: u64,
    short: ShortTerm,
    saved: Saved,
    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    /// The minimum since the last probe of it; it is due again.
    probe_rtt_min: Option<Duration>,
    probe_rtt_min_at: Instant,
    probe_rtt_expired: bool,
    probe_rtt_end: Option<Instant>,
    probe_rtt_round: bool,
    /// The rate that must be exceeded by a quarter; rounds in which it was not; it is full for now, and was once.
    full_rate: u64,
    full_rounds: u8,
    full_now: bool,
    full: bool,
    /// When the cycle's state began; how long until the next probe, in time, and rounds since the last.
    cycle_at: Instant,
    probe_wait: Duration,
    probe_rounds: u32,
    /// Losses now are of a probe's packets.
    probe_samples: bool,
    /// How the long-term bound rises while probing: bytes acknowledged for each segment, the round, and those counted.
    up_bytes: u64,
    up_rounds: u32,
    up_acked: u64,
    /// Acknowledged beyond what the rate tells.
    extra: WindowedMax,
    extra_at: Instant,
    extra_bytes: u64,
    /// Share of marked packets, in 1/65536; what it is made of; rounds of Startup with too many.
    marked_share: u32,
    marks_delivered: u64,
    marks_seen: u64,
    marks: u64,
    marked_rounds: u8,
    /// The window before recovery or ProbeRtt, and the phase at the last ACK.
    prior_cwnd: u32,
    prior_phase: Phase,
    idle_restart: bool,
    /// The pacing rate rests on a measured round-trip time.
    measured: bool,
    rng: Rng,
}

impl Bbr3 {
    /// `seed` spreads the flows' probes.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: State::Startup,
            ack_phase: AckPhase::Init,
            rounds: 0,
            round_end: 0,
            round_start: false,
            loss_round_end: 0,
            loss_round_start: false,
            loss_in_round: false,
            marks_in_round: false,
            loss_ranges: 0,
            last_loss_end: 0,
            max_rates: [0; 2],
            rate_latest: 0,
            volume_latest: 0,
            volume_long: UNBOUNDED,
            short: ShortTerm::UNBOUNDED,
            saved: Saved::default(),
            min_rtt: None,
            min_rtt_at: Instant::ZERO,
            probe_rtt_min: None,
            probe_rtt_min_at: Instant::ZERO,
            probe_rtt_expired: false,
            probe_rtt_end: None,
            probe_rtt_round: false,
            full_rate: 0,
            full_rounds: 0,
            full_now: false,
            full: false,
            cycle_at: Instant::ZERO,
            probe_wait: Duration::ZERO,
            probe_rounds: 0,
            probe_samples: false,
            up_bytes: UNBOUNDED,
            up_rounds: 0,
            up_acked: 0,
            extra: WindowedMax::default(),
            extra_at: Instant::ZERO,
            extra_bytes: 0,
            marked_share: UNIT << 8,
            marks_delivered: 0,
            marks_seen: 0,
            marks: 0,
            marked_rounds: 0,
            prior_cwnd: 0,
            prior_phase: Phase::Open,
            idle_restart: false,
            measured: false,
            rng: Seed(seed).stream("bbr3", 0),
        }
    }

    /// What comes after so much is delivered is of the next round.
    fn start_round(&mut self, at: &Moment) {
        self.round_end = at.delivered;
    }

    fn save_cwnd(&mut self, cwnd: u32) {
        let whole = self.prior_phase < Phase::Recovery && self.state != State::ProbeRtt;
        self.prior_cwnd = if whole { cwnd } else { self.prior_cwnd.max(cwnd) };
    }
}

impl Model for Bbr3 {
    fn begin(&mut self, mut windows: Windows, at: &Moment) -> Windows {
        self.min_rtt = (!at.srtt.is_zero()).then_some(at.srtt);
        self.probe_rtt_min = self.min_rtt;
        self.min_rtt_at = at.now;
        self.probe_rtt_min_at = at.now;
        self.extra_at = at.now;
        self.start_round(at);
        self.loss_round_end = at.delivered;
        self.marks_delivered = at.delivered;
        windows.pacing_rate = self.first_pacing_rate(windows.cwnd, at.srtt);
        windows
    }

    /// §5.2.3.
    fn on_ack(&mut self, mut windows: Windows, acked: &Acked) -> Windows {
        self.leave_recovery(&mut windows, acked);
        if !acked.rate.interval.is_zero() {
            self.update_latest(acked);
            self.update_congestion(&windows, acked);
            self.update_extra(&windows, acked);
            self.check_full(acked);
            self.check_startup(&windows, acked);
            self.check_drained(&mut windows, acked);
            self.update_cycle(&windows, acked);
        } else {
            self.round_start = false;
        }
        self.update_min_rtt(acked);
        self.check_probe_rtt(&mut windows, acked);
        if !acked.rate.interval.is_zero() {
            self.advance_latest(acked);
        }
        self.set_pacing_rate(&mut windows, &acked.at, self.state.gains().0);
        self.set_cwnd(&mut windows, acked);
        windows
    }

    /// §5.5.10.2: BBRHandleLostPacket.
    fn on_loss(&mut self, windows: Windows, lost: &Lost, at: &Moment) {
        self.note_loss(lost, at);
        if self.probe_samples && self.is_too_much(lost.since, lost.in_flight, 0, 0) {
            let volume = model::volume_at_loss(lost);
            self.handle_too_much(volume, lost.app_limited, &windows, at);
        }
    }

    fn watches_losses(&self) -> bool {
        true
    }

    fn on_congestion(&mut self, windows: Windows) {
        self.save_cwnd(windows.cwnd);
        self.save_model();
    }

    fn on_timeout(&mut self, _at: &Moment) {
        self.prior_phase = Phase::Loss;
        self.reset_full();
    }

    /// §5.5.11.2.
    fn undo(&mut self, windows: Windows, at: &Moment) -> Windows {
        self.restore_model(&windows, at);
        windows
    }

    /// §5.4.1.
    fn on_idle_end(&mut self, mut windows: Windows, at: &Moment) -> Windows {
        if !at.app_limited {
            return windows;
        }
        self.idle_restart = true;
        self.extra_at = at.now;
        self.extra_bytes = 0;
        if self.state.is_probe_bw() {
            self.set_pacing_rate(&mut windows, at, UNIT);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_end(&mut windows, at);
        }
        windows
    }

    fn is_probing_rtt(&self) -> bool {
        self.state == State::ProbeRtt
    }

    fn info(&self) -> ControllerInfo {
        let (pacing_gain, cwnd_gain) = self.state.gains();
        let min_rtt = self.min_rtt.unwrap_or(Duration::MAX);
        ControllerInfo::Bbr(BbrInfo { bandwidth: self.rate(), min_rtt, pacing_gain, cwnd_gain })
    }
}
