//! What a script's options and the caller ask for: addresses, ports, tolerances.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::lex::Place;
use super::script::Script;

/// Which addresses and sockets a script runs with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// IPv4 packets, `AF_INET` sockets.
    V4,
    /// IPv6 packets, `AF_INET6` sockets.
    V6,
    /// IPv4 packets, `AF_INET6` sockets.
    Mapped,
}

impl Version {
    /// All three.
    pub const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    /// The name that `--ip_version` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::Mapped => "ipv4-mapped-ipv6",
        }
    }

    /// By its name; `ipv4-mapped` will do.
    pub fn find(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|v| v.name() == name || (*v == Self::Mapped && name == "ipv4-mapped"))
    }

    /// Whether the packets are IPv6.
    pub(super) const fn is_v6(self) -> bool {
        matches!(self, Self::V6)
    }

    /// Names that public suites define for each version, so that one script serves all.
    pub(super) const fn defines(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::V4 => &[
                ("TFO_COOKIE", "3021b9d889017eeb"),
                ("CODE", "host_unreachable"),
                ("CMSG_LEVEL_IP", "SOL_IP"),
                ("CMSG_TYPE_RECVERR", "IP_RECVERR"),
            ],
            Self::V6 => &[
                ("TFO_COOKIE", "c1d1e9742a47a9bc"),
                ("CODE", "address_unreachable"),
                ("CMSG_LEVEL_IP", "SOL_IPV6"),
                ("CMSG_TYPE_RECVERR", "IPV6_RECVERR"),
            ],
            Self::Mapped => &[
                ("TFO_COOKIE", "3021b9d889017eeb"),
                ("CODE", "host_unreachable"),
                ("CMSG_LEVEL_IP", "SOL_IPV6"),
                ("CMSG_TYPE_RECVERR", "IPV6_RECVERR"),
            ],
        }
    }
}

/// Where and how exactly a script runs.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) version: Version,
    pub(super) local: IpAddr,
    pub(super) remote: IpAddr,
    pub(super) gateway: IpAddr,
    /// Bits of the local network's prefix.
    pub(super) prefix: u8,
    pub(super) mtu: u32,
    pub(super) bind_port: u16,
    pub(super) connect_port: u16,
    /// How far off a time may be, nanoseconds.
    pub(super) tolerance_ns: i64,
    /// The same as a share of the time waited for, percent.
    pub(super) tolerance_percent: f64,
    /// One packet out must not come as several.
    pub(super) strict_segments: bool,
    /// Microseconds of a tick of the timestamp clock; none: values are not compared with the time.
    pub(super) ts_tick_us: Option<i64>,
    /// Echoed timestamps follow the clock, not the packets seen.
    pub(super) ts_ecr_scaled: bool,
    /// Mistakes that do not end the script.
    pub(super) non_fatal_packet: bool,
    pub(super) non_fatal_call: bool,
    /// Shell scripts that run first.
    pub(super) init_scripts: Vec<String>,
}

/// Why a script does not run with a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SetupError {
    /// It is for another version: nothing to tell.
    OtherVersion,
    /// An option is wrong.
    Wrong(Place, String),
    /// It asks for what is not here.
    Refused(String),
}

/// The public tool's tolerance: 4 ms, or an eighth of the time waited for.
const TOLERANCE_NS: i64 = 4_000_000;
const TOLERANCE_PERCENT: f64 = 12.5;
const PORT: u16 = 8080;

/// Options that change nothing here, and why.
const WITHOUT_EFFECT: &[&str] = &[
    "send_omit_free", // there is no device to free
    "define",
    "D", // the parser has taken them
    "mss",
    "speed", // a real device's
    "code_command",
    "code_format",
    "code_sockopt", // python3, TCP_INFO
    "is_anyip",
    "debug",
    "verbose",
    "v",
    "dry_run",
];

impl Setup {
    /// The defaults of a version: 192.168.0.1/16 and 192.0.2.1; or fd3d:a0b:17d6::1/48, fd3d:fa7b:d17d::1 and an MTU of
    /// 1520, so that an MSS of 1460 fits both.
    pub(super) fn new(version: Version) -> Self {
        let v6 = version.is_v6();
        let pick = |a: Ipv4Addr, b: Ipv6Addr| if v6 { IpAddr::V6(b) } else { IpAddr::V4(a) };
        Self {
            version,
            local: pick(Ipv4Addr::new(192, 168, 0, 1), Ipv6Addr::new(0xfd3d, 0xa0b, 0x17d6, 0, 0, 0, 0, 1)),
            remote: pick(Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1)),
            gateway: pick(
                Ipv4Addr::new(192, 168, 0, 2),
                Ipv6Addr::new(0xfd3d, 0xa0b, 0x17d6, 0x8888, 0, 0, 0, 1),
            ),
            prefix: if v6 { 48 } else { 16 },
            mtu: if v6 { 1520 } else { 1500 },
            bind_port: PORT,
            connect_port: PORT,
            tolerance_ns: TOLERANCE_NS,
            tolerance_percent: TOLERANCE_PERCENT,
            strict_segments: false,
            ts_tick_us: None,
            ts_ecr_scaled: false,
            non_fatal_packet: false,
            non_fatal_call: false,
            init_scripts: Vec::new(),
        }
    }

    /// Applies the script's options.
    pub(super) fn apply(&mut self, script: &Script) -> Result<(), SetupError> {
        for (place, name, value) in &script.options {
            self.option(*place, name, value.as_deref().unwrap_or("").trim_matches('"'))?;
        }
        Ok(())
    }

    fn option(&mut self, place: Place, name: &str, value: &str) -> Result<(), SetupError> {
        let wrong = |what: &str| SetupError::Wrong(place, format!("--{name}: {what}, found {value:?}"));
        match name {
            "ip_version" => match Version::find(value) {
                Some(version) if version == self.version => {}
                Some(_) => return Err(SetupError::OtherVersion),
                None => return Err(wrong("expected ipv4, ipv6 or ipv4-mapped-ipv6")),
            },
            "local_ip" => {
                self.local = self.address(value).map_err(|e| e.unwrap_or(wrong("expected an address")))?;
            }
            "remote_ip" => {
                self.remote = self.address(value).map_err(|e| e.unwrap_or(wrong("expected an address")))?;
            }
            "gateway_ip" => {
                self.gateway = self.address(value).map_err(|e| e.unwrap_or(wrong("expected an address")))?;
            }
            "netmask_ip" => {
                let mask: Ipv4Addr = value.parse().map_err(|_| wrong("expected a netmask"))?;
                self.prefix = mask.to_bits().leading_ones() as u8;
            }
            "bind_port" => self.bind_port = value.parse().map_err(|_| wrong("expected a port"))?,
            "connect_port" => self.connect_port = value.parse().map_err(|_| wrong("expected a port"))?,
            "mtu" => self.mtu = value.parse().map_err(|_| wrong("expected an MTU"))?,
            "tolerance_usecs" => {
                let micros: i64 = value.parse().map_err(|_| wrong("expected microseconds"))?;
                self.tolerance_ns = micros.saturating_mul(1000);
            }
            "tolerance_percent" => {
                self.tolerance_percent = value.parse().map_err(|_| wrong("expected a percentage"))?;
            }
            "tcp_ts_tick_usecs" => {
                let micros = value.parse().map_err(|_| wrong("expected microseconds"))?;
                self.ts_tick_us = Some(micros).filter(|us| *us > 0);
            }
            "tcp_ts_ecr_scaled" => self.ts_ecr_scaled = true,
            "strict_segments" => self.strict_segments = true,
            "non_fatal" => {
                self.non_fatal_packet = value.contains("packet");
                self.non_fatal_call = value.contains("syscall");
            }
            "init_scripts" => self.init_scripts = value.split(',').map(str::to_owned).collect(),
            _ if name.starts_with("wire_") => {
                return Err(SetupError::Refused(format!(
                    "--{name}: there is no second machine, all runs in one process"
                )));
            }
            "so_filename" | "so_flags" | "psp_udp_port" => {
                return Err(SetupError::Refused(format!("--{name}: not supported")));
            }
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => return Err(SetupError::Wrong(place, format!("--{name}: no such option"))),
        }
        Ok(())
    }

    /// An address of the version's family; of the other family, the script is not for this version.
    fn address(&self, value: &str) -> Result<IpAddr, Option<SetupError>> {
        let address: IpAddr = value.parse().map_err(|_| None)?;
        if address.is_ipv6() == self.version.is_v6() {
            Ok(address)
        } else {
            Err(Some(SetupError::OtherVersion))
        }
    }

    /// How far off an event may be that is waited for from `base` to `due`, nanoseconds.
    pub(super) fn tolerance(&self, base: i64, due: i64) -> i64 {
        let share = (due - base).max(0) as f64 * self.tolerance_percent / 100.0;
        self.tolerance_ns.max(share as i64)
    }
}
