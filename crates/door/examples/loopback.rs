//! Runs a command on a host that has nothing but its loopback device: `loopback -- sh -c '…'`.
//!
//! Useful to try how a program gets on with the door, without a lab. Refused calls are listed at the end.

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::ExitCode;

use common::Lab;

fn main() -> ExitCode {
    let argv: Vec<String> = std::env::args().skip(1).collect();
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let mut lab = Lab::new();
    let status = lab.run_here(&argv);
    for (refused, count) in lab.door.report().iter() {
        eprintln!("refused: {} {} {} ({count})", refused.program, refused.call, refused.detail);
    }
    ExitCode::from(status.code().unwrap_or(255) as u8)
}
