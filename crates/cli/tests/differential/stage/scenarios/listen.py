"""Listening: backlogs, accept's flags, what a listener tells."""

from stage import scenario

BOTH = (4, 6)


@scenario
def of_listener(t):
    l = t.listener()
    l.getsockname()
    l.getpeername()
    l.tcp_state()
    l.so_error()
    l.poll()
    l.pselect()
    l.send("x")
    l.recv(1)
    l.shutdown("SHUT_WR")
    l.tcp_state()
    l.getsockopt("SOL_SOCKET", "SO_ACCEPTCONN")
    l.ioctl("FIONREAD")
    l.ioctl("SIOCOUTQ")


@scenario
def unbound(t):
    l = t.b.tcp()
    l.listen()
    l.getsockname()
    l.tcp_state()


@scenario
def nonblocking_accept(t):
    l = t.listener()
    l.nonblocking()
    l.accept()
    c = t.a.tcp()
    c.connect(t.at("b"))
    t.settle()
    l.poll()
    s = l.accept()
    l.accept()
    l.poll()
    s.fcntl("F_GETFL")


@scenario
def accept_flags(t):
    l = t.listener()
    for flags in ("0", "SOCK_NONBLOCK", "SOCK_CLOEXEC", "SOCK_NONBLOCK|SOCK_CLOEXEC", "SOCK_DGRAM"):
        c = t.a.tcp()
        c.connect(t.at("b"))
        s = l.accept(flags)
        if not isinstance(s, str):
            s.fcntl("F_GETFL")
            s.fcntl("F_GETFD")


@scenario
def nonblocking_is_not_inherited(t):
    l = t.listener()
    l.nonblocking()
    c = t.a.tcp()
    c.connect(t.at("b"))
    t.settle()
    l.accept().fcntl("F_GETFL")


@scenario
def options_are_inherited(t):
    def prepare(l):
        l.setsockopt("SOL_TCP", "TCP_NODELAY", 1)
        l.setsockopt("SOL_TCP", "TCP_KEEPIDLE", 77)
        l.setsockopt("SOL_SOCKET", "SO_KEEPALIVE", 1)
        l.setsockopt("SOL_SOCKET", "SO_RCVLOWAT", 5)
        l.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 7])
        l.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 3, 0])
        l.setsockopt("SOL_SOCKET", "SO_RCVBUF", 30000)
        l.setsockopt("SOL_SOCKET", "SO_PRIORITY", 3)
        l.setsockopt("SOL_IP", "IP_TOS", 0x10)
        l.setsockopt("SOL_IP", "IP_TTL", 33)
        l.setsockopt("SOL_TCP", "TCP_USER_TIMEOUT", 4000)
        l.setsockopt("SOL_TCP", "TCP_MAXSEG", 900)
        l.setsockopt("SOL_TCP", "TCP_DEFER_ACCEPT", 1)
    l = t.listener(prepare=prepare)
    c = t.a.tcp()
    c.connect(t.at("b"))
    c.send("x")
    s = l.accept()
    for level, names in (("SOL_SOCKET", "REUSEADDR REUSEPORT KEEPALIVE RCVLOWAT RCVBUF PRIORITY ACCEPTCONN"),
                         ("SOL_IP", "TOS TTL"), ("SOL_TCP", "NODELAY KEEPIDLE USER_TIMEOUT MAXSEG DEFER_ACCEPT")):
        prefix = {"SOL_SOCKET": "SO_", "SOL_IP": "IP_", "SOL_TCP": "TCP_"}[level]
        for name in names.split():
            s.getsockopt(level, prefix + name)
    s.getsockopt("SOL_SOCKET", "SO_LINGER", 8)
    s.getsockopt("SOL_SOCKET", "SO_RCVTIMEO", 16)


@scenario
def backlog_overflow(t):
    l = t.listener(1)
    clients = []
    for _ in range(4):
        c = t.a.tcp()
        c.nonblocking()
        c.connect(t.at("b"))
        t.settle()
        c.poll()
        c.tcp_state()
        clients.append(c)
    l.accept()
    l.accept()
    l.tcp_state()


@scenario
def backlog_zero(t):
    l = t.listener(0)
    for _ in range(3):
        c = t.a.tcp()
        c.nonblocking()
        c.connect(t.at("b"))
        t.settle()
        c.tcp_state()


@scenario(segments=True)
def overflow_with_abort(t):
    t.tune(t.b, "net.ipv4.tcp_abort_on_overflow", 1, 0)
    l = t.listener(0)
    for _ in range(3):
        c = t.a.tcp()
        c.nonblocking()
        c.connect(t.at("b"))
        t.settle()
        c.poll()
        c.so_error()


@scenario
def listen_again_changes_backlog(t):
    l = t.listener(1)
    l.listen(5)
    for _ in range(4):
        c = t.a.tcp()
        c.nonblocking()
        c.connect(t.at("b"))
        t.settle()
        c.tcp_state()


@scenario
def aborted_in_queue(t):
    l = t.listener()
    c = t.a.tcp()
    c.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    c.connect(t.at("b"))
    c.close()
    t.settle()
    l.poll()
    s = l.accept()
    s.getpeername()
    s.recv(10)
    s.recv(10)


@scenario
def ended_in_queue(t):
    l = t.listener()
    c = t.a.tcp()
    c.connect(t.at("b"))
    c.send("early")
    c.close()
    t.settle()
    s = l.accept()
    s.getpeername()
    s.recv(10)
    s.recv(10)
    s.tcp_state()


@scenario(segments=True)
def closed_with_queue(t):
    l = t.listener()
    c = t.a.tcp()
    c.connect(t.at("b"))
    t.settle()
    l.close()
    c.recv(10)
    c.recv(10)
    c.so_error()
    c.poll()


@scenario
def blocking_accept(t):
    l = t.listener()
    p = l.start.accept()
    c = t.a.tcp()
    c.connect(t.at("b"))
    p.wait()


@scenario
def shutdown_wakes_accept(t):
    l = t.listener()
    p = l.start.accept()
    l.shutdown("SHUT_RD")
    p.wait()
    l.tcp_state()
    l.accept()
    l.listen(3)
    l.tcp_state()


@scenario
def accept_timeout(t):
    l = t.listener()
    l.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 0, 50000])
    l.accept()


@scenario
def two_accept_one_wins(t):
    l = t.listener()
    child = t.b.fork()
    twin = child.same(l)
    p = twin.start.accept()
    c = t.a.tcp()
    c.connect(t.at("b"))
    p.wait()
    l.nonblocking()
    l.accept()


@scenario
def connect_of_listener(t):
    l = t.listener()
    l.connect(t.at("a"))
    l.connect("AF_UNSPEC")
    l.tcp_state()
    l.getsockname()


@scenario
def reuseport_pair(t):
    ones = []
    for _ in range(2):
        l = t.b.tcp()
        l.setsockopt("SOL_SOCKET", "SO_REUSEPORT", 1)
        l.bind(t.at("b"))
        l.listen()
        ones.append(l)
    for _ in range(3):
        t.a.tcp().connect(t.at("b"))


@scenario
def defer_accept(t):
    l = t.listener(prepare=lambda l: l.setsockopt("SOL_TCP", "TCP_DEFER_ACCEPT", 3))
    c = t.a.tcp()
    c.connect(t.at("b"))
    t.settle()
    l.poll()
    c.send("data")
    t.settle()
    l.poll()
    l.accept().recv(10)


@scenario(families=BOTH)
def saved_syn(t):
    l = t.listener(prepare=lambda l: l.setsockopt("SOL_TCP", "TCP_SAVE_SYN", 1))
    c = t.a.tcp()
    c.connect(t.at("b"))
    s = l.accept()
    s.getsockopt("SOL_TCP", "TCP_SAVED_SYN", 10)
    s.getsockopt("SOL_TCP", "TCP_SAVE_SYN")


@scenario
def v6_listener_takes_v4(t):
    l = t.b.tcp(6)
    l.bind(t.any(0, 6))
    l.listen()
    c = t.a.tcp(4)
    c.connect(t.at("b", 0, 4))
    s = l.accept()
    s.getsockname()
    s.getpeername()
    c.send("mapped")
    s.recv(10)


@scenario
def v6only_listener_refuses_v4(t):
    l = t.b.tcp(6)
    l.setsockopt("SOL_IPV6", "IPV6_V6ONLY", 1)
    l.bind(t.any(0, 6))
    l.listen()
    t.a.tcp(4).connect(t.at("b", 0, 4))
    t.a.tcp(6).connect(t.at("b", 0, 6))


@scenario
def v6_socket_connects_to_mapped(t):
    l = t.listener()
    c = t.a.tcp(6)
    c.connect(["::ffff:10.0.1.11", t.port])
    c.getsockname()
    c.getpeername()
    l.accept()


@scenario
def v6only_socket_connects_to_mapped(t):
    l = t.listener()
    c = t.a.tcp(6)
    c.setsockopt("SOL_IPV6", "IPV6_V6ONLY", 1)
    c.connect(["::ffff:10.0.1.11", t.port])


@scenario
def accept_of_others(t):
    t.b.tcp().accept()
    t.b.udp().accept()
    t.b.udp().listen(1)
    c, s = t.connected()
    s.accept()
