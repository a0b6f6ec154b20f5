//! A queue of stream bytes in shared slices, addressed by sequence number: the send buffer, and the receive buffer's
//! part that is in order.
//!
//! Large pieces are kept as they come, without a copy. Small ones, when others wait already, are copied together into
//! blocks of [`BLOCK`] bytes, so that a program that writes byte by byte does not cost a slice per byte. Any range can
//! be cut out again as shared slices: a binary search, then one reference count for each slice.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

/// Pieces shorter than this are copied into a block when the queue is not empty.
const SMALL: usize = 1024;
/// Size of a block for small pieces, bytes.
const BLOCK: usize = 4096;

/// Slices for which an empty queue keeps room.
const CAPACITY_IDLE: usize = 16;

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: Bytes,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// Bytes `start..end` of a stream.
#[derive(Debug)]
pub(crate) struct ByteQueue {
    chunks: VecDeque<Chunk>,
    /// The block that is being filled: the bytes after the last chunk.
    tail: BytesMut,
    start: u64,
    end: u64,
}

impl ByteQueue {
    /// An empty queue whose next byte has the number `start`.
    pub(crate) fn new(start: u64) -> Self {
        Self { chunks: VecDeque::new(), tail: BytesMut::new(), start, end: start }
    }

    /// Number of the first byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Number of the byte after the last.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes in the queue.
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len() as u64;
        if bytes.len() < SMALL && !self.is_empty() {
            if self.tail.capacity() - self.tail.len() < bytes.len() {
                self.seal();
                self.tail = BytesMut::with_capacity(BLOCK);
            }
            self.tail.extend_from_slice(&bytes);
        } else {
            self.seal();
            self.chunks.push_back(Chunk { start: self.end, bytes });
        }
        self.end += len;
    }

    /// Forgets the bytes before `seq`.
    pub(crate) fn advance_to(&mut self, seq: u64) {
        debug_assert!(seq <= self.end, "only what is in the queue can go");
        while let Some(front) = self.chunks.front_mut() {
            if front.end() > seq {
                if seq > front.start {
                    front.bytes.advance((seq - front.start) as usize);
                    front.start = seq;
                }
                break;
            }
            self.chunks.pop_front();
        }
        let tail_start = self.end - self.tail.len() as u64;
        if seq > tail_start {
            self.tail.advance((seq - tail_start) as usize);
        }
        self.start = self.start.max(seq);
        self.release_if_empty();
    }

    /// Takes up to `max` bytes from the front, as one slice; none if the queue is empty.
    pub(crate) fn pop(&mut self, max: usize) -> Option<Bytes> {
        if max == 0 {
            return None;
        }
        if self.chunks.is_empty() {
            self.seal();
        }
        let front = self.chunks.front_mut()?;
        let bytes = if front.bytes.len() <= max {
            self.chunks.pop_front()?.bytes
        } else {
            front.start += max as u64;
            front.bytes.split_to(max)
        };
        self.start += bytes.len() as u64;
        self.release_if_empty();
        Some(bytes)
    }

    /// An empty queue gives its memory back.
    fn release_if_empty(&mut self) {
        if !self.is_empty() {
            return;
        }
        self.tail = BytesMut::new();
        if self.chunks.capacity() > CAPACITY_IDLE {
            self.chunks = VecDeque::new();
        }
    }

    /// Adds the slices of up to `len` bytes from `from` on to `out`, at most `slices_max` of them; how many bytes that is.
    pub(crate) fn slices(
        &mut self,
        from: u64,
        len: usize,
        slices_max: usize,
        out: &mut SmallVec<[Bytes; 2]>,
    ) -> usize {
        debug_assert!(from >= self.start && from + len as u64 <= self.end, "a range of the queue");
        if from + len as u64 > self.end - self.tail.len() as u64 {
            self.seal();
        }
        let index = match self.chunks.front() {
            Some(front) if from < front.end() => 0,
            _ => self.chunks.partition_point(|chunk| chunk.end() <= from),
        };
        let mut taken = 0;
        for chunk in self.chunks.range(index..).take(slices_max) {
            if taken == len {
                break;
            }
            let skip = (from + taken as u64 - chunk.start) as usize;
            let part = (chunk.bytes.len() - skip).min(len - taken);
            out.push(chunk.bytes.slice(skip..skip + part));
            taken += part;
        }
        taken
    }

    /// Makes the block's bytes a chunk; its free rest goes on being filled.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let bytes = self.tail.split().freeze();
        self.chunks.push_back(Chunk { start: self.end - bytes.len() as u64, bytes });
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::Seed;

    use super::*;

    fn pattern(start: u64, len: usize) -> Bytes {
        (start..start + len as u64).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[test]
    fn behaves_as_a_plain_vector_would() {
        let mut rng = Seed(11).stream("queue", 0);
        let mut queue = ByteQueue::new(1 << 32);
        for _ in 0..5_000 {
            match rng.below(5) {
                0 | 1 => {
                    let len = if rng.below(2) == 0 { rng.below(40) } else { rng.below(3_000) } as usize;
                    queue.push(pattern(queue.end(), len));
                }
                2 => {
                    let start = queue.start();
                    if let Some(bytes) = queue.pop(rng.below(2_000) as usize) {
                        assert_eq!(bytes, pattern(start, bytes.len()));
                    }
                }
                3 => queue.advance_to(queue.start() + rng.below(queue.len().min(3_000) as u64 + 1)),
                _ => {
                    let from = queue.start() + rng.below(queue.len() as u64 + 1);
                    let len = rng.below(queue.end() - from + 1) as usize;
                    let mut out = SmallVec::new();
                    let got = queue.slices(from, len, 8, &mut out);
                    assert!(got == len || out.len() == 8);
                    let joined: Vec<u8> =
                        out.iter().flat_map(|bytes: &Bytes| bytes.iter().copied()).collect();
                    assert_eq!(joined, pattern(from, got));
                }
            }
        }
    }

    #[test]
    fn small_pieces_share_blocks() {
        let mut queue = ByteQueue::new(0);
        for n in 0..4_000 {
            queue.push(Bytes::from(vec![n as u8]));
        }
        let mut out = SmallVec::new();
        assert_eq!(queue.slices(0, 4_000, 17, &mut out), 4_000);
        assert!(out.len() <= 2, "{} slices", out.len());
    }
}
