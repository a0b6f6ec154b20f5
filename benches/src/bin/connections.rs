//! What connections cost in process: `connections [IDLE]` prints bytes of an idle one, how much IDLE of them (default
//! 100,000) slow a busy flow, connections opened, accepted and closed per CPU-second, and the CPU time of a round trip of
//! one byte.
//!
//! Two hosts on one link, both ends in this process. Bytes are those that the allocator has given out, both ends counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ipnet::IpNet;
use netspace_base::{DevId, Duration, Instant, NsId, Seed};
use netspace_bench::cpu_seconds;
use netspace_stack::sock::{Family, Message, RecvFlags, SockId, SockType};
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};

/// Counts what is in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; only sizes are noted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections to one port of the server before the next port is used.
const PER_PORT: usize = 20_000;
/// Rounds of the busy flow, megabytes each.
const FLOW_MEGABYTES: usize = 400;
/// Connections opened and closed, and bytes sent to and fro, to be timed.
const CHURN: usize = 100_000;
const ROUND_TRIPS: usize = 500_000;
const CHUNK: usize = 128 * 1024;

struct Net {
    t: Turn,
    hosts: [(Netns, DevId); 2],
}

fn host(t: &mut Turn, n: u32) -> (Netns, DevId) {
    let config = NetnsConfig { id: NsId(n), name: format!("host{n}"), seed: Seed(1) };
    let mut ns = Netns::new(config, t);
    let dev = ns.add_link_end(t, "eth0", [2, 0, 0, 0, 0, n as u8], 1500).expect("a new device");
    let addr: IpNet = format!("10.0.0.{n}/24").parse().expect("an address");
    ns.add_address(t, dev, addr, true).expect("a new address");
    ns.set_up(t, dev, true).expect("the device comes up");
    for (name, value) in [("ipv4.ip_local_port_range", "1024 65535"), ("core.somaxconn", "65535")] {
        ns.set_sysctl(t, name, value).expect("a sysctl");
    }
    (ns, dev)
}

impl Net {
    fn new() -> Self {
        let mut t = Turn::default();
        t.now = Instant::from_secs(1);
        let hosts = [host(&mut t, 1), host(&mut t, 2)];
        Self { t, hosts }
    }

    /// Runs both hosts until nothing is left to do at this moment.
    fn settle(&mut self, from: usize) {
        let (mut at, mut quiet) = (from, 0);
        while quiet < 2 {
            let mut busy = self.hosts[at].0.run(&mut self.t);
            for effect in std::mem::take(&mut self.t.effects) {
                if let Effect::Xmit { pkt, .. } = effect {
                    self.t.ledger.sent += 1;
                    let (peer, dev) = &mut self.hosts[1 - at];
                    peer.receive(&mut self.t, *dev, pkt);
                    busy = true;
                }
            }
            quiet = if busy { 0 } else { quiet + 1 };
            at = 1 - at;
        }
    }

    fn advance(&mut self, time: Duration) {
        self.t.now += time;
        for n in [0, 1] {
            if self.hosts[n].0.next_timeout().is_some_and(|at| at <= self.t.now) {
                self.hosts[n].0.on_timeout(&mut self.t);
            }
            self.settle(n);
        }
    }

    fn listener(&mut self, port: usize) -> SockId {
        let (t, ns) = (&mut self.t, &mut self.hosts[1].0);
        let s = ns.socket(t, Family::Inet, SockType::Stream, 0).expect("a socket");
        ns.bind(t, s, format!("0.0.0.0:{port}").parse().expect("an address")).expect("bind");
        ns.listen(t, s, 1024).expect("listen");
        s
    }

    fn connection(&mut self, listener: SockId, port: usize) -> (SockId, SockId) {
        let (t, ns) = (&mut self.t, &mut self.hosts[0].0);
        let client = ns.socket(t, Family::Inet, SockType::Stream, 0).expect("a socket");
        ns.connect(t, client, format!("10.0.0.2:{port}").parse().expect("an address")).expect("connect");
        self.settle(0);
        let (server, _) = self.hosts[1].0.accept(&mut self.t, listener).expect("a connection");
        (client, server)
    }

    fn send(&mut self, host: usize, s: SockId, data: Bytes) {
        // A full buffer is tried again in the next round.
        let _taken = self.hosts[host].0.send(&mut self.t, s, Message { data, ..Message::default() });
        self.settle(host);
    }

    fn recv(&mut self, host: usize, s: SockId) -> usize {
        let got = self.hosts[host].0.recv(&mut self.t, s, CHUNK, RecvFlags::default());
        let len = got.map_or(0, |got| got.data.iter().map(Bytes::len).sum());
        self.settle(host);
        len
    }

    /// Gbit per CPU-second of a flow.
    fn flow(&mut self, (client, server): (SockId, SockId)) -> f64 {
        let total = FLOW_MEGABYTES * 1_000_000;
        let chunk = Bytes::from(vec![7; CHUNK]);
        let started = cpu_seconds();
        let mut received = 0;
        while received < total {
            self.send(0, client, Bytes::copy_from_slice(&chunk));
            loop {
                let len = self.recv(1, server);
                received += len;
                if len == 0 {
                    break;
                }
            }
            self.advance(Duration::from_micros(10));
        }
        received as f64 * 8.0 / 1e9 / (cpu_seconds() - started)
    }
}

/// The best of three: what disturbs only slows.
fn best(mut measure: impl FnMut() -> f64) -> f64 {
    (0..3).map(|_| measure()).fold(0.0, f64::max)
}

fn main() {
    let idle: usize = std::env::args().nth(1).map_or(100_000, |n| n.parse().expect("a number"));
    let mut net = Net::new();
    let listener = net.listener(80);
    let busy = net.connection(listener, 80);
    net.flow(busy);
    let alone = best(|| net.flow(busy));

    let before = IN_USE.load(Ordering::Relaxed);
    let mut port = 1000;
    let mut many = net.listener(port);
    for n in 0..idle {
        if n > 0 && n % PER_PORT == 0 {
            port += 1;
            many = net.listener(port);
        }
        net.connection(many, port);
    }
    // Handshakes have been acknowledged, delayed work is done.
    for _ in 0..50 {
        net.advance(Duration::from_millis(100));
    }
    let bytes = (IN_USE.load(Ordering::Relaxed) - before) as f64 / idle as f64;
    println!("bytes per idle connection, both ends: {bytes:.0}");
    let beside = best(|| net.flow(busy));
    println!(
        "busy flow, Gbit per CPU-second: {alone:.1} alone, {beside:.1} beside {idle} idle: {:.2}",
        beside / alone
    );

    let mut net = Net::new();
    let listener = net.listener(80);
    let churn = best(|| {
        let started = cpu_seconds();
        for n in 0..CHURN {
            let (client, server) = net.connection(listener, 80);
            for (host, s) in [(0, client), (1, server)] {
                net.hosts[host].0.close(&mut net.t, s);
                net.settle(host);
            }
            if n % 100 == 0 {
                net.advance(Duration::from_millis(200));
            }
        }
        CHURN as f64 / (cpu_seconds() - started)
    });
    println!("connect, accept, close, per CPU-second: {churn:.0}");

    let mut net = Net::new();
    let listener = net.listener(80);
    let (client, server) = net.connection(listener, 80);
    let byte = Bytes::from_static(b"x");
    let rate = best(|| {
        let started = cpu_seconds();
        for _ in 0..ROUND_TRIPS {
            net.send(0, client, byte.clone());
            assert_eq!(net.recv(1, server), 1);
            net.send(1, server, byte.clone());
            assert_eq!(net.recv(0, client), 1);
            net.t.now += Duration::from_micros(20);
        }
        ROUND_TRIPS as f64 / (cpu_seconds() - started)
    });
    println!("round trip of one byte, microseconds of CPU: {:.2}", 1e6 / rate);
}
