//! Descriptors that are no sockets, and the calls on any.

use netspace_base::Bytes;
use netspace_stack::sock::{Message, RecvFlags, SockError};
use netspace_uapi::ioctl::number;

use super::super::file::{File, PIPE_CAPACITY, Pipe};
use super::super::runner::{Outcome, Runner, skip, wrong};
use super::super::script::{Call, Expr};
use super::socket::{receive_blocks, send_blocks};
use super::{Attempt, Progress, arg, done, failed, socket, value};

/// fcntl(fd, command[, argument]).
pub(super) fn fcntl(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let fd = value::int(arg(call, 0)?)? as i32;
    let command = value::int(arg(call, 1)?)? as i32;
    let argument = call.args.get(2).map_or(Ok(0), value::int)? as i32;
    let Some(file) = runner.files.get_mut(fd) else { return failed(libc::EBADF) };
    let answer = match (command, file) {
        (libc::F_GETFL, File::Socket(sock)) => {
            libc::O_RDWR | if sock.nonblocking { libc::O_NONBLOCK } else { 0 }
        }
        (libc::F_SETFL, File::Socket(sock)) => {
            sock.nonblocking = argument & libc::O_NONBLOCK != 0;
            0
        }
        (libc::F_GETFD | libc::F_SETFD | libc::F_GETFL | libc::F_SETFL, _) => 0,
        _ => return failed(libc::EINVAL),
    };
    Ok(Attempt::Done(Ok(i64::from(answer))))
}

/// ioctl(fd, request, [expected value]).
pub(super) fn ioctl(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let fd = value::int(arg(call, 0)?)? as i32;
    let request = value::int(arg(call, 1)?)? as u32;
    let Some(file) = runner.files.get_mut(fd) else { return failed(libc::EBADF) };
    let File::Socket(sock) = file else { return failed(libc::ENOTTY) };
    let id = sock.id;
    if u64::from(request) == libc::FIONBIO {
        let on = value::boxed(arg(call, 2)?)? != 0;
        if let Some(File::Socket(sock)) = runner.files.get_mut(fd) {
            sock.nonblocking = on;
        }
        return Ok(Attempt::Done(Ok(0)));
    }
    let ns = &runner.world.ns;
    let actual = match request {
        number::FIONREAD => ns.recv_queue_len(id) as i64,
        number::SIOCOUTQ => ns.send_queue_len(id) as i64,
        number::SIOCOUTQNSD => match ns.tcp_info(id, runner.world.t.now) {
            Some(info) => i64::from(info.notsent_bytes),
            None => return failed(libc::EINVAL),
        },
        0x8905 => i64::from(ns.at_mark(id)), // SIOCATMARK
        _ => return skip(format!("ioctl {}: not here", value::text(arg(call, 1)?))),
    };
    let expected = value::boxed(arg(call, 2)?)?;
    if expected != actual {
        return wrong(format!("ioctl() gave another value\n  expected [{expected}]\n  actual   [{actual}]"));
    }
    Ok(Attempt::Done(Ok(0)))
}

/// open(path, flags): a file of the machine, for reading.
pub(super) fn open(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let Expr::Str(path) = arg(call, 0)? else { return wrong("open(): expected a path in quotes") };
    let flags = value::int(arg(call, 1)?)? as i32;
    if flags & (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT) != 0 {
        return skip("open(): files are only read here");
    }
    let path = runner.folder.join(String::from_utf8_lossy(path).as_ref());
    match std::fs::read(&path) {
        Ok(data) => Ok(Attempt::Done(Ok(socket::open(runner, call, File::Regular { data, at: 0 })))),
        Err(error) => skip(format!("{}: {error}", path.display())),
    }
}

/// pipe([read end, write end]).
pub(super) fn pipe(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let Expr::Array(ends) = arg(call, 0)? else { return wrong("pipe(): expected [read end, write end]") };
    let [read, write] = ends.as_slice() else { return wrong("pipe(): expected [read end, write end]") };
    let (read, write) = (value::int(read)? as i32, value::int(write)? as i32);
    runner.files.pipes.push(Pipe::default());
    let number = runner.files.pipes.len() - 1;
    let got = (
        runner.files.open(Some(read), File::PipeRead(number)),
        runner.files.open(Some(write), File::PipeWrite(number)),
    );
    if got != (read, write) {
        return wrong(format!("pipe(): {read} or {write} is open already"));
    }
    Ok(Attempt::Done(Ok(0)))
}

pub(super) fn pipe_write(runner: &mut Runner, number: usize, data: &[u8]) -> Attempt {
    let pipe = &mut runner.files.pipes[number];
    if pipe.reader_closed {
        return Attempt::Done(Err(libc::EPIPE));
    }
    let room = PIPE_CAPACITY.saturating_sub(pipe.data.len());
    if room == 0 && !data.is_empty() {
        return Attempt::Blocked;
    }
    let taken = data.len().min(room);
    pipe.data.extend(&data[..taken]);
    Attempt::Done(Ok(taken as i64))
}

pub(super) fn pipe_read(runner: &mut Runner, number: usize, len: usize) -> Attempt {
    let pipe = &mut runner.files.pipes[number];
    if pipe.data.is_empty() && !pipe.writer_closed {
        return Attempt::Blocked;
    }
    let taken = len.min(pipe.data.len());
    pipe.data.drain(..taken);
    Attempt::Done(Ok(taken as i64))
}

/// splice(from, NULL, to, NULL, length, flags): between a socket and a pipe.
pub(super) fn splice(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let from = value::int(arg(call, 0)?)? as i32;
    let to = value::int(arg(call, 2)?)? as i32;
    let len = value::int(arg(call, 4)?)?.max(0) as usize;
    let flags = value::int(arg(call, 5)?)? as i32;
    match (runner.files.get(from), runner.files.get(to)) {
        (Some(File::Socket(sock)), Some(File::PipeWrite(n))) => {
            let (id, number) = (sock.id, *n);
            let blocks = !sock.nonblocking && flags & libc::SPLICE_F_NONBLOCK as i32 == 0;
            let room = PIPE_CAPACITY.saturating_sub(runner.files.pipes[number].data.len());
            let world = &mut runner.world;
            match world.ns.recv(&mut world.t, id, len.min(room), RecvFlags::default()) {
                Ok(received) => {
                    let data = received.data.concat();
                    runner.files.pipes[number].data.extend(&data);
                    Ok(Attempt::Done(Ok(data.len() as i64)))
                }
                Err(SockError::WouldBlock) if blocks => Ok(receive_blocks(runner, from, progress)),
                Err(error) => Ok(done(Err(error))),
            }
        }
        (Some(File::PipeRead(n)), Some(File::Socket(sock))) => {
            let (id, number) = (sock.id, *n);
            let data: Vec<u8> = runner.files.pipes[number].data.iter().copied().take(len).collect();
            let attempt = send_some(runner, to, id, data, progress);
            if let Attempt::Done(Ok(taken)) = attempt {
                runner.files.pipes[number].data.drain(..taken as usize);
            }
            Ok(attempt)
        }
        (None, _) | (_, None) => failed(libc::EBADF),
        _ => failed(libc::EINVAL),
    }
}

/// `sendfile(to, from, [offset], length)`.
pub(super) fn sendfile(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let to = value::int(arg(call, 0)?)? as i32;
    let from = value::int(arg(call, 1)?)? as i32;
    let len = value::int(arg(call, 3)?)?.max(0) as usize;
    let given = arg(call, 2)?;
    let offset = match given {
        Expr::Array(_) => Some(value::boxed(given)? as usize),
        _ => None,
    };
    let Some(id) = runner.files.socket(to) else { return failed(libc::EBADF) };
    let Some(File::Regular { data, at }) = runner.files.get(from) else { return failed(libc::EBADF) };
    let start = offset.unwrap_or(*at).min(data.len());
    let piece = data[start..(start + len).min(data.len())].to_vec();
    let attempt = send_some(runner, to, id, piece, progress);
    if let (Attempt::Done(Ok(taken)), None, Some(File::Regular { at, .. })) =
        (&attempt, offset, runner.files.get_mut(from))
    {
        *at += *taken as usize;
    }
    Ok(attempt)
}

fn send_some(
    runner: &mut Runner,
    fd: i32,
    id: netspace_stack::sock::SockId,
    data: Vec<u8>,
    progress: &mut Progress,
) -> Attempt {
    let message = Message { data: Bytes::from(data), ..Message::default() };
    let blocks = matches!(runner.files.get(fd), Some(File::Socket(sock)) if !sock.nonblocking);
    let world = &mut runner.world;
    match world.ns.send(&mut world.t, id, message) {
        Ok(taken) => Attempt::Done(Ok(taken as i64)),
        Err(SockError::WouldBlock) if blocks => send_blocks(runner, fd, progress),
        Err(error) => done(Err(error)),
    }
}
