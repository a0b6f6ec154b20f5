//! What the network reports about our segments: ICMP errors, and the path's MTU.

use netspace_base::Instant;

use crate::connection::Connection;
use crate::state::{IcmpError, State};

impl Connection {
    /// An ICMP error quotes a segment of ours (the owner has checked its number with [`Connection::is_in_flight`]).
    /// While the connection is being opened it ends it; later it only explains a timeout (RFC 1122 §4.2.3.9, RFC 5461).
    pub fn on_icmp_error(&mut self, error: IcmpError) {
        match self.state {
            State::SynSent | State::SynReceived => self.die(Some(error.error())),
            State::Closed | State::TimeWait => {}
            _ => self.soft_error = Some(error.error()),
        }
    }

    /// The path takes segments of `path_mss` bytes (its MTU without IP and TCP headers): smaller ones than before are
    /// cut anew and sent again without blaming congestion (RFC 1191 §6.4, RFC 8201 §5.4).
    pub fn on_path_mtu(&mut self, now: Instant, path_mss: u16) {
        if path_mss == self.path_mss || path_mss < self.config.mss_min {
            return;
        }
        self.path_mss = path_mss;
        let before = self.send.mss;
        self.limit_mtu_search(path_mss);
        self.sync_mss();
        if self.send.mss < before && self.send.in_flight() > 0 && !self.state.is_opening() {
            self.send.resegment();
            self.arm_resend(now);
        }
    }
}
