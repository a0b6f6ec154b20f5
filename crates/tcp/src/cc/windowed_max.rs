//! The maximum of what was seen in a sliding window, in constant space.
//!
//! Three samples are kept: the best, the best after it, and the best after that, so that a successor is at hand when the
//! best grows too old (K. Nichols' windowed minimum/maximum estimator). The time may be of any unit: rounds, for BBR.

/// A value and when it was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: u64,
    value: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowedMax {
    best: [Seen; 3],
}

impl WindowedMax {
    /// The maximum.
    pub(super) fn get(&self) -> u64 {
        self.best[0].value
    }

    /// Takes in `value`, seen at `at`; what is older than `window` no longer counts.
    pub(super) fn update(&mut self, window: u64, at: u64, value: u64) {
        let seen = Seen { at, value };
        if value >= self.best[0].value || at - self.best[2].at > window {
            // A new maximum, or all there is: the past does not matter.
            self.best = [seen; 3];
            return;
        }
        if value >= self.best[1].value {
            self.best = [self.best[0], seen, seen];
        } else if value >= self.best[2].value {
            self.best[2] = seen;
        }
        self.age(window, seen);
    }

    /// Drops a best one that is too old; and when much of the window has gone by without a second or third one, takes
    /// them from its later parts, so that they do not all grow old together.
    fn age(&mut self, window: u64, seen: Seen) {
        let elapsed = seen.at - self.best[0].at;
        if elapsed > window {
            self.best = [self.best[1], self.best[2], seen];
            if seen.at - self.best[0].at > window {
                self.best = [self.best[1], seen, seen];
            }
        } else if self.best[1].at == self.best[0].at && elapsed > window / 4 {
            self.best = [self.best[0], seen, seen];
        } else if self.best[2].at == self.best[1].at && elapsed > window / 2 {
            self.best[2] = seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::Seed;

    use super::*;

    #[test]
    fn the_best_is_kept_for_a_window_and_then_gives_way() {
        let mut max = WindowedMax::default();
        max.update(10, 0, 100);
        for at in 1..=10 {
            max.update(10, at, 50 + at);
            assert_eq!(max.get(), 100, "at {at}");
        }
        max.update(10, 11, 40);
        assert_eq!(max.get(), 60, "the best of the last ten");
    }

    #[test]
    fn it_is_never_above_the_true_maximum_nor_below_the_newest() {
        let mut rng = Seed(3).stream("max", 0);
        let (mut max, mut all) = (WindowedMax::default(), Vec::new());
        for at in 0..5_000 {
            let value = rng.below(1_000);
            max.update(10, at, value);
            all.push(value);
            let truth = all[all.len().saturating_sub(11)..].iter().max().copied();
            assert!(Some(max.get()) <= truth && max.get() >= value);
        }
    }
}
