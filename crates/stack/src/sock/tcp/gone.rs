//! What a connection had is given back: its names, its port, its timer, in the end the socket.

use super::{TcpState, fast_open};
use crate::Netns;
use crate::sock::{SockId, unspecified};

/// Takes the socket out of the table of connections, and its port from it unless bind gave it.
pub(super) fn release_names(ns: &mut Netns, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let keep_port = socket.port_bound && !socket.orphan;
    let Some(tcp) = socket.tcp_mut() else { return };
    let tuple = tcp.tuple.take();
    let bucket = if keep_port { None } else { tcp.bucket.take() };
    let timer = tcp.timer.take();
    if let Some(tuple) = tuple {
        ns.sockets.tcp.remove_connection(&tuple);
    }
    if let Some((port, by_bind)) = bucket {
        ns.sockets.tcp.leave(id, port, by_bind);
    }
    if let Some((timer, _)) = timer {
        ns.timers.cancel(timer);
    }
}

/// Removes a socket that has no names any more.
pub(super) fn remove(ns: &mut Netns, id: SockId) {
    fast_open::settled(ns, id);
    release_names(ns, id);
    ns.sockets.table.remove(id);
}

/// Makes a socket whose connection is over as it was before connect.
pub(super) fn forget_connection(ns: &mut Netns, id: SockId) {
    release_names(ns, id);
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    socket.remote = None;
    socket.route = None;
    (socket.shut_read, socket.shut_write) = (false, false);
    if !socket.addr_bound {
        socket.local = unspecified(socket.family);
    }
    let has_port = socket.tcp().is_some_and(|tcp| tcp.bucket.is_some());
    if !has_port {
        socket.local_port = 0;
    }
    if let Some(tcp) = socket.tcp_mut() {
        tcp.state = TcpState::Idle;
    }
}
