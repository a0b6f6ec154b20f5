//! Explicit congestion notification: what is agreed on, what is marked, who is told, and what the window does.

mod common;

use common::{Link, Pair, Side};
use netspace_base::Duration;
use netspace_tcp::{Config, EcnKind, EcnPolicy, State};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::TcpFlags;

const CLASSIC: u32 = 1;
const ACCURATE: u32 = 3;
const BITS: TcpFlags = TcpFlags::AE.union(TcpFlags::CWR).union(TcpFlags::ECE);

fn config(sysctl: u32) -> Config {
    Config { ecn: EcnPolicy::of_sysctl(sysctl), gso: false, ..Config::default() }
}

fn pair(client: u32, server: u32) -> Pair {
    let mut pair = Pair::new(config(client), config(server), Link::default());
    pair.run_until(10, |pair| pair.states() == (State::Established, State::Established));
    pair
}

/// ECE, CWR and AE of the segments, as three bits.
fn ace(flags: TcpFlags) -> u16 {
    (flags & BITS).bits() >> 6
}

#[test]
fn the_sysctl_says_what_is_asked_for_and_granted() {
    // (client, server) -> SYN, SYN-ACK, ECN agreed on
    let cases = [
        (0, 1, 0b000, 0b000, false),
        (2, 2, 0b000, 0b000, false),
        (1, 2, 0b011, 0b001, true),
        (1, 0, 0b011, 0b000, false),
        (1, 5, 0b011, 0b001, true),
        (4, 4, 0b011, 0b001, true),
        (3, 1, 0b111, 0b001, true),
        (3, 0, 0b111, 0b000, false),
        (3, 3, 0b111, 0b010, true),
        (3, 5, 0b111, 0b010, true),
    ];
    for (client, server, syn, answer, agreed) in cases {
        let pair = pair(client, server);
        assert_eq!(ace(pair.sent(Side::Client)[0].segment.flags), syn, "SYN of {client} to {server}");
        assert_eq!(ace(pair.sent(Side::Server)[0].segment.flags), answer, "SYN-ACK of {server} to {client}");
        assert_eq!(pair.client.info(pair.now).options & 8 != 0, agreed, "{client} to {server}");
        let server = pair.server.as_ref().unwrap();
        assert_eq!(server.info(pair.now).options & 8 != 0, agreed);
        let handshake = pair.log.iter().filter(|sent| sent.segment.flags.contains(TcpFlags::SYN));
        assert!(handshake.into_iter().all(|sent| sent.segment.ecn == Ecn::NotEct), "RFC 3168 §6.1.1");
    }
    assert_eq!(EcnPolicy::of_sysctl(4), EcnPolicy { ask: EcnKind::Classic, grant: EcnKind::Accurate });
}

#[test]
fn a_syn_that_is_lost_asks_for_less_the_next_time() {
    for (sysctl, asked) in [(CLASSIC, [0b011, 0, 0]), (ACCURATE, [0b111, 0b111, 0])] {
        let down = Link { down: true, ..Link::default() };
        let mut pair = Pair::new(config(sysctl), config(sysctl), down.clone());
        pair.run_for(Duration::from_millis(2_500));
        let sent: Vec<u16> = pair.sent(Side::Client).iter().map(|sent| ace(sent.segment.flags)).collect();
        assert_eq!(sent, asked);
        let stubborn = Config { ecn_fallback: false, ..config(sysctl) };
        let mut pair = Pair::new(stubborn, config(sysctl), down);
        pair.run_for(Duration::from_millis(2_500));
        assert!(pair.sent(Side::Client).iter().all(|sent| ace(sent.segment.flags) == asked[0]));
    }
}

#[test]
fn only_new_data_is_ecn_capable() {
    let mut pair = pair(CLASSIC, CLASSIC);
    pair.log.clear();
    let mut lose = 1;
    pair.filter = Some(Box::new(move |from, segment| {
        let lost = from == Side::Client && segment.payload_len() > 0 && lose > 0;
        lose -= i32::from(lost);
        !lost
    }));
    pair.transfer(Side::Client, 200_000, 10);
    let mut seen = std::collections::BTreeSet::new();
    for sent in pair.sent(Side::Client) {
        let again = !seen.insert(sent.segment.seq.0);
        let capable = sent.segment.payload_len() > 0 && !again;
        let want = if capable { Ecn::Ect0 } else { Ecn::NotEct };
        assert_eq!(sent.segment.ecn, want, "{:?}, again: {again}", sent.segment.seq);
    }
    assert!(pair.sent(Side::Server).iter().all(|sent| sent.segment.ecn == Ecn::NotEct), "pure ACKs");
    let now = pair.now;
    assert_eq!(pair.server().info(now).options & 16, 16, "ECN-capable packets were seen");
}

#[test]
fn a_mark_halves_the_window_once_a_round_trip_and_is_echoed_until_cwr() {
    let mut pair = pair(CLASSIC, CLASSIC);
    pair.transfer(Side::Client, 300_000, 10);
    pair.run_for(Duration::from_millis(100));
    pair.log.clear();
    let before = pair.client.info(pair.now).snd_cwnd;
    // Every packet of the first flight is marked, nothing later.
    let mut marks = 5;
    pair.marker = Some(Box::new(move |from, _| {
        marks -= i32::from(from == Side::Client);
        from == Side::Client && marks >= 0
    }));
    pair.transfer(Side::Client, 1_500_000, 10);
    let after = pair.client.info(pair.now);
    assert!(
        after.snd_ssthresh * 10 <= before * 7 + 10 && after.snd_ssthresh * 10 >= before * 6,
        "{before} → {after:?}"
    );
    assert_eq!(after.total_retrans, 0, "nothing was lost");
    let cwr: Vec<_> =
        pair.sent(Side::Client).into_iter().filter(|s| s.segment.flags.contains(TcpFlags::CWR)).collect();
    assert_eq!(cwr.len(), 1, "told once");
    assert!(cwr[0].segment.payload_len() > 0 && cwr[0].segment.ecn == Ecn::Ect0);
    let told_at = cwr[0].at + Duration::from_millis(10);
    for ack in pair.sent(Side::Server) {
        if ack.segment.flags.contains(TcpFlags::ECE) {
            assert!(ack.at <= told_at, "echoed at {:?} although CWR had come", ack.at);
        }
    }
    assert!(pair.sent(Side::Server).iter().filter(|s| s.segment.flags.contains(TcpFlags::ECE)).count() > 5);
    assert!(pair.client.info(pair.now).delivered_ce > 0);
}

#[test]
fn a_loss_is_told_with_cwr_too() {
    let mut pair = pair(CLASSIC, CLASSIC);
    pair.transfer(Side::Client, 100_000, 10);
    pair.log.clear();
    let mut lose = 1;
    pair.filter = Some(Box::new(move |from, segment| {
        let lost = from == Side::Client && segment.payload_len() > 0 && lose > 0;
        lose -= i32::from(lost);
        !lost
    }));
    pair.transfer(Side::Client, 300_000, 10);
    let cwr: Vec<_> =
        pair.sent(Side::Client).into_iter().filter(|s| s.segment.flags.contains(TcpFlags::CWR)).collect();
    assert_eq!(cwr.len(), 1);
    assert_eq!(cwr[0].segment.ecn, Ecn::Ect0, "on new data, not on what is sent again");
}

#[test]
fn cwr_is_on_the_first_piece_of_a_large_segment_only() {
    let with_gso = Config { gso: true, ..config(CLASSIC) };
    let mut pair = Pair::new(with_gso, config(CLASSIC), Link { cut: false, ..Link::default() });
    pair.run_until(10, |pair| pair.states() == (State::Established, State::Established));
    pair.transfer(Side::Client, 300_000, 10);
    pair.log.clear();
    let mut marks = 1;
    pair.marker = Some(Box::new(move |from, _| {
        marks -= i32::from(from == Side::Client);
        from == Side::Client && marks >= 0
    }));
    pair.transfer(Side::Client, 600_000, 10);
    let cwr: Vec<_> =
        pair.sent(Side::Client).into_iter().filter(|s| s.segment.flags.contains(TcpFlags::CWR)).collect();
    assert_eq!(cwr.len(), 1);
    assert!(!cwr[0].segment.accurate_ecn, "whoever cuts it leaves CWR on the first piece alone");
}

#[test]
fn the_accurate_counter_tells_every_marked_packet() {
    let mut pair = pair(ACCURATE, ACCURATE);
    let ack = &pair.sent(Side::Client)[1].segment;
    assert_eq!(ace(ack.flags), 0b010, "the SYN-ACK was not ECN-capable");
    assert!(pair.sent(Side::Server)[0].segment.options.acc_ecn.is_some(), "the path is asked for the option");
    pair.log.clear();
    let mut nth = 0;
    pair.marker = Some(Box::new(move |from, _| {
        nth += u32::from(from == Side::Client);
        from == Side::Client && nth % 7 == 0
    }));
    pair.transfer(Side::Client, 400_000, 10);
    pair.run_for(Duration::from_secs(1));
    let now = pair.now;
    let (sender, receiver) = (pair.client.info(now), pair.server().info(now));
    assert!(receiver.received_ce > 20, "{}", receiver.received_ce);
    assert_eq!(sender.delivered_ce, receiver.received_ce);
    assert_eq!(sender.delivered_ecn_bytes, receiver.received_ecn_bytes);
    assert_eq!(receiver.received_ecn_bytes.iter().sum::<u32>(), 400_000);
    let last = pair.sent(Side::Server).last().unwrap().segment.flags;
    assert_eq!(u32::from(ace(last)), (receiver.received_ce + 5) & 7);
    assert!(sender.snd_ssthresh < 1000, "the window fell");
    assert!(pair.log.iter().all(|sent| sent.segment.ecn == Ecn::Ect0), "everything is ECN-capable");
}

#[test]
fn a_path_that_changes_the_field_ends_accurate_marking() {
    // The server believes that the SYN was ECN-capable: something on the path made it so.
    let mut pair = Pair::new(config(ACCURATE), config(ACCURATE), Link::default());
    let syn = pair.sent(Side::Client)[0].segment.clone();
    pair.inject(Side::Server, netspace_tcp::Segment { ecn: Ecn::Ect0, ..syn });
    pair.run_until(10, |pair| pair.client.state() == State::Established);
    assert_eq!(ace(pair.sent(Side::Server)[0].segment.flags), 0b100);
    pair.log.clear();
    pair.transfer(Side::Client, 20_000, 10);
    assert!(pair.sent(Side::Client).iter().all(|sent| sent.segment.ecn == Ecn::NotEct));
}

#[test]
fn a_path_that_wipes_the_counter_ends_accurate_marking() {
    let mut pair = Pair::new(config(ACCURATE), config(ACCURATE), Link::default());
    pair.run_until(10, |pair| pair.client.state() == State::Established);
    let mut ack = pair.sent(Side::Client)[1].segment.clone();
    ack.flags.remove(BITS);
    pair.inject(Side::Server, ack);
    pair.log.clear();
    pair.transfer(Side::Server, 20_000, 10);
    assert!(pair.sent(Side::Server).iter().all(|sent| sent.segment.ecn == Ecn::NotEct));
}
