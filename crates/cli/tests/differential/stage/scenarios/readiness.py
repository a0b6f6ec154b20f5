"""poll, select and epoll: what is ready, and when it is told."""

from stage import scenario

EDGE = "EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET"


def watched(t, c, events, data=1):
    e = t.a.epoll_create()
    e.epoll_ctl("ADD", c, events, data)
    return e


@scenario
def of_unconnected(t):
    c = t.a.tcp()
    c.poll()
    c.pselect()
    e = watched(t, c, "EPOLLIN|EPOLLOUT")
    e.epoll_wait()
    u = t.a.udp()
    u.poll()
    u.pselect()


@scenario
def of_bound(t):
    c = t.a.tcp()
    c.bind(t.at("a"))
    c.poll()


@scenario
def of_connected(t):
    c, s = t.connected()
    c.poll()
    c.poll("0")
    c.poll("POLLIN")
    c.pselect()
    s.send("x")
    t.settle()
    c.poll()
    c.poll("POLLRDNORM|POLLWRNORM|POLLRDBAND|POLLWRBAND|POLLMSG")
    c.pselect()


@scenario
def edge_after_partial_read(t):
    c, s = t.connected()
    e = watched(t, c, EDGE)
    e.epoll_wait()
    s.send("abcdef")
    t.settle()
    e.epoll_wait()
    c.recv(2)
    e.epoll_wait()
    s.send("gh")
    t.settle()
    e.epoll_wait()
    c.recv(20)
    e.epoll_wait()


@scenario
def edge_without_read(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN|EPOLLET")
    s.send("a")
    t.settle()
    e.epoll_wait()
    e.epoll_wait()
    s.send("b")
    t.settle()
    e.epoll_wait()
    s.close()
    t.settle()
    e.epoll_wait()
    e.epoll_wait()


@scenario
def edge_added_late(t):
    c, s = t.connected()
    s.send("a")
    t.settle()
    e = watched(t, c, "EPOLLIN|EPOLLET")
    e.epoll_wait()
    e.epoll_wait()
    e.epoll_ctl("MOD", c, "EPOLLIN|EPOLLET", 2)
    e.epoll_wait()


@scenario
def edge_of_write(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLOUT|EPOLLET")
    e.epoll_wait()
    c.fill()
    e.epoll_wait()
    p = s.start.drain()
    e.epoll_wait(3000)
    c.close()
    p.wait()


@scenario
def level_stays(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN|EPOLLRDHUP")
    e.epoll_wait()
    s.send("abc")
    t.settle()
    e.epoll_wait()
    e.epoll_wait()
    c.recv(10)
    e.epoll_wait()
    s.shutdown("SHUT_WR")
    t.settle()
    e.epoll_wait()
    c.recv(10)
    e.epoll_wait()


@scenario
def oneshot(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN|EPOLLONESHOT")
    s.send("a")
    t.settle()
    e.epoll_wait()
    s.send("b")
    t.settle()
    e.epoll_wait()
    e.epoll_ctl("MOD", c, "EPOLLIN|EPOLLONESHOT", 7)
    e.epoll_wait()
    e.epoll_wait()


@scenario
def oneshot_and_reset(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN|EPOLLONESHOT")
    s.send("a")
    t.settle()
    e.epoll_wait()
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    e.epoll_wait()


@scenario
def exclusive(t):
    c, s = t.connected()
    one, two = watched(t, c, "EPOLLIN|EPOLLEXCLUSIVE"), watched(t, c, "EPOLLIN|EPOLLEXCLUSIVE", 2)
    s.send("x")
    t.settle()
    one.epoll_wait()
    two.epoll_wait()
    one.epoll_ctl("MOD", c, "EPOLLIN", 3)
    t.a.epoll_create().epoll_ctl("ADD", c, "EPOLLIN|EPOLLEXCLUSIVE|EPOLLRDHUP", 3)
    t.a.epoll_create().epoll_ctl("ADD", c, "EPOLLIN|EPOLLEXCLUSIVE|EPOLLONESHOT", 3)


@scenario
def two_epolls(t):
    c, s = t.connected()
    one, two = watched(t, c, "EPOLLIN"), watched(t, c, "EPOLLIN|EPOLLET", 2)
    s.send("x")
    t.settle()
    one.epoll_wait()
    two.epoll_wait()
    one.epoll_wait()
    two.epoll_wait()


@scenario
def nested(t):
    c, s = t.connected()
    inner = watched(t, c, "EPOLLIN")
    outer = t.a.epoll_create()
    outer.epoll_ctl("ADD", inner, "EPOLLIN", 9)
    outer.epoll_wait()
    s.send("x")
    t.settle()
    outer.epoll_wait()
    inner.poll("POLLIN")


@scenario
def wrong_controls(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN")
    e.epoll_ctl("ADD", c, "EPOLLIN", 1)
    e.epoll_ctl("DEL", c)
    e.epoll_ctl("DEL", c)
    e.epoll_ctl("MOD", c, "EPOLLIN")
    e.epoll_ctl("ADD", e, "EPOLLIN")
    c.epoll_ctl("ADD", e, "EPOLLIN")


@scenario
def closed_leaves(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN")
    s.send("x")
    t.settle()
    e.epoll_wait()
    c.close()
    e.epoll_wait()


@scenario
def copy_keeps_watching(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN")
    d = c.dup()
    c.close()
    s.send("x")
    t.settle()
    e.epoll_wait()
    d.recv(1)
    e.epoll_wait()


@scenario
def watched_before_connect(t):
    l = t.listener()
    c = t.a.tcp()
    e = watched(t, c, EDGE)
    e.epoll_wait()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    e.epoll_wait()
    e.epoll_wait()


@scenario
def watched_before_refusal(t):
    c = t.a.tcp()
    e = watched(t, c, EDGE)
    e.epoll_wait()
    c.nonblocking()
    c.connect(t.at("b"))
    t.settle()
    e.epoll_wait()
    c.so_error()
    e.epoll_wait()


@scenario
def listener_edge(t):
    l = t.listener()
    e = t.b.epoll_create()
    e.epoll_ctl("ADD", l, "EPOLLIN|EPOLLET", 1)
    e.epoll_wait()
    for _ in range(2):
        t.a.tcp().connect(t.at("b"))
    t.settle()
    e.epoll_wait()
    l.accept()
    e.epoll_wait()
    t.a.tcp().connect(t.at("b"))
    t.settle()
    e.epoll_wait()


@scenario
def listener_level(t):
    l = t.listener()
    e = t.b.epoll_create()
    e.epoll_ctl("ADD", l, "EPOLLIN|EPOLLOUT", 1)
    t.a.tcp().connect(t.at("b"))
    t.settle()
    e.epoll_wait()
    e.epoll_wait()
    l.accept()
    e.epoll_wait()


@scenario
def watched_before_listen(t):
    l = t.b.tcp()
    e = t.b.epoll_create()
    e.epoll_ctl("ADD", l, "EPOLLIN|EPOLLOUT", 1)
    e.epoll_wait()
    l.bind(t.at("b"))
    l.listen()
    e.epoll_wait()
    t.a.tcp().connect(t.at("b"))
    t.settle()
    e.epoll_wait()


@scenario
def peers_end(t):
    c, s = t.connected()
    e = watched(t, c, EDGE)
    e.epoll_wait()
    s.shutdown("SHUT_WR")
    t.settle()
    e.epoll_wait()
    c.poll()
    c.shutdown("SHUT_WR")
    t.settle()
    e.epoll_wait()
    c.poll()


@scenario
def own_shutdown(t):
    c, s = t.connected()
    e = watched(t, c, EDGE)
    e.epoll_wait()
    c.shutdown("SHUT_RD")
    e.epoll_wait()
    c.poll()
    c.shutdown("SHUT_WR")
    e.epoll_wait()
    c.poll()


@scenario
def datagrams_edge(t):
    c, s = t.a.udp(), t.b.udp()
    c.bind(t.at("a"))
    e = watched(t, c, EDGE)
    e.epoll_wait()
    s.sendto("one", t.at("a"))
    s.sendto("two", t.at("a"))
    t.settle()
    e.epoll_wait()
    c.recvfrom(10)
    e.epoll_wait()
    s.sendto("three", t.at("a"))
    t.settle()
    e.epoll_wait()
    c.recvfrom(10)
    c.recvfrom(10)
    e.epoll_wait()


@scenario
def datagrams_level(t):
    c, s = t.a.udp(), t.b.udp()
    c.bind(t.at("a"))
    e = watched(t, c, "EPOLLIN")
    s.sendto("one", t.at("a"))
    t.settle()
    e.epoll_wait()
    c.recvfrom(10)
    e.epoll_wait()


@scenario
def datagram_error(t):
    c = t.a.udp()
    c.connect(t.at("b"))
    e = watched(t, c, "EPOLLIN|EPOLLOUT")
    c.send("x")
    t.settle()
    e.epoll_wait()
    c.so_error()
    e.epoll_wait()


@scenario
def waiting_poll_wakes(t):
    c, s = t.connected()
    p = c.start.poll("POLLIN", 4000)
    s.send("x")
    p.wait()


@scenario
def waiting_epoll_wakes(t):
    c, s = t.connected()
    e = watched(t, c, "EPOLLIN|EPOLLET")
    p = e.start.epoll_wait(4000)
    s.send("x")
    p.wait()


@scenario
def two_at_once(t):
    c, s = t.connected()
    u = t.a.udp()
    s.send("x")
    t.settle()
    c.poll_two(u)


@scenario
def write_readiness_after_drain(t):
    c, s = t.full()
    c.poll("POLLOUT")
    p = s.start.drain()
    c.poll("POLLOUT", 3000)
    c.close()
    p.wait()


@scenario
def notsent_lowat(t):
    c, s = t.connected()
    c.setsockopt("SOL_TCP", "TCP_NOTSENT_LOWAT", 1)
    c.poll("POLLOUT")
    c.fill()
    c.poll("POLLOUT")
