//! The requests that real tools sent, answered by a namespace like the one in which they were recorded.

use crate::common::Host;
use netspace_uapi::netlink::read::{Attr, Header, attrs, messages};
use netspace_uapi::netlink::write::Message;
use netspace_uapi::netlink::{NETLINK_ROUTE, NetlinkSocket, flag};

const CORPUS: &str = include_str!("corpus/rtnetlink.txt");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect()
}

/// The `n`-th request of a recorded command, and the kernel's datagrams that followed it.
fn recorded(command: &str, n: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut lines = CORPUS.lines().skip_while(|line| line.strip_prefix("# ") != Some(command)).skip(1);
    let mut request = None;
    for _ in 0..=n {
        request = lines.by_ref().find_map(|line| line.strip_prefix("> "));
    }
    let replies = lines.map_while(|line| line.strip_prefix("< ")).map(unhex).collect();
    (unhex(request.expect("recorded")), replies)
}

/// All messages of several datagrams, without the port (which differs from run to run).
fn split(datagrams: &[Vec<u8>]) -> Vec<(Header, Vec<u8>)> {
    datagrams
        .iter()
        .flat_map(|d| messages(d))
        .map(|(mut header, bytes)| {
            header.pid = 0;
            let mut bytes = bytes.to_vec();
            bytes[12..16].fill(0);
            (header, bytes)
        })
        .collect()
}

fn types(bytes: &[u8], header_len: usize) -> Vec<u16> {
    attrs(&bytes[16 + header_len..], 0).map(|a| a.ty).collect()
}

fn attr(bytes: &[u8], header_len: usize, ty: u16) -> Option<Attr<'_>> {
    attrs(&bytes[16 + header_len..], 0).find(|a| a.ty == ty)
}

fn errno(datagrams: &[Vec<u8>]) -> Option<i32> {
    let (header, bytes) = split(datagrams).pop()?;
    (header.ty == 2).then(|| i32::from_ne_bytes(bytes[16..20].try_into().unwrap()))
}

#[test]
fn routes_and_rules_come_byte_for_byte_as_the_kernel_s() {
    let mut host = Host::new();
    for (command, n) in [("ip route", 0), ("ip rule", 0), ("ip -6 rule", 0)] {
        let (request, kernel) = recorded(command, n);
        let ours = split(&host.ask(&request));
        assert_eq!(ours.last().map(|(header, _)| header.ty), Some(3), "{command}: its end");
        // In the recording, the end of the dump comes after another socket's exchange.
        let entries =
            |all: Vec<(Header, Vec<u8>)>| -> Vec<_> { all.into_iter().filter(|m| m.0.ty != 3).collect() };
        let (ours, kernel) = (entries(ours), entries(split(&kernel)));
        assert_eq!(ours, kernel, "{command}");
    }
}

#[test]
fn links_have_the_kernel_s_attributes_in_its_order() {
    let mut host = Host::new();
    let (request, kernel) = recorded("ip addr", 0);
    let (ours, kernel) = (split(&host.ask(&request)), split(&kernel));
    assert_eq!(ours.len(), 3, "lo, eth0, the end");
    assert_eq!(ours[2], kernel[2]);
    for (ours, kernel) in ours.iter().zip(&kernel).take(2) {
        assert_eq!(ours.0.ty, 16);
        assert_eq!(ours.1[16..28], kernel.1[16..28], "type, number and flags");
        let (ours, mut kernel) = (types(&ours.1, 16), types(&kernel.1, 16).into_iter());
        assert!(ours.iter().all(|ty| kernel.any(|k| k == *ty)), "{ours:?}");
    }
    let lo = &ours[0].1;
    assert_eq!(attr(lo, 16, 3).and_then(|a| a.str()), Some("lo"));
    assert_eq!(attr(lo, 16, 4).and_then(|a| a.u32()), Some(65_536));
    assert_eq!(
        attr(&ours[1].1, 16, 1).map(|a| a.data.to_vec()),
        Some(vec![0xf6, 0x7c, 0xeb, 0x01, 0x5c, 0x60])
    );
}

#[test]
fn addresses_tell_what_getifaddrs_reads() {
    let mut host = Host::new();
    let (request, _) = recorded("ip addr", 1);
    let replies = split(&host.ask(&request));
    let addresses: Vec<_> = replies
        .iter()
        .filter(|(h, _)| h.ty == 20)
        .map(|(_, b)| {
            (u32::from_ne_bytes(b[20..24].try_into().unwrap()), attr(b, 8, 1).unwrap().ip().unwrap(), b[17])
        })
        .collect();
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    assert_eq!(addresses[..2], [(1, ip("127.0.0.1"), 8), (2, ip("10.0.0.1"), 24)]);
    assert!(addresses.contains(&(1, ip("::1"), 128)) && addresses.contains(&(2, ip("fd00:a::1"), 64)));
    assert_eq!(replies.last().map(|(h, _)| h.ty), Some(3));
}

/// Go's `net.Interfaces` and musl send a `rtgenmsg` of one byte, and do not ask for strictness.
#[test]
fn a_one_byte_header_is_enough_for_a_dump() {
    let mut host = Host::new();
    for ty in [18u16, 22, 26, 30, 34] {
        let mut request = 17u32.to_ne_bytes().to_vec();
        request.extend(ty.to_ne_bytes());
        request.extend((flag::REQUEST | flag::DUMP).to_ne_bytes());
        request.extend([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut socket = NetlinkSocket::new(NETLINK_ROUTE).expect("served");
        let replies = host.ask_on(&mut socket, &request);
        assert!(replies.iter().all(|d| d.len() <= 4096), "each fits a page");
        assert_eq!(split(&replies).last().map(|(h, _)| (h.ty, h.seq)), Some((3, 1)), "{ty}");
    }
}

#[test]
fn the_way_to_a_destination_is_the_data_path_s() {
    let mut host = Host::new();
    let (request, kernel) = recorded("ip route get 10.0.1.2", 0);
    let (ours, kernel) = (split(&host.ask(&request)), split(&kernel));
    assert_eq!(ours[0].1[16..28], kernel[0].1[16..28]);
    for ty in [1, 4, 5, 7, 15] {
        assert_eq!(
            attr(&ours[0].1, 12, ty).map(|a| a.data),
            attr(&kernel[0].1, 12, ty).map(|a| a.data),
            "{ty}"
        );
    }
    let mut message = Message::new(26, flag::REQUEST, 1, 0);
    message.raw(&[2, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).ip(1, "10.0.0.1".parse().unwrap());
    let local = split(&host.ask(&message.into_bytes()));
    assert_eq!(
        (local[0].1[23], attr(&local[0].1, 12, 4).and_then(|a| a.u32())),
        (2, Some(1)),
        "local, by lo"
    );
}

#[test]
fn probes_and_mistakes_fail_as_tools_expect() {
    let mut host = Host::new();
    // iproute2 asks by an empty NEWLINK whether attributes are checked: ENODEV, never EOPNOTSUPP.
    let (probe, kernel) = recorded("ip link show eth0", 0);
    assert_eq!(errno(&host.ask(&probe)), errno(&kernel));
    assert_eq!(errno(&kernel), Some(-libc::ENODEV));
    let (nope, kernel) = recorded("ip addr add 10.9.0.1/24 dev nope", 0);
    let ours = host.ask(&nope);
    assert_eq!(errno(&ours), Some(-libc::ENODEV));
    assert_eq!(split(&ours)[0].1[20..], split(&kernel)[0].1[20..], "the request is quoted");

    let mut unknown = Message::new(200, flag::REQUEST, 1, 0);
    unknown.raw(&[0; 4]);
    assert_eq!(errno(&host.ask(&unknown.into_bytes())), Some(-libc::EOPNOTSUPP));
    assert_eq!(NetlinkSocket::new(99).map(|_| ()), Err(netspace_uapi::Errno(libc::EPROTONOSUPPORT)));
}

#[test]
fn an_acknowledgement_is_sent_only_when_asked_for() {
    let mut host = Host::new();
    let eth0 = host.eth0.0;
    let set_mtu = |flags: u16, mtu: u32| {
        let mut message = Message::new(16, flag::REQUEST | flags, 5, 0);
        let mut header = vec![0; 4];
        header.extend(eth0.to_ne_bytes());
        header.extend([0; 8]);
        message.raw(&header).u32(4, mtu);
        message.into_bytes()
    };
    assert!(host.ask(&set_mtu(0, 1400)).is_empty());
    assert_eq!(host.ns.dev.get(host.eth0).map(|d| d.mtu), Some(1400));
    let ack = host.ask(&set_mtu(flag::ACK, 1300));
    assert_eq!((errno(&ack), ack[0].len()), (Some(0), 36), "an int and the request's header");
    let both = [set_mtu(flag::ACK, 1280), set_mtu(flag::ACK, 1)].concat();
    let replies = split(&host.ask(&both));
    assert_eq!(replies.len(), 2, "two messages in one datagram, two answers");
}

#[test]
fn receiving_tells_true_lengths() {
    let mut host = Host::new();
    let mut socket = NetlinkSocket::new(NETLINK_ROUTE).expect("served");
    socket.bind(&[16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4321).expect("binds");
    assert_eq!(socket.local_addr()[4..8], 4321u32.to_ne_bytes());
    let (request, _) = recorded("ip addr", 0);
    socket.request(&mut host.ns, &mut host.turn, &request);
    // iproute2 peeks with no room first, to learn how much it needs.
    let peeked = socket.recv(0, true).expect("something is there");
    assert!(peeked.truncated && peeked.data.is_empty() && peeked.full_len > 1000);
    let whole = socket.recv(peeked.full_len, false).expect("still there");
    assert_eq!((whole.full_len, whole.truncated), (peeked.full_len, false));
    assert_eq!(whole.from, [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(messages(&whole.data).next().map(|(h, _)| h.pid), Some(4321));
}

/// `struct fib_rule_hdr` with a table by attribute, and a source prefix.
fn rule(ty: u16, flags: u16) -> Vec<u8> {
    let mut message = Message::new(ty, flag::REQUEST | flag::ACK | flags, 1, 0);
    message.raw(&[2, 0, 24, 0, 0, 0, 0, 1, 0, 0, 0, 0]).ip(2, "10.5.0.0".parse().unwrap()).u32(15, 100);
    message.into_bytes()
}

#[test]
fn rules_choose_tables() {
    let mut host = Host::new();
    assert_eq!(errno(&host.ask(&rule(32, flag::CREATE | flag::EXCL))), Some(0));
    assert_eq!(errno(&host.ask(&rule(32, flag::CREATE | flag::EXCL))), Some(0), "a lower priority each time");
    let priorities: Vec<_> = host.ns.fib4.rules().iter().map(|r| (r.priority, r.table)).collect();
    assert_eq!(priorities[..4], [(0, 255), (32_764, 100), (32_765, 100), (32_766, 254)]);
    assert_eq!(errno(&host.ask(&rule(33, 0))), Some(0));
    assert_eq!(errno(&host.ask(&rule(33, 0))), Some(0));
    assert_eq!(errno(&host.ask(&rule(33, 0))), Some(-libc::ENOENT));
}

#[test]
fn neighbours_can_be_put_in_by_hand() {
    let mut host = Host::new();
    let eth0 = host.eth0.0;
    let request = |ty: u16, flags: u16| {
        let mut header = vec![2, 0, 0, 0];
        header.extend(eth0.to_ne_bytes());
        header.extend([0x80, 0, 0, 0]);
        let mut message = Message::new(ty, flag::REQUEST | flag::ACK | flags, 1, 0);
        message.raw(&header).ip(1, "10.0.0.77".parse().unwrap()).attr(2, &[2, 0, 0, 0, 0, 0x77]);
        message.into_bytes()
    };
    assert_eq!(errno(&host.ask(&request(28, 0))), Some(-libc::ENOENT));
    assert_eq!(errno(&host.ask(&request(28, flag::CREATE | flag::EXCL))), Some(0));
    assert_eq!(errno(&host.ask(&request(28, flag::CREATE | flag::EXCL))), Some(-libc::EEXIST));
    let (dump, _) = recorded("ip neigh", 1);
    let replies = split(&host.ask(&dump));
    assert_eq!(attr(&replies[0].1, 12, 2).map(|a| a.data.to_vec()), Some(vec![2, 0, 0, 0, 0, 0x77]));
    assert_eq!(errno(&host.ask(&request(29, 0))), Some(0));
    assert_eq!(errno(&host.ask(&request(29, 0))), Some(-libc::ENOENT));
}

#[test]
fn routes_are_added_replaced_and_removed() {
    let mut host = Host::new();
    let route = |ty: u16, flags: u16, via: &str, table: u32| {
        let mut message = Message::new(ty, flag::REQUEST | flag::ACK | flags, 1, 0);
        message.raw(&[2, 16, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0]).ip(1, "10.20.0.0".parse().unwrap());
        message.ip(5, via.parse().unwrap()).u32(15, table);
        message.into_bytes()
    };
    let new = flag::CREATE | flag::EXCL;
    assert_eq!(errno(&host.ask(&route(24, new, "10.0.0.9", 254))), Some(0));
    assert_eq!(errno(&host.ask(&route(24, new, "10.0.0.9", 254))), Some(-libc::EEXIST));
    let refused = host.ask(&route(24, new, "10.77.0.1", 254));
    assert_eq!(errno(&refused), Some(-libc::ENETUNREACH));
    let text = String::from_utf8_lossy(&refused[0]).into_owned();
    assert!(text.contains("Nexthop has invalid gateway"), "{text}");
    assert_eq!(errno(&host.ask(&route(24, flag::CREATE | flag::REPLACE, "10.0.0.8", 254))), Some(0));
    assert_eq!(errno(&host.ask(&route(25, 0, "10.0.0.9", 254))), Some(-libc::ESRCH), "it was replaced");
    assert_eq!(errno(&host.ask(&route(25, 0, "10.0.0.8", 254))), Some(0));

    // A table stays when its last route goes, and only then: `ip route flush table 100` asks again.
    let (dump, _) = recorded("ip route show table 100", 0);
    assert_eq!(errno(&host.ask(&dump)), Some(-libc::ENOENT));
    assert_eq!(errno(&host.ask(&route(24, new, "10.0.0.9", 100))), Some(0));
    assert_eq!(errno(&host.ask(&route(25, 0, "10.0.0.9", 100))), Some(0));
    assert_eq!(split(&host.ask(&dump)).len(), 1, "only its end");
}

#[test]
fn members_of_groups_are_told_of_changes() {
    let mut host = Host::new();
    let mut socket = NetlinkSocket::new(NETLINK_ROUTE).expect("served");
    // RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE
    let mut addr = vec![16, 0, 0, 0, 0, 0, 0, 0];
    addr.extend(0x51u32.to_ne_bytes());
    socket.bind(&addr, 7).expect("binds");
    let mut told = |host: &mut Host| -> Vec<u16> {
        socket.watch(&mut host.ns, &mut host.turn);
        let datagrams: Vec<_> =
            std::iter::from_fn(|| socket.recv(9999, false).ok().map(|d| d.data)).collect();
        split(&datagrams).iter().map(|(h, _)| h.ty).collect()
    };
    assert_eq!(told(&mut host), [0u16; 0], "what there is when it joins is no news");
    host.ns
        .add_address(&mut host.turn, host.eth0, "10.9.0.1/24".parse().unwrap(), true)
        .expect("a new address");
    assert_eq!(told(&mut host), [20, 24, 24, 24], "the address, and its three routes");
    assert_eq!(told(&mut host), [0u16; 0]);
    host.ns.set_mtu(&mut host.turn, host.eth0, 1400).expect("in range");
    assert_eq!(told(&mut host), [16]);
    host.ns.del_address(&mut host.turn, host.eth0, "10.9.0.1/24".parse().unwrap()).expect("it is there");
    assert_eq!(told(&mut host), [25, 25, 25, 21]);
    let br0 = host.ns.add_bridge(&mut host.turn, "br0", [2, 0, 0, 0, 0, 9], true).expect("a new name");
    host.ns.set_up(&mut host.turn, br0, true).expect("it exists");
    assert_eq!(told(&mut host), [16], "two changes at once are one");
    host.ns.del_device(&mut host.turn, br0).expect("it exists");
    assert_eq!(told(&mut host), [17]);
}
