//! The control bits.

use std::fmt;

use bitflags::bitflags;

bitflags! {
    /// The control bits of a TCP header (RFC 9293 §3.1; AE: RFC 9768), at their places in the header's 13th and 14th byte.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct TcpFlags: u16 {
        /// The sender has no more data.
        const FIN = 0x001;
        /// Synchronize sequence numbers.
        const SYN = 0x002;
        /// Reset the connection.
        const RST = 0x004;
        /// Push the data to the program.
        const PSH = 0x008;
        /// The acknowledgement number counts.
        const ACK = 0x010;
        /// The urgent pointer counts.
        const URG = 0x020;
        /// ECN echo (RFC 3168).
        const ECE = 0x040;
        /// Congestion window reduced (RFC 3168).
        const CWR = 0x080;
        /// Accurate ECN (RFC 9768; once NS).
        const AE = 0x100;
    }
}

impl TcpFlags {
    /// How many sequence numbers SYN and FIN take.
    pub const fn sequence_len(self) -> usize {
        self.contains(Self::SYN) as usize + self.contains(Self::FIN) as usize
    }
}

impl fmt::Display for TcpFlags {
    /// As tcpdump writes them: `S.`, `P.`, `F.`, `.`, `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(TcpFlags, char); 9] = [
            (TcpFlags::FIN, 'F'),
            (TcpFlags::SYN, 'S'),
            (TcpFlags::RST, 'R'),
            (TcpFlags::PSH, 'P'),
            (TcpFlags::ACK, '.'),
            (TcpFlags::URG, 'U'),
            (TcpFlags::ECE, 'E'),
            (TcpFlags::CWR, 'W'),
            (TcpFlags::AE, 'e'),
        ];
        if self.is_empty() {
            return f.write_str("none");
        }
        for (_, letter) in LETTERS.into_iter().filter(|&(flag, _)| self.contains(flag)) {
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_as_tcpdump_does() {
        assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "S.");
        assert_eq!((TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR).to_string(), "SEW");
        assert_eq!(TcpFlags::empty().to_string(), "none");
        assert_eq!((TcpFlags::SYN | TcpFlags::FIN).sequence_len(), 2);
    }
}
