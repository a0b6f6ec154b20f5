//! What the congestion window does about loss: the phases of recovery, proportional rate reduction, and taking a
//! reduction back that was a mistake.
//!
//! ```text
//! Open ⇄ Disorder ──(lost)── Recovery ──(all acknowledged)── Open
//!   └─(ECN, probe repaired)─ Cwr ───────────────────────────── ┘
//!   any ──(timeout)── Loss ──(all acknowledged, or it was spurious)── Open
//! ```
//! RFC 5681, 6582 (NewReno), 6675 and 8985 (SACK), 6937 (rate reduction), 5682 (F-RTO), 3522 (Eifel), 3708 (D-SACK).

use netspace_base::Instant;

use super::{AckSummary, ProbeOutcome, Sender};
use crate::cc::{Cause, Phase};

/// The state of recovery.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    /// It ends when this is acknowledged.
    end: u64,
    /// Without SACK: the highest number sent when the last recovery began (RFC 6582's recover).
    pub(super) recover: u64,
    /// Duplicate ACKs, without SACK.
    pub(super) dup_acks: u32,
    /// Windows before the reduction.
    prior_cwnd: u32,
    prior_ssthresh: u32,
    /// From where the reduction can be taken back; 0 = it cannot.
    undo_from: u64,
    /// Bytes sent again since, and those not yet reported as duplicates.
    undo_resent: u32,
    undo_left: u32,
    /// Our timestamp when the first segment was sent again.
    first_resent_clock: Option<u32>,
    /// The offset of the timestamp clock.
    pub(crate) timestamp_offset: u32,
    /// Rate reduction: bytes delivered and sent since recovery began.
    prr_delivered: u32,
    prr_sent: u32,
    /// ECN told of congestion since: the reduction was right whatever else it was.
    marked: bool,
    /// The timeout may have been spurious: no doubt has come up yet (F-RTO).
    frto: bool,
    /// F-RTO without SACK: new data goes before anything goes again (RFC 5682 §2.1, step 2b).
    pub(super) new_first: bool,
}

impl Recovery {
    /// Without SACK, each duplicate ACK stands for a segment that has arrived.
    pub(super) fn dup_acked(&self, mss: u32) -> u32 {
        self.dup_acks.saturating_mul(mss)
    }

    /// `len` bytes were sent while the window is being reduced.
    pub(super) fn on_sent(&mut self, len: u32) {
        self.prr_sent = self.prr_sent.saturating_add(len);
    }

    /// `len` bytes were sent again.
    pub(super) fn on_resent(&mut self, now: Instant, len: u32) {
        self.undo_resent += len;
        self.undo_left += len;
        let clock = self.timestamp_offset.wrapping_add(now.as_millis() as u32);
        self.first_resent_clock.get_or_insert(clock);
    }
}

impl Sender {
    /// Moves the phase on after an ACK or after losses were found.
    pub(super) fn advance_phase(&mut self, now: Instant, summary: &mut AckSummary) {
        self.take_dsack(now, summary);
        self.recovery.marked |= summary.ce.congestion;
        self.judge_mtu_probe(summary);
        let holds = matches!(self.recovery.phase, Phase::Cwr | Phase::Recovery | Phase::Loss);
        // What ends a reduction must have been sent after it, or CWR could be told too early (RFC 3168 §6.1.2).
        let over = self.una > self.recovery.end
            || (self.una == self.recovery.end && self.recovery.phase != Phase::Cwr);
        if holds && over {
            self.end_recovery(now, summary);
        }
        match self.recovery.phase {
            Phase::Recovery => self.continue_recovery(now, summary),
            Phase::Loss => self.continue_loss(now, summary),
            Phase::Open | Phase::Disorder | Phase::Cwr => {
                if self.board.lost > 0 {
                    self.enter_recovery(summary);
                } else if summary.ce.congestion && self.recovery.phase != Phase::Cwr {
                    self.enter_cwr(Cause::Marks);
                    self.recovery.marked = true;
                    self.reduce_rate(summary);
                } else if self.recovery.phase == Phase::Cwr {
                    self.reduce_rate(summary);
                } else {
                    let disorder = self.board.sacked > 0 || self.recovery.dup_acks > 0;
                    self.recovery.phase = if disorder { Phase::Disorder } else { Phase::Open };
                }
            }
        }
    }

    /// The window is to fall although nothing needs to be sent again.
    pub(super) fn enter_cwr(&mut self, cause: Cause) {
        self.remember_windows();
        self.recovery.undo_from = 0;
        self.begin_reduction(cause);
        self.recovery.phase = Phase::Cwr;
    }

    fn enter_recovery(&mut self, summary: &AckSummary) {
        if self.recovery.phase != Phase::Cwr {
            self.remember_windows();
            self.recovery.marked = summary.ce.congestion;
            self.begin_reduction(Cause::Loss);
        }
        self.recovery.end = self.nxt;
        self.recovery.recover = self.nxt;
        self.recovery.phase = Phase::Recovery;
        self.forget_tail_probe();
        self.reduce_rate(summary);
        if !self.cc.is_model() {
            // Fast retransmit: the first lost segment goes at once.
            self.cc.cwnd = self.cc.cwnd.max(self.pipe() + self.mss);
        }
    }

    /// RFC 6298 (5.4) to (5.7) and RFC 5681 (4): the retransmission timer fired.
    pub(crate) fn on_rto(&mut self, now: Instant, frto: bool) {
        let fresh = self.recovery.phase != Phase::Loss;
        if fresh || self.una >= self.recovery.end {
            if matches!(self.recovery.phase, Phase::Open | Phase::Disorder) {
                self.remember_windows();
            }
            self.cc.on_congestion(self.mss, Cause::Loss);
            self.cwr_due = true;
        }
        let open = matches!(self.recovery.phase, Phase::Open | Phase::Disorder | Phase::Cwr);
        self.recovery.frto = frto && (open || (self.recovery.frto && !fresh)) && self.mtu_probe.is_none();
        self.recovery.new_first = false;
        self.mtu_probe = None;
        if self.board.front().is_some_and(|front| front.marks.contains(super::Mark::SACKED)) {
            // The peer gave up data that it had SACKed (RFC 2018 §8).
            self.board.forget_sacks();
        }
        self.mark_timed_out(now);
        self.recovery.phase = Phase::Loss;
        self.recovery.end = self.nxt;
        self.recovery.recover = self.nxt;
        self.recovery.dup_acks = 0;
        self.forget_tail_probe();
        self.cc.cwnd = self.pipe() + self.mss;
        self.report_losses(now);
        self.cc.on_timeout(&self.moment(now));
        self.rtt.backoff = self.rtt.backoff.saturating_add(1);
        self.rto_from = now;
    }

    /// Something is to be sent again, but not because of congestion.
    pub(super) fn repair_without_reduction(&mut self) {
        if self.board.lost == 0 || matches!(self.recovery.phase, Phase::Recovery | Phase::Loss) {
            return;
        }
        self.recovery.phase = Phase::Loss;
        self.recovery.end = self.nxt;
        self.recovery.undo_from = 0;
        self.recovery.frto = false;
    }

    fn remember_windows(&mut self) {
        self.recovery.prior_cwnd = self.cc.cwnd;
        self.recovery.prior_ssthresh = self.cc.ssthresh;
        self.recovery.undo_from = self.una;
        // What an earlier recovery sent again may still be under way: its ACK echoes a time before anything is sent again
        // now, and yet is no sign of a mistake.
        self.recovery.undo_resent = self.board.retrans;
        self.recovery.undo_left = self.board.retrans;
        self.recovery.marked = false;
        if self.board.retrans == 0 {
            self.recovery.first_resent_clock = None;
        }
    }

    fn begin_reduction(&mut self, cause: Cause) {
        self.recovery.prior_cwnd = self.cc.cwnd;
        self.cc.on_congestion(self.mss, cause);
        self.cwr_due = true;
        self.recovery.end = self.nxt;
        self.recovery.prr_delivered = 0;
        self.recovery.prr_sent = 0;
    }

    /// In Recovery an ACK came: a partial one may show that it was all a mistake; NewReno finds the next hole by it.
    fn continue_recovery(&mut self, now: Instant, summary: &mut AckSummary) {
        if summary.acked > 0 && self.was_spurious(summary) {
            self.rack.note_reordering();
            self.undo(now);
            return;
        }
        if !self.sack && summary.acked > 0 {
            // RFC 6582 §3.2 step 3, partial acknowledgement.
            summary.newly_lost += self.board.lose_front(self.mss);
        }
        self.reduce_rate(summary);
    }

    /// In Loss an ACK came. If it is for an original that was sent before the timeout, the timeout was spurious.
    fn continue_loss(&mut self, now: Instant, summary: &mut AckSummary) {
        self.recovery.new_first = false;
        // Without SACK an ACK for what was sent again may cover originals that had waited for it.
        let original = summary.lowest_original.is_some_and(|(_, end)| end <= self.recovery.end)
            && (self.sack || !summary.retransmitted_acked);
        if (self.recovery.frto && original) || (summary.acked > 0 && self.was_spurious(summary)) {
            summary.spurious_timeout = true;
            self.undo(now);
        } else if self.recovery.frto && !self.sack {
            self.test_timeout(summary);
        } else if summary.delivered > 0 && summary.retransmitted_acked {
            self.recovery.frto = false;
        }
    }

    /// F-RTO without SACK (RFC 5682 §2.1): after the first ACK, two new segments tell by theirs whether the rest had arrived.
    fn test_timeout(&mut self, summary: &AckSummary) {
        let tested = self.nxt > self.recovery.end;
        let new_data = self.unsent() > 0 && self.window_end() > self.nxt;
        if summary.acked > 0 && !tested && new_data {
            // Step 2b.
            self.recovery.end = self.nxt;
            self.recovery.new_first = true;
        } else if summary.acked > 0 || summary.duplicate {
            // Steps 2a and 3a: the loss was real.
            self.recovery.frto = false;
        }
    }

    /// RFC 4821 §7.6: a probe that alone is lost was too large; congestion is not to blame.
    fn judge_mtu_probe(&mut self, summary: &mut AckSummary) {
        let Some((start, end)) = self.mtu_probe else { return };
        let open = matches!(self.recovery.phase, Phase::Open | Phase::Disorder);
        summary.mtu_probe = if self.una >= end {
            Some(ProbeOutcome::Passed)
        } else if self.board.lost > 0 && open && self.una == start {
            self.repair_without_reduction();
            Some(ProbeOutcome::Lost)
        } else if self.board.lost > 0 {
            Some(ProbeOutcome::Unknown)
        } else {
            return;
        };
        self.mtu_probe = None;
    }

    /// All that was sent before recovery began is acknowledged.
    fn end_recovery(&mut self, now: Instant, summary: &AckSummary) {
        let phase = self.recovery.phase;
        self.recovery.phase = Phase::Open;
        self.recovery.dup_acks = 0;
        self.end_rack_round();
        if phase != Phase::Cwr && self.was_spurious(summary) {
            self.rack.note_reordering();
            self.undo(now);
            return;
        }
        if phase != Phase::Loss && !self.cc.is_model() {
            // RFC 6937: the reduction is complete.
            self.cc.cwnd = self.cc.ssthresh.min(self.recovery.prior_cwnd).max(self.mss);
        }
    }

    /// RFC 6937, in bytes: while recovering, send in proportion to what is delivered, so that the window comes to
    /// ssthresh just when the round trip ends; below it, as fast as slow start, while nothing more is lost.
    fn reduce_rate(&mut self, summary: &AckSummary) {
        if self.cc.is_model() || (summary.delivered == 0 && self.recovery.prr_sent > 0) {
            return;
        }
        let recovery = &mut self.recovery;
        recovery.prr_delivered = recovery.prr_delivered.saturating_add(summary.delivered);
        let (delivered, sent) = (recovery.prr_delivered, recovery.prr_sent);
        let prior = u64::from(recovery.prior_cwnd.max(1));
        let pipe = self.pipe();
        let ssthresh = self.cc.ssthresh;
        let quota = if pipe > ssthresh {
            let share = (u64::from(delivered) * u64::from(ssthresh)).div_ceil(prior) as u32;
            share.saturating_sub(sent)
        } else {
            let progress = summary.acked > 0 && summary.newly_lost == 0;
            let bonus = if progress { self.mss } else { 0 };
            (delivered.saturating_sub(sent).max(summary.delivered) + bonus).min(ssthresh - pipe)
        };
        self.cc.cwnd = (pipe + quota).max(self.mss);
    }

    /// RFC 2883, 3708: a duplicate was reported; it may have been of our making.
    fn take_dsack(&mut self, now: Instant, summary: &AckSummary) {
        let Some((start, end)) = summary.dsack else { return };
        let recovery = &mut self.recovery;
        if recovery.undo_from == 0 || start < recovery.undo_from {
            return;
        }
        recovery.undo_left = recovery.undo_left.saturating_sub((end - start) as u32);
        // A superfluous retransmission means that the original was late, not lost.
        self.rack.note_reordering();
        let open = matches!(recovery.phase, Phase::Open | Phase::Disorder);
        if open && recovery.undo_resent > 0 && recovery.undo_left == 0 {
            self.undo(now);
        }
    }

    /// Eifel (RFC 3522): the ACK answers a segment sent before the first retransmission. Or D-SACK told that every
    /// retransmission was superfluous.
    fn was_spurious(&self, summary: &AckSummary) -> bool {
        let recovery = &self.recovery;
        if recovery.undo_from == 0 {
            return false;
        }
        let eifel = match (summary.echo, recovery.first_resent_clock) {
            (Some(echo), Some(clock)) => (echo.wrapping_sub(clock) as i32) < 0,
            _ => false,
        };
        eifel || (recovery.undo_resent > 0 && recovery.undo_left == 0)
    }

    fn undo(&mut self, now: Instant) {
        let at = self.moment(now);
        let recovery = &mut self.recovery;
        let (cwnd, ssthresh) = (recovery.prior_cwnd, recovery.prior_ssthresh);
        recovery.undo_from = 0;
        recovery.frto = false;
        recovery.phase = Phase::Open;
        if !self.recovery.marked {
            self.cc.undo(cwnd, ssthresh, &at);
            self.cwr_due = false;
        }
        self.board.forget_losses();
    }
}
