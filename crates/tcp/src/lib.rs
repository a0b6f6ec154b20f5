//! A TCP endpoint without I/O: RFC 9293 and its companions.
//!
//! [`Connection`] is one connection, from SYN to CLOSED or TIME-WAIT. It knows no ports, addresses, packets or clocks:
//! its owner hands it segments and moments, takes segments from it, and finds connections by address.
//!
//! ```text
//!             receive(now, Segment) ──▶ ┌────────────┐ ──▶ poll_transmit(now) until none
//!  send · recv · shutdown · close   ──▶ │ Connection │ ──▶ poll_event() until none
//!            on_timeout(now)        ──▶ └────────────┘ ──▶ next_timeout()
//! ```
//! | where | what |
//! |---|---|
//! | `connection`, `state`, `config` | the public face |
//! | `open`, `fast_open` | the handshake, and data that goes with it |
//! | `receive/` | RFC 9293 §3.10.7.4, a function for each step; reassembly; the advertised window; when to acknowledge |
//! | `send/` | what may go; what is in flight; loss detection and recovery |
//! | `cc/` | congestion control |
//! | `rtt`, `timer`, `timeout` | times |
//! | `syn_received`, `time_wait` | the states of which there are many, small |
//! | `ecn` | explicit congestion notification, classic and accurate |
//! | `mtu_probe` | the path's MTU, found by trying |
//! | `urgent`, `error`, `info` | the rest |
#![forbid(unsafe_code)]

mod cc;
mod config;
mod connection;
mod ecn;
mod error;
mod event;
mod fast_open;
mod info;
mod mib;
mod mtu_probe;
mod open;
mod queue;
mod receive;
mod rtt;
mod segment;
mod send;
mod seq;
mod state;
mod syn_received;
mod time_wait;
mod timeout;
mod timer;
mod urgent;

pub use cc::{BbrInfo, CongestionKind, ControllerInfo, DctcpInfo};
pub use config::{BufferSize, Config, EcnKind, EcnPolicy, Keepalive};
pub use connection::{Connection, SendFlags};
pub use fast_open::{FastOpenAnswer, FastOpenAsk};
pub use info::TcpInfo;
pub use mib::Mib;
pub use segment::Segment;
pub use state::{Event, IcmpError, State, TcpError};
pub use syn_received::{SynReceived, SynVerdict};
pub use time_wait::{TimeWait, TimeWaitVerdict};
