//! ICMPv6 (RFC 4443). Neighbour discovery is in [`crate::ndp`], multicast listener discovery in [`crate::mld`]; both
//! appear here as `Other`.

use std::net::Ipv6Addr;

use crate::{WireError, array_at, checksum, protocol, u16_at};

/// Bytes of a header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum lies.
pub const CHECKSUM_OFFSET: usize = 2;

/// Message types.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query.
    pub const MLD_QUERY: u8 = 130;
    /// Multicast listener report, version 1.
    pub const MLD_REPORT: u8 = 131;
    /// Multicast listener done.
    pub const MLD_DONE: u8 = 132;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report, version 2.
    pub const MLD_REPORT_V2: u8 = 143;
}

/// Codes of Destination Unreachable (RFC 4443 §3.1).
pub mod unreachable {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// Administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// Beyond the scope of the source address.
    pub const BEYOND_SCOPE: u8 = 2;
    /// Address unreachable.
    pub const ADDRESS: u8 = 3;
    /// Port unreachable.
    pub const PORT: u8 = 4;
    /// The source address failed a policy.
    pub const POLICY: u8 = 5;
    /// The route rejects.
    pub const REJECT: u8 = 6;
}

/// An ICMPv6 header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Icmpv6Repr {
    /// Destination unreachable.
    Unreachable {
        /// Why ([`mod@unreachable`]).
        code: u8,
    },
    /// Packet too big.
    PacketTooBig {
        /// The next link's MTU.
        mtu: u32,
    },
    /// Time exceeded: code 0 in transit, 1 in reassembly.
    TimeExceeded {
        /// Where.
        code: u8,
    },
    /// Parameter problem.
    ParameterProblem {
        /// 0: bad field; 1: unknown next header; 2: unknown option; 3: a first fragment without all headers (RFC 7112).
        code: u8,
        /// The bad byte.
        pointer: u32,
    },
    /// Echo request.
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
    /// Another message.
    Other {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// The second word.
        rest: [u8; 4],
    },
}

impl Icmpv6Repr {
    /// Reads the header, and how long it is. The checksum is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let head: [u8; HEADER_LEN] = array_at(bytes, 0).ok_or(WireError::Truncated)?;
        let [kind, code, _, _, r0, r1, r2, r3] = head;
        let word = u32::from_be_bytes([r0, r1, r2, r3]);
        let (ident, seq) = ((word >> 16) as u16, word as u16);
        let repr = match (kind, code) {
            (kind::UNREACHABLE, _) => Self::Unreachable { code },
            // RFC 4443 §3.2: the code is ignored.
            (kind::PACKET_TOO_BIG, _) => Self::PacketTooBig { mtu: word },
            (kind::TIME_EXCEEDED, _) => Self::TimeExceeded { code },
            (kind::PARAMETER_PROBLEM, _) => Self::ParameterProblem { code, pointer: word },
            (kind::ECHO_REQUEST, 0) => Self::EchoRequest { ident, seq },
            (kind::ECHO_REPLY, 0) => Self::EchoReply { ident, seq },
            _ => Self::Other { kind, code, rest: [r0, r1, r2, r3] },
        };
        Ok((repr, HEADER_LEN))
    }

    /// Type, code, and the second word.
    fn words(&self) -> (u8, u8, u32) {
        let pair = |a: u16, b: u16| u32::from(a) << 16 | u32::from(b);
        match *self {
            Self::Unreachable { code } => (kind::UNREACHABLE, code, 0),
            Self::PacketTooBig { mtu } => (kind::PACKET_TOO_BIG, 0, mtu),
            Self::TimeExceeded { code } => (kind::TIME_EXCEEDED, code, 0),
            Self::ParameterProblem { code, pointer } => (kind::PARAMETER_PROBLEM, code, pointer),
            Self::EchoRequest { ident, seq } => (kind::ECHO_REQUEST, 0, pair(ident, seq)),
            Self::EchoReply { ident, seq } => (kind::ECHO_REPLY, 0, pair(ident, seq)),
            Self::Other { kind, code, rest } => (kind, code, u32::from_be_bytes(rest)),
        }
    }

    /// The message's type and code.
    pub fn type_code(&self) -> (u8, u8) {
        let (kind, code, _) = self.words();
        (kind, code)
    }

    /// Whether this is an error, which quotes a packet and must never be answered by an error (RFC 4443 §2.4 (e)).
    pub fn is_error(&self) -> bool {
        is_error(self.type_code().0)
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, its checksum 0. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let (kind, code, word) = self.words();
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..8].copy_from_slice(&word.to_be_bytes());
    }
}

/// Whether messages of this type are errors (RFC 4443 §2.1). A redirect counts too, as no error may answer it (§2.4 (e.2)).
pub const fn is_error(kind: u8) -> bool {
    kind < 128 || kind == kind::REDIRECT
}

/// Computes the checksum of a whole message (RFC 4443 §2.3) and writes it.
pub fn fill_checksum(src: Ipv6Addr, dst: Ipv6Addr, message: &mut [u8]) {
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let pseudo = checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, message.len());
    let value = checksum::finish(checksum::sum(message) + pseudo);
    message[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&value.to_be_bytes());
}

/// Whether the checksum of a whole message is right.
pub fn checksum_is_valid(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> bool {
    checksum::is_valid(message, checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, message.len()))
}

/// The identifier of an echo message: what a ping socket is found by.
pub fn echo_ident(message: &[u8]) -> Option<u16> {
    matches!(message.first()?, &kind::ECHO_REPLY | &kind::ECHO_REQUEST).then(|| u16_at(message, 4))?
}
