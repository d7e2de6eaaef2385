# SPDX-License-Identifier: Apache-2.0
"""A service that gives tokens and describes keys as it should, and answers requests for signatures with whatever a test
says: what a sidecar must survive, and no real service would send."""

import http.server
import json
import ssl
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, content_type="application/json", length=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200, json.dumps(self.server.key).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v1/oauth/token":
            self.reply(200, json.dumps({"access_token": "cst_" + "A" * 43, "token_type": "Bearer",
                                        "expires_in": 900}).encode())
            return
        self.server.asked.append(json.loads(body))
        self.close_connection = not self.server.answer(self, self.server.asked[-1])


class OddService:
    """answer(handler, request): writes the answer; false: the connection ends."""

    def __init__(self, certificate, private_key, key):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, private_key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.key, self.server.asked, self.server.answer = key, [], None
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def asked(self):
        return self.server.asked

    def answers(self, answer):
        self.server.asked.clear()
        self.server.answer = answer

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
