//! What programs get as their sockets: AF_UNIX sockets, and how bytes and readiness pass between them and the stack.
//!
//! *Inner* is the program's end (or the door's descriptor of it), *outer* the other end, which only the door has.

mod buffer;
mod datagram;
mod listener;
mod netlink;
mod packet;
mod push;
mod stream;
mod witness;

pub(crate) use buffer::Buffer;
pub(crate) use datagram::Datagram;
pub(crate) use listener::Listener;
pub(crate) use netlink::Netlink;
pub(crate) use packet::Packet;
pub(crate) use stream::{Buffers, Connecting, Fate, Fresh, Hub, Stream};
pub(crate) use witness::Witness;

/// Most bytes moved in one step.
pub(crate) const CHUNK: usize = 256 * 1024;
