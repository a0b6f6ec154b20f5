//! Neighbours of IPv4: `arp`.

use std::fmt::Write as _;

use netspace_base::Instant;
use netspace_stack::Netns;
use netspace_stack::neigh::NeighState;

/// `ATF_COM`: the address is known.
const COMPLETE: u32 = 0x02;
/// `ATF_PERM`.
const PERMANENT: u32 = 0x04;

pub(super) fn arp(ns: &Netns, _now: Instant) -> String {
    let mut out =
        "IP address       HW type     Flags       HW address            Mask     Device\n".to_owned();
    for neighbour in ns.neigh.iter().filter(|n| n.addr.is_ipv4()) {
        let Some(device) = ns.dev.get(neighbour.dev) else { continue };
        let flags = match neighbour.state {
            NeighState::Permanent => COMPLETE | PERMANENT,
            state if state.is_valid() => COMPLETE,
            _ => 0,
        };
        let mac = if flags == 0 { [0; 6] } else { neighbour.mac.0 };
        let _ = writeln!(
            out,
            "{:<16} 0x{:<10x}0x{flags:<10x}{:<17}     *        {}",
            neighbour.addr,
            1,
            super::sysfs::mac(mac),
            device.name,
        );
    }
    out
}
