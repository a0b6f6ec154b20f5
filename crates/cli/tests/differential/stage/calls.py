"""System calls as they are, through the C library without Python's own retries and timeouts.

Every call gives a `Result`: the line to print and, for calls that make descriptors, their numbers. Constants are named in
the scenarios as strings ("MSG_PEEK|MSG_DONTWAIT") so that transcripts read well; `number` resolves them.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import time
import zlib
from dataclasses import dataclass, field

LIBC = ctypes.CDLL(None, use_errno=True)
SHOWN_BYTES_MAX = 24
STATE_S = 4.0

# What Python's socket module does not name (linux/in.h, in6.h, tcp.h, udp.h, asm-generic/socket.h, sockios.h).
CONSTANTS = {
    "SO_RCVBUFFORCE": 33, "SO_SNDBUFFORCE": 32, "SO_PRIORITY": 12, "SO_TIMESTAMP": 29, "SO_TIMESTAMPNS": 35,
    "SO_RXQ_OVFL": 40, "SO_NOFCS": 43, "SO_PEEK_OFF": 42, "SO_ZEROCOPY": 60, "SO_MEMINFO": 55, "SO_TXREHASH": 74,
    "SO_BINDTOIFINDEX": 62, "SO_SELECT_ERR_QUEUE": 45, "SO_NO_CHECK": 11, "SO_MAX_PACING_RATE": 47,
    "IP_PKTINFO": 8, "IP_RECVERR": 11, "IP_RECVTTL": 12, "IP_RECVTOS": 13, "IP_MTU_DISCOVER": 10, "IP_MTU": 14,
    "IP_FREEBIND": 15, "IP_MINTTL": 21, "IP_NODEFRAG": 22, "IP_BIND_ADDRESS_NO_PORT": 24, "IP_UNICAST_IF": 50,
    "IP_MULTICAST_ALL": 49, "IP_RECVORIGDSTADDR": 20, "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_WANT": 1,
    "IP_PMTUDISC_DO": 2, "IP_PMTUDISC_PROBE": 3, "IP_LOCAL_PORT_RANGE": 51,
    "IPV6_MTU_DISCOVER": 23, "IPV6_MTU": 24, "IPV6_RECVERR": 25, "IPV6_PMTUDISC_DO": 2, "IPV6_FLOWINFO_SEND": 33,
    "IPV6_2292HOPLIMIT": 8, "IPV6_ADDR_PREFERENCES": 72, "IPV6_MINHOPCOUNT": 73,
    "UDP_CORK": 1, "UDP_SEGMENT": 103, "UDP_GRO": 104,
    "MSG_ZEROCOPY": 0x4000000, "MSG_FASTOPEN": 0x20000000, "MSG_WAITFORONE": 0x10000, "MSG_MORE": 0x8000,
    "POLLRDHUP": 0x2000, "EPOLLEXCLUSIVE": 1 << 28, "EPOLLRDHUP": 0x2000, "EPOLLWAKEUP": 1 << 29,
    "FIONREAD": termios.FIONREAD, "SIOCINQ": 0x541B, "SIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894B, "SIOCATMARK": 0x8905,
    "F_GETFL": fcntl.F_GETFL, "F_SETFL": fcntl.F_SETFL, "F_GETFD": fcntl.F_GETFD, "O_NONBLOCK": os.O_NONBLOCK,
    "TCP_ULP": 31, "TCP_MD5SIG": 14, "TCP_REPAIR": 19, "TCP_FASTOPEN_CONNECT": 30, "TCP_INQ": 36,
    "TCP_CM_INQ": 36, "TCP_ZEROCOPY_RECEIVE": 35, "TCP_SAVE_SYN": 27, "TCP_SAVED_SYN": 28, "TCP_TX_DELAY": 37,
}


def number(name):
    """The value of a constant, of several joined by `|`, or the number itself."""
    if not isinstance(name, str):
        return name
    total = 0
    for word in name.split("|"):
        for source in (socket, select, signal):
            if hasattr(source, word):
                total |= int(getattr(source, word))
                break
        else:
            total |= CONSTANTS[word] if word in CONSTANTS else int(word, 0)
    return total


@dataclass
class Result:
    text: str
    fds: list = field(default_factory=list)


def error_name(code):
    return errno.errorcode.get(code, str(code))


# Calls that give a size; the others give an int.
SIZED = {"send", "sendto", "sendmsg", "recv", "recvfrom", "recvmsg", "read", "write", "splice", "sendfile"}


def checked(name, *args):
    """Calls the C library; (value, None) or (-1, error's name)."""
    ctypes.set_errno(0)
    function = getattr(LIBC, name)
    function.restype = ctypes.c_ssize_t if name in SIZED else ctypes.c_int
    value = function(*args)
    return (value, None) if value >= 0 else (value, error_name(ctypes.get_errno()))


def plain(name, *args):
    """A call whose result is a number."""
    value, error = checked(name, *args)
    return Result(error or str(value))


def descriptor(name, *args):
    """A call whose result is a descriptor."""
    value, error = checked(name, *args)
    return Result(error) if error else Result("ok", [value])


def show(data):
    if len(data) <= SHOWN_BYTES_MAX:
        return repr(bytes(data))[1:]
    return f"{len(data)} bytes, crc {zlib.crc32(bytes(data)):08x}"


# --- addresses

def pack_address(address):
    """`["10.0.0.1", 80]`, `["fd00::1", 80, flow, scope]`, `"AF_UNSPEC"`, or hex text of raw bytes."""
    if address is None:
        return b""
    if address == "AF_UNSPEC":
        return struct.pack("=H14x", socket.AF_UNSPEC)
    if isinstance(address, str):
        return bytes.fromhex(address)
    host, port = address[0], address[1]
    if ":" in host:
        flow = address[2] if len(address) > 2 else 0
        scope = address[3] if len(address) > 3 else 0
        return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), socket.htonl(flow),
                           socket.inet_pton(socket.AF_INET6, host), scope)
    return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(host))


def show_address(raw):
    if not raw:
        return "no address"
    family = struct.unpack_from("=H", raw)[0]
    if family == socket.AF_INET and len(raw) >= 8:
        return f"{socket.inet_ntoa(raw[4:8])} port {int.from_bytes(raw[2:4], 'big')}"
    if family == socket.AF_INET6 and len(raw) >= 28:
        scope = struct.unpack_from("=I", raw, 24)[0]
        zone = f"%{scope}" if scope else ""
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        return f"{host}{zone} port {int.from_bytes(raw[2:4], 'big')}"
    return f"family {family}, {len(raw)} bytes"


def address_call(name, fd):
    room = ctypes.create_string_buffer(128)
    size = ctypes.c_uint32(128)
    value, error = checked(name, fd, room, ctypes.byref(size))
    return Result(error or show_address(room.raw[: size.value]))


# --- the calls; each takes what the scenario wrote

def socket_(family, kind, protocol=0):
    return descriptor("socket", number(family), number(kind), number(protocol))


def bind(fd, address):
    raw = pack_address(address)
    return plain("bind", fd, raw, len(raw))


def connect(fd, address):
    raw = pack_address(address)
    return plain("connect", fd, raw, len(raw))


def listen(fd, backlog=16):
    return plain("listen", fd, backlog)


def accept(fd, flags=0):
    room = ctypes.create_string_buffer(128)
    size = ctypes.c_uint32(128)
    value, error = checked("accept4", fd, room, ctypes.byref(size), number(flags))
    return Result(error) if error else Result("from " + show_address(room.raw[: size.value]), [value])


def getsockname(fd):
    return address_call("getsockname", fd)


def getpeername(fd):
    return address_call("getpeername", fd)


def payload(data):
    """Bytes to send: text, or a number of bytes of a pattern."""
    if isinstance(data, str):
        return data.encode("latin-1")
    return bytes((i * 7 + i // 256) & 0xFF for i in range(data))


def send(fd, data, flags=0):
    raw = payload(data)
    return plain("send", fd, raw, ctypes.c_size_t(len(raw)), number(flags))


def write(fd, data):
    raw = payload(data)
    return plain("write", fd, raw, ctypes.c_size_t(len(raw)))


def received(value, error, room, more=""):
    if error:
        return Result(error)
    return Result(f"{value} {show(room.raw[:min(value, len(room))])}{more}" if value else f"0{more}")


def recv(fd, count, flags=0):
    room = ctypes.create_string_buffer(max(count, 1))
    value, error = checked("recv", fd, room, ctypes.c_size_t(count), number(flags))
    return received(value, error, room)


def read(fd, count):
    room = ctypes.create_string_buffer(max(count, 1))
    value, error = checked("read", fd, room, ctypes.c_size_t(count))
    return received(value, error, room)


def sendto(fd, data, address, flags=0):
    raw, to = payload(data), pack_address(address)
    return plain("sendto", fd, raw, ctypes.c_size_t(len(raw)), number(flags), to or None, len(to))


def recvfrom(fd, count, flags=0):
    room = ctypes.create_string_buffer(max(count, 1))
    name = ctypes.create_string_buffer(128)
    size = ctypes.c_uint32(128)
    value, error = checked("recvfrom", fd, room, ctypes.c_size_t(count), number(flags), name, ctypes.byref(size))
    return received(value, error, room, " from " + show_address(name.raw[: size.value]))


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(Iovec)),
                ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", Msghdr), ("len", ctypes.c_uint)]


def pack_cmsgs(cmsgs):
    """`[[level, type, format, values…], …]` as the kernel's control messages."""
    raw = b""
    for level, kind, layout, *values in cmsgs:
        body = struct.pack("=" + layout, *[v.encode("latin-1") if isinstance(v, str) else v for v in values])
        one = struct.pack("=Qii", 16 + len(body), number(level), number(kind)) + body
        raw += one + bytes(-len(one) % 8)
    return raw


def message(data, address, control):
    """A msghdr and what must stay alive with it."""
    room = ctypes.create_string_buffer(data, max(len(data), 1)) if isinstance(data, bytes) else data
    iov = Iovec(ctypes.cast(room, ctypes.c_void_p), len(data))
    header = Msghdr()
    header.iov, header.iovlen = ctypes.pointer(iov), 1
    name = ctypes.create_string_buffer(address, len(address)) if address else None
    header.name, header.namelen = ctypes.cast(name, ctypes.c_void_p) if name else None, len(address or b"")
    ancillary = ctypes.create_string_buffer(control, len(control)) if control else None
    header.control = ctypes.cast(ancillary, ctypes.c_void_p) if ancillary else None
    header.controllen = len(control or b"")
    return header, (room, iov, name, ancillary)


def sendmsg(fd, data, address=None, cmsgs=(), flags=0):
    header, alive = message(payload(data), pack_address(address), pack_cmsgs(cmsgs))
    result = plain("sendmsg", fd, ctypes.byref(header), number(flags))
    del alive
    return result


CMSG_NAMES = {
    (0, 8): "IP_PKTINFO", (0, 2): "IP_TTL", (0, 1): "IP_TOS", (0, 11): "IP_RECVERR", (0, 20): "IP_ORIGDSTADDR",
    (1, 29): "SO_TIMESTAMP", (1, 35): "SO_TIMESTAMPNS", (1, 40): "SO_RXQ_OVFL", (1, 1): "SCM_RIGHTS",
    (6, 36): "TCP_CM_INQ", (17, 104): "UDP_GRO", (41, 50): "IPV6_PKTINFO", (41, 52): "IPV6_HOPLIMIT",
    (41, 67): "IPV6_TCLASS", (41, 25): "IPV6_RECVERR", (41, 11): "IPV6_FLOWINFO", (41, 74): "IPV6_ORIGDSTADDR",
}


def show_cmsg(level, kind, body):
    name = CMSG_NAMES.get((level, kind), f"{level}/{kind}")
    if name in ("SO_TIMESTAMP", "SO_TIMESTAMPNS"):
        return f"{name} of {len(body)} bytes"
    if name == "SCM_RIGHTS":
        return f"{name} of {len(body) // 4}"
    if name == "IP_PKTINFO":
        index, spec, addr = struct.unpack("=i4s4s", body)
        return f"{name} {index} {socket.inet_ntoa(spec)} {socket.inet_ntoa(addr)}"
    if name == "IPV6_PKTINFO":
        return f"{name} {socket.inet_ntop(socket.AF_INET6, body[:16])} {struct.unpack('=i', body[16:])[0]}"
    if name in ("IP_RECVERR", "IPV6_RECVERR"):
        code, origin, kind, sub, _, info, data = struct.unpack("=IBBBBII", body[:16])
        return f"{name} {error_name(code)} origin {origin} type {kind} code {sub} info {info} data {data} " \
               f"by {show_address(body[16:])}"
    if name in ("IP_ORIGDSTADDR", "IPV6_ORIGDSTADDR"):
        return f"{name} {show_address(body)}"
    return f"{name} {body.hex()}"


def walk_cmsgs(raw):
    at = 0
    while at + 16 <= len(raw):
        size, level, kind = struct.unpack_from("=Qii", raw, at)
        if size < 16:
            break
        yield level, kind, raw[at + 16: at + size]
        at += (size + 7) & ~7


def show_flags(flags):
    names = [n for n in ("MSG_OOB", "MSG_TRUNC", "MSG_CTRUNC", "MSG_EOR", "MSG_ERRQUEUE") if flags & number(n)]
    rest = flags & ~sum(number(n) for n in names)
    return "|".join(names + ([hex(rest)] if rest else [])) or "0"


def recvmsg(fd, count, control=256, flags=0):
    room = ctypes.create_string_buffer(max(count, 1))
    header, alive = message(b"", bytes(128), bytes(control))
    iov = Iovec(ctypes.cast(room, ctypes.c_void_p), count)
    header.iov = ctypes.pointer(iov)
    value, error = checked("recvmsg", fd, ctypes.byref(header), number(flags))
    if error:
        return Result(error)
    name = alive[2].raw[: header.namelen]
    ancillary = alive[3].raw[: header.controllen] if control else b""
    found = list(walk_cmsgs(ancillary))
    rights = [n for level, kind, body in found if (level, kind) == (1, 1)
              for n in struct.unpack(f"={len(body) // 4}i", body)]
    shown = "; ".join(show_cmsg(*one) for one in found)
    text = f"{value} {show(room.raw[:min(value, count)])} from {show_address(name)} flags {show_flags(header.flags)}"
    return Result(text + (f" [{shown}]" if shown else ""), rights)


def sendmmsg(fd, datas, addresses=None, flags=0):
    headers, alive = (Mmsghdr * len(datas))(), []
    for i, data in enumerate(datas):
        address = addresses[i] if addresses else None
        headers[i].hdr, keep = message(payload(data), pack_address(address), b"")
        alive.append(keep)
    value, error = checked("sendmmsg", fd, headers, len(datas), number(flags))
    return Result(error or f"{value} {[h.len for h in headers[:value]]}")


def recvmmsg(fd, sizes, flags=0):
    headers, alive = (Mmsghdr * len(sizes))(), []
    for i, size in enumerate(sizes):
        headers[i].hdr, keep = message(bytes(size), bytes(128), b"")
        alive.append(keep)
    value, error = checked("recvmmsg", fd, headers, len(sizes), number(flags), None)
    if error:
        return Result(error)
    parts = [f"{h.len} {show(alive[i][0].raw[:min(h.len, sizes[i])])} {show_flags(h.hdr.flags)}"
             for i, h in enumerate(headers[:value])]
    return Result(f"{value} [{'; '.join(parts)}]")


def shutdown(fd, how):
    return plain("shutdown", fd, number(how))


def close(fd):
    return plain("close", fd)


def dup(fd):
    return descriptor("dup", fd)


def dup2(fd, other):
    return plain("dup2", fd, other)


def fcntl_(fd, command, value=0):
    return plain("fcntl", fd, number(command), number(value))


def nonblocking(fd, on=True):
    flags, error = checked("fcntl", fd, fcntl.F_GETFL, 0)
    flags = flags | os.O_NONBLOCK if on else flags & ~os.O_NONBLOCK
    return plain("fcntl", fd, fcntl.F_SETFL, flags)


def setsockopt(fd, level, option, value, size=None):
    """An int, text, or `["format", values…]`; `size` overrides the length told."""
    if isinstance(value, list):
        raw = struct.pack("=" + value[0], *[v.encode("latin-1") if isinstance(v, str) else v for v in value[1:]])
    elif isinstance(value, str):
        raw = value.encode("latin-1")
    else:
        raw = struct.pack("=i", value) if -2**31 <= value < 2**31 else struct.pack("=I", value)
    return plain("setsockopt", fd, number(level), number(option), raw + bytes(64), len(raw) if size is None else size)


def getsockopt_raw(fd, level, option, size):
    room = ctypes.create_string_buffer(max(size, 1))
    length = ctypes.c_uint32(size)
    _, error = checked("getsockopt", fd, number(level), number(option), room, ctypes.byref(length))
    return error, room.raw[: length.value]


def getsockopt(fd, level, option, size=4):
    error, raw = getsockopt_raw(fd, level, option, size)
    if error:
        return Result(error)
    return Result(str(struct.unpack("=i", raw)[0]) if len(raw) == 4 else show(raw))


def so_error(fd):
    error, raw = getsockopt_raw(fd, "SOL_SOCKET", "SO_ERROR", 4)
    if error:
        return Result(error)
    code = struct.unpack("=i", raw)[0]
    return Result(error_name(code) if code else "0")


TCP_STATES = ["", "ESTABLISHED", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSE",
              "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING"]


def tcp_info(fd):
    """The state, the negotiated options and the counters that do not depend on time."""
    error, raw = getsockopt_raw(fd, "SOL_TCP", "TCP_INFO", 248)
    if error:
        return Result(error)
    state, ca, retrans, probes, backoff, options, scales = struct.unpack_from("=7B", raw)
    words = [w for bit, w in enumerate(["timestamps", "sack", "wscale", "ecn", "ecn-seen", "syn-data"])
             if options >> bit & 1]
    fields = struct.unpack_from("=24I", raw, 8)
    snd_mss, rcv_mss, unacked, sacked, lost, retransmitted, fackets = fields[2:9]
    total = struct.unpack_from("=I", raw, 100)[0]
    return Result(f"{TCP_STATES[state]} ca {ca} retransmits {retrans} probes {probes} backoff {backoff} "
                  f"options {'+'.join(words) or 'none'} mss {snd_mss} unacked {unacked} sacked {sacked} lost {lost} "
                  f"retrans {retransmitted} total {total}")


def tcp_state(fd):
    error, raw = getsockopt_raw(fd, "SOL_TCP", "TCP_INFO", 248)
    return Result(error or TCP_STATES[raw[0]])


def until_state(fd, state):
    """Waits for a state that depends on a delayed acknowledgement."""
    deadline = time.monotonic() + STATE_S
    while (now := tcp_state(fd).text) != state and time.monotonic() < deadline:
        os.sched_yield()
    return Result(now)


def until_acknowledged(fd):
    """Waits until nothing sent is unacknowledged: what is left waits for the peer's window."""
    deadline, unacked = time.monotonic() + STATE_S, 1
    while unacked and time.monotonic() < deadline:
        unacked = struct.unpack_from("=I", getsockopt_raw(fd, "SOL_TCP", "TCP_INFO", 248)[1], 24)[0]
        os.sched_yield()
    return Result(str(unacked))


def until_refused(address):
    """Connects anew until nobody listens: the last of a listener's descriptors may be closed a moment later."""
    deadline, text = time.monotonic() + STATE_S, "0"
    while text != "ECONNREFUSED" and time.monotonic() < deadline:
        fd = socket_("AF_INET", "SOCK_STREAM").fds[0]
        text = connect(fd, address).text
        close(fd)
    return Result(text)


def ioctl(fd, request):
    room = ctypes.c_int(-1)
    _, error = checked("ioctl", fd, ctypes.c_ulong(number(request)), ctypes.byref(room))
    return Result(error or str(room.value))


EVENT_NAMES = ["IN", "PRI", "OUT", "ERR", "HUP", "NVAL", "RDNORM", "RDBAND", "WRNORM", "WRBAND", "MSG", "", "", "RDHUP"]


def show_events(events):
    return "|".join(n for bit, n in enumerate(EVENT_NAMES) if events >> bit & 1) or "nothing"


ALL_EVENTS = "POLLIN|POLLPRI|POLLOUT|POLLRDHUP"


class Pollfd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


def poll(fd, events=ALL_EVENTS, timeout_ms=0):
    one = Pollfd(fd, number(events), 0)
    value, error = checked("poll", ctypes.byref(one), 1, timeout_ms)
    return Result(error or show_events(one.revents & 0xFFFF))


def epoll_create():
    return descriptor("epoll_create1", 0)


class EpollEvent(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("events", ctypes.c_uint32), ("data", ctypes.c_uint64)]


def epoll_ctl(fd, operation, target, events=0, data=0):
    event = EpollEvent(number(events), data)
    return plain("epoll_ctl", fd, {"ADD": 1, "DEL": 2, "MOD": 3}[operation], target, ctypes.byref(event))


def epoll_wait(fd, timeout_ms=0, most=8):
    events = (EpollEvent * most)()
    value, error = checked("epoll_wait", fd, events, most, timeout_ms)
    if error:
        return Result(error)
    ready = sorted((e.data, show_events(e.events)) for e in events[:value])
    return Result(", ".join(f"{data}:{shown}" for data, shown in ready) or "nothing")


def pselect(fd, timeout_ms=0):
    sets = [set(), set(), set()]
    try:
        sets = select.select([fd], [fd], [fd], timeout_ms / 1000)
    except OSError as failure:
        return Result(error_name(failure.errno))
    return Result("|".join(n for n, s in zip(("read", "write", "except"), sets) if s) or "nothing")


def pipe():
    return Result("ok", list(os.pipe()))


def socketpair():
    left, right = socket.socketpair()
    return Result("ok", [left.detach(), right.detach()])


def splice(source, target, count):
    return plain("splice", source, None, target, None, ctypes.c_size_t(count), 0)


def file(size):
    """An unlinked file of `size` patterned bytes."""
    import tempfile
    fd, path = tempfile.mkstemp(dir=".")
    os.unlink(path)
    os.write(fd, payload(size))
    os.lseek(fd, 0, 0)
    return Result("ok", [fd])


def sendfile(target, source, count):
    return plain("sendfile", target, source, None, ctypes.c_size_t(count))


def pass_fd(over, fd):
    return sendmsg(over, "x", None, [["SOL_SOCKET", 1, "i", fd]])


def fill(fd, piece=16384, most=1 << 28):
    """Sends without waiting until nothing more fits."""
    data, total = bytes(piece), 0
    while total < most:
        value, error = checked("send", fd, data, ctypes.c_size_t(piece), number("MSG_DONTWAIT"))
        total += max(value, 0)
        if error and piece == 1:
            return Result(f"full: {error}")
        if error:
            piece = 1  # into the rest of the last buffer
    return Result(f"never full at {total}")


def drain(fd, total=None):
    """Receives to the end (or `total` bytes), waiting; tells the end, not the number."""
    room, seen = ctypes.create_string_buffer(65536), 0
    while total is None or seen < total:
        value, error = checked("recv", fd, room, ctypes.c_size_t(65536), 0)
        if error or value == 0:
            return Result(f"{error or 'end'}" + (f" at {seen}" if total is not None else ""))
        seen += value
    return Result(f"{seen} bytes")


def sysctl(name, value):
    with open("/proc/sys/" + name.replace(".", "/"), "w") as out:
        out.write(str(value))
    return Result("ok")


def run(command):
    import subprocess
    done = subprocess.run(command.split(), capture_output=True, text=True)
    return Result("ok" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()}")


def on_signal(name, restart):
    signum = number(name)
    signal.signal(signum, lambda *_: None)
    signal.siginterrupt(signum, not restart)
    return Result("ok")


def getaddrinfo(host, service, family="AF_UNSPEC", kind=0, protocol=0, flags=0):
    try:
        found = socket.getaddrinfo(host, service, number(family), number(kind), number(protocol), number(flags))
    except socket.gaierror as failure:
        return Result(failure.strerror)
    return Result("; ".join(f"{f.name} {k.name} {p} {a[0]} {a[1]}" for f, k, p, _, a in found))


def poll_two(first, second, events=ALL_EVENTS, timeout_ms=0):
    pair = (Pollfd * 2)(Pollfd(first, number(events), 0), Pollfd(second, number(events), 0))
    value, error = checked("poll", pair, 2, timeout_ms)
    return Result(error or f"{show_events(pair[0].revents)} and {show_events(pair[1].revents)}")


CALLS = {name.rstrip("_"): f for name, f in globals().items()
         if callable(f) and getattr(f, "__module__", "") == __name__ and not isinstance(f, type)}
