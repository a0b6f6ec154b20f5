//! The namespace: one field per subsystem, its inputs, and the one place where packets end.

use std::collections::VecDeque;

use netspace_base::{Detail, DevId, DropReason, Instant, NsId, Pkt, Point, Rng, Seed, TimerWheel};
use netspace_fib::{Fib4, Fib6};
use netspace_wire::ethernet::ETHERTYPE_IPV6;

use crate::dev::{Devices, receive};
use crate::icmp::Icmp;
use crate::ip::Ip;
use crate::ip6::Ip6;
use crate::neigh::Neigh;
use crate::snmp::Snmp;
use crate::sock::Sockets;
use crate::sysctl::Sysctls;
use crate::{Step, Stop, TimerKey, Turn};

/// What a namespace is made with.
#[derive(Clone, Debug)]
pub struct NetnsConfig {
    /// Its number in the lab.
    pub id: NsId,
    /// Its name: the host's.
    pub name: String,
    /// The lab's seed; the namespace draws its own streams from it.
    pub seed: Seed,
}

/// Where a packet in the backlog goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reentry {
    /// At the loopback device, which has sent it.
    Loopback,
    /// At a bridge's own protocols.
    Bridged,
    /// At IP: a copy of a group or broadcast packet sent here.
    Looped,
}

/// One network namespace: devices, addresses, routes, neighbours, sockets, counters.
#[derive(Debug)]
pub struct Netns {
    /// Its number in the lab.
    pub id: NsId,
    /// Its name: the host's.
    pub name: String,
    /// Devices.
    pub dev: Devices,
    /// IPv4 routes.
    pub fib4: Fib4,
    /// IPv6 routes.
    pub fib6: Fib6,
    /// Neighbours of both families.
    pub neigh: Neigh,
    /// The network layer's sysctls.
    pub sysctl: Sysctls,
    /// Counters.
    pub snmp: Snmp,
    /// Sockets.
    pub(crate) sockets: Sockets,
    pub(crate) ip: Ip,
    pub(crate) ip6: Ip6,
    pub(crate) icmp: Icmp,
    /// Everything that is to happen later.
    pub(crate) timers: TimerWheel<TimerKey>,
    pub(crate) backlog: VecDeque<(Reentry, Box<Pkt>)>,
    pub(crate) route_generation: u64,
    /// Chance for the network layer: delays, identifiers, nonces.
    pub(crate) rng: Rng,
}

// ---- Inputs: frames and timers -------------------------------------------------------------------------------------
impl Netns {
    /// A namespace with a loopback device (`lo`, ifindex 1, up, 127.0.0.1/8 and ::1/128).
    pub fn new(config: NetnsConfig, t: &mut Turn) -> Self {
        let mut rng = config.seed.stream("net", u64::from(config.id.0));
        let mut ns = Self {
            id: config.id,
            name: config.name,
            dev: Devices::default(),
            fib4: Fib4::default(),
            fib6: Fib6::default(),
            neigh: Neigh::new(rng.u64()),
            sysctl: Sysctls::default(),
            snmp: Snmp::default(),
            sockets: Sockets::new(config.seed, config.id),
            ip: Ip::new(&mut rng),
            ip6: Ip6::new(&mut rng),
            icmp: Icmp::new(rng.u64()),
            timers: TimerWheel::new(),
            backlog: VecDeque::new(),
            route_generation: 1,
            rng,
        };
        ns.add_loopback(t);
        ns
    }

    /// A frame has arrived on `dev`'s link: it enters the receive ring, counted as created. Nothing is processed yet:
    /// call [`Netns::run`].
    pub fn receive(&mut self, t: &mut Turn, dev: DevId, pkt: Box<Pkt>) {
        t.ledger.created += 1;
        let step = receive::ring(self, t, dev, pkt);
        self.finish(t, step);
    }

    /// Works off rings and the backlog until they are empty or the budget is used up; true if more is left.
    pub fn run(&mut self, t: &mut Turn) -> bool {
        let mut budget = self.sysctl.core.netdev_budget as usize;
        while budget > 0 {
            if let Some((how, pkt)) = self.backlog.pop_front() {
                budget -= 1;
                let step = receive::reenter(self, t, how, pkt);
                self.finish(t, step);
            } else if let Some(dev) = self.dev.poll.pop_front() {
                budget -= receive::poll(self, t, dev, budget).min(budget);
            } else {
                return false;
            }
        }
        self.has_work()
    }

    /// Whether [`Netns::run`] has something to do: after any call, for packets to this host itself wait in the backlog.
    pub fn has_work(&self) -> bool {
        !self.backlog.is_empty() || !self.dev.poll.is_empty()
    }

    /// When [`Netns::on_timeout`] must next be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Carries out what is due at `turn.now`.
    pub fn on_timeout(&mut self, t: &mut Turn) {
        while let Some(key) = self.timers.pop(t.now) {
            self.on_timer(t, key);
        }
    }

    fn on_timer(&mut self, t: &mut Turn, key: TimerKey) {
        match key {
            TimerKey::Neigh(id) => crate::neigh::on_timeout(self, t, id),
            TimerKey::NeighGc => crate::neigh::on_gc(self, t),
            TimerKey::Frag4(key) => crate::ip::reassemble::on_timeout(self, t, &key),
            TimerKey::Frag6(key) => crate::ip6::reassemble::on_timeout(self, t, &key),
            TimerKey::BridgeAge(dev) => crate::dev::bridge::on_age(self, t, dev),
            TimerKey::Dad(dev) => crate::ip6::dad::on_timeout(self, t, dev),
            TimerKey::Lifetimes => crate::ip6::slaac::on_lifetimes(self, t),
            TimerKey::RouterSolicit(dev) => crate::ip6::ra::on_solicit_timer(self, t, dev),
            TimerKey::RouterAdvert(dev) => crate::ip6::ra::on_advert_timer(self, t, dev),
            TimerKey::Igmp(dev) => crate::ip::igmp::on_timeout(self, t, dev),
            TimerKey::Mld(dev) => crate::ip6::mld::on_timeout(self, t, dev),
            TimerKey::Sock(key) => crate::l4::on_timeout(self, t, key),
        }
    }
}

// ---- Where packets end ---------------------------------------------------------------------------------------------
impl Netns {
    /// The end of a packet's walk: the one place that counts, traces and frees. A packet that is still in hand was
    /// delivered.
    pub(crate) fn finish(&mut self, t: &mut Turn, step: Step) {
        match step {
            Ok(delivered) => {
                t.ledger.delivered += 1;
                t.recycle(delivered);
            }
            Err(Stop::Taken) => {}
            Err(Stop::Drop(pkt, reason)) => {
                self.drop(t, &pkt, reason);
                t.recycle(pkt);
            }
        }
    }

    fn drop(&mut self, t: &mut Turn, pkt: &Pkt, reason: DropReason) {
        t.ledger.drop(reason);
        self.snmp.drop(reason, pkt.protocol == ETHERTYPE_IPV6);
        t.trace.with(t.now, self.id, Point::Drop, pkt, || Detail::Drop(reason));
    }

    /// Packets that end together for one reason, as one count: a packet's fragments. The step drops the first.
    pub(crate) fn drop_together(&mut self, t: &mut Turn, pkts: Vec<Box<Pkt>>, reason: DropReason) -> Step {
        let mut pkts = pkts.into_iter();
        let Some(first) = pkts.next() else { return Err(Stop::Taken) };
        for pkt in pkts {
            t.ledger.drop(reason);
            t.trace.with(t.now, self.id, Point::Drop, &pkt, || Detail::Drop(reason));
        }
        Err(Stop::Drop(first, reason))
    }

    /// Puts a packet off to the backlog: a stage that would enter the stack again from below does this instead.
    pub(crate) fn reenter_later(&mut self, pkt: Box<Pkt>, how: Reentry) -> Step {
        if self.backlog.len() >= self.sysctl.core.netdev_max_backlog as usize {
            return Err(Stop::Drop(pkt, DropReason::BacklogFull));
        }
        self.backlog.push_back((how, pkt));
        Err(Stop::Taken)
    }

    /// Packets that wait here: in rings, the backlog, for a neighbour, for other fragments. With it,
    /// `created = delivered + sent + dropped + queued` over all namespaces of a [`Turn`].
    pub fn queued(&self) -> u64 {
        let rings: usize = self.dev.iter().map(|d| d.ring.len()).sum();
        (rings + self.backlog.len()) as u64
            + self.neigh.queued()
            + self.ip.reassembly.queued()
            + self.ip6.reassembly.queued()
    }

    /// Drops all that waits (the host is shut down), each packet for its reason.
    pub fn shut_down(&mut self, t: &mut Turn) {
        let mut waiting: Vec<Box<Pkt>> = self.backlog.drain(..).map(|(_, pkt)| pkt).collect();
        for device in self.dev.iter_mut() {
            waiting.extend(device.ring.drain(..));
        }
        waiting.extend(self.neigh.take_queued());
        waiting.extend(self.ip.reassembly.take_queued());
        waiting.extend(self.ip6.reassembly.take_queued());
        for pkt in waiting {
            self.finish(t, Err(Stop::Drop(pkt, DropReason::NamespaceGone)));
        }
    }
}

// ---- The transport layer's sysctls ---------------------------------------------------------------------------------
impl Netns {
    pub(crate) fn set_sock_sysctl(
        &mut self,
        name: &str,
        value: &str,
    ) -> Option<Result<(), crate::sock::SockError>> {
        self.sockets.sysctls.set(name, value)
    }

    pub(crate) fn sock_sysctl(&self, name: &str) -> Option<String> {
        self.sockets.sysctls.get(name)
    }

    pub(crate) fn sock_sysctl_names(&self) -> impl Iterator<Item = &'static str> {
        crate::sock::SockSysctls::NAMES.iter().copied()
    }
}
