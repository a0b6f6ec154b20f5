//! Tells a connection's events in plain words. Nothing here is written beforehand but the words: what did not happen is
//! not told, and what was expected and not seen is named at the end.

use std::time::Duration;

use netspace_base::{Detail, Event, Instant, NsId, Point};
use netspace_wire::tcp::TcpFlags;

use super::flow::{ArpPacket, Flow, Headers, Names, Segment};

/// One step.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: Instant,
    pub(super) host: String,
    pub(super) text: String,
}

/// A part of the story.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) title: String,
    /// A sentence for somebody who has only read about it.
    pub(super) about: &'static str,
    pub(super) lines: Vec<Line>,
}

/// The whole story.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) sections: Vec<Section>,
    /// What was expected, but is not among the events.
    pub(super) missing: Vec<String>,
}

/// Tells the story of `flow`.
pub(super) fn tell(flow: &Flow<'_>, names: &Names) -> Story {
    let mut teller = Teller { flow, names, story: Story::default() };
    teller.asks();
    teller.resolves();
    teller.handshake();
    teller.goes_down();
    teller.crosses();
    teller.goes_up();
    teller.answer();
    teller.closes();
    teller.story
}

struct Teller<'s> {
    flow: &'s Flow<'s>,
    names: &'s Names,
    story: Story,
}

impl<'s> Teller<'s> {
    fn client(&self) -> &str {
        self.names.host(self.flow.client)
    }

    fn server(&self) -> &str {
        self.names.host(self.flow.server)
    }

    fn section(&mut self, title: String, about: &'static str, mut lines: Vec<Line>) {
        lines.sort_by_key(|line| line.at);
        self.story.sections.push(Section { title, about, lines });
    }

    fn miss(&mut self, what: impl Into<String>) {
        self.story.missing.push(what.into());
    }

    /// Names the points that are not among `seen`.
    fn expect(&mut self, seen: &[&Event], host: &str, points: &[Point]) {
        for point in points {
            if !seen.iter().any(|event| event.point == *point) {
                self.miss(format!("{} on {host}", point.info().name));
            }
        }
    }

    fn line(&self, event: &Event) -> Line {
        Line {
            at: event.at,
            host: self.names.host(event.ns).to_owned(),
            text: words(event, self.flow, self.names),
        }
    }

    /// The host's own events (system calls, buffers, states) between two moments, both included.
    fn host_events(&self, ns: NsId, from: Instant, to: Instant) -> Vec<&'s Event> {
        let own = |event: &&Event| event.pkt.0 == 0 && event.ns == ns && event.at >= from && event.at <= to;
        let events: &'s [Event] = self.flow.events;
        events.iter().filter(own).collect()
    }

    fn start(&self) -> Instant {
        self.flow.events.first().map_or(Instant::ZERO, |event| event.at)
    }

    fn end(&self) -> Instant {
        self.flow.events.last().map_or(Instant::ZERO, |event| event.at)
    }

    /// When the segment was made and when its receiver's TCP had it.
    fn times(&self, segment: &Segment) -> (Instant, Option<Instant>) {
        let arrived = self.flow.way(segment.pkt).find(|event| event.point == Point::TcpReceive);
        (segment.sent, arrived.map(|event| event.at))
    }

    fn syn(&self) -> Option<&Segment> {
        self.flow.segment(|segment| segment.from_client && segment.is(TcpFlags::SYN))
    }

    /// The system calls up to the first segment.
    fn asks(&mut self) {
        let Some(syn) = self.syn() else { return };
        let (sent, pkt) = (syn.sent, syn.pkt);
        // A call is noted when it returns: connect's after its SYN.
        let until = self.flow.segment(|s| !s.from_client).map_or(sent, |answer| answer.sent);
        let calls: Vec<&Event> = self
            .host_events(self.flow.client, self.start(), until)
            .into_iter()
            .filter(|event| is_call(event, &["socket(", "connect("]))
            .collect();
        let mut lines: Vec<Line> = last_attempt(&calls).iter().map(|event| self.line(event)).collect();
        if lines.is_empty() {
            self.miss(format!("the system calls of {}'s program", self.client()));
        }
        let first: Vec<&Event> = self
            .flow
            .way(pkt)
            .filter(|event| {
                matches!(event.point, Point::TcpSend | Point::RouteOut | Point::IpSend | Point::NeighQueue)
            })
            .filter(|event| event.ns == self.flow.client)
            .collect();
        let client = self.client().to_owned();
        self.expect(&first, &client, &[Point::TcpSend, Point::RouteOut]);
        lines.extend(first.iter().map(|event| self.line(event)));
        let title = format!("The program on {client} asks for a connection to {}", self.flow.server_addr);
        self.section(
            title,
            "A program asks the kernel by system calls; TCP starts with a SYN segment.",
            lines,
        );
    }

    /// ARP, on every link that needs it.
    fn resolves(&mut self) {
        let mut lines = Vec::new();
        let asking: Vec<NsId> = self.names.hosts.keys().copied().collect();
        for ns in asking {
            let Some((question, answer)) = self.flow.arp_pair(ns) else { continue };
            // The way of the client's question is told in full, of the others' only question and answer.
            let in_full = ns == self.flow.client;
            lines.extend(self.arp_lines(question, answer, in_full));
        }
        if lines.is_empty() {
            self.miss("ARP (every Ethernet address was known already)");
            return;
        }
        let about = "Ethernet needs the next hop's hardware address: ARP asks everybody.";
        self.section("Who has that address? ARP".to_owned(), about, lines);
    }

    fn arp_lines(&self, question: &ArpPacket, answer: Option<&ArpPacket>, in_full: bool) -> Vec<Line> {
        let mut lines = vec![Line {
            at: question.sent,
            host: self.names.host(question.from).to_owned(),
            text: format!("asks everybody: who has {}?", question.arp.target_ip),
        }];
        if in_full {
            let on_switch = |event: &&Event| matches!(event.point, Point::BridgeLearn | Point::BridgeFlood);
            lines.extend(
                once_each(self.flow.way(question.pkt).filter(on_switch)).iter().map(|e| self.line(e)),
            );
        }
        let Some(answer) = answer else { return lines };
        lines.push(Line {
            at: answer.sent,
            host: self.names.host(answer.from).to_owned(),
            text: format!("answers: {} is at {}", answer.arp.sender_ip, answer.arp.sender_mac),
        });
        let back = self
            .flow
            .way(answer.pkt)
            .filter(|event| event.point == Point::ArpReceive && event.ns == question.from)
            .last();
        if let Some(event) = back {
            lines.push(Line {
                at: event.at,
                host: self.names.host(event.ns).to_owned(),
                text: "notes it in its neighbour table; what waited goes on".to_owned(),
            });
        }
        lines
    }

    /// SYN, SYN ACK, ACK, and the states.
    fn handshake(&mut self) {
        let until = self.flow.request().map_or(self.end(), |request| request.sent);
        let mut lines = Vec::new();
        let parts: [(&str, Option<&Segment>); 3] = [
            ("the SYN", self.syn()),
            ("the SYN ACK", self.flow.segment(|s| !s.from_client && s.is(TcpFlags::SYN | TcpFlags::ACK))),
            (
                "the ACK that ends the handshake",
                self.flow.segment(|s| {
                    s.from_client && s.is(TcpFlags::ACK) && s.payload == 0 && !s.is(TcpFlags::FIN)
                }),
            ),
        ];
        let mut missing = Vec::new();
        for (name, segment) in parts {
            match segment {
                Some(segment) => lines.push(self.segment_line(segment)),
                None => missing.push(name),
            }
        }
        let started = self.syn().map_or(self.start(), |syn| syn.sent);
        lines.extend(self.states(started, until));
        for ns in [self.flow.client, self.flow.server] {
            let own = self.host_events(ns, started, until);
            let returns = own.into_iter().filter(|event| is_call(event, &["connect:", "accept"]));
            lines.extend(returns.map(|event| self.line(event)));
        }
        for name in missing {
            self.miss(name);
        }
        let about = "Each side tells its first sequence number and hears it confirmed.";
        self.section("The TCP handshake".to_owned(), about, lines);
    }

    /// A segment's whole way in one line.
    fn segment_line(&self, segment: &Segment) -> Line {
        let (from, to) =
            if segment.from_client { (self.client(), self.server()) } else { (self.server(), self.client()) };
        let (sent, arrived) = self.times(segment);
        let took = match arrived {
            Some(at) => format!("{} on the way", time(at.saturating_since(sent))),
            None => "did not arrive".to_owned(),
        };
        let text = format!("{} to {to}, {took}", segment_text(segment, self.flow));
        Line { at: sent, host: from.to_owned(), text }
    }

    /// Changes of TCP's state on both sides, between two moments.
    fn states(&self, from: Instant, to: Instant) -> Vec<Line> {
        let is_state = |event: &&Event| {
            event.point == Point::TcpState
                && event.at >= from
                && event.at <= to
                && (event.ns == self.flow.client || event.ns == self.flow.server)
        };
        self.flow.events.iter().filter(is_state).map(|event| self.line(event)).collect()
    }

    /// The request on the client: from the system call to the wire.
    fn goes_down(&mut self) {
        let Some(request) = self.flow.request() else {
            self.miss("the request");
            return;
        };
        let (pkt, sent) = (request.pkt, request.sent);
        let after = self.flow.segments.iter().filter(|s| s.sent < sent).map(|s| s.sent).max().unwrap_or(sent);
        let own = self.host_events(self.flow.client, after, sent);
        let mut events: Vec<&Event> = own
            .into_iter()
            .filter(|e| e.point == Point::SocketSend || is_call(e, &["send", "write"]))
            .collect();
        events.extend(self.flow.way(pkt).filter(|event| event.ns == self.flow.client));
        let points = [
            Point::SocketSend,
            Point::TcpSend,
            Point::RouteOut,
            Point::IpSend,
            Point::NeighSend,
            Point::DevSend,
        ];
        let client = self.client().to_owned();
        self.expect(&events, &client, &points);
        let lines = merged(&events).into_iter().map(|(event, and)| self.with_note(event, and)).collect();
        let title = format!("The request goes down through the layers of {client}");
        self.section(title, "Each layer puts its header before the bytes it is given.", lines);
    }

    /// The request on what lies between.
    fn crosses(&mut self) {
        let Some(request) = self.flow.request() else { return };
        let ends = [self.flow.client, self.flow.server];
        let between: Vec<&Event> =
            self.flow.way(request.pkt).filter(|event| !ends.contains(&event.ns)).collect();
        let expected = [Point::BridgeForward, Point::RouteIn, Point::Forward, Point::NeighSend];
        self.expect(&between, "the way", &expected);
        let lines = merged(&between).into_iter().map(|(event, and)| self.with_note(event, and)).collect();
        let about = "A switch looks at Ethernet addresses, a router at IP addresses.";
        self.section("Across the switch and the router".to_owned(), about, lines);
    }

    /// The request on the server: from the ring to the program.
    fn goes_up(&mut self) {
        let Some(request) = self.flow.request() else { return };
        let pkt = request.pkt;
        let arrived: Vec<&Event> = self.flow.way(pkt).filter(|event| event.ns == self.flow.server).collect();
        let from = arrived.first().map_or(request.sent, |event| event.at);
        let to = self.flow.answer().map_or(self.end(), |answer| answer.sent);
        let mut lines: Vec<Line> =
            merged(&arrived).into_iter().map(|(event, and)| self.with_note(event, and)).collect();
        let is_reading = |event: &&&Event| {
            matches!(event.point, Point::SocketQueue | Point::SocketRead) || is_call(event, &["read", "recv"])
        };
        let own = self.host_events(self.flow.server, from, to);
        let reading: Vec<&Event> = own.iter().filter(is_reading).copied().collect();
        lines.extend(reading.iter().map(|event| self.line(event)));
        let mut all = arrived;
        all.extend(reading);
        let server = self.server().to_owned();
        let points = [
            Point::RingReceive,
            Point::IpReceive,
            Point::Deliver,
            Point::Demux,
            Point::TcpReceive,
            Point::SocketQueue,
            Point::SocketRead,
        ];
        self.expect(&all, &server, &points);
        let title = format!("And up through the layers of {server}");
        self.section(title, "Each layer checks its header, takes it off and finds who is next.", lines);
    }

    /// The answer, told shortly.
    fn answer(&mut self) {
        let Some(answer) = self.flow.answer() else {
            self.miss("the answer");
            return;
        };
        let from = self.flow.request().map_or(answer.sent, |request| request.sent);
        let closing = self.flow.segment(|s| s.is(TcpFlags::FIN)).map_or(self.end(), |fin| fin.sent);
        let told = |s: &&Segment| s.sent > from && (s.payload > 0 || s.sent < closing);
        let mut lines: Vec<Line> =
            self.flow.segments.iter().filter(told).map(|segment| self.segment_line(segment)).collect();
        let sends = self.host_events(self.flow.server, from, self.end());
        lines.extend(sends.iter().filter(|e| e.point == Point::SocketSend).map(|event| self.line(event)));
        let reads = self.host_events(self.flow.client, answer.sent, self.end());
        let has_bytes =
            |event: &&&Event| event.point == Point::SocketRead && event.detail != Detail::Bytes(0);
        lines.extend(reads.iter().filter(has_bytes).map(|event| self.line(event)));
        let about = "The same way back, with the acknowledgement of the request on it.";
        self.section(format!("The answer of {}", self.server()), about, lines);
    }

    /// FIN and ACK, both ways.
    fn closes(&mut self) {
        let is_fin = |s: &Segment| s.is(TcpFlags::FIN);
        let fins: Vec<&Segment> = self.flow.segments.iter().filter(|s| is_fin(s)).collect();
        let (by_client, by_server) =
            (fins.iter().any(|s| s.from_client), fins.iter().any(|s| !s.from_client));
        let Some(first) = fins.first() else {
            self.miss("the FIN segments of the close");
            return;
        };
        let from = first.sent;
        let after: Vec<&Segment> =
            self.flow.segments.iter().filter(|s| s.sent >= from && (is_fin(s) || s.payload == 0)).collect();
        let mut lines: Vec<Line> = after.iter().map(|segment| self.segment_line(segment)).collect();
        lines.extend(self.states(from, self.end()));
        for (seen, host) in [(by_client, self.client().to_owned()), (by_server, self.server().to_owned())] {
            if !seen {
                self.miss(format!("{host}'s FIN"));
            }
        }
        let about = "FIN says: I have nothing more to send. Each side says it, the other confirms.";
        self.section("The close".to_owned(), about, lines);
    }

    fn with_note(&self, event: &Event, note: Option<String>) -> Line {
        let mut line = self.line(event);
        if let Some(note) = note {
            line.text.push_str(&note);
        }
        line
    }
}

/// Whether the event is a system call that starts so.
fn is_call(event: &Event, starts: &[&str]) -> bool {
    match &event.detail {
        Detail::Text(text) => {
            event.point == Point::Syscall && starts.iter().any(|start| text.starts_with(start))
        }
        _ => false,
    }
}

/// The last socket() and what follows it: looking up a name makes sockets of its own before.
fn last_attempt<'e>(calls: &[&'e Event]) -> Vec<&'e Event> {
    let is_socket =
        |event: &&Event| matches!(&event.detail, Detail::Text(text) if text.starts_with("socket("));
    let from = calls.iter().rposition(is_socket).unwrap_or(0);
    calls[from..].to_vec()
}

/// Of equal points on one host only the first.
fn once_each<'e>(events: impl Iterator<Item = &'e Event>) -> Vec<&'e Event> {
    let mut seen: Vec<&Event> = Vec::new();
    for event in events {
        if !seen.iter().any(|other| (other.ns, other.point) == (event.ns, event.point)) {
            seen.push(event);
        }
    }
    seen
}

/// Puts steps that belong together into one line, with a note (the ring and the poll that empties it), and leaves out
/// what the line beside it tells already.
fn merged<'e>(events: &[&'e Event]) -> Vec<(&'e Event, Option<String>)> {
    let mut lines: Vec<(&Event, Option<String>)> = Vec::new();
    for event in events {
        match (lines.last_mut(), event.point) {
            (Some((before, note)), Point::DevReceive)
                if before.point == Point::RingReceive && before.ns == event.ns && note.is_none() =>
            {
                *note = Some(format!("; taken out {} later", time(event.at.saturating_since(before.at))));
            }
            (Some((before, _)), Point::Deliver)
                if before.point == Point::RouteIn && before.ns == event.ns =>
            {
                *before = event;
            }
            (_, Point::LinkEnter | Point::LinkLeave) => {}
            _ => lines.push((event, None)),
        }
    }
    lines
}

/// What happened at an event, in plain words.
fn words(event: &Event, flow: &Flow<'_>, names: &Names) -> String {
    socket_words(event, flow)
        .or_else(|| ip_words(event, flow, names))
        .or_else(|| link_words(event, names))
        .unwrap_or_else(|| match &event.detail {
            Detail::Drop(reason) => {
                let info = reason.info();
                format!("DROPPED ({}): {}", info.name, info.explanation)
            }
            _ => event.point.info().explanation.trim_end_matches('.').to_owned(),
        })
}

/// At the program, its socket, and TCP.
fn socket_words(event: &Event, flow: &Flow<'_>) -> Option<String> {
    Some(match (event.point, &event.detail) {
        (Point::Syscall, Detail::Text(text)) => format!("system call {text}"),
        (Point::SocketSend, Detail::Bytes(n)) => {
            format!("{n} bytes, written by the program, enter the send buffer")
        }
        (Point::SocketRead, Detail::Bytes(0)) => "the program reads the end of the stream".to_owned(),
        (Point::SocketRead, Detail::Bytes(n)) => format!("the program reads {n} bytes"),
        (Point::SocketQueue, Detail::Bytes(n)) => format!("{n} bytes lie in the socket's receive queue"),
        (Point::TcpState, Detail::State { from, to }) => format!("TCP state {from} → {to}"),
        (Point::TcpSend, _) => match own_segment(event, flow) {
            Some(segment) => format!("TCP makes a segment: {}", segment_text(segment, flow)),
            None => "TCP makes a segment".to_owned(),
        },
        (Point::TcpReceive, _) => match own_segment(event, flow) {
            Some(segment) => format!("TCP reads it: {}", segment_text(segment, flow)),
            None => "TCP reads it".to_owned(),
        },
        (Point::Deliver, _) => "route: it is for this host; the payload goes to TCP".to_owned(),
        (Point::Demux, _) => match own_segment(event, flow) {
            Some(segment) => {
                format!("ports {} → {} tell the socket", segment.tcp.src_port, segment.tcp.dst_port)
            }
            None => "the ports tell the socket".to_owned(),
        },
        (Point::SocketQueue, _) => match own_segment(event, flow) {
            Some(segment) => format!("{} bytes lie in the socket's receive queue", segment.payload),
            None => "the payload lies in the socket's receive queue".to_owned(),
        },
        _ => return None,
    })
}

/// At IP: routes and headers.
fn ip_words(event: &Event, flow: &Flow<'_>, names: &Names) -> Option<String> {
    let headers = Headers::of(event);
    Some(match (event.point, &event.detail) {
        (Point::RouteOut, Detail::Route { via, dev }) => {
            let by = names.device(event.ns, *dev);
            match headers.ip {
                Some(ip) if *via == std::net::IpAddr::V4(ip.dst) => {
                    format!("route: {via} is on the link of {by}")
                }
                _ if *via == std::net::IpAddr::V4(*flow.server_addr.ip()) => {
                    format!("route: {via} is on the link of {by}")
                }
                _ => format!("route: the next hop is {via}, by {by}"),
            }
        }
        (Point::IpSend, _) => match headers.ip {
            Some(ip) => format!("IP header: {} > {}, time to live {}", ip.src, ip.dst, ip.ttl),
            None => "the IP header is written".to_owned(),
        },
        (Point::IpReceive, _) => "the IP header is checked".to_owned(),
        (Point::RouteIn, Detail::Route { via, .. }) => {
            format!("route: it is for another host; the next hop is {via}")
        }
        (Point::RouteIn, _) if event.ns == flow.server => "route: it is for this host".to_owned(),
        (Point::RouteIn, _) => "route: it is for another host".to_owned(),
        (Point::Forward, Detail::Ttl(ttl)) => {
            format!("forwards it: time to live {} → {ttl}", u16::from(*ttl) + 1)
        }
        _ => return None,
    })
}

/// At neighbours, devices, links and switches.
fn link_words(event: &Event, names: &Names) -> Option<String> {
    let device = names.device(event.ns, event.dev);
    let headers = Headers::of(event);
    Some(match (event.point, &event.detail) {
        (Point::NeighQueue, _) => "waits: the next hop's Ethernet address is not known".to_owned(),
        (Point::NeighSend, Detail::Neighbour { addr, mac }) => {
            format!("Ethernet header: {addr} is at {}", netspace_wire::MacAddr(*mac))
        }
        (Point::DevSend, _) => format!("a frame of {} bytes enters {device}'s transmit ring", event.len),
        (Point::LinkEnter, _) => "the frame is on the wire".to_owned(),
        (Point::RingReceive, _) => format!("the frame lies in {device}'s receive ring"),
        (Point::DevReceive, _) => format!("{device}'s poll takes it from the ring"),
        (Point::BridgeLearn, Detail::Port(port)) => match headers.ethernet {
            Some(ethernet) => {
                format!("learns: {} is behind port {}", ethernet.src, names.device(event.ns, *port))
            }
            None => format!("learns who is behind port {}", names.device(event.ns, *port)),
        },
        (Point::BridgeForward, Detail::Port(port)) => match headers.ethernet {
            Some(ethernet) => {
                format!("{} is behind port {}: out there", ethernet.dst, names.device(event.ns, *port))
            }
            None => format!("out by port {}", names.device(event.ns, *port)),
        },
        (Point::BridgeFlood, _) => "does not know where that is: out by every other port".to_owned(),
        _ => return None,
    })
}

fn own_segment<'f>(event: &Event, flow: &'f Flow<'_>) -> Option<&'f Segment> {
    flow.segment(|segment| segment.pkt == event.pkt)
}

/// `SYN, seq 0` or `bytes 1–154, ack 1`.
fn segment_text(segment: &Segment, flow: &Flow<'_>) -> String {
    let seq = flow.relative(segment.tcp.seq, segment.from_client);
    let ack = flow.relative(segment.tcp.ack, !segment.from_client);
    let flags = flag_names(segment.tcp.flags);
    if segment.payload > 0 {
        let last = seq.wrapping_add(segment.payload as u32).wrapping_sub(1);
        return format!("bytes {seq}–{last} ({flags}), ack {ack}");
    }
    match (segment.is(TcpFlags::SYN) || segment.is(TcpFlags::FIN), segment.is(TcpFlags::ACK)) {
        (true, false) => format!("{flags}, seq {seq}"),
        (true, true) => format!("{flags}, seq {seq}, ack {ack}"),
        _ => format!("{flags} {ack}"),
    }
}

fn flag_names(flags: TcpFlags) -> String {
    let all = [
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::URG, "URG"),
        (TcpFlags::ACK, "ACK"),
    ];
    let set = all.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(" ")
}

/// A short time: `850 ns`, `12 µs`, `1.3 ms`, `2.0 s`.
pub(super) fn time(duration: Duration) -> String {
    let ns = duration.as_nanos();
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..10_000 => format!("{:.1} µs", ns as f64 / 1e3),
        10_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}
