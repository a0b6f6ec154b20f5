//! The transport layer's entrance: IP hands over what is for this host, ICMP hands over errors, the timer wheel what is due.
//!
//! ```text
//! ip::deliver → deliver ─ raw copies ─┬─ udp::receive ─┐
//!                                     ├─ tcp::receive ─┼→ socket queue → program
//! icmp::receive → raw_deliver, echo_reply, icmp_error ─┘
//! ```
//! IPv4 and IPv6 share these functions: addresses are `IpAddr`, the family is theirs.

use std::net::IpAddr;

use netspace_base::{DevId, DropReason, Pkt};
use netspace_wire::protocol;

pub use crate::sock::SockTimer;
use crate::sock::{error, net, ping, raw, tcp, udp};
use crate::{Netns, Step, Stop, Turn};

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

/// Takes a packet that is for this host: copies for raw sockets, then UDP (and UDP-Lite) or TCP. Answers with ICMP (port or protocol
/// unreachable) or RST where nobody takes it.
pub(crate) fn deliver(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, arrival: &Arrival) -> Step {
    let raw_took = raw_deliver(ns, t, &pkt, arrival);
    match arrival.protocol {
        protocol::UDP | protocol::UDPLITE => udp::receive(ns, t, pkt, arrival),
        protocol::TCP => tcp::receive(ns, t, pkt, arrival),
        _ if raw_took => Ok(pkt),
        _ => {
            net::protocol_unreachable(ns, t, &pkt, arrival);
            Err(Stop::Drop(pkt, DropReason::NoProtocol))
        }
    }
}

/// Gives copies to raw sockets of the packet's protocol; tells whether there was one. [`deliver`] does so by itself: only
/// the protocols that the network layer keeps (ICMP, ICMPv6, IGMP) call this.
pub(crate) fn raw_deliver(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival) -> bool {
    raw::receive(ns, t, pkt, arrival)
}

/// An ICMP error has come: the socket that sent the quoted packet learns of it.
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, error: &IcmpError<'_>) {
    error::receive(ns, t, error);
}

/// An echo reply has come (data = ICMP header on, checksum verified): the ping socket with its id gets a copy.
pub(crate) fn echo_reply(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, arrival: &Arrival) -> bool {
    ping::receive(ns, t, pkt, arrival)
}

/// A timer that a socket had set in `ns.timers` is due.
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, key: SockTimer) {
    match key {
        SockTimer::Tcp(id) => tcp::on_timeout(ns, t, id),
        SockTimer::DeferAccept(id) => tcp::make_ready(ns, t, id),
        SockTimer::TimeWait(number) => tcp::expire_time_wait(ns, number),
    }
}
