//! Random calls on random sockets over a bad link: nothing panics, no packet gets lost from sight, everything ends.

mod sock_common;

use std::time::Duration;

use netspace_base::{Bytes, Rng, Seed};
use netspace_stack::sock::{
    Family, How, Membership, Message, OptName, PmtuDiscover, RecvFlags, SendControl, SockId, SockOpt,
    SockType,
};
use sock_common::{A, B, Net};

const ADDRS: [&str; 9] = [
    "0.0.0.0",
    "127.0.0.1",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.255",
    "239.1.1.1",
    "[::]",
    "[fd00::1]",
    "[::ffff:10.0.0.2]",
];

const PEERS: [&str; 6] =
    ["10.0.0.1:80", "10.0.0.2:81", "10.0.0.2:80", "[fd00::1]:80", "[fd00::2]:80", "[::ffff:10.0.0.1]:81"];

fn addr(rng: &mut Rng) -> String {
    let ports = [0, 80, 81, 82, 40_000];
    format!("{}:{}", ADDRS[rng.below(9) as usize], ports[rng.below(5) as usize])
}

fn option(rng: &mut Rng) -> SockOpt {
    let on = rng.chance(500_000_000);
    let n = rng.below(70_000) as u32;
    let group = Membership { group: "239.1.1.1".parse().unwrap(), dev: None, local: None };
    match rng.below(26) {
        0 => SockOpt::ReuseAddr(on),
        1 => SockOpt::ReusePort(on),
        2 => SockOpt::KeepAlive(on),
        3 => SockOpt::Broadcast(on),
        4 => SockOpt::Linger(on.then(|| Duration::from_secs(u64::from(n % 2)))),
        5 => SockOpt::RcvBuf(n),
        6 => SockOpt::SndBuf(n),
        7 => SockOpt::IpRecvErr(on),
        8 => SockOpt::V6RecvErr(on),
        9 => SockOpt::IpMtuDiscover(
            [PmtuDiscover::Dont, PmtuDiscover::Do, PmtuDiscover::Probe][n as usize % 3],
        ),
        10 => SockOpt::IpAddMembership(group),
        11 => SockOpt::IpDropMembership(group),
        12 => SockOpt::V6Only(on),
        13 => SockOpt::TcpNoDelay(on),
        14 => SockOpt::TcpCork(on),
        15 => SockOpt::TcpMaxSeg(n as u16),
        16 => SockOpt::TcpKeepIdle(n % 100),
        17 => SockOpt::TcpDeferAccept(n % 3),
        18 => SockOpt::TcpUserTimeout(n),
        19 => SockOpt::TcpCongestion(if on { "reno" } else { "cubic" }.into()),
        20 => SockOpt::UdpCork(on),
        21 => SockOpt::UdpGro(on),
        22 => SockOpt::UdpSegment(n as u16),
        23 => SockOpt::TcpWindowClamp(n),
        24 => SockOpt::OobInline(on),
        _ => SockOpt::TcpQuickAck(on),
    }
}

fn open(net: &mut Net, rng: &mut Rng, n: usize) -> Option<SockId> {
    let family = if rng.chance(600_000_000) { Family::Inet } else { Family::Inet6 };
    let (ty, protocol) = match rng.below(8) {
        0..=3 => (SockType::Stream, 0),
        4..=5 => (SockType::Dgram, 0),
        6 => (SockType::Dgram, if family == Family::Inet { 1 } else { 58 }),
        _ => (SockType::Raw, [6, 17, 1, 58, 255, 200][rng.below(6) as usize]),
    };
    net.call(n, |ns, t| ns.socket(t, family, ty, protocol)).ok()
}

fn message(rng: &mut Rng) -> Message {
    let bits = rng.below(17);
    let len = rng.below(1 << bits) as usize;
    Message {
        to: rng.chance(500_000_000).then(|| addr(rng).parse().unwrap()),
        data: Bytes::from(vec![8; len]),
        control: SendControl {
            gso_size: rng.chance(50_000_000).then(|| rng.below(2000) as u16),
            ttl: rng.chance(50_000_000).then(|| rng.below(256) as u8),
            ..SendControl::default()
        },
        more: rng.chance(100_000_000),
        oob: rng.chance(50_000_000),
        ..Message::default()
    }
}

/// One random call on one of the sockets.
fn step(net: &mut Net, rng: &mut Rng, open_socks: &mut Vec<(usize, SockId)>) {
    let n = rng.below(2) as usize;
    if open_socks.len() < 4 || (open_socks.len() < 40 && rng.chance(100_000_000)) {
        open_socks.extend(open(net, rng, n).map(|s| (n, s)));
        return;
    }
    let at = rng.below(open_socks.len() as u64) as usize;
    let (n, s) = open_socks[at];
    let flags = RecvFlags {
        peek: rng.chance(200_000_000),
        error_queue: rng.chance(100_000_000),
        oob: rng.chance(50_000_000),
    };
    match rng.below(16) {
        0 => _ = net.bind(n, s, &addr(rng)),
        1 | 2 => _ = net.connect(n, s, PEERS[rng.below(6) as usize]),
        3 => _ = net.call(n, |ns, t| ns.listen(t, s, rng.below(4) as i32)),
        4 | 5 => {
            if let Ok((child, _)) = net.accept(n, s) {
                open_socks.push((n, child));
            }
        }
        6..=8 => _ = net.call(n, |ns, t| ns.send(t, s, message(rng))),
        9 | 10 => _ = net.call(n, |ns, t| ns.recv(t, s, rng.below(100_000) as usize, flags)),
        11 => _ = net.call(n, |ns, t| ns.set_option(t, s, option(rng))),
        12 => {
            let how = [How::Read, How::Write, How::Both][rng.below(3) as usize];
            let _refused = net.call(n, |ns, t| ns.shutdown(t, s, how));
        }
        13 => {
            net.close(n, s);
            open_socks.swap_remove(at);
        }
        14 => {
            let _refused = net.call(n, |ns, t| ns.disconnect(t, s));
            let _ready = net.host[n].readiness(s);
            let _error = net.host[n].take_error(s);
        }
        _ => _ = net.call(n, |ns, t| ns.option(t, s, OptName::TcpInfo)),
    }
}

#[test]
fn random_calls() {
    for seed in 0..12 {
        let mut rng = Seed(seed).stream("swarm", 0);
        let mut net = Net::new();
        net.loss = [0, 30_000_000, 300_000_000][seed as usize % 3];
        let mut socks = Vec::new();
        // Some listeners stay, so that many connections come about.
        let mut stay = Vec::new();
        for n in [A, B] {
            for addr in ["[::]:80", "0.0.0.0:81"] {
                stay.push((n, net.listener(n, addr, 3)));
            }
        }
        let mut accepted = 0;
        for _ in 0..3000 {
            step(&mut net, &mut rng, &mut socks);
            if rng.chance(300_000_000) {
                net.advance(Duration::from_micros(rng.below(3000)));
            }
            if rng.chance(3_000_000) {
                net.advance(Duration::from_secs(rng.below(100)));
            }
            let (n, l) = stay[rng.below(4) as usize];
            if let Ok((s, _)) = net.accept(n, l) {
                accepted += 1;
                socks.push((n, s));
            }
            net.woken.clear();
        }
        assert!(accepted > 20, "seed {seed}: {accepted}");
        for (n, s) in socks.into_iter().chain(stay) {
            net.close(n, s);
        }
        // Orphans end: retransmissions give up, FIN-WAIT-2 and TIME-WAIT run out.
        net.loss = 0;
        net.advance(Duration::from_secs(2000));
        for n in [A, B] {
            let stat = net.host[n].sock_stat();
            assert_eq!(
                stat,
                netspace_stack::sock::SockStat::default(),
                "seed {seed}, host {n}: {:?}",
                net.host[n].sockets(net.t.now)
            );
        }
        net.assert_ledger();
    }
}
