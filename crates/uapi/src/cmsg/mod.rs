//! Control messages: what sendmsg(2) and recvmsg(2) carry beside the data.
//!
//! ```text
//! struct cmsghdr { size_t cmsg_len; int cmsg_level; int cmsg_type; }  then data, then padding to 8 bytes
//! ```

mod receive;
mod send;

pub(crate) use receive::{Buffer, put_moment};
pub use receive::{Wanted, emit};
pub use send::parse;

/// `sizeof(struct cmsghdr)`: also what `CMSG_LEN(0)` gives.
const HEADER_LEN: usize = 16;

/// Rounds up to where the next header may start.
const fn align(len: usize) -> usize {
    len.next_multiple_of(8)
}
