"""Ending: half-close, linger, resets by close, shutdown in each state."""

from stage import scenario

BOTH = (4, 6)


@scenario(families=BOTH, segments=True)
def orderly(t):
    c, s = t.connected()
    c.send("bye")
    c.close()
    t.settle()
    s.poll()
    s.recv(10)
    s.recv(10)
    s.recv(10)
    s.tcp_state()
    s.send("late")
    t.settle()
    s.poll()
    s.send("later", "MSG_NOSIGNAL")
    s.so_error()


@scenario(segments=True)
def half_close_by_client(t):
    c, s = t.connected()
    c.send("question")
    c.shutdown("SHUT_WR")
    t.settle()
    c.until_state("FIN-WAIT-2")
    s.tcp_state()
    c.poll()
    s.poll()
    s.recv(20)
    s.recv(20)
    s.send("answer")
    t.settle()
    c.recv(20)
    c.send("more", "MSG_NOSIGNAL")
    s.shutdown("SHUT_WR")
    t.settle()
    c.recv(20)
    c.tcp_state()
    s.tcp_state()
    c.poll()
    s.poll()


@scenario(segments=True)
def half_close_by_server(t):
    c, s = t.connected()
    s.send("greeting")
    s.shutdown("SHUT_WR")
    t.settle()
    c.recv(20)
    c.recv(20)
    c.send("thanks")
    t.settle()
    s.recv(20)
    c.close()
    t.settle()
    s.recv(20)
    s.tcp_state()


@scenario(segments=True)
def both_shut_down(t):
    c, s = t.connected()
    c.shutdown("SHUT_WR")
    s.shutdown("SHUT_WR")
    t.settle()
    c.tcp_state()
    s.tcp_state()
    c.getpeername()
    s.getpeername()
    c.poll()
    s.poll()
    s.getsockname()


@scenario(segments=True)
def close_with_unread_data(t):
    c, s = t.connected()
    c.send("unread")
    t.settle()
    s.close()
    t.settle()
    c.poll()
    c.recv(10)
    c.recv(10)
    c.so_error()
    c.tcp_state()


@scenario(segments=True)
def data_after_close(t):
    c, s = t.connected()
    s.close()
    t.settle()
    c.send("first")
    t.settle()
    c.poll()
    c.send("second", "MSG_NOSIGNAL")
    c.send("third", "MSG_NOSIGNAL")
    c.recv(10)


@scenario(segments=True)
def linger_zero(t):
    c, s = t.connected()
    c.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    c.close()
    t.settle()
    s.poll()
    s.recv(10)
    s.recv(10)
    s.tcp_state()
    s.getpeername()


@scenario(segments=True)
def linger_zero_with_data_queued(t):
    c, s = t.connected()
    c.send("before")
    t.settle()
    c.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    c.close()
    t.settle()
    s.recv(10)
    s.recv(10)


@scenario
def linger_seconds_all_acknowledged(t):
    c, s = t.connected()
    c.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 3])
    c.send("soon")
    c.close()
    s.recv(10)
    s.recv(10)


@scenario
def linger_values(t):
    c = t.a.tcp()
    for on, seconds in ((0, 0), (1, 0), (1, 5), (2, 5), (0, 9), (1, 100000), (-1, 3)):
        c.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", on, seconds])
        c.getsockopt("SOL_SOCKET", "SO_LINGER", 8)


@scenario
def shutdown_of_fresh(t):
    for how in ("SHUT_RD", "SHUT_WR", "SHUT_RDWR", "3", "-1"):
        t.a.tcp().shutdown(how)
    t.a.udp().shutdown("SHUT_RD")


@scenario
def shutdown_read(t):
    c, s = t.connected()
    c.shutdown("SHUT_RD")
    c.recv(10)
    c.poll()
    s.send("still")
    t.settle()
    c.poll()
    c.recv(10)
    c.recv(10)
    c.tcp_state()
    c.send("out")
    t.settle()
    s.recv(10)


@scenario
def shutdown_write_twice(t):
    c, s = t.connected()
    c.shutdown("SHUT_WR")
    c.shutdown("SHUT_WR")
    c.send("x", "MSG_NOSIGNAL")
    c.write("x")
    c.until_state("FIN-WAIT-2")


@scenario
def shutdown_both_wakes_recv(t):
    c, s = t.connected()
    p = c.start.recv(10)
    c.shutdown("SHUT_RDWR")
    p.wait()
    c.poll()
    c.until_state("FIN-WAIT-2")


@scenario
def shutdown_after_peers_end(t):
    c, s = t.connected()
    s.close()
    t.settle()
    c.tcp_state()
    c.shutdown("SHUT_WR")
    t.settle()
    c.tcp_state()
    c.shutdown("SHUT_WR")
    c.shutdown("SHUT_RD")
    c.recv(1)
    c.getpeername()


@scenario
def shutdown_after_reset(t):
    c, s = t.connected()
    s.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    s.close()
    t.settle()
    c.shutdown("SHUT_WR")
    c.so_error()
    c.shutdown("SHUT_RDWR")


@scenario
def close_wakes_peers_recv(t):
    c, s = t.connected()
    p = c.start.recv(10)
    s.close()
    p.wait()


@scenario(segments=True)
def big_answer_then_close(t):
    c, s = t.connected()
    s.send(100)
    s.send(200)
    s.close()
    t.settle()
    c.recv(1000)
    c.recv(1000)


@scenario
def last_of_two_descriptors_closes(t):
    c, s = t.connected()
    d = c.dup()
    c.close()
    t.settle()
    s.poll()
    d.send("alive")
    t.settle()
    s.recv(10)
    d.close()
    t.settle()
    s.recv(10)


@scenario
def dup2_over_a_socket_closes_it(t):
    c, s = t.connected()
    other = t.a.tcp()
    other.dup2(c)
    t.settle()
    s.poll()


@scenario(segments=True)
def exit_closes(t):
    c, s = t.connected()
    c.send("last words")
    t.a.exit()
    t.settle()
    s.recv(20)
    s.recv(20)


@scenario
def fin_wait_2_state(t):
    c, s = t.connected()
    c.shutdown("SHUT_WR")
    c.until_state("FIN-WAIT-2")
    c.tcp_info()
    s.tcp_info()


@scenario
def time_wait_bind(t):
    c, s = t.connected()
    s.close()
    t.settle()
    c.close()
    t.settle()
    l = t.b.tcp()
    l.bind(t.at("b", 1))
    again = t.b.tcp()
    again.bind(t.at("b"))
    again.setsockopt("SOL_SOCKET", "SO_REUSEADDR", 1)
    again.bind(t.at("b"))


@scenario
def bad_descriptors(t):
    c = t.a.tcp()
    c.close()
    c.close()
    c.recv(1)
    c.send("x")
    c.connect(t.at("b"))
    c.getsockname()
    c.poll()
