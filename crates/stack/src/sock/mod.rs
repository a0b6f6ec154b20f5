//! Sockets: the table, queues, options and errors behind the programs' descriptors.
//!
//! ```text
//! program ─ api ─┬─ udp, ping, raw ─ out (route, path MTU) ─┬─ net → ip::send, ip6::send
//!                └─ tcp (Connection, listener, TIME-WAIT) ──┘
//! l4 ─ table (who takes it?) ─ bpf (filter) ─ queue ─ wake → program
//! ```
//! | files | what |
//! |---|---|
//! | `types` | the words in which programs and sockets talk |
//! | `api`, `options`, `kept`, `show` | the calls, the options, the lists for `ss` and `/proc/net` |
//! | `socket`, `shared`, `queue`, `table`, `names`, `bind` | what all sockets have; memory; who has which name |
//! | `udp`, `ping`, `raw`, `tcp` | the protocols |
//! | `out`, `flow`, `net`, `error`, `multicast`, `reuseport`, `bpf`, `sysctl` | what the protocols share |
//! | `fast_open_key` | the keys of TCP Fast Open cookies, for sysctl, option and protocol |
//!
//! Inputs: calls, packets and ICMP errors from `l4`, timers. Outputs: packets to the network layer, `Effect::Wake`.
//! Nothing here knows devices, neighbours or links.

mod api;
pub(crate) mod bind;
pub mod bpf;
pub(crate) mod error;
mod fast_open_key;
mod flow;
mod kept;
mod multicast;
mod names;
pub(crate) mod net;
mod options;
mod out;
pub(crate) mod ping;
mod queue;
pub(crate) mod raw;
mod reuseport;
mod shared;
mod show;
mod socket;
mod sysctl;
mod table;
pub(crate) mod tcp;
mod types;
pub(crate) mod udp;

pub use fast_open_key::FastOpenKeys;
pub use netspace_tcp::{BbrInfo, ControllerInfo, DctcpInfo, TcpInfo};
pub use show::{SockInfo, SockStat, SockTimerInfo};
pub use socket::Owner;
pub use sysctl::{ReservedPorts, SockSysctls};

pub use table::{MAX_SOCKETS, Sockets};
pub use types::*;

pub use crate::membership::{Filter, FilterMode, SourceUse};

/// A timer of the socket layer, kept in the namespace's wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SockTimer {
    /// The connection's next timeout.
    Tcp(SockId),
    /// A connection of a listener with `TCP_DEFER_ACCEPT` has waited long enough for data.
    DeferAccept(SockId),
    /// The end of a connection's TIME-WAIT: its number in the table.
    TimeWait(u32),
}
