//! Control messages with a datagram to send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netspace_base::DevId;
use netspace_stack::sock::{Family, SendControl, SockType};

use super::{HEADER_LEN, align};
use crate::bytes_at::{array, i32_at, u16_at, u32_at, u64_at};
use crate::errno::{EINVAL, Errno};
use crate::option::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_UDP};
use crate::sockaddr::SockKind;

const SO_TIMESTAMPING: i32 = 37;
const SO_TIMESTAMPING_NEW: i32 = 65;
const SO_MARK: i32 = 36;
const SO_PRIORITY: i32 = 12;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const UDP_SEGMENT: i32 = 103;
/// `IP_PROTOCOL`: for raw sockets of protocol 255.
const IP_PROTOCOL: i32 = 52;

/// One control message.
struct Cmsg<'a> {
    level: i32,
    ty: i32,
    data: &'a [u8],
}

/// Walks the messages. A header that claims fewer bytes than itself, or more than there are, ends it with an error.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = Result<Cmsg<'_>, Errno>> {
    std::iter::from_fn(move || {
        if rest.len() < HEADER_LEN {
            return None;
        }
        let len = u64_at(rest, 0).and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        if len < HEADER_LEN || len > rest.len() {
            rest = &[];
            return Some(Err(EINVAL));
        }
        let (level, ty) = (i32_at(rest, 8)?, i32_at(rest, 12)?);
        let data = &rest[HEADER_LEN..len];
        rest = rest.get(align(len)..).unwrap_or_default();
        Some(Ok(Cmsg { level, ty, data }))
    })
}

/// Reads the control messages of a sendmsg call on a socket of `kind`. `to_v4` tells that the datagram goes to an IPv4
/// address (from an `AF_INET6` socket, too): then IPv4's messages count, else IPv6's. Messages of other levels are
/// passed over; unknown ones of these levels are `EINVAL`.
pub fn parse(bytes: &[u8], kind: SockKind, to_v4: bool) -> Result<SendControl, Errno> {
    let mut control = SendControl::default();
    let ip_level = if kind.family == Family::Inet || to_v4 { SOL_IP } else { SOL_IPV6 };
    for message in messages(bytes) {
        let message = message?;
        match message.level {
            SOL_SOCKET => socket(&message, &mut control)?,
            // A stream's control messages beyond the socket level are not looked at.
            _ if kind.ty == SockType::Stream => {}
            SOL_UDP if kind.is_udp() => udp(&message, &mut control)?,
            SOL_IP if ip_level == SOL_IP => ip(&message, &mut control)?,
            SOL_IPV6 if ip_level == SOL_IPV6 => ipv6(&message, &mut control)?,
            // From an IPv6 socket to an IPv4 address, the source may still be told the IPv6 way, mapped.
            SOL_IPV6 if kind.family == Family::Inet6 && message.ty == libc::IPV6_PKTINFO => {
                mapped_pktinfo(&message, &mut control)?;
            }
            _ => {}
        }
    }
    Ok(control)
}

fn socket(message: &Cmsg<'_>, control: &mut SendControl) -> Result<(), Errno> {
    match message.ty {
        SO_MARK => control.mark = Some(exact(message, 4).and_then(|d| u32_at(d, 0).ok_or(EINVAL))?),
        SO_PRIORITY => control.priority = Some(exact(message, 4).and_then(|d| u32_at(d, 0).ok_or(EINVAL))?),
        SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
            exact(message, 4)?;
        }
        SCM_RIGHTS | SCM_CREDENTIALS => {}
        _ => return Err(EINVAL),
    }
    Ok(())
}

fn udp(message: &Cmsg<'_>, control: &mut SendControl) -> Result<(), Errno> {
    if message.ty != UDP_SEGMENT {
        return Err(EINVAL);
    }
    control.gso_size = Some(exact(message, 2).and_then(|d| u16_at(d, 0).ok_or(EINVAL))?);
    Ok(())
}

fn ip(message: &Cmsg<'_>, control: &mut SendControl) -> Result<(), Errno> {
    match message.ty {
        libc::IP_PKTINFO => {
            let data = exact(message, 12)?;
            set_dev(u32_at(data, 0), control)?;
            let source = Ipv4Addr::from(array::<4>(data, 4).ok_or(EINVAL)?);
            control.source = Some(IpAddr::V4(source)).filter(|a| !a.is_unspecified());
        }
        libc::IP_TTL => control.ttl = Some(byte(message, 1)?),
        libc::IP_TOS if message.data.len() == 1 => control.tos = Some(message.data[0]),
        libc::IP_TOS => control.tos = Some(byte(message, 0)?),
        // Options to send: valid ones are accepted; the stack sends none from here.
        libc::IP_RETOPTS if message.data.len() <= 40 => {}
        IP_PROTOCOL => {
            byte(message, 1)?;
        }
        _ => return Err(EINVAL),
    }
    Ok(())
}

fn ipv6(message: &Cmsg<'_>, control: &mut SendControl) -> Result<(), Errno> {
    /// `IPV6_2292PKTINFO`, `IPV6_2292HOPLIMIT`: the numbers before RFC 3542.
    const OLD_PKTINFO: i32 = 2;
    const OLD_HOPLIMIT: i32 = 8;
    match message.ty {
        libc::IPV6_PKTINFO | OLD_PKTINFO => {
            if message.data.len() < 20 {
                return Err(EINVAL);
            }
            let source = Ipv6Addr::from(array::<16>(message.data, 0).ok_or(EINVAL)?);
            set_dev(u32_at(message.data, 16), control)?;
            control.source = Some(IpAddr::V6(source)).filter(|a| !a.is_unspecified());
        }
        libc::IPV6_HOPLIMIT | OLD_HOPLIMIT => control.ttl = byte_or_default(message)?,
        libc::IPV6_TCLASS => control.tos = byte_or_default(message)?,
        libc::IPV6_DONTFRAG => control.dont_fragment = Some(byte(message, 0).and_then(zero_or_one)?),
        // A flow label with the address, extension headers: well-formed ones are accepted.
        libc::IPV6_FLOWINFO if message.data.len() >= 4 => {}
        _ => return Err(EINVAL),
    }
    Ok(())
}

fn mapped_pktinfo(message: &Cmsg<'_>, control: &mut SendControl) -> Result<(), Errno> {
    let data = exact(message, 20)?;
    let source = Ipv6Addr::from(array::<16>(data, 0).ok_or(EINVAL)?);
    let source = source.to_ipv4_mapped().ok_or(EINVAL)?;
    set_dev(u32_at(data, 16), control)?;
    control.source = Some(IpAddr::V4(source)).filter(|a| !a.is_unspecified());
    Ok(())
}

fn set_dev(index: Option<u32>, control: &mut SendControl) -> Result<(), Errno> {
    let index = index.ok_or(EINVAL)?;
    if index != 0 {
        control.dev = Some(DevId(index));
    }
    Ok(())
}

fn exact<'a>(message: &Cmsg<'a>, len: usize) -> Result<&'a [u8], Errno> {
    if message.data.len() == len { Ok(message.data) } else { Err(EINVAL) }
}

/// An int from `low` to 255.
fn byte(message: &Cmsg<'_>, low: u8) -> Result<u8, Errno> {
    let value = i32_at(exact(message, 4)?, 0).ok_or(EINVAL)?;
    u8::try_from(value).ok().filter(|&v| v >= low).ok_or(EINVAL)
}

/// An int from 0 to 255, or -1 for the socket's own.
fn byte_or_default(message: &Cmsg<'_>) -> Result<Option<u8>, Errno> {
    if message.data == (-1i32).to_ne_bytes() { Ok(None) } else { byte(message, 0).map(Some) }
}

const fn zero_or_one(value: u8) -> Result<bool, Errno> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U4: SockKind = SockKind { family: Family::Inet, ty: SockType::Dgram, protocol: 17 };
    const U6: SockKind = SockKind { family: Family::Inet6, ty: SockType::Dgram, protocol: 17 };

    fn cmsg(level: i32, ty: i32, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend((HEADER_LEN + data.len()).to_ne_bytes());
        out.extend(level.to_ne_bytes());
        out.extend(ty.to_ne_bytes());
        out.extend(data);
        out.resize(align(out.len()), 0);
        out
    }

    #[test]
    fn several_messages_in_one_call() {
        let bytes = [
            cmsg(SOL_IP, 8, &[2, 0, 0, 0, 192, 0, 2, 1, 9, 9, 9, 9]),
            cmsg(SOL_IP, 2, &5i32.to_ne_bytes()),
            cmsg(SOL_IP, 1, &[0x10]),
            cmsg(SOL_SOCKET, 36, &7u32.to_ne_bytes()),
            cmsg(SOL_UDP, 103, &1400u16.to_ne_bytes()),
        ]
        .concat();
        let control = SendControl {
            source: Some("192.0.2.1".parse().unwrap()),
            dev: Some(DevId(2)),
            ttl: Some(5),
            tos: Some(0x10),
            mark: Some(7),
            priority: None,
            gso_size: Some(1400),
            dont_fragment: None,
        };
        assert_eq!(parse(&bytes, U4, true), Ok(control));
    }

    #[test]
    fn ipv6_messages() {
        let mut info = Ipv6Addr::LOCALHOST.octets().to_vec();
        info.extend(3u32.to_ne_bytes());
        let bytes = [
            cmsg(SOL_IPV6, 50, &info),
            cmsg(SOL_IPV6, 52, &64i32.to_ne_bytes()),
            cmsg(SOL_IPV6, 67, &(-1i32).to_ne_bytes()),
            cmsg(SOL_IPV6, 62, &1i32.to_ne_bytes()),
        ]
        .concat();
        let control = parse(&bytes, U6, false).expect("reads");
        assert_eq!(control.source, Some("::1".parse().unwrap()));
        assert_eq!((control.dev, control.ttl, control.tos), (Some(DevId(3)), Some(64), None));
        assert_eq!(control.dont_fragment, Some(true));
        assert_eq!(parse(&bytes, U4, true), Ok(SendControl::default()), "another level is passed over");
    }

    #[test]
    fn malformed_messages_are_refused() {
        let refused = |bytes: &[u8]| parse(bytes, U4, true) == Err(EINVAL);
        assert!(refused(&cmsg(SOL_IP, 2, &0i32.to_ne_bytes())));
        assert!(refused(&cmsg(SOL_IP, 2, &[5])));
        assert!(refused(&cmsg(SOL_IP, 8, &[0; 11])));
        assert!(refused(&cmsg(SOL_IP, 99, &[])));
        assert!(refused(&cmsg(SOL_SOCKET, 99, &[])));
        assert!(refused(&[0xff; 32]));
        assert!(refused(&[0; 16]));
        assert_eq!(parse(&[0; 15], U4, true), Ok(SendControl::default()), "too short for a header: none");
    }
}
