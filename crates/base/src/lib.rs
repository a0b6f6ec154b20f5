//! What every other crate stands on: time, chance, ids, the packet, drop reasons, trace events, the ledger, timers.
//!
//! Nothing here does I/O or asks a clock: the same inputs give the same outputs.
#![forbid(unsafe_code)]

mod drop_reason;
mod event;
mod id;
mod ledger;
mod pkt;
mod rng;
mod time;
mod timer;

pub use bytes::Bytes;
pub use drop_reason::{DropInfo, DropReason, Layer};
pub use event::{Detail, Event, Point, PointInfo, Trace, TraceClock};
pub use id::{DevId, NsId, PktId};
pub use ledger::Ledger;
pub use pkt::{ChecksumState, Gso, GsoKind, HEADROOM, Pkt, PktType};
pub use rng::{Rng, Seed};
pub use time::{Duration, Instant};
pub use timer::{TimerId, TimerWheel};
