//! Much data over good and bad links: all of it arrives, in order, in time; and the rates are near theory.

mod common;

use common::{Link, PER_CENT, Pair, Side};
use netspace_base::Duration;
use netspace_tcp::{BufferSize, Config, CongestionKind};

fn big_buffers() -> Config {
    Config {
        send_buffer: BufferSize { start: 64 << 10, max: 16 << 20 },
        recv_buffer: BufferSize { start: 64 << 10, max: 16 << 20 },
        ..Config::default()
    }
}

#[test]
fn a_clean_link_is_filled() {
    let link = Link { delay: Duration::from_millis(1), ..Link::default() };
    let mut pair = Pair::connected(Config::default(), Config::default(), link);
    let time = pair.transfer(Side::Client, 20 << 20, 60);
    let info = pair.client.info(pair.now);
    assert_eq!(info.total_retrans, 0);
    assert!(time < Duration::from_secs(1), "{time:?}");
}

#[test]
fn super_segments_travel_whole() {
    let link = Link { delay: Duration::from_micros(50), cut: false, ..Link::default() };
    let mut pair = Pair::connected(Config::default(), Config::default(), link);
    pair.transfer(Side::Client, 20 << 20, 60);
    let frames = pair.frames;
    assert!(frames < 3_000, "{frames} segments for 20 MiB");
}

#[test]
fn a_hundred_megabytes_over_a_bad_link() {
    let link = Link {
        delay: Duration::from_millis(5),
        loss: PER_CENT,
        duplicate: PER_CENT,
        reorder: 2 * PER_CENT,
        ..Link::default()
    };
    let mut pair = Pair::connected(big_buffers(), big_buffers(), link);
    pair.keep_log = false;
    let time = pair.transfer(Side::Client, 100 << 20, 600);
    assert!(time < Duration::from_secs(120), "{time:?}");
}

#[test]
fn without_options_too() {
    let plain =
        Config { sack: false, timestamps: false, window_scaling: false, gso: false, ..Config::default() };
    let link = Link { loss: PER_CENT, duplicate: PER_CENT, reorder: PER_CENT, ..Link::default() };
    let mut pair = Pair::connected(plain.clone(), plain, link);
    let time = pair.transfer(Side::Server, 5 << 20, 600);
    assert!(time < Duration::from_secs(120), "{time:?}");
}

#[test]
fn swarm_of_bad_links_stays_live() {
    for seed in 0..20 {
        let lossy = Link {
            delay: Duration::from_millis(1 + seed * 7),
            loss: seed as u32 * PER_CENT,
            duplicate: (seed % 4) as u32 * 5 * PER_CENT,
            reorder: (seed % 3) as u32 * 10 * PER_CENT,
            reorder_by: Duration::from_millis(1 + seed % 7 * 10),
            cut: seed % 5 != 4,
            ..Link::default()
        };
        let config = Config {
            sack: seed % 4 != 3,
            timestamps: seed % 3 != 2,
            congestion: if seed % 2 == 0 { CongestionKind::Cubic } else { CongestionKind::Reno },
            retries2: 30,
            syn_retries: 30,
            synack_retries: 30,
            ..Config::default()
        };
        let mut pair = Pair::with_seed(config.clone(), config, lossy, seed);
        pair.keep_log = false;
        pair.transfer(Side::Client, 200_000, 3_000);
    }
}

#[test]
fn reno_is_near_its_equation() {
    goodput(CongestionKind::Reno, 0.6, 1.6);
}

#[test]
fn cubic_is_at_least_near_renos_equation() {
    goodput(CongestionKind::Cubic, 0.6, 2.5);
}

/// Mathis et al.: rate ≈ 1.22 · MSS / (RTT · √p), here at 1 % loss and 80 ms.
fn goodput(congestion: CongestionKind, low: f64, high: f64) {
    let config = Config { congestion, gso: false, ..big_buffers() };
    let link = Link { delay: Duration::from_millis(40), loss: PER_CENT, ..Link::default() };
    let mut pair = Pair::connected(config.clone(), config, link);
    pair.keep_log = false;
    let total = 20 << 20;
    let time = pair.transfer(Side::Client, total, 3_000).as_secs_f64();
    let rate = total as f64 / time;
    let theory = 1.22 * 1448.0 / (0.080 * 0.1);
    let ratio = rate / theory;
    assert!((low..high).contains(&ratio), "{ratio:.2} of theory");
}

#[test]
fn a_bottleneck_is_used_and_shared_with_its_queue() {
    let link = Link { delay: Duration::from_millis(20), rate: 50_000_000, queue: 250_000, ..Link::default() };
    for congestion in [CongestionKind::Cubic, CongestionKind::Reno] {
        let config = Config { congestion, ..big_buffers() };
        let mut pair = Pair::connected(config.clone(), config, link.clone());
        pair.keep_log = false;
        let time = pair.transfer(Side::Client, 50 << 20, 600).as_secs_f64();
        let share = (50 << 20) as f64 * 8.0 / time / 50e6;
        assert!(share > 0.85, "{congestion:?}: {share:.2} of the bottleneck");
    }
}
