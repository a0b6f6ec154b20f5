//! TCP's part of a socket.

use std::collections::VecDeque;

use netspace_base::{Instant, TimerId};
use netspace_tcp::Connection;

use super::options::OptionsTcp;
use crate::sock::names::{Set, Tuple};
use crate::sock::{Readiness, SockId};

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
    /// The listener that opened it early (Fast Open), until its handshake is done.
    pub(crate) early_of: Option<SockId>,
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
    /// The peer has acknowledged our FIN, or nothing is left to be acknowledged: what a lingering close waits for.
    pub(crate) all_acked: bool,
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
    /// Children opened early (Fast Open) whose handshake is not done.
    pub(crate) early: Set<SockId>,
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
            early_of: None,
            connecting: false,
            path_mss: 0,
            resent: 0,
            confirmed_at: None,
            told: Readiness::empty(),
            all_acked: true,
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
