//! sendmsg and recvmsg, with control messages.

use std::net::SocketAddr;

use netspace_base::Duration;
use netspace_stack::sock::{Family, Readiness};
use netspace_uapi::cmsg::{self, Wanted};
use netspace_uapi::sockaddr;

use super::super::file::File;
use super::super::runner::{Outcome, Runner, Trouble, wrong};
use super::super::script::{Call, Expr};
use super::super::symbols;
use super::io::{self, Sending};
use super::socket::socket_of;
use super::{Attempt, Progress, arg, failed, value};

/// Room for control messages, bytes.
const CONTROL_ROOM: usize = 4096;
/// `sizeof(struct cmsghdr)`.
const HEADER_LEN: usize = 16;

/// sendmsg(fd, {msg_name(…)=…, msg_iov(n)=[…], msg_flags=…, msg_control=[…]}, flags).
pub(super) fn send(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let (_, _, kind, _) = socket_of!(runner, call);
    let message = arg(call, 1)?;
    let flags = value::int(arg(call, 2)?)? as i32;
    let Expr::Array(parts) = value::needed(message, "msg_iov")? else {
        return wrong("msg_iov: expected [{…, length}]");
    };
    let data = io::gather(parts)?;
    let default = SocketAddr::new(runner.setup.remote, runner.setup.connect_port);
    let to = match value::field(message, "msg_name") {
        Some(Expr::Struct(_)) | Some(Expr::Any) if kind.ty != netspace_stack::sock::SockType::Stream => {
            let connected = runner.files.socket(value::int(arg(call, 0)?)? as i32);
            let has_peer = connected.is_some_and(|id| runner.world.ns.peer_addr(id).is_ok());
            match value::field(message, "msg_name") {
                Some(Expr::Any) if has_peer => None,
                Some(addr) => Some(value::address(runner, addr, default)?),
                None => None,
            }
        }
        Some(addr @ Expr::Struct(_)) => Some(value::address(runner, addr, default)?),
        _ => None,
    };
    let mut control = Vec::new();
    if let Some(Expr::Array(messages)) = value::field(message, "msg_control") {
        for message in messages {
            control.extend(emit(message)?);
        }
    }
    let to_v4 = kind.family == Family::Inet || !runner.setup.version.is_v6();
    let control = match cmsg::parse(&control, kind, to_v4) {
        Ok(control) => control,
        Err(errno) => return failed(errno.0),
    };
    io::send(runner, call, progress, Sending { data, flags, to, control })
}

/// The bytes of `{cmsg_level=…, cmsg_type=…, cmsg_data=…}`.
fn emit(message: &Expr) -> Outcome<Vec<u8>> {
    let level = value::int(value::needed(message, "cmsg_level")?)? as i32;
    let ty = value::int(value::needed(message, "cmsg_type")?)? as i32;
    let data = match value::needed(message, "cmsg_data")? {
        Expr::Str(bytes) => bytes.clone(),
        number => (value::int(number)? as i32).to_ne_bytes().to_vec(),
    };
    // UDP_SEGMENT alone is not an int.
    let data = if (level, ty) == (libc::SOL_UDP, libc::UDP_SEGMENT) { data[..2].to_vec() } else { data };
    let mut out = Vec::new();
    out.extend((HEADER_LEN + data.len()).to_ne_bytes());
    out.extend(level.to_ne_bytes());
    out.extend(ty.to_ne_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(8), 0);
    Ok(out)
}

/// recvmsg(fd, {…}, flags): flags and control messages must be those of the script, where it has them.
pub(super) fn receive(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let (fd, id, kind, _) = socket_of!(runner, call);
    let message = arg(call, 1)?;
    let flags = value::int(arg(call, 2)?)? as i32;
    let Expr::Array(parts) = value::needed(message, "msg_iov")? else {
        return wrong("msg_iov: expected [{…, length}]");
    };
    let room = io::gather(parts)?.len();
    let received = match io::receive(runner, call, progress, room, flags)? {
        Ok(received) => received,
        Err(attempt) => return Ok(attempt),
    };
    let world = &runner.world;
    let wanted = Wanted::of(kind.family, |name| world.ns.option(&world.t, id, name).ok());
    let (mut control, _) = cmsg::emit(&received.control, &wanted, Duration::ZERO, CONTROL_ROOM);
    if let Some(File::Socket(sock)) = runner.files.get(fd)
        && sock.inq
        && flags & libc::MSG_ERRQUEUE == 0
    {
        // With nothing left, the stream's end still is something to read.
        let queued = runner.world.ns.recv_queue_len(id) as i32;
        let over = runner.world.ns.readiness(id).contains(Readiness::RDHUP);
        let left = if queued == 0 && over { 1 } else { queued };
        control.extend((HEADER_LEN + 4).to_ne_bytes());
        control.extend(libc::SOL_TCP.to_ne_bytes());
        control.extend(libc::TCP_INQ.to_ne_bytes());
        control.extend(left.to_ne_bytes());
        control.extend([0; 4]);
    }
    let mut actual = 0;
    if flags & libc::MSG_ERRQUEUE != 0 {
        actual |= libc::MSG_ERRQUEUE;
    }
    if received.len() > room {
        actual |= libc::MSG_TRUNC;
    }
    if let Some(expected) = value::field(message, "msg_flags").filter(|expr| **expr != Expr::Any) {
        let expected = value::int(expected)? as i32;
        if expected != actual {
            let names = |bits: i32| symbols::bits("MSG_", i64::from(bits));
            return wrong(format!(
                "recvmsg(): msg_flags\n  expected {}\n  actual   {}",
                names(expected),
                names(actual)
            ));
        }
    }
    if let Some(Expr::Array(expected)) = value::field(message, "msg_control") {
        compare(expected, &control)?;
    }
    if let Some(addr @ Expr::Struct(_)) = value::field(message, "msg_name") {
        let from = received.from.map(|from| sockaddr::emit(from, kind.family));
        let expected = value::address(runner, addr, SocketAddr::new(runner.setup.remote, 0))?;
        if from.as_ref() != Some(&expected) {
            return wrong(format!(
                "recvmsg(): msg_name\n  expected {}\n  actual   {:?}",
                value::text(addr),
                received.from
            ));
        }
    }
    Ok(Attempt::Done(Ok(io::returned_len(received.len(), room, flags))))
}

/// One control message as it came.
struct Came<'a> {
    level: i32,
    ty: i32,
    data: &'a [u8],
}

fn split(mut bytes: &[u8]) -> Vec<Came<'_>> {
    let mut out = Vec::new();
    let int = |b: &[u8], at: usize| i32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    while bytes.len() >= HEADER_LEN {
        let len = (int(bytes, 0) as usize).clamp(HEADER_LEN, bytes.len());
        out.push(Came { level: int(bytes, 8), ty: int(bytes, 12), data: &bytes[HEADER_LEN..len] });
        bytes = bytes.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    out
}

fn compare(expected: &[Expr], control: &[u8]) -> Outcome<()> {
    let came = split(control);
    let shown: Vec<String> =
        came.iter().map(|m| format!("level {} type {} {:?}", m.level, m.ty, m.data)).collect();
    if came.len() != expected.len() {
        return wrong(format!(
            "recvmsg(): {} control messages expected, {} came: {}",
            expected.len(),
            came.len(),
            shown.join("; ")
        ));
    }
    for ((expected, came), shown) in expected.iter().zip(&came).zip(&shown) {
        let level = value::int(value::needed(expected, "cmsg_level")?)? as i32;
        let ty = value::int(value::needed(expected, "cmsg_type")?)? as i32;
        let data = value::needed(expected, "cmsg_data")?;
        if (level, ty) != (came.level, came.ty) || !same_data(data, came.data)? {
            return wrong(format!(
                "recvmsg(): control message\n  expected {}\n  actual   {shown}",
                value::text(expected)
            ));
        }
    }
    Ok(())
}

/// A number, or `{ee_errno=…, ee_origin=…, ee_type=…, ee_code=…, ee_info=…, ee_data=…}`.
fn same_data(expected: &Expr, data: &[u8]) -> Outcome<bool> {
    match expected {
        Expr::Any => Ok(true),
        Expr::Str(bytes) => Ok(data == bytes.as_slice()),
        Expr::Struct(fields) if fields.iter().any(|(name, _)| name.as_deref() == Some("ee_errno")) => {
            let word = |at: usize| {
                data.get(at..at + 4).map_or(0, |b| i64::from(u32::from_ne_bytes([b[0], b[1], b[2], b[3]])))
            };
            let byte = |at: usize| data.get(at).copied().map_or(0, i64::from);
            let actual = [
                ("ee_errno", word(0)),
                ("ee_origin", byte(4)),
                ("ee_type", byte(5)),
                ("ee_code", byte(6)),
                ("ee_info", word(8)),
                ("ee_data", word(12)),
            ];
            for (name, actual) in actual {
                let expected = value::field(expected, name).map(value::maybe_int).transpose()?.flatten();
                if expected.is_some_and(|expected| expected != actual) {
                    return Err(Trouble::Wrong(format!(
                        "recvmsg(): {name}\n  expected {}\n  actual   {actual}",
                        expected.unwrap_or(0)
                    )));
                }
            }
            Ok(true)
        }
        number => {
            let mut bytes = [0; 8];
            let len = data.len().min(8);
            bytes[..len].copy_from_slice(&data[..len]);
            let actual = if len == 4 {
                i64::from(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            } else {
                i64::from_ne_bytes(bytes)
            };
            Ok(value::int(number)? == actual)
        }
    }
}
