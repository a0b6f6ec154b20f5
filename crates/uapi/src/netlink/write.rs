//! Writing netlink messages.

use std::net::IpAddr;

use super::read::{ATTR_HEADER_LEN, HEADER_LEN, align};

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Builds one message. Lengths are filled in as it grows, so that it is well-formed at any time.
#[derive(Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A message with nothing behind its header.
    pub fn new(ty: u16, flags: u16, seq: u32, pid: u32) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend((HEADER_LEN as u32).to_ne_bytes());
        bytes.extend(ty.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(seq.to_ne_bytes());
        bytes.extend(pid.to_ne_bytes());
        Self { bytes }
    }

    /// Sets more flags in the header.
    pub fn add_flags(&mut self, flags: u16) {
        let old = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]);
        self.bytes[6..8].copy_from_slice(&(old | flags).to_ne_bytes());
    }

    /// Adds plain bytes: the family's header.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self
    }

    /// Adds an attribute. One longer than an attribute can be is left out.
    pub fn attr(&mut self, ty: u16, data: &[u8]) -> &mut Self {
        if let Ok(len) = u16::try_from(ATTR_HEADER_LEN + data.len()) {
            self.bytes.extend(len.to_ne_bytes());
            self.bytes.extend(ty.to_ne_bytes());
            self.bytes.extend_from_slice(data);
            self.pad();
        }
        self
    }

    /// Adds a byte.
    pub fn u8(&mut self, ty: u16, value: u8) -> &mut Self {
        self.attr(ty, &[value])
    }

    /// Adds a 16-bit number.
    pub fn u16(&mut self, ty: u16, value: u16) -> &mut Self {
        self.attr(ty, &value.to_ne_bytes())
    }

    /// Adds a number.
    pub fn u32(&mut self, ty: u16, value: u32) -> &mut Self {
        self.attr(ty, &value.to_ne_bytes())
    }

    /// Adds a text with its NUL.
    pub fn text(&mut self, ty: u16, text: &str) -> &mut Self {
        let mut data = text.as_bytes().to_vec();
        data.push(0);
        self.attr(ty, &data)
    }

    /// Adds an address.
    pub fn ip(&mut self, ty: u16, addr: IpAddr) -> &mut Self {
        match addr {
            IpAddr::V4(v4) => self.attr(ty, &v4.octets()),
            IpAddr::V6(v6) => self.attr(ty, &v6.octets()),
        }
    }

    /// Adds an attribute with attributes inside; `flagged` marks it so (newer families do).
    pub fn nest(&mut self, ty: u16, flagged: bool, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((if flagged { ty | NESTED } else { ty }).to_ne_bytes());
        inside(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(len) => self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.bytes.truncate(start),
        }
        self.set_len();
        self
    }

    /// How long it is so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing (never: the header is always there).
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes, padded.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn pad(&mut self) {
        let len = align(self.bytes.len());
        self.bytes.resize(len, 0);
        self.set_len();
    }

    fn set_len(&mut self) {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::{attrs, messages};
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut message = Message::new(16, 2, 7, 9);
        message.raw(&[1, 2, 3, 4]).text(3, "lo").nest(26, true, |m| {
            m.u32(1, 5).u8(2, 6);
        });
        let bytes = message.into_bytes();
        let (header, whole) = messages(&bytes).next().expect("one message");
        assert_eq!(
            (header.len as usize, header.ty, header.flags, header.seq, header.pid),
            (bytes.len(), 16, 2, 7, 9)
        );
        let all: Vec<_> = attrs(&whole[20..], 20).collect();
        assert_eq!(all[0].str(), Some("lo"));
        assert_eq!(all[1].nested().map(|a| a.ty).collect::<Vec<_>>(), [1, 2]);
    }
}
