# SPDX-License-Identifier: Apache-2.0
"""What no client of ours would send: broken HTTP, hostile JSON and names, too much of everything, nothing at all.
Each gets a clear error or an end, memory stays flat, and the service goes on.  Under ASan, too."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import resource
import socket
import ssl
import time

import pytest

from account import Account
from stack import Stack, wait_until

ANSWER_SECONDS = 20


@pytest.fixture(scope="module")
def service():
    with Stack(sidecar=False) as s:
        yield s


@pytest.fixture(autouse=True)
def alive(service):
    """After each of these the service serves."""
    pid = service.service.pid
    yield
    assert service.service.running() and service.service.pid == pid
    service.api("GET", "/healthz", status=200)


def connect(stack, timeout=ANSWER_SECONDS):
    context = ssl.create_default_context(cafile=str(stack.ca))
    return context.wrap_socket(socket.create_connection(("127.0.0.1", stack.port), timeout), server_hostname="localhost")


def read_answers(tls):
    """All that comes until the end, as (status, headers, body)s."""
    raw = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while more := tls.recv(65536):
            raw += more
    answers = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        body, raw = raw[:length], raw[length:]
        answers.append((int(lines[0].split()[1]), headers, body))
    return answers


def send_raw(stack, *pieces):
    with connect(stack) as tls:
        for piece in pieces:
            tls.sendall(piece)
        return read_answers(tls)


def check_refused(answers, status=400, name="BadRequest"):
    """One answer, a problem document of ours, and an end."""
    assert len(answers) == 1, answers
    got, headers, body = answers[0]
    problem = json.loads(body)
    assert got == status == problem["status"], problem
    assert headers["content-type"] == "application/problem+json" and headers["connection"] == "close"
    assert problem["type"] == f"urn:csign:error:{name}" and problem["detail"] and problem["advice"]
    assert problem["request_id"] == headers["x-request-id"]
    return problem


def head(line="GET /v1/whoami HTTP/1.1", *more, host=True):
    return "\r\n".join([line, *(["Host: localhost"] if host else []), *more, "", ""]).encode()


# ---- HTTP ----

BROKEN = {
    "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "an empty line first": b"\r\n" + head(),
    "a bare LF": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "a bare CR": b"GET /healthz HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "version 0.9": b"GET /healthz\r\n\r\n",
    "version 2": head("GET /healthz HTTP/2.0"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two blanks": head("GET  /healthz HTTP/1.1"),
    "a NUL in the target": head("GET /health\0z HTTP/1.1"),
    "a whole URL": head("GET https://localhost/healthz HTTP/1.1"),
    "an authority": head("GET //[ HTTP/1.1"),
    "connect": head("CONNECT localhost:22 HTTP/1.1"),
    "no host": head(host=False),
    "two hosts": head("GET /healthz HTTP/1.1", "Host: localhost"),
    "a folded header": head("GET /healthz HTTP/1.1", "X-A: b", " c"),
    "a blank before the colon": head("GET /healthz HTTP/1.1", "X-A : b"),
    "a header without a name": head("GET /healthz HTTP/1.1", ": b"),
    "a header without a colon": head("GET /healthz HTTP/1.1", "nothing"),
    "a NUL in a header": head("GET /healthz HTTP/1.1", "X-A: \0"),
    "two content lengths": head("POST /v1/keys HTTP/1.1", "Content-Length: 2", "Content-Length: 3") + b"{}x",
    "two equal content lengths": head("POST /v1/keys HTTP/1.1", "Content-Length: 2", "Content-Length: 2") + b"{}",
    "a list of lengths": head("POST /v1/keys HTTP/1.1", "Content-Length: 2, 2") + b"{}",
    "a negative length": head("POST /v1/keys HTTP/1.1", "Content-Length: -1"),
    "a length of hex": head("POST /v1/keys HTTP/1.1", "Content-Length: 0x2") + b"{}",
    "a length that overflows": head("POST /v1/keys HTTP/1.1", "Content-Length: 18446744073709551618") + b"{}",
    "length and chunks": head("POST /v1/keys HTTP/1.1", "Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks and length": head("POST /v1/keys HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 2") + b"0\r\n\r\n",
    "chunks": head("POST /v1/keys HTTP/1.1", "Transfer-Encoding: chunked") + b"2;x=y\r\n{}\r\n0\r\nX: y\r\n\r\n",
    "chunks in capitals": head("POST /v1/keys HTTP/1.1", "TRANSFER-ENCODING:\tChunked") + b"ffffffffffffffff\r\n",
    "another encoding": head("POST /v1/keys HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
    "two authorizations": head("GET /v1/whoami HTTP/1.1", "Authorization: Bearer a", "Authorization: Bearer b"),
    "two idempotency keys": head("POST /v1/keys HTTP/1.1", "Idempotency-Key: a", "Idempotency-Key: b"),
    "an expectation": head("POST /v1/keys HTTP/1.1", "Expect: something", "Content-Length: 0"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_http_gets_a_problem_and_an_end(service, how):
    assert check_refused(send_raw(service, BROKEN[how]))["rule"] == "http"


def test_broken_http_in_single_bytes(service):
    """However it is cut."""
    raw = BROKEN["two content lengths"][:-3]
    with connect(service) as tls:
        for n in range(len(raw)):
            tls.sendall(raw[n:n + 1])
        check_refused(read_answers(tls))


def test_a_good_request_in_single_bytes(service):
    raw = head("GET /healthz HTTP/1.1", "Connection: close")
    with connect(service) as tls:
        for n in range(len(raw)):
            tls.sendall(raw[n:n + 1])
        answers = read_answers(tls)
    assert [a[0] for a in answers] == [200]


@pytest.mark.parametrize("method", ["BREW", "get", "X" * 17, "PROPFIND"])
def test_a_method_that_is_none(service, method):
    check_refused(send_raw(service, head(f"{method} /healthz HTTP/1.1")), 405)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH"])
def test_a_method_that_is_not_for_this(service, method):
    answers = send_raw(service, head(f"{method} /healthz HTTP/1.1", "Connection: close"))
    assert [a[0] for a in answers] == [405]


@pytest.mark.parametrize("what", ["a long target", "a long header", "many headers", "a long head"])
def test_a_head_that_is_too_large(service, what):
    raw = {"a long target": head("GET /" + "a" * 9000 + " HTTP/1.1"),
           "a long header": head("GET /healthz HTTP/1.1", "X-A: " + "b" * 9000),
           "many headers": head("GET /healthz HTTP/1.1", *[f"X-{n}: y" for n in range(200)]),
           "a long head": head("GET /healthz HTTP/1.1", *["X-A: " + "b" * 4000] * 5)}[what]
    check_refused(send_raw(service, raw), 413, "TooLarge")


@pytest.mark.parametrize("length", [524289, 10 ** 9, 10 ** 17])
def test_a_body_that_is_too_large_is_refused_before_it_comes(service, length):
    raw = head("POST /v1/keys HTTP/1.1", f"Content-Length: {length}")
    check_refused(send_raw(service, raw + b"x" * 100000), 413, "TooLarge")


def test_requests_sent_ahead_are_not_taken_for_bodies(service):
    """What stands behind a request was not checked yet: it is not answered, and the connection ends."""
    one = head("GET /healthz HTTP/1.1")
    for behind in (one, b"garbage", BROKEN["two content lengths"]):
        answers = send_raw(service, one + behind)
        assert [a[0] for a in answers] == [200] and answers[0][1]["connection"] == "close"


def test_a_request_cannot_be_hidden_in_another(service):
    """Smuggling: the body of the first is its body, whatever is in it."""
    hidden = head("DELETE /v1/accounts/acc_x HTTP/1.1")
    raw = head("POST /v1/keys HTTP/1.1", f"Content-Length: {len(hidden)}", "Connection: close") + hidden
    answers = send_raw(service, raw)
    assert [a[0] for a in answers] == [401]


# ---- time ----

def test_slow_clients_are_not_waited_for(fresh_stack):
    """One byte now and then keeps nothing open: head and body have deadlines of their own."""
    stack = fresh_stack(sidecar=False, keys={}, service_conf={"head-timeout": "0.7", "body-timeout": "0.7"})

    def drip(raw):
        with connect(stack) as tls:
            tls.settimeout(0.05)
            begin = time.monotonic()
            got = b""
            for n in range(len(raw)):
                with contextlib.suppress(TimeoutError, ssl.SSLWantReadError):
                    tls.sendall(raw[n:n + 1])
                    got += tls.recv(1)
                    break
                assert time.monotonic() - begin < ANSWER_SECONDS
            tls.settimeout(ANSWER_SECONDS)
            while more := tls.recv(65536):
                got += more
            return got

    for raw in (head("GET /healthz HTTP/1.1", "X-A: " + "b" * 4000),
                head("POST /v1/keys HTTP/1.1", "Content-Length: 4000") + b"x" * 4000):
        got = drip(raw)
        assert got.startswith(b"HTTP/1.1 408 ") and b"did not arrive in time" in got

    with connect(stack) as tls:  # never begins
        assert tls.recv(1) == b""
    with socket.create_connection(("127.0.0.1", stack.port), ANSWER_SECONDS) as plain:  # no handshake
        assert plain.recv(1) == b""
    # One that works may take its time between requests.
    c = http.client.HTTPSConnection("localhost", stack.port, timeout=30,
                                    context=ssl.create_default_context(cafile=str(stack.ca)))
    for pause in (1.2, 0):
        c.request("GET", "/healthz")
        assert c.getresponse().read()
        time.sleep(pause)
    c.close()


# ---- how many ----

def rss(stack):
    with open(f"/proc/{stack.service.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def test_many_idle_connections(fresh_stack):
    """10,000, or as many as this machine's descriptors allow to both ends: the service serves beside them, and their
    memory comes back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = max(100, min(10000, hard - 500))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, n + 400), hard))
    stack = fresh_stack(sidecar=False, keys={}, service_conf={"connections": n + 200, "connections-per-address": 0,
                                                              "head-timeout": 600})
    idle, before = [], rss(stack)
    try:
        for _ in range(n):
            idle.append(socket.create_connection(("127.0.0.1", stack.port), 30))
        begin = time.monotonic()
        stack.api("GET", "/healthz", status=200)
        took, each = time.monotonic() - begin, (rss(stack) - before) / n
        print(f"{n} idle connections: {each / 1024:.1f} KiB each, an answer beside them after {took * 1000:.0f} ms")
        if stack.sanitize == "none":
            assert each < 64 * 1024
    finally:
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until("they are gone", lambda: len(list(_sockets(stack))) < 50, 60)
    stack.api("GET", "/healthz", status=200)


def _sockets(stack):
    folder = f"/proc/{stack.service.pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            if os.readlink(f"{folder}/{name}").startswith("socket:"):
                yield name


def test_an_address_has_so_many_connections_and_others_have_theirs(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={}, service_conf={"connections-per-address": 3})
    held = [connect(stack) for _ in range(3)]
    with pytest.raises((OSError, ssl.SSLError)):
        with connect(stack) as one_more:
            one_more.sendall(head("GET /healthz HTTP/1.1"))
            assert one_more.recv(1), "it was closed"
            raise AssertionError("a fourth connection was served")
    with socket.socket() as other:  # another address of the loopback
        other.bind(("127.0.0.2", 0))
        other.settimeout(ANSWER_SECONDS)
        other.connect(("127.0.0.1", stack.port))
        context = ssl.create_default_context(cafile=str(stack.ca))
        with context.wrap_socket(other, server_hostname="localhost") as tls:
            tls.sendall(head("GET /healthz HTTP/1.1"))
            assert tls.recv(12) == b"HTTP/1.1 200"
    held.pop().close()
    wait_until("its place is free again", lambda: _answers(stack), 20)
    for tls in held:
        tls.close()


def _answers(stack):
    with contextlib.suppress(OSError, ssl.SSLError):
        with connect(stack) as tls:
            tls.sendall(head("GET /healthz HTTP/1.1"))
            return tls.recv(12) == b"HTTP/1.1 200"
    return False


def limited(reply, rule):
    status, headers, body = reply
    if status != 429:
        return False
    assert body["type"] == "urn:csign:error:RateLimited" and body["rule"] == rule
    assert int(headers["Retry-After"]) >= 1
    return True


def test_a_principal_that_asks_too_often_waits_and_others_do_not(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False, service_conf={"requests-per-principal": 5})
    busy, calm = (Account(stack, f"acme/mobile/{name}", tmp_path) for name in ("busy", "calm"))
    busy.login()
    replies = [busy.request("GET", "/v1/whoami") for _ in range(60)]
    assert sum(limited(r, "principal-rate") for r in replies) >= 1
    assert sum(r[0] == 200 for r in replies) >= 10
    reply = calm.login().request("GET", "/v1/whoami")
    assert reply[0] == 200, reply
    wait_until("it may ask again", lambda: busy.request("GET", "/v1/whoami")[0] == 200, 20)


def test_an_address_that_asks_too_often_waits(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={}, service_conf={"requests-per-address": 20})
    c = http.client.HTTPSConnection("localhost", stack.port, timeout=30,
                                    context=ssl.create_default_context(cafile=str(stack.ca)))
    replies = []
    for _ in range(200):
        c.request("GET", "/healthz")
        reply = c.getresponse()
        replies.append((reply.status, reply.headers, json.loads(reply.read())))
    c.close()
    assert sum(limited(r, "address-rate") for r in replies) >= 50 and replies[0][0] == 200
    wait_until("it may ask again", lambda: stack.api("GET", "/healthz")[0] == 200, 20)


def test_who_guesses_is_slowed_and_who_is_right_gets_in(fresh_stack, tmp_path):
    """A stranger names an account's client id until nobody listens to it any more; the account itself, with its own
    key and from the same address, never notices."""
    stack = fresh_stack(sidecar=False, service_conf={"failures-per-minute": 10})
    victim, stranger = (Account(stack, f"acme/mobile/{name}", tmp_path) for name in ("victim", "stranger"))
    victim.login()
    replies = [stranger.token(stranger.jwt(iss=victim.id, sub=victim.id)) for _ in range(30)]
    assert sum(limited(r, "failures") for r in replies) >= 10
    assert [r[0] for r in replies[:5]] == [401] * 5
    assert victim.token()[0] == 200
    assert victim.sign(stack.keys["acme/mobile/release"]["id"], b"\1" * 32)[0] == 201
    assert stranger.token()[0] == 200, "and so does the stranger, with what is its own"

    wrong = [stack.api("GET", "/v1/whoami", bearer="csk_" + "A" * 43) for _ in range(3)]
    assert all(limited(r, "failures") for r in wrong)
    stack.api("GET", "/v1/whoami", status=200)


# ---- JSON and names ----

JSON = {
    "duplicate names": b'{"path":"acme/a","path":"acme/b","algorithm":"P-256"}',
    "duplicate names, escaped": b'{"path":"acme/a","p\\u0061th":"acme/b","algorithm":"P-256"}',
    "depth 10,000": b'{"path":' + b"[" * 10000 + b"]" * 10000 + b"}",
    "depth 10,000 of objects": b'{"a":' * 10000 + b"1" + b"}" * 10000,
    "depth that does not end": b"[" * 60000,
    "a number of 10,000 digits": b'{"path":"acme/a","algorithm":"P-256","validity_days":' + b"9" * 10000 + b"}",
    "an exponent": b'{"path":"acme/a","public_key":"x","validity_days":1e400}',
    "not a number": b'{"path":"acme/a","public_key":"x","validity_days":NaN}',
    "a NUL in a string": b'{"path":"acme/a\\u0000b","public_key":"x"}',
    "half a pair": b'{"path":"acme/\\ud800","public_key":"x"}',
    "not UTF-8": b'{"path":"acme/\xff\xfe","public_key":"x"}',
    "too long UTF-8": b'{"path":"acme/\xc0\xaf","public_key":"x"}',
    "a byte order mark": b'\xef\xbb\xbf{"path":"acme/a","public_key":"x"}',
    "behind its end": b'{"path":"acme/a","public_key":"x"} {}',
    "a comment": b'{"path":"acme/a" /* x */}',
    "half of it": b'{"path":"acme/a',
    "nothing": b"", "null": b"null", "a list": b"[]", "a string": b'"x"',
    "a path that is no string": b'{"path":{"a":1},"public_key":"x"}',
}


@pytest.mark.parametrize("how", JSON)
@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/keys", "/v1/tsgs", "/v1/enrollments", "/v1/signatures"])
def test_hostile_json(service, how, path):
    status, headers, body = service.api("POST", path, JSON[how], headers={"Content-Type": "application/json"}, raw=True)
    assert status == 400 and body["type"] == "urn:csign:error:BadRequest" and body["detail"], body
    assert len(json.dumps(body)) < 4096  # it does not repeat what it was sent


NAMES = ["", "/", "//", "acme//a", "/acme/a", "acme/a/", ".", "..", "acme/..", "acme/../x", "acme/.a", "acme/-a", "acme/a b",
         "acme/\u00e4", "acme/\u0430cme", "acme/\u202ea", "acme/a\u0301", "acme/a\\b", "acme/a%2fb", "acme/a;b", "acme/a\nb", "acme/a\tb",
         "acme/'; DROP TABLE keys; --", "acme/${x}", "acme/" + "a" * 64, "a/" * 40 + "a", "acme/" + "a" * 65000, "nul\u0000", "acme/@1"]


@pytest.mark.parametrize("name", NAMES, ids=lambda n: ascii(n)[:24])
@pytest.mark.parametrize("path, more", [("/v1/keys", {"algorithm": "P-256"}), ("/v1/accounts", {}), ("/v1/tsgs", {})])
def test_names_that_are_none(service, name, path, more):
    status, _, body = service.api("POST", path, {"path": name} | more)
    assert status in (400, 404, 409, 413) and body["detail"], body
    assert len(json.dumps(body)) < 4096


def test_capitals_are_one_name(service):
    service.api("POST", "/v1/accounts", {"path": "acme/Mobile/CI-One"}, status=201)
    status, _, body = service.api("POST", "/v1/accounts", {"path": "ACME/mobile/ci-one"})
    assert status == 409 and "acme/mobile/ci-one" in body["detail"]


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=99999999999999999999", "limit=1&limit=2", "limit=%31%00", "cursor=..",
                                   "limit=%zz", "unknown=1", "cursor=" + "a" * 6000, "&" * 100, "=" * 10, "a&b&c"])
def test_queries_that_are_none(service, query):
    status, _, body = service.api("GET", f"/v1/accounts?{query}")
    assert status in (200, 400), body
    assert status == 400 or query == "&" * 100


# ---- and after all of it ----

def test_memory_is_flat_under_misuse(service):
    """The second thousand of all that costs nothing more."""
    if service.sanitize != "none":
        rounds, slack = 20, 1 << 40  # freed memory is kept apart there on purpose
    else:
        rounds, slack = 400, 8 << 20

    def misuse(n):
        how = list(BROKEN)[n % len(BROKEN)]
        assert send_raw(service, BROKEN[how])
        service.api("POST", "/v1/accounts", JSON["depth 10,000"], headers={"Content-Type": "application/json"}, raw=True)

    def many(rounds):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(misuse, range(rounds)))

    many(rounds)
    before = rss(service)
    many(rounds)
    grown = rss(service) - before
    print(f"{rounds} more rounds grew it by {grown / 1024:.0f} KiB")
    assert grown < slack
