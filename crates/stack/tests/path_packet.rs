//! Packet sockets: who sees which frame, how much of it, and what programs send by them.

mod common;

use common::{Net, switched};
use netspace_base::{Bytes, DevId, DropReason, PktType};
use netspace_stack::packet::{
    ETH_P_ALL, FanoutFlags, FanoutMode, Frame, LinkAddr, Member, MemberKind, PacketId, PacketType,
};
use netspace_stack::sock::{BpfInsn, Readiness, SockError};

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;

/// An open socket of host `n`, bound to a device.
fn open(net: &mut Net, n: usize, ty: PacketType, protocol: u16, dev: &str) -> PacketId {
    let dev = net.dev(n, dev);
    let id = net.hosts[n].packet_socket(ty, 0).unwrap();
    net.hosts[n].packet_bind(id, dev, protocol).unwrap();
    id
}

/// All frames that wait.
fn frames(net: &mut Net, n: usize, id: PacketId) -> Vec<Frame> {
    std::iter::from_fn(|| net.hosts[n].packet_recv(id, false).ok()).collect()
}

/// In tcpdump's words, with the direction.
fn words(frames: &[Frame]) -> Vec<String> {
    let word = |frame: &Frame| {
        let bytes: Vec<u8> = frame.data.iter().flatten().copied().collect();
        let way = if frame.pkt_type == PktType::Outgoing { "out" } else { "in" };
        format!("{way} {}", netspace_wire::text::summary(0, &bytes))
    };
    frames.iter().map(word).collect()
}

#[test]
fn a_socket_for_everything_sees_both_directions_in_order() {
    let mut net = switched(true);
    let id = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    net.ping(0, "10.0.0.2", 56).unwrap();
    assert!(net.woken_packets.contains(&(0, id)));
    let seen = frames(&mut net, 0, id);
    let words = words(&seen);
    let about: Vec<&str> = words.iter().map(String::as_str).filter(|w| !w.contains("ICMP6")).collect();
    assert!(about[0].starts_with("out") && about[0].contains("Request who-has 10.0.0.2"), "{about:#?}");
    assert!(about[1].starts_with("in") && about[1].contains("Reply 10.0.0.2 is-at"), "{about:#?}");
    assert!(about[2].starts_with("out") && about[2].contains("echo request"), "{about:#?}");
    assert!(about[3].starts_with("in") && about[3].contains("echo reply"), "{about:#?}");
    let reply = &seen[words.iter().position(|w| w.contains("echo reply")).unwrap()];
    assert_eq!((reply.pkt_type, reply.protocol, reply.network), (PktType::Host, IPV4, 14));
    assert_eq!(reply.source, net.hosts[1].dev.by_name("eth0").unwrap().mac);
    assert_eq!(reply.len, 14 + 20 + 8 + 56);
    net.assert_ledger();
}

#[test]
fn a_socket_for_one_protocol_sees_what_arrives_of_it() {
    let mut net = switched(true);
    let arp = open(&mut net, 1, PacketType::Dgram, ARP, "eth0");
    net.ping(0, "10.0.0.2", 56).unwrap();
    let seen = frames(&mut net, 1, arp);
    assert_eq!(seen.len(), 1, "the request; the reply leaves, and the echo is IPv4");
    assert_eq!((seen[0].pkt_type, seen[0].network), (PktType::Broadcast, 0));
    assert_eq!(seen[0].data[0][..8], [0, 1, 8, 0, 6, 4, 0, 1], "from the network header on");
}

#[test]
fn an_ethertype_that_only_a_packet_socket_knows_is_delivered() {
    let mut net = switched(true);
    let dst = net.hosts[1].dev.by_name("eth0").unwrap().mac;
    let sender = open(&mut net, 0, PacketType::Dgram, 0x88b5, "eth0");
    let to = LinkAddr { dev: net.dev(0, "eth0"), protocol: 0x88b5, mac: dst };
    let send = |net: &mut Net| {
        net.call(0, |ns, t| ns.packet_send(t, sender, Some(to), Bytes::from_static(b"hello"))).unwrap();
        net.settle();
        net.seconds(1);
    };
    send(&mut net);
    assert_eq!(net.dropped(DropReason::UnknownEtherType), 1);
    let receiver = open(&mut net, 1, PacketType::Raw, 0x88b5, "eth0");
    send(&mut net);
    assert_eq!(net.dropped(DropReason::UnknownEtherType), 1, "it has a taker now");
    let seen = frames(&mut net, 1, receiver);
    assert_eq!(seen[0].data.concat()[14..], *b"hello");
    assert_eq!(seen[0].source, net.hosts[0].dev.by_name("eth0").unwrap().mac, "the stack made the header");
    net.assert_ledger();
}

#[test]
fn what_a_socket_sends_it_does_not_get_back_but_others_do() {
    let mut net = switched(true);
    let sender = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    let other = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    let deaf = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    net.hosts[0].packet_ignore_outgoing(deaf, true).unwrap();
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend([7; 46]);
    let sent = net.call(0, |ns, t| ns.packet_send(t, sender, None, Bytes::from(frame)));
    assert_eq!(sent, Ok(60));
    assert!(frames(&mut net, 0, sender).is_empty());
    assert_eq!(frames(&mut net, 0, other)[0].pkt_type, PktType::Outgoing);
    assert!(frames(&mut net, 0, deaf).is_empty());
}

#[test]
fn a_filter_chooses_and_cuts() {
    let mut net = switched(true);
    let id = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    // `arp` of tcpdump with a snapshot of 20 bytes.
    let program = [
        BpfInsn { code: 0x28, jt: 0, jf: 0, k: 12 },
        BpfInsn { code: 0x15, jt: 0, jf: 1, k: u32::from(ARP) },
        BpfInsn { code: 0x06, jt: 0, jf: 0, k: 20 },
        BpfInsn { code: 0x06, jt: 0, jf: 0, k: 0 },
    ];
    net.hosts[0].packet_filter(id, Some(&program)).unwrap();
    net.ping(0, "10.0.0.2", 56).unwrap();
    let seen = frames(&mut net, 0, id);
    assert!(seen.iter().all(|f| f.protocol == ARP && f.captured() == 20 && f.len == 42), "{seen:?}");
    assert_eq!(seen.len(), 2);
    net.hosts[0].packet_lock_filter(id, true).unwrap();
    assert_eq!(net.hosts[0].packet_filter(id, None), Err(SockError::NotPermitted));
}

#[test]
fn only_a_promiscuous_device_sees_what_is_for_others() {
    let mut net = switched(false);
    let c = net.host("c");
    net.link(c, 2);
    net.seconds(3);
    let id = open(&mut net, c, PacketType::Raw, ETH_P_ALL, "eth0");
    let echoes = |net: &mut Net| {
        net.ping(0, "10.0.0.2", 56).unwrap();
        frames(net, c, id).iter().filter(|f| f.pkt_type == PktType::OtherHost).count()
    };
    assert_eq!(echoes(&mut net), 0, "the hub floods, the device's filter refuses");
    let member = Member { dev: net.dev(c, "eth0"), kind: MemberKind::Promiscuous };
    net.hosts[c].packet_join(id, member).unwrap();
    assert!(echoes(&mut net) >= 2);
    net.hosts[c].packet_close(id);
    let device = net.hosts[c].dev.by_name("eth0").unwrap();
    assert!(!device.flags().contains(netspace_stack::dev::DevFlags::PROMISC), "it ends with the socket");
}

#[test]
fn a_bridge_port_sees_frames_before_the_bridge_takes_them() {
    let mut net = switched(true);
    let id = open(&mut net, 2, PacketType::Raw, ETH_P_ALL, "eth1");
    let typed = open(&mut net, 2, PacketType::Raw, IPV4, "eth1");
    net.ping(0, "10.0.0.2", 56).unwrap();
    let words = words(&frames(&mut net, 2, id));
    assert!(words.iter().any(|w| w.starts_with("out") && w.contains("echo request")), "{words:#?}");
    assert!(words.iter().any(|w| w.starts_with("in") && w.contains("echo reply")), "{words:#?}");
    assert!(frames(&mut net, 2, typed).is_empty(), "nothing is for the port itself");
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut net = switched(true);
    let id = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    net.hosts[0].packet_set_rcvbuf(id, 2304).unwrap();
    for _ in 0..4 {
        net.ping(0, "10.0.0.2", 56).unwrap();
    }
    let stats = net.hosts[0].packet_take_stats(id).unwrap();
    let kept = frames(&mut net, 0, id).len() as u32;
    assert!(stats.drops > 0 && stats.packets == kept + stats.drops, "{stats:?}, {kept} kept");
    assert_eq!(net.hosts[0].packet_take_stats(id).unwrap().packets, 0, "reading clears");
}

#[test]
fn a_device_that_goes_down_tells_its_sockets() {
    let mut net = switched(true);
    let id = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "eth0");
    let dev = net.dev(0, "eth0");
    net.woken_packets.clear();
    net.call(0, |ns, t| ns.set_up(t, dev, false)).unwrap();
    assert_eq!(net.woken_packets, [(0, id)]);
    assert!(net.hosts[0].packet_readiness(id).contains(Readiness::ERR));
    assert_eq!(net.hosts[0].packet_recv(id, false).unwrap_err(), SockError::NetworkDown);
    assert_eq!(net.hosts[0].packet_recv(id, false).unwrap_err(), SockError::WouldBlock);
    let to_nowhere = net.call(0, |ns, t| ns.packet_send(t, id, None, Bytes::from_static(&[0; 60])));
    assert_eq!(to_nowhere, Err(SockError::NetworkDown));
}

#[test]
fn sending_refuses_what_no_frame_can_be() {
    let mut net = switched(true);
    let id = open(&mut net, 0, PacketType::Raw, 0, "eth0");
    let mut send = |len: usize, to| net.call(0, |ns, t| ns.packet_send(t, id, to, Bytes::from(vec![0; len])));
    assert_eq!(send(13, None), Err(SockError::Invalid));
    assert_eq!(send(1515, None), Err(SockError::MessageSize));
    assert_eq!(send(1514, None), Ok(1514));
    let nowhere = LinkAddr { dev: DevId(99), protocol: IPV4, mac: [0; 6] };
    assert_eq!(send(60, Some(nowhere)), Err(SockError::NoSuchAddress));
    assert_eq!(net.hosts[0].packet_bind(id, DevId(99), 0), Err(SockError::NoDevice));
}

#[test]
fn a_fanout_group_shares_frames_and_keeps_a_flow_together() {
    for (mode, spread) in
        [(FanoutMode::Hash, false), (FanoutMode::LoadBalance, true), (FanoutMode::Cpu, false)]
    {
        let mut net = switched(true);
        let ids = [(); 3].map(|()| open(&mut net, 1, PacketType::Raw, IPV4, "eth0"));
        for id in ids {
            net.hosts[1].packet_fanout(id, 7, mode, FanoutFlags::empty()).unwrap();
        }
        for _ in 0..6 {
            net.ping(0, "10.0.0.2", 56).unwrap();
        }
        let shares = ids.map(|id| frames(&mut net, 1, id).len());
        assert_eq!(shares.iter().sum::<usize>(), 6, "each frame once: {mode:?} {shares:?}");
        assert_eq!(shares.iter().all(|&n| n == 2), spread, "{mode:?} {shares:?}");
    }
    let mut net = switched(true);
    let [a, b] = [(); 2].map(|()| open(&mut net, 1, PacketType::Raw, IPV4, "eth0"));
    net.hosts[1].packet_fanout(a, 7, FanoutMode::Hash, FanoutFlags::empty()).unwrap();
    let other = net.hosts[1].packet_fanout(b, 7, FanoutMode::Random, FanoutFlags::empty());
    assert_eq!(other, Err(SockError::Invalid), "a group is of one kind");
}

#[test]
fn the_loopback_device_shows_a_packet_twice() {
    let mut net = switched(true);
    let id = open(&mut net, 0, PacketType::Raw, ETH_P_ALL, "lo");
    net.ping(0, "127.0.0.1", 8).unwrap();
    let seen = frames(&mut net, 0, id);
    let types: Vec<PktType> = seen.iter().map(|f| f.pkt_type).collect();
    assert_eq!(types, [PktType::Outgoing, PktType::Host, PktType::Outgoing, PktType::Host]);
    assert!(seen.iter().all(|f| f.link_type == 772));
}
