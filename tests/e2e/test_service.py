# SPDX-License-Identifier: Apache-2.0
"""The service's HTTP API, as any client sees it: who may do what, what a refusal looks like, and what the log has."""

import base64
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import sqlite3
import ssl
import time
import urllib.parse
import uuid

import pytest

from stack import SERVICE_UID, Stack, as_user

REQUEST_ID = re.compile(r"^req_[a-z2-7]{26}$")
DIGEST = hashlib.sha256(b"what is signed").digest()
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
UNKNOWN_KEY = "key_" + "a" * 26

# Every route, with a right kind of id where its path wants one.
ROUTES = [
    ("GET", "/v1/whoami"), ("GET", "/v1/keys"), ("GET", "/v1/keys/resolve?path=acme/mobile/release"),
    ("GET", "/v1/keys/" + UNKNOWN_KEY), ("POST", "/v1/keys"), ("PATCH", "/v1/keys/" + UNKNOWN_KEY),
    ("GET", f"/v1/keys/{UNKNOWN_KEY}/versions"), ("POST", f"/v1/keys/{UNKNOWN_KEY}/versions"),
    ("PATCH", f"/v1/keys/{UNKNOWN_KEY}/versions/1"),
    ("POST", f"/v1/keys/{UNKNOWN_KEY}/signatures"), ("POST", "/v1/signatures"), ("GET", "/v1/authorities?tsg=acme"),
    ("GET", "/v1/tsgs"), ("GET", "/v1/tsgs/tsg_" + "a" * 26), ("POST", "/v1/tsgs"), ("GET", "/v1/accounts"),
    ("GET", "/v1/accounts/acc_" + "a" * 26), ("POST", "/v1/accounts"), ("PATCH", "/v1/accounts/acc_" + "a" * 26),
    ("DELETE", "/v1/accounts/acc_" + "a" * 26), ("POST", f"/v1/accounts/acc_{'a' * 26}/keys"),
    ("DELETE", f"/v1/accounts/acc_{'a' * 26}/keys/ack_{'a' * 26}"),
    ("GET", f"/v1/accounts/acc_{'a' * 26}/enrollments"), ("POST", f"/v1/accounts/acc_{'a' * 26}/enrollments"),
    ("DELETE", f"/v1/accounts/acc_{'a' * 26}/enrollments/enr_{'a' * 26}"),
    ("GET", "/v1/whoami/keys"), ("POST", "/v1/whoami/keys"), ("PATCH", "/v1/whoami/keys/ack_" + "a" * 26),
    ("GET", "/v1/audit/records"), ("GET", "/v1/audit/head"), ("GET", "/v1/keks"), ("POST", "/v1/keks/reseal"),
]
ACCOUNT_MAY = {"/v1/whoami", "/v1/keys", "/v1/keys/resolve", "/v1/authorities", "/v1/signatures"}


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64(data):
    return base64.b64encode(data).decode()


def der_to_raw(der, half):
    """ECDSA-Sig-Value to r || s, as JWS wants it."""
    at, numbers = (2 if der[1] < 0x80 else 3), []
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], "big"))
        at += 2 + length
    return b"".join(n.to_bytes(half, "big") for n in numbers)


class Client:
    """An account's client: a key, a self-signed certificate of it, and one warm connection."""

    def __init__(self, stack, folder, path=None, algorithm=("EC", "ec_paramgen_curve:P-256"), alg="ES256", days=None):
        self.stack, self.folder, self.alg = stack, folder, alg
        self.key, self.cert = folder / "key.pem", folder / "cert.pem"
        folder.mkdir(parents=True, exist_ok=True)
        options = ["-pkeyopt", algorithm[1]] if algorithm[1] else []
        stack.plain_openssl("genpkey", "-algorithm", algorithm[0], *options, "-out", self.key)
        stack.plain_openssl("req", "-x509", "-new", "-key", self.key, "-subj", "/CN=client", "-days", "1", "-out", self.cert)
        self.public = stack.plain_openssl("pkey", "-in", self.key, "-pubout").stdout.decode()
        self.connection, self.token, self.id = None, None, None
        if path:
            body = {"path": path, "public_key": self.public} | ({"validity_days": days} if days else {})
            self.account = stack.api("POST", "/v1/accounts", body, status=201)
            self.id = self.account["id"]

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def connect(self, certificate=True):
        context = ssl.create_default_context(cafile=str(self.stack.ca))
        if certificate:
            context.load_cert_chain(self.cert, self.key)
        return http.client.HTTPSConnection("localhost", self.stack.port, timeout=30, context=context)

    def send(self, method, path, body=None, headers=None, connection=None):
        """(status, headers, body) over the warm connection."""
        if connection is None:
            self.connection = self.connection or self.connect()
            connection = self.connection
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        content = reply.read()
        if "json" in (reply.getheader("Content-Type") or ""):
            content = json.loads(content)
        return reply.status, reply.headers, content

    def api(self, method, path, body=None, token=None, **more):
        headers = {"Authorization": f"Bearer {token or self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.send(method, path, body, headers, **more)

    def assertion(self, claims=None, header=None, drop=(), raw_claims=None, raw_header=None, signature=None):
        now = int(time.time())
        claims = {"iss": self.id, "sub": self.id, "aud": self.stack.url, "iat": now, "exp": now + 120,
                  "jti": uuid.uuid4().hex} | (claims or {})
        for name in drop:
            del claims[name]
        header = {"alg": self.alg, "typ": "JWT"} | (header or {})
        text = (b64url((raw_header or json.dumps(header)).encode()) + "."
                + b64url((raw_claims or json.dumps(claims)).encode()))
        return text + "." + b64url(self.sign(text.encode()) if signature is None else signature)

    def sign(self, data):
        source = self.folder / "to-sign"
        source.write_bytes(data)
        if self.alg == "EdDSA":
            return self.stack.plain_openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", source).stdout
        hash_name = "-sha384" if self.alg == "ES384" else "-sha256"
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"] if self.alg == "PS256" else []
        der = self.stack.plain_openssl("dgst", hash_name, *pss, "-sign", self.key, source).stdout
        return der_to_raw(der, {"ES256": 32, "ES384": 48}[self.alg]) if self.alg.startswith("ES") else der

    def ask_token(self, assertion=None, form=None, **more):
        fields = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE,
                  "client_assertion": assertion or self.assertion()} | (form or {})
        fields = {k: v for k, v in fields.items() if v is not None}
        return self.send("POST", "/v1/oauth/token", urllib.parse.urlencode(fields),
                         {"Content-Type": "application/x-www-form-urlencoded"}, **more)

    def login(self):
        status, _, body = self.ask_token()
        assert status == 200, body
        assert body["token_type"] == "Bearer" and body["expires_in"] == 900
        assert re.fullmatch(r"cst_[A-Za-z0-9_-]{43}", body["access_token"])
        self.token = body["access_token"]
        return self


def sign_item(key, /, **more):
    item = {"key": key["id"], "version": 1, "scheme": "ecdsa", "hash": "SHA256", "digest": b64(DIGEST)} | more
    return {k: v for k, v in item.items() if v is not None}


def check_problem(reply, status, name, rule=None):
    got, headers, body = reply
    assert got == status, body
    assert headers["Content-Type"] == "application/problem+json"
    assert body["type"] == f"urn:csign:error:{name}" and body["status"] == status
    assert body["title"] and body["detail"] and body["advice"]
    assert REQUEST_ID.match(body["request_id"]) and body["request_id"] == headers["X-Request-Id"]
    if rule is not None:
        assert body["rule"] == rule
    return body


def check_oauth_error(reply, status, error, rule=None):
    got, headers, body = reply
    assert got == status, body
    assert headers["Content-Type"] == "application/json"
    assert body["error"] == error and body["error_description"]
    assert body["request_id"] == headers["X-Request-Id"]
    if rule is not None:
        assert body["rule"] == rule
    return body


def public_pem(stack, key, folder):
    der, pem = folder / "public.der", folder / "public.pem"
    der.write_bytes(base64.b64decode(key["public_key"]))
    stack.plain_openssl("pkey", "-pubin", "-inform", "DER", "-in", der, "-out", pem)
    return pem


def check_signature(stack, key, signature, folder, digest=DIGEST, options=()):
    sig, data = folder / "signature", folder / "digest"
    sig.write_bytes(base64.b64decode(signature))
    data.write_bytes(digest)
    stack.plain_openssl("pkeyutl", "-verify", "-pubin", "-inkey", public_pem(stack, key, folder), "-sigfile", sig,
                        "-in", data, *options)


@pytest.fixture(scope="module")
def service():
    """Service and key store alone."""
    with Stack(sidecar=False) as s:
        yield s


@pytest.fixture
def client(service, tmp_path):
    c = Client(service, tmp_path / "client", f"acme/mobile/c-{uuid.uuid4().hex[:12]}").login()
    yield c
    c.close()


@pytest.fixture
def release(service):
    return service.keys["acme/mobile/release"]


# ---- tokens ----

@pytest.mark.parametrize("algorithm, alg", [
    (("EC", "ec_paramgen_curve:P-256"), "ES256"), (("EC", "ec_paramgen_curve:P-384"), "ES384"),
    (("RSA", "rsa_keygen_bits:2048"), "RS256"), (("RSA", "rsa_keygen_bits:3072"), "PS256"), (("ED25519", ""), "EdDSA"),
])
def test_each_kind_of_account_key_logs_in(service, tmp_path, algorithm, alg):
    c = Client(service, tmp_path, f"acme/mobile/kind-{alg.lower()}", algorithm, alg).login()
    status, _, body = c.api("GET", "/v1/whoami")
    c.close()
    assert status == 200
    assert body["principal"] == {"id": c.id, "type": "account", "name": f"acme/mobile/kind-{alg.lower()}"}
    assert body["tsg"]["path"] == "acme/mobile"


def test_a_wrong_method_learns_the_right_ones(service):
    for path, allowed in (("/v1/tsgs", "GET, POST"), ("/v1/whoami", "GET"), ("/v1/signatures", "POST")):
        for method in ("PUT", "TRACE"):
            status, headers, _ = service.api(method, path)
            assert (status, headers["Allow"]) == (405, allowed)
    assert "Allow" not in service.api("GET", "/v1/nothing")[1]


def test_metadata_names_the_token_endpoint(service):
    body = service.api("GET", "/.well-known/oauth-authorization-server", status=200)
    assert body["issuer"] == service.url and body["token_endpoint"] == service.url + "/v1/oauth/token"
    assert body["tls_client_certificate_bound_access_tokens"] is True


def test_an_assertion_is_used_once(client):
    assertion = client.assertion()
    assert client.ask_token(assertion)[0] == 200
    check_oauth_error(client.ask_token(assertion), 401, "invalid_client", "assertion-replay")


NOW = int(time.time())


@pytest.mark.parametrize("how, rule", [
    ({"claims": {"aud": "https://elsewhere:8443"}}, "assertion-audience"),
    ({"claims": {"aud": "{url}/v1/oauth/token"}}, "assertion-audience"),
    ({"claims": {"exp": NOW - 3600, "iat": NOW - 3700}}, "assertion-time"),
    ({"claims": {"exp": NOW + 86400, "iat": NOW}}, "assertion-time"),
    ({"claims": {"exp": NOW + 86400 + 60, "iat": NOW + 86400}}, "assertion-time"),
    ({"claims": {"nbf": NOW + 86400}}, "assertion-time"),
    ({"claims": {"sub": "acc_" + "a" * 26}}, "assertion-issuer"),
    ({"claims": {"iss": "acc_" + "a" * 26, "sub": "acc_" + "a" * 26}}, "client-key"),
    ({"header": {"alg": "none"}, "signature": b""}, "assertion-signature"),
    ({"header": {"alg": "HS256"}}, "assertion-signature"),
    ({"header": {"alg": "ES384"}}, "assertion-signature"),
    ({"header": {"alg": "RS256"}}, "assertion-signature"),
    ({"signature": bytes(64)}, "assertion-signature"),
    ({"signature": b"short"}, "assertion-signature"),
], ids=str)
def test_a_wrong_assertion_is_refused(service, client, how, rule):
    how = json.loads(json.dumps({k: v for k, v in how.items() if k != "signature"}).replace("{url}", service.url)) | (
        {"signature": how["signature"]} if "signature" in how else {})
    check_oauth_error(client.ask_token(client.assertion(**how)), 401, "invalid_client", rule)


@pytest.mark.parametrize("how", [
    {"claims": {"aud": ["a", "b"]}}, {"claims": {"exp": "soon"}}, {"claims": {"extra": 1}}, {"drop": ["jti"]}, {"drop": ["exp"]},
    {"drop": ["aud"]}, {"header": {"crit": ["exp"]}}, {"header": {"jwk": {}}}, {"raw_header": '{"alg":"none","alg":"ES256"}'},
    {"raw_claims": '{"iss":"a","iss":"b"}'}, {"raw_claims": "[]"}, {"claims": {"jti": "x" * 200}}, {"claims": {"jti": ""}},
], ids=str)
def test_a_malformed_assertion_is_refused(client, how):
    check_oauth_error(client.ask_token(client.assertion(**how)), 400, "invalid_request")


def test_a_malformed_token_request_is_refused(client):
    good = client.assertion()
    for form, error in [({"grant_type": "password"}, "unsupported_grant_type"), ({"grant_type": None}, "invalid_request"),
                        ({"client_assertion_type": "x"}, "invalid_request"), ({"client_assertion": "a.b"}, "invalid_request"),
                        ({"surprise": "1"}, "invalid_request")]:
        check_oauth_error(client.ask_token(good, form), 400, error)
    twice = "grant_type=client_credentials&grant_type=client_credentials"
    check_oauth_error(client.send("POST", "/v1/oauth/token", twice,
                                  {"Content-Type": "application/x-www-form-urlencoded"}), 400, "invalid_request")
    check_oauth_error(client.send("POST", "/v1/oauth/token", "{}", {"Content-Type": "application/json"}), 400,
                      "invalid_request")
    check_oauth_error(client.ask_token(good, {"client_id": "acc_" + "a" * 26}), 401, "invalid_client")


def test_the_assertion_must_be_by_the_key_of_the_connection(service, client, tmp_path):
    other = Client(service, tmp_path / "other", f"acme/mobile/o-{uuid.uuid4().hex[:12]}")
    stolen = client.assertion()
    check_oauth_error(other.ask_token(stolen), 401, "invalid_client", "client-key")
    check_oauth_error(client.ask_token(stolen, connection=client.connect(certificate=False)), 401, "invalid_client",
                      "client-key")
    forged = client.assertion()
    assert client.ask_token(forged)[0] == 200
    other.close()


def test_a_stolen_token_does_not_work_elsewhere(service, client, tmp_path):
    thief = Client(service, tmp_path / "thief", f"acme/mobile/t-{uuid.uuid4().hex[:12]}")
    body = check_problem(thief.api("GET", "/v1/whoami", token=client.token), 401, "Unauthenticated", "token-binding")
    assert client.token not in json.dumps(body)
    check_problem(client.api("GET", "/v1/whoami", connection=client.connect(certificate=False)), 401, "Unauthenticated",
                  "token-binding")
    assert client.api("GET", "/v1/whoami")[0] == 200
    thief.close()


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer cst_short", "Basic b3duZXI6eA==", "Bearer cst_" + "A" * 43,
                                   "Bearer csk_" + "A" * 43, "Bearer xyz_" + "A" * 43, "Bearer cst_" + "!" * 43])
def test_what_is_no_credential_is_refused(client, value):
    reply = client.send("GET", "/v1/whoami", None, {"Authorization": value} if value else {})
    check_problem(reply, 401, "Unauthenticated", "credential")
    assert reply[1]["WWW-Authenticate"] == "Bearer"


def test_every_route_wants_authentication(service, client):
    for method, path in ROUTES:
        body = "{}" if method in ("POST", "PATCH") else None
        check_problem(client.send(method, path, body, {"Content-Type": "application/json"}), 401, "Unauthenticated")


def test_an_account_does_not_administer(client):
    for method, path in ROUTES:
        if path.startswith("/v1/whoami/keys"):
            continue
        if path.split("?")[0] in ACCOUNT_MAY or path.startswith("/v1/keys/key_") and method != "PATCH":
            if method != "POST" or not path.endswith(("/keys", "/versions")):
                continue
        body = "{}" if method in ("POST", "PATCH") else None
        check_problem(client.api(method, path, body), 403, "NotPermitted", "role")


def test_an_attempt_to_administer_is_recorded(service, client):
    body = check_problem(client.api("POST", "/v1/keys", {"path": "acme/mobile/mine", "algorithm": "P-256"}), 403, "NotPermitted")
    (record,) = service.audit(request_id=body["request_id"])
    assert record["record"]["kind"] == "request.denied" and record["record"]["principal"]["id"] == client.id


def test_a_disabled_account_is_out_at_once(service, client):
    service.api("PATCH", f"/v1/accounts/{client.id}", {"state": "disabled"}, status=200)
    check_problem(client.api("GET", "/v1/whoami"), 401, "Unauthenticated")
    check_oauth_error(client.ask_token(), 401, "invalid_client", "account-state")
    service.api("PATCH", f"/v1/accounts/{client.id}", {"state": "enabled"}, status=200)
    check_problem(client.api("GET", "/v1/whoami"), 401, "Unauthenticated")  # the old token stays dead
    assert client.login().api("GET", "/v1/whoami")[0] == 200


def test_an_expired_token_is_refused(fresh_stack, tmp_path):
    """The database is the only clock that a test can turn: the token's end is moved while the service is down."""
    stack = fresh_stack(sidecar=False, keys={})
    client = Client(stack, tmp_path, "acme/mobile/late").login()
    stack.service.stop()
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        db.execute("UPDATE tokens SET expires = ?", (int((time.time() - 1) * 1e6),))
        db.commit()
    own_files(stack)
    stack.service.start()
    client.close()
    check_problem(client.api("GET", "/v1/whoami"), 401, "Unauthenticated", "token-expired")
    client.close()


def own_files(stack):
    """What sqlite3 made as the test's user belongs to the service's again."""
    owner = os.stat(stack.state)
    for path in stack.state.iterdir():
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)


# ---- signing ----

def test_one_signature(service, client, release, tmp_path):
    status, headers, body = client.api("POST", f"/v1/keys/{release['id']}/signatures", sign_item(release, key=None))
    assert status == 201, body
    assert body["request_id"] == headers["X-Request-Id"]
    check_signature(service, release, body["signature"], tmp_path)

    (record,) = service.audit(request_id=body["request_id"])
    entry = record["record"]
    assert (record["number"], record["hash"]) == (body["record"]["number"], body["record"]["hash"])
    assert entry["kind"] == "sign" and entry["result"] == "allowed" and entry["rule"] == "scope"
    assert entry["key"] == {"id": release["id"], "path": "acme/mobile/release", "tsg": release["tsg"], "version": 1,
                            "algorithm": "P-256"}
    assert entry["digest"] == DIGEST.hex() and entry["address"] == "127.0.0.1"
    assert entry["signature_sha256"] == hashlib.sha256(base64.b64decode(body["signature"])).hexdigest()


@pytest.mark.parametrize("scheme, hash_name, more, options", [
    ("rsa-pkcs1", "SHA256", {}, ["-pkeyopt", "digest:sha256"]),
    ("rsa-pkcs1", "SHA3-384", {}, ["-pkeyopt", "digest:sha3-384"]),
    ("rsa-pss", "SHA512", {}, ["-pkeyopt", "digest:sha512", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt",
                               "rsa_pss_saltlen:64"]),
    ("rsa-pss", "SHA256", {"salt_length": 20, "mgf1_hash": "SHA384"},
     ["-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:20", "-pkeyopt",
      "rsa_mgf1_md:sha384"]),
])
def test_rsa_schemes(service, client, tmp_path, scheme, hash_name, more, options):
    key = service.keys["acme/mobile/firmware"]
    digest = hashlib.new(hash_name.lower().replace("sha3-", "sha3_"), b"x").digest()
    status, _, body = client.api("POST", f"/v1/keys/{key['id']}/signatures",
                                 sign_item(key, key=None, scheme=scheme, hash=hash_name, digest=b64(digest), **more))
    assert status == 201, body
    check_signature(service, key, body["signature"], tmp_path, digest, options)


def test_a_batch_is_decided_item_by_item(service, client, release, tmp_path):
    other = service.keys["other/secret"]
    site = service.keys["acme/web/site"]
    odd = [
        (sign_item(other), "KeyNotFound", "scope"),
        (sign_item(site), "KeyNotFound", "scope"),
        (sign_item(release, key=UNKNOWN_KEY), "KeyNotFound", "scope"),
        (sign_item(release, version=7), "KeyNotFound", "scope"),
        (sign_item(release, scheme="rsa-pkcs1"), "UnsupportedScheme", None),
        (sign_item(release, scheme="magic"), "UnsupportedScheme", None),
        (sign_item(release, hash="SHA1"), "UnsupportedScheme", None),
        (sign_item(release, hash="MD5"), "UnsupportedScheme", None),
        (sign_item(release, digest=b64(DIGEST[:-1])), "BadDigest", None),
        (sign_item(release, digest="***"), "BadRequest", None),
        (sign_item(release, salt_length=3), "BadRequest", None),
        (sign_item(release, surprise=1), "BadRequest", None),
        (sign_item(release, caller={"deep": {"er": 1}}), "BadRequest", None),
        (sign_item(release, caller={"exe": "x" * 4000}), "BadRequest", None),
        (sign_item(release, request_id="req_short"), "BadRequest", None),
        (sign_item(release, key="../../etc"), "BadRequest", None),
        (sign_item(release, digest=None), "BadRequest", None),
        ("not an object", "BadRequest", None),
    ]
    good = [sign_item(release, caller={"uid": 1000, "exe": f"/usr/bin/tool-{i}"}) for i in range(64 - len(odd))]
    requests = [o[0] for o in odd] + good
    before = service.metrics()
    status, _, body = client.api("POST", "/v1/signatures", {"requests": requests})
    after = service.metrics()
    assert status == 200 and len(body["results"]) == 64

    ids = set()
    for (_, name, rule), result in zip(odd, body["results"]):
        problem = result["problem"]
        assert problem["type"] == f"urn:csign:error:{name}", problem
        assert rule is None or problem["rule"] == rule
        assert "acme/web" not in problem["detail"] and "other" not in problem["detail"]
        ids.add(problem["request_id"])
    for result in body["results"][len(odd):]:
        check_signature(service, release, result["signature"], tmp_path)
        ids.add(result["request_id"])

    assert len(ids) == 64
    assert after["audit_records_total"] - before["audit_records_total"] == 64
    assert after["audit_commits_total"] - before["audit_commits_total"] == 1
    assert after["signatures_total"] - before["signatures_total"] == len(good)
    recorded = {r["record"].get("request_id"): r["record"] for r in service.audit()}
    assert ids <= set(recorded)
    hidden = recorded[body["results"][0]["problem"]["request_id"]]
    assert "path" not in hidden["key"] and hidden["result"] == "KeyNotFound"


@pytest.mark.parametrize("count", [0, 65])
def test_a_batch_has_1_to_64_items(client, release, count):
    check_problem(client.api("POST", "/v1/signatures", {"requests": [sign_item(release)] * count}), 400, "BadRequest")


def test_the_caller_names_the_request(service, client, release):
    mine = "req_" + "".join(b64url(os.urandom(40)).lower().translate({ord(c): "b" for c in "0189-_"})[:26])
    status, headers, body = client.send("POST", "/v1/signatures", json.dumps({"requests": [sign_item(release, request_id=mine)]}), {
        "Authorization": f"Bearer {client.token}", "Content-Type": "application/json", "X-Request-Id": mine})
    assert status == 200 and headers["X-Request-Id"] == mine and body["results"][0]["request_id"] == mine
    status, headers, _ = client.send("GET", "/v1/whoami", None, {"Authorization": f"Bearer {client.token}",
                                                                "X-Request-Id": "req_evil\tname"})
    assert status == 200 and REQUEST_ID.match(headers["X-Request-Id"])


def test_an_administrator_does_not_sign(service, client, release):
    problem = check_problem(client.api("POST", f"/v1/keys/{release['id']}/signatures", sign_item(release, key=None),
                                       token=service.api_key), 403, "NotPermitted", "separation-of-duties")
    (record,) = service.audit(request_id=problem["request_id"])
    assert record["record"]["result"] == "NotPermitted" and record["record"]["rule"] == "separation-of-duties"


def test_a_disabled_key_signs_no_more_at_once(service, client):
    key = service.add_key(f"acme/mobile/k-{uuid.uuid4().hex[:8]}")
    for _ in range(5):
        path = f"/v1/keys/{key['id']}/signatures"
        assert client.api("POST", path, sign_item(key, key=None))[0] == 201
        service.api("PATCH", f"/v1/keys/{key['id']}", {"state": "disabled"}, status=200)
        check_problem(client.api("POST", path, sign_item(key, key=None)), 403, "KeyDisabled", "key-state")
        service.api("PATCH", f"/v1/keys/{key['id']}", {"state": "enabled"}, status=200)


def test_a_steady_signer_costs_no_lookups(service, client, release):
    """G9: no handshake, token lookup or key read a signature."""
    body = {"requests": [sign_item(release)]}
    client.api("POST", "/v1/signatures", body)
    before = service.metrics()
    for _ in range(20):
        assert client.api("POST", "/v1/signatures", body)[0] == 200
    after = service.metrics()
    service_side = {"tls_handshakes_total": 1, "token_verifications_total": 0, "key_cache_misses_total": 0,
                    "assertion_verifications_total": 0}  # one handshake: that of the metrics' reader
    for name, most in service_side.items():
        assert after[name] - before[name] <= most, name
    assert after["signatures_total"] - before["signatures_total"] == 20


def test_concurrent_signers_share_commits(service, tmp_path, release):
    clients = [Client(service, tmp_path / f"c{i}", f"acme/mobile/many-{uuid.uuid4().hex[:8]}").login() for i in range(8)]
    body = json.dumps({"requests": [sign_item(release)]})
    before = service.metrics()

    def work(c):
        for _ in range(40):
            assert c.api("POST", "/v1/signatures", body)[0] == 200
        c.close()

    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, clients))
    after = service.metrics()
    assert after["audit_records_total"] - before["audit_records_total"] == 320
    assert after["audit_commits_total"] - before["audit_commits_total"] < 320
    check_chain(service)


# ---- scope ----

@pytest.fixture(scope="module")
def scopes(service, tmp_path_factory):
    """An account at each place of the tree."""
    folder = tmp_path_factory.mktemp("scopes")
    made = {tsg: Client(service, folder / tsg.replace("/", "-"), f"{tsg}/scoped").login()
            for tsg in ("acme", "acme/mobile", "acme/web", "other")}
    yield made
    for c in made.values():
        c.close()


SEES = {
    "acme": {"acme/mobile/release", "acme/mobile/firmware", "acme/web/site"},
    "acme/mobile": {"acme/mobile/release", "acme/mobile/firmware"},
    "acme/web": {"acme/web/site"},
    "other": {"other/secret"},
}


@pytest.mark.parametrize("tsg", SEES)
def test_reach_is_the_own_tsg_and_below(service, scopes, tsg):
    c = scopes[tsg]
    listed = {k["path"] for k in c.api("GET", "/v1/keys?limit=200")[2]["keys"]}
    assert listed & set(service.key_specs) == SEES[tsg]
    for path in service.key_specs:
        key, reaches = service.keys[path], path in SEES[tsg]
        by_id = c.api("GET", f"/v1/keys/{key['id']}")
        by_path = c.api("GET", f"/v1/keys/resolve?path={path}")
        scheme = "ecdsa" if key["algorithm"] == "P-256" else "rsa-pkcs1"
        signed = c.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None, scheme=scheme))
        if reaches:
            assert by_id[0] == by_path[0] == 200 and signed[0] == 201
            assert by_id[2] == by_path[2] == {k: v for k, v in key.items()}
        else:
            check_problem(by_id, 404, "KeyNotFound", "scope")
            check_problem(by_path, 403, "OutOfScope", "scope")
            check_problem(signed, 404, "KeyNotFound", "scope")


def test_what_is_out_of_scope_looks_the_same_whether_it_exists_or_not(scopes):
    c = scopes["acme/mobile"]

    def shape(reply):
        return reply[0], {k: v for k, v in reply[2].items() if k not in ("request_id", "detail")}

    real, fake = "acme/web/site", "acme/web/nothing"
    assert shape(c.api("GET", f"/v1/keys/resolve?path={real}")) == shape(c.api("GET", f"/v1/keys/resolve?path={fake}"))
    check_problem(c.api("GET", "/v1/keys/resolve?path=acme/mobile/nothing"), 404, "KeyNotFound")
    check_problem(c.api("GET", "/v1/keys/resolve?path=acme/mobiles/release"), 403, "OutOfScope")
    check_problem(c.api("GET", "/v1/keys/resolve?path=acme"), 403, "OutOfScope")
    assert c.api("GET", "/v1/keys?prefix=acme/web")[2]["keys"] == []
    check_problem(c.api("GET", "/v1/authorities?tsg=other"), 403, "OutOfScope")


def test_authorities_verify_the_keys_certificates(service, scopes, tmp_path):
    status, _, body = scopes["acme/mobile"].api("GET", "/v1/authorities?tsg=acme/mobile")
    assert status == 200
    ca, leaf = tmp_path / "ca.pem", tmp_path / "leaf.der"
    ca.write_text(body["certificates"])
    leaf.write_bytes(base64.b64decode(service.keys["acme/mobile/release"]["certificates"][0]))
    pem = tmp_path / "leaf.pem"
    service.plain_openssl("x509", "-inform", "DER", "-in", leaf, "-out", pem)
    service.plain_openssl("verify", "-x509_strict", "-purpose", "any", "-CAfile", ca, pem)
    text = service.plain_openssl("x509", "-in", pem, "-noout", "-text").stdout.decode()
    assert "Code Signing" in text and "Digital Signature" in text and "CA:FALSE" in text


# ---- administration ----

def test_paging_gives_each_key_once(service):
    names = sorted(f"acme/web/page-{i}" for i in range(5))
    for name in names:
        if name not in service.keys:
            service.add_key(name, certificate="none")
    seen, cursor = [], ""
    while True:
        page = service.api("GET", f"/v1/keys?prefix=acme/web&limit=2&cursor={cursor}", status=200)
        assert len(page["keys"]) <= 2
        seen += [k["path"] for k in page["keys"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == sorted(seen) and len(seen) == len(set(seen)) and set(names) <= set(seen)
    assert service.api("GET", "/v1/keys/resolve?path=" + names[0], status=200)["certificates"] == []


@pytest.mark.parametrize("body", [
    {"path": "acme/mobile/release", "algorithm": "P-256"}, {"path": "ACME/Mobile/Release", "algorithm": "P-256"},
    {"path": "acme/mobile", "algorithm": "P-256"},
])
def test_a_taken_name_is_said_so(service, client, body):
    check_problem(client.api("POST", "/v1/keys", body, token=service.api_key), 409, "AlreadyExists")
    if body["path"] == "acme/mobile/release":
        check_problem(client.api("POST", "/v1/tsgs", {"path": body["path"]}, token=service.api_key), 409, "AlreadyExists")


@pytest.mark.parametrize("method, path, body, status, name", [
    ("POST", "/v1/keys", {"path": "nowhere/key", "algorithm": "P-256"}, 404, "NotFound"),
    ("POST", "/v1/keys", {"path": "key", "algorithm": "P-256"}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/../other/key", "algorithm": "P-256"}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/k", "algorithm": "DSA"}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/k", "algorithm": "P-256", "validity_days": 461}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/k", "algorithm": "P-256", "subject": "x" * 65}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/k", "algorithm": "P-256", "subject": "a\nb"}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/k"}, 400, "BadRequest"),
    ("POST", "/v1/keys", {"path": "acme/k", "algorithm": "P-256", "surprise": True}, 400, "BadRequest"),
    ("POST", "/v1/keys", '{"path":"acme/k","path":"acme/l","algorithm":"P-256"}', 400, "BadRequest"),
    ("POST", "/v1/keys", '{"path":"acme/k\\u0000","algorithm":"P-256"}', 400, "BadRequest"),
    ("POST", "/v1/keys", "[" * 100 + "]" * 100, 400, "BadRequest"),
    ("POST", "/v1/keys", '{"path":"acme/k","algorithm":"P-256"} x', 400, "BadRequest"),
    ("POST", "/v1/keys", "", 400, "BadRequest"),
    ("POST", "/v1/keys", b"\xff\xfe", 400, "BadRequest"),
    ("POST", "/v1/tsgs", {"path": "acme/a/b"}, 404, "NotFound"),
    ("POST", "/v1/tsgs", {"path": "acme"}, 409, "AlreadyExists"),
    ("POST", "/v1/tsgs", {"path": ""}, 400, "BadRequest"),
    ("POST", "/v1/tsgs", {"path": "/".join("abcdefghijklmnopqrst")}, 400, "BadRequest"),
    ("POST", "/v1/accounts", {"path": "acme/x", "public_key": "nonsense"}, 400, "BadRequest"),
    ("POST", "/v1/accounts", {"path": "x", "public_key": "nonsense"}, 400, "BadRequest"),
    ("PATCH", "/v1/keys/" + UNKNOWN_KEY, {"state": "enabled"}, 404, "KeyNotFound"),
    ("PATCH", "/v1/keys/" + UNKNOWN_KEY, {"state": "destroyed"}, 400, "BadRequest"),
    ("GET", "/v1/keys?limit=0", None, 400, "BadRequest"), ("GET", "/v1/keys?limit=201", None, 400, "BadRequest"),
    ("GET", "/v1/keys?limit=-1", None, 400, "BadRequest"), ("GET", "/v1/keys?limit=2&limit=3", None, 400, "BadRequest"),
    ("GET", "/v1/keys?surprise=1", None, 400, "BadRequest"), ("GET", "/v1/keys?prefix=%zz", None, 400, "BadRequest"),
    ("GET", "/v1/keys?prefix=a%00b", None, 400, "BadRequest"), ("GET", "/v1/keys/resolve", None, 400, "BadRequest"),
    ("GET", "/v1/audit/records?after=x", None, 400, "BadRequest"), ("GET", "/v1/accounts/acc_nope", None, 404, "NotFound"),
    ("GET", "/v1/nothing", None, 404, "NotFound"), ("GET", "/v1/keys/", None, 404, "NotFound"),
    ("GET", "/v1/keys/a/b/c", None, 404, "NotFound"), ("GET", "//v1/keys", None, 400, "BadRequest"),
    ("DELETE", "/v1/keys", None, 405, "BadRequest"), ("PUT", "/v1/whoami", None, 405, "BadRequest"),
    ("GET", "/v1/signatures", None, 405, "BadRequest"), ("OPTIONS", "/v1/keys", None, 405, "BadRequest"),
], ids=lambda v: str(v)[:40])
def test_a_bad_request_is_a_problem(service, client, method, path, body, status, name):
    check_problem(client.api(method, path, body, token=service.api_key), status, name)
    client.close()


def test_bodies_have_limits(service, client, release):
    big = json.dumps({"path": "acme/k", "algorithm": "P-256", "description": "x" * 70000})
    check_problem(client.api("POST", "/v1/keys", big, token=service.api_key), 413, "TooLarge")
    batch = json.dumps({"requests": [sign_item(release, surprise="x" * 4096) for _ in range(64)]})
    assert len(batch) > 256 * 1024
    check_problem(client.api("POST", "/v1/signatures", batch), 413, "TooLarge")
    check_problem(client.api("GET", "/v1/whoami", "{}"), 413, "TooLarge")
    check_problem(client.api("POST", "/v1/keys", "x" * 1_000_000), 413, "TooLarge")
    client.close()
    check_problem(client.send("GET", "/v1/whoami", None, {"X-Long": "x" * 20000}), 413, "TooLarge")
    client.close()
    assert client.api("GET", "/v1/whoami")[0] == 200


# ---- the log ----

def check_chain(stack):
    records, previous = stack.audit(), bytes(32)
    for number, r in enumerate(records, 1):
        assert r["number"] == number and r["previous"] == previous.hex()
        previous = hashlib.sha256(previous + r["entry"].encode()).digest()
        assert r["hash"] == previous.hex()
    return records


def test_the_log_is_a_chain_and_filters_find(service, client, release):
    client.api("POST", f"/v1/keys/{release['id']}/signatures", sign_item(release, key=None))
    records = check_chain(service)
    head = service.api("GET", "/v1/audit/head", status=200)
    assert head["number"] >= len(records)
    kinds = {r["record"]["kind"] for r in records}
    assert {"service.init", "tsg.create", "key.create", "account.create", "token.issue", "sign"} <= kinds
    mine = service.audit(key=release["id"])
    assert mine and all(r["record"].get("key", {}).get("id") == release["id"] or r["record"]["kind"] == "key.create"
                        for r in mine)


def test_no_secret_is_in_the_database_or_the_log(service, client):
    content = b"".join(p.read_bytes() for p in service.state.iterdir() if p.name.startswith("csign.db"))
    for secret in (client.token, service.api_key):
        assert secret.encode() not in content and secret not in service.service.log()
        assert hashlib.sha256(secret.encode()).digest() in content
    assert (service.state / "tls.key").stat().st_mode & 0o777 == 0o600
    assert (service.state / "csign.db").stat().st_mode & 0o077 == 0


def test_a_changed_record_is_noticed(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={})
    stack.service.stop()
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        db.execute("UPDATE audit SET entry = replace(entry, 'acme', 'evil') WHERE number = 2")
        db.commit()
    own_files(stack)
    stack.service.start()
    with pytest.raises(AssertionError):
        check_chain(stack)


def test_kill_leaves_no_signature_without_its_record(fresh_stack, tmp_path):
    """I2, at the service's own edge: whatever a client holds is in the log after SIGKILL."""
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/release": "P-256"})
    key = stack.keys["acme/mobile/release"]
    body = json.dumps({"requests": [sign_item(key)] * 4})
    held = []

    def work(c):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while True:
                status, _, answer = c.api("POST", "/v1/signatures", body)
                held.extend(r for r in answer["results"] if status == 200 and "signature" in r)

    clients = [Client(stack, tmp_path / f"c{i}", f"acme/mobile/victim-{i}") for i in range(4)]
    for _ in range(3):
        for c in clients:
            c.close()
            c.login()
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
            running = [pool.submit(work, c) for c in clients]
            enough = len(held) + 100
            deadline = time.monotonic() + 30
            while len(held) < enough and time.monotonic() < deadline:
                time.sleep(0.005)
            stack.service.kill()
            concurrent.futures.wait(running, 30)
        stack.service.start()
    records = {r["number"]: r for r in check_chain(stack)}
    assert len(held) >= 300
    for r in held:
        entry = records[r["record"]["number"]]
        assert entry["hash"] == r["record"]["hash"] and entry["record"]["request_id"] == r["request_id"]
        assert entry["record"]["signature_sha256"] == hashlib.sha256(base64.b64decode(r["signature"])).hexdigest()


# ---- trouble ----

def test_without_the_key_store_nothing_is_signed_and_it_is_said(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/release": "P-256"})
    client = Client(stack, tmp_path, "acme/mobile/c").login()
    key = stack.keys["acme/mobile/release"]
    path, body = f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None)
    assert client.api("POST", path, body)[0] == 201
    stack.keystore.kill()
    problem = check_problem(client.api("POST", path, body), 503, "KeystoreUnavailable")
    (record,) = stack.audit(request_id=problem["request_id"])
    assert record["record"]["result"] == "KeystoreUnavailable"
    stack.keystore.start()
    assert client.api("POST", path, body)[0] == 201
    client.close()


@pytest.mark.root
def test_a_full_disk_stops_signing_and_it_recovers(fresh_stack, tmp_path):
    """The database's file system is a small tmpfs, filled up and emptied again."""
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/release": "P-256"})
    client = Client(stack, tmp_path, "acme/mobile/c").login()
    key = stack.keys["acme/mobile/release"]
    path, body = f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None)
    stack.service.stop()
    client.close()
    copy = tmp_path / "copy"
    stack.run(["cp", "-a", stack.state, copy])
    stack.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", stack.state])
    try:
        stack.run(["sh", "-c", f"cp -a {copy}/. {stack.state}/"])
        stack.service.start()
        assert client.api("POST", path, body)[0] == 201
        filler = stack.state / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
        held = []
        for _ in range(200):
            status, _, answer = client.api("POST", "/v1/signatures", {"requests": [sign_item(key)] * 16})
            assert status == 200
            problems = [r["problem"] for r in answer["results"] if "problem" in r]
            held += [r for r in answer["results"] if "signature" in r]
            if problems:
                break
        assert problems and {p["type"] for p in problems} == {"urn:csign:error:AuditUnavailable"}
        assert all("signature" not in r for r in answer["results"])
        check_problem(client.api("POST", path, body), 503, "AuditUnavailable")
        filler.unlink()
        assert client.api("POST", path, body)[0] == 201
        numbers = {r["number"] for r in check_chain(stack)}
        assert {r["record"]["number"] for r in held} <= numbers
        stack.service.stop()
    finally:
        client.close()
        stack.service.kill()
        stack.run(["umount", stack.state])


def test_a_client_that_goes_away_does_no_harm(service, client, release):
    """Its connection ends while a worker runs its request."""
    body = json.dumps({"requests": [sign_item(service.keys["acme/mobile/firmware"], scheme="rsa-pkcs1")] * 16})
    for _ in range(10):
        gone = client.connect()
        gone.request("POST", "/v1/signatures", body, {"Authorization": f"Bearer {client.token}",
                                                      "Content-Type": "application/json"})
        gone.close()
    assert client.api("POST", "/v1/signatures", {"requests": [sign_item(release)]})[0] == 200
    assert service.api("GET", "/healthz", status=200) == {"status": "ok"}


def test_only_modern_tls_gets_an_answer(service):
    plain = http.client.HTTPConnection("localhost", service.port, timeout=10)
    with pytest.raises((OSError, http.client.HTTPException)):
        plain.request("GET", "/healthz")
        plain.getresponse()
    plain.close()
    for option, ok in [("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)]:
        done = service.plain_openssl("s_client", "-connect", f"localhost:{service.port}", "-CAfile", service.ca, option,
                                     "-cipher", "ALL:@SECLEVEL=0", "-verify_return_error", check=False)
        assert (done.returncode == 0) == ok, done.stdout


def test_more_clients_than_allowed_wait_their_turn(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={}, service_conf={"connections": 3})
    open_ones = []
    context = ssl.create_default_context(cafile=str(stack.ca))
    for _ in range(3):
        c = http.client.HTTPSConnection("localhost", stack.port, timeout=10, context=context)
        c.request("GET", "/healthz")
        assert c.getresponse().read()
        open_ones.append(c)
    late = http.client.HTTPSConnection("localhost", stack.port, timeout=1, context=context)
    with pytest.raises(OSError):
        while True:
            late.connect()
            open_ones.append(late)
            late = http.client.HTTPSConnection("localhost", stack.port, timeout=1, context=context)
    assert len(open_ones) <= 4
    for c in open_ones:
        c.close()
    assert stack.api("GET", "/healthz", status=200)


def test_an_idle_connection_is_closed(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={}, service_conf={"idle-timeout": "0.3"})
    context = ssl.create_default_context(cafile=str(stack.ca))
    idle = http.client.HTTPSConnection("localhost", stack.port, timeout=10, context=context)
    idle.connect()
    assert idle.sock.recv(1) == b""
    slow = http.client.HTTPSConnection("localhost", stack.port, timeout=10, context=context)
    slow.connect()
    slow.sock.sendall(b"POST /v1/oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx")
    assert slow.sock.recv(1) == b""
    idle.close()
    slow.close()


def test_a_denied_request_never_reaches_the_key_store(fresh_stack, tmp_path):
    """I3, seen from the key store's side."""
    stack = fresh_stack(sidecar=False, proxy=True)
    client = Client(stack, tmp_path, "acme/mobile/c").login()
    release, site = stack.keys["acme/mobile/release"], stack.keys["acme/web/site"]
    before = stack.proxy.count("sign")
    denied = [sign_item(site), sign_item(release, scheme="rsa-pss"), sign_item(release, digest=b64(b"short")),
              sign_item(release, version=9), sign_item(release, surprise=1)]
    status, _, body = client.api("POST", "/v1/signatures", {"requests": denied})
    assert status == 200 and all("problem" in r for r in body["results"])
    client.api("POST", "/v1/signatures", {"requests": [sign_item(release)]}, token=stack.api_key)
    client.api("POST", "/v1/signatures", {"requests": [sign_item(release)]}, token="cst_" + "A" * 43)
    stack.set_key_state("acme/mobile/release", "disabled")
    client.api("POST", "/v1/signatures", {"requests": [sign_item(release)]})
    assert stack.proxy.count("sign") == before
    stack.set_key_state("acme/mobile/release", "enabled")
    client.api("POST", "/v1/signatures", {"requests": [sign_item(release)]})
    assert stack.proxy.count("sign") == before + 1
    client.close()


def test_sigterm_finishes_what_runs(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/firmware": "RSA-3072"})
    client = Client(stack, tmp_path, "acme/mobile/c").login()
    key = stack.keys["acme/mobile/firmware"]
    body = json.dumps({"requests": [sign_item(key, scheme="rsa-pkcs1")] * 64})
    client.connection.request("POST", "/v1/signatures", body, {"Authorization": f"Bearer {client.token}",
                                                               "Content-Type": "application/json"})
    busy = stack.metrics()
    stack.service.signal(signal.SIGTERM)
    reply = client.connection.getresponse()
    answer = json.loads(reply.read())
    assert reply.status == 200 and all("signature" in r for r in answer["results"]) and busy
    client.close()
    assert stack.service.process.wait(20) == 0


def test_several_event_loops_serve(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/release": "P-256"}, service_conf={"event-loops": 3, "workers": 4})
    body = json.dumps({"requests": [sign_item(stack.keys["acme/mobile/release"])] * 2})
    clients = [Client(stack, tmp_path / f"c{i}", f"acme/mobile/loop-{i}").login() for i in range(6)]

    def work(c):
        for _ in range(30):
            assert c.api("POST", "/v1/signatures", body)[0] == 200

    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, clients))
    stack.service.restart()
    for c in clients:
        c.close()
        work(c)
        c.close()
    check_chain(stack)


# ---- init ----

def test_init_twice_changes_nothing(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={})
    before = {p.name: p.read_bytes() for p in stack.state.iterdir() if not p.name.startswith("csign.db-")}
    for options in ([], ["--api-key-out", stack.state / "second.key"]):
        done = stack.run([stack.program("csign-service"), "init", "--config", stack.folder / "csign-service.conf", *options],
                         check=False)
        assert done.returncode != 0 and b"is there already" in done.stderr
    after = {p.name: p.read_bytes() for p in stack.state.iterdir() if not p.name.startswith("csign.db-")}
    assert after == before


@pytest.mark.parametrize("argv, status", [(["--help"], 0), (["--version"], 0), (["--nope"], 2), ([], 2), (["serve"], 2),
                                          (["--config", "/nonexistent"], None), (["--config", "x", "--ready-fd", "y"], 2)])
def test_command_line(service, argv, status):
    done = service.run([service.program("csign-service"), *argv], check=False)
    assert done.returncode == status if status is not None else done.returncode != 0
    if status == 0:
        assert done.stdout and not done.stderr


def test_an_unknown_name_in_the_configuration_names_its_line(service, tmp_path):
    conf = tmp_path / "csign-service.conf"
    conf.write_text((service.folder / "csign-service.conf").read_text() + "\nlisten-port = 1\n")
    conf.chmod(0o644)
    done = service.run([service.program("csign-service"), "--config", conf], check=False)
    assert done.returncode == 2 and re.search(rb"csign-service.conf:\d+: unknown name 'listen-port'", done.stderr)


def test_the_tls_certificate_is_renewed(fresh_stack):
    """A new key and certificate that the same ca.pem verifies; the database is only read."""
    stack = fresh_stack(sidecar=False, keys={})
    before, ca = (stack.state / "tls.crt").read_bytes(), (stack.state / "ca.pem").read_bytes()
    stack.run(as_user(SERVICE_UID, [stack.program("csign-service"), "renew-tls", "--config",
                                    stack.folder / "csign-service.conf"]))
    assert (stack.state / "tls.crt").read_bytes() != before and (stack.state / "ca.pem").read_bytes() == ca
    assert (stack.state / "tls.key").stat().st_mode & 0o777 == 0o600
    stack.service.restart()
    assert stack.api("GET", "/healthz", status=200)
    check_chain(stack)
