//! sendto(2), sendmsg(2), sendmmsg(2).
//!
//! A stream's bytes flow natively, so here streams are the exception: a call with an address, which TCP passes over.

use bytes::Bytes;
use netspace_stack::sock::{Message, SockError, SockType};
use netspace_uapi::sockaddr::{self, Parsed};
use netspace_uapi::{Errno, cmsg};

use super::header::{MULTI_COUNT, MULTI_LEN};
use super::{Answer, Call, Outcome, err};
use crate::door::{Door, World, note};
use crate::sock::{Body, Key};
use crate::sys::memory::Remote;
use crate::sys::process;

/// No datagram is longer: what is, is `EMSGSIZE` whatever it holds, and the stack is asked only for the path's MTU.
const MAX_DATAGRAM: usize = 256 * 1024;
/// Data offered to a SYN at once: more than any takes.
const MAX_SYN_DATA: usize = 65_536;
/// Most bytes of a stream taken at once.
const MAX_STREAM: usize = 1 << 20;
/// `UIO_MAXIOV`: most messages of one sendmmsg or recvmmsg.
pub(crate) const MAX_MESSAGES: usize = 1024;

/// One message to send, as its call gives it.
struct Outgoing<'a> {
    name: Option<Vec<u8>>,
    control: Vec<u8>,
    pieces: &'a [Remote],
    len: usize,
    flags: i32,
}

impl Door {
    pub(crate) fn call_sendto(&mut self, world: &mut dyn World, call: &mut Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let len = call.len(2);
        let name_len = usize::try_from(call.int(5)).ok().filter(|&n| n <= 128).ok_or(Errno(libc::EINVAL))?;
        let name = if call.args[4] == 0 || name_len == 0 {
            None
        } else {
            Some(self.read(call, call.args[4], name_len)?)
        };
        if name.is_none() && call.int(3) & libc::MSG_OOB == 0 && self.is_connected_stream(key) {
            return self.send_directly(world, call, key);
        }
        let pieces = [Remote { addr: call.args[1], len }];
        let outgoing = Outgoing { name, control: Vec::new(), pieces: &pieces, len, flags: call.int(3) };
        self.send(world, call, key, &outgoing)
    }

    /// send(2) on a connected stream. If all of it fits and nothing that was written natively is still on its way, it goes
    /// straight from the program's memory into the stack's send buffer; else natively.
    fn send_directly(&mut self, world: &mut dyn World, call: &Call, key: Key) -> Outcome {
        let (len, plain) = (call.len(2), call.int(3) & !(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) == 0);
        self.tell_broken(key)?;
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let Body::Stream(stream) = &mut sock.body else { return Ok(Answer::Proceed) };
        let (ns, _) = world.host(host);
        if !plain || len == 0 || len > ns.send_space(id) || !stream.is_quiet() {
            return Ok(Answer::Proceed);
        }
        let data = self.read_piece(call, call.args[1], len)?;
        let (sock, _) = self.sock(key)?;
        let Body::Stream(stream) = &mut sock.body else { return Ok(Answer::Proceed) };
        let (ns, t) = world.host(host);
        note_send(t, host, call.fd(0), len);
        if stream.send(ns, t, id, data) { Ok(Answer::Value(len as i64)) } else { Ok(Answer::Proceed) }
    }

    /// The first call on a connection that broke tells why; the kernel tells the later ones EPIPE, with SIGPIPE.
    fn tell_broken(&mut self, key: Key) -> Result<(), Errno> {
        let Some(sock) = self.socks.get_mut(key) else { return Ok(()) };
        match &mut sock.body {
            Body::Stream(stream) if stream.broken.is_some() && stream.was_connected() => {
                // EPIPE comes with a signal, which only the kernel gives.
                let told = stream.take_broken(sock.inode, &mut self.witness);
                told.filter(|&error| error != Errno(libc::EPIPE)).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }

    /// A connected stream, whose bytes flow natively.
    fn is_connected_stream(&self, key: Key) -> bool {
        matches!(self.socks.get(key).map(|sock| &sock.body), Some(Body::Stream(_)))
    }

    pub(crate) fn call_sendmsg(&mut self, world: &mut dyn World, call: &mut Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        self.send_header(world, call, key, call.args[1], call.int(2))
    }

    fn send_header(
        &mut self,
        world: &mut dyn World,
        call: &mut Call,
        key: Key,
        at: u64,
        flags: i32,
    ) -> Outcome {
        let header = self.read_header(call, at)?;
        let name = self.read_name(call, &header)?;
        if name.is_none() && flags & libc::MSG_OOB == 0 && self.is_connected_stream(key) {
            self.tell_broken(key)?;
            return Ok(Answer::Proceed);
        }
        let control = self.read_control(call, &header)?;
        let outgoing = Outgoing { name, control, pieces: &header.pieces, len: header.len, flags };
        self.send(world, call, key, &outgoing)
    }

    pub(crate) fn call_sendmmsg(&mut self, world: &mut dyn World, call: &mut Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        if self.is_connected_stream(key) {
            self.tell_broken(key)?;
            return Ok(Answer::Proceed);
        }
        let count = call.len(2).min(MAX_MESSAGES);
        while call.done < count {
            let at = call.args[1] + call.done as u64 * MULTI_LEN;
            match self.send_header(world, call, key, at, call.int(3)) {
                Ok(Answer::Value(sent)) => {
                    self.write(call, at + MULTI_COUNT, &(sent as u32).to_ne_bytes())?;
                    call.done += 1;
                }
                // What has been sent counts; the error shows with the next call.
                Err(_) if call.done > 0 => break,
                other => return other,
            }
        }
        Ok(Answer::Value(call.done as i64))
    }

    fn send(&mut self, world: &mut dyn World, call: &mut Call, key: Key, outgoing: &Outgoing<'_>) -> Outcome {
        if self.netlink(key).is_some() {
            let data = self.gather(call, outgoing.pieces, outgoing.len)?;
            return self.send_netlink(world, call, key, outgoing.name.as_deref(), &data);
        }
        if self.packet(key).is_some() {
            if outgoing.flags & libc::MSG_OOB != 0 {
                return err(libc::EINVAL);
            }
            let data = self.gather(call, outgoing.pieces, outgoing.len.min(MAX_DATAGRAM))?;
            return self.send_packet(world, call, key, outgoing.name.as_deref(), data);
        }
        let (sock, _) = self.sock(key)?;
        if sock.kind.ty == SockType::Stream {
            self.send_stream(world, call, key, outgoing)
        } else {
            self.send_datagram(world, call, key, outgoing)
        }
    }

    fn send_datagram(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        outgoing: &Outgoing<'_>,
    ) -> Outcome {
        // Plain writes before it go first.
        self.pump_all(world, key);
        if outgoing.flags & libc::MSG_OOB != 0 {
            return err(libc::EOPNOTSUPP);
        }
        if outgoing.len > MAX_DATAGRAM {
            return err(libc::EMSGSIZE);
        }
        let (sock, id) = self.sock(key)?;
        let (kind, host) = (sock.kind, sock.ns);
        let to = match &outgoing.name {
            None => None,
            Some(name) => match sockaddr::parse(name, kind, sockaddr::Call::Send)? {
                Parsed::Addr(addr) => Some(addr),
                Parsed::Unspec => None,
            },
        };
        let to_v4 = to.is_some_and(|addr| match addr.ip() {
            std::net::IpAddr::V4(_) => true,
            std::net::IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
        });
        let control = cmsg::parse(&outgoing.control, kind, to_v4)?;
        let data = Bytes::from(self.gather(call, outgoing.pieces, outgoing.len)?);
        let message = Message {
            to,
            data,
            control,
            more: outgoing.flags & libc::MSG_MORE != 0,
            oob: false,
            fast_open: false,
            dont_route: outgoing.flags & libc::MSG_DONTROUTE != 0,
            confirm: outgoing.flags & libc::MSG_CONFIRM != 0,
        };
        let (ns, t) = world.host(host);
        let result = ns.send(t, id, message);
        note(world, host, || {
            let to = to.map(|addr| format!(" to {addr}")).unwrap_or_default();
            format!("sendto: {} bytes{to}{}", outgoing.len, super::socket::outcome(&result))
        });
        match result {
            Ok(n) => {
                self.sync(world, key);
                Ok(Answer::Value(n as i64))
            }
            Err(SockError::WouldBlock) => self.block(call, key, outgoing.flags, true),
            Err(error) => {
                self.sync(world, key);
                Err(error.into())
            }
        }
    }

    /// EPIPE, and the signal that belongs to it.
    fn broken_pipe(&self, call: &Call, flags: i32) -> Outcome {
        if flags & libc::MSG_NOSIGNAL == 0 {
            process::signal_thread(call.tid, libc::SIGPIPE);
        }
        err(libc::EPIPE)
    }

    /// `MSG_FASTOPEN`: connect, with what the SYN can take of the data. None: the rest goes, or waits, as in any send.
    fn open_fast(
        &mut self,
        world: &mut dyn World,
        call: &mut Call,
        key: Key,
        outgoing: &Outgoing<'_>,
    ) -> Result<Option<Answer>, Errno> {
        let (sock, id) = self.sock(key)?;
        let (kind, host) = (sock.kind, sock.ns);
        match &sock.body {
            Body::Fresh(_) => {}
            // The held call is tried again.
            _ if call.deadline.is_some() => return Ok(None),
            Body::Connecting(_) => return Err(Errno(libc::EALREADY)),
            _ => return Err(Errno(libc::EISCONN)),
        }
        let name = outgoing.name.as_ref().ok_or(Errno(libc::EINVAL))?;
        let Parsed::Addr(to) = sockaddr::parse(name, kind, sockaddr::Call::Connect)? else {
            return Err(Errno(libc::EOPNOTSUPP));
        };
        let len = outgoing.len.min(MAX_SYN_DATA);
        let data = Bytes::from(self.gather(call, &limit(outgoing.pieces, len), len)?);
        let (ns, t) = world.host(host);
        let result = ns.send(t, id, Message { to: Some(to), data, fast_open: true, ..Message::default() });
        note(world, host, || {
            format!("sendto({}, {to}), fast open{}", call.fd(0), super::socket::outcome(&result))
        });
        match result {
            Ok(taken) => call.done = taken,
            Err(SockError::InProgress) => {}
            Err(error) => return Err(error.into()),
        }
        self.start_connecting(key)?;
        if !self.is_nonblocking(call, key) && outgoing.flags & libc::MSG_DONTWAIT == 0 {
            return Ok(None);
        }
        self.leave_connecting(world, key);
        if call.done > 0 { Ok(Some(Answer::Value(call.done as i64))) } else { Err(Errno(libc::EINPROGRESS)) }
    }

    /// A stream's bytes through a trapped call: those that were written natively before go first.
    fn send_stream(
        &mut self,
        world: &mut dyn World,
        call: &mut Call,
        key: Key,
        outgoing: &Outgoing<'_>,
    ) -> Outcome {
        if outgoing.flags & libc::MSG_FASTOPEN != 0
            && let Some(outcome) = self.open_fast(world, call, key, outgoing)?
        {
            return Ok(outcome);
        }
        self.settle_connect(world, key);
        self.pump_all(world, key);
        self.tell_broken(key)?;
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let waits = match &mut sock.body {
            Body::Stream(stream) if stream.broken.is_some() => return self.broken_pipe(call, outgoing.flags),
            Body::Stream(stream) => stream.unsent() > 0,
            Body::Connecting(_) => true,
            _ => return err(libc::EPIPE),
        };
        if waits {
            return self.block(call, key, outgoing.flags, true);
        }
        let left = super::memory::skip(outgoing.pieces, call.done);
        while call.done < outgoing.len {
            let (ns, t) = world.host(host);
            let part = (outgoing.len - call.done).min(ns.send_space(id)).min(MAX_STREAM);
            if part == 0 {
                break;
            }
            let skipped = outgoing.len - left.iter().map(|piece| piece.len).sum::<usize>();
            let pieces = limit(&super::memory::skip(&left, call.done - skipped), part);
            let data = Bytes::from(self.gather(call, &pieces, part)?);
            let is_last = call.done + part == outgoing.len;
            let message = Message {
                data,
                more: outgoing.flags & libc::MSG_MORE != 0,
                oob: is_last && outgoing.flags & libc::MSG_OOB != 0,
                ..Message::default()
            };
            match ns.send(t, id, message) {
                Ok(0) | Err(SockError::WouldBlock) => break,
                Ok(n) => call.done += n,
                Err(error) if call.done == 0 => return Err(error.into()),
                Err(_) => return Ok(Answer::Value(call.done as i64)),
            }
        }
        if call.done == outgoing.len {
            return Ok(Answer::Value(call.done as i64));
        }
        match self.block(call, key, outgoing.flags, true) {
            Err(_) if call.done > 0 => Ok(Answer::Value(call.done as i64)),
            other => other,
        }
    }
}

fn note_send(t: &mut netspace_stack::Turn, ns: netspace_base::NsId, fd: u32, len: usize) {
    let now = t.now;
    t.trace.socket(now, ns, netspace_base::Point::Syscall, || {
        netspace_base::Detail::Text(format!("send({fd}): {len} bytes").into())
    });
}

/// The first `n` bytes of the pieces.
fn limit(pieces: &[Remote], mut n: usize) -> Vec<Remote> {
    let mut first = Vec::new();
    for piece in pieces {
        let len = piece.len.min(n);
        n -= len;
        if len > 0 {
            first.push(Remote { addr: piece.addr, len });
        }
    }
    first
}
