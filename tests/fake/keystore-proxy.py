#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sits between csign-service and a real csign-keystore and hands packets on, in both directions.

It counts requests by kind (one byte a request in CONTROL/count-<kind>), and while CONTROL/corrupt exists it
turns one bit of each signature: a faulty machine, or a hostile hand, that the sidecar must notice."""

import argparse
import os
import selectors
import signal
import socket
import struct
import sys

PACKET_MAX = 1 << 16
HEADER = struct.Struct(">BBHQ")
KINDS = {1: "hello", 2: "generate", 3: "sign", 4: "sign-message"}
REPLY = 0x80


def count(control, op):
    with open(os.path.join(control, f"count-{KINDS.get(op, op)}"), "ab") as f:
        f.write(b".")


def spoil(packet):
    """A SIGN or SIGN_MESSAGE reply: header, u16 result, bytes16 signature.  The last bit of the signature's last byte turns."""
    _, op, _, _ = HEADER.unpack_from(packet)
    if op not in (3 | REPLY, 4 | REPLY) or struct.unpack_from(">H", packet, HEADER.size)[0] != 0:
        return packet
    (length,) = struct.unpack_from(">H", packet, HEADER.size + 2)
    last = HEADER.size + 4 + length - 1
    return packet[:last] + bytes([packet[last] ^ 1]) + packet[last + 1:]


def pump(source, target, control, from_service):
    """One packet.  False at the end of the connection."""
    packet, fds, _, _ = socket.recv_fds(source, PACKET_MAX, 1)
    if not packet:
        return False
    if from_service:
        count(control, packet[1])
    elif os.path.exists(os.path.join(control, "corrupt")):
        packet = spoil(packet)
    socket.send_fds(target, [packet], fds)
    for fd in fds:
        os.close(fd)
    return True


def serve(listener, keystore, control):
    loop = selectors.DefaultSelector()
    loop.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in loop.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                server.connect(keystore)
                loop.register(client, selectors.EVENT_READ, (server, True))
                loop.register(server, selectors.EVENT_READ, (client, False))
                continue
            if key.fileobj.fileno() < 0:  # closed with its partner in this round
                continue
            other, from_service = key.data
            try:
                alive = pump(key.fileobj, other, control, from_service)
            except OSError:
                alive = False
            if not alive:
                for end in (key.fileobj, other):
                    loop.unregister(end)
                    end.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--keystore", required=True)
    parser.add_argument("--control", required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(args.listen)
    listener.listen()
    os.write(args.ready_fd, b"READY\n")
    os.close(args.ready_fd)
    serve(listener, args.keystore, args.control)


if __name__ == "__main__":
    main()
