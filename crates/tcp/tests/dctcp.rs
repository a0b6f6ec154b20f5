//! DCTCP: ECN without being asked for, and marks that come back one by one.

mod common;

use common::{Link, Pair, Side, segment};
use netspace_tcp::{Config, CongestionKind, ControllerInfo, EcnPolicy, State};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::TcpFlags;

fn dctcp() -> Config {
    Config {
        congestion: CongestionKind::Dctcp,
        ecn: EcnPolicy::of_sysctl(0),
        gso: false,
        ..Config::default()
    }
}

fn enabled(pair: &Pair) -> bool {
    match pair.client.controller_info() {
        Some(ControllerInfo::Dctcp(info)) => info.enabled,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_asks_for_ecn_whatever_the_sysctl_says() {
    let pair = Pair::connected(dctcp(), dctcp(), Link::default());
    assert!(enabled(&pair));
    assert_eq!(pair.client.info(pair.now).options & 8, 8);
    let refusing = Config { ecn: EcnPolicy::of_sysctl(0), ..Config::default() };
    let pair = Pair::connected(dctcp(), refusing, Link::default());
    assert!(!enabled(&pair), "it is Reno then");
}

/// What the server's ACKs say of data segments with these marks: the number that each acknowledges, and ECE.
fn echoes(marks: &[bool]) -> Vec<(u32, bool)> {
    let mut pair = Pair::new(dctcp(), dctcp(), Link::default());
    pair.run_until(10, |pair| pair.states() == (State::Established, State::Established));
    // The first segments are acknowledged at once in any case.
    for _ in 0..20 {
        pair.write(Side::Client, &[0; 1448]);
        pair.run_for(netspace_base::Duration::from_millis(200));
        pair.read(Side::Server, usize::MAX);
    }
    let (seq, ack) = {
        let last = pair.sent(Side::Server).last().expect("it acknowledged").segment.clone();
        (last.ack, last.seq)
    };
    let options = pair.sent(Side::Client).last().expect("it sent").segment.options.clone();
    pair.log.clear();
    for (index, &marked) in marks.iter().enumerate() {
        let mut data = segment(seq + index * 1448, ack, TcpFlags::ACK, &[0; 1448]);
        data.options = options.clone();
        data.ecn = if marked { Ecn::Ce } else { Ecn::Ect0 };
        pair.inject(Side::Server, data);
    }
    pair.sent(Side::Server)
        .iter()
        .map(|sent| ((sent.segment.ack - seq) as u32 / 1448, sent.segment.flags.contains(TcpFlags::ECE)))
        .collect()
}

#[test]
fn each_change_of_the_mark_is_told_at_once_and_what_came_before_it_as_it_was() {
    // Unmarked: an ACK for every second segment. A mark after a segment that waits: that one first, without ECE.
    assert_eq!(echoes(&[false, true]), [(1, false), (2, true)]);
    assert_eq!(echoes(&[false, false, true]), [(2, false), (3, true)]);
    assert_eq!(echoes(&[true, true, true, false]), [(1, true), (3, true), (4, false)]);
    assert_eq!(echoes(&[true, true, false]), [(1, true), (2, true), (3, false)]);
}
