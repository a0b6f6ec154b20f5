//! SYN-RECEIVED in a few words: what a listening socket's SYN queue needs to keep of a connection until its handshake is
//! done, so that a flood of SYNs costs little.
//!
//! ```text
//! SYN ──▶ SynReceived::new ── syn_ack ──▶        on_timeout: SYN-ACK again
//! ACK ──▶ receive: Complete ── into_connection ──▶ Connection in ESTABLISHED, the ACK's data taken in
//! ```

use std::sync::Arc;

use netspace_base::{DropReason, Duration, Instant};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

use crate::config::Config;
use crate::connection::{Connection, Flags};
use crate::receive::reasons;
use crate::segment::Segment;

/// A SYN that was answered. The settings stay with the listener, which lends them for each call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SynReceived {
    iss: SeqNum,
    peer_iss: SeqNum,
    /// What the peer's SYN said.
    peer_window: u16,
    peer_mss: Option<u16>,
    peer_scale: Option<u8>,
    peer_timestamp: Option<u32>,
    peer_sack: bool,
    peer_flags: TcpFlags,
    peer_ecn: Ecn,
    path_mss: u16,
    retries: u8,
    timestamp_offset: u32,
    sent_at: Instant,
    due_at: Instant,
}

/// What a segment for a half-open connection leads to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for one match")]
pub enum SynVerdict {
    /// The handshake is done: [`SynReceived::into_connection`] makes the connection.
    Complete,
    /// It is dropped, for this reason.
    Drop(DropReason),
    /// It is dropped and answered.
    Answer(Segment, DropReason),
    /// A reset: the entry goes.
    End(DropReason),
}

impl SynReceived {
    /// Takes note of a SYN; [`SynReceived::syn_ack`] is to be sent at once. `timestamp_offset`: of our timestamp clock.
    pub fn new(
        config: &Config,
        now: Instant,
        iss: SeqNum,
        syn: &Segment,
        path_mss: u16,
        timestamp_offset: u32,
    ) -> Self {
        let options = &syn.options;
        Self {
            iss,
            peer_iss: syn.seq,
            peer_window: syn.window,
            peer_mss: options.mss,
            peer_scale: options.window_scale,
            peer_timestamp: options.timestamps.map(|(value, _)| value),
            peer_sack: options.sack_permitted,
            peer_flags: syn.flags,
            peer_ecn: syn.ecn,
            path_mss,
            retries: 0,
            timestamp_offset,
            sent_at: now,
            due_at: now + config.rto_initial,
        }
    }

    /// The SYN-ACK.
    pub fn syn_ack(&self, config: &Arc<Config>, now: Instant) -> Segment {
        self.connection(config, now).build_syn(now)
    }

    /// When [`SynReceived::on_timeout`] must be called.
    pub fn next_timeout(&self) -> Instant {
        self.due_at
    }

    /// The SYN-ACK is to be sent again, as given; or it was sent often enough, and the entry goes.
    pub fn on_timeout(&mut self, config: &Arc<Config>, now: Instant) -> Option<Segment> {
        if self.retries >= config.synack_retries {
            return None;
        }
        self.retries += 1;
        self.sent_at = now;
        self.due_at = now + config.rto_initial.saturating_mul(1 << self.retries.min(16)).min(config.rto_max);
        Some(self.syn_ack(config, now))
    }

    /// Takes in a segment (RFC 9293 §3.10.7.4 in SYN-RECEIVED).
    pub fn receive(&mut self, config: &Arc<Config>, now: Instant, segment: &Segment) -> SynVerdict {
        if segment.flags.contains(TcpFlags::SYN) && segment.seq == self.peer_iss {
            // Our SYN-ACK was lost, or is late.
            return SynVerdict::Answer(self.syn_ack(config, now), reasons::old());
        }
        if self.is_older(segment) {
            return SynVerdict::Answer(self.ack(config, now), reasons::paws());
        }
        let next = self.peer_iss + 1;
        let offset = segment.seq - next;
        let in_window = offset >= 0 && offset as u32 <= config.recv_buffer.start.min(0xffff);
        if segment.flags.contains(TcpFlags::RST) {
            // RFC 5961 §3.2: only the exact number ends it.
            return match (offset, in_window) {
                (0, _) => SynVerdict::End(reasons::reset()),
                (_, true) => SynVerdict::Answer(self.ack(config, now), reasons::reset()),
                _ => SynVerdict::Drop(reasons::out_of_window()),
            };
        }
        if !in_window {
            return SynVerdict::Answer(self.ack(config, now), reasons::out_of_window());
        }
        if segment.flags.contains(TcpFlags::SYN) {
            return SynVerdict::Answer(self.ack(config, now), reasons::flags());
        }
        if !segment.flags.contains(TcpFlags::ACK) {
            return SynVerdict::Drop(reasons::flags());
        }
        if segment.ack == self.iss + 1 {
            return SynVerdict::Complete;
        }
        match Segment::reset_for(segment) {
            Some(reset) => SynVerdict::Answer(reset, reasons::bad_ack()),
            None => SynVerdict::Drop(reasons::bad_ack()),
        }
    }

    /// The connection, once `ack` has completed the handshake; `ack` is taken in, with its data.
    pub fn into_connection(self, config: &Arc<Config>, now: Instant, ack: Segment) -> Connection {
        let mut connection = self.connection(config, self.sent_at);
        // What the SYN-ACK promised counts: its window, and when it was sent.
        let _promised = connection.build_syn(self.sent_at);
        connection.flags.remove(Flags::SYN_DUE);
        connection.flags.set(Flags::SYN_RESENT, self.retries > 0);
        // It is in its state by now, or the caller did not ask `receive`.
        let _state = connection.receive(now, ack);
        connection
    }

    /// The connection as the SYN made it.
    fn connection(&self, config: &Arc<Config>, now: Instant) -> Connection {
        let syn = Segment {
            seq: self.peer_iss,
            flags: self.peer_flags,
            ecn: self.peer_ecn,
            window: self.peer_window,
            options: TcpOptions {
                mss: self.peer_mss,
                window_scale: self.peer_scale,
                sack_permitted: self.peer_sack,
                timestamps: self.peer_timestamp.map(|value| (value, 0)),
                ..TcpOptions::default()
            },
            ..Segment::default()
        };
        let mut connection = Connection::accept(Arc::clone(config), now, self.iss, &syn, self.path_mss)
            .with_timestamp_offset(self.timestamp_offset);
        connection.retries = self.retries;
        connection
    }

    fn ack(&self, config: &Arc<Config>, now: Instant) -> Segment {
        let mut segment = self.syn_ack(config, now);
        segment.flags = TcpFlags::ACK;
        segment.seq = self.iss + 1;
        let timestamps = segment.options.timestamps;
        segment.options = TcpOptions { timestamps, ..TcpOptions::default() };
        segment
    }

    fn is_older(&self, segment: &Segment) -> bool {
        match (self.peer_timestamp, segment.options.timestamps) {
            (Some(recent), Some((value, _))) => {
                !segment.flags.contains(TcpFlags::RST) && (value.wrapping_sub(recent) as i32) < 0
            }
            _ => false,
        }
    }

    /// How long ago the SYN-ACK was last sent.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.sent_at)
    }
}
