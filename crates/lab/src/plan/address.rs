//! A subnet for each segment and an address for each interface: what is written first, the rest by number.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::file::{Diagnostic, Diagnostics, LabFile, NodeKind, Span, V6Mode};

use super::number::{Subnets, overlap4, overlap6, slaac, station4, station6};
use super::types::Plan;

/// The number of the first host on a segment; those below are kept for routers.
const FIRST_HOST: u32 = 10;

/// An explicit address: which interface, and where it stands in the file.
struct Explicit {
    node: usize,
    interface: usize,
    net: IpNet,
    has_length: bool,
    span: Span,
}

/// Gives every interface its addresses.
pub(super) fn assign(lab: &LabFile, plan: &mut Plan, out: &mut Diagnostics) {
    let mut explicit = explicit_addresses(lab, plan);
    subnets_of_explicit(plan, &mut explicit, out);
    subnets_of_rest(lab, plan, out);
    for e in &explicit {
        plan.nodes[e.node].interfaces[e.interface].addresses.push(e.net);
    }
    let taken: BTreeSet<IpAddr> = explicit.iter().map(|e| e.net.addr()).collect();
    for segment in 0..plan.segments.len() {
        number_stations(lab, plan, segment, &taken, out);
    }
}

fn explicit_addresses(lab: &LabFile, plan: &Plan) -> Vec<Explicit> {
    let mut list = Vec::new();
    for (node, planned) in plan.nodes.iter().enumerate() {
        for (interface, planned) in planned.interfaces.iter().enumerate() {
            let link = &lab.links[planned.link];
            let end = usize::from(plan.links[planned.link].ends[1] == (node, interface));
            let of_node = lab.nodes[node].addresses.iter().filter(|_| interface == 0);
            for (text, span) in link.ends[end].addresses.iter().chain(of_node) {
                let len = text.prefix_len.unwrap_or(if text.addr.is_ipv4() { 24 } else { 64 });
                let net = IpNet::new_assert(text.addr, len);
                let has_length = text.prefix_len.is_some();
                list.push(Explicit { node, interface, net, has_length, span: span.clone() });
            }
        }
    }
    list
}

/// Explicit addresses make their segment's subnet. Subnets of different segments must not overlap: a packet could not
/// tell where to go.
fn subnets_of_explicit(plan: &mut Plan, explicit: &mut [Explicit], out: &mut Diagnostics) {
    let mut known: Vec<(usize, IpNet, Span)> = Vec::new();
    // Those with a prefix length first: the others take theirs from them.
    for with_length in [true, false] {
        for e in explicit.iter_mut().filter(|e| e.has_length == with_length) {
            let segment = plan.nodes[e.node].interfaces[e.interface].segment;
            let around = known.iter().find(|(s, net, _)| *s == segment && net.contains(&e.net.addr()));
            if let Some((_, net, _)) = around.filter(|_| !e.has_length) {
                e.net = IpNet::new_assert(e.net.addr(), net.prefix_len());
                continue;
            }
            let net = e.net.trunc();
            if known.iter().any(|(s, n, _)| *s == segment && *n == net) {
                continue;
            }
            if let Some((other, n, span)) = known.iter().find(|(_, n, _)| overlap(n, &net)) {
                let words = if *other == segment {
                    "a different length on the same segment"
                } else {
                    "on another segment"
                };
                let d = Diagnostic::error(&e.span, format!("the subnet {net} overlaps {n} {words}"));
                out.push(
                    d.other(span, "first used here")
                        .help("give each segment a subnet of its own, all ends alike"),
                );
            }
            known.push((segment, net, e.span.clone()));
            match net {
                IpNet::V4(net) => plan.segments[segment].v4 = plan.segments[segment].v4.or(Some(net)),
                IpNet::V6(net) => plan.segments[segment].v6 = plan.segments[segment].v6.or(Some(net)),
            }
        }
    }
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    match (a, b) {
        (IpNet::V4(a), IpNet::V4(b)) => overlap4(a, b),
        (IpNet::V6(a), IpNet::V6(b)) => overlap6(a, b),
        _ => false,
    }
}

fn subnets_of_rest(lab: &LabFile, plan: &mut Plan, out: &mut Diagnostics) {
    let taken4: Vec<Ipv4Net> = plan.segments.iter().filter_map(|s| s.v4).collect();
    let taken6: Vec<Ipv6Net> = plan.segments.iter().filter_map(|s| s.v6).collect();
    let mut subnets = Subnets::new(taken4, taken6);
    for segment in &mut plan.segments {
        if segment.members.is_empty() || (segment.v4.is_some() && segment.v6.is_some()) {
            continue;
        }
        let Some((v4, v6)) = subnets.next(segment.members.len()) else {
            out.push(Diagnostic::error(&(0..0), "10.0.0.0/8 has no subnet left for all segments"));
            return;
        };
        segment.v4 = segment.v4.or(Some(v4));
        let wants_v6 = segment.members.iter().any(|&(node, _)| lab.nodes[node].v6 != V6Mode::Off);
        segment.v6 = segment.v6.or(wants_v6.then_some(v6));
    }
}

/// Numbers the stations of one segment: routers from 1, hosts from 10, in the order of the file.
fn number_stations(
    lab: &LabFile,
    plan: &mut Plan,
    segment: usize,
    taken: &BTreeSet<IpAddr>,
    out: &mut Diagnostics,
) {
    let (v4, v6) = (plan.segments[segment].v4, plan.segments[segment].v6);
    let mut members = plan.segments[segment].members.clone();
    members.sort_unstable();
    let is_router = |&(node, _): &(usize, usize)| plan.nodes[node].kind == NodeKind::Router;
    let (routers, hosts): (Vec<_>, Vec<_>) = members.iter().partition(|m| is_router(m));
    let first_host = v4.map_or(FIRST_HOST, |net| if net.prefix_len() > 27 { 1 } else { FIRST_HOST });
    let has_router = !routers.is_empty();
    let advertise = wants_advertisements(lab, &members);
    let mut next = 1;
    for (node, interface) in routers.into_iter().chain(hosts) {
        let router = lab.nodes[node].kind == NodeKind::Router;
        if !router {
            next = next.max(first_host);
        }
        next = number_one(lab, plan, (node, interface), next, taken, out);
        let planned = &mut plan.nodes[node].interfaces[interface];
        planned.advertises = router && advertise && v6.is_some() && lab.nodes[node].v6 != V6Mode::Off;
        if lab.nodes[node].v6 == V6Mode::Auto {
            planned.slaac = v6.filter(|_| has_router).map(|net| slaac(&net, planned.mac.0));
            if !has_router || router {
                let d = Diagnostic::error(
                    &lab.nodes[node].span,
                    format!("`{}` cannot get its IPv6 address by itself", lab.nodes[node].name),
                );
                out.push(
                    d.help("`ipv6: auto` is for hosts with a router on their segment: leave it out here"),
                );
            }
        }
    }
}

fn wants_advertisements(lab: &LabFile, members: &[(usize, usize)]) -> bool {
    members.iter().any(|&(node, _)| lab.nodes[node].v6 == V6Mode::Auto || lab.nodes[node].advertise)
}

/// Gives one interface what it lacks; the number after the one used.
fn number_one(
    lab: &LabFile,
    plan: &mut Plan,
    (node, interface): (usize, usize),
    mut next: u32,
    taken: &BTreeSet<IpAddr>,
    out: &mut Diagnostics,
) -> u32 {
    let planned = &plan.nodes[node].interfaces[interface];
    let segment = &plan.segments[planned.segment];
    let has = |v4: bool| planned.addresses.iter().any(|a| a.addr().is_ipv4() == v4);
    let wants4 = segment.v4.filter(|_| !has(true));
    let wants6 = segment.v6.filter(|_| !has(false) && lab.nodes[node].v6 == V6Mode::Static);
    if wants4.is_none() && wants6.is_none() {
        return next;
    }
    loop {
        let v4 = wants4.map(|net| (net, station4(&net, next)));
        let v6 = wants6.map(|net| (net, station6(&net, next)));
        next += 1;
        if let Some((net, None)) = v4 {
            let d = Diagnostic::error(
                &lab.nodes[node].span,
                format!("the subnet {net} has no address left for `{}`", lab.nodes[node].name),
            );
            out.push(d.help("write a shorter prefix length on the segment's explicit addresses"));
            return next;
        }
        let nets = [
            v4.and_then(|(net, a)| a.map(|a| IpNet::new_assert(a.into(), net.prefix_len()))),
            v6.and_then(|(net, a)| a.map(|a| IpNet::new_assert(a.into(), net.prefix_len()))),
        ];
        if nets.iter().flatten().any(|net| taken.contains(&net.addr())) {
            continue;
        }
        plan.nodes[node].interfaces[interface].addresses.extend(nets.into_iter().flatten());
        plan.nodes[node].interfaces[interface].addresses.sort_by_key(|net| net.addr().is_ipv6());
        return next;
    }
}
