//! The socket calls of a namespace: each delegates to the protocol that the socket speaks.

use std::net::SocketAddr;

use netspace_base::{Detail, Point};
use netspace_wire::protocol;

use super::queue::Datagram;
use super::socket::{Kind, Socket};
use super::table::MAX_SOCKETS;
use super::tcp::{self, OptionsTcp, TcpSock};
use super::{
    Connect, Family, How, Message, OptName, Owner, Readiness, Received, RecvFlags, SockError, SockId,
    SockOpt, SockType, bind, error, multicast, options, ping, raw, udp,
};
use crate::{Netns, Turn};

impl Netns {
    /// socket(2). `protocol` 0 chooses the type's default.
    pub fn socket(
        &mut self,
        _t: &mut Turn,
        family: Family,
        ty: SockType,
        protocol: u8,
    ) -> Result<SockId, SockError> {
        if self.sockets.table.len() >= MAX_SOCKETS {
            return Err(SockError::NoBuffers);
        }
        let sysctls = &self.sockets.sysctls;
        let (kind, protocol) = match (ty, protocol, family) {
            (SockType::Stream, 0 | protocol::TCP, _) => {
                (Kind::Tcp(Box::new(TcpSock::new(OptionsTcp::new(sysctls)))), protocol::TCP)
            }
            (SockType::Dgram, 0 | protocol::UDP, _) => (Kind::Udp(Box::default()), protocol::UDP),
            (SockType::Dgram, protocol::UDPLITE, _) => (Kind::Udp(Box::default()), protocol::UDPLITE),
            (SockType::Dgram, protocol::ICMP, Family::Inet)
            | (SockType::Dgram, protocol::ICMPV6, Family::Inet6) => (Kind::Ping, protocol),
            (SockType::Raw, 1.., _) => (Kind::Raw, protocol),
            _ => return Err(SockError::ProtocolUnsupported),
        };
        let cookie = self.sockets.next_cookie();
        let opts = self.sockets.fresh_options.get(&self.sockets.sysctls, ty);
        let socket = Socket::new(family, ty, protocol, cookie, kind, opts);
        let id = self.sockets.table.insert(socket);
        if ty == SockType::Raw {
            raw::hash(&mut self.sockets, id);
        }
        Ok(id)
    }

    /// Tells who holds a socket: the inode that programs see behind the descriptor, and the user. Shown by [`Netns::sockets`].
    pub fn set_owner(&mut self, s: SockId, inode: u64, uid: u32) {
        if let Ok(socket) = self.sockets.get_mut(s) {
            socket.owner = Owner { inode, uid };
        }
    }

    /// bind(2).
    pub fn bind(&mut self, _t: &mut Turn, s: SockId, addr: SocketAddr) -> Result<(), SockError> {
        bind::bind(self, s, addr)
    }

    /// connect(2). After [`Connect::InProgress`] a [`crate::Effect::Wake`] tells that the attempt has ended; calling connect
    /// again gives its result once ([`Connect::Done`] or the error), as on Linux.
    pub fn connect(&mut self, t: &mut Turn, s: SockId, addr: SocketAddr) -> Result<Connect, SockError> {
        match self.sockets.get(s)?.kind {
            Kind::Tcp(_) => tcp::connect(self, t, s, addr),
            Kind::Udp(_) | Kind::Raw | Kind::Ping => udp::connect(self, t, s, addr),
        }
    }

    /// connect(2) with `AF_UNSPEC`.
    pub fn disconnect(&mut self, t: &mut Turn, s: SockId) -> Result<(), SockError> {
        match self.sockets.get(s)?.kind {
            Kind::Tcp(_) => tcp::disconnect(self, t, s),
            Kind::Udp(_) => udp::disconnect(self, s),
            Kind::Raw | Kind::Ping => udp::rename(self, s, |socket| {
                socket.remote = None;
                socket.route = None;
            }),
        }
    }

    /// listen(2).
    pub fn listen(&mut self, t: &mut Turn, s: SockId, backlog: i32) -> Result<(), SockError> {
        tcp::listen(self, t, s, backlog)
    }

    /// accept(2): the new socket and its peer, or [`SockError::WouldBlock`].
    pub fn accept(&mut self, t: &mut Turn, s: SockId) -> Result<(SockId, SocketAddr), SockError> {
        let socket = self.sockets.get(s)?;
        if socket.tcp().is_none() {
            return Err(SockError::OperationUnsupported);
        }
        tcp::accept(self, t, s)
    }

    /// sendmsg(2), never blocking: how many bytes were taken (streams: perhaps fewer than given), or
    /// [`SockError::WouldBlock`]. An empty stream send gives 0.
    pub fn send(&mut self, t: &mut Turn, s: SockId, message: Message) -> Result<usize, SockError> {
        match self.sockets.get(s)?.kind {
            Kind::Tcp(_) => tcp::send(self, t, s, message),
            Kind::Udp(_) => udp::send(self, t, s, message),
            Kind::Raw => raw::send(self, t, s, message),
            Kind::Ping => ping::send(self, t, s, message),
        }
    }

    /// recvmsg(2), never blocking: up to `max` bytes of a stream (0 bytes = its end), or one datagram whole.
    pub fn recv(
        &mut self,
        t: &mut Turn,
        s: SockId,
        max: usize,
        flags: RecvFlags,
    ) -> Result<Received, SockError> {
        let socket = self.sockets.get_mut(s)?;
        if flags.error_queue {
            return error::take(socket);
        }
        if socket.tcp().is_some() {
            return tcp::recv(self, t, s, max, flags);
        }
        socket.check_error()?;
        let Some(Datagram { data, from, control }) = socket.rx.take(flags.peek) else {
            return if socket.shut_read { Ok(Received::default()) } else { Err(SockError::WouldBlock) };
        };
        let received = Received { data: data.into_vec(), from: Some(from), control };
        let len = received.len() as u64;
        t.trace.socket(t.now, self.id, Point::SocketRead, || Detail::Bytes(len));
        Ok(received)
    }

    /// shutdown(2).
    pub fn shutdown(&mut self, t: &mut Turn, s: SockId, how: How) -> Result<(), SockError> {
        let socket = self.sockets.get_mut(s)?;
        if socket.tcp().is_some() {
            return tcp::shutdown(self, t, s, how);
        }
        // Linux tells ENOTCONN of an unconnected datagram socket, and shuts it down all the same.
        socket.shut_read |= how != How::Write;
        socket.shut_write |= how != How::Read;
        let connected = socket.remote.is_some();
        self.sockets.wake(t, s);
        if connected { Ok(()) } else { Err(SockError::NotConnected) }
    }

    /// The last descriptor was closed. TCP goes on by itself until the connection has ended (FIN, or RST if unread data
    /// is left or `SO_LINGER` is zero); the name is stale from here on.
    pub fn close(&mut self, t: &mut Turn, s: SockId) {
        if self.sockets.get(s).is_err() {
            return;
        }
        multicast::leave_all(self, t, s);
        match &self.sockets.table[s].kind {
            Kind::Tcp(_) => return tcp::close(self, t, s),
            Kind::Udp(_) => udp::close(self, s),
            Kind::Raw => raw::unhash(&mut self.sockets, s),
            Kind::Ping => ping::unhash(&mut self.sockets, s),
        }
        self.sockets.table.remove(s);
    }

    /// getsockname(2).
    pub fn local_addr(&self, s: SockId) -> Result<SocketAddr, SockError> {
        let socket = self.sockets.get(s)?;
        let mut addr = socket.local_shown();
        if matches!(socket.kind, Kind::Raw) {
            addr.set_port(u16::from(socket.protocol));
        }
        Ok(addr)
    }

    /// getpeername(2). A peer without a port, as raw and ping sockets have, counts as none (as on Linux).
    pub fn peer_addr(&self, s: SockId) -> Result<SocketAddr, SockError> {
        let socket = self.sockets.get(s)?;
        if socket.tcp().is_some() && !tcp::has_peer(socket) {
            return Err(SockError::NotConnected);
        }
        socket.remote_shown().filter(|peer| peer.port() != 0).ok_or(SockError::NotConnected)
    }

    /// What poll(2) would tell.
    pub fn readiness(&self, s: SockId) -> Readiness {
        match self.sockets.get(s) {
            Ok(socket) if socket.tcp().is_some() => tcp::readiness(socket),
            Ok(socket) => socket.datagram_readiness(),
            Err(_) => Readiness::ERR | Readiness::HUP,
        }
    }

    /// `SO_ERROR`: the pending error, cleared by asking. The end of a failed connect has been told then, too.
    pub fn take_error(&mut self, s: SockId) -> Option<SockError> {
        let socket = self.sockets.get_mut(s).ok()?;
        let error = socket.take_error();
        if let (Some(_), Some(tcp)) = (error, socket.tcp_mut()) {
            tcp.connecting = false;
        }
        error
    }

    /// setsockopt(2).
    pub fn set_option(&mut self, t: &mut Turn, s: SockId, option: SockOpt) -> Result<(), SockError> {
        self.sockets.get(s)?;
        options::set(self, t, s, option)
    }

    /// getsockopt(2).
    pub fn option(&self, t: &Turn, s: SockId, name: OptName) -> Result<SockOpt, SockError> {
        options::get(self, t, s, name)
    }

    /// Bytes ready to read: a stream's all, of datagrams the first's (`FIONREAD`).
    pub fn recv_queue_len(&self, s: SockId) -> usize {
        match self.sockets.get(s) {
            Ok(socket) if tcp::is_listening(socket) => 0,
            Ok(socket) if socket.tcp().is_some() => tcp::recv_queue_len(socket),
            Ok(socket) => socket.rx.first_len(),
            Err(_) => 0,
        }
    }

    /// Bytes sent but not acknowledged, or not yet sent (`SIOCOUTQ`).
    pub fn send_queue_len(&self, s: SockId) -> usize {
        match self.sockets.get(s) {
            Ok(socket) if !tcp::is_listening(socket) => tcp::send_queue_len(socket),
            _ => 0,
        }
    }

    /// Whether the peer has acknowledged everything and our FIN, or the connection is over: what close(2) waits for with
    /// `SO_LINGER`.
    pub fn is_all_acked(&self, s: SockId) -> bool {
        self.sockets.get(s).is_ok_and(tcp::is_all_acked)
    }

    /// Free bytes of a stream's send buffer.
    pub fn send_space(&self, s: SockId) -> usize {
        self.sockets.get(s).map_or(0, tcp::send_space)
    }

    /// Whether the next byte to read is the urgent one (`SIOCATMARK`).
    pub fn at_mark(&self, s: SockId) -> bool {
        let connection = self.sockets.get(s).ok().and_then(Socket::tcp).and_then(TcpSock::connection);
        connection.is_some_and(netspace_tcp::Connection::at_mark)
    }

    /// A socket's family, type and protocol (`SO_DOMAIN`, `SO_TYPE`, `SO_PROTOCOL`) and its cookie (`SO_COOKIE`).
    pub fn socket_kind(&self, s: SockId) -> Result<(Family, SockType, u8, u64), SockError> {
        self.sockets.get(s).map(|socket| (socket.family, socket.ty, socket.protocol, socket.cookie))
    }

    /// The transport layer's sysctls.
    pub const fn sock_sysctls(&self) -> &super::SockSysctls {
        &self.sockets.sysctls
    }
}
