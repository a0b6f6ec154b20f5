//! Multicast listener discovery for IPv6, versions 1 and 2 (RFC 2710, RFC 3810). Messages are ICMPv6 messages of type
//! 130–132 and 143; [`crate::icmpv6`] has their checksum.

use std::net::Ipv6Addr;

use crate::icmpv6::kind;
use crate::igmp::{GroupRecord, QueryV3, emit_query_v3, emit_records, query_v3, records};
use crate::{WireError, array_at, u16_at};

/// Bytes of a version 1 message.
pub const V1_LEN: usize = 24;
const QUERY_V2_LEN: usize = 28;
const REPORT_V2_LEN: usize = 8;

/// An MLD message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MldRepr {
    /// Who listens to which group (`::`) or to this group?
    Query {
        /// Answer within this time, ms.
        max_response_ms: u32,
        /// Which group; `::`: all.
        group: Ipv6Addr,
        /// The rest of a version 2 query.
        v2: Option<QueryV3<Ipv6Addr>>,
    },
    /// I listen (version 1).
    ReportV1 {
        /// To this group.
        group: Ipv6Addr,
    },
    /// I no longer listen (version 1).
    Done {
        /// To this group.
        group: Ipv6Addr,
    },
    /// What I listen to (version 2).
    ReportV2 {
        /// Group by group.
        records: Vec<GroupRecord<Ipv6Addr>>,
    },
}

impl MldRepr {
    /// Reads a whole message (`bytes` must end where it ends) and how long it is.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let kind = *bytes.first().ok_or(WireError::Truncated)?;
        let group = || array_at::<16>(bytes, 8).map(Ipv6Addr::from).ok_or(WireError::Truncated);
        let repr = match kind {
            kind::MLD_QUERY => Self::query(bytes, group()?)?,
            kind::MLD_REPORT => Self::ReportV1 { group: group()? },
            kind::MLD_DONE => Self::Done { group: group()? },
            kind::MLD_REPORT_V2 if bytes.len() >= REPORT_V2_LEN => {
                Self::ReportV2 { records: records(bytes, |b| b.map(Ipv6Addr::from))? }
            }
            kind::MLD_REPORT_V2 => return Err(WireError::Truncated),
            _ => return Err(WireError::Type(kind)),
        };
        Ok((repr, bytes.len()))
    }

    fn query(bytes: &[u8], group: Ipv6Addr) -> Result<Self, WireError> {
        let code = u16_at(bytes, 4).ok_or(WireError::Truncated)?;
        // RFC 3810 §8.1: the version is told by the length.
        match bytes.len() {
            V1_LEN => Ok(Self::Query { max_response_ms: code.into(), group, v2: None }),
            QUERY_V2_LEN.. => {
                let v2 = query_v3(&bytes[V1_LEN..], |b| b.map(Ipv6Addr::from))?;
                Ok(Self::Query { max_response_ms: decode_delay(code), group, v2: Some(v2) })
            }
            _ => Err(WireError::Length),
        }
    }

    /// Bytes that [`Self::emit`] writes: the whole message.
    pub fn header_len(&self) -> usize {
        match self {
            Self::Query { v2: Some(v2), .. } => QUERY_V2_LEN + 16 * v2.sources.len(),
            Self::ReportV2 { records } => {
                REPORT_V2_LEN + records.iter().map(|r| 20 + 16 * r.sources.len()).sum::<usize>()
            }
            _ => V1_LEN,
        }
    }

    /// Writes the whole message, its checksum 0 ([`crate::icmpv6::fill_checksum`]). Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let out = &mut out[..self.header_len()];
        out.fill(0);
        let (kind, group) = match self {
            Self::Query { max_response_ms, group, v2 } => {
                let plain = u16::try_from(*max_response_ms).unwrap_or(u16::MAX);
                let code = if v2.is_some() { encode_delay(*max_response_ms) } else { plain };
                out[4..6].copy_from_slice(&code.to_be_bytes());
                if let Some(v2) = v2 {
                    emit_query_v3(v2, &mut out[V1_LEN..], |addr| addr.octets());
                }
                (kind::MLD_QUERY, group)
            }
            Self::ReportV1 { group } => (kind::MLD_REPORT, group),
            Self::Done { group } => (kind::MLD_DONE, group),
            Self::ReportV2 { records } => {
                out[0] = kind::MLD_REPORT_V2;
                out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
                emit_records(records, out, |addr| addr.octets());
                return;
            }
        };
        out[0] = kind;
        out[8..24].copy_from_slice(&group.octets());
    }
}

/// A delay code: below 32768 itself, above a mantissa of twelve bits and an exponent of three (RFC 3810 §5.1.3).
fn decode_delay(code: u16) -> u32 {
    if code < 0x8000 { code.into() } else { (u32::from(code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3) }
}

/// The largest delay code that does not exceed `value`.
fn encode_delay(value: u32) -> u16 {
    if value < 0x8000 {
        return value as u16;
    }
    let exponent = (19 - value.leading_zeros()).min(10);
    if value >> exponent > 0x1fff {
        return 0xffff;
    }
    0x8000 | ((exponent - 3) as u16) << 12 | (value >> exponent & 0xfff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::igmp::RecordKind;

    #[test]
    fn delay_codes_round_down() {
        for code in 0..=u16::MAX {
            assert_eq!(encode_delay(decode_delay(code)), code);
        }
        assert_eq!(encode_delay(u32::MAX), 0xffff);
        assert_eq!(decode_delay(encode_delay(40_001)), 40_000);
    }

    #[test]
    fn messages_read_back() {
        let group: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
        let sources = vec!["fd00::1".parse().unwrap()];
        let v2 = QueryV3 { suppress: true, robustness: 2, interval_s: 125, sources: sources.clone() };
        for repr in [
            MldRepr::Query { max_response_ms: 10_000, group, v2: None },
            MldRepr::Query { max_response_ms: 10_000, group, v2: Some(v2) },
            MldRepr::ReportV1 { group },
            MldRepr::Done { group },
            MldRepr::ReportV2 { records: vec![GroupRecord { kind: RecordKind::BlockOld, group, sources }] },
        ] {
            let mut bytes = vec![0xee; repr.header_len()];
            repr.emit(&mut bytes);
            assert_eq!(MldRepr::parse(&bytes).unwrap().0, repr);
        }
    }
}
