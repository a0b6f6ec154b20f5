//! The calls on AF_PACKET sockets, and mmap(2) of their rings.

use std::os::fd::AsFd;

use bytes::Bytes;
use netspace_stack::packet::{Frame, LinkAddr, PacketType};
use netspace_stack::sock::{Family, SockError, SockType};
use netspace_uapi::Errno;
use netspace_uapi::packet::{self, Changed, PacketSocket};
use netspace_uapi::sockaddr::SockKind;

use super::header::Header;
use super::{err, os};
use crate::door::{Door, World, note};
use crate::procfs;
use crate::sock::{Body, Key};
use crate::standin::Packet;
use crate::sys::memory::Remote;
use crate::sys::{file, seccomp};
use crate::trapped::{Answer, Call, DONE, Outcome};
use crate::watched::Swapped;

/// No option's value is longer, bytes.
const MAX_ASKED: usize = 64;

impl Door {
    pub(crate) fn socket_packet(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let (ty, protocol) = (call.int(1), u16::from_be(call.int(2) as u16));
        let packet_type = match ty & 0xf {
            libc::SOCK_RAW => PacketType::Raw,
            libc::SOCK_DGRAM => PacketType::Dgram,
            other => {
                self.refuse(call, "socket", format!("AF_PACKET, type {other}"));
                return err(libc::ESOCKTNOSUPPORT);
            }
        };
        let (ns, _) = world.host(call.ns);
        let id = ns.packet_socket(packet_type, protocol)?;
        let nonblocking = ty & libc::SOCK_NONBLOCK != 0;
        let given =
            Packet::new(PacketSocket::new(id, packet_type), nonblocking).map_err(os).and_then(|body| {
                // Packet sockets have no such kind; none of their calls looks at it.
                let kind = SockKind { family: Family::Inet, ty: SockType::Raw, protocol: 0 };
                self.give(call, kind, None, Body::Packet(Box::new(body)), ty & libc::SOCK_CLOEXEC != 0)
            });
        let (ns, _) = world.host(call.ns);
        match &given {
            Ok(_) => {
                let of_it = |(_, sock): &(Key, &crate::sock::Sock)| {
                    sock.ns == call.ns && matches!(&sock.body, Body::Packet(packet) if packet.state.id == id)
                };
                if let Some((key, sock)) = self.socks.iter().find(of_it) {
                    ns.packet_set_owner(id, sock.inode, procfs::user(call.tid));
                    self.by_packet.insert((call.ns, id), key);
                }
                note(world, call.ns, || "socket(packet)".to_owned());
            }
            Err(_) => ns.packet_close(id),
        }
        given
    }

    /// A packet socket of the caller.
    pub(crate) fn packet(&mut self, key: Key) -> Option<&mut Packet> {
        match self.socks.get_mut(key).map(|sock| &mut sock.body) {
            Some(Body::Packet(packet)) => Some(packet),
            _ => None,
        }
    }

    fn own_packet(&mut self, key: Key) -> Result<&mut Packet, Errno> {
        self.packet(key).ok_or(Errno(libc::EBADF))
    }

    pub(crate) fn bind_packet(&mut self, world: &mut dyn World, call: &Call, key: Key) -> Outcome {
        let len = usize::try_from(call.int(2)).ok().filter(|&n| n <= 128).ok_or(Errno(libc::EINVAL))?;
        let name = packet::parse_name(&self.read(call, call.args[1], len)?)?;
        let (ns, _) = world.host(call.ns);
        let packet = self.own_packet(key)?;
        ns.packet_bind(packet.state.id, name.dev, name.protocol)?;
        self.sync_packet(world, key);
        DONE
    }

    pub(crate) fn address_packet(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        peer: bool,
    ) -> Outcome {
        if peer {
            return err(libc::EOPNOTSUPP);
        }
        let (ns, _) = world.host(call.ns);
        let name = ns.packet_name(self.own_packet(key)?.state.id)?;
        self.write_address(call, call.args[1], call.args[2], &packet::emit_name(&name))?;
        DONE
    }

    pub(crate) fn send_packet(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        name: Option<&[u8]>,
        data: Vec<u8>,
    ) -> Outcome {
        let to: Option<LinkAddr> = name.map(packet::parse_name).transpose()?;
        let (ns, t) = world.host(call.ns);
        let packet = self.own_packet(key)?;
        packet.pump_up(ns, t);
        let sent = if packet.state.tx.is_some() {
            packet.send_ring(ns, t, to)?
        } else {
            ns.packet_send(t, packet.state.id, to, Bytes::from(data))?
        };
        Ok(Answer::Value(sent as i64))
    }

    /// Receives into pieces: the frame, and how much of it was taken; or how the call waits.
    fn receive_packet(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        pieces: &[Remote],
        flags: i32,
    ) -> Result<Result<(Frame, usize), Answer>, Errno> {
        if flags & libc::MSG_OOB != 0 {
            return err(libc::EINVAL);
        }
        if flags & libc::MSG_ERRQUEUE != 0 {
            return err(libc::EAGAIN);
        }
        let (ns, t) = world.host(call.ns);
        let packet = self.own_packet(key)?;
        packet.pump_up(ns, t);
        let frame = match packet.receive(ns, flags & libc::MSG_PEEK != 0) {
            Ok(frame) => frame,
            Err(SockError::WouldBlock) => return self.block(call, key, flags, false).map(Err),
            Err(error) => {
                self.sync_packet(world, key);
                return Err(error.into());
            }
        };
        let room: usize = pieces.iter().map(|piece| piece.len).sum();
        let slices: Vec<&[u8]> = frame.data.iter().map(AsRef::as_ref).collect();
        self.scatter(call, &slices, pieces)?;
        if let Some(sock) = self.socks.get_mut(key) {
            sock.last_received = Some(frame.at);
        }
        self.sync_packet(world, key);
        let taken = frame.captured().min(room);
        Ok(Ok((frame, taken)))
    }

    pub(crate) fn recvfrom_packet(&mut self, world: &mut dyn World, call: &Call, key: Key) -> Outcome {
        let flags = call.int(3);
        let pieces = [Remote { addr: call.args[1], len: call.len(2) }];
        match self.receive_packet(world, call, key, &pieces, flags)? {
            Err(wait) => Ok(wait),
            Ok((frame, taken)) => {
                self.write_address(call, call.args[4], call.args[5], &packet::emit_sender(&frame))?;
                Ok(Answer::Value(length(&frame, taken, flags)))
            }
        }
    }

    pub(crate) fn recvmsg_packet(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        header: &Header,
        flags: i32,
    ) -> Outcome {
        match self.receive_packet(world, call, key, &header.pieces, flags)? {
            Err(wait) => Ok(wait),
            Ok((frame, taken)) => {
                let epoch = self.epoch(world, call.ns);
                let room = if header.control == 0 { 0 } else { header.control_len };
                let (control, cut) = packet::control(&self.own_packet(key)?.state, &frame, epoch, room);
                let mut out_flags = if taken < frame.captured() { libc::MSG_TRUNC } else { 0 };
                out_flags |= if cut { libc::MSG_CTRUNC } else { 0 };
                self.write_header(call, header, &packet::emit_sender(&frame), &control, out_flags)?;
                Ok(Answer::Value(length(&frame, taken, flags)))
            }
        }
    }

    pub(crate) fn setsockopt_packet(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        bytes: &[u8],
    ) -> Outcome {
        let (level, number) = (call.int(1), call.int(2));
        if level == libc::SOL_SOCKET && matches!(number, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) {
            return self.set_timeout_of(key, number, bytes);
        }
        let (ns, _) = world.host(call.ns);
        let packet = self.own_packet(key)?;
        let changed = packet.state.set(ns, level, number, bytes);
        match changed {
            Ok(Changed::Nothing) => {}
            Ok(Changed::Rings(len)) => packet.set_memory(len).map_err(os)?,
            Err(Errno(libc::ENOPROTOOPT)) => {
                self.refuse(call, "setsockopt", format!("AF_PACKET, level {level}, option {number}"));
            }
            Err(_) => {}
        }
        changed?;
        self.sync_packet(world, key);
        DONE
    }

    pub(crate) fn getsockopt_packet(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        let asked = self.read(call, call.args[3], room.min(MAX_ASKED))?;
        let (level, number) = (call.int(1), call.int(2));
        let (ns, _) = world.host(call.ns);
        let value = self.own_packet(key)?.state.get(ns, level, number, &asked);
        if value == Err(Errno(libc::ENOPROTOOPT)) {
            self.refuse(call, "getsockopt", format!("AF_PACKET, level {level}, option {number}"));
        }
        let mut value = value?;
        value.truncate(room);
        self.sync_packet(world, key);
        Ok(value)
    }

    /// mmap(2) of a file: of a packet socket it is its ring. The kernel maps the memory, which for that moment stands in
    /// the socket's place; the process's next trapped call puts the socket back.
    pub(crate) fn call_mmap(&mut self, call: &Call) -> Outcome {
        const FD: usize = 4;
        if self.by_packet.is_empty() {
            return Ok(Answer::Proceed);
        }
        let Some(key) = self.find(call, FD) else { return Ok(Answer::Proceed) };
        let Some(Body::Packet(packet)) = self.socks.get(key).map(|sock| &sock.body) else {
            return Ok(Answer::Proceed);
        };
        let Some(memory) = packet.memory() else { return err(libc::EINVAL) };
        let fd = call.fd(FD);
        let close_on_exec = procfs::is_close_on_exec(call.tid, fd);
        let listener =
            self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref()).ok_or(Errno(libc::EIO))?;
        seccomp::replace_fd(listener.as_fd(), call.id, memory.fd(), fd, close_on_exec).map_err(os)?;
        let process = procfs::process_of(call.tid).unwrap_or(call.tid);
        self.swapped.push(Swapped { process, fd, key, close_on_exec });
        Ok(Answer::Proceed)
    }

    /// Sockets in whose place a ring's memory stands get it back before the process's next call is looked at.
    pub(crate) fn put_back(&mut self, call: &Call) {
        if self.swapped.is_empty() {
            return;
        }
        let process = procfs::process_of(call.tid).unwrap_or(call.tid);
        let (due, later) = std::mem::take(&mut self.swapped).into_iter().partition(|s| s.process == process);
        self.swapped = later;
        let due: Vec<Swapped> = due;
        for Swapped { fd, key, close_on_exec, .. } in due {
            let inner = self.socks.get(key).and_then(crate::sock::Sock::inner);
            let listener = self.trees.get(call.tree).and_then(|tree| tree.listener.as_ref());
            if let (Some(inner), Some(listener)) = (inner, listener) {
                // The process may have died meanwhile.
                let _ = seccomp::replace_fd(listener.as_fd(), call.id, inner, fd, close_on_exec);
            }
        }
    }

    /// Makes a packet socket's ring, and poll, tell what has come.
    pub(crate) fn sync_packet(&mut self, world: &mut dyn World, key: Key) {
        let Some(host) = self.socks.get(key).map(|sock| sock.ns) else { return };
        let epoch = self.epoch(world, host);
        let (ns, _) = world.host(host);
        let Some(packet) = self.packet(key) else { return };
        let before = packet.next_ms();
        packet.sync(ns, epoch, file::monotonic_ms());
        if packet.next_ms() != before {
            self.set_timer();
        }
    }

    /// Looks at the rings whose time has come.
    pub(crate) fn look_at_rings(&mut self, world: &mut dyn World, now: u64) {
        let due: Vec<Key> = self
            .by_packet
            .values()
            .copied()
            .filter(|&key| self.packet_next_ms(key).is_some_and(|at| at <= now))
            .collect();
        for key in due {
            self.sync_packet(world, key);
        }
    }

    fn packet_next_ms(&self, key: Key) -> Option<u64> {
        match self.socks.get(key).map(|sock| &sock.body) {
            Some(Body::Packet(packet)) => packet.next_ms(),
            _ => None,
        }
    }

    /// When a ring is next to be looked at.
    pub(crate) fn rings_next_ms(&self) -> Option<u64> {
        self.by_packet.values().filter_map(|&key| self.packet_next_ms(key)).min()
    }
}

/// What a receiving call returns: with `MSG_TRUNC` the true length.
fn length(frame: &Frame, taken: usize, flags: i32) -> i64 {
    (if flags & libc::MSG_TRUNC != 0 { frame.captured() } else { taken }) as i64
}
