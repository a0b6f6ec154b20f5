//! Where a bridge sends a frame: decisions only.

use netspace_base::{DevId, DropReason, Instant};
use netspace_wire::ethernet::EthernetRepr;
use smallvec::SmallVec;

use super::Device;
use crate::Netns;

/// Ports by which a frame is flooded.
pub(super) type Ports = SmallVec<[DevId; 32]>;

/// Where a bridge sends a frame.
pub(super) enum Decision {
    /// To the bridge's own protocols.
    Up,
    /// By one port.
    Port(DevId),
    /// By all ports but the one it came by; `up`: to the bridge's own protocols as well.
    Flood { up: bool },
    /// Nowhere.
    Drop(DropReason),
}

/// What becomes of a frame that came in at `from`: a port, or the bridge device itself.
pub(super) fn decide(
    ns: &Netns,
    bridge_dev: DevId,
    from: DevId,
    eth: &EthernetRepr,
    now: Instant,
) -> Decision {
    let Some(device) = ns.dev.get(bridge_dev) else { return Decision::Drop(DropReason::BridgeNoForward) };
    let Some(bridge) = device.bridge() else { return Decision::Drop(DropReason::BridgeNoForward) };
    if eth.dst.is_bridge_reserved() && from != bridge_dev {
        return Decision::Drop(DropReason::BridgeReserved);
    }
    if eth.dst.is_multicast() {
        return Decision::Flood { up: from != bridge_dev };
    }
    if eth.dst.0 == device.mac && from != bridge_dev {
        return Decision::Up;
    }
    match bridge.port_of(eth.dst.0, now) {
        Some(entry) if entry.local && from != bridge_dev => Decision::Up,
        Some(entry) if entry.port == from || entry.local => Decision::Drop(DropReason::BridgeNoForward),
        Some(entry) if bridge.learning => Decision::Port(entry.port),
        _ => Decision::Flood { up: device.promiscuous > 0 && from != bridge_dev },
    }
}

/// The running ports of a bridge but the one that a frame came by.
pub(super) fn ports(ns: &Netns, bridge_dev: DevId, from: DevId) -> Ports {
    let Some(bridge) = ns.dev.get(bridge_dev).and_then(Device::bridge) else { return Ports::new() };
    let running = |p: &DevId| *p != from && ns.dev.get(*p).is_some_and(Device::is_running);
    bridge.ports.iter().copied().filter(running).collect()
}
