//! Managed queues as their frames see them: how long they wait, which are dropped or marked.

use std::time::Duration;

use netspace_base::{DropReason, Instant, Pkt, PktId, Rng, Seed};
use netspace_sched::LinkDirection;
use netspace_wire::ecn::Ecn;
use netspace_wire::ethernet::{ETHERTYPE_IPV4, EthernetRepr};
use netspace_wire::ipv4::Ipv4Repr;
use netspace_wire::udp::UdpRepr;
use netspace_wire::{MacAddr, protocol};
use proptest::prelude::*;

/// Bytes of a frame of these tests; at 10 Mbit/s it takes 1 ms.
const FRAME: usize = 1250;

/// A UDP datagram of flow `flow`, [`FRAME`] bytes with its Ethernet header.
fn datagram(id: u64, flow: u16, ecn: Ecn) -> Box<Pkt> {
    let mut pkt = Pkt::new(PktId(id));
    pkt.append(&vec![0; FRAME - 42]);
    let udp = UdpRepr::new(flow, 53, pkt.len());
    udp.emit(pkt.push(udp.header_len()));
    let mut ip = Ipv4Repr::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::UDP, pkt.len());
    ip.tos = ecn.on(0);
    ip.emit(pkt.push(ip.header_len()));
    pkt.set_network_header();
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    EthernetRepr { src: mac, dst: mac, ethertype: ETHERTYPE_IPV4 }.emit(pkt.push(14));
    pkt
}

fn ecn_of(frame: &Pkt) -> Ecn {
    let (ip, _) = Ipv4Repr::parse(&frame.data()[14..]).expect("the header holds, its checksum too");
    Ecn::of(ip.tos)
}

/// A link that somebody sends on.
struct Run {
    link: LinkDirection,
    rng: Rng,
    now: Instant,
    sent: Vec<(Instant, u16)>,
    arrived: Vec<(Instant, Box<Pkt>)>,
    dropped: Vec<(Instant, DropReason)>,
}

impl Run {
    fn new(settings: &str) -> Self {
        Self {
            link: LinkDirection::new(settings.parse().expect("reads")),
            rng: Seed(5).stream("link", 0),
            now: Instant::ZERO,
            sent: Vec::new(),
            arrived: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// `count` frames of 1250 bytes, one each `gap_us`.
    fn flood(settings: &str, count: u64, gap_us: u64, ecn: Ecn) -> Self {
        let mut run = Self::new(settings);
        for n in 0..count {
            run.until(Instant::from_micros(n * gap_us));
            run.send(1, ecn);
        }
        run
    }

    fn send(&mut self, flow: u16, ecn: Ecn) {
        let pkt = datagram(self.sent.len() as u64, flow, ecn);
        self.sent.push((self.now, flow));
        let verdict = self.link.send(self.now, pkt, &mut self.rng);
        self.note(verdict.dropped);
    }

    fn note(&mut self, dropped: Vec<(Box<Pkt>, DropReason)>) {
        self.dropped.extend(dropped.into_iter().map(|(_, why)| (self.now, why)));
    }

    /// Lets everything happen that is due by `end`, at its moment.
    fn until(&mut self, end: Instant) {
        while let Some(at) = self.link.next_event().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            while let Some(pkt) = self.link.arrive(self.now) {
                self.arrived.push((self.now, pkt));
            }
            let dropped = self.link.take_dropped();
            self.note(dropped);
        }
        self.now = self.now.max(end);
    }

    fn of_flow(&self, flow: u16) -> impl Iterator<Item = &(Instant, Box<Pkt>)> {
        self.arrived.iter().filter(move |(_, pkt)| self.sent[pkt.id.0 as usize].1 == flow)
    }

    /// How long the frames of a flow were under way.
    fn delays(&self, flow: u16) -> Vec<Duration> {
        self.of_flow(flow).map(|(at, pkt)| at.saturating_since(self.sent[pkt.id.0 as usize].0)).collect()
    }

    fn marked(&self) -> u64 {
        self.arrived.iter().filter(|(_, pkt)| ecn_of(pkt) == Ecn::Ce).count() as u64
    }
}

const fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

/// RFC 8289 §5: nothing is dropped until frames have waited longer than the target for an interval; then one is, and the
/// next after interval / √2, / √3 …
#[test]
fn codel_drops_ever_faster_while_the_queue_stands() {
    let run = Run::flood("rate 10mbit queue codel", 500, 800, Ecn::NotEct);
    assert!(run.dropped.iter().all(|(_, why)| *why == DropReason::LinkQueueDelay));
    assert_eq!(run.link.stats().waited_too_long, run.dropped.len() as u64);
    let at: Vec<f64> = run.dropped.iter().map(|(at, _)| at.as_secs_f64() * 1e3).collect();
    // The link carries a frame each ms and is given one each 0.8 ms: the frame sent at 25 ms is the first to wait 5 ms.
    assert!((124.0..=127.0).contains(&at[0]), "{at:?}");
    let steps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Drops happen when a frame is sent: to within a frame's time or so.
    for (step, count) in steps.iter().zip([1.0_f64, 2.0, 3.0, 4.0]) {
        assert!((step - 100.0 / count.sqrt()).abs() <= 1.5, "{steps:?}");
    }
    assert!(steps.len() >= 3, "{steps:?}");
}

#[test]
fn short_bursts_pass_codel_unharmed() {
    let mut run = Run::new("rate 10mbit queue codel");
    for burst in 0..20 {
        run.until(ms(burst * 200));
        (0..60).for_each(|_| run.send(1, Ecn::NotEct));
    }
    run.until(ms(10_000));
    assert_eq!(run.dropped, []);
    assert_eq!(run.arrived.len(), 1200);
}

#[test]
fn transports_that_take_part_are_marked_instead() {
    let mut run = Run::flood("rate 10mbit queue codel ecn", 500, 800, Ecn::Ect0);
    run.until(ms(2000));
    assert_eq!(run.dropped, []);
    assert!(run.marked() >= 4, "{}", run.marked());
    assert_eq!(run.link.stats().marked, run.marked());
    assert_eq!(run.arrived.len(), 500);
}

/// The point of fair queues: a call beside a flood waits for a frame or two, not for the flood.
#[test]
fn a_thin_flow_does_not_wait_behind_thick_ones() {
    let worst = |settings: &str| {
        let mut run = Run::new(settings);
        for n in 0..2000 {
            run.until(Instant::from_micros(n * 500));
            run.send(10 + (n % 10) as u16, Ecn::NotEct);
            if n % 200 == 0 {
                run.send(2, Ecn::NotEct);
            }
        }
        run.until(ms(20_000));
        assert_eq!(run.delays(2).len(), 10, "none of its frames is lost");
        run.delays(2).into_iter().max().expect("some arrive")
    };
    assert!(worst("rate 10mbit queue fq_codel") <= Duration::from_millis(4));
    assert!(worst("rate 10mbit limit 5000") > Duration::from_millis(500));
}

#[test]
fn thick_flows_share_evenly() {
    let mut run = Run::new("rate 10mbit queue fq_codel limit 100");
    for n in 0..4500 {
        run.until(Instant::from_micros(n * 333));
        // One sends twice as much as the other.
        run.send(if n % 3 == 0 { 1 } else { 2 }, Ecn::NotEct);
    }
    let (one, two) = (run.delays(1).len() as f64, run.delays(2).len() as f64);
    assert!((0.9..1.1).contains(&(one / two)), "{one} to {two}");
    assert!(run.link.stats().queue_full > 0, "the limit holds by dropping from the longest queue");
}

#[test]
fn going_down_gives_back_what_waits_and_another_discipline_lets_it_go() {
    for queue in ["codel", "fq_codel"] {
        let managed = format!("rate 10mbit queue {queue}");
        let mut run = Run::new(&managed);
        (0..20).for_each(|n| run.send(n % 3, Ecn::NotEct));
        run.until(ms(4));
        let waiting = run.link.in_flight();
        assert_eq!(waiting + run.arrived.len(), 20);
        assert_eq!(run.link.set_up(false).len(), waiting);
        assert_eq!((run.link.in_flight(), run.link.next_event()), (0, None));

        let mut run = Run::new(&managed);
        (0..20).for_each(|n| run.send(n % 3, Ecn::NotEct));
        run.link.set("rate 10mbit".parse().expect("reads"));
        run.until(ms(30));
        assert_eq!(run.arrived.len(), 20);
        run.send(1, Ecn::NotEct);
        run.until(ms(40));
        assert_eq!(run.arrived.len(), 21);
    }
}

proptest! {
    /// Whatever is sent when: each frame ends once, flows keep their order, no more wait than may, only ECN's own are
    /// marked, and none arrives before it can.
    #[test]
    fn every_frame_ends_once_and_in_order(
        fq in any::<bool>(),
        ecn in any::<bool>(),
        limit in 1_usize..40,
        sends in prop::collection::vec((0_u64..1500, 0_u16..4, any::<bool>()), 1..300),
    ) {
        let (name, mark) = (if fq { "fq_codel" } else { "codel" }, if ecn { "ecn" } else { "noecn" });
        let queue = format!("queue {name} limit {limit} target 1ms interval 10ms {mark}");
        let mut run = Run::new(&format!("rate 10mbit delay 3ms {queue}"));
        for (wait_us, flow, ect) in sends {
            run.until(run.now + Duration::from_micros(wait_us));
            run.send(flow, if ect { Ecn::Ect0 } else { Ecn::NotEct });
            prop_assert!(run.link.queue_len(run.now).0 <= limit);
        }
        run.until(ms(10_000_000));
        prop_assert_eq!(run.arrived.len() + run.dropped.len(), run.sent.len());
        let stats = *run.link.stats();
        prop_assert_eq!(stats.sent, stats.delivered + stats.queue_full + stats.waited_too_long);
        prop_assert_eq!(run.marked(), stats.marked);
        prop_assert!(ecn || stats.marked == 0);
        for flow in 0..4 {
            prop_assert!(run.of_flow(flow).is_sorted_by_key(|(_, pkt)| pkt.id.0));
            prop_assert!(run.delays(flow).iter().all(|delay| *delay >= Duration::from_millis(4)));
        }
    }
}
