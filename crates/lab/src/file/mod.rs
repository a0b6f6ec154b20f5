//! The lab file: a small YAML file that describes a network and what runs on it.
//!
//! ```text
//! text ── node (values with places) ── read (typed, collecting errors) ── check (names, ends, sizes) ──► LabFile
//! ```
//! Every error has its line and column, a reason, and where possible what was probably meant; as many as possible are
//! told at once. Nothing here touches a network: the [`crate::plan`] makes addresses and routes of it.

mod check;
mod command;
mod diagnostic;
mod link;
mod node;
pub mod quantity;
mod read;
mod reader;
mod schema;
pub mod suggest;
mod types;
mod values;

pub use diagnostic::{Diagnostic, Diagnostics, Located, Severity};
pub use schema::schema;
pub use types::{
    Check, ClockKind, Command, End, ExpectedExit, LabFile, Link, LinkSettings, Node, NodeKind, Program,
    Ready, RouteEntry, Span, V6Mode,
};

/// Reads a lab file. `name` is what messages call it (its path).
///
/// Gives the lab and warnings, or all that is wrong with it.
pub fn load(text: &str, name: &str) -> Result<(LabFile, Diagnostics), Diagnostics> {
    let mut diagnostics = Diagnostics::new(name, text);
    let lab = match node::parse(text) {
        Ok(tree) => read::lab(&tree, text, name, &mut diagnostics),
        Err(syntax) => {
            diagnostics.push(syntax);
            return Err(diagnostics);
        }
    };
    check::lab(&lab, &mut diagnostics);
    diagnostics.sort();
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok((lab, diagnostics)) }
}

/// Checks a lab that was not read from a file, as [`load`] checks one that was.
pub fn check(lab: &LabFile, diagnostics: &mut Diagnostics) {
    check::lab(lab, diagnostics);
    diagnostics.sort();
}
