//! Source filters (RFC 3376 §3): which senders a group's members want to hear, and what the filters of several users make
//! together.

/// Whether a filter's sources are those that are wanted, or those that are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterMode {
    /// All but the listed sources (`MCAST_EXCLUDE`, 0).
    Exclude,
    /// Only the listed sources (`MCAST_INCLUDE`, 1).
    Include,
}

/// A filter of sources.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter<A> {
    /// What the list means.
    pub mode: FilterMode,
    /// The list, in the order in which it was given.
    pub sources: Vec<A>,
}

impl<A: Copy + PartialEq> Filter<A> {
    /// The filter of who has not joined: no source at all.
    pub const NONE: Self = Self { mode: FilterMode::Include, sources: Vec::new() };
    /// The filter of a plain join: any source.
    pub const ANY: Self = Self { mode: FilterMode::Exclude, sources: Vec::new() };

    /// Whether datagrams from `source` pass.
    pub fn allows(&self, source: A) -> bool {
        self.sources.contains(&source) == (self.mode == FilterMode::Include)
    }

    /// The same filter of other addresses; sources that `convert` knows nothing of are left out.
    pub(crate) fn map<B>(&self, convert: impl Fn(A) -> Option<B>) -> Filter<B> {
        Filter { mode: self.mode, sources: self.sources.iter().filter_map(|&s| convert(s)).collect() }
    }
}

/// How often a source is in the users' filters (`/proc/net/mcfilter`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceUse<A> {
    /// The source.
    pub addr: A,
    /// Filters that include it.
    pub include: u32,
    /// Filters that exclude it.
    pub exclude: u32,
}

/// The filters of all users of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Uses<A> {
    pub(super) exclude_users: u32,
    pub(super) sources: Vec<SourceUse<A>>,
}

impl<A: Copy + PartialEq> Uses<A> {
    pub(super) const fn new() -> Self {
        Self { exclude_users: 0, sources: Vec::new() }
    }

    pub(super) fn add(&mut self, filter: &Filter<A>) {
        self.exclude_users += u32::from(filter.mode == FilterMode::Exclude);
        for &addr in &filter.sources {
            let known = self.sources.iter().position(|s| s.addr == addr).unwrap_or_else(|| {
                self.sources.push(SourceUse { addr, include: 0, exclude: 0 });
                self.sources.len() - 1
            });
            *count(&mut self.sources[known], filter.mode) += 1;
        }
    }

    pub(super) fn remove(&mut self, filter: &Filter<A>) {
        self.exclude_users -= u32::from(filter.mode == FilterMode::Exclude);
        for &addr in &filter.sources {
            if let Some(known) = self.sources.iter_mut().find(|s| s.addr == addr) {
                *count(known, filter.mode) -= 1;
            }
        }
        self.sources.retain(|s| s.include + s.exclude > 0);
    }

    /// What they are together (RFC 3376 §3.2): once anybody excludes, what all who exclude agree on and nobody includes.
    pub(super) fn merged(&self) -> Filter<A> {
        let excludes = self.exclude_users > 0;
        let listed = |s: &&SourceUse<A>| match excludes {
            true => s.exclude == self.exclude_users && s.include == 0,
            false => s.include > 0,
        };
        Filter {
            mode: if excludes { FilterMode::Exclude } else { FilterMode::Include },
            sources: self.sources.iter().filter(listed).map(|s| s.addr).collect(),
        }
    }

    /// Whether any user wants to hear `source`.
    pub(super) fn allows(&self, source: A) -> bool {
        match self.sources.iter().find(|s| s.addr == source) {
            Some(known) => known.include > 0 || known.exclude < self.exclude_users,
            None => self.exclude_users > 0,
        }
    }
}

const fn count<A>(source: &mut SourceUse<A>, mode: FilterMode) -> &mut u32 {
    match mode {
        FilterMode::Exclude => &mut source.exclude,
        FilterMode::Include => &mut source.include,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(mode: FilterMode, sources: &[u8]) -> Filter<u8> {
        Filter { mode, sources: sources.to_vec() }
    }

    #[test]
    fn several_users_filters_make_one() {
        use FilterMode::{Exclude, Include};
        // The examples of RFC 3376 §3.2, with sources a to g as 1 to 7.
        let mut uses = Uses::new();
        for f in [filter(Exclude, &[1, 2, 3, 4]), filter(Exclude, &[2, 3, 4, 5]), filter(Include, &[4, 5, 6])]
        {
            uses.add(&f);
        }
        assert_eq!(uses.merged(), filter(Exclude, &[2, 3]));
        let heard: Vec<u8> = (1..=7).filter(|&source| uses.allows(source)).collect();
        assert_eq!(heard, [1, 4, 5, 6, 7]);
        uses.remove(&filter(Exclude, &[1, 2, 3, 4]));
        assert_eq!(uses.merged(), filter(Exclude, &[2, 3]), "4 and 5 are included by somebody");
        uses.remove(&filter(Exclude, &[2, 3, 4, 5]));
        uses.add(&filter(Include, &[6, 7]));
        assert_eq!(uses.merged(), filter(Include, &[4, 5, 6, 7]));
        assert!(!uses.allows(1) && uses.allows(7));
        assert_eq!(Filter::<u8>::ANY.allows(1), !Filter::<u8>::NONE.allows(1));
    }
}
