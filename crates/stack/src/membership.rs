//! Group memberships of a device: what IGMP (RFC 3376) and MLD (RFC 3810) hosts share.
//!
//! Who uses a group is counted; the first use and the last change what is reported, several times in case a report is
//! lost; queries are answered after a random delay.

use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_base::{Duration, Instant};
use netspace_wire::MacAddr;

/// A group's address, of either family.
pub trait GroupAddr: Copy + Eq {
    /// The group's Ethernet address.
    fn mac(self) -> [u8; 6];
}

impl GroupAddr for Ipv4Addr {
    fn mac(self) -> [u8; 6] {
        MacAddr::multicast_v4(self).0
    }
}

impl GroupAddr for Ipv6Addr {
    fn mac(self) -> [u8; 6] {
        MacAddr::multicast_v6(self).0
    }
}

/// Where an Ethernet address falls in the filter.
const fn filter_bit(mac: [u8; 6]) -> u64 {
    1 << ((mac[5] ^ mac[4].rotate_left(3) ^ mac[3].rotate_left(5)) & 63)
}

/// One group that is joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group<A> {
    /// The group.
    pub addr: A,
    /// How often it was joined.
    pub users: u32,
    /// The last report on the link came from here (older versions: only then a leave is sent).
    pub(crate) reporter: bool,
}

/// Something to report, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due<A> {
    /// The answer to a general query: all groups.
    All,
    /// The answer to a query about one group.
    One(A),
    /// A group was joined; more repetitions follow.
    Joined(A, u32),
    /// A group was left; more repetitions follow.
    Left(A, u32),
}

/// The groups of one device and family.
#[derive(Clone, Debug)]
pub struct Groups<A> {
    list: Vec<Group<A>>,
    /// A bit for each group's Ethernet address, as a network card's hash filter has: most frames are refused by it.
    filter: u64,
    due: Vec<(Instant, Due<A>)>,
    /// The newest version that queriers on the link speak, below the newest that there is, and until when that holds.
    older: Option<(u8, Instant)>,
}

impl<A> Default for Groups<A> {
    fn default() -> Self {
        Self { list: Vec::new(), filter: 0, due: Vec::new(), older: None }
    }
}

impl<A: GroupAddr> Groups<A> {
    /// Groups of a device at most.
    const MAX: usize = 4096;

    /// All groups, in the order in which they were joined.
    pub fn iter(&self) -> impl Iterator<Item = &Group<A>> + '_ {
        self.list.iter()
    }

    /// Whether a group is joined.
    #[inline]
    pub fn is_member(&self, addr: A) -> bool {
        self.list.iter().any(|g| g.addr == addr)
    }

    /// Counts a use; true for the first.
    pub(crate) fn join(&mut self, addr: A) -> Option<bool> {
        if let Some(group) = self.list.iter_mut().find(|g| g.addr == addr) {
            group.users += 1;
            return Some(false);
        }
        if self.list.len() >= Self::MAX {
            return None;
        }
        self.list.push(Group { addr, users: 1, reporter: false });
        self.filter |= filter_bit(addr.mac());
        Some(true)
    }

    /// Takes a use back; the group, if it was the last.
    pub(crate) fn leave(&mut self, addr: A) -> Option<Group<A>> {
        let at = self.list.iter().position(|g| g.addr == addr)?;
        self.list[at].users -= 1;
        if self.list[at].users > 0 {
            return None;
        }
        let gone = self.list.remove(at);
        self.filter = self.list.iter().fold(0, |filter, g| filter | filter_bit(g.addr.mac()));
        Some(gone)
    }

    /// Whether a group's Ethernet address belongs to one of these.
    #[inline]
    pub(crate) fn has_mac(&self, mac: [u8; 6]) -> bool {
        self.filter & filter_bit(mac) != 0 && self.list.iter().any(|g| g.addr.mac() == mac)
    }

    /// Notes whether our report was the last one for a group; one that we were about to send is not needed any more.
    pub(crate) fn reported(&mut self, addr: A, by_us: bool) {
        if let Some(group) = self.list.iter_mut().find(|g| g.addr == addr) {
            group.reporter = by_us;
        }
        if !by_us {
            self.due.retain(|(_, d)| *d != Due::One(addr) && !matches!(d, Due::Joined(a, _) if *a == addr));
        }
    }

    /// Puts a report off until `at`. A later answer to the same query gives way to an earlier one.
    pub(crate) fn report_at(&mut self, at: Instant, what: Due<A>) -> bool {
        match what {
            Due::All | Due::One(_) => {
                if self.due.iter().any(|(when, d)| *d == what && *when <= at) {
                    return false;
                }
                self.due.retain(|(_, d)| *d != what);
            }
            // Joining ends the reports of leaving, and the other way round.
            Due::Joined(addr, _) | Due::Left(addr, _) => {
                self.due.retain(|(_, d)| !matches!(d, Due::Joined(a, _) | Due::Left(a, _) if *a == addr));
            }
        }
        self.due.push((at, what));
        true
    }

    /// Takes the reports that are due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Due<A>> {
        self.due.extract_if(.., |(at, _)| *at <= now).map(|(_, what)| what).collect()
    }

    /// A querier spoke an older version: for a while this host does, too (RFC 3376 §7.2.1).
    pub(crate) fn heard_older(&mut self, version: u8, until: Instant) {
        let version = self.older.filter(|(_, end)| *end > until).map_or(version, |(v, _)| v.min(version));
        self.older = Some((version, until));
        self.due.retain(|(_, d)| matches!(d, Due::One(_)));
    }

    /// The version to speak; `newest` unless an older querier is there or `forced` says otherwise.
    pub(crate) fn version(&self, now: Instant, newest: u8, forced: i32) -> u8 {
        match (forced, self.older) {
            (1.., _) => forced as u8,
            (_, Some((version, until))) if now < until => version,
            _ => newest,
        }
    }

    /// The device went down: nothing is due any more, older queriers are forgotten.
    pub(crate) fn reset(&mut self) {
        self.due.clear();
        self.older = None;
    }
}

/// A random time up to `most`.
pub(crate) fn within(rng: &mut netspace_base::Rng, most: Duration) -> Duration {
    Duration::from_nanos(rng.below((most.as_nanos() as u64).max(1)))
}
