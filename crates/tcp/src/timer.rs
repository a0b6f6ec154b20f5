//! The timers of a connection: when each is due, and which is next.
//!
//! Retransmission, tail loss probe, reordering, zero-window probe and cork exclude each other, so they share one slot,
//! as in Linux. What happens when a timer is due is in `timeout.rs`.

use netspace_base::Instant;

/// What the shared slot waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Resend {
    /// Nothing.
    #[default]
    Idle,
    /// The retransmission timeout (RFC 6298), or that of a SYN.
    Rto,
    /// The tail loss probe (RFC 8985 §7).
    TailProbe,
    /// The reordering window (RFC 8985 §6.2): segments not yet deemed lost.
    Reordering,
    /// The next zero-window probe, or the send that silly-window avoidance held back (RFC 9293 §3.8.6).
    Persist,
    /// The end of corking.
    Cork,
}

/// When what is due; `FAR_FUTURE` = off.
#[derive(Debug)]
pub(crate) struct Timers {
    pub(crate) resend: Resend,
    pub(crate) resend_at: Instant,
    /// When pacing lets the next segment go.
    pub(crate) pacing_at: Instant,
    pub(crate) delayed_ack_at: Instant,
    pub(crate) keepalive_at: Instant,
    /// The end of FIN-WAIT-2 or TIME-WAIT.
    pub(crate) linger_at: Instant,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            resend: Resend::Idle,
            resend_at: Instant::FAR_FUTURE,
            pacing_at: Instant::FAR_FUTURE,
            delayed_ack_at: Instant::FAR_FUTURE,
            keepalive_at: Instant::FAR_FUTURE,
            linger_at: Instant::FAR_FUTURE,
        }
    }
}

impl Timers {
    pub(crate) fn set_resend(&mut self, what: Resend, at: Instant) {
        self.resend = what;
        self.resend_at = at;
    }

    pub(crate) fn stop_resend(&mut self) {
        self.set_resend(Resend::Idle, Instant::FAR_FUTURE);
    }

    /// The earliest; none if all are off.
    pub(crate) fn next(&self) -> Option<Instant> {
        let next = self.resend_at.min(self.pacing_at).min(self.delayed_ack_at);
        let next = next.min(self.keepalive_at).min(self.linger_at);
        (next != Instant::FAR_FUTURE).then_some(next)
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }
}
