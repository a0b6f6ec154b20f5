//! `cargo xtask packetdrill PATH…`: see `tests/packetdrill/README.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    netspace_testkit::packetdrill::main(&args)
}
