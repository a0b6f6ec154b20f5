//! Numbers that a connection begins with, and that cannot be guessed.

use netspace_base::Instant;
use netspace_wire::tcp::SeqNum;

use crate::sock::table::{Secret, Sockets, Tuple};

/// The clock of initial sequence numbers ticks every 64 ns, so that a connection's successor is ahead of it up to a rate of
/// 16 MB/s; RFC 6528 §3 asks for 4 µs, Linux takes 64 ns.
const ISN_TICK_NS: u64 = 64;

/// The initial sequence number of a connection (RFC 6528 §3): the clock plus a hash that cannot be guessed.
pub(super) fn initial_sequence(secret: &Secret, tuple: &Tuple, now: Instant) -> SeqNum {
    let hash = secret.hash(b'i', tuple) as u32;
    SeqNum(hash.wrapping_add((now.as_nanos() / ISN_TICK_NS) as u32))
}

/// The timestamp clock's offset: one for each pair of hosts, so that clocks of one pair stay comparable (RFC 7323 §5.5);
/// none if `tcp_timestamps` wants the clock as it is.
pub(super) fn timestamp_offset(sockets: &Sockets, tuple: &Tuple) -> u32 {
    if sockets.sysctls.tcp_timestamps != 1 {
        return 0;
    }
    sockets.secret.hash(b't', &Tuple { local_port: 0, remote_port: 0, ..*tuple }) as u32
}
