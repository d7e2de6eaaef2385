# SPDX-License-Identifier: Apache-2.0
"""The sidecar's way to the service: several addresses, proxies, pins, and callers who do not wait for ever."""

import base64
import concurrent.futures
import hashlib
import json
import ssl
import sys
import threading
import time

import pytest

from account import Account
from faults import PATH, Signer
from peer import DBusError, Peer, Variant
from stack import ROOT, wait_until

sys.path.insert(0, str(ROOT / "tests/fake"))

import tls_proxy  # noqa: E402
from connect_proxy import ConnectProxy  # noqa: E402
from tcp_proxy import TcpProxy  # noqa: E402
from tls_proxy import Authority, TlsProxy, says  # noqa: E402

TIMEOUT = 6  # of the sidecar, in seconds
DIGEST = hashlib.sha256(b"what is signed").digest()


# ---- several addresses ----

class TwoWays:
    pass


@pytest.fixture
def ways(fresh_stack, stack, tmp_path):
    """One service behind two addresses; the session's stack makes the certificates."""
    w, authority = TwoWays(), Authority(tmp_path, stack.plain_openssl)
    pair = authority.issue("both")
    with TlsProxy(*pair) as w.first, TlsProxy(*pair) as w.second:
        w.stack = fresh_stack(service_conf={"issuer": w.first.url}, sidecar=False)
        w.stack.sidecar = w.stack.add_sidecar(
            "sidecar", "acme/mobile/ci", conf={"service": f"{w.first.url}, {w.second.url}", "timeout": TIMEOUT,
                                               "service-ca": authority.certificate})
        for proxy in (w.first, w.second):
            proxy.connect_to(w.stack, w.stack.sidecar)
        w.signer = Signer(w.stack, tmp_path, patience=TIMEOUT + 6)
        w.signer.signs()
        assert not w.second.requests, "the first is preferred"
        yield w


def address(stack):
    with Peer(stack.sidecar.socket) as peer:
        return peer.call("Status", "")[0]["service"]


def signatures(proxy):
    return sum(path == "/v1/signatures" for _, path in proxy.requests)


@pytest.mark.parametrize("act", [tls_proxy.cut, tls_proxy.hung, says(503), tls_proxy.garbage, says(404, "no such site"),
                                 says(503, "no key store here", "KeystoreUnavailable")],
                         ids=["cut", "hung", "503", "garbage", "another site", "no key store"])
def test_the_second_address_serves_while_the_first_fails_and_then_the_first_again(ways, act):
    with ways.first.failing(act, everywhere=True):
        begin = time.monotonic()
        ways.signer.signs()  # the caller whose request meets the fault notices no more than time
        assert time.monotonic() - begin < TIMEOUT
        assert address(ways.stack) == ways.second.url
        for _ in range(20):
            ways.signer.signs()
    wait_until("the first to be asked again", lambda: ways.signer.signs() and address(ways.stack) == ways.first.url, 15)
    before = signatures(ways.second)
    ways.signer.signs()
    assert signatures(ways.second) == before
    assert len(records(ways.stack)) == ways.signer.signed, "an operation was signed and recorded twice"


def records(stack):
    return [r for r in stack.audit() if r["record"]["kind"] == "sign" and r["record"]["result"] == "allowed"]


def test_an_answer_that_is_lost_at_the_first_comes_from_the_second(ways):
    """One operation, one record, whichever way it was asked for."""
    before = len(records(ways.stack))
    with ways.first.failing(tls_proxy.half):
        ways.signer.signs()
    after = records(ways.stack)
    assert len(after) == before + 1
    assert after[-1]["record"]["signature_sha256"] == hashlib.sha256(ways.signer.out.read_bytes()).hexdigest()


def test_all_addresses_fail(ways):
    with ways.first.failing(tls_proxy.cut, everywhere=True), ways.second.failing(tls_proxy.cut, everywhere=True):
        ways.signer.fails("https://localhost")
    ways.signer.recovers()


def test_a_limit_holds_for_all_addresses(ways):
    """Who is told to be slower does not go next door."""
    with ways.first.failing(says(429, "slower", "RateLimited", retry_after=60)):
        ways.signer.fails("slower")
        ways.signer.fails("slower")
    assert not ways.second.requests


# ---- private authorities and pins ----

def pin(stack, certificate):
    public = stack.plain_openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout
    der = stack.plain_openssl("pkey", "-pubin", "-outform", "DER", input=public).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


OTHER_PIN = "sha256//" + base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize("authority, pins, works", [
    (None, "{own}", True),
    (None, OTHER_PIN, False),
    (None, OTHER_PIN + ", {own}", True),
    ("ca", "{own}", True),
    ("ca", OTHER_PIN, False),
    ("another", "{own}", False),
    (None, None, False),
])
def test_pins(stack, tmp_path, authority, pins, works):
    own = pin(stack, served(stack, tmp_path))
    another = Authority(tmp_path, stack.plain_openssl).certificate
    name = f"pins-{hashlib.sha256(repr((authority, pins)).encode()).hexdigest()[:8]}"
    sidecar = stack.add_sidecar(name, f"acme/mobile/{name}", conf={
        "service-ca": {None: None, "ca": stack.ca, "another": another}[authority],
        "service-pin": pins and pins.format(own=own)})
    try:
        with Peer(sidecar.socket) as peer:
            if works:
                assert peer.get_key(PATH)
            else:
                with pytest.raises(DBusError) as e:
                    peer.get_key(PATH)
                assert e.value.short == "ServiceUnavailable" and stack.url in e.value.message
                assert "pinned" in e.value.message or "certificate" in e.value.message
    finally:
        sidecar.stop()


def served(stack, folder):
    """The certificate that the service shows."""
    path = folder / "served.pem"
    path.write_text(ssl.get_server_certificate(("127.0.0.1", stack.port)))
    return path


# ---- proxies ----

@pytest.mark.parametrize("grant, conf, environment, through", [
    ("user", True, False, True),
    ("user", False, True, True),
    ("user", "none", True, False),
    ("machine", False, True, False),
    ("machine", True, False, True),
])
def test_proxies(stack, grant, conf, environment, through):
    """Configured for any grant; of the environment only for a user's, for a machine's way is its administrator's."""
    name = f"proxy-{grant}-{conf}-{environment}".lower()
    with ConnectProxy(f"localhost:{stack.port}") as proxy:
        sidecar = stack.add_sidecar(name, f"acme/mobile/{name}", grant=grant,
                                    conf={"proxy": {True: proxy.url, False: None, "none": "none"}[conf]})
        for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
            sidecar.env.pop(variable, None)
        if environment:
            sidecar.env["HTTPS_PROXY"] = proxy.url
        sidecar.restart() if sidecar.running() else sidecar.start()
        with Peer(sidecar.socket) as peer:
            key = peer.get_key(PATH)
            assert peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)[0]
        sidecar.stop()
        assert set(proxy.asked) == ({f"localhost:{stack.port}"} if through else set())


def test_a_proxy_that_says_no(stack):
    with ConnectProxy("elsewhere:1") as proxy:
        sidecar = stack.add_sidecar("proxy-no", "acme/mobile/proxy-no", conf={"proxy": proxy.url})
        with Peer(sidecar.socket) as peer:
            with pytest.raises(DBusError) as e:
                peer.get_key(PATH)
        sidecar.stop()
    assert e.value.short == "ServiceUnavailable" and "403" in e.value.message


# ---- how long the caller waits ----

def test_the_callers_patience_ends_the_call(fresh_stack):
    stack = fresh_stack()
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(PATH)
        peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)
        with stack.service.frozen():
            begin = time.monotonic()
            with pytest.raises(DBusError) as e:
                peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST, timeout=Variant("u", 700))
            assert e.value.short == "Timeout" and 0.5 < time.monotonic() - begin < 5
        for bad in (Variant("u", 0), Variant("s", "1")):
            with pytest.raises(DBusError) as e:
                peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST, timeout=bad)
            assert e.value.short == "BadRequest"


def test_the_service_begins_nothing_that_nobody_waits_for(fresh_stack, tmp_path):
    """The only worker is held up; what waited behind it for too long is not signed."""
    stack = fresh_stack(sidecar=False, proxy=True, service_conf={"workers": 1})
    account = Account(stack, "acme/mobile/hurried", tmp_path).login()
    body = json.dumps({"requests": [{"key": stack.keys[PATH]["id"], "version": 1, "scheme": "ecdsa", "hash": "SHA256",
                                     "digest": base64.b64encode(DIGEST).decode()}]})
    ask = lambda seconds: account.request("POST", "/v1/signatures", body,  # noqa: E731
                                          headers={"Csign-Timeout": str(seconds)})
    assert ask(10)[0] == 200
    before = stack.proxy.count()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        with stack.keystore.frozen():
            first = pool.submit(ask, 30)
            wait_until("the worker to be busy", lambda: stack.proxy.count() == before + 1)
            begin = time.monotonic()
            second = pool.submit(ask, 1)
            wait_until("its time to be over", lambda: time.monotonic() - begin > 1.5)
        assert first.result()[0] == 200
        status, _, problem = second.result()
    assert status == 504 and problem["type"] == "urn:csign:error:Timeout" and "turn" in problem["detail"]
    assert len(records(stack)) == 2
    for bad in ("0", "-1", "x", "1x", "86401"):
        status, _, problem = ask(bad)
        assert status == 400 and "Csign-Timeout" in problem["detail"]


# ---- no herd ----

@pytest.mark.slow
def test_twenty_sidecars_come_back_one_by_one(fresh_stack):
    """Each has work that waits when the service returns."""
    with TcpProxy() as proxy:
        url = f"https://localhost:{proxy.port}"
        stack = fresh_stack(service_conf={"issuer": url}, sidecar=False)
        proxy.target = stack.port
        sidecars = [stack.add_sidecar(f"herd-{i}", f"acme/mobile/herd-{i}", conf={"service": url}) for i in range(20)]
        stop, back = threading.Event(), {}

        def work(sidecar):
            with Peer(sidecar.socket, timeout=60) as peer:
                while not stop.is_set():
                    try:
                        peer.sign(stack.keys[PATH]["id"], 1, "ecdsa", "SHA256", DIGEST)
                        back[sidecar] = time.monotonic()
                    except DBusError as e:
                        assert e.short in ("ServiceUnavailable", "Timeout"), str(e)

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            running = [pool.submit(work, s) for s in sidecars]
            try:
                wait_until("all to sign", lambda: len(back) == 20, 60)
                stack.service.kill()
                down = time.monotonic()
                wait_until("the gates to be at their longest", lambda: time.monotonic() - down > 12, 20)
                during = [t for t in proxy.times if down + 6 < t]
                stack.service.start()
                start = time.monotonic()
                wait_until("all to sign again", lambda: all(t > start for t in back.values()), 30)
            finally:
                stop.set()
            for r in running:
                r.result()
    # In 6 s of the outage each asked every 4 s or so, at the longest pause of 8.
    assert len(during) < 20 * 6
    came = sorted(t for t in proxy.times if t > start)
    worst = max(sum(t <= u < t + 0.1 for u in came) for t in came)
    print(f"{len(came)} connections within {came[-1] - start:.1f} s, at most {worst} of them in 100 ms")
    assert worst <= 7 and came[-1] - start > 1
