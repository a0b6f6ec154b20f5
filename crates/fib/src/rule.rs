//! Policy rules: which tables are asked, in which order.

use netspace_base::DevId;

use crate::Net;

/// What a route is looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query<A> {
    /// The destination.
    pub dst: A,
    /// The source, if known.
    pub src: Option<A>,
    /// The device the packet came by; [`DevId::NONE`] if it was made here.
    pub iif: DevId,
    /// The device it must leave by; [`DevId::NONE`]: any.
    pub oif: DevId,
    /// The firewall mark.
    pub mark: u32,
    /// The type of service.
    pub tos: u8,
    /// The flow's hash, which chooses among several next hops.
    pub hash: u32,
}

impl<A> Query<A> {
    /// A query by destination alone.
    pub const fn to(dst: A) -> Self {
        Self { dst, src: None, iif: DevId::NONE, oif: DevId::NONE, mark: 0, tos: 0, hash: 0 }
    }
}

/// A policy rule: packets that match all its conditions are looked up in its table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule<N: Net> {
    /// Lower is asked first.
    pub priority: u32,
    /// The table.
    pub table: u32,
    /// Source prefix.
    pub from: Option<N>,
    /// Destination prefix.
    pub to: Option<N>,
    /// Mark and mask.
    pub mark: Option<(u32, u32)>,
    /// The device the packet came by.
    pub iif: Option<DevId>,
    /// The device a socket is bound to.
    pub oif: Option<DevId>,
    /// Type of service.
    pub tos: Option<u8>,
}

impl<N: Net> Rule<N> {
    /// A rule without conditions.
    pub const fn for_all(priority: u32, table: u32) -> Self {
        Self { priority, table, from: None, to: None, mark: None, iif: None, oif: None, tos: None }
    }

    /// Whether a query meets all conditions.
    pub fn matches(&self, q: &Query<N::Addr>) -> bool {
        self.from.is_none_or(|net| net.bits() == 0 || q.src.is_some_and(|src| net.covers(src)))
            && self.to.is_none_or(|net| net.covers(q.dst))
            && self.mark.is_none_or(|(mark, mask)| q.mark & mask == mark & mask)
            && self.iif.is_none_or(|dev| q.iif == dev)
            && self.oif.is_none_or(|dev| q.oif == dev)
            && self.tos.is_none_or(|tos| q.tos == tos)
    }
}
