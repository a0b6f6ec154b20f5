//! epoll(7).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::check;

/// Ready to read.
pub(crate) const IN: u32 = libc::EPOLLIN as u32;
/// Ready to write.
pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
/// The other end will send no more.
pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
/// Both directions have ended.
pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;

/// An error is pending.
pub(crate) const ERR: u32 = libc::EPOLLERR as u32;

/// Tell changes, not states.
pub(crate) const EDGE: u32 = libc::EPOLLET as u32;

/// How many ready descriptors one wait tells of.
pub(crate) const BATCH: usize = 64;

/// A set of watched descriptors.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// What is ready: its name and what for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The name given to [`Epoll::add`].
    pub(crate) token: u64,
    /// Which of the bits above.
    pub(crate) bits: u32,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The set's own descriptor, readable when something is ready.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    /// Watches `fd` under the name `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, bits: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, bits, token)
    }

    /// Watches `fd` no more.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: EPOLL_CTL_DEL reads no event. A descriptor that is not in the set is no harm.
        unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut())
        };
    }

    /// Changes what `fd` is watched for; what it is ready for already is told once more.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, bits: u32, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, bits, token)
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, bits: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: bits, u64: token };
        // SAFETY: the kernel reads one epoll_event.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) })
            .map(drop)
    }

    /// What is ready; waits up to `timeout` (none: for ever).
    pub(crate) fn wait(&self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        ready.clear();
        let n = match timeout {
            Some(Duration::ZERO) => self.wait_ms(&mut events, 0)?,
            None => self.wait_ms(&mut events, -1)?,
            Some(timeout) => match self.wait_exactly(&mut events, timeout) {
                // Linux before 5.11: with milliseconds, the last of which is waited for in vain by the next call.
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    self.wait_ms(&mut events, i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))?
                }
                other => other?,
            },
        };
        ready.extend(events.iter().take(n).map(|event| Ready { token: event.u64, bits: event.events }));
        Ok(())
    }

    fn wait_ms(&self, events: &mut [libc::epoll_event; BATCH], timeout_ms: i32) -> io::Result<usize> {
        // SAFETY: the kernel writes at most BATCH events.
        let n = check(unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), BATCH as libc::c_int, timeout_ms)
        })?;
        Ok(usize::try_from(n).unwrap_or(0))
    }

    fn wait_exactly(&self, events: &mut [libc::epoll_event; BATCH], timeout: Duration) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // SAFETY: the kernel reads one timespec, no signal mask, and writes at most BATCH events.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                BATCH as libc::c_int,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0,
            )
        };
        check(n as libc::c_int).map(|n| usize::try_from(n).unwrap_or(0))
    }
}
