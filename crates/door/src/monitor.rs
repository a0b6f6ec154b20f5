//! Netlink sockets that are members of multicast groups (`ip monitor`): what changes on their host is told to them.
//!
//! The stack is looked at after each request on the same host, and now and then while there is such a socket.

use netspace_base::NsId;

use crate::door::{Door, World};
use crate::sock::{Body, Key};
use crate::sys::file;

/// How often the stack is looked at, milliseconds.
const PAUSE_MS: u64 = 100;

impl Door {
    /// A netlink socket may have joined a group.
    pub(crate) fn note_groups(&mut self, world: &mut dyn World, key: Key) {
        let has_groups = self.netlink(key).is_some_and(|netlink| netlink.state.has_groups());
        if has_groups && !self.monitors.keys.contains(&key) {
            self.monitors.keys.push(key);
            self.monitors.at_ms = file::monotonic_ms() + PAUSE_MS;
            // What there is now is not news.
            self.tell_changes(world, key);
            self.set_timer();
        }
    }

    /// Something may have changed on a host.
    pub(crate) fn tell_monitors(&mut self, world: &mut dyn World, ns: Option<NsId>) {
        for key in self.monitors.keys.clone() {
            let Some(sock) = self.socks.get(key).filter(|sock| matches!(sock.body, Body::Netlink(_))) else {
                self.monitors.keys.retain(|&k| k != key);
                continue;
            };
            if ns.is_none_or(|ns| sock.ns == ns) {
                self.tell_changes(world, key);
            }
        }
    }

    fn tell_changes(&mut self, world: &mut dyn World, key: Key) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        let Body::Netlink(netlink) = &mut sock.body else { return };
        let (ns, t) = world.host(sock.ns);
        netlink.state.watch(ns, t);
        netlink.sync();
        if netlink.has_news() {
            self.retry_held(world, key);
        }
    }

    /// The time to look has come, perhaps.
    pub(crate) fn look_at_monitors(&mut self, world: &mut dyn World, now: u64) {
        if self.monitors.next_ms().is_some_and(|at| at <= now) {
            self.monitors.at_ms = now + PAUSE_MS;
            self.tell_monitors(world, None);
        }
    }
}
