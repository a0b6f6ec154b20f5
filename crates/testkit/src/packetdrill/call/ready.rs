//! poll and epoll.

use netspace_base::Duration;

use super::super::file::{File, PIPE_CAPACITY, Watch};
use super::super::runner::{Outcome, Runner, wrong};
use super::super::script::{Call, Expr};
use super::super::symbols;
use super::{Attempt, Progress, arg, failed, socket, value};

/// What a descriptor is ready for, as poll(2) tells it; none if there is no such descriptor.
fn readiness(runner: &Runner, fd: i32) -> Option<u32> {
    let bits = match runner.files.get(fd)? {
        File::Socket(sock) => {
            let ready = u32::from(runner.world.ns.readiness(sock.id).bits());
            let normal = |bit: i16, also: i16| if ready & bit as u32 != 0 { also as u32 } else { 0 };
            ready | normal(libc::POLLIN, libc::POLLRDNORM) | normal(libc::POLLOUT, libc::POLLWRNORM)
        }
        File::PipeRead(n) => {
            let pipe = &runner.files.pipes[*n];
            let readable = if pipe.data.is_empty() { 0 } else { libc::POLLIN };
            (readable | if pipe.writer_closed { libc::POLLHUP } else { 0 }) as u32
        }
        File::PipeWrite(n) => {
            let full = runner.files.pipes[*n].data.len() >= PIPE_CAPACITY;
            if full { 0 } else { libc::POLLOUT as u32 }
        }
        File::Regular { .. } => (libc::POLLIN | libc::POLLOUT) as u32,
        File::Epoll(_) => 0,
    };
    Some(bits)
}

/// Milliseconds, as poll and epoll_wait take them: sets when the call gives up.
fn wait(runner: &Runner, progress: &mut Progress, millis: i64) -> bool {
    if millis > 0 {
        progress.deadline = Some(progress.started + Duration::from_millis(millis as u64));
    }
    let over = progress.deadline.is_some_and(|deadline| runner.world.t.now >= deadline);
    millis != 0 && !over
}

/// poll([{fd=…, events=…, revents=…}…], count, milliseconds).
pub(super) fn poll(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let Expr::Array(entries) = arg(call, 0)? else { return wrong("poll(): expected [{fd=…, events=…}]") };
    let millis = value::int(arg(call, 2)?)?;
    let always = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as u32;
    let mut found = Vec::new();
    for entry in entries {
        let fd = value::int(value::needed(entry, "fd")?)? as i32;
        let events = value::int(value::needed(entry, "events")?)? as u32;
        let ready = readiness(runner, fd).unwrap_or(libc::POLLNVAL as u32);
        found.push(ready & (events | always));
    }
    let count = found.iter().filter(|bits| **bits != 0).count();
    if count == 0 && wait(runner, progress, millis) {
        return Ok(Attempt::Blocked);
    }
    progress.deadline = None;
    for (entry, actual) in entries.iter().zip(&found) {
        let Some(expected) = value::field(entry, "revents") else { continue };
        let expected = value::int(expected)? as u32;
        if expected != *actual {
            let names = |bits: u32| symbols::bits("POLL", i64::from(bits));
            return wrong(format!(
                "poll(): revents\n  expected {}\n  actual   {}",
                names(expected),
                names(*actual)
            ));
        }
    }
    Ok(Attempt::Done(Ok(count as i64)))
}

/// epoll_create(size), epoll_create1(flags).
pub(super) fn epoll_create(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let number = value::int(arg(call, 0)?)?;
    if call.name == "epoll_create" && number <= 0 {
        return failed(libc::EINVAL);
    }
    Ok(Attempt::Done(Ok(socket::open(runner, call, File::Epoll(Vec::new())))))
}

/// epoll_ctl(epfd, EPOLL_CTL_…, fd, {events=…, fd=…}).
pub(super) fn epoll_ctl(runner: &mut Runner, call: &Call, _: &mut Progress) -> Outcome<Attempt> {
    let epfd = value::int(arg(call, 0)?)? as i32;
    let op = value::int(arg(call, 1)?)? as i32;
    let fd = value::int(arg(call, 2)?)? as i32;
    let event = call.args.get(3).filter(|event| matches!(event, Expr::Struct(_)));
    let (events, data) = match event {
        Some(event) => (value::int(value::needed(event, "events")?)? as u32, user_data(event)?),
        None => (0, 0),
    };
    if runner.files.get(fd).is_none() {
        return failed(libc::EBADF);
    }
    let Some(File::Epoll(watches)) = runner.files.get_mut(epfd) else { return failed(libc::EINVAL) };
    let known = watches.iter().position(|watch| watch.fd == fd);
    let watch = Watch { fd, events, data, fresh: true, spent: false };
    match (op, known) {
        (libc::EPOLL_CTL_ADD, None) => watches.push(watch),
        (libc::EPOLL_CTL_ADD, Some(_)) => return failed(libc::EEXIST),
        (libc::EPOLL_CTL_MOD, Some(n)) => watches[n] = watch,
        (libc::EPOLL_CTL_DEL, Some(n)) => drop(watches.remove(n)),
        (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, None) => return failed(libc::ENOENT),
        _ => return failed(libc::EINVAL),
    }
    Ok(Attempt::Done(Ok(0)))
}

/// What the program gets back: `fd=`, `ptr=`, `u32=` or `u64=`.
fn user_data(event: &Expr) -> Outcome<u64> {
    let field = ["fd", "ptr", "u32", "u64"].into_iter().find_map(|name| value::field(event, name));
    field.map_or(Ok(0), |expr| Ok(value::maybe_int(expr)?.unwrap_or(0) as u64))
}

/// epoll_wait(epfd, {events=…, fd=…}, max, milliseconds): the first event must be the script's.
pub(super) fn epoll_wait(runner: &mut Runner, call: &Call, progress: &mut Progress) -> Outcome<Attempt> {
    let epfd = value::int(arg(call, 0)?)? as i32;
    let max = value::int(arg(call, 2)?)?;
    let millis = value::int(arg(call, 3)?)?;
    if max <= 0 {
        return failed(libc::EINVAL);
    }
    let Some(File::Epoll(watches)) = runner.files.get(epfd) else { return failed(libc::EINVAL) };
    let mut watches = watches.clone();
    let mut found = Vec::new();
    for watch in watches.iter_mut().filter(|watch| !watch.spent) {
        let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let ready = readiness(runner, watch.fd).unwrap_or(0) & (watch.events | always);
        let edge = watch.events & libc::EPOLLET as u32 != 0;
        if ready == 0 || (edge && !watch.fresh) || found.len() as i64 >= max {
            continue;
        }
        watch.fresh = false;
        watch.spent = watch.events & libc::EPOLLONESHOT as u32 != 0;
        found.push((ready, watch.data));
    }
    if found.is_empty() && wait(runner, progress, millis) {
        return Ok(Attempt::Blocked);
    }
    progress.deadline = None;
    if let Some(File::Epoll(kept)) = runner.files.get_mut(epfd) {
        *kept = watches;
    }
    let events = match arg(call, 1)? {
        Expr::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    for (event, (actual, data)) in events.iter().zip(&found) {
        if *event == Expr::Any {
            continue;
        }
        let expected = value::int(value::needed(event, "events")?)? as u32;
        if expected != *actual || user_data(event)? != *data {
            let names = |bits: u32| symbols::bits("EPOLL", i64::from(bits));
            return wrong(format!(
                "epoll_wait(): event\n  expected {}\n  actual   {{events={}, data={data}}}",
                value::text(event),
                names(*actual)
            ));
        }
    }
    Ok(Attempt::Done(Ok(found.len() as i64)))
}
