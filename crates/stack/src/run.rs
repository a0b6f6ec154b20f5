//! The namespace's inputs: frames, its own backlog, timers. All of them enter the stages here.

use netspace_base::{DevId, Instant, Pkt};

use crate::dev::{bridge, receive};
use crate::neigh::resolve;
use crate::{Netns, TimerKey, Turn, ip, ip6, l4};

impl Netns {
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
            } else if let Some(refused) = self.refused.pop_front() {
                budget -= 1;
                let step = receive::refuse(self, t, refused);
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
        !self.backlog.is_empty() || !self.refused.is_empty() || !self.dev.poll.is_empty()
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
            TimerKey::Neigh(id) => resolve::on_timeout(self, t, id),
            TimerKey::NeighGc => resolve::on_gc(self, t),
            TimerKey::Frag4(key) => ip::reassemble::on_timeout(self, t, &key),
            TimerKey::Frag6(key) => ip6::reassemble::on_timeout(self, t, &key),
            TimerKey::BridgeAge(dev) => bridge::on_age(self, t, dev),
            TimerKey::Dad(dev) => ip6::dad::on_timeout(self, t, dev),
            TimerKey::Lifetimes => ip6::slaac::on_lifetimes(self, t),
            TimerKey::RouterSolicit(dev) => ip6::discover::on_solicit_timer(self, t, dev),
            TimerKey::RouterAdvert(dev) => ip6::discover::on_advert_timer(self, t, dev),
            TimerKey::Igmp(dev) => ip::igmp::on_timeout(self, t, dev),
            TimerKey::Mld(dev) => ip6::mld::on_timeout(self, t, dev),
            TimerKey::Sock(key) => l4::on_timeout(self, t, key),
        }
    }
}
