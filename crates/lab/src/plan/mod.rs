//! The plan: a lab file with everything that it leaves open filled in. Addresses, MACs, interface names, routes, names.
//!
//! ```text
//! LabFile ── segments (what switches join) ── address (a subnet each, a number each) ── route (shortest paths) ──► Plan
//! ```
//! The same file gives the same plan, on every machine. What the file says explicitly is kept and checked.

mod address;
mod graph;
mod number;
mod route;
mod segment;
mod show;
mod types;

pub use graph::{dot, text as graph_text};
pub use show::{json, table};
pub use types::{Interface, MacText, Plan, PlanLink, PlanNode, PlanRoute, Segment, bridge_mac};

use crate::file::{Diagnostics, LabFile};

/// Makes the plan of a lab. What cannot be (overlapping subnets, a full subnet, a loop of switches) is told.
pub fn plan(lab: &LabFile, diagnostics: &mut Diagnostics) -> Option<Plan> {
    let mut plan = types::skeleton(lab);
    segment::find(lab, &mut plan, diagnostics);
    address::assign(lab, &mut plan, diagnostics);
    route::install(lab, &mut plan, diagnostics);
    diagnostics.sort();
    (!diagnostics.has_errors()).then_some(plan)
}
