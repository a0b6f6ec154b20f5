//! Demands of RFC 9293 on a segment's bytes; `cargo xtask rfc` lists them all.

use netspace_wire::tcp::{SeqNum, TcpOptions};

const MSS: [u8; 4] = [2, 4, 5, 180];

/// RFC 9293 MUST-4, MUST-6, MUST-64
#[test]
fn the_old_options_are_read_at_any_place_and_unknown_ones_passed_over() {
    let wanted = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
    let unknown = [253, 5, 1, 2, 3];
    for before in [&[][..], &[1], &[1, 1], &[1, 1, 1], &unknown, &[unknown, unknown].concat()] {
        let bytes = [before, &MSS, &[0, 3, 3, 7]].concat();
        assert_eq!(TcpOptions::parse(&bytes, true), wanted, "{bytes:?}: the list ends at 0");
    }
}

/// RFC 9293 MUST-5
#[test]
fn options_are_read_in_segments_without_syn() {
    let bytes = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 5, 10, 0, 0, 0, 5, 0, 0, 0, 9];
    let options = TcpOptions::parse(&bytes, false);
    assert_eq!(options.timestamps, Some((1, 2)));
    assert_eq!(options.sack.to_vec(), [(SeqNum(5), SeqNum(9))]);
}
