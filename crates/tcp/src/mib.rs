//! What a connection counts for its namespace (`/proc/net/netstat`): the owner takes the counts and adds them up.

/// A count of `TcpExt`, named as there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names are those of /proc/net/netstat")]
pub enum Mib {
    DeliveredCe,
    FastOpenActive,
    FastOpenActiveFail,
    MtupSuccess,
    MtupFail,
    SpuriousRtos,
}

/// Counts that the owner has not taken yet. Empty, it holds no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Mibs(Vec<(Mib, u32)>);

impl Mibs {
    pub(crate) fn add(&mut self, mib: Mib, n: u32) {
        match self.0.iter_mut().find(|(known, _)| *known == mib) {
            Some((_, count)) => *count += n,
            None if n > 0 => self.0.push((mib, n)),
            None => {}
        }
    }

    pub(crate) fn take(&mut self) -> Vec<(Mib, u32)> {
        std::mem::take(&mut self.0)
    }
}
