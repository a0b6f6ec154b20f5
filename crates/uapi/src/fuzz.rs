//! Entry points for fuzzing: each takes any bytes, and must neither panic nor loop.

use netspace_base::{DevId, NsId, Seed};
use netspace_stack::packet::{ETH_P_ALL, PacketType};
use netspace_stack::sock::{Family, SockType};
use netspace_stack::{Netns, NetnsConfig, Turn};

use crate::netlink::read::{align, messages};
use crate::netlink::{NETLINK_GET_STRICT_CHK, NETLINK_ROUTE, NETLINK_SOCK_DIAG, NetlinkSocket};
use crate::option::Devices;
use crate::packet::{self, Changed, Memory, PacketSocket, SOL_PACKET};
use crate::sockaddr::{Call, SockKind};
use crate::{cmsg, ioctl, option, sockaddr};

const KINDS: &[SockKind] = &[
    SockKind { family: Family::Inet, ty: SockType::Stream, protocol: 6 },
    SockKind { family: Family::Inet, ty: SockType::Dgram, protocol: 17 },
    SockKind { family: Family::Inet, ty: SockType::Dgram, protocol: 1 },
    SockKind { family: Family::Inet, ty: SockType::Raw, protocol: 1 },
    SockKind { family: Family::Inet6, ty: SockType::Stream, protocol: 6 },
    SockKind { family: Family::Inet6, ty: SockType::Dgram, protocol: 17 },
    SockKind { family: Family::Inet6, ty: SockType::Dgram, protocol: 58 },
    SockKind { family: Family::Inet6, ty: SockType::Raw, protocol: 58 },
];

/// One device: `lo`, number 1.
struct OneDevice;

impl Devices for OneDevice {
    fn index(&self, name: &str) -> Option<DevId> {
        (name == "lo").then_some(DevId(1))
    }

    fn name(&self, dev: DevId) -> Option<String> {
        (dev == DevId(1)).then(|| "lo".to_owned())
    }
}

/// A socket address, for each call and kind of socket. What is accepted must survive its way out and back.
pub fn sockaddr(bytes: &[u8]) {
    for &kind in KINDS {
        for call in [Call::Bind, Call::Connect, Call::Send] {
            if let Ok(sockaddr::Parsed::Addr(addr)) = sockaddr::parse(bytes, kind, call) {
                let again = sockaddr::parse_any(&sockaddr::emit_ip(addr.ip())).map(|a| a.ip());
                assert_eq!(again, Some(addr.ip()));
            }
        }
    }
}

/// Control messages to send, for each kind of socket.
pub fn cmsg(bytes: &[u8]) {
    for &kind in KINDS {
        let _ = cmsg::parse(bytes, kind, true);
        let _ = cmsg::parse(bytes, kind, false);
    }
}

/// An option: the first byte names the level, the second the number, the third the room for the answer. What is accepted
/// can be told again.
pub fn option(bytes: &[u8]) {
    let [level, number, room, value @ ..] = bytes else { return };
    let (level, number) = (i32::from(*level), i32::from(*number));
    let _ = option::filter_program(value);
    for &kind in KINDS {
        let _ = option::get(kind, level, number);
        if let Ok(option::Set::Stack(set)) = option::set(kind, level, number, value, &OneDevice) {
            let answer = option::emit(level, number, &set, usize::from(*room), &OneDevice);
            assert!(answer.is_err() || answer.is_ok_and(|bytes| bytes.len() <= usize::from(*room)));
        }
    }
}

/// A datagram of netlink requests, on a socket of each protocol. What is queued as an answer must be well-formed.
pub fn netlink(bytes: &[u8]) {
    let mut turn = Turn::default();
    let config = NetnsConfig { id: NsId(1), name: "fuzz".to_owned(), seed: Seed(1) };
    let mut ns = Netns::new(config, &mut turn);
    for protocol in [NETLINK_ROUTE, NETLINK_SOCK_DIAG] {
        let Ok(mut socket) = NetlinkSocket::new(protocol) else { continue };
        for strict in [0i32, 1] {
            let _ = socket.set_option(NETLINK_GET_STRICT_CHK, &strict.to_ne_bytes());
            let _ = socket.set_option(libc::NETLINK_EXT_ACK, &strict.to_ne_bytes());
            socket.autobind(1);
            socket.request(&mut ns, &mut turn, bytes);
            while let Ok(datagram) = socket.recv(usize::MAX, false) {
                let total: usize = messages(&datagram.data).map(|(_, m)| align(m.len())).sum();
                assert_eq!(total, datagram.full_len, "a reply is made of whole messages");
            }
        }
    }
}

/// A device ioctl: the first byte is its number's low part, the rest the `ifreq`.
pub fn ioctl(bytes: &[u8]) {
    let [low, ifreq @ ..] = bytes else { return };
    let mut turn = Turn::default();
    let config = NetnsConfig { id: NsId(1), name: "fuzz".to_owned(), seed: Seed(1) };
    let mut ns = Netns::new(config, &mut turn);
    let _ = ioctl::interface(&mut ns, &mut turn, 0x8900 | u32::from(*low), ifreq);
}

/// Memory of a ring that its program fills with whatever it likes.
struct Scribbled(Vec<u8>);

impl Memory for Scribbled {
    fn load(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn store(&mut self, at: usize, word: u32) {
        self.write(at, &word.to_ne_bytes());
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, at: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0[at..at + into.len()]);
    }
}

/// A packet socket: its address, and three options, of which each is a number, and its value: two bytes of each third of
/// the rest. If they come to a ring its memory holds the bytes again and again, and frames of the loopback device go in.
pub fn packet(bytes: &[u8]) {
    const RING_MAX: usize = 1 << 18;
    let _ = packet::parse_name(bytes);
    let [version, numbers @ .., _] = bytes else { return };
    let mut turn = Turn::default();
    let config = NetnsConfig { id: NsId(1), name: "fuzz".to_owned(), seed: Seed(1) };
    let mut ns = Netns::new(config, &mut turn);
    let Ok(id) = ns.packet_socket(PacketType::Raw, ETH_P_ALL) else { return };
    let mut socket = PacketSocket::new(id, PacketType::Raw);
    let mut memory = Scribbled(Vec::new());
    let _ = socket.set(&mut ns, SOL_PACKET, 10, &u32::from(*version).to_ne_bytes());
    for option in numbers.chunks(numbers.len() / 3 + 1) {
        let Some((number, value)) = option.split_first() else { continue };
        let changed = socket.set(&mut ns, SOL_PACKET, i32::from(*number), value);
        if let Ok(Changed::Rings(len)) = changed {
            if len > RING_MAX {
                return;
            }
            memory.0 = bytes.iter().copied().cycle().take(len).collect();
        }
        let _ = socket.get(&mut ns, SOL_PACKET, i32::from(*number), value);
    }
    for len in [14, 60, 1514, 9000] {
        let _ = ns.packet_send(&mut turn, id, None, vec![0; len].into());
        while ns.run(&mut turn) {}
    }
    while let Ok(frame) = ns.packet_recv(id, false) {
        let _ = packet::control(&socket, &frame, std::time::Duration::ZERO, usize::from(*version));
        if let Some(ring) = socket.rx.as_mut().filter(|_| !memory.0.is_empty()) {
            ring.push(&mut memory, &frame, std::time::Duration::from_secs(1));
            ring.retire(&mut memory);
            ring.is_readable(&memory);
        }
    }
    for _ in 0..bytes.len() {
        let taken =
            socket.tx.as_mut().filter(|_| !memory.0.is_empty()).and_then(|ring| ring.take(&mut memory));
        if taken.is_none() {
            break;
        }
    }
}
