//! Drawings of a lab: DOT for Graphviz, and plain text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::file::NodeKind;

use super::types::{Interface, Plan, PlanLink};

/// The lab in Graphviz's language.
pub fn dot(plan: &Plan) -> String {
    let mut out = format!(
        "graph \"{}\" {{\n  layout=neato; overlap=false; splines=true;\n  node [fontname=sans];\n",
        plan.name
    );
    for (n, node) in plan.nodes.iter().enumerate() {
        let shape = match node.kind {
            NodeKind::Host => "box",
            NodeKind::Router => "ellipse",
            NodeKind::Switch { .. } => "diamond",
        };
        let (v4, v6) = plan.first_addresses(n);
        let mut label = node.name.clone();
        for address in [v4.map(|a| a.to_string()), v6.map(|a| a.to_string())].into_iter().flatten() {
            let _ = write!(label, "\\n{address}");
        }
        let _ = writeln!(out, "  \"{}\" [shape={shape}, label=\"{label}\"];", node.name);
    }
    for link in &plan.links {
        let [a, b] = link.ends.map(|(n, i)| (&plan.nodes[n].name, &plan.nodes[n].interfaces[i].name));
        let style = if link.up { "" } else { ", style=dashed" };
        let _ = writeln!(
            out,
            "  \"{}\" -- \"{}\" [label=\"{}\", taillabel=\"{}\", headlabel=\"{}\", fontsize=9{style}];",
            a.0,
            b.0,
            settings(link),
            a.1,
            b.1
        );
    }
    out.push_str("}\n");
    out
}

fn settings(link: &PlanLink) -> String {
    if link.towards[0] == link.towards[1] {
        link.towards[0].to_string()
    } else {
        format!("→ {}; ← {}", link.towards[1], link.towards[0])
    }
}

/// The lab as a tree of text, from its middle outwards; a link that closes a ring is told at the end of its branch.
pub fn text(plan: &Plan) -> String {
    let mut drawing = Drawing { plan, out: String::new(), seen: BTreeSet::new(), drawn: BTreeSet::new() };
    while let Some(root) = drawing.next_root() {
        drawing.seen.insert(root);
        let title = drawing.title(root);
        drawing.out.push_str(&title);
        drawing.out.push('\n');
        drawing.children(root, "");
    }
    drawing.out
}

struct Drawing<'p> {
    plan: &'p Plan,
    out: String,
    seen: BTreeSet<usize>,
    drawn: BTreeSet<usize>,
}

impl Drawing<'_> {
    /// The node with the most links that is not drawn yet; routers before switches before hosts.
    fn next_root(&self) -> Option<usize> {
        let rank = |n: usize| match self.plan.nodes[n].kind {
            NodeKind::Router => 2,
            NodeKind::Switch { .. } => 1,
            NodeKind::Host => 0,
        };
        let left = (0..self.plan.nodes.len()).filter(|n| !self.seen.contains(n));
        left.max_by_key(|&n| (rank(n), self.plan.nodes[n].interfaces.len(), std::cmp::Reverse(n)))
    }

    fn title(&self, node: usize) -> String {
        let planned = &self.plan.nodes[node];
        match planned.kind {
            NodeKind::Switch { .. } => format!("[{}] {}", planned.name, planned.kind.word()),
            kind => {
                let addresses: Vec<String> = planned
                    .interfaces
                    .iter()
                    .flat_map(Interface::all_addresses)
                    .map(|a| a.to_string())
                    .collect();
                let word = if kind == NodeKind::Router { " router" } else { "" };
                format!("{}{word} {}", planned.name, addresses.join(" ")).trim_end().to_owned()
            }
        }
    }

    fn children(&mut self, node: usize, indent: &str) {
        let links: Vec<usize> = self.plan.nodes[node]
            .interfaces
            .iter()
            .map(|i| i.link)
            .filter(|l| !self.drawn.contains(l))
            .collect();
        for (place, &number) in links.iter().enumerate() {
            // A branch drawn meanwhile may have come back by this link.
            if !self.drawn.insert(number) {
                continue;
            }
            let later = links[place + 1..].iter().any(|l| !self.drawn.contains(l));
            let (branch, below) = if later { ("├─", "│  ") } else { ("└─", "   ") };
            let link = &self.plan.links[number];
            let (own, other) = if link.ends[0].0 == node { (0, 1) } else { (1, 0) };
            let name = &self.plan.nodes[node].interfaces[link.ends[own].1].name;
            let to = link.ends[other].0;
            let mut words = settings(link);
            if !link.up {
                words = format!("down {words}").trim_end().to_owned();
            }
            let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
            if self.seen.insert(to) {
                let title = self.title(to);
                let _ = writeln!(self.out, "{indent}{branch} {name}{words} ─ {title}");
                self.children(to, &format!("{indent}{below}"));
            } else {
                let _ = writeln!(
                    self.out,
                    "{indent}{branch} {name}{words} ─ {} (drawn above)",
                    self.plan.nodes[to].name
                );
            }
        }
    }
}
