//! What ICMP for IPv4 and IPv6 share: which errors there are, and how many may be sent.
//!
//! Errors are never sent about errors, groups and broadcasts (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)), in IPv4 about fragments
//! other than the first as well. Two token buckets bound them: one over all destinations, one for each (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)).

mod limit;
mod send;

use std::net::Ipv4Addr;

use netspace_base::Pkt;

pub(crate) use limit::{Icmp, Limited};
pub(crate) use send::send_error;

/// What the sender of a packet is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Error {
    /// No route.
    NetUnreachable,
    /// The route refuses, or the neighbour does not answer.
    HostUnreachable,
    /// Nobody takes the protocol.
    ProtocolUnreachable,
    /// Nobody takes the port.
    PortUnreachable,
    /// A route prohibits it.
    Prohibited,
    /// IPv6: the source's scope ends here.
    BeyondScope,
    /// Too long for the next link.
    TooBig {
        /// The next link's MTU.
        mtu: u32,
    },
    /// The time to live or hop limit ran out.
    TimeExceeded,
    /// Fragments are missing.
    ReassemblyTime,
    /// A header field is wrong.
    ParameterProblem {
        /// ICMP code.
        code: u8,
        /// Where.
        pointer: u32,
    },
    /// IPv4: there is a better gateway.
    Redirect4 {
        /// Which.
        gateway: Ipv4Addr,
    },
}

/// The quoted packet: up to `max` bytes from its network header on.
pub(crate) fn quote(pkt: &Pkt, max: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(max.min(pkt.len() + 64));
    for part in std::iter::once(pkt.network_header()).chain(pkt.frags().iter().map(AsRef::as_ref)) {
        out.extend_from_slice(&part[..part.len().min(max - out.len())]);
    }
    out
}
