//! Cutting a GSO packet into the frames of a real wire.
//!
//! Large TCP payloads travel whole, up to 64 KiB in one packet, until a device or a link needs wire frames. Headers are
//! copied and adjusted for each frame; payload slices are shared.
//!
//! ```text
//! | eth ip tcp | payload 4000 |  →  | eth ip tcp | 1448 |  | eth ip tcp | 1448 |  | eth ip tcp | 1104 |
//!   seq n                             seq n  (CWR)            seq n+1448             seq n+2896  (FIN, PSH)
//! ```
//! A packet may start at its Ethernet or at its network header. Which one, its marks tell: it starts at an Ethernet header
//! if the mark of one lies there, or if its network header is marked exactly 14 bytes further.

use netspace_base::{Bytes, ChecksumState, GsoKind, Pkt};
use smallvec::SmallVec;

use crate::locate::{Transport, transport};
use crate::tcp::{FLAGS_OFFSET, HEADER_LEN as TCP_HEADER_LEN, TcpFlags};
use crate::{checksum, ipv4, protocol, u16_at, u32_at, udp};

/// Cuts a GSO packet into frames, first to last. A packet that is not marked for it, or is no TCP or UDP packet, comes back
/// whole. Lengths, IPv4 identifications and TCP sequence numbers go on from frame to frame; FIN and PSH stay on the last
/// frame only, CWR on the first (but see
/// [`GsoKind::TcpAccurateEcn`]); checksums are left [`ChecksumState::Partial`], each with its own pseudo-header sum.
#[must_use]
pub fn cut(pkt: Box<Pkt>) -> Vec<Box<Pkt>> {
    match Frames::new(pkt) {
        Ok(frames) => frames.collect(),
        Err(whole) => vec![whole],
    }
}

/// How many frames [`cut`] makes of the packet, and how many bytes they have in all.
pub fn frames_and_bytes(pkt: &Pkt) -> (usize, usize) {
    let whole = (1, pkt.len());
    let Some(gso) = pkt.gso.filter(|g| g.size > 0) else { return whole };
    let Some(found) = transport(pkt) else { return whole };
    let Some(header_len) = header_len(pkt, &found, gso.kind) else { return whole };
    let payload = (found.offset + found.len).saturating_sub(header_len);
    let count = payload.div_ceil(usize::from(gso.size)).max(1);
    (count, payload + count * header_len)
}

/// All header bytes, to the start of the payload.
fn header_len(pkt: &Pkt, found: &Transport, kind: GsoKind) -> Option<usize> {
    let transport_len = match (kind, found.protocol) {
        (GsoKind::Udp, protocol::UDP) => udp::HEADER_LEN,
        (GsoKind::Tcp | GsoKind::TcpAccurateEcn, protocol::TCP) => {
            let len = usize::from(pkt.data().get(found.offset + 12)? >> 4) * 4;
            (len >= TCP_HEADER_LEN).then_some(len)?
        }
        _ => return None,
    };
    (transport_len <= found.len).then_some(found.offset + transport_len)
}

/// The frames of a GSO packet, made one by one.
#[derive(Debug)]
pub struct Frames {
    /// The packet: its headers are copied, its payload has been taken out.
    pkt: Box<Pkt>,
    found: Transport,
    kind: GsoKind,
    header_len: usize,
    size: usize,
    payload: SmallVec<[Bytes; 2]>,
    /// Payload bytes in frames already made.
    done: usize,
    /// Payload bytes in all.
    total: usize,
    index: usize,
}

impl Frames {
    /// Starts cutting; gives the packet back, its mark for cutting removed, if there is nothing to cut.
    pub fn new(mut pkt: Box<Pkt>) -> Result<Self, Box<Pkt>> {
        let Some(gso) = pkt.gso.take() else { return Err(pkt) };
        let Some(found) = transport(&pkt).filter(|_| gso.size > 0) else { return Err(pkt) };
        let Some(header_len) = header_len(&pkt, &found, gso.kind) else { return Err(pkt) };
        let total = found.offset + found.len - header_len;
        let size = usize::from(gso.size);
        if total <= size || !pkt.pull_linear(header_len) {
            return Err(pkt);
        }
        let payload = pkt.payload_from(header_len);
        pkt.truncate(header_len);
        Ok(Self { pkt, found, kind: gso.kind, header_len, size, payload, done: 0, total, index: 0 })
    }

    /// A packet with the headers, marks and metadata of the whole one and no payload yet.
    fn header(&self) -> Box<Pkt> {
        let from = &self.pkt;
        let mut pkt = Pkt::with_capacity(from.id, self.header_len);
        pkt.append(from.data());
        if self.found.network > 0 {
            pkt.set_mac_header();
        }
        pkt.pull(self.found.network);
        pkt.set_network_header();
        pkt.pull(self.found.offset - self.found.network);
        pkt.set_transport_header();
        pkt.unpull(self.found.offset);
        pkt.dev = from.dev;
        pkt.protocol = from.protocol;
        pkt.pkt_type = from.pkt_type;
        pkt.mark = from.mark;
        pkt.priority = from.priority;
        pkt.hash = from.hash;
        pkt.received_at = from.received_at;
        pkt.traced = from.traced;
        pkt
    }

    /// Moves `n` payload bytes into `pkt`.
    fn take_payload(&mut self, pkt: &mut Pkt, mut n: usize) {
        while n > 0 {
            let first = &mut self.payload[0];
            let piece = first.split_to(n.min(first.len()));
            n -= piece.len();
            if first.is_empty() {
                self.payload.remove(0);
            }
            pkt.append_frag(piece);
        }
    }

    fn adjust_network(&self, header: &mut [u8], transport_len: usize) {
        let network_len = self.found.offset - self.found.network;
        if self.found.is_v4() {
            let id = u16_at(header, 4).unwrap_or(0).wrapping_add(self.index as u16);
            header[2..4].copy_from_slice(&((network_len + transport_len) as u16).to_be_bytes());
            header[4..6].copy_from_slice(&id.to_be_bytes());
            ipv4::fill_header_checksum(&mut header[..network_len]);
        } else {
            let payload_len = network_len - crate::ipv6::HEADER_LEN + transport_len;
            header[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
    }

    fn adjust_transport(&self, header: &mut [u8], transport_len: usize, last: bool) {
        if self.kind == GsoKind::Udp {
            header[4..6].copy_from_slice(&(transport_len as u16).to_be_bytes());
            return;
        }
        let seq = u32_at(header, 4).unwrap_or(0).wrapping_add(self.done as u32);
        header[4..8].copy_from_slice(&seq.to_be_bytes());
        if !last {
            header[FLAGS_OFFSET] &= !((TcpFlags::FIN | TcpFlags::PSH).bits() as u8);
        }
        if self.index > 0 && self.kind == GsoKind::Tcp {
            header[FLAGS_OFFSET] &= !(TcpFlags::CWR.bits() as u8);
        }
    }
}

impl Iterator for Frames {
    type Item = Box<Pkt>;

    fn next(&mut self) -> Option<Box<Pkt>> {
        let chunk = self.size.min(self.total - self.done);
        if chunk == 0 {
            return None;
        }
        let transport_len = self.header_len - self.found.offset + chunk;
        let last = self.done + chunk == self.total;
        let mut pkt = self.header();
        let (network, offset) = (self.found.network, self.found.offset);
        let data = pkt.data_mut();
        self.adjust_network(&mut data[network..], transport_len);
        self.adjust_transport(&mut data[offset..], transport_len, last);
        if let Some(at) = checksum::field_offset(self.found.protocol) {
            let seed = checksum::fold(self.found.pseudo_sum_for(transport_len));
            data[offset + at..offset + at + 2].copy_from_slice(&seed.to_be_bytes());
            pkt.checksum = ChecksumState::Partial;
        }
        self.take_payload(&mut pkt, chunk);
        self.done += chunk;
        self.index += 1;
        Some(pkt)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.total - self.done).div_ceil(self.size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Frames {}
