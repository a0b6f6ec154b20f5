//! What goes next: answers, what is to be sent again, new data, probes, a bare ACK, in that order.

use netspace_base::Instant;
use netspace_wire::tcp::TcpFlags;

use super::pacing::burst;
use super::scoreboard::{Mark, Record};
use crate::connection::{Connection, Flags};
use crate::receive::Owed;
use crate::segment::Segment;
use crate::state::State;

/// Why nothing new goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    /// Nothing is there.
    Empty,
    /// The congestion window is full.
    Congestion,
    /// The peer's window is full, or too small to be worth a segment (RFC 9293 §3.8.6.2.1).
    Window,
    /// A small segment waits for the ACK of the one before (Nagle, RFC 9293 §3.7.4).
    Nagle,
    /// The program holds it back (`TCP_CORK`, `MSG_MORE`).
    Cork,
}

/// What decides how much new data may go, bytes.
#[derive(Clone, Copy, Debug)]
struct Offer {
    unsent: u32,
    /// What the peer's window and the congestion window leave.
    window: u32,
    congestion: u32,
    /// The largest window the peer ever offered.
    window_max: u32,
    mss: u32,
    /// The largest segment.
    segment_max: u32,
    /// A small segment may go at once.
    small: Result<(), Hold>,
    /// The program has nothing more to add: FIN follows, or it asked to push.
    push: bool,
}

impl Offer {
    /// Silly-window avoidance of the sender (RFC 9293 §3.8.6.2.1) and Nagle (§3.7.4): how many bytes go in one segment.
    fn decide(&self) -> Result<u32, Hold> {
        if self.unsent == 0 {
            return Err(Hold::Empty);
        }
        if self.congestion < self.unsent.min(self.mss) {
            return Err(Hold::Congestion);
        }
        let usable = self.unsent.min(self.window);
        if usable >= self.mss {
            let len = usable.min(self.congestion).min(self.segment_max);
            let whole = len - len % self.mss;
            let to_the_end = len == self.unsent && (self.push || self.small.is_ok());
            return Ok(if to_the_end { len } else { whole });
        }
        if self.window == 0 {
            return Err(Hold::Window);
        }
        if self.unsent <= self.window {
            return if self.push { Ok(usable) } else { self.small.map(|()| usable) };
        }
        if self.push || usable >= self.window_max / 2 { Ok(usable) } else { Err(Hold::Window) }
    }
}

/// What a segment takes from our stream, and how large its pieces are.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    end: u64,
    mss: u32,
    /// It is sent for the first time.
    new: bool,
    /// Its last byte is pushed (PSH).
    push: bool,
}

impl Connection {
    /// The next segment to send; none if nothing may go now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Segment> {
        if let Some(reply) = self.replies.pop_front() {
            self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
            return Some(reply);
        }
        let next = self.next_segment(now);
        if next.is_none() && !self.state.is_opening() {
            self.send.note_activity(now, self.flags.contains(Flags::WANTS_ROOM));
        }
        next
    }

    fn next_segment(&mut self, now: Instant) -> Option<Segment> {
        match self.state {
            State::Closed => return None,
            State::SynSent | State::SynReceived if self.flags.contains(Flags::SYN_DUE) => {
                self.flags.remove(Flags::SYN_DUE);
                self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
                return Some(self.build_syn(now));
            }
            State::SynSent => return None,
            State::TimeWait => {}
            State::SynReceived if !self.is_early() => {}
            _ => {
                if let Some(range) = self.next_again(now).or_else(|| self.next_new(now)) {
                    return Some(self.build_data(now, range));
                }
                if let Some(range) = self.next_tail_probe(now) {
                    return Some(self.build_data(now, range));
                }
            }
        }
        let sequence = self.next_bare_ack()?;
        let mut segment = self.header(now, sequence);
        self.add_urgent(&mut segment, sequence);
        self.add_ecn(now, &mut segment, 0, false);
        self.counts.segments_out = self.counts.segments_out.wrapping_add(1);
        self.acknowledged();
        Some(segment)
    }

    /// Data bytes that fit a segment now: SACK blocks take room.
    pub(crate) fn data_mss(&self) -> u32 {
        let mss = self.send.mss;
        if !self.send.sack || (self.recv.late.is_empty() && self.recv.duplicate.is_none()) {
            return mss;
        }
        let mut options = netspace_wire::tcp::TcpOptions::default();
        if self.flags.contains(Flags::TIMESTAMPS) {
            options.timestamps = Some((0, 0));
        }
        let plain = options.len() as u32;
        self.recv.sack_option(&mut options);
        mss.saturating_sub(options.len() as u32 - plain).max(mss / 2)
    }

    /// The most that one write hands down as one piece: whole segments, half of the largest window seen.
    pub(crate) fn burst_max(&self) -> u32 {
        let mss = self.data_mss();
        let bound = self.config.gso_max.min(self.send.wnd_max / 2);
        (bound - bound % mss).max(mss)
    }

    fn segment_max(&self, mss: u32) -> u32 {
        if !self.config.gso {
            return mss;
        }
        let min_rtt_ns = self.send.rtt.min_ns();
        burst(self.send.cc.pacing_rate, mss, min_rtt_ns, self.config.min_tso_segs, &self.config)
    }

    /// The first segment that is deemed lost, if the windows allow.
    fn next_again(&mut self, now: Instant) -> Option<Range> {
        if self.send.recovery.new_first && self.send.nxt < self.send.window_end() && self.send.unsent() > 0 {
            return None;
        }
        let (index, record) = self.send.board.next_resend()?;
        let mss = self.data_mss();
        let pipe = self.send.pipe();
        let head = record.start == self.send.una;
        let mut room = self.send.cc.cwnd.saturating_sub(pipe);
        if room < mss.min((record.end - record.start) as u32) {
            if pipe > 0 && !(head && self.flags.contains(Flags::HEAD_DUE)) {
                return None;
            }
            room = mss;
        }
        if !head && record.start >= self.send.window_end() {
            // The window shrank: only the head goes, as a probe.
            return None;
        }
        if !(head && self.flags.contains(Flags::HEAD_DUE)) && self.is_paced(now) {
            return None;
        }
        let max = room.min(self.segment_max(mss));
        let len = self.send.board.shape(index, (max - max % mss).max(mss.min(max)));
        let order = self.send.next_order();
        let stamp = self.send.stamp(now, len);
        self.send.board.resent(index, now, order, stamp);
        self.send.recovery.on_sent(len);
        self.flags.remove(Flags::HEAD_DUE);
        self.arm_resend(now);
        let end = record.start + u64::from(len);
        let burst = len > mss && end <= record.end;
        let push = burst || self.send.board.is_pushed(index);
        let range = Range { start: record.start, end, mss, new: false, push };
        self.count_again(now, range);
        Some(range)
    }

    /// Whether pacing keeps everything back; it wakes us when it does no longer.
    fn is_paced(&mut self, now: Instant) -> bool {
        self.timers.pacing_at = self.send.pacing.wait(now).unwrap_or(Instant::FAR_FUTURE);
        self.timers.pacing_at != Instant::FAR_FUTURE
    }

    fn count_again(&mut self, now: Instant, range: Range) {
        let len = (range.end - range.start) as u32;
        self.send.recovery.on_resent(now, len);
        self.send.bytes_resent += u64::from(len);
        self.send.segments_resent = self.send.segments_resent.wrapping_add(len.div_ceil(range.mss));
    }

    /// New data, and FIN after the last of it.
    fn next_new(&mut self, now: Instant) -> Option<Range> {
        let fin_due = self.send.fin_queued && !self.send.fin_sent();
        let unsent = self.send.unsent();
        if unsent == 0 && !fin_due {
            self.send.window_blocked = false;
            self.send.cork_blocked = false;
            self.flags.remove(Flags::HEAD_DUE);
            return None;
        }
        let mss = self.data_mss();
        if let Some(len) = self.mtu_probe_len(now) {
            self.mtu_probe_sent(self.send.nxt, len);
            return Some(self.send_new(now, len, len, false));
        }
        let offer = self.offer(unsent, mss, fin_due);
        let len = match offer.decide() {
            Ok(len) => len,
            // FIN takes a number, so it needs a window (RFC 9293 §3.4).
            Err(Hold::Empty) if offer.window == 0 => {
                self.note_hold(now, Hold::Window);
                return None;
            }
            Err(Hold::Empty) => 0,
            Err(hold) => {
                self.note_hold(now, hold);
                return None;
            }
        };
        if !self.flags.contains(Flags::PROBE_DUE) && self.is_paced(now) {
            return None;
        }
        Some(self.send_new(now, len, mss, fin_due && len == unsent && len < offer.window))
    }

    fn offer(&self, unsent: u32, mss: u32, fin_due: bool) -> Offer {
        let send = &self.send;
        let pipe = send.pipe();
        let probe = self.flags.contains(Flags::PROBE_DUE);
        let half = send.cc.cwnd / 2 / mss * mss;
        // With nothing in flight one segment may always go; so may a tail loss probe.
        let least = if pipe == 0 || probe { mss } else { 0 };
        let small = if self.config.cork || send.more {
            Err(Hold::Cork)
        } else if self.config.nodelay || send.small_end <= send.una {
            Ok(())
        } else {
            Err(Hold::Nagle)
        };
        let segment_max = if probe { mss } else { self.segment_max(mss) };
        Offer {
            unsent,
            window: send.window_end().saturating_sub(send.nxt) as u32,
            // As Linux: at most half of the window in one piece, so that two are under way.
            congestion: send.cc.cwnd.saturating_sub(pipe).min(half.max(mss)).max(least),
            window_max: send.wnd_max,
            mss,
            segment_max,
            small,
            push: fin_due || send.push || probe,
        }
    }

    fn note_hold(&mut self, now: Instant, hold: Hold) {
        self.send.cwnd_full |= hold == Hold::Congestion;
        self.send.window_blocked = hold == Hold::Window;
        self.send.cork_blocked = hold == Hold::Cork;
        if self.send.board.is_empty() {
            self.arm_resend(now);
        }
    }

    fn send_new(&mut self, now: Instant, len: u32, mss: u32, fin: bool) -> Range {
        let start = self.send.nxt;
        let end = start + u64::from(len) + u64::from(fin);
        if self.send.board.is_empty() {
            self.send.rto_from = now;
        }
        let order = self.send.next_order();
        let stamp = self.send.stamp(now, len);
        let push = start + u64::from(len) == self.send.buffer.end() && !self.send.unpushed;
        let marks = if push { Mark::PUSHED } else { Mark::empty() };
        self.send.board.push(Record { start, end, sent_at: now, order, stamp, marks });
        self.send.nxt = end;
        self.send.last_sent_at = now;
        self.send.note_flight();
        self.send.window_blocked = false;
        self.send.cork_blocked = false;
        if self.send.unsent() == 0 {
            self.send.push = false;
        }
        if !len.is_multiple_of(mss) {
            self.send.small_end = end;
            self.send.push = false;
        }
        self.send.recovery.on_sent(len);
        self.recv.on_data_sent(now);
        if self.flags.contains(Flags::PROBE_DUE) {
            self.flags.remove(Flags::PROBE_DUE);
            self.send.begin_tail_probe(false);
        }
        self.arm_resend(now);
        // A burst is pushed at its end as on Linux, so that receive offload hands it up.
        Range { start, end, mss, new: true, push: push || len > mss }
    }

    /// RFC 8985 §7.3: nothing new could go as the probe, so the last segment goes again.
    fn next_tail_probe(&mut self, now: Instant) -> Option<Range> {
        if !self.flags.contains(Flags::PROBE_DUE) {
            return None;
        }
        self.flags.remove(Flags::PROBE_DUE);
        let mss = self.data_mss();
        let order = self.send.next_order();
        let stamp = self.send.stamp(now, 0);
        let Record { start, end, marks, .. } = self.send.board.resend_tail(mss, now, order, stamp)?;
        self.send.begin_tail_probe(true);
        self.arm_resend(now);
        let range = Range { start, end, mss, new: false, push: marks.contains(Mark::PUSHED) };
        self.count_again(now, range);
        Some(range)
    }

    /// The number for an ACK without data, if one is owed. A zero-window or keepalive probe has an old number, which the
    /// peer must answer (RFC 9293 §3.8.4; as Linux, also for the window).
    fn next_bare_ack(&mut self) -> Option<u64> {
        if self.flags.contains(Flags::OLD_ACK_DUE) {
            if self.flags.contains(Flags::URGENT_DUE) {
                self.flags.remove(Flags::URGENT_DUE);
                return Some(self.send.una);
            }
            self.flags.remove(Flags::OLD_ACK_DUE);
            return Some(self.send.una - 1);
        }
        (self.recv.owed == Owed::Now).then_some(self.send.nxt)
    }

    /// The segment for a range of our stream; the last number may be FIN's.
    fn build_data(&mut self, now: Instant, range: Range) -> Segment {
        let Range { start, end, mss, new, push } = range;
        let mut segment = self.header(now, start);
        let data_end = end.min(self.send.buffer.end());
        let len = data_end.saturating_sub(start) as usize;
        if len > 0 {
            self.send.buffer.slices(start, len, usize::MAX, &mut segment.payload);
            if len > mss as usize {
                segment.gso_size = Some(mss as u16);
            }
            segment.flags.set(TcpFlags::PSH, push);
        }
        if end > data_end {
            segment.flags |= TcpFlags::FIN;
        }
        self.add_urgent(&mut segment, start);
        self.add_ecn(now, &mut segment, len as u32, new);
        self.send.pacing.on_sent(now, len as u32, self.send.cc.pacing_rate, self.counts.data_segments_out);
        self.count_data(len as u32, mss);
        self.acknowledged();
        segment
    }

    fn count_data(&mut self, len: u32, mss: u32) {
        let pieces = len.div_ceil(mss);
        self.counts.segments_out = self.counts.segments_out.wrapping_add(pieces.max(1));
        self.counts.data_segments_out = self.counts.data_segments_out.wrapping_add(pieces);
        self.counts.bytes_sent += u64::from(len);
    }

    /// The segment being built carries the current ACK.
    fn acknowledged(&mut self) {
        self.recv.on_ack_sent();
        self.timers.delayed_ack_at = Instant::FAR_FUTURE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer {
        unsent: 10_000,
        window: 65_535,
        congestion: 14_600,
        window_max: 65_535,
        mss: 1_460,
        segment_max: 64_240,
        small: Ok(()),
        push: false,
    };

    #[test]
    fn whole_segments_first_and_the_rest_if_nothing_small_is_out() {
        assert_eq!(OFFER.decide(), Ok(10_000));
        assert_eq!(Offer { small: Err(Hold::Nagle), ..OFFER }.decide(), Ok(8_760));
        assert_eq!(Offer { small: Err(Hold::Nagle), unsent: 1_000, ..OFFER }.decide(), Err(Hold::Nagle));
        assert_eq!(Offer { small: Err(Hold::Cork), unsent: 1_000, push: true, ..OFFER }.decide(), Ok(1_000));
        assert_eq!(Offer { segment_max: 1_460, ..OFFER }.decide(), Ok(1_460));
    }

    #[test]
    fn silly_windows_are_left_alone() {
        assert_eq!(Offer { window: 0, ..OFFER }.decide(), Err(Hold::Window));
        assert_eq!(Offer { window: 1_000, ..OFFER }.decide(), Err(Hold::Window));
        assert_eq!(Offer { window: 1_000, window_max: 1_800, ..OFFER }.decide(), Ok(1_000));
        assert_eq!(Offer { window: 5_000, ..OFFER }.decide(), Ok(4_380));
        assert_eq!(Offer { congestion: 1_000, ..OFFER }.decide(), Err(Hold::Congestion));
        assert_eq!(Offer { congestion: 1_000, unsent: 900, ..OFFER }.decide(), Ok(900));
    }
}
