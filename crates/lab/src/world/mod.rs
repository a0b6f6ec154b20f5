//! The world: all hosts and links of a lab, and the loop that drives them by one clock.
//!
//! ```text
//!            ┌───────────── agenda: link arrivals, hosts' timers ─────────────┐
//!            ▼                                                                │
//!  due ─▶ host.receive / host.on_timeout ─▶ dirty hosts ─▶ host.run ─▶ effects ┤ Xmit ─▶ link ─▶ arrival
//!            ▲                                                                └ Wake ─▶ resolver, door, library
//!  programs ─┴─ door.poll
//! ```
//! Hosts never borrow each other: frames travel as values over [`Link`]s. Everything random comes from one seed, and of
//! things due at the same moment the order is fixed, so a world in virtual time gives the same run every time.

mod agenda;
mod build;
mod capture;
mod clock;
mod link;
mod poller;
mod programs;
mod resolver;
mod step;
mod tap;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use netspace_base::{Event, Instant, Ledger, NsId, Seed};
use netspace_stack::packet::PacketId;
use netspace_stack::sock::SockId;
use netspace_stack::{Effect, Netns, Turn};

use crate::file::NodeKind;
use crate::names::Names;
use crate::plan::Plan;

use agenda::Agenda;
pub use build::BuildError;
pub use capture::{CaptureHandle, CaptureState};
pub use clock::Clock;
pub use link::{Link, LinkEnd, LinkError, LinkInfo};
use resolver::Resolver;
pub use tap::FrameSink;

/// A host, router or switch of a world.
#[derive(Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Its network namespace.
    pub(crate) netns: Netns,
    /// By device number: the link and end that it is.
    ports: Vec<Option<(usize, usize)>>,
    dirty: bool,
    resolver: Option<Resolver>,
}

/// All hosts and links of a lab.
pub struct World {
    turn: Turn,
    hosts: Vec<Host>,
    links: Vec<Link>,
    clock: Clock,
    agenda: Agenda,
    dirty: VecDeque<NsId>,
    wakes: VecDeque<(NsId, SockId)>,
    packet_wakes: VecDeque<(NsId, PacketId)>,
    /// Wakes that nobody here takes, for a user of the library.
    woken: Vec<(NsId, SockId)>,
    /// The host whose effects are in the turn.
    lent: Option<NsId>,
    spare: Vec<Effect>,
    fidelity: clock::Fidelity,
    names: Arc<Names>,
    plan: Arc<Plan>,
    taps: Vec<Box<dyn FrameSink>>,
    programs: programs::Programs,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World({} hosts, {} links, at {})", self.hosts.len(), self.links.len(), self.turn.now)
    }
}

impl World {
    /// The plan that the world was made from.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The lab's names.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The time by the lab's clock.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Whether time jumps.
    pub const fn is_virtual(&self) -> bool {
        self.clock.is_virtual()
    }

    /// Hosts, routers and switches; a host's place is its [`NsId`].
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The number of a host.
    pub fn host_id(&self, name: &str) -> Option<NsId> {
        self.hosts.iter().position(|h| h.name == name).map(|n| NsId(n as u32))
    }

    /// A host's namespace, to look at.
    pub fn netns(&self, ns: NsId) -> &Netns {
        &self.hosts[ns.0 as usize].netns
    }

    /// A host's namespace and the turn, to call the stack at the lab's present time. What the call causes is carried out
    /// when the world next works.
    pub fn lend(&mut self, ns: NsId) -> (&mut Netns, &mut Turn) {
        self.settle();
        self.turn.now = self.clock.now();
        self.lent = Some(ns);
        (&mut self.hosts[ns.0 as usize].netns, &mut self.turn)
    }

    /// Where packets ended.
    pub const fn ledger(&self) -> &Ledger {
        &self.turn.ledger
    }

    /// Packets that wait somewhere in the stack.
    pub fn queued(&self) -> u64 {
        self.hosts.iter().map(|h| h.netns.queued()).sum()
    }

    /// Whether new packets are traced.
    pub fn set_trace(&mut self, on: bool) {
        self.turn.trace.on = on;
        self.turn.trace.clock = self.clock.for_trace();
    }

    /// Whether new packets are traced.
    pub const fn is_traced(&self) -> bool {
        self.turn.trace.on
    }

    /// The trace's events since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.turn.trace.take()
    }

    /// Sockets whose readiness may have changed and that neither the lab nor a program owns.
    pub fn take_woken(&mut self) -> Vec<(NsId, SockId)> {
        std::mem::take(&mut self.woken)
    }

    /// The share of time for which the lab kept up with its clock, 0 to 1.
    pub fn time_fidelity(&self) -> f64 {
        if self.is_virtual() { 1.0 } else { self.fidelity.ratio(self.now()) }
    }

    /// By how much the latest event was late.
    pub const fn worst_lateness(&self) -> Duration {
        self.fidelity.worst()
    }

    /// The number that all chance is drawn from, when neither the file nor the user gives one.
    pub const DEFAULT_SEED: Seed = Seed(1);

    fn mark_dirty(&mut self, ns: NsId) {
        let host = &mut self.hosts[ns.0 as usize];
        if !host.dirty {
            host.dirty = true;
            self.dirty.push_back(ns);
        }
    }

    fn host_slot(&self, ns: NsId) -> usize {
        2 * self.links.len() + ns.0 as usize
    }

    /// Carries out what the host lent last has caused.
    fn settle(&mut self) {
        let Some(ns) = self.lent.take() else { return };
        let mut effects = std::mem::replace(&mut self.turn.effects, std::mem::take(&mut self.spare));
        for effect in effects.drain(..) {
            match effect {
                // A burst of segments wakes the same socket again and again: once is enough.
                Effect::Wake(sock) if self.wakes.back() == Some(&(ns, sock)) => {}
                Effect::Wake(sock) => self.wakes.push_back((ns, sock)),
                Effect::WakePacket(sock) => self.packet_wakes.push_back((ns, sock)),
                Effect::Xmit { dev, pkt } => {
                    let port = self.hosts[ns.0 as usize].ports.get(dev.0 as usize).copied().flatten();
                    if let Some((link, end)) = port {
                        self.carry(link, end, pkt);
                    }
                }
            }
        }
        self.spare = effects;
        self.hand_out_taps();
        let netns = &self.hosts[ns.0 as usize].netns;
        let (work, timeout) = (netns.has_work(), netns.next_timeout());
        let slot = self.host_slot(ns);
        self.agenda.set(slot, timeout);
        if work {
            self.mark_dirty(ns);
        }
    }
}
