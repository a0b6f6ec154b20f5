"""Bytes of a stream: flags, low-water marks, timeouts, full buffers, counts."""

from stage import scenario

BOTH = (4, 6)


@scenario(families=BOTH, segments=True)
def there_and_back(t):
    c, s = t.connected()
    c.send("hello")
    s.recv(100)
    s.send("world")
    c.recv(100)


@scenario
def peek(t):
    c, s = t.connected()
    c.send("abcdef")
    t.settle()
    s.recv(3, "MSG_PEEK")
    s.recv(10, "MSG_PEEK")
    s.recv(2)
    s.recv(10, "MSG_PEEK|MSG_DONTWAIT")
    s.recv(10)
    s.recv(10, "MSG_PEEK|MSG_DONTWAIT")


@scenario
def peek_waits(t):
    c, s = t.connected()
    p = s.start.recv(10, "MSG_PEEK")
    c.send("now")
    p.wait()
    s.recv(10)


@scenario
def waitall(t):
    c, s = t.connected()
    p = s.start.recv(10, "MSG_WAITALL")
    c.send("12345")
    t.settle()
    c.send("67890x")
    p.wait()
    s.recv(10)


@scenario
def waitall_ends_early(t):
    c, s = t.connected()
    p = s.start.recv(10, "MSG_WAITALL")
    c.send("12345")
    c.close()
    p.wait()
    s.recv(10)


@scenario
def waitall_with_reset(t):
    c, s = t.connected()
    p = s.start.recv(10, "MSG_WAITALL")
    c.send("12345")
    t.settle()
    c.setsockopt("SOL_SOCKET", "SO_LINGER", ["ii", 1, 0])
    c.close()
    p.wait()
    s.recv(10)
    s.recv(10)


@scenario
def waitall_peek(t):
    c, s = t.connected()
    c.send("123456")
    t.settle()
    s.recv(6, "MSG_WAITALL|MSG_PEEK")
    s.recv(6, "MSG_WAITALL")


@scenario
def dontwait(t):
    c, s = t.connected()
    s.recv(10, "MSG_DONTWAIT")
    c.send("x")
    t.settle()
    s.recv(10, "MSG_DONTWAIT")
    s.recv(10, "MSG_DONTWAIT")


@scenario
def trunc_throws_away(t):
    c, s = t.connected()
    c.send("abcdefgh")
    t.settle()
    s.recv(3, "MSG_TRUNC")
    s.recv(10)


@scenario
def zero_lengths(t):
    c, s = t.connected()
    c.send("")
    s.recv(0, "MSG_DONTWAIT")
    c.send("x")
    t.settle()
    s.recv(0)
    s.recv(1)
    s.recv(0, "MSG_DONTWAIT")


@scenario
def not_connected(t):
    c = t.a.tcp()
    c.send("x", "MSG_NOSIGNAL")
    c.recv(1)
    c.write("x")
    c.read(1)
    c.sendto("x", t.at("b"), "MSG_NOSIGNAL")
    c.recvmsg(1)
    c.poll()
    c.pselect()


@scenario
def sendto_with_address_when_connected(t):
    c, s = t.connected()
    c.sendto("x", t.at("b", 3))
    s.recvfrom(10)
    c.sendmsg("y", t.at("b", 3))
    s.recvmsg(10)


@scenario(segments=True)
def urgent(t):
    c, s = t.connected()
    c.send("ab")
    c.send("!", "MSG_OOB")
    c.send("cd")
    t.settle()
    s.poll()
    s.ioctl("SIOCATMARK")
    s.recv(10)
    s.ioctl("SIOCATMARK")
    s.recv(1, "MSG_OOB")
    s.recv(1, "MSG_OOB")
    s.recv(10, "MSG_DONTWAIT")


@scenario
def urgent_inline(t):
    c, s = t.connected()
    s.setsockopt("SOL_SOCKET", "SO_OOBINLINE", 1)
    c.send("ab")
    c.send("!", "MSG_OOB")
    c.send("cd")
    t.settle()
    s.poll()
    s.recv(1, "MSG_OOB")
    s.recv(10)
    s.ioctl("SIOCATMARK")
    s.recv(10, "MSG_DONTWAIT")


@scenario
def urgent_without_any(t):
    c, s = t.connected()
    s.recv(1, "MSG_OOB")
    s.ioctl("SIOCATMARK")
    c.send("x")
    t.settle()
    s.recv(1, "MSG_OOB")
    s.recv(1, "MSG_OOB|MSG_PEEK")


@scenario
def low_water_mark(t):
    c, s = t.connected()
    s.setsockopt("SOL_SOCKET", "SO_RCVLOWAT", 5)
    c.send("abc")
    t.settle()
    s.poll()
    s.ioctl("FIONREAD")
    c.send("de")
    t.settle()
    s.poll()
    s.recv(10)


@scenario
def low_water_mark_and_end(t):
    c, s = t.connected()
    s.setsockopt("SOL_SOCKET", "SO_RCVLOWAT", 50)
    c.send("abc")
    c.close()
    t.settle()
    s.poll()
    s.recv(10)
    s.recv(10)


@scenario
def receive_timeout(t):
    c, s = t.connected()
    s.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 0, 60000])
    s.recv(10)
    s.recv(10, "MSG_PEEK")
    s.recvmsg(10)
    s.recvfrom(10)
    s.read(10)
    c.send("x")
    s.recv(10)


@scenario
def receive_timeout_in_waitall(t):
    c, s = t.connected()
    s.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", 0, 60000])
    c.send("12")
    t.settle()
    s.recv(5, "MSG_WAITALL")
    s.recv(5, "MSG_WAITALL")


@scenario
def timeout_values(t):
    c = t.a.tcp()
    for seconds, micros in ((0, 0), (1, 500000), (0, 1000000), (-1, 0), (0, -1), (1 << 40, 0)):
        c.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", ["qq", seconds, micros])
        c.getsockopt("SOL_SOCKET", "SO_RCVTIMEO", 16)
    c.setsockopt("SOL_SOCKET", "SO_RCVTIMEO", 1)
    c.getsockopt("SOL_SOCKET", "SO_RCVTIMEO", 8)


@scenario
def full_send_buffer(t):
    c, s = t.full()
    c.poll()
    c.send("x", "MSG_DONTWAIT")
    s.recv(4096, "MSG_WAITALL")
    s.poll()


@scenario
def full_then_drained(t):
    c, s = t.full()
    c.shutdown("SHUT_WR")
    s.drain()
    t.settle()
    c.poll()
    c.ioctl("SIOCOUTQ")


@scenario
def send_timeout(t):
    c, s = t.full()
    c.setsockopt("SOL_SOCKET", "SO_SNDTIMEO", ["qq", 0, 60000])
    c.send("x")


@scenario
def blocked_send_goes_on(t):
    c, s = t.full()
    p = c.start.send(1000)
    child = t.b.fork()
    reader = child.same(s).start.drain()
    p.wait()
    c.close()
    s.close()
    reader.wait()


@scenario
def whole_megabyte(t):
    c, s = t.connected()
    p = s.start.drain(1 << 20)
    c.send(1 << 20)
    p.wait()


@scenario
def unread_count(t):
    c, s = t.connected()
    s.ioctl("FIONREAD")
    c.send("12345")
    t.settle()
    s.ioctl("FIONREAD")
    s.recv(2)
    s.ioctl("SIOCINQ")
    c.close()
    t.settle()
    s.ioctl("FIONREAD")
    s.recv(10)
    s.ioctl("FIONREAD")


@scenario
def unsent_count(t):
    c, s = t.connected()
    c.ioctl("SIOCOUTQ")
    c.send("12345")
    t.settle()
    t.settle()
    c.ioctl("SIOCOUTQNSD")
    t.a.tcp().ioctl("SIOCOUTQ")


@scenario
def inq_message(t):
    c, s = t.connected()
    s.setsockopt("SOL_TCP", "TCP_INQ", 1)
    c.send("abcdef")
    t.settle()
    s.recvmsg(4)
    s.recvmsg(4)


@scenario(segments=True)
def corked(t):
    c, s = t.connected()
    c.setsockopt("SOL_TCP", "TCP_CORK", 1)
    c.send("one")
    c.send("two")
    t.settle()
    s.recv(10, "MSG_DONTWAIT")
    c.setsockopt("SOL_TCP", "TCP_CORK", 0)
    t.settle()
    s.recv(10)


@scenario(segments=True)
def msg_more(t):
    c, s = t.connected()
    c.send("one", "MSG_MORE")
    t.settle()
    s.recv(10, "MSG_DONTWAIT")
    c.send("two")
    t.settle()
    s.recv(10)


@scenario
def several_messages_at_once(t):
    c, s = t.connected()
    c.sendmmsg(["one", "two", "three"])
    t.settle()
    s.recvmmsg([2, 4, 20, 20], "MSG_DONTWAIT")
    s.recvmmsg([20], "MSG_DONTWAIT")


@scenario
def message_flags(t):
    c, s = t.connected()
    c.send("x", "MSG_EOR")
    c.send("x", "MSG_CONFIRM|MSG_DONTROUTE")
    c.send("x", "0x40000000")
    t.settle()
    s.recv(10)
    s.recv(10, "MSG_ERRQUEUE")
    s.recvmsg(10, 256, "MSG_ERRQUEUE|MSG_DONTWAIT")


@scenario
def peek_offset(t):
    c, s = t.connected()
    c.send("abcdef")
    t.settle()
    s.setsockopt("SOL_SOCKET", "SO_PEEK_OFF", 2)
    s.recv(2, "MSG_PEEK")
    s.recv(2, "MSG_PEEK")
    s.recv(1)
    s.getsockopt("SOL_SOCKET", "SO_PEEK_OFF")


@scenario(segments=True)
def nodelay_small_pieces(t):
    c, s = t.connected()
    c.setsockopt("SOL_TCP", "TCP_NODELAY", 1)
    c.send("a")
    s.recv(1)
    c.send("b")
    s.recv(1)
    c.send("c")
    s.recv(1)
