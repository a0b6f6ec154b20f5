//! The packet: a header area with headroom, shared payload slices, and what the stack knows about it.
//!
//! ```text
//!        HEADROOM        data()                     frags()
//! buf:  |.........|eth|ip|tcp|…|     Bytes Bytes …   (shared: a clone, a flood or a retransmission copies no payload)
//!                 ^start
//! ```
//! Headers must lie in the linear area before they are read: [`Pkt::pull_linear`] moves bytes there from the slices.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{DevId, Instant, PktId};

/// Room kept before the data for headers that are put in front later: Ethernet, VLAN tag, IPv6, TCP with options, and
/// one tunnel around it.
pub const HEADROOM: usize = 160;

/// For whom a frame was, as seen by the device that received it (`PACKET_HOST` and its kin).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PktType {
    /// For this host.
    #[default]
    Host,
    /// For every host on the link.
    Broadcast,
    /// For a group.
    Multicast,
    /// For another host; seen because the device is promiscuous.
    OtherHost,
    /// Made here.
    Outgoing,
    /// A copy of a group or broadcast packet made here, on its way back in.
    Loopback,
}

impl PktType {
    /// Linux's number (`PACKET_HOST` = 0 … `PACKET_LOOPBACK` = 5, packet(7)).
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// What is known about the transport checksum (Linux's `ip_summed`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChecksumState {
    /// Unknown: whoever reads the packet verifies it.
    #[default]
    None,
    /// Verified, or known good because the packet never left this process undamaged.
    Unnecessary,
    /// Still to be computed: the transport header's checksum field holds only the pseudo-header's sum. Whoever puts the
    /// packet on a real wire, cuts it, or damages it fills it in.
    Partial,
}

/// How a packet that is larger than the MTU is to be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GsoKind {
    /// A TCP segment: cut into segments with consecutive sequence numbers.
    Tcp,
    /// The same, but CWR stays on all of them: it is a bit of accurate ECN's counter (RFC 9768).
    TcpAccurateEcn,
    /// Several UDP datagrams of equal length behind one header.
    Udp,
}

/// Segmentation offload: the payload bytes of each frame when the packet is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gso {
    /// Payload bytes per frame (for TCP the MSS less options).
    pub size: u16,
    /// How to cut.
    pub kind: GsoKind,
}

/// A packet, from the moment it is made or received until its named end.
#[derive(Clone, Debug)]
pub struct Pkt {
    buf: Vec<u8>,
    start: usize,
    frags: SmallVec<[Bytes; 2]>,
    frags_len: usize,
    mac: Option<u16>,
    network: u16,
    transport: u16,
    /// Its name in traces. Kept by clones, fragments and GSO segments.
    pub id: PktId,
    /// The device it was received on, or will leave by.
    pub dev: DevId,
    /// The EtherType of its network header.
    pub protocol: u16,
    /// For whom the frame was.
    pub pkt_type: PktType,
    /// What is known about the transport checksum.
    pub checksum: ChecksumState,
    /// How to cut it, if it is larger than a frame.
    pub gso: Option<Gso>,
    /// The firewall mark (`SO_MARK`, `fwmark`).
    pub mark: u32,
    /// Its class for queueing (`SO_PRIORITY`).
    pub priority: u32,
    /// The hash of its flow; 0 if not computed.
    pub hash: u32,
    /// If it was put together from fragments: the largest of them, bytes from the network header on; else 0.
    pub frag_size: u16,
    /// When the device received it, for `SO_TIMESTAMP`.
    pub received_at: Instant,
    /// Whether trace points note it.
    pub traced: bool,
}

impl Pkt {
    /// An empty packet with headroom for all headers.
    pub fn new(id: PktId) -> Box<Self> {
        Self::with_capacity(id, 128)
    }

    /// An empty packet with headroom, and room for `linear` bytes behind it.
    pub fn with_capacity(id: PktId, linear: usize) -> Box<Self> {
        let mut buf = Vec::with_capacity(HEADROOM + linear);
        buf.resize(HEADROOM, 0);
        Box::new(Self {
            buf,
            start: HEADROOM,
            frags: SmallVec::new(),
            frags_len: 0,
            mac: None,
            network: HEADROOM as u16,
            transport: HEADROOM as u16,
            id,
            dev: DevId::NONE,
            protocol: 0,
            pkt_type: PktType::Outgoing,
            checksum: ChecksumState::None,
            gso: None,
            mark: 0,
            priority: 0,
            hash: 0,
            frag_size: 0,
            received_at: Instant::ZERO,
            traced: false,
        })
    }

    /// Makes an ended packet empty, so that its memory can serve another: as new, but for the room it has.
    pub fn clear(&mut self) {
        self.buf.resize(HEADROOM, 0);
        self.frags.clear();
        (self.start, self.frags_len, self.mac) = (HEADROOM, 0, None);
        (self.network, self.transport) = (HEADROOM as u16, HEADROOM as u16);
        (self.id, self.dev, self.protocol) = (PktId(0), DevId::NONE, 0);
        (self.pkt_type, self.checksum, self.gso) = (PktType::Outgoing, ChecksumState::None, None);
        (self.mark, self.priority, self.hash, self.frag_size) = (0, 0, 0, 0);
        (self.received_at, self.traced) = (Instant::ZERO, false);
    }

    /// Makes an ended packet a copy of another, in the memory that it has. Payload slices are shared.
    pub fn copy_from(&mut self, other: &Self) {
        self.buf.clone_from(&other.buf);
        self.frags.clone_from(&other.frags);
        (self.start, self.frags_len, self.mac) = (other.start, other.frags_len, other.mac);
        (self.network, self.transport) = (other.network, other.transport);
        (self.id, self.dev, self.protocol) = (other.id, other.dev, other.protocol);
        (self.pkt_type, self.checksum, self.gso) = (other.pkt_type, other.checksum, other.gso);
        (self.mark, self.priority, self.hash) = (other.mark, other.priority, other.hash);
        (self.received_at, self.traced, self.frag_size) = (other.received_at, other.traced, other.frag_size);
    }

    /// Bytes of memory that its linear area takes.
    pub const fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// A packet whose linear area holds a copy of `bytes` (a received frame, say).
    pub fn from_slice(id: PktId, bytes: &[u8]) -> Box<Self> {
        let mut pkt = Self::with_capacity(id, bytes.len());
        pkt.append(bytes);
        pkt
    }

    /// Bytes in all, from the start of the data to the end of the last slice.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start + self.frags_len
    }

    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The linear area: headers, and for small packets everything.
    pub fn data(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// The linear area, to be changed.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..]
    }

    /// The shared payload slices behind the linear area.
    pub fn frags(&self) -> &[Bytes] {
        &self.frags
    }

    /// Puts `n` zero bytes in front (for a header) and gives them to be filled.
    pub fn push(&mut self, n: usize) -> &mut [u8] {
        if n > self.start {
            self.grow_headroom(n);
        }
        self.start -= n;
        let header = &mut self.buf[self.start..self.start + n];
        header.fill(0);
        header
    }

    /// Takes `n` bytes from the front (a header that was read). Panics if the linear area is shorter.
    pub fn pull(&mut self, n: usize) {
        assert!(n <= self.buf.len() - self.start, "pull beyond the linear area");
        self.start += n;
    }

    /// Puts back `n` bytes that were pulled before.
    pub fn unpull(&mut self, n: usize) {
        assert!(n <= self.start, "unpull beyond the headroom");
        self.start -= n;
    }

    /// Makes sure that the first `n` bytes lie in the linear area; false if the packet is shorter than that.
    #[must_use]
    pub fn pull_linear(&mut self, n: usize) -> bool {
        let have = self.buf.len() - self.start;
        n <= have || (n <= self.len() && self.move_to_linear(n - have))
    }

    /// Moves everything into the linear area.
    pub fn linearize(&mut self) {
        let _ = self.move_to_linear(self.frags_len);
    }

    fn move_to_linear(&mut self, mut n: usize) -> bool {
        self.frags_len -= n;
        while n > 0 {
            let frag = &mut self.frags[0];
            let take = n.min(frag.len());
            self.buf.extend_from_slice(&frag[..take]);
            let _ = frag.split_to(take);
            if frag.is_empty() {
                self.frags.remove(0);
            }
            n -= take;
        }
        true
    }

    fn grow_headroom(&mut self, n: usize) {
        let extra = (n - self.start).next_multiple_of(64);
        self.buf.splice(0..0, std::iter::repeat_n(0, extra));
        self.start += extra;
        self.network += extra as u16;
        self.transport += extra as u16;
        self.mac = self.mac.map(|m| m + extra as u16);
    }

    /// Adds bytes behind the data: to the linear area if there are no slices yet, else as a slice of its own.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.frags.is_empty() {
            self.buf.extend_from_slice(bytes);
        } else {
            self.append_frag(Bytes::copy_from_slice(bytes));
        }
    }

    /// Adds a shared slice behind the data; nothing is copied.
    pub fn append_frag(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.frags_len += bytes.len();
            self.frags.push(bytes);
        }
    }

    /// Cuts the packet to its first `len` bytes (Ethernet padding, say). Longer is left as it is.
    pub fn truncate(&mut self, len: usize) {
        let linear = self.buf.len() - self.start;
        if len <= linear {
            self.buf.truncate(self.start + len);
            self.frags.clear();
            self.frags_len = 0;
            return;
        }
        while self.len() > len {
            let over = self.len() - len;
            let last = self.frags.last_mut().expect("bytes beyond the linear area lie in slices");
            let cut = over.min(last.len());
            last.truncate(last.len() - cut);
            self.frags_len -= cut;
            if last.is_empty() {
                self.frags.pop();
            }
        }
    }

    /// All bytes as shared slices, from offset `from` (of the data) on: what a socket queues. The part of the linear area
    /// is copied; slices are shared.
    pub fn payload_from(&self, from: usize) -> SmallVec<[Bytes; 2]> {
        let linear = self.data();
        let mut out = SmallVec::new();
        if from < linear.len() {
            out.push(Bytes::copy_from_slice(&linear[from..]));
        }
        let mut skip = from.saturating_sub(linear.len());
        for frag in &self.frags {
            if skip >= frag.len() {
                skip -= frag.len();
            } else {
                out.push(frag.slice(skip..));
                skip = 0;
            }
        }
        out
    }

    /// Moves all bytes from offset `from` of the data on behind another packet's: slices change hands, what lies in the linear
    /// area is copied.
    pub fn move_payload(&mut self, from: usize, to: &mut Self) {
        if from < self.data().len() {
            to.append(&self.data()[from..]);
            self.buf.truncate(self.start + from);
        }
        let mut skip = from - self.data().len();
        for mut frag in self.frags.drain(..) {
            let skipped = skip.min(frag.len());
            skip -= skipped;
            let _ = frag.split_to(skipped);
            to.append_frag(frag);
        }
        self.frags_len = 0;
    }

    /// Copies `len` bytes from offset `from` of the data (both clipped to what there is).
    pub fn copy_range(&self, from: usize, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len.min(self.len()));
        let mut skip = from;
        for part in std::iter::once(self.data()).chain(self.frags.iter().map(AsRef::as_ref)) {
            let skipped = skip.min(part.len());
            skip -= skipped;
            let part = &part[skipped..];
            out.extend_from_slice(&part[..part.len().min(len - out.len())]);
            if out.len() == len {
                break;
            }
        }
        out
    }

    /// Marks where the Ethernet header starts: here.
    pub fn set_mac_header(&mut self) {
        self.mac = Some(self.start as u16);
    }

    /// Marks where the network header starts: here.
    pub fn set_network_header(&mut self) {
        self.network = self.start as u16;
    }

    /// Marks where the transport header starts: here.
    pub fn set_transport_header(&mut self) {
        self.transport = self.start as u16;
    }

    /// The linear area from the Ethernet header on, if one was marked.
    pub fn mac_header(&self) -> Option<&[u8]> {
        self.mac.map(|m| &self.buf[m as usize..])
    }

    /// The linear area from the network header on.
    pub fn network_header(&self) -> &[u8] {
        &self.buf[self.network as usize..]
    }

    /// The linear area from the network header on, to be changed.
    pub fn network_header_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.network as usize..]
    }

    /// The linear area from the transport header on.
    pub fn transport_header(&self) -> &[u8] {
        &self.buf[self.transport as usize..]
    }

    /// The linear area from the transport header on, to be changed.
    pub fn transport_header_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.transport as usize..]
    }

    /// Bytes between the network and the transport header.
    pub fn network_header_len(&self) -> usize {
        usize::from(self.transport - self.network)
    }

    /// How far the data lies behind the network header: what [`Pkt::unpull`] needs to go back to it.
    pub fn since_network_header(&self) -> usize {
        self.start - usize::from(self.network)
    }

    /// How far the data lies behind the transport header.
    pub fn since_transport_header(&self) -> usize {
        self.start - usize::from(self.transport)
    }

    /// The packet's first bytes for display: the protocol that they start with (0 for Ethernet) and at most `snap` of them.
    pub(crate) fn outermost(&self, snap: usize) -> (u16, Vec<u8>) {
        let (protocol, from) = match self.mac {
            Some(mac) if usize::from(mac) <= self.start => (0, usize::from(mac)),
            _ if usize::from(self.network) <= self.start => (self.protocol, usize::from(self.network)),
            _ => (self.protocol, self.start),
        };
        let mut head = self.buf[from..].to_vec();
        for frag in &self.frags {
            if head.len() >= snap {
                break;
            }
            head.extend_from_slice(frag);
        }
        head.truncate(snap);
        (protocol, head)
    }

    /// Forgets where the Ethernet header was (the packet is about to get a new one, or has none).
    pub fn clear_mac_header(&mut self) {
        self.mac = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pkt() -> Box<Pkt> {
        let mut pkt = Pkt::from_slice(PktId(1), b"head");
        pkt.append_frag(Bytes::from_static(b"one"));
        pkt.append_frag(Bytes::from_static(b"two!"));
        pkt
    }

    #[test]
    fn push_and_pull_move_the_front() {
        let mut pkt = pkt();
        pkt.push(2).copy_from_slice(b"ip");
        assert_eq!(pkt.copy_range(0, 100), b"ipheadonetwo!");
        pkt.pull(2);
        assert_eq!(pkt.len(), 11);
        assert_eq!(pkt.push(HEADROOM + 100).len(), HEADROOM + 100, "headroom grows when it is used up");
    }

    #[test]
    fn pull_linear_moves_bytes_from_slices() {
        let mut pkt = pkt();
        assert!(pkt.pull_linear(8));
        assert_eq!(pkt.data(), b"headonet");
        assert_eq!(pkt.copy_range(0, 100), b"headonetwo!");
        assert!(!pkt.pull_linear(12));
    }

    #[test]
    fn truncate_cuts_slices_and_the_linear_area() {
        for len in 0..=11 {
            let mut pkt = pkt();
            pkt.truncate(len);
            assert_eq!(pkt.copy_range(0, 100), &b"headonetwo!"[..len]);
            assert_eq!(pkt.len(), len);
        }
    }

    #[test]
    fn a_payload_moves_behind_another() {
        for from in 0..=11 {
            let (mut one, mut two) = (pkt(), pkt());
            one.move_payload(from, &mut two);
            assert_eq!(two.copy_range(0, 100), [b"headonetwo!", &b"headonetwo!"[from..]].concat());
            assert_eq!(two.len(), 22 - from);
            assert_eq!(one.copy_range(0, 100), &b"headonetwo!"[..from.min(4)], "what was skipped is gone");
        }
    }

    #[test]
    fn ranges_cross_slices() {
        let pkt = pkt();
        for from in 0..=11 {
            for len in 0..=11 - from {
                assert_eq!(pkt.copy_range(from, len), &b"headonetwo!"[from..from + len]);
            }
            assert_eq!(pkt.payload_from(from).concat(), &b"headonetwo!"[from..]);
        }
    }

    #[test]
    fn used_memory_makes_a_copy_that_is_as_a_clone() {
        let mut original = pkt();
        original.push(14)[0] = 7;
        original.set_mac_header();
        (original.mark, original.traced, original.protocol) = (5, true, 0x86dd);
        let mut other = Pkt::from_slice(PktId(9), &[1; 300]);
        other.copy_from(&original);
        assert_eq!(format!("{other:?}"), format!("{:?}", original.clone()));
        other.clear();
        assert!(other.is_empty() && !other.traced && other.mac_header().is_none());
        assert_eq!(other.push(20), [0; 20], "what was in front before does not show");
    }

    #[test]
    fn a_clone_shares_its_payload() {
        let pkt = pkt();
        let copy = pkt.clone();
        assert_eq!(pkt.frags()[0].as_ptr(), copy.frags()[0].as_ptr());
    }
}
