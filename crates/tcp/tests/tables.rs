//! What congestion control does, as tables in `tests/golden/`: whatever changes TCP's behaviour shows there as a difference
//! that people can read. `NETSPACE_BLESS=1 cargo test` writes them anew.
#![allow(unreachable_pub, missing_docs, reason = "modules of one test")]

#[path = "tables/fairness.rs"]
mod fairness;
#[path = "tables/goodput.rs"]
mod goodput;
#[path = "tables/net.rs"]
mod net;
#[path = "tables/queue.rs"]
mod queue;
#[path = "tables/trouble.rs"]
mod trouble;

use netspace_base::Duration;
use netspace_tcp::{BufferSize, Config, CongestionKind};

/// A per cent, in chances per billion.
pub const PER_CENT: u32 = 10_000_000;

/// The controllers that need no help of the network: DCTCP is Reno where nothing is marked.
pub const ALONE: [CongestionKind; 4] =
    [CongestionKind::Reno, CongestionKind::Cubic, CongestionKind::Bbr, CongestionKind::Bbr3];

/// Buffers that do not limit.
pub fn roomy(congestion: CongestionKind) -> Config {
    let size = BufferSize { start: 64 << 10, max: 8 << 20 };
    Config { congestion, send_buffer: size, recv_buffer: size, ..Config::default() }
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Per mille of `whole`, as per cent with a decimal.
pub fn per_cent(part: u64, whole: u64) -> String {
    let mille = part * 1_000 / whole.max(1);
    format!("{}.{}", mille / 10, mille % 10)
}

/// Compares `table` with the file of that name, or writes it.
pub fn check(name: &str, golden: &str, table: &str) {
    if std::env::var_os("NETSPACE_BLESS").is_some() {
        let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        return std::fs::write(path, table).expect("the table can be written");
    }
    assert!(table == golden, "{name} changed:\n{table}\nwas:\n{golden}");
}
