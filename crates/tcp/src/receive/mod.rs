//! Receiving: RFC 9293 §3.10.7.4 in its order, a function each.
//!
//! ```text
//! sequence → reset → security → syn → ack → urgent → text → fin
//! ```

mod ack;
mod reassembly;
mod receiver;
mod sequence;
mod text;

use netspace_base::{DropReason, Instant};
use netspace_wire::tcp::TcpFlags;

pub(crate) use receiver::{Owed, Receiver};

use crate::connection::Connection;
use crate::ecn::Urgency;
use crate::segment::Segment;
use crate::state::{State, TcpError};

/// Each reason for which TCP drops a segment is named at one place.
pub(crate) mod reasons {
    use netspace_base::DropReason;

    macro_rules! reasons {
        ($($name:ident, $variant:ident;)*) => {
            $(pub(crate) const fn $name() -> DropReason { DropReason::$variant })*
        };
    }

    reasons! {
        bad_ack, TcpBadAck;
        paws, TcpPaws;
        reset, TcpReset;
        flags, TcpFlags;
        old, TcpOldSequence;
        out_of_window, TcpOutOfWindow;
        memory, TcpMemory;
        closed, TcpClosed;
        time_wait, TcpTimeWait;
    }
}

impl Connection {
    /// Takes in a segment that is addressed to this connection (RFC 9293 §3.10.7). Answers wait for
    /// [`Connection::poll_transmit`]. The error tells why the segment came to nothing.
    pub fn receive(&mut self, now: Instant, mut segment: Segment) -> Result<(), DropReason> {
        let pieces = segment.pieces(self.recv.mss as usize);
        self.counts.segments_in = self.counts.segments_in.wrapping_add(pieces);
        if !segment.payload.is_empty() {
            self.counts.data_segments_in = self.counts.data_segments_in.wrapping_add(pieces);
        }
        let result = match self.state {
            State::Closed => self.receive_in_closed(&segment),
            State::SynSent => self.receive_in_syn_sent(now, segment),
            State::TimeWait => self.receive_in_time_wait(now, &segment),
            _ => self.receive_synchronized(now, &mut segment),
        };
        self.after_input(now);
        result
    }

    /// RFC 9293 §3.10.7.1.
    fn receive_in_closed(&mut self, segment: &Segment) -> Result<(), DropReason> {
        if let Some(reset) = Segment::reset_for(segment) {
            self.reply(reset);
        }
        Err(reasons::closed())
    }

    fn receive_synchronized(&mut self, now: Instant, segment: &mut Segment) -> Result<(), DropReason> {
        self.step_sequence(now, segment)?;
        self.step_reset(now, segment)?;
        // Third, security and compartment: not looked at (RFC 9293 Appendix A.1).
        self.step_syn(now, segment)?;
        self.heard_at = now;
        self.note_ecn(now, segment);
        self.step_ack(now, segment)?;
        if segment.flags.contains(TcpFlags::URG) && self.state.can_receive() {
            self.note_urgent(segment);
        }
        self.step_text(now, segment)?;
        self.step_fin(now, segment);
        Ok(())
    }

    /// RFC 3168 §6.1.3, RFC 9768 §3.2.2: a mark is told to the peer, the first ones at once.
    fn note_ecn(&mut self, now: Instant, segment: &Segment) {
        if self.ecn.turns(segment) && self.recv.owed == Owed::Delayed {
            let mut earlier = self.header(now, self.send.nxt);
            self.add_ecn(now, &mut earlier, 0, false);
            self.reply(earlier);
        }
        let pieces = segment.pieces(self.recv.mss as usize);
        let quick = match self.ecn.receive(segment, pieces) {
            Urgency::Usual => return,
            Urgency::Now => 0,
            Urgency::Quick(segments) => segments,
        };
        self.recv.quick = self.recv.quick.max(quick);
        self.recv.owed = Owed::Now;
    }

    /// Second step: a reset with exactly the next number ends the connection; one elsewhere in the window is
    /// challenged (RFC 5961 §3.2).
    fn step_reset(&mut self, now: Instant, segment: &Segment) -> Result<(), DropReason> {
        if !segment.flags.contains(TcpFlags::RST) {
            return Ok(());
        }
        if crate::seq::near(self.recv.nxt, segment.seq) != self.recv.nxt {
            self.challenge(now);
            return Err(reasons::reset());
        }
        self.die(match self.state {
            State::SynReceived => Some(TcpError::Refused),
            State::CloseWait => Some(TcpError::BrokenPipe),
            State::Closing | State::LastAck => None,
            _ => Some(TcpError::Reset),
        });
        Err(reasons::reset())
    }

    /// Fourth step: a SYN here is old, or an attack: a challenge ACK lets a peer that did restart reset us (RFC 5961
    /// §4.2). In SYN-RECEIVED it is the peer's SYN again, or the SYN-ACK of a simultaneous open.
    fn step_syn(&mut self, now: Instant, segment: &mut Segment) -> Result<(), DropReason> {
        if !segment.flags.contains(TcpFlags::SYN) {
            return Ok(());
        }
        let repeated = crate::seq::near(self.recv.nxt, segment.seq) + 1 == self.recv.nxt;
        if self.state == State::SynReceived && repeated {
            if segment.flags.contains(TcpFlags::ACK) {
                segment.flags.remove(TcpFlags::SYN);
                segment.seq += 1;
                self.recv.owed = Owed::Now;
                return Ok(());
            }
            self.flags.insert(crate::connection::Flags::SYN_DUE);
            return Err(reasons::old());
        }
        self.challenge(now);
        Err(reasons::flags())
    }
}
