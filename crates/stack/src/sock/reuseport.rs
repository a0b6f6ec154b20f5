//! `SO_REUSEPORT` groups: sockets with one name that share what comes to it.
//!
//! A flow's hash chooses the socket, or the group's own classic BPF program (`SO_ATTACH_REUSEPORT_CBPF`): it sees the packet
//! from its payload on, and its result is the socket's place in the group, in the order of binding.

use smallvec::SmallVec;

use super::bpf::Program;
use super::socket::{Kind, Socket};
use super::table::Sockets;
use super::{SockError, SockId};

/// The other sockets of a socket's group.
fn mates(sockets: &Sockets, id: SockId) -> SmallVec<[SockId; 8]> {
    let socket = &sockets.table[id];
    let is_mate = |other: &Socket| {
        other.opts.reuse_port
            && (other.family, other.protocol, other.local) == (socket.family, socket.protocol, socket.local)
            && other.opts.bound_dev == socket.opts.bound_dev
            && other.owner.uid == socket.owner.uid
    };
    let port = socket.local_port;
    let on_port: SmallVec<[SockId; 8]> = match socket.kind {
        _ if port == 0 => return SmallVec::new(),
        Kind::Tcp(_) => sockets.tcp.bound_to(port).collect(),
        _ => sockets.udp.of(socket.protocol).on_port(port).iter().copied().collect(),
    };
    on_port
        .into_iter()
        .filter(|&other| other != id && sockets.table.get(other).is_some_and(is_mate))
        .collect()
}

/// A socket has got its name: it takes over its group's program.
pub(crate) fn joined(sockets: &mut Sockets, id: SockId) {
    if sockets.table[id].opts.reuse_port {
        let program = mates(sockets, id).iter().find_map(|&m| sockets.table[m].opts.reuseport_filter.clone());
        if program.is_some() {
            sockets.table[id].opts.reuseport_filter = program;
        }
    }
}

/// `SO_ATTACH_REUSEPORT_CBPF`.
pub(crate) fn attach(sockets: &mut Sockets, id: SockId, program: Program) -> Result<(), SockError> {
    if !sockets.get(id)?.opts.reuse_port {
        return Err(SockError::Invalid);
    }
    for mate in mates(sockets, id) {
        sockets.table[mate].opts.reuseport_filter = Some(program.clone());
    }
    sockets.get_mut(id)?.opts.reuseport_filter = Some(program);
    Ok(())
}

/// `SO_DETACH_REUSEPORT_BPF`.
pub(crate) fn detach(sockets: &mut Sockets, id: SockId) -> Result<(), SockError> {
    let opts = &mut sockets.get_mut(id)?.opts;
    if !opts.reuse_port {
        return Err(SockError::Invalid);
    }
    opts.reuseport_filter.take().ok_or(SockError::NoEntry)?;
    for mate in mates(sockets, id) {
        sockets.table[mate].opts.reuseport_filter = None;
    }
    Ok(())
}
