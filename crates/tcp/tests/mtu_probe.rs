//! The path's MTU without ICMP: probes, and black holes (RFC 4821).

mod common;

use common::{Link, Pair, Side};
use netspace_base::Duration;
use netspace_tcp::{Config, Mib};

fn config(probing: u8) -> Config {
    Config { mtu_probing: probing, gso: false, ..Config::default() }
}

/// A path that silently loses what has more than `max` bytes of payload.
fn narrow(pair: &mut Pair, max: usize) {
    pair.filter = Some(Box::new(move |_, segment| segment.payload_len() <= max));
}

fn count(pair: &mut Pair, wanted: Mib) -> u32 {
    pair.client.take_mibs().into_iter().filter(|(mib, _)| *mib == wanted).map(|(_, n)| n).sum()
}

#[test]
fn probes_find_the_size_that_passes() {
    let mut pair = Pair::new(config(2), config(2), Link::default());
    narrow(&mut pair, 1300);
    pair.run_until(5, |pair| pair.client.state() == netspace_tcp::State::Established);
    assert_eq!(pair.client.mss(), 1024 - 12, "it begins at tcp_base_mss");
    pair.transfer(Side::Client, 3_000_000, 60);
    let mss = pair.client.mss();
    assert!((1292..=1300).contains(&mss), "{mss}");
    let info = pair.client.info(pair.now);
    assert!(info.total_retrans <= 6, "only probes were lost: {}", info.total_retrans);
    assert!(info.snd_cwnd > 50, "and no window fell for them: {}", info.snd_cwnd);
}

#[test]
fn on_a_wide_path_probes_end_at_its_mtu() {
    let mut pair = Pair::connected(config(2), config(2), Link::default());
    pair.transfer(Side::Client, 3_000_000, 60);
    assert!((1440..=1448).contains(&pair.client.mss()), "{}", pair.client.mss());
    assert!(count(&mut pair, Mib::MtupSuccess) >= 3);
    assert_eq!(pair.client.info(pair.now).total_retrans, 0);
}

#[test]
fn a_black_hole_is_found_by_its_silence() {
    let mut pair = Pair::connected(config(1), config(1), Link::default());
    narrow(&mut pair, 1100);
    pair.transfer(Side::Client, 100_000, 60);
    assert!((1012..=1100).contains(&pair.client.mss()), "{}", pair.client.mss());
    // Without probing such a connection never gets anything through.
    let mut pair = Pair::connected(config(0), config(0), Link::default());
    narrow(&mut pair, 1100);
    pair.write(Side::Client, &[1; 20_000]);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.server().recv_len(), 0);
}

#[test]
fn deeper_holes_are_found_by_halving() {
    let mut pair = Pair::connected(config(1), config(1), Link::default());
    narrow(&mut pair, 300);
    pair.transfer(Side::Client, 20_000, 120);
    assert!(pair.client.mss() <= 300 && pair.client.mss() > 100, "{}", pair.client.mss());
}

#[test]
fn a_path_that_widens_is_found_when_the_search_begins_anew() {
    let often = Config { probe_interval: Duration::from_secs(5), ..config(2) };
    let mut pair = Pair::new(often, config(2), Link::default());
    narrow(&mut pair, 1200);
    pair.run_until(5, |pair| pair.client.state() == netspace_tcp::State::Established);
    pair.transfer(Side::Client, 2_000_000, 60);
    assert!(pair.client.mss() <= 1200);
    pair.filter = None;
    pair.run_for(Duration::from_secs(6));
    pair.transfer(Side::Client, 3_000_000, 60);
    assert!(pair.client.mss() >= 1440, "{}", pair.client.mss());
}

#[test]
fn what_was_too_large_goes_again_at_once_when_icmp_tells() {
    // The rest of the flight does not wait for a timeout: a round trip for the news, one for the data.
    for flight in [4_000, 14_000] {
        let mut pair = Pair::lan();
        narrow(&mut pair, 1_000);
        pair.write(Side::Client, &vec![7; flight]);
        let begin = pair.now;
        pair.run_for(Duration::from_millis(20));
        let now = pair.now;
        pair.client.on_path_mtu(now, 1_000);
        pair.transmit();
        pair.run_until(1, |pair| pair.server().recv_len() == flight);
        assert!(pair.now - begin <= Duration::from_millis(40), "{flight}: {:?}", pair.now - begin);
    }
}
