//! The calls on AF_NETLINK sockets.

use netspace_stack::sock::{Family, SockType};
use netspace_uapi::Errno;
use netspace_uapi::netlink::NetlinkSocket;
use netspace_uapi::option;
use netspace_uapi::sockaddr::SockKind;

use super::header::Header;
use super::{Answer, Call, DONE, Outcome, err, os};
use crate::door::{Door, World};
use crate::procfs;
use crate::sock::{Body, Key};
use crate::standin::Netlink;
use crate::sys::memory::Remote;

const SOL_NETLINK: i32 = 270;
/// The address of the kernel's end: `struct sockaddr_nl` with port 0.
const KERNEL: [u8; 12] = {
    let family = (libc::AF_NETLINK as u16).to_ne_bytes();
    [family[0], family[1], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
};
/// Ports that the kernel gives to a process's second and further sockets start here and go down.
const FIRST_FREE_PORT: u32 = 0xffff_f000;
/// `SO_RCVBUF` and `SO_SNDBUF` as a socket has them at first.
const BUFFER: i32 = 212_992;

impl Door {
    pub(crate) fn socket_netlink(&mut self, call: &Call) -> Outcome {
        let (ty, protocol) = (call.int(1), call.int(2));
        let state = match NetlinkSocket::new(protocol) {
            Ok(state) => state,
            Err(error) => {
                self.refuse(call, "socket", format!("netlink protocol {protocol}"));
                return Err(error);
            }
        };
        let free_port = self.free_netlink_port(call);
        let nonblocking = ty & libc::SOCK_NONBLOCK != 0;
        let netlink = Netlink::new(state, ty & 0xf, free_port, nonblocking).map_err(os)?;
        // Netlink sockets have no such kind; none of their calls looks at it.
        let kind = SockKind { family: Family::Inet, ty: SockType::Raw, protocol: 0 };
        self.give(call, kind, None, Body::Netlink(Box::new(netlink)), ty & libc::SOCK_CLOEXEC != 0)
    }

    /// A process's first socket has its number as port.
    fn free_netlink_port(&self, call: &Call) -> u32 {
        let used = |port: u32| {
            self.socks.iter().any(|(_, sock)| {
                sock.ns == call.ns
                    && matches!(&sock.body, Body::Netlink(n) if n.free_port == port || n.state.portid() == Some(port))
            })
        };
        let own = procfs::process_of(call.tid).unwrap_or(call.tid);
        if used(own) { (1..=FIRST_FREE_PORT).rev().find(|&port| !used(port)).unwrap_or(own) } else { own }
    }

    /// A netlink socket of the caller.
    pub(crate) fn netlink(&mut self, key: Key) -> Option<&mut Netlink> {
        match self.socks.get_mut(key).map(|sock| &mut sock.body) {
            Some(Body::Netlink(netlink)) => Some(netlink),
            _ => None,
        }
    }

    pub(crate) fn name_netlink(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        connect: bool,
    ) -> Outcome {
        let len = usize::try_from(call.int(2)).ok().filter(|&n| n <= 128).ok_or(Errno(libc::EINVAL))?;
        let bytes = self.read(call, call.args[1], len)?;
        let Some(netlink) = self.netlink(key) else { return err(libc::EBADF) };
        let port = netlink.free_port;
        if connect {
            netlink.state.connect(&bytes, port)?;
        } else {
            netlink.state.bind(&bytes, port)?;
        }
        self.note_groups(world, key);
        DONE
    }

    pub(crate) fn address_netlink(&mut self, call: &Call, key: Key, peer: bool) -> Outcome {
        let Some(netlink) = self.netlink(key) else { return err(libc::EBADF) };
        let name = if peer { netlink.state.peer_addr() } else { netlink.state.local_addr() };
        self.write_address(call, call.args[1], call.args[2], &name)?;
        DONE
    }

    pub(crate) fn send_netlink(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        name: Option<&[u8]>,
        data: &[u8],
    ) -> Outcome {
        if let Some(name) = name {
            NetlinkSocket::check_destination(name)?;
        }
        let (ns, t) = world.host(call.ns);
        let Some(netlink) = self.netlink(key) else { return err(libc::EBADF) };
        netlink.pump_up(ns, t);
        netlink.request(ns, t, data);
        self.tell_monitors(world, Some(call.ns));
        Ok(Answer::Value(data.len() as i64))
    }

    /// Receives into pieces: how much, of how much; or how the call waits.
    fn receive_netlink(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        pieces: &[Remote],
        flags: i32,
    ) -> Result<Result<(usize, usize), Answer>, Errno> {
        let (ns, t) = world.host(call.ns);
        let Some(netlink) = self.netlink(key) else { return err(libc::EBADF) };
        netlink.pump_up(ns, t);
        let data = match netlink.receive(flags & libc::MSG_PEEK != 0) {
            Ok(data) => data,
            Err(Errno(libc::EAGAIN)) => return self.block(call, key, flags, false).map(Err),
            Err(error) => return Err(error),
        };
        let room: usize = pieces.iter().map(|piece| piece.len).sum();
        self.scatter(call, &[&data], pieces)?;
        if let Some(netlink) = self.netlink(key) {
            netlink.sync();
        }
        Ok(Ok((data.len().min(room), data.len())))
    }

    pub(crate) fn recvfrom_netlink(&mut self, world: &mut dyn World, call: &Call, key: Key) -> Outcome {
        let flags = call.int(3);
        let pieces = [Remote { addr: call.args[1], len: call.len(2) }];
        match self.receive_netlink(world, call, key, &pieces, flags)? {
            Err(wait) => Ok(wait),
            Ok((n, whole)) => {
                self.write_address(call, call.args[4], call.args[5], &KERNEL)?;
                Ok(Answer::Value(if flags & libc::MSG_TRUNC != 0 { whole } else { n } as i64))
            }
        }
    }

    pub(crate) fn recvmsg_netlink(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        header: &Header,
        flags: i32,
    ) -> Outcome {
        match self.receive_netlink(world, call, key, &header.pieces, flags)? {
            Err(wait) => Ok(wait),
            Ok((n, whole)) => {
                let out_flags = if n < whole { libc::MSG_TRUNC } else { 0 };
                self.write_header(call, header, &KERNEL, &[], out_flags)?;
                Ok(Answer::Value(if flags & libc::MSG_TRUNC != 0 { whole } else { n } as i64))
            }
        }
    }

    pub(crate) fn setsockopt_netlink(
        &mut self,
        world: &mut dyn World,
        call: &Call,
        key: Key,
        bytes: &[u8],
    ) -> Outcome {
        let (level, number) = (call.int(1), call.int(2));
        if level == SOL_NETLINK {
            let Some(netlink) = self.netlink(key) else { return err(libc::EBADF) };
            netlink.state.set_option(number, bytes)?;
            self.note_groups(world, key);
            return DONE;
        }
        if level != libc::SOL_SOCKET {
            return err(libc::ENOPROTOOPT);
        }
        if matches!(number, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) {
            return self.set_timeout_of(key, number, bytes);
        }
        // Buffers, credentials, filters against echoes of one's own: accepted, without effect.
        DONE
    }

    pub(crate) fn getsockopt_netlink(
        &mut self,
        key: Key,
        level: i32,
        number: i32,
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        let Some(netlink) = self.netlink(key) else { return err(libc::EBADF) };
        if level == SOL_NETLINK {
            return netlink.state.option(number, room);
        }
        let value = match number {
            _ if level != libc::SOL_SOCKET => return err(libc::ENOPROTOOPT),
            libc::SO_TYPE => netlink.ty,
            libc::SO_DOMAIN => libc::AF_NETLINK,
            libc::SO_PROTOCOL => netlink.state.protocol(),
            libc::SO_ERROR | libc::SO_ACCEPTCONN | libc::SO_PASSCRED => 0,
            libc::SO_RCVBUF | libc::SO_SNDBUF => BUFFER,
            _ => return err(libc::ENOPROTOOPT),
        };
        Ok(option::emit_int(level, value, room))
    }
}
