//! Fragmentation and reassembly: loss, order, time, memory, overlaps.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{PingError, routed, switched};
use netspace_base::DropReason;
use netspace_stack::snmp::Counter;

/// Loses the `nth` fragment that passes link `link`.
fn lose_nth_fragment(net: &mut common::Net, link: usize, nth: usize) {
    let seen = Rc::new(Cell::new(0));
    net.links[link].lose = Some(Box::new(move |pkt| {
        let frame = pkt.copy_range(0, 64);
        let v4 = frame[12..14] == [8, 0] && frame[20..22] != [0, 0] && frame[20] & 0x40 == 0;
        let v6 = frame[12..14] == [0x86, 0xdd] && frame[20] == 44;
        if v4 || v6 {
            seen.set(seen.get() + 1);
        }
        (v4 || v6) && seen.get() == nth
    }));
}

#[test]
fn a_lost_fragment_loses_the_packet_and_is_told_in_time() {
    let mut net = routed();
    for (dst, reason_type, seconds) in [("10.0.2.2", 11, 30), ("fd00:2::2", 3, 60)] {
        lose_nth_fragment(&mut net, 1, 2);
        let s = net.ping_socket(0, dst);
        assert_eq!(net.ping_with(0, s, dst, 5000), Err(PingError::Silence), "{dst}");
        assert!(net.hosts[2].queued() > 0, "the others wait");
        net.assert_ledger();
        net.seconds(seconds);
        assert_eq!(net.hosts[2].queued(), 0);
        let told = net.recv(0, s, true).expect("time exceeded").control.error.unwrap();
        assert_eq!(
            (told.icmp_type, told.icmp_code, told.offender),
            (reason_type, 1, Some(dst.parse().unwrap()))
        );
    }
    assert_eq!(net.hosts[2].snmp.get(Counter::IpReasmTimeout), 1);
    assert_eq!(net.hosts[2].snmp.get(Counter::Ip6ReasmTimeout), 1);
    assert_eq!(net.hosts[2].snmp.get(Counter::IpReasmFails), 1);
    net.assert_ledger();
}

#[test]
fn without_the_first_fragment_nobody_is_told() {
    let mut net = routed();
    lose_nth_fragment(&mut net, 1, 1);
    let s = net.ping_socket(0, "10.0.2.2");
    let _ = net.ping_with(0, s, "10.0.2.2", 5000);
    net.seconds(60);
    assert!(net.recv(0, s, true).is_err());
    net.assert_ledger();
}

/// An IPv4 fragment of an echo request from 10.0.0.1 to 10.0.0.2 as a frame.
fn fragment(net: &common::Net, id: u16, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    use netspace_wire::ipv4::Ipv4Repr;
    let mac = net.hosts[1].dev.by_name("eth0").unwrap().mac;
    let mut frame = [mac.as_slice(), &[2, 0, 0, 0, 0, 2, 8, 0]].concat();
    let ip = Ipv4Repr {
        id,
        fragment_offset: offset,
        more_fragments: more,
        ..Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1, payload.len())
    };
    let mut header = [0; 20];
    ip.emit(&mut header);
    frame.extend(header);
    frame.extend(payload);
    frame
}

/// An echo request with 32 bytes of data, its checksum in place.
fn echo_request() -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    message.extend(0..32u8);
    netspace_wire::icmpv4::fill_checksum(&mut message);
    message
}

#[test]
fn fragments_may_come_in_any_order_and_twice() {
    let orders: [&[usize]; 4] = [&[0, 1, 2], &[2, 1, 0], &[1, 0, 1, 2], &[2, 2, 0, 0, 1]];
    for order in orders {
        let mut net = switched(true);
        let to = (1, net.dev(1, "eth0"));
        let message = echo_request();
        let pieces = [(0, true, &message[..16]), (16, true, &message[16..32]), (32, false, &message[32..])];
        for &n in order {
            let (offset, more, payload) = pieces[n];
            let frame = fragment(&net, 7, offset, more, payload);
            net.inject(to, &frame);
        }
        net.seconds(1);
        assert_eq!(net.hosts[1].snmp.get(Counter::IcmpOutEchoReps), 1, "{order:?}");
        net.seconds(60);
        net.assert_ledger();
    }
}

#[test]
fn overlapping_fragments_throw_the_packet_away() {
    let mut net = switched(true);
    let to = (1, net.dev(1, "eth0"));
    let message = echo_request();
    for (offset, more, range) in [(0, true, 0..16), (8, true, 8..24), (24, false, 24..40)] {
        let frame = fragment(&net, 7, offset, more, &message[range]);
        net.inject(to, &frame);
    }
    net.seconds(60);
    assert_eq!(net.hosts[1].snmp.get(Counter::IcmpOutEchoReps), 0);
    assert_eq!(net.dropped(DropReason::ReassemblyOverlap), 2, "the overlapping one and what it overlapped");
    net.assert_ledger();
}

#[test]
fn memory_for_fragments_is_bounded() {
    let mut net = switched(true);
    net.sysctl(1, "ipv4.ipfrag_high_thresh", "100000");
    let to = (1, net.dev(1, "eth0"));
    for id in 0..500 {
        let frame = fragment(&net, id, 0, true, &[0; 64]);
        net.inject(to, &frame);
    }
    assert!(net.hosts[1].queued() < 130, "{} wait", net.hosts[1].queued());
    assert!(net.dropped(DropReason::ReassemblyMemory) > 350);
    net.seconds(31);
    assert_eq!(net.hosts[1].queued(), 0);
    net.assert_ledger();
}

#[test]
fn a_fragment_beyond_the_longest_packet_is_refused() {
    let mut net = switched(true);
    let to = (1, net.dev(1, "eth0"));
    let frame = fragment(&net, 9, 65_528, false, &[0; 64]);
    net.inject(to, &frame);
    let odd = fragment(&net, 9, 0, true, &[0; 13]);
    net.inject(to, &odd);
    assert_eq!(net.dropped(DropReason::ReassemblyOverlap), 2);
    assert_eq!(net.hosts[1].queued(), 0);
}

#[test]
fn a_mark_on_one_fragment_marks_the_whole_and_mixed_ones_are_dropped() {
    // RFC 3168 §5.3. (first, second fragment) → what the whole has.
    for (id, first, second, whole) in
        [(1, 2, 3, Some(3)), (2, 2, 2, Some(2)), (3, 0, 3, None), (4, 2, 0, None)]
    {
        let mut net = switched(true);
        net.ping(0, "10.0.0.2", 56).unwrap();
        let raw = net.call(1, |ns, t| {
            ns.socket(t, netspace_stack::sock::Family::Inet, netspace_stack::sock::SockType::Raw, 1)
        });
        let raw = raw.unwrap();
        for (offset, more, tos) in [(0, true, first), (8, false, second)] {
            let mut frame = fragment(&net, id, offset, more, &[8, 0, 0, 0, 0, 0, 0, 0]);
            netspace_wire::ipv4::set_tos(&mut frame[14..34], tos);
            let to = (1, net.dev(1, "eth0"));
            net.inject(to, &frame);
        }
        let seen = net.recv(1, raw, false).ok().map(|got| got.data.concat()[1] & 3);
        assert_eq!(seen, whole, "{first} and {second}");
        assert_eq!(net.dropped(DropReason::ReassemblyEcn), if whole.is_some() { 0 } else { 2 });
        net.assert_ledger();
    }
}
