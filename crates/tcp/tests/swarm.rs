//! Swarms: many seeds, each with its own link, settings and programs that read and write as they please, both ways at
//! once. All bytes arrive, in order, exactly once; then both sides close, and nothing is left.

mod common;

use common::{Link, Pair, Side, Sink, Source};
use netspace_base::{Duration, Rng, Seed};
use netspace_tcp::{BufferSize, Config, CongestionKind, State};

fn chance(rng: &mut Rng, one_in: u64) -> bool {
    rng.below(one_in) == 0
}

fn size(rng: &mut Rng, max: u64) -> BufferSize {
    let start = 1 + rng.below(max) as u32;
    if chance(rng, 2) { BufferSize::fixed(start) } else { BufferSize { start, max: max as u32 } }
}

fn config(rng: &mut Rng) -> Config {
    Config {
        sack: !chance(rng, 4),
        dsack: !chance(rng, 4),
        timestamps: !chance(rng, 4),
        window_scaling: !chance(rng, 4),
        nodelay: chance(rng, 2),
        gso: !chance(rng, 3),
        tail_loss_probe: !chance(rng, 4),
        slow_start_after_idle: !chance(rng, 4),
        mss_max: if chance(rng, 3) { 100 + rng.below(3_000) as u16 } else { 0 },
        congestion: if chance(rng, 2) { CongestionKind::Reno } else { CongestionKind::Cubic },
        send_buffer: size(rng, 200_000),
        recv_buffer: size(rng, 200_000),
        syn_retries: 100,
        synack_retries: 100,
        retries2: 60,
        orphan_retries: 60,
        ..Config::default()
    }
}

/// From microseconds to a tenth of a second, each size as likely.
fn some_time(rng: &mut Rng) -> Duration {
    let bits = 4 + rng.below(14);
    Duration::from_micros(rng.below(1 << bits))
}

fn link(rng: &mut Rng) -> Link {
    let bad = |rng: &mut Rng, max: u64| if chance(rng, 2) { rng.below(max) as u32 } else { 0 };
    Link {
        delay: some_time(rng),
        loss: bad(rng, 150_000_000),
        duplicate: bad(rng, 300_000_000),
        reorder: bad(rng, 300_000_000),
        reorder_by: some_time(rng),
        cut: !chance(rng, 3),
        rate: if chance(rng, 2) { 1_000_000 + rng.below(100_000_000) } else { 0 },
        queue: if chance(rng, 2) { 70_000 + rng.below(1_000_000) } else { 0 },
        down: false,
    }
}

struct Program {
    source: Source,
    sink: Sink,
    total: u64,
}

impl Program {
    fn new(total: u64) -> Self {
        Self { source: Source::new(total), sink: Sink::default(), total }
    }

    fn act(&mut self, pair: &mut Pair, side: Side, rng: &mut Rng, eager: bool) {
        if side == Side::Server && pair.server.is_none() {
            return;
        }
        let now = pair.now;
        let connection = pair.side(side);
        if eager || chance(rng, 3) {
            self.source.fill(now, connection);
        }
        if eager || chance(rng, 4) {
            let max = if eager { usize::MAX } else { rng.below(20_000) as usize };
            self.sink.drain_up_to(now, connection, max);
        }
        pair.transmit();
    }
}

#[test]
fn all_arrives_and_all_ends() {
    for seed in 0..150 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut rng = Seed(seed).stream("swarm", 0);
    let (a, b, link) = (config(&mut rng), config(&mut rng), link(&mut rng));
    let mut pair = Pair::with_seed(a, b, link, seed);
    pair.keep_log = false;
    let mut client = Program::new(rng.below(400_000));
    let mut server = Program::new(rng.below(400_000));
    let outage = chance(&mut rng, 4);
    for _ in 0..2_000 {
        pair.link.down = outage && rng.below(100) < 3;
        client.act(&mut pair, Side::Client, &mut rng, false);
        server.act(&mut pair, Side::Server, &mut rng, false);
        if !pair.step() {
            break;
        }
    }
    pair.link.down = false;
    let limit = pair.now + Duration::from_secs(20_000);
    while client.sink.received < server.total || server.sink.received < client.total {
        client.act(&mut pair, Side::Client, &mut rng, true);
        server.act(&mut pair, Side::Server, &mut rng, true);
        let (c, s) = (client.sink.received, server.sink.received);
        let stuck = !(pair.step() || c == server.total && s == client.total);
        assert!(
            !stuck && pair.now < limit,
            "seed {seed}: {c} of {}, {s} of {}: {:#?}",
            server.total,
            client.total,
            pair.client
        );
    }
    pair.close(Side::Client);
    if chance(&mut rng, 2) {
        pair.run_for(Duration::from_millis(rng.below(500)));
    }
    pair.close(Side::Server);
    pair.run_until(20_000, |pair| {
        let over = |state| matches!(state, State::TimeWait | State::Closed);
        let (client, server) = pair.states();
        over(client) && over(server)
    });
    assert_eq!((pair.client.error(), pair.server().error()), (None, None), "seed {seed}");
}
