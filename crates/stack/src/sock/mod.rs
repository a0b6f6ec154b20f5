//! Sockets: the table, queues, options and errors behind the programs' descriptors.

mod types;

pub use types::*;
