//! Closing: each way through the states, resets, TIME-WAIT.

mod common;

use common::{Link, Pair, Side, segment};
use netspace_base::Duration;
use netspace_tcp::{Config, Connection, Event, State, TcpError, TimeWaitVerdict};
use netspace_wire::tcp::TcpFlags;

/// RFC 9293 MUST-13
#[test]
fn the_active_closer_waits() {
    let mut pair = Pair::lan();
    pair.close(Side::Client);
    assert_eq!(pair.client.state(), State::FinWait1);
    pair.run_until(1, |pair| pair.server().state() == State::CloseWait);
    assert!(pair.server().at_end() && pair.server().peer_finished());
    assert!(pair.events(Side::Server).contains(&Event::Readable));
    pair.run_until(1, |pair| pair.client.state() == State::FinWait2);
    pair.close(Side::Server);
    assert_eq!(pair.server().state(), State::LastAck);
    pair.run_until(1, |pair| pair.states() == (State::TimeWait, State::Closed));
    let begin = pair.now;
    pair.run_until(100, |pair| pair.client.state() == State::Closed);
    assert!((59..62).contains(&(pair.now - begin).as_secs()));
    assert_eq!((pair.client.error(), pair.server().error()), (None, None));
}

#[test]
fn half_close_lets_the_other_half_flow() {
    let mut pair = Pair::lan();
    pair.write(Side::Client, b"request");
    pair.shutdown(Side::Client);
    pair.run_until(1, |pair| pair.server().peer_finished());
    assert_eq!(pair.read(Side::Server, 100), b"request");
    assert!(pair.server().at_end());
    assert_eq!(pair.write(Side::Client, b"more"), 0);
    pair.transfer(Side::Server, 1 << 20, 30);
    pair.close(Side::Server);
    pair.run_until(1, |pair| pair.states() == (State::TimeWait, State::Closed));
}

#[test]
fn data_before_fin_arrives_even_over_loss() {
    for seed in 0..10 {
        let link = Link { loss: 20 * common::PER_CENT, reorder: 200_000_000, ..Link::default() };
        let config = Config { synack_retries: 20, ..Config::default() };
        let mut pair = Pair::with_seed(config.clone(), config, link, seed);
        pair.run_until(60, |pair| pair.client.state() == State::Established);
        pair.write(Side::Client, &[7; 10_000]);
        pair.close(Side::Client);
        let mut got = 0;
        pair.run_until(200, |pair| {
            if pair.server.is_some() {
                got += pair.read(Side::Server, 100_000).len();
            }
            pair.server.as_ref().is_some_and(Connection::at_end)
        });
        assert_eq!(got, 10_000);
    }
}

#[test]
fn both_close_at_once() {
    let mut pair = Pair::lan();
    pair.close(Side::Client);
    pair.close(Side::Server);
    pair.run_until(1, |pair| pair.states() == (State::TimeWait, State::TimeWait));
    let path: Vec<_> = pair.events(Side::Client);
    assert!(path.contains(&Event::StateChanged(State::FinWait1, State::Closing)));
    assert!(path.contains(&Event::StateChanged(State::Closing, State::TimeWait)));
}

#[test]
fn unread_data_at_close_resets() {
    let mut pair = Pair::lan();
    pair.write(Side::Client, b"nobody reads this");
    pair.run_until(1, |pair| pair.server().recv_len() > 0);
    pair.close(Side::Server);
    assert_eq!(pair.server().state(), State::Closed);
    pair.run_until(1, |pair| pair.client.state() == State::Closed);
    assert_eq!(pair.client.error(), Some(TcpError::Reset));
}

#[test]
fn data_after_close_is_reset() {
    let mut pair = Pair::lan();
    pair.close(Side::Server);
    pair.run_until(1, |pair| pair.client.state() == State::CloseWait);
    pair.write(Side::Client, b"too late");
    pair.run_until(1, |pair| pair.states() == (State::Closed, State::Closed));
    assert_eq!(pair.client.error(), Some(TcpError::BrokenPipe));
}

#[test]
fn linger_zero_resets() {
    let mut pair = Pair::lan();
    pair.client.set_linger_zero(true);
    pair.close(Side::Client);
    assert_eq!(pair.client.state(), State::Closed);
    let sent = pair.sent(Side::Client);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].segment.flags.contains(TcpFlags::RST));
    pair.run_until(1, |pair| pair.server().state() == State::Closed);
    assert_eq!(pair.server().error(), Some(TcpError::Reset));
}

#[test]
fn a_closed_connection_does_not_stay_in_fin_wait_2_for_ever() {
    let mut pair = Pair::lan();
    pair.close(Side::Client);
    pair.run_until(1, |pair| pair.client.state() == State::FinWait2);
    let begin = pair.now;
    pair.run_until(100, |pair| pair.client.state() == State::Closed);
    assert!((59..62).contains(&(pair.now - begin).as_secs()));
}

#[test]
fn half_closed_by_the_program_it_does() {
    let mut pair = Pair::lan();
    pair.shutdown(Side::Client);
    pair.run_for(Duration::from_secs(1_000));
    assert_eq!(pair.client.state(), State::FinWait2);
}

#[test]
fn an_orphan_gives_up_sooner() {
    let mut pair = Pair::lan();
    pair.link.down = true;
    pair.write(Side::Client, b"x");
    pair.close(Side::Client);
    let begin = pair.now;
    pair.run_until(2_000, |pair| pair.client.state() == State::Closed);
    let seconds = (pair.now - begin).as_secs();
    assert!((90..210).contains(&seconds), "{seconds} s");
}

#[test]
fn closing_before_the_answer_to_syn_is_quiet() {
    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    pair.close(Side::Client);
    assert_eq!(pair.client.state(), State::Closed);
    assert_eq!(pair.sent(Side::Client).len(), 1);
}

#[test]
fn fin_is_sent_again() {
    let mut pair = Pair::lan();
    let mut drops = 3;
    pair.filter = Some(Box::new(move |from, segment| {
        let lose = from == Side::Client && segment.flags.contains(TcpFlags::FIN) && drops > 0;
        drops -= i32::from(lose);
        !lose
    }));
    pair.close(Side::Client);
    pair.run_until(10, |pair| pair.server().state() == State::CloseWait);
}

#[test]
fn time_wait_answers_a_repeated_fin_and_lets_a_new_syn_in() {
    let mut pair = Pair::lan();
    pair.close(Side::Client);
    pair.run_until(1, |pair| pair.client.state() == State::FinWait2);
    pair.close(Side::Server);
    let fin = pair.sent(Side::Server).last().expect("FIN").segment.clone();
    assert!(fin.flags.contains(TcpFlags::FIN));
    pair.run_until(1, |pair| pair.client.state() == State::TimeWait);
    let mut rest = pair.client.time_wait();
    let later = pair.now + Duration::from_secs(30);
    let TimeWaitVerdict::Answer(ack, _) = rest.receive(later, &fin) else { panic!("an ACK is due") };
    assert_eq!(ack.ack, fin.seq + 1);
    assert_eq!(rest.expires_at, later + Duration::from_secs(60));

    let mut old_syn = segment(fin.seq - 5_000, fin.seq, TcpFlags::SYN, b"");
    assert!(matches!(rest.receive(later, &old_syn), TimeWaitVerdict::Answer(..)));
    old_syn.seq = fin.seq + 5_000;
    assert!(matches!(rest.receive(later, &old_syn), TimeWaitVerdict::Reopen(_)));
    let bare = segment(fin.seq + 1, fin.ack, TcpFlags::ACK, b"");
    assert!(matches!(rest.receive(later, &bare), TimeWaitVerdict::Drop(_)));
    let reset = segment(fin.seq + 1, fin.ack, TcpFlags::RST, b"");
    assert!(matches!(rest.receive(later, &reset), TimeWaitVerdict::End(_)));
}

#[test]
fn in_time_wait_the_connection_itself_answers_too() {
    let mut pair = Pair::lan();
    pair.close(Side::Client);
    pair.run_until(1, |pair| pair.client.state() == State::FinWait2);
    pair.close(Side::Server);
    let fin = pair.sent(Side::Server).last().expect("FIN").segment.clone();
    pair.run_until(1, |pair| pair.client.state() == State::TimeWait);
    pair.log.clear();
    pair.inject(Side::Client, fin);
    assert_eq!(pair.sent(Side::Client).len(), 1);
}

#[test]
fn data_still_unread_survives_the_peers_close() {
    let mut pair = Pair::lan();
    pair.write(Side::Server, b"last words");
    pair.close(Side::Server);
    pair.run_until(1, |pair| pair.client.peer_finished());
    assert!(!pair.client.at_end());
    assert_eq!(pair.read(Side::Client, 4), b"last");
    assert_eq!(pair.read(Side::Client, 100), b" words");
    assert!(pair.client.at_end());
}

#[test]
fn fin_waits_for_a_window_and_for_the_handshake() {
    let config = Config { recv_buffer: netspace_tcp::BufferSize::fixed(5_000), ..Config::default() };
    let mut pair = Pair::connected(Config::default(), config, Link::default());
    pair.write(Side::Client, &[1; 5_000]);
    pair.close(Side::Client);
    pair.run_for(Duration::from_secs(10));
    assert!(!pair.server().peer_finished());
    assert_eq!(pair.client.state(), State::FinWait1);
    pair.read(Side::Server, 10_000);
    pair.run_until(60, |pair| pair.server().peer_finished());

    let mut pair = Pair::new(Config::default(), Config::default(), Link::default());
    pair.run_until(1, |pair| pair.server.is_some());
    pair.shutdown(Side::Server);
    assert_eq!(pair.server().state(), State::SynReceived);
    pair.run_until(1, |pair| pair.client.state() == State::CloseWait);
    pair.close(Side::Client);
    pair.run_until(1, |pair| pair.server().state() == State::TimeWait);
}
