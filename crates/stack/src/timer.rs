//! What a namespace's timers can be about.

use netspace_base::DevId;

use crate::ip::state::FragKey4;
use crate::ip6::state::FragKey6;
use crate::neigh::NeighId;
use crate::sock::SockTimer;

/// What is due when a timer of [`crate::Netns`] fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerKey {
    /// A neighbour's state machine goes on.
    Neigh(NeighId),
    /// Unused neighbours are thrown away.
    NeighGc,
    /// An incomplete IPv4 packet is given up.
    Frag4(FragKey4),
    /// An incomplete IPv6 packet is given up.
    Frag6(FragKey6),
    /// Old entries of a bridge's forwarding database are thrown away.
    BridgeAge(DevId),
    /// Duplicate address detection on a device goes on.
    Dad(DevId),
    /// Addresses and routes learnt from router advertisements run out.
    Lifetimes,
    /// A host asks for router advertisements.
    RouterSolicit(DevId),
    /// A router advertises itself.
    RouterAdvert(DevId),
    /// Unsolicited IPv4 membership reports are due.
    Igmp(DevId),
    /// Unsolicited IPv6 membership reports are due.
    Mld(DevId),
    /// A socket's timer.
    Sock(SockTimer),
}
