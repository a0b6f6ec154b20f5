//! One netlink socket.

use std::collections::{BTreeSet, VecDeque};

use netspace_stack::{Netns, Turn};

use super::read::messages;
use super::watch::Watch;
use super::{
    Handler, NETLINK_GET_STRICT_CHK, NETLINK_ROUTE, NETLINK_SOCK_DIAG, NlError, Replies, Request, Row, Told,
    diag, done, flag, pack, report, route,
};
use crate::bytes_at::{i32_at, u16_at, u32_at};
use crate::errno::{EINVAL, ENOPROTOOPT, Errno};

/// `sizeof(struct sockaddr_nl)`.
const ADDR_LEN: usize = 12;
/// Bytes that may wait in a socket's queue (`net.core.rmem_max`, as iproute2 asks for).
const MAX_QUEUED: usize = 4 << 20;
/// The highest multicast group that can be joined.
const MAX_GROUP: u32 = 64;

/// A received datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// Its bytes, as many as fit the caller's room.
    pub data: Vec<u8>,
    /// Its whole length: what recvmsg returns with `MSG_TRUNC`.
    pub full_len: usize,
    /// Whether it was cut: `MSG_TRUNC` is set in the flags.
    pub truncated: bool,
    /// The sender's address: the kernel.
    pub from: Vec<u8>,
}

/// A netlink socket of one namespace.
#[derive(Debug)]
pub struct NetlinkSocket {
    protocol: i32,
    portid: Option<u32>,
    groups: BTreeSet<u32>,
    watch: Watch,
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    overrun: bool,
    ext_ack: bool,
    strict: bool,
    cap_ack: bool,
    pktinfo: bool,
    /// Options that are kept and told, without an effect here: `NETLINK_BROADCAST_ERROR`, `…_NO_ENOBUFS`,
    /// `…_LISTEN_ALL_NSID`.
    kept: BTreeSet<i32>,
}

impl NetlinkSocket {
    /// socket(2) with `AF_NETLINK`: the protocols that are served, else `EPROTONOSUPPORT`.
    pub fn new(protocol: i32) -> Result<Self, Errno> {
        if ![NETLINK_ROUTE, NETLINK_SOCK_DIAG].contains(&protocol) {
            return Err(Errno(libc::EPROTONOSUPPORT));
        }
        Ok(Self {
            protocol,
            portid: None,
            groups: BTreeSet::new(),
            watch: Watch::default(),
            queue: VecDeque::new(),
            queued: 0,
            overrun: false,
            ext_ack: false,
            strict: false,
            cap_ack: false,
            pktinfo: false,
            kept: BTreeSet::new(),
        })
    }

    /// The protocol (`SO_PROTOCOL`).
    pub const fn protocol(&self) -> i32 {
        self.protocol
    }

    /// The port, if bound.
    pub const fn portid(&self) -> Option<u32> {
        self.portid
    }

    /// bind(2) to a `sockaddr_nl`. Port 0 lets the kernel choose: `free_port` (the process's id for its first socket).
    pub fn bind(&mut self, addr: &[u8], free_port: u32) -> Result<(), Errno> {
        let (family, pid, groups) = read_addr(addr).ok_or(EINVAL)?;
        if i32::from(family) != libc::AF_NETLINK {
            return Err(EINVAL);
        }
        match self.portid {
            Some(port) if pid != 0 && pid != port => return Err(EINVAL),
            Some(_) => {}
            None => self.portid = Some(if pid == 0 { free_port } else { pid }),
        }
        // The mask names the first 32 groups; those joined by option stay beyond it.
        self.groups.retain(|&group| group > 32);
        self.groups.extend((1..=32).filter(|group| groups & (1 << (group - 1)) != 0));
        Ok(())
    }

    /// Binds to `free_port` if not bound yet: what the first send does.
    pub fn autobind(&mut self, free_port: u32) {
        self.portid.get_or_insert(free_port);
    }

    /// connect(2): only to the kernel (port 0), or dissolved with `AF_UNSPEC`.
    pub fn connect(&mut self, addr: &[u8], free_port: u32) -> Result<(), Errno> {
        if u16_at(addr, 0).map(i32::from) == Some(libc::AF_UNSPEC) {
            return Ok(());
        }
        let (family, pid, _) = read_addr(addr).ok_or(EINVAL)?;
        if i32::from(family) != libc::AF_NETLINK {
            return Err(EINVAL);
        }
        if pid != 0 {
            return Err(Errno(libc::ECONNREFUSED));
        }
        self.autobind(free_port);
        Ok(())
    }

    /// getsockname(2).
    pub fn local_addr(&self) -> Vec<u8> {
        let mask = self.groups.iter().filter(|&&g| g <= 32).fold(0u32, |mask, g| mask | 1 << (g - 1));
        emit_addr(self.portid.unwrap_or(0), mask)
    }

    /// getpeername(2): the kernel.
    pub fn peer_addr(&self) -> Vec<u8> {
        emit_addr(0, 0)
    }

    /// Checks the address of a sendto(2) or sendmsg(2): only the kernel can be talked to.
    pub fn check_destination(addr: &[u8]) -> Result<(), Errno> {
        let (family, pid, _) = read_addr(addr).ok_or(EINVAL)?;
        match (i32::from(family), pid) {
            (libc::AF_NETLINK, 0) => Ok(()),
            (libc::AF_NETLINK, _) => Err(Errno(libc::ECONNREFUSED)),
            _ => Err(EINVAL),
        }
    }

    /// A datagram of requests: each is answered at once, its replies wait in the queue. Bind before
    /// ([`NetlinkSocket::autobind`]).
    pub fn request(&mut self, ns: &mut Netns, t: &mut Turn, datagram: &[u8]) {
        for (header, message) in messages(datagram) {
            let request = Request { header, message, strict: self.strict };
            self.serve(ns, t, &request);
        }
    }

    fn serve(&mut self, ns: &mut Netns, t: &mut Turn, request: &Request<'_>) {
        let header = &request.header;
        let pid = self.portid.unwrap_or(0);
        let mut outcome = Ok(());
        // Not requests, and netlink's own types (NLMSG_NOOP, …): confirmed if asked for, nothing else.
        if request.has(flag::REQUEST) && header.ty >= libc::NLMSG_MIN_TYPE as u16 {
            let chosen = self.handler(request);
            let dump = matches!(chosen, Ok(Some((_, true))));
            let mut replies = Replies::new(header, pid, dump);
            outcome = match chosen {
                Ok(Some((handler, _))) => handler(ns, t, request, &mut replies),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if dump && (outcome.is_ok() || !replies.messages.is_empty()) {
                return self.queue_dump(replies, &outcome);
            }
            self.queue_all(pack(replies.messages));
        }
        if outcome.is_err() || request.has(flag::ACK) {
            let told = Told { cap_ack: self.cap_ack, ext_ack: self.ext_ack };
            self.queue_all(pack([report(header, request.message, pid, &outcome, told)]));
        }
    }

    fn queue_dump(&mut self, mut replies: Replies, outcome: &Result<(), NlError>) {
        let done = done(&replies, outcome);
        let mut messages = std::mem::take(&mut replies.messages);
        messages.push(done);
        if replies.filtered {
            for message in &mut messages {
                message.add_flags(flag::DUMP_FILTERED);
            }
        }
        self.queue_all(pack(messages));
    }

    /// Who answers a request, and whether as a dump; none if it is too short to be one.
    fn handler(&self, request: &Request<'_>) -> Result<Option<(Handler, bool)>, NlError> {
        let table: &[Row] = if self.protocol == NETLINK_ROUTE { route::TABLE } else { diag::TABLE };
        if request.body().is_empty() {
            return if self.protocol == NETLINK_ROUTE { Ok(None) } else { Err(NlError::bare(libc::EINVAL)) };
        }
        let of_type = || table.iter().filter(|row| row.ty == request.header.ty);
        let row = of_type()
            .find(|row| row.family != 0 && row.family == request.family())
            .or_else(|| of_type().find(|row| row.family == 0))
            .ok_or(NlError::bare(libc::EOPNOTSUPP))?;
        let dump =
            request.has(flag::DUMP) && (self.protocol != NETLINK_ROUTE || route::is_get(request.header.ty));
        let handler = if dump { row.dump } else { row.run };
        handler.map(|handler| Some((handler, dump))).ok_or(NlError::bare(libc::EOPNOTSUPP))
    }

    fn queue_all(&mut self, datagrams: Vec<Vec<u8>>) {
        for datagram in datagrams {
            if self.queued + datagram.len() > MAX_QUEUED {
                self.overrun = true;
                return;
            }
            self.queued += datagram.len();
            self.queue.push_back(datagram);
        }
    }

    /// Whether the socket is in a group, so that [`NetlinkSocket::watch`] has something to do.
    pub fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Queues notifications of what has changed since the last call, for the groups that the socket is in. The first call
    /// after joining only takes down what there is.
    pub fn watch(&mut self, ns: &mut Netns, t: &mut Turn) {
        if self.protocol == NETLINK_ROUTE && self.has_groups() {
            let changes = self.watch.changes(ns, t, &self.groups);
            self.queue_all(changes);
        }
    }

    /// Whether recvmsg would find something.
    pub fn is_readable(&self) -> bool {
        self.overrun || !self.queue.is_empty()
    }

    /// recvmsg(2), never blocking: the next datagram cut to `room` bytes; `EAGAIN` if there is none, `ENOBUFS` once if some
    /// were lost. `peek` leaves it in the queue.
    pub fn recv(&mut self, room: usize, peek: bool) -> Result<Datagram, Errno> {
        if std::mem::take(&mut self.overrun) {
            return Err(Errno(libc::ENOBUFS));
        }
        let first = self.queue.front().ok_or(Errno(libc::EAGAIN))?;
        let full_len = first.len();
        let data = first[..full_len.min(room)].to_vec();
        if !peek {
            self.queued -= full_len;
            self.queue.pop_front();
        }
        Ok(Datagram { data, full_len, truncated: full_len > room, from: emit_addr(0, 0) })
    }

    /// setsockopt(2) at level `SOL_NETLINK`.
    pub fn set_option(&mut self, number: i32, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.len() < 4 {
            return Err(EINVAL);
        }
        let value = i32_at(bytes, 0).unwrap_or(0);
        let on = value != 0;
        match number {
            libc::NETLINK_ADD_MEMBERSHIP | libc::NETLINK_DROP_MEMBERSHIP => {
                let group =
                    u32::try_from(value).ok().filter(|g| (1..=MAX_GROUP).contains(g)).ok_or(EINVAL)?;
                if number == libc::NETLINK_ADD_MEMBERSHIP {
                    self.groups.insert(group);
                } else {
                    self.groups.remove(&group);
                }
            }
            libc::NETLINK_PKTINFO => self.pktinfo = on,
            libc::NETLINK_CAP_ACK => self.cap_ack = on,
            libc::NETLINK_EXT_ACK => self.ext_ack = on,
            NETLINK_GET_STRICT_CHK => self.strict = on,
            libc::NETLINK_BROADCAST_ERROR | libc::NETLINK_NO_ENOBUFS | libc::NETLINK_LISTEN_ALL_NSID => {
                if on {
                    self.kept.insert(number);
                } else {
                    self.kept.remove(&number);
                }
            }
            _ => return Err(ENOPROTOOPT),
        }
        Ok(())
    }

    /// getsockopt(2) at level `SOL_NETLINK`: the bytes and the length to tell.
    pub fn option(&self, number: i32, room: usize) -> Result<Vec<u8>, Errno> {
        let on = match number {
            libc::NETLINK_PKTINFO => self.pktinfo,
            libc::NETLINK_CAP_ACK => self.cap_ack,
            libc::NETLINK_EXT_ACK => self.ext_ack,
            NETLINK_GET_STRICT_CHK => self.strict,
            libc::NETLINK_BROADCAST_ERROR | libc::NETLINK_NO_ENOBUFS | libc::NETLINK_LISTEN_ALL_NSID => {
                self.kept.contains(&number)
            }
            libc::NETLINK_LIST_MEMBERSHIPS => {
                let mask = self.groups.iter().fold(0u64, |mask, group| mask | 1 << (group - 1));
                return Ok(mask.to_ne_bytes()[..room.min(8)].to_vec());
            }
            _ => return Err(ENOPROTOOPT),
        };
        if room < 4 {
            return Err(EINVAL);
        }
        Ok(i32::from(on).to_ne_bytes().to_vec())
    }
}

fn read_addr(addr: &[u8]) -> Option<(u16, u32, u32)> {
    if addr.len() < ADDR_LEN {
        return None;
    }
    Some((u16_at(addr, 0)?, u32_at(addr, 4)?, u32_at(addr, 8)?))
}

fn emit_addr(pid: u32, groups: u32) -> Vec<u8> {
    let mut out = (libc::AF_NETLINK as u16).to_ne_bytes().to_vec();
    out.extend([0; 2]);
    out.extend(pid.to_ne_bytes());
    out.extend(groups.to_ne_bytes());
    out
}
