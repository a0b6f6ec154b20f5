//! System calls that only [`crate::probe`] makes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// getcwd(2) as a bare system call, the buffer's content left to be seen by whoever answers it.
pub(crate) fn getcwd(buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel, or who answers in its place, writes at most `buffer.len()` bytes into what we borrow mutably.
    let result = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Moves this process into a user and network namespace of its own.
pub(crate) fn unshare_user_and_net() -> io::Result<()> {
    // SAFETY: no pointers; called in a child of one thread that ends right after.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) }).map(drop)
}

/// Copies descriptor `number` of the process behind `pidfd`.
pub(crate) fn pidfd_getfd(pidfd: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new and ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    let fd = check(fd as libc::c_int)?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits for `fd` at most so long; false if nothing came.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, timeout_ms: i32) -> bool {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the kernel reads and writes one entry.
    unsafe { libc::poll(&raw mut entry, 1, timeout_ms) == 1 && entry.revents & libc::POLLIN != 0 }
}
