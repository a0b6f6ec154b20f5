//! Controlled delay (RFC 8289): a queue that keeps its delay short for long.
//!
//! Frames that have waited longer than the target for a whole interval show a standing queue. Then one is dropped (or
//! marked), and the next ever sooner, by interval / √count, until the delay is below the target again.
//!
//! ```text
//!            waits ≥ target for an interval                   drop at drop_next, then
//!  passing ────────────────────────────────▶ dropping ──────▶ drop_next += interval / √count
//!     ▲            a frame waited < target       │ ▲───────────────┘
//!     ╰──────────────────────────────────────────╯
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use netspace_base::{Instant, Pkt};
use netspace_wire::{ecn, ethernet, ipv4};

use crate::discipline::CodelSettings;

/// A queue of this many bytes or less (one frame) has no standing delay that dropping could shorten.
const MTU: usize = 1514;
/// Dropping that begins again within this many intervals goes on at about its former rate.
const RESUME_INTERVALS: u32 = 16;

/// A frame that waits.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) since: Instant,
    pub(crate) pkt: Box<Pkt>,
    /// What its owner keeps with it.
    pub(crate) with: T,
}

/// Frames in the order in which they came.
#[derive(Debug)]
pub(crate) struct FrameQueue<T> {
    frames: VecDeque<Entry<T>>,
    bytes: usize,
}

impl<T> Default for FrameQueue<T> {
    fn default() -> Self {
        Self { frames: VecDeque::new(), bytes: 0 }
    }
}

impl<T> FrameQueue<T> {
    pub(crate) fn push(&mut self, entry: Entry<T>) {
        self.bytes += entry.pkt.len();
        self.frames.push_back(entry);
    }

    pub(crate) fn pop(&mut self) -> Option<Entry<T>> {
        let entry = self.frames.pop_front()?;
        self.bytes -= entry.pkt.len();
        Some(entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What left a queue.
#[derive(Debug)]
pub(crate) struct Dequeued<T> {
    /// The frame to send.
    pub(crate) frame: Option<Entry<T>>,
    /// Whether it was marked.
    pub(crate) marked: bool,
    /// Frames dropped before it.
    pub(crate) dropped: Vec<Entry<T>>,
}

impl<T> Default for Dequeued<T> {
    fn default() -> Self {
        Self { frame: None, marked: false, dropped: Vec::new() }
    }
}

/// What controlled delay remembers (RFC 8289 §5.3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Codel {
    dropping: bool,
    /// When a delay that began to be too long has lasted an interval.
    first_above: Option<Instant>,
    drop_next: Instant,
    count: u32,
    last_count: u32,
}

impl Codel {
    /// Takes the next frame of `queue` to send at `now`. `others` bytes wait besides it in the same discipline: they count
    /// for whether there is a standing queue at all (as in Linux's fq_codel; RFC 8290 looks at the one queue).
    pub(crate) fn dequeue<T>(
        &mut self,
        now: Instant,
        settings: &CodelSettings,
        queue: &mut FrameQueue<T>,
        others: usize,
    ) -> Dequeued<T> {
        let mut out = Dequeued::default();
        let Some((mut frame, mut too_long)) = self.pop(now, settings, queue, others) else {
            self.dropping = false;
            return out;
        };
        if self.dropping {
            self.dropping = too_long;
            while self.dropping && now >= self.drop_next {
                self.count = self.count.saturating_add(1);
                self.drop_next = self.next_after(self.drop_next, settings);
                if settings.ecn && mark(&mut frame.pkt) {
                    out.marked = true;
                    break;
                }
                out.dropped.push(frame);
                match self.pop(now, settings, queue, others) {
                    Some(next) => (frame, too_long) = next,
                    None => {
                        self.dropping = false;
                        return out;
                    }
                }
                self.dropping = too_long;
            }
        } else if too_long {
            self.start(now, settings);
            if settings.ecn && mark(&mut frame.pkt) {
                out.marked = true;
            } else {
                out.dropped.push(frame);
                match self.pop(now, settings, queue, others) {
                    Some(next) => frame = next.0,
                    None => return out,
                }
            }
        }
        out.frame = Some(frame);
        out
    }

    /// Enters the dropping state, at the former rate if it was left just now (RFC 8289 §5.5).
    fn start(&mut self, now: Instant, settings: &CodelSettings) {
        self.dropping = true;
        let steps = self.count.wrapping_sub(self.last_count);
        let recent = now.saturating_since(self.drop_next) < settings.interval * RESUME_INTERVALS;
        self.count = if recent && steps > 1 && self.count > self.last_count { steps } else { 1 };
        self.last_count = self.count;
        self.drop_next = self.next_after(now, settings);
    }

    fn next_after(&self, at: Instant, settings: &CodelSettings) -> Instant {
        at + settings.interval.div_f64(f64::from(self.count.max(1)).sqrt())
    }

    /// The next frame, and whether frames have waited too long for an interval now.
    fn pop<T>(
        &mut self,
        now: Instant,
        settings: &CodelSettings,
        queue: &mut FrameQueue<T>,
        others: usize,
    ) -> Option<(Entry<T>, bool)> {
        let Some(frame) = queue.pop() else {
            self.first_above = None;
            return None;
        };
        let waited: Duration = now.saturating_since(frame.since);
        if waited < settings.target || queue.bytes() + others <= MTU {
            self.first_above = None;
            return Some((frame, false));
        }
        let at = *self.first_above.get_or_insert(now + settings.interval);
        Some((frame, now >= at))
    }
}

/// Marks a frame that starts with its Ethernet header; false if its transport does not take part.
fn mark(pkt: &mut Pkt) -> bool {
    // The network header lies in the linear area, as everywhere on a link; what is shorter is none.
    if pkt.data().len() < ethernet::HEADER_LEN + ipv4::HEADER_LEN {
        return false;
    }
    pkt.pull(ethernet::HEADER_LEN);
    let marked = ecn::mark_ce(pkt);
    pkt.unpull(ethernet::HEADER_LEN);
    marked
}
