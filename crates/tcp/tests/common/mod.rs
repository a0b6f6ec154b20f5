//! Two connections and a link between them, in virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use bytes::Bytes;
use netspace_base::{Duration, Instant, Rng, Seed};
use netspace_tcp::{Config, Connection, Event, Segment, State};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

/// The client or the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What the link does to frames, both ways alike. Chances are per billion.
#[derive(Clone, Debug)]
pub struct Link {
    pub delay: Duration,
    pub loss: u32,
    pub duplicate: u32,
    /// A frame so chosen is held back by `reorder_by`.
    pub reorder: u32,
    pub reorder_by: Duration,
    /// Super-segments are cut to their pieces.
    pub cut: bool,
    /// Bits per second and the queue before it, bytes; 0 = no limit.
    pub rate: u64,
    pub queue: u64,
    pub down: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            loss: 0,
            duplicate: 0,
            reorder: 0,
            reorder_by: Duration::from_millis(5),
            cut: true,
            rate: 0,
            queue: 0,
            down: false,
        }
    }
}

pub const PER_CENT: u32 = 10_000_000;

/// One segment as it was sent, for assertions.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Instant,
    pub from: Side,
    pub segment: Segment,
}

pub type Filter = Box<dyn FnMut(Side, &Segment) -> bool>;

/// Two endpoints and their link.
pub struct Pair {
    pub now: Instant,
    pub client: Connection,
    pub server: Option<Connection>,
    pub server_config: Config,
    pub link: Link,
    pub path_mss: u16,
    /// Says of a frame whether it gets through.
    pub filter: Option<Filter>,
    /// Says of an ECN-capable frame whether a router marks it.
    pub marker: Option<Filter>,
    pub log: Vec<Sent>,
    pub keep_log: bool,
    pub frames: u64,
    flights: BTreeMap<(Instant, u64), (Side, Segment)>,
    busy_until: [Instant; 2],
    serial: u64,
    rng: Rng,
}

impl Pair {
    pub fn new(client: Config, server: Config, link: Link) -> Self {
        Self::with_seed(client, server, link, 1)
    }

    pub fn with_seed(client: Config, server: Config, link: Link, seed: u64) -> Self {
        let now = Instant::from_secs(1);
        let mut pair = Self {
            now,
            client: Connection::connect(client, now, SeqNum(0xffff_0000), 1460),
            server: None,
            server_config: server,
            link,
            path_mss: 1460,
            filter: None,
            marker: None,
            log: Vec::new(),
            keep_log: true,
            frames: 0,
            flights: BTreeMap::new(),
            busy_until: [Instant::ZERO; 2],
            serial: 0,
            rng: Seed(seed).stream("pair", 0),
        };
        pair.transmit();
        pair
    }

    /// A pair that has shaken hands.
    pub fn connected(client: Config, server: Config, link: Link) -> Self {
        let mut pair = Self::new(client, server, link);
        pair.run_until(10, |pair| pair.states() == (State::Established, State::Established));
        pair.log.clear();
        pair
    }

    pub fn lan() -> Self {
        Self::connected(Config::default(), Config::default(), Link::default())
    }

    pub fn server(&mut self) -> &mut Connection {
        self.server.as_mut().expect("the SYN has arrived")
    }

    pub fn side(&mut self, side: Side) -> &mut Connection {
        match side {
            Side::Client => &mut self.client,
            Side::Server => self.server(),
        }
    }

    pub fn states(&self) -> (State, State) {
        (self.client.state(), self.server.as_ref().map_or(State::Closed, Connection::state))
    }

    /// Sends all that the endpoints want to send.
    pub fn transmit(&mut self) {
        for side in [Side::Client, Side::Server] {
            loop {
                let now = self.now;
                let segment = match side {
                    Side::Client => self.client.poll_transmit(now),
                    Side::Server => self.server.as_mut().and_then(|server| server.poll_transmit(now)),
                };
                let Some(segment) = segment else { break };
                if self.keep_log {
                    self.log.push(Sent { at: now, from: side, segment: segment.clone() });
                }
                self.put_on_link(side, segment);
            }
        }
    }

    fn put_on_link(&mut self, from: Side, segment: Segment) {
        let frames = if self.link.cut { cut(segment) } else { vec![segment] };
        for mut frame in frames {
            self.frames += 1;
            if self.link.down || self.rng.chance(self.link.loss) {
                continue;
            }
            if let Some(filter) = &mut self.filter
                && !filter(from, &frame)
            {
                continue;
            }
            if let Some(marker) = &mut self.marker
                && frame.ecn.is_capable()
                && marker(from, &frame)
            {
                frame.ecn = Ecn::Ce;
            }
            let copies = if self.rng.chance(self.link.duplicate) { 2 } else { 1 };
            for _ in 0..copies {
                let Some(departure) = self.departure(from, &frame) else { continue };
                let extra =
                    if self.rng.chance(self.link.reorder) { self.link.reorder_by } else { Duration::ZERO };
                self.serial += 1;
                let at = departure + self.link.delay + extra;
                self.flights.insert((at, self.serial), (from.other(), frame.clone()));
            }
        }
    }

    /// When the frame has left the bottleneck; none if its queue is full.
    fn departure(&mut self, from: Side, frame: &Segment) -> Option<Instant> {
        if self.link.rate == 0 {
            return Some(self.now);
        }
        let len = frame.payload_len() as u64 + 54;
        let busy = &mut self.busy_until[from as usize];
        let waiting = busy.saturating_since(self.now).as_nanos() as u64 * self.link.rate / 8_000_000_000;
        if self.link.queue > 0 && waiting + len > self.link.queue {
            return None;
        }
        *busy = (*busy).max(self.now) + Duration::from_nanos(len * 8_000_000_000 / self.link.rate);
        Some(*busy)
    }

    /// Goes on to the next thing that happens; false if nothing will.
    pub fn step(&mut self) -> bool {
        let arrival = self.flights.keys().next().map(|&(at, _)| at);
        let timeouts =
            [arrival, self.client.next_timeout(), self.server.as_ref().and_then(Connection::next_timeout)];
        let Some(next) = timeouts.into_iter().flatten().min() else { return false };
        self.now = self.now.max(next);
        if arrival.is_some_and(|at| at <= self.now) {
            let (_, (to, segment)) = self.flights.pop_first().expect("it is there");
            self.deliver(to, segment);
        } else {
            self.client.on_timeout(self.now);
            if let Some(server) = &mut self.server {
                server.on_timeout(self.now);
            }
        }
        self.transmit();
        true
    }

    fn deliver(&mut self, to: Side, segment: Segment) {
        let now = self.now;
        match (to, &mut self.server) {
            (Side::Client, _) => drop(self.client.receive(now, segment)),
            (Side::Server, Some(server)) => drop(server.receive(now, segment)),
            (Side::Server, server @ None) => {
                if segment.flags.contains(TcpFlags::SYN) {
                    let config = self.server_config.clone();
                    *server = Some(Connection::accept(config, now, SeqNum(7_000), &segment, self.path_mss));
                }
            }
        }
    }

    /// Runs until `done` or `seconds` of virtual time are over; panics then.
    pub fn run_until(&mut self, seconds: u64, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + Duration::from_secs(seconds);
        while !done(self) {
            assert!(self.step(), "nothing happens any more: {:?}", self.states());
            assert!(self.now <= end, "not done after {seconds} s: {:?}\n{:#?}", self.states(), self.client);
        }
    }

    /// Runs for so long, or until nothing happens any more.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.flights.keys().next().map(|&(at, _)| at);
            let server = self.server.as_ref().and_then(Connection::next_timeout);
            let next = [arrival, self.client.next_timeout(), server].into_iter().flatten().min();
            if next.is_none_or(|at| at > end) {
                break;
            }
            self.step();
        }
        self.now = end;
    }

    pub fn write(&mut self, side: Side, data: &[u8]) -> usize {
        let now = self.now;
        let taken = self.side(side).send(now, Bytes::copy_from_slice(data));
        self.transmit();
        taken
    }

    pub fn read(&mut self, side: Side, max: usize) -> Vec<u8> {
        let now = self.now;
        let data = self.side(side).recv(now, max).concat();
        self.transmit();
        data
    }

    pub fn shutdown(&mut self, side: Side) {
        let now = self.now;
        self.side(side).shutdown_send(now);
        self.transmit();
    }

    pub fn close(&mut self, side: Side) {
        let now = self.now;
        self.side(side).close(now);
        self.transmit();
    }

    /// Hands a forged or late segment to an endpoint.
    pub fn inject(&mut self, to: Side, segment: Segment) {
        self.deliver(to, segment);
        self.transmit();
    }

    /// What one side sent since the log was last cleared.
    pub fn sent(&self, from: Side) -> Vec<&Sent> {
        self.log.iter().filter(|sent| sent.from == from).collect()
    }

    pub fn events(&mut self, side: Side) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.side(side).poll_event() {
            events.push(event);
        }
        events
    }

    /// Sends `total` bytes from one side and reads them on the other, checking each; how long it took.
    pub fn transfer(&mut self, from: Side, total: u64, seconds: u64) -> Duration {
        let mut source = Source::new(total);
        let mut sink = Sink::default();
        let begin = self.now;
        self.pump(from, &mut source, &mut sink);
        self.run_until(seconds, |pair| {
            pair.pump(from, &mut source, &mut sink);
            sink.received >= total
        });
        self.now.saturating_since(begin)
    }

    pub fn pump(&mut self, from: Side, source: &mut Source, sink: &mut Sink) {
        let now = self.now;
        source.fill(now, self.side(from));
        self.transmit();
        if self.server.is_some() {
            sink.drain(now, self.side(from.other()));
            self.transmit();
        }
    }
}

/// Bytes whose values follow from their place.
pub struct Source {
    sent: u64,
    total: u64,
    block: Bytes,
}

const PERIOD: usize = 251 * 256;

impl Source {
    pub fn new(total: u64) -> Self {
        let block: Bytes = (0..PERIOD * 2).map(|n| (n % 251) as u8 ^ (n / 251 % 256) as u8).collect();
        Self { sent: 0, total, block }
    }

    /// Goes on as if `bytes` were sent already.
    pub fn skip(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    pub fn fill(&mut self, now: Instant, connection: &mut Connection) {
        while self.sent < self.total {
            let at = (self.sent % PERIOD as u64) as usize;
            let len = (self.total - self.sent).min(PERIOD as u64) as usize;
            let taken = connection.send(now, self.block.slice(at..at + len));
            if taken == 0 {
                break;
            }
            self.sent += taken as u64;
        }
    }
}

/// Checks what a [`Source`] made.
#[derive(Default)]
pub struct Sink {
    pub received: u64,
}

impl Sink {
    pub fn drain(&mut self, now: Instant, connection: &mut Connection) {
        self.drain_up_to(now, connection, usize::MAX);
    }

    pub fn drain_up_to(&mut self, now: Instant, connection: &mut Connection, max: usize) {
        for bytes in connection.recv(now, max) {
            for (index, &byte) in bytes.iter().enumerate() {
                let n = (self.received as usize + index) % PERIOD;
                assert_eq!(
                    byte,
                    (n % 251) as u8 ^ (n / 251 % 256) as u8,
                    "at {}",
                    self.received as usize + index
                );
            }
            self.received += bytes.len() as u64;
        }
    }
}

/// Cuts a super-segment as a device would: flags FIN and PSH stay on the last piece.
pub fn cut(segment: Segment) -> Vec<Segment> {
    let Some(size) = segment.gso_size.map(usize::from) else { return vec![segment] };
    let data = Bytes::from(segment.payload.concat());
    let last = (data.len() - 1) / size;
    (0..=last)
        .map(|n| {
            let piece = data.slice(n * size..((n + 1) * size).min(data.len()));
            let mut flags = segment.flags;
            if n != last {
                flags.remove(TcpFlags::FIN | TcpFlags::PSH);
            }
            if n > 0 && !segment.accurate_ecn {
                flags.remove(TcpFlags::CWR);
            }
            Segment {
                seq: segment.seq + n * size,
                flags,
                payload: smallvec::smallvec![piece],
                gso_size: None,
                ..segment.clone()
            }
        })
        .collect()
}

/// A bare segment.
pub fn segment(seq: SeqNum, ack: SeqNum, flags: TcpFlags, payload: &[u8]) -> Segment {
    Segment {
        seq,
        ack,
        flags,
        window: 1_000,
        urgent: 0,
        options: TcpOptions::default(),
        payload: if payload.is_empty() {
            smallvec::SmallVec::new()
        } else {
            smallvec::smallvec![Bytes::copy_from_slice(payload)]
        },
        ..Segment::default()
    }
}
