//! Each fuzz target for a while, without a nightly compiler: `cargo fuzz run --sanitizer none`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs every target of `fuzz/fuzz_targets` for `seconds`.
pub(crate) fn all(root: &Path, seconds: u32) -> Result<()> {
    let folder = root.join("fuzz/fuzz_targets");
    let mut targets: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| format!("read {}", folder.display()))?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    targets.sort();
    for target in &targets {
        eprintln!("== fuzz {target} for {seconds} s");
        let status = Command::new("cargo")
            .current_dir(root)
            .args([
                "fuzz",
                "run",
                "--sanitizer",
                "none",
                target,
                "--",
                &format!("-max_total_time={seconds}"),
                "-verbosity=0",
            ])
            .status()
            .context("start cargo fuzz (cargo install cargo-fuzz)")?;
        if !status.success() {
            bail!("fuzz target {target} failed: the input is under fuzz/artifacts/{target}");
        }
    }
    println!("{} targets, {seconds} s each, no failure", targets.len());
    Ok(())
}
