//! That nothing piles up in the supervisor. In a file of its own: it counts the process's descriptors.

mod common;

use common::Lab;

#[test]
fn no_descriptor_is_left_of_programs_that_have_ended() {
    let mut lab = Lab::new();
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let script = "
import socket, os
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(5)
s = socket.create_connection(l.getsockname()); c, a = l.accept(); s.send(b'x'); c.recv(1)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(('127.0.0.1', 9)); u.send(b'x')
n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); f = socket.socket(); f.setblocking(False)
f.connect_ex(('127.0.0.1', 9)); open('/etc/hosts').read()
if os.fork() == 0: os._exit(0)
";
    lab.run_python(script);
    lab.settle_closes();
    let before = count();
    for _ in 0..10 {
        lab.run_python(script);
    }
    lab.settle_closes();
    assert!(count() <= before, "{} descriptors, before {before}", count());
}
