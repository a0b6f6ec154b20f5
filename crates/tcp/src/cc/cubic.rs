//! CUBIC (RFC 9438), in whole numbers: bytes and milliseconds, so that it is the same on every machine.
//!
//! ```text
//! W(t) = 0.4·(t − K)³ segments + W_max        K = ∛((W_max − cwnd) / 0.4)
//!            ╭──────── probing
//! W_max ─────╯  plateau at t = K
//!       ╱ concave
//! ```

use netspace_base::{Duration, Instant};

use super::hystart::HyStart;
use super::{Acked, Cause, Window};

/// β = 0.7 (§4.6), in tenths.
const BETA_TENTHS: u64 = 7;
/// C = 0.4 (§5), in tenths.
const C_TENTHS: u64 = 4;

#[derive(Debug, Default)]
pub(super) struct Cubic {
    /// When this epoch of congestion avoidance began.
    epoch: Option<Instant>,
    /// The plateau, bytes.
    w_max: u32,
    /// `w_max` before the last reduction, to take it back.
    w_max_prior: u32,
    /// Time from the epoch's start to the plateau.
    k_ms: u64,
    /// What Reno would have by now (§4.3), bytes.
    w_est: u32,
    /// Bytes² that did not make a whole byte yet, of the cubic and of the Reno window.
    remainder: u64,
    remainder_est: u64,
    /// The way out of the first slow start.
    hystart: HyStart,
}

impl Window for Cubic {
    /// RFC 9406 §4.3: HyStart++ only before the first loss.
    fn start(&mut self, acked: &Acked, first: bool) -> (u32, bool) {
        if first { self.hystart.on_ack(acked) } else { (acked.bytes, false) }
    }

    /// §4.2–4.5: the larger of the cubic window one round trip from now and what Reno would have.
    fn grow(&mut self, cwnd: u32, acked: &Acked) -> u32 {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(acked.at.now, cwnd, acked.at.mss),
        };
        let elapsed_ms = acked.at.now.saturating_since(epoch).as_millis() as u64;
        let target = self.window_at(elapsed_ms + acked.at.srtt.as_millis() as u64, acked.at.mss);
        let target = target.clamp(u64::from(cwnd), u64::from(cwnd) * 3 / 2);
        self.grow_reno_estimate(cwnd, acked);
        let more = (target - u64::from(cwnd)).max(self.behind_reno(cwnd, acked.at.mss));
        self.remainder += more * u64::from(acked.bytes);
        let grown = cwnd.saturating_add((self.remainder / u64::from(cwnd)) as u32);
        self.remainder %= u64::from(cwnd);
        grown
    }

    /// §4.6 and §4.7: the window after congestion; remembers the plateau, lower when the last was not reached again, so
    /// that room is left for newcomers (fast convergence).
    fn reduce(&mut self, cwnd: u32, _cause: Cause) -> u32 {
        self.epoch = None;
        self.w_max_prior = self.w_max;
        self.w_max =
            if cwnd < self.w_max { (u64::from(cwnd) * (10 + BETA_TENTHS) / 20) as u32 } else { cwnd };
        (u64::from(cwnd) * BETA_TENTHS / 10) as u32
    }

    fn undo(&mut self) {
        self.epoch = None;
        self.w_max = self.w_max_prior.max(self.w_max);
    }

    /// §5.8: time without sending does not count.
    fn on_idle_end(&mut self, idle: Duration) {
        if let Some(epoch) = &mut self.epoch {
            *epoch += idle;
        }
    }
}

impl Cubic {
    fn begin_epoch(&mut self, now: Instant, cwnd: u32, mss: u32) -> Instant {
        if self.w_max < cwnd {
            self.w_max = cwnd;
            self.k_ms = 0;
        } else {
            // K³ = (W_max − cwnd) / C segments·s³; in ms³: · 10⁹.
            let short = u64::from(self.w_max - cwnd) * 10 / C_TENTHS;
            self.k_ms = cube_root(short * 1_000_000_000 / u64::from(mss));
        }
        self.w_est = cwnd;
        self.remainder = 0;
        self.remainder_est = 0;
        self.epoch = Some(now);
        now
    }

    /// W_cubic(t), bytes.
    fn window_at(&self, t_ms: u64, mss: u32) -> u64 {
        let from_plateau = u128::from(t_ms.abs_diff(self.k_ms));
        let change = from_plateau.pow(3) * u128::from(C_TENTHS * u64::from(mss)) / 10_000_000_000;
        let change = u64::try_from(change).unwrap_or(u64::MAX);
        let plateau = u64::from(self.w_max);
        if t_ms < self.k_ms { plateau.saturating_sub(change) } else { plateau.saturating_add(change) }
    }

    /// §4.3: α = 3(1−β)/(1+β) = 9/17 segment each round trip, also beyond the former window: the RFC has a whole segment
    /// there, Linux does not.
    fn grow_reno_estimate(&mut self, cwnd: u32, acked: &Acked) {
        self.remainder_est += u64::from(acked.bytes) * u64::from(acked.at.mss) * 9 / 17;
        self.w_est = self.w_est.saturating_add((self.remainder_est / u64::from(cwnd)) as u32);
        self.remainder_est %= u64::from(cwnd);
    }

    /// By how much Reno would be ahead, in whole segments: made up for within a round trip, as Linux does, where the RFC
    /// jumps there.
    fn behind_reno(&self, cwnd: u32, mss: u32) -> u64 {
        u64::from((self.w_est / mss).saturating_sub(cwnd / mss)) * u64::from(mss)
    }
}

/// ⌊∛n⌋, bit by bit.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..22).rev() {
        let candidate = root | 1 << bit;
        if candidate.checked_pow(3).is_some_and(|cube| cube <= n) {
            root = candidate;
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots_are_exact() {
        for n in [0u64, 1, 7, 8, 26, 27, 1_000_000, 999_999_999_999, u64::MAX] {
            let root = cube_root(n);
            assert!(root.pow(3) <= n);
            assert!((root + 1).checked_pow(3).is_none_or(|cube| cube > n));
        }
    }
}
