//! The list of sockets, as `ss` and `/proc/net/{tcp,udp,raw,icmp}` show it.

use std::net::{IpAddr, SocketAddr};

use netspace_base::{DevId, Duration, Instant};
use netspace_wire::protocol;

use super::socket::{Kind, Socket, shown};
use super::tcp::{self, TcpState};
use super::{ControllerInfo, Family, Owner, SockId, SockType, TcpInfo, unspecified};
use crate::Netns;

/// A socket's timer (the `tr` column of `/proc/net/tcp`, `ss -o`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SockTimerInfo {
    /// 0 none, 1 retransmission, 2 keepalive, 3 TIME-WAIT, 4 window probe.
    pub kind: u8,
    /// How long until it fires.
    pub expires: Duration,
    /// How often it has fired without answer.
    pub retransmits: u8,
}

/// One socket in a list.
#[derive(Clone, PartialEq, Debug)]
pub struct SockInfo {
    /// Its name; none for a connection in TIME-WAIT.
    pub id: Option<SockId>,
    /// Family.
    pub family: Family,
    /// Type.
    pub ty: SockType,
    /// Protocol.
    pub protocol: u8,
    /// Local name; IPv4-mapped on IPv6 sockets.
    pub local: SocketAddr,
    /// Peer; unspecified without one.
    pub remote: SocketAddr,
    /// Linux's state number (1 = ESTABLISHED, 7 = CLOSE: an unconnected datagram socket, 10 = LISTEN).
    pub state: u8,
    /// Bytes to read (of a listener: connections to accept; of datagram sockets: memory used).
    pub recv_queue: usize,
    /// Bytes not acknowledged (of a listener: the backlog).
    pub send_queue: usize,
    /// Its timer.
    pub timer: SockTimerInfo,
    /// Who has it.
    pub owner: Owner,
    /// `SO_COOKIE`.
    pub cookie: u64,
    /// The device it is bound to.
    pub dev: Option<DevId>,
    /// Datagrams dropped because its buffer was full.
    pub drops: u32,
    /// The firewall mark.
    pub mark: u32,
    /// IPv6 only.
    pub v6only: bool,
    /// The directions that are shut down: 1 read, 2 write.
    pub shutdown: u8,
    /// The congestion control's name (TCP).
    pub congestion: Option<&'static str>,
}

/// Counts for `/proc/net/sockstat`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SockStat {
    /// Sockets that programs hold.
    pub used: usize,
    /// IPv4 TCP sockets with a connection or listening.
    pub tcp: usize,
    /// IPv6 TCP sockets likewise.
    pub tcp6: usize,
    /// TCP sockets no program holds.
    pub orphans: usize,
    /// Connections in TIME-WAIT.
    pub time_wait: usize,
    /// TCP connections in ESTABLISHED or CLOSE-WAIT (`Tcp: CurrEstab`).
    pub established: usize,
    /// IPv4 UDP sockets with a port.
    pub udp: usize,
    /// IPv6 UDP sockets with a port.
    pub udp6: usize,
    /// IPv4 UDP-Lite sockets with a port.
    pub udplite: usize,
    /// IPv6 UDP-Lite sockets with a port.
    pub udplite6: usize,
    /// IPv4 raw sockets.
    pub raw: usize,
    /// IPv6 raw sockets.
    pub raw6: usize,
}

impl Netns {
    /// All sockets that have a name (a port, a protocol) and connections in TIME-WAIT, in the order in which they came to be.
    pub fn sockets(&self, now: Instant) -> Vec<SockInfo> {
        let mut list: Vec<SockInfo> = self
            .sockets
            .table
            .iter()
            .filter(|(_, s)| is_listed(s))
            .map(|(id, s)| describe(id, s, now))
            .collect();
        list.sort_unstable_by_key(|info| info.cookie);
        list.extend(self.sockets.tcp.time_waits.iter().map(|(_, old)| describe_time_wait(old, now)));
        list
    }

    /// One socket.
    pub fn socket_info(&self, id: SockId, now: Instant) -> Option<SockInfo> {
        self.sockets.table.get(id).map(|socket| describe(id, socket, now))
    }

    /// `TCP_INFO` of a socket in the list, whether a program holds it or not.
    pub fn tcp_info(&self, id: SockId, now: Instant) -> Option<TcpInfo> {
        self.sockets.table.get(id).filter(|s| s.tcp().is_some()).map(|s| tcp::info(s, now))
    }

    /// `TCP_CC_INFO` of a socket in the list.
    pub fn tcp_cc_info(&self, id: SockId) -> Option<ControllerInfo> {
        self.sockets.table.get(id).and_then(tcp::controller_info)
    }

    /// How many sockets of which kind there are.
    pub fn sock_stat(&self) -> SockStat {
        let mut stat = SockStat {
            orphans: self.sockets.tcp.orphans,
            time_wait: self.sockets.tcp.time_waits.len(),
            ..SockStat::default()
        };
        for socket in self.sockets.table.values() {
            stat.used += usize::from(!socket.orphan);
            let v6 = socket.family == Family::Inet6;
            match &socket.kind {
                Kind::Tcp(tcp) => {
                    stat.established += usize::from(matches!(tcp::linux_state(socket), 1 | 8));
                    let live = !matches!(tcp.state, TcpState::Idle) || tcp.bucket.is_some();
                    *(if v6 { &mut stat.tcp6 } else { &mut stat.tcp }) += usize::from(live);
                }
                Kind::Udp(_) if socket.local_port != 0 => {
                    let lite = socket.protocol == protocol::UDPLITE;
                    *match (lite, v6) {
                        (false, false) => &mut stat.udp,
                        (false, true) => &mut stat.udp6,
                        (true, false) => &mut stat.udplite,
                        (true, true) => &mut stat.udplite6,
                    } += 1;
                }
                Kind::Raw => *(if v6 { &mut stat.raw6 } else { &mut stat.raw }) += 1,
                Kind::Udp(_) | Kind::Ping => {}
            }
        }
        stat
    }
}

/// Linux lists what lies in its hash tables: not sockets without a port, nor TCP sockets without a connection.
fn is_listed(socket: &Socket) -> bool {
    match &socket.kind {
        Kind::Tcp(tcp) => tcp.tuple.is_some() || matches!(tcp.state, TcpState::Listen(_)),
        _ => socket.local_port != 0 || socket.protocol == 0,
    }
}

fn describe(id: SockId, socket: &Socket, now: Instant) -> SockInfo {
    let nobody = SocketAddr::new(unspecified(socket.family), 0);
    let (recv_queue, send_queue, state) = match &socket.kind {
        Kind::Tcp(_) => (tcp::recv_queue_len(socket), tcp::send_queue_len(socket), tcp::linux_state(socket)),
        _ => (socket.rx.memory(), 0, if socket.remote.is_some() { 1 } else { 7 }),
    };
    SockInfo {
        id: Some(id),
        family: socket.family,
        ty: socket.ty,
        protocol: socket.protocol,
        local: socket.local_shown(),
        remote: socket.remote_shown().unwrap_or(nobody),
        state,
        recv_queue,
        send_queue,
        timer: timer(socket, now),
        owner: socket.owner,
        cookie: socket.cookie,
        dev: socket.opts.bound_dev,
        drops: socket.rx.drops,
        mark: socket.opts.mark,
        v6only: socket.opts.v6only,
        shutdown: u8::from(socket.shut_read) | u8::from(socket.shut_write) << 1,
        congestion: socket.tcp().map(|tcp| tcp.opts.congestion.name()),
    }
}

fn timer(socket: &Socket, now: Instant) -> SockTimerInfo {
    let Some(connection) = socket.tcp().and_then(|tcp| tcp.connection()) else {
        return SockTimerInfo::default();
    };
    let Some(at) = connection.next_timeout() else { return SockTimerInfo::default() };
    let info = connection.info(now);
    let kind = if connection.send_queue_len() > 0 || connection.state().is_opening() {
        if info.probes > 0 { 4 } else { 1 }
    } else if connection.config().keepalive {
        2
    } else {
        1
    };
    SockTimerInfo { kind, expires: at.saturating_since(now), retransmits: info.retransmits }
}

fn describe_time_wait(old: &tcp::TimeWait, now: Instant) -> SockInfo {
    let name = |ip: IpAddr, port| shown(old.family, ip, port, Some(old.tuple.scope));
    SockInfo {
        id: None,
        family: old.family,
        ty: SockType::Stream,
        protocol: 6,
        local: name(old.tuple.local, old.tuple.local_port),
        remote: name(old.tuple.remote, old.tuple.remote_port),
        state: 6,
        recv_queue: 0,
        send_queue: 0,
        timer: SockTimerInfo { kind: 3, expires: old.end.expires_at.saturating_since(now), retransmits: 0 },
        owner: Owner::default(),
        cookie: 0,
        dev: old.bound_dev,
        drops: 0,
        mark: 0,
        v6only: false,
        shutdown: 3,
        congestion: None,
    }
}
