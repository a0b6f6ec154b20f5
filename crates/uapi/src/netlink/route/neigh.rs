//! Neighbours: `RTM_GETNEIGH`, and with family `AF_BRIDGE` a bridge's forwarding database.
//!
//! `struct ndmsg { u8 family, pad1; u16 pad2; i32 ifindex; u16 state; u8 flags, type; }`, then `NDA_*`.

use std::net::IpAddr;

use netspace_base::{DevId, Instant};
use netspace_stack::neigh::Neighbour;
use netspace_stack::{Netns, Turn};

use super::super::read::{Attrs, Kind, Policy};
use super::super::write::Message;
use super::super::{NlError, Replies, Request, flag};
use super::{AF_BRIDGE, AF_INET, AF_INET6, rtm};
use crate::bytes_at::{u16_at, u32_at};

/// `sizeof(struct ndmsg)`.
const HEADER_LEN: usize = 12;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_CACHEINFO: u16 = 3;
const NDA_PROBES: u16 = 4;
const NDA_IFINDEX: u16 = 8;
const NDA_MASTER: u16 = 9;

const POLICY: Policy = &[
    (NDA_DST, Kind::Ip),
    (NDA_LLADDR, Kind::Any),
    (NDA_PROBES, Kind::U32),
    (NDA_IFINDEX, Kind::U32),
    (NDA_MASTER, Kind::U32),
];

/// `NTF_ROUTER`: the neighbour said that it is one.
const ROUTER: u8 = 0x80;
/// `NTF_SELF`, `NTF_MASTER`: whose database an entry is in.
const IN_BRIDGE: u8 = 0x04;
const RTN_UNICAST: u8 = 1;

fn header(family: u8, dev: DevId, state: u16, flags: u8) -> Vec<u8> {
    let mut header = vec![family, 0, 0, 0];
    header.extend(dev.0.to_ne_bytes());
    header.extend(state.to_ne_bytes());
    header.extend([flags, RTN_UNICAST]);
    header
}

/// `struct nda_cacheinfo`: hundredths of a second since the entry was confirmed, used, changed; how many hold it.
fn cache_info(now: Instant, confirmed: Instant, used: Instant, updated: Instant) -> Vec<u8> {
    let ago = |at: Instant| u32::try_from(now.saturating_since(at).as_millis() / 10).unwrap_or(u32::MAX);
    [ago(confirmed), ago(used), ago(updated), 0].iter().flat_map(|n| n.to_ne_bytes()).collect()
}

fn write(message: &mut Message, neighbour: &Neighbour, now: Instant) {
    let family = if neighbour.addr.is_ipv4() { AF_INET } else { AF_INET6 };
    let flags = if neighbour.is_router { ROUTER } else { 0 };
    message.raw(&header(family, neighbour.dev, neighbour.state as u16, flags));
    message.ip(NDA_DST, neighbour.addr);
    if neighbour.state.is_valid() {
        message.attr(NDA_LLADDR, &neighbour.mac.0);
    }
    message.u32(NDA_PROBES, neighbour.probes);
    let times = cache_info(now, neighbour.confirmed, neighbour.used, neighbour.updated);
    message.attr(NDA_CACHEINFO, &times);
}

/// All neighbours, or those of one family, device or bridge.
pub(super) fn dump(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let family = request.family();
    let (only, master) = (attrs.u32(NDA_IFINDEX), attrs.u32(NDA_MASTER));
    if only.is_some() || master.is_some() {
        out.set_filtered();
    }
    let wanted = |n: &&Neighbour| {
        (family == 0 || (family == AF_INET) == n.addr.is_ipv4())
            && only.is_none_or(|dev| n.dev.0 == dev)
            && master.is_none_or(|m| ns.dev.get(n.dev).is_some_and(|d| d.master.is_some_and(|d| d.0 == m)))
    };
    for neighbour in ns.neigh.iter().filter(wanted) {
        let mut message = out.message(rtm::NEWNEIGH);
        write(&mut message, neighbour, t.now);
        out.push(message);
    }
    Ok(())
}

/// One neighbour, by device and address.
pub(super) fn get(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let index = u32_at(request.body(), 4)
        .ok_or(NlError::new(libc::EINVAL, "Invalid header for neighbor get request"))?;
    let addr: IpAddr =
        attrs.ip(NDA_DST).ok_or(NlError::new(libc::EINVAL, "Network address not specified"))?;
    if index == 0 {
        return Err(NlError::new(libc::EINVAL, "No device specified"));
    }
    ns.dev.get(DevId(index)).ok_or(NlError::new(libc::ENODEV, "Unknown device ifindex"))?;
    let neighbour = ns.neigh.get(DevId(index), addr);
    let neighbour = neighbour.ok_or(NlError::new(libc::ENOENT, "Neighbour entry not found"))?;
    let mut message = out.message(rtm::NEWNEIGH);
    write(&mut message, neighbour, t.now);
    out.push(message);
    Ok(())
}

/// The forwarding databases of all bridges (`bridge fdb`).
pub(super) fn dump_fdb(
    ns: &mut Netns,
    t: &mut Turn,
    _request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    const NUD_REACHABLE: u16 = 0x02;
    const NUD_PERMANENT: u16 = 0x80;
    for device in ns.dev.iter() {
        let Some(bridge) = device.bridge() else { continue };
        for (mac, entry) in bridge.fdb() {
            let mut message = out.message(rtm::NEWNEIGH);
            let state = if entry.permanent { NUD_PERMANENT } else { NUD_REACHABLE };
            message.raw(&header(AF_BRIDGE, entry.port, state, IN_BRIDGE));
            message.attr(NDA_LLADDR, &mac).u32(NDA_MASTER, device.id.0);
            message.attr(NDA_CACHEINFO, &cache_info(t.now, entry.seen, entry.seen, entry.seen));
            out.push(message);
        }
    }
    Ok(())
}

/// What a request to add or remove a neighbour names.
struct Named {
    dev: DevId,
    addr: IpAddr,
    state: u16,
    mac: Option<[u8; 6]>,
}

fn read(ns: &Netns, request: &Request<'_>, attrs: &Attrs<'_>) -> Result<Named, NlError> {
    let body = request.body();
    let (Some(index), Some(state)) = (u32_at(body, 4), u16_at(body, 8)) else {
        return Err(NlError::bare(libc::EINVAL));
    };
    let addr = attrs.ip(NDA_DST).ok_or(NlError::new(libc::EINVAL, "Network address not specified"))?;
    if addr.is_ipv4() != (request.family() == AF_INET) {
        return Err(NlError::new(libc::EINVAL, "Invalid network address"));
    }
    ns.dev.get(DevId(index)).ok_or(NlError::bare(libc::ENODEV))?;
    Ok(Named { dev: DevId(index), addr, state, mac: mac(attrs)? })
}

fn mac(attrs: &Attrs<'_>) -> Result<Option<[u8; 6]>, NlError> {
    let Some(attr) = attrs.get(NDA_LLADDR) else { return Ok(None) };
    let mac = attr.data.try_into();
    mac.map(Some).map_err(|_| NlError::new(libc::EINVAL, "Invalid link address").at(attr.offset))
}

/// Puts a neighbour in by hand; it stays until it is removed.
pub(super) fn add(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    const NUD_PERMANENT: u16 = 0x80;
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let named = read(ns, request, &attrs)?;
    let exists = ns.neigh.get(named.dev, named.addr).is_some();
    if exists && request.has(flag::EXCL) {
        return Err(NlError::bare(libc::EEXIST));
    }
    if !exists && !request.has(flag::CREATE) {
        return Err(NlError::bare(libc::ENOENT));
    }
    if named.state != NUD_PERMANENT {
        return Err(NlError::new(libc::EOPNOTSUPP, "neighbours can only be made permanent here"));
    }
    let mac = named.mac.ok_or(NlError::new(libc::EINVAL, "Link address not specified"))?;
    ns.set_neighbour(t, named.dev, named.addr, mac).ok_or(NlError::bare(libc::ENOBUFS))
}

/// Removes a neighbour.
pub(super) fn delete(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let named = read(ns, request, &attrs)?;
    if ns.del_neighbour(t, named.dev, named.addr) { Ok(()) } else { Err(NlError::bare(libc::ENOENT)) }
}

/// Puts a station into the database of the bridge that the device is a port of (`bridge fdb add … master`), or removes it.
pub(super) fn change_fdb(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let port = u32_at(request.body(), 4).map(DevId).ok_or(NlError::bare(libc::EINVAL))?;
    let device = ns.dev.get(port).ok_or(NlError::new(libc::ENODEV, "unknown ifindex"))?;
    let bridge =
        device.master.ok_or(NlError::new(libc::EOPNOTSUPP, "the device is not a port of a bridge"))?;
    let mac = mac(&attrs)?.ok_or(NlError::new(libc::EINVAL, "invalid address"))?;
    let port = (request.header.ty == rtm::NEWNEIGH).then_some(port);
    Ok(ns.set_fdb(bridge, mac, port)?)
}
