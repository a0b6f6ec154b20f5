//! The filter programs of `ss` (`INET_DIAG_REQ_BYTECODE`): `dport = :80 and not dst 10.0.0.0/8`.
//!
//! ```text
//! struct inet_diag_bc_op { u8 code, yes; u16 no; }   then operands; a step goes `yes` or `no` bytes further
//! ```
//! A program that ends exactly at its end accepts the socket; one that jumps beyond it refuses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netspace_stack::sock::SockInfo;

use crate::bytes_at::{array, i32_at, u16_at, u32_at};

const OP_LEN: usize = 4;

const NOP: u8 = 0;
const JMP: u8 = 1;
const S_GE: u8 = 2;
const S_LE: u8 = 3;
const D_GE: u8 = 4;
const D_LE: u8 = 5;
const AUTO: u8 = 6;
const S_COND: u8 = 7;
const D_COND: u8 = 8;
const DEV_COND: u8 = 9;
const MARK_COND: u8 = 10;
const S_EQ: u8 = 11;
const D_EQ: u8 = 12;

/// Whether a program is one that [`accepts`] can run: every step goes forward, by whole words, to within the program or
/// just behind it.
pub(super) fn is_valid(program: &[u8]) -> bool {
    let mut at = 0;
    while at < program.len() {
        let Some((code, yes, no)) = op(program, at) else { return false };
        let left = program.len() - at;
        let lands = |step: usize| step >= OP_LEN && step.is_multiple_of(4) && step <= left + 4;
        if code > D_EQ || !lands(yes) || !lands(no) || yes > left {
            return false;
        }
        at += yes;
    }
    true
}

fn op(program: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let [code, yes] = array::<2>(program, at)?;
    Some((code, usize::from(yes), usize::from(u16_at(program, at + 2)?)))
}

/// Runs a program on a socket.
pub(super) fn accepts(program: &[u8], info: &SockInfo) -> bool {
    let mut at = 0;
    while at < program.len() {
        let Some((code, yes, no)) = op(program, at) else { return false };
        let holds = step(program, at, code, info).unwrap_or(false);
        let distance = if holds { yes } else { no };
        if distance == 0 {
            return false;
        }
        at += distance;
    }
    at == program.len()
}

/// One step's condition; none if its operands are not there.
fn step(program: &[u8], at: usize, code: u8, info: &SockInfo) -> Option<bool> {
    let operand = at + OP_LEN;
    // A port stands in the `no` field of a second operation.
    let port = || u16_at(program, operand + 2);
    let (sport, dport) = (info.local.port(), info.remote.port());
    Some(match code {
        NOP => true,
        JMP => false,
        S_GE => sport >= port()?,
        S_LE => sport <= port()?,
        S_EQ => sport == port()?,
        D_GE => dport >= port()?,
        D_LE => dport <= port()?,
        D_EQ => dport == port()?,
        // Whether the port was chosen by the stack is not told by the list of sockets.
        AUTO => false,
        S_COND => host(program, operand, info.local)?,
        D_COND => host(program, operand, info.remote)?,
        DEV_COND => u32_at(program, operand)? == info.dev.map_or(0, |d| d.0),
        MARK_COND => {
            let (mark, mask) = (u32_at(program, operand)?, u32_at(program, operand + 4)?);
            info.mark & mask == mark
        }
        _ => false,
    })
}

/// `struct inet_diag_hostcond { u8 family, prefix_len; i32 port; be32 addr[]; }`: port -1 is any.
fn host(program: &[u8], at: usize, addr: SocketAddr) -> Option<bool> {
    let [family, prefix_len] = array::<2>(program, at)?;
    let port = i32_at(program, at + 4)?;
    if port != -1 && port != i32::from(addr.port()) {
        return Some(false);
    }
    if prefix_len == 0 {
        return Some(true);
    }
    let same = |want: &[u8], have: &[u8]| {
        let bits = usize::from(prefix_len).min(have.len() * 8);
        let (whole, rest) = (bits / 8, bits % 8);
        want[..whole] == have[..whole] && (rest == 0 || (want[whole] ^ have[whole]) >> (8 - rest) == 0)
    };
    let v4 = |have: Ipv4Addr| Some(same(&array::<4>(program, at + 8)?, &have.octets()));
    match (i32::from(family), addr.ip()) {
        (libc::AF_INET, IpAddr::V4(have)) => v4(have),
        (libc::AF_INET, IpAddr::V6(have)) => have.to_ipv4_mapped().map_or(Some(false), v4),
        (libc::AF_INET6, IpAddr::V6(have)) => Some(same(&array::<16>(program, at + 8)?, &have.octets())),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use netspace_stack::sock::{Family, Owner, SockTimerInfo, SockType};

    use super::*;

    fn socket(local: &str, remote: &str) -> SockInfo {
        SockInfo {
            id: None,
            family: Family::Inet,
            ty: SockType::Stream,
            protocol: 6,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            state: 1,
            recv_queue: 0,
            send_queue: 0,
            timer: SockTimerInfo::default(),
            owner: Owner::default(),
            cookie: 1,
            dev: None,
            drops: 0,
            mark: 0,
            v6only: false,
            shutdown: 0,
            congestion: None,
        }
    }

    /// As `ss -tn '( sport = :5201 or dport = :5201 ) and not dst 10.9.0.0/16'` sends it.
    const PROGRAM: [u8; 56] = [
        7, 16, 20, 0, 0, 0, 0, 0, 81, 20, 0, 0, 0, 0, 0, 0, // source port 5201: next
        1, 4, 20, 0, // (it is: over the alternative)
        8, 16, 40, 0, 0, 0, 0, 0, 81, 20, 0, 0, 0, 0, 0, 0, // destination port 5201, else refuse
        8, 16, 20, 0, 2, 16, 0, 0, 255, 255, 255, 255, 10, 9, 0,
        0, // destination in 10.9/16: next, else accept
        1, 4, 8, 0, // refuse
    ];

    #[test]
    fn ports_prefixes_and_jumps() {
        assert!(accepts(&PROGRAM, &socket("10.0.0.1:5201", "10.0.0.2:4000")));
        assert!(accepts(&PROGRAM, &socket("10.0.0.1:4000", "10.0.0.2:5201")));
        assert!(!accepts(&PROGRAM, &socket("10.0.0.1:4000", "10.0.0.2:80")));
        assert!(!accepts(&PROGRAM, &socket("10.0.0.1:5201", "10.9.3.2:4000")));
    }

    #[test]
    fn programs_that_stand_still_or_leave_are_refused() {
        assert!(is_valid(&PROGRAM));
        assert!(!is_valid(&[0, 0, 4, 0]));
        assert!(!is_valid(&[0, 4, 0, 0]));
        assert!(!is_valid(&[0, 8, 4, 0]));
        assert!(!is_valid(&[99, 4, 4, 0]));
        assert!(!accepts(&[0, 0, 0, 0], &socket("10.0.0.1:1", "10.0.0.2:2")), "no endless loop");
    }
}
