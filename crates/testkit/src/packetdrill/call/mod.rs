//! System calls: from the script's words to the stack's calls, and what they gave against what was expected.

mod io;
mod message;
mod option;
mod other;
mod ready;
mod socket;
mod value;

use netspace_stack::sock::{OptName, SockError, SockId, SockOpt};
use netspace_uapi::errno;

pub(super) use super::runner::{Answer, Attempt, Progress};
use super::runner::{Outcome, Runner, Trouble, skip, wrong};
use super::script::{Call, Expr};
use super::symbols;

type Handler = fn(&mut Runner, &Call, &mut Progress) -> Outcome<Attempt>;

/// All calls.
const CALLS: &[(&str, Handler)] = &[
    ("socket", socket::socket),
    ("bind", socket::bind),
    ("listen", socket::listen),
    ("accept", socket::accept),
    ("accept4", socket::accept),
    ("connect", socket::connect),
    ("shutdown", socket::shutdown),
    ("close", socket::close),
    ("getsockname", socket::name),
    ("getpeername", socket::name),
    ("read", io::read),
    ("readv", io::read),
    ("recv", io::read),
    ("recvfrom", io::read),
    ("recvmsg", message::receive),
    ("write", io::write),
    ("writev", io::write),
    ("send", io::write),
    ("sendto", io::write),
    ("sendmsg", message::send),
    ("setsockopt", option::set),
    ("getsockopt", option::get),
    ("poll", ready::poll),
    ("epoll_create", ready::epoll_create),
    ("epoll_create1", ready::epoll_create),
    ("epoll_ctl", ready::epoll_ctl),
    ("epoll_wait", ready::epoll_wait),
    ("fcntl", other::fcntl),
    ("ioctl", other::ioctl),
    ("open", other::open),
    ("pipe", other::pipe),
    ("splice", other::splice),
    ("sendfile", other::sendfile),
];

/// Tries a call.
pub(super) fn attempt(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let Some((_, handler)) = CALLS.iter().find(|(name, _)| *name == call.name) else {
        return if matches!(
            call.name.as_str(),
            "sendmmsg" | "recvmmsg" | "mmap" | "tee" | "vmsplice" | "cap_set"
        ) {
            skip(format!("the system call {}() is not here", call.name))
        } else {
            wrong(format!("{}(): no such system call", call.name))
        };
    };
    // Sockets that something has happened to: edge-triggered watches may report them again.
    for id in std::mem::take(&mut runner.world.woken) {
        if let Some(fd) = runner.files.of_socket(id) {
            runner.files.refresh(fd);
        }
    }
    let attempt = handler(runner, call, progress)?;
    progress.again = true;
    let timed_out = progress.deadline.is_some_and(|deadline| runner.world.t.now >= deadline);
    match attempt {
        Attempt::Blocked if timed_out => Ok(Attempt::Done(Err(libc::EAGAIN))),
        other => Ok(other),
    }
}

/// Compares what a call returned with what the script expects.
pub(super) fn check(call: &Call, answer: &Answer) -> Outcome<()> {
    let expected = match &call.result {
        Expr::Any => return Ok(()),
        expr => value::int(expr)?,
    };
    let same = match (answer, &call.errno) {
        (Ok(value), None) => *value == expected,
        (Ok(_), Some(_)) => false,
        (Err(errno), Some(name)) => expected == -1 && symbols::errno(name) == Some(*errno),
        (Err(_), None) => expected == -1,
    };
    if let Some(name) = call.errno.as_deref().filter(|name| symbols::errno(name).is_none()) {
        return wrong(format!("{name}: no such error"));
    }
    if same {
        return Ok(());
    }
    let wanted = match &call.errno {
        Some(name) => format!("{expected} {name}"),
        None => expected.to_string(),
    };
    wrong(format!(
        "{}() returned something else\n  expected {wanted}\n  actual   {}",
        call.name,
        answer_text(answer)
    ))
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Ok(value) => value.to_string(),
        Err(errno) => format!("-1 {}", symbols::errno_name(*errno)),
    }
}

/// A call with its answer, for the log.
pub(super) fn text(call: &Call, answer: &Answer) -> String {
    let args: Vec<String> = call.args.iter().map(value::text).collect();
    format!("{}({}) = {}", call.name, args.join(", "), answer_text(answer))
}

/// `TCP_INFO` as programs see it.
pub(super) fn tcp_info(runner: &Runner, id: SockId) -> Vec<u8> {
    match runner.world.ns.option(&runner.world.t, id, OptName::TcpInfo) {
        Ok(answer @ SockOpt::TcpInfo(_)) => {
            let number = value::number("TCP_INFO");
            netspace_uapi::option::emit(libc::SOL_TCP, number, &answer, usize::MAX, &option::Device)
                .unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// An answer of the stack, as programs get it.
fn done(result: Result<i64, SockError>) -> Attempt {
    Attempt::Done(result.map_err(errno::of))
}

fn failed(errno: i32) -> Outcome<Attempt> {
    Ok(Attempt::Done(Err(errno)))
}

/// The argument number `n`.
fn arg(call: &Call, n: usize) -> Outcome<&Expr> {
    let missing = || Trouble::Wrong(format!("{}() needs more than {} arguments", call.name, call.args.len()));
    call.args.get(n).ok_or_else(missing)
}
