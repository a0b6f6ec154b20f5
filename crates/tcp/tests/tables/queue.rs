//! Buffer bloat: how long the queue becomes that a flow makes.

use std::fmt::Write as _;

use netspace_tcp::CongestionKind;

use crate::net::{Net, Path};
use crate::{check, ms, per_cent, roomy};

const RATE: u64 = 10_000_000;

#[test]
fn a_large_queue_is_filled_by_those_who_need_loss() {
    let mut table = String::from(
        "One flow over 10 Mbit/s and 20 ms, a first-in-first-out queue of so many milliseconds: the mean time in it after the\n\
         first five seconds, the share of the bottleneck used, and what overflowed, in 20 s.\n\n\
         queue          50 ms                    200 ms                   1000 ms\n",
    );
    for kind in CongestionKind::ALL {
        write!(table, "{:<6}", kind.name()).expect("a string takes it");
        for queue_ms in [50, 200, 1_000] {
            let path = Path { queue: RATE / 8 * queue_ms / 1_000, ..Path::new(RATE, ms(20)) };
            let mut net = Net::new(path, 3);
            net.add(&roomy(*kind), ms(0), u64::MAX);
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
