//! ICMP for IPv4 (RFC 792, RFC 1191).
//!
//! ```text
//! | type | code | checksum |
//! | rest of the header     |
//! | data: echo payload, or the quoted packet's start … |
//! ```

use std::net::Ipv4Addr;

use crate::{WireError, array_at, checksum, u16_at, u32_at};

/// Bytes of a header (timestamps: [`TIMESTAMP_LEN`]).
pub const HEADER_LEN: usize = 8;
/// Bytes of a timestamp message.
pub const TIMESTAMP_LEN: usize = 20;
/// Where the checksum lies.
pub const CHECKSUM_OFFSET: usize = 2;

/// Message types.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench (obsolete, RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
}

/// Codes of Destination Unreachable (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1).
pub mod unreachable {
    /// Network unreachable.
    pub const NET: u8 = 0;
    /// Host unreachable.
    pub const HOST: u8 = 1;
    /// Protocol unreachable.
    pub const PROTOCOL: u8 = 2;
    /// Port unreachable.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and DF set.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Source route failed.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    /// Network administratively prohibited.
    pub const NET_PROHIBITED: u8 = 9;
    /// Host administratively prohibited.
    pub const HOST_PROHIBITED: u8 = 10;
    /// Communication administratively prohibited.
    pub const ADMIN_PROHIBITED: u8 = 13;
}

/// An ICMP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Icmpv4Repr {
    /// Echo request: identifier and sequence number.
    EchoRequest {
        /// Whose.
        ident: u16,
        /// Which.
        seq: u16,
    },
    /// Echo reply.
    EchoReply {
        /// Whose.
        ident: u16,
        /// Which.
        seq: u16,
    },
    /// Destination unreachable.
    Unreachable {
        /// Why ([`mod@unreachable`]).
        code: u8,
        /// The next link's MTU with code 4; else 0.
        mtu: u16,
    },
    /// Another router is nearer.
    Redirect {
        /// For what: 0 network, 1 host (2, 3: and type of service).
        code: u8,
        /// The other router.
        gateway: Ipv4Addr,
    },
    /// Time exceeded: code 0 in transit, 1 in reassembly.
    TimeExceeded {
        /// Where.
        code: u8,
    },
    /// Parameter problem.
    ParameterProblem {
        /// 0: at the pointer; 1: an option is missing; 2: bad length.
        code: u8,
        /// The bad byte.
        pointer: u8,
    },
    /// Timestamp request: milliseconds since midnight UT.
    Timestamp {
        /// Whether this is the reply.
        reply: bool,
        /// Whose.
        ident: u16,
        /// Which.
        seq: u16,
        /// Sent by the asker, received, sent back.
        times: [u32; 3],
    },
    /// Another message: type, code, rest of the header.
    Other {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// The second word.
        rest: [u8; 4],
    },
}

impl Icmpv4Repr {
    /// Reads the header, and how long it is. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let head: [u8; HEADER_LEN] = array_at(bytes, 0).ok_or(WireError::Truncated)?;
        let [kind, code, _, _, r0, r1, r2, r3] = head;
        let (ident, seq) = (u16::from_be_bytes([r0, r1]), u16::from_be_bytes([r2, r3]));
        let repr = match (kind, code) {
            (kind::ECHO_REPLY, 0) => Self::EchoReply { ident, seq },
            (kind::ECHO_REQUEST, 0) => Self::EchoRequest { ident, seq },
            (kind::UNREACHABLE, _) => {
                let mtu = if code == unreachable::FRAGMENTATION_NEEDED { seq } else { 0 };
                Self::Unreachable { code, mtu }
            }
            (kind::REDIRECT, _) => Self::Redirect { code, gateway: Ipv4Addr::new(r0, r1, r2, r3) },
            (kind::TIME_EXCEEDED, _) => Self::TimeExceeded { code },
            (kind::PARAMETER_PROBLEM, _) => Self::ParameterProblem { code, pointer: r0 },
            (kind::TIMESTAMP | kind::TIMESTAMP_REPLY, 0) => {
                let time = |at| u32_at(bytes, at).ok_or(WireError::Truncated);
                let times = [time(8)?, time(12)?, time(16)?];
                let repr = Self::Timestamp { reply: kind == kind::TIMESTAMP_REPLY, ident, seq, times };
                return Ok((repr, TIMESTAMP_LEN));
            }
            _ => Self::Other { kind, code, rest: [r0, r1, r2, r3] },
        };
        Ok((repr, HEADER_LEN))
    }

    /// Type, code, and the second word.
    fn words(&self) -> (u8, u8, [u8; 4]) {
        let pair = |a: u16, b: u16| (u32::from(a) << 16 | u32::from(b)).to_be_bytes();
        match *self {
            Self::EchoReply { ident, seq } => (kind::ECHO_REPLY, 0, pair(ident, seq)),
            Self::EchoRequest { ident, seq } => (kind::ECHO_REQUEST, 0, pair(ident, seq)),
            Self::Unreachable { code, mtu } => (kind::UNREACHABLE, code, pair(0, mtu)),
            Self::Redirect { code, gateway } => (kind::REDIRECT, code, gateway.octets()),
            Self::TimeExceeded { code } => (kind::TIME_EXCEEDED, code, [0; 4]),
            Self::ParameterProblem { code, pointer } => (kind::PARAMETER_PROBLEM, code, [pointer, 0, 0, 0]),
            Self::Timestamp { reply, ident, seq, .. } => {
                (if reply { kind::TIMESTAMP_REPLY } else { kind::TIMESTAMP }, 0, pair(ident, seq))
            }
            Self::Other { kind, code, rest } => (kind, code, rest),
        }
    }

    /// The message's type and code.
    pub fn type_code(&self) -> (u8, u8) {
        let (kind, code, _) = self.words();
        (kind, code)
    }

    /// Whether this is an error, which quotes a packet and must never be answered by an error (RFC 1122 §3.2.2).
    pub fn is_error(&self) -> bool {
        is_error(self.type_code().0)
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        if matches!(self, Self::Timestamp { .. }) { TIMESTAMP_LEN } else { HEADER_LEN }
    }

    /// Writes the header, its checksum 0. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let (kind, code, rest) = self.words();
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..8].copy_from_slice(&rest);
        if let Self::Timestamp { times, .. } = self {
            for (chunk, time) in out[8..TIMESTAMP_LEN].chunks_exact_mut(4).zip(times) {
                chunk.copy_from_slice(&time.to_be_bytes());
            }
        }
    }
}

/// Whether messages of this type are errors.
pub const fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        kind::UNREACHABLE
            | kind::SOURCE_QUENCH
            | kind::REDIRECT
            | kind::TIME_EXCEEDED
            | kind::PARAMETER_PROBLEM
    )
}

/// Computes the checksum of a whole message and writes it. For a message in a `Pkt` with slices use
/// [`checksum::of_pkt`].
pub fn fill_checksum(message: &mut [u8]) {
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let value = checksum::finish(checksum::sum(message));
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&value.to_be_bytes());
}

/// The identifier of an echo message: what a ping socket is found by.
pub fn echo_ident(message: &[u8]) -> Option<u16> {
    matches!(message.first()?, &kind::ECHO_REPLY | &kind::ECHO_REQUEST).then(|| u16_at(message, 4))?
}
