//! How flows share a bottleneck.

use std::fmt::Write as _;

use netspace_base::Duration;
use netspace_tcp::CongestionKind;

use crate::net::{Net, Path};
use crate::{ALONE, check, ms, per_cent, roomy};

const RATE: u64 = 20_000_000;
const TIME: Duration = Duration::from_secs(40);

/// What each flow has received in the last three quarters of the time; they begin a second apart.
fn shares(kinds: &[CongestionKind], path: Path) -> Vec<u64> {
    let mut net = Net::new(path, 7);
    for (index, kind) in kinds.iter().enumerate() {
        net.add(&roomy(*kind), ms(300 * index as u64), u64::MAX);
    }
    net.run_for(TIME / 4);
    let before: Vec<u64> = net.flows.iter().map(|flow| flow.received).collect();
    net.run_for(TIME * 3 / 4);
    net.flows.iter().zip(before).map(|(flow, before)| flow.received - before).collect()
}

/// R. Jain's index, in thousandths: 1000 when all have the same, 1000/n when one has it all.
fn jain(shares: &[u64]) -> u64 {
    let sum: u128 = shares.iter().map(|&share| u128::from(share)).sum();
    let squares: u128 = shares.iter().map(|&share| u128::from(share).pow(2)).sum();
    (1_000 * sum * sum / (squares * shares.len() as u128).max(1)) as u64
}

fn used(shares: &[u64]) -> String {
    per_cent(shares.iter().sum::<u64>() * 8, RATE * TIME.as_secs() * 3 / 4)
}

#[test]
fn of_one_kind() {
    let mut table = String::from(
        "N flows of one kind over 20 Mbit/s and 40 ms; 30 s from the tenth second on. By the queue, in products of rate and\n\
         round trip: Jain's index in thousandths, the smallest share of the largest, and how much of the bottleneck is used.\n\n\
         \x20      flows        queue 1               queue 4\n",
    );
    for kind in ALONE {
        for flows in [2, 4, 10] {
            write!(table, "{:<6} {flows:>5}", kind.name()).expect("a string takes it");
            for products in [1, 4] {
                let path = Path { queue: RATE / 8 * 40 / 1_000 * products, ..Path::new(RATE, ms(40)) };
                let shares = shares(&vec![kind; flows], path);
                let (least, most) =
                    (shares.iter().min().expect("flows"), shares.iter().max().expect("flows"));
                let least = per_cent(*least, *most);
                write!(table, "   {:>4} {least:>5} % {:>5} %", jain(&shares), used(&shares))
                    .expect("a string takes it");
            }
            table.push('\n');
        }
    }
    check("fairness", include_str!("../golden/fairness.txt"), &table);
}

#[test]
fn of_two_kinds() {
    use CongestionKind::{Bbr, Bbr3, Cubic, Reno};
    let mut table = String::from(
        "Two flows of different kinds over 20 Mbit/s and 40 ms, by the queue in products of rate and round trip.\n\
         Per cent of what both receive that is the first one's.\n\n\
         queue              0.5      1      2      8\n",
    );
    for pair in [[Cubic, Reno], [Cubic, Bbr], [Cubic, Bbr3], [Reno, Bbr], [Reno, Bbr3], [Bbr, Bbr3]] {
        write!(table, "{:<6} and {:<5}", pair[0].name(), pair[1].name()).expect("a string takes it");
        for halves in [1, 2, 4, 16] {
            let queue = RATE / 8 * 40 / 1_000 * halves / 2;
            let shares = shares(&pair, Path { queue, ..Path::new(RATE, ms(40)) });
            write!(table, " {:>6}", per_cent(shares[0], shares[0] + shares[1])).expect("a string takes it");
        }
        table.push('\n');
    }
    check("coexistence", include_str!("../golden/coexistence.txt"), &table);
}
