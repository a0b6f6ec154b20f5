//! `netspace doctor`: what this machine offers, found by trying it; what is missing, what that costs, what helps.

use std::io::{self, Write};

use netspace_door::probe::{self, Finding, Findings};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::output::{BAD, BOLD, DIM, GOOD, Out, WARN};
use crate::runtime;

/// How much a missing thing matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// It is there.
    Ok,
    /// It is not, and netspace does without.
    Reduced,
    /// It is not, and programs cannot be run.
    Missing,
}

#[derive(Debug, Serialize)]
struct Item {
    name: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What its lack costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<&'static str>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

impl Item {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), cost: None, remedy: None }
    }

    fn lacking(
        name: &'static str,
        state: State,
        found: impl Into<String>,
        cost: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self { name, state, found: found.into(), cost: Some(cost), remedy: Some(remedy) }
    }
}

/// Prints what was found; exit code 1 if something needed is missing.
pub(crate) fn run(args: &DoctorArgs) -> anyhow::Result<u8> {
    let mut items = vec![kernel(), architecture()];
    match probe::run() {
        Ok(findings) => items.extend(door(&findings)),
        Err(error) => items.push(Item::lacking(
            "processes",
            State::Missing,
            format!("no child process can be made: {error}"),
            "nothing can be run",
            "raise the limit of processes (ulimit -u)",
        )),
    }
    items.extend([proc_files(), descriptors(), runtime_directory()]);
    let fine = items.iter().all(|item| item.state != State::Missing);
    let mut out = Out::new();
    if args.json {
        out.json(&serde_json::json!({ "ok": fine, "checks": items }))?;
    } else {
        print(&mut out, &items, fine)?;
    }
    out.flush()?;
    Ok(u8::from(!fine))
}

fn print(out: &mut Out, items: &[Item], fine: bool) -> io::Result<()> {
    for item in items {
        let (style, word) = match item.state {
            State::Ok => (GOOD, "ok     "),
            State::Reduced => (WARN, "reduced"),
            State::Missing => (BAD, "MISSING"),
        };
        writeln!(out, "{style}{word}{style:#}  {BOLD}{}{BOLD:#}: {}", item.name, item.found)?;
        if let Some(cost) = item.cost {
            writeln!(out, "         {DIM}costs:{DIM:#} {cost}")?;
        }
        if let Some(remedy) = item.remedy {
            writeln!(out, "         {DIM}helps:{DIM:#} {remedy}")?;
        }
    }
    let reduced = items.iter().any(|item| item.state == State::Reduced);
    let verdict = match (fine, reduced) {
        (true, false) => "Everything is there: labs run here.",
        (true, true) => "Labs run here; what is reduced is named above.",
        (false, _) => "Programs cannot be run on a lab's hosts here until what is MISSING is mended.",
    };
    writeln!(out, "\n{verdict}")
}

/// The kernel's version as two numbers.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn kernel() -> Item {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    match kernel_version(&release) {
        Some(version) if version >= (5, 14) => Item::ok("kernel", format!("Linux {release}")),
        _ => Item::lacking(
            "kernel",
            State::Missing,
            format!("Linux {release}, older than 5.14"),
            "a trapped call cannot be answered with a descriptor in one step",
            "a kernel of 5.14 or later (6.6 or later is fastest)",
        ),
    }
}

fn architecture() -> Item {
    match std::env::consts::ARCH {
        arch @ ("x86_64" | "aarch64") => Item::ok("processor", arch),
        arch => Item::lacking(
            "processor",
            State::Missing,
            arch,
            "the system calls of this processor are not known to netspace",
            "an x86_64 or aarch64 machine",
        ),
    }
}

fn errno_name(errno: i32) -> String {
    io::Error::from_raw_os_error(errno).to_string()
}

/// The item for a finding: fine, or lacking in the given way.
fn item(
    name: &'static str,
    finding: Finding,
    fine: &str,
    lack: (State, &'static str, &'static str),
) -> Option<Item> {
    let (state, cost, remedy) = lack;
    Some(match finding? {
        Ok(()) => Item::ok(name, fine),
        Err(errno) => Item::lacking(name, state, errno_name(errno), cost, remedy),
    })
}

fn door(findings: &Findings) -> Vec<Item> {
    let mut items = vec![listener(findings.listener)];
    items.extend(item(
        "calls are shielded from signals",
        findings.wait_killable,
        "WAIT_KILLABLE_RECV works",
        (State::Reduced, "a signal may abort a call that netspace is answering", "Linux 5.19 or later"),
    ));
    items.extend(item(
        "direct switch to the supervisor",
        findings.sync_wake_up,
        "SYNC_WAKE_UP works",
        (State::Reduced, "a trapped call takes a few microseconds longer", "Linux 6.6 or later"),
    ));
    items.extend(item(
        "reading a program's memory",
        findings.read_memory,
        "process_vm_readv works",
        (State::Missing, "the arguments of system calls cannot be read", memory_remedy(findings.read_memory)),
    ));
    items.extend(item(
        "writing a program's memory",
        findings.write_memory,
        "process_vm_writev works",
        (State::Missing, "the results of system calls cannot be given", memory_remedy(findings.write_memory)),
    ));
    items.extend(item(
        "giving a program descriptors",
        findings.add_fd,
        "ADDFD with SEND works",
        (State::Missing, "programs get no sockets", "Linux 5.14 or later"),
    ));
    // Only worth a line where each step works and yet the whole does not.
    if findings.add_fd == Some(Ok(())) && findings.round_trip != Some(Ok(())) {
        let advice = "report this, with the output of `netspace doctor --json`";
        let cost = "answers do not reach the program as they are given";
        items.push(Item::lacking("a trapped call's round trip", State::Missing, "it failed", cost, advice));
    }
    items.extend(item(
        "pidfd_getfd",
        findings.pidfd_getfd,
        "allowed (not needed)",
        (State::Ok, "nothing: netspace does without", "none needed"),
    ));
    items.extend(item(
        "user namespaces",
        findings.user_namespace,
        "allowed (not needed)",
        (State::Ok, "nothing: netspace does without", "none needed"),
    ));
    for item in items.iter_mut().filter(|item| item.state == State::Ok) {
        (item.cost, item.remedy) = (None, None);
        if matches!(item.name, "pidfd_getfd" | "user namespaces") && !item.found.starts_with("allowed") {
            item.found = format!("not allowed ({}); netspace does without", item.found);
        }
    }
    items
}

fn listener(finding: Finding) -> Item {
    let name = "seccomp user notification";
    let cost = "the system calls of programs cannot be answered";
    match finding {
        Some(Ok(())) => Item::ok(name, "works"),
        Some(Err(libc::EBUSY)) => Item::lacking(
            name,
            State::Missing,
            "taken: this process runs under another listener already",
            "only one can answer a program's calls",
            "start netspace outside the sandbox, container manager or lab that it runs in now",
        ),
        Some(Err(libc::ENOSYS | libc::EINVAL)) => Item::lacking(
            name,
            State::Missing,
            "not in this kernel",
            cost,
            "a kernel with CONFIG_SECCOMP_FILTER (Linux itself: WSL 1 and gVisor have no user notification)",
        ),
        Some(Err(errno)) => Item::lacking(
            name,
            State::Missing,
            format!("refused: {}", errno_name(errno)),
            cost,
            "allow seccomp(2) in the container's profile",
        ),
        None => {
            Item::lacking(name, State::Missing, "could not be tried", cost, "raise the limit of processes")
        }
    }
}

fn memory_remedy(finding: Finding) -> &'static str {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match (scope.trim(), finding) {
        ("2" | "3", _) => "kernel.yama.ptrace_scope forbids it here: 0 or 1 is needed",
        (_, Some(Err(libc::ENOSYS))) => {
            "allow process_vm_readv and process_vm_writev in the container's profile"
        }
        _ => "allow a process to look at its own children (ptrace_scope 0 or 1, seccomp profile, LSM)",
    }
}

fn proc_files() -> Item {
    let name = "/proc";
    match std::fs::read_dir("/proc/self/fd") {
        Ok(_) => Item::ok(name, "mounted"),
        Err(error) => Item::lacking(
            name,
            State::Missing,
            error.to_string(),
            "a program's descriptors cannot be told apart",
            "mount -t proc proc /proc",
        ),
    }
}

fn descriptors() -> Item {
    const WANTED: u64 = 4096;
    let name = "descriptors";
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        Some(most) if most < WANTED => Item::lacking(
            name,
            State::Reduced,
            format!("at most {most}"),
            "a lab has that many sockets at once, all programs together",
            "ulimit -Hn 65536, or LimitNOFILE= of the service",
        ),
        Some(most) => Item::ok(name, format!("up to {most}")),
        None => Item::ok(name, "without limit"),
    }
}

fn runtime_directory() -> Item {
    let name = "runtime directory";
    match runtime::base_dir() {
        Ok(dir) => Item::ok(name, dir.display().to_string()),
        Err(error) => Item::lacking(
            name,
            State::Missing,
            format!("{error:#}"),
            "`up`, `exec`, `link` and `trace` have no place to meet",
            "set XDG_RUNTIME_DIR to a directory of yours",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kernel_versions() {
        assert_eq!(kernel_version("6.18.44-foo-v669"), Some((6, 18)));
        assert_eq!(kernel_version("5.14.0-427.el9.x86_64"), Some((5, 14)));
        assert_eq!(kernel_version("linux"), None);
    }

    #[test]
    fn a_nested_listener_is_named() {
        let item = listener(Some(Err(libc::EBUSY)));
        assert_eq!(item.state, State::Missing);
        assert!(item.found.contains("another listener"), "{}", item.found);
    }

    #[test]
    fn what_is_not_needed_is_never_missing() {
        let none = Findings {
            listener: Some(Ok(())),
            wait_killable: Some(Err(libc::EINVAL)),
            sync_wake_up: Some(Err(libc::EINVAL)),
            read_memory: Some(Ok(())),
            write_memory: Some(Ok(())),
            add_fd: Some(Ok(())),
            round_trip: Some(Ok(())),
            pidfd_getfd: Some(Err(libc::EPERM)),
            user_namespace: Some(Err(libc::EPERM)),
        };
        let items = door(&none);
        assert!(items.iter().all(|item| item.state != State::Missing));
        assert!(items.iter().any(|item| item.found.contains("does without")));
    }
}
