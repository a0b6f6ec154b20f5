//! The seccomp filter of launched programs: which system calls the supervisor is asked about.
//!
//! A classic BPF program, a chain of comparisons with the call's number; each call that concerns us has a short body
//! that looks at its arguments. What matches nothing runs as if there were no filter; the kernel keeps a bitmap of
//! calls that are always allowed, so `read`, `write` and their like pay next to nothing.

use crate::sys::seccomp::Insn;

const LD_ABS: u16 = 0x20;
const JEQ: u16 = 0x15;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

const CLONE_NEWNET: u32 = 0x4000_0000;
const PR_SET_DUMPABLE: u32 = 4;
const SIOC_FIRST: u32 = 0x8900;
const SIOC_END: u32 = 0x8a00;

/// The first descriptor number for settings that a program opens to write them; ordinary ones are lower, mostly.
pub(crate) const SETTINGS_FIRST: u32 = 960;
/// The number after the last one: what most programs may have (`RLIMIT_NOFILE`).
pub(crate) const SETTINGS_END: u32 = 1024;
/// The longest write to the standard output that may be a setting's value, bytes.
const SETTING_MAX: u32 = 64;

/// The one sendmsg(2) that a program's first process may make unseen: it carries the filter's listener to the
/// supervisor, which cannot answer before it has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandOver {
    /// On this descriptor,
    pub(crate) fd: u32,
    /// with a message header at this address.
    pub(crate) header: u64,
}

const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

const fn ret(action: u32) -> Insn {
    insn(RET, 0, 0, action)
}

const fn errno(number: i32) -> u32 {
    ERRNO | number.unsigned_abs()
}

/// Loads the low (or high) half of an argument.
const fn load(argument: u32, high: bool) -> Insn {
    insn(LD_ABS, 0, 0, 16 + argument * 8 + if high { 4 } else { 0 })
}

/// `action` for every use of the call.
fn always(action: u32) -> Vec<Insn> {
    vec![ret(action)]
}

/// `then` if the argument (its low half) has any of `bits`, else the call is allowed.
fn if_bits(argument: u32, bits: u32, then: u32) -> Vec<Insn> {
    vec![load(argument, false), insn(JSET, 0, 1, bits), ret(then), ret(ALLOW)]
}

/// Allowed if the argument (its low half) has any of `bits`, else notified.
fn unless_bits(argument: u32, bits: u32) -> Vec<Insn> {
    vec![load(argument, false), insn(JSET, 0, 1, bits), ret(ALLOW), ret(NOTIFY)]
}

/// Notified if the pointer argument is not null, or `flags` (argument 3) has any of `bits`.
fn if_pointer(argument: u32, bits: u32) -> Vec<Insn> {
    vec![
        load(argument, false),
        insn(JEQ, 0, 5, 0),
        load(argument, true),
        insn(JEQ, 0, 3, 0),
        load(3, false),
        insn(JSET, 1, 0, bits),
        ret(ALLOW),
        ret(NOTIFY),
    ]
}

fn hand_over(exception: HandOver) -> Vec<Insn> {
    let (low, high) = (exception.header as u32, (exception.header >> 32) as u32);
    vec![
        load(0, false),
        insn(JEQ, 0, 5, exception.fd),
        load(1, false),
        insn(JEQ, 0, 3, low),
        load(1, true),
        insn(JEQ, 0, 1, high),
        ret(ALLOW),
        ret(NOTIFY),
    ]
}

fn ioctl() -> Vec<Insn> {
    vec![
        load(1, false),
        insn(JEQ, 2, 0, libc::TIOCOUTQ as u32),
        insn(JGE, 0, 2, SIOC_FIRST),
        insn(JGE, 1, 0, SIOC_END),
        ret(NOTIFY),
        ret(ALLOW),
    ]
}

/// `prctl(PR_SET_DUMPABLE, 0)` succeeds without effect: we could not read the memory of a process that is not dumpable.
fn prctl() -> Vec<Insn> {
    vec![
        load(0, false),
        insn(JEQ, 0, 3, PR_SET_DUMPABLE),
        load(1, false),
        insn(JEQ, 0, 1, 0),
        ret(errno(0)),
        ret(ALLOW),
    ]
}

/// A file's memory, shared: it may be a packet socket's ring. Private mappings, of libraries above all, are no concern.
fn mmap() -> Vec<Insn> {
    const FLAGS: u32 = 3;
    vec![
        load(FLAGS, false),
        insn(JSET, 2, 0, libc::MAP_ANONYMOUS.unsigned_abs()),
        insn(JSET, 0, 1, libc::MAP_SHARED.unsigned_abs()),
        ret(NOTIFY),
        ret(ALLOW),
    ]
}

/// Everything but AF_UNIX, which stays the kernel's.
fn socket() -> Vec<Insn> {
    vec![load(0, false), insn(JEQ, 0, 1, libc::AF_UNIX.unsigned_abs()), ret(ALLOW), ret(NOTIFY)]
}

/// Standard input, output and error are hardly ever ours: their closing is not looked at.
fn close() -> Vec<Insn> {
    vec![load(0, false), insn(JGE, 1, 0, 3), ret(ALLOW), ret(NOTIFY)]
}

/// What may be a setting's new value: see the module `settings`.
fn write() -> Vec<Insn> {
    vec![
        load(0, false),
        insn(JEQ, 0, 2, libc::STDOUT_FILENO.unsigned_abs()),
        load(2, false),
        insn(JGE, 3, 2, SETTING_MAX + 1),
        insn(JGE, 0, 2, SETTINGS_FIRST),
        insn(JGE, 1, 0, SETTINGS_END),
        ret(NOTIFY),
        ret(ALLOW),
    ]
}

fn rules(exception: HandOver) -> Vec<(libc::c_long, Vec<Insn>)> {
    let mut rules = vec![
        (libc::SYS_write, write()),
        (libc::SYS_close, close()),
        (libc::SYS_openat, always(NOTIFY)),
        (libc::SYS_sendto, always(NOTIFY)),
        (libc::SYS_recvfrom, if_pointer(4, (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE).unsigned_abs())),
        (libc::SYS_ioctl, ioctl()),
        (libc::SYS_sendmsg, hand_over(exception)),
        (libc::SYS_socket, socket()),
        (libc::SYS_mmap, mmap()),
        (libc::SYS_newfstatat, unless_bits(3, libc::AT_EMPTY_PATH.unsigned_abs())),
        (libc::SYS_statx, unless_bits(2, libc::AT_EMPTY_PATH.unsigned_abs())),
    ];
    for nr in [
        libc::SYS_recvmsg,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_getsockname,
        libc::SYS_getpeername,
        libc::SYS_setsockopt,
        libc::SYS_getsockopt,
        libc::SYS_shutdown,
        libc::SYS_sendmmsg,
        libc::SYS_recvmmsg,
        libc::SYS_openat2,
        libc::SYS_uname,
        libc::SYS_chdir,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_getxattr,
        libc::SYS_lgetxattr,
        libc::SYS_listxattr,
        libc::SYS_llistxattr,
    ] {
        rules.push((nr, always(NOTIFY)));
    }
    #[cfg(target_arch = "x86_64")]
    for nr in [
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_stat,
        libc::SYS_lstat,
        libc::SYS_access,
        libc::SYS_readlink,
    ] {
        rules.push((nr, always(NOTIFY)));
    }
    for nr in [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register] {
        rules.push((nr, always(errno(libc::ENOSYS))));
    }
    rules.push((libc::SYS_bpf, always(errno(libc::EPERM))));
    rules.push((libc::SYS_setns, always(errno(libc::EPERM))));
    rules.push((libc::SYS_unshare, if_bits(0, CLONE_NEWNET, errno(libc::EPERM))));
    rules.push((libc::SYS_clone, if_bits(0, CLONE_NEWNET, errno(libc::EPERM))));
    rules.push((libc::SYS_prctl, prctl()));
    rules
}

/// The whole filter.
pub(crate) fn build(exception: HandOver) -> Vec<Insn> {
    let mut filter = vec![
        insn(LD_ABS, 0, 0, OFFSET_ARCH),
        insn(JEQ, 1, 0, ARCH),
        ret(KILL_PROCESS),
        insn(LD_ABS, 0, 0, OFFSET_NR),
    ];
    #[cfg(target_arch = "x86_64")]
    {
        // The x32 calls have their own numbers, behind which the same calls could be made unseen.
        const X32: u32 = 0x4000_0000;
        filter.extend([insn(JGE, 0, 1, X32), ret(errno(libc::ENOSYS))]);
    }
    for (nr, body) in rules(exception) {
        let skip = u8::try_from(body.len()).unwrap_or(u8::MAX);
        filter.push(insn(JEQ, 0, skip, u32::try_from(nr).unwrap_or(u32::MAX)));
        filter.extend(body);
    }
    filter.push(ret(ALLOW));
    filter
}

/// A filter that asks about one call and lets every other one through: to find out what works here.
pub(crate) fn trap_one(call: libc::c_long) -> Vec<Insn> {
    vec![
        insn(LD_ABS, 0, 0, OFFSET_NR),
        insn(JEQ, 0, 1, u32::try_from(call).unwrap_or(u32::MAX)),
        ret(NOTIFY),
        ret(ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn verdict(filter: &[Insn], arch: u32, nr: libc::c_long, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend((nr as u32).to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        for arg in args {
            data.extend(arg.to_le_bytes());
        }
        let word = |at: u32| {
            let at = at as usize;
            u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
        };
        let (mut pc, mut a) = (0, 0);
        loop {
            let i = filter[pc];
            pc += 1;
            let jump = |yes: bool| if yes { usize::from(i.jt) } else { usize::from(i.jf) };
            match i.code {
                LD_ABS => a = word(i.k),
                JEQ => pc += jump(a == i.k),
                JGE => pc += jump(a >= i.k),
                JSET => pc += jump(a & i.k != 0),
                _ => return i.k,
            }
        }
    }

    #[test]
    fn each_call_meets_the_verdict_its_arguments_ask_for() {
        let filter = build(HandOver { fd: 9, header: 0x7fff_1234_5678_9ab0 });
        let ask = |nr, args| verdict(&filter, ARCH, nr, args);
        assert_eq!(ask(libc::SYS_read, [3, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_write, [1, 7, 2, 0, 0, 0]), NOTIFY, "echo 1 > /proc/sys/net/…");
        assert_eq!(ask(libc::SYS_write, [1, 7, 65, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_write, [2, 7, 2, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_write, [3, 7, 2, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_write, [960, 7, 2, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_write, [1024, 7, 2, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_socket, [1, 1, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_socket, [2, 1, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_sendto, [3, 7, 1, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_sendto, [3, 7, 1, 0, 0x1000, 16]), NOTIFY);
        assert_eq!(ask(libc::SYS_sendto, [3, 7, 1, 0, 0x1_0000_0000, 16]), NOTIFY);
        assert_eq!(ask(libc::SYS_recvfrom, [3, 7, 1, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_recvfrom, [3, 7, 1, 0x40, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_recvfrom, [3, 7, 1, 0, 0x10, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_ioctl, [3, 0x5401, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_ioctl, [3, 0x5411, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_ioctl, [3, 0x8912, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_ioctl, [3, 0x8a00, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_sendmsg, [9, 0x7fff_1234_5678_9ab0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_sendmsg, [9, 0x7ffe_1234_5678_9ab0, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_sendmsg, [8, 0x7fff_1234_5678_9ab0, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_clone, [0x4000_0000, 0, 0, 0, 0, 0]), errno(libc::EPERM));
        assert_eq!(ask(libc::SYS_clone, [0x0120_0011, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_prctl, [4, 0, 0, 0, 0, 0]), errno(0));
        assert_eq!(ask(libc::SYS_prctl, [4, 1, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_io_uring_setup, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(ask(libc::SYS_newfstatat, [3, 7, 9, 0x1000, 0, 0]), ALLOW, "fstat(2), as glibc makes it");
        assert_eq!(ask(libc::SYS_newfstatat, [3, 7, 9, 0x100, 0, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_statx, [3, 7, 0x1000, 0xfff, 9, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_statx, [3, 7, 0, 0xfff, 9, 0]), NOTIFY);
        assert_eq!(ask(libc::SYS_mmap, [0, 4096, 3, 0x1, 5, 0]), NOTIFY, "a file, shared");
        assert_eq!(ask(libc::SYS_mmap, [0, 4096, 3, 0x2, 5, 0]), ALLOW, "private");
        assert_eq!(ask(libc::SYS_mmap, [0, 4096, 3, 0x21, 5, 0]), ALLOW, "no file");
        assert_eq!(ask(libc::SYS_close, [2, 0, 0, 0, 0, 0]), ALLOW);
        assert_eq!(ask(libc::SYS_close, [3, 0, 0, 0, 0, 0]), NOTIFY);
        assert_eq!(verdict(&filter, 0x4000_0003, libc::SYS_read, [0; 6]), KILL_PROCESS);
        assert!(filter.len() < 4096, "BPF_MAXINSNS");
    }
}
