//! The door's own table of sockets: which stand-in belongs to which socket of the stack.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netspace_base::NsId;
use netspace_stack::sock::SockId;
use netspace_uapi::Errno;
use netspace_uapi::sockaddr::SockKind;

use crate::standin::{Buffers, Connecting, Datagram, Fresh, Listener, Netlink, Packet, Stream};

/// Where a socket stands in [`crate::Door`]'s table.
pub(crate) type Key = usize;

/// What a socket is to the door.
#[derive(Debug)]
pub(crate) enum Body {
    /// TCP, neither connected nor listening.
    Fresh(Fresh),
    /// TCP, the handshake under way.
    Connecting(Connecting),
    /// TCP, listening.
    Listener(Listener),
    /// TCP, connected (or it once was).
    Stream(Stream),
    /// UDP, raw or ping.
    Datagram(Datagram),
    /// AF_NETLINK.
    Netlink(Box<Netlink>),
    /// AF_PACKET.
    Packet(Box<Packet>),
}

/// A socket of a program.
#[derive(Debug)]
pub(crate) struct Sock {
    /// The host it is on.
    pub(crate) ns: NsId,
    /// Its name in the stack; netlink and packet sockets have none.
    pub(crate) id: Option<SockId>,
    /// Family, type and protocol.
    pub(crate) kind: SockKind,
    /// The inode of the program's end: how its descriptors are known.
    pub(crate) inode: u64,
    /// The stand-in.
    pub(crate) body: Body,
    /// Held calls that wait for it, oldest first.
    pub(crate) waiting: Vec<usize>,
    /// `SO_RCVTIMEO`.
    pub(crate) recv_timeout: Option<Duration>,
    /// `SO_SNDTIMEO`.
    pub(crate) send_timeout: Option<Duration>,
    /// The program (launch) that made it.
    pub(crate) tree: usize,
    /// The thread and the descriptor by which it was last used.
    pub(crate) holder: (u32, u32),
    /// When it was last known to be open, by the supervisor's own clock, milliseconds.
    pub(crate) seen_ms: u64,
    /// When the last datagram that was given to the program had come.
    pub(crate) last_received: Option<netspace_base::Instant>,
    /// `SO_SNDBUF` and `SO_RCVBUF`, if set.
    pub(crate) buffers: Buffers,
    /// What `SO_ERROR` is to tell, when the stack has told us already.
    pub(crate) error: Option<Errno>,
    /// `SO_OOBINLINE`. In the stack urgent bytes are always part of the stream: the stand-in knows where the mark is.
    pub(crate) oob_inline: bool,
    /// `connect` has told of the connection's success.
    pub(crate) connect_told: bool,
}

impl Sock {
    /// The door's descriptor of the program's end, if it has one.
    pub(crate) fn inner(&self) -> Option<BorrowedFd<'_>> {
        match &self.body {
            Body::Stream(_) => None,
            Body::Fresh(fresh) => Some(fresh.inner.as_fd()),
            Body::Connecting(connecting) => Some(connecting.inner.as_fd()),
            Body::Listener(listener) => Some(listener.inner.as_fd()),
            Body::Datagram(datagram) => Some(datagram.push.inner.as_fd()),
            Body::Netlink(netlink) => Some(netlink.push.inner.as_fd()),
            Body::Packet(packet) => Some(packet.push.inner.as_fd()),
        }
    }

    /// Whether the door holds a descriptor of the program's end, so that the kernel cannot tell us of the last close.
    pub(crate) fn is_held(&self) -> bool {
        match &self.body {
            Body::Stream(stream) => stream.needs_looking_after(),
            _ => true,
        }
    }
}
