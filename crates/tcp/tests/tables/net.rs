//! Flows that share a bottleneck, in virtual time: senders on one side, receivers on the other, and one queue between.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use netspace_base::{Duration, Instant, Rng, Seed};
use netspace_tcp::{Config, Connection, Segment, State};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{SeqNum, TcpFlags};
use smallvec::SmallVec;

/// Bytes of Ethernet, IPv4 and TCP headers.
const HEADERS: u64 = 54;
const MSS: u16 = 1_460;

/// How frames are lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// Each by itself, so many per billion.
    Random(u32),
    /// Gilbert-Elliott: chances per billion that a burst of loss begins, and that it ends; within it every frame is lost.
    Bursts { begin: u32, end: u32 },
}

/// What lies between the two sides.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Round-trip time without queueing.
    pub rtt: Duration,
    /// Bits per second, one way; 0 = no limit.
    pub rate: u64,
    /// The queue before it, bytes.
    pub queue: u64,
    /// Bytes in the queue from which on packets that can be are marked; 0 = never.
    pub mark: u64,
    /// Loss, both ways.
    pub loss: Loss,
    /// Chance per billion that a frame is held back, and for how long.
    pub reorder: u32,
    pub reorder_by: Duration,
}

impl Path {
    /// A path with a queue of one product of rate and round-trip time, at least 64 KiB.
    pub fn new(rate: u64, rtt: Duration) -> Self {
        let product = rate / 8 * rtt.as_micros() as u64 / 1_000_000;
        let queue = product.max(64 << 10);
        Self { rtt, rate, queue, mark: 0, loss: Loss::Random(0), reorder: 0, reorder_by: Duration::ZERO }
    }
}

/// One sender and its receiver.
pub struct Flow {
    pub sender: Connection,
    receiver: Option<Connection>,
    receiver_config: Config,
    /// When it begins.
    start: Instant,
    /// Bytes that have been read.
    pub received: u64,
    /// Bytes still to be written.
    left: u64,
}

/// What the queue has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueStats {
    pub frames: u64,
    pub dropped: u64,
    pub marked: u64,
    waited: Duration,
    longest: Duration,
}

impl QueueStats {
    /// Mean time that a frame waited.
    pub fn mean(&self) -> Duration {
        self.waited / u32::try_from(self.frames.max(1)).expect("few frames")
    }
}

/// The flows and what is under way between them.
pub struct Net {
    pub now: Instant,
    pub path: Path,
    pub flows: Vec<Flow>,
    pub queue: QueueStats,
    under_way: BTreeMap<(Instant, u64), (usize, bool, Segment)>,
    serial: u64,
    busy_until: Instant,
    in_burst: [bool; 2],
    rng: Rng,
    block: Bytes,
}

impl Net {
    pub fn new(path: Path, seed: u64) -> Self {
        Self {
            now: Instant::from_secs(1),
            path,
            flows: Vec::new(),
            queue: QueueStats::default(),
            under_way: BTreeMap::new(),
            serial: 0,
            busy_until: Instant::ZERO,
            in_burst: [false; 2],
            rng: Seed(seed).stream("tables", 0),
            block: Bytes::from(vec![0; 64 << 10]),
        }
    }

    /// Adds a flow that begins `after` the start and has `bytes` to send.
    pub fn add(&mut self, config: &Config, after: Duration, bytes: u64) {
        let start = self.now + after;
        // The initial number also seeds the controller: each flow has its own.
        let iss = SeqNum(0x1000_0000 + self.flows.len() as u32 * 7_919);
        self.flows.push(Flow {
            sender: Connection::connect(config.clone(), start, iss, MSS),
            receiver: None,
            receiver_config: config.clone(),
            start,
            received: 0,
            left: bytes,
        });
        if after.is_zero() {
            self.pump(self.flows.len() - 1);
        }
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next().filter(|&at| at <= end) {
            self.step(next);
        }
        self.now = end;
    }

    /// Runs until the first flow is open, and starts its count: a lost SYN costs a second, which says nothing of control.
    pub fn open(&mut self) {
        while self.flows[0].sender.state() != State::Established {
            let next = self.next().expect("the SYN is sent again");
            self.step(next);
        }
        self.flows[0].received = 0;
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let arrival = self.under_way.keys().next().map(|&(at, _)| at);
        let flows = self.flows.iter().flat_map(|flow| {
            let waiting = (self.now < flow.start).then_some(flow.start);
            let receiver = flow.receiver.as_ref().and_then(Connection::next_timeout);
            [waiting.or_else(|| flow.sender.next_timeout()), receiver]
        });
        flows.flatten().chain(arrival).min()
    }

    fn step(&mut self, next: Instant) {
        self.now = self.now.max(next);
        let now = self.now;
        if let Some(entry) = self.under_way.first_entry()
            && entry.key().0 <= now
        {
            let (index, to_receiver, segment) = entry.remove();
            self.deliver(index, to_receiver, segment);
            return self.pump(index);
        }
        for index in 0..self.flows.len() {
            let flow = &mut self.flows[index];
            if flow.start > now {
                continue;
            }
            let is_due = |connection: &Connection| connection.next_timeout().is_some_and(|at| at <= now);
            if is_due(&flow.sender) {
                flow.sender.on_timeout(now);
            }
            if let Some(receiver) = flow.receiver.as_mut().filter(|receiver| is_due(receiver)) {
                receiver.on_timeout(now);
            }
            self.pump(index);
        }
    }

    fn deliver(&mut self, index: usize, to_receiver: bool, segment: Segment) {
        let (now, flow) = (self.now, &mut self.flows[index]);
        match (to_receiver, &mut flow.receiver) {
            (false, _) => drop(flow.sender.receive(now, segment)),
            (true, Some(receiver)) => drop(receiver.receive(now, segment)),
            (true, none) if segment.flags.contains(TcpFlags::SYN) => {
                let config = flow.receiver_config.clone();
                *none = Some(Connection::accept(config, now, SeqNum(7_000), &segment, MSS));
            }
            (true, None) => {}
        }
    }

    /// The programs write and read; what the endpoints have to send goes.
    fn pump(&mut self, index: usize) {
        let (now, flow) = (self.now, &mut self.flows[index]);
        while flow.left > 0 {
            let len = flow.left.min(self.block.len() as u64) as usize;
            let taken = flow.sender.send(now, self.block.slice(..len));
            flow.left -= taken as u64;
            if taken == 0 {
                break;
            }
        }
        if let Some(receiver) = &mut flow.receiver {
            flow.received +=
                receiver.recv(now, usize::MAX).iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        }
        while let Some(segment) = self.flows[index].sender.poll_transmit(now) {
            for frame in cut(segment) {
                self.forward(index, frame);
            }
        }
        while let Some(segment) = self.flows[index].receiver.as_mut().and_then(|r| r.poll_transmit(now)) {
            self.put(index, false, now, segment);
        }
    }

    /// Through the bottleneck's queue, if there is room.
    fn forward(&mut self, index: usize, mut frame: Segment) {
        let rate = self.path.rate;
        if rate == 0 {
            return self.put(index, true, self.now, frame);
        }
        let len = frame.payload_len() as u64 + HEADERS;
        let wait = self.busy_until.saturating_since(self.now);
        self.queue.frames += 1;
        let queued = wait.as_nanos() as u64 * rate / 8_000_000_000;
        if queued + len > self.path.queue {
            self.queue.dropped += 1;
            return;
        }
        if self.path.mark != 0 && queued > self.path.mark && frame.ecn.is_capable() {
            frame.ecn = Ecn::Ce;
            self.queue.marked += 1;
        }
        self.queue.waited += wait;
        self.queue.longest = self.queue.longest.max(wait);
        self.busy_until = self.busy_until.max(self.now) + Duration::from_nanos(len * 8_000_000_000 / rate);
        self.put(index, true, self.busy_until, frame);
    }

    fn put(&mut self, index: usize, to_receiver: bool, departure: Instant, frame: Segment) {
        if self.is_lost(to_receiver) {
            return;
        }
        let late = if self.rng.chance(self.path.reorder) { self.path.reorder_by } else { Duration::ZERO };
        self.serial += 1;
        self.under_way
            .insert((departure + self.path.rtt / 2 + late, self.serial), (index, to_receiver, frame));
    }

    fn is_lost(&mut self, to_receiver: bool) -> bool {
        match self.path.loss {
            Loss::Random(chance) => self.rng.chance(chance),
            Loss::Bursts { begin, end } => {
                let lost = self.in_burst[usize::from(to_receiver)];
                let turn = self.rng.chance(if lost { end } else { begin });
                self.in_burst[usize::from(to_receiver)] = lost ^ turn;
                lost
            }
        }
    }
}

/// Cuts a super-segment as a device would, sharing its payload.
fn cut(segment: Segment) -> Vec<Segment> {
    let Some(size) = segment.gso_size.map(usize::from) else { return vec![segment] };
    let total = segment.payload_len();
    let mut slices: VecDeque<Bytes> = segment.payload.iter().cloned().collect();
    let mut frames = Vec::with_capacity(total.div_ceil(size));
    for at in (0..total).step_by(size) {
        let mut payload = SmallVec::new();
        let mut left = size.min(total - at);
        while let Some(front) = slices.front_mut().filter(|_| left > 0) {
            let part = front.split_to(left.min(front.len()));
            left -= part.len();
            payload.push(part);
            if front.is_empty() {
                slices.pop_front();
            }
        }
        let mut flags = segment.flags;
        if at + size < total {
            flags.remove(TcpFlags::FIN | TcpFlags::PSH);
        }
        let (seq, options) = (segment.seq + at, segment.options.clone());
        frames.push(Segment { seq, flags, payload, gso_size: None, options, ..segment.clone() });
    }
    frames
}
