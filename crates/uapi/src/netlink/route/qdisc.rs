//! Traffic control: `RTM_GETQDISC` and its kin. Devices here have no queueing discipline (delay, loss and rate are
//! settings of the lab's links), which is what Linux shows as `noqueue`; there are no classes and no filters.
//!
//! `struct tcmsg { u8 family, pad; u16 pad; i32 ifindex; u32 handle, parent, info; }`, then `TCA_*`.

use netspace_stack::{Netns, Turn};

use super::super::{NlError, Replies, Request};
use super::rtm;
use crate::bytes_at::u32_at;

/// `TC_H_ROOT`.
const ROOT: u32 = u32::MAX;
const TCA_KIND: u16 = 1;
const TCA_HW_OFFLOAD: u16 = 12;

/// The queueing disciplines of all devices, or of one.
pub(super) fn dump(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let only = u32_at(request.body(), 4).filter(|&index| index != 0);
    for device in ns.dev.iter().filter(|d| only.is_none_or(|index| d.id.0 == index)) {
        let mut message = out.message(rtm::NEWQDISC);
        // handle, parent, references
        let header = [0, device.id.0, 0, ROOT, 2].map(u32::to_ne_bytes).concat();
        message.raw(&header).text(TCA_KIND, "noqueue").u8(TCA_HW_OFFLOAD, 0);
        out.push(message);
    }
    Ok(())
}

/// Nothing: of a kind that the namespace can have none of.
pub(super) fn none(
    _ns: &mut Netns,
    _t: &mut Turn,
    _request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    Ok(())
}
