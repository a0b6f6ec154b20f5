//! What every socket has, whatever it speaks: names, options, queues, errors, readiness.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use netspace_base::DevId;

use super::bpf::Program;
use super::kept::Kept;
use super::queue::{ErrorQueue, RecvQueue};
use super::shared::Shared;
use super::sysctl::SockSysctls;
use super::tcp::TcpSock;
use super::udp::Udp;
use super::{Family, Filter, Membership, PmtuDiscover, Readiness, SockError, SockType, unspecified};
use crate::RouteOut;

/// What the socket speaks, and the state that goes with it.
#[derive(Debug)]
pub(crate) enum Kind {
    Udp(Box<Udp>),
    Raw,
    Ping,
    Tcp(Box<TcpSock>),
}

/// Who has a socket, for `/proc/net` and sock_diag: told by the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Owner {
    /// The inode number that programs see behind their descriptor.
    pub inode: u64,
    /// The user.
    pub uid: u32,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) family: Family,
    pub(crate) ty: SockType,
    pub(crate) protocol: u8,
    /// Unique in the namespace, never reused (`SO_COOKIE`).
    pub(crate) cookie: u64,
    pub(crate) owner: Owner,
    /// The local address; IPv4-mapped ones are kept as IPv4, wildcards are `0.0.0.0` or `::`.
    pub(crate) local: IpAddr,
    pub(crate) local_port: u16,
    /// The peer of a connected socket, mapped addresses kept as IPv4.
    pub(crate) remote: Option<SocketAddr>,
    /// The address was given by bind: connect and disconnect keep it.
    pub(crate) addr_bound: bool,
    /// The port was given by bind: disconnect keeps it.
    pub(crate) port_bound: bool,
    pub(crate) opts: Shared<Options>,
    pub(crate) rx: RecvQueue,
    pub(crate) errors: ErrorQueue,
    /// `sk_err`: the pending error.
    pub(crate) error: Option<SockError>,
    pub(crate) shut_read: bool,
    pub(crate) shut_write: bool,
    /// The program has closed it; TCP goes on by itself.
    pub(crate) orphan: bool,
    /// The route to `remote`, kept while it holds.
    pub(crate) route: Option<RouteOut>,
    /// Where in the effects of the current turn its wake-up lies, if there is one.
    pub(crate) wake_at: usize,
    pub(crate) kind: Kind,
}

/// What the device, address and TTL of multicast datagrams are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MulticastOut {
    pub(crate) dev4: Option<DevId>,
    pub(crate) src4: Option<Ipv4Addr>,
    pub(crate) ttl4: u8,
    pub(crate) loop4: bool,
    pub(crate) dev6: Option<DevId>,
    pub(crate) hops6: u8,
    pub(crate) loop6: bool,
}

impl MulticastOut {
    /// To the link only, and back to members on this host.
    const DEFAULT: Self =
        Self { dev4: None, src4: None, ttl4: 1, loop4: true, dev6: None, hops6: 1, loop6: true };
}

/// A struct that says of each field what a new one has.
macro_rules! with_defaults {
    ($(#[$meta:meta])* pub(crate) struct $name:ident {
        $($(#[$doc:meta])* pub(crate) $field:ident: $type:ty = $default:expr,)*
    }) => {
        $(#[$meta])*
        pub(crate) struct $name {
            $($(#[$doc])* pub(crate) $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

with_defaults! {
    /// The options of a socket, and what each is at first. Fields are named after their options.
    #[derive(Clone, Debug)]
    pub(crate) struct Options {
        pub(crate) reuse_addr: bool = false,
        pub(crate) reuse_port: bool = false,
        pub(crate) keepalive: bool = false,
        pub(crate) broadcast: bool = false,
        pub(crate) oob_inline: bool = false,
        pub(crate) dont_route: bool = false,
        pub(crate) linger: Option<Duration> = None,
        pub(crate) rcvbuf: u32 = 0,
        pub(crate) sndbuf: u32 = 0,
        /// The buffer was set by the program: it does not grow by itself any more.
        pub(crate) rcvbuf_locked: bool = false,
        pub(crate) sndbuf_locked: bool = false,
        pub(crate) rcv_lowat: u32 = 1,
        pub(crate) bound_dev: Option<DevId> = None,
        pub(crate) mark: u32 = 0,
        pub(crate) priority: u32 = 0,
        pub(crate) timestamp: bool = false,
        pub(crate) timestamp_ns: bool = false,
        pub(crate) rxq_ovfl: bool = false,
        pub(crate) filter: Option<Program> = None,
        pub(crate) filter_locked: bool = false,
        /// Chooses a socket of the `SO_REUSEPORT` group; all of the group have the same.
        pub(crate) reuseport_filter: Option<Program> = None,
        pub(crate) busy_poll: u32 = 0,
        pub(crate) max_pacing_rate: u64 = u64::MAX,
        pub(crate) no_check: bool = false,
        pub(crate) pass_sec: bool = false,
        pub(crate) kept: Kept = Kept::default(),

        pub(crate) ttl: Option<u8> = None,
        pub(crate) tos: u8 = 0,
        pub(crate) pktinfo4: bool = false,
        pub(crate) recv_ttl4: bool = false,
        pub(crate) recv_tos4: bool = false,
        pub(crate) recv_err4: bool = false,
        pub(crate) recv_orig_dst: bool = false,
        pub(crate) pmtu4: PmtuDiscover = PmtuDiscover::Want,
        pub(crate) hdrincl4: bool = false,
        pub(crate) multicast: MulticastOut = MulticastOut::DEFAULT,
        pub(crate) multicast_all: bool = true,
        pub(crate) multicast_all6: bool = true,
        pub(crate) freebind: bool = false,
        pub(crate) transparent: bool = false,
        pub(crate) bind_address_no_port: bool = false,
        pub(crate) ip_options: Vec<u8> = Vec::new(),
        pub(crate) ret_opts: bool = false,
        pub(crate) local_port_range: u32 = 0,
        pub(crate) min_ttl: u8 = 0,
        pub(crate) min_hops6: u8 = 0,
        pub(crate) unicast_if4: Option<DevId> = None,

        pub(crate) v6only: bool = false,
        pub(crate) hops6: Option<u8> = None,
        pub(crate) pktinfo6: bool = false,
        pub(crate) recv_hops6: bool = false,
        pub(crate) old_pktinfo6: bool = false,
        pub(crate) old_hops6: bool = false,
        pub(crate) recv_tclass6: bool = false,
        pub(crate) recv_err6: bool = false,
        pub(crate) tclass6: u8 = 0,
        pub(crate) pmtu6: PmtuDiscover = PmtuDiscover::Want,
        pub(crate) mtu6: u32 = 0,
        pub(crate) dont_frag6: bool = false,
        pub(crate) checksum6: Option<u16> = None,
        pub(crate) flowinfo_send: bool = false,
        pub(crate) auto_flow_label: bool = true,
        pub(crate) hdrincl6: bool = false,
        pub(crate) addr_preferences: u32 = 2,
        pub(crate) unicast_if6: Option<DevId> = None,
        pub(crate) icmp_filter: u32 = 0,
        pub(crate) icmp6_filter: [u32; 8] = [0; 8],

        pub(crate) memberships: Vec<Member> = Vec::new(),
    }
}

/// A group that a socket has joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) group: IpAddr,
    pub(crate) dev: DevId,
    /// As the program asked: what a leave must match.
    pub(crate) asked: Membership,
    /// Whom it wants to hear.
    pub(crate) filter: Filter<IpAddr>,
}

impl Options {
    /// Those of a new socket; what sysctls say is told below, all else above.
    fn new(sysctls: &SockSysctls, ty: SockType) -> Self {
        let (rcvbuf, sndbuf) = match ty {
            SockType::Stream => (sysctls.tcp_rmem[1], sysctls.tcp_wmem[1]),
            _ => (sysctls.rmem_default, sysctls.wmem_default),
        };
        let pmtu4 = if sysctls.no_pmtu_disc == 0 { PmtuDiscover::Want } else { PmtuDiscover::Dont };
        Self { rcvbuf, sndbuf, pmtu4, v6only: sysctls.bindv6only != 0, ..Self::default() }
    }

    /// Whether two new sockets' options are the same.
    fn begin_alike(&self, other: &Self) -> bool {
        let start = |o: &Self| (o.rcvbuf, o.sndbuf, o.pmtu4, o.v6only);
        start(self) == start(other)
    }
}

/// The options of new sockets as they last were: streams, and all others.
#[derive(Debug, Default)]
pub(crate) struct FreshOptions([Option<Shared<Options>>; 2]);

impl FreshOptions {
    pub(crate) fn get(&mut self, sysctls: &SockSysctls, ty: SockType) -> Shared<Options> {
        let now = Options::new(sysctls, ty);
        let slot = &mut self.0[usize::from(ty == SockType::Stream)];
        match slot {
            Some(last) if last.begin_alike(&now) => last.clone(),
            _ => slot.insert(Shared::new(now)).clone(),
        }
    }
}

/// An address as the tables keep it: IPv4-mapped IPv6 as IPv4.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The device that the scope of a link-local address names.
pub(crate) fn scope_dev(addr: &SocketAddr) -> Option<DevId> {
    match addr {
        SocketAddr::V6(v6) if v6.scope_id() != 0 && needs_scope(v6.ip()) => Some(DevId(v6.scope_id())),
        _ => None,
    }
}

/// Whether an address means something only together with a link: unicast or multicast of link-local scope (RFC 4007).
pub(crate) fn needs_scope(addr: &Ipv6Addr) -> bool {
    addr.is_unicast_link_local() || (addr.is_multicast() && matches!(addr.octets()[1] & 0xf, 1 | 2))
}

/// An address as a program with a socket of `family` sees it: IPv4 mapped on IPv6 sockets, with the scope of link-local
/// addresses.
pub(crate) fn shown(family: Family, ip: IpAddr, port: u16, dev: Option<DevId>) -> SocketAddr {
    match (family, ip) {
        (Family::Inet, ip) => SocketAddr::new(ip, port),
        (Family::Inet6, IpAddr::V4(v4)) => SocketAddr::new(IpAddr::V6(v4.to_ipv6_mapped()), port),
        (Family::Inet6, IpAddr::V6(v6)) => {
            let scope = if needs_scope(&v6) { dev.map_or(0, |d| d.0) } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope))
        }
    }
}

impl Socket {
    pub(crate) fn new(
        family: Family,
        ty: SockType,
        protocol: u8,
        cookie: u64,
        kind: Kind,
        opts: Shared<Options>,
    ) -> Self {
        Self {
            family,
            ty,
            protocol,
            cookie,
            owner: Owner::default(),
            local: unspecified(family),
            local_port: 0,
            remote: None,
            addr_bound: false,
            port_bound: false,
            opts,
            rx: RecvQueue::default(),
            errors: ErrorQueue::default(),
            error: None,
            shut_read: false,
            shut_write: false,
            orphan: false,
            route: None,
            wake_at: usize::MAX,
            kind,
        }
    }

    /// The local name as the program sees it.
    pub(crate) fn local_shown(&self) -> SocketAddr {
        shown(self.family, self.local, self.local_port, self.opts.bound_dev)
    }

    /// The peer's name as the program sees it.
    pub(crate) fn remote_shown(&self) -> Option<SocketAddr> {
        let remote = self.remote?;
        Some(shown(self.family, remote.ip(), remote.port(), self.opts.bound_dev))
    }

    /// Whether the socket takes packets of the family that `addr` has.
    pub(crate) fn takes_family_of(&self, addr: IpAddr) -> bool {
        match (self.family, addr) {
            (Family::Inet, addr) => addr.is_ipv4(),
            (Family::Inet6, IpAddr::V6(_)) => !matches!(self.local, IpAddr::V4(_)),
            (Family::Inet6, IpAddr::V4(_)) => {
                !self.opts.v6only && (matches!(self.local, IpAddr::V4(_)) || self.local.is_unspecified())
            }
        }
    }

    /// Whether a packet to `addr` is to the socket's own address.
    pub(crate) fn local_matches(&self, addr: IpAddr) -> bool {
        self.takes_family_of(addr) && (self.local.is_unspecified() || self.local == addr)
    }

    /// Whether it takes packets that come by `dev`.
    pub(crate) fn dev_matches(&self, dev: DevId) -> bool {
        self.opts.bound_dev.is_none_or(|bound| bound == dev)
    }

    /// Whether extended errors are kept for packets of `addr`'s family.
    pub(crate) fn recv_err(&self, addr: IpAddr) -> bool {
        if addr.is_ipv4() { self.opts.recv_err4 } else { self.opts.recv_err6 }
    }

    /// Path-MTU discovery towards `addr`'s family.
    pub(crate) fn pmtu_discover(&self, addr: IpAddr) -> PmtuDiscover {
        if addr.is_ipv4() { self.opts.pmtu4 } else { self.opts.pmtu6 }
    }

    /// Takes the pending error.
    pub(crate) fn take_error(&mut self) -> Option<SockError> {
        self.error.take()
    }

    /// The pending error as a failed call reports it.
    pub(crate) fn check_error(&mut self) -> Result<(), SockError> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// What poll(2) tells of a datagram socket.
    pub(crate) fn datagram_readiness(&self) -> Readiness {
        let mut ready = Readiness::OUT;
        ready.set(Readiness::IN, !self.rx.is_empty() || self.shut_read);
        ready.set(Readiness::RDHUP, self.shut_read);
        ready.set(Readiness::HUP, self.shut_read && self.shut_write);
        ready.set(Readiness::ERR, self.error.is_some() || !self.errors.is_empty());
        ready
    }

    /// The UDP part, to be looked at; none on other sockets.
    pub(crate) fn udp_ref(&self) -> Option<&Udp> {
        match &self.kind {
            Kind::Udp(udp) => Some(udp),
            _ => None,
        }
    }

    /// The UDP part; none on other sockets.
    pub(crate) fn udp(&mut self) -> Option<&mut Udp> {
        match &mut self.kind {
            Kind::Udp(udp) => Some(udp),
            _ => None,
        }
    }

    /// The TCP part; none on other sockets.
    pub(crate) fn tcp(&self) -> Option<&TcpSock> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// The TCP part, to be changed.
    pub(crate) fn tcp_mut(&mut self) -> Option<&mut TcpSock> {
        match &mut self.kind {
            Kind::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}
