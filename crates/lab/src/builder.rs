//! Labs written in Rust instead of YAML.
//!
//! ```
//! use netspace_lab::builder::LabBuilder;
//!
//! let plan = LabBuilder::new("pair").host("a").router("r").host("b").link("a", "r", "").link("r", "b", "delay 20ms").plan();
//! assert_eq!(plan.expect("a plan").nodes.len(), 3);
//! ```

use netspace_sched::Impairment;

use crate::file::{ClockKind, Diagnostics, End, LabFile, Link, LinkSettings, Node, NodeKind, V6Mode};
use crate::plan::{self, Plan};

/// Describes a lab, step by step.
#[derive(Clone, Debug)]
pub struct LabBuilder {
    lab: LabFile,
    errors: Vec<String>,
}

/// Why a lab cannot be: all findings, one on a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadLab(pub String);

impl LabBuilder {
    /// An empty lab.
    pub fn new(name: &str) -> Self {
        let lab = LabFile {
            name: name.to_owned(),
            domain: "lab".to_owned(),
            clock: ClockKind::Virtual,
            ..LabFile::default()
        };
        Self { lab, errors: Vec::new() }
    }

    /// Adds a host.
    pub fn host(self, name: &str) -> Self {
        self.node(name, NodeKind::Host)
    }

    /// Adds `count` hosts: `h1`, `h2` … for the name `h`.
    pub fn hosts(self, name: &str, count: usize) -> Self {
        (1..=count).fold(self, |lab, n| lab.host(&format!("{name}{n}")))
    }

    /// Adds a router.
    pub fn router(self, name: &str) -> Self {
        self.node(name, NodeKind::Router)
    }

    /// Adds a switch.
    pub fn switch(self, name: &str) -> Self {
        self.node(name, NodeKind::Switch { hub: false })
    }

    /// Adds a hub: a switch that never learns.
    pub fn hub(self, name: &str) -> Self {
        self.node(name, NodeKind::Switch { hub: true })
    }

    fn node(mut self, name: &str, kind: NodeKind) -> Self {
        self.lab.nodes.push(Node {
            name: name.to_owned(),
            span: 0..0,
            kind,
            addresses: Vec::new(),
            mac: None,
            mtu: None,
            gateways: Vec::new(),
            routes: Vec::new(),
            sysctls: Vec::new(),
            env: Vec::new(),
            setup: Vec::new(),
            run: Vec::new(),
            v6: V6Mode::Static,
            advertise: false,
        });
        self
    }

    /// Changes the node added last: its explicit addresses, sysctls, MTU, how it gets its IPv6 address.
    pub fn with(mut self, change: impl FnOnce(&mut Node)) -> Self {
        if let Some(node) = self.lab.nodes.last_mut() {
            change(node);
        }
        self
    }

    /// Sets a sysctl of the node added last (`ipv4.tcp_congestion_control`).
    pub fn sysctl(self, name: &str, value: &str) -> Self {
        let name = name.strip_prefix("net.").unwrap_or(name).to_owned();
        self.with(|node| node.sysctls.push((name, value.to_owned(), 0..0)))
    }

    /// Adds a link; `settings` in the words of `netspace link set` (`delay 20ms loss 1%`), for both directions.
    pub fn link(self, a: &str, b: &str, settings: &str) -> Self {
        self.link_each_way(a, b, settings, settings)
    }

    /// Adds a link whose directions differ.
    pub fn link_each_way(mut self, a: &str, b: &str, towards_b: &str, towards_a: &str) -> Self {
        let mut ends = [End::new(a, 0..0), End::new(b, 0..0)];
        for (end, words) in ends.iter_mut().zip([towards_a, towards_b]) {
            match words.parse::<Impairment>() {
                Ok(settings) => end.towards = settings_of(&settings),
                Err(error) => self.errors.push(format!("{a} -- {b}: {error}")),
            }
        }
        let settings = LinkSettings::default();
        self.lab.links.push(Link { ends, settings, mtu: None, cost: 1, up: true, span: 0..0 });
        self
    }

    /// Sets the MTU of the link added last.
    pub fn mtu(mut self, mtu: u32) -> Self {
        if let Some(link) = self.lab.links.last_mut() {
            link.mtu = Some((mtu, 0..0));
        }
        self
    }

    /// Sets the number that all chance is drawn from.
    pub fn seed(mut self, seed: u64) -> Self {
        self.lab.seed = Some(seed);
        self
    }

    /// Makes the plan.
    pub fn plan(self) -> Result<Plan, BadLab> {
        let mut diagnostics = Diagnostics::new(&self.lab.name, "");
        crate::file::check(&self.lab, &mut diagnostics);
        let plan = if diagnostics.has_errors() { None } else { plan::plan(&self.lab, &mut diagnostics) };
        let mut errors = self.errors;
        errors.extend(
            diagnostics
                .list
                .iter()
                .filter(|d| d.severity == crate::file::Severity::Error)
                .map(|d| d.message.clone()),
        );
        plan.filter(|_| errors.is_empty()).ok_or_else(|| BadLab(errors.join("\n")))
    }
}

fn settings_of(i: &Impairment) -> LinkSettings {
    use crate::file::quantity::QueueSetting;
    let length = match i.queue_bytes {
        Some(n) => QueueSetting::Bytes(n as u64),
        None => QueueSetting::Packets(u32::try_from(i.queue_packets).unwrap_or(u32::MAX)),
    };
    let managed = i.discipline != netspace_sched::Discipline::Fifo;
    LinkSettings {
        delay: Some(i.delay),
        jitter: Some(i.jitter),
        loss: Some(i.loss),
        duplicate: Some(i.duplicate),
        reorder: Some(i.reorder),
        corrupt: Some(i.corrupt),
        rate: i.rate_bps,
        queue: Some(if managed { QueueSetting::Managed(i.discipline) } else { length }),
    }
}
