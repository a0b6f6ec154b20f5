//! Packets in words, as scripts write them.

use netspace_wire::tcp::TcpFlags;

use super::script::{IpInfo, Segment, TosInfo};
use super::tcp_option;

/// `P. 1:1001(1000) ack 1 win 63 <nop,nop,TS val 1 ecr 2>`.
pub(super) fn segment(s: &Segment) -> String {
    let mut out = format!("{} {}:{}({})", flags(s.flags), s.seq, s.seq.wrapping_add(s.len), s.len);
    if let Some((source, destination)) = s.ports {
        out.insert_str(0, &format!("{source} > {destination} "));
    }
    for (name, value) in [("ack", s.ack), ("win", s.window.map(u32::from)), ("urg", s.urgent.map(u32::from))]
    {
        if let Some(value) = value {
            out.push_str(&format!(" {name} {value}"));
        }
    }
    match &s.options {
        Some(options) => out.push_str(&tcp_option::list(options)),
        None => out.push_str(" <...>"),
    }
    out
}

/// The control bits as letters, in the order in which people write them.
pub(super) fn flags(flags: TcpFlags) -> String {
    const LETTERS: [(TcpFlags, char); 9] = [
        (TcpFlags::FIN, 'F'),
        (TcpFlags::SYN, 'S'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::URG, 'U'),
        (TcpFlags::ECE, 'E'),
        (TcpFlags::CWR, 'W'),
        (TcpFlags::AE, 'A'),
        (TcpFlags::ACK, '.'),
    ];
    if flags.is_empty() {
        return "-".into();
    }
    LETTERS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| letter).collect()
}

/// `[ect0] `, `(tos 0x4) `, `(ttl 3) `, or nothing.
pub(super) fn ip_info(info: IpInfo) -> String {
    let mut parts = Vec::new();
    match info.tos {
        TosInfo::Unsaid => {}
        TosInfo::Ecn(bits) => parts.push(["noecn", "ect1", "ect0", "ce"][usize::from(bits & 3)].to_owned()),
        TosInfo::Ect => parts.push("ect01".into()),
        TosInfo::Tos(tos) => parts.push(format!("tos {tos:#x}")),
    }
    parts.extend(info.ttl.map(|ttl| format!("ttl {ttl}")));
    parts.extend(info.flow_label.map(|label| format!("flowlabel {label:#x}")));
    if parts.is_empty() { String::new() } else { format!("[{}] ", parts.join(",")) }
}

/// Seconds with six places.
pub(super) fn seconds(ns: i64) -> String {
    format!(
        "{}{}.{:06}",
        if ns < 0 { "-" } else { "" },
        ns.abs() / 1_000_000_000,
        ns.abs() % 1_000_000_000 / 1000
    )
}
