//! ICMP, ICMPv6 with neighbour and listener discovery, IGMP.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Line, ip_ethertype, put};
use crate::icmpv4::{self, Icmpv4Repr};
use crate::icmpv6::{self, Icmpv6Repr, kind as kind6};
use crate::igmp::IgmpRepr;
use crate::ipv6::ext;
use crate::mld::MldRepr;
use crate::ndp::{NdpMessage, NdpRepr};
use crate::{array_at, ipv4, ipv6, protocol, tcp, u16_at};

impl Line<'_> {
    pub(super) fn icmpv4(&mut self, bytes: &[u8], len: usize) {
        self.out.push_str("ICMP ");
        let Ok((repr, header_len)) = Icmpv4Repr::parse(bytes) else { return self.out.push_str("[|icmp]") };
        let quoted = &bytes[header_len..];
        match repr {
            Icmpv4Repr::EchoRequest { ident, seq } => put!(self, "echo request, id {ident}, seq {seq}"),
            Icmpv4Repr::EchoReply { ident, seq } => put!(self, "echo reply, id {ident}, seq {seq}"),
            Icmpv4Repr::Unreachable { code, mtu } => self.unreachable_v4(code, mtu, quoted),
            Icmpv4Repr::Redirect { code, gateway } => {
                let what = if code & 1 == 0 { "net" } else { "host" };
                let dst = quoted_dst_v4(quoted).map_or(String::new(), |d| format!(" {d}"));
                put!(self, "redirect{dst} to {what} {gateway}");
            }
            Icmpv4Repr::TimeExceeded { code: 0 } => self.out.push_str("time exceeded in-transit"),
            Icmpv4Repr::TimeExceeded { .. } => self.out.push_str("ip reassembly time exceeded"),
            Icmpv4Repr::ParameterProblem { code: 0, pointer } => {
                put!(self, "parameter problem - octet {pointer}");
            }
            Icmpv4Repr::ParameterProblem { code, .. } => put!(self, "parameter problem - code {code}"),
            Icmpv4Repr::Timestamp { reply, ident, seq, .. } => {
                let what = if reply { "reply" } else { "query" };
                put!(self, "time stamp {what} id {ident} seq {seq}");
            }
            Icmpv4Repr::Other { kind, code, .. } => put!(self, "type {kind}, code {code}"),
        }
        if repr.is_error() {
            self.quote(quoted);
        }
        put!(self, ", length {len}");
    }

    fn unreachable_v4(&mut self, code: u8, mtu: u16, quoted: &[u8]) {
        use icmpv4::unreachable as u;
        let dst = quoted_dst_v4(quoted).map_or("?".into(), |d| d.to_string());
        match code {
            u::NET => put!(self, "net {dst} unreachable"),
            u::HOST => put!(self, "host {dst} unreachable"),
            u::PROTOCOL => put!(self, "{dst} protocol {} unreachable", quoted.get(9).unwrap_or(&0)),
            u::PORT => {
                self.out.push_str(&dst);
                let header_len = usize::from(quoted.first().unwrap_or(&5) & 0xf) * 4;
                self.port(quoted.get(9).copied(), quoted.get(header_len..).unwrap_or_default());
                self.out.push_str(" unreachable");
            }
            u::FRAGMENTATION_NEEDED => put!(self, "{dst} unreachable - need to frag (mtu {mtu})"),
            u::SOURCE_ROUTE_FAILED => put!(self, "{dst} unreachable - source route failed"),
            u::NET_PROHIBITED => put!(self, "net {dst} unreachable - admin prohibited"),
            u::HOST_PROHIBITED => put!(self, "host {dst} unreachable - admin prohibited"),
            u::ADMIN_PROHIBITED => put!(self, "host {dst} unreachable - admin prohibited filter"),
            _ => put!(self, "{dst} unreachable - code {code}"),
        }
    }

    /// ` udp port 53`, from the quoted transport header.
    fn port(&mut self, proto: Option<u8>, header: &[u8]) {
        let name = proto.and_then(protocol::name).unwrap_or("transport");
        match tcp::ports(header) {
            Some((_, dst)) => put!(self, " {name} port {dst}"),
            None => put!(self, " {name} port"),
        }
    }

    /// The packet that an error quotes, shortly.
    fn quote(&mut self, packet: &[u8]) {
        let Some(ethertype) = ip_ethertype(packet).filter(|_| !self.quoted) else { return };
        self.out.push_str(" (for ");
        self.quoted = true;
        self.network(ethertype, packet);
        self.quoted = false;
        self.out.push(')');
    }

    pub(super) fn icmpv6(&mut self, bytes: &[u8], len: usize) {
        self.out.push_str("ICMP6, ");
        let Ok((repr, header_len)) = Icmpv6Repr::parse(bytes) else { return self.out.push_str("[|icmp6]") };
        let quoted = &bytes[header_len..];
        match repr {
            Icmpv6Repr::EchoRequest { ident, seq } => put!(self, "echo request, id {ident}, seq {seq}"),
            Icmpv6Repr::EchoReply { ident, seq } => put!(self, "echo reply, id {ident}, seq {seq}"),
            Icmpv6Repr::Unreachable { code } => self.unreachable_v6(code, quoted),
            Icmpv6Repr::PacketTooBig { mtu } => put!(self, "packet too big, mtu {mtu}"),
            Icmpv6Repr::TimeExceeded { code: 0 } => {
                put!(self, "time exceeded in-transit for {}", quoted_dst_v6(quoted));
            }
            Icmpv6Repr::TimeExceeded { .. } => self.out.push_str("ip reassembly time exceeded"),
            Icmpv6Repr::ParameterProblem { code, pointer } => {
                let what = match code {
                    0 => "erroneous header field",
                    1 => "next header",
                    2 => "option",
                    _ => "unknown code",
                };
                put!(self, "parameter problem, {what} - octet {pointer}");
            }
            Icmpv6Repr::Other { kind: kind6::ROUTER_SOLICITATION..=kind6::REDIRECT, .. } => {
                self.ndp(bytes, len);
            }
            Icmpv6Repr::Other { kind: kind6::MLD_QUERY..=kind6::MLD_DONE | kind6::MLD_REPORT_V2, .. } => {
                self.mld(bytes, len);
            }
            Icmpv6Repr::Other { kind, code, .. } => put!(self, "type {kind}, code {code}"),
        }
        if icmpv6::is_error(repr.type_code().0) && repr.type_code().0 != kind6::REDIRECT {
            self.quote(quoted);
        }
        put!(self, ", length {len}");
    }

    fn unreachable_v6(&mut self, code: u8, quoted: &[u8]) {
        use icmpv6::unreachable as u;
        let dst = quoted_dst_v6(quoted);
        match code {
            u::NO_ROUTE => put!(self, "destination unreachable, unreachable route {dst}"),
            u::PROHIBITED => put!(self, "destination unreachable, unreachable prohibited {dst}"),
            u::BEYOND_SCOPE => put!(self, "destination unreachable, beyond scope {dst}"),
            u::ADDRESS => put!(self, "destination unreachable, unreachable address {dst}"),
            u::PORT => {
                put!(self, "destination unreachable, unreachable port, {dst}");
                let proto = quoted.get(ipv6::NEXT_HEADER_OFFSET).copied().filter(|&p| !ext::is_extension(p));
                self.port(proto, quoted.get(ipv6::HEADER_LEN..).unwrap_or_default());
            }
            _ => put!(self, "destination unreachable, code {code} {dst}"),
        }
    }

    fn ndp(&mut self, bytes: &[u8], len: usize) {
        let name = match bytes[0] {
            kind6::ROUTER_SOLICITATION => "router solicitation",
            kind6::ROUTER_ADVERTISEMENT => "router advertisement",
            kind6::NEIGHBOR_SOLICITATION => "neighbor solicitation",
            kind6::NEIGHBOR_ADVERTISEMENT => "neighbor advertisement",
            _ => "redirect",
        };
        self.out.push_str(name);
        let Ok((repr, _)) = NdpRepr::parse(bytes) else {
            return self.out.push_str(if bytes.len() < len { ", [|icmp6]" } else { ", malformed" });
        };
        match &repr.message {
            NdpMessage::RouterSolicitation => {}
            NdpMessage::RouterAdvertisement(ra) => {
                put!(self, ", lifetime {}s", ra.router_lifetime_s);
                for p in &repr.options.prefixes {
                    put!(self, ", prefix {}/{}", p.prefix, p.prefix_len);
                }
                if let Some(mtu) = repr.options.mtu {
                    put!(self, ", mtu {mtu}");
                }
            }
            NdpMessage::NeighborSolicitation { target } => put!(self, ", who has {target}"),
            NdpMessage::NeighborAdvertisement(na) => {
                put!(self, ", tgt is {}", na.target);
                let flags = [(na.router, "router"), (na.solicited, "solicited"), (na.override_, "override")];
                for (_, flag) in flags.iter().filter(|(set, _)| *set) {
                    put!(self, " {flag}");
                }
            }
            NdpMessage::Redirect { target, destination } => put!(self, ", {destination} to {target}"),
        }
        if let Some(mac) = repr.options.source_lladdr {
            put!(self, ", source {mac}");
        }
        if let Some(mac) = repr.options.target_lladdr {
            put!(self, ", target {mac}");
        }
    }

    fn mld(&mut self, bytes: &[u8], len: usize) {
        let Ok((repr, _)) = MldRepr::parse(bytes) else {
            self.out.push_str("multicast listener discovery");
            return self.out.push_str(if bytes.len() < len { ", [|icmp6]" } else { ", malformed" });
        };
        match repr {
            MldRepr::Query { group, v2, .. } => {
                let version = if v2.is_some() { "v2 " } else { "" };
                put!(self, "multicast listener query {version}{}", for_group(group.is_unspecified(), group));
            }
            MldRepr::ReportV1 { group } => put!(self, "multicast listener report {group}"),
            MldRepr::Done { group } => put!(self, "multicast listener done {group}"),
            MldRepr::ReportV2 { records } => {
                put!(self, "multicast listener report v2");
                for r in &records {
                    put!(self, ", {:?} {}", r.kind, r.group);
                }
            }
        }
    }

    pub(super) fn igmp(&mut self, bytes: &[u8]) {
        match IgmpRepr::parse(bytes) {
            Ok((IgmpRepr::Query { group, v3, max_response_ds }, _)) => {
                let version = if v3.is_some() { 3 } else { 1 + u8::from(max_response_ds > 0) };
                put!(self, "igmp query v{version} {}", for_group(group.is_unspecified(), group));
            }
            Ok((IgmpRepr::ReportV1 { group }, _)) => put!(self, "igmp v1 report {group}"),
            Ok((IgmpRepr::ReportV2 { group }, _)) => put!(self, "igmp v2 report {group}"),
            Ok((IgmpRepr::Leave { group }, _)) => put!(self, "igmp leave {group}"),
            Ok((IgmpRepr::ReportV3 { records }, _)) => {
                put!(self, "igmp v3 report");
                for r in &records {
                    put!(self, ", {:?} {}", r.kind, r.group);
                }
            }
            Err(error) => put!(self, "igmp, {error}"),
        }
    }
}

/// The group that a query asks about.
fn for_group(all: bool, group: impl std::fmt::Display) -> String {
    if all { "for all groups".into() } else { format!("for {group}") }
}

fn quoted_dst_v6(quoted: &[u8]) -> String {
    array_at::<16>(quoted, 24).map_or("?".into(), |d| Ipv6Addr::from(d).to_string())
}

fn quoted_dst_v4(quoted: &[u8]) -> Option<Ipv4Addr> {
    let _ = u16_at(quoted, ipv4::HEADER_LEN - 2)?;
    array_at::<4>(quoted, 16).map(Ipv4Addr::from)
}
