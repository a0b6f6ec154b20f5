//! The socket calls of a namespace: each delegates to the protocol that the socket speaks.

use std::net::SocketAddr;

use super::{
    Connect, Family, How, Message, OptName, Readiness, Received, RecvFlags, SockError, SockId, SockOpt,
    SockType,
};
use crate::{Netns, Turn};

impl Netns {
    /// socket(2). `protocol` 0 chooses the type's default.
    pub fn socket(
        &mut self,
        _t: &mut Turn,
        _f: Family,
        _ty: SockType,
        _protocol: u8,
    ) -> Result<SockId, SockError> {
        todo!()
    }

    /// bind(2).
    pub fn bind(&mut self, _t: &mut Turn, _s: SockId, _addr: SocketAddr) -> Result<(), SockError> {
        todo!()
    }

    /// connect(2).
    pub fn connect(&mut self, _t: &mut Turn, _s: SockId, _addr: SocketAddr) -> Result<Connect, SockError> {
        todo!()
    }

    /// connect(2) with `AF_UNSPEC`.
    pub fn disconnect(&mut self, _t: &mut Turn, _s: SockId) -> Result<(), SockError> {
        todo!()
    }

    /// listen(2).
    pub fn listen(&mut self, _t: &mut Turn, _s: SockId, _backlog: i32) -> Result<(), SockError> {
        todo!()
    }

    /// accept(2): the new socket and its peer, or [`SockError::WouldBlock`].
    pub fn accept(&mut self, _t: &mut Turn, _s: SockId) -> Result<(SockId, SocketAddr), SockError> {
        todo!()
    }

    /// sendmsg(2), never blocking: how many bytes were taken (streams: perhaps fewer than given), or
    /// [`SockError::WouldBlock`]. An empty stream send gives 0.
    pub fn send(&mut self, _t: &mut Turn, _s: SockId, _message: Message) -> Result<usize, SockError> {
        todo!()
    }

    /// recvmsg(2), never blocking: up to `max` bytes of a stream (0 bytes = its end), or one datagram whole.
    pub fn recv(
        &mut self,
        _t: &mut Turn,
        _s: SockId,
        _max: usize,
        _flags: RecvFlags,
    ) -> Result<Received, SockError> {
        todo!()
    }

    /// shutdown(2).
    pub fn shutdown(&mut self, _t: &mut Turn, _s: SockId, _how: How) -> Result<(), SockError> {
        todo!()
    }

    /// The last descriptor was closed. TCP goes on by itself until the connection has ended (FIN, or RST if unread data
    /// is left or `SO_LINGER` is zero); the name is stale from here on.
    pub fn close(&mut self, _t: &mut Turn, _s: SockId) {
        todo!()
    }

    /// getsockname(2).
    pub fn local_addr(&self, _s: SockId) -> Result<SocketAddr, SockError> {
        todo!()
    }

    /// getpeername(2).
    pub fn peer_addr(&self, _s: SockId) -> Result<SocketAddr, SockError> {
        todo!()
    }

    /// What poll(2) would tell.
    pub fn readiness(&self, _s: SockId) -> Readiness {
        todo!()
    }

    /// `SO_ERROR`: the pending error, cleared by asking.
    pub fn take_error(&mut self, _s: SockId) -> Option<SockError> {
        todo!()
    }

    /// setsockopt(2).
    pub fn set_option(&mut self, _t: &mut Turn, _s: SockId, _option: SockOpt) -> Result<(), SockError> {
        todo!()
    }

    /// getsockopt(2).
    pub fn option(&self, _t: &Turn, _s: SockId, _name: OptName) -> Result<SockOpt, SockError> {
        todo!()
    }

    /// Bytes ready to read: a stream's all, of datagrams the first's (`FIONREAD`).
    pub fn recv_queue_len(&self, _s: SockId) -> usize {
        todo!()
    }

    /// Bytes sent but not acknowledged, or not yet sent (`SIOCOUTQ`).
    pub fn send_queue_len(&self, _s: SockId) -> usize {
        todo!()
    }

    /// Free bytes of a stream's send buffer.
    pub fn send_space(&self, _s: SockId) -> usize {
        todo!()
    }
}
