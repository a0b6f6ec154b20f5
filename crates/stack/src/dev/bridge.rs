//! The bridge: a switch with a learning, ageing forwarding database (IEEE 802.1D); without learning, a hub.
//!
//! ```text
//! receive at a port → learn source → destination? ─ known port → send there
//!                                       ├─ the bridge itself → up to its own protocols
//!                                       └─ unknown or group → flood to the other ports (a group: up as well)
//! ```

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netspace_base::{Detail, DevId, DropReason, Duration, Instant, Pkt, Point};
use netspace_wire::MacAddr;
use netspace_wire::ethernet::EthernetRepr;
use smallvec::SmallVec;

use crate::netns::Reentry;
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// One station that the bridge has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbEntry {
    /// The port behind which it is.
    pub port: DevId,
    /// When it was last heard of.
    pub seen: Instant,
    /// Put there by an administrator, or a port's own address: it does not age or move.
    pub permanent: bool,
    /// The address is one of this host's.
    pub local: bool,
}

/// A bridge's state.
#[derive(Debug)]
pub struct Bridge {
    /// Whether it learns where stations are; a hub does not.
    pub learning: bool,
    /// How long a station is remembered.
    pub ageing: Duration,
    /// Its ports, in the order in which they were added.
    pub ports: Vec<DevId>,
    fdb: HashMap<[u8; 6], FdbEntry, FixedState>,
    ageing_timer: bool,
}

impl Bridge {
    /// How long Linux remembers a station.
    pub const AGEING_DEFAULT: Duration = Duration::from_secs(300);
    /// The most stations remembered; others are flooded to.
    pub const FDB_MAX: usize = 65_536;

    pub(crate) fn new(learning: bool, hash_seed: u64) -> Self {
        Self {
            learning,
            ageing: Self::AGEING_DEFAULT,
            ports: Vec::new(),
            fdb: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            ageing_timer: false,
        }
    }

    /// The forwarding database, by address.
    pub fn fdb(&self) -> Vec<([u8; 6], FdbEntry)> {
        let mut entries: Vec<_> = self.fdb.iter().map(|(&mac, &entry)| (mac, entry)).collect();
        entries.sort_unstable_by_key(|(mac, _)| *mac);
        entries
    }

    /// The port behind which a station is, if it is known and its entry has not aged.
    pub fn port_of(&self, mac: [u8; 6], now: Instant) -> Option<FdbEntry> {
        let entry = *self.fdb.get(&mac)?;
        (entry.permanent || now < entry.seen + self.ageing).then_some(entry)
    }

    /// Puts an entry in that neither ages nor moves.
    pub(crate) fn add_permanent(&mut self, mac: [u8; 6], port: DevId, local: bool) {
        self.fdb.insert(mac, FdbEntry { port, seen: Instant::ZERO, permanent: true, local });
    }

    /// Forgets a station.
    pub(crate) fn forget(&mut self, mac: [u8; 6]) -> bool {
        self.fdb.remove(&mac).is_some()
    }

    /// Forgets what was learnt at a port; `all` permanent entries too.
    pub(crate) fn forget_port(&mut self, port: DevId, all: bool) {
        self.fdb.retain(|_, e| e.port != port || (e.permanent && !all));
    }

    /// Notes that a station is behind a port; true if that is news.
    fn learn(&mut self, mac: [u8; 6], port: DevId, now: Instant) -> bool {
        if let Some(entry) = self.fdb.get_mut(&mac) {
            if entry.permanent {
                return false;
            }
            let news = entry.port != port || entry.seen + self.ageing <= now;
            entry.port = port;
            entry.seen = now;
            return news;
        }
        if self.fdb.len() >= Self::FDB_MAX {
            return false;
        }
        self.fdb.insert(mac, FdbEntry { port, seen: now, permanent: false, local: false });
        true
    }
}

/// Where a bridge sends a frame.
enum Decision {
    Up,
    Port(DevId),
    Flood { up: bool },
    Drop(DropReason),
}

fn decide(ns: &Netns, bridge_dev: DevId, from: DevId, eth: &EthernetRepr, now: Instant) -> Decision {
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
    match decide(ns, bridge_dev, from, &eth, t.now) {
        Decision::Up => up(ns, pkt, bridge_dev),
        Decision::Port(port) => {
            t.trace.with(t.now, ns.id, Point::BridgeForward, &pkt, || Detail::Port(port));
            out(ns, t, pkt, port)
        }
        Decision::Flood { up } => flood(ns, t, pkt, bridge_dev, up),
        Decision::Drop(reason) => Err(Stop::Drop(pkt, reason)),
    }
}

/// A frame of the bridge's own host leaves by the bridge device.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>) -> Step {
    let bridge_dev = pkt.dev;
    let Ok((eth, _)) = EthernetRepr::parse(pkt.data()) else {
        return Err(Stop::Drop(pkt, DropReason::EthTruncated));
    };
    match decide(ns, bridge_dev, bridge_dev, &eth, t.now) {
        Decision::Port(port) => out(ns, t, pkt, port),
        Decision::Flood { .. } => flood(ns, t, pkt, bridge_dev, false),
        Decision::Up => Err(Stop::Drop(pkt, DropReason::BridgeNoForward)),
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

/// Out by one port.
fn out(ns: &mut Netns, t: &mut Turn, mut pkt: Box<Pkt>, port: DevId) -> Step {
    pkt.dev = port;
    super::send::send(ns, t, pkt)
}

/// Out by every running port but the one it came by (`pkt.dev`), and up if asked.
fn flood(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, bridge_dev: DevId, to_host: bool) -> Step {
    let from = pkt.dev;
    let ports: SmallVec<[DevId; 32]> = match ns.dev.get(bridge_dev).and_then(super::Device::bridge) {
        Some(bridge) => bridge.ports.iter().copied().filter(|&p| p != from).collect(),
        None => SmallVec::new(),
    };
    let running = |p: &DevId| ns.dev.get(*p).is_some_and(super::Device::is_running);
    let mut targets: SmallVec<[DevId; 32]> = ports.into_iter().filter(running).collect();
    if to_host {
        targets.push(bridge_dev);
    }
    let Some(last) = targets.pop() else { return Err(Stop::Drop(pkt, DropReason::BridgeNoForward)) };
    if !targets.is_empty() {
        t.trace.at(t.now, ns.id, Point::BridgeFlood, &pkt);
    }
    for port in targets {
        let copy = t.clone_pkt(&pkt);
        let step = out(ns, t, copy, port);
        ns.finish(t, step);
    }
    if to_host { up(ns, pkt, bridge_dev) } else { out(ns, t, pkt, last) }
}
