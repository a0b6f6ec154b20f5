//! setsockopt(2) and getsockopt(2).

use netspace_base::DevId;
use netspace_wire::ipv4::Ipv4Options;
use netspace_wire::{protocol, udplite};

use netspace_tcp::CongestionKind;

use super::bpf::Program;
use super::fast_open_key::FastOpenKeys;
use super::multicast::SourceChange;
use super::out::priority_of;
use super::socket::{Kind, Options, Socket};
use super::tcp::{self, OptionsTcp};
use super::udp::Udp;
use super::{Family, OptName, SockError, SockId, SockOpt, SockType, multicast, reuseport, udp};
use crate::{Netns, Turn};

/// Least sizes that a buffer can be set to, as Linux counts (`SOCK_MIN_RCVBUF`, `SOCK_MIN_SNDBUF`).
const MIN_RCVBUF: u32 = 2304;
const MIN_SNDBUF: u32 = 4608;
/// Bounds of options (`include/net/tcp.h`).
const MAX_KEEP_SECONDS: u32 = 32_767;
const MAX_KEEP_COUNT: u32 = 127;
const MAX_SYN_COUNT: u8 = 127;
const MIN_MAXSEG: u16 = 88;
const MAX_MAXSEG: u16 = 32_767;
const MAX_IP_OPTIONS: usize = 40;
/// Longest FIN-WAIT-2 after close, and longest wait of `TCP_DEFER_ACCEPT`, seconds.
const MAX_LINGER2: i32 = 120;
const MAX_DEFER: u32 = 30_000;
/// The hop limit of IPv6 packets where nothing else is said.
const DEFAULT_HOPS6: u8 = 64;

/// setsockopt(2).
pub(crate) fn set(ns: &mut Netns, t: &mut Turn, id: SockId, option: SockOpt) -> Result<(), SockError> {
    match option {
        SockOpt::IpAddMembership(asked) | SockOpt::V6AddMembership(asked) => {
            return multicast::join(ns, t, id, asked);
        }
        SockOpt::IpDropMembership(asked) | SockOpt::V6DropMembership(asked) => {
            return multicast::leave(ns, t, id, asked);
        }
        SockOpt::JoinSource(asked) => return multicast::source(ns, t, id, asked, SourceChange::Join),
        SockOpt::LeaveSource(asked) => return multicast::source(ns, t, id, asked, SourceChange::Leave),
        SockOpt::BlockSource(asked) => return multicast::source(ns, t, id, asked, SourceChange::Block),
        SockOpt::UnblockSource(asked) => return multicast::source(ns, t, id, asked, SourceChange::Unblock),
        SockOpt::SourceFilter(asked) => return multicast::set_filter(ns, t, id, asked),
        SockOpt::UdpGro(on) => return udp::set_gro(ns, id, on),
        SockOpt::UdpCork(on) => {
            ns.sockets.get_mut(id)?.udp().ok_or(SockError::NoSuchOption)?.cork = on;
            return if on { Ok(()) } else { udp::uncork(ns, t, id) };
        }
        SockOpt::BindToDevice(dev) => return bind_to_device(ns, id, dev),
        SockOpt::IpMulticastIf(asked) => return set_multicast_if(ns, id, &asked),
        SockOpt::V6MulticastIf(dev) => {
            let dev = existing(ns, dev)?;
            ns.sockets.get_mut(id)?.opts.multicast.dev6 = dev;
            return Ok(());
        }
        SockOpt::IpUnicastIf(dev) => return set_unicast_if(ns, id, dev, true),
        SockOpt::V6UnicastIf(dev) => return set_unicast_if(ns, id, dev, false),
        SockOpt::AttachReuseportFilter(insns) => {
            return reuseport::attach(&mut ns.sockets, id, Program::new(&insns)?);
        }
        SockOpt::DetachReuseportFilter(()) => return reuseport::detach(&mut ns.sockets, id),
        SockOpt::TcpQuickAck(on) => set_quickack(ns, id, on),
        SockOpt::TcpNoDelay(on) => set_nodelay(ns, id, on),
        option => set_plain(ns, id, option),
    }?;
    let sockets = &mut ns.sockets;
    if let Some(socket) = sockets.table.get_mut(id).filter(|s| s.tcp().is_some()) {
        tcp::apply_live(socket, &sockets.sysctls, t.now);
        tcp::pump(ns, t, id);
    }
    Ok(())
}

fn existing(ns: &Netns, dev: Option<DevId>) -> Result<Option<DevId>, SockError> {
    match dev.filter(|dev| dev.0 != 0) {
        None => Ok(None),
        Some(dev) if ns.dev.get(dev).is_some() => Ok(Some(dev)),
        Some(_) => Err(SockError::NoDevice),
    }
}

fn bind_to_device(ns: &mut Netns, id: SockId, dev: Option<DevId>) -> Result<(), SockError> {
    // A number may be of no device yet (`SO_BINDTOIFINDEX`).
    let dev = dev.filter(|dev| *dev != DevId::NONE);
    let socket = ns.sockets.get_mut(id)?;
    socket.opts.bound_dev = dev;
    socket.route = None;
    Ok(())
}

fn set_multicast_if(ns: &mut Netns, id: SockId, asked: &super::Membership) -> Result<(), SockError> {
    let local = asked.local.filter(|local| !local.is_unspecified());
    let dev = match (existing(ns, asked.dev)?, local) {
        (Some(dev), _) => Some(dev),
        (None, Some(local)) => Some(multicast::device_of(ns, local).ok_or(SockError::AddressNotAvailable)?),
        (None, None) => None,
    };
    let out = &mut ns.sockets.get_mut(id)?.opts.multicast;
    (out.dev4, out.src4) = (dev, local);
    Ok(())
}

fn set_nodelay(ns: &mut Netns, id: SockId, on: bool) -> Result<(), SockError> {
    let tcp = ns.sockets.get_mut(id)?.tcp_mut().ok_or(SockError::NoSuchOption)?;
    tcp.opts.nodelay = on;
    if let Some(connection) = tcp.connection_mut() {
        // Even if it is on already: what corking or `MSG_MORE` holds back goes.
        connection.set_nodelay(on);
    }
    Ok(())
}

fn set_quickack(ns: &mut Netns, id: SockId, on: bool) -> Result<(), SockError> {
    let tcp = ns.sockets.get_mut(id)?.tcp_mut().ok_or(SockError::NoSuchOption)?;
    tcp.opts.quickack = on;
    if let Some(connection) = tcp.connection_mut() {
        connection.set_quick_ack(on);
    }
    Ok(())
}

/// `IP_UNICAST_IF`, `IPV6_UNICAST_IF`: a bound socket keeps its device.
fn set_unicast_if(ns: &mut Netns, id: SockId, dev: Option<DevId>, v4: bool) -> Result<(), SockError> {
    let dev = existing(ns, dev).map_err(|_| SockError::AddressNotAvailable)?;
    let socket = ns.sockets.get_mut(id)?;
    let opts = &mut socket.opts;
    if dev.is_some() && opts.bound_dev.is_some_and(|bound| Some(bound) != dev) {
        return Err(SockError::Invalid);
    }
    *(if v4 { &mut opts.unicast_if4 } else { &mut opts.unicast_if6 }) = dev;
    socket.route = None;
    Ok(())
}

fn set_plain(ns: &mut Netns, id: SockId, option: SockOpt) -> Result<(), SockError> {
    let (rmem_max, wmem_max) = (ns.sockets.sysctls.rmem_max, ns.sockets.sysctls.wmem_max);
    let socket = ns.sockets.get_mut(id)?;
    let Err(option) = socket.opts.kept.set(option) else { return Ok(()) };
    let Some(option) = set_socket(socket, option, rmem_max, wmem_max)? else { return Ok(()) };
    let Some(option) = set_ip(socket, option)? else { return Ok(()) };
    match set_v6(socket, option)? {
        None => Ok(()),
        Some(option) => match &mut socket.kind {
            Kind::Tcp(tcp) => set_tcp(&mut tcp.opts, option),
            Kind::Udp(udp) => set_udp(udp, socket.protocol, &option),
            Kind::Raw => set_raw(socket, &option),
            Kind::Ping => Err(SockError::NoSuchOption),
        },
    }
}

/// `SOL_SOCKET`. Gives the option back if it is of another level.
fn set_socket(
    socket: &mut Socket,
    option: SockOpt,
    rmem_max: u32,
    wmem_max: u32,
) -> Result<Option<SockOpt>, SockError> {
    let opts = &mut *socket.opts;
    match option {
        SockOpt::ReuseAddr(on) => opts.reuse_addr = on,
        SockOpt::ReusePort(on) => opts.reuse_port = on,
        SockOpt::KeepAlive(on) => opts.keepalive = on,
        SockOpt::Broadcast(on) => opts.broadcast = on,
        SockOpt::OobInline(on) => opts.oob_inline = on,
        SockOpt::DontRoute(on) => opts.dont_route = on,
        SockOpt::Linger(linger) => opts.linger = linger,
        SockOpt::RcvBuf(size) => set_rcvbuf(opts, size.min(rmem_max)),
        SockOpt::SndBuf(size) => set_sndbuf(opts, size.min(wmem_max)),
        SockOpt::RcvBufForce(size) => set_rcvbuf(opts, size.min(i32::MAX as u32 / 2)),
        SockOpt::SndBufForce(size) => set_sndbuf(opts, size.min(i32::MAX as u32 / 2)),
        SockOpt::RcvLowat(bytes) => opts.rcv_lowat = bytes.clamp(1, i32::MAX as u32),
        SockOpt::Mark(mark) => {
            opts.mark = mark;
            socket.route = None;
        }
        SockOpt::Priority(priority) => opts.priority = priority,
        SockOpt::Timestamp(on) => opts.timestamp = on,
        SockOpt::TimestampNs(on) => opts.timestamp_ns = on,
        SockOpt::RxqOvfl(on) => opts.rxq_ovfl = on,
        SockOpt::AttachFilter(insns) => {
            if opts.filter_locked {
                return Err(SockError::NotPermitted);
            }
            opts.filter = Some(Program::new(&insns)?);
        }
        SockOpt::DetachFilter(()) => {
            if opts.filter_locked {
                return Err(SockError::NotPermitted);
            }
            if opts.filter.take().is_none() {
                return Err(SockError::NoEntry);
            }
        }
        SockOpt::LockFilter(on) => {
            if opts.filter_locked && !on {
                return Err(SockError::NotPermitted);
            }
            opts.filter_locked = on;
        }
        SockOpt::BusyPoll(us) => opts.busy_poll = us,
        SockOpt::MaxPacingRate(rate) => opts.max_pacing_rate = rate,
        SockOpt::NoCheck(on) => opts.no_check = on,
        SockOpt::PassSec(on) => opts.pass_sec = on,
        SockOpt::BufLock(bits) => (opts.sndbuf_locked, opts.rcvbuf_locked) = (bits & 1 != 0, bits & 2 != 0),
        SockOpt::AcceptConn(_) | SockOpt::Error(_) | SockOpt::MemInfo(_) => {
            return Err(SockError::NoSuchOption);
        }
        other => return Ok(Some(other)),
    }
    Ok(None)
}

/// Linux doubles what is asked for: half of it is for overhead.
fn set_rcvbuf(opts: &mut Options, size: u32) {
    opts.rcvbuf = size.saturating_mul(2).max(MIN_RCVBUF);
    opts.rcvbuf_locked = true;
}

fn set_sndbuf(opts: &mut Options, size: u32) {
    opts.sndbuf = size.saturating_mul(2).max(MIN_SNDBUF);
    opts.sndbuf_locked = true;
}

/// `IPPROTO_IP`. IPv6 sockets take these too: they send IPv4 to mapped addresses.
fn set_ip(socket: &mut Socket, option: SockOpt) -> Result<Option<SockOpt>, SockError> {
    let is_raw = matches!(socket.kind, Kind::Raw);
    let is_stream = socket.ty == SockType::Stream;
    let opts = &mut *socket.opts;
    match option {
        SockOpt::IpTtl(Some(0)) => return Err(SockError::Invalid),
        SockOpt::IpTtl(ttl) => opts.ttl = ttl,
        SockOpt::IpTos(tos) => {
            // A stream keeps its ECN bits for itself.
            opts.tos = if is_stream { (tos & !3) | (opts.tos & 3) } else { tos };
            opts.priority = priority_of(opts.tos);
            socket.route = None;
        }
        SockOpt::IpPktInfo(on) => opts.pktinfo4 = on,
        SockOpt::IpRecvTtl(on) => opts.recv_ttl4 = on,
        SockOpt::IpRecvTos(on) => opts.recv_tos4 = on,
        SockOpt::IpRecvErr(on) => {
            opts.recv_err4 = on;
            if !on {
                socket.errors = super::queue::ErrorQueue::default();
            }
        }
        SockOpt::IpRecvOrigDstAddr(on) => opts.recv_orig_dst = on,
        SockOpt::IpMtuDiscover(discover) => opts.pmtu4 = discover,
        SockOpt::IpHdrIncl(_) if !is_raw => return Err(SockError::NoSuchOption),
        SockOpt::IpHdrIncl(on) => opts.hdrincl4 = on,
        SockOpt::IpMulticastTtl(_) if is_stream => return Err(SockError::Invalid),
        SockOpt::IpMulticastTtl(ttl) => opts.multicast.ttl4 = ttl,
        SockOpt::IpMulticastLoop(on) => opts.multicast.loop4 = on,
        SockOpt::IpMulticastAll(on) => opts.multicast_all = on,
        SockOpt::IpFreebind(on) => opts.freebind = on,
        SockOpt::IpTransparent(on) => opts.transparent = on,
        SockOpt::IpBindAddressNoPort(on) => opts.bind_address_no_port = on,
        SockOpt::IpOptions(bytes) if bytes.len() > MAX_IP_OPTIONS => return Err(SockError::Invalid),
        SockOpt::IpOptions(bytes) if Ipv4Options::parse(&bytes).is_err() => return Err(SockError::Invalid),
        SockOpt::IpOptions(mut bytes) => {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            opts.ip_options = bytes;
        }
        SockOpt::IpRetOpts(on) => opts.ret_opts = on,
        SockOpt::IpLocalPortRange(range) => {
            let (low, high) = (range as u16, (range >> 16) as u16);
            if low != 0 && high != 0 && low > high {
                return Err(SockError::Invalid);
            }
            opts.local_port_range = range;
        }
        SockOpt::IpMinTtl(ttl) => opts.min_ttl = ttl,
        SockOpt::IpMtu(_) => return Err(SockError::NoSuchOption),
        other => return Ok(Some(other)),
    }
    Ok(None)
}

/// `IPPROTO_IPV6`.
fn set_v6(socket: &mut Socket, option: SockOpt) -> Result<Option<SockOpt>, SockError> {
    let is_stream = socket.ty == SockType::Stream;
    let is_v6 = socket.family == Family::Inet6;
    let bound = socket.local_port != 0 && !matches!(socket.kind, Kind::Raw);
    let opts = &mut *socket.opts;
    match option {
        SockOpt::V6Only(_) if !is_v6 => return Err(SockError::NoSuchOption),
        SockOpt::V6Only(_) if bound => return Err(SockError::Invalid),
        SockOpt::V6Only(on) => opts.v6only = on,
        SockOpt::V6UnicastHops(hops) => opts.hops6 = hops,
        SockOpt::V6MulticastHops(_) if is_stream => return Err(SockError::NoSuchOption),
        SockOpt::V6MulticastHops(hops) => opts.multicast.hops6 = hops,
        SockOpt::V6MulticastLoop(on) => opts.multicast.loop6 = on,
        SockOpt::V6RecvPktInfo(on) => opts.pktinfo6 = on,
        SockOpt::V6RecvHopLimit(on) => opts.recv_hops6 = on,
        SockOpt::V6OldPktInfo(on) => opts.old_pktinfo6 = on,
        SockOpt::V6OldHopLimit(on) => opts.old_hops6 = on,
        SockOpt::V6RecvTclass(on) => opts.recv_tclass6 = on,
        SockOpt::V6MinHopCount(hops) => opts.min_hops6 = hops,
        SockOpt::V6MulticastAll(on) => opts.multicast_all6 = on,
        SockOpt::V6RecvErr(on) => {
            opts.recv_err6 = on;
            if !on {
                socket.errors = super::queue::ErrorQueue::default();
            }
        }
        SockOpt::V6Tclass(tclass) => {
            opts.tclass6 = if is_stream { (tclass & !3) | (opts.tclass6 & 3) } else { tclass };
        }
        SockOpt::V6MtuDiscover(discover) => opts.pmtu6 = discover,
        SockOpt::V6Mtu(mtu) if mtu != 0 && mtu < 1280 => return Err(SockError::Invalid),
        SockOpt::V6Mtu(mtu) => opts.mtu6 = mtu,
        SockOpt::V6DontFrag(on) => opts.dont_frag6 = on,
        SockOpt::V6FlowInfoSend(on) => opts.flowinfo_send = on,
        SockOpt::V6AutoFlowLabel(on) => opts.auto_flow_label = on,
        SockOpt::V6AddrPreferences(bits) => opts.addr_preferences = bits,
        SockOpt::V6Freebind(on) => opts.freebind = on,
        SockOpt::V6Transparent(on) => opts.transparent = on,
        other => return Ok(Some(other)),
    }
    Ok(None)
}

/// `SOL_RAW`, `IPPROTO_ICMPV6` and what only raw IPv6 sockets have.
fn set_raw(socket: &mut Socket, option: &SockOpt) -> Result<(), SockError> {
    let protocol = socket.protocol;
    let opts = &mut *socket.opts;
    match *option {
        SockOpt::IcmpFilter(mask) if protocol == protocol::ICMP => opts.icmp_filter = mask,
        SockOpt::IcmpFilter(_) => return Err(SockError::OperationUnsupported),
        SockOpt::Icmp6Filter(mask) if protocol == protocol::ICMPV6 => opts.icmp6_filter = mask,
        SockOpt::Icmp6Filter(_) => return Err(SockError::OperationUnsupported),
        // RFC 3542 §3.1: ICMPv6 always has its checksum there.
        SockOpt::V6Checksum(_) if protocol == protocol::ICMPV6 => {
            return Err(SockError::Invalid);
        }
        SockOpt::V6Checksum(Some(offset)) if offset % 2 == 1 => return Err(SockError::Invalid),
        SockOpt::V6Checksum(offset) => opts.checksum6 = offset,
        SockOpt::V6HdrIncl(on) => opts.hdrincl6 = on,
        _ => return Err(SockError::NoSuchOption),
    }
    Ok(())
}

/// `IPPROTO_TCP`.
fn set_tcp(opts: &mut OptionsTcp, option: SockOpt) -> Result<(), SockError> {
    let seconds =
        |value: u32| (1..=MAX_KEEP_SECONDS).contains(&value).then_some(value).ok_or(SockError::Invalid);
    match option {
        SockOpt::TcpNoDelay(on) => opts.nodelay = on,
        SockOpt::TcpMaxSeg(mss) if mss != 0 && !(MIN_MAXSEG..=MAX_MAXSEG).contains(&mss) => {
            return Err(SockError::Invalid);
        }
        SockOpt::TcpMaxSeg(mss) => opts.maxseg = mss,
        SockOpt::TcpCork(on) => opts.cork = on,
        SockOpt::TcpKeepIdle(value) => opts.keep_idle = Some(seconds(value)?),
        SockOpt::TcpKeepIntvl(value) => opts.keep_intvl = Some(seconds(value)?),
        SockOpt::TcpKeepCnt(count) if (1..=MAX_KEEP_COUNT).contains(&count) => opts.keep_cnt = Some(count),
        SockOpt::TcpSynCnt(count) if (1..=MAX_SYN_COUNT).contains(&count) => opts.syn_cnt = Some(count),
        SockOpt::TcpKeepCnt(_) | SockOpt::TcpSynCnt(_) => return Err(SockError::Invalid),
        SockOpt::TcpLinger2(value) => opts.linger2 = Some(value.min(MAX_LINGER2)),
        SockOpt::TcpDeferAccept(value) => opts.defer_accept = defer_seconds(value),
        SockOpt::TcpWindowClamp(bytes) => {
            opts.window_clamp = if bytes == 0 { 0 } else { bytes.max(MIN_RCVBUF / 2) }
        }
        SockOpt::TcpCongestion(name) => {
            opts.congestion = CongestionKind::from_name(&name).ok_or(SockError::NoEntry)?;
        }
        SockOpt::TcpUserTimeout(ms) => opts.user_timeout = ms,
        SockOpt::TcpNotSentLowat(bytes) => opts.notsent_lowat = bytes,
        SockOpt::TcpFastOpen(length) => opts.fastopen = length,
        SockOpt::TcpFastOpenConnect(on) => opts.fastopen_connect = on,
        SockOpt::TcpFastOpenNoCookie(on) => opts.fastopen_no_cookie = on,
        SockOpt::TcpFastOpenKey(bytes) => {
            opts.fastopen_keys = Some(FastOpenKeys::from_bytes(&bytes).ok_or(SockError::Invalid)?);
        }
        _ => return Err(SockError::NoSuchOption),
    }
    Ok(())
}

/// `TCP_DEFER_ACCEPT` in seconds, rounded up to a moment at which the SYN/ACK would be repeated, as on Linux.
fn defer_seconds(wanted: u32) -> u32 {
    let (mut total, mut timeout) = (wanted.min(1), 1);
    while total < wanted && total < MAX_DEFER {
        timeout = (timeout * 2).min(120);
        total += timeout;
    }
    total
}

/// `IPPROTO_UDP`.
fn set_udp(udp: &mut Udp, ip_protocol: u8, option: &SockOpt) -> Result<(), SockError> {
    match *option {
        SockOpt::UdpSegment(size) => udp.segment = size,
        SockOpt::UdpNoCheck6Tx(on) => udp.no_check6_tx = on,
        SockOpt::UdpNoCheck6Rx(on) => udp.no_check6_rx = on,
        SockOpt::UdpLiteSendCoverage(_) | SockOpt::UdpLiteRecvCoverage(_)
            if ip_protocol != protocol::UDPLITE =>
        {
            return Err(SockError::NoSuchOption);
        }
        SockOpt::UdpLiteSendCoverage(bytes) => udp.coverage.send = Some(at_least_header(bytes)),
        SockOpt::UdpLiteRecvCoverage(bytes) => udp.coverage.receive = Some(at_least_header(bytes)),
        _ => return Err(SockError::NoSuchOption),
    }
    Ok(())
}

/// The header is always covered; 0 means all (RFC 3828 §3.2).
fn at_least_header(bytes: u16) -> u16 {
    if bytes == 0 { 0 } else { bytes.max(udplite::HEADER_LEN as u16) }
}

// ---- Get -----------------------------------------------------------------------------------------------------------

/// getsockopt(2).
pub(crate) fn get(ns: &Netns, t: &Turn, id: SockId, name: OptName) -> Result<SockOpt, SockError> {
    let socket = ns.sockets.get(id)?;
    if let Some(value) = get_socket(socket, name).or_else(|| get_ip(ns, t, socket, name)) {
        return Ok(value);
    }
    match (name, socket.family) {
        (OptName::IpMtu | OptName::V6Mtu, _) => return mtu(ns, t, socket, name),
        (name, _) => {
            if let Some(value) = get_v6(socket, name) {
                return Ok(value);
            }
        }
    }
    let value = match &socket.kind {
        Kind::Tcp(_) => get_tcp(ns, t, socket, name),
        Kind::Udp(udp) => get_udp(udp, name),
        Kind::Raw => get_raw(socket, name),
        Kind::Ping => None,
    };
    value.ok_or(SockError::NoSuchOption)
}

/// `SO_MEMINFO`: of what Linux counts, receive and send memory with their buffers, and drops.
fn mem_info(socket: &Socket) -> [u32; 9] {
    let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let received = if socket.tcp().is_some() { tcp::recv_queue_len(socket) } else { socket.rx.memory() };
    let sent = if socket.tcp().is_some() { tcp::send_queue_len(socket) } else { 0 };
    let opts = &socket.opts;
    [clip(received), opts.rcvbuf, 0, tcp::send_buffer_shown(socket), 0, clip(sent), 0, 0, socket.rx.drops]
}

fn get_socket(socket: &Socket, name: OptName) -> Option<SockOpt> {
    let opts = &socket.opts;
    Some(match name {
        OptName::ReuseAddr => SockOpt::ReuseAddr(opts.reuse_addr),
        OptName::ReusePort => SockOpt::ReusePort(opts.reuse_port),
        OptName::KeepAlive => SockOpt::KeepAlive(opts.keepalive),
        OptName::Broadcast => SockOpt::Broadcast(opts.broadcast),
        OptName::OobInline => SockOpt::OobInline(opts.oob_inline),
        OptName::DontRoute => SockOpt::DontRoute(opts.dont_route),
        OptName::Linger => SockOpt::Linger(opts.linger),
        OptName::RcvBuf | OptName::RcvBufForce => SockOpt::RcvBuf(opts.rcvbuf),
        OptName::SndBuf | OptName::SndBufForce => SockOpt::SndBuf(tcp::send_buffer_shown(socket)),
        OptName::RcvLowat => SockOpt::RcvLowat(opts.rcv_lowat),
        OptName::BindToDevice => SockOpt::BindToDevice(opts.bound_dev),
        OptName::Mark => SockOpt::Mark(opts.mark),
        OptName::Priority => SockOpt::Priority(opts.priority),
        OptName::Timestamp => SockOpt::Timestamp(opts.timestamp),
        OptName::TimestampNs => SockOpt::TimestampNs(opts.timestamp_ns),
        OptName::RxqOvfl => SockOpt::RxqOvfl(opts.rxq_ovfl),
        OptName::AcceptConn => SockOpt::AcceptConn(tcp::is_listening(socket)),
        OptName::Error => SockOpt::Error(socket.error),
        OptName::AttachFilter => SockOpt::AttachFilter(
            opts.filter.as_ref().map(|filter| filter.insns().to_vec()).unwrap_or_default(),
        ),
        OptName::BufLock => {
            SockOpt::BufLock(u32::from(opts.sndbuf_locked) | u32::from(opts.rcvbuf_locked) << 1)
        }
        OptName::MemInfo => SockOpt::MemInfo(mem_info(socket)),
        OptName::LockFilter => SockOpt::LockFilter(opts.filter_locked),
        OptName::BusyPoll => SockOpt::BusyPoll(opts.busy_poll),
        OptName::MaxPacingRate => SockOpt::MaxPacingRate(opts.max_pacing_rate),
        OptName::NoCheck => SockOpt::NoCheck(opts.no_check),
        OptName::PassSec => SockOpt::PassSec(opts.pass_sec),
        name => return opts.kept.get(name),
    })
}

fn get_ip(ns: &Netns, _t: &Turn, socket: &Socket, name: OptName) -> Option<SockOpt> {
    let opts = &socket.opts;
    let multicast_if = super::Membership {
        group: std::net::Ipv4Addr::UNSPECIFIED.into(),
        dev: opts.multicast.dev4,
        local: opts.multicast.src4,
    };
    let default_ttl = ns.sysctl.net4.ip_default_ttl as u8;
    Some(match name {
        OptName::IpTtl => SockOpt::IpTtl(Some(opts.ttl.unwrap_or(default_ttl))),
        OptName::IpTos => SockOpt::IpTos(opts.tos),
        OptName::IpPktInfo => SockOpt::IpPktInfo(opts.pktinfo4),
        OptName::IpRecvTtl => SockOpt::IpRecvTtl(opts.recv_ttl4),
        OptName::IpRecvTos => SockOpt::IpRecvTos(opts.recv_tos4),
        OptName::IpRecvErr => SockOpt::IpRecvErr(opts.recv_err4),
        OptName::IpRecvOrigDstAddr => SockOpt::IpRecvOrigDstAddr(opts.recv_orig_dst),
        OptName::IpMtuDiscover => SockOpt::IpMtuDiscover(opts.pmtu4),
        OptName::IpHdrIncl if matches!(socket.kind, Kind::Raw) => SockOpt::IpHdrIncl(opts.hdrincl4),
        OptName::IpMulticastTtl => SockOpt::IpMulticastTtl(opts.multicast.ttl4),
        OptName::IpMulticastLoop => SockOpt::IpMulticastLoop(opts.multicast.loop4),
        OptName::IpMulticastIf => SockOpt::IpMulticastIf(multicast_if),
        OptName::IpMulticastAll => SockOpt::IpMulticastAll(opts.multicast_all),
        OptName::IpFreebind => SockOpt::IpFreebind(opts.freebind),
        OptName::IpTransparent => SockOpt::IpTransparent(opts.transparent),
        OptName::IpBindAddressNoPort => SockOpt::IpBindAddressNoPort(opts.bind_address_no_port),
        OptName::IpOptions => SockOpt::IpOptions(opts.ip_options.clone()),
        OptName::IpRetOpts => SockOpt::IpRetOpts(opts.ret_opts),
        OptName::IpLocalPortRange => SockOpt::IpLocalPortRange(opts.local_port_range),
        OptName::IpMinTtl => SockOpt::IpMinTtl(opts.min_ttl),
        OptName::IpUnicastIf => SockOpt::IpUnicastIf(opts.unicast_if4),
        _ => return None,
    })
}

/// `IP_MTU`, `IPV6_MTU`: the path's, of a connected socket.
fn mtu(ns: &Netns, t: &Turn, socket: &Socket, name: OptName) -> Result<SockOpt, SockError> {
    let remote = socket.remote.ok_or(SockError::NotConnected)?;
    let query = crate::RouteQuery {
        src: Some(socket.local).filter(|local| !local.is_unspecified()),
        oif: socket.opts.bound_dev,
        mark: socket.opts.mark,
        ..crate::RouteQuery::to(remote.ip())
    };
    let mtu = ns.route_out(t.now, &query).map_err(|_| SockError::NotConnected)?.mtu;
    Ok(if name == OptName::IpMtu { SockOpt::IpMtu(mtu) } else { SockOpt::V6Mtu(mtu) })
}

fn get_v6(socket: &Socket, name: OptName) -> Option<SockOpt> {
    let opts = &socket.opts;
    if socket.family == Family::Inet {
        return None;
    }
    Some(match name {
        OptName::V6Only => SockOpt::V6Only(opts.v6only),
        OptName::V6UnicastHops => SockOpt::V6UnicastHops(Some(opts.hops6.unwrap_or(DEFAULT_HOPS6))),
        OptName::V6MulticastHops => SockOpt::V6MulticastHops(opts.multicast.hops6),
        OptName::V6MulticastLoop => SockOpt::V6MulticastLoop(opts.multicast.loop6),
        OptName::V6MulticastIf => SockOpt::V6MulticastIf(opts.multicast.dev6),
        OptName::V6RecvPktInfo => SockOpt::V6RecvPktInfo(opts.pktinfo6),
        OptName::V6RecvHopLimit => SockOpt::V6RecvHopLimit(opts.recv_hops6),
        OptName::V6OldPktInfo => SockOpt::V6OldPktInfo(opts.old_pktinfo6),
        OptName::V6OldHopLimit => SockOpt::V6OldHopLimit(opts.old_hops6),
        OptName::V6RecvTclass => SockOpt::V6RecvTclass(opts.recv_tclass6),
        OptName::V6MinHopCount => SockOpt::V6MinHopCount(opts.min_hops6),
        OptName::V6MulticastAll => SockOpt::V6MulticastAll(opts.multicast_all6),
        OptName::V6RecvErr => SockOpt::V6RecvErr(opts.recv_err6),
        OptName::V6Tclass => SockOpt::V6Tclass(opts.tclass6),
        OptName::V6MtuDiscover => SockOpt::V6MtuDiscover(opts.pmtu6),
        OptName::V6DontFrag => SockOpt::V6DontFrag(opts.dont_frag6),
        OptName::V6FlowInfoSend => SockOpt::V6FlowInfoSend(opts.flowinfo_send),
        OptName::V6AutoFlowLabel => SockOpt::V6AutoFlowLabel(opts.auto_flow_label),
        OptName::V6AddrPreferences => SockOpt::V6AddrPreferences(opts.addr_preferences),
        OptName::V6UnicastIf => SockOpt::V6UnicastIf(opts.unicast_if6),
        OptName::V6Freebind => SockOpt::V6Freebind(opts.freebind),
        OptName::V6Transparent => SockOpt::V6Transparent(opts.transparent),
        _ => return None,
    })
}

fn get_raw(socket: &Socket, name: OptName) -> Option<SockOpt> {
    let opts = &socket.opts;
    Some(match name {
        OptName::IcmpFilter => SockOpt::IcmpFilter(opts.icmp_filter),
        OptName::Icmp6Filter => SockOpt::Icmp6Filter(opts.icmp6_filter),
        OptName::V6Checksum => SockOpt::V6Checksum(opts.checksum6),
        OptName::V6HdrIncl => SockOpt::V6HdrIncl(opts.hdrincl6),
        _ => return None,
    })
}

fn get_tcp(ns: &Netns, t: &Turn, socket: &Socket, name: OptName) -> Option<SockOpt> {
    let tcp = socket.tcp()?;
    let (opts, sysctls) = (&tcp.opts, &ns.sockets.sysctls);
    Some(match name {
        OptName::TcpNoDelay => SockOpt::TcpNoDelay(opts.nodelay),
        OptName::TcpMaxSeg => {
            let set = if opts.maxseg == 0 { 536 } else { opts.maxseg };
            SockOpt::TcpMaxSeg(tcp.connection().map_or(set, netspace_tcp::Connection::mss))
        }
        OptName::TcpCork => SockOpt::TcpCork(opts.cork),
        OptName::TcpKeepIdle => SockOpt::TcpKeepIdle(opts.keep_idle.unwrap_or(sysctls.tcp_keepalive_time)),
        OptName::TcpKeepIntvl => {
            SockOpt::TcpKeepIntvl(opts.keep_intvl.unwrap_or(sysctls.tcp_keepalive_intvl))
        }
        OptName::TcpKeepCnt => SockOpt::TcpKeepCnt(opts.keep_cnt.unwrap_or(sysctls.tcp_keepalive_probes)),
        OptName::TcpSynCnt => {
            SockOpt::TcpSynCnt(opts.syn_cnt.unwrap_or(sysctls.tcp_syn_retries.min(255) as u8))
        }
        OptName::TcpLinger2 => {
            let default = i32::try_from(sysctls.tcp_fin_timeout).unwrap_or(i32::MAX);
            SockOpt::TcpLinger2(opts.linger2.filter(|value| *value != 0).unwrap_or(default))
        }
        OptName::TcpDeferAccept => SockOpt::TcpDeferAccept(opts.defer_accept),
        OptName::TcpWindowClamp => SockOpt::TcpWindowClamp(opts.window_clamp),
        OptName::TcpQuickAck => SockOpt::TcpQuickAck(opts.quickack),
        OptName::TcpCongestion => SockOpt::TcpCongestion(opts.congestion.name().to_owned()),
        OptName::TcpUserTimeout => SockOpt::TcpUserTimeout(opts.user_timeout),
        OptName::TcpNotSentLowat => SockOpt::TcpNotSentLowat(opts.notsent_lowat),
        OptName::TcpFastOpen => SockOpt::TcpFastOpen(opts.fastopen),
        OptName::TcpFastOpenConnect => SockOpt::TcpFastOpenConnect(opts.fastopen_connect),
        OptName::TcpCcInfo => SockOpt::TcpCcInfo(tcp::controller_info(socket)),
        OptName::TcpFastOpenNoCookie => SockOpt::TcpFastOpenNoCookie(opts.fastopen_no_cookie),
        OptName::TcpFastOpenKey => {
            SockOpt::TcpFastOpenKey(opts.fastopen_keys.map(FastOpenKeys::to_bytes).unwrap_or_default())
        }
        OptName::TcpInfo => SockOpt::TcpInfo(Box::new(tcp::info(socket, t.now))),
        _ => return None,
    })
}

fn get_udp(udp: &Udp, name: OptName) -> Option<SockOpt> {
    Some(match name {
        OptName::UdpCork => SockOpt::UdpCork(udp.cork),
        OptName::UdpSegment => SockOpt::UdpSegment(udp.segment),
        OptName::UdpGro => SockOpt::UdpGro(udp.gro),
        OptName::UdpNoCheck6Tx => SockOpt::UdpNoCheck6Tx(udp.no_check6_tx),
        OptName::UdpNoCheck6Rx => SockOpt::UdpNoCheck6Rx(udp.no_check6_rx),
        OptName::UdpLiteSendCoverage => SockOpt::UdpLiteSendCoverage(udp.coverage.send.unwrap_or(0)),
        OptName::UdpLiteRecvCoverage => SockOpt::UdpLiteRecvCoverage(udp.coverage.receive.unwrap_or(0)),
        _ => return None,
    })
}
