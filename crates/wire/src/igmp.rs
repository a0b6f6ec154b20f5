//! IGMP, versions 1 to 3 (RFC 1112, RFC 2236, RFC 3376).
//!
//! ```text
//! | type | max response | checksum |   then the group; version 3: flags and sources, or group records
//! ```

use std::net::Ipv4Addr;

use crate::{WireError, array_at, checksum, u16_at};

/// Bytes of a version 1 or 2 message.
pub const HEADER_LEN: usize = 8;
/// All systems on the link, 224.0.0.1.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers on the link, 224.0.0.2.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All IGMPv3 routers on the link, 224.0.0.22.
pub const ALL_V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;
const QUERY_V3_LEN: usize = 12;

/// What a group record says (RFC 3376 §4.2.12; MLDv2 has the same, RFC 3810 §5.2.12).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// The filter is "include these sources".
    IsInclude = 1,
    /// The filter is "exclude these sources".
    IsExclude = 2,
    /// The filter has changed to include.
    ToInclude = 3,
    /// The filter has changed to exclude.
    ToExclude = 4,
    /// Sources are allowed from now on.
    AllowNew = 5,
    /// Sources are blocked from now on.
    BlockOld = 6,
}

impl RecordKind {
    /// From its number.
    pub const fn from_number(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::IsInclude,
            2 => Self::IsExclude,
            3 => Self::ToInclude,
            4 => Self::ToExclude,
            5 => Self::AllowNew,
            6 => Self::BlockOld,
            _ => return None,
        })
    }
}

/// A group record of a version 3 report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRecord<A> {
    /// What it says.
    pub kind: RecordKind,
    /// About which group.
    pub group: A,
    /// And which sources.
    pub sources: Vec<A>,
}

/// What a version 3 query says besides the group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueryV3<A> {
    /// Other routers do not update their timers.
    pub suppress: bool,
    /// The querier's robustness variable; 0: not said.
    pub robustness: u8,
    /// The querier's interval, seconds.
    pub interval_s: u32,
    /// Which sources are asked about; empty: all.
    pub sources: Vec<A>,
}

/// An IGMP message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IgmpRepr {
    /// Who is a member of which group (0.0.0.0) or of this group?
    Query {
        /// Answer within this time, tenths of a second. 0: a version 1 query.
        max_response_ds: u32,
        /// Which group; 0.0.0.0: all.
        group: Ipv4Addr,
        /// The rest of a version 3 query.
        v3: Option<QueryV3<Ipv4Addr>>,
    },
    /// I am a member (version 1).
    ReportV1 {
        /// Of this group.
        group: Ipv4Addr,
    },
    /// I am a member (version 2).
    ReportV2 {
        /// Of this group.
        group: Ipv4Addr,
    },
    /// I am no longer a member.
    Leave {
        /// Of this group.
        group: Ipv4Addr,
    },
    /// What I listen to (version 3).
    ReportV3 {
        /// Group by group.
        records: Vec<GroupRecord<Ipv4Addr>>,
    },
}

impl IgmpRepr {
    /// Reads a whole message (`bytes` must end where it ends) and how long it is; the checksum is checked.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let [kind, code]: [u8; 2] = array_at(bytes, 0).ok_or(WireError::Truncated)?;
        let group = array_at::<4>(bytes, 4).map(Ipv4Addr::from).ok_or(WireError::Truncated)?;
        if !checksum::is_valid(bytes, 0) {
            return Err(WireError::Checksum);
        }
        let repr = match kind {
            QUERY => Self::query(bytes, code, group)?,
            REPORT_V1 => Self::ReportV1 { group },
            REPORT_V2 => Self::ReportV2 { group },
            LEAVE => Self::Leave { group },
            REPORT_V3 => Self::ReportV3 { records: records(bytes, |b| b.map(Ipv4Addr::from))? },
            _ => return Err(WireError::Type(kind)),
        };
        Ok((repr, bytes.len()))
    }

    fn query(bytes: &[u8], code: u8, group: Ipv4Addr) -> Result<Self, WireError> {
        // RFC 3376 §7.1: the version is told by the length, and 1 from 2 by the code. Others are ignored silently.
        match bytes.len() {
            HEADER_LEN => Ok(Self::Query { max_response_ds: code.into(), group, v3: None }),
            QUERY_V3_LEN.. => {
                let v3 = query_v3(&bytes[HEADER_LEN..], |b| b.map(Ipv4Addr::from))?;
                Ok(Self::Query { max_response_ds: decode_time(code), group, v3: Some(v3) })
            }
            _ => Err(WireError::Length),
        }
    }

    /// Bytes that [`Self::emit`] writes: the whole message.
    pub fn header_len(&self) -> usize {
        match self {
            Self::Query { v3: Some(v3), .. } => QUERY_V3_LEN + 4 * v3.sources.len(),
            Self::ReportV3 { records } => {
                HEADER_LEN + records.iter().map(|r| 8 + 4 * r.sources.len()).sum::<usize>()
            }
            _ => HEADER_LEN,
        }
    }

    /// Writes the whole message with its checksum. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let out = &mut out[..self.header_len()];
        out.fill(0);
        let (kind, group) = match self {
            Self::Query { max_response_ds, group, v3 } => {
                let plain = u8::try_from(*max_response_ds).unwrap_or(u8::MAX);
                out[1] = if v3.is_some() { encode_time(*max_response_ds) } else { plain };
                if let Some(v3) = v3 {
                    emit_query_v3(v3, &mut out[HEADER_LEN..], |addr| addr.octets());
                }
                (QUERY, *group)
            }
            Self::ReportV1 { group } => (REPORT_V1, *group),
            Self::ReportV2 { group } => (REPORT_V2, *group),
            Self::Leave { group } => (LEAVE, *group),
            Self::ReportV3 { records } => {
                emit_records(records, out, |addr| addr.octets());
                (REPORT_V3, Ipv4Addr::from_bits(records.len() as u32 & 0xffff))
            }
        };
        out[0] = kind;
        out[4..8].copy_from_slice(&group.octets());
        let value = checksum::finish(checksum::sum(out));
        out[2..4].copy_from_slice(&value.to_be_bytes());
    }
}

/// A time code: below 128 itself, above a mantissa of four bits and an exponent of three (RFC 3376 §4.1.1).
pub(crate) fn decode_time(code: u8) -> u32 {
    if code < 0x80 { code.into() } else { (u32::from(code & 0xf) | 0x10) << ((code >> 4 & 7) + 3) }
}

/// The largest time code that does not exceed `value`.
pub(crate) fn encode_time(value: u32) -> u8 {
    if value < 0x80 {
        return value as u8;
    }
    let exponent = (27 - value.leading_zeros()).min(10);
    if value >> exponent > 0x1f {
        return 0xff;
    }
    0x80 | ((exponent - 3) as u8) << 4 | (value >> exponent & 0xf) as u8
}

/// The part of a version 3 query behind the group: flags, interval, sources. `N` is an address's length; MLDv2 has the same.
pub(crate) fn query_v3<A, const N: usize>(
    bytes: &[u8],
    addr: impl Fn(Option<[u8; N]>) -> Option<A>,
) -> Result<QueryV3<A>, WireError> {
    let [flags, interval, n0, n1]: [u8; 4] = array_at(bytes, 0).ok_or(WireError::Truncated)?;
    let count = usize::from(u16::from_be_bytes([n0, n1]));
    let sources: Option<Vec<A>> = bytes[4..].chunks(N).take(count).map(|c| addr(array_at(c, 0))).collect();
    let sources = sources.filter(|s| s.len() == count).ok_or(WireError::Truncated)?;
    Ok(QueryV3 {
        suppress: flags & 8 != 0,
        robustness: flags & 7,
        interval_s: decode_time(interval),
        sources,
    })
}

pub(crate) fn emit_query_v3<A: Copy, const N: usize>(
    query: &QueryV3<A>,
    out: &mut [u8],
    octets: impl Fn(A) -> [u8; N],
) {
    out[0] = u8::from(query.suppress) << 3 | query.robustness & 7;
    out[1] = encode_time(query.interval_s);
    out[2..4].copy_from_slice(&(query.sources.len() as u16).to_be_bytes());
    for (chunk, &source) in out[4..].chunks_exact_mut(N).zip(&query.sources) {
        chunk.copy_from_slice(&octets(source));
    }
}

/// The records of a version 3 report; unknown kinds are passed over (RFC 3376 §4.2.12).
pub(crate) fn records<A, const N: usize>(
    bytes: &[u8],
    addr: impl Fn(Option<[u8; N]>) -> Option<A>,
) -> Result<Vec<GroupRecord<A>>, WireError> {
    let count = u16_at(bytes, 6).ok_or(WireError::Truncated)?;
    let mut rest = &bytes[HEADER_LEN..];
    let mut out = Vec::new();
    for _ in 0..count {
        let [kind, aux_words]: [u8; 2] = array_at(rest, 0).ok_or(WireError::Truncated)?;
        let sources = usize::from(u16_at(rest, 2).ok_or(WireError::Truncated)?);
        let group = addr(array_at(rest, 4)).ok_or(WireError::Truncated)?;
        let len = 4 + N + N * sources + 4 * usize::from(aux_words);
        let (record, after) = rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        let sources: Option<_> =
            record[4 + N..].chunks(N).take(sources).map(|c| addr(array_at(c, 0))).collect();
        if let Some(kind) = RecordKind::from_number(kind) {
            out.push(GroupRecord { kind, group, sources: sources.ok_or(WireError::Truncated)? });
        }
        rest = after;
    }
    Ok(out)
}

/// Writes records behind the 8 bytes of a report's header.
pub(crate) fn emit_records<A: Copy, const N: usize>(
    records: &[GroupRecord<A>],
    out: &mut [u8],
    octets: impl Fn(A) -> [u8; N],
) {
    let mut at = HEADER_LEN;
    for record in records {
        out[at] = record.kind as u8;
        out[at + 2..at + 4].copy_from_slice(&(record.sources.len() as u16).to_be_bytes());
        at += 4;
        for &addr in std::iter::once(&record.group).chain(&record.sources) {
            out[at..at + N].copy_from_slice(&octets(addr));
            at += N;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_codes_round_down() {
        for value in [0, 1, 100, 127, 128, 1000, 31_744] {
            assert!(decode_time(encode_time(value)) <= value);
        }
        for code in 0..=255 {
            assert_eq!(encode_time(decode_time(code)), code);
        }
        assert_eq!(encode_time(u32::MAX), 255);
    }

    #[test]
    fn versions_of_queries_are_told_apart_by_length() {
        let group = Ipv4Addr::UNSPECIFIED;
        let v2 = IgmpRepr::Query { max_response_ds: 100, group, v3: None };
        let v3 = QueryV3 { robustness: 2, interval_s: 125, sources: vec![], suppress: false };
        let v3 = IgmpRepr::Query { max_response_ds: 100, group, v3: Some(v3) };
        for repr in [v2, v3] {
            let mut bytes = vec![0; repr.header_len()];
            repr.emit(&mut bytes);
            assert_eq!(IgmpRepr::parse(&bytes).unwrap().0, repr);
            bytes.push(0);
            assert!(IgmpRepr::parse(&bytes[..9]).is_err());
        }
    }

    #[test]
    fn a_report_lists_groups_with_their_sources() {
        let source = Ipv4Addr::new(10, 0, 0, 9);
        let record = |kind, sources| GroupRecord { kind, group: Ipv4Addr::new(239, 1, 2, 3), sources };
        let records =
            vec![record(RecordKind::ToExclude, vec![]), record(RecordKind::AllowNew, vec![source, source])];
        let repr = IgmpRepr::ReportV3 { records };
        let mut bytes = vec![0; repr.header_len()];
        repr.emit(&mut bytes);
        assert_eq!(IgmpRepr::parse(&bytes), Ok((repr, 32)));
        bytes[31] ^= 1;
        assert_eq!(IgmpRepr::parse(&bytes), Err(WireError::Checksum));
    }
}
