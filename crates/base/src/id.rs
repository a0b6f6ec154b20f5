//! Small numbers that name things.

/// A network namespace (a host, router or switch of a lab), unique within a lab.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NsId(pub u32);

/// A device within one namespace: Linux's `ifindex`, so it starts at 1 (loopback). 0 means "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DevId(pub u32);

impl DevId {
    /// No device: a packet that was made here and has not been routed yet.
    pub const NONE: Self = Self(0);
}

/// A packet, unique within a lab. Fragments, GSO segments and clones keep the id of the packet they were cut from,
/// so that a story can follow them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PktId(pub u64);
