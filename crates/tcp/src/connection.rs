//! The connection: its state, and what its owner and the program do with it.

use std::collections::VecDeque;
use std::sync::Arc;

use bitflags::bitflags;
use bytes::Bytes;
use netspace_base::{Duration, Instant};
use netspace_wire::tcp::{FastOpenCookie, SeqNum, TcpFlags, TcpOptions};

use crate::cc::CongestionKind;
use crate::config::{BufferSize, Config, EcnKind, Keepalive};
use crate::ecn::EcnState;
use crate::event::Events;
use crate::fast_open::FastOpen;
use crate::mib::{Mib, Mibs};
use crate::mtu_probe::MtuSearch;
use crate::receive::{Owed, Receiver};
use crate::segment::Segment;
use crate::send::Sender;
use crate::seq;
use crate::state::{Event, State, TcpError};
use crate::timer::{Resend, Timers};
use crate::urgent::Urgent;

/// Bytes of the option that tells ECN byte counters, padded.
const ACC_ECN_OPTION_LEN: u8 = 12;
/// Answers that wait to be sent, besides ACKs: a bound, not a goal.
const REPLIES_MAX: usize = 4;
/// A challenge ACK, or one for a segment out of the window, at most once in this time (RFC 5961 §7; Linux's
/// `tcp_invalid_ratelimit`).
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(500);

bitflags! {
    /// What is true of a connection.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Flags: u16 {
        /// We opened it.
        const ACTIVE = 1;
        /// Timestamps are in use (RFC 7323).
        const TIMESTAMPS = 1 << 1;
        /// Windows are scaled.
        const SCALING = 1 << 2;
        /// The program has closed it.
        const ORPHAN = 1 << 3;
        /// SYN or SYN-ACK is to be sent.
        const SYN_DUE = 1 << 4;
        /// The segment at SND.UNA is to be sent again, whatever the windows say.
        const HEAD_DUE = 1 << 5;
        /// A tail loss probe is to be sent.
        const PROBE_DUE = 1 << 6;
        /// A window or keepalive probe (an old number) is to be sent.
        const OLD_ACK_DUE = 1 << 7;
        /// A write found no room: tell when there is some.
        const WANTS_ROOM = 1 << 8;
        /// The program asked for quick ACKs (`TCP_QUICKACK`).
        const QUICK_ACK = 1 << 9;
        /// The SYN was answered by timeout and sent again: the initial window is one segment (RFC 6298 §5.7).
        const SYN_RESENT = 1 << 10;
        /// It was accepted by a Fast Open cookie.
        const FAST_OPEN = 1 << 11;
        /// Data went with a SYN and was accepted.
        const SYN_DATA = 1 << 12;
        /// The next window probe tells of urgent data first, by a number that the peer accepts.
        const URGENT_DUE = 1 << 13;
    }
}

/// Counts for [`crate::TcpInfo`].
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) segments_in: u32,
    pub(crate) segments_out: u32,
    pub(crate) data_segments_in: u32,
    pub(crate) data_segments_out: u32,
    pub(crate) bytes_sent: u64,
}

/// How data is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SendFlags {
    /// More follows at once: a partial segment waits for it (`MSG_MORE`).
    pub more: bool,
    /// The last byte is urgent (`MSG_OOB`).
    pub urgent: bool,
}

/// A TCP connection without I/O: it takes in segments and moments, and gives out segments.
///
/// Its owner calls, in this order, after each input: [`Connection::poll_transmit`] until it gives none,
/// [`Connection::poll_event`] until it gives none, then [`Connection::next_timeout`].
#[derive(Debug)]
pub struct Connection {
    /// The settings, shared with other connections that have the same.
    pub(crate) config: Arc<Config>,
    pub(crate) state: State,
    pub(crate) flags: Flags,
    pub(crate) send: Sender,
    pub(crate) recv: Receiver,
    pub(crate) timers: Timers,
    pub(crate) events: Events,
    pub(crate) error: Option<TcpError>,
    pub(crate) soft_error: Option<TcpError>,
    pub(crate) replies: VecDeque<Segment>,
    /// The newest timestamp of the peer (TS.Recent), and when it came.
    pub(crate) ts_recent: u32,
    pub(crate) ts_recent_at: Instant,
    /// What the path and the peer take in a segment without options.
    pub(crate) path_mss: u16,
    pub(crate) peer_mss: u16,
    /// Retransmission timeouts in a row; since when nothing has been acknowledged.
    pub(crate) retries: u8,
    pub(crate) stalled_at: Option<Instant>,
    /// Unanswered zero-window or keepalive probes.
    pub(crate) probes: u8,
    /// When the SYN was last sent.
    pub(crate) syn_sent_at: Instant,
    /// When anything last came from the peer; an ACK; and when data or an ACK last did.
    pub(crate) heard_at: Instant,
    pub(crate) challenge_at: Option<Instant>,
    pub(crate) urgent: Option<Box<Urgent>>,
    pub(crate) ecn: EcnState,
    pub(crate) mibs: Mibs,
    pub(crate) fast_open: Option<Box<FastOpen>>,
    pub(crate) mtu_search: Option<Box<MtuSearch>>,
    /// The Fast Open cookie that our SYN-ACK tells.
    pub(crate) cookie_offer: Option<Box<FastOpenCookie>>,
    pub(crate) counts: Counts,
}

// ---- What the program does -----------------------------------------------------------------------------------------
impl Connection {
    /// Takes bytes to send: as many as there is room for. 0 once the sending side is closed.
    pub fn send(&mut self, now: Instant, data: Bytes) -> usize {
        self.send_with(now, data, SendFlags::default())
    }

    /// Takes bytes to send, with flags.
    pub fn send_with(&mut self, now: Instant, mut data: Bytes, flags: SendFlags) -> usize {
        if !self.state.can_send() || self.send.fin_queued {
            return 0;
        }
        let room = self.send_space().min(self.unsent_room());
        if data.len() > room {
            self.flags.insert(Flags::WANTS_ROOM);
            data.truncate(room);
        }
        let taken = data.len();
        if taken == 0 {
            return 0;
        }
        self.send.check_app_limited();
        self.end_send_pause(now);
        self.send.buffer.push(data);
        self.end_deferral(now);
        self.send.more = flags.more;
        self.send.unpushed = flags.more;
        if flags.urgent {
            self.send.urgent_end = Some(self.send.buffer.end());
        }
        taken
    }

    /// How much more may wait unsent: as Linux, bursts are begun while less than `TCP_NOTSENT_LOWAT` waits, and filled up.
    fn unsent_room(&self) -> usize {
        let lowat = self.config.notsent_lowat;
        if lowat == u32::MAX {
            return usize::MAX;
        }
        let burst = self.burst_max();
        let limit = lowat.div_ceil(burst).max(1).saturating_mul(burst);
        limit.saturating_sub(self.send.unsent()) as usize
    }

    /// Bytes that [`Connection::send`] would take.
    pub fn send_space(&self) -> usize {
        if !self.state.can_send() || self.send.fin_queued {
            return 0;
        }
        (self.send.buffer_limit(&self.config) as usize).saturating_sub(self.send.buffer.len())
    }

    /// Whether poll(2) would say that it is writable: a third of the buffer is free, and less unsent than
    /// `TCP_NOTSENT_LOWAT`.
    pub fn is_writable(&self) -> bool {
        let limit = self.send.buffer_limit(&self.config) as usize;
        self.send_space() * 3 >= limit && self.send.unsent() < self.config.notsent_lowat
    }

    /// Bytes sent but not acknowledged, or not yet sent (`SIOCOUTQ`).
    pub fn send_queue_len(&self) -> usize {
        self.send.buffer.len()
    }

    /// Bytes not yet sent (`SIOCOUTQNSD`).
    pub fn unsent_len(&self) -> usize {
        self.send.unsent() as usize
    }

    /// Takes up to `max` bytes that have come in order. Empty: nothing is there, or the end ([`Connection::at_end`]).
    pub fn recv(&mut self, now: Instant, max: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        let mut left = self.readable_before_mark(max);
        let mut read = 0;
        while let Some(bytes) = self.recv.queue.pop(left) {
            left -= bytes.len();
            read += bytes.len();
            out.push(bytes);
        }
        if read > 0 {
            self.pass_mark();
            self.recv.on_read(now, read, &self.config);
        }
        out
    }

    /// Looks at up to `max` bytes without taking them (`MSG_PEEK`).
    pub fn peek(&mut self, max: usize) -> Vec<Bytes> {
        let len = self.readable_before_mark(max);
        let mut out = smallvec::SmallVec::new();
        self.recv.queue.slices(self.recv.queue.start(), len, usize::MAX, &mut out);
        out.into_vec()
    }

    /// Bytes ready to read (`FIONREAD`).
    pub fn recv_len(&self) -> usize {
        self.recv.queue.len() - usize::from(self.urgent_in_queue().is_some())
    }

    /// Whether the peer's stream has ended and all of it was read, or the program has shut reading down, or the
    /// connection is over: a read gives 0 bytes.
    pub fn at_end(&self) -> bool {
        self.recv_len() == 0 && (self.recv.fin_received || self.recv.shutdown || self.state == State::Closed)
    }

    /// Whether the peer has ended its stream (FIN came), read or not (`POLLRDHUP`).
    pub fn peer_finished(&self) -> bool {
        self.recv.fin_received
    }

    /// Ends our stream: FIN goes after what is in the buffer (`SHUT_WR`).
    pub fn shutdown_send(&mut self, now: Instant) {
        if self.send.fin_queued {
            return;
        }
        match self.state {
            State::SynSent => self.die(None),
            // RFC 9293 §3.10.4: FIN waits for the handshake.
            State::SynReceived => self.send.fin_queued = true,
            State::Established => {
                self.send.fin_queued = true;
                self.set_state(now, State::FinWait1);
            }
            State::CloseWait => {
                self.send.fin_queued = true;
                self.set_state(now, State::LastAck);
            }
            _ => {}
        }
    }

    /// The program reads no more (`SHUT_RD`): reads give what is there, then the end. Data is still acknowledged.
    pub fn shutdown_recv(&mut self) {
        self.recv.shutdown = true;
        self.events.push(Event::Readable);
    }

    /// Whether [`Connection::shutdown_send`] or [`Connection::close`] was called.
    pub fn send_is_shut(&self) -> bool {
        self.send.fin_queued || self.state == State::Closed
    }

    /// Whether [`Connection::shutdown_recv`] or [`Connection::close`] was called.
    pub fn recv_is_shut(&self) -> bool {
        self.recv.shutdown
    }

    /// The program has closed it. Unread data, or linger zero, resets the connection (RFC 9293 §3.6.1, RFC 2525
    /// §2.17); otherwise what is in the buffer is sent, then FIN, and the connection lives on by itself until it is
    /// [`State::Closed`] or [`State::TimeWait`].
    pub fn close(&mut self, now: Instant) {
        self.flags.insert(Flags::ORPHAN);
        let unread = !self.recv.queue.is_empty();
        self.recv.shutdown = true;
        if matches!(self.state, State::Closed | State::TimeWait) {
            return;
        }
        if self.config.linger_zero || unread {
            self.abort(now);
            return;
        }
        if self.state == State::FinWait2 {
            self.timers.linger_at = now + self.config.fin_timeout;
        }
        self.shutdown_send(now);
    }

    /// Ends it at once with a reset (RFC 9293 §3.10.5).
    pub fn abort(&mut self, now: Instant) {
        match self.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => {
                let mut reset = self.header(now, self.send.nxt);
                reset.flags = TcpFlags::RST | TcpFlags::ACK;
                reset.options.sack.clear();
                self.reply(reset);
            }
            State::SynSent | State::TimeWait | State::Closed => {}
        }
        self.recv.queue.advance_to(self.recv.queue.end());
        self.die(None);
    }
}

// ---- What the owner asks -------------------------------------------------------------------------------------------
impl Connection {
    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// How it ended, if by an error. It stays: the owner takes it once for the program with
    /// [`Connection::take_error`].
    pub fn error(&self) -> Option<TcpError> {
        self.error
    }

    /// The error, which is forgotten (`SO_ERROR`).
    pub fn take_error(&mut self) -> Option<TcpError> {
        self.error.take()
    }

    /// What ICMP told and did not end the connection (RFC 1122 §4.2.3.9).
    pub fn soft_error(&self) -> Option<TcpError> {
        self.soft_error
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// What it has counted since the last call, for the namespace's counters.
    pub fn take_mibs(&mut self) -> Vec<(Mib, u32)> {
        self.mibs.take()
    }

    /// When [`Connection::on_timeout`] must be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether the program has closed it.
    pub fn is_orphan(&self) -> bool {
        self.flags.contains(Flags::ORPHAN)
    }

    /// Whether we opened it.
    pub fn is_active(&self) -> bool {
        self.flags.contains(Flags::ACTIVE)
    }

    /// Whether `seq`, quoted by an ICMP error, is of a segment in flight (RFC 5927 §4.1): others are forged or late.
    pub fn is_in_flight(&self, sequence: SeqNum) -> bool {
        let sequence = seq::near(self.send.una, sequence);
        self.send.una <= sequence && sequence < self.send.nxt
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The largest segment that is sent now, options taken off.
    pub fn mss(&self) -> u16 {
        self.send.mss as u16
    }
}

// ---- Live options --------------------------------------------------------------------------------------------------
impl Connection {
    /// `TCP_NODELAY`.
    pub fn set_nodelay(&mut self, on: bool) {
        self.configure(|config| &mut config.nodelay, on);
        self.send.push |= on && self.send.unsent() > 0;
    }

    /// `TCP_CORK`: off sends what was held back.
    pub fn set_cork(&mut self, on: bool) {
        self.send.push |= self.config.cork && !on && self.send.unsent() > 0;
        self.configure(|config| &mut config.cork, on);
    }

    /// `SO_KEEPALIVE`.
    pub fn set_keepalive(&mut self, now: Instant, on: bool) {
        self.configure(|config| &mut config.keepalive, on);
        self.arm_keepalive(now);
    }

    /// `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT`.
    pub fn set_keepalive_times(&mut self, now: Instant, times: Keepalive) {
        self.configure(|config| &mut config.keepalive_times, times);
        self.arm_keepalive(now);
    }

    /// `SO_SNDBUF`, bytes of data.
    pub fn set_send_buffer(&mut self, size: BufferSize) {
        self.configure(|config| &mut config.send_buffer, size);
    }

    /// `SO_RCVBUF`, bytes of data. The window scale of an open connection stays; the window never shrinks.
    pub fn set_recv_buffer(&mut self, size: BufferSize) {
        self.configure(|config| &mut config.recv_buffer, size);
        self.recv.limit = size.start.min(size.max);
    }

    /// `TCP_WINDOW_CLAMP`, bytes; 0 = none.
    pub fn set_window_clamp(&mut self, clamp: u32) {
        self.configure(|config| &mut config.window_clamp, clamp);
    }

    /// `TCP_CONGESTION`.
    pub fn set_congestion(&mut self, now: Instant, kind: CongestionKind) {
        self.configure(|config| &mut config.congestion, kind);
        self.send.set_controller(now, kind);
        self.ecn.set_exact(kind.needs_ecn());
    }

    /// `TCP_QUICKACK`: on sends an ACK that is held back.
    pub fn set_quick_ack(&mut self, on: bool) {
        self.flags.set(Flags::QUICK_ACK, on);
        self.recv.set_quick(on);
    }

    /// Whether ACKs go at once now (`TCP_QUICKACK`).
    pub fn quick_ack(&self) -> bool {
        self.recv.quick > 0
    }

    /// `TCP_USER_TIMEOUT`.
    pub fn set_user_timeout(&mut self, timeout: Option<Duration>) {
        self.configure(|config| &mut config.user_timeout, timeout);
    }

    /// `TCP_SYNCNT`.
    pub fn set_syn_retries(&mut self, retries: u8) {
        self.configure(|config| &mut config.syn_retries, retries);
    }

    /// `TCP_LINGER2`.
    pub fn set_fin_timeout(&mut self, timeout: Duration) {
        self.configure(|config| &mut config.fin_timeout, timeout);
    }

    /// `TCP_NOTSENT_LOWAT`, bytes.
    pub fn set_notsent_lowat(&mut self, bytes: u32) {
        self.configure(|config| &mut config.notsent_lowat, bytes);
    }

    /// `SO_MAX_PACING_RATE`, bytes per second: paces from now on, unless it is `u64::MAX`, which only lifts the bound.
    pub fn set_max_pacing_rate(&mut self, rate: u64) {
        self.configure(|config| &mut config.max_pacing_rate, rate);
        self.send.cc.pacing_rate = self.send.cc.pacing_rate.min(rate);
        if rate != u64::MAX {
            self.send.pacing.turn_on();
        }
    }

    /// `SO_LINGER` with zero seconds: close resets.
    pub fn set_linger_zero(&mut self, on: bool) {
        self.configure(|config| &mut config.linger_zero, on);
    }

    /// `SO_OOBINLINE`.
    pub fn set_oob_inline(&mut self, on: bool) {
        self.configure(|config| &mut config.oob_inline, on);
    }

    /// Whether segments may be larger than the MSS (`ethtool -K … gso`).
    pub fn set_gso(&mut self, on: bool) {
        self.configure(|config| &mut config.gso, on);
    }
}

impl Connection {
    /// Changes one setting of this connection alone.
    fn configure<T: PartialEq>(&mut self, which: impl Fn(&mut Config) -> &mut T, value: T) {
        if let Some(own) = Arc::get_mut(&mut self.config) {
            *which(own) = value;
            return;
        }
        let mut copy = Config::clone(&self.config);
        if *which(&mut copy) != value {
            *which(&mut copy) = value;
            self.config = Arc::new(copy);
        }
    }
}

// ---- Inside --------------------------------------------------------------------------------------------------------
impl Connection {
    pub(crate) fn set_state(&mut self, now: Instant, to: State) {
        let from = std::mem::replace(&mut self.state, to);
        if from == to {
            return;
        }
        self.events.push(Event::StateChanged(from, to));
        match to {
            State::TimeWait => {
                self.timers.stop_all();
                self.timers.linger_at = now + self.config.time_wait;
            }
            State::FinWait2 if self.flags.contains(Flags::ORPHAN) => {
                self.timers.linger_at = now + self.config.fin_timeout;
            }
            _ => {}
        }
    }

    /// The connection is over.
    pub(crate) fn die(&mut self, error: Option<TcpError>) {
        if self.state == State::Closed {
            return;
        }
        let from = std::mem::replace(&mut self.state, State::Closed);
        self.error = self.error.or(error);
        self.timers.stop_all();
        self.recv.owed = Owed::Nothing;
        self.flags.remove(Flags::SYN_DUE | Flags::HEAD_DUE | Flags::PROBE_DUE | Flags::OLD_ACK_DUE);
        self.send.discard();
        self.events.push(Event::StateChanged(from, State::Closed));
        self.events.push(Event::Closed);
    }

    /// Our timestamp clock: milliseconds (RFC 7323 §5.4).
    pub(crate) fn clock(&self, now: Instant) -> u32 {
        self.send.recovery.timestamp_offset.wrapping_add(now.as_millis() as u32)
    }

    /// A segment with number `sequence`, the current ACK, window and options, and no data.
    pub(crate) fn header(&mut self, now: Instant, sequence: u64) -> Segment {
        let mut options = TcpOptions::default();
        if self.flags.contains(Flags::TIMESTAMPS) {
            options.timestamps = Some((self.clock(now), self.ts_recent));
        }
        if self.send.sack {
            self.recv.sack_option(&mut options);
        }
        Segment {
            seq: seq::wire(sequence),
            ack: seq::wire(self.recv.nxt),
            flags: TcpFlags::ACK,
            window: self.recv.advertise(&self.config),
            options,
            ..Segment::default()
        }
    }

    /// The segment says what ECN has to say; `len` bytes of payload, new or not.
    pub(crate) fn add_ecn(&mut self, now: Instant, segment: &mut Segment, len: u32, new_data: bool) {
        if self.ecn.kind == EcnKind::None {
            return;
        }
        segment.ecn = self.ecn.codepoint(new_data && len > 0);
        segment.flags |= self.ecn.ack_flags(len == 0);
        if self.ecn.kind == EcnKind::Accurate {
            segment.accurate_ecn = true;
            let round_trip = self.send.rtt.srtt().unwrap_or_default();
            let interval = round_trip / u32::from(self.config.ecn_option_beacon.max(1));
            if len + u32::from(ACC_ECN_OPTION_LEN) <= self.data_mss() {
                segment.options.acc_ecn = self.ecn.option(now, interval, &self.config);
            }
        } else if new_data && len > 0 && std::mem::take(&mut self.send.cwr_due) {
            // RFC 3168 §6.1.2: once for each reduction, on the first new data after it.
            segment.flags |= TcpFlags::CWR;
        }
    }

    /// Queues an answer that is not a plain ACK.
    pub(crate) fn reply(&mut self, segment: Segment) {
        if self.replies.len() < REPLIES_MAX {
            self.replies.push_back(segment);
        }
    }

    /// Answers with an ACK of where we are, not too often (RFC 5961 §7).
    pub(crate) fn challenge(&mut self, now: Instant) {
        if self.challenge_at.is_some_and(|at| now.saturating_since(at) < CHALLENGE_INTERVAL) {
            return;
        }
        self.challenge_at = Some(now);
        self.recv.owed = Owed::Now;
    }

    /// Nothing was in flight for a while: the window may be out of date (RFC 2861, RFC 5681 §4.1).
    fn end_send_pause(&mut self, now: Instant) {
        if self.send.in_flight() > 0 || self.state.is_opening() || !self.send.buffer.is_empty() {
            return;
        }
        let idle = now.saturating_since(self.send.last_sent_at);
        let rto = self.send.rtt.rto(&self.config.rto_bounds());
        let at = self.send.moment(now);
        self.send.cc.on_idle_end(idle, rto, &at, self.config.slow_start_after_idle);
    }

    /// The segment size that path, peer and settings allow.
    pub(crate) fn sync_mss(&mut self) {
        let mss = self.config.advertised_mss(self.path_mss).min(self.peer_mss);
        let mss = self.mtu_search_limit().map_or(mss, |limit| mss.min(limit));
        let options = if self.flags.contains(Flags::TIMESTAMPS) { 12 } else { 0 };
        self.send.set_mss(u32::from(mss.max(self.config.mss_min) - options.min(mss / 2)));
    }

    /// The timer that the handshake waits for.
    pub(crate) fn arm_syn_timer(&mut self, now: Instant) {
        let linear = if self.state == State::SynSent { self.config.syn_linear_timeouts } else { 0 };
        let back_offs = self.retries.saturating_sub(linear).min(16);
        let rto = self.config.rto_initial.saturating_mul(1 << back_offs).min(self.config.rto_max);
        self.timers.set_resend(Resend::Rto, now + rto);
    }
}
