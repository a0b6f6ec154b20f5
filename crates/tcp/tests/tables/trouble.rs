//! Reordering and bursts of loss.

use std::fmt::Write as _;

use netspace_tcp::CongestionKind;

use crate::net::{Loss, Net, Path};
use crate::{ALONE, PER_CENT, check, ms, roomy};

const RATE: u64 = 10_000_000;

fn run(kind: CongestionKind, path: Path) -> (u64, u32, u32) {
    let mut net = Net::new(path, 5);
    net.add(&roomy(kind), ms(0), u64::MAX);
    net.open();
    net.run_for(ms(15_000));
    let info = net.flows[0].sender.info(net.now);
    (net.flows[0].received * 8 / 15_000, info.total_retrans, info.data_segs_out)
}

#[test]
fn reordering_is_not_loss() {
    let mut table = String::from(
        "Goodput in kbit/s through 10 Mbit/s and 40 ms, and segments sent again although nothing but the queue loses any,\n\
         when a share of the frames is held back for so long. 15 s.\n\n\
         held back        1 %, 5 ms       1 %, 30 ms      10 %, 5 ms      10 %, 30 ms\n",
    );
    for kind in ALONE {
        write!(table, "{:<10}", kind.name()).expect("a string takes it");
        for (share, by) in [(1, 5), (1, 30), (10, 5), (10, 30)] {
            let path = Path { reorder: share * PER_CENT, reorder_by: ms(by), ..Path::new(RATE, ms(40)) };
            let (rate, resent, _) = run(kind, path);
            write!(table, " {rate:>8} {resent:>6}").expect("a string takes it");
        }
        table.push('\n');
    }
    check("reordering", include_str!("../golden/reordering.txt"), &table);
}

#[test]
fn bursts_of_loss() {
    let mut table = String::from(
        "Goodput in kbit/s through 10 Mbit/s and 40 ms when bursts (Gilbert-Elliott) lose every frame: the chance that one\n\
         begins with a frame, and its mean length in frames. 15 s.\n\n\
         bursts         0.1 %, 2    0.1 %, 10    0.1 %, 50    0.01 %, 200\n",
    );
    for kind in ALONE {
        write!(table, "{:<10}", kind.name()).expect("a string takes it");
        for (begin, length) in [(10, 2), (10, 10), (10, 50), (1, 200)] {
            let loss = Loss::Bursts { begin: begin * PER_CENT / 100, end: 1_000_000_000 / length };
            let (rate, _, _) = run(kind, Path { loss, ..Path::new(RATE, ms(40)) });
            write!(table, " {rate:>12}").expect("a string takes it");
        }
        table.push('\n');
    }
    check("bursts", include_str!("../golden/bursts.txt"), &table);
}
