//! From the protocols to the link: the transmit path of a device.

use netspace_base::{DevId, DropReason, Pkt, PktType, Point};
use netspace_wire::ethernet::{EthernetRepr, HEADER_LEN};

use super::DevKind;
use super::forward::{self, Decision, Ports};
use super::tap::tap;
use crate::netns::Reentry;
use crate::{Effect, Netns, Step, Stop, Turn, packet};

/// Sends a frame (Ethernet header in front) by the device in `pkt.dev`.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>) -> Step {
    pkt.set_mac_header();
    let Some(device) = ns.dev.get_mut(pkt.dev).filter(|d| d.is_up()) else {
        return Err(Stop::Drop(pkt, DropReason::DevDown));
    };
    if !device.carrier {
        device.stats.tx_dropped += 1;
        return Err(Stop::Drop(pkt, DropReason::NoCarrier));
    }
    // A packet in a device's MTU; large segments are cut where the link wants frames.
    if pkt.gso.is_none() && pkt.len() > device.mtu as usize + HEADER_LEN {
        device.stats.tx_errors += 1;
        return Err(Stop::Drop(pkt, DropReason::FrameTooLong));
    }
    if pkt.gso.is_some() && !device.offload && !matches!(device.kind, DevKind::Loopback) {
        return cut(ns, t, pkt);
    }
    device.stats.tx_packets += 1;
    device.stats.tx_bytes += pkt.len() as u64;
    t.trace.at(t.now, ns.id, Point::DevSend, &pkt);
    if device.capture {
        tap(t, ns.id, pkt.dev, true, &pkt);
    }
    packet::deliver::all(ns, t, &pkt, true);
    let Some(device) = ns.dev.get(pkt.dev) else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    match device.kind {
        DevKind::LinkEnd => {
            t.ledger.sent += 1;
            t.effects.push(Effect::Xmit { dev: pkt.dev, pkt });
            Err(Stop::Taken)
        }
        DevKind::Loopback => {
            pkt.pkt_type = PktType::Host;
            ns.reenter_later(pkt, Reentry::Loopback)
        }
        DevKind::Bridge(_) => over_bridge(ns, t, pkt),
        DevKind::Dummy => Ok(pkt),
    }
}

/// Cuts a large segment into frames and sends each.
fn cut(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>) -> Step {
    t.trace.at(t.now, ns.id, Point::GsoCut, &pkt);
    let frames = netspace_wire::gso::cut(pkt);
    t.ledger.created += frames.len().saturating_sub(1) as u64;
    for frame in frames {
        let step = send(ns, t, frame);
        ns.finish(t, step);
    }
    Err(Stop::Taken)
}

// ---- By a bridge ---------------------------------------------------------------------------------------------------

/// A frame of the bridge's own host leaves by the bridge device: by its ports, which are no bridges.
fn over_bridge(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>) -> Step {
    let bridge = pkt.dev;
    let Ok((eth, _)) = EthernetRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::EthTruncated));
    };
    match forward::decide(ns, bridge, bridge, &eth, t.now) {
        Decision::Port(port) => by_port(ns, t, pkt, port),
        Decision::Flood { .. } => flood(ns, t, pkt, forward::ports(ns, bridge, bridge)),
        Decision::Up => Err(Stop::Drop(pkt, DropReason::BridgeNoForward)),
        Decision::Drop(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

/// Out by one port of a bridge.
pub(super) fn by_port(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, port: DevId) -> Step {
    pkt.dev = port;
    send(ns, t, pkt)
}

/// Out by all these ports.
pub(super) fn flood(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, mut ports: Ports) -> Step {
    let Some(last) = ports.pop() else { return Err(Stop::Drop(pkt, DropReason::BridgeNoForward)) };
    copies(ns, t, &pkt, &ports);
    by_port(ns, t, pkt, last)
}

/// A copy by each of these ports.
pub(super) fn copies(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, ports: &[DevId]) {
    if !ports.is_empty() {
        t.trace.at(t.now, ns.id, Point::BridgeFlood, pkt);
    }
    for &port in ports {
        let copy = t.clone_pkt(pkt);
        let step = by_port(ns, t, copy, port);
        ns.finish(t, step);
    }
}
