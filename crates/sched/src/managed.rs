//! The queue before the rate where a discipline manages it: frames wait in it until their turn comes.

use netspace_base::{Instant, Rng};

use crate::codel::{Codel, Dequeued, Entry, FrameQueue};
use crate::discipline::Discipline;
use crate::fq_codel::FqCodel;

/// The frames that wait, by discipline.
#[derive(Debug)]
pub(crate) enum Managed<T> {
    Codel(FrameQueue<T>, Codel),
    FqCodel(FqCodel<T>),
}

impl<T> Managed<T> {
    /// The empty queue of a discipline; none for one that needs no managing.
    pub(crate) fn new(discipline: Discipline, rng: &mut Rng) -> Option<Self> {
        match discipline {
            Discipline::Fifo => None,
            Discipline::Codel(_) => Some(Self::Codel(FrameQueue::default(), Codel::default())),
            Discipline::FqCodel(_) => Some(Self::FqCodel(FqCodel::new(rng.u64()))),
        }
    }

    /// Whether it is the queue of this discipline.
    pub(crate) const fn is_for(&self, discipline: Discipline) -> bool {
        matches!(
            (self, discipline),
            (Self::Codel(..), Discipline::Codel(_)) | (Self::FqCodel(_), Discipline::FqCodel(_))
        )
    }

    /// Frames and bytes that wait.
    pub(crate) fn len(&self) -> (usize, usize) {
        match self {
            Self::Codel(queue, _) => (queue.len(), queue.bytes()),
            Self::FqCodel(fq) => (fq.len(), fq.bytes()),
        }
    }

    /// Takes in a frame; gives back one (this or another) that finds no place.
    pub(crate) fn enqueue(&mut self, discipline: Discipline, entry: Entry<T>) -> Option<Entry<T>> {
        match (self, discipline) {
            (Self::Codel(queue, _), Discipline::Codel(codel)) if queue.len() >= codel.limit => Some(entry),
            (Self::Codel(queue, _), _) => {
                queue.push(entry);
                None
            }
            (Self::FqCodel(fq), Discipline::FqCodel(settings)) => fq.enqueue(&settings, entry),
            (Self::FqCodel(_), _) => Some(entry),
        }
    }

    /// Takes the next frame to send at `now`. For another discipline than its own it
    /// takes the frames of each flow in their order.
    pub(crate) fn dequeue(&mut self, now: Instant, discipline: Discipline) -> Dequeued<T> {
        match (self, discipline) {
            (Self::Codel(queue, codel), Discipline::Codel(settings)) => {
                codel.dequeue(now, &settings, queue, 0)
            }
            (Self::FqCodel(fq), Discipline::FqCodel(settings)) => fq.dequeue(now, &settings),
            (Self::Codel(queue, _), _) => Dequeued { frame: queue.pop(), ..Dequeued::default() },
            (Self::FqCodel(fq), _) => Dequeued { frame: fq.take_from_longest(), ..Dequeued::default() },
        }
    }
}
