//! The `TCP_*` options of a socket.

use std::time::Duration;

use netspace_tcp::{CongestionKind, Keepalive};

use crate::sock::FastOpenKeys;
use crate::sock::sysctl::SockSysctls;

/// The options; none = as the sysctl says.
#[derive(Clone, Debug)]
pub(crate) struct OptionsTcp {
    pub(crate) nodelay: bool,
    pub(crate) maxseg: u16,
    pub(crate) cork: bool,
    pub(crate) keep_idle: Option<u32>,
    pub(crate) keep_intvl: Option<u32>,
    pub(crate) keep_cnt: Option<u32>,
    pub(crate) syn_cnt: Option<u8>,
    /// Seconds; negative: no FIN-WAIT-2 after close.
    pub(crate) linger2: Option<i32>,
    pub(crate) defer_accept: u32,
    pub(crate) window_clamp: u32,
    pub(crate) quickack: bool,
    pub(crate) congestion: CongestionKind,
    pub(crate) user_timeout: u32,
    pub(crate) notsent_lowat: u32,
    pub(crate) fastopen: u32,
    pub(crate) fastopen_connect: bool,
    pub(crate) fastopen_no_cookie: bool,
    pub(crate) fastopen_keys: Option<FastOpenKeys>,
}

impl OptionsTcp {
    pub(crate) fn new(sysctls: &SockSysctls) -> Self {
        Self {
            nodelay: false,
            maxseg: 0,
            cork: false,
            keep_idle: None,
            keep_intvl: None,
            keep_cnt: None,
            syn_cnt: None,
            linger2: None,
            defer_accept: 0,
            window_clamp: 0,
            quickack: true,
            congestion: sysctls.tcp_congestion_control,
            user_timeout: 0,
            notsent_lowat: 0,
            fastopen: 0,
            fastopen_connect: false,
            fastopen_no_cookie: false,
            fastopen_keys: None,
        }
    }

    pub(crate) fn keepalive(&self, sysctls: &SockSysctls) -> Keepalive {
        let seconds = |own: Option<u32>, default: u32| Duration::from_secs(u64::from(own.unwrap_or(default)));
        Keepalive {
            idle: seconds(self.keep_idle, sysctls.tcp_keepalive_time),
            interval: seconds(self.keep_intvl, sysctls.tcp_keepalive_intvl),
            probes: self.keep_cnt.unwrap_or(sysctls.tcp_keepalive_probes).min(255) as u8,
        }
    }

    pub(super) fn fin_timeout(&self, sysctls: &SockSysctls) -> Duration {
        let seconds = match self.linger2 {
            None | Some(0) => sysctls.tcp_fin_timeout,
            Some(own) => u32::try_from(own).unwrap_or(0),
        };
        Duration::from_secs(u64::from(seconds))
    }

    pub(super) fn user_timeout(&self) -> Option<Duration> {
        (self.user_timeout != 0).then(|| Duration::from_millis(u64::from(self.user_timeout)))
    }

    pub(super) fn notsent_lowat(&self, sysctls: &SockSysctls) -> u32 {
        if self.notsent_lowat == 0 { sysctls.tcp_notsent_lowat } else { self.notsent_lowat }
    }
}
