//! Events as lines and as JSON.

mod common;

use common::{Lab, SERVER, arp, event, socket_event, tcp, udp};
use netspace_base::{Detail, DevId, DropReason, Point};
use netspace_observe::{Layout, Record, Storyteller};
use serde_json::json;

fn record(event: &netspace_base::Event) -> Record {
    Storyteller::default().record(event, &Lab)
}

fn line(event: &netspace_base::Event) -> String {
    record(event).line(&Layout::for_hosts(["client", "gw"]))
}

#[test]
fn one_line_an_event() {
    assert_eq!(
        line(&event(&mut arp(), Point::ArpSend, Detail::None)),
        "0.001234 client eth0 arp-send       ARP, Request who-has 10.0.1.1 tell 10.0.1.2"
    );
    assert_eq!(
        line(&event(&mut tcp(), Point::Forward, Detail::Ttl(63))),
        "0.001234 client eth0 forward        ttl 63 | \
         IP 10.0.1.2.49500 > 10.0.2.2.80: Flags [S], seq 7, win 64240, length 0"
    );
    let state = Detail::State { from: "SYN-SENT", to: "ESTABLISHED" };
    assert_eq!(
        line(&socket_event(Point::TcpState, state)),
        "0.000005 gw          tcp-state      SYN-SENT → ESTABLISHED"
    );
    assert_eq!(
        line(&socket_event(Point::SocketRead, Detail::Bytes(1))),
        "0.000005 gw          socket-read    1 byte"
    );
}

#[test]
fn a_drop_says_why() {
    let line = line(&event(&mut udp(), Point::Drop, Detail::Drop(DropReason::UdpNoPort)));
    assert!(
        line.contains("drop           udp-no-port: No socket is bound to this UDP port. | IP 10.0.1.2.5000"),
        "{line}"
    );
}

#[test]
fn packets_can_be_numbered() {
    let layout = Layout { ids: true, ..Layout::default() };
    let record = record(&event(&mut udp(), Point::UdpSend, Detail::None));
    assert!(record.line(&layout).contains(" udp-send       #7 IP "), "{}", record.line(&layout));
}

#[test]
fn json_keeps_its_names_and_reads_back() {
    let detail = Detail::Route { via: SERVER.into(), dev: DevId(2) };
    let record = record(&event(&mut udp(), Point::RouteOut, detail));
    let expected = json!({
        "time_ns": 1_234_000, "host": "client", "dev": "eth0", "point": "route", "packet": 7, "length": 28,
        "summary": "IP 10.0.1.2.5000 > 10.0.2.2.53: UDP, length 0",
        "detail": {"kind": "route", "via": "10.0.2.2", "dev": "eth1"},
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&record.to_json()).unwrap(), expected);
    assert_eq!(Record::from_json(&record.to_json()).unwrap(), record);
}

#[test]
fn a_drop_in_json_carries_its_table_entry() {
    let record = record(&event(&mut udp(), Point::Drop, Detail::Drop(DropReason::UdpNoPort)));
    let value: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
    assert_eq!(value["detail"]["reason"], "udp-no-port");
    assert_eq!(value["detail"]["linux"], "NO_SOCKET");
    assert_eq!(value["detail"]["counter"], "UdpNoPorts");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = Detail::Text("connect(\"\u{1b}[2J\nx\")".into());
    let line = line(&socket_event(Point::Syscall, text));
    assert!(line.ends_with("connect(\"\\u{1b}[2J\\nx\")"), "{line}");
}
