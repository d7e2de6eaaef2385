# SPDX-License-Identifier: Apache-2.0
"""A service that fails on demand: a TLS server in front of the real one, which hands each request on, over a connection
that shows the same client key, until a test says what to do with it.  It is strict: what a sidecar must never send is
a complaint, and fails the test at the end."""

import contextlib
import http.client
import http.server
import json
import re
import socket
import ssl
import threading
import time

ROUTES = re.compile(r"/v1/(oauth/token|signatures|whoami(/keys)?|keys(/[^?]*)?)(\?.*)?$")


class Authority:
    """An authority of this test alone.  authority.issue("good") -> (certificate, key), for localhost."""

    def __init__(self, folder, openssl, name="authority"):
        self.folder, self.openssl, self.name = folder, openssl, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj", f"/CN={name}",
                "-days", "7", "-keyout", self.key, "-out", self.certificate)

    def issue(self, name, days=7, host="localhost"):
        stem = self.folder / f"{self.name}-{name}"
        request, key, certificate = (stem.with_suffix(s) for s in (".csr", ".key", ".pem"))
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj",
                     f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-days", days,
                     "-copy_extensions", "copyall", "-out", certificate)
        return certificate, key


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.upstream = None
        self.server.proxy.connections.append((time.monotonic(), self.connection))

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        if self.upstream:
            self.upstream.close()

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_request(b"")

    def do_POST(self):
        self.handle_request(self.rfile.read(int(self.headers["Content-Length"])))

    def handle_request(self, body):
        proxy = self.server.proxy
        proxy.check(self, body)
        proxy.requests.append((time.monotonic(), self.path))
        fault = proxy.fault
        if fault and fault.hits(self.path):
            fault.count += 1
            self.close_connection = not fault(self, body)
        else:
            self.answer(*self.ask(body))

    def ask(self, body):
        """The real service's (status, headers, body)."""
        if not self.upstream:
            self.upstream = self.server.proxy.connect()
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "expect")}
        self.upstream.request(self.command, self.path, body or None, headers)
        reply = self.upstream.getresponse()
        return reply.status, reply.getheaders(), reply.read()

    def answer(self, status, headers, body, length=None):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Fault:
    """What happens to requests for signatures (or to all: everywhere).  Called with (handler, body); true: the
    connection stays."""

    def __init__(self, act, everywhere=False, times=None):
        self.act, self.everywhere, self.times, self.count = act, everywhere, times, 0

    def hits(self, path):
        if self.times is not None and self.count >= self.times:
            return False
        return self.everywhere or path == "/v1/signatures"

    def __call__(self, handler, body):
        return self.act(handler, body)


def hung(handler, body):
    """Says nothing until the fault is over or the other end goes."""
    handler.server.proxy.released.wait(60)
    return False


def slow(seconds):
    def act(handler, body):
        status, headers, content = handler.ask(body)
        time.sleep(seconds)  # the fault itself: time goes by
        handler.answer(status, headers, content)
        return True
    return act


def says(status, detail="not now", name=None, retry_after=None):
    """An answer of the proxy's own, with a problem document if a name is given."""
    def act(handler, body):
        headers = [("Date", handler.date_time_string())]
        if retry_after is not None:
            headers.append(("Retry-After", str(retry_after)))
        if name:
            headers.append(("Content-Type", "application/problem+json"))
            content = json.dumps({"type": f"urn:csign:error:{name}", "status": status, "detail": detail}).encode()
        else:
            headers.append(("Content-Type", "text/html"))
            content = f"<html>{detail}</html>".encode()
        handler.answer(status, headers, content)
        return True
    return act


def garbage(handler, body):
    handler.wfile.write(b"\x16\x03\x01\x00\xff" + bytes(range(256)) + b"\r\n\r\n")
    return False


def half(handler, body):
    """The service has acted; of its answer comes one half."""
    status, headers, content = handler.ask(body)
    handler.answer(status, headers, content[:len(content) // 2], length=len(content))
    return False


def cut(handler, body):
    return False


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(60)
        return self.proxy.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        pass  # broken connections are what this is for


class TlsProxy:
    """with TlsProxy(*authority.issue("good")) as proxy: proxy.connect_to(stack, sidecar) …"""

    def __init__(self, certificate, key, port=0):
        self.present(certificate, key)
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.proxy = self
        self.port = self.server.server_address[1]
        self.url = f"https://localhost:{self.port}"
        self.fault, self.complaints, self.requests, self.connections = None, [], [], []
        self.released = threading.Event()
        self.target = self.client = None
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.drop()
        assert kind or not self.complaints, self.complaints

    def present(self, certificate, key):
        """The certificate for connections from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.context = context

    def connect_to(self, stack, sidecar):
        """Upstream, as that sidecar: a token is bound to its key."""
        key = sidecar.config / "credential.key"
        certificate = stack.folder / f"{sidecar.name}-client.pem"
        stack.plain_openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=sidecar", "-days", "2", "-out", certificate)
        self.client = ssl.create_default_context(cafile=str(stack.ca))
        self.client.load_cert_chain(certificate, key)
        self.target = stack.port

    def connect(self):
        return http.client.HTTPSConnection("localhost", self.target, timeout=30, context=self.client)

    def drop(self):
        """Ends all connections that are open."""
        for _, connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    @contextlib.contextmanager
    def failing(self, act, **options):
        self.released.clear()
        self.fault = Fault(act, **options)
        try:
            yield self.fault
        finally:
            self.fault = None
            self.released.set()

    def check(self, handler, body):
        headers, path = handler.headers, handler.path
        complain = self.complaints.append
        if not ROUTES.match(path):
            complain(f"{handler.command} {path} is no business of a sidecar's")
        if (path == "/v1/oauth/token") == headers.get("Authorization", "").startswith("Bearer cst_"):
            complain(f"{path}: token missing, or in the wrong place")
        if path != "/v1/oauth/token" and not re.fullmatch(r"[1-9][0-9]{0,4}", headers.get("Csign-Timeout", "")):
            complain(f"{path}: Csign-Timeout is {headers.get('Csign-Timeout')}")
        if path == "/v1/signatures":
            items = json.loads(body)["requests"]
            keys = [item["idempotency_key"] for item in items]
            if not 1 <= len(items) <= 64 or len(set(keys)) != len(keys):
                complain(f"a batch of {len(items)} with keys {keys}")
