//! The switch: learning, flooding, ageing, hubs, ports that come and go, captures.

mod common;

use std::time::Duration;

use common::{Net, switched};
use netspace_base::DropReason;

/// Three hosts at a switch.
fn three(learn: bool) -> Net {
    let mut net = switched(learn);
    let c = net.host("c");
    net.link(c, 2);
    net.addr(c, "eth0", "10.0.0.3/24");
    net.addr(c, "eth0", "fd00::3/64");
    net.seconds(3);
    net
}

/// Frames that the switch sent to host c.
fn sent_to_c(net: &Net) -> u64 {
    net.hosts[2].dev.get(net.dev(2, "eth2")).unwrap().stats.tx_packets
}

#[test]
fn a_switch_learns_and_then_sends_to_one_port_only() {
    let mut net = three(true);
    net.ping(0, "10.0.0.2", 56).unwrap();
    let before = sent_to_c(&net);
    net.ping(0, "10.0.0.2", 56).unwrap();
    assert_eq!(sent_to_c(&net), before, "c sees nothing of what a and b say to each other");
    let bridge = net.hosts[2].dev.by_name("br0").unwrap().bridge().unwrap();
    let mac_b = net.hosts[1].dev.by_name("eth0").unwrap().mac;
    assert_eq!(bridge.port_of(mac_b, net.t.now).map(|e| e.port), Some(net.dev(2, "eth1")));
    net.assert_ledger();
}

#[test]
fn a_hub_sends_everything_everywhere() {
    let mut net = three(false);
    net.ping(0, "10.0.0.2", 56).unwrap();
    let before = sent_to_c(&net);
    net.ping(0, "10.0.0.2", 56).unwrap();
    assert_eq!(sent_to_c(&net), before + 2);
    assert!(net.dropped(DropReason::OtherHost) >= 2, "c's device drops what is for others");
}

#[test]
fn stations_are_forgotten_after_five_minutes() {
    let mut net = three(true);
    for n in [0, 1, 3] {
        // Hosts that look for routers are heard of again and again.
        net.sysctl(n, "ipv6.conf.eth0.router_solicitations", "0");
    }
    net.ping(0, "10.0.0.2", 56).unwrap();
    net.seconds(240);
    let learnt = |net: &Net| {
        let bridge = net.hosts[2].dev.by_name("br0").unwrap().bridge().unwrap();
        bridge.fdb().iter().filter(|(_, e)| !e.permanent).count()
    };
    assert!(learnt(&net) > 0);
    net.seconds(400);
    assert_eq!(learnt(&net), 0);
}

#[test]
fn a_station_that_moves_is_found_at_its_new_port() {
    let mut net = three(true);
    net.ping(0, "10.0.0.2", 56).unwrap();
    // b's link is pulled: what was learnt there is forgotten at once.
    net.plug(1, false);
    let mac_b = net.hosts[1].dev.by_name("eth0").unwrap().mac;
    let bridge = net.hosts[2].dev.by_name("br0").unwrap().bridge().unwrap();
    assert_eq!(bridge.port_of(mac_b, net.t.now), None);
    net.plug(1, true);
    assert_eq!(net.ping(0, "10.0.0.2", 56), Ok((56, 64)));
}

#[test]
fn a_switch_with_an_address_is_a_host_itself() {
    let mut net = three(true);
    net.addr(2, "br0", "10.0.0.100/24");
    assert_eq!(net.ping(0, "10.0.0.100", 56), Ok((56, 64)));
    assert_eq!(net.ping(2, "10.0.0.3", 56), Ok((56, 64)));
    net.assert_ledger();
}

#[test]
fn reserved_groups_are_not_forwarded() {
    let mut net = three(true);
    let before = net.dropped(DropReason::BridgeReserved);
    let mut frame = vec![1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 9, 9, 0, 38];
    frame.extend([0; 46]);
    let port = net.dev(2, "eth0");
    net.inject((2, port), &frame);
    assert_eq!(net.dropped(DropReason::BridgeReserved), before + 1);
}

#[test]
fn a_full_table_floods() {
    let mut net = three(true);
    let port = net.dev(2, "eth0");
    for n in 0..70_000u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let mut frame = vec![2, 0xff, 0xff, 0xff, 0xff, 0xff, 0x06, 0, a, b, c, d, 0x88, 0xb5];
        frame.extend([0; 46]);
        net.inject((2, port), &frame);
    }
    let bridge = net.hosts[2].dev.by_name("br0").unwrap().bridge().unwrap();
    assert_eq!(bridge.fdb().len(), 65_536);
    net.assert_ledger();
}

#[test]
fn captures_see_both_directions_on_their_device_only() {
    let mut net = switched(true);
    let dev = net.dev(0, "eth0");
    net.hosts[0].dev.set_capture(dev, true);
    net.ping(0, "10.0.0.2", 56).unwrap();
    let taps: Vec<_> = net.t.taps.drain(..).map(|tap| (tap.dev, tap.outgoing)).collect();
    assert_eq!(
        taps,
        [(dev, true), (dev, false), (dev, true), (dev, false)],
        "ARP and echo, asked and answered"
    );
}

#[test]
fn the_ring_holds_a_thousand_frames() {
    let mut net = switched(true);
    let dev = net.dev(0, "eth0");
    let frame = [[0xff; 6].as_slice(), &[2, 0, 0, 0, 9, 9, 0x88, 0xb5], &[0; 46]].concat();
    for n in 0..1500 {
        let pkt = netspace_base::Pkt::from_slice(netspace_base::PktId(n), &frame);
        net.hosts[0].receive(&mut net.t, dev, pkt);
    }
    assert_eq!(net.dropped(DropReason::RxRingFull), 500);
    assert_eq!(net.hosts[0].dev.get(dev).unwrap().stats.rx_dropped, 500);
    assert!(net.hosts[0].run(&mut net.t), "300 frames in one run");
    net.assert_ledger();
    net.advance(Duration::ZERO);
    assert_eq!(net.hosts[0].queued(), 0);
}

#[test]
fn an_unplugged_link_drops_and_comes_back() {
    let mut net = switched(true);
    net.ping(0, "10.0.0.2", 56).unwrap();
    net.plug(0, false);
    assert!(net.ping(0, "10.0.0.2", 56).is_err());
    net.seconds(30);
    net.plug(0, true);
    assert_eq!(net.ping(0, "10.0.0.2", 56), Ok((56, 64)));
    assert_eq!(net.ping(0, "fd00::2", 56), Ok((56, 64)));
    net.assert_ledger();
}

#[test]
fn a_bridge_knows_a_port_by_its_new_address() {
    let mut net = switched(true);
    let port = net.dev(2, "eth0");
    let bridge = net.dev(2, "br0");
    let old = net.hosts[2].dev.get(port).unwrap().mac;
    let new = [2, 0, 0, 0, 0, 99];
    net.call(2, |ns, t| ns.set_mac(t, port, new)).unwrap();
    let fdb = net.hosts[2].dev.get(bridge).unwrap().bridge().unwrap().fdb();
    assert!(fdb.iter().any(|(mac, e)| *mac == new && e.local && e.port == port), "{fdb:?}");
    assert!(fdb.iter().all(|(mac, _)| *mac != old), "{fdb:?}");
}
