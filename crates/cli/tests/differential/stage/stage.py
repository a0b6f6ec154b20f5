"""The conductor: plays scenarios on two hosts and writes down what each call gave.

    stage.py lab GROUP OUT              on host a of a lab (host b runs agent.py)
    stage.py kernel GROUP OUT CAPTURE   in a fresh network namespace of the kernel, as root

A scenario is written once, as a story told by one teller: "a connects, b accepts, b resets, a receives". The hosts' agents
make the calls; the conductor awaits each before it asks for the next, so the lines have one order.
"""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

ANSWER_S = 6.0
PORTS_FIRST, PORTS_EACH = 20000, 16
EPHEMERAL = range(32768, 61000)
SOCKET_PATH = "stage.socket"
ADDRESSES = {("a", 4): "10.0.1.10", ("b", 4): "10.0.1.11", ("a", 6): "fd00:1::10", ("b", 6): "fd00:1::11"}
CONTROL = {"a": "10.0.2.10", "b": "10.0.2.11"}
REGISTRY = []
# Calls that make a descriptor, or fail.
MAKERS = {"socket", "accept", "dup", "epoll_create"}


class Ended(Exception):
    """The scenario cannot go on; its last line says why."""


def scenario(function=None, *, segments=False, families=(4,)):
    """Registers a scenario; with two families it is played once over each."""
    def register(tell):
        for family in families:
            name = tell.__name__ + ("" if len(families) == 1 else f"-v{family}")
            REGISTRY.append((name.replace("_", "-"), tell, family, segments))
        return tell
    return register(function) if function else register


class Remote:
    """The connection to one process of an agent."""

    def __init__(self, link, hello, rest):
        self.link, self.pid, self.rest, self.stuck = link, hello["pid"], rest, False

    def ask(self, what, seconds=ANSWER_S):
        self.link.settimeout(seconds)
        try:
            self.link.sendall(json.dumps(what).encode() + b"\n")
        except OSError:
            raise Ended("its process ended") from None
        return self.hear()

    def hear(self):
        while b"\n" not in self.rest:
            try:
                piece = self.link.recv(65536)
            except TimeoutError:
                self.stuck = True
                raise Ended("does not return") from None
            if not piece:
                raise Ended("its process ended")
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        answer = json.loads(line)
        if "failed" in answer:
            raise Ended(answer["failed"])
        return answer


class Callboard:
    """Where agents' processes sign in."""

    def __init__(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(SOCKET_PATH)
        self.listener.listen(16)
        self.listener.settimeout(ANSWER_S)
        self.there = {}

    def expect(self, name):
        while name not in self.there:
            link, _ = self.listener.accept()
            link.settimeout(ANSWER_S)
            rest = b""
            while b"\n" not in rest:
                rest += link.recv(4096)
            line, rest = rest.split(b"\n", 1)
            hello = json.loads(line)
            self.there[hello["name"]] = Remote(link, hello, rest)
        return self.there.pop(name)


class Pending:
    """A call that waits."""

    def __init__(self, sock, title, answer):
        self.process, self.title, self.job = sock.process, title, answer["job"]
        self.fds, self.over = answer["fds"], answer["text"] is not None

    def wait(self):
        """Its end; gives the new descriptor's socket if it makes one."""
        return self.process.finish(self.title + " at last", self.process.remote.ask({"do": "wait", "job": self.job}))

    def interrupt(self, name, restarts):
        answer = self.process.remote.ask(
            {"do": "interrupt", "job": self.job, "signal": name, "restarts": restarts})
        return self.process.finish(f"{self.title} at {name}", answer)


class Starter:
    def __init__(self, sock):
        self.sock = sock

    def __getattr__(self, call):
        def start(*args):
            process, title = self.sock.process, self.sock.title(call, args)
            answer = process.remote.ask(
                {"do": "start", "call": call, "args": [self.sock.fd, *map(plain, args)]})
            process.finish(title, answer)
            return Pending(self.sock, title, answer)
        return start


class Sock:
    """A descriptor in a process; any call of calls.py is a method."""

    def __init__(self, process, fd, name):
        self.process, self.fd, self.name = process, fd, name
        self.start = Starter(self)

    def title(self, call, args):
        return f"{self.name} {call}({', '.join(map(written, args))})"

    def __getattr__(self, call):
        return lambda *args: self.process.call(self.title(call, args), call, [self.fd, *args])


def plain(argument):
    return argument.fd if isinstance(argument, Sock) else argument


def written(argument):
    if isinstance(argument, Sock):
        return argument.name
    if isinstance(argument, (list, tuple)) and len(argument) >= 2 and isinstance(argument[0], str) \
            and isinstance(argument[1], int) and ("." in argument[0] or ":" in argument[0]):
        return f"{argument[0]} port {argument[1]}"
    return json.dumps(argument) if isinstance(argument, str) and not argument.isidentifier() else str(argument)


class Process:
    """A process of an agent, as scenarios see it."""

    def __init__(self, teller, remote, name):
        self.teller, self.remote, self.name, self.count = teller, remote, name, 0

    def sock(self, fd):
        self.count += 1
        return Sock(self, fd, f"{self.name}{self.count}")

    def call(self, title, call, args=()):
        try:
            answer = self.remote.ask({"do": "call", "call": call, "args": [plain(a) for a in args]})
        except Ended as why:
            self.teller.line(f"{title} -> {why}")
            raise
        return self.finish(title, answer, call)

    def finish(self, title, answer, call=None):
        """Writes the line; gives sockets for new descriptors, else the text."""
        text = answer["text"]
        made = [self.sock(fd) for fd in answer["fds"]]
        if not made and call in MAKERS:
            self.count += 1  # the next one has the same name on both systems
        names = f" ({', '.join(s.name for s in made)})" if made else ""
        self.teller.line(f"{title} -> {'waits' if text is None else text}{names}")
        if self.teller.silent and made == [] and text is not None and re.fullmatch("E[A-Z0-9]+", text):
            raise Ended(f"set-up: {title} -> {text}")
        return made[0] if len(made) == 1 else made or text

    def __getattr__(self, call):
        def make(*args):
            return self.call(f"{self.name}: {call}({', '.join(map(written, args))})", call, args)
        return make

    def tcp(self, family=None):
        return self.socket(f"AF_INET{'6' if (family or self.teller.family) == 6 else ''}", "SOCK_STREAM")

    def udp(self, family=None):
        return self.socket(f"AF_INET{'6' if (family or self.teller.family) == 6 else ''}", "SOCK_DGRAM")

    def handle(self, name, restart):
        self.remote.ask({"do": "handle", "signal": name, "restart": restart})
        self.teller.line(f"{self.name}: handles {name}, SA_RESTART {restart}")

    def options(self, kind):
        return self.remote.ask({"do": "options", "kind": kind}, 30)["table"]

    def fork(self):
        """A child with the same descriptors."""
        name = self.name + "'"
        self.remote.ask({"do": "fork", "name": name})
        return Process(self.teller, self.teller.board.expect(name), name)

    def same(self, sock):
        """A parent's socket, in this child."""
        return Sock(self, sock.fd, f"{sock.name}{self.name[1:]}")

    def exit(self):
        try:
            self.remote.ask({"do": "exit"})
        except Ended:
            pass
        self.remote.link.settimeout(ANSWER_S)
        try:
            while self.remote.link.recv(4096):
                pass
        except OSError:
            pass
        self.teller.line(f"{self.name} exits")


class Teller:
    """What a scenario gets: two processes, and a sheet to write on."""

    def __init__(self, stage, name, family, ports):
        self.board, self.stage, self.name, self.family, self.port = stage.board, stage, name, family, ports
        self.lines, self.silent, self.ephemeral, self.undo = [], False, {}, []
        self.tables = {}
        self.a, self.b = (self.enter(side) for side in "ab")

    def enter(self, side):
        self.stage.base[side].ask({"do": "scenario"})
        return Process(self, self.board.expect(side), side)

    def line(self, text):
        if not self.silent:
            self.lines.append(self.tidy(text))

    def tidy(self, text):
        """Ports as the scenario means them: P, P+1, …; e1, e2, … for the ones that the system chose."""
        def port(match):
            number = int(match[1])
            if self.port <= number < self.port + PORTS_EACH:
                return "port P" + (f"+{number - self.port}" if number > self.port else "")
            if number in EPHEMERAL:
                return "port " + self.ephemeral.setdefault(number, f"e{len(self.ephemeral) + 1}")
            return match[0]
        return re.sub(r"port (\d+)", port, text)

    def quiet(self, setup):
        """Runs a set-up without writing it down; an error in it ends the scenario."""
        before, self.silent = self.silent, True
        try:
            return setup()
        finally:
            self.silent = before

    def at(self, side, offset=0, family=None):
        """The address of a host, with one of the scenario's own ports."""
        return [ADDRESSES[side, family or self.family], self.port + offset]

    def any(self, offset=0, family=None):
        return ["::" if (family or self.family) == 6 else "0.0.0.0", self.port + offset]

    def loopback(self, offset=0, family=None):
        return ["::1" if (family or self.family) == 6 else "127.0.0.1", self.port + offset]

    def listener(self, backlog=16, offset=0, prepare=None):
        def setup():
            listener = self.b.tcp()
            listener.setsockopt("SOL_SOCKET", "SO_REUSEADDR", 1)
            if prepare:
                prepare(listener)
            listener.bind(self.at("b", offset))
            listener.listen(backlog)
            return listener
        return self.quiet(setup)

    def connected(self, prepare=None, listening=None):
        """A connection: a's end, b's end."""
        listener = self.listener(prepare=listening)
        def setup():
            client = self.a.tcp()
            if prepare:
                prepare(client)
            client.connect(self.at("b"))
            return client, listener.accept()
        return self.quiet(setup)

    def full(self):
        """A connection whose buffers, of fixed sizes, are full: a's end, b's end."""
        def sized(sock):
            for option in ("SO_SNDBUF", "SO_RCVBUF"):
                sock.setsockopt("SOL_SOCKET", option, 20000)
        client, server = self.connected(sized, sized)
        def stuff():
            for _ in range(3):  # what was acknowledged meanwhile made room
                client.fill()
                client.until_acknowledged()
        self.quiet(stuff)
        return client, server

    def settle(self):
        """Everything on its way has arrived: a datagram has been there and back behind it, twice."""
        self.stage.base["a"].ask({"do": "barrier"})

    def change(self, process, command, undo):
        """Changes a host's network; changed back at the scenario's end."""
        process.call(f"{process.name}: {command}", "run", [command])
        self.undo.append((process.name, "run", [undo]))

    def tune(self, process, name, value, back):
        process.call(f"{process.name}: {name} = {value}", "sysctl", [name, value])
        self.undo.append((process.name, "sysctl", [name, back]))

    def restore(self):
        """Undoes the changes by the agents' first processes: a scenario's own may have been killed."""
        for side, call, args in reversed(self.undo):
            self.stage.base[side].ask({"do": "call", "call": call, "args": args})

    def leave(self):
        for remote in (self.a.remote, self.b.remote):
            try:
                if remote.stuck:
                    os.kill(remote.pid, signal.SIGKILL)
                else:
                    remote.ask({"do": "exit"})
                while remote.link.recv(4096):
                    pass
            except (Ended, OSError):
                pass


class Stage:
    """The two hosts' agents."""

    def __init__(self, kernel):
        self.board = Callboard()
        here = os.path.dirname(os.path.abspath(__file__))
        agent = [sys.executable, os.path.join(here, "agent.py"), SOCKET_PATH]
        own = subprocess.Popen([*agent, "a", CONTROL["a"], CONTROL["b"]])
        self.children = [own]
        if kernel:
            self.children.append(subprocess.Popen(["unshare", "-n", *agent, "b", CONTROL["b"]]))
        self.base = {side: self.board.expect(side) for side in "ba"}
        if kernel:
            build_network(self.base["b"].pid)
        limits = {f"net/core/{name}": os.environ[f"NETSPACE_{name}"] for name in ("rmem_max", "wmem_max")}
        for side in "ba":
            self.base[side].ask({"settings": DEFAULTS if kernel else DEFAULTS | limits})

    def play(self, name, tell, family, ports):
        teller = Teller(self, name, family, ports)
        try:
            tell(teller)
        except Ended as why:
            teller.line(f"ended: {why}")
        self.base["a"].ask({"do": "mark", "text": name, "to": ADDRESSES["b", 4]})
        teller.restore()
        teller.leave()
        self.base["a"].ask({"do": "barrier"})
        return teller

    def end(self):
        for child in self.children:
            child.kill()
            child.wait()


def ip(words, netns=None):
    into = ["nsenter", f"--net=/proc/{netns}/ns/net"] if netns else []
    subprocess.run([*into, "ip", *words.split()], check=True)


# What both systems are set to: a machine's own settings may have been inherited, and may forbid CUBIC.
DEFAULTS = {
    "net/ipv4/tcp_congestion_control": "reno", "net/ipv4/tcp_rmem": "4096 131072 6291456",
    "net/ipv4/tcp_wmem": "4096 16384 4194304", "net/ipv4/tcp_ecn": "2", "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/ping_group_range": "0 2147483647", "net/ipv4/ip_local_port_range": "32768 60999",
    "net/ipv4/tcp_syncookies": "1", "net/ipv4/tcp_timestamps": "1", "net/ipv4/tcp_sack": "1",
    "net/ipv4/tcp_fastopen": "1", "net/ipv4/tcp_mtu_probing": "0", "net/ipv4/tcp_keepalive_time": "7200",
    "net/ipv4/tcp_fin_timeout": "60", "net/ipv4/tcp_tw_reuse": "2", "net/ipv4/tcp_syn_retries": "6",
    "net/ipv4/tcp_no_metrics_save": "1", "net/ipv4/icmp_ratelimit": "0",
}


def build_network(other):
    """Two links between this namespace and the other's: what the lab file describes."""
    for n in (0, 1):
        ip(f"link add eth{n} address 02:00:00:01:00:0{n} type veth peer name eth{n} "
           f"address 02:00:00:02:00:0{n} netns {other}")
    for side, netns, last in (("a", None, 10), ("b", other, 11)):
        ip("link set lo up", netns)
        for n in (0, 1):
            ip(f"link set eth{n} up", netns)
            ip(f"addr add 10.0.{n + 1}.{last}/24 brd + dev eth{n}", netns)
            ip(f"addr add fd00:{n + 1}::{last}/64 dev eth{n} nodad", netns)


def capture(path):
    """Writes what passes eth0 to a file, from now on: length and bytes of each frame."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind(("eth0", 0))
    tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    out = open(path, "wb", buffering=0)

    def follow():
        while True:
            try:
                frame = tap.recv(1 << 17)
            except OSError:  # told once when the link goes down
                continue
            out.write(len(frame).to_bytes(4, "big") + frame)
    threading.Thread(target=follow, daemon=True).start()


def main():
    where, group, out = sys.argv[1:4]
    stage = Stage(where == "kernel")
    if where == "kernel":
        capture(sys.argv[4])
    importlib.import_module(f"scenarios.{group}")
    only = os.environ.get("NETSPACE_SCENARIO", "")
    sheets = {}
    for index, (name, tell, family, segments) in enumerate(REGISTRY):
        if only not in name:
            continue
        ports = PORTS_FIRST + PORTS_EACH * index
        started = time.monotonic()
        teller = stage.play(name, tell, family, ports)
        took = time.monotonic() - started
        sheets[name] = {"lines": teller.lines, "ports": ports, "segments": segments, "seconds": took}
        for part, lines in teller.tables.items():
            sheets[f"{name}/{part}"] = {"lines": lines, "ports": ports, "segments": False, "seconds": 0}
    stage.end()
    with open(out, "w") as sheet:
        json.dump(sheets, sheet)


if __name__ == "__main__":
    sys.modules["stage"] = sys.modules["__main__"]
    main()
