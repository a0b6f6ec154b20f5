//! The last step above the device: the Ethernet header is written.

use netspace_base::{DropReason, Pkt};
use netspace_wire::MacAddr;
use netspace_wire::ethernet::{EthernetRepr, HEADER_LEN};

use crate::{Netns, Step, Stop, Turn};

/// Sends a packet (network header in front) by `pkt.dev` to a station or group; where stations have no addresses, to
/// whoever is there.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, to: MacAddr) -> Step {
    let Some(device) = ns.dev.get(pkt.dev) else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    let src = MacAddr(device.mac);
    let dst = if device.needs_neigh() { to } else { src };
    EthernetRepr { dst, src, ethertype: pkt.protocol }.emit(pkt.push(HEADER_LEN));
    crate::dev::send::send(ns, t, pkt)
}
