//! A world of one host, in real time, on which programs talk over the loopback device.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant as Clock};

use netspace_base::{Instant, NsId, Seed};
use netspace_door::{Door, Launch, LaunchError, ProgramId, Session, World};
use netspace_stack::sock::SockId;
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};
use netspace_uapi::Errno;

/// A host and its turn.
pub(crate) struct Host {
    ns: Netns,
    turn: Turn,
    start: Clock,
}

impl World for Host {
    fn host(&mut self, _ns: NsId) -> (&mut Netns, &mut Turn) {
        self.turn.now = Instant::from_nanos(self.start.elapsed().as_nanos() as u64);
        (&mut self.ns, &mut self.turn)
    }

    fn file(&mut self, _ns: NsId, path: &str) -> Option<Vec<u8>> {
        match path {
            "/etc/hosts" => Some(b"127.0.0.1 localhost\n::1 localhost\n127.0.0.1 server\n".to_vec()),
            "/etc/resolv.conf" => Some(b"nameserver 127.0.0.1\n".to_vec()),
            "/etc/nsswitch.conf" => Some(b"hosts: files dns\n".to_vec()),
            _ => netspace_uapi::files::read(&self.ns, self.turn.now, path),
        }
    }

    fn list(&mut self, _ns: NsId, path: &str) -> Option<Vec<(String, bool)>> {
        netspace_uapi::files::list(&self.ns, path)
    }

    fn write_file(&mut self, _ns: NsId, path: &str, content: &[u8]) -> Result<(), Errno> {
        let written = netspace_uapi::files::write(&mut self.ns, &mut self.turn, path, content);
        written.unwrap_or(Err(netspace_uapi::errno::ENOENT))
    }

    fn hostname(&self, _ns: NsId) -> String {
        "testhost".into()
    }
}

/// The host, the door, and what programs print.
pub(crate) struct Lab {
    pub(crate) host: Host,
    pub(crate) door: Door,
    outputs: Vec<Output>,
    exits: Vec<(ProgramId, ExitStatus)>,
}

struct Output {
    program: ProgramId,
    pipe: File,
    ended: bool,
    text: Vec<u8>,
    status: Option<ExitStatus>,
}

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) text: String,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let door = Door::new().expect("door");
        let mut turn = Turn::default();
        let config = NetnsConfig { id: NsId(1), name: "testhost".into(), seed: Seed(1) };
        let ns = Netns::new(config, &mut turn);
        Self { host: Host { ns, turn, start: Clock::now() }, door, outputs: Vec::new(), exits: Vec::new() }
    }

    /// Runs a command with our own standard descriptors, to its end.
    pub(crate) fn run_here(&mut self, argv: &[&str]) -> ExitStatus {
        let launch = Launch {
            ns: NsId(1),
            argv: argv.iter().map(|a| CString::new(*a).expect("arg")).collect(),
            env: std::env::vars().filter_map(|(k, v)| CString::new(format!("{k}={v}")).ok()).collect(),
            cwd: std::env::current_dir().expect("cwd"),
            stdin: std::io::stdin().as_fd().try_clone_to_owned().expect("dup"),
            stdout: std::io::stdout().as_fd().try_clone_to_owned().expect("dup"),
            stderr: std::io::stderr().as_fd().try_clone_to_owned().expect("dup"),
            tty: None,
            session: Session::Caller,
            run_as: None,
        };
        let program = self.door.launch(&mut self.host, launch).expect("launch");
        loop {
            self.turn();
            if let Some((_, status)) = self.exits.iter().find(|(p, _)| *p == program) {
                return *status;
            }
        }
    }

    pub(crate) fn try_launch(&mut self, argv: &[&str]) -> Result<ProgramId, LaunchError> {
        let (reader, writer) = std::io::pipe().expect("pipe");
        let writer: OwnedFd = writer.into();
        let null = File::open("/dev/null").expect("null");
        let reader = File::from(OwnedFd::from(reader));
        let root = std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
        let launch = Launch {
            ns: NsId(1),
            argv: argv.iter().map(|a| CString::new(*a).expect("arg")).collect(),
            env: vec![c"PATH=/usr/bin:/bin:/usr/sbin:/sbin".into(), c"LC_ALL=C".into()],
            cwd: "/".into(),
            stdin: null.into(),
            stdout: writer.try_clone().expect("dup"),
            stderr: writer,
            tty: None,
            session: Session::Own,
            run_as: (root.unwrap_or(false) && !argv.contains(&"ROOT")).then_some((65534, 65534)),
        };
        let program = self.door.launch(&mut self.host, launch)?;
        self.outputs.push(Output { program, pipe: reader, ended: false, text: Vec::new(), status: None });
        Ok(program)
    }

    pub(crate) fn launch(&mut self, argv: &[&str]) -> ProgramId {
        self.try_launch(argv).expect("launch")
    }

    pub(crate) fn python(&mut self, script: &str) -> ProgramId {
        self.launch(&["/usr/bin/python3", "-I", "-S", "-u", "-c", script])
    }

    /// One round of the world's loop.
    pub(crate) fn turn(&mut self) {
        let busy = self.door.is_busy() || self.settle();
        let next = [self.host.ns.next_timeout(), self.door.next_timeout()].into_iter().flatten().min();
        let now = Instant::from_nanos(self.host.start.elapsed().as_nanos() as u64);
        let wait = next.map_or(50, |at| at.saturating_since(now).as_millis() as i32 + 1).min(50);
        let mut fds: Vec<_> =
            vec![rustix::event::PollFd::from_borrowed_fd(self.door.fd(), rustix::event::PollFlags::IN)];
        for output in self.outputs.iter().filter(|output| !output.ended) {
            fds.push(rustix::event::PollFd::from_borrowed_fd(
                output.pipe.as_fd(),
                rustix::event::PollFlags::IN,
            ));
        }
        let wait = if busy { 0 } else { wait };
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(wait) * 1_000_000 };
        let _ = rustix::event::poll(&mut fds, Some(&timeout));
        let readable: Vec<bool> = fds.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect();
        for (output, readable) in self.outputs.iter_mut().filter(|output| !output.ended).zip(readable) {
            let mut bytes = [0; 65536];
            if readable && let Ok(n) = output.pipe.read(&mut bytes) {
                output.text.extend(&bytes[..n]);
                output.ended |= n == 0;
            }
        }
        self.host.host(NsId(1));
        self.door.poll(&mut self.host);
        self.settle();
        let t = self.host.host(NsId(1)).1.now;
        if self.host.ns.next_timeout().is_some_and(|at| at <= t) {
            self.host.ns.on_timeout(&mut self.host.turn);
        }
        if self.door.next_timeout().is_some_and(|at| at <= t) {
            self.door.on_timeout(&mut self.host);
        }
        self.settle();
        for (program, status) in self.door.take_exits() {
            self.exits.push((program, status));
            for output in &mut self.outputs {
                if output.program == program {
                    output.status = Some(status);
                }
            }
        }
    }

    /// Runs the stack and wakes sockets until nothing is left to do (or much has been done).
    fn settle(&mut self) -> bool {
        for _ in 0..64 {
            let (ns, t) = self.host.host(NsId(1));
            let more = ns.run(t);
            let effects: VecDeque<Effect> = std::mem::take(&mut t.effects).into();
            if effects.is_empty() && !more {
                return false;
            }
            for effect in effects {
                match effect {
                    Effect::Wake(sock) => self.wake(sock),
                    Effect::WakePacket(sock) => {
                        self.door.on_packet_wake(&mut self.host, NsId(1), sock);
                    }
                    Effect::Xmit { .. } => {}
                }
            }
        }
        true
    }

    fn wake(&mut self, sock: SockId) {
        self.door.on_wake(&mut self.host, NsId(1), sock);
    }

    /// Runs until the program has ended.
    pub(crate) fn wait(&mut self, program: ProgramId) -> Done {
        let started = Clock::now();
        loop {
            self.turn();
            let output = self.outputs.iter_mut().find(|o| o.program == program).expect("program");
            if let Some(status) = output.status {
                let mut fds = [rustix::event::PollFd::new(&output.pipe, rustix::event::PollFlags::IN)];
                let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                let left = rustix::event::poll(&mut fds, Some(&none)).unwrap_or(0);
                if output.ended || left == 0 || fds[0].revents() == rustix::event::PollFlags::HUP {
                    let text = String::from_utf8_lossy(&output.text).into_owned();
                    self.outputs.retain(|o| o.program != program);
                    return Done { status, text };
                }
            }
            if started.elapsed() > Duration::from_secs(20) {
                let text = String::from_utf8_lossy(&output.text).into_owned();
                for socket in self.host.ns.sockets(self.host.turn.now) {
                    eprintln!("{socket:?}");
                }
                panic!("program does not end; so far it printed:\n{text}\nrefused: {:?}", self.door.report());
            }
        }
    }

    /// Runs until the program has printed `what`.
    pub(crate) fn wait_for(&mut self, program: ProgramId, what: &str) {
        let started = Clock::now();
        loop {
            self.turn();
            let output = self.outputs.iter().find(|o| o.program == program).expect("program");
            let text = String::from_utf8_lossy(&output.text);
            if text.contains(what) {
                return;
            }
            if started.elapsed() > Duration::from_secs(20) || output.status.is_some() {
                panic!("no {what:?} in what it printed:\n{text}\nrefused: {:?}", self.door.report());
            }
        }
    }

    /// Runs until everything that programs have closed by ending has been noticed.
    pub(crate) fn settle_closes(&mut self) {
        let started = Clock::now();
        while started.elapsed() < Duration::from_millis(300) {
            self.turn();
        }
    }

    /// What a program has printed so far.
    pub(crate) fn text(&self, program: ProgramId) -> String {
        let output = self.outputs.iter().find(|o| o.program == program).expect("program");
        String::from_utf8_lossy(&output.text).into_owned()
    }

    /// Runs a script to its end, which must be a good one, and gives what it printed.
    pub(crate) fn run_python(&mut self, script: &str) -> String {
        let program = self.python(script);
        let done = self.wait(program);
        assert!(done.status.success(), "{:?}: {}", done.status, done.text);
        done.text
    }
}
