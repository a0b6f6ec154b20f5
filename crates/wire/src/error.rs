//! Why bytes are not a packet that the stack accepts.

/// Why parsing failed. Offsets count from the start of the header that was parsed, so that they can be put into the
/// pointer of an ICMP Parameter Problem.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum WireError {
    /// There are fewer bytes than the header needs.
    #[error("shorter than its header")]
    Truncated,
    /// The version field names another version.
    #[error("wrong version")]
    Version,
    /// A length field is impossible (IHL, data offset, UDP length, total length less than the header).
    #[error("impossible length field")]
    Length,
    /// A checksum is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// An option is malformed; where it starts.
    #[error("malformed option at offset {0}")]
    Option(u16),
    /// A field has a value that the stack does not take; where it is.
    #[error("unacceptable value at offset {0}")]
    Field(u16),
    /// A type that is not of this protocol.
    #[error("type {0} is not one of this protocol")]
    Type(u8),
}
