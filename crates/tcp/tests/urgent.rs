//! Urgent data as Linux has it (RFC 6093).

mod common;

use bytes::Bytes;
use common::{Link, Pair, Side, segment};
use netspace_base::Duration;
use netspace_tcp::{BufferSize, Config, SendFlags};
use netspace_wire::tcp::TcpFlags;

fn write_urgent(pair: &mut Pair, data: &[u8]) {
    let now = pair.now;
    pair.client.send_with(now, Bytes::copy_from_slice(data), SendFlags { more: false, urgent: true });
    pair.transmit();
}

/// RFC 9293 MUST-30, MUST-33, MUST-62
#[test]
fn the_byte_before_the_pointer_is_taken_out_of_the_stream() {
    let mut pair = Pair::lan();
    write_urgent(&mut pair, b"ab!");
    let sent = &pair.sent(Side::Client)[0].segment;
    assert!(sent.flags.contains(TcpFlags::URG));
    assert_eq!(sent.urgent, 3, "to the byte after it");
    pair.write(Side::Client, b"cd");
    pair.run_for(Duration::from_millis(100));
    assert!(pair.server().has_urgent());
    assert_eq!(pair.read(Side::Server, 10), b"ab", "a read ends before the mark");
    assert!(pair.server().at_mark());
    assert_eq!(pair.server().recv_urgent(false), Some(b'!'));
    assert_eq!(pair.server().recv_urgent(false), None);
    assert_eq!(pair.read(Side::Server, 10), b"cd");
}

#[test]
fn tcp_stdurg_points_at_the_byte_itself() {
    let std = Config { std_urgent: true, ..Config::default() };
    let mut pair = Pair::connected(Config::default(), std, Link::default());
    write_urgent(&mut pair, b"ab!");
    pair.write(Side::Client, b"cd");
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.server().recv_urgent(false), Some(b'c'));
}

/// RFC 9293 MUST-32
/// RFC 9293 MUST-66
#[test]
fn the_pointer_comes_through_a_closed_window() {
    let small = Config { recv_buffer: BufferSize::fixed(2_000), ..Config::default() };
    let mut pair = Pair::connected(Config::default(), small, Link::default());
    pair.write(Side::Client, &[1; 4_000]);
    pair.run_for(Duration::from_millis(500));
    write_urgent(&mut pair, b"!");
    pair.run_for(Duration::from_secs(5));
    assert!(pair.server().awaits_urgent(), "told, although the byte itself cannot come yet");
    assert_eq!(pair.server().recv_urgent(false), None);
    while !pair.read(Side::Server, 10_000).is_empty() {
        pair.run_for(Duration::from_secs(2));
    }
    assert_eq!(pair.server().recv_urgent(false), Some(b'!'));
}

#[test]
fn a_newer_pointer_returns_the_older_byte_to_the_stream() {
    let mut pair = Pair::lan();
    write_urgent(&mut pair, b"a1");
    write_urgent(&mut pair, b"b2");
    pair.run_for(Duration::from_millis(100));
    assert_eq!(pair.server().recv_urgent(false), Some(b'2'));
    assert_eq!(pair.read(Side::Server, 10), b"a1b");
}

#[test]
fn a_pointer_to_what_has_come_already_is_none() {
    let mut pair = Pair::lan();
    pair.write(Side::Client, b"abcd");
    pair.run_for(Duration::from_millis(100));
    let data = pair.sent(Side::Client)[0].segment.clone();
    let mut late = segment(data.seq + 4, data.ack, TcpFlags::ACK | TcpFlags::URG, b"");
    late.options.timestamps = data.options.timestamps;
    late.urgent = 0;
    late.seq = data.seq;
    late.urgent = 2;
    pair.inject(Side::Server, late);
    assert!(!pair.server().has_urgent());
}
