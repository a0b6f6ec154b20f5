//! Reading netlink messages: headers, attributes, and policies for them.
//!
//! ```text
//! struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; }   family header   attributes…
//! struct nlattr   { u16 len; u16 type; }  data  padding to 4
//! ```

use super::NlError;
use crate::bytes_at::{array, c_str, u16_at, u32_at};

/// `sizeof(struct nlmsghdr)`.
pub const HEADER_LEN: usize = 16;
/// `sizeof(struct nlattr)`.
pub const ATTR_HEADER_LEN: usize = 4;
/// The bits of an attribute's type that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_MASK: u16 = 0x3fff;
/// How deeply attributes may nest before a walk gives up.
pub const MAX_NESTING: usize = 10;

/// Rounds up to netlink's alignment.
pub const fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// A message's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Length of the message, header included.
    pub len: u32,
    /// Type.
    pub ty: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// Sequence number, repeated in replies.
    pub seq: u32,
    /// The sender's port.
    pub pid: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            len: u32_at(bytes, 0)?,
            ty: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            seq: u32_at(bytes, 8)?,
            pid: u32_at(bytes, 12)?,
        })
    }
}

/// The messages in a datagram: each header with the whole message's bytes. Ends, as Linux does, at the first header whose
/// length is impossible (`iproute2` pads its requests with zeros).
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::read(rest)?;
        let len = header.len as usize;
        if len < HEADER_LEN || len > rest.len() {
            return None;
        }
        let message = &rest[..len];
        rest = rest.get(align(len)..).unwrap_or_default();
        Some((header, message))
    })
}

/// An attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr<'a> {
    /// Its type, without flags.
    pub ty: u16,
    /// Its value.
    pub data: &'a [u8],
    /// Where it starts in the message, for error reports.
    pub offset: usize,
}

impl<'a> Attr<'a> {
    /// The value as a number.
    pub fn u32(&self) -> Option<u32> {
        u32_at(self.data, 0)
    }

    /// The value as a small number.
    pub fn u8(&self) -> Option<u8> {
        self.data.first().copied()
    }

    /// The value as text.
    pub fn str(&self) -> Option<&'a str> {
        c_str(self.data)
    }

    /// The value as an address: 4 bytes or 16.
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        match self.data.len() {
            4 => array::<4>(self.data, 0).map(Into::into),
            16 => array::<16>(self.data, 0).map(Into::into),
            _ => None,
        }
    }

    /// The attributes inside.
    pub fn nested(&self) -> impl Iterator<Item = Attr<'a>> + use<'a> {
        attrs(self.data, self.offset + ATTR_HEADER_LEN)
    }
}

/// The attributes in `bytes`, which start at `offset` of their message. Ends at the first whose length is impossible.
pub fn attrs(mut rest: &[u8], mut offset: usize) -> impl Iterator<Item = Attr<'_>> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let ty = u16_at(rest, 2)? & TYPE_MASK;
        if len < ATTR_HEADER_LEN || len > rest.len() {
            return None;
        }
        let attr = Attr { ty, data: &rest[ATTR_HEADER_LEN..len], offset };
        rest = rest.get(align(len)..).unwrap_or_default();
        offset += align(len);
        Some(attr)
    })
}

/// What a policy asks of an attribute's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// At least one byte.
    U8,
    /// At least two bytes.
    U16,
    /// At least four bytes.
    U32,
    /// Text of at most so many bytes before its NUL.
    Text(usize),
    /// An address: 4 or 16 bytes.
    Ip,
    /// So many bytes, at least and at most.
    Bytes(usize, usize),
    /// Attributes inside.
    Nested,
    /// Anything.
    Any,
}

/// Which attributes a message knows.
pub type Policy = &'static [(u16, Kind)];

/// A message's attributes, checked by a policy. Of several of one type the last counts, as in the kernel.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    found: Vec<Attr<'a>>,
}

impl<'a> Attrs<'a> {
    /// Reads the attributes of a message behind its family header of `header_len` bytes. `strict` refuses unknown types
    /// and what is left over behind the last (`NETLINK_GET_STRICT_CHK`; requests that change something leave them).
    pub fn read(message: &'a [u8], header_len: usize, policy: Policy, strict: bool) -> Result<Self, NlError> {
        let start = HEADER_LEN + align(header_len);
        let bytes = message.get(start..).unwrap_or_default();
        let mut found = Vec::new();
        let mut end = start;
        for attr in attrs(bytes, start) {
            end = attr.offset + align(ATTR_HEADER_LEN + attr.data.len());
            match policy.iter().find(|(ty, _)| *ty == attr.ty) {
                Some((_, kind)) => check(&attr, *kind)?,
                None if strict => {
                    return Err(NlError::new(libc::EINVAL, "Unknown attribute type").at(attr.offset));
                }
                None => continue,
            }
            found.push(attr);
        }
        if strict && end < message.len() {
            return Err(NlError::new(libc::EINVAL, "bytes leftover after parsing attributes"));
        }
        Ok(Self { found })
    }

    /// The attribute of that type.
    pub fn get(&self, ty: u16) -> Option<&Attr<'a>> {
        self.found.iter().rev().find(|attr| attr.ty == ty)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Attr<'a>> {
        self.found.iter()
    }

    /// A number by its type.
    pub fn u32(&self, ty: u16) -> Option<u32> {
        self.get(ty)?.u32()
    }

    /// A text by its type.
    pub fn str(&self, ty: u16) -> Option<&'a str> {
        self.get(ty)?.str()
    }

    /// An address by its type.
    pub fn ip(&self, ty: u16) -> Option<std::net::IpAddr> {
        self.get(ty)?.ip()
    }
}

fn check(attr: &Attr<'_>, kind: Kind) -> Result<(), NlError> {
    let len = attr.data.len();
    let ok = match kind {
        Kind::U8 => len >= 1,
        Kind::U16 => len >= 2,
        Kind::U32 => len >= 4,
        Kind::Text(max) => attr.data.iter().position(|&b| b == 0).unwrap_or(len) <= max,
        Kind::Ip => len == 4 || len == 16,
        Kind::Bytes(min, max) => (min..=max).contains(&len),
        Kind::Nested => len == 0 || len >= ATTR_HEADER_LEN,
        Kind::Any => true,
    };
    if ok {
        return Ok(());
    }
    Err(NlError::new(libc::ERANGE, "Attribute failed policy validation").at(attr.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attr(ty: u16, data: &[u8]) -> Vec<u8> {
        let mut out = ((ATTR_HEADER_LEN + data.len()) as u16).to_ne_bytes().to_vec();
        out.extend(ty.to_ne_bytes());
        out.extend(data);
        out.resize(align(out.len()), 0);
        out
    }

    #[test]
    fn attributes_end_at_the_first_impossible_length() {
        let bytes = [attr(1, b"abc"), attr(0x8002, &attr(5, &[7])), vec![3, 0, 9, 0]].concat();
        let all: Vec<_> = attrs(&bytes, 16).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].ty, all[0].data, all[0].offset), (1, &b"abc"[..], 16));
        assert_eq!((all[1].ty, all[1].offset), (2, 24));
        assert_eq!(all[1].nested().next().map(|a| (a.ty, a.data[0], a.offset)), Some((5, 7, 28)));
    }

    #[test]
    fn policies_check_lengths_and_strictness() {
        const POLICY: Policy = &[(1, Kind::Text(3)), (2, Kind::U32)];
        let message = |attrs: &[u8]| [&[0; HEADER_LEN][..], attrs].concat();
        let error = |bytes: &[u8], strict| {
            Attrs::read(bytes, 0, POLICY, strict).map(|_| ()).map_err(|e| (e.errno, e.offset))
        };
        assert_eq!(error(&message(&attr(1, b"abc\0")), true), Ok(()));
        assert_eq!(error(&message(&attr(1, b"abcd")), false), Err((libc::ERANGE, Some(16))));
        assert_eq!(error(&message(&attr(2, &[1])), false), Err((libc::ERANGE, Some(16))));
        assert_eq!(error(&message(&attr(9, &[1])), false), Ok(()));
        assert_eq!(error(&message(&attr(9, &[1])), true), Err((libc::EINVAL, Some(16))));
        assert_eq!(error(&message(&[1, 0, 0, 0]), true), Err((libc::EINVAL, None)));
        let twice = message(&[attr(2, &1u32.to_ne_bytes()), attr(2, &2u32.to_ne_bytes())].concat());
        assert_eq!(Attrs::read(&twice, 0, POLICY, true).expect("reads").u32(2), Some(2));
    }
}
