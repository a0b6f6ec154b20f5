//! A script, as parsed.

use netspace_wire::tcp::TcpFlags;

use super::lex::Place;

/// A whole script.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// `--name=value` lines, in order.
    pub(super) options: Vec<(Place, String, Option<String>)>,
    /// A command before the first event.
    pub(super) init: Option<(Place, String)>,
    /// What happens.
    pub(super) events: Vec<Event>,
    /// A command after the last event.
    pub(super) cleanup: Option<(Place, String)>,
}

/// One thing to do or to expect.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) place: Place,
    pub(super) when: When,
    pub(super) action: Action,
}

/// When, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// Since the script's start.
    Absolute(i64),
    /// Since the event before.
    Relative(i64),
    /// Between two moments since the start.
    Range(i64, i64),
    /// Between two moments since the event before.
    RelativeRange(i64, i64),
    /// At any time.
    Any,
}

/// What.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Packet(Packet),
    Call(Call),
    Shell(String),
    Code(String),
}

/// A system call with what it must give.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// When it must return, if it blocks; relative if the event's time is, nanoseconds.
    pub(super) end: Option<i64>,
    pub(super) name: String,
    pub(super) args: Vec<Expr>,
    pub(super) result: Expr,
    pub(super) errno: Option<String>,
}

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Expr {
    /// `...`: whatever.
    Any,
    Int(i64),
    Word(String),
    Str(Vec<u8>),
    /// `a | b`.
    Or(Box<Self>, Box<Self>),
    /// `[a, b]`.
    Array(Vec<Self>),
    /// `{name = value, value}`; a name keeps what stands in parentheses behind it.
    Struct(Vec<(Option<String>, Self)>),
    /// `htons(80)`, `inet_addr("…")`.
    Call(String, Vec<Self>),
}

/// A packet to put in, or to see come out.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// `<`: to us.
    pub(super) inbound: bool,
    pub(super) ip: IpInfo,
    pub(super) body: Body,
}

/// What is said of the IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct IpInfo {
    pub(super) tos: TosInfo,
    pub(super) ttl: Option<u8>,
    pub(super) flow_label: Option<u32>,
}

/// What is said of the type of service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum TosInfo {
    /// Nothing: 0 on the way in, anything on the way out.
    #[default]
    Unsaid,
    /// The two ECN bits.
    Ecn(u8),
    /// ECT(0) or ECT(1).
    Ect,
    /// The whole byte.
    Tos(u8),
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Tcp(Segment),
    Udp { ports: Option<(u16, u16)>, len: u16 },
    Icmp(Icmp),
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) ports: Option<(u16, u16)>,
    pub(super) flags: TcpFlags,
    pub(super) seq: u32,
    pub(super) len: u32,
    pub(super) ack: Option<u32>,
    pub(super) window: Option<u16>,
    pub(super) urgent: Option<u16>,
    /// None: `<...>`, any.
    pub(super) options: Option<Vec<TcpOpt>>,
}

/// A TCP option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TcpOpt {
    Eol,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackOk,
    Sack(Vec<(u32, u32)>),
    Md5(Vec<u8>),
    Timestamps(u32, u32),
    FastOpen(Vec<u8>),
    FastOpenExp(Vec<u8>),
    /// AccECN: counters in the order of the wire.
    AccEcn(Vec<(EcnField, u32)>),
    /// One that the language has no name for: kind and value (packets out only).
    Other(u8, Vec<u8>),
}

/// A counter of the AccECN option (RFC 9768 §3.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EcnField {
    E0b,
    Ceb,
    E1b,
}

/// An ICMP message.
#[derive(Clone, Debug)]
pub(super) struct Icmp {
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) mtu: Option<u32>,
    pub(super) id: Option<u16>,
    pub(super) echoed: Echoed,
    pub(super) place: Place,
}

/// Which packet an ICMP error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Echoed {
    /// Not said: a segment at the start of the stream.
    Nothing,
    /// A TCP segment: first number, bytes.
    Tcp(u32, u32),
    /// A datagram of so many bytes.
    Udp(u16),
    /// An IP payload of so many bytes.
    Raw(u16),
}
