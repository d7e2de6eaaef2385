# SPDX-License-Identifier: Apache-2.0
"""An account that talks to the service itself, as a sidecar would and without one: for what only the service can
refuse, and for requests that no sidecar would send."""

import base64
import http.client
import json
import secrets
import ssl
import time
import urllib.parse

FORM = "application/x-www-form-urlencoded"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_ecdsa(der, size=32):
    """r || s of a DER signature: what a JWT carries."""
    r_length = der[3]
    r = der[4:4 + r_length]
    s = der[6 + r_length:]
    return b"".join(int.from_bytes(n, "big").to_bytes(size, "big") for n in (r, s))


class Account:
    """A new account with its own P-256 key and self-signed TLS certificate."""

    def __init__(self, stack, path, folder):
        self.stack, self.path, self.bearer = stack, path, None
        name = path.replace("/", "-")
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.crt"
        openssl = stack.plain_openssl
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-subj", "/CN=account", "-days", "2", "-out", self.certificate)
        public = openssl("pkey", "-in", self.key, "-pubout").stdout.decode()
        self.record = stack.api("POST", "/v1/accounts", {"path": path, "public_key": public}, status=201)
        self.id = self.record["id"]

    def jwt(self, **claims):
        now = int(time.time())
        payload = {"iss": self.id, "sub": self.id, "aud": self.stack.url, "iat": now, "exp": now + 120,
                   "jti": secrets.token_hex(16)} | claims
        text = b64url(b'{"alg":"ES256","typ":"JWT"}') + "." + b64url(json.dumps(payload).encode())
        der = self.stack.plain_openssl("dgst", "-sha256", "-sign", self.key, input=text.encode()).stdout
        return text + "." + b64url(raw_ecdsa(der))

    def request(self, method, path, body=None, content_type="application/json", headers=None, certificate=True):
        """(status, headers, parsed body)"""
        context = ssl.create_default_context(cafile=str(self.stack.ca))
        if certificate:
            context.load_cert_chain(self.certificate, self.key)
        connection = http.client.HTTPSConnection("localhost", self.stack.port, timeout=30, context=context)
        all_headers = dict(headers or {})
        if body is not None:
            all_headers["Content-Type"] = content_type
        if self.bearer:
            all_headers["Authorization"] = f"Bearer {self.bearer}"
        try:
            connection.request(method, path, body, all_headers)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if "json" in (reply.getheader("Content-Type") or ""):
            content = json.loads(content)
        return reply.status, reply.headers, content

    def token(self, assertion=None, **options):
        body = urllib.parse.urlencode({"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE,
                                       "client_assertion": assertion or self.jwt()})
        return self.request("POST", "/v1/oauth/token", body, FORM, **options)

    def login(self):
        status, _, body = self.token()
        assert status == 200, body
        self.bearer = body["access_token"]
        return self

    def sign(self, key_id, digest, scheme="ecdsa", hash_name="SHA256", version=1, **more):
        """(status, headers, body) of one POST .../signatures"""
        item = {"version": version, "scheme": scheme, "hash": hash_name,
                "digest": base64.b64encode(digest).decode()} | more
        return self.request("POST", f"/v1/keys/{key_id}/signatures", json.dumps(item))
