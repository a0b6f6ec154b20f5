//! How devices are configured: `RTM_GETNETCONF` (`ip netconf`), for each device, for `all` and for `default`.
//!
//! `struct netconfmsg { u8 family; }`, padded, then `NETCONFA_*`.

use netspace_stack::{Netns, Turn};

use super::super::{NlError, Replies, Request};
use super::{AF_INET, AF_INET6, rtm};

const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_RP_FILTER: u16 = 3;
const NETCONFA_MC_FORWARDING: u16 = 4;
const NETCONFA_PROXY_NEIGH: u16 = 5;
const NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN: u16 = 6;
const NETCONFA_BC_FORWARDING: u16 = 8;

/// The numbers that stand for `all` and `default`.
const ALL: u32 = u32::MAX;
const DEFAULT: u32 = u32::MAX - 1;

/// One number of a configuration: attribute and sysctl, in Linux's order.
type Settings = &'static [(u16, &'static str)];

const V4: Settings = &[
    (NETCONFA_FORWARDING, "forwarding"),
    (NETCONFA_RP_FILTER, "rp_filter"),
    (NETCONFA_MC_FORWARDING, "mc_forwarding"),
    (NETCONFA_BC_FORWARDING, "bc_forwarding"),
    (NETCONFA_PROXY_NEIGH, "proxy_arp"),
    (NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, "ignore_routes_with_linkdown"),
];
const V6: Settings = &[
    (NETCONFA_FORWARDING, "forwarding"),
    (NETCONFA_MC_FORWARDING, "mc_forwarding"),
    (NETCONFA_PROXY_NEIGH, "proxy_ndp"),
    (NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN, "ignore_routes_with_linkdown"),
];

/// All configurations of a family, or of both.
pub(super) fn dump(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let devices = ns.dev.iter().map(|d| (d.id.0, d.name.clone()));
    let whose: Vec<_> = devices.chain([(ALL, "all".to_owned()), (DEFAULT, "default".to_owned())]).collect();
    for (family, settings) in [(AF_INET, V4), (AF_INET6, V6)] {
        if request.family() != 0 && request.family() != family {
            continue;
        }
        for (index, name) in &whose {
            let mut message = out.message(rtm::NEWNETCONF);
            message.raw(&[family]).u32(NETCONFA_IFINDEX, *index);
            let tree = if family == AF_INET { "ipv4" } else { "ipv6" };
            for (attr, setting) in settings {
                let value = ns.sysctl(&format!("{tree}.conf.{name}.{setting}"));
                if let Some(value) = value.and_then(|v| v.parse::<i32>().ok()) {
                    message.u32(*attr, value as u32);
                }
            }
            out.push(message);
        }
    }
    Ok(())
}
