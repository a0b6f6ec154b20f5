//! The table: level, number, name, and how its value maps to the stack's option.
//!
//! To add an option, add a row. Numbers are those of asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h and
//! linux/udp.h (the same on x86-64 and arm64).

use netspace_stack::sock::{BpfInsn, Membership, OptName, PmtuDiscover, SockOpt, SourceMembership};

use crate::errno::{EOPNOTSUPP, Errno};

/// `SOL_SOCKET`.
pub const SOL_SOCKET: i32 = 1;
/// `SOL_IP`, `IPPROTO_IP`.
pub const SOL_IP: i32 = 0;
/// `SOL_TCP`.
pub const SOL_TCP: i32 = 6;
/// `SOL_UDP`.
pub const SOL_UDP: i32 = 17;
/// `SOL_UDPLITE`: the same options as [`SOL_UDP`].
pub const SOL_UDPLITE: i32 = 136;
/// `SOL_IPV6`.
pub const SOL_IPV6: i32 = 41;
/// `SOL_ICMPV6`.
pub const SOL_ICMPV6: i32 = 58;
/// `SOL_RAW`.
pub const SOL_RAW: i32 = 255;

/// Options that are the door's own to keep or to answer: they are about the descriptor, not about the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DoorOption {
    /// `SO_TYPE`: read only.
    Type,
    /// `SO_PROTOCOL`: read only.
    Protocol,
    /// `SO_DOMAIN`: read only.
    Domain,
    /// `SO_ERROR`: reading clears it.
    Error,
    /// `SO_RCVTIMEO`.
    RecvTimeout,
    /// `SO_SNDTIMEO`.
    SendTimeout,
    /// `SO_PEERCRED`: of an inet socket always pid 0, uid and gid -1.
    PeerCred,
    /// `SO_PEERNAME`: as getpeername(2).
    PeerName,
    /// `SO_COOKIE`: 8 bytes that name the socket.
    Cookie,
    /// `SO_NETNS_COOKIE`: 8 bytes that name the namespace.
    NetnsCookie,
    /// `SO_GET_FILTER`: the length of the attached program.
    GetFilter,
}

/// How the bytes of a value map to the stack's option.
#[derive(Clone, Copy, Debug)]
pub enum Codec {
    /// An int; not zero is true.
    Bool(fn(bool) -> SockOpt),
    /// An int that must be 0 or 1.
    ZeroOrOne(fn(bool) -> SockOpt),
    /// 0, 1, or -1 for the default, which is on (`SO_TXREHASH`).
    Rehash(fn(bool) -> SockOpt),
    /// A device's number in network byte order (`IP_UNICAST_IF`).
    UnicastIf(fn(Option<netspace_base::DevId>) -> SockOpt),
    /// An int that must lie in the range.
    Int(fn(u32) -> SockOpt, i32, i32),
    /// An int of which only the low byte counts (`IP_TOS`).
    LowByte(fn(u8) -> SockOpt),
    /// An int in the range; -1 stands for the value given.
    ByteOr(fn(u8) -> SockOpt, i32, i32, u8),
    /// An int in the range; -1 means the default (none).
    MaybeByte(fn(Option<u8>) -> SockOpt, i32, i32),
    /// An int in the range of 16 bits: more counts as the most, less than 0 as 1 (`UDPLITE_SEND_CSCOV`).
    Coverage(fn(u16) -> SockOpt),
    /// Any int.
    Signed(fn(i32) -> SockOpt),
    /// An int or, for more than four bytes, a 64-bit number (`SO_MAX_PACING_RATE`).
    Wide(fn(u64) -> SockOpt),
    /// `IP_PMTUDISC_*`.
    Pmtu(fn(PmtuDiscover) -> SockOpt),
    /// `struct linger`.
    Linger,
    /// A device's name.
    DevName,
    /// A device's number.
    DevIndex(fn(Option<netspace_base::DevId>) -> SockOpt),
    /// `struct in_addr`, `ip_mreq` or `ip_mreqn` (`IP_MULTICAST_IF`).
    MulticastIf,
    /// `struct ip_mreq` or `ip_mreqn`.
    Mreq(fn(Membership) -> SockOpt),
    /// `struct ipv6_mreq`.
    Mreq6(fn(Membership) -> SockOpt),
    /// `struct group_req`.
    GroupReq(fn(Membership) -> SockOpt),
    /// `struct ip_mreq_source`.
    MreqSource(fn(SourceMembership) -> SockOpt),
    /// `struct group_source_req`.
    GroupSourceReq(fn(SourceMembership) -> SockOpt),
    /// `struct ip_msfilter`.
    MsFilter,
    /// `struct group_filter`.
    GroupFilter,
    /// A classic BPF program: an array of `struct sock_filter`.
    Filter(fn(Vec<BpfInsn>) -> SockOpt),
    /// Any int, without a value to keep (`SO_DETACH_FILTER`).
    Unit(fn() -> SockOpt),
    /// Up to 40 bytes (`IP_OPTIONS`).
    Bytes40,
    /// Text (`TCP_CONGESTION`).
    Name,
    /// 16 or 32 bytes (`TCP_FASTOPEN_KEY`).
    FastOpenKey,
    /// The offset of a checksum, or -1 (`IPV6_CHECKSUM`).
    Checksum,
    /// `struct icmp_filter`.
    IcmpFilter,
    /// `struct icmp6_filter`.
    Icmp6Filter,
    /// Nine 32-bit words (`SK_MEMINFO_VARS`).
    MemInfo,
    /// `struct tcp_info`.
    TcpInfo,
    /// `union tcp_cc_info`.
    TcpCcInfo,
}

/// Who answers an option.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    /// The stack.
    Stack(OptName, Codec),
    /// The door.
    Door(DoorOption),
    /// Nobody: no socket that we have knows it, and this is what Linux says then.
    Refused(Errno),
    /// Nobody: setting it is accepted and changes nothing, reading gives this number.
    Fixed(i32),
}

/// Which of setsockopt and getsockopt an option knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Both.
    ReadWrite,
    /// Only getsockopt.
    Read,
    /// Only setsockopt.
    Write,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The level.
    pub level: i32,
    /// The number within the level.
    pub number: i32,
    /// The name that programs write.
    pub name: &'static str,
    /// Which calls know it.
    pub access: Access,
    /// Who answers it.
    pub owner: Owner,
}

/// The row for an option.
pub fn row(level: i32, number: i32) -> Option<&'static Row> {
    let level = if level == SOL_UDPLITE { SOL_UDP } else { level };
    ROWS.iter().find(|row| row.level == level && row.number == number)
}

/// All options.
pub const fn rows() -> &'static [Row] {
    ROWS
}

macro_rules! rows {
    ($($level:ident $number:literal $name:ident $access:ident $owner:expr;)*) => {
        &[$(Row {
            level: $level,
            number: $number,
            name: stringify!($name),
            access: Access::$access,
            owner: $owner,
        },)*]
    };
}

/// An option of the stack: its constructor, the kind of value, and the kind's range where it has one.
macro_rules! stack {
    ($name:ident, Codec::$codec:ident $(, $arg:expr)*) => {
        Owner::Stack(OptName::$name, Codec::$codec(SockOpt::$name $(, $arg)*))
    };
    ($name:ident, $codec:ident) => {
        Owner::Stack(OptName::$name, Codec::$codec)
    };
}

macro_rules! bool {
    ($name:ident) => {
        stack!($name, Codec::Bool)
    };
}

const ENODATA: Errno = Errno(libc::ENODATA);
const MAX: i32 = i32::MAX;
const MIN: i32 = i32::MIN;

const fn pass_sec() -> Owner {
    Owner::Stack(OptName::PassSec, Codec::Bool(SockOpt::PassSec))
}

static ROWS: &[Row] = rows! {
    SOL_SOCKET 1 SO_DEBUG ReadWrite bool!(Debug);
    SOL_SOCKET 2 SO_REUSEADDR ReadWrite bool!(ReuseAddr);
    SOL_SOCKET 3 SO_TYPE Read Owner::Door(DoorOption::Type);
    SOL_SOCKET 4 SO_ERROR Read Owner::Door(DoorOption::Error);
    SOL_SOCKET 5 SO_DONTROUTE ReadWrite bool!(DontRoute);
    SOL_SOCKET 6 SO_BROADCAST ReadWrite bool!(Broadcast);
    SOL_SOCKET 7 SO_SNDBUF ReadWrite stack!(SndBuf, Codec::Int, MIN, MAX);
    SOL_SOCKET 8 SO_RCVBUF ReadWrite stack!(RcvBuf, Codec::Int, MIN, MAX);
    SOL_SOCKET 9 SO_KEEPALIVE ReadWrite bool!(KeepAlive);
    SOL_SOCKET 10 SO_OOBINLINE ReadWrite bool!(OobInline);
    SOL_SOCKET 11 SO_NO_CHECK ReadWrite bool!(NoCheck);
    SOL_SOCKET 12 SO_PRIORITY ReadWrite stack!(Priority, Codec::Int, MIN, MAX);
    SOL_SOCKET 13 SO_LINGER ReadWrite stack!(Linger, Linger);
    SOL_SOCKET 14 SO_BSDCOMPAT ReadWrite Owner::Fixed(0);
    SOL_SOCKET 15 SO_REUSEPORT ReadWrite bool!(ReusePort);
    SOL_SOCKET 16 SO_PASSCRED ReadWrite Owner::Refused(EOPNOTSUPP);
    SOL_SOCKET 17 SO_PEERCRED Read Owner::Door(DoorOption::PeerCred);
    SOL_SOCKET 18 SO_RCVLOWAT ReadWrite stack!(RcvLowat, Codec::Int, MIN, MAX);
    SOL_SOCKET 19 SO_SNDLOWAT Read Owner::Fixed(1);
    SOL_SOCKET 20 SO_RCVTIMEO ReadWrite Owner::Door(DoorOption::RecvTimeout);
    SOL_SOCKET 21 SO_SNDTIMEO ReadWrite Owner::Door(DoorOption::SendTimeout);
    SOL_SOCKET 25 SO_BINDTODEVICE ReadWrite stack!(BindToDevice, DevName);
    SOL_SOCKET 26 SO_ATTACH_FILTER Write stack!(AttachFilter, Codec::Filter);
    SOL_SOCKET 27 SO_DETACH_FILTER Write Owner::Stack(
        OptName::DetachFilter, Codec::Unit(|| SockOpt::DetachFilter(())));
    SOL_SOCKET 28 SO_PEERNAME Read Owner::Door(DoorOption::PeerName);
    SOL_SOCKET 29 SO_TIMESTAMP ReadWrite bool!(Timestamp);
    SOL_SOCKET 30 SO_ACCEPTCONN Read bool!(AcceptConn);
    SOL_SOCKET 32 SO_SNDBUFFORCE Write stack!(SndBufForce, Codec::Int, MIN, MAX);
    SOL_SOCKET 33 SO_RCVBUFFORCE Write stack!(RcvBufForce, Codec::Int, MIN, MAX);
    SOL_SOCKET 34 SO_PASSSEC ReadWrite Owner::Refused(EOPNOTSUPP);
    SOL_SOCKET 35 SO_TIMESTAMPNS ReadWrite bool!(TimestampNs);
    SOL_SOCKET 36 SO_MARK ReadWrite stack!(Mark, Codec::Int, MIN, MAX);
    SOL_SOCKET 38 SO_PROTOCOL Read Owner::Door(DoorOption::Protocol);
    SOL_SOCKET 39 SO_DOMAIN Read Owner::Door(DoorOption::Domain);
    SOL_SOCKET 40 SO_RXQ_OVFL ReadWrite bool!(RxqOvfl);
    SOL_SOCKET 41 SO_WIFI_STATUS ReadWrite bool!(WifiStatus);
    SOL_SOCKET 43 SO_NOFCS ReadWrite bool!(NoFcs);
    SOL_SOCKET 44 SO_LOCK_FILTER ReadWrite bool!(LockFilter);
    SOL_SOCKET 45 SO_SELECT_ERR_QUEUE ReadWrite bool!(SelectErrQueue);
    SOL_SOCKET 46 SO_BUSY_POLL ReadWrite stack!(BusyPoll, Codec::Int, 0, MAX);
    SOL_SOCKET 47 SO_MAX_PACING_RATE ReadWrite stack!(MaxPacingRate, Codec::Wide);
    SOL_SOCKET 48 SO_BPF_EXTENSIONS Read Owner::Fixed(64);
    SOL_SOCKET 49 SO_INCOMING_CPU ReadWrite stack!(IncomingCpu, Codec::Signed);
    SOL_SOCKET 51 SO_ATTACH_REUSEPORT_CBPF Write stack!(AttachReuseportFilter, Codec::Filter);
    SOL_SOCKET 53 SO_CNX_ADVICE Write Owner::Fixed(0);
    SOL_SOCKET 55 SO_MEMINFO Read stack!(MemInfo, MemInfo);
    SOL_SOCKET 56 SO_INCOMING_NAPI_ID Read Owner::Fixed(0);
    SOL_SOCKET 57 SO_COOKIE Read Owner::Door(DoorOption::Cookie);
    SOL_SOCKET 59 SO_PEERGROUPS Read Owner::Refused(ENODATA);
    SOL_SOCKET 62 SO_BINDTOIFINDEX ReadWrite stack!(BindToDevice, Codec::DevIndex);
    SOL_SOCKET 63 SO_TIMESTAMP_NEW ReadWrite bool!(Timestamp);
    SOL_SOCKET 64 SO_TIMESTAMPNS_NEW ReadWrite bool!(TimestampNs);
    SOL_SOCKET 66 SO_RCVTIMEO_NEW ReadWrite Owner::Door(DoorOption::RecvTimeout);
    SOL_SOCKET 67 SO_SNDTIMEO_NEW ReadWrite Owner::Door(DoorOption::SendTimeout);
    SOL_SOCKET 68 SO_DETACH_REUSEPORT_BPF Write Owner::Stack(
        OptName::DetachReuseportFilter, Codec::Unit(|| SockOpt::DetachReuseportFilter(())));
    SOL_SOCKET 69 SO_PREFER_BUSY_POLL ReadWrite bool!(PreferBusyPoll);
    SOL_SOCKET 70 SO_BUSY_POLL_BUDGET Write Owner::Fixed(0);
    SOL_SOCKET 71 SO_NETNS_COOKIE Read Owner::Door(DoorOption::NetnsCookie);
    SOL_SOCKET 72 SO_BUF_LOCK ReadWrite stack!(BufLock, Codec::Int, 0, 3);
    SOL_SOCKET 74 SO_TXREHASH ReadWrite stack!(TxRehash, Codec::Rehash);
    SOL_SOCKET 75 SO_RCVMARK ReadWrite bool!(RcvMark);
    SOL_SOCKET 76 SO_PASSPIDFD ReadWrite Owner::Refused(EOPNOTSUPP);
    SOL_SOCKET 77 SO_PEERPIDFD Read Owner::Refused(ENODATA);
    SOL_SOCKET 82 SO_RCVPRIORITY ReadWrite bool!(RcvPriority);
    SOL_SOCKET 83 SO_PASSRIGHTS ReadWrite Owner::Refused(EOPNOTSUPP);

    SOL_IP 1 IP_TOS ReadWrite stack!(IpTos, Codec::LowByte);
    SOL_IP 2 IP_TTL ReadWrite stack!(IpTtl, Codec::MaybeByte, 1, 255);
    SOL_IP 3 IP_HDRINCL ReadWrite bool!(IpHdrIncl);
    SOL_IP 4 IP_OPTIONS ReadWrite stack!(IpOptions, Bytes40);
    SOL_IP 7 IP_RETOPTS ReadWrite bool!(IpRetOpts);
    SOL_IP 8 IP_PKTINFO ReadWrite bool!(IpPktInfo);
    SOL_IP 10 IP_MTU_DISCOVER ReadWrite stack!(IpMtuDiscover, Codec::Pmtu);
    SOL_IP 11 IP_RECVERR ReadWrite bool!(IpRecvErr);
    SOL_IP 12 IP_RECVTTL ReadWrite bool!(IpRecvTtl);
    SOL_IP 13 IP_RECVTOS ReadWrite bool!(IpRecvTos);
    SOL_IP 14 IP_MTU Read stack!(IpMtu, Codec::Int, 0, MAX);
    SOL_IP 15 IP_FREEBIND ReadWrite bool!(IpFreebind);
    SOL_IP 18 IP_PASSSEC ReadWrite pass_sec();
    SOL_IP 19 IP_TRANSPARENT ReadWrite bool!(IpTransparent);
    SOL_IP 20 IP_RECVORIGDSTADDR ReadWrite bool!(IpRecvOrigDstAddr);
    SOL_IP 21 IP_MINTTL ReadWrite Owner::Stack(
        OptName::IpMinTtl, Codec::Int(|ttl| SockOpt::IpMinTtl(ttl as u8), 0, 255));
    SOL_IP 22 IP_NODEFRAG ReadWrite bool!(IpNoDefrag);
    SOL_IP 23 IP_CHECKSUM ReadWrite bool!(IpChecksum);
    SOL_IP 24 IP_BIND_ADDRESS_NO_PORT ReadWrite bool!(IpBindAddressNoPort);
    SOL_IP 25 IP_RECVFRAGSIZE ReadWrite bool!(IpRecvFragSize);
    SOL_IP 26 IP_RECVERR_RFC4884 ReadWrite stack!(IpRecvErrRfc4884, Codec::ZeroOrOne);
    SOL_IP 32 IP_MULTICAST_IF ReadWrite stack!(IpMulticastIf, MulticastIf);
    SOL_IP 33 IP_MULTICAST_TTL ReadWrite stack!(IpMulticastTtl, Codec::ByteOr, 0, 255, 1);
    SOL_IP 34 IP_MULTICAST_LOOP ReadWrite bool!(IpMulticastLoop);
    SOL_IP 35 IP_ADD_MEMBERSHIP Write stack!(IpAddMembership, Codec::Mreq);
    SOL_IP 36 IP_DROP_MEMBERSHIP Write stack!(IpDropMembership, Codec::Mreq);
    SOL_IP 37 IP_UNBLOCK_SOURCE Write stack!(UnblockSource, Codec::MreqSource);
    SOL_IP 38 IP_BLOCK_SOURCE Write stack!(BlockSource, Codec::MreqSource);
    SOL_IP 39 IP_ADD_SOURCE_MEMBERSHIP Write stack!(JoinSource, Codec::MreqSource);
    SOL_IP 40 IP_DROP_SOURCE_MEMBERSHIP Write stack!(LeaveSource, Codec::MreqSource);
    SOL_IP 41 IP_MSFILTER ReadWrite stack!(SourceFilter, MsFilter);
    SOL_IP 42 MCAST_JOIN_GROUP Write stack!(IpAddMembership, Codec::GroupReq);
    SOL_IP 43 MCAST_BLOCK_SOURCE Write stack!(BlockSource, Codec::GroupSourceReq);
    SOL_IP 44 MCAST_UNBLOCK_SOURCE Write stack!(UnblockSource, Codec::GroupSourceReq);
    SOL_IP 45 MCAST_LEAVE_GROUP Write stack!(IpDropMembership, Codec::GroupReq);
    SOL_IP 46 MCAST_JOIN_SOURCE_GROUP Write stack!(JoinSource, Codec::GroupSourceReq);
    SOL_IP 47 MCAST_LEAVE_SOURCE_GROUP Write stack!(LeaveSource, Codec::GroupSourceReq);
    SOL_IP 48 MCAST_MSFILTER ReadWrite stack!(SourceFilter, GroupFilter);
    SOL_IP 49 IP_MULTICAST_ALL ReadWrite stack!(IpMulticastAll, Codec::ZeroOrOne);
    SOL_IP 50 IP_UNICAST_IF ReadWrite stack!(IpUnicastIf, Codec::UnicastIf);
    SOL_IP 51 IP_LOCAL_PORT_RANGE ReadWrite stack!(IpLocalPortRange, Codec::Int, MIN, MAX);

    SOL_IPV6 2 IPV6_2292PKTINFO ReadWrite bool!(V6OldPktInfo);
    SOL_IPV6 7 IPV6_CHECKSUM ReadWrite stack!(V6Checksum, Checksum);
    SOL_IPV6 8 IPV6_2292HOPLIMIT ReadWrite bool!(V6OldHopLimit);
    SOL_IPV6 16 IPV6_UNICAST_HOPS ReadWrite stack!(V6UnicastHops, Codec::MaybeByte, 0, 255);
    SOL_IPV6 17 IPV6_MULTICAST_IF ReadWrite stack!(V6MulticastIf, Codec::DevIndex);
    SOL_IPV6 18 IPV6_MULTICAST_HOPS ReadWrite stack!(V6MulticastHops, Codec::ByteOr, 0, 255, 1);
    SOL_IPV6 19 IPV6_MULTICAST_LOOP ReadWrite stack!(V6MulticastLoop, Codec::ZeroOrOne);
    SOL_IPV6 20 IPV6_JOIN_GROUP Write stack!(V6AddMembership, Codec::Mreq6);
    SOL_IPV6 21 IPV6_LEAVE_GROUP Write stack!(V6DropMembership, Codec::Mreq6);
    SOL_IPV6 23 IPV6_MTU_DISCOVER ReadWrite stack!(V6MtuDiscover, Codec::Pmtu);
    SOL_IPV6 24 IPV6_MTU ReadWrite stack!(V6Mtu, Codec::Int, 0, MAX);
    SOL_IPV6 25 IPV6_RECVERR ReadWrite bool!(V6RecvErr);
    SOL_IPV6 26 IPV6_V6ONLY ReadWrite bool!(V6Only);
    SOL_IPV6 29 IPV6_MULTICAST_ALL ReadWrite bool!(V6MulticastAll);
    SOL_IPV6 31 IPV6_RECVERR_RFC4884 ReadWrite stack!(V6RecvErrRfc4884, Codec::ZeroOrOne);
    SOL_IPV6 33 IPV6_FLOWINFO_SEND ReadWrite bool!(V6FlowInfoSend);
    SOL_IPV6 36 IPV6_HDRINCL ReadWrite bool!(V6HdrIncl);
    SOL_IPV6 42 MCAST_JOIN_GROUP Write stack!(V6AddMembership, Codec::GroupReq);
    SOL_IPV6 43 MCAST_BLOCK_SOURCE Write stack!(BlockSource, Codec::GroupSourceReq);
    SOL_IPV6 44 MCAST_UNBLOCK_SOURCE Write stack!(UnblockSource, Codec::GroupSourceReq);
    SOL_IPV6 45 MCAST_LEAVE_GROUP Write stack!(V6DropMembership, Codec::GroupReq);
    SOL_IPV6 46 MCAST_JOIN_SOURCE_GROUP Write stack!(JoinSource, Codec::GroupSourceReq);
    SOL_IPV6 47 MCAST_LEAVE_SOURCE_GROUP Write stack!(LeaveSource, Codec::GroupSourceReq);
    SOL_IPV6 48 MCAST_MSFILTER ReadWrite stack!(SourceFilter, GroupFilter);
    SOL_IPV6 49 IPV6_RECVPKTINFO ReadWrite bool!(V6RecvPktInfo);
    SOL_IPV6 51 IPV6_RECVHOPLIMIT ReadWrite bool!(V6RecvHopLimit);
    SOL_IPV6 62 IPV6_DONTFRAG ReadWrite bool!(V6DontFrag);
    SOL_IPV6 66 IPV6_RECVTCLASS ReadWrite bool!(V6RecvTclass);
    SOL_IPV6 67 IPV6_TCLASS ReadWrite stack!(V6Tclass, Codec::ByteOr, 0, 255, 0);
    SOL_IPV6 70 IPV6_AUTOFLOWLABEL ReadWrite bool!(V6AutoFlowLabel);
    SOL_IPV6 72 IPV6_ADDR_PREFERENCES ReadWrite stack!(V6AddrPreferences, Codec::Int, 0, MAX);
    SOL_IPV6 73 IPV6_MINHOPCOUNT ReadWrite Owner::Stack(
        OptName::V6MinHopCount, Codec::Int(|hops| SockOpt::V6MinHopCount(hops as u8), 0, 255));
    SOL_IPV6 74 IPV6_RECVORIGDSTADDR ReadWrite bool!(V6RecvOrigDstAddr);
    SOL_IPV6 75 IPV6_TRANSPARENT ReadWrite bool!(V6Transparent);
    SOL_IPV6 76 IPV6_UNICAST_IF ReadWrite stack!(V6UnicastIf, Codec::UnicastIf);
    SOL_IPV6 77 IPV6_RECVFRAGSIZE ReadWrite bool!(V6RecvFragSize);
    SOL_IPV6 78 IPV6_FREEBIND ReadWrite bool!(V6Freebind);

    SOL_RAW 1 ICMP_FILTER ReadWrite stack!(IcmpFilter, IcmpFilter);
    SOL_RAW 7 IPV6_CHECKSUM ReadWrite stack!(V6Checksum, Checksum);
    SOL_ICMPV6 1 ICMPV6_FILTER ReadWrite stack!(Icmp6Filter, Icmp6Filter);

    SOL_TCP 1 TCP_NODELAY ReadWrite bool!(TcpNoDelay);
    SOL_TCP 2 TCP_MAXSEG ReadWrite Owner::Stack(
        OptName::TcpMaxSeg, Codec::Int(|mss| SockOpt::TcpMaxSeg(mss as u16), 88, 32_767));
    SOL_TCP 3 TCP_CORK ReadWrite bool!(TcpCork);
    SOL_TCP 4 TCP_KEEPIDLE ReadWrite stack!(TcpKeepIdle, Codec::Int, 1, 32_767);
    SOL_TCP 5 TCP_KEEPINTVL ReadWrite stack!(TcpKeepIntvl, Codec::Int, 1, 32_767);
    SOL_TCP 6 TCP_KEEPCNT ReadWrite stack!(TcpKeepCnt, Codec::Int, 1, 127);
    SOL_TCP 7 TCP_SYNCNT ReadWrite Owner::Stack(
        OptName::TcpSynCnt, Codec::Int(|count| SockOpt::TcpSynCnt(count as u8), 1, 127));
    SOL_TCP 8 TCP_LINGER2 ReadWrite stack!(TcpLinger2, Codec::Signed);
    SOL_TCP 9 TCP_DEFER_ACCEPT ReadWrite stack!(TcpDeferAccept, Codec::Int, MIN, MAX);
    SOL_TCP 10 TCP_WINDOW_CLAMP ReadWrite stack!(TcpWindowClamp, Codec::Int, 0, MAX);
    SOL_TCP 11 TCP_INFO Read stack!(TcpInfo, TcpInfo);
    SOL_TCP 12 TCP_QUICKACK ReadWrite bool!(TcpQuickAck);
    SOL_TCP 13 TCP_CONGESTION ReadWrite stack!(TcpCongestion, Name);
    SOL_TCP 18 TCP_USER_TIMEOUT ReadWrite stack!(TcpUserTimeout, Codec::Int, 0, MAX);
    SOL_TCP 23 TCP_FASTOPEN ReadWrite stack!(TcpFastOpen, Codec::Int, 0, MAX);
    SOL_TCP 25 TCP_NOTSENT_LOWAT ReadWrite stack!(TcpNotSentLowat, Codec::Int, MIN, MAX);
    SOL_TCP 26 TCP_CC_INFO Read stack!(TcpCcInfo, TcpCcInfo);
    SOL_TCP 30 TCP_FASTOPEN_CONNECT ReadWrite stack!(TcpFastOpenConnect, Codec::Bool);
    SOL_TCP 33 TCP_FASTOPEN_KEY ReadWrite stack!(TcpFastOpenKey, FastOpenKey);
    SOL_TCP 34 TCP_FASTOPEN_NO_COOKIE ReadWrite stack!(TcpFastOpenNoCookie, Codec::Bool);

    SOL_UDP 1 UDP_CORK ReadWrite bool!(UdpCork);
    SOL_UDP 10 UDPLITE_SEND_CSCOV ReadWrite stack!(UdpLiteSendCoverage, Codec::Coverage);
    SOL_UDP 11 UDPLITE_RECV_CSCOV ReadWrite stack!(UdpLiteRecvCoverage, Codec::Coverage);
    SOL_UDP 101 UDP_NO_CHECK6_TX ReadWrite bool!(UdpNoCheck6Tx);
    SOL_UDP 102 UDP_NO_CHECK6_RX ReadWrite bool!(UdpNoCheck6Rx);
    SOL_UDP 103 UDP_SEGMENT ReadWrite Owner::Stack(
        OptName::UdpSegment, Codec::Int(|size| SockOpt::UdpSegment(size as u16), 0, 65_535));
    SOL_UDP 104 UDP_GRO ReadWrite bool!(UdpGro);
};
