//! The controllers by name.

use super::Controller;
use super::bbr::Bbr;
use super::bbr3::Bbr3;
use super::cubic::Cubic;
use super::dctcp::Dctcp;
use super::info::{BbrInfo, ControllerInfo, DctcpInfo};
use super::reno::Reno;

/// A congestion control algorithm (`TCP_CONGESTION`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CongestionKind {
    /// NewReno (RFC 5681, 6582).
    Reno,
    /// CUBIC (RFC 9438).
    #[default]
    Cubic,
    /// BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00).
    Bbr,
    /// BBR, version 3 (draft-ietf-ccwg-bbr).
    Bbr3,
    /// DCTCP (RFC 8257).
    Dctcp,
}

impl CongestionKind {
    /// All of them, as `net.ipv4.tcp_available_congestion_control` lists them.
    pub const ALL: &[Self] = &[Self::Reno, Self::Cubic, Self::Bbr, Self::Bbr3, Self::Dctcp];

    /// Its name, as `TCP_CONGESTION` tells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Bbr3 => "bbr3",
            Self::Dctcp => "dctcp",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether any program may choose it (`net.ipv4.tcp_allowed_congestion_control`).
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Reno | Self::Cubic | Self::Bbr | Self::Bbr3)
    }

    /// What it tells of itself while there is no connection (`TCP_CC_INFO`).
    pub const fn idle_info(self) -> Option<ControllerInfo> {
        match self {
            Self::Reno | Self::Cubic => None,
            Self::Bbr | Self::Bbr3 => Some(ControllerInfo::Bbr(BbrInfo::IDLE)),
            Self::Dctcp => Some(ControllerInfo::Dctcp(DctcpInfo::IDLE)),
        }
    }

    /// Whether it sets the pacing rate itself and relies on it.
    pub(crate) const fn needs_pacing(self) -> bool {
        matches!(self, Self::Bbr | Self::Bbr3)
    }

    /// Whether it asks for ECN, whatever `net.ipv4.tcp_ecn` says, and has every mark told as it comes.
    pub(crate) const fn needs_ecn(self) -> bool {
        matches!(self, Self::Dctcp)
    }

    /// A fresh controller; `seed` is its chance.
    pub(super) fn controller(self, seed: u64) -> Controller {
        match self {
            Self::Reno => Controller::Window(Box::<Reno>::default()),
            Self::Cubic => Controller::Window(Box::<Cubic>::default()),
            Self::Dctcp => Controller::Window(Box::<Dctcp>::default()),
            Self::Bbr => Controller::Model(Box::new(Bbr::new(seed))),
            Self::Bbr3 => Controller::Model(Box::new(Bbr3::new(seed))),
        }
    }
}
