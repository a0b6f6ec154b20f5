//! When to send and when to acknowledge: windows, Nagle, cork, delayed ACKs, keepalive, urgent data.

mod common;

use bytes::Bytes;
use common::{Link, Pair, Side};
use netspace_base::Duration;
use netspace_tcp::{BufferSize, Config, Event, Keepalive, SendFlags, State, TcpError};
use netspace_wire::tcp::TcpFlags;

fn data_lens(pair: &Pair, side: Side) -> Vec<usize> {
    pair.sent(side).iter().map(|sent| sent.segment.payload_len()).filter(|&len| len > 0).collect()
}

fn bare_acks(pair: &Pair, side: Side) -> usize {
    pair.sent(side).iter().filter(|sent| sent.segment.payload.is_empty()).count()
}

fn small_receiver(bytes: u32) -> Config {
    Config { recv_buffer: BufferSize::fixed(bytes), ..Config::default() }
}

/// RFC 9293 MUST-38
#[test]
fn nagle_holds_small_writes_until_the_ack() {
    let mut pair = Pair::lan();
    for _ in 0..10 {
        pair.write(Side::Client, b"ten bytes!");
    }
    assert_eq!(data_lens(&pair, Side::Client), [10]);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(data_lens(&pair, Side::Client), [10, 90]);
}

/// RFC 9293 MUST-17
#[test]
fn nodelay_sends_each_write() {
    let mut pair = Pair::lan();
    pair.client.set_nodelay(true);
    for _ in 0..10 {
        pair.write(Side::Client, b"ten bytes!");
    }
    assert_eq!(data_lens(&pair, Side::Client), [10; 10]);
}

#[test]
fn nagle_lets_whole_segments_and_the_last_rest_go() {
    let mut pair = Pair::lan();
    pair.write(Side::Client, &[0; 3_000]);
    assert_eq!(data_lens(&pair, Side::Client), [3_000]);
    pair.write(Side::Client, &[0; 3_000]);
    assert_eq!(data_lens(&pair, Side::Client), [3_000, 2_896]);
}

#[test]
fn cork_holds_back_until_uncorked_or_a_timeout() {
    let mut pair = Pair::lan();
    pair.client.set_cork(true);
    pair.write(Side::Client, &[0; 100]);
    assert!(data_lens(&pair, Side::Client).is_empty());
    pair.client.set_cork(false);
    pair.transmit();
    assert_eq!(data_lens(&pair, Side::Client), [100]);

    let mut pair = Pair::lan();
    pair.client.set_cork(true);
    pair.write(Side::Client, &[0; 2_000]);
    assert_eq!(data_lens(&pair, Side::Client), [1_448]);
    let begin = pair.now;
    pair.run_until(1, |pair| data_lens(pair, Side::Client).len() == 2);
    let waited = (pair.now - begin).as_millis();
    // A round trip until the first segment is acknowledged, then the retransmission timeout, as Linux 6.18 does.
    assert!((230..=250).contains(&waited), "{waited} ms");
}

#[test]
fn more_waits_for_the_next_write_and_fin_flushes() {
    let mut pair = Pair::lan();
    let now = pair.now;
    pair.client.send_with(now, Bytes::from_static(b"head"), SendFlags { more: true, urgent: false });
    pair.transmit();
    assert!(data_lens(&pair, Side::Client).is_empty());
    pair.write(Side::Client, b"body");
    assert_eq!(data_lens(&pair, Side::Client), [8]);
    pair.run_for(Duration::from_millis(50));
    pair.client.send_with(pair.now, Bytes::from_static(b"tail"), SendFlags { more: true, urgent: false });
    pair.shutdown(Side::Client);
    let last = &pair.sent(Side::Client).last().expect("FIN").segment;
    assert_eq!(last.payload_len(), 4);
    // As on Linux: the end of a write with MORE is not pushed, not by FIN either.
    assert_eq!(last.flags & (TcpFlags::FIN | TcpFlags::PSH), TcpFlags::FIN);
}

/// RFC 9293 MUST-35
#[test]
fn a_full_window_is_probed_until_it_opens() {
    let mut pair = Pair::connected(Config::default(), small_receiver(10_000), Link::default());
    pair.write(Side::Client, &[5; 30_000]);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.server().recv_len(), 8_688, "the whole segments that fit 10,000 bytes");
    let probes = pair.sent(Side::Client).iter().filter(|sent| sent.segment.payload.is_empty()).count();
    assert!((3..=6).contains(&probes), "{probes} probes, each waiting twice as long");
    let mut total = pair.read(Side::Server, 20_000).len();
    pair.run_until(10, |pair| {
        total += pair.read(Side::Server, 20_000).len();
        total == 30_000
    });
}

/// RFC 9293 MUST-36
#[test]
fn a_lost_window_update_is_made_good_by_a_probe() {
    let mut pair = Pair::connected(Config::default(), small_receiver(10_000), Link::default());
    pair.write(Side::Client, &[5; 20_000]);
    pair.run_for(Duration::from_millis(100));
    pair.link.down = true;
    pair.read(Side::Server, 10_000);
    pair.run_for(Duration::from_millis(30));
    pair.link.down = false;
    pair.run_until(5, |pair| pair.server().recv_len() == 10_000);
}

/// RFC 9293 MUST-37
#[test]
fn a_zero_window_may_last_while_probes_are_answered() {
    let mut pair = Pair::connected(Config::default(), small_receiver(5_000), Link::default());
    pair.write(Side::Client, &[5; 20_000]);
    pair.run_for(Duration::from_secs(4_000));
    assert_eq!(pair.states(), (State::Established, State::Established));
    pair.link.down = true;
    pair.run_for(Duration::from_secs(4_000));
    assert_eq!(pair.client.error(), Some(TcpError::TimedOut));
}

#[test]
fn the_window_never_shrinks_and_opens_by_worthwhile_steps() {
    let mut pair = Pair::connected(Config::default(), small_receiver(20_000), Link::default());
    let mut edge = 0u32;
    for round in 0..40 {
        pair.write(Side::Client, &[5; 5_000]);
        pair.run_for(Duration::from_millis(300));
        pair.read(Side::Server, 100 + round * 40);
        for sent in pair.sent(Side::Server) {
            let now = sent.segment.ack.0.wrapping_add(u32::from(sent.segment.window));
            assert!(edge == 0 || now.wrapping_sub(edge) as i32 >= 0, "the right edge moved back");
            edge = now;
        }
        pair.log.clear();
    }
}

/// RFC 9293 MUST-39
#[test]
fn small_reads_do_not_cause_small_segments() {
    let mut pair = Pair::connected(Config::default(), small_receiver(20_000), Link::default());
    pair.write(Side::Client, &[5; 60_000]);
    pair.run_for(Duration::from_millis(150));
    pair.log.clear();
    let mut total = 0;
    for _ in 0..200 {
        total += pair.read(Side::Server, 100).len();
        pair.run_for(Duration::from_millis(1));
    }
    assert_eq!(total, 20_000);
    assert!(
        data_lens(&pair, Side::Client).iter().all(|&len| len >= 1_000),
        "{:?}",
        data_lens(&pair, Side::Client)
    );
}

/// RFC 9293 MUST-58
#[test]
fn acks_are_quick_at_first_and_then_for_every_second_segment() {
    let config = Config { gso: false, ..Config::default() };
    let mut pair = Pair::connected(config.clone(), config, Link::default());
    pair.transfer(Side::Client, 1 << 20, 10);
    let data = data_lens(&pair, Side::Client).len();
    let acks = bare_acks(&pair, Side::Server);
    assert!(acks < data * 6 / 10 && acks > data * 4 / 10, "{acks} ACKs for {data} segments");
}

/// RFC 9293 MUST-40
#[test]
fn a_lone_segment_is_acknowledged_after_the_delay() {
    let mut pair = Pair::lan();
    pair.transfer(Side::Client, 100_000, 10);
    pair.run_for(Duration::from_millis(150));
    pair.log.clear();
    pair.write(Side::Client, b"one");
    let begin = pair.now;
    pair.run_until(1, |pair| bare_acks(pair, Side::Server) == 1);
    let waited = pair.now - begin;
    assert_eq!(waited.as_millis(), 50, "10 ms on the way, 40 ms delay");
}

#[test]
fn answers_carry_the_ack() {
    let mut pair = Pair::lan();
    for _ in 0..20 {
        pair.write(Side::Client, b"request");
        pair.run_until(1, |pair| pair.server().recv_len() > 0);
        pair.read(Side::Server, 100);
        pair.write(Side::Server, b"answer");
        pair.run_until(1, |pair| pair.client.recv_len() > 0);
        pair.read(Side::Client, 100);
    }
    let bare = bare_acks(&pair, Side::Client) + bare_acks(&pair, Side::Server);
    assert!(bare <= 24, "{bare} bare ACKs for 40 messages");
}

#[test]
fn a_super_segment_is_acknowledged_at_once() {
    let mut pair =
        Pair::connected(Config::default(), Config::default(), Link { cut: false, ..Link::default() });
    pair.transfer(Side::Client, 200_000, 10);
    pair.run_for(Duration::from_millis(300));
    pair.log.clear();
    pair.write(Side::Client, &[1; 2_900]);
    let begin = pair.now;
    pair.run_until(1, |pair| bare_acks(pair, Side::Server) == 1);
    assert_eq!((pair.now - begin).as_millis(), 10);
}

/// RFC 9293 MUST-24, MUST-26, MUST-27
#[test]
fn keepalive_finds_a_dead_peer() {
    let mut pair = Pair::lan();
    let times = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 4 };
    let now = pair.now;
    pair.client.set_keepalive_times(now, times);
    pair.client.set_keepalive(now, true);
    pair.run_for(Duration::from_secs(200));
    assert_eq!(pair.client.state(), State::Established);
    let probes = pair.sent(Side::Client).len();
    assert_eq!(probes, 3, "one a minute while the peer answers");
    pair.link.down = true;
    let begin = pair.now;
    pair.run_until(200, |pair| pair.client.state() == State::Closed);
    assert!((pair.now - begin).as_secs() <= 100);
    assert_eq!(pair.client.error(), Some(TcpError::TimedOut));
}

/// RFC 9293 MUST-25
#[test]
fn without_keepalive_an_idle_connection_has_no_timers() {
    let mut pair = Pair::lan();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.client.next_timeout(), None);
    assert_eq!(pair.server().next_timeout(), None);
}

#[test]
fn writable_comes_back_when_a_third_is_free() {
    let config = Config { send_buffer: BufferSize::fixed(30_000), ..Config::default() };
    let mut pair = Pair::connected(config, Config::default(), Link::default());
    pair.events(Side::Client);
    assert_eq!(pair.write(Side::Client, &[0; 50_000]), 30_000);
    assert!(!pair.client.is_writable());
    assert_eq!(pair.events(Side::Client), []);
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.events(Side::Client), [Event::Writable]);
    assert!(pair.client.is_writable());
}

#[test]
fn an_urgent_byte_is_taken_out_of_the_stream() {
    let mut pair = Pair::lan();
    let now = pair.now;
    pair.write(Side::Client, b"before");
    pair.client.send_with(now, Bytes::from_static(b"!"), SendFlags { more: false, urgent: true });
    pair.transmit();
    pair.write(Side::Client, b"after");
    pair.run_for(Duration::from_millis(200));
    assert!(pair.events(Side::Server).contains(&Event::Urgent));
    assert!(pair.server().has_urgent());
    assert_eq!(pair.server().recv_urgent(false), Some(b'!'));
    assert_eq!(pair.server().recv_urgent(false), None);
    assert_eq!(pair.read(Side::Server, 100), b"before");
    assert!(pair.server().at_mark());
    assert_eq!(pair.read(Side::Server, 100), b"after");
}

#[test]
fn an_urgent_byte_can_stay_inline() {
    let mut pair = Pair::lan();
    pair.server().set_oob_inline(true);
    let now = pair.now;
    pair.client.send_with(now, Bytes::from_static(b"ab!"), SendFlags { more: false, urgent: true });
    pair.transmit();
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.server().recv_urgent(false), None);
    assert_eq!(pair.read(Side::Server, 100), b"ab");
    assert!(pair.server().at_mark());
    assert_eq!(pair.read(Side::Server, 100), b"!");
}

#[test]
fn peek_leaves_the_data() {
    let mut pair = Pair::lan();
    pair.write(Side::Client, b"look");
    pair.run_for(Duration::from_millis(50));
    assert_eq!(pair.server().peek(2).concat(), b"lo");
    assert_eq!(pair.server().peek(100).concat(), b"look");
    assert_eq!(pair.server().recv_len(), 4);
    assert_eq!(pair.read(Side::Server, 100), b"look");
}

#[test]
fn byte_by_byte_writes_are_joined() {
    let mut pair = Pair::lan();
    for n in 0..5_000u32 {
        pair.write(Side::Client, &[n as u8]);
    }
    pair.run_until(5, |pair| pair.server().recv_len() == 5_000);
    let data: Vec<u8> = pair.read(Side::Server, 10_000);
    assert!(data.iter().enumerate().all(|(n, &byte)| byte == n as u8));
    assert!(data_lens(&pair, Side::Client).len() < 12);
}
