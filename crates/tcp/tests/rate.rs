//! How fast: delivery rates, pacing, and what `TCP_INFO` says of both.

mod common;

use common::{Link, PER_CENT, Pair, Side, Sink, Source};
use netspace_base::Duration;
use netspace_tcp::{BufferSize, Config, CongestionKind, ControllerInfo};

fn roomy(congestion: CongestionKind) -> Config {
    let size = BufferSize { start: 64 << 10, max: 8 << 20 };
    Config { congestion, send_buffer: size, recv_buffer: size, ..Config::default() }
}

fn bottleneck() -> Link {
    Link { delay: Duration::from_millis(20), rate: 50_000_000, queue: 250_000, ..Link::default() }
}

#[test]
fn the_delivery_rate_is_the_bottlenecks() {
    let config = roomy(CongestionKind::Cubic);
    let mut pair = Pair::connected(config.clone(), config, bottleneck());
    let (mut source, mut sink) = (Source::new(u64::MAX), Sink::default());
    pair.run_until(60, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        sink.received >= 20 << 20
    });
    let info = pair.client.info(pair.now);
    // 50 Mbit/s less 54 bytes of headers a segment.
    let expected = 50_000_000 / 8 * 1448 / 1502;
    assert!(info.delivery_rate.abs_diff(expected) < expected / 50, "{} of {expected}", info.delivery_rate);
    assert!(!info.delivery_rate_app_limited);
}

#[test]
fn every_delivered_segment_is_counted_once() {
    let link = Link { loss: 2 * PER_CENT, ..bottleneck() };
    let config = roomy(CongestionKind::Cubic);
    let mut pair = Pair::connected(config.clone(), config, link);
    pair.transfer(Side::Client, 2 << 20, 60);
    pair.run_until(10, |pair| pair.client.send_queue_len() == 0);
    let segments = (2_u32 << 20).div_ceil(1448);
    assert_eq!(pair.client.info(pair.now).delivered, segments + 1, "and the SYN");
}

#[test]
fn what_the_program_limits_is_told_as_such() {
    let config = roomy(CongestionKind::Cubic);
    let mut pair = Pair::connected(config.clone(), config, bottleneck());
    for _ in 0..20 {
        pair.write(Side::Client, &[7; 1_000]);
        pair.run_for(Duration::from_millis(100));
        pair.read(Side::Server, 1_000);
    }
    let info = pair.client.info(pair.now);
    assert!(info.delivery_rate_app_limited);
    // A kilobyte in a round trip and its delayed ACK.
    assert!((10_000..26_000).contains(&info.delivery_rate), "{}", info.delivery_rate);
}

#[test]
fn a_bound_of_the_rate_is_kept_without_bursts() {
    let config = Config { max_pacing_rate: 1_000_000, ..roomy(CongestionKind::Cubic) };
    let mut pair = Pair::connected(config.clone(), config, Link::default());
    let time = pair.transfer(Side::Client, 3_000_000, 60);
    assert!((2_850..3_050).contains(&time.as_millis()), "{time:?}");
    let info = pair.client.info(pair.now);
    assert_eq!((info.pacing_rate, info.max_pacing_rate), (1_000_000, 1_000_000));
    let sent = pair.sent(Side::Client);
    let data: Vec<_> = sent.iter().filter(|sent| !sent.segment.payload.is_empty()).skip(10).collect();
    for two in data.windows(2) {
        let len = two[0].segment.payload_len() as u64;
        assert!(len <= 2 * 1448, "a millisecond's worth is less than two segments");
        // Half a wait is the most that lateness earns.
        assert!(two[1].at - two[0].at >= Duration::from_nanos(len * 500), "a burst at {}", two[0].at);
    }
}

#[test]
fn a_bound_can_be_set_and_lifted_on_the_way() {
    let config = roomy(CongestionKind::Cubic);
    let mut pair = Pair::connected(config.clone(), config, Link::default());
    pair.client.set_max_pacing_rate(500_000);
    let slow = pair.transfer(Side::Client, 1_000_000, 60);
    pair.client.set_max_pacing_rate(u64::MAX);
    assert!((1_900..2_050).contains(&slow.as_millis()), "{slow:?}");
    // A window a round trip again, paced at 120 or 200 % of it.
    let mut sink = Sink { received: 1_000_000 };
    let mut source = Source::new(2_000_000);
    source.skip(1_000_000);
    let begin = pair.now;
    pair.run_until(60, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        sink.received >= 2_000_000
    });
    assert!(pair.now - begin < Duration::from_millis(900), "{:?}", pair.now - begin);
}

#[test]
fn times_tell_what_held_sending_back() {
    let link = Link { delay: Duration::from_millis(50), ..Link::default() };
    // The program has nothing to send for a while: idle time is not busy time.
    let mut pair = Pair::connected(Config::default(), Config::default(), link.clone());
    pair.write(Side::Client, &[1; 10_000]);
    pair.run_for(Duration::from_secs(5));
    let info = pair.client.info(pair.now);
    assert!((100..150).contains(&info.busy_time.as_millis()), "{info:?}");
    // Nobody reads: the peer's window fills.
    let mut source = Source::new(1 << 20);
    let now = pair.now;
    source.fill(now, &mut pair.client);
    pair.transmit();
    pair.run_for(Duration::from_secs(10));
    let info = pair.client.info(pair.now);
    assert!(info.rwnd_limited > Duration::from_secs(9), "{info:?}");
    assert!(info.busy_time >= info.rwnd_limited);
    assert_eq!(info.sndbuf_limited, Duration::ZERO);
}

#[test]
fn a_small_send_buffer_is_told_as_the_limit() {
    let link = Link { delay: Duration::from_millis(50), ..Link::default() };
    let config = Config { send_buffer: BufferSize::fixed(8_000), ..Config::default() };
    let mut pair = Pair::connected(config, Config::default(), link);
    let time = pair.transfer(Side::Client, 400_000, 60);
    let info = pair.client.info(pair.now);
    assert!(info.sndbuf_limited * 10 > time * 8, "{:?} of {time:?}", info.sndbuf_limited);
    assert_eq!(info.rwnd_limited, Duration::ZERO);
}

#[test]
fn bbr_finds_rate_and_time_of_the_path_and_leaves_its_queue_empty() {
    let config = roomy(CongestionKind::Bbr);
    let mut pair = Pair::connected(config.clone(), config, bottleneck());
    pair.keep_log = false;
    pair.transfer(Side::Client, 40 << 20, 60);
    let Some(ControllerInfo::Bbr(bbr)) = pair.client.controller_info() else { panic!("it is BBR") };
    let expected = 50_000_000 / 8 * 1448 / 1502;
    assert!(bbr.bandwidth.abs_diff(expected) < expected / 50, "{bbr:?}");
    assert!((40_000..42_000).contains(&bbr.min_rtt.as_micros()), "{bbr:?}");
    let info = pair.client.info(pair.now);
    // In all but one of the cycle's eight phases the queue is short.
    assert!(info.rtt < Duration::from_millis(55), "{:?}", info.rtt);
    let segments = 40_000_000 / 1448;
    assert!(info.total_retrans < segments / 50, "only Startup overflows the queue: {}", info.total_retrans);
}

#[test]
fn bbr_looks_for_a_new_minimum_every_ten_seconds() {
    let config = roomy(CongestionKind::Bbr);
    let mut pair = Pair::connected(config.clone(), config, bottleneck());
    pair.keep_log = false;
    let (mut source, mut sink) = (Source::new(u64::MAX), Sink::default());
    let begin = pair.now;
    let mut probes = 0;
    let mut probing = false;
    pair.run_until(60, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        let small = pair.client.info(pair.now).snd_cwnd <= 4;
        probes += u32::from(small && !probing);
        probing = small;
        pair.now - begin > Duration::from_secs(35)
    });
    assert_eq!(probes, 3, "in 35 s");
}

#[test]
fn the_controller_can_be_changed_on_the_way() {
    let config = roomy(CongestionKind::Cubic);
    let mut pair = Pair::connected(config.clone(), config, bottleneck());
    pair.keep_log = false;
    pair.transfer(Side::Client, 5 << 20, 60);
    assert_eq!(pair.client.controller_info(), None);
    let now = pair.now;
    pair.client.set_congestion(now, CongestionKind::Bbr);
    let (mut source, mut sink) = (Source::new(15 << 20), Sink { received: 5 << 20 });
    source.skip(5 << 20);
    pair.run_until(60, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        sink.received >= 15 << 20
    });
    let rate = (10 << 20) as f64 * 8.0 / (pair.now - now).as_secs_f64();
    assert!(rate > 40e6, "{rate:.0} bit/s");
    assert!(matches!(pair.client.controller_info(), Some(ControllerInfo::Bbr(_))));
}
