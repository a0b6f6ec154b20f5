//! ECN as programs and their administrators see it: marks of the network, through IP and TCP, up to `TCP_INFO`.

mod sock_common;

use std::time::Duration;

use netspace_stack::snmp::Counter;
use netspace_stack::sock::SockId;
use netspace_wire::ecn::mark_ce;
use sock_common::{A, B, Net};

const MS: Duration = Duration::from_millis(1);

fn with_ecn(value: &str) -> Net {
    let mut net = Net::new();
    for n in [A, B] {
        net.sysctl(n, "ipv4.tcp_ecn", value);
    }
    net
}

/// Sends `total` bytes from `c` to `s` and reads them.
fn transfer(net: &mut Net, c: SockId, s: SockId, total: usize) {
    let (mut sent, mut got) = (0, 0);
    let data = vec![7; total];
    for _ in 0..10_000 {
        sent += net.send(A, c, &data[sent..]).unwrap_or(0);
        net.advance(MS);
        got += net.recv_bytes(B, s).map_or(0, |bytes| bytes.len());
        if got >= total {
            return;
        }
    }
    panic!("{got} of {total} bytes came");
}

#[test]
fn a_router_that_marks_slows_the_sender_down_without_loss() {
    for (value, to) in [("1", "10.0.0.2:80"), ("1", "[fd00::2]:80"), ("3", "10.0.0.2:80")] {
        let mut net = with_ecn(value);
        let l = net.listener(B, if to.starts_with('[') { "[::]:80" } else { "0.0.0.0:80" }, 8);
        let (c, s) = net.connection(A, B, l, to);
        transfer(&mut net, c, s, 400_000);
        let before = net.host[A].tcp_info(c, net.t.now).unwrap();
        assert_eq!(before.options & 8, 8, "agreed on");
        net.damage = Some(|pkt| {
            pkt.pull(14);
            mark_ce(pkt);
            pkt.unpull(14);
        });
        transfer(&mut net, c, s, 400_000);
        net.damage = None;
        transfer(&mut net, c, s, 400_000);
        let after = net.host[A].tcp_info(c, net.t.now).unwrap();
        let (marked, capable) = if to.starts_with('[') {
            (Counter::Ip6InCePkts, Counter::Ip6InEct0Pkts)
        } else {
            (Counter::IpExtInCePkts, Counter::IpExtInEct0Pkts)
        };
        assert!(
            net.host[B].snmp.get(marked) > 0 && net.host[B].snmp.get(capable) > 200,
            "segments, not super-segments"
        );
        assert!(after.snd_ssthresh < before.snd_cwnd, "{} {}", before.snd_cwnd, after.snd_ssthresh);
        assert_eq!(after.total_retrans, 0);
        assert!(after.delivered_ce > 0);
        assert_eq!(net.host[A].snmp.get(Counter::TcpExtTcpDeliveredCe), u64::from(after.delivered_ce));
        assert_eq!(net.host[B].tcp_info(s, net.t.now).unwrap().options & 16, 16, "seen");
        net.assert_ledger();
    }
}

#[test]
fn by_default_a_listener_grants_what_a_peer_asks_for() {
    let mut net = Net::new();
    let l = net.listener(B, "0.0.0.0:80", 8);
    let (c, _) = net.connection(A, B, l, "10.0.0.2:80");
    assert_eq!(net.host[A].tcp_info(c, net.t.now).unwrap().options & 8, 0, "nobody asks by default");
    net.sysctl(A, "ipv4.tcp_ecn", "1");
    let (c, _) = net.connection(A, B, l, "10.0.0.2:80");
    assert_eq!(net.host[A].tcp_info(c, net.t.now).unwrap().options & 8, 8);
}
