//! What happens when a timer is due.

use netspace_base::{Duration, Instant};

use crate::connection::{Connection, Flags};
use crate::receive::Owed;
use crate::send::ProbeOutcome;
use crate::state::{State, TcpError};
use crate::timer::Resend;

impl Connection {
    /// Carries out what is due at `now`; [`Connection::poll_transmit`] then has what is to be sent.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.timers.delayed_ack_at <= now {
            self.timers.delayed_ack_at = Instant::FAR_FUTURE;
            if self.recv.owed == Owed::Delayed {
                self.recv.on_delay_end(&self.config);
            }
        }
        if self.timers.linger_at <= now {
            self.timers.linger_at = Instant::FAR_FUTURE;
            self.die(None);
            return;
        }
        if self.timers.pacing_at <= now {
            self.timers.pacing_at = Instant::FAR_FUTURE;
        }
        if self.timers.resend_at <= now {
            self.on_resend_timeout(now);
        }
        if self.timers.keepalive_at <= now && self.state != State::Closed {
            self.on_keepalive_timeout(now);
        }
    }

    fn on_resend_timeout(&mut self, now: Instant) {
        let what = self.timers.resend;
        self.timers.stop_resend();
        match what {
            Resend::Idle => {}
            Resend::Rto if self.state.is_opening() => self.on_syn_timeout(now),
            Resend::Rto => self.on_rto(now),
            Resend::TailProbe => {
                if self.send.tail_probe_timeout(&self.config).is_some() {
                    self.flags.insert(Flags::PROBE_DUE);
                    // RFC 8985 §7.3: the timeout begins anew with the probe.
                    self.send.rto_from = now;
                }
                self.arm_rto(now);
            }
            Resend::Reordering => {
                self.send.on_reordering_timeout(now);
                self.arm_resend(now);
            }
            Resend::Persist => self.on_persist_timeout(now),
            Resend::Cork => {
                self.send.push = true;
                self.send.unpushed = false;
            }
        }
    }

    /// RFC 9293 §3.8.3 (MUST-22, 23): SYN and SYN-ACK have a limit of their own.
    fn on_syn_timeout(&mut self, now: Instant) {
        // A SYN is given up after the time that its retries would take if each timeout were twice the one before, however
        // many are sent in that time (Linux since 6.5).
        let over = if self.state == State::SynSent {
            let first = *self.stalled_at.get_or_insert(self.syn_sent_at);
            let limit = self.back_off_from(self.config.rto_initial, self.config.syn_retries);
            now.saturating_since(first) >= limit
        } else {
            self.retries >= self.config.synack_retries
        };
        if over {
            self.die(Some(self.soft_error.unwrap_or(TcpError::TimedOut)));
            return;
        }
        self.retries += 1;
        self.flags.insert(Flags::SYN_DUE | Flags::SYN_RESENT);
        self.arm_syn_timer(now);
    }

    /// RFC 6298 (5.4) to (5.6).
    fn on_rto(&mut self, now: Instant) {
        let stalled_at = *self.stalled_at.get_or_insert(now);
        if self.has_timed_out(now, stalled_at, self.retries) {
            self.die(Some(self.soft_error.unwrap_or(TcpError::TimedOut)));
            return;
        }
        self.retries = self.retries.saturating_add(1);
        if now.saturating_since(stalled_at) >= self.back_off_time(self.config.retries1) {
            self.suspect_black_hole(now);
        }
        self.send.on_rto(now, self.config.frto);
        // What goes again goes in smaller pieces: it tells nothing of the probe.
        self.settle_mtu_probe(ProbeOutcome::Unknown);
        self.flags.insert(Flags::HEAD_DUE);
        self.arm_rto(now);
    }

    /// Whether the peer has been silent for too long (RFC 9293 §3.8.3 R2, as Linux reads `tcp_retries2`: the time that
    /// so many back-offs from the smallest timeout would take).
    fn has_timed_out(&self, now: Instant, stalled_at: Instant, tries: u8) -> bool {
        let stalled = now.saturating_since(stalled_at);
        if let Some(limit) = self.config.user_timeout {
            return tries > 0 && stalled >= limit;
        }
        let orphan = self.flags.contains(Flags::ORPHAN);
        let boundary = if orphan { self.config.orphan_retries } else { self.config.retries2 };
        tries > 0 && stalled >= self.back_off_time(boundary)
    }

    /// The sum of `boundary` + 1 timeouts, each twice the one before, from the smallest to the largest.
    fn back_off_time(&self, boundary: u8) -> Duration {
        self.back_off_from(self.config.rto_min, boundary)
    }

    fn back_off_from(&self, mut rto: Duration, boundary: u8) -> Duration {
        let mut sum = Duration::ZERO;
        for _ in 0..=boundary {
            sum += rto;
            rto = (rto * 2).min(self.config.rto_max);
        }
        sum
    }

    /// RFC 9293 §3.8.6.1: the window has been closed, or too small, for a while.
    fn on_persist_timeout(&mut self, now: Instant) {
        let stalled_at = *self.stalled_at.get_or_insert(now);
        let orphan = self.flags.contains(Flags::ORPHAN);
        // An orphan is given up even if its peer answers: nobody will ever read.
        let tries = if orphan { self.send.rtt.backoff } else { self.probes };
        let limit = if orphan { self.config.orphan_retries } else { self.config.retries2 };
        let late = self.config.user_timeout.is_some_and(|limit| now.saturating_since(stalled_at) >= limit);
        if tries >= limit || late {
            self.die(Some(self.soft_error.unwrap_or(TcpError::TimedOut)));
            return;
        }
        if self.send.window_end() > self.send.nxt {
            // Silly-window avoidance's override: what fits goes.
            self.send.push = true;
        } else {
            self.flags.insert(Flags::OLD_ACK_DUE);
            self.flags.set(Flags::URGENT_DUE, self.send.urgent_end.is_some());
        }
        self.probes = self.probes.saturating_add(1);
        self.send.rtt.backoff = self.send.rtt.backoff.saturating_add(1);
        self.timers.set_resend(Resend::Persist, now + self.send.rtt.rto(&self.config.rto_bounds()));
    }

    /// RFC 9293 §3.8.4.
    fn on_keepalive_timeout(&mut self, now: Instant) {
        self.timers.keepalive_at = Instant::FAR_FUTURE;
        let times = self.config.keepalive_times;
        if !self.config.keepalive || self.state.is_opening() || self.state == State::TimeWait {
            return;
        }
        if self.send.in_flight() > 0 || self.send.unsent() > 0 {
            // Retransmission watches over the connection now.
            self.timers.keepalive_at = now + times.idle;
            return;
        }
        let idle = now.saturating_since(self.heard_at);
        if idle < times.idle {
            self.timers.keepalive_at = self.heard_at + times.idle;
            return;
        }
        let given_up = match self.config.user_timeout {
            Some(limit) => idle >= limit && self.probes > 0,
            None => self.probes >= times.probes,
        };
        if given_up {
            self.abort(now);
            self.error = Some(self.soft_error.unwrap_or(TcpError::TimedOut));
            return;
        }
        self.probes += 1;
        self.flags.insert(Flags::OLD_ACK_DUE);
        self.timers.keepalive_at = now + times.interval;
    }

    pub(crate) fn arm_keepalive(&mut self, now: Instant) {
        let open = !self.state.is_opening() && !matches!(self.state, State::Closed | State::TimeWait);
        self.timers.keepalive_at = if self.config.keepalive && open {
            (self.heard_at + self.config.keepalive_times.idle).max(now)
        } else {
            Instant::FAR_FUTURE
        };
    }

    /// After every segment: an ACK that may wait gets its timer.
    pub(crate) fn after_input(&mut self, now: Instant) {
        if self.recv.owed == Owed::Delayed && self.timers.delayed_ack_at == Instant::FAR_FUTURE {
            self.timers.delayed_ack_at = now + self.recv.ack_delay(self.send.rtt.srtt(), &self.config);
        }
    }

    /// Sets the shared slot to what the sender waits for now.
    pub(crate) fn arm_resend(&mut self, now: Instant) {
        if self.state.is_opening() || matches!(self.state, State::Closed | State::TimeWait) {
            return;
        }
        if self.send.in_flight() == 0 {
            return self.arm_idle(now);
        }
        if let Some(due_at) = self.send.reordering_due() {
            return self.timers.set_resend(Resend::Reordering, due_at.max(now));
        }
        self.arm_rto(now);
        if let Some(timeout) = self.send.tail_probe_timeout(&self.config) {
            // RFC 8985 §7.2: at the latest when the timeout would come.
            let at = (now + timeout + self.send.pacing.delay(now)).min(self.timers.resend_at);
            self.timers.set_resend(Resend::TailProbe, at);
        }
    }

    /// Nothing is in flight: what keeps the rest back?
    fn arm_idle(&mut self, now: Instant) {
        let what = match (self.send.window_blocked, self.send.cork_blocked) {
            (true, _) => Resend::Persist,
            (_, true) => Resend::Cork,
            _ => return self.timers.stop_resend(),
        };
        if self.timers.resend != what {
            // As Linux, corked data waits as long as a closed window's probe does.
            let delay = self.send.rtt.rto(&self.config.rto_bounds());
            self.timers.set_resend(what, now + delay);
        }
    }

    fn arm_rto(&mut self, now: Instant) {
        // What pacing holds back is not late.
        let rto = self.send.rtt.rto(&self.config.rto_bounds());
        let mut at = self.send.rto_from + rto + self.send.pacing.delay(now);
        if let (Some(limit), Some(stalled_at)) = (self.config.user_timeout, self.stalled_at) {
            at = at.min(stalled_at + limit);
        }
        self.timers.set_resend(Resend::Rto, at.max(now));
    }
}
