//! One-line text for a packet, as tcpdump writes it.
//!
//! It works on whatever there is: a packet cut short by a snapshot length, or a malformed one, gives what could be read and
//! `[|tcp]` where the bytes ended.

mod icmp;
mod transport;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ethernet::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_QINQ, ETHERTYPE_VLAN, EthernetRepr,
};
use crate::ipv6::ext;
use crate::tcp::SeqNum;
use crate::{MacAddr, array_at, ethernet, ipv4, ipv6, protocol, u16_at};

/// VLAN tags that are looked through.
const VLAN_TAGS_MAX: usize = 2;

/// The text for a packet from its first bytes. `protocol` is the EtherType of its first header, or 0 if that is Ethernet's.
/// TCP numbers are absolute; see [`Summarizer`] for relative ones.
pub fn summary(protocol: u16, bytes: &[u8]) -> String {
    Line::new(None).packet(protocol, bytes)
}

/// The addresses of an Ethernet header: `02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff`.
pub fn link_summary(frame: &[u8]) -> String {
    match EthernetRepr::parse(frame) {
        Ok((eth, _)) => format!("{} > {}", eth.src, eth.dst),
        Err(_) => "[|ether]".into(),
    }
}

/// Writes TCP numbers relative to the first ones seen in each direction, as tcpdump does. It remembers at most
/// [`Summarizer::FLOWS_MAX`] directions, then forgets all.
#[derive(Clone, Debug, Default)]
pub struct Summarizer {
    first: BTreeMap<Flow, SeqNum>,
}

/// One direction of a TCP connection.
type Flow = (IpAddr, u16, IpAddr, u16);

impl Summarizer {
    /// Directions remembered.
    pub const FLOWS_MAX: usize = 65_536;

    /// As [`summary`], with relative numbers.
    pub fn summary(&mut self, protocol: u16, bytes: &[u8]) -> String {
        Line::new(Some(self)).packet(protocol, bytes)
    }

    /// The first number of a direction. A SYN starts anew.
    fn base(&mut self, flow: Flow, seq: SeqNum, syn: bool) -> SeqNum {
        if self.first.len() >= Self::FLOWS_MAX {
            self.first.clear();
        }
        if syn {
            self.first.insert(flow, seq);
        }
        *self.first.entry(flow).or_insert(seq)
    }
}

/// The addresses of the network header around what is being written.
#[derive(Clone, Copy)]
struct Ends {
    src: IpAddr,
    dst: IpAddr,
}

/// A line in the making.
struct Line<'a> {
    out: String,
    relative: Option<&'a mut Summarizer>,
    /// Inside a packet that an ICMP error quotes: shorter, and no quotes in quotes.
    quoted: bool,
}

/// Writes into a line; writing to a `String` cannot fail.
macro_rules! put {
    ($line:expr, $($arg:tt)*) => {{
        let _ = std::fmt::Write::write_fmt(&mut $line.out, format_args!($($arg)*));
    }};
}
use put;

impl<'a> Line<'a> {
    fn new(relative: Option<&'a mut Summarizer>) -> Self {
        Self { out: String::with_capacity(96), relative, quoted: false }
    }

    fn packet(mut self, protocol: u16, bytes: &[u8]) -> String {
        if protocol == 0 {
            self.ethernet(bytes);
        } else {
            self.network(protocol, bytes);
        }
        self.out
    }

    fn ethernet(&mut self, bytes: &[u8]) {
        let Ok((eth, len)) = EthernetRepr::parse(bytes) else { return self.out.push_str("[|ether]") };
        let (mut ethertype, mut rest) = (eth.ethertype, &bytes[len..]);
        for _ in 0..VLAN_TAGS_MAX {
            if !matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_QINQ) {
                break;
            }
            let (Some(tag), Some(next)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
                return self.out.push_str("[|vlan]");
            };
            put!(self, "vlan {}, ", tag & 0xfff);
            (ethertype, rest) = (next, &rest[4..]);
        }
        self.network(ethertype, rest);
    }

    fn network(&mut self, protocol: u16, bytes: &[u8]) {
        match protocol {
            ETHERTYPE_ARP => self.arp(bytes),
            ETHERTYPE_IPV4 => self.ipv4(bytes),
            ETHERTYPE_IPV6 => self.ipv6(bytes),
            ..=1500 => put!(self, "802.3, length {protocol}"),
            _ => put!(self, "ethertype {protocol:#06x}, length {}", bytes.len()),
        }
    }

    fn arp(&mut self, bytes: &[u8]) {
        let (Some(operation), Some(sender), Some(target)) =
            (u16_at(bytes, 6), array_at::<4>(bytes, 14), array_at::<4>(bytes, 24))
        else {
            return self.out.push_str("ARP, [|arp]");
        };
        if (u16_at(bytes, 0), u16_at(bytes, 2), bytes[4], bytes[5]) != (Some(1), Some(ETHERTYPE_IPV4), 6, 4) {
            return self.out.push_str("ARP, unknown hardware or protocol");
        }
        let (sender, target) = (Ipv4Addr::from(sender), Ipv4Addr::from(target));
        let mac = array_at(bytes, 8).map_or(MacAddr::ZERO, MacAddr);
        match operation {
            1 if sender == target => put!(self, "ARP, Announcement {sender} is-at {mac}"),
            1 if sender.is_unspecified() => put!(self, "ARP, Probe who-has {target}"),
            1 => put!(self, "ARP, Request who-has {target} tell {sender}"),
            2 => put!(self, "ARP, Reply {sender} is-at {mac}"),
            _ => put!(self, "ARP, operation {operation}"),
        }
    }

    fn ipv4(&mut self, bytes: &[u8]) {
        if !self.quoted {
            self.out.push_str("IP ");
        }
        let (Some(src), Some(dst)) = (array_at::<4>(bytes, 12), array_at::<4>(bytes, 16)) else {
            return self.out.push_str("[|ip]");
        };
        let header_len = usize::from(bytes[0] & 0xf) * 4;
        if bytes[0] >> 4 != 4 || header_len < ipv4::HEADER_LEN {
            return put!(self, "bad header (version {}, header length {header_len})", bytes[0] >> 4);
        }
        let ends = Ends { src: Ipv4Addr::from(src).into(), dst: Ipv4Addr::from(dst).into() };
        let total = usize::from(u16_at(bytes, 2).unwrap_or(0));
        let total = if total == 0 { bytes.len() } else { total };
        let len = total.saturating_sub(header_len);
        let fragment = u16_at(bytes, 6).unwrap_or(0);
        let (offset, more) = (usize::from(fragment & 0x1fff) * 8, fragment & 0x2000 != 0);
        let rest = bytes.get(header_len..).unwrap_or_default();
        let rest = &rest[..rest.len().min(len)];
        if offset > 0 || more {
            return self.fragment(
                ends,
                bytes[9],
                u32::from(u16_at(bytes, 4).unwrap_or(0)),
                offset,
                more,
                len,
            );
        }
        self.upper(ends, bytes[9], rest, len);
    }

    fn ipv6(&mut self, bytes: &[u8]) {
        if !self.quoted {
            self.out.push_str("IP6 ");
        }
        let (Some(src), Some(dst)) = (array_at::<16>(bytes, 8), array_at::<16>(bytes, 24)) else {
            return self.out.push_str("[|ip6]");
        };
        if bytes[0] >> 4 != 6 {
            return put!(self, "bad header (version {})", bytes[0] >> 4);
        }
        let ends = Ends { src: Ipv6Addr::from(src).into(), dst: Ipv6Addr::from(dst).into() };
        let mut rest = &bytes[ipv6::HEADER_LEN..];
        let mut len = usize::from(u16_at(bytes, 4).unwrap_or(0));
        if len == 0 {
            len = rest.len();
        }
        let mut next = bytes[ipv6::NEXT_HEADER_OFFSET];
        for _ in 0..ext::CHAIN_MAX {
            if !ext::is_extension(next) {
                break;
            }
            let header = ext::header_len(next, rest).and_then(|len| rest.get(..len));
            let Some(header) = header else {
                return put!(
                    self,
                    "{} > {}: [|{}]",
                    ends.src,
                    ends.dst,
                    protocol::name(next).unwrap_or("ext")
                );
            };
            rest = &rest[header.len()..];
            len = len.saturating_sub(header.len());
            if next == protocol::FRAGMENT
                && let Ok((f, _)) = ext::FragmentRepr::parse(header)
                && !f.is_atomic()
            {
                return self.fragment(ends, f.next_header, f.id, f.offset.into(), f.more, len);
            }
            next = header[0];
        }
        self.upper(ends, next, &rest[..rest.len().min(len)], len);
    }

    fn fragment(&mut self, ends: Ends, proto: u8, id: u32, offset: usize, more: bool, len: usize) {
        put!(self, "{} > {}: ", ends.src, ends.dst);
        self.proto_name(proto);
        put!(self, " fragment (id {id}, bytes {offset}-{}", offset + len);
        self.out.push_str(if more { ", more follow)" } else { ", last)" });
    }

    fn proto_name(&mut self, proto: u8) {
        match protocol::name(proto) {
            Some(name) => self.out.push_str(name),
            None => put!(self, "ip-proto-{proto}"),
        }
    }

    /// What IP carries; `len` is its whole length, of which `bytes` may be only the start.
    fn upper(&mut self, ends: Ends, proto: u8, bytes: &[u8], len: usize) {
        match proto {
            protocol::TCP => return self.tcp(ends, bytes, len),
            protocol::UDP => return self.udp(ends, bytes, len),
            protocol::UDPLITE => return self.udplite(ends, bytes, len),
            _ => put!(self, "{} > {}: ", ends.src, ends.dst),
        }
        match proto {
            protocol::ICMP => self.icmpv4(bytes, len),
            protocol::ICMPV6 => self.icmpv6(bytes, len),
            protocol::IGMP => self.igmp(bytes),
            protocol::NO_NEXT => self.out.push_str("no next header"),
            _ => {
                self.proto_name(proto);
                put!(self, ", length {len}");
            }
        }
    }
}

/// Whether `bytes` look like an IPv4 or IPv6 packet, and as which EtherType.
fn ip_ethertype(bytes: &[u8]) -> Option<u16> {
    match bytes.first()? >> 4 {
        4 => Some(ETHERTYPE_IPV4),
        6 => Some(ETHERTYPE_IPV6),
        _ => None,
    }
}

/// The bytes behind the Ethernet header and VLAN tags, and their EtherType.
pub fn strip_link(frame: &[u8]) -> Option<(u16, &[u8])> {
    let mut ethertype = u16_at(frame, ethernet::HEADER_LEN - 2)?;
    let mut rest = &frame[ethernet::HEADER_LEN..];
    for _ in 0..VLAN_TAGS_MAX {
        if matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_QINQ) {
            ethertype = u16_at(rest, 2)?;
            rest = &rest[4..];
        }
    }
    Some((ethertype, rest))
}
