//! UDP as programs see it.

mod common;

use common::Lab;

#[test]
fn datagrams_with_and_without_addresses() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 6000))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.bind(('127.0.0.1', 6001))
b.sendto(b'one', ('127.0.0.1', 6000)); b.sendto(b'', ('127.0.0.1', 6000)); b.sendto(b'three', ('127.0.0.1', 6000))
print(a.recvfrom(100), a.recvfrom(100), a.recvfrom(100))
a.setblocking(False)
try: a.recvfrom(1)
except BlockingIOError: print('empty')
b.connect(('127.0.0.1', 6000)); print(b.getpeername()); b.send(b'four'); a.connect(('127.0.0.1', 6001))
print(select.select([a], [], [], 5)[0] == [a], a.recv(100), select.select([a], [], [], 0)[0])
b.send(b'truncated'); print(select.select([a], [], [], 5)[0] == [a], a.recv(100, socket.MSG_PEEK), a.recvmsg(5)[0:3:2])
a.setblocking(True); a.settimeout(0.1)
try: a.recvfrom(10)
except TimeoutError: print('timeout')
for i in range(20): b.send(b'%d' % i)
print([a.recv(10) for i in range(10)], [a.recvfrom(10)[0] for i in range(10)])
",
    );
    assert_eq!(
        text,
        "(b'one', ('127.0.0.1', 6001)) (b'', ('127.0.0.1', 6001)) (b'three', ('127.0.0.1', 6001))\nempty\n\
         ('127.0.0.1', 6000)\nTrue b'four' []\nTrue b'truncated' (b'trunc', 32)\ntimeout\n\
         [b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9'] \
         [b'10', b'11', b'12', b'13', b'14', b'15', b'16', b'17', b'18', b'19']\n"
    );
}

#[test]
fn plain_reads_and_writes() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select, os, errno
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 6000))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
b.connect(('127.0.0.1', 6000)); os.write(b.fileno(), b'hello'); d, p = a.recvfrom(10); print(d)
a.connect(p); os.write(a.fileno(), b'world'); print(os.read(b.fileno(), 3))
os.write(a.fileno(), b'x'); e = select.epoll(); e.register(b, select.EPOLLIN | select.EPOLLET)
print(e.poll(5)[0][1], e.poll(0), os.read(b.fileno(), 3))
",
    );
    assert_eq!(text, "b'hello'\nb'wor'\n1 [] b'x'\n");
}

#[test]
fn a_refusal_is_told() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select, errno
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.connect(('127.0.0.1', 6009))
b.send(b'x'); p = select.poll(); p.register(b, select.POLLIN); print(p.poll(5000)[0][1] & select.POLLERR)
try: b.recvfrom(10)
except ConnectionRefusedError: print('refused')
print(p.poll(0))
b.send(b'x'); p.poll(5000); print(errno.errorcode[b.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)], p.poll(0))
b.send(b'x')
try: b.recvfrom(10)
except ConnectionRefusedError: print('refused')
",
    );
    assert_eq!(text, "8\nrefused\n[]\nECONNREFUSED []\nrefused\n");
}

#[test]
fn a_port_is_free_once_its_process_has_ended() {
    let mut lab = Lab::new();
    for _ in 0..3 {
        let text = lab.run_python(
            "
import socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(('127.0.0.1', 6000)); print('bound')
",
        );
        assert_eq!(text, "bound\n");
    }
}

#[test]
fn a_socket_shut_for_reading_ends_for_those_who_would_wait() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, errno
def tell(f, *args):
    try: print(f.__name__, *args, f(*args))
    except OSError as e: print(f.__name__, *args, errno.errorcode[e.errno])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); tell(s.shutdown, socket.SHUT_RD)
tell(s.recv, 10); tell(s.recvfrom, 10)
s.setblocking(False); tell(s.recv, 10); tell(s.recvfrom, 10); tell(s.recvmsg, 10)
s.connect(s.getsockname()); s.send(b'late'); tell(lambda: s.recvfrom(10)[0]); tell(s.recvfrom, 10)
",
    );
    let expected = "\
shutdown 0 ENOTCONN
recv 10 b''
recvfrom 10 (b'', None)
recv 10 EAGAIN
recvfrom 10 EAGAIN
recvmsg 10 EAGAIN
<lambda> b'late'
recvfrom 10 EAGAIN
";
    assert_eq!(text, expected, "as Linux 6.18 says");
}
