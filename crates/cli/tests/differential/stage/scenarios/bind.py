"""Binding: which sockets may share a port, and what a socket is bound to."""

from stage import scenario

BOTH = (4, 6)


def pairs(t, first, second, make="tcp", options=(), listening=False):
    """Binds two sockets, the second after the first."""
    one = getattr(t.b, make)(6 if ":" in first[0] else 4)
    two = getattr(t.b, make)(6 if ":" in second[0] else 4)
    for sock in (one, two):
        for option in options:
            sock.setsockopt(*option)
    one.bind(first)
    if listening:
        one.listen()
    two.bind(second)
    if listening:
        two.listen()


REUSEADDR = ("SOL_SOCKET", "SO_REUSEADDR", 1)
REUSEPORT = ("SOL_SOCKET", "SO_REUSEPORT", 1)
V6ONLY = ("SOL_IPV6", "IPV6_V6ONLY", 1)


@scenario(families=BOTH)
def same_address(t):
    pairs(t, t.at("b"), t.at("b"))
    pairs(t, t.at("b", 1), t.at("b", 1), "udp")


@scenario(families=BOTH)
def wildcard_then_address(t):
    pairs(t, t.any(), t.at("b"))
    pairs(t, t.any(1), t.at("b", 1), "udp")


@scenario(families=BOTH)
def address_then_wildcard(t):
    pairs(t, t.at("b"), t.any())
    pairs(t, t.at("b", 1), t.any(1), "udp")


@scenario(families=BOTH)
def two_addresses(t):
    pairs(t, t.at("b"), t.loopback())
    pairs(t, t.at("b", 1), t.loopback(1), "udp")


@scenario(families=BOTH)
def reuseaddr(t):
    pairs(t, t.at("b"), t.at("b"), "tcp", [REUSEADDR])
    pairs(t, t.at("b", 1), t.at("b", 1), "tcp", [REUSEADDR], True)
    pairs(t, t.at("b", 2), t.at("b", 2), "udp", [REUSEADDR])


@scenario(families=BOTH)
def reuseport(t):
    pairs(t, t.at("b"), t.at("b"), "tcp", [REUSEPORT])
    pairs(t, t.at("b", 1), t.at("b", 1), "tcp", [REUSEPORT], True)
    pairs(t, t.at("b", 2), t.at("b", 2), "udp", [REUSEPORT])
    pairs(t, t.any(3), t.at("b", 3), "tcp", [REUSEPORT], True)


@scenario
def reuseaddr_of_one_only(t):
    one, two = t.b.tcp(), t.b.tcp()
    one.setsockopt(*REUSEADDR)
    one.bind(t.at("b"))
    two.bind(t.at("b"))
    three = t.b.tcp()
    three.setsockopt(*REUSEADDR)
    three.bind(t.at("b"))
    one.listen()
    four = t.b.tcp()
    four.setsockopt(*REUSEADDR)
    four.bind(t.at("b"))


@scenario
def reuseport_with_reuseaddr(t):
    one, two = t.b.udp(), t.b.udp()
    one.setsockopt(*REUSEADDR)
    two.setsockopt(*REUSEPORT)
    one.bind(t.at("b"))
    two.bind(t.at("b"))


@scenario
def both_families(t):
    pairs(t, t.any(0, 6), t.any(0, 4))
    pairs(t, t.any(1, 4), t.any(1, 6))
    pairs(t, t.any(2, 6), t.at("b", 2, 4))
    pairs(t, t.at("b", 3, 4), t.any(3, 6))
    pairs(t, t.any(4, 6), t.any(4, 4), "udp")
    pairs(t, t.at("b", 5, 6), t.any(5, 4))


@scenario
def both_families_v6only(t):
    one, two = t.b.tcp(6), t.b.tcp(4)
    one.setsockopt(*V6ONLY)
    one.bind(t.any(0, 6))
    two.bind(t.any(0, 4))
    one.listen()
    two.listen()


@scenario
def both_families_reuse(t):
    pairs(t, t.any(0, 6), t.any(0, 4), "tcp", [REUSEADDR])
    pairs(t, t.any(1, 6), t.any(1, 4), "tcp", [REUSEADDR], True)
    pairs(t, t.any(2, 6), t.any(2, 4), "udp", [REUSEPORT])


@scenario
def mapped(t):
    pairs(t, ["::ffff:10.0.1.11", t.port], t.at("b", 0, 4))
    pairs(t, t.any(1, 4), ["::ffff:10.0.1.11", t.port + 1])
    six = t.b.tcp(6)
    six.bind(["::ffff:10.0.1.11", t.port + 2])
    six.getsockname()
    only = t.b.tcp(6)
    only.setsockopt(*V6ONLY)
    only.bind(["::ffff:10.0.1.11", t.port + 3])
    udp = t.b.udp(6)
    udp.bind(["::ffff:0.0.0.0", t.port + 4])
    udp.getsockname()


@scenario
def v6only_too_late(t):
    six = t.b.tcp(6)
    six.bind(t.any(0, 6))
    six.setsockopt("SOL_IPV6", "IPV6_V6ONLY", 1)
    six.getsockopt("SOL_IPV6", "IPV6_V6ONLY")


@scenario(families=BOTH)
def twice(t):
    one = t.b.tcp()
    one.bind(t.at("b"))
    one.bind(t.at("b", 1))
    one.getsockname()
    two = t.b.udp()
    two.bind(t.at("b"))
    two.bind(t.at("b", 1))


@scenario(families=BOTH)
def chosen_port(t):
    for make in ("tcp", "udp"):
        one = getattr(t.b, make)()
        one.getsockname()
        one.bind([t.at("b")[0], 0])
        one.getsockname()
        two = getattr(t.b, make)()
        two.bind([t.any()[0], 0])
        two.getsockname()


@scenario
def chosen_port_range(t):
    t.tune(t.b, "net.ipv4.ip_local_port_range", f"{t.port} {t.port + 1}", "32768 60999")
    for _ in range(3):
        t.b.udp().bind(["0.0.0.0", 0])
    for _ in range(3):
        t.b.tcp().bind(["0.0.0.0", 0])


@scenario
def no_ports_left_to_connect(t):
    l = t.listener()
    t.tune(t.a, "net.ipv4.ip_local_port_range", f"{t.port + 4} {t.port + 5}", "32768 60999")
    for _ in range(3):
        t.a.tcp().connect(t.at("b"))


@scenario(families=BOTH)
def foreign_address(t):
    host = "192.0.2.9" if t.family == 4 else "2001:db8::9"
    t.b.tcp().bind([host, t.port])
    t.b.udp().bind([host, t.port])
    free = t.b.tcp()
    free.setsockopt("SOL_IP", "IP_FREEBIND", 1)
    free.bind([host, t.port])
    free.getsockname()


@scenario
def odd_addresses(t):
    for host in ("10.0.1.255", "255.255.255.255", "224.0.0.1", "127.0.0.2", "0.0.0.1"):
        t.b.tcp().bind([host, t.port])
        t.b.udp().bind([host, t.port])


@scenario
def wrong_lengths(t):
    one = t.b.tcp()
    one.bind("")
    one.bind("0200")
    one.bind("0a00" + "00" * 26)
    one.bind("0000" + "00" * 14)
    one.bind("0000" + "0000" + "0a00010b" + "00" * 8)
    two = t.b.udp(6)
    two.bind("0200" + "00" * 14)
    two.bind("0a00" + "00" * 20)
    two.bind("0a00" + "00" * 22)


@scenario
def link_local_needs_a_scope(t):
    t.b.tcp(6).bind(["fe80::ff:fe02:0", t.port])
    t.b.udp(6).bind(["fe80::1234", t.port, 0, 2])


@scenario
def after_connect(t):
    c, s = t.connected()
    c.bind(t.at("a", 1))
    u = t.a.udp()
    u.connect(t.at("b"))
    u.bind(t.at("a", 1))
    u.getsockname()


@scenario
def same_four_tuple(t):
    l = t.listener()
    one, two = t.a.tcp(), t.a.tcp()
    for c in (one, two):
        c.setsockopt(*REUSEADDR)
        c.bind(t.at("a", 5))
    one.connect(t.at("b"))
    two.connect(t.at("b"))


@scenario
def bind_address_no_port(t):
    l = t.listener()
    c = t.a.tcp()
    c.setsockopt("SOL_IP", "IP_BIND_ADDRESS_NO_PORT", 1)
    c.bind([t.at("a")[0], 0])
    c.getsockname()
    c.connect(t.at("b"))
    c.getsockname()


@scenario
def to_device(t):
    one = t.b.udp()
    one.setsockopt("SOL_SOCKET", "SO_BINDTODEVICE", "eth0")
    one.getsockopt("SOL_SOCKET", "SO_BINDTODEVICE", 16)
    one.bind(t.any())
    one.setsockopt("SOL_SOCKET", "SO_BINDTODEVICE", "nodev0")
    one.setsockopt("SOL_SOCKET", "SO_BINDTODEVICE", "")
    one.getsockopt("SOL_SOCKET", "SO_BINDTODEVICE", 16)
    two = t.b.udp()
    two.bind(t.any())


@scenario
def devices_do_not_conflict(t):
    for device in ("eth0", "eth1", "eth0"):
        one = t.b.udp()
        one.setsockopt("SOL_SOCKET", "SO_BINDTODEVICE", device)
        one.bind(t.any())


@scenario
def closed_port_is_free(t):
    one = t.b.tcp()
    one.bind(t.at("b"))
    one.listen()
    one.close()
    t.settle()
    two = t.b.tcp()
    two.bind(t.at("b"))
    two.listen()


@scenario
def names_of_services(t):
    for host, service, kind in (("10.0.1.11", "80", "SOCK_STREAM"), ("fd00:1::11", "http", "SOCK_STREAM"),
                                ("10.0.1.300", "1", "SOCK_STREAM"), ("::1", "nothing", "SOCK_STREAM"),
                                ("127.1", "domain", "SOCK_DGRAM")):
        t.a.getaddrinfo(host, service, "AF_UNSPEC", kind, 0, "AI_NUMERICHOST")


@scenario
def kinds_of_sockets(t):
    for family, kind, protocol in (
            ("AF_INET", "SOCK_STREAM", 17), ("AF_INET", "SOCK_DGRAM", 6), ("AF_INET", "SOCK_STREAM", 6),
            ("AF_INET", "SOCK_DGRAM", 17), ("AF_INET", "SOCK_RAW", 0), ("AF_INET", "SOCK_SEQPACKET", 0),
            ("AF_INET", "SOCK_DGRAM", 1), ("AF_INET", "SOCK_DGRAM", 58), ("AF_INET6", "SOCK_DGRAM", 58),
            ("AF_INET6", "SOCK_DGRAM", 1), ("AF_INET", "SOCK_RAW", 255), ("AF_INET", "SOCK_RAW", 256),
            ("AF_INET", "SOCK_STREAM", 256), ("AF_INET", "SOCK_STREAM", -1), ("AF_INET", "0", 0),
            ("AF_INET", "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC", 0), ("AF_INET", "SOCK_STREAM|0x100000", 0),
            ("AF_INET", "SOCK_RDM", 0), ("99", "SOCK_STREAM", 0), ("-1", "SOCK_STREAM", 0)):
        t.a.socket(family, kind, protocol)
