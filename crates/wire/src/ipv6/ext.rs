//! IPv6 extension headers (RFC 8200 §4): hop-by-hop options, routing, fragment, destination options.
//!
//! [`Chain::parse`] walks them once, from the fixed header to the upper layer, and tells what the stack must know. All
//! offsets count from the start of the fixed header, as the pointer of a Parameter Problem does.
//!
//! ```text
//! fixed 40 | hop-by-hop | destination | routing | fragment | destination | upper layer
//! ```

use crate::{WireError, protocol, u16_at, u32_at};

use super::{HEADER_LEN, NEXT_HEADER_OFFSET};

/// Bytes of a fragment header.
pub const FRAGMENT_HEADER_LEN: usize = 8;
/// Extension headers that a packet may have; RFC 8200 orders at most seven.
pub const CHAIN_MAX: usize = 8;
/// Options in one header that are looked at (RFC 8504 §5.3 permits such a limit, and eight as its default).
pub const OPTIONS_MAX: usize = 8;

const PAD1: u8 = 0;
const PADN: u8 = 1;
const ROUTER_ALERT: u8 = 5;
/// The value of a router alert that marks an MLD message (RFC 2711 §2.1).
pub const ALERT_MLD: u16 = 0;

/// A fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentRepr {
    /// What follows in the whole packet's fragmentable part.
    pub next_header: u8,
    /// Where this fragment belongs, bytes (a multiple of eight).
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// The packet's number, for reassembly.
    pub id: u32,
}

impl FragmentRepr {
    /// Reads the header, and how long it is.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (Some(offset), Some(id)) = (u16_at(bytes, 2), u32_at(bytes, 4)) else {
            return Err(WireError::Truncated);
        };
        let repr = Self { next_header: bytes[0], offset: offset & !7, more: offset & 1 != 0, id };
        Ok((repr, FRAGMENT_HEADER_LEN))
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        FRAGMENT_HEADER_LEN
    }

    /// Writes the header. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        out[0] = self.next_header;
        out[1] = 0;
        out[2..4].copy_from_slice(&(self.offset & !7 | u16::from(self.more)).to_be_bytes());
        out[4..8].copy_from_slice(&self.id.to_be_bytes());
    }

    /// A packet that is no fragment but has a fragment header (RFC 6946).
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// What a node must do with an option that it does not know: the upper two bits of its type (RFC 8200 §4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnknownAction {
    /// Pass over it.
    Skip,
    /// Drop the packet.
    Drop,
    /// Drop the packet and send a Parameter Problem, code 2.
    Report,
    /// As [`Self::Report`], but not if the destination is a group.
    ReportUnlessMulticast,
}

impl UnknownAction {
    /// The action that an option's type asks for.
    pub const fn of(kind: u8) -> Self {
        match kind >> 6 {
            0 => Self::Skip,
            1 => Self::Drop,
            2 => Self::Report,
            _ => Self::ReportUnlessMulticast,
        }
    }
}

/// Why a chain is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChainError {
    /// It goes beyond the bytes given. The first fragment must hold it whole (RFC 7112).
    Truncated,
    /// Drop silently.
    Drop,
    /// Answer with a Parameter Problem of this code and pointer.
    Problem {
        /// 0: bad field, 1: unknown next header, 2: unknown option.
        code: u8,
        /// Where.
        pointer: u32,
        /// Not if the destination is a group.
        unless_multicast: bool,
    },
}

impl ChainError {
    const fn bad_field(at: usize) -> Self {
        Self::Problem { code: 0, pointer: at as u32, unless_multicast: false }
    }
}

/// What stands between the fixed header and the upper layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The upper layer's protocol; of a later fragment, the first header's in it.
    pub protocol: u8,
    /// Where the upper layer starts; of a fragment (unless atomic), where its piece starts.
    pub offset: usize,
    /// Where the number of `protocol` stands: the pointer for "unknown next header".
    pub protocol_at: usize,
    /// The fragment header and where it is.
    pub fragment: Option<(FragmentRepr, usize)>,
    /// The value of a router alert option (0: MLD; RFC 2711).
    pub router_alert: Option<u16>,
    /// Where the unfragmentable part ends: behind hop-by-hop and routing headers. A fragment header goes here.
    pub unfragmentable_len: usize,
    /// Where the next-header number stands that a fragment header at `unfragmentable_len` replaces.
    pub unfragmentable_next_at: usize,
}

impl Chain {
    /// Walks the extension headers of the packet that starts at `packet[0]` (its fixed header has been parsed). It stops at
    /// a fragment header that is not atomic: what follows is known only after reassembly.
    pub fn parse(packet: &[u8]) -> Result<Self, ChainError> {
        let mut chain = Self {
            protocol: *packet.get(NEXT_HEADER_OFFSET).ok_or(ChainError::Truncated)?,
            offset: HEADER_LEN,
            protocol_at: NEXT_HEADER_OFFSET,
            fragment: None,
            router_alert: None,
            unfragmentable_len: HEADER_LEN,
            unfragmentable_next_at: NEXT_HEADER_OFFSET,
        };
        for _ in 0..=CHAIN_MAX {
            let kind = chain.protocol;
            if !is_extension(kind) {
                return Ok(chain);
            }
            chain.step(packet, kind)?;
            if chain.fragment.is_some_and(|(f, _)| !f.is_atomic()) {
                return Ok(chain);
            }
        }
        Err(ChainError::Drop)
    }

    /// Whether a first fragment holds all headers, the start of the upper layer's included (RFC 7112 §5).
    pub fn first_fragment_is_whole(&self, packet: &[u8]) -> bool {
        let (mut next, mut at) = (self.protocol, self.offset);
        for _ in 0..=CHAIN_MAX {
            let bytes = packet.get(at..).unwrap_or_default();
            if !is_extension(next) {
                let least = match next {
                    protocol::TCP => 20,
                    protocol::UDP | protocol::UDPLITE | protocol::ICMPV6 => 8,
                    protocol::NO_NEXT => 0,
                    _ => 1,
                };
                return bytes.len() >= least;
            }
            let (Some(&after), Some(len)) = (bytes.first(), header_len(next, bytes)) else { return false };
            (next, at) = (after, at + len);
        }
        false
    }

    /// Reads the extension header at `offset` and goes behind it.
    fn step(&mut self, packet: &[u8], kind: u8) -> Result<(), ChainError> {
        let at = self.offset;
        let bytes = packet.get(at..).ok_or(ChainError::Truncated)?;
        let len = header_len(kind, bytes).ok_or(ChainError::Truncated)?;
        let header = bytes.get(..len).ok_or(ChainError::Truncated)?;
        match kind {
            protocol::HOP_BY_HOP => {
                // RFC 8200 §4.1: only right behind the fixed header; elsewhere it is an unknown next header.
                if at != HEADER_LEN {
                    let pointer = self.protocol_at as u32;
                    return Err(ChainError::Problem { code: 1, pointer, unless_multicast: false });
                }
                self.options(header, at)?;
            }
            protocol::DESTINATION => self.options(header, at)?,
            protocol::ROUTING => routing(header, at)?,
            protocol::FRAGMENT => {
                let (repr, _) = FragmentRepr::parse(header).map_err(|_| ChainError::Truncated)?;
                self.fragment = Some((repr, at));
            }
            _ => {}
        }
        self.protocol = header[0];
        self.protocol_at = at;
        self.offset = at + len;
        if matches!(kind, protocol::HOP_BY_HOP | protocol::ROUTING) && self.fragment.is_none() {
            self.unfragmentable_len = self.offset;
            self.unfragmentable_next_at = at;
        }
        Ok(())
    }

    fn options(&mut self, header: &[u8], at: usize) -> Result<(), ChainError> {
        for (count, option) in OptionIter::new(&header[2..], at + 2).enumerate() {
            let option = option.map_err(|WireErrorAt(at)| ChainError::bad_field(at))?;
            if count >= OPTIONS_MAX {
                return Err(ChainError::Drop);
            }
            match (option.kind, option.value.len()) {
                (PADN, _) => {}
                (ROUTER_ALERT, 2) => self.router_alert = u16_at(option.value, 0),
                (kind, _) => refuse_unknown(kind, option.at)?,
            }
        }
        Ok(())
    }
}

fn refuse_unknown(kind: u8, at: usize) -> Result<(), ChainError> {
    let pointer = at as u32;
    match UnknownAction::of(kind) {
        UnknownAction::Skip => Ok(()),
        UnknownAction::Drop => Err(ChainError::Drop),
        UnknownAction::Report => Err(ChainError::Problem { code: 2, pointer, unless_multicast: false }),
        UnknownAction::ReportUnlessMulticast => {
            Err(ChainError::Problem { code: 2, pointer, unless_multicast: true })
        }
    }
}

/// A routing header of an unknown type with segments left stops the packet; with none left it is passed over (RFC 8200
/// §4.4). Type 0 is unknown on purpose (RFC 5095).
fn routing(header: &[u8], at: usize) -> Result<(), ChainError> {
    let segments_left = *header.get(3).ok_or(ChainError::Truncated)?;
    if segments_left == 0 { Ok(()) } else { Err(ChainError::bad_field(at + 2)) }
}

/// Whether `next_header` names an extension header that [`Chain::parse`] walks over.
pub const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::FRAGMENT | protocol::DESTINATION
    )
}

/// The whole length of the extension header `kind` that starts at `bytes[0]`, if its length can be read.
pub fn header_len(kind: u8, bytes: &[u8]) -> Option<usize> {
    match kind {
        protocol::FRAGMENT => Some(FRAGMENT_HEADER_LEN),
        protocol::AH => Some((usize::from(*bytes.get(1)?) + 2) * 4),
        _ => Some((usize::from(*bytes.get(1)?) + 1) * 8),
    }
}

/// One option of a hop-by-hop or destination options header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtOption<'a> {
    /// Its type.
    pub kind: u8,
    /// Its value.
    pub value: &'a [u8],
    /// Where it starts, counted as the iterator was told.
    pub at: usize,
}

/// An option goes beyond its header; where its length stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireErrorAt(pub usize);

/// Walks over options; one-byte padding is passed over.
#[derive(Clone, Debug)]
pub struct OptionIter<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> OptionIter<'a> {
    /// The options in `bytes`, which start at offset `at`.
    pub const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }
}

impl<'a> Iterator for OptionIter<'a> {
    type Item = Result<ExtOption<'a>, WireErrorAt>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [PAD1, after @ ..] = self.rest {
            self.rest = after;
            self.at += 1;
        }
        let (&kind, at) = (self.rest.first()?, self.at);
        let end = self.rest.get(1).map(|&len| usize::from(len) + 2);
        let Some((option, after)) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            self.rest = &[];
            return Some(Err(WireErrorAt(at + 1)));
        };
        self.rest = after;
        self.at += option.len();
        Some(Ok(ExtOption { kind, value: &option[2..], at }))
    }
}

/// The hop-by-hop header with a router alert for MLD (RFC 2710 §3, RFC 2711), before `next_header`.
pub const fn router_alert_header(next_header: u8) -> [u8; 8] {
    [next_header, 0, ROUTER_ALERT, 2, 0, 0, PADN, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, headers: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[0] = 0x60;
        bytes[NEXT_HEADER_OFFSET] = first;
        bytes.extend_from_slice(headers);
        bytes
    }

    #[test]
    fn a_chain_is_walked_to_the_upper_layer() {
        let bytes = packet(
            protocol::HOP_BY_HOP,
            &[
                &router_alert_header(protocol::ROUTING)[..],
                &[protocol::DESTINATION, 0, 0, 0, 0, 0, 0, 0],
                &[protocol::ICMPV6, 1, PADN, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ]
            .concat(),
        );
        let chain = Chain::parse(&bytes).unwrap();
        assert_eq!((chain.protocol, chain.offset, chain.protocol_at), (protocol::ICMPV6, 72, 56));
        assert_eq!((chain.router_alert, chain.unfragmentable_len), (Some(0), 56));
        assert_eq!(chain.unfragmentable_next_at, 48);
    }

    #[test]
    fn a_fragment_ends_the_walk_unless_it_is_atomic() {
        let later = [protocol::DESTINATION, 0, 0x00, 0x09, 0, 0, 0, 7, 0xff];
        let chain = Chain::parse(&packet(protocol::FRAGMENT, &later)).unwrap();
        let (fragment, at) = chain.fragment.unwrap();
        assert_eq!((fragment.offset, fragment.more, fragment.id, at), (8, true, 7, 40));
        assert_eq!((chain.protocol, chain.offset), (protocol::DESTINATION, 48));
        let atomic = [protocol::UDP, 0, 0, 0, 0, 0, 0, 7];
        let chain = Chain::parse(&packet(protocol::FRAGMENT, &atomic)).unwrap();
        assert!(chain.fragment.unwrap().0.is_atomic());
        assert_eq!(chain.protocol, protocol::UDP);
    }

    #[test]
    fn unknown_options_are_refused_as_their_type_asks() {
        let with = |kind| Chain::parse(&packet(protocol::DESTINATION, &[59, 0, kind, 0, PADN, 2, 0, 0]));
        let problem = |unless_multicast| ChainError::Problem { code: 2, pointer: 42, unless_multicast };
        assert!(with(0x3e).is_ok());
        assert_eq!(with(0x7e), Err(ChainError::Drop));
        assert_eq!(with(0xbe), Err(problem(false)));
        assert_eq!(with(0xfe), Err(problem(true)));
    }

    #[test]
    fn bad_headers_are_refused_with_a_pointer() {
        let routing = packet(protocol::ROUTING, &[59, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(Chain::parse(&routing), Err(ChainError::bad_field(42)));
        let hop_twice = packet(protocol::HOP_BY_HOP, &[0, 0, 1, 4, 0, 0, 0, 0, 59, 0, 1, 4, 0, 0, 0, 0]);
        let unknown = ChainError::Problem { code: 1, pointer: 40, unless_multicast: false };
        assert_eq!(Chain::parse(&hop_twice), Err(unknown));
        let long_option = packet(protocol::DESTINATION, &[59, 0, 1, 9, 0, 0, 0, 0]);
        assert_eq!(Chain::parse(&long_option), Err(ChainError::bad_field(43)));
        assert_eq!(Chain::parse(&packet(protocol::DESTINATION, &[59, 9])), Err(ChainError::Truncated));
        let endless = [protocol::DESTINATION, 0, 1, 4, 0, 0, 0, 0].repeat(20);
        assert_eq!(Chain::parse(&packet(protocol::DESTINATION, &endless)), Err(ChainError::Drop));
    }
}
