//! A whole namespace as a fuzz target: a script of frames, time and socket calls, and the promises that must hold after
//! each step: nothing panics, and every packet has come to its end or lies in a queue.
//!
//! ```text
//! step: op 1 byte: low 3 bits what, high 5 bits how
//!   0–3 frame   length 2, bytes; how: 1 mend checksums, 2 acknowledge what TCP sent last, 4 second device, 8 to our MAC
//!   4   time    milliseconds 2
//!   5   to the next timer
//!   6   program: accept, read, write, close
//!   7   program: connect, or send a datagram
//! ```
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::{IpAddr, SocketAddr};

use netspace_base::{Bytes, DevId, DropReason, Duration, NsId, Pkt, PktId, Seed};
use netspace_stack::sock::{Family, How, Message, RecvFlags, SockId, SockType};
use netspace_stack::{Effect, Netns, NetnsConfig, Turn};
use netspace_wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use netspace_wire::tcp::{SeqNum, TcpFlags, TcpRepr};
use netspace_wire::{checksum, ipv4, protocol};

/// The first device's Ethernet address.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC2: [u8; 6] = [2, 0, 0, 0, 1, 1];
const STEPS_MAX: usize = 200;
const SOCKETS_MAX: usize = 32;
/// Rounds of the packet loop after a step; more would be a loop that never ends.
const RUNS_MAX: usize = 1000;

pub struct Machine {
    ns: Netns,
    t: Turn,
    devs: [DevId; 2],
    listener: SockId,
    sockets: Vec<SockId>,
    /// What TCP sent last: its number after it, and the number that it expects.
    last_tcp: (SeqNum, SeqNum),
    /// From and to which port.
    last_ports: (u16, u16),
    outcome: Outcome,
}

/// How far a script came.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Connections accepted.
    pub accepted: usize,
    /// Bytes and datagrams' bytes read.
    pub read: usize,
    /// Frames sent.
    pub sent: usize,
    /// Why packets were dropped.
    pub drops: Vec<DropReason>,
}

/// Runs a script.
pub fn frames(script: &[u8]) -> Outcome {
    let mut machine = Machine::new();
    let mut rest = script;
    for _ in 0..STEPS_MAX {
        if rest.is_empty() {
            break;
        }
        rest = machine.step(rest);
        machine.settle();
    }
    for socket in std::mem::take(&mut machine.sockets) {
        machine.ns.close(&mut machine.t, socket);
    }
    machine.settle();
    machine.pass(Duration::from_secs(3600));
    machine.settle();
    machine.ns.shut_down(&mut machine.t);
    assert_eq!(machine.t.ledger.in_flight(), 0, "a packet has neither arrived nor been dropped");
    machine.outcome.drops = machine.t.ledger.drops().map(|(reason, _)| reason).collect();
    machine.outcome
}

impl Machine {
    /// A router with two devices, IPv4 and IPv6, a TCP listener on port 80 and a UDP socket on port 53.
    pub fn new() -> Self {
        let mut t = Turn::default();
        let config = NetnsConfig { id: NsId(0), name: "fuzzed".into(), seed: Seed(1) };
        let mut ns = Netns::new(config, &mut t);
        let eth0 = ns.add_link_end(&mut t, "eth0", MAC, 1500).unwrap();
        let eth1 = ns.add_link_end(&mut t, "eth1", MAC2, 1280).unwrap();
        let addresses =
            [(eth0, "10.0.1.1/24"), (eth0, "fd00:1::1/64"), (eth1, "10.0.2.1/24"), (eth1, "fd00:2::1/64")];
        for (dev, addr) in addresses {
            ns.set_up(&mut t, dev, true).unwrap();
            ns.add_address(&mut t, dev, addr.parse().unwrap(), true).unwrap();
        }
        ns.set_sysctl(&mut t, "ipv4.ip_forward", "1").unwrap();
        ns.set_sysctl(&mut t, "ipv6.conf.all.forwarding", "1").unwrap();
        let listener = ns.socket(&mut t, Family::Inet6, SockType::Stream, 0).unwrap();
        ns.bind(&mut t, listener, "[::]:80".parse().unwrap()).unwrap();
        ns.listen(&mut t, listener, 4).unwrap();
        let udp = ns.socket(&mut t, Family::Inet6, SockType::Dgram, 0).unwrap();
        ns.bind(&mut t, udp, "[::]:53".parse().unwrap()).unwrap();
        let raw = ns.socket(&mut t, Family::Inet, SockType::Raw, protocol::ICMP).unwrap();
        let (last_tcp, last_ports) = ((SeqNum(0), SeqNum(0)), (0, 0));
        Self {
            ns,
            t,
            devs: [eth0, eth1],
            listener,
            sockets: vec![udp, raw],
            last_tcp,
            last_ports,
            outcome: Outcome::default(),
        }
    }

    fn step<'a>(&mut self, script: &'a [u8]) -> &'a [u8] {
        let [op, rest @ ..] = script else { return &[] };
        let how = op >> 3;
        let number = |at: usize| rest.get(at).copied().unwrap_or(0);
        match op & 7 {
            0..=3 => {
                let len = usize::from(u16::from_le_bytes([number(0), number(1)]) % 1600);
                let rest = rest.get(2..).unwrap_or_default();
                let (frame, rest) = rest.split_at(len.min(rest.len()));
                self.frame(how, frame);
                return rest;
            }
            4 => self.pass(Duration::from_millis(u16::from_le_bytes([number(0), number(1)]).into())),
            5 => {
                if let Some(at) = self.ns.next_timeout() {
                    self.t.now = at.max(self.t.now);
                    self.ns.on_timeout(&mut self.t);
                }
                return rest;
            }
            6 => {
                self.program(how, number(0));
                return rest.get(1..).unwrap_or_default();
            }
            _ => self.call_out(how, u16::from_le_bytes([number(0), number(1)])),
        }
        rest.get(2..).unwrap_or_default()
    }

    fn frame(&mut self, how: u8, frame: &[u8]) {
        let mut bytes = frame.to_vec();
        if how & 8 != 0 && bytes.len() >= 6 {
            bytes[..6].copy_from_slice(if how & 4 == 0 { &MAC } else { &MAC2 });
        }
        if how & 2 != 0 {
            self.acknowledge(&mut bytes);
        }
        if how & 1 != 0 {
            bytes = mend(&bytes);
        }
        let dev = self.devs[usize::from(how >> 2 & 1)];
        self.ns.receive(&mut self.t, dev, Pkt::from_slice(PktId(1), &bytes));
    }

    /// Puts the ports and numbers that our side expects into a TCP segment.
    fn acknowledge(&self, bytes: &mut [u8]) {
        let Some(at) = tcp_offset(bytes) else { return };
        if let Some(header) = bytes.get_mut(at..at + 12) {
            header[..2].copy_from_slice(&self.last_ports.1.to_be_bytes());
            header[2..4].copy_from_slice(&self.last_ports.0.to_be_bytes());
            header[4..8].copy_from_slice(&self.last_tcp.1.0.to_be_bytes());
            header[8..].copy_from_slice(&self.last_tcp.0.0.to_be_bytes());
        }
    }

    /// Time passes, with all timers that come due in it.
    fn pass(&mut self, time: Duration) {
        let end = self.t.now + time;
        for _ in 0..RUNS_MAX {
            let Some(at) = self.ns.next_timeout().filter(|&at| at <= end) else { break };
            self.t.now = at.max(self.t.now);
            self.ns.on_timeout(&mut self.t);
            self.settle();
        }
        self.t.now = end;
        self.ns.on_timeout(&mut self.t);
    }

    fn program(&mut self, how: u8, which: u8) {
        let t = &mut self.t;
        if how & 7 == 0
            && self.sockets.len() < SOCKETS_MAX
            && let Ok((socket, _)) = self.ns.accept(t, self.listener)
        {
            self.sockets.push(socket);
            self.outcome.accepted += 1;
        }
        let index = usize::from(which) % self.sockets.len();
        let socket = self.sockets[index];
        match how & 7 {
            1 => {
                let received = self.ns.recv(t, socket, 4096, RecvFlags::default());
                self.outcome.read += received.map_or(0, |r| r.len());
            }
            2 => {
                let data = Bytes::from(vec![b'x'; usize::from(which) * 256]);
                let _ = self.ns.send(t, socket, Message { data, ..Message::default() });
            }
            3 => drop(self.ns.shutdown(t, socket, How::Write)),
            4 if index > 1 => {
                self.sockets.remove(index);
                self.ns.close(t, socket);
            }
            5 => drop(self.ns.recv(t, socket, 64, RecvFlags { error_queue: true, ..RecvFlags::default() })),
            6 => drop(self.ns.take_error(socket)),
            _ => drop((self.ns.readiness(socket), self.ns.recv_queue_len(socket), self.ns.peer_addr(socket))),
        }
    }

    fn call_out(&mut self, how: u8, port: u16) {
        let t = &mut self.t;
        let ip: IpAddr = [
            "10.0.1.2",
            "fd00:1::2",
            "10.0.2.2",
            "127.0.0.1",
            "::1",
            "10.9.9.9",
            "224.0.0.5",
            "255.255.255.255",
        ][usize::from(how & 7)]
        .parse()
        .unwrap();
        let to = SocketAddr::new(ip, port);
        if how & 8 == 0 {
            let _ = self.ns.send(
                t,
                self.sockets[0],
                Message { to: Some(to), data: Bytes::from_static(b"hi"), ..Message::default() },
            );
            return;
        }
        let family = if ip.is_ipv4() { Family::Inet } else { Family::Inet6 };
        if self.sockets.len() < SOCKETS_MAX
            && let Ok(socket) = self.ns.socket(t, family, SockType::Stream, 0)
        {
            let _ = self.ns.connect(t, socket, to);
            self.sockets.push(socket);
        }
    }

    /// Lets the packet loop come to rest, looks at what was sent, and counts.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < RUNS_MAX, "the packet loop does not come to rest");
            if !self.ns.run(&mut self.t) {
                break;
            }
        }
        for effect in std::mem::take(&mut self.t.effects) {
            if let Effect::Xmit { pkt, .. } = effect {
                self.outcome.sent += 1;
                self.look_at(&pkt);
            }
        }
        assert_eq!(self.t.ledger.in_flight(), self.ns.queued(), "{:?}", self.t.ledger);
    }

    /// What leaves must be well formed; TCP's numbers are kept for the answer.
    fn look_at(&mut self, pkt: &Pkt) {
        assert!(checksum::verify(pkt), "a wrong transport checksum left: {:02x?}", pkt.copy_range(0, 200));
        let bytes = pkt.copy_range(0, 200);
        if let Some(at) = tcp_offset(&bytes)
            && let Ok((tcp, len)) = TcpRepr::parse(&bytes[at..])
        {
            let payload = pkt.len() - at - len;
            self.last_ports = (tcp.src_port, tcp.dst_port);
            self.last_tcp.0 = tcp.seq + payload + tcp.flags.sequence_len();
            if tcp.flags.contains(TcpFlags::ACK) {
                self.last_tcp.1 = tcp.ack;
            }
        }
    }
}

/// Where a TCP header starts in a frame without IP options.
fn tcp_offset(frame: &[u8]) -> Option<usize> {
    let ethertype = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    match ethertype {
        ETHERTYPE_IPV4 if *frame.get(23)? == protocol::TCP => Some(34),
        ETHERTYPE_IPV6 if *frame.get(20)? == protocol::TCP => Some(54),
        _ => None,
    }
}

/// The frame with right checksums.
fn mend(frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    if let Some(header) = bytes.get_mut(14..)
        && let Some(first) = header.first()
    {
        let len = usize::from(first & 0xf) * 4;
        if first >> 4 == 4 && len >= ipv4::HEADER_LEN && header.len() >= len {
            ipv4::fill_header_checksum(&mut header[..len]);
        }
    }
    let mut pkt = Pkt::from_slice(PktId(1), &bytes);
    pkt.set_mac_header();
    checksum::recompute(&mut pkt);
    pkt.data().to_vec()
}
