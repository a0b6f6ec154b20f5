//! ioctl(2) on sockets: queue lengths and devices.
//!
//! Device requests are answered on every socket of a program, AF_UNIX ones too: the machine's devices are none of its
//! business.

use netspace_stack::sock::SockType;
use netspace_uapi::ioctl::{self, IFREQ_LEN, RTENTRY_DEV, RTENTRY_LEN, number};

use super::{Answer, Call, DONE, Outcome, err};
use crate::door::{Door, World};
use crate::sock::{Body, Key};

const SIOCATMARK: u32 = 0x8905;
/// Requests below this one are about a socket, from it on about devices, routes and neighbours.
const FIRST_OF_DEVICES: u32 = 0x890b;
/// Longest list of `SIOCGIFCONF`, bytes.
const MAX_LIST: usize = 64 * 1024;

impl Door {
    pub(crate) fn call_ioctl(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let request = call.args[1] as u32;
        let key = self.find(call, 0);
        if key.is_none() && crate::procfs::socket_inode(call.tid, call.fd(0)).is_none() {
            return Ok(Answer::Proceed);
        }
        match (request, key) {
            (number::SIOCGIFCONF, _) => self.list_devices(world, call),
            (number::SIOCADDRT | number::SIOCDELRT, _) => self.route_ioctl(world, call, request),
            (FIRST_OF_DEVICES.., _) if request != number::SIOCOUTQNSD => {
                self.device_ioctl(world, call, request)
            }
            (_, Some(key)) => self.socket_ioctl(world, call, key, request),
            (_, None) => Ok(Answer::Proceed),
        }
    }

    fn socket_ioctl(&mut self, world: &mut dyn World, call: &Call, key: Key, request: u32) -> Outcome {
        let (sock, _) = self.sock(key)?;
        let stream = sock.kind.ty == SockType::Stream;
        let listening = matches!(sock.body, Body::Listener(_));
        match request {
            // TCP's own, of which a listener has one only.
            SIOCATMARK | number::SIOCOUTQNSD if !stream => err(libc::ENOTTY),
            number::SIOCOUTQ | number::SIOCOUTQNSD if listening => err(libc::EINVAL),
            number::SIOCOUTQ | number::SIOCOUTQNSD => {
                let (sock, id) = self.sock(key)?;
                let unsent = if let Body::Stream(stream) = &sock.body { stream.unsent() } else { 0 };
                let (ns, _) = world.host(sock.ns);
                let n = ioctl::queue_length(ns, id, request).unwrap_or(0)
                    + i32::try_from(unsent).unwrap_or(i32::MAX);
                self.write(call, call.args[2], &n.to_ne_bytes())?;
                DONE
            }
            number::SIOCGSTAMP | number::SIOCGSTAMPNS => {
                let epoch = self.epoch(world, call.ns);
                let (sock, _) = self.sock(key)?;
                let bytes = ioctl::timestamp(request, sock.last_received, epoch)?;
                self.write(call, call.args[2], &bytes)?;
                DONE
            }
            SIOCATMARK => Ok(Answer::Proceed),
            _ => {
                self.refuse(call, "ioctl", format!("{request:#06x}"));
                err(libc::ENOTTY)
            }
        }
    }

    fn device_ioctl(&mut self, world: &mut dyn World, call: &Call, request: u32) -> Outcome {
        let ifreq = self.read(call, call.args[2], IFREQ_LEN)?;
        let (ns, t) = world.host(call.ns);
        match ioctl::interface(ns, t, request, &ifreq) {
            Some(answer) => {
                let answer = answer?;
                self.write(call, call.args[2], &answer)?;
                DONE
            }
            None => {
                self.refuse(call, "ioctl", format!("{request:#06x}"));
                err(libc::ENOTTY)
            }
        }
    }

    /// `route add`, `route del`: the entry points to a device's name.
    fn route_ioctl(&mut self, world: &mut dyn World, call: &Call, request: u32) -> Outcome {
        let entry = self.read(call, call.args[2], RTENTRY_LEN)?;
        let mut at = [0; 8];
        at.copy_from_slice(&entry[RTENTRY_DEV..RTENTRY_DEV + 8]);
        let name = match u64::from_ne_bytes(at) {
            0 => None,
            at => Some(self.read_str(call, at)?),
        };
        let (ns, t) = world.host(call.ns);
        ioctl::route(ns, t, request, &entry, name.as_deref())?;
        DONE
    }

    /// `SIOCGIFCONF`: `struct ifconf { int len; char *buffer; }`.
    fn list_devices(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let at = call.args[2];
        let len = self.read_u32(call, at)?.cast_signed();
        let mut buffer = [0; 8];
        buffer.copy_from_slice(&self.read(call, at + 8, 8)?);
        let buffer = u64::from_ne_bytes(buffer);
        // Java asks for the length with no buffer, and leaves its own length unset.
        let room = usize::try_from(len).unwrap_or(0).min(MAX_LIST);
        let (ns, _) = world.host(call.ns);
        let list = ioctl::ifconf(ns, (buffer != 0).then_some(room));
        if buffer != 0 {
            self.write(call, buffer, &list)?;
        }
        self.write(call, at, &(list.len() as u32).to_ne_bytes())?;
        DONE
    }
}
