//! Where a datagram goes, and how.

use std::net::{IpAddr, SocketAddr};

use crate::RouteOut;

/// Everything that is decided about a datagram before it is built.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) src: IpAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) route: RouteOut,
    pub(crate) ttl: Option<u8>,
    pub(crate) tos: u8,
    pub(crate) mark: u32,
    pub(crate) priority: u32,
    /// `IPV6_DONTFRAG` of this datagram.
    pub(crate) dont_fragment: bool,
    pub(crate) dont_route: bool,
    /// `MSG_CONFIRM`.
    pub(crate) confirm: bool,
}
