//! Demands of RFC 9293 that no other test shows; `cargo xtask rfc` lists them all.

mod common;

use common::{Link, Pair, Side, segment};
use netspace_base::{Duration, Instant};
use netspace_tcp::{BufferSize, Config, Connection, Keepalive, State, TcpError};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

/// A client that has got its SYN-ACK, with these options and window.
fn opened(config: Config, options: TcpOptions, window: u16) -> (Instant, Connection) {
    let now = Instant::from_secs(5);
    let mut client = Connection::connect(config, now, SeqNum(100), 1460);
    client.poll_transmit(now).expect("SYN");
    let mut answer = segment(SeqNum(900), SeqNum(101), TcpFlags::SYN | TcpFlags::ACK, b"");
    (answer.options, answer.window) = (options, window);
    client.receive(now, answer).expect("the SYN-ACK is taken");
    assert_eq!(client.state(), State::Established);
    while client.poll_transmit(now).is_some() {}
    (now, client)
}

/// The bytes that leave at once.
fn sent(now: Instant, client: &mut Connection) -> Vec<usize> {
    std::iter::from_fn(|| client.poll_transmit(now)).map(|segment| segment.payload_len()).collect()
}

fn ack(number: u32, window: u16) -> netspace_tcp::Segment {
    netspace_tcp::Segment { window, ..segment(SeqNum(901), SeqNum(number), TcpFlags::ACK, b"") }
}

/// A window of more than 32767 bytes is one: nothing takes it for negative.
///
/// RFC 9293 MUST-1
#[test]
fn a_window_beyond_half_of_its_field_is_used_whole() {
    let config = Config { gso: false, send_buffer: BufferSize::fixed(1 << 20), ..Config::default() };
    let mss = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
    let (mut now, mut client) = opened(config, mss, 65_535);
    client.send(now, vec![7; 400_000].into());
    let (mut next, mut most) = (101, 0);
    for _ in 0..20 {
        let flight: usize = sent(now, &mut client).iter().sum();
        most = most.max(flight);
        now += Duration::from_millis(10);
        next += flight as u32;
        client.receive(now, ack(next, 65_535)).expect("taken");
    }
    assert!((40_000..=65_535).contains(&most), "{most} bytes in flight");
}

/// RFC 9293 MUST-15
#[test]
fn a_peer_that_tells_no_mss_gets_536_bytes() {
    let (now, mut client) = opened(Config { gso: false, ..Config::default() }, TcpOptions::default(), 60_000);
    client.send(now, vec![7; 3000].into());
    let sizes = sent(now, &mut client);
    assert!(sizes.len() > 3 && sizes[..3] == [536; 3], "{sizes:?}");
}

/// RFC 9293 MUST-28
#[test]
fn keepalives_wait_two_hours_unless_told_otherwise() {
    assert_eq!(Config::default().keepalive_times.idle, Duration::from_secs(7200));
    let mut pair = Pair::lan();
    let now = pair.now;
    pair.client.set_keepalive(now, true);
    pair.run_for(Duration::from_secs(7190));
    assert_eq!(pair.sent(Side::Client).len(), 0);
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.sent(Side::Client).len(), 1);
}

/// RFC 9293 MUST-29
#[test]
fn one_lost_answer_to_a_keepalive_ends_nothing() {
    let mut pair = Pair::lan();
    let times = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(10), probes: 4 };
    let now = pair.now;
    pair.client.set_keepalive_times(now, times);
    pair.client.set_keepalive(now, true);
    let mut lost = 0;
    pair.filter = Some(Box::new(move |from, _| {
        lost += i32::from(from == Side::Server);
        from == Side::Client || lost > 1
    }));
    pair.run_for(Duration::from_secs(1000));
    assert_eq!(pair.states(), (State::Established, State::Established));
    assert!(pair.sent(Side::Server).len() > 5, "the answers after it came");
}

/// A peer that takes its window back after we have sent into it.
///
/// RFC 9293 MUST-34
#[test]
fn a_window_taken_back_does_no_harm() {
    let config = Config { gso: false, ..Config::default() };
    let mss = TcpOptions { mss: Some(1000), ..TcpOptions::default() };
    let (mut now, mut client) = opened(config, mss, 8_000);
    client.send(now, vec![7; 20_000].into());
    assert_eq!(sent(now, &mut client).iter().sum::<usize>(), 8_000);
    now += Duration::from_millis(10);
    // 2,000 bytes have come; instead of 6,000 more only 1,000 may.
    client.receive(now, ack(2101, 1_000)).expect("taken");
    assert_eq!(client.state(), State::Established);
    assert_eq!(sent(now, &mut client).iter().sum::<usize>(), 0, "nothing new beyond the window");
    now += Duration::from_millis(10);
    client.receive(now, ack(8101, 4_000)).expect("what was sent before counts when it is acknowledged");
    assert_eq!(sent(now, &mut client).iter().sum::<usize>(), 4_000);
}

/// RFC 9293 MUST-60, MUST-61
#[test]
fn what_is_written_goes_out_and_its_end_is_pushed() {
    let mut pair =
        Pair::connected(Config { gso: false, ..Config::default() }, Config::default(), Link::default());
    pair.write(Side::Client, &[7; 5000]);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.server().recv_len(), 5000, "without a further call");
    let log = pair.sent(Side::Client);
    let data: Vec<_> = log.iter().filter(|sent| sent.segment.payload_len() > 0).collect();
    assert!(data.last().expect("segments").segment.flags.contains(TcpFlags::PSH));
}

/// RFC 9293 MUST-65
#[test]
fn only_syns_tell_an_mss() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    pair.run_until(5, |pair| pair.states() == (State::Established, State::Established));
    pair.transfer(Side::Client, 100_000, 10);
    pair.close(Side::Client);
    pair.close(Side::Server);
    pair.run_for(Duration::from_secs(2));
    let mut syns = 0;
    for side in [Side::Client, Side::Server] {
        for sent in pair.sent(side) {
            let syn = sent.segment.flags.contains(TcpFlags::SYN);
            assert_eq!(sent.segment.options.mss.is_some(), syn, "{:?}", sent.segment);
            syns += u32::from(syn);
        }
    }
    assert_eq!(syns, 2);
}

/// RFC 9293 MUST-66
#[test]
fn a_reset_counts_while_the_window_is_closed() {
    let small = Config { recv_buffer: BufferSize::fixed(2_000), ..Config::default() };
    let mut pair = Pair::connected(Config::default(), small, Link::default());
    pair.write(Side::Client, &[1; 8_000]);
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.sent(Side::Server).last().expect("an ACK").segment.window, 0);
    let next = pair.sent(Side::Server).last().expect("an ACK").segment.ack;
    pair.inject(Side::Server, segment(next, SeqNum(0), TcpFlags::RST, b""));
    pair.run_for(Duration::from_millis(50));
    assert_eq!(pair.server().state(), State::Closed);
    assert_eq!(pair.server().error(), Some(TcpError::Reset));
}
