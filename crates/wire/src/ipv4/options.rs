//! IPv4 options (RFC 791 §3.1, RFC 2113).

use std::fmt;
use std::net::Ipv4Addr;

use super::HEADER_LEN;
use crate::{WireError, array_at};

/// Bytes that options can take at most.
pub const OPTIONS_MAX: usize = 40;

const END: u8 = 0;
const NOP: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;
/// In fragments other than the first, only options with this bit are repeated.
const COPIED: u8 = 0x80;
/// A pointer counts from the start of the option, from 1, and the first slot follows kind, length and pointer.
const FIRST_SLOT: u8 = 4;

/// The options of an IPv4 header as they are on the wire, known to be well formed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Options {
    len: u8,
    bytes: [u8; OPTIONS_MAX],
}

impl Default for Ipv4Options {
    fn default() -> Self {
        Self { len: 0, bytes: [0; OPTIONS_MAX] }
    }
}

impl fmt::Debug for Ipv4Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One IPv4 option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ipv4Option<'a> {
    /// Routers note their addresses: the pointer (1-based, of the next free slot) and the slots.
    RecordRoute(u8, &'a [u8]),
    /// Routers note the time: pointer, overflow and flag, slots.
    Timestamp(u8, u8, &'a [u8]),
    /// The packet takes its way by these addresses, others in between: pointer and slots.
    LooseSourceRoute(u8, &'a [u8]),
    /// The packet takes its way by exactly these addresses: pointer and slots.
    StrictSourceRoute(u8, &'a [u8]),
    /// Routers should look at the packet (RFC 2113).
    RouterAlert(u16),
    /// Another option: kind and value.
    Other(u8, &'a [u8]),
}

impl Ipv4Options {
    /// The router alert option that IGMP messages carry (RFC 2236 §2).
    pub const ROUTER_ALERT: Self = {
        let mut bytes = [0; OPTIONS_MAX];
        bytes[0] = ROUTER_ALERT;
        bytes[1] = 4;
        Self { len: 4, bytes }
    };

    /// Reads options and checks that they are well formed. Errors name the offset in the IPv4 header. What follows an end
    /// of list is dropped.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > OPTIONS_MAX {
            return Err(WireError::Length);
        }
        let mut at = 0;
        while at < bytes.len() && bytes[at] != END {
            let error = |add: usize| WireError::Option((HEADER_LEN + at + add) as u16);
            if bytes[at] == NOP {
                at += 1;
                continue;
            }
            let len = usize::from(*bytes.get(at + 1).ok_or(error(0))?);
            let option = bytes.get(at..at + len).filter(|_| len >= 2).ok_or(error(1))?;
            check(option).map_err(error)?;
            at += len;
        }
        let mut options = Self { len: at as u8, ..Self::default() };
        options.bytes[..at].copy_from_slice(&bytes[..at]);
        Ok(options)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, without padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Bytes on the wire, padded to a multiple of four.
    pub const fn padded_len(&self) -> usize {
        (self.len as usize).next_multiple_of(4)
    }

    pub(super) fn emit(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes[..self.padded_len()]);
    }

    /// The options in their order; no-operations are passed over.
    pub fn iter(&self) -> impl Iterator<Item = Ipv4Option<'_>> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || {
            while let [NOP, after @ ..] = rest {
                rest = after;
            }
            let len = usize::from(*rest.get(1)?);
            let (option, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(read(option))
        })
    }

    /// Whether a source route has slots left that the packet must still go by.
    pub fn source_route_pending(&self) -> bool {
        self.iter().any(|option| match option {
            Ipv4Option::LooseSourceRoute(pointer, slots) | Ipv4Option::StrictSourceRoute(pointer, slots) => {
                usize::from(pointer) < slots.len() + usize::from(FIRST_SLOT)
            }
            _ => false,
        })
    }

    /// Writes `addr` into the next free slot of a record-route option, as a host or router does that the packet passes
    /// (RFC 791 §3.1); true if something changed (the header checksum must then be computed anew).
    pub fn record_route(&mut self, addr: Ipv4Addr) -> bool {
        let mut at = 0;
        while at < usize::from(self.len) {
            match self.bytes[at] {
                NOP => at += 1,
                RECORD_ROUTE => {
                    let (len, pointer) = (usize::from(self.bytes[at + 1]), usize::from(self.bytes[at + 2]));
                    if pointer + 3 > len {
                        return false;
                    }
                    self.bytes[at + pointer - 1..at + pointer + 3].copy_from_slice(&addr.octets());
                    self.bytes[at + 2] += 4;
                    return true;
                }
                _ => at += usize::from(self.bytes[at + 1]),
            }
        }
        false
    }

    /// The options for fragments other than the first: those with the copied bit (RFC 791 §3.1).
    #[must_use]
    pub fn for_later_fragments(&self) -> Self {
        let mut out = Self::default();
        let mut rest = self.as_bytes();
        while let [kind, after @ ..] = rest {
            if *kind == NOP {
                rest = after;
                continue;
            }
            let Some((option, after)) =
                after.first().and_then(|&len| rest.split_at_checked(usize::from(len)))
            else {
                break;
            };
            rest = after;
            if kind & COPIED != 0 {
                let start = usize::from(out.len);
                out.bytes[start..start + option.len()].copy_from_slice(option);
                out.len += option.len() as u8;
            }
        }
        out
    }
}

/// Whether one option, its length known to be right, is well formed; the error is the offset in it.
fn check(option: &[u8]) -> Result<(), usize> {
    match option[0] {
        RECORD_ROUTE | LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => {
            if option.len() < 3 || !(option.len() - 3).is_multiple_of(4) {
                return Err(1);
            }
            // RFC 791 §3.1: the smallest legal pointer is 4; beyond the end it says "full".
            if option[2] < FIRST_SLOT || !(option[2] - FIRST_SLOT).is_multiple_of(4) {
                return Err(2);
            }
        }
        TIMESTAMP => {
            if option.len() < 4 || !option.len().is_multiple_of(4) {
                return Err(1);
            }
            if option[2] < 5 {
                return Err(2);
            }
        }
        ROUTER_ALERT if option.len() < 4 => return Err(1),
        _ => {}
    }
    Ok(())
}

fn read(option: &[u8]) -> Ipv4Option<'_> {
    match option {
        [RECORD_ROUTE, _, pointer, slots @ ..] => Ipv4Option::RecordRoute(*pointer, slots),
        [LOOSE_SOURCE_ROUTE, _, pointer, slots @ ..] => Ipv4Option::LooseSourceRoute(*pointer, slots),
        [STRICT_SOURCE_ROUTE, _, pointer, slots @ ..] => Ipv4Option::StrictSourceRoute(*pointer, slots),
        [TIMESTAMP, _, pointer, flags, slots @ ..] => Ipv4Option::Timestamp(*pointer, *flags, slots),
        [ROUTER_ALERT, ..] => Ipv4Option::RouterAlert(array_at(option, 2).map_or(0, u16::from_be_bytes)),
        _ => Ipv4Option::Other(option[0], option.get(2..).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_route_fills_slots_until_full() {
        let mut options = Ipv4Options::parse(&[NOP, RECORD_ROUTE, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert!(options.record_route(Ipv4Addr::new(1, 2, 3, 4)));
        assert!(options.record_route(Ipv4Addr::new(5, 6, 7, 8)));
        assert!(!options.record_route(Ipv4Addr::new(9, 9, 9, 9)), "the option is full");
        assert_eq!(options.iter().next(), Some(Ipv4Option::RecordRoute(12, &[1, 2, 3, 4, 5, 6, 7, 8])));
        assert_eq!(Ipv4Options::parse(options.as_bytes()), Ok(options), "a full option is well formed");
    }

    #[test]
    fn errors_point_at_the_bad_byte() {
        assert_eq!(Ipv4Options::parse(&[NOP, 7]), Err(WireError::Option(21)));
        assert_eq!(Ipv4Options::parse(&[7, 1, 0, 0]), Err(WireError::Option(21)));
        assert_eq!(Ipv4Options::parse(&[7, 7, 3, 0, 0, 0, 0, 0]), Err(WireError::Option(22)));
        assert_eq!(Ipv4Options::parse(&[7, 9, 4, 0]), Err(WireError::Option(21)));
    }

    #[test]
    fn only_copied_options_go_into_later_fragments() {
        let bytes = [RECORD_ROUTE, 7, 4, 0, 0, 0, 0, ROUTER_ALERT, 4, 0, 0, 0];
        let options = Ipv4Options::parse(&bytes).unwrap();
        assert_eq!(options.for_later_fragments(), Ipv4Options::ROUTER_ALERT);
        assert_eq!(options.iter().count(), 2);
    }
}
