//! The name server on every host, asked through the stack's sockets as programs ask it, and the files that lead to it.

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use common::{connect, example, id, world};
use netspace_lab::world::World;
use netspace_stack::sock::{Family, Message, Readiness, RecvFlags, SockType};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, Question, TYPE};

const SECOND: Duration = Duration::from_secs(1);

fn server() -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, 53]), 53)
}

fn query(name: &str, kind: TYPE) -> Bytes {
    let mut packet = Packet::new_query(77);
    packet.questions.push(Question::new(Name::new(name).unwrap(), kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap().into()
}

fn addresses(answer: &[u8]) -> Vec<String> {
    let packet = Packet::parse(answer).expect("well formed");
    assert_eq!(packet.id(), 77);
    let show = |data: &RData<'_>| match data {
        RData::A(a) => std::net::Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
        other => format!("{other:?}"),
    };
    packet.answers.iter().map(|r| show(&r.rdata)).collect()
}

fn ask_udp(world: &mut World, host: &str, name: &str, kind: TYPE) -> Vec<String> {
    let ns = id(world, host);
    let (netns, t) = world.lend(ns);
    let sock = netns.socket(t, Family::Inet, SockType::Dgram, 0).expect("socket");
    let message = Message { to: Some(server()), data: query(name, kind), ..Message::default() };
    netns.send(t, sock, message).expect("sent");
    let deadline = world.now() + SECOND;
    let ready =
        world.run_until(deadline, |w| w.netns(ns).readiness(sock).contains(Readiness::IN)).expect("runs");
    assert!(ready, "an answer comes");
    let (netns, t) = world.lend(ns);
    let got = netns.recv(t, sock, 2000, RecvFlags::default()).expect("received");
    assert_eq!(got.from, Some(server()));
    netns.close(t, sock);
    addresses(&got.data.concat())
}

#[test]
fn every_host_has_a_name_server_over_udp() {
    let mut world = world(example("hello"), 1);
    for host in ["client", "server", "gw"] {
        assert_eq!(ask_udp(&mut world, host, "server.lab", TYPE::A), ["10.0.2.10"], "on {host}");
        assert_eq!(ask_udp(&mut world, host, "client", TYPE::AAAA), ["fd00:1::10"], "on {host}");
    }
    // A router's near side comes first.
    assert_eq!(ask_udp(&mut world, "server", "gw.lab", TYPE::A), ["10.0.2.1", "10.0.1.1"]);
    assert!(ask_udp(&mut world, "client", "example.org", TYPE::A).is_empty());
}

#[test]
fn it_answers_over_tcp_even_query_after_query() {
    let mut world = world(example("hello"), 1);
    let tcp = connect(&mut world, "client", server(), SECOND).expect("connects");
    let mut framed = Vec::new();
    for name in ["server.lab", "gw.lab"] {
        let query = query(name, TYPE::A);
        framed.extend((query.len() as u16).to_be_bytes());
        framed.extend(&query);
    }
    tcp.send(&mut world, framed.into()).expect("sent");
    let mut buffer: Vec<u8> = Vec::new();
    let mut answers = Vec::new();
    let deadline = world.now() + SECOND;
    world
        .run_until(deadline, |w| {
            while let Ok(got) = tcp.recv(w, 4096) {
                if got.is_empty() {
                    break;
                }
                buffer.extend(got.data.concat());
            }
            while buffer.len() > 2
                && buffer.len() >= 2 + usize::from(u16::from_be_bytes([buffer[0], buffer[1]]))
            {
                let len = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
                answers.push(addresses(&buffer[2..2 + len]));
                buffer.drain(..2 + len);
            }
            answers.len() == 2
        })
        .expect("runs");
    assert_eq!(answers, [vec!["10.0.2.10".to_owned()], vec!["10.0.1.1".into(), "10.0.2.1".into()]]);
    tcp.close(&mut world);
}

#[test]
fn files_lead_to_names_and_to_the_name_server() {
    let mut world = world(example("hello"), 1);
    let client = id(&world, "client");
    let mut file = |path: &str| world.view(client, path).map(|b| String::from_utf8(b).expect("text"));
    let hosts = file("/etc/hosts").expect("there");
    assert!(hosts.contains("127.0.0.1\tlocalhost\n"), "{hosts}");
    assert!(
        hosts.contains("10.0.2.10\tserver server.lab\n") && hosts.contains("fd00:2::10\tserver server.lab\n"),
        "{hosts}"
    );
    assert!(hosts.contains("10.0.1.1\tgw gw.lab\n"), "the router's near side: {hosts}");
    let resolv = file("/etc/resolv.conf").expect("there");
    assert!(resolv.contains("nameserver 127.0.0.53\n") && resolv.contains("search lab\n"), "{resolv}");
    assert!(file("/etc/nsswitch.conf").expect("there").contains("hosts:    files dns\n"));
    assert_eq!(file("/etc/hostname").as_deref(), Some("client\n"));
    assert_eq!(file("/etc/passwd"), None, "the machine's own");
    assert_eq!(file("/proc/sys/net/ipv4/ip_forward").as_deref(), Some("0\n"));
    assert!(file("/proc/net/dev").expect("there").contains("eth0:"));
}

#[test]
fn a_host_without_links_knows_its_own_name() {
    let mut world = world(common::plan_of("hosts: {only: {}}\n"), 1);
    let only = id(&world, "only");
    let hosts = String::from_utf8(world.view(only, "/etc/hosts").expect("there")).expect("text");
    assert!(hosts.contains("127.0.1.1\tonly only.lab\n"), "{hosts}");
    assert_eq!(ask_udp(&mut world, "only", "localhost", TYPE::A), ["127.0.0.1"]);
}
