//! The loop: what is due, then waiting for what comes next.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use netspace_base::{Instant, NsId};
use netspace_stack::sock::SockId;

use super::{Clock, World};

/// How many things are done before the loop looks at programs again.
const BUDGET: usize = 256;
/// The library's wakes that are kept for [`World::take_woken`]; beyond that nobody is asking.
const WOKEN_MAX: usize = 65_536;

impl World {
    /// Does what is due now, up to a bound; true if more is left.
    pub fn work(&mut self) -> bool {
        self.settle();
        self.turn.now = self.clock.now();
        self.fidelity.note(self.turn.now, self.agenda.next().filter(|&at| at <= self.turn.now));
        for _ in 0..BUDGET {
            if let Some(ns) = self.dirty.pop_front() {
                self.run_host(ns);
            } else if let Some((ns, sock)) = self.wakes.pop_front() {
                self.wake(ns, sock);
            } else if let Some((ns, sock)) = self.packet_wakes.pop_front() {
                self.packet_wake(ns, sock);
            } else if let Some(slot) = self.agenda.pop(self.turn.now) {
                self.due(slot);
            } else {
                return false;
            }
        }
        true
    }

    fn run_host(&mut self, ns: NsId) {
        let host = &mut self.hosts[ns.0 as usize];
        host.dirty = false;
        self.lent = Some(ns);
        host.netns.run(&mut self.turn);
        self.settle();
    }

    fn due(&mut self, slot: usize) {
        if slot < 2 * self.links.len() {
            return self.arrive(slot / 2, slot % 2);
        }
        let ns = NsId((slot - 2 * self.links.len()) as u32);
        self.lent = Some(ns);
        self.hosts[ns.0 as usize].netns.on_timeout(&mut self.turn);
        self.settle();
    }

    fn wake(&mut self, ns: NsId, sock: SockId) {
        if self.resolver_wake(ns, sock) || self.program_wake(ns, sock) {
            return;
        }
        if self.woken.len() < WOKEN_MAX {
            self.woken.push((ns, sock));
        }
    }

    /// When something is next due: now, if work is waiting.
    pub fn next_event(&self) -> Option<Instant> {
        let waiting = self.lent.is_some()
            || !self.dirty.is_empty()
            || !self.wakes.is_empty()
            || !self.packet_wakes.is_empty();
        if waiting {
            return Some(self.now());
        }
        [self.agenda.next(), self.programs.next_timeout()].into_iter().flatten().min()
    }

    /// One turn of the loop: waits (at most `max_wait`; without it as long as it takes) for an event, a program or a
    /// watched descriptor, and does what is due. Gives the tokens of watched descriptors that are ready.
    ///
    /// In virtual time nothing waits: the clock jumps to the next event, at most by `max_wait`.
    pub fn step(&mut self, max_wait: Option<Duration>) -> io::Result<Vec<u64>> {
        let next = self.next_event();
        let now = self.now();
        let wait = next.map(|at| at.saturating_since(now));
        let wait = match (wait, max_wait) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Clock::Virtual(clock) = &mut self.clock {
            *clock += wait.unwrap_or_default();
            self.work();
            return Ok(Vec::new());
        }
        let wait = if self.programs.is_busy() { Some(Duration::ZERO) } else { wait };
        if wait != Some(Duration::ZERO) {
            self.taps.iter_mut().for_each(|tap| tap.idle());
        }
        let ready = self.programs.wait(wait)?;
        self.poll_programs();
        self.work();
        Ok(ready)
    }

    /// Runs until `done` says so or the clock reaches `deadline`; whether `done` did. `done` is asked after each turn.
    pub fn run_until(
        &mut self,
        deadline: Instant,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> io::Result<bool> {
        loop {
            if done(self) {
                return Ok(true);
            }
            let now = self.now();
            if now >= deadline {
                return Ok(false);
            }
            self.step(Some(deadline.saturating_since(now)))?;
        }
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let deadline = self.now() + time;
        self.run_until(deadline, |_| false).map(drop)
    }

    /// Runs until nothing is left to happen (virtual time only; periodic timers keep a world going), or `deadline`.
    pub fn run_idle(&mut self, deadline: Instant) -> io::Result<()> {
        self.run_until(deadline, |world| world.next_event().is_none()).map(drop)
    }

    /// Watches a descriptor: [`World::step`] returns `token` when it is readable, has hung up, or (if asked) takes bytes.
    /// Asked again for the same descriptor, it changes what is watched for.
    pub fn watch(&mut self, fd: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
        self.programs.poller_or_new()?.add(fd, token, writable)
    }

    /// Stops watching a descriptor. To be called before it is closed.
    pub fn unwatch(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.programs.poller_or_new()?.remove(fd)
    }
}
