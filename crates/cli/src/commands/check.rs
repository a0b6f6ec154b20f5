//! `netspace check` and `netspace graph`: what a lab will be. Nothing is started.

use std::io::Write;

use netspace_lab::plan;

use crate::args::{CheckArgs, GraphArgs};
use crate::labfile;
use crate::output::Out;

/// Prints hosts, links and addresses as they will be.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    let loaded = labfile::load(&args.lab)?;
    let mut out = Out::new();
    if args.json {
        out.json(&plan::json(&loaded.plan))?;
    } else {
        write!(out, "{}", plan::table(&loaded.plan))?;
    }
    out.flush()?;
    Ok(0)
}

/// Draws the network.
pub(crate) fn graph(args: &GraphArgs) -> anyhow::Result<u8> {
    let loaded = labfile::load(&args.lab)?;
    let mut out = Out::new();
    let text = if args.dot { plan::dot(&loaded.plan) } else { plan::graph_text(&loaded.plan) };
    write!(out, "{text}")?;
    out.flush()?;
    Ok(0)
}
