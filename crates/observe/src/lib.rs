//! What people and their tools see of packets: stories, filters, capture files.
//!
//! - [`Storyteller`] turns [`netspace_base::Event`]s into [`Record`]s: a line of text, or JSON.
//! - [`Filter`] chooses events by an expression such as `tcp and port 80 or drop`.
//! - [`PcapNg`] writes capture files that Wireshark and tshark read.
#![forbid(unsafe_code)]

mod fields;
mod filter;
mod pcapng;
mod story;

pub use filter::{Filter, FilterError};
pub use pcapng::{Direction, Interface, InterfaceId, LinkType, PcapNg};
pub use story::{Layout, Names, Record, RecordDetail, Storyteller};
