//! getsockname(2), getpeername(2), uname(2).

use netspace_uapi::sockaddr;

use super::{Answer, Call, DONE, Outcome};
use crate::door::{Door, World};
use crate::sys::file;

impl Door {
    pub(crate) fn call_name(&mut self, world: &mut dyn World, call: &Call, peer: bool) -> Outcome {
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        if self.netlink(key).is_some() {
            return self.address_netlink(call, key, peer);
        }
        if self.packet(key).is_some() {
            return self.address_packet(world, call, key, peer);
        }
        let (sock, id) = self.sock(key)?;
        let family = sock.kind.family;
        let (ns, _) = world.host(sock.ns);
        let addr = if peer { ns.peer_addr(id)? } else { ns.local_addr(id)? };
        self.write_address(call, call.args[1], call.args[2], &sockaddr::emit(addr, family))?;
        DONE
    }

    pub(crate) fn call_uname(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let host = world.hostname(call.ns);
        self.write(call, call.args[0], &file::utsname_bytes(&host))?;
        DONE
    }
}
