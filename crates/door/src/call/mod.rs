//! The trapped calls, one file per kind.
//!
//! Each is a function that tries to carry the call out and never waits: what would block gives [`Answer::Hold`] and is
//! tried again, from the start, when the socket wakes.

mod accept;
mod connect;
mod header;
mod ioctl;
mod memory;
mod name;
mod netlink;
mod open;
mod option;
mod packet;
mod receive;
mod send;
mod socket;
mod stat;
mod write;

use std::io;

use netspace_stack::sock::SockId;
use netspace_uapi::Errno;

use crate::door::{Door, World};
use crate::procfs;
use crate::sock::{Body, Key, Sock};
use crate::trapped::Wait;
pub(crate) use crate::trapped::{Answer, Call, DONE, Outcome};

/// An error of a call of our own, passed on to the program.
pub(crate) fn os(error: io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

/// An errno by its number.
pub(crate) fn err<T>(number: i32) -> Result<T, Errno> {
    Err(Errno(number))
}

impl Door {
    /// Carries out what can be done of a call now.
    pub(crate) fn dispatch(&mut self, world: &mut dyn World, call: &mut Call) -> Outcome {
        self.put_back(call);
        match libc::c_long::from(call.nr) {
            libc::SYS_mmap => self.call_mmap(call),
            libc::SYS_close => self.call_close(world, call),
            libc::SYS_openat | libc::SYS_openat2 => self.call_openat(world, call),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open | libc::SYS_creat => self.call_open(world, call),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_stat | libc::SYS_lstat | libc::SYS_access | libc::SYS_readlink => {
                self.call_stat(world, call)
            }
            libc::SYS_newfstatat
            | libc::SYS_statx
            | libc::SYS_faccessat
            | libc::SYS_faccessat2
            | libc::SYS_readlinkat => self.call_statat(world, call),
            libc::SYS_getxattr | libc::SYS_lgetxattr | libc::SYS_listxattr | libc::SYS_llistxattr => {
                self.call_attribute(world, call)
            }
            libc::SYS_chdir => Ok(self.call_chdir(call)),
            libc::SYS_write => self.call_write(world, call),
            libc::SYS_uname => self.call_uname(world, call),
            libc::SYS_socket => self.call_socket(world, call),
            libc::SYS_bind => self.call_bind(world, call),
            libc::SYS_connect => self.call_connect(world, call),
            libc::SYS_listen => self.call_listen(world, call),
            libc::SYS_accept | libc::SYS_accept4 => self.call_accept(world, call),
            libc::SYS_getsockname => self.call_name(world, call, false),
            libc::SYS_getpeername => self.call_name(world, call, true),
            libc::SYS_shutdown => self.call_shutdown(world, call),
            libc::SYS_setsockopt => self.call_setsockopt(world, call),
            libc::SYS_getsockopt => self.call_getsockopt(world, call),
            libc::SYS_sendto => self.call_sendto(world, call),
            libc::SYS_sendmsg => self.call_sendmsg(world, call),
            libc::SYS_sendmmsg => self.call_sendmmsg(world, call),
            libc::SYS_recvfrom => self.call_recvfrom(world, call),
            libc::SYS_recvmsg => self.call_recvmsg(world, call),
            libc::SYS_recvmmsg => self.call_recvmmsg(world, call),
            libc::SYS_ioctl => self.call_ioctl(world, call),
            _ => Ok(Answer::Proceed),
        }
    }

    /// The socket that a descriptor of the caller is; none if it is not one of ours.
    pub(crate) fn find(&mut self, call: &Call, argument: usize) -> Option<Key> {
        let fd = call.fd(argument);
        let inode = procfs::socket_inode(call.tid, fd)?;
        let key = *self.by_inode.get(&inode)?;
        let sock = self.socks.get_mut(key)?;
        let new_holder = sock.holder.0 != call.tid && sock.is_held();
        sock.holder = (call.tid, fd);
        sock.seen_ms = crate::sys::file::monotonic_ms();
        if new_holder {
            // A child, or whoever it was passed to: it may be the last to have it.
            self.watch_process(call.tid);
        }
        Some(key)
    }

    /// A socket and its name in the stack.
    pub(crate) fn sock(&mut self, key: Key) -> Result<(&mut Sock, SockId), Errno> {
        let sock = self.socks.get_mut(key).ok_or(Errno(libc::EBADF))?;
        let id = sock.id.ok_or(Errno(libc::EOPNOTSUPP))?;
        Ok((sock, id))
    }

    /// The answer for a call that would block: wait, or EAGAIN if the descriptor does not wish to.
    pub(crate) fn block(&self, call: &Call, key: Key, flags: i32, sending: bool) -> Outcome {
        let Some(sock) = self.socks.get(key) else { return err(libc::EBADF) };
        if flags & libc::MSG_DONTWAIT != 0 || self.is_nonblocking(call, key) {
            return err(libc::EAGAIN);
        }
        let timeout = if sending { sock.send_timeout } else { sock.recv_timeout };
        Ok(Answer::Hold(Wait { sock: key, timeout, expired: libc::EAGAIN }))
    }

    /// Whether the caller's descriptor is non-blocking.
    pub(crate) fn is_nonblocking(&self, call: &Call, key: Key) -> bool {
        use std::os::fd::AsFd;
        match self.socks.get(key).map(|sock| &sock.body) {
            Some(Body::Fresh(fresh)) => fresh.is_nonblocking(),
            Some(Body::Connecting(connecting)) => crate::sys::file::is_nonblocking(connecting.inner.as_fd()),
            Some(Body::Listener(listener)) => crate::sys::file::is_nonblocking(listener.inner.as_fd()),
            Some(Body::Datagram(datagram)) => datagram.push.is_nonblocking(),
            Some(Body::Netlink(netlink)) => netlink.push.is_nonblocking(),
            Some(Body::Packet(packet)) => packet.push.is_nonblocking(),
            Some(Body::Stream(_)) | None => procfs::is_nonblocking(call.tid, call.fd(0)),
        }
    }

    /// Puts a socket into the table and watches its outer end.
    pub(crate) fn add_sock(&mut self, sock: Sock) -> Key {
        let (inode, ns, id) = (sock.inode, sock.ns, sock.id);
        let (tid, held) = (sock.holder.0, sock.is_held());
        let key = self.socks.insert(sock);
        self.by_inode.insert(inode, key);
        if let Some(id) = id {
            self.by_id.insert((ns, id), key);
        }
        if held {
            self.watch_process(tid);
        }
        self.watch(key);
        key
    }

    /// Watches the outer end of a socket, if it has one.
    pub(crate) fn watch(&mut self, key: Key) {
        use crate::sys::epoll;
        use std::os::fd::AsFd;
        let outer = match self.socks.get(key).map(|sock| &sock.body) {
            Some(Body::Stream(stream)) => stream.outer(),
            Some(Body::Datagram(datagram)) => datagram.push.outer(),
            Some(Body::Netlink(netlink)) => netlink.push.outer(),
            Some(Body::Packet(packet)) => packet.push.outer(),
            _ => None,
        };
        if let Some(outer) = outer {
            let is_stream = matches!(self.socks.get(key).map(|sock| &sock.body), Some(Body::Stream(_)));
            let out = if is_stream { 0 } else { epoll::OUT };
            let bits = epoll::IN | out | epoll::RDHUP | epoll::EDGE;
            // Watching it twice (EEXIST) changes nothing.
            let _ = self.epoll.add(outer.as_fd(), bits, crate::door::Watch::Sock(key).token());
        }
    }

    /// A signal waits for a held call: how it ends.
    pub(crate) fn on_interrupted(&mut self, world: &mut dyn World, call: &mut Call, restart: i32) -> Outcome {
        if call.done > 0 {
            return Ok(Answer::Value(i64::try_from(call.done).unwrap_or(i64::MAX)));
        }
        match libc::c_long::from(call.nr) {
            libc::SYS_connect => self.detach_connect(world, call),
            // The descriptor is closed all the same.
            libc::SYS_close => return Ok(Answer::Proceed),
            _ => {}
        }
        // With a timeout the kernel cannot restart: it would start anew.
        if call.deadline.flatten().is_some() { err(libc::EINTR) } else { err(restart) }
    }

    /// The time of a held call is up: how it ends.
    pub(crate) fn on_expired(&mut self, world: &mut dyn World, call: &mut Call, expired: i32) -> Outcome {
        if call.done > 0 {
            return Ok(Answer::Value(i64::try_from(call.done).unwrap_or(i64::MAX)));
        }
        match libc::c_long::from(call.nr) {
            libc::SYS_connect => self.detach_connect(world, call),
            libc::SYS_close => return Ok(Answer::Proceed),
            _ => {}
        }
        err(expired)
    }

    /// Counts a call that was refused, for the report.
    pub(crate) fn refuse(&mut self, call: &Call, name: &'static str, detail: String) {
        self.report.add(procfs::name(call.tid), name, detail);
    }
}
