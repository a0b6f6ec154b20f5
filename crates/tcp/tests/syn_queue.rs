//! The SYN queue's small entries behave as a whole connection in SYN-RECEIVED would.

mod common;

use std::sync::Arc;

use common::segment;
use netspace_base::{Duration, Instant};
use netspace_tcp::{Config, Connection, Segment, State, SynReceived, SynVerdict};
use netspace_wire::tcp::{SeqNum, TcpFlags};

const ISS: SeqNum = SeqNum(5_000);

fn begin() -> (Instant, Connection, Segment, SynReceived) {
    let now = Instant::from_secs(3);
    let mut client = Connection::connect(Config::default(), now, SeqNum(100), 1460);
    let syn = client.poll_transmit(now).expect("SYN");
    let entry = SynReceived::new(&Config::default(), now, ISS, &syn, 1460, 0);
    (now, client, syn, entry)
}

#[test]
fn it_answers_and_becomes_a_connection() {
    let (mut now, mut client, syn, mut entry) = begin();
    let config = Arc::new(Config::default());
    let answer = entry.syn_ack(&config, now);
    let whole = Connection::accept(Arc::clone(&config), now, ISS, &syn, 1460).poll_transmit(now);
    assert_eq!(Some(&answer), whole.as_ref());
    now += Duration::from_millis(30);
    client.receive(now, answer).expect("SYN-ACK");
    client.send(now, "hello".into());
    let ack = client.poll_transmit(now).expect("ACK with data");
    now += Duration::from_millis(30);
    assert!(matches!(entry.receive(&config, now, &ack), SynVerdict::Complete));
    let mut server = entry.into_connection(&config, now, ack);
    assert_eq!(server.state(), State::Established);
    assert_eq!(server.recv(now, 100).concat(), b"hello");
    assert_eq!(server.info(now).rtt, Duration::from_millis(60));
    assert_eq!(server.info(now).options, 7);
    server.send(now, "hi".into());
    let data = server.poll_transmit(now).expect("data");
    assert_eq!(client.receive(now, data), Ok(()));
    assert_eq!(client.recv(now, 10).concat(), b"hi");
}

#[test]
fn the_syn_ack_is_sent_again_five_times() {
    let (begin, _, _, mut entry) = begin();
    let config = Arc::new(Config::default());
    let mut at = Vec::new();
    loop {
        let now = entry.next_timeout();
        let Some(again) = entry.on_timeout(&config, now) else { break };
        assert_eq!(again.flags, TcpFlags::SYN | TcpFlags::ACK);
        at.push((now - begin).as_secs());
    }
    assert_eq!(at, [1, 3, 7, 15, 31]);
}

#[test]
fn resets_and_strangers() {
    let (now, _, syn, mut entry) = begin();
    let config = Arc::new(Config::default());
    let mut receive = |segment| entry.receive(&config, now, &segment);
    let SynVerdict::Answer(again, _) = receive(syn.clone()) else { panic!("the SYN-ACK again") };
    assert_eq!(again.flags, TcpFlags::SYN | TcpFlags::ACK);
    let next = syn.seq + 1;
    let SynVerdict::Answer(reset, _) = receive(segment(next, ISS + 9, TcpFlags::ACK, b"")) else {
        panic!("RST")
    };
    assert_eq!((reset.flags, reset.seq), (TcpFlags::RST, ISS + 9));
    let SynVerdict::Answer(challenge, _) = receive(segment(next + 5, ISS + 1, TcpFlags::RST, b"")) else {
        panic!("a challenge ACK")
    };
    assert_eq!((challenge.flags, challenge.seq, challenge.ack), (TcpFlags::ACK, ISS + 1, next));
    assert!(matches!(receive(segment(next - 50, ISS + 1, TcpFlags::RST, b"")), SynVerdict::Drop(_)));
    assert!(matches!(
        receive(segment(next + 1_000_000, ISS + 1, TcpFlags::ACK, b"")),
        SynVerdict::Answer(..)
    ));
    assert!(matches!(receive(segment(next, ISS + 1, TcpFlags::RST, b"")), SynVerdict::End(_)));
}

#[test]
fn an_entry_is_small() {
    assert!(size_of::<SynReceived>() <= 64, "{}", size_of::<SynReceived>());
}
