//! TCP Fast Open as programs use it (RFC 7413).

mod sock_common;

use std::time::Duration;

use netspace_base::{Bytes, Pkt};
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{Connect, Message, OptName, Readiness, SockError, SockId, SockOpt};
use netspace_wire::tcp::{TcpFlags, TcpRepr};
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);
const TO: &str = "10.0.0.2:80";

fn fast_send(net: &mut Net, s: SockId, data: &[u8]) -> Result<usize, SockError> {
    let message = Message {
        data: Bytes::copy_from_slice(data),
        to: Some(TO.parse().unwrap()),
        fast_open: true,
        ..Message::default()
    };
    net.call(A, |ns, t| ns.send(t, s, message))
}

fn set(net: &mut Net, n: usize, s: SockId, option: SockOpt) {
    net.call(n, |ns, t| ns.set_option(t, s, option)).unwrap();
}

/// A listener that takes Fast Open, and a client's host that may ask for it.
fn net_with_listener() -> (Net, SockId) {
    let mut net = Net::new();
    net.sysctl(B, "ipv4.tcp_fastopen", "2");
    let l = net.listener(B, "0.0.0.0:80", 8);
    set(&mut net, B, l, SockOpt::TcpFastOpen(2));
    (net, l)
}

/// The same after a first connection, by which the client has its cookie.
fn net_with_cookie() -> (Net, SockId) {
    let (mut net, l) = net_with_listener();
    let c = net.tcp(A);
    assert_eq!(
        fast_send(&mut net, c, b"first"),
        Err(SockError::InProgress),
        "no cookie yet: it is asked for"
    );
    net.advance(MS * 5);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenCookieReqd), 1);
    net.send(A, c, b"first").unwrap();
    net.advance(MS * 5);
    let (s, _) = net.accept(B, l).unwrap();
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"first");
    (net, l)
}

fn is_syn_with_data(pkt: &Pkt) -> bool {
    let bytes = pkt.copy_range(34, 200);
    TcpRepr::parse(&bytes).is_ok_and(|(tcp, len)| tcp.flags == TcpFlags::SYN && bytes.len() > len)
}

#[test]
fn the_second_connection_sends_data_with_its_syn_and_is_answered_before_the_handshake_ends() {
    let (mut net, l) = net_with_cookie();
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"GET /"), Ok(5));
    // One way only: the server's program has the request before the client knows of the SYN-ACK.
    net.advance(Duration::from_micros(150));
    let (s, peer) = net.accept(B, l).expect("accepted before the handshake is done");
    assert_eq!(peer, net.host[A].local_addr(c).unwrap());
    assert_eq!(net.host[B].readiness(s), Readiness::IN | Readiness::OUT);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"GET /");
    assert_eq!(net.send(B, s, b"200 OK"), Ok(6));
    net.advance(Duration::from_micros(150));
    assert_eq!(net.recv_bytes(A, c).unwrap(), b"200 OK", "a round trip after the first packet");
    net.advance(MS * 50);
    for (n, s) in [(A, c), (B, s)] {
        let info = net.host[n].tcp_info(s, net.t.now).unwrap();
        assert_eq!((info.state, info.options & 32, info.total_retrans), (1, 32, 0), "host {n}");
    }
    assert_eq!(net.host[A].snmp.get(Counter::TcpExtTcpFastOpenActive), 1);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenPassive), 1);
    net.send(A, c, b"more").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"more");
    net.assert_ledger();
}

#[test]
fn with_tcp_fastopen_connect_the_first_write_takes_the_syn_along() {
    let (mut net, l) = net_with_cookie();
    let c = net.tcp(A);
    set(&mut net, A, c, SockOpt::TcpFastOpenConnect(true));
    let before = net.frames;
    assert_eq!(net.connect(A, c, TO), Ok(Connect::Done));
    assert_eq!(net.host[A].readiness(c), Readiness::OUT);
    net.advance(MS);
    assert_eq!(net.frames, before, "nothing goes before there is data");
    assert_eq!(net.send(A, c, b"hello"), Ok(5));
    net.advance(Duration::from_micros(150));
    let (s, _) = net.accept(B, l).unwrap();
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"hello");
}

#[test]
fn a_cookie_that_is_no_longer_good_falls_back_to_a_handshake() {
    let (mut net, l) = net_with_cookie();
    net.sysctl(B, "ipv4.tcp_fastopen_key", "1-2-3-4");
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"again"), Ok(5));
    net.advance(MS * 5);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenPassiveFail), 1);
    assert_eq!(net.host[A].snmp.get(Counter::TcpExtTcpFastOpenActiveFail), 1);
    let (s, _) = net.accept(B, l).unwrap();
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"again", "the data went again after the handshake");
    assert_eq!(net.host[B].tcp_info(s, net.t.now).unwrap().options & 32, 0);
    // The SYN-ACK told the new cookie.
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"third"), Ok(5));
    net.advance(MS * 5);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenPassive), 1);
    // With the old key as backup it would have been good all along.
    net.sysctl(B, "ipv4.tcp_fastopen_key", "9-9-9-9,1-2-3-4");
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"fourth"), Ok(6));
    net.advance(MS * 5);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenPassiveAltKey), 1);
}

#[test]
fn a_syn_whose_data_is_swallowed_goes_again_without_it() {
    let (mut net, l) = net_with_cookie();
    net.lose = Some(is_syn_with_data);
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"x"), Ok(1));
    net.advance(Duration::from_millis(1500));
    let (s, _) = net.accept(B, l).expect("the plain SYN came through");
    net.advance(MS * 50);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"x");
}

#[test]
fn a_black_hole_pauses_fast_open_for_everybody() {
    let (mut net, _) = net_with_cookie();
    net.sysctl(A, "ipv4.tcp_fastopen_blackhole_timeout_sec", "60");
    net.lose = Some(|_| true);
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"x"), Ok(1));
    net.advance(Duration::from_secs(8));
    assert_eq!(net.host[A].snmp.get(Counter::TcpExtTcpFastOpenBlackhole), 1);
    net.lose = None;
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"x"), Err(SockError::InProgress), "an ordinary SYN");
    net.advance(Duration::from_secs(60));
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"x"), Ok(1));
}

#[test]
fn only_so_many_early_children_wait_for_their_handshake() {
    let (mut net, l) = net_with_cookie();
    // Nothing comes back from the server: its children stay early.
    net.lose = Some(|pkt| pkt.data()[30..34] == [10, 0, 0, 1]);
    for _ in 0..3 {
        let c = net.tcp(A);
        assert_eq!(fast_send(&mut net, c, b"x"), Ok(1));
    }
    net.advance(MS);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenListenOverflow), 1);
    assert!(net.accept(B, l).is_ok() && net.accept(B, l).is_ok());
    assert_eq!(net.accept(B, l), Err(SockError::WouldBlock));
    net.lose = None;
    net.advance(Duration::from_secs(10));
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"x"), Ok(1));
    net.advance(MS * 10);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenListenOverflow), 1, "there is room again");
}

#[test]
fn without_cookies_where_both_sides_say_so() {
    let (mut net, l) = net_with_listener();
    set(&mut net, B, l, SockOpt::TcpFastOpenNoCookie(true));
    let c = net.tcp(A);
    set(&mut net, A, c, SockOpt::TcpFastOpenNoCookie(true));
    assert_eq!(fast_send(&mut net, c, b"at once"), Ok(7));
    net.advance(MS * 5);
    assert_eq!(net.host[B].snmp.get(Counter::TcpExtTcpFastOpenPassive), 1);
    assert_eq!(net.host[A].snmp.get(Counter::TcpExtTcpFastOpenActive), 1);
    let (s, _) = net.accept(B, l).unwrap();
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"at once");
}

#[test]
fn what_the_administrator_forbids_is_refused() {
    let (mut net, l) = net_with_cookie();
    net.sysctl(A, "ipv4.tcp_fastopen", "0");
    let c = net.tcp(A);
    assert_eq!(fast_send(&mut net, c, b"x"), Err(SockError::OperationUnsupported));
    net.sysctl(A, "ipv4.tcp_fastopen", "1");
    net.sysctl(B, "ipv4.tcp_fastopen", "1");
    assert_eq!(fast_send(&mut net, c, b"x"), Ok(1));
    net.advance(Duration::from_micros(150));
    assert_eq!(net.accept(B, l), Err(SockError::WouldBlock), "the server waits for the handshake");
    net.advance(MS * 10);
    let (s, _) = net.accept(B, l).unwrap();
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"x");
    assert_eq!(fast_send(&mut net, c, b"y"), Err(SockError::IsConnected));
    let key = vec![7; 16];
    set(&mut net, B, l, SockOpt::TcpFastOpenKey(key.clone()));
    assert_eq!(
        net.call(B, |ns, t| ns.option(t, l, OptName::TcpFastOpenKey)),
        Ok(SockOpt::TcpFastOpenKey(key))
    );
}
