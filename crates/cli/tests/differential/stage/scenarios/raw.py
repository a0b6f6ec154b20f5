"""Raw sockets and ping sockets."""

from stage import scenario

BOTH = (4, 6)
ECHO = "\x08\x00\x00\x00\x12\x34\x00\x01ping!"
ECHO6 = "\x80\x00\x00\x00\x12\x34\x00\x01ping!"


def ping(t):
    return t.a.socket("AF_INET" if t.family == 4 else "AF_INET6", "SOCK_DGRAM", 1 if t.family == 4 else 58)


def raw(t, side="a"):
    process = t.a if side == "a" else t.b
    return process.socket("AF_INET" if t.family == 4 else "AF_INET6", "SOCK_RAW", 1 if t.family == 4 else 58)


@scenario(families=BOTH)
def ping_socket(t):
    p = ping(t)
    p.bind([t.at("a")[0], 4660])
    p.getsockname()
    p.sendto(ECHO if t.family == 4 else ECHO6, [t.at("b")[0], 0])
    p.recvfrom(100)


@scenario(families=BOTH)
def ping_connected(t):
    p = ping(t)
    p.bind([t.at("a")[0], 4661])
    p.connect([t.at("b")[0], 0])
    p.getpeername()
    p.send(ECHO if t.family == 4 else ECHO6)
    p.poll("POLLIN", 1000)
    p.recv(4)


@scenario(families=BOTH)
def ping_refuses_others(t):
    p = ping(t)
    p.sendto("\x00\x00\x00\x00\x12\x34\x00\x01", [t.at("b")[0], 0])
    p.sendto("\x08", [t.at("b")[0], 0])
    p.sendto("", [t.at("b")[0], 0])
    p.send(ECHO)
    p.sendto(ECHO6 if t.family == 4 else ECHO, [t.at("b")[0], 0])


@scenario
def ping_same_identifier(t):
    one, two = ping(t), ping(t)
    one.bind(["0.0.0.0", 4661])
    two.bind(["0.0.0.0", 4661])
    two.bind(["10.0.1.99", 4662])


@scenario
def ping_ancillary(t):
    p = ping(t)
    for name in ("IP_RECVTTL", "IP_RECVTOS", "IP_PKTINFO"):
        p.setsockopt("SOL_IP", name, 1)
    p.bind(["0.0.0.0", 4662])
    p.sendto(ECHO, [t.at("b")[0], 0])
    p.recvmsg(100)


@scenario
def ping_no_route(t):
    p = ping(t)
    p.sendto(ECHO, ["192.0.2.1", 0])
    p.connect(["192.0.2.1", 0])


def echo_with_checksum(family):
    """A raw IPv4 socket's echo request must carry its own checksum."""
    data = ECHO.encode("latin-1")
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[i:i + 2], "big") for i in range(0, len(padded), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return (data[:2] + (~total & 0xFFFF).to_bytes(2, "big") + data[4:]).decode("latin-1") if family == 4 else ECHO6


@scenario(families=BOTH)
def raw_echo(t):
    r = raw(t)
    r.getsockname()
    r.connect([t.at("b")[0], 0])
    r.getsockname()
    r.getpeername()
    r.send(echo_with_checksum(t.family))
    r.poll("POLLIN", 1000)
    r.getsockopt("SOL_SOCKET", "SO_PROTOCOL")


@scenario
def raw_sees_whole_packets(t):
    r = raw(t)
    r.bind([t.at("a")[0], 0])
    r.sendto(echo_with_checksum(4), [t.at("b")[0], 0])
    r.recvfrom(4, "MSG_PEEK|MSG_TRUNC")
    r.recvmsg(1)


@scenario
def raw_of_unknown_protocol(t):
    s = t.b.socket("AF_INET", "SOCK_RAW", 253)
    c = t.a.socket("AF_INET", "SOCK_RAW", 253)
    c.sendto("payload", [t.at("b")[0], 0])
    s.poll("POLLIN", 1000)
    s.recvfrom(1)


@scenario(segments=True)
def protocol_unreachable(t):
    c = t.a.socket("AF_INET", "SOCK_RAW", 252)
    c.setsockopt("SOL_IP", "IP_RECVERR", 1)
    c.sendto("payload", [t.at("b")[0], 0])
    c.poll("POLLIN", 1000)
    c.so_error()
    c.recvmsg(100, 256, "MSG_ERRQUEUE")


@scenario
def header_included(t):
    c = t.a.socket("AF_INET", "SOCK_RAW", 255)
    c.getsockopt("SOL_IP", "IP_HDRINCL")
    s = t.b.socket("AF_INET", "SOCK_RAW", 251)
    header = "\x45\x00\x00\x00\x00\x00\x00\x00\x40\xfb\x00\x00\x00\x00\x00\x00\x0a\x00\x01\x0b"
    c.sendto(header + "data", [t.at("b")[0], 0])
    s.poll("POLLIN", 1000)
    s.recvmsg(4)
    c.sendto("short", [t.at("b")[0], 0])


@scenario
def icmp_filter(t):
    r = raw(t)
    r.setsockopt("255", "1", ["I", 0xFFFFFFFE])
    r.getsockopt("255", "1")
    r.setsockopt("255", "1", ["B", 1])
    six = t.a.socket("AF_INET6", "SOCK_RAW", 58)
    six.getsockopt("58", "1", 32)
    six.setsockopt("58", "1", ["8I", 1, 2, 3, 4, 5, 6, 7, 8])
    six.getsockopt("58", "1", 32)


@scenario
def raw_not_connected(t):
    r = raw(t)
    r.send("x")
    r.recv(10, "MSG_DONTWAIT")
    r.listen(1)
    r.accept()
    r.shutdown("SHUT_RD")
    r.ioctl("FIONREAD")
    r.ioctl("SIOCOUTQ")


@scenario
def raw_bind(t):
    r = raw(t)
    r.bind([t.at("a")[0], 77])
    r.getsockname()
    r.bind(["192.0.2.1", 0])
    r.bind("0200")
    raw(t).bind(["224.0.0.1", 0])


@scenario
def raw_too_long(t):
    r = t.a.socket("AF_INET", "SOCK_RAW", 253)
    r.sendto(65516, [t.at("b")[0], 0])
    r.sendto(65515, [t.at("b")[0], 0])
    r.sendto(65536, [t.at("b")[0], 0])


@scenario
def raw_v6_checksum(t):
    r = t.a.socket("AF_INET6", "SOCK_RAW", 253)
    r.getsockopt("SOL_IPV6", "IPV6_CHECKSUM")
    r.setsockopt("SOL_IPV6", "IPV6_CHECKSUM", 2)
    s = t.b.socket("AF_INET6", "SOCK_RAW", 253)
    r.sendto("\0\0\0\0data", ["fd00:1::11", 0])
    s.recvfrom(20)
    r.sendto("x", ["fd00:1::11", 0])
