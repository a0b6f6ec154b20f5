//! How long sending was busy, and what held it back (`tcpi_busy_time`, `tcpi_rwnd_limited`, `tcpi_sndbuf_limited`).

use netspace_base::{Duration, Instant};

/// What sending is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Activity {
    /// Nothing is there to send, nor in flight.
    #[default]
    Idle,
    /// Data is in flight or waits.
    Busy,
    /// The peer's window is full.
    WindowLimited,
    /// The send buffer is full of what is in flight: the program could not write enough.
    BufferLimited,
}

/// A stopwatch for each activity but idleness. Nanoseconds: half as large as durations, in every connection.
#[derive(Debug, Default)]
pub(crate) struct Chrono {
    activity: Activity,
    since: Instant,
    busy_ns: u64,
    window_limited_ns: u64,
    buffer_limited_ns: u64,
}

/// The times up to now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    /// Busy in all, limited or not.
    pub(crate) busy: Duration,
    pub(crate) window_limited: Duration,
    pub(crate) buffer_limited: Duration,
}

impl Chrono {
    /// From `now` on, sending is at `activity`.
    pub(crate) fn switch(&mut self, now: Instant, activity: Activity) {
        if activity == self.activity {
            return;
        }
        let elapsed_ns = self.elapsed_ns(now);
        match self.activity {
            Activity::Idle => {}
            Activity::Busy => self.busy_ns += elapsed_ns,
            Activity::WindowLimited => self.window_limited_ns += elapsed_ns,
            Activity::BufferLimited => self.buffer_limited_ns += elapsed_ns,
        }
        self.activity = activity;
        self.since = now;
    }

    /// The times, the present activity's included.
    pub(crate) fn times(&self, now: Instant) -> Times {
        let time = |ns: u64, activity| {
            Duration::from_nanos(ns + if self.activity == activity { self.elapsed_ns(now) } else { 0 })
        };
        let window_limited = time(self.window_limited_ns, Activity::WindowLimited);
        let buffer_limited = time(self.buffer_limited_ns, Activity::BufferLimited);
        let busy = time(self.busy_ns, Activity::Busy) + window_limited + buffer_limited;
        Times { busy, window_limited, buffer_limited }
    }

    fn elapsed_ns(&self, now: Instant) -> u64 {
        now.saturating_since(self.since).as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_time_is_busy_time_too() {
        let at = Instant::from_millis;
        let mut chrono = Chrono::default();
        chrono.switch(at(100), Activity::Busy);
        chrono.switch(at(110), Activity::WindowLimited);
        chrono.switch(at(140), Activity::BufferLimited);
        chrono.switch(at(145), Activity::Idle);
        chrono.switch(at(900), Activity::Busy);
        let ms = Duration::from_millis;
        let expected = Times { busy: ms(50), window_limited: ms(30), buffer_limited: ms(5) };
        assert_eq!(chrono.times(at(905)), expected);
    }
}
