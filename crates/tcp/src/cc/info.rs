//! What a controller tells of itself (`TCP_CC_INFO`, `INET_DIAG_*INFO`).

use netspace_base::Duration;

/// A controller's state in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControllerInfo {
    /// Those of BBR, version 1 or 3.
    Bbr(BbrInfo),
    /// That of DCTCP.
    Dctcp(DctcpInfo),
}

/// `struct tcp_dctcp_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DctcpInfo {
    /// The peer takes part: otherwise it is Reno.
    pub enabled: bool,
    /// As receiver: the last packet was marked.
    pub ce_state: bool,
    /// The averaged share of marked bytes, in 1/1024.
    pub alpha: u32,
    /// Bytes marked in this round.
    pub marked: u32,
    /// Bytes delivered in this round.
    pub delivered: u32,
}

/// `struct tcp_bbr_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BbrInfo {
    /// The path's rate, bytes per second.
    pub bandwidth: u64,
    /// The smallest round-trip time; `Duration::MAX` = not known yet.
    pub min_rtt: Duration,
    /// The pacing rate in 1/256 of the rate.
    pub pacing_gain: u32,
    /// The window in 1/256 of rate times round-trip time.
    pub cwnd_gain: u32,
}

impl BbrInfo {
    /// Before a connection.
    pub(super) const IDLE: Self =
        Self { bandwidth: 0, min_rtt: Duration::ZERO, pacing_gain: 0, cwnd_gain: 0 };
}

impl DctcpInfo {
    /// Before a connection.
    pub(super) const IDLE: Self = Self { enabled: false, ce_state: false, alpha: 0, marked: 0, delivered: 0 };
}
