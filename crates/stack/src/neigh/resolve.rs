//! Neighbours are asked for, answer, are doubted and forgotten: the state machine.

use std::collections::VecDeque;
use std::net::IpAddr;

use netspace_base::{Detail, DevId, DropReason, Duration, Instant, Pkt, Point};
use netspace_wire::MacAddr;

use super::state::{NeighId, NeighState, Neighbour, News, To};
use super::{arp, ndp, station};
use crate::icmp::Error;
use crate::sysctl::NeighConf;
use crate::{Netns, Step, Stop, TimerKey, Turn};

/// Memory that a waiting packet takes besides its bytes, as the kernel counts it.
const PKT_OVERHEAD: usize = 768;

/// The sysctls of a neighbour's device and family.
fn conf(ns: &Netns, dev: DevId, addr: IpAddr) -> &NeighConf {
    match (ns.dev.get(dev), addr) {
        (Some(device), IpAddr::V4(_)) => &device.conf.neigh4,
        (Some(device), IpAddr::V6(_)) => &device.conf.neigh6,
        (None, IpAddr::V4(_)) => &ns.sysctl.neigh4,
        (None, IpAddr::V6(_)) => &ns.sysctl.neigh6,
    }
}

// ---- Sending -------------------------------------------------------------------------------------------------------

/// Sends a packet (network header in front) by `pkt.dev` to a station or next hop: the Ethernet header is written, or the
/// packet waits until the neighbour has answered.
pub(crate) fn output(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, to: To) -> Step {
    match to {
        To::Mac(mac) => station::send(ns, t, pkt, mac),
        To::Hop(_) if ns.dev.get(pkt.dev).is_none_or(|d| !d.needs_neigh()) => {
            station::send(ns, t, pkt, MacAddr::ZERO)
        }
        To::Hop(addr) => to_neighbour(ns, t, pkt, addr),
    }
}

fn to_neighbour(ns: &mut Netns, t: &mut Turn, pkt: Box<Pkt>, addr: IpAddr) -> Step {
    let dev = pkt.dev;
    let Some(id) = ns.neigh.id(dev, addr).or_else(|| create(ns, t, dev, addr)) else {
        return Err(Stop::Drop(pkt, DropReason::NeighTableFull));
    };
    let entry = &mut ns.neigh.entries[id];
    entry.used = t.now;
    match entry.state {
        NeighState::Incomplete => return enqueue(ns, t, id, pkt),
        NeighState::Failed => {
            let step = enqueue(ns, t, id, pkt);
            start_resolving(ns, t, id);
            return step;
        }
        NeighState::Stale => {
            set_state(ns, t, id, NeighState::Delay);
            let wait = Duration::from_secs(conf(ns, dev, addr).delay_first_probe_time as u64);
            arm(ns, t.now + wait, id);
        }
        _ => {}
    }
    let mac = ns.neigh.entries[id].mac;
    t.trace.with(t.now, ns.id, Point::NeighSend, &pkt, || Detail::Neighbour { addr, mac: mac.0 });
    station::send(ns, t, pkt, mac)
}

/// A packet waits for the neighbour's answer; the oldest makes room.
fn enqueue(ns: &mut Netns, t: &mut Turn, id: NeighId, pkt: Box<Pkt>) -> Step {
    t.trace.at(t.now, ns.id, Point::NeighQueue, &pkt);
    let entry = &ns.neigh.entries[id];
    let limit = conf(ns, entry.dev, entry.addr).unres_qlen_bytes as usize;
    let cost = pkt.len() + PKT_OVERHEAD;
    let entry = &mut ns.neigh.entries[id];
    entry.queue.push_back(pkt);
    entry.queue_bytes += cost;
    ns.neigh.queued += 1;
    let mut over = Vec::new();
    while entry.queue_bytes > limit
        && let Some(oldest) = entry.queue.pop_front()
    {
        entry.queue_bytes -= oldest.len() + PKT_OVERHEAD;
        ns.neigh.queued -= 1;
        over.push(oldest);
    }
    for oldest in over {
        ns.finish(t, Err(Stop::Drop(oldest, DropReason::NeighQueueFull)));
    }
    // The first packet starts the asking; it must be in the queue then, for its source address is asked with.
    let entry = &ns.neigh.entries[id];
    if entry.state == NeighState::Incomplete && entry.timer.is_none() {
        start_resolving(ns, t, id);
    }
    Err(Stop::Taken)
}

/// A new entry, INCOMPLETE and not asked for yet; none if the table is full.
fn create(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: IpAddr) -> Option<NeighId> {
    let gc = if addr.is_ipv4() { &ns.sysctl.neigh_gc4 } else { &ns.sysctl.neigh_gc6 };
    let (soft, hard) = (gc.gc_thresh2 as usize, gc.gc_thresh3 as usize);
    let v6 = addr.is_ipv6();
    if ns.neigh.counts[usize::from(v6)] >= soft {
        collect(ns, t, v6, Duration::from_secs(5), soft);
    }
    if ns.neigh.counts[usize::from(v6)] >= hard {
        collect(ns, t, v6, Duration::ZERO, soft);
        if ns.neigh.counts[usize::from(v6)] >= hard {
            return None;
        }
    }
    let entry = Neighbour {
        addr,
        dev,
        mac: MacAddr::ZERO,
        state: NeighState::Incomplete,
        is_router: false,
        used: t.now,
        confirmed: Instant::ZERO,
        updated: t.now,
        probes: 0,
        reachable_for: Duration::ZERO,
        timer: None,
        queue: VecDeque::new(),
        queue_bytes: 0,
    };
    let id = ns.neigh.entries.insert(entry);
    ns.neigh.counts[usize::from(v6)] += 1;
    ns.neigh.by_addr.insert((dev, addr), id);
    start_gc(ns, t);
    Some(id)
}

// ---- The state machine ---------------------------------------------------------------------------------------------

fn set_state(ns: &mut Netns, t: &Turn, id: NeighId, state: NeighState) {
    let entry = &mut ns.neigh.entries[id];
    if entry.state != state {
        entry.state = state;
        entry.updated = t.now;
    }
    if let Some(timer) = entry.timer.take() {
        ns.timers.cancel(timer);
    }
}

fn arm(ns: &mut Netns, at: Instant, id: NeighId) {
    let timer = ns.timers.set(at, TimerKey::Neigh(id));
    if let Some(old) = ns.neigh.entries[id].timer.replace(timer) {
        ns.timers.cancel(old);
    }
}

fn start_resolving(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    set_state(ns, t, id, NeighState::Incomplete);
    ns.neigh.entries[id].probes = 0;
    probe(ns, t, id);
}

/// Asks the neighbour: by group or broadcast while its address is unknown, else itself.
fn probe(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    let entry = &mut ns.neigh.entries[id];
    entry.probes += 1;
    let (dev, addr) = (entry.dev, entry.addr);
    let (state, mac, probes) = (entry.state, entry.mac, entry.probes);
    let source = entry.queue.front().and_then(|pkt| source_of(pkt));
    let conf = conf(ns, dev, addr);
    let unicast = (state == NeighState::Probe && probes <= conf.ucast_solicit as u32).then_some(mac);
    let at = t.now + conf.retrans();
    arm(ns, at, id);
    match addr {
        IpAddr::V4(target) => arp::solicit(ns, t, dev, target, source, unicast),
        IpAddr::V6(target) => ndp::solicit(ns, t, dev, target, source, unicast),
    }
}

/// The source address of a waiting packet.
fn source_of(pkt: &Pkt) -> Option<IpAddr> {
    let header = pkt.network_header();
    match header.first()? >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(header.get(12..16)?).ok()?)),
        6 => Some(IpAddr::from(<[u8; 16]>::try_from(header.get(8..24)?).ok()?)),
        _ => None,
    }
}

/// A neighbour's timer: what happens next depends on what was waited for.
pub(crate) fn on_timeout(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    let Some(entry) = ns.neigh.entries.get_mut(id) else { return };
    entry.timer = None;
    let (dev, addr, state, probes) = (entry.dev, entry.addr, entry.state, entry.probes);
    let (used, confirmed, reachable_for) = (entry.used, entry.confirmed, entry.reachable_for);
    let conf = conf(ns, dev, addr);
    let delay = Duration::from_secs(conf.delay_first_probe_time as u64);
    let (mcast, ucast) = (conf.mcast_solicit as u32, (conf.ucast_solicit + conf.mcast_resolicit) as u32);
    match state {
        NeighState::Reachable if t.now < confirmed + reachable_for => arm(ns, confirmed + reachable_for, id),
        NeighState::Reachable if t.now < used + delay => {
            set_state(ns, t, id, NeighState::Delay);
            arm(ns, t.now + delay, id);
        }
        NeighState::Reachable => set_state(ns, t, id, NeighState::Stale),
        NeighState::Delay if t.now < confirmed + delay => reachable(ns, t, id),
        NeighState::Delay => {
            set_state(ns, t, id, NeighState::Probe);
            ns.neigh.entries[id].probes = 0;
            probe(ns, t, id);
        }
        NeighState::Probe if probes < ucast => probe(ns, t, id),
        NeighState::Incomplete if probes < mcast => probe(ns, t, id),
        NeighState::Probe | NeighState::Incomplete => fail(ns, t, id),
        NeighState::Stale | NeighState::Failed | NeighState::Permanent => {}
    }
}

/// Confirmed: it is reachable for a while, of random length (RFC 4861 §6.3.2).
fn reachable(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    set_state(ns, t, id, NeighState::Reachable);
    let entry = &ns.neigh.entries[id];
    let base = Duration::from_millis(conf(ns, entry.dev, entry.addr).base_reachable_time_ms as u64);
    let spread = ns.rng.below(base.as_nanos() as u64);
    let reachable_for = base / 2 + Duration::from_nanos(spread);
    let entry = &mut ns.neigh.entries[id];
    entry.confirmed = entry.confirmed.max(t.now);
    entry.reachable_for = reachable_for;
    entry.probes = 0;
    let at = entry.confirmed + reachable_for;
    arm(ns, at, id);
}

/// It does not answer: everything that waits ends here, and each sender is told.
fn fail(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    set_state(ns, t, id, NeighState::Failed);
    let addr = ns.neigh.entries[id].addr;
    for pkt in take_queue(ns, id) {
        let step = ns.refuse_later(pkt, Error::HostUnreachable, DropReason::NeighFailed);
        ns.finish(t, step);
    }
    // A router does not answer any more: what redirects said of it is forgotten (RFC 1122 §3.3.1.4, RFC 4861 §7.3.3), and kept
    // routes must be chosen anew, so that another is tried.
    let anew = match addr {
        IpAddr::V4(gateway) => ns.ip.exceptions.forget_gateway(gateway),
        IpAddr::V6(gateway) => {
            ns.ip6.exceptions.forget_gateway(gateway);
            true
        }
    };
    if anew {
        ns.routes_changed();
    }
}

fn take_queue(ns: &mut Netns, id: NeighId) -> VecDeque<Box<Pkt>> {
    let Some(entry) = ns.neigh.entries.get_mut(id) else { return VecDeque::new() };
    entry.queue_bytes = 0;
    let queue = std::mem::take(&mut entry.queue);
    ns.neigh.queued -= queue.len() as u64;
    queue
}

/// A neighbour's address became known: what waited for it goes.
fn flush(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    let (addr, mac) = (ns.neigh.entries[id].addr, ns.neigh.entries[id].mac);
    for pkt in take_queue(ns, id) {
        t.trace.with(t.now, ns.id, Point::NeighSend, &pkt, || Detail::Neighbour { addr, mac: mac.0 });
        let step = station::send(ns, t, pkt, mac);
        ns.finish(t, step);
    }
}

/// Takes in what a message told (Linux's `neigh_update`); `create_new`: an unknown neighbour is noted as well.
pub(crate) fn update(ns: &mut Netns, t: &mut Turn, dev: DevId, addr: IpAddr, news: News, create_new: bool) {
    let known = ns.neigh.id(dev, addr);
    let Some(id) = known.or_else(|| if create_new { create(ns, t, dev, addr) } else { None }) else { return };
    let entry = &mut ns.neigh.entries[id];
    if entry.state == NeighState::Permanent {
        return;
    }
    if let Some(is_router) = news.is_router {
        entry.is_router = is_router;
    }
    let was_valid = entry.state.is_valid();
    let mut state = news.state;
    let mac = news.mac.unwrap_or(entry.mac);
    let changed = was_valid && mac != entry.mac;
    if changed && !news.overrides {
        // RFC 4861 §7.2.5: without the override flag the known address stays, but is doubted.
        if news.weak_override && entry.state == NeighState::Reachable {
            set_state(ns, t, id, NeighState::Stale);
        }
        return;
    }
    if !was_valid && news.mac.is_none() {
        return;
    }
    if was_valid && !changed && state == NeighState::Stale {
        // The same address again is no reason to doubt it.
        state = entry.state;
    }
    if mac != entry.mac {
        entry.mac = mac;
        entry.updated = t.now;
    }
    match state {
        NeighState::Reachable if news.state == NeighState::Reachable => {
            ns.neigh.entries[id].confirmed = t.now;
            reachable(ns, t, id);
        }
        NeighState::Stale => set_state(ns, t, id, NeighState::Stale),
        _ => {}
    }
    flush(ns, t, id);
}

/// A higher layer heard from the peer (an acknowledgement of new data, say): the next hop is alive.
pub(crate) fn confirm(ns: &mut Netns, now: Instant, dev: DevId, addr: IpAddr) {
    if let Some(id) = ns.neigh.id(dev, addr) {
        ns.neigh.entries[id].confirmed = now;
    }
}

// ---- Clean-up ------------------------------------------------------------------------------------------------------

fn start_gc(ns: &mut Netns, t: &Turn) {
    if ns.neigh.gc_running {
        return;
    }
    ns.neigh.gc_running = true;
    let interval = Duration::from_secs(ns.sysctl.neigh_gc4.gc_interval.max(1) as u64);
    ns.timers.set(t.now + interval, TimerKey::NeighGc);
}

/// The periodic clean-up: above `gc_thresh1`, entries that were long unused go.
pub(crate) fn on_gc(ns: &mut Netns, t: &mut Turn) {
    ns.neigh.gc_running = false;
    for v6 in [false, true] {
        let (gc, conf) = if v6 {
            (&ns.sysctl.neigh_gc6, &ns.sysctl.neigh6)
        } else {
            (&ns.sysctl.neigh_gc4, &ns.sysctl.neigh4)
        };
        let (keep, unused) = (gc.gc_thresh1 as usize, Duration::from_secs(conf.gc_stale_time as u64));
        if ns.neigh.counts[usize::from(v6)] > keep {
            collect(ns, t, v6, unused, keep);
            start_gc(ns, t);
        }
    }
}

/// Throws away the entries of a family unused for longest until `keep` are left: only those that wait for nothing.
fn collect(ns: &mut Netns, t: &mut Turn, v6: bool, unused: Duration, keep: usize) {
    let now = t.now;
    let idle = |n: &Neighbour| {
        n.addr.is_ipv6() == v6
            && matches!(n.state, NeighState::Stale | NeighState::Failed | NeighState::Reachable)
            && n.queue.is_empty()
            && now - n.used.max(n.updated) >= unused
    };
    let mut old: Vec<(Instant, NeighId)> =
        ns.neigh.entries.iter().filter(|(_, n)| idle(n)).map(|(id, n)| (n.used, id)).collect();
    old.sort_unstable();
    let surplus = ns.neigh.counts[usize::from(v6)].saturating_sub(keep);
    for (_, id) in old.into_iter().take(surplus) {
        remove(ns, t, id);
    }
}

fn remove(ns: &mut Netns, t: &mut Turn, id: NeighId) {
    for pkt in take_queue(ns, id) {
        ns.finish(t, Err(Stop::Drop(pkt, DropReason::NeighFailed)));
    }
    let Some(entry) = ns.neigh.entries.remove(id) else { return };
    ns.neigh.by_addr.remove(&(entry.dev, entry.addr));
    ns.neigh.counts[usize::from(entry.addr.is_ipv6())] -= 1;
    if let Some(timer) = entry.timer {
        ns.timers.cancel(timer);
    }
}

/// The device went down or lost its carrier: what is known about its neighbours is forgotten (carrier: permanent ones
/// stay).
pub(crate) fn device_down(ns: &mut Netns, t: &mut Turn, dev: DevId, keep_permanent: bool) {
    let gone: Vec<NeighId> = ns
        .neigh
        .entries
        .iter()
        .filter(|(_, n)| n.dev == dev && !(keep_permanent && n.state == NeighState::Permanent))
        .map(|(id, _)| id)
        .collect();
    for id in gone {
        remove(ns, t, id);
    }
}

impl Netns {
    /// Sets a neighbour by hand (`ip neigh replace … lladdr … nud permanent`).
    pub fn set_neighbour(&mut self, t: &mut Turn, dev: DevId, addr: IpAddr, mac: [u8; 6]) -> Option<()> {
        self.dev.get(dev)?;
        let id = self.neigh.id(dev, addr).or_else(|| create(self, t, dev, addr))?;
        set_state(self, t, id, NeighState::Permanent);
        self.neigh.entries[id].mac = MacAddr(mac);
        flush(self, t, id);
        Some(())
    }

    /// Forgets a neighbour (`ip neigh del`); false if it was not known.
    pub fn del_neighbour(&mut self, t: &mut Turn, dev: DevId, addr: IpAddr) -> bool {
        let id = self.neigh.id(dev, addr);
        id.map(|id| remove(self, t, id)).is_some()
    }

    /// Tells that a peer behind `addr` was heard from (`MSG_CONFIRM`, an acknowledgement of new data).
    pub fn confirm_neighbour(&mut self, now: Instant, dev: DevId, addr: IpAddr) {
        confirm(self, now, dev, addr);
    }
}
