"""Sockets as descriptors: copies, forks, passing them on, sendfile and splice."""

from stage import scenario


@scenario
def dup_shares(t):
    c, s = t.connected()
    d = c.dup()
    d.getsockname()
    d.nonblocking()
    c.fcntl("F_GETFL")
    c.recv(1)
    s.send("ab")
    t.settle()
    c.recv(1)
    d.recv(1)
    d.setsockopt("SOL_TCP", "TCP_NODELAY", 1)
    c.getsockopt("SOL_TCP", "TCP_NODELAY")


@scenario
def dup_before_connect(t):
    l = t.listener()
    c = t.a.tcp()
    d = c.dup()
    c.connect(t.at("b"))
    d.getpeername()
    d.send("by the copy")
    l.accept().recv(20)


@scenario
def dup_before_listen(t):
    l = t.b.tcp()
    d = l.dup()
    l.bind(t.at("b"))
    l.listen()
    t.a.tcp().connect(t.at("b"))
    d.accept()


@scenario
def fork_shares(t):
    c, s = t.connected()
    child = t.a.fork()
    twin = child.same(c)
    twin.send("child")
    s.recv(10)
    c.close()
    t.settle()
    s.poll()
    twin.send("still")
    s.recv(10)
    child.exit()
    s.recv(10)


@scenario
def fork_before_connect(t):
    l = t.listener()
    c = t.a.tcp()
    twin = t.a.fork().same(c)
    twin.connect(t.at("b"))
    c.getpeername()
    c.send("parent")
    l.accept().recv(10)


@scenario
def fork_of_datagram(t):
    c, s = t.a.udp(), t.b.udp()
    s.bind(t.at("b"))
    c.connect(t.at("b"))
    twin = t.a.fork().same(c)
    twin.send("child")
    c.send("parent")
    s.recvfrom(10)
    s.recvfrom(10)


@scenario
def fork_of_listener(t):
    l = t.listener()
    child = t.b.fork()
    twin = child.same(l)
    l.close()
    t.a.tcp().connect(t.at("b"))
    twin.accept()
    child.exit()
    t.a.until_refused(t.at("b"))


@scenario
def passed_over(t):
    c, s = t.connected()
    left, right = t.a.socketpair()
    child = t.a.fork()
    left.pass_fd(c)
    got = child.same(right).recvmsg(1, 64)
    c.close()
    got.send("passed")
    s.recv(10)
    s.send("back")
    got.recv(10)
    got.getpeername()


@scenario
def passed_listener(t):
    l = t.listener()
    left, right = t.b.socketpair()
    child = t.b.fork()
    left.pass_fd(l)
    got = child.same(right).recvmsg(1, 64)
    l.close()
    t.a.tcp().connect(t.at("b"))
    got.accept()


@scenario
def in_flight_keeps_open(t):
    c, s = t.connected()
    left, right = t.a.socketpair()
    left.pass_fd(c)
    c.close()
    t.settle()
    s.poll()
    right.close()
    left.close()
    t.settle()


@scenario
def sendfile(t):
    c, s = t.connected()
    f = t.a.file(5000)
    c.sendfile(f, 10000)
    s.drain(5000)
    c.sendfile(f, 10)


@scenario
def sendfile_large(t):
    c, s = t.connected()
    f = t.a.file(1 << 20)
    p = s.start.drain(1 << 20)
    c.sendfile(f, 1 << 20)
    p.wait()


@scenario
def sendfile_of_unconnected(t):
    f = t.a.file(10)
    t.a.tcp().sendfile(f, 10)
    t.a.udp().sendfile(f, 10)


@scenario
def sendfile_to_datagram(t):
    c, s = t.a.udp(), t.b.udp()
    s.bind(t.at("b"))
    c.connect(t.at("b"))
    c.sendfile(t.a.file(100), 100)
    s.recvfrom(200)


@scenario
def splice_out_and_in(t):
    c, s = t.connected()
    out, into = t.a.pipe()
    into.write("spliced")
    out.splice(c, 100)
    s.recv(20)
    s.send("back")
    t.settle()
    c.splice(into, 100)
    out.read(20)


@scenario
def splice_at_the_end(t):
    c, s = t.connected()
    out, into = t.a.pipe()
    s.close()
    t.settle()
    c.splice(into, 100)


@scenario
def splice_from_listener(t):
    l = t.listener()
    out, into = t.b.pipe()
    l.splice(into, 10)
    t.b.tcp().splice(into, 10)


@scenario
def kinds_of_ioctls(t):
    c, s = t.connected()
    for request in ("FIONREAD", "SIOCOUTQ", "SIOCOUTQNSD", "SIOCATMARK", "0x8999", "0x5401"):
        c.ioctl(request)
    u = t.a.udp()
    for request in ("FIONREAD", "SIOCOUTQ", "SIOCOUTQNSD", "SIOCATMARK", "0x8999"):
        u.ioctl(request)


@scenario
def not_sockets(t):
    f = t.a.file(1)
    f.bind(t.at("a"))
    f.connect(t.at("b"))
    f.listen()
    f.accept()
    f.getsockname()
    f.send("x")
    f.recv(1)
    f.shutdown("SHUT_RD")
    f.so_error()
    f.sendto("x", t.at("b"))
    f.recvmsg(1)


@scenario
def status_flags(t):
    c = t.a.socket("AF_INET", "SOCK_STREAM|SOCK_NONBLOCK")
    c.fcntl("F_GETFL")
    c.fcntl("F_GETFD")
    d = t.a.socket("AF_INET", "SOCK_DGRAM|SOCK_CLOEXEC")
    d.fcntl("F_GETFL")
    d.fcntl("F_GETFD")
    e, f = t.connected()
    e.fcntl("F_GETFL")
    f.fcntl("F_GETFL")
