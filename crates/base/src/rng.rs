//! Chance from one seed. Each purpose draws from a stream of its own, so that a new draw in one place leaves every other
//! stream as it was.

use std::hash::Hasher;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng};
use siphasher::sip::SipHasher13;

/// The number from which all of a lab's chance is drawn (`--seed`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream for `purpose` (such as `"isn"`, `"link"`) of the `index`-th host or link.
    pub fn stream(self, purpose: &str, index: u64) -> Rng {
        let mut hasher = SipHasher13::new_with_keys(self.0, index);
        hasher.write(purpose.as_bytes());
        Rng(Xoshiro256PlusPlus::seed_from_u64(hasher.finish()))
    }
}

/// A reproducible stream of random numbers (xoshiro256++: named, so it never changes between versions).
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with the chance `per_billion` / 10⁹.
    pub fn chance(&mut self, per_billion: u32) -> bool {
        per_billion > 0 && self.below(1_000_000_000) < u64::from(per_billion)
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_purpose_and_index() {
        let draw = |purpose, index| Seed(7).stream(purpose, index).u64();
        assert_eq!(draw("isn", 1), draw("isn", 1));
        assert_ne!(draw("isn", 1), draw("isn", 2));
        assert_ne!(draw("isn", 1), draw("link", 1));
    }

    #[test]
    fn chance_is_near_its_ratio_and_exact_at_the_ends() {
        let mut rng = Seed(1).stream("test", 0);
        let hits = (0..100_000).filter(|_| rng.chance(10_000_000)).count();
        assert!((800..1200).contains(&hits), "1 % of 100,000 drew {hits}");
        assert!(!(0..1000).any(|_| rng.chance(0)));
        assert!((0..1000).all(|_| rng.chance(1_000_000_000)));
    }
}
