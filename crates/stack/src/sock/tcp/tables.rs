//! Where TCP sockets are found: connections by their four names, listeners by address and port, users by port.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use netspace_base::{DevId, Instant, TimerId};
use netspace_tcp::Config;
use slab::Slab;

use super::fast_open_table::FastOpenTable;
use crate::sock::names::{Ids, Map, Set, Tuple, devices_overlap};
use crate::sock::socket::Socket;
use crate::sock::{Family, SockId};

/// Who answers to a connection's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Socket(SockId),
    /// Number of a [`TimeWait`].
    TimeWait(u32),
}

/// A connection in TIME-WAIT, with what is needed to judge who may have its port.
#[derive(Debug)]
pub(crate) struct TimeWait {
    pub(crate) tuple: Tuple,
    pub(crate) family: Family,
    pub(crate) bound_dev: Option<DevId>,
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    pub(crate) since: Instant,
    pub(crate) end: netspace_tcp::TimeWait,
    pub(super) acked_at: Option<Instant>,
    pub(super) timer: Option<TimerId>,
}

/// The users of a port.
#[derive(Debug)]
struct Bucket {
    members: Set<SockId>,
    time_waits: Set<u32>,
    /// How many have the port from bind(2): connect does not share such ports.
    bound: usize,
}

/// The settings of the connection made last: the next one mostly has the same and shares them.
#[derive(Debug, Default)]
pub(crate) struct LastSettings(Option<Arc<Config>>);

impl LastSettings {
    pub(crate) fn share(&mut self, settings: Config) -> Arc<Config> {
        match &self.0 {
            Some(last) if **last == settings => Arc::clone(last),
            _ => Arc::clone(self.0.insert(Arc::new(settings))),
        }
    }
}

/// The tables of TCP.
#[derive(Debug)]
pub(crate) struct TcpTables {
    connections: Map<Tuple, Entry>,
    listeners: Map<(IpAddr, u16), Ids>,
    buckets: Map<u16, Bucket>,
    pub(crate) time_waits: Slab<TimeWait>,
    pub(crate) fast_open: FastOpenTable,
    pub(crate) settings: LastSettings,
    /// Connections that go on after close(2).
    pub(crate) orphans: usize,
    /// Advances with each port chosen by connect (RFC 6056 §3.3.4: the table of algorithm 4).
    pub(crate) port_counters: [u16; 64],
    state: FixedState,
}

impl TcpTables {
    pub(crate) fn new(state: &FixedState, fast_open_key: [u64; 2]) -> Self {
        Self {
            connections: Map::with_hasher(state.clone()),
            listeners: Map::with_hasher(state.clone()),
            buckets: Map::with_hasher(state.clone()),
            time_waits: Slab::new(),
            fast_open: FastOpenTable::new(fast_open_key),
            settings: LastSettings::default(),
            orphans: 0,
            port_counters: [0; 64],
            state: state.clone(),
        }
    }

    pub(crate) fn new_set<K>(&self) -> Set<K> {
        Set::with_hasher(self.state.clone())
    }

    // ---- Connections ----

    pub(crate) fn connection(&self, tuple: &Tuple) -> Option<Entry> {
        self.connections.get(tuple).copied()
    }

    pub(crate) fn insert_connection(&mut self, tuple: Tuple, entry: Entry) {
        self.connections.insert(tuple, entry);
    }

    pub(crate) fn remove_connection(&mut self, tuple: &Tuple) {
        self.connections.remove(tuple);
    }

    // ---- Listeners ----

    pub(crate) fn listening_at(&self, addr: IpAddr, port: u16) -> &[SockId] {
        self.listeners.get(&(addr, port)).map_or(&[], |ids| ids)
    }

    pub(crate) fn insert_listener(&mut self, id: SockId, addr: IpAddr, port: u16) {
        self.listeners.entry((addr, port)).or_default().push(id);
    }

    pub(crate) fn remove_listener(&mut self, id: SockId, addr: IpAddr, port: u16) {
        if let Some(ids) = self.listeners.get_mut(&(addr, port)) {
            ids.retain(|&mut other| other != id);
            if ids.is_empty() {
                self.listeners.remove(&(addr, port));
            }
        }
    }

    // ---- Ports ----

    fn bucket(&mut self, port: u16) -> &mut Bucket {
        let state = &self.state;
        self.buckets.entry(port).or_insert_with(|| Bucket {
            members: Set::with_hasher(state.clone()),
            time_waits: Set::with_hasher(state.clone()),
            bound: 0,
        })
    }

    /// A socket has the port from bind(2).
    pub(crate) fn bind(&mut self, id: SockId, port: u16) {
        let bucket = self.bucket(port);
        if bucket.members.insert(id) {
            bucket.bound += 1;
        }
    }

    /// A socket has the port from connect(2), or from its listener.
    pub(crate) fn join(&mut self, id: SockId, port: u16) {
        self.bucket(port).members.insert(id);
    }

    /// A socket gives its port up; `bound` if it had it from bind(2).
    pub(crate) fn leave(&mut self, id: SockId, port: u16, bound: bool) {
        let bucket = self.bucket(port);
        if bucket.members.remove(&id) && bound {
            bucket.bound = bucket.bound.saturating_sub(1);
        }
        self.drop_if_empty(port);
    }

    pub(crate) fn join_time_wait(&mut self, number: u32, port: u16) {
        self.bucket(port).time_waits.insert(number);
    }

    pub(crate) fn leave_time_wait(&mut self, number: u32, port: u16) {
        self.bucket(port).time_waits.remove(&number);
        self.drop_if_empty(port);
    }

    fn drop_if_empty(&mut self, port: u16) {
        let empty = |b: &Bucket| b.members.is_empty() && b.time_waits.is_empty();
        if self.buckets.get(&port).is_some_and(empty) {
            self.buckets.remove(&port);
        }
    }

    /// Whether connect may choose the port: nobody has it from bind(2). The four names must still be free.
    pub(crate) fn may_share(&self, port: u16) -> bool {
        self.buckets.get(&port).is_none_or(|bucket| bucket.bound == 0)
    }

    /// The sockets that have the port.
    pub(crate) fn bound_to(&self, port: u16) -> impl Iterator<Item = SockId> + '_ {
        self.buckets.get(&port).into_iter().flat_map(|bucket| bucket.members.iter().copied())
    }

    /// Whether a connection in TIME-WAIT forbids the port to `socket`: unless both have `SO_REUSEADDR` or `SO_REUSEPORT`.
    pub(crate) fn time_wait_clashes(&self, socket: &Socket, port: u16, alone: bool) -> bool {
        let Some(bucket) = self.buckets.get(&port) else { return false };
        bucket.time_waits.iter().any(|&number| {
            let old = &self.time_waits[number as usize];
            let overlap = match (socket.local, old.tuple.local) {
                (IpAddr::V6(any), IpAddr::V4(_)) => any.is_unspecified() && !socket.opts.v6only,
                (mine, other) => {
                    mine.is_ipv4() == other.is_ipv4() && (mine.is_unspecified() || mine == other)
                }
            };
            let share =
                (socket.opts.reuse_addr && old.reuse_addr) || (socket.opts.reuse_port && old.reuse_port);
            overlap && devices_overlap(socket.opts.bound_dev, old.bound_dev) && (alone || !share)
        })
    }
}
