//! TCP as programs see it: between two hosts and on loopback.

mod sock_common;

use std::time::Duration;

use netspace_base::{Bytes, DropReason, Pkt};
use netspace_stack::Turn;
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{
    Connect, Family, How, Message, OptName, Readiness, RecvFlags, SockError, SockId, SockOpt, SockType,
};
use sock_common::{A, B, Net, pattern};

const MS: Duration = Duration::from_millis(1);

fn state(net: &Net, n: usize, s: SockId) -> u8 {
    net.host[n].tcp_info(s, net.t.now).map_or(0, |info| info.state)
}

#[test]
fn handshake_data_and_close_over_a_link_for_both_families() {
    for (bind, to) in [("0.0.0.0:80", "10.0.0.2:80"), ("[::]:80", "[fd00::2]:80")] {
        let mut net = Net::new();
        let l = net.listener(B, bind, 8);
        let c = net.socket(A, sock_common::family_of(to), SockType::Stream);
        assert_eq!(net.host[A].readiness(c), Readiness::OUT | Readiness::HUP);
        assert_eq!(net.connect(A, c, to), Ok(Connect::InProgress));
        assert_eq!(net.host[A].readiness(c), Readiness::empty());
        assert_eq!(net.connect(A, c, to), Err(SockError::Already));
        net.advance(MS);
        assert!(net.woken.contains(&(A, c)) && net.woken.contains(&(B, l)));
        assert_eq!(net.host[A].readiness(c), Readiness::OUT);
        assert_eq!(net.connect(A, c, to), Ok(Connect::Done), "told once");
        assert_eq!(net.connect(A, c, to), Err(SockError::IsConnected));
        assert_eq!(net.host[B].readiness(l), Readiness::IN);
        let (s, peer) = net.accept(B, l).unwrap();
        assert_eq!(peer, net.host[A].local_addr(c).unwrap());
        assert_eq!(net.host[B].local_addr(s).unwrap().to_string(), to);
        assert_eq!(net.accept(B, l), Err(SockError::WouldBlock));

        assert_eq!(net.send(A, c, b"ping"), Ok(4));
        net.advance(MS);
        assert_eq!(net.host[B].recv_queue_len(s), 4);
        assert_eq!(net.recv_bytes(B, s).unwrap(), b"ping");
        assert_eq!(net.recv_bytes(B, s), Err(SockError::WouldBlock));
        net.send(B, s, b"pong").unwrap();
        net.advance(MS);
        assert_eq!(net.recv_bytes(A, c).unwrap(), b"pong");

        net.close(A, c);
        net.advance(MS * 50);
        assert!(net.host[B].readiness(s).contains(Readiness::IN | Readiness::RDHUP));
        assert!(net.recv(B, s).unwrap().is_empty(), "the end of the stream");
        net.close(B, s);
        net.advance(MS * 50);
        let left = net.host[A].sockets(net.t.now);
        assert_eq!(
            left.iter().filter(|i| i.state == 6).count(),
            1,
            "TIME-WAIT at the side that closed first: {left:?}"
        );
        net.advance(Duration::from_secs(61));
        assert!(net.host[A].sockets(net.t.now).is_empty());
        assert_eq!(net.host[B].sockets(net.t.now).len(), 1, "the listener");
        net.assert_ledger();
    }
}

#[test]
fn loopback_and_connect_to_self() {
    let mut net = Net::new();
    for to in ["127.0.0.1:8080", "[::1]:8080"] {
        let l = net.listener(A, to, 8);
        let c = net.socket(A, sock_common::family_of(to), SockType::Stream);
        net.connect(A, c, to).unwrap();
        net.settle();
        let (s, _) = net.accept(A, l).unwrap();
        let sent = net.send(A, c, &pattern(50_000)).unwrap();
        let mut got = Vec::new();
        while got.len() < sent {
            net.advance(MS);
            got.extend(net.recv_bytes(A, s).unwrap());
        }
        assert_eq!(got, pattern(50_000)[..sent]);
        net.close(A, l);
    }
    // RFC 9293 §3.5, simultaneous open with itself: Linux allows it.
    let s = net.tcp(A);
    net.bind(A, s, "127.0.0.1:7777").unwrap();
    net.connect(A, s, "127.0.0.1:7777").unwrap();
    net.advance(MS * 10);
    assert_eq!(state(&net, A, s), 1);
    net.send(A, s, b"me").unwrap();
    net.advance(MS * 10);
    assert_eq!(net.recv_bytes(A, s).unwrap(), b"me");
    net.assert_ledger();
}

#[test]
fn nobody_listens() {
    let mut net = Net::new();
    for to in ["10.0.0.2:81", "127.0.0.1:81", "[fd00::2]:81"] {
        let c = net.socket(A, sock_common::family_of(to), SockType::Stream);
        net.connect(A, c, to).unwrap();
        net.advance(MS);
        assert!(net.woken.contains(&(A, c)));
        assert!(
            net.host[A]
                .readiness(c)
                .contains(Readiness::ERR | Readiness::HUP | Readiness::OUT | Readiness::IN)
        );
        assert_eq!(net.host[A].take_error(c), Some(SockError::ConnectionRefused));
        assert_eq!(net.host[A].take_error(c), None);
        // The socket can try again.
        let l = net.listener(if to.starts_with("127") { A } else { B }, to, 1);
        assert_eq!(net.connect(A, c, to), Ok(Connect::InProgress));
        net.advance(MS);
        assert_eq!(state(&net, A, c), 1);
        net.close(if to.starts_with("127") { A } else { B }, l);
        net.close(A, c);
        net.advance(MS * 10);
    }
    // Asking connect instead of SO_ERROR tells the failure once, too.
    let c = net.tcp(A);
    net.connect(A, c, "10.0.0.2:81").unwrap();
    net.advance(MS);
    assert_eq!(net.connect(A, c, "10.0.0.2:81"), Err(SockError::ConnectionRefused));
    assert_eq!(net.connect(A, c, "10.0.0.2:81"), Ok(Connect::InProgress));
}

#[test]
fn a_dual_stack_listener_takes_both_families() {
    let mut net = Net::new();
    let l = net.listener(B, "[::]:80", 8);
    for (to, local) in [("10.0.0.2:80", "[::ffff:10.0.0.2]:80"), ("[fd00::2]:80", "[fd00::2]:80")] {
        let (c, s) = net.connection(A, B, l, to);
        assert_eq!(net.host[B].local_addr(s).unwrap().to_string(), local);
        net.send(B, s, b"both").unwrap();
        net.advance(MS);
        assert_eq!(net.recv_bytes(A, c).unwrap(), b"both");
    }
    // And a mapped address connects over IPv4.
    let c = net.socket(A, Family::Inet6, SockType::Stream);
    net.connect(A, c, "[::ffff:10.0.0.2]:80").unwrap();
    net.advance(MS);
    assert_eq!(net.host[A].peer_addr(c).unwrap().to_string(), "[::ffff:10.0.0.2]:80");
}

/// An ICMP error from B about the packet `quoted` of A.
fn icmp_from_b(net: &mut Net, icmp_type: u8, code: u8, rest: [u8; 4], quoted: &[u8]) {
    let raw = net.call(B, |ns, t| ns.socket(t, Family::Inet, SockType::Raw, 1)).unwrap();
    let mut message = vec![icmp_type, code, 0, 0];
    message.extend_from_slice(&rest);
    message.extend_from_slice(quoted);
    let sum = netspace_wire::checksum::finish(netspace_wire::checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    net.send_to(B, raw, &message, "10.0.0.1:0").unwrap();
    net.close(B, raw);
    net.advance(MS);
}

/// The start of a TCP packet from A to B: IPv4 header and eight bytes of TCP.
fn tcp_quote(port: u16, seq: u32) -> Vec<u8> {
    let mut quoted = vec![0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    quoted.extend_from_slice(&port.to_be_bytes());
    quoted.extend_from_slice(&80u16.to_be_bytes());
    quoted.extend_from_slice(&seq.to_be_bytes());
    quoted
}

/// RFC 9293 MUST-54
#[test]
fn icmp_errors_move_a_connection_only_if_they_quote_what_is_in_flight() {
    static LAST_SEQ: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    let port = net.host[A].local_addr(c).unwrap().port();
    // A large write gets lost; its first sequence number is noted.
    net.lose = Some(|pkt: &Pkt| {
        let seq = pkt.copy_range(38, 4);
        if pkt.copy_range(23, 1) == [6] && pkt.len() > 1100 {
            let seq = u32::from_be_bytes(seq.try_into().unwrap());
            let _ = LAST_SEQ.compare_exchange(
                0,
                seq,
                std::sync::atomic::Ordering::SeqCst,
                std::sync::atomic::Ordering::SeqCst,
            );
            return true;
        }
        false
    });
    net.send(A, c, &pattern(4000)).unwrap();
    net.settle();
    let seq = LAST_SEQ.load(std::sync::atomic::Ordering::SeqCst);
    let mss = |net: &mut Net| net.call(A, |ns, t| ns.option(t, c, OptName::TcpMaxSeg));
    icmp_from_b(&mut net, 3, 4, [0, 0, 0x03, 0xe8], &tcp_quote(port, seq.wrapping_sub(1_000_000)));
    assert_eq!(mss(&mut net), Ok(SockOpt::TcpMaxSeg(1448)), "forged: not in flight");
    icmp_from_b(&mut net, 3, 4, [0, 0, 0x03, 0xe8], &tcp_quote(port, seq));
    assert_eq!(mss(&mut net), Ok(SockOpt::TcpMaxSeg(1000 - 52)));
    assert_eq!(net.call(A, |ns, t| ns.option(t, c, OptName::IpMtu)), Ok(SockOpt::IpMtu(1000)));
    let start = net.t.now;
    let mut got = Vec::new();
    while got.len() < 4000 {
        net.advance(MS * 10);
        got.extend(net.recv_bytes(B, s).unwrap_or_default());
        assert!(net.t.now - start < Duration::from_secs(1), "{} bytes", got.len());
    }
    assert!(got == pattern(4000), "sent again, smaller");
    // A hard error does not end an established connection (RFC 5461), but refuses one that is being made.
    net.lose = None;
    icmp_from_b(&mut net, 3, 3, [0; 4], &tcp_quote(port, seq));
    assert_eq!(state(&net, A, c), 1);
    net.lose = Some(|pkt: &Pkt| pkt.copy_range(23, 1) == [6]);
    let d = net.tcp(A);
    net.bind(A, d, "10.0.0.1:4444").unwrap();
    net.connect(A, d, "10.0.0.2:80").unwrap();
    net.settle();
    icmp_from_b(&mut net, 3, 3, [0; 4], &tcp_quote(4444, 0));
    assert_eq!(net.host[A].take_error(d), Some(SockError::ConnectionRefused));
}

#[test]
fn connect_to_nowhere_times_out_as_on_linux() {
    let mut net = Net::new();
    net.lose = Some(|pkt: &Pkt| pkt.copy_range(12, 2) == [8, 0]);
    let l = net.listener(B, "0.0.0.0:80", 1);
    let c = net.tcp(A);
    net.connect(A, c, "10.0.0.2:80").unwrap();
    net.advance(Duration::from_secs(130));
    assert_eq!(net.host[A].take_error(c), None, "five each second, then after 2, 4, … 64 s: 131 s");
    net.advance(Duration::from_secs(3));
    assert_eq!(net.host[A].take_error(c), Some(SockError::TimedOut));
    net.close(B, l);
    // No route at all is told at once.
    let d = net.tcp(A);
    assert_eq!(net.connect(A, d, "192.0.2.1:80"), Err(SockError::NetworkUnreachable));
}

#[test]
fn a_full_accept_queue_makes_the_peer_wait() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 1);
    let clients: Vec<SockId> = (0..5)
        .map(|_| {
            let c = net.tcp(A);
            net.connect(A, c, "10.0.0.2:80").unwrap();
            net.advance(MS * 2);
            c
        })
        .collect();
    // A backlog of 1 holds two; the others' SYNs are dropped.
    let open = |net: &Net| clients.iter().filter(|&&c| state(net, A, c) == 1).count();
    assert_eq!(open(&net), 2);
    assert!(net.t.ledger.dropped(DropReason::TcpListenOverflow) >= 3);
    for _ in 0..2 {
        net.accept(B, l).unwrap();
    }
    net.advance(Duration::from_secs(4));
    assert_eq!(open(&net), 4, "the repeated SYNs found room");
}

#[test]
fn cookies_answer_when_the_syn_queue_is_full() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 2);
    // Three SYNs whose handshakes never complete: the SYN/ACKs are lost.
    net.lose = Some(|pkt: &Pkt| pkt.copy_range(23, 1) == [6] && pkt.copy_range(47, 1) == [0x12]);
    for _ in 0..3 {
        let c = net.tcp(A);
        net.connect(A, c, "10.0.0.2:80").unwrap();
        net.advance(MS);
    }
    net.lose = None;
    let c = net.tcp(A);
    net.connect(A, c, "10.0.0.2:80").unwrap();
    net.advance(MS);
    assert_eq!(state(&net, A, c), 1);
    let sent = net.host[B].snmp.get(Counter::TcpExtSyncookiesSent);
    assert!(sent >= 1 && net.host[B].snmp.get(Counter::TcpExtSyncookiesRecv) == 1, "{sent}");
    let (s, _) = net.accept(B, l).unwrap();
    net.send(A, c, &pattern(5000)).unwrap();
    net.advance(MS * 10);
    assert_eq!(net.recv_bytes(B, s).unwrap(), pattern(5000));
    // Without cookies the SYN is dropped, and repeated.
    net.call(B, |ns, t| ns.set_sysctl(t, "ipv4.tcp_syncookies", "0")).unwrap();
    net.lose = Some(|pkt: &Pkt| pkt.copy_range(23, 1) == [6] && pkt.copy_range(47, 1) == [0x12]);
    for _ in 0..3 {
        let c = net.tcp(A);
        net.connect(A, c, "10.0.0.2:80").unwrap();
        net.advance(MS);
    }
    assert!(net.t.ledger.dropped(DropReason::TcpSynOverflow) > 0);
}

#[test]
fn abort_on_overflow_resets() {
    let mut net = Net::new();
    net.call(B, |ns, t| ns.set_sysctl(t, "ipv4.tcp_abort_on_overflow", "1")).unwrap();
    let l = net.listener(B, "0.0.0.0:80", 0);
    // Two handshakes at once: there is room for one.
    let clients = [net.tcp(A), net.tcp(A)];
    for c in clients {
        net.connect(A, c, "10.0.0.2:80").unwrap();
    }
    net.advance(MS * 2);
    let errors: Vec<_> = clients.iter().map(|&c| net.host[A].take_error(c)).collect();
    assert!(errors.contains(&Some(SockError::ConnectionReset)) && errors.contains(&None), "{errors:?}");
    assert!(net.accept(B, l).is_ok());
}

#[test]
fn a_host_that_does_not_answer_arp() {
    let mut net = Net::new();
    let c = net.tcp(A);
    net.connect(A, c, "10.0.0.99:80").unwrap();
    net.advance(Duration::from_secs(4));
    assert_eq!(net.host[A].take_error(c), Some(SockError::HostUnreachable));
    let c = net.socket(A, Family::Inet6, SockType::Stream);
    net.connect(A, c, "[fd00::99]:80").unwrap();
    net.advance(Duration::from_secs(4));
    assert_eq!(net.host[A].take_error(c), Some(SockError::HostUnreachable));
}

#[test]
fn link_local_peers_are_told_apart_by_their_link() {
    let mut net = Net::new();
    let lla = |net: &Net, n: usize| {
        let dev = net.host[n].dev.get(net.dev[n]).unwrap();
        dev.addrs6.iter().map(|a| a.addr).find(std::net::Ipv6Addr::is_unicast_link_local).unwrap()
    };
    let to = lla(&net, B);
    let l = net.listener(B, "[::]:80", 4);
    let c = net.socket(A, Family::Inet6, SockType::Stream);
    assert_eq!(net.connect(A, c, &format!("[{to}]:80")), Err(SockError::Invalid), "which link?");
    let scope = net.dev[A].0;
    net.connect(A, c, &format!("[{to}%{scope}]:80")).unwrap();
    net.advance(MS * 5);
    let (s, peer) = net.accept(B, l).unwrap();
    assert_eq!(peer.to_string(), format!("[{}%{}]:{}", lla(&net, A), net.dev[B].0, peer.port()));
    net.send(A, c, b"link").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"link");
}

#[test]
fn deferred_accepts_wait_for_data_or_their_time() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    net.call(B, |ns, t| ns.set_option(t, l, SockOpt::TcpDeferAccept(3))).unwrap();
    let clients = [net.tcp(A), net.tcp(A)];
    for c in clients {
        net.connect(A, c, "10.0.0.2:80").unwrap();
    }
    net.advance(MS * 5);
    assert_eq!(net.accept(B, l), Err(SockError::WouldBlock));
    net.send(A, clients[1], b"data").unwrap();
    net.advance(MS * 5);
    let (s, _) = net.accept(B, l).unwrap();
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"data");
    assert_eq!(net.accept(B, l), Err(SockError::WouldBlock));
    net.advance(Duration::from_secs(4));
    assert!(net.accept(B, l).is_ok(), "the silent one, in the end");
}

/// RFC 9293 MUST-10
#[test]
fn both_sides_open_at_once() {
    let mut net = Net::new();
    // Neighbours are known, so that the SYNs cross.
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.close(A, c);
    net.close(B, s);
    let (a, b) = (net.tcp(A), net.tcp(B));
    net.bind(A, a, "10.0.0.1:5000").unwrap();
    net.bind(B, b, "10.0.0.2:5000").unwrap();
    net.connect(A, a, "10.0.0.2:5000").unwrap();
    net.connect(B, b, "10.0.0.1:5000").unwrap();
    net.advance(MS * 5);
    assert_eq!((state(&net, A, a), state(&net, B, b)), (1, 1));
    net.send(A, a, b"crossed").unwrap();
    net.advance(MS);
    assert_eq!(net.recv_bytes(B, b).unwrap(), b"crossed");
}

#[test]
fn a_server_that_starts_again_needs_reuseaddr_while_connections_linger() {
    for reuse in [false, true] {
        let mut net = Net::new();
        let open = |net: &mut Net| {
            let l = net.tcp(B);
            net.call(B, |ns, t| ns.set_option(t, l, SockOpt::ReuseAddr(reuse))).unwrap();
            (l, net.bind(B, l, "0.0.0.0:80"))
        };
        let (l, bound) = open(&mut net);
        bound.unwrap();
        net.call(B, |ns, t| ns.listen(t, l, 1)).unwrap();
        let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
        net.close(B, s);
        net.advance(MS * 50);
        net.close(A, c);
        net.close(B, l);
        net.advance(MS * 50);
        assert_eq!(net.host[B].sock_stat().time_wait, 1);
        let (l, bound) = open(&mut net);
        assert_eq!(bound, if reuse { Ok(()) } else { Err(SockError::AddressInUse) });
        net.close(B, l);
        net.advance(Duration::from_secs(61));
        assert_eq!(open(&mut net).1, Ok(()));
    }
}

#[test]
fn listeners_of_a_reuseport_group_share_connections() {
    let mut net = Net::new();
    let group: Vec<SockId> = (0..4)
        .map(|_| {
            let l = net.tcp(B);
            net.call(B, |ns, t| ns.set_option(t, l, SockOpt::ReusePort(true))).unwrap();
            net.bind(B, l, "0.0.0.0:80").unwrap();
            net.call(B, |ns, t| ns.listen(t, l, 100)).unwrap();
            l
        })
        .collect();
    for _ in 0..80 {
        let c = net.tcp(A);
        net.connect(A, c, "10.0.0.2:80").unwrap();
    }
    net.advance(MS * 10);
    let counts: Vec<usize> =
        group.iter().map(|&l| std::iter::from_fn(|| net.accept(B, l).ok()).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 80);
    assert!(counts.iter().all(|&n| n > 5), "{counts:?}");
}

#[test]
fn a_name_without_a_port_gets_one_at_connect() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let c = net.tcp(A);
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::IpBindAddressNoPort(true))).unwrap();
    net.bind(A, c, "10.0.0.1:0").unwrap();
    assert_eq!(net.host[A].local_addr(c).unwrap().to_string(), "10.0.0.1:0");
    net.connect(A, c, "10.0.0.2:80").unwrap();
    net.advance(MS);
    assert_ne!(net.host[A].local_addr(c).unwrap().port(), 0);
    assert!(net.accept(B, l).is_ok());
}

#[test]
fn the_lists_show_every_connection_and_its_owner() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    net.host[B].set_owner(l, 4711, 1000);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.host[A].set_owner(c, 42, 7);
    net.send(A, c, b"queued").unwrap();
    net.advance(MS);
    let list = net.host[B].sockets(net.t.now);
    let listener = list.iter().find(|i| i.state == 10).unwrap();
    assert_eq!((listener.owner.inode, listener.owner.uid, listener.send_queue), (4711, 1000, 8));
    let child = list.iter().find(|i| i.id == Some(s)).unwrap();
    assert_eq!((child.state, child.recv_queue, child.local.to_string().as_str()), (1, 6, "10.0.0.2:80"));
    let stat = net.host[A].sock_stat();
    assert_eq!((stat.used, stat.tcp, stat.established), (1, 1, 1));
}

/// RFC 9293 MUST-12
#[test]
fn a_reset_in_the_middle() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.send(A, c, b"unread").unwrap();
    net.advance(MS);
    // Closing with unread data resets (RFC 2525 §2.17).
    net.close(B, s);
    net.advance(MS);
    assert!(net.host[A].readiness(c).contains(Readiness::ERR | Readiness::HUP));
    assert_eq!(net.recv_bytes(A, c), Err(SockError::ConnectionReset));
    assert_eq!(net.recv_bytes(A, c), Ok(Vec::new()));
    assert_eq!(net.send(A, c, b"x"), Err(SockError::BrokenPipe));
    // SO_LINGER zero does, too.
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::Linger(Some(Duration::ZERO)))).unwrap();
    net.close(A, c);
    net.advance(MS);
    assert_eq!(net.send(B, s, b"x"), Err(SockError::ConnectionReset));
    assert!(net.host[A].sockets(net.t.now).is_empty(), "no TIME-WAIT after a reset");
    net.assert_ledger();
}

#[test]
fn half_close_lets_the_other_half_go_on() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.send(A, c, b"request").unwrap();
    net.call(A, |ns, t| ns.shutdown(t, c, How::Write)).unwrap();
    assert_eq!(net.send(A, c, b"x"), Err(SockError::BrokenPipe));
    net.advance(MS * 50);
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"request");
    assert!(net.recv(B, s).unwrap().is_empty());
    assert_eq!(state(&net, A, c), 5, "FIN-WAIT-2");
    assert_eq!(state(&net, B, s), 8, "CLOSE-WAIT");
    net.send(B, s, b"answer").unwrap();
    net.advance(MS * 50);
    assert_eq!(net.recv_bytes(A, c).unwrap(), b"answer");
    net.close(B, s);
    net.advance(MS * 50);
    assert!(net.recv(A, c).unwrap().is_empty());
    assert!(net.host[A].readiness(c).contains(Readiness::HUP | Readiness::RDHUP | Readiness::IN));
}

#[test]
fn closing_a_listener_resets_what_nobody_accepted() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let c = net.tcp(A);
    net.connect(A, c, "10.0.0.2:80").unwrap();
    net.advance(MS);
    net.close(B, l);
    net.advance(MS);
    assert_eq!(net.host[A].take_error(c), Some(SockError::ConnectionReset));
    assert!(net.host[B].sockets(net.t.now).is_empty());
    // shutdown(2) on a listener stops it as well.
    let l = net.listener(B, "0.0.0.0:80", 8);
    net.call(B, |ns, t| ns.shutdown(t, l, How::Read)).unwrap();
    assert_eq!(net.accept(B, l), Err(SockError::Invalid));
    assert_eq!(net.host[B].readiness(l), Readiness::OUT | Readiness::HUP);
}

#[test]
fn accepted_sockets_inherit_options() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    for option in
        [SockOpt::TcpNoDelay(true), SockOpt::KeepAlive(true), SockOpt::IpTos(0x20), SockOpt::RcvBuf(9000)]
    {
        net.call(B, |ns, t| ns.set_option(t, l, option)).unwrap();
    }
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    assert_eq!(net.call(B, |ns, t| ns.option(t, s, OptName::TcpNoDelay)), Ok(SockOpt::TcpNoDelay(true)));
    assert_eq!(net.call(B, |ns, t| ns.option(t, s, OptName::IpTos)), Ok(SockOpt::IpTos(0x20)));
    assert_eq!(net.call(B, |ns, t| ns.option(t, s, OptName::RcvBuf)), Ok(SockOpt::RcvBuf(18_000)));
    assert_eq!(net.call(A, |ns, t| ns.option(t, c, OptName::IpMtu)), Ok(SockOpt::IpMtu(1500)));
    let Ok(SockOpt::TcpInfo(info)) = net.call(A, |ns, t| ns.option(t, c, OptName::TcpInfo)) else { panic!() };
    assert_eq!((info.state, info.pmtu, info.snd_mss), (1, 1500, 1448));
    assert_eq!(info.options & 7, 7, "timestamps, SACK, window scaling");
}

/// Sends `len` bytes from a client on A to a server on B and checks them.
fn transfer(net: &mut Net, len: usize) -> Duration {
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = {
        let c = net.tcp(A);
        net.connect(A, c, "10.0.0.2:80").unwrap();
        let start = net.t.now;
        while net.host[B].readiness(l).is_empty() {
            net.advance(MS);
            assert!(net.t.now - start < Duration::from_secs(30));
        }
        (c, net.accept(B, l).unwrap().0)
    };
    let data = Bytes::from(pattern(len));
    let (mut sent, mut got) = (0, Vec::with_capacity(len));
    let start = net.t.now;
    while got.len() < len {
        while sent < len {
            let message = Message { data: data.slice(sent..), ..Message::default() };
            match net.call(A, |ns, t: &mut Turn| ns.send(t, c, message)) {
                Ok(n) => sent += n,
                Err(error) => {
                    assert_eq!(error, SockError::WouldBlock);
                    break;
                }
            }
        }
        net.advance(MS);
        match net.recv_bytes(B, s) {
            Ok(bytes) => got.extend(bytes),
            Err(error) => assert_eq!(error, SockError::WouldBlock),
        }
        assert!(net.t.now - start < Duration::from_secs(600), "{} of {len} bytes", got.len());
    }
    assert!(got == data, "the bytes differ");
    let time = net.t.now - start;
    net.close(A, c);
    net.close(B, s);
    net.close(B, l);
    net.advance(Duration::from_secs(5));
    time
}

#[test]
fn a_big_transfer() {
    let mut net = Net::new();
    transfer(&mut net, 20 << 20);
    net.assert_ledger();
}

#[test]
fn a_big_transfer_through_a_lossy_link() {
    let mut net = Net::new();
    net.loss = 20_000_000;
    net.delay = MS * 2;
    transfer(&mut net, 16 << 20);
    let resent = net.host[A].snmp.get(Counter::TcpRetransSegs);
    assert!(resent > 10, "{resent} of about 11600 segments sent again");
}

#[test]
fn many_connections() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 128);
    for round in 0..10_000 {
        let c = net.tcp(A);
        net.connect(A, c, "10.0.0.2:80").unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        net.advance(Duration::from_micros(500));
        let (s, _) = net.accept(B, l).unwrap();
        net.close(A, c);
        net.advance(Duration::from_micros(500));
        net.close(B, s);
        net.woken.clear();
    }
    net.advance(Duration::from_secs(1));
    assert_eq!(net.host[A].sock_stat().time_wait, 10_000);
    net.advance(Duration::from_secs(61));
    assert_eq!(net.host[A].sock_stat(), netspace_stack::sock::SockStat::default());
    assert_eq!(net.host[B].sock_stat().used, 1);
    net.assert_ledger();
}

#[test]
fn keepalive_notices_a_dead_peer() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, _s) = net.connection(A, B, l, "10.0.0.2:80");
    for option in
        [SockOpt::TcpKeepIdle(5), SockOpt::TcpKeepIntvl(1), SockOpt::TcpKeepCnt(3), SockOpt::KeepAlive(true)]
    {
        net.call(A, |ns, t| ns.set_option(t, c, option)).unwrap();
    }
    net.advance(Duration::from_secs(20));
    assert_eq!(state(&net, A, c), 1, "the peer answers");
    net.lose = Some(|_| true);
    net.advance(Duration::from_secs(15));
    assert_eq!(net.host[A].take_error(c), Some(SockError::TimedOut));
}

#[test]
fn peek_and_urgent_data() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    let urgent = Message { data: Bytes::from_static(b"ab!"), oob: true, ..Message::default() };
    net.call(A, |ns, t| ns.send(t, c, urgent)).unwrap();
    net.send(A, c, b"cd").unwrap();
    net.advance(MS * 2);
    assert!(net.host[B].readiness(s).contains(Readiness::PRI));
    let peek = RecvFlags { peek: true, ..RecvFlags::default() };
    assert_eq!(net.call(B, |ns, t| ns.recv(t, s, 10, peek)).unwrap().data.concat(), b"ab");
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"ab");
    let oob = RecvFlags { oob: true, ..RecvFlags::default() };
    assert_eq!(net.call(B, |ns, t| ns.recv(t, s, 1, oob)).unwrap().data.concat(), b"!");
    assert_eq!(net.recv_bytes(B, s).unwrap(), b"cd");
}

#[test]
fn a_program_that_never_connected() {
    let mut net = Net::new();
    let s = net.tcp(A);
    assert_eq!(net.send(A, s, b"x"), Err(SockError::BrokenPipe));
    assert_eq!(net.recv_bytes(A, s), Err(SockError::NotConnected));
    assert_eq!(net.call(A, |ns, t| ns.shutdown(t, s, How::Both)), Err(SockError::NotConnected));
    assert_eq!(net.accept(A, s), Err(SockError::Invalid));
    let u = net.udp(A);
    assert_eq!(net.call(A, |ns, t| ns.listen(t, u, 1)), Err(SockError::OperationUnsupported));
    assert_eq!(net.accept(A, u), Err(SockError::OperationUnsupported));
    assert_eq!(
        net.call(A, |ns, t| ns.socket(t, Family::Inet, SockType::Stream, 132)),
        Err(SockError::ProtocolUnsupported)
    );
}

#[test]
fn time_wait_gives_its_names_to_a_newer_syn() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let c = net.tcp(A);
    net.bind(A, c, "10.0.0.1:4000").unwrap();
    net.connect(A, c, "10.0.0.2:80").unwrap();
    net.advance(MS * 2);
    let (s, _) = net.accept(B, l).unwrap();
    // The server closes first: TIME-WAIT is there.
    net.close(B, s);
    net.advance(MS * 50);
    net.close(A, c);
    net.advance(Duration::from_secs(2));
    assert_eq!(net.host[B].sock_stat().time_wait, 1);
    let c = net.tcp(A);
    net.bind(A, c, "10.0.0.1:4000").unwrap();
    net.connect(A, c, "10.0.0.2:80").unwrap();
    net.advance(MS * 2);
    assert!(net.accept(B, l).is_ok());
    assert_eq!(net.host[B].sock_stat().time_wait, 0);
}

#[test]
fn a_traced_segment_can_be_followed_from_program_to_program() {
    use netspace_base::Point;
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    net.t.trace.on = true;
    net.send(A, c, b"follow me").unwrap();
    net.advance(MS);
    net.recv(B, s).unwrap();
    let events = net.t.trace.take();
    let made = events.iter().find(|e| e.point == Point::TcpSend).unwrap();
    assert_eq!((made.protocol, &made.head[12..20]), (0x800, &[10, 0, 0, 1, 10, 0, 0, 2][..]));
    let way: Vec<Point> = events
        .iter()
        .filter(|e| e.pkt == made.pkt || matches!(e.point, Point::SocketSend | Point::SocketRead))
        .map(|e| e.point)
        .collect();
    let mut expected = [
        Point::SocketSend,
        Point::TcpSend,
        Point::IpSend,
        Point::DevSend,
        Point::IpReceive,
        Point::TcpReceive,
        Point::Demux,
        Point::SocketQueue,
        Point::SocketRead,
    ]
    .into_iter();
    let mut next = expected.next();
    for point in &way {
        if Some(*point) == next {
            next = expected.next();
        }
    }
    assert_eq!(next, None, "{way:?}");
}

#[test]
fn the_send_buffer_that_is_shown_has_grown_with_the_window() {
    let shown = |net: &mut Net, n: usize, s: SockId| net.call(n, |ns, t| ns.option(t, s, OptName::SndBuf));
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let c = net.tcp(A);
    assert_eq!(shown(&mut net, A, c), Ok(SockOpt::SndBuf(16_384)), "tcp_wmem's second");
    net.call(A, |ns, t| ns.close(t, c));
    let (c, s) = net.connection(A, B, l, "10.0.0.2:80");
    assert_eq!(shown(&mut net, A, c), Ok(SockOpt::SndBuf(87_040)));
    let mut left = 1_000_000;
    while left > 0 {
        net.send(A, c, &pattern(50_000)).ok();
        net.advance(MS);
        left -= net.recv_bytes(B, s).map_or(0, |bytes| bytes.len()).min(left);
    }
    let Ok(SockOpt::SndBuf(grown)) = shown(&mut net, A, c) else { panic!("SO_SNDBUF") };
    assert!(grown > 200_000 && grown <= 4_194_304, "{grown}");
    net.call(A, |ns, t| ns.set_option(t, c, SockOpt::SndBuf(30_000))).unwrap();
    assert_eq!(shown(&mut net, A, c), Ok(SockOpt::SndBuf(60_000)), "fixed by the program");
    // Loopback's segments are large.
    let l = net.listener(A, "127.0.0.1:81", 8);
    let c = net.tcp(A);
    net.connect(A, c, "127.0.0.1:81").unwrap();
    net.settle();
    net.accept(A, l).unwrap();
    assert_eq!(shown(&mut net, A, c), Ok(SockOpt::SndBuf(2_626_560)));
}
