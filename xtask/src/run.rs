//! Running cargo, saying what and how long.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs cargo with `args`; `what` names the step to a person.
pub(crate) fn cargo(what: &str, args: &[&str]) -> Result<()> {
    cargo_with(what, args, &[])
}

/// The same with environment variables.
pub(crate) fn cargo_with(what: &str, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    eprintln!("== {what}: cargo {}", args.join(" "));
    let started = Instant::now();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(args).envs(env.iter().copied()).status().context("start cargo")?;
    eprintln!("== {what}: {:.0} s", started.elapsed().as_secs_f64());
    if !status.success() {
        bail!("{what} failed (cargo {})", args.join(" "));
    }
    Ok(())
}
