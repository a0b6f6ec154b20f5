//! The bridge: a switch with a learning, ageing forwarding database (IEEE 802.1D); without learning, a hub.
//!
//! ```text
//! receive at a port → learn source → destination? ─ known port → send there
//!                                       ├─ the bridge itself → up to its own protocols
//!                                       └─ unknown or group → flood to the other ports (a group: up as well)
//! ```

use netspace_base::{Detail, DevId, DropReason, Pkt, Point};
use netspace_wire::MacAddr;
use netspace_wire::ethernet::EthernetRepr;

pub use super::fdb::{Bridge, FdbEntry};
use super::forward::{self, Decision};
use super::send;
use crate::netns::Reentry;
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// A frame has come in at a port.
pub(crate) fn receive(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>) -> Step {
    let from = pkt.dev;
    let Ok((eth, _)) = EthernetRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::EthTruncated));
    };
    let master =
        ns.dev.get(from).and_then(|d| d.master).filter(|&m| ns.dev.get(m).is_some_and(super::Device::is_up));
    let Some(bridge_dev) = master else { return Err(Stop::Drop(pkt, DropReason::DevDown)) };
    if eth.src.is_unicast() {
        learn(ns, t, &pkt, bridge_dev, eth.src);
    }
    match forward::decide(ns, bridge_dev, from, &eth, t.now) {
        Decision::Up => up(ns, pkt, bridge_dev),
        Decision::Port(port) => {
            t.trace.with(t.now, ns.id, Point::BridgeForward, &pkt, || Detail::Port(port));
            send::by_port(ns, t, pkt, port)
        }
        Decision::Flood { up: true } => {
            send::copies(ns, t, &pkt, &forward::ports(ns, bridge_dev, from));
            up(ns, pkt, bridge_dev)
        }
        Decision::Flood { up: false } => send::flood(ns, t, pkt, forward::ports(ns, bridge_dev, from)),
        Decision::Drop(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

/// Notes the sender's port, and starts the clock that ages entries.
fn learn(ns: &mut Netns, t: &mut Turn, pkt: &Pkt, bridge_dev: DevId, src: MacAddr) {
    let from = pkt.dev;
    let Some(super::DevKind::Bridge(bridge)) = ns.dev.get_mut(bridge_dev).map(|d| &mut d.kind) else {
        return;
    };
    if !bridge.learning || !bridge.learn(src.0, from, t.now) {
        return;
    }
    if !bridge.ageing_timer {
        bridge.ageing_timer = true;
        ns.timers.set(t.now + bridge.ageing, TimerKey::BridgeAge(bridge_dev));
    }
    t.trace.with(t.now, ns.id, Point::BridgeLearn, pkt, || Detail::Port(from));
}

/// Old entries are thrown away; the clock runs on while there are any that age.
pub(crate) fn on_age(ns: &mut Netns, t: &mut Turn, bridge_dev: DevId) {
    let Some(super::DevKind::Bridge(bridge)) = ns.dev.get_mut(bridge_dev).map(|d| &mut d.kind) else {
        return;
    };
    let (now, ageing) = (t.now, bridge.ageing);
    bridge.fdb.retain(|_, e| e.permanent || now < e.seen + ageing);
    let next = bridge.fdb.values().filter(|e| !e.permanent).map(|e| e.seen + ageing).min();
    bridge.ageing_timer = next.is_some();
    if let Some(next) = next {
        ns.timers.set(next, TimerKey::BridgeAge(bridge_dev));
    }
}

/// Up to the bridge's own protocols: the frame arrives at the bridge device, by way of the backlog.
fn up(ns: &mut Netns, mut pkt: Box<Pkt>, bridge_dev: DevId) -> Step {
    pkt.dev = bridge_dev;
    if let Some(device) = ns.dev.get_mut(bridge_dev) {
        device.stats.rx_packets += 1;
        device.stats.rx_bytes += pkt.len() as u64;
    }
    ns.reenter_later(pkt, Reentry::Bridged)
}
