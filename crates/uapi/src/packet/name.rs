//! `struct sockaddr_ll { u16 family; be16 protocol; int ifindex; u16 hatype; u8 pkttype, halen, addr[8]; }`.

use netspace_base::DevId;
use netspace_stack::packet::{Frame, LinkAddr};

use crate::bytes_at::{array, u16_at, u32_at};
use crate::errno::{EINVAL, Errno};

/// Bytes of a `sockaddr_ll`.
pub const NAME_LEN: usize = 20;
/// The least that names a device: up to the address.
const MIN_LEN: usize = 12;
const MAC_LEN: u8 = 6;

/// Reads the address of a bind(2) or sendto(2).
pub fn parse_name(bytes: &[u8]) -> Result<LinkAddr, Errno> {
    let family = u16_at(bytes, 0).ok_or(EINVAL)?;
    if bytes.len() < MIN_LEN || i32::from(family) != libc::AF_PACKET {
        return Err(EINVAL);
    }
    let protocol = u16::from_be_bytes(array(bytes, 2).ok_or(EINVAL)?);
    let dev = DevId(u32_at(bytes, 4).ok_or(EINVAL)?);
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(&bytes[MIN_LEN..]) {
        *to = *from;
    }
    Ok(LinkAddr { dev, protocol, mac })
}

fn emit(protocol: u16, dev: DevId, link_type: u16, pkt_type: u8, mac: Option<[u8; 6]>) -> [u8; NAME_LEN] {
    let mut out = [0; NAME_LEN];
    out[0..2].copy_from_slice(&(libc::AF_PACKET as u16).to_ne_bytes());
    out[2..4].copy_from_slice(&protocol.to_be_bytes());
    out[4..8].copy_from_slice(&dev.0.to_ne_bytes());
    out[8..10].copy_from_slice(&link_type.to_ne_bytes());
    out[10] = pkt_type;
    if let Some(mac) = mac {
        out[11] = MAC_LEN;
        out[12..18].copy_from_slice(&mac);
    }
    out
}

/// What getsockname(2) gives: a socket of no device has neither link nor address.
pub fn emit_name((name, link_type): &(LinkAddr, u16)) -> [u8; NAME_LEN] {
    emit(name.protocol, name.dev, *link_type, 0, (name.dev != DevId::NONE).then_some(name.mac))
}

/// Who sent a frame, as recvfrom(2) tells it.
pub fn emit_sender(frame: &Frame) -> [u8; NAME_LEN] {
    emit(frame.protocol, frame.dev, frame.link_type, frame.pkt_type.number(), Some(frame.source))
}
