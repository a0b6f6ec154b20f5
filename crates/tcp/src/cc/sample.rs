//! What the sending half tells a controller.

use netspace_base::{Duration, Instant};

/// Where loss recovery stands; the numbers are Linux's `tcpi_ca_state`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Phase {
    /// Nothing unusual.
    #[default]
    Open = 0,
    /// Something arrived out of order.
    Disorder = 1,
    /// The window is being reduced without loss to repair.
    Cwr = 2,
    /// Lost segments are being sent again.
    Recovery = 3,
    /// The retransmission timer fired.
    Loss = 4,
}

/// How congestion was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Something was lost.
    Loss,
    /// The network marked packets (ECN).
    Marks,
}

/// What an ACK says of marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// Bytes newly delivered, and those of them that were marked.
    pub(crate) delivered: u32,
    pub(crate) marked: u32,
    /// SND.UNA and SND.NXT, which tell the rounds.
    pub(crate) una: u64,
    pub(crate) nxt: u64,
}

/// A delivery-rate sample (draft-cheng-iccrg-delivery-rate-estimation-02 §3.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RateSample {
    /// Bytes delivered over `interval`; the interval is zero if there is no sample.
    pub(crate) delivered: u64,
    pub(crate) interval: Duration,
    /// Bytes that were delivered when the segment was sent.
    pub(crate) prior_delivered: u64,
    /// Bytes that were in flight when it was sent, itself included; and bytes lost from then to now.
    pub(crate) in_flight: u32,
    pub(crate) lost: u32,
    /// Packets marked from then to now.
    pub(crate) marked: u32,
    /// The program, not the network, limited it.
    pub(crate) app_limited: bool,
    /// It is of a segment that was sent more than once.
    pub(crate) resent: bool,
}

/// A range that was just deemed lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lost {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Bytes that were in flight when it was sent, itself included; and bytes lost since, itself included.
    pub(crate) in_flight: u32,
    pub(crate) since: u32,
    /// The program, not the network, limited what was in flight.
    pub(crate) app_limited: bool,
}

/// How the connection stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// When pacing lets the next segment go: now or later.
    pub(crate) send_at: Instant,
    /// Data bytes of a segment.
    pub(crate) mss: u32,
    /// Zero before the first measurement.
    pub(crate) srtt: Duration,
    /// Bytes in flight.
    pub(crate) in_flight: u32,
    /// Bytes delivered, and deemed lost, in all.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// The program, not the network, limits what is in flight.
    pub(crate) app_limited: bool,
    pub(crate) phase: Phase,
}

/// What an ACK tells the algorithm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acked {
    pub(crate) at: Moment,
    /// Bytes newly delivered, and newly deemed lost.
    pub(crate) bytes: u32,
    pub(crate) lost: u32,
    /// Packets newly told to have arrived with a congestion mark.
    pub(crate) marked: u32,
    /// Bytes that were in flight before it.
    pub(crate) prior_in_flight: u32,
    /// The round-trip time that this ACK showed, if it did; and whether the peer may have held it back.
    pub(crate) rtt: Option<Duration>,
    pub(crate) maybe_delayed: bool,
    /// SND.UNA and SND.NXT, which tell the rounds.
    pub(crate) una: u64,
    pub(crate) nxt: u64,
    /// The congestion window, not the program or the peer, limited what was in flight in this round.
    pub(crate) cwnd_limited: bool,
    pub(crate) rate: RateSample,
}

/// `bytes` in `interval`, per second; 0 in no time.
pub(crate) fn per_second(bytes: u64, interval: Duration) -> u64 {
    let ns = interval.as_nanos();
    if ns == 0 {
        return 0;
    }
    u64::try_from(u128::from(bytes) * 1_000_000_000 / ns).unwrap_or(u64::MAX)
}

/// The bytes that `rate` bytes per second are in `time`.
pub(super) fn bytes_in(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}
