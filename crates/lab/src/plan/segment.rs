//! Layer-2 segments: links joined by switches. A loop of switches would carry a broadcast round for ever, so it is refused.

use crate::file::{Diagnostic, Diagnostics, LabFile};

use super::types::{Plan, Segment};

/// Finds the segments and tells each interface its own.
pub(super) fn find(lab: &LabFile, plan: &mut Plan, out: &mut Diagnostics) {
    let mut sets = Sets((0..plan.nodes.len()).collect());
    for (number, link) in plan.links.iter().enumerate() {
        let [a, b] = link.ends.map(|(node, _)| node);
        let both_switches = plan.nodes[a].kind.is_switch() && plan.nodes[b].kind.is_switch();
        if both_switches && link.up && !sets.join(a, b) {
            let message = format!(
                "the switches {} and {} are joined already: this link closes a loop",
                plan.nodes[a].name, plan.nodes[b].name
            );
            let d = Diagnostic::error(&lab.links[number].span, message).label("the second way between them");
            out.push(
                d.help("a broadcast would circle for ever: take one link out, or start it with `up: false`"),
            );
        }
    }
    number_segments(plan, &mut sets);
}

fn number_segments(plan: &mut Plan, sets: &mut Sets) {
    let mut of_switches: Vec<Option<usize>> = vec![None; plan.nodes.len()];
    for number in 0..plan.links.len() {
        let ends = plan.links[number].ends;
        let switch = ends.iter().map(|&(node, _)| node).find(|&n| plan.nodes[n].kind.is_switch());
        let root = switch.map(|s| sets.root(s));
        let segment = root.and_then(|r| of_switches[r]).unwrap_or_else(|| {
            plan.segments.push(Segment { v4: None, v6: None, switches: Vec::new(), members: Vec::new() });
            plan.segments.len() - 1
        });
        if let Some(root) = root {
            of_switches[root] = Some(segment);
        }
        for (node, interface) in ends {
            plan.nodes[node].interfaces[interface].segment = segment;
            if plan.nodes[node].kind.is_switch() {
                let name = plan.nodes[node].name.clone();
                if !plan.segments[segment].switches.contains(&name) {
                    plan.segments[segment].switches.push(name);
                }
            } else {
                plan.segments[segment].members.push((node, interface));
            }
        }
    }
}

/// Disjoint sets of nodes.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut node: usize) -> usize {
        while self.0[node] != node {
            self.0[node] = self.0[self.0[node]];
            node = self.0[node];
        }
        node
    }

    /// Joins the sets of two nodes; false if they were one already.
    fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.0[b.max(a)] = a.min(b);
        a != b
    }
}
