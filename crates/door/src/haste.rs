//! How the supervisor waits: asleep, or, while programs answer each other at once, awake.
//!
//! A task switch to a sleeping supervisor takes longer than what it then does for a small request. So when the last waits
//! were short ones it looks again and again for a moment before it sleeps. A lab whose programs wait for each other
//! longer than that, or for the clock, costs no more than before.

use std::io;
use std::time::{Duration, Instant};

use crate::sys::epoll::{Epoll, Ready};

/// How long it stays awake at most.
const AWAKE: Duration = Duration::from_micros(40);
/// What takes longer between two waits is no small request: programs that move much need the processors themselves.
const SMALL: Duration = Duration::from_micros(25);
/// How many short waits in a row make it stay awake.
const ENOUGH: u32 = 8;

/// What is known of the last waits.
#[derive(Debug)]
pub(crate) struct Haste {
    /// Another processor is there for the programs meanwhile.
    is_possible: bool,
    /// Short waits in a row, up to [`ENOUGH`].
    short: u32,
    /// When the last wait ended.
    ended: Option<Instant>,
}

impl Default for Haste {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { is_possible: processors > 1, short: 0, ended: None }
    }
}

impl Haste {
    /// Waits for something to be ready, up to `timeout` (none: for ever).
    pub(crate) fn wait(
        &mut self,
        epoll: &Epoll,
        ready: &mut Vec<Ready>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if !self.is_possible || timeout == Some(Duration::ZERO) {
            return epoll.wait(ready, timeout);
        }
        let started = Instant::now();
        self.note_work(self.ended.map_or(Duration::MAX, |ended| started - ended));
        let awake = self.awake().min(timeout.unwrap_or(Duration::MAX));
        loop {
            epoll.wait(ready, Some(Duration::ZERO))?;
            if !ready.is_empty() {
                break;
            }
            let waited = started.elapsed();
            if waited >= awake {
                epoll.wait(ready, timeout.map(|timeout| timeout.saturating_sub(waited)))?;
                break;
            }
            // Not sched_yield(2): on a busy machine it gives a whole slice of time away.
            std::hint::spin_loop();
        }
        let ended = Instant::now();
        self.note_wait(ended - started);
        self.ended = Some(ended);
        Ok(())
    }

    /// How long the next wait looks before it sleeps.
    fn awake(&self) -> Duration {
        if self.short == ENOUGH { AWAKE } else { Duration::ZERO }
    }

    fn note_work(&mut self, worked: Duration) {
        if worked > SMALL {
            self.short = 0;
        }
    }

    fn note_wait(&mut self, waited: Duration) {
        self.short = if waited < AWAKE { (self.short + 1).min(ENOUGH) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(10);

    #[test]
    fn it_stays_awake_only_while_small_requests_come_fast() {
        let hasty = || {
            let mut haste = Haste::default();
            (0..ENOUGH).for_each(|_| haste.note_wait(SHORT));
            haste.note_work(SHORT);
            haste
        };
        assert_eq!(Haste::default().awake(), Duration::ZERO);
        assert_eq!(hasty().awake(), AWAKE);
        let mut haste = hasty();
        haste.note_wait(AWAKE);
        assert_eq!(haste.awake(), Duration::ZERO, "it has waited long");
        let mut haste = hasty();
        haste.note_work(AWAKE);
        assert_eq!(haste.awake(), Duration::ZERO, "it has done much");
    }
}
