//! The transport layer's sysctls, by the names and with the defaults of Linux's `Documentation/networking/ip-sysctl.rst`.
//!
//! Names are those under `/proc/sys/net`, with dots: `ipv4.tcp_syn_retries`, `core.somaxconn`.

use netspace_tcp::CongestionKind;

use super::SockError;
use super::fast_open_key::FastOpenKeys;

/// A sysctl's value: how it is read from text and printed.
trait Value: Sized {
    /// How a text is refused that is no value.
    const REFUSAL: SockError = SockError::Invalid;

    fn read(text: &str, min: i64, max: i64) -> Option<Self>;
    fn print(&self) -> String;
}

impl Value for u32 {
    fn read(text: &str, min: i64, max: i64) -> Option<Self> {
        let value = crate::sysctl::parse(text)?;
        (min..=max).contains(&value).then(|| Self::try_from(value).ok())?
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl<const N: usize> Value for [u32; N] {
    fn read(text: &str, min: i64, max: i64) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut out = [0; N];
        for slot in &mut out {
            *slot = u32::read(words.next()?, min, max)?;
        }
        words.next().is_none().then_some(out)
    }

    fn print(&self) -> String {
        self.iter().map(u32::to_string).collect::<Vec<_>>().join("\t")
    }
}

impl Value for CongestionKind {
    const REFUSAL: SockError = SockError::NoEntry;

    fn read(text: &str, _min: i64, _max: i64) -> Option<Self> {
        Self::from_name(text.trim())
    }

    fn print(&self) -> String {
        self.name().to_owned()
    }
}

/// The congestion controls' names, of those for which `wanted` holds.
fn congestion_names(wanted: impl Fn(CongestionKind) -> bool) -> String {
    let kinds = CongestionKind::ALL.iter().filter(|&&kind| wanted(kind));
    kinds.map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
}

/// The keys of Fast Open cookies; none until they are set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FastOpenKey(pub Option<FastOpenKeys>);

impl Value for FastOpenKey {
    fn read(text: &str, _min: i64, _max: i64) -> Option<Self> {
        FastOpenKeys::parse(text).map(|keys| Self(Some(keys)))
    }

    fn print(&self) -> String {
        self.0.map_or("00000000-00000000-00000000-00000000".to_owned(), |keys| keys.print())
    }
}

/// Ports that are never chosen by themselves (`ip_local_reserved_ports`): inclusive ranges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReservedPorts(Vec<(u16, u16)>);

impl ReservedPorts {
    /// Whether `port` is reserved.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&port))
    }
}

impl Value for ReservedPorts {
    fn read(text: &str, _min: i64, _max: i64) -> Option<Self> {
        let mut ranges = Vec::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let range: (u16, u16) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            if range.0 > range.1 {
                return None;
            }
            ranges.push(range);
        }
        Some(Self(ranges))
    }

    fn print(&self) -> String {
        let print =
            |&(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
        self.0.iter().map(print).collect::<Vec<_>>().join(",")
    }
}

macro_rules! sysctls {
    ($($field:ident: $ty:ty = $default:expr, $name:literal, $min:literal ..= $max:literal, $doc:literal;)*) => {
        /// The values in force in a namespace.
        #[derive(Clone, Debug)]
        pub struct SockSysctls { $(#[doc = $doc] pub $field: $ty,)* }

        impl Default for SockSysctls {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl SockSysctls {
            /// All names.
            pub const NAMES: &[&str] = &[$($name,)*];

            /// Names that can only be read.
            pub const READ_ONLY: &[&str] =
                &["ipv4.tcp_allowed_congestion_control", "ipv4.tcp_available_congestion_control"];

            /// Sets a sysctl; none if the name is not one of the transport layer's.
            pub fn set(&mut self, name: &str, value: &str) -> Option<Result<(), SockError>> {
                match name {
                    $($name => match <$ty>::read(value, $min, $max) {
                        Some(value) => self.$field = value,
                        None => return Some(Err(<$ty>::REFUSAL)),
                    },)*
                    _ => return None,
                }
                Some(self.check())
            }

            /// A sysctl's value as `/proc/sys` prints it; none if the name is not one of the transport layer's.
            pub fn get(&self, name: &str) -> Option<String> {
                match name {
                    $($name => Some(self.$field.print()),)*
                    "ipv4.tcp_available_congestion_control" => Some(congestion_names(|_| true)),
                    "ipv4.tcp_allowed_congestion_control" => Some(congestion_names(CongestionKind::is_allowed)),
                    _ => None,
                }
            }
        }
    };
}

sysctls! {
    rmem_default: u32 = 212_992, "core.rmem_default", 2304..=2_147_483_647, "Receive buffer of a new socket, bytes.";
    rmem_max: u32 = 212_992, "core.rmem_max", 2304..=2_147_483_647, "Largest `SO_RCVBUF`, bytes.";
    wmem_default: u32 = 212_992, "core.wmem_default", 4608..=2_147_483_647, "Send buffer of a new socket, bytes.";
    wmem_max: u32 = 212_992, "core.wmem_max", 4608..=2_147_483_647, "Largest `SO_SNDBUF`, bytes.";
    optmem_max: u32 = 131_072, "core.optmem_max", 0..=2_147_483_647, "Memory for options and filters of a socket, bytes.";
    somaxconn: u32 = 4096, "core.somaxconn", 0..=2_147_483_647, "Largest backlog of a listening socket.";
    local_port_range: [u32; 2] = [32768, 60999], "ipv4.ip_local_port_range", 1..=65535, "Ports chosen by themselves.";
    reserved_ports: ReservedPorts = ReservedPorts::default(), "ipv4.ip_local_reserved_ports", 0..=65535, "Ports never chosen by themselves.";
    unprivileged_port_start: u32 = 0, "ipv4.ip_unprivileged_port_start", 0..=65535, "First port that needs no privilege (Linux: 1024; here programs own their host).";
    nonlocal_bind: u32 = 0, "ipv4.ip_nonlocal_bind", 0..=1, "Whether sockets may bind to addresses that are not here.";
    nonlocal_bind6: u32 = 0, "ipv6.ip_nonlocal_bind", 0..=1, "The same for IPv6.";
    autobind_reuse: u32 = 0, "ipv4.ip_autobind_reuse", 0..=1, "Whether bind to port 0 may share ports of `SO_REUSEADDR` sockets.";
    bindv6only: u32 = 0, "ipv6.bindv6only", 0..=1, "Default of `IPV6_V6ONLY`.";
    no_pmtu_disc: u32 = 0, "ipv4.ip_no_pmtu_disc", 0..=3, "1: new sockets do not set DF.";
    ping_group_range: [u32; 2] = [0, 2_147_483_647], "ipv4.ping_group_range", 0..=2_147_483_647, "Groups that may open ping sockets (Linux: none).";
    igmp_max_memberships: u32 = 20, "ipv4.igmp_max_memberships", 0..=2_147_483_647, "Groups that a socket may join.";
    udp_rmem_min: u32 = 4096, "ipv4.udp_rmem_min", 0..=2_147_483_647, "Receive memory a UDP socket may always use, bytes.";
    udp_wmem_min: u32 = 4096, "ipv4.udp_wmem_min", 0..=2_147_483_647, "Send memory a UDP socket may always use, bytes.";
    tcp_rmem: [u32; 3] = [4096, 131_072, 6_291_456], "ipv4.tcp_rmem", 1..=2_147_483_647, "Receive buffer of a connection: least, first, most, bytes.";
    tcp_wmem: [u32; 3] = [4096, 16_384, 4_194_304], "ipv4.tcp_wmem", 1..=2_147_483_647, "Send buffer of a connection: least, first, most, bytes.";
    tcp_syn_retries: u32 = 6, "ipv4.tcp_syn_retries", 1..=127, "SYNs repeated before a connect fails.";
    tcp_syn_linear_timeouts: u32 = 4, "ipv4.tcp_syn_linear_timeouts", 0..=127, "Timeouts of a SYN before they back off.";
    tcp_synack_retries: u32 = 5, "ipv4.tcp_synack_retries", 0..=255, "SYN/ACKs repeated before a request is forgotten.";
    tcp_max_syn_backlog: u32 = 1024, "ipv4.tcp_max_syn_backlog", 0..=2_147_483_647, "Connection requests that may wait, per listener.";
    tcp_syncookies: u32 = 1, "ipv4.tcp_syncookies", 0..=2, "Whether SYN cookies answer when the SYN queue is full.";
    tcp_abort_on_overflow: u32 = 0, "ipv4.tcp_abort_on_overflow", 0..=1, "Whether a full accept queue resets instead of dropping.";
    tcp_fin_timeout: u32 = 60, "ipv4.tcp_fin_timeout", 0..=2_147_483, "Seconds in FIN-WAIT-2 after close.";
    tcp_keepalive_time: u32 = 7200, "ipv4.tcp_keepalive_time", 1..=32767, "Idle seconds before the first keepalive probe.";
    tcp_keepalive_intvl: u32 = 75, "ipv4.tcp_keepalive_intvl", 1..=32767, "Seconds between keepalive probes.";
    tcp_keepalive_probes: u32 = 9, "ipv4.tcp_keepalive_probes", 1..=127, "Keepalive probes before the connection is given up.";
    tcp_retries1: u32 = 3, "ipv4.tcp_retries1", 0..=255, "Retransmissions before the route is doubted.";
    tcp_retries2: u32 = 15, "ipv4.tcp_retries2", 0..=255, "Retransmissions before the connection is given up.";
    tcp_orphan_retries: u32 = 0, "ipv4.tcp_orphan_retries", 0..=255, "The same after close; 0 means 8.";
    tcp_max_orphans: u32 = 65_536, "ipv4.tcp_max_orphans", 0..=2_147_483_647, "Closed sockets whose connections go on.";
    tcp_max_tw_buckets: u32 = 65_536, "ipv4.tcp_max_tw_buckets", 0..=2_147_483_647, "Connections in TIME-WAIT.";
    tcp_tw_reuse: u32 = 2, "ipv4.tcp_tw_reuse", 0..=2, "Whether connect may take over a TIME-WAIT: 2 = on loopback only.";
    tcp_rfc1337: u32 = 0, "ipv4.tcp_rfc1337", 0..=1, "Whether RSTs are ignored in TIME-WAIT (RFC 1337).";
    tcp_timestamps: u32 = 1, "ipv4.tcp_timestamps", 0..=2, "Timestamps option (RFC 7323): 1 with a random offset, 2 without.";
    tcp_window_scaling: u32 = 1, "ipv4.tcp_window_scaling", 0..=1, "Window scale option (RFC 7323).";
    tcp_sack: u32 = 1, "ipv4.tcp_sack", 0..=1, "Selective acknowledgements (RFC 2018).";
    tcp_dsack: u32 = 1, "ipv4.tcp_dsack", 0..=1, "Duplicate SACK (RFC 2883).";
    tcp_ecn: u32 = 2, "ipv4.tcp_ecn", 0..=5, "ECN: 0 off, 1 asked for, 2 when the peer asks; 3, 4, 5: accurate ECN when the peer asks, and we ask for accurate, classic, none.";
    tcp_ecn_fallback: u32 = 1, "ipv4.tcp_ecn_fallback", 0..=1, "Whether a SYN that is sent again asks for less ECN.";
    tcp_ecn_option: u32 = 2, "ipv4.tcp_ecn_option", 0..=2, "Byte counters of accurate ECN: 0 never, 1 when marks come, 2 also in between.";
    tcp_ecn_option_beacon: u32 = 3, "ipv4.tcp_ecn_option_beacon", 0..=3, "How often a round trip byte counters are told.";
    tcp_recovery: u32 = 1, "ipv4.tcp_recovery", 0..=7, "RACK loss detection (RFC 8985).";
    tcp_early_retrans: u32 = 3, "ipv4.tcp_early_retrans", 0..=4, "Tail loss probes (RFC 8985).";
    tcp_frto: u32 = 2, "ipv4.tcp_frto", 0..=2, "F-RTO (RFC 5682).";
    tcp_congestion_control: CongestionKind = CongestionKind::Cubic, "ipv4.tcp_congestion_control", 0..=0, "Congestion control of new connections.";
    tcp_slow_start_after_idle: u32 = 1, "ipv4.tcp_slow_start_after_idle", 0..=1, "Whether an idle connection starts slowly again (RFC 2861).";
    tcp_moderate_rcvbuf: u32 = 1, "ipv4.tcp_moderate_rcvbuf", 0..=1, "Whether receive buffers grow by themselves.";
    tcp_adv_win_scale: u32 = 1, "ipv4.tcp_adv_win_scale", 0..=31, "Share of the receive buffer that is overhead.";
    tcp_autocorking: u32 = 1, "ipv4.tcp_autocorking", 0..=1, "Kept; devices take what a connection sends at once, so there is nothing to join writes for.";
    tcp_mtu_probing: u32 = 0, "ipv4.tcp_mtu_probing", 0..=2, "Packetization-layer path MTU discovery (RFC 4821).";
    tcp_base_mss: u32 = 1024, "ipv4.tcp_base_mss", 48..=65535, "MSS at which probing starts.";
    tcp_mtu_probe_floor: u32 = 48, "ipv4.tcp_mtu_probe_floor", 48..=65535, "MSS below which probing never goes.";
    tcp_probe_interval: u32 = 600, "ipv4.tcp_probe_interval", 0..=2_147_483_647, "Seconds after which probing begins anew.";
    tcp_probe_threshold: u32 = 8, "ipv4.tcp_probe_threshold", 0..=2_147_483_647, "Bytes in question below which probing ends.";
    tcp_min_snd_mss: u32 = 48, "ipv4.tcp_min_snd_mss", 48..=65535, "Least MSS ever used.";
    tcp_notsent_lowat: u32 = 4_294_967_295, "ipv4.tcp_notsent_lowat", 0..=4_294_967_295, "Unsent bytes above which a socket is not writable.";
    tcp_fastopen: u32 = 1, "ipv4.tcp_fastopen", 0..=2_147_483_647, "TCP Fast Open (RFC 7413): 1 client, 2 server, 4 client without cookie, 0x200 server without cookie, 0x400 every listener.";
    tcp_fastopen_key: FastOpenKey = FastOpenKey(None), "ipv4.tcp_fastopen_key", 0..=0, "Keys of Fast Open cookies; none: drawn at random.";
    tcp_fastopen_blackhole_timeout_sec: u32 = 0, "ipv4.tcp_fastopen_blackhole_timeout_sec", 0..=2_147_483_647, "Seconds without Fast Open after it seemed to be swallowed; 0 = it is never given up.";
    tcp_no_metrics_save: u32 = 0, "ipv4.tcp_no_metrics_save", 0..=1, "Kept; metrics are not saved between connections here.";
    tcp_fwmark_accept: u32 = 0, "ipv4.tcp_fwmark_accept", 0..=1, "Whether accepted sockets take the SYN's mark.";
    tcp_stdurg: u32 = 0, "ipv4.tcp_stdurg", 0..=1, "The urgent pointer's meaning: 1 = RFC 1122's.";
    tcp_invalid_ratelimit: u32 = 500, "ipv4.tcp_invalid_ratelimit", 0..=2_147_483_647, "Milliseconds between answers to segments out of window.";
    tcp_challenge_ack_limit: u32 = 2_147_483_647, "ipv4.tcp_challenge_ack_limit", 0..=2_147_483_647, "Challenge ACKs per second (RFC 5961).";
    tcp_rto_min_us: u32 = 200_000, "ipv4.tcp_rto_min_us", 1..=2_147_483_647, "Least retransmission timeout, microseconds.";
    tcp_rto_max_ms: u32 = 120_000, "ipv4.tcp_rto_max_ms", 1000..=120_000, "Largest retransmission timeout, milliseconds.";
    tcp_migrate_req: u32 = 0, "ipv4.tcp_migrate_req", 0..=1, "Whether requests move to another listener of the group on close.";
    tcp_retrans_collapse: u32 = 1, "ipv4.tcp_retrans_collapse", 0..=1, "Whether retransmissions are joined.";
    tcp_reordering: u32 = 3, "ipv4.tcp_reordering", 1..=2_147_483_647, "First guess of the path's reordering, segments.";
    tcp_min_tso_segs: u32 = 2, "ipv4.tcp_min_tso_segs", 1..=255, "Segments of which a super-segment holds at least as many.";
    tcp_tso_rtt_log: u32 = 9, "ipv4.tcp_tso_rtt_log", 0..=255, "Logarithm of the round-trip time, in microseconds, from which on super-segments are smaller.";
    tcp_pacing_ss_ratio: u32 = 200, "ipv4.tcp_pacing_ss_ratio", 0..=1000, "Pacing rate in slow start, per cent of a window per round trip.";
    tcp_pacing_ca_ratio: u32 = 120, "ipv4.tcp_pacing_ca_ratio", 0..=1000, "The same in congestion avoidance.";
    tcp_limit_output_bytes: u32 = 4_194_304, "ipv4.tcp_limit_output_bytes", 0..=2_147_483_647, "Kept; no queue lies between a connection and its device, nothing is held back (TCP small queues).";
}

impl SockSysctls {
    fn check(&mut self) -> Result<(), SockError> {
        let [low, high] = self.local_port_range;
        if low > high {
            self.local_port_range = [high, low];
            return Err(SockError::Invalid);
        }
        Ok(())
    }

    /// The range of ports chosen by themselves, inclusive.
    pub fn port_range(&self) -> (u16, u16) {
        (self.local_port_range[0] as u16, self.local_port_range[1] as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_within_their_bounds_and_printed_as_proc_does() {
        let mut s = SockSysctls::default();
        assert_eq!(s.get("ipv4.tcp_rmem").as_deref(), Some("4096\t131072\t6291456"));
        assert_eq!(s.set("ipv4.tcp_syn_retries", "128"), Some(Err(SockError::Invalid)));
        assert_eq!(s.set("ipv4.tcp_syn_retries", "3\n"), Some(Ok(())));
        assert_eq!(s.tcp_syn_retries, 3);
        assert_eq!(s.set("ipv4.tcp_rmem", "0x1000 010 20"), Some(Ok(())));
        assert_eq!(s.tcp_rmem, [4096, 8, 20]);
        for bad in ["", "0x", "--1", "1x", "+", "09"] {
            assert_eq!(s.set("ipv4.tcp_retries2", bad), Some(Err(SockError::Invalid)), "{bad:?}");
        }
        assert_eq!(s.set("ipv4.ip_local_port_range", "1000 2000"), Some(Ok(())));
        assert_eq!(s.set("ipv4.ip_local_port_range", "3000 2000"), Some(Err(SockError::Invalid)));
        assert_eq!(s.set("ipv4.ip_local_reserved_ports", "80,90-95"), Some(Ok(())));
        assert!(s.reserved_ports.contains(93) && !s.reserved_ports.contains(81));
        assert_eq!(s.get("ipv4.ip_local_reserved_ports").as_deref(), Some("80,90-95"));
        assert_eq!(s.set("ipv4.tcp_congestion_control", "swift"), Some(Err(SockError::NoEntry)));
        assert_eq!(s.set("ipv4.tcp_congestion_control", "bbr\n"), Some(Ok(())));
        assert_eq!(s.get("ipv4.tcp_congestion_control").as_deref(), Some("bbr"));
        let available = s.get("ipv4.tcp_available_congestion_control").unwrap();
        assert!(available.starts_with("reno cubic bbr"), "{available}");
        assert_eq!(s.set("ipv4.ip_forward", "1"), None);
        assert_eq!(
            SockSysctls::NAMES.len(),
            SockSysctls::NAMES.iter().collect::<std::collections::BTreeSet<_>>().len()
        );
    }
}
