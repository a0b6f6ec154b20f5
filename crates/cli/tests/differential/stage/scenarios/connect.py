"""Connecting: what is refused, what is on its way, what is done already."""

from stage import scenario

BOTH = (4, 6)


@scenario(families=BOTH, segments=True)
def refused(t):
    c = t.a.tcp()
    c.connect(t.at("b"))
    c.so_error()
    c.poll()
    c.getsockname()
    c.getpeername()
    c.tcp_info()


@scenario(families=BOTH)
def refused_twice(t):
    c = t.a.tcp()
    c.connect(t.at("b"))
    c.connect(t.at("b"))
    c.send("x")
    c.recv(1)


@scenario(families=BOTH, segments=True)
def established(t):
    l = t.listener()
    c = t.a.tcp()
    c.connect(t.at("b"))
    s = l.accept()
    for one in (c, s):
        one.getsockname()
        one.getpeername()
        one.tcp_info()
        one.so_error()
        one.poll()


@scenario(families=BOTH, segments=True)
def nonblocking(t):
    l = t.listener()
    c = t.a.tcp()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    c.poll()
    c.so_error()
    c.connect(t.at("b"))
    c.connect(t.at("b"))
    l.poll()
    l.accept()


@scenario(families=BOTH)
def nonblocking_refused(t):
    c = t.a.tcp()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    c.poll()
    c.pselect()
    c.so_error()
    c.so_error()
    c.poll()
    c.tcp_state()


@scenario
def nonblocking_refused_read_first(t):
    c = t.a.tcp()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    c.recv(10)
    c.recv(10)
    c.so_error()


@scenario
def nonblocking_refused_write_first(t):
    c = t.a.tcp()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    c.send("x")
    c.send("x", "MSG_NOSIGNAL")
    c.so_error()


@scenario
def nonblocking_refused_connect_again(t):
    c = t.a.tcp()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    c.connect(t.at("b"))
    t.settle()
    c.connect(t.at("b"))
    t.settle()
    c.connect(t.at("b"))


def blackhole(t):
    """An address on the link that nobody answers for."""
    host = "10.0.1.77" if t.family == 4 else "fd00:1::77"
    t.change(t.a, f"ip neigh add {host} lladdr 02:00:00:00:00:77 nud permanent dev eth0", f"ip neigh del {host} dev eth0")
    return [host, t.port]


@scenario(families=BOTH)
def in_progress_and_already(t):
    to = blackhole(t)
    c = t.a.tcp()
    c.nonblocking()
    c.connect(to)
    c.connect(to)
    c.poll()
    c.so_error()
    c.tcp_info()
    c.getsockname()
    c.getpeername()
    c.send("x")
    c.recv(1)
    c.shutdown("SHUT_WR")
    c.tcp_state()


@scenario
def in_progress_then_listen(t):
    to = blackhole(t)
    c = t.a.tcp()
    c.nonblocking()
    c.connect(to)
    c.listen(1)
    c.bind(t.any())
    c.accept()
    c.tcp_state()


@scenario
def in_progress_then_unspec(t):
    to = blackhole(t)
    c = t.a.tcp()
    c.nonblocking()
    c.connect(to)
    c.connect("AF_UNSPEC")
    c.so_error()
    c.tcp_state()
    c.poll()
    c.getsockname()


@scenario(families=BOTH)
def timeout_by_user_timeout(t):
    to = blackhole(t)
    c = t.a.tcp()
    c.setsockopt("SOL_TCP", "TCP_USER_TIMEOUT", 300)
    c.connect(to)
    c.so_error()
    c.poll()
    c.tcp_state()


@scenario
def timeout_by_sndtimeo(t):
    to = blackhole(t)
    c = t.a.tcp()
    c.setsockopt("SOL_SOCKET", "SO_SNDTIMEO", ["qq", 0, 100000])
    c.connect(to)
    c.tcp_state()
    c.connect(to)
    c.so_error()


@scenario
def timeout_nonblocking(t):
    to = blackhole(t)
    c = t.a.tcp()
    c.setsockopt("SOL_TCP", "TCP_USER_TIMEOUT", 300)
    c.nonblocking()
    c.connect(to)
    c.poll("POLLIN|POLLOUT", 4000)
    c.so_error()
    c.so_error()
    c.poll()


@scenario(families=BOTH)
def no_route(t):
    c = t.a.tcp()
    c.connect(["192.0.2.1" if t.family == 4 else "2001:db8::1", t.port])
    c.so_error()
    c.poll()
    c.getsockname()


@scenario(families=BOTH)
def no_neighbour(t):
    t.tune(t.a, f"net.ipv{t.family}.neigh.eth0.retrans_time_ms", 50, 1000)
    c = t.a.tcp()
    c.connect(["10.0.1.66" if t.family == 4 else "fd00:1::66", t.port])
    c.so_error()
    c.tcp_state()


@scenario
def blackhole_route(t):
    t.change(t.a, "ip route add blackhole 192.0.2.0/24", "ip route del blackhole 192.0.2.0/24")
    t.a.tcp().connect(["192.0.2.1", t.port])
    t.a.udp().connect(["192.0.2.1", t.port])
    t.a.udp().sendto("x", ["192.0.2.1", t.port])


@scenario
def unreachable_route(t):
    t.change(t.a, "ip route add unreachable 192.0.2.0/24", "ip route del unreachable 192.0.2.0/24")
    t.a.tcp().connect(["192.0.2.1", t.port])
    t.a.udp().connect(["192.0.2.1", t.port])
    t.a.udp().sendto("x", ["192.0.2.1", t.port])


@scenario
def prohibit_route(t):
    t.change(t.a, "ip route add prohibit 192.0.2.0/24", "ip route del prohibit 192.0.2.0/24")
    t.a.tcp().connect(["192.0.2.1", t.port])
    t.a.udp().connect(["192.0.2.1", t.port])
    t.a.udp().sendto("x", ["192.0.2.1", t.port])


@scenario(families=BOTH)
def is_connected(t):
    c, s = t.connected()
    c.connect(t.at("b"))
    c.connect(t.at("b", 1))
    s.connect(t.at("a"))
    c.listen(1)
    c.bind(t.at("a", 1))
    c.accept()


@scenario
def is_connected_after_peers_end(t):
    c, s = t.connected()
    s.close()
    t.settle()
    c.connect(t.at("b"))
    c.tcp_state()


@scenario(segments=True)
def unspec_disconnects(t):
    c, s = t.connected()
    c.connect("AF_UNSPEC")
    c.tcp_state()
    c.getsockname()
    c.getpeername()
    c.poll()
    t.settle()
    s.recv(10)
    s.so_error()


@scenario(segments=True)
def unspec_then_connect_again(t):
    c, s = t.connected()
    c.connect("AF_UNSPEC")
    c.connect(t.at("b"))
    c.send("again")
    c.tcp_state()
    c.getpeername()


@scenario
def bound_unspec_keeps_port(t):
    l = t.listener()
    c = t.a.tcp()
    c.bind(t.at("a", 5))
    c.connect(t.at("b"))
    c.connect("AF_UNSPEC")
    c.getsockname()


@scenario
def unspec_of_fresh(t):
    c = t.a.tcp()
    c.connect("AF_UNSPEC")
    c.tcp_state()
    c.poll()


@scenario
def wrong_addresses(t):
    c = t.a.tcp()
    c.connect("0200")
    c.connect("")
    c.connect("0a00" + "00" * 26)
    c.connect("6300" + "00" * 14)
    c.connect("0200" + "00" * 6)
    six = t.a.tcp(6)
    six.connect("0200" + "00" * 14)
    six.connect("0a00" + "00" * 14)
    six.connect("0a00" + "00" * 22)


@scenario(families=BOTH)
def to_port_zero(t):
    to = t.at("b")
    t.a.tcp().connect([to[0], 0])


@scenario
def to_broadcast_and_multicast(t):
    t.a.tcp().connect(["10.0.1.255", t.port])
    t.a.tcp().connect(["255.255.255.255", t.port])
    t.a.tcp().connect(["224.0.0.1", t.port])
    t.a.tcp(6).connect(["ff02::1", t.port])


@scenario(families=BOTH)
def to_any_is_to_self(t):
    l = t.a.tcp()
    l.bind(t.any())
    l.listen()
    c = t.a.tcp()
    c.connect(t.any())
    c.getpeername()
    c.getsockname()
    l.accept()


@scenario
def simultaneous_with_itself(t):
    c = t.a.tcp()
    c.bind(t.loopback())
    c.connect(t.loopback())
    c.tcp_state()
    c.send("mirror")
    c.recv(10)
    c.shutdown("SHUT_WR")
    c.recv(10)
    c.tcp_state()


@scenario
def blocking_connect_waits(t):
    l = t.listener()
    to = t.at("b")
    t.change(t.a, f"ip neigh replace {to[0]} lladdr 02:00:00:00:00:77 nud permanent dev eth0",
             f"ip neigh del {to[0]} dev eth0")
    c = t.a.tcp()
    p = c.start.connect(to)
    t.a.run(f"ip neigh replace {to[0]} lladdr 02:00:00:02:00:00 nud permanent dev eth0")
    p.wait()
    c.tcp_info()


@scenario
def fastopen_connect(t):
    l = t.listener(prepare=lambda l: l.setsockopt("SOL_TCP", "TCP_FASTOPEN", 5))
    c = t.a.tcp()
    c.sendto("hello", t.at("b"), "MSG_FASTOPEN")
    s = l.accept()
    s.recv(10)
    c.tcp_info()


@scenario
def fastopen_connect_option(t):
    l = t.listener(prepare=lambda l: l.setsockopt("SOL_TCP", "TCP_FASTOPEN", 5))
    c = t.a.tcp()
    c.setsockopt("SOL_TCP", "TCP_FASTOPEN_CONNECT", 1)
    c.connect(t.at("b"))
    c.send("hello")
    s = l.accept()
    s.recv(10)


@scenario
def synflags_without_options(t):
    t.tune(t.b, "net.ipv4.tcp_timestamps", 0, 1)
    t.tune(t.b, "net.ipv4.tcp_sack", 0, 1)
    t.tune(t.b, "net.ipv4.tcp_window_scaling", 0, 1)
    c, s = t.connected()
    c.tcp_info()
    s.tcp_info()


@scenario(segments=True)
def with_small_mss(t):
    c, s = t.connected(prepare=lambda c: c.setsockopt("SOL_TCP", "TCP_MAXSEG", 600))
    c.getsockopt("SOL_TCP", "TCP_MAXSEG")
    s.getsockopt("SOL_TCP", "TCP_MAXSEG")
    c.tcp_info()
    s.tcp_info()


@scenario(segments=True)
def with_ecn(t):
    t.tune(t.a, "net.ipv4.tcp_ecn", 1, 2)
    c, s = t.connected()
    c.tcp_info()
    s.tcp_info()
