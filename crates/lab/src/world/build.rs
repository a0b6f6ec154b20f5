//! From a plan to a running world.

use std::sync::Arc;

use ipnet::IpNet;
use netspace_base::{DevId, NsId, Seed};
use netspace_sched::LinkDirection;
use netspace_stack::ip6::ra::{AdvertisedPrefix, RouterConfig};
use netspace_stack::sock::SockError;
use netspace_stack::{Netns, NetnsConfig, Turn};

use crate::names::Names;
use crate::plan::{Interface, Plan, PlanNode, bridge_mac};

use super::agenda::Agenda;
use super::link::{Link, LinkEnd};
use super::resolver::Resolver;
use super::{Clock, Host, World};

/// Why a world could not be made: the stack refused what the plan says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{host}: {what}: {error}")]
pub struct BuildError {
    /// On which host.
    pub host: String,
    /// What was being set.
    pub what: String,
    /// What the stack said.
    pub error: SockError,
}

impl World {
    /// Makes the hosts and links of a plan; they are up, and idle until the world is run. Without a seed, the plan's, or
    /// [`World::DEFAULT_SEED`].
    pub fn from_plan(
        plan: impl Into<Arc<Plan>>,
        seed: Option<Seed>,
        clock: Clock,
    ) -> Result<Self, BuildError> {
        Self::from_plan_watched(plan, seed, clock, |_| Ok(()))
    }

    /// The same; `watch` is called before any device is up, so that a tap or a trace misses nothing of what the hosts
    /// send as they come up (neighbour and router discovery, group reports).
    pub fn from_plan_watched<E: From<BuildError>>(
        plan: impl Into<Arc<Plan>>,
        seed: Option<Seed>,
        clock: Clock,
        watch: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<Self, E> {
        let plan: Arc<Plan> = plan.into();
        let seed = seed.or(plan.seed.map(Seed)).unwrap_or(Self::DEFAULT_SEED);
        let mut world = Self {
            turn: Turn::default(),
            hosts: Vec::with_capacity(plan.nodes.len()),
            links: Vec::with_capacity(plan.links.len()),
            agenda: Agenda::new(2 * plan.links.len() + plan.nodes.len()),
            clock,
            dirty: Default::default(),
            wakes: Default::default(),
            packet_wakes: Default::default(),
            woken: Vec::new(),
            lent: None,
            spare: Vec::new(),
            fidelity: Default::default(),
            names: Arc::new(Names::of(&plan)),
            plan: plan.clone(),
            taps: Vec::new(),
            programs: Default::default(),
        };
        let mut devices = Vec::with_capacity(plan.nodes.len());
        for number in 0..plan.nodes.len() {
            devices.push(world.add_host(number, &plan, seed)?);
        }
        world.add_links(&plan, &devices, seed);
        watch(&mut world)?;
        for (number, devices) in devices.iter().enumerate() {
            world.configure(number, &plan.nodes[number], devices)?;
        }
        Ok(world)
    }

    /// A namespace with its devices, which are down and without addresses.
    fn add_host(&mut self, number: usize, plan: &Plan, seed: Seed) -> Result<Vec<DevId>, BuildError> {
        let node = &plan.nodes[number];
        let turn = &mut self.turn;
        turn.now = self.clock.now();
        let fail = |what: String| move |error| BuildError { host: node.name.clone(), what, error };
        let mut netns =
            Netns::new(NetnsConfig { id: NsId(number as u32), name: node.name.clone(), seed }, turn);
        if node.kind.is_switch() {
            // It forwards frames and has no addresses of its own.
            for name in ["ipv6.conf.all.disable_ipv6", "ipv6.conf.default.disable_ipv6"] {
                netns.set_sysctl(turn, name, "1").map_err(fail(format!("sysctl net.{name}")))?;
            }
        }
        let mut devices = Vec::with_capacity(node.interfaces.len());
        for i in &node.interfaces {
            let dev = netns.add_link_end(turn, &i.name, i.mac.0, i.mtu);
            devices.push(dev.map_err(fail(format!("interface {}", i.name)))?);
        }
        if let crate::file::NodeKind::Switch { hub } = node.kind {
            let bridge =
                netns.add_bridge(turn, "br0", bridge_mac(number), !hub).map_err(fail("bridge".into()))?;
            for &port in &devices {
                netns.set_master(turn, port, Some(bridge)).map_err(fail("bridge port".into()))?;
            }
            netns.set_up(turn, bridge, true).map_err(fail("bridge".into()))?;
        }
        let ports = devices.iter().map(|d| d.0 as usize + 1).max().unwrap_or(0);
        self.hosts.push(Host {
            name: node.name.clone(),
            kind: node.kind,
            netns,
            ports: vec![None; ports],
            dirty: false,
            resolver: None,
        });
        self.lent = Some(NsId(number as u32));
        self.settle();
        Ok(devices)
    }

    fn add_links(&mut self, plan: &Plan, devices: &[Vec<DevId>], seed: Seed) {
        for (number, link) in plan.links.iter().enumerate() {
            let ends = [0, 1].map(|e| {
                let (node, interface) = link.ends[e];
                let dev = devices[node][interface];
                self.hosts[node].ports[dev.0 as usize] = Some((number, e));
                LinkEnd {
                    ns: NsId(node as u32),
                    dev,
                    host: plan.nodes[node].name.clone(),
                    interface: plan.nodes[node].interfaces[interface].name.clone(),
                }
            });
            let towards = [0, 1].map(|e| LinkDirection::new(link.towards[e].clone()));
            let rng = [0, 1].map(|e| seed.stream("link", 2 * number as u64 + e));
            self.links.push(Link { ends, towards, rng, up: true });
        }
        for (number, link) in plan.links.iter().enumerate() {
            if !link.up {
                self.set_link_up(number, false);
            }
        }
    }

    /// Sysctls, addresses, up, routes: in the order in which an administrator would.
    fn configure(&mut self, number: usize, node: &PlanNode, devices: &[DevId]) -> Result<(), BuildError> {
        let ns = NsId(number as u32);
        let fail = |what: String| move |error| BuildError { host: node.name.clone(), what, error };
        let own = if node.kind.is_switch() { Vec::new() } else { interface_sysctls(&self.plan, number) };
        let (netns, turn) = self.lend(ns);
        for (name, value) in own {
            netns.set_sysctl(turn, &name, value).map_err(fail(format!("sysctl net.{name}")))?;
        }
        for (name, value) in &node.sysctls {
            netns.set_sysctl(turn, name, value).map_err(fail(format!("sysctl net.{name} = {value}")))?;
        }
        for (i, &dev) in node.interfaces.iter().zip(devices) {
            for &addr in &i.addresses {
                // The plan has made sure that nobody else has the address.
                netns
                    .add_address(turn, dev, addr, true)
                    .map_err(fail(format!("address {addr} on {}", i.name)))?;
            }
            netns.set_up(turn, dev, true).map_err(fail(format!("interface {} up", i.name)))?;
        }
        for route in &node.routes {
            let dev = node.interfaces.iter().position(|i| i.name == route.dev).map(|i| devices[i]);
            let what = || format!("route to {} via {:?}", route.to, route.via);
            netns.add_route(turn, route.to, route.via, dev, route.metric).map_err(fail(what()))?;
        }
        for (i, &dev) in node.interfaces.iter().zip(devices).filter(|(i, _)| i.advertises) {
            advertise(netns, turn, dev, i).map_err(fail(format!("router advertisements on {}", i.name)))?;
        }
        if !node.kind.is_switch() {
            let resolver = Resolver::open(netns, turn).map_err(fail("name server at 127.0.0.53".into()))?;
            self.hosts[number].resolver = Some(resolver);
        }
        self.settle();
        Ok(())
    }
}

/// Lets a router advertise the prefixes of an interface.
fn advertise(netns: &mut Netns, turn: &mut Turn, dev: DevId, interface: &Interface) -> Result<(), SockError> {
    let prefixes = interface.addresses.iter().filter_map(|net| match net {
        IpNet::V6(net) => Some(AdvertisedPrefix::new(net.trunc())),
        IpNet::V4(_) => None,
    });
    let config = RouterConfig { prefixes: prefixes.collect(), ..RouterConfig::default() };
    netns.set_router_advertisement(turn, dev, Some(config))
}

/// On a segment with more stations than this, hosts with planned addresses neither check them for duplicates nor ask for
/// routers: each such packet goes to everybody, and a thousand hosts that start at once would send millions.
const QUIET_SEGMENT: usize = 100;

/// Sysctls of the plan that concern single interfaces: where routers advertise, a host with a planned address makes
/// itself no other; large segments are kept quiet.
fn interface_sysctls(plan: &Plan, number: usize) -> Vec<(String, &'static str)> {
    let mut list = Vec::new();
    for i in plan.nodes[number].interfaces.iter().filter(|i| i.slaac.is_none()) {
        let members = &plan.segments[i.segment].members;
        let mut set = |leaf: &str, value| list.push((format!("ipv6.conf.{}.{leaf}", i.name), value));
        if members.iter().any(|&(node, i)| plan.nodes[node].interfaces[i].advertises) {
            set("autoconf", "0");
        } else if members.len() > QUIET_SEGMENT {
            set("accept_ra", "0");
        }
        if members.len() > QUIET_SEGMENT {
            set("dad_transmits", "0");
        }
    }
    list
}
