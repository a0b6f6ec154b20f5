//! The model of the path (§5.5): its rate, its round-trip time, and how much may be in flight.

use netspace_base::Duration;

use super::super::Windows;
use super::super::sample::{Acked, Lost, Moment, bytes_in, per_second};
use super::{AckPhase, Bbr3, State, UNBOUNDED, UNIT};

/// More than a fiftieth lost is too much (LossThresh).
const LOSS_DIVISOR: u64 = 50;
/// What a bound falls to, in tenths (Beta), and how much of it stays free for others, in hundredths (Headroom).
const BETA_TENTHS: u64 = 7;
const HEADROOM_PERCENT: u64 = 15;
/// How long a smallest round-trip time counts, and how often a new one is looked for.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// Rounds for which an excess counts.
const EXTRA_ROUNDS: u64 = 10;
/// Marks count where the round trip is no longer than this: elsewhere they come from queues that mark late.
const MARKS_RTT_MAX: Duration = Duration::from_millis(5);
/// Half of a round's packets marked is too much; the share is averaged over 16 rounds, and a third of it is the response.
const MARKS_DIVISOR: u64 = 2;
const MARKS_AVERAGE_SHIFT: u32 = 4;
const MARKS_RESPONSE: u64 = 3;
/// 1, as a share of marked packets.
pub(super) const SHARE_UNIT: u32 = UNIT << 8;

/// What recent losses suggest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ShortTerm {
    pub(super) rate: u64,
    pub(super) volume: u64,
}

impl ShortTerm {
    pub(super) const UNBOUNDED: Self = Self { rate: UNBOUNDED, volume: UNBOUNDED };
}

/// What was before losses that may turn out to be none (§5.5.11.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved {
    state: State,
    short: ShortTerm,
    volume_long: u64,
}

impl Default for Saved {
    fn default() -> Self {
        Self { state: State::Startup, short: ShortTerm::UNBOUNDED, volume_long: UNBOUNDED }
    }
}

/// How much was in flight when losses became too many: a lost segment is cut where they did (BBRInflightAtLoss).
pub(super) fn volume_at_loss(lost: &Lost) -> u64 {
    let size = lost.end - lost.start;
    let before = u64::from(lost.in_flight).saturating_sub(size);
    let lost_before = u64::from(lost.since).saturating_sub(size);
    before + (before / LOSS_DIVISOR).saturating_sub(lost_before) * LOSS_DIVISOR / (LOSS_DIVISOR - 1)
}

// ---- Rate --------------------------------------------------------------------------------------------------------------
impl Bbr3 {
    /// The highest rate of two probing cycles.
    pub(super) fn max_rate(&self) -> u64 {
        self.max_rates[0].max(self.max_rates[1])
    }

    /// The rate that counts (BBR.bw).
    pub(super) fn rate(&self) -> u64 {
        self.max_rate().min(self.short.rate)
    }

    fn update_round(&mut self, acked: &Acked) {
        self.round_start = acked.rate.prior_delivered >= self.round_end;
        if self.round_start {
            self.start_round(&acked.at);
            self.rounds += 1;
            self.probe_rounds += 1;
        }
    }

    fn update_max_rate(&mut self, acked: &Acked) {
        let rate = per_second(acked.rate.delivered, acked.rate.interval);
        if !acked.rate.app_limited || rate >= self.max_rate() {
            self.max_rates[0] = self.max_rates[0].max(rate);
        }
    }

    pub(super) fn advance_max_rate(&mut self) {
        if self.max_rates[0] > 0 {
            self.max_rates = [0, self.max_rates[0]];
        }
    }

    /// The most that a round has brought (BBRUpdateLatestDeliverySignals).
    pub(super) fn update_latest(&mut self, acked: &Acked) {
        let rate = per_second(acked.rate.delivered, acked.rate.interval);
        self.rate_latest = self.rate_latest.max(rate);
        self.volume_latest = self.volume_latest.max(acked.rate.delivered);
        self.loss_round_start = acked.rate.prior_delivered >= self.loss_round_end;
        if self.loss_round_start {
            self.loss_round_end = acked.at.delivered;
        }
    }

    /// A new round begins with its first sample (BBRAdvanceLatestDeliverySignals).
    pub(super) fn advance_latest(&mut self, acked: &Acked) {
        if self.loss_round_start {
            self.rate_latest = per_second(acked.rate.delivered, acked.rate.interval);
            self.volume_latest = acked.rate.delivered;
        }
    }
}

// ---- Loss and marks ----------------------------------------------------------------------------------------------------
impl Bbr3 {
    /// Once a round with loss, the short-term bounds follow what was delivered (BBRUpdateCongestionSignals).
    pub(super) fn update_congestion(&mut self, windows: &Windows, acked: &Acked) {
        self.update_round(acked);
        self.update_max_rate(acked);
        self.update_marks(acked);
        if !self.loss_round_start {
            return;
        }
        if !self.state.is_probing() && (self.loss_in_round || self.marks_in_round) {
            self.lower_short_term(windows);
        }
        self.loss_in_round = false;
        self.marks_in_round = false;
    }

    fn lower_short_term(&mut self, windows: &Windows) {
        let mut volume = self.short.volume;
        if volume == UNBOUNDED {
            volume = u64::from(windows.cwnd);
        }
        let mut lowered = UNBOUNDED;
        if self.marks_in_round {
            let kept = u64::from(SHARE_UNIT) - u64::from(self.marked_share) / MARKS_RESPONSE;
            lowered = volume * kept / u64::from(SHARE_UNIT);
        }
        if self.loss_in_round {
            let rate = if self.short.rate == UNBOUNDED { self.max_rate() } else { self.short.rate };
            self.short.rate = self.rate_latest.max(rate / 10 * BETA_TENTHS);
            lowered = lowered.min(self.volume_latest.max(volume * BETA_TENTHS / 10));
        }
        self.short.volume = lowered;
    }

    /// The share of marked packets, averaged once a round.
    fn update_marks(&mut self, acked: &Acked) {
        let counts = self.min_rtt.is_some_and(|rtt| rtt <= MARKS_RTT_MAX);
        if acked.marked > 0 {
            self.marks += u64::from(acked.marked) * u64::from(acked.at.mss);
            self.marks_in_round |= counts;
        }
        let delivered = acked.at.delivered - self.marks_delivered;
        if !self.round_start || delivered == 0 {
            return;
        }
        let marked = (self.marks - self.marks_seen).min(delivered);
        let share = (marked * u64::from(SHARE_UNIT) / delivered) as u32;
        self.marked_share -= self.marked_share >> MARKS_AVERAGE_SHIFT;
        self.marked_share = (self.marked_share + (share >> MARKS_AVERAGE_SHIFT)).min(SHARE_UNIT);
        self.marks_delivered = acked.at.delivered;
        self.marks_seen = self.marks;
        let too_many = counts && marked * MARKS_DIVISOR >= delivered;
        self.marked_rounds = if too_many { self.marked_rounds.saturating_add(1) } else { 0 };
    }

    /// Whether more than a fiftieth of what was in flight is lost, or half of what was delivered was marked
    /// (IsInflightTooHigh).
    pub(super) fn is_too_much(&self, lost: u32, in_flight: u32, marked: u64, delivered: u64) -> bool {
        let lossy = u64::from(lost) * LOSS_DIVISOR > u64::from(in_flight);
        let counts = self.min_rtt.is_some_and(|rtt| rtt <= MARKS_RTT_MAX);
        lossy || (counts && marked > 0 && marked * MARKS_DIVISOR >= delivered)
    }

    /// A probe was too much: its volume, less for the others, is the long-term bound (BBRHandleInflightTooHigh).
    pub(super) fn handle_too_much(&mut self, volume: u64, app_limited: bool, windows: &Windows, at: &Moment) {
        self.probe_samples = false;
        if !app_limited {
            self.volume_long = volume.max(self.target_volume(windows, at) * BETA_TENTHS / 10);
        }
        if self.state == State::Up {
            self.start_down(at);
        }
    }

    pub(super) fn note_loss(&mut self, lost: &Lost, at: &Moment) {
        if !self.loss_in_round {
            self.loss_round_end = at.delivered;
            self.save_model();
        }
        self.loss_in_round = true;
        self.loss_ranges += u32::from(lost.start != self.last_loss_end);
        self.last_loss_end = lost.end;
    }

    pub(super) fn save_model(&mut self) {
        self.saved = Saved { state: self.state, short: self.short, volume_long: self.volume_long };
    }

    pub(super) fn restore_model(&mut self, windows: &Windows, at: &Moment) {
        let saved = self.saved;
        self.loss_in_round = false;
        self.reset_full();
        self.short.rate = self.short.rate.max(saved.short.rate);
        self.short.volume = self.short.volume.max(saved.short.volume);
        self.volume_long = self.volume_long.max(saved.volume_long);
        if self.state == State::ProbeRtt || self.state == saved.state {
            return;
        }
        match saved.state {
            State::Startup => self.state = State::Startup,
            State::Up => self.start_up(windows, at, 0),
            _ => {}
        }
    }
}

// ---- Volume ------------------------------------------------------------------------------------------------------------
impl Bbr3 {
    /// What an ACK says of the long-term bound (BBRAdaptLongTermModel).
    pub(super) fn adapt_long_term(&mut self, windows: &Windows, acked: &Acked) {
        let sample = &acked.rate;
        if self.ack_phase == AckPhase::Starting && self.round_start {
            self.ack_phase = AckPhase::Feedback;
        }
        if self.ack_phase == AckPhase::Stopping && self.round_start {
            self.probe_samples = false;
            self.ack_phase = AckPhase::Init;
            if self.state.is_probe_bw() && !sample.app_limited {
                self.advance_max_rate();
            }
        }
        let marked = u64::from(sample.marked) * u64::from(acked.at.mss);
        if self.is_too_much(sample.lost, sample.in_flight, marked, sample.delivered) {
            if self.probe_samples {
                let volume = u64::from(sample.in_flight);
                self.handle_too_much(volume, sample.app_limited, windows, &acked.at);
            }
            return;
        }
        if self.volume_long == UNBOUNDED {
            return;
        }
        self.volume_long = self.volume_long.max(u64::from(sample.in_flight));
        if self.state == State::Up {
            self.raise_long_term(windows, acked);
        }
    }

    /// While the bound is in use, it rises: by a segment in the first round, two in the next, four, …
    /// (BBRProbeInflightLongtermUpward).
    fn raise_long_term(&mut self, windows: &Windows, acked: &Acked) {
        if !acked.cwnd_limited || u64::from(windows.cwnd) < self.volume_long {
            return;
        }
        self.up_acked += u64::from(acked.bytes);
        if self.up_acked >= self.up_bytes {
            let segments = self.up_acked / self.up_bytes;
            self.up_acked -= segments * self.up_bytes;
            self.volume_long += segments * u64::from(acked.at.mss);
        }
        if self.round_start {
            self.raise_slope(windows, &acked.at);
        }
    }

    pub(super) fn raise_slope(&mut self, windows: &Windows, at: &Moment) {
        let segments = u64::from(windows.cwnd / at.mss) >> self.up_rounds;
        self.up_rounds = (self.up_rounds + 1).min(30);
        self.up_bytes = segments.max(1) * u64::from(at.mss);
    }

    /// The product of rate and round-trip time, within the window.
    pub(super) fn target_volume(&self, windows: &Windows, at: &Moment) -> u64 {
        self.product(UNIT, at).min(u64::from(windows.cwnd))
    }

    /// The long-term bound with room for others.
    pub(super) fn volume_with_headroom(&self, at: &Moment) -> u64 {
        if self.volume_long == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = (self.volume_long * HEADROOM_PERCENT / 100).max(u64::from(at.mss));
        self.volume_long.saturating_sub(headroom).max(u64::from(super::CWND_MIN * at.mss))
    }

    /// What was acknowledged beyond the rate (BBRUpdateACKAggregation).
    pub(super) fn update_extra(&mut self, windows: &Windows, acked: &Acked) {
        let mut expected = bytes_in(self.rate(), acked.at.now.saturating_since(self.extra_at));
        if self.extra_bytes <= expected {
            self.extra_bytes = 0;
            self.extra_at = acked.at.now;
            expected = 0;
        }
        self.extra_bytes += u64::from(acked.bytes);
        let extra = self.extra_bytes.saturating_sub(expected).min(u64::from(windows.cwnd));
        let window = if self.full { EXTRA_ROUNDS } else { 1 };
        self.extra.update(window, self.rounds, extra);
    }
}

// ---- Time --------------------------------------------------------------------------------------------------------------
impl Bbr3 {
    /// §5.3.4.3.
    pub(super) fn update_min_rtt(&mut self, acked: &Acked) {
        let now = acked.at.now;
        self.probe_rtt_expired = now > self.probe_rtt_min_at + PROBE_RTT_INTERVAL;
        if let Some(rtt) = acked.rtt
            && (self.probe_rtt_min.is_none_or(|min| rtt < min)
                || (self.probe_rtt_expired && !acked.maybe_delayed))
        {
            self.probe_rtt_min = Some(rtt);
            self.probe_rtt_min_at = now;
        }
        let expired = now > self.min_rtt_at + MIN_RTT_WINDOW;
        if self.min_rtt.is_none() || self.probe_rtt_min < self.min_rtt || expired {
            self.min_rtt = self.probe_rtt_min;
            self.min_rtt_at = self.probe_rtt_min_at;
        }
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::Instant;

    use super::super::super::{Model, RateSample};
    use super::*;

    const MSS: u32 = 1_000;

    fn at(ms: u64, delivered: u64) -> Moment {
        let now = Instant::from_millis(ms);
        Moment { now, send_at: now, mss: MSS, delivered, in_flight: 50_000, ..Moment::default() }
    }

    /// A flow that is in `state`, on a path of 1 MB/s and 100 ms.
    fn flow(state: State) -> (Bbr3, Windows) {
        let mut bbr = Bbr3::new(1);
        let windows = Windows { cwnd: 200_000, ssthresh: u32::MAX, pacing_rate: 1_000_000 };
        let start = Moment { srtt: Duration::from_millis(100), ..at(0, 0) };
        bbr.begin(windows, &start);
        bbr.max_rates = [1_000_000, 0];
        bbr.full = true;
        bbr.state = state;
        bbr.probe_wait = Duration::from_secs(10);
        (bbr, windows)
    }

    fn lost(start: u64, in_flight: u32, since: u32) -> Lost {
        Lost { start, end: start + u64::from(MSS), in_flight, since, app_limited: false }
    }

    #[test]
    fn a_probe_that_loses_more_than_a_fiftieth_sets_the_bound_where_it_did() {
        let (mut bbr, windows) = flow(State::Up);
        bbr.probe_samples = true;
        bbr.on_loss(windows, &lost(0, 120_000, 1_000), &at(500, 100_000));
        assert_eq!((bbr.volume_long, bbr.state), (UNBOUNDED, State::Up), "one of 120 is chance");
        bbr.on_loss(windows, &lost(9_000, 120_000, 3_000), &at(500, 100_000));
        assert_eq!(bbr.state, State::Down);
        // 2000 were lost before; of 119000, a fiftieth is 380 more, reached 387 bytes into the lost segment.
        assert_eq!(bbr.volume_long, 119_000 + 387);
        assert_eq!(bbr.volume_with_headroom(&at(500, 0)), bbr.volume_long - bbr.volume_long * 15 / 100);
    }

    #[test]
    fn loss_while_cruising_lowers_the_short_term_bounds_once_a_round() {
        let (mut bbr, windows) = flow(State::Cruise);
        bbr.on_loss(windows, &lost(0, 100_000, 1_000), &at(500, 100_000));
        let rate = RateSample {
            delivered: 50_000,
            interval: Duration::from_millis(100),
            prior_delivered: 100_000,
            in_flight: 100_000,
            ..RateSample::default()
        };
        bbr.on_ack(windows, &Acked { at: at(600, 150_000), bytes: 1_000, rate, ..Acked::default() });
        // Seven tenths, as what was delivered is less.
        assert_eq!(bbr.short, ShortTerm { rate: 700_000, volume: 140_000 });
        assert_eq!(bbr.rate(), 700_000);
        let later = RateSample { prior_delivered: 150_000, ..rate };
        bbr.on_ack(windows, &Acked { at: at(700, 200_000), bytes: 1_000, rate: later, ..Acked::default() });
        assert_eq!(bbr.short.volume, 140_000, "nothing was lost in this round");
    }

    #[test]
    fn losses_that_were_none_are_forgotten() {
        let (mut bbr, windows) = flow(State::Up);
        bbr.probe_samples = true;
        bbr.on_loss(windows, &lost(0, 50_000, 3_000), &at(500, 100_000));
        assert!(bbr.volume_long < UNBOUNDED && bbr.state == State::Down);
        bbr.undo(windows, &at(600, 100_000));
        assert_eq!((bbr.volume_long, bbr.state), (UNBOUNDED, State::Up));
    }
}
