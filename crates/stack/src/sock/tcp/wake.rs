//! A program that waits for a socket is woken.

use netspace_tcp::State;

use super::{TcpSock, readiness};
use crate::sock::SockId;
use crate::sock::socket::Socket;
use crate::{Netns, Turn};

/// Whether the peer has acknowledged our FIN, or the connection is over.
pub(crate) fn is_all_acked(socket: &Socket) -> bool {
    socket.tcp().and_then(TcpSock::connection).is_none_or(|connection| {
        matches!(connection.state(), State::FinWait2 | State::TimeWait | State::Closed)
    })
}

/// Wakes the program if what the socket is ready for has changed.
pub(super) fn tell(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let now = readiness(socket);
    let acked = is_all_acked(socket);
    let Some(tcp) = socket.tcp_mut() else { return };
    let before = std::mem::replace(&mut tcp.told, now);
    let waited = !std::mem::replace(&mut tcp.all_acked, acked);
    if !(now - before).is_empty() || (waited && acked) {
        ns.sockets.wake(t, id);
    }
}
