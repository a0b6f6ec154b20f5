//! What is read, and what is told of what cannot be.

use netspace_wire::tcp::TcpFlags;

use super::super::script::{Action, Body, Echoed, EcnField, Expr, Segment, TcpOpt, TosInfo, When};
use super::*;

fn parsed(text: &str) -> Script {
    script(text, Defines::new()).unwrap_or_else(|e| panic!("{e:?}"))
}

fn segment(line: &str) -> (Segment, bool, TosInfo) {
    match parsed(line).events.remove(0).action {
        Action::Packet(packet) => match packet.body {
            Body::Tcp(segment) => (segment, packet.inbound, packet.ip.tos),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn complaint(text: &str) -> String {
    match script(text, Defines::new()) {
        Err(ParseError::Syntax(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn times() {
    let script =
        parsed("0 close(3) = 0\n+.1 close(3) = 0\n* close(3) = 0\n1~2 close(3) = 0\n+0~+.5 close(3) = 0");
    let whens: Vec<When> = script.events.iter().map(|e| e.when).collect();
    let half = 500_000_000;
    assert_eq!(
        whens,
        [
            When::Absolute(0),
            When::Relative(half / 5),
            When::Any,
            When::Range(2 * half, 4 * half),
            When::RelativeRange(0, half),
        ]
    );
}

#[test]
fn a_syn_with_its_options() {
    let (syn, inbound, tos) =
        segment("+0 > [ect01] SEW 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>");
    assert!(!inbound);
    assert_eq!(tos, TosInfo::Ect);
    assert_eq!(syn.flags, TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR);
    assert_eq!(
        syn.options.unwrap(),
        [TcpOpt::Mss(1460), TcpOpt::SackOk, TcpOpt::Timestamps(100, 0), TcpOpt::Nop, TcpOpt::WindowScale(7)]
    );
}

#[test]
fn segments_with_ports_windows_urgent_bytes_and_blocks() {
    let (s, inbound, _) = segment("1 < 80 > 81 UP. 1:11(10) ack 5 win 9 urg 3 <nop,nop,sack 7:8 9:10>");
    assert!(inbound);
    assert_eq!((s.ports, s.seq, s.len, s.ack), (Some((80, 81)), 1, 10, Some(5)));
    assert_eq!((s.window, s.urgent), (Some(9), Some(3)));
    assert_eq!(s.options.unwrap()[2], TcpOpt::Sack(vec![(7, 8), (9, 10)]));
}

#[test]
fn ace_as_a_number_and_as_letters() {
    let ace = TcpFlags::AE | TcpFlags::ECE | TcpFlags::ACK;
    assert_eq!(segment("1 < 5. 1:1(0) ack 5 win 9").0.flags, ace);
    let (s, ..) = segment("1 < EA. 1:1(0) ack 5 win 9 <ECN e0b 1 ceb 0 e1b 16777215,nop>");
    assert_eq!(s.flags, ace);
    let counters = vec![(EcnField::E0b, 1), (EcnField::Ceb, 0), (EcnField::E1b, 0xff_ffff)];
    assert_eq!(s.options.unwrap()[0], TcpOpt::AccEcn(counters));
}

#[test]
fn cookies_are_digits_or_defined() {
    let text = "--define=COOKIE=3021b9d889017eeb\n+0 < S 0:0(0) win 1 <mss 1,FO COOKIE,nop,nop>";
    let Action::Packet(packet) = &parsed(text).events[0].action else { panic!() };
    let Body::Tcp(s) = &packet.body else { panic!() };
    let cookie = vec![0x30, 0x21, 0xb9, 0xd8, 0x89, 0x01, 0x7e, 0xeb];
    assert_eq!(s.options.as_ref().unwrap()[1], TcpOpt::FastOpen(cookie));
}

#[test]
fn icmp_and_datagrams() {
    let text =
        "+0 < icmp unreachable frag_needed mtu 1300 [1:1461(1460)]\n+0 > udp (1000)\n+0 < 5 > 6 udp (1)";
    let script = parsed(text);
    let Action::Packet(icmp) = &script.events[0].action else { panic!() };
    let Body::Icmp(icmp) = &icmp.body else { panic!() };
    assert_eq!(
        (icmp.kind.as_str(), icmp.code.as_deref(), icmp.mtu),
        ("unreachable", Some("frag_needed"), Some(1300))
    );
    assert_eq!(icmp.echoed, Echoed::Tcp(1, 1460));
    let Action::Packet(udp) = &script.events[2].action else { panic!() };
    assert!(matches!(udp.body, Body::Udp { ports: Some((5, 6)), len: 1 }));
}

#[test]
fn calls_with_nested_values() {
    let text = "+0...0.2 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=MSG_ERRQUEUE|MSG_TRUNC}, \
                MSG_PEEK) = -1 EAGAIN (Resource temporarily unavailable)";
    let Action::Call(call) = &parsed(text).events[0].action else { panic!() };
    assert_eq!(
        (call.name.as_str(), call.end, call.errno.as_deref()),
        ("recvmsg", Some(200_000_000), Some("EAGAIN"))
    );
    assert_eq!(call.result, Expr::Int(-1));
    let Expr::Struct(fields) = &call.args[1] else { panic!() };
    assert_eq!(fields[0], (Some("msg_name".into()), Expr::Any));
    assert_eq!(fields[1].1, Expr::Array(vec![Expr::Struct(vec![(None, Expr::Any), (None, Expr::Int(10))])]));
}

#[test]
fn commands_stand_first_last_or_after_a_time() {
    let script = parsed("`a`\n+0 `b`\n+0 %{ c }%\n`d`");
    assert_eq!(script.init.map(|c| c.1).as_deref(), Some("a"));
    assert!(matches!(&script.events[0].action, Action::Shell(s) if s == "b"));
    assert!(matches!(&script.events[1].action, Action::Code(s) if s == " c "));
    assert_eq!(script.cleanup.map(|c| c.1).as_deref(), Some("d"));
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    assert_eq!(complaint("+0 close(3) 0"), "1:13: expected '=', found 0");
    assert_eq!(complaint("\n+0 > X. 1:1(0) ack 1"), "2:6: expected TCP flags (F S R P . U E W A), found X");
    assert_eq!(complaint("+0 > . 1:5(3) ack 1"), "1:12: expected a length of 4, found 3");
    assert!(complaint("+0 < S 0:0(0) <mss 1,nop>").contains("these take 5"));
    assert!(complaint("+0 < [ecx] . 1:1(0) ack 1").starts_with("1:7: expected noecn"));
    assert!(complaint("+0 read(3, ..., 10) = ").contains("end of the script"));
}

#[test]
fn what_is_not_here_is_refused_with_its_reason() {
    let refused = script("+0 > gre: ipv4", Defines::new()).unwrap_err();
    assert_eq!(refused, ParseError::Refused(Place { line: 1, column: 6 }, "GRE: not supported".into()));
}
