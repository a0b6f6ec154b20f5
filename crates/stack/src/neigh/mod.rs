//! Neighbours: which link-layer address an IP address on the link has. One state machine (RFC 4861 §7.3, as Linux runs it)
//! for ARP and for neighbour discovery.
//!
//! ```text
//!              resolve                answer, confirmation
//!  (none) ───────────→ INCOMPLETE ───────────────────────→ REACHABLE ←──────────┐
//!                         │ 3 probes unanswered                │ 15–45 s         │ confirmation
//!                         ↓                                    ↓        used     │
//!                       FAILED ←── 3 probes ── PROBE ←─ 5 s ─ DELAY ←──── STALE ─┘
//! ```

//! [`state`] is the table, `resolve` the machine; `arp` and `ndp` are the messages, `station` what they and
//! everything else leave by.

pub(crate) mod arp;
pub(crate) mod ndp;
pub(crate) mod resolve;
pub mod state;
pub(crate) mod station;

pub use state::{Neigh, NeighId, NeighState, Neighbour};
pub(crate) use state::{News, To};
