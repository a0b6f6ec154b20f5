//! From the tree of values to a [`LabFile`].

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::command::{command, program};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::link;
use super::node::{self, Value};
use super::quantity::{self, BadQuantity};
use super::reader::{Fields, items, pairs, plain_pairs, scalar};
use super::types::{Check, ClockKind, ExpectedExit, LabFile, Node, NodeKind, RouteEntry, V6Mode};
use super::values::{address, expand_range, mac, mtu, prefix};

/// Keys of the file.
pub(super) const LAB: &[&str] =
    &["name", "hosts", "routers", "switches", "links", "checks", "seed", "clock", "domain"];
/// Keys of a host.
pub(super) const HOST: &[&str] =
    &["addresses", "mac", "mtu", "gateway", "routes", "sysctls", "env", "setup", "run", "ipv6"];
/// Keys of a router.
pub(super) const ROUTER: &[&str] =
    &["addresses", "mac", "mtu", "gateway", "routes", "sysctls", "env", "setup", "run", "ipv6", "advertise"];
/// Keys of a switch.
pub(super) const SWITCH: &[&str] = &["hub", "mtu", "sysctls"];
/// Keys of a static route.
pub(super) const ROUTE: &[&str] = &["to", "via", "dev", "metric"];
/// Keys of a check.
pub(super) const CHECK: &[&str] = &["on", "run", "name", "expect", "reject", "exit", "timeout"];

/// How long a check may take to hold if it does not say.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// The domain of a lab's names if the file does not say.
const DOMAIN: &str = "lab";

/// Reads the whole file.
pub(super) fn lab(tree: &node::Node, text: &str, name: &str, out: &mut Diagnostics) -> LabFile {
    let mut fields = Fields::of(tree, "a lab", LAB, out);
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".yaml").or_else(|| stem.strip_suffix(".yml")).unwrap_or(stem);
    let mut lab = LabFile {
        name: fields.text("name", out).map_or_else(|| stem.to_owned(), |(n, _)| n.to_owned()),
        seed: fields.number("seed", 0..=u64::MAX, out).map(|v| v.0),
        clock: fields.parsed("clock", out, clock).map(|v| v.0).unwrap_or_default(),
        domain: fields.parsed("domain", out, domain).map_or_else(|| DOMAIN.to_owned(), |v| v.0),
        ..LabFile::default()
    };
    for key in ["hosts", "routers", "switches"] {
        if let Some(node) = fields.take(key) {
            nodes(node, key, &mut lab.nodes, out);
        }
    }
    // In the order of the file, whichever section comes first.
    lab.nodes.sort_by_key(|n| n.span.start);
    if let Some(node) = fields.take("links") {
        if matches!(node.value, Value::Map(_)) {
            let help = "write a list:\n  links:\n    - a -- b";
            out.push(Diagnostic::error(&node.span, "`links` takes a list, and this is a mapping").help(help));
        } else {
            lab.links = items(node).into_iter().flat_map(|item| link::links(item, text, out)).collect();
        }
    }
    if let Some(node) = fields.take("checks") {
        lab.checks = items(node).into_iter().filter_map(|item| check(item, out)).collect();
    }
    lab
}

fn clock(text: &str) -> Result<ClockKind, BadQuantity> {
    match text {
        "real" => Ok(ClockKind::Real),
        "virtual" => Ok(ClockKind::Virtual),
        _ => Err(BadQuantity {
            message: format!("`{text}` is no clock"),
            help: "write real or virtual".into(),
        }),
    }
}

fn domain(text: &str) -> Result<String, BadQuantity> {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
    };
    let text = text.trim_matches('.').to_ascii_lowercase();
    if text.len() <= 190 && text.split('.').all(label) {
        return Ok(text);
    }
    Err(BadQuantity {
        message: format!("`{text}` is not a domain name"),
        help: "write it like lab or example.net".into(),
    })
}

/// Reads `hosts`, `routers` or `switches`: a mapping of names to settings, or a list of names.
fn nodes(section: &node::Node, key: &str, all: &mut Vec<Node>, out: &mut Diagnostics) {
    let nothing = |span: &Range<usize>| node::Node { value: Value::Null, span: span.clone() };
    match &section.value {
        Value::Map(entries) => {
            for (name, settings) in entries {
                nodes_of(&name.text, &name.span, settings, key, all, out);
            }
        }
        Value::Seq(list) => {
            for item in list {
                if let Some(name) = scalar(item, key, out) {
                    nodes_of(name, &item.span, &nothing(&item.span), key, all, out);
                }
            }
        }
        Value::Scalar(names) => nodes_of(names, &section.span, &nothing(&section.span), key, all, out),
        Value::Null => {}
    }
}

fn nodes_of(
    names: &str,
    span: &Range<usize>,
    settings: &node::Node,
    key: &str,
    all: &mut Vec<Node>,
    out: &mut Diagnostics,
) {
    let model = one_node(span, settings, key, out);
    let expanded = expand_range(names);
    if expanded.len() > 1 && (model.mac.is_some() || !model.addresses.is_empty()) {
        let d = Diagnostic::error(
            span,
            format!("the {} nodes of {names} cannot share one address", expanded.len()),
        );
        out.push(d.help("write their addresses one by one, or leave them to the plan"));
    }
    all.extend(expanded.into_iter().map(|name| Node { name, ..model.clone() }));
}

fn one_node(span: &Range<usize>, settings: &node::Node, key: &str, out: &mut Diagnostics) -> Node {
    let (what, known) = match key {
        "hosts" => ("a host", HOST),
        "routers" => ("a router", ROUTER),
        _ => ("a switch", SWITCH),
    };
    let mut fields = Fields::of(settings, what, known, out);
    let mut node = Node {
        name: String::new(),
        span: span.clone(),
        kind: NodeKind::Host,
        addresses: Vec::new(),
        mac: None,
        mtu: mtu(&mut fields, out),
        gateways: Vec::new(),
        routes: Vec::new(),
        sysctls: fields.take("sysctls").map(|n| sysctls(n, out)).unwrap_or_default(),
        env: Vec::new(),
        setup: Vec::new(),
        run: Vec::new(),
        v6: V6Mode::Static,
        advertise: false,
    };
    if key == "switches" {
        node.kind = NodeKind::Switch { hub: fields.flag("hub", out).unwrap_or(false) };
        return node;
    }
    if key == "routers" {
        node.kind = NodeKind::Router;
        node.advertise = fields.flag("advertise", out).unwrap_or(false);
    }
    station(&mut node, &mut fields, out);
    node
}

fn list_of<'n>(fields: &mut Fields<'n>, key: &str) -> Vec<&'n node::Node> {
    fields.take(key).map(items).unwrap_or_default()
}

/// What hosts and routers have in common.
fn station(node: &mut Node, fields: &mut Fields<'_>, out: &mut Diagnostics) {
    node.addresses =
        list_of(fields, "addresses").into_iter().filter_map(|n| address(n, "addresses", out)).collect();
    node.mac = fields.parsed("mac", out, mac);
    node.gateways = list_of(fields, "gateway").into_iter().filter_map(|n| gateway(n, out)).collect();
    node.routes = list_of(fields, "routes").into_iter().filter_map(|n| route(n, out)).collect();
    if let Some(env) = fields.take("env") {
        node.env = plain_pairs(env, "env", out);
    }
    node.setup = list_of(fields, "setup").into_iter().filter_map(|n| command(n, "setup", out)).collect();
    node.run = list_of(fields, "run").into_iter().filter_map(|n| program(n, out)).collect();
    let v6 = |text: &str| match text {
        "static" => Ok(V6Mode::Static),
        "auto" => Ok(V6Mode::Auto),
        "off" => Ok(V6Mode::Off),
        _ => Err(BadQuantity {
            message: format!("`{text}` is no way to get an IPv6 address"),
            help: "write static, auto (by router advertisements) or off".into(),
        }),
    };
    node.v6 = fields.parsed("ipv6", out, v6).map(|v| v.0).unwrap_or_default();
}

fn gateway(node: &node::Node, out: &mut Diagnostics) -> Option<(IpAddr, Range<usize>)> {
    let text = scalar(node, "gateway", out)?;
    match text.parse() {
        Ok(addr) => Some((addr, node.span.clone())),
        Err(_) => {
            let d = Diagnostic::error(&node.span, format!("`{text}` is not an IP address"));
            out.push(d.help("write the gateway's address, as 10.0.1.1"));
            None
        }
    }
}

fn sysctls(node: &node::Node, out: &mut Diagnostics) -> Vec<(String, String, Range<usize>)> {
    let mut list = pairs(node, "sysctls", out);
    list.retain_mut(|(name, _, span)| {
        let dotted = name.replace('/', ".");
        match dotted.strip_prefix("net.") {
            Some(rest) => {
                rest.clone_into(name);
                true
            }
            None => {
                let d = Diagnostic::error(span, format!("`{name}` is not a sysctl of the network"));
                out.push(d.help("they start with `net.`, as net.ipv4.ip_forward"));
                false
            }
        }
    });
    list
}

fn route(node: &node::Node, out: &mut Diagnostics) -> Option<RouteEntry> {
    if let Value::Scalar(line) = &node.value {
        return route_line(line, &node.span, out);
    }
    let mut fields = Fields::of(node, "a route", ROUTE, out);
    if !fields.has("to") {
        let d = Diagnostic::error(&node.span, "the route does not say where it leads");
        out.push(d.help("write `to: 10.9.0.0/16`"));
    }
    let to = fields.parsed("to", out, prefix);
    let owned = |v: Option<(&str, Range<usize>)>| v.map(|(s, span)| (s.to_owned(), span));
    let via = owned(fields.text("via", out));
    let dev = owned(fields.text("dev", out));
    let metric = fields.number("metric", 0..=u64::from(u32::MAX), out).map_or(0, |v| v.0 as u32);
    let (to, _) = to?;
    finish_route(RouteEntry { to, via, dev, metric, span: node.span.clone() }, out)
}

/// `10.9.0.0/16 via r2 metric 20`, as `ip route add` takes it.
fn route_line(line: &str, span: &Range<usize>, out: &mut Diagnostics) -> Option<RouteEntry> {
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or("");
    let to = match prefix(first) {
        Ok(to) => to,
        Err(bad) => {
            out.push(Diagnostic::error(span, bad.message).help(bad.help));
            return None;
        }
    };
    let mut entry = RouteEntry { to, via: None, dev: None, metric: 0, span: span.clone() };
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or("");
        match word {
            "via" => entry.via = Some((value.to_owned(), span.clone())),
            "dev" => entry.dev = Some((value.to_owned(), span.clone())),
            "metric" if value.parse::<u32>().is_ok() => entry.metric = value.parse().unwrap_or(0),
            _ => {
                let d = Diagnostic::error(span, format!("`{word} {value}` is no part of a route"));
                out.push(d.help("write it like `10.9.0.0/16 via 10.0.1.2 metric 20`"));
                return None;
            }
        }
    }
    finish_route(entry, out)
}

fn finish_route(entry: RouteEntry, out: &mut Diagnostics) -> Option<RouteEntry> {
    if entry.via.is_none() && entry.dev.is_none() {
        let d =
            Diagnostic::error(&entry.span, format!("the route to {} has neither `via` nor `dev`", entry.to));
        out.push(d.help("write the next hop: `via: 10.0.1.2` or `via: r2`"));
        return None;
    }
    Some(entry)
}

fn check(node: &node::Node, out: &mut Diagnostics) -> Option<Check> {
    let mut fields = Fields::of(node, "a check", CHECK, out);
    let on = fields.text("on", out).map(|(s, span)| (s.to_owned(), span));
    let run = fields.take("run");
    let texts = |node: Option<&node::Node>, key: &str, out: &mut Diagnostics| -> Vec<String> {
        let items = node.map(items).unwrap_or_default();
        items.into_iter().filter_map(|n| scalar(n, key, out).map(ToOwned::to_owned)).collect()
    };
    let expect = texts(fields.take("expect"), "expect", out);
    let reject = texts(fields.take("reject"), "reject", out);
    let exit = fields.parsed("exit", out, exit).map_or(ExpectedExit::Code(0), |v| v.0);
    let timeout = fields.parsed("timeout", out, quantity::duration).map_or(CHECK_TIMEOUT, |v| v.0);
    let name = fields.text("name", out).map(|(s, _)| s.to_owned());
    let whole = &node.span;
    if on.is_none() && matches!(node.value, Value::Map(_)) {
        let d = Diagnostic::error(whole, "the check does not say on which host it runs");
        out.push(d.help("write `on: client`"));
    }
    if run.is_none() && matches!(node.value, Value::Map(_)) {
        out.push(
            Diagnostic::error(whole, "the check has no `run`").help("write `run: curl -sf http://server/`"),
        );
    }
    let run = command(run?, "run", out)?;
    let name = name.unwrap_or_else(|| run.text.clone());
    Some(Check { name, on: on?, run, expect, reject, exit, timeout, span: whole.clone() })
}

fn exit(text: &str) -> Result<ExpectedExit, BadQuantity> {
    match text {
        "any" => Ok(ExpectedExit::Any),
        "nonzero" | "failure" => Ok(ExpectedExit::Failure),
        _ => match text.parse::<i32>() {
            Ok(code) if (0..=255).contains(&code) => Ok(ExpectedExit::Code(code)),
            _ => Err(BadQuantity {
                message: format!("`{text}` is no exit code"),
                help: "write a number from 0 to 255, nonzero or any".into(),
            }),
        },
    }
}
