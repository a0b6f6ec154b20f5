//! A segment reaches its connection.

use std::time::Duration;

use netspace_base::DropReason;
use netspace_tcp::Segment;

use super::{TcpSock, pump};
use crate::sock::SockId;
use crate::sock::socket::Socket;
use crate::{Netns, Turn};

/// How often a connection confirms its next hop.
const CONFIRM_INTERVAL: Duration = Duration::from_secs(1);

/// Gives a segment to its connection.
pub(super) fn into_connection(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    segment: Segment,
) -> Result<(), DropReason> {
    let Some(connection) =
        ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut).and_then(TcpSock::connection_mut)
    else {
        return Err(DropReason::TcpNoSocket);
    };
    let (queued, opening) = (connection.send_queue_len(), connection.state().is_opening());
    let result = connection.receive(t.now, segment);
    if connection.send_queue_len() < queued || (opening && !connection.state().is_opening()) {
        confirm(ns, t, id);
    }
    pump(ns, t, id);
    result
}

/// Progress shows that the next hop is reachable (RFC 4861 §7.3.1, RFC 1122 §2.3.2.1): told once a second.
fn confirm(ns: &mut Netns, t: &Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let Some(route) = socket.route else { return };
    let Some(tcp) = socket.tcp_mut() else { return };
    if tcp.confirmed_at.is_none_or(|at| t.now.saturating_since(at) >= CONFIRM_INTERVAL) {
        tcp.confirmed_at = Some(t.now);
        ns.confirm_neighbour(t.now, route.dev, route.via);
    }
}
