//! Opening: SYN, SYN-ACK, and the options they settle (RFC 9293 §3.5, RFC 7323, RFC 2018).

use std::collections::VecDeque;
use std::sync::Arc;

use netspace_base::{DropReason, Duration, Instant};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

use crate::config::Config;
use crate::connection::{Connection, Counts, Flags};
use crate::ecn::EcnState;
use crate::event::Events;
use crate::mib::Mibs;
use crate::receive::{Owed, Receiver, reasons};
use crate::segment::Segment;
use crate::send::Sender;
use crate::seq;
use crate::state::{Event, State, TcpError};
use crate::timer::Timers;

/// The segment size of a peer that tells none (RFC 9293 §3.7.1, MUST-15).
pub(crate) const MSS_DEFAULT: u16 = 536;

impl Connection {
    /// Opens a connection (RFC 9293 §3.10.1): a SYN with the initial number `iss` is ready to be sent. `path_mss` is
    /// what fits the path: its MTU without the IP and TCP headers.
    pub fn connect(config: impl Into<Arc<Config>>, now: Instant, iss: SeqNum, path_mss: u16) -> Self {
        let mut connection = Self::new(config.into(), iss, path_mss, State::SynSent);
        connection.flags.insert(Flags::ACTIVE | Flags::SYN_DUE);
        connection.heard_at = now;
        connection.arm_syn_timer(now);
        connection
    }

    /// Answers a SYN that a listening socket received (RFC 9293 §3.10.7.2): a SYN-ACK with the initial number `iss` is
    /// ready to be sent.
    pub fn accept(
        config: impl Into<Arc<Config>>,
        now: Instant,
        iss: SeqNum,
        syn: &Segment,
        path_mss: u16,
    ) -> Self {
        let mut connection = Self::new(config.into(), iss, path_mss, State::SynReceived);
        connection.flags.insert(Flags::SYN_DUE);
        connection.heard_at = now;
        connection.take_syn(now, syn);
        connection.ecn.on_syn(&connection.config, syn);
        connection.arm_syn_timer(now);
        connection
    }

    /// Its timestamp clock runs with another offset than its settings say, which it shares with others.
    #[must_use]
    pub fn with_timestamp_offset(mut self, offset: u32) -> Self {
        self.send.recovery.timestamp_offset = offset;
        self
    }

    fn new(config: Arc<Config>, iss: SeqNum, path_mss: u16, state: State) -> Self {
        let mss = u32::from(config.advertised_mss(path_mss));
        let mut ecn = EcnState::default();
        ecn.set_exact(config.congestion.needs_ecn());
        let mut send = Sender::new(&config, iss, mss);
        send.nxt = send.una + 1;
        send.recovery.timestamp_offset = config.timestamp_offset;
        let mut recv = Receiver::new(&config, mss);
        recv.scale = if config.window_scaling { config.window_scale() } else { 0 };
        Self {
            state,
            flags: Flags::empty(),
            send,
            recv,
            timers: Timers::default(),
            events: Events::default(),
            error: None,
            soft_error: None,
            replies: VecDeque::new(),
            ts_recent: 0,
            ts_recent_at: Instant::ZERO,
            path_mss,
            peer_mss: MSS_DEFAULT,
            retries: 0,
            stalled_at: None,
            probes: 0,
            syn_sent_at: Instant::ZERO,
            heard_at: Instant::ZERO,
            challenge_at: None,
            urgent: None,
            ecn,
            mibs: Mibs::default(),
            fast_open: None,
            mtu_search: None,
            cookie_offer: None,
            counts: Counts::default(),
            config,
        }
    }

    /// Takes numbers and options from the peer's SYN.
    fn take_syn(&mut self, now: Instant, syn: &Segment) {
        self.recv.begin(syn.seq);
        let options = &syn.options;
        self.peer_mss = options.mss.filter(|&mss| mss > 0).unwrap_or(MSS_DEFAULT);
        if self.config.timestamps
            && let Some((value, _)) = options.timestamps
        {
            self.flags.insert(Flags::TIMESTAMPS);
            self.ts_recent = value;
            self.ts_recent_at = now;
        }
        self.send.sack = self.config.sack && options.sack_permitted;
        match options.window_scale.filter(|_| self.config.window_scaling) {
            Some(scale) => {
                self.flags.insert(Flags::SCALING);
                self.send.scale = scale.min(14);
            }
            None => self.recv.scale = 0,
        }
        // RFC 7323 §2.2: the window of a SYN is not scaled.
        self.send.wnd = u32::from(syn.window);
        self.send.wnd_max = self.send.wnd;
        self.send.wl1 = seq::near(self.recv.nxt, syn.seq);
        self.send.wl2 = self.send.una;
        self.sync_mss();
        self.send.cc.restart(self.send.mss);
        self.recv.mss_seen = self.recv.mss_seen.min(self.recv.mss);
    }

    /// The SYN or SYN-ACK to send now.
    pub(crate) fn build_syn(&mut self, now: Instant) -> Segment {
        let answers = self.state == State::SynReceived;
        let mss = self.config.advertised_mss(self.path_mss);
        let mut options = TcpOptions { mss: Some(mss), ..TcpOptions::default() };
        let timestamps =
            if answers { self.flags.contains(Flags::TIMESTAMPS) } else { self.config.timestamps };
        let scaling = if answers { self.flags.contains(Flags::SCALING) } else { self.config.window_scaling };
        options.timestamps = timestamps.then(|| (self.clock(now), self.ts_recent));
        options.window_scale = scaling.then_some(self.recv.scale);
        options.sack_permitted = if answers { self.send.sack } else { self.config.sack };
        self.syn_sent_at = now;
        self.send.last_sent_at = now;
        let timestamp_len = if answers && timestamps { 12 } else { 0 };
        let window = self.recv.syn_window(u32::from(mss - timestamp_len.min(mss / 2)).max(1), &self.config);
        let mut syn = Segment {
            seq: seq::wire(self.send.una),
            flags: TcpFlags::SYN,
            window,
            options,
            ..Segment::default()
        };
        if answers {
            syn.flags |= TcpFlags::ACK | self.ecn.syn_ack_flags(self.retries);
            syn.options.fast_open = self.cookie_offer.as_deref().cloned();
            syn.options.acc_ecn = self.ecn.syn_ack_option(&self.config, self.retries);
            syn.ack = seq::wire(self.recv.nxt);
            self.recv.on_ack_sent();
        } else {
            syn.flags |= EcnState::syn_flags(&self.config, self.retries);
            self.add_syn_data(now, &mut syn);
        }
        syn
    }

    /// RFC 9293 §3.10.7.3: a segment in SYN-SENT.
    pub(crate) fn receive_in_syn_sent(&mut self, now: Instant, segment: Segment) -> Result<(), DropReason> {
        let flags = segment.flags;
        let ack = seq::near(self.send.una, segment.ack);
        // First: the ACK must be for our SYN.
        if flags.contains(TcpFlags::ACK) && !(self.send.una < ack && ack <= self.send.nxt) {
            if let Some(reset) = Segment::reset_for(&segment) {
                self.reply(reset);
            }
            return Err(reasons::bad_ack());
        }
        // RFC 7323 §3.2: an echo that we never sent belongs to an earlier connection.
        if flags.contains(TcpFlags::ACK)
            && let Some((_, echo)) = segment.options.timestamps.filter(|_| self.config.timestamps)
            && echo != 0
            && self.clock(now).wrapping_sub(echo) > i32::MAX as u32
        {
            if let Some(reset) = Segment::reset_for(&segment) {
                self.reply(reset);
            }
            return Err(reasons::paws());
        }
        // Second: a reset counts only if it acknowledges our SYN (RFC 5961 §3.2).
        if flags.contains(TcpFlags::RST) {
            if flags.contains(TcpFlags::ACK) {
                self.die(Some(TcpError::Refused));
            }
            return Err(reasons::reset());
        }
        // Fourth: SYN. (Fifth: anything else is dropped.)
        if !flags.contains(TcpFlags::SYN) {
            return Err(reasons::flags());
        }
        self.take_syn(now, &segment);
        if !flags.contains(TcpFlags::ACK) {
            // Simultaneous open (RFC 9293 §3.5): our SYN-ACK carries the same number as our SYN.
            self.ecn.on_syn(&self.config, &segment);
            self.set_state(now, State::SynReceived);
            self.flags.insert(Flags::SYN_DUE);
            return Ok(());
        }
        self.ecn.on_syn_ack(EcnState::syn_flags(&self.config, self.retries), &segment);
        self.establish(now, ack, &segment);
        self.settle_syn_data(now, ack, &segment);
        self.recv.owed = Owed::Now;
        if !segment.payload.is_empty() || flags.contains(TcpFlags::FIN) {
            // Data or FIN with the SYN-ACK: from the number after the SYN on.
            let mut rest = segment;
            rest.flags.remove(TcpFlags::SYN);
            rest.seq += 1;
            self.step_text(now, &mut rest)?;
            self.step_fin(now, &rest);
        }
        Ok(())
    }

    /// Our SYN is acknowledged.
    pub(crate) fn establish(&mut self, now: Instant, ack: u64, segment: &Segment) {
        let bounds = self.config.rto_bounds();
        self.send.handshake_acked(now);
        self.recv.established_at = now;
        // Karn: a SYN that was sent again gives a sample only by its timestamp.
        let echo = self.echo_age(now, segment);
        let resent = self.flags.contains(Flags::SYN_RESENT);
        let rtt = if resent { echo } else { Some(now.saturating_since(self.syn_sent_at)) };
        if let Some(rtt) = rtt {
            self.send.rtt.sample(now, rtt, self.send.una, self.send.nxt, &bounds);
        }
        if resent && echo.is_none() {
            // RFC 6298 (5.7).
            self.send.cc.cwnd = self.send.mss;
        }
        self.send.begin_control(now);
        self.send.wl1 = seq::near(self.recv.nxt, segment.seq);
        self.send.wl2 = ack;
        self.retries = 0;
        self.stalled_at = None;
        self.timers.stop_resend();
        self.flags.remove(Flags::SYN_DUE);
        self.recv.delay = Duration::ZERO;
        self.set_state(now, if self.send.fin_queued { State::FinWait1 } else { State::Established });
        self.events.push(Event::Connected);
        self.events.push(Event::Writable);
        self.begin_mtu_search(now);
        self.arm_keepalive(now);
        // A child opened early may have sent before.
        self.arm_resend(now);
    }

    /// How old the echoed timestamp is.
    pub(crate) fn echo_age(&self, now: Instant, segment: &Segment) -> Option<Duration> {
        if !self.flags.contains(Flags::TIMESTAMPS) {
            return None;
        }
        let (_, echo) = segment.options.timestamps?;
        let age_ms = self.clock(now).wrapping_sub(echo);
        (echo != 0 && age_ms < 1 << 22).then(|| Duration::from_millis(u64::from(age_ms.max(1))))
    }
}
