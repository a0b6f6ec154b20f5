//! RACK-TLP (RFC 8985): a segment is lost when one sent sufficiently later has arrived; and the probe for lost tails.

use netspace_base::{Duration, Instant};

use super::scoreboard::{Mark, Record};
use super::{AckSummary, Phase, Sender};
use crate::cc::Cause;
use crate::config::Config;

/// SACKed segments that, without known reordering, make a loss certain (RFC 5681's three duplicate ACKs).
const DUP_THRESHOLD: u32 = 3;
/// The largest reordering degree that is believed, segments (`net.ipv4.tcp_max_reordering`).
const DEGREE_MAX: u64 = 300;
/// Recoveries for which a widened reordering window stays (RFC 8985 §6.2).
const WINDOW_PERSIST: u8 = 16;
/// Added to the probe timeout, for timers that are not exact.
const PROBE_SLACK: Duration = Duration::from_millis(2);

/// RFC 8985 §5.2's variables.
#[derive(Debug, Default)]
pub(super) struct Rack {
    /// The segment sent last, of those that arrived: its order.
    newest: (u64, u64),
    /// Its round-trip time.
    rtt: Duration,
    /// The highest end that arrived.
    forward: u64,
    /// Segments were seen to arrive out of order.
    reordering: bool,
    /// By how many segments at most, if by more than three.
    degree: u32,
    /// The reordering window in quarters of the smallest round trip, and for how many more recoveries.
    window_quarters: u8,
    window_persist: u8,
    /// A duplicate report widens the window once a round trip, which ends here.
    dsack_round_end: u64,
    /// When segments now within the reordering window will be lost.
    pub(super) due_at: Option<Instant>,
}

impl Rack {
    /// A segment deemed lost was only late.
    pub(super) fn note_reordering(&mut self) {
        self.reordering = true;
    }
}

impl Sender {
    /// The reordering degree that `tcp_info` tells, segments.
    pub(crate) fn reordering_degree(&self) -> u32 {
        self.rack.degree.max(DUP_THRESHOLD)
    }

    /// Whether the path was seen to reorder by more than three segments.
    pub(super) fn reorders(&self) -> bool {
        self.rack.degree > DUP_THRESHOLD
    }

    /// When the reordering window ends for segments that are late, if any are.
    pub(crate) fn reordering_due(&self) -> Option<Instant> {
        self.rack.due_at
    }

    /// After an ACK: deems lost what is.
    pub(super) fn detect_losses(&mut self, now: Instant, summary: &mut AckSummary) {
        if !self.sack {
            return self.count_duplicates(summary);
        }
        self.update_rack(now, summary);
        if self.board.is_empty() {
            self.rack.due_at = None;
            return;
        }
        if summary.delivered > 0 || summary.dsack.is_some() {
            summary.newly_lost = self.mark_overdue(now);
        }
    }

    /// The reordering timer ended (RFC 8985 §6.3): true if something was lost.
    pub(crate) fn on_reordering_timeout(&mut self, now: Instant) -> bool {
        let mut summary = AckSummary { newly_lost: self.mark_overdue(now), ..AckSummary::default() };
        self.advance_phase(now, &mut summary);
        self.report_losses(now);
        summary.newly_lost > 0
    }

    /// RFC 8985 §6.2 steps 1 to 3.
    fn update_rack(&mut self, now: Instant, summary: &AckSummary) {
        // A retransmission's ACK may be that of the original: believed only if it is not quicker than any ACK was, and
        // does not echo an earlier timestamp (which SACKs of out-of-order segments always do: RFC 7323 §4.3).
        let echo = summary.echo.filter(|_| summary.acked > 0);
        let believed = |at: Instant| {
            now.saturating_since(at) >= self.rtt.min().unwrap_or_default() && !self.echoes_before(echo, at)
        };
        let newest = summary.newest_original.max(summary.newest_resent.filter(|&(_, at)| believed(at)));
        // The round trip is that of the segment looked at last, not of the newest.
        let last = summary.last_original.max(summary.last_resent.filter(|&(_, at)| believed(at)));
        if let Some((_, at)) = last {
            self.rack.rtt = now.saturating_since(at);
        }
        if let Some((order, _)) = newest {
            self.rack.newest = self.rack.newest.max(order);
        }
        if let Some((start, _)) = summary.lowest_original.filter(|&(_, end)| end < self.rack.forward) {
            self.rack.reordering = true;
            // With nothing SACKed any more, Linux counts from what is acknowledged.
            let forward = if self.board.sacked == 0 { self.una } else { self.rack.forward };
            let degree = forward.saturating_sub(start).div_ceil(u64::from(self.mss));
            self.rack.degree = self.rack.degree.max(degree.min(DEGREE_MAX) as u32);
        }
        self.rack.forward = self.rack.forward.max(summary.highest);
        if summary.dsack.is_some() && self.una >= self.rack.dsack_round_end {
            self.rack.dsack_round_end = self.nxt;
            self.rack.window_quarters = self.rack.window_quarters.saturating_add(1).min(64);
            self.rack.window_persist = WINDOW_PERSIST;
        }
    }

    /// Whether the echoed timestamp is from before `at`: the ACK is for an earlier transmission.
    fn echoes_before(&self, echo: Option<u32>, at: Instant) -> bool {
        let clock = self.recovery.timestamp_offset.wrapping_add(at.as_millis() as u32);
        echo.is_some_and(|echo| (echo.wrapping_sub(clock) as i32) < 0)
    }

    /// A recovery ended: the widened window lasts for some more.
    pub(super) fn end_rack_round(&mut self) {
        self.rack.window_persist = self.rack.window_persist.saturating_sub(1);
        if self.rack.window_persist == 0 {
            self.rack.window_quarters = 0;
        }
    }

    /// RFC 8985 §6.2 step 4.
    fn reordering_window(&self) -> Duration {
        let recovering = matches!(self.recovery.phase, Phase::Recovery | Phase::Loss);
        if !self.rack.reordering && (recovering || self.board.sacked >= DUP_THRESHOLD * self.mss) {
            return Duration::ZERO;
        }
        let quarters = u32::from(self.rack.window_quarters) + 1;
        let window = self.rtt.min().unwrap_or_default() / 4 * quarters;
        window.min(self.rtt.srtt().unwrap_or_default())
    }

    /// RFC 8985 §6.2 step 5: marks lost what was sent before the newest arrival by more than the reordering window;
    /// what is within the window will be when it ends.
    fn mark_overdue(&mut self, now: Instant) -> u32 {
        let allowance = self.rack.rtt + self.reordering_window();
        let newest = self.rack.newest;
        let mut due_at: Option<Instant> = None;
        // Records never sent again are in the order of time: after the first that is newer, nothing older comes.
        let stop = |record: &Record| {
            !record.marks.intersects(Mark::EVER_RETRANS | Mark::SACKED) && record.sent_order() > newest
        };
        let lost = self.board.mark_lost(stop, |record| {
            if record.sent_order() > newest {
                return false;
            }
            let at = record.sent_at + allowance;
            if at > now {
                due_at = due_at.max(Some(at));
            }
            at <= now
        });
        self.rack.due_at = due_at;
        lost
    }

    /// RFC 8985 §6.3: at a retransmission timeout, the oldest segment is lost, and all others that are as old as a
    /// round trip.
    pub(super) fn mark_timed_out(&mut self, now: Instant) {
        let round_trip = self.rtt.srtt().unwrap_or_default().max(self.rack.rtt);
        let first = self.una;
        let sack = self.sack;
        self.board.mark_lost(
            |_| false,
            |record| !sack || record.start <= first || record.sent_at + round_trip <= now,
        );
        self.rack.due_at = None;
    }

    /// RFC 5681 §3.2, RFC 6582: without SACK, three duplicate ACKs tell that the oldest segment is lost.
    fn count_duplicates(&mut self, summary: &mut AckSummary) {
        if summary.acked > 0 {
            let counted = self.recovery.dup_acked(self.mss);
            self.recovery.dup_acks = 0;
            summary.delivered = summary.acked.saturating_sub(counted).max(self.mss.min(summary.acked));
            return;
        }
        if !summary.duplicate {
            return;
        }
        self.recovery.dup_acks += 1;
        summary.delivered = self.mss;
        let open = matches!(self.recovery.phase, Phase::Open | Phase::Disorder);
        if open && self.recovery.dup_acks >= DUP_THRESHOLD && self.una > self.recovery.recover {
            summary.newly_lost = self.board.lose_front(self.mss);
        }
    }

    /// When a tail loss probe is to go, if one may (RFC 8985 §7.2).
    pub(crate) fn tail_probe_timeout(&self, config: &Config) -> Option<Duration> {
        let open = matches!(self.recovery.phase, Phase::Open | Phase::Cwr);
        let possible = config.tail_loss_probe && self.sack && open && self.board.sacked == 0;
        if !possible || self.probe_end.is_some() || self.board.is_empty() {
            return None;
        }
        let Some(srtt) = self.rtt.srtt() else { return Some(config.rto_initial) };
        // A single segment's ACK may be delayed.
        let delay = if self.in_flight() <= self.mss { config.rto_min } else { PROBE_SLACK };
        Some(srtt * 2 + delay)
    }

    /// A probe is going out; it repeats data or is new.
    pub(super) fn begin_tail_probe(&mut self, resent: bool) {
        self.probe_end = Some(self.nxt);
        self.probe_resent = resent;
    }

    /// RFC 8985 §7.4: if the probe repaired a loss, nobody else will have noticed it: the window must fall.
    pub(super) fn end_tail_probe(&mut self, summary: &AckSummary) {
        let Some(end) = self.probe_end else { return };
        if !self.probe_resent {
            if self.una >= end {
                self.probe_end = None;
            }
            return;
        }
        if summary.dsack.is_some_and(|(_, dsack_end)| dsack_end >= end) {
            // Both copies arrived: nothing was lost.
            self.probe_end = None;
        } else if self.una > end || (self.una == end && summary.acked == 0 && summary.duplicate) {
            self.probe_end = None;
            if self.una > end && matches!(self.recovery.phase, Phase::Open | Phase::Disorder) {
                self.enter_cwr(Cause::Loss);
            }
        }
    }

    pub(super) fn forget_tail_probe(&mut self) {
        self.probe_end = None;
    }
}
