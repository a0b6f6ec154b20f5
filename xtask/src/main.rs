//! Project tasks: `cargo xtask test | tidy | packetdrill | soak | differential | fuzz | bench`.

mod bench;
mod circles;
mod debian;
mod fuzz;
mod mutate;
mod packetdrill;
mod rfc;
mod run;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask TASK

Tasks:
  test            install missing Debian packages (as root; else name them), then format, lints, docs, every test
  tidy            the project's own rules: direction and circles of imports, size of stages, words that do not belong
  packetdrill PATH...
                  packetdrill scripts against the stack, in virtual time (tests/packetdrill/README.md; --help)
  soak            the long tests, in release: 10 GB over a bad link in virtual time
  differential    as root: what programs see here and on the kernel, and CUBIC's goodput beside the kernel's (minutes)
  fuzz [SECONDS]  each fuzz target for SECONDS (default 10)
  rfc             each demand of RFC 9293 with the tests that show it
  mutate CRATE [OPTIONS]  change CRATE in small ways and see whether its tests notice (cargo-mutants; hours)
  bench [NAME]    measure beside the peers, print the table of BENCHMARKS.md
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["packetdrill", rest @ ..] = words.as_slice() {
        return packetdrill::run(&root(), rest);
    }
    match task(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task(words: &[&str]) -> Result<()> {
    match words {
        ["test"] => test(),
        ["soak"] => soak(),
        ["differential"] => differential(),
        ["tidy"] => tidy::check(&root()),
        ["fuzz"] => fuzz::all(&root(), 10),
        ["fuzz", seconds] => fuzz::all(&root(), seconds.parse()?),
        ["bench", rest @ ..] => bench::run(&root(), rest.first().copied()),
        ["rfc"] => rfc::report(&root()),
        ["mutate", package, rest @ ..] => mutate::run(&root(), package, rest),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such task\n\n{USAGE}"),
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

fn soak() -> Result<()> {
    run::cargo("soak", &["test", "--release", "-p", "netspace-lab", "--test", "nets"])
}

fn differential() -> Result<()> {
    let words =
        ["test", "-p", "netspace-cli", "--test", "differential", "--", "--include-ignored", "--nocapture"];
    run::cargo("differential", &words)
}

fn test() -> Result<()> {
    debian::ensure_packages()?;
    run::cargo("formatting", &["fmt", "--all", "--check"])?;
    tidy::check(&root())?;
    run::cargo("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    run::cargo_with(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--document-private-items"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    run::cargo("tests", &["test", "--workspace", "--no-fail-fast"])
}
