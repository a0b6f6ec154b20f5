//! Sockets: the table, queues, options and errors behind the programs' descriptors.

mod api;
mod types;

pub use types::*;

/// A timer of the socket layer, kept in the namespace's wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SockTimer {
    /// The connection's next timeout.
    Tcp(SockId),
    /// The end of a connection's TIME-WAIT: its number in the table.
    TimeWait(u32),
}
