//! Network devices: the table, their kinds, flags and counts.
//!
//! ```text
//!  link → Netns::receive → ring ─poll─→ receive → bridge port? → bridge::receive → other ports → send
//!                                          └─────→ by EtherType: ARP, IPv4, IPv6
//!  neighbour → send → loopback: backlog | bridge: its ports | link end: Effect::Xmit
//! ```

pub mod bridge;
mod fdb;
mod forward;
mod gro;
pub(crate) mod receive;
pub(crate) mod send;
mod tap;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};

use bitflags::bitflags;
use netspace_base::{DevId, Pkt};

use crate::ip::state::{Addr4, Groups4};
use crate::ip6::state::{Addr6, Groups6, NdState};
use crate::sysctl::DevConf;
use fdb::Bridge;

bitflags! {
    /// What a device can do and is doing (`IFF_*`, with Linux's numbers).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct DevFlags: u32 {
        /// Set up by the administrator.
        const UP = 0x1;
        /// Takes broadcasts.
        const BROADCAST = 0x2;
        /// Is the loopback device.
        const LOOPBACK = 0x8;
        /// Joins two hosts only.
        const POINTOPOINT = 0x10;
        /// Up and with carrier.
        const RUNNING = 0x40;
        /// Has no neighbours to resolve.
        const NOARP = 0x80;
        /// Takes every frame.
        const PROMISC = 0x100;
        /// Takes every group's frames.
        const ALLMULTI = 0x200;
        /// Takes groups' frames.
        const MULTICAST = 0x1000;
        /// Has carrier.
        const LOWER_UP = 0x10000;
    }
}

/// What a device is.
#[derive(Debug)]
pub enum DevKind {
    /// What it sends it receives.
    Loopback,
    /// One end of a link whose other end is outside the namespace.
    LinkEnd,
    /// A switch: its ports are other devices of the namespace.
    Bridge(Box<Bridge>),
    /// Swallows what it is given.
    Dummy,
}

impl DevKind {
    /// The kind's name as `ip -d link` prints it; "" for what Linux has no kind for.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Loopback => "",
            Self::LinkEnd => "veth",
            Self::Bridge(_) => "bridge",
            Self::Dummy => "dummy",
        }
    }
}

/// Counts of a device (`ip -s link`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DevStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received, Ethernet headers included.
    pub rx_bytes: u64,
    /// Malformed frames received.
    pub rx_errors: u64,
    /// Frames that found the ring full or nobody to take them.
    pub rx_dropped: u64,
    /// Group frames received.
    pub multicast: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent, Ethernet headers included.
    pub tx_bytes: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// Frames dropped before they were sent.
    pub tx_dropped: u64,
    /// Times the carrier went.
    pub carrier_changes: u64,
}

/// A network device.
#[derive(Debug)]
pub struct Device {
    /// Its number: `ifindex`.
    pub id: DevId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DevKind,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// The largest packet it takes, bytes without the Ethernet header.
    pub mtu: u32,
    /// What it can do and what was set; [`Device::flags`] adds what follows from its state.
    pub(crate) own_flags: DevFlags,
    /// Whether a cable is plugged in.
    pub carrier: bool,
    /// Counts.
    pub stats: DevStats,
    /// The bridge that it is a port of.
    pub master: Option<DevId>,
    /// Its IPv4 addresses, primaries before their secondaries.
    pub addrs4: Vec<Addr4>,
    /// Its IPv6 addresses.
    pub addrs6: Vec<Addr6>,
    /// The IPv4 groups joined on it.
    pub groups4: Groups4,
    /// The IPv6 groups joined on it.
    pub groups6: Groups6,
    /// Its sysctls.
    pub conf: DevConf,
    /// What router discovery knows, as a host and as a router.
    pub nd: NdState,
    /// Whether frames are copied to [`crate::Turn::taps`].
    pub capture: bool,
    /// Whether large TCP segments go out whole (`ethtool -K … tso`); off: they are cut here.
    pub offload: bool,
    /// Whether frames that come together are joined before the protocols see them (`ethtool -K … gro`).
    pub gro: bool,
    /// Most frames in the transmit queue, for show (`txqueuelen`).
    pub tx_queue_len: u32,
    pub(crate) ring: VecDeque<Box<Pkt>>,
    pub(crate) ring_limit: usize,
    pub(crate) scheduled: bool,
    pub(crate) promiscuous: u32,
    pub(crate) allmulti: u32,
    /// Further addresses that frames are taken for, and how often each was asked for.
    pub(crate) stations: Vec<([u8; 6], u32)>,
}

impl Device {
    /// Whether it is set up.
    #[inline]
    pub const fn is_up(&self) -> bool {
        self.own_flags.contains(DevFlags::UP)
    }

    /// Whether it is up and has carrier.
    #[inline]
    pub const fn is_running(&self) -> bool {
        self.is_up() && self.carrier
    }

    /// Whether it is the loopback device.
    #[inline]
    pub const fn is_loopback(&self) -> bool {
        self.own_flags.contains(DevFlags::LOOPBACK)
    }

    /// Whether next hops must be resolved to link-layer addresses.
    #[inline]
    pub(crate) const fn needs_neigh(&self) -> bool {
        !self.own_flags.contains(DevFlags::NOARP) && !self.is_loopback()
    }

    /// All flags.
    pub fn flags(&self) -> DevFlags {
        let mut flags = self.own_flags;
        flags.set(DevFlags::RUNNING, self.is_running());
        flags.set(DevFlags::LOWER_UP, self.is_running());
        flags.set(DevFlags::PROMISC, self.promiscuous > 0);
        flags.set(DevFlags::ALLMULTI, self.allmulti > 0);
        flags
    }

    /// The bridge, if it is one.
    pub const fn bridge(&self) -> Option<&Bridge> {
        match &self.kind {
            DevKind::Bridge(bridge) => Some(bridge),
            _ => None,
        }
    }

    /// Whether it has this IPv4 address.
    pub fn has_addr4(&self, addr: Ipv4Addr) -> bool {
        self.addrs4.iter().any(|a| a.addr == addr)
    }

    /// Its entry for this IPv6 address.
    pub fn addr6(&self, addr: Ipv6Addr) -> Option<&Addr6> {
        self.addrs6.iter().find(|a| a.addr == addr)
    }

    /// Whether frames to a group's Ethernet address are taken: the device's filter.
    pub(crate) fn takes_group(&self, mac: [u8; 6]) -> bool {
        let [a, b, c, ..] = mac;
        match (a, b, c) {
            _ if self.allmulti > 0 || self.promiscuous > 0 || self.is_loopback() => true,
            (0x33, 0x33, _) if self.groups6.has_mac(mac) => true,
            (0x01, 0x00, 0x5e) if self.groups4.has_mac(mac) => true,
            _ => self.takes_station(mac),
        }
    }

    /// Whether a packet socket has asked for frames to this address.
    pub(crate) fn takes_station(&self, mac: [u8; 6]) -> bool {
        self.stations.iter().any(|(station, _)| *station == mac)
    }

    /// Frames to `mac` are taken as often as it was asked for, and no more when it was taken back as often.
    pub(crate) fn take_station(&mut self, mac: [u8; 6], on: bool) {
        match self.stations.iter().position(|(station, _)| *station == mac) {
            None if on => self.stations.push((mac, 1)),
            None => {}
            Some(at) if on => self.stations[at].1 += 1,
            Some(at) if self.stations[at].1 > 1 => self.stations[at].1 -= 1,
            Some(at) => {
                self.stations.swap_remove(at);
            }
        }
    }

    /// Whether IPv6 works on it.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.conf.v6.disable_ipv6 == 0 && self.mtu >= 1280 && self.master.is_none()
    }

    /// The MTU for IPv6: what router advertisements said, at most the device's.
    pub(crate) fn mtu6(&self) -> u32 {
        (self.conf.v6.mtu as u32).min(self.mtu)
    }
}

/// All devices of a namespace, by number.
#[derive(Debug, Default)]
pub struct Devices {
    slots: Vec<Option<Box<Device>>>,
    /// Sockets that want several datagrams at once (`UDP_GRO`); while there are none, datagrams are not joined.
    pub(crate) udp_gro_users: u32,
    /// Devices whose ring holds frames, in turn.
    pub(crate) poll: VecDeque<DevId>,
}

impl Devices {
    /// The loopback device's number.
    pub const LOOPBACK: DevId = DevId(1);
    /// The most devices of a namespace.
    pub const MAX: usize = 65_536;

    /// A device.
    #[inline]
    pub fn get(&self, dev: DevId) -> Option<&Device> {
        self.slots.get(dev.0 as usize)?.as_deref()
    }

    /// A device, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, dev: DevId) -> Option<&mut Device> {
        self.slots.get_mut(dev.0 as usize)?.as_deref_mut()
    }

    /// Switches the capture of frames on a device on or off; false if there is no such device.
    pub fn set_capture(&mut self, dev: DevId, on: bool) -> bool {
        self.get_mut(dev).map(|d| d.capture = on).is_some()
    }

    /// A device by its name.
    pub fn by_name(&self, name: &str) -> Option<&Device> {
        self.iter().find(|d| d.name == name)
    }

    /// All devices, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Device> + '_ {
        self.slots.iter().filter_map(Option::as_deref)
    }

    /// All devices, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Device> + '_ {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// The number that the next device gets: 1 for the first.
    pub(crate) fn next_id(&self) -> DevId {
        DevId(self.slots.len().max(1) as u32)
    }

    /// Adds a device under its number.
    pub(crate) fn insert(&mut self, device: Device) {
        let index = device.id.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Box::new(device));
    }

    /// Takes a device away.
    pub(crate) fn remove(&mut self, dev: DevId) -> Option<Box<Device>> {
        self.poll.retain(|&d| d != dev);
        self.slots.get_mut(dev.0 as usize)?.take()
    }
}
