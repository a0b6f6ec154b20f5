//! Filter expressions: what they let pass, and what they say when they are wrong.

mod common;

use common::{Lab, arp, event, ping, socket_event, solicitation, tcp, udp};
use netspace_base::{Detail, DropReason, Event, Point};
use netspace_observe::Filter;

fn events() -> Vec<(&'static str, Event)> {
    let drop = Detail::Drop(DropReason::UdpNoPort);
    vec![
        ("arp", event(&mut arp(), Point::ArpSend, Detail::None)),
        ("tcp", event(&mut tcp(), Point::TcpSend, Detail::None)),
        ("udp", event(&mut udp(), Point::UdpSend, Detail::None)),
        ("lost", event(&mut udp(), Point::Drop, drop)),
        ("ping", event(&mut ping(), Point::IcmpSend, Detail::None)),
        ("ndp", event(&mut solicitation(), Point::NdpSend, Detail::None)),
        ("call", socket_event(Point::Syscall, Detail::None)),
    ]
}

fn passing(filter: &str) -> String {
    let filter = Filter::parse(filter).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<_> =
        events().iter().filter(|(_, e)| filter.matches(e, &Lab)).map(|(name, _)| *name).collect();
    names.join(" ")
}

#[test]
fn words_mean_what_they_mean_in_tcpdump() {
    for (filter, expected) in [
        ("", "arp tcp udp lost ping ndp call"),
        ("tcp", "tcp"),
        ("udp or arp", "arp udp lost"),
        ("icmp", "ping"),
        ("icmp6", "ndp"),
        ("ndp", "ndp"),
        ("ip", "tcp udp lost ping"),
        ("not ip and not ip6", "arp call"),
        ("tcp port 80", "tcp"),
        ("port 53 and not drop", "udp"),
        ("dst port 1-80", "tcp udp lost"),
        ("src port 80", ""),
        ("host 10.0.1.1", "arp"),
        ("src 10.0.1.2", "arp tcp udp lost ping"),
        ("dst net 10.0.2.0/24", "tcp udp lost ping"),
        ("fd00::2 or 10.0.1.1", "arp ndp"),
        ("ether ff:ff:ff:ff:ff:ff", "arp"),
        ("drop", "lost"),
        ("drop udp-no-port", "lost"),
        ("drop ttl-exceeded", ""),
        ("drop udp", "lost"),
        ("point syscall", "call"),
        ("on gw", "call"),
        ("dev eth0 && !(udp || icmp)", "arp tcp ndp"),
        ("packet 7 and arp", "arp"),
        ("udp and drop or tcp", "tcp lost"),
        ("udp and (drop or tcp)", "lost"),
    ] {
        assert_eq!(passing(filter), expected, "{filter}");
    }
}

#[test]
fn errors_point_at_the_word_and_suggest_another() {
    let error = |text: &str| Filter::parse(text).unwrap_err().to_string();
    assert_eq!(
        error("host 10.0.0.1 and tpc"),
        "filter, column 19: \"tpc\" is no word of the filter language (did you mean \"tcp\"?)\n  \
         host 10.0.0.1 and tpc\n                    ^^^"
    );
    assert!(error("point ip-recieve").contains("did you mean \"ip-receive\"?"));
    assert!(error("port http").contains("\"http\" is no port"));
    assert!(error("port 70000").contains("column 6"));
    assert!(error("host").contains("an IP address must follow"));
    assert!(error("host server").contains("use \"on\" for a host's name"));
    assert!(error("tcp and").contains("something is missing here"));
    assert!(error("or tcp").contains("something is missing before \"or\""));
    assert!(error("(tcp").contains("column 1: this \"(\" is never closed"));
    assert!(error("tcp)").contains("column 4: this \")\" has no \"(\""));
    assert!(error("ether 1:2").contains("six hexadecimal bytes"));
    assert!(error(&"(".repeat(1000)).contains("too long") || error(&"(".repeat(1000)).contains("too deep"));
    assert!(error(&"not ".repeat(100)).contains("nested too deeply"));
}
