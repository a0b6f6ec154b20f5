//! A plan in types.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netspace_sched::Impairment;

use crate::file::{Check, ClockKind, Command, LabFile, NodeKind, Program, V6Mode};

/// A lab as it will be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lab's name.
    pub name: String,
    /// The DNS domain of its names.
    pub domain: String,
    /// What all chance is drawn from, if the file says.
    pub seed: Option<u64>,
    /// The clock.
    pub clock: ClockKind,
    /// Hosts, routers and switches, in the order of the file. A node's place here is its `NsId`.
    pub nodes: Vec<PlanNode>,
    /// Links, in the order of the file.
    pub links: Vec<PlanLink>,
    /// Layer-2 segments: what one frame to everybody reaches.
    pub segments: Vec<Segment>,
    /// What must hold.
    pub checks: Vec<Check>,
}

/// A host, router or switch.
#[derive(Clone, Debug)]
pub struct PlanNode {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Its interfaces, in the order of its links.
    pub interfaces: Vec<Interface>,
    /// Its routes besides the connected ones.
    pub routes: Vec<PlanRoute>,
    /// Sysctls under `net.`, set before its interfaces come up.
    pub sysctls: Vec<(String, String)>,
    /// How it gets its IPv6 address.
    pub v6: V6Mode,
    /// Environment variables of its programs.
    pub env: Vec<(String, String)>,
    /// Commands run when the lab starts.
    pub setup: Vec<Command>,
    /// Programs that run while the lab runs.
    pub run: Vec<Program>,
}

/// An interface of a node: one end of a link.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name, unique on its node.
    pub name: String,
    /// Its link-layer address.
    pub mac: MacText,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// The address that it will make of a router's advertisement (SLAAC).
    pub slaac: Option<Ipv6Net>,
    /// Whether this router advertises the segment's prefix here.
    pub advertises: bool,
    /// The number of its link.
    pub link: usize,
    /// The number of its segment.
    pub segment: usize,
}

impl Interface {
    /// Its addresses, the one by SLAAC included.
    pub fn all_addresses(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.addresses.iter().copied().chain(self.slaac.map(IpNet::V6))
    }
}

/// A link-layer address that prints as `02:00:00:00:01:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MacText(pub [u8; 6]);

impl fmt::Display for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A route of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanRoute {
    /// Where to; `0.0.0.0/0` and `::/0` are default routes.
    pub to: IpNet,
    /// The next hop; none: on the link.
    pub via: Option<IpAddr>,
    /// The interface that it leaves by.
    pub dev: String,
    /// Its metric; lower wins.
    pub metric: u32,
    /// Whether the file wrote it.
    pub explicit: bool,
}

/// A link.
#[derive(Clone, Debug)]
pub struct PlanLink {
    /// Its ends: node and interface numbers.
    pub ends: [(usize, usize); 2],
    /// What the direction towards each end does.
    pub towards: [Impairment; 2],
    /// Its cost for planned routes.
    pub cost: u32,
    /// Whether it is up at the start.
    pub up: bool,
}

/// A layer-2 segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its IPv4 subnet, if a host or router is on it.
    pub v4: Option<Ipv4Net>,
    /// Its IPv6 subnet.
    pub v6: Option<Ipv6Net>,
    /// The switches that make it.
    pub switches: Vec<String>,
    /// Hosts' and routers' interfaces on it: node and interface numbers.
    pub members: Vec<(usize, usize)>,
}

impl Plan {
    /// The number of the node `name`.
    pub fn node(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == name)
    }

    /// `node:interface` of a link's end.
    pub fn end_name(&self, (node, interface): (usize, usize)) -> String {
        format!("{}:{}", self.nodes[node].name, self.nodes[node].interfaces[interface].name)
    }

    /// A node's first address of each family, as a name should give it: IPv4, IPv6.
    pub fn first_addresses(&self, node: usize) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let all =
            || self.nodes[node].interfaces.iter().flat_map(Interface::all_addresses).map(|net| net.addr());
        let v4 = all().find_map(|a| if let IpAddr::V4(a) = a { Some(a) } else { None });
        let v6 = all().find_map(|a| if let IpAddr::V6(a) = a { Some(a) } else { None });
        (v4, v6)
    }
}

/// The plan's nodes, interfaces and links, without addresses and routes.
pub(super) fn skeleton(lab: &LabFile) -> Plan {
    let nodes = lab.nodes.iter().map(|n| PlanNode {
        name: n.name.clone(),
        kind: n.kind,
        interfaces: Vec::new(),
        routes: Vec::new(),
        sysctls: n.sysctls.iter().map(|(k, v, _)| (k.clone(), v.clone())).collect(),
        v6: n.v6,
        env: n.env.clone(),
        setup: n.setup.clone(),
        run: n.run.clone(),
    });
    let mut plan = Plan {
        name: lab.name.clone(),
        domain: lab.domain.clone(),
        seed: lab.seed,
        clock: lab.clock,
        nodes: nodes.collect(),
        links: Vec::new(),
        segments: Vec::new(),
        checks: lab.checks.clone(),
    };
    add_links(lab, &mut plan);
    plan
}

fn add_links(lab: &LabFile, plan: &mut Plan) {
    let numbers: BTreeMap<&str, usize> =
        lab.nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), i)).collect();
    let mut taken: Vec<Vec<&str>> = vec![Vec::new(); lab.nodes.len()];
    for end in lab.links.iter().flat_map(|l| &l.ends) {
        if let (Some(&node), Some((name, _))) = (numbers.get(end.node.as_str()), &end.interface) {
            taken[node].push(name);
        }
    }
    let of_ends = lab.links.iter().flat_map(|l| &l.ends).filter_map(|e| e.mac.as_ref());
    let explicit =
        lab.nodes.iter().filter_map(|n| n.mac.as_ref()).chain(of_ends).map(|(mac, _)| *mac).collect();
    let mut next = vec![0usize; lab.nodes.len()];
    for (number, link) in lab.links.iter().enumerate() {
        let ends = [0, 1].map(|e| {
            let end = &link.ends[e];
            let node = numbers.get(end.node.as_str()).copied()?;
            let name = end.interface.as_ref().map(|(n, _)| n.clone()).unwrap_or_else(|| {
                loop {
                    let name = format!("eth{}", next[node]);
                    next[node] += 1;
                    if !taken[node].contains(&name.as_str()) {
                        break name;
                    }
                }
            });
            let place = plan.nodes[node].interfaces.len();
            let first = lab.nodes[node].mac.as_ref().filter(|_| place == 0);
            let mac = end
                .mac
                .as_ref()
                .or(first)
                .map_or_else(|| planned_mac(lab, &explicit, node, place), |(mac, _)| *mac);
            let mtu = link.mtu.as_ref().or(lab.nodes[node].mtu.as_ref()).map_or(1500, |(mtu, _)| *mtu);
            plan.nodes[node].interfaces.push(Interface {
                name,
                mac: MacText(mac),
                mtu,
                addresses: Vec::new(),
                slaac: None,
                advertises: false,
                link: number,
                segment: 0,
            });
            Some((node, place))
        });
        if let [Some(a), Some(b)] = ends {
            let towards = [0, 1].map(|e| link.settings.merged(link.ends[e].towards).impairment());
            plan.links.push(PlanLink { ends: [a, b], towards, cost: link.cost, up: link.up });
        }
    }
}

/// A MAC that tells its node and interface: locally administered (the bit 02), switches marked by the second byte.
fn planned_mac(lab: &LabFile, explicit: &BTreeSet<[u8; 6]>, node: usize, interface: usize) -> [u8; 6] {
    let [.., n1, n0] = (node as u32 + 1).to_be_bytes();
    let [.., i1, i0] = (interface as u32).to_be_bytes();
    let kind = u8::from(lab.nodes[node].kind.is_switch());
    let mut mac = [0x02, kind, n1, n0, i1, i0];
    while explicit.contains(&mac) {
        mac[1] = mac[1].wrapping_add(2);
    }
    mac
}

/// The MAC of the bridge in a switch.
pub fn bridge_mac(node: usize) -> [u8; 6] {
    let [.., n1, n0] = (node as u32 + 1).to_be_bytes();
    [0x02, 0x01, n1, n0, 0xff, 0xff]
}
