//! Opening: options, retransmission of SYN, refusal, simultaneous open.

mod common;

use common::{Link, Pair, Side, segment};
use netspace_base::{Duration, Instant};
use netspace_tcp::{Config, Connection, Event, IcmpError, State, TcpError};
use netspace_wire::tcp::{SeqNum, TcpFlags};

/// RFC 9293 MUST-67
#[test]
fn options_are_negotiated() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.states(), (State::Established, State::Established));
    let syn = &pair.sent(Side::Client)[0].segment;
    assert_eq!(syn.flags, TcpFlags::SYN);
    assert_eq!(syn.options.mss, Some(1460));
    assert_eq!(syn.window, 64_240, "whole segments, not scaled");
    assert_eq!(syn.options.window_scale, Some(7));
    assert!(syn.options.sack_permitted && syn.options.timestamps.is_some());
    let answer = &pair.sent(Side::Server)[0].segment;
    assert_eq!(answer.flags, TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!(answer.ack, syn.seq + 1);
    assert_eq!(answer.window, 65_160);
    assert_eq!(answer.options.window_scale, Some(7));
    assert_eq!(answer.options.timestamps.map(|(_, echo)| echo), syn.options.timestamps.map(|(ts, _)| ts));
    assert_eq!(pair.client.mss(), 1448);
    assert!(pair.events(Side::Client).contains(&Event::Connected));
    assert!(pair.events(Side::Server).contains(&Event::Connected));
    let rtt = pair.client.info(pair.now).rtt;
    assert_eq!(rtt, Duration::from_millis(20));
}

#[test]
fn what_one_side_does_not_offer_is_not_used() {
    let plain = Config { timestamps: false, sack: false, window_scaling: false, ..Config::default() };
    let mut pair = Pair::connected(Config::default(), plain, Link::default());
    assert_eq!(pair.client.info(pair.now).options, 0);
    assert_eq!(pair.client.mss(), 1460);
    pair.write(Side::Client, b"hello");
    let sent = &pair.sent(Side::Client)[0].segment;
    assert!(sent.options.timestamps.is_none());
    assert_eq!(sent.window, 65_535);
}

/// RFC 9293 MUST-14
#[test]
fn a_smaller_mss_binds() {
    let small = Config { mss_max: 500, ..Config::default() };
    let mut pair = Pair::connected(Config { gso: false, ..Config::default() }, small, Link::default());
    pair.write(Side::Client, &[0; 2000]);
    assert!(pair.sent(Side::Client).iter().all(|sent| sent.segment.payload_len() <= 488));
}

/// RFC 9293 MUST-22
#[test]
fn a_lost_syn_is_sent_again_each_second_then_ever_later() {
    let link = Link { down: true, ..Link::default() };
    let mut pair = Pair::new(Config::default(), Config::default(), link);
    let begin = pair.now;
    pair.run_for(Duration::from_secs(300));
    let times: Vec<u64> = pair.sent(Side::Client).iter().map(|sent| (sent.at - begin).as_secs()).collect();
    assert_eq!(times, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    assert_eq!(pair.client.state(), State::Closed);
    assert_eq!(pair.client.error(), Some(TcpError::TimedOut));
    assert!(pair.events(Side::Client).contains(&Event::Closed));
}

#[test]
fn a_lost_syn_ack_is_sent_again() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    let mut drops = 2;
    pair.filter = Some(Box::new(move |from, _| {
        let lose = from == Side::Server && drops > 0;
        drops -= i32::from(lose);
        !lose
    }));
    pair.run_until(10, |pair| pair.states() == (State::Established, State::Established));
}

#[test]
fn a_lost_last_ack_of_the_handshake_is_made_good_by_data() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    let mut first = true;
    pair.filter = Some(Box::new(move |from, segment| {
        let lose = from == Side::Client && segment.flags == TcpFlags::ACK && first;
        first &= !lose;
        !lose
    }));
    pair.run_until(1, |pair| pair.client.state() == State::Established);
    pair.write(Side::Client, b"x");
    pair.run_until(1, |pair| pair.server.as_ref().is_some_and(|server| server.recv_len() == 1));
    assert_eq!(pair.server().state(), State::Established);
}

#[test]
fn a_reset_refuses() {
    let now = Instant::from_secs(5);
    let mut client = Connection::connect(Config::default(), now, SeqNum(100), 1460);
    let syn = client.poll_transmit(now).expect("SYN");
    // A reset that does not acknowledge the SYN is nothing (RFC 9293 §3.10.7.3).
    assert!(client.receive(now, segment(SeqNum(0), SeqNum(0), TcpFlags::RST, b"")).is_err());
    assert_eq!(client.state(), State::SynSent);
    let reset = segment(SeqNum(0), syn.seq + 1, TcpFlags::RST | TcpFlags::ACK, b"");
    assert!(client.receive(now, reset).is_err());
    assert_eq!(client.error(), Some(TcpError::Refused));
    assert_eq!(client.poll_transmit(now), None);
    assert_eq!(client.next_timeout(), None);
}

#[test]
fn an_ack_for_something_else_is_reset() {
    let now = Instant::from_secs(5);
    let mut client = Connection::connect(Config::default(), now, SeqNum(100), 1460);
    client.poll_transmit(now).expect("SYN");
    assert!(client.receive(now, segment(SeqNum(9), SeqNum(5_000), TcpFlags::ACK, b"")).is_err());
    let reset = client.poll_transmit(now).expect("RST");
    assert_eq!((reset.flags, reset.seq), (TcpFlags::RST, SeqNum(5_000)));
    assert_eq!(client.state(), State::SynSent);
}

/// RFC 9293 MUST-47, MUST-56
#[test]
fn icmp_ends_opening_but_only_explains_later() {
    let now = Instant::from_secs(5);
    let mut client = Connection::connect(Config::default(), now, SeqNum(100), 1460);
    client.poll_transmit(now).expect("SYN");
    assert!(client.is_in_flight(SeqNum(100)) && !client.is_in_flight(SeqNum(101)));
    client.on_icmp_error(IcmpError::HostUnreachable);
    assert_eq!(client.error(), Some(TcpError::HostUnreachable));

    let mut pair = Pair::lan();
    pair.client.on_icmp_error(IcmpError::HostUnreachable);
    assert_eq!(pair.client.state(), State::Established);
    pair.link.down = true;
    pair.write(Side::Client, b"x");
    pair.client.on_icmp_error(IcmpError::HostUnreachable);
    pair.run_for(Duration::from_secs(3_000));
    assert_eq!(pair.client.error(), Some(TcpError::HostUnreachable));
}

/// RFC 9293 MUST-10
#[test]
fn simultaneous_open_connects_once() {
    let now = Instant::from_secs(1);
    let mut a = Connection::connect(Config::default(), now, SeqNum(100), 1460);
    let mut b = Connection::connect(Config::default(), now, SeqNum(900), 1460);
    let (syn_a, syn_b) = (a.poll_transmit(now).expect("SYN"), b.poll_transmit(now).expect("SYN"));
    a.receive(now, syn_b).expect("SYN");
    b.receive(now, syn_a).expect("SYN");
    assert_eq!((a.state(), b.state()), (State::SynReceived, State::SynReceived));
    for _ in 0..4 {
        while let Some(segment) = a.poll_transmit(now) {
            let _ = b.receive(now, segment);
        }
        while let Some(segment) = b.poll_transmit(now) {
            let _ = a.receive(now, segment);
        }
    }
    assert_eq!((a.state(), b.state()), (State::Established, State::Established));
    assert_eq!(a.send(now, "hi".into()), 2);
    b.receive(now, a.poll_transmit(now).expect("data")).expect("data");
    assert_eq!(b.recv(now, 10).concat(), b"hi");
}

#[test]
fn data_may_be_written_before_the_handshake_is_done() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    assert_eq!(pair.write(Side::Client, b"early"), 5);
    pair.run_until(1, |pair| pair.server.as_ref().is_some_and(|server| server.recv_len() == 5));
}

#[test]
fn a_repeated_syn_is_answered_again() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    let syn = pair.log[0].segment.clone();
    pair.run_until(1, |pair| pair.server.is_some());
    pair.inject(Side::Server, syn);
    let answers = pair.sent(Side::Server);
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(|sent| sent.segment.flags == TcpFlags::SYN | TcpFlags::ACK));
}

#[test]
fn an_idle_connection_is_small() {
    let size = size_of::<Connection>();
    assert!(size <= 1536, "{size} bytes");
    assert!(size_of::<netspace_tcp::TimeWait>() <= 64);
}
