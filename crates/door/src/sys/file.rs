//! Files in memory, and small questions about descriptors.

use std::ffi::CString;
use std::io;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::check;

/// An anonymous file with `content`, at its start.
pub(crate) fn memory_file(name: &std::ffi::CStr, content: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string that lives through the call.
    let fd =
        check(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut file = std::fs::File::from(fd);
    file.write_all(content)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

/// Nobody can change the file any more.
pub(crate) fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: fcntl with an integer argument.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

/// The flags of the open file (`O_NONBLOCK` …), which all descriptors of it share.
pub(crate) fn status_flags(fd: BorrowedFd<'_>) -> i32 {
    // SAFETY: fcntl without an argument.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }
}

/// Whether reads and writes on the open file do not block.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> bool {
    status_flags(fd) & libc::O_NONBLOCK != 0
}

/// A timer that is polled: readable once `set_timer`'s time has passed (by the machine's clock, not the lab's).
pub(crate) fn timer() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new and ours.
    let fd = check(unsafe {
        libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
    })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a timer to fire `ms` milliseconds from now, once; 0 stops it.
pub(crate) fn set_timer(fd: BorrowedFd<'_>, ms: u32) {
    let value = libc::timespec { tv_sec: i64::from(ms / 1000), tv_nsec: i64::from(ms % 1000) * 1_000_000 };
    let spec = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    // SAFETY: the kernel reads one itimerspec and is told to write none back.
    unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &raw const spec, std::ptr::null_mut()) };
}

/// Milliseconds of a clock that never goes back: for the supervisor's own chores, which are no part of the lab.
pub(crate) fn monotonic_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1000 + now.tv_nsec.cast_unsigned() / 1_000_000
}

/// The machine's `struct utsname`, whole.
pub(crate) fn utsname() -> libc::utsname {
    // SAFETY: utsname is plain bytes, for which zero is a value.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one utsname.
    unsafe { libc::uname(&raw mut name) };
    name
}

/// The bytes of a `struct utsname` whose `nodename` says `host`.
pub(crate) fn utsname_bytes(host: &str) -> Vec<u8> {
    let mut name = utsname();
    name.nodename.fill(0);
    let room = name.nodename.len() - 1;
    for (to, from) in name.nodename.iter_mut().zip(host.bytes().take(room)) {
        *to = from as libc::c_char;
    }
    // SAFETY: utsname is an array of C characters throughout: no padding, every byte initialised.
    let bytes = unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(&name).cast::<u8>(), size_of::<libc::utsname>())
    };
    bytes.to_vec()
}

/// Device and inode: what all descriptors of a file share.
pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes one stat.
    check(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: zeroed, then written; plain numbers in any case.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.st_dev, stat.st_ino))
}

/// The file says just this from now on.
pub(crate) fn overwrite(file: &OwnedFd, content: &[u8]) -> io::Result<()> {
    let file = std::fs::File::from(file.try_clone()?);
    file.set_len(0)?;
    file.write_all_at(content, 0)
}

/// Reads and writes on the open file do not block from now on.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = status_flags(fd) | libc::O_NONBLOCK;
    // SAFETY: fcntl with an integer argument.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// A descriptor of the same file that can only read.
pub(crate) fn reopen_read_only(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(std::fs::File::open(format!("/proc/self/fd/{}", fd.as_raw_fd()))?.into())
}

/// A descriptor of the same file, opened anew to read and write.
pub(crate) fn reopen_to_write(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(std::fs::OpenOptions::new().read(true).write(true).open(path)?.into())
}

/// A value's bytes.
///
/// # Safety
///
/// Every byte must have been initialised, padding included.
unsafe fn bytes<T>(value: &MaybeUninit<T>) -> Vec<u8> {
    // SAFETY: the bytes of `value`, which we borrow, are initialised, as the caller promises.
    unsafe { std::slice::from_raw_parts(value.as_ptr().cast::<u8>(), size_of::<T>()) }.to_vec()
}

/// The bytes of a file's `struct stat`.
pub(crate) fn stat(path: &Path) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `path` is a C string that lives through the call; the kernel writes one stat.
    check(unsafe { libc::stat(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: zeroed as a whole.
    Ok(unsafe { bytes(&stat) })
}

/// The bytes of a file's `struct statx` with the fields that `mask` asks for.
pub(crate) fn statx(path: &Path, mask: u32) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `path` is a C string that lives through the call; the kernel writes one statx.
    check(unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, mask, stat.as_mut_ptr()) })?;
    // SAFETY: zeroed as a whole.
    Ok(unsafe { bytes(&stat) })
}

/// Tells when files are written.
#[derive(Debug)]
pub(crate) struct Inotify(OwnedFd);

impl Inotify {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and ours.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    /// Watches a file for being written, and for being closed by a writer.
    pub(crate) fn watch(&self, file: BorrowedFd<'_>) -> io::Result<i32> {
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let events = libc::IN_MODIFY | libc::IN_CLOSE_WRITE;
        // SAFETY: `path` is a C string that lives through the call.
        check(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), events) })
    }

    /// What has happened: the watch, and whether the file was closed.
    pub(crate) fn events(&self) -> Vec<(i32, bool)> {
        const HEADER: usize = 16;
        let mut found = Vec::new();
        let mut buffer = [0_u8; 4096];
        loop {
            // SAFETY: the kernel writes at most `buffer.len()` bytes.
            let n = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
            let Ok(n) = usize::try_from(n) else { return found };
            let mut rest = &buffer[..n];
            if rest.is_empty() {
                return found;
            }
            while rest.len() >= HEADER {
                let word =
                    |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
                found.push((word(0).cast_signed(), word(4) & libc::IN_CLOSE_WRITE != 0));
                let len = word(12) as usize;
                rest = rest.get(HEADER + len..).unwrap_or_default();
            }
        }
    }
}
