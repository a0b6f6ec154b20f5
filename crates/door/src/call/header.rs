//! `struct msghdr` and `struct mmsghdr` in the caller's memory (64-bit layouts).

use netspace_uapi::Errno;

use super::{Call, err};
use crate::door::Door;
use crate::sys::memory::{MAX_PIECES, Remote};

/// `sizeof(struct msghdr)`.
pub(crate) const HEADER_LEN: usize = 56;
/// `sizeof(struct mmsghdr)`.
pub(crate) const MULTI_LEN: u64 = 64;
/// Offset of `msg_len` in `struct mmsghdr`.
pub(crate) const MULTI_COUNT: u64 = 56;
const NAMELEN: u64 = 8;
const CONTROLLEN: u64 = 40;
const FLAGS: u64 = 48;
/// More control bytes than any socket takes (`net.core.optmem_max`).
const MAX_CONTROL: usize = 128 * 1024;
/// `sizeof(struct sockaddr_storage)`.
const MAX_NAME: usize = 128;

/// A message header as read.
#[derive(Debug)]
pub(crate) struct Header {
    /// Where it is.
    pub(crate) at: u64,
    /// The address buffer; 0: none.
    pub(crate) name: u64,
    /// Its length.
    pub(crate) name_len: usize,
    /// The data's pieces.
    pub(crate) pieces: Vec<Remote>,
    /// The data's length.
    pub(crate) len: usize,
    /// The control buffer.
    pub(crate) control: u64,
    /// Its length.
    pub(crate) control_len: usize,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(word)
}

impl Door {
    /// Reads the header at `at` and the list of pieces it points to.
    pub(crate) fn read_header(&self, call: &Call, at: u64) -> Result<Header, Errno> {
        let bytes = self.read(call, at, HEADER_LEN)?;
        let name_len = (word(&bytes, 8) as u32).cast_signed();
        let count = usize::try_from(word(&bytes, 24)).unwrap_or(usize::MAX);
        if count > MAX_PIECES {
            return err(libc::EMSGSIZE);
        }
        let list = self.read(call, word(&bytes, 16), count * 16)?;
        let pieces: Vec<Remote> = list
            .chunks_exact(16)
            .map(|piece| Remote { addr: word(piece, 0), len: word(piece, 8) as usize })
            .collect();
        let mut len = 0_usize;
        for piece in &pieces {
            len = len
                .checked_add(piece.len)
                .filter(|&n| n <= isize::MAX as usize)
                .ok_or(Errno(libc::EINVAL))?;
        }
        let name = word(&bytes, 0);
        Ok(Header {
            at,
            name,
            name_len: if name == 0 {
                0
            } else {
                usize::try_from(name_len).map_err(|_| Errno(libc::EINVAL))?
            },
            pieces,
            len,
            control: word(&bytes, 32),
            control_len: usize::try_from(word(&bytes, 40)).unwrap_or(usize::MAX),
        })
    }

    /// The address that the header points to.
    pub(crate) fn read_name(&self, call: &Call, header: &Header) -> Result<Option<Vec<u8>>, Errno> {
        if header.name == 0 || header.name_len == 0 {
            return Ok(None);
        }
        self.read(call, header.name, header.name_len.min(MAX_NAME)).map(Some)
    }

    /// The control messages that the header points to.
    pub(crate) fn read_control(&self, call: &Call, header: &Header) -> Result<Vec<u8>, Errno> {
        if header.control == 0 || header.control_len == 0 {
            return Ok(Vec::new());
        }
        if header.control_len > MAX_CONTROL {
            return err(libc::ENOBUFS);
        }
        self.read(call, header.control, header.control_len)
    }

    /// Writes back what a received message came with.
    pub(crate) fn write_header(
        &self,
        call: &Call,
        header: &Header,
        name: &[u8],
        control: &[u8],
        flags: i32,
    ) -> Result<(), Errno> {
        if header.name != 0 {
            self.write(call, header.name, &name[..name.len().min(header.name_len)])?;
            self.write(call, header.at + NAMELEN, &(name.len() as u32).to_ne_bytes())?;
        }
        if !control.is_empty() {
            self.write(call, header.control, control)?;
        }
        self.write(call, header.at + CONTROLLEN, &(control.len() as u64).to_ne_bytes())?;
        self.write(call, header.at + FLAGS, &flags.to_ne_bytes())
    }
}
