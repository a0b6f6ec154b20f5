//! `Netns`: one network namespace, and the packet's way through it.
//!
//! Inputs are three: a frame ([`Netns::receive`]), a request (the socket and configuration calls), a timer
//! ([`Netns::on_timeout`]). Outputs are the [`Effect`]s in the [`Turn`] lent for the call.
#![forbid(unsafe_code)]

mod netns;
pub mod sock;
mod turn;

pub use netns::{Netns, NetnsConfig};
pub use turn::{Effect, Step, Stop, Turn};
