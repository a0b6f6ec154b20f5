//! Capture files in the pcapng format (draft-ietf-opsawg-pcapng).
//!
//! ```text
//! file:  section header | interface … | enhanced packet | enhanced packet | …
//! block: | type 4 | length 4 | body, padded to 4 | options | length 4 |      little endian
//! ```
//! One file can hold several interfaces. Times have a resolution of a nanosecond.

use std::io::{self, Write};

use netspace_base::{Duration, Instant, Pkt};
use netspace_wire::{checksum, gso};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_MACADDR: u16 = 6;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// What packets of an interface start with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LinkType {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// An IPv4 or IPv6 header.
    RawIp,
}

impl LinkType {
    /// The registered number.
    const fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::RawIp => 101,
        }
    }
}

/// An interface of a capture file.
#[derive(Clone, Debug, Default)]
pub struct Interface<'a> {
    /// Its name (`client-eth0`).
    pub name: &'a str,
    /// More about it; may be empty.
    pub description: &'a str,
    /// Its Ethernet address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// What its packets start with.
    pub link_type: LinkType,
    /// Bytes kept of each packet; 0: all.
    pub snap_len: u32,
}

/// Which way a packet went, as seen by the interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// Names an interface of one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceId(u32);

/// Writes a capture file to anything that takes bytes; give it a buffered writer.
#[derive(Debug)]
pub struct PcapNg<W> {
    out: W,
    /// Added to each time: when the lab started, since the epoch.
    epoch: Duration,
    snap_lens: Vec<u32>,
    block: Vec<u8>,
}

impl<W: Write> PcapNg<W> {
    /// Starts a file. `epoch` is the moment of [`Instant::ZERO`] since 1970; zero makes times count from the lab's start.
    pub fn new(out: W, epoch: Duration) -> io::Result<Self> {
        let mut file = Self { out, epoch, snap_lens: Vec::new(), block: Vec::with_capacity(2048) };
        file.begin(SECTION_HEADER);
        file.put(&BYTE_ORDER_MAGIC.to_le_bytes());
        file.put(&1u16.to_le_bytes());
        file.put(&0u16.to_le_bytes());
        file.put(&u64::MAX.to_le_bytes()); // the section's length is not known
        file.option(SHB_USERAPPL, concat!("netspace ", env!("CARGO_PKG_VERSION")).as_bytes());
        file.end()?;
        Ok(file)
    }

    /// Adds an interface. It can come at any time before its first packet.
    pub fn add_interface(&mut self, interface: &Interface<'_>) -> io::Result<InterfaceId> {
        self.begin(INTERFACE);
        self.put(&interface.link_type.number().to_le_bytes());
        self.put(&0u16.to_le_bytes());
        self.put(&interface.snap_len.to_le_bytes());
        self.option(IF_NAME, interface.name.as_bytes());
        if !interface.description.is_empty() {
            self.option(IF_DESCRIPTION, interface.description.as_bytes());
        }
        if let Some(mac) = interface.mac {
            self.option(IF_MACADDR, &mac);
        }
        self.option(IF_TSRESOL, &[9]); // 10⁻⁹ s
        self.end()?;
        self.snap_lens.push(interface.snap_len);
        Ok(InterfaceId(self.snap_lens.len() as u32 - 1))
    }

    /// Writes a packet's bytes as they are.
    pub fn write(
        &mut self,
        interface: InterfaceId,
        at: Instant,
        direction: Option<Direction>,
        bytes: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let snap_len = match self.snap_lens.get(interface.0 as usize) {
            Some(0) => usize::MAX,
            Some(&len) => len as usize,
            None => return Err(io::Error::other("the interface belongs to another capture file")),
        };
        let captured = &bytes[..bytes.len().min(snap_len)];
        let since_epoch = self.epoch + Duration::from_nanos(at.as_nanos());
        let ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.begin(ENHANCED_PACKET);
        self.put(&interface.0.to_le_bytes());
        self.put(&((ns >> 32) as u32).to_le_bytes());
        self.put(&(ns as u32).to_le_bytes());
        self.put(&(captured.len() as u32).to_le_bytes());
        self.put(&(bytes.len() as u32).to_le_bytes());
        self.put(captured);
        self.pad();
        if let Some(direction) = direction {
            let flags: u32 = if direction == Direction::In { 1 } else { 2 };
            self.option(EPB_FLAGS, &flags.to_le_bytes());
        }
        if let Some(comment) = comment {
            self.option(OPT_COMMENT, comment.as_bytes());
        }
        self.end()
    }

    /// Writes a packet as a real wire would carry it: a GSO packet is cut into frames, and partial checksums are filled in.
    /// The packet must start at what the interface's link type says.
    pub fn write_pkt(
        &mut self,
        interface: InterfaceId,
        at: Instant,
        direction: Option<Direction>,
        pkt: &Pkt,
        comment: Option<&str>,
    ) -> io::Result<()> {
        for mut frame in gso::cut(Box::new(pkt.clone())) {
            checksum::fill_checksum(&mut frame);
            frame.linearize();
            self.write(interface, at, direction, frame.data(), comment)?;
        }
        Ok(())
    }

    /// Hands buffered bytes on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the file and gives the writer back.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.put(&kind.to_le_bytes());
        self.put(&[0; 4]); // the length, when it is known
    }

    fn put(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.put(&code.to_le_bytes());
        self.put(&(value.len() as u16).to_le_bytes());
        self.put(value);
        self.pad();
    }

    fn end(&mut self) -> io::Result<()> {
        self.put(&OPT_END.to_le_bytes());
        self.put(&[0; 2]);
        let len = (self.block.len() as u32 + 4).to_le_bytes();
        self.block[4..8].copy_from_slice(&len);
        self.put(&len);
        self.out.write_all(&self.block)
    }
}
