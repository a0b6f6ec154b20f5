//! From the SYN queue to the accept queue.

use std::time::Duration;

use super::TcpSock;
use super::wake::tell;
use crate::l4::SockTimer;
use crate::sock::SockId;
use crate::sock::socket::Socket;
use crate::{Netns, TimerKey, Turn};

/// The handshake is done: a child goes to its listener's accept queue; with `TCP_DEFER_ACCEPT` only when data is there, or
/// when it has been waited for long enough.
pub(super) fn child_connected(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(tcp) = ns.sockets.table.get(id).and_then(Socket::tcp).filter(|tcp| tcp.parent.is_some()) else {
        return;
    };
    let seconds = u64::from(tcp.opts.defer_accept);
    let has_data = tcp.connection().is_some_and(|connection| connection.recv_len() > 0);
    if seconds == 0 || has_data {
        return make_ready(ns, t, id);
    }
    ns.timers.set(t.now + Duration::from_secs(seconds), TimerKey::Sock(SockTimer::DeferAccept(id)));
}

/// Moves a child whose handshake is done from the SYN queue to the accept queue, if it is not there yet.
pub(crate) fn make_ready(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(parent) = ns.sockets.table.get(id).and_then(Socket::tcp).and_then(|tcp| tcp.parent) else {
        return;
    };
    let listener = ns.sockets.table.get_mut(parent).and_then(Socket::tcp_mut).and_then(TcpSock::listener_mut);
    let Some(listener) = listener else { return };
    if !listener.half_open.remove(&id) {
        return;
    }
    listener.ready.push_back(id);
    // Edge-triggered waiters count every connection.
    ns.sockets.wake(t, parent);
    tell(ns, t, parent);
}

/// A child has ended. True if it was still half open, and is forgotten.
pub(super) fn forget_half_open(ns: &mut Netns, parent: SockId, child: SockId) -> bool {
    let listener = ns.sockets.table.get_mut(parent).and_then(Socket::tcp_mut).and_then(TcpSock::listener_mut);
    match listener {
        Some(listener) => listener.half_open.remove(&child),
        None => true,
    }
}
