//! IPv6 (RFC 8200): the packet's way from the link to the transport and back, with the names that [`crate::ip`] uses.
//!
//! ```text
//! receive (header) → route_in ─┬ local, group → deliver (extension headers) → reassemble → ICMPv6, l4
//!                              └ other host → forward (hop limit, MTU, redirect) ─┐
//! send (from sockets) → route_out → header ─────────────────────────────────────→ output → fragment → neigh
//! ```
//! Configuration by itself: `dad` (RFC 4862 §5.4), `discover` and [`ra`] (RFC 4861 §6), `slaac` (RFC 4862 §5.5),
//! `mld`. [`state`] is what all of this works on.

pub mod addr;
pub(crate) mod dad;
pub(crate) mod deliver;
pub(crate) mod discover;
pub(crate) mod error;
pub(crate) mod forward;
pub(crate) mod fragment;
pub(crate) mod icmp;
mod identifier;
pub(crate) mod message;
pub(crate) mod mld;
pub(crate) mod output;
mod own_route;
pub mod ra;
pub(crate) mod reassemble;
pub(crate) mod receive;
pub(crate) mod redirect;
pub(crate) mod route;
pub(crate) mod send;
pub(crate) mod slaac;
pub(crate) mod source;
pub mod state;
pub(crate) mod switch;
