"""Calls that wait, and signals with and without SA_RESTART."""

from stage import scenario


def each(t, make):
    """The call once without and once with SA_RESTART; what ends it in the second case is the scenario's."""
    for restart in (False, True):
        t.a.handle("SIGUSR1", restart)
        pending = make()
        pending.interrupt("SIGUSR1", restart)
        yield restart, pending


@scenario
def recv(t):
    c, s = t.connected()
    for restart, pending in each(t, lambda: c.start.recv(10)):
        if restart:
            s.send("after all")
            pending.wait()


@scenario
def recvmsg(t):
    c, s = t.connected()
    for restart, pending in each(t, lambda: c.start.recvmsg(10)):
        if restart:
            s.send("after all")
            pending.wait()


@scenario
def read(t):
    c, s = t.connected()
    for restart, pending in each(t, lambda: c.start.read(10)):
        if restart:
            s.send("after all")
            pending.wait()


@scenario
def recv_with_timeout(t):
    """With SO_RCVTIMEO a signal always interrupts."""
    c, s = t.connected()
    c.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 4, 0])
    t.a.handle("SIGUSR1", True)
    c.start.recv(10).interrupt("SIGUSR1", False)


@scenario
def datagram_recvfrom(t):
    c, s = t.a.udp(), t.b.udp()
    c.bind(t.at("a"))
    for restart, pending in each(t, lambda: c.start.recvfrom(10)):
        if restart:
            s.sendto("after all", t.at("a"))
            pending.wait()


@scenario
def datagram_with_timeout(t):
    c = t.a.udp()
    c.bind(t.at("a"))
    c.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 4, 0])
    t.a.handle("SIGUSR1", True)
    c.start.recvfrom(10).interrupt("SIGUSR1", False)


@scenario
def accept(t):
    l = t.a.tcp()
    l.bind(t.at("a"))
    l.listen()
    for restart, pending in each(t, lambda: l.start.accept()):
        if restart:
            t.b.tcp().connect(t.at("a"))
            pending.wait()


@scenario
def accept_with_timeout(t):
    l = t.a.tcp()
    l.bind(t.at("a"))
    l.listen()
    l.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 4, 0])
    t.a.handle("SIGUSR1", True)
    l.start.accept().interrupt("SIGUSR1", False)


@scenario
def connect(t):
    t.change(t.a, "ip neigh add 10.0.1.77 lladdr 02:00:00:00:00:77 nud permanent dev eth0",
             "ip neigh del 10.0.1.77 dev eth0")
    c = t.a.tcp()
    t.a.handle("SIGUSR1", False)
    c.start.connect(["10.0.1.77", t.port]).interrupt("SIGUSR1", False)
    c.tcp_state()
    c.nonblocking()
    c.connect(["10.0.1.77", t.port])


@scenario
def connect_restarts(t):
    t.change(t.a, "ip neigh add 10.0.1.77 lladdr 02:00:00:00:00:77 nud permanent dev eth0",
             "ip neigh del 10.0.1.77 dev eth0")
    c = t.a.tcp()
    t.a.handle("SIGUSR1", True)
    c.start.connect(["10.0.1.77", t.port]).interrupt("SIGUSR1", True)
    c.tcp_state()


@scenario
def send(t):
    c, s = t.full()
    t.a.handle("SIGUSR1", False)
    c.start.send("x").interrupt("SIGUSR1", False)


@scenario
def send_restarts(t):
    c, s = t.full()
    t.a.handle("SIGUSR1", True)
    p = c.start.send("x")
    p.interrupt("SIGUSR1", True)
    reader = s.start.drain()
    p.wait()
    c.close()
    reader.wait()


@scenario
def poll_is_never_restarted(t):
    c, s = t.connected()
    t.a.handle("SIGUSR1", True)
    c.start.poll("POLLIN", 4000).interrupt("SIGUSR1", False)


@scenario
def epoll_is_never_restarted(t):
    c, s = t.connected()
    e = t.a.epoll_create()
    e.epoll_ctl("ADD", c, "EPOLLIN", 1)
    t.a.handle("SIGUSR1", True)
    e.start.epoll_wait(4000).interrupt("SIGUSR1", False)
