//! Memory shared with a program: what it maps by mmap(2).

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use netspace_uapi::packet::Memory;

use super::check;

/// Memory behind a descriptor of its own, zero at first. The program may change any of it at any time.
#[derive(Debug)]
pub(crate) struct Shared {
    file: OwnedFd,
    start: NonNull<u8>,
    len: usize,
}

impl Shared {
    /// `len` bytes, of which each page is there once it is written to.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let size = libc::off_t::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = check(unsafe { libc::memfd_create(c"packet ring".as_ptr(), flags) })?;
        // SAFETY: the kernel has just made this descriptor for us.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: calls on a descriptor of our own. Sealed, the file keeps its size, so that no page of ours goes away.
        unsafe {
            check(libc::ftruncate(file.as_raw_fd(), size))?;
            let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
            check(libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals))?;
        }
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel chooses; it is given back in `drop`.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), len, rights, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(at.cast::<u8>()) {
            Some(start) if at != libc::MAP_FAILED => Ok(Self { file, start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What the program maps.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn at(&self, at: usize, len: usize) -> *mut u8 {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "within the memory");
        // SAFETY: the assertion keeps it inside of the mapping.
        unsafe { self.start.as_ptr().add(at) }
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4), "words are aligned");
        let word = self.at(at, 4).cast::<u32>();
        // SAFETY: inside of the mapping, which is page-aligned, lives as long as `self`, and is changed by the program
        // at the same time only as whole words.
        unsafe { AtomicU32::from_ptr(word) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}

impl Memory for Shared {
    fn load(&self, at: usize) -> u32 {
        self.word(at).load(Ordering::Acquire)
    }

    fn store(&mut self, at: usize, word: u32) {
        self.word(at).store(word, Ordering::Release);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let to = self.at(at, bytes.len());
        // SAFETY: inside of the mapping, of which no Rust reference exists; what the program does there meanwhile can
        // make these bytes wrong for itself, and nothing here reads them.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn read(&self, at: usize, into: &mut [u8]) {
        let from = self.at(at, into.len());
        // SAFETY: as above; the bytes are taken as they are and checked after.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
    }
}
