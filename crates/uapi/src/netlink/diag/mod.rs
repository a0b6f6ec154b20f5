//! `NETLINK_SOCK_DIAG`: what `ss` asks (sock_diag(7)).
//!
//! ```text
//! struct inet_diag_req_v2 { u8 family, protocol, ext, pad; u32 states; sockid; }                    56 bytes
//! struct inet_diag_msg { u8 family, state, timer, retrans; sockid; u32 expires, rqueue, wqueue, uid, inode; }   72
//! struct inet_diag_sockid { be16 sport, dport; be32 src[4], dst[4]; u32 if; u32 cookie[2]; }        48
//! ```

mod filter;

use std::net::{IpAddr, SocketAddr};

use netspace_base::Instant;
use netspace_stack::sock::{Family, SockInfo, SockType};
use netspace_stack::{Netns, Turn};

use super::read::{Kind, Policy};
use super::{NlError, Replies, Request, Row};
use crate::bytes_at::{array, u32_at};
use crate::option::cc_info;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
const REQUEST_LEN: usize = 56;
const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;

/// `INET_DIAG_REQ_BYTECODE`.
const BYTECODE: u16 = 1;
const POLICY: Policy = &[(BYTECODE, Kind::Any)];

const INET_DIAG_MEMINFO: u16 = 1;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_VEGASINFO: u16 = 3;
const INET_DIAG_CONG: u16 = 4;
const INET_DIAG_SHUTDOWN: u16 = 8;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_MARK: u16 = 15;

/// What is answered.
pub static TABLE: &[Row] = &[
    Row { ty: BY_FAMILY, name: "SOCK_DIAG_BY_FAMILY", family: AF_INET, run: Some(get), dump: Some(dump) },
    Row { ty: BY_FAMILY, name: "SOCK_DIAG_BY_FAMILY", family: AF_INET6, run: Some(get), dump: Some(dump) },
    // Families without a handler: ss falls back to /proc/net.
    Row { ty: BY_FAMILY, name: "SOCK_DIAG_BY_FAMILY", family: 0, run: Some(unknown), dump: Some(unknown) },
];

fn unknown(_: &mut Netns, _: &mut Turn, _: &Request<'_>, _: &mut Replies) -> Result<(), NlError> {
    Err(NlError::bare(libc::ENOENT))
}

/// What a request asks for.
struct Wanted {
    family: Family,
    protocol: u8,
    ext: u8,
    states: u32,
}

impl Wanted {
    fn read(request: &Request<'_>) -> Result<Self, NlError> {
        let body = request.body();
        if body.len() < REQUEST_LEN {
            return Err(NlError::bare(libc::EINVAL));
        }
        let family = if body[0] == AF_INET { Family::Inet } else { Family::Inet6 };
        let wanted = Self { family, protocol: body[1], ext: body[2], states: u32_at(body, 4).unwrap_or(0) };
        let known = [libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_RAW, libc::IPPROTO_UDPLITE];
        if known.contains(&i32::from(wanted.protocol)) {
            Ok(wanted)
        } else {
            Err(NlError::bare(libc::ENOENT))
        }
    }

    fn has_protocol(&self, info: &SockInfo) -> bool {
        match info.ty {
            SockType::Raw => i32::from(self.protocol) == libc::IPPROTO_RAW,
            _ => info.protocol == self.protocol,
        }
    }

    fn accepts(&self, info: &SockInfo) -> bool {
        // A closed TCP socket, or a datagram socket without a port, is not in the kernel's tables.
        let listed = info.ty == SockType::Raw || info.local.port() != 0;
        let state = 1u32.checked_shl(u32::from(info.state)).unwrap_or(0);
        listed && info.family == self.family && self.has_protocol(info) && self.states & state != 0
    }

    const fn wants(&self, attr: u16) -> bool {
        self.ext & (1 << (attr - 1)) != 0
    }
}

/// All sockets of a family and protocol in the states asked for.
fn dump(ns: &mut Netns, t: &mut Turn, request: &Request<'_>, out: &mut Replies) -> Result<(), NlError> {
    let wanted = Wanted::read(request)?;
    let attrs = request.attrs(REQUEST_LEN, POLICY)?;
    let program = attrs.get(BYTECODE).map_or(&[][..], |attr| attr.data);
    if !filter::is_valid(program) {
        return Err(NlError::bare(libc::EINVAL));
    }
    for info in ns.sockets(t.now).iter().filter(|i| wanted.accepts(i) && filter::accepts(program, i)) {
        write(ns, t.now, &wanted, info, out);
    }
    Ok(())
}

/// One socket, by its names.
fn get(ns: &mut Netns, t: &mut Turn, request: &Request<'_>, out: &mut Replies) -> Result<(), NlError> {
    let wanted = Wanted::read(request)?;
    let body = request.body();
    let end = |port_at: usize, addr_at: usize| -> Option<SocketAddr> {
        let port = u16::from_be_bytes(array(body, port_at)?);
        let ip: IpAddr = match wanted.family {
            Family::Inet => array::<4>(body, addr_at)?.into(),
            Family::Inet6 => array::<16>(body, addr_at)?.into(),
        };
        Some(SocketAddr::new(ip, port))
    };
    let (Some(local), Some(remote)) = (end(8, 12), end(10, 28)) else {
        return Err(NlError::bare(libc::EINVAL));
    };
    let same = |a: SocketAddr, b: SocketAddr| (a.ip(), a.port()) == (b.ip(), b.port());
    let sockets = ns.sockets(t.now);
    let found = sockets.iter().find(|info| {
        let named = same(info.local, local) && same(info.remote, remote);
        info.family == wanted.family && wanted.has_protocol(info) && named
    });
    write(ns, t.now, &wanted, found.ok_or(NlError::bare(libc::ENOENT))?, out);
    Ok(())
}

fn write(ns: &Netns, now: Instant, wanted: &Wanted, info: &SockInfo, out: &mut Replies) {
    let mut message = out.message(BY_FAMILY);
    message.raw(&header(info));
    message.u8(INET_DIAG_SHUTDOWN, info.shutdown);
    if info.family == Family::Inet6 {
        message.u8(INET_DIAG_SKV6ONLY, u8::from(info.v6only));
    }
    if info.mark != 0 {
        message.u32(INET_DIAG_MARK, info.mark);
    }
    if wanted.wants(INET_DIAG_MEMINFO) {
        // rmem, wmem, fmem, tmem
        let words = [info.recv_queue as u32, info.send_queue as u32, 0, info.send_queue as u32];
        message.attr(INET_DIAG_MEMINFO, &words.map(u32::to_ne_bytes).concat());
    }
    let tcp = info.id.filter(|_| info.ty == SockType::Stream && wanted.wants(INET_DIAG_INFO));
    if let Some(tcp) = tcp.and_then(|id| ns.tcp_info(id, now)) {
        message.attr(INET_DIAG_INFO, &crate::option::tcp_info_bytes(&tcp));
    }
    if let (true, Some(name)) = (wanted.wants(INET_DIAG_CONG), info.congestion) {
        message.text(INET_DIAG_CONG, name);
    }
    // The request's bits end at 8: Vegas's asks for whatever the controller tells, as Linux reads it.
    let controller = info.id.filter(|_| wanted.wants(INET_DIAG_VEGASINFO)).and_then(|id| ns.tcp_cc_info(id));
    if let Some(controller) = controller {
        message.attr(cc_info::attribute(&controller), &cc_info::emit(&controller));
    }
    out.push(message);
}

fn header(info: &SockInfo) -> Vec<u8> {
    let family = if info.family == Family::Inet { AF_INET } else { AF_INET6 };
    let mut out = vec![family, info.state, info.timer.kind, info.timer.retransmits];
    let sport = if info.ty == SockType::Raw { u16::from(info.protocol) } else { info.local.port() };
    out.extend(sport.to_be_bytes());
    out.extend(info.remote.port().to_be_bytes());
    for addr in [info.local.ip(), info.remote.ip()] {
        let mut bytes = match addr {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        bytes.resize(16, 0);
        out.extend(bytes);
    }
    out.extend(info.dev.map_or(0, |d| d.0).to_ne_bytes());
    out.extend(info.cookie.to_ne_bytes());
    let expires = u32::try_from(info.timer.expires.as_millis()).unwrap_or(u32::MAX);
    let queues = [info.recv_queue, info.send_queue].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let [recv, send] = queues;
    out.extend([expires, recv, send, info.owner.uid, info.owner.inode as u32].map(u32::to_ne_bytes).concat());
    out
}
