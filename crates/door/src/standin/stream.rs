//! TCP stand-ins.
//!
//! ```text
//! Fresh ──connect──▶ Connecting ──▶ Stream       inner: unconnected AF_UNIX stream (poll tells OUT|HUP, as TCP does)
//!   └────listen────▶ Listener ──accept──▶ Stream
//! ```
//! Until it is connected the door keeps a descriptor of the program's end. Then it is given up, so that the kernel tells
//! the last close by a hang-up on the outer end; the program's bytes flow without a trap.
//!
//! One byte is always left unread in the outer end, the *marker*: an AF_UNIX socket that is closed with unread bytes
//! gives its peer ECONNRESET, which is how a reset reaches a program that reads natively. The first marker is written
//! when the connection is made; later it is the last byte that was passed on, known by a peek.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use netspace_base::{Detail, Point};
use netspace_stack::sock::{How, Message, OptName, Readiness, RecvFlags, SockError, SockId, SockOpt};
use netspace_stack::{Netns, Turn};
use netspace_uapi::Errno;

use super::{Buffer, CHUNK, Witness};
use crate::sys::epoll::{self, Epoll};
use crate::sys::file;
use crate::sys::socket::{self, Kind, Name};

/// The send buffer of a connected stand-in, bytes (the kernel doubles it; `net.core.wmem_max` is its limit).
///
/// An AF_UNIX socket is writable while a quarter of this is in use at most, and the marker keeps the whole piece in use
/// that it is the last byte of: 64 KiB after sendfile(2). So the quarter must be more than that.
const SEND_BUFFER: i32 = 212_992;
/// Most steps of one pump, so that one connection cannot keep the others waiting.
const MAX_STEPS: usize = 16;
/// Most slices written at once.
const MAX_SLICES: usize = 64;

/// A TCP socket that is neither connected nor listening.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// The door's descriptor of the program's end.
    pub(crate) inner: OwnedFd,
}

/// A TCP socket whose handshake is under way.
#[derive(Debug)]
pub(crate) struct Connecting {
    /// The door's descriptor of the program's end.
    pub(crate) inner: OwnedFd,
    /// The other end, if the program was told that the connection is being made: it may poll already.
    pub(crate) outer: Option<OwnedFd>,
}

/// The sizes of buffers that a program has asked for, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// `SO_SNDBUF`.
    pub(crate) send: Option<u32>,
    /// `SO_RCVBUF`.
    pub(crate) receive: Option<u32>,
}

impl Buffers {
    /// Gives a program's end the send buffer that its stream will have.
    fn apply(self, inner: &OwnedFd) {
        let bytes = self.send.map_or(SEND_BUFFER, |bytes| i32::try_from(bytes).unwrap_or(i32::MAX));
        socket::set_send_buffer(inner.as_fd(), bytes);
    }
}

/// Where program ends are connected to, for the door to have the other end.
#[derive(Debug)]
pub(crate) struct Hub {
    socket: OwnedFd,
    name: Name,
}

impl Hub {
    pub(crate) fn new() -> io::Result<Self> {
        const BACKLOG: i32 = 64;
        let socket = socket::unix(Kind::Stream, true)?;
        let name = socket::autobind(socket.as_fd())?;
        socket::listen(socket.as_fd(), BACKLOG)?;
        Ok(Self { socket, name })
    }

    /// Connects a program's end; gives the other one.
    fn join(&self, inner: &OwnedFd) -> io::Result<OwnedFd> {
        socket::connect(inner.as_fd(), &self.name)?;
        socket::accept_own(self.socket.as_fd())
    }
}

impl Connecting {
    /// The program goes on while the connection is being made: its end must tell neither "writable" nor "hung up".
    pub(crate) fn detach(&mut self, hub: &Hub) -> io::Result<()> {
        const LEAST: i32 = 1;
        const FILL: [u8; 4096] = [0; 4096];
        if self.outer.is_some() {
            return Ok(());
        }
        socket::set_send_buffer(self.inner.as_fd(), LEAST);
        let outer = hub.join(&self.inner)?;
        while socket::send(self.inner.as_fd(), &FILL).is_ok() {}
        self.outer = Some(outer);
        Ok(())
    }

    /// The connection is made. The stream works once this value, with the door's descriptor, is dropped.
    pub(crate) fn establish(&mut self, hub: &Hub, buffers: Buffers) -> io::Result<Stream> {
        let outer = match self.outer.take() {
            None => {
                let outer = hub.join(&self.inner)?;
                socket::send(self.inner.as_fd(), &[0])?;
                buffers.apply(&self.inner);
                outer
            }
            Some(outer) => {
                let filled = socket::available(outer.as_fd());
                let mut away = vec![0; filled.saturating_sub(1)];
                socket::receive(outer.as_fd(), &mut away, false)?;
                buffers.apply(&self.inner);
                outer
            }
        };
        let mut stream = Stream::new(outer);
        stream.set_buffers(buffers);
        Ok(stream)
    }
}

/// What became of a stream while it was pumped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It goes on.
    Alive,
    /// It goes on and has more to do at once.
    Busy,
    /// The program has closed it and the stack has been told.
    Closed,
}

/// A connected TCP socket, or one that was connected.
#[derive(Debug)]
pub(crate) struct Stream {
    outer: Option<OwnedFd>,
    /// The outer end may have something to read.
    readable: bool,
    /// The first byte in the outer end is the marker, not news.
    marker: bool,
    /// No marker is to be left.
    unmarked: bool,
    /// From the stack, not yet written for the program.
    down: VecDeque<Bytes>,
    /// The kernel tells when there is room for `down`.
    awaits_room: bool,
    /// From the stack, not yet written for the program: the urgent byte, behind `down`.
    urgent: Option<u8>,
    /// From the program, taken but not yet accepted by the stack.
    up: Option<Bytes>,
    /// The peer has ended and the program has been told.
    ended: bool,
    /// The program has ended its side and the stack has been told.
    end_told: bool,
    /// The program's end will write no more.
    program_ended: bool,
    /// The program's end is closed.
    closed: bool,
    /// The program has called shutdown(2) for writing.
    shut_write: bool,
    /// The program has called shutdown(2) for reading.
    shut_read: bool,
    /// The handshake failed.
    never_connected: bool,
    /// The stack takes no more bytes.
    refused: bool,
    /// The program has closed its end so that the connection is reset.
    reset: bool,
    /// The door's descriptor of the program's end, which shows an error until it has been told.
    spent: Option<OwnedFd>,
    /// The program's end showed an error when it broke.
    is_shown: bool,
    /// The program has been told why it broke.
    break_told: bool,
    /// Why the connection broke.
    pub(crate) broken: Option<Errno>,
}

impl Stream {
    fn new(outer: OwnedFd) -> Self {
        Self {
            outer: Some(outer),
            readable: true,
            marker: true,
            unmarked: false,
            down: VecDeque::new(),
            awaits_room: false,
            urgent: None,
            up: None,
            ended: false,
            end_told: false,
            program_ended: false,
            closed: false,
            shut_write: false,
            shut_read: false,
            never_connected: false,
            is_shown: false,
            break_told: false,
            refused: false,
            reset: false,
            spent: None,
            broken: None,
        }
    }

    /// An accepted connection: the stream and the program's end.
    pub(crate) fn accepted(pair: (OwnedFd, OwnedFd), buffers: Buffers) -> io::Result<(Self, OwnedFd)> {
        let (inner, outer) = pair;
        buffers.apply(&inner);
        socket::send(inner.as_fd(), &[0])?;
        let mut stream = Self::new(outer);
        stream.set_buffers(buffers);
        Ok((stream, inner))
    }

    /// What is left of a handshake that failed after the program had gone on.
    pub(crate) fn failed(error: Errno, spent: OwnedFd) -> Self {
        Self {
            outer: None,
            readable: false,
            marker: false,
            unmarked: false,
            down: VecDeque::new(),
            awaits_room: false,
            urgent: None,
            up: None,
            ended: false,
            end_told: false,
            program_ended: false,
            closed: false,
            shut_write: false,
            shut_read: false,
            never_connected: true,
            is_shown: false,
            break_told: true,
            refused: false,
            reset: false,
            spent: Some(spent),
            broken: Some(error),
        }
    }

    /// `SO_ERROR` has been told: poll shows no error any more.
    pub(crate) fn error_told(&mut self) {
        if let Some(inner) = self.spent.take() {
            socket::take_error(inner.as_fd());
        }
    }

    /// Whether the kernel tells why it broke, once, by whichever native call meets it first.
    pub(crate) fn is_reset(&self) -> bool {
        self.broken == Some(Errno(libc::ECONNRESET)) && self.is_shown && !self.break_told
    }

    /// Whether it was a connection once.
    pub(crate) fn was_connected(&self) -> bool {
        !self.never_connected
    }

    /// Why it broke, told once: by this, or by a native call, as the program's end shows, which has this inode.
    pub(crate) fn take_broken(&mut self, inode: u64, witness: &mut Witness) -> Option<Errno> {
        if std::mem::replace(&mut self.break_told, true) || (self.is_shown && !witness.shows_error(inode)) {
            return None;
        }
        self.broken
    }

    /// The outer end, to be watched.
    pub(crate) fn outer(&self) -> Option<&OwnedFd> {
        self.outer.as_ref()
    }

    /// Whether the kernel may not tell of the last close.
    pub(crate) fn needs_looking_after(&self) -> bool {
        self.outer.is_none() || self.is_shut()
    }

    /// The kernel told something about the outer end. True: the program's end may have been closed, which only a look
    /// at its descriptors can tell.
    pub(crate) fn on_event(&mut self, bits: u32) -> bool {
        self.readable |= bits & (epoll::IN | epoll::RDHUP | epoll::HUP) != 0;
        self.program_ended |= bits & epoll::RDHUP != 0;
        if bits & epoll::HUP == 0 {
            return false;
        }
        // Both directions are shut. The program's shutdown(2), which we have seen, may be all there is to it.
        if self.is_shut() {
            return true;
        }
        self.closed = true;
        false
    }

    /// Lets the kernel tell when the program has read something: only while there is something to write, for each telling
    /// wakes us up.
    pub(crate) fn watch_for_room(&mut self, epoll: &Epoll, token: u64) {
        let is_due = !self.down.is_empty() || self.urgent.is_some();
        if is_due == self.awaits_room {
            return;
        }
        if let Some(outer) = &self.outer {
            let out = if is_due { epoll::OUT } else { 0 };
            let bits = epoll::IN | epoll::RDHUP | epoll::EDGE | out;
            if epoll.modify(outer.as_fd(), bits, token).is_ok() {
                self.awaits_room = is_due;
            }
        }
    }

    /// The program calls shutdown(2).
    pub(crate) fn on_shutdown(&mut self, how: How) {
        self.shut_write |= how != How::Read;
        self.shut_read |= how != How::Write;
    }

    /// The program may have written something that the kernel has not told of yet.
    pub(crate) fn set_readable(&mut self) {
        self.readable = true;
    }

    /// No program has it open any more.
    pub(crate) fn set_closed(&mut self) {
        self.readable = true;
        self.closed = true;
    }

    /// Both directions were shut without a close.
    fn is_shut(&self) -> bool {
        self.shut_write && (self.shut_read || self.ended)
    }

    /// Bytes that the program has written and nobody has taken yet.
    fn written(&self) -> usize {
        let all = self.outer.as_ref().map_or(0, |outer| socket::available(outer.as_fd()));
        all.saturating_sub(usize::from(self.marker))
    }

    /// The program has set its buffers (`SO_SNDBUF`, `SO_RCVBUF`): the stand-in's follow. A small send buffer leaves no
    /// room for the marker, so a reset then reads as an end.
    pub(crate) fn set_buffers(&mut self, buffers: Buffers) {
        self.unmarked = buffers.send.is_some_and(|bytes| bytes < SEND_BUFFER.unsigned_abs());
        if let Some(outer) = self.outer.as_ref().filter(|_| self.unmarked && self.marker) {
            // The rest of its piece goes with it.
            self.marker = socket::receive(outer.as_fd(), &mut [0], false).is_err();
        }
        if let (Some(outer), Some(bytes)) = (&self.outer, buffers.receive) {
            socket::set_send_buffer(outer.as_fd(), i32::try_from(bytes).unwrap_or(i32::MAX));
        }
    }

    /// Bytes that the program has written and the stack has not yet got.
    pub(crate) fn unsent(&self) -> usize {
        self.written() + self.up.as_ref().map_or(0, Bytes::len)
    }

    /// Nothing that the program has written is still on its way to the stack, and it may write.
    pub(crate) fn is_quiet(&self) -> bool {
        self.broken.is_none()
            && !self.refused
            && !self.program_ended
            && !self.shut_write
            && self.unsent() == 0
    }

    /// Gives the stack bytes of a trapped call; false if it takes none.
    pub(crate) fn send(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId, data: Bytes) -> bool {
        let message = Message { data: data.clone(), ..Message::default() };
        match ns.send(t, id, message) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                // There was room for all; what was not taken yet goes next.
                self.up = Some(data.slice(n.min(data.len())..)).filter(|rest| !rest.is_empty());
                true
            }
        }
    }

    /// Moves bytes both ways as far as they go.
    pub(crate) fn pump(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) -> Fate {
        let up_busy = self.pump_up(ns, t, id);
        let down_busy = self.pump_down(ns, t, id);
        if self.broken.is_some() && self.down.is_empty() {
            self.break_off();
        }
        let over = |s: &Self| s.unsent() == 0 || s.refused || s.broken.is_some();
        if self.closed && !up_busy && (self.closes_by_reset(ns, t, id) || over(self)) {
            self.close(ns, t, id);
            return Fate::Closed;
        }
        if up_busy || down_busy { Fate::Busy } else { Fate::Alive }
    }

    /// The connection is no more. Closing with the marker unread, the program reads what is left, then ECONNRESET; after
    /// the peer's end reading goes on to tell the end.
    fn break_off(&mut self) {
        let Some(outer) = self.outer.take() else { return };
        if self.ended {
            let mut rest = Vec::new();
            while socket::append(outer.as_fd(), &mut rest, CHUNK, false).is_ok_and(|n| n > 0) {
                rest.clear();
            }
        }
        self.is_shown = socket::available(outer.as_fd()) > 0;
    }

    /// Program to stack. True if it stopped only because it had done enough.
    fn pump_up(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) -> bool {
        if !self.readable && self.up.is_none() {
            return false;
        }
        for _ in 0..MAX_STEPS {
            let data = match self.up.take() {
                Some(data) => data,
                None => match self.take_written(ns.send_space(id)) {
                    Some(data) => data,
                    None => {
                        // With room in the stack it was the program that had no more: the kernel tells when it has.
                        self.readable &= ns.send_space(id) == 0;
                        self.tell_end(ns, t, id);
                        return false;
                    }
                },
            };
            let now = t.now;
            t.trace.socket(now, ns.id, Point::Syscall, || {
                Detail::Text(format!("write: {} bytes", data.len()).into())
            });
            let message = Message { data: data.clone(), ..Message::default() };
            match ns.send(t, id, message) {
                Ok(n) if n >= data.len() => {}
                Ok(n) => {
                    self.up = Some(data.slice(n..));
                    return false;
                }
                Err(SockError::WouldBlock) => {
                    self.up = Some(data);
                    return false;
                }
                // The receiving side tells what broke it.
                Err(_) => {
                    self.refused = true;
                    return false;
                }
            }
        }
        true
    }

    /// What the program has written, up to `space` bytes, leaving the last byte in place as the marker.
    fn take_written(&mut self, space: usize) -> Option<Bytes> {
        if !self.readable || space == 0 {
            return None;
        }
        if !self.unmarked
            && let Some(data) = self.take_little(space)
        {
            return data;
        }
        let outer = self.outer.as_ref()?.as_fd();
        let old = usize::from(self.marker);
        let take = self.written().min(space).min(CHUNK - old);
        if take == 0 {
            return None;
        }
        let mut buffer = Buffer::new(old + take);
        let room = &mut buffer.room()[..old + take];
        let got = if self.unmarked {
            self.marker = false;
            socket::receive(outer, room, false).ok()?
        } else {
            // The old marker and all but one of the new bytes leave the queue; the last new byte is the new marker.
            let gone = socket::receive(outer, &mut room[..old + take - 1], false).ok()?;
            self.marker = socket::receive(outer, &mut room[gone..=gone], true).is_ok_and(|n| n == 1);
            gone + usize::from(self.marker)
        };
        (got > old).then(|| buffer.freeze(old..got))
    }

    /// The same if the program has written little: the first look shows all of it. `None`: it has written more.
    fn take_little(&mut self, space: usize) -> Option<Option<Bytes>> {
        const LITTLE: usize = 4096;
        let outer = self.outer.as_ref()?.as_fd();
        let old = usize::from(self.marker);
        let mut buffer = [0; LITTLE];
        let seen = socket::receive(outer, &mut buffer, true).unwrap_or(0);
        if seen == LITTLE || seen > old + space {
            return None;
        }
        // What comes later the kernel tells of.
        self.readable = false;
        if seen <= old {
            return Some(None);
        }
        // The old marker and all but one of the new bytes leave the queue; the last new byte is the new marker.
        let gone = socket::receive(outer, &mut buffer[..seen - 1], false).ok()?;
        self.marker = true;
        Some(Some(Bytes::copy_from_slice(&buffer[old..=gone])))
    }

    fn tell_end(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) {
        if self.program_ended && !self.end_told && !self.closed && self.unsent() == 0 {
            self.end_told = true;
            // It fails only if the connection is gone already.
            let _ = ns.shutdown(t, id, How::Write);
        }
    }

    /// There is something that the program has not read: then a close resets.
    pub(crate) fn has_unread(&self, ns: &Netns, id: SockId) -> bool {
        let given = self.outer.as_ref().map_or(0, |outer| socket::unread_by_peer(outer.as_fd()));
        given > 0 || !self.down.is_empty() || ns.recv_queue_len(id) > 0
    }

    /// The program closes and waits for what it has written to arrive: true when it has.
    pub(crate) fn finish(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) -> bool {
        if self.unsent() == 0 && !std::mem::replace(&mut self.end_told, true) {
            // It fails only if the connection is gone already.
            let _ = ns.shutdown(t, id, How::Write);
        }
        self.unsent() == 0 && ns.is_all_acked(id)
    }

    /// Stack to program. True if it stopped only because it had done enough.
    fn pump_down(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) -> bool {
        for _ in 0..MAX_STEPS {
            if self.broken.is_some() || self.closed {
                self.flush();
                return false;
            }
            if !self.flush() {
                self.look_for_error(ns, id);
                if self.broken.is_some() {
                    self.give_all(ns, t, id);
                }
                return false;
            }
            if self.ended {
                return self.look_for_error(ns, id);
            }
            // A read ends before the urgent byte.
            let at_mark = ns.at_mark(id);
            match ns.recv(t, id, if at_mark { 1 } else { CHUNK }, RecvFlags::default()) {
                Ok(received) if received.is_empty() => {
                    self.ended = true;
                    if let Some(outer) = &self.outer {
                        socket::shutdown(outer.as_fd(), libc::SHUT_WR);
                    }
                }
                Ok(received) if at_mark => {
                    self.urgent = received.data.first().and_then(|data| data.first().copied());
                }
                Ok(received) => self.down.extend(received.data),
                Err(SockError::WouldBlock) => return self.look_for_error(ns, id),
                Err(error) => self.broken = Some(error.into()),
            }
        }
        true
    }

    /// The connection broke while the program does not read: perhaps it waits to write. It gets as much of what there is to
    /// read as the stand-in takes, and then the reset, which ends its waiting.
    fn give_all(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) {
        const MOST: i32 = i32::MAX / 2;
        if let Some(outer) = &self.outer {
            socket::set_send_buffer(outer.as_fd(), MOST);
        }
        while self.flush() {
            match ns.recv(t, id, CHUNK, RecvFlags::default()) {
                Ok(received) if !received.is_empty() => self.down.extend(received.data),
                _ => break,
            }
        }
        self.down.clear();
    }

    /// After the peer's end a reset is no event for a reader any more, but it is one for a writer.
    fn look_for_error(&mut self, ns: &mut Netns, id: SockId) -> bool {
        if ns.readiness(id).contains(Readiness::ERR)
            && let Some(error) = ns.take_error(id)
        {
            self.broken = Some(error.into());
        }
        false
    }

    /// Writes what is due to the program; false if it does not take all now.
    fn flush(&mut self) -> bool {
        let Some(outer) = &self.outer else {
            self.down.clear();
            self.urgent = None;
            return true;
        };
        while !self.down.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                self.down.iter().take(MAX_SLICES).map(|bytes| IoSlice::new(bytes)).collect();
            match socket::send_vectored(outer.as_fd(), &slices) {
                Ok(written) => advance(&mut self.down, written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // The program has shut its reading side: nobody wants the bytes.
                Err(_) => self.down.clear(),
            }
        }
        if let Some(byte) = self.urgent {
            let sent = socket::send_urgent(outer.as_fd(), byte);
            if sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                return false;
            }
            self.urgent = None;
        }
        true
    }

    /// The program has closed its end in a way that resets the connection, as on Linux: with bytes unread, or with
    /// `SO_LINGER` zero. What it has written and is still on its way is lost.
    fn closes_by_reset(&mut self, ns: &Netns, t: &Turn, id: SockId) -> bool {
        let zero = Ok(SockOpt::Linger(Some(Duration::ZERO)));
        let native = self.outer.as_ref().map_or(0, |outer| socket::take_error(outer.as_fd()));
        self.reset |= native == libc::ECONNRESET
            || !self.down.is_empty()
            || ns.recv_queue_len(id) > 0
            || ns.option(t, id, OptName::Linger) == zero;
        self.reset
    }

    /// The program has closed its end: tell the stack.
    fn close(&mut self, ns: &mut Netns, t: &mut Turn, id: SockId) {
        let now = t.now;
        t.trace.socket(now, ns.id, Point::Syscall, || {
            Detail::Text("close: the last descriptor is closed".into())
        });
        if self.reset {
            let _ = ns.set_option(t, id, SockOpt::Linger(Some(Duration::ZERO)));
        }
        ns.close(t, id);
    }
}

fn advance(queue: &mut VecDeque<Bytes>, mut written: usize) {
    while written > 0
        && let Some(front) = queue.front_mut()
    {
        let n = written.min(front.len());
        written -= n;
        if n == front.len() {
            queue.pop_front();
        } else {
            let _ = front.split_to(n);
        }
    }
    while queue.front().is_some_and(Bytes::is_empty) {
        queue.pop_front();
    }
}

impl Fresh {
    /// A socket for a program, and the descriptor to give it.
    pub(crate) fn new(nonblocking: bool) -> io::Result<Self> {
        Ok(Self { inner: socket::unix(Kind::Stream, nonblocking)? })
    }

    /// Whether the program's descriptor is non-blocking.
    pub(crate) fn is_nonblocking(&self) -> bool {
        file::is_nonblocking(self.inner.as_fd())
    }
}
