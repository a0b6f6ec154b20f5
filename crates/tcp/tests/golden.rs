//! Goodput by loss, round-trip time and congestion control over a bottleneck of 100 Mbit/s, as a table: whatever changes
//! TCP's behaviour shows here as a difference that people can read. `NETSPACE_BLESS=1 cargo test` writes it anew.

mod common;

use std::fmt::Write as _;

use common::{Link, PER_CENT, Pair, Side};
use netspace_base::Duration;
use netspace_tcp::{BufferSize, Config, CongestionKind};

const GOLDEN: &str = include_str!("golden/goodput.txt");
const BYTES: u64 = 6 << 20;

fn row(congestion: CongestionKind, rtt_ms: u64, loss: u32) -> String {
    let config = Config {
        congestion,
        send_buffer: BufferSize { start: 64 << 10, max: 8 << 20 },
        recv_buffer: BufferSize { start: 64 << 10, max: 8 << 20 },
        ..Config::default()
    };
    let link = Link {
        delay: Duration::from_millis(rtt_ms) / 2,
        loss,
        rate: 100_000_000,
        queue: (100_000_000 / 8 * rtt_ms / 1_000).max(60_000),
        ..Link::default()
    };
    let mut pair = Pair::connected(config.clone(), config, link);
    pair.keep_log = false;
    let time = pair.transfer(Side::Client, BYTES, 3_000);
    let info = pair.client.info(pair.now);
    let kbit = BYTES * 8 * 1_000 / (time.as_micros() as u64).max(1);
    let loss_text = format!("{}.{} %", loss / PER_CENT, loss % PER_CENT / (PER_CENT / 10));
    format!(
        "{:<6} {rtt_ms:>4} ms {loss_text:>6} {kbit:>7} kbit/s {:>5} sent again of {:>5}",
        congestion.name(),
        info.total_retrans,
        info.data_segs_out
    )
}

#[test]
fn goodput_is_as_written() {
    let mut table = String::new();
    for congestion in [CongestionKind::Reno, CongestionKind::Cubic] {
        for rtt_ms in [1, 20, 80] {
            for loss in [0, PER_CENT / 10, PER_CENT, 5 * PER_CENT] {
                writeln!(table, "{}", row(congestion, rtt_ms, loss)).expect("a string takes it");
            }
        }
    }
    if std::env::var_os("NETSPACE_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/goodput.txt");
        std::fs::write(path, &table).expect("the table can be written");
        return;
    }
    assert!(table == GOLDEN, "goodput changed:\n{table}\nwas:\n{GOLDEN}");
}
