# SPDX-License-Identifier: Apache-2.0
"""A small D-Bus client that speaks to a sidecar's plain socket: fast enough to keep sixteen callers busy, and rude
enough to send what libcsign's client never would."""

import os
import socket
import struct

PATH, INTERFACE = "/org/csign/Sidecar1", "org.csign.Sidecar1"
ERROR_PREFIX = INTERFACE + ".Error."
ALIGN = {"h": 4, "y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "s": 4, "o": 4, "a": 4,
         "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}
NUMBERS = {"h": "<I", "y": "<B", "n": "<h", "q": "<H", "b": "<I", "i": "<i", "u": "<I", "x": "<q", "t": "<Q", "d": "<d"}


class DBusError(Exception):
    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message
        self.short = name.removeprefix(ERROR_PREFIX)


class Variant:
    def __init__(self, signature, value):
        self.signature, self.value = signature, value


def split(signature):
    """The first complete type of a signature, and the rest."""
    first = signature[0]
    if first == "a":
        inner, rest = split(signature[1:])
        return "a" + inner, rest
    if first in "({":
        depth, i = 0, 0
        while True:
            depth += (signature[i] in "({") - (signature[i] in ")}")
            i += 1
            if depth == 0:
                return signature[:i], signature[i:]
    return first, signature[1:]


def types(signature):
    while signature:
        one, signature = split(signature)
        yield one


class Writer:
    def __init__(self):
        self.data = bytearray()

    def align(self, n):
        self.data += bytes(-len(self.data) % n)

    def put(self, kind, value):
        self.align(ALIGN[kind[0]])
        if kind in NUMBERS:
            self.data += struct.pack(NUMBERS[kind], value)
        elif kind in "so":
            value = value.encode() if isinstance(value, str) else value
            self.data += struct.pack("<I", len(value)) + value + b"\0"
        elif kind == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif kind == "v":
            self.put("g", value.signature)
            self.put(value.signature, value.value)
        elif kind[0] == "a":
            self.put_array(kind[1:], value)
        else:
            for one, item in zip(types(kind[1:-1]), value):
                self.put(one, item)

    def put_array(self, inner, value):
        length_at = len(self.data)
        self.data += b"\0\0\0\0"
        self.align(ALIGN[inner[0]])
        start = len(self.data)
        if inner == "y":
            self.data += value
        else:
            for item in value.items() if inner[0] == "{" else value:
                self.put(inner, item)
        struct.pack_into("<I", self.data, length_at, len(self.data) - start)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def align(self, n):
        self.at += -self.at % n

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def get(self, kind):
        self.align(ALIGN[kind[0]])
        if kind in NUMBERS:
            return struct.unpack(NUMBERS[kind], self.take(struct.calcsize(NUMBERS[kind])))[0]
        if kind in "so":
            value = self.take(self.get("u")).decode()
            self.at += 1
            return value
        if kind == "g":
            value = self.take(self.get("y")).decode()
            self.at += 1
            return value
        if kind == "v":
            return self.get(self.get("g"))
        if kind[0] == "a":
            return self.get_array(kind[1:])
        return tuple(self.get(one) for one in types(kind[1:-1]))

    def get_array(self, inner):
        length = self.get("u")
        self.align(ALIGN[inner[0]])
        end = self.at + length
        if inner == "y":
            return bytes(self.take(length))
        items = []
        while self.at < end:
            items.append(self.get(inner))
        return dict(items) if inner[0] == "{" else items


class Peer:
    """One connection.  Peer(sidecar.socket).call("Status", "") -> ({...},)"""

    def __init__(self, path, timeout=10, pipelined=True, fds=False, uid=None):
        """pipelined: BEGIN goes out with AUTH, as sd-bus does it; else after the answer, as others do.
        fds: descriptors may be sent.  uid: who we say that we are."""
        self.serial = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        uid = str(os.geteuid() if uid is None else uid).encode().hex()
        begin = (b"NEGOTIATE_UNIX_FD\r\n" if fds else b"") + b"BEGIN\r\n"
        self.socket.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\n" + (begin if pipelined else b""))
        answer = self.read_line()
        if not answer.startswith(b"OK"):
            raise DBusError("auth", answer.decode())
        if fds and pipelined and not self.read_line().startswith(b"AGREE_UNIX_FD"):
            raise DBusError("auth", "no descriptors")
        self.unsent = b"" if pipelined else begin

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read_line(self):
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.read(1)
        return line

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise DBusError("closed", "the sidecar closed the connection")
            data += more
        return data

    def send(self, member, signature, values, interface=INTERFACE, path=PATH, fds=(), sender=None):
        """A value of type h is an index into fds.  sender: what only a bus may write."""
        self.serial += 1
        body = Writer()
        for kind, value in zip(types(signature), values):
            body.put(kind, value)
        fields = {1: Variant("o", path), 2: Variant("s", interface), 3: Variant("s", member)}
        if signature:
            fields[8] = Variant("g", signature)
        if sender:
            fields[7] = Variant("s", sender)
        if fds:
            fields[9] = Variant("u", len(fds))
        message = Writer()
        for kind, value in zip("yyyyuu", (ord("l"), 1, 0, 1, len(body.data), self.serial)):
            message.put(kind, value)
        message.put("a(yv)", list(fields.items()))
        message.align(8)
        data = self.unsent + bytes(message.data + body.data)
        if fds:
            assert socket.send_fds(self.socket, [data], fds) == len(data)
        else:
            self.socket.sendall(data)
        self.unsent = b""
        return self.serial

    def receive(self):
        """(type, reply serial, error name, body values) of the next message."""
        head = self.read(16)
        body_length, _, fields_length = struct.unpack_from("<III", head, 4)
        header = Reader(head + self.read(fields_length + -fields_length % 8))
        header.at = 12
        fields = dict(header.get("a(yv)"))
        body = Reader(self.read(body_length))
        return head[1], fields.get(5), fields.get(4), [body.get(one) for one in types(fields.get(8, ""))]

    def call(self, member, signature, *values, **options):
        serial = self.send(member, signature, values, **options)
        while True:
            kind, reply, name, body = self.receive()
            if reply != serial:
                continue
            if kind == 3:
                raise DBusError(name, body[0] if body else "")
            return body

    def get_key(self, path, version=0):
        return self.call("GetKey", "su", path, version)[0]

    def sign(self, key_id, version, scheme, hash_name, digest, **options):
        signature, receipt = self.call("Sign", "sussaya{sv}", key_id, version, scheme, hash_name,
                                       digest, options)
        return signature, receipt
