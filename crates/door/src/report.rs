//! Which calls were refused: counted, for a report when the lab ends.

use std::collections::BTreeMap;

/// A kind of call that was refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Refused {
    /// The program's name.
    pub program: String,
    /// The call.
    pub call: &'static str,
    /// What about it: a family, an option, a path.
    pub detail: String,
}

/// The refused calls and how often each was made.
#[derive(Clone, Debug, Default)]
pub struct Report {
    refused: BTreeMap<Refused, u64>,
    /// Refused calls that are not listed, because the list is full.
    pub unlisted: u64,
}

impl Report {
    /// How many kinds are listed at most.
    pub const MAX_KINDS: usize = 1000;

    pub(crate) fn add(&mut self, program: String, call: &'static str, detail: String) {
        let refused = Refused { program, call, detail };
        if let Some(count) = self.refused.get_mut(&refused) {
            *count += 1;
        } else if self.refused.len() < Self::MAX_KINDS {
            self.refused.insert(refused, 1);
        } else {
            self.unlisted += 1;
        }
    }

    /// The refused calls with their counts, by program.
    pub fn iter(&self) -> impl Iterator<Item = (&Refused, u64)> {
        self.refused.iter().map(|(refused, &count)| (refused, count))
    }

    /// Whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.unlisted == 0
    }
}
