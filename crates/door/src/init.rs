//! The lab's first process: it starts programs, takes in orphans, and ends them all when the supervisor is gone.
//!
//! It is forked when the door is made and stays small. It talks with the supervisor over a SOCK_SEQPACKET pair:
//!
//! ```text
//! supervisor                    init                        program
//!   LAUNCH block, stdio, tty ──▶  fork ────────────────────▶  session, user, directory
//!   ◀──────────────── LISTENER (the filter's descriptor) ───  seccomp filter
//!   ◀── STARTED pid / FAILED why ─  ◀── pipe closed by exec ─  execve
//!   ◀── EXITED pid status ───────  waitpid
//!   SIGNAL pid ─────────────────▶  kill
//! ```
//!
//! Programs are its children and it is their subreaper (prctl(2)), so whatever they leave behind comes back to it. When
//! its end of the pair tells that the supervisor is gone, however that died, it kills its children until none are left, and clears away what was left behind.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::filter::{self, HandOver};
use crate::sys::process::{self, Forked};
use crate::sys::socket::{self, FdMessage};
use crate::sys::{file, seccomp};

const LAUNCH: u8 = 1;
const SIGNAL: u8 = 2;
const LISTENER: u8 = 3;
const STARTED: u8 = 4;
const FAILED: u8 = 5;
const EXITED: u8 = 6;
const GONE: u8 = 7;

/// Where a program's start can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Making the process.
    Fork,
    /// Its session, terminal, descriptors or user.
    Setup,
    /// Its working directory.
    Directory,
    /// The seccomp filter; `EBUSY` says that another supervisor watches this process already.
    Filter,
    /// Finding or executing the file.
    Exec,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Fork, Self::Setup, Self::Directory, Self::Filter, Self::Exec];

    fn from_byte(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or(Self::Setup)
    }
}

/// What to start, as the supervisor tells it to init.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: PathBuf,
    pub(crate) own_session: bool,
    pub(crate) run_as: Option<(u32, u32)>,
}

/// What init tells the supervisor.
#[derive(Debug)]
pub(crate) enum News {
    /// The filter is installed: here its calls arrive; whether received calls are shielded from signals.
    Listener { token: u32, fd: OwnedFd, killable: bool },
    /// The program runs.
    Started { token: u32, pid: i32 },
    /// It could not be started.
    Failed { token: u32, stage: Stage, errno: i32 },
    /// A program has ended, with this wait status.
    Exited { pid: i32, status: i32 },
    /// A process that a program had left behind has ended.
    Gone,
}

/// The supervisor's handle on init.
#[derive(Debug)]
pub(crate) struct Init {
    socket: Option<OwnedFd>,
    pid: i32,
}

impl Init {
    /// Forks init. To be called early: it is a copy of this process. The directory `litter` is removed when it ends.
    pub(crate) fn start(litter: &Path) -> io::Result<Self> {
        let (ours, theirs) = socket::pair(socket::Kind::SeqPacket)?;
        let group = process::group_of(0);
        match process::fork()? {
            Forked::Child => {
                drop(ours);
                let code = i32::from(run(theirs, group).is_err());
                // It is there if a program has asked for it.
                let _ = std::fs::remove_dir_all(litter);
                process::exit_now(code)
            }
            Forked::Parent(pid) => Ok(Self { socket: Some(ours), pid }),
        }
    }

    fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Readable when there is news.
    pub(crate) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket()
    }

    /// Asks for a program's start; news with the same token tell how it went.
    pub(crate) fn launch(&self, token: u32, block: &Block, fds: &[RawFd]) -> io::Result<()> {
        let memory = file::memory_file(c"netspace-launch", &encode(block))?;
        let mut all = vec![memory.as_raw_fd()];
        all.extend(fds);
        let mut message = vec![LAUNCH];
        message.extend(token.to_le_bytes());
        socket::send_fds(self.socket()?, &message, &all)
    }

    /// Sends a signal to a program (or, negative, to its process group), unless it has ended.
    pub(crate) fn signal(&self, pid: i32, signal: i32) -> io::Result<()> {
        let mut message = vec![SIGNAL];
        message.extend(pid.to_le_bytes());
        message.extend(signal.to_le_bytes());
        socket::send_fds(self.socket()?, &message, &[])
    }

    /// The next news; `WouldBlock` if there are none and `wait` is false, `UnexpectedEof` if init is gone.
    pub(crate) fn news(&self, wait: bool) -> io::Result<News> {
        let mut bytes = [0_u8; 16];
        loop {
            let (n, mut fds) = socket::receive_fds(self.socket()?, &mut bytes, wait)?;
            let word = |i: usize| i32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
            let token = word(1).cast_unsigned();
            let news = match (n, bytes[0]) {
                (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (6, LISTENER) => match fds.pop() {
                    Some(fd) => News::Listener { token, fd, killable: bytes[5] != 0 },
                    None => continue,
                },
                (9, STARTED) => News::Started { token, pid: word(5) },
                (10, FAILED) => News::Failed { token, stage: Stage::from_byte(bytes[5]), errno: word(6) },
                (9, EXITED) => News::Exited { pid: word(1), status: word(5) },
                _ => News::Gone,
            };
            return Ok(news);
        }
    }
}

impl Drop for Init {
    /// Lets init end, and everything that it started; returns when all of it is gone.
    fn drop(&mut self) {
        self.socket = None;
        process::wait_for(self.pid);
    }
}

// ---- In init -------------------------------------------------------------------------------------------------------

fn run(socket: OwnedFd, group: i32) -> io::Result<()> {
    process::set_name(c"netspace-init");
    process::join_group(0);
    let children = process::watch_children()?;
    process::become_subreaper()?;
    let (socket, children) = leave_only(socket, children)?;
    let mut programs = Vec::new();
    loop {
        let ready = process::wait_readable(&[socket.as_raw_fd(), children.as_raw_fd()]);
        if ready.get(1) == Some(&true) {
            process::drain(children.as_fd());
            reap(&socket, &mut programs);
        }
        if ready.first() == Some(&true) && !serve(&socket, group, &mut programs) {
            break;
        }
    }
    end_all();
    Ok(())
}

/// Closes all that was inherited: a reader of netspace's output must not wait for init.
fn leave_only(socket: OwnedFd, children: OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for number in 0..3 {
        process::duplicate_to(null.as_raw_fd(), number)?;
    }
    // From here on only numbers count: the values of the caller's world are never dropped in this process.
    let keep = [socket.as_raw_fd(), children.as_raw_fd()];
    let high = keep.iter().copied().max().unwrap_or(3);
    let mut moved = Vec::new();
    for fd in [socket.as_fd(), children.as_fd()] {
        moved.push(fd.try_clone_to_owned()?);
    }
    std::mem::forget(null);
    std::mem::forget((socket, children));
    let lowest = moved.iter().map(AsRawFd::as_raw_fd).min().unwrap_or(high);
    let highest = moved.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(high);
    process::close_between(3, lowest.unsigned_abs());
    for number in lowest + 1..highest {
        if !moved.iter().any(|fd| fd.as_raw_fd() == number) {
            process::close_between(number.unsigned_abs(), number.unsigned_abs() + 1);
        }
    }
    process::close_from(highest.unsigned_abs() + 1, false);
    match <[OwnedFd; 2]>::try_from(moved) {
        Ok([socket, children]) => Ok((socket, children)),
        Err(_) => Err(io::ErrorKind::Other.into()),
    }
}

/// Joins what has ended, and says so.
fn reap(socket: &OwnedFd, programs: &mut Vec<i32>) {
    while let Ok(Some((pid, status))) = process::reap(false) {
        let mut message = vec![GONE];
        if let Some(at) = programs.iter().position(|&p| p == pid) {
            programs.swap_remove(at);
            message = vec![EXITED];
            message.extend(pid.to_le_bytes());
            message.extend(status.to_le_bytes());
        }
        // A supervisor that is gone shows on the socket; nobody is there to be told.
        let _ = socket::send_fds(socket.as_fd(), &message, &[]);
    }
}

/// Answers one message; false if the supervisor is gone.
fn serve(socket: &OwnedFd, group: i32, programs: &mut Vec<i32>) -> bool {
    let mut bytes = [0_u8; 16];
    let Ok((n, fds)) = socket::receive_fds(socket.as_fd(), &mut bytes, true) else { return false };
    let word = |i: usize| i32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    match (n, bytes[0]) {
        (0, _) => return false,
        (5, LAUNCH) => {
            let mut message;
            match launch(socket, word(1), &fds, group) {
                Ok(pid) => {
                    programs.push(pid);
                    message = vec![STARTED];
                    message.extend(word(1).to_le_bytes());
                    message.extend(pid.to_le_bytes());
                }
                Err((stage, error)) => {
                    message = vec![FAILED];
                    message.extend(word(1).to_le_bytes());
                    message.push(stage as u8);
                    message.extend(error.raw_os_error().unwrap_or(libc::EIO).to_le_bytes());
                }
            }
            let _ = socket::send_fds(socket.as_fd(), &message, &[]);
        }
        (9, SIGNAL) if programs.contains(&word(1).abs()) => {
            // It may have just ended: then there is nobody to signal.
            let _ = process::kill(word(1), word(5));
        }
        _ => {}
    }
    true
}

/// Kills and joins children until none are left; the children of the killed come to us, so nobody escapes.
fn end_all() {
    let own = std::process::id();
    loop {
        for pid in crate::procfs::children(own) {
            let _ = process::kill(pid.cast_signed(), libc::SIGKILL);
        }
        if process::reap(true).is_err() {
            return;
        }
    }
}

type StageResult<T> = Result<T, (Stage, io::Error)>;

fn at(stage: Stage) -> impl FnOnce(io::Error) -> (Stage, io::Error) {
    move |error| (stage, error)
}

/// Forks a program and waits until it has been executed.
fn launch(socket: &OwnedFd, token: i32, fds: &[OwnedFd], group: i32) -> StageResult<i32> {
    let [memory, stdio @ ..] = fds else { return Err((Stage::Setup, io::ErrorKind::InvalidInput.into())) };
    let block = read_block(memory).map_err(at(Stage::Setup))?;
    let (mut reader, writer) = io::pipe().map_err(at(Stage::Fork))?;
    let init = std::process::id();
    match process::fork().map_err(at(Stage::Fork))? {
        Forked::Child => {
            drop(reader);
            let (stage, error) = become_program(socket, token, &block, stdio, group, init);
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            let mut report = vec![stage as u8];
            report.extend(errno.to_le_bytes());
            let _ = io::Write::write_all(&mut &writer, &report);
            process::exit_now(127)
        }
        Forked::Parent(pid) => {
            drop(writer);
            let mut report = Vec::new();
            // An error of the pipe is taken as no report: then the exit status tells.
            let _ = io::Read::read_to_end(&mut reader, &mut report);
            match report[..] {
                [stage, a, b, c, d] => {
                    process::wait_for(pid);
                    let errno = i32::from_le_bytes([a, b, c, d]);
                    Err((Stage::from_byte(stage), io::Error::from_raw_os_error(errno)))
                }
                _ => Ok(pid),
            }
        }
    }
}

/// In the new process: everything up to execve(2). It returns only to tell what failed.
fn become_program(
    socket: &OwnedFd,
    token: i32,
    block: &Block,
    stdio: &[OwnedFd],
    group: i32,
    init: u32,
) -> (Stage, io::Error) {
    let prepared = (|| {
        process::die_with_parent();
        if process::parent().unsigned_abs() != init {
            process::exit_now(1);
        }
        settle(block, stdio, group)?;
        std::env::set_current_dir(&block.cwd).map_err(at(Stage::Directory))?;
        process::reset_signals();
        process::close_from(3, true);
        hand_over(socket, token).map_err(at(Stage::Filter))
    })();
    match prepared {
        Err(why) => why,
        Ok(()) => (Stage::Exec, exec_in_path(block)),
    }
}

/// Session, standard descriptors, user.
fn settle(block: &Block, stdio: &[OwnedFd], group: i32) -> StageResult<()> {
    let setup = |result: io::Result<()>| result.map_err(at(Stage::Setup));
    let terminal = stdio.get(3);
    if block.own_session || terminal.is_some() {
        setup(process::own_session(terminal.map(AsFd::as_fd)))?;
    } else {
        process::join_group(group);
    }
    for (number, fd) in (0..3).zip(stdio) {
        setup(process::duplicate_to(fd.as_raw_fd(), number))?;
    }
    if let Some((uid, gid)) = block.run_as {
        setup(process::become_user(uid, gid))?;
        // Changing the user clears it.
        process::die_with_parent();
    }
    Ok(())
}

/// Installs the filter and sends its listener to the supervisor: the one message that the filter lets through.
fn hand_over(socket: &OwnedFd, token: i32) -> io::Result<()> {
    let mut data = vec![LISTENER];
    data.extend(token.to_le_bytes());
    data.push(0);
    let number = socket.as_raw_fd();
    let mut message = FdMessage::new(&data, &[0]);
    let filter = filter::build(HandOver { fd: number.unsigned_abs(), header: message.address() });
    let (listener, killable) = seccomp::install(&filter)?;
    message.set_fd(listener.as_raw_fd());
    message.set_byte(5, u8::from(killable));
    message.send(number)?;
    // Closing it would be a call that nobody may answer yet: it goes with exec.
    std::mem::forget(listener);
    Ok(())
}

/// execvpe(3): a name without a slash is looked for along `PATH`.
fn exec_in_path(block: &Block) -> io::Error {
    let Some(name) = block.argv.first() else { return io::ErrorKind::InvalidInput.into() };
    if name.as_bytes().contains(&b'/') {
        return process::exec(name, &block.argv, &block.env);
    }
    let path = block.env.iter().find_map(|v| v.as_bytes().strip_prefix(b"PATH="));
    let path = path.unwrap_or(b"/usr/local/bin:/usr/bin:/bin");
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for directory in path.split(|&b| b == b':') {
        let directory = if directory.is_empty() { b".".as_slice() } else { directory };
        let full = [directory, b"/", name.as_bytes()].concat();
        let Ok(full) = CString::new(full) else { continue };
        let error = process::exec(&full, &block.argv, &block.env);
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
            worst = error;
        }
    }
    worst
}

// ---- The block as bytes --------------------------------------------------------------------------------------------

fn encode(block: &Block) -> Vec<u8> {
    fn put(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(bytes);
    }
    let mut out = vec![u8::from(block.own_session), u8::from(block.run_as.is_some())];
    let (uid, gid) = block.run_as.unwrap_or_default();
    out.extend(uid.to_le_bytes());
    out.extend(gid.to_le_bytes());
    put(&mut out, block.cwd.as_os_str().as_bytes());
    for list in [&block.argv, &block.env] {
        out.extend(u32::try_from(list.len()).unwrap_or(u32::MAX).to_le_bytes());
        list.iter().for_each(|item| put(&mut out, item.as_bytes()));
    }
    out
}

fn decode(bytes: &[u8]) -> Option<Block> {
    struct Reader<'a>(&'a [u8]);
    impl<'a> Reader<'a> {
        fn take(&mut self, n: usize) -> Option<&'a [u8]> {
            let (head, tail) = self.0.split_at_checked(n)?;
            self.0 = tail;
            Some(head)
        }
        fn word(&mut self) -> Option<u32> {
            self.take(4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
        }
        fn bytes(&mut self) -> Option<&'a [u8]> {
            let n = self.word()?;
            self.take(n as usize)
        }
        fn list(&mut self) -> Option<Vec<CString>> {
            let n = self.word()?;
            (0..n).map(|_| self.bytes().and_then(|b| CString::new(b).ok())).collect()
        }
    }
    let mut reader = Reader(bytes);
    let flags = reader.take(2)?;
    let user = (reader.word()?, reader.word()?);
    let cwd = PathBuf::from(std::ffi::OsStr::from_bytes(reader.bytes()?));
    let argv = reader.list()?;
    let env = reader.list()?;
    Some(Block { argv, env, cwd, own_session: flags[0] != 0, run_as: (flags[1] != 0).then_some(user) })
}

fn read_block(memory: &OwnedFd) -> io::Result<Block> {
    let mut file = std::fs::File::from(memory.try_clone()?);
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut file)?;
    io::Read::read_to_end(&mut file, &mut bytes)?;
    decode(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_survives_its_way_to_init() {
        let block = Block {
            argv: vec![c"sh".into(), c"-c".into(), c"".into()],
            env: vec![c"A=\xff".into()],
            cwd: "/tmp".into(),
            own_session: true,
            run_as: Some((65534, 7)),
        };
        assert_eq!(decode(&encode(&block)), Some(block));
        assert_eq!(decode(&[1, 0, 0]), None);
    }
}
