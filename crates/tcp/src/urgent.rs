//! Urgent data (RFC 6093), as Linux does it: one byte, the one before where the pointer points, taken out of the stream
//! unless `SO_OOBINLINE` is set.

mod state;

use bytes::Bytes;

use crate::connection::Connection;
use crate::segment::Segment;
use crate::seq;
use crate::state::Event;

pub(crate) use state::Urgent;

impl Connection {
    /// RFC 9293 §3.10.7.4, sixth step: a new urgent pointer.
    pub(crate) fn note_urgent(&mut self, segment: &Segment) {
        let pointer = u64::from(segment.urgent);
        if pointer == 0 {
            return;
        }
        // RFC 6093 §4: the pointer is to the byte after the urgent one.
        let at = seq::near(self.recv.nxt, segment.seq) + pointer - 1;
        if at < self.recv.queue.start() || self.urgent.as_ref().is_some_and(|urgent| at <= urgent.at) {
            return;
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
