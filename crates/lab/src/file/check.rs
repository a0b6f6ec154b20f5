//! What the types cannot say: names that exist once, ends that exist, sizes that fit together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::suggest;
use super::types::{AddressText, ClockKind, End, LabFile, Link, Node, NodeKind, V6Mode, is_host_address};

/// The smallest MTU with IPv6 (RFC 8200 §5).
const V6_MIN_MTU: u32 = 1280;
/// Linux's longest interface name (`IFNAMSIZ` less its end).
const INTERFACE_NAME_MAX: usize = 15;

/// Checks a lab as a whole.
pub(super) fn lab(lab: &LabFile, out: &mut Diagnostics) {
    names(lab, out);
    for link in &lab.links {
        ends(lab, link, out);
        link_mtu(lab, link, out);
        settings(link, out);
    }
    interfaces(lab, out);
    addresses(lab, out);
    macs(lab, out);
    lonely(lab, out);
    for check in &lab.checks {
        known_station(lab, &check.on.0, &check.on.1, "a check runs", out);
    }
    clock(lab, out);
}

fn names(lab: &LabFile, out: &mut Diagnostics) {
    let mut seen: BTreeMap<String, &Node> = BTreeMap::new();
    for node in &lab.nodes {
        let d = |message: String| Diagnostic::error(&node.span, message);
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let name = &node.name;
        if name.is_empty() || !name.chars().all(valid) || name.starts_with(['-', '_']) || name.contains("--")
        {
            let help = "use letters, digits, `-` and `_`, starting with a letter or digit (and no `--`)";
            out.push(d(format!("`{name}` is not a name for a {}", node.kind.word())).help(help));
        } else if name.len() > 63 {
            out.push(d(format!("`{name}` is too long: a name in DNS has at most 63 characters (RFC 1035)")));
        } else if name.eq_ignore_ascii_case("localhost") {
            out.push(d("`localhost` is every host's name for itself".into()).help("choose another name"));
        } else if name.chars().all(|c| c.is_ascii_digit()) {
            let help = format!("programs would read it as an address: write h{name}");
            out.push(d(format!("`{name}` is a number, not a name")).help(help));
        }
        if let Some(first) = seen.insert(name.to_ascii_lowercase(), node) {
            let d = d(format!("`{name}` is named twice")).label("again here");
            out.push(d.other(&first.span, format!("a {} has the name already", first.kind.word())));
        }
    }
}

fn node<'l>(lab: &'l LabFile, name: &str) -> Option<&'l Node> {
    lab.nodes.iter().find(|n| n.name == name)
}

fn unknown(lab: &LabFile, name: &str, span: &Range<usize>, out: &mut Diagnostics) {
    let help = suggest::nearest(name, lab.nodes.iter().map(|n| n.name.as_str()))
        .map(|near| format!("did you mean `{near}`?"))
        .unwrap_or_else(|| format!("add it: `hosts: {{{name}: {{}}}}`"));
    let d = Diagnostic::error(span, format!("there is no host, router or switch `{name}`"));
    out.push(d.label("unknown name").help(help));
}

fn known_station(lab: &LabFile, name: &str, span: &Range<usize>, what: &str, out: &mut Diagnostics) {
    match node(lab, name) {
        None => unknown(lab, name, span, out),
        Some(node) if node.kind.is_switch() => {
            let d = Diagnostic::error(
                span,
                format!("{what} on a host or router, and `{name}` is a {}", node.kind.word()),
            );
            out.push(d);
        }
        Some(_) => {}
    }
}

fn ends(lab: &LabFile, link: &Link, out: &mut Diagnostics) {
    for end in &link.ends {
        match node(lab, &end.node) {
            None => unknown(lab, &end.node, &end.span, out),
            Some(node) if node.kind.is_switch() && !end.addresses.is_empty() => {
                let d =
                    Diagnostic::error(&end.addresses[0].1, format!("a {} has no address", node.kind.word()));
                out.push(d.help("give it to a host or router on the segment"));
            }
            Some(_) => {}
        }
    }
    let [a, b] = &link.ends;
    if a.node == b.node {
        let d = Diagnostic::error(&b.span, format!("the link joins `{}` with itself", a.node));
        out.push(d.label("the same node at both ends").help("name two nodes"));
    }
}

fn link_mtu(lab: &LabFile, link: &Link, out: &mut Diagnostics) {
    let has_v6 = |end: &End| node(lab, &end.node).is_some_and(|n| !n.kind.is_switch() && n.v6 != V6Mode::Off);
    let mtu_of = |end: &End| node(lab, &end.node).and_then(|n| n.mtu.clone());
    let sizes = link.mtu.clone().into_iter().chain(link.ends.iter().filter_map(mtu_of));
    for (mtu, span) in sizes {
        if mtu < V6_MIN_MTU && link.ends.iter().any(has_v6) {
            let d = Diagnostic::error(
                &span,
                format!("mtu: {mtu} is too small for IPv6, which needs 1280 (RFC 8200 §5)"),
            );
            out.push(d.help("write 1280 or more, or `ipv6: off` on the hosts at both ends"));
        }
    }
}

/// Settings that need one another, in each direction (a delay for jitter and reordering).
fn settings(link: &Link, out: &mut Diagnostics) {
    for end in &link.ends {
        if let Err(error) = link.settings.merged(end.towards).impairment().check() {
            out.push(
                Diagnostic::error(&link.span, error.to_string()).help("write a `delay` that is large enough"),
            );
        }
    }
}

fn interfaces(lab: &LabFile, out: &mut Diagnostics) {
    let mut seen: BTreeMap<(&str, &str), &Range<usize>> = BTreeMap::new();
    for end in lab.links.iter().flat_map(|l| &l.ends) {
        let Some((name, span)) = &end.interface else { continue };
        let bad = |c: char| c.is_whitespace() || c == '/' || c == ':' || c.is_control();
        if name.is_empty()
            || name.len() > INTERFACE_NAME_MAX
            || name.contains(bad)
            || [".", ".."].contains(&name.as_str())
        {
            let d = Diagnostic::error(span, format!("`{name}` is not an interface name"));
            out.push(d.help("up to 15 characters without blanks, `/` and `:`, as eth1"));
        } else if name == "lo" {
            out.push(
                Diagnostic::error(span, "`lo` is every host's loopback interface").help("write eth0, say"),
            );
        }
        if let Some(first) = seen.insert((&end.node, name), span) {
            let d = Diagnostic::error(span, format!("`{}` has two interfaces named `{name}`", end.node));
            out.push(
                d.label("again here")
                    .other(first, "first here")
                    .help("leave interface names out, or number them"),
            );
        }
    }
}

/// Explicit addresses: fit to be a host's, and given once.
fn addresses(lab: &LabFile, out: &mut Diagnostics) {
    let mut seen: BTreeMap<IpAddr, (&str, &Range<usize>)> = BTreeMap::new();
    let of_nodes = lab.nodes.iter().flat_map(|n| n.addresses.iter().map(move |a| (n.name.as_str(), a)));
    let ends = lab.links.iter().flat_map(|l| &l.ends);
    let of_ends = ends.flat_map(|e| e.addresses.iter().map(move |a| (e.node.as_str(), a)));
    for (owner, (text, span)) in of_nodes.chain(of_ends) {
        if !is_host_address(text.addr) {
            out.push(Diagnostic::error(span, format!("{} cannot be a host's address", text.addr)));
        } else {
            edge_of_prefix(*text, span, out);
        }
        if let Some((first_owner, first)) = seen.insert(text.addr, (owner, span)) {
            let d = Diagnostic::error(span, format!("the address {} is given twice", text.addr));
            out.push(d.label(format!("to {owner} here")).other(first, format!("to {first_owner} here")));
        }
    }
}

/// 10.0.1.0/24 names the network and 10.0.1.255/24 everybody on it (RFC 1122 3.2.1.3).
fn edge_of_prefix(text: AddressText, span: &Range<usize>, out: &mut Diagnostics) {
    let (IpAddr::V4(addr), Some(len @ 1..=30)) = (text.addr, text.prefix_len) else { return };
    let Ok(net) = ipnet::Ipv4Net::new(addr, len) else { return };
    let kind = if addr == net.network() {
        "the network itself"
    } else if addr == net.broadcast() {
        "everybody on the network (broadcast)"
    } else {
        return;
    };
    let example = net.hosts().next().unwrap_or(addr);
    out.push(
        Diagnostic::error(span, format!("{addr}/{len} means {kind}"))
            .help(format!("did you mean `{example}/{len}`?")),
    );
}

fn macs(lab: &LabFile, out: &mut Diagnostics) {
    let mut seen: BTreeMap<[u8; 6], &Range<usize>> = BTreeMap::new();
    let of_nodes = lab.nodes.iter().filter_map(|n| n.mac.as_ref());
    let of_ends = lab.links.iter().flat_map(|l| &l.ends).filter_map(|e| e.mac.as_ref());
    for (mac, span) in of_nodes.chain(of_ends) {
        if let Some(first) = seen.insert(*mac, span) {
            let d = Diagnostic::error(span, "the MAC address is given twice").label("again here");
            out.push(
                d.other(first, "first here").help("leave MAC addresses out: the plan gives each its own"),
            );
        }
    }
}

fn lonely(lab: &LabFile, out: &mut Diagnostics) {
    if lab.nodes.is_empty() {
        let d = Diagnostic::error(&(0..out.text.len().min(1)), "the lab has no hosts");
        out.push(d.help("write `hosts: {client: {}, server: {}}` and `links: [client -- server]`"));
    }
    if lab.nodes.len() < 2 && lab.links.is_empty() {
        return;
    }
    let mut links: BTreeMap<&str, usize> = BTreeMap::new();
    for end in lab.links.iter().flat_map(|l| &l.ends) {
        *links.entry(end.node.as_str()).or_default() += 1;
    }
    let links_of = |n: &Node| links.get(n.name.as_str()).copied().unwrap_or(0);
    let linked = |n: &Node| links_of(n) > 0;
    for node in lab.nodes.iter().filter(|n| !linked(n)) {
        let d =
            Diagnostic::warning(&node.span, format!("the {} `{}` has no link", node.kind.word(), node.name));
        out.push(d.help(format!("add one under `links`: `- {} -- …`", node.name)));
    }
    for node in lab.nodes.iter().filter(|n| !n.addresses.is_empty() && !linked(n)) {
        let d = Diagnostic::error(
            &node.addresses[0].1,
            format!("`{}` has an address but no link to use it on", node.name),
        );
        out.push(d);
    }
    for node in lab.nodes.iter().filter(|n| n.kind == NodeKind::Router && links_of(n) == 1) {
        let d = Diagnostic::warning(&node.span, format!("the router `{}` has one link only", node.name));
        out.push(d.help("it has nothing to forward to: give it a second link, or make it a host"));
    }
}

fn clock(lab: &LabFile, out: &mut Diagnostics) {
    if lab.clock != ClockKind::Virtual {
        return;
    }
    let commands = lab.nodes.iter().flat_map(|n| n.setup.iter().chain(n.run.iter().map(|p| &p.command)));
    let first = commands.map(|c| &c.span).chain(lab.checks.iter().map(|c| &c.span)).min_by_key(|s| s.start);
    if let Some(span) = first {
        let d =
            Diagnostic::error(span, "programs run by the machine's clock, and this lab has `clock: virtual`");
        out.push(d.help("leave `clock` out, or drive the lab from the Rust library without programs"));
    }
}
