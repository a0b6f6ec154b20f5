//! Fifth step: the ACK field.

use netspace_base::{DropReason, Instant};
use netspace_wire::tcp::TcpFlags;

use super::reasons;
use crate::connection::{Connection, Flags};
use crate::mib::Mib;
use crate::segment::Segment;
use crate::send::AckInput;
use crate::seq;
use crate::state::{Event, State};

impl Connection {
    pub(super) fn step_ack(&mut self, now: Instant, segment: &Segment) -> Result<(), DropReason> {
        if !segment.flags.contains(TcpFlags::ACK) {
            return Err(reasons::flags());
        }
        let ack = seq::near(self.send.una, segment.ack);
        if self.state == State::SynReceived {
            if !(self.send.una < ack && ack <= self.send.nxt) {
                if let Some(reset) = Segment::reset_for(segment) {
                    self.reply(reset);
                }
                return Err(reasons::bad_ack());
            }
            self.establish(now, ack, segment);
            // Its window counts, also if it is smaller than the SYN's.
            self.send.wl2 = ack - 1;
            if !self.flags.contains(Flags::ACTIVE) {
                self.ecn.on_first_ack(segment);
            }
        }
        // RFC 5961 §5.2: neither for what was never sent, nor older than the largest window.
        if ack > self.send.nxt || ack + u64::from(self.send.wnd_max) < self.send.una {
            self.challenge(now);
            return Err(reasons::bad_ack());
        }
        self.note_timestamp(now, segment);
        let window = u32::from(segment.window) << self.send.scale;
        let segment_seq = seq::near(self.recv.nxt, segment.seq);
        let was_closed = self.send.wnd == 0;
        let window_changed = self.send.update_window(segment_seq, ack, window);
        self.probes = 0;
        if was_closed && self.send.wnd > 0 {
            self.send.rtt.backoff = 0;
            self.stalled_at = None;
        }
        if ack < self.send.una && segment.options.sack.is_empty() {
            return Ok(());
        }
        let input = AckInput {
            now,
            segment,
            ack: ack.max(self.send.una),
            sack: &segment.options.sack,
            echo: segment.options.timestamps.map(|(_, echo)| echo).zip(self.echo_age(now, segment)),
            bare: !window_changed && ack == self.send.una && segment.sequence_len() == 0,
        };
        // As Linux: `MSG_MORE` holds back until the next ACK; from then on Nagle decides.
        self.send.more = false;
        let summary = self.send.on_ack(&input, &mut self.ecn, &self.config);
        self.mibs.add(Mib::DeliveredCe, summary.ce.marked);
        self.mibs.add(Mib::SpuriousRtos, u32::from(summary.spurious_timeout));
        if let Some(outcome) = summary.mtu_probe {
            self.settle_mtu_probe(outcome);
        }
        if summary.acked > 0 {
            self.retries = 0;
            self.stalled_at = None;
            self.soft_error = None;
            self.flags.remove(Flags::HEAD_DUE);
            self.after_progress(now);
        }
        if summary.acked > 0 || (was_closed && window_changed) || self.send.reordering_due().is_some() {
            self.arm_resend(now);
        }
        Ok(())
    }

    /// RFC 7323 §4.3: the timestamp of the segment that spans what we acknowledged last.
    fn note_timestamp(&mut self, now: Instant, segment: &Segment) {
        let Some((value, _)) = segment.options.timestamps.filter(|_| self.flags.contains(Flags::TIMESTAMPS))
        else {
            return;
        };
        let start = seq::near(self.recv.nxt, segment.seq);
        let newer = value.wrapping_sub(self.ts_recent) as i32 >= 0;
        if start <= self.recv.acked && newer {
            self.ts_recent = value;
            self.ts_recent_at = now;
        }
    }

    /// Something new is acknowledged: room in the buffer, and perhaps our FIN.
    fn after_progress(&mut self, now: Instant) {
        if self.flags.contains(Flags::WANTS_ROOM) && self.is_writable() {
            self.flags.remove(Flags::WANTS_ROOM);
            self.events.push(Event::Writable);
        }
        if !self.send.fin_acked() {
            return;
        }
        match self.state {
            State::FinWait1 => self.set_state(now, State::FinWait2),
            State::Closing => self.set_state(now, State::TimeWait),
            State::LastAck => self.die(None),
            _ => {}
        }
    }
}
