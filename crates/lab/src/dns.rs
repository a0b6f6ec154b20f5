//! The built-in DNS responder: a query's bytes in, an answer's bytes out (RFC 1035, RFC 6891).
//!
//! It is the authority for the lab's domain and for all reverse names; there is no other server to ask, so every other
//! name does not exist.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, NS, OPT, PTR, RData, SOA};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};

use crate::names::Names;

/// How long an answer may be kept, seconds: short, for links and addresses change while a lab runs.
const TTL_SECS: u32 = 5;
/// The longest answer over UDP without EDNS (RFC 1035 §4.2.1).
const UDP_MAX: usize = 512;
/// The longest answer over UDP with EDNS that we send (the DNS flag day's value: no fragments).
const EDNS_MAX: u16 = 1232;
/// Bytes of a DNS header.
const HEADER: usize = 12;

/// Answers the query of a program on `asker`. None for bytes that ask nothing (no header, or an answer).
pub fn answer(names: &Names, asker: &str, query: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
    if query.len() < HEADER || query[2] & 0x80 != 0 {
        return None;
    }
    let Ok(packet) = Packet::parse(query) else {
        // A type or class that the codec does not know is well formed all the same: there is no data of it.
        return Some(match question_len(query) {
            Some(_) if query[4..6] == [0, 1] => bare(query, 0),
            _ => bare(query, 1),
        });
    };
    if packet.opcode() != OPCODE::StandardQuery {
        return Some(bare(query, 4));
    }
    let [question] = packet.questions.as_slice() else {
        return Some(bare(query, 1));
    };
    let mut reply = Packet::new_reply(packet.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if packet.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions.push(question.clone());
    let mut longest = if over_tcp { usize::from(u16::MAX) } else { UDP_MAX };
    if let Some(opt) = packet.opt() {
        *reply.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: EDNS_MAX, version: 0 });
        if !over_tcp {
            longest = usize::from(opt.udp_packet_size.clamp(UDP_MAX as u16, EDNS_MAX));
        }
    }
    fill(names, asker, question, &mut reply);
    finish(reply, query, longest)
}

/// Builds the bytes; an answer that is too long is cut, with the bit that says so.
fn finish(mut reply: Packet<'_>, query: &[u8], longest: usize) -> Option<Vec<u8>> {
    let bytes = reply.build_bytes_vec_compressed().unwrap_or_else(|_| bare(query, 2));
    if bytes.len() <= longest {
        return Some(bytes);
    }
    reply.set_flags(PacketFlag::TRUNCATION);
    reply.answers.clear();
    reply.name_servers.clear();
    Some(reply.build_bytes_vec_compressed().unwrap_or_else(|_| bare(query, 2)))
}

fn fill<'a>(names: &Names, asker: &str, question: &Question<'a>, reply: &mut Packet<'a>) {
    if !matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY) {
        *reply.rcode_mut() = RCODE::Refused;
        return;
    }
    let name = question.qname.to_string().to_lowercase();
    let name = name.trim_end_matches('.');
    let exists = match found(names, asker, name) {
        Found::Addresses(addresses) => {
            answer_addresses(&addresses, question, reply);
            true
        }
        Found::Name(target) => {
            answer_pointer(&target, question, reply);
            true
        }
        Found::Apex => {
            answer_apex(names, question, reply);
            true
        }
        Found::Branch => true,
        Found::Nothing => false,
    };
    if !exists {
        *reply.rcode_mut() = RCODE::NameError;
    }
    if reply.answers.is_empty() {
        // RFC 2308: the zone's SOA says how long the absence may be remembered.
        let zone = zone_of(names, name);
        reply.name_servers.extend(soa(names, &zone));
    }
}

/// What a name leads to.
enum Found {
    Addresses(Vec<IpAddr>),
    Name(String),
    /// The lab's domain itself.
    Apex,
    /// A name that only has names below it.
    Branch,
    Nothing,
}

fn found(names: &Names, asker: &str, name: &str) -> Found {
    if name == names.domain {
        return Found::Apex;
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Found::Addresses(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    if let Some(addresses) = names.lookup(name, asker) {
        return Found::Addresses(addresses);
    }
    if name == own_name(names) {
        return Found::Addresses(vec![crate::views::RESOLVER.into()]);
    }
    if name.ends_with(".arpa") {
        return match reverse_address(name) {
            Some(addr) if addr.is_loopback() => Found::Name("localhost".into()),
            Some(addr) => names.reverse(addr).map_or(Found::Nothing, |n| Found::Name(names.full(n))),
            None if name.split('.').next_back() == Some("arpa") && is_reverse_branch(name) => Found::Branch,
            None => Found::Nothing,
        };
    }
    Found::Nothing
}

/// The name of the responder itself, in SOA and NS.
fn own_name(names: &Names) -> String {
    format!("ns.{}", names.domain)
}

fn zone_of(names: &Names, name: &str) -> String {
    for zone in ["in-addr.arpa", "ip6.arpa"] {
        if name.ends_with(zone) {
            return zone.to_owned();
        }
    }
    if name == names.domain || name.ends_with(&format!(".{}", names.domain)) {
        names.domain.clone()
    } else {
        ".".into()
    }
}

fn is_reverse_branch(name: &str) -> bool {
    ["in-addr.arpa", "ip6.arpa"]
        .iter()
        .any(|zone| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// `5.1.0.10.in-addr.arpa` (RFC 1035 §3.5), or 32 nibbles under `ip6.arpa` (RFC 3596 §2.5).
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(rest) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = rest.split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
        let [d, c, b, a] = parts.try_into().ok()?;
        return Some(Ipv4Addr::new(a, b, c, d).into());
    }
    let rest = name.strip_suffix(".ip6.arpa")?;
    let nibble = |p: &str| if p.len() == 1 { u128::from_str_radix(p, 16).ok() } else { None };
    let nibbles: Vec<u128> = rest.split('.').map(nibble).collect::<Option<_>>()?;
    if nibbles.len() != 32 {
        return None;
    }
    let bits = nibbles.iter().rev().fold(0, |bits, n| bits << 4 | n);
    Some(Ipv6Addr::from(bits).into())
}

fn record<'a>(name: &Name<'a>, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name.clone(), CLASS::IN, TTL_SECS, data)
}

fn asks(question: &Question<'_>, kind: TYPE) -> bool {
    question.qtype == QTYPE::TYPE(kind) || question.qtype == QTYPE::ANY
}

fn answer_addresses<'a>(addresses: &[IpAddr], question: &Question<'a>, reply: &mut Packet<'a>) {
    for addr in addresses {
        let data = match addr {
            IpAddr::V4(a) if asks(question, TYPE::A) => RData::A(A { address: u32::from(*a) }),
            IpAddr::V6(a) if asks(question, TYPE::AAAA) => RData::AAAA(AAAA { address: u128::from(*a) }),
            _ => continue,
        };
        reply.answers.push(record(&question.qname, data));
    }
}

fn answer_pointer<'a>(target: &str, question: &Question<'a>, reply: &mut Packet<'a>) {
    if asks(question, TYPE::PTR) {
        reply.answers.extend(name(target).map(|n| record(&question.qname, RData::PTR(PTR(n)))));
    }
}

fn answer_apex<'a>(names: &Names, question: &Question<'a>, reply: &mut Packet<'a>) {
    if asks(question, TYPE::SOA) {
        reply.answers.extend(soa(names, &names.domain));
    }
    if asks(question, TYPE::NS) {
        reply.answers.extend(name(&own_name(names)).map(|n| record(&question.qname, RData::NS(NS(n)))));
    }
}

fn name<'a>(text: &str) -> Option<Name<'a>> {
    Name::new(text).ok().map(Name::into_owned)
}

fn soa<'a>(names: &Names, zone: &str) -> Option<ResourceRecord<'a>> {
    let data = SOA {
        mname: name(&own_name(names))?,
        rname: name(&format!("hostmaster.{}", names.domain))?,
        serial: 1,
        refresh: 3600,
        retry: 600,
        expire: 86_400,
        minimum: TTL_SECS,
    };
    let zone = if zone == "." { Name::new_with_labels(&[]) } else { name(zone)? };
    Some(record(&zone, RData::SOA(data)))
}

/// An answer without records: the query's header and question with a response code.
fn bare(query: &[u8], rcode: u8) -> Vec<u8> {
    let question = question_len(query).unwrap_or(0);
    let mut reply = query[..HEADER + question].to_vec();
    // QR, AA; the query's opcode and RD stay.
    reply[2] = 0x84 | (query[2] & 0x79);
    reply[3] = 0x80 | rcode;
    reply[4..HEADER].fill(0);
    reply[5] = u8::from(question > 0);
    reply
}

/// Bytes of the first question, if it is whole.
fn question_len(query: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match *query.get(at)? {
            0 => break,
            n @ 1..=63 => at += 1 + usize::from(n),
            _ => return None,
        }
    }
    let end = at + 5;
    (end <= query.len()).then_some(end - HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;
    use crate::plan;

    fn names() -> Names {
        let text =
            "hosts: {client: {}, server: {}}\nrouters: {gw: {}}\nlinks: [client -- gw, gw -- server]\n";
        let (lab, mut warnings) = file::load(text, "t.yaml").expect("valid");
        Names::of(&plan::plan(&lab, &mut warnings).expect("a plan"))
    }

    fn ask(name: &str, qtype: QTYPE) -> (RCODE, Vec<String>) {
        let mut query = Packet::new_query(7);
        query.questions.push(Question::new(Name::new(name).unwrap(), qtype, CLASS::IN.into(), false));
        let bytes = query.build_bytes_vec().unwrap();
        let reply = answer(&names(), "client", &bytes, false).expect("an answer");
        let reply = Packet::parse(&reply).expect("well formed");
        assert_eq!(reply.id(), 7);
        assert!(reply.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
        let show = |r: &ResourceRecord<'_>| match &r.rdata {
            RData::A(a) => Ipv4Addr::from(a.address).to_string(),
            RData::AAAA(a) => Ipv6Addr::from(a.address).to_string(),
            RData::PTR(n) => n.to_string(),
            RData::NS(n) => n.to_string(),
            other => format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect(),
        };
        (reply.rcode(), reply.answers.iter().map(show).collect())
    }

    #[test]
    fn names_have_addresses_with_and_without_the_domain() {
        for name in ["server", "server.lab", "SERVER.Lab"] {
            assert_eq!(ask(name, TYPE::A.into()), (RCODE::NoError, vec!["10.0.2.10".into()]), "{name}");
        }
        assert_eq!(ask("server.lab", TYPE::AAAA.into()).1, ["fd00:2::10"]);
        assert_eq!(ask("server.lab", QTYPE::ANY).1, ["10.0.2.10", "fd00:2::10"]);
        assert_eq!(ask("eth1.gw.lab", TYPE::A.into()).1, ["10.0.2.1"]);
        assert_eq!(ask("localhost", TYPE::A.into()).1, ["127.0.0.1"]);
    }

    #[test]
    fn a_router_is_seen_from_the_near_side_first() {
        let near_first = |asker: &str| names().lookup("gw", asker).unwrap()[0].to_string();
        assert_eq!(near_first("client"), "10.0.1.1");
        assert_eq!(near_first("server"), "10.0.2.1");
    }

    #[test]
    fn addresses_have_names() {
        assert_eq!(ask("10.2.0.10.in-addr.arpa", TYPE::PTR.into()).1, ["server.lab"]);
        let reversed: Vec<String> = format!("{:032x}", u128::from("fd00:2::10".parse::<Ipv6Addr>().unwrap()))
            .chars()
            .rev()
            .map(String::from)
            .collect();
        assert_eq!(ask(&format!("{}.ip6.arpa", reversed.join(".")), TYPE::PTR.into()).1, ["server.lab"]);
        assert_eq!(ask("9.9.9.9.in-addr.arpa", TYPE::PTR.into()), (RCODE::NameError, vec![]));
    }

    #[test]
    fn what_is_not_there_is_told_apart() {
        assert_eq!(ask("nobody.lab", TYPE::A.into()), (RCODE::NameError, vec![]));
        assert_eq!(ask("example.org", TYPE::A.into()), (RCODE::NameError, vec![]));
        // The name exists, the type does not.
        assert_eq!(ask("server.lab", TYPE::MX.into()), (RCODE::NoError, vec![]));
        assert_eq!(ask("lab", TYPE::NS.into()), (RCODE::NoError, vec!["ns.lab".into()]));
        assert_eq!(ask("lab", TYPE::SOA.into()).1, ["SOA"]);
    }

    #[test]
    fn odd_queries_get_a_code_and_never_a_panic() {
        let names = names();
        let reply = |query: &[u8]| answer(&names, "client", query, false);
        assert_eq!(reply(b"\0\x01"), None);
        assert_eq!(reply(&[0; 12]).map(|r| r[3] & 15), Some(1));
        // Type 65280 (private use) is well formed: no data.
        let mut query = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x06server\x00\xff\x00\x00\x01");
        let got = reply(&query).expect("an answer");
        assert_eq!((got[0..2].to_vec(), got[3] & 15), (vec![0, 9], 0));
        // Opcode NOTIFY.
        query[2] = 0x20;
        query[20..22].copy_from_slice(&[0, 1]);
        assert!(matches!(reply(&query).map(|r| r[3] & 15), Some(1 | 4)));
    }
}
