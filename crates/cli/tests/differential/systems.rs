//! The two systems: a lab of two hosts, and two namespaces of the kernel.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use netspace_testkit::{Lab, finish, is_root};
use serde::Deserialize;

/// Scenario → its lines.
pub(crate) type Sheets = BTreeMap<String, Vec<String>>;

/// How long a group may take on one system.
const GROUP_MAX: Duration = Duration::from_secs(120);

/// Debian's Python: an interpreter in somebody's home may not be readable for the user that the lab runs as.
const PYTHON: &str = "/usr/bin/python3";

/// Two links: the scenarios' own, and one by which the conductor knows that everything on its way has arrived.
const LAB: &str = "\
hosts:
  a: {}
  b: {run: /usr/bin/python3 agent.py stage.socket b 10.0.2.11}
links:
  - a -- b
  - a -- b
";

#[derive(Deserialize)]
struct Sheet {
    lines: Vec<String>,
}

/// Why the kernel's side cannot run here.
pub(crate) fn not_here() -> Option<String> {
    if !is_root() {
        return Some("namespaces of the kernel need root".to_owned());
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = crate::KERNEL_MIN;
    if version < crate::KERNEL_MIN {
        return Some(format!("its version is {}, older than {major}.{minor}", release.trim()));
    }
    let namespace = Command::new("unshare").args(["-n", "true"]).stderr(Stdio::null()).status();
    (!namespace.is_ok_and(|status| status.success())).then(|| "unshare -n is refused".to_owned())
}

/// Waits until a process that was started by `unshare -n` is in a network namespace of its own.
pub(crate) fn until_unshared(pid: u32) {
    let own = std::fs::read_link("/proc/self/ns/net").expect("this process's namespace");
    netspace_testkit::eventually("a namespace of its own", || {
        std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|theirs| theirs != own)
    });
}

/// Plays a group on both; the kernel's sheets first.
#[track_caller]
pub(crate) fn play(group: &str) -> (Sheets, Sheets) {
    let lab = Lab::new(env!("CARGO_BIN_EXE_netspace"), LAB);
    copy_stage(&lab, "");
    std::thread::scope(|scope| {
        let kernel = scope.spawn(|| on_the_kernel(group));
        let ours = on_ours(&lab, group);
        (kernel.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), ours)
    })
}

fn copy_stage(lab: &Lab, below: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/stage").join(below);
    for entry in std::fs::read_dir(&source).expect("read the stage's folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        if path.extension().is_some_and(|kind| kind == "py") {
            let target = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            lab.file(&target, std::fs::read(&path).expect("read a script"));
        } else if below.is_empty() && name == "scenarios" {
            std::fs::create_dir_all(lab.dir().join(name)).expect("create a folder");
            copy_stage(lab, name);
        }
    }
}

fn settings(command: &mut Command) {
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    // The machine's, which a namespace of its own cannot change: our hosts are told to have the same.
    for limit in ["rmem_max", "wmem_max"] {
        let value = std::fs::read_to_string(format!("/proc/sys/net/core/{limit}")).unwrap_or_default();
        command.env(format!("NETSPACE_{limit}"), value.trim());
    }
    if let Some(only) = std::env::var_os("NETSPACE_SCENARIO") {
        command.env("NETSPACE_SCENARIO", only);
    }
}

fn on_ours(lab: &Lab, group: &str) -> Sheets {
    let words = ["run", "-q", "lab.yaml", "--pcap", "pcap", "--on", "a", "--"];
    let stage = [PYTHON, "stage.py", "lab", group, "sheets.json"];
    let mut command = lab.netspace(&[words.as_slice(), &stage].concat());
    settings(&mut command);
    finish(&mut command, GROUP_MAX).ok();
    read(lab.dir(), "pcap/a-eth0.pcapng")
}

fn on_the_kernel(group: &str) -> Sheets {
    let lab = Lab::new(env!("CARGO_BIN_EXE_netspace"), LAB);
    copy_stage(&lab, "");
    let mut command = Command::new("unshare");
    let stage = ["stage.py", "kernel", group, "sheets.json", "frames"];
    command.args(["-n", PYTHON]).args(stage).current_dir(lab.dir()).stdin(Stdio::null());
    settings(&mut command);
    finish(&mut command, GROUP_MAX).ok();
    read(lab.dir(), "frames")
}

/// The sheets, with the segments of the capture.
fn read(dir: &Path, capture: &str) -> Sheets {
    let mut segments = Command::new(PYTHON);
    segments.args(["segments.py", "sheets.json", capture]).current_dir(dir).stdin(Stdio::null());
    finish(&mut segments, GROUP_MAX).ok();
    let text = std::fs::read_to_string(dir.join("sheets.json")).expect("the stage's sheets");
    let sheets: BTreeMap<String, Sheet> = serde_json::from_str(&text).expect("sheets");
    sheets.into_iter().map(|(name, sheet)| (name, sheet.lines)).collect()
}
