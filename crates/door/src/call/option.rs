//! setsockopt(2) and getsockopt(2).

use netspace_base::DevId;
use netspace_stack::Netns;
use netspace_stack::sock::{Family, OptName, SockError, SockOpt, SockType};
use netspace_uapi::option::{self, DoorOption, Get, Set};
use netspace_uapi::{Errno, sockaddr};

use super::{Answer, Call, DONE, Outcome, err};
use crate::door::{Door, World};
use crate::sock::{Body, Key};
use crate::standin::Buffers;
use crate::sys::socket;

/// Longest option value that is looked at, bytes.
const MAX_VALUE: usize = 64 * 1024;

/// The devices of a host, as options name them.
struct Devices<'a>(&'a Netns);

impl option::Devices for Devices<'_> {
    fn index(&self, name: &str) -> Option<DevId> {
        self.0.dev.by_name(name).map(|device| device.id)
    }

    fn name(&self, dev: DevId) -> Option<String> {
        self.0.dev.get(dev).map(|device| device.name.to_string())
    }
}

/// For options that name no device.
pub(crate) struct NoDevices;

impl option::Devices for NoDevices {
    fn index(&self, _name: &str) -> Option<DevId> {
        None
    }

    fn name(&self, _dev: DevId) -> Option<String> {
        None
    }
}

fn buffers_set(option: &SockOpt) -> Buffers {
    match option {
        SockOpt::SndBuf(bytes) => Buffers { send: Some(*bytes), receive: None },
        SockOpt::RcvBuf(bytes) => Buffers { send: None, receive: Some(*bytes) },
        _ => Buffers::default(),
    }
}

impl Door {
    pub(crate) fn call_setsockopt(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let (level, number) = (call.int(1), call.int(2));
        let len = usize::try_from(call.int(4)).map_err(|_| Errno(libc::EINVAL))?.min(MAX_VALUE);
        let mut bytes = self.read(call, call.args[3], len)?;
        if level == libc::SOL_SOCKET
            && [libc::SO_ATTACH_FILTER, libc::SO_ATTACH_REUSEPORT_CBPF].contains(&number)
        {
            let (count, at) = option::filter_program(&bytes)?;
            bytes = self.read(call, at, count * option::INSN_LEN)?;
        }
        if self.netlink(key).is_some() {
            return self.setsockopt_netlink(world, call, key, &bytes);
        }
        if self.packet(key).is_some() {
            return self.setsockopt_packet(world, call, key, &bytes);
        }
        let (sock, id) = self.sock(key)?;
        let (kind, host) = (sock.kind, sock.ns);
        let (ns, t) = world.host(host);
        let set = match option::set(kind, level, number, &bytes, &Devices(ns)) {
            Ok(set) => set,
            Err(error) => {
                // A known option that this kind of socket does not have is refused on Linux, too.
                if option::name(level, number).is_none() {
                    self.refuse(call, "setsockopt", format!("level {level}, option {number}"));
                }
                return Err(error);
            }
        };
        match set {
            Set::Ignored => DONE,
            Set::Timeout(which, timeout) => self.set_timeout(call, key, which, timeout, &bytes),
            Set::Stack(SockOpt::OobInline(on)) if kind.ty == SockType::Stream => {
                sock.oob_inline = on;
                self.set_natively(key, libc::SO_OOBINLINE, &bytes)
            }
            Set::Stack(value) => {
                let buffers = buffers_set(&value);
                let result = ns.set_option(t, id, value);
                if let Err(error @ (SockError::NoSuchOption | SockError::OperationUnsupported)) = result {
                    let name = option::name(level, number).unwrap_or("?");
                    self.refuse(call, "setsockopt", format!("{name}: {error}"));
                }
                result?;
                self.sync(world, key);
                Ok(self.set_buffers(key, buffers))
            }
        }
    }

    /// The stand-in of a stream has the buffers that its program asks for.
    fn set_buffers(&mut self, key: Key, new: Buffers) -> Answer {
        let Some(sock) = self.socks.get_mut(key).filter(|_| new != Buffers::default()) else {
            return Answer::Value(0);
        };
        sock.buffers.send = new.send.or(sock.buffers.send);
        sock.buffers.receive = new.receive.or(sock.buffers.receive);
        let Body::Stream(stream) = &mut sock.body else { return Answer::Value(0) };
        stream.set_buffers(sock.buffers);
        // The kernel sets the program's end, of which we have no descriptor.
        if new.send.is_some() { Answer::Proceed } else { Answer::Value(0) }
    }

    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` hold for held calls, and on the stand-in for native ones.
    fn set_timeout(
        &mut self,
        _call: &Call,
        key: Key,
        which: DoorOption,
        timeout: Option<std::time::Duration>,
        bytes: &[u8],
    ) -> Outcome {
        let (sock, _) = self.sock(key)?;
        let name = if which == DoorOption::RecvTimeout {
            sock.recv_timeout = timeout;
            libc::SO_RCVTIMEO
        } else {
            sock.send_timeout = timeout;
            libc::SO_SNDTIMEO
        };
        self.set_natively(key, name, bytes)
    }

    /// Sets an option of the program's end: by the door's descriptor of it, else by letting the kernel do it.
    fn set_natively(&mut self, key: Key, name: i32, bytes: &[u8]) -> Outcome {
        let (sock, _) = self.sock(key)?;
        let Some(inner) = sock.inner() else { return Ok(Answer::Proceed) };
        socket::set_option(inner, name, bytes).map_err(super::os)?;
        DONE
    }

    /// `SO_RCVTIMEO` and `SO_SNDTIMEO` of a socket that the stack does not know them for.
    pub(crate) fn set_timeout_of(&mut self, key: Key, number: i32, bytes: &[u8]) -> Outcome {
        let sock = self.socks.get_mut(key).ok_or(Errno(libc::EBADF))?;
        let Set::Timeout(_, timeout) = option::set(sock.kind, libc::SOL_SOCKET, number, bytes, &NoDevices)?
        else {
            return err(libc::EINVAL);
        };
        if number == libc::SO_RCVTIMEO {
            sock.recv_timeout = timeout;
        } else {
            sock.send_timeout = timeout;
        }
        if let Some(inner) = sock.inner() {
            socket::set_option(inner, number, bytes).map_err(super::os)?;
        }
        DONE
    }

    pub(crate) fn call_getsockopt(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        let (level, number) = (call.int(1), call.int(2));
        let room = self.read_u32(call, call.args[4])?.cast_signed();
        let room = usize::try_from(room).map_err(|_| Errno(libc::EINVAL))?;
        if self.netlink(key).is_some() {
            let bytes = self.getsockopt_netlink(key, level, number, room)?;
            return self.write_option(call, &bytes);
        }
        if self.packet(key).is_some() {
            let bytes = self.getsockopt_packet(world, call, key, room)?;
            return self.write_option(call, &bytes);
        }
        let (sock, _) = self.sock(key)?;
        if (level, number) == (libc::SOL_SOCKET, libc::SO_ERROR)
            && matches!(&sock.body, Body::Stream(stream) if stream.is_reset())
        {
            // The kernel tells it, once, whether by this call or by a read.
            return Ok(Answer::Proceed);
        }
        let bytes = match option::get(sock.kind, level, number) {
            Ok(Get::Fixed(value)) => option::emit_int(level, value, room),
            Ok(Get::Door(DoorOption::GetFilter)) => return self.get_filter(world, call, key, room),
            Ok(Get::Door(which)) => self.door_option(world, key, which, room)?,
            Ok(Get::Stack(OptName::OobInline)) if sock.kind.ty == SockType::Stream => {
                option::emit_int(level, sock.oob_inline.into(), room)
            }
            Ok(Get::SourceFilter) => self.source_filter(world, call, key, (level, number), room)?,
            Ok(Get::Stack(name)) => self.stack_option(world, key, name, (level, number), room)?,
            Err(error) => {
                if option::name(level, number).is_none() {
                    self.refuse(call, "getsockopt", format!("level {level}, option {number}"));
                }
                return Err(error);
            }
        };
        self.write_option(call, &bytes)
    }

    fn write_option(&self, call: &Call, bytes: &[u8]) -> Outcome {
        self.write(call, call.args[3], bytes)?;
        self.write(call, call.args[4], &(bytes.len() as u32).to_ne_bytes())?;
        DONE
    }

    /// `SO_GET_FILTER`: room and answer are counted in instructions; without room only their number is told.
    fn get_filter(&mut self, world: &mut dyn World, call: &Call, key: Key, room: usize) -> Outcome {
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let (ns, t) = world.host(host);
        let SockOpt::AttachFilter(insns) = ns.option(t, id, OptName::AttachFilter)? else {
            return err(libc::ENOPROTOOPT);
        };
        if room != 0 {
            if room < insns.len() {
                return err(libc::EINVAL);
            }
            self.write(call, call.args[3], &option::emit_filter_program(&insns))?;
        }
        self.write(call, call.args[4], &(insns.len() as u32).to_ne_bytes())?;
        DONE
    }

    /// `IP_MSFILTER`, `MCAST_MSFILTER`: the caller's value says which group is asked about.
    fn source_filter(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        (level, number): (i32, i32),
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        let (sock, id) = self.sock(key)?;
        let host = sock.ns;
        let request = self.read(call, call.args[3], room.min(MAX_VALUE))?;
        let at = option::filter_request(level, number, &request)?;
        let (ns, t) = world.host(host);
        let filter = ns.source_filter(t, id, &at)?;
        Ok(option::emit_filter(level, number, &request, &filter))
    }

    fn stack_option(
        &mut self,
        world: &mut dyn World,
        key: Key,
        name: OptName,
        (level, number): (i32, i32),
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        let (sock, id) = self.sock(key)?;
        let (ns, t) = world.host(sock.ns);
        let answer = ns.option(t, id, name)?;
        option::emit(level, number, &answer, room, &Devices(ns))
    }

    fn door_option(
        &mut self,
        world: &mut dyn World,
        key: Key,
        which: DoorOption,
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        let (sock, id) = self.sock(key)?;
        let int = |value: i32| Ok(option::emit_int(libc::SOL_SOCKET, value, room));
        let long = |value: u64| Ok(value.to_ne_bytes().to_vec());
        match which {
            DoorOption::Type => int(match sock.kind.ty {
                SockType::Stream => libc::SOCK_STREAM,
                SockType::Dgram => libc::SOCK_DGRAM,
                SockType::Raw => libc::SOCK_RAW,
            }),
            DoorOption::Protocol => int(i32::from(sock.kind.protocol)),
            DoorOption::Domain => int(match sock.kind.family {
                Family::Inet => libc::AF_INET,
                Family::Inet6 => libc::AF_INET6,
            }),
            DoorOption::Error => {
                let error = self.take_error(world, key);
                int(error)
            }
            DoorOption::RecvTimeout => Ok(option::emit_timeval(sock.recv_timeout, room)),
            DoorOption::SendTimeout => Ok(option::emit_timeval(sock.send_timeout, room)),
            DoorOption::PeerCred => Ok(option::emit_no_peercred(room)),
            DoorOption::PeerName => {
                let family = sock.kind.family;
                let (ns, _) = world.host(sock.ns);
                let mut name = sockaddr::emit(ns.peer_addr(id)?, family);
                if name.len() > room {
                    return err(libc::EINVAL);
                }
                name.truncate(room);
                Ok(name)
            }
            DoorOption::Cookie if room < 8 => err(libc::EINVAL),
            DoorOption::NetnsCookie if room != 8 => err(libc::EINVAL),
            DoorOption::Cookie => long(sock.inode),
            DoorOption::NetnsCookie => long(u64::from(sock.ns.0) + 1),
            // Its length counts instructions: see `get_filter`.
            DoorOption::GetFilter => err(libc::ENOPROTOOPT),
        }
    }

    /// `SO_ERROR`: the pending error, which is then no more.
    fn take_error(&mut self, world: &mut dyn World, key: Key) -> i32 {
        self.settle_connect(world, key);
        self.pump_all(world, key);
        let Some(sock) = self.socks.get_mut(key) else { return 0 };
        if let Body::Stream(stream) = &mut sock.body {
            stream.error_told();
        }
        if let Some(Errno(error)) = sock.error.take() {
            return error;
        }
        let Some(id) = sock.id else { return 0 };
        let (ns, _) = world.host(sock.ns);
        let error = match &mut sock.body {
            Body::Stream(stream) if stream.broken.is_some() => {
                stream.take_broken(sock.inode, &mut self.witness)
            }
            _ => ns.take_error(id).map(Errno::from),
        };
        self.sync(world, key);
        error.map_or(0, |errno| errno.0)
    }

    /// What the socket's options ask to be told with each datagram.
    pub(crate) fn wanted(
        &mut self,
        world: &mut dyn World,
        key: Key,
    ) -> Result<netspace_uapi::cmsg::Wanted, Errno> {
        let (sock, id) = self.sock(key)?;
        let (ns, t) = world.host(sock.ns);
        Ok(netspace_uapi::cmsg::Wanted::of(sock.kind.family, |name: OptName| -> Option<SockOpt> {
            ns.option(t, id, name).ok()
        }))
    }
}
