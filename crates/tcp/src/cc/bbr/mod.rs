//! BBR, version 1, as Linux has it (draft-cardwell-iccrg-bbr-congestion-control-00 and what was added since: policers,
//! aggregation).
//!
//! BBR does not take loss for congestion. It measures the path's rate (the maximum of the delivery rate over ten rounds)
//! and its round-trip time (the minimum over ten seconds), paces at the rate, and keeps about their product in flight.
//!
//! ```text
//! Startup ──(rate grew < 25 % in three rounds)── Drain ──(queue is gone)── ProbeBw: 5/4, 3/4, 1, 1, 1, 1, 1, 1 of the rate
//!    any ──(no new minimum for 10 s)── ProbeRtt: four segments in flight for 200 ms ── Startup or ProbeBw
//! ```

mod aggregation;
mod policer;

use netspace_base::{Duration, Instant, Rng, Seed};

use super::info::{BbrInfo, ControllerInfo};
use super::sample::{Acked, Moment, Phase, bytes_in, per_second};
use super::windowed_max::WindowedMax;
use super::{Model, Windows, initial_window};
use aggregation::Aggregation;
use policer::Policer;

/// Gains are in 1/256.
const UNIT: u32 = 256;
/// 2 / ln 2: the least gain that doubles the rate each round; and what undoes its queue in one.
const HIGH_GAIN: u32 = 739;
const DRAIN_GAIN: u32 = 88;
/// In flight are up to two products, for ACKs that are held back or joined.
const CWND_GAIN: u32 = 512;
/// The gains of ProbeBw's eight phases, a round trip each.
const CYCLE: [u32; 8] = [320, 192, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// Rounds for which a highest rate counts.
const BANDWIDTH_ROUNDS: u64 = 10;
/// How long a smallest round-trip time counts.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
/// How long ProbeRtt lasts at least.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Segments in flight at least.
const CWND_MIN: u32 = 4;
/// Rounds in which the rate must grow by a quarter, or Startup is over.
const FULL_ROUNDS: u8 = 3;
/// Pacing stays so many per cent below the rate, so that queues drain.
const PACING_MARGIN: u64 = 1;
/// The first guess of a round-trip time that is not known.
const RTT_GUESS: Duration = Duration::from_millis(1);
/// Largest number of segments in a super-segment, and its share of a second.
const QUANTUM_SEGMENTS_MAX: u32 = 127;
const QUANTUM_SHIFT: u32 = 10;
/// Below 1.2 Mbit/s, in bytes per second, a segment goes at a time.
const SLOW_RATE: u64 = 150_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Mode {
    #[default]
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// The state of BBR. Rates are in bytes per second.
#[derive(Debug)]
pub(super) struct Bbr {
    mode: Mode,
    pacing_gain: u32,
    cwnd_gain: u32,
    /// Rounds so far; the next begins when what is sent from now on is delivered: at so many bytes. One has just begun.
    rounds: u64,
    round_end: u64,
    round_start: bool,
    bandwidth: WindowedMax,
    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    /// The rate that must be exceeded for the pipe not to be full; for how many rounds it was not; it is.
    full_rate: u64,
    full_rounds: u8,
    full: bool,
    /// Where in the cycle, and since when.
    cycle: usize,
    cycle_at: Instant,
    /// The window before recovery or ProbeRtt, and the phase at the last ACK.
    prior_cwnd: u32,
    prior_phase: Phase,
    /// In the first round of recovery no more goes out than arrives.
    conserve: bool,
    /// Sending has started again after a pause that the program made.
    idle_restart: bool,
    /// When ProbeRtt ends, once little is in flight; and a round has gone by since.
    probe_rtt_end: Option<Instant>,
    probe_rtt_round: bool,
    /// The pacing rate rests on a measured round-trip time.
    measured: bool,
    policer: Policer,
    aggregation: Aggregation,
    rng: Rng,
}

impl Bbr {
    /// `seed` chooses the phase in which the cycle begins, so that flows do not probe together.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            mode: Mode::Startup,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            rounds: 0,
            round_end: 0,
            round_start: false,
            bandwidth: WindowedMax::default(),
            min_rtt: None,
            min_rtt_at: Instant::ZERO,
            full_rate: 0,
            full_rounds: 0,
            full: false,
            cycle: 0,
            cycle_at: Instant::ZERO,
            prior_cwnd: 0,
            prior_phase: Phase::Open,
            conserve: false,
            idle_restart: false,
            probe_rtt_end: None,
            probe_rtt_round: false,
            measured: false,
            policer: Policer::default(),
            aggregation: Aggregation::default(),
            rng: Seed(seed).stream("bbr", 0),
        }
    }

    /// The rate that counts.
    fn rate(&self) -> u64 {
        self.policer.rate().unwrap_or_else(|| self.bandwidth.get())
    }

    fn save_cwnd(&mut self, cwnd: u32) {
        let whole = self.prior_phase < Phase::Recovery && self.mode != Mode::ProbeRtt;
        self.prior_cwnd = if whole { cwnd } else { self.prior_cwnd.max(cwnd) };
    }
}

impl Model for Bbr {
    fn begin(&mut self, mut windows: Windows, at: &Moment) -> Windows {
        self.min_rtt = (!at.srtt.is_zero()).then_some(at.srtt);
        self.min_rtt_at = at.now;
        self.round_end = at.delivered;
        self.policer.reset(at);
        self.aggregation.begin(at.now);
        windows.pacing_rate = self.first_pacing_rate(windows.cwnd, at.srtt);
        windows
    }

    fn on_ack(&mut self, mut windows: Windows, acked: &Acked) -> Windows {
        self.update_bandwidth(acked);
        if acked.bytes > 0 && !acked.rate.interval.is_zero() {
            let (rate, cwnd) = (self.rate(), windows.cwnd);
            self.aggregation.update(&acked.at, self.round_start, acked.bytes, rate, cwnd);
        }
        self.update_cycle(&windows, acked);
        self.check_full(acked);
        self.check_drained(&mut windows, &acked.at);
        self.update_min_rtt(&mut windows, acked);
        self.update_gains();
        self.set_pacing_rate(&mut windows, &acked.at, self.pacing_gain);
        self.set_cwnd(&mut windows, acked);
        windows
    }

    fn on_congestion(&mut self, windows: Windows) {
        self.save_cwnd(windows.cwnd);
    }

    /// The path may have changed: its rate is looked for again, without leaving the mode.
    fn on_timeout(&mut self, at: &Moment) {
        self.prior_phase = Phase::Loss;
        self.full_rate = 0;
        self.round_start = true;
        if self.policer.rate().is_none() {
            self.policer.sample(at, true, true, false);
        }
    }

    fn undo(&mut self, windows: Windows, at: &Moment) -> Windows {
        self.full_rate = 0;
        self.full_rounds = 0;
        self.policer.reset(at);
        windows
    }

    /// After a pause of the program's, sending goes on at the rate, without a burst.
    fn on_idle_end(&mut self, mut windows: Windows, at: &Moment) -> Windows {
        if !at.app_limited {
            return windows;
        }
        self.idle_restart = true;
        self.aggregation.begin(at.now);
        match self.mode {
            Mode::ProbeBw => self.set_pacing_rate(&mut windows, at, UNIT),
            Mode::ProbeRtt => self.check_probe_rtt_end(&mut windows, at),
            Mode::Startup | Mode::Drain => {}
        }
        windows
    }

    fn is_probing_rtt(&self) -> bool {
        self.mode == Mode::ProbeRtt
    }

    fn info(&self) -> ControllerInfo {
        ControllerInfo::Bbr(BbrInfo {
            bandwidth: self.rate(),
            min_rtt: self.min_rtt.unwrap_or(Duration::MAX),
            pacing_gain: self.pacing_gain,
            cwnd_gain: self.cwnd_gain,
        })
    }
}

// ---- The model of the path ---------------------------------------------------------------------------------------------
impl Bbr {
    fn update_bandwidth(&mut self, acked: &Acked) {
        self.round_start = false;
        let rate = &acked.rate;
        if rate.interval.is_zero() {
            return;
        }
        if rate.prior_delivered >= self.round_end {
            self.round_end = acked.at.delivered;
            self.rounds += 1;
            self.round_start = true;
            self.conserve = false;
        }
        if self.policer.rate().is_none() {
            self.policer.sample(&acked.at, self.round_start, acked.lost > 0, rate.app_limited);
        } else if self.mode == Mode::ProbeBw && self.policer.is_over(self.round_start) {
            self.policer.reset(&acked.at);
            self.enter_probe_bw(&acked.at);
        }
        // A rate that the program limited counts only if it is higher: the path can do that at least.
        let sample = per_second(rate.delivered, rate.interval);
        if !rate.app_limited || sample >= self.bandwidth.get() {
            self.bandwidth.update(BANDWIDTH_ROUNDS, self.rounds, sample);
        }
    }

    /// The pipe is full when three rounds of sending faster have not brought a quarter more.
    fn check_full(&mut self, acked: &Acked) {
        if self.full || !self.round_start || acked.rate.app_limited {
            return;
        }
        if self.bandwidth.get() >= self.full_rate.saturating_mul(5) / 4 {
            self.full_rate = self.bandwidth.get();
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        self.full = self.full_rounds >= FULL_ROUNDS;
    }

    /// Takes a new minimum, or goes and looks for one.
    fn update_min_rtt(&mut self, windows: &mut Windows, acked: &Acked) {
        let at = &acked.at;
        let expired = at.now > self.min_rtt_at + MIN_RTT_WINDOW;
        if let Some(rtt) = acked.rtt {
            let smaller = self.min_rtt.is_none_or(|min| rtt < min);
            if smaller || (expired && !acked.maybe_delayed) {
                self.min_rtt = Some(rtt);
                self.min_rtt_at = at.now;
            }
        }
        if expired && !self.idle_restart && self.mode != Mode::ProbeRtt {
            self.save_cwnd(windows.cwnd);
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_end = None;
        }
        if self.mode == Mode::ProbeRtt {
            self.probe_rtt(windows, at);
        }
        if acked.rate.delivered > 0 {
            self.idle_restart = false;
        }
    }

    /// Little is in flight for 200 ms and a round.
    fn probe_rtt(&mut self, windows: &mut Windows, at: &Moment) {
        if self.probe_rtt_end.is_some() {
            self.probe_rtt_round |= self.round_start;
            if self.probe_rtt_round {
                self.check_probe_rtt_end(windows, at);
            }
        } else if at.in_flight <= CWND_MIN * at.mss {
            self.probe_rtt_end = Some(at.now + PROBE_RTT_TIME);
            self.probe_rtt_round = false;
            self.round_end = at.delivered;
        }
    }

    fn check_probe_rtt_end(&mut self, windows: &mut Windows, at: &Moment) {
        if self.probe_rtt_end.is_none_or(|end| at.now <= end) {
            return;
        }
        self.min_rtt_at = at.now;
        windows.cwnd = windows.cwnd.max(self.prior_cwnd);
        if self.full {
            self.enter_probe_bw(at);
        } else {
            self.mode = Mode::Startup;
        }
    }
}

// ---- The modes ---------------------------------------------------------------------------------------------------------
impl Bbr {
    fn check_drained(&mut self, windows: &mut Windows, at: &Moment) {
        if self.mode == Mode::Startup && self.full {
            self.mode = Mode::Drain;
            windows.ssthresh = self.target(self.bandwidth.get(), UNIT, windows, at);
        }
        let target = self.target(self.bandwidth.get(), UNIT, windows, at);
        if self.mode == Mode::Drain && self.in_network(at.in_flight, windows, at) <= target {
            self.enter_probe_bw(at);
        }
    }

    /// In any phase of the cycle but that which drains.
    fn enter_probe_bw(&mut self, at: &Moment) {
        self.mode = Mode::ProbeBw;
        self.cycle = CYCLE.len() - 1 - self.rng.below(CYCLE.len() as u64 - 1) as usize;
        self.advance_cycle(at);
    }

    fn advance_cycle(&mut self, at: &Moment) {
        self.cycle = (self.cycle + 1) % CYCLE.len();
        self.cycle_at = at.now;
    }

    fn update_cycle(&mut self, windows: &Windows, acked: &Acked) {
        if self.mode == Mode::ProbeBw && self.is_phase_over(windows, acked) {
            self.advance_cycle(&acked.at);
        }
    }

    /// A phase lasts a round trip; probing lasts until that much is in flight, or lost; draining only until the queue is
    /// gone.
    fn is_phase_over(&self, windows: &Windows, acked: &Acked) -> bool {
        let at = &acked.at;
        let elapsed = at.now.saturating_since(self.cycle_at) > self.min_rtt.unwrap_or_default();
        let gain = self.pacing_gain;
        if gain == UNIT {
            return elapsed;
        }
        let in_network = self.in_network(acked.prior_in_flight, windows, at);
        let target = |gain| self.target(self.bandwidth.get(), gain, windows, at);
        if gain > UNIT {
            elapsed && (acked.lost > 0 || in_network >= target(gain))
        } else {
            elapsed || in_network <= target(UNIT)
        }
    }

    fn update_gains(&mut self) {
        (self.pacing_gain, self.cwnd_gain) = match self.mode {
            Mode::Startup => (HIGH_GAIN, HIGH_GAIN),
            Mode::Drain => (DRAIN_GAIN, HIGH_GAIN),
            Mode::ProbeBw if self.policer.rate().is_some() => (UNIT, CWND_GAIN),
            Mode::ProbeBw => (CYCLE[self.cycle], CWND_GAIN),
            Mode::ProbeRtt => (UNIT, UNIT),
        };
    }
}

// ---- Rate and window ---------------------------------------------------------------------------------------------------
impl Bbr {
    fn first_pacing_rate(&mut self, cwnd: u32, srtt: Duration) -> u64 {
        self.measured = !srtt.is_zero();
        let rtt = if self.measured { srtt } else { RTT_GUESS };
        paced(per_second(u64::from(cwnd), rtt), HIGH_GAIN)
    }

    /// Until the pipe is known to be full, the rate only rises.
    fn set_pacing_rate(&mut self, windows: &mut Windows, at: &Moment, gain: u32) {
        if !self.measured && !at.srtt.is_zero() {
            windows.pacing_rate = self.first_pacing_rate(windows.cwnd, at.srtt);
        }
        let rate = paced(self.rate(), gain);
        if self.full || rate > windows.pacing_rate {
            windows.pacing_rate = rate;
        }
    }

    fn set_cwnd(&mut self, windows: &mut Windows, acked: &Acked) {
        let at = &acked.at;
        let least = CWND_MIN * at.mss;
        if acked.bytes > 0 && !self.recover(windows, acked) {
            let rate = self.rate();
            let extra = if self.full { self.aggregation.extra(rate) } else { 0 };
            let product = self.product(rate, self.cwnd_gain, at).saturating_add(extra);
            let target = self.quantized(product, windows, at);
            let grown = windows.cwnd.saturating_add(acked.bytes);
            if self.full {
                windows.cwnd = grown.min(target);
            } else if windows.cwnd < target || at.delivered < u64::from(initial_window(at.mss)) {
                windows.cwnd = grown;
            }
            windows.cwnd = windows.cwnd.max(least);
        }
        if self.mode == Mode::ProbeRtt {
            windows.cwnd = windows.cwnd.min(least);
        }
    }

    /// What loss does to the window: one segment less for each one lost; in the first round of recovery only what
    /// arrives is replaced; after it, the window is as before. True if conserving.
    fn recover(&mut self, windows: &mut Windows, acked: &Acked) -> bool {
        let at = &acked.at;
        let was = std::mem::replace(&mut self.prior_phase, at.phase);
        let conserved = at.in_flight.saturating_add(acked.bytes);
        windows.cwnd = windows.cwnd.saturating_sub(acked.lost).max(at.mss);
        if at.phase == Phase::Recovery && was != Phase::Recovery {
            self.conserve = true;
            self.round_end = at.delivered;
            windows.cwnd = conserved;
        } else if was >= Phase::Recovery && at.phase < Phase::Recovery {
            windows.cwnd = windows.cwnd.max(self.prior_cwnd);
            self.conserve = false;
        }
        if self.conserve {
            windows.cwnd = windows.cwnd.max(conserved);
        }
        self.conserve
    }

    /// The product of rate and round-trip time, times `gain`, bytes.
    fn product(&self, rate: u64, gain: u32, at: &Moment) -> u64 {
        match self.min_rtt {
            Some(rtt) => bytes_in(rate, rtt).saturating_mul(u64::from(gain)) / u64::from(UNIT),
            None => u64::from(initial_window(at.mss)),
        }
    }

    /// Room for three super-segments (one here, one on the way, one at the peer), in pairs of segments, for peers that
    /// acknowledge every other one; and two more to probe with.
    fn quantized(&self, product: u64, windows: &Windows, at: &Moment) -> u32 {
        let pair = 2 * u64::from(at.mss);
        let bytes = product + 3 * u64::from(self.quantum(windows, at));
        let probing = self.mode == Mode::ProbeBw && self.cycle == 0;
        let bytes = bytes.div_ceil(pair) * pair + if probing { pair } else { 0 };
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn target(&self, rate: u64, gain: u32, windows: &Windows, at: &Moment) -> u32 {
        self.quantized(self.product(rate, gain, at), windows, at)
    }

    /// Bytes of a super-segment.
    fn quantum(&self, windows: &Windows, at: &Moment) -> u32 {
        let least = if windows.pacing_rate < SLOW_RATE { 1 } else { 2 };
        let bytes = (windows.pacing_rate >> QUANTUM_SHIFT).min(u64::from(u16::MAX)) as u32;
        (bytes / at.mss).clamp(least, QUANTUM_SEGMENTS_MAX) * at.mss
    }

    /// What will be in the network when the next segment leaves: by then some more will have arrived.
    fn in_network(&self, in_flight: u32, windows: &Windows, at: &Moment) -> u32 {
        let arriving = bytes_in(self.rate(), at.send_at.saturating_since(at.now));
        let leaving = if self.pacing_gain > UNIT { self.quantum(windows, at) } else { 0 };
        u32::try_from(arriving).map_or(0, |arriving| (in_flight + leaving).saturating_sub(arriving))
    }
}

/// A pacing rate: `gain` times the rate, less the margin.
fn paced(rate: u64, gain: u32) -> u64 {
    let scaled = u128::from(rate) * u128::from(gain) * u128::from(100 - PACING_MARGIN);
    u64::try_from(scaled / (100 * u128::from(UNIT))).unwrap_or(u64::MAX)
}
