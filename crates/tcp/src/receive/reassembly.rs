//! Data that arrived before what precedes it, in blocks between holes.

use std::collections::VecDeque;

use bytes::Bytes;
use netspace_wire::tcp::SeqNum;
use smallvec::SmallVec;

use crate::queue::ByteQueue;
use crate::seq;

/// Blocks kept at most: a peer that leaves more holes has to send again.
const BLOCKS_MAX: usize = 4096;
/// Slices kept at most, so that tiny segments cannot tie up more than this many frames.
const SLICES_MAX: usize = 8192;
/// Blocks remembered as touched lately: as many as SACK can tell.
const RECENT: usize = 4;

#[derive(Debug)]
struct Block {
    start: u64,
    end: u64,
    slices: Vec<Bytes>,
}

/// Out-of-order data.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    blocks: VecDeque<Block>,
    slices: usize,
    /// Numbers within the blocks touched last, the latest first (RFC 2018 §4: it is reported first).
    recent: SmallVec<[u64; RECENT]>,
}

/// What came of putting data in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    /// All or part of it is new. The range is what was there already, if any was.
    New(Option<(u64, u64)>),
    /// All of it was there.
    Duplicate,
    /// There is no room for more blocks.
    Full,
}

impl Reassembly {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The end of the highest block.
    #[cfg(test)]
    fn end(&self) -> Option<u64> {
        self.blocks.back().map(|block| block.end)
    }

    /// Puts in `payload`, whose first byte is `start`.
    pub(crate) fn insert(&mut self, start: u64, payload: &[Bytes]) -> Inserted {
        let end = start + payload.iter().map(Bytes::len).sum::<usize>() as u64;
        if self.blocks.len() >= BLOCKS_MAX || self.slices + payload.len() > SLICES_MAX {
            return Inserted::Full;
        }
        let index = self.blocks.partition_point(|block| block.end < start);
        let mut at = start;
        let mut overlap: Option<(u64, u64)> = None;
        let mut news = false;
        while at < end {
            match self.blocks.get(index) {
                Some(block) if block.start <= at => {
                    if block.end > at {
                        let known = (at, block.end.min(end));
                        overlap.get_or_insert(known).1 = known.1;
                        at = known.1;
                    }
                    if at == end || at < block.end {
                        break;
                    }
                    // `at` is at the block's end: what is new goes to it, or to the next block if that begins here.
                    let hole_end = self.blocks.get(index + 1).map_or(end, |next| next.start.min(end));
                    if hole_end > at {
                        self.extend(index, payload, start, at, hole_end);
                        news = true;
                        at = hole_end;
                    }
                    self.join_next(index);
                }
                next => {
                    let hole_end = next.map_or(end, |block| block.start.min(end));
                    self.blocks.insert(index, Block { start: at, end: at, slices: Vec::new() });
                    self.extend(index, payload, start, at, hole_end);
                    news = true;
                    at = hole_end;
                    self.join_next(index);
                }
            }
        }
        self.touch(start);
        if news { Inserted::New(overlap) } else { Inserted::Duplicate }
    }

    /// Moves what follows `queue` without a hole into it. True if anything did.
    pub(crate) fn drain_into(&mut self, queue: &mut ByteQueue) -> bool {
        let mut moved = false;
        while self.blocks.front().is_some_and(|block| block.start <= queue.end()) {
            let Some(block) = self.blocks.pop_front() else { break };
            self.slices -= block.slices.len();
            let mut at = block.start;
            for mut slice in block.slices {
                let len = slice.len() as u64;
                let known = queue.end().saturating_sub(at).min(len);
                at += len;
                if known < len {
                    queue.push(slice.split_off(known as usize));
                    moved = true;
                }
            }
        }
        if self.blocks.is_empty() {
            *self = Self::default();
        }
        moved
    }

    /// Up to `max` blocks for a SACK option: the latest first (RFC 2018 §4).
    pub(crate) fn sack_blocks(&self, max: usize, out: &mut SmallVec<[(SeqNum, SeqNum); 4]>) {
        for &at in &self.recent {
            if out.len() >= max {
                return;
            }
            if let Some(block) = self.block_at(at) {
                let range = (seq::wire(block.start), seq::wire(block.end));
                if !out.contains(&range) {
                    out.push(range);
                }
            }
        }
    }

    /// The block in which `at` lies.
    pub(crate) fn range_at(&self, at: u64) -> Option<(u64, u64)> {
        self.block_at(at).map(|block| (block.start, block.end))
    }

    fn block_at(&self, at: u64) -> Option<&Block> {
        let index = self.blocks.partition_point(|block| block.end <= at);
        self.blocks.get(index).filter(|block| block.start <= at)
    }

    fn touch(&mut self, at: u64) {
        let range = self.range_at(at);
        let same = |&other: &u64| range.is_some_and(|(start, end)| (start..end).contains(&other));
        match self.recent.iter().position(same) {
            Some(found) => drop(self.recent.remove(found)),
            None if self.recent.len() == RECENT => drop(self.recent.pop()),
            None => {}
        }
        self.recent.insert(0, at);
    }

    /// Appends `at..to` of the payload that begins at `start` to the block at `index`.
    fn extend(&mut self, index: usize, payload: &[Bytes], start: u64, at: u64, to: u64) {
        let block = &mut self.blocks[index];
        let before = block.slices.len();
        let mut slice_start = start;
        for slice in payload {
            let slice_end = slice_start + slice.len() as u64;
            let (low, high) = (at.max(slice_start), to.min(slice_end));
            if low < high {
                block.slices.push(slice.slice((low - slice_start) as usize..(high - slice_start) as usize));
            }
            slice_start = slice_end;
        }
        block.end = to;
        self.slices += block.slices.len() - before;
    }

    fn join_next(&mut self, index: usize) {
        let end = self.blocks[index].end;
        if self.blocks.get(index + 1).is_some_and(|next| next.start == end)
            && let Some(mut next) = self.blocks.remove(index + 1)
        {
            let block = &mut self.blocks[index];
            block.slices.append(&mut next.slices);
            block.end = next.end;
        }
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::Seed;

    use super::*;

    fn pattern(start: u64, len: u64) -> Bytes {
        (start..start + len).map(|n| (n * 31 % 251) as u8).collect()
    }

    #[test]
    fn any_order_with_overlaps_gives_the_stream() {
        let mut rng = Seed(2).stream("reassembly", 0);
        for _ in 0..200 {
            let mut queue = ByteQueue::new(0);
            let mut late = Reassembly::default();
            while queue.end() < 20_000 {
                let start = queue.end() + rng.below(8_000);
                let len = 1 + rng.below(3_000);
                let split = rng.below(len + 1);
                late.insert(start, &[pattern(start, split), pattern(start + split, len - split)]);
                if rng.below(4) == 0 {
                    let len = 1 + rng.below(1_000);
                    queue.push(pattern(queue.end(), len as usize as u64));
                }
                late.drain_into(&mut queue);
                if let Some(end) = late.end() {
                    assert!(end > queue.end());
                }
                let count: usize = late.blocks.iter().map(|block| block.slices.len()).sum();
                assert_eq!(count, late.slices);
            }
            let mut at = 0;
            while let Some(bytes) = queue.pop(1_000) {
                assert_eq!(bytes, pattern(at, bytes.len() as u64));
                at += bytes.len() as u64;
            }
        }
    }

    #[test]
    fn the_latest_block_is_reported_first_and_duplicates_are_seen() {
        let mut late = Reassembly::default();
        assert_eq!(late.insert(100, &[pattern(100, 50)]), Inserted::New(None));
        assert_eq!(late.insert(300, &[pattern(300, 50)]), Inserted::New(None));
        assert_eq!(late.insert(120, &[pattern(120, 10)]), Inserted::Duplicate);
        assert_eq!(late.insert(140, &[pattern(140, 20)]), Inserted::New(Some((140, 150))));
        let mut out = SmallVec::new();
        late.sack_blocks(3, &mut out);
        assert_eq!(out[..], [(SeqNum(100), SeqNum(160)), (SeqNum(300), SeqNum(350))]);
    }
}
