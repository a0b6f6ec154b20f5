//! Control messages with a received datagram.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use netspace_base::Instant;
use netspace_stack::sock::{ErrorOrigin, ExtendedError, Family, OptName, RecvControl, SockOpt};

use super::{HEADER_LEN, align};
use crate::errno;
use crate::option::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_UDP};
use crate::sockaddr;

/// `IPV6_RECVERR`.
const IPV6_RECVERR: i32 = 25;
/// Control messages as they were before RFC 3542.
const IPV6_2292PKTINFO: i32 = 2;
const IPV6_2292HOPLIMIT: i32 = 8;
/// `UDP_GRO`.
const UDP_GRO: i32 = 104;
/// `IP_ORIGDSTADDR`.
const IP_ORIGDSTADDR: i32 = 20;
const IP_RECVFRAGSIZE: i32 = 25;
const IPV6_ORIGDSTADDR: i32 = 74;
const IPV6_RECVFRAGSIZE: i32 = 77;
/// `SO_TIMESTAMP`, which is also `SCM_TIMESTAMP`.
const SCM_TIMESTAMP: i32 = 29;
const SCM_TIMESTAMPNS: i32 = 35;
const SO_RXQ_OVFL: i32 = 40;

macro_rules! wanted {
    ($($field:ident $option:ident;)*) => {
        /// Which control messages a socket's options ask for.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct Wanted {
            /// The socket's family.
            pub family: Family,
            $(#[doc = concat!("[`OptName::", stringify!($option), "`] is on.")] pub $field: bool,)*
        }

        impl Wanted {
            /// None.
            pub const fn none(family: Family) -> Self {
                Self { family, $($field: false,)* }
            }

            /// What the socket's options say; `option` asks the stack for one.
            pub fn of(family: Family, option: impl Fn(OptName) -> Option<SockOpt>) -> Self {
                Self {
                    family,
                    $($field: matches!(option(OptName::$option), Some(SockOpt::$option(true))),)*
                }
            }

            /// Whether none is wanted (errors come with their message in any case).
            pub fn is_none(&self) -> bool {
                *self == Self::none(self.family)
            }
        }
    };
}

wanted! {
    timestamp Timestamp;
    timestamp_ns TimestampNs;
    rxq_ovfl RxqOvfl;
    mark RcvMark;
    priority RcvPriority;
    gro UdpGro;
    pktinfo IpPktInfo;
    ttl IpRecvTtl;
    tos IpRecvTos;
    orig_dst IpRecvOrigDstAddr;
    frag_size IpRecvFragSize;
    v6_pktinfo V6RecvPktInfo;
    v6_hop_limit V6RecvHopLimit;
    v6_old_pktinfo V6OldPktInfo;
    v6_old_hop_limit V6OldHopLimit;
    v6_tclass V6RecvTclass;
    v6_orig_dst V6RecvOrigDstAddr;
    v6_frag_size V6RecvFragSize;
}

/// The buffer for control messages, filled as the kernel's `put_cmsg` fills it: what does not fit is cut, and the cut told.
pub(crate) struct Buffer {
    out: Vec<u8>,
    room: usize,
    truncated: bool,
}

impl Buffer {
    /// Room for `room` bytes.
    pub(crate) const fn new(room: usize) -> Self {
        Self { out: Vec::new(), room, truncated: false }
    }

    /// The bytes, and whether something was cut or left out.
    pub(crate) fn finish(self) -> (Vec<u8>, bool) {
        (self.out, self.truncated)
    }

    pub(crate) fn put(&mut self, level: i32, ty: i32, data: &[u8]) {
        let left = self.room - self.out.len();
        if left < HEADER_LEN {
            self.truncated = true;
            return;
        }
        let whole = HEADER_LEN + data.len();
        let len = whole.min(left);
        self.truncated |= len < whole;
        self.out.extend(len.to_ne_bytes());
        self.out.extend(level.to_ne_bytes());
        self.out.extend(ty.to_ne_bytes());
        self.out.extend(&data[..len - HEADER_LEN]);
        let padded = align(self.out.len()).min(self.room);
        self.out.resize(padded, 0);
    }

    fn put_int(&mut self, level: i32, ty: i32, value: i32) {
        self.put(level, ty, &value.to_ne_bytes());
    }
}

/// The control messages that `wanted` asks for, at most `room` bytes, and whether some were cut or left out
/// (`MSG_CTRUNC`). `epoch` is the wall clock's time at the lab's start.
///
/// Their order is Linux's: timestamp, drops, mark, priority, GRO, packet information, TTL, TOS, original destination, error.
pub fn emit(control: &RecvControl, wanted: &Wanted, epoch: Duration, room: usize) -> (Vec<u8>, bool) {
    let mut buffer = Buffer::new(room);
    put_timestamp(&mut buffer, control.at, wanted, epoch);
    let Some(error) = &control.error else {
        if wanted.rxq_ovfl && control.drops > 0 {
            buffer.put(SOL_SOCKET, SO_RXQ_OVFL, &control.drops.to_ne_bytes());
        }
        if wanted.mark {
            buffer.put(SOL_SOCKET, libc::SO_MARK, &control.mark.to_ne_bytes());
        }
        if wanted.priority {
            buffer.put(SOL_SOCKET, libc::SO_PRIORITY, &control.priority.to_ne_bytes());
        }
        if let (true, Some(size)) = (wanted.gro, control.gro_size) {
            buffer.put_int(SOL_UDP, UDP_GRO, i32::from(size));
        }
        put_ip(&mut buffer, control, wanted);
        return buffer.finish();
    };
    // An error made here carries no packet to tell about.
    if error.origin != ErrorOrigin::Local {
        put_ip(&mut buffer, control, wanted);
    }
    put_error(&mut buffer, error, wanted.family);
    buffer.finish()
}

fn put_timestamp(buffer: &mut Buffer, at: Instant, wanted: &Wanted, epoch: Duration) {
    put_moment(buffer, epoch + Duration::from_nanos(at.as_nanos()), wanted.timestamp_ns, wanted.timestamp);
}

/// `SCM_TIMESTAMPNS` or else `SCM_TIMESTAMP`, as the options ask.
pub(crate) fn put_moment(buffer: &mut Buffer, since_epoch: Duration, nanoseconds: bool, microseconds: bool) {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let (ty, fraction) = match (nanoseconds, microseconds) {
        (true, _) => (SCM_TIMESTAMPNS, since_epoch.subsec_nanos()),
        (false, true) => (SCM_TIMESTAMP, since_epoch.subsec_micros()),
        (false, false) => return,
    };
    buffer.put(SOL_SOCKET, ty, &[seconds.to_ne_bytes(), i64::from(fraction).to_ne_bytes()].concat());
}

/// What IP tells. An IPv6 socket tells IPv4 packets' destination mapped, and the rest by IPv4's options.
fn put_ip(buffer: &mut Buffer, control: &RecvControl, wanted: &Wanted) {
    match control.to {
        Some(IpAddr::V4(to)) => {
            if wanted.family == Family::Inet6 && wanted.v6_pktinfo {
                put_pktinfo6(buffer, libc::IPV6_PKTINFO, to.to_ipv6_mapped(), control.dev.0);
            }
            put_ip4(buffer, control, wanted, to);
        }
        Some(IpAddr::V6(to)) => put_ip6(buffer, control, wanted, to),
        None => {}
    }
}

fn put_ip4(buffer: &mut Buffer, control: &RecvControl, wanted: &Wanted, to: Ipv4Addr) {
    if wanted.pktinfo {
        let local = match (control.local, &control.error) {
            // The packet about an error was not routed to the socket: Linux leaves the field 0.
            (_, Some(_)) => Ipv4Addr::UNSPECIFIED,
            (Some(IpAddr::V4(local)), None) => local,
            (_, None) => to,
        };
        let info = [control.dev.0.to_ne_bytes(), local.octets(), to.octets()].concat();
        buffer.put(SOL_IP, libc::IP_PKTINFO, &info);
    }
    if wanted.ttl {
        buffer.put_int(SOL_IP, libc::IP_TTL, i32::from(control.ttl));
    }
    if wanted.tos {
        buffer.put(SOL_IP, libc::IP_TOS, &[control.tos]);
    }
    if wanted.orig_dst {
        let addr = sockaddr::emit((to, control.to_port).into(), Family::Inet);
        buffer.put(SOL_IP, IP_ORIGDSTADDR, &addr);
    }
    if wanted.frag_size && control.frag_size != 0 {
        buffer.put_int(SOL_IP, IP_RECVFRAGSIZE, i32::from(control.frag_size));
    }
}

fn put_ip6(buffer: &mut Buffer, control: &RecvControl, wanted: &Wanted, to: Ipv6Addr) {
    if wanted.v6_pktinfo {
        put_pktinfo6(buffer, libc::IPV6_PKTINFO, to, control.dev.0);
    }
    if wanted.v6_hop_limit {
        buffer.put_int(SOL_IPV6, libc::IPV6_HOPLIMIT, i32::from(control.ttl));
    }
    if wanted.v6_tclass {
        buffer.put_int(SOL_IPV6, libc::IPV6_TCLASS, i32::from(control.tos));
    }
    if wanted.v6_old_pktinfo {
        put_pktinfo6(buffer, IPV6_2292PKTINFO, to, control.dev.0);
    }
    if wanted.v6_old_hop_limit {
        buffer.put_int(SOL_IPV6, IPV6_2292HOPLIMIT, i32::from(control.ttl));
    }
    if wanted.v6_orig_dst {
        let addr = sockaddr::emit((to, control.to_port).into(), Family::Inet6);
        buffer.put(SOL_IPV6, IPV6_ORIGDSTADDR, &addr);
    }
    if wanted.v6_frag_size && control.frag_size != 0 {
        buffer.put_int(SOL_IPV6, IPV6_RECVFRAGSIZE, i32::from(control.frag_size));
    }
}

fn put_pktinfo6(buffer: &mut Buffer, ty: i32, to: Ipv6Addr, dev: u32) {
    let mut info = to.octets().to_vec();
    info.extend(dev.to_ne_bytes());
    buffer.put(SOL_IPV6, ty, &info);
}

/// `struct sock_extended_err` and the offender's address behind it (`AF_UNSPEC` if this host reported the error).
fn put_error(buffer: &mut Buffer, error: &ExtendedError, family: Family) {
    let origin = match error.origin {
        ErrorOrigin::Local => 1,
        ErrorOrigin::Icmp => 2,
        ErrorOrigin::Icmp6 => 3,
    };
    let mut data = errno::of(error.error).to_ne_bytes().to_vec();
    data.extend([origin, error.icmp_type, error.icmp_code, 0]);
    data.extend(error.info.to_ne_bytes());
    data.extend(0u32.to_ne_bytes());
    let offender = match (error.offender, family) {
        (Some(IpAddr::V4(v4)), Family::Inet6) => sockaddr::emit_ip(v4.to_ipv6_mapped().into()),
        (Some(addr), _) => sockaddr::emit_ip(addr),
        (None, _) => Vec::new(),
    };
    data.extend(offender);
    let (level, ty, len) = match family {
        Family::Inet => (SOL_IP, libc::IP_RECVERR, 16 + sockaddr::IN_LEN),
        Family::Inet6 => (SOL_IPV6, IPV6_RECVERR, 16 + sockaddr::IN6_LEN),
    };
    data.resize(len, 0);
    buffer.put(level, ty, &data);
}

#[cfg(test)]
mod tests {
    use netspace_base::DevId;
    use netspace_stack::sock::SockError;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn control() -> RecvControl {
        RecvControl {
            to: Some("127.0.0.1".parse().unwrap()),
            local: Some("127.0.0.1".parse().unwrap()),
            to_port: 5000,
            dev: DevId(1),
            ttl: 64,
            tos: 0x10,
            at: Instant::from_nanos(1_500_000_123),
            ..RecvControl::default()
        }
    }

    #[test]
    fn all_messages_in_linux_s_order() {
        let wanted = Wanted {
            timestamp: true,
            pktinfo: true,
            ttl: true,
            tos: true,
            orig_dst: true,
            ..Wanted::none(Family::Inet)
        };
        let (bytes, truncated) = emit(&control(), &wanted, Duration::from_secs(1000), 1000);
        assert!(!truncated);
        let expected = [
            // len, level, type, seconds, microseconds
            "2000000000000000",
            "01000000",
            "1d000000",
            "e903000000000000",
            "20a1070000000000",
            // len, SOL_IP, IP_PKTINFO, ifindex, spec_dst, addr, padding
            "1c00000000000000",
            "00000000",
            "08000000",
            "01000000",
            "7f000001",
            "7f000001",
            "00000000",
            "1400000000000000",
            "00000000",
            "02000000",
            "40000000",
            "00000000",
            "1100000000000000",
            "00000000",
            "01000000",
            "10",
            "00000000000000",
            "2000000000000000",
            "00000000",
            "14000000",
            "0200",
            "1388",
            "7f000001",
            "0000000000000000",
        ];
        assert_eq!(hex(&bytes), expected.concat());
    }

    #[test]
    fn a_short_buffer_is_cut_and_told() {
        let wanted = Wanted { pktinfo: true, ttl: true, ..Wanted::none(Family::Inet) };
        for room in 0..=56 {
            let (bytes, truncated) = emit(&control(), &wanted, Duration::ZERO, room);
            assert!(bytes.len() <= room);
            assert_eq!(truncated, room < 52, "{room}");
        }
        let (bytes, _) = emit(&control(), &wanted, Duration::ZERO, 20);
        assert_eq!(hex(&bytes), "1400000000000000000000000800000001000000");
    }

    #[test]
    fn an_error_names_its_offender() {
        let error = ExtendedError {
            error: SockError::ConnectionRefused,
            origin: ErrorOrigin::Icmp,
            icmp_type: 3,
            icmp_code: 3,
            info: 0,
            offender: Some("127.0.0.1".parse().unwrap()),
        };
        let refused = RecvControl { error: Some(error), ..control() };
        let (bytes, _) = emit(&refused, &Wanted::none(Family::Inet), Duration::ZERO, 1000);
        let expected = [
            "3000000000000000",
            "00000000",
            "0b000000",
            "6f000000",
            "02030300",
            "00000000",
            "00000000",
            "02000000",
            "7f000001",
            "0000000000000000",
        ];
        assert_eq!(hex(&bytes), expected.concat());

        let local = ExtendedError { origin: ErrorOrigin::Local, offender: None, info: 1500, ..error };
        let too_long = RecvControl { error: Some(local), ..RecvControl::default() };
        let (bytes, _) = emit(&too_long, &Wanted::none(Family::Inet6), Duration::ZERO, 1000);
        assert_eq!(bytes.len(), 64, "16 + 16 + 28, padded to 8");
        assert!(bytes[32..].iter().all(|&b| b == 0), "no offender: AF_UNSPEC");
    }
}
