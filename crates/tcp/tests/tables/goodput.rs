//! Goodput by loss, round-trip time and controller.

use std::fmt::Write as _;

use netspace_tcp::{BufferSize, Config, CongestionKind};

use crate::net::{Loss, Net, Path};
use crate::{ALONE, PER_CENT, check, ms, roomy};

const RATE: u64 = 10_000_000;
/// 0, 0.1, 1, 5, 10 and 30 %.
const LOSSES: [u32; 6] = [0, PER_CENT / 10, PER_CENT, 5 * PER_CENT, 10 * PER_CENT, 30 * PER_CENT];
const RTTS: [u64; 4] = [1, 20, 100, 300];

/// Kilobits of payload per second that arrive in so many milliseconds, from when the connection is open.
fn goodput(config: &Config, path: Path, time_ms: u64) -> u64 {
    let mut net = Net::new(path, 1);
    net.add(config, ms(0), u64::MAX);
    net.open();
    net.run_for(ms(time_ms));
    net.flows[0].received * 8 / time_ms
}

#[test]
fn by_loss_and_distance() {
    let mut table = String::from(
        "Goodput in kbit/s through 10 Mbit/s (at most 9640, without headers), the queue one product of rate and round trip\n\
         (at least 64 KiB), in the first 15 s of a connection. Frames are lost both ways.\n\n\
         loss                       0 %    0.1 %      1 %      5 %     10 %     30 %\n",
    );
    for kind in ALONE {
        for rtt in RTTS {
            write!(table, "{:<6} {rtt:>4} ms round trip", kind.name()).expect("a string takes it");
            for loss in LOSSES {
                let path = Path { loss: Loss::Random(loss), ..Path::new(RATE, ms(rtt)) };
                write!(table, " {:>8}", goodput(&roomy(kind), path, 15_000)).expect("a string takes it");
            }
            table.push('\n');
        }
    }
    check("loss", include_str!("../golden/loss.txt"), &table);
}

/// smoltcp's own table has 100 ms, buffers of 32 KiB and no bottleneck.
#[test]
fn beside_smoltcp() {
    // Bytes per second: its tests/snapshots/netsim__netsim.snap.
    let smoltcp = [322_945, 219_671, 76_626, 37_775, 1_156];
    let losses = [0, PER_CENT, 5 * PER_CENT, 10 * PER_CENT, 30 * PER_CENT];
    let mut table = String::from(
        "Goodput in bytes per second over 100 ms of round trip without a bottleneck, buffers of 32 KiB (at most 327680), in 60 s;\n\
         smoltcp's as it publishes it (its own simulation, the same axes).\n\n\
         loss            0 %      1 %      5 %     10 %     30 %\nsmoltcp ",
    );
    for rate in smoltcp {
        write!(table, " {rate:>8}").expect("a string takes it");
    }
    for kind in ALONE {
        write!(table, "\n{:<8}", kind.name()).expect("a string takes it");
        for loss in losses {
            let size = BufferSize::fixed(32 << 10);
            let config = Config { send_buffer: size, recv_buffer: size, ..roomy(kind) };
            let path = Path { loss: Loss::Random(loss), ..Path::new(0, ms(100)) };
            write!(table, " {:>8}", goodput(&config, path, 60_000) * 125).expect("a string takes it");
        }
    }
    table.push('\n');
    check("smoltcp", include_str!("../golden/smoltcp.txt"), &table);
}

/// One per cent of loss does not slow BBR down: nine tenths of the bottleneck at the least.
#[test]
fn bbr_fills_a_lossy_path() {
    let path = Path { loss: Loss::Random(PER_CENT), ..Path::new(RATE, ms(100)) };
    let rate = goodput(&roomy(CongestionKind::Bbr), path, 60_000);
    assert!(rate * 1_000 >= RATE * 9 / 10, "{rate} kbit/s of {}", RATE / 1_000);
}
