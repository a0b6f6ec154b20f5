//! UDP's part of a socket.

use bytes::Bytes;
use smallvec::SmallVec;

use super::Coverage;
use crate::sock::flow::Flow;

/// UDP's own state of a socket.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    /// `UDP_CORK`.
    pub(crate) cork: bool,
    /// `UDP_SEGMENT`.
    pub(crate) segment: u16,
    /// `UDP_GRO`.
    pub(crate) gro: bool,
    /// `UDP_NO_CHECK6_TX`.
    pub(crate) no_check6_tx: bool,
    /// `UDP_NO_CHECK6_RX`.
    pub(crate) no_check6_rx: bool,
    /// `UDPLITE_SEND_CSCOV`, `UDPLITE_RECV_CSCOV`.
    pub(crate) coverage: Coverage,
    /// What `UDP_CORK` or `MSG_MORE` holds back.
    pub(super) pending: Option<Box<Pending>>,
}

/// What `UDP_CORK` or `MSG_MORE` holds back.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) flow: Flow,
    pub(super) data: SmallVec<[Bytes; 4]>,
    pub(super) len: usize,
    pub(super) gso_size: u16,
}
