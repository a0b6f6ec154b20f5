//! Reading and writing a connection's byte stream.

use bytes::Bytes;
use netspace_base::{Detail, Point};
use netspace_tcp::{Connection, SendFlags, State};

use super::{TcpSock, TcpState, connect, pump};
use crate::sock::socket::Socket;
use crate::sock::{Message, Received, RecvControl, RecvFlags, SockError, SockId};
use crate::{Netns, Turn};

/// sendmsg(2): as many bytes as there is room for.
pub(crate) fn send(ns: &mut Netns, t: &mut Turn, id: SockId, message: Message) -> Result<usize, SockError> {
    if message.fast_open {
        let to = message.to.ok_or(SockError::Invalid)?;
        return connect::connect_with_data(ns, t, id, to, message.data);
    }
    let socket = ns.sockets.get_mut(id)?;
    socket.check_error()?;
    if socket.shut_write {
        return Err(SockError::BrokenPipe);
    }
    let tcp = socket.tcp_mut().ok_or(SockError::OperationUnsupported)?;
    let connection = tcp.connection_mut().ok_or(SockError::BrokenPipe)?;
    if is_waiting(connection) {
        return Err(SockError::WouldBlock);
    }
    if !connection.state().can_send() {
        return Err(SockError::BrokenPipe);
    }
    if message.data.is_empty() {
        return Ok(0);
    }
    let deferred = connection.is_deferred();
    let mut data = message.data;
    if deferred {
        data.truncate(connection.syn_data_room());
    }
    let flags = SendFlags { more: message.more, urgent: message.oob };
    let taken = take(ns, t, id, data, flags);
    if taken == 0 {
        return Err(SockError::WouldBlock);
    }
    Ok(taken)
}

/// Gives the connection what it takes. What it sends at once may make room for more.
fn take(ns: &mut Netns, t: &mut Turn, id: SockId, mut data: Bytes, flags: SendFlags) -> usize {
    let mut done = 0;
    while !data.is_empty() {
        let Some(connection) =
            ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut).and_then(TcpSock::connection_mut)
        else {
            break;
        };
        let taken = connection.send_with(t.now, data.clone(), flags);
        if taken == 0 {
            break;
        }
        t.trace.socket(t.now, ns.id, Point::SocketSend, || Detail::Bytes(taken as u64));
        done += taken;
        data = data.slice(taken..);
        pump(ns, t, id);
    }
    done
}

/// recvmsg(2): what has come in order, up to `max` bytes; none at the stream's end.
pub(crate) fn recv(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    max: usize,
    flags: RecvFlags,
) -> Result<Received, SockError> {
    let socket = ns.sockets.get_mut(id)?;
    let inline = socket.opts.oob_inline;
    let shut_read = socket.shut_read;
    let Some(connection) = socket.tcp_mut().and_then(|tcp| tcp.connection_mut()) else {
        // A connect that failed left its error; else there never was a connection.
        let listening = socket.tcp().is_some_and(|tcp| matches!(tcp.state, TcpState::Listen(_)));
        socket.check_error()?;
        return if shut_read && !listening { Ok(Received::default()) } else { Err(SockError::NotConnected) };
    };
    if flags.oob {
        if inline {
            return Err(SockError::Invalid);
        }
        let none = if connection.awaits_urgent() { SockError::WouldBlock } else { SockError::Invalid };
        let byte = connection.recv_urgent(flags.peek).ok_or(none)?;
        return Ok(received(vec![Bytes::copy_from_slice(&[byte])]));
    }
    let data = if flags.peek { connection.peek(max) } else { connection.recv(t.now, max) };
    let len: usize = data.iter().map(Bytes::len).sum();
    if len > 0 {
        if !flags.peek {
            t.trace.socket(t.now, ns.id, Point::SocketRead, || Detail::Bytes(len as u64));
            pump(ns, t, id);
        }
        return Ok(received(data));
    }
    if max == 0 && connection.recv_len() > 0 {
        return Ok(Received::default());
    }
    let (state, at_end) = (connection.state(), connection.at_end());
    socket.check_error()?;
    if at_end || shut_read || matches!(state, State::Closed | State::TimeWait) {
        return Ok(Received::default());
    }
    Err(SockError::WouldBlock)
}

/// Whether the handshake keeps the program from writing.
fn is_waiting(connection: &Connection) -> bool {
    connection.state().is_opening() && !connection.is_early() && !connection.is_deferred()
}

fn received(data: Vec<Bytes>) -> Received {
    Received { data, from: None, control: RecvControl::default() }
}

/// Bytes that a read would give.
pub(crate) fn recv_queue_len(socket: &Socket) -> usize {
    match socket.tcp().map(|tcp| &tcp.state) {
        Some(TcpState::Connection(connection)) => connection.recv_len(),
        Some(TcpState::Listen(listener)) => listener.ready.len(),
        _ => 0,
    }
}

/// Bytes sent and not acknowledged, or not sent; a listener's backlog (what `ss` shows as Send-Q).
pub(crate) fn send_queue_len(socket: &Socket) -> usize {
    match socket.tcp().map(|tcp| &tcp.state) {
        Some(TcpState::Connection(connection)) => connection.send_queue_len(),
        Some(TcpState::Listen(listener)) => listener.backlog,
        _ => 0,
    }
}

/// Free bytes of the send buffer.
pub(crate) fn send_space(socket: &Socket) -> usize {
    socket
        .tcp()
        .and_then(|tcp| tcp.connection())
        .map_or(0, |connection| if is_waiting(connection) { 0 } else { connection.send_space() })
}
