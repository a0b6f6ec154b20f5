//! Receive and error queues of datagram sockets, with Linux's accounting of memory.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Received, RecvControl};

/// Bytes of memory that Linux counts for a packet of `len` bytes on the socket's queue (`truesize`): the descriptor (256),
/// the data with headers and the shared info (320), rounded up as its allocator does: 576 for small ones, then powers of
/// two. Programs see it in how many small datagrams fit `SO_RCVBUF`.
pub(crate) fn truesize(len: usize) -> usize {
    const DESCRIPTOR: usize = 256;
    const SMALL: usize = 576;
    const SHARED_INFO: usize = 320;
    const HEADERS: usize = 64;
    let data = len + HEADERS + SHARED_INFO;
    DESCRIPTOR + if data <= SMALL { SMALL } else { data.next_power_of_two() }
}

/// A datagram that waits to be read.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) data: SmallVec<[Bytes; 2]>,
    pub(crate) from: SocketAddr,
    pub(crate) control: RecvControl,
}

impl Datagram {
    pub(crate) fn len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }
}

/// Datagrams in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct RecvQueue {
    items: VecDeque<(usize, Datagram)>,
    /// Memory used (`sk_rmem_alloc`).
    memory: usize,
    /// Datagrams refused, mostly because the memory was used up.
    pub(crate) drops: u32,
}

impl RecvQueue {
    /// Queues a datagram; false, and counted, if it would exceed `rcvbuf`. As on Linux an empty queue takes any.
    pub(crate) fn push(&mut self, rcvbuf: u32, mut datagram: Datagram) -> bool {
        let size = truesize(datagram.len());
        if self.memory > 0 && self.memory + size > rcvbuf as usize {
            self.drops = self.drops.wrapping_add(1);
            return false;
        }
        self.memory += size;
        datagram.control.drops = self.drops;
        self.items.push_back((size, datagram));
        true
    }

    /// Counts a datagram that was refused for another reason.
    pub(crate) fn refuse(&mut self) {
        self.drops = self.drops.wrapping_add(1);
    }

    /// Takes the first datagram, or only copies it (`MSG_PEEK`).
    pub(crate) fn take(&mut self, peek: bool) -> Option<Datagram> {
        if peek {
            return self.items.front().map(|(_, datagram)| datagram.clone());
        }
        let (size, datagram) = self.items.pop_front()?;
        self.memory -= size;
        Some(datagram)
    }

    /// Bytes of the first datagram.
    pub(crate) fn first_len(&self) -> usize {
        self.items.front().map_or(0, |(_, datagram)| datagram.len())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Memory used, bytes: what `ss` and `/proc/net/udp` show as receive queue.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }
}

/// Errors with the packets they are about (`MSG_ERRQUEUE`).
#[derive(Debug, Default)]
pub(crate) struct ErrorQueue {
    items: VecDeque<(usize, Received)>,
    memory: usize,
}

impl ErrorQueue {
    /// Queues an error; false if the memory of the receive buffer is used up.
    pub(crate) fn push(&mut self, rcvbuf: u32, received: Received) -> bool {
        let size = truesize(received.len());
        if self.memory + size > rcvbuf as usize {
            return false;
        }
        self.memory += size;
        self.items.push_back((size, received));
        true
    }

    /// Takes the oldest, and tells the one that comes next.
    pub(crate) fn pop(&mut self) -> Option<(Received, Option<&Received>)> {
        let (size, received) = self.items.pop_front()?;
        self.memory -= size;
        Some((received, self.items.front().map(|(_, next)| next)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(len: usize) -> Datagram {
        Datagram {
            data: SmallVec::from_iter([Bytes::from(vec![0; len])]),
            from: "10.0.0.1:1".parse().unwrap(),
            control: RecvControl::default(),
        }
    }

    #[test]
    fn the_default_buffer_holds_as_many_datagrams_as_on_linux() {
        // Counted on Linux 6.18's loopback with the default SO_RCVBUF.
        for (len, fit) in [(1, 256), (100, 256), (500, 166), (1000, 92), (1472, 92), (3000, 48), (9000, 12)] {
            let mut queue = RecvQueue::default();
            let kept = (0..400).filter(|_| queue.push(212_992, datagram(len))).count();
            assert_eq!((kept, queue.drops), (fit, 400 - fit as u32), "{len} bytes");
            while queue.take(false).is_some() {}
            assert_eq!(queue.memory(), 0);
        }
    }

    #[test]
    fn an_empty_queue_takes_any_and_peeking_leaves_it() {
        let mut queue = RecvQueue::default();
        assert!(queue.push(2304, datagram(60_000)));
        assert!(!queue.push(2304, datagram(0)));
        assert_eq!(queue.take(true).unwrap().len(), 60_000);
        assert_eq!(queue.take(false).unwrap().len(), 60_000);
        assert!(queue.push(2304, datagram(0)));
        assert_eq!(queue.take(false).unwrap().control.drops, 1);
    }
}
