//! Sockets: `tcp`, `udp`, `raw`, `icmp` and their IPv6 kin, `sockstat`.
//!
//! Linux pads IPv4's lines to a width and IPv6's not; `netstat` and `lsof` read fields, some scripts read columns.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use netspace_base::Instant;
use netspace_stack::Netns;
use netspace_stack::packet::PacketType;
use netspace_stack::sock::{Family, SockInfo, SockType};

use super::route::hex4;

/// `TCP_LISTEN`, `TCP_TIME_WAIT`.
const LISTEN: u8 = 10;
const TIME_WAIT: u8 = 6;
/// Widths of IPv4's lines.
const TCP_WIDTH: usize = 149;
const UDP_WIDTH: usize = 127;

/// An address as it lies in memory, by words of the machine's order, and its port.
fn name(addr: SocketAddr) -> String {
    let ip = match addr.ip() {
        IpAddr::V4(v4) => hex4(v4),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let words = octets.chunks_exact(4).map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
            words.fold(String::with_capacity(32), |mut out, word| {
                let _ = write!(out, "{word:08X}");
                out
            })
        }
    };
    format!("{ip}:{:04X}", addr.port())
}

/// The columns that all kinds share, up to the inode.
fn columns(info: &SockInfo, local: SocketAddr) -> String {
    // Of a listener, the send queue is its backlog to sock_diag; the file shows nothing there.
    let send_queue = if info.state == LISTEN { 0 } else { info.send_queue };
    let ticks = info.timer.expires.as_millis() / 10;
    format!(
        "{} {} {:02X} {:08X}:{:08X} {:02X}:{:08X} {:08X} {:5} {:8} {}",
        name(local),
        name(info.remote),
        info.state,
        send_queue,
        info.recv_queue,
        info.timer.kind,
        ticks,
        info.timer.retransmits,
        info.owner.uid,
        info.timer.retransmits,
        info.owner.inode,
    )
}

fn is(info: &SockInfo, family: Family, ty: SockType, protocol: u8) -> bool {
    (info.family, info.ty, info.protocol) == (family, ty, protocol)
}

/// Packet sockets. The first column is a pointer (hidden).
pub(super) fn packet(ns: &Netns, _: Instant) -> String {
    let mut out = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n".to_owned();
    for info in ns.packet_sockets() {
        let ty = match info.ty {
            PacketType::Raw => libc::SOCK_RAW,
            PacketType::Dgram => libc::SOCK_DGRAM,
        };
        let _ = writeln!(
            out,
            "{:016x} {:<6} {ty:<4} {:04x}   {:<5} {} {:<6} {:<6} {:<6}",
            0,
            if info.running { 3 } else { 2 },
            info.protocol,
            info.dev.0,
            u8::from(info.running),
            info.memory,
            info.owner.uid,
            info.owner.inode,
        );
    }
    out
}

fn tcp_of(ns: &Netns, now: Instant, family: Family) -> String {
    let (header, width) = match family {
        Family::Inet => (
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            TCP_WIDTH,
        ),
        Family::Inet6 => (
            "  sl  local_address                         remote_address                        st tx_queue rx_queue tr \
             tm->when retrnsmt   uid  timeout inode",
            0,
        ),
    };
    let mut out = format!("{header:<width$}\n");
    let mut connections: Vec<_> =
        ns.sockets(now).into_iter().filter(|i| is(i, family, SockType::Stream, 6)).collect();
    // A socket that has neither a port nor a peer is not listed; listeners come first.
    connections.retain(|i| i.state != 7);
    connections.sort_by_key(|i| i.state != LISTEN);
    for (line, info) in connections.iter().enumerate() {
        let shared = columns(info, info.local);
        let text = match info.state {
            TIME_WAIT => format!("{line:4}: {shared} 3 0000000000000000"),
            _ => tcp_line(ns, now, line, &shared, info),
        };
        let _ = writeln!(out, "{text:<width$}");
    }
    out
}

/// Behind the inode: references, a pointer (hidden), RTO and delayed-ACK timeout in ticks, quickacks, window, threshold.
fn tcp_line(ns: &Netns, now: Instant, line: usize, shared: &str, info: &SockInfo) -> String {
    let tcp = info.id.and_then(|id| ns.tcp_info(id, now)).unwrap_or_default();
    let ticks = |d: std::time::Duration| d.as_millis() / 10;
    if info.state == LISTEN {
        return format!("{line:4}: {shared} 1 0000000000000000 100 0 0 10 0");
    }
    // Still in slow start: the threshold has no meaning yet.
    let threshold = if tcp.snd_ssthresh >= 0x7fff_ffff { -1 } else { i64::from(tcp.snd_ssthresh) };
    let (rto, ato) = (ticks(tcp.rto), ticks(tcp.ato));
    format!("{line:4}: {shared} 1 0000000000000000 {rto} {ato} 0 {} {threshold}", tcp.snd_cwnd)
}

/// Datagram sockets. Raw ones show their protocol where others show the port.
fn datagrams(ns: &Netns, now: Instant, family: Family, ty: SockType, keep: fn(u8) -> bool) -> String {
    let (header, width) = match (family, ty) {
        (Family::Inet, SockType::Dgram) => (
            "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref \
             pointer drops",
            UDP_WIDTH,
        ),
        (Family::Inet, _) => (
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref \
             pointer drops",
            0,
        ),
        (Family::Inet6, _) => (
            "  sl  local_address                         remote_address                        st tx_queue rx_queue tr \
             tm->when retrnsmt   uid  timeout inode ref pointer drops",
            0,
        ),
    };
    let mut out = format!("{header:<width$}\n");
    let mine = |i: &SockInfo| i.family == family && i.ty == ty && keep(i.protocol);
    for info in ns.sockets(now).iter().filter(|i| mine(i)) {
        let mut local = info.local;
        if ty == SockType::Raw {
            local.set_port(u16::from(info.protocol));
        } else if local.port() == 0 {
            continue;
        }
        let text =
            format!("{:5}: {} 2 0000000000000000 {}", info.local.port(), columns(info, local), info.drops);
        let _ = writeln!(out, "{text:<width$}");
    }
    out
}

pub(super) fn tcp(ns: &Netns, now: Instant) -> String {
    tcp_of(ns, now, Family::Inet)
}

pub(super) fn tcp6(ns: &Netns, now: Instant) -> String {
    tcp_of(ns, now, Family::Inet6)
}

pub(super) fn udp(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet, SockType::Dgram, |p| p == 17)
}

pub(super) fn udp6(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet6, SockType::Dgram, |p| p == 17)
}

pub(super) fn udplite(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet, SockType::Dgram, |p| p == 136)
}

pub(super) fn udplite6(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet6, SockType::Dgram, |p| p == 136)
}

pub(super) fn icmp(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet, SockType::Dgram, |p| p == 1)
}

pub(super) fn icmp6(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet6, SockType::Dgram, |p| p == 58)
}

pub(super) fn raw(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet, SockType::Raw, |_| true)
}

pub(super) fn raw6(ns: &Netns, now: Instant) -> String {
    datagrams(ns, now, Family::Inet6, SockType::Raw, |_| true)
}

pub(super) fn sockstat(ns: &Netns, _now: Instant) -> String {
    let s = ns.sock_stat();
    format!(
        "sockets: used {}\nTCP: inuse {} orphan {} tw {} alloc {} mem 0\nUDP: inuse {} mem 0\nUDPLITE: inuse {}\n\
         RAW: inuse {}\nFRAG: inuse 0 memory 0\n",
        s.used,
        s.tcp,
        s.orphans,
        s.time_wait,
        s.tcp + s.tcp6,
        s.udp,
        s.udplite,
        s.raw,
    )
}

pub(super) fn sockstat6(ns: &Netns, _now: Instant) -> String {
    let s = ns.sock_stat();
    format!(
        "TCP6: inuse {}\nUDP6: inuse {}\nUDPLITE6: inuse {}\nRAW6: inuse {}\nFRAG6: inuse 0 memory 0\n",
        s.tcp6, s.udp6, s.udplite6, s.raw6
    )
}
