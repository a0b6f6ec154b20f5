//! `NETLINK_ROUTE`: links, addresses, routes, neighbours, rules (rtnetlink(7)).
//!
//! To add a kind of message, add a row to [`TABLE`] and a function to its file.

pub(crate) mod addr;
pub(crate) mod link;
mod neigh;
mod netconf;
mod qdisc;
#[allow(clippy::module_inception, reason = "the kernel's own name for it: RTM_*ROUTE")]
mod route;
mod route_set;
mod rule;

use super::Row;
pub(super) use link::skip_statistics;
pub(crate) use link::{hardware_type, oper_state};

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;
const AF_BRIDGE: u8 = libc::AF_BRIDGE as u8;

/// Types of messages (`RTM_*`).
pub mod rtm {
    /// A link.
    pub const NEWLINK: u16 = 16;
    /// Removes a link.
    pub const DELLINK: u16 = 17;
    /// Asks for links.
    pub const GETLINK: u16 = 18;
    /// Changes a link.
    pub const SETLINK: u16 = 19;
    /// An address.
    pub const NEWADDR: u16 = 20;
    /// Removes an address.
    pub const DELADDR: u16 = 21;
    /// Asks for addresses.
    pub const GETADDR: u16 = 22;
    /// A route.
    pub const NEWROUTE: u16 = 24;
    /// Removes a route.
    pub const DELROUTE: u16 = 25;
    /// Asks for routes, or for the way to a destination.
    pub const GETROUTE: u16 = 26;
    /// A neighbour.
    pub const NEWNEIGH: u16 = 28;
    /// Removes a neighbour.
    pub const DELNEIGH: u16 = 29;
    /// Asks for neighbours.
    pub const GETNEIGH: u16 = 30;
    /// A rule.
    pub const NEWRULE: u16 = 32;
    /// Removes a rule.
    pub const DELRULE: u16 = 33;
    /// Asks for rules.
    pub const GETRULE: u16 = 34;
    /// A queueing discipline.
    pub const NEWQDISC: u16 = 36;
    /// Asks for queueing disciplines.
    pub const GETQDISC: u16 = 38;
    /// Asks for traffic classes.
    pub const GETTCLASS: u16 = 42;
    /// Asks for traffic filters.
    pub const GETTFILTER: u16 = 46;
    /// A device's configuration.
    pub const NEWNETCONF: u16 = 80;
    /// Asks for configurations.
    pub const GETNETCONF: u16 = 82;
    /// The answer to `GETNSID`.
    pub const NEWNSID: u16 = 88;
    /// Asks for the number of another namespace.
    pub const GETNSID: u16 = 90;
    /// Asks for next-hop objects.
    pub const GETNEXTHOP: u16 = 106;
}

macro_rules! rows {
    ($($ty:ident $family:expr, $run:expr, $dump:expr;)*) => {
        &[$(Row { ty: rtm::$ty, name: concat!("RTM_", stringify!($ty)), family: $family, run: $run, dump: $dump },)*]
    };
}

/// What is answered, by type and family (0: every family without a row of its own), without and with `NLM_F_DUMP`.
pub static TABLE: &[Row] = rows! {
    GETLINK 0, Some(link::get), Some(link::dump);
    GETLINK AF_BRIDGE, None, Some(link::dump_bridge_ports);
    NEWLINK 0, Some(link::change), None;
    SETLINK 0, Some(link::change), None;
    DELLINK 0, Some(link::delete), None;
    GETADDR 0, None, Some(addr::dump);
    NEWADDR 0, Some(addr::add), None;
    DELADDR 0, Some(addr::delete), None;
    GETROUTE 0, None, Some(route::dump);
    GETROUTE AF_INET, Some(route::get), Some(route::dump);
    GETROUTE AF_INET6, Some(route::get), Some(route::dump);
    NEWROUTE AF_INET, Some(route_set::add), None;
    NEWROUTE AF_INET6, Some(route_set::add), None;
    DELROUTE AF_INET, Some(route_set::delete), None;
    DELROUTE AF_INET6, Some(route_set::delete), None;
    GETNEIGH 0, Some(neigh::get), Some(neigh::dump);
    GETNEIGH AF_BRIDGE, None, Some(neigh::dump_fdb);
    NEWNEIGH AF_INET, Some(neigh::add), None;
    NEWNEIGH AF_INET6, Some(neigh::add), None;
    NEWNEIGH AF_BRIDGE, Some(neigh::change_fdb), None;
    DELNEIGH AF_INET, Some(neigh::delete), None;
    DELNEIGH AF_INET6, Some(neigh::delete), None;
    DELNEIGH AF_BRIDGE, Some(neigh::change_fdb), None;
    GETRULE 0, None, Some(rule::dump);
    NEWRULE AF_INET, Some(rule::add), None;
    NEWRULE AF_INET6, Some(rule::add), None;
    DELRULE AF_INET, Some(rule::delete), None;
    DELRULE AF_INET6, Some(rule::delete), None;
    GETQDISC 0, None, Some(qdisc::dump);
    GETTCLASS 0, None, Some(qdisc::none);
    GETTFILTER 0, None, Some(qdisc::none);
    GETNETCONF 0, None, Some(netconf::dump);
    GETNEXTHOP 0, None, Some(qdisc::none);
    GETNSID 0, Some(link::nsid), None;
};

/// Whether a type is a question: only those are dumped.
pub(super) const fn is_get(ty: u16) -> bool {
    ty & 3 == 2
}
