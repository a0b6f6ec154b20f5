//! Raw and ping sockets.

mod sock_common;

use std::time::Duration;

use netspace_base::Bytes;
use netspace_stack::sock::{ErrorOrigin, Family, Message, Readiness, SockError, SockId, SockOpt, SockType};
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);

fn open(net: &mut Net, n: usize, family: Family, ty: SockType, protocol: u8) -> SockId {
    net.call(n, |ns, t| ns.socket(t, family, ty, protocol)).unwrap()
}

/// An echo request without checksum.
fn echo(icmp_type: u8, id: u16, text: &[u8]) -> Vec<u8> {
    let mut message = vec![icmp_type, 0, 0, 0, (id >> 8) as u8, id as u8, 0, 1];
    message.extend_from_slice(text);
    message
}

fn checksum(bytes: &[u8]) -> u16 {
    netspace_wire::checksum::finish(netspace_wire::checksum::sum(bytes))
}

#[test]
fn ping_sockets_send_requests_and_get_their_replies() {
    let mut net = Net::new();
    for (family, protocol, request, reply, to) in
        [(Family::Inet, 1, 8, 0, "10.0.0.2:0"), (Family::Inet6, 58, 128, 129, "[fd00::2]:0")]
    {
        let s = open(&mut net, A, family, SockType::Dgram, protocol);
        let other = open(&mut net, A, family, SockType::Dgram, protocol);
        net.bind(A, other, if family == Family::Inet { "0.0.0.0:77" } else { "[::]:77" }).unwrap();
        assert_eq!(net.send_to(A, s, &echo(request, 77, b"data"), to), Ok(12));
        net.advance(MS);
        let got = net.recv(A, s).unwrap();
        let bytes = got.data.concat();
        assert_eq!((bytes[0], &bytes[8..]), (reply, &b"data"[..]));
        let id = net.host[A].local_addr(s).unwrap().port();
        assert_eq!(u16::from_be_bytes([bytes[4], bytes[5]]), id, "the identifier is the socket's");
        assert_eq!(got.control.ttl, 64);
        assert!(net.recv(A, other).is_err());
        assert_eq!(net.send_to(A, s, &echo(13, 1, b""), to), Err(SockError::Invalid), "only echo requests");
        assert_eq!(net.send_to(A, s, b"short", to), Err(SockError::Invalid));
    }
}

#[test]
fn a_ping_socket_learns_that_the_host_is_not_there() {
    let mut net = Net::new();
    let s = open(&mut net, A, Family::Inet, SockType::Dgram, 1);
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpRecvErr(true))).unwrap();
    net.send_to(A, s, &echo(8, 0, b"data"), "10.0.0.99:0").unwrap();
    net.advance(Duration::from_secs(5));
    assert!(net.host[A].readiness(s).contains(Readiness::ERR));
    let got = net.recv_error(A, s).unwrap();
    let error = got.control.error.unwrap();
    assert_eq!((error.error, error.icmp_type, error.icmp_code), (SockError::HostUnreachable, 3, 1));
    assert_eq!(error.origin, ErrorOrigin::Icmp);
    assert_eq!(got.data.concat()[0], 8, "quoted from the ICMP header on");
}

#[test]
fn raw_icmp_sees_replies_with_the_ip_header() {
    let mut net = Net::new();
    let s = open(&mut net, A, Family::Inet, SockType::Raw, 1);
    let mut request = echo(8, 0x1234, b"raw");
    let sum = checksum(&request);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    net.send_to(A, s, &request, "10.0.0.2:0").unwrap();
    net.advance(MS);
    let bytes = net.recv_bytes(A, s).unwrap();
    assert_eq!((bytes[0], bytes[9], &bytes[12..16]), (0x45, 1, &[10, 0, 0, 2][..]));
    assert_eq!((bytes[20], &bytes[24..26], &bytes[28..]), (0, &[0x12, 0x34][..], &b"raw"[..]));
    // ICMP_FILTER blocks types.
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IcmpFilter(1))).unwrap();
    net.send_to(A, s, &request, "10.0.0.2:0").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(A, s), Err(SockError::WouldBlock));
}

#[test]
fn raw_icmpv6_gets_its_checksum_and_no_header() {
    let mut net = Net::new();
    let s = open(&mut net, A, Family::Inet6, SockType::Raw, 58);
    // Only echo replies.
    let mut filter = [u32::MAX; 8];
    filter[129 / 32] &= !(1 << (129 % 32));
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::Icmp6Filter(filter))).unwrap();
    net.send_to(A, s, &echo(128, 7, b"six"), "[fd00::2]:0").unwrap();
    net.advance(MS);
    let got = net.recv(A, s).unwrap();
    assert_eq!((got.data.concat()[0], &got.data.concat()[8..]), (129, &b"six"[..]));
    assert_eq!(got.from.unwrap().to_string(), "[fd00::2]:0");
    assert!(net.recv(A, s).is_err());
}

#[test]
fn a_protocol_of_our_own_and_its_absence() {
    let mut net = Net::new();
    let s = open(&mut net, A, Family::Inet, SockType::Raw, 253);
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpRecvErr(true))).unwrap();
    net.send_to(A, s, b"knock", "10.0.0.2:0").unwrap();
    net.advance(MS);
    let got = net.recv_error(A, s).unwrap();
    assert_eq!(got.data.concat(), b"knock");
    assert_eq!(got.control.error.unwrap().icmp_code, 2, "protocol unreachable");
    assert_eq!(net.recv_bytes(A, s), Err(SockError::WouldBlock));
    let r = open(&mut net, B, Family::Inet, SockType::Raw, 253);
    net.connect(B, r, "10.0.0.1:0").unwrap();
    net.send_to(A, s, b"knock", "10.0.0.2:0").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, r).unwrap()[20..], *b"knock");
    net.send(B, r, b"who?").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(A, s).unwrap()[20..], *b"who?");
}

#[test]
fn header_included() {
    let mut net = Net::new();
    let s = open(&mut net, A, Family::Inet, SockType::Raw, 255);
    let r = open(&mut net, B, Family::Inet, SockType::Raw, 254);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 9, 254, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2];
    packet.extend_from_slice(b"self-made");
    net.send_to(A, s, &packet, "10.0.0.2:0").unwrap();
    net.advance(MS);
    let got = net.recv(B, r).unwrap();
    let bytes = got.data.concat();
    assert_eq!(&bytes[20..], b"self-made");
    assert_eq!((got.control.ttl, u16::from_be_bytes([bytes[2], bytes[3]])), (9, 29), "length filled in");
    assert_eq!(bytes[12..16], [10, 0, 0, 1], "source filled in");
    assert_eq!(checksum(&bytes[..20]), 0, "checksum filled in");
    assert_eq!(net.send_to(A, s, &packet[..19], "10.0.0.2:0"), Err(SockError::Invalid));
}

#[test]
fn raw_udp_copies_have_a_whole_checksum() {
    let mut net = Net::new();
    let r = open(&mut net, B, Family::Inet, SockType::Raw, 17);
    let s = net.udp_at(B, "0.0.0.0:9");
    let c = net.udp(A);
    net.send_to(A, c, b"odd", "10.0.0.2:9").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"odd");
    let bytes = net.recv_bytes(B, r).unwrap();
    let pseudo = netspace_wire::checksum::pseudo_header(
        "10.0.0.1".parse().unwrap(),
        "10.0.0.2".parse().unwrap(),
        17,
        bytes.len() - 20,
    );
    assert!(netspace_wire::checksum::is_valid(&bytes[20..], pseudo));
}

#[test]
fn ipv6_checksum_offset() {
    let mut net = Net::new();
    let s = open(&mut net, A, Family::Inet6, SockType::Raw, 253);
    let r = open(&mut net, B, Family::Inet6, SockType::Raw, 253);
    for (n, s) in [(A, s), (B, r)] {
        assert_eq!(
            net.call(n, |ns, t| ns.set_option(t, s, SockOpt::V6Checksum(Some(3)))),
            Err(SockError::Invalid)
        );
        net.call(n, |ns, t| ns.set_option(t, s, SockOpt::V6Checksum(Some(2)))).unwrap();
    }
    net.send_to(A, s, &[1, 2, 0, 0, 5, 6], "[fd00::2]:0").unwrap();
    net.advance(MS);
    let bytes = net.recv_bytes(B, r).unwrap();
    assert!(bytes[2..4] != [0, 0] && bytes[..2] == [1, 2]);
    assert_eq!(net.send_to(A, s, &[1, 2, 0], "[fd00::2]:0"), Err(SockError::Invalid));
    let message = Message { data: Bytes::from_static(b"x"), ..Message::default() };
    assert_eq!(net.call(A, |ns, t| ns.send(t, s, message)), Err(SockError::DestinationRequired));
}
