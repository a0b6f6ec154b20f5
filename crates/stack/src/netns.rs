//! The namespace and its calls.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use netspace_base::{DevId, Instant, NsId, Pkt, Seed};

use crate::Turn;
use crate::sock::{
    Connect, Family, How, Message, OptName, Readiness, Received, RecvFlags, SockError, SockId, SockOpt,
    SockType,
};

/// What a namespace is made with.
#[derive(Clone, Debug)]
pub struct NetnsConfig {
    /// Its number in the lab.
    pub id: NsId,
    /// Its name: the host's.
    pub name: String,
    /// The lab's seed; the namespace draws its own streams from it.
    pub seed: Seed,
}

/// One network namespace: devices, addresses, routes, neighbours, sockets, counters.
#[derive(Debug)]
pub struct Netns {
    /// Its number in the lab.
    pub id: NsId,
}

// ---- Inputs: frames and timers -------------------------------------------------------------------------------------
impl Netns {
    /// A namespace with a loopback device (`lo`, ifindex 1, up, 127.0.0.1/8 and ::1/128).
    pub fn new(_config: NetnsConfig, _turn: &mut Turn) -> Self {
        todo!()
    }

    /// A frame has arrived on `dev`'s link: it enters the receive ring. Nothing is processed yet: call [`Netns::run`].
    pub fn receive(&mut self, _turn: &mut Turn, _dev: DevId, _pkt: Box<Pkt>) {
        todo!()
    }

    /// Works off rings and the backlog until they are empty or the budget is used up; true if more is left.
    pub fn run(&mut self, _turn: &mut Turn) -> bool {
        todo!()
    }

    /// When [`Netns::on_timeout`] must next be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Carries out what is due at `turn.now`.
    pub fn on_timeout(&mut self, _turn: &mut Turn) {
        todo!()
    }
}

// ---- Sockets -------------------------------------------------------------------------------------------------------
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

// ---- Configuration (the lab file and netlink both end here) --------------------------------------------------------
impl Netns {
    /// Adds a link end named `name`; frames leave it as [`crate::Effect::Xmit`]. It is down until set up.
    pub fn add_link_end(
        &mut self,
        _t: &mut Turn,
        _name: &str,
        _mac: [u8; 6],
        _mtu: u32,
    ) -> Result<DevId, SockError> {
        todo!()
    }

    /// Adds a bridge named `name`; `learn` false makes it a hub.
    pub fn add_bridge(
        &mut self,
        _t: &mut Turn,
        _name: &str,
        _mac: [u8; 6],
        _learn: bool,
    ) -> Result<DevId, SockError> {
        todo!()
    }

    /// Makes `port` a port of `bridge`, or takes it out.
    pub fn set_master(
        &mut self,
        _t: &mut Turn,
        _port: DevId,
        _bridge: Option<DevId>,
    ) -> Result<(), SockError> {
        todo!()
    }

    /// Sets a device up or down (`ip link set … up`).
    pub fn set_up(&mut self, _t: &mut Turn, _dev: DevId, _up: bool) -> Result<(), SockError> {
        todo!()
    }

    /// The link's carrier has come or gone (cable plugged, unplugged).
    pub fn set_carrier(&mut self, _t: &mut Turn, _dev: DevId, _carrier: bool) {
        todo!()
    }

    /// Sets a device's MTU, bytes.
    pub fn set_mtu(&mut self, _t: &mut Turn, _dev: DevId, _mtu: u32) -> Result<(), SockError> {
        todo!()
    }

    /// Adds an address with its prefix length (`ip addr add`); the connected route comes with it, and for IPv6 duplicate
    /// address detection unless `nodad`.
    pub fn add_address(
        &mut self,
        _t: &mut Turn,
        _dev: DevId,
        _addr: IpNet,
        _nodad: bool,
    ) -> Result<(), SockError> {
        todo!()
    }

    /// Takes an address away.
    pub fn del_address(&mut self, _t: &mut Turn, _dev: DevId, _addr: IpNet) -> Result<(), SockError> {
        todo!()
    }

    /// Adds a route: to `prefix`, by `via` (none: on the link) and `dev` (none: where `via` is).
    pub fn add_route(
        &mut self,
        _t: &mut Turn,
        _prefix: IpNet,
        _via: Option<IpAddr>,
        _dev: Option<DevId>,
        _metric: u32,
    ) -> Result<(), SockError> {
        todo!()
    }

    /// Sets a sysctl under `/proc/sys/net` (`ipv4.ip_forward` = `1`).
    pub fn set_sysctl(&mut self, _t: &mut Turn, _name: &str, _value: &str) -> Result<(), SockError> {
        todo!()
    }

    /// Reads a sysctl.
    pub fn sysctl(&self, _name: &str) -> Option<String> {
        todo!()
    }
}
