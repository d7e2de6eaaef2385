# SPDX-License-Identifier: Apache-2.0
"""A service, a network or a clock that is not as it should be: what the signer sees is named, nothing hangs, nothing
leaks, and signing resumes by itself.  (test_failures.py: daemons that are killed, and answers that make no sense.)"""

import concurrent.futures
import contextlib
import ctypes
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

from conftest import start, stop
from faults import Signer, Usage
from peer import Peer
from stack import ROOT, StackError, text, tool, wait_until

sys.path.insert(0, str(ROOT / "tests/fake"))

import tls_proxy  # noqa: E402
from tls_proxy import Authority, TlsProxy, says  # noqa: E402

TIMEOUT = 3  # of the sidecar, in seconds
CLONE_NEWNET = 0x40000000


class Ground:
    pass


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """One stack whose sidecar reaches the service through the proxy; each test leaves it as it found it."""
    folder, g = tmp_path_factory.mktemp("faults"), Ground()
    g.folder = folder
    g.authority = Authority(folder, openssl)
    with TlsProxy(*g.authority.issue("good")) as proxy:
        g.proxy = proxy
        g.stack = stack = start(service_conf={"issuer": proxy.url}, sidecar=False)
        try:
            g.sidecar = stack.add_sidecar("sidecar", "acme/mobile/ci",
                                          conf={"service": proxy.url, "timeout": TIMEOUT,
                                                "service-ca": g.authority.certificate})
            proxy.connect_to(stack, g.sidecar)
            g.signer = Signer(stack, folder, g.sidecar, patience=TIMEOUT + 6)
            yield g
        finally:
            stop(stack)


def openssl(*argv):
    run("openssl", *map(str, argv), capture_output=True)


def warm(signer):
    """All threads have worked and connected, so that what comes later is growth."""
    for _ in range(3):
        assert {name for name, _ in signer.crowd(256)} == {None}
    return Usage(signer.sidecar, signer.stack.sanitize)


# ---- the service fails, each way that it can ----

FAULTS = {
    # the fault, what the signer reads, what callers of the interface get
    "hung": (tls_proxy.hung, ("timed out",), {"Timeout"}),
    "cut": (tls_proxy.cut, ("localhost",), {"ServiceUnavailable"}),
    "500": (says(500, "oops"), ("status 500",), {"ServiceUnavailable"}),
    "503": (says(503, "the data centre burns", "ServiceUnavailable"), ("data centre",), {"ServiceUnavailable"}),
    "429": (says(429, "too many signatures today", "RateLimited"), ("too many signatures today",), {"RateLimited"}),
    "garbage": (tls_proxy.garbage, ("localhost",), {"BadAnswer"}),
    "half a reply": (tls_proxy.half, ("localhost",), {"ServiceUnavailable"}),
    "an error without words": (says(418, "teapot"), ("418",), {"BadAnswer"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_service_that_fails(ground, name):
    act, words, errors = FAULTS[name]
    before = warm(ground.signer)
    with ground.proxy.failing(act) as fault:
        _, taken = ground.signer.fails(*words)
        assert taken < TIMEOUT + 4
        begin = time.monotonic()
        answers = ground.signer.crowd(64)
        assert {n for n, _ in answers} <= errors, answers[0]
        assert time.monotonic() - begin < TIMEOUT + 4
        assert fault.count
    ground.signer.recovers()
    before.check()


def test_a_service_that_is_slow(ground):
    before = warm(ground.signer)
    with ground.proxy.failing(tls_proxy.slow(1)):
        begin = time.monotonic()
        assert {n for n, _ in ground.signer.crowd(64)} == {None}
        assert 1 <= time.monotonic() - begin < TIMEOUT
    before.check()


@pytest.mark.parametrize("status, name", [(429, "RateLimited"), (503, "ServiceUnavailable")])
def test_retry_after_is_honoured(ground, status, name):
    """Within the caller's time it is waited for, by all of the sidecar, and then it is signed."""
    warm(ground.signer)
    with ground.proxy.failing(says(status, "in a second", name, retry_after=1), times=1):
        before, begin = len(ground.proxy.requests), time.monotonic()
        assert {n for n, _ in ground.signer.crowd(64)} == {None}
        times = [t - begin for t, path in ground.proxy.requests[before:] if path == "/v1/signatures"]
        # Others may have been on their way; after that, nobody for a second.
        assert not [t for t in times if 0.3 < t < 1] and max(times) >= 1, times


@pytest.mark.parametrize("retry_after", ["60", "date"])
def test_retry_after_beyond_the_callers_time(ground, retry_after):
    """Who cannot wait so long is told at once, and the service is left in peace."""
    if retry_after == "date":
        retry_after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    with ground.proxy.failing(says(429, "in a minute", "RateLimited", retry_after)) as fault:
        _, taken = ground.signer.fails("in a minute")
        assert taken < 2
        _, taken = ground.signer.fails("in a minute")
        assert taken < 2 and fault.count == 1
    ground.sidecar.restart()  # the only way to have it forget the minute
    ground.signer.signs()


def test_a_wrong_certificate(ground):
    another = Authority(ground.folder, ground.stack.plain_openssl, "another")
    certificates_fail(ground, another.issue("imposter"), "certificate")


def test_an_expired_certificate(ground):
    certificates_fail(ground, ground.authority.issue("expired", days=-1), "expired")


def test_a_certificate_for_another_host(ground):
    certificates_fail(ground, ground.authority.issue("elsewhere", host="elsewhere.example"), "localhost")


def certificates_fail(g, pair, *words):
    before = warm(g.signer)
    try:
        g.proxy.present(*pair)
        g.proxy.drop()
        requests = len(g.proxy.requests)
        _, taken = g.signer.fails(*words)
        assert taken < TIMEOUT + 4
        assert {n for n, _ in g.signer.crowd(64)} == {"ServiceUnavailable"}
        assert len(g.proxy.requests) == requests, "it sent a request to somebody whom it does not know"
    finally:
        g.proxy.present(*g.authority.issue("renewed"))
    g.signer.recovers()
    before.check()


def test_a_service_that_is_killed(ground):
    """Whatever of it is there first, signing begins again."""
    before = warm(ground.signer)
    ground.stack.service.kill()
    assert {n for n, _ in ground.signer.crowd(64)} <= {"ServiceUnavailable", "Timeout"}
    ground.signer.fails("localhost")
    ground.stack.service.start()
    ground.signer.recovers()
    before.check()


# ---- who asked has gone ----

def test_nobody_works_for_who_has_gone(ground):
    """Callers that leave while the service hangs set its threads free at once."""
    before = warm(ground.signer)
    key = ground.stack.keys["acme/mobile/release"]["id"]
    with ground.proxy.failing(tls_proxy.hung) as fault:
        with Peer(ground.sidecar.socket) as peer:
            for i in range(200):
                peer.send("Sign", "sussaya{sv}", (key, 1, "ecdsa", "SHA256", bytes([i]) * 32, {}))
            wait_until("all four threads to wait", lambda: fault.count >= 4)
        begin = time.monotonic()
    ground.signer.signs()
    assert time.monotonic() - begin < TIMEOUT
    # What was on its way when they left may have come; then there is nothing but who signs now.
    asked = len(ground.proxy.requests)
    ground.signer.signs()
    again = [path for _, path in ground.proxy.requests[asked:] if path == "/v1/signatures"]
    assert len(again) <= 2, "it went on asking for nobody"
    before.check()


# ---- the disk of the audit log is full ----

@pytest.mark.root
def test_a_full_audit_disk_is_what_the_signer_reads(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar_conf={"timeout": TIMEOUT})
    signer = Signer(stack, tmp_path, patience=TIMEOUT + 6)
    stack.service.stop()
    copy = tmp_path / "copy"
    stack.run(["cp", "-a", stack.state, copy])
    stack.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0755", "tmpfs", stack.state])
    try:
        stack.run(["sh", "-c", f"cp -a {copy}/. {stack.state}/"])
        stack.service.start()
        signer.recovers()
        before = warm(signer)
        filler = stack.state / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while True:
                f.write(bytes(4096))
        wait_until("the log to be full", lambda: {n for n, _ in signer.crowd(64)} == {"AuditUnavailable"}, 30)
        _, taken = signer.fails("audit")
        assert taken < TIMEOUT
        filler.unlink()
        signer.recovers()
        before.check()
        stack.service.stop()
    finally:
        stack.service.kill()
        stack.run(["umount", stack.state])


@pytest.mark.root
def test_a_full_disk_of_the_sidecars_own_does_not_stop_it(fresh_stack, tmp_path):
    """Its journal waits for better days; signatures do not."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    run("mount", "-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs", str(state))
    try:
        stack = fresh_stack(sidecar_conf={"timeout": TIMEOUT, "state-directory": state})
        signer = Signer(stack, tmp_path, patience=TIMEOUT + 6)
        before = warm(signer)
        filler = state / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
            while True:
                f.write(bytes(512))
        for _ in range(4):
            assert {n for n, _ in signer.crowd(256)} == {None}
        before.check()
        filler.unlink()
        signer.signs()
        digest = hashlib.sha256(signer.file.read_bytes()).hexdigest()
        wait_until("the journal to go on", lambda: signer.signs() and newest(stack)["digest"] == digest)
        stack.sidecar.stop()
    finally:
        run("umount", "--lazy", str(state))


def newest(stack):
    return json.loads(stack.csign("history", "--json", "--last", "1").stdout)[0]


# ---- the network ----

@contextlib.contextmanager
def private_network():
    """This thread, and what it starts, in a network of its own: nothing but lo."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        run("ip", "link", "set", "lo", "up")
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)


def run(*argv, **options):
    subprocess.run([tool(argv[0]), *argv[1:]], check=True, timeout=30, **options)


@contextlib.contextmanager
def rule(text_of_rule):
    """A rule for packets to and from the service."""
    run("nft", "-f", "-", text=True,
        input=f"table inet fault {{\nchain in {{\ntype filter hook input priority 0;\n{text_of_rule}\n}}\n}}\n")
    try:
        yield
    finally:
        run("nft", "delete", "table", "inet", "fault")


@pytest.fixture
def lossy(fresh_stack, tmp_path):
    with private_network():
        stack = fresh_stack(sidecar_conf={"timeout": 25})
        signer = Signer(stack, tmp_path, patience=40)
        yield stack, signer, warm(signer)
        for daemon in reversed(stack.daemons):
            daemon.stop()


@pytest.mark.root
@pytest.mark.slow
def test_a_network_that_drops_40_percent(lossy):
    """TCP gets it through, or the sidecar asks again; each operation has one record whatever got lost."""
    stack, signer, before = lossy
    signed = stack.metrics()["signatures_total"]
    with rule(f"tcp dport {stack.port} numgen random mod 100 < 40 drop\n"
              f"tcp sport {stack.port} numgen random mod 100 < 40 drop"):
        answers = signer.crowd(64, timeout=60)
    names = [n for n, _ in answers]
    assert set(names) <= {None, "Timeout", "ServiceUnavailable"}
    assert names.count(None) >= 32, names
    signer.recovers(40)
    assert names.count(None) <= stack.metrics()["signatures_total"] - signed <= len(names) + 50
    before.check()


def impatient(lossy):
    stack, signer, _ = lossy
    stack.sidecar.write_config({"timeout": TIMEOUT})
    stack.sidecar.restart()
    return stack, signer, warm(signer)


@pytest.mark.root
def test_a_network_that_resets(lossy):
    stack, signer, before = impatient(lossy)
    with rule(f"tcp dport {stack.port} reject with tcp reset"):
        begin = time.monotonic()
        assert {n for n, _ in signer.crowd(64)} == {"ServiceUnavailable"}
        signer.fails(stack.url)
        assert time.monotonic() - begin < 2 * TIMEOUT + 6
    signer.recovers()
    before.check()


@pytest.mark.root
def test_a_network_that_swallows_everything(lossy):
    """Nothing comes back, not even a no."""
    stack, signer, before = impatient(lossy)
    with rule(f"tcp dport {stack.port} drop"):
        begin = time.monotonic()
        assert {n for n, _ in signer.crowd(64)} <= {"ServiceUnavailable", "Timeout"}
        signer.fails("localhost")
        assert time.monotonic() - begin < 2 * TIMEOUT + 6
    signer.recovers()
    before.check()


# ---- clocks ----

FAKETIME = "/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1".format(os.uname().machine)


@pytest.mark.uninstrumented
@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_a_clock_that_is_an_hour_wrong(fresh_stack, tmp_path, offset):
    """It logs in, signs, and asks for its second token at once with the right time."""
    if not pathlib.Path(FAKETIME).exists():
        raise StackError("libfaketime is not installed: apt-get install libfaketime")
    stack, sidecar = fresh_stack(), None
    sidecar = stack.sidecar
    sidecar.env |= {"LD_PRELOAD": FAKETIME, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    sidecar.restart()
    signer = Signer(stack, tmp_path)
    signer.signs()
    # A token that is refused: the next one is got without a refusal.
    account = f"/v1/accounts/{sidecar.client_id}"
    stack.api("PATCH", account, {"state": "disabled"}, status=200)
    stack.api("PATCH", account, {"state": "enabled"}, status=200)
    signer.signs()


# ---- what is between signer and sidecar ----

def test_a_bus_that_is_killed(fresh_stack, tmp_path):
    """The sidecar is back on the bus when the bus is back, and the socket never noticed."""
    stack = fresh_stack(bus=True, sidecar_conf={"timeout": TIMEOUT})
    signer = Signer(stack, tmp_path, patience=40)
    before = warm(signer)
    bus = next(d for d in stack.daemons if d.name == "dbus-daemon")
    bus.kill()
    signer.fails("sidecar")
    assert {n for n, _ in signer.crowd(64)} == {None}
    restart_bus(stack, bus)
    signer.recovers(30)
    before.check()


def restart_bus(stack, bus):
    """At the same address."""
    pathlib.Path(stack.bus.removeprefix("unix:path=")).unlink(missing_ok=True)
    bus.argv = [a for a in bus.argv if not a.startswith("--print-address")]
    bus.start()


def test_a_sidecar_killed_in_the_middle_of_64_calls(fresh_stack, tmp_path):
    """The next sidecar is asked by all of them, and each operation has one record."""
    stack = fresh_stack(sidecar_conf={"timeout": 20})
    signer = Signer(stack, tmp_path, patience=60)
    signer.signs()
    counted = calls(stack)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with stack.keystore.frozen():
            running = pool.submit(signer.many, 64)
            wait_until("the calls", lambda: calls(stack) >= counted + 64, 60)
            stack.sidecar.kill()
        stack.sidecar.start()
        finished = running.result()
    for i, done in enumerate(finished):
        assert done.returncode == 0, text(done.stderr)
        signer.verify(tmp_path / f"in-{i}", tmp_path / f"out-{i}")
    records = [r["record"]["digest"] for r in stack.audit() if r["record"]["kind"] == "sign"
               and r["record"]["result"] == "allowed"]
    assert len(records) == len(set(records)) == 65


own_calls = 0


def calls(stack):
    """How many calls the sidecar has had from others."""
    global own_calls
    own_calls += 1
    with Peer(stack.sidecar.socket) as peer:
        return int(peer.call("Status", "")[0]["calls"]) - own_calls
