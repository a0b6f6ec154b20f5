//! Whole nets in virtual time: the same stack, links and clock as for programs, driven from Rust.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{address, assert_ledger, connect, example, listen, pair, ping, plan_of, transfer, world};
use netspace_base::DropReason;
use netspace_lab::world::{FrameSink, World};
use netspace_stack::sock::{Readiness, SockError};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn hosts_of_the_examples_reach_each_other_in_both_families() {
    let pairs = [
        ("hello", "client", "server"),
        ("wan", "berlin", "tokyo"),
        ("wan", "berlin2", "gw-tokyo"),
        ("ring", "left", "right"),
        ("lan", "h1", "h30"),
        ("lan", "h17", "server"),
    ];
    for (name, from, to) in pairs {
        let mut world = world(example(name), 1);
        for v4 in [true, false] {
            let addr = address(&world, to, from, v4);
            // The first waits for address resolution on every link; any may be lost (wan.yaml).
            let _ = ping(&mut world, from, addr, SECOND);
            let rtt = (0..5).find_map(|_| ping(&mut world, from, addr, SECOND).ok());
            let rtt = rtt.unwrap_or_else(|| panic!("{name}: {from} gets no answer from {to} at {addr}"));
            let least = match name {
                "wan" => 80,
                "hello" => 10,
                "ring" => 14,
                _ => 0,
            };
            let ms = rtt.as_millis();
            assert!((least..least + 20).contains(&ms), "{name}: {from} to {to} takes {ms} ms");
        }
        assert_ledger(&world);
    }
}

/// Static routes fail over where a router's own link is lost, and only there (examples/ring.yaml says so).
#[test]
fn a_second_route_takes_over_when_a_link_is_unplugged() {
    let mut world = world(example("ring"), 1);
    let link = |world: &World, name: &str| world.find_link(name).expect("a link").0;
    for v4 in [true, false] {
        let right = address(&world, "right", "left", v4);
        let by_r2 =
            ping(&mut world, "left", right, SECOND).and_then(|_| ping(&mut world, "left", right, SECOND));
        assert_eq!(by_r2.map(|t| t.as_millis()), Ok(14), "there by r2 (4 ms), back by r4 (10 ms)");
        let number = link(&world, "r1--r2");
        world.set_link_up(number, false);
        let _ = ping(&mut world, "left", right, SECOND);
        let by_r4 = ping(&mut world, "left", right, SECOND);
        assert_eq!(by_r4.map(|t| t.as_millis()), Ok(20), "both ways by r4");
        world.set_link_up(number, true);
        // Beyond the next router nobody is told.
        let far = link(&world, "r2--r3");
        world.set_link_up(far, false);
        assert!(ping(&mut world, "left", right, SECOND).is_err());
        world.set_link_up(far, true);
        let _ = ping(&mut world, "left", right, 5 * SECOND);
    }
}

/// What hosts send as they come up is part of a capture.
#[test]
fn who_watches_from_the_start_sees_the_first_frames() {
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);
    impl FrameSink for Count {
        fn frame(&mut self, tap: &netspace_stack::Tap) {
            if tap.outgoing && tap.at == netspace_base::Instant::ZERO {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    let count = Count::default();
    let sink = count.clone();
    let clock = netspace_lab::world::Clock::virtual_time();
    let plan = plan_of("hosts: {a: {}, b: {}}\nlinks: [a -- b]\n");
    World::from_plan_watched::<netspace_lab::world::BuildError>(plan, None, clock, |world| {
        world.add_tap(Box::new(sink));
        Ok(())
    })
    .expect("a world");
    assert!(count.0.load(Ordering::Relaxed) >= 2, "each host reports its groups when it comes up");
}

#[test]
fn unknown_addresses_are_unreachable_and_said_to_be() {
    let mut world = world(example("hello"), 1);
    // On the link, but nobody has it: address resolution fails.
    let nobody = "10.0.1.77".parse().unwrap();
    assert_eq!(ping(&mut world, "client", nobody, 10 * SECOND), Err(SockError::HostUnreachable));
    // Behind the router, no such network.
    let nowhere = "172.16.0.1".parse().unwrap();
    assert_eq!(ping(&mut world, "client", nowhere, 10 * SECOND), Err(SockError::NetworkUnreachable));
    // Nothing listens.
    let closed = SocketAddr::new(address(&world, "server", "client", true), 81);
    assert_eq!(connect(&mut world, "client", closed, SECOND).err(), Some(SockError::ConnectionRefused));
}

/// 10 ms, 1 % loss, reordering, duplication, corruption: not a byte is lost or changed.
fn bulk(v4: bool, bytes: u64) -> (World, Duration) {
    let plan = plan_of(
        "hosts: {a: {}, b: {}}\nrouters: {r: {}}\nlinks:\n  - a -- r {rate: 1gbit}\n  \
         - r -- b {delay: 10ms, loss: 1%, reorder: 1%, duplicate: 1%, corrupt: 0.1%, rate: 100mbit}\n",
    );
    let mut world = world(plan, 7);
    let (a, b) = pair(&mut world, "a", "b", v4, 5001);
    let took = transfer(&mut world, a, b, bytes, 600 * SECOND);
    (world, took)
}

#[test]
fn tcp_carries_every_byte_over_a_bad_link() {
    for v4 in [true, false] {
        let (world, _) = bulk(v4, 4_000_000);
        let link = world.find_link("r--b").expect("the link").0;
        let stats = world.link(link).stats[1];
        assert!(stats.lost > 0 && stats.duplicated > 0 && stats.corrupted > 0, "{stats:?}");
        assert_ledger(&world);
    }
}

/// Ten seconds in release (`cargo test --release -p netspace-lab --test nets`), minutes without optimization.
#[test]
#[cfg_attr(debug_assertions, ignore = "long: run it in release")]
fn ten_gigabytes_arrive_whole() {
    let plan = plan_of(
        "hosts: {a: {}, b: {}}\nlinks: ['a -- b {delay: 10ms, loss: 1%, reorder: 1%, duplicate: 1%, corrupt: 0.1%}']\n",
    );
    let mut world = world(plan, 10);
    let (a, b) = pair(&mut world, "a", "b", true, 5001);
    let took = transfer(&mut world, a, b, 10_000_000_000, 1_000_000 * SECOND);
    println!("{:.1} Mbit/s by the lab's clock", 80_000.0 / took.as_secs_f64());
    assert_ledger(&world);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (world, took) = bulk(true, 300_000);
        (took, world.now(), world.link(1).stats, world.ledger().created)
    };
    assert_eq!(run(), run());
}

#[test]
fn an_unplugged_link_for_thirty_seconds_costs_time_and_no_bytes() {
    let mut world = world(example("hello"), 3);
    let (a, b) = pair(&mut world, "client", "server", true, 5001);
    let link = world.find_link("gw--server").expect("the link").0;
    // In mid-transfer.
    let sent = a.send(&mut world, vec![7; 200_000].into()).expect("sends");
    world.run_for(Duration::from_millis(8)).expect("runs");
    world.set_link_up(link, false);
    assert!(!world.link(link).up);
    world.run_for(30 * SECOND).expect("runs");
    let before = b.recv(&mut world, 1 << 20).map_or(0, |r| r.len());
    assert!(before < sent, "nothing came while it was down");
    world.set_link_up(link, true);
    let deadline = world.now() + 60 * SECOND;
    let mut got = before;
    let all = world
        .run_until(deadline, |w| {
            while b.readiness(w).contains(Readiness::IN) {
                got += b.recv(w, 1 << 20).map_or(0, |r| r.len());
            }
            got == sent
        })
        .expect("runs");
    assert!(all, "{got} of {sent} bytes came after the link was plugged in again");
    assert_ledger(&world);
}

#[test]
fn a_long_lossy_line_carries_what_theory_gives() {
    let mut world = world(example("wan"), 1);
    let (a, b) = pair(&mut world, "berlin", "tokyo", true, 5001);
    let bytes = 6_000_000;
    let took = transfer(&mut world, a, b, bytes, 120 * SECOND).as_secs_f64();
    let rate = bytes as f64 * 8.0 / took;
    // Mathis et al. (1997): MSS / RTT · 1.22 / √p is what Reno gets at this loss: about 5.6 Mbit/s. CUBIC (RFC 9438 §5.1,
    // figure for p = 10⁻³ and 80 ms) gets about twice that; a few megabytes are over before the average is reached.
    let mathis = 1448.0 * 8.0 / 0.080 * 1.22 / 0.001f64.sqrt();
    assert!((0.5 * mathis..4.0 * mathis).contains(&rate), "{:.1} Mbit/s in {took:.2} s", rate / 1e6);
    // The same line without loss is filled, at least in its last seconds.
    let link = world.find_link("gw-berlin--gw-tokyo").expect("the link").0;
    world.set_link(link, None, "loss off").expect("set");
    let (a, b) = pair(&mut world, "berlin", "tokyo", true, 5002);
    let took = transfer(&mut world, a, b, 20_000_000, 60 * SECOND).as_secs_f64();
    let clean = 20_000_000.0 * 8.0 / took;
    assert!(clean > 20e6 && clean < 50e6, "{:.1} Mbit/s without loss", clean / 1e6);
}

#[test]
fn links_change_while_frames_are_under_way() {
    let mut world = world(example("hello"), 1);
    let server = address(&world, "server", "client", true);
    ping(&mut world, "client", server, SECOND).expect("an answer");
    let rtt = |w: &mut World| ping(w, "client", server, SECOND).expect("an answer").as_millis();
    assert_eq!(rtt(&mut world), 10);
    let (link, towards) = world.find_link("server--gw").expect("found from either side");
    world.set_link(link, None, "delay 50ms").expect("set");
    assert_eq!(rtt(&mut world), 100);
    assert_eq!(world.link(link).towards[0].rate_bps, Some(100_000_000), "the rate has stayed");
    // One direction alone.
    world.set_link(link, Some(towards), "delay 0ms").expect("set");
    assert_eq!(rtt(&mut world), 50);
    world.set_link(link, None, "loss 100%").expect("set");
    assert_eq!(ping(&mut world, "client", server, SECOND), Err(SockError::WouldBlock));
    assert!(world.ledger().dropped(DropReason::LinkLoss) > 0);
    let error = world.set_link(link, None, "dealy 5ms").unwrap_err().to_string();
    assert!(error.contains("did you mean `delay`?"), "{error}");
    for (name, words) in
        [("gw--srver", "did you mean `server`?"), ("client--server", "client has client--lan")]
    {
        let error = world.find_link(name).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn routers_advertise_for_those_who_ask() {
    let plan = plan_of(
        "hosts: {auto: {ipv6: auto}, fixed: {}, far: {}}\nrouters: {r: {}}\nswitches: {s: {}}\n\
         links: [auto -- s, fixed -- s, r -- s, r -- far]\n",
    );
    let slaac = plan.nodes[0].interfaces[0].slaac.expect("planned").addr();
    let mut world = world(plan, 1);
    world.run_for(10 * SECOND).expect("runs");
    let far = address(&world, "far", "auto", false);
    ping(&mut world, "auto", far, SECOND).expect("through the router that advertised itself");
    ping(&mut world, "far", slaac.into(), SECOND).expect("the address that the plan foresaw");
}

#[test]
fn a_link_may_start_unplugged() {
    let mut world = world(plan_of("hosts: {a: {}, b: {}}\nlinks: ['a -- b {up: false}']\n"), 1);
    let b = address(&world, "b", "a", true);
    assert!(ping(&mut world, "a", b, 5 * SECOND).is_err());
    world.set_link_up(0, true);
    ping(&mut world, "a", b, 5 * SECOND).expect("plugged in");
    assert_ledger(&world);
}

/// Counts unicast frames that arrive at one host's devices.
struct Sniffer(netspace_base::NsId, Arc<AtomicUsize>);

impl FrameSink for Sniffer {
    fn frame(&mut self, tap: &netspace_stack::Tap) {
        let unicast = tap.frame.data().first().is_some_and(|b| b & 1 == 0);
        if tap.ns == self.0 && !tap.outgoing && unicast {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_hub_shows_everybody_every_frame_and_a_switch_does_not() {
    let seen_by = |sniffer: &str, from: &str, to: &str| {
        let mut world = world(example("lan"), 1);
        let addr = address(&world, to, from, true);
        let _ = ping(&mut world, from, addr, SECOND);
        let count = Arc::new(AtomicUsize::new(0));
        world.add_tap(Box::new(Sniffer(common::id(&world, sniffer), count.clone())));
        ping(&mut world, from, addr, SECOND).expect("an answer");
        count.load(Ordering::Relaxed)
    };
    assert_eq!(seen_by("tap", "h1", "server"), 2, "request and reply pass the hub");
    assert_eq!(seen_by("h3", "h1", "h2"), 0, "the switch has learnt who is where");
}

#[test]
fn a_listener_nobody_serves_keeps_its_backlog() {
    let mut world = world(example("hello"), 1);
    let _listener = listen(&mut world, "server", true, 7);
    let addr = SocketAddr::new(address(&world, "server", "client", true), 7);
    for _ in 0..5 {
        connect(&mut world, "client", addr, SECOND).expect("the kernel accepts for the program");
    }
    assert_ledger(&world);
}

#[test]
fn a_thousand_hosts_start_fast() {
    let plan = plan_of(
        "hosts: {'h[1-1000]': {}}\nswitches: {core: {}, 's[1-20]': {}}\nlinks:\n  - s[1-20] -- core\n  \
         - h[1-50] -- s1\n  - h[51-500] -- s2\n  - h[501-1000] -- s3\n",
    );
    let mut world =
        World::from_plan(plan, None, netspace_lab::world::Clock::virtual_time()).expect("a world");
    let h1000 = address(&world, "h1000", "h1", true);
    ping(&mut world, "h1", h1000, SECOND).expect("an answer");
}
