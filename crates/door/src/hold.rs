//! Held calls: those that wait for something, as a blocking accept(2) does.
//!
//! A held call is tried again when its socket wakes. With `WAIT_KILLABLE_RECV` the kernel does not interrupt it when a
//! signal comes; so the door looks whether one is pending, soon at first, then ever more rarely so that an idle lab
//! uses next to no CPU, and lets the call end with the kernel's own `ERESTARTSYS`: it then gives EINTR or a restart
//! exactly as the program's handler asks.

use std::os::fd::AsFd;

use crate::door::{Door, Watch, World};
use crate::procfs::{self, Signals};
use crate::sock::{Body, Key};
use crate::standin::Fate;
use crate::sys::{file, seccomp};
use crate::trapped::{Answer, Call, Held, Outcome, Wait};

/// The kernel's internal number for "interrupted; to be restarted if the handler says so".
const ERESTARTSYS: i32 = 512;
const FIRST_LOOK_MS: u64 = 2;
const LAST_LOOK_MS: u64 = 200;

impl Door {
    /// Carries a call out, for the first time or again.
    pub(crate) fn serve(&mut self, world: &mut dyn World, mut call: Call) {
        let outcome = self.dispatch(world, &mut call);
        self.finish(world, call, outcome);
    }

    fn finish(&mut self, world: &mut dyn World, call: Call, outcome: Outcome) {
        let Some(listener) = self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref()) else {
            return;
        };
        let listener = listener.as_fd();
        // An answer that nobody waits for any more (ENOENT) is no error.
        let _ = match outcome {
            Ok(Answer::Proceed) => seccomp::proceed(listener, call.id),
            Ok(Answer::Value(value)) => seccomp::answer(listener, call.id, value),
            Ok(Answer::Sent) => Ok(()),
            Ok(Answer::Hold(wait)) => {
                self.hold(world, call, wait);
                Ok(())
            }
            Err(errno) => seccomp::fail(listener, call.id, errno.0),
        };
    }

    fn hold(&mut self, world: &mut dyn World, mut call: Call, wait: Wait) {
        let (_, t) = world.host(call.ns);
        let deadline = *call.deadline.get_or_insert_with(|| wait.timeout.map(|timeout| t.now + timeout));
        let Some(sock) = self.socks.get_mut(wait.sock) else { return };
        let now = file::monotonic_ms();
        let held = Held {
            call,
            sock: wait.sock,
            deadline,
            expired: wait.expired,
            look_at_ms: now + FIRST_LOOK_MS,
            pause_ms: FIRST_LOOK_MS,
        };
        let key = self.held.insert(held);
        sock.waiting.push(key);
        self.set_timer();
    }

    /// The socket that held calls waited for is gone.
    pub(crate) fn release_all(&mut self, waiting: &[usize]) {
        for &key in waiting {
            if let Some(held) = self.held.try_remove(key)
                && let Some(Some(listener)) =
                    self.trees.get(held.call.tree).map(|tree| tree.listener.as_ref())
            {
                let _ = seccomp::fail(listener.as_fd(), held.call.id, libc::EBADF);
            }
        }
    }

    /// Takes a held call out, to be answered.
    fn release(&mut self, key: usize) -> Option<Held> {
        let held = self.held.try_remove(key)?;
        if let Some(sock) = self.socks.get_mut(held.sock) {
            sock.waiting.retain(|&k| k != key);
        }
        Some(held)
    }

    /// The socket may be ready for something new: bytes move, held calls are tried again, poll is told.
    pub(crate) fn on_sock_wake(&mut self, world: &mut dyn World, key: Key) {
        self.settle_connect(world, key);
        self.pump(world, key);
        if self.was_closed(world, key) {
            return;
        }
        self.retry_held(world, key);
        self.sync(world, key);
    }

    /// Tries the calls again that wait for a socket.
    pub(crate) fn retry_held(&mut self, world: &mut dyn World, key: Key) {
        let waiting = self.socks.get(key).map(|sock| sock.waiting.clone()).unwrap_or_default();
        for held in waiting {
            if let Some(Held { call, .. }) = self.release(held) {
                self.serve(world, call);
            }
        }
    }

    /// The same before a call, whatever the kernel has told of the outer end so far.
    pub(crate) fn pump_all(&mut self, world: &mut dyn World, key: Key) {
        if let Some(Body::Stream(stream)) = self.socks.get_mut(key).map(|sock| &mut sock.body) {
            stream.set_readable();
        }
        self.pump(world, key);
    }

    /// Moves a stream's bytes, or passes a datagram socket's plain writes on.
    pub(crate) fn pump(&mut self, world: &mut dyn World, key: Key) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        let (ns, t) = world.host(sock.ns);
        if let Body::Netlink(netlink) = &mut sock.body {
            netlink.pump_up(ns, t);
            return netlink.sync();
        }
        if let Body::Packet(packet) = &mut sock.body {
            return packet.pump_up(ns, t);
        }
        let Some(id) = sock.id else { return };
        match &mut sock.body {
            Body::Stream(stream) => match stream.pump(ns, t, id) {
                Fate::Closed => self.forget(key),
                fate => {
                    stream.watch_for_room(&self.epoll, Watch::Sock(key).token());
                    if fate == Fate::Busy {
                        self.set_busy(key);
                    }
                }
            },
            Body::Datagram(datagram) => {
                if datagram.pump_up(ns, t, id) {
                    self.set_busy(key);
                }
            }
            Body::Fresh(_) | Body::Connecting(_) | Body::Listener(_) | Body::Netlink(_) | Body::Packet(_) => {
            }
        }
    }

    /// Makes poll on the program's end tell what the stack's socket is ready for.
    pub(crate) fn sync(&mut self, world: &mut dyn World, key: Key) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        if matches!(sock.body, Body::Packet(_)) {
            return self.sync_packet(world, key);
        }
        let Some(id) = sock.id else { return };
        let (ns, t) = world.host(sock.ns);
        match &mut sock.body {
            Body::Listener(listener) => listener.sync(ns, id),
            Body::Datagram(datagram) => {
                let watched = datagram.push.outer().is_some();
                datagram.sync(ns, t, id);
                if !watched {
                    self.watch(key);
                }
            }
            Body::Fresh(_) | Body::Connecting(_) | Body::Stream(_) | Body::Netlink(_) | Body::Packet(_) => {}
        }
    }

    /// Ends the calls whose time is up.
    pub(crate) fn expire_held(&mut self, world: &mut dyn World) {
        let due: Vec<usize> = self
            .held
            .iter()
            .filter(|(_, held)| held.deadline.is_some_and(|at| at <= world.host(held.call.ns).1.now))
            .map(|(key, _)| key)
            .collect();
        for key in due {
            if let Some(Held { mut call, expired, .. }) = self.release(key) {
                let outcome = self.on_expired(world, &mut call, expired);
                self.finish(world, call, outcome);
            }
        }
    }

    // ---- Signals ---------------------------------------------------------------------------------------------------

    /// Sets the door's timer for the next look at signals or at closed sockets.
    pub(crate) fn set_timer(&mut self) {
        let looks = self.held.iter().map(|(_, held)| held.look_at_ms);
        let next = looks
            .chain(self.liveness.next_ms())
            .chain(self.monitors.next_ms())
            .chain(self.rings_next_ms())
            .min();
        let now = file::monotonic_ms();
        let ms = next.map_or(0, |at| u32::try_from(at.saturating_sub(now).max(1)).unwrap_or(u32::MAX));
        file::set_timer(self.timer.as_fd(), ms);
    }

    pub(crate) fn on_timer(&mut self, world: &mut dyn World) {
        // Set anew below, which also makes it unreadable.
        let now = file::monotonic_ms();
        let due: Vec<usize> =
            self.held.iter().filter(|(_, held)| held.look_at_ms <= now).map(|(key, _)| key).collect();
        for key in due {
            self.look_for_signals(world, key, now);
        }
        self.look_for_closed(world, now);
        self.look_at_monitors(world, now);
        self.look_at_rings(world, now);
        self.set_timer();
    }

    fn look_for_signals(&mut self, world: &mut dyn World, key: usize, now: u64) {
        let Some(held) = self.held.get_mut(key) else { return };
        held.pause_ms = (held.pause_ms * 2).min(LAST_LOOK_MS);
        held.look_at_ms = now + held.pause_ms;
        let (tid, tree, id) = (held.call.tid, held.call.tree, held.call.id);
        let valid = self
            .trees
            .get(tree)
            .and_then(|tree| tree.listener.as_ref())
            .is_some_and(|listener| seccomp::is_valid(listener.as_fd(), id));
        let signals = if valid { procfs::signals(tid) } else { Signals::Gone };
        match signals {
            Signals::None => {}
            Signals::Gone => drop(self.release(key)),
            Signals::Pending if !self.is_killable(tree) => {}
            Signals::Pending => {
                if let Some(Held { mut call, .. }) = self.release(key) {
                    let outcome = self.on_interrupted(world, &mut call, ERESTARTSYS);
                    self.finish(world, call, outcome);
                }
            }
        }
    }
}
