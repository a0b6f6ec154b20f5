//! IPv4 (RFC 791, RFC 1122, RFC 1812): the packet's way from the link to the transport and back.
//!
//! ```text
//! receive (header, checksum) → route_in ─┬ local, broadcast, group → deliver → reassemble → ICMP, IGMP, l4
//!                                        └ other host → forward (TTL, MTU, redirect) ─┐
//! send (from sockets) → route_out → header ─────────────────────────────────────────→ output → fragment → neigh
//! ```
//! [`state`] is what all of this works on.

pub mod addr;
pub(crate) mod deliver;
pub(crate) mod error;
pub(crate) mod forward;
pub(crate) mod fragment;
pub(crate) mod icmp;
pub(crate) mod igmp;
pub(crate) mod output;
pub(crate) mod reassemble;
pub(crate) mod receive;
pub(crate) mod route;
pub(crate) mod send;
pub(crate) mod source;
pub mod state;
