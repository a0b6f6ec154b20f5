//! A plan as JSON and as a table.

use std::fmt::Write as _;

use netspace_sched::{Discipline, Impairment, Loss};
use serde_json::{Value, json};

use crate::file::ClockKind;

use super::types::{Interface, Plan, PlanNode};

/// The plan as JSON: hosts, interfaces, addresses, MACs, routes, links with their settings.
pub fn json(plan: &Plan) -> Value {
    let links = plan.links.iter().map(|l| {
        json!({
            "a": plan.end_name(l.ends[0]),
            "b": plan.end_name(l.ends[1]),
            "a_to_b": impairment(&l.towards[1]),
            "b_to_a": impairment(&l.towards[0]),
            "cost": l.cost,
            "up": l.up,
        })
    });
    let segments = plan.segments.iter().map(|s| {
        let members: Vec<String> = s.members.iter().map(|&m| plan.end_name(m)).collect();
        json!({ "v4": s.v4, "v6": s.v6, "switches": s.switches, "members": members })
    });
    let checks = plan.checks.iter().map(|c| json!({ "name": c.name, "on": c.on.0, "run": c.run.argv }));
    json!({
        "name": plan.name,
        "domain": plan.domain,
        "seed": plan.seed,
        "clock": if plan.clock == ClockKind::Real { "real" } else { "virtual" },
        "nodes": plan.nodes.iter().map(node).collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "segments": segments.collect::<Vec<_>>(),
        "checks": checks.collect::<Vec<_>>(),
    })
}

fn node(node: &PlanNode) -> Value {
    let interface = |i: &Interface| {
        json!({
            "name": i.name,
            "mac": i.mac.to_string(),
            "mtu": i.mtu,
            "addresses": i.addresses,
            "slaac": i.slaac,
            "advertises": i.advertises,
            "link": i.link,
            "segment": i.segment,
        })
    };
    let routes = node.routes.iter().map(
        |r| json!({ "to": r.to, "via": r.via, "dev": r.dev, "metric": r.metric, "explicit": r.explicit }),
    );
    let sysctls: serde_json::Map<String, Value> =
        node.sysctls.iter().map(|(k, v)| (format!("net.{k}"), v.as_str().into())).collect();
    json!({
        "name": node.name,
        "kind": node.kind.word(),
        "interfaces": node.interfaces.iter().map(interface).collect::<Vec<_>>(),
        "routes": routes.collect::<Vec<_>>(),
        "sysctls": sysctls,
        "setup": node.setup.iter().map(|c| &c.text).collect::<Vec<_>>(),
        "run": node.run.iter().map(|p| &p.command.text).collect::<Vec<_>>(),
    })
}

/// What a direction of a link does, as JSON: settings that are on, in base units.
pub(super) fn impairment(i: &Impairment) -> Value {
    let mut map = serde_json::Map::new();
    let mut put = |key: &str, on: bool, value: Value| {
        if on {
            map.insert(key.to_owned(), value);
        }
    };
    put("delay_ns", !i.delay.is_zero(), (i.delay.as_nanos() as u64).into());
    put("jitter_ns", !i.jitter.is_zero(), (i.jitter.as_nanos() as u64).into());
    put("loss", !i.loss.is_none(), (f64::from(i.loss.average()) / 1e9).into());
    put("loss_model", matches!(i.loss, Loss::Bursts(_)), i.loss.to_string().into());
    put("queue_discipline", i.discipline != Discipline::Fifo, i.discipline.to_string().into());
    for (key, ratio) in [("duplicate", i.duplicate), ("reorder", i.reorder), ("corrupt", i.corrupt)] {
        put(key, ratio > 0, (f64::from(ratio) / 1e9).into());
    }
    put("rate_bps", i.rate_bps.is_some(), i.rate_bps.into());
    put("queue_packets", i.queue_packets != Impairment::DEFAULT_LIMIT, i.queue_packets.into());
    put("queue_bytes", i.queue_bytes.is_some(), i.queue_bytes.into());
    Value::Object(map)
}

/// The plan as a table for people: interfaces with their addresses, then routes, then links.
pub fn table(plan: &Plan) -> String {
    let mut rows = vec![["node", "kind", "interface", "mac", "mtu", "addresses", "to"].map(str::to_owned)];
    for (n, node) in plan.nodes.iter().enumerate() {
        let mut name = (node.name.clone(), node.kind.word().to_owned());
        if node.interfaces.is_empty() {
            rows.push([
                name.0.clone(),
                name.1.clone(),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
                "-".into(),
            ]);
        }
        for (i, interface) in node.interfaces.iter().enumerate() {
            let addresses: Vec<String> = interface.all_addresses().map(|a| a.to_string()).collect();
            let link = &plan.links[interface.link];
            let other = if link.ends[0] == (n, i) { link.ends[1] } else { link.ends[0] };
            let (mac, mtu) = (interface.mac.to_string(), interface.mtu.to_string());
            let (node, kind) = std::mem::take(&mut name);
            rows.push([
                node,
                kind,
                interface.name.clone(),
                mac,
                mtu,
                addresses.join(" "),
                plan.end_name(other),
            ]);
        }
    }
    let mut text = columns(&rows);
    text.push_str(&routes_table(plan));
    text.push_str(&links_table(plan));
    text
}

fn routes_table(plan: &Plan) -> String {
    let mut rows = vec![["node", "route", "via", "interface"].map(str::to_owned)];
    for node in &plan.nodes {
        let mut name = node.name.clone();
        for r in &node.routes {
            let to = if r.to.prefix_len() == 0 {
                format!("default ({})", family(r.to.addr()))
            } else {
                r.to.to_string()
            };
            let to = if r.metric > 0 { format!("{to} metric {}", r.metric) } else { to };
            let via = r.via.map_or_else(|| "-".into(), |v| v.to_string());
            rows.push([std::mem::take(&mut name), to, via, r.dev.clone()]);
        }
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

fn family(addr: std::net::IpAddr) -> &'static str {
    if addr.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn links_table(plan: &Plan) -> String {
    let mut rows = vec![["link", "settings"].map(str::to_owned)];
    for link in &plan.links {
        let [a, b] = link.ends.map(|e| plan.end_name(e));
        let mut settings = if link.towards[0] == link.towards[1] {
            link.towards[0].to_string()
        } else {
            format!("→ {}; ← {}", link.towards[1], link.towards[0])
        };
        if !link.up {
            settings = format!("down {settings}");
        }
        if !settings.trim().is_empty() {
            rows.push([format!("{a} -- {b}"), settings]);
        }
    }
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

/// Columns as wide as their longest cell.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
