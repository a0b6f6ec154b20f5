//! The files under `/proc/net`, `/proc/sys/net` and `/sys/class/net`, as text, from a namespace.
//!
//! ```text
//! /proc/net/dev            also /proc/self/net/dev, /proc/thread-self/net/dev, /proc/<pid>/net/dev
//! /proc/sys/net/ipv4/ip_forward
//! /sys/class/net/eth0/mtu
//! ```
//! Columns are Linux's, byte for byte: `ifconfig`, `netstat`, `route` and `arp` take them apart by position. To add a file,
//! add a row to `PROC_NET` or `sysfs`'s tables.

mod device;
mod neighbour;
mod route;
mod snmp;
mod socket;
mod sysfs;

use std::collections::BTreeSet;

use netspace_base::Instant;
use netspace_stack::{Netns, Turn};

use crate::errno::{EINVAL, Errno};

/// A file under `/proc/net`.
type Text = fn(&Netns, Instant) -> String;

static PROC_NET: &[(&str, Text)] = &[
    ("arp", neighbour::arp),
    ("dev", device::dev),
    ("dev_mcast", device::dev_mcast),
    ("icmp", socket::icmp),
    ("icmp6", socket::icmp6),
    ("if_inet6", device::if_inet6),
    ("igmp", device::igmp),
    ("igmp6", device::igmp6),
    ("ipv6_route", route::ipv6_route),
    ("mcfilter", device::mcfilter),
    ("mcfilter6", device::mcfilter6),
    ("netlink", |_, _| {
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
            .to_owned()
    }),
    ("netstat", snmp::netstat),
    ("packet", socket::packet),
    ("psched", |_, _| "000f4240 00000040 000f4240 3b9aca00\n".to_owned()),
    ("raw", socket::raw),
    ("raw6", socket::raw6),
    ("route", route::route),
    ("rt_cache", route::rt_cache),
    ("snmp", snmp::snmp),
    ("snmp6", snmp::snmp6),
    ("sockstat", socket::sockstat),
    ("sockstat6", socket::sockstat6),
    ("tcp", socket::tcp),
    ("tcp6", socket::tcp6),
    ("udp", socket::udp),
    ("udp6", socket::udp6),
    ("udplite", socket::udplite),
    ("udplite6", socket::udplite6),
    ("unix", |_, _| "Num       RefCount Protocol Flags    Type St Inode Path\n".to_owned()),
];

/// What a path is about.
enum Place<'a> {
    /// Below `/proc/net`.
    ProcNet(&'a str),
    /// Below `/proc/sys/net`.
    Sysctl(&'a str),
    /// Below `/sys/class/net`.
    Class(&'a str),
}

/// Takes a path apart; it must be absolute, without `.` and `..`. The rest has no slash at its ends.
fn place(path: &str) -> Option<Place<'_>> {
    let below = |prefix: &str| {
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
    };
    if let Some(rest) = below("/proc/sys/net") {
        return Some(Place::Sysctl(rest));
    }
    if let Some(rest) = below("/sys/class/net") {
        return Some(Place::Class(rest));
    }
    if let Some(rest) = below("/proc/net") {
        return Some(Place::ProcNet(rest));
    }
    let (who, rest) = path.strip_prefix("/proc/")?.split_once('/')?;
    let process =
        who == "self" || who == "thread-self" || (!who.is_empty() && who.bytes().all(|b| b.is_ascii_digit()));
    let rest = rest.strip_prefix("net")?;
    (process && (rest.is_empty() || rest.starts_with('/'))).then(|| Place::ProcNet(rest.trim_matches('/')))
}

/// Whether a path lies in one of the trees that are answered here, whether or not it exists there: such a path must not be
/// looked up on the host.
pub fn is_ours(path: &str) -> bool {
    place(path).is_some()
}

/// The contents of a file; none if there is no such file.
pub fn read(ns: &Netns, now: Instant, path: &str) -> Option<Vec<u8>> {
    match place(path)? {
        Place::ProcNet(name) => {
            PROC_NET.iter().find(|(known, _)| *known == name).map(|(_, text)| text(ns, now).into_bytes())
        }
        Place::Sysctl(name) => {
            ns.sysctl(&sysctl_name(ns, name)?).map(|value| format!("{value}\n").into_bytes())
        }
        Place::Class(name) => sysfs::read(ns, name).map(String::into_bytes),
    }
}

/// The names in a directory, in order, each with whether it is a directory itself; none if there is no such directory.
pub fn list(ns: &Netns, dir: &str) -> Option<Vec<(String, bool)>> {
    match place(dir)? {
        Place::ProcNet("") => Some(PROC_NET.iter().map(|(name, _)| ((*name).to_owned(), false)).collect()),
        Place::ProcNet(_) => None,
        Place::Sysctl(name) => list_sysctl(ns, name),
        Place::Class(name) => sysfs::list(ns, name),
    }
}

/// Writes a file: a sysctl. None if there is no such file; files that cannot be written give `EACCES`.
pub fn write(ns: &mut Netns, t: &mut Turn, path: &str, value: &[u8]) -> Option<Result<(), Errno>> {
    let Place::Sysctl(name) = place(path)? else {
        return read(ns, t.now, path).map(|_| Err(Errno(libc::EACCES)));
    };
    let name = sysctl_name(ns, name)?;
    // Actions rather than values: writing them is all they do.
    if name == "ipv4.route.flush" || name == "ipv6.route.flush" {
        return Some(Ok(()));
    }
    ns.sysctl(&name)?;
    let Ok(text) = std::str::from_utf8(value) else { return Some(Err(EINVAL)) };
    let text = text.trim_end_matches(['\n', '\0']).trim();
    Some(ns.set_sysctl(t, &name, text).map_err(Errno::from))
}

/// A path below `/proc/sys/net` as the stack names it: with dots. A device's name may hold dots itself, and must be one
/// that exists.
fn sysctl_name(ns: &Netns, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let dotted = parts.iter().any(|part| part.contains('.'));
    let is_device = |name: &str| ns.dev.by_name(name).is_some();
    match parts.as_slice() {
        [_, "conf" | "neigh", dev, _] if dotted && !is_device(dev) => None,
        _ => Some(parts.join(".")),
    }
}

/// Names with dots become a tree: what stands below `dir`.
fn list_sysctl(ns: &Netns, dir: &str) -> Option<Vec<(String, bool)>> {
    let prefix = if dir.is_empty() { String::new() } else { format!("{}.", dir.replace('/', ".")) };
    let mut entries = BTreeSet::new();
    for name in ns.sysctl_names() {
        if let Some(rest) = name.strip_prefix(&prefix) {
            let (entry, is_dir) = match rest.split_once('.') {
                Some((entry, _)) => (entry, true),
                None => (rest, false),
            };
            entries.insert((entry.to_owned(), is_dir));
        }
    }
    (!entries.is_empty()).then(|| entries.into_iter().collect())
}
