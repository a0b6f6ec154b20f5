//! A small net of namespaces in virtual time: hosts, switches, routers, links with delay and a filter.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netspace_base::{Bytes, DevId, DropReason, Instant, NsId, Pkt, Seed};
use netspace_stack::packet::PacketId;
use netspace_stack::sock::{
    Family, Message, OptName, Received, RecvFlags, SockError, SockId, SockOpt, SockType,
};
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};

/// One end of a link: which host, which device.
pub type End = (usize, DevId);

/// Tells by the frame whether it is lost.
pub type Lose = Box<dyn FnMut(&Pkt) -> bool>;

/// A link between two devices.
pub struct Link {
    pub ends: [End; 2],
    pub delay: Duration,
    /// Frames that are lost.
    pub lose: Option<Lose>,
}

/// Hosts, links, and the clock.
pub struct Net {
    pub hosts: Vec<Netns>,
    pub links: Vec<Link>,
    pub t: Turn,
    pub woken: Vec<(usize, SockId)>,
    pub woken_packets: Vec<(usize, PacketId)>,
    /// What went over links: when, from which end, in tcpdump's words.
    pub log: Vec<(Instant, End, String)>,
    wire: BTreeMap<(Instant, u64), (End, Box<Pkt>)>,
    frames: u64,
    macs: u8,
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

impl Net {
    pub fn new() -> Self {
        Self {
            hosts: Vec::new(),
            links: Vec::new(),
            t: Turn::default(),
            woken: Vec::new(),
            woken_packets: Vec::new(),
            log: Vec::new(),
            wire: BTreeMap::new(),
            frames: 0,
            macs: 0,
        }
    }

    /// A host.
    pub fn host(&mut self, name: &str) -> usize {
        let id = NsId(self.hosts.len() as u32 + 1);
        let config = NetnsConfig { id, name: name.into(), seed: Seed(11) };
        self.hosts.push(Netns::new(config, &mut self.t));
        self.hosts.len() - 1
    }

    /// A host that forwards both families.
    pub fn router(&mut self, name: &str) -> usize {
        let n = self.host(name);
        self.sysctl(n, "ipv4.ip_forward", "1");
        self.sysctl(n, "ipv6.conf.all.forwarding", "1");
        n
    }

    /// A switch (a hub, if it does not learn): its bridge is `br0`, up, without IPv6 of its own.
    pub fn switch(&mut self, name: &str, learn: bool) -> usize {
        let n = self.host(name);
        self.sysctl(n, "ipv6.conf.default.disable_ipv6", "1");
        let mac = self.mac();
        let bridge = self.hosts[n].add_bridge(&mut self.t, "br0", mac, learn).unwrap();
        self.hosts[n].set_up(&mut self.t, bridge, true).unwrap();
        n
    }

    pub fn mac(&mut self) -> [u8; 6] {
        self.macs += 1;
        [2, 0, 0, 0, 0, self.macs]
    }

    /// A link of MTU 1500 between two hosts; an end on a switch becomes a port of its bridge. Gives the link's number.
    pub fn link(&mut self, a: usize, b: usize) -> usize {
        self.link_with(a, b, 1500)
    }

    pub fn link_with(&mut self, a: usize, b: usize, mtu: u32) -> usize {
        let ends = [a, b].map(|n| {
            let name =
                format!("eth{}", self.hosts[n].dev.iter().filter(|d| d.name.starts_with("eth")).count());
            let mac = self.mac();
            let dev = self.hosts[n].add_link_end(&mut self.t, &name, mac, mtu).unwrap();
            if let Some(bridge) = self.hosts[n].dev.by_name("br0").map(|d| d.id) {
                self.hosts[n].set_master(&mut self.t, dev, Some(bridge)).unwrap();
            }
            (n, dev)
        });
        self.links.push(Link { ends, delay: Duration::from_micros(50), lose: None });
        for (n, dev) in ends {
            self.hosts[n].set_up(&mut self.t, dev, true).unwrap();
            self.drain(n);
        }
        self.links.len() - 1
    }

    /// Plugs a link in or pulls it out.
    pub fn plug(&mut self, link: usize, plugged: bool) {
        for (n, dev) in self.links[link].ends {
            self.hosts[n].set_carrier(&mut self.t, dev, plugged);
            self.drain(n);
        }
    }

    /// A device by its name.
    pub fn dev(&self, n: usize, name: &str) -> DevId {
        self.hosts[n].dev.by_name(name).expect("a device of this name").id
    }

    /// Adds an address (no duplicate address detection).
    pub fn addr(&mut self, n: usize, dev: &str, addr: &str) {
        let dev = self.dev(n, dev);
        self.hosts[n].add_address(&mut self.t, dev, addr.parse().unwrap(), true).unwrap();
        self.drain(n);
    }

    /// Adds a route by a gateway.
    pub fn route(&mut self, n: usize, prefix: &str, via: &str) {
        let via = Some(via.parse().unwrap());
        self.hosts[n].add_route(&mut self.t, prefix.parse().unwrap(), via, None, 0).unwrap();
        self.drain(n);
    }

    pub fn sysctl(&mut self, n: usize, name: &str, value: &str) {
        self.hosts[n].set_sysctl(&mut self.t, name, value).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.drain(n);
    }

    /// A call on one host, with what follows from it on its links.
    pub fn call<R>(&mut self, n: usize, call: impl FnOnce(&mut Netns, &mut Turn) -> R) -> R {
        let result = call(&mut self.hosts[n], &mut self.t);
        self.drain(n);
        result
    }

    // ---- Time ----

    /// Carries out what one host's calls have brought about.
    pub fn drain(&mut self, from: usize) {
        for effect in std::mem::take(&mut self.t.effects) {
            match effect {
                Effect::Wake(id) => self.woken.push((from, id)),
                Effect::WakePacket(id) => self.woken_packets.push((from, id)),
                Effect::Xmit { dev, pkt } => self.carry((from, dev), pkt),
            }
        }
    }

    fn carry(&mut self, from: End, pkt: Box<Pkt>) {
        self.frames += 1;
        let head = pkt.copy_range(0, 256);
        self.log.push((self.t.now, from, netspace_wire::text::summary(0, &head)));
        let link = self.links.iter_mut().find(|l| l.ends.contains(&from)).expect("a link");
        let to = link.ends[usize::from(link.ends[0] == from)];
        let mtu = self.hosts[from.0].dev.get(from.1).unwrap().mtu as usize;
        assert!(pkt.gso.is_some() || pkt.len() <= mtu + 14, "a frame of {} bytes", pkt.len());
        if link.lose.as_mut().is_some_and(|lose| lose(&pkt)) {
            self.t.ledger.created += 1;
            self.t.ledger.drop(DropReason::LinkLoss);
            return;
        }
        self.wire.insert((self.t.now + link.delay, self.frames), (to, pkt));
    }

    /// Puts a frame on a device as if it had come from its link.
    pub fn inject(&mut self, to: End, frame: &[u8]) {
        let id = netspace_base::PktId(1_000_000 + self.frames);
        self.hosts[to.0].receive(&mut self.t, to.1, Pkt::from_slice(id, frame));
        self.settle();
    }

    /// Runs all hosts until nothing is left to do at this moment.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for n in 0..self.hosts.len() {
                while self.hosts[n].run(&mut self.t) {}
                busy |= !self.t.effects.is_empty();
                self.drain(n);
            }
            while let Some(entry) = self.wire.first_entry() {
                if entry.key().0 > self.t.now {
                    break;
                }
                let ((n, dev), pkt) = entry.remove();
                self.hosts[n].receive(&mut self.t, dev, pkt);
                busy = true;
            }
            if !busy {
                return;
            }
        }
    }

    /// Lets `time` pass.
    pub fn advance(&mut self, time: Duration) {
        let end = self.t.now + time;
        self.settle();
        loop {
            let timers = self.hosts.iter().filter_map(Netns::next_timeout);
            let next = timers.chain(self.wire.keys().next().map(|k| k.0)).min();
            let Some(at) = next.filter(|&at| at <= end) else { break };
            self.t.now = self.t.now.max(at);
            for n in 0..self.hosts.len() {
                self.hosts[n].on_timeout(&mut self.t);
                self.drain(n);
            }
            self.settle();
        }
        self.t.now = end;
    }

    /// Lets seconds pass.
    pub fn seconds(&mut self, s: u64) {
        self.advance(Duration::from_secs(s));
    }

    /// Every packet has come to an end or lies in a queue.
    pub fn assert_ledger(&self) {
        let queued: u64 = self.hosts.iter().map(Netns::queued).sum();
        assert_eq!(self.t.ledger.in_flight(), queued, "{:?}", self.t.ledger.drops().collect::<Vec<_>>());
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.t.ledger.dropped(reason)
    }

    /// Lines of the log that hold all of `words`.
    pub fn logged(&self, words: &[&str]) -> usize {
        self.log.iter().filter(|(_, _, line)| words.iter().all(|w| line.contains(w))).count()
    }

    // ---- Programs ----

    pub fn ping_socket(&mut self, n: usize, dst: &str) -> SockId {
        let dst: IpAddr = dst.parse().unwrap();
        let (family, protocol) = if dst.is_ipv4() { (Family::Inet, 1) } else { (Family::Inet6, 58) };
        let s = self.call(n, |ns, t| ns.socket(t, family, SockType::Dgram, protocol)).unwrap();
        let errors = if dst.is_ipv4() { SockOpt::IpRecvErr(true) } else { SockOpt::V6RecvErr(true) };
        self.call(n, |ns, t| ns.set_option(t, s, errors)).unwrap();
        s
    }

    /// Sends an echo request of `len` payload bytes.
    pub fn echo(&mut self, n: usize, s: SockId, dst: &str, len: usize) -> Result<usize, SockError> {
        let dst: IpAddr = dst.parse().unwrap();
        let mut data = vec![if dst.is_ipv4() { 8 } else { 128 }, 0, 0, 0, 0, 0, 0, 1];
        data.extend((0..len).map(|i| i as u8));
        let to = Some(SocketAddr::new(dst, 0));
        let message = Message { to, data: Bytes::from(data), ..Message::default() };
        self.call(n, |ns, t| ns.send(t, s, message))
    }

    /// Pings once, waits up to five seconds: the reply's length and TTL, or the error that came instead.
    pub fn ping(&mut self, n: usize, dst: &str, len: usize) -> Result<(usize, u8), PingError> {
        let s = self.ping_socket(n, dst);
        let result = self.ping_with(n, s, dst, len);
        self.call(n, |ns, t| ns.close(t, s));
        result
    }

    pub fn ping_with(
        &mut self,
        n: usize,
        s: SockId,
        dst: &str,
        len: usize,
    ) -> Result<(usize, u8), PingError> {
        self.echo(n, s, dst, len).map_err(PingError::Send)?;
        for _ in 0..50 {
            self.advance(Duration::from_millis(100));
            if let Ok(error) = self.recv(n, s, true) {
                let error = error.control.error.unwrap();
                return Err(PingError::Icmp {
                    kind: error.icmp_type,
                    code: error.icmp_code,
                    info: error.info,
                    from: error.offender,
                });
            }
            if let Ok(reply) = self.recv(n, s, false) {
                return Ok((reply.len() - 8, reply.control.ttl));
            }
        }
        Err(PingError::Silence)
    }

    pub fn recv(&mut self, n: usize, s: SockId, error_queue: bool) -> Result<Received, SockError> {
        let flags = RecvFlags { error_queue, ..RecvFlags::default() };
        self.call(n, |ns, t| ns.recv(t, s, 65_536, flags))
    }

    pub fn option(&self, n: usize, s: SockId, name: OptName) -> SockOpt {
        self.hosts[n].option(&self.t, s, name).unwrap()
    }
}

/// Why a ping had no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PingError {
    /// The send call failed.
    Send(SockError),
    /// An ICMP error came.
    Icmp { kind: u8, code: u8, info: u32, from: Option<IpAddr> },
    /// Nothing came.
    Silence,
}

/// client (10.0.1.2, fd00:1::2) – router (.1) – server (10.0.2.2, fd00:2::2): client 0, router 1, server 2.
pub fn routed() -> Net {
    routed_with(1500, 1500)
}

pub fn routed_with(mtu_client: u32, mtu_server: u32) -> Net {
    let mut net = Net::new();
    let (client, router, server) = (net.host("client"), net.router("router"), net.host("server"));
    net.link_with(client, router, mtu_client);
    net.link_with(router, server, mtu_server);
    for (n, dev, v4, v6) in [
        (client, "eth0", "10.0.1.2/24", "fd00:1::2/64"),
        (router, "eth0", "10.0.1.1/24", "fd00:1::1/64"),
        (router, "eth1", "10.0.2.1/24", "fd00:2::1/64"),
        (server, "eth0", "10.0.2.2/24", "fd00:2::2/64"),
    ] {
        net.addr(n, dev, v4);
        net.addr(n, dev, v6);
    }
    for (n, v4, v6) in [(client, "10.0.1.1", "fd00:1::1"), (server, "10.0.2.1", "fd00:2::1")] {
        net.route(n, "0.0.0.0/0", v4);
        net.route(n, "::/0", v6);
    }
    net.seconds(3);
    net
}

/// Hosts 0 and 1 at ports of switch 2: 10.0.0.1 and .2, fd00::1 and ::2.
pub fn switched(learn: bool) -> Net {
    let mut net = Net::new();
    let (a, b) = (net.host("a"), net.host("b"));
    let switch = net.switch("switch", learn);
    net.link(a, switch);
    net.link(b, switch);
    for (n, v4, v6) in [(a, "10.0.0.1/24", "fd00::1/64"), (b, "10.0.0.2/24", "fd00::2/64")] {
        net.addr(n, "eth0", v4);
        net.addr(n, "eth0", v6);
    }
    net.seconds(3);
    net
}
