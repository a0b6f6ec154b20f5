//! The tests of Go's `net` package (Debian's golang-src).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use netspace_testkit::{Lab, Ran, finish};

use crate::{Outcomes, compare};

const EXCEPTIONS: &str = include_str!("exceptions/go-net.txt");

fn outcomes(ran: &Ran) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for line in ran.stdout.lines().map(str::trim_start) {
        for (mark, outcome) in [("--- PASS: ", "ok"), ("--- FAIL: ", "fail"), ("--- SKIP: ", "skip")] {
            if let Some(name) = line.strip_prefix(mark).and_then(|rest| rest.split(' ').next()) {
                outcomes.insert(name.to_owned(), outcome.to_owned());
            }
        }
    }
    outcomes
}

fn go_root() -> PathBuf {
    let output =
        Command::new("/usr/bin/go").args(["env", "GOROOT"]).output().expect("go runs (install golang-go)");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn build(lab: &Lab, source: &Path) {
    let output = Command::new("/usr/bin/go")
        .args(["test", "-c", "-o"])
        .arg(lab.dir().join("net.test"))
        .arg("net")
        .current_dir(source)
        .env("GOCACHE", lab.dir().join("gocache"))
        .env("HOME", lab.dir())
        .env("CGO_ENABLED", "0")
        .output()
        .expect("go runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn go_net() {
    let lab = Lab::new(env!("CARGO_BIN_EXE_netspace"), "hosts:\n  host: {}\n");
    let source = go_root().join("src/net").canonicalize().expect("Go's own sources (install golang-go)");
    build(&lab, &source);
    let binary = lab.dir().join("net.test").display().to_string();
    let words = [binary.as_str(), "-test.v", "-test.short", "-test.timeout", "240s"];
    let mut native = Command::new(words[0]);
    native.args(&words[1..]).current_dir(&source).env("HOME", lab.dir()).stdin(Stdio::null());
    netspace_testkit::confine(&mut native);
    let native = finish(&mut native, Duration::from_secs(300));
    let file = lab.dir().join("lab.yaml").display().to_string();
    let mut ours = lab.netspace(&[["run", &file, "--on", "host", "--"].as_slice(), &words].concat());
    ours.current_dir(&source);
    let ours = finish(&mut ours, Duration::from_secs(300));
    let detail = format!("{}\n{}", ours.stdout, ours.stderr);
    compare("go net", &outcomes(&native), &outcomes(&ours), EXCEPTIONS, &detail);
}
