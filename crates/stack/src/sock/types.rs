//! The words in which programs (through the door, or the library) and sockets talk.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bitflags::bitflags;
use bytes::Bytes;
use netspace_base::{DevId, Instant};
use netspace_tcp::{ControllerInfo, TcpInfo};

use crate::membership::Filter;

pub use crate::error::SockError;

slotmap::new_key_type! {
    /// Names a socket within its namespace; stale names are refused.
    pub struct SockId;
}

/// The address family of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// `AF_INET`.
    Inet,
    /// `AF_INET6`.
    Inet6,
}

/// The type of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SockType {
    /// `SOCK_STREAM`: TCP.
    Stream,
    /// `SOCK_DGRAM`: UDP, or ICMP echo ("ping") with protocol 1 or 58.
    Dgram,
    /// `SOCK_RAW`: an IP protocol (255 = `IPPROTO_RAW`: send only, header included).
    Raw,
}

bitflags! {
    /// What a socket is ready for: the bits of poll(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Readiness: u16 {
        /// Something to read, to accept, or the end of the stream (`POLLIN`).
        const IN = 0x001;
        /// Urgent data (`POLLPRI`).
        const PRI = 0x002;
        /// Room to write (`POLLOUT`).
        const OUT = 0x004;
        /// An error is pending, or the error queue holds something (`POLLERR`).
        const ERR = 0x008;
        /// Both directions are shut down (`POLLHUP`).
        const HUP = 0x010;
        /// The peer has shut down its sending side (`POLLRDHUP`).
        const RDHUP = 0x2000;
    }
}

/// Which directions shutdown(2) ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// `SHUT_RD`.
    Read,
    /// `SHUT_WR`.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// What a connect call came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connect {
    /// Connected (datagram sockets are at once).
    Done,
    /// TCP: the handshake is under way; a [`crate::Effect::Wake`] tells its end, `take_error` how it went.
    InProgress,
}

/// A datagram or bytes to send.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Where to; none on a connected socket.
    pub to: Option<SocketAddr>,
    /// The payload (raw sockets with `IP_HDRINCL`: from the IP header on).
    pub data: Bytes,
    /// Control messages.
    pub control: SendControl,
    /// `MSG_MORE`: more follows at once; do not send a partial segment.
    pub more: bool,
    /// `MSG_OOB`: the last byte is urgent (TCP).
    pub oob: bool,
    /// `MSG_FASTOPEN`: connect to `to` with this data on the SYN (TCP).
    pub fast_open: bool,
    /// `MSG_DONTROUTE`.
    pub dont_route: bool,
    /// `MSG_CONFIRM`: the neighbour is known to be alive.
    pub confirm: bool,
}

/// Control messages with a datagram to send.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SendControl {
    /// `IP_PKTINFO` / `IPV6_PKTINFO`: the source address and device.
    pub source: Option<IpAddr>,
    /// The device to send by.
    pub dev: Option<DevId>,
    /// `IP_TTL` / `IPV6_HOPLIMIT`.
    pub ttl: Option<u8>,
    /// `IP_TOS` / `IPV6_TCLASS`.
    pub tos: Option<u8>,
    /// `SO_MARK`.
    pub mark: Option<u32>,
    /// `SO_PRIORITY`.
    pub priority: Option<u32>,
    /// `UDP_SEGMENT`: the size of each datagram; 0 does away with the socket's.
    pub gso_size: Option<u16>,
    /// `IPV6_DONTFRAG`.
    pub dont_fragment: Option<bool>,
}

/// How to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecvFlags {
    /// `MSG_PEEK`: leave it in the queue.
    pub peek: bool,
    /// `MSG_ERRQUEUE`: from the error queue.
    pub error_queue: bool,
    /// `MSG_OOB`: the urgent byte.
    pub oob: bool,
}

/// What was received. For streams: as many bytes as were there, up to what was asked. For datagrams: the whole datagram;
/// the caller cuts it to its buffer and says so with `MSG_TRUNC`.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The payload in slices.
    pub data: Vec<Bytes>,
    /// Who sent it (datagrams), or the destination of the packet that an error is about.
    pub from: Option<SocketAddr>,
    /// What came with it.
    pub control: RecvControl,
}

impl Received {
    /// Bytes of payload.
    pub fn len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    /// Whether there is no payload: for a stream, its end.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What came with a datagram: filled always, the door passes on what the socket's options ask for. For an error-queue
/// message `error` is set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecvControl {
    /// The address it was sent to (`IP_PKTINFO`'s `ipi_addr`).
    pub to: Option<IpAddr>,
    /// The local address (`ipi_spec_dst`).
    pub local: Option<IpAddr>,
    /// The destination port, for `IP_ORIGDSTADDR`.
    pub to_port: u16,
    /// The device it came by.
    pub dev: DevId,
    /// Its time to live.
    pub ttl: u8,
    /// Its type of service or traffic class.
    pub tos: u8,
    /// When the device received it.
    pub at: Instant,
    /// `UDP_GRO`: size of each datagram, if several were joined.
    pub gro_size: Option<u16>,
    /// Its mark (`SO_RCVMARK`).
    pub mark: u32,
    /// Its class for queueing (`SO_RCVPRIORITY`).
    pub priority: u32,
    /// If it came in fragments, the largest of them, bytes (`IP_RECVFRAGSIZE`); else 0.
    pub frag_size: u16,
    /// Datagrams dropped at this socket before it (`SO_RXQ_OVFL`).
    pub drops: u32,
    /// The error, for a message of the error queue.
    pub error: Option<ExtendedError>,
}

/// Who reported an error (`ee_origin`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorOrigin {
    /// This host.
    Local,
    /// An ICMP message.
    Icmp,
    /// An ICMPv6 message.
    Icmp6,
}

/// `struct sock_extended_err` in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedError {
    /// The error.
    pub error: SockError,
    /// Who reported it.
    pub origin: ErrorOrigin,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// The MTU, for [`SockError::MessageSize`].
    pub info: u32,
    /// The router or host that reported it.
    pub offender: Option<IpAddr>,
}

/// `IP_MTU_DISCOVER` / `IPV6_MTU_DISCOVER`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PmtuDiscover {
    /// `IP_PMTUDISC_DONT` (0).
    Dont,
    /// `IP_PMTUDISC_WANT` (1).
    #[default]
    Want,
    /// `IP_PMTUDISC_DO` (2).
    Do,
    /// `IP_PMTUDISC_PROBE` (3).
    Probe,
    /// `IP_PMTUDISC_INTERFACE` (4).
    Interface,
    /// `IP_PMTUDISC_OMIT` (5).
    Omit,
}

/// One instruction of a classic BPF program (`struct sock_filter`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BpfInsn {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

/// A multicast group to join or leave: device (or the one a route chooses) and, for IPv4's old form, its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The group.
    pub group: IpAddr,
    /// The device; none: chosen by route.
    pub dev: Option<DevId>,
    /// The device by one of its addresses (`imr_interface`).
    pub local: Option<Ipv4Addr>,
}

/// A source of a multicast group, for filters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceMembership {
    /// The group, and on which device.
    pub at: Membership,
    /// The source.
    pub source: IpAddr,
}

/// The whole source filter of a membership (`struct group_filter`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFilter {
    /// The group, and on which device.
    pub at: Membership,
    /// Which sources.
    pub filter: Filter<IpAddr>,
}

macro_rules! options {
    ($($variant:ident($ty:ty), $doc:literal;)*) => {
        /// A socket option and its value.
        #[derive(Clone, PartialEq, Debug)]
        pub enum SockOpt { $(#[doc = $doc] $variant($ty),)* }

        /// The name of a socket option.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum OptName { $(#[doc = $doc] $variant,)* }

        impl SockOpt {
            /// This option's name.
            pub const fn name(&self) -> OptName {
                match self { $(Self::$variant(_) => OptName::$variant,)* }
            }
        }
    };
}

options! {
    // SOL_SOCKET
    ReuseAddr(bool), "`SO_REUSEADDR`";
    ReusePort(bool), "`SO_REUSEPORT`";
    KeepAlive(bool), "`SO_KEEPALIVE`";
    Broadcast(bool), "`SO_BROADCAST`";
    OobInline(bool), "`SO_OOBINLINE`";
    DontRoute(bool), "`SO_DONTROUTE`";
    Linger(Option<Duration>), "`SO_LINGER`: none = off";
    RcvBuf(u32), "`SO_RCVBUF`, bytes: set gives half of what get tells, as on Linux";
    SndBuf(u32), "`SO_SNDBUF`, bytes: likewise";
    RcvBufForce(u32), "`SO_RCVBUFFORCE`: beyond `rmem_max`";
    SndBufForce(u32), "`SO_SNDBUFFORCE`: beyond `wmem_max`";
    RcvLowat(u32), "`SO_RCVLOWAT`, bytes";
    BindToDevice(Option<DevId>), "`SO_BINDTODEVICE` / `SO_BINDTOIFINDEX`";
    Mark(u32), "`SO_MARK`";
    Priority(u32), "`SO_PRIORITY`";
    Timestamp(bool), "`SO_TIMESTAMP`, microseconds";
    TimestampNs(bool), "`SO_TIMESTAMPNS`, nanoseconds";
    RxqOvfl(bool), "`SO_RXQ_OVFL`";
    AcceptConn(bool), "`SO_ACCEPTCONN` (read only)";
    Error(Option<SockError>), "`SO_ERROR` (read only; reading clears it: use `take_error`)";
    AttachFilter(Vec<BpfInsn>), "`SO_ATTACH_FILTER`: classic BPF";
    DetachFilter(()), "`SO_DETACH_FILTER`";
    LockFilter(bool), "`SO_LOCK_FILTER`";
    BusyPoll(u32), "`SO_BUSY_POLL`, microseconds: accepted";
    MaxPacingRate(u64), "`SO_MAX_PACING_RATE`, bytes per second";
    NoCheck(bool), "`SO_NO_CHECK`: UDP without checksums";
    PassSec(bool), "accepted and kept, no effect (`IP_PASSSEC`)";
    AttachReuseportFilter(Vec<BpfInsn>), "`SO_ATTACH_REUSEPORT_CBPF`: chooses one of the group";
    DetachReuseportFilter(()), "`SO_DETACH_REUSEPORT_BPF`";
    RcvMark(bool), "`SO_RCVMARK`";
    MemInfo([u32; 9]), "`SO_MEMINFO` (read only): receive memory and buffer, send memory and buffer, …, drops, bytes";
    BufLock(u32), "`SO_BUF_LOCK`: 1 the send buffer, 2 the receive buffer does not grow by itself";
    RcvPriority(bool), "`SO_RCVPRIORITY`";
    IncomingCpu(i32), "`SO_INCOMING_CPU`: accepted";
    Debug(bool), "`SO_DEBUG`: accepted";
    WifiStatus(bool), "`SO_WIFI_STATUS`: accepted";
    NoFcs(bool), "`SO_NOFCS`: accepted";
    SelectErrQueue(bool), "`SO_SELECT_ERR_QUEUE`: accepted";
    PreferBusyPoll(bool), "`SO_PREFER_BUSY_POLL`: accepted";
    TxRehash(bool), "`SO_TXREHASH`: accepted";
    // IPPROTO_IP
    IpTtl(Option<u8>), "`IP_TTL`: none = the namespace's default";
    IpTos(u8), "`IP_TOS`";
    IpPktInfo(bool), "`IP_PKTINFO`";
    IpRecvTtl(bool), "`IP_RECVTTL`";
    IpRecvTos(bool), "`IP_RECVTOS`";
    IpRecvErr(bool), "`IP_RECVERR`";
    IpRecvOrigDstAddr(bool), "`IP_RECVORIGDSTADDR`";
    JoinSource(SourceMembership), "`IP_ADD_SOURCE_MEMBERSHIP`, `MCAST_JOIN_SOURCE_GROUP`, of either family";
    LeaveSource(SourceMembership), "`IP_DROP_SOURCE_MEMBERSHIP`, `MCAST_LEAVE_SOURCE_GROUP`";
    BlockSource(SourceMembership), "`IP_BLOCK_SOURCE`, `MCAST_BLOCK_SOURCE`";
    UnblockSource(SourceMembership), "`IP_UNBLOCK_SOURCE`, `MCAST_UNBLOCK_SOURCE`";
    SourceFilter(SourceFilter), "`IP_MSFILTER`, `MCAST_MSFILTER`: get it by [`crate::Netns::source_filter`]";
    IpRecvFragSize(bool), "`IP_RECVFRAGSIZE`";
    IpRecvErrRfc4884(bool), "`IP_RECVERR_RFC4884`: accepted";
    IpChecksum(bool), "`IP_CHECKSUM`: accepted; told only of checksums that a card has summed up";
    IpNoDefrag(bool), "`IP_NODEFRAG`: accepted";
    IpUnicastIf(Option<DevId>), "`IP_UNICAST_IF`: the device of unicast datagrams";
    IpMtuDiscover(PmtuDiscover), "`IP_MTU_DISCOVER`";
    IpMtu(u32), "`IP_MTU` (read only; connected sockets)";
    IpHdrIncl(bool), "`IP_HDRINCL`";
    IpMulticastTtl(u8), "`IP_MULTICAST_TTL`";
    IpMulticastLoop(bool), "`IP_MULTICAST_LOOP`";
    IpMulticastIf(Membership), "`IP_MULTICAST_IF` (`group` unused)";
    IpMulticastAll(bool), "`IP_MULTICAST_ALL`";
    IpAddMembership(Membership), "`IP_ADD_MEMBERSHIP` / `MCAST_JOIN_GROUP`";
    IpDropMembership(Membership), "`IP_DROP_MEMBERSHIP` / `MCAST_LEAVE_GROUP`";
    IpFreebind(bool), "`IP_FREEBIND`";
    IpTransparent(bool), "`IP_TRANSPARENT`";
    IpBindAddressNoPort(bool), "`IP_BIND_ADDRESS_NO_PORT`";
    IpOptions(Vec<u8>), "`IP_OPTIONS`";
    IpRetOpts(bool), "`IP_RETOPTS`";
    IpLocalPortRange(u32), "`IP_LOCAL_PORT_RANGE`: high << 16 | low";
    IpMinTtl(u8), "`IP_MINTTL`";
    // IPPROTO_IPV6
    V6Only(bool), "`IPV6_V6ONLY`";
    V6UnicastHops(Option<u8>), "`IPV6_UNICAST_HOPS`: none = the default";
    V6MulticastHops(u8), "`IPV6_MULTICAST_HOPS`";
    V6MulticastLoop(bool), "`IPV6_MULTICAST_LOOP`";
    V6MulticastIf(Option<DevId>), "`IPV6_MULTICAST_IF`";
    V6AddMembership(Membership), "`IPV6_JOIN_GROUP`";
    V6DropMembership(Membership), "`IPV6_LEAVE_GROUP`";
    V6RecvPktInfo(bool), "`IPV6_RECVPKTINFO`";
    V6RecvHopLimit(bool), "`IPV6_RECVHOPLIMIT`";
    V6OldPktInfo(bool), "`IPV6_2292PKTINFO`: as before RFC 3542";
    V6OldHopLimit(bool), "`IPV6_2292HOPLIMIT`: as before RFC 3542";
    V6RecvTclass(bool), "`IPV6_RECVTCLASS`";
    V6MulticastAll(bool), "`IPV6_MULTICAST_ALL`";
    V6RecvErr(bool), "`IPV6_RECVERR`";
    V6RecvOrigDstAddr(bool), "`IPV6_RECVORIGDSTADDR`";
    V6MinHopCount(u8), "`IPV6_MINHOPCOUNT`";
    V6RecvFragSize(bool), "`IPV6_RECVFRAGSIZE`";
    V6RecvErrRfc4884(bool), "`IPV6_RECVERR_RFC4884`: accepted";
    V6UnicastIf(Option<DevId>), "`IPV6_UNICAST_IF`: the device of unicast datagrams";
    V6Tclass(u8), "`IPV6_TCLASS`";
    V6MtuDiscover(PmtuDiscover), "`IPV6_MTU_DISCOVER`";
    V6Mtu(u32), "`IPV6_MTU`";
    V6DontFrag(bool), "`IPV6_DONTFRAG`";
    V6Checksum(Option<u16>), "`IPV6_CHECKSUM`: offset into the payload";
    V6FlowInfoSend(bool), "`IPV6_FLOWINFO_SEND`";
    V6AutoFlowLabel(bool), "`IPV6_AUTOFLOWLABEL`";
    V6HdrIncl(bool), "`IPV6_HDRINCL`";
    V6AddrPreferences(u32), "`IPV6_ADDR_PREFERENCES`";
    V6Freebind(bool), "`IPV6_FREEBIND`";
    V6Transparent(bool), "`IPV6_TRANSPARENT`";
    // SOL_RAW, IPPROTO_ICMPV6
    IcmpFilter(u32), "`ICMP_FILTER`: a set bit blocks a type";
    Icmp6Filter([u32; 8]), "`ICMPV6_FILTER`: a set bit blocks a type";
    // IPPROTO_TCP
    TcpNoDelay(bool), "`TCP_NODELAY`";
    TcpMaxSeg(u16), "`TCP_MAXSEG`";
    TcpCork(bool), "`TCP_CORK`";
    TcpKeepIdle(u32), "`TCP_KEEPIDLE`, seconds";
    TcpKeepIntvl(u32), "`TCP_KEEPINTVL`, seconds";
    TcpKeepCnt(u32), "`TCP_KEEPCNT`";
    TcpSynCnt(u8), "`TCP_SYNCNT`";
    TcpLinger2(i32), "`TCP_LINGER2`, seconds";
    TcpDeferAccept(u32), "`TCP_DEFER_ACCEPT`, seconds";
    TcpWindowClamp(u32), "`TCP_WINDOW_CLAMP`, bytes";
    TcpQuickAck(bool), "`TCP_QUICKACK`";
    TcpCongestion(String), "`TCP_CONGESTION`";
    TcpCcInfo(Option<ControllerInfo>), "`TCP_CC_INFO`: what the congestion control tells of itself";
    TcpUserTimeout(u32), "`TCP_USER_TIMEOUT`, milliseconds";
    TcpNotSentLowat(u32), "`TCP_NOTSENT_LOWAT`, bytes";
    TcpFastOpen(u32), "`TCP_FASTOPEN`: queue length";
    TcpFastOpenConnect(bool), "`TCP_FASTOPEN_CONNECT`";
    TcpFastOpenNoCookie(bool), "`TCP_FASTOPEN_NO_COOKIE`";
    TcpFastOpenKey(Vec<u8>), "`TCP_FASTOPEN_KEY`: 16 bytes, or 32 with a backup key";
    TcpInfo(Box<TcpInfo>), "`TCP_INFO` (read only)";
    // IPPROTO_UDP
    UdpCork(bool), "`UDP_CORK`";
    UdpSegment(u16), "`UDP_SEGMENT`, bytes; 0 = off";
    UdpGro(bool), "`UDP_GRO`";
    UdpNoCheck6Tx(bool), "`UDP_NO_CHECK6_TX`: no checksums over IPv6";
    UdpNoCheck6Rx(bool), "`UDP_NO_CHECK6_RX`: takes datagrams without one";
    UdpLiteSendCoverage(u16), "`UDPLITE_SEND_CSCOV`, bytes; 0 = all";
    UdpLiteRecvCoverage(u16), "`UDPLITE_RECV_CSCOV`, bytes; 0 = all";
}

/// `0.0.0.0` or `::`, as the family says.
pub const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
