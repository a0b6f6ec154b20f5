//! An ICMP error is sent, in the family of the packet that it is about.

use netspace_base::Pkt;
use netspace_wire::ethernet::ETHERTYPE_IPV6;

use super::Error;
use crate::{Netns, Turn, ip, ip6};

/// Tells the sender of `pkt` (its network header is marked) about an error, if rules and rates allow it.
pub(crate) fn send_error(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, error: Error) {
    if pkt.protocol == ETHERTYPE_IPV6 {
        ip6::error::send_error(ns, t, pkt, error);
    } else {
        ip::error::send_error(ns, t, pkt, error);
    }
}
