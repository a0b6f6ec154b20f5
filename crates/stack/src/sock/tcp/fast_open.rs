//! TCP Fast Open (RFC 7413) around the connection: cookies that we give and check, cookies that peers gave us, and when to
//! leave it alone.
//!
//! ```text
//! client   ask() ─ cookie known → SYN, cookie, data      server   admit() ─ cookie good → a child that can be used at once
//!                ╰ unknown      → SYN, empty cookie                       ╰ else        → SYN-ACK with a cookie
//! ```

use netspace_base::Instant;
use netspace_tcp::{Connection, FastOpenAsk, Segment};
use netspace_wire::tcp::FastOpenCookie;

use super::{TcpSock, TcpState};
use crate::Netns;
use crate::snmp::Counter;
use crate::sock::fast_open_key::Checked;
use crate::sock::socket::Socket;
use crate::sock::sysctl::SockSysctls;
use crate::sock::table::Tuple;
use crate::sock::{SockError, SockId};

/// Bits of `net.ipv4.tcp_fastopen`.
mod bit {
    /// Clients may send data with the SYN.
    pub(super) const CLIENT: u32 = 0x1;
    /// Listeners with `TCP_FASTOPEN` take it.
    pub(super) const SERVER: u32 = 0x2;
    /// Clients send it without a cookie.
    pub(super) const CLIENT_NO_COOKIE: u32 = 0x4;
    /// Listeners take it without a cookie.
    pub(super) const SERVER_NO_COOKIE: u32 = 0x200;
    /// Listeners need no `TCP_FASTOPEN`.
    pub(super) const EVERY_LISTENER: u32 = 0x400;
}

// ---- The client ----------------------------------------------------------------------------------------------------

/// What the SYN of a socket that wants Fast Open asks for; none: an ordinary SYN.
pub(super) fn ask(ns: &Netns, now: Instant, id: SockId, tuple: &Tuple) -> Option<FastOpenAsk> {
    let sysctls = &ns.sockets.sysctls;
    let table = &ns.sockets.tcp.fast_open;
    if table.is_paused(now, sysctls) {
        return None;
    }
    let own = ns.sockets.table.get(id)?.tcp()?.opts.fastopen_no_cookie;
    let known = table.known(&(tuple.local, tuple.remote));
    Some(FastOpenAsk {
        cookie: known.map(|known| known.cookie.clone()).unwrap_or_default(),
        no_cookie: own || sysctls.tcp_fastopen & bit::CLIENT_NO_COOKIE != 0,
        peer_mss: known.map_or(0, |known| known.peer_mss),
        deferred: false,
    })
}

/// Whether programs may ask for it.
pub(super) fn client_allowed(sysctls: &SockSysctls) -> Result<(), SockError> {
    if sysctls.tcp_fastopen & bit::CLIENT != 0 { Ok(()) } else { Err(SockError::OperationUnsupported) }
}

/// A handshake is done: what it told is remembered.
pub(super) fn learn(ns: &mut Netns, now: Instant, id: SockId) {
    let Some(tcp) = ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut) else { return };
    let Some(tuple) = tcp.tuple else { return };
    if let Some(answer) = tcp.connection_mut().and_then(Connection::take_fast_open_answer) {
        ns.sockets.tcp.fast_open.remember(now, (tuple.local, tuple.remote), answer);
    }
}

/// A connection that used it has timed out: if that may be its doing, nobody uses it for a while.
pub(super) fn suspect_black_hole(ns: &mut Netns, now: Instant, id: SockId) {
    let connection = ns.sockets.table.get(id).and_then(Socket::tcp).and_then(TcpSock::connection);
    let suspect = connection.is_some_and(Connection::may_be_black_holed);
    if !suspect || ns.sockets.sysctls.tcp_fastopen_blackhole_timeout_sec == 0 {
        return;
    }
    ns.sockets.tcp.fast_open.pause(now);
    ns.snmp.inc(Counter::TcpExtTcpFastOpenBlackhole);
}

// ---- The server ----------------------------------------------------------------------------------------------------

/// What a listener does with a SYN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// An ordinary handshake; the SYN-ACK tells a cookie.
    Handshake(Option<FastOpenCookie>),
    /// A child that can be used at once; the SYN-ACK tells a cookie.
    Early(Option<FastOpenCookie>),
}

/// Judges a SYN for the listener `id` (RFC 7413 §4.2.2).
pub(super) fn admit(ns: &mut Netns, id: SockId, tuple: &Tuple, syn: &Segment) -> Admission {
    let usual = Admission::Handshake(None);
    let sysctls = &ns.sockets.sysctls;
    let Some(tcp) = ns.sockets.table.get(id).and_then(Socket::tcp) else { return usual };
    let TcpState::Listen(listener) = &tcp.state else { return usual };
    let wants = !syn.payload.is_empty() || syn.options.fast_open.is_some();
    if sysctls.tcp_fastopen & bit::SERVER == 0 || !wants {
        return usual;
    }
    let every = sysctls.tcp_fastopen & bit::EVERY_LISTENER != 0;
    let limit = if every { listener.backlog } else { tcp.opts.fastopen as usize };
    if limit == 0 {
        return usual;
    }
    if listener.early.len() >= limit {
        ns.snmp.inc(Counter::TcpExtTcpFastOpenListenOverflow);
        return usual;
    }
    if tcp.opts.fastopen_no_cookie || sysctls.tcp_fastopen & bit::SERVER_NO_COOKIE != 0 {
        ns.snmp.inc(Counter::TcpExtTcpFastOpenPassive);
        return Admission::Early(None);
    }
    let Some(cookie) = &syn.options.fast_open else { return usual };
    let keys = tcp.opts.fastopen_keys.or(sysctls.tcp_fastopen_key.0).unwrap_or(ns.sockets.tcp.fast_open.keys);
    let fresh = keys.cookie(tuple.remote, tuple.local);
    if cookie.is_empty() {
        ns.snmp.inc(Counter::TcpExtTcpFastOpenCookieReqd);
        return Admission::Handshake(Some(fresh));
    }
    match keys.check(cookie, tuple.remote, tuple.local) {
        Checked::Bad => {
            ns.snmp.inc(Counter::TcpExtTcpFastOpenPassiveFail);
            Admission::Handshake(Some(fresh))
        }
        Checked::Good => {
            ns.snmp.inc(Counter::TcpExtTcpFastOpenPassive);
            Admission::Early(None)
        }
        Checked::GoodByBackup => {
            ns.snmp.inc(Counter::TcpExtTcpFastOpenPassive);
            ns.snmp.inc(Counter::TcpExtTcpFastOpenPassiveAltKey);
            Admission::Early(Some(fresh))
        }
    }
}

/// A child that was opened early has finished its handshake, or ended: another may come.
pub(super) fn settled(ns: &mut Netns, id: SockId) {
    let Some(tcp) = ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut) else { return };
    let Some(listener) = tcp.early_of.take() else { return };
    if let Some(listener) =
        ns.sockets.table.get_mut(listener).and_then(Socket::tcp_mut).and_then(TcpSock::listener_mut)
    {
        listener.early.remove(&id);
    }
}
