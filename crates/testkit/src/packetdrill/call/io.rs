//! Reading and writing.

use std::net::SocketAddr;

use netspace_base::Bytes;
use netspace_stack::sock::{Message, Received, RecvFlags, SendControl, SockError, SockType};
use netspace_uapi::errno;
use netspace_uapi::sockaddr::{self, Parsed, SockKind};

use super::super::file::File;
use super::super::runner::{Outcome, Runner, skip, wrong};
use super::super::script::{Call, Expr};
use super::other;
use super::socket::{receive_blocks, send_blocks, socket_of, track};
use super::{Attempt, Progress, arg, done, failed, value};

/// What to send, and how.
pub(super) struct Sending {
    pub(super) data: Vec<u8>,
    pub(super) flags: i32,
    pub(super) to: Option<Vec<u8>>,
    pub(super) control: SendControl,
}

/// write(fd, data, length), writev(fd, [{data, length}…], count), send(…, flags), sendto(…, flags, address, length).
pub(super) fn write(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let fd = value::int(arg(call, 0)?)? as i32;
    if value::is_null(arg(call, 1)?) && runner.files.get(fd).is_some() {
        return failed(libc::EFAULT);
    }
    let data = match (call.name.as_str(), arg(call, 1)?) {
        ("writev", Expr::Array(parts)) => gather(parts)?,
        (_, buffer) => {
            let len = value::int(arg(call, 2)?)?;
            let Ok(len) = usize::try_from(len) else { return failed(libc::EINVAL) };
            value::bytes(buffer, len)
        }
    };
    if let Some(File::PipeWrite(n)) = runner.files.get(fd) {
        return Ok(other::pipe_write(runner, *n, &data));
    }
    let flags = match call.name.as_str() {
        "send" | "sendto" => value::int(arg(call, 3)?)? as i32,
        _ => 0,
    };
    let default = SocketAddr::new(runner.setup.remote, runner.setup.connect_port);
    let to = match call.args.get(4) {
        Some(Expr::Word(null)) if null == "NULL" => None,
        Some(Expr::Int(0)) | None => None,
        Some(addr) => Some(value::address(runner, addr, default)?),
    };
    send(runner, call, progress, Sending { data, flags, to, control: SendControl::default() })
}

/// The bytes of `[{…, length}, …]`.
pub(super) fn gather(parts: &[Expr]) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    for part in parts {
        let Expr::Struct(fields) = part else { return wrong("expected {…, length}") };
        let [(_, data), (_, len)] = fields.as_slice() else { return wrong("expected {…, length}") };
        out.extend(value::bytes(data, value::int(len)?.max(0) as usize));
    }
    Ok(out)
}

/// Sends; a blocking stream sends all of it.
pub(super) fn send(
    runner: &mut Runner,
    call: &Call,
    progress: &mut Progress,
    sending: Sending,
) -> Outcome<Attempt> {
    let (fd, id, kind, nonblocking) = socket_of!(runner, call);
    if sending.flags & value::number("MSG_ZEROCOPY") != 0 {
        return skip("MSG_ZEROCOPY is not here");
    }
    let to = match sending.to.as_deref().map(|bytes| sockaddr::parse(bytes, kind, sockaddr::Call::Send)) {
        None | Some(Ok(Parsed::Unspec)) => None,
        Some(Ok(Parsed::Addr(addr))) => Some(addr),
        Some(Err(errno)) => return failed(errno.0),
    };
    let nonblocking = nonblocking || sending.flags & libc::MSG_DONTWAIT != 0;
    let total = sending.data.len();
    let mut left = Bytes::from(sending.data).slice(progress.done..);
    loop {
        let message = Message {
            to,
            data: left.clone(),
            control: sending.control.clone(),
            more: sending.flags & libc::MSG_MORE != 0,
            oob: sending.flags & libc::MSG_OOB != 0,
            fast_open: sending.flags & libc::MSG_FASTOPEN != 0,
            dont_route: sending.flags & libc::MSG_DONTROUTE != 0,
            confirm: sending.flags & libc::MSG_CONFIRM != 0,
        };
        let world = &mut runner.world;
        let result = world.ns.send(&mut world.t, id, message);
        if let Some(to) = to.filter(|_| sending.flags & libc::MSG_FASTOPEN != 0) {
            track(runner, fd, to.port(), false);
        }
        match result {
            Ok(taken) => {
                runner.world.settle();
                progress.done += taken;
                left = left.slice(taken..);
                if left.is_empty() || kind.ty != SockType::Stream {
                    return Ok(Attempt::Done(Ok(progress.done as i64)));
                }
            }
            Err(SockError::WouldBlock) if nonblocking && progress.done > 0 => {
                return Ok(Attempt::Done(Ok(progress.done as i64)));
            }
            Err(SockError::WouldBlock) if !nonblocking && total > 0 => {
                return Ok(send_blocks(runner, fd, progress));
            }
            Err(_) if progress.done > 0 => return Ok(Attempt::Done(Ok(progress.done as i64))),
            Err(error) => return Ok(done(Err(error))),
        }
    }
}

/// read(fd, buffer, length), readv(fd, [{…, length}…], count), recv(…, flags), recvfrom(…, flags, address, length).
pub(super) fn read(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let fd = value::int(arg(call, 0)?)? as i32;
    let (len, buffer) = match (call.name.as_str(), arg(call, 1)?) {
        ("readv", Expr::Array(parts)) => (gather(parts)?.len() as i64, &Expr::Any),
        (_, buffer) => (value::int(arg(call, 2)?)?, buffer),
    };
    let Ok(len) = usize::try_from(len) else { return failed(libc::EINVAL) };
    match runner.files.get_mut(fd) {
        Some(File::PipeRead(n)) => {
            let n = *n;
            return Ok(other::pipe_read(runner, n, len));
        }
        Some(File::Regular { data, at }) => {
            let taken = len.min(data.len() - *at);
            *at += taken;
            return Ok(Attempt::Done(Ok(taken as i64)));
        }
        _ => {}
    }
    let mut flags = match call.name.as_str() {
        "recv" | "recvfrom" => value::int(arg(call, 3)?)? as i32,
        _ => 0,
    };
    if value::is_null(buffer) {
        // Nothing is taken from the queue if there is nowhere to put it.
        flags |= libc::MSG_PEEK;
    }
    let received = match receive(runner, call, progress, len, flags)? {
        Ok(received) => received,
        Err(attempt) => return Ok(attempt),
    };
    let data = received.data.concat();
    if value::is_null(buffer) && !data.is_empty() {
        return failed(libc::EFAULT);
    }
    if let Expr::Str(expected) = buffer {
        let same = data.iter().zip(expected).all(|(a, b)| a == b);
        if !same {
            let shown = String::from_utf8_lossy(&data).escape_default().to_string();
            return wrong(format!(
                "{}() gave other bytes\n  expected {}\n  actual   \"{shown}\"",
                call.name,
                value::text(buffer)
            ));
        }
    }
    Ok(Attempt::Done(Ok(returned_len(data.len(), len, flags))))
}

/// What a receiving call returns: a datagram longer than the buffer is cut, unless `MSG_TRUNC` asks for its length.
pub(super) fn returned_len(data: usize, room: usize, flags: i32) -> i64 {
    (if flags & libc::MSG_TRUNC != 0 { data } else { data.min(room) }) as i64
}

/// Receives up to `len` bytes; the attempt instead, if it blocks or fails.
pub(super) fn receive(
    runner: &mut Runner,
    call: &Call,
    progress: &mut Progress,
    len: usize,
    flags: i32,
) -> Outcome<Result<Received, Attempt>> {
    let (fd, id, kind, nonblocking) = match super::socket::sock(runner, call)? {
        Ok((fd, sock)) => (fd, sock.id, sock.kind, sock.nonblocking),
        Err(errno) => return Ok(Err(Attempt::Done(Err(errno)))),
    };
    let how = RecvFlags {
        peek: flags & libc::MSG_PEEK != 0,
        error_queue: flags & libc::MSG_ERRQUEUE != 0,
        oob: flags & libc::MSG_OOB != 0,
    };
    let nonblocking = nonblocking || flags & libc::MSG_DONTWAIT != 0 || how.error_queue || how.oob;
    let all = flags & libc::MSG_WAITALL != 0 && kind.ty == SockType::Stream && !how.peek;
    let waits = !nonblocking && !enough(runner, id, kind, len, all);
    if waits {
        return Ok(Err(receive_blocks(runner, fd, progress)));
    }
    let world = &mut runner.world;
    let result = world.ns.recv(&mut world.t, id, len, how);
    runner.world.settle();
    Ok(match result {
        Ok(received) => Ok(received),
        Err(SockError::WouldBlock) if !nonblocking => Err(receive_blocks(runner, fd, progress)),
        Err(error) => Err(Attempt::Done(Err(errno::of(error)))),
    })
}

/// Whether a blocking read may return: `SO_RCVLOWAT` bytes are there (all, with `MSG_WAITALL`), or no more will come.
fn enough(runner: &Runner, id: netspace_stack::sock::SockId, kind: SockKind, len: usize, all: bool) -> bool {
    use netspace_stack::sock::{OptName, Readiness, SockOpt};
    if kind.ty != SockType::Stream {
        return true;
    }
    let ns = &runner.world.ns;
    let least = match ns.option(&runner.world.t, id, OptName::RcvLowat) {
        Ok(SockOpt::RcvLowat(bytes)) => (bytes as usize).min(len).max(1),
        _ => 1,
    };
    let least = if all { len } else { least };
    let over = Readiness::RDHUP | Readiness::ERR | Readiness::HUP;
    let queued = ns.recv_queue_len(id);
    queued >= least || queued == 0 && !all || ns.readiness(id).intersects(over)
}
