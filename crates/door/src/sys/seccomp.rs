//! seccomp user notification: installing a filter, receiving calls, answering them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// One instruction of a classic BPF program, as seccomp(2) takes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Insn {
    /// Operation.
    pub(crate) code: u16,
    /// Instructions to skip if the comparison holds.
    pub(crate) jt: u8,
    /// Instructions to skip if it does not.
    pub(crate) jf: u8,
    /// Constant.
    pub(crate) k: u32,
}

#[repr(C)]
struct Program {
    len: u16,
    insns: *const Insn,
}

/// `struct seccomp_data`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallData {
    /// System call number.
    pub(crate) nr: i32,
    /// `AUDIT_ARCH_…`.
    pub(crate) arch: u32,
    /// Where in the program.
    pub(crate) instruction_pointer: u64,
    /// Its arguments.
    pub(crate) args: [u64; 6],
}

/// `struct seccomp_notif`: a trapped call that waits for its answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notification {
    /// Names the waiting call.
    pub(crate) id: u64,
    /// Thread that made it, as the supervisor numbers threads.
    pub(crate) tid: u32,
    flags: u32,
    /// The call.
    pub(crate) data: CallData,
}

#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

// _IOWR('!', n, struct …), the same on every architecture that Linux's generic ioctl numbers serve (x86, Arm, RISC-V).
const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;
const NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102;
const NOTIF_ADDFD: libc::c_ulong = 0x4018_2103;
const NOTIF_SET_FLAGS: libc::c_ulong = 0x4008_2104;
const FLAG_CONTINUE: u32 = 1;
const ADDFD_FLAG_SETFD: u32 = 1;
const ADDFD_FLAG_SEND: u32 = 2;
const FILTER_FLAG_NEW_LISTENER: libc::c_ulong = 1 << 3;
const FILTER_FLAG_WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;
const FD_SYNC_WAKE_UP: libc::c_ulong = 1;

/// Installs `filter` on the calling thread and gives the descriptor on which its notifications arrive, and whether a
/// received call is shielded from signals (`WAIT_KILLABLE_RECV`, Linux 5.19).
pub(crate) fn install(filter: &[Insn]) -> io::Result<(OwnedFd, bool)> {
    let program = Program { len: u16::try_from(filter.len()).unwrap_or(u16::MAX), insns: filter.as_ptr() };
    // SAFETY: plain prctl(2) without pointers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    for (flags, killable) in
        [(FILTER_FLAG_NEW_LISTENER | FILTER_FLAG_WAIT_KILLABLE_RECV, true), (FILTER_FLAG_NEW_LISTENER, false)]
    {
        // SAFETY: `program` and the instructions it points to live through the call; the kernel only reads them.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                std::ptr::from_ref(&program),
            )
        };
        if let Ok(fd) = libc::c_int::try_from(fd)
            && fd >= 0
        {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            return Ok((unsafe { OwnedFd::from_raw_fd(fd) }, killable));
        }
        let error = io::Error::last_os_error();
        if !killable || error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// Asks the kernel to switch directly between program and supervisor (Linux 6.6). Older kernels do without.
pub(crate) fn set_sync_wake_up(listener: BorrowedFd<'_>) -> bool {
    // SAFETY: this ioctl takes its argument by value.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SET_FLAGS as _, FD_SYNC_WAKE_UP) == 0 }
}

/// Takes one notification. It blocks when there is none: poll first. `ENOENT` (the caller died meanwhile) and `EINTR`
/// are normal.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    let mut notification = Notification::default();
    // SAFETY: the kernel writes one `struct seccomp_notif`, whose layout `Notification` repeats; it must be zeroed before.
    check(unsafe {
        libc::ioctl(listener.as_raw_fd(), NOTIF_RECV as _, std::ptr::from_mut(&mut notification))
    })?;
    Ok(notification)
}

fn respond(listener: BorrowedFd<'_>, response: &Response) -> io::Result<()> {
    // SAFETY: the kernel reads one `struct seccomp_notif_resp`, whose layout `Response` repeats.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND as _, std::ptr::from_ref(response)) })
        .map(drop)
}

/// The call returns `val`.
pub(crate) fn answer(listener: BorrowedFd<'_>, id: u64, val: i64) -> io::Result<()> {
    respond(listener, &Response { id, val, error: 0, flags: 0 })
}

/// The call fails with `errno` (or, with the kernel's internal `ERESTARTSYS` = 512, is interrupted by the signal that
/// is pending: `EINTR` or a restart, as the program's `SA_RESTART` says).
pub(crate) fn fail(listener: BorrowedFd<'_>, id: u64, errno: i32) -> io::Result<()> {
    respond(listener, &Response { id, val: 0, error: -errno, flags: 0 })
}

/// The kernel carries the call out as if nobody had looked.
pub(crate) fn proceed(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    respond(listener, &Response { id, val: 0, error: 0, flags: FLAG_CONTINUE })
}

/// Whether the call still waits. To be asked after reading the caller's memory: only then was it the caller's.
pub(crate) fn is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one u64.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ID_VALID as _, std::ptr::from_ref(&id)) == 0 }
}

/// Puts `fd` into the caller's table under the lowest free number and lets the call return that number, in one step;
/// gives the number.
pub(crate) fn answer_with_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    close_on_exec: bool,
) -> io::Result<u32> {
    add_fd(listener, &addfd(id, fd, ADDFD_FLAG_SEND, 0, close_on_exec)).map(i32::unsigned_abs)
}

/// The same under a number of our choice.
pub(crate) fn answer_with_number(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    number: u32,
    close_on_exec: bool,
) -> io::Result<()> {
    add_fd(listener, &addfd(id, fd, ADDFD_FLAG_SEND | ADDFD_FLAG_SETFD, number, close_on_exec)).map(drop)
}

/// Puts `fd` into the caller's table in place of `number`. The call goes on waiting.
pub(crate) fn replace_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    number: u32,
    close_on_exec: bool,
) -> io::Result<()> {
    add_fd(listener, &addfd(id, fd, ADDFD_FLAG_SETFD, number, close_on_exec)).map(drop)
}

fn addfd(id: u64, fd: BorrowedFd<'_>, flags: u32, newfd: u32, close_on_exec: bool) -> AddFd {
    let newfd_flags = if close_on_exec { libc::O_CLOEXEC.unsigned_abs() } else { 0 };
    AddFd { id, flags, srcfd: fd.as_raw_fd().unsigned_abs(), newfd, newfd_flags }
}

fn add_fd(listener: BorrowedFd<'_>, request: &AddFd) -> io::Result<i32> {
    // SAFETY: the kernel reads one `struct seccomp_notif_addfd`, whose layout `AddFd` repeats.
    check(unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_ADDFD as _, std::ptr::from_ref(request)) })
}
