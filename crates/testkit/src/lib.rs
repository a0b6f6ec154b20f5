//! What tests share: the `netspace` binary, run as an unprivileged user with the calls denied that Docker's default
//! profile denies, and small helpers to read what it prints.
//!
//! Development only; nothing of it ships.

pub mod packetdrill;
mod relay;
mod sandbox;
mod scratch;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use relay::Relay;
pub use sandbox::{NOBODY, confine};
pub use scratch::Scratch;

/// Whether the tests run as root, and so drop to [`NOBODY`].
pub fn is_root() -> bool {
    sandbox::is_root()
}

/// Whether a program is installed.
pub fn has_program(name: &str) -> bool {
    find_program(name).is_some()
}

/// The path of an installed program; `/usr/sbin` is looked at too.
pub fn find_program(name: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
}

/// A lab in a scratch folder, and the binary that runs it.
#[derive(Debug)]
pub struct Lab {
    scratch: Scratch,
    binary: PathBuf,
}

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 + n if signal n ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Asserts that the program exited with 0; gives its standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        );
        self.stdout
    }

    /// Asserts that standard output or standard error contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let found = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(
            found,
            "no {text:?} (exit code {})\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        );
        self
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }
}

impl Lab {
    /// A lab from its YAML text. `binary` is the built `netspace` (`env!("CARGO_BIN_EXE_netspace")`).
    pub fn new(binary: &str, yaml: &str) -> Self {
        let scratch = Scratch::new("lab");
        let copy = scratch.path().join("netspace");
        // A link where it can be: a copy just written may still be open in another thread's child (ETXTBSY).
        if std::fs::hard_link(binary, &copy).is_err() {
            std::fs::copy(binary, &copy).expect("copy the binary to where everybody may run it");
        }
        scratch.write("lab.yaml", yaml);
        // A runtime directory of its own, so that labs of other tests are not seen; it must belong to who runs them.
        let runtime = scratch.path().join("runtime");
        std::fs::create_dir(&runtime).expect("create the runtime directory");
        if is_root() {
            std::os::unix::fs::chown(&runtime, Some(NOBODY), Some(NOBODY)).expect("give it away");
        }
        Self { scratch, binary: copy }
    }

    /// The folder in which the programs run; everybody may write there.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        self.scratch.write(name, content);
        self
    }

    /// The binary with `args`, confined as a plain user in a default container.
    pub fn netspace(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .current_dir(self.dir())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.dir())
            .env("LANG", "C.UTF-8")
            .env("PYTHONUNBUFFERED", "1")
            .env("XDG_RUNTIME_DIR", self.dir().join("runtime"))
            .stdin(Stdio::null());
        confine(&mut command);
        command
    }

    /// `netspace run lab.yaml --on HOST -- sh -c SCRIPT`, with a minute to end.
    #[track_caller]
    pub fn on(&self, host: &str, script: &str) -> Ran {
        self.on_within(host, script, Duration::from_secs(60))
    }

    /// The same with its own time limit.
    #[track_caller]
    pub fn on_within(&self, host: &str, script: &str, limit: Duration) -> Ran {
        let mut command = self.netspace(&["run", "lab.yaml", "--on", host, "--", "bash", "-c", script]);
        finish(&mut command, limit)
    }
}

/// Runs a command to its end, or kills it at the limit and fails.
#[track_caller]
pub fn finish(command: &mut Command, limit: Duration) -> Ran {
    let started = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the command");
    let pid = child.id();
    let (send, receive) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output();
        let _ = send.send(());
        output
    });
    let in_time = receive.recv_timeout(limit).is_ok();
    if !in_time {
        sandbox::kill(pid);
    }
    let output: Output = waiter.join().expect("the waiter ends").expect("wait for the command");
    let ran = Ran {
        code: exit_code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    assert!(
        in_time,
        "not at an end after {:?}: {command:?}\n--- stdout\n{}\n--- stderr\n{}",
        started.elapsed(),
        ran.stdout,
        ran.stderr
    );
    ran
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Processes (pid and command line) whose working directory is `dir` or below it.
pub fn processes_in(dir: &Path) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").expect("read /proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir)))
        .map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        })
        .collect()
}

/// Waits until `condition` holds; panics with `what` when it does not within ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::yield_now();
    }
}
