//! The end of a socket: shutdown, close, disconnect, orphans.

use std::time::Duration;

use netspace_tcp::State;

use super::gone::{forget_connection, remove};
use super::wake::tell;
use super::{TcpSock, TcpState, listen, pump};
use crate::snmp::Counter;
use crate::sock::{How, SockError, SockId};
use crate::{Netns, Turn};

/// shutdown(2).
pub(crate) fn shutdown(ns: &mut Netns, t: &mut Turn, id: SockId, how: How) -> Result<(), SockError> {
    let (read, write) = (how != How::Write, how != How::Read);
    let socket = ns.sockets.get_mut(id)?;
    let tcp = socket.tcp_mut().ok_or(SockError::OperationUnsupported)?;
    match &mut tcp.state {
        TcpState::Idle => return Err(SockError::NotConnected),
        TcpState::Listen(_) => {
            // Only ending the read side means something to a listener: it stops listening.
            if read {
                listen::stop(ns, t, id);
                tell(ns, t, id);
                ns.sockets.wake(t, id);
            }
            return Ok(());
        }
        TcpState::Connection(connection) => {
            if matches!(connection.state(), State::Closed | State::TimeWait) {
                return Err(SockError::NotConnected);
            }
            if connection.state() == State::SynSent {
                // As Linux: the attempt is given up, and the socket is as new.
                connection.abort(t.now);
            } else {
                if read {
                    connection.shutdown_recv();
                }
                if write {
                    connection.shutdown_send(t.now);
                }
            }
        }
    }
    socket.shut_read |= read;
    socket.shut_write |= write;
    pump(ns, t, id);
    ns.sockets.wake(t, id);
    Ok(())
}

/// The last descriptor is gone. The connection goes on as an orphan until its end; `SO_LINGER` zero and unread data reset
/// it (RFC 2525 §2.17).
pub(crate) fn close(ns: &mut Netns, t: &mut Turn, id: SockId) {
    listen::stop(ns, t, id);
    let limit = ns.sockets.sysctls.tcp_max_orphans as usize;
    let orphans = ns.sockets.tcp.orphans;
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    socket.orphan = true;
    let keep_fin_wait_2 = socket.tcp().is_none_or(|tcp| tcp.opts.linger2.is_none_or(|seconds| seconds >= 0));
    let lingers_not = socket.opts.linger == Some(Duration::ZERO);
    let Some(connection) = socket.tcp_mut().and_then(TcpSock::connection_mut) else { return remove(ns, id) };
    if matches!(connection.state(), State::Closed | State::TimeWait) {
        return remove(ns, id);
    }
    ns.sockets.tcp.orphans += 1;
    if orphans >= limit {
        ns.snmp.inc(Counter::TcpExtTcpAbortOnMemory);
    } else if connection.recv_len() > 0 {
        ns.snmp.inc(Counter::TcpExtTcpAbortOnClose);
    } else if lingers_not {
        ns.snmp.inc(Counter::TcpExtTcpAbortOnLinger);
    }
    if orphans >= limit || (connection.state() == State::FinWait2 && !keep_fin_wait_2) {
        connection.abort(t.now);
    } else {
        connection.close(t.now);
    }
    pump(ns, t, id);
}

/// connect(2) with `AF_UNSPEC`: the connection is reset, the socket is as new; names that bind gave stay.
pub(crate) fn disconnect(ns: &mut Netns, t: &mut Turn, id: SockId) -> Result<(), SockError> {
    listen::stop(ns, t, id);
    let socket = ns.sockets.get_mut(id)?;
    if let Some(connection) = socket.tcp_mut().and_then(TcpSock::connection_mut) {
        connection.abort(t.now);
        pump(ns, t, id);
    }
    forget_connection(ns, id);
    let socket = ns.sockets.get_mut(id)?;
    socket.error = None;
    if let Some(tcp) = socket.tcp_mut() {
        tcp.connecting = false;
    }
    tell(ns, t, id);
    Ok(())
}
