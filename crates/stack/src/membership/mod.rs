//! Group memberships of a device: what IGMP (RFC 3376) and MLD (RFC 3810) hosts share.
//!
//! Each user of a group has a filter of sources; when what all of them make together changes, that is reported, several times
//! in case a report is lost; queries are answered after a random delay.

mod filter;
mod report;

use std::net::{Ipv4Addr, Ipv6Addr};

use netspace_base::{Duration, Instant};
use netspace_wire::MacAddr;
use netspace_wire::igmp::GroupRecord;

use filter::Uses;
pub use filter::{Filter, FilterMode, SourceUse};
use report::Change;
pub(crate) use report::packed;

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
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group<A> {
    /// The group.
    pub addr: A,
    /// How often it was joined.
    pub users: u32,
    uses: Uses<A>,
    /// The last report on the link came from here (older versions: only then a leave is sent).
    pub(crate) reporter: bool,
}

impl<A: GroupAddr> Group<A> {
    /// What its users' filters make together.
    pub fn filter(&self) -> Filter<A> {
        self.uses.merged()
    }

    /// The sources that are in any user's filter.
    pub fn sources(&self) -> &[SourceUse<A>] {
        &self.uses.sources
    }
}

/// Something to report, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Due<A> {
    /// The answer to a general query: all groups.
    All,
    /// The answer to a query about one group, or about these of its sources.
    One(A, Vec<A>),
    /// What has changed.
    Changes,
}

/// How a group's filter has changed.
#[derive(Debug)]
pub(crate) struct Changed<A> {
    pub(crate) before: Filter<A>,
    pub(crate) after: Filter<A>,
    /// The group, if its last user has left it.
    pub(crate) gone: Option<Group<A>>,
}

/// The groups of one device and family.
#[derive(Clone, Debug)]
pub struct Groups<A> {
    list: Vec<Group<A>>,
    /// A bit for each group's Ethernet address, as a network card's hash filter has: most frames are refused by it.
    filter: u64,
    due: Vec<(Instant, Due<A>)>,
    changes: Vec<Change<A>>,
    /// Until when queriers of version 1, of version 2 are believed to be on the link.
    older: [Instant; 2],
}

impl<A> Default for Groups<A> {
    fn default() -> Self {
        Self { list: Vec::new(), filter: 0, due: Vec::new(), changes: Vec::new(), older: [Instant::ZERO; 2] }
    }
}

impl<A: GroupAddr> Groups<A> {
    /// Groups of a device at most.
    const MAX: usize = 4096;
    /// Sources that queries about one group may ask for before it is answered.
    const ASKED_MAX: usize = 1024;

    /// All groups, in the order in which they were joined.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Group<A>> + '_ {
        self.list.iter()
    }

    /// Whether a group is joined.
    #[inline]
    pub fn is_member(&self, addr: A) -> bool {
        self.list.iter().any(|g| g.addr == addr)
    }

    /// Whether anybody here wants to hear what `source` sends to a group.
    #[inline]
    pub(crate) fn allows(&self, addr: A, source: A) -> bool {
        self.list.iter().any(|g| g.addr == addr && g.uses.allows(source))
    }

    /// Counts a use; true for the first. None: too many groups.
    pub(crate) fn join(&mut self, addr: A) -> Option<bool> {
        let first = !self.is_member(addr);
        self.change(addr, None, Some(&Filter::ANY)).map(|_| first)
    }

    /// Takes a use back; the group, if it was the last.
    pub(crate) fn leave(&mut self, addr: A) -> Option<Group<A>> {
        self.change(addr, Some(&Filter::ANY), None)?.gone
    }

    /// Changes one user's filter: `old` is none for a new user, `new` for one that leaves. None: too many groups, or no
    /// such group.
    pub(crate) fn change(
        &mut self,
        addr: A,
        old: Option<&Filter<A>>,
        new: Option<&Filter<A>>,
    ) -> Option<Changed<A>> {
        let at = match self.list.iter().position(|g| g.addr == addr) {
            Some(at) => at,
            None if old.is_some() || self.list.len() >= Self::MAX => return None,
            None => {
                self.list.push(Group { addr, users: 0, uses: Uses::new(), reporter: false });
                self.filter |= filter_bit(addr.mac());
                self.list.len() - 1
            }
        };
        let group = &mut self.list[at];
        let before = group.filter();
        if let Some(old) = old {
            group.uses.remove(old);
            group.users -= 1;
        }
        if let Some(new) = new {
            group.uses.add(new);
            group.users += 1;
        }
        let (after, last) = (group.filter(), group.users == 0);
        let gone = last.then(|| self.list.remove(at));
        if last {
            self.filter = self.list.iter().fold(0, |filter, g| filter | filter_bit(g.addr.mac()));
        }
        Some(Changed { before, after, gone })
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
            self.due.retain(|(_, d)| !matches!(d, Due::One(a, _) if *a == addr));
            self.changes.retain(|change| change.group != addr);
        }
    }

    /// A filter has changed, which is to be reported `times` times.
    pub(crate) fn note_change(&mut self, addr: A, before: &Filter<A>, after: &Filter<A>, times: u32) {
        let at = self.changes.iter().position(|change| change.group == addr).unwrap_or_else(|| {
            self.changes.push(Change::new(addr));
            self.changes.len() - 1
        });
        self.changes[at].note(before, after, times);
    }

    /// The groups whose changes are to be reported now, the records for it, and whether they are to be repeated.
    pub(crate) fn take_changes(&mut self) -> (Vec<A>, Vec<GroupRecord<A>>, bool) {
        let mut records = Vec::new();
        let groups = self.changes.iter().map(|change| change.group).collect();
        for change in &mut self.changes {
            let now = self.list.iter().find(|g| g.addr == change.group).map_or(Filter::NONE, Group::filter);
            records.extend(change.records(&now));
        }
        self.changes.retain(|change| !change.is_done());
        (groups, records, !self.changes.is_empty())
    }

    /// The answer to a query about a group; none if there is nothing to say.
    pub(crate) fn current(&self, addr: A, asked: &[A]) -> Option<GroupRecord<A>> {
        let group = self.list.iter().find(|g| g.addr == addr)?;
        report::current(addr, &group.filter(), asked)
    }

    /// Puts a report off until `at`. A later answer to the same query gives way to an earlier one (RFC 3376 §5.2).
    pub(crate) fn report_at(&mut self, at: Instant, mut what: Due<A>) -> bool {
        let sooner = |due: &(Instant, Due<A>), what: &Due<A>| due.0 <= at && due.1 == *what;
        if self.due.iter().any(|due| sooner(due, &what) || (what != Due::Changes && sooner(due, &Due::All))) {
            return false;
        }
        let mut at = at;
        if let Due::One(addr, asked) = &mut what {
            let is_one = |d: &Due<A>| matches!(d, Due::One(a, _) if a == addr);
            let pending = self.due.iter().position(|(_, d)| is_one(d)).map(|n| self.due.remove(n));
            if let Some((when, Due::One(_, before))) = pending {
                at = at.min(when);
                if before.is_empty() || asked.is_empty() {
                    asked.clear();
                } else {
                    asked.extend(
                        before.into_iter().filter(|source| !asked.contains(source)).collect::<Vec<_>>(),
                    );
                    asked.truncate(Self::ASKED_MAX);
                }
            }
        } else {
            self.due.retain(|(_, d)| *d != what);
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
        self.older[usize::from(version) - 1] = until;
        self.due.retain(|(_, d)| matches!(d, Due::One(..)));
        self.changes.clear();
    }

    /// The version to speak: that of the oldest querier that is there, `newest` without any, unless `forced` says otherwise.
    pub(crate) fn version(&self, now: Instant, newest: u8, forced: i32) -> u8 {
        let older = (1..newest).find(|&version| now < self.older[usize::from(version) - 1]);
        if forced > 0 { forced as u8 } else { older.unwrap_or(newest) }
    }

    /// The device went down: nothing is due any more, older queriers are forgotten.
    pub(crate) fn reset(&mut self) {
        self.due.clear();
        self.changes.clear();
        self.older = [Instant::ZERO; 2];
    }
}

/// A random time up to `most`.
pub(crate) fn within(rng: &mut netspace_base::Rng, most: Duration) -> Duration {
    Duration::from_nanos(rng.below((most.as_nanos() as u64).max(1)))
}
