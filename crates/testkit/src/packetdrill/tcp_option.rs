//! TCP options between the script's words and the wire's bytes.

use std::fmt;

use super::script::{EcnField, TcpOpt};

const EOL: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_OK: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const MD5: u8 = 19;
const FAST_OPEN: u8 = 34;
/// AccECN, order 0: ECT(0) first (RFC 9768 §3.2.3).
const ACC_ECN0: u8 = 172;
/// AccECN, order 1: ECT(1) first.
const ACC_ECN1: u8 = 174;
/// Experiments, told apart by a magic number (RFC 6994).
const EXPERIMENT: u8 = 254;
const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];

/// The bytes of options, as they are written: nothing is added.
pub(super) fn emit(options: &[TcpOpt]) -> Vec<u8> {
    let mut out = Vec::new();
    for option in options {
        let (kind, value) = match option {
            TcpOpt::Eol => {
                out.push(EOL);
                continue;
            }
            TcpOpt::Nop => {
                out.push(NOP);
                continue;
            }
            TcpOpt::Mss(mss) => (MSS, mss.to_be_bytes().to_vec()),
            TcpOpt::WindowScale(shift) => (WINDOW_SCALE, vec![*shift]),
            TcpOpt::SackOk => (SACK_OK, Vec::new()),
            TcpOpt::Sack(blocks) => {
                (SACK, blocks.iter().flat_map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()].concat()).collect())
            }
            TcpOpt::Timestamps(value, echo) => {
                (TIMESTAMPS, [value.to_be_bytes(), echo.to_be_bytes()].concat())
            }
            TcpOpt::Md5(digest) => (MD5, digest.clone()),
            TcpOpt::FastOpen(cookie) => (FAST_OPEN, cookie.clone()),
            TcpOpt::FastOpenExp(cookie) => (EXPERIMENT, [&FAST_OPEN_MAGIC[..], cookie].concat()),
            TcpOpt::AccEcn(counters) => {
                let kind = if counters.first().is_some_and(|(f, _)| *f == EcnField::E1b) {
                    ACC_ECN1
                } else {
                    ACC_ECN0
                };
                (kind, counters.iter().flat_map(|(_, n)| n.to_be_bytes()[1..].to_vec()).collect())
            }
            TcpOpt::Other(kind, value) => (*kind, value.clone()),
        };
        out.extend([kind, value.len() as u8 + 2]);
        out.extend(value);
    }
    out
}

/// Reads the options of a segment.
pub(super) fn parse(mut bytes: &[u8]) -> Vec<TcpOpt> {
    let mut out = Vec::new();
    while let [kind, rest @ ..] = bytes {
        if matches!(*kind, EOL | NOP) {
            out.push(if *kind == NOP { TcpOpt::Nop } else { TcpOpt::Eol });
            bytes = rest;
            continue;
        }
        let len = rest.first().map_or(0, |len| usize::from(*len));
        let Some(value) = bytes.get(2..len) else {
            out.push(TcpOpt::Other(*kind, rest.to_vec()));
            return out;
        };
        out.push(one(*kind, value));
        bytes = &bytes[len..];
    }
    out
}

fn one(kind: u8, value: &[u8]) -> TcpOpt {
    let word = |at: usize| u32::from_be_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
    match (kind, value.len()) {
        (MSS, 2) => TcpOpt::Mss(u16::from_be_bytes([value[0], value[1]])),
        (WINDOW_SCALE, 1) => TcpOpt::WindowScale(value[0]),
        (SACK_OK, 0) => TcpOpt::SackOk,
        (SACK, len) if len % 8 == 0 => {
            TcpOpt::Sack((0..len).step_by(8).map(|at| (word(at), word(at + 4))).collect())
        }
        (TIMESTAMPS, 8) => TcpOpt::Timestamps(word(0), word(4)),
        (MD5, _) => TcpOpt::Md5(value.to_vec()),
        (FAST_OPEN, _) => TcpOpt::FastOpen(value.to_vec()),
        (EXPERIMENT, 2..) if value.starts_with(&FAST_OPEN_MAGIC) => TcpOpt::FastOpenExp(value[2..].to_vec()),
        (ACC_ECN0 | ACC_ECN1, len @ (0 | 3 | 6 | 9)) => {
            let order = if kind == ACC_ECN0 {
                [EcnField::E0b, EcnField::Ceb, EcnField::E1b]
            } else {
                [EcnField::E1b, EcnField::Ceb, EcnField::E0b]
            };
            let counter = |at: usize| u32::from_be_bytes([0, value[at], value[at + 1], value[at + 2]]);
            TcpOpt::AccEcn((0..len / 3).map(|n| (order[n], counter(n * 3))).collect())
        }
        _ => TcpOpt::Other(kind, value.to_vec()),
    }
}

/// As scripts write it.
impl fmt::Display for TcpOpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let named = |name: &str, bytes: &[u8]| format!("{name} {}", hex(bytes)).trim_end().to_owned();
        match self {
            Self::Eol => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackOk => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(a, b)| write!(f, " {a}:{b}"))
            }
            Self::Md5(digest) => f.write_str(&named("md5", digest)),
            Self::Timestamps(value, echo) => write!(f, "TS val {value} ecr {echo}"),
            Self::FastOpen(cookie) => f.write_str(&named("FO", cookie)),
            Self::FastOpenExp(cookie) => f.write_str(&named("FOEXP", cookie)),
            Self::AccEcn(counters) => {
                f.write_str("ECN")?;
                counters.iter().try_for_each(|(field, n)| {
                    let name = match field {
                        EcnField::E0b => "e0b",
                        EcnField::Ceb => "ceb",
                        EcnField::E1b => "e1b",
                    };
                    write!(f, " {name} {n}")
                })
            }
            Self::Other(kind, value) => write!(f, "unknown {kind} {}", hex(value)),
        }
    }
}

/// `<a,b,c>`, with a blank before it; nothing if there are none.
pub(super) fn list(options: &[TcpOpt]) -> String {
    if options.is_empty() {
        return String::new();
    }
    format!(" <{}>", options.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let options = vec![
            TcpOpt::Mss(1460),
            TcpOpt::SackOk,
            TcpOpt::Timestamps(1, 2),
            TcpOpt::Nop,
            TcpOpt::WindowScale(7),
            TcpOpt::Sack(vec![(1, 2), (3, 4)]),
            TcpOpt::FastOpenExp(vec![1, 2, 3, 4]),
            TcpOpt::AccEcn(vec![(EcnField::E1b, 1), (EcnField::Ceb, 2), (EcnField::E0b, 3)]),
            TcpOpt::Other(99, vec![1]),
            TcpOpt::Eol,
        ];
        assert_eq!(parse(&emit(&options)), options);
    }
}
