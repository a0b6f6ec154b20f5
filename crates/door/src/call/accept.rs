//! accept(2) and accept4(2).

use std::net::SocketAddr;
use std::os::fd::AsFd;

use netspace_stack::sock::{SockError, SockId};
use netspace_uapi::{Errno, sockaddr};

use super::{Answer, Call, Outcome, err, os};
use crate::door::{Door, World, note};
use crate::sock::{Body, Key, Sock};
use crate::standin::Stream;
use crate::sys::{file, seccomp, socket};

impl Door {
    pub(crate) fn call_accept(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let flags = if libc::c_long::from(call.nr) == libc::SYS_accept4 { call.int(3) } else { 0 };
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return err(libc::EINVAL);
        }
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let listener = match &mut sock.body {
            Body::Listener(listener) => listener,
            Body::Datagram(_) | Body::Packet(_) => return err(libc::EOPNOTSUPP),
            _ => return err(libc::EINVAL),
        };
        let (ns, t) = world.host(host);
        let accepted = match listener.stash.pop_front() {
            Some(accepted) => Ok(accepted),
            None => ns.accept(t, id),
        };
        let outcome = match accepted {
            Ok((accepted, peer)) => self.give_accepted(world, call, key, accepted, peer, flags),
            Err(SockError::WouldBlock) => self.block(call, key, 0, false),
            Err(error) => Err(error.into()),
        };
        self.sync(world, key);
        outcome
    }

    fn give_accepted(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        id: SockId,
        peer: SocketAddr,
        flags: i32,
    ) -> Outcome {
        let given = self.try_give(call, key, id, peer, flags);
        match given {
            Ok(accepted) => {
                let host = call.ns;
                note(world, host, || {
                    let number = self.socks.get(accepted).map(|sock| sock.holder.1).unwrap_or_default();
                    format!("accept({}) = {number}: a connection from {peer}", call.fd(0))
                });
                self.tell_owner(world, call, id);
                self.pump_all(world, accepted);
                Ok(Answer::Sent)
            }
            Err(error) => {
                // Interrupted, or no descriptor left: the connection stays to be accepted.
                if let Some(Body::Listener(listener)) = self.socks.get_mut(key).map(|sock| &mut sock.body) {
                    listener.stash.push_front((id, peer));
                }
                Err(error)
            }
        }
    }

    fn try_give(
        &mut self,
        call: &Call,
        key: Key,
        id: SockId,
        peer: SocketAddr,
        flags: i32,
    ) -> Result<Key, Errno> {
        let sock = self.socks.get_mut(key).ok_or(Errno(libc::EBADF))?;
        let (kind, host) = (sock.kind, sock.ns);
        let (recv_timeout, send_timeout) = (sock.recv_timeout, sock.send_timeout);
        let (buffers, oob_inline) = (sock.buffers, sock.oob_inline);
        let name = sockaddr::emit(peer, kind.family);
        self.write_address(call, call.args[1], call.args[2], &name)?;
        let sock = self.socks.get_mut(key).ok_or(Errno(libc::EBADF))?;
        let Body::Listener(listener) = &mut sock.body else { return err(libc::EINVAL) };
        let (stream, inner) = Stream::accepted(listener.take_pair().map_err(os)?, buffers).map_err(os)?;
        let inode = socket::inode(inner.as_fd()).map_err(os)?;
        if oob_inline {
            socket::set_option(inner.as_fd(), libc::SO_OOBINLINE, &1_i32.to_ne_bytes()).map_err(os)?;
        }
        if flags & libc::SOCK_NONBLOCK != 0 {
            file::set_nonblocking(inner.as_fd()).map_err(os)?;
        }
        self.witness.add(&inner, inode);
        let listener =
            self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref()).ok_or(Errno(libc::EIO))?;
        let close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
        let fd =
            seccomp::answer_with_fd(listener.as_fd(), call.id, inner.as_fd(), close_on_exec).map_err(os)?;
        Ok(self.add_sock(Sock {
            ns: host,
            id: Some(id),
            kind,
            inode,
            body: Body::Stream(stream),
            waiting: Vec::new(),
            recv_timeout,
            send_timeout,
            tree: call.tree,
            seen_ms: file::monotonic_ms(),
            holder: (call.tid, fd),
            last_received: None,
            buffers,
            error: None,
            oob_inline,
            connect_told: true,
        }))
    }
}
