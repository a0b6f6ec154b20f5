//! Debian's libpython3.11-testsuite.

use std::process::Stdio;
use std::time::Duration;

use netspace_testkit::{Lab, finish};

use crate::{Outcomes, compare};

const RUNNER: &str = include_str!("run_tests.py");
const EXCEPTIONS: &str = include_str!("exceptions/cpython.txt");
/// Seconds after which a test is taken to hang. Some (`test_future_del_collect`) want 20 s of a busy processor.
const TEST_LIMIT: &str = "120";
/// How often the runner is called again behind a test that took too long.
const RESTARTS_MAX: usize = 25;

fn outcomes(text: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for line in text.lines() {
        let Some((outcome, name)) = line.split_once('\t') else { continue };
        // A subtest's failure comes before the test's own line; the worst is kept.
        let worst = outcomes.get(name).is_some_and(|o| o == "fail" || o == "error");
        if name != "end" && !worst {
            outcomes.insert(name.to_owned(), outcome.to_owned());
        }
    }
    outcomes
}

fn run(lab: &Lab, module: &str, native: bool) -> (Outcomes, String) {
    let file = format!("{module}.{}", if native { "native" } else { "ours" });
    let path = lab.dir().join(&file);
    let mut errors = String::new();
    for _ in 0..RESTARTS_MAX {
        let python = ["python3", "run_tests.py", module, &file, TEST_LIMIT];
        let mut command = if native {
            let mut command = std::process::Command::new("/usr/bin/python3");
            command.args(&python[1..]).current_dir(lab.dir()).env("HOME", lab.dir()).stdin(Stdio::null());
            netspace_testkit::confine(&mut command);
            command
        } else {
            lab.netspace(&[["run", "lab.yaml", "--on", "host", "--"].as_slice(), &python].concat())
        };
        let ran = finish(&mut command, Duration::from_secs(900));
        errors.push_str(&ran.stderr);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.ends_with("end\tend\n") {
            break;
        }
    }
    (outcomes(&std::fs::read_to_string(&path).unwrap_or_default()), errors)
}

fn module(name: &str) {
    let lab = Lab::new(env!("CARGO_BIN_EXE_netspace"), "hosts:\n  host: {}\n");
    lab.file("run_tests.py", RUNNER);
    let (native, _) = run(&lab, name, true);
    let (ours, errors) = run(&lab, name, false);
    compare(name, &native, &ours, EXCEPTIONS, &errors);
}

#[test]
fn test_socket() {
    module("test.test_socket");
}

#[test]
fn test_select() {
    module("test.test_select");
}

#[test]
fn test_selectors() {
    module("test.test_selectors");
}

#[test]
fn test_asyncio() {
    module("test.test_asyncio");
}

#[test]
fn test_ssl() {
    module("test.test_ssl");
}

#[test]
fn test_httplib() {
    module("test.test_httplib");
}
