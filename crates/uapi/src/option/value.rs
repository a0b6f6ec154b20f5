//! Values of options, from bytes and to bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use netspace_base::DevId;
use netspace_stack::sock::{BpfInsn, Membership, PmtuDiscover, SockOpt};

use super::multicast::{ipv4_at, some_dev};
use super::table::Codec;
use super::{Devices, SOL_IP, cc_info, multicast, tcp_info};
use crate::bytes_at::{array, c_str, i32_at, i64_at, u16_at, u32_at, u64_at};
use crate::errno::{EINVAL, ENODEV, ENOPROTOOPT, Errno};
use crate::sockaddr;

/// `IFNAMSIZ`: a device's name with its NUL.
const NAME_LEN: usize = 16;
/// `sizeof(struct sock_filter)`.
pub const INSN_LEN: usize = 8;
/// `BPF_MAXINSNS`.
const MAX_INSNS: usize = 4096;
/// `TCP_CA_NAME_MAX`.
const CONGESTION_NAME_LEN: usize = 16;
/// Longest IPv4 options.
const MAX_IP_OPTIONS: usize = 40;

/// The int at the start of a value. At level `IP` one byte is enough (as Linux has it since 2.2, for BSD programs).
pub(super) fn int(level: i32, bytes: &[u8]) -> Result<i32, Errno> {
    match (i32_at(bytes, 0), bytes.first()) {
        (Some(value), _) => Ok(value),
        (None, Some(&byte)) if level == SOL_IP => Ok(i32::from(byte)),
        (None, None) if level == SOL_IP => Ok(0),
        _ => Err(EINVAL),
    }
}

/// `struct timeval` to a timeout: zero is none, a negative one has passed already and gives the least timeout.
pub(super) fn timeval(bytes: &[u8]) -> Result<Option<Duration>, Errno> {
    let (Some(seconds), Some(micros)) = (i64_at(bytes, 0), i64_at(bytes, 8)) else { return Err(EINVAL) };
    if !(0..1_000_000).contains(&micros) {
        return Err(Errno(libc::EDOM));
    }
    if seconds < 0 {
        return Ok(Some(Duration::ZERO));
    }
    let timeout = Duration::from_secs(seconds.unsigned_abs()) + Duration::from_micros(micros as u64);
    Ok(Some(timeout).filter(|t| !t.is_zero()))
}

/// `struct sock_fprog`: how many instructions, and where in the caller's memory they are.
pub fn filter_program(bytes: &[u8]) -> Result<(usize, u64), Errno> {
    let (Some(count), Some(address)) = (u16_at(bytes, 0), u64_at(bytes, 8)) else { return Err(EINVAL) };
    let count = usize::from(count);
    if count == 0 || count > MAX_INSNS {
        return Err(EINVAL);
    }
    Ok((count, address))
}

pub(super) fn read(codec: Codec, level: i32, bytes: &[u8], devices: &dyn Devices) -> Result<SockOpt, Errno> {
    let value = || int(level, bytes);
    let ranged = |low: i32, high: i32| value().and_then(|v| in_range(v, low, high));
    Ok(match codec {
        Codec::Bool(make) => make(value()? != 0),
        Codec::ZeroOrOne(make) => make(ranged(0, 1)? == 1),
        Codec::Rehash(make) => make(ranged(-1, 1)? != 0),
        Codec::UnicastIf(make) => make(some_dev(u32::from_be(value()? as u32))),
        Codec::Int(make, low, high) => make(ranged(low, high)? as u32),
        Codec::LowByte(make) => make(value()? as u8),
        Codec::ByteOr(make, low, high, default) => match value()? {
            -1 => make(default),
            v => make(in_range(v, low, high)? as u8),
        },
        Codec::MaybeByte(make, low, high) => match value()? {
            -1 => make(None),
            v => make(Some(in_range(v, low, high)? as u8)),
        },
        Codec::Coverage(make) => make(match value()? {
            ..0 => 1,
            bytes => u16::try_from(bytes).unwrap_or(u16::MAX),
        }),
        Codec::Signed(make) => make(value()?),
        Codec::Wide(make) => make(wide(bytes)?),
        Codec::Pmtu(make) => make(pmtu(value()?)?),
        Codec::Linger => linger(bytes)?,
        Codec::DevName => SockOpt::BindToDevice(dev_name(bytes, devices)?),
        Codec::DevIndex(make) => make(dev_index(value()?)?),
        Codec::MulticastIf => SockOpt::IpMulticastIf(multicast_if(bytes)?),
        Codec::Mreq(make) => make(mreq(bytes)?),
        Codec::Mreq6(make) => make(mreq6(bytes)?),
        Codec::GroupReq(make) => make(multicast::of_level(level, group_req(bytes)?)?),
        Codec::MreqSource(make) => make(multicast::mreq_source(bytes)?),
        Codec::GroupSourceReq(make) => make(multicast::group_source_req(bytes)?),
        Codec::MsFilter => SockOpt::SourceFilter(multicast::ms_filter(bytes)?),
        Codec::GroupFilter => SockOpt::SourceFilter(multicast::group_filter(bytes)?),
        Codec::Filter(make) => make(filter(bytes)?),
        Codec::Unit(make) => value().map(|_| make())?,
        Codec::Bytes40 => SockOpt::IpOptions(ip_options(bytes)?),
        Codec::Name => SockOpt::TcpCongestion(congestion(bytes)?),
        Codec::FastOpenKey => SockOpt::TcpFastOpenKey(bytes.to_vec()),
        Codec::Checksum => SockOpt::V6Checksum(checksum(value()?)?),
        Codec::IcmpFilter => SockOpt::IcmpFilter(icmp_filter(bytes)),
        Codec::Icmp6Filter => SockOpt::Icmp6Filter(icmp6_filter(bytes)),
        Codec::MemInfo | Codec::TcpInfo | Codec::TcpCcInfo => return Err(ENOPROTOOPT),
    })
}

fn in_range(value: i32, low: i32, high: i32) -> Result<i32, Errno> {
    if (low..=high).contains(&value) { Ok(value) } else { Err(EINVAL) }
}

fn wide(bytes: &[u8]) -> Result<u64, Errno> {
    if let Some(value) = u64_at(bytes, 0) {
        return Ok(value);
    }
    let value = u32_at(bytes, 0).ok_or(EINVAL)?;
    // As an int, -1 is "no limit" in full width.
    Ok(if value == u32::MAX { u64::MAX } else { u64::from(value) })
}

fn pmtu(value: i32) -> Result<PmtuDiscover, Errno> {
    Ok(match value {
        0 => PmtuDiscover::Dont,
        1 => PmtuDiscover::Want,
        2 => PmtuDiscover::Do,
        3 => PmtuDiscover::Probe,
        4 => PmtuDiscover::Interface,
        5 => PmtuDiscover::Omit,
        _ => return Err(EINVAL),
    })
}

fn linger(bytes: &[u8]) -> Result<SockOpt, Errno> {
    let (Some(on), Some(seconds)) = (i32_at(bytes, 0), u32_at(bytes, 4)) else { return Err(EINVAL) };
    Ok(SockOpt::Linger((on != 0).then(|| Duration::from_secs(u64::from(seconds)))))
}

fn dev_name(bytes: &[u8], devices: &dyn Devices) -> Result<Option<DevId>, Errno> {
    let bytes = &bytes[..bytes.len().min(NAME_LEN - 1)];
    match c_str(bytes).ok_or(ENODEV)? {
        "" => Ok(None),
        name => devices.index(name).map(Some).ok_or(ENODEV),
    }
}

fn dev_index(value: i32) -> Result<Option<DevId>, Errno> {
    let index = u32::try_from(value).map_err(|_| EINVAL)?;
    Ok(some_dev(index))
}

/// `in_addr` (4 bytes), `ip_mreq` (8) or `ip_mreqn` (12).
fn multicast_if(bytes: &[u8]) -> Result<Membership, Errno> {
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if bytes.len() >= 8 {
        return mreq(bytes);
    }
    let local = ipv4_at(bytes, 0).ok_or(EINVAL)?;
    Ok(Membership { group: unspecified, dev: None, local: Some(local).filter(|a| !a.is_unspecified()) })
}

fn mreq(bytes: &[u8]) -> Result<Membership, Errno> {
    let (Some(group), Some(local)) = (ipv4_at(bytes, 0), ipv4_at(bytes, 4)) else { return Err(EINVAL) };
    let dev = u32_at(bytes, 8).and_then(some_dev);
    Ok(Membership { group: group.into(), dev, local: Some(local).filter(|a| !a.is_unspecified()) })
}

fn mreq6(bytes: &[u8]) -> Result<Membership, Errno> {
    let (Some(group), Some(index)) = (array::<16>(bytes, 0), u32_at(bytes, 16)) else { return Err(EINVAL) };
    Ok(Membership { group: Ipv6Addr::from(group).into(), dev: some_dev(index), local: None })
}

/// `struct group_req`: a device's number, then a `sockaddr_storage` at 8.
fn group_req(bytes: &[u8]) -> Result<Membership, Errno> {
    const LEN: usize = 136;
    if bytes.len() < LEN {
        return Err(EINVAL);
    }
    let index = u32_at(bytes, 0).ok_or(EINVAL)?;
    let group = sockaddr::parse_any(&bytes[8..]).ok_or(EINVAL)?.ip();
    Ok(Membership { group, dev: some_dev(index), local: None })
}

pub(crate) fn filter(bytes: &[u8]) -> Result<Vec<BpfInsn>, Errno> {
    let insns: Vec<_> = bytes.chunks_exact(INSN_LEN).filter_map(insn).collect();
    if insns.is_empty() || insns.len() > MAX_INSNS || !bytes.len().is_multiple_of(INSN_LEN) {
        return Err(EINVAL);
    }
    Ok(insns)
}

fn insn(bytes: &[u8]) -> Option<BpfInsn> {
    Some(BpfInsn { code: u16_at(bytes, 0)?, jt: bytes[2], jf: bytes[3], k: u32_at(bytes, 4)? })
}

fn ip_options(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    if bytes.len() > MAX_IP_OPTIONS { Err(EINVAL) } else { Ok(bytes.to_vec()) }
}

fn congestion(bytes: &[u8]) -> Result<String, Errno> {
    if bytes.is_empty() {
        return Err(EINVAL);
    }
    let bytes = &bytes[..bytes.len().min(CONGESTION_NAME_LEN - 1)];
    c_str(bytes).map(str::to_owned).ok_or(Errno(libc::ENOENT))
}

fn checksum(value: i32) -> Result<Option<u16>, Errno> {
    match value {
        ..0 => Ok(None),
        // The checksum must lie on an even offset (RFC 3542 3.1).
        _ if value % 2 != 0 => Err(EINVAL),
        _ => u16::try_from(value).map(Some).map_err(|_| EINVAL),
    }
}

/// `struct icmp_filter`; what is not given stays 0.
fn icmp_filter(bytes: &[u8]) -> u32 {
    let mut filter = [0; 4];
    let n = bytes.len().min(filter.len());
    filter[..n].copy_from_slice(&bytes[..n]);
    u32::from_ne_bytes(filter)
}

fn icmp6_filter(bytes: &[u8]) -> [u32; 8] {
    let mut filter = [0; 8];
    for (word, chunk) in filter.iter_mut().zip(bytes.chunks(4)) {
        *word = icmp_filter(chunk);
    }
    filter
}

pub(super) fn write(
    codec: Codec,
    level: i32,
    answer: &SockOpt,
    room: usize,
    devices: &dyn Devices,
) -> Result<Vec<u8>, Errno> {
    let mut out = match (codec, answer) {
        (Codec::DevName, SockOpt::BindToDevice(dev)) => return write_dev_name(*dev, room, devices),
        (_, SockOpt::Linger(linger)) => write_linger(*linger),
        (_, SockOpt::IpMulticastIf(membership)) => {
            membership.local.unwrap_or(Ipv4Addr::UNSPECIFIED).octets().to_vec()
        }
        (_, SockOpt::TcpCongestion(name)) => {
            let mut out = name.as_bytes().to_vec();
            out.resize(CONGESTION_NAME_LEN, 0);
            out
        }
        (_, SockOpt::IpOptions(options)) => options.clone(),
        (_, SockOpt::TcpFastOpenKey(key)) => key.clone(),
        (_, SockOpt::Icmp6Filter(filter)) => filter.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        (_, SockOpt::IcmpFilter(filter)) => filter.to_ne_bytes().to_vec(),
        (_, SockOpt::TcpInfo(info)) => tcp_info::emit(info),
        (_, SockOpt::TcpCcInfo(info)) => info.as_ref().map_or_else(Vec::new, cc_info::emit),
        (_, SockOpt::MemInfo(words)) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        (_, SockOpt::MaxPacingRate(rate)) if room < 8 => {
            u32::try_from(*rate).unwrap_or(u32::MAX).to_ne_bytes().to_vec()
        }
        (_, SockOpt::MaxPacingRate(rate)) => rate.to_ne_bytes().to_vec(),
        _ => return int_of(answer).map(|value| write_int(level, value, room)).ok_or(ENOPROTOOPT),
    };
    out.truncate(room);
    Ok(out)
}

/// The device's name with its NUL; the caller must have room for any name, and gets nothing if there is none.
fn write_dev_name(dev: Option<DevId>, room: usize, devices: &dyn Devices) -> Result<Vec<u8>, Errno> {
    let Some(dev) = dev else { return Ok(Vec::new()) };
    if room < NAME_LEN {
        return Err(EINVAL);
    }
    let mut out = devices.name(dev).ok_or(ENODEV)?.into_bytes();
    out.push(0);
    Ok(out)
}

fn write_linger(linger: Option<Duration>) -> Vec<u8> {
    let seconds = linger.map_or(0, |l| i32::try_from(l.as_secs()).unwrap_or(i32::MAX));
    [i32::from(linger.is_some()).to_ne_bytes(), seconds.to_ne_bytes()].concat()
}

pub(super) fn write_int(level: i32, value: i32, room: usize) -> Vec<u8> {
    if level == SOL_IP && (1..4).contains(&room) && (0..=255).contains(&value) {
        return vec![value as u8];
    }
    value.to_ne_bytes()[..room.min(4)].to_vec()
}

pub(super) fn write_timeval(timeout: Option<Duration>, room: usize) -> Vec<u8> {
    let timeout = timeout.unwrap_or_default();
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let mut out = [seconds.to_ne_bytes(), i64::from(timeout.subsec_micros()).to_ne_bytes()].concat();
    out.truncate(room);
    out
}

/// The int that stands for an answer, for all that are one.
fn int_of(answer: &SockOpt) -> Option<i32> {
    use SockOpt as O;
    let dev = |dev: &Option<DevId>| dev.map_or(0, |d| d.0 as i32);
    Some(match answer {
        O::ReuseAddr(on) | O::ReusePort(on) | O::KeepAlive(on) | O::Broadcast(on) | O::OobInline(on) => {
            on_off(*on)
        }
        O::DontRoute(on) | O::Timestamp(on) | O::TimestampNs(on) | O::RxqOvfl(on) => on_off(*on),
        O::AcceptConn(on) | O::LockFilter(on) | O::NoCheck(on) | O::PassSec(on) => on_off(*on),
        O::IpPktInfo(on) | O::IpRecvTtl(on) | O::IpRecvTos(on) | O::IpRecvErr(on) => on_off(*on),
        O::IpRecvOrigDstAddr(on) | O::IpHdrIncl(on) | O::IpMulticastLoop(on) => on_off(*on),
        O::IpMulticastAll(on) | O::IpFreebind(on) | O::IpTransparent(on) => on_off(*on),
        O::IpBindAddressNoPort(on) | O::IpRetOpts(on) | O::V6Only(on) | O::V6MulticastLoop(on) => on_off(*on),
        O::V6RecvPktInfo(on) | O::V6RecvHopLimit(on) | O::V6RecvTclass(on) | O::V6RecvErr(on) => on_off(*on),
        O::V6DontFrag(on) | O::V6FlowInfoSend(on) | O::V6AutoFlowLabel(on) | O::V6HdrIncl(on) => on_off(*on),
        O::V6OldPktInfo(on) | O::V6OldHopLimit(on) | O::Debug(on) | O::WifiStatus(on) => on_off(*on),
        O::NoFcs(on)
        | O::IpChecksum(on)
        | O::SelectErrQueue(on)
        | O::PreferBusyPoll(on)
        | O::TxRehash(on) => on_off(*on),
        O::RcvMark(on) | O::RcvPriority(on) | O::IpRecvFragSize(on) | O::IpNoDefrag(on) => on_off(*on),
        O::IpRecvErrRfc4884(on) | O::V6RecvErrRfc4884(on) | O::V6RecvOrigDstAddr(on) => on_off(*on),
        O::V6RecvFragSize(on) | O::V6MulticastAll(on) | O::UdpNoCheck6Tx(on) | O::UdpNoCheck6Rx(on) => {
            on_off(*on)
        }
        O::IpUnicastIf(d) | O::V6UnicastIf(d) => (dev(d) as u32).to_be() as i32,
        O::V6Freebind(on) | O::V6Transparent(on) | O::TcpNoDelay(on) | O::TcpCork(on) => on_off(*on),
        O::TcpQuickAck(on) | O::TcpFastOpenConnect(on) | O::UdpCork(on) | O::UdpGro(on) => on_off(*on),
        O::TcpFastOpenNoCookie(on) => on_off(*on),
        O::RcvBuf(n)
        | O::SndBuf(n)
        | O::RcvBufForce(n)
        | O::SndBufForce(n)
        | O::RcvLowat(n)
        | O::BufLock(n) => *n as i32,
        O::Mark(n) | O::Priority(n) | O::BusyPoll(n) | O::IpMtu(n) | O::IpLocalPortRange(n) => *n as i32,
        O::V6Mtu(n) | O::V6AddrPreferences(n) | O::TcpKeepIdle(n) | O::TcpKeepIntvl(n) => *n as i32,
        O::TcpKeepCnt(n) | O::TcpDeferAccept(n) | O::TcpWindowClamp(n) => *n as i32,
        O::TcpUserTimeout(n) | O::TcpNotSentLowat(n) | O::TcpFastOpen(n) => *n as i32,
        O::IpTos(n) | O::IpMulticastTtl(n) | O::IpMinTtl(n) | O::V6MinHopCount(n) | O::V6MulticastHops(n) => {
            i32::from(*n)
        }
        O::V6Tclass(n) | O::TcpSynCnt(n) => i32::from(*n),
        O::TcpMaxSeg(n) | O::UdpSegment(n) | O::UdpLiteSendCoverage(n) => i32::from(*n),
        O::UdpLiteRecvCoverage(n) => i32::from(*n),
        O::IpTtl(n) | O::V6UnicastHops(n) => n.map_or(-1, i32::from),
        O::V6Checksum(offset) => offset.map_or(-1, i32::from),
        O::TcpLinger2(n) | O::IncomingCpu(n) => *n,
        O::IpMtuDiscover(mode) | O::V6MtuDiscover(mode) => *mode as i32,
        O::BindToDevice(d) | O::V6MulticastIf(d) => dev(d),
        O::Error(error) => error.map_or(0, crate::errno::of),
        O::Linger(_)
        | O::AttachFilter(_)
        | O::AttachReuseportFilter(_)
        | O::DetachFilter(())
        | O::MaxPacingRate(_) => return None,
        O::DetachReuseportFilter(()) => return None,
        O::JoinSource(_) | O::LeaveSource(_) | O::BlockSource(_) | O::UnblockSource(_) => return None,
        O::SourceFilter(_) | O::MemInfo(_) => return None,
        O::IpMulticastIf(_) | O::IpAddMembership(_) | O::IpDropMembership(_) | O::IpOptions(_) => {
            return None;
        }
        O::V6AddMembership(_) | O::V6DropMembership(_) | O::IcmpFilter(_) | O::Icmp6Filter(_) => return None,
        O::TcpCongestion(_) | O::TcpInfo(_) | O::TcpCcInfo(_) | O::TcpFastOpenKey(_) => return None,
    })
}

fn on_off(on: bool) -> i32 {
    i32::from(on)
}
