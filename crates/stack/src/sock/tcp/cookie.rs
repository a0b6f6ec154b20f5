//! SYN cookies (RFC 4987 §3.6): when the SYN queue is full, what must be remembered about a SYN is put into the initial
//! sequence number of the answer, and comes back with the ACK. Window scaling, SACK and ECN are not offered then.
//!
//! ```text
//! ISS = hash(names) + peer's ISN + count << 24 + (hash(names, count) + MSS index) mod 2²⁴      count: minutes
//! ```

use netspace_base::{Duration, Instant};
use netspace_tcp::{Config, Connection, EcnPolicy, Segment};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

use super::TcpSock;
use super::answer::answer_without_socket;
use super::config;
use super::initial::timestamp_offset;
use crate::l4::Arrival;
use crate::snmp::Counter;
use crate::sock::SockId;
use crate::sock::socket::Socket;
use crate::sock::table::{Secret, Tuple};
use crate::{Netns, Turn};

/// The segment sizes that a cookie can tell.
const MSS: [u16; 4] = [536, 1300, 1440, 1460];
/// How long the counter stays the same, and how many counts a cookie lives.
const COUNT_SECONDS: u64 = 60;
const MAX_AGE: u32 = 2;
/// After the last overflow, ACKs are taken for cookies for this long.
const OVERFLOW_MEMORY: Duration = Duration::from_secs(120);

fn count(now: Instant) -> u32 {
    (now.as_nanos() / (COUNT_SECONDS * 1_000_000_000)) as u32
}

fn hashes(secret: &Secret, tuple: &Tuple, count: u32) -> (u32, u32) {
    let first = secret.hash(b'c', tuple) as u32;
    let second =
        (secret.hash(b'd', tuple).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ u64::from(count) << 17) >> 32) as u32;
    (first, second)
}

fn make(secret: &Secret, tuple: &Tuple, peer: SeqNum, mss: u16, now: Instant) -> SeqNum {
    let count = count(now);
    let (first, second) = hashes(secret, tuple, count);
    let index = MSS.iter().rposition(|&known| known <= mss).unwrap_or(0) as u32;
    let low = second.wrapping_add(index) & 0x00ff_ffff;
    SeqNum(first.wrapping_add(peer.0).wrapping_add(count << 24).wrapping_add(low))
}

/// The peer's MSS, if `cookie` was made here not long ago.
fn check(secret: &Secret, tuple: &Tuple, peer: SeqNum, cookie: SeqNum, now: Instant) -> Option<u16> {
    let current = count(now);
    let rest = cookie.0.wrapping_sub(hashes(secret, tuple, 0).0).wrapping_sub(peer.0);
    (0..=MAX_AGE.min(current)).find_map(|age| {
        let made = current - age;
        let low = rest.wrapping_sub(made << 24);
        let index = low.wrapping_sub(hashes(secret, tuple, made).1) & 0x00ff_ffff;
        (low >> 24 == 0).then(|| MSS.get(index as usize).copied())?
    })
}

fn config(ns: &Netns, id: SockId, tuple: &Tuple) -> Config {
    let config = config::config(&ns.sockets.table[id], &ns.sockets.sysctls);
    let timestamp_offset = timestamp_offset(&ns.sockets, tuple);
    Config { timestamp_offset, window_scaling: false, sack: false, ecn: EcnPolicy::of_sysctl(0), ..config }
}

/// Answers a SYN for which there is no room with a cookie.
pub(super) fn answer(
    ns: &mut Netns,
    t: &mut Turn,
    id: SockId,
    syn: &Segment,
    tuple: &Tuple,
    arrival: &Arrival,
    path_mss: u16,
) {
    let mss = syn.options.mss.unwrap_or(MSS[0]).min(path_mss);
    let iss = make(&ns.sockets.secret, tuple, syn.seq, mss, t.now);
    let mut connection = Connection::accept(config(ns, id, tuple), t.now, iss, syn, path_mss);
    let Some(syn_ack) = connection.poll_transmit(t.now) else { return };
    if let Some(listener) =
        ns.sockets.table.get_mut(id).and_then(Socket::tcp_mut).and_then(TcpSock::listener_mut)
    {
        listener.overflowed_at = Some(t.now);
    }
    ns.snmp.inc(Counter::TcpExtTcpReqQFullDoCookies);
    ns.snmp.inc(Counter::TcpExtSyncookiesSent);
    answer_without_socket(ns, t, tuple, syn_ack, arrival.tos);
}

/// An ACK of no connection has come to a listener: if it brings back a cookie, the connection that its SYN asked for.
pub(super) fn redeem(
    ns: &mut Netns,
    t: &Turn,
    id: SockId,
    ack: &Segment,
    tuple: &Tuple,
    path_mss: u16,
) -> Option<Connection> {
    let listener = ns.sockets.table.get(id)?.tcp()?.listener()?;
    let recent = listener.overflowed_at.is_some_and(|at| t.now.saturating_since(at) < OVERFLOW_MEMORY);
    if !recent || ack.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
        return None;
    }
    let (peer, cookie) = (SeqNum(ack.seq.0.wrapping_sub(1)), SeqNum(ack.ack.0.wrapping_sub(1)));
    let Some(mss) = check(&ns.sockets.secret, tuple, peer, cookie, t.now) else {
        ns.snmp.inc(Counter::TcpExtSyncookiesFailed);
        return None;
    };
    let options = TcpOptions { mss: Some(mss), timestamps: ack.options.timestamps, ..TcpOptions::default() };
    let syn = Segment { seq: peer, flags: TcpFlags::SYN, window: ack.window, options, ..Segment::default() };
    let mut connection = Connection::accept(config(ns, id, tuple), t.now, cookie, &syn, path_mss);
    // The SYN/ACK was sent long ago.
    let _sent = connection.poll_transmit(t.now);
    ns.snmp.inc(Counter::TcpExtSyncookiesRecv);
    Some(connection)
}

#[cfg(test)]
mod tests {
    use netspace_base::{DevId, Seed};

    use super::*;
    use crate::sock::Sockets;

    #[test]
    fn a_cookie_tells_the_mss_for_two_minutes_and_only_to_its_peer() {
        let secret = Sockets::new(Seed(1), netspace_base::NsId(1)).secret;
        let ip = |text: &str| text.parse().unwrap();
        let tuple = Tuple::new((ip("10.0.0.1"), 80), (ip("10.0.0.2"), 999), DevId::NONE);
        let now = Instant::from_secs(1000);
        for (mss, told) in [(100, 536), (536, 536), (1439, 1300), (1460, 1460), (9000, 1460)] {
            let cookie = make(&secret, &tuple, SeqNum(77), mss, now);
            let later = |seconds| now + Duration::from_secs(seconds);
            assert_eq!(check(&secret, &tuple, SeqNum(77), cookie, later(100)), Some(told));
            assert_eq!(check(&secret, &tuple, SeqNum(77), cookie, later(200)), None);
            assert_eq!(check(&secret, &tuple, SeqNum(99), cookie, now), None);
            let other = Tuple { remote_port: 998, ..tuple };
            assert_eq!(check(&secret, &other, SeqNum(77), cookie, now), None);
        }
    }
}
