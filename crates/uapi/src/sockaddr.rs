//! `struct sockaddr_in` and `sockaddr_in6`, and what each call makes of short or foreign ones.
//!
//! | call | `AF_INET` socket | `AF_INET6` socket |
//! |---|---|---|
//! | bind | ≥ 16 bytes; `AF_UNSPEC` with 0.0.0.0 is taken as `AF_INET` | ≥ 24 bytes (without a scope, RFC 2133) |
//! | connect | ≥ 2 bytes, `AF_UNSPEC` dissolves; then ≥ 16 | likewise, then ≥ 24; datagram sockets take `AF_INET` too |
//! | send | ≥ 16 bytes; UDP and raw take `AF_UNSPEC` as `AF_INET` | UDP: `AF_INET` too, `AF_UNSPEC` means the peer |
//!
//! Too short is `EINVAL`, a family that does not belong there `EAFNOSUPPORT` (seen on Linux 6.18).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use netspace_stack::sock::{Family, SockType};

use crate::bytes_at::{array, u16_at, u32_at};
use crate::errno::{EAFNOSUPPORT, EINVAL, Errno};

const AF_UNSPEC: u16 = libc::AF_UNSPEC as u16;
const AF_INET: u16 = libc::AF_INET as u16;
const AF_INET6: u16 = libc::AF_INET6 as u16;

/// `sizeof(struct sockaddr_in)`.
pub const IN_LEN: usize = 16;
/// `sizeof(struct sockaddr_in6)`.
pub const IN6_LEN: usize = 28;
/// `sockaddr_in6` as RFC 2133 had it, without `sin6_scope_id`: still accepted.
const IN6_SHORT_LEN: usize = 24;
/// `sizeof(struct sockaddr_storage)`: longer addresses are refused by every call.
const STORAGE_LEN: usize = 128;

/// For which call an address is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// bind(2).
    Bind,
    /// connect(2).
    Connect,
    /// sendto(2), sendmsg(2).
    Send,
}

/// What sort of socket an address is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SockKind {
    /// Its family.
    pub family: Family,
    /// Its type.
    pub ty: SockType,
    /// Its protocol number (6, 17, 1, 58, …), never 0.
    pub protocol: u8,
}

impl SockKind {
    /// Whether it is a UDP or UDP-Lite socket.
    pub fn is_udp(self) -> bool {
        self.ty == SockType::Dgram
            && [libc::IPPROTO_UDP, libc::IPPROTO_UDPLITE].contains(&i32::from(self.protocol))
    }
}

/// An address as read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    /// An address. On an `AF_INET6` socket an IPv4 one was given as `AF_INET`, a mapped one stays IPv6.
    Addr(SocketAddr),
    /// `AF_UNSPEC`: connect dissolves the association, send takes the connected peer.
    Unspec,
}

/// Reads the address given to `call` on a socket of `kind`.
pub fn parse(bytes: &[u8], kind: SockKind, call: Call) -> Result<Parsed, Errno> {
    if bytes.len() > STORAGE_LEN {
        return Err(EINVAL);
    }
    match kind.family {
        Family::Inet => parse_inet(bytes, kind, call),
        Family::Inet6 => parse_inet6(bytes, kind, call),
    }
}

fn parse_inet(bytes: &[u8], kind: SockKind, call: Call) -> Result<Parsed, Errno> {
    if call == Call::Connect && u16_at(bytes, 0).ok_or(EINVAL)? == AF_UNSPEC {
        return Ok(Parsed::Unspec);
    }
    let addr = read_in(bytes).ok_or(EINVAL)?;
    let accepted = match u16_at(bytes, 0).ok_or(EINVAL)? {
        AF_INET => true,
        // Old programs forget to set the family: bind to any address, and plain sends, still work.
        AF_UNSPEC => match call {
            Call::Bind => addr.ip().is_unspecified(),
            Call::Connect => false,
            Call::Send => !is_ping(kind),
        },
        _ => false,
    };
    if accepted { Ok(Parsed::Addr(addr.into())) } else { Err(EAFNOSUPPORT) }
}

fn parse_inet6(bytes: &[u8], kind: SockKind, call: Call) -> Result<Parsed, Errno> {
    let udp = kind.ty == SockType::Dgram && !is_ping(kind);
    let family = u16_at(bytes, 0).ok_or(EINVAL)?;
    match (call, family) {
        (Call::Connect, AF_UNSPEC) => return Ok(Parsed::Unspec),
        (Call::Send, AF_UNSPEC) if udp => return Ok(Parsed::Unspec),
        // A datagram socket (raw and ping ones connect by the same code) talks IPv4 if told so.
        (Call::Connect, AF_INET) if kind.ty != SockType::Stream => return read_v4(bytes),
        (Call::Send, AF_INET) if udp => return read_v4(bytes),
        _ => {}
    }
    if call == Call::Send && is_ping(kind) && bytes.len() < IN6_LEN {
        return Err(EINVAL);
    }
    if bytes.len() < IN6_SHORT_LEN {
        // Only UDP's send looks at the family first; it has no other answer than EINVAL either way.
        return Err(EINVAL);
    }
    match family {
        AF_INET6 => {}
        AF_UNSPEC if call == Call::Send && kind.ty == SockType::Raw => {}
        _ if call == Call::Send && udp => return Err(EINVAL),
        _ => return Err(EAFNOSUPPORT),
    }
    let addr = read_in6(bytes).ok_or(EINVAL)?;
    Ok(Parsed::Addr(addr.into()))
}

fn is_ping(kind: SockKind) -> bool {
    kind.ty == SockType::Dgram
        && [libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6].contains(&libc::c_int::from(kind.protocol))
}

fn read_v4(bytes: &[u8]) -> Result<Parsed, Errno> {
    read_in(bytes).map(|addr| Parsed::Addr(addr.into())).ok_or(EINVAL)
}

/// The port and address of a `sockaddr_in`, whatever its family field says.
fn read_in(bytes: &[u8]) -> Option<SocketAddrV4> {
    if bytes.len() < IN_LEN {
        return None;
    }
    let port = u16::from_be_bytes(array(bytes, 2)?);
    Some(SocketAddrV4::new(Ipv4Addr::from(array::<4>(bytes, 4)?), port))
}

fn read_in6(bytes: &[u8]) -> Option<SocketAddrV6> {
    let port = u16::from_be_bytes(array(bytes, 2)?);
    let flowinfo = u32::from_be_bytes(array(bytes, 4)?);
    let addr = Ipv6Addr::from(array::<16>(bytes, 8)?);
    Some(SocketAddrV6::new(addr, port, flowinfo, u32_at(bytes, 24).unwrap_or(0)))
}

/// Any address from its bytes by its own family field, for places where no socket sets rules (`group_req`, ioctls).
pub fn parse_any(bytes: &[u8]) -> Option<SocketAddr> {
    match u16_at(bytes, 0)? {
        AF_INET => read_in(bytes).map(Into::into),
        AF_INET6 => read_in6(bytes).map(Into::into),
        _ => None,
    }
}

/// The bytes of an address as a socket of `family` tells it: on an `AF_INET6` socket IPv4 addresses are mapped
/// (`::ffff:a.b.c.d`).
pub fn emit(addr: SocketAddr, family: Family) -> Vec<u8> {
    match (addr, family) {
        (SocketAddr::V4(v4), Family::Inet) => emit_in(*v4.ip(), v4.port()),
        (SocketAddr::V4(v4), Family::Inet6) => emit_in6(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0),
        (SocketAddr::V6(v6), _) => emit_in6(*v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()),
    }
}

/// The bytes of an address without a port, in the family that it is of.
pub fn emit_ip(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => emit_in(v4, 0),
        IpAddr::V6(v6) => emit_in6(v6, 0, 0, 0),
    }
}

fn emit_in(addr: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(IN_LEN);
    out.extend(AF_INET.to_ne_bytes());
    out.extend(port.to_be_bytes());
    out.extend(addr.octets());
    out.resize(IN_LEN, 0);
    out
}

fn emit_in6(addr: Ipv6Addr, port: u16, flowinfo: u32, scope: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(IN6_LEN);
    out.extend(AF_INET6.to_ne_bytes());
    out.extend(port.to_be_bytes());
    out.extend(flowinfo.to_be_bytes());
    out.extend(addr.octets());
    out.extend(scope.to_ne_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn kind(family: Family, ty: SockType, protocol: u8) -> SockKind {
        SockKind { family, ty, protocol }
    }
    const TCP4: SockKind = kind(Family::Inet, SockType::Stream, 6);
    const UDP4: SockKind = kind(Family::Inet, SockType::Dgram, 17);
    const PING4: SockKind = kind(Family::Inet, SockType::Dgram, 1);
    const TCP6: SockKind = kind(Family::Inet6, SockType::Stream, 6);
    const UDP6: SockKind = kind(Family::Inet6, SockType::Dgram, 17);

    fn sin(family: u16) -> Vec<u8> {
        let mut bytes = emit("192.0.2.1:80".parse().unwrap(), Family::Inet);
        bytes[..2].copy_from_slice(&family.to_ne_bytes());
        bytes
    }

    fn sin6(family: u16) -> Vec<u8> {
        let mut bytes = emit("[2001:db8::1]:80".parse().unwrap(), Family::Inet6);
        bytes[..2].copy_from_slice(&family.to_ne_bytes());
        bytes
    }

    #[test]
    fn layouts_are_linux_s() {
        assert_eq!(sin(AF_INET), [2, 0, 0, 80, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0x12345, 7);
        let bytes = emit(scoped.into(), Family::Inet6);
        assert_eq!(bytes[..8], [10, 0, 1, 187, 0, 1, 0x23, 0x45]);
        assert_eq!(bytes[24..], 7u32.to_ne_bytes());
        assert_eq!(parse(&bytes, TCP6, Call::Bind), Ok(Parsed::Addr(scoped.into())));
        let mapped = emit("192.0.2.1:80".parse().unwrap(), Family::Inet6);
        assert_eq!(mapped[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    }

    #[test]
    fn short_and_foreign_addresses_fail_as_on_linux() {
        assert_eq!(parse(&sin(AF_INET)[..15], TCP4, Call::Bind), Err(EINVAL));
        assert_eq!(parse(&sin(AF_INET6), TCP4, Call::Bind), Err(EAFNOSUPPORT));
        assert_eq!(parse(&sin(AF_UNSPEC), TCP4, Call::Bind), Err(EAFNOSUPPORT));
        assert_eq!(parse(&[0; 16], TCP4, Call::Bind), Ok(Parsed::Addr("0.0.0.0:0".parse().unwrap())));
        assert_eq!(parse(&[0, 0], TCP4, Call::Connect), Ok(Parsed::Unspec));
        assert_eq!(parse(&[0], TCP4, Call::Connect), Err(EINVAL));
        assert_eq!(parse(&[0; 200], TCP4, Call::Connect), Err(EINVAL));
        assert_eq!(parse(&sin6(AF_INET6)[..24], TCP6, Call::Bind), parse(&sin6(AF_INET6), TCP6, Call::Bind));
        assert_eq!(parse(&sin6(AF_INET6)[..23], TCP6, Call::Bind), Err(EINVAL));
        assert_eq!(parse(&sin(AF_INET), TCP6, Call::Bind), Err(EINVAL));
        assert_eq!(parse(&sin6(AF_INET), TCP6, Call::Connect), Err(EAFNOSUPPORT));
    }

    #[test]
    fn datagrams_are_more_lenient() {
        let v4 = Ok(Parsed::Addr("192.0.2.1:80".parse().unwrap()));
        assert_eq!(parse(&sin(AF_UNSPEC), UDP4, Call::Send), v4);
        assert_eq!(parse(&sin(AF_UNSPEC), PING4, Call::Send), Err(EAFNOSUPPORT));
        assert_eq!(parse(&sin(AF_INET), UDP6, Call::Send), v4);
        assert_eq!(parse(&sin(AF_INET), UDP6, Call::Connect), v4);
        assert_eq!(parse(&[0, 0], UDP6, Call::Send), Ok(Parsed::Unspec));
        assert_eq!(parse(&sin6(99), UDP6, Call::Send), Err(EINVAL));
    }
}
