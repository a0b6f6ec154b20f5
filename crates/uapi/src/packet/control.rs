//! Control messages with a frame: `PACKET_AUXDATA`, timestamps.

use std::time::Duration;

use netspace_stack::packet::Frame;

use super::option::{PACKET_AUXDATA, SOL_PACKET};
use super::ring::status_of;
use super::socket::PacketSocket;
use crate::cmsg::{Buffer, put_moment};

/// The control messages that a socket's options ask for, at most `room` bytes, and whether some were cut (`MSG_CTRUNC`).
/// `epoch` is the wall clock's time at the lab's start.
pub fn control(socket: &PacketSocket, frame: &Frame, epoch: Duration, room: usize) -> (Vec<u8>, bool) {
    let mut buffer = Buffer::new(room);
    let at = epoch + Duration::from_nanos(frame.at.as_nanos());
    put_moment(&mut buffer, at, socket.timestamp_ns, socket.timestamp);
    if socket.auxdata {
        // struct tpacket_auxdata { u32 status, len, snaplen; u16 mac, net, vlan_tci, vlan_tpid; }
        let mut data = [0; 20];
        data[0..4].copy_from_slice(&status_of(frame).to_ne_bytes());
        data[4..8].copy_from_slice(&(frame.len as u32).to_ne_bytes());
        data[8..12].copy_from_slice(&(frame.captured() as u32).to_ne_bytes());
        data[14..16].copy_from_slice(&(frame.network as u16).to_ne_bytes());
        buffer.put(SOL_PACKET, PACKET_AUXDATA, &data);
    }
    buffer.finish()
}
