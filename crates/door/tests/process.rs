//! Programs as processes: signals, exits, what is refused, and that nothing is left.

mod common;

use std::os::unix::process::ExitStatusExt;

use common::Lab;

#[test]
fn a_signal_interrupts_or_restarts_a_held_call() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, signal, time, ctypes, os, errno
libc = ctypes.CDLL(None, use_errno=True)
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
hits = []
signal.signal(signal.SIGALRM, lambda s, f: hits.append(s))
signal.siginterrupt(signal.SIGALRM, True); signal.setitimer(signal.ITIMER_REAL, 0.05)
print(libc.accept(l.fileno(), None, None), errno.errorcode[ctypes.get_errno()], len(hits))
signal.siginterrupt(signal.SIGALRM, False); signal.setitimer(signal.ITIMER_REAL, 0.05)
if os.fork() == 0:
    time.sleep(0.2); socket.create_connection(l.getsockname()); os._exit(0)
print(libc.accept(l.fileno(), None, None) > 2, len(hits)); os.wait()
",
    );
    assert_eq!(text, "-1 EINTR 1\nTrue 2\n");
}

#[test]
fn a_timeout_ends_a_held_call() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, struct
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 50000))
try: l.accept()
except BlockingIOError: print('EAGAIN')
s = socket.create_connection(l.getsockname()); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 50000))
try: s.recv(1)
except BlockingIOError: print('EAGAIN')
",
    );
    assert_eq!(text, "EAGAIN\nEAGAIN\n");
}

#[test]
fn exits_are_told_as_they_were() {
    let mut lab = Lab::new();
    let program = lab.launch(&["sh", "-c", "exit 7"]);
    assert_eq!(lab.wait(program).status.code(), Some(7));
    let program = lab.launch(&["sh", "-c", "kill -SEGV $$"]);
    assert_eq!(lab.wait(program).status.signal(), Some(11));
    let program = lab.launch(&["sleep", "100"]);
    lab.door.signal(program, 15, false).unwrap();
    assert_eq!(lab.wait(program).status.signal(), Some(15));
    let error = lab.try_launch(&["no-such-program"]).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn the_host_is_not_the_machine() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, os, errno
print(os.uname().nodename, socket.gethostname(), open('/etc/hosts').read().split()[-1])
print(open('/etc//nsswitch.conf').read().strip(), os.path.exists('/etc/passwd'), len(open('/etc/passwd').read()) > 0)
for f in (socket.AF_CAN, socket.AF_VSOCK, 21):
    try: socket.socket(f, socket.SOCK_DGRAM)
    except OSError as e: print(errno.errorcode[e.errno])
try: open('/proc/net/nosuch')
except OSError as e: print(errno.errorcode[e.errno])
u, v = socket.socketpair(); u.send(b'unix'); print(v.recv(10))
print(os.listdir('/etc') != [])
",
    );
    assert_eq!(
        text,
        "testhost testhost server\nhosts: files dns True True\nEAFNOSUPPORT\nEAFNOSUPPORT\nEAFNOSUPPORT\nENOENT\nb'unix'\nTrue\n"
    );
    let refused: Vec<_> = lab.door.report().iter().map(|(r, n)| (r.call, r.detail.clone(), n)).collect();
    assert!(refused.contains(&("open", "/proc/net/nosuch".into(), 1)), "{refused:?}");
}

#[test]
fn nothing_is_left_when_the_door_goes() {
    let mut lab = Lab::new();
    let program = lab.launch(&[
        "sh",
        "-c",
        "trap '' TERM HUP INT; (setsid sleep 1000 & echo $!); sleep 1000 & echo $! $$; wait",
    ]);
    lab.wait_for(program, " ");
    let text = lab.text(program);
    let pids: Vec<u32> = text.split_whitespace().filter_map(|p| p.parse().ok()).collect();
    assert_eq!(pids.len(), 3, "{text}");
    let running = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(pids.iter().all(running));
    drop(lab);
    assert!(!pids.iter().any(running));
}

#[test]
fn many_programs_start_and_end() {
    let mut lab = Lab::new();
    for _ in 0..100 {
        let program = lab.launch(&["true"]);
        assert!(lab.wait(program).status.success());
    }
}

#[test]
fn a_listener_closed_by_exec_is_noticed() {
    let mut lab = Lab::new();
    let server = lab.python(
        "
import socket, os
l = socket.socket(); l.bind(('127.0.0.1', 7100)); l.listen(5); print('listening')
os.execv('/bin/sleep', ['sleep', '100'])
",
    );
    lab.wait_for(server, "listening");
    let text = lab.run_python(
        "
import socket, time
time.sleep(0.3)
s = socket.socket(); s.settimeout(5)
try: s.connect(('127.0.0.1', 7100)); s.recv(1)
except (ConnectionRefusedError, ConnectionResetError): print('closed')
l = socket.socket(); l.bind(('127.0.0.1', 7100)); print('bound')
",
    );
    assert_eq!(text, "closed\nbound\n");
}

/// Runs in a process of its own, which is killed: what it had launched must go with it.
#[test]
fn nothing_is_left_when_the_supervisor_is_killed() {
    if std::env::var_os("NETSPACE_TEST_SUPERVISOR").is_some() {
        let mut lab = Lab::new();
        let program =
            lab.launch(&["sh", "-c", "(setsid sleep 1000 & echo $!); sleep 1000 & echo $! $$; wait"]);
        lab.wait_for(program, " ");
        println!("PIDS {}", lab.text(program).replace('\n', " "));
        loop {
            lab.turn();
        }
    }
    use std::io::{BufRead, BufReader};
    let mut supervisor = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_is_left_when_the_supervisor_is_killed", "--nocapture"])
        .env("NETSPACE_TEST_SUPERVISOR", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(supervisor.stdout.take().unwrap());
    let line = output.lines().map_while(Result::ok).find(|line| line.contains("PIDS ")).unwrap();
    let pids: Vec<u32> = line.split_whitespace().filter_map(|p| p.parse().ok()).collect();
    assert_eq!(pids.len(), 3, "{line}");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    let gone = |pid: &u32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !pids.iter().all(gone) && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(pids.iter().all(gone));
}
