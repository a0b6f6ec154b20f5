//! The states of a connection, and how it can end.
//!
//! ```text
//!  connect ─ SYN-SENT ──────────────╮        ╭─ FIN-WAIT-1 ─┬─ FIN-WAIT-2 ─┬─ TIME-WAIT ─ CLOSED
//!                 │(SYN)            ├─ ESTABLISHED         ╰─ CLOSING ────╯
//!  accept ─ SYN-RECEIVED ───────────╯        ╰─ CLOSE-WAIT ─── LAST-ACK ─── CLOSED
//! ```

use std::fmt;

/// The state of a connection (RFC 9293 §3.3.2). LISTEN is not here: a listening socket is its owner's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Our SYN is on its way.
    SynSent,
    /// A SYN has come; ours is on its way.
    SynReceived,
    /// Both directions are open.
    Established,
    /// We have sent FIN.
    FinWait1,
    /// Our FIN is acknowledged; the peer may still send.
    FinWait2,
    /// The peer has sent FIN; we may still send.
    CloseWait,
    /// Both have sent FIN at the same time; ours is not acknowledged.
    Closing,
    /// Both have sent FIN, the peer first; ours is not acknowledged.
    LastAck,
    /// Over; waiting for old segments to die out.
    TimeWait,
    /// No connection.
    Closed,
}

impl State {
    /// The name as RFC 9293 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// Linux's number, as `/proc/net/tcp` and `tcp_info` show it (10 is LISTEN).
    pub const fn linux(self) -> u8 {
        match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynReceived => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Closed => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Closing => 11,
        }
    }

    /// Whether the handshake is still under way.
    pub const fn is_opening(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived)
    }

    /// Whether data from the peer can still come.
    pub const fn can_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// Whether the program may still send.
    pub const fn can_send(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived | Self::Established | Self::CloseWait)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a connection ended, or could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum TcpError {
    /// The peer answered our SYN with RST, or ICMP said that nobody is there.
    #[error("connection refused")]
    Refused,
    /// The peer reset the connection.
    #[error("connection reset by peer")]
    Reset,
    /// The peer reset it after it had sent FIN: what we sent cannot reach anybody.
    #[error("broken pipe")]
    BrokenPipe,
    /// No answer in time.
    #[error("connection timed out")]
    TimedOut,
    /// ICMP: the host cannot be reached.
    #[error("no route to host")]
    HostUnreachable,
    /// ICMP: the network cannot be reached.
    #[error("network is unreachable")]
    NetworkUnreachable,
    /// ICMP: the peer has no TCP.
    #[error("protocol not available")]
    ProtocolUnreachable,
    /// ICMP: an administrator forbids it.
    #[error("permission denied by an administrator")]
    Prohibited,
    /// This side aborted it.
    #[error("connection aborted")]
    Aborted,
}

/// An ICMP error about a segment of ours, in the words of TCP (RFC 1122 §4.2.3.9, RFC 5461).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IcmpError {
    /// Network unreachable, source route failed, no route (ICMPv6).
    NetworkUnreachable,
    /// Host unreachable, time exceeded, address unreachable (ICMPv6).
    HostUnreachable,
    /// Protocol unreachable.
    ProtocolUnreachable,
    /// Port unreachable.
    PortUnreachable,
    /// Communication administratively prohibited.
    Prohibited,
}

impl IcmpError {
    /// What the program is told.
    pub(crate) const fn error(self) -> TcpError {
        match self {
            Self::NetworkUnreachable => TcpError::NetworkUnreachable,
            Self::HostUnreachable => TcpError::HostUnreachable,
            Self::ProtocolUnreachable => TcpError::ProtocolUnreachable,
            Self::PortUnreachable => TcpError::Refused,
            Self::Prohibited => TcpError::Prohibited,
        }
    }
}

/// Something that the owner of a connection wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The state changed, from and to.
    StateChanged(State, State),
    /// The handshake is done.
    Connected,
    /// There is something to read: data, or the end of the stream.
    Readable,
    /// There is room to write again.
    Writable,
    /// Urgent data has come.
    Urgent,
    /// The connection is over; [`crate::Connection::error`] tells how.
    Closed,
}
