//! Forged and late segments: they do not end or disturb a connection (RFC 5961, PAWS).

mod common;

use common::{Pair, Side, segment};
use netspace_base::{DropReason, Duration};
use netspace_tcp::{Segment, State, TcpError};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpOptions};

/// What the server expects next, and what it will send next.
fn numbers(pair: &mut Pair) -> (SeqNum, SeqNum) {
    pair.write(Side::Client, b"x");
    pair.run_for(Duration::from_millis(300));
    let ack = pair.sent(Side::Server).last().expect("ACK").segment.clone();
    pair.log.clear();
    (ack.ack, ack.seq)
}

fn hand_over(pair: &mut Pair, segment: Segment) -> Result<(), DropReason> {
    let now = pair.now;
    let result = pair.server().receive(now, segment);
    pair.transmit();
    result
}

#[test]
fn a_reset_needs_the_exact_number() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    // In the window but not the next: challenged (RFC 5961 §3.2).
    let result = hand_over(&mut pair, segment(next + 100, ack, TcpFlags::RST, b""));
    assert_eq!(result, Err(DropReason::TcpReset));
    assert_eq!(pair.server().state(), State::Established);
    let challenge = pair.sent(Side::Server);
    assert_eq!(challenge.len(), 1);
    assert_eq!((challenge[0].segment.flags, challenge[0].segment.ack), (TcpFlags::ACK, next));
    // Outside the window: nothing at all.
    let result = hand_over(&mut pair, segment(next - 100, ack, TcpFlags::RST, b""));
    assert_eq!(result, Err(DropReason::TcpOldSequence));
    assert_eq!(pair.sent(Side::Server).len(), 1);
    // Exact.
    assert!(hand_over(&mut pair, segment(next, ack, TcpFlags::RST, b"")).is_err());
    assert_eq!(pair.server().state(), State::Closed);
    assert_eq!(pair.server().error(), Some(TcpError::Reset));
}

#[test]
fn a_syn_is_challenged() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    assert!(hand_over(&mut pair, segment(next + 5, ack, TcpFlags::SYN, b"")).is_err());
    assert_eq!(pair.server().state(), State::Established);
    assert_eq!(pair.sent(Side::Server).len(), 1);
    // A flood of them is answered seldom.
    for n in 0..50 {
        let _ = hand_over(&mut pair, segment(next + n, ack, TcpFlags::SYN, b""));
    }
    assert_eq!(pair.sent(Side::Server).len(), 1);
    pair.run_for(Duration::from_millis(600));
    assert_eq!(pair.states(), (State::Established, State::Established));
}

#[test]
fn data_with_an_ack_out_of_bounds_is_not_taken() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    let before = pair.server().recv_len();
    let result = hand_over(&mut pair, segment(next, ack + 100_000, TcpFlags::ACK, b"evil"));
    assert_eq!(result, Err(DropReason::TcpBadAck));
    let result = hand_over(&mut pair, segment(next, ack - 1_000_000, TcpFlags::ACK, b"evil"));
    assert_eq!(result, Err(DropReason::TcpBadAck));
    assert_eq!(pair.server().recv_len(), before);
}

#[test]
fn segments_out_of_the_window_are_answered_and_dropped() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    let result = hand_over(&mut pair, segment(next + 1_000_000, ack, TcpFlags::ACK, b"far"));
    assert_eq!(result, Err(DropReason::TcpOutOfWindow));
    assert_eq!(pair.sent(Side::Server).len(), 1);
    let result = hand_over(&mut pair, segment(next - 1, ack, TcpFlags::ACK, b"x"));
    assert_eq!(result, Err(DropReason::TcpOldSequence));
}

#[test]
fn old_timestamps_are_refused() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    let recent = (pair.now.as_millis() as u32).wrapping_sub(300);
    let mut late = segment(next, ack, TcpFlags::ACK, b"from before the wrap");
    late.options =
        TcpOptions { timestamps: Some((recent.wrapping_sub(100_000), 0)), ..TcpOptions::default() };
    assert_eq!(hand_over(&mut pair, late.clone()), Err(DropReason::TcpPaws));
    assert_eq!(pair.sent(Side::Server).len(), 1, "an ACK answers it (RFC 7323 §5.3)");
    late.options.timestamps = Some((recent.wrapping_add(1_000), 0));
    assert_eq!(hand_over(&mut pair, late), Ok(()));
    // After 24 days of silence nothing can be told from timestamps (RFC 7323 §5.5).
    pair.run_for(Duration::from_secs(25 * 24 * 3600));
    let (next, ack) = (next + 20, ack);
    let mut wrapped = segment(next, ack, TcpFlags::ACK, b"hello");
    wrapped.options = TcpOptions { timestamps: Some((recent.wrapping_sub(5), 0)), ..TcpOptions::default() };
    assert_eq!(hand_over(&mut pair, wrapped), Ok(()));
}

#[test]
fn tiny_out_of_order_segments_cannot_take_all_memory() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    let mut refused = 0;
    for n in 0..20_000usize {
        let tiny = segment(next + (1 + 2 * n), ack, TcpFlags::ACK, b"z");
        refused += u32::from(hand_over(&mut pair, tiny) == Err(DropReason::TcpMemory));
    }
    assert!(refused > 0);
    assert_eq!(pair.server().state(), State::Established);
}

#[test]
fn a_segment_without_ack_is_dropped() {
    let mut pair = Pair::lan();
    let (next, ack) = numbers(&mut pair);
    let result = hand_over(&mut pair, segment(next, ack, TcpFlags::PSH, b"no ack"));
    assert_eq!(result, Err(DropReason::TcpFlags));
}

#[test]
fn old_sack_and_nonsense_sack_do_no_harm() {
    let mut pair = Pair::lan();
    pair.write(Side::Server, &[1; 5_000]);
    let first = pair.sent(Side::Server)[0].segment.clone();
    let mut evil = segment(first.ack, first.seq, TcpFlags::ACK, b"");
    evil.options.sack.push((first.seq + 50_000, first.seq + 60_000));
    evil.options.sack.push((first.seq + 2_000, first.seq + 1_000));
    evil.options.sack.push((first.seq - 70_000, first.seq + 3_000));
    evil.options.sack.push((first.seq + 1_000, first.seq + 5_000));
    assert_eq!(hand_over(&mut pair, evil), Ok(()));
    pair.run_until(5, |pair| pair.client.recv_len() == 5_000);
}
