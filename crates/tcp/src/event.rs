//! Events waiting for the owner: each kind at most once, changes of state in order.

use smallvec::SmallVec;

use crate::state::Event;

/// Changes of state between two polls at most: the longest way through the states, and to spare.
const WAITING_MAX: usize = 16;

/// A queue of events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    waiting: SmallVec<[Event; 4]>,
}

impl Events {
    /// Adds an event unless the same one waits already.
    pub(crate) fn push(&mut self, event: Event) {
        if !self.waiting.contains(&event) && self.waiting.len() < WAITING_MAX {
            self.waiting.push(event);
        }
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }
}
