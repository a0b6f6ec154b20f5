//! Benchmarks beside the peers, in one run: the table of BENCHMARKS.md.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `benches/run.sh` (all, or one by name) with the release binary built first.
pub(crate) fn run(root: &Path, name: Option<&str>) -> Result<()> {
    crate::run::cargo("release build", &["build", "--release", "--workspace"])?;
    let script = root.join("benches/run.sh");
    let status =
        Command::new("bash").arg(&script).args(name).current_dir(root).status().context("start bash")?;
    if !status.success() {
        bail!("{} failed", script.display());
    }
    Ok(())
}
