//! Errors that come from elsewhere: ICMP messages and datagrams that are too long, turned into a socket's pending error and
//! the entries of its error queue (RFC 1122 §4.1.3.3; `ip(7)`, `IP_RECVERR`).

use std::net::SocketAddr;

use bytes::Bytes;
use netspace_base::Instant;

use super::flow::Flow;
use super::socket::{Socket, shown};
use super::{ErrorOrigin, ExtendedError, PmtuDiscover, Received, RecvControl, SockError, SockId};
use crate::l4::IcmpError;
use crate::{Netns, Turn};

/// Most quoted bytes that an error queue keeps of one packet.
const QUOTE_MAX: usize = 576;

/// What an ICMP error means to a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Meaning {
    pub(crate) error: SockError,
    /// It ends what the program does; soft errors may pass (RFC 1122 §4.2.3.9).
    pub(crate) hard: bool,
}

/// ICMP type and code (RFC 792, RFC 1122 §3.2.2.1) as an error; none if the message says nothing about an error.
pub(crate) fn meaning4(icmp_type: u8, code: u8) -> Option<Meaning> {
    use SockError::{
        ConnectionRefused, HostDown, HostUnreachable, MessageSize, NetworkUnreachable, NoSuchOption,
        OperationUnsupported, ProtocolError,
    };
    let (error, hard) = match (icmp_type, code) {
        (3, 0 | 11) => (NetworkUnreachable, false),
        (3, 1 | 12) => (HostUnreachable, false),
        (3, 2) => (NoSuchOption, true),
        (3, 3) => (ConnectionRefused, true),
        (3, 4) => (MessageSize, false),
        (3, 5) => (OperationUnsupported, false),
        (3, 6 | 9) => (NetworkUnreachable, true),
        (3, 7) => (HostDown, true),
        (3, 8 | 10 | 13 | 14 | 15) => (HostUnreachable, true),
        (3, _) | (11, _) => (HostUnreachable, false),
        (12, _) => (ProtocolError, true),
        _ => return None,
    };
    Some(Meaning { error, hard })
}

/// ICMPv6 type and code (RFC 4443) as an error.
pub(crate) fn meaning6(icmp_type: u8, code: u8) -> Option<Meaning> {
    use SockError::{
        Access, ConnectionRefused, HostUnreachable, MessageSize, NetworkUnreachable, ProtocolError,
    };
    let (error, hard) = match (icmp_type, code) {
        (1, 0) => (NetworkUnreachable, false),
        (1, 1 | 5 | 6) => (Access, true),
        (1, 2 | 3) => (HostUnreachable, false),
        (1, 4) => (ConnectionRefused, true),
        (2, _) => (MessageSize, false),
        (3, _) => (HostUnreachable, false),
        (1 | 4, _) => (ProtocolError, true),
        _ => return None,
    };
    Some(Meaning { error, hard })
}

/// The meaning of an error of either family.
pub(crate) fn meaning(error: &IcmpError<'_>) -> Option<Meaning> {
    if error.src.is_ipv4() {
        meaning4(error.icmp_type, error.icmp_code)
    } else {
        meaning6(error.icmp_type, error.icmp_code)
    }
}

/// Tells a datagram socket of an ICMP error: with `IP_RECVERR` always, else only hard errors and connected sockets.
/// `payload` is where the program's own data starts in the quoted packet.
pub(crate) fn tell(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    error: &IcmpError<'_>,
    meaning: Meaning,
    payload: usize,
    port: u16,
) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let mut hard = meaning.hard;
    if meaning.error == SockError::MessageSize {
        match (error.dst.is_ipv4(), socket.pmtu_discover(error.dst)) {
            // Who wants no path-MTU discovery hears nothing of it.
            (true, PmtuDiscover::Dont) | (false, PmtuDiscover::Interface | PmtuDiscover::Omit) => return,
            (false, PmtuDiscover::Dont) => {}
            _ => hard = true,
        }
    }
    if socket.recv_err(error.dst) {
        queue_icmp(socket, t.now, error, meaning, payload, port);
    } else if !hard || socket.remote.is_none() {
        return;
    }
    socket.error = Some(meaning.error);
    socket.route = None;
    ns.sockets.wake(t, id);
}

fn queue_icmp(
    socket: &mut Socket,
    now: Instant,
    error: &IcmpError<'_>,
    meaning: Meaning,
    payload: usize,
    port: u16,
) {
    let quoted = error.quoted.get(payload..).unwrap_or_default();
    let extended = ExtendedError {
        error: meaning.error,
        origin: if error.src.is_ipv4() { ErrorOrigin::Icmp } else { ErrorOrigin::Icmp6 },
        icmp_type: error.icmp_type,
        icmp_code: error.icmp_code,
        info: error.info,
        offender: Some(error.offender),
    };
    let about = SocketAddr::new(error.dst, port);
    let control = RecvControl {
        to: Some(error.src),
        local: Some(error.src),
        ttl: error.ttl,
        tos: error.tos,
        dev: error.dev,
        ..RecvControl::default()
    };
    queue(socket, now, control, extended, about, &quoted[..quoted.len().min(QUOTE_MAX)]);
}

fn queue(
    socket: &mut Socket,
    now: Instant,
    control: RecvControl,
    extended: ExtendedError,
    about: SocketAddr,
    quoted: &[u8],
) {
    let from = Some(shown(socket.family, about.ip(), about.port(), Some(control.dev)));
    let control = RecvControl { at: now, error: Some(extended), ..control };
    let data = vec![Bytes::copy_from_slice(quoted)];
    // A full queue loses the entry, as Linux does; the pending error is still told.
    let _kept = socket.errors.push(socket.opts.rcvbuf, Received { data, from, control });
}

/// A datagram was too long for the path and may not be cut.
pub(crate) fn local_too_long(ns: &mut Netns, t: &mut Turn, id: SockId, flow: &Flow, mtu: u32) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    if !socket.recv_err(flow.dst.ip()) {
        return;
    }
    let extended = ExtendedError {
        error: SockError::MessageSize,
        origin: ErrorOrigin::Local,
        icmp_type: 0,
        icmp_code: 0,
        info: mtu,
        offender: None,
    };
    let control = RecvControl { dev: flow.route.dev, ..RecvControl::default() };
    queue(socket, t.now, control, extended, flow.dst, &[]);
    ns.sockets.wake(t, id);
}

/// recvmsg(2) with `MSG_ERRQUEUE`. What is pending afterwards is the next entry's error.
pub(crate) fn take(socket: &mut Socket) -> Result<Received, SockError> {
    let from_icmp = |r: &Received| r.control.error.is_some_and(|e| e.origin != ErrorOrigin::Local);
    let (received, next) = socket.errors.pop().ok_or(SockError::WouldBlock)?;
    match next.filter(|next| from_icmp(next)) {
        Some(next) => socket.error = next.control.error.map(|e| e.error),
        None if from_icmp(&received) => socket.error = None,
        None => {}
    }
    Ok(received)
}

/// The ports at the start of a quoted UDP or TCP header: ours and the peer's.
pub(crate) fn quoted_ports(error: &IcmpError<'_>) -> Option<(u16, u16)> {
    let header = error.quoted.get(error.transport..)?;
    let word = |at: usize| Some(u16::from_be_bytes([*header.get(at)?, *header.get(at + 1)?]));
    Some((word(0)?, word(2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_mean_what_linux_says() {
        let four = |t, c| meaning4(t, c).map(|m| (m.error, m.hard));
        let six = |t, c| meaning6(t, c).map(|m| (m.error, m.hard));
        assert_eq!(four(3, 0), Some((SockError::NetworkUnreachable, false)));
        assert_eq!(four(3, 1), Some((SockError::HostUnreachable, false)));
        assert_eq!(four(3, 3), Some((SockError::ConnectionRefused, true)));
        assert_eq!(four(3, 13), Some((SockError::HostUnreachable, true)));
        assert_eq!(four(11, 0), Some((SockError::HostUnreachable, false)));
        assert_eq!(four(0, 0), None, "an echo reply is no error");
        assert_eq!(six(1, 4), Some((SockError::ConnectionRefused, true)));
        assert_eq!(six(1, 1), Some((SockError::Access, true)));
        assert_eq!(six(3, 0), Some((SockError::HostUnreachable, false)));
        assert_eq!(six(129, 0), None);
    }
}
