//! Options of neighbour-discovery messages (RFC 4861 §4.6, RFC 4191 §2.3, RFC 8106 §5).

use std::net::Ipv6Addr;

use smallvec::SmallVec;

use super::RouterPreference;
use crate::{MacAddr, WireError, array_at, u32_at};

const SOURCE_LLADDR: u8 = 1;
const TARGET_LLADDR: u8 = 2;
const PREFIX: u8 = 3;
const REDIRECTED: u8 = 4;
const MTU: u8 = 5;
const ROUTE: u8 = 24;
const RDNSS: u8 = 25;

/// Entries of one kind that are kept; more are ignored.
const ENTRIES_MAX: usize = 16;
/// Bytes of a redirected packet that are kept: what fits into the least MTU.
const REDIRECTED_MAX: usize = 1232;

/// A prefix of the link (RFC 4861 §4.6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrefixInfo {
    /// The prefix; bits beyond `prefix_len` mean nothing.
    pub prefix: Ipv6Addr,
    /// How many bits count, 0–128.
    pub prefix_len: u8,
    /// Addresses in it are on the link.
    pub on_link: bool,
    /// Hosts make addresses in it (SLAAC).
    pub autonomous: bool,
    /// How long addresses are valid, seconds; 0xffffffff: for ever.
    pub valid_s: u32,
    /// How long addresses are preferred, seconds; 0xffffffff: for ever.
    pub preferred_s: u32,
}

/// A route by the router (RFC 4191 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteInfo {
    /// The destination.
    pub prefix: Ipv6Addr,
    /// How many bits count, 0–128.
    pub prefix_len: u8,
    /// Its preference.
    pub preference: RouterPreference,
    /// How long it is valid, seconds.
    pub lifetime_s: u32,
}

/// The options of a message; unknown ones are passed over.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NdpOptions {
    /// The sender's link-layer address.
    pub source_lladdr: Option<MacAddr>,
    /// The target's link-layer address.
    pub target_lladdr: Option<MacAddr>,
    /// The link's MTU.
    pub mtu: Option<u32>,
    /// Prefixes of the link.
    pub prefixes: SmallVec<[PrefixInfo; 1]>,
    /// Routes by the router.
    pub routes: SmallVec<[RouteInfo; 0]>,
    /// Name servers and how long they may be used, seconds.
    pub dns_servers: SmallVec<[(Ipv6Addr, u32); 0]>,
    /// The start of the packet that caused a redirect.
    pub redirected: Vec<u8>,
}

impl NdpOptions {
    /// Reads options that start at offset `at` of the message. A length of 0, or one beyond the message, refuses the message
    /// (RFC 4861 §4.6); an option of a known kind with another length than it should have is passed over.
    pub(super) fn parse(mut bytes: &[u8], mut at: usize) -> Result<Self, WireError> {
        let mut options = Self::default();
        while !bytes.is_empty() {
            let len = bytes.get(1).map_or(0, |&n| usize::from(n) * 8);
            let (option, rest) =
                bytes.split_at_checked(len).filter(|_| len != 0).ok_or(WireError::Option(at as u16))?;
            options.take(option);
            bytes = rest;
            at += len;
        }
        Ok(options)
    }

    fn take(&mut self, option: &[u8]) {
        match (option[0], option.len()) {
            (SOURCE_LLADDR, 8) => self.source_lladdr = array_at(option, 2).map(MacAddr),
            (TARGET_LLADDR, 8) => self.target_lladdr = array_at(option, 2).map(MacAddr),
            (MTU, 8) => self.mtu = u32_at(option, 4),
            (PREFIX, 32) if self.prefixes.len() < ENTRIES_MAX => self.prefixes.extend(prefix(option)),
            (ROUTE, 8 | 16 | 24) if self.routes.len() < ENTRIES_MAX => self.routes.extend(route(option)),
            (RDNSS, 24..) if option.len() % 16 == 8 => {
                let lifetime = u32_at(option, 4).unwrap_or(0);
                let room = ENTRIES_MAX - self.dns_servers.len();
                let servers = option[8..].as_chunks::<16>().0.iter().take(room);
                self.dns_servers.extend(servers.map(|&addr| (Ipv6Addr::from(addr), lifetime)));
            }
            (REDIRECTED, 8..) => {
                let packet = &option[8..];
                self.redirected = packet[..packet.len().min(REDIRECTED_MAX)].to_vec();
            }
            _ => {}
        }
    }

    /// Bytes that [`Self::emit`] writes: a multiple of eight.
    pub(super) fn len(&self) -> usize {
        let mut len = 8
            * (usize::from(self.source_lladdr.is_some())
                + usize::from(self.target_lladdr.is_some())
                + usize::from(self.mtu.is_some()));
        len += 32 * self.prefixes.len();
        len += self.routes.iter().map(|r| route_len(r.prefix_len)).sum::<usize>();
        len += 24 * self.dns_servers.len();
        if !self.redirected.is_empty() {
            len += 8 + self.redirected_len();
        }
        len
    }

    /// The redirected packet's bytes that are written, padded to a multiple of eight.
    fn redirected_len(&self) -> usize {
        self.redirected.len().min(REDIRECTED_MAX).next_multiple_of(8)
    }

    pub(super) fn emit(&self, out: &mut [u8]) {
        let mut out = Out(out);
        for (kind, mac) in [(SOURCE_LLADDR, self.source_lladdr), (TARGET_LLADDR, self.target_lladdr)] {
            if let Some(mac) = mac {
                out.option(kind, 8)[2..].copy_from_slice(&mac.0);
            }
        }
        if let Some(mtu) = self.mtu {
            out.option(MTU, 8)[4..].copy_from_slice(&mtu.to_be_bytes());
        }
        for p in &self.prefixes {
            let option = out.option(PREFIX, 32);
            option[2] = p.prefix_len;
            option[3] = u8::from(p.on_link) << 7 | u8::from(p.autonomous) << 6;
            option[4..8].copy_from_slice(&p.valid_s.to_be_bytes());
            option[8..12].copy_from_slice(&p.preferred_s.to_be_bytes());
            option[16..].copy_from_slice(&p.prefix.octets());
        }
        for r in &self.routes {
            let option = out.option(ROUTE, route_len(r.prefix_len));
            option[2] = r.prefix_len;
            option[3] = r.preference.bits() << 3;
            option[4..8].copy_from_slice(&r.lifetime_s.to_be_bytes());
            let prefix_bytes = option.len() - 8;
            option[8..].copy_from_slice(&r.prefix.octets()[..prefix_bytes]);
        }
        for (addr, lifetime) in &self.dns_servers {
            let option = out.option(RDNSS, 24);
            option[4..8].copy_from_slice(&lifetime.to_be_bytes());
            option[8..].copy_from_slice(&addr.octets());
        }
        if !self.redirected.is_empty() {
            let len = self.redirected.len().min(REDIRECTED_MAX);
            let option = out.option(REDIRECTED, 8 + self.redirected_len());
            option[8..8 + len].copy_from_slice(&self.redirected[..len]);
        }
    }
}

struct Out<'a>(&'a mut [u8]);

impl Out<'_> {
    /// The next option, zeroed but for its kind and length.
    fn option(&mut self, kind: u8, len: usize) -> &mut [u8] {
        let (option, rest) = std::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        option.fill(0);
        option[0] = kind;
        option[1] = (len / 8) as u8;
        option
    }
}

fn prefix(option: &[u8]) -> Option<PrefixInfo> {
    let prefix_len = option[2];
    Some(PrefixInfo {
        prefix: array_at::<16>(option, 16)?.into(),
        prefix_len,
        on_link: option[3] & 0x80 != 0,
        autonomous: option[3] & 0x40 != 0,
        valid_s: u32_at(option, 4)?,
        preferred_s: u32_at(option, 8)?,
    })
    .filter(|_| prefix_len <= 128)
}

const fn route_len(prefix_len: u8) -> usize {
    match prefix_len {
        0 => 8,
        1..=64 => 16,
        _ => 24,
    }
}

fn route(option: &[u8]) -> Option<RouteInfo> {
    let prefix_len = option[2];
    if prefix_len > 128 || route_len(prefix_len) > option.len() {
        return None;
    }
    let mut octets = [0; 16];
    octets[..option.len() - 8].copy_from_slice(&option[8..]);
    // Bits beyond the length must be ignored (RFC 4191 §2.3).
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
    Some(RouteInfo {
        prefix: Ipv6Addr::from_bits(u128::from_be_bytes(octets) & mask),
        prefix_len,
        preference: RouterPreference::from_bits(option[3] >> 3),
        lifetime_s: u32_at(option, 4)?,
    })
}
