//! The namespace: one field per subsystem, and the one place where packets end. It owns state and names no stage.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_base::{Detail, DropReason, Instant, NsId, Pkt, Point, Rng, Seed, TimerWheel};
use netspace_fib::{Fib4, Fib6};
use netspace_wire::ethernet::ETHERTYPE_IPV6;

use crate::dev::Devices;
use crate::icmp::Error;
use crate::icmp::Icmp;
use crate::ip::state::Ip;
use crate::ip6::state::Ip6;
use crate::neigh::Neigh;
use crate::packet::PacketSockets;
use crate::route::{Exception, RouteOut};
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

/// A packet that could not leave, and of which its sender is to be told.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) pkt: Box<Pkt>,
    pub(crate) error: Error,
    pub(crate) reason: DropReason,
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
    /// Packet sockets.
    pub(crate) packets: PacketSockets,
    pub(crate) ip: Ip,
    pub(crate) ip6: Ip6,
    pub(crate) icmp: Icmp,
    /// Everything that is to happen later.
    pub(crate) timers: TimerWheel<TimerKey>,
    pub(crate) backlog: VecDeque<(Reentry, Box<Pkt>)>,
    /// Apart from the backlog: its errors are told even when that is full.
    pub(crate) refused: VecDeque<Refused>,
    pub(crate) route_generation: u64,
    /// Chance for the network layer: delays, identifiers, nonces.
    pub(crate) rng: Rng,
}

// ---- Routes that are kept -------------------------------------------------------------------------------------------
impl Netns {
    /// A namespace without any device.
    pub(crate) fn empty(config: NetnsConfig) -> Self {
        let mut rng = config.seed.stream("net", u64::from(config.id.0));
        Self {
            id: config.id,
            name: config.name,
            dev: Devices::default(),
            fib4: Fib4::default(),
            fib6: Fib6::default(),
            neigh: Neigh::new(rng.u64()),
            sysctl: Sysctls::default(),
            snmp: Snmp::default(),
            sockets: Sockets::new(config.seed, config.id),
            packets: PacketSockets::default(),
            ip: Ip::new(&mut rng),
            ip6: Ip6::new(&mut rng),
            icmp: Icmp::new(rng.u64()),
            timers: TimerWheel::new(),
            backlog: VecDeque::new(),
            refused: VecDeque::new(),
            route_generation: 1,
            rng,
        }
    }

    /// Whether a kept [`RouteOut`] still holds: no route, address, device or path MTU has changed since.
    #[inline]
    pub fn route_valid(&self, now: Instant, route: &RouteOut) -> bool {
        route.generation == self.route_generation && now < route.expires
    }

    /// Path MTUs and redirects that hold at `now`, by destination.
    pub fn learnt_paths4(&self, now: Instant) -> Vec<(Ipv4Addr, Exception<Ipv4Addr>)> {
        self.ip.exceptions.list(now)
    }

    /// The same for IPv6.
    pub fn learnt_paths6(&self, now: Instant) -> Vec<(Ipv6Addr, Exception<Ipv6Addr>)> {
        self.ip6.exceptions.list(now)
    }

    /// Changes with every change of devices, addresses, routes and rules.
    pub const fn config_generation(&self) -> u64 {
        self.route_generation
    }

    /// Tells that kept routes must be asked for again.
    pub fn routes_changed(&mut self) {
        self.route_generation += 1;
    }
}

// ---- Where packets end ---------------------------------------------------------------------------------------------
impl Netns {
    /// Packets whose senders are still to be told that they could not leave: what waits for a few neighbours that all fail at
    /// one moment.
    const REFUSED_MAX: usize = 4096;

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
    pub(crate) fn drop_together(&mut self, t: &mut Turn, pkts: Vec<Box<Pkt>>, reason: DropReason) -> Stop {
        let mut pkts = pkts.into_iter();
        let Some(first) = pkts.next() else { return Stop::Taken };
        for pkt in pkts {
            t.ledger.drop(reason);
            t.trace.with(t.now, self.id, Point::Drop, &pkt, || Detail::Drop(reason));
        }
        Stop::Drop(first, reason)
    }

    /// Puts a packet off to the backlog: a stage that would enter the stack again from below does this instead.
    pub(crate) fn reenter_later(&mut self, pkt: Box<Pkt>, how: Reentry) -> Step {
        if self.backlog.len() >= self.sysctl.core.netdev_max_backlog as usize {
            return Err(Stop::Drop(pkt, DropReason::BacklogFull));
        }
        self.backlog.push_back((how, pkt));
        Err(Stop::Taken)
    }

    /// Puts off telling a packet's sender that it could not leave: the error's own way out leads through the stages that
    /// refuse it. Beyond the bound it ends untold.
    pub(crate) fn refuse_later(&mut self, pkt: Box<Pkt>, error: Error, reason: DropReason) -> Step {
        if self.refused.len() >= Self::REFUSED_MAX {
            return Err(Stop::Drop(pkt, reason));
        }
        self.refused.push_back(Refused { pkt, error, reason });
        Err(Stop::Taken)
    }

    /// Packets that wait here: in rings, the backlog, for a neighbour, for other fragments. With it,
    /// `created = delivered + sent + dropped + queued` over all namespaces of a [`Turn`].
    pub fn queued(&self) -> u64 {
        let rings: usize = self.dev.iter().map(|d| d.ring.len()).sum();
        (rings + self.backlog.len() + self.refused.len()) as u64
            + self.neigh.queued()
            + self.ip.reassembly.queued()
            + self.ip6.reassembly.queued()
    }

    /// Drops all that waits (the host is shut down), each packet for its reason.
    pub fn shut_down(&mut self, t: &mut Turn) {
        let mut waiting: Vec<Box<Pkt>> = self.backlog.drain(..).map(|(_, pkt)| pkt).collect();
        waiting.extend(self.refused.drain(..).map(|refused| refused.pkt));
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
