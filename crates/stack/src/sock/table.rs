//! The sockets of a namespace and the tables that find them: by port, by address, by connection.

use std::net::IpAddr;
use std::ops::{Index, IndexMut};

use foldhash::fast::FixedState;
use netspace_base::{DevId, NsId, Pkt, Rng, Seed};
use netspace_wire::protocol;
use slotmap::SlotMap;
use smallvec::SmallVec;

pub(crate) use super::names::{Ids, Map, Secret, Tuple, devices_overlap};
use super::socket::{FreshOptions, Socket};
use super::sysctl::SockSysctls;
use super::tcp::TcpTables;
use super::{Family, SockError, SockId};
use crate::{Effect, Turn};

/// The most sockets that a namespace holds.
pub const MAX_SOCKETS: usize = 1 << 20;

/// The sockets by name. Each lies in memory of its own: a table that grows moves pointers, and keeps no room for sockets.
#[derive(Debug, Default)]
pub(crate) struct SocketTable(SlotMap<SockId, Box<Socket>>);

impl SocketTable {
    pub(crate) fn insert(&mut self, socket: Socket) -> SockId {
        self.0.insert(Box::new(socket))
    }

    pub(crate) fn remove(&mut self, id: SockId) -> Option<Box<Socket>> {
        self.0.remove(id)
    }

    pub(crate) fn get(&self, id: SockId) -> Option<&Socket> {
        self.0.get(id).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: SockId) -> Option<&mut Socket> {
        self.0.get_mut(id).map(Box::as_mut)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Socket> {
        self.0.values().map(Box::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SockId, &Socket)> {
        self.0.iter().map(|(id, socket)| (id, &**socket))
    }
}

impl Index<SockId> for SocketTable {
    type Output = Socket;

    fn index(&self, id: SockId) -> &Socket {
        &self.0[id]
    }
}

impl IndexMut<SockId> for SocketTable {
    fn index_mut(&mut self, id: SockId) -> &mut Socket {
        &mut self.0[id]
    }
}

/// All sockets of a namespace.
#[derive(Debug)]
pub struct Sockets {
    pub(crate) table: SocketTable,
    pub(crate) fresh_options: FreshOptions,
    /// The transport layer's sysctls.
    pub sysctls: SockSysctls,
    pub(crate) udp: UdpTables,
    pub(crate) tcp: TcpTables,
    /// Ping sockets by family and echo identifier.
    pub(crate) ping: Map<(bool, u16), Ids>,
    /// Raw sockets by family (v6?) and protocol.
    pub(crate) raw: Map<(bool, u8), Ids>,
    pub(crate) secret: Secret,
    pub(crate) rng: Rng,
    next_cookie: u64,
}

impl Sockets {
    /// No sockets; hashes and random numbers are drawn from the lab's seed.
    pub fn new(seed: Seed, ns: NsId) -> Self {
        let mut rng = seed.stream("sock", u64::from(ns.0));
        let state = &FixedState::with_seed(rng.u64());
        // A stream of its own, so that other draws stay what they were.
        let mut keys = seed.stream("fast-open", u64::from(ns.0));
        let fast_open_key = [keys.u64(), keys.u64()];
        Self {
            table: SocketTable::default(),
            fresh_options: FreshOptions::default(),
            sysctls: SockSysctls::default(),
            udp: UdpTables { udp: UdpTable::new(state), lite: UdpTable::new(state) },
            tcp: TcpTables::new(state, fast_open_key),
            ping: Map::with_hasher(state.clone()),
            raw: Map::with_hasher(state.clone()),
            secret: Secret::new(&mut rng),
            rng,
            next_cookie: 1,
        }
    }

    pub(crate) fn next_cookie(&mut self) -> u64 {
        self.next_cookie += 1;
        self.next_cookie - 1
    }

    /// A socket that a program may name: orphans are nobody's any more.
    pub(crate) fn get(&self, id: SockId) -> Result<&Socket, SockError> {
        self.table.get(id).filter(|s| !s.orphan).ok_or(SockError::NoSuchSocket)
    }

    pub(crate) fn get_mut(&mut self, id: SockId) -> Result<&mut Socket, SockError> {
        self.table.get_mut(id).filter(|s| !s.orphan).ok_or(SockError::NoSuchSocket)
    }

    /// Tells the world that what `id` is ready for may have changed: once per drained turn.
    pub(crate) fn wake(&mut self, t: &mut Turn, id: SockId) {
        let Some(socket) = self.table.get_mut(id).filter(|s| !s.orphan) else { return };
        if matches!(t.effects.get(socket.wake_at), Some(Effect::Wake(woken)) if *woken == id) {
            return;
        }
        socket.wake_at = t.effects.len();
        t.effects.push(Effect::Wake(id));
    }
}

/// Whether the local addresses of two sockets overlap: equal, or a wildcard covers the other.
pub(crate) fn addresses_overlap(a: &Socket, b: &Socket) -> bool {
    // An IPv6 wildcard covers IPv4 too, unless it is for IPv6 only.
    let covers_v4 = |s: &Socket| s.family == Family::Inet6 && s.local.is_unspecified() && !s.opts.v6only;
    match (a.local, b.local) {
        (IpAddr::V4(x), IpAddr::V4(y)) => x == y || x.is_unspecified() || y.is_unspecified(),
        (IpAddr::V6(x), IpAddr::V6(y)) => x == y || x.is_unspecified() || y.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => covers_v4(b),
        (IpAddr::V6(_), IpAddr::V4(_)) => covers_v4(a),
    }
}

/// The tables of UDP and of UDP-Lite, whose ports have nothing to do with each other.
#[derive(Debug)]
pub(crate) struct UdpTables {
    udp: UdpTable,
    lite: UdpTable,
}

impl UdpTables {
    /// The table of an IP protocol.
    pub(crate) const fn of(&self, ip_protocol: u8) -> &UdpTable {
        if ip_protocol == protocol::UDPLITE { &self.lite } else { &self.udp }
    }

    pub(crate) const fn of_mut(&mut self, ip_protocol: u8) -> &mut UdpTable {
        if ip_protocol == protocol::UDPLITE { &mut self.lite } else { &mut self.udp }
    }
}

/// UDP sockets by port, by address and port, and, if connected, by both ends.
#[derive(Debug)]
pub(crate) struct UdpTable {
    by_port: Map<u16, Ids>,
    by_addr: Map<(IpAddr, u16), Ids>,
    connected: Map<Tuple, Ids>,
}

/// The keys under which a socket lies in the tables: taken before it changes.
#[derive(Clone, Copy)]
pub(crate) struct UdpKeys {
    addr: (IpAddr, u16),
    tuple: Option<Tuple>,
}

impl UdpKeys {
    pub(crate) fn of(socket: &Socket) -> Self {
        let addr = (socket.local, socket.local_port);
        // The scope is not part of the key: a connected socket with a link-local peer is bound to its device.
        let tuple = socket.remote.map(|r| Tuple::new(addr, (r.ip(), r.port()), DevId::NONE));
        Self { addr, tuple }
    }
}

fn remove_from<K: std::hash::Hash + Eq>(map: &mut Map<K, Ids>, key: &K, id: SockId) {
    if let Some(ids) = map.get_mut(key) {
        ids.retain(|&mut other| other != id);
        if ids.is_empty() {
            map.remove(key);
        }
    }
}

impl UdpTable {
    fn new(state: &FixedState) -> Self {
        Self {
            by_port: Map::with_hasher(state.clone()),
            by_addr: Map::with_hasher(state.clone()),
            connected: Map::with_hasher(state.clone()),
        }
    }

    pub(crate) fn insert(&mut self, id: SockId, keys: UdpKeys) {
        self.by_port.entry(keys.addr.1).or_default().push(id);
        match keys.tuple {
            Some(tuple) => self.connected.entry(tuple).or_default().push(id),
            None => self.by_addr.entry(keys.addr).or_default().push(id),
        }
    }

    pub(crate) fn remove(&mut self, id: SockId, keys: UdpKeys) {
        remove_from(&mut self.by_port, &keys.addr.1, id);
        match keys.tuple {
            Some(tuple) => remove_from(&mut self.connected, &tuple, id),
            None => remove_from(&mut self.by_addr, &keys.addr, id),
        }
    }

    /// All sockets on a port, in the order in which they came to it.
    pub(crate) fn on_port(&self, port: u16) -> &[SockId] {
        self.by_port.get(&port).map_or(&[], |ids| ids)
    }

    fn connected(&self, tuple: &Tuple) -> &[SockId] {
        self.connected.get(tuple).map_or(&[], |ids| ids)
    }

    fn at(&self, addr: IpAddr, port: u16) -> &[SockId] {
        self.by_addr.get(&(addr, port)).map_or(&[], |ids| ids)
    }
}

/// The wildcard addresses under which a socket for packets to `addr` may lie.
fn wildcards(addr: IpAddr) -> &'static [IpAddr] {
    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
    if addr.is_ipv4() { &[V4, V6] } else { &[V6] }
}

/// The best of `candidates` for a packet from `dev` to an address of `family_of`: one bound to the device before one that
/// is not, one of the packet's own family before a dual-stack one, the youngest of equals; with `SO_REUSEPORT` the
/// group's program (given the packet and where its payload starts) or the flow's hash chooses among equals.
pub(crate) fn choose(
    table: &SocketTable,
    candidates: impl DoubleEndedIterator<Item = SockId> + Clone,
    (addr, dev): (IpAddr, DevId),
    payload: Option<(&Pkt, usize)>,
    hash: impl FnOnce() -> u32,
) -> Option<SockId> {
    let score = |id: SockId| {
        let s = table.get(id)?;
        let fits = s.takes_family_of(addr) && s.dev_matches(dev);
        let own_family = (s.family == Family::Inet) == addr.is_ipv4();
        fits.then(|| 1 + 2 * i32::from(own_family) + 4 * i32::from(s.opts.bound_dev.is_some()))
    };
    let mut best: Option<(i32, SockId)> = None;
    for id in candidates.clone().rev() {
        if let Some(score) = score(id)
            && best.is_none_or(|(top, _)| score > top)
        {
            best = Some((score, id));
        }
    }
    let (top, id) = best?;
    if !table[id].opts.reuse_port {
        return Some(id);
    }
    let group: SmallVec<[SockId; 8]> =
        candidates.filter(|&id| score(id) == Some(top) && table[id].opts.reuse_port).collect();
    let program = group.iter().find_map(|&id| table[id].opts.reuseport_filter.as_ref());
    if let Some((program, (pkt, at))) = program.zip(payload)
        && let Some(place) = program.place(pkt, at, group.len())
    {
        return Some(group[place]);
    }
    Some(group[((u64::from(hash()) * group.len() as u64) >> 32) as usize])
}

impl Sockets {
    /// The UDP or UDP-Lite socket for a datagram: connected to its sender, else bound to its destination, else to the
    /// wildcard. `pkt` is the datagram, if it is here, from its header on.
    pub(crate) fn find_udp(
        &self,
        ip_protocol: u8,
        to: (IpAddr, u16),
        from: (IpAddr, u16),
        dev: DevId,
        pkt: Option<&Pkt>,
    ) -> Option<SockId> {
        let table = self.udp.of(ip_protocol);
        let tuple = Tuple { scope: DevId::NONE, ..Tuple::new(to, from, dev) };
        let hash = || self.secret.hash(b'r', &tuple) as u32;
        let payload = pkt.map(|pkt| (pkt, netspace_wire::udp::HEADER_LEN));
        let find = |ids: &[SockId]| choose(&self.table, ids.iter().copied(), (to.0, dev), payload, hash);
        find(table.connected(&tuple)).or_else(|| find(table.at(to.0, to.1))).or_else(|| {
            let any: SmallVec<[SockId; 4]> =
                wildcards(to.0).iter().flat_map(|&any| table.at(any, to.1)).copied().collect();
            choose(&self.table, any.iter().copied(), (to.0, dev), payload, hash)
        })
    }

    /// The listening socket for a SYN, of which `payload` tells where its data starts.
    pub(crate) fn find_listener(
        &self,
        to: (IpAddr, u16),
        from: (IpAddr, u16),
        dev: DevId,
        payload: Option<(&Pkt, usize)>,
    ) -> Option<SockId> {
        let hash = || self.secret.hash(b'r', &Tuple::new(to, from, dev)) as u32;
        let exact = self.tcp.listening_at(to.0, to.1);
        choose(&self.table, exact.iter().copied(), (to.0, dev), payload, hash).or_else(|| {
            let any: SmallVec<[SockId; 4]> =
                wildcards(to.0).iter().flat_map(|&any| self.tcp.listening_at(any, to.1)).copied().collect();
            choose(&self.table, any.iter().copied(), (to.0, dev), payload, hash)
        })
    }
}
