//! A segment as the endpoint sees it: without ports and checksum, which its owner adds and checks.

use bytes::Bytes;
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};
use smallvec::SmallVec;

/// A TCP segment. On the way out it may be a super-segment of up to 64 KiB, to be cut into pieces of `gso_size` where
/// the wire needs it; on the way in it may likewise stand for several that came one after the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// The number of the first byte, or of SYN.
    pub seq: SeqNum,
    /// The next number expected from the receiver of this segment; counts with ACK.
    pub ack: SeqNum,
    /// The control bits.
    pub flags: TcpFlags,
    /// The receive window as on the wire (not scaled).
    pub window: u16,
    /// The urgent pointer; counts with URG.
    pub urgent: u16,
    /// The options.
    pub options: TcpOptions,
    /// The payload, in shared slices.
    pub payload: SmallVec<[Bytes; 2]>,
    /// Payload bytes of each piece, if the payload is longer than one piece may be.
    pub gso_size: Option<u16>,
    /// The ECN field of its packet.
    pub ecn: Ecn,
    /// CWR is a bit of a counter and stays on every piece, as on the first (RFC 9768).
    pub accurate_ecn: bool,
}

impl Segment {
    /// Bytes of payload.
    pub fn payload_len(&self) -> usize {
        self.payload.iter().map(Bytes::len).sum()
    }

    /// Sequence numbers it takes: its payload, SYN and FIN (RFC 9293 §3.4, SEG.LEN).
    pub fn sequence_len(&self) -> usize {
        self.payload_len() + self.flags.sequence_len()
    }

    /// The reset that answers a segment for which there is no connection (RFC 9293 §3.10.7.1); none answers a reset.
    pub fn reset_for(offending: &Self) -> Option<Self> {
        if offending.flags.contains(TcpFlags::RST) {
            return None;
        }
        if offending.flags.contains(TcpFlags::ACK) {
            return Some(Self { seq: offending.ack, flags: TcpFlags::RST, ..Self::default() });
        }
        Some(Self {
            ack: offending.seq + offending.sequence_len(),
            flags: TcpFlags::RST | TcpFlags::ACK,
            ..Self::default()
        })
    }

    /// How many segments of at most `mss` bytes it stands for.
    pub(crate) fn pieces(&self, mss: usize) -> u32 {
        let size = self.gso_size.map_or(mss, usize::from).max(1);
        (self.payload_len().div_ceil(size) as u32).max(1)
    }
}
