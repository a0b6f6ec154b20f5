//! Packet sockets (packet(7)): frames as devices receive and send them, given to programs, and frames of theirs sent.
//!
//! ```text
//! dev::receive ─┬─ deliver::all ──▶ sockets of ETH_P_ALL            (before the bridge, as the frame came)
//!               └─ deliver::typed ▶ sockets of one EtherType        (what the device itself takes)
//! dev::send ────── deliver::all ──▶ sockets of ETH_P_ALL, but for the frame's own sender
//! program ─ api::packet_send ─────▶ dev::send
//! ```
//! | file | what |
//! |---|---|
//! | `state` | the sockets: names, filters, queues, counts |
//! | `fanout` | groups of sockets that share what arrives (`PACKET_FANOUT`) |
//! | `deliver` | who gets a frame, and how much of it |
//! | `api` | the calls |
//!
//! A frame that nobody watches costs one branch. Rings (`PACKET_RX_RING`) and control messages are the door's: here a frame is
//! a value that keeps the packet's shared payload.

mod api;
pub(crate) mod deliver;
mod fanout;
mod state;

pub use fanout::{FanoutFlags, FanoutMode};
pub use state::{
    Frame, LinkAddr, MAX_SOCKETS, Member, MemberKind, PacketInfo, PacketSockets, PacketStats, PacketType,
};

slotmap::new_key_type! {
    /// Names a packet socket within its namespace; stale names are refused.
    pub struct PacketId;
}

/// `ETH_P_ALL`: every EtherType, and what is sent, too.
pub const ETH_P_ALL: u16 = 3;
/// `ETH_P_802_2`: frames with a length instead of an EtherType (IEEE 802.3 with LLC).
pub const ETH_P_802_2: u16 = 4;
/// `ARPHRD_ETHER`.
pub const ARPHRD_ETHER: u16 = 1;
/// `ARPHRD_LOOPBACK`.
pub const ARPHRD_LOOPBACK: u16 = 772;
