//! What is to happen when: one moment for each link direction and each host, the earliest first.
//!
//! A heap that knows where each of its entries is, so that a moment can be moved. Of equal moments the lower slot comes
//! first: the order is the same in every run.

use netspace_base::Instant;

const NOWHERE: usize = usize::MAX;

/// Moments by slot.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: Vec<usize>,
    at: Vec<Instant>,
    place: Vec<usize>,
}

impl Agenda {
    /// For slots `0..slots`, none of them with a moment yet.
    pub(super) fn new(slots: usize) -> Self {
        Self { heap: Vec::new(), at: vec![Instant::FAR_FUTURE; slots], place: vec![NOWHERE; slots] }
    }

    /// Sets, moves or takes away a slot's moment.
    pub(super) fn set(&mut self, slot: usize, at: Option<Instant>) {
        let place = self.place[slot];
        match at {
            Some(at) if place == NOWHERE => {
                self.at[slot] = at;
                self.heap.push(slot);
                self.place[slot] = self.heap.len() - 1;
                self.up(self.heap.len() - 1);
            }
            Some(at) => {
                let old = std::mem::replace(&mut self.at[slot], at);
                match at.cmp(&old) {
                    std::cmp::Ordering::Less => self.up(place),
                    std::cmp::Ordering::Greater => self.down(place),
                    std::cmp::Ordering::Equal => {}
                }
            }
            None if place == NOWHERE => {}
            None => self.remove(place),
        }
    }

    /// The earliest moment.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&slot| self.at[slot])
    }

    /// Takes the earliest slot whose moment has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<usize> {
        let &slot = self.heap.first()?;
        if self.at[slot] > now {
            return None;
        }
        self.remove(0);
        Some(slot)
    }

    fn remove(&mut self, place: usize) {
        let slot = self.heap[place];
        self.place[slot] = NOWHERE;
        let Some(last) = self.heap.pop() else { return };
        if place < self.heap.len() {
            self.heap[place] = last;
            self.place[last] = place;
            self.up(place);
            self.down(self.place[last]);
        }
    }

    fn earlier(&self, a: usize, b: usize) -> bool {
        let key = |place: usize| (self.at[self.heap[place]], self.heap[place]);
        key(a) < key(b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.place[self.heap[a]] = a;
        self.place[self.heap[b]] = b;
    }

    fn up(&mut self, mut place: usize) {
        while place > 0 && self.earlier(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn down(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.earlier(child, least) {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use netspace_base::{Duration, Seed};

    use super::*;

    #[test]
    fn moments_come_in_order_however_they_are_moved() {
        let mut rng = Seed(5).stream("agenda", 0);
        let mut agenda = Agenda::new(64);
        let mut model: BTreeMap<usize, Instant> = BTreeMap::new();
        let mut now = Instant::ZERO;
        for _ in 0..20_000 {
            let slot = rng.below(64) as usize;
            if rng.chance(200_000_000) {
                agenda.set(slot, None);
                model.remove(&slot);
            } else {
                let at = now + Duration::from_nanos(rng.below(50));
                agenda.set(slot, Some(at));
                model.insert(slot, at);
            }
            if rng.chance(300_000_000) {
                now += Duration::from_nanos(rng.below(20));
                while let Some(slot) = agenda.pop(now) {
                    let first = model.iter().map(|(&s, &at)| (at, s)).min().expect("not empty");
                    assert_eq!(first.1, slot);
                    model.remove(&slot);
                }
            }
            assert_eq!(agenda.next(), model.values().min().copied());
        }
    }
}
