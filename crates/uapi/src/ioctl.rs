//! Device ioctls (netdevice(7)): `struct ifreq` in, `struct ifreq` or an error out.
//!
//! ```text
//! struct ifreq { char name[16]; union { sockaddr; short flags; int ifindex, mtu, …; ifmap; } }   40 bytes
//! ```
//! Bytes of the union that an answer does not fill stay as the program gave them, as on Linux.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use netspace_base::{DevId, Instant};
use netspace_fib::{Add, Kind, NextHop, Route, Scope, TABLE_MAIN};
use netspace_stack::dev::{DevFlags, Device};
use netspace_stack::ip::addr::Addr4;
use netspace_stack::sock::SockId;
use netspace_stack::{Netns, Turn};

use crate::bytes_at::{array, c_str, i32_at, u16_at, u64_at};
use crate::errno::{EINVAL, ENODEV, EOPNOTSUPP, Errno};
use crate::netlink::route::hardware_type;
use crate::sockaddr;

/// `sizeof(struct ifreq)`.
pub const IFREQ_LEN: usize = 40;
/// `IFNAMSIZ`, and where the union starts.
const NAME_LEN: usize = 16;

/// The numbers (bits/ioctls.h).
pub mod number {
    /// Bytes that can be read.
    pub const FIONREAD: u32 = 0x541b;
    /// Bytes not yet sent or acknowledged (`TIOCOUTQ`).
    pub const SIOCOUTQ: u32 = 0x5411;
    /// Bytes not yet sent.
    pub const SIOCOUTQNSD: u32 = 0x894b;
    /// When the last packet that was passed to the program came, microseconds.
    pub const SIOCGSTAMP: u32 = 0x8906;
    /// The same, nanoseconds.
    pub const SIOCGSTAMPNS: u32 = 0x8907;
    /// Adds an IPv4 route.
    pub const SIOCADDRT: u32 = 0x890b;
    /// Removes one.
    pub const SIOCDELRT: u32 = 0x890c;
    /// A device's name by its number.
    pub const SIOCGIFNAME: u32 = 0x8910;
    /// All devices that have an IPv4 address.
    pub const SIOCGIFCONF: u32 = 0x8912;
    /// Flags.
    pub const SIOCGIFFLAGS: u32 = 0x8913;
    /// Sets flags.
    pub const SIOCSIFFLAGS: u32 = 0x8914;
    /// IPv4 address.
    pub const SIOCGIFADDR: u32 = 0x8915;
    /// Sets the IPv4 address.
    pub const SIOCSIFADDR: u32 = 0x8916;
    /// The other end's address.
    pub const SIOCGIFDSTADDR: u32 = 0x8917;
    /// Broadcast address.
    pub const SIOCGIFBRDADDR: u32 = 0x8919;
    /// Netmask.
    pub const SIOCGIFNETMASK: u32 = 0x891b;
    /// Sets the netmask.
    pub const SIOCSIFNETMASK: u32 = 0x891c;
    /// Metric (always 0).
    pub const SIOCGIFMETRIC: u32 = 0x891d;
    /// MTU.
    pub const SIOCGIFMTU: u32 = 0x8921;
    /// Sets the MTU.
    pub const SIOCSIFMTU: u32 = 0x8922;
    /// Hardware type and address.
    pub const SIOCGIFHWADDR: u32 = 0x8927;
    /// A device's number by its name.
    pub const SIOCGIFINDEX: u32 = 0x8933;
    /// Length of the transmit queue.
    pub const SIOCGIFTXQLEN: u32 = 0x8942;
    /// ethtool's.
    pub const SIOCETHTOOL: u32 = 0x8946;
    /// Hardware resources.
    pub const SIOCGIFMAP: u32 = 0x8970;
    /// All numbers of the socket layer: those that are not answered are refused, never passed on.
    pub const SOCKET_LAYER: std::ops::RangeInclusive<u32> = 0x8900..=0x89ff;
}

use number::*;

/// Answers a device ioctl with the 40 bytes to write back; none if it is not one of these.
pub fn interface(ns: &mut Netns, t: &mut Turn, request: u32, ifreq: &[u8]) -> Option<Result<Vec<u8>, Errno>> {
    let known = matches!(
        request,
        SIOCGIFNAME
            | SIOCGIFFLAGS
            | SIOCSIFFLAGS
            | SIOCGIFADDR
            | SIOCSIFADDR
            | SIOCGIFDSTADDR
            | SIOCGIFBRDADDR
            | SIOCGIFNETMASK
            | SIOCSIFNETMASK
            | SIOCGIFMETRIC
            | SIOCGIFMTU
            | SIOCSIFMTU
            | SIOCGIFHWADDR
            | SIOCGIFINDEX
            | SIOCGIFTXQLEN
            | SIOCETHTOOL
            | SIOCGIFMAP
    );
    known.then(|| answer(ns, t, request, ifreq))
}

fn answer(ns: &mut Netns, t: &mut Turn, request: u32, ifreq: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut out = ifreq.get(..IFREQ_LEN).ok_or(Errno(libc::EFAULT))?.to_vec();
    if request == SIOCGIFNAME {
        let index = i32_at(ifreq, NAME_LEN).and_then(|i| u32::try_from(i).ok()).ok_or(ENODEV)?;
        let device = ns.dev.get(DevId(index)).ok_or(ENODEV)?;
        out[..device.name.len()].copy_from_slice(device.name.as_bytes());
        out[device.name.len()] = 0;
        return Ok(out);
    }
    let name = c_str(&ifreq[..NAME_LEN - 1]).ok_or(ENODEV)?.to_owned();
    // An alias (`eth0:1`) is its device; addresses are told by their first.
    let name = name.split(':').next().unwrap_or_default();
    let device = ns.dev.by_name(name).ok_or(ENODEV)?;
    let dev = device.id;
    match request {
        SIOCSIFFLAGS | SIOCSIFMTU | SIOCSIFADDR | SIOCSIFNETMASK => set(ns, t, request, dev, ifreq)?,
        _ => {
            let value = get(device, request)?;
            out[NAME_LEN..NAME_LEN + value.len()].copy_from_slice(&value);
        }
    }
    // The kernel gives the name back with zeros behind it.
    out[..NAME_LEN].fill(0);
    out[..name.len()].copy_from_slice(name.as_bytes());
    Ok(out)
}

fn get(device: &Device, request: u32) -> Result<Vec<u8>, Errno> {
    let int = |value: u32| Ok(value.to_ne_bytes().to_vec());
    let address = |of: fn(&Addr4) -> Ipv4Addr| {
        let first = device.addrs4.first().ok_or(Errno(libc::EADDRNOTAVAIL))?;
        Ok(sockaddr::emit_ip(of(first).into()))
    };
    match request {
        SIOCGIFFLAGS => Ok((device.flags().bits() as u16).to_ne_bytes().to_vec()),
        SIOCGIFINDEX => int(device.id.0),
        SIOCGIFMTU => int(device.mtu),
        SIOCGIFMETRIC => int(0),
        SIOCGIFTXQLEN => int(device.tx_queue_len),
        SIOCGIFHWADDR => {
            let mut out = hardware_type(device).to_ne_bytes().to_vec();
            out.extend(device.mac);
            Ok(out)
        }
        SIOCGIFMAP => Ok(vec![0; 21]),
        SIOCGIFADDR | SIOCGIFDSTADDR => address(|a| a.addr),
        SIOCGIFBRDADDR => address(|a| a.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        SIOCGIFNETMASK => address(netmask),
        _ => Err(EOPNOTSUPP),
    }
}

fn netmask(addr: &Addr4) -> Ipv4Addr {
    Ipv4Net::new(addr.addr, addr.prefix_len).map_or(Ipv4Addr::BROADCAST, |net| net.netmask())
}

fn set(ns: &mut Netns, t: &mut Turn, request: u32, dev: DevId, ifreq: &[u8]) -> Result<(), Errno> {
    match request {
        SIOCSIFFLAGS => {
            let flags = u16_at(ifreq, NAME_LEN).ok_or(EINVAL)?;
            ns.set_up(t, dev, u32::from(flags) & DevFlags::UP.bits() != 0)?;
        }
        SIOCSIFMTU => {
            let mtu = i32_at(ifreq, NAME_LEN).and_then(|mtu| u32::try_from(mtu).ok()).ok_or(EINVAL)?;
            ns.set_mtu(t, dev, mtu)?;
        }
        _ => return set_address(ns, t, request, dev, ifreq),
    }
    Ok(())
}

/// `SIOCSIFADDR` puts an address in the place of the first, with the class's prefix; `SIOCSIFNETMASK` changes the prefix.
fn set_address(ns: &mut Netns, t: &mut Turn, request: u32, dev: DevId, ifreq: &[u8]) -> Result<(), Errno> {
    let given = sockaddr::parse_any(&ifreq[NAME_LEN..]).ok_or(EINVAL)?.ip();
    let std::net::IpAddr::V4(given) = given else { return Err(EINVAL) };
    let first = ns.dev.get(dev).and_then(|d| d.addrs4.first().copied());
    let (addr, prefix_len) = if request == SIOCSIFADDR {
        (given, class_prefix(given))
    } else {
        let first = first.ok_or(Errno(libc::EADDRNOTAVAIL))?;
        let mask = u32::from(given);
        if mask.leading_ones() + mask.trailing_zeros() < 32 {
            return Err(EINVAL);
        }
        (first.addr, mask.leading_ones() as u8)
    };
    let net = Ipv4Net::new(addr, prefix_len).map_err(|_| EINVAL)?;
    if let Some(old) = first {
        let old = Ipv4Net::new(old.addr, old.prefix_len).map_err(|_| EINVAL)?;
        ns.del_address(t, dev, IpNet::V4(old))?;
    }
    ns.add_address(t, dev, IpNet::V4(net), false)?;
    Ok(())
}

/// The prefix length of an address' class, as `SIOCSIFADDR` still has it.
const fn class_prefix(addr: Ipv4Addr) -> u8 {
    match addr.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        192..224 => 24,
        _ => 32,
    }
}

/// `sizeof(struct rtentry)`.
pub const RTENTRY_LEN: usize = 120;
/// Where in `struct rtentry` the pointer to the device's name lies; the door reads it for [`route`].
pub const RTENTRY_DEV: usize = 88;

/// `SIOCADDRT` and `SIOCDELRT` (`route add`, `route del`): `struct rtentry { …; sockaddr dst, gateway, genmask; u16 flags;
/// …; i16 metric; char *dev; u64 mtu, …; }`. `dev` is the name that the entry points to.
pub fn route(
    ns: &mut Netns,
    t: &mut Turn,
    request: u32,
    rtentry: &[u8],
    dev: Option<&str>,
) -> Result<(), Errno> {
    const RTF_GATEWAY: u16 = 0x2;
    const RTF_HOST: u16 = 0x4;
    const RTF_MTU: u16 = 0x40;
    const RTF_REJECT: u16 = 0x200;
    let rtentry = rtentry.get(..RTENTRY_LEN).ok_or(Errno(libc::EFAULT))?;
    let flags = u16_at(rtentry, 56).ok_or(EINVAL)?;
    let [dst, gateway, mask] = [8, 24, 40].map(|at| array::<4>(rtentry, at + 4).map(Ipv4Addr::from));
    let (dst, gateway, mask) = (dst.ok_or(EINVAL)?, gateway.ok_or(EINVAL)?, mask.ok_or(EINVAL)?);
    if u16_at(rtentry, 8).map(i32::from) != Some(libc::AF_INET) {
        return Err(Errno(libc::EAFNOSUPPORT));
    }
    let mask = if flags & RTF_HOST != 0 { u32::MAX } else { u32::from(mask) };
    if mask.leading_ones() + mask.trailing_zeros() < 32 {
        return Err(EINVAL);
    }
    let prefix = Ipv4Net::new(dst, mask.leading_ones() as u8).map_err(|_| EINVAL)?;
    let dev = match dev {
        Some(name) => ns.dev.by_name(name.split(':').next().unwrap_or_default()).ok_or(ENODEV)?.id,
        None => DevId::NONE,
    };
    let via = (flags & RTF_GATEWAY != 0).then_some(gateway);
    let hop = NextHop { via, dev, weight: 1, onlink: false };
    // Programs add one, so that 0 can mean "any".
    let metric = u16_at(rtentry, 80).and_then(|m| u32::from(m).checked_sub(1));
    if request == SIOCDELRT {
        let matches = |r: &Route<Ipv4Net>| {
            let hop_fits = r
                .hops
                .iter()
                .any(|h| (via.is_none() || h.via == via) && (dev == DevId::NONE || h.dev == dev));
            metric.is_none_or(|m| r.metric == m) && (hop_fits || (r.hops.is_empty() && via.is_none()))
        };
        let gone = ns.fib4.remove(TABLE_MAIN, prefix, matches);
        ns.routes_changed();
        return gone.map(|_| ()).map_err(|_| Errno(libc::ESRCH));
    }
    let mtu = u64_at(rtentry, 96).and_then(|mtu| u32::try_from(mtu).ok()).filter(|_| flags & RTF_MTU != 0);
    let route = match flags & RTF_REJECT {
        0 => Route::new(prefix, hop),
        _ => Route { scope: Scope::Host, ..Route::refusal(prefix, Kind::Unreachable) },
    };
    Ok(ns.add_route4(t, Route { metric: metric.unwrap_or(0), mtu, ..route }, Add::New)?)
}

/// `SIOCGIFCONF`: an `ifreq` for every IPv4 address, as many as fit into `room` bytes; without a buffer all of them, so
/// that their length can be told.
pub fn ifconf(ns: &Netns, room: Option<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    for device in ns.dev.iter() {
        for addr in &device.addrs4 {
            if room.is_some_and(|room| out.len() + IFREQ_LEN > room) {
                return out;
            }
            let end = out.len() + IFREQ_LEN;
            let mut name = device.name.clone().into_bytes();
            name.resize(NAME_LEN, 0);
            out.extend(name);
            out.extend(sockaddr::emit_ip(addr.addr.into()));
            out.resize(end, 0);
        }
    }
    out
}

/// The int that `FIONREAD`, `SIOCOUTQ` and `SIOCOUTQNSD` tell of a socket; none for other requests.
pub fn queue_length(ns: &Netns, sock: SockId, request: u32) -> Option<i32> {
    let bytes = match request {
        FIONREAD => ns.recv_queue_len(sock),
        SIOCOUTQ | SIOCOUTQNSD => ns.send_queue_len(sock),
        _ => return None,
    };
    Some(i32::try_from(bytes).unwrap_or(i32::MAX))
}

/// `SIOCGSTAMP` and `SIOCGSTAMPNS`: the time of the last packet given to the program, `ENOENT` if there was none. `epoch`
/// is the wall clock's time at the lab's start.
pub fn timestamp(request: u32, last: Option<Instant>, epoch: Duration) -> Result<Vec<u8>, Errno> {
    let at = epoch + Duration::from_nanos(last.ok_or(Errno(libc::ENOENT))?.as_nanos());
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let fraction = if request == SIOCGSTAMPNS { at.subsec_nanos() } else { at.subsec_micros() };
    Ok([seconds.to_ne_bytes(), i64::from(fraction).to_ne_bytes()].concat())
}
