//! Packetization-layer path MTU discovery (RFC 4821): a larger segment now and then shows whether it passes, without any
//! help from ICMP.
//!
//! ```text
//! low ──────── probe = (low + high) / 2 ──────── high
//!     acknowledged: low = probe          lost alone: high = probe − 1, and no blame on congestion
//! ```
//! With `tcp_mtu_probing` 1 the search begins when segments seem to vanish into a black hole.

mod state;

use netspace_base::Instant;

use crate::cc::Phase;
use crate::connection::Connection;
use crate::mib::Mib;
use crate::send::ProbeOutcome;

pub(crate) use state::MtuSearch;

/// Segments that the window must hold for a probe: its loss must be found by duplicate ACKs.
const WINDOW_MIN: u32 = 11;

impl Connection {
    /// The handshake is done: the search begins if it is always on.
    pub(crate) fn begin_mtu_search(&mut self, now: Instant) {
        if self.config.mtu_probing > 1 {
            self.start_mtu_search(now);
        }
    }

    fn start_mtu_search(&mut self, now: Instant) {
        let high = self.config.advertised_mss(self.path_mss).min(self.peer_mss);
        let low = self.config.base_mss.min(high);
        self.mtu_search = Some(Box::new(MtuSearch { low, high, probe: None, since: now }));
        self.sync_mss();
    }

    /// The size that the search allows; none without one.
    pub(crate) fn mtu_search_limit(&self) -> Option<u16> {
        self.mtu_search.as_ref().map(|search| search.low)
    }

    /// ICMP told a smaller MTU: larger sizes need not be tried.
    pub(crate) fn limit_mtu_search(&mut self, path_mss: u16) {
        if let Some(search) = &mut self.mtu_search {
            search.high = search.high.min(path_mss);
            search.low = search.low.min(path_mss);
        }
    }

    /// Timeouts in a row: what is sent may be too large for the path, and nobody tells (RFC 4821 §7.7).
    pub(crate) fn suspect_black_hole(&mut self, now: Instant) {
        if self.config.mtu_probing == 0 {
            return;
        }
        let (base, floor) = (self.config.base_mss, self.config.mtu_probe_floor.max(self.config.mss_min));
        match &mut self.mtu_search {
            None => return self.start_mtu_search(now),
            Some(search) => search.low = (search.low / 2).min(base).max(floor).min(search.high),
        }
        self.sync_mss();
    }

    /// How long a probe to send now is; none if there is nothing to find out, or not enough to send and to find its loss by.
    pub(crate) fn mtu_probe_len(&mut self, now: Instant) -> Option<u32> {
        self.search_again(now);
        let search = self.mtu_search.as_ref().filter(|search| search.probe.is_none())?;
        let span = search.high.saturating_sub(search.low);
        let size = search.low + span / 2;
        if span < self.config.probe_threshold || size <= search.low {
            return None;
        }
        let send = &self.send;
        let mss = send.mss;
        let options = u32::from(search.low).saturating_sub(mss);
        let len = u32::from(size).saturating_sub(options);
        let needed = len + (send.reordering_degree() + 1) * mss;
        let room = send.window_end().saturating_sub(send.nxt);
        let quiet = send.recovery.phase == Phase::Open && self.recv.late.is_empty();
        let window = send.cc.cwnd >= WINDOW_MIN * mss && send.pipe() + 2 * mss <= send.cc.cwnd;
        (quiet && window && send.unsent() >= needed && room >= u64::from(needed)).then_some(len)
    }

    /// Paths change: after a while sizes that failed are tried again.
    fn search_again(&mut self, now: Instant) {
        let (interval, high) =
            (self.config.probe_interval, self.config.advertised_mss(self.path_mss).min(self.peer_mss));
        let Some(search) = &mut self.mtu_search else { return };
        if search.probe.is_none() && now.saturating_since(search.since) >= interval {
            search.high = high;
            search.since = now;
        }
    }

    /// A probe of `len` bytes is going out.
    pub(crate) fn mtu_probe_sent(&mut self, start: u64, len: u32) {
        let mss = self.send.mss;
        if let Some(search) = &mut self.mtu_search {
            let options = u32::from(search.low).saturating_sub(mss);
            search.probe = Some((len + options) as u16);
        }
        self.send.mtu_probe = Some((start, start + u64::from(len)));
        // It stands for two segments of what went before.
        self.send.cc.cwnd = self.send.cc.cwnd.saturating_sub(mss).max(mss);
    }

    /// After an ACK: what became of the probe.
    pub(crate) fn settle_mtu_probe(&mut self, outcome: ProbeOutcome) {
        let Some(search) = &mut self.mtu_search else { return };
        let Some(size) = search.probe.take() else { return };
        match outcome {
            ProbeOutcome::Passed => {
                // ICMP may have told of less while it was on its way.
                search.low = size.min(search.high);
                self.mibs.add(Mib::MtupSuccess, 1);
                self.sync_mss();
            }
            ProbeOutcome::Lost => {
                search.high = (size - 1).min(search.high).max(search.low);
                self.mibs.add(Mib::MtupFail, 1);
                self.send.cc.cwnd += self.send.mss;
            }
            ProbeOutcome::Unknown => {}
        }
    }
}
