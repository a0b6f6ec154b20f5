//! Addresses: `RTM_GETADDR`, `RTM_NEWADDR`, `RTM_DELADDR`.
//!
//! `struct ifaddrmsg { u8 family, prefixlen, flags, scope; u32 index; }`, then `IFA_*`.

use ipnet::IpNet;
use netspace_base::{DevId, Instant};
use netspace_stack::dev::Device;
use netspace_stack::ip::addr::Addr4;
use netspace_stack::ip6::addr::{Addr6, AddrState};
use netspace_stack::sock::SockError;
use netspace_stack::{Netns, Turn};

use super::super::read::{Attr, Attrs, Kind, Policy};
use super::super::{NlError, Replies, Request, flag};
use super::{AF_INET, AF_INET6, rtm};
use crate::bytes_at::u32_at;

/// `sizeof(struct ifaddrmsg)`.
const HEADER_LEN: usize = 8;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;

const POLICY: Policy = &[
    (IFA_ADDRESS, Kind::Ip),
    (IFA_LOCAL, Kind::Ip),
    (IFA_LABEL, Kind::Text(15)),
    (IFA_BROADCAST, Kind::Ip),
    (IFA_CACHEINFO, Kind::Bytes(16, 16)),
    (IFA_FLAGS, Kind::U32),
    (IFA_PROTO, Kind::U8),
];

const SECONDARY: u32 = 0x01;
const NODAD: u32 = 0x02;
const DADFAILED: u32 = 0x08;
const TENTATIVE: u32 = 0x40;
const PERMANENT: u32 = 0x80;
/// A lifetime without end.
const FOREVER: u32 = u32::MAX;

/// All addresses, or those of one family, or (with strict checks) of one device.
pub(super) fn dump(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let family = request.family();
    let only = u32_at(request.body(), 4).filter(|&index| request.strict && index != 0);
    if let Some(index) = only {
        ns.dev.get(DevId(index)).ok_or(NlError::bare(libc::ENODEV))?;
        out.set_filtered();
    }
    let wanted = |device: &&Device| only.is_none_or(|index| device.id.0 == index);
    if family == 0 || family == AF_INET {
        for device in ns.dev.iter().filter(wanted) {
            device.addrs4.iter().for_each(|addr| write4(out, device, addr));
        }
    }
    if family == 0 || family == AF_INET6 {
        for device in ns.dev.iter().filter(wanted) {
            device.addrs6.iter().for_each(|addr| write6(out, device, addr, t.now));
        }
    }
    Ok(())
}

fn header(family: u8, prefix_len: u8, flags: u32, scope: u8, dev: DevId) -> Vec<u8> {
    let mut header = vec![family, prefix_len, flags as u8, scope];
    header.extend(dev.0.to_ne_bytes());
    header
}

/// `struct ifa_cacheinfo`: preferred and valid seconds, made and changed (not kept: 0).
fn cache_info(preferred: u32, valid: u32) -> Vec<u8> {
    [preferred, valid, 0, 0].iter().flat_map(|n| n.to_ne_bytes()).collect()
}

fn write4(out: &mut Replies, device: &Device, addr: &Addr4) {
    let flags = PERMANENT | if addr.secondary { SECONDARY } else { 0 };
    let mut message = out.message(rtm::NEWADDR);
    message.raw(&header(AF_INET, addr.prefix_len, flags, addr.scope as u8, device.id));
    message.ip(IFA_ADDRESS, addr.addr.into()).ip(IFA_LOCAL, addr.addr.into());
    if let Some(broadcast) = addr.broadcast {
        message.ip(IFA_BROADCAST, broadcast.into());
    }
    message.text(IFA_LABEL, &device.name).u32(IFA_FLAGS, flags);
    message.attr(IFA_CACHEINFO, &cache_info(FOREVER, FOREVER));
    out.push(message);
}

fn write6(out: &mut Replies, device: &Device, addr: &Addr6, now: Instant) {
    let flags = flags6(addr);
    let left = |until: Instant| match until {
        Instant::FAR_FUTURE => FOREVER,
        until => u32::try_from(until.saturating_since(now).as_secs()).unwrap_or(FOREVER - 1),
    };
    let mut message = out.message(rtm::NEWADDR);
    message.raw(&header(AF_INET6, addr.prefix_len, flags, addr.scope(), device.id));
    message.ip(IFA_ADDRESS, addr.addr.into());
    message.attr(IFA_CACHEINFO, &cache_info(left(addr.preferred_until), left(addr.valid_until)));
    message.u32(IFA_FLAGS, flags);
    if let Some(protocol) = origin(addr) {
        message.u8(IFA_PROTO, protocol);
    }
    out.push(message);
}

/// `IFA_F_*` of an IPv6 address.
pub(crate) fn flags6(addr: &Addr6) -> u32 {
    const DEPRECATED: u32 = 0x20;
    let lasting = if addr.valid_until == Instant::FAR_FUTURE { PERMANENT } else { 0 };
    lasting
        | match addr.state {
            AddrState::Tentative => TENTATIVE,
            AddrState::Preferred => 0,
            AddrState::Deprecated => DEPRECATED,
            AddrState::Duplicate => TENTATIVE | DADFAILED,
        }
}

/// `IFAPROT_*`: who made the address; none for an administrator.
const fn origin(addr: &Addr6) -> Option<u8> {
    const KERNEL_LO: u8 = 1;
    const KERNEL_RA: u8 = 2;
    const KERNEL_LL: u8 = 3;
    if addr.addr.is_loopback() {
        Some(KERNEL_LO)
    } else if addr.autoconf {
        Some(KERNEL_RA)
    } else if addr.addr.is_unicast_link_local() {
        Some(KERNEL_LL)
    } else {
        None
    }
}

/// What a request to add or remove an address names.
struct Named {
    dev: DevId,
    net: IpNet,
    flags: u32,
}

fn read(ns: &Netns, request: &Request<'_>, attrs: &Attrs<'_>) -> Result<Named, NlError> {
    let [family, prefix_len, flags, _scope, ..] = *request.body() else {
        return Err(NlError::bare(libc::EINVAL));
    };
    let index = u32_at(request.body(), 4).ok_or(NlError::bare(libc::EINVAL))?;
    ns.dev.get(DevId(index)).ok_or(NlError::new(libc::ENODEV, "Unable to find the interface"))?;
    let (local, peer) = (attrs.ip(IFA_LOCAL), attrs.ip(IFA_ADDRESS));
    let addr = local.or(peer).ok_or(NlError::new(libc::EINVAL, "address not given"))?;
    if addr.is_ipv4() != (family == AF_INET) {
        return Err(NlError::bare(libc::EINVAL));
    }
    if peer.is_some_and(|peer| peer != addr) {
        return Err(NlError::new(libc::EOPNOTSUPP, "addresses with a peer are not supported here"));
    }
    let net =
        IpNet::new(addr, prefix_len).map_err(|_| NlError::new(libc::EINVAL, "Invalid prefix length"))?;
    Ok(Named { dev: DevId(index), net, flags: attrs.u32(IFA_FLAGS).unwrap_or(u32::from(flags)) })
}

/// Adds an address.
pub(super) fn add(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let named = read(ns, request, &attrs)?;
    let ends = |attr: &&Attr<'_>| [0, 4].iter().any(|&at| u32_at(attr.data, at) != Some(FOREVER));
    if let Some(lifetimes) = attrs.get(IFA_CACHEINFO).filter(ends) {
        let error = NlError::new(libc::EOPNOTSUPP, "lifetimes of addresses cannot be set here");
        return Err(error.at(lifetimes.offset));
    }
    match ns.add_address(t, named.dev, named.net, named.flags & NODAD != 0) {
        Err(SockError::Exists) if request.has(flag::REPLACE) && !request.has(flag::EXCL) => Ok(()),
        Err(SockError::Exists) => Err(NlError::new(libc::EEXIST, "address already assigned")),
        outcome => Ok(outcome?),
    }
}

/// Removes an address.
pub(super) fn delete(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let named = read(ns, request, &attrs)?;
    match ns.del_address(t, named.dev, named.net) {
        Err(SockError::AddressNotAvailable) => Err(NlError::new(libc::EADDRNOTAVAIL, "address not found")),
        outcome => Ok(outcome?),
    }
}
