//! What a lab file says, in types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use netspace_sched::{Impairment, Loss};

use super::quantity::QueueSetting;

/// Bytes of the file.
pub type Span = Range<usize>;

/// Which clock a lab runs by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClockKind {
    /// The machine's monotonic clock.
    #[default]
    Real,
    /// A clock that jumps to the next event: only for labs without programs.
    Virtual,
}

/// A whole lab file.
#[derive(Clone, Debug, Default)]
pub struct LabFile {
    /// The lab's name: given, or the file's name without its ending.
    pub name: String,
    /// What all chance is drawn from.
    pub seed: Option<u64>,
    /// The clock.
    pub clock: ClockKind,
    /// The DNS domain of the lab's names.
    pub domain: String,
    /// Hosts, routers and switches in the order of the file.
    pub nodes: Vec<Node>,
    /// Links in the order of the file.
    pub links: Vec<Link>,
    /// What must hold.
    pub checks: Vec<Check>,
}

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// Runs programs; does not forward.
    Host,
    /// Forwards between its links; runs programs too.
    Router,
    /// Joins its links on layer 2; `hub` never learns where stations are.
    Switch {
        /// Frames go to every port always.
        hub: bool,
    },
}

impl NodeKind {
    /// `host`, `router`, `switch`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Router => "router",
            Self::Switch { hub: false } => "switch",
            Self::Switch { hub: true } => "hub",
        }
    }

    /// Whether it joins its links on layer 2.
    pub const fn is_switch(self) -> bool {
        matches!(self, Self::Switch { .. })
    }
}

/// How a host gets its IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum V6Mode {
    /// A fixed address, as planned.
    #[default]
    Static,
    /// By router advertisements (SLAAC, RFC 4862): the router's prefix and this host's interface identifier.
    Auto,
    /// No IPv6 at all.
    Off,
}

/// A host, router or switch.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// What it is.
    pub kind: NodeKind,
    /// Explicit addresses of its first interface; one without a prefix length gets its segment's.
    pub addresses: Vec<(AddressText, Span)>,
    /// The explicit MAC of its first interface.
    pub mac: Option<([u8; 6], Span)>,
    /// The MTU of its interfaces.
    pub mtu: Option<(u32, Span)>,
    /// Explicit default gateways.
    pub gateways: Vec<(IpAddr, Span)>,
    /// Static routes besides the planned ones.
    pub routes: Vec<RouteEntry>,
    /// Sysctls under `net.` and their values.
    pub sysctls: Vec<(String, String, Span)>,
    /// Environment variables of its programs.
    pub env: Vec<(String, String)>,
    /// Commands run on it, one after the other, when the lab starts.
    pub setup: Vec<Command>,
    /// Programs that run on it while the lab runs.
    pub run: Vec<Program>,
    /// How it gets its IPv6 address.
    pub v6: V6Mode,
    /// A router that sends router advertisements on its links even where no host asks for them.
    pub advertise: bool,
}

/// An explicit address, with or without a prefix length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressText {
    /// The address.
    pub addr: IpAddr,
    /// Its prefix length, if written.
    pub prefix_len: Option<u8>,
}

/// A command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The program and its arguments. A line with shell syntax is run by `sh -c`.
    pub argv: Vec<String>,
    /// As it was written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A background program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// What to run.
    pub command: Command,
    /// When it counts as started.
    pub ready: Ready,
    /// Environment variables of this program alone.
    pub env: Vec<(String, String)>,
}

/// When a background program counts as started: setup and checks wait for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Ready {
    /// At once.
    #[default]
    AtOnce,
    /// When a TCP socket of its host listens on the port, or a UDP socket is bound to it.
    Port(u16),
    /// When it has written this text.
    Output(String),
    /// After a time.
    After(Duration),
}

/// A static route of the file.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// Where to.
    pub to: IpNet,
    /// The next hop: an address, or a node's name (its address on the shared segment).
    pub via: Option<(String, Span)>,
    /// The interface's name.
    pub dev: Option<(String, Span)>,
    /// Its metric; lower wins.
    pub metric: u32,
    /// Where it stands.
    pub span: Span,
}

/// What a link does to frames; none = as it was (or nothing).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkSettings {
    /// Time on the way.
    pub delay: Option<Duration>,
    /// How far the delay varies, each way.
    pub jitter: Option<Duration>,
    /// How frames are lost.
    pub loss: Option<Loss>,
    /// Chance that a frame comes twice.
    pub duplicate: Option<u32>,
    /// Chance that a frame overtakes those before it.
    pub reorder: Option<u32>,
    /// Chance that a bit of a frame is flipped.
    pub corrupt: Option<u32>,
    /// Bits per second.
    pub rate: Option<u64>,
    /// How much waits for the rate, or how the queue is managed.
    pub queue: Option<QueueSetting>,
}

impl LinkSettings {
    /// These settings with those of `over` where it has any.
    pub fn merged(self, over: Self) -> Self {
        Self {
            delay: over.delay.or(self.delay),
            jitter: over.jitter.or(self.jitter),
            loss: over.loss.or(self.loss),
            duplicate: over.duplicate.or(self.duplicate),
            reorder: over.reorder.or(self.reorder),
            corrupt: over.corrupt.or(self.corrupt),
            rate: over.rate.or(self.rate),
            queue: over.queue.or(self.queue),
        }
    }

    /// A link that does this.
    pub fn impairment(self) -> Impairment {
        let mut link = Impairment::default();
        link.delay = self.delay.unwrap_or(link.delay);
        link.jitter = self.jitter.unwrap_or(link.jitter);
        link.loss = self.loss.unwrap_or(link.loss);
        link.duplicate = self.duplicate.unwrap_or(link.duplicate);
        link.reorder = self.reorder.unwrap_or(link.reorder);
        link.corrupt = self.corrupt.unwrap_or(link.corrupt);
        link.rate_bps = self.rate.or(link.rate_bps);
        match self.queue {
            None => {}
            Some(QueueSetting::Packets(n)) => link.queue_packets = n as usize,
            Some(QueueSetting::Bytes(n)) => link.queue_bytes = Some(usize::try_from(n).unwrap_or(usize::MAX)),
            Some(QueueSetting::Managed(discipline)) => link.discipline = discipline,
        }
        link
    }
}

/// One end of a link.
#[derive(Clone, Debug)]
pub struct End {
    /// The node's name.
    pub node: String,
    /// Where it stands.
    pub span: Span,
    /// The interface's name, if written.
    pub interface: Option<(String, Span)>,
    /// Explicit addresses.
    pub addresses: Vec<(AddressText, Span)>,
    /// An explicit MAC.
    pub mac: Option<([u8; 6], Span)>,
    /// Settings of the direction towards this end alone.
    pub towards: LinkSettings,
}

impl End {
    /// The end at `node`, with nothing else given.
    pub fn new(node: &str, span: Span) -> Self {
        Self {
            node: node.to_owned(),
            span,
            interface: None,
            addresses: Vec::new(),
            mac: None,
            towards: LinkSettings::default(),
        }
    }
}

/// A link between two nodes.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its ends.
    pub ends: [End; 2],
    /// Settings of both directions.
    pub settings: LinkSettings,
    /// The MTU of both ends.
    pub mtu: Option<(u32, Span)>,
    /// Its cost for the planned routes; 1 unless written.
    pub cost: u32,
    /// Whether it is up at the start.
    pub up: bool,
    /// Where it stands.
    pub span: Span,
}

/// How a check's program must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpectedExit {
    /// With this code.
    Code(i32),
    /// With any code but 0.
    Failure,
    /// However it likes.
    Any,
}

/// Something that must hold: a command, run until it does.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, or the command.
    pub name: String,
    /// On which node.
    pub on: (String, Span),
    /// What to run.
    pub run: Command,
    /// What its standard output must contain.
    pub expect: Vec<String>,
    /// What its standard output must not contain.
    pub reject: Vec<String>,
    /// How it must end.
    pub exit: ExpectedExit,
    /// How long it may take to hold, retries included.
    pub timeout: Duration,
    /// Where it stands.
    pub span: Span,
}

/// Whether `addr` may be given to a host.
pub(super) fn is_host_address(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => {
            !a.is_unspecified()
                && !a.is_loopback()
                && !a.is_multicast()
                && a != Ipv4Addr::BROADCAST
                && a.octets()[0] != 0
        }
        IpAddr::V6(a) => a != Ipv6Addr::UNSPECIFIED && a != Ipv6Addr::LOCALHOST && !a.is_multicast(),
    }
}
