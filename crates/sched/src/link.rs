//! One direction of a link: a queue before the rate, then a delay line.
//!
//! ```text
//! send ─▶ duplicate ─▶ lose ─▶ [ queue ─▶ rate ] ─▶ delay ± jitter ─▶ corrupt ─▶ arrive
//!                                 │ full: dropped        ╰ reorder: skip it
//! ```
//! Where a discipline manages the queue (codel, fq_codel), a frame waits in it until its turn; else its turn is known when
//! it comes. The limit counts only frames that wait for the rate, not those on their way (netem counts both and so loses frames on
//! a long fat link whose limit was not raised; a real link does not).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use netspace_base::{DropReason, Instant, Pkt, Rng};
use netspace_wire::{checksum, gso};

use crate::Impairment;
use crate::codel::Entry;
use crate::discipline::Discipline;
use crate::loss::LossState;
use crate::managed::Managed;

/// Counts of one direction, in frames unless said otherwise. A packet that passes whole counts as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkStats {
    /// Frames that entered, duplicates not counted.
    pub sent: u64,
    /// Bytes that entered.
    pub sent_bytes: u64,
    /// Frames that arrived.
    pub delivered: u64,
    /// Bytes that arrived.
    pub delivered_bytes: u64,
    /// Lost by the loss setting.
    pub lost: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Frames that skipped the delay.
    pub reordered: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped by the queue's discipline because frames waited too long.
    pub waited_too_long: u64,
    /// Marked by it instead (ECN's CE).
    pub marked: u64,
    /// Dropped because the link was down or went down.
    pub down: u64,
}

/// What became of a packet given to [`LinkDirection::send`].
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many frames are under way now because of it.
    pub accepted: usize,
    /// Frames that ended here.
    pub dropped: Vec<(Box<Pkt>, DropReason)>,
}

#[derive(Debug)]
struct InFlight {
    at: Instant,
    order: u64,
    pkt: Box<Pkt>,
}

impl PartialEq for InFlight {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for InFlight {}
impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for InFlight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A frame that waits for the rate: when its turn comes, and its bytes.
#[derive(Debug)]
struct Waiting {
    starts: Instant,
    bytes: usize,
}

/// What chance has in store for a frame, drawn when it comes.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Its delay; none: it skips it.
    delay: Option<Duration>,
    /// Where a bit of it is flipped, as a share of its length in 2⁻³².
    flip: Option<u32>,
}

/// Carries frames one way over a link.
#[derive(Debug)]
pub struct LinkDirection {
    settings: Impairment,
    up: bool,
    stats: LinkStats,
    loss: LossState,
    managed: Option<Managed<Fate>>,
    /// What the discipline has dropped since it was last asked.
    dropped: Vec<(Box<Pkt>, DropReason)>,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// When the last frame accepted so far has been sent at the rate.
    busy_until: Instant,
    /// The latest arrival of a frame that kept its place.
    last_arrival: Instant,
    since_reorder: u32,
    order: u64,
}

impl LinkDirection {
    /// A direction that is up.
    pub fn new(settings: Impairment) -> Self {
        Self {
            settings,
            up: true,
            stats: LinkStats::default(),
            loss: LossState::default(),
            managed: None,
            dropped: Vec::new(),
            in_flight: BinaryHeap::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            busy_until: Instant::ZERO,
            last_arrival: Instant::ZERO,
            since_reorder: 0,
            order: 0,
        }
    }

    /// The settings.
    pub const fn settings(&self) -> &Impairment {
        &self.settings
    }

    /// Changes the settings. Frames under way arrive as they would have.
    pub fn set(&mut self, settings: Impairment) {
        self.settings = settings;
    }

    /// The counts so far.
    pub const fn stats(&self) -> &LinkStats {
        &self.stats
    }

    /// Whether the link is up.
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// Plugs or unplugs the link. Going down drops what is under way ([`DropReason::LinkDown`]): the frames are given back
    /// to be counted.
    pub fn set_up(&mut self, up: bool) -> Vec<Box<Pkt>> {
        self.up = up;
        if up {
            return Vec::new();
        }
        self.waiting.clear();
        self.waiting_bytes = 0;
        let in_flight = std::mem::take(&mut self.in_flight).into_sorted_vec();
        // `Reverse` sorts latest first.
        let mut dropped: Vec<_> = in_flight.into_iter().rev().map(|Reverse(frame)| frame.pkt).collect();
        if let Some(mut queue) = self.managed.take() {
            let next = || queue.dequeue(self.busy_until, Discipline::Fifo).frame;
            dropped.extend(std::iter::from_fn(next).map(|entry| entry.pkt));
        }
        self.busy_until = Instant::ZERO;
        self.last_arrival = Instant::ZERO;
        self.stats.down += dropped.len() as u64;
        dropped
    }

    /// Frames that the queue's discipline has dropped since this was last asked: it decides when their turn comes.
    pub fn take_dropped(&mut self) -> Vec<(Box<Pkt>, DropReason)> {
        std::mem::take(&mut self.dropped)
    }

    /// How many frames are under way, those that wait for the rate included.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() + self.managed.as_ref().map_or(0, |queue| queue.len().0)
    }

    /// How many frames, and bytes, wait for the rate at `now`.
    pub fn queue_len(&mut self, now: Instant) -> (usize, usize) {
        while let Some(first) = self.waiting.front().filter(|first| first.starts <= now) {
            self.waiting_bytes -= first.bytes;
            self.waiting.pop_front();
        }
        let (frames, bytes) = self.managed.as_ref().map_or((0, 0), Managed::len);
        (self.waiting.len() + frames, self.waiting_bytes + bytes)
    }

    /// A packet enters the link at `now`. One that stands for several frames is cut if anything is modelled per frame.
    pub fn send(&mut self, now: Instant, pkt: Box<Pkt>, rng: &mut Rng) -> Verdict {
        let mut verdict = Verdict::default();
        if pkt.gso.is_some() && self.settings.is_per_frame() {
            for frame in gso::cut(pkt) {
                self.send_frame(now, frame, rng, &mut verdict);
            }
        } else {
            self.send_frame(now, pkt, rng, &mut verdict);
        }
        verdict.dropped.append(&mut self.dropped);
        verdict
    }

    fn send_frame(&mut self, now: Instant, pkt: Box<Pkt>, rng: &mut Rng, verdict: &mut Verdict) {
        self.stats.sent += 1;
        self.stats.sent_bytes += pkt.len() as u64;
        if !self.up {
            self.stats.down += 1;
            verdict.dropped.push((pkt, DropReason::LinkDown));
            return;
        }
        if rng.chance(self.settings.duplicate) {
            self.stats.duplicated += 1;
            self.send_copy(now, pkt.clone(), rng, verdict);
        }
        self.send_copy(now, pkt, rng, verdict);
    }

    fn send_copy(&mut self, now: Instant, mut pkt: Box<Pkt>, rng: &mut Rng, verdict: &mut Verdict) {
        if self.loss.draw(self.settings.loss, rng) {
            self.stats.lost += 1;
            verdict.dropped.push((pkt, DropReason::LinkLoss));
            return;
        }
        if self.is_managed() {
            return self.wait(now, pkt, rng, verdict);
        }
        let Some(departure) = self.queue(now, pkt.len()) else {
            self.stats.queue_full += 1;
            verdict.dropped.push((pkt, DropReason::LinkQueueFull));
            return;
        };
        if rng.chance(self.settings.corrupt) {
            self.stats.corrupted += 1;
            flip_a_bit(&mut pkt, |bits| rng.below(bits));
        }
        let delay = self.draw_delay(rng);
        self.depart(departure, delay, pkt);
        verdict.accepted += 1;
    }

    /// Whether frames wait in a managed queue: its discipline is set, or it is not empty yet.
    fn is_managed(&self) -> bool {
        let wanted = self.settings.rate_bps.is_some() && self.settings.discipline != Discipline::Fifo;
        wanted || self.managed.as_ref().is_some_and(|queue| queue.len().0 > 0)
    }

    /// Puts a frame into the managed queue, behind what has left it by now.
    fn wait(&mut self, now: Instant, pkt: Box<Pkt>, rng: &mut Rng, verdict: &mut Verdict) {
        self.serve(now);
        let discipline = self.settings.discipline;
        if !self.managed.as_ref().is_some_and(|queue| queue.is_for(discipline) || queue.len().0 > 0) {
            self.managed = Managed::new(discipline, rng);
        }
        let flip = rng.chance(self.settings.corrupt).then(|| rng.u32());
        let fate = Fate { delay: self.draw_delay(rng), flip };
        let Some(queue) = &mut self.managed else { return };
        if queue.len().0 == 0 {
            self.busy_until = self.busy_until.max(now);
        }
        let refused = queue.enqueue(discipline, Entry { since: now, pkt, with: fate });
        verdict.accepted += usize::from(refused.is_none());
        if let Some(entry) = refused {
            self.stats.queue_full += 1;
            self.dropped.push((entry.pkt, DropReason::LinkQueueFull));
        }
        self.serve(now);
    }

    /// Sends from the managed queue what has its turn by `now`.
    fn serve(&mut self, now: Instant) {
        while let Some(queue) = self.managed.as_mut().filter(|q| q.len().0 > 0 && self.busy_until <= now) {
            let starts = self.busy_until;
            let out = queue.dequeue(starts, self.settings.discipline);
            self.stats.waited_too_long += out.dropped.len() as u64;
            self.stats.marked += u64::from(out.marked);
            let too_long = |entry: Entry<Fate>| (entry.pkt, DropReason::LinkQueueDelay);
            self.dropped.extend(out.dropped.into_iter().map(too_long));
            let Some(Entry { mut pkt, with: fate, .. }) = out.frame else { continue };
            self.busy_until = starts + self.transmission(pkt.len());
            if let Some(place) = fate.flip {
                self.stats.corrupted += 1;
                flip_a_bit(&mut pkt, |bits| (u64::from(place) * bits) >> 32);
            }
            self.depart(self.busy_until, fate.delay, pkt);
        }
    }

    /// How long sending `bytes` takes; nothing without a rate.
    fn transmission(&self, bytes: usize) -> Duration {
        let Some(bps) = self.settings.rate_bps else { return Duration::ZERO };
        let ns = (bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(bps));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// A frame has been sent at `departure`; without a delay it skips it.
    fn depart(&mut self, departure: Instant, delay: Option<Duration>, pkt: Box<Pkt>) {
        let at = match delay {
            None => {
                self.stats.reordered += 1;
                departure
            }
            Some(delay) => self.arrival(departure + delay),
        };
        self.order += 1;
        self.in_flight.push(Reverse(InFlight { at, order: self.order, pkt }));
    }

    /// When a frame of `bytes` has been sent at the rate, or none if the queue is full.
    fn queue(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        if self.settings.rate_bps.is_none() {
            return Some(now);
        }
        let starts = self.busy_until.max(now);
        let (packets, queued) = self.queue_len(now);
        if starts > now {
            let bytes_full = self.settings.queue_bytes.is_some_and(|limit| queued + bytes > limit);
            if packets >= self.settings.queue_packets || bytes_full {
                return None;
            }
            self.waiting.push_back(Waiting { starts, bytes });
            self.waiting_bytes += bytes;
        }
        self.busy_until = starts + self.transmission(bytes);
        Some(self.busy_until)
    }

    /// When a frame arrives that would do so at `at` by itself.
    fn arrival(&mut self, at: Instant) -> Instant {
        // With a rate, frames leave a queue one by one: none overtakes the one before it (as in netem).
        let at = if self.settings.rate_bps.is_some() { at.max(self.last_arrival) } else { at };
        self.last_arrival = self.last_arrival.max(at);
        at
    }

    /// Every `gap`-th frame may skip the delay, with the chance set (tc-netem(8), "reorder").
    fn skips_delay(&mut self, rng: &mut Rng) -> bool {
        if self.settings.reorder == 0 {
            return false;
        }
        self.since_reorder += 1;
        if self.since_reorder < self.settings.gap || !rng.chance(self.settings.reorder) {
            return false;
        }
        self.since_reorder = 0;
        true
    }

    /// A frame's delay; none: it skips it.
    fn draw_delay(&mut self, rng: &mut Rng) -> Option<Duration> {
        if self.skips_delay(rng) {
            return None;
        }
        let Impairment { delay, jitter, .. } = self.settings;
        if jitter.is_zero() {
            return Some(delay);
        }
        let spread = Duration::from_nanos(rng.below(jitter.as_nanos() as u64 * 2 + 1));
        Some((delay + spread).saturating_sub(jitter))
    }

    /// When something happens next: a frame arrives, or the next one that waits has its turn.
    pub fn next_event(&self) -> Option<Instant> {
        let turn = self.managed.as_ref().filter(|queue| queue.len().0 > 0).map(|_| self.busy_until);
        [self.next_arrival(), turn].into_iter().flatten().min()
    }

    /// When the next frame arrives of those that have been sent.
    fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(first)| first.at)
    }

    /// Takes one frame that has arrived by `now`.
    pub fn arrive(&mut self, now: Instant) -> Option<Box<Pkt>> {
        self.serve(now);
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse(first) = self.in_flight.pop()?;
        self.stats.delivered += 1;
        self.stats.delivered_bytes += first.pkt.len() as u64;
        Some(first.pkt)
    }
}

/// Damages a frame: one bit, anywhere. Its checksums are filled in first, so that the receiver can find the damage.
fn flip_a_bit(pkt: &mut Pkt, choose: impl FnOnce(u64) -> u64) {
    pkt.linearize();
    checksum::fill_checksum(pkt);
    pkt.checksum = netspace_base::ChecksumState::None;
    let bits = pkt.len() as u64 * 8;
    if bits > 0 {
        let bit = choose(bits);
        pkt.data_mut()[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
}

#[cfg(test)]
mod tests {
    use netspace_base::{Bytes, ChecksumState, Gso, GsoKind, PktId, Seed};
    use netspace_wire::ethernet::{ETHERTYPE_IPV4, EthernetRepr};
    use netspace_wire::ipv4::Ipv4Repr;
    use netspace_wire::udp::UdpRepr;
    use netspace_wire::{MacAddr, protocol};

    use super::*;

    fn link(settings: &str) -> LinkDirection {
        LinkDirection::new(settings.parse().expect("settings read"))
    }

    fn rng() -> Rng {
        Seed(1).stream("link", 0)
    }

    /// A frame of `len` bytes that is not IP (EtherType 0x88b5, for experiments), numbered in its bytes 14 and 15.
    fn frame(n: u64, len: usize) -> Box<Pkt> {
        let mut bytes = vec![0; len];
        bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
        bytes[14..16].copy_from_slice(&(n as u16).to_be_bytes());
        Pkt::from_slice(PktId(n), &bytes)
    }

    /// Everything that arrives, with when.
    fn drain(link: &mut LinkDirection) -> Vec<(Instant, u64)> {
        let mut out = Vec::new();
        while let Some(at) = link.next_event() {
            if at > Instant::ZERO {
                assert!(link.arrive(at - Duration::from_nanos(1)).is_none(), "not before its time");
            }
            out.push((at, link.arrive(at).expect("its time has come").id.0));
        }
        out
    }

    fn send_many(link: &mut LinkDirection, count: u64, len: usize) -> Vec<DropReason> {
        let mut rng = rng();
        let sent = (0..count).map(|n| link.send(Instant::ZERO, frame(n, len), &mut rng));
        sent.flat_map(|v| v.dropped.into_iter().map(|(_, why)| why)).collect()
    }

    #[test]
    fn a_perfect_link_delivers_at_once_and_in_order() {
        let mut link = link("");
        assert!(send_many(&mut link, 3, 100).is_empty());
        assert_eq!(drain(&mut link), [(Instant::ZERO, 0), (Instant::ZERO, 1), (Instant::ZERO, 2)]);
        assert_eq!(link.stats().delivered_bytes, 300);
    }

    #[test]
    fn a_rate_sends_frames_one_after_another_and_drops_the_tail() {
        // 1250 bytes at 10 Mbit/s take 1 ms. One is being sent, two wait, the rest is dropped.
        let mut link = link("rate 10mbit delay 5ms limit 2");
        assert_eq!(send_many(&mut link, 5, 1250), [DropReason::LinkQueueFull; 2]);
        assert_eq!(link.queue_len(Instant::ZERO), (2, 2500));
        assert_eq!(link.queue_len(Instant::from_millis(1)), (1, 1250));
        let ms = Instant::from_millis;
        assert_eq!(drain(&mut link), [(ms(6), 0), (ms(7), 1), (ms(8), 2)]);
        assert_eq!(link.stats().queue_full, 2);
    }

    #[test]
    fn a_byte_limit_counts_bytes() {
        let mut link = link("rate 10mbit limit 2500b");
        assert_eq!(send_many(&mut link, 5, 1250).len(), 2);
    }

    #[test]
    fn jitter_is_even_and_keeps_order_only_with_a_rate() {
        let mut free = link("delay 50ms 5ms");
        send_many(&mut free, 1000, 100);
        let arrivals = drain(&mut free);
        assert!(arrivals.iter().all(|(at, _)| (45..=55).contains(&at.as_millis())));
        assert!(arrivals[0].0 < Instant::from_millis(46) && arrivals[999].0 > Instant::from_millis(54));
        assert!(!arrivals.is_sorted_by_key(|&(_, n)| n), "frames overtake one another");

        let mut limited = link("delay 50ms 5ms rate 100mbit");
        send_many(&mut limited, 1000, 100);
        assert!(drain(&mut limited).is_sorted_by_key(|&(_, n)| n), "a rate keeps the order");
    }

    #[test]
    fn loss_and_duplication_come_near_their_ratios_and_repeat_with_the_seed() {
        let run = || {
            let mut link = link("loss 10% duplicate 5%");
            let dropped = send_many(&mut link, 10_000, 60).len();
            (dropped, drain(&mut link).len(), *link.stats())
        };
        let (dropped, arrived, stats) = run();
        assert!((950..1150).contains(&dropped), "{dropped}");
        assert!((420..580).contains(&stats.duplicated), "{stats:?}");
        assert_eq!(arrived as u64, stats.sent + stats.duplicated - stats.lost);
        assert_eq!(run().2, stats, "the same seed");
    }

    #[test]
    fn reordered_frames_skip_the_delay_every_gap() {
        let mut link = link("delay 10ms reorder 100% gap 5");
        send_many(&mut link, 10, 60);
        let at_once: Vec<_> = drain(&mut link).into_iter().filter(|(at, _)| *at == Instant::ZERO).collect();
        assert_eq!(at_once, [(Instant::ZERO, 4), (Instant::ZERO, 9)]);
    }

    #[test]
    fn corruption_flips_one_bit() {
        let mut link = link("corrupt 100%");
        let sent = frame(1, 60);
        link.send(Instant::ZERO, sent.clone(), &mut rng());
        let got = link.arrive(Instant::ZERO).expect("a damaged frame arrives");
        let flipped: u32 = got.data().iter().zip(sent.data()).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(flipped, 1);
        assert_eq!(link.stats().corrupted, 1);
    }

    #[test]
    fn going_down_drops_what_is_under_way_and_changing_does_not() {
        let mut link = link("delay 10ms");
        send_many(&mut link, 3, 60);
        link.set("delay 1ms".parse().expect("reads"));
        assert_eq!(link.next_event(), Some(Instant::from_millis(10)));
        let dropped = link.set_up(false);
        assert_eq!(dropped.iter().map(|p| p.id.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(send_many(&mut link, 1, 60), [DropReason::LinkDown]);
        assert_eq!(link.next_event(), None);
        link.set_up(true);
        assert!(send_many(&mut link, 1, 60).is_empty());
    }

    /// An Ethernet frame with a UDP GSO packet: `count` datagrams of `size` bytes each behind one header.
    fn gso_packet(count: usize, size: u16) -> Box<Pkt> {
        let mut pkt = Pkt::new(PktId(1));
        pkt.append_frag(Bytes::from(vec![7; count * usize::from(size)]));
        let udp = UdpRepr::new(5000, 53, pkt.len());
        udp.emit(pkt.push(udp.header_len()));
        let ip = Ipv4Repr::new([10, 0, 1, 2].into(), [10, 0, 2, 2].into(), protocol::UDP, pkt.len());
        let pseudo = ip.pseudo_sum(pkt.len());
        checksum::set_partial(&mut pkt, protocol::UDP, pseudo);
        ip.emit(pkt.push(ip.header_len()));
        pkt.set_network_header();
        pkt.protocol = ETHERTYPE_IPV4;
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        EthernetRepr { src: mac, dst: mac, ethertype: ETHERTYPE_IPV4 }.emit(pkt.push(14));
        pkt.set_mac_header();
        pkt.gso = Some(Gso { size, kind: GsoKind::Udp });
        pkt
    }

    #[test]
    fn gso_packets_pass_whole_unless_single_frames_are_modelled() {
        let mut plain = link("delay 5ms 1ms");
        assert_eq!(plain.send(Instant::ZERO, gso_packet(4, 1000), &mut rng()).accepted, 1);

        // Four frames of 1042 bytes, one after another at 8336 bits each.
        let mut limited = link("rate 8336kbit");
        assert_eq!(limited.send(Instant::ZERO, gso_packet(4, 1000), &mut rng()).accepted, 4);
        let arrivals: Vec<_> = drain(&mut limited).into_iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(arrivals, [1, 2, 3, 4]);
    }

    #[test]
    fn checksums_catch_damage() {
        let mut link = link("corrupt 100%");
        let mut rng = rng();
        let mut caught = 0;
        for _ in 0..100 {
            link.send(Instant::ZERO, gso_packet(1, 1000), &mut rng);
            let got = link.arrive(Instant::ZERO).expect("a damaged frame arrives");
            assert_eq!(got.checksum, ChecksumState::None, "the receiver must verify it");
            caught += u32::from(!checksum::verify(&got));
        }
        assert!(
            caught > 90,
            "{caught}: all but damage to the Ethernet header and the IP header, which has its own"
        );
    }
}
