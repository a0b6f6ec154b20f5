//! Joining the frames of one flow into a large packet: the counterpart of [`crate::gso`].
//!
//! ```text
//! | eth ip tcp | 1448 |  | eth ip tcp | 1448 |  | eth ip tcp | 1104 |  →  | eth ip tcp | payload 4000 |
//!   seq n, id i            seq n+1448, id i+1     seq n+2896 (PSH)         seq n (PSH), cut again at 1448
//! ```
//! Frames are joined only if [`crate::gso::cut`] would make the same frames again: their headers are alike but for what
//! counts up, all but the last are equally long, and PSH and FIN stand on the last only. A router that joins and cuts
//! therefore changes nothing on the wire.

use netspace_base::{ChecksumState, Gso, GsoKind, Pkt};

use crate::locate::{Transport, transport};
use crate::tcp::{FLAGS_OFFSET, HEADER_LEN as TCP_HEADER_LEN, TcpFlags};
use crate::{checksum, ipv4, ipv6, protocol, u16_at, u32_at, udp};

/// Largest joined packet from its network header on: what IPv4's length field holds.
const JOINED_MAX: usize = 65_535;
/// Most datagrams that are joined (`UDP_GRO_CNT_MAX`).
const DATAGRAMS_MAX: u16 = 64;
/// Flags of a segment that may be joined: those that are alike in all of them, and those of the last.
const ALIKE: TcpFlags = TcpFlags::ACK.union(TcpFlags::ECE).union(TcpFlags::CWR).union(TcpFlags::AE);
const LAST: TcpFlags = TcpFlags::PSH.union(TcpFlags::FIN);

/// A frame that may be joined with others of its flow.
#[derive(Debug)]
pub struct Joinable {
    pkt: Box<Pkt>,
    found: Transport,
    kind: GsoKind,
    /// Where the payload starts, and how long it is.
    header_len: usize,
    payload: usize,
}

/// Frames that have been joined so far; the first is what they become.
#[derive(Debug)]
pub struct Joined {
    first: Joinable,
    /// Payload bytes of all.
    total: usize,
    frames: u16,
    /// Nothing may follow: a shorter frame, PSH or FIN.
    ended: bool,
}

impl Joinable {
    /// Looks at a frame (its Ethernet header in front); gives it back if it cannot be joined with any other: no TCP payload
    /// (or, with `datagrams`, UDP payload), fragments, IP options, flags that say more than "here is data", a wrong checksum.
    pub fn new(mut pkt: Box<Pkt>, datagrams: bool) -> Result<Self, Box<Pkt>> {
        let Some((found, kind, header_len)) = examine(&mut pkt, datagrams) else { return Err(pkt) };
        let payload = pkt.len() - header_len;
        Ok(Self { pkt, found, kind, header_len, payload })
    }

    /// What it was.
    pub fn into_pkt(self) -> Box<Pkt> {
        self.pkt
    }

    fn header(&self) -> &[u8] {
        &self.pkt.data()[..self.header_len]
    }

    fn flags(&self) -> TcpFlags {
        let flags = self.header().get(self.found.offset + FLAGS_OFFSET).copied().unwrap_or(0);
        TcpFlags::from_bits_truncate(u16::from(flags))
    }

    fn ends(&self) -> bool {
        self.kind != GsoKind::Udp && self.flags().intersects(LAST)
    }

    /// Whether two frames are of one flow: its addresses and ports.
    fn same_flow(&self, other: &Self) -> bool {
        let (a, b) = (self.header(), other.header());
        let at = self.found.offset;
        let addrs = if self.found.is_v4() { at - 8..at } else { at - 32..at };
        self.kind == other.kind
            && self.found.offset == other.found.offset
            && a[addrs.clone()] == b[addrs]
            && a[at..at + 4] == b[at..at + 4]
    }
}

fn examine(pkt: &mut Pkt, datagrams: bool) -> Option<(Transport, GsoKind, usize)> {
    if pkt.gso.is_some() {
        return None;
    }
    let found = transport(pkt)?;
    let plain = if found.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    // Neither options nor extension headers, nothing behind the packet.
    if found.offset != found.network + plain || found.offset + found.len != pkt.len() {
        return None;
    }
    let (kind, len) = match found.protocol {
        protocol::TCP => tcp_header(pkt, found.offset)?,
        protocol::UDP if datagrams => (GsoKind::Udp, udp_header_len(pkt, &found)?),
        _ => return None,
    };
    let header_len = found.offset + len;
    let checked = match pkt.checksum {
        ChecksumState::None => checksum::verify_pkt(pkt, found.offset, found.len, found.pseudo_sum()),
        ChecksumState::Unnecessary | ChecksumState::Partial => true,
    };
    (pkt.len() > header_len && pkt.pull_linear(header_len) && checked).then_some((found, kind, header_len))
}

/// How segments are cut again, and how long their header is. A CWR that all of them have is part of a counter (accurate ECN);
/// classic ECN's, on one alone, joins with none.
fn tcp_header(pkt: &Pkt, at: usize) -> Option<(GsoKind, usize)> {
    let header = pkt.data().get(at..at + TCP_HEADER_LEN)?;
    let flags = TcpFlags::from_bits_truncate(u16_at(header, FLAGS_OFFSET - 1)? & 0x1ff);
    let plain = flags.contains(TcpFlags::ACK) && ALIKE.union(LAST).contains(flags);
    let len = usize::from(header[12] >> 4) * 4;
    let kind = if flags.contains(TcpFlags::CWR) { GsoKind::TcpAccurateEcn } else { GsoKind::Tcp };
    (plain && len >= TCP_HEADER_LEN).then_some((kind, len))
}

fn udp_header_len(pkt: &Pkt, found: &Transport) -> Option<usize> {
    let header = pkt.data().get(found.offset..found.offset + udp::HEADER_LEN)?;
    let whole = u16_at(header, 4).map(usize::from) == Some(found.len);
    let summed = pkt.checksum == ChecksumState::Partial || !udp::has_no_checksum(header);
    (whole && summed).then_some(udp::HEADER_LEN)
}

impl Joined {
    /// Starts with a flow's first frame.
    pub fn new(first: Joinable) -> Self {
        let (total, ended) = (first.payload, first.ends());
        Self { first, total, frames: 1, ended }
    }

    /// Whether a frame is of this flow, whether or not it can be joined.
    pub fn is_flow_of(&self, frame: &Joinable) -> bool {
        self.first.same_flow(frame)
    }

    /// Joins the flow's next frame, which ends with it; gives it back if it does not follow.
    pub fn join(&mut self, mut frame: Joinable) -> Result<Box<Pkt>, Joinable> {
        if self.ended || !self.follows(&frame) {
            return Err(frame);
        }
        self.ended = frame.payload < self.first.payload || frame.ends();
        self.total += frame.payload;
        self.frames += 1;
        let flags_at = self.first.found.offset + FLAGS_OFFSET;
        let pkt = &mut self.first.pkt;
        if frame.kind != GsoKind::Udp {
            pkt.data_mut()[flags_at] |= (frame.flags() & LAST).bits() as u8;
        }
        frame.pkt.move_payload(frame.header_len, pkt);
        Ok(frame.pkt)
    }

    fn follows(&self, frame: &Joinable) -> bool {
        let (first, at) = (&self.first, self.first.found.offset);
        let network_len = first.header_len - first.found.network + self.total + frame.payload;
        if frame.payload > first.payload
            || frame.header_len != first.header_len
            || network_len > JOINED_MAX
            || (first.kind == GsoKind::Udp && self.frames >= DATAGRAMS_MAX)
        {
            return false;
        }
        let (a, b) = (first.header(), frame.header());
        let network = first.found.network;
        same_network(&a[..at], &b[..at], network, first.found.is_v4().then_some(self.frames))
            && match first.kind {
                GsoKind::Udp => a[at..at + 4] == b[at..at + 4],
                GsoKind::Tcp | GsoKind::TcpAccurateEcn => same_tcp(&a[at..], &b[at..], self.total as u32),
            }
    }

    /// The packet that the frames have become: the frame itself if it is only one.
    pub fn finish(self) -> Box<Pkt> {
        let Self { first, total, frames, .. } = self;
        let Joinable { mut pkt, found, kind, header_len, payload } = first;
        if frames == 1 {
            return pkt;
        }
        let transport_len = header_len - found.offset + total;
        let header = &mut pkt.data_mut()[found.network..];
        let network_len = found.offset - found.network;
        if found.is_v4() {
            header[2..4].copy_from_slice(&((network_len + transport_len) as u16).to_be_bytes());
            ipv4::fill_header_checksum(&mut header[..network_len]);
        } else {
            header[4..6].copy_from_slice(&(transport_len as u16).to_be_bytes());
        }
        if kind == GsoKind::Udp {
            header[network_len + 4..network_len + 6].copy_from_slice(&(transport_len as u16).to_be_bytes());
        }
        pkt.pull(found.offset);
        checksum::set_partial(&mut pkt, found.protocol, found.pseudo_sum_for(transport_len));
        pkt.unpull(found.offset);
        pkt.gso = Some(Gso { size: payload as u16, kind });
        pkt
    }
}

/// Whether the headers up to the transport's are alike but for lengths, checksum and IPv4's identification, which must count
/// up: the frame is number `nth` of its packet. Frames that all have one identification would be cut with others.
fn same_network(a: &[u8], b: &[u8], network: usize, nth: Option<u16>) -> bool {
    let (link, ip_a, ip_b) = (a[..network] == b[..network], &a[network..], &b[network..]);
    let ip = match nth {
        Some(nth) => {
            let id = |header: &[u8]| u16_at(header, 4).unwrap_or(0);
            ip_a[..2] == ip_b[..2]
                && id(ip_b) == id(ip_a).wrapping_add(nth)
                && ip_a[6..10] == ip_b[6..10]
                && ip_a[12..] == ip_b[12..]
        }
        None => ip_a[..4] == ip_b[..4] && ip_a[6..] == ip_b[6..],
    };
    link && ip
}

/// Whether a TCP header is as the first one, `done` bytes later.
fn same_tcp(a: &[u8], b: &[u8], done: u32) -> bool {
    let seq = |header: &[u8]| u32_at(header, 4).unwrap_or(0);
    let last = LAST.bits() as u8;
    a[..4] == b[..4]
        && seq(b) == seq(a).wrapping_add(done)
        && a[8..FLAGS_OFFSET] == b[8..FLAGS_OFFSET]
        && (a[FLAGS_OFFSET] ^ b[FLAGS_OFFSET]) & !last == 0
        && a[FLAGS_OFFSET + 1..16] == b[FLAGS_OFFSET + 1..16]
        && a[18..] == b[18..]
}
