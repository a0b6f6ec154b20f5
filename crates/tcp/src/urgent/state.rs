//! What is kept of urgent data.

/// An urgent byte of the peer.
#[derive(Debug)]
pub(crate) struct Urgent {
    /// Its number.
    pub(super) at: u64,
    /// The byte, once it has come; none again when it was read.
    pub(super) byte: Option<u8>,
    pub(super) read: bool,
}
