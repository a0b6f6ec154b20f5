//! connect(2).

use std::os::fd::AsFd;

use netspace_stack::sock::{Connect, Readiness, SockError, SockType};
use netspace_uapi::Errno;
use netspace_uapi::sockaddr::{self, Parsed};

use super::{Answer, Call, DONE, Outcome, err, os};
use crate::door::{Door, World, note};
use crate::path;
use crate::sock::{Body, Key};
use crate::standin::Fresh;
use crate::sys::seccomp;
use crate::trapped::Wait;

impl Door {
    pub(crate) fn call_connect(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return self.connect_elsewhere(call) };
        if self.packet(key).is_some() {
            return err(libc::EOPNOTSUPP);
        }
        if self.netlink(key).is_some() {
            return self.name_netlink(world, call, key, true);
        }
        self.look_now(world);
        let len = call.int(2);
        let len = usize::try_from(len).ok().filter(|&n| n <= 128).ok_or(Errno(libc::EINVAL))?;
        let bytes = self.read(call, call.args[1], len)?;
        let (sock, id) = self.sock(key)?;
        let parsed = sockaddr::parse(&bytes, sock.kind, sockaddr::Call::Connect)?;
        let host = sock.ns;
        if sock.kind.ty != SockType::Stream {
            return self.connect_datagram(world, call, key, parsed);
        }
        if call.deadline.is_some() {
            // It was held; the handshake has come to something, or not yet.
            return self.connect_again(world, call, key);
        }
        match &sock.body {
            Body::Connecting(_) => return self.connect_again(world, call, key),
            Body::Listener(_) => return err(libc::EISCONN),
            Body::Stream(stream) if stream.broken.is_none() => {
                // The first connect after a non-blocking one has succeeded tells so.
                let told = std::mem::replace(&mut sock.connect_told, true);
                return if told { err(libc::EISCONN) } else { DONE };
            }
            Body::Stream(stream) if stream.was_connected() => return err(libc::EISCONN),
            // The first connect after a non-blocking one has failed tells why; the next one connects anew.
            Body::Stream(_) if !std::mem::replace(&mut sock.connect_told, true) => {
                let error = sock.error.take().unwrap_or(Errno(libc::ECONNABORTED));
                let (ns, t) = world.host(host);
                ns.disconnect(t, id)?;
                return Err(error);
            }
            Body::Stream(_) | Body::Datagram(_) | Body::Fresh(_) | Body::Netlink(_) | Body::Packet(_) => {}
        }
        let (ns, t) = world.host(host);
        let Parsed::Addr(addr) = parsed else {
            ns.disconnect(t, id)?;
            return DONE;
        };
        if matches!(sock.body, Body::Stream(_)) {
            self.replace_spent(call, key)?;
        }
        let (ns, t) = world.host(host);
        let result = ns.connect(t, id, addr);
        note(world, host, || format!("connect({}, {addr}){}", call.fd(0), super::socket::outcome(&result)));
        let progress = result?;
        self.start_connecting(key)?;
        match progress {
            Connect::Done => self.finish_connect(world, key).and(DONE),
            Connect::InProgress => self.wait_connected(world, call, key),
        }
    }

    /// The stack is connecting the socket: what came of earlier attempts is forgotten.
    pub(super) fn start_connecting(&mut self, key: Key) -> Result<(), Errno> {
        let (sock, _) = self.sock(key)?;
        sock.error = None;
        sock.connect_told = false;
        if let Body::Fresh(fresh) = &sock.body {
            let inner = fresh.inner.try_clone().map_err(os)?;
            sock.body = Body::Connecting(crate::standin::Connecting { inner, outer: None });
        }
        Ok(())
    }

    /// Waits for the handshake, or lets a non-blocking caller go on.
    fn wait_connected(&mut self, world: &mut dyn World, call: &Call, key: Key) -> Outcome {
        if !self.is_nonblocking(call, key) {
            let timeout = self.socks.get(key).and_then(|sock| sock.send_timeout);
            return Ok(Answer::Hold(Wait { sock: key, timeout, expired: libc::EINPROGRESS }));
        }
        self.leave_connecting(world, key);
        err(libc::EINPROGRESS)
    }

    /// The call ends while the handshake goes on.
    pub(super) fn leave_connecting(&mut self, world: &mut dyn World, key: Key) {
        self.detach(key);
        // It may have been decided within the call already (a port of the host itself).
        self.settle_connect(world, key);
        self.pump_all(world, key);
    }

    fn detach(&mut self, key: Key) {
        if let Some(sock) = self.socks.get_mut(key)
            && let Body::Connecting(connecting) = &mut sock.body
        {
            // If it fails the program sees a socket that is not connected: better than none at all.
            let _ = connecting.detach(&self.hub);
        }
    }

    /// A blocking connect was interrupted, or its time is up: the handshake goes on behind it.
    pub(crate) fn detach_connect(&mut self, world: &mut dyn World, call: &Call) {
        if let Some(key) = self.find(call, 0) {
            self.detach(key);
            self.settle_connect(world, key);
        }
    }

    /// connect on a socket whose handshake is under way: a held call tried again, or the program asking again.
    fn connect_again(&mut self, world: &mut dyn World, call: &Call, key: Key) -> Outcome {
        self.settle_connect(world, key);
        let nonblocking = self.is_nonblocking(call, key);
        let (sock, _) = self.sock(key)?;
        match &sock.body {
            Body::Connecting(_) if nonblocking => err(libc::EALREADY),
            Body::Connecting(_) => {
                let timeout = sock.send_timeout;
                Ok(Answer::Hold(Wait { sock: key, timeout, expired: libc::EINPROGRESS }))
            }
            Body::Stream(stream) if stream.broken.is_none() => {
                sock.connect_told = true;
                self.pump_all(world, key);
                DONE
            }
            _ => {
                let error = sock.error.take().unwrap_or(Errno(libc::ECONNABORTED));
                // The socket is as new.
                let (host, id) = (sock.ns, sock.id.ok_or(Errno(libc::EBADF))?);
                let (ns, t) = world.host(host);
                ns.disconnect(t, id)?;
                Err(error)
            }
        }
    }

    /// Looks whether a handshake has ended, and how.
    pub(crate) fn settle_connect(&mut self, world: &mut dyn World, key: Key) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        let (Body::Connecting(_), Some(id)) = (&sock.body, sock.id) else { return };
        let (ns, _) = world.host(sock.ns);
        let ready = ns.readiness(id);
        if ready.intersects(Readiness::ERR | Readiness::HUP) {
            let error = ns.take_error(id).unwrap_or(SockError::ConnectionRefused);
            self.fail_connect(world, key, error);
        } else if ready.contains(Readiness::OUT) {
            // A stand-in that cannot be connected is a connection that the program cannot use.
            if self.finish_connect(world, key).is_err() {
                self.fail_connect(world, key, SockError::NoBuffers);
            }
        }
    }

    fn finish_connect(&mut self, world: &mut dyn World, key: Key) -> Result<(), Errno> {
        let sock = self.socks.get_mut(key).ok_or(Errno(libc::EBADF))?;
        let Body::Connecting(connecting) = &mut sock.body else { return Ok(()) };
        let stream = connecting.establish(&self.hub, sock.buffers).map_err(os)?;
        self.witness.add(&connecting.inner, sock.inode);
        let (sock, _) = self.sock(key)?;
        // With the old body goes the door's descriptor of the program's end.
        sock.body = Body::Stream(stream);
        note(world, sock.ns, || "connect: the connection is made".to_owned());
        self.watch(key);
        Ok(())
    }

    fn fail_connect(&mut self, world: &mut dyn World, key: Key, error: SockError) {
        let Some(sock) = self.socks.get_mut(key) else { return };
        let host = sock.ns;
        sock.error = Some(error.into());
        if let Body::Connecting(connecting) = &mut sock.body {
            // Dropping the outer end, with what is unread in it, shows the program an error and a hang-up.
            let spent = connecting.outer.take().is_some();
            if let Ok(inner) = connecting.inner.try_clone() {
                sock.body = if spent {
                    Body::Stream(crate::standin::Stream::failed(Errno::from(error), inner))
                } else {
                    Body::Fresh(Fresh { inner })
                };
            }
        }
        note(world, host, || format!("connect: {error}"));
    }

    /// The program connects anew with a socket whose stand-in is used up: it gets another under the same number.
    pub(crate) fn replace_spent(&mut self, call: &Call, key: Key) -> Result<(), Errno> {
        let nonblocking = crate::procfs::is_nonblocking(call.tid, call.fd(0));
        let fresh = Fresh::new(nonblocking).map_err(os)?;
        let inode = crate::sys::socket::inode(fresh.inner.as_fd()).map_err(os)?;
        let close_on_exec = crate::procfs::is_close_on_exec(call.tid, call.fd(0));
        let listener =
            self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref()).ok_or(Errno(libc::EIO))?;
        seccomp::replace_fd(listener.as_fd(), call.id, fresh.inner.as_fd(), call.fd(0), close_on_exec)
            .map_err(os)?;
        let (sock, _) = self.sock(key)?;
        let old = std::mem::replace(&mut sock.inode, inode);
        sock.body = Body::Fresh(fresh);
        self.by_inode.remove(&old);
        self.by_inode.insert(inode, key);
        Ok(())
    }

    fn connect_datagram(&mut self, world: &mut dyn World, call: &Call, key: Key, parsed: Parsed) -> Outcome {
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let (ns, t) = world.host(host);
        let Body::Datagram(datagram) = &mut sock.body else { return err(libc::EINVAL) };
        datagram.pump_up(ns, t, id);
        match parsed {
            Parsed::Unspec => {
                ns.disconnect(t, id)?;
                datagram.push.set_connected(false).map_err(os)?;
            }
            Parsed::Addr(addr) => {
                let result = ns.connect(t, id, addr);
                note(world, host, || {
                    format!("connect({}, {addr}){}", call.fd(0), super::socket::outcome(&result))
                });
                result?;
                let (sock, _) = self.sock(key)?;
                if let Body::Datagram(datagram) = &mut sock.body {
                    datagram.push.set_connected(true).map_err(os)?;
                }
            }
        }
        self.watch(key);
        self.sync(world, key);
        DONE
    }

    /// Not a socket of ours: AF_UNIX is the kernel's, but for the machine's name services.
    fn connect_elsewhere(&mut self, call: &Call) -> Outcome {
        let len = usize::try_from(call.int(2)).unwrap_or(0).min(110);
        if len < 3 {
            return Ok(Answer::Proceed);
        }
        let bytes = self.read(call, call.args[1], len)?;
        if u16::from_ne_bytes([bytes[0], bytes[1]]) != libc::AF_UNIX as u16 {
            return Ok(Answer::Proceed);
        }
        let name = bytes[2..].split(|&b| b == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        if path::is_name_service(&name) {
            return err(libc::ENOENT);
        }
        Ok(Answer::Proceed)
    }
}
