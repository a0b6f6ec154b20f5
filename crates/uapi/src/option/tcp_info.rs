//! `struct tcp_info` (linux/tcp.h), as long as Linux 6.18 has it.

use std::time::Duration;

use netspace_stack::sock::TcpInfo;

/// Bytes of the structure up to `tcpi_accecn_opt_seen`.
pub(super) const LEN: usize = 280;

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}

fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

fn whole_micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// The bytes. Fields that the stack does not count are 0.
pub(crate) fn emit(info: &TcpInfo) -> Vec<u8> {
    let mut out = Vec::with_capacity(LEN);
    out.extend([info.state, info.ca_state, info.retransmits, info.probes, info.backoff, info.options]);
    out.push(info.snd_wscale & 0xf | info.rcv_wscale << 4);
    // fastopen_client_fail is not told.
    out.push(u8::from(info.delivery_rate_app_limited));
    let words = [
        micros(info.rto),
        micros(info.ato),
        info.snd_mss,
        info.rcv_mss,
        info.unacked,
        info.sacked,
        info.lost,
        info.retrans,
        0, // fackets
        millis(info.last_data_sent),
        0, // last_ack_sent: never counted, on Linux neither
        millis(info.last_data_recv),
        millis(info.last_ack_recv),
        info.pmtu,
        info.rcv_ssthresh,
        micros(info.rtt),
        micros(info.rttvar),
        info.snd_ssthresh,
        info.snd_cwnd,
        info.advmss,
        info.reordering,
        micros(info.rcv_rtt),
        info.rcv_space,
        info.total_retrans,
    ];
    push_words(&mut out, &words);
    push_longs(&mut out, &[info.pacing_rate, info.max_pacing_rate, info.bytes_acked, info.bytes_received]);
    let words = [
        info.segs_out,
        info.segs_in,
        info.notsent_bytes,
        micros(info.min_rtt),
        info.data_segs_in,
        info.data_segs_out,
    ];
    push_words(&mut out, &words);
    let times = [info.busy_time, info.rwnd_limited, info.sndbuf_limited].map(whole_micros);
    push_longs(&mut out, &[info.delivery_rate]);
    push_longs(&mut out, &times);
    push_words(&mut out, &[info.delivered, info.delivered_ce]);
    push_longs(&mut out, &[info.bytes_sent, info.bytes_retrans]);
    // dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash, total_rto and its kin
    push_words(&mut out, &[0, 0, 0, info.snd_wnd, info.rcv_wnd, 0, 0, 0]);
    push_words(&mut out, &[info.received_ce]);
    push_words(&mut out, &info.delivered_ecn_bytes);
    push_words(&mut out, &info.received_ecn_bytes);
    push_words(&mut out, &[0]); // accecn_fail_mode, accecn_opt_seen
    out
}

fn push_words(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
}

fn push_longs(out: &mut Vec<u8>, longs: &[u64]) {
    out.extend(longs.iter().flat_map(|long| long.to_ne_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_linux_has_them() {
        let info = TcpInfo {
            state: 1,
            snd_wscale: 7,
            rcv_wscale: 8,
            rto: Duration::from_millis(204),
            rtt: Duration::from_micros(4321),
            total_retrans: 9,
            bytes_acked: 77,
            segs_out: 5,
            delivery_rate: 1234,
            delivery_rate_app_limited: true,
            pacing_rate: 5_000,
            max_pacing_rate: 6_000,
            busy_time: Duration::from_micros(300),
            rwnd_limited: Duration::from_micros(200),
            sndbuf_limited: Duration::from_micros(100),
            delivered: 12,
            bytes_sent: 99,
            snd_wnd: 65_536,
            delivered_ce: 3,
            received_ce: 4,
            received_ecn_bytes: [0, 0, 5],
            ..TcpInfo::default()
        };
        let bytes = emit(&info);
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(bytes.len(), LEN);
        assert_eq!((bytes[0], bytes[6]), (1, 0x87));
        // Offsets as offsetof() tells them with linux/tcp.h.
        assert_eq!(word(8), 204_000);
        assert_eq!(word(68), 4321);
        assert_eq!(word(100), 9);
        assert_eq!(long(120), 77);
        assert_eq!(word(136), 5);
        assert_eq!(bytes[7], 1);
        assert_eq!((long(104), long(112)), (5_000, 6_000));
        assert_eq!([160, 168, 176, 184].map(long), [1234, 300, 200, 100]);
        assert_eq!(word(192), 12);
        assert_eq!(long(200), 99);
        assert_eq!(word(228), 65_536);
        assert_eq!(word(196), 3);
        assert_eq!((word(248), word(272)), (4, 5));
    }
}
