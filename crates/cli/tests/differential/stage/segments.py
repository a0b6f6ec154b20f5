"""Adds to a group's sheets what passed the link: flags, relative sequence numbers, lengths, option kinds; not times.

    segments.py SHEETS CAPTURE      CAPTURE: pcapng, or frames with their lengths before them

Where large segments are cut does not matter: consecutive data segments of one direction that follow each other in the
sequence are one line, with their flags joined. Nor does when data is acknowledged: segments that only acknowledge are left
out, but for the handshake's (a delayed acknowledgement may or may not come before the scenario's end).
"""

import json
import socket
import struct
import sys

HOSTS = {socket.inet_pton(family, host): side for family, host, side in (
    (socket.AF_INET, "10.0.1.10", "a"), (socket.AF_INET, "10.0.1.11", "b"),
    (socket.AF_INET6, "fd00:1::10", "a"), (socket.AF_INET6, "fd00:1::11", "b"), (socket.AF_INET, "10.0.2.10", "a"))}
PORTS_EACH = 16
BARRIER_PORT = 7
OPTIONS = {2: "mss", 3: "wscale", 4: "sackOK", 5: "sack", 8: "timestamps", 19: "md5", 34: "fastopen", 254: "exp"}
FLAGS = "FSRPAUEC"


def frames(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        while at + 12 <= len(data):
            kind, size = struct.unpack_from("=II", data, at)
            if kind == 6:
                length = struct.unpack_from("=I", data, at + 20)[0]
                yield data[at + 28: at + 28 + length]
            at += size
        return
    while at + 4 <= len(data):
        length = int.from_bytes(data[at:at + 4], "big")
        yield data[at + 4: at + 4 + length]
        at += 4 + length


def network(frame):
    """(source's side, protocol, transport header and payload) of a frame between the two hosts, or None."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        packet = frame[14:14 + int.from_bytes(frame[16:18], "big")]
        source, protocol, rest = packet[12:16], packet[9], packet[(packet[0] & 15) * 4:]
    elif kind == b"\x86\xdd":
        packet = frame[14:54 + int.from_bytes(frame[18:20], "big")]
        source, protocol, rest = packet[8:24], packet[6], packet[40:]
    else:
        return None
    return (HOSTS[source], protocol, rest) if source in HOSTS else None


def option_words(raw):
    words, at = [], 0
    while at < len(raw) and raw[at] != 0:
        if raw[at] == 1:
            at += 1
            continue
        kind, size = raw[at], raw[at + 1]
        value = int.from_bytes(raw[at + 2:at + size], "big")
        name = OPTIONS.get(kind, str(kind))
        words.append(f"{name} {value}" if name in ("mss", "wscale") else name)
        at += max(size, 2)
    return words


class Sheet:
    """The packets of one scenario."""

    def __init__(self, ports):
        self.ports, self.names, self.first, self.lines, self.last = ports, {}, {}, [], None

    def owns(self, port):
        return self.ports <= port < self.ports + PORTS_EACH

    def port(self, number):
        if self.owns(number):
            return "P" + (f"+{number - self.ports}" if number > self.ports else "")
        return self.names.setdefault(number, f"e{len(self.names) + 1}")

    def tcp(self, side, rest):
        source, target, seq, ack = struct.unpack_from("!HHII", rest)
        start, bits = (rest[12] >> 4) * 4, rest[13]
        length = len(rest) - start
        way = (source, target)
        mine = self.first.setdefault(way, seq if bits & 2 else (seq - 1) & 0xFFFFFFFF)
        if bits & 2:
            self.first[way] = mine = seq
        theirs = self.first.get((target, source), 0)
        seq = (seq - mine) & 0xFFFFFFFF
        ack = (ack - theirs) & 0xFFFFFFFF if bits & 16 else 0
        flags = "".join(f for bit, f in enumerate(FLAGS) if bits >> bit & 1)
        if flags == "A" and length == 0 and not (seq == 1 and ack == 1):
            return
        one = {"way": way, "side": side, "seq": seq, "ack": ack, "len": length, "flags": flags,
               "options": option_words(rest[20:start])}
        last = self.last
        follows = last and last["way"] == way and last["len"] and length and last["ack"] == ack \
            and (last["seq"] + last["len"]) & 0xFFFFFFFF == seq and not set("SFR") & set(last["flags"])
        if follows:
            last["len"] += length
            last["flags"] = "".join(sorted(set(last["flags"] + flags), key=FLAGS.index))
        else:
            self.lines.append(one)
            self.last = one

    def other(self, text):
        self.lines.append(text)
        self.last = None

    def written(self):
        return ["segment " + (line if isinstance(line, str) else self.segment(line)) for line in self.lines]

    def segment(self, one):
        source, target = (self.port(p) for p in one["way"])
        ack = f" ack {one['ack']}" if "A" in one["flags"] else ""
        options = f" <{', '.join(one['options'])}>" if one["options"] else ""
        return f"{one['side']}:{source} > {target} {one['flags']} seq {one['seq']}{ack} len {one['len']}{options}"


def ports(rest):
    return struct.unpack_from("!HH", rest)


def enter(sheets, open_sheets, frame):
    side, protocol, rest = network(frame) or (None, 0, b"")
    if len(rest) < 8:
        return
    if protocol == 17 and ports(rest)[1] == BARRIER_PORT:
        if rest[8:13] == b"mark ":
            open_sheets.discard(rest[13:].decode())
        return
    quoted = {1: 28, 58: 48}.get(protocol)
    pair = ports(rest[quoted:]) if quoted and len(rest) >= quoted + 4 else ports(rest)
    for name in list(open_sheets):
        sheet = sheets[name]
        if not any(sheet.owns(port) for port in pair):
            continue
        if protocol == 6:
            sheet.tcp(side, rest)
        elif protocol == 17:
            sheet.other(f"{side}:{sheet.port(pair[0])} > {sheet.port(pair[1])} udp len {len(rest) - 8}")
        elif quoted:
            sheet.other(f"{side} icmp {rest[0]}/{rest[1]} about {sheet.port(pair[0])} > {sheet.port(pair[1])}")


def main():
    path, captured = sys.argv[1:3]
    with open(path) as file:
        told = json.load(file)
    sheets = {name: Sheet(sheet["ports"]) for name, sheet in told.items() if sheet["segments"]}
    open_sheets = set(sheets)
    for frame in frames(captured):
        enter(sheets, open_sheets, frame)
    for name, sheet in sheets.items():
        told[name]["lines"] += sheet.written()
    with open(path, "w") as file:
        json.dump(told, file)


main()
