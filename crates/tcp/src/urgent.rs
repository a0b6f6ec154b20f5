//! Urgent data (RFC 6093), as Linux does it: one byte, the one before where the pointer points, taken out of the stream
//! unless `SO_OOBINLINE` is set.

mod state;

use bytes::Bytes;
use netspace_wire::tcp::TcpFlags;

use crate::connection::Connection;
use crate::segment::Segment;
use crate::seq;
use crate::state::Event;

pub(crate) use state::Urgent;

impl Connection {
    /// RFC 9293 §3.10.7.4, sixth step: a new urgent pointer.
    pub(crate) fn note_urgent(&mut self, segment: &Segment) {
        // RFC 6093 §4: the pointer is to the byte after the urgent one, unless `tcp_stdurg` says what RFC 1122 said.
        let pointer = u64::from(segment.urgent).saturating_sub(u64::from(!self.config.std_urgent));
        let at = seq::near(self.recv.nxt, segment.seq) + pointer;
        // What has come already is no longer urgent, as on Linux.
        if at < self.recv.nxt || self.urgent.as_ref().is_some_and(|urgent| at <= urgent.at) {
            return;
        }
        if self.urgent_in_queue() == Some(self.recv.queue.start()) {
            // The one before was read up to and never asked for.
            self.recv.queue.advance_to(self.recv.queue.start() + 1);
        }
        self.urgent = Some(Box::new(Urgent { at, byte: None, read: false }));
        self.events.push(Event::Urgent);
    }

    /// New data is in the queue: the urgent byte may be among it.
    pub(crate) fn find_urgent_byte(&mut self) {
        let Some(urgent) = &mut self.urgent else { return };
        if urgent.byte.is_some() || urgent.read || urgent.at < self.recv.queue.start() {
            return;
        }
        if urgent.at < self.recv.queue.end() {
            let mut out = smallvec::SmallVec::new();
            self.recv.queue.slices(urgent.at, 1, 1, &mut out);
            urgent.byte = out.first().and_then(|bytes: &Bytes| bytes.first().copied());
            self.events.push(Event::Urgent);
        }
    }

    /// Takes the urgent byte (`MSG_OOB`); none if there is none, or it is in the stream (`SO_OOBINLINE`).
    pub fn recv_urgent(&mut self, peek: bool) -> Option<u8> {
        let urgent = self.urgent.as_mut().filter(|_| !self.config.oob_inline)?;
        let byte = urgent.byte.filter(|_| !urgent.read)?;
        urgent.read = !peek;
        Some(byte)
    }

    /// Whether a pointer has come, but not yet the byte: `MSG_OOB` would find it later.
    pub fn awaits_urgent(&self) -> bool {
        self.urgent.as_ref().is_some_and(|urgent| urgent.byte.is_none() && !urgent.read)
    }

    /// The urgent pointer of a segment that begins at `start`: also of one without data, so that a closed window does not
    /// keep the news back (RFC 9293 §3.8.6.1). One too far to point at is told of all the same, as Linux does.
    pub(crate) fn add_urgent(&mut self, segment: &mut Segment, start: u64) {
        let Some(end) = self.send.urgent_end else { return };
        if end <= self.send.una {
            self.send.urgent_end = None;
        } else if end > start && (end - start <= 0xffff || start + 0xffff > self.send.nxt) {
            segment.flags |= TcpFlags::URG;
            segment.urgent = (end - start).min(0xffff) as u16;
        }
    }

    /// Whether an urgent byte waits (`POLLPRI`).
    pub fn has_urgent(&self) -> bool {
        self.urgent.as_ref().is_some_and(|urgent| !urgent.read)
    }

    /// Whether the next byte to read is the urgent one, or the one after it (`SIOCATMARK`).
    pub fn at_mark(&self) -> bool {
        self.urgent.as_ref().is_some_and(|urgent| urgent.at == self.recv.queue.start())
    }

    /// The urgent byte's number, if it lies in the queue and is not part of the stream.
    pub(crate) fn urgent_in_queue(&self) -> Option<u64> {
        let urgent = self.urgent.as_ref().filter(|_| !self.config.oob_inline)?;
        (self.recv.queue.start()..self.recv.queue.end()).contains(&urgent.at).then_some(urgent.at)
    }

    /// How many of `max` bytes can be read at once: a read ends before the mark, and does not give the urgent byte.
    pub(crate) fn readable_before_mark(&mut self, max: usize) -> usize {
        if self.urgent_in_queue() == Some(self.recv.queue.start()) {
            self.recv.queue.advance_to(self.recv.queue.start() + 1);
        }
        let len = self.recv.queue.len().min(max);
        match &self.urgent {
            Some(urgent) if urgent.at > self.recv.queue.start() => {
                len.min((urgent.at - self.recv.queue.start()) as usize)
            }
            _ => len,
        }
    }

    /// What was read may have gone past the mark: it is forgotten.
    pub(crate) fn pass_mark(&mut self) {
        if self.urgent.as_ref().is_some_and(|urgent| urgent.at < self.recv.queue.start()) {
            self.urgent = None;
        }
    }
}
