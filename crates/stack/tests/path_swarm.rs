//! A seeded swarm: hosts, routers and switches whose links lose, whose devices and addresses come and go, while they
//! ping each other. Nothing panics, nothing is lost from sight, and in the end everything works again.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::Net;
use netspace_base::Seed;

/// Two switched subnets of three hosts each behind one router (host 0): 10.0.1.0/24 and 10.0.2.0/24, fd00:1:: and fd00:2::.
fn campus() -> (Net, Vec<(usize, String, String)>) {
    let mut net = Net::new();
    let router = net.router("router");
    let mut hosts = Vec::new();
    for subnet in 1..=2 {
        let switch = net.switch("switch", subnet == 1);
        net.link(router, switch);
        let dev = format!("eth{}", subnet - 1);
        net.addr(router, &dev, &format!("10.0.{subnet}.1/24"));
        net.addr(router, &dev, &format!("fd00:{subnet}::1/64"));
        for n in 2..5 {
            let host = net.host("host");
            net.link(host, switch);
            let (v4, v6) = (format!("10.0.{subnet}.{n}"), format!("fd00:{subnet}::{n}"));
            net.sysctl(host, "ipv6.conf.eth0.keep_addr_on_down", "1");
            net.addr(host, "eth0", &format!("{v4}/24"));
            net.addr(host, "eth0", &format!("{v6}/64"));
            net.route(host, "0.0.0.0/0", &format!("10.0.{subnet}.1"));
            net.route(host, "::/0", &format!("fd00:{subnet}::1"));
            hosts.push((host, v4, v6));
        }
    }
    net.seconds(3);
    (net, hosts)
}

#[test]
fn a_network_survives_what_happens_to_it() {
    for seed in 0..6 {
        let mut rng = Seed(seed).stream("swarm", 0);
        let (mut net, hosts) = campus();
        let loss = Rc::new(RefCell::new(Seed(seed).stream("loss", 0)));
        for link in &mut net.links {
            let loss = loss.clone();
            link.lose = Some(Box::new(move |_| loss.borrow_mut().chance(100_000_000)));
        }
        let sockets: Vec<_> =
            hosts.iter().map(|(n, v4, v6)| (net.ping_socket(*n, v4), net.ping_socket(*n, v6))).collect();
        for _ in 0..400 {
            let from = rng.below(6) as usize;
            let to = &hosts[rng.below(6) as usize];
            let (host, _, _) = hosts[from];
            let len = [8, 200, 1472, 4000, 30_000][rng.below(5) as usize];
            match rng.below(12) {
                0 => {
                    let link = rng.below(net.links.len() as u64) as usize;
                    net.plug(link, false);
                    net.advance(Duration::from_millis(rng.below(8000)));
                    net.plug(link, true);
                }
                1 => {
                    let dev = net.dev(host, "eth0");
                    net.call(host, |ns, t| ns.set_up(t, dev, false)).unwrap();
                    net.advance(Duration::from_millis(rng.below(3000)));
                    net.call(host, |ns, t| ns.set_up(t, dev, true)).unwrap();
                    let subnet = if from < 3 { 1 } else { 2 };
                    net.route(host, "0.0.0.0/0", &format!("10.0.{subnet}.1"));
                    net.route(host, "::/0", &format!("fd00:{subnet}::1"));
                }
                2 => {
                    let dev = net.dev(host, "eth0");
                    let mtu = [1280, 1400, 1500][rng.below(3) as usize];
                    net.call(host, |ns, t| ns.set_mtu(t, dev, mtu)).unwrap();
                }
                n if n % 2 == 0 => drop(net.echo(host, sockets[from].0, &to.1, len)),
                _ => drop(net.echo(host, sockets[from].1, &to.2, len)),
            }
            net.advance(Duration::from_millis(rng.below(300)));
            net.assert_ledger();
            for (n, (s4, s6)) in sockets.iter().enumerate() {
                for s in [*s4, *s6] {
                    while net.recv(hosts[n].0, s, false).is_ok() || net.recv(hosts[n].0, s, true).is_ok() {}
                }
            }
        }
        for link in &mut net.links {
            link.lose = None;
        }
        net.seconds(120);
        net.assert_ledger();
        assert_eq!(net.hosts.iter().map(netspace_stack::Netns::queued).sum::<u64>(), 0, "seed {seed}");
        for (n, _, _) in &hosts {
            for (_, v4, v6) in &hosts {
                assert_eq!(net.ping(*n, v4, 1000).map(|(len, _)| len), Ok(1000), "seed {seed}: {n} to {v4}");
                assert_eq!(net.ping(*n, v6, 1000).map(|(len, _)| len), Ok(1000), "seed {seed}: {n} to {v6}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_frames() {
    let run = || {
        let (mut net, hosts) = campus();
        for (n, _, _) in &hosts {
            for (_, v4, v6) in &hosts {
                let _ = net.ping(*n, v4, 3000);
                let _ = net.ping(*n, v6, 3000);
            }
        }
        net.log
    };
    assert_eq!(run(), run());
}
