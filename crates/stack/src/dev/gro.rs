//! Generic receive offload: frames of one flow that come together go on as one large packet.
//!
//! Held frames live no longer than one poll of their device, so nothing waits for a timer. What is held goes on before
//! anything that could not be joined: the order of frames never changes.

use netspace_base::{Pkt, Point};
use netspace_wire::gro::{Joinable, Joined};
use smallvec::SmallVec;

use crate::{Netns, Turn};

/// Flows that are held at one time (`MAX_GRO_SKBS`).
const FLOWS_MAX: usize = 8;

/// What one poll of a device holds.
#[derive(Debug, Default)]
pub(super) struct Gro {
    held: SmallVec<[Joined; FLOWS_MAX]>,
}

/// Packets that go on, in order.
pub(super) type Out = SmallVec<[Box<Pkt>; FLOWS_MAX]>;

impl Gro {
    /// Takes a frame; gives what must go on now.
    pub(super) fn add(&mut self, ns: &Netns, t: &mut Turn, pkt: Box<Pkt>) -> Out {
        let frame = match Joinable::new(pkt, ns.dev.udp_gro_users > 0) {
            Ok(frame) => frame,
            Err(pkt) => {
                let mut out = self.flush();
                out.push(pkt);
                return out;
            }
        };
        let Some(at) = self.held.iter().position(|held| held.is_flow_of(&frame)) else {
            let out = if self.held.len() == FLOWS_MAX { self.flush() } else { Out::new() };
            self.held.push(Joined::new(frame));
            return out;
        };
        match self.held[at].join(frame) {
            Ok(spent) => {
                t.trace.at(t.now, ns.id, Point::GroJoin, &spent);
                t.join_pkt(spent);
                Out::new()
            }
            Err(frame) => {
                let done = std::mem::replace(&mut self.held[at], Joined::new(frame));
                SmallVec::from_iter([done.finish()])
            }
        }
    }

    /// Lets everything go on.
    pub(super) fn flush(&mut self) -> Out {
        self.held.drain(..).map(Joined::finish).collect()
    }
}
