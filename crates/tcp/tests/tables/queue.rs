//! Buffer bloat: how long the queue becomes that a flow makes.

use std::fmt::Write as _;

use netspace_tcp::{Config, CongestionKind, EcnPolicy};

use crate::net::{Net, Path};
use crate::{ALONE, check, ms, per_cent, roomy};

const RATE: u64 = 10_000_000;

#[test]
fn a_large_queue_is_filled_by_those_who_need_loss() {
    let mut table = String::from(
        "One flow over 10 Mbit/s and 20 ms, a first-in-first-out queue of so many milliseconds: the mean time in it after the\n\
         first five seconds, the share of the bottleneck used, and what overflowed, in 20 s.\n\n\
         queue          50 ms                    200 ms                   1000 ms\n",
    );
    for kind in ALONE {
        write!(table, "{:<6}", kind.name()).expect("a string takes it");
        for queue_ms in [50, 200, 1_000] {
            let path = Path { queue: RATE / 8 * queue_ms / 1_000, ..Path::new(RATE, ms(20)) };
            let mut net = Net::new(path, 3);
            net.add(&roomy(kind), ms(0), u64::MAX);
            net.run_for(ms(5_000));
            let before = net.flows[0].received;
            net.queue = Default::default();
            net.run_for(ms(20_000));
            let wait = net.queue.mean().as_micros();
            write!(
                table,
                " {:>4}.{} ms {:>5} % {:>4} lost",
                wait / 1_000,
                wait % 1_000 / 100,
                per_cent((net.flows[0].received - before) * 8, RATE * 20),
                net.queue.dropped
            )
            .expect("a string takes it");
        }
        table.push('\n');
    }
    check("bufferbloat", include_str!("../golden/bufferbloat.txt"), &table);
}

/// A data centre's switch: 100 Mbit/s, 1 ms, and marks from a sixth of the product on (RFC 8257 §3.1, §4).
#[test]
fn a_short_queue_that_marks() {
    let mut table = String::from(
        "Flows with ECN over 100 Mbit/s and 1 ms, a queue of 128 KiB that marks from 10 KiB on: the mean time in it, the share\n\
         used, frames marked and lost, in a second after the first half.\n\n\
         \x20               queue    used   marked  lost\n",
    );
    for kind in CongestionKind::ALL {
        for flows in [1, 4] {
            let rate = 100_000_000;
            let path = Path { queue: 128 << 10, mark: 10 << 10, ..Path::new(rate, ms(1)) };
            let mut net = Net::new(path, 3);
            for index in 0..flows {
                let config = Config { ecn: EcnPolicy::of_sysctl(1), ..roomy(*kind) };
                net.add(&config, ms(index * 10), u64::MAX);
            }
            net.run_for(ms(500));
            let received = |net: &Net| net.flows.iter().map(|flow| flow.received).sum::<u64>();
            let before = received(&net);
            net.queue = Default::default();
            net.run_for(ms(1_000));
            let (wait, used) = (net.queue.mean().as_micros(), (received(&net) - before) * 8);
            let (marked, lost) = (net.queue.marked, net.queue.dropped);
            writeln!(
                table,
                "{:<6} {flows} flows {wait:>6} us {:>5} % {marked:>7} {lost:>5}",
                kind.name(),
                per_cent(used, rate)
            )
            .expect("a string takes it");
        }
    }
    check("marks", include_str!("../golden/marks.txt"), &table);
}
