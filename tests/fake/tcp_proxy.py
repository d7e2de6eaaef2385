# SPDX-License-Identifier: Apache-2.0
"""A wire between sidecar and service that loses answers: hands bytes on as they are (TLS ends where it should), and
when told to cuts connections in the moment in which the service answers on them."""

import contextlib
import selectors
import socket
import threading
import time


class Pair:
    """One connection: the client's socket and ours to the service."""

    def __init__(self, client, server):
        self.client, self.server, self.asked = client, server, False

    def close(self):
        for end in (self.client, self.server):
            end.close()


class TcpProxy:
    """with TcpProxy() as proxy: proxy.target = port; proxy.lose(1)

    lose(n)     the next n answers on connections that are open now never arrive; the connection breaks instead
    swallow(n)  the same, but the connection stays open and silent
    lost        how many it lost so far
    times       when somebody connected (time.monotonic())"""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.target, self.lost, self.to_lose, self.silent = None, 0, 0, False
        self.pairs, self.lock = set(), threading.Lock()
        self.times = []
        self.loop, self.running = selectors.DefaultSelector(), True
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.loop.register(self.listener, selectors.EVENT_READ)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        self.listener.close()
        for pair in self.pairs:
            pair.close()

    def lose(self, n, silent=False):
        with self.lock:
            self.to_lose, self.silent = n, silent
            for pair in self.pairs:
                pair.asked = False

    def swallow(self, n):
        self.lose(n, silent=True)

    def _serve(self):
        while self.running:
            for key, _ in self.loop.select():
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj.fileno() >= 0:
                    with self.lock:
                        self._pass(key.fileobj, key.data)

    def _accept(self):
        client, _ = self.listener.accept()
        self.times.append(time.monotonic())
        if not self.running:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        pair = Pair(client, server)
        # A connection that comes while answers are to be lost makes its handshake in peace: its first answer to lose
        # is one after the next lose().
        pair.asked = None if self.to_lose else False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.loop.register(end, selectors.EVENT_READ, pair)
        with self.lock:
            self.pairs.add(pair)

    def _pass(self, source, pair):
        try:
            data = source.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._drop(pair)
            return
        if source is pair.client:
            if pair.asked is False:
                pair.asked = True
            other = pair.server
        else:
            other = pair.client
            if self.to_lose and pair.asked:
                self.to_lose -= 1
                self.lost += 1
                if self.silent:
                    pair.asked = None
                    self.loop.unregister(source)  # it may say what it likes
                else:
                    self._drop(pair)
                return
        try:
            other.sendall(data)
        except OSError:
            self._drop(pair)

    def _drop(self, pair):
        self.pairs.discard(pair)
        for end in (pair.client, pair.server):
            with contextlib.suppress(KeyError, ValueError):
                self.loop.unregister(end)
        pair.close()
