//! What is reported of a group's filter (RFC 3376 §5; MLDv2 has the same, RFC 3810 §6).
//!
//! ```text
//! the filter's mode changed    TO_IN, TO_EX with the list as it is when the report goes out
//! only the list changed        ALLOW, BLOCK with the sources that changed
//! a query                      IS_IN, IS_EX
//! ```

use netspace_wire::igmp::{GroupRecord, RecordKind};

use super::filter::{Filter, FilterMode};

/// A change that routers have not been told often enough yet.
#[derive(Clone, Debug)]
pub(super) struct Change<A> {
    pub(super) group: A,
    /// How often its filter's mode is still to be told.
    mode_times: u32,
    /// Sources that came or went, and how often each is still to be told.
    sources: Vec<(A, u32)>,
}

impl<A: Copy + PartialEq> Change<A> {
    pub(super) const fn new(group: A) -> Self {
        Self { group, mode_times: 0, sources: Vec::new() }
    }

    /// The filter has changed: what is different is to be told `times` times.
    pub(super) fn note(&mut self, before: &Filter<A>, after: &Filter<A>, times: u32) {
        if before.mode != after.mode {
            self.mode_times = times;
            return;
        }
        let only_in = |a: &Filter<A>, b: &Filter<A>| -> Vec<A> {
            a.sources.iter().copied().filter(|s| !b.sources.contains(s)).collect()
        };
        for source in only_in(before, after).into_iter().chain(only_in(after, before)) {
            self.sources.retain(|(known, _)| *known != source);
            self.sources.push((source, times));
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        self.mode_times == 0 && self.sources.is_empty()
    }

    /// The records for one report, given the filter as it is now.
    pub(super) fn records(&mut self, now: &Filter<A>) -> Vec<GroupRecord<A>> {
        let group = self.group;
        if self.mode_times > 0 {
            self.mode_times -= 1;
            self.tick_sources();
            let kind =
                if now.mode == FilterMode::Include { RecordKind::ToInclude } else { RecordKind::ToExclude };
            return vec![GroupRecord { kind, group, sources: now.sources.clone() }];
        }
        let (allowed, blocked): (Vec<A>, Vec<A>) =
            self.sources.iter().map(|(source, _)| *source).partition(|source| now.allows(*source));
        self.tick_sources();
        [(RecordKind::AllowNew, allowed), (RecordKind::BlockOld, blocked)]
            .into_iter()
            .filter(|(_, sources)| !sources.is_empty())
            .map(|(kind, sources)| GroupRecord { kind, group, sources })
            .collect()
    }

    fn tick_sources(&mut self) {
        for (_, times) in &mut self.sources {
            *times = times.saturating_sub(1);
        }
        self.sources.retain(|(_, times)| *times > 0);
    }
}

/// The answer to a query about a group (and only about some sources, if `asked` names any); none if there is nothing to say
/// (RFC 3376 §5.2).
pub(super) fn current<A: Copy + PartialEq>(group: A, now: &Filter<A>, asked: &[A]) -> Option<GroupRecord<A>> {
    if !asked.is_empty() {
        let sources: Vec<A> = asked.iter().copied().filter(|source| now.allows(*source)).collect();
        return (!sources.is_empty()).then_some(GroupRecord { kind: RecordKind::IsInclude, group, sources });
    }
    let kind = if now.mode == FilterMode::Include { RecordKind::IsInclude } else { RecordKind::IsExclude };
    Some(GroupRecord { kind, group, sources: now.sources.clone() })
}

/// Records in as many reports as they need: each has room for `room` bytes of them, addresses have `addr_len`. A list that is
/// too long for one report goes on in the next; an exclude list is cut short, which asks for more than is wanted, never for
/// less (RFC 3376 §4.2.16).
pub(crate) fn packed<A: Copy>(
    records: Vec<GroupRecord<A>>,
    addr_len: usize,
    room: usize,
) -> Vec<Vec<GroupRecord<A>>> {
    let most = (room / addr_len).saturating_sub(2).max(1);
    let mut reports: Vec<Vec<GroupRecord<A>>> = Vec::new();
    let mut left = 0;
    for record in records {
        let cuts = !matches!(record.kind, RecordKind::IsExclude | RecordKind::ToExclude);
        let empty = [[].as_slice()];
        let parts = record.sources.chunks(most).take(if cuts { usize::MAX } else { 1 });
        let parts: Vec<&[A]> = if record.sources.is_empty() { empty.to_vec() } else { parts.collect() };
        for sources in parts {
            let len = 4 + addr_len * (1 + sources.len());
            if len > left || reports.is_empty() {
                reports.push(Vec::new());
                left = room;
            }
            left = left.saturating_sub(len);
            let part = GroupRecord { kind: record.kind, group: record.group, sources: sources.to_vec() };
            if let Some(report) = reports.last_mut() {
                report.push(part);
            }
        }
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn include(sources: &[u8]) -> Filter<u8> {
        Filter { mode: FilterMode::Include, sources: sources.to_vec() }
    }

    #[test]
    fn changes_of_the_list_are_told_as_often_as_asked() {
        let mut change = Change::new(9);
        change.note(&include(&[1, 2]), &include(&[2, 3]), 2);
        let first = change.records(&include(&[2, 3]));
        assert_eq!(first.len(), 2);
        assert_eq!((first[0].kind, &first[0].sources), (RecordKind::AllowNew, &vec![3]));
        assert_eq!((first[1].kind, &first[1].sources), (RecordKind::BlockOld, &vec![1]));
        // In between a source has come back: the report tells how it is now.
        change.note(&include(&[2, 3]), &include(&[1, 2, 3]), 2);
        let second = change.records(&include(&[1, 2, 3]));
        assert_eq!((second[0].kind, &second[0].sources), (RecordKind::AllowNew, &vec![3, 1]));
        assert_eq!(change.records(&include(&[1, 2, 3]))[0].sources, [1]);
        assert!(change.is_done());
        // A plain leave.
        change.note(&Filter::ANY, &Filter::NONE, 1);
        let left = change.records(&Filter::NONE);
        assert_eq!((left[0].kind, left[0].sources.len()), (RecordKind::ToInclude, 0));
        assert!(change.is_done());
    }

    #[test]
    fn long_lists_go_on_in_the_next_report_or_are_cut() {
        let record = |kind, n: u8| GroupRecord { kind, group: 0, sources: (0..n).collect() };
        let lens = |records| -> Vec<Vec<usize>> {
            let reports = packed(records, 4, 40);
            reports.iter().map(|r| r.iter().map(|r| r.sources.len()).collect()).collect()
        };
        assert_eq!(lens(vec![record(RecordKind::AllowNew, 20)]), [[8], [8], [4]]);
        assert_eq!(lens(vec![record(RecordKind::ToExclude, 20)]), [[8]]);
        let empty = record(RecordKind::ToExclude, 0);
        assert_eq!(lens(vec![empty.clone(), empty, record(RecordKind::AllowNew, 8)]), [vec![0, 0], vec![8]]);
    }
}
