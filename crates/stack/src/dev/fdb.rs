//! A bridge's state: its ports, and the forwarding database that it learns.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netspace_base::{DevId, Duration, Instant};

/// One station that the bridge has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbEntry {
    /// The port behind which it is.
    pub port: DevId,
    /// When it was last heard of.
    pub seen: Instant,
    /// Put there by an administrator, or a port's own address: it does not age or move.
    pub permanent: bool,
    /// The address is one of this host's.
    pub local: bool,
}

/// A bridge's state.
#[derive(Debug)]
pub struct Bridge {
    /// Whether it learns where stations are; a hub does not.
    pub learning: bool,
    /// How long a station is remembered.
    pub ageing: Duration,
    /// Its ports, in the order in which they were added.
    pub ports: Vec<DevId>,
    pub(super) fdb: HashMap<[u8; 6], FdbEntry, FixedState>,
    pub(super) ageing_timer: bool,
}

impl Bridge {
    /// How long Linux remembers a station.
    pub const AGEING_DEFAULT: Duration = Duration::from_secs(300);
    /// The most stations remembered; others are flooded to.
    pub const FDB_MAX: usize = 65_536;

    pub(crate) fn new(learning: bool, hash_seed: u64) -> Self {
        Self {
            learning,
            ageing: Self::AGEING_DEFAULT,
            ports: Vec::new(),
            fdb: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            ageing_timer: false,
        }
    }

    /// The forwarding database, by address.
    pub fn fdb(&self) -> Vec<([u8; 6], FdbEntry)> {
        let mut entries: Vec<_> = self.fdb.iter().map(|(&mac, &entry)| (mac, entry)).collect();
        entries.sort_unstable_by_key(|(mac, _)| *mac);
        entries
    }

    /// The port behind which a station is, if it is known and its entry has not aged.
    pub fn port_of(&self, mac: [u8; 6], now: Instant) -> Option<FdbEntry> {
        let entry = *self.fdb.get(&mac)?;
        (entry.permanent || now < entry.seen + self.ageing).then_some(entry)
    }

    /// Puts an entry in that neither ages nor moves.
    pub(crate) fn add_permanent(&mut self, mac: [u8; 6], port: DevId, local: bool) {
        self.fdb.insert(mac, FdbEntry { port, seen: Instant::ZERO, permanent: true, local });
    }

    /// Forgets a station.
    pub(crate) fn forget(&mut self, mac: [u8; 6]) -> bool {
        self.fdb.remove(&mac).is_some()
    }

    /// Forgets what was learnt at a port; `all` permanent entries too.
    pub(crate) fn forget_port(&mut self, port: DevId, all: bool) {
        self.fdb.retain(|_, e| e.port != port || (e.permanent && !all));
    }

    /// Notes that a station is behind a port; true if that is news.
    pub(super) fn learn(&mut self, mac: [u8; 6], port: DevId, now: Instant) -> bool {
        if let Some(entry) = self.fdb.get_mut(&mac) {
            if entry.permanent {
                return false;
            }
            let news = entry.port != port || entry.seen + self.ageing <= now;
            entry.port = port;
            entry.seen = now;
            return news;
        }
        if self.fdb.len() >= Self::FDB_MAX {
            return false;
        }
        self.fdb.insert(mac, FdbEntry { port, seen: now, permanent: false, local: false });
        true
    }
}
