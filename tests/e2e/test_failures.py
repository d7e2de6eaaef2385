# SPDX-License-Identifier: Apache-2.0
"""What a signer's user sees when something breaks in the middle: a status that is not 0, one readable line, and that
soon; or nothing at all, because csign asked again.  A lost answer never costs a second signature or record.

The signers are the stock openssl dgst and cms, and osslsigncode."""

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from peer import DBusError, Peer
from stack import ROOT, StackError, free_port, text, tool, wait_until

sys.path.insert(0, str(ROOT / "tests/fake"))

from odd_service import OddService  # noqa: E402
from tcp_proxy import TcpProxy  # noqa: E402

RELEASE = "csign://acme/mobile/release"
PATH = "acme/mobile/release"
TIMEOUT = 4  # of the sidecar, in seconds
PATIENCE = TIMEOUT + 4  # what openssl itself and a busy machine may add


class Ground:
    """A stack of this test alone, and a file to sign."""

    def __init__(self, stack, folder):
        self.stack, self.folder, self.own_calls = stack, folder, 0
        self.file, self.out = folder / "document", folder / "out"
        self.file.write_bytes(b"what is signed\n")
        self.certificate = stack.certificate(PATH, folder)
        self.reference = folder / "release.pem"
        self.reference.write_bytes(stack.csign("ref", RELEASE).stdout)

    def dgst(self, key=RELEASE, file=None, out=None):
        return [tool("openssl"), "dgst", "-sha256", "-sign", key, "-out", out or self.out, *([file] if file else [])]

    def cms(self, key=RELEASE, file=None):
        return [tool("openssl"), "cms", "-sign", "-binary", "-signer", self.certificate, "-inkey", key, "-outform", "DER",
                "-out", self.out, *(["-in", file] if file else [])]

    def osslsigncode(self):
        program = self.folder / "program.exe"
        if not program.exists():
            source = self.folder / "program.c"
            source.write_text("int main(void) { return 0; }\n")
            self.stack.run([tool("x86_64-w64-mingw32-gcc"), "-o", program, source])
        return [tool("osslsigncode"), "sign", "-h", "sha256", "-certs", self.certificate, "-key", self.reference, "-in",
                program, "-out", self.out]

    def run(self, argv):
        """Ends in time, or the test fails."""
        return self.stack.host(argv, check=False, timeout=PATIENCE)

    def start(self, argv):
        """A signer that has loaded its key and waits for its input's end."""
        calls = self.calls()
        argv, env = self.stack.hosted(argv)
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=env)
        wait_until("the signer to load its key", lambda: self.calls() > calls or process.poll() is not None)
        process.stdin.write(b"half of it, ")
        process.stdin.flush()
        return process

    def finish(self, process):
        try:
            out, err = process.communicate(b"and the rest", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise StackError(f"the signer hangs\n{self.stack.logs()}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def calls(self):
        """How many calls the sidecar has had from others."""
        with Peer(self.stack.sidecar.socket) as peer:
            self.own_calls += 1
            return int(peer.call("Status", "")[0]["calls"]) - self.own_calls

    def verify(self, content=None):
        pem = self.stack.public_key(PATH, self.folder)
        file = self.folder / "verified"
        file.write_bytes(content or self.file.read_bytes())
        self.stack.plain_openssl("dgst", "-sha256", "-verify", pem, "-signature", self.out, file)

    def signed(self):
        """The log's records of signatures."""
        return [r["record"] for r in self.stack.audit() if r["record"]["kind"] == "sign"
                and r["record"]["result"] == "allowed"]


def failed(done, *words):
    """Not 0, and one line of csign's with these words.  osslsigncode of Debian 12 tells its errors on stdout."""
    error = text(done.stderr) + (text(done.stdout) if "osslsigncode" in str(done.args[0]) else "")
    assert done.returncode != 0, f"the status says success\n{error}"
    lines = [line for line in error.splitlines() if "csign" in line and "csign:/" not in line.split(": ")[0]]
    assert len(lines) == 1, f"{len(lines)} lines of csign's\n{error}"
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


@pytest.fixture
def ground(fresh_stack, tmp_path):
    return Ground(fresh_stack(sidecar_conf={"timeout": TIMEOUT}), tmp_path)


# ---- the sidecar goes ----

@pytest.mark.parametrize("signer", ["dgst", "cms"])
def test_sidecar_killed_between_init_and_final(ground, signer):
    process = ground.start(getattr(ground, signer)())
    ground.stack.sidecar.kill()
    done = ground.finish(process)
    failed(done, "sidecar", str(ground.stack.sidecar.socket))
    assert not ground.signed()
    ground.stack.sidecar.start()


@pytest.mark.parametrize("signer", ["dgst", "cms"])
def test_sidecar_restarted_between_init_and_final(ground, signer):
    process = ground.start(getattr(ground, signer)())
    ground.stack.sidecar.kill()
    ground.stack.sidecar.start()
    done = ground.finish(process)
    assert done.returncode == 0, text(done.stderr)
    assert len(ground.signed()) == 1
    if signer == "dgst":
        ground.verify(b"half of it, and the rest")


@pytest.mark.parametrize("signer", ["dgst", "cms", "osslsigncode"])
def test_sidecar_stopped_for_good(ground, signer):
    argv = ground.osslsigncode() if signer == "osslsigncode" else getattr(ground, signer)(ground.reference, ground.file)
    ground.stack.sidecar.stop()
    failed(ground.run(argv), "sidecar not reachable", "is csign-sidecar running?")
    ground.stack.sidecar.start()


def freeze_during_sign(ground):
    """The signer has sent its Sign(), and the service does not answer yet."""
    process = ground.start(ground.dgst())
    calls = ground.calls()
    ground.stack.keystore.signal(19)
    process.stdin.write(b"and the rest")
    process.stdin.close()
    process.stdin = None
    wait_until("the call", lambda: ground.calls() > calls)
    return process


def end(process):
    out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_sidecar_killed_between_call_and_reply_and_back(ground):
    """The new sidecar knows nothing; the client asks it with the same idempotency key."""
    process = freeze_during_sign(ground)
    ground.stack.sidecar.kill()
    ground.stack.keystore.signal(18)
    ground.stack.sidecar.start()
    done = end(process)
    assert done.returncode == 0, text(done.stderr)
    ground.verify(b"half of it, and the rest")
    assert len(ground.signed()) == 1
    assert len(ground.stack.audit()) == len({r["number"] for r in ground.stack.audit()})


def test_sidecar_killed_between_call_and_reply_for_good(ground):
    process = freeze_during_sign(ground)
    ground.stack.sidecar.kill()
    done = end(process)
    ground.stack.keystore.signal(18)
    failed(done, "sidecar went away during the call", str(ground.stack.sidecar.socket))
    ground.stack.sidecar.start()


def test_sidecar_killed_on_a_bus_and_back(fresh_stack, tmp_path):
    """The bus tells the client that its peer is gone; what then happens is the same."""
    stack = fresh_stack(bus=True, sidecar_conf={"timeout": TIMEOUT})
    ground = Ground(stack, tmp_path)
    stack.keystore.signal(19)
    calls = ground.calls()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(ground.run, ground.dgst(ground.reference, ground.file))
        wait_until("the call", lambda: ground.calls() > calls)
        stack.sidecar.kill()
        stack.keystore.signal(18)
        stack.sidecar.start()
        done = running.result()
    assert done.returncode == 0, text(done.stderr)
    ground.verify()
    assert len(ground.signed()) == 1


# ---- answers that get lost ----

@pytest.fixture
def wire(fresh_stack, tmp_path):
    """Between sidecar and service a wire that can lose answers; ground.proxy."""
    with TcpProxy() as proxy:
        url = f"https://localhost:{proxy.port}"
        stack = fresh_stack(service_conf={"issuer": url}, sidecar=False)
        proxy.target = stack.port
        stack.sidecar = stack.add_sidecar("sidecar", "acme/mobile/ci", conf={"service": url, "timeout": TIMEOUT})
        ground = Ground(stack, tmp_path)
        ground.proxy = proxy
        done = ground.run(ground.dgst(file=ground.file))
        assert done.returncode == 0, text(done.stderr)
        ground.out.unlink()
        yield ground


def lost_once(ground, argv):
    before, metrics = len(ground.signed()), ground.stack.metrics()
    begin = time.monotonic()
    done = ground.run(argv)
    assert done.returncode == 0, text(done.stderr)
    assert ground.proxy.lost == 1, "no answer was lost: the test proves nothing"
    after = ground.stack.metrics()
    assert after["requests_repeated_total"] - metrics["requests_repeated_total"] == 1
    assert after["signatures_total"] - metrics["signatures_total"] == 1
    assert len(ground.signed()) == before + 1
    return time.monotonic() - begin


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silence"])
def test_reply_lost_after_the_service_signed(wire, silent):
    """One record, and the signature that it tells of is the one that is delivered."""
    wire.proxy.lose(1, silent)
    lost_once(wire, wire.dgst(wire.reference, wire.file))
    wire.verify()
    assert wire.signed()[-1]["signature_sha256"] == hashlib.sha256(wire.out.read_bytes()).hexdigest()


def test_reply_lost_after_the_service_signed_cms(wire):
    wire.proxy.lose(1)
    lost_once(wire, wire.cms(wire.reference, wire.file))
    wire.stack.plain_openssl("cms", "-verify", "-binary", "-inform", "DER", "-in", wire.out, "-content", wire.file,
                             "-noverify", "-out", os.devnull)


def test_reply_lost_after_the_service_signed_osslsigncode(wire):
    argv = wire.osslsigncode()
    wire.proxy.lose(1)
    lost_once(wire, argv)
    done = wire.stack.run([tool("osslsigncode"), "verify", "-CAfile", wire.certificate, "-in", wire.out], check=False)
    assert b"Signature verification: ok" in done.stdout or b"Message digest" in done.stdout, text(done.stdout)


def test_reply_lost_and_the_service_gone(wire):
    """Asked again until the time is over, and then it is said."""
    wire.proxy.target = free_port()
    wire.proxy.lose(1)
    begin = time.monotonic()
    failed(wire.run(wire.dgst(wire.reference, wire.file)), f"localhost:{wire.proxy.port}")
    assert time.monotonic() - begin > TIMEOUT / 2 - 0.5  # after that a call waits for no other's try
    assert len(wire.signed()) == 2  # the one before, and this one: nobody got it


# ---- the service goes ----

@pytest.mark.slow
def test_service_killed_in_the_middle_of_16_callers(ground):
    """And back at once.  Whoever got a signature has one record; nobody waits for long; nobody fails without a word."""
    stop = threading.Event()
    got, refused = [], []

    def call(number):
        for i in range(1000):
            if stop.is_set():
                return
            name = f"{number}-{i}"
            file, out = ground.folder / f"{name}.in", ground.folder / f"{name}.sig"
            file.write_text(name)
            done = ground.run(ground.dgst(ground.reference, file, out))
            (refused if done.returncode else got).append((name, done))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        running = [pool.submit(call, n) for n in range(16)]
        try:
            for _ in range(4):
                enough = len(got) + 40
                wait_until("signatures", lambda: len(got) >= enough or any(r.done() for r in running), 30)
                ground.stack.service.kill()
                ground.stack.service.start()
            enough = len(got) + 20
            wait_until("signatures", lambda: len(got) >= enough or any(r.done() for r in running), 30)
        finally:
            stop.set()
        for r in running:
            r.result()

    for _, done in refused:
        failed(done)
    records = {}
    for record in ground.signed():
        records.setdefault(record["digest"], []).append(record)
    assert all(len(r) == 1 for r in records.values()), "an operation was signed and recorded twice"
    for name, _ in got:
        (record,) = records[hashlib.sha256(name.encode()).hexdigest()]
        signature = (ground.folder / f"{name}.sig").read_bytes()
        assert record["signature_sha256"] == hashlib.sha256(signature).hexdigest()
    print(f"{len(got)} signed, {len(refused)} refused")
    assert len(refused) <= len(got) / 10


@contextlib.contextmanager
def odd_service(ground):
    """The sidecar's service is one that answers whatever the test says."""
    folder = ground.folder
    ground.stack.plain_openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-subj",
                               "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "odd.key",
                               "-out", folder / "odd.pem")
    with OddService(folder / "odd.pem", folder / "odd.key", ground.stack.keys[PATH]) as odd:
        ground.stack.sidecar.write_config({"service": f"https://localhost:{odd.port}", "timeout": TIMEOUT,
                                           "service-ca": folder / "odd.pem"})
        ground.stack.sidecar.restart()
        yield odd


def test_service_answers_garbage(ground):
    """Each sort of nonsense is noticed; no signature comes of it."""
    with odd_service(ground) as odd:
        for name, answer, *words in nonsense():
            odd.answers(answer)
            # After a failure that took long the sidecar asks nobody for a second.
            done = wait_until("the sidecar to ask", lambda: asked_by(ground, odd))
            line = failed(done, *words)
            assert "\x1b" not in line and len(line) < 1000, name
            keys = {item["idempotency_key"] for request in odd.asked for item in request["requests"]}
            assert len(keys) == 1, f"{name}: {keys}"
        odd.answers(None)


def asked_by(ground, odd):
    done = ground.run(ground.dgst(ground.reference, ground.file))
    return done if odd.asked else None


def nonsense():
    def whole(body, status=200, kind="application/json"):
        return lambda h, request: h.reply(status, body, kind) is None

    def result(signature):
        def answer(handler, request):
            item = request["requests"][0]
            handler.reply(200, b'{"results":[{"request_id":"%s","signature":"%s","record":{"number":1,"hash":"00"}}]}' % (
                item["request_id"].encode(), base64.b64encode(signature)))
            return True
        return answer

    def cut_short(handler, request):
        handler.reply(200, b'{"results":[', length=1000)
        return False

    return [
        ("no JSON", whole(b"\x1b[31m<html>hello"), "answer"),
        ("an empty body", whole(b""), "answer"),
        ("another shape", whole(b'{"results":{}}'), "answer"),
        ("too few results", whole(b'{"results":[]}'), "answer"),
        ("an empty result", whole(b'{"results":[{}]}'), "answer"),
        ("depth", whole(b"[" * 100000), "answer"),
        ("a status of its own", whole(b"teapot", 418, "text/plain"), "418"),
        ("a signature that is none", result(b"nonsense"), "signature"),
        ("no signature", result(b""), "signature"),
        ("a web server's 502", whole(b"<html>", 502, "text/html"), "502"),
        ("half of an answer", cut_short, "localhost"),
    ]


def test_approval_pending(ground):
    """A service whose keys wait for somebody's word: the signer does not wait, and says why."""
    problem = {"type": "urn:csign:error:ApprovalPending", "title": "somebody must approve it first", "status": 409,
               "detail": "two of the release managers must approve it", "rule": "approval:release", "request_id": "req_7"}

    def answer(handler, request):
        handler.reply(200, json.dumps({"results": [{"request_id": "req_7", "problem": problem}]}).encode())
        return True

    with odd_service(ground) as odd:
        for argv in (ground.dgst(ground.reference, ground.file), ground.cms(ground.reference, ground.file)):
            odd.answers(answer)
            begin = time.monotonic()
            failed(ground.run(argv), "two of the release managers must approve it (rule approval:release, request req_7)")
            assert time.monotonic() - begin < TIMEOUT
            assert len(odd.asked) == 1, "it was asked again"
            assert not ground.out.exists() or ground.out.stat().st_size == 0
        done = ground.stack.csign("sign", "--key", RELEASE, ground.file, "-o", ground.out, check=False)
        assert done.returncode == 8 and "two of the release managers" in text(done.stderr)
        with Peer(ground.stack.sidecar.socket) as peer, pytest.raises(DBusError) as refused:
            key = peer.get_key(PATH)
            peer.sign(key["id"], key["version"], "ecdsa", "SHA256", bytes(32))
        assert refused.value.short == "ApprovalPending"
        odd.answers(None)


@pytest.mark.parametrize("algorithm", ("EC", "RSA"))
def test_signatures_in_another_form_are_not_passed_on(ground, algorithm):
    """A sidecar that gives an EC signature without DER, or an RSA one without its first byte."""
    keys = ground.folder / "keys"
    (keys / "acme").mkdir(parents=True)
    option = "ec_paramgen_curve:P-256" if algorithm == "EC" else "rsa_keygen_bits:2048"
    ground.stack.plain_openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", keys / "acme/bare.pem")
    address, env = ground.folder / "bare.sock", ground.stack.environment()
    with subprocess.Popen([ground.stack.build / "tests/fake/fake-sidecar", address, keys], text=True,
                          stdout=subprocess.PIPE) as fake:
        try:
            assert fake.stdout.readline() == "ready\n"
            env["CSIGN_BUS"] = f"unix:path={address}"
            done = ground.stack.host(ground.dgst("csign://acme/bare", ground.file), env=env, check=False, timeout=PATIENCE)
        finally:
            fake.terminate()
    failed(done, "that came back is malformed")
    assert not ground.out.exists() or ground.out.stat().st_size == 0


# ---- the key is not what it was ----

def test_reference_file_with_the_public_half_of_another_key(ground):
    """As after a rotation: what the application holds is not the key that would sign."""
    stack = ground.stack
    other = stack.add_key("acme/mobile/other")
    der = base64.b64decode("".join(line for line in ground.reference.read_text().splitlines()
                                   if line and not line.startswith("-") and ":" not in line))
    old, new = (base64.b64decode(k["public_key"]) for k in (stack.keys[PATH], other))
    assert der.count(old) == 1 and len(old) == len(new)
    wrong = ground.folder / "wrong.pem"
    body = base64.encodebytes(der.replace(old, new)).decode()
    wrong.write_text(f"-----BEGIN CSIGN KEY REFERENCE-----\n{body}-----END CSIGN KEY REFERENCE-----\n")
    failed(ground.run(ground.dgst(wrong, ground.file)), "another public key")
    assert not ground.signed()


@pytest.mark.parametrize("signer", ["dgst", "cms", "osslsigncode"])
def test_key_disabled_between_load_and_sign(ground, signer):
    """osslsigncode reads no pipe: for it, loading is reading the reference file."""
    argv = ground.osslsigncode() if signer == "osslsigncode" else getattr(ground, signer)()
    process = None if signer == "osslsigncode" else ground.start(argv)
    ground.stack.set_key_state(PATH, "disabled")
    done = ground.finish(process) if process else ground.run(argv)
    line = failed(done, "is disabled", "rule key-state", "request req_")
    request = line.split("request ")[1].split(")")[0]
    (record,) = ground.stack.audit(request_id=request)
    assert record["record"]["result"] == "KeyDisabled"
    assert not ground.signed()


# ---- D-Bus messages ----

def too_large():
    """The head of a method call of more bytes than D-Bus allows in a message."""
    return struct.pack("<4BII", ord("l"), 1, 0, 1, 200 << 20, 1) + struct.pack("<I", 64) + bytes(64)


def test_dbus_call_too_large(ground):
    """The connection that does it ends; nobody else notices."""
    with Peer(ground.stack.sidecar.socket, timeout=5) as good, Peer(ground.stack.sidecar.socket, timeout=5) as bad:
        bad.get_key(PATH)
        bad.socket.sendall(too_large())
        with pytest.raises((DBusError, OSError)):
            while True:
                bad.receive()
        good.get_key(PATH)
    assert ground.run(ground.dgst(file=ground.file)).returncode == 0


def test_dbus_answer_too_large(ground):
    """A sidecar that answers with more than D-Bus allows."""
    address = pathlib.Path(ground.folder / "s")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(address))
        listener.listen()
        listener.settimeout(PATIENCE)
        server = threading.Thread(target=answer_too_large, args=(listener,), daemon=True)
        server.start()
        env = ground.stack.environment() | {"CSIGN_BUS": f"unix:path={address}"}
        done = ground.stack.host(ground.dgst(ground.reference, ground.file), env=env, check=False, timeout=PATIENCE)
        failed(done, "sidecar", str(address))


def answer_too_large(listener):
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                said = b""
                while b"BEGIN\r\n" not in said:
                    said += connection.recv(4096)
                    if b"AUTH" in said and b"DATA" in said and b"NEGOTIATE" not in said:
                        continue
                    connection.sendall(auth_answer(said))
                connection.recv(4096)
                connection.sendall(struct.pack("<4BII", ord("l"), 2, 1, 1, 200 << 20, 1) + struct.pack("<I", 64) +
                                   bytes(64))
                connection.recv(4096)


def auth_answer(said):
    return b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n"
