//! Nets in virtual time, driven over the Rust interface.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use netspace_base::{Instant, NsId, Seed};
use netspace_lab::file;
use netspace_lab::plan::{self, Plan};
use netspace_lab::world::{Clock, World};
use netspace_stack::sock::{
    Connect, Family, How, Message, Readiness, Received, RecvFlags, SockError, SockId, SockOpt, SockType,
};

pub(crate) fn plan_of(text: &str) -> Plan {
    let (lab, mut diagnostics) = file::load(text, "test.yaml").unwrap_or_else(|d| panic!("{d}"));
    plan::plan(&lab, &mut diagnostics).unwrap_or_else(|| panic!("{diagnostics}"))
}

pub(crate) fn example(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/{name}.yaml"));
    plan_of(&std::fs::read_to_string(&path).expect("the example is there"))
}

/// A world in virtual time, its first second gone by (duplicate address detection and the like).
pub(crate) fn world(plan: Plan, seed: u64) -> World {
    let mut world = World::from_plan(plan, Some(Seed(seed)), Clock::virtual_time()).expect("a world");
    world.run_for(Duration::from_secs(3)).expect("runs");
    world
}

pub(crate) fn id(world: &World, host: &str) -> NsId {
    world.host_id(host).unwrap_or_else(|| panic!("no host {host}"))
}

/// The address of `host` as `asker` would resolve it.
pub(crate) fn address(world: &World, host: &str, asker: &str, v4: bool) -> IpAddr {
    let all = world.names().lookup(host, asker).unwrap_or_else(|| panic!("no name {host}"));
    all.into_iter().find(|a| a.is_ipv4() == v4).unwrap_or_else(|| panic!("{host} has no such address"))
}

pub(crate) fn family(v4: bool) -> Family {
    if v4 { Family::Inet } else { Family::Inet6 }
}

pub(crate) const MSS_PAYLOAD: usize = 56;

/// Sends one echo request and waits for its reply; the round-trip time, or the error the socket got.
pub(crate) fn ping(world: &mut World, from: &str, to: IpAddr, wait: Duration) -> Result<Duration, SockError> {
    let ns = id(world, from);
    let v4 = to.is_ipv4();
    let (netns, t) = world.lend(ns);
    let protocol = if v4 { 1 } else { 58 };
    let sock = netns.socket(t, family(v4), SockType::Dgram, protocol)?;
    let _ = netns.set_option(t, sock, if v4 { SockOpt::IpRecvErr(true) } else { SockOpt::V6RecvErr(true) });
    let mut echo = vec![if v4 { 8 } else { 128 }, 0, 0, 0, 0, 0, 0, 1];
    echo.resize(8 + MSS_PAYLOAD, b'x');
    let message = Message { to: Some(SocketAddr::new(to, 0)), data: Bytes::from(echo), ..Message::default() };
    netns.send(t, sock, message)?;
    let sent = world.now();
    let ready = Readiness::IN | Readiness::ERR;
    world.run_until(sent + wait, |w| w.netns(ns).readiness(sock).intersects(ready)).expect("runs");
    let now = world.now();
    let (netns, t) = world.lend(ns);
    let result = netns.recv(t, sock, 2000, RecvFlags::default());
    netns.close(t, sock);
    result.map(|_| now.saturating_since(sent))
}

/// One end of a TCP connection in a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    pub(crate) ns: NsId,
    pub(crate) sock: SockId,
}

impl Tcp {
    pub(crate) fn with<R>(
        self,
        world: &mut World,
        call: impl FnOnce(&mut netspace_stack::Netns, &mut netspace_stack::Turn, SockId) -> R,
    ) -> R {
        let (netns, t) = world.lend(self.ns);
        call(netns, t, self.sock)
    }

    pub(crate) fn send(self, world: &mut World, data: Bytes) -> Result<usize, SockError> {
        self.with(world, |n, t, s| n.send(t, s, Message { data, ..Message::default() }))
    }

    pub(crate) fn recv(self, world: &mut World, max: usize) -> Result<Received, SockError> {
        self.with(world, |n, t, s| n.recv(t, s, max, RecvFlags::default()))
    }

    pub(crate) fn shutdown(self, world: &mut World) {
        self.with(world, |n, t, s| n.shutdown(t, s, How::Write)).expect("shut down");
    }

    pub(crate) fn close(self, world: &mut World) {
        self.with(world, netspace_stack::Netns::close);
    }

    pub(crate) fn readiness(self, world: &World) -> Readiness {
        world.netns(self.ns).readiness(self.sock)
    }
}

pub(crate) fn listen(world: &mut World, host: &str, v4: bool, port: u16) -> Tcp {
    let ns = id(world, host);
    let any: IpAddr = if v4 { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let (netns, t) = world.lend(ns);
    let sock = netns.socket(t, family(v4), SockType::Stream, 0).expect("socket");
    netns.bind(t, sock, SocketAddr::new(any, port)).expect("bind");
    netns.listen(t, sock, 128).expect("listen");
    Tcp { ns, sock }
}

/// Starts a connection and waits until it is made or has failed.
pub(crate) fn connect(
    world: &mut World,
    from: &str,
    to: SocketAddr,
    wait: Duration,
) -> Result<Tcp, SockError> {
    let ns = id(world, from);
    let (netns, t) = world.lend(ns);
    let sock = netns.socket(t, family(to.is_ipv4()), SockType::Stream, 0)?;
    let tcp = Tcp { ns, sock };
    if netns.connect(t, sock, to)? == Connect::Done {
        return Ok(tcp);
    }
    let deadline = world.now() + wait;
    let done = Readiness::OUT | Readiness::ERR | Readiness::HUP;
    let made = world.run_until(deadline, |w| tcp.readiness(w).intersects(done)).expect("runs");
    match tcp.with(world, |n, _, s| n.take_error(s)) {
        Some(error) => Err(error),
        None if made => Ok(tcp),
        None => Err(SockError::TimedOut),
    }
}

/// A connection from `client` to `server`, both ends.
pub(crate) fn pair(world: &mut World, client: &str, server: &str, v4: bool, port: u16) -> (Tcp, Tcp) {
    let listener = listen(world, server, v4, port);
    let addr = SocketAddr::new(address(world, server, client, v4), port);
    let a = connect(world, client, addr, Duration::from_secs(60)).expect("connects");
    let deadline = world.now() + Duration::from_secs(60);
    let ready = world.run_until(deadline, |w| listener.readiness(w).contains(Readiness::IN)).expect("runs");
    assert!(ready, "the server sees the connection");
    let sock = listener.with(world, netspace_stack::Netns::accept).expect("accept").0;
    (a, Tcp { ns: listener.ns, sock })
}

/// The known stream repeats after this many bytes: a prime, so that it lines up with no segment or buffer.
const PERIOD: usize = 1_048_573;

/// Two periods of the known stream, so that any part of up to one period lies in it in one piece.
fn stream() -> &'static Bytes {
    static STREAM: OnceLock<Bytes> = OnceLock::new();
    STREAM.get_or_init(|| {
        let mut period = vec![0; PERIOD];
        Seed(99).stream("test data", 0).fill(&mut period);
        period.extend_from_within(..);
        period.into()
    })
}

fn block(from: u64, len: usize) -> Bytes {
    let start = (from % PERIOD as u64) as usize;
    stream().slice(start..start + len)
}

/// Sends `bytes` from `a` to `b` and checks each of them; the time it took from the first send to the end of the stream.
pub(crate) fn transfer(world: &mut World, a: Tcp, b: Tcp, bytes: u64, wait: Duration) -> Duration {
    const BLOCK: usize = 65_536;
    let started = world.now();
    let deadline = started + wait;
    let (mut sent, mut received, mut ended) = (0u64, 0u64, false);
    let mut shut = false;
    world
        .run_until(deadline, |w| {
            while sent < bytes && a.readiness(w).contains(Readiness::OUT) {
                let len = BLOCK.min((bytes - sent) as usize);
                match a.send(w, block(sent, len)) {
                    Ok(n) => sent += n as u64,
                    Err(SockError::WouldBlock) => break,
                    Err(error) => panic!("send after {sent} bytes: {error}"),
                }
            }
            if sent == bytes && !shut {
                a.shutdown(w);
                shut = true;
            }
            while b.readiness(w).contains(Readiness::IN) && !ended {
                match b.recv(w, 1 << 20) {
                    Ok(got) if got.is_empty() => ended = true,
                    Ok(got) => {
                        for part in &got.data {
                            for piece in part.chunks(PERIOD) {
                                let expected = block(received, piece.len());
                                assert!(expected == piece, "bytes differ after {received} of {bytes}");
                                received += piece.len() as u64;
                            }
                        }
                    }
                    Err(SockError::WouldBlock) => break,
                    Err(error) => panic!("recv after {received} bytes: {error}"),
                }
            }
            ended
        })
        .expect("runs");
    assert!(ended, "the stream ended: {sent} bytes sent, {received} received by {}", world.now());
    assert_eq!(received, bytes);
    world.now().saturating_since(started)
}

/// Every packet that came to be has ended, or waits somewhere.
pub(crate) fn assert_ledger(world: &World) {
    assert_eq!(world.ledger().in_flight(), world.queued(), "{:?}", world.ledger());
}

pub(crate) fn secs(s: u64) -> Instant {
    Instant::from_secs(s)
}
