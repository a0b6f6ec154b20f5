//! Rings shared with the program (`PACKET_RX_RING`, `PACKET_TX_RING`): layouts TPACKET_V1, V2 and V3.
//!
//! ```text
//! V1, V2   block │ frame │ frame │ …  each frame: header 32, sockaddr_ll 20, (padding), data
//! V3       block: descriptor 48, private, then packets one behind another: header 48, sockaddr_ll 20, data
//! ```
//! A word of status says whose a frame (V3: a block) is: 0 the stack's, else the program's. It is written last.

use std::time::Duration;

use netspace_stack::packet::{Frame, PacketType};

use super::name::{NAME_LEN, emit_sender};
use crate::bytes_at::u32_at;
use crate::errno::{EINVAL, Errno};

const STATUS_KERNEL: u32 = 0;
const STATUS_USER: u32 = 1;
const STATUS_COPY: u32 = 1 << 1;
const STATUS_CSUM_NOT_READY: u32 = 1 << 3;
const STATUS_BLOCK_TIMEOUT: u32 = 1 << 5;
const STATUS_CSUM_VALID: u32 = 1 << 7;
const STATUS_TIME_SOFTWARE: u32 = 1 << 29;
const STATUS_SEND_REQUEST: u32 = 1;
const STATUS_WRONG_FORMAT: u32 = 1 << 2;

/// `TPACKET_ALIGNMENT`.
const ALIGNMENT: usize = 16;
/// Room before the network header where there is no link-layer header, or a short one.
const LINK_ROOM: usize = 16;
const PAGE: usize = 4096;
/// Most bytes of a socket's rings.
const MAX_LEN: usize = 1 << 30;
/// `struct tpacket_block_desc`, and where its parts are.
const BLOCK_HEADER: usize = 48;
const BLOCK_STATUS: usize = 8;
/// Where a V1 or V2 frame to be sent has its bytes, and their number.
const TX_DATA: usize = 32;
/// How long a V3 block waits to be filled if the program does not say, milliseconds.
const RETIRE_MS: u32 = 8;

/// Memory shared with the program. Offsets are within the ring's length; `load` and `store` are atomic, with acquire and
/// release order.
pub trait Memory {
    /// The word at `at`.
    fn load(&self, at: usize) -> u32;
    /// Writes the word at `at`; all writes before it are seen before it.
    fn store(&mut self, at: usize, word: u32);
    /// Writes bytes.
    fn write(&mut self, at: usize, bytes: &[u8]);
    /// Reads bytes.
    fn read(&self, at: usize, into: &mut [u8]);
}

/// `PACKET_VERSION`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// `TPACKET_V1`, whose status is a long.
    #[default]
    V1,
    /// `TPACKET_V2`.
    V2,
    /// `TPACKET_V3`: blocks of packets of different lengths.
    V3,
}

impl Version {
    /// The version of a number.
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::V1),
            1 => Some(Self::V2),
            2 => Some(Self::V3),
            _ => None,
        }
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Bytes of a frame's header (`PACKET_HDRLEN`).
    pub const fn header_len(self) -> usize {
        match self {
            Self::V1 => 28_usize.next_multiple_of(8),
            Self::V2 => 32,
            Self::V3 => 48,
        }
    }

    /// Header and `sockaddr_ll`.
    const fn headers_len(self) -> usize {
        self.header_len().next_multiple_of(ALIGNMENT) + NAME_LEN
    }
}

/// `struct tpacket_req3`, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    block_size: usize,
    block_count: usize,
    frame_size: usize,
    frame_count: usize,
    retire_ms: u32,
    private: usize,
}

impl Geometry {
    /// Reads a request. None: the ring is to be given up.
    pub fn parse(bytes: &[u8], version: Version, reserve: usize) -> Result<Option<Self>, Errno> {
        let word = |n: usize| u32_at(bytes, 4 * n).map(|w| w as usize).ok_or(EINVAL);
        let v3 = version == Version::V3;
        let (retire_ms, private) = if v3 { (word(4)? as u32, word(5)?) } else { (0, 0) };
        let asked = Self {
            block_size: word(0)?,
            block_count: word(1)?,
            frame_size: word(2)?,
            frame_count: word(3)?,
            retire_ms: if retire_ms == 0 { RETIRE_MS } else { retire_ms },
            private,
        };
        if asked.block_count == 0 {
            return if asked.frame_count == 0 { Ok(None) } else { Err(EINVAL) };
        }
        let least = version.headers_len() + reserve;
        let blocks_hold = !v3 || asked.block_size >= asked.first_packet() + least;
        let shaped = asked.block_size > 0
            && asked.block_size.is_multiple_of(PAGE)
            && asked.frame_size >= least
            && asked.frame_size.is_multiple_of(ALIGNMENT)
            && asked.frame_size <= asked.block_size
            && blocks_hold;
        if !shaped || asked.per_block().checked_mul(asked.block_count) != Some(asked.frame_count) {
            return Err(EINVAL);
        }
        match asked.block_size.checked_mul(asked.block_count) {
            Some(len) if len <= MAX_LEN => Ok(Some(asked)),
            _ => Err(Errno(libc::ENOMEM)),
        }
    }

    /// Bytes of the ring.
    pub const fn bytes(&self) -> usize {
        self.block_size * self.block_count
    }

    const fn per_block(&self) -> usize {
        self.block_size / self.frame_size
    }

    /// Where a frame of V1 or V2 is: blocks need not be full of frames.
    const fn frame_at(&self, n: usize) -> usize {
        n / self.per_block() * self.block_size + n % self.per_block() * self.frame_size
    }

    /// Where a V3 block's first packet is.
    const fn first_packet(&self) -> usize {
        BLOCK_HEADER + self.private.next_multiple_of(8)
    }
}

/// What the status word says of a frame besides whose it is.
pub(super) fn status_of(frame: &Frame) -> u32 {
    let mut status = STATUS_USER | STATUS_TIME_SOFTWARE;
    if frame.checksum_partial {
        status |= STATUS_CSUM_NOT_READY;
    } else if frame.checksum_valid {
        status |= STATUS_CSUM_VALID;
    }
    status
}

/// The block of a V3 ring that is being filled.
#[derive(Clone, Copy, Debug)]
struct Open {
    packets: u32,
    /// Bytes used, the descriptor included.
    used: usize,
    /// Where the last packet starts.
    last: usize,
    first_at: Duration,
    last_at: Duration,
}

/// A ring of received frames.
#[derive(Debug)]
pub struct RxRing {
    version: Version,
    geometry: Geometry,
    ty: PacketType,
    reserve: usize,
    /// The next frame (V3: block) to be filled.
    head: usize,
    open: Option<Open>,
    blocks_filled: u64,
}

impl RxRing {
    /// An empty ring. Its memory must be zero.
    pub const fn new(version: Version, geometry: Geometry, ty: PacketType, reserve: usize) -> Self {
        Self { version, geometry, ty, reserve, head: 0, open: None, blocks_filled: 0 }
    }

    /// How long after its first packet a block must be handed over; none if no block is begun.
    pub fn retire_after(&self) -> Option<Duration> {
        self.open.map(|_| Duration::from_millis(u64::from(self.geometry.retire_ms)))
    }

    /// Where link-layer header and network header go in a frame.
    fn offsets(&self, frame: &Frame) -> (usize, usize) {
        let headers = self.version.headers_len();
        if self.ty == PacketType::Dgram {
            let at = headers.next_multiple_of(ALIGNMENT) + LINK_ROOM + self.reserve;
            return (at, at);
        }
        let link = frame.network;
        let network = (headers + link.max(LINK_ROOM)).next_multiple_of(ALIGNMENT) + self.reserve;
        (network - link, network)
    }

    /// Puts a frame into the ring, `at` by the wall clock; false if the program has left no room.
    pub fn push(&mut self, memory: &mut impl Memory, frame: &Frame, at: Duration) -> bool {
        match self.version {
            Version::V1 | Version::V2 => self.push_frame(memory, frame, at),
            Version::V3 => self.push_packet(memory, frame, at),
        }
    }

    fn push_frame(&mut self, memory: &mut impl Memory, frame: &Frame, at: Duration) -> bool {
        let start = self.geometry.frame_at(self.head);
        if memory.load(start) != STATUS_KERNEL {
            return false;
        }
        let (mac, net) = self.offsets(frame);
        let captured = frame.captured();
        let kept = captured.min(self.geometry.frame_size.saturating_sub(mac));
        let v1 = self.version == Version::V1;
        // V1: long status; V2: u32 status. Then u32 len, snaplen; u16 mac, net; u32 sec, usec or nsec.
        let words = if v1 { 8 } else { 4 };
        let mut header = [0; 32];
        header[words..words + 4].copy_from_slice(&(frame.len as u32).to_ne_bytes());
        header[words + 4..words + 8].copy_from_slice(&(kept as u32).to_ne_bytes());
        header[words + 8..words + 10].copy_from_slice(&(mac as u16).to_ne_bytes());
        header[words + 10..words + 12].copy_from_slice(&(net as u16).to_ne_bytes());
        header[words + 12..words + 16].copy_from_slice(&(at.as_secs() as u32).to_ne_bytes());
        let fraction = if v1 { at.subsec_micros() } else { at.subsec_nanos() };
        header[words + 16..words + 20].copy_from_slice(&fraction.to_ne_bytes());
        memory.write(start + words, &header[words..]);
        memory.write(start + 32, &emit_sender(frame));
        write_data(memory, start + mac, frame, kept);
        let cut = if kept < captured { STATUS_COPY } else { 0 };
        memory.store(start, status_of(frame) | cut);
        self.head = (self.head + 1) % self.geometry.frame_count;
        true
    }

    fn push_packet(&mut self, memory: &mut impl Memory, frame: &Frame, at: Duration) -> bool {
        let (mac, net) = self.offsets(frame);
        let most = self.geometry.block_size - self.geometry.first_packet();
        let kept = frame.captured().min(most.saturating_sub(mac));
        let len = (mac + kept).next_multiple_of(8);
        if self.open.is_some_and(|open| open.used + len > self.geometry.block_size) {
            self.close(memory, 0);
        }
        let block = self.head * self.geometry.block_size;
        let Some(open) = self.open.or_else(|| self.begin(memory, at)) else { return false };
        let start = block + open.used;
        // u32 next, sec, nsec, snaplen, len, status; u16 mac, net; then hash and VLAN, which there are none of.
        let mut header = [0; 48];
        let words =
            [0, at.as_secs() as u32, at.subsec_nanos(), kept as u32, frame.len as u32, status_of(frame)];
        for (n, word) in words.into_iter().enumerate() {
            header[4 * n..4 * n + 4].copy_from_slice(&word.to_ne_bytes());
        }
        header[24..26].copy_from_slice(&(mac as u16).to_ne_bytes());
        header[26..28].copy_from_slice(&(net as u16).to_ne_bytes());
        memory.write(start, &header);
        memory.write(start + 48, &emit_sender(frame));
        write_data(memory, start + mac, frame, kept);
        if open.packets > 0 {
            memory.write(block + open.last, &((open.used - open.last) as u32).to_ne_bytes());
        }
        self.open = Some(Open {
            packets: open.packets + 1,
            used: open.used + len,
            last: open.used,
            last_at: at,
            ..open
        });
        true
    }

    /// Begins the next block, if the program has given it back.
    fn begin(&self, memory: &impl Memory, at: Duration) -> Option<Open> {
        let block = self.head * self.geometry.block_size;
        let free = memory.load(block + BLOCK_STATUS) == STATUS_KERNEL;
        let used = self.geometry.first_packet();
        free.then_some(Open { packets: 0, used, last: used, first_at: at, last_at: at })
    }

    /// Hands the block that is being filled over, because its time is up.
    pub fn retire(&mut self, memory: &mut impl Memory) {
        self.close(memory, STATUS_BLOCK_TIMEOUT);
    }

    fn close(&mut self, memory: &mut impl Memory, status: u32) {
        let Some(open) = self.open.take() else { return };
        self.blocks_filled += 1;
        let block = self.head * self.geometry.block_size;
        let mut header = [0; BLOCK_HEADER];
        let mut put = |at: usize, word: u32| header[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        put(0, self.version.number());
        put(4, BLOCK_HEADER as u32);
        put(12, open.packets);
        put(16, self.geometry.first_packet() as u32);
        put(20, open.used as u32);
        put(32, open.first_at.as_secs() as u32);
        put(36, open.first_at.subsec_nanos());
        put(40, open.last_at.as_secs() as u32);
        put(44, open.last_at.subsec_nanos());
        header[24..32].copy_from_slice(&self.blocks_filled.to_ne_bytes());
        memory.write(block, &header[..BLOCK_STATUS]);
        memory.write(block + 12, &header[12..]);
        memory.store(block + BLOCK_STATUS, STATUS_USER | status);
        self.head = (self.head + 1) % self.geometry.block_count;
    }

    /// Whether the program has something to take: what was handed over last is still its.
    pub fn is_readable(&self, memory: &impl Memory) -> bool {
        let before = |n: usize| (self.head + n - 1) % n;
        let at = match self.version {
            Version::V1 | Version::V2 => self.geometry.frame_at(before(self.geometry.frame_count)),
            Version::V3 => before(self.geometry.block_count) * self.geometry.block_size + BLOCK_STATUS,
        };
        memory.load(at) != STATUS_KERNEL
    }
}

fn write_data(memory: &mut impl Memory, mut at: usize, frame: &Frame, mut left: usize) {
    for part in &frame.data {
        let part = &part[..part.len().min(left)];
        memory.write(at, part);
        at += part.len();
        left -= part.len();
    }
}

/// A ring of frames to be sent (V1 and V2), which lies `base` bytes into the memory.
#[derive(Debug)]
pub struct TxRing {
    version: Version,
    geometry: Geometry,
    base: usize,
    head: usize,
}

impl TxRing {
    /// An empty ring, behind `base` bytes of another.
    pub const fn new(version: Version, geometry: Geometry, base: usize) -> Self {
        Self { version, geometry, base, head: 0 }
    }

    /// The next frame that the program wants sent; its place is free again when this returns. An impossible one is marked
    /// as such, and gives EINVAL.
    pub fn take(&mut self, memory: &mut impl Memory) -> Option<Result<Vec<u8>, Errno>> {
        let start = self.base + self.geometry.frame_at(self.head);
        if memory.load(start) != STATUS_SEND_REQUEST {
            return None;
        }
        let mut header = [0; 32];
        memory.read(start, &mut header);
        let len_at = if self.version == Version::V1 { 8 } else { 4 };
        let len = u32_at(&header, len_at).unwrap_or(0) as usize;
        if TX_DATA + len > self.geometry.frame_size {
            memory.store(start, STATUS_WRONG_FORMAT);
            return Some(Err(EINVAL));
        }
        let mut data = vec![0; len];
        memory.read(start + TX_DATA, &mut data);
        memory.store(start, STATUS_KERNEL);
        self.head = (self.head + 1) % self.geometry.frame_count;
        Some(Ok(data))
    }
}

#[cfg(test)]
mod tests;
