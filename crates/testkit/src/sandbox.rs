//! A command made to run as a plain user in a default container: uid 65534 when the tests run as root, and `unshare`,
//! `setns`, `pidfd_getfd` and new namespaces by `clone` denied by a seccomp filter, as Docker's default profile does.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The user (and group) that tests drop to.
pub const NOBODY: u32 = 65534;

const EPERM: u32 = libc::EPERM as u32;
/// Every `CLONE_NEW*` flag that clone(2) takes.
const CLONE_NEW: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

pub(crate) fn kill(pid: u32) {
    // SAFETY: kill(2) with a plain pid of a child that was not waited for yet; no memory is involved.
    unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
}

/// Makes `command` run confined.
pub fn confine(command: &mut Command) {
    let root = is_root();
    // SAFETY: the closure runs between fork and exec and makes only system calls (async-signal-safe); it touches no
    // lock and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            if root {
                drop_to_nobody()?;
            }
            deny_namespaces()
        });
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn drop_to_nobody() -> io::Result<()> {
    // SAFETY: plain system calls; the group list is empty and its pointer unused.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
        check(libc::setresuid(NOBODY, NOBODY, NOBODY))?;
        // A changed uid makes the process undumpable until exec; exec makes it dumpable again.
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))
    }
}

const fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn deny_namespaces() -> io::Result<()> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // struct seccomp_data: nr at 0, the first argument's low half at 16.
    let filter = [
        statement(LOAD, 0),
        jump(EQUAL, libc::SYS_unshare as u32, 6, 0),
        jump(EQUAL, libc::SYS_setns as u32, 5, 0),
        jump(EQUAL, libc::SYS_pidfd_getfd as u32, 4, 0),
        jump(EQUAL, libc::SYS_clone as u32, 1, 0),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
        statement(LOAD, 16),
        jump(SET, CLONE_NEW, 0, 1),
        statement(RETURN, libc::SECCOMP_RET_ERRNO | EPERM),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program points to `filter`, which outlives the call; the kernel copies it.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_command_is_a_plain_user_without_namespaces() {
        let mut command = Command::new("sh");
        command.args(["-c", "id -u; unshare -U true; echo $?"]).stdin(std::process::Stdio::null());
        confine(&mut command);
        let output = command.output().expect("sh runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = text.lines();
        let uid: u32 = lines.next().and_then(|l| l.parse().ok()).expect("a uid");
        assert_ne!(uid, 0);
        assert_eq!(
            lines.next(),
            Some("1"),
            "unshare is refused: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
