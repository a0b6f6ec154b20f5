//! What is in flight: one record for each segment sent and not yet acknowledged, in sequence order.
//!
//! A record may stand for a super-segment; it is cut where an ACK, a SACK block or a retransmission falls within it.
//! SACKed neighbours are joined, so that the list stays as short as there are holes.
//!
//! ```text
//! una                                        nxt
//!  │ lost, sent again │ SACKed │ lost │ SACKed │ in flight │
//! pipe = in flight − SACKed − lost + sent again          (RFC 6675 §4, in bytes)
//! ```

use std::collections::VecDeque;

use bitflags::bitflags;
use netspace_base::Instant;

use super::AckSummary;
use super::rate::Stamp;
use crate::cc::Lost;

/// Records for which an idle connection keeps room.
const CAPACITY_IDLE: usize = 32;

/// Records beyond which SACK blocks no longer cut: a hostile peer could else leave one for each byte.
const RECORDS_CUT_MAX: usize = 16 << 10;

bitflags! {
    /// What happened to a record.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(super) struct Mark: u8 {
        /// The peer has it, out of order.
        const SACKED = 1;
        /// Deemed lost.
        const LOST = 2;
        /// Sent again, and that copy is in flight.
        const RETRANS = 4;
        /// Sent more than once (Karn).
        const EVER_RETRANS = 8;
        /// Its last byte was pushed (PSH): a copy says so too.
        const PUSHED = 16;
    }
}

/// A segment in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) start: u64,
    pub(super) end: u64,
    /// When it was last sent, and as the how many-th transmission: moments can be equal.
    pub(super) sent_at: Instant,
    pub(super) order: u64,
    /// What delivery-rate samples are made of.
    pub(super) stamp: Stamp,
    pub(super) marks: Mark,
}

impl Record {
    /// What tells which of two records was sent later (RFC 8985 §6.2, RACK_sent_after).
    pub(super) fn sent_order(&self) -> (u64, u64) {
        (self.order, self.end)
    }

    fn len(&self) -> u32 {
        (self.end - self.start) as u32
    }

    fn is(&self, mark: Mark) -> bool {
        self.marks.contains(mark)
    }

    /// To be sent again and not yet.
    pub(super) fn awaits_resend(&self) -> bool {
        self.is(Mark::LOST) && !self.marks.intersects(Mark::RETRANS | Mark::SACKED)
    }
}

/// Ranges newly lost: boxed, as most connections keep none.
#[derive(Debug, Default)]
struct LossLog(Vec<Lost>);

/// The records and their sums.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    records: VecDeque<Record>,
    /// Bytes SACKed, lost (sent again or not), sent again and in flight.
    pub(super) sacked: u32,
    pub(super) lost: u32,
    pub(super) retrans: u32,
    /// Bytes deemed lost so far, each time anew.
    pub(super) lost_total: u64,
    /// What was newly lost, if congestion control wants to know.
    losses: Option<Box<LossLog>>,
    /// Below this nothing waits to be sent again.
    resend_hint: u64,
}

impl Scoreboard {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Record> {
        self.records.front()
    }

    pub(super) fn back(&self) -> Option<&Record> {
        self.records.back()
    }

    /// Whether ranges that are lost are noted for [`Scoreboard::take_losses`].
    pub(super) fn watch_losses(&mut self, on: bool) {
        self.losses = on.then(Box::default);
    }

    /// The ranges lost since the last call.
    pub(super) fn take_losses(&mut self) -> Vec<Lost> {
        self.losses.as_mut().map_or_else(Vec::new, |log| std::mem::take(&mut log.0))
    }

    /// A segment was sent for the first time.
    pub(super) fn push(&mut self, record: Record) {
        debug_assert!(self.back().is_none_or(|last| last.end == record.start), "records are contiguous");
        self.records.push_back(record);
    }

    /// Everything before `ack` has arrived.
    pub(super) fn acknowledge(&mut self, ack: u64, summary: &mut AckSummary) {
        while let Some(front) = self.records.front() {
            if front.start >= ack {
                break;
            }
            if front.end > ack {
                self.cut(0, ack);
            }
            let Some(record) = self.records.pop_front() else { break };
            self.uncount(&record);
            if record.is(Mark::SACKED) {
                continue;
            }
            summary.delivered(&record);
            if record.is(Mark::EVER_RETRANS) {
                summary.retransmitted_acked = true;
            } else {
                summary.original_acked = true;
                summary.first_sent_at.get_or_insert(record.sent_at);
            }
        }
        if self.records.is_empty() && self.records.capacity() > CAPACITY_IDLE {
            // A connection that was busy and is idle gives its memory back.
            self.records = VecDeque::new();
        }
    }

    /// The peer has `start..end`, out of order. True if any of it is news.
    pub(super) fn sack(&mut self, start: u64, end: u64, summary: &mut AckSummary) -> bool {
        let mut index = self.records.partition_point(|record| record.end <= start);
        let mut news = false;
        while let Some(&record) = self.records.get(index) {
            if record.start >= end {
                break;
            }
            if record.is(Mark::SACKED) {
                index += 1;
                continue;
            }
            let may_cut = self.records.len() < RECORDS_CUT_MAX;
            if record.start < start {
                if may_cut {
                    self.cut(index, start);
                }
                index += 1;
                continue;
            }
            if record.end > end {
                if !may_cut {
                    break;
                }
                self.cut(index, end);
            }
            self.mark_sacked(index, summary);
            news = true;
            index = self.join_sacked(index) + 1;
        }
        news
    }

    fn mark_sacked(&mut self, index: usize, summary: &mut AckSummary) {
        let record = self.records[index];
        self.uncount(&record);
        summary.delivered(&record);
        summary.newly_sacked += record.len();
        if !record.is(Mark::EVER_RETRANS) {
            summary.original_sacked = true;
            summary.sacked_sent_at.get_or_insert(record.sent_at);
        }
        self.sacked += record.len();
        let marks = &mut self.records[index].marks;
        *marks = (*marks & Mark::EVER_RETRANS) | Mark::SACKED;
    }

    /// Joins the SACKed record at `index` with its SACKed neighbours; the index of the result.
    fn join_sacked(&mut self, mut index: usize) -> usize {
        if self.records.get(index + 1).is_some_and(|next| next.is(Mark::SACKED))
            && let Some(next) = self.records.remove(index + 1)
        {
            self.records[index].end = next.end;
        }
        if index > 0 && self.records[index - 1].is(Mark::SACKED) {
            let end = self.records[index].end;
            self.records.remove(index);
            index -= 1;
            self.records[index].end = end;
        }
        index
    }

    /// Deems lost all records for which `is_lost` (those SACKed or waiting to be resent are passed over), up to the
    /// first for which `stop` holds. Bytes newly lost.
    pub(super) fn mark_lost(
        &mut self,
        mut stop: impl FnMut(&Record) -> bool,
        mut is_lost: impl FnMut(&Record) -> bool,
    ) -> u32 {
        let mut newly_lost = 0;
        for index in 0..self.records.len() {
            let record = self.records[index];
            if stop(&record) {
                break;
            }
            if record.is(Mark::SACKED) || record.awaits_resend() || !is_lost(&record) {
                continue;
            }
            newly_lost += record.len();
            self.lose(index);
        }
        newly_lost
    }

    /// Deems the first `len` bytes lost, as NewReno does (RFC 6582), unless they are already.
    pub(super) fn lose_front(&mut self, len: u32) -> u32 {
        let Some(front) = self.records.front() else { return 0 };
        if front.marks.intersects(Mark::LOST | Mark::SACKED) {
            return 0;
        }
        if front.len() > len {
            self.cut(0, front.start + u64::from(len));
        }
        self.lose(0);
        self.records[0].len()
    }

    fn lose(&mut self, index: usize) {
        let record = &mut self.records[index];
        if record.is(Mark::RETRANS) {
            self.retrans -= record.len();
        }
        if !record.is(Mark::LOST) {
            self.lost += record.len();
        }
        record.marks.remove(Mark::RETRANS);
        record.marks.insert(Mark::LOST);
        self.lost_total += u64::from(record.len());
        if let Some(log) = &mut self.losses {
            log.0.push(record.stamp.lost(record.start, record.end, self.lost_total));
        }
        self.resend_hint = self.resend_hint.min(record.start);
    }

    /// Nothing is deemed lost any more: what was is in flight after all.
    pub(super) fn forget_losses(&mut self) {
        for record in &mut self.records {
            record.marks.remove(Mark::LOST);
        }
        self.lost = 0;
    }

    /// The peer took back what it had SACKed (RFC 2018 §8): after a timeout, no SACK counts.
    pub(super) fn forget_sacks(&mut self) {
        for record in &mut self.records {
            record.marks.remove(Mark::SACKED);
        }
        self.sacked = 0;
    }

    /// The first record that waits to be sent again.
    pub(super) fn next_resend(&mut self) -> Option<(usize, Record)> {
        if self.lost == self.retrans {
            return None;
        }
        let hint = self.resend_hint;
        let from = self.records.partition_point(|record| record.end <= hint);
        for (offset, record) in self.records.range(from..).enumerate() {
            if record.awaits_resend() {
                self.resend_hint = record.start;
                return Some((from + offset, *record));
            }
        }
        self.resend_hint = u64::MAX;
        None
    }

    /// Makes the record at `index` `len` bytes long if it can: cut, or joined with neighbours that also wait to be sent
    /// again. Its length then.
    pub(super) fn shape(&mut self, index: usize, len: u32) -> u32 {
        if self.records[index].len() > len {
            let at = self.records[index].start + u64::from(len);
            self.cut(index, at);
        }
        while let Some(&next) = self.records.get(index + 1) {
            if !next.awaits_resend() || self.records[index].len() + next.len() > len {
                break;
            }
            self.records.remove(index + 1);
            let record = &mut self.records[index];
            record.end = next.end;
            record.marks |= next.marks;
            record.marks.set(Mark::PUSHED, next.is(Mark::PUSHED));
        }
        self.records[index].len()
    }

    /// The record at `index` is being sent again.
    pub(super) fn resent(&mut self, index: usize, now: Instant, order: u64, stamp: Stamp) {
        let record = &mut self.records[index];
        self.retrans += record.len();
        record.marks.insert(Mark::RETRANS | Mark::EVER_RETRANS);
        record.sent_at = now;
        record.order = order;
        record.stamp = stamp;
        self.resend_hint = record.end;
    }

    /// The last `len` bytes in flight are being sent again as a probe; that range.
    pub(super) fn resend_tail(&mut self, len: u32, now: Instant, order: u64, stamp: Stamp) -> Option<Record> {
        let index = self.records.len().checked_sub(1)?;
        let last = self.records[index];
        let index = if last.len() > len {
            self.cut(index, last.end - u64::from(len));
            index + 1
        } else {
            index
        };
        let record = &mut self.records[index];
        record.marks.insert(Mark::EVER_RETRANS);
        record.sent_at = now;
        record.order = order;
        record.stamp = stamp;
        Some(*record)
    }

    /// Whether the record at `index` was pushed.
    pub(super) fn is_pushed(&self, index: usize) -> bool {
        self.records[index].is(Mark::PUSHED)
    }

    /// Cuts the record at `index` in two at `at`.
    fn cut(&mut self, index: usize, at: u64) {
        let record = &mut self.records[index];
        debug_assert!(record.start < at && at < record.end, "a cut leaves two pieces");
        let mut rest = *record;
        record.end = at;
        record.marks.remove(Mark::PUSHED);
        rest.start = at;
        self.records.insert(index + 1, rest);
    }

    fn uncount(&mut self, record: &Record) {
        let len = record.len();
        if record.is(Mark::SACKED) {
            self.sacked -= len;
        }
        if record.is(Mark::LOST) {
            self.lost -= len;
        }
        if record.is(Mark::RETRANS) {
            self.retrans -= len;
        }
    }

    /// Whether the sums are what the records say: for tests.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let sum = |mark| self.records.iter().filter(|r| r.is(mark)).map(Record::len).sum::<u32>();
        assert_eq!(self.sacked, sum(Mark::SACKED));
        assert_eq!(self.lost, sum(Mark::LOST));
        assert_eq!(self.retrans, sum(Mark::RETRANS));
        for (a, b) in self.records.iter().zip(self.records.iter().skip(1)) {
            assert_eq!(a.end, b.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::Seed;

    use super::*;

    fn board(records: u64, len: u64) -> Scoreboard {
        let mut board = Scoreboard::default();
        for n in 0..records {
            board.push(Record {
                start: n * len,
                end: (n + 1) * len,
                sent_at: Instant::ZERO,
                order: n,
                stamp: Stamp::default(),
                marks: Mark::empty(),
            });
        }
        board
    }

    #[test]
    fn a_super_segment_is_cut_where_sacks_fall() {
        let mut board = board(1, 10_000);
        let mut summary = AckSummary::default();
        assert!(board.sack(2_000, 4_000, &mut summary));
        assert!(board.sack(6_000, 10_000, &mut summary));
        assert!(!board.sack(6_500, 8_000, &mut summary));
        board.check();
        assert_eq!((board.sacked, summary.newly_sacked), (6_000, 6_000));
        assert_eq!(board.mark_lost(|_| false, |_| true), 4_000);
        let (index, record) = board.next_resend().unwrap();
        assert_eq!((record.start, record.end), (0, 2_000));
        assert_eq!(board.shape(index, 1_000), 1_000);
        board.resent(index, Instant::ZERO, 99, Stamp::default());
        board.check();
        assert_eq!(board.next_resend().unwrap().1.start, 1_000);
        board.acknowledge(5_000, &mut summary);
        board.check();
        assert_eq!(board.front().unwrap().start, 5_000);
    }

    #[test]
    fn a_block_for_each_byte_does_not_grow_without_bound() {
        let mut board = board(1, 1_000_000);
        let mut summary = AckSummary::default();
        for n in 0..500_000 {
            board.sack(n * 2, n * 2 + 1, &mut summary);
        }
        assert!(board.records.len() <= RECORDS_CUT_MAX + 2);
        board.check();
    }

    #[test]
    fn sums_hold_through_random_events() {
        let mut rng = Seed(5).stream("scoreboard", 0);
        for round in 0..200 {
            let mut board = board(20, 1_000 + round);
            let end = 20 * (1_000 + round);
            let mut una = 0;
            for _ in 0..100 {
                let mut summary = AckSummary::default();
                let a = una + rng.below(end - una + 1);
                let b = una + rng.below(end - una + 1);
                match rng.below(6) {
                    0 | 1 => drop(board.sack(a.min(b), a.max(b), &mut summary)),
                    2 => drop(board.mark_lost(|r| r.start > a, |r| r.end > b)),
                    3 | 4 => {
                        if let Some((index, _)) = board.next_resend() {
                            board.shape(index, 1 + rng.below(3_000) as u32);
                            board.resent(index, Instant::ZERO, 99, Stamp::default());
                        }
                    }
                    _ => {
                        una = una.max(a.min(una + 700));
                        board.acknowledge(una, &mut summary);
                    }
                }
                board.check();
            }
        }
    }
}
