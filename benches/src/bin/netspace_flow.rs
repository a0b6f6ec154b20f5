//! One TCP flow between two netspace hosts in one process: `netspace_flow MTU MEGABYTES [TSO GRO]` prints Gbit per
//! CPU-second. With TSO 0 the sender cuts its segments into frames of the MTU, with GRO 0 the receiver does not join them.

use bytes::Bytes;
use ipnet::IpNet;
use netspace_base::{DevId, Duration, Instant, NsId, Seed};
use netspace_bench::cpu_seconds;
use netspace_stack::sock::{Family, Message, RecvFlags, SockError, SockType};
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};

/// Bytes per send call: what a program would write at once.
const CHUNK: usize = 128 * 1024;

fn host(t: &mut Turn, n: u32, mtu: u32) -> (Netns, DevId) {
    let config = NetnsConfig { id: NsId(n), name: format!("host{n}"), seed: Seed(1) };
    let mut ns = Netns::new(config, t);
    let dev = ns.add_link_end(t, "eth0", [2, 0, 0, 0, 0, n as u8], mtu).expect("a new device");
    let addr: IpNet = format!("10.0.0.{n}/24").parse().expect("an address");
    ns.add_address(t, dev, addr, true).expect("a new address");
    ns.set_up(t, dev, true).expect("the device comes up");
    (ns, dev)
}

/// Runs both hosts until nothing is left to do at this moment.
fn settle(t: &mut Turn, hosts: &mut [(Netns, DevId); 2], from: usize) {
    let mut at = from;
    let mut quiet = 0;
    while quiet < 2 {
        let mut busy = hosts[at].0.run(t);
        for effect in std::mem::take(&mut t.effects) {
            if let Effect::Xmit { pkt, .. } = effect {
                t.ledger.sent += 1;
                let (peer, dev) = &mut hosts[1 - at];
                peer.receive(t, *dev, pkt);
                busy = true;
            }
        }
        quiet = if busy { 0 } else { quiet + 1 };
        at = 1 - at;
    }
}

fn main() {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let mtu = args.next().unwrap_or(1500) as u32;
    let total = args.next().unwrap_or(2000) * 1_000_000;
    let mut turn = Turn::default();
    turn.now = Instant::from_secs(1);
    let (tso, gro) = (args.next().unwrap_or(1) != 0, args.next().unwrap_or(1) != 0);
    let t = &mut turn;
    let mut hosts = [host(t, 1, mtu), host(t, 2, mtu)];
    for (ns, dev) in &mut hosts {
        ns.set_offload(*dev, tso).expect("a device");
        ns.set_gro(*dev, gro).expect("a device");
    }
    let listener = hosts[1].0.socket(t, Family::Inet, SockType::Stream, 0).expect("a socket");
    hosts[1].0.bind(t, listener, "0.0.0.0:80".parse().expect("an address")).expect("bind");
    hosts[1].0.listen(t, listener, 1).expect("listen");
    let client = hosts[0].0.socket(t, Family::Inet, SockType::Stream, 0).expect("a socket");
    hosts[0].0.connect(t, client, "10.0.0.2:80".parse().expect("an address")).expect("connect");
    settle(t, &mut hosts, 0);
    let (server, _) = hosts[1].0.accept(t, listener).expect("a connection");
    let chunk = Bytes::from(vec![7u8; CHUNK]);
    // A program would hand over fresh bytes and take them out again: both copies are counted.
    let mut sink = vec![0u8; CHUNK];
    let started = cpu_seconds();
    let mut received = 0;
    while received < total {
        match hosts[0].0.send(
            t,
            client,
            Message { data: Bytes::copy_from_slice(&chunk), ..Message::default() },
        ) {
            Ok(_) | Err(SockError::WouldBlock) => {}
            Err(error) => panic!("send: {error}"),
        }
        settle(t, &mut hosts, 0);
        while let Ok(got) = hosts[1].0.recv(t, server, CHUNK, RecvFlags::default()) {
            let mut at = 0;
            for part in &got.data {
                sink[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            received += at;
            if at == 0 {
                break;
            }
        }
        settle(t, &mut hosts, 1);
        t.now += Duration::from_micros(10);
        for (ns, _) in &mut hosts {
            if ns.next_timeout().is_some_and(|at| at <= t.now) {
                ns.on_timeout(t);
            }
        }
    }
    let cpu = cpu_seconds() - started;
    println!("{:.1}", received as f64 * 8.0 / 1e9 / cpu);
}
