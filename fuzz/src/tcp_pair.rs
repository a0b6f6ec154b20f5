//! Two TCP endpoints and a network that does what the script says: lose, repeat, reorder, delay, cut GSO segments. The
//! bytes that arrive must be the bytes that were sent; when the network behaves again, everything must arrive.
//!
//! With forged segments in the script only the absence of panics and endless loops is asked for.

use std::collections::VecDeque;

use netspace_base::{Bytes, Duration, Instant};
use netspace_tcp::{BufferSize, Config, CongestionKind, Connection, IcmpError, Segment, State};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

/// Segments that an endpoint may send at one moment.
const BURST_MAX: usize = 10_000;
/// Moments after the script within which all must have arrived.
const QUIET_ROUNDS: usize = 20_000;
/// Timers that may be due at one moment, one after the other.
const DUE_MAX: usize = 8;
/// Bytes that a script may send each way.
const STREAM_MAX: usize = 1 << 20;

/// The byte at `at` of the stream that side `side` sends.
fn pattern(side: usize, at: usize) -> u8 {
    (at ^ at >> 8 ^ at >> 16).wrapping_mul(31).wrapping_add(side) as u8
}

struct Side {
    connection: Option<Connection>,
    /// Segments on their way to this side.
    arriving: VecDeque<Segment>,
    sent: usize,
    received: usize,
    shut: bool,
}

struct Pair {
    now: Instant,
    config: Config,
    sides: [Side; 2],
    forged: bool,
}

/// Runs a script.
pub fn run(script: &[u8]) {
    let [options, rest @ ..] = script else { return };
    let mut pair = Pair::new(*options);
    pair.settle();
    for op in rest.chunks_exact(2).take(2000) {
        pair.step(op[0], op[1]);
        pair.settle();
    }
    pair.finish();
}

impl Pair {
    fn new(options: u8) -> Self {
        let bit = |n: u8| options >> n & 1 == 1;
        let buffer = |small| {
            if small { BufferSize::fixed(3000) } else { BufferSize { start: 64 << 10, max: 1 << 20 } }
        };
        let config = Config {
            timestamps: bit(0),
            sack: bit(1),
            window_scaling: bit(2),
            gso: bit(3),
            nodelay: bit(4),
            send_buffer: buffer(bit(5)),
            recv_buffer: buffer(bit(6)),
            congestion: if bit(7) { CongestionKind::Reno } else { CongestionKind::default() },
            ..Config::default()
        };
        let now = Instant::from_secs(1);
        let side =
            |connection| Side { connection, arriving: VecDeque::new(), sent: 0, received: 0, shut: false };
        let client = Connection::connect(config.clone(), now, SeqNum(u32::MAX - 5000), 1448);
        Self { now, config, sides: [side(Some(client)), side(None)], forged: false }
    }

    fn step(&mut self, op: u8, value: u8) {
        let side = usize::from(op >> 7);
        match op & 0x0f {
            0..=2 => self.deliver(side),
            3 => drop(self.sides[side].arriving.pop_front()),
            4 => {
                let again = self.sides[side].arriving.front().cloned();
                self.sides[side].arriving.extend(again);
            }
            5 => {
                let len = self.sides[side].arriving.len();
                if len > 1 {
                    self.sides[side].arriving.swap(0, usize::from(value) % len);
                }
            }
            6 => self.cut(side),
            7 => self.send(side, usize::from(value) * 64),
            8 => self.receive(side, usize::from(value) * 64 + 1),
            9 => self.pass(Duration::from_millis(u64::from(value))),
            10 => self.next_timer(),
            11 if value < 64 => self.shut(side),
            12 => self.forge(side, op, value),
            13 => {
                let now = self.now;
                let mss = 100 + u16::from(value) * 8;
                self.sides[side].connection.iter_mut().for_each(|c| c.on_path_mtu(now, mss));
            }
            14 if value == 0 => self.close(side),
            15 if value == 0 => {
                self.forged = true;
                self.sides[side]
                    .connection
                    .iter_mut()
                    .for_each(|c| c.on_icmp_error(IcmpError::HostUnreachable));
            }
            _ => {}
        }
    }

    fn deliver(&mut self, to: usize) {
        let Some(segment) = self.sides[to].arriving.pop_front() else { return };
        let now = self.now;
        match &mut self.sides[to].connection {
            Some(connection) => drop(connection.receive(now, segment)),
            None if segment.flags.contains(TcpFlags::SYN) && !segment.flags.contains(TcpFlags::ACK) => {
                let server = Connection::accept(self.config.clone(), now, SeqNum(77), &segment, 1448);
                self.sides[to].connection = Some(server);
            }
            None => {}
        }
    }

    /// Cuts the next GSO segment into two, as a link would into frames.
    fn cut(&mut self, to: usize) {
        let Some(segment) = self.sides[to].arriving.front_mut() else { return };
        let Some(size) = segment.gso_size.map(usize::from).filter(|&size| size < segment.payload_len())
        else {
            return;
        };
        let payload = segment.payload.concat();
        let mut rest = segment.clone();
        segment.payload = [Bytes::copy_from_slice(&payload[..size])].into_iter().collect();
        segment.gso_size = None;
        segment.flags.remove(TcpFlags::FIN | TcpFlags::PSH);
        rest.seq += size;
        rest.payload = [Bytes::copy_from_slice(&payload[size..])].into_iter().collect();
        self.sides[to].arriving.insert(1, rest);
    }

    fn send(&mut self, from: usize, len: usize) {
        let now = self.now;
        let side = &mut self.sides[from];
        let Some(connection) =
            side.connection.as_mut().filter(|_| !side.shut && side.sent + len < STREAM_MAX)
        else {
            return;
        };
        let data: Vec<u8> = (side.sent..side.sent + len).map(|at| pattern(from, at)).collect();
        side.sent += connection.send(now, data.into());
    }

    fn receive(&mut self, to: usize, max: usize) {
        let now = self.now;
        let side = &mut self.sides[to];
        let Some(connection) = &mut side.connection else { return };
        for slice in connection.recv(now, max) {
            for &byte in slice.iter() {
                assert!(
                    self.forged || byte == pattern(1 - to, side.received),
                    "a wrong byte at {}",
                    side.received
                );
                side.received += 1;
            }
        }
        assert!(self.forged || side.received <= self.sides[1 - to].sent, "more was received than was sent");
    }

    fn shut(&mut self, from: usize) {
        let now = self.now;
        let side = &mut self.sides[from];
        if let Some(connection) = &mut side.connection {
            connection.shutdown_send(now);
            side.shut = true;
        }
    }

    /// What is unread is lost: a reset may follow.
    fn close(&mut self, from: usize) {
        self.forged = true;
        let now = self.now;
        self.sides[from].connection.iter_mut().for_each(|c| c.close(now));
    }

    /// A segment near those under way, with something changed.
    fn forge(&mut self, to: usize, op: u8, value: u8) {
        self.forged = true;
        let mut segment = self.sides[to].arriving.front().cloned().unwrap_or_default();
        let offset = usize::from(value) * 40;
        match op >> 4 & 7 {
            0 => segment.seq += offset,
            1 => segment.seq = segment.seq - offset,
            2 => segment.ack += offset,
            3 => segment.flags = TcpFlags::from_bits_truncate(value.into()),
            4 => segment.window = u16::from(value) << 8,
            5 => segment.urgent = value.into(),
            6 => {
                let block = (segment.ack + offset, segment.ack + offset * 2 + 1);
                segment.options.sack = [block, (block.1, block.0)].into_iter().collect();
            }
            _ => segment.options = TcpOptions { timestamps: Some((offset as u32, 0)), ..segment.options },
        }
        self.sides[to].arriving.push_front(segment);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.earliest().filter(|&at| at <= end) {
            self.now = at.max(self.now);
            self.timeouts();
        }
        self.now = end;
    }

    fn next_timer(&mut self) {
        if let Some(at) = self.earliest() {
            self.now = at.max(self.now);
            self.timeouts();
        }
    }

    fn earliest(&self) -> Option<Instant> {
        self.sides.iter().filter_map(|s| s.connection.as_ref()?.next_timeout()).min()
    }

    fn timeouts(&mut self) {
        let now = self.now;
        for connection in self.sides.iter_mut().filter_map(|s| s.connection.as_mut()) {
            let due = |c: &Connection| c.next_timeout().is_some_and(|at| at <= now);
            for _ in 0..DUE_MAX {
                if due(connection) {
                    connection.on_timeout(now);
                }
            }
            assert!(!due(connection), "a timer stays due");
        }
        self.settle();
    }

    /// Takes what the endpoints want to send and tell.
    fn settle(&mut self) {
        let now = self.now;
        for side in 0..2 {
            let mut out = Vec::new();
            if let Some(connection) = &mut self.sides[side].connection {
                while let Some(segment) = connection.poll_transmit(now) {
                    out.push(segment);
                    assert!(out.len() < BURST_MAX, "an endpoint sends without end");
                }
                while connection.poll_event().is_some() {}
                let _ = (connection.info(now), connection.recv_len(), connection.send_space());
            }
            self.sides[1 - side].arriving.extend(out);
        }
    }

    /// From here on nothing is lost: all that was sent arrives, unless somebody interfered or the connection has been
    /// given up in the meantime.
    fn finish(&mut self) {
        if self.forged {
            return;
        }
        for _ in 0..QUIET_ROUNDS {
            let mut idle = true;
            for side in 0..2 {
                while !self.sides[side].arriving.is_empty() {
                    idle = false;
                    self.deliver(side);
                    self.settle();
                }
                self.receive(side, usize::MAX);
                self.settle();
            }
            if self.gave_up() || self.all_arrived() {
                return;
            }
            if idle {
                assert!(self.earliest().is_some(), "bytes are missing, and no timer runs");
                self.next_timer();
            }
        }
        panic!("bytes are missing after {QUIET_ROUNDS} rounds");
    }

    fn gave_up(&self) -> bool {
        self.sides
            .iter()
            .any(|s| s.connection.as_ref().is_some_and(|c| c.error().is_some() || c.state() == State::Closed))
    }

    fn all_arrived(&self) -> bool {
        let [a, b] = &self.sides;
        a.received == b.sent && b.received == a.sent
    }
}
