//! What the network layer tells the transport layer: of a packet that came, of an error about one that went.

use std::net::IpAddr;

use netspace_base::DevId;

/// To whom a packet was addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cast {
    /// One of this host's addresses.
    #[default]
    Unicast,
    /// A broadcast address (IPv4).
    Broadcast,
    /// A group.
    Multicast,
}

/// What the network layer tells of a packet that is for this host. The packet's data starts at the transport header; its
/// network header is marked.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, as in the header.
    pub dst: IpAddr,
    /// This host's address on the receiving device, for packets to a broadcast address or group; else `dst`.
    pub local: IpAddr,
    /// Transport protocol.
    pub protocol: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The device it came by (for packets of this host to itself: the loopback device).
    pub dev: DevId,
    /// To whom it was addressed.
    pub cast: Cast,
}

/// An ICMP or ICMPv6 error about a packet that this host sent.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError<'a> {
    /// The quoted packet's source: an address of this host.
    pub src: IpAddr,
    /// The quoted packet's destination.
    pub dst: IpAddr,
    /// The quoted packet's transport protocol.
    pub protocol: u8,
    /// ICMP type, of the family that `src` has.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// The MTU (fragmentation needed, packet too big) or the pointer (parameter problem); else 0.
    pub info: u32,
    /// Who sent the error.
    pub offender: IpAddr,
    /// The device it came by.
    pub dev: DevId,
    /// The error packet's own time to live.
    pub ttl: u8,
    /// The error packet's own type of service or traffic class.
    pub tos: u8,
    /// The quoted packet from its IP header on.
    pub quoted: &'a [u8],
    /// Where in `quoted` the transport header starts.
    pub transport: usize,
}
