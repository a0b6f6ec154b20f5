//! Making, naming, connecting and ending sockets.

use std::net::SocketAddr;

use netspace_base::Duration;
use netspace_stack::sock::{Connect, Family, How, OptName, SockError, SockOpt, SockType};
use netspace_uapi::sockaddr::{self, Parsed, SockKind};

use super::super::file::{File, Sock};
use super::super::flow::Flow;
use super::super::runner::{Outcome, Runner, skip, wrong};
use super::super::script::{Call, Expr};
use super::super::setup::Version;
use super::{Attempt, Progress, arg, done, failed, value};

/// socket(domain, type, protocol).
pub(super) fn socket(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let v6 = runner.setup.version != Version::V4;
    let domain = value::maybe_int(arg(call, 0)?)?;
    let family = match domain.map(|domain| domain as i32) {
        None if v6 => Family::Inet6,
        Some(libc::AF_INET6) => Family::Inet6,
        None | Some(libc::AF_INET) => Family::Inet,
        Some(other) => return skip(format!("sockets of the address family {other}")),
    };
    let flags = value::int(arg(call, 1)?)? as i32;
    let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
    let ty = match flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
        libc::SOCK_STREAM => SockType::Stream,
        libc::SOCK_DGRAM => SockType::Dgram,
        libc::SOCK_RAW => SockType::Raw,
        other => return skip(format!("sockets of the type {other}")),
    };
    let protocol = value::int(arg(call, 2)?)?;
    if protocol == i64::from(libc::IPPROTO_MPTCP) || protocol == i64::from(libc::IPPROTO_SCTP) {
        return skip("MPTCP and SCTP are not here");
    }
    let world = &mut runner.world;
    let id = match world.ns.socket(&mut world.t, family, ty, protocol as u8) {
        Ok(id) => id,
        Err(error) => return Ok(done(Err(error))),
    };
    let kind = kind_of(runner, id);
    let sock = Sock { id, kind, nonblocking, receive_timeout: None, send_timeout: None, inq: false };
    Ok(Attempt::Done(Ok(open(runner, call, File::Socket(sock)))))
}

fn kind_of(runner: &Runner, id: netspace_stack::sock::SockId) -> SockKind {
    match runner.world.ns.socket_kind(id) {
        Ok((family, ty, protocol, _)) => SockKind { family, ty, protocol },
        Err(_) => SockKind { family: Family::Inet, ty: SockType::Stream, protocol: 6 },
    }
}

/// Opens a file at the number that the call is expected to return.
pub(super) fn open(runner: &mut Runner, call: &Call, file: File) -> i64 {
    let expected = value::maybe_int(&call.result).ok().flatten().and_then(|fd| i32::try_from(fd).ok());
    i64::from(runner.files.open(expected.filter(|fd| *fd >= 0), file))
}

/// The descriptor in the first argument, and the socket behind it.
pub(super) fn sock<'a>(runner: &'a Runner, call: &Call) -> Outcome<Result<(i32, &'a Sock), i32>> {
    let fd = value::int(arg(call, 0)?)? as i32;
    Ok(match runner.files.get(fd) {
        Some(File::Socket(sock)) => Ok((fd, sock)),
        Some(_) => Err(libc::ENOTSOCK),
        None => Err(libc::EBADF),
    })
}

/// `let (fd, id, kind, nonblocking) = …`, or the call has failed.
macro_rules! socket_of {
    ($runner:expr, $call:expr) => {
        match $crate::packetdrill::call::socket::sock($runner, $call)? {
            Ok((fd, sock)) => (fd, sock.id, sock.kind, sock.nonblocking),
            Err(errno) => return $crate::packetdrill::call::failed(errno),
        }
    };
}
pub(super) use socket_of;

/// bind(fd, address, length). `...` is the local address and `--bind_port`.
pub(super) fn bind(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let (_, id, kind, _) = socket_of!(runner, call);
    let default = SocketAddr::new(runner.setup.local, runner.setup.bind_port);
    let bytes = value::address(runner, arg(call, 1)?, default)?;
    let addr = match sockaddr::parse(&bytes, kind, sockaddr::Call::Bind) {
        Ok(Parsed::Addr(addr)) => addr,
        Ok(Parsed::Unspec) => return failed(libc::EAFNOSUPPORT),
        Err(errno) => return failed(errno.0),
    };
    let world = &mut runner.world;
    let result = world.ns.bind(&mut world.t, id, addr);
    if result.is_ok() {
        runner.setup.bind_port = addr.port();
        if kind.ty == SockType::Dgram {
            let remote_port = runner.setup.connect_port;
            runner.add_flow(Flow::new(true, addr.port(), remote_port));
        }
    }
    Ok(done(result.map(|()| 0)))
}

/// listen(fd, backlog).
pub(super) fn listen(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let (_, id, ..) = socket_of!(runner, call);
    let backlog = value::int(arg(call, 1)?)? as i32;
    let world = &mut runner.world;
    Ok(done(world.ns.listen(&mut world.t, id, backlog).map(|()| 0)))
}

/// accept(fd, address, length), accept4(…, flags).
pub(super) fn accept(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let (listener, id, _, nonblocking) = socket_of!(runner, call);
    let flags = if call.name == "accept4" { value::int(arg(call, 3)?)? as i32 } else { 0 };
    let world = &mut runner.world;
    let (new, peer) = match world.ns.accept(&mut world.t, id) {
        Ok(accepted) => accepted,
        Err(SockError::WouldBlock) if !nonblocking => return Ok(receive_blocks(runner, listener, progress)),
        Err(error) => return Ok(done(Err(error))),
    };
    let kind = kind_of(runner, new);
    let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
    let sock = Sock { id: new, kind, nonblocking, receive_timeout: None, send_timeout: None, inq: false };
    let fd = open(runner, call, File::Socket(sock));
    let same = |flow: &Flow| !flow.udp && flow.remote_port == peer.port();
    if let Some(flow) = runner.flows.iter_mut().rev().find(|flow| same(flow)) {
        flow.fd = Some(fd as i32);
    }
    Ok(Attempt::Done(Ok(fd)))
}

/// connect(fd, address, length). `...` is the remote address and `--connect_port`.
pub(super) fn connect(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let (fd, id, kind, nonblocking) = socket_of!(runner, call);
    let default = SocketAddr::new(runner.setup.remote, runner.setup.connect_port);
    let bytes = value::address(runner, arg(call, 1)?, default)?;
    let addr = match sockaddr::parse(&bytes, kind, sockaddr::Call::Connect) {
        Ok(Parsed::Addr(addr)) => addr,
        Ok(Parsed::Unspec) => {
            let world = &mut runner.world;
            return Ok(done(world.ns.disconnect(&mut world.t, id).map(|()| 0)));
        }
        Err(errno) => return failed(errno.0),
    };
    let world = &mut runner.world;
    let result = world.ns.connect(&mut world.t, id, addr);
    if !progress.again && result.is_ok() {
        track(runner, fd, addr.port(), kind.ty != SockType::Stream);
    }
    match result {
        Ok(Connect::Done) => Ok(done(Ok(0))),
        Ok(Connect::InProgress) | Err(SockError::InProgress | SockError::Already) if !nonblocking => {
            Ok(send_blocks(runner, fd, progress))
        }
        Ok(Connect::InProgress) => failed(libc::EINPROGRESS),
        Err(error) => Ok(done(Err(error))),
    }
}

/// A socket begins to talk to a remote port: packets without ports are about it from now on.
pub(super) fn track(runner: &mut Runner, fd: i32, remote_port: u16, udp: bool) {
    let id = runner.files.socket(fd);
    let local_port = id.and_then(|id| runner.world.ns.local_addr(id).ok()).map_or(0, |local| local.port());
    let same = |flow: &Flow| flow.udp == udp && flow.fd == Some(fd) && flow.local_port == local_port;
    if !runner.flows.iter().any(same) {
        let flow = runner.add_flow(Flow::new(udp, local_port, remote_port));
        runner.flows[flow].fd = Some(fd);
    }
}

/// shutdown(fd, how).
pub(super) fn shutdown(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let (_, id, ..) = socket_of!(runner, call);
    let how = match value::int(arg(call, 1)?)? as i32 {
        libc::SHUT_RD => How::Read,
        libc::SHUT_WR => How::Write,
        libc::SHUT_RDWR => How::Both,
        _ => return failed(libc::EINVAL),
    };
    let world = &mut runner.world;
    Ok(done(world.ns.shutdown(&mut world.t, id, how).map(|()| 0)))
}

/// close(fd). With `SO_LINGER` it waits for what is unsent, at most so long.
pub(super) fn close(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let fd = value::int(arg(call, 0)?)? as i32;
    if let Some(id) = runner.files.socket(fd) {
        if lingers(runner, id, progress) {
            return Ok(Attempt::Blocked);
        }
        let world = &mut runner.world;
        world.ns.close(&mut world.t, id);
        runner.flows.iter_mut().filter(|flow| flow.fd == Some(fd)).for_each(|flow| flow.closed = true);
    }
    match runner.files.close(fd) {
        Some(File::PipeRead(n)) => runner.files.pipes[n].reader_closed = true,
        Some(File::PipeWrite(n)) => runner.files.pipes[n].writer_closed = true,
        Some(_) => {}
        None => return failed(libc::EBADF),
    }
    Ok(Attempt::Done(Ok(0)))
}

/// Whether close has to wait: the connection's FIN is sent first, and everything must be acknowledged.
fn lingers(runner: &mut Runner, id: netspace_stack::sock::SockId, progress: &mut Progress) -> bool {
    let world = &mut runner.world;
    let Ok(SockOpt::Linger(Some(time))) = world.ns.option(&world.t, id, OptName::Linger) else {
        return false;
    };
    if time.is_zero() || world.ns.recv_queue_len(id) > 0 {
        return false;
    }
    if !progress.again {
        let _ = world.ns.shutdown(&mut world.t, id, How::Write);
        progress.deadline = Some(world.t.now + time.min(Duration::from_secs(1 << 30)));
    }
    let over = progress.deadline.is_some_and(|deadline| world.t.now >= deadline);
    progress.deadline = progress.deadline.filter(|_| !over);
    !world.ns.is_all_acked(id) && !over
}

/// getsockname(fd, address, length), getpeername(…). An address in the script must be the one that comes back.
pub(super) fn name(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let (_, id, kind, _) = socket_of!(runner, call);
    let ns = &runner.world.ns;
    let addr = if call.name == "getsockname" { ns.local_addr(id) } else { ns.peer_addr(id) };
    let addr = match addr {
        Ok(addr) => addr,
        Err(error) => return Ok(done(Err(error))),
    };
    let expected = arg(call, 1)?;
    if *expected != Expr::Any && value::address(runner, expected, addr)? != sockaddr::emit(addr, kind.family)
    {
        return wrong(format!("{}() gave {addr}, expected {}", call.name, value::text(expected)));
    }
    Ok(Attempt::Done(Ok(0)))
}

/// The call waits for something to read, at most `SO_RCVTIMEO`.
pub(super) fn receive_blocks(runner: &Runner, fd: i32, progress: &mut Progress) -> Attempt {
    if let Some(File::Socket(sock)) = runner.files.get(fd) {
        progress.deadline = sock.receive_timeout.map(|time| progress.started + time);
    }
    Attempt::Blocked
}

/// The call waits for room, at most `SO_SNDTIMEO`.
pub(super) fn send_blocks(runner: &Runner, fd: i32, progress: &mut Progress) -> Attempt {
    if let Some(File::Socket(sock)) = runner.files.get(fd) {
        progress.deadline = sock.send_timeout.map(|time| progress.started + time);
    }
    Attempt::Blocked
}
