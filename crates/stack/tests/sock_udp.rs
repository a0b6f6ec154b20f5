//! UDP as programs see it.

mod sock_common;

use std::net::IpAddr;
use std::time::Duration;

use netspace_base::{Bytes, DropReason};
use netspace_stack::sock::{
    BpfInsn, Connect, ErrorOrigin, Family, How, Membership, Message, OptName, PmtuDiscover, Readiness,
    RecvFlags, SendControl, SockError, SockOpt, SockType,
};
use sock_common::{A, A4, B, Net};

const MS: Duration = Duration::from_millis(1);

#[test]
fn datagrams_come_whole_with_their_sender_and_control() {
    let mut net = Net::new();
    for (server, to, from) in
        [("0.0.0.0:53", "10.0.0.2:53", "10.0.0.1"), ("[::]:5353", "[fd00::2]:5353", "fd00::1")]
    {
        let s = net.udp_at(B, server);
        let c = net.socket(A, sock_common::family_of(to), SockType::Dgram);
        assert_eq!(net.send_to(A, c, b"hello", to), Ok(5));
        assert_eq!(net.send_to(A, c, b"", to), Ok(0));
        net.advance(MS * 10);
        assert!(net.woken.contains(&(B, s)));
        let first = net.recv(B, s).unwrap();
        assert_eq!(first.data.concat(), b"hello");
        assert_eq!(first.from.unwrap().ip(), from.parse::<IpAddr>().unwrap());
        assert_eq!(first.control.ttl, 64);
        assert_eq!(first.control.dev, net.dev[B]);
        assert_eq!(first.control.to, Some(to.parse::<std::net::SocketAddr>().unwrap().ip()));
        let local = net.host[A].local_addr(c).unwrap();
        assert_eq!(first.from.unwrap().port(), local.port());
        assert!(net.recv(B, s).unwrap().is_empty(), "an empty datagram is one");
        assert_eq!(net.recv_bytes(B, s), Err(SockError::WouldBlock));
    }
}

/// As Linux: what a host sends to itself counts as received by the device that has the address, not by loopback.
#[test]
fn datagrams_to_an_own_ipv6_address_come_by_the_device_that_has_it() {
    let mut net = Net::new();
    let eth0 = net.dev[A];
    let local = net.host[A].dev.get(eth0).unwrap().addrs6.iter().find(|a| a.addr.is_unicast_link_local());
    let scoped = format!("[{}%{}]:53", local.unwrap().addr, eth0.0);
    for (to, scope) in [("[fd00::1]:53", 0), (&*scoped, eth0.0)] {
        let s = net.udp_at(A, "[::]:53");
        net.call(A, |ns, t| ns.set_option(t, s, SockOpt::BindToDevice(Some(eth0)))).unwrap();
        let c = net.socket(A, Family::Inet6, SockType::Dgram);
        net.send_to(A, c, b"x", to).unwrap();
        net.advance(MS);
        let got = net.recv(A, s).expect("a socket bound to the device takes it");
        assert_eq!(got.control.dev, eth0, "{to}");
        assert!(matches!(got.from, Some(std::net::SocketAddr::V6(from)) if from.scope_id() == scope), "{to}");
        net.call(A, |ns, t| ns.close(t, s));
    }
    let s = net.udp_at(A, "[::1]:54");
    let c = net.socket(A, Family::Inet6, SockType::Dgram);
    net.send_to(A, c, b"x", "[::1]:54").unwrap();
    net.advance(MS);
    assert_ne!(net.recv(A, s).unwrap().control.dev, eth0, "::1 is loopback's");
}

#[test]
fn a_dual_stack_socket_sees_ipv4_as_mapped_addresses() {
    let mut net = Net::new();
    let s = net.udp_at(B, "[::]:7000");
    let c = net.udp_at(A, "10.0.0.1:6000");
    net.send_to(A, c, b"x", "10.0.0.2:7000").unwrap();
    net.advance(MS);
    let got = net.recv(B, s).unwrap();
    assert_eq!(got.from.unwrap().to_string(), "[::ffff:10.0.0.1]:6000");
    net.send_to(B, s, b"y", "[::ffff:10.0.0.1]:6000").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(A, c).unwrap(), b"y");
    // With IPV6_V6ONLY it does not.
    let only = net.socket(B, Family::Inet6, SockType::Dgram);
    net.call(B, |ns, t| ns.set_option(t, only, SockOpt::V6Only(true))).unwrap();
    net.bind(B, only, "[::]:7001").unwrap();
    net.send_to(A, c, b"z", "10.0.0.2:7001").unwrap();
    net.advance(MS);
    assert!(net.recv(B, only).is_err());
}

#[test]
fn loopback_and_the_zero_address_reach_this_host() {
    let mut net = Net::new();
    let s = net.udp_at(A, "127.0.0.1:9");
    let c = net.udp(A);
    net.send_to(A, c, b"a", "127.0.0.1:9").unwrap();
    net.send_to(A, c, b"b", "0.0.0.0:9").unwrap();
    net.settle();
    assert_eq!(net.recv_bytes(A, s).unwrap(), b"a");
    assert_eq!(net.recv_bytes(A, s).unwrap(), b"b");
    let s6 = net.udp_at(A, "[::1]:9");
    let c6 = net.socket(A, Family::Inet6, SockType::Dgram);
    net.send_to(A, c6, b"c", "[::1]:9").unwrap();
    net.settle();
    assert_eq!(net.recv_bytes(A, s6).unwrap(), b"c");
    net.assert_ledger();
}

#[test]
fn a_connected_socket_hears_only_its_peer_and_learns_of_refusal() {
    let mut net = Net::new();
    let c = net.udp(A);
    assert_eq!(net.connect(A, c, "10.0.0.2:1234"), Ok(Connect::Done));
    let local = net.host[A].local_addr(c).unwrap();
    assert_eq!(local.ip().to_string(), A4);
    let other = net.udp_at(B, "10.0.0.2:999");
    net.send_to(B, other, b"no", &local.to_string()).unwrap();
    net.advance(MS);
    assert!(net.recv(A, c).is_err(), "not from the peer");
    assert_eq!(net.send(A, c, b"anybody?"), Ok(8));
    net.advance(MS);
    assert!(net.host[A].readiness(c).contains(Readiness::ERR));
    assert_eq!(net.recv_bytes(A, c), Err(SockError::ConnectionRefused));
    assert_eq!(net.recv_bytes(A, c), Err(SockError::WouldBlock), "told once");
    // An unconnected socket without IP_RECVERR is not told.
    let u = net.udp(A);
    net.send_to(A, u, b"?", "10.0.0.2:1234").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(A, u), Err(SockError::WouldBlock));
}

#[test]
fn extended_errors_quote_the_datagram() {
    let mut net = Net::new();
    for (family, to, offender, origin, icmp) in [
        (Family::Inet, "10.0.0.2:4", "10.0.0.2", ErrorOrigin::Icmp, (3, 3)),
        (Family::Inet6, "[fd00::2]:4", "fd00::2", ErrorOrigin::Icmp6, (1, 4)),
    ] {
        let s = net.socket(A, family, SockType::Dgram);
        let on = if family == Family::Inet { SockOpt::IpRecvErr(true) } else { SockOpt::V6RecvErr(true) };
        net.call(A, |ns, t| ns.set_option(t, s, on)).unwrap();
        net.send_to(A, s, b"payload", to).unwrap();
        net.advance(MS);
        assert!(net.host[A].readiness(s).contains(Readiness::ERR));
        let got = net.recv_error(A, s).unwrap();
        assert_eq!(got.data.concat(), b"payload");
        assert_eq!(got.from.unwrap().to_string(), to);
        let error = got.control.error.unwrap();
        assert_eq!(error.error, SockError::ConnectionRefused);
        assert_eq!((error.icmp_type, error.icmp_code), icmp);
        assert_eq!(error.origin, origin);
        assert_eq!(error.offender, Some(offender.parse().unwrap()));
        assert_eq!(
            net.recv_bytes(A, s),
            Err(SockError::WouldBlock),
            "reading the queue clears the pending error"
        );
    }
}

#[test]
fn an_error_goes_to_the_socket_that_sent() {
    let mut net = Net::new();
    let one = net.udp_at(A, "10.0.0.1:5001");
    let two = net.udp_at(A, "10.0.0.1:5002");
    for s in [one, two] {
        net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpRecvErr(true))).unwrap();
    }
    net.send_to(A, two, b"x", "10.0.0.2:1").unwrap();
    net.advance(MS);
    assert!(net.recv_error(A, one).is_err());
    assert!(net.recv_error(A, two).is_ok());
}

#[test]
fn too_long_for_the_path_is_told_with_the_mtu() {
    let mut net = Net::new();
    let s = net.udp(A);
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpMtuDiscover(PmtuDiscover::Do))).unwrap();
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpRecvErr(true))).unwrap();
    assert_eq!(net.send_to(A, s, &[0; 1473], "10.0.0.2:9"), Err(SockError::MessageSize));
    let error = net.recv_error(A, s).unwrap().control.error.unwrap();
    assert_eq!((error.error, error.origin, error.info), (SockError::MessageSize, ErrorOrigin::Local, 1500));
    // tracepath asks with far too long datagrams.
    let s6 = net.socket(A, Family::Inet6, SockType::Dgram);
    net.call(A, |ns, t| ns.set_option(t, s6, SockOpt::V6RecvErr(true))).unwrap();
    assert_eq!(net.send_to(A, s6, &[0; 128_000], "[fd00::2]:9"), Err(SockError::MessageSize));
    assert_eq!(net.recv_error(A, s6).unwrap().control.error.unwrap().info, 1500);
    // What fits goes; without DF what does not fit is cut and put together again.
    let server = net.udp_at(B, "0.0.0.0:9");
    assert_eq!(net.send_to(A, s, &[1; 1472], "10.0.0.2:9"), Ok(1472));
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::IpMtuDiscover(PmtuDiscover::Want))).unwrap();
    assert_eq!(net.send_to(A, s, &[2; 40_000], "10.0.0.2:9"), Ok(40_000));
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, server).unwrap().len(), 1472);
    assert_eq!(net.recv_bytes(B, server).unwrap(), vec![2; 40_000]);
    assert_eq!(net.send_to(A, s, &[2; 65_508], "10.0.0.2:9"), Err(SockError::MessageSize));
}

#[test]
fn broadcast_needs_permission_and_reaches_all_sockets_on_the_port() {
    let mut net = Net::new();
    let one = net.udp_at(B, "0.0.0.0:67");
    let two = net.socket(B, Family::Inet, SockType::Dgram);
    for s in [one, two] {
        net.call(B, |ns, t| ns.set_option(t, s, SockOpt::ReuseAddr(true))).unwrap();
    }
    net.bind(B, two, "0.0.0.0:67").unwrap();
    let c = net.udp(A);
    assert_eq!(net.send_to(A, c, b"x", "10.0.0.255:67"), Err(SockError::Access));
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::Broadcast(true))).unwrap();
    net.send_to(A, c, b"x", "10.0.0.255:67").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, one).unwrap(), b"x");
    assert_eq!(net.recv_bytes(B, two).unwrap(), b"x");
}

#[test]
fn a_group_reaches_its_members() {
    let mut net = Net::new();
    for (family, bind, group) in
        [(Family::Inet, "0.0.0.0:4000", "239.1.2.3:4000"), (Family::Inet6, "[::]:4001", "[ff15::7]:4001")]
    {
        let s = net.socket(B, family, SockType::Dgram);
        net.bind(B, s, bind).unwrap();
        let c = net.socket(A, family, SockType::Dgram);
        let addr: std::net::SocketAddr = group.parse().unwrap();
        let out = match family {
            Family::Inet => SockOpt::IpMulticastIf(Membership {
                group: "0.0.0.0".parse().unwrap(),
                dev: Some(net.dev[A]),
                local: None,
            }),
            Family::Inet6 => SockOpt::V6MulticastIf(Some(net.dev[A])),
        };
        net.call(A, |ns, t| ns.set_option(t, c, out)).unwrap();
        net.send_to(A, c, b"early", group).unwrap();
        net.advance(MS);
        assert!(net.recv(B, s).is_err(), "not joined yet");
        let member = Membership { group: addr.ip(), dev: Some(net.dev[B]), local: None };
        let (join, leave) = match family {
            Family::Inet => (SockOpt::IpAddMembership(member), SockOpt::IpDropMembership(member)),
            Family::Inet6 => (SockOpt::V6AddMembership(member), SockOpt::V6DropMembership(member)),
        };
        net.call(B, |ns, t| ns.set_option(t, s, join.clone())).unwrap();
        assert_eq!(net.call(B, |ns, t| ns.set_option(t, s, join)), Err(SockError::AddressInUse));
        net.send_to(A, c, b"hi", group).unwrap();
        net.advance(MS);
        let got = net.recv(B, s).unwrap();
        assert_eq!((got.data.concat().as_slice(), got.control.ttl), (&b"hi"[..], 1));
        net.call(B, |ns, t| ns.set_option(t, s, leave.clone())).unwrap();
        assert_eq!(net.call(B, |ns, t| ns.set_option(t, s, leave)), Err(SockError::AddressNotAvailable));
    }
}

#[test]
fn corked_writes_make_one_datagram() {
    let mut net = Net::new();
    let s = net.udp_at(B, "0.0.0.0:1");
    let c = net.udp(A);
    net.connect(A, c, "10.0.0.2:1").unwrap();
    let more = Message { data: Bytes::from_static(b"one "), more: true, ..Message::default() };
    assert_eq!(net.call(A, |ns, t| ns.send(t, c, more)), Ok(4));
    net.send(A, c, b"two").unwrap();
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::UdpCork(true))).unwrap();
    net.send(A, c, b"a").unwrap();
    net.send(A, c, b"b").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"one two");
    assert!(net.recv(B, s).is_err());
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::UdpCork(false))).unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"ab");
}

#[test]
fn segmented_sends_arrive_as_datagrams() {
    let mut net = Net::new();
    let s = net.udp_at(B, "0.0.0.0:1");
    let here = net.udp_at(A, "127.0.0.1:1");
    let c = net.udp(A);
    for to in ["10.0.0.2:1", "127.0.0.1:1"] {
        let control = SendControl { gso_size: Some(1000), ..SendControl::default() };
        let data = Bytes::from(sock_common::pattern(2500));
        let message = Message { data, to: Some(to.parse().unwrap()), control, ..Message::default() };
        assert_eq!(net.call(A, |ns, t| ns.send(t, c, message)), Ok(2500));
    }
    net.advance(MS);
    for (n, s) in [(B, s), (A, here)] {
        let lens: Vec<usize> = (0..3).map(|_| net.recv(n, s).unwrap().len()).collect();
        assert_eq!(lens, [1000, 1000, 500]);
    }
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut net = Net::new();
    let s = net.udp_at(B, "0.0.0.0:1");
    net.call(B, |ns, t| ns.set_option(t, s, SockOpt::RcvBuf(2000))).unwrap();
    let c = net.udp(A);
    for _ in 0..20 {
        net.send_to(A, c, b"x", "10.0.0.2:1").unwrap();
    }
    net.advance(MS * 10);
    let dropped = net.t.ledger.dropped(DropReason::SocketQueueFull);
    assert_eq!(dropped, 16, "4 × 832 fit 4000");
    for _ in 0..4 {
        net.recv(B, s).unwrap();
    }
    net.send_to(A, c, b"x", "10.0.0.2:1").unwrap();
    net.advance(MS);
    assert_eq!(net.recv(B, s).unwrap().control.drops, 16);
}

#[test]
fn peek_shutdown_disconnect_and_names() {
    let mut net = Net::new();
    let s = net.udp_at(B, "0.0.0.0:1");
    let c = net.udp(A);
    assert_eq!(net.send(A, c, b"x"), Err(SockError::DestinationRequired));
    assert_eq!(net.host[A].peer_addr(c), Err(SockError::NotConnected));
    net.connect(A, c, "10.0.0.2:1").unwrap();
    assert_eq!(net.host[A].peer_addr(c).unwrap().to_string(), "10.0.0.2:1");
    net.send(A, c, b"abc").unwrap();
    net.advance(MS);
    let peeked = net.call(B, |ns, t| ns.recv(t, s, 10, RecvFlags { peek: true, ..RecvFlags::default() }));
    assert_eq!(peeked.unwrap().len(), 3);
    assert_eq!(net.host[B].recv_queue_len(s), 3);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"abc");
    net.call(A, |ns, t| ns.disconnect(t, c)).unwrap();
    assert_eq!(net.host[A].local_addr(c).unwrap().to_string(), "0.0.0.0:0");
    assert_eq!(net.call(A, |ns, t| ns.shutdown(t, c, How::Both)), Err(SockError::NotConnected));
    assert_eq!(net.send_to(A, c, b"x", "10.0.0.2:1"), Err(SockError::BrokenPipe));
    assert!(net.recv(A, c).unwrap().is_empty());
    net.close(A, c);
    assert_eq!(net.send(A, c, b"x"), Err(SockError::NoSuchSocket), "the name is stale");
}

#[test]
fn reuseport_spreads_flows_over_the_group() {
    let mut net = Net::new();
    let group: Vec<_> = (0..4)
        .map(|_| {
            let s = net.udp(B);
            net.call(B, |ns, t| ns.set_option(t, s, SockOpt::ReusePort(true))).unwrap();
            net.bind(B, s, "0.0.0.0:53").unwrap();
            s
        })
        .collect();
    for port in 0..64 {
        let c = net.udp_at(A, &format!("10.0.0.1:{}", 3000 + port));
        net.send_to(A, c, b"x", "10.0.0.2:53").unwrap();
        net.send_to(A, c, b"y", "10.0.0.2:53").unwrap();
    }
    net.advance(MS * 10);
    for s in group {
        let mut froms = Vec::new();
        while let Ok(got) = net.recv(B, s) {
            froms.push(got.from.unwrap());
        }
        assert!(froms.len() > 10, "{} datagrams", froms.len());
        assert_eq!(froms.len() % 2, 0, "a flow stays with its socket");
    }
}

#[test]
fn a_socket_filter_sees_the_udp_header() {
    let mut net = Net::new();
    let s = net.udp_at(B, "0.0.0.0:1");
    let insn = |code, jt, jf, k| BpfInsn { code, jt, jf, k };
    // Keep datagrams whose payload starts with 'k'.
    let program = vec![
        insn(0x30, 0, 0, 8),
        insn(0x15, 0, 1, u32::from(b'k')),
        insn(0x06, 0, 0, u32::MAX),
        insn(0x06, 0, 0, 0),
    ];
    net.call(B, |ns, t| ns.set_option(t, s, SockOpt::AttachFilter(program))).unwrap();
    let c = net.udp(A);
    for text in ["drop", "keep"] {
        net.send_to(A, c, text.as_bytes(), "10.0.0.2:1").unwrap();
    }
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"keep");
    assert_eq!(net.t.ledger.dropped(DropReason::SocketFilter), 1);
}

#[test]
fn options_come_back_as_they_were_set() {
    let mut net = Net::new();
    let s = net.udp(A);
    let s6 = net.socket(A, Family::Inet6, SockType::Dgram);
    let st = net.tcp(A);
    let raw = net.call(A, |ns, t| ns.socket(t, Family::Inet, SockType::Raw, 1)).unwrap();
    let cases = [
        (s, SockOpt::Broadcast(true)),
        (s, SockOpt::ReuseAddr(true)),
        (s, SockOpt::IpTtl(Some(3))),
        (s, SockOpt::IpTos(0x10)),
        (s, SockOpt::IpMulticastTtl(9)),
        (s, SockOpt::IpMulticastLoop(false)),
        (s, SockOpt::IpMtuDiscover(PmtuDiscover::Probe)),
        (s, SockOpt::UdpSegment(900)),
        (s, SockOpt::Mark(7)),
        (s6, SockOpt::V6Only(true)),
        (s6, SockOpt::V6UnicastHops(Some(2))),
        (s6, SockOpt::V6Tclass(0x20)),
        (st, SockOpt::TcpNoDelay(true)),
        (st, SockOpt::TcpKeepIdle(10)),
        (st, SockOpt::TcpUserTimeout(5000)),
        (st, SockOpt::TcpCongestion("reno".into())),
        (st, SockOpt::KeepAlive(true)),
        (st, SockOpt::Linger(Some(Duration::from_secs(3)))),
        (raw, SockOpt::IcmpFilter(0xffff_fffe)),
        (raw, SockOpt::IpHdrIncl(true)),
    ];
    for (s, option) in cases {
        let name = option.name();
        net.call(A, |ns, t| ns.set_option(t, s, option.clone())).unwrap();
        assert_eq!(net.call(A, |ns, t| ns.option(t, s, name)), Ok(option));
    }
    // What Linux 6.18 gives back for values that it changes.
    for (set, got) in [
        (SockOpt::TcpDeferAccept(5), SockOpt::TcpDeferAccept(7)),
        (SockOpt::TcpDeferAccept(30), SockOpt::TcpDeferAccept(31)),
        (SockOpt::TcpDeferAccept(1), SockOpt::TcpDeferAccept(1)),
        (SockOpt::TcpLinger2(1000), SockOpt::TcpLinger2(120)),
        (SockOpt::TcpLinger2(0), SockOpt::TcpLinger2(60)),
        (SockOpt::TcpWindowClamp(1), SockOpt::TcpWindowClamp(1152)),
    ] {
        let name = set.name();
        net.call(A, |ns, t| ns.set_option(t, st, set)).unwrap();
        assert_eq!(net.call(A, |ns, t| ns.option(t, st, name)), Ok(got));
    }
    // Buffers are doubled, and bounded by rmem_max.
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::RcvBuf(10_000))).unwrap();
    assert_eq!(net.call(A, |ns, t| ns.option(t, s, OptName::RcvBuf)), Ok(SockOpt::RcvBuf(20_000)));
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::RcvBuf(u32::MAX))).unwrap();
    assert_eq!(net.call(A, |ns, t| ns.option(t, s, OptName::RcvBuf)), Ok(SockOpt::RcvBuf(425_984)));
    net.call(A, |ns, t| ns.set_option(t, s, SockOpt::SndBuf(1))).unwrap();
    assert_eq!(net.call(A, |ns, t| ns.option(t, s, OptName::SndBuf)), Ok(SockOpt::SndBuf(4608)));
    for (s, option, error) in [
        (s, SockOpt::TcpNoDelay(true), SockError::NoSuchOption),
        (st, SockOpt::TcpCongestion("swift".into()), SockError::NoEntry),
        (st, SockOpt::TcpKeepIdle(0), SockError::Invalid),
        (s, SockOpt::IpTtl(Some(0)), SockError::Invalid),
        (s, SockOpt::V6Only(true), SockError::NoSuchOption),
        (s, SockOpt::DetachFilter(()), SockError::NoEntry),
    ] {
        assert_eq!(net.call(A, |ns, t| ns.set_option(t, s, option.clone())), Err(error), "{option:?}");
    }
    // Linux 6.18 takes any number for SO_BINDTOIFINDEX: the device may come later.
    let later = SockOpt::BindToDevice(Some(netspace_base::DevId(99)));
    assert_eq!(net.call(A, |ns, t| ns.set_option(t, s, later)), Ok(()));
    assert_eq!(net.send_to(A, s, b"x", "10.0.0.2:9"), Err(SockError::NoDevice));
}
