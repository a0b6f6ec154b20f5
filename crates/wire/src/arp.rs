//! ARP for Ethernet and IPv4 (RFC 826).
//!
//! ```text
//! | hardware 1 | protocol 0800 | 6 | 4 | operation | sender MAC | sender IP | target MAC | target IP |
//! ```

use std::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ethernet::ETHERTYPE_IPV4;
use crate::{MacAddr, WireError};

/// Bytes of an ARP packet for Ethernet and IPv4.
pub const PACKET_LEN: usize = 28;
const HARDWARE_ETHERNET: u16 = 1;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Packet {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender_ip: [u8; 4],
    target_mac: MacAddr,
    target_ip: [u8; 4],
}

/// What an ARP packet wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum ArpOperation {
    /// Who has the target's IP address?
    Request = 1,
    /// The sender has its IP address at its MAC address.
    Reply = 2,
}

/// An ARP packet for Ethernet and IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArpRepr {
    /// Request or reply.
    pub operation: ArpOperation,
    /// The sender's Ethernet address.
    pub sender_mac: MacAddr,
    /// The sender's IPv4 address (0.0.0.0 in a probe, RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// The target's Ethernet address (zero in a request).
    pub target_mac: MacAddr,
    /// The target's IPv4 address.
    pub target_ip: Ipv4Addr,
}

impl ArpRepr {
    /// Reads the packet, and how long it is. Other hardware, protocols and operations are refused.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let (p, _) = Packet::ref_from_prefix(bytes).map_err(|_| WireError::Truncated)?;
        if p.hardware.get() != HARDWARE_ETHERNET {
            return Err(WireError::Field(0));
        }
        if p.protocol.get() != ETHERTYPE_IPV4 {
            return Err(WireError::Field(2));
        }
        if p.hardware_len != 6 || p.protocol_len != 4 {
            return Err(WireError::Length);
        }
        let operation = match p.operation.get() {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            _ => return Err(WireError::Field(6)),
        };
        let repr = Self {
            operation,
            sender_mac: p.sender_mac,
            sender_ip: p.sender_ip.into(),
            target_mac: p.target_mac,
            target_ip: p.target_ip.into(),
        };
        Ok((repr, PACKET_LEN))
    }

    /// Bytes that [`Self::emit`] writes.
    pub const fn header_len(&self) -> usize {
        PACKET_LEN
    }

    /// Writes the packet. Panics if `out` is shorter.
    pub fn emit(&self, out: &mut [u8]) {
        let p = Packet {
            hardware: HARDWARE_ETHERNET.into(),
            protocol: ETHERTYPE_IPV4.into(),
            hardware_len: 6,
            protocol_len: 4,
            operation: (self.operation as u16).into(),
            sender_mac: self.sender_mac,
            sender_ip: self.sender_ip.octets(),
            target_mac: self.target_mac,
            target_ip: self.target_ip.octets(),
        };
        out[..PACKET_LEN].copy_from_slice(p.as_bytes());
    }

    /// The reply to this request, from the station `mac` that has the target's address.
    pub const fn reply(&self, mac: MacAddr) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }
}
