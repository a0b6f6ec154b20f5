//! TIME-WAIT: what is left of a connection, small, for 60 s (RFC 9293 §3.6.1, RFC 6191, RFC 1337).

use std::time::Duration;

use netspace_base::{DropReason, Instant};
use netspace_tcp::{Segment, TimeWaitVerdict};
use netspace_wire::tcp::SeqNum;

use super::answer::answer_without_socket;
use super::gone::{release_names, remove};
use super::tables::{Entry, TimeWait};
use crate::l4::{Arrival, SockTimer};
use crate::snmp::Counter;
use crate::sock::SockId;
use crate::sock::table::Tuple;
use crate::{Netns, TimerKey, Turn};

/// An unanswerable segment is answered at most once in this time (`tcp_invalid_ratelimit`).
const ACK_INTERVAL: Duration = Duration::from_millis(500);

/// A connection has come to TIME-WAIT: its names go to the small form. The socket stays as long as a program has it.
pub(super) fn enter(ns: &mut Netns, t: &mut Turn, id: SockId) {
    let Some(socket) = ns.sockets.table.get_mut(id) else { return };
    let (orphan, family) = (socket.orphan, socket.family);
    let (bound_dev, reuse_addr, reuse_port) =
        (socket.opts.bound_dev, socket.opts.reuse_addr, socket.opts.reuse_port);
    let Some(tcp) = socket.tcp_mut() else { return };
    let parent = tcp.parent;
    let Some(tuple) = tcp.tuple else { return };
    let Some(end) = tcp.connection_mut().map(netspace_tcp::Connection::time_wait) else { return };
    let full = ns.sockets.tcp.time_waits.len() >= ns.sockets.sysctls.tcp_max_tw_buckets as usize;
    release_names(ns, id);
    if full {
        ns.snmp.inc(Counter::TcpExtTcpTimeWaitOverflow);
    } else {
        insert(
            ns,
            TimeWait {
                tuple,
                family,
                bound_dev,
                reuse_addr,
                reuse_port,
                since: t.now,
                end,
                acked_at: None,
                timer: None,
            },
        );
    }
    if orphan && parent.is_none() {
        ns.sockets.tcp.orphans = ns.sockets.tcp.orphans.saturating_sub(1);
        remove(ns, id);
    }
}

fn insert(ns: &mut Netns, old: TimeWait) {
    let tuple = old.tuple;
    let number = ns.sockets.tcp.time_waits.insert(old) as u32;
    ns.sockets.tcp.insert_connection(tuple, Entry::TimeWait(number));
    ns.sockets.tcp.join_time_wait(number, tuple.local_port);
    ns.snmp.inc(Counter::TcpExtTw);
    arm(ns, number);
}

fn arm(ns: &mut Netns, number: u32) {
    let old = &mut ns.sockets.tcp.time_waits[number as usize];
    if let Some(timer) = old.timer.take() {
        ns.timers.cancel(timer);
    }
    old.timer = Some(ns.timers.set(old.end.expires_at, TimerKey::Sock(SockTimer::TimeWait(number))));
}

/// It is over.
pub(crate) fn expire(ns: &mut Netns, number: u32) {
    let Some(old) = ns.sockets.tcp.time_waits.try_remove(number as usize) else { return };
    if let Some(timer) = old.timer {
        ns.timers.cancel(timer);
    }
    ns.sockets.tcp.remove_connection(&old.tuple);
    ns.sockets.tcp.leave_time_wait(number, old.tuple.local_port);
}

/// connect(2) wants the names: given up if timestamps keep old segments apart and a second has passed (RFC 6191), as
/// `tcp_tw_reuse` says.
pub(super) fn take_over(ns: &mut Netns, now: Instant, number: u32) -> bool {
    let old = &ns.sockets.tcp.time_waits[number as usize];
    let allowed = match ns.sockets.sysctls.tcp_tw_reuse {
        0 => false,
        1 => true,
        _ => old.tuple.local.is_loopback() || old.tuple.remote.is_loopback(),
    };
    let kept_apart = old.end.has_timestamps() && now.saturating_since(old.since) > Duration::from_secs(1);
    if !(allowed && kept_apart) {
        return false;
    }
    ns.snmp.inc(Counter::TcpExtTwRecycled);
    expire(ns, number);
    true
}

/// A segment for a connection in TIME-WAIT: the first number that a new connection of the same names may use, if it opens
/// one; else why the segment ends here.
pub(super) fn receive(
    ns: &mut Netns,
    t: &mut Turn,
    number: u32,
    tuple: &Tuple,
    segment: &Segment,
    arrival: &Arrival,
) -> Result<SeqNum, DropReason> {
    let old = &mut ns.sockets.tcp.time_waits[number as usize];
    let expires_at = old.end.expires_at;
    let verdict = old.end.receive(t.now, segment);
    match verdict {
        TimeWaitVerdict::Drop(reason) => Err(reason),
        TimeWaitVerdict::Answer(answer, reason) => {
            if old.acked_at.is_none_or(|at| t.now.saturating_since(at) >= ACK_INTERVAL) {
                old.acked_at = Some(t.now);
                answer_without_socket(ns, t, tuple, answer, arrival.tos);
            }
            if ns.sockets.tcp.time_waits[number as usize].end.expires_at != expires_at {
                arm(ns, number);
            }
            Err(reason)
        }
        TimeWaitVerdict::End(reason) => {
            ns.snmp.inc(Counter::TcpExtTwKilled);
            expire(ns, number);
            Err(reason)
        }
        TimeWaitVerdict::Reopen(floor) => {
            expire(ns, number);
            Ok(floor)
        }
    }
}
