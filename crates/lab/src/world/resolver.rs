//! The DNS responder of each host: sockets at 127.0.0.53:53, UDP and TCP, through the same calls that programs use.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use netspace_base::NsId;
use netspace_stack::sock::{Family, Message, RecvFlags, SendControl, SockError, SockId, SockType};
use netspace_stack::{Netns, Turn};

use crate::dns;
use crate::views::RESOLVER;

use super::World;

/// The port of DNS.
const PORT: u16 = 53;
/// At most this many TCP connections are served at a time; older ones are closed.
const MAX_CONNECTIONS: usize = 32;
/// At most this many datagrams are read at one wake.
const MAX_BATCH: usize = 64;

/// The sockets of one host's responder.
#[derive(Debug)]
pub(super) struct Resolver {
    udp: SockId,
    listener: SockId,
    connections: Vec<(SockId, Vec<u8>)>,
}

impl Resolver {
    /// Opens the sockets.
    pub(super) fn open(netns: &mut Netns, t: &mut Turn) -> Result<Self, SockError> {
        let addr = SocketAddr::new(IpAddr::V4(RESOLVER), PORT);
        let udp = netns.socket(t, Family::Inet, SockType::Dgram, 0)?;
        netns.bind(t, udp, addr)?;
        let listener = netns.socket(t, Family::Inet, SockType::Stream, 0)?;
        netns.bind(t, listener, addr)?;
        netns.listen(t, listener, MAX_CONNECTIONS as i32)?;
        Ok(Self { udp, listener, connections: Vec::new() })
    }

    fn owns(&self, sock: SockId) -> bool {
        self.udp == sock || self.listener == sock || self.connections.iter().any(|(s, _)| *s == sock)
    }
}

impl World {
    /// Serves a wake of a resolver's socket; false if the socket is not one.
    pub(super) fn resolver_wake(&mut self, ns: NsId, sock: SockId) -> bool {
        let host = &self.hosts[ns.0 as usize];
        if !host.resolver.as_ref().is_some_and(|r| r.owns(sock)) {
            return false;
        }
        let Some(mut resolver) = self.hosts[ns.0 as usize].resolver.take() else { return false };
        let names = self.names.clone();
        let name = self.hosts[ns.0 as usize].name.clone();
        let respond = |query: &[u8], tcp: bool| dns::answer(&names, &name, query, tcp);
        let (netns, t) = self.lend(ns);
        if sock == resolver.udp {
            serve_udp(netns, t, sock, &respond);
        } else if sock == resolver.listener {
            accept(netns, t, &mut resolver, &respond);
        } else {
            resolver
                .connections
                .retain_mut(|(s, buffer)| *s != sock || serve_tcp(netns, t, *s, buffer, &respond));
        }
        self.hosts[ns.0 as usize].resolver = Some(resolver);
        self.settle();
        true
    }
}

type Respond<'a> = dyn Fn(&[u8], bool) -> Option<Vec<u8>> + 'a;

fn serve_udp(netns: &mut Netns, t: &mut Turn, sock: SockId, respond: &Respond<'_>) {
    for _ in 0..MAX_BATCH {
        let received = match netns.recv(t, sock, usize::from(u16::MAX), RecvFlags::default()) {
            Ok(received) => received,
            Err(SockError::WouldBlock) => return,
            // An ICMP error about an earlier answer: the asker is gone.
            Err(_) => continue,
        };
        let Some(answer) = respond(&received.data.concat(), false) else { continue };
        // From the address that was asked, whichever of the host's it was.
        let control = SendControl { source: received.control.to, ..SendControl::default() };
        let message = Message { to: received.from, data: answer.into(), control, ..Message::default() };
        // An answer that cannot be sent is as good as lost: the asker asks again.
        let _ = netns.send(t, sock, message);
    }
}

fn accept(netns: &mut Netns, t: &mut Turn, resolver: &mut Resolver, respond: &Respond<'_>) {
    while let Ok((sock, _)) = netns.accept(t, resolver.listener) {
        if resolver.connections.len() >= MAX_CONNECTIONS {
            let (oldest, _) = resolver.connections.remove(0);
            netns.close(t, oldest);
        }
        let mut buffer = Vec::new();
        if serve_tcp(netns, t, sock, &mut buffer, respond) {
            resolver.connections.push((sock, buffer));
        }
    }
}

/// Answers whole queries, each behind its length (RFC 1035 §4.2.2); false when the connection has ended.
fn serve_tcp(
    netns: &mut Netns,
    t: &mut Turn,
    sock: SockId,
    buffer: &mut Vec<u8>,
    respond: &Respond<'_>,
) -> bool {
    loop {
        match netns.recv(t, sock, usize::from(u16::MAX), RecvFlags::default()) {
            Ok(received) if received.is_empty() => break,
            Ok(received) => received.data.iter().for_each(|part| buffer.extend_from_slice(part)),
            Err(SockError::WouldBlock) => {
                answer_buffered(netns, t, sock, buffer, respond);
                return true;
            }
            Err(_) => break,
        }
    }
    answer_buffered(netns, t, sock, buffer, respond);
    netns.close(t, sock);
    false
}

fn answer_buffered(
    netns: &mut Netns,
    t: &mut Turn,
    sock: SockId,
    buffer: &mut Vec<u8>,
    respond: &Respond<'_>,
) {
    while let Some(&[high, low]) = buffer.first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        if buffer.len() < 2 + len {
            return;
        }
        let query: Vec<u8> = buffer.drain(..2 + len).skip(2).collect();
        if let Some(answer) = respond(&query, true) {
            let mut data = (answer.len() as u16).to_be_bytes().to_vec();
            data.extend(answer);
            let _ = netns.send(t, sock, Message { data: Bytes::from(data), ..Message::default() });
        }
    }
}
