//! Packets between the script's words and the wire.

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::Instant;
use netspace_wire::icmpv4::{self, Icmpv4Repr};
use netspace_wire::icmpv6::{self, Icmpv6Repr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::ipv6::Ipv6Repr;
use netspace_wire::protocol;
use netspace_wire::tcp::{HEADER_LEN, TcpFlags};
use netspace_wire::udp::UdpRepr;

use super::script::{IpInfo, TcpOpt, TosInfo};
use super::tcp_option;
use super::world::Sent;

/// A TCP segment in numbers of the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TcpSeen {
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: TcpFlags,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) options: Vec<TcpOpt>,
    /// Bytes of payload.
    pub(super) len: u32,
}

/// What a packet carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum SeenBody {
    Tcp(TcpSeen),
    /// Ports and bytes of payload.
    Udp {
        src_port: u16,
        dst_port: u16,
        len: u16,
    },
    /// Type, code, and the MTU of "too big" messages.
    Icmp {
        kind: u8,
        code: u8,
        mtu: u32,
    },
}

/// A packet that has come out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) dst: IpAddr,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) flow_label: u32,
    pub(super) body: SeenBody,
}

/// The addresses and the rest of an IP header to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) info: IpInfo,
}

/// A whole IP packet around `payload`.
pub(super) fn packet(ip: Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let tos = match ip.info.tos {
        TosInfo::Unsaid => 0,
        TosInfo::Ecn(bits) => bits,
        TosInfo::Ect => 2,
        TosInfo::Tos(tos) => tos,
    };
    let ttl = ip.info.ttl.unwrap_or(255);
    let mut out;
    match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Repr { tos, ttl, ..Ipv4Repr::new(src, dst, protocol, payload.len()) };
            out = vec![0; header.header_len()];
            header.emit(&mut out);
        }
        (src, dst) => {
            let (src, dst) = (as_v6(src), as_v6(dst));
            let header = Ipv6Repr {
                traffic_class: tos,
                hop_limit: ttl,
                flow_label: ip.info.flow_label.unwrap_or(0),
                ..Ipv6Repr::new(src, dst, protocol, payload.len())
            };
            out = vec![0; header.header_len()];
            header.emit(&mut out);
        }
    }
    out.extend(payload);
    out
}

fn as_v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

impl TcpSeen {
    /// Header and payload; the checksum is 0.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let options = tcp_option::emit(&self.options);
        let offset = ((HEADER_LEN + options.len()) / 4) as u16;
        let mut out = Vec::with_capacity(HEADER_LEN + options.len() + self.len as usize);
        out.extend(self.src_port.to_be_bytes());
        out.extend(self.dst_port.to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend((offset << 12 | self.flags.bits()).to_be_bytes());
        out.extend(self.window.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.urgent.to_be_bytes());
        out.extend(options);
        out.resize(out.len() + self.len as usize, 0);
        out
    }
}

/// A datagram of `len` bytes.
pub(super) fn udp(src_port: u16, dst_port: u16, len: u16) -> Vec<u8> {
    let header = UdpRepr::new(src_port, dst_port, usize::from(len));
    let mut out = vec![0; header.header_len() + usize::from(len)];
    header.emit(&mut out);
    out
}

/// Reads what has left; none if it is no concern of scripts: neighbours, groups, routers.
pub(super) fn seen(sent: &Sent) -> Option<Seen> {
    let bytes = &sent.bytes;
    let (dst, tos, ttl, flow_label, next, at);
    if bytes.first()? >> 4 == 4 {
        let (header, len) = Ipv4Repr::parse(bytes).ok()?;
        (dst, tos, ttl, flow_label, next, at) =
            (IpAddr::V4(header.dst), header.tos, header.ttl, 0, header.protocol, len);
    } else {
        let (header, len) = Ipv6Repr::parse(bytes).ok()?;
        (dst, tos, ttl, flow_label, next, at) = (
            IpAddr::V6(header.dst),
            header.traffic_class,
            header.hop_limit,
            header.flow_label,
            header.next_header,
            len,
        );
    }
    let body = body(next, &bytes[at..])?;
    Some(Seen { at: sent.at, dst, tos, ttl, flow_label, body })
}

fn body(next: u8, bytes: &[u8]) -> Option<SeenBody> {
    let half = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let word = |at: usize| Some(u32::from(half(at)?) << 16 | u32::from(half(at + 2)?));
    Some(match next {
        protocol::TCP => {
            let offset_flags = half(12)?;
            let offset = usize::from(offset_flags >> 12) * 4;
            SeenBody::Tcp(TcpSeen {
                src_port: half(0)?,
                dst_port: half(2)?,
                seq: word(4)?,
                ack: word(8)?,
                flags: TcpFlags::from_bits_truncate(offset_flags),
                window: half(14)?,
                urgent: half(18)?,
                options: tcp_option::parse(bytes.get(HEADER_LEN..offset)?),
                len: (bytes.len() - offset) as u32,
            })
        }
        protocol::UDP => {
            SeenBody::Udp { src_port: half(0)?, dst_port: half(2)?, len: half(4)?.checked_sub(8)? }
        }
        protocol::ICMP => {
            let mtu = if (bytes[0], *bytes.get(1)?) == (3, 4) { u32::from(half(6)?) } else { 0 };
            SeenBody::Icmp { kind: bytes[0], code: *bytes.get(1)?, mtu }
        }
        protocol::ICMPV6 if bytes.first()? < &130 => {
            let mtu = if bytes[0] == 2 { word(4)? } else { 0 };
            SeenBody::Icmp { kind: bytes[0], code: *bytes.get(1)?, mtu }
        }
        _ => return None,
    })
}

/// Type and code of an ICMP message.
type IcmpNumbers = (u8, u8);
/// An ICMP message: name of the type, of the code ("" = none needed), numbers for IPv4 and for IPv6.
type IcmpName = (&'static str, &'static str, Option<IcmpNumbers>, Option<IcmpNumbers>);

const ICMP_NAMES: &[IcmpName] = &[
    ("unreachable", "net_unreachable", Some((3, 0)), None),
    ("unreachable", "host_unreachable", Some((3, 1)), None),
    ("unreachable", "protocol_unreachable", Some((3, 2)), None),
    ("unreachable", "port_unreachable", Some((3, 3)), Some((1, 4))),
    ("unreachable", "frag_needed", Some((3, 4)), None),
    ("unreachable", "source_route_failed", Some((3, 5)), None),
    ("unreachable", "net_unknown", Some((3, 6)), None),
    ("unreachable", "host_unknown", Some((3, 7)), None),
    ("unreachable", "source_host_isolated", Some((3, 8)), None),
    ("unreachable", "net_prohibited", Some((3, 9)), None),
    ("unreachable", "host_prohibited", Some((3, 10)), None),
    ("unreachable", "net_tos", Some((3, 11)), None),
    ("unreachable", "host_tos", Some((3, 12)), None),
    ("unreachable", "admin_prohibited", Some((3, 13)), Some((1, 1))),
    ("unreachable", "packet_filtered", Some((3, 13)), None),
    ("unreachable", "precedence_violation", Some((3, 14)), None),
    ("unreachable", "precedence_cutoff", Some((3, 15)), None),
    ("unreachable", "no_route", None, Some((1, 0))),
    ("unreachable", "not_neighbour", None, Some((1, 2))),
    ("unreachable", "address_unreachable", None, Some((1, 3))),
    ("source_quench", "", Some((4, 0)), None),
    ("redirect", "", Some((5, 0)), None),
    ("time_exceeded", "", Some((11, 0)), Some((3, 0))),
    ("time_exceeded", "exc_ttl", Some((11, 0)), None),
    ("time_exceeded", "exc_fragtime", Some((11, 1)), None),
    ("time_exceeded", "exceeded_ttl", None, Some((3, 0))),
    ("time_exceeded", "exceeded_reassembly", None, Some((3, 1))),
    ("parameter_problem", "", Some((12, 0)), Some((4, 0))),
    ("packet_too_big", "", None, Some((2, 0))),
    ("echo_request", "", Some((8, 0)), Some((128, 0))),
    ("echo_reply", "", Some((0, 0)), Some((129, 0))),
];

/// The numbers of an ICMP message by its names.
pub(super) fn icmp_numbers(kind: &str, code: Option<&str>, v6: bool) -> Option<(u8, u8)> {
    let code = code.unwrap_or("");
    let row = ICMP_NAMES.iter().find(|row| row.0 == kind && row.1 == code)?;
    if v6 { row.3 } else { row.2 }
}

/// An ICMP message as scripts name it.
pub(super) fn icmp_text(kind: u8, code: u8, v6: bool) -> String {
    let numbers = |row: &&IcmpName| (if v6 { row.3 } else { row.2 }) == Some((kind, code));
    match ICMP_NAMES.iter().find(numbers) {
        Some((kind, "", ..)) => format!("icmp {kind}"),
        Some((kind, code, ..)) => format!("icmp {kind} {code}"),
        None => format!("icmp type {kind} code {code}"),
    }
}

/// What an ICMP message says behind type and code.
#[derive(Clone, Copy, Debug)]
pub(super) struct IcmpRest {
    pub(super) mtu: u32,
    pub(super) id: u16,
}

/// An ICMP message with its checksum, `data` behind its header.
pub(super) fn icmp(src: IpAddr, dst: IpAddr, (kind, code): (u8, u8), rest: IcmpRest, data: &[u8]) -> Vec<u8> {
    let id = rest.id.to_be_bytes();
    let mut out = vec![0; 8];
    let echo = [id[0], id[1], 0, 1];
    match (src, dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let word = if matches!(kind, 128 | 129) { echo } else { rest.mtu.to_be_bytes() };
            Icmpv6Repr::Other { kind, code, rest: word }.emit(&mut out);
            out.extend(data);
            icmpv6::fill_checksum(src, dst, &mut out);
        }
        _ => {
            let word = if matches!(kind, 0 | 8) { echo } else { rest.mtu.to_be_bytes() };
            Icmpv4Repr::Other { kind, code, rest: word }.emit(&mut out);
            out.extend(data);
            icmpv4::fill_checksum(&mut out);
        }
    }
    out
}
