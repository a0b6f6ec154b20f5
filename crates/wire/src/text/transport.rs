//! TCP and UDP.

use super::{Ends, Line, put};
use crate::tcp::{self, SeqNum, TcpFlags};
use crate::udplite::UdpLiteRepr;
use crate::{array_at, u16_at, u32_at};

impl Line<'_> {
    /// `1.2.3.4.80 > 5.6.7.8.1024: `, as tcpdump writes ports.
    fn ports(&mut self, ends: Ends, ports: (u16, u16)) {
        put!(self, "{}.{} > {}.{}: ", ends.src, ports.0, ends.dst, ports.1);
    }

    pub(super) fn udp(&mut self, ends: Ends, bytes: &[u8], len: usize) {
        let Some(ports) = tcp::ports(bytes) else {
            return put!(self, "{} > {}: [|udp]", ends.src, ends.dst);
        };
        self.ports(ends, ports);
        let stated = u16_at(bytes, 4).map(usize::from);
        match stated.and_then(|n| n.checked_sub(8)) {
            None if stated.is_some() => put!(self, "UDP, bad length {}", stated.unwrap_or(0)),
            None => self.out.push_str("[|udp]"),
            Some(_) if self.quoted => self.out.push_str("UDP"),
            Some(payload) if payload + 8 > len => {
                put!(self, "UDP, length {payload} (only {} in the packet)", len.saturating_sub(8));
            }
            Some(payload) => put!(self, "UDP, length {payload}"),
        }
    }

    pub(super) fn udplite(&mut self, ends: Ends, bytes: &[u8], len: usize) {
        let Ok((header, header_len)) = UdpLiteRepr::parse(bytes) else {
            return put!(self, "{} > {}: [|udplite]", ends.src, ends.dst);
        };
        self.ports(ends, (header.src_port, header.dst_port));
        match header.covered(len) {
            Err(_) => put!(self, "UDP-Lite, bad coverage {}", header.coverage),
            Ok(_) if self.quoted => self.out.push_str("UDP-Lite"),
            Ok(covered) => {
                put!(self, "UDP-Lite, coverage {covered}, length {}", len.saturating_sub(header_len));
            }
        }
    }

    pub(super) fn tcp(&mut self, ends: Ends, bytes: &[u8], len: usize) {
        let Some(ports) = tcp::ports(bytes) else {
            return put!(self, "{} > {}: [|tcp]", ends.src, ends.dst);
        };
        self.ports(ends, ports);
        let Some(seq) = u32_at(bytes, 4).map(SeqNum) else { return self.out.push_str("[|tcp]") };
        let (Some(ack), Some(offset_flags)) = (u32_at(bytes, 8).map(SeqNum), u16_at(bytes, 12)) else {
            return put!(self, "TCP, seq {seq}");
        };
        let flags = TcpFlags::from_bits_truncate(offset_flags);
        let header_len = usize::from(offset_flags >> 12) * 4;
        let Some(payload) = len.checked_sub(header_len).filter(|_| header_len >= tcp::HEADER_LEN) else {
            return put!(self, "Flags [{flags}], bad header length {header_len}");
        };
        put!(self, "Flags [{flags}]");
        self.tcp_numbers(ends, ports, (seq, ack), flags, payload);
        if let Some(window) = u16_at(bytes, 14) {
            put!(self, ", win {window}");
        }
        if flags.contains(TcpFlags::URG)
            && let Some(urgent) = u16_at(bytes, 18)
        {
            put!(self, ", urg {urgent}");
        }
        let end = header_len.min(bytes.len());
        if let Some(options) = bytes.get(tcp::HEADER_LEN..end).filter(|o| !o.is_empty()) {
            self.tcp_options(options, end < header_len);
        }
        put!(self, ", length {payload}");
    }

    fn tcp_numbers(
        &mut self,
        ends: Ends,
        ports: (u16, u16),
        (seq, ack): (SeqNum, SeqNum),
        flags: TcpFlags,
        payload: usize,
    ) {
        let syn = flags.contains(TcpFlags::SYN);
        let (mut shown_seq, mut shown_ack) = (seq.0, ack.0);
        if let (Some(summarizer), false) = (&mut self.relative, self.quoted) {
            let base = summarizer.base((ends.src, ports.0, ends.dst, ports.1), seq, syn);
            if !syn {
                shown_seq = seq.0.wrapping_sub(base.0);
            }
            if flags.contains(TcpFlags::ACK) {
                // The peer's first number, or one before what is acknowledged if its SYN was not seen.
                let base = summarizer.base((ends.dst, ports.1, ends.src, ports.0), ack - 1usize, false);
                shown_ack = ack.0.wrapping_sub(base.0);
            }
        }
        if payload > 0 {
            put!(self, ", seq {shown_seq}:{}", shown_seq.wrapping_add(payload as u32));
        } else if flags.intersects(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) {
            put!(self, ", seq {shown_seq}");
        }
        if flags.contains(TcpFlags::ACK) {
            put!(self, ", ack {shown_ack}");
        }
    }

    fn tcp_options(&mut self, mut bytes: &[u8], cut: bool) {
        self.out.push_str(", options [");
        let mut comma = "";
        while let [kind, rest @ ..] = bytes {
            self.out.push_str(comma);
            comma = ",";
            if *kind <= 1 {
                self.out.push_str(if *kind == 0 { "eol" } else { "nop" });
                bytes = rest;
                if *kind == 0 {
                    break;
                }
                continue;
            }
            let len = rest.first().map_or(0, |&len| usize::from(len));
            let Some((option, after)) = bytes.split_at_checked(len).filter(|_| len >= 2) else {
                self.out.push_str(if cut { "[|tcp]" } else { "bad opt" });
                break;
            };
            self.tcp_option(*kind, &option[2..]);
            bytes = after;
        }
        if cut && bytes.is_empty() {
            self.out.push_str(",[|tcp]");
        }
        self.out.push(']');
    }

    fn tcp_option(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (2, &[a, b]) => put!(self, "mss {}", u16::from_be_bytes([a, b])),
            (3, &[shift]) => put!(self, "wscale {shift}"),
            (4, []) => self.out.push_str("sackOK"),
            (5, _) if value.len().is_multiple_of(8) && !value.is_empty() => {
                put!(self, "sack {} ", value.len() / 8);
                for block in value.chunks_exact(8) {
                    let [a, b, c, d, e, f, g, h] = array_at(block, 0).unwrap_or_default();
                    let (from, to) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                    put!(self, "{{{from}:{to}}}");
                }
            }
            (8, _) if value.len() == 8 => {
                let (val, ecr) = (u32_at(value, 0).unwrap_or(0), u32_at(value, 4).unwrap_or(0));
                put!(self, "TS val {val} ecr {ecr}");
            }
            (19, _) => self.out.push_str("md5"),
            (28, &[a, b]) => {
                let value = u16::from_be_bytes([a, b]);
                let unit = if value & 0x8000 == 0 { 's' } else { 'm' };
                put!(self, "uto {}{unit}", value & 0x7fff);
            }
            (34, []) => self.out.push_str("tfo cookiereq"),
            (34, _) => {
                self.out.push_str("tfo cookie ");
                for byte in value {
                    put!(self, "{byte:02x}");
                }
            }
            _ => put!(self, "unknown-{kind}"),
        }
    }
}
