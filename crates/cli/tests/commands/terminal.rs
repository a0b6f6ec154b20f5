//! `exec` on a terminal, as `ssh -t` does it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::{Home, SMALL};

/// A command on a pseudo-terminal; we hold the end at which a person would sit.
struct Screen {
    child: Child,
    master: File,
    seen: String,
}

impl Screen {
    /// `netspace` as it is typed on this terminal.
    fn start(home: &Home, args: &[&str]) -> Self {
        Self::start_command(home.command(args))
    }

    /// The same in a session of its own, with this terminal controlling it.
    fn start_session(home: &Home, args: &[&str]) -> Self {
        let netspace = home.command(args);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(netspace.get_program()).args(netspace.get_args());
        command.env_clear().current_dir(home.lab.dir());
        for (name, value) in netspace.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        netspace_testkit::confine(&mut command);
        Self::start_command(command)
    }

    fn start_command(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).expect("a pseudo-terminal");
        rustix::pty::unlockpt(&master).expect("unlocked");
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("its other end");
        let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).expect("a size");
        let copy = |fd: &OwnedFd| fd.try_clone().expect("a copy");
        command.stdin(copy(&slave)).stdout(copy(&slave)).stderr(copy(&slave));
        let child = command.spawn().expect("it starts");
        Self { child, master: File::from(master), seen: String::new() }
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).expect("a size");
        let pid = self.child.id().to_string();
        // The kernel tells the foreground group of a controlling terminal; this one controls nobody.
        Command::new("kill").args(["-WINCH", &pid]).status().expect("kill");
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typed");
    }

    /// Reads until `text` has been shown.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let limit = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            let ready = rustix::event::poll(&mut fds, Some(&limit)).expect("poll");
            assert_ne!(ready, 0, "{text:?} has not come in 20 s: {:?}", self.seen);
            let n = self.master.read(&mut buffer).unwrap_or(0);
            assert_ne!(n, 0, "the screen ended before {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_program_has_a_terminal_of_its_own() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let script = "tty; stty size; echo ready; read line; echo got $line; trap 'stty size; exit 5' WINCH; \
                  echo waiting; while :; do sleep 0.05; done";
    let mut screen = Screen::start(&home, &["exec", "client", "--", "bash", "-c", script]);
    screen.wait_for("ready");
    assert!(screen.seen.contains("/dev/pts/") && screen.seen.contains("33 101"), "{}", screen.seen);
    screen.type_in("words\n");
    screen.wait_for("got words");
    screen.wait_for("waiting");
    screen.resize(44, 77);
    screen.wait_for("44 77");
    assert_eq!(screen.exit_code(), Some(5));
}

/// The story is longer than most terminals: it stops where a page is full, and ends when it is told to.
#[test]
fn the_demo_comes_by_pages() {
    let home = Home::new(SMALL);
    let mut screen = Screen::start(&home, &["demo"]);
    screen.wait_for("q and Enter: end");
    assert!(screen.seen.contains("One request") && screen.seen.lines().count() <= 33, "{}", screen.seen);
    assert!(!screen.seen.contains("The close"), "{}", screen.seen);
    screen.type_in("\n");
    screen.wait_for("Across the switch");
    screen.type_in("q\n");
    assert_eq!(screen.exit_code(), Some(0));
}

#[test]
fn control_c_reaches_the_program_and_not_us() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
    let mut screen = Screen::start(&home, &["exec", "client", "--", "bash", "-c", script]);
    screen.wait_for("ready");
    screen.type_in("\x03");
    screen.wait_for("caught");
    assert_eq!(screen.exit_code(), Some(9));
}

#[test]
fn a_shell_opens_on_a_host() {
    let home = Home::new(SMALL);
    home.run(&["up", "lab.yaml"]).exits(0);
    let mut screen = Screen::start(&home, &["shell", "server"]);
    screen.type_in("cat /etc/hostname; exit 4\n");
    screen.wait_for("server\r\n");
    assert_eq!(screen.exit_code(), Some(4));
}

#[test]
fn a_command_in_the_foreground_has_this_terminal() {
    let home = Home::new(SMALL);
    let script = "trap 'echo caught; exit 9' INT; stty size; echo ready; read line; echo got $line; \
                  while :; do sleep 0.05; done";
    let args = ["run", "lab.yaml", "--on", "client", "--", "bash", "-c", script];
    let mut screen = Screen::start_session(&home, &args);
    screen.wait_for("ready");
    assert!(screen.seen.contains("33 101"), "{}", screen.seen);
    screen.type_in("words\n");
    screen.wait_for("got words");
    screen.type_in("\x03");
    screen.wait_for("caught");
    assert_eq!(screen.exit_code(), Some(9));
    assert!(home.left_behind().is_empty(), "{:?}", home.left_behind());
}
