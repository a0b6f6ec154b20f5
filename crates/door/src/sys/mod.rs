//! Everything here that the compiler cannot check: system calls without a safe wrapper.
//!
//! Each function is safe to call; the `unsafe` inside says why it is sound. Nothing outside this folder needs any.

pub(crate) mod epoll;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod shared;
pub(crate) mod socket;

use std::io;

/// A system call's result as Rust says it.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for calls that give a size.
fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
