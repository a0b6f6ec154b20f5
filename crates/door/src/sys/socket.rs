//! The AF_UNIX sockets that stand in for a program's sockets, seen from both ends.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{check, check_size};

/// Type of a stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    SeqPacket,
}

impl Kind {
    fn raw(self) -> libc::c_int {
        match self {
            Self::Stream => libc::SOCK_STREAM,
            Self::Datagram => libc::SOCK_DGRAM,
            Self::SeqPacket => libc::SOCK_SEQPACKET,
        }
    }
}

/// The name of a bound AF_UNIX socket, as the kernel writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(Vec<u8>);

fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: called only with a descriptor that the kernel has just made for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Two connected ends.
pub(crate) fn pair(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind.raw() | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) })?;
    Ok((own(fds[0]), own(fds[1])))
}

/// One unconnected socket.
pub(crate) fn unix(kind: Kind, nonblocking: bool) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: no pointers.
    Ok(own(check(unsafe { libc::socket(libc::AF_UNIX, kind.raw() | flags, 0) })?))
}

/// Gives the socket a name that the kernel chooses (unix(7), "autobind").
pub(crate) fn autobind(fd: BorrowedFd<'_>) -> io::Result<Name> {
    let family = libc::AF_UNIX as libc::sa_family_t;
    // SAFETY: the kernel reads just the family: two bytes are given, which is what asks for a name.
    check(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&family).cast(), 2) })?;
    let mut name = vec![0_u8; 110];
    let mut len: libc::socklen_t = 110;
    // SAFETY: the kernel writes at most `len` bytes.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut len) })?;
    name.truncate(len as usize);
    Ok(Name(name))
}

/// Connects to the socket of that name, never waiting.
pub(crate) fn connect(fd: BorrowedFd<'_>, name: &Name) -> io::Result<()> {
    // SAFETY: the kernel reads `name.0.len()` bytes.
    check(unsafe { libc::connect(fd.as_raw_fd(), name.0.as_ptr().cast(), name.0.len() as libc::socklen_t) })
        .map(drop)
}

/// A datagram socket has no peer any more (`AF_UNSPEC`).
pub(crate) fn disconnect(fd: BorrowedFd<'_>) -> io::Result<()> {
    let nowhere = [0_u8; 16];
    // SAFETY: the kernel reads 16 bytes, a sockaddr of family AF_UNSPEC (0).
    check(unsafe { libc::connect(fd.as_raw_fd(), nowhere.as_ptr().cast(), 16) }).map(drop)
}

/// listen(2).
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// Takes a connection that is there already and was made by this very process: nobody else's is let in.
pub(crate) fn accept_own(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    loop {
        if poll(fd) & libc::POLLIN == 0 {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        // SAFETY: null pointers say that the peer's name is not wanted.
        let accepted = own(check(unsafe {
            libc::accept4(fd.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
        })?);
        if peer_pid(&accepted) == Some(std::process::id()) {
            return Ok(accepted);
        }
    }
}

fn peer_pid(fd: &OwnedFd) -> Option<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes one ucred.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut credentials).cast(),
            &raw mut len,
        )
    })
    .ok()?;
    u32::try_from(credentials.pid).ok()
}

/// Writes without waiting, and without SIGPIPE.
pub(crate) fn send(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads `data`.
    check_size(unsafe {
        libc::send(fd.as_raw_fd(), data.as_ptr().cast(), data.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    })
}

/// Writes a byte as urgent, or, where the kernel has no such thing on AF_UNIX sockets, as any other.
pub(crate) fn send_urgent(fd: BorrowedFd<'_>, byte: u8) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_OOB;
    // SAFETY: the kernel reads one byte.
    match check_size(unsafe { libc::send(fd.as_raw_fd(), (&raw const byte).cast(), 1, flags) }) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => send(fd, &[byte]),
        result => result,
    }
}

/// Writes several pieces as one, without waiting, and without SIGPIPE.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut header = empty_header();
    header.msg_iov = pieces.as_ptr().cast_mut().cast();
    header.msg_iovlen = pieces.len().min(super::memory::MAX_PIECES) as _;
    // SAFETY: IoSlice is laid out as iovec; the kernel reads the pieces, which we borrow.
    check_size(unsafe {
        libc::sendmsg(fd.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    })
}

/// Reads what is there, without waiting. With `peek` it stays there.
pub(crate) fn receive(fd: BorrowedFd<'_>, into: &mut [u8], peek: bool) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
    // SAFETY: the kernel writes at most `into.len()` bytes.
    check_size(unsafe { libc::recv(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), flags) })
}

/// Reads up to `max` bytes that are there to the end of `into`, without waiting. With `peek` they stay there.
pub(crate) fn append(fd: BorrowedFd<'_>, into: &mut Vec<u8>, max: usize, peek: bool) -> io::Result<usize> {
    if max == 0 {
        return Ok(0);
    }
    into.reserve(max);
    let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
    let room = into.spare_capacity_mut();
    // SAFETY: the kernel writes at most `max` bytes into the room that was just reserved.
    let n = check_size(unsafe { libc::recv(fd.as_raw_fd(), room.as_mut_ptr().cast(), max, flags) })?;
    // SAFETY: the kernel has just written these `n` bytes.
    unsafe { into.set_len(into.len() + n) };
    Ok(n)
}

/// How many bytes there are to read (of datagrams: in the first).
pub(crate) fn available(fd: BorrowedFd<'_>) -> usize {
    let mut n: libc::c_int = 0;
    // SAFETY: the kernel writes one int.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut n) };
    usize::try_from(n).unwrap_or(0)
}

/// How much memory what was written and not yet read at the other end takes, bytes.
pub(crate) fn unread_by_peer(fd: BorrowedFd<'_>) -> usize {
    let mut n: libc::c_int = 0;
    // SAFETY: the kernel writes one int.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut n) };
    usize::try_from(n).unwrap_or(0)
}

/// What poll(2) tells right now.
pub(crate) fn poll(fd: BorrowedFd<'_>) -> i16 {
    let events = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the kernel reads and writes one pollfd.
    unsafe { libc::poll(&raw mut entry, 1, 0) };
    entry.revents
}

/// shutdown(2).
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: i32) {
    // SAFETY: no pointers. It fails only on a socket that is not connected, where there is nothing to end.
    unsafe { libc::shutdown(fd.as_raw_fd(), how) };
}

/// Sets an option of level `SOL_SOCKET` from its bytes.
pub(crate) fn set_option(fd: BorrowedFd<'_>, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `value`.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Sets the size of the send buffer, bytes (the kernel doubles it, and has a least and a largest size).
pub(crate) fn set_send_buffer(fd: BorrowedFd<'_>, bytes: i32) {
    // A refusal leaves the size as it was, which is no harm.
    let _ = set_option(fd, libc::SO_SNDBUF, &bytes.to_ne_bytes());
}

/// Takes the pending error of the stand-in away.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> i32 {
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int.
    unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            std::ptr::from_mut(&mut error).cast(),
            &raw mut len,
        )
    };
    error
}

/// The inode number: what all descriptors of one socket share, in whatever process.
pub(crate) fn inode(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: `stat` is plain numbers, for which zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one stat.
    check(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) })?;
    Ok(stat.st_ino)
}

fn empty_header() -> libc::msghdr {
    // SAFETY: msghdr is numbers and pointers, for which zero and null are values.
    unsafe { std::mem::zeroed() }
}

/// Most descriptors that travel with one message.
const MAX_FDS: usize = 8;
const CONTROL_SPACE: usize = 64;

/// A message with descriptors, ready to be sent; it must not move between [`FdMessage::header`] and its use.
pub(crate) struct FdMessage {
    header: libc::msghdr,
    iov: libc::iovec,
    data: Vec<u8>,
    control: [u64; CONTROL_SPACE / 8],
}

impl FdMessage {
    /// A message that will carry `data` and `fds`. Boxed, so that its address stays.
    pub(crate) fn new(data: &[u8], fds: &[RawFd]) -> Box<Self> {
        let mut message = Box::new(Self {
            header: empty_header(),
            iov: libc::iovec { iov_base: std::ptr::null_mut(), iov_len: data.len() },
            data: data.to_vec(),
            control: [0; CONTROL_SPACE / 8],
        });
        let fds = &fds[..fds.len().min(MAX_FDS)];
        message.iov.iov_base = message.data.as_mut_ptr().cast();
        message.header.msg_iov = &raw mut message.iov;
        message.header.msg_iovlen = 1;
        if !fds.is_empty() {
            let bytes = size_of_val(fds) as u32;
            // SAFETY: CMSG_SPACE is arithmetic.
            let space = unsafe { libc::CMSG_SPACE(bytes) };
            message.header.msg_control = message.control.as_mut_ptr().cast();
            message.header.msg_controllen = space as _;
            // SAFETY: the control buffer is aligned for cmsghdr and longer than `space` (8 descriptors need 48 bytes).
            unsafe {
                let header = libc::CMSG_FIRSTHDR(&raw const message.header);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
                std::ptr::copy_nonoverlapping(
                    fds.as_ptr().cast::<u8>(),
                    libc::CMSG_DATA(header),
                    bytes as usize,
                );
            }
        }
        message
    }

    /// The address that sendmsg(2) will be given: the filter lets just this one call through.
    pub(crate) fn address(&self) -> u64 {
        std::ptr::from_ref(&self.header) as u64
    }

    /// Sends it, waiting if need be.
    pub(crate) fn send(&self, socket: RawFd) -> io::Result<usize> {
        // SAFETY: header, iov, data and control all live in this box, which stays where it is.
        check_size(unsafe { libc::sendmsg(socket, &raw const self.header, libc::MSG_NOSIGNAL) })
    }
}

/// Sends `data` with `fds` as one message, waiting if need be.
pub(crate) fn send_fds(socket: BorrowedFd<'_>, data: &[u8], fds: &[RawFd]) -> io::Result<()> {
    FdMessage::new(data, fds).send(socket.as_raw_fd()).map(drop)
}

/// Receives one message and its descriptors; 0 bytes = the other end is gone.
pub(crate) fn receive_fds(
    socket: BorrowedFd<'_>,
    into: &mut [u8],
    wait: bool,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = [0_u64; CONTROL_SPACE / 8];
    let mut iov = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut header = empty_header();
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_SPACE as _;
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: the kernel writes at most `into.len()` bytes of data and CONTROL_SPACE of control.
    let n = check_size(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) })?;
    let mut fds = Vec::new();
    // SAFETY: the CMSG macros walk the control buffer that the kernel has just filled, within `msg_controllen`.
    unsafe {
        let mut item = libc::CMSG_FIRSTHDR(&raw const header);
        while !item.is_null() {
            if (*item).cmsg_level == libc::SOL_SOCKET && (*item).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*item).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(item).cast::<RawFd>();
                for i in 0..bytes / size_of::<RawFd>() {
                    fds.push(own(data.add(i).read_unaligned()));
                }
            }
            item = libc::CMSG_NXTHDR(&raw const header, item);
        }
    }
    Ok((n, fds))
}

impl FdMessage {
    /// Changes a byte of the data.
    pub(crate) fn set_byte(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.data.get_mut(at) {
            *place = byte;
        }
    }

    /// Says which descriptor it carries, in place of the one it was made with: a filter must know the message's address
    /// before it is installed, the descriptor comes to be when it is.
    pub(crate) fn set_fd(&mut self, fd: RawFd) {
        // SAFETY: `new` has laid out a control message with room for one descriptor at least.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const self.header);
            if !header.is_null() {
                std::ptr::copy_nonoverlapping(
                    std::ptr::from_ref(&fd).cast::<u8>(),
                    libc::CMSG_DATA(header),
                    size_of::<RawFd>(),
                );
            }
        }
    }
}
