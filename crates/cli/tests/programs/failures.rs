//! What goes wrong on networks: each case gives the program what Linux would.

use std::time::Duration;

use super::{content, lab, lab_with, wait_for};

/// Runs a Python script on the client, with `server` on the server; gives what it prints.
#[track_caller]
fn python(server: &str, client: &str) -> String {
    let lab = lab("python3 server.py");
    lab.file("server.py", server).file("client.py", client);
    let script = "for i in $(seq 400); do [ -e ready ] && break; sleep 0.02; done; python3 client.py";
    lab.on("client", script).ok()
}

#[test]
fn connection_refused_is_told_at_once() {
    let said = python(
        "open('ready', 'w')",
        "
import socket, errno, time
t = time.monotonic()
for family in socket.AF_INET, socket.AF_INET6:
    try: socket.create_connection((socket.getaddrinfo('server', 9, family)[0][4][0], 9))
    except ConnectionRefusedError as e: print(e.errno == errno.ECONNREFUSED, time.monotonic() - t < 1)
s = socket.socket(); s.setblocking(False)
print(errno.errorcode[s.connect_ex((socket.gethostbyname('server'), 9))])
import select
print(select.select([], [s], [], 5)[1] == [s], errno.errorcode[s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
",
    );
    assert_eq!(said, "True True\nTrue True\nEINPROGRESS\nTrue ECONNREFUSED\n");
}

#[test]
fn a_full_backlog_lets_clients_wait() {
    let said = python(
        "
import socket, time
s = socket.create_server(('', 7), backlog=2); open('ready', 'w'); time.sleep(60)
",
        "
import socket, errno
made, late = [], 0
for i in range(6):
    s = socket.socket(); s.settimeout(0.5)
    try: s.connect(('server', 7)); made.append(s)
    except TimeoutError: late += 1
print(len(made), late)
",
    );
    // A backlog of 2 holds 3 connections on Linux; further handshakes stay unanswered.
    assert_eq!(said, "3 3\n");
}

#[test]
fn a_listener_ends_with_the_child_that_was_the_last_to_have_it() {
    let said = python(
        "
import socket, os, time
s = socket.create_server(('', 7), backlog=1)
child = os.fork()
if child == 0:
    s.accept(); os._exit(0)
s.close(); open('ready', 'w'); os.waitpid(child, 0); open('over', 'w'); time.sleep(60)
",
        "
import socket, os
print(socket.create_connection(('server', 7)).recv(1))
while not os.path.exists('over'): pass
kept = []
while True:
    s = socket.socket(); s.settimeout(10); kept.append(s)
    try: s.connect((socket.gethostbyname('server'), 7))
    except OSError as e: print(type(e).__name__); break
",
    );
    assert_eq!(said, "b''\nConnectionRefusedError\n");
}

/// A server that resets (`fin`: ends, then resets) each of its connections behind ten bytes, and a client that makes the
/// calls that `orders` names by their letters, each on a connection of its own.
fn after_a_reset(fin: bool, orders: &str) -> String {
    let server = "
import socket, struct
s = socket.create_server(('', 7)); open('ready', 'w')
while True:
    c, _ = s.accept(); c.sendall(b'x' * 10); c.recv(1)
    if FIN: c.shutdown(socket.SHUT_WR)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()
";
    let client = "
import socket, select, errno, signal, os
told = []
signal.signal(signal.SIGPIPE, lambda *_: told.append('SIGPIPE'))
def poll():
    p = select.poll(); p.register(s, select.POLLIN); return bool(p.poll(5000)[0][1] & select.POLLERR)
def call(f):
    try: told.append(str(f()))
    except OSError as e: told.append(errno.errorcode[e.errno])
calls = {
    'p': poll,
    'r': lambda: len(s.recv(100)),
    's': lambda: s.send(b'z'),
    'm': lambda: s.sendmsg([b'z']),
    'n': lambda: s.send(b'z', socket.MSG_NOSIGNAL),
    't': lambda: s.sendto(b'z', ('server', 7)),
    'w': lambda: os.write(s.fileno(), b'z'),
    'e': lambda: s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
}
for order in 'ORDERS'.split():
    s = socket.create_connection(('server', 7)); s.send(b'y')
    p = select.poll(); p.register(s, 0)
    while not p.poll(100): pass
    told.clear()
    for letter in order: call(calls[letter])
    print(order, *told)
";
    python(&server.replace("FIN", if fin { "True" } else { "False" }), &client.replace("ORDERS", orders))
}

#[test]
fn a_reset_in_mid_transfer_is_told_once_behind_the_data() {
    // What Linux 6.18 says to each; `r` first gets the ten bytes.
    let told = "\
prrrss True 10 ECONNRESET 0 EPIPE SIGPIPE EPIPE SIGPIPE
rresp 10 ECONNRESET 0 EPIPE SIGPIPE False
rrw 10 ECONNRESET EPIPE SIGPIPE
rrn 10 ECONNRESET EPIPE
psess True ECONNRESET 0 EPIPE SIGPIPE EPIPE SIGPIPE
mm ECONNRESET EPIPE SIGPIPE
nn ECONNRESET EPIPE
tt ECONNRESET EPIPE SIGPIPE
peepsrr True 104 0 False EPIPE SIGPIPE 10 0
sw ECONNRESET EPIPE SIGPIPE
";
    let orders: Vec<_> = told.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(after_a_reset(false, &orders.join(" ")), told);
}

#[test]
fn a_reset_behind_the_peers_end_is_told_to_writers_only() {
    let told = "\
rrrss 10 0 0 EPIPE SIGPIPE EPIPE SIGPIPE
srr EPIPE SIGPIPE 10 0
nen EPIPE 0 EPIPE
eesrr 32 0 EPIPE SIGPIPE 10 0
wrr EPIPE SIGPIPE 10 0
";
    let orders: Vec<_> = told.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(after_a_reset(true, &orders.join(" ")), told);
}

#[test]
fn closing_with_unread_data_resets_the_peer() {
    let said = python(
        "
import socket, select
s = socket.create_server(('', 7)); open('ready', 'w')
c, _ = s.accept(); select.select([c], [], []); c.close()
",
        "
import socket
s = socket.create_connection(('server', 7)); s.sendall(b'unread')
try: print(s.recv(10))
except ConnectionResetError: print('reset')
",
    );
    assert_eq!(said, "reset\n");
}

#[test]
fn a_half_close_ends_one_direction() {
    let said = python(
        "
import socket, hashlib
s = socket.create_server(('', 7)); open('ready', 'w')
c, _ = s.accept(); h = hashlib.sha256(); n = 0
while data := c.recv(65536): h.update(data); n += len(data)
c.sendall(f'{n} {h.hexdigest()}'.encode() * 1000); c.close()
",
        "
import socket, hashlib
data = bytes(range(256)) * 4000
s = socket.create_connection(('server', 7)); s.sendall(data); s.shutdown(socket.SHUT_WR)
try: s.send(b'more')
except BrokenPipeError: print('broken pipe')
got = b''
while part := s.recv(65536): got += part
print(got == f'{len(data)} {hashlib.sha256(data).hexdigest()}'.encode() * 1000)
",
    );
    assert_eq!(said, "broken pipe\nTrue\n");
}

#[test]
fn a_killed_peer_ends_its_connections() {
    let said = python(
        "
import socket, os, signal
s = socket.create_server(('', 7)); open('ready', 'w')
c, _ = s.accept(); c.recv(1); os.kill(os.getpid(), signal.SIGKILL)
",
        "
import socket
s = socket.create_connection(('server', 7)); s.send(b'x')
print(s.recv(10))
try: socket.create_connection(('server', 7)); print('connected')
except ConnectionRefusedError: print('refused')
",
    );
    assert_eq!(said, "b''\nrefused\n");
}

#[test]
fn a_silent_network_times_a_connection_out_and_tells_unreachable_hosts() {
    let said = python(
        "open('ready', 'w')",
        "
import socket, errno
net = socket.gethostbyname('server').rsplit('.', 1)[0]
s = socket.socket(); s.settimeout(10)
try: s.connect((net + '.250', 7))
except OSError as e: print(errno.errorcode[e.errno])
try: socket.create_connection(('203.0.113.1', 7), timeout=5)
except OSError as e: print(errno.errorcode[e.errno])
",
    );
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "EHOSTUNREACH", "the router's ICMP after its ARP failed");
    assert!(["ENETUNREACH", "EHOSTUNREACH"].contains(&lines[1]), "{said}");
}

#[test]
fn a_hundred_megabytes_cross_a_bad_link_unchanged() {
    let lab =
        lab_with("nc -l -N 9 < big", "{delay: 10ms, loss: 1%, reorder: 1%, duplicate: 1%, corrupt: 0.1%}");
    lab.file("big", content(100_000_000));
    let script = "for i in $(seq 100); do nc -d server 9 > got; [ -s got ] && break; sleep 0.05; done; cmp got big && echo same";
    assert_eq!(lab.on_within("client", script, Duration::from_secs(240)).ok(), "same\n");
}

#[test]
fn an_unplugged_link_stops_a_transfer_and_lets_it_go_on() {
    let lab = lab("python3 -m http.server 80");
    lab.file("big", content(30_000_000));
    // The link is slow enough for the transfer to be under way when the plug is pulled.
    let script = format!(
        "{}./netspace link gw--server set rate 40mbit && {{ curl -s http://server/big | sha256sum > sum & }}; \
         sleep 1; ./netspace link gw--server down; sleep 30; ./netspace link gw--server up; wait; sha256sum < big | cmp - sum && echo same",
        wait_for(80)
    );
    let ran = lab.on_within("client", &script, Duration::from_secs(150));
    assert!(ran.ok().ends_with("same\n"));
}
