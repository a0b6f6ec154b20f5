//! `cargo xtask packetdrill PATH…`: packetdrill scripts against the stack. The runner is the test kit's.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Builds the runner and passes `args` on; its exit code is ours.
pub(crate) fn run(root: &Path, args: &[&str]) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--package", "netspace-testkit", "--bin", "packetdrill", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .arg("--")
        .args(args)
        .status();
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: start cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
