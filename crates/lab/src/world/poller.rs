//! Waiting: one epoll for control sockets and whatever else the world's user has.

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
    /// Waits longer than this are cut in two.
    const COARSE: Duration = Duration::from_millis(20);

    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Readable when something is ready.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
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
        let timeout = match timeout {
            // epoll_wait(2) counts milliseconds: it is good for the long part of a wait, and the next one does the rest.
            Some(t) if t > Self::COARSE => {
                Some(Duration::from_millis((t - Self::COARSE / 2).as_millis() as u64))
            }
            Some(t) if !t.is_zero() => {
                // ppoll(2) waits with nanoseconds.
                let timespec = Timespec::try_from(t).ok();
                let mut fds = [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)];
                match rustix::event::poll(&mut fds, timespec.as_ref()) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
                    Ok(_) => Some(Duration::ZERO),
                    Err(error) => return Err(error.into()),
                }
            }
            other => other,
        };
        let mut events: [Event; Self::BATCH] =
            std::array::from_fn(|_| Event { flags: EventFlags::empty(), data: EventData::new_u64(0) });
        let timespec = timeout.and_then(|t| Timespec::try_from(t).ok());
        match epoll::wait(&self.epoll, &mut events[..], timespec.as_ref()) {
            Ok(n) => Ok(events[..n].iter().map(|e| e.data.u64()).collect()),
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
