//! TCP sockets: what lies around `netspace_tcp::Connection`. Ports, listeners, queues, packets, timers, TIME-WAIT.
//!
//! ```text
//! connect ──→ Connection ←── receive ── tables: connection | TIME-WAIT | listener | none → RST
//! listen ───→ Listener: SYN → half-open child → (ACK) → accept queue → accept
//!                 pump: segments out, events, timer, wake-up      close → orphan → TIME-WAIT → gone
//! ```
//! Every function that touches a connection ends in [`pump::pump`], which carries out what came of it.

mod close;
mod connect;
mod cookie;
mod info;
mod listen;
mod options;
mod pump;
mod receive;
mod stream;
mod tables;
mod time_wait;

use std::collections::VecDeque;

use netspace_base::{Instant, TimerId};
use netspace_tcp::{Connection, State, TcpError};

use super::error::Meaning;
use super::socket::{Kind, Socket};
use super::table::{Set, Tuple};
use super::{Readiness, SockError, SockId};
use crate::l4::IcmpError;
use crate::{Netns, Turn};

pub(crate) use close::{close, disconnect, shutdown};
pub(crate) use connect::connect;
pub(crate) use info::{info, linux_state};
pub(crate) use listen::{accept, listen, make_ready};
pub(crate) use options::{OptionsTcp, apply_live};
pub(crate) use pump::{on_timeout, pump};
pub(crate) use receive::receive;
pub(crate) use stream::{recv, recv_queue_len, send, send_queue_len, send_space};
pub(crate) use tables::TcpTables;
pub(crate) use time_wait::{TimeWait, expire as expire_time_wait};

/// TCP's part of a socket.
#[derive(Debug)]
pub(crate) struct TcpSock {
    pub(crate) state: TcpState,
    pub(crate) opts: OptionsTcp,
    /// Under what it lies in the table of connections.
    pub(crate) tuple: Option<Tuple>,
    /// The port whose users it is counted among, and whether bind(2) gave it.
    pub(crate) bucket: Option<(u16, bool)>,
    /// The timer that is set, and for when.
    pub(crate) timer: Option<(TimerId, Instant)>,
    /// The listener to which a child belongs that no program has accepted yet.
    pub(crate) parent: Option<SockId>,
    /// connect(2) was called and its end has not been told.
    pub(crate) connecting: bool,
    /// The MSS of the path, as last told to the connection.
    pub(crate) path_mss: u16,
    /// Segments sent again, as last counted.
    pub(crate) resent: u32,
    /// When it last told that its next hop is reachable.
    pub(crate) confirmed_at: Option<Instant>,
    /// What readiness was when the program was last woken.
    pub(crate) told: Readiness,
}

/// What a TCP socket is at the moment.
#[derive(Debug)]
pub(crate) enum TcpState {
    /// Neither connected nor listening.
    Idle,
    /// listen(2) was called.
    Listen(Box<Listener>),
    /// It has, or had, a connection.
    Connection(Box<Connection>),
}

/// The queues of a listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The program's backlog, cut to `somaxconn`.
    pub(crate) backlog: usize,
    /// Children whose handshake is under way: the SYN queue.
    pub(crate) half_open: Set<SockId>,
    /// Children that wait for accept(2), oldest first.
    pub(crate) ready: VecDeque<SockId>,
    /// When the SYN queue was last full and a cookie was sent.
    pub(crate) overflowed_at: Option<Instant>,
}

impl TcpSock {
    pub(crate) fn new(opts: OptionsTcp) -> Self {
        Self {
            state: TcpState::Idle,
            opts,
            tuple: None,
            bucket: None,
            timer: None,
            parent: None,
            connecting: false,
            path_mss: 0,
            resent: 0,
            confirmed_at: None,
            told: Readiness::empty(),
        }
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.state {
            TcpState::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn connection_mut(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            TcpState::Connection(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn listener(&self) -> Option<&Listener> {
        match &self.state {
            TcpState::Listen(listener) => Some(listener),
            _ => None,
        }
    }

    pub(crate) fn listener_mut(&mut self) -> Option<&mut Listener> {
        match &mut self.state {
            TcpState::Listen(listener) => Some(listener),
            _ => None,
        }
    }
}

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
    if state.is_opening() {
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

/// An ICMP error about a segment (RFC 1122 §4.2.3.9, RFC 5461; RFC 5927 §4: its sequence number must be one in flight).
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, error: &IcmpError<'_>, meaning: Meaning) {
    receive::icmp_error(ns, t, error, meaning);
}
