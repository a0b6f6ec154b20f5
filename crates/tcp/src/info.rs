//! Counts and estimates, as `TCP_INFO` shows them.

use netspace_base::{Duration, Instant};

use crate::cc::{ControllerInfo, DctcpInfo};
use crate::config::EcnKind;
use crate::connection::{Connection, Flags};

/// A connection in numbers: `struct tcp_info`'s fields in its units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpInfo {
    /// Linux's state number (1 = ESTABLISHED … 11 = CLOSING).
    pub state: u8,
    /// 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss.
    pub ca_state: u8,
    /// Retransmission timeouts in a row.
    pub retransmits: u8,
    /// Zero-window or keepalive probes unanswered.
    pub probes: u8,
    /// RTO backoff.
    pub backoff: u8,
    /// `TCPI_OPT_*` bits: 1 timestamps, 2 SACK, 4 window scaling, 8 ECN agreed on, 16 ECN-capable packets seen,
    /// 32 data went with a SYN.
    pub options: u8,
    /// The peer's window scale.
    pub snd_wscale: u8,
    /// Our window scale.
    pub rcv_wscale: u8,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Delayed-ACK timeout.
    pub ato: Duration,
    /// Largest segment we send.
    pub snd_mss: u32,
    /// Largest segment seen from the peer.
    pub rcv_mss: u32,
    /// Segments in flight.
    pub unacked: u32,
    /// Segments SACKed.
    pub sacked: u32,
    /// Segments deemed lost.
    pub lost: u32,
    /// Segments retransmitted and still in flight.
    pub retrans: u32,
    /// Time since data was last sent.
    pub last_data_sent: Duration,
    /// Time since data was last received.
    pub last_data_recv: Duration,
    /// Time since anything was last received.
    pub last_ack_recv: Duration,
    /// Path MTU: the connection's owner knows it and fills it in.
    pub pmtu: u32,
    /// Receive buffer now, bytes.
    pub rcv_ssthresh: u32,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// Slow-start threshold, segments.
    pub snd_ssthresh: u32,
    /// Congestion window, segments.
    pub snd_cwnd: u32,
    /// The MSS we advertise.
    pub advmss: u32,
    /// Reordering degree, segments.
    pub reordering: u32,
    /// Receiver-side round-trip time.
    pub rcv_rtt: Duration,
    /// What the program read in a round trip, bytes.
    pub rcv_space: u32,
    /// Retransmissions in all.
    pub total_retrans: u32,
    /// Bytes acknowledged.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Bytes in the send buffer not yet sent.
    pub notsent_bytes: u32,
    /// Smallest round-trip time seen.
    pub min_rtt: Duration,
    /// Segments with data received.
    pub data_segs_in: u32,
    /// Segments with data sent.
    pub data_segs_out: u32,
    /// Delivery rate, bytes per second.
    pub delivery_rate: u64,
    /// The program, not the network, limited that rate.
    pub delivery_rate_app_limited: bool,
    /// Bytes per second at which segments are paced; `u64::MAX` = not known yet.
    pub pacing_rate: u64,
    /// The program's bound of it (`SO_MAX_PACING_RATE`).
    pub max_pacing_rate: u64,
    /// Time with data in flight or waiting.
    pub busy_time: Duration,
    /// Of that, limited by the peer's window.
    pub rwnd_limited: Duration,
    /// Of that, limited by the send buffer.
    pub sndbuf_limited: Duration,
    /// Segments delivered, the SYN included.
    pub delivered: u32,
    /// Bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes retransmitted.
    pub bytes_retrans: u64,
    /// The peer's window.
    pub snd_wnd: u32,
    /// Our window.
    pub rcv_wnd: u32,
    /// Segments that arrived with a congestion mark, as far as the peer tells.
    pub delivered_ce: u32,
    /// Accurate ECN: marked packets received.
    pub received_ce: u32,
    /// Accurate ECN: bytes that arrived as ECT(1), ECT(0), CE, as the peer tells.
    pub delivered_ecn_bytes: [u32; 3],
    /// Accurate ECN: bytes received as ECT(1), ECT(0), CE.
    pub received_ecn_bytes: [u32; 3],
}

impl Connection {
    /// Segments sent again so far (`Tcp: RetransSegs` counts them).
    pub fn segments_resent(&self) -> u32 {
        self.send.segments_resent
    }

    /// What the congestion control tells of itself (`TCP_CC_INFO`), if it does.
    pub fn controller_info(&self) -> Option<ControllerInfo> {
        let mut info = self.send.cc.info(self.send.mss)?;
        if let ControllerInfo::Dctcp(dctcp) = &mut info {
            if self.ecn.kind == EcnKind::None {
                *dctcp = DctcpInfo::default();
            }
            dctcp.ce_state = self.ecn.is_echoing();
        }
        Some(info)
    }

    /// The connection in numbers.
    pub fn info(&self, now: Instant) -> TcpInfo {
        let (send, recv) = (&self.send, &self.recv);
        let mss = send.mss.max(1);
        let segments = |bytes: u32| bytes.div_ceil(mss);
        let (sacked, lost, retrans) = send.marked();
        let times = send.chrono.times(now);
        let flag = |flag, bit: u8| if self.flags.contains(flag) { bit } else { 0 };
        TcpInfo {
            state: self.state.linux(),
            ca_state: send.recovery.phase as u8,
            retransmits: self.retries,
            probes: self.probes,
            backoff: send.rtt.backoff,
            options: flag(Flags::TIMESTAMPS, 1)
                | (u8::from(send.sack) * 2)
                | flag(Flags::SCALING, 4)
                | (u8::from(self.ecn.kind != EcnKind::None) * 8)
                | (u8::from(self.ecn.seen) * 16)
                | flag(Flags::SYN_DATA, 32),
            snd_wscale: send.scale,
            rcv_wscale: recv.scale,
            rto: send.rtt.rto(&self.config.rto_bounds()),
            ato: recv.delay,
            snd_mss: send.mss,
            rcv_mss: recv.mss_seen,
            unacked: segments(send.in_flight()),
            sacked: segments(sacked),
            lost: segments(lost),
            retrans: segments(retrans),
            last_data_sent: now.saturating_since(send.last_sent_at.max(recv.established_at)),
            last_data_recv: now.saturating_since(recv.last_data_at.max(recv.established_at)),
            last_ack_recv: now.saturating_since(self.heard_at),
            pmtu: 0,
            rcv_ssthresh: recv.limit,
            rtt: send.rtt.srtt().unwrap_or_default(),
            rttvar: send.rtt.mdev(),
            snd_ssthresh: send.cc.ssthresh_segments(mss),
            snd_cwnd: send.cc.cwnd / mss,
            advmss: recv.mss,
            reordering: send.reordering_degree(),
            rcv_rtt: recv.rtt(),
            rcv_space: recv.space(),
            total_retrans: send.segments_resent,
            bytes_acked: send.bytes_acked,
            bytes_received: recv.bytes_received,
            segs_out: self.counts.segments_out,
            segs_in: self.counts.segments_in,
            notsent_bytes: send.unsent(),
            min_rtt: send.rtt.min().unwrap_or_default(),
            data_segs_in: self.counts.data_segments_in,
            data_segs_out: self.counts.data_segments_out,
            delivery_rate: send.rate.rate.bytes_per_second(),
            delivery_rate_app_limited: send.rate.rate.app_limited,
            pacing_rate: send.cc.pacing_rate,
            max_pacing_rate: self.config.max_pacing_rate,
            busy_time: times.busy,
            rwnd_limited: times.window_limited,
            sndbuf_limited: times.buffer_limited,
            delivered: (send.rate.delivered.div_ceil(u64::from(mss)) as u32).wrapping_add(1),
            bytes_sent: self.counts.bytes_sent,
            bytes_retrans: send.bytes_resent,
            snd_wnd: send.wnd,
            rcv_wnd: recv.window(),
            delivered_ce: send.delivered_ce,
            received_ce: self.ecn.accurate.as_ref().map_or(0, |accurate| accurate.received_ce),
            delivered_ecn_bytes: self.ecn.bytes(|accurate| &accurate.delivered_bytes),
            received_ecn_bytes: self.ecn.bytes(|accurate| &accurate.received_bytes),
        }
    }
}
