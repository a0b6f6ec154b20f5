//! recvfrom(2), recvmsg(2), recvmmsg(2).
//!
//! Streams are read natively. Of datagrams the trapped calls bring what a plain read cannot: the address, the control
//! messages, the true length, the error queue.

use netspace_stack::sock::{Received, RecvFlags, SockError};
use netspace_uapi::{Errno, cmsg, sockaddr};

use super::header::{Header, MULTI_COUNT, MULTI_LEN};
use super::send::MAX_MESSAGES;
use super::{Answer, Call, Outcome, err};
use crate::door::{Door, World, note};
use crate::sock::{Body, Key};
use crate::sys::memory::Remote;

/// `MSG_WAITFORONE`.
const MSG_WAITFORONE: i32 = 0x1_0000;

impl Door {
    fn is_stream(&self, key: Key) -> bool {
        let body = self.socks.get(key).map(|sock| &sock.body);
        matches!(body, Some(Body::Stream(_) | Body::Fresh(_) | Body::Connecting(_) | Body::Listener(_)))
    }

    /// A stream's receiving is the kernel's, from the stand-in, but for what a socket without a connection answers.
    fn receive_stream(&mut self, world: &mut dyn World, key: Key, flags: i32) -> Outcome {
        self.pump_all(world, key);
        match self.socks.get(key).map(|sock| &sock.body) {
            Some(Body::Fresh(_) | Body::Listener(_)) => err(libc::ENOTCONN),
            Some(Body::Connecting(connecting)) if connecting.outer.is_none() => err(libc::EAGAIN),
            _ if flags & libc::MSG_ERRQUEUE != 0 => err(libc::EAGAIN),
            _ => Ok(Answer::Proceed),
        }
    }

    pub(crate) fn call_recvfrom(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let flags = call.int(3);
        if self.is_stream(key) {
            return self.receive_stream(world, key, flags);
        }
        if self.netlink(key).is_some() {
            return self.recvfrom_netlink(world, call, key);
        }
        if self.packet(key).is_some() {
            return self.recvfrom_packet(world, call, key);
        }
        let received = match self.receive(world, call, key, flags)? {
            Ok(received) => received,
            Err(wait) => return Ok(wait),
        };
        let pieces = [Remote { addr: call.args[1], len: call.len(2) }];
        let (n, whole) = self.deliver(call, &pieces, &received)?;
        if call.args[4] != 0 {
            let name = self.name_of(key, &received)?;
            self.write_address(call, call.args[4], call.args[5], &name)?;
        }
        self.sync(world, key);
        Ok(Answer::Value(if flags & libc::MSG_TRUNC != 0 { whole } else { n } as i64))
    }

    pub(crate) fn call_recvmsg(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        if self.is_stream(key) {
            return self.receive_stream(world, key, call.int(2));
        }
        self.receive_header(world, call, key, call.args[1], call.int(2))
    }

    fn receive_header(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        at: u64,
        flags: i32,
    ) -> Outcome {
        let header = self.read_header(call, at)?;
        if self.netlink(key).is_some() {
            return self.recvmsg_netlink(world, call, key, &header, flags);
        }
        if self.packet(key).is_some() {
            return self.recvmsg_packet(world, call, key, &header, flags);
        }
        let received = match self.receive(world, call, key, flags)? {
            Ok(received) => received,
            Err(wait) => return Ok(wait),
        };
        let (n, whole) = self.deliver(call, &header.pieces, &received)?;
        let mut out_flags = 0;
        if n < whole {
            out_flags |= libc::MSG_TRUNC;
        }
        if flags & libc::MSG_ERRQUEUE != 0 {
            out_flags |= libc::MSG_ERRQUEUE;
        }
        let (control, cut) = self.control_of(world, key, &header, &received)?;
        if cut {
            out_flags |= libc::MSG_CTRUNC;
        }
        let name = self.name_of(key, &received)?;
        self.write_header(call, &header, &name, &control, out_flags)?;
        self.sync(world, key);
        Ok(Answer::Value(if flags & libc::MSG_TRUNC != 0 { whole } else { n } as i64))
    }

    fn control_of(
        &mut self,
        world: &mut dyn World,
        key: Key,
        header: &Header,
        received: &Received,
    ) -> Result<(Vec<u8>, bool), Errno> {
        let wanted = self.wanted(world, key)?;
        if wanted.is_none() && received.control.error.is_none() {
            return Ok((Vec::new(), false));
        }
        let room = if header.control == 0 { 0 } else { header.control_len };
        let ns = self.sock(key)?.0.ns;
        let epoch = self.epoch(world, ns);
        Ok(cmsg::emit(&received.control, &wanted, epoch, room))
    }

    pub(crate) fn call_recvmmsg(&mut self, world: &mut dyn World, call: &mut Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        if self.is_stream(key) {
            return self.receive_stream(world, key, call.int(3));
        }
        let count = call.len(2).min(MAX_MESSAGES);
        while call.done < count {
            let mut flags = call.int(3) & !MSG_WAITFORONE;
            if call.done > 0 && call.int(3) & MSG_WAITFORONE != 0 {
                flags |= libc::MSG_DONTWAIT;
            }
            let at = call.args[1] + call.done as u64 * MULTI_LEN;
            match self.receive_header(world, call, key, at, flags) {
                Ok(Answer::Value(n)) => {
                    self.write(call, at + MULTI_COUNT, &(n as u32).to_ne_bytes())?;
                    call.done += 1;
                }
                Ok(Answer::Hold(wait)) => {
                    let timeout = self.recvmmsg_timeout(call)?;
                    return Ok(Answer::Hold(crate::trapped::Wait {
                        timeout: timeout.or(wait.timeout),
                        ..wait
                    }));
                }
                Err(_) if call.done > 0 => break,
                other => return other,
            }
        }
        Ok(Answer::Value(call.done as i64))
    }

    fn recvmmsg_timeout(&self, call: &Call) -> Result<Option<std::time::Duration>, Errno> {
        if call.args[4] == 0 {
            return Ok(None);
        }
        let bytes = self.read(call, call.args[4], 16)?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        let nanos = u32::try_from(word(8)).map_err(|_| Errno(libc::EINVAL))?;
        Ok(Some(std::time::Duration::new(word(0), nanos)))
    }

    /// The next datagram, or how the call waits.
    fn receive(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        flags: i32,
    ) -> Result<Result<Received, Answer>, Errno> {
        let recv_flags = RecvFlags {
            peek: flags & libc::MSG_PEEK != 0,
            error_queue: flags & libc::MSG_ERRQUEUE != 0,
            oob: flags & libc::MSG_OOB != 0,
        };
        self.pump_all(world, key);
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let (ns, t) = world.host(host);
        let Body::Datagram(datagram) = &mut sock.body else { return err(libc::EOPNOTSUPP) };
        match datagram.receive(ns, t, id, recv_flags) {
            // Shut for reading, with nothing to read: the end only to those who would wait for more.
            Ok(received) if received.from.is_none() && received.is_empty() && !recv_flags.error_queue => {
                match self.block(call, key, flags, false)? {
                    Answer::Hold(_) => Ok(Ok(received)),
                    other => Ok(Err(other)),
                }
            }
            Ok(received) => {
                sock.last_received = Some(received.control.at);
                note(world, host, || {
                    let from = received.from.map(|addr| format!(" from {addr}")).unwrap_or_default();
                    format!("recvfrom: {} bytes{from}", received.len())
                });
                Ok(Ok(received))
            }
            Err(SockError::WouldBlock) if recv_flags.error_queue => err(libc::EAGAIN),
            Err(SockError::WouldBlock) => self.block(call, key, flags, false).map(Err),
            Err(error) => {
                self.sync(world, key);
                Err(error.into())
            }
        }
    }

    /// Writes a datagram's payload to the caller's pieces: how much of how much.
    fn deliver(&self, call: &Call, pieces: &[Remote], received: &Received) -> Result<(usize, usize), Errno> {
        let whole = received.len();
        let room: usize = pieces.iter().map(|piece| piece.len).sum();
        let slices: Vec<&[u8]> = received.data.iter().map(AsRef::as_ref).collect();
        self.scatter(call, &slices, pieces)?;
        Ok((whole.min(room), whole))
    }

    fn name_of(&self, key: Key, received: &Received) -> Result<Vec<u8>, Errno> {
        let sock = self.socks.get(key).ok_or(Errno(libc::EBADF))?;
        Ok(received.from.map(|addr| sockaddr::emit(addr, sock.kind.family)).unwrap_or_default())
    }
}
