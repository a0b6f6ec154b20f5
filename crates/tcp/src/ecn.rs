//! Explicit congestion notification between the two ends: classic (RFC 3168) and accurate (RFC 9768, "AccECN").
//!
//! Classic: a mark is echoed with ECE on every ACK until the sender answers with CWR. Accurate: the three bits AE, CWR and
//! ECE are a counter of marked packets (the ACE field), and an option counts bytes by codepoint.
//!
//! ```text
//!              SYN        SYN-ACK                                    ACK
//! classic      CWR ECE    ECE
//! accurate     AE CWR ECE what the SYN bore, encoded in three bits   what the SYN-ACK bore; then the counter
//! ```

use netspace_base::{Duration, Instant};
use netspace_wire::ecn::Ecn;
use netspace_wire::tcp::{AccEcnOption, TcpFlags};

use crate::config::{Config, EcnKind};
use crate::segment::Segment;

/// The three bits of the ACE field.
const ACE: TcpFlags = TcpFlags::AE.union(TcpFlags::CWR).union(TcpFlags::ECE);
/// What the counters start from (RFC 9768 §3.2.1, §3.2.3): not what a path that zeroes them would leave.
const CE_START: u32 = 5;
const BYTES_START: [u32; 4] = [0, 1, 1, 0];
/// The byte counters have 24 bits on the wire.
const COUNTER_MASK: u32 = 0x00ff_ffff;
/// ACKs sent at once when congestion is first felt, so that its end is seen soon.
const QUICK_ACKS: u8 = 2;
/// A byte counter that went by more than this share of the packets' size speaks for the larger of two readings.
const SAFETY_SHIFT: u32 = 1;

/// The state of notification on a connection.
#[derive(Debug, Default)]
pub(crate) struct EcnState {
    /// What was agreed on.
    pub(crate) kind: EcnKind,
    /// The peer has sent something ECN-capable.
    pub(crate) seen: bool,
    /// Classic: a mark has come and the peer has not yet said that it knows.
    echo: bool,
    /// Classic, but every mark is told, and only marks are (RFC 8257 §3.2): `echo` is that of the last packet.
    exact: bool,
    pub(crate) accurate: Option<Box<Accurate>>,
}

/// The counters of accurate notification, by [`Ecn`] codepoint where there are four.
#[derive(Debug)]
pub(crate) struct Accurate {
    /// As receiver: marked packets, and payload bytes.
    pub(crate) received_ce: u32,
    pub(crate) received_bytes: [u32; 4],
    /// As sender: what the peer has told of the same.
    pub(crate) delivered_ce: u32,
    pub(crate) delivered_bytes: [u32; 4],
    /// What the peer's SYN or SYN-ACK bore; and whether our next bare ACK tells it.
    syn: Ecn,
    tells_syn: bool,
    /// The last packet was marked; marked ones since our last ACK.
    last_marked: bool,
    marked_unacked: u32,
    /// The option came from the peer: the path lets it pass.
    pub(crate) option_seen: bool,
    /// What our last option told, and when.
    told: Option<([u32; 4], Instant)>,
    /// The path changes the ECN field, or loses our counter: nothing ECN-capable is sent (RFC 9768 §3.2.2.3).
    pub(crate) broken: bool,
}

impl Accurate {
    fn new(syn: Ecn) -> Box<Self> {
        Box::new(Self {
            received_ce: 0,
            received_bytes: [0; 4],
            delivered_ce: 0,
            delivered_bytes: [0; 4],
            syn,
            tells_syn: false,
            last_marked: false,
            marked_unacked: 0,
            option_seen: false,
            told: None,
            broken: false,
        })
    }
}

/// What an ACK tells of congestion.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Feedback {
    /// The peer tells of congestion.
    pub(crate) congestion: bool,
    /// Newly marked packets, if they are counted.
    pub(crate) marked: u32,
}

/// How soon a packet that has come is to be acknowledged because of its mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Urgency {
    /// As ever.
    Usual,
    /// At once.
    Now,
    /// At once, and so the next few.
    Quick(u8),
}

// ---- Opening -------------------------------------------------------------------------------------------------------
impl EcnState {
    /// The bits of our SYN, sent again `retries` times: after a loss that may have been a firewall's doing, less is asked
    /// (RFC 3168 §6.1.1.1, RFC 9768 §3.1.4).
    pub(crate) fn syn_flags(config: &Config, retries: u8) -> TcpFlags {
        match config.ecn_policy().ask {
            EcnKind::Accurate if !config.ecn_fallback || retries <= 1 => ACE,
            EcnKind::Classic if !config.ecn_fallback || retries == 0 => TcpFlags::CWR | TcpFlags::ECE,
            _ => TcpFlags::empty(),
        }
    }

    /// A SYN asks: what is granted (RFC 9768 §3.1.2, §3.1.5: bits that mean nothing yet ask for the accurate kind).
    pub(crate) fn on_syn(&mut self, config: &Config, syn: &Segment) {
        let classic = TcpFlags::CWR | TcpFlags::ECE;
        let asked = match syn.flags & ACE {
            none if none.is_empty() => EcnKind::None,
            asked if asked == classic => EcnKind::Classic,
            _ => EcnKind::Accurate,
        };
        // A SYN to a host that knows only the classic kind asks for it with the same two bits.
        let understood = syn.flags.contains(classic);
        self.kind = match asked.min(config.ecn_policy().grant) {
            // Linux takes a classic SYN that is marked ECN-capable itself for damage.
            EcnKind::Classic if !understood || syn.ecn.is_capable() => EcnKind::None,
            kind => kind,
        };
        self.accurate = (self.kind == EcnKind::Accurate).then(|| Accurate::new(syn.ecn));
    }

    /// The bits of our SYN-ACK, sent again `retries` times.
    pub(crate) fn syn_ack_flags(&self, retries: u8) -> TcpFlags {
        match (&self.accurate, self.kind) {
            (_, EcnKind::Classic) => TcpFlags::ECE,
            // RFC 9768 §3.1.4.2: once more, then without.
            (Some(accurate), _) if retries <= 1 => handshake_flags(accurate.syn),
            _ => TcpFlags::empty(),
        }
    }

    /// The SYN-ACK answers what our SYN asked for (`asked`).
    pub(crate) fn on_syn_ack(&mut self, asked: TcpFlags, syn_ack: &Segment) {
        let answer = syn_ack.flags & ACE;
        self.kind = match ace(answer) {
            _ if asked.is_empty() => EcnKind::None,
            // RFC 3168 §6.1.1; RFC 9768 table 2 (the second was the nonce's).
            0b001 => EcnKind::Classic,
            0b101 if asked == ACE => EcnKind::Classic,
            // Nothing, or a mirror of the SYN.
            0b000 | 0b111 => EcnKind::None,
            _ if asked == ACE => EcnKind::Accurate,
            _ => EcnKind::None,
        };
        if self.kind != EcnKind::Accurate {
            return;
        }
        let mut accurate = Accurate::new(syn_ack.ecn);
        accurate.tells_syn = true;
        // Our SYN is never ECN-capable: whoever saw it so looked through a path that changes the field.
        accurate.broken = handshake_codepoint(answer) != Some(Ecn::NotEct);
        if syn_ack.ecn == Ecn::Ce {
            accurate.received_ce += 1;
        }
        accurate.option_seen = syn_ack.options.acc_ecn.is_some();
        self.seen |= syn_ack.ecn.is_capable();
        self.accurate = Some(accurate);
    }

    /// The ACK that ends the handshake has come to the listening side (RFC 9768 §3.2.2.1, table 4).
    pub(crate) fn on_first_ack(&mut self, ack: &Segment) {
        let Some(accurate) = &mut self.accurate else { return };
        accurate.option_seen = ack.options.acc_ecn.is_some();
        if ack.sequence_len() > 0 {
            return;
        }
        match handshake_codepoint(ack.flags & ACE) {
            Some(Ecn::NotEct) => {}
            Some(codepoint) => {
                accurate.broken = true;
                accurate.delivered_ce += u32::from(codepoint == Ecn::Ce);
            }
            // All zero: the path wipes the bits, or the peer gave the kind up.
            None => accurate.broken |= (ack.flags & ACE).is_empty(),
        }
    }
}

/// What a SYN or SYN-ACK bore, in three bits (RFC 9768 §3.1.1 table 2, §3.2.2.1 table 3).
const fn handshake_flags(ecn: Ecn) -> TcpFlags {
    match ecn {
        Ecn::NotEct => TcpFlags::CWR,
        Ecn::Ect1 => TcpFlags::CWR.union(TcpFlags::ECE),
        Ecn::Ect0 => TcpFlags::AE,
        Ecn::Ce => TcpFlags::AE.union(TcpFlags::CWR),
    }
}

fn handshake_codepoint(flags: TcpFlags) -> Option<Ecn> {
    [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce].into_iter().find(|&ecn| handshake_flags(ecn) == flags)
}

/// The ACE field as a number.
fn ace(flags: TcpFlags) -> u32 {
    u32::from((flags & ACE).bits() / TcpFlags::ECE.bits())
}

fn ace_flags(count: u32) -> TcpFlags {
    TcpFlags::from_bits_truncate((count & 7) as u16 * TcpFlags::ECE.bits())
}

// ---- The receiver of data ------------------------------------------------------------------------------------------
impl EcnState {
    /// A packet of `pieces` wire packets has come, in the window.
    pub(crate) fn receive(&mut self, segment: &Segment, pieces: u32) -> Urgency {
        let len = segment.payload_len() as u32;
        match (self.kind, &mut self.accurate) {
            (EcnKind::Classic, _) if len > 0 && self.exact => self.receive_exact(segment),
            (EcnKind::Classic, _) if len > 0 => self.receive_classic(segment),
            (EcnKind::Accurate, Some(accurate)) => {
                self.seen |= segment.ecn.is_capable();
                accurate.receive(segment.ecn, pieces, len)
            }
            _ => Urgency::Usual,
        }
    }

    /// Classic notification is exact from now on, or no longer.
    pub(crate) fn set_exact(&mut self, on: bool) {
        self.exact = on;
    }

    /// Marks are being told.
    pub(crate) fn is_echoing(&self) -> bool {
        self.kind == EcnKind::Classic && self.echo
    }

    /// Whether `segment` differs from what is being told, so that an ACK for what came before must go first (RFC 8257 §3.2).
    pub(crate) fn turns(&self, segment: &Segment) -> bool {
        let exact = self.exact && self.kind == EcnKind::Classic;
        exact && segment.payload_len() > 0 && self.echo != (segment.ecn == Ecn::Ce)
    }

    fn receive_exact(&mut self, segment: &Segment) -> Urgency {
        self.seen |= segment.ecn.is_capable();
        let turns = self.turns(segment);
        self.echo = segment.ecn == Ecn::Ce;
        if turns { Urgency::Now } else { Urgency::Usual }
    }

    /// RFC 3168 §6.1.3. CWR first: the same packet may be marked anew.
    fn receive_classic(&mut self, segment: &Segment) -> Urgency {
        let mut urgency = Urgency::Usual;
        if segment.flags.contains(TcpFlags::CWR) {
            self.echo = false;
            // The peer's window may be one segment now: it waits for this ACK.
            urgency = Urgency::Now;
        }
        match segment.ecn {
            // Once it has sent capable packets, one that is not is sent again: the peer waits for news.
            Ecn::NotEct if self.seen => urgency = Urgency::Quick(QUICK_ACKS),
            Ecn::NotEct => {}
            Ecn::Ce => {
                if !self.echo {
                    urgency = Urgency::Quick(QUICK_ACKS);
                }
                self.echo = true;
                self.seen = true;
            }
            Ecn::Ect0 | Ecn::Ect1 => self.seen = true,
        }
        urgency
    }

    /// The bits of a segment that acknowledges; `bare`: without data.
    pub(crate) fn ack_flags(&mut self, bare: bool) -> TcpFlags {
        if self.kind == EcnKind::Classic {
            return if self.echo { TcpFlags::ECE } else { TcpFlags::empty() };
        }
        let Some(accurate) = &mut self.accurate else { return TcpFlags::empty() };
        accurate.marked_unacked = 0;
        if std::mem::take(&mut accurate.tells_syn) && bare {
            return handshake_flags(accurate.syn);
        }
        ace_flags(accurate.received_ce.wrapping_add(CE_START))
    }

    /// The codepoint of a segment that goes out; `new_data`: it has data that was never sent before.
    pub(crate) fn codepoint(&self, new_data: bool) -> Ecn {
        match (self.kind, &self.accurate) {
            // RFC 3168 §6.1.4, §6.1.5: neither ACKs nor what is sent again.
            (EcnKind::Classic, _) if new_data => Ecn::Ect0,
            // As Linux for DCTCP: everything, so that nothing is dropped where it could be marked.
            (EcnKind::Classic, _) if self.exact => Ecn::Ect0,
            // As Linux: everything once the connection is open.
            (EcnKind::Accurate, Some(accurate)) if !accurate.broken => Ecn::Ect0,
            _ => Ecn::NotEct,
        }
    }

    /// The option that tells the byte counters (RFC 9768 §3.2.3), if it is due: when they have moved, and a few times a round
    /// trip at any rate.
    pub(crate) fn option(
        &mut self,
        now: Instant,
        interval: Duration,
        config: &Config,
    ) -> Option<AccEcnOption> {
        let accurate = self.accurate.as_mut()?;
        if config.ecn_option == 0 || !accurate.option_seen {
            return None;
        }
        let bytes = accurate.received_bytes;
        let moved = accurate.told.is_none_or(|(told, _)| told[Ecn::Ce as usize] != bytes[Ecn::Ce as usize]);
        let due = config.ecn_option > 1
            && accurate.told.is_none_or(|(told, at)| told != bytes && now.saturating_since(at) >= interval);
        if !moved && !due {
            return None;
        }
        accurate.told = Some((bytes, now));
        Some(counters_option(bytes))
    }

    /// The option of our SYN-ACK: it shows whether the path lets it pass.
    pub(crate) fn syn_ack_option(&self, config: &Config, retries: u8) -> Option<AccEcnOption> {
        let accurate = self.accurate.as_ref()?;
        (config.ecn_option > 0 && retries == 0).then(|| counters_option(accurate.received_bytes))
    }
}

fn counters_option(bytes: [u32; 4]) -> AccEcnOption {
    let on_wire = |ecn: Ecn| bytes[ecn as usize].wrapping_add(BYTES_START[ecn as usize]) & COUNTER_MASK;
    AccEcnOption {
        ect1_first: false,
        counters: [on_wire(Ecn::Ect0), on_wire(Ecn::Ce), on_wire(Ecn::Ect1)],
        len: 3,
    }
}

impl Accurate {
    /// RFC 9768 §3.2.2.5.1: an ACK at once when marks begin, and for every second marked packet.
    fn receive(&mut self, ecn: Ecn, pieces: u32, len: u32) -> Urgency {
        let codepoint = ecn as usize;
        self.received_bytes[codepoint] = self.received_bytes[codepoint].wrapping_add(len);
        let marked = ecn == Ecn::Ce;
        let begins = marked && !self.last_marked;
        if marked {
            self.received_ce = self.received_ce.wrapping_add(pieces);
            self.marked_unacked += pieces;
        }
        if len > 0 {
            self.last_marked = marked;
        }
        if len > 0 && (begins || self.marked_unacked >= 2) { Urgency::Now } else { Urgency::Usual }
    }
}

impl EcnState {
    /// Byte counters as `tcp_info` has them: ECT(1), ECT(0), CE.
    pub(crate) fn bytes(&self, which: impl Fn(&Accurate) -> &[u32; 4]) -> [u32; 3] {
        self.accurate.as_deref().map_or([0; 3], |accurate| {
            let bytes = which(accurate);
            [Ecn::Ect1, Ecn::Ect0, Ecn::Ce].map(|ecn| bytes[ecn as usize])
        })
    }
}

// ---- The sender of data --------------------------------------------------------------------------------------------
impl EcnState {
    /// An ACK has come that made progress, for `packets` packets of `mss` bytes.
    pub(crate) fn feedback(&mut self, segment: &Segment, packets: u32, mss: u32) -> Feedback {
        match (self.kind, &mut self.accurate) {
            (EcnKind::Classic, _) => {
                let congestion =
                    segment.flags.contains(TcpFlags::ECE) && !segment.flags.contains(TcpFlags::SYN);
                Feedback { congestion, marked: 0 }
            }
            (EcnKind::Accurate, Some(accurate)) => {
                let marked_bytes = segment.options.acc_ecn.map(|option| accurate.take_option(&option));
                let marked = accurate.newly_marked(ace(segment.flags), packets, mss, marked_bytes);
                accurate.delivered_ce = accurate.delivered_ce.wrapping_add(marked);
                Feedback { congestion: marked > 0, marked }
            }
            _ => Feedback::default(),
        }
    }
}

impl Accurate {
    /// The peer's byte counters; by how much that of marked bytes has grown.
    fn take_option(&mut self, option: &AccEcnOption) -> u32 {
        self.option_seen = true;
        let order =
            if option.ect1_first { [Ecn::Ect1, Ecn::Ce, Ecn::Ect0] } else { [Ecn::Ect0, Ecn::Ce, Ecn::Ect1] };
        let mut marked = 0;
        for (ecn, &counter) in order.into_iter().zip(&option.counters[..usize::from(option.len)]) {
            let known = &mut self.delivered_bytes[ecn as usize];
            let grown = counter.wrapping_sub(BYTES_START[ecn as usize]).wrapping_sub(*known) & COUNTER_MASK;
            // A counter that went back is of an ACK that was overtaken.
            if grown < COUNTER_MASK / 2 {
                *known = known.wrapping_add(grown);
                if ecn == Ecn::Ce {
                    marked = grown;
                }
            }
        }
        marked
    }

    /// RFC 9768 §3.2.2.5.2 and appendix A.2: the field has three bits and may have gone round when many packets were
    /// acknowledged: the safer reading counts, unless the byte counter says otherwise.
    fn newly_marked(&self, field: u32, packets: u32, mss: u32, marked_bytes: Option<u32>) -> u32 {
        let delta = field.wrapping_sub(CE_START).wrapping_sub(self.delivered_ce) & 7;
        if packets <= 7 {
            return delta;
        }
        let safe = packets - (packets.wrapping_sub(delta) & 7);
        match marked_bytes {
            Some(bytes) if bytes < safe.saturating_mul(mss) >> SAFETY_SHIFT => delta,
            _ => safe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_read_modulo_eight_and_on_the_safe_side() {
        let accurate = Accurate::new(Ecn::NotEct);
        // Five is where it starts.
        assert_eq!(accurate.newly_marked(5, 2, 1000, None), 0);
        assert_eq!(accurate.newly_marked(0, 2, 1000, None), 3);
        // Ten packets at once: one mark, or nine?
        assert_eq!(accurate.newly_marked(6, 10, 1000, None), 9);
        assert_eq!(accurate.newly_marked(6, 10, 1000, Some(1000)), 1);
        assert_eq!(accurate.newly_marked(6, 10, 1000, Some(9000)), 9);
    }

    #[test]
    fn what_a_syn_bore_goes_into_three_bits_and_back() {
        for ecn in [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce] {
            assert_eq!(handshake_codepoint(handshake_flags(ecn)), Some(ecn));
        }
        assert_eq!(ace(handshake_flags(Ecn::NotEct)), 0b010);
        assert_eq!(ace(handshake_flags(Ecn::Ce)), 0b110);
        assert_eq!(handshake_codepoint(ACE), None);
    }

    #[test]
    fn counters_that_went_back_are_passed_over() {
        let mut accurate = Accurate::new(Ecn::NotEct);
        let option = |ce| AccEcnOption { ect1_first: true, counters: [1, ce, 1], len: 3 };
        assert_eq!(accurate.take_option(&option(3000)), 3000);
        assert_eq!(accurate.take_option(&option(1000)), 0);
        assert_eq!(accurate.take_option(&option(4000)), 1000);
    }
}
