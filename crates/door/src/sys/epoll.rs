//! epoll(7).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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
        let mut event = libc::epoll_event { events: bits, u64: token };
        // SAFETY: the kernel reads one epoll_event.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event)
        })
        .map(drop)
    }

    /// Watches `fd` no more.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: EPOLL_CTL_DEL reads no event. A descriptor that is not in the set is no harm.
        unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut())
        };
    }

    /// What is ready now; waits up to `timeout_ms` (-1: for ever).
    pub(crate) fn wait(&self, ready: &mut Vec<Ready>, timeout_ms: i32) -> io::Result<()> {
        const BATCH: usize = 64;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        ready.clear();
        // SAFETY: the kernel writes at most BATCH events.
        let n = check(unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), BATCH as libc::c_int, timeout_ms)
        })?;
        let n = usize::try_from(n).unwrap_or(0);
        ready.extend(events.iter().take(n).map(|event| Ready { token: event.u64, bits: event.events }));
        Ok(())
    }
}
