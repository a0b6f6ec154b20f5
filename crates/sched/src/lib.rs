//! What a link does to the frames on it: delay, jitter, loss, duplication, reordering, damage, a rate with a queue.
//!
//! [`Impairment`] holds the settings in the field's own words (those of `tc qdisc … netem`), [`LinkDirection`] carries
//! frames one way by them. Time and chance come from the caller: the same seed loses the same frames.
#![forbid(unsafe_code)]

mod codel;
mod discipline;
mod fq_codel;
mod impairment;
mod link;
mod loss;
mod managed;
pub mod units;

pub use discipline::{CodelSettings, Discipline, FqCodelSettings};
pub use impairment::{Impairment, SettingError};
pub use link::{LinkDirection, LinkStats, Verdict};
pub use loss::{GilbertElliott, Loss};
