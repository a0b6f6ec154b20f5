//! Finds one TCP connection in a heap of events: its segments, who sent them, and the ARP packets beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use netspace_base::{DevId, Event, Instant, NsId, PktId, Point};
use netspace_wire::arp::{ArpOperation, ArpRepr};
use netspace_wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, EthernetRepr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::protocol;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpRepr};

/// Names of hosts and devices.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) hosts: BTreeMap<NsId, String>,
    pub(super) devices: BTreeMap<(NsId, DevId), String>,
}

impl Names {
    pub(super) fn host(&self, ns: NsId) -> &str {
        self.hosts.get(&ns).map_or("?", String::as_str)
    }

    pub(super) fn device(&self, ns: NsId, dev: DevId) -> &str {
        self.devices.get(&(ns, dev)).map_or("a device", String::as_str)
    }
}

/// What an event's bytes say.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    pub(super) ethernet: Option<EthernetRepr>,
    pub(super) arp: Option<ArpRepr>,
    pub(super) ip: Option<Ipv4Repr>,
    pub(super) tcp: Option<TcpRepr>,
    /// Bytes after the TCP header.
    pub(super) payload: usize,
}

impl Headers {
    /// Reads as far as the bytes can be understood.
    pub(super) fn of(event: &Event) -> Self {
        let mut headers = Self::default();
        let mut bytes = &event.head[..];
        let mut ethertype = event.protocol;
        if ethertype == 0 {
            let Ok((ethernet, len)) = EthernetRepr::parse(bytes) else { return headers };
            ethertype = ethernet.ethertype;
            bytes = &bytes[len..];
            headers.ethernet = Some(ethernet);
        }
        match ethertype {
            ETHERTYPE_ARP => headers.arp = ArpRepr::parse(bytes).ok().map(|(arp, _)| arp),
            ETHERTYPE_IPV4 => headers.read_ip(bytes),
            _ => {}
        }
        headers
    }

    fn read_ip(&mut self, bytes: &[u8]) {
        // The packet may be longer than what the event keeps of it: the quoted form does not mind.
        let Ok((ip, len)) = Ipv4Repr::parse_quoted(bytes) else { return };
        if ip.protocol == protocol::TCP
            && let Ok((tcp, tcp_len)) = TcpRepr::parse(&bytes[len..])
        {
            self.payload = usize::from(ip.total_len).saturating_sub(len + tcp_len);
            self.tcp = Some(tcp);
        }
        self.ip = Some(ip);
    }
}

/// One segment of the connection.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) pkt: PktId,
    pub(super) sent: Instant,
    pub(super) from_client: bool,
    pub(super) tcp: TcpRepr,
    pub(super) payload: usize,
}

impl Segment {
    pub(super) fn is(&self, flags: TcpFlags) -> bool {
        self.tcp.flags.contains(flags)
    }
}

/// One ARP packet.
#[derive(Clone, Debug)]
pub(super) struct ArpPacket {
    pub(super) pkt: PktId,
    pub(super) from: NsId,
    pub(super) arp: ArpRepr,
    pub(super) sent: Instant,
}

/// One TCP connection among the events.
#[derive(Debug)]
pub(super) struct Flow<'e> {
    pub(super) events: &'e [Event],
    pub(super) client: NsId,
    pub(super) server: NsId,
    pub(super) client_addr: SocketAddrV4,
    pub(super) server_addr: SocketAddrV4,
    client_iss: SeqNum,
    server_iss: Option<SeqNum>,
    pub(super) segments: Vec<Segment>,
    pub(super) arps: Vec<ArpPacket>,
}

impl<'e> Flow<'e> {
    /// The first connection to `port`; `None` if no SYN for it was seen.
    pub(super) fn find(events: &'e [Event], port: u16) -> Option<Self> {
        let syn = events.iter().find_map(|event| {
            let headers = Headers::of(event);
            let (ip, tcp) = (headers.ip?, headers.tcp?);
            let is_syn = tcp.flags.contains(TcpFlags::SYN) && !tcp.flags.contains(TcpFlags::ACK);
            (is_syn && tcp.dst_port == port).then_some((event.ns, ip, tcp, event.pkt))
        })?;
        let (client, ip, tcp, syn_pkt) = syn;
        let client_addr = SocketAddrV4::new(ip.src, tcp.src_port);
        let server_addr = SocketAddrV4::new(ip.dst, port);
        let server = events
            .iter()
            .rfind(|event| event.pkt == syn_pkt && matches!(event.point, Point::TcpReceive | Point::Demux))
            .map_or(client, |event| event.ns);
        let mut flow = Self {
            events,
            client,
            server,
            client_addr,
            server_addr,
            client_iss: tcp.seq,
            server_iss: None,
            segments: Vec::new(),
            arps: Vec::new(),
        };
        flow.collect();
        Some(flow)
    }

    fn collect(&mut self) {
        let mut seen = BTreeSet::new();
        // A packet's first event may be from before its headers were written: its time counts, a later one's bytes.
        let mut first: BTreeMap<PktId, Instant> = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.pkt != PktId(0)) {
            let sent = *first.entry(event.pkt).or_insert(event.at);
            if seen.contains(&event.pkt) {
                continue;
            }
            let headers = Headers::of(event);
            if let Some(arp) = headers.arp {
                seen.insert(event.pkt);
                self.arps.push(ArpPacket { pkt: event.pkt, from: event.ns, arp, sent });
            }
            let (Some(ip), Some(tcp)) = (headers.ip, headers.tcp) else { continue };
            let Some(from_client) = self.direction(ip.src, ip.dst, &tcp) else { continue };
            seen.insert(event.pkt);
            if !from_client && tcp.flags.contains(TcpFlags::SYN) {
                self.server_iss.get_or_insert(tcp.seq);
            }
            let payload = headers.payload;
            self.segments.push(Segment { pkt: event.pkt, sent, from_client, tcp, payload });
        }
        self.segments.sort_by_key(|segment| (segment.sent, segment.pkt));
    }

    /// Whether it is of this connection, and if so, whether it comes from the client.
    fn direction(&self, src: Ipv4Addr, dst: Ipv4Addr, tcp: &TcpRepr) -> Option<bool> {
        let ends = (SocketAddrV4::new(src, tcp.src_port), SocketAddrV4::new(dst, tcp.dst_port));
        if ends == (self.client_addr, self.server_addr) {
            Some(true)
        } else if ends == (self.server_addr, self.client_addr) {
            Some(false)
        } else {
            None
        }
    }

    /// A packet's events, in the order of its way.
    pub(super) fn way(&self, pkt: PktId) -> impl Iterator<Item = &'e Event> + use<'e> {
        self.events.iter().filter(move |event| event.pkt == pkt)
    }

    /// A sequence number counted from the connection's first.
    pub(super) fn relative(&self, seq: SeqNum, from_client: bool) -> u32 {
        let iss = if from_client { Some(self.client_iss) } else { self.server_iss };
        seq.0.wrapping_sub(iss.unwrap_or(seq).0)
    }

    /// The first segment that satisfies `wanted`.
    pub(super) fn segment(&self, wanted: impl Fn(&Segment) -> bool) -> Option<&Segment> {
        self.segments.iter().find(|segment| wanted(segment))
    }

    /// The first segment that carries the request.
    pub(super) fn request(&self) -> Option<&Segment> {
        self.segment(|segment| segment.from_client && segment.payload > 0)
    }

    /// The first segment that carries the answer.
    pub(super) fn answer(&self) -> Option<&Segment> {
        self.segment(|segment| !segment.from_client && segment.payload > 0)
    }

    /// The ARP question of `from` for `addr`, and its answer.
    pub(super) fn arp_pair(&self, from: NsId) -> Option<(&ArpPacket, Option<&ArpPacket>)> {
        let is_question = |packet: &&ArpPacket| {
            packet.from == from
                && packet.arp.operation == ArpOperation::Request
                // A host that announces its own address asks nobody.
                && packet.arp.sender_ip != packet.arp.target_ip
                && !packet.arp.sender_ip.is_unspecified()
        };
        let question = self.arps.iter().find(is_question)?;
        let answer = self.arps.iter().find(|packet| {
            packet.arp.operation == ArpOperation::Reply
                && packet.arp.sender_ip == question.arp.target_ip
                && packet.arp.target_ip == question.arp.sender_ip
        });
        Some((question, answer))
    }
}
