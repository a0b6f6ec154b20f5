//! What native calls have left of an error that a stand-in shows.
//!
//! The error of a broken stream is the kernel's, on the program's end: whichever call meets it first takes it away, and
//! most of those calls are not trapped. The door has no descriptor of that end any more; but an epoll set goes on
//! watching an open file whose descriptor is closed here, and holds nothing: it does not put off the last close.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::sys::epoll::{self, Epoll, Ready};

/// Sets among which the stream ends are shared out: one question walks all ends of its set that are broken and still open.
const SETS: u64 = 16;
/// Most batches that one question looks at.
const MAX_BATCHES: usize = 1024;

/// Watches the program's ends of connected streams.
#[derive(Debug)]
pub(crate) struct Witness {
    sets: Vec<Epoll>,
    ready: Vec<Ready>,
}

impl Witness {
    pub(crate) fn new() -> io::Result<Self> {
        let sets = (0..SETS).map(|_| Epoll::new()).collect::<io::Result<_>>()?;
        Ok(Self { sets, ready: Vec::new() })
    }

    fn set(&self, inode: u64) -> Option<&Epoll> {
        self.sets.get((inode % SETS) as usize)
    }

    /// Watches the program's end with this inode, until its last close.
    pub(crate) fn add(&self, inner: &OwnedFd, inode: u64) {
        if let Some(set) = self.set(inode) {
            // No bits are asked for: an error and a hang-up are told always. Without a witness the error seems to be told.
            let _ = set.add(inner.as_fd(), 0, inode);
        }
    }

    /// Whether the end still shows its error.
    pub(crate) fn shows_error(&mut self, inode: u64) -> bool {
        let mut ready = std::mem::take(&mut self.ready);
        let found = self.set(inode).and_then(|set| find(set, inode, &mut ready));
        self.ready = ready;
        found.is_some_and(|bits| bits & epoll::ERR != 0)
    }
}

/// What the end is ready for. The kernel gives the ready ends in turn, batch by batch, and begins anew after the last.
fn find(set: &Epoll, inode: u64, ready: &mut Vec<Ready>) -> Option<u32> {
    let mut first = None;
    for _ in 0..MAX_BATCHES {
        set.wait(ready, Some(Duration::ZERO)).ok()?;
        if let Some(event) = ready.iter().find(|event| event.token == inode) {
            return Some(event.bits);
        }
        let token = ready.first()?.token;
        if ready.iter().any(|event| Some(event.token) == first) {
            return None;
        }
        first.get_or_insert(token);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{self, Kind};

    /// A broken end and the inode that it is known by.
    fn broken(witness: &Witness) -> (OwnedFd, u64) {
        let (inner, outer) = socket::pair(Kind::Stream).unwrap();
        let inode = socket::inode(inner.as_fd()).unwrap();
        witness.add(&inner, inode);
        socket::send(inner.as_fd(), b"unread").unwrap();
        drop(outer);
        (inner, inode)
    }

    #[test]
    fn an_error_is_seen_until_it_is_taken_among_many_others() {
        // More than a batch in each set.
        const MANY: usize = 2000;
        let mut witness = Witness::new().unwrap();
        let ends: Vec<_> = (0..MANY).map(|_| broken(&witness)).collect();
        for (inner, inode) in &ends {
            assert!(witness.shows_error(*inode));
            assert_ne!(socket::take_error(inner.as_fd()), 0);
            assert!(!witness.shows_error(*inode));
        }
        let (_whole, other) = socket::pair(Kind::Stream).unwrap();
        assert!(!witness.shows_error(socket::inode(other.as_fd()).unwrap()), "none that is not watched");
    }
}
