//! setsockopt and getsockopt.

use netspace_base::{DevId, Duration};
use netspace_stack::sock::{Family, SockType};
use netspace_uapi::option::{self, Devices, DoorOption, Get, Set};
use netspace_uapi::{errno, sockaddr};

use super::super::file::{File, Sock};
use super::super::runner::{Outcome, Runner, skip, wrong};
use super::super::script::{Call, Expr};
use super::super::world::DEVICE;
use super::socket::socket_of;
use super::{Attempt, Progress, arg, done, failed, value};

/// The names of devices: there is one.
pub(super) struct Device;

/// The number of the device under test: the loopback device is the first.
const DEVICE_INDEX: DevId = DevId(2);

impl Devices for Device {
    fn index(&self, name: &str) -> Option<DevId> {
        (name == DEVICE).then_some(DEVICE_INDEX)
    }

    fn name(&self, dev: DevId) -> Option<String> {
        (dev == DEVICE_INDEX).then(|| DEVICE.to_owned())
    }
}

/// Options that the stack does not have: a script that sets one cannot run.
const MISSING: &[&str] =
    &["SO_TIMESTAMPING", "SO_ZEROCOPY", "TCP_FASTOPEN_KEY", "TCP_MD5SIG", "TCP_REPAIR", "TCP_ULP"];

/// Skips a script that needs an option that is not here.
fn needs(name: &Expr) -> Outcome<()> {
    match name {
        Expr::Word(name) if MISSING.contains(&name.as_str()) && known(name).is_none() => {
            skip(format!("the socket option {name} is not here"))
        }
        _ => Ok(()),
    }
}

fn known(name: &str) -> Option<&'static option::Row> {
    option::rows().iter().find(|row| row.name == name)
}

/// setsockopt(fd, level, option, value, length).
pub(super) fn set(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let (fd, id, kind, _) = socket_of!(runner, call);
    let level = value::int(arg(call, 1)?)? as i32;
    let number = value::int(arg(call, 2)?)? as i32;
    needs(arg(call, 2)?)?;
    let Ok(len) = usize::try_from(value::int(arg(call, 4)?)?) else { return failed(libc::EINVAL) };
    let bytes = bytes(arg(call, 3)?, len)?;
    if (level, number) == (libc::SOL_TCP, libc::TCP_INQ) && kind.ty == SockType::Stream {
        let on = bytes.first().copied().unwrap_or(0);
        if on > 1 {
            return failed(libc::EINVAL);
        }
        with(runner, fd, |sock| sock.inq = on == 1);
        return Ok(Attempt::Done(Ok(0)));
    }
    match option::set(kind, level, number, &bytes, &Device) {
        Ok(Set::Stack(option)) => {
            let world = &mut runner.world;
            Ok(done(world.ns.set_option(&mut world.t, id, option).map(|()| 0)))
        }
        Ok(Set::Timeout(which, time)) => {
            with(runner, fd, |sock| match which {
                DoorOption::RecvTimeout => sock.receive_timeout = time,
                _ => sock.send_timeout = time,
            });
            Ok(Attempt::Done(Ok(0)))
        }
        Ok(Set::Ignored) => Ok(Attempt::Done(Ok(0))),
        Err(errno) => failed(errno.0),
    }
}

fn with(runner: &mut Runner, fd: i32, change: impl FnOnce(&mut Sock)) {
    if let Some(File::Socket(sock)) = runner.files.get_mut(fd) {
        change(sock);
    }
}

/// The bytes of a value: `[n]`, a string, `{onoff=…, linger=…}`, `{tv_sec=…, tv_usec=…}`.
fn bytes(expr: &Expr, len: usize) -> Outcome<Vec<u8>> {
    let mut out = match expr {
        Expr::Str(text) => text.clone(),
        Expr::Array(items) => {
            let mut out = Vec::new();
            for item in items {
                match item {
                    Expr::Int(_) | Expr::Word(_) | Expr::Or(..) if len == 8 && items.len() == 1 => {
                        out.extend(value::int(item)?.to_ne_bytes());
                    }
                    Expr::Int(_) | Expr::Word(_) | Expr::Or(..) => {
                        out.extend((value::int(item)? as i32).to_ne_bytes());
                    }
                    Expr::Any => {}
                    other => out.extend(bytes(other, len)?),
                }
            }
            out
        }
        Expr::Struct(fields) => {
            let time = fields.iter().any(|(name, _)| name.as_deref() == Some("tv_sec"));
            let mut out = Vec::new();
            for (_, item) in fields {
                let number = value::int(item)?;
                if time {
                    out.extend(number.to_ne_bytes());
                } else {
                    out.extend((number as i32).to_ne_bytes());
                }
            }
            out
        }
        Expr::Any => vec![0; len],
        other => (value::int(other)? as i32).to_ne_bytes().to_vec(),
    };
    if len < out.len() {
        out.truncate(len);
    } else if !out.is_empty() && !matches!(expr, Expr::Str(_)) {
        out.resize(len, 0);
    }
    Ok(out)
}

/// `getsockopt(fd, level, option, expected value, [length])`.
pub(super) fn get(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let (_, id, kind, _) = socket_of!(runner, call);
    let level = value::int(arg(call, 1)?)? as i32;
    let number = value::int(arg(call, 2)?)? as i32;
    needs(arg(call, 2)?)?;
    let room = match arg(call, 4)? {
        Expr::Any => 256,
        length => value::boxed(length)? as usize,
    };
    let actual = match read(runner, id, kind, level, number, room) {
        Ok(Some(actual)) => actual,
        Ok(None) => return skip("this socket option is about the descriptor: not here"),
        Err(errno) => return failed(errno),
    };
    let expected = arg(call, 3)?;
    if *expected != Expr::Any && !matches!(expected, Expr::Array(items) if items.as_slice() == [Expr::Any]) {
        let wanted = bytes(expected, actual.len())?;
        if !actual.starts_with(&wanted) || wanted.is_empty() != actual.is_empty() {
            return wrong(format!(
                "getsockopt() gave another value\n  expected {}\n  actual   {}",
                value::text(expected),
                shown(&actual)
            ));
        }
    }
    Ok(Attempt::Done(Ok(0)))
}

fn shown(bytes: &[u8]) -> String {
    match <[u8; 4]>::try_from(bytes) {
        Ok(word) => format!("[{}]", i32::from_ne_bytes(word)),
        Err(_) if bytes.len() == 16 && bytes.is_ascii() => {
            format!("{:?}", String::from_utf8_lossy(bytes).trim_end_matches('\0'))
        }
        Err(_) => format!("{bytes:?}"),
    }
}

/// The option's bytes; none if only a real descriptor could answer.
fn read(
    runner: &mut Runner,
    id: netspace_stack::sock::SockId,
    kind: sockaddr::SockKind,
    level: i32,
    number: i32,
    room: usize,
) -> Result<Option<Vec<u8>>, i32> {
    let world = &mut runner.world;
    Ok(Some(match option::get(kind, level, number).map_err(|e| e.0)? {
        Get::Stack(name) => {
            let answer = world.ns.option(&world.t, id, name).map_err(errno::of)?;
            option::emit(level, number, &answer, room, &Device).map_err(|e| e.0)?
        }
        Get::Fixed(value) => option::emit_int(level, value, room),
        Get::Door(DoorOption::Error) => {
            let error = world.ns.take_error(id).map_or(0, errno::of);
            option::emit_int(level, error, room)
        }
        Get::Door(DoorOption::Type) => option::emit_int(level, sock_type(kind.ty), room),
        Get::Door(DoorOption::Domain) => {
            let domain = if kind.family == Family::Inet { libc::AF_INET } else { libc::AF_INET6 };
            option::emit_int(level, domain, room)
        }
        Get::Door(DoorOption::Protocol) => option::emit_int(level, i32::from(kind.protocol), room),
        Get::Door(which @ (DoorOption::RecvTimeout | DoorOption::SendTimeout)) => {
            option::emit_timeval(timeout(runner, id, which), room)
        }
        Get::Door(_) | Get::SourceFilter => return Ok(None),
    }))
}

fn timeout(runner: &Runner, id: netspace_stack::sock::SockId, which: DoorOption) -> Option<Duration> {
    let fd = runner.files.of_socket(id)?;
    let Some(File::Socket(sock)) = runner.files.get(fd) else { return None };
    if which == DoorOption::RecvTimeout { sock.receive_timeout } else { sock.send_timeout }
}

const fn sock_type(ty: SockType) -> i32 {
    match ty {
        SockType::Stream => libc::SOCK_STREAM,
        SockType::Dgram => libc::SOCK_DGRAM,
        SockType::Raw => libc::SOCK_RAW,
    }
}
