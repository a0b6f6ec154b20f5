//! A program that waits for a socket is woken.

use super::readiness;
use crate::sock::SockId;
use crate::{Netns, Turn};

/// Wakes the program if what the socket is ready for has changed.
pub(super) fn tell(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let now = readiness(socket);
    let Some(tcp) = socket.tcp_mut() else { return };
    let before = std::mem::replace(&mut tcp.told, now);
    if before != now && !(now - before).is_empty() {
        ns.sockets.wake(t, id);
    }
}
