//! NewReno's congestion avoidance (RFC 5681 §3.1).

use super::{Acked, Cause, Window};

#[derive(Debug, Default)]
pub(super) struct Reno {
    /// Bytes acknowledged since the window last grew.
    acked: u32,
}

impl Window for Reno {
    /// One segment more for each window's worth of acknowledged bytes (RFC 5681 §3.1, by RFC 3465's counting).
    fn grow(&mut self, mut cwnd: u32, acked: &Acked) -> u32 {
        self.acked = self.acked.saturating_add(acked.bytes);
        while self.acked >= cwnd {
            self.acked -= cwnd;
            cwnd += acked.at.mss;
        }
        cwnd
    }

    fn reduce(&mut self, cwnd: u32, _cause: Cause) -> u32 {
        cwnd / 2
    }
}
