//! TCP sockets: what lies around `netspace_tcp::Connection`. Ports, listeners, queues, packets, timers, TIME-WAIT.
//!
//! ```text
//! connect ──→ Connection ←── receive ── tables: connection | TIME-WAIT | listener | none → RST
//! listen ───→ Listener: SYN → half-open child → (ACK) → accept queue → accept
//!                 pump: segments out, events, timer, wake-up      close → orphan → TIME-WAIT → gone
//! ```
//! Every function that touches a connection ends in [`pump::pump`], which carries out what came of it.

mod accept_queue;
mod answer;
mod close;
mod config;
mod connect;
mod connection;
mod cookie;
mod fast_open;
mod fast_open_table;
mod gone;
mod info;
mod initial;
mod listen;
mod options;
mod packet;
mod pump;
mod receive;
mod state;
mod stream;
mod tables;
mod time_wait;
mod wake;

use netspace_tcp::{Connection, State, TcpError};

use super::socket::{Kind, Socket};
use super::{Readiness, SockError};

pub(crate) use accept_queue::make_ready;
pub(crate) use close::{close, disconnect, shutdown};
pub(crate) use config::apply_live;
pub(crate) use connect::connect;
pub(crate) use info::{controller_info, info, linux_state, send_buffer_shown};
pub(crate) use listen::{accept, listen};
pub(crate) use options::OptionsTcp;
pub(crate) use pump::{on_timeout, pump};
pub(crate) use receive::{icmp_error, receive};
pub(crate) use state::{Listener, TcpSock, TcpState};
pub(crate) use stream::{recv, recv_queue_len, send, send_queue_len, send_space};
pub(crate) use tables::{TcpTables, TimeWait};
pub(crate) use time_wait::expire as expire_time_wait;
pub(crate) use wake::is_all_acked;

/// Whether the socket listens or has a connection.
pub(crate) fn is_active(socket: &Socket) -> bool {
    socket.tcp().is_some_and(|tcp| match &tcp.state {
        TcpState::Idle => false,
        TcpState::Listen(_) => true,
        TcpState::Connection(connection) => connection.state() != State::Closed,
    })
}

/// Whether getpeername(2) names a peer: the connection is open, or was and has not been forgotten.
pub(crate) fn has_peer(socket: &Socket) -> bool {
    let state = socket.tcp().and_then(TcpSock::connection).map(Connection::state);
    state.is_some_and(|state| !matches!(state, State::Closed | State::SynSent | State::TimeWait))
}

/// Whether the socket listens.
pub(crate) fn is_listening(socket: &Socket) -> bool {
    matches!(&socket.kind, Kind::Tcp(tcp) if matches!(tcp.state, TcpState::Listen(_)))
}

/// A connection's end in the words of sockets.
pub(crate) const fn sock_error(error: TcpError) -> SockError {
    match error {
        TcpError::Refused => SockError::ConnectionRefused,
        TcpError::Reset => SockError::ConnectionReset,
        TcpError::BrokenPipe => SockError::BrokenPipe,
        TcpError::TimedOut => SockError::TimedOut,
        TcpError::HostUnreachable => SockError::HostUnreachable,
        TcpError::NetworkUnreachable => SockError::NetworkUnreachable,
        TcpError::ProtocolUnreachable => SockError::NoSuchOption,
        TcpError::Prohibited => SockError::Access,
        TcpError::Aborted => SockError::ConnectionAborted,
    }
}

/// What poll(2) would tell.
pub(crate) fn readiness(socket: &Socket) -> Readiness {
    let Some(tcp) = socket.tcp() else { return Readiness::empty() };
    let mut ready = Readiness::empty();
    ready.set(Readiness::ERR, socket.error.is_some() || !socket.errors.is_empty());
    match &tcp.state {
        TcpState::Idle => ready |= Readiness::OUT | Readiness::HUP,
        TcpState::Listen(listener) => ready.set(Readiness::IN, !listener.ready.is_empty()),
        TcpState::Connection(connection) => ready |= connection_readiness(socket, connection),
    }
    if socket.shut_read {
        ready |= Readiness::IN | Readiness::RDHUP;
    }
    ready
}

fn connection_readiness(socket: &Socket, connection: &Connection) -> Readiness {
    let state = connection.state();
    let mut ready = Readiness::empty();
    if connection.is_deferred() {
        // connect(2) has succeeded, as far as the program knows; the SYN waits for its first data.
        return Readiness::OUT;
    }
    if state.is_opening() && !connection.is_early() {
        return ready;
    }
    let closed = matches!(state, State::Closed | State::TimeWait);
    let no_more = closed || connection.at_end() || connection.peer_finished();
    let enough = connection.recv_len() >= (socket.opts.rcv_lowat.max(1) as usize);
    ready.set(Readiness::IN, enough || no_more);
    ready.set(Readiness::RDHUP, no_more);
    ready.set(Readiness::HUP, closed || (no_more && socket.shut_write));
    ready.set(Readiness::PRI, connection.has_urgent());
    ready.set(Readiness::OUT, closed || socket.shut_write || connection.is_writable());
    ready
}
