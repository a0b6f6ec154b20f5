//! The namespace and its calls.

use std::net::IpAddr;

use ipnet::IpNet;
use netspace_base::{DevId, Instant, NsId, Pkt, Seed};

use crate::Turn;
use crate::sock::SockError;

/// What a namespace is made with.
#[derive(Clone, Debug)]
pub struct NetnsConfig {
    /// Its number in the lab.
    pub id: NsId,
    /// Its name: the host's.
    pub name: String,
    /// The lab's seed; the namespace draws its own streams from it.
    pub seed: Seed,
}

/// One network namespace: devices, addresses, routes, neighbours, sockets, counters.
#[derive(Debug)]
pub struct Netns {
    /// Its number in the lab.
    pub id: NsId,
}

// ---- Inputs: frames and timers -------------------------------------------------------------------------------------
impl Netns {
    /// A namespace with a loopback device (`lo`, ifindex 1, up, 127.0.0.1/8 and ::1/128).
    pub fn new(_config: NetnsConfig, _turn: &mut Turn) -> Self {
        todo!()
    }

    /// A frame has arrived on `dev`'s link: it enters the receive ring. Nothing is processed yet: call [`Netns::run`].
    pub fn receive(&mut self, _turn: &mut Turn, _dev: DevId, _pkt: Box<Pkt>) {
        todo!()
    }

    /// Works off rings and the backlog until they are empty or the budget is used up; true if more is left.
    pub fn run(&mut self, _turn: &mut Turn) -> bool {
        todo!()
    }

    /// When [`Netns::on_timeout`] must next be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Carries out what is due at `turn.now`.
    pub fn on_timeout(&mut self, _turn: &mut Turn) {
        todo!()
    }
}

// ---- Configuration (the lab file and netlink both end here) --------------------------------------------------------
impl Netns {
    /// Adds a link end named `name`; frames leave it as [`crate::Effect::Xmit`]. It is down until set up.
    pub fn add_link_end(
        &mut self,
        _t: &mut Turn,
        _name: &str,
        _mac: [u8; 6],
        _mtu: u32,
    ) -> Result<DevId, SockError> {
        todo!()
    }

    /// Adds a bridge named `name`; `learn` false makes it a hub.
    pub fn add_bridge(
        &mut self,
        _t: &mut Turn,
        _name: &str,
        _mac: [u8; 6],
        _learn: bool,
    ) -> Result<DevId, SockError> {
        todo!()
    }

    /// Makes `port` a port of `bridge`, or takes it out.
    pub fn set_master(
        &mut self,
        _t: &mut Turn,
        _port: DevId,
        _bridge: Option<DevId>,
    ) -> Result<(), SockError> {
        todo!()
    }

    /// Sets a device up or down (`ip link set … up`).
    pub fn set_up(&mut self, _t: &mut Turn, _dev: DevId, _up: bool) -> Result<(), SockError> {
        todo!()
    }

    /// The link's carrier has come or gone (cable plugged, unplugged).
    pub fn set_carrier(&mut self, _t: &mut Turn, _dev: DevId, _carrier: bool) {
        todo!()
    }

    /// Sets a device's MTU, bytes.
    pub fn set_mtu(&mut self, _t: &mut Turn, _dev: DevId, _mtu: u32) -> Result<(), SockError> {
        todo!()
    }

    /// Adds an address with its prefix length (`ip addr add`); the connected route comes with it, and for IPv6 duplicate
    /// address detection unless `nodad`.
    pub fn add_address(
        &mut self,
        _t: &mut Turn,
        _dev: DevId,
        _addr: IpNet,
        _nodad: bool,
    ) -> Result<(), SockError> {
        todo!()
    }

    /// Takes an address away.
    pub fn del_address(&mut self, _t: &mut Turn, _dev: DevId, _addr: IpNet) -> Result<(), SockError> {
        todo!()
    }

    /// Adds a route: to `prefix`, by `via` (none: on the link) and `dev` (none: where `via` is).
    pub fn add_route(
        &mut self,
        _t: &mut Turn,
        _prefix: IpNet,
        _via: Option<IpAddr>,
        _dev: Option<DevId>,
        _metric: u32,
    ) -> Result<(), SockError> {
        todo!()
    }

    /// Sets a sysctl under `/proc/sys/net` (`ipv4.ip_forward` = `1`).
    pub fn set_sysctl(&mut self, _t: &mut Turn, _name: &str, _value: &str) -> Result<(), SockError> {
        todo!()
    }

    /// Reads a sysctl.
    pub fn sysctl(&self, _name: &str) -> Option<String> {
        todo!()
    }
}
