//! First step: is the segment in the window, and is it not an old duplicate (PAWS)?

use netspace_base::{DropReason, Duration, Instant};
use netspace_wire::tcp::TcpFlags;

use super::{Owed, reasons};
use crate::connection::{Connection, Flags};
use crate::segment::Segment;
use crate::seq;
use crate::state::State;

/// A timestamp that has not been renewed for so long proves nothing (RFC 7323 §5.5).
const PAWS_IDLE: Duration = Duration::from_secs(24 * 24 * 3600);

impl Connection {
    pub(super) fn step_sequence(&mut self, now: Instant, segment: &Segment) -> Result<(), DropReason> {
        if self.is_paws_reject(now, segment) {
            if !segment.flags.contains(TcpFlags::RST) {
                self.answer_unacceptable(now, segment);
            }
            return Err(reasons::paws());
        }
        let start = seq::near(self.recv.nxt, segment.seq);
        let end = start + segment.sequence_len() as u64;
        // RFC 9293 §3.10.7.4 first, as Linux relaxes it: up to what was acknowledged last, so that the ACK of a
        // retransmission is not lost; and at the very edge, so that ACKs count when the window is closed.
        let window_end = self.recv.nxt + u64::from(self.recv.window());
        if end >= self.recv.acked && start <= window_end {
            return Ok(());
        }
        if !segment.flags.contains(TcpFlags::RST) {
            self.answer_unacceptable(now, segment);
            if end < self.recv.acked && segment.payload_len() > 0 && self.config.dsack {
                self.recv.duplicate = Some((start, end));
            }
        }
        Err(if end < self.recv.acked { reasons::old() } else { reasons::out_of_window() })
    }

    /// An ACK tells the peer where we are: at once for data, seldom for what could be an ACK storm.
    fn answer_unacceptable(&mut self, now: Instant, segment: &Segment) {
        if self.state == State::SynReceived && segment.flags.contains(TcpFlags::SYN) {
            self.flags.insert(Flags::SYN_DUE);
        } else if segment.payload_len() > 0 && !segment.flags.contains(TcpFlags::SYN) {
            self.recv.owed = Owed::Now;
        } else {
            self.challenge(now);
        }
    }

    /// RFC 7323 §5.3 R1. A plain ACK that was overtaken is let through, as Linux does: it may carry SACK.
    fn is_paws_reject(&self, now: Instant, segment: &Segment) -> bool {
        if !self.flags.contains(Flags::TIMESTAMPS) || segment.flags.contains(TcpFlags::RST) {
            return false;
        }
        let Some((value, _)) = segment.options.timestamps else { return false };
        let behind = self.ts_recent.wrapping_sub(value) as i32;
        if behind <= 0 || now.saturating_since(self.ts_recent_at) > PAWS_IDLE {
            return false;
        }
        let rto = self.send.rtt.rto(&self.config.rto_bounds());
        let plain_ack = segment.sequence_len() == 0
            && seq::near(self.recv.nxt, segment.seq) == self.recv.nxt
            && (behind as u128) <= rto.as_millis() * 6 / 5;
        !plain_ack
    }
}
