//! Packets.
//!
//! ```text
//! packet   < | >  [ip info]  [sport > dport] FLAGS seq:end(len) [ack n] [win n] [urg n] [<options>]
//!                          | [sport > dport] udp (len)
//!                          | icmp TYPE [CODE] [mtu n] [id n] [[echoed]]
//! ```

use netspace_wire::tcp::{OPTIONS_MAX, TcpFlags};

use super::super::lex::Tok;
use super::super::script::{Body, Echoed, EcnField, Icmp, IpInfo, Packet, Segment, TcpOpt, TosInfo};
use super::super::tcp_option;
use super::{ParseError, Parser, Result};

/// First words of packets that are not here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("ipv4", "encapsulated packets"),
    ("ipv6", "encapsulated packets"),
    ("gre", "GRE"),
    ("mpls", "MPLS"),
    ("sctp", "SCTP"),
    ("dccp", "DCCP"),
    ("psp", "PSP"),
    ("udplite", "UDP-Lite"),
    ("mp_capable", "MPTCP"),
    ("mp_join_syn", "MPTCP"),
    ("dss", "MPTCP"),
    ("add_address", "MPTCP"),
];

impl Parser<'_> {
    pub(super) fn packet(&mut self) -> Result<Packet> {
        let inbound = self.is('<');
        self.at += 1;
        let ip = self.ip_info()?;
        self.refuse()?;
        let body = if self.take_word("icmp") { Body::Icmp(self.icmp()?) } else { self.transport()? };
        Ok(Packet { inbound, ip, body })
    }

    fn refuse(&self) -> Result<()> {
        let Some(Tok::Word(word)) = self.peek() else { return Ok(()) };
        match REFUSED.iter().find(|(name, _)| name == word) {
            Some((_, what)) => Err(ParseError::Refused(self.place(), format!("{what}: not supported"))),
            None => Ok(()),
        }
    }

    /// `[ect0]`, `(tos 0x4, flowlabel 0x1)`, `(ttl 64)`.
    fn ip_info(&mut self) -> Result<IpInfo> {
        let mut info = IpInfo::default();
        let close = match self.peek() {
            Some(Tok::Sym('[')) => ']',
            Some(Tok::Sym('(')) => ')',
            _ => return Ok(info),
        };
        self.at += 1;
        loop {
            let word = self.word("what the IP header holds (ect0, tos, ttl, flowlabel, …)")?;
            match word.as_str() {
                "noecn" => info.tos = TosInfo::Ecn(0),
                "ect1" => info.tos = TosInfo::Ecn(1),
                "ect0" => info.tos = TosInfo::Ecn(2),
                "ce" => info.tos = TosInfo::Ecn(3),
                "ect01" => info.tos = TosInfo::Ect,
                "tos" => info.tos = TosInfo::Tos(self.number("a type of service")?),
                "ttl" => info.ttl = Some(self.number("a time to live")?),
                "flowlabel" => {
                    info.flow_label = Some(self.number::<u32>("a flow label")?).filter(|l| *l < 1 << 20);
                    if info.flow_label.is_none() {
                        return self.error("a flow label of 20 bits");
                    }
                }
                _ => {
                    self.at -= 1;
                    return self.error("noecn, ect0, ect1, ect01, ce, tos, ttl or flowlabel");
                }
            }
            if !self.take(',') {
                self.expect(close)?;
                return Ok(info);
            }
        }
    }

    fn ports(&mut self) -> Result<Option<(u16, u16)>> {
        if !matches!(self.peek(), Some(Tok::Int(_))) || self.peek_at(1) != Some(&Tok::Sym('>')) {
            return Ok(None);
        }
        let source = self.number("a port")?;
        self.expect('>')?;
        Ok(Some((source, self.number("a port")?)))
    }

    fn transport(&mut self) -> Result<Body> {
        let udp = self.take_word("udp");
        let ports = self.ports()?;
        if udp || self.take_word("udp") {
            self.expect('(')?;
            let len = self.number("a length")?;
            self.expect(')')?;
            return Ok(Body::Udp { ports, len });
        }
        let flags = self.flags()?;
        let (seq, len) = self.sequence()?;
        let ack = if self.take_word("ack") { Some(self.number("a sequence number")?) } else { None };
        let window = if self.take_word("win") { Some(self.number("a window")?) } else { None };
        let urgent = if self.take_word("urg") { Some(self.number("an urgent pointer")?) } else { None };
        let options = self.options()?;
        Ok(Body::Tcp(Segment { ports, flags, seq, len, ack, window, urgent, options }))
    }

    /// Letters as tcpdump's, a number from 0 to 7 for the ACE field of AccECN, or `-` for none.
    fn flags(&mut self) -> Result<TcpFlags> {
        if self.take('-') {
            return Ok(TcpFlags::empty());
        }
        let mut flags = TcpFlags::empty();
        let start = self.at;
        loop {
            let adjoins = self.at == start
                || self.tokens.get(self.at).map(|t| t.start) == Some(self.tokens[self.at - 1].end);
            match self.peek() {
                _ if !adjoins => break,
                Some(Tok::Sym('.')) => flags |= TcpFlags::ACK,
                Some(Tok::Int(ace @ 0..=7)) => {
                    for (bit, flag) in [(4, TcpFlags::AE), (2, TcpFlags::CWR), (1, TcpFlags::ECE)] {
                        flags.set(flag, ace & bit != 0);
                    }
                }
                Some(Tok::Word(word)) => match word.chars().map(flag).collect::<Option<TcpFlags>>() {
                    Some(more) => flags |= more,
                    None => return self.error("TCP flags (F S R P . U E W A)"),
                },
                _ => break,
            }
            self.at += 1;
        }
        if self.at == start { self.error("TCP flags, udp or icmp") } else { Ok(flags) }
    }

    /// `seq:end(len)`.
    fn sequence(&mut self) -> Result<(u32, u32)> {
        let seq: u32 = self.number("a sequence number")?;
        self.expect(':')?;
        let end: u32 = self.number("a sequence number")?;
        self.expect('(')?;
        let len: u32 = self.number("a length")?;
        self.expect(')')?;
        if seq.wrapping_add(len) != end {
            self.at -= 2;
            return self.error(&format!("a length of {}", end.wrapping_sub(seq)));
        }
        Ok((seq, len))
    }

    // ---- TCP options ----

    fn options(&mut self) -> Result<Option<Vec<TcpOpt>>> {
        let mut options = Vec::new();
        // `<` also starts the next event only after a time, so here it is a list.
        if !self.take('<') {
            return Ok(Some(options));
        }
        if self.peek() == Some(&Tok::Ellipsis) {
            self.at += 1;
            self.expect('>')?;
            return Ok(None);
        }
        let place = self.at;
        loop {
            options.push(self.option()?);
            if !self.take(',') {
                self.expect('>')?;
                break;
            }
        }
        let len = tcp_option::emit(&options).len();
        if !len.is_multiple_of(4) || len > OPTIONS_MAX {
            self.at = place;
            return self.error(&format!("options of a multiple of 4 bytes, up to 40 (these take {len})"));
        }
        Ok(Some(options))
    }

    fn option(&mut self) -> Result<TcpOpt> {
        self.refuse()?;
        let name = self.word("a TCP option")?;
        Ok(match name.as_str() {
            "eol" => TcpOpt::Eol,
            "nop" => TcpOpt::Nop,
            "mss" => TcpOpt::Mss(self.number("an MSS")?),
            "wscale" => TcpOpt::WindowScale(self.number("a shift")?),
            "sackOK" => TcpOpt::SackOk,
            "sack" => TcpOpt::Sack(self.sack_blocks()?),
            "md5" => TcpOpt::Md5(self.blob()?),
            "TS" => self.timestamps()?,
            "FO" => TcpOpt::FastOpen(self.blob()?),
            "FOEXP" => TcpOpt::FastOpenExp(self.blob()?),
            "ECN" | "exp" if name == "ECN" => TcpOpt::AccEcn(self.ecn_counters()?),
            _ => {
                self.at -= 1;
                return self.error("mss, wscale, sackOK, sack, TS, nop, eol, FO, FOEXP, md5 or ECN");
            }
        })
    }

    fn timestamps(&mut self) -> Result<TcpOpt> {
        if !self.take_word("val") {
            return self.error("val");
        }
        let value = self.number("a timestamp")?;
        if !self.take_word("ecr") {
            return self.error("ecr");
        }
        Ok(TcpOpt::Timestamps(value, self.number("a timestamp")?))
    }

    fn sack_blocks(&mut self) -> Result<Vec<(u32, u32)>> {
        let mut blocks = Vec::new();
        while matches!(self.peek(), Some(Tok::Int(_))) {
            let start = self.number("a sequence number")?;
            self.expect(':')?;
            blocks.push((start, self.number("a sequence number")?));
        }
        if blocks.is_empty() { self.error("a block: first:end") } else { Ok(blocks) }
    }

    fn ecn_counters(&mut self) -> Result<Vec<(EcnField, u32)>> {
        let mut out = Vec::new();
        while let Some(Tok::Word(word)) = self.peek() {
            let field = match word.as_str() {
                "e0b" => EcnField::E0b,
                "ceb" => EcnField::Ceb,
                "e1b" => EcnField::E1b,
                _ => return self.error("e0b, ceb or e1b"),
            };
            self.at += 1;
            out.push((field, self.number("a count of bytes")?));
        }
        Ok(out)
    }

    /// Hexadecimal digits up to the next `,` or `>`, or a defined name; none is empty.
    fn blob(&mut self) -> Result<Vec<u8>> {
        let start = self.at;
        while self.peek().is_some_and(|t| !matches!(t, Tok::Sym(',' | '>'))) {
            self.at += 1;
        }
        if self.at == start {
            return Ok(Vec::new());
        }
        let text = &self.text[self.tokens[start].start..self.tokens[self.at - 1].end];
        let digits = self.defines.get(text).map_or(text, String::as_str).trim_matches('"');
        let bytes = (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(digits.get(i..i + 2)?, 16).ok());
        match bytes.collect() {
            Some(bytes) => Ok(bytes),
            None => {
                self.at = start;
                self.error("pairs of hexadecimal digits")
            }
        }
    }

    // ---- ICMP ----

    fn icmp(&mut self) -> Result<Icmp> {
        let place = self.place();
        let kind = self.word("the type of the ICMP message")?;
        let mut code = None;
        if !self.is_word("mtu") && !self.is_word("id") && matches!(self.peek(), Some(Tok::Word(_))) {
            code = Some(self.word("the code")?);
        }
        let mtu = if self.take_word("mtu") { Some(self.number("an MTU")?) } else { None };
        let id = if self.take_word("id") { Some(self.number("an identifier")?) } else { None };
        let echoed = if self.take('[') { self.echoed()? } else { Echoed::Nothing };
        Ok(Icmp { kind, code, mtu, id, echoed, place })
    }

    fn echoed(&mut self) -> Result<Echoed> {
        let word = ["udp", "raw"].into_iter().find(|word| self.take_word(word));
        let echoed = match word {
            Some(word) => {
                self.expect('(')?;
                let len = self.number("a length")?;
                self.expect(')')?;
                if word == "udp" { Echoed::Udp(len) } else { Echoed::Raw(len) }
            }
            None => {
                let (seq, len) = self.sequence()?;
                Echoed::Tcp(seq, len)
            }
        };
        self.expect(']')?;
        Ok(echoed)
    }
}

fn flag(letter: char) -> Option<TcpFlags> {
    Some(match letter {
        'F' => TcpFlags::FIN,
        'S' => TcpFlags::SYN,
        'R' => TcpFlags::RST,
        'P' => TcpFlags::PSH,
        'U' => TcpFlags::URG,
        'E' => TcpFlags::ECE,
        'W' => TcpFlags::CWR,
        'A' => TcpFlags::AE,
        _ => return None,
    })
}
