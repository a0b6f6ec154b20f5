//! `Netns`: one network namespace, and the packet's way through it.
//!
//! Inputs are three: a frame ([`Netns::receive`]), a request (the socket and configuration calls), a timer
//! ([`Netns::on_timeout`]). Outputs are the [`Effect`]s in the [`Turn`] lent for the call.
//!
//! ```text
//! receive ring → dev::receive (poll, budget) → bridge | by EtherType
//!   arp → neigh::arp                       ip::receive → route → ip::deliver → l4::deliver → socket
//!                                                            └→ ip::forward ─┐
//! socket → ip::send → header ───────────────────────────────→ ip::output → neigh → dev::send → Effect::Xmit
//! ```
//! `ip6` has the same stages under the same names. Re-entry (loopback, bridge to its own device, looped multicast, a packet
//! whose next hop or MTU refuses it and whose sender is to be told) goes through the namespace's queues: there is no
//! recursion, and the order is deterministic.
//!
//! The modules stand in this order, and each names only those below it:
//!
//! | | modules |
//! |---|---|
//! | inputs | `run` (frames, backlog, timers), `config`, `sysctl::by_name`, `sock`'s calls |
//! | the way in | `dev::receive`, `dev::bridge` → `neigh::{arp, ndp}::receive`, `ip::receive` → `ip::{forward, deliver}` → `ip::{icmp, igmp}` → `l4` |
//! | sockets | `sock`: what `l4` hands up to, what programs send by |
//! | errors | `icmp::send`, `ip::error` |
//! | the way out | `ip::send` → `ip::output` → `neigh::resolve` → `neigh::station` → `dev::send` |
//! | decisions | `way_out`, `ip::{route, source}`, `dev::forward` |
//! | the namespace | `netns`: one field per subsystem, and where packets end |
//! | state | `dev`, `packet`, `ip::state`, `neigh::state`, `icmp::limit`, `sock::table`, `route`, `sysctl`, `snmp`, `turn`, `error` |
#![forbid(unsafe_code)]
// A packet moves between queues as the box that it is.
#![allow(clippy::vec_box)]

pub mod config;
pub mod dev;
pub mod error;
pub mod icmp;
pub mod ip;
pub mod ip6;
pub mod l4;
mod membership;
pub mod neigh;
mod netns;
pub mod packet;
mod reassembly;
pub mod route;
mod run;
pub mod snmp;
pub mod sock;
pub mod sysctl;
mod timer;
mod turn;
mod way_out;

pub use netns::{Netns, NetnsConfig};
pub use route::{RouteKind, RouteOut, RouteQuery};
pub use timer::TimerKey;
pub use turn::{Effect, Step, Stop, Tap, Turn};
