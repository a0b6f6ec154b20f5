//! Events as people read them.
//!
//! ```text
//! 0.001234 client eth0 arp-send     ARP, Request who-has 10.0.1.1 tell 10.0.1.2
//! 0.001310 gw     eth1 forward      ttl 63 | IP 10.0.1.2.49500 > 10.0.2.2.80: Flags [S], seq 1, …
//! 0.001320 gw     eth1 drop         ttl-exceeded: The packet's time to live ran out here. | IP …
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;

use netspace_base::{Detail, DevId, Event, Instant, NsId, PktId, Point};
use netspace_wire::MacAddr;
use netspace_wire::text::Summarizer;
use serde::{Deserialize, Serialize};

/// Tells how hosts and devices are called.
pub trait Names {
    /// The host's name.
    fn host(&self, ns: NsId) -> Cow<'_, str>;
    /// The device's name on that host.
    fn device(&self, ns: NsId, dev: DevId) -> Cow<'_, str>;
}

/// An event with names instead of numbers, and its packet as text. Its JSON form is stable: fields may be added, none
/// change their meaning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When, nanoseconds since the lab started.
    pub time_ns: u64,
    /// On which host.
    pub host: String,
    /// On which device, if on one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dev: Option<String>,
    /// Where on the packet's way: a name of [`Point`].
    pub point: String,
    /// Which packet; fragments and frames cut from one have its number. None for an event of a socket.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub packet: Option<u64>,
    /// The packet's length in bytes, from the header that `summary` starts with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub length: Option<u32>,
    /// The packet as tcpdump would print it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<String>,
    /// More about the event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<RecordDetail>,
}

/// What a stage adds to its event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RecordDetail {
    /// The packet ended here.
    Drop {
        /// The reason's name (`ttl-exceeded`).
        reason: String,
        /// The reason in a sentence.
        explanation: String,
        /// Linux's name for it, or empty.
        linux: String,
        /// The SNMP counter that moved, or empty.
        counter: String,
        /// Where it is specified, or empty.
        source: String,
    },
    /// A route was chosen.
    Route {
        /// The next hop.
        via: String,
        /// The device.
        dev: String,
    },
    /// A link-layer address is known.
    Neighbour {
        /// The IP address.
        addr: String,
        /// Its link-layer address.
        mac: String,
    },
    /// The time to live that is left.
    Ttl {
        /// Hops.
        ttl: u8,
    },
    /// A port of a bridge.
    Port {
        /// The device's name.
        dev: String,
    },
    /// A number of bytes.
    Bytes {
        /// How many.
        bytes: u64,
    },
    /// A change of state.
    State {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// Words.
    Text {
        /// What they say.
        text: String,
    },
}

impl RecordDetail {
    fn of(event: &Event, names: &dyn Names) -> Option<Self> {
        let device = |dev| names.device(event.ns, dev).into_owned();
        Some(match &event.detail {
            Detail::None => return None,
            Detail::Drop(reason) => {
                let info = reason.info();
                Self::Drop {
                    reason: info.name.into(),
                    explanation: info.explanation.into(),
                    linux: info.linux.into(),
                    counter: info.counter.into(),
                    source: info.source.into(),
                }
            }
            Detail::Route { via, dev } => Self::Route { via: via.to_string(), dev: device(*dev) },
            Detail::Neighbour { addr, mac } => {
                Self::Neighbour { addr: addr.to_string(), mac: MacAddr(*mac).to_string() }
            }
            Detail::Ttl(ttl) => Self::Ttl { ttl: *ttl },
            Detail::Port(dev) => Self::Port { dev: device(*dev) },
            Detail::Bytes(bytes) => Self::Bytes { bytes: *bytes },
            Detail::State { from, to } => Self::State { from: (*from).into(), to: (*to).into() },
            Detail::Text(text) => Self::Text { text: text.to_string() },
        })
    }

    /// In words: `via 10.0.1.1 dev eth0`.
    fn write(&self, out: &mut String) {
        let _ = match self {
            Self::Drop { reason, explanation, .. } => write!(out, "{reason}: {explanation}"),
            Self::Route { via, dev } => write!(out, "via {via} dev {dev}"),
            Self::Neighbour { addr, mac } => write!(out, "{addr} is at {mac}"),
            Self::Ttl { ttl } => write!(out, "ttl {ttl}"),
            Self::Port { dev } => write!(out, "port {dev}"),
            Self::Bytes { bytes: 1 } => write!(out, "1 byte"),
            Self::Bytes { bytes } => write!(out, "{bytes} bytes"),
            Self::State { from, to } => write!(out, "{from} → {to}"),
            Self::Text { text } => write!(out, "{text}"),
        };
    }
}

impl Record {
    /// The event as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers can always be written")
    }

    /// Reads what [`Self::to_json`] wrote.
    pub fn from_json(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }

    /// The event as one line of text, without a line end.
    pub fn line(&self, layout: &Layout) -> String {
        let mut out = String::with_capacity(160);
        let dev = self.dev.as_deref().unwrap_or("");
        let (host_width, dev_width) = (layout.host_width, layout.dev_width);
        let _ = write!(
            out,
            "{} {:<host_width$} {dev:<dev_width$} {:<point_width$} ",
            Instant::from_nanos(self.time_ns),
            self.host,
            self.point,
            point_width = Layout::POINT_WIDTH,
        );
        if layout.ids
            && let Some(id) = self.packet
        {
            let _ = write!(out, "#{id} ");
        }
        let start = out.len();
        if let Some(detail) = &self.detail {
            detail.write(&mut out);
        }
        if let Some(summary) = &self.summary {
            out.push_str(if out.len() > start { " | " } else { "" });
            out.push_str(summary);
        }
        out.truncate(out.trim_end().len());
        one_line(out)
    }
}

/// Control characters would let a packet or a program write to the terminal: they are shown escaped.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// How wide the columns of [`Record::line`] are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The longest host's name.
    pub host_width: usize,
    /// The longest device's name.
    pub dev_width: usize,
    /// Whether packets' numbers are shown.
    pub ids: bool,
}

impl Layout {
    /// The longest name of a [`Point`].
    pub const POINT_WIDTH: usize = {
        let (mut width, mut i) = (0, 0);
        while i < Point::ALL.len() {
            let len = Point::ALL[i].info().name.len();
            width = if len > width { len } else { width };
            i += 1;
        }
        width
    };

    /// Columns for hosts with these names.
    pub fn for_hosts<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let host_width = names.into_iter().map(|n| n.chars().count()).max().unwrap_or(0);
        Self { host_width, ..Self::default() }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self { host_width: 8, dev_width: 4, ids: false }
    }
}

/// Turns events into records, one by one and in their order: TCP numbers are shown relative to the first ones seen.
#[derive(Clone, Debug, Default)]
pub struct Storyteller {
    summarizer: Summarizer,
}

impl Storyteller {
    /// Makes the record of an event.
    pub fn record(&mut self, event: &Event, names: &dyn Names) -> Record {
        let has_packet = !event.head.is_empty();
        Record {
            time_ns: event.at.as_nanos(),
            host: names.host(event.ns).into_owned(),
            dev: (event.dev != DevId::NONE).then(|| names.device(event.ns, event.dev).into_owned()),
            point: event.point.info().name.into(),
            packet: (event.pkt != PktId(0)).then_some(event.pkt.0),
            length: has_packet.then_some(event.len),
            summary: has_packet.then(|| self.summarizer.summary(event.protocol, &event.head)),
            detail: RecordDetail::of(event, names),
        }
    }
}
