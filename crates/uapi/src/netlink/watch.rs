//! Notifications for the members of multicast groups (`ip monitor`): what has changed since the last look.
//!
//! The stack keeps no list of its changes. While a socket is in a group, what the group tells about is taken down as a
//! dump would show it, and compared with the last time; what differs goes out as `RTM_NEW…`, what is gone as `RTM_DEL…`.
//! Several changes of one thing between two looks become one.

use std::collections::{BTreeMap, BTreeSet};

use netspace_stack::{Netns, Turn};

use super::read::{HEADER_LEN, Header, align, attrs, messages};
use super::route::rtm;
use super::write::Message;
use super::{Replies, Request, flag, route};

/// A group: its number, what is dumped for it, and how its messages are told apart.
struct Group {
    /// `RTNLGRP_*`.
    number: u32,
    /// The type that asks for a dump.
    get: u16,
    /// The family dumped.
    family: u8,
    /// Bytes of the family's header.
    header_len: usize,
    /// Bytes of the header, and attributes, that name a thing; none: all of it names it.
    name: Option<(std::ops::Range<usize>, &'static [u16])>,
    /// Attributes that change by themselves: times, counts.
    volatile: &'static [u16],
}

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;

const fn group(number: u32, get: u16, family: u8, header_len: usize, volatile: &'static [u16]) -> Group {
    Group { number, get, family, header_len, name: None, volatile }
}

/// Links, neighbours, addresses, routes and rules.
static GROUPS: &[Group] = &[
    Group { name: Some((4..8, &[])), ..group(1, rtm::GETLINK, 0, 16, &[]) },
    Group { name: Some((0..8, &[1])), ..group(3, rtm::GETNEIGH, 0, 12, &[3, 4]) },
    Group { name: Some((0..2, &[1, 2])), ..group(5, rtm::GETADDR, AF_INET, 8, &[6]) },
    Group { name: Some((0..2, &[1, 2])), ..group(9, rtm::GETADDR, AF_INET6, 8, &[6]) },
    group(7, rtm::GETROUTE, AF_INET, 12, &[12]),
    group(11, rtm::GETROUTE, AF_INET6, 12, &[12]),
    group(8, rtm::GETRULE, AF_INET, 12, &[]),
    group(19, rtm::GETRULE, AF_INET6, 12, &[]),
];

/// The group of neighbours: they change without a change of configuration.
const NEIGHBOURS: u32 = 3;

/// One thing: what is compared, and the message that tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Thing {
    compared: Vec<u8>,
    message: Vec<u8>,
}

/// What a socket was last told.
#[derive(Debug, Default)]
pub(super) struct Watch {
    generation: Option<u64>,
    /// By position in [`GROUPS`] and name.
    seen: BTreeMap<(usize, Vec<u8>), Thing>,
    /// The groups that were looked at: a new one starts with what there is.
    groups: BTreeSet<u32>,
}

impl Watch {
    /// The notifications since the last call, for the members of `groups`.
    pub(super) fn changes(&mut self, ns: &mut Netns, t: &mut Turn, groups: &BTreeSet<u32>) -> Vec<Vec<u8>> {
        let generation = Some(ns.config_generation());
        let same_groups = self.groups == *groups;
        if same_groups && self.generation == generation && !groups.contains(&NEIGHBOURS) {
            return Vec::new();
        }
        let mut now = BTreeMap::new();
        for (at, group) in GROUPS.iter().enumerate().filter(|(_, g)| groups.contains(&g.number)) {
            now.extend(look(ns, t, group).into_iter().map(|(name, thing)| ((at, name), thing)));
        }
        let told = |at: usize| self.groups.contains(&GROUPS[at].number);
        let gone = self
            .seen
            .iter()
            .rev()
            .filter(|(key, _)| !now.contains_key(*key) && groups.contains(&GROUPS[key.0].number));
        let gone = gone.map(|(_, thing)| retype(&thing.message, 1));
        let new = now.iter().filter(|(key, thing)| {
            told(key.0) && self.seen.get(*key).is_none_or(|old| old.compared != thing.compared)
        });
        let out = gone.chain(new.map(|(_, thing)| retype(&thing.message, 0))).collect();
        *self = Self { generation, seen: now, groups: groups.clone() };
        out
    }
}

/// All things of a group, by name.
fn look(ns: &mut Netns, t: &mut Turn, group: &Group) -> BTreeMap<Vec<u8>, Thing> {
    let mut ask = Message::new(group.get, flag::REQUEST | flag::DUMP, 0, 0);
    let mut header = vec![0; group.header_len];
    header[0] = group.family;
    ask.raw(&header);
    if group.get == rtm::GETLINK {
        route::skip_statistics(&mut ask);
    }
    let ask = ask.into_bytes();
    let Some((header, message)) = messages(&ask).next() else { return BTreeMap::new() };
    let request = Request { header, message, strict: false };
    let mut replies = Replies::new(&Header { seq: 0, ..header }, 0, false);
    let row = route::TABLE
        .iter()
        .find(|row| row.ty == group.get && (row.family == group.family || row.family == 0));
    if let Some(dump) = row.and_then(|row| row.dump) {
        // A dump without filters cannot fail.
        let _ = dump(ns, t, &request, &mut replies);
    }
    replies.messages.into_iter().map(|message| take_down(group, message.into_bytes())).collect()
}

fn take_down(group: &Group, message: Vec<u8>) -> (Vec<u8>, Thing) {
    let body = &message[HEADER_LEN..];
    let start = align(group.header_len);
    let mut compared = body[..group.header_len].to_vec();
    let mut name = group.name.as_ref().map(|(range, _)| body[range.clone()].to_vec()).unwrap_or_default();
    for attr in attrs(&body[start..], 0).filter(|attr| !group.volatile.contains(&attr.ty)) {
        let mut bytes = attr.ty.to_ne_bytes().to_vec();
        bytes.extend((attr.data.len() as u32).to_ne_bytes());
        bytes.extend(attr.data);
        if group.name.as_ref().is_some_and(|(_, named)| named.contains(&attr.ty)) {
            name.extend(&bytes);
        }
        compared.extend(bytes);
    }
    if group.name.is_none() {
        name.clone_from(&compared);
    }
    (name, Thing { compared, message })
}

/// The message with its type raised by `more`: `RTM_DEL…` is `RTM_NEW…` and one.
fn retype(message: &[u8], more: u16) -> Vec<u8> {
    let mut out = message.to_vec();
    let ty = u16::from_ne_bytes([out[4], out[5]]) + more;
    out[4..6].copy_from_slice(&ty.to_ne_bytes());
    out
}
