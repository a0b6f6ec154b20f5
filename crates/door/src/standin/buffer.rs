//! Memory for large pieces of streams, used again and again.
//!
//! The allocator gives large pieces back to the system and gets them anew, and then each of their pages costs a fault: as much as
//! copying into it. So pieces that have been read or acknowledged are kept for the next ones.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Smaller pieces are the allocator's.
const LEAST: usize = 16 * 1024;
/// Most bytes that are kept.
const KEPT_MAX: usize = 32 << 20;

/// The pieces that nobody uses, by size: powers of two.
static KEPT: Mutex<Kept> = Mutex::new(Kept { buffers: Vec::new(), bytes: 0 });

#[derive(Debug)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Kept {
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        // The last one that came is the one most likely to be in the cache.
        let at = self.buffers.iter().rposition(|buffer| buffer.len() == len)?;
        self.bytes -= len;
        Some(self.buffers.swap_remove(at))
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if self.bytes + buffer.len() <= KEPT_MAX {
            self.bytes += buffer.len();
            self.buffers.push(buffer);
        }
    }
}

/// Memory for at least `len` bytes; what it says is of no meaning.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: Range<usize>,
}

impl Buffer {
    pub(crate) fn new(len: usize) -> Self {
        let bytes = if len < LEAST {
            vec![0; len]
        } else {
            let size = len.next_power_of_two();
            let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).take(size);
            kept.unwrap_or_else(|| vec![0; size])
        };
        Self { bytes, used: 0..0 }
    }

    /// All of it, to be written to.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The bytes in `used`, which must lie in it; when the last of their users is gone the memory is used again.
    pub(crate) fn freeze(mut self, used: Range<usize>) -> Bytes {
        self.used = used;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.used.clone()).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() >= LEAST {
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).keep(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_when_its_last_user_is_gone() {
        // A size that no other test uses.
        const LEN: usize = 3 << 20;
        let mut first = Buffer::new(LEN);
        let place = first.room().as_ptr();
        first.room()[..5].copy_from_slice(b"hello");
        let bytes = first.freeze(1..5);
        let part = bytes.slice(2..);
        drop(bytes);
        assert_ne!(Buffer::new(LEN).room().as_ptr(), place);
        assert_eq!(part, "lo");
        drop(part);
        assert_eq!(Buffer::new(LEN).room().as_ptr(), place);
    }
}
