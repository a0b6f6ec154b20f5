//! `SOL_PACKET`: the options' numbers, and their values in words.

use netspace_base::DevId;
use netspace_stack::packet::{FanoutFlags, FanoutMode, Member, MemberKind};

use super::ring::Version;
use crate::bytes_at::{array, i32_at, u16_at, u32_at};
use crate::errno::{EINVAL, ENOPROTOOPT, Errno};

/// The level of packet sockets' own options.
pub const SOL_PACKET: i32 = 263;

pub(super) const PACKET_ADD_MEMBERSHIP: i32 = 1;
pub(super) const PACKET_DROP_MEMBERSHIP: i32 = 2;
pub(super) const PACKET_RX_RING: i32 = 5;
pub(super) const PACKET_STATISTICS: i32 = 6;
pub(super) const PACKET_COPY_THRESH: i32 = 7;
pub(super) const PACKET_AUXDATA: i32 = 8;
pub(super) const PACKET_ORIGDEV: i32 = 9;
pub(super) const PACKET_VERSION: i32 = 10;
pub(super) const PACKET_HDRLEN: i32 = 11;
pub(super) const PACKET_RESERVE: i32 = 12;
pub(super) const PACKET_TX_RING: i32 = 13;
pub(super) const PACKET_LOSS: i32 = 14;
pub(super) const PACKET_VNET_HDR: i32 = 15;
pub(super) const PACKET_TX_TIMESTAMP: i32 = 16;
pub(super) const PACKET_TIMESTAMP: i32 = 17;
pub(super) const PACKET_FANOUT: i32 = 18;
pub(super) const PACKET_QDISC_BYPASS: i32 = 20;
pub(super) const PACKET_IGNORE_OUTGOING: i32 = 23;

/// What a setsockopt call asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Join(Member),
    Leave(Member),
    Version(Version),
    Reserve(usize),
    Fanout(u16, FanoutMode, FanoutFlags),
    IgnoreOutgoing(bool),
    /// A switch or number that is kept and told.
    Keep(i32),
}

/// Reads the value of an option but for the rings'.
pub(super) fn read(number: i32, bytes: &[u8]) -> Result<Asked, Errno> {
    let int = || i32_at(bytes, 0).ok_or(EINVAL);
    Ok(match number {
        PACKET_ADD_MEMBERSHIP => member(bytes)?.map_or(Asked::Keep(0), Asked::Join),
        PACKET_DROP_MEMBERSHIP => member(bytes)?.map_or(Asked::Keep(0), Asked::Leave),
        PACKET_VERSION => Asked::Version(Version::of(int()? as u32).ok_or(EINVAL)?),
        PACKET_RESERVE => Asked::Reserve(usize::try_from(int()?).map_err(|_| EINVAL)?),
        PACKET_FANOUT => fanout(int()? as u32)?,
        PACKET_IGNORE_OUTGOING => match int()? {
            value @ (0 | 1) => Asked::IgnoreOutgoing(value == 1),
            _ => return Err(EINVAL),
        },
        PACKET_AUXDATA | PACKET_ORIGDEV | PACKET_LOSS | PACKET_QDISC_BYPASS => {
            Asked::Keep(i32::from(int()? != 0))
        }
        PACKET_COPY_THRESH | PACKET_TX_TIMESTAMP | PACKET_TIMESTAMP => Asked::Keep(int()?),
        _ => return Err(ENOPROTOOPT),
    })
}

/// `struct packet_mreq { int ifindex; u16 type, alen; u8 address[8]; }`.
fn member(bytes: &[u8]) -> Result<Option<Member>, Errno> {
    const MAC_LEN: u16 = 6;
    let dev = DevId(u32_at(bytes, 0).ok_or(EINVAL)?);
    let (ty, len) = (u16_at(bytes, 4).ok_or(EINVAL)?, u16_at(bytes, 6).ok_or(EINVAL)?);
    let mac = || if len == MAC_LEN { array(bytes, 8).ok_or(EINVAL) } else { Err(EINVAL) };
    let kind = match ty {
        0 => MemberKind::Multicast(mac()?),
        1 => MemberKind::Promiscuous,
        2 => MemberKind::AllMulticast,
        3 => MemberKind::Unicast(mac()?),
        // Linux keeps what it does not know, without effect.
        _ => return Ok(None),
    };
    Ok(Some(Member { dev, kind }))
}

/// Group in the low half, mode and flags in the high one.
fn fanout(value: u32) -> Result<Asked, Errno> {
    let mode = match value >> 16 & 0xff {
        0 => FanoutMode::Hash,
        1 => FanoutMode::LoadBalance,
        2 => FanoutMode::Cpu,
        3 => FanoutMode::Rollover,
        4 => FanoutMode::Random,
        5 => FanoutMode::Queue,
        // Programs that choose (6, 7).
        _ => return Err(EINVAL),
    };
    let flags = FanoutFlags::from_bits((value >> 16) as u16 & 0xff00).ok_or(EINVAL)?;
    Ok(Asked::Fanout(value as u16, mode, flags))
}
