//! Seventh and eighth step: the data, and FIN.

use bytes::Buf;
use netspace_base::{DropReason, Instant};
use netspace_wire::tcp::TcpFlags;

use super::reassembly::Inserted;
use super::{Owed, reasons};
use crate::connection::Connection;
use crate::segment::Segment;
use crate::seq;
use crate::state::{Event, State, TcpError};

impl Connection {
    /// Takes the data: in order into the queue, out of order into the reassembly.
    pub(crate) fn step_text(&mut self, now: Instant, segment: &mut Segment) -> Result<(), DropReason> {
        let len = segment.payload_len() as u64;
        if len == 0 || matches!(self.state, State::Closed | State::TimeWait) {
            return Ok(());
        }
        let start = seq::near(self.recv.nxt, segment.seq);
        let end = start + len;
        if end > self.recv.nxt && self.recv.shutdown && self.state != State::Established {
            // Nobody will read it: RFC 9293 §3.6.1, RFC 1122 §4.2.2.13.
            let reset = Segment::reset_for(segment);
            self.die((!self.is_orphan()).then_some(TcpError::Reset));
            reset.into_iter().for_each(|reset| self.reply(reset));
            return Err(reasons::closed());
        }
        if !self.state.can_receive() {
            // After the peer's FIN: nothing new can come (RFC 9293 §3.10.7.4, seventh).
            self.recv.owed = Owed::Now;
            return Ok(());
        }
        if end <= self.recv.nxt {
            self.note_duplicate(start, end);
            self.recv.owed = Owed::Now;
            if end == self.recv.nxt && segment.flags.contains(TcpFlags::FIN) {
                // Only the FIN is new.
                trim_front(segment, len as usize);
                return Ok(());
            }
            return Err(reasons::old());
        }
        let size = segment.gso_size.map_or(len as u32, u32::from).min(self.recv.mss);
        let start = self.trim_to_window(segment, start, end);
        if segment.payload.is_empty() {
            return Err(reasons::out_of_window());
        }
        if start > self.recv.nxt {
            return self.keep_for_later(now, segment, start, size);
        }
        self.take_in_order(now, segment, size);
        Ok(())
    }

    /// Cuts off what was received before and what lies beyond the window; the new start.
    fn trim_to_window(&mut self, segment: &mut Segment, start: u64, end: u64) -> u64 {
        let window_end = self.recv.nxt + u64::from(self.recv.window());
        if start < self.recv.nxt {
            self.note_duplicate(start, self.recv.nxt);
            self.recv.owed = Owed::Now;
            trim_front(segment, (self.recv.nxt - start) as usize);
        }
        if end > window_end {
            trim_back(segment, (end - window_end) as usize);
            segment.flags.remove(TcpFlags::FIN);
            self.recv.owed = Owed::Now;
        }
        start.max(self.recv.nxt)
    }

    /// The segment begins where the queue ends.
    fn take_in_order(&mut self, now: Instant, segment: &mut Segment, size: u32) {
        let before = self.recv.nxt;
        for bytes in segment.payload.drain(..) {
            self.recv.queue.push(bytes);
        }
        let mut filled = false;
        if !self.recv.late.is_empty() {
            filled = self.recv.late.drain_into(&mut self.recv.queue);
        }
        self.recv.nxt = self.recv.queue.end();
        let len = (self.recv.nxt - before) as u32;
        if len == 0 {
            return;
        }
        if size >= self.recv.mss_seen
            && let Some(age) = self.echo_age(now, segment)
        {
            self.recv.sample_rtt(age);
        }
        let rto = self.send.rtt.rto(&self.config.rto_bounds());
        self.recv.on_in_order(now, len, size, rto, &self.config);
        if filled || !self.recv.late.is_empty() {
            // RFC 5681 §4.2: at once when a hole is filled, in whole or in part.
            self.recv.owed = Owed::Now;
        }
        self.find_urgent_byte();
        self.events.push(Event::Readable);
    }

    /// RFC 5681 §4.2: out of order, so a duplicate ACK at once.
    fn keep_for_later(
        &mut self,
        now: Instant,
        segment: &Segment,
        start: u64,
        size: u32,
    ) -> Result<(), DropReason> {
        self.recv.owed = Owed::Now;
        self.recv.last_data_at = now;
        self.recv.mss_seen = self.recv.mss_seen.max(size);
        let end = start + segment.payload_len() as u64;
        match self.recv.late.insert(start, &segment.payload) {
            Inserted::New(overlap) => {
                if let Some((start, end)) = overlap {
                    self.note_duplicate(start, end);
                }
            }
            Inserted::Duplicate => self.note_duplicate(start, end),
            Inserted::Full => return Err(reasons::memory()),
        }
        if segment.flags.contains(TcpFlags::FIN) {
            self.recv.fin_at = Some(end);
        }
        Ok(())
    }

    fn note_duplicate(&mut self, start: u64, end: u64) {
        if self.config.dsack && self.send.sack {
            self.recv.duplicate = Some((start, end));
        }
    }

    /// Eighth step: FIN, once all that precedes it has come.
    pub(crate) fn step_fin(&mut self, now: Instant, segment: &Segment) {
        if !self.state.can_receive() {
            if segment.flags.contains(TcpFlags::FIN) {
                // The peer's FIN again: our ACK was lost.
                self.recv.owed = Owed::Now;
            }
            return;
        }
        if segment.flags.contains(TcpFlags::FIN) && self.recv.fin_at.is_none() {
            let end = seq::near(self.recv.nxt, segment.seq) + segment.payload_len() as u64;
            // Data in order has been moved to the queue: the FIN then stands where the queue ends.
            self.recv.fin_at = Some(end.max(self.recv.nxt));
        }
        if self.recv.fin_at != Some(self.recv.nxt) {
            return;
        }
        self.recv.nxt += 1;
        self.recv.fin_received = true;
        self.recv.owed = Owed::Now;
        self.events.push(Event::Readable);
        let to = match self.state {
            State::Established => State::CloseWait,
            State::FinWait1 => State::Closing,
            State::FinWait2 => State::TimeWait,
            other => other,
        };
        self.set_state(now, to);
    }
}

fn trim_front(segment: &mut Segment, mut len: usize) {
    segment.seq += len;
    segment.payload.retain(|bytes| {
        let cut = len.min(bytes.len());
        bytes.advance(cut);
        len -= cut;
        !bytes.is_empty()
    });
}

fn trim_back(segment: &mut Segment, mut len: usize) {
    while let Some(last) = segment.payload.last_mut() {
        if last.len() > len {
            last.truncate(last.len() - len);
            return;
        }
        len -= last.len();
        segment.payload.pop();
    }
}
