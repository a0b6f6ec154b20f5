//! Anything may come at any time: random segments, calls and moments never break an endpoint, and what it says about
//! itself stays true.

mod common;

use bytes::Bytes;
use common::{Link, Pair, Side};
use netspace_base::{Duration, Rng, Seed};
use netspace_tcp::{
    BufferSize, Config, CongestionKind, Connection, EcnPolicy, FastOpenAsk, Segment, SendFlags,
};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

fn near(rng: &mut Rng, base: SeqNum) -> SeqNum {
    match rng.below(8) {
        0 => SeqNum(rng.u32()),
        1 => base,
        2 => base + 1,
        3 => base - 1,
        4 | 5 => base + rng.below(5_000) as usize,
        6 => base - rng.below(5_000) as usize,
        _ => base + rng.below(200_000) as usize,
    }
}

fn random_segment(rng: &mut Rng, seq: SeqNum, ack: SeqNum, clock: u32) -> Segment {
    let len = if rng.below(2) == 0 { 0 } else { rng.below(4_000) as usize };
    let mut options = TcpOptions::default();
    if rng.below(3) > 0 {
        options.timestamps = Some((clock.wrapping_add(rng.below(20) as u32).wrapping_sub(4), clock));
    }
    for _ in 0..rng.below(5) {
        options.sack.push((near(rng, ack), near(rng, ack)));
    }
    if rng.below(10) == 0 {
        options.mss = Some(rng.below(3_000) as u16);
        options.window_scale = Some(rng.below(15) as u8);
        options.sack_permitted = rng.below(2) == 0;
    }
    let flags = match rng.below(12) {
        0 => TcpFlags::from_bits_truncate(rng.u32() as u16),
        1 => TcpFlags::SYN,
        2 => TcpFlags::SYN | TcpFlags::ACK,
        3 => TcpFlags::FIN | TcpFlags::ACK,
        4 => TcpFlags::URG | TcpFlags::ACK,
        5 if rng.below(20) == 0 => TcpFlags::RST | TcpFlags::ACK,
        _ => TcpFlags::ACK,
    };
    Segment {
        seq: near(rng, seq),
        ack: near(rng, ack),
        flags,
        window: if rng.below(4) == 0 { rng.below(3) as u16 } else { rng.u32() as u16 },
        urgent: rng.below(3_000) as u16,
        options,
        payload: if len == 0 {
            smallvec::SmallVec::new()
        } else {
            let cut = rng.below(len as u64 + 1) as usize;
            [cut, len - cut]
                .into_iter()
                .map(|len| Bytes::from(vec![0; len]))
                .filter(|b| !b.is_empty())
                .collect()
        },
        gso_size: (len > 1_448).then_some(1_448),
        ecn: Ecn::of(rng.u32() as u8),
        accurate_ecn: false,
    }
}

fn config(rng: &mut Rng) -> Config {
    Config {
        sack: rng.below(4) > 0,
        timestamps: rng.below(4) > 0,
        window_scaling: rng.below(4) > 0,
        ecn: EcnPolicy::of_sysctl(rng.below(6) as u32),
        mtu_probing: rng.below(3) as u8,
        base_mss: 200 + rng.below(2_000) as u16,
        probe_interval: Duration::from_millis(rng.below(5_000)),
        frto: rng.below(3) > 0,
        std_urgent: rng.below(4) == 0,
        nodelay: rng.below(2) == 0,
        gso: rng.below(3) > 0,
        keepalive: rng.below(3) == 0,
        recv_buffer: BufferSize { start: 2_000 + rng.below(100_000) as u32, max: 200_000 },
        send_buffer: BufferSize { start: 2_000 + rng.below(100_000) as u32, max: 200_000 },
        congestion: if rng.below(2) == 0 { CongestionKind::Reno } else { CongestionKind::Cubic },
        user_timeout: (rng.below(4) == 0).then(|| Duration::from_millis(rng.below(60_000))),
        mss_max: if rng.below(3) == 0 { rng.below(2_000) as u16 } else { 0 },
        ..Config::default()
    }
}

fn act(pair: &mut Pair, rng: &mut Rng, side: Side) {
    let now = pair.now;
    let connection = pair.side(side);
    match rng.below(24) {
        0..=6 => {
            let flags = SendFlags { more: rng.below(8) == 0, urgent: rng.below(20) == 0 };
            let data = Bytes::from(vec![1; rng.below(20_000) as usize]);
            let room = connection.send_space();
            let offered = data.len();
            let taken = connection.send_with(now, data, flags);
            assert_eq!(taken, offered.min(room));
        }
        7..=11 => {
            let ready = connection.recv_len();
            let got: usize = connection.recv(now, rng.below(30_000) as usize).iter().map(Bytes::len).sum();
            assert!(got <= ready);
        }
        12 => drop(connection.peek(100)),
        13 => drop(connection.recv_urgent(rng.below(2) == 0)),
        14 => connection.on_path_mtu(now, 100 + rng.below(3_000) as u16),
        15 => connection.set_cork(rng.below(2) == 0),
        16 => connection.set_nodelay(rng.below(2) == 0),
        17 => connection.set_quick_ack(rng.below(2) == 0),
        18 => connection.set_recv_buffer(BufferSize::fixed(1_000 + rng.below(100_000) as u32)),
        19 => connection.set_keepalive(now, rng.below(2) == 0),
        20 if rng.below(30) == 0 => connection.shutdown_send(now),
        21 if rng.below(30) == 0 => connection.close(now),
        22 if rng.below(60) == 0 => connection.shutdown_recv(),
        23 if rng.below(200) == 0 => connection.abort(now),
        _ => drop(connection.info(now)),
    }
}

#[test]
fn nothing_breaks_an_endpoint() {
    for seed in 0..300 {
        let mut rng = Seed(seed).stream("storm", 0);
        let link = Link {
            loss: rng.below(300_000_000) as u32,
            reorder: rng.below(300_000_000) as u32,
            duplicate: rng.below(300_000_000) as u32,
            cut: rng.below(2) == 0,
            ..Link::default()
        };
        let (a, b) = (config(&mut rng), config(&mut rng));
        let fast = (rng.below(3) == 0).then(|| a.clone());
        let mut pair = Pair::with_seed(a, b, link, seed);
        if let Some(config) = fast {
            // The SYN that went before is as one of an earlier attempt.
            let ask = FastOpenAsk { no_cookie: true, peer_mss: 1_460, ..FastOpenAsk::default() };
            pair.client = Connection::connect_fast(config, pair.now, SeqNum(0xffff_0000), 1_460, ask);
            let now = pair.now;
            pair.client.send(now, Bytes::from(vec![1; rng.below(3_000) as usize]));
            pair.transmit();
        }
        for _ in 0..400 {
            let side = if rng.below(2) == 0 || pair.server.is_none() { Side::Client } else { Side::Server };
            match rng.below(6) {
                0 => {
                    let from = pair.log.iter().rev().find(|sent| sent.from == side);
                    let Some((seq, ack)) = from.map(|sent| (sent.segment.ack, sent.segment.seq)) else {
                        continue;
                    };
                    let clock = pair.now.as_millis() as u32;
                    let segment = random_segment(&mut rng, seq, ack, clock);
                    pair.inject(side, segment);
                }
                1 | 2 => act(&mut pair, &mut rng, side),
                3 => pair.run_for(Duration::from_millis(rng.below(60))),
                _ => drop(pair.step()),
            }
            pair.transmit();
            if pair.log.len() > 200 {
                pair.log.drain(..100);
            }
            for side in [Side::Client, Side::Server] {
                if side == Side::Client || pair.server.is_some() {
                    check(&mut pair, side);
                }
            }
        }
        pair.run_for(Duration::from_secs(5_000));
    }
}

fn check(pair: &mut Pair, side: Side) {
    let now = pair.now;
    let connection = pair.side(side);
    while connection.poll_event().is_some() {}
    assert_eq!(connection.poll_transmit(now), None, "everything that may go has gone");
    let info = connection.info(now);
    assert!(info.snd_cwnd >= 1, "a window of at least one segment: {info:?}");
    let busy = info.unacked > 0 && !matches!(connection.state(), netspace_tcp::State::Closed);
    assert!(!busy || connection.next_timeout().is_some(), "in flight without a timer: {connection:#?}");
    assert!(connection.send_queue_len() <= 200_000 + 4_096);
}
