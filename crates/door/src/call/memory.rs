//! The caller's memory: every read is followed by a look whether the caller still waits, for only then it was its memory.

use std::os::fd::AsFd;

use bytes::Bytes;
use netspace_uapi::Errno;

use super::{Call, err};
use crate::door::Door;
use crate::standin::Buffer;
use crate::sys::memory::{self, Remote};
use crate::sys::seccomp;

/// Bytes from one address to the next page at least: a string must not be read across into a page that is not there.
const PAGE: u64 = 4096;

impl Door {
    /// The caller still waits.
    fn is_waiting(&self, call: &Call) -> Result<(), Errno> {
        let listener = self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref());
        match listener {
            Some(listener) if seccomp::is_valid(listener.as_fd(), call.id) => Ok(()),
            _ => err(libc::EINTR),
        }
    }

    /// `len` bytes at `addr`; EFAULT if they are not all there.
    pub(crate) fn read(&self, call: &Call, addr: u64, len: usize) -> Result<Vec<u8>, Errno> {
        self.gather(call, &[Remote { addr, len }], len)
    }

    /// `len` bytes from several pieces.
    pub(crate) fn gather(&self, call: &Call, pieces: &[Remote], len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; len];
        if len == 0 {
            return Ok(bytes);
        }
        match memory::read(call.tid, pieces, &mut bytes) {
            Ok(n) if n == len => {}
            _ => return err(libc::EFAULT),
        }
        self.is_waiting(call)?;
        Ok(bytes)
    }

    /// `len` bytes at `addr`, to be kept for a while.
    pub(crate) fn read_piece(&self, call: &Call, addr: u64, len: usize) -> Result<Bytes, Errno> {
        let mut buffer = Buffer::new(len);
        match memory::read(call.tid, &[Remote { addr, len }], &mut buffer.room()[..len]) {
            Ok(n) if n == len => {}
            _ => return err(libc::EFAULT),
        }
        self.is_waiting(call)?;
        Ok(buffer.freeze(0..len))
    }

    /// A number of four bytes at `addr`.
    pub(crate) fn read_u32(&self, call: &Call, addr: u64) -> Result<u32, Errno> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.read(call, addr, 4)?);
        Ok(u32::from_ne_bytes(bytes))
    }

    /// The text at `addr` up to its NUL.
    pub(crate) fn read_str(&self, call: &Call, addr: u64) -> Result<String, Errno> {
        let mut text = Vec::new();
        while text.len() < libc::PATH_MAX as usize {
            let at = addr + text.len() as u64;
            let to_page_end = (PAGE - at % PAGE) as usize;
            let part = self.read(call, at, to_page_end.min(256))?;
            if let Some(end) = part.iter().position(|&b| b == 0) {
                text.extend_from_slice(&part[..end]);
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            text.extend(part);
        }
        err(libc::ENAMETOOLONG)
    }

    /// Writes bytes to `addr`; EFAULT if it does not take all.
    pub(crate) fn write(&self, call: &Call, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.scatter(call, &[bytes], &[Remote { addr, len: bytes.len() }])
    }

    /// Writes slices, one after the other, to several pieces.
    pub(crate) fn scatter(&self, call: &Call, slices: &[&[u8]], pieces: &[Remote]) -> Result<(), Errno> {
        let room: usize = pieces.iter().map(|piece| piece.len).sum();
        let mut left = room;
        for batch in slices.chunks(memory::MAX_PIECES) {
            let batch: Vec<&[u8]> = batch
                .iter()
                .map(|slice| {
                    let part = &slice[..slice.len().min(left)];
                    left -= part.len();
                    part
                })
                .filter(|part| !part.is_empty())
                .collect();
            let len: usize = batch.iter().map(|slice| slice.len()).sum();
            let done = room - left - len;
            if len > 0 && !matches!(memory::write(call.tid, &batch, &skip(pieces, done)), Ok(n) if n == len) {
                return err(libc::EFAULT);
            }
        }
        Ok(())
    }

    /// Writes an address as accept(2) and their like do: cut to the room that the length at `len_addr` tells, which
    /// then tells the whole length. Nothing if `addr` is null.
    pub(crate) fn write_address(
        &self,
        call: &Call,
        addr: u64,
        len_addr: u64,
        name: &[u8],
    ) -> Result<(), Errno> {
        if addr == 0 {
            return Ok(());
        }
        let room = self.read_u32(call, len_addr)?.cast_signed();
        let room = usize::try_from(room).map_err(|_| Errno(libc::EINVAL))?;
        self.write(call, addr, &name[..name.len().min(room)])?;
        self.write(call, len_addr, &(name.len() as u32).to_ne_bytes())
    }
}

/// The pieces without their first `n` bytes.
pub(crate) fn skip(pieces: &[Remote], mut n: usize) -> Vec<Remote> {
    let mut rest = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let away = n.min(piece.len);
        n -= away;
        if away < piece.len {
            rest.push(Remote { addr: piece.addr + away as u64, len: piece.len - away });
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lose_their_first_bytes() {
        let pieces = [Remote { addr: 100, len: 4 }, Remote { addr: 200, len: 4 }];
        assert_eq!(skip(&pieces, 0), pieces);
        assert_eq!(skip(&pieces, 4), [Remote { addr: 200, len: 4 }]);
        assert_eq!(skip(&pieces, 6), [Remote { addr: 202, len: 2 }]);
        assert_eq!(skip(&pieces, 9), []);
    }
}
