//! The states, and how one follows another (§5.3).

use netspace_base::Duration;

use super::super::Windows;
use super::super::sample::{Acked, Moment, Phase, per_second};
use super::{AckPhase, Bbr3, ShortTerm, State, UNBOUNDED, UNIT};

/// Rounds in which the rate must grow by a quarter, or the pipe is full.
const FULL_ROUNDS: u8 = 3;
/// Startup ends by loss when a round has lost so many ranges, or has had so many rounds with too many marks.
const FULL_LOSS_RANGES: u32 = 6;
const FULL_MARKED_ROUNDS: u8 = 2;
/// A probe comes after two to three seconds,
const PROBE_WAIT: Duration = Duration::from_secs(2);
const PROBE_WAIT_SPREAD_NS: u64 = 1_000_000_000;
/// or when Reno would have grown its window back: as many rounds as there are segments in flight, at most so many.
const RENO_ROUNDS_MAX: u32 = 63;
/// How long ProbeRtt lasts at least.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);

// ---- Startup and Drain -------------------------------------------------------------------------------------------------
impl Bbr3 {
    pub(super) fn reset_full(&mut self) {
        self.full_rate = 0;
        self.full_rounds = 0;
        self.full_now = false;
    }

    /// Whether the rate has ceased to grow (BBRCheckFullBWReached).
    pub(super) fn check_full(&mut self, acked: &Acked) {
        if self.full_now || acked.rate.app_limited {
            return;
        }
        let rate = per_second(acked.rate.delivered, acked.rate.interval);
        if rate >= self.full_rate.saturating_mul(5) / 4 {
            self.reset_full();
            self.full_rate = rate;
            return;
        }
        if !self.round_start {
            return;
        }
        self.full_rounds += 1;
        self.full_now = self.full_rounds >= FULL_ROUNDS;
        self.full |= self.full_now;
    }

    /// Startup ends when the pipe is full, or when it loses too much (§5.3.1).
    pub(super) fn check_startup(&mut self, windows: &Windows, acked: &Acked) {
        if !self.full {
            self.check_startup_loss(windows, acked);
        }
        if self.state == State::Startup && self.full {
            self.state = State::Drain;
        }
    }

    fn check_startup_loss(&mut self, windows: &Windows, acked: &Acked) {
        let sample = &acked.rate;
        let lossy = self.loss_round_start
            && acked.at.phase == Phase::Recovery
            && self.loss_ranges >= FULL_LOSS_RANGES
            && self.is_too_much(sample.lost, sample.in_flight, 0, 0);
        if lossy || self.marked_rounds >= FULL_MARKED_ROUNDS {
            self.full = true;
            self.volume_long = self.target_volume(windows, &acked.at).max(self.volume_latest);
        }
        if self.loss_round_start {
            self.loss_ranges = 0;
        }
    }

    pub(super) fn check_drained(&mut self, windows: &mut Windows, acked: &Acked) {
        if self.state == State::Drain
            && u64::from(acked.at.in_flight) <= self.inflight(UNIT, windows, &acked.at)
        {
            windows.ssthresh = windows.cwnd;
            self.start_down(&acked.at);
        }
    }
}

// ---- Probing for bandwidth ---------------------------------------------------------------------------------------------
impl Bbr3 {
    /// Slower than the path, until the queue is gone.
    pub(super) fn start_down(&mut self, at: &Moment) {
        self.loss_in_round = false;
        self.marks_in_round = false;
        self.rate_latest = 0;
        self.volume_latest = 0;
        self.up_bytes = UNBOUNDED;
        self.probe_rounds = self.rng.below(2) as u32;
        self.probe_wait = PROBE_WAIT + Duration::from_nanos(self.rng.below(PROBE_WAIT_SPREAD_NS));
        self.cycle_at = at.now;
        self.ack_phase = AckPhase::Stopping;
        self.start_round(at);
        self.state = State::Down;
    }

    /// As fast as the path, for a round: the pipe is full when probing begins.
    fn start_refill(&mut self, at: &Moment) {
        self.short = ShortTerm::UNBOUNDED;
        self.up_rounds = 0;
        self.up_acked = 0;
        self.ack_phase = AckPhase::Refilling;
        self.start_round(at);
        self.state = State::Refill;
    }

    /// Faster than the path, for as long as that brings more.
    pub(super) fn start_up(&mut self, windows: &Windows, at: &Moment, rate: u64) {
        self.ack_phase = AckPhase::Starting;
        self.start_round(at);
        self.reset_full();
        self.full_rate = rate;
        self.cycle_at = at.now;
        self.state = State::Up;
        self.raise_slope(windows, at);
    }

    /// BBRUpdateProbeBWCyclePhase.
    pub(super) fn update_cycle(&mut self, windows: &Windows, acked: &Acked) {
        if !self.full {
            return;
        }
        self.adapt_long_term(windows, acked);
        let at = &acked.at;
        match self.state {
            State::Down | State::Cruise if self.is_time_to_probe(windows, at) => self.start_refill(at),
            State::Down if self.is_time_to_cruise(windows, at) => self.state = State::Cruise,
            State::Refill if self.round_start => {
                self.probe_samples = true;
                self.start_up(windows, at, per_second(acked.rate.delivered, acked.rate.interval));
            }
            State::Up => self.check_up_done(windows, acked),
            _ => {}
        }
    }

    /// The queue is gone, and there is room for others.
    fn is_time_to_cruise(&self, windows: &Windows, at: &Moment) -> bool {
        let in_flight = u64::from(at.in_flight);
        in_flight <= self.volume_with_headroom(at) && in_flight <= self.inflight(UNIT, windows, at)
    }

    /// It has been long enough; on short paths, as often as Reno would fill the pipe (§5.3.3.4).
    fn is_time_to_probe(&self, windows: &Windows, at: &Moment) -> bool {
        let segments = (self.target_volume(windows, at) / u64::from(at.mss)) as u32;
        at.now.saturating_since(self.cycle_at) > self.probe_wait
            || self.probe_rounds >= segments.clamp(1, RENO_ROUNDS_MAX)
    }

    /// The rate has ceased to grow; while the long-term bound holds it back, that is no wonder.
    fn check_up_done(&mut self, windows: &Windows, acked: &Acked) {
        if acked.cwnd_limited && u64::from(windows.cwnd) >= self.volume_long {
            self.reset_full();
            self.full_rate = per_second(acked.rate.delivered, acked.rate.interval);
        } else if self.full_now {
            self.start_down(&acked.at);
        }
    }
}

// ---- Probing for the round-trip time -----------------------------------------------------------------------------------
impl Bbr3 {
    pub(super) fn check_probe_rtt(&mut self, windows: &mut Windows, acked: &Acked) {
        let at = &acked.at;
        if self.state != State::ProbeRtt && self.probe_rtt_expired && !self.idle_restart {
            self.save_cwnd(windows.cwnd);
            self.state = State::ProbeRtt;
            self.probe_rtt_end = None;
            self.ack_phase = AckPhase::Stopping;
            self.start_round(at);
        }
        if self.state == State::ProbeRtt {
            self.probe_rtt(windows, at);
        }
        if acked.rate.delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn probe_rtt(&mut self, windows: &mut Windows, at: &Moment) {
        if self.probe_rtt_end.is_some() {
            self.probe_rtt_round |= self.round_start;
            if self.probe_rtt_round {
                self.check_probe_rtt_end(windows, at);
            }
        } else if at.in_flight <= self.probe_rtt_cwnd(at) {
            self.probe_rtt_end = Some(at.now + PROBE_RTT_TIME);
            self.probe_rtt_round = false;
            self.start_round(at);
        }
    }

    pub(super) fn check_probe_rtt_end(&mut self, windows: &mut Windows, at: &Moment) {
        if self.probe_rtt_end.is_none_or(|end| at.now <= end) {
            return;
        }
        self.probe_rtt_min_at = at.now;
        windows.cwnd = windows.cwnd.max(self.prior_cwnd);
        self.short = ShortTerm::UNBOUNDED;
        if self.full {
            // Little is in flight: the queue is gone already.
            self.start_down(at);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }
}
