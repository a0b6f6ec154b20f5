//! UDP-Lite (RFC 3828) as programs see it; expectations are what Linux 6.18 did.

mod sock_common;

use std::time::Duration;

use netspace_base::{ChecksumState, DropReason, Pkt};
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{Family, OptName, SockError, SockId, SockOpt, SockType};
use netspace_wire::protocol;
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);

fn lite_at(net: &mut Net, n: usize, addr: &str) -> SockId {
    let family = sock_common::family_of(addr);
    let s = net.call(n, |ns, t| ns.socket(t, family, SockType::Dgram, protocol::UDPLITE)).unwrap();
    net.bind(n, s, addr).unwrap();
    s
}

fn set(net: &mut Net, n: usize, s: SockId, option: SockOpt) -> Result<(), SockError> {
    net.call(n, |ns, t| ns.set_option(t, s, option))
}

/// A bad link: the last byte of each frame is changed, which the receiver must find out by itself.
fn damage_last_byte(pkt: &mut Pkt) {
    pkt.linearize();
    *pkt.data_mut().last_mut().unwrap() ^= 0x55;
    pkt.checksum = ChecksumState::None;
}

#[test]
fn damage_outside_the_coverage_is_delivered() {
    for (server, client) in [("10.0.0.2:5000", "10.0.0.1:0"), ("[fd00::2]:5000", "[fd00::1]:0")] {
        let mut net = Net::new();
        let s = lite_at(&mut net, B, server);
        let c = lite_at(&mut net, A, client);
        // The neighbours get to know each other over a good link.
        net.send_to(A, c, b"hello", server).unwrap();
        net.advance(MS * 10);
        assert_eq!(net.recv_bytes(B, s).unwrap(), b"hello");

        net.damage = Some(damage_last_byte);
        net.send_to(A, c, b"all of it matters", server).unwrap();
        net.advance(MS);
        assert_eq!(net.recv_bytes(B, s), Err(SockError::WouldBlock), "everything is covered");
        assert_eq!(net.t.ledger.dropped(DropReason::UdpLiteChecksum), 1);

        set(&mut net, A, c, SockOpt::UdpLiteSendCoverage(12)).unwrap();
        net.send_to(A, c, b"head, then voicE", server).unwrap();
        net.advance(MS);
        assert_eq!(net.recv_bytes(B, s).unwrap(), b"head, then voic\x10", "damaged, but there");
        // Four bytes of payload are covered: a datagram that ends with them is covered whole.
        net.send_to(A, c, b"head", server).unwrap();
        net.advance(MS);
        assert_eq!(net.recv_bytes(B, s), Err(SockError::WouldBlock));
        assert_eq!(net.t.ledger.dropped(DropReason::UdpLiteChecksum), 2);
        net.assert_ledger();
    }
}

#[test]
fn a_receiver_says_how_much_must_be_covered() {
    let mut net = Net::new();
    let s = lite_at(&mut net, B, "10.0.0.2:5000");
    let mut taken = |asked: Option<u16>, covered: u16| {
        if let Some(asked) = asked {
            set(&mut net, B, s, SockOpt::UdpLiteRecvCoverage(asked)).unwrap();
        }
        let c = lite_at(&mut net, A, "10.0.0.1:0");
        set(&mut net, A, c, SockOpt::UdpLiteSendCoverage(covered)).unwrap();
        net.send_to(A, c, &[7; 100], "10.0.0.2:5000").unwrap();
        net.advance(MS * 10);
        net.recv_bytes(B, s).is_ok_and(|got| got == [7; 100])
    };
    assert!(taken(None, 8), "nobody has asked for anything");
    assert!(taken(Some(50), 50));
    assert!(taken(Some(50), 0), "0 is all");
    assert!(taken(Some(50), 108));
    assert!(!taken(Some(50), 49));
    assert!(taken(Some(0), 0));
    assert!(!taken(Some(0), 107), "0 asks for all");
    assert!(taken(Some(0), 108));
    assert_eq!(net.t.ledger.dropped(DropReason::UdpLiteCoverage), 2);
    let count = |counter| net.host[B].snmp.get(counter);
    assert_eq!((count(Counter::UdpLiteInErrors), count(Counter::UdpLiteInDatagrams)), (2, 6));
    assert_eq!(count(Counter::UdpInErrors) + count(Counter::UdpInDatagrams), 0, "nothing of it is UDP's");
    assert_eq!(net.host[A].snmp.get(Counter::UdpLiteOutDatagrams), 8);
    let shown = net.host[B].sockets(net.t.now);
    assert_eq!((shown[0].protocol, shown[0].drops), (protocol::UDPLITE, 2));
}

#[test]
fn its_ports_are_not_udp_s() {
    let mut net = Net::new();
    let lite = lite_at(&mut net, B, "0.0.0.0:53");
    let udp = net.udp_at(B, "0.0.0.0:53");
    let second = net.call(B, |ns, t| ns.socket(t, Family::Inet, SockType::Dgram, protocol::UDPLITE)).unwrap();
    assert_eq!(net.bind(B, second, "0.0.0.0:53"), Err(SockError::AddressInUse));
    let c = lite_at(&mut net, A, "10.0.0.1:0");
    net.send_to(A, c, b"lite", "10.0.0.2:53").unwrap();
    net.advance(MS * 10);
    assert_eq!(net.recv_bytes(B, udp), Err(SockError::WouldBlock));
    assert_eq!(net.recv_bytes(B, lite).unwrap(), b"lite");
    // A connected socket learns that nobody is there, though a UDP socket is.
    net.udp_at(B, "0.0.0.0:54");
    net.connect(A, c, "10.0.0.2:54").unwrap();
    net.send(A, c, b"?").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(A, c), Err(SockError::ConnectionRefused));
    assert_eq!(net.host[B].snmp.get(Counter::UdpLiteNoPorts), 1);
    let stat = net.host[B].sock_stat();
    assert_eq!((stat.udp, stat.udplite, stat.udplite6), (2, 1, 0));
    net.close(B, lite);
    net.bind(B, second, "0.0.0.0:53").unwrap();
}

#[test]
fn options_are_as_on_linux() {
    let mut net = Net::new();
    let s = lite_at(&mut net, A, "10.0.0.1:5000");
    let get = |net: &Net, name| net.host[A].option(&net.t, s, name);
    assert_eq!(get(&net, OptName::UdpLiteSendCoverage), Ok(SockOpt::UdpLiteSendCoverage(0)));
    for (given, kept) in [(1, 8), (9, 9), (65_535, 65_535), (0, 0)] {
        set(&mut net, A, s, SockOpt::UdpLiteRecvCoverage(given)).unwrap();
        assert_eq!(get(&net, OptName::UdpLiteRecvCoverage), Ok(SockOpt::UdpLiteRecvCoverage(kept)));
    }
    let udp = net.udp(A);
    assert_eq!(set(&mut net, A, udp, SockOpt::UdpLiteSendCoverage(8)), Err(SockError::NoSuchOption));
    // Each of several datagrams would need a checksum of its own: Linux cuts none of these.
    set(&mut net, A, s, SockOpt::UdpSegment(50)).unwrap();
    assert_eq!(net.send_to(A, s, &[0; 200], "10.0.0.2:5000"), Err(SockError::InputOutput));
    assert_eq!(net.send_to(A, s, &[0; 50], "10.0.0.2:5000"), Err(SockError::InputOutput));
    set(&mut net, A, s, SockOpt::UdpSegment(0)).unwrap();
    assert_eq!(net.send_to(A, s, &[0; 50], "10.0.0.2:5000"), Ok(50));
}
