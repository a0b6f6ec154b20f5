//! The host under test, in virtual time: one namespace with one device, and what leaves by it.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;
use netspace_base::{DevId, DropReason, Instant, NsId, Pkt, PktId, Seed};
use netspace_stack::sock::SockId;
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};
use netspace_wire::checksum;
use netspace_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN};

use super::setup::Setup;

/// The device's name, as public scripts know it.
pub(super) const DEVICE: &str = "tun0";
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The host has been up for a while: clocks do not stand at zero.
const BOOT: Instant = Instant::from_secs(1000);
/// Rounds at one moment after which something goes in circles.
const ROUNDS_MAX: usize = 100_000;

/// A packet that has left, from its IP header on.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) bytes: Vec<u8>,
}

/// The host, its clock, and what it has sent.
pub(super) struct World {
    pub(super) ns: Netns,
    pub(super) t: Turn,
    pub(super) dev: DevId,
    pub(super) sent: VecDeque<Sent>,
    /// Sockets that something happened to since the last look.
    pub(super) woken: BTreeSet<SockId>,
    /// The script's start.
    pub(super) start: Instant,
    packets: u64,
}

impl World {
    /// A host as the setup says: device up, address, gateway, a route to the remote host only.
    pub(super) fn new(setup: &Setup) -> Result<Self, String> {
        let mut t = Turn::default();
        t.now = BOOT;
        let config = NetnsConfig { id: NsId(1), name: "host".into(), seed: Seed(1) };
        let mut ns = Netns::new(config, &mut t);
        let dev = ns.add_link_end(&mut t, DEVICE, MAC, setup.mtu).map_err(|e| format!("{DEVICE}: {e}"))?;
        let mut world =
            Self { ns, t, dev, sent: VecDeque::new(), woken: BTreeSet::new(), start: BOOT, packets: 0 };
        world.configure(setup).map_err(|e| format!("the host's addresses: {e}"))?;
        world.settle();
        Ok(world)
    }

    fn configure(&mut self, setup: &Setup) -> Result<(), netspace_stack::sock::SockError> {
        let (ns, t, dev) = (&mut self.ns, &mut self.t, self.dev);
        ns.set_carrier(t, dev, true);
        ns.set_up(t, dev, true)?;
        let net = |addr: IpAddr, bits: u8| {
            IpNet::new(addr, bits).map_err(|_| netspace_stack::sock::SockError::Invalid)
        };
        ns.add_address(t, dev, net(setup.local, setup.prefix)?, true)?;
        for neighbour in [setup.gateway, setup.remote] {
            ns.set_neighbour(t, dev, neighbour, GATEWAY_MAC);
        }
        if !net(setup.local, setup.prefix)?.contains(&setup.remote) {
            let bits = if setup.remote.is_ipv4() { 32 } else { 128 };
            // A gateway that is the host itself, as public suites give it for IPv4, means "on the link".
            let via = Some(setup.gateway).filter(|g| *g != setup.local);
            ns.add_route(t, net(setup.remote, bits)?, via, Some(dev), 0)?;
        }
        Ok(())
    }

    /// Nanoseconds since the script's start.
    pub(super) fn now_ns(&self) -> i64 {
        self.t.now.as_nanos() as i64 - self.start.as_nanos() as i64
    }

    /// The moment `ns` nanoseconds after the script's start.
    pub(super) fn moment(&self, ns: i64) -> Instant {
        Instant::from_nanos(self.start.as_nanos().saturating_add_signed(ns))
    }

    /// Carries out what calls and packets have brought about at this moment.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            while self.ns.run(&mut self.t) {}
            if self.t.effects.is_empty() {
                return;
            }
            for effect in std::mem::take(&mut self.t.effects) {
                match effect {
                    Effect::Wake(id) => {
                        self.woken.insert(id);
                    }
                    Effect::WakePacket(_) => {}
                    Effect::Xmit { pkt, .. } => {
                        let bytes = pkt.copy_range(HEADER_LEN, pkt.len());
                        self.sent.push_back(Sent { at: self.t.now, bytes });
                    }
                }
            }
        }
    }

    /// When the host will next do something by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ns.next_timeout()
    }

    /// Lets time pass up to `at`, at which timers fire.
    pub(super) fn jump(&mut self, at: Instant) {
        self.t.now = self.t.now.max(at);
        self.ns.on_timeout(&mut self.t);
        self.settle();
    }

    /// A packet arrives, from its IP header on; its transport checksum is filled in. Why it was dropped, if it was.
    pub(super) fn inject(&mut self, ip: &[u8]) -> Option<DropReason> {
        let v6 = ip.first().is_some_and(|b| b >> 4 == 6);
        let ethertype = if v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        let frame = [&MAC[..], &GATEWAY_MAC, &ethertype.to_be_bytes(), ip].concat();
        self.packets += 1;
        let mut pkt = Pkt::from_slice(PktId(1 << 40 | self.packets), &frame);
        pkt.protocol = ethertype;
        pkt.set_mac_header();
        checksum::recompute(&mut pkt);
        pkt.checksum = netspace_base::ChecksumState::None;
        let before: Vec<(DropReason, u64)> = self.t.ledger.drops().collect();
        self.ns.receive(&mut self.t, self.dev, pkt);
        self.settle();
        let dropped = self.t.ledger.drops().find(|drop| !before.contains(drop));
        dropped.map(|(reason, _)| reason)
    }
}
