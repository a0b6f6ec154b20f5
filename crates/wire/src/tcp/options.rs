//! TCP options.
//!
//! | kind | length | name | source |
//! |---|---|---|---|
//! | 0, 1 | 1 | end of list, no operation | RFC 9293 §3.2 |
//! | 2 | 4 | maximum segment size | RFC 9293 §3.7.1 |
//! | 3 | 3 | window scale | RFC 7323 §2 |
//! | 4 | 2 | SACK permitted | RFC 2018 §2 |
//! | 5 | 2 + 8·n | SACK | RFC 2018 §3 |
//! | 8 | 10 | timestamps | RFC 7323 §3 |
//! | 28 | 4 | user timeout | RFC 5482 |
//! | 34 | 2, 6–18 | fast open | RFC 7413 §4.1 |
//! | 172, 174 | 2, 5, 8, 11 | accurate ECN counters | RFC 9768 §3.2.3 |

use smallvec::SmallVec;

use super::SeqNum;
use crate::{u16_at, u32_at};

/// Bytes that options can take at most.
pub const OPTIONS_MAX: usize = 40;
/// The largest shift of the window (RFC 7323 §2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;
/// SACK blocks that fit when nothing else is there.
const SACK_BLOCKS_MAX: usize = 4;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const USER_TIMEOUT: u8 = 28;
const FAST_OPEN: u8 = 34;
const ACC_ECN_0: u8 = 172;
const ACC_ECN_1: u8 = 174;

/// Byte counters of accurate ECN: as many as fit, the most important first (RFC 9768 §3.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AccEcnOption {
    /// The order: ECT(1), CE, ECT(0) instead of ECT(0), CE, ECT(1).
    pub ect1_first: bool,
    /// The counters' low 24 bits, in that order.
    pub counters: [u32; 3],
    /// How many there are, 0–3.
    pub len: u8,
}

impl AccEcnOption {
    fn read(ect1_first: bool, value: &[u8]) -> Self {
        let mut option = Self { ect1_first, counters: [0; 3], len: (value.len() / 3) as u8 };
        for (counter, bytes) in option.counters.iter_mut().zip(value.chunks_exact(3)) {
            *counter = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        }
        option
    }

    fn bytes(&self) -> SmallVec<[u8; 9]> {
        let counters = &self.counters[..usize::from(self.len.min(3))];
        counters.iter().flat_map(|counter| counter.to_be_bytes().into_iter().skip(1)).collect()
    }
}

/// A Fast Open cookie; empty, it asks for one (RFC 7413 §4.1.1).
pub type FastOpenCookie = SmallVec<[u8; 16]>;

/// The options of a segment. Unknown ones are passed over; of repeated ones the last counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TcpOptions {
    /// The largest segment that the sender wants to receive (in a SYN).
    pub mss: Option<u16>,
    /// The shift of the sender's windows, 0–14 (in a SYN).
    pub window_scale: Option<u8>,
    /// The sender takes selective acknowledgements (in a SYN).
    pub sack_permitted: bool,
    /// Received blocks: first number, and the number after the last.
    pub sack: SmallVec<[(SeqNum, SeqNum); 4]>,
    /// The sender's timestamp and the one that it echoes.
    pub timestamps: Option<(u32, u32)>,
    /// A Fast Open cookie, or the request for one (in a SYN).
    pub fast_open: Option<FastOpenCookie>,
    /// The user timeout as on the wire: bit 15 counts minutes, else seconds.
    pub user_timeout: Option<u16>,
    /// Byte counters of accurate ECN.
    pub acc_ecn: Option<AccEcnOption>,
}

impl TcpOptions {
    /// Reads options. It cannot fail: at the first malformed one, the rest is ignored, as Linux does (RFC 9293 §3.1
    /// MUST-7 asks only that a bad length does no harm). Options that belong to a SYN are ignored elsewhere.
    pub fn parse(mut bytes: &[u8], syn: bool) -> Self {
        let mut options = Self::default();
        while let [kind, rest @ ..] = bytes {
            match *kind {
                END => break,
                NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            let Some(&len) = rest.first() else { break };
            if len < 2 || usize::from(len) > bytes.len() {
                break;
            }
            let (option, after) = bytes.split_at(usize::from(len));
            options.take(*kind, &option[2..], syn);
            bytes = after;
        }
        options
    }

    fn take(&mut self, kind: u8, value: &[u8], syn: bool) {
        match (kind, value.len()) {
            // An MSS of 0 is no MSS.
            (MSS, 2) if syn => self.mss = u16_at(value, 0).filter(|&mss| mss != 0).or(self.mss),
            // RFC 7323 §2.3: a larger shift is taken as 14.
            (WINDOW_SCALE, 1) if syn => self.window_scale = Some(value[0].min(MAX_WINDOW_SCALE)),
            (SACK_PERMITTED, 0) if syn => self.sack_permitted = true,
            (SACK, 8..) if value.len().is_multiple_of(8) => {
                self.sack = value
                    .chunks_exact(8)
                    .take(SACK_BLOCKS_MAX)
                    .filter_map(|b| Some((SeqNum(u32_at(b, 0)?), SeqNum(u32_at(b, 4)?))))
                    .collect();
            }
            (TIMESTAMPS, 8) => self.timestamps = u32_at(value, 0).zip(u32_at(value, 4)),
            (ACC_ECN_0 | ACC_ECN_1, 0 | 3 | 6 | 9) => {
                self.acc_ecn = Some(AccEcnOption::read(kind == ACC_ECN_1, value));
            }
            (USER_TIMEOUT, 2) => self.user_timeout = u16_at(value, 0),
            // RFC 7413 §4.1.1: none, or 4 to 16 bytes, an even number.
            (FAST_OPEN, 0 | 4..=16) if syn && value.len().is_multiple_of(2) => {
                self.fast_open = Some(FastOpenCookie::from_slice(value));
            }
            _ => {}
        }
    }

    /// Bytes that [`Self::emit`] writes: a multiple of four, at most 40. What does not fit is left out, SACK blocks first.
    pub fn len(&self) -> usize {
        self.write(&mut [0; OPTIONS_MAX])
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Writes the options and says how many bytes they took. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) -> usize {
        let mut buf = [0; OPTIONS_MAX];
        let len = self.write(&mut buf);
        out[..len].copy_from_slice(&buf[..len]);
        len
    }

    /// The order and the padding are Linux's, so that traces look as people know them.
    fn write(&self, buf: &mut [u8; OPTIONS_MAX]) -> usize {
        let mut w = Writer { buf, len: 0 };
        if let Some(mss) = self.mss {
            w.put(0, MSS, &mss.to_be_bytes());
        }
        match (self.timestamps, self.sack_permitted) {
            (Some(_), true) => w.put(0, SACK_PERMITTED, &[]),
            (Some(_), false) => w.pad(2),
            (None, true) => w.put(2, SACK_PERMITTED, &[]),
            (None, false) => {}
        }
        if let Some((value, echo)) = self.timestamps {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&value.to_be_bytes());
            bytes[4..].copy_from_slice(&echo.to_be_bytes());
            w.put(0, TIMESTAMPS, &bytes);
        }
        if let Some(shift) = self.window_scale {
            w.put(1, WINDOW_SCALE, &[shift]);
        }
        if let Some(timeout) = self.user_timeout {
            w.put(0, USER_TIMEOUT, &timeout.to_be_bytes());
        }
        if let Some(cookie) = &self.fast_open {
            let padding = (4 - (2 + cookie.len()) % 4) % 4;
            if w.len + 2 + cookie.len() + padding <= OPTIONS_MAX {
                w.put(0, FAST_OPEN, cookie);
                w.pad(padding);
            }
        }
        if !self.sack.is_empty() {
            let room = OPTIONS_MAX.saturating_sub(w.len + 4) / 8;
            let blocks: SmallVec<[u8; 32]> = (self.sack.iter().take(room))
                .flat_map(|(start, end)| [start.0.to_be_bytes(), end.0.to_be_bytes()].concat())
                .collect();
            if !blocks.is_empty() {
                w.put(2, SACK, &blocks);
            }
        }
        if let Some(counters) = &self.acc_ecn {
            let kind = if counters.ect1_first { ACC_ECN_1 } else { ACC_ECN_0 };
            let bytes = counters.bytes();
            w.put((4 - (2 + bytes.len()) % 4) % 4, kind, &bytes);
        }
        w.len
    }
}

struct Writer<'a> {
    buf: &'a mut [u8; OPTIONS_MAX],
    len: usize,
}

impl Writer<'_> {
    fn pad(&mut self, n: usize) {
        self.buf[self.len..self.len + n].fill(NOP);
        self.len += n;
    }

    /// Writes `nops` no-operations and one option, if there is room.
    fn put(&mut self, nops: usize, kind: u8, value: &[u8]) {
        let len = 2 + value.len();
        if self.len + nops + len > OPTIONS_MAX {
            return;
        }
        self.pad(nops);
        let option = &mut self.buf[self.len..self.len + len];
        option[0] = kind;
        option[1] = len as u8;
        option[2..].copy_from_slice(value);
        self.len += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(options: &TcpOptions) -> Vec<u8> {
        let mut out = vec![0; OPTIONS_MAX];
        let len = options.emit(&mut out);
        assert_eq!((len, len % 4), (options.len(), 0));
        out.truncate(len);
        out
    }

    /// RFC 9293 MUST-68
    #[test]
    fn a_linux_syn_has_its_twenty_bytes() {
        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((1, 0)),
            ..TcpOptions::default()
        };
        let bytes = emitted(&options);
        assert_eq!(bytes, [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
        assert_eq!(TcpOptions::parse(&bytes, true), options);
    }

    #[test]
    fn three_sack_blocks_fit_beside_timestamps() {
        let block = |n| (SeqNum(n), SeqNum(n + 5));
        let options = TcpOptions {
            timestamps: Some((1, 2)),
            sack: (0..4).map(|n| block(n * 10)).collect(),
            ..TcpOptions::default()
        };
        let bytes = emitted(&options);
        assert_eq!(bytes.len(), 40);
        assert_eq!(TcpOptions::parse(&bytes, false).sack.len(), 3);
    }

    /// RFC 9293 MUST-7
    #[test]
    fn a_request_for_a_cookie_is_padded_behind_it_as_linux_does() {
        let options = TcpOptions { fast_open: Some(FastOpenCookie::new()), ..TcpOptions::default() };
        assert_eq!(emitted(&options), [34, 2, 1, 1]);
    }

    #[test]
    fn malformed_options_end_the_list() {
        let good = [2, 4, 5, 180];
        for bad in [&[3u8][..], &[3, 0], &[3, 1], &[8, 10, 0, 0], &[5, 255]] {
            let bytes = [&good[..], bad].concat();
            let options = TcpOptions::parse(&bytes, true);
            assert_eq!(options, TcpOptions { mss: Some(1460), ..TcpOptions::default() }, "{bad:?}");
        }
    }

    #[test]
    fn options_of_a_syn_are_ignored_elsewhere_and_shifts_are_bounded() {
        let bytes = [2, 4, 5, 180, 3, 3, 200, 4, 2, 253, 4, 1, 2, 0];
        assert!(TcpOptions::parse(&bytes, false).is_empty());
        assert_eq!(TcpOptions::parse(&bytes, true).window_scale, Some(14));
    }
}
