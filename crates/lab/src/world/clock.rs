//! The lab's clock, and how faithfully the lab keeps to it.

use std::sync::OnceLock;
use std::time::{Duration, Instant as Monotonic};

use netspace_base::{Instant, TraceClock};

/// Where time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock, from the lab's start.
    Real(Monotonic),
    /// A moment that jumps to the next event: nothing waits.
    Virtual(Instant),
}

impl Clock {
    /// The machine's clock, starting now.
    pub fn real() -> Self {
        Self::Real(Monotonic::now())
    }

    /// A clock that stands at zero until the lab moves it.
    pub const fn virtual_time() -> Self {
        Self::Virtual(Instant::ZERO)
    }

    /// Whether time jumps.
    pub const fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual(_))
    }

    /// The clock for the trace's events: none in virtual time, where a turn takes no time.
    pub(super) fn for_trace(&self) -> Option<TraceClock> {
        let Self::Real(start) = self else { return None };
        let since_start = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Some(TraceClock { read: monotonic_ns, start: monotonic_ns().saturating_sub(since_start) })
    }

    pub(super) fn now(&self) -> Instant {
        match self {
            Self::Real(start) => {
                Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
            }
            Self::Virtual(now) => *now,
        }
    }
}

/// Nanoseconds since this was first asked.
fn monotonic_ns() -> u64 {
    // Some time before, so that a lab that started earlier has a moment of its start too.
    const BEFORE: u64 = 1 << 62;
    static ORIGIN: OnceLock<Monotonic> = OnceLock::new();
    BEFORE + u64::try_from(ORIGIN.get_or_init(Monotonic::now).elapsed().as_nanos()).unwrap_or(BEFORE)
}

/// Later than this after its time, an event counts as late.
const TOLERANCE: Duration = Duration::from_millis(5);

/// Measures how much of the time the lab kept up with its clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fidelity {
    behind: Duration,
    worst: Duration,
    last: Instant,
}

impl Fidelity {
    /// Notes one turn of the loop at `now`, with the earliest event that is due.
    pub(super) fn note(&mut self, now: Instant, due: Option<Instant>) {
        if let Some(due) = due {
            let late = now.saturating_since(due);
            self.worst = self.worst.max(late);
            if late > TOLERANCE {
                self.behind += late.min(now.saturating_since(self.last));
            }
        }
        self.last = now;
    }

    /// The share of time that the lab kept up, 0 to 1.
    pub(super) fn ratio(&self, now: Instant) -> f64 {
        let elapsed = now.as_secs_f64();
        if elapsed <= 0.0 { 1.0 } else { (1.0 - self.behind.as_secs_f64() / elapsed).clamp(0.0, 1.0) }
    }

    /// The latest that an event was.
    pub(super) const fn worst(&self) -> Duration {
        self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_that_are_late_count_against_fidelity() {
        let mut f = Fidelity::default();
        let ms = Instant::from_millis;
        f.note(ms(50), Some(ms(49)));
        assert!((f.ratio(ms(100)) - 1.0).abs() < 1e-9);
        f.note(ms(100), Some(ms(75)));
        assert!((f.ratio(ms(100)) - 0.75).abs() < 1e-9);
        assert_eq!(f.worst(), Duration::from_millis(25));
    }
}
