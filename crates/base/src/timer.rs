//! Timers in a hierarchical wheel: set and cancel in constant time, however many there are.
//!
//! Six levels of 64 slots; a slot of level 0 is one tick of 2¹⁴ ns (16.4 µs) wide, each level above 64 times as wide:
//! 13 days in all, later timers wait in the last slot and are sorted again from there. A timer fires at the end of its
//! tick: never early, at most one tick late.

use std::collections::VecDeque;

use crate::Instant;

const TICK_SHIFT: u32 = 14;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 6;
const NIL: u32 = u32::MAX;

/// Names a timer that was set. Stale names (fired or cancelled) are harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Entry<K> {
    key: Option<K>,
    tick: u64,
    generation: u32,
    slot: u16,
    next: u32,
    prev: u32,
}

/// A set of timers, each carrying a key that tells what is due.
#[derive(Debug)]
pub struct TimerWheel<K> {
    entries: Vec<Entry<K>>,
    free: u32,
    heads: Box<[u32; SLOTS * LEVELS]>,
    occupied: [u64; LEVELS],
    /// All timers with `tick <= current` have been moved to `due`.
    current: u64,
    due: VecDeque<u32>,
    /// Kept between calls of `advance` for its memory.
    sorted: Vec<u32>,
    len: usize,
}

impl<K> Default for TimerWheel<K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: NIL,
            heads: Box::new([NIL; SLOTS * LEVELS]),
            occupied: [0; LEVELS],
            current: 0,
            due: VecDeque::new(),
            sorted: Vec::new(),
            len: 0,
        }
    }
}

/// In `due`: fired as soon as it is asked for.
const SLOT_DUE: u16 = u16::MAX;

impl<K> TimerWheel<K> {
    /// An empty wheel.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer for `at`; one in the past is due at once.
    pub fn set(&mut self, at: Instant, key: K) -> TimerId {
        let tick = at.as_nanos().div_ceil(1 << TICK_SHIFT);
        let index = self.allocate(key, tick);
        self.link(index);
        self.len += 1;
        TimerId { index, generation: self.entries[index as usize].generation }
    }

    /// Cancels a timer; its key, if it had not fired yet.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.generation != id.generation || entry.key.is_none() {
            return None;
        }
        self.unlink(id.index);
        self.release(id.index)
    }

    /// The moment at which [`TimerWheel::pop`] must next be called, or none if no timer is set. Never later than the
    /// earliest timer's tick; it may be earlier, when far timers must be sorted again.
    pub fn next(&self) -> Option<Instant> {
        if !self.due.is_empty() {
            return Some(Instant::from_nanos(self.current << TICK_SHIFT));
        }
        self.next_tick().map(|tick| Instant::from_nanos(tick << TICK_SHIFT))
    }

    /// Takes one timer that is due at `now`, earliest tick first; none if there is none.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let now_tick = now.as_nanos() >> TICK_SHIFT;
        while self.due.is_empty() {
            let tick = self.next_tick().filter(|&tick| tick <= now_tick)?;
            self.advance(tick);
        }
        let index = self.due.pop_front()?;
        self.release(index)
    }

    fn allocate(&mut self, key: K, tick: u64) -> u32 {
        if self.free == NIL {
            self.entries.push(Entry { key: Some(key), tick, generation: 0, slot: 0, next: NIL, prev: NIL });
            return (self.entries.len() - 1) as u32;
        }
        let index = self.free;
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        entry.key = Some(key);
        entry.tick = tick;
        index
    }

    fn release(&mut self, index: u32) -> Option<K> {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        entry.key.take()
    }

    /// The level and slot for a tick, seen from `current`: the level at which the two first differ.
    fn place(&self, tick: u64) -> usize {
        let differing = (self.current ^ tick) | (SLOTS as u64 - 1);
        let level = ((63 - differing.leading_zeros()) / SLOT_BITS) as usize;
        if level >= LEVELS {
            // Beyond the wheel: the last slot that is still ahead at the top level.
            let top = SLOT_BITS * (LEVELS as u32 - 1);
            let slot = ((self.current >> top) as usize + SLOTS - 1) % SLOTS;
            return (LEVELS - 1) * SLOTS + slot;
        }
        level * SLOTS + ((tick >> (SLOT_BITS * level as u32)) as usize % SLOTS)
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        if tick <= self.current {
            self.entries[index as usize].slot = SLOT_DUE;
            self.due.push_back(index);
            return;
        }
        let slot = self.place(tick);
        let head = self.heads[slot];
        let entry = &mut self.entries[index as usize];
        entry.slot = slot as u16;
        entry.next = head;
        entry.prev = NIL;
        if head != NIL {
            self.entries[head as usize].prev = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
    }

    fn unlink(&mut self, index: u32) {
        let Entry { slot, next, prev, .. } = self.entries[index as usize];
        if slot == SLOT_DUE {
            self.due.retain(|&i| i != index);
            return;
        }
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
        if prev != NIL {
            self.entries[prev as usize].next = next;
        } else {
            self.heads[usize::from(slot)] = next;
            if next == NIL {
                self.occupied[usize::from(slot) / SLOTS] &= !(1 << (usize::from(slot) % SLOTS));
            }
        }
    }

    /// The start of the earliest occupied slot.
    fn next_tick(&self) -> Option<u64> {
        let mut best: Option<u64> = None;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let position = (self.current >> shift) as u32 % SLOTS as u32;
            // Slots ahead of the position, in order; the position itself comes last (a full turn away).
            let ahead = self.occupied[level].rotate_right((position + 1) % SLOTS as u32).trailing_zeros() + 1;
            let tick = ((self.current >> shift) + u64::from(ahead)) << shift;
            best = Some(best.map_or(tick, |b| b.min(tick)));
        }
        best
    }

    /// Moves the wheel on to `tick` (an occupied slot's start): its timers become due, or sink to a lower level.
    fn advance(&mut self, tick: u64) {
        self.current = tick;
        let mut sorted = std::mem::take(&mut self.sorted);
        for level in (0..LEVELS).rev() {
            let shift = SLOT_BITS * level as u32;
            if tick & ((1 << shift) - 1) != 0 {
                continue;
            }
            let slot = (tick >> shift) as usize % SLOTS;
            let mut index = std::mem::replace(&mut self.heads[level * SLOTS + slot], NIL);
            self.occupied[level] &= !(1 << slot);
            while index != NIL {
                sorted.push(index);
                index = self.entries[index as usize].next;
            }
        }
        // Lists are newest first; linking from the oldest keeps the order in which timers were set.
        while let Some(index) = sorted.pop() {
            self.link(index);
        }
        self.sorted = sorted;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Duration, Seed};

    const TICK: Duration = Duration::from_nanos(1 << TICK_SHIFT);

    #[test]
    fn timers_fire_in_order_never_early_and_at_most_a_tick_late() {
        let mut rng = Seed(3).stream("timer", 0);
        let mut wheel = TimerWheel::new();
        let mut model: BTreeMap<(u64, u64), ()> = BTreeMap::new();
        let mut ids = BTreeMap::new();
        let mut now = Instant::ZERO;
        for n in 0..20_000u64 {
            let spread = 1u64 << rng.below(51);
            let at = now + Duration::from_nanos(rng.below(spread));
            ids.insert(n, (wheel.set(at, n), at));
            model.insert((at.as_nanos(), n), ());
            if rng.chance(300_000_000) {
                let victim = rng.below(n + 1);
                if let Some((id, at)) = ids.remove(&victim) {
                    assert_eq!(wheel.cancel(id), Some(victim));
                    model.remove(&(at.as_nanos(), victim));
                }
            }
            now += Duration::from_nanos(rng.below(1 << 24));
            while let Some(key) = wheel.pop(now) {
                let (_, at) = ids.remove(&key).expect("fires once");
                assert!(at <= now, "fired early");
                model.remove(&(at.as_nanos(), key));
            }
            if let Some(((at, _), ())) = model.first_key_value() {
                assert!(Instant::from_nanos(*at) + TICK > now, "a due timer did not fire");
                assert!(wheel.next().expect("timers are set") <= Instant::from_nanos(*at) + TICK);
            }
            assert_eq!(wheel.len(), model.len());
        }
        while let Some(at) = wheel.next() {
            assert!(at.as_nanos() < u64::MAX / 2);
            while let Some(key) = wheel.pop(at) {
                let (_, due) = ids.remove(&key).expect("fires once");
                assert!(due <= at);
            }
        }
        assert!(ids.is_empty());
    }

    #[test]
    fn stale_names_are_harmless() {
        let mut wheel = TimerWheel::new();
        let id = wheel.set(Instant::from_millis(1), 'a');
        assert_eq!(wheel.pop(Instant::from_millis(2)), Some('a'));
        let _second = wheel.set(Instant::from_millis(5), 'b');
        assert_eq!(wheel.cancel(id), None);
        assert_eq!(wheel.pop(Instant::from_millis(6)), Some('b'));
    }
}
