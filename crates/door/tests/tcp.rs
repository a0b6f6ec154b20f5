//! TCP as programs see it.

mod common;

use common::Lab;

const ECHO_SERVER: &str = "
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', 7000)); s.listen(5); print('listening')
c, a = s.accept(); print('from', a[0])
while True:
    d = c.recv(4096)
    if not d: break
    c.sendall(d.upper())
c.close(); print('done')
";

#[test]
fn an_echo_server_and_its_client() {
    let mut lab = Lab::new();
    let server = lab.python(ECHO_SERVER);
    lab.wait_for(server, "listening");
    let text = lab.run_python(
        "
import socket
c = socket.create_connection(('127.0.0.1', 7000))
print(c.getpeername(), c.getsockname()[0])
c.sendall(b'hello '); c.sendall(b'world'); c.shutdown(socket.SHUT_WR)
b = b''
while True:
    d = c.recv(100)
    if not d: break
    b += d
print(b)
",
    );
    assert_eq!(text, "('127.0.0.1', 7000) 127.0.0.1\nb'HELLO WORLD'\n");
    let done = lab.wait(server);
    assert!(done.text.ends_with("from 127.0.0.1\ndone\n"), "{}", done.text);
}

#[test]
fn nobody_listens() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select, errno
s = socket.socket()
try: s.connect(('127.0.0.1', 9))
except ConnectionRefusedError as e: print('blocking', e.errno == errno.ECONNREFUSED)
s = socket.socket(); s.setblocking(False)
print('now', errno.errorcode[s.connect_ex(('127.0.0.1', 9))])
p = select.poll(); p.register(s, select.POLLOUT)
print('poll', p.poll(5000)[0][1] & (select.POLLOUT | select.POLLERR | select.POLLHUP))
print('error', errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
",
    );
    assert_eq!(text, "blocking True\nnow EINPROGRESS\npoll 28\nerror ECONNREFUSED\n");
}

#[test]
fn a_connection_that_is_being_made_is_not_writable_until_it_is() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select, errno
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
s = socket.socket(); s.setblocking(False)
e = s.connect_ex(l.getsockname()); print(errno.errorcode[e])
r, w, x = select.select([], [s], [], 5); print('writable', w == [s])
print('error', s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print('again', s.connect_ex(l.getsockname()), errno.errorcode[s.connect_ex(l.getsockname())])
c, a = l.accept(); print(a == s.getsockname())
s.send(b'x' * 10); print(c.recv(100))
e = select.epoll(); e.register(s, select.EPOLLIN | select.EPOLLET)
print('nothing', e.poll(0)); c.send(b'abc'); print(e.poll(5)[0][1], s.recv(10))
c.send(b'def'); print(e.poll(5)[0][1], e.poll(0), s.recv(10))
",
    );
    assert_eq!(
        text,
        "EINPROGRESS\nwritable True\nerror 0\nagain 0 EISCONN\nTrue\nb'xxxxxxxxxx'\nnothing []\n1 b'abc'\n1 [] b'def'\n"
    );
}

#[test]
fn a_reset_comes_after_what_was_sent_before_it() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, struct, select
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
s = socket.create_connection(l.getsockname()); c, a = l.accept()
# Closed with unread bytes: a reset, as on Linux.
s.sendall(b'unread'); select.select([c], [], [], 5); c.close()
p = select.poll(); p.register(s, select.POLLIN); print(p.poll(5000)[0][1] & (select.POLLERR | select.POLLHUP))
try: s.recv(1); print('no')
except ConnectionResetError: print('reset')
# Linger 0.
s = socket.create_connection(l.getsockname()); c, a = l.accept()
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()
try: s.recv(1); print('no')
except ConnectionResetError: print('reset')
",
    );
    assert_eq!(text, "24\nreset\nreset\n");
}

#[test]
fn each_side_may_end_on_its_own() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, select
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
s = socket.create_connection(l.getsockname()); c, a = l.accept()
c.sendall(b'bye'); c.shutdown(socket.SHUT_WR)
print(s.recv(10), s.recv(10)); p = select.poll(); p.register(s, select.POLLRDHUP); print(p.poll(0)[0][1])
s.sendall(b'more'); s.close(); print(c.recv(10), c.recv(10))
s = socket.create_connection(l.getsockname()); c, a = l.accept()
s.shutdown(socket.SHUT_RDWR); print(c.recv(1), s.recv(1)); s.close()
",
    );
    assert_eq!(text, "b'bye' b''\n8192\nb'more' b''\nb'' b''\n");
}

#[test]
fn a_megabyte_each_way_through_threads_and_sendfile() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, threading, hashlib, os, tempfile
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
data = os.urandom(3_000_000); f = tempfile.TemporaryFile(); f.write(data); f.seek(0)
def serve():
    c, a = l.accept(); h = hashlib.sha256()
    while True:
        d = c.recv(65536)
        if not d: break
        h.update(d); c.sendall(d)
    c.close(); print('server', h.digest() == hashlib.sha256(data).digest())
t = threading.Thread(target=serve); t.start()
s = socket.create_connection(l.getsockname()); h = hashlib.sha256()
def send():
    s.sendfile(f); s.shutdown(socket.SHUT_WR)
u = threading.Thread(target=send); u.start()
while True:
    d = s.recv(10000)
    if not d: break
    h.update(d)
u.join(); t.join(); print('client', h.digest() == hashlib.sha256(data).digest())
",
    );
    assert_eq!(text, "server True\nclient True\n");
}

#[test]
fn descriptors_survive_fork_exec_dup_and_passing() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, os, array
l = socket.socket(); l.bind(('127.0.0.1', 7001)); l.listen(5)
if os.fork() == 0:
    c, a = l.accept(); c.sendall(b'child ' + str(l.getsockname()[1]).encode()); os._exit(0)
s = socket.create_connection(('127.0.0.1', 7001)); print(s.recv(100), s.recv(100)); os.wait()
s = socket.create_connection(('127.0.0.1', 7001)); c, a = l.accept()
if os.fork() == 0:
    os.dup2(c.fileno(), 1); os.execv('/bin/echo', ['echo', 'executed'])
os.wait(); c.close(); print(s.recv(100), s.recv(100))
u, v = socket.socketpair()
s = socket.create_connection(('127.0.0.1', 7001)); c, a = l.accept()
socket.send_fds(u, [b'x'], [c.fileno()]); c.close()
m, fds, flags, addr = socket.recv_fds(v, 1, 1); d = socket.socket(fileno=fds[0])
print(d.getpeername() == s.getsockname(), d.family == socket.AF_INET, d.type == socket.SOCK_STREAM)
d.sendall(b'passed'); d.close(); print(s.recv(100), s.recv(100))
",
    );
    assert_eq!(text, "b'child 7001' b''\nb'executed\\n' b''\nTrue True True\nb'passed' b''\n");
}

#[test]
fn a_port_is_free_again_once_its_listener_is_closed() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, errno
for i in range(20):
    l = socket.socket(); l.bind(('127.0.0.1', 7002)); l.listen(1); l.close()
l = socket.socket(); l.bind(('127.0.0.1', 7003)); l.listen(1)
k = socket.socket(); print(errno.errorcode[k.connect_ex(('127.0.0.1', 7002))])
k = socket.socket()
try: k.bind(('127.0.0.1', 7003)); print('no')
except OSError as e: print(errno.errorcode[e.errno])
",
    );
    assert_eq!(text, "ECONNREFUSED\nEADDRINUSE\n");
}

#[test]
fn five_hundred_connections_at_once() {
    let mut lab = Lab::new();
    let server = lab.python(
        "
import selectors, socket, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 4096))
sel = selectors.DefaultSelector(); l = socket.socket(); l.bind(('127.0.0.1', 7004)); l.listen(512); l.setblocking(False)
sel.register(l, selectors.EVENT_READ); print('listening'); open_, seen = 0, 0
while seen < 500 or open_:
    for k, e in sel.select(10):
        if k.fileobj is l:
            c, a = l.accept(); c.setblocking(False); sel.register(c, selectors.EVENT_READ); open_ += 1; seen += 1
        else:
            d = k.fileobj.recv(100)
            if d: k.fileobj.send(d)
            else: sel.unregister(k.fileobj); k.fileobj.close(); open_ -= 1
print('served', seen)
",
    );
    lab.wait_for(server, "listening");
    let text = lab.run_python(
        "
import socket, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 4096))
a = [socket.create_connection(('127.0.0.1', 7004)) for _ in range(500)]
for i, s in enumerate(a): s.send(b'%d' % i)
print(all(s.recv(10) == b'%d' % i for i, s in enumerate(a)))
",
    );
    assert_eq!(text, "True\n");
    assert!(lab.wait(server).text.ends_with("served 500\n"));
}

#[test]
fn a_reset_ends_a_write_that_waits_while_nothing_is_read() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, struct, threading, time
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(1)
s = socket.create_connection(l.getsockname()); c, a = l.accept()
# Both write until nothing more fits; then one of them resets the connection.
def write():
    try:
        while True: c.sendall(b'x' * 65536)
    except OSError as e: print('ended', isinstance(e, ConnectionError))
t = threading.Thread(target=write); t.start()
s.settimeout(0.3)
try:
    while True: s.sendall(b'y' * 65536)
except TimeoutError: print('full')
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close(); t.join()
",
    );
    assert_eq!(text, "full\nended True\n");
}

#[test]
fn a_socket_whose_connect_failed_can_be_used_anew() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, errno
def tell(what, f):
    try: print(what, f())
    except OSError as e: print(what, errno.errorcode[e.errno])
def connect(port): return lambda: s.connect(('127.0.0.1', port))
def bind(port): return lambda: s.bind(('127.0.0.1', port))
s = socket.socket(); tell('connect', connect(7001)); tell('bind', bind(6001)); tell('connect', connect(7001))
tell('bind', bind(6002)); l = socket.create_server(('127.0.0.1', 7001)); tell('connect', connect(7001))
print(s.getsockname()); l.close(); s.close()
s = socket.socket(); s.setblocking(False)
tell('connect', connect(7003)); tell('bind', bind(6003)); tell('listen', s.listen)
tell('connect', connect(7003)); tell('listen', s.listen); tell('accept', s.accept)
c = socket.create_connection(('127.0.0.1', 6003)); s.setblocking(True); print(s.accept()[1] == c.getsockname())
",
    );
    // As Linux 6.18 says: a port that connect chose is given up, one that bind gave stays.
    let expected = "\
connect ECONNREFUSED
bind None
connect ECONNREFUSED
bind EINVAL
connect None
('127.0.0.1', 6001)
connect EINPROGRESS
bind None
listen EINVAL
connect ECONNREFUSED
listen None
accept EAGAIN
True
";
    assert_eq!(text, expected);
}

#[test]
fn an_urgent_byte_has_its_mark_its_signal_and_its_readiness() {
    let mut lab = Lab::new();
    let script = "
import socket, select, errno, signal, fcntl, os, struct
def tell(what, f, *a):
    try: print(what, f(*a))
    except OSError as e: print(what, errno.errorcode[e.errno])
def mark(): return struct.unpack('i', fcntl.ioctl(c, 0x8905, bytes(4)))[0]
def poll(bits):
    p = select.poll(); p.register(c, bits); return [e for _, e in p.poll(5000)]
signals = []
signal.signal(signal.SIGURG, lambda *_: signals.append('SIGURG'))
l = socket.create_server(('127.0.0.1', 0))
for inline in 0, 1:
    l.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    s = socket.create_connection(l.getsockname()); c, _ = l.accept()
    print(c.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE), s.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE))
    fcntl.fcntl(c, fcntl.F_SETOWN, os.getpid())
    tell('none', c.recv, 1, socket.MSG_OOB)
    s.send(b'ab'); s.send(b'cd', socket.MSG_OOB); print(poll(select.POLLPRI), signals); signals.clear()
    tell('mark', mark); tell('peek', c.recv, 1, socket.MSG_OOB | socket.MSG_PEEK)
    tell('recv', c.recv, 10); tell('mark', mark); tell('oob', c.recv, 1, socket.MSG_OOB)
    s.send(b'ef'); tell('recv', c.recv, 2 + inline, socket.MSG_WAITALL); tell('mark', mark); tell('oob', c.recv, 1, socket.MSG_OOB)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1 - inline)
    tell('sendmsg', s.sendmsg, [b'x', b'y'], [], socket.MSG_OOB); print(poll(select.POLLPRI))
    tell('recv', c.recv, 10); tell('mark', mark); tell('recv', c.recv, 10, socket.MSG_DONTWAIT)
    signals.clear()
";
    let text = lab.run_python(script);
    // As Linux 6.18 says.
    let expected = "\
0 0
none EINVAL
[2] ['SIGURG']
mark 0
peek b'd'
recv b'abc'
mark 1
oob b'd'
recv b'ef'
mark 0
oob EINVAL
sendmsg 2
[2]
recv b'x'
mark 1
recv b'y'
1 0
none EINVAL
[2] ['SIGURG']
mark 0
peek EINVAL
recv b'abc'
mark 1
oob EINVAL
recv b'def'
mark 0
oob EINVAL
sendmsg 2
[2]
recv b'x'
mark 1
recv EAGAIN
";
    assert_eq!(text, expected);
}

#[test]
fn a_lingering_close_waits_until_all_has_arrived_or_its_time_is_up() {
    let mut lab = Lab::new();
    // A close that waited where it should not would wait for longer than the test may take.
    let text = lab.run_python(
        "
import socket, struct, time, threading, select
LONG = 60
l = socket.socket()
# Less than fill() gives: it cannot all arrive unread.
l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096); l.bind(('127.0.0.1', 0)); l.listen()
def pair(linger):
    s = socket.create_connection(l.getsockname()); c, _ = l.accept()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, linger))
    return s, c
def fill(s):
    s.setblocking(False)
    try:
        while True: s.send(b'x' * 65536)
    except BlockingIOError: pass
def drain(c):
    reading.set(); n = 0
    while b := c.recv(1 << 20): n += len(b)
    return n
reading = threading.Event()
s, c = pair(LONG); s.send(b'hi'); s.close(); print('nothing to wait for', c.recv(10), c.recv(10))
s, c = pair(1); fill(s); t = time.monotonic(); s.close(); print('a second', time.monotonic() - t > 0.9)
print('goes on behind', drain(c) > 65536)
s, c = pair(LONG); fill(s); copy = s.dup(); s.close(); print('not the last')
reading.clear(); threading.Timer(0.2, drain, [c]).start(); copy.close(); print('waited', reading.is_set())
s, c = pair(LONG); c.send(b'unread'); select.select([s], [], []); fill(s); s.close(); print('reset')
",
    );
    let expected = "\
nothing to wait for b'hi' b''
a second True
goes on behind True
not the last
waited True
reset
";
    assert_eq!(text, expected);
}

#[test]
fn data_goes_with_the_syn() {
    let mut lab = Lab::new();
    let text = lab.run_python(
        "
import socket, errno
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_INFO = 23, 30, 11
open('/proc/sys/net/ipv4/tcp_fastopen', 'w').write('3')
l = socket.socket(); l.setsockopt(6, TCP_FASTOPEN, 5); l.bind(('127.0.0.1', 7001)); l.listen(5)
def with_syn(s): return s.getsockopt(6, TCP_INFO, 8)[5] & 32
for data in (b'first', b'second'):
    c = socket.socket()
    print(c.sendto(data, socket.MSG_FASTOPEN, ('127.0.0.1', 7001)))
    s, _ = l.accept()
    print(s.recv(100), with_syn(c), with_syn(s))
c = socket.socket(); c.setblocking(False)
print(c.sendto(b'third', socket.MSG_FASTOPEN, ('127.0.0.1', 7001)))
s, _ = l.accept(); print(s.recv(100)); s.sendall(b'answer')
c.setblocking(True); print(c.recv(100))
try: c.sendto(b'again', socket.MSG_FASTOPEN, ('127.0.0.1', 7001))
except OSError as e: print(errno.errorcode[e.errno])
c = socket.socket(); c.setsockopt(6, TCP_FASTOPEN_CONNECT, 1)
c.connect(('127.0.0.1', 7001)); c.sendall(b'fourth')
s, _ = l.accept(); print(s.recv(100), with_syn(s))
",
    );
    assert_eq!(text, "5\nb'first' 0 0\n6\nb'second' 32 32\n5\nb'third'\nb'answer'\nEISCONN\nb'fourth' 32\n");
}
