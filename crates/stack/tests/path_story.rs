//! A packet's story: which places it passes, host by host; large segments whole through switch and router.

mod common;

use common::{Net, routed, routed_with};
use netspace_base::{Bytes, Detail, Event, NsId, Point};
use netspace_stack::sock::{Connect, Family, Message, RecvFlags, SockError, SockId, SockType};

/// The places that the story's events passed on one host, without repetitions of the same place.
fn places(events: &[Event], ns: u32) -> Vec<Point> {
    let mut out: Vec<Point> = events.iter().filter(|e| e.ns == NsId(ns)).map(|e| e.point).collect();
    out.dedup();
    out
}

#[test]
fn an_echo_request_is_followed_through_every_stage() {
    let mut net = routed();
    net.t.trace.on = true;
    net.ping(0, "10.0.2.2", 56).unwrap();
    let events = net.t.trace.take();
    use Point::*;
    let client = places(&events, 1);
    let sent =
        [IcmpSend, RouteOut, IpSend, NeighQueue, ArpSend, DevSend, RingReceive, DevReceive, ArpReceive];
    assert!(client[1..].starts_with(&sent), "{client:?}");
    assert!(client.windows(2).any(|w| w == [NeighSend, DevSend]), "the answer sends what waited: {client:?}");
    let router = places(&events, 2);
    let passed = [RingReceive, DevReceive, IpReceive, RouteIn, Forward];
    assert!(router.windows(5).any(|w| w == passed), "{router:?}");
    let server = places(&events, 3);
    assert!(
        server.windows(6).any(|w| w[..] == [IpReceive, RouteIn, Deliver, IcmpReceive, IcmpSend, RouteOut]),
        "{server:?}"
    );
    let ttl = events.iter().find_map(|e| if let Detail::Ttl(ttl) = e.detail { Some(ttl) } else { None });
    assert_eq!(ttl, Some(63));
    let route = events.iter().find(|e| e.point == RouteOut && e.ns == NsId(1)).unwrap();
    assert!(matches!(route.detail, Detail::Route { via, .. } if via.to_string() == "10.0.1.1"));
    // Every event shows a packet that reads well from where it starts.
    for event in events.iter().filter(|e| !e.head.is_empty()) {
        let text = netspace_wire::text::summary(event.protocol, &event.head);
        assert!(!text.contains("truncated") && !text.contains("malformed"), "{:?}: {text}", event.point);
    }
}

#[test]
fn a_drop_is_told_with_its_reason_where_it_happens() {
    let mut net = routed();
    net.t.trace.on = true;
    let _ = net.ping(0, "192.0.2.1", 56);
    let events = net.t.trace.take();
    let drop = events.iter().find(|e| e.point == Point::Drop).unwrap();
    assert_eq!((drop.ns, &drop.detail), (NsId(2), &Detail::Drop(netspace_base::DropReason::NoRoute)));
}

fn tcp_pair(net: &mut Net, to: &str) -> (SockId, SockId) {
    let addr: std::net::SocketAddr = to.parse().unwrap();
    let family = if addr.is_ipv4() { Family::Inet } else { Family::Inet6 };
    let listener = net.call(2, |ns, t| ns.socket(t, family, SockType::Stream, 0)).unwrap();
    net.call(2, |ns, t| ns.bind(t, listener, addr)).unwrap();
    net.call(2, |ns, t| ns.listen(t, listener, 5)).unwrap();
    let client = net.call(0, |ns, t| ns.socket(t, family, SockType::Stream, 0)).unwrap();
    assert_eq!(net.call(0, |ns, t| ns.connect(t, client, addr)), Ok(Connect::InProgress));
    net.seconds(1);
    let (server, _) = net.call(2, |ns, t| ns.accept(t, listener)).unwrap();
    (client, server)
}

/// Sends `len` bytes and checks that they arrive.
fn transfer(net: &mut Net, client: SockId, server: SockId, len: usize) {
    let data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    for _ in 0..20_000 {
        if sent < len {
            let part = Bytes::copy_from_slice(&data[sent..len.min(sent + 65_536)]);
            match net.call(0, |ns, t| ns.send(t, client, Message { data: part, ..Message::default() })) {
                Ok(n) => sent += n,
                Err(SockError::WouldBlock) => {}
                Err(e) => panic!("send: {e}"),
            }
        }
        net.advance(std::time::Duration::from_millis(1));
        while let Ok(received) = net.call(2, |ns, t| ns.recv(t, server, 1 << 20, RecvFlags::default())) {
            if received.is_empty() {
                break;
            }
            got.extend(received.data.concat());
        }
        if got.len() == len {
            break;
        }
    }
    assert!(got == data, "{} of {len} bytes arrived whole", got.len());
}

#[test]
fn large_segments_pass_whole_and_are_cut_where_the_device_asks() {
    for (to, offload) in
        [("10.0.2.2:80", true), ("[fd00:2::2]:80", true), ("10.0.2.2:80", false), ("[fd00:2::2]:80", false)]
    {
        let mut net = routed();
        let (client, server) = tcp_pair(&mut net, to);
        let dev = net.dev(1, "eth1");
        assert!(net.call(1, |ns, _| ns.set_offload(dev, offload)).is_ok());
        let largest = std::rc::Rc::new(std::cell::Cell::new(0));
        let seen = largest.clone();
        net.links[1].lose = Some(Box::new(move |pkt| {
            seen.set(seen.get().max(pkt.len()));
            false
        }));
        transfer(&mut net, client, server, 1_000_000);
        assert_eq!(largest.get() > 1514, offload, "{to}: {}", largest.get());
        net.assert_ledger();
    }
}

#[test]
fn tcp_learns_a_smaller_path_mtu() {
    for to in ["10.0.2.2:80", "[fd00:2::2]:80"] {
        let mut net = routed_with(1500, 1300);
        let (client, server) = tcp_pair(&mut net, to);
        transfer(&mut net, client, server, 500_000);
        net.assert_ledger();
    }
}

#[test]
fn tcp_survives_a_link_that_was_pulled() {
    let mut net = routed();
    let (client, server) = tcp_pair(&mut net, "10.0.2.2:80");
    transfer(&mut net, client, server, 100_000);
    net.plug(1, false);
    net.seconds(30);
    net.plug(1, true);
    net.seconds(60);
    transfer(&mut net, client, server, 100_000);
    net.assert_ledger();
}
