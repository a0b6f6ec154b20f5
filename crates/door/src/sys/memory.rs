//! Reading and writing the memory of a program that waits in a trapped call.
//!
//! The supervisor is an ancestor of every program, which is what Yama's `ptrace_scope` 1 asks for.

use std::io;

use super::check_size;

/// A piece of another process's memory: address and length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Where it starts.
    pub(crate) addr: u64,
    /// How long it is.
    pub(crate) len: usize,
}

/// How many pieces one call may name (`UIO_MAXIOV`).
pub(crate) const MAX_PIECES: usize = 1024;

fn remote_iovecs(pieces: &[Remote]) -> Vec<libc::iovec> {
    pieces
        .iter()
        .take(MAX_PIECES)
        .map(|piece| libc::iovec { iov_base: piece.addr as *mut libc::c_void, iov_len: piece.len })
        .collect()
}

/// Copies from `pieces` of `tid`'s memory into `into`; gives how many bytes could be read.
pub(crate) fn read(tid: u32, pieces: &[Remote], into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = remote_iovecs(pieces);
    // SAFETY: the kernel writes at most `into.len()` bytes into `into`, which we borrow mutably; the remote addresses are
    // looked up in the other process only, a bad one gives EFAULT.
    check_size(unsafe {
        libc::process_vm_readv(
            tid.cast_signed(),
            &raw const local,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    })
}

/// Copies `slices`, one after the other, into `pieces` of `tid`'s memory; gives how many bytes could be written.
pub(crate) fn write(tid: u32, slices: &[&[u8]], pieces: &[Remote]) -> io::Result<usize> {
    let local: Vec<libc::iovec> = slices
        .iter()
        .take(MAX_PIECES)
        .map(|slice| libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() })
        .collect();
    let remote = remote_iovecs(pieces);
    // SAFETY: the kernel only reads the local pieces, which we borrow; the remote addresses are looked up in the other
    // process only, a bad one gives EFAULT.
    check_size(unsafe {
        libc::process_vm_writev(
            tid.cast_signed(),
            local.as_ptr(),
            local.len() as libc::c_ulong,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    })
}
