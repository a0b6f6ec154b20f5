//! socket(2), bind(2), listen(2), shutdown(2), close(2).

use std::os::fd::AsFd;

use netspace_stack::sock::{Family, How, OptName, SockError, SockOpt, SockType};
use netspace_uapi::Errno;
use netspace_uapi::sockaddr::{self, Parsed, SockKind};

use super::{Answer, Call, DONE, Outcome, err, os};
use crate::door::{Door, World, note};
use crate::sock::{Body, Key, Sock};
use crate::standin::{Buffers, Datagram, Fresh, Listener};
use crate::sys::{file, seccomp, socket};
use crate::trapped::Wait;

const TYPE_MASK: i32 = 0xf;
const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;
const RAW: i32 = libc::SOCK_RAW;

/// `IPPROTO_MAX`: one more than the last protocol, MPTCP.
const PROTOCOLS: std::ops::Range<i32> = 0..263;

fn protocol_of(ty: SockType, protocol: i32) -> Result<u8, Errno> {
    if !PROTOCOLS.contains(&protocol) {
        return Err(Errno(libc::EINVAL));
    }
    let default = match ty {
        SockType::Stream => libc::IPPROTO_TCP,
        SockType::Dgram => libc::IPPROTO_UDP,
        SockType::Raw => 0,
    };
    let protocol = if protocol == 0 { default } else { protocol };
    u8::try_from(protocol).map_err(|_| Errno(libc::EPROTONOSUPPORT))
}

impl Door {
    pub(crate) fn call_socket(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let (domain, ty, protocol) = (call.int(0), call.int(1), call.int(2));
        if ty & !(TYPE_MASK | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return err(libc::EINVAL);
        }
        let family = match domain {
            libc::AF_INET => Family::Inet,
            libc::AF_INET6 => Family::Inet6,
            libc::AF_NETLINK => return self.socket_netlink(call),
            libc::AF_PACKET => return self.socket_packet(world, call),
            _ => {
                self.refuse(call, "socket", format!("family {domain}, type {}", ty & TYPE_MASK));
                return err(libc::EAFNOSUPPORT);
            }
        };
        let sock_type = match ty & TYPE_MASK {
            STREAM => SockType::Stream,
            DGRAM => SockType::Dgram,
            RAW => SockType::Raw,
            _ => return err(libc::ESOCKTNOSUPPORT),
        };
        let kind = SockKind { family, ty: sock_type, protocol: protocol_of(sock_type, protocol)? };
        let (ns, t) = world.host(call.ns);
        let made = ns.socket(t, family, sock_type, u8::try_from(protocol).unwrap_or(u8::MAX));
        let id = match made {
            Ok(id) => id,
            Err(error) => {
                self.refuse(
                    call,
                    "socket",
                    format!("family {domain}, type {}, protocol {protocol}", ty & TYPE_MASK),
                );
                return Err(error.into());
            }
        };
        let nonblocking = ty & libc::SOCK_NONBLOCK != 0;
        let made = if sock_type == SockType::Stream {
            ns.set_option(t, id, SockOpt::OobInline(true))?;
            Fresh::new(nonblocking).map(Body::Fresh)
        } else {
            Datagram::new(nonblocking).map(Body::Datagram)
        };
        let given = made
            .map_err(os)
            .and_then(|body| self.give(call, kind, Some(id), body, ty & libc::SOCK_CLOEXEC != 0));
        match given {
            Ok(fd) => {
                self.tell_owner(world, call, id);
                let number =
                    self.by_id.get(&(call.ns, id)).and_then(|key| self.socks.get(*key)).map(|s| s.holder.1);
                note(world, call.ns, || {
                    format!("socket({}) = {}", describe(kind), number.unwrap_or_default())
                });
                Ok(fd)
            }
            Err(error) => {
                let (ns, t) = world.host(call.ns);
                ns.close(t, id);
                Err(error)
            }
        }
    }

    /// Tells the stack whose a socket is, for `ss` and `/proc/net`.
    pub(crate) fn tell_owner(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        id: netspace_stack::sock::SockId,
    ) {
        let Some(inode) = self.inode(call.ns, id) else { return };
        let uid = crate::procfs::user(call.tid);
        let (ns, _) = world.host(call.ns);
        ns.set_owner(id, inode, uid);
    }

    /// Gives the program a new socket as the call's answer.
    pub(crate) fn give(
        &mut self,
        call: &Call,
        kind: SockKind,
        id: Option<netspace_stack::sock::SockId>,
        body: Body,
        close_on_exec: bool,
    ) -> Outcome {
        let inner = match &body {
            Body::Fresh(fresh) => fresh.inner.as_fd(),
            Body::Datagram(datagram) => datagram.push.inner.as_fd(),
            Body::Netlink(netlink) => netlink.push.inner.as_fd(),
            Body::Packet(packet) => packet.push.inner.as_fd(),
            _ => return err(libc::EINVAL),
        };
        let inode = socket::inode(inner).map_err(os)?;
        let listener =
            self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref()).ok_or(Errno(libc::EIO))?;
        let fd = seccomp::answer_with_fd(listener.as_fd(), call.id, inner, close_on_exec).map_err(os)?;
        self.add_sock(Sock {
            ns: call.ns,
            id,
            kind,
            inode,
            body,
            waiting: Vec::new(),
            recv_timeout: None,
            send_timeout: None,
            tree: call.tree,
            seen_ms: file::monotonic_ms(),
            holder: (call.tid, fd),
            last_received: None,
            buffers: Buffers::default(),
            error: None,
            oob_inline: false,
            connect_told: false,
        });
        Ok(Answer::Sent)
    }

    pub(crate) fn call_bind(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        if self.netlink(key).is_some() {
            return self.name_netlink(world, call, key, false);
        }
        if self.packet(key).is_some() {
            return self.bind_packet(world, call, key);
        }
        self.look_now(world);
        let len = call.int(2);
        let len = usize::try_from(len).ok().filter(|&n| n <= 128).ok_or(Errno(libc::EINVAL))?;
        let bytes = self.read(call, call.args[1], len)?;
        let (sock, id) = self.sock(key)?;
        let Parsed::Addr(addr) = sockaddr::parse(&bytes, sock.kind, sockaddr::Call::Bind)? else {
            return err(libc::EAFNOSUPPORT);
        };
        let host = sock.ns;
        let (ns, t) = world.host(host);
        if matches!(&sock.body, Body::Stream(stream) if !stream.was_connected()) {
            // The attempt to connect that failed has given up the names that it had chosen itself.
            ns.disconnect(t, id)?;
        }
        let mut result = ns.bind(t, id, addr);
        if result == Err(SockError::AddressInUse) && self.look_at_host(world, host) {
            // Whoever had it has closed it meanwhile.
            let (ns, t) = world.host(host);
            result = ns.bind(t, id, addr);
        }
        note(world, host, || format!("bind({}, {addr}){}", call.fd(0), outcome(&result)));
        result?;
        DONE
    }

    pub(crate) fn call_listen(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let backlog = call.int(1);
        let (sock, id) = self.sock(key)?;
        if sock.kind.ty != SockType::Stream {
            return err(libc::EOPNOTSUPP);
        }
        let host = sock.ns;
        if matches!(&sock.body, Body::Stream(stream) if !stream.was_connected()) {
            // Once connect has told that the attempt failed the socket can be used anew.
            if !sock.connect_told {
                return err(libc::EINVAL);
            }
            self.replace_spent(call, key)?;
        }
        let (ns, t) = world.host(host);
        let mut result = ns.listen(t, id, backlog);
        if result == Err(SockError::AddressInUse) && self.look_at_host(world, host) {
            let (ns, t) = world.host(host);
            result = ns.listen(t, id, backlog);
        }
        note(world, host, || format!("listen({}, {backlog}){}", call.fd(0), outcome(&result)));
        result?;
        let (sock, _) = self.sock(key)?;
        if let Body::Fresh(fresh) = &sock.body {
            sock.body = Body::Listener(Listener::new(fresh).map_err(os)?);
        }
        self.sync(world, key);
        DONE
    }

    pub(crate) fn call_shutdown(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let how = match call.int(1) {
            libc::SHUT_RD => How::Read,
            libc::SHUT_WR => How::Write,
            libc::SHUT_RDWR => How::Both,
            _ => return err(libc::EINVAL),
        };
        // What was written before goes first.
        self.pump_all(world, key);
        let (sock, id) = self.sock(key)?;
        let (ns, t) = world.host(sock.ns);
        note_shutdown(t, call, how);
        match &mut sock.body {
            Body::Stream(stream) => {
                if stream.broken.is_some() {
                    return err(libc::ENOTCONN);
                }
                stream.on_shutdown(how);
                if how != How::Write {
                    let _ = ns.shutdown(t, id, How::Read);
                }
                // Done to the stand-in, it shows on the outer end once all that was written has been read there.
                Ok(Answer::Proceed)
            }
            Body::Datagram(datagram) => {
                // ENOTCONN is told of an unconnected one, which is shut down all the same.
                let result = ns.shutdown(t, id, how);
                datagram.push.shut(call.int(1));
                result?;
                DONE
            }
            Body::Listener(_) => {
                ns.shutdown(t, id, how)?;
                self.on_sock_wake(world, key);
                DONE
            }
            Body::Netlink(_) | Body::Packet(_) => err(libc::EOPNOTSUPP),
            Body::Fresh(_) | Body::Connecting(_) => {
                ns.shutdown(t, id, how)?;
                DONE
            }
        }
    }

    /// close(2) is only looked at: of a socket that the door must look after it is the moment to look.
    pub(crate) fn call_close(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        if !self.socks.is_empty()
            && let Some(key) = self.find(call, 0)
        {
            self.suspect(key);
            return Ok(self.linger(world, key)?.map_or(Answer::Proceed, Answer::Hold));
        }
        Ok(Answer::Proceed)
    }

    /// With `SO_LINGER` the last close of a connection waits until the peer has acknowledged everything, or the time is up.
    fn linger(&mut self, world: &mut dyn World, key: Key) -> Result<Option<Wait>, Errno> {
        let (sock, id) = match self.sock(key) {
            Ok((sock, id)) if matches!(&sock.body, Body::Stream(stream) if stream.broken.is_none()) => {
                (sock, id)
            }
            _ => return Ok(None),
        };
        let host = sock.ns;
        let (tree, inode) = (sock.tree, sock.inode);
        let (ns, t) = world.host(host);
        let Ok(SockOpt::Linger(Some(timeout))) = ns.option(t, id, OptName::Linger) else { return Ok(None) };
        if timeout.is_zero() || self.copies(tree, inode) > 1 {
            return Ok(None);
        }
        self.pump_all(world, key);
        let (sock, _) = self.sock(key)?;
        let Body::Stream(stream) = &mut sock.body else { return Ok(None) };
        let (ns, t) = world.host(host);
        if stream.has_unread(ns, id) || stream.finish(ns, t, id) {
            return Ok(None);
        }
        Ok(Some(Wait { sock: key, timeout: Some(timeout), expired: 0 }))
    }
}

fn note_shutdown(t: &mut netspace_stack::Turn, call: &Call, how: How) {
    let (now, ns) = (t.now, call.ns);
    t.trace.socket(now, ns, netspace_base::Point::Syscall, || {
        let how = match how {
            How::Read => "no more reading",
            How::Write => "no more writing",
            How::Both => "both ways",
        };
        netspace_base::Detail::Text(format!("shutdown({how})").into())
    });
}

/// A kind of socket in words.
pub(crate) fn describe(kind: SockKind) -> &'static str {
    let v6 = kind.family == Family::Inet6;
    match (kind.ty, kind.protocol, v6) {
        (SockType::Stream, _, false) => "TCP",
        (SockType::Stream, _, true) => "TCP, IPv6",
        (SockType::Dgram, 17, false) => "UDP",
        (SockType::Dgram, 17, true) => "UDP, IPv6",
        (SockType::Dgram, 136, false) => "UDP-Lite",
        (SockType::Dgram, 136, true) => "UDP-Lite, IPv6",
        (SockType::Dgram, _, false) => "ping",
        (SockType::Dgram, _, true) => "ping, IPv6",
        (SockType::Raw, _, false) => "raw",
        (SockType::Raw, _, true) => "raw, IPv6",
    }
}

/// How a call went, for traces: nothing, or the error.
pub(crate) fn outcome<T>(result: &Result<T, SockError>) -> String {
    result.as_ref().err().map(|error| format!(" = {error}")).unwrap_or_default()
}
