//! What this machine allows the door to do, found by doing it: in child processes that end right after.
//!
//! `netspace doctor` prints it. Each finding is an errno, so that the caller can tell "not in this kernel" (`ENOSYS`,
//! `EINVAL`) from "not allowed here" (`EPERM`) from "taken already" (`EBUSY`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::filter;
use crate::sys::{memory, probe as sys, process, seccomp};

/// How long a step may take before it counts as failed, milliseconds.
const PATIENCE_MS: i32 = 5000;
const BEFORE: &[u8; 16] = b"netspace: before";
const AFTER: &[u8; 16] = b"netspace: after.";

/// One thing that was tried: `Ok`, or the errno it failed with; `None` if it could not even be tried.
pub type Finding = Option<Result<(), i32>>;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Findings {
    /// A seccomp filter with a listener (Linux 5.0); `EBUSY`: this process is under another listener already.
    pub listener: Finding,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (Linux 5.19).
    pub wait_killable: Finding,
    /// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6).
    pub sync_wake_up: Finding,
    /// process_vm_readv(2) on a program that waits in a trapped call.
    pub read_memory: Finding,
    /// process_vm_writev(2) on it.
    pub write_memory: Finding,
    /// Answering a trapped call with a descriptor (`SECCOMP_ADDFD_FLAG_SEND`, Linux 5.14).
    pub add_fd: Finding,
    /// The program saw what it was meant to see.
    pub round_trip: Finding,
    /// pidfd_getfd(2) (Linux 5.6); only to do better where it is allowed.
    pub pidfd_getfd: Finding,
    /// A user namespace with a network namespace in it; only to do better where it is allowed.
    pub user_namespace: Finding,
}

/// Tries everything.
pub fn run() -> io::Result<Findings> {
    let door = in_child::<7>(try_door)?;
    let extras = in_child::<2>(|results| {
        results[0] = errno_of(try_pidfd_getfd());
        results[1] = errno_of(sys::unshare_user_and_net());
    })?;
    let finding = |result: i32| match result {
        UNTRIED => None,
        0 => Some(Ok(())),
        errno => Some(Err(errno)),
    };
    Ok(Findings {
        listener: finding(door[0]),
        wait_killable: finding(door[1]),
        sync_wake_up: finding(door[2]),
        read_memory: finding(door[3]),
        write_memory: finding(door[4]),
        add_fd: finding(door[5]),
        round_trip: finding(door[6]),
        pidfd_getfd: finding(extras[0]),
        user_namespace: finding(extras[1]),
    })
}

const UNTRIED: i32 = -1;

fn errno_of<T>(result: io::Result<T>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Runs `work` in a child, which tells its results through a pipe.
fn in_child<const N: usize>(work: impl FnOnce(&mut [i32; N])) -> io::Result<[i32; N]> {
    let (mut reader, mut writer) = io::pipe()?;
    match process::fork()? {
        process::Forked::Child => {
            let mut results = [UNTRIED; N];
            work(&mut results);
            let bytes: Vec<u8> = results.iter().flat_map(|result| result.to_ne_bytes()).collect();
            let told = writer.write_all(&bytes);
            process::exit_now(i32::from(told.is_err()));
        }
        process::Forked::Parent(pid) => {
            drop(writer);
            let mut bytes = Vec::new();
            let read = reader.read_to_end(&mut bytes);
            process::wait_for(pid);
            read?;
            let mut results = [UNTRIED; N];
            for (result, bytes) in results.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *result = i32::from_ne_bytes(*bytes);
            }
            Ok(results)
        }
    }
}

/// The door in small: a filter that traps one call, a program that makes it, a supervisor that answers it.
fn try_door(results: &mut [i32; 7]) {
    let (listener, killable) = match seccomp::install(&filter::trap_one(libc::SYS_getcwd)) {
        Ok(installed) => installed,
        Err(error) => {
            results[0] = errno_of::<()>(Err(error));
            return;
        }
    };
    results[0] = 0;
    results[1] = if killable { 0 } else { libc::EINVAL };
    results[2] = if seccomp::set_sync_wake_up(listener.as_fd()) { 0 } else { libc::EINVAL };
    let program = match process::fork() {
        Ok(process::Forked::Child) => {
            // It holds the listener too: without this it would wait for ever if the supervisor were killed.
            process::die_with_parent();
            let mut buffer = *BEFORE;
            let answered = sys::getcwd(&mut buffer).is_ok() && buffer == *AFTER;
            process::exit_now(i32::from(!answered));
        }
        Ok(process::Forked::Parent(pid)) => pid,
        Err(_) => return,
    };
    if !answer_one(listener.as_fd(), results) {
        // It waits for an answer that will not come.
        let _ = process::kill(program, libc::SIGKILL);
    }
    let ended = process::reap(true);
    results[6] = if matches!(ended, Ok(Some((_, 0)))) { 0 } else { libc::EIO };
}

/// Takes the program's call, reads and writes its memory, answers with a descriptor; false if it was not answered.
fn answer_one(listener: BorrowedFd<'_>, results: &mut [i32; 7]) -> bool {
    if !sys::wait_readable(listener, PATIENCE_MS) {
        return false;
    }
    let Ok(call) = seccomp::receive(listener) else { return false };
    let buffer = [memory::Remote { addr: call.data.args[0], len: BEFORE.len() }];
    let mut seen = [0; BEFORE.len()];
    results[3] = errno_of(memory::read(call.tid, &buffer, &mut seen));
    if results[3] == 0 && seen != *BEFORE {
        results[3] = libc::EFAULT;
    }
    results[4] = errno_of(memory::write(call.tid, &[AFTER], &buffer));
    let Ok(file) = File::open("/dev/null") else { return false };
    let added = seccomp::answer_with_fd(listener, call.id, file.as_fd(), true);
    let failed = added.is_err();
    results[5] = errno_of(added);
    !failed || seccomp::fail(listener, call.id, libc::EIO).is_ok()
}

fn try_pidfd_getfd() -> io::Result<()> {
    let (mut reader, writer) = io::pipe()?;
    match process::fork()? {
        process::Forked::Child => {
            drop(writer);
            // Lives until the other side has what it wants.
            let _ = reader.read(&mut [0]);
            process::exit_now(0);
        }
        process::Forked::Parent(pid) => {
            let copied = process::pidfd(pid.unsigned_abs())
                .and_then(|pidfd| sys::pidfd_getfd(pidfd.as_fd(), 0))
                .map(drop);
            drop(writer);
            process::wait_for(pid);
            copied
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_tried_where_a_listener_is_allowed() {
        let findings = run().expect("children can be made");
        if findings.listener == Some(Ok(())) {
            assert!(findings.wait_killable.is_some() && findings.sync_wake_up.is_some());
            assert!(findings.read_memory.is_some() && findings.add_fd.is_some());
            if findings.write_memory == Some(Ok(())) && findings.add_fd == Some(Ok(())) {
                assert_eq!(findings.round_trip, Some(Ok(())));
            }
        }
    }
}
