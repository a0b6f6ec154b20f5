//! The supervisor: one value per lab, driven by the lab's world loop.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use netspace_base::{Detail, Instant, NsId, Point};
use netspace_stack::packet::PacketId;
use netspace_stack::sock::SockId;
use netspace_stack::{Effect, Netns, Turn};
use netspace_uapi::Errno;
use slab::Slab;
use std::collections::HashMap;

use crate::haste::Haste;
use crate::init::{Block, Init, News, Stage};
use crate::report::Report;
use crate::shadow::Shadow;
use crate::sock::{Key, Sock};
use crate::standin::{Hub, Witness};
use crate::sys::epoll::{self, Epoll, Ready};
use crate::sys::{file, process, seccomp};
use crate::trapped::{Call, Held};
use crate::watched::{Liveness, Monitors, Settings, Swapped};

/// What the door needs to know of the lab.
pub trait World {
    /// The host `ns`, and the turn to use with it.
    fn host(&mut self, ns: NsId) -> (&mut Netns, &mut Turn);

    /// What the file `path` says on that host (`/etc/hosts`, `/etc/resolv.conf`, `/etc/nsswitch.conf`, `/etc/hostname`,
    /// `/proc/net/…`, `/proc/sys/net/…`); none if the host has no such file.
    fn file(&mut self, ns: NsId, path: &str) -> Option<Vec<u8>>;

    /// What the directory `path` of such files has in it: names, and whether each is a directory; none if the host has no
    /// such directory.
    fn list(&mut self, _ns: NsId, _path: &str) -> Option<Vec<(String, bool)>> {
        None
    }

    /// A program writes `content` to the file `path` (a setting under `/proc/sys/net`); why, if that is refused.
    fn write_file(&mut self, _ns: NsId, _path: &str, _content: &[u8]) -> Result<(), Errno> {
        Err(Errno(libc::EACCES))
    }

    /// The wall clock's time at the lab's start, since 1970, for timestamps; none: as the machine's clock says.
    fn epoch(&self) -> Option<Duration> {
        None
    }

    /// The host's name.
    fn hostname(&self, ns: NsId) -> String;
}

/// Names a launched program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProgramId(pub u32);

/// Which session (setsid(2)) a program runs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Session {
    /// Its own: signals from the terminal do not reach it.
    #[default]
    Own,
    /// The caller's, in the caller's process group: it is the terminal's foreground job, as the caller is.
    Caller,
}

/// A program to launch.
#[derive(Debug)]
pub struct Launch {
    /// The host it runs on.
    pub ns: NsId,
    /// Its name and arguments. A name without a slash is looked for along the `PATH` of `env`.
    pub argv: Vec<CString>,
    /// Its environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its standard input.
    pub stdin: OwnedFd,
    /// Its standard output.
    pub stdout: OwnedFd,
    /// Its standard error.
    pub stderr: OwnedFd,
    /// Its terminal: a pseudo-terminal's slave, which becomes the controlling terminal of its own session.
    pub tty: Option<OwnedFd>,
    /// The session.
    pub session: Session,
    /// User and group to run it as, where we are root.
    pub run_as: Option<(u32, u32)>,
}

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A resource could not be had.
    #[error("cannot set up the launching of programs: {0}")]
    Io(#[from] io::Error),
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program itself.
    #[error("cannot run {program:?}: {error}")]
    Exec {
        /// Its name.
        program: String,
        /// What execve(2) said.
        error: io::Error,
    },
    /// The working directory.
    #[error("cannot change to directory {0:?}: {1}")]
    Directory(PathBuf, io::Error),
    /// Another supervisor watches us already.
    #[error(
        "another program supervises this one by seccomp already (a sandbox, a container runtime, or netspace itself)"
    )]
    Nested,
    /// The kernel has no seccomp user notification, or does not let us.
    #[error("the kernel refuses the seccomp filter: {0}")]
    Filter(io::Error),
    /// Anything else.
    #[error("cannot start a process ({stage:?}): {error}")]
    Setup {
        /// Where it failed.
        stage: Stage,
        /// Why.
        error: io::Error,
    },
}

/// A launched program and what came of it: all its processes share the filter's listener.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) ns: NsId,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) pid: u32,
    killable: bool,
}

/// What an epoll name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watch {
    Init,
    Timer,
    Tree(usize),
    Sock(Key),
    Process(u32),
    Settings,
    Attached,
}

impl Watch {
    pub(crate) fn token(self) -> u64 {
        let (kind, index) = match self {
            Self::Init => (0, 0),
            Self::Timer => (1, 0),
            Self::Tree(i) => (2, i as u64),
            Self::Sock(i) => (3, i as u64),
            Self::Process(pid) => (4, u64::from(pid)),
            Self::Settings => (5, 0),
            Self::Attached => (6, 0),
        };
        kind << 56 | index
    }

    fn from_token(token: u64) -> Self {
        let index = token & 0x00ff_ffff_ffff_ffff;
        match token >> 56 {
            0 => Self::Init,
            1 => Self::Timer,
            2 => Self::Tree(index as usize),
            3 => Self::Sock(index as usize),
            4 => Self::Process(index as u32),
            5 => Self::Settings,
            _ => Self::Attached,
        }
    }
}

/// Launches programs on hosts and answers their calls.
#[derive(Debug)]
pub struct Door {
    pub(crate) init: Init,
    pub(crate) epoll: Epoll,
    pub(crate) timer: OwnedFd,
    pub(crate) hub: Hub,
    pub(crate) witness: Witness,
    pub(crate) trees: Slab<Tree>,
    pub(crate) socks: Slab<Sock>,
    pub(crate) by_inode: HashMap<u64, Key>,
    pub(crate) by_id: HashMap<(NsId, SockId), Key>,
    pub(crate) by_packet: HashMap<(NsId, PacketId), Key>,
    pub(crate) swapped: Vec<Swapped>,
    pub(crate) held: Slab<Held>,
    pub(crate) liveness: Liveness,
    pub(crate) monitors: Monitors,
    pub(crate) report: Report,
    pub(crate) settings: Settings,
    pub(crate) shadow: Shadow,
    /// A program may stand in a directory of the network's files.
    pub(crate) relative_matters: bool,
    haste: Haste,
    busy: Vec<Key>,
    programs: BTreeMap<ProgramId, usize>,
    exits: Vec<(ProgramId, ExitStatus)>,
    next_program: u32,
    ready: Vec<Ready>,
    init_gone: bool,
    epoch: Option<Duration>,
}

// ---- For the lab ---------------------------------------------------------------------------------------------------
impl Door {
    /// Forks the lab's first process. To be called early: it is a copy of the calling process.
    pub fn new() -> Result<Self, DoorError> {
        let shadow = Shadow::new();
        let init = Init::start(shadow.root())?;
        process::raise_descriptor_limit();
        let epoll = Epoll::new()?;
        let timer = file::timer()?;
        epoll.add(init.fd()?, epoll::IN, Watch::Init.token())?;
        epoll.add(timer.as_fd(), epoll::IN, Watch::Timer.token())?;
        Ok(Self {
            init,
            epoll,
            timer,
            hub: Hub::new()?,
            witness: Witness::new()?,
            trees: Slab::new(),
            socks: Slab::new(),
            by_inode: HashMap::new(),
            by_id: HashMap::new(),
            by_packet: HashMap::new(),
            swapped: Vec::new(),
            held: Slab::new(),
            liveness: Liveness::default(),
            monitors: Monitors::default(),
            report: Report::default(),
            settings: Settings::default(),
            shadow,
            relative_matters: false,
            haste: Haste::default(),
            busy: Vec::new(),
            programs: BTreeMap::new(),
            exits: Vec::new(),
            next_program: 1,
            ready: Vec::new(),
            init_gone: false,
            epoch: None,
        })
    }

    /// Starts a program; it has been executed when this returns.
    pub fn launch(&mut self, world: &mut dyn World, launch: Launch) -> Result<ProgramId, LaunchError> {
        let token = self.next_program;
        let id = ProgramId(token);
        self.next_program += 1;
        let block = Block {
            argv: launch.argv,
            env: launch.env,
            cwd: launch.cwd,
            own_session: launch.session == Session::Own,
            run_as: launch.run_as,
        };
        let mut fds = vec![launch.stdin.as_raw_fd(), launch.stdout.as_raw_fd(), launch.stderr.as_raw_fd()];
        fds.extend(launch.tty.as_ref().map(AsRawFd::as_raw_fd));
        let setup = |error| LaunchError::Setup { stage: Stage::Fork, error };
        self.init.launch(token, &block, &fds).map_err(setup)?;
        let mut tree = None;
        loop {
            match self.init.news(true).map_err(setup)? {
                News::Listener { token: t, fd, killable } if t == token => {
                    seccomp::set_sync_wake_up(fd.as_fd());
                    tree = Some((fd, killable));
                }
                News::Started { token: t, pid } if t == token => {
                    self.add_tree(launch.ns, id, pid.unsigned_abs(), tree).map_err(setup)?;
                    break;
                }
                News::Failed { token: t, stage, errno } if t == token => {
                    return Err(launch_error(stage, errno, &block));
                }
                other => self.on_news(other),
            }
        }
        note(world, launch.ns, || {
            let words: Vec<_> = block.argv.iter().map(|arg| arg.to_string_lossy()).collect();
            format!("execve: {}", words.join(" "))
        });
        Ok(id)
    }

    fn add_tree(
        &mut self,
        ns: NsId,
        program: ProgramId,
        pid: u32,
        listener: Option<(OwnedFd, bool)>,
    ) -> io::Result<()> {
        let (listener, killable) = listener.ok_or(io::ErrorKind::NotFound)?;
        let key = self.trees.vacant_key();
        self.epoll.add(listener.as_fd(), epoll::IN, Watch::Tree(key).token())?;
        self.trees.insert(Tree { ns, listener: Some(listener), pid, killable });
        self.programs.insert(program, key);
        Ok(())
    }

    /// Readable when [`Door::poll`] has something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.fd()
    }

    /// Whether [`Door::poll`] has something to do although nothing new has happened.
    pub fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// Lets [`Door::wait`] wait for `fd` as well, which must live as long as the door: for everything else that the lab's
    /// loop waits for.
    pub fn attach(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.add(fd, epoll::IN, Watch::Attached.token())
    }

    /// Waits up to `timeout` (none: for ever) for something for [`Door::poll`] to do. True if the attached descriptor is
    /// ready.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        if self.ready.is_empty() {
            match self.haste.wait(&self.epoll, &mut self.ready, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(self.ready.iter().any(|event| Watch::from_token(event.token) == Watch::Attached))
    }

    /// Handles what is ready, as far as it does not keep the lab waiting.
    pub fn poll(&mut self, world: &mut dyn World) {
        const ROUNDS: usize = 8;
        for key in std::mem::take(&mut self.busy) {
            self.pump(world, key);
        }
        let mut ready = std::mem::take(&mut self.ready);
        for _ in 0..ROUNDS {
            if ready.is_empty()
                && (self.epoll.wait(&mut ready, Some(Duration::ZERO)).is_err() || ready.is_empty())
            {
                break;
            }
            // What was written or closed before a call was made comes first.
            let is_call = |event: &Ready| matches!(Watch::from_token(event.token), Watch::Tree(_));
            for event in ready.iter().filter(|event| !is_call(event)) {
                self.on_event(world, *event);
            }
            for event in ready.iter().filter(|event| is_call(event)) {
                self.on_event(world, *event);
            }
            let was_all = ready.len() < epoll::BATCH;
            ready.clear();
            if was_all {
                break;
            }
        }
        self.ready = ready;
    }

    /// What a socket is ready for may have changed ([`netspace_stack::Effect::Wake`]).
    pub fn on_wake(&mut self, world: &mut dyn World, ns: NsId, sock: SockId) {
        if let Some(&key) = self.by_id.get(&(ns, sock)) {
            self.on_sock_wake(world, key);
        }
    }

    /// The same of a packet socket ([`netspace_stack::Effect::WakePacket`]).
    pub fn on_packet_wake(&mut self, world: &mut dyn World, ns: NsId, sock: PacketId) {
        if let Some(&key) = self.by_packet.get(&(ns, sock)) {
            self.on_sock_wake(world, key);
        }
    }

    /// When [`Door::on_timeout`] must next be called, by the lab's clock.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.held.iter().filter_map(|(_, held)| held.deadline).min()
    }

    /// Ends held calls whose time is up (`SO_RCVTIMEO`, `SO_SNDTIMEO`).
    pub fn on_timeout(&mut self, world: &mut dyn World) {
        self.expire_held(world);
    }

    /// Which programs have ended since the last call, and how.
    pub fn take_exits(&mut self) -> Vec<(ProgramId, ExitStatus)> {
        std::mem::take(&mut self.exits)
    }

    /// Sends a signal to a program's first process; with `group` to its process group.
    pub fn signal(&self, program: ProgramId, signal: i32, group: bool) -> io::Result<()> {
        let Some(pid) = self.pid(program) else { return Ok(()) };
        self.init.signal(if group { -pid.cast_signed() } else { pid.cast_signed() }, signal)
    }

    /// The programs that have not ended: number, process number, host.
    pub fn programs(&self) -> impl Iterator<Item = (ProgramId, u32, NsId)> {
        self.programs.iter().filter_map(|(id, key)| self.trees.get(*key).map(|tree| (*id, tree.pid, tree.ns)))
    }

    /// The process number of a program that has not ended.
    pub fn pid(&self, program: ProgramId) -> Option<u32> {
        self.programs.get(&program).and_then(|key| self.trees.get(*key)).map(|tree| tree.pid)
    }

    /// Which calls were refused.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The inode of a socket's descriptors, as `/proc/<pid>/fd` and `ss` show it.
    pub fn inode(&self, ns: NsId, sock: SockId) -> Option<u64> {
        self.by_id.get(&(ns, sock)).and_then(|key| self.socks.get(*key)).map(|sock| sock.inode)
    }
}

fn launch_error(stage: Stage, errno: i32, block: &Block) -> LaunchError {
    let error = io::Error::from_raw_os_error(errno);
    match stage {
        Stage::Exec => {
            let program =
                block.argv.first().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
            LaunchError::Exec { program, error }
        }
        Stage::Directory => LaunchError::Directory(block.cwd.clone(), error),
        Stage::Filter if errno == libc::EBUSY => LaunchError::Nested,
        Stage::Filter => LaunchError::Filter(error),
        stage => LaunchError::Setup { stage, error },
    }
}

/// Notes in the lab's trace what a program does.
pub(crate) fn note(world: &mut dyn World, ns: NsId, text: impl FnOnce() -> String) {
    let (_, t) = world.host(ns);
    let now = t.now;
    t.trace.socket(now, ns, Point::Syscall, || Detail::Text(text().into()));
}

// ---- Events --------------------------------------------------------------------------------------------------------
impl Door {
    fn on_event(&mut self, world: &mut dyn World, event: Ready) {
        match Watch::from_token(event.token) {
            Watch::Init => self.on_init(),
            Watch::Timer => self.on_timer(world),
            Watch::Tree(tree) => self.on_notification(world, tree, event.bits),
            Watch::Sock(key) => self.on_outer(world, key, event.bits),
            Watch::Process(pid) => self.on_process_gone(pid),
            Watch::Settings => self.take_settings(world),
            // What waited has been told.
            Watch::Attached => {}
        }
    }

    fn on_init(&mut self) {
        loop {
            match self.init.news(false) {
                Ok(news) => self.on_news(news),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.on_init_gone(),
            }
        }
    }

    /// Somebody has killed init: with it went (or go) the programs.
    fn on_init_gone(&mut self) {
        const KILLED: i32 = libc::SIGKILL;
        if let Ok(fd) = self.init.fd() {
            self.epoll.remove(fd);
        }
        if !std::mem::replace(&mut self.init_gone, true) {
            for (id, _) in std::mem::take(&mut self.programs) {
                self.exits.push((id, ExitStatus::from_raw(KILLED)));
            }
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Exited { pid, status } => {
                let found = self.programs.iter().find(|(_, key)| {
                    self.trees.get(**key).is_some_and(|tree| tree.pid == pid.unsigned_abs())
                });
                if let Some((&id, &key)) = found {
                    self.programs.remove(&id);
                    self.exits.push((id, ExitStatus::from_raw(status)));
                    self.check_tree(key);
                    self.drop_tree_if_over(key);
                }
            }
            News::Gone | News::Listener { .. } | News::Started { .. } | News::Failed { .. } => {}
        }
    }

    /// A program and all its processes are gone: so is its entry.
    fn drop_tree_if_over(&mut self, key: usize) {
        let running = self.programs.values().any(|&k| k == key);
        if !running && self.trees.get(key).is_some_and(|tree| tree.listener.is_none()) {
            self.trees.remove(key);
        }
    }

    fn on_notification(&mut self, world: &mut dyn World, tree: usize, bits: u32) {
        let Some(Tree { ns, listener: Some(listener), .. }) = self.trees.get(tree) else { return };
        if bits & epoll::IN == 0 {
            // All processes that carried the filter are gone.
            self.epoll.remove(listener.as_fd());
            if let Some(tree) = self.trees.get_mut(tree) {
                tree.listener = None;
            }
            self.check_tree(tree);
            return self.drop_tree_if_over(tree);
        }
        // ENOENT and EINTR are normal: the caller has died meanwhile.
        if let Ok(notification) = seccomp::receive(listener.as_fd()) {
            let call = Call::new(tree, *ns, &notification);
            self.settle_host(world, call.ns);
            self.serve(world, call);
        }
    }

    /// What programs of a host have done to each other has its effect before the next call of one of them.
    fn settle_host(&mut self, world: &mut dyn World, host: NsId) {
        let (ns, t) = world.host(host);
        if !ns.has_work() {
            return;
        }
        ns.run(t);
        let (mut woken, mut woken_packets) = (Vec::new(), Vec::new());
        for effect in &t.effects {
            match effect {
                Effect::Wake(sock) => woken.push(*sock),
                Effect::WakePacket(sock) => woken_packets.push(*sock),
                Effect::Xmit { .. } => {}
            }
        }
        // The world will tell of them again: then there is nothing left to do.
        for sock in woken {
            self.on_wake(world, host, sock);
        }
        for sock in woken_packets {
            self.on_packet_wake(world, host, sock);
        }
    }

    fn on_outer(&mut self, world: &mut dyn World, key: Key, bits: u32) {
        if let Some(sock) = self.socks.get_mut(key)
            && let crate::sock::Body::Stream(stream) = &mut sock.body
            && stream.on_event(bits)
        {
            self.suspect(key);
        }
        self.on_sock_wake(world, key);
    }

    /// A stream that has more to do goes on at the next poll.
    pub(crate) fn set_busy(&mut self, key: Key) {
        if !self.busy.contains(&key) {
            self.busy.push(key);
        }
    }

    /// The wall clock's time at the lab's start.
    pub(crate) fn epoch(&mut self, world: &mut dyn World, ns: NsId) -> Duration {
        let now = world.host(ns).1.now;
        let of_machine = || {
            let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            clock.saturating_sub(Duration::from_nanos(now.as_nanos()))
        };
        *self.epoch.get_or_insert_with(|| world.epoch().unwrap_or_else(of_machine))
    }

    /// Whether calls of this program's processes are shielded from signals once received.
    pub(crate) fn is_killable(&self, tree: usize) -> bool {
        self.trees.get(tree).is_some_and(|tree| tree.killable)
    }

    /// The process numbers of the programs that run.
    pub(crate) fn roots(&self) -> Vec<u32> {
        self.programs.values().filter_map(|key| self.trees.get(*key)).map(|tree| tree.pid).collect()
    }
}
