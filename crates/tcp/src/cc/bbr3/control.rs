//! Pacing rate and window (§5.6).

use netspace_base::Duration;

use super::super::sample::{Acked, Moment, Phase, bytes_in, per_second};
use super::super::{Windows, initial_window};
use super::{Bbr3, CWND_MIN, State, UNBOUNDED, UNIT};

/// Pacing stays so many per cent below the rate, so that queues drain.
const PACING_MARGIN: u64 = 1;
/// The first guess of a round-trip time that is not known.
const RTT_GUESS: Duration = Duration::from_millis(1);
/// A super-segment holds a millisecond's worth, at most so many bytes.
const QUANTUM_TIME: Duration = Duration::from_millis(1);
const QUANTUM_MAX: u64 = 64 << 10;

impl Bbr3 {
    pub(super) fn first_pacing_rate(&mut self, cwnd: u32, srtt: Duration) -> u64 {
        self.measured = !srtt.is_zero();
        let rtt = if self.measured { srtt } else { RTT_GUESS };
        scaled(per_second(u64::from(cwnd), rtt), State::Startup.gains().0)
    }

    /// Until the pipe is known to be full, the rate only rises.
    pub(super) fn set_pacing_rate(&mut self, windows: &mut Windows, at: &Moment, gain: u32) {
        if !self.measured && !at.srtt.is_zero() {
            windows.pacing_rate = self.first_pacing_rate(windows.cwnd, at.srtt);
        }
        let rate = scaled(self.rate(), gain) / 100 * (100 - PACING_MARGIN);
        if self.full || rate > windows.pacing_rate {
            windows.pacing_rate = rate;
        }
    }

    /// `gain` times the product of rate and round-trip time (BBRBDPMultiple).
    pub(super) fn product(&self, gain: u32, at: &Moment) -> u64 {
        match self.min_rtt {
            Some(rtt) => scaled(bytes_in(self.rate(), rtt), gain),
            None => u64::from(initial_window(at.mss)),
        }
    }

    /// What is to be in flight at that gain (BBRInflight).
    pub(super) fn inflight(&self, gain: u32, windows: &Windows, at: &Moment) -> u64 {
        self.budget(self.product(gain, at), windows, at)
    }

    /// At least three super-segments, and two segments more to probe with (BBRQuantizationBudget).
    fn budget(&self, volume: u64, windows: &Windows, at: &Moment) -> u64 {
        let mss = u64::from(at.mss);
        let quantum = bytes_in(windows.pacing_rate, QUANTUM_TIME).min(QUANTUM_MAX).max(2 * mss);
        let volume = volume.max(3 * quantum).max(u64::from(CWND_MIN) * mss);
        volume + if self.state == State::Up { 2 * mss } else { 0 }
    }

    pub(super) fn probe_rtt_cwnd(&self, at: &Moment) -> u32 {
        let half = self.product(State::ProbeRtt.gains().1, at).max(u64::from(CWND_MIN * at.mss));
        u32::try_from(half).unwrap_or(u32::MAX)
    }

    /// Recovery is over: the window is as before, within the model's bounds.
    pub(super) fn leave_recovery(&mut self, windows: &mut Windows, acked: &Acked) {
        let was = std::mem::replace(&mut self.prior_phase, acked.at.phase);
        if was >= Phase::Recovery && acked.at.phase < Phase::Recovery {
            windows.cwnd = windows.cwnd.max(self.prior_cwnd);
        }
    }

    /// §5.6.4.6.
    pub(super) fn set_cwnd(&mut self, windows: &mut Windows, acked: &Acked) {
        let at = &acked.at;
        let least = CWND_MIN * at.mss;
        let volume = self.product(self.state.gains().1, at).saturating_add(self.extra.get());
        let most = u32::try_from(self.budget(volume, windows, at)).unwrap_or(u32::MAX);
        let grown = windows.cwnd.saturating_add(acked.bytes);
        if self.full {
            windows.cwnd = grown.min(most);
        } else if windows.cwnd < most || at.delivered < u64::from(initial_window(at.mss)) {
            windows.cwnd = grown;
        }
        windows.cwnd = windows.cwnd.max(least);
        if self.state == State::ProbeRtt {
            windows.cwnd = windows.cwnd.min(self.probe_rtt_cwnd(at));
        }
        windows.cwnd = windows.cwnd.min(self.cap(at).max(least));
    }

    /// What recent congestion allows (BBRBoundCwndForModel).
    fn cap(&self, at: &Moment) -> u32 {
        let long = match self.state {
            State::Down | State::Refill | State::Up => self.volume_long,
            State::Cruise | State::ProbeRtt => self.volume_with_headroom(at),
            State::Startup | State::Drain => UNBOUNDED,
        };
        u32::try_from(long.min(self.short.volume)).unwrap_or(u32::MAX)
    }
}

fn scaled(value: u64, gain: u32) -> u64 {
    u64::try_from(u128::from(value) * u128::from(gain) / u128::from(UNIT)).unwrap_or(u64::MAX)
}
