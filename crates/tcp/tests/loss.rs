//! Loss: found quickly, repaired, and not taken for more than it is.

mod common;

use std::collections::BTreeSet;

use common::{Link, Pair, Side, Sink, Source};
use netspace_base::{Duration, Instant};
use netspace_tcp::{Config, State, TcpError};
use netspace_wire::tcp::TcpFlags;

/// A pair whose link loses the client's data frames with these indices (1 = the first).
fn losing(config: Config, frames: &[usize]) -> Pair {
    let mut pair = Pair::connected(config.clone(), config, Link::default());
    let lost: BTreeSet<usize> = frames.iter().copied().collect();
    let mut seen = 0;
    pair.filter = Some(Box::new(move |from, segment| {
        if from == Side::Client && !segment.payload.is_empty() {
            seen += 1;
            return !lost.contains(&seen);
        }
        true
    }));
    pair
}

fn no_gso() -> Config {
    Config { gso: false, ..Config::default() }
}

#[test]
fn one_loss_is_repaired_within_a_round_trip_by_sack() {
    let mut pair = losing(no_gso(), &[5]);
    let time = pair.transfer(Side::Client, 14_000, 10);
    // One way, then one round trip for the repair.
    assert!(time <= Duration::from_millis(35), "{time:?}");
    let info = pair.client.info(pair.now);
    assert_eq!((info.total_retrans, info.retransmits), (1, 0));
}

#[test]
fn only_the_holes_are_sent_again() {
    let mut pair = losing(no_gso(), &[21, 23, 25, 27]);
    pair.transfer(Side::Client, 100_000, 10);
    assert_eq!(pair.client.info(pair.now).total_retrans, 4);
    let resent: Vec<usize> = pair
        .sent(Side::Server)
        .iter()
        .map(|sent| sent.segment.options.sack.len())
        .filter(|&n| n > 0)
        .collect();
    assert!(resent.contains(&3), "SACK tells several blocks");
}

#[test]
fn a_hole_in_a_super_segment_is_cut_out() {
    let mut pair = losing(Config::default(), &[4]);
    pair.transfer(Side::Client, 14_000, 10);
    let info = pair.client.info(pair.now);
    assert_eq!((info.total_retrans, info.bytes_retrans), (1, 1448));
}

#[test]
fn three_duplicate_acks_without_sack() {
    let config = Config { sack: false, timestamps: false, gso: false, ..Config::default() };
    let mut pair = losing(config, &[3]);
    let time = pair.transfer(Side::Client, 14_000, 10);
    assert!(time <= Duration::from_millis(35), "{time:?}");
    assert_eq!(pair.client.info(pair.now).total_retrans, 1);
}

#[test]
fn newreno_repairs_a_hole_each_round_trip() {
    let config = Config { sack: false, gso: false, ..Config::default() };
    let mut pair = losing(config, &[12, 14, 16]);
    let time = pair.transfer(Side::Client, 60_000, 10);
    assert!(time < Duration::from_millis(200), "without a timeout: {time:?}");
    assert_eq!(pair.client.info(pair.now).total_retrans, 3);
}

#[test]
fn a_lost_retransmission_is_found_by_rack() {
    let mut pair = Pair::connected(no_gso(), no_gso(), Link::default());
    let mut victims = 0;
    let mut first_seq = None;
    let mut seen = 0;
    pair.filter = Some(Box::new(move |from, segment| {
        if from != Side::Client || segment.payload.is_empty() {
            return true;
        }
        seen += 1;
        if seen == 12 {
            first_seq = Some(segment.seq);
        }
        let lose = first_seq == Some(segment.seq) && victims < 2;
        victims += i32::from(lose);
        !lose
    }));
    let mut timeouts = 0;
    let (mut source, mut sink) = (Source::new(300_000), Sink::default());
    pair.run_until(10, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        timeouts += u32::from(pair.client.info(pair.now).ca_state == 4);
        sink.received == 300_000
    });
    assert_eq!(timeouts, 0, "no retransmission timeout was needed");
    assert_eq!(pair.client.info(pair.now).total_retrans, 2);
}

#[test]
fn a_lost_tail_is_probed_before_the_timeout() {
    let mut pair = losing(no_gso(), &[9, 10]);
    let time = pair.transfer(Side::Client, 14_000, 10);
    // Arrival, ACK, then the probe after two round trips: far less than the 200 ms and more of a timeout.
    assert!(time < Duration::from_millis(150), "{time:?}");
    let info = pair.client.info(pair.now);
    assert_eq!((info.total_retrans, info.backoff), (2, 0));
}

#[test]
fn a_probe_that_repaired_a_loss_shrinks_the_window() {
    let mut pair = losing(no_gso(), &[10]);
    pair.transfer(Side::Client, 14_000, 10);
    let before = pair.client.info(pair.now).snd_cwnd;
    pair.run_for(Duration::from_millis(100));
    pair.transfer(Side::Client, 3_000, 10);
    pair.run_for(Duration::from_millis(100));
    let after = pair.client.info(pair.now);
    assert!(after.snd_ssthresh < before.max(10), "{after:?}");
}

/// RFC 9293 MUST-19
#[test]
fn timeouts_double() {
    let config = Config { tail_loss_probe: false, ..Config::default() };
    let mut pair = Pair::connected(config.clone(), config, Link::default());
    pair.link.down = true;
    pair.write(Side::Client, b"x");
    let begin = pair.now;
    pair.run_for(Duration::from_secs(20));
    let times: Vec<Duration> = pair.sent(Side::Client).iter().map(|sent| sent.at - begin).collect();
    let gaps: Vec<u128> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert_eq!(gaps, [220, 440, 880, 1760, 3520, 7040]);
}

#[test]
fn silence_ends_the_connection_after_retries2() {
    let mut pair = Pair::lan();
    pair.link.down = true;
    pair.write(Side::Client, b"x");
    let begin = pair.now;
    pair.run_until(2_000, |pair| pair.client.state() == State::Closed);
    let seconds = (pair.now - begin).as_secs();
    assert!((924..1_100).contains(&seconds), "{seconds} s");
    assert_eq!(pair.client.error(), Some(TcpError::TimedOut));
}

/// RFC 9293 MUST-21
#[test]
fn the_user_timeout_is_shorter() {
    let mut pair = Pair::lan();
    pair.client.set_user_timeout(Some(Duration::from_secs(5)));
    pair.link.down = true;
    pair.write(Side::Client, b"x");
    let begin = pair.now;
    pair.run_until(100, |pair| pair.client.state() == State::Closed);
    let time = pair.now - begin;
    assert!((5_000..5_600).contains(&time.as_millis()), "{time:?}");
    assert_eq!(pair.client.error(), Some(TcpError::TimedOut));
}

#[test]
fn an_outage_ends_and_sending_goes_on() {
    let mut pair = Pair::lan();
    let (mut source, mut sink) = (Source::new(5 << 20), Sink::default());
    pair.run_until(10, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        sink.received > 100_000
    });
    pair.link.down = true;
    pair.run_for(Duration::from_secs(7));
    pair.link.down = false;
    pair.run_until(30, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        sink.received == 5 << 20
    });
}

#[test]
fn a_spurious_timeout_is_undone() {
    let mut pair = Pair::connected(no_gso(), no_gso(), Link::default());
    pair.transfer(Side::Client, 200_000, 10);
    pair.run_for(Duration::from_millis(30));
    let before = pair.client.info(pair.now).snd_cwnd;
    // The path becomes slow by half a second: no loss, but the timer fires.
    pair.link.delay = Duration::from_millis(600);
    let (mut source, mut sink) = (Source::new(40_000), Sink::default());
    pair.run_until(10, |pair| {
        pair.pump(Side::Client, &mut source, &mut sink);
        sink.received == 40_000
    });
    pair.run_for(Duration::from_secs(3));
    let info = pair.client.info(pair.now);
    assert!(info.total_retrans > 0);
    assert!(info.snd_cwnd >= before, "{} < {before}", info.snd_cwnd);
    assert_eq!(info.ca_state, 0);
}

#[test]
fn reordering_is_not_loss_once_known() {
    let link = Link {
        delay: Duration::from_millis(20),
        reorder: 20_000_000,
        reorder_by: Duration::from_millis(8),
        ..Link::default()
    };
    let mut pair = Pair::connected(no_gso(), no_gso(), link);
    pair.keep_log = false;
    pair.transfer(Side::Client, 20 << 20, 100);
    let info = pair.client.info(pair.now);
    let ratio = f64::from(info.total_retrans) / f64::from(info.data_segs_out);
    assert!(ratio < 0.003, "{ratio} of the segments were sent again for nothing");
}

#[test]
fn duplicates_are_reported_and_do_no_harm() {
    let link = Link { duplicate: 1_000_000_000, ..Link::default() };
    let mut pair = Pair::connected(no_gso(), no_gso(), link);
    pair.transfer(Side::Client, 100_000, 10);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.client.info(pair.now).total_retrans, 0);
    let reported = pair
        .sent(Side::Server)
        .iter()
        .any(|sent| sent.segment.options.sack.first().is_some_and(|&(_, end)| end.le(sent.segment.ack)));
    assert!(reported, "D-SACK (RFC 2883)");
}

#[test]
fn small_segments_are_sent_again_together() {
    let mut pair = Pair::connected(
        Config { nodelay: true, tail_loss_probe: false, ..Config::default() },
        Config::default(),
        Link::default(),
    );
    pair.link.down = true;
    for _ in 0..8 {
        pair.write(Side::Client, &[1; 100]);
    }
    assert_eq!(pair.sent(Side::Client).len(), 8);
    pair.log.clear();
    pair.link.down = false;
    pair.run_until(5, |pair| pair.server().recv_len() == 800);
    let again = pair.sent(Side::Client).into_iter().filter(|sent| !sent.segment.payload.is_empty()).count();
    assert_eq!(again, 1, "eight lost writes of 100 bytes fit one segment");
}

#[test]
fn path_mtu_change_resegments_without_blame() {
    let mut pair = Pair::connected(no_gso(), no_gso(), Link::default());
    pair.filter = Some(Box::new(|from, segment| from == Side::Server || segment.payload_len() <= 1_000));
    pair.write(Side::Client, &[3; 10_000]);
    let window = pair.client.info(pair.now).snd_cwnd;
    let now = pair.now;
    pair.client.on_path_mtu(now, 1_000);
    pair.transmit();
    pair.run_until(1, |pair| pair.server().recv_len() == 10_000);
    assert_eq!(pair.client.mss(), 988);
    assert!(pair.client.info(pair.now).snd_cwnd >= window);
    assert!(pair.now - now < Duration::from_millis(150));
}

/// RFC 9293 MUST-16
#[test]
fn sack_blocks_leave_room_in_data_segments() {
    let mut pair = losing(Config::default(), &[2]);
    let now: Instant = pair.now;
    pair.write(Side::Client, &[1; 6_000]);
    pair.run_for(Duration::from_millis(12));
    assert!(pair.now > now);
    pair.write(Side::Server, &[2; 5_000]);
    let with_sack = pair
        .sent(Side::Server)
        .into_iter()
        .find(|sent| !sent.segment.options.sack.is_empty() && !sent.segment.payload.is_empty())
        .expect("data with SACK");
    let header = 20 + with_sack.segment.options.len();
    let piece = usize::from(with_sack.segment.gso_size.expect("a super-segment"));
    assert!(header + piece <= 1480, "{header} + {piece}");
    assert!(with_sack.segment.flags.contains(TcpFlags::ACK));
}
