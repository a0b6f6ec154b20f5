"""A bulk transfer, timed by its receiver.

    goodput.py serve            waits for a connection, reads all, prints seconds and bytes
    goodput.py send HOST BYTES  sends, and waits until all is acknowledged
"""

import socket
import sys
import time

PORT = 5001
SKIPPED = 65536  # what arrives before the clock starts


def serve():
    listener = socket.create_server(("0.0.0.0", PORT))
    peer, _ = listener.accept()
    room, got, started, ended = bytearray(1 << 16), 0, None, None
    while count := peer.recv_into(room):
        got += count
        ended = time.monotonic()
        if started is None and got >= SKIPPED:
            started, skipped = ended, got
    with open("goodput.txt", "w") as out:
        print(ended - started, got - skipped, file=out)


def send(host, count):
    peer = socket.socket()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    while peer.connect_ex((host, PORT)) != 0:  # the server may not listen yet
        time.sleep(0.05)
        peer.close()
        peer = socket.socket()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    piece = bytes(1 << 16)
    for _ in range(count >> 16):
        peer.sendall(piece)
    peer.shutdown(socket.SHUT_WR)
    peer.recv(1)


if sys.argv[1] == "serve":
    serve()
else:
    send(sys.argv[2], int(sys.argv[3]))
