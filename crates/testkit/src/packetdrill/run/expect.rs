//! `>`: a packet from the host.

use netspace_wire::tcp::TcpFlags;

use super::super::lex::Place;
use super::super::script::{Body, IpInfo, Packet, Segment, TosInfo, When};
use super::super::show;
use super::super::wire::{self, Seen, SeenBody, TcpSeen};
use super::{Outcome, Runner, Trouble, wrong};

/// How long to wait for a packet that may come at any time, nanoseconds.
const ANY_TIME_MAX_NS: i64 = 3_600_000_000_000;

/// When a packet may come.
struct Due {
    from: i64,
    to: i64,
    tolerance: i64,
}

pub(super) fn packet(
    runner: &mut Runner,
    packet: &Packet,
    when: When,
    due: Option<(i64, i64)>,
) -> Outcome<()> {
    let due = due.map(|(from, to)| Due { from, to, tolerance: runner.setup.tolerance(runner.base, to) });
    let limit = due.as_ref().map_or(runner.base + ANY_TIME_MAX_NS, |due| due.to + due.tolerance);
    let Some(seen) = next(runner, limit)? else { return nothing_came(runner, packet, due.as_ref()) };
    let result = match (&packet.body, &seen.body) {
        (Body::Tcp(expected), SeenBody::Tcp(actual)) => {
            tcp(runner, packet, expected, &seen, actual.clone(), limit)?
        }
        (Body::Udp { ports, len }, SeenBody::Udp { src_port, dst_port, len: actual }) => Compared {
            seen: seen.clone(),
            expected: udp_text(*ports, *len),
            actual: udp_text(Some((*src_port, *dst_port)), *actual),
            differs: differing(&[
                ("length", len == actual),
                ("ports", ports.is_none_or(|ports| ports == (*src_port, *dst_port))),
            ]),
        },
        (Body::Icmp(icmp), SeenBody::Icmp { kind, code, mtu }) => {
            let v6 = runner.setup.version.is_v6();
            let numbers = wire::icmp_numbers(&icmp.kind, icmp.code.as_deref(), v6);
            let expected =
                numbers.map_or_else(|| icmp.kind.clone(), |(kind, code)| wire::icmp_text(kind, code, v6));
            Compared {
                seen: seen.clone(),
                expected,
                actual: wire::icmp_text(*kind, *code, v6),
                differs: differing(&[
                    ("message", numbers == Some((*kind, *code))),
                    ("mtu", icmp.mtu.is_none_or(|expected| expected == *mtu)),
                ]),
            }
        }
        (expected, _) => Compared {
            seen: seen.clone(),
            expected: body_text(expected),
            actual: seen_text(runner, &seen),
            differs: vec!["protocol".into()],
        },
    };
    conclude(runner, packet, result, due.as_ref(), when)
}

/// The outcome of a comparison: both in words, and what differs.
struct Compared {
    seen: Seen,
    expected: String,
    actual: String,
    differs: Vec<String>,
}

fn differing(checks: &[(&str, bool)]) -> Vec<String> {
    checks.iter().filter(|(_, same)| !same).map(|(name, _)| (*name).to_owned()).collect()
}

fn conclude(
    runner: &mut Runner,
    packet: &Packet,
    mut result: Compared,
    due: Option<&Due>,
    when: When,
) -> Outcome<()> {
    let at = result.seen.at.as_nanos() as i64 - runner.world.start.as_nanos() as i64;
    result.differs.extend(ip_differs(packet.ip, &result.seen));
    let shown = ip_shown(packet.ip, &result.seen);
    let mut due_text = "any time".to_owned();
    if let Some(due) = due {
        due_text = show::seconds(due.from);
        if matches!(when, When::Range(..) | When::RelativeRange(..)) {
            due_text = format!("{}~{}", show::seconds(due.from), show::seconds(due.to));
        }
        if at < due.from - due.tolerance || at > due.to + due.tolerance {
            result.differs.push(format!("time (tolerance {})", show::seconds(due.tolerance)));
        }
    }
    runner.note(at, &format!("> {}{}", show::ip_info(shown), result.actual));
    runner.base = at;
    if result.differs.is_empty() {
        return Ok(());
    }
    wrong(format!(
        "this packet was not expected\n  expected {due_text:>11}  > {}{}\n  actual   {:>11}  > {}{}\n  differs  {}",
        show::ip_info(packet.ip),
        result.expected,
        show::seconds(at),
        show::ip_info(shown),
        result.actual,
        result.differs.join(", ")
    ))
}

fn nothing_came(runner: &Runner, packet: &Packet, due: Option<&Due>) -> Outcome<()> {
    let when = match due {
        Some(due) => format!("at {} (tolerance {})", show::seconds(due.from), show::seconds(due.tolerance)),
        None => "at any time".into(),
    };
    wrong(format!(
        "no packet came\n  expected {when}  > {}{}\n  actual   nothing until {}",
        show::ip_info(packet.ip),
        body_text(&packet.body),
        show::seconds(runner.world.now_ns())
    ))
}

/// The next packet that is the script's concern, at `limit` at the latest.
fn next(runner: &mut Runner, limit: i64) -> Outcome<Option<Seen>> {
    if let Some(seen) = runner.returned.take() {
        return Ok(Some(seen));
    }
    loop {
        while let Some(sent) = runner.world.sent.pop_front() {
            let Some(seen) = wire::seen(&sent) else { continue };
            if concerns(runner, &seen) {
                return Ok(Some(seen));
            }
            let at = seen.at.as_nanos() as i64 - runner.world.start.as_nanos() as i64;
            let text = seen_text(runner, &seen);
            runner.note(at, &format!("> {text} (no concern of the script)"));
        }
        if runner.world.now_ns() >= limit {
            return Ok(None);
        }
        runner.step(limit).map_err(|(place, trouble)| at_place(place, trouble))?;
    }
}

/// Trouble with a blocked call, while waiting for a packet.
fn at_place(place: Option<Place>, trouble: Trouble) -> Trouble {
    match (place, trouble) {
        (Some(place), Trouble::Wrong(text)) => Trouble::Wrong(format!("line {}: {text}", place.line)),
        (_, trouble) => trouble,
    }
}

/// Whether a packet belongs to a connection of the script. The SYN of a connect shows its port.
fn concerns(runner: &mut Runner, seen: &Seen) -> bool {
    let (udp, source, destination) = match &seen.body {
        SeenBody::Tcp(tcp) => (false, tcp.src_port, tcp.dst_port),
        SeenBody::Udp { src_port, dst_port, .. } => (true, *src_port, *dst_port),
        SeenBody::Icmp { .. } => return true,
    };
    if seen.dst != runner.setup.remote {
        return false;
    }
    if udp {
        if let Some(flow) = runner.flows.iter_mut().rev().find(|flow| flow.udp) {
            (flow.local_port, flow.remote_port) = (source, destination);
        }
        return true;
    }
    flow_of(runner, source, destination).is_some()
}

fn flow_of(runner: &mut Runner, source: u16, destination: u16) -> Option<usize> {
    let exact =
        |flow: &super::Flow| !flow.udp && (flow.local_port, flow.remote_port) == (source, destination);
    if let Some(flow) = runner.flows.iter().rposition(exact) {
        return Some(flow);
    }
    let opening = |flow: &super::Flow| !flow.udp && (flow.local_port, flow.remote_port) == (0, destination);
    let flow = runner.flows.iter().position(opening)?;
    runner.flows[flow].local_port = source;
    Some(flow)
}

// ---- TCP -----------------------------------------------------------------------------------------------------------

fn tcp(
    runner: &mut Runner,
    packet: &Packet,
    expected: &Segment,
    seen: &Seen,
    first: TcpSeen,
    limit: i64,
) -> Outcome<Compared> {
    let flow = flow_of(runner, first.src_port, first.dst_port).unwrap_or(0);
    let wanted = match (runner.flow_of(packet), expected.ports) {
        (None, Some((source, destination))) => {
            // Ports that the script names for the first time name this connection.
            runner.flows[flow].script_ports = Some((source, destination));
            flow
        }
        (wanted, _) => wanted.unwrap_or(flow),
    };
    runner.flows[flow].learn(&first, expected);
    runner.flows[flow].learn_timestamp(&first, expected);
    let (seen, actual) = joined(runner, expected, seen.clone(), first, limit)?;
    let shown = runner.flows[flow].outbound(&actual, Some(expected));
    let mut differs = segment_differs(expected, &shown);
    differs.extend(ticks_differ(runner, flow, expected, &actual));
    if wanted != flow {
        differs.push(format!("connection (port {} > {})", actual.src_port, actual.dst_port));
    }
    Ok(Compared { seen, expected: show::segment(expected), actual: show::segment(&shown), differs })
}

/// One segment of the script may come as several, unless `--strict_segments`: they follow each other and differ only in
/// PSH. The last one's moment and flags count.
fn joined(
    runner: &mut Runner,
    expected: &Segment,
    mut seen: Seen,
    mut whole: TcpSeen,
    limit: i64,
) -> Outcome<(Seen, TcpSeen)> {
    let syn_or_end = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST;
    while !runner.setup.strict_segments
        && whole.len > 0
        && whole.len < expected.len
        && !whole.flags.intersects(syn_or_end)
    {
        let Some(more) = next(runner, limit)? else { break };
        let fits = matches!(&more.body, SeenBody::Tcp(tcp)
            if tcp.seq == whole.seq.wrapping_add(whole.len)
                && whole.len + tcp.len <= expected.len
                && tcp.len > 0
                && (tcp.src_port, tcp.dst_port) == (whole.src_port, whole.dst_port));
        let SeenBody::Tcp(tcp) = &more.body else { break };
        if !fits {
            // It is another packet after all: the one before stands alone.
            runner.returned = Some(more);
            break;
        }
        let cwr = whole.flags & TcpFlags::CWR;
        whole = TcpSeen { seq: whole.seq, len: whole.len + tcp.len, flags: tcp.flags | cwr, ..tcp.clone() };
        seen = Seen { body: SeenBody::Tcp(whole.clone()), ..more };
    }
    Ok((seen, whole))
}

fn segment_differs(expected: &Segment, actual: &Segment) -> Vec<String> {
    let window = expected.window.is_none_or(|window| actual.window == Some(window));
    let urgent = expected.urgent.is_none_or(|urgent| actual.urgent == Some(urgent));
    let options = expected.options.is_none() || expected.options == actual.options;
    let mut differs = differing(&[
        ("sequence number", expected.seq == actual.seq),
        ("length", expected.len == actual.len),
        ("acknowledgement number", expected.ack.is_none_or(|ack| actual.ack == Some(ack))),
        ("window", window),
        ("urgent pointer", urgent),
        ("options", options),
    ]);
    if expected.flags != actual.flags {
        differs.insert(0, "flags".into());
    }
    differs
}

/// With `--tcp_ts_tick_usecs`: timestamps go on as time does.
fn ticks_differ(runner: &Runner, flow: usize, expected: &Segment, actual: &TcpSeen) -> Option<String> {
    let tick_us = runner.setup.ts_tick_us?;
    let (wire, script) = runner.flows[flow].ticks(actual, expected)?;
    let off_ns = (i64::from(wire) - i64::from(script)).saturating_mul(tick_us * 1000);
    let tolerance =
        runner.setup.tolerance(0, i64::from(script).saturating_mul(tick_us * 1000)) + tick_us * 1000;
    (off_ns.abs() > tolerance).then(|| format!("timestamp ({wire} ticks since the first, expected {script})"))
}

// ---- IP ------------------------------------------------------------------------------------------------------------

fn ip_differs(expected: IpInfo, seen: &Seen) -> Vec<String> {
    let tos = match expected.tos {
        TosInfo::Unsaid => true,
        TosInfo::Ecn(bits) => seen.tos & 3 == bits,
        TosInfo::Ect => matches!(seen.tos & 3, 1 | 2),
        TosInfo::Tos(tos) => seen.tos == tos,
    };
    differing(&[
        ("type of service", tos),
        ("ttl", expected.ttl.is_none_or(|ttl| ttl == seen.ttl)),
        ("flow label", expected.flow_label.is_none_or(|label| label == seen.flow_label)),
    ])
}

/// Of the actual IP header, what the script speaks of, and ECN.
fn ip_shown(expected: IpInfo, seen: &Seen) -> IpInfo {
    let tos = match expected.tos {
        TosInfo::Tos(_) => TosInfo::Tos(seen.tos),
        TosInfo::Unsaid if seen.tos & 3 == 0 => TosInfo::Unsaid,
        _ => TosInfo::Ecn(seen.tos & 3),
    };
    IpInfo {
        tos,
        ttl: expected.ttl.map(|_| seen.ttl),
        flow_label: expected.flow_label.map(|_| seen.flow_label),
    }
}

// ---- Words ---------------------------------------------------------------------------------------------------------

fn udp_text(ports: Option<(u16, u16)>, len: u16) -> String {
    match ports {
        Some((source, destination)) => format!("{source} > {destination} udp ({len})"),
        None => format!("udp ({len})"),
    }
}

fn body_text(body: &Body) -> String {
    match body {
        Body::Tcp(segment) => show::segment(segment),
        Body::Udp { ports, len } => udp_text(*ports, *len),
        Body::Icmp(icmp) => {
            format!("icmp {} {}", icmp.kind, icmp.code.as_deref().unwrap_or("")).trim_end().to_owned()
        }
    }
}

fn seen_text(runner: &mut Runner, seen: &Seen) -> String {
    match &seen.body {
        SeenBody::Tcp(tcp) => {
            let flow = flow_of(runner, tcp.src_port, tcp.dst_port)
                .map(|n| runner.flows[n].clone())
                .unwrap_or_default();
            show::segment(&flow.outbound(tcp, None))
        }
        SeenBody::Udp { src_port, dst_port, len } => udp_text(Some((*src_port, *dst_port)), *len),
        SeenBody::Icmp { kind, code, .. } => wire::icmp_text(*kind, *code, runner.setup.version.is_v6()),
    }
}
