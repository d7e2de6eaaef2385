# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy that lets clients through to one place, and no other; strict: anything but CONNECT is a complaint."""

import contextlib
import http.server
import select
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        proxy = self.server.proxy
        proxy.asked.append(self.path)
        if self.path != proxy.place:
            self.send_error(403)
            return
        with socket.create_connection(("127.0.0.1", int(self.path.split(":")[1]))) as other:
            self.send_response_only(200)
            self.end_headers()
            self.pass_on(other)
        self.close_connection = True

    def pass_on(self, other):
        ends = {self.connection: other, other: self.connection}
        with contextlib.suppress(OSError):
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    ends[end].sendall(data)

    def other_method(self):
        self.server.proxy.complaints.append(self.requestline)
        self.send_error(405)

    do_GET = do_POST = other_method


class ConnectProxy:
    """with ConnectProxy("localhost:8443") as proxy: proxy.url, proxy.asked"""

    def __init__(self, place):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.proxy = self
        self.place, self.asked, self.complaints = place, [], []
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        assert kind or not self.complaints, self.complaints
