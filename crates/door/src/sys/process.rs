//! Making, joining and ending processes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Which process [`fork`] returned in.
pub(crate) enum Forked {
    /// The new one.
    Child,
    /// The old one: the new one's number.
    Parent(i32),
}

/// fork(2).
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the child goes on with a copy of this thread only. It does not touch locks that other threads may have
    // held: it allocates (the C library makes its allocator usable after fork) and makes system calls, and ends with
    // `exit_now` or execve, never by returning into the caller's world.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// _exit(2): no destructors, no buffers flushed.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Makes this process the one that orphaned descendants are handed to.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: plain prctl(2) without pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// The name that ps(1) shows.
pub(crate) fn set_name(name: &CStr) {
    // SAFETY: the kernel reads a C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// This process gets SIGKILL when its parent ends.
pub(crate) fn die_with_parent() {
    // SAFETY: plain prctl(2) without pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// The parent's number.
pub(crate) fn parent() -> i32 {
    // SAFETY: cannot fail.
    unsafe { libc::getppid() }
}

/// A process's group.
pub(crate) fn group_of(pid: i32) -> i32 {
    // SAFETY: no pointers.
    unsafe { libc::getpgid(pid) }
}

/// Puts this process into a group (0: one of its own).
pub(crate) fn join_group(group: i32) {
    // SAFETY: no pointers. A group of another session cannot be joined; then it stays in its own.
    unsafe { libc::setpgid(0, group) };
}

/// Starts a session of its own, with `terminal` as its terminal.
pub(crate) fn own_session(terminal: Option<BorrowedFd<'_>>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setsid() })?;
    if let Some(terminal) = terminal {
        // SAFETY: TIOCSCTTY takes an integer.
        check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 0) })?;
    }
    Ok(())
}

/// Gives up the rights of the user that we are, for those of another (to be used by root only).
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: the group list is empty; the other calls take integers.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setgid(gid))?;
        check(libc::setuid(uid)).map(drop)
    }
}

/// Makes `number` a descriptor of what `fd` is.
pub(crate) fn duplicate_to(fd: RawFd, number: RawFd) -> io::Result<()> {
    if fd == number {
        // SAFETY: fcntl with an integer argument.
        return check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop);
    }
    // SAFETY: no pointers. The numbers used are this child's own to replace.
    check(unsafe { libc::dup2(fd, number) }).map(drop)
}

/// Every descriptor from `first` on is closed (or will be on exec).
pub(crate) fn close_from(first: u32, on_exec: bool) {
    let flags: libc::c_uint = if on_exec { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: used only in a freshly forked child, by which nothing is owned that is used later.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
}

/// The descriptors from `first` up to but not including `end` are closed.
pub(crate) fn close_between(first: u32, end: u32) {
    if first < end {
        // SAFETY: as in `close_from`.
        unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0 as libc::c_uint) };
    }
}

/// Blocks all signals and gives a descriptor that is readable when a child has ended.
pub(crate) fn watch_children() -> io::Result<OwnedFd> {
    // SAFETY: sigset_t is plain bytes filled by sigfillset/sigemptyset; the kernel reads them.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()))?;
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Takes what a descriptor from [`watch_children`] has to tell.
pub(crate) fn drain(fd: BorrowedFd<'_>) {
    let mut bytes = [0_u8; 1024];
    // SAFETY: the kernel writes at most 1024 bytes.
    while unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) } > 0 {}
}

/// Signals as a new program expects them: default actions, nothing blocked.
pub(crate) fn reset_signals() {
    const LAST: i32 = 64;
    for signal in 1..=LAST {
        // SAFETY: setting a default action; signals that cannot be set are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: as in `watch_children`.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Waits until one of two descriptors is readable or ended.
pub(crate) fn wait_readable(fds: &[RawFd]) -> Vec<bool> {
    let mut entries: Vec<libc::pollfd> =
        fds.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: the kernel reads and writes `entries`.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, -1) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}

/// Joins one ended child, if there is one; `block` waits for it. None: no child has ended, `Err`: there are none.
pub(crate) fn reap(block: bool) -> io::Result<Option<(i32, i32)>> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    let pid = check(unsafe { libc::waitpid(-1, &raw mut status, if block { 0 } else { libc::WNOHANG }) })?;
    Ok((pid != 0).then_some((pid, status)))
}

/// Joins one child.
pub(crate) fn wait_for(pid: i32) {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
}

/// kill(2). A negative number names a group.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Gives a thread a signal.
pub(crate) fn signal_thread(tid: u32, signal: i32) {
    // SAFETY: no pointers. A thread that is gone gets no signal.
    unsafe { libc::syscall(libc::SYS_tkill, tid.cast_signed(), signal) };
}

/// A descriptor that is readable when the process has ended.
pub(crate) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new and ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(fd as libc::c_int)?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Raises the number of descriptors that this process may have as far as it is allowed to.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes, then reads one rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// execve(2). It returns only to tell why it failed.
pub(crate) fn exec(path: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect::<Vec<_>>()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: null-terminated arrays of C strings that live through the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
