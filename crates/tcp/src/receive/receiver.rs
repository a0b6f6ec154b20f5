//! The receiving half: RFC 9293's RCV variables, the window that we advertise, and when to acknowledge.
//!
//! ```text
//!   queue.start ── to be read ── nxt ── window, with blocks out of order ── edge
//! ```

use netspace_base::{Duration, Instant};
use netspace_wire::tcp::{SeqNum, TcpOptions};

use super::reassembly::Reassembly;
use crate::config::Config;
use crate::queue::ByteQueue;
use crate::seq;

/// Segments acknowledged at once at a connection's start and after idleness, while the peer's window grows.
const QUICK_ACKS: u8 = 16;

/// Whether an ACK is owed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Owed {
    /// No.
    #[default]
    Nothing,
    /// Soon: with the next data, or when the delay ends (RFC 9293 §3.8.6.3).
    Delayed,
    /// At once.
    Now,
}

/// The receiving half of a connection.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// What the program has not read yet.
    pub(crate) queue: ByteQueue,
    /// What arrived out of order.
    pub(crate) late: Reassembly,
    /// The next number expected, FIN counted (RCV.NXT).
    pub(crate) nxt: u64,
    /// Where the window that the peer was told ends; it never moves back.
    edge: u64,
    /// What we acknowledged last.
    pub(crate) acked: u64,
    /// Our window scale.
    pub(crate) scale: u8,
    /// The segment size that we advertised, and the largest seen.
    pub(crate) mss: u32,
    pub(crate) mss_seen: u32,
    /// Bytes the buffer may hold now.
    pub(crate) limit: u32,
    /// The number of a FIN that has come out of order.
    pub(crate) fin_at: Option<u64>,
    pub(crate) fin_received: bool,
    /// The program reads no more.
    pub(crate) shutdown: bool,
    pub(crate) owed: Owed,
    /// Acknowledge at once this many times more; and whether the traffic goes to and fro, so that ACKs can ride on data.
    pub(crate) quick: u8,
    interactive: bool,
    /// The ACK delay; zero before the first data.
    pub(crate) delay: Duration,
    pub(crate) last_data_at: Instant,
    /// When the connection came about.
    pub(crate) established_at: Instant,
    /// A duplicate to report (RFC 2883).
    pub(crate) duplicate: Option<(u64, u64)>,
    tuning: Tuning,
    /// For `info`.
    pub(crate) bytes_received: u64,
}

/// Autotuning of the buffer by what the program reads in a round trip (dynamic right-sizing).
#[derive(Debug, Default)]
struct Tuning {
    copied: u64,
    space: u32,
    round_at: Instant,
    rtt: Duration,
}

impl Receiver {
    pub(crate) fn new(config: &Config, mss: u32) -> Self {
        let limit = config.recv_buffer.start.min(config.recv_buffer.max);
        Self {
            queue: ByteQueue::new(0),
            late: Reassembly::default(),
            nxt: 0,
            edge: 0,
            acked: 0,
            scale: 0,
            mss,
            mss_seen: mss.min(536),
            limit,
            fin_at: None,
            fin_received: false,
            shutdown: false,
            owed: Owed::Nothing,
            quick: 0,
            interactive: false,
            delay: Duration::ZERO,
            last_data_at: Instant::ZERO,
            established_at: Instant::ZERO,
            duplicate: None,
            // The peer's first window, so that the first full round trip lets the buffer grow.
            tuning: Tuning { space: limit.min(10 * mss), ..Tuning::default() },
            bytes_received: 0,
        }
    }

    /// The peer's SYN has come: its stream begins.
    pub(crate) fn begin(&mut self, peer_iss: SeqNum) {
        self.nxt = seq::first(peer_iss) + 1;
        self.queue = ByteQueue::new(self.nxt);
        self.edge = self.nxt;
        self.acked = self.nxt;
    }

    /// The window that the peer may still fill.
    pub(crate) fn window(&self) -> u32 {
        self.edge.saturating_sub(self.nxt) as u32
    }

    /// The window to advertise in a SYN: never scaled (RFC 7323 §2.2), and whole segments of `mss`, as Linux does.
    pub(crate) fn syn_window(&mut self, mss: u32, config: &Config) -> u16 {
        let free = self.free(config).min(0xffff);
        let window = if free > mss { free - free % mss } else { free };
        self.edge = self.edge.max(self.nxt + u64::from(window));
        window as u16
    }

    /// The window to advertise now, as on the wire. The edge moves on only by a worthwhile step: a segment or half the
    /// buffer (RFC 9293 §3.8.6.2.2, MUST-39), and never back (MUST-34's counsel).
    pub(crate) fn advertise(&mut self, config: &Config) -> u16 {
        let free = self.free(config);
        let current = self.window();
        let step = (self.limit / 2).min(self.mss_seen);
        let whole = free >> self.scale << self.scale;
        let window = if whole > current && whole - current >= step { whole } else { current };
        // A window that is kept is rounded up: the scale must not make it shrink.
        let field = window.div_ceil(1 << self.scale).min(0xffff);
        self.edge = self.edge.max(self.nxt + (u64::from(field) << self.scale));
        field as u16
    }

    fn free(&self, config: &Config) -> u32 {
        let limit = if config.window_clamp == 0 { self.limit } else { self.limit.min(config.window_clamp) };
        limit.saturating_sub(self.queue.len() as u32)
    }

    /// The program has read: whether the peer should be told of the room (it doubles what it has left), or an ACK held
    /// back is better sent now.
    pub(crate) fn on_read(&mut self, now: Instant, read: usize, config: &Config) {
        self.tune(now, read, config);
        let step = (self.limit / 2).min(self.mss_seen);
        let (free, left) = (self.free(config) >> self.scale << self.scale, self.window());
        let opens = free >= left.saturating_mul(2) && free - left >= step;
        let held_back = self.owed == Owed::Delayed && self.nxt - self.acked > u64::from(self.mss_seen);
        if (opens || held_back) && !self.fin_received {
            self.owed = Owed::Now;
        }
    }

    /// A segment with the current ACK and window was sent.
    pub(crate) fn on_ack_sent(&mut self) {
        self.acked = self.nxt;
        self.owed = Owed::Nothing;
        self.duplicate = None;
        self.quick = self.quick.saturating_sub(1);
    }

    /// The options that every ACK carries for us: SACK blocks, a duplicate first (RFC 2883 §4).
    pub(crate) fn sack_option(&self, options: &mut TcpOptions) {
        let max = if options.timestamps.is_some() { 3 } else { 4 };
        if let Some((start, end)) = self.duplicate {
            options.sack.push((seq::wire(start), seq::wire(end)));
            if let Some((start, end)) = self.late.range_at(start) {
                options.sack.push((seq::wire(start), seq::wire(end)));
            }
        }
        self.late.sack_blocks(max, &mut options.sack);
    }

    /// `len` bytes arrived in order, in segments of `size`: decides when to acknowledge.
    pub(crate) fn on_in_order(&mut self, now: Instant, len: u32, size: u32, rto: Duration, config: &Config) {
        self.bytes_received += u64::from(len);
        self.estimate_delay(now, size, rto, config);
        // RFC 9293 §3.8.6.3 (MUST-59): at least every second full segment; Linux: as soon as it is more than one.
        let unacked = (self.nxt - self.acked) as u32;
        let at_once = unacked > self.mss_seen || (self.quick > 0 && !self.interactive);
        self.owed = self.owed.max(if at_once { Owed::Now } else { Owed::Delayed });
    }

    /// The ACK delay follows the pace at which data comes; at the start and after a pause, ACKs go at once.
    fn estimate_delay(&mut self, now: Instant, size: u32, rto: Duration, config: &Config) {
        if size >= self.mss_seen {
            self.mss_seen = size.min(self.mss);
        }
        let gap = now.saturating_since(self.last_data_at);
        let least = config.ack_delay_min;
        if self.delay.is_zero() {
            self.be_quick();
            self.delay = least;
        } else if gap <= least / 2 {
            self.delay = self.delay / 2 + least / 2;
        } else if gap < self.delay {
            self.delay = (self.delay / 2 + gap).min(rto);
        } else if gap > rto {
            self.be_quick();
        }
        self.last_data_at = now;
    }

    /// `TCP_QUICKACK`: acknowledge at once from now on, or as usual.
    pub(crate) fn set_quick(&mut self, on: bool) {
        self.interactive = !on;
        self.quick = if on { QUICK_ACKS } else { 0 };
        if on && self.owed == Owed::Delayed {
            self.owed = Owed::Now;
        }
    }

    /// Acknowledge the next segments at once.
    pub(crate) fn be_quick(&mut self) {
        self.quick = QUICK_ACKS;
    }

    /// How long to hold an ACK back.
    pub(crate) fn ack_delay(&self, srtt: Option<Duration>, config: &Config) -> Duration {
        let longest = match srtt {
            Some(srtt) if !self.interactive => srtt.clamp(config.ack_delay_min, config.ack_delay_max),
            _ => config.ack_delay_max,
        };
        self.delay.clamp(config.ack_delay_min, longest)
    }

    /// The delay ended before an ACK could ride on data.
    pub(crate) fn on_delay_end(&mut self, config: &Config) {
        if self.interactive {
            self.interactive = false;
            self.delay = config.ack_delay_min;
        } else {
            self.delay = (self.delay * 2).min(config.ack_delay_max);
        }
        self.owed = Owed::Now;
    }

    /// Data is sent: soon after data came, it is an answer.
    pub(crate) fn on_data_sent(&mut self, now: Instant) {
        if !self.delay.is_zero() && now.saturating_since(self.last_data_at) < self.delay {
            self.interactive = true;
        }
    }

    /// A round-trip time as the receiver sees it: how old the echoed timestamp of a full segment is.
    pub(crate) fn sample_rtt(&mut self, age: Duration) {
        let age = age.max(Duration::from_millis(1));
        self.tuning.rtt = if self.tuning.rtt.is_zero() { age } else { (self.tuning.rtt * 7 + age) / 8 };
    }

    /// The receiver's round-trip time; zero if unknown.
    pub(crate) fn rtt(&self) -> Duration {
        self.tuning.rtt
    }

    /// Grows the buffer to what lets the peer double what it sent in the last round trip.
    fn tune(&mut self, now: Instant, read: usize, config: &Config) {
        let tuning = &mut self.tuning;
        tuning.copied += read as u64;
        if tuning.rtt.is_zero() || now.saturating_since(tuning.round_at) < tuning.rtt {
            return;
        }
        let copied = u32::try_from(tuning.copied).unwrap_or(u32::MAX);
        if copied > tuning.space && config.moderate_recv_buffer {
            let wanted = u64::from(copied) * 2 + 16 * u64::from(self.mss);
            let growth = u64::from(copied - tuning.space);
            let wanted = wanted + wanted * growth / u64::from(tuning.space.max(1));
            let wanted = wanted.min(u64::from(config.recv_buffer.max)) as u32;
            self.limit = self.limit.max(wanted);
        }
        tuning.space = tuning.space.max(copied);
        tuning.copied = 0;
        tuning.round_at = now;
    }

    /// What autotuning last saw the program read in a round trip.
    pub(crate) fn space(&self) -> u32 {
        self.tuning.space
    }
}
