//! Routes: from hosts by a router on their segment, between routers by shortest paths (Dijkstra over the links' costs).
//!
//! ```text
//! source ── its segments ── routers on them ── their segments ── …     the first router on the best path is the next hop
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::file::{Diagnostic, Diagnostics, LabFile, Node, NodeKind, RouteEntry, Span, V6Mode, suggest};

use super::types::{Plan, PlanRoute};

/// Where a packet goes first: the interface it leaves by and the router that takes it.
type FirstHop = (usize, IpAddr);

/// Each segment's routers and their addresses on it, in the order of the file.
type Routers = Vec<Vec<(usize, IpAddr)>>;

/// Fills in all routes and the sysctls that routing needs.
pub(super) fn install(lab: &LabFile, plan: &mut Plan, out: &mut Diagnostics) {
    let routers = [routers_of(plan, false), routers_of(plan, true)];
    for (number, node) in lab.nodes.iter().enumerate().filter(|(_, n)| !n.kind.is_switch()) {
        explicit(node, number, plan, out);
        for v4 in [true, false] {
            if v4 || node.v6 == V6Mode::Static {
                planned(node, number, v4, &routers[usize::from(v4)], plan);
            }
        }
        sysctls(node, number, plan);
    }
}

fn sysctls(node: &Node, number: usize, plan: &mut Plan) {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut first = Vec::new();
    if node.kind == NodeKind::Router {
        first.push(set("ipv4.ip_forward", "1"));
        if node.v6 != V6Mode::Off {
            first.push(set("ipv6.conf.all.forwarding", "1"));
        }
    }
    if node.v6 == V6Mode::Off {
        first.push(set("ipv6.conf.all.disable_ipv6", "1"));
        first.push(set("ipv6.conf.default.disable_ipv6", "1"));
    }
    // What the file writes comes last and wins.
    first.append(&mut plan.nodes[number].sysctls);
    plan.nodes[number].sysctls = first;
}

// ---- Routes of the file ------------------------------------------------------------------------------------------

fn explicit(node: &Node, number: usize, plan: &mut Plan, out: &mut Diagnostics) {
    for (gateway, span) in &node.gateways {
        let to = default_route(gateway.is_ipv4());
        match interface_towards(plan, number, *gateway) {
            Some(interface) => push(plan, number, to, Some(*gateway), interface, 0, true),
            None => out.push(not_on_link(plan, number, &gateway.to_string(), span)),
        }
    }
    for entry in &node.routes {
        explicit_route(number, entry, plan, out);
    }
}

fn explicit_route(number: usize, entry: &RouteEntry, plan: &mut Plan, out: &mut Diagnostics) {
    let v4 = entry.to.addr().is_ipv4();
    let dev = match &entry.dev {
        None => None,
        Some((name, span)) => {
            let Some(i) = plan.nodes[number].interfaces.iter().position(|i| i.name == *name) else {
                let names = plan.nodes[number].interfaces.iter().map(|i| i.name.as_str());
                let help = suggest::did_you_mean(name, names);
                let message = format!("`{}` has no interface `{name}`", plan.nodes[number].name);
                out.push(Diagnostic::error(span, message).maybe_help(help));
                return;
            };
            Some(i)
        }
    };
    let via = match &entry.via {
        None => None,
        Some((text, span)) => match next_hop(number, text, v4, plan) {
            Ok(hop) => Some(hop),
            Err(mut d) => {
                d.span = span.clone();
                out.push(d);
                return;
            }
        },
    };
    let Some(interface) = dev.or(via.map(|(interface, _)| interface)) else { return };
    push(plan, number, entry.to, via.map(|(_, addr)| addr), interface, entry.metric, true);
}

/// The next hop that `text` names: an address on the link, or a node on a common segment.
fn next_hop(number: usize, text: &str, v4: bool, plan: &Plan) -> Result<FirstHop, Diagnostic> {
    let none: Span = 0..0;
    if let Ok(addr) = text.parse::<IpAddr>() {
        if addr.is_ipv4() != v4 {
            return Err(Diagnostic::error(
                &none,
                format!("the next hop {addr} is not of the destination's family"),
            ));
        }
        let interface = interface_towards(plan, number, addr);
        return interface.map(|i| (i, addr)).ok_or_else(|| not_on_link(plan, number, text, &none));
    }
    let Some(other) = plan.node(text) else {
        let help = suggest::nearest(text, plan.nodes.iter().map(|n| n.name.as_str()));
        let d = Diagnostic::error(&none, format!("there is no node `{text}` to route by"));
        return Err(d.maybe_help(help.map(|h| format!("did you mean `{h}`?"))));
    };
    let own = plan.nodes[number].interfaces.iter().enumerate();
    let hops = own.filter_map(|(i, own)| address_on(plan, other, own.segment, v4).map(|addr| (i, addr)));
    hops.into_iter().next().ok_or_else(|| not_on_link(plan, number, text, &none))
}

fn not_on_link(plan: &Plan, number: usize, hop: &str, span: &Span) -> Diagnostic {
    let name = &plan.nodes[number].name;
    let nets: Vec<String> = plan.nodes[number]
        .interfaces
        .iter()
        .flat_map(|i| i.addresses.iter().map(move |a| format!("{} ({})", a.trunc(), i.name)))
        .collect();
    let d = Diagnostic::error(span, format!("`{name}` cannot reach the next hop {hop} directly"));
    d.help(format!("its subnets are {}", if nets.is_empty() { "none".into() } else { nets.join(", ") }))
}

fn interface_towards(plan: &Plan, number: usize, addr: IpAddr) -> Option<usize> {
    plan.nodes[number]
        .interfaces
        .iter()
        .position(|i| i.all_addresses().any(|net| net.contains(&addr) && net.addr() != addr))
}

fn default_route(v4: bool) -> IpNet {
    let any: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    IpNet::new_assert(any, 0)
}

fn push(
    plan: &mut Plan,
    n: usize,
    to: IpNet,
    via: Option<IpAddr>,
    interface: usize,
    metric: u32,
    explicit: bool,
) {
    let dev = plan.nodes[n].interfaces[interface].name.clone();
    plan.nodes[n].routes.push(PlanRoute { to, via, dev, metric, explicit });
}

// ---- Planned routes ----------------------------------------------------------------------------------------------

fn planned(node: &Node, number: usize, v4: bool, routers: &Routers, plan: &mut Plan) {
    let written: Vec<IpNet> = plan.nodes[number].routes.iter().filter(|r| r.explicit).map(|r| r.to).collect();
    let router = node.kind == NodeKind::Router;
    let default = default_route(v4);
    let mut fallback = None;
    if !router {
        fallback = first_router(plan, number, routers);
        if let Some((interface, via)) = fallback.filter(|_| !written.contains(&default)) {
            push(plan, number, default, Some(via), interface, 0, false);
        }
        // One way out: the default route says it all.
        if plan.nodes[number].interfaces.len() < 2 {
            return;
        }
    }
    for (segment, hop) in shortest_paths(plan, number, routers) {
        let net = if v4 {
            plan.segments[segment].v4.map(IpNet::V4)
        } else {
            plan.segments[segment].v6.map(IpNet::V6)
        };
        if let Some(to) = net.filter(|to| !written.contains(to) && fallback != Some(hop)) {
            push(plan, number, to, Some(hop.1), hop.0, 0, false);
        }
    }
}

/// The first router (in the order of the file) on the first interface that has one.
fn first_router(plan: &Plan, number: usize, routers: &Routers) -> Option<FirstHop> {
    let interfaces = plan.nodes[number].interfaces.iter().enumerate();
    let mut up = interfaces.filter(|(_, i)| plan.links[i.link].up);
    up.find_map(|(i, own)| routers[own.segment].first().map(|&(_, addr)| (i, addr)))
}

fn routers_of(plan: &Plan, v4: bool) -> Routers {
    let of_segment = |segment: usize| {
        let members = plan.segments[segment].members.iter();
        let up = |&(node, i): &(usize, usize)| plan.links[plan.nodes[node].interfaces[i].link].up;
        let mut nodes: Vec<usize> = members
            .filter(|&&(n, i)| plan.nodes[n].kind == NodeKind::Router && up(&(n, i)))
            .map(|&(n, _)| n)
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.into_iter().filter_map(|n| address_on(plan, n, segment, v4).map(|addr| (n, addr))).collect()
    };
    (0..plan.segments.len()).map(of_segment).collect()
}

/// A node's first address of a family on a segment.
fn address_on(plan: &Plan, node: usize, segment: usize, v4: bool) -> Option<IpAddr> {
    let interfaces = plan.nodes[node].interfaces.iter().filter(|i| i.segment == segment);
    let mut addresses = interfaces.flat_map(|i| &i.addresses).map(IpNet::addr);
    addresses.find(|a| a.is_ipv4() == v4)
}

/// The first hop of the shortest path from a node to each segment that it is not on.
fn shortest_paths(plan: &Plan, source: usize, routers: &Routers) -> BTreeMap<usize, FirstHop> {
    let mut found: BTreeMap<usize, FirstHop> = BTreeMap::new();
    let mut done: BTreeMap<usize, ()> = BTreeMap::from([(source, ())]);
    // Cost, then the order of the file: equal costs give the same path every time.
    let mut heap = BinaryHeap::new();
    let own: Vec<usize> = plan.nodes[source].interfaces.iter().map(|i| i.segment).collect();
    for (i, interface) in plan.nodes[source].interfaces.iter().enumerate() {
        let link = &plan.links[interface.link];
        if link.up {
            for &(router, addr) in &routers[interface.segment] {
                heap.push(Reverse((u64::from(link.cost), router, i, addr)));
            }
        }
    }
    while let Some(Reverse((cost, router, first, via))) = heap.pop() {
        if done.insert(router, ()).is_some() {
            continue;
        }
        for interface in &plan.nodes[router].interfaces {
            let link = &plan.links[interface.link];
            if !link.up || own.contains(&interface.segment) {
                continue;
            }
            found.entry(interface.segment).or_insert((first, via));
            for &(next, _) in &routers[interface.segment] {
                if !done.contains_key(&next) {
                    heap.push(Reverse((cost + u64::from(link.cost), next, first, via)));
                }
            }
        }
    }
    found
}
