//! `<`: a packet to the host.

use netspace_wire::protocol;
use netspace_wire::tcp::TcpFlags;

use super::super::flow::Flow;
use super::super::script::{Body, Echoed, Icmp, Packet, Segment};
use super::super::show;
use super::super::wire::{self, IcmpRest, Ip, TcpSeen};
use super::{Outcome, Runner, skip, wrong};

/// The first remote port that a connection from outside gets; the next one takes the next.
const REMOTE_PORT: u16 = 40_000;
/// Bytes of a quoted TCP header (RFC 792: 64 bits).
const QUOTED_LEN: usize = 8;

pub(super) fn packet(runner: &mut Runner, packet: &Packet) -> Outcome<()> {
    let (protocol, payload, text) = match &packet.body {
        Body::Tcp(segment) => tcp(runner, packet, segment)?,
        Body::Udp { ports, len } => udp(runner, packet, *ports, *len)?,
        Body::Icmp(icmp) => self::icmp(runner, packet, icmp)?,
    };
    let ip = Ip { src: runner.setup.remote, dst: runner.setup.local, info: packet.ip };
    let now = runner.world.now_ns();
    runner.note(now, &format!("< {}{text}", show::ip_info(packet.ip)));
    if let Some(reason) = runner.world.inject(&wire::packet(ip, protocol, &payload)) {
        runner.note(now, &format!("  dropped: {reason}"));
    }
    Ok(())
}

type Built = (u8, Vec<u8>, String);

fn tcp(runner: &mut Runner, packet: &Packet, segment: &Segment) -> Outcome<Built> {
    let syn = segment.flags.contains(TcpFlags::SYN) && !segment.flags.contains(TcpFlags::ACK);
    let flow = match runner.flow_of(packet) {
        Some(flow) => flow,
        None if syn || segment.ports.is_some() => passive(runner, segment),
        None => return wrong("there is no connection that this packet could belong to"),
    };
    runner.current = Some(flow);
    let seen = runner.flows[flow].inbound(segment, runner.setup.ts_ecr_scaled);
    if seen.dst_port == 0 {
        return wrong("the host has not sent a SYN yet, so its port is not known");
    }
    Ok((protocol::TCP, seen.bytes(), show::segment(segment)))
}

/// A connection that the remote host opens.
fn passive(runner: &mut Runner, segment: &Segment) -> usize {
    let number = runner.flows.len() as u16;
    let (remote_port, local_port) = segment.ports.unwrap_or((REMOTE_PORT + number, runner.setup.bind_port));
    let script_ports = segment.ports.map(|(source, destination)| (destination, source));
    let flow = runner.add_flow(Flow::new(false, local_port, remote_port));
    runner.flows[flow].script_ports = script_ports;
    flow
}

fn udp(runner: &mut Runner, packet: &Packet, ports: Option<(u16, u16)>, len: u16) -> Outcome<Built> {
    let known = runner.flow_of(packet);
    let (source, destination) = match (ports, known.map(|n| &runner.flows[n])) {
        (Some(ports), _) => ports,
        (None, Some(flow)) => (flow.remote_port, flow.local_port),
        (None, None) => (runner.setup.connect_port, runner.setup.bind_port),
    };
    let text = match ports {
        Some((source, destination)) => format!("udp {source} > {destination} ({len})"),
        None => format!("udp ({len})"),
    };
    Ok((protocol::UDP, wire::udp(source, destination, len), text))
}

fn icmp(runner: &mut Runner, packet: &Packet, icmp: &Icmp) -> Outcome<Built> {
    let v6 = runner.setup.version.is_v6();
    let Some(numbers) = wire::icmp_numbers(&icmp.kind, icmp.code.as_deref(), v6) else {
        let name = [Some(icmp.kind.as_str()), icmp.code.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ");
        let family = if v6 { "IPv6" } else { "IPv4" };
        let other = wire::icmp_numbers(&icmp.kind, icmp.code.as_deref(), !v6).is_some();
        return if other {
            skip(format!("\"icmp {name}\" does not exist in {family}"))
        } else {
            wrong(format!("{}:{}: no ICMP message is called \"{name}\"", icmp.place.line, icmp.place.column))
        };
    };
    let data = match icmp.kind.as_str() {
        "echo_request" | "echo_reply" => Vec::new(),
        _ => quoted(runner, packet, icmp.echoed)?,
    };
    let rest = IcmpRest { mtu: icmp.mtu.unwrap_or(0), id: icmp.id.unwrap_or(0) };
    let (src, dst) = (runner.setup.remote, runner.setup.local);
    let payload = wire::icmp(src, dst, numbers, rest, &data);
    let protocol = if v6 { protocol::ICMPV6 } else { protocol::ICMP };
    let mut text = wire::icmp_text(numbers.0, numbers.1, v6);
    text.extend(icmp.mtu.map(|mtu| format!(" mtu {mtu}")));
    Ok((protocol, payload, text))
}

/// The start of the packet that an error is about: its IP header and the first eight bytes behind it. Lengths in the
/// header are those of the whole packet.
fn quoted(runner: &Runner, packet: &Packet, echoed: Echoed) -> Outcome<Vec<u8>> {
    let Some(flow) = runner.flow_of(packet).map(|n| &runner.flows[n]) else {
        return wrong("there is no connection that this error could be about");
    };
    let (local, remote) = (flow.local_port, flow.remote_port);
    let segment = |seq: u32, len: u32| {
        let seen = TcpSeen {
            src_port: local,
            dst_port: remote,
            seq: flow.to_wire(seq),
            ack: 0,
            flags: TcpFlags::ACK,
            window: 0,
            urgent: 0,
            options: Vec::new(),
            len,
        };
        (protocol::TCP, seen.bytes())
    };
    let (protocol, payload) = match echoed {
        Echoed::Nothing if flow.udp => (protocol::UDP, wire::udp(local, remote, 0)),
        Echoed::Nothing => segment(0, 0),
        Echoed::Tcp(seq, len) => segment(seq, len),
        Echoed::Udp(len) => (protocol::UDP, wire::udp(local, remote, len)),
        Echoed::Raw(len) => (protocol::NO_NEXT, vec![0; usize::from(len)]),
    };
    let (src, dst) = (runner.setup.local, runner.setup.remote);
    let mut whole = wire::packet(Ip { src, dst, info: Default::default() }, protocol, &payload);
    let header = whole.len() - payload.len();
    whole.truncate(header + QUOTED_LEN.min(payload.len()));
    Ok(whole)
}
