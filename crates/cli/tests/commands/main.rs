//! The `netspace` command, driven as a user would: what it prints, where, and what it exits with.

mod demo;
mod help;
mod input;
mod pages;
mod running;
mod runs;
mod terminal;
mod tool;
mod trace;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use netspace_testkit::{Lab, Ran, finish};

const BINARY: &str = env!("CARGO_BIN_EXE_netspace");

/// How long a command may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

/// Two hosts, a switch and a router between them; nothing runs.
const SMALL: &str = "\
hosts: {client: {}, server: {}}
routers: {gw: {}}
switches: {lan: {}}
links:
  - client -- lan
  - lan -- gw
  - gw -- server
";

/// Runs the binary as it is, without a lab.
#[track_caller]
fn netspace(args: &[&str]) -> Ran {
    let mut command = Command::new(BINARY);
    command.args(args).env_remove("NO_COLOR").stdin(Stdio::null());
    finish(&mut command, LIMIT)
}

/// A lab file in a folder of its own, and where its labs keep their state.
struct Home {
    lab: Lab,
    runtime: PathBuf,
}

impl Home {
    fn new(yaml: &str) -> Self {
        let lab = Lab::new(BINARY, yaml);
        let runtime = lab.dir().join("runtime");
        Self { lab, runtime }
    }

    /// The binary with `args`, as a plain user.
    fn command(&self, args: &[&str]) -> Command {
        self.lab.netspace(args)
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Ran {
        finish(&mut self.command(args), LIMIT)
    }

    /// Names of running labs' directories, dead ones' included.
    fn left_behind(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.runtime.join("netspace")) else { return Vec::new() };
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A test that fails must not leave its lab running.
        let _ = self.command(&["down", "--all"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
