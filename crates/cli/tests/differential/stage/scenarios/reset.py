"""A reset, as each call meets it."""

from stage import scenario


def reset(t):
    """A connection that b has just reset."""
    c, s = t.connected()
    def end():
        s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
        s.close()
    t.quiet(end)
    t.settle()
    return c


@scenario
def recv_tells_it_once(t):
    c = reset(t)
    c.recv(10)
    c.recv(10)
    c.so_error()
    c.poll()


@scenario
def read_tells_it_once(t):
    c = reset(t)
    c.read(10)
    c.read(10)
    c.so_error()


@scenario
def recvmsg_tells_it_once(t):
    c = reset(t)
    c.recvmsg(10)
    c.recvmsg(10)


@scenario
def recvfrom_tells_it_once(t):
    c = reset(t)
    c.recvfrom(10)
    c.recvfrom(10)


@scenario
def peek_tells_it(t):
    c = reset(t)
    c.recv(10, "MSG_PEEK")
    c.recv(10)


@scenario
def send_tells_it_once(t):
    c = reset(t)
    c.send("x", "MSG_NOSIGNAL")
    c.send("x", "MSG_NOSIGNAL")
    c.recv(10)
    c.so_error()


@scenario
def write_tells_it_once(t):
    c = reset(t)
    c.write("x")
    c.write("x")
    c.read(1)


@scenario
def so_error_tells_it_once(t):
    c = reset(t)
    c.so_error()
    c.so_error()
    c.recv(10)
    c.send("x", "MSG_NOSIGNAL")


@scenario
def poll_tells_it(t):
    c = reset(t)
    c.poll()
    c.poll("POLLIN")
    c.poll("0")
    c.pselect()
    c.so_error()
    c.poll()


@scenario
def epoll_tells_it(t):
    c, s = t.connected()
    e = t.a.epoll_create()
    e.epoll_ctl("ADD", c, "EPOLLIN|EPOLLOUT|EPOLLRDHUP", 1)
    e.epoll_wait()
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    e.epoll_wait()
    e.epoll_wait()
    c.so_error()
    e.epoll_wait()


@scenario
def epoll_edge_tells_it_once(t):
    c, s = t.connected()
    e = t.a.epoll_create()
    e.epoll_ctl("ADD", c, "EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET", 1)
    e.epoll_wait()
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    e.epoll_wait()
    e.epoll_wait()


@scenario
def blocked_recv_wakes(t):
    c, s = t.connected()
    p = c.start.recv(10)
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    p.wait()
    c.so_error()


@scenario
def blocked_send_wakes(t):
    c, s = t.full()
    p = c.start.send(1000, "MSG_NOSIGNAL")
    s.close()
    p.wait()
    c.so_error()


@scenario
def unread_data_is_gone(t):
    c, s = t.connected()
    s.send("unread")
    t.settle()
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    c.ioctl("FIONREAD")
    c.recv(3)
    c.recv(10)
    c.recv(10)


@scenario
def names_after(t):
    c = reset(t)
    c.getsockname()
    c.getpeername()
    c.tcp_state()
    c.ioctl("FIONREAD")
    c.ioctl("SIOCOUTQ")
    c.shutdown("SHUT_WR")


@scenario
def reconnect_after(t):
    c = reset(t)
    l = t.b
    c.connect(t.at("b"))
    c.connect(t.at("b"))
    c.tcp_state()


@scenario
def reconnect_after_error_is_read(t):
    c = reset(t)
    c.so_error()
    c.connect(t.at("b"))
    c.tcp_state()
    c.getpeername()


@scenario
def sockets_of_both_processes(t):
    c, s = t.connected()
    child = t.a.fork()
    twin = child.same(c)
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    twin.recv(10)
    c.recv(10)


@scenario
def after_half_close(t):
    c, s = t.connected()
    c.shutdown("SHUT_WR")
    t.settle()
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    c.poll()
    c.recv(10)
    c.recv(10)


@scenario
def after_peers_end(t):
    """FIN, then RST: EPIPE rather than ECONNRESET."""
    c, s = t.connected()
    s.close()
    t.settle()
    c.poll()
    c.send("to nobody")
    t.settle()
    c.poll()
    c.so_error()
    c.recv(10)


@scenario
def after_peers_end_by_send(t):
    c, s = t.connected()
    s.close()
    t.settle()
    c.send("to nobody")
    t.settle()
    c.send("x", "MSG_NOSIGNAL")
    c.send("x", "MSG_NOSIGNAL")
    c.recv(10)


@scenario
def after_peers_end_by_recv(t):
    c, s = t.connected()
    s.close()
    t.settle()
    c.send("to nobody")
    t.settle()
    c.recv(10)
    c.recv(10)
