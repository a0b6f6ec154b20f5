//! Mutation: small changes to a crate's source (a comparison turned, a value returned, an operator swapped), one at a time,
//! each with a run of the tests: those that no test notices are printed. cargo-mutants does it; `.cargo/mutants.toml` says
//! where, and with which tests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What cargo-mutants exits with when mutants survived, or tests hung on them: a finding, not a failure.
const SURVIVORS: [i32; 2] = [2, 3];

/// Runs cargo-mutants on `netspace-PACKAGE`; `options` go to it (`--shard 1/20`, `--file '*rtt*'`).
pub(crate) fn run(root: &Path, package: &str, options: &[&str]) -> Result<()> {
    let there = Command::new("cargo").args(["mutants", "--version"]).output().context("start cargo")?;
    if !there.status.success() {
        bail!("cargo-mutants is not installed: cargo install --locked cargo-mutants");
    }
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["mutants", "--package", &format!("netspace-{package}"), "--output", "target"])
        .args(options)
        .status()
        .context("start cargo mutants")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if SURVIVORS.contains(&code) => {
            println!("The list is in target/mutants.out/missed.txt; the goal is that 90 % are caught.");
            Ok(())
        }
        _ => bail!("cargo mutants failed"),
    }
}
