//! Configuration: the calls that the lab file and netlink both end in.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netspace_base::{DevId, DropReason};
use netspace_fib::{Add, FibError, NextHop, Route, protocol};

use crate::dev::bridge::Bridge;
use crate::dev::{DevFlags, DevKind, DevStats, Device, Devices};
use crate::error::SockError;
use crate::ip6::addr::Addr6;
use crate::membership::Filter;
use crate::{Netns, NetnsConfig, Stop, Turn, ip, ip6, neigh};

/// The metric of an IPv6 route that is given none (`IP6_RT_PRIO_USER`).
const METRIC_V6_DEFAULT: u32 = 1024;
/// The longest name of a device (`IFNAMSIZ` without its end).
const NAME_MAX: usize = 15;
/// The smallest MTU of a device (RFC 791).
const MTU_MIN: u32 = 68;
/// The largest MTU of a device.
const MTU_MAX: u32 = 65_536;

/// What Linux takes as a device's name (`dev_valid_name`); `all` and `default` would hide sysctls.
fn check_name(name: &str) -> Result<(), SockError> {
    let bad = name.is_empty() || name.len() > NAME_MAX || matches!(name, "." | ".." | "all" | "default");
    if bad || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return Err(SockError::Invalid);
    }
    Ok(())
}

// ---- Devices -------------------------------------------------------------------------------------------------------
impl Netns {
    /// A namespace with a loopback device (`lo`, ifindex 1, up, 127.0.0.1/8 and ::1/128).
    pub fn new(config: NetnsConfig, t: &mut Turn) -> Self {
        let mut ns = Self::empty(config);
        ns.add_loopback(t);
        ns
    }

    fn add_loopback(&mut self, t: &mut Turn) {
        let Ok(lo) = self.add_device("lo", DevKind::Loopback, [0; 6], 65_536) else { return };
        let _ = self.add_address(t, lo, IpNet::V4(Ipv4Net::new_assert([127, 0, 0, 1].into(), 8)), true);
        let _ = self.set_up(t, lo, true);
    }

    fn add_device(&mut self, name: &str, kind: DevKind, mac: [u8; 6], mtu: u32) -> Result<DevId, SockError> {
        check_name(name)?;
        if self.dev.by_name(name).is_some() {
            return Err(SockError::Exists);
        }
        if !(MTU_MIN..=MTU_MAX).contains(&mtu) || mac[0] & 1 != 0 {
            return Err(SockError::Invalid);
        }
        let id = self.dev.next_id();
        if id.0 as usize > Devices::MAX {
            return Err(SockError::NoMemory);
        }
        let own_flags = match kind {
            DevKind::Loopback => DevFlags::LOOPBACK,
            DevKind::Dummy => DevFlags::BROADCAST | DevFlags::NOARP,
            DevKind::LinkEnd | DevKind::Bridge(_) => DevFlags::BROADCAST | DevFlags::MULTICAST,
        };
        let mut conf = self.sysctl.for_new_device();
        conf.v6.mtu = mtu as i32;
        self.dev.insert(Device {
            id,
            name: name.to_owned(),
            kind,
            mac,
            mtu,
            own_flags,
            carrier: true,
            stats: DevStats::default(),
            master: None,
            addrs4: Vec::new(),
            addrs6: Vec::new(),
            groups4: Default::default(),
            groups6: Default::default(),
            conf,
            nd: Default::default(),
            capture: false,
            offload: true,
            gro: true,
            tx_queue_len: 1000,
            ring: Default::default(),
            ring_limit: self.sysctl.core.netdev_max_backlog as usize,
            scheduled: false,
            promiscuous: 0,
            allmulti: 0,
            stations: Vec::new(),
        });
        Ok(id)
    }

    /// Adds a link end named `name`; frames leave it as [`crate::Effect::Xmit`]. It is down until set up.
    pub fn add_link_end(
        &mut self,
        _t: &mut Turn,
        name: &str,
        mac: [u8; 6],
        mtu: u32,
    ) -> Result<DevId, SockError> {
        self.add_device(name, DevKind::LinkEnd, mac, mtu)
    }

    /// Adds a bridge named `name`; `learn` false makes it a hub.
    pub fn add_bridge(
        &mut self,
        _t: &mut Turn,
        name: &str,
        mac: [u8; 6],
        learn: bool,
    ) -> Result<DevId, SockError> {
        let bridge = Bridge::new(learn, self.rng.u64());
        let dev = self.add_device(name, DevKind::Bridge(Box::new(bridge)), mac, 1500)?;
        if let Some(device) = self.dev.get_mut(dev) {
            device.carrier = false;
        }
        Ok(dev)
    }

    /// Adds a device that swallows what it is given (`ip link add … type dummy`).
    pub fn add_dummy(&mut self, _t: &mut Turn, name: &str, mac: [u8; 6]) -> Result<DevId, SockError> {
        self.add_device(name, DevKind::Dummy, mac, 1500)
    }

    /// Removes a device with its addresses, routes and neighbours (`ip link del`).
    pub fn del_device(&mut self, t: &mut Turn, dev: DevId) -> Result<(), SockError> {
        let device = self.dev.get(dev).ok_or(SockError::NoDevice)?;
        if device.is_loopback() {
            return Err(SockError::OperationUnsupported);
        }
        let ports = device.bridge().map(|b| b.ports.clone()).unwrap_or_default();
        self.set_up(t, dev, false)?;
        self.set_master(t, dev, None)?;
        for port in ports {
            self.set_master(t, port, None)?;
        }
        self.packets.on_dev_down(t, dev, true);
        if let Some(gone) = self.dev.remove(dev) {
            for pkt in gone.ring {
                self.finish(t, Err(Stop::Drop(pkt, DropReason::DevDown)));
            }
        }
        Ok(())
    }

    /// Makes `port` a port of `bridge`, or takes it out.
    pub fn set_master(&mut self, t: &mut Turn, port: DevId, bridge: Option<DevId>) -> Result<(), SockError> {
        let device = self.dev.get(port).ok_or(SockError::NoDevice)?;
        let (old, mac, up) = (device.master, device.mac, device.is_up());
        if let Some(bridge) = bridge {
            self.dev
                .get(bridge)
                .ok_or(SockError::NoDevice)?
                .bridge()
                .ok_or(SockError::OperationUnsupported)?;
            if device.is_loopback() || device.bridge().is_some() || bridge == port {
                return Err(SockError::TooManyReferences);
            }
        }
        if old == bridge {
            return Ok(());
        }
        if let Some(old) = old {
            self.with_bridge(old, |b| {
                b.ports.retain(|&p| p != port);
                b.forget_port(port, true);
            });
            self.bridge_carrier(t, old);
        }
        // A port's frames are the bridge's: its own IPv6 ends (addresses belong on the bridge).
        if bridge.is_some() && up {
            ip6::addr::device_down(self, port, true);
        }
        if let Some(device) = self.dev.get_mut(port) {
            device.master = bridge;
        }
        match bridge {
            Some(bridge) => {
                self.with_bridge(bridge, |b| {
                    b.ports.push(port);
                    b.add_permanent(mac, port, true);
                });
                self.bridge_carrier(t, bridge);
            }
            None if up => ip6::addr::device_up(self, t, port),
            None => {}
        }
        self.routes_changed();
        Ok(())
    }

    fn with_bridge(&mut self, dev: DevId, change: impl FnOnce(&mut Bridge)) {
        if let Some(DevKind::Bridge(bridge)) = self.dev.get_mut(dev).map(|d| &mut d.kind) {
            change(bridge);
        }
    }

    /// A bridge has carrier while one of its ports runs.
    fn bridge_carrier(&mut self, t: &mut Turn, bridge: DevId) {
        let Some(ports) = self.dev.get(bridge).and_then(Device::bridge).map(|b| b.ports.clone()) else {
            return;
        };
        let any = ports.iter().any(|&p| self.dev.get(p).is_some_and(Device::is_running));
        self.set_carrier(t, bridge, any);
    }

    /// Changes how long a bridge remembers stations, or whether it learns at all.
    pub fn set_bridge(
        &mut self,
        bridge: DevId,
        ageing: std::time::Duration,
        learn: bool,
    ) -> Result<(), SockError> {
        self.dev.get(bridge).and_then(Device::bridge).ok_or(SockError::NoDevice)?;
        self.with_bridge(bridge, |b| {
            b.ageing = ageing;
            b.learning = learn;
        });
        Ok(())
    }

    /// Puts a station into a bridge's forwarding database by hand (`port`), or forgets it (none).
    pub fn set_fdb(&mut self, bridge: DevId, mac: [u8; 6], port: Option<DevId>) -> Result<(), SockError> {
        let known = self.dev.get(bridge).and_then(Device::bridge).ok_or(SockError::NoDevice)?;
        if port.is_some_and(|p| !known.ports.contains(&p)) {
            return Err(SockError::Invalid);
        }
        let mut result = Ok(());
        self.with_bridge(bridge, |b| match port {
            Some(port) => b.add_permanent(mac, port, false),
            None if b.forget(mac) => {}
            None => result = Err(SockError::NoEntry),
        });
        result
    }

    /// Sets a device up or down (`ip link set … up`).
    pub fn set_up(&mut self, t: &mut Turn, dev: DevId, up: bool) -> Result<(), SockError> {
        let device = self.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
        if device.is_up() == up {
            return Ok(());
        }
        if up {
            device.own_flags |= DevFlags::UP;
            self.device_up(t, dev);
        } else {
            self.device_down(t, dev);
        }
        if let Some(master) = self.dev.get(dev).and_then(|d| d.master) {
            self.bridge_carrier(t, master);
        }
        self.routes_changed();
        Ok(())
    }

    fn device_up(&mut self, t: &mut Turn, dev: DevId) {
        let port = self.dev.get(dev).is_some_and(|d| d.master.is_some());
        ip::addr::device_up(self, t, dev);
        if !port {
            ip::igmp::device_up(self, t, dev);
            ip6::addr::device_up(self, t, dev);
        }
    }

    fn device_down(&mut self, t: &mut Turn, dev: DevId) {
        ip::igmp::device_down(self, dev);
        ip::addr::device_down(self, dev);
        ip6::addr::device_down(self, dev, false);
        neigh::resolve::device_down(self, t, dev, false);
        self.packets.on_dev_down(t, dev, false);
        let Some(device) = self.dev.get_mut(dev) else { return };
        device.own_flags -= DevFlags::UP;
        let waiting = std::mem::take(&mut device.ring);
        let master = device.master;
        for pkt in waiting {
            self.finish(t, Err(Stop::Drop(pkt, DropReason::DevDown)));
        }
        if let Some(master) = master {
            self.with_bridge(master, |b| b.forget_port(dev, false));
        }
    }

    /// The link's carrier has come or gone (cable plugged, unplugged).
    pub fn set_carrier(&mut self, t: &mut Turn, dev: DevId, carrier: bool) {
        let Some(device) = self.dev.get_mut(dev).filter(|d| d.carrier != carrier) else { return };
        device.carrier = carrier;
        device.stats.carrier_changes += 1;
        let (up, master) = (device.is_up(), device.master);
        if up && carrier {
            let addrs: Vec<_> = device.addrs4.iter().map(|a| a.addr).collect();
            for addr in addrs {
                neigh::arp::announce(self, t, dev, addr);
            }
            ip6::dad::resume(self, t, dev);
            ip6::discover::device_up(self, t, dev);
        } else if up {
            // Who is on the link may have changed: what is known is not trusted any more.
            neigh::resolve::device_down(self, t, dev, true);
        }
        if let Some(master) = master {
            if !carrier {
                self.with_bridge(master, |b| b.forget_port(dev, false));
            }
            self.bridge_carrier(t, master);
        }
        self.routes_changed();
    }

    /// Sets a device's MTU, bytes.
    pub fn set_mtu(&mut self, t: &mut Turn, dev: DevId, mtu: u32) -> Result<(), SockError> {
        if !(MTU_MIN..=MTU_MAX).contains(&mtu) {
            return Err(SockError::Invalid);
        }
        let device = self.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
        let (before, up) = (device.mtu, device.is_up());
        device.mtu = mtu;
        if mtu >= 1280 {
            device.conf.v6.mtu = mtu as i32;
        }
        // Below IPv6's least MTU there is no IPv6 (RFC 8200 §5).
        if up && before >= 1280 && mtu < 1280 {
            ip6::addr::device_down(self, dev, true);
        } else if up && before < 1280 && mtu >= 1280 {
            ip6::addr::device_up(self, t, dev);
        }
        self.routes_changed();
        Ok(())
    }

    /// Whether a device joins frames of a flow that come together (`ethtool -K … gro on`).
    pub fn set_gro(&mut self, dev: DevId, on: bool) -> Result<(), SockError> {
        self.dev.get_mut(dev).map(|d| d.gro = on).ok_or(SockError::NoDevice)
    }

    /// Whether large segments leave a device whole, for the other end or the link to cut (`ethtool -K … tso on`).
    pub fn set_offload(&mut self, dev: DevId, on: bool) -> Result<(), SockError> {
        self.dev.get_mut(dev).map(|d| d.offload = on).ok_or(SockError::NoDevice)
    }

    /// Sets a device's Ethernet address (`ip link set … address`).
    pub fn set_mac(&mut self, t: &mut Turn, dev: DevId, mac: [u8; 6]) -> Result<(), SockError> {
        let device = self.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
        if mac[0] & 1 != 0 || mac == [0; 6] || device.is_loopback() {
            return Err(SockError::AddressNotAvailable);
        }
        let old = std::mem::replace(&mut device.mac, mac);
        let master = device.master;
        let addrs: Vec<_> = device.addrs4.iter().map(|a| a.addr).collect();
        for addr in addrs {
            neigh::arp::announce(self, t, dev, addr);
        }
        if let Some(master) = master {
            self.with_bridge(master, |b| {
                b.forget(old);
                b.add_permanent(mac, dev, true);
            });
        }
        Ok(())
    }

    /// Renames a device.
    pub fn set_name(&mut self, dev: DevId, name: &str) -> Result<(), SockError> {
        if self.dev.by_name(name).is_some() {
            return Err(SockError::Exists);
        }
        check_name(name)?;
        let device = self.dev.get_mut(dev).ok_or(SockError::NoDevice)?;
        name.clone_into(&mut device.name);
        Ok(())
    }
}

// ---- Addresses -----------------------------------------------------------------------------------------------------
impl Netns {
    /// Adds an address with its prefix length (`ip addr add`); the connected route comes with it, and for IPv6 duplicate
    /// address detection unless `nodad`.
    pub fn add_address(
        &mut self,
        t: &mut Turn,
        dev: DevId,
        addr: IpNet,
        nodad: bool,
    ) -> Result<(), SockError> {
        match addr {
            IpNet::V4(net) => ip::addr::add(self, t, dev, net),
            IpNet::V6(net) => ip6::addr::add(self, t, dev, Addr6::new(net), nodad),
        }
    }

    /// Takes an address away.
    pub fn del_address(&mut self, t: &mut Turn, dev: DevId, addr: IpNet) -> Result<(), SockError> {
        match addr {
            IpNet::V4(net) => ip::addr::remove(self, t, dev, net),
            IpNet::V6(net) => ip6::addr::remove(self, t, dev, net),
        }
    }

    /// Whether an address is one of this host's, and may be used.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => ip::source::is_local(self, addr),
            IpAddr::V6(addr) => ip6::source::is_local(self, addr),
        }
    }
}

// ---- Routes --------------------------------------------------------------------------------------------------------

fn from_fib(error: FibError) -> SockError {
    match error {
        FibError::Exists => SockError::Exists,
        FibError::NotFound => SockError::NoProcess,
        FibError::Full => SockError::NoBuffers,
    }
}

impl Netns {
    /// Adds a route: to `prefix`, by `via` (none: on the link) and `dev` (none: where `via` is).
    pub fn add_route(
        &mut self,
        t: &mut Turn,
        prefix: IpNet,
        via: Option<IpAddr>,
        dev: Option<DevId>,
        metric: u32,
    ) -> Result<(), SockError> {
        match (prefix, via) {
            (IpNet::V4(net), None) => {
                let hop = NextHop::on(dev.ok_or(SockError::NoDevice)?);
                self.add_route4(t, Route { metric, ..Route::new(net, hop) }, Add::New)
            }
            (IpNet::V4(net), Some(IpAddr::V4(via))) => {
                let hop = NextHop::by(via, dev.unwrap_or(DevId::NONE));
                self.add_route4(t, Route { metric, ..Route::new(net, hop) }, Add::New)
            }
            (IpNet::V6(net), None) => {
                let hop = NextHop::on(dev.ok_or(SockError::NoDevice)?);
                self.add_route6(t, Route { metric, ..Route::new(net, hop) }, Add::New)
            }
            (IpNet::V6(net), Some(IpAddr::V6(via))) => {
                let hop = NextHop::by(via, dev.unwrap_or(DevId::NONE));
                self.add_route6(t, Route { metric, ..Route::new(net, hop) }, Add::New)
            }
            _ => Err(SockError::Invalid),
        }
    }

    /// Removes the first route to `prefix` of the main table that fits what is given.
    pub fn del_route(
        &mut self,
        _t: &mut Turn,
        prefix: IpNet,
        via: Option<IpAddr>,
        dev: Option<DevId>,
    ) -> Result<(), SockError> {
        let fits = |hop_via: Option<IpAddr>, hop_dev: DevId| {
            via.is_none_or(|v| hop_via == Some(v)) && dev.is_none_or(|d| hop_dev == d)
        };
        let gone = match prefix {
            IpNet::V4(net) => self
                .fib4
                .remove(netspace_fib::TABLE_MAIN, net, |r| {
                    let bare = r.hops.is_empty() && via.is_none() && dev.is_none();
                    bare || r.hops.iter().any(|h| fits(h.via.map(IpAddr::V4), h.dev))
                })
                .map(|_| ()),
            IpNet::V6(net) => self
                .fib6
                .remove(netspace_fib::TABLE_MAIN, net, |r| {
                    let bare = r.hops.is_empty() && via.is_none() && dev.is_none();
                    bare || r.hops.iter().any(|h| fits(h.via.map(IpAddr::V6), h.dev))
                })
                .map(|_| ()),
        };
        self.ip.exceptions.clear();
        self.ip6.exceptions.clear();
        self.routes_changed();
        gone.map_err(from_fib)
    }

    /// Adds an IPv4 route with all that it can say. A next hop without a device gets the one through which its gateway
    /// is reached; a gateway that is on no link is refused (`NetworkUnreachable`), as on Linux.
    pub fn add_route4(
        &mut self,
        _t: &mut Turn,
        mut route: Route<Ipv4Net>,
        how: Add,
    ) -> Result<(), SockError> {
        if route.prefix != route.prefix.trunc() {
            return Err(SockError::Invalid);
        }
        if route.hops.is_empty() && !route.kind.is_refusal() {
            return Err(SockError::NoDevice);
        }
        for hop in &mut route.hops {
            if let Some(via) = hop.via {
                let direct =
                    self.dev.iter().filter(|d| d.is_up() && (hop.dev == DevId::NONE || d.id == hop.dev));
                let found = direct
                    .flat_map(|d| d.addrs4.iter().map(move |a| (d.id, a)))
                    .find(|(_, a)| a.net().contains(&via) && a.addr != via);
                hop.dev = match found {
                    Some((dev, _)) => dev,
                    None if hop.onlink && hop.dev != DevId::NONE => hop.dev,
                    None => self.dev_of_gateway4(via, hop.dev)?,
                };
            }
            let device = self.dev.get(hop.dev).ok_or(SockError::NoDevice)?;
            if !device.is_up() {
                return Err(SockError::NetworkDown);
            }
        }
        self.fib4.add(route, how).map_err(from_fib)?;
        self.ip.exceptions.clear();
        self.routes_changed();
        Ok(())
    }

    /// A gateway that is no neighbour by address may be one by a route on the link.
    fn dev_of_gateway4(&self, via: std::net::Ipv4Addr, dev: DevId) -> Result<DevId, SockError> {
        let query = netspace_fib::Query::to(via);
        let wanted = |_: &Route<Ipv4Net>, h: &NextHop<std::net::Ipv4Addr>| {
            (dev == DevId::NONE || h.dev == dev).then_some(0)
        };
        match self.fib4.lookup(&query, wanted) {
            Some((r, hop)) if r.kind == netspace_fib::Kind::Unicast && hop.via.is_none() => Ok(hop.dev),
            Some((r, _)) if r.kind == netspace_fib::Kind::Local => Err(SockError::Invalid),
            _ => Err(SockError::NetworkUnreachable),
        }
    }

    /// Adds an IPv6 route with all that it can say; rules as for [`Netns::add_route4`].
    pub fn add_route6(
        &mut self,
        _t: &mut Turn,
        mut route: Route<Ipv6Net>,
        how: Add,
    ) -> Result<(), SockError> {
        if route.prefix != route.prefix.trunc() {
            return Err(SockError::Invalid);
        }
        if route.hops.is_empty() && !route.kind.is_refusal() {
            return Err(SockError::NoDevice);
        }
        if route.metric == 0 && route.protocol != protocol::KERNEL {
            route.metric = METRIC_V6_DEFAULT;
        }
        for hop in &mut route.hops {
            if let Some(via) = hop.via
                && hop.dev == DevId::NONE
            {
                if via.is_unicast_link_local() {
                    return Err(SockError::NoDevice);
                }
                let query = netspace_fib::Query::to(via);
                hop.dev = match self.fib6.lookup(&query, |_, _| Some(0)) {
                    Some((r, h)) if r.kind == netspace_fib::Kind::Unicast && h.via.is_none() => h.dev,
                    Some((r, _)) if r.kind == netspace_fib::Kind::Local => return Err(SockError::Invalid),
                    _ => return Err(SockError::HostUnreachable),
                };
            }
            let device = self.dev.get(hop.dev).ok_or(SockError::NoDevice)?;
            if !device.is_up() {
                return Err(SockError::NetworkDown);
            }
        }
        self.fib6.add(route, how).map_err(from_fib)?;
        self.ip6.exceptions.clear();
        self.routes_changed();
        Ok(())
    }
}

// ---- Groups --------------------------------------------------------------------------------------------------------
impl Netns {
    /// Changes the filter of one of a group's users on a device, for a socket: `old` is none for one that joins, `new` for
    /// one that leaves.
    pub(crate) fn change_membership(
        &mut self,
        t: &mut Turn,
        dev: DevId,
        group: IpAddr,
        old: Option<&Filter<IpAddr>>,
        new: Option<&Filter<IpAddr>>,
    ) -> Result<(), SockError> {
        let four =
            |filter: &Filter<IpAddr>| filter.map(|a| if let IpAddr::V4(v4) = a { Some(v4) } else { None });
        let six =
            |filter: &Filter<IpAddr>| filter.map(|a| if let IpAddr::V6(v6) = a { Some(v6) } else { None });
        match group {
            IpAddr::V4(group) => {
                ip::igmp::change(self, t, dev, group, old.map(four).as_ref(), new.map(four).as_ref())
            }
            IpAddr::V6(group) => {
                ip6::mld::change(self, t, dev, group, old.map(six).as_ref(), new.map(six).as_ref())
            }
        }
    }
}
