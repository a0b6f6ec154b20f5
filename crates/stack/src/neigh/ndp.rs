//! Neighbour discovery (RFC 4861): IPv6 addresses on Ethernet. Router discovery is in [`crate::ip6::discover`].

pub(crate) mod receive;
pub(crate) mod send;

use std::net::{IpAddr, Ipv6Addr};

use netspace_base::{DevId, Pkt, Point};
use netspace_wire::icmpv6::fill_checksum;
use netspace_wire::ipv6::{HEADER_LEN, Ipv6Repr};
use netspace_wire::ndp::{HOP_LIMIT, NdpMessage, NdpOptions, NdpRepr, solicited_node};
use netspace_wire::{MacAddr, protocol};

use crate::ip6::message;
use crate::ip6::source::select_source;
use crate::ip6::state::Addr6;
use crate::{Netns, Turn};

/// A neighbour-discovery message with its IPv6 header, counted as sent.
fn make(ns: &mut Netns, t: &mut Turn, dev: DevId, src: Ipv6Addr, dst: Ipv6Addr, repr: &NdpRepr) -> Box<Pkt> {
    let mut bytes = vec![0; repr.header_len()];
    repr.emit(&mut bytes);
    fill_checksum(src, dst, &mut bytes);
    let mut pkt = message::message(t, &bytes);
    pkt.set_transport_header();
    let class = ns.dev.get(dev).map_or(0, |d| d.conf.v6.ndisc_tclass) as u8;
    let header = Ipv6Repr {
        hop_limit: HOP_LIMIT,
        traffic_class: class,
        ..Ipv6Repr::new(src, dst, protocol::ICMPV6, bytes.len())
    };
    header.emit(pkt.push(HEADER_LEN));
    pkt.set_network_header();
    pkt.dev = dev;
    message::count_out(ns, repr.kind());
    t.trace.at(t.now, ns.id, Point::NdpSend, &pkt);
    pkt
}

/// Asks for the link-layer address of `target`: its solicited-node group, or the station that had it.
pub(super) fn solicit(
    ns: &mut Netns,
    t: &mut Turn,
    dev: DevId,
    target: Ipv6Addr,
    source: Option<IpAddr>,
    unicast: Option<MacAddr>,
) {
    let usable = |a: &Ipv6Addr| ns.dev.get(dev).is_some_and(|d| d.addr6(*a).is_some_and(Addr6::is_usable));
    let given = match source {
        Some(IpAddr::V6(src)) => Some(src).filter(usable),
        _ => None,
    };
    // RFC 4861 §7.2.2: the source of the packet that asks, if it is the device's; never a tentative one.
    let Some(src) = given.or_else(|| select_source(ns, dev, target)) else { return };
    let repr = NdpRepr {
        message: NdpMessage::NeighborSolicitation { target },
        options: NdpOptions { source_lladdr: own_mac(ns, dev), ..NdpOptions::default() },
    };
    let dst = if unicast.is_some() { target } else { solicited_node(target) };
    let pkt = make(ns, t, dev, src, dst, &repr);
    message::send_on_link(ns, t, pkt, unicast.unwrap_or(MacAddr::multicast_v6(dst)));
}

/// The device's link-layer address, for the option that tells it.
pub(crate) fn own_mac(ns: &Netns, dev: DevId) -> Option<MacAddr> {
    ns.dev.get(dev).map(|d| MacAddr(d.mac))
}
