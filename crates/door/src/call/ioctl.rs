//! ioctl(2) on sockets.

use super::{Answer, Call, DONE, Outcome, err};
use crate::door::{Door, World};
use crate::sock::Body;

const SIOCATMARK: u32 = 0x8905;

impl Door {
    pub(crate) fn call_ioctl(&mut self, world: &mut dyn World, call: &Call) -> Outcome {
        let request = call.args[1] as u32;
        let Some(key) = self.find(call, 0) else { return Ok(Answer::Proceed) };
        if u64::from(request) == libc::TIOCOUTQ {
            let (sock, id) = self.sock(key)?;
            let (ns, _) = world.host(sock.ns);
            let unsent = if let Body::Stream(stream) = &sock.body { stream.unsent() } else { 0 };
            let n = ns.send_queue_len(id) + unsent;
            self.write(call, call.args[2], &(n as i32).to_ne_bytes())?;
            return DONE;
        }
        if request == SIOCATMARK {
            return Ok(Answer::Proceed);
        }
        self.refuse(call, "ioctl", format!("{request:#06x}"));
        err(libc::ENOTTY)
    }
}
