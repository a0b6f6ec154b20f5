//! Trace events: what happened to a packet, where and when.
//!
//! A stage calls [`Trace::at`] once; it costs one predictable branch when the packet is not traced.

use std::net::IpAddr;

use crate::{DevId, DropReason, Instant, NsId, Pkt, PktId};

/// What is known about a [`Point`].
#[derive(Clone, Copy, Debug)]
pub struct PointInfo {
    /// Short name, as `trace` prints it.
    pub name: &'static str,
    /// What happens there, for somebody who has only read about the layers.
    pub explanation: &'static str,
}

macro_rules! points {
    ($($variant:ident, $name:literal, $explanation:literal;)*) => {
        /// A place on the packet's way.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Point { $(#[doc = $explanation] $variant,)* }

        impl Point {
            /// All places, in the order of a packet's way from a program to a program.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What is known about this place.
            pub const fn info(self) -> PointInfo {
                match self { $(Self::$variant => PointInfo { name: $name, explanation: $explanation },)* }
            }
        }
    };
}

points! {
    Syscall, "syscall", "A program makes a system call on a socket.";
    SocketSend, "socket-send", "Bytes enter the socket's send buffer.";
    TcpSend, "tcp-send", "TCP cuts a segment from the send buffer and numbers its bytes.";
    UdpSend, "udp-send", "UDP puts its header before the datagram.";
    IcmpSend, "icmp-send", "The host makes an ICMP message.";
    RouteOut, "route", "The routing table tells the next hop and the device.";
    IpSend, "ip-send", "The IP header is written.";
    Fragment, "fragment", "The packet is cut into fragments that fit the link.";
    NeighQueue, "neigh-queue", "The packet waits until the next hop's link-layer address is known.";
    NeighSend, "neigh", "The next hop's link-layer address is known: the Ethernet header is written.";
    ArpSend, "arp-send", "An ARP request or reply is sent.";
    NdpSend, "ndp-send", "A neighbour-discovery message is sent.";
    GsoCut, "gso", "A large segment is cut into frames for the wire.";
    DevSend, "dev-send", "The frame enters the device's transmit ring.";
    LinkEnter, "link-enter", "The frame enters the link.";
    LinkLeave, "link-leave", "The frame arrives at the link's other end.";
    RingReceive, "ring", "The frame lies in the device's receive ring.";
    GroJoin, "gro", "The frame is joined with the one of its flow before it.";
    DevReceive, "dev-receive", "The device's poll takes the frame from the ring.";
    BridgeLearn, "bridge-learn", "The switch learns on which port a station is.";
    BridgeForward, "bridge-forward", "The switch forwards the frame to the port of its destination.";
    BridgeFlood, "bridge-flood", "The switch does not know the destination: the frame goes to every port.";
    ArpReceive, "arp-receive", "An ARP packet is read.";
    NdpReceive, "ndp-receive", "A neighbour-discovery message is read.";
    IpReceive, "ip-receive", "The IP header is checked.";
    RouteIn, "route-in", "The routing table tells whether the packet is for this host.";
    Forward, "forward", "The router takes one from the time to live and passes the packet on.";
    Reassemble, "reassemble", "A fragment joins its packet.";
    Deliver, "deliver", "The packet is for this host: its payload goes to the transport protocol.";
    Demux, "demux", "Addresses and ports tell the socket.";
    TcpReceive, "tcp-receive", "TCP reads the segment.";
    TcpState, "tcp-state", "A TCP connection changes its state.";
    UdpReceive, "udp-receive", "UDP reads the datagram.";
    IcmpReceive, "icmp-receive", "An ICMP message is read.";
    SocketQueue, "socket-queue", "The payload lies in the socket's receive queue.";
    SocketRead, "socket-read", "The program reads the bytes.";
    Drop, "drop", "The packet ends here.";
}

/// What a stage adds to its event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// Nothing but the place.
    #[default]
    None,
    /// The packet was dropped.
    Drop(DropReason),
    /// A route was chosen: next hop (the destination itself on a connected route) and device.
    Route {
        /// The next hop.
        via: IpAddr,
        /// The device the packet leaves by.
        dev: DevId,
    },
    /// A link-layer address belongs to an IP address.
    Neighbour {
        /// The IP address.
        addr: IpAddr,
        /// Its link-layer address.
        mac: [u8; 6],
    },
    /// The time to live (hop limit) after this router took one.
    Ttl(u8),
    /// A port (device) of a bridge.
    Port(DevId),
    /// A number of bytes.
    Bytes(u64),
    /// A change of state, by the field's names (`SYN-SENT`, `ESTABLISHED`).
    State {
        /// The state before.
        from: &'static str,
        /// The state after.
        to: &'static str,
    },
    /// Words: the system call and its arguments, for instance.
    Text(Box<str>),
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, by the lab's clock.
    pub at: Instant,
    /// On which host.
    pub ns: NsId,
    /// On which device, if on one.
    pub dev: DevId,
    /// Where on the way.
    pub point: Point,
    /// Which packet; `PktId(0)` for an event of a socket.
    pub pkt: PktId,
    /// More about it.
    pub detail: Detail,
    /// The packet's bytes from its outermost header on, cut at [`Trace::SNAP`]; empty for an event of a socket.
    pub head: Box<[u8]>,
    /// What `head` starts with: an EtherType (0x0800, 0x86dd, 0x0806), or 0 for an Ethernet header.
    pub protocol: u16,
    /// The packet's whole length in bytes, counted as `head` is.
    pub len: u32,
}

/// Collects events while tracing is on.
#[derive(Debug, Default)]
pub struct Trace {
    /// Whether new packets are traced.
    pub on: bool,
    /// Reads the true moment of an event, in a lab that runs by a real clock: the stages of one turn share its `now`, and
    /// somebody who looks on wants to know how long each took. None: `now` it is.
    pub clock: Option<TraceClock>,
    events: Vec<Event>,
}

/// A clock lent to [`Trace`] by whoever has one.
#[derive(Clone, Copy, Debug)]
pub struct TraceClock {
    /// Nanoseconds since some moment.
    pub read: fn() -> u64,
    /// What it read when the lab started.
    pub start: u64,
}

impl TraceClock {
    fn now(self) -> Instant {
        Instant::from_nanos((self.read)().saturating_sub(self.start))
    }
}

impl Trace {
    /// How many bytes of a packet an event keeps: all headers and the start of the payload.
    pub const SNAP: usize = 192;

    /// Notes that `pkt` passed `point`. Call it once a stage.
    #[inline]
    pub fn at(&mut self, now: Instant, ns: NsId, point: Point, pkt: &Pkt) {
        if pkt.traced {
            self.push(now, ns, point, pkt, Detail::None);
        }
    }

    /// Notes that `pkt` passed `point`, with what `detail` tells.
    #[inline]
    pub fn with(&mut self, now: Instant, ns: NsId, point: Point, pkt: &Pkt, detail: impl FnOnce() -> Detail) {
        if pkt.traced {
            self.push(now, ns, point, pkt, detail());
        }
    }

    /// Notes something about a socket rather than a packet.
    #[inline]
    pub fn socket(&mut self, now: Instant, ns: NsId, point: Point, detail: impl FnOnce() -> Detail) {
        if self.on {
            let detail = detail();
            self.events.push(Event {
                at: self.clock.map_or(now, TraceClock::now),
                ns,
                dev: DevId::NONE,
                point,
                pkt: PktId(0),
                detail,
                head: Box::default(),
                protocol: 0,
                len: 0,
            });
        }
    }

    #[cold]
    fn push(&mut self, now: Instant, ns: NsId, point: Point, pkt: &Pkt, detail: Detail) {
        let (protocol, head) = pkt.outermost(Self::SNAP);
        let len = u32::try_from(pkt.len()).unwrap_or(u32::MAX);
        self.events.push(Event {
            at: self.clock.map_or(now, TraceClock::now),
            ns,
            dev: pkt.dev,
            point,
            pkt: pkt.id,
            detail,
            head: head.into(),
            protocol,
            len,
        });
    }

    /// Takes what has been collected, oldest first.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Whether anything has been collected.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
