//! What a socket's options and the sysctls make of a connection's settings.

use std::time::Duration;

use netspace_base::Instant;
use netspace_tcp::{BufferSize, Config, Connection, EcnPolicy};

use super::OptionsTcp;
use crate::sock::socket::Socket;
use crate::sock::sysctl::SockSysctls;

/// Least first size of a send buffer, bytes: Linux grows it to this as soon as a connection opens.
const SEND_BUFFER_START: u32 = 87_040;

/// The receive buffer in bytes of data: half of what Linux counts is overhead.
fn recv_buffer(socket: &Socket, sysctls: &SockSysctls) -> BufferSize {
    let rcvbuf = socket.opts.rcvbuf;
    if socket.opts.rcvbuf_locked {
        BufferSize::fixed(rcvbuf / 2)
    } else {
        let max = sysctls.tcp_rmem[2].max(rcvbuf / 2);
        BufferSize { start: rcvbuf / 2, max }
    }
}

fn send_buffer(socket: &Socket, sysctls: &SockSysctls) -> BufferSize {
    let sndbuf = socket.opts.sndbuf;
    if socket.opts.sndbuf_locked {
        BufferSize::fixed(sndbuf)
    } else {
        let max = sysctls.tcp_wmem[2].max(sndbuf);
        BufferSize { start: sndbuf.max(SEND_BUFFER_START).min(max), max }
    }
}

/// A new connection's settings.
pub(crate) fn config(socket: &Socket, sysctls: &SockSysctls) -> Config {
    let opts = socket.tcp().map(|tcp| tcp.opts.clone()).unwrap_or_else(|| OptionsTcp::new(sysctls));
    let small = |value: u32| value.min(255) as u8;
    let size = |value: u32| value.min(u32::from(u16::MAX)) as u16;
    Config {
        mss_max: opts.maxseg,
        mss_min: sysctls.tcp_min_snd_mss.min(u32::from(u16::MAX)) as u16,
        send_buffer: send_buffer(socket, sysctls),
        recv_buffer: recv_buffer(socket, sysctls),
        window_clamp: opts.window_clamp,
        congestion: opts.congestion,
        nodelay: opts.nodelay,
        cork: opts.cork,
        timestamps: sysctls.tcp_timestamps != 0,
        sack: sysctls.tcp_sack != 0,
        dsack: sysctls.tcp_dsack != 0,
        window_scaling: sysctls.tcp_window_scaling != 0,
        ecn: EcnPolicy::of_sysctl(sysctls.tcp_ecn),
        ecn_fallback: sysctls.tcp_ecn_fallback != 0,
        mtu_probing: small(sysctls.tcp_mtu_probing),
        base_mss: size(sysctls.tcp_base_mss),
        mtu_probe_floor: size(sysctls.tcp_mtu_probe_floor),
        probe_interval: Duration::from_secs(u64::from(sysctls.tcp_probe_interval)),
        probe_threshold: size(sysctls.tcp_probe_threshold),
        frto: sysctls.tcp_frto != 0,
        retries1: small(sysctls.tcp_retries1),
        ecn_option: small(sysctls.tcp_ecn_option),
        ecn_option_beacon: small(sysctls.tcp_ecn_option_beacon),
        keepalive: socket.opts.keepalive,
        keepalive_times: opts.keepalive(sysctls),
        rto_min: Duration::from_micros(u64::from(sysctls.tcp_rto_min_us)),
        rto_max: Duration::from_millis(u64::from(sysctls.tcp_rto_max_ms)),
        syn_linear_timeouts: small(sysctls.tcp_syn_linear_timeouts),
        syn_retries: opts.syn_cnt.unwrap_or(small(sysctls.tcp_syn_retries)),
        synack_retries: small(sysctls.tcp_synack_retries),
        retries2: small(sysctls.tcp_retries2),
        orphan_retries: if sysctls.tcp_orphan_retries == 0 { 8 } else { small(sysctls.tcp_orphan_retries) },
        user_timeout: opts.user_timeout(),
        fin_timeout: opts.fin_timeout(sysctls),
        slow_start_after_idle: sysctls.tcp_slow_start_after_idle != 0,
        tail_loss_probe: sysctls.tcp_early_retrans != 0,
        min_tso_segs: sysctls.tcp_min_tso_segs,
        tso_rtt_log: sysctls.tcp_tso_rtt_log,
        max_pacing_rate: socket.opts.max_pacing_rate,
        pacing_ss_ratio: sysctls.tcp_pacing_ss_ratio,
        pacing_ca_ratio: sysctls.tcp_pacing_ca_ratio,
        moderate_recv_buffer: sysctls.tcp_moderate_rcvbuf != 0 && !socket.opts.rcvbuf_locked,
        oob_inline: socket.opts.oob_inline,
        std_urgent: sysctls.tcp_stdurg != 0,
        notsent_lowat: opts.notsent_lowat(sysctls),
        rfc1337: sysctls.tcp_rfc1337 != 0,
        linger_zero: socket.opts.linger == Some(Duration::ZERO),
        ..Config::default()
    }
}

/// Gives an open connection what the options now say.
pub(crate) fn apply_live(socket: &mut Socket, sysctls: &SockSysctls, now: Instant) {
    let recv = recv_buffer(socket, sysctls);
    let send = send_buffer(socket, sysctls);
    let keepalive = socket.opts.keepalive;
    let linger_zero = socket.opts.linger == Some(Duration::ZERO);
    let oob_inline = socket.opts.oob_inline;
    let max_pacing_rate = socket.opts.max_pacing_rate;
    let (rcv_locked, snd_locked) = (socket.opts.rcvbuf_locked, socket.opts.sndbuf_locked);
    let Some(tcp) = socket.tcp_mut() else { return };
    let opts = tcp.opts.clone();
    let Some(connection) = tcp.connection_mut() else { return };
    let before = connection.config().clone();
    if before.cork != opts.cork {
        connection.set_cork(opts.cork);
    }
    let times = opts.keepalive(sysctls);
    if before.keepalive_times != times {
        connection.set_keepalive_times(now, times);
    }
    if before.keepalive != keepalive {
        connection.set_keepalive(now, keepalive);
    }
    if rcv_locked && before.recv_buffer != recv {
        connection.set_recv_buffer(recv);
    }
    if snd_locked && before.send_buffer != send {
        connection.set_send_buffer(send);
    }
    if before.max_pacing_rate != max_pacing_rate {
        connection.set_max_pacing_rate(max_pacing_rate);
    }
    set_rest(connection, &before, &opts, sysctls, now);
    connection.set_linger_zero(linger_zero);
    connection.set_oob_inline(oob_inline);
}

fn set_rest(
    connection: &mut Connection,
    before: &Config,
    opts: &OptionsTcp,
    sysctls: &SockSysctls,
    now: Instant,
) {
    if before.window_clamp != opts.window_clamp {
        connection.set_window_clamp(opts.window_clamp);
    }
    if before.congestion != opts.congestion {
        connection.set_congestion(now, opts.congestion);
    }
    connection.set_user_timeout(opts.user_timeout());
    connection.set_fin_timeout(opts.fin_timeout(sysctls));
    connection.set_notsent_lowat(opts.notsent_lowat(sysctls));
    if let Some(retries) = opts.syn_cnt {
        connection.set_syn_retries(retries);
    }
}
