//! The sending half: RFC 9293's SND variables, what is in flight, and what an ACK does to it.
//!
//! ```text
//!   buffer.start = una ──── in flight ──── nxt ──── unsent ──── buffer.end (then FIN)
//!                └──────────── wnd (peer) ────────────┘
//! ```
//! `scoreboard` keeps what is in flight, `rack` decides what is lost, `recovery` what the window does about it,
//! `transmit` what goes next.

mod chrono;
mod pacing;
mod rack;
mod rate;
mod recovery;
mod scoreboard;
mod transmit;

use netspace_base::{Duration, Instant};
use netspace_wire::tcp::SeqNum;

use crate::cc::{Acked, Congestion, CongestionKind, Marks, Moment, Phase};
use crate::config::Config;
use crate::config::EcnKind;
use crate::ecn::{EcnState, Feedback};
use crate::queue::ByteQueue;
use crate::rtt::RttEstimator;
use crate::segment::Segment;
use crate::seq;
pub(crate) use chrono::{Activity, Chrono};
use pacing::Pacing;
use rack::Rack;
use rate::{Arrival, RateEstimator, Stamp, Sums};
use recovery::Recovery;
use scoreboard::{Mark, Record, Scoreboard};

/// What an ACK did: fed to RTT, RACK, recovery and congestion control.
#[derive(Debug, Default)]
pub(crate) struct AckSummary {
    /// Bytes newly acknowledged cumulatively.
    pub(crate) acked: u32,
    /// Bytes newly SACKed.
    newly_sacked: u32,
    /// Bytes newly known to have arrived, either way.
    delivered: u32,
    /// When the oldest segment was sent that is acknowledged now and was sent once.
    first_sent_at: Option<Instant>,
    /// The same for SACK.
    sacked_sent_at: Option<Instant>,
    /// A segment that was sent again is acknowledged.
    retransmitted_acked: bool,
    /// A segment that was sent once is acknowledged, or SACKed.
    original_acked: bool,
    original_sacked: bool,
    /// The lowest segment sent once that arrived: its numbers.
    lowest_original: Option<(u64, u64)>,
    /// The segment sent last among those that arrived: its order, and when it was sent; of those sent once, and of
    /// those sent again.
    newest_original: Option<((u64, u64), Instant)>,
    newest_resent: Option<((u64, u64), Instant)>,
    /// The segment looked at last: the how-manieth it was, and when it was sent; likewise.
    last_original: Option<(u32, Instant)>,
    last_resent: Option<(u32, Instant)>,
    /// Segments that arrived.
    arrivals: u32,
    /// The segment sent last among those that arrived.
    arrival: Option<Arrival>,
    /// The highest end that arrived.
    highest: u64,
    /// What the peer says to have received twice (RFC 2883).
    dsack: Option<(u64, u64)>,
    /// The echoed timestamp.
    echo: Option<u32>,
    /// Bytes that RACK or NewReno just deemed lost.
    newly_lost: u32,
    /// It is a duplicate ACK (RFC 5681 §2).
    duplicate: bool,
    /// What became of a probe for a larger MTU.
    pub(crate) mtu_probe: Option<ProbeOutcome>,
    /// The timeout before was spurious.
    pub(crate) spurious_timeout: bool,
    /// What it tells of congestion marks; `marked` in packets.
    pub(crate) ce: Feedback,
}

impl AckSummary {
    fn delivered(&mut self, record: &Record) {
        self.delivered += (record.end - record.start) as u32;
        self.highest = self.highest.max(record.end);
        self.arrivals += 1;
        let sent = Some((record.sent_order(), record.sent_at));
        let last = Some((self.arrivals, record.sent_at));
        if record.marks.contains(Mark::EVER_RETRANS) {
            self.newest_resent = self.newest_resent.max(sent);
            self.last_resent = last;
        } else {
            self.last_original = last;
            self.newest_original = self.newest_original.max(sent);
            let numbers = (record.start, record.end);
            self.lowest_original = Some(self.lowest_original.map_or(numbers, |low| low.min(numbers)));
        }
        if self.arrival.is_none_or(|newest| record.sent_order() > newest.order) {
            self.arrival = Some(Arrival {
                order: record.sent_order(),
                sent_at: record.sent_at,
                resent: record.marks.contains(Mark::EVER_RETRANS),
                stamp: record.stamp,
            });
        }
    }
}

/// What became of a probe for a larger MTU (RFC 4821 §7.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ProbeOutcome {
    /// It arrived.
    Passed,
    /// It alone was lost.
    Lost,
    /// More than it was lost.
    Unknown,
}

/// What an incoming ACK says, in 64-bit numbers.
#[derive(Debug)]
pub(crate) struct AckInput<'a> {
    pub(crate) now: Instant,
    pub(crate) segment: &'a Segment,
    pub(crate) ack: u64,
    pub(crate) sack: &'a [(SeqNum, SeqNum)],
    /// The echoed timestamp and how long ago it was, if timestamps are in use.
    pub(crate) echo: Option<(u32, Duration)>,
    /// The segment could be a duplicate ACK: no data, no window change.
    pub(crate) bare: bool,
}

/// The sending half of a connection.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Bytes from `una` (after the SYN) to the end of what the program wrote.
    pub(crate) buffer: ByteQueue,
    /// Oldest number not acknowledged, and the next to be sent (SND.UNA, SND.NXT).
    pub(crate) una: u64,
    pub(crate) nxt: u64,
    /// The peer's window, bytes, and the largest it ever was.
    pub(crate) wnd: u32,
    pub(crate) wnd_max: u32,
    /// The segment that last updated it (SND.WL1, SND.WL2).
    pub(crate) wl1: u64,
    pub(crate) wl2: u64,
    /// The peer's window scale.
    pub(crate) scale: u8,
    /// Data bytes that fit a segment, options taken off.
    pub(crate) mss: u32,
    /// SACK is in use.
    pub(crate) sack: bool,
    /// The program has closed its sending side: FIN follows the buffer.
    pub(crate) fin_queued: bool,
    /// More follows at once: a partial segment waits (`MSG_MORE`).
    pub(crate) more: bool,
    /// It was so with the last write: its end is not pushed (PSH).
    pub(crate) unpushed: bool,
    /// End of the last segment that was smaller than the MSS (Minshall's Nagle).
    small_end: u64,
    /// The window, not congestion control, kept data back at the last look.
    pub(crate) window_blocked: bool,
    /// Corking keeps data back.
    pub(crate) cork_blocked: bool,
    /// The next look sends even what silly-window avoidance or corking would keep back.
    pub(crate) push: bool,
    /// The byte after the last urgent one (SND.UP).
    pub(crate) urgent_end: Option<u64>,
    pub(crate) board: Scoreboard,
    pub(crate) rtt: RttEstimator,
    pub(crate) cc: Congestion,
    pub(crate) recovery: Recovery,
    rack: Rack,
    /// A tail loss probe is in flight up to here; and it repeated data.
    probe_end: Option<u64>,
    probe_resent: bool,
    /// The window was full at the last look; the most that was in flight in this window's round.
    cwnd_full: bool,
    flight_max: u32,
    flight_round_end: u64,
    /// Transmissions of data so far.
    transmissions: u64,
    pub(crate) rate: RateEstimator,
    pub(crate) chrono: Chrono,
    pub(crate) pacing: Pacing,
    /// The window has fallen and the peer is to be told (CWR, RFC 3168 §6.1.2).
    pub(crate) cwr_due: bool,
    /// A probe for a larger MTU is in flight.
    pub(crate) mtu_probe: Option<(u64, u64)>,
    /// Packets that arrived with a congestion mark, as far as the peer tells.
    pub(crate) delivered_ce: u32,
    /// From when the retransmission timeout counts.
    pub(crate) rto_from: Instant,
    /// When data was last sent.
    pub(crate) last_sent_at: Instant,
    /// Counts for `info`.
    pub(crate) bytes_acked: u64,
    pub(crate) bytes_resent: u64,
    pub(crate) segments_resent: u32,
}

impl Sender {
    pub(crate) fn new(config: &Config, iss: SeqNum, mss: u32) -> Self {
        let una = seq::first(iss);
        Self {
            buffer: ByteQueue::new(una + 1),
            una,
            nxt: una,
            wnd: 0,
            wnd_max: 0,
            wl1: 0,
            wl2: 0,
            scale: 0,
            mss,
            sack: false,
            fin_queued: false,
            more: false,
            unpushed: false,
            small_end: una,
            window_blocked: false,
            cork_blocked: false,
            push: false,
            urgent_end: None,
            board: Scoreboard::default(),
            rtt: RttEstimator::default(),
            cc: Congestion::new(config.congestion, mss, una),
            recovery: Recovery::default(),
            rack: Rack::default(),
            probe_end: None,
            probe_resent: false,
            cwnd_full: false,
            flight_max: 0,
            flight_round_end: 0,
            transmissions: 0,
            rate: RateEstimator::default(),
            chrono: Chrono::default(),
            pacing: Pacing::new(config.paces()),
            cwr_due: false,
            mtu_probe: None,
            delivered_ce: 0,
            rto_from: Instant::ZERO,
            last_sent_at: Instant::ZERO,
            bytes_acked: 0,
            bytes_resent: 0,
            segments_resent: 0,
        }
    }

    /// The number of the next transmission.
    fn next_order(&mut self) -> u64 {
        self.transmissions += 1;
        self.transmissions
    }

    /// Bytes sent and not acknowledged, FIN included.
    pub(crate) fn in_flight(&self) -> u32 {
        (self.nxt - self.una) as u32
    }

    /// Bytes thought to be in the network (RFC 6675's pipe).
    pub(crate) fn pipe(&self) -> u32 {
        let arrived = if self.sack { self.board.sacked } else { self.recovery.dup_acked(self.mss) };
        (self.in_flight() + self.board.retrans).saturating_sub(arrived + self.board.lost)
    }

    /// Bytes written and not yet sent.
    pub(crate) fn unsent(&self) -> u32 {
        self.buffer.end().saturating_sub(self.nxt) as u32
    }

    /// Bytes SACKed, lost, and sent again.
    pub(crate) fn marked(&self) -> (u32, u32, u32) {
        (self.board.sacked, self.board.lost, self.board.retrans)
    }

    /// The connection is over: nothing will be sent any more.
    pub(crate) fn discard(&mut self) {
        self.board = Scoreboard::default();
        self.una = self.nxt;
        self.buffer = ByteQueue::new(self.nxt);
    }

    /// Segments became smaller: what is in flight and does not fit is sent again.
    pub(crate) fn resegment(&mut self) {
        let mss = u64::from(self.mss);
        self.board.mark_lost(|_| false, |record| record.end - record.start > mss);
        self.repair_without_reduction();
    }

    /// The first `len` bytes of the buffer go with the SYN.
    pub(crate) fn sent_with_syn(&mut self, now: Instant, len: u32) {
        let (start, end) = (self.buffer.start(), self.buffer.start() + u64::from(len));
        let order = self.next_order();
        let stamp = self.stamp(now, len);
        self.board.push(Record { start, end, sent_at: now, order, stamp, marks: Mark::empty() });
        self.nxt = end;
    }

    /// All that is in flight goes again at once, and not because of congestion.
    pub(crate) fn resend_rest(&mut self) {
        self.board.mark_lost(|_| false, |_| true);
        self.repair_without_reduction();
    }

    /// FIN was sent.
    pub(crate) fn fin_sent(&self) -> bool {
        self.fin_queued && self.nxt > self.buffer.end()
    }

    /// FIN was sent and acknowledged.
    pub(crate) fn fin_acked(&self) -> bool {
        self.fin_queued && self.una > self.buffer.end()
    }

    /// Where the peer's window ends.
    pub(crate) fn window_end(&self) -> u64 {
        self.una + u64::from(self.wnd)
    }

    /// How large the send buffer is now: twice the congestion window, within the limits (as `tcp_wmem` autotuning).
    pub(crate) fn buffer_limit(&self, config: &Config) -> u32 {
        let size = config.send_buffer;
        self.cc.cwnd.saturating_mul(2).clamp(size.start.min(size.max), size.max)
    }

    /// A new segment size, from the handshake or path MTU discovery.
    pub(crate) fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cc.cwnd = self.cc.cwnd.max(mss);
    }

    /// The whole handshake is acknowledged: data is next.
    pub(crate) fn handshake_acked(&mut self, now: Instant) {
        self.una = self.buffer.start();
        self.rto_from = now;
        self.rate.begin(now);
        // RFC 6582 §4.1: the SYN's number, so that a loss in the first window is repaired quickly, too.
        self.recovery.recover = self.una - 1;
    }

    /// RFC 9293 §3.10.7.4, fifth step: the window is taken from a segment that is newer than the last one used; of equal
    /// ones, from the one that opens it, or closes it altogether (as Linux does).
    pub(crate) fn update_window(&mut self, segment_seq: u64, ack: u64, wnd: u32) -> bool {
        let newer = ack > self.una
            || (ack == self.una
                && (segment_seq > self.wl1
                    || (segment_seq == self.wl1 && (ack > self.wl2 || wnd > self.wnd || wnd == 0))));
        if !newer {
            return false;
        }
        let changed = wnd != self.wnd;
        self.wnd = wnd;
        self.wnd_max = self.wnd_max.max(wnd);
        self.wl1 = segment_seq;
        self.wl2 = ack;
        changed
    }

    /// Takes in an acknowledgement that is within bounds (una ≤ ack ≤ nxt).
    pub(crate) fn on_ack(&mut self, input: &AckInput<'_>, ecn: &mut EcnState, config: &Config) -> AckSummary {
        let mut summary = AckSummary { echo: input.echo.map(|(echo, _)| echo), ..AckSummary::default() };
        let outstanding = self.in_flight() > 0;
        let before = Before { in_flight: self.pipe(), lost: self.board.lost_total };
        if self.sack {
            self.take_sacks(input, &mut summary);
        }
        if input.ack > self.una {
            summary.acked = (input.ack - self.una) as u32;
            self.board.acknowledge(input.ack, &mut summary);
            self.una = input.ack;
            self.buffer.advance_to(input.ack.min(self.buffer.end()));
            self.bytes_acked += u64::from(summary.acked);
            self.rto_from = input.now;
        } else {
            summary.duplicate = outstanding && input.bare && summary.newly_sacked == 0;
        }
        let rtt = self.take_rtt(input, &summary, config);
        self.take_marks(input, ecn, &mut summary);
        self.end_tail_probe(&summary);
        self.detect_losses(input.now, &mut summary);
        self.tell_marks(&summary);
        self.advance_phase(input.now, &mut summary);
        if outstanding {
            self.report_losses(input.now);
            let acked = self.judge(input, &before, rtt, &summary);
            // As Linux: out of order arrivals let the window grow only on a path that is known to reorder.
            let progress = summary.acked > 0 || self.reorders();
            self.control(acked, progress, config);
        }
        summary
    }

    /// Congestion marks: the classic echo counts whatever came; the counter of the accurate kind only on ACKs that make
    /// progress, because others may have been overtaken.
    fn take_marks(&mut self, input: &AckInput<'_>, ecn: &mut EcnState, summary: &mut AckSummary) {
        if ecn.kind == EcnKind::None || (ecn.kind == EcnKind::Accurate && summary.delivered == 0) {
            return;
        }
        let packets = summary.delivered.div_ceil(self.mss);
        summary.ce = ecn.feedback(input.segment, packets, self.mss);
        if ecn.kind == EcnKind::Classic && summary.ce.congestion {
            summary.ce.marked = packets;
        }
        self.delivered_ce = self.delivered_ce.wrapping_add(summary.ce.marked);
    }

    /// RFC 2018 §5; the first block may report a duplicate (RFC 2883 §4).
    fn take_sacks(&mut self, input: &AckInput<'_>, summary: &mut AckSummary) {
        for (index, &(start, end)) in input.sack.iter().enumerate() {
            let (start, end) = (seq::near(self.una, start), seq::near(self.una, end));
            if start >= end || end > self.nxt {
                continue;
            }
            if index == 0 {
                let within_second = input
                    .sack
                    .get(1)
                    .is_some_and(|&(s, e)| start >= seq::near(self.una, s) && end <= seq::near(self.una, e));
                if end <= input.ack || within_second {
                    summary.dsack = Some((start, end));
                    continue;
                }
            }
            if start >= input.ack.max(self.una) {
                self.board.sack(start, end, summary);
            }
        }
    }

    /// RFC 6298 with Karn's rule: segments sent once; else, with timestamps, their echo (RFC 7323 §4).
    fn take_rtt(&mut self, input: &AckInput<'_>, summary: &AckSummary, config: &Config) -> Option<Duration> {
        let sent_at = if summary.retransmitted_acked { None } else { summary.first_sent_at };
        let rtt = match (sent_at.or(summary.sacked_sent_at), input.echo) {
            (Some(at), _) => input.now.saturating_since(at),
            (None, Some((_, age))) if summary.acked > 0 => age,
            _ => return None,
        };
        self.rtt.sample(input.now, rtt, self.una, self.nxt, &config.rto_bounds());
        Some(rtt)
    }

    /// How sending stands, for the controller.
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        Moment {
            now,
            send_at: self.pacing.wait(now).unwrap_or(now),
            mss: self.mss,
            srtt: self.rtt.srtt().unwrap_or_default(),
            in_flight: self.pipe(),
            delivered: self.rate.delivered,
            lost: self.board.lost_total,
            app_limited: self.rate.is_app_limited(),
            phase: self.recovery.phase,
        }
    }

    /// What a segment of `len` bytes that goes out now remembers.
    fn stamp(&mut self, now: Instant, len: u32) -> Stamp {
        let (idle, in_flight) = (self.board.is_empty(), self.pipe() + len);
        self.rate.stamp(now, idle, in_flight, self.sums())
    }

    /// The handshake is done: the controller learns what it has shown.
    pub(crate) fn begin_control(&mut self, now: Instant) {
        self.cc.begin(&self.moment(now));
        self.board.watch_losses(self.cc.watches_losses());
    }

    /// Another controller takes over.
    pub(crate) fn set_controller(&mut self, now: Instant, kind: CongestionKind) {
        self.cc.set_kind(kind, &self.moment(now), self.una);
        self.board.watch_losses(self.cc.watches_losses());
        if kind.needs_pacing() {
            self.pacing.turn_on();
        }
    }

    fn sums(&self) -> Sums {
        Sums { lost: self.board.lost_total, marked: self.delivered_ce }
    }

    fn tell_marks(&mut self, summary: &AckSummary) {
        let marked = summary.ce.marked.saturating_mul(self.mss);
        let (una, nxt) = (self.una, self.nxt);
        self.cc.on_marks(&Marks { delivered: summary.delivered, marked, una, nxt });
    }

    /// Tells the controller of each range that was deemed lost, if it asked.
    fn report_losses(&mut self, now: Instant) {
        let losses = self.board.take_losses();
        if !losses.is_empty() {
            self.cc.on_loss(&losses, &self.moment(now));
        }
    }

    /// The program is about to write: if the network would have taken more than it gave, it is what limits the rate
    /// (draft-cheng-iccrg-delivery-rate-estimation §3.4).
    pub(crate) fn check_app_limited(&mut self) {
        let pipe = self.pipe();
        if self.unsent() < self.mss && pipe < self.cc.cwnd && self.board.lost <= self.board.retrans {
            self.rate.limit_by_program(pipe);
        }
    }

    /// Notes what sending is at, once nothing more goes. `wants_room`: a write has found the buffer full.
    pub(crate) fn note_activity(&mut self, now: Instant, wants_room: bool) {
        let activity = if self.buffer.is_empty() && self.in_flight() == 0 {
            Activity::Idle
        } else if self.window_blocked {
            Activity::WindowLimited
        } else if wants_room && self.unsent() == 0 && self.pipe() < self.cc.cwnd {
            Activity::BufferLimited
        } else {
            Activity::Busy
        };
        self.chrono.switch(now, activity);
    }

    /// What the ACK tells the controller, its delivery-rate sample with it.
    fn judge(
        &mut self,
        input: &AckInput<'_>,
        before: &Before,
        rtt: Option<Duration>,
        summary: &AckSummary,
    ) -> Acked {
        let min_rtt_ns = self.rtt.min_ns();
        let lost = self.board.lost_total;
        let rate = self.rate.sample(input.now, summary.delivered, summary.arrival, min_rtt_ns, self.sums());
        // All that was sent since the last ACK, and less than a segment: nothing else made the peer answer.
        let alone = rate.prior_delivered + u64::from(summary.delivered) == self.rate.delivered;
        Acked {
            at: self.moment(input.now),
            bytes: summary.delivered,
            lost: (lost - before.lost) as u32,
            marked: summary.ce.marked,
            prior_in_flight: before.in_flight,
            rtt: controller_rtt(input.now, rtt, summary),
            maybe_delayed: alone && summary.acked < self.mss,
            una: self.una,
            nxt: self.nxt,
            cwnd_limited: self.is_cwnd_limited(),
            rate,
        }
    }

    /// Whether the congestion window held sending back in this round (RFC 7661's concern). In slow start half of it in
    /// use is enough: the other half is what it has just grown by.
    fn is_cwnd_limited(&self) -> bool {
        if self.cc.in_slow_start() && !self.cc.is_model() {
            self.cc.cwnd < self.flight_max.saturating_mul(2)
        } else {
            self.cwnd_full
        }
    }

    /// Lets the controller move window and pacing rate. `progress`: the ACK is no duplicate; those leave the window as it
    /// is (RFC 5681 §3.2 step 1, RFC 3042 §2).
    fn control(&mut self, acked: Acked, progress: bool, config: &Config) {
        if self.cc.is_model() {
            self.cc.on_ack(acked);
            if self.cc.is_probing_rtt() {
                self.rate.limit_by_program(acked.at.in_flight);
            }
        } else if acked.bytes > 0
            && !matches!(acked.at.phase, Phase::Recovery | Phase::Cwr)
            && acked.cwnd_limited
            && progress
        {
            self.cc.on_ack(acked);
        }
        self.cc.update_pacing_rate(&acked.at, self.in_flight(), &config.pacing_bounds());
    }

    /// New data was sent: how much of the window is used, by rounds.
    fn note_flight(&mut self) {
        let flight = self.in_flight();
        if self.una >= self.flight_round_end {
            self.flight_round_end = self.nxt;
            self.flight_max = flight;
            self.cwnd_full = false;
        } else if flight > self.flight_max {
            self.flight_round_end = self.nxt;
            self.flight_max = flight;
        }
        self.cwnd_full |= self.pipe() + self.mss > self.cc.cwnd;
    }
}

/// The round-trip time for the controller: of the segment sent last, which tells how the path is now, while the
/// retransmission timeout wants to know how long an ACK can take.
fn controller_rtt(now: Instant, rtt: Option<Duration>, summary: &AckSummary) -> Option<Duration> {
    let certain = summary.original_sacked || !summary.retransmitted_acked;
    summary.newest_original.filter(|_| certain).map(|(_, at)| now.saturating_since(at)).or(rtt)
}

/// What was before an ACK.
#[derive(Debug)]
struct Before {
    in_flight: u32,
    lost: u64,
}
