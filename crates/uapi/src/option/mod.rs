//! Socket options: what setsockopt(2) and getsockopt(2) carry, and the stack's words for it.
//!
//! ```text
//! setsockopt(level, number, bytes) ─▶ set ─▶ Set::Stack(SockOpt)   the stack's: Netns::set_option
//!                                        ├─▶ Set::Timeout(…)       the door's own (see DoorOption)
//!                                        └─▶ Set::Ignored
//! getsockopt(level, number, room)  ─▶ get ─▶ Get::Stack(OptName) ─▶ Netns::option ─▶ emit ─▶ bytes
//!                                        └─▶ Get::Door(…) ─▶ emit_int, emit_timeval, …
//! ```
//! How many bytes each level takes and gives differs, and is as seen on Linux 6.18: `IP_*` values may be one byte long,
//! all others need an int; what does not fit the caller's room is cut.

pub(crate) mod cc_info;
mod multicast;
mod table;
mod tcp_info;
mod value;

use std::time::Duration;

pub use multicast::{emit_filter, filter_request};
use netspace_base::DevId;
use netspace_stack::sock::{BpfInsn, Family, OptName, SockOpt, SockType};
pub use table::{Access, Codec, DoorOption, Owner, Row, row, rows};
pub use table::{SOL_ICMPV6, SOL_IP, SOL_IPV6, SOL_RAW, SOL_SOCKET, SOL_TCP, SOL_UDP, SOL_UDPLITE};
pub(crate) use tcp_info::emit as tcp_info_bytes;
pub(crate) use value::filter;
pub use value::{INSN_LEN, filter_program};

use crate::errno::{EINVAL, ENOPROTOOPT, EOPNOTSUPP, Errno};
use crate::sockaddr::SockKind;

/// `IP_UNICAST_IF`, `IP_LOCAL_PORT_RANGE`.
const IP_UNICAST_IF: i32 = 50;
const IP_LOCAL_PORT_RANGE: i32 = 51;

/// How options name devices.
pub trait Devices {
    /// The device of that name.
    fn index(&self, name: &str) -> Option<DevId>;
    /// A device's name.
    fn name(&self, dev: DevId) -> Option<String>;
}

/// What a setsockopt call asks for.
#[derive(Clone, PartialEq, Debug)]
pub enum Set {
    /// Give it to the stack.
    Stack(SockOpt),
    /// The door keeps a timeout (`RecvTimeout` or `SendTimeout`); none: wait for ever.
    Timeout(DoorOption, Option<Duration>),
    /// Accepted, without effect.
    Ignored,
}

/// Who can answer a getsockopt call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Get {
    /// The stack: ask it, then [`emit`].
    Stack(OptName),
    /// The door.
    Door(DoorOption),
    /// Always this number.
    Fixed(i32),
    /// `IP_MSFILTER`, `MCAST_MSFILTER`: read the caller's value by [`filter_request`], ask the stack's `source_filter`, then
    /// [`emit_filter`].
    SourceFilter,
}

/// The name of an option as programs write it, for traces (`SOL_IP`, `IP_TTL`).
pub fn name(level: i32, number: i32) -> Option<&'static str> {
    row(level, number).map(|row| row.name)
}

/// Reads the value of a setsockopt call on a socket of `kind`. For `SO_ATTACH_FILTER` the bytes are the program itself
/// (see [`filter_program`]).
pub fn set(
    kind: SockKind,
    level: i32,
    number: i32,
    bytes: &[u8],
    devices: &dyn Devices,
) -> Result<Set, Errno> {
    if !has_level(kind, level) {
        return Err(ENOPROTOOPT);
    }
    if is_too_short(kind, level, number, bytes) {
        return Err(EINVAL);
    }
    let row = row(level, number).filter(|row| row.access != Access::Read).ok_or(ENOPROTOOPT)?;
    check_kind(kind, row)?;
    set_kind(kind, row)?;
    match row.owner {
        Owner::Refused(errno) => Err(errno),
        Owner::Fixed(_) => value::int(level, bytes).map(|_| Set::Ignored),
        Owner::Door(option) => value::timeval(bytes).map(|timeout| Set::Timeout(option, timeout)),
        Owner::Stack(_, codec) => value::read(codec, level, bytes, devices).map(Set::Stack),
    }
}

/// Who answers a getsockopt call on a socket of `kind`.
pub fn get(kind: SockKind, level: i32, number: i32) -> Result<Get, Errno> {
    if !has_level(kind, level) {
        return Err(if kind.family == Family::Inet { EOPNOTSUPP } else { ENOPROTOOPT });
    }
    if (level, number) == (SOL_SOCKET, libc::SO_ATTACH_FILTER) {
        return Ok(Get::Door(DoorOption::GetFilter));
    }
    let row = row(level, number).filter(|row| row.access != Access::Write).ok_or(ENOPROTOOPT)?;
    check_kind(kind, row)?;
    Ok(match row.owner {
        Owner::Refused(errno) => return Err(errno),
        Owner::Fixed(value) => Get::Fixed(value),
        Owner::Door(option) => Get::Door(option),
        Owner::Stack(OptName::SourceFilter, _) => Get::SourceFilter,
        Owner::Stack(name, _) => Get::Stack(name),
    })
}

/// The bytes of the stack's answer to a getsockopt call, cut to the caller's `room`; their number is the `optlen` that
/// the caller gets back.
pub fn emit(
    level: i32,
    number: i32,
    answer: &SockOpt,
    room: usize,
    devices: &dyn Devices,
) -> Result<Vec<u8>, Errno> {
    let Some(Row { owner: Owner::Stack(_, codec), .. }) = row(level, number) else { return Err(ENOPROTOOPT) };
    value::write(*codec, level, answer, room, devices)
}

/// The bytes of a filter's program, as `SO_GET_FILTER` gives them.
pub fn emit_filter_program(insns: &[BpfInsn]) -> Vec<u8> {
    let insn = |i: &BpfInsn| {
        let [code0, code1] = i.code.to_ne_bytes();
        let [k0, k1, k2, k3] = i.k.to_ne_bytes();
        [code0, code1, i.jt, i.jf, k0, k1, k2, k3]
    };
    insns.iter().flat_map(insn).collect()
}

/// The bytes of an int answer, cut to the caller's room. `IP_*` answers shrink to one byte where it is enough.
pub fn emit_int(level: i32, value: i32, room: usize) -> Vec<u8> {
    value::write_int(level, value, room)
}

/// The bytes of a timeout (`struct timeval`), cut to the caller's room; none is zero.
pub fn emit_timeval(timeout: Option<Duration>, room: usize) -> Vec<u8> {
    value::write_timeval(timeout, room)
}

/// The bytes of `SO_PEERCRED` on a socket that has none: pid 0, uid and gid -1.
pub fn emit_no_peercred(room: usize) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    out.truncate(room);
    out
}

/// Whether the value is shorter than the int that is read before Linux looks at the option's number.
fn is_too_short(kind: SockKind, level: i32, number: i32, bytes: &[u8]) -> bool {
    let reads_int_first = match level {
        SOL_SOCKET => number != libc::SO_BINDTODEVICE,
        SOL_IP => matches!(number, IP_UNICAST_IF | IP_LOCAL_PORT_RANGE),
        SOL_TCP => ![libc::TCP_CONGESTION, libc::TCP_ULP, libc::TCP_FASTOPEN_KEY].contains(&number),
        SOL_UDP | SOL_UDPLITE => true,
        SOL_RAW => kind.family == Family::Inet6,
        _ => false,
    };
    reads_int_first && bytes.len() < size_of::<i32>()
}

/// Options that only some sockets of a level can set.
fn set_kind(kind: SockKind, row: &Row) -> Result<(), Errno> {
    let Owner::Stack(name, _) = row.owner else { return Ok(()) };
    match name {
        OptName::IpNoDefrag if kind.ty != SockType::Raw => Err(ENOPROTOOPT),
        OptName::IpRecvFragSize | OptName::IpMulticastIf if kind.ty == SockType::Stream => Err(EINVAL),
        _ => Ok(()),
    }
}

/// Whether a socket of `kind` knows options of `level` at all.
fn has_level(kind: SockKind, level: i32) -> bool {
    match level {
        SOL_SOCKET => true,
        // IPv4's options work on IPv6 sockets too, for their mapped traffic; raw ones have none.
        SOL_IP => kind.family == Family::Inet || kind.ty != SockType::Raw,
        SOL_IPV6 => kind.family == Family::Inet6,
        SOL_TCP => kind.ty == SockType::Stream,
        SOL_UDP | SOL_UDPLITE => kind.is_udp(),
        SOL_RAW => kind.ty == SockType::Raw,
        SOL_ICMPV6 => kind.ty == SockType::Raw && kind.family == Family::Inet6,
        _ => false,
    }
}

/// Options that only some sockets of a level have.
fn check_kind(kind: SockKind, row: &Row) -> Result<(), Errno> {
    let Owner::Stack(name, _) = row.owner else { return Ok(()) };
    let protocol = i32::from(kind.protocol);
    let stream = kind.ty == SockType::Stream;
    match name {
        OptName::IcmpFilter if kind.family == Family::Inet6 => Err(ENOPROTOOPT),
        OptName::IcmpFilter if protocol != libc::IPPROTO_ICMP => Err(EOPNOTSUPP),
        OptName::Icmp6Filter if protocol != libc::IPPROTO_ICMPV6 => Err(EOPNOTSUPP),
        OptName::V6Checksum if kind.ty != SockType::Raw || kind.family == Family::Inet => Err(ENOPROTOOPT),
        // The protocol has its checksum in a known place; only the old level may repeat it (RFC 3542 3.1).
        OptName::V6Checksum if protocol == libc::IPPROTO_ICMPV6 && row.level == SOL_IPV6 => Err(EINVAL),
        OptName::TxRehash if !stream => Err(EOPNOTSUPP),
        OptName::IpAddMembership | OptName::IpDropMembership if stream => Err(Errno(libc::EPROTO)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
