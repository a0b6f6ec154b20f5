"""One host's end of the stage: makes system calls when it is asked to, and tells what came of them.

    agent.py SOCKET NAME CONTROL_ADDRESS [PEER]

The first process answers the stage's own needs (a fresh process for each scenario, the barrier); the processes that it
forks make the scenarios' calls. Lines of JSON go both ways over a Unix socket, by read(2) and write(2).
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time

import calls
import options

COMMAND_FD = 200
BARRIER_PORT = 7
FUTEX = 202
TGKILL = 234
WAIT_S = 4.0


class Line:
    """The connection to the conductor."""

    def __init__(self, path, hello):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        while link.connect_ex(path) != 0:  # the conductor may not listen yet
            time.sleep(0.005)
        os.dup2(link.fileno(), COMMAND_FD)
        link.close()
        self.rest = b""
        self.tell(hello)

    def tell(self, what):
        data = json.dumps(what).encode() + b"\n"
        while data:
            data = data[os.write(COMMAND_FD, data):]

    def hear(self):
        while b"\n" not in self.rest:
            piece = os.read(COMMAND_FD, 65536)
            if not piece:
                os._exit(0)
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)


class Job(threading.Thread):
    """A call in a thread of its own, because it may wait."""

    def __init__(self, name, args):
        super().__init__(daemon=True)
        self.call, self.args, self.tid, self.result = name, args, None, None

    def run(self):
        self.tid = threading.get_native_id()
        self.result = calls.CALLS[self.call](*self.args)

    def waiting(self):
        """Whether the thread sleeps in a system call on the call's first descriptor."""
        if self.tid is None:
            return False
        try:
            with open(f"/proc/self/task/{self.tid}/syscall") as said:
                words = said.read().split()
        except OSError:
            return False
        if not words or words[0] in ("running", str(FUTEX)):
            return False
        return self.call.startswith("poll") or int(words[1], 16) & 0xFFFFFFFF == self.args[0]

    def until_waiting_or_done(self):
        deadline = time.monotonic() + WAIT_S
        while self.result is None and not self.waiting() and time.monotonic() < deadline:
            os.sched_yield()
        return self.result


def told(result):
    return {"text": result.text, "fds": result.fds} if result else {"text": None, "fds": []}


class Worker:
    """Makes the calls of one scenario."""

    def __init__(self, line, path):
        self.line, self.path, self.jobs, self.signals = line, path, [], 0

    def serve(self):
        while True:
            asked = self.line.hear()
            try:
                answer = getattr(self, "do_" + asked["do"])(asked)
            except Exception as failure:  # told to the conductor, who ends the scenario
                answer = {"failed": f"{type(failure).__name__}: {failure}"}
            self.line.tell(answer)

    def do_call(self, asked):
        return told(calls.CALLS[asked["call"]](*asked["args"]))

    def do_start(self, asked):
        job = Job(asked["call"], asked["args"])
        self.jobs.append(job)
        job.start()
        return dict(told(job.until_waiting_or_done()), job=len(self.jobs) - 1)

    def do_wait(self, asked):
        job = self.jobs[asked["job"]]
        job.join(WAIT_S)
        return told(job.result)

    def do_interrupt(self, asked):
        """A signal for the job's thread; answers when its handler has run and the call has ended or waits again."""
        job, before = self.jobs[asked["job"]], self.signals
        signum = calls.number(asked["signal"])
        calls.LIBC.syscall(TGKILL, os.getpid(), job.tid, signum)
        deadline = time.monotonic() + WAIT_S
        while self.signals == before and time.monotonic() < deadline:
            time.sleep(0)
        if not asked["restarts"]:
            job.join(WAIT_S)
        return told(job.until_waiting_or_done())

    def do_handle(self, asked):
        signum = calls.number(asked["signal"])
        signal.signal(signum, self.on_signal)
        signal.siginterrupt(signum, not asked["restart"])
        return {}

    def on_signal(self, *_):
        self.signals += 1

    def do_fork(self, asked):
        if os.fork() == 0:
            Worker(Line(self.path, {"name": asked["name"], "pid": os.getpid()}), self.path).serve()
        return {}

    def do_exit(self, asked):
        self.line.tell({})
        os._exit(0)

    def do_options(self, asked):
        return {"table": options.probe(asked["kind"])}


class Base(Worker):
    """An agent's first process."""

    def __init__(self, line, path, name, control, peer):
        super().__init__(line, path)
        self.name, self.peer, self.children = name, peer, 0
        self.barrier = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.barrier.bind(("0.0.0.0" if peer is None else control, BARRIER_PORT))
        if peer is None:
            threading.Thread(target=self.echo, daemon=True).start()

    def echo(self):
        while True:
            data, sender = self.barrier.recvfrom(64)
            if not data.startswith(b"mark"):
                self.barrier.sendto(data, sender)

    def do_mark(self, asked):
        """A datagram in the captures behind which the scenario's packets end."""
        try:
            self.barrier.sendto(b"mark " + asked["text"].encode(), (asked["to"], BARRIER_PORT))
        except OSError:  # the scenario took the link down
            return {"unmarked": True}
        return {}

    def do_barrier(self, asked):
        for _ in range(2):
            self.barrier.sendto(b"barrier", (self.peer, BARRIER_PORT))
            self.barrier.recvfrom(64)
        return {}

    def do_scenario(self, asked):
        while self.children and os.waitpid(-1, os.WNOHANG)[0]:
            self.children -= 1
        self.children += 1
        if os.fork() == 0:
            self.barrier.close()
            Worker(Line(self.path, {"name": self.name, "pid": os.getpid()}), self.path).serve()
        return {}


def main():
    path, name, control = sys.argv[1:4]
    peer = sys.argv[4] if len(sys.argv) > 4 else None
    line = Line(path, {"name": name, "pid": os.getpid()})
    for setting, value in line.hear()["settings"].items():  # the network is there
        calls.sysctl(setting, value)
    base = Base(line, path, name, control, peer)
    line.tell({})
    base.serve()


main()
