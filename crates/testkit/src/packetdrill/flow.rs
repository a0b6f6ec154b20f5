//! A connection under test: script numbers and those on the wire.
//!
//! The host draws its initial sequence number, its timestamps and (with connect) its port; the script counts from 0 and
//! writes whatever timestamps it likes. The remote side is the script's own: its numbers go onto the wire as written.

use std::collections::BTreeMap;

use netspace_wire::tcp::TcpFlags;

use super::script::{Segment, TcpOpt};
use super::wire::TcpSeen;

/// A connection, or the two ends of datagrams.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pub(super) udp: bool,
    /// The host's port; 0 until a packet shows it.
    pub(super) local_port: u16,
    pub(super) remote_port: u16,
    /// The ports by which the script tells this connection from others: (local, remote).
    pub(super) script_ports: Option<(u16, u16)>,
    /// The socket's descriptor in the script.
    pub(super) fd: Option<i32>,
    /// The program has closed it.
    pub(super) closed: bool,
    /// What is to be added to the script's number to get the wire's.
    offset: Option<u32>,
    /// Timestamps seen: script's → wire's.
    timestamps: BTreeMap<u32, u32>,
    first_timestamp: Option<(u32, u32)>,
}

impl Flow {
    /// A connection whose numbers are not known yet.
    pub(super) fn new(udp: bool, local_port: u16, remote_port: u16) -> Self {
        Self { udp, local_port, remote_port, ..Self::default() }
    }

    /// The wire's number for one of the host's in the script.
    pub(super) fn to_wire(&self, seq: u32) -> u32 {
        seq.wrapping_add(self.offset.unwrap_or(0))
    }

    /// The script's number for one of the host's on the wire.
    pub(super) fn to_script(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.offset.unwrap_or(0))
    }

    /// Learns from a segment that the host has sent, expected as `expected`: where its numbers start.
    pub(super) fn learn(&mut self, actual: &TcpSeen, expected: &Segment) {
        if self.offset.is_none() || actual.flags.contains(TcpFlags::SYN) {
            self.offset = Some(actual.seq.wrapping_sub(expected.seq));
        }
    }

    /// Learns which timestamp on the wire stands for which of the script.
    pub(super) fn learn_timestamp(&mut self, actual: &TcpSeen, expected: &Segment) {
        let (Some(wire), Some(script)) =
            (value(&actual.options), value(expected.options.as_deref().unwrap_or(&[])))
        else {
            return;
        };
        if actual.flags.contains(TcpFlags::SYN) && self.timestamps.is_empty() {
            self.first_timestamp = Some((script, wire));
        }
        self.first_timestamp.get_or_insert((script, wire));
        self.timestamps.insert(script, wire);
    }

    /// The timestamp to echo on the wire for the one that the script echoes.
    fn echo_to_wire(&self, echo: u32, scaled: bool) -> u32 {
        if let (Some(wire), false) = (self.timestamps.get(&echo), scaled) {
            return *wire;
        }
        match self.first_timestamp {
            Some((script, wire)) if echo != 0 => wire.wrapping_add(echo.wrapping_sub(script)),
            _ => echo,
        }
    }

    /// Ticks between a segment's timestamp and the first seen: on the wire, and in the script.
    pub(super) fn ticks(&self, actual: &TcpSeen, expected: &Segment) -> Option<(u32, u32)> {
        let (script, wire) = self.first_timestamp?;
        let expected = value(expected.options.as_deref()?)?;
        Some((value(&actual.options)?.wrapping_sub(wire), expected.wrapping_sub(script)))
    }

    /// The segment to put onto the wire for one of the script's.
    pub(super) fn inbound(&self, segment: &Segment, scaled: bool) -> TcpSeen {
        let mut options = segment.options.clone().unwrap_or_default();
        for option in &mut options {
            match option {
                TcpOpt::Timestamps(_, echo) => *echo = self.echo_to_wire(*echo, scaled),
                TcpOpt::Sack(blocks) => {
                    for (start, end) in blocks {
                        (*start, *end) = (self.to_wire(*start), self.to_wire(*end));
                    }
                }
                _ => {}
            }
        }
        TcpSeen {
            src_port: self.remote_port,
            dst_port: self.local_port,
            seq: segment.seq,
            ack: segment.ack.map_or(0, |ack| self.to_wire(ack)),
            flags: segment.flags,
            window: segment.window.unwrap_or(0),
            urgent: segment.urgent.unwrap_or(0),
            options,
            len: segment.len,
        }
    }

    /// A segment of the host in the script's numbers. Timestamps that the script has not named stay as on the wire, unless
    /// `expected` names this one.
    pub(super) fn outbound(&self, actual: &TcpSeen, expected: Option<&Segment>) -> Segment {
        let mut options = actual.options.clone();
        let named = expected.and_then(|e| value(e.options.as_deref()?));
        for option in &mut options {
            if let (TcpOpt::Timestamps(value, _), Some(named)) = (option, named) {
                *value = named;
            }
        }
        let has = |flag| actual.flags.contains(flag);
        Segment {
            ports: None,
            flags: actual.flags,
            seq: self.to_script(actual.seq),
            len: actual.len,
            ack: has(TcpFlags::ACK).then_some(actual.ack),
            window: Some(actual.window),
            urgent: has(TcpFlags::URG).then_some(actual.urgent),
            options: Some(options),
        }
    }
}

/// The value of the timestamps option.
fn value(options: &[TcpOpt]) -> Option<u32> {
    options.iter().find_map(|option| match option {
        TcpOpt::Timestamps(value, _) => Some(*value),
        _ => None,
    })
}
