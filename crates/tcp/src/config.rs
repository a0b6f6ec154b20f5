//! All that sysctls and socket options set.

use netspace_base::Duration;

use crate::cc::{CongestionKind, PacingBounds};
use crate::rtt::RtoBounds;

/// The size of a buffer: it starts at `start` bytes and grows by need up to `max`. Equal values fix it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferSize {
    /// Bytes of data to begin with.
    pub start: u32,
    /// Bytes of data at most.
    pub max: u32,
}

impl BufferSize {
    /// A buffer of `len` bytes that stays so (`SO_SNDBUF`, `SO_RCVBUF`).
    pub const fn fixed(len: u32) -> Self {
        Self { start: len, max: len }
    }
}

/// Keepalive probes (RFC 9293 §3.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Idle time before the first probe (`TCP_KEEPIDLE`, `net.ipv4.tcp_keepalive_time`).
    pub idle: Duration,
    /// Between probes (`TCP_KEEPINTVL`, `net.ipv4.tcp_keepalive_intvl`).
    pub interval: Duration,
    /// Unanswered probes before the connection is given up (`TCP_KEEPCNT`, `net.ipv4.tcp_keepalive_probes`).
    pub probes: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), probes: 9 }
    }
}

/// Settings of a connection. The defaults are Linux's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Upper bound of segments, both ways (`TCP_MAXSEG`); 0 = only the path's.
    pub mss_max: u16,
    /// Segments are never made smaller than this, whatever the peer or ICMP says (`net.ipv4.tcp_min_snd_mss`).
    pub mss_min: u16,
    /// The send buffer, bytes of data.
    pub send_buffer: BufferSize,
    /// The receive buffer, bytes of data. Its `max` chooses the window scale.
    pub recv_buffer: BufferSize,
    /// Upper bound of the window that we advertise (`TCP_WINDOW_CLAMP`); 0 = none.
    pub window_clamp: u32,
    /// The congestion control algorithm.
    pub congestion: CongestionKind,
    /// `TCP_NODELAY`: small segments go at once.
    pub nodelay: bool,
    /// `TCP_CORK`: small segments wait, up to the retransmission timeout.
    pub cork: bool,
    /// Offer timestamps (`net.ipv4.tcp_timestamps`).
    pub timestamps: bool,
    /// Added to the timestamp clock: random for each connection (RFC 7323 §7.1).
    pub timestamp_offset: u32,
    /// Offer selective acknowledgements (`net.ipv4.tcp_sack`).
    pub sack: bool,
    /// Report duplicates (RFC 2883, `net.ipv4.tcp_dsack`).
    pub dsack: bool,
    /// Offer window scaling (`net.ipv4.tcp_window_scaling`).
    pub window_scaling: bool,
    /// Explicit congestion notification: what is asked for and granted (`net.ipv4.tcp_ecn`).
    pub ecn: EcnPolicy,
    /// A SYN that is sent again asks for less of it (`net.ipv4.tcp_ecn_fallback`).
    pub ecn_fallback: bool,
    /// Byte counters of accurate notification: 0 never, 1 when marks come, 2 also in between (`net.ipv4.tcp_ecn_option`).
    pub ecn_option: u8,
    /// How often a round trip, at most, counters are told that only grew as usual (`net.ipv4.tcp_ecn_option_beacon`).
    pub ecn_option_beacon: u8,
    /// Search for the path's MTU: 0 never, 1 when a black hole is suspected, 2 always (`net.ipv4.tcp_mtu_probing`).
    pub mtu_probing: u8,
    /// The segment size with which the search begins (`net.ipv4.tcp_base_mss`).
    pub base_mss: u16,
    /// The search never goes below this (`net.ipv4.tcp_mtu_probe_floor`).
    pub mtu_probe_floor: u16,
    /// How often it begins anew (`net.ipv4.tcp_probe_interval`).
    pub probe_interval: Duration,
    /// It ends when the sizes in question differ by less, bytes (`net.ipv4.tcp_probe_threshold`).
    pub probe_threshold: u16,
    /// F-RTO (RFC 5682, `net.ipv4.tcp_frto`).
    pub frto: bool,
    /// Keepalive probes are sent (`SO_KEEPALIVE`).
    pub keepalive: bool,
    /// How they are sent.
    pub keepalive_times: Keepalive,
    /// The timeout before the first measurement (RFC 6298: 1 s).
    pub rto_initial: Duration,
    /// Smallest retransmission timeout (Linux: 200 ms).
    pub rto_min: Duration,
    /// Largest retransmission timeout (Linux: 120 s).
    pub rto_max: Duration,
    /// A SYN is given up after the time of so many retransmissions that back off (`net.ipv4.tcp_syn_retries`,
    /// `TCP_SYNCNT`).
    pub syn_retries: u8,
    /// The first so many timeouts of a SYN do not back off (`net.ipv4.tcp_syn_linear_timeouts`).
    pub syn_linear_timeouts: u8,
    /// Retransmissions of a SYN-ACK before giving up (`net.ipv4.tcp_synack_retries`).
    pub synack_retries: u8,
    /// The same for the time after which a black hole is suspected (`net.ipv4.tcp_retries1`).
    pub retries1: u8,
    /// Back-offs whose sum is the time after which an unanswered connection is given up (`net.ipv4.tcp_retries2`).
    pub retries2: u8,
    /// The same once the program has closed it (`net.ipv4.tcp_orphan_retries`, whose 0 means 8).
    pub orphan_retries: u8,
    /// `TCP_USER_TIMEOUT` (RFC 5482): give up when data stays unacknowledged for so long.
    pub user_timeout: Option<Duration>,
    /// How long a closed connection stays in FIN-WAIT-2 (`net.ipv4.tcp_fin_timeout`, `TCP_LINGER2`).
    pub fin_timeout: Duration,
    /// How long TIME-WAIT lasts.
    pub time_wait: Duration,
    /// Shortest delay of an ACK.
    pub ack_delay_min: Duration,
    /// Longest delay of an ACK.
    pub ack_delay_max: Duration,
    /// The congestion window shrinks when nothing is sent (`net.ipv4.tcp_slow_start_after_idle`).
    pub slow_start_after_idle: bool,
    /// Tail loss probes are sent (RFC 8985 §7, `net.ipv4.tcp_early_retrans`).
    pub tail_loss_probe: bool,
    /// Segments may be larger than the MSS, to be cut later.
    pub gso: bool,
    /// Largest payload of such a segment, bytes.
    pub gso_max: u32,
    /// Segments of which such a segment holds at least as many (`net.ipv4.tcp_min_tso_segs`).
    pub min_tso_segs: u32,
    /// The logarithm of the round-trip time, in microseconds, from which on super-segments become smaller
    /// (`net.ipv4.tcp_tso_rtt_log`).
    pub tso_rtt_log: u32,
    /// The highest rate of sending, bytes per second (`SO_MAX_PACING_RATE`); any but `u64::MAX` turns pacing on.
    pub max_pacing_rate: u64,
    /// The pacing rate in slow start, per cent of a window per round trip (`net.ipv4.tcp_pacing_ss_ratio`).
    pub pacing_ss_ratio: u32,
    /// The same in congestion avoidance (`net.ipv4.tcp_pacing_ca_ratio`).
    pub pacing_ca_ratio: u32,
    /// The window that we advertise grows with what the program reads (`net.ipv4.tcp_moderate_rcvbuf`).
    pub moderate_recv_buffer: bool,
    /// Urgent bytes stay in the stream (`SO_OOBINLINE`).
    pub oob_inline: bool,
    /// The urgent pointer is to the urgent byte itself (RFC 1122, `net.ipv4.tcp_stdurg`), not to the one after it.
    pub std_urgent: bool,
    /// `TCP_NOTSENT_LOWAT`: writable only when less than this is unsent, bytes.
    pub notsent_lowat: u32,
    /// A reset with the right number does not end TIME-WAIT (RFC 1337, `net.ipv4.tcp_rfc1337`).
    pub rfc1337: bool,
    /// `SO_LINGER` with zero seconds: close resets the connection.
    pub linger_zero: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mss_max: 0,
            mss_min: 48,
            send_buffer: BufferSize { start: 64 << 10, max: 4 << 20 },
            recv_buffer: BufferSize { start: 64 << 10, max: 6 << 20 },
            window_clamp: 0,
            congestion: CongestionKind::default(),
            nodelay: false,
            cork: false,
            timestamps: true,
            timestamp_offset: 0,
            sack: true,
            dsack: true,
            window_scaling: true,
            ecn: EcnPolicy::default(),
            ecn_fallback: true,
            ecn_option: 2,
            ecn_option_beacon: 3,
            mtu_probing: 0,
            base_mss: 1024,
            mtu_probe_floor: 48,
            probe_interval: Duration::from_secs(600),
            probe_threshold: 8,
            frto: true,
            keepalive: false,
            keepalive_times: Keepalive::default(),
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            syn_retries: 6,
            syn_linear_timeouts: 4,
            synack_retries: 5,
            retries1: 3,
            retries2: 15,
            orphan_retries: 8,
            user_timeout: None,
            fin_timeout: Duration::from_secs(60),
            time_wait: Duration::from_secs(60),
            ack_delay_min: Duration::from_millis(40),
            ack_delay_max: Duration::from_millis(200),
            slow_start_after_idle: true,
            tail_loss_probe: true,
            gso: true,
            gso_max: (64 << 10) - 128,
            min_tso_segs: 2,
            tso_rtt_log: 9,
            max_pacing_rate: u64::MAX,
            pacing_ss_ratio: 200,
            pacing_ca_ratio: 120,
            moderate_recv_buffer: true,
            oob_inline: false,
            std_urgent: false,
            notsent_lowat: u32::MAX,
            rfc1337: false,
            linger_zero: false,
        }
    }
}

impl Config {
    pub(crate) fn rto_bounds(&self) -> RtoBounds {
        RtoBounds { initial: self.rto_initial, min: self.rto_min, max: self.rto_max }
    }

    /// The policy, and what the congestion control cannot do without.
    pub(crate) fn ecn_policy(&self) -> EcnPolicy {
        let least = if self.congestion.needs_ecn() { EcnKind::Classic } else { EcnKind::None };
        EcnPolicy { ask: self.ecn.ask.max(least), grant: self.ecn.grant.max(least) }
    }

    pub(crate) fn pacing_bounds(&self) -> PacingBounds {
        PacingBounds {
            max: self.max_pacing_rate,
            slow_start: self.pacing_ss_ratio,
            avoidance: self.pacing_ca_ratio,
        }
    }

    /// Whether segments are paced from the start.
    pub(crate) fn paces(&self) -> bool {
        self.max_pacing_rate != u64::MAX || self.congestion.needs_pacing()
    }

    /// The segment size to tell the peer.
    pub(crate) fn advertised_mss(&self, path_mss: u16) -> u16 {
        if self.mss_max == 0 { path_mss } else { path_mss.min(self.mss_max) }
    }

    /// The scale that lets the largest receive buffer be advertised (RFC 7323 §2.3).
    pub(crate) fn window_scale(&self) -> u8 {
        let mut largest = self.recv_buffer.max.max(self.recv_buffer.start);
        if self.window_clamp != 0 {
            largest = largest.min(self.window_clamp);
        }
        (0..14).find(|&scale| largest >> scale <= 0xffff).unwrap_or(14)
    }
}

/// What kind of congestion notification two ends can agree on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum EcnKind {
    /// None.
    #[default]
    None,
    /// RFC 3168.
    Classic,
    /// RFC 9768.
    Accurate,
}

/// What is asked for, and what is granted to a peer that asks (`net.ipv4.tcp_ecn`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EcnPolicy {
    /// What our SYN asks for.
    pub ask: EcnKind,
    /// The most that our SYN-ACK grants.
    pub grant: EcnKind,
}

impl EcnPolicy {
    /// The policy of a value of `net.ipv4.tcp_ecn`; values beyond 5 are none.
    pub const fn of_sysctl(value: u32) -> Self {
        use EcnKind::{Accurate, Classic, None};
        let (ask, grant) = match value {
            1 => (Classic, Classic),
            2 => (None, Classic),
            3 => (Accurate, Accurate),
            4 => (Classic, Accurate),
            5 => (None, Accurate),
            _ => (None, None),
        };
        Self { ask, grant }
    }
}

impl Default for EcnPolicy {
    fn default() -> Self {
        Self::of_sysctl(2)
    }
}
