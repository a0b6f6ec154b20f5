//! The lab's side of the control socket. It never blocks: the lab's one loop serves it when its descriptor is readable.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::epoll;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};

use super::{MAX_LINE, Reply, Request};

/// The most clients at once.
const MAX_CLIENTS: usize = 256;
/// Descriptors that one message may carry.
const MAX_FDS: usize = 4;
/// Replies waiting for a slow client: beyond this, trace lines are counted and left out.
const MAX_BACKLOG: usize = 1 << 20;
/// The epoll key of the listener.
const LISTENER: u64 = 0;

/// A connected client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ClientId(u64);

/// What has come in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request, with the descriptors that came with it.
    Request(ClientId, Request, Vec<OwnedFd>),
    /// The client has gone.
    Gone(ClientId),
}

/// The control socket and its clients.
#[derive(Debug)]
pub(crate) struct Server {
    listener: UnixListener,
    epoll: OwnedFd,
    clients: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    fds: Vec<OwnedFd>,
    output: VecDeque<u8>,
    /// Trace lines left out since the last one that went through.
    lost: u64,
    /// Whether epoll is asked for writability.
    wants_write: bool,
    closing: bool,
}

impl Server {
    /// Serves `listener`, which must not block.
    pub(crate) fn new(listener: UnixListener) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self { listener, epoll, clients: BTreeMap::new(), next: LISTENER + 1 })
    }

    /// Readable when [`Server::poll`] has something to do.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Takes what has come, sends what can be sent.
    pub(crate) fn poll(&mut self) -> io::Result<Vec<Incoming>> {
        let mut incoming = Vec::new();
        let mut events = Vec::with_capacity(64);
        let no_wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&no_wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events {
            let (key, flags) = (event.data.u64(), event.flags);
            if key == LISTENER {
                self.accept()?;
                continue;
            }
            let id = ClientId(key);
            let Some(client) = self.clients.get_mut(&key) else { continue };
            if flags.contains(epoll::EventFlags::OUT) {
                client.send_now();
            }
            let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
            if flags.intersects(readable) && !client.receive(id, &mut incoming) {
                self.remove(id);
                incoming.push(Incoming::Gone(id));
                continue;
            }
            self.settle(id);
        }
        Ok(incoming)
    }

    /// Sends a reply, or queues what the client does not take at once; a client that has gone meanwhile is no error.
    pub(crate) fn reply(&mut self, id: ClientId, reply: &Reply) {
        self.queue(id, reply);
        self.flush(id);
    }

    /// Queues a reply: many small ones go out together with the next [`Server::flush`].
    pub(crate) fn queue(&mut self, id: ClientId, reply: &Reply) {
        let Some(client) = self.clients.get_mut(&id.0).filter(|client| !client.closing) else { return };
        if matches!(reply, Reply::Event { .. }) {
            if client.output.len() > MAX_BACKLOG {
                client.send_now();
            }
            if client.output.len() > MAX_BACKLOG {
                client.lost += 1;
                return;
            }
            if client.lost > 0 && client.output.len() < MAX_BACKLOG / 2 {
                let count = std::mem::take(&mut client.lost);
                client.queue(&Reply::Lost { count });
            }
        }
        client.queue(reply);
    }

    /// Sends what is queued, as far as the client takes it.
    pub(crate) fn flush(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id.0) {
            client.send_now();
        }
        self.settle(id);
    }

    /// Ends every connection after what is queued has been offered to its client once.
    pub(crate) fn close(mut self) {
        for client in self.clients.values_mut() {
            let _ = client.stream.set_nonblocking(false);
            let _ = client.stream.set_write_timeout(Some(std::time::Duration::from_secs(1)));
            let _ = client.flush();
        }
    }

    /// Whether replies wait for their clients.
    #[cfg(test)]
    pub(super) fn has_output(&self) -> bool {
        self.clients.values().any(|client| !client.output.is_empty())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Descriptors are short, or the client has gone: the lab goes on.
                Err(_) => return Ok(()),
            };
            let ours = rustix::net::sockopt::socket_peercred(&stream)
                .is_ok_and(|peer| peer.uid == rustix::process::geteuid() || peer.uid.is_root());
            if !ours || self.clients.len() >= MAX_CLIENTS {
                continue;
            }
            stream.set_nonblocking(true)?;
            let key = self.next;
            self.next += 1;
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
            self.clients.insert(key, Connection::new(stream));
        }
    }

    /// Asks epoll for writability exactly while something waits to be written.
    fn settle(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id.0) else { return };
        let wants_write = !client.output.is_empty();
        if wants_write == client.wants_write {
            return;
        }
        client.wants_write = wants_write;
        let flags =
            if wants_write { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        // It can only fail for a descriptor that is not in the set, and this one is.
        let _ = epoll::modify(&self.epoll, &client.stream, epoll::EventData::new_u64(id.0), flags);
    }

    fn remove(&mut self, id: ClientId) {
        if let Some(client) = self.clients.remove(&id.0) {
            let _ = epoll::delete(&self.epoll, &client.stream);
        }
    }
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            fds: Vec::new(),
            output: VecDeque::new(),
            lost: 0,
            wants_write: false,
            closing: false,
        }
    }

    /// Reads all there is; false if the client has gone or speaks another language.
    fn receive(&mut self, id: ClientId, incoming: &mut Vec<Incoming>) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let slices = &mut [IoSliceMut::new(&mut buffer)];
            let n = match rustix::net::recvmsg(&self.stream, slices, &mut ancillary, flags) {
                Ok(received) => received.bytes,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
            };
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            if n == 0 {
                return false;
            }
            self.input.extend_from_slice(&buffer[..n]);
            if !self.take_lines(id, incoming) {
                return false;
            }
        }
    }

    fn take_lines(&mut self, id: ClientId, incoming: &mut Vec<Incoming>) -> bool {
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(request) => incoming.push(Incoming::Request(id, request, std::mem::take(&mut self.fds))),
                Err(error) => {
                    self.fds.clear();
                    let message = format!("the request is not understood: {error}");
                    self.queue(&Reply::Error { message, code: 2 });
                    if self.flush().is_err() {
                        return false;
                    }
                }
            }
        }
        self.input.len() <= MAX_LINE && self.fds.len() <= 4 * MAX_FDS
    }

    fn queue(&mut self, reply: &Reply) {
        // A reply always is JSON: its keys are strings.
        if let Ok(line) = serde_json::to_vec(reply) {
            self.output.extend(line);
            self.output.push_back(b'\n');
        }
    }

    /// Sends what it can; after an error nothing more will be sent.
    fn send_now(&mut self) {
        if self.flush().is_err() {
            self.closing = true;
            self.output.clear();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let (first, _) = self.output.as_slices();
            match rustix::net::send(&self.stream, first, SendFlags::NOSIGNAL) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
