//! Packet sockets as programs see them (packet(7)): addresses, options, control messages, rings.
//!
//! ```text
//! setsockopt ─▶ PacketSocket::set ─▶ Netns::packet_… | Changed::Rings: memory is to be made
//! recvmsg    ◀─ emit_name, control ◀─ Frame ◀─ Netns::packet_recv
//! mmap       ◀─ RxRing::push ◀────── Frame                        TxRing::take ─▶ Netns::packet_send
//! ```
//! A ring's memory is shared with the program; whoever holds it lends it as [`Memory`].

mod control;
mod name;
mod option;
mod ring;
mod socket;

pub use control::control;
pub use name::{NAME_LEN, emit_name, emit_sender, parse_name};
pub use option::SOL_PACKET;
pub use ring::{Geometry, Memory, RxRing, TxRing, Version};
pub use socket::{Changed, PacketSocket};
