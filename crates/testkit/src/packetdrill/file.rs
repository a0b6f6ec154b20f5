//! The descriptors of a script: the numbers are the script's.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use netspace_stack::sock::SockId;
use netspace_uapi::sockaddr::SockKind;

/// What a descriptor stands for.
#[derive(Debug)]
pub(super) enum File {
    Socket(Sock),
    Epoll(Vec<Watch>),
    /// The readable end of the pipe with this number.
    PipeRead(usize),
    PipeWrite(usize),
    /// A file of the machine, read whole.
    Regular {
        data: Vec<u8>,
        at: usize,
    },
}

/// A socket.
#[derive(Debug)]
pub(super) struct Sock {
    pub(super) id: SockId,
    pub(super) kind: SockKind,
    pub(super) nonblocking: bool,
    /// `SO_RCVTIMEO`, `SO_SNDTIMEO`.
    pub(super) receive_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    /// `TCP_INQ`: reads tell how much is left.
    pub(super) inq: bool,
}

/// A descriptor watched by an epoll instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) fd: i32,
    pub(super) events: u32,
    /// What the program wants to get back.
    pub(super) data: u64,
    /// Edge-triggered: something has happened since the last report.
    pub(super) fresh: bool,
    /// One-shot, and shot.
    pub(super) spent: bool,
}

/// A pipe.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) data: VecDeque<u8>,
    pub(super) writer_closed: bool,
    pub(super) reader_closed: bool,
}

/// What a pipe holds at most, bytes (pipe(7)).
pub(super) const PIPE_CAPACITY: usize = 65_536;

/// All open files.
#[derive(Debug, Default)]
pub(super) struct Files {
    open: BTreeMap<i32, File>,
    pub(super) pipes: Vec<Pipe>,
}

impl Files {
    /// Opens a file at the number that the script expects, or at the lowest free one from 3 on.
    pub(super) fn open(&mut self, expected: Option<i32>, file: File) -> i32 {
        let free = |n: &i32| !self.open.contains_key(n);
        let fd = expected.filter(free).or_else(|| (3..).find(free)).unwrap_or(3);
        self.open.insert(fd, file);
        fd
    }

    pub(super) fn get(&self, fd: i32) -> Option<&File> {
        self.open.get(&fd)
    }

    pub(super) fn get_mut(&mut self, fd: i32) -> Option<&mut File> {
        self.open.get_mut(&fd)
    }

    pub(super) fn close(&mut self, fd: i32) -> Option<File> {
        let file = self.open.remove(&fd);
        for other in self.open.values_mut() {
            if let File::Epoll(watches) = other {
                watches.retain(|watch| watch.fd != fd);
            }
        }
        file
    }

    /// The stack's name of a socket.
    pub(super) fn socket(&self, fd: i32) -> Option<SockId> {
        match self.open.get(&fd) {
            Some(File::Socket(sock)) => Some(sock.id),
            _ => None,
        }
    }

    /// The descriptor of a socket.
    pub(super) fn of_socket(&self, id: SockId) -> Option<i32> {
        self.open.keys().copied().find(|fd| self.socket(*fd) == Some(id))
    }

    /// The stream socket opened last.
    pub(super) fn last_stream(&self) -> Option<i32> {
        let stream = |file: &File| matches!(file, File::Socket(sock) if sock.kind.ty == netspace_stack::sock::SockType::Stream);
        self.open.iter().rev().find(|(_, file)| stream(file)).map(|(fd, _)| *fd)
    }

    /// Something has happened to a socket: edge-triggered watches may report again.
    pub(super) fn refresh(&mut self, fd: i32) {
        for file in self.open.values_mut() {
            if let File::Epoll(watches) = file {
                watches.iter_mut().filter(|watch| watch.fd == fd).for_each(|watch| watch.fresh = true);
            }
        }
    }
}
