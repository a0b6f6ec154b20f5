//! `Netns`: one network namespace, and the packet's way through it.
//!
//! Inputs are three: a frame ([`Netns::receive`]), a request (the socket and configuration calls), a timer
//! ([`Netns::on_timeout`]). Outputs are the [`Effect`]s in the [`Turn`] lent for the call.
//!
//! ```text
//! receive ring → dev::receive (poll, budget) → bridge | by EtherType
//!   arp → neigh::arp                       ip::receive → route → ip::deliver → l4::deliver4 → socket
//!                                                            └→ ip::forward ─┐
//! socket → ip::send → header ───────────────────────────────→ ip::output → neigh → dev::send → Effect::Xmit
//! ```
//! `ip6` has the same stages under the same names. Re-entry (loopback, bridge to its own device, looped multicast) goes
//! through the namespace's backlog: there is no recursion, and the order is deterministic.
#![forbid(unsafe_code)]
// A packet moves between queues as the box that it is.
#![allow(clippy::vec_box)]

pub mod config;
pub mod dev;
pub mod icmp;
pub mod ip;
pub mod ip6;
pub mod l4;
mod membership;
pub mod neigh;
mod netns;
mod reassembly;
pub mod route;
pub mod snmp;
pub mod sock;
pub mod sysctl;
mod timer;
mod turn;

pub use netns::{Netns, NetnsConfig};
pub use route::{RouteKind, RouteOut, RouteQuery};
pub use timer::TimerKey;
pub use turn::{Effect, Step, Stop, Tap, Turn};
