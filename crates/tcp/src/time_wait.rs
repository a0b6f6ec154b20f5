//! TIME-WAIT in a few words: all that is left of a connection that was closed properly (RFC 9293 §3.6.1).

use netspace_base::{DropReason, Duration, Instant};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

use crate::connection::{Connection, Flags};
use crate::receive::{Owed, reasons};
use crate::segment::Segment;
use crate::seq;

/// A connection in TIME-WAIT: small, because there are many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimeWait {
    /// When it ends.
    pub expires_at: Instant,
    snd_nxt: u64,
    rcv_nxt: u64,
    window: u16,
    rfc1337: bool,
    /// The peer's newest timestamp and our clock's offset, if timestamps were in use.
    timestamps: Option<(u32, u32)>,
    duration_ms: u32,
}

/// What a segment for a connection in TIME-WAIT leads to.
#[expect(clippy::large_enum_variant, reason = "it lives for one match, and most answers are segments")]
#[derive(Debug)]
pub enum TimeWaitVerdict {
    /// It is dropped, for this reason.
    Drop(DropReason),
    /// It is dropped and answered.
    Answer(Segment, DropReason),
    /// A reset ended TIME-WAIT.
    End(DropReason),
    /// It is a SYN that may open a new connection (RFC 6191): TIME-WAIT ends, and the listening socket takes the SYN
    /// with an initial number from here on.
    Reopen(SeqNum),
}

impl TimeWait {
    /// Takes in a segment (RFC 9293 §3.10.7.4, in TIME-WAIT).
    pub fn receive(&mut self, now: Instant, segment: &Segment) -> TimeWaitVerdict {
        let start = seq::near(self.rcv_nxt, segment.seq);
        let old_timestamp = match (self.timestamps, segment.options.timestamps) {
            (Some((recent, _)), Some((value, _))) => (value.wrapping_sub(recent) as i32) < 0,
            _ => false,
        };
        if segment.flags.contains(TcpFlags::RST) {
            // RFC 1337: with the exact number it would end TIME-WAIT; Linux lets it, unless told otherwise.
            if start == self.rcv_nxt && !self.rfc1337 {
                return TimeWaitVerdict::End(reasons::reset());
            }
            return TimeWaitVerdict::Drop(reasons::time_wait());
        }
        if segment.flags.contains(TcpFlags::SYN) && !segment.flags.contains(TcpFlags::ACK) && !old_timestamp {
            // RFC 9293 §3.6.1 (MAY-2), RFC 6191: a number beyond the old connection's, or a newer timestamp.
            let newer_timestamp = match (self.timestamps, segment.options.timestamps) {
                (Some((recent, _)), Some((value, _))) => (value.wrapping_sub(recent) as i32) > 0,
                _ => false,
            };
            if start > self.rcv_nxt || newer_timestamp {
                return TimeWaitVerdict::Reopen(seq::wire(self.snd_nxt + 65_535 + 2));
            }
        }
        let fin_again = segment.flags.contains(TcpFlags::FIN) && !old_timestamp;
        if fin_again {
            self.expires_at = now + Duration::from_millis(u64::from(self.duration_ms));
        }
        let bare_ack = segment.sequence_len() == 0 && start == self.rcv_nxt;
        if bare_ack {
            return TimeWaitVerdict::Drop(reasons::time_wait());
        }
        TimeWaitVerdict::Answer(self.ack(now), reasons::time_wait())
    }

    /// Whether timestamps keep old segments apart from those of a successor (RFC 6191).
    pub const fn has_timestamps(&self) -> bool {
        self.timestamps.is_some()
    }

    fn ack(&self, now: Instant) -> Segment {
        let timestamps =
            self.timestamps.map(|(recent, offset)| (offset.wrapping_add(now.as_millis() as u32), recent));
        Segment {
            seq: seq::wire(self.snd_nxt),
            ack: seq::wire(self.rcv_nxt),
            flags: TcpFlags::ACK,
            window: self.window,
            options: TcpOptions { timestamps, ..TcpOptions::default() },
            ..Segment::default()
        }
    }
}

impl Connection {
    /// What is to be kept of a connection in [`crate::State::TimeWait`]: the owner may drop the connection itself once
    /// the program has closed it.
    pub fn time_wait(&mut self) -> TimeWait {
        let timestamps = self.flags.contains(Flags::TIMESTAMPS);
        TimeWait {
            expires_at: self.timers.linger_at,
            snd_nxt: self.send.nxt,
            rcv_nxt: self.recv.nxt,
            window: self.recv.advertise(&self.config),
            rfc1337: self.config.rfc1337,
            timestamps: timestamps.then_some((self.ts_recent, self.send.recovery.timestamp_offset)),
            duration_ms: self.config.time_wait.as_millis() as u32,
        }
    }

    pub(crate) fn receive_in_time_wait(&mut self, now: Instant, segment: &Segment) -> Result<(), DropReason> {
        let mut time_wait = self.time_wait();
        let reason = match time_wait.receive(now, segment) {
            TimeWaitVerdict::Drop(reason) => reason,
            TimeWaitVerdict::Answer(_, reason) => {
                self.recv.owed = Owed::Now;
                reason
            }
            TimeWaitVerdict::End(reason) => {
                self.die(None);
                reason
            }
            // Only the owner can hand it on; it asks before it calls.
            TimeWaitVerdict::Reopen(_) => reasons::time_wait(),
        };
        if self.timers.linger_at != Instant::FAR_FUTURE {
            self.timers.linger_at = time_wait.expires_at;
        }
        Err(reason)
    }
}
