//! `TCP_INFO` and the state's number as programs see them.

use netspace_base::Instant;
use netspace_tcp::{ControllerInfo, TcpInfo};

use super::{TcpSock, TcpState};
use crate::sock::socket::Socket;

/// Linux's number of LISTEN and CLOSE.
const LISTEN: u8 = 10;
const CLOSE: u8 = 7;

/// What Linux allots around a segment's bytes: its largest headers and the shared part of a packet; and the packet's record.
const SEGMENT_HEADERS: u32 = 640;
const SEGMENT_RECORD: u32 = 256;
/// Segments for which there is always room.
const SEGMENTS_LEAST: u32 = 10;

/// Linux's number of the socket's state.
pub(crate) fn linux_state(socket: &Socket) -> u8 {
    match socket.tcp().map(|tcp| &tcp.state) {
        Some(TcpState::Listen(_)) => LISTEN,
        Some(TcpState::Connection(connection)) => match connection.state() {
            // The small form is in TIME-WAIT; the socket itself is closed.
            netspace_tcp::State::TimeWait => CLOSE,
            state => state.linux(),
        },
        _ => CLOSE,
    }
}

/// `SO_SNDBUF`: an open connection's has grown with its window unless the program fixed it. Counted as Linux counts: what a
/// full segment costs it in memory, for each segment of the window, twice (models of the path: three times) over.
pub(crate) fn send_buffer_shown(socket: &Socket) -> u32 {
    let own = socket.opts.sndbuf;
    let Some(connection) = socket.tcp().and_then(TcpSock::connection) else { return own };
    if socket.opts.sndbuf_locked || connection.state().is_opening() {
        return own;
    }
    let info = connection.info(Instant::ZERO);
    let segment = (info.advmss.max(info.snd_mss) + SEGMENT_HEADERS).next_power_of_two() + SEGMENT_RECORD;
    let segments = info.snd_cwnd.max(SEGMENTS_LEAST).max(info.reordering + 1);
    let times = if connection.config().congestion.name().starts_with("bbr") { 3 } else { 2 };
    let grown = segment.saturating_mul(segments).saturating_mul(times);
    grown.min(connection.config().send_buffer.max).max(own)
}

/// `TCP_CC_INFO`.
pub(crate) fn controller_info(socket: &Socket) -> Option<ControllerInfo> {
    let tcp = socket.tcp()?;
    match tcp.connection() {
        Some(connection) => connection.controller_info(),
        None => tcp.opts.congestion.idle_info(),
    }
}

/// `TCP_INFO`.
pub(crate) fn info(socket: &Socket, now: Instant) -> TcpInfo {
    let mut info = match socket.tcp().map(|tcp| &tcp.state) {
        Some(TcpState::Connection(connection)) => connection.info(now),
        Some(TcpState::Listen(listener)) => TcpInfo {
            // A listener shows its accept queue's length and limit here.
            unacked: listener.ready.len() as u32,
            sacked: listener.backlog as u32,
            ..TcpInfo::default()
        },
        _ => TcpInfo::default(),
    };
    info.state = linux_state(socket);
    if let Some(route) = &socket.route {
        info.pmtu = route.mtu;
    }
    info
}
