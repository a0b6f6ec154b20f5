//! `union tcp_cc_info` (linux/inet_diag.h): what a congestion control tells of itself.

use netspace_stack::sock::{BbrInfo, ControllerInfo, DctcpInfo};

/// `INET_DIAG_DCTCPINFO`, `INET_DIAG_BBRINFO`.
const DCTCPINFO: u16 = 9;
const BBRINFO: u16 = 16;

/// The attribute by which `NETLINK_SOCK_DIAG` tells it.
pub(crate) const fn attribute(info: &ControllerInfo) -> u16 {
    match info {
        ControllerInfo::Bbr(_) => BBRINFO,
        ControllerInfo::Dctcp(_) => DCTCPINFO,
    }
}

/// The bytes.
pub(crate) fn emit(info: &ControllerInfo) -> Vec<u8> {
    match info {
        ControllerInfo::Bbr(bbr) => emit_bbr(bbr).map(u32::to_ne_bytes).concat(),
        ControllerInfo::Dctcp(dctcp) => emit_dctcp(dctcp),
    }
}

/// `struct tcp_bbr_info`: the rate's low and high half, the round-trip time in microseconds, the gains.
fn emit_bbr(bbr: &BbrInfo) -> [u32; 5] {
    let min_rtt = u32::try_from(bbr.min_rtt.as_micros()).unwrap_or(u32::MAX);
    [bbr.bandwidth as u32, (bbr.bandwidth >> 32) as u32, min_rtt, bbr.pacing_gain, bbr.cwnd_gain]
}

/// `struct tcp_dctcp_info`: two flags of 16 bits, then alpha, and the marked and all bytes of this round.
fn emit_dctcp(dctcp: &DctcpInfo) -> Vec<u8> {
    let mut out = [dctcp.enabled, dctcp.ce_state].map(|flag| u16::from(flag).to_ne_bytes()).concat();
    out.extend([dctcp.alpha, dctcp.marked, dctcp.delivered].map(u32::to_ne_bytes).concat());
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bbr_is_laid_out_as_linux_has_it() {
        let bbr = BbrInfo {
            bandwidth: (3 << 32) + 7,
            min_rtt: Duration::from_micros(1_234),
            pacing_gain: 739,
            cwnd_gain: 512,
        };
        let words = [7u32, 3, 1_234, 739, 512].map(u32::to_ne_bytes).concat();
        assert_eq!(emit(&ControllerInfo::Bbr(bbr)), words);
        let unknown = BbrInfo { min_rtt: Duration::MAX, ..bbr };
        assert_eq!(emit(&ControllerInfo::Bbr(unknown))[8..12], u32::MAX.to_ne_bytes());
    }

    #[test]
    fn dctcp_is_laid_out_as_linux_has_it() {
        let dctcp = DctcpInfo { enabled: true, ce_state: false, alpha: 70, marked: 1_448, delivered: 28_960 };
        let bytes = emit(&ControllerInfo::Dctcp(dctcp));
        assert_eq!(bytes.len(), 16);
        assert_eq!(bytes[..4], [1u16, 0].map(u16::to_ne_bytes).concat());
        assert_eq!(bytes[4..], [70u32, 1_448, 28_960].map(u32::to_ne_bytes).concat());
    }
}
