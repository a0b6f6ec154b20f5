//! What `/proc` tells about the lab's processes.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// The inode of the socket that descriptor `fd` of thread `tid` is; none if it is no socket, or there is none.
pub(crate) fn socket_inode(tid: u32, fd: u32) -> Option<u64> {
    let meta = fs::metadata(format!("/proc/{tid}/fd/{fd}")).ok()?;
    meta.file_type().is_socket().then(|| meta.ino())
}

/// Device and inode of the file that descriptor `fd` of thread `tid` is.
pub(crate) fn identity(tid: u32, fd: u32) -> Option<(u64, u64)> {
    fs::metadata(format!("/proc/{tid}/fd/{fd}")).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The first number from `first` up to `end` that no descriptor of thread `tid` has.
pub(crate) fn free_number(tid: u32, first: u32, end: u32) -> Option<u32> {
    (first..end).find(|fd| fs::symlink_metadata(format!("/proc/{tid}/fd/{fd}")).is_err())
}

fn open_flags(tid: u32, fd: u32) -> i32 {
    let Ok(info) = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")) else { return 0 };
    info.lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok())
        .unwrap_or(0)
}

/// Whether the open file behind a descriptor has `O_NONBLOCK` set.
pub(crate) fn is_nonblocking(tid: u32, fd: u32) -> bool {
    open_flags(tid, fd) & libc::O_NONBLOCK != 0
}

/// Whether a descriptor is closed on exec.
pub(crate) fn is_close_on_exec(tid: u32, fd: u32) -> bool {
    open_flags(tid, fd) & libc::O_CLOEXEC != 0
}

/// The children of a process, of all its threads.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut children = Vec::new();
    for task in tasks.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => children.extend(list.split_ascii_whitespace().filter_map(|n| n.parse::<u32>().ok())),
            // The kernel was built without that file: every process is asked for its parent.
            Err(_) => return children_by_parent(pid),
        }
    }
    children
}

fn children_by_parent(pid: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&process| status_number(process, "PPid:") == Some(pid))
        .collect()
}

/// A process and all that descend from it.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&pid) = all.get(next) {
        all.extend(children(pid));
        next += 1;
    }
    all
}

/// The inodes of all sockets that a process has open.
pub(crate) fn open_sockets(pid: u32, mut found: impl FnMut(u64)) {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
    for fd in fds.flatten() {
        let Ok(target) = fs::read_link(fd.path()) else { continue };
        let inode = target
            .to_str()
            .and_then(|t| t.strip_prefix("socket:["))
            .and_then(|t| t.strip_suffix(']'))
            .and_then(|n| n.parse().ok());
        if let Some(inode) = inode {
            found(inode);
        }
    }
}

/// How many descriptors a process has of a socket.
pub(crate) fn copies(pid: u32, inode: u64) -> usize {
    let mut copies = 0;
    open_sockets(pid, |open| copies += usize::from(open == inode));
    copies
}

fn status_number(pid: u32, key: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

/// The process that a thread belongs to.
pub(crate) fn process_of(tid: u32) -> Option<u32> {
    status_number(tid, "Tgid:")
}

/// The user that a thread runs as.
pub(crate) fn user(tid: u32) -> u32 {
    fs::metadata(format!("/proc/{tid}")).map_or(0, |meta| meta.uid())
}

/// The name of a thread's program.
pub(crate) fn name(tid: u32) -> String {
    fs::read_to_string(format!("/proc/{tid}/comm")).map(|s| s.trim_end().to_owned()).unwrap_or_default()
}

/// How it stands with the signals of a thread that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signals {
    /// None that it would act upon.
    None,
    /// One is pending: the call must be interrupted.
    Pending,
    /// The thread is gone.
    Gone,
}

/// Whether a signal waits for a thread: pending, not blocked, and not ignored.
pub(crate) fn signals(tid: u32) -> Signals {
    fs::read_to_string(format!("/proc/{tid}/status")).map_or(Signals::Gone, |status| signals_in(&status))
}

fn signals_in(status: &str) -> Signals {
    let set = |key: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0)
    };
    if status.lines().any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX")) {
        return Signals::Gone;
    }
    let pending = (set("SigPnd:") | set("ShdPnd:")) & !set("SigBlk:") & !set("SigIgn:");
    if pending == 0 { Signals::None } else { Signals::Pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_signal_counts_unless_blocked_or_ignored() {
        let status = |pending: &str, blocked: &str, ignored: &str| {
            format!(
                "State:\tS (sleeping)\nSigPnd:\t0000\nShdPnd:\t{pending}\nSigBlk:\t{blocked}\nSigIgn:\t{ignored}\n"
            )
        };
        assert_eq!(signals_in(&status("2000", "0", "0")), Signals::Pending);
        assert_eq!(signals_in(&status("2000", "2000", "0")), Signals::None);
        assert_eq!(signals_in(&status("2000", "0", "2000")), Signals::None);
        assert_eq!(signals_in("State:\tZ (zombie)\n"), Signals::Gone);
    }

    #[test]
    fn sockets_are_found_by_their_inode() {
        use std::os::fd::{AsFd, AsRawFd};
        let (a, _b) = crate::sys::socket::pair(crate::sys::socket::Kind::Stream).unwrap();
        let inode = crate::sys::socket::inode(a.as_fd()).unwrap();
        let own = std::process::id();
        assert_eq!(socket_inode(own, a.as_raw_fd().unsigned_abs()), Some(inode));
        let mut seen = false;
        open_sockets(own, |i| seen |= i == inode);
        assert!(seen);
        assert!(!is_nonblocking(own, a.as_raw_fd().unsigned_abs()));
    }
}
