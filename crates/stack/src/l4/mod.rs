//! The transport layer's entrance: IP hands over what is for this host, ICMP hands over errors, the timer wheel what is due.
//!
//! ```text
//! ip::deliver → deliver ─ raw copies ─┬─ udp::receive ─┐
//!                                     ├─ tcp::receive ─┼→ socket queue → program
//! icmp::receive → raw_deliver, echo_reply, icmp_error ─┘
//! ```
//! IPv4 and IPv6 share these functions: addresses are `IpAddr`, the family is theirs.

mod arrival;

use netspace_base::{DropReason, Pkt};
use netspace_wire::protocol;

pub use crate::sock::SockTimer;
use crate::sock::{error, net, ping, raw, tcp, udp};
use crate::{Netns, Step, Stop, Turn};
pub use arrival::{Arrival, Cast, IcmpError};

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
pub(crate) fn icmp_error(ns: &mut Netns, t: &mut Turn, icmp: &IcmpError<'_>) {
    let Some(meaning) = error::meaning(icmp) else { return };
    raw::icmp_error(ns, t, icmp, meaning);
    match icmp.protocol {
        protocol::TCP => tcp::icmp_error(ns, t, icmp, meaning),
        protocol::UDP | protocol::UDPLITE => udp::icmp_error(ns, t, icmp, meaning),
        protocol::ICMP | protocol::ICMPV6 => ping::icmp_error(ns, t, icmp, meaning),
        _ => {}
    }
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
