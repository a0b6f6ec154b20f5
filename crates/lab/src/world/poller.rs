//! Waiting: one epoll for the door, control sockets and whatever else the world's user has.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};

/// Descriptors that wake the loop.
#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// How many descriptors one wait reports.
    const BATCH: usize = 64;

    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    pub(super) fn add(&self, fd: BorrowedFd<'_>, token: u64, writable: bool) -> io::Result<()> {
        let mut flags = EventFlags::IN | EventFlags::RDHUP;
        flags.set(EventFlags::OUT, writable);
        match epoll::add(&self.epoll, fd, EventData::new_u64(token), flags) {
            Err(rustix::io::Errno::EXIST) => {
                Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(token), flags)?)
            }
            other => Ok(other?),
        }
    }

    pub(super) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready or the time is over; the tokens of what is ready.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<u64>> {
        if timeout != Some(Duration::ZERO) {
            // ppoll(2) waits with nanoseconds where epoll_wait(2) has milliseconds.
            let timespec = timeout.and_then(|t| Timespec::try_from(t).ok());
            let mut fds = [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut fds, timespec.as_ref()) {
                Ok(0) => return Ok(Vec::new()),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            }
        }
        let mut events: [Event; Self::BATCH] =
            std::array::from_fn(|_| Event { flags: EventFlags::empty(), data: EventData::new_u64(0) });
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, &mut events[..], Some(&zero)) {
            Ok(n) => Ok(events[..n].iter().map(|e| e.data.u64()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
