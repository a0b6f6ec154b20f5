//! Two hosts on one link, in virtual time, for the socket tests. The link delays, and loses what the test says.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use netspace_base::{Bytes, DevId, Instant, NsId, Pkt, Rng, Seed};
use netspace_stack::sock::{Connect, Family, Message, Received, RecvFlags, SockError, SockId, SockType};
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};

pub const A: usize = 0;
pub const B: usize = 1;
pub const A4: &str = "10.0.0.1";
pub const B4: &str = "10.0.0.2";
pub const A6: &str = "fd00::1";
pub const B6: &str = "fd00::2";

/// The two hosts and what lies between them.
pub struct Net {
    pub host: [Netns; 2],
    pub dev: [DevId; 2],
    pub t: Turn,
    pub delay: Duration,
    /// Frames lost, per billion, in each direction.
    pub loss: u32,
    /// Frames to lose next: tells by the frame.
    pub lose: Option<fn(&Pkt) -> bool>,
    /// What the link does to each frame.
    pub damage: Option<fn(&mut Pkt)>,
    pub woken: Vec<(usize, SockId)>,
    pub frames: u64,
    wire: BTreeMap<(Instant, u64), (usize, Box<Pkt>)>,
    rng: Rng,
    mtu: u32,
}

impl Net {
    pub fn new() -> Self {
        Self::with_mtu(1500)
    }

    pub fn with_mtu(mtu: u32) -> Self {
        let mut t = Turn::default();
        let seed = Seed(7);
        let mut make =
            |n: u32, name: &str| Netns::new(NetnsConfig { id: NsId(n), name: name.into(), seed }, &mut t);
        let mut host = [make(1, "a"), make(2, "b")];
        let mut dev = [DevId::NONE; 2];
        for (n, (v4, v6)) in [(A4, A6), (B4, B6)].into_iter().enumerate() {
            let mac = [2, 0, 0, 0, 0, n as u8 + 1];
            dev[n] = host[n].add_link_end(&mut t, "eth0", mac, mtu).unwrap();
            host[n].set_carrier(&mut t, dev[n], true);
            host[n].set_up(&mut t, dev[n], true).unwrap();
            host[n].add_address(&mut t, dev[n], format!("{v4}/24").parse().unwrap(), true).unwrap();
            host[n].add_address(&mut t, dev[n], format!("{v6}/64").parse().unwrap(), true).unwrap();
        }
        let mut net = Self {
            host,
            dev,
            t,
            delay: Duration::from_micros(100),
            loss: 0,
            lose: None,
            damage: None,
            woken: Vec::new(),
            frames: 0,
            wire: BTreeMap::new(),
            rng: seed.stream("test-link", 0),
            mtu,
        };
        // Duplicate address detection of link-local addresses, first router solicitations.
        net.advance(Duration::from_secs(3));
        net.woken.clear();
        net
    }

    /// Carries out what one host's calls have brought about.
    fn drain(&mut self, from: usize) {
        for effect in std::mem::take(&mut self.t.effects) {
            match effect {
                Effect::Wake(id) => self.woken.push((from, id)),
                Effect::WakePacket(_) => {}
                Effect::Xmit { pkt, .. } => self.carry(from, pkt),
            }
        }
    }

    fn carry(&mut self, from: usize, mut pkt: Box<Pkt>) {
        self.frames += 1;
        assert!(pkt.gso.is_some() || pkt.len() <= self.mtu as usize + 14, "frame of {} bytes", pkt.len());
        let lost = self.lose.is_some_and(|lose| lose(&pkt));
        if lost || self.rng.chance(self.loss) {
            return;
        }
        if let Some(damage) = self.damage {
            damage(&mut pkt);
        }
        let at = self.t.now + self.delay;
        self.wire.insert((at, self.frames), (1 - from, pkt));
    }

    /// Runs both hosts until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for n in [A, B] {
                while self.host[n].run(&mut self.t) {}
                busy |= !self.t.effects.is_empty();
                self.drain(n);
            }
            while let Some(entry) = self.wire.first_entry() {
                if entry.key().0 > self.t.now {
                    break;
                }
                let (to, pkt) = entry.remove();
                self.host[to].receive(&mut self.t, self.dev[to], pkt);
                busy = true;
            }
            if !busy {
                return;
            }
        }
    }

    /// The next moment at which anything happens.
    fn next(&self) -> Option<Instant> {
        let wire = self.wire.keys().next().map(|&(at, _)| at);
        self.host.iter().filter_map(Netns::next_timeout).chain(wire).min()
    }

    /// Lets `time` pass.
    pub fn advance(&mut self, time: Duration) {
        let end = self.t.now + time;
        self.settle();
        while let Some(at) = self.next().filter(|&at| at <= end) {
            self.t.now = self.t.now.max(at);
            for n in [A, B] {
                self.host[n].on_timeout(&mut self.t);
                self.drain(n);
            }
            self.settle();
        }
        self.t.now = end;
    }

    /// A call on one host, with what follows from it.
    pub fn call<R>(&mut self, n: usize, call: impl FnOnce(&mut Netns, &mut Turn) -> R) -> R {
        let result = call(&mut self.host[n], &mut self.t);
        self.drain(n);
        result
    }

    /// Sets a sysctl of a host; names without `net.`.
    pub fn sysctl(&mut self, n: usize, name: &str, value: &str) {
        self.call(n, |ns, t| ns.set_sysctl(t, name, value)).unwrap();
    }

    // ---- Programs' calls ----

    pub fn socket(&mut self, n: usize, family: Family, ty: SockType) -> SockId {
        self.call(n, |ns, t| ns.socket(t, family, ty, 0)).unwrap()
    }

    pub fn udp(&mut self, n: usize) -> SockId {
        self.socket(n, Family::Inet, SockType::Dgram)
    }

    pub fn tcp(&mut self, n: usize) -> SockId {
        self.socket(n, Family::Inet, SockType::Stream)
    }

    pub fn bind(&mut self, n: usize, s: SockId, addr: &str) -> Result<(), SockError> {
        self.call(n, |ns, t| ns.bind(t, s, addr.parse().unwrap()))
    }

    pub fn connect(&mut self, n: usize, s: SockId, addr: &str) -> Result<Connect, SockError> {
        self.call(n, |ns, t| ns.connect(t, s, addr.parse().unwrap()))
    }

    pub fn send(&mut self, n: usize, s: SockId, data: &[u8]) -> Result<usize, SockError> {
        let message = Message { data: Bytes::copy_from_slice(data), ..Message::default() };
        self.call(n, |ns, t| ns.send(t, s, message))
    }

    pub fn send_to(&mut self, n: usize, s: SockId, data: &[u8], to: &str) -> Result<usize, SockError> {
        let to = Some(to.parse().unwrap());
        let message = Message { data: Bytes::copy_from_slice(data), to, ..Message::default() };
        self.call(n, |ns, t| ns.send(t, s, message))
    }

    pub fn recv(&mut self, n: usize, s: SockId) -> Result<Received, SockError> {
        self.call(n, |ns, t| ns.recv(t, s, usize::MAX, RecvFlags::default()))
    }

    pub fn recv_bytes(&mut self, n: usize, s: SockId) -> Result<Vec<u8>, SockError> {
        self.recv(n, s).map(|received| received.data.concat())
    }

    pub fn recv_error(&mut self, n: usize, s: SockId) -> Result<Received, SockError> {
        self.call(n, |ns, t| {
            ns.recv(t, s, usize::MAX, RecvFlags { error_queue: true, ..RecvFlags::default() })
        })
    }

    pub fn close(&mut self, n: usize, s: SockId) {
        self.call(n, |ns, t| ns.close(t, s));
    }

    pub fn accept(&mut self, n: usize, s: SockId) -> Result<(SockId, SocketAddr), SockError> {
        self.call(n, |ns, t| ns.accept(t, s))
    }

    /// A UDP socket bound to `addr`.
    pub fn udp_at(&mut self, n: usize, addr: &str) -> SockId {
        let family = family_of(addr);
        let s = self.socket(n, family, SockType::Dgram);
        self.bind(n, s, addr).unwrap();
        s
    }

    /// A TCP socket that listens at `addr`.
    pub fn listener(&mut self, n: usize, addr: &str, backlog: i32) -> SockId {
        let s = self.socket(n, family_of(addr), SockType::Stream);
        self.bind(n, s, addr).unwrap();
        self.call(n, |ns, t| ns.listen(t, s, backlog)).unwrap();
        s
    }

    /// A connection from host `from` to a listener, both ends: (client, accepted).
    pub fn connection(&mut self, from: usize, to: usize, listener: SockId, addr: &str) -> (SockId, SockId) {
        let client = self.socket(from, family_of(addr), SockType::Stream);
        assert_eq!(self.connect(from, client, addr), Ok(Connect::InProgress));
        self.advance(Duration::from_millis(5));
        let (server, _) = self.accept(to, listener).expect("the connection waits to be accepted");
        (client, server)
    }

    /// Packets that have come to no end and lie in no queue: none may be lost from sight.
    pub fn assert_ledger(&self) {
        assert_eq!(self.t.ledger.in_flight(), 0, "{:?}", self.t.ledger);
    }
}

pub fn family_of(addr: &str) -> Family {
    if addr.starts_with('[') { Family::Inet6 } else { Family::Inet }
}

/// Bytes that are checked at the other end.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}
