//! Duplicate address detection (RFC 4862 §5.4): before an address is used, the link is asked whether somebody has it.
//!
//! ```text
//! TENTATIVE ── random delay ── probe ── retrans time ── … dad_transmits probes … ──→ PREFERRED
//!      └── another probe or an advertisement for it ──→ DUPLICATE
//! ```

use std::net::Ipv6Addr;

use netspace_base::{DevId, Duration};
use netspace_wire::ipv6;
use netspace_wire::ndp::{NdpMessage, NdpOptions, NdpRepr, solicited_node};

use super::state::AddrState;
use crate::dev::Device;
use crate::neigh::ndp;
use crate::{Netns, TimerKey, Turn};

/// Whether addresses of a device are checked.
pub(crate) fn is_wanted(device: &Device) -> bool {
    !device.is_loopback()
        && device.needs_neigh()
        && device.conf.v6.accept_dad > 0
        && device.conf.v6.dad_transmits > 0
}

/// Begins to check an address: the first probe follows after a random delay, so that stations which start together do
/// not answer together.
pub(crate) fn start(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: Ipv6Addr) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let (transmits, delay_s) =
        (device.conf.v6.dad_transmits as u32, device.conf.v6.router_solicitation_delay as u64);
    if let Some(entry) = device.addrs6.iter_mut().find(|a| a.addr == addr) {
        entry.state = AddrState::Tentative;
        entry.probes_left = transmits;
    }
    let delay = Duration::from_nanos(ns.rng.below(delay_s.max(1) * 1_000_000_000));
    let at = t.now + delay;
    let pending = schedule(ns, dev, addr, at);
    if pending {
        ns.timers.set(at, TimerKey::Dad(dev));
    }
}

/// The carrier has come: the checks that waited for it begin.
pub(crate) fn resume(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let tentative: Vec<Ipv6Addr> = match ns.dev.get(dev) {
        Some(d) => d.addrs6.iter().filter(|a| a.state == AddrState::Tentative).map(|a| a.addr).collect(),
        None => return,
    };
    for addr in tentative {
        start(ns, t, dev, addr);
    }
}

/// Notes when an address is due next; false if it is gone.
fn schedule(ns: &mut Netns, dev: DevId, addr: Ipv6Addr, at: netspace_base::Instant) -> bool {
    let Some(device) = ns.dev.get_mut(dev) else { return false };
    let known = device.addrs6.iter().any(|a| a.addr == addr);
    device.nd.dad_due.retain(|(a, _)| *a != addr);
    if known {
        device.nd.dad_due.push((addr, at));
    }
    known
}

/// Checks of a device's addresses are due: another probe, or the address has passed.
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, dev: DevId) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let retrans = device.conf.neigh6.retrans();
    let due: Vec<Ipv6Addr> =
        device.nd.dad_due.extract_if(.., |(_, at)| *at <= t.now).map(|(a, _)| a).collect();
    for addr in due {
        let Some(device) = ns.dev.get_mut(dev) else { return };
        let running = device.is_running();
        let Some(entry) = device.addrs6.iter_mut().find(|a| a.addr == addr) else { continue };
        if entry.state != AddrState::Tentative {
            continue;
        }
        if entry.probes_left == 0 {
            passed(ns, t, dev, addr);
            continue;
        }
        // Without a carrier nobody could answer: the check begins anew when it comes.
        if !running {
            continue;
        }
        entry.probes_left -= 1;
        probe(ns, t, dev, addr);
        let at = t.now + retrans;
        if schedule(ns, dev, addr, at) {
            ns.timers.set(at, TimerKey::Dad(dev));
        }
    }
}

fn probe(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: Ipv6Addr) {
    let repr = NdpRepr {
        message: NdpMessage::NeighborSolicitation { target: addr },
        options: NdpOptions::default(),
    };
    ndp::send::send(ns, t, dev, Ipv6Addr::UNSPECIFIED, solicited_node(addr), &repr);
}

/// Nobody has it: it may be used.
fn passed(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: Ipv6Addr) {
    let Some(device) = ns.dev.get_mut(dev) else { return };
    let notify = device.conf.v6.ndisc_notify != 0;
    let link_local = addr.is_unicast_link_local();
    if let Some(entry) = device.addrs6.iter_mut().find(|a| a.addr == addr) {
        entry.state =
            if t.now < entry.preferred_until { AddrState::Preferred } else { AddrState::Deprecated };
    }
    super::own_route::activate(ns, dev, addr);
    if notify {
        ndp::send::advertise(ns, t, dev, addr, ipv6::ALL_NODES, false);
    }
    if link_local {
        // Reports made before carried no source; routers want one (RFC 3590).
        super::mld::link_local_ready(ns, t, dev);
        super::discover::link_local_ready(ns, t, dev);
    }
}
