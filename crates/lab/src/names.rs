//! The lab's names: which addresses a name has, and which name an address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::plan::Plan;

/// An address of a name, with the segment that it is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    addr: IpAddr,
    segment: usize,
}

/// All names of a lab.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The DNS domain, without dots at its ends.
    pub domain: String,
    /// Lower-case names without the domain: nodes, and `eth1.gw` for a router's single interfaces.
    by_name: BTreeMap<String, Vec<Place>>,
    by_addr: BTreeMap<IpAddr, String>,
    /// Nodes in the order of the file.
    nodes: Vec<String>,
    /// On which segments each node is.
    segments: BTreeMap<String, Vec<usize>>,
}

impl Names {
    /// The names of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut names = Self { domain: plan.domain.clone(), ..Self::default() };
        for node in plan.nodes.iter().filter(|n| !n.kind.is_switch()) {
            let mut all = Vec::new();
            for interface in &node.interfaces {
                let places: Vec<Place> = interface
                    .all_addresses()
                    .map(|net| Place { addr: net.addr(), segment: interface.segment })
                    .collect();
                for place in &places {
                    names.by_addr.insert(place.addr, node.name.clone());
                }
                if node.interfaces.len() > 1 {
                    let name = format!("{}.{}", interface.name, node.name).to_lowercase();
                    names.by_name.insert(name, places.clone());
                }
                all.extend(places);
            }
            names.segments.insert(node.name.clone(), node.interfaces.iter().map(|i| i.segment).collect());
            names.by_name.insert(node.name.to_lowercase(), all);
            names.nodes.push(node.name.clone());
        }
        names
    }

    /// A name's addresses as `asker` should see them: those on a segment of its own first. The domain may be left out.
    /// None if there is no such name.
    pub fn lookup(&self, name: &str, asker: &str) -> Option<Vec<IpAddr>> {
        let name = name.trim_end_matches('.').to_lowercase();
        let short = name.strip_suffix(&self.domain).and_then(|n| n.strip_suffix('.')).unwrap_or(&name);
        let mut places = self.by_name.get(short)?.clone();
        let own = self.segments.get(asker).map_or(&[][..], Vec::as_slice);
        places.sort_by_key(|p| !own.contains(&p.segment));
        Some(places.into_iter().map(|p| p.addr).collect())
    }

    /// The name of the node that has `addr`, without the domain.
    pub fn reverse(&self, addr: IpAddr) -> Option<&str> {
        self.by_addr.get(&addr).map(String::as_str)
    }

    /// Nodes with addresses, in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(String::as_str)
    }

    /// `server.lab`.
    pub fn full(&self, name: &str) -> String {
        format!("{name}.{}", self.domain)
    }
}
