//! Demands of RFC 9293 on what lies around a connection: addresses, checksums, calls; `cargo xtask rfc` lists them all.

mod sock_common;

use std::time::Duration;

use netspace_base::{ChecksumState, Pkt};
use netspace_stack::sock::{Connect, Family, SockError, SockOpt, SockType};
use netspace_wire::checksum;
use netspace_wire::ipv4::Ipv4Repr;
use sock_common::{A, B, Net, family_of};

const MS: Duration = Duration::from_millis(1);
const SYN_SENT: u8 = 2;
const ESTABLISHED: u8 = 1;

fn state(net: &Net, n: usize, s: netspace_stack::sock::SockId) -> u8 {
    net.host[n].tcp_info(s, net.t.now).map_or(0, |info| info.state)
}

/// RFC 9293 MUST-2, MUST-3
#[test]
fn a_segment_is_summed_up_and_a_damaged_one_dropped() {
    for (bind, to) in [("0.0.0.0:80", "10.0.0.2:80"), ("[::]:80", "[fd00::2]:80")] {
        let mut net = Net::new();
        let l = net.listener(B, bind, 8);
        let (c, s) = net.connection(A, B, l, to);
        net.damage = Some(|pkt| {
            checksum::fill_checksum(pkt);
            assert!(checksum::verify(pkt), "the sender's sum is right");
            pkt.linearize();
            pkt.checksum = ChecksumState::None;
            *pkt.data_mut().last_mut().expect("bytes") ^= 1;
        });
        net.send(A, c, b"data").unwrap();
        net.advance(MS * 5);
        assert_eq!(net.recv_bytes(B, s), Err(SockError::WouldBlock));
        net.damage = None;
        net.advance(Duration::from_secs(2));
        assert_eq!(net.recv_bytes(B, s).unwrap(), b"data", "sent again");
    }
}

/// RFC 9293 MUST-41, MUST-42
#[test]
fn listening_on_the_port_of_a_connection_in_the_making_leaves_it_alone() {
    let mut net = Net::new();
    let far = net.listener(A, "10.0.0.1:9", 8);
    let c = net.tcp(B);
    net.call(B, |ns, t| ns.set_option(t, c, SockOpt::ReuseAddr(true))).unwrap();
    net.bind(B, c, "10.0.0.2:80").unwrap();
    net.lose = Some(|_| true);
    assert_eq!(net.connect(B, c, "10.0.0.1:9"), Ok(Connect::InProgress));
    net.advance(MS * 5);
    let l = net.tcp(B);
    net.call(B, |ns, t| ns.set_option(t, l, SockOpt::ReuseAddr(true))).unwrap();
    net.bind(B, l, "10.0.0.2:80").unwrap();
    net.call(B, |ns, t| ns.listen(t, l, 8)).unwrap();
    assert_eq!(state(&net, B, c), SYN_SENT);
    net.lose = None;
    net.advance(Duration::from_secs(4));
    assert_eq!(state(&net, B, c), ESTABLISHED);
    net.accept(A, far).expect("the connection");
    net.connection(A, B, l, "10.0.0.2:80");
}

/// RFC 9293 MUST-43, MUST-44, MUST-45
#[test]
fn the_local_address_is_the_programs_choice_or_ips_and_stays() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let dev = net.dev[A];
    net.call(A, |ns, t| ns.add_address(t, dev, "10.0.0.7/24".parse().unwrap(), true)).unwrap();
    let free = net.tcp(A);
    let bound = net.tcp(A);
    net.bind(A, bound, "10.0.0.7:0").unwrap();
    for (c, from) in [(free, "10.0.0.1"), (bound, "10.0.0.7")] {
        net.connect(A, c, "10.0.0.2:80").unwrap();
        net.advance(MS * 10);
        let (s, peer) = net.accept(B, l).unwrap();
        assert_eq!(peer.ip().to_string(), from);
        assert_eq!(net.host[A].local_addr(c).unwrap(), peer);
        net.send(A, c, b"x").unwrap();
        net.advance(MS * 10);
        assert_eq!(net.recv_bytes(B, s).unwrap(), b"x");
    }
}

/// RFC 9293 MUST-46
#[test]
fn nobody_connects_to_a_group_or_to_everybody() {
    let mut net = Net::new();
    net.advance(Duration::from_secs(30));
    for to in ["224.1.1.1:80", "10.0.0.255:80", "255.255.255.255:80", "[ff02::1]:80", "[ff05::7]:80"] {
        let before = net.frames;
        let c = net.socket(A, family_of(to), SockType::Stream);
        assert!(net.connect(A, c, to).is_err(), "{to}");
        net.advance(MS * 10);
        assert_eq!(net.frames, before, "{to}: nothing was sent");
    }
}

/// Whether an IPv4 packet of A's bears what the program chose; frames of others do.
fn as_chosen(pkt: &Pkt) -> bool {
    let Ok((ip, _)) = Ipv4Repr::parse(pkt.network_header()) else { return true };
    ip.src.to_string() != "10.0.0.1" || (ip.tos == 0x20 && ip.ttl == 7)
}

/// RFC 9293 MUST-48, MUST-49
#[test]
fn traffic_class_and_time_to_live_are_the_programs_choice() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    for chosen in [true, false] {
        let c = net.socket(A, Family::Inet, SockType::Stream);
        if chosen {
            net.call(A, |ns, t| ns.set_option(t, c, SockOpt::IpTos(0x20))).unwrap();
            net.call(A, |ns, t| ns.set_option(t, c, SockOpt::IpTtl(Some(7)))).unwrap();
        }
        net.lose = Some(|pkt| !as_chosen(pkt));
        net.connect(A, c, "10.0.0.2:80").unwrap();
        net.advance(MS * 100);
        assert_eq!(net.accept(B, l).is_ok(), chosen, "only what bears both comes through");
    }
}
