//! Filter expressions: which events `trace` shows.
//!
//! ```text
//! expression := and { "or" and }        and := not { ["and"] not }        not := ["not"] primary
//! primary    := "(" expression ")"
//!             | arp | ip | ip6 | icmp | icmp6 | ndp | igmp | tcp | udp | udplite
//!             | [src|dst] [host|net] ADDRESS[/BITS]     | [src|dst] port NUMBER[-NUMBER]
//!             | [src|dst] ether MAC
//!             | drop [REASON] | point NAME | on HOST | dev NAME | packet NUMBER
//! ```
//! Words that tcpdump has mean what they mean there (`icmp` is ICMP for IPv4 only).

mod parse;

use std::net::IpAddr;

use ipnet::IpNet;
use netspace_base::{Detail, DevId, DropReason, Event, PktId, Point};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use netspace_wire::{MacAddr, protocol};

use crate::Names;
use crate::fields::{Fields, canonical};
pub use parse::FilterError;

/// Which end of a packet is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Source,
    Destination,
    Either,
}

impl End {
    fn any<T>(self, (src, dst): (T, T), test: impl Fn(T) -> bool) -> bool {
        (self != Self::Destination && test(src)) || (self != Self::Source && test(dst))
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Not(Box<Self>),
    EtherType(u16),
    Protocol(u8),
    Ndp,
    Net(End, IpNet),
    Port(End, u16, u16),
    Ether(End, MacAddr),
    Drop(Option<DropReason>),
    Point(Point),
    On(String),
    Dev(String),
    Packet(PktId),
}

/// A filter expression, ready to be used.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    root: Option<Node>,
}

impl Filter {
    /// Reads an expression; an empty one lets everything pass.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { root: parse::parse(text)? })
    }

    /// Whether the event passes.
    pub fn matches(&self, event: &Event, names: &dyn Names) -> bool {
        let Some(root) = &self.root else { return true };
        let fields = Fields::of(event);
        root.matches(event, &fields, names)
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl Node {
    /// Its depth is bounded by the parser.
    fn matches(&self, event: &Event, fields: &Fields, names: &dyn Names) -> bool {
        match self {
            Self::Or(a, b) => a.matches(event, fields, names) || b.matches(event, fields, names),
            Self::And(a, b) => a.matches(event, fields, names) && b.matches(event, fields, names),
            Self::Not(node) => !node.matches(event, fields, names),
            Self::EtherType(ethertype) => fields.ethertype == *ethertype,
            Self::Protocol(protocol) => fields.protocol == Some(*protocol),
            Self::Ndp => {
                fields.protocol == Some(protocol::ICMPV6)
                    && fields.icmp_type.is_some_and(|t| (133..=137).contains(&t))
            }
            Self::Net(end, net) => {
                fields.addrs.is_some_and(|addrs| end.any(addrs, |a| net.contains(&canonical(a))))
            }
            Self::Port(end, first, last) => {
                fields.ports.is_some_and(|ports| end.any(ports, |p| (*first..=*last).contains(&p)))
            }
            Self::Ether(end, mac) => fields.macs.is_some_and(|macs| end.any(macs, |m| m == *mac)),
            Self::Drop(wanted) => match event.detail {
                Detail::Drop(reason) => wanted.is_none_or(|w| w == reason),
                _ => false,
            },
            Self::Point(point) => event.point == *point,
            Self::On(host) => names.host(event.ns) == host.as_str(),
            Self::Dev(dev) => event.dev != DevId::NONE && names.device(event.ns, event.dev) == dev.as_str(),
            Self::Packet(id) => event.pkt == *id,
        }
    }
}

/// A protocol's name, as a primary by itself.
fn protocol_node(word: &str) -> Option<Node> {
    Some(match word {
        "arp" => Node::EtherType(ETHERTYPE_ARP),
        "ip" | "ip4" | "ipv4" => Node::EtherType(ETHERTYPE_IPV4),
        "ip6" | "ipv6" => Node::EtherType(ETHERTYPE_IPV6),
        "icmp" => Node::Protocol(protocol::ICMP),
        "icmp6" | "icmpv6" => Node::Protocol(protocol::ICMPV6),
        "ndp" => Node::Ndp,
        "igmp" => Node::Protocol(protocol::IGMP),
        "tcp" => Node::Protocol(protocol::TCP),
        "udp" => Node::Protocol(protocol::UDP),
        "udplite" => Node::Protocol(protocol::UDPLITE),
        _ => return None,
    })
}

/// An address, or a prefix.
fn net(word: &str) -> Option<IpNet> {
    if let Ok(addr) = word.parse::<IpAddr>() {
        return Some(canonical(addr).into());
    }
    word.parse::<IpNet>().ok().map(|net| net.trunc())
}
