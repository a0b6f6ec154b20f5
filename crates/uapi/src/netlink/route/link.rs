//! Links: `RTM_GETLINK`, `RTM_NEWLINK`, `RTM_SETLINK`.
//!
//! `struct ifinfomsg { u8 family, pad; u16 type; i32 index; u32 flags, change; }`, then `IFLA_*`.

use netspace_base::{DevId, Duration};
use netspace_stack::dev::bridge::Bridge;
use netspace_stack::dev::{DevFlags, DevKind, DevStats, Device};
use netspace_stack::{Netns, Turn};

use super::super::read::{Attr, Attrs, Kind, Policy};
use super::super::write::Message;
use super::super::{NlError, Replies, Request, flag};
use super::{AF_BRIDGE, AF_INET6, rtm};
use crate::bytes_at::{i32_at, u32_at};

/// `sizeof(struct ifinfomsg)`.
const HEADER_LEN: usize = 16;

/// `IFLA_*`.
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const BROADCAST: u16 = 2;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const QDISC: u16 = 6;
    pub(super) const STATS: u16 = 7;
    pub(super) const MASTER: u16 = 10;
    pub(super) const PROTINFO: u16 = 12;
    pub(super) const TXQLEN: u16 = 13;
    pub(super) const MAP: u16 = 14;
    pub(super) const OPERSTATE: u16 = 16;
    pub(super) const LINKMODE: u16 = 17;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const STATS64: u16 = 23;
    pub(super) const AF_SPEC: u16 = 26;
    pub(super) const GROUP: u16 = 27;
    pub(super) const EXT_MASK: u16 = 29;
    pub(super) const PROMISCUITY: u16 = 30;
    pub(super) const NUM_TX_QUEUES: u16 = 31;
    pub(super) const NUM_RX_QUEUES: u16 = 32;
    pub(super) const CARRIER: u16 = 33;
    pub(super) const CARRIER_CHANGES: u16 = 35;
    pub(super) const PROTO_DOWN: u16 = 39;
    pub(super) const GSO_MAX_SEGS: u16 = 40;
    pub(super) const GSO_MAX_SIZE: u16 = 41;
    pub(super) const CARRIER_UP_COUNT: u16 = 47;
    pub(super) const CARRIER_DOWN_COUNT: u16 = 48;
    pub(super) const MIN_MTU: u16 = 50;
    pub(super) const MAX_MTU: u16 = 51;
    pub(super) const ALT_IFNAME: u16 = 53;
    pub(super) const GRO_MAX_SIZE: u16 = 58;
    pub(super) const TSO_MAX_SIZE: u16 = 59;
    pub(super) const TSO_MAX_SEGS: u16 = 60;
    pub(super) const ALLMULTI: u16 = 61;
    /// Inside `LINKINFO`.
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_SLAVE_KIND: u16 = 4;
}

const POLICY: Policy = &[
    (ifla::ADDRESS, Kind::Any),
    (ifla::IFNAME, Kind::Text(15)),
    (ifla::MTU, Kind::U32),
    (ifla::MASTER, Kind::U32),
    (ifla::TXQLEN, Kind::U32),
    (ifla::LINKINFO, Kind::Nested),
    (ifla::AF_SPEC, Kind::Nested),
    (ifla::GROUP, Kind::U32),
    (ifla::EXT_MASK, Kind::U32),
    (ifla::CARRIER, Kind::U8),
    (ifla::ALT_IFNAME, Kind::Text(127)),
];

/// `IFLA_BR_AGEING_TIME`.
const BR_AGEING_TIME: u16 = 4;
/// `RTEXT_FILTER_SKIP_STATS`.
const SKIP_STATS: u32 = 8;
/// The hardware type of Ethernet.
pub(crate) const ARPHRD_ETHER: u16 = 1;
/// The hardware type of the loopback device.
pub(crate) const ARPHRD_LOOPBACK: u16 = 772;

/// The number of a device's hardware type.
pub(crate) const fn hardware_type(device: &Device) -> u16 {
    if device.is_loopback() { ARPHRD_LOOPBACK } else { ARPHRD_ETHER }
}

/// RFC 2863's operational state, as Linux numbers it, and its name.
pub(crate) fn oper_state(device: &Device) -> (u8, &'static str) {
    match (device.is_loopback(), device.is_up(), device.carrier) {
        (true, true, _) => (0, "unknown"),
        (_, false, _) => (2, "down"),
        // Unplugged, as an Ethernet card shows it (a device on top of another one would say "lowerlayerdown").
        (_, true, false) => (2, "down"),
        (_, true, true) => (6, "up"),
    }
}

/// What a dump is to be cut to.
#[derive(Default)]
struct Filter<'a> {
    master: Option<u32>,
    kind: Option<&'a str>,
}

/// Asks a dump for links without their counts.
pub(in crate::netlink) fn skip_statistics(ask: &mut Message) {
    ask.u32(ifla::EXT_MASK, SKIP_STATS);
}

/// All links.
pub(super) fn dump(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    // Old programs send only the one-byte rtgenmsg.
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    if request.strict && i32_at(request.body(), 4).unwrap_or(0) != 0 {
        return Err(NlError::new(libc::EINVAL, "Filter by device index not supported for link dumps"));
    }
    let filter = Filter {
        master: attrs.u32(ifla::MASTER),
        kind: attrs.get(ifla::LINKINFO).and_then(|a| a.nested().find(|n| n.ty == ifla::INFO_KIND)?.str()),
    };
    if filter.master.is_some() || filter.kind.is_some() {
        out.set_filtered();
    }
    let mask = attrs.u32(ifla::EXT_MASK).unwrap_or(0);
    for device in ns.dev.iter() {
        let master = filter.master.is_none_or(|m| device.master.map_or(0, |d| d.0) == m);
        if master && filter.kind.is_none_or(|kind| device.kind.name() == kind) {
            let mut message = out.message(rtm::NEWLINK);
            write(&mut message, device, mask);
            out.push(message);
        }
    }
    Ok(())
}

/// The ports of bridges (`bridge link`).
pub(super) fn dump_bridge_ports(
    ns: &mut Netns,
    _t: &mut Turn,
    _request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    for device in ns.dev.iter().filter(|d| d.master.is_some()) {
        let mut message = out.message(rtm::NEWLINK);
        write_header(&mut message, device, AF_BRIDGE);
        message.text(ifla::IFNAME, &device.name);
        message.u32(ifla::MASTER, device.master.map_or(0, |d| d.0));
        message
            .u32(ifla::MTU, device.mtu)
            .u8(ifla::OPERSTATE, oper_state(device).0)
            .attr(ifla::ADDRESS, &device.mac);
        message.nest(ifla::PROTINFO, true, |m| {
            const BRPORT_STATE: u16 = 1;
            const BRPORT_PRIORITY: u16 = 2;
            const BRPORT_COST: u16 = 3;
            const DISABLED: u8 = 0;
            const FORWARDING: u8 = 3;
            let state = if device.is_running() { FORWARDING } else { DISABLED };
            m.u8(BRPORT_STATE, state).u16(BRPORT_PRIORITY, 32).u32(BRPORT_COST, 2);
        });
        out.push(message);
    }
    Ok(())
}

/// One link, by its number or its name.
pub(super) fn get(
    ns: &mut Netns,
    _t: &mut Turn,
    request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let device = find(ns, request, &attrs)?.ok_or(NlError::bare(libc::EINVAL))?;
    let mut message = out.message(rtm::NEWLINK);
    write(&mut message, device, attrs.u32(ifla::EXT_MASK).unwrap_or(0));
    out.push(message);
    Ok(())
}

/// The device that a request names; none if it names none.
fn find<'n>(ns: &'n Netns, request: &Request<'_>, attrs: &Attrs<'_>) -> Result<Option<&'n Device>, NlError> {
    let index = i32_at(request.body(), 4).ok_or(NlError::bare(libc::EINVAL))?;
    if index < 0 {
        return Err(NlError::new(libc::EINVAL, "ifindex can't be negative"));
    }
    let name =
        attrs.str(ifla::IFNAME).or_else(|| attrs.str(ifla::ALT_IFNAME)).filter(|name| !name.is_empty());
    let device = match (index, name) {
        (0, None) => return Ok(None),
        (0, Some(name)) => ns.dev.by_name(name),
        _ => ns.dev.get(DevId(index as u32)),
    };
    device.map(Some).ok_or(NlError::bare(libc::ENODEV))
}

fn write_header(message: &mut Message, device: &Device, family: u8) {
    let mut header = vec![family, 0];
    header.extend(hardware_type(device).to_ne_bytes());
    header.extend(device.id.0.to_ne_bytes());
    header.extend(device.flags().bits().to_ne_bytes());
    header.extend(0u32.to_ne_bytes());
    message.raw(&header);
}

/// A whole link, its attributes in Linux's order.
fn write(message: &mut Message, device: &Device, mask: u32) {
    let (min_mtu, max_mtu) = if device.is_loopback() { (0, 0) } else { (68, 65_535) };
    let queues = 1;
    let changes = u32::try_from(device.stats.carrier_changes).unwrap_or(u32::MAX);
    write_header(message, device, 0);
    message.text(ifla::IFNAME, &device.name).u32(ifla::TXQLEN, device.tx_queue_len);
    message.u8(ifla::OPERSTATE, oper_state(device).0).u8(ifla::LINKMODE, 0);
    message.u32(ifla::MTU, device.mtu).u32(ifla::MIN_MTU, min_mtu).u32(ifla::MAX_MTU, max_mtu);
    message.u32(ifla::GROUP, 0);
    message.u32(ifla::PROMISCUITY, u32::from(device.flags().contains(DevFlags::PROMISC)));
    message.u32(ifla::ALLMULTI, u32::from(device.flags().contains(DevFlags::ALLMULTI)));
    message.u32(ifla::NUM_TX_QUEUES, queues).u32(ifla::GSO_MAX_SEGS, 65_535).u32(ifla::GSO_MAX_SIZE, 65_536);
    message.u32(ifla::GRO_MAX_SIZE, 65_536).u32(ifla::TSO_MAX_SIZE, 524_280).u32(ifla::TSO_MAX_SEGS, 65_535);
    message.u32(ifla::NUM_RX_QUEUES, queues).u8(ifla::CARRIER, u8::from(device.carrier));
    message.text(ifla::QDISC, "noqueue");
    message.u32(ifla::CARRIER_CHANGES, changes).u32(ifla::CARRIER_UP_COUNT, changes.div_ceil(2));
    message.u32(ifla::CARRIER_DOWN_COUNT, changes / 2).u8(ifla::PROTO_DOWN, 0).attr(ifla::MAP, &[0; 32]);
    message.attr(ifla::ADDRESS, &device.mac);
    let broadcast = if device.is_loopback() { [0; 6] } else { [0xff; 6] };
    message.attr(ifla::BROADCAST, &broadcast);
    if mask & SKIP_STATS == 0 {
        write_stats(message, &device.stats);
    }
    if let Some(master) = device.master {
        message.u32(ifla::MASTER, master.0);
    }
    write_info(message, device);
    message.nest(ifla::AF_SPEC, false, |m| {
        m.nest(u16::from(AF_INET6), false, |m| {
            const INET6_FLAGS: u16 = 1;
            const INET6_ADDR_GEN_MODE: u16 = 8;
            /// `IF_READY`.
            const READY: u32 = 0x8000_0000;
            m.u32(INET6_FLAGS, if device.is_running() { READY } else { 0 });
            m.u8(INET6_ADDR_GEN_MODE, device.conf.v6.addr_gen_mode as u8);
        });
    });
}

fn write_info(message: &mut Message, device: &Device) {
    if device.kind.name().is_empty() && device.master.is_none() {
        return;
    }
    message.nest(ifla::LINKINFO, false, |m| {
        if !device.kind.name().is_empty() {
            m.text(ifla::INFO_KIND, device.kind.name());
        }
        if let Some(bridge) = device.bridge() {
            m.nest(ifla::INFO_DATA, false, |m| write_bridge(m, device, bridge));
        }
        if device.master.is_some() {
            m.text(ifla::INFO_SLAVE_KIND, "bridge");
        }
    });
}

/// A bridge without spanning tree; times are hundredths of a second, identifiers priority and address.
fn write_bridge(message: &mut Message, device: &Device, bridge: &Bridge) {
    const FORWARD_DELAY: u16 = 1;
    const HELLO_TIME: u16 = 2;
    const MAX_AGE: u16 = 3;
    const STP_STATE: u16 = 5;
    const PRIORITY: u16 = 6;
    const VLAN_FILTERING: u16 = 7;
    const ROOT_ID: u16 = 10;
    const BRIDGE_ID: u16 = 11;
    let ageing = u32::try_from(bridge.ageing.as_millis() / 10).unwrap_or(u32::MAX);
    let mut id = 0x8000u16.to_be_bytes().to_vec();
    id.extend(device.mac);
    message.u32(FORWARD_DELAY, 1500).u32(HELLO_TIME, 200).u32(MAX_AGE, 2000).u32(BR_AGEING_TIME, ageing);
    message
        .u32(STP_STATE, 0)
        .u16(PRIORITY, 0x8000)
        .u8(VLAN_FILTERING, 0)
        .attr(BRIDGE_ID, &id)
        .attr(ROOT_ID, &id);
}

/// `rtnl_link_stats64`'s 25 numbers, and the first 24 again in 32 bits.
fn write_stats(message: &mut Message, s: &DevStats) {
    let mut numbers = [0; 25];
    let first = [
        s.rx_packets,
        s.tx_packets,
        s.rx_bytes,
        s.tx_bytes,
        s.rx_errors,
        s.tx_errors,
        s.rx_dropped,
        s.tx_dropped,
    ];
    numbers[..8].copy_from_slice(&first);
    numbers[8] = s.multicast;
    let wide: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
    let narrow: Vec<u8> = numbers[..24].iter().flat_map(|&n| (n as u32).to_ne_bytes()).collect();
    message.attr(ifla::STATS64, &wide).attr(ifla::STATS, &narrow);
}

/// Changes a link, or makes one. An empty request that names nothing is a probe, answered `ENODEV`.
pub(super) fn change(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let index = i32_at(request.body(), 4).unwrap_or(0);
    let found = find(ns, request, &attrs).map(|found| found.map(|device| device.id));
    let dev = match found {
        Ok(Some(_)) if request.has(flag::EXCL) => return Err(NlError::bare(libc::EEXIST)),
        Ok(Some(dev)) => dev,
        Ok(None) | Err(_) if request.has(flag::CREATE) => create(ns, t, &attrs)?,
        Ok(None) => return Err(NlError::bare(libc::ENODEV)),
        Err(error) => return Err(error),
    };
    for attr in attrs.iter() {
        apply(ns, t, dev, index, attr).map_err(|e| e.at(attr.offset))?;
    }
    let (flags, mask) = (u32_at(request.body(), 8).unwrap_or(0), u32_at(request.body(), 12).unwrap_or(0));
    // Without a mask all flags are meant, as old programs have it.
    if mask & DevFlags::UP.bits() != 0 || (mask == 0 && flags & DevFlags::UP.bits() != 0) {
        ns.set_up(t, dev, flags & DevFlags::UP.bits() != 0)?;
    }
    let changeable = DevFlags::UP | DevFlags::RUNNING | DevFlags::LOWER_UP;
    if mask & !changeable.bits() != 0 && mask != u32::MAX {
        return Err(NlError::new(libc::EOPNOTSUPP, "of a link's flags only UP can be changed here"));
    }
    Ok(())
}

fn apply(ns: &mut Netns, t: &mut Turn, dev: DevId, index: i32, attr: &Attr<'_>) -> Result<(), NlError> {
    let value = attr.u32().unwrap_or(0);
    match attr.ty {
        ifla::MTU => ns.set_mtu(t, dev, value)?,
        ifla::MASTER => ns.set_master(t, dev, (value != 0).then_some(DevId(value)))?,
        // Beside a number, a name is the new name; alone, it is how the link is found.
        ifla::IFNAME if index > 0 => rename(ns, dev, attr.str().unwrap_or(""))?,
        ifla::ADDRESS => {
            let mac = attr.data.try_into().map_err(|_| NlError::bare(libc::EINVAL))?;
            ns.set_mac(t, dev, mac)?;
        }
        ifla::LINKINFO => configure_bridge(ns, dev, attr)?,
        ifla::IFNAME | ifla::ALT_IFNAME | ifla::EXT_MASK | ifla::AF_SPEC => {}
        ifla::GROUP if value == 0 => {}
        _ => return Err(NlError::new(libc::EOPNOTSUPP, "this attribute of a link cannot be changed here")),
    }
    Ok(())
}

fn rename(ns: &mut Netns, dev: DevId, name: &str) -> Result<(), NlError> {
    if ns.dev.get(dev).is_some_and(|d| d.name == name) {
        return Ok(());
    }
    Ok(ns.set_name(dev, name)?)
}

/// `IFLA_INFO_DATA` of a bridge: how long it remembers stations.
fn configure_bridge(ns: &mut Netns, dev: DevId, info: &Attr<'_>) -> Result<(), NlError> {
    let Some(bridge) = ns.dev.get(dev).and_then(Device::bridge) else { return Ok(()) };
    let learning = bridge.learning;
    let data = info.nested().find(|n| n.ty == ifla::INFO_DATA);
    for option in data.iter().flat_map(Attr::nested) {
        let hundredths = u64::from(option.u32().unwrap_or(0));
        match option.ty {
            BR_AGEING_TIME => ns.set_bridge(dev, Duration::from_millis(hundredths * 10), learning)?,
            _ => {
                let error = NlError::new(libc::EOPNOTSUPP, "this option of a bridge is not supported here");
                return Err(error.at(option.offset));
            }
        }
    }
    Ok(())
}

/// Makes a link: a bridge or a dummy. What else there is, the lab's links are.
fn create(ns: &mut Netns, t: &mut Turn, attrs: &Attrs<'_>) -> Result<DevId, NlError> {
    let info = attrs.get(ifla::LINKINFO);
    let kind = info.and_then(|a| a.nested().find(|n| n.ty == ifla::INFO_KIND)?.str()).unwrap_or("");
    let name = attrs.str(ifla::IFNAME).unwrap_or("");
    if !is_dev_name(name) {
        return Err(NlError::new(libc::EINVAL, "a link needs a name"));
    }
    let mac = match attrs.get(ifla::ADDRESS) {
        Some(attr) => attr.data.try_into().map_err(|_| NlError::bare(libc::EINVAL).at(attr.offset))?,
        None => generated_mac(ns, name),
    };
    match kind {
        "bridge" => Ok(ns.add_bridge(t, name, mac, true)?),
        "dummy" => Ok(ns.add_dummy(t, name, mac)?),
        _ => Err(NlError::new(libc::EOPNOTSUPP, "Unknown device type")),
    }
}

/// Whether a name can be a device's (Linux's `dev_valid_name`).
fn is_dev_name(name: &str) -> bool {
    let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace();
    !name.is_empty() && name.len() < 16 && name != "." && name != ".." && !name.contains(forbidden)
}

/// A locally administered address that is the same for the same namespace and name in every run (FNV-1a).
fn generated_mac(ns: &Netns, name: &str) -> [u8; 6] {
    let bytes = ns.id.0.to_ne_bytes().into_iter().chain(name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let [_, _, a, b, c, d, e, f] = hash.to_be_bytes();
    [a & 0xfc | 2, b, c, d, e, f]
}

/// Removes a link: not the ends of the lab's links, whose other ends are outside.
pub(super) fn delete(
    ns: &mut Netns,
    t: &mut Turn,
    request: &Request<'_>,
    _out: &mut Replies,
) -> Result<(), NlError> {
    let attrs = request.attrs(HEADER_LEN, POLICY)?;
    let device = find(ns, request, &attrs)?.ok_or(NlError::bare(libc::EINVAL))?;
    match device.kind {
        DevKind::Loopback => Err(NlError::bare(libc::EOPNOTSUPP)),
        DevKind::LinkEnd => {
            Err(NlError::new(libc::EOPNOTSUPP, "the lab's links are removed in the lab's file"))
        }
        DevKind::Bridge(_) | DevKind::Dummy => Ok(ns.del_device(t, device.id)?),
    }
}

/// The number of another namespace: there is none that is known here.
pub(super) fn nsid(
    _ns: &mut Netns,
    _t: &mut Turn,
    _request: &Request<'_>,
    out: &mut Replies,
) -> Result<(), NlError> {
    const NETNSA_NSID: u16 = 1;
    let mut message = out.message(rtm::NEWNSID);
    message.raw(&[0; 4]).u32(NETNSA_NSID, u32::MAX);
    out.push(message);
    Ok(())
}
