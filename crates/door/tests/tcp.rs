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
