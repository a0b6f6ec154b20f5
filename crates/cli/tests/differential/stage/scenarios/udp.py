"""Datagrams: names, errors that come back, flags, multicast and broadcast."""

from stage import scenario

BOTH = (4, 6)


def pair(t):
    """a's socket and b's, bound."""
    one, two = t.a.udp(), t.b.udp()
    def setup():
        one.bind(t.at("a"))
        two.bind(t.at("b"))
    t.quiet(setup)
    return one, two


@scenario(families=BOTH, segments=True)
def there_and_back(t):
    c, s = t.a.udp(), t.b.udp()
    s.bind(t.at("b"))
    c.getsockname()
    c.sendto("ping", t.at("b"))
    c.getsockname()
    s.recvfrom(10)
    c.connect(t.at("b"))
    c.getsockname()
    c.getpeername()
    c.send("again")
    s.recvmsg(10)
    c.poll()
    s.poll()


@scenario(families=BOTH, segments=True)
def refused_when_connected(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    c.send("x")
    t.settle()
    c.poll()
    c.send("y")
    t.settle()
    c.recvfrom(10, "MSG_DONTWAIT")
    c.recvfrom(10, "MSG_DONTWAIT")


@scenario
def refused_by_recv(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    c.send("x")
    t.settle()
    c.recv(10, "MSG_DONTWAIT")
    c.recv(10, "MSG_DONTWAIT")


@scenario
def refused_by_so_error(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    c.send("x")
    t.settle()
    c.so_error()
    c.so_error()
    c.poll()


@scenario
def refused_wakes_recvfrom(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    p = c.start.recvfrom(10)
    c.send("x")
    p.wait()


@scenario
def refused_when_unconnected(t):
    c = t.a.udp()
    c.sendto("x", t.at("b"))
    t.settle()
    c.poll()
    c.so_error()
    c.recvfrom(10, "MSG_DONTWAIT")


@scenario(families=BOTH)
def error_queue(t):
    c = t.a.udp()
    level, option = ("SOL_IP", "IP_RECVERR") if t.family == 4 else ("SOL_IPV6", "IPV6_RECVERR")
    c.setsockopt(level, option, 1)
    c.sendto("lost", t.at("b"))
    t.settle()
    c.poll()
    c.recvmsg(100, 256, "MSG_ERRQUEUE")
    c.so_error()
    c.recvmsg(100, 256, "MSG_ERRQUEUE")
    c.poll()


@scenario
def error_queue_short_buffer(t):
    c = t.a.udp()
    c.setsockopt("SOL_IP", "IP_RECVERR", 1)
    c.sendto("lost words", t.at("b"))
    t.settle()
    c.recvmsg(4, 20, "MSG_ERRQUEUE")
    c.recvfrom(10, "MSG_DONTWAIT")


@scenario
def errors_queued_in_order(t):
    c = t.a.udp()
    c.setsockopt("SOL_IP", "IP_RECVERR", 1)
    c.sendto("one", t.at("b"))
    t.settle()
    c.so_error()
    c.sendto("two", t.at("b", 1))
    t.settle()
    c.recvmsg(100, 256, "MSG_ERRQUEUE")
    c.recvmsg(100, 256, "MSG_ERRQUEUE")
    c.recvmsg(100, 256, "MSG_ERRQUEUE")


@scenario(families=BOTH)
def no_route(t):
    c = t.a.udp()
    to = ["192.0.2.1" if t.family == 4 else "2001:db8::1", t.port]
    c.sendto("x", to)
    c.connect(to)
    c.so_error()


@scenario
def no_neighbour(t):
    t.tune(t.a, "net.ipv4.neigh.eth0.retrans_time_ms", 50, 1000)
    c = t.a.udp()
    c.connect(["10.0.1.66", t.port])
    c.send("x")
    c.poll("POLLIN", 1000)
    c.so_error()


@scenario(families=BOTH)
def unconnect(t):
    c, s = pair(t)
    c.connect(t.at("b"))
    c.connect("AF_UNSPEC")
    c.getpeername()
    c.getsockname()
    c.send("x")
    c.sendto("x", t.at("b"))
    s.recvfrom(10)


@scenario
def unconnect_unbound(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    c.connect("AF_UNSPEC")
    c.getsockname()


@scenario
def reconnect(t):
    c, s = pair(t)
    c.connect(t.at("b"))
    c.connect(t.at("b", 1))
    c.getpeername()
    c.sendto("elsewhere", t.at("b"))
    s.recvfrom(10)


@scenario
def connected_takes_its_peer_only(t):
    c, s = pair(t)
    other = t.b.udp()
    c.connect(t.at("b"))
    other.sendto("stranger", t.at("a"))
    s.sendto("friend", t.at("a"))
    c.recvfrom(20)
    t.settle()
    c.recvfrom(20, "MSG_DONTWAIT")


@scenario
def queued_before_connect_stays(t):
    c, s = pair(t)
    other = t.b.udp()
    other.sendto("stranger", t.at("a"))
    t.settle()
    c.connect(t.at("b"))
    c.recvfrom(20, "MSG_DONTWAIT")


@scenario
def no_destination(t):
    c = t.a.udp()
    c.send("x")
    c.sendto("x", None)
    c.sendto("x", "0200")
    c.sendto("x", "0a00" + "00" * 26)
    c.sendto("x", ["10.0.1.11", 0])
    t.a.udp(6).sendto("x", "0200" + "00" * 14)


@scenario(families=BOTH, segments=True)
def empty_datagram(t):
    c, s = pair(t)
    c.sendto("", t.at("b"))
    t.settle()
    s.poll()
    s.ioctl("FIONREAD")
    s.recvfrom(10)
    s.recvfrom(10, "MSG_DONTWAIT")


@scenario
def truncated(t):
    c, s = pair(t)
    for _ in range(4):
        c.sendto("abcdefgh", t.at("b"))
    t.settle()
    s.recv(3)
    s.recv(3, "MSG_TRUNC")
    s.recvmsg(3)
    s.recvmsg(3, 0, "MSG_TRUNC")


@scenario
def peek(t):
    c, s = pair(t)
    c.sendto("first", t.at("b"))
    c.sendto("second", t.at("b"))
    t.settle()
    s.recvfrom(3, "MSG_PEEK")
    s.recvfrom(10, "MSG_PEEK|MSG_TRUNC")
    s.ioctl("FIONREAD")
    s.recvfrom(10)
    s.ioctl("FIONREAD")
    s.recvfrom(10)
    s.ioctl("FIONREAD")


@scenario
def waitall_is_ignored(t):
    c, s = pair(t)
    c.sendto("short", t.at("b"))
    s.recv(100, "MSG_WAITALL")


@scenario(families=BOTH)
def too_long(t):
    c, s = pair(t)
    c.sendto(65508, t.at("b"))
    c.sendto(65507, t.at("b"))
    c.sendto(65487, t.at("b"))
    c.sendto(70000, t.at("b"))


@scenario(families=BOTH)
def fragmented(t):
    c, s = pair(t)
    c.sendto(5000, t.at("b"))
    s.recvfrom(6000)
    s.sendto(20000, t.at("a"))
    c.recvfrom(30000)


@scenario(families=BOTH)
def must_not_fragment(t):
    c, s = pair(t)
    level = "SOL_IP" if t.family == 4 else "SOL_IPV6"
    name = "IP" if t.family == 4 else "IPV6"
    c.setsockopt(level, f"{name}_MTU_DISCOVER", 2)
    c.connect(t.at("b"))
    c.getsockopt(level, f"{name}_MTU")
    c.send(1473)
    c.send(1453)
    c.send(1452)
    c.so_error()


@scenario
def mtu_of_unconnected(t):
    t.a.udp().getsockopt("SOL_IP", "IP_MTU")
    t.a.udp(6).getsockopt("SOL_IPV6", "IPV6_MTU")


@scenario
def smaller_mtu(t):
    t.change(t.a, "ip link set eth0 mtu 1300", "ip link set eth0 mtu 1500")
    c, s = pair(t)
    c.connect(t.at("b"))
    c.getsockopt("SOL_IP", "IP_MTU")
    c.setsockopt("SOL_IP", "IP_MTU_DISCOVER", "IP_PMTUDISC_DO")
    c.setsockopt("SOL_IP", "IP_MTU_DISCOVER", 2)
    c.send(1400)
    c.setsockopt("SOL_IP", "IP_MTU_DISCOVER", 0)
    c.send(1400)
    s.recvfrom(2000)


@scenario
def broadcast_needs_permission(t):
    c, s = t.a.udp(), t.b.udp()
    s.bind(t.any())
    c.sendto("all", ["10.0.1.255", t.port])
    c.connect(["10.0.1.255", t.port])
    c.setsockopt("SOL_SOCKET", "SO_BROADCAST", 1)
    c.sendto("all", ["10.0.1.255", t.port])
    s.recvfrom(10)
    c.sendto("everybody", ["255.255.255.255", t.port])


@scenario
def broadcast_reaches_all_sockets(t):
    c = t.a.udp()
    ones = []
    for _ in range(2):
        s = t.b.udp()
        s.setsockopt("SOL_SOCKET", "SO_REUSEADDR", 1)
        s.bind(t.any())
        ones.append(s)
    c.setsockopt("SOL_SOCKET", "SO_BROADCAST", 1)
    c.sendto("all", ["10.0.1.255", t.port])
    for s in ones:
        s.recvfrom(10)


@scenario
def unicast_reaches_the_last(t):
    c = t.a.udp()
    ones = []
    for _ in range(2):
        s = t.b.udp()
        s.setsockopt("SOL_SOCKET", "SO_REUSEADDR", 1)
        s.bind(t.any())
        ones.append(s)
    c.sendto("one", t.at("b"))
    t.settle()
    for s in ones:
        s.recvfrom(10, "MSG_DONTWAIT")


def group_request(host, device=2):
    return ["4s4si", "".join(chr(int(n)) for n in host.split(".")), "\0\0\0\0", device]


@scenario
def multicast(t):
    c, s = t.a.udp(), t.b.udp()
    s.bind(t.any())
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", group_request("239.1.2.3"))
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", group_request("239.1.2.3"))
    s.setsockopt("SOL_IP", "IP_PKTINFO", 1)
    s.setsockopt("SOL_IP", "IP_RECVTTL", 1)
    c.setsockopt("SOL_IP", "IP_MULTICAST_IF", group_request("0.0.0.0"))
    c.sendto("group", ["239.1.2.3", t.port])
    s.recvmsg(10)
    c.setsockopt("SOL_IP", "IP_MULTICAST_TTL", 7)
    c.sendto("far", ["239.1.2.3", t.port])
    s.recvmsg(10)
    s.setsockopt("SOL_IP", "IP_DROP_MEMBERSHIP", group_request("239.1.2.3"))
    s.setsockopt("SOL_IP", "IP_DROP_MEMBERSHIP", group_request("239.1.2.3"))
    c.sendto("gone", ["239.1.2.3", t.port])
    t.settle()
    s.recvmsg(10, 256, "MSG_DONTWAIT")


@scenario
def multicast_without_route(t):
    c = t.a.udp()
    c.sendto("group", ["239.1.2.3", t.port])
    c.connect(["239.1.2.3", t.port])


@scenario
def multicast_loop(t):
    for loop in (1, 0):
        c = t.a.udp()
        c.setsockopt("SOL_SOCKET", "SO_REUSEADDR", 1)
        c.bind(t.any(loop))
        c.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", group_request("239.1.2.4"))
        c.setsockopt("SOL_IP", "IP_MULTICAST_IF", group_request("0.0.0.0"))
        c.setsockopt("SOL_IP", "IP_MULTICAST_LOOP", loop)
        c.sendto("self", ["239.1.2.4", t.port + loop])
        t.settle()
        c.recvfrom(10, "MSG_DONTWAIT")


@scenario
def multicast_bad_memberships(t):
    s = t.b.udp()
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", group_request("10.0.1.11"))
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", group_request("239.1.2.3", 99))
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", ["4s", "\xef\x01\x02\x03"])
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", ["4s4s", "\xef\x01\x02\x03", "\x0a\x00\x01\x0b"])
    s.setsockopt("SOL_IP", "IP_ADD_MEMBERSHIP", ["4s4s", "\xef\x01\x02\x04", "\x0a\x00\x01\x63"])
    six = t.b.udp(6)
    six.setsockopt("SOL_IPV6", "IPV6_JOIN_GROUP", ["16si", "\xff\x02" + "\0" * 13 + "\x09", 2])
    six.setsockopt("SOL_IPV6", "IPV6_JOIN_GROUP", ["16si", "\xff\x02" + "\0" * 13 + "\x09", 2])
    six.setsockopt("SOL_IPV6", "IPV6_JOIN_GROUP", ["16si", "\xfd\x00" + "\0" * 13 + "\x09", 2])
    six.setsockopt("SOL_IPV6", "IPV6_JOIN_GROUP", ["16si", "\xff\x02" + "\0" * 13 + "\x0a", 99])
    six.setsockopt("SOL_IPV6", "IPV6_LEAVE_GROUP", ["16si", "\xff\x02" + "\0" * 13 + "\x0b", 2])


@scenario
def multicast_v6(t):
    c, s = t.a.udp(6), t.b.udp(6)
    s.bind(t.any(0, 6))
    s.setsockopt("SOL_IPV6", "IPV6_JOIN_GROUP", ["16si", "\xff\x05" + "\0" * 13 + "\x33", 2])
    s.setsockopt("SOL_IPV6", "IPV6_RECVPKTINFO", 1)
    s.setsockopt("SOL_IPV6", "IPV6_RECVHOPLIMIT", 1)
    c.setsockopt("SOL_IPV6", "IPV6_MULTICAST_IF", 2)
    c.bind(t.at("a", 0, 6))
    c.sendto("six", ["ff05::33", t.port])
    s.recvmsg(10)


@scenario(families=BOTH)
def ancillary(t):
    c, s = pair(t)
    if t.family == 4:
        for name in ("IP_PKTINFO", "IP_RECVTTL", "IP_RECVTOS", "IP_RECVORIGDSTADDR"):
            s.setsockopt("SOL_IP", name, 1)
        c.setsockopt("SOL_IP", "IP_TOS", 0x28)
        c.setsockopt("SOL_IP", "IP_TTL", 9)
    else:
        for name in ("IPV6_RECVPKTINFO", "IPV6_RECVHOPLIMIT", "IPV6_RECVTCLASS"):
            s.setsockopt("SOL_IPV6", name, 1)
        c.setsockopt("SOL_IPV6", "IPV6_TCLASS", 0x28)
        c.setsockopt("SOL_IPV6", "IPV6_UNICAST_HOPS", 9)
    s.setsockopt("SOL_SOCKET", "SO_TIMESTAMPNS", 1)
    c.sendto("x", t.at("b"))
    s.recvmsg(10)
    c.sendto("y", t.at("b"))
    s.recvmsg(10, 40)


@scenario
def sending_ancillary(t):
    c, s = pair(t)
    s.setsockopt("SOL_IP", "IP_RECVTTL", 1)
    s.setsockopt("SOL_IP", "IP_RECVTOS", 1)
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_TTL", "i", 5]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_TOS", "i", 0x20]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_TTL", "i", 0]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_TTL", "i", 256]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_PKTINFO", "i4s4s", 0, "\x0a\x00\x01\x0a", "\0\0\0\0"]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_PKTINFO", "i4s4s", 99, "\0\0\0\0", "\0\0\0\0"]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "IP_PKTINFO", "i4s4s", 0, "\x0a\x00\x01\x63", "\0\0\0\0"]])
    c.sendmsg("t", t.at("b"), [["SOL_IP", "99", "i", 1]])
    c.sendmsg("t", t.at("b"), [["SOL_UDP", "UDP_SEGMENT", "H", 0]])
    for _ in range(3):
        s.recvmsg(10)


@scenario
def several_at_once(t):
    c, s = pair(t)
    c.sendmmsg(["one", "two", "three"], [t.at("b"), t.at("b"), t.at("b")])
    t.settle()
    s.recvmmsg([2, 10, 10, 10], "MSG_DONTWAIT")
    s.recvmmsg([10], "MSG_DONTWAIT")
    c.sendmmsg(["one", "two"], [t.at("b"), ["192.0.2.1", t.port]])
    c.sendmmsg(["one", "two"], [["192.0.2.1", t.port], t.at("b")])
    s.recvmmsg([10, 10], "MSG_WAITFORONE")


@scenario(segments=True)
def segmentation(t):
    c, s = pair(t)
    c.connect(t.at("b"))
    c.setsockopt("SOL_UDP", "UDP_SEGMENT", 4)
    c.send("aaaabbbbcc")
    t.settle()
    for _ in range(3):
        s.recvfrom(20, "MSG_DONTWAIT")


@scenario(segments=True)
def corked(t):
    c, s = pair(t)
    c.connect(t.at("b"))
    c.setsockopt("SOL_UDP", "UDP_CORK", 1)
    c.send("one")
    c.send("two")
    t.settle()
    s.recvfrom(20, "MSG_DONTWAIT")
    c.setsockopt("SOL_UDP", "UDP_CORK", 0)
    s.recvfrom(20)
    c.send("three", "MSG_MORE")
    c.send("four")
    s.recvfrom(20)


@scenario
def shut_down(t):
    c = t.a.udp()
    c.shutdown("SHUT_RD")
    c.connect(t.at("b"))
    c.shutdown("SHUT_RD")
    c.poll()
    c.recv(10, "MSG_DONTWAIT")
    c.shutdown("SHUT_WR")
    c.send("x", "MSG_NOSIGNAL")
    c.poll()


@scenario
def shutdown_wakes_recv(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    p = c.start.recvfrom(10)
    c.shutdown("SHUT_RDWR")
    p.wait()


@scenario
def receive_timeout(t):
    c, s = pair(t)
    s.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 0, 60000])
    s.recv(10)
    s.recvfrom(10)
    s.recvmsg(10)
    s.read(10)


@scenario
def full_receive_buffer_drops(t):
    c, s = pair(t)
    s.setsockopt("SOL_SOCKET", "SO_RCVBUF", 2304)
    s.setsockopt("SOL_SOCKET", "SO_RXQ_OVFL", 1)
    for n in range(12):
        c.sendto(200, t.at("b"))
    t.settle()
    s.recvmsg(300)
    s.ioctl("FIONREAD")


@scenario
def through_v6_socket(t):
    s = t.b.udp(6)
    s.bind(t.any(0, 6))
    s.setsockopt("SOL_IPV6", "IPV6_RECVPKTINFO", 1)
    c = t.a.udp(4)
    c.sendto("four", t.at("b", 0, 4))
    s.recvmsg(10)
    c6 = t.a.udp(6)
    c6.sendto("mapped", ["::ffff:10.0.1.11", t.port])
    s.recvmsg(10)
    c6.connect(["::ffff:10.0.1.11", t.port])
    c6.getsockname()
    c6.getpeername()


@scenario
def link_local(t):
    c, s = t.a.udp(6), t.b.udp(6)
    s.bind(t.any(0, 6))
    c.sendto("x", ["fe80::ff:fe02:0", t.port])
    c.connect(["fe80::ff:fe02:0", t.port])


@scenario
def loopback(t):
    c, s = t.a.udp(), t.a.udp()
    s.bind(t.loopback())
    c.connect(t.loopback())
    c.getsockname()
    c.send("x")
    s.recvfrom(10)
    c.connect(t.loopback(1))
    c.send("x")
    c.so_error()


@scenario
def any_is_self(t):
    s = t.a.udp()
    s.bind(t.any())
    c = t.a.udp()
    c.sendto("x", t.any())
    s.recvfrom(10)
    c.connect(t.any())
    c.getpeername()


@scenario
def link_is_down(t):
    t.change(t.a, "ip link set eth0 down", "ip link set eth0 up")
    t.a.udp().sendto("x", t.at("b"))
    t.a.tcp().connect(t.at("b"))
    t.b.udp()


@scenario
def write_and_read(t):
    c, s = pair(t)
    c.connect(t.at("b"))
    s.connect(t.at("a"))
    c.write("written")
    s.read(4)
    s.write("answer")
    c.read(20)


@scenario
def oob_and_odd_flags(t):
    c, s = pair(t)
    c.sendto("x", t.at("b"), "MSG_OOB")
    c.sendto("x", t.at("b"), "MSG_DONTROUTE|MSG_CONFIRM|MSG_EOR")
    s.recvfrom(10)
    s.recvfrom(10, "MSG_OOB|MSG_DONTWAIT")
    s.recvfrom(10, "MSG_ERRQUEUE")
