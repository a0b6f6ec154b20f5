//! Loss recovery with peers that have no SACK: limited transmit, and timeouts that were none.

mod common;

use common::{Link, Pair, Side};
use netspace_base::Duration;
use netspace_tcp::{Config, Mib};

fn no_sack() -> Config {
    Config { sack: false, timestamps: false, gso: false, ..Config::default() }
}

fn pair() -> Pair {
    let mut pair = Pair::connected(no_sack(), no_sack(), Link::default());
    pair.transfer(Side::Client, 20_000, 5);
    pair.run_for(Duration::from_millis(100));
    pair.log.clear();
    pair
}

fn spurious(pair: &mut Pair) -> u32 {
    let mibs = pair.client.take_mibs();
    mibs.into_iter().find(|(mib, _)| *mib == Mib::SpuriousRtos).map_or(0, |(_, n)| n)
}

#[test]
fn each_of_the_first_two_duplicate_acks_lets_a_new_segment_go() {
    // RFC 3042 §2. The window is full; nothing is sent again before the third duplicate.
    let mut pair = pair();
    let window = pair.client.info(pair.now).snd_cwnd as usize;
    let begin = pair.client.info(pair.now).segs_out;
    let mut lose = true;
    pair.filter = Some(Box::new(move |from, segment| {
        !(from == Side::Client && segment.payload_len() > 0 && std::mem::take(&mut lose))
    }));
    pair.write(Side::Client, &vec![1; 1460 * (window + 20)]);
    assert_eq!((pair.client.info(pair.now).segs_out - begin) as usize, window);
    // The first two duplicates have come.
    let mut duplicates = 0;
    pair.run_until(5, |pair| {
        let first = pair.sent(Side::Server).first().map(|sent| sent.segment.ack);
        duplicates = pair.sent(Side::Server).iter().filter(|s| Some(s.segment.ack) == first).count();
        pair.client.info(pair.now).segs_out as usize - begin as usize > window
    });
    let info = pair.client.info(pair.now);
    assert_eq!(info.segs_out as usize - begin as usize, window + 1, "one for the first duplicate");
    assert_eq!(info.total_retrans, 0);
    pair.run_until(5, |pair| pair.client.info(pair.now).segs_out as usize - begin as usize > window + 1);
    assert_eq!(pair.client.info(pair.now).total_retrans, 0, "one for the second");
    pair.run_until(5, |pair| pair.client.info(pair.now).total_retrans == 1);
}

#[test]
fn a_delay_that_looked_like_a_loss_sends_one_segment_again_and_restores_the_window() {
    let mut pair = pair();
    let window = pair.client.info(pair.now).snd_cwnd;
    // Everything of one flight arrives, but later than the timeout; and so would what goes again.
    pair.link.delay = Duration::from_millis(250);
    pair.write(Side::Client, &vec![1; 1460 * 40]);
    pair.run_for(Duration::from_millis(245));
    pair.link.delay = Duration::from_millis(10);
    pair.run_for(Duration::from_secs(2));
    let info = pair.client.info(pair.now);
    assert_eq!(info.bytes_acked, 20_000 + 1460 * 40);
    assert!(info.total_retrans <= 1, "{} segments sent again", info.total_retrans);
    assert_eq!(spurious(&mut pair), 1);
    assert!(info.snd_cwnd >= window, "{window} → {}", info.snd_cwnd);
}

#[test]
fn without_frto_the_whole_flight_goes_again() {
    let mut pair = Pair::connected(Config { frto: false, ..no_sack() }, no_sack(), Link::default());
    pair.transfer(Side::Client, 20_000, 5);
    pair.run_for(Duration::from_millis(100));
    pair.link.delay = Duration::from_millis(250);
    pair.write(Side::Client, &vec![1; 1460 * 40]);
    pair.run_for(Duration::from_millis(245));
    pair.link.delay = Duration::from_millis(10);
    pair.run_for(Duration::from_secs(2));
    assert!(pair.client.info(pair.now).total_retrans > 2);
    assert_eq!(spurious(&mut pair), 0);
}

#[test]
fn a_real_loss_is_not_taken_for_a_delay() {
    let mut pair = pair();
    let mut lose = 8;
    pair.filter = Some(Box::new(move |from, segment| {
        let lost = from == Side::Client && segment.payload_len() > 0 && lose > 0;
        lose -= i32::from(lost);
        !lost
    }));
    pair.write(Side::Client, &vec![1; 1460 * 8]);
    pair.write(Side::Client, &vec![2; 1460 * 30]);
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.client.info(pair.now).bytes_acked, 20_000 + 1460 * 38);
    assert_eq!(spurious(&mut pair), 0);
}
