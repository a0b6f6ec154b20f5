//! Frames of one flow that come together are joined on the way in, and cut to the same frames again on the way out.

mod common;

use common::{Net, routed, switched};
use netspace_base::Bytes;
use netspace_stack::snmp::Counter;
use netspace_stack::sock::{Family, Message, RecvFlags, SockError, SockId, SockOpt, SockType};

/// Enough that windows open to hundreds of frames.
const BYTES: usize = 1_000_000;

/// Every device cuts large segments; whether it joins is for the test to say.
fn cutting(net: &mut Net, joins: bool) {
    for n in 0..net.hosts.len() {
        let devs: Vec<_> =
            net.hosts[n].dev.iter().filter(|d| d.name.starts_with("eth")).map(|d| d.id).collect();
        for dev in devs {
            net.hosts[n].set_offload(dev, false).unwrap();
            net.hosts[n].set_gro(dev, joins).unwrap();
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Sends [`BYTES`] from host 0 to a listener on host `to`; gives what arrives.
fn transfer(net: &mut Net, to: usize, addr: &str) -> Vec<u8> {
    let tcp =
        |net: &mut Net, n| net.call(n, |ns, t| ns.socket(t, Family::Inet, SockType::Stream, 0)).unwrap();
    let (listener, client) = (tcp(net, to), tcp(net, 0));
    net.call(to, |ns, t| ns.bind(t, listener, "0.0.0.0:80".parse().unwrap())).unwrap();
    net.call(to, |ns, t| ns.listen(t, listener, 1)).unwrap();
    net.call(0, |ns, t| ns.connect(t, client, addr.parse().unwrap())).unwrap();
    net.seconds(1);
    let (server, _) = net.call(to, |ns, t| ns.accept(t, listener)).expect("a connection");
    let data = Bytes::from(pattern(BYTES));
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < BYTES {
        let message = Message { data: data.slice(sent..), ..Message::default() };
        match net.call(0, |ns, t| ns.send(t, client, message)) {
            Ok(n) => sent += n,
            Err(error) => assert_eq!(error, SockError::WouldBlock),
        }
        net.advance(std::time::Duration::from_millis(20));
        while let Ok(part) = net.call(to, |ns, t| ns.recv(t, server, usize::MAX, RecvFlags::default())) {
            got.extend(part.data.concat());
        }
    }
    got
}

/// The frames with data that left a host by a device, in order.
fn data_frames(net: &Net, n: usize, dev: &str) -> Vec<String> {
    let end = (n, net.dev(n, dev));
    let data = |line: &&String| line.contains(" > 10.0.2.2.80") && !line.contains("length 0");
    net.log.iter().filter(|(_, from, _)| *from == end).map(|(.., line)| line).filter(data).cloned().collect()
}

#[test]
fn a_router_joins_and_cuts_without_a_trace_on_the_wire() {
    let forwarded = |joins: bool| {
        let mut net = routed();
        cutting(&mut net, joins);
        assert!(transfer(&mut net, 2, "10.0.2.2:80") == pattern(BYTES), "byte for byte");
        let came = data_frames(&net, 0, "eth0");
        let left = data_frames(&net, 1, "eth1");
        assert!(came.len() >= BYTES / 1460, "{} frames", came.len());
        // All but the time to live, which the log does not show, is as it came.
        assert_eq!(came, left);
        net.assert_ledger();
        net.hosts[1].snmp.get(Counter::IpForwDatagrams)
    };
    let (alone, joined) = (forwarded(false), forwarded(true));
    assert!(joined * 4 < alone, "{joined} packets instead of {alone}");
}

#[test]
fn a_switch_and_a_host_join_too() {
    let received = |joins: bool| {
        let mut net = switched(true);
        cutting(&mut net, joins);
        assert!(transfer(&mut net, 1, "10.0.0.2:80") == pattern(BYTES));
        net.assert_ledger();
        let dev = net.dev(1, "eth0");
        let frames = net.hosts[1].dev.get(dev).unwrap().stats.rx_packets;
        assert!(frames as usize > BYTES / 1460, "frames are counted as they come: {frames}");
        net.hosts[1].snmp.get(Counter::IpInReceives)
    };
    let (alone, joined) = (received(false), received(true));
    assert!(joined * 4 < alone, "{joined} packets instead of {alone}");
}

#[test]
fn datagrams_are_joined_for_sockets_that_ask_for_it() {
    let mut net = switched(true);
    cutting(&mut net, true);
    let udp = |net: &mut Net, n: usize, addr: &str| -> SockId {
        let s = net.call(n, |ns, t| ns.socket(t, Family::Inet, SockType::Dgram, 0)).unwrap();
        net.call(n, |ns, t| ns.bind(t, s, addr.parse().unwrap())).unwrap();
        s
    };
    let (from, plain, gro) =
        (udp(&mut net, 0, "0.0.0.0:1"), udp(&mut net, 1, "0.0.0.0:2"), udp(&mut net, 1, "0.0.0.0:3"));
    let send = |net: &mut Net, port: u16, lens: &[usize]| {
        for &len in lens {
            let to = Some(format!("10.0.0.2:{port}").parse().unwrap());
            let message = Message { to, data: Bytes::from(pattern(len)), ..Message::default() };
            net.call(0, |ns, t| ns.send(t, from, message)).unwrap();
        }
        net.seconds(1);
    };
    let take = |net: &mut Net, s| -> Vec<(usize, Option<u16>)> {
        std::iter::from_fn(|| net.recv(1, s, false).ok().map(|got| (got.len(), got.control.gro_size)))
            .collect()
    };
    send(&mut net, 3, &[1200]);
    assert_eq!(take(&mut net, gro), [(1200, None)]);
    send(&mut net, 3, &[1200, 1200, 1200]);
    assert_eq!(take(&mut net, gro), [(1200, None); 3], "nobody has asked yet");
    net.call(1, |ns, t| ns.set_option(t, gro, SockOpt::UdpGro(true))).unwrap();
    send(&mut net, 3, &[1200, 1200, 500, 1200, 1300, 1300]);
    assert_eq!(take(&mut net, gro), [(2900, Some(1200)), (1200, None), (2600, Some(1300))]);
    send(&mut net, 2, &[1200, 1200, 500]);
    assert_eq!(
        take(&mut net, plain),
        [(1200, None), (1200, None), (500, None)],
        "others get them one by one"
    );
    net.call(1, |ns, t| ns.close(t, gro));
    let before = net.hosts[1].snmp.get(Counter::IpInReceives);
    send(&mut net, 2, &[1200; 5]);
    assert_eq!(net.hosts[1].snmp.get(Counter::IpInReceives) - before, 5, "and nothing is joined any more");
    net.assert_ledger();
}
