# SPDX-License-Identifier: Apache-2.0
"""What always holds (docs/architecture.md, I1 to I8): each test tries to break one of them."""

import base64
import contextlib
import hashlib
import os
import re
import sqlite3
import threading

import pytest

from account import Account
from peer import DBusError, Peer
from stack import KEYSTORE_UID, ROOT, STRANGER_UID, as_user, text, tool, wait_until

DIGEST = hashlib.sha256(b"a file").digest()
RELEASE = "csign://acme/mobile/release"
FIRMWARE = "csign://acme/mobile/firmware"


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "document"
    path.write_bytes(b"a file")
    return path


def empty(path):
    """openssl opens its output before it signs: what counts is that nothing is in it."""
    return not path.exists() or path.stat().st_size == 0


def sign(stack, uri, document, out, *more, **options):
    return stack.openssl("dgst", "-sha256", *more, "-sign", uri, "-out", out, document, **options)


# ---- I1: private keys are in the key store's memory and nowhere else ----

def private_numbers(stack, path):
    """The private numbers of a key as byte strings, in both orders that a library may keep them in memory."""
    key = stack.keys[path]
    with contextlib.closing(sqlite3.connect(next(stack.state.glob("*.db")))) as db:
        (sealed,) = db.execute("SELECT sealed FROM key_versions WHERE key_id = ?", (key["id"],)).fetchone()
    unseal = [stack.shared(stack.build / "tests/tools/unseal"), "--kek", stack.kek, "--key-id", key["id"], "--version",
              "1"]
    der = stack.run(as_user(KEYSTORE_UID, unseal), input=bytes(sealed).hex().encode()).stdout
    dump = stack.plain_openssl("pkey", "-inform", "DER", "-noout", "-text", input=der).stdout.decode()
    numbers = []
    for name in ("priv", "privateExponent", "prime1", "prime2"):
        found = re.search(rf"^{name}:\n((?:\s+[0-9a-f:]+\n)+)", dump, re.MULTILINE)
        if found:
            number = bytes.fromhex(re.sub(r"[\s:]", "", found[1])).lstrip(b"\0")
            numbers += [number, number[::-1]]
    assert numbers, dump
    return numbers


def memory_has(pid, needles):
    """Which of the needles are in the process's memory."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            area, access = line.split()[:2]
            if not access.startswith("rw"):
                continue
            begin, end = (int(x, 16) for x in area.split("-"))
            if end - begin > 1 << 30:  # a sanitizer's shadow
                continue
            with contextlib.suppress(OSError):
                mem.seek(begin)
                content = mem.read(end - begin)
                found |= {n for n in needles if n in content}
    return found


@pytest.mark.root
@pytest.mark.parametrize("path", ["acme/mobile/release", "acme/mobile/firmware"])
def test_i1_private_keys_are_only_in_the_keystores_memory(stack, document, tmp_path, path):
    sign(stack, f"csign://{path}", document, tmp_path / "sig")
    needles = private_numbers(stack, path)
    assert memory_has(stack.keystore.pid, needles), "the scan finds nothing where the key must be: it proves nothing"
    assert not memory_has(stack.service.pid, needles)
    assert not memory_has(stack.sidecar.pid, needles)


@pytest.mark.root
def test_i1_the_keystore_cannot_be_dumped_or_read_by_others(stack):
    with open(f"/proc/{stack.keystore.pid}/limits", encoding="ascii") as limits:
        core = re.search(r"Max core file size\s+(\d+)\s+(\d+)", limits.read())
    assert core.group(1, 2) == ("0", "0")
    # An undumpable process's files in /proc belong to root, whoever runs it.
    assert os.stat(f"/proc/{stack.keystore.pid}/mem").st_uid == 0
    assert stack.kek.stat().st_mode & 0o777 == 0o400
    for folder in (stack.folder / "keystore", stack.state):
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.root
def test_i1_the_keystore_speaks_only_to_the_services_user(stack):
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5);"
              "s.connect(sys.argv[1]); s.send(bytes([1, 1, 0, 0] + [0] * 8)); sys.exit(0 if s.recv(100) else 3)")
    done = stack.run([tool("setpriv"), f"--reuid={STRANGER_UID}", f"--regid={STRANGER_UID}", "--clear-groups",
                      "/usr/bin/python3", "-c", script, stack.keystore_socket], check=False)
    assert done.returncode != 0, text(done.stdout)


# ---- I2: no signature without its record ----

class Callers:
    """Threads that sign without pause through a sidecar, and keep what they were given."""

    def __init__(self, stack, n):
        self.stack, self.signatures, self.lock, self.stop = stack, [], threading.Lock(), threading.Event()
        self.strange, self.refused = [], 0
        with Peer(stack.sidecar.socket) as peer:
            self.key = peer.get_key("acme/mobile/release")
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        try:
            with Peer(self.stack.sidecar.socket, timeout=60) as peer:
                while not self.stop.is_set():
                    self.sign_once(peer)
        except (OSError, DBusError) as e:
            self.strange.append(repr(e))

    def sign_once(self, peer):
        digest = os.urandom(32)
        try:
            signature, receipt = peer.sign(self.key["id"], 1, "ecdsa", "SHA256", digest)
        except DBusError as e:
            if e.short not in ("ServiceUnavailable", "Timeout", "KeystoreUnavailable"):
                self.strange.append(str(e))
            self.refused += 1
            self.stop.wait(0.005)
            return
        with self.lock:
            self.signatures.append((digest, signature, receipt))


def check_chain(stack):
    """The whole log: numbers without a gap, each hash over the one before, the head where it must be."""
    records = stack.audit()
    previous = bytes(32)
    for number, record in enumerate(records, 1):
        assert record["number"] == number
        assert record["previous"] == previous.hex()
        previous = hashlib.sha256(previous + record["entry"].encode()).digest()
        assert record["hash"] == previous.hex()
    head = stack.api("GET", "/v1/audit/head", status=200)
    assert (head["number"], head["hash"]) == (len(records), previous.hex())
    return records


@pytest.mark.slow
def test_i2_every_signature_that_anyone_holds_is_in_the_log(fresh_stack):
    stack = fresh_stack()
    with Callers(stack, 16) as callers:
        for _ in range(10):
            target = len(callers.signatures) + 300
            wait_until("more signatures", lambda: len(callers.signatures) >= target or callers.strange, 30)
            assert not callers.strange, callers.strange
            stack.service.kill()
            stack.service.start()
        target = len(callers.signatures) + 300
        wait_until("signatures after the last start", lambda: len(callers.signatures) >= target, 30)
    assert not callers.strange, callers.strange
    records = {r["number"]: r["record"] for r in check_chain(stack)}
    for digest, signature, receipt in callers.signatures:
        record = records[receipt["record"]]
        assert record["digest"] == digest.hex()
        assert record["signature_sha256"] == hashlib.sha256(signature).hexdigest()
        assert record["request_id"] == receipt["request-id"]
    stack.csign("audit", "verify")


def test_i2_without_a_log_there_is_no_signature(fresh_stack):
    """The disk that the log is on is full: nothing is signed until it is not."""
    stack = fresh_stack()
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key("acme/mobile/release")
        peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)
        # Another process holds the database's write lock: to the writer it is as good as a full disk.
        with contextlib.closing(sqlite3.connect(next(stack.state.glob("*.db")), isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.raises(DBusError) as refusal:
                peer.socket.settimeout(60)
                peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)
            db.execute("ROLLBACK")
        assert refusal.value.short in ("AuditUnavailable", "Timeout", "ServiceUnavailable")
        wait_until("signing goes on", lambda: _signs(peer, key), 30)
    check_chain(stack)


def _signs(peer, key):
    try:
        return peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)
    except DBusError:
        return None


# ---- I3: a denied request never reaches the key store ----

def test_i3_a_denied_request_never_reaches_the_keystore(fresh_stack, tmp_path):
    stack = fresh_stack(proxy=True)
    account = Account(stack, "acme/mobile/direct", tmp_path).login()
    release, firmware = (stack.keys[f"acme/mobile/{k}"]["id"] for k in ("release", "firmware"))
    assert account.sign(release, DIGEST)[0] == 201
    before = stack.proxy.count("sign")
    assert before >= 1

    stack.set_key_state("acme/mobile/firmware", "disabled")
    denied = [
        account.sign(stack.keys["acme/web/site"]["id"], DIGEST),
        account.sign(stack.keys["other/secret"]["id"], DIGEST),
        account.sign("key_" + "a" * 26, DIGEST),
        account.sign(firmware, DIGEST, scheme="rsa-pss", salt_length=32),
        account.sign(release, DIGEST, scheme="rsa-pkcs1"),
        account.sign(release, DIGEST[:-1]),
        account.sign(release, DIGEST, version=2),
        account.sign(release, DIGEST[:20], hash_name="SHA1"),
    ]
    for status, _, problem in denied:
        assert 400 <= status < 500, problem
    owner = stack.api("POST", f"/v1/keys/{release}/signatures", {
        "version": 1, "scheme": "ecdsa", "hash": "SHA256", "digest": base64.b64encode(DIGEST).decode()})
    assert owner[0] == 403 and owner[2]["rule"] == "separation-of-duties", owner[2]
    assert stack.proxy.count("sign") == before


def test_i3_a_no_needs_no_keystore(fresh_stack, document, tmp_path):
    """The key store hangs: a denial comes at once all the same."""
    stack = fresh_stack()
    account = Account(stack, "acme/mobile/direct", tmp_path).login()
    with stack.keystore.frozen():
        status, _, problem = account.sign(stack.keys["other/secret"]["id"], DIGEST)
        assert status == 404 and problem["type"] == "urn:csign:error:KeyNotFound", problem
        done = sign(stack, "csign://other/secret", document, tmp_path / "sig", check=False, timeout=5)
        assert done.returncode != 0
    sign(stack, RELEASE, document, tmp_path / "sig")


# ---- I4: no bad signature reaches an application ----

@pytest.mark.parametrize("uri, path", [(RELEASE, "acme/mobile/release"), (FIRMWARE, "acme/mobile/firmware")])
def test_i4_a_spoiled_signature_never_reaches_the_application(fresh_stack, document, tmp_path, uri, path):
    stack = fresh_stack(proxy=True)
    good, bad = tmp_path / "good", tmp_path / "bad"
    sign(stack, uri, document, good)
    stack.plain_openssl("dgst", "-sha256", "-verify", stack.public_key(path, tmp_path), "-signature", good, document)
    before = stack.proxy.count("sign")
    with stack.proxy.corrupting():
        done = sign(stack, uri, document, bad, check=False)
        assert done.returncode != 0
        assert b"verify" in done.stderr or b"signature" in done.stderr, text(done.stderr)
        assert empty(bad)
        with Peer(stack.sidecar.socket) as peer, pytest.raises(DBusError) as refusal:
            peer.sign(stack.keys[path]["id"], 1, "ecdsa" if "release" in path else "rsa-pkcs1", "SHA256", DIGEST)
        assert refusal.value.short == "BadSignature"
    assert stack.proxy.count("sign") > before, "the key store was not asked: the test proves nothing"
    sign(stack, uri, document, good)


# ---- I5, I6: every refusal says which rule, has a request id, and exits with a status ----

REQUEST = re.compile(r"req_[a-z2-7]{26}")


@pytest.fixture(scope="module")
def refusals(stack, tmp_path_factory):
    """A stack with a key to disable and sidecars that are not let in; what each refusal is, on every layer."""
    folder = tmp_path_factory.mktemp("refusals")
    stack.add_key("acme/mobile/retired")
    account = Account(stack, "acme/mobile/refusals", folder).login()
    locked_out = stack.add_sidecar("locked-out", "acme/mobile/leaver")
    distrustful = stack.add_sidecar("distrustful", "acme/mobile/distrustful", policy=(
        "rules = release-only, nothing\n[release-only]\nkeys = acme/mobile/release\neffect = deny\n"
        "[nothing]\nkeys = *\neffect = allow\n"))
    for sidecar in (locked_out, distrustful):  # each works before it is refused
        with Peer(sidecar.socket) as peer:
            peer.get_key("acme/mobile/firmware")
    stack.set_key_state("acme/mobile/retired", "disabled")
    stack.api("PATCH", f"/v1/accounts/{locked_out.account['id']}", {"state": "disabled"}, status=200)
    return {"stack": stack, "account": account, "locked-out": locked_out, "distrustful": distrustful}


# name: (error, rule or None, sidecar or None for the usual one, URI, openssl's hash option, who decides)
REFUSALS = {
    "no-such-key": ("KeyNotFound", None, None, "csign://acme/mobile/nope", "-sha256", "service"),
    "out-of-scope": ("OutOfScope", "scope", None, "csign://acme/web/site", "-sha256", "service"),
    "other-tenant": ("OutOfScope", "scope", None, "csign://other/secret", "-sha256", "service"),
    "out-of-scope-and-not-there": ("OutOfScope", "scope", None, "csign://other/nothing", "-sha256", "service"),
    "disabled": ("KeyDisabled", "key-state", None, "csign://acme/mobile/retired", "-sha256", "service"),
    "locked-out": ("Unauthenticated", None, "locked-out", RELEASE, "-sha256", "service"),
    "local-policy": ("LocalPolicy", "local-policy:release-only", "distrustful", RELEASE, "-sha256", "sidecar"),
    "sha1": ("UnsupportedScheme", None, None, RELEASE, "-sha1", "provider"),
}


def one_line(done, name):
    """The line of stderr that speaks of csign's refusal."""
    lines = [line for line in text(done.stderr).splitlines() if "csign" in line]
    assert lines, f"{name}: no line of csign's in\n{text(done.stderr)}"
    return " ".join(lines)


@pytest.mark.parametrize("name", REFUSALS)
def test_i5_i6_refusals_at_the_openssl_command_line(refusals, document, tmp_path, name):
    error, rule, who, uri, option, decided_by = REFUSALS[name]
    stack, out = refusals["stack"], tmp_path / "sig"
    done = stack.openssl("dgst", option, "-sign", uri, "-out", out, document, check=False, timeout=5,
                         sidecar=refusals.get(who))
    assert done.returncode != 0, "it was refused, and the exit status says success"
    assert empty(out)
    line = one_line(done, name)
    if rule:
        assert f"rule {rule}" in line, line
    if decided_by == "service":
        assert REQUEST.search(line), line


@pytest.mark.parametrize("name", [n for n in REFUSALS if REFUSALS[n][5] != "provider"])
def test_i5_refusals_as_dbus_errors(refusals, name):
    error, rule, who, uri, _, decided_by = REFUSALS[name]
    stack = refusals["stack"]
    sidecar, path = refusals.get(who) or stack.sidecar, uri.removeprefix("csign://")
    with Peer(sidecar.socket, timeout=5) as peer, pytest.raises(DBusError) as refusal:
        key = peer.get_key(path)
        peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)
    assert refusal.value.short == error, refusal.value
    if rule:
        assert f"rule {rule}" in refusal.value.message
    if decided_by == "service":
        assert REQUEST.search(refusal.value.message), refusal.value


@pytest.mark.parametrize("name", REFUSALS)
def test_i5_i6_refusals_in_the_cli(refusals, document, tmp_path, name):
    error, rule, who, uri, option, decided_by = REFUSALS[name]
    stack, out = refusals["stack"], tmp_path / "sig"
    done = stack.csign("sign", "--key", uri, "--hash", option.lstrip("-"), "--out", out, document, check=False,
                       timeout=5, sidecar=refusals.get(who))
    assert done.returncode == EXIT_STATUS[error], text(done.stderr)
    assert not out.exists()
    if rule:
        assert f"rule {rule}" in text(done.stderr)
    if decided_by == "service":
        assert REQUEST.search(text(done.stderr)), text(done.stderr)


def exit_statuses():
    rows = re.findall(r'X\(\w+,\s*"(\w+)",\s*(\d+),\s*(\d+),', (ROOT / "lib/error-list.h").read_text())
    return {name: int(status) for name, _, status in rows}, {name: int(http) for name, http, _ in rows}


EXIT_STATUS, HTTP_STATUS = exit_statuses()


def signing_denials(refusals):
    """name: (reply of a request to sign, error, rule or None): what the service itself refuses."""
    stack, account = refusals["stack"], refusals["account"]
    release, firmware, retired = (stack.keys[f"acme/mobile/{k}"]["id"] for k in ("release", "firmware", "retired"))
    return {
        "not there": (account.sign("key_" + "b" * 26, DIGEST), "KeyNotFound", None),
        "out of scope by id": (account.sign(stack.keys["other/secret"]["id"], DIGEST), "KeyNotFound", None),
        "disabled": (account.sign(retired, DIGEST), "KeyDisabled", "key-state"),
        "digest too short": (account.sign(release, DIGEST[:31]), "BadDigest", None),
        "no digest": (account.sign(release, b""), "BadDigest", None),
        "scheme of another algorithm": (account.sign(release, DIGEST, scheme="rsa-pkcs1"), "UnsupportedScheme", None),
        "salt too long": (account.sign(firmware, DIGEST, scheme="rsa-pss", salt_length=5000), "BadRequest", None),
    }


def test_i5_refusals_as_http_problems_and_in_the_log(refusals):
    stack = refusals["stack"]
    for name, ((status, headers, problem), error, rule) in signing_denials(refusals).items():
        assert problem["type"] == f"urn:csign:error:{error}", (name, problem)
        assert status == problem["status"] == HTTP_STATUS[error], (name, problem)
        assert headers["Content-Type"].startswith("application/problem+json")
        assert problem["title"] and problem["detail"] and problem["advice"]
        assert REQUEST.fullmatch(problem["request_id"]) and headers["X-Request-Id"] == problem["request_id"]
        if rule:
            assert problem["rule"] == rule
        done = stack.csign("audit", "list", "--request", problem["request_id"])
        assert problem["request_id"] in text(done.stdout), (name, "the log does not have this refusal")
        assert error in text(done.stdout), (name, text(done.stdout))
    check_chain(stack)


def test_i5_an_http_request_that_is_not_let_in(refusals):
    stack, account = refusals["stack"], refusals["account"]
    status, headers, problem = stack.api("GET", "/v1/keys", bearer="csk_" + "A" * 43)
    assert status == 401 and problem["type"] == "urn:csign:error:Unauthenticated", problem
    assert REQUEST.fullmatch(headers["X-Request-Id"])
    # a good token in another's hands: another TLS key, or none
    status, _, problem = stack.api("GET", "/v1/keys", bearer=account.bearer)
    assert status == 401, problem
    # an assertion counts once
    assertion = account.jwt()
    assert account.token(assertion)[0] == 200
    status, _, problem = account.token(assertion)
    assert status in (400, 401) and problem["error"] == "invalid_client", problem


def test_i5_i6_a_digest_of_the_wrong_length(stack, tmp_path):
    short, out = tmp_path / "short", tmp_path / "sig"
    short.write_bytes(DIGEST[:20])
    done = stack.openssl("pkeyutl", "-sign", "-inkey", RELEASE, "-in", short, "-pkeyopt", "digest:sha256", "-out", out,
                         check=False, timeout=5)
    assert done.returncode != 0 and empty(out)
    with Peer(stack.sidecar.socket) as peer, pytest.raises(DBusError) as refusal:
        peer.sign(stack.keys["acme/mobile/release"]["id"], 1, "ecdsa", "SHA256", DIGEST[:20])
    assert refusal.value.short == "BadDigest"


def test_i5_i6_nobody_at_the_other_end(fresh_stack, document, tmp_path):
    stack, out = fresh_stack(), tmp_path / "sig"
    sign(stack, RELEASE, document, out)
    out.unlink()

    stack.service.kill()
    done = sign(stack, RELEASE, document, out, check=False, timeout=25)
    assert done.returncode != 0 and empty(out)
    assert "service" in one_line(done, "service down")
    done = stack.csign("sign", "--key", RELEASE, "--out", out, document, check=False, timeout=25)
    assert done.returncode == EXIT_STATUS["ServiceUnavailable"], text(done.stderr)
    done = stack.csign("key", "list", check=False, timeout=25)
    assert done.returncode == EXIT_STATUS["ServiceUnavailable"], text(done.stderr)
    with Peer(stack.sidecar.socket, timeout=25) as peer, pytest.raises(DBusError) as refusal:
        peer.sign(stack.keys["acme/mobile/release"]["id"], 1, "ecdsa", "SHA256", DIGEST)
    assert refusal.value.short == "ServiceUnavailable"
    stack.service.start()

    stack.keystore.kill()
    done = sign(stack, RELEASE, document, out, check=False, timeout=25)
    assert done.returncode != 0 and empty(out)
    done = stack.csign("sign", "--key", RELEASE, "--out", out, document, check=False, timeout=25)
    assert done.returncode == EXIT_STATUS["KeystoreUnavailable"], text(done.stderr)
    stack.keystore.start()
    sign(stack, RELEASE, document, out)
    out.unlink()

    stack.sidecar.kill()
    done = sign(stack, RELEASE, document, out, check=False, timeout=25)
    assert done.returncode != 0 and empty(out)
    assert "sidecar" in one_line(done, "sidecar down")
    done = stack.csign("sign", "--key", RELEASE, "--out", out, document, check=False, timeout=25)
    assert done.returncode == EXIT_STATUS["SidecarUnavailable"], text(done.stderr)
    stack.sidecar.start()
    sign(stack, RELEASE, document, out)


def test_i5_refusals_on_a_bus(bus_stack):
    """The same words through a broker, by the distribution's own clients."""
    for client in (
        [tool("busctl"), f"--address={bus_stack.bus}", "call", "org.csign.Sidecar1", "/org/csign/Sidecar1",
         "org.csign.Sidecar1", "GetKey", "su", "other/secret", "0"],
        [tool("gdbus"), "call", "--address", bus_stack.bus, "--dest", "org.csign.Sidecar1", "--object-path",
         "/org/csign/Sidecar1", "--method", "org.csign.Sidecar1.GetKey", "other/secret", "0"],
    ):
        done = bus_stack.run(client, check=False, timeout=5)
        assert done.returncode != 0
        assert b"rule scope" in done.stderr and REQUEST.search(text(done.stderr)), text(done.stderr)


def test_i6_other_programs_fail_when_nothing_was_signed(refusals, tmp_path, document):
    """Not only ours: cms, req and osslsigncode must not exit 0 with a key that is disabled."""
    stack, out = refusals["stack"], tmp_path / "out"
    reference, certificate = tmp_path / "retired.pem", stack.certificate("acme/mobile/retired", tmp_path)
    stack.set_key_state("acme/mobile/retired", "enabled")
    reference.write_bytes(stack.csign("ref", "csign://acme/mobile/retired").stdout)
    stack.set_key_state("acme/mobile/retired", "disabled")
    program = tmp_path / "program.exe"
    (tmp_path / "program.c").write_text("int main(void) { return 0; }\n")
    stack.run([tool("x86_64-w64-mingw32-gcc"), "-o", program, tmp_path / "program.c"])
    for argv in (
        [tool("openssl"), "cms", "-sign", "-binary", "-in", document, "-signer", certificate, "-inkey", reference,
         "-outform", "DER", "-out", out],
        [tool("openssl"), "req", "-new", "-key", reference, "-subj", "/CN=x", "-out", out],
        [tool("osslsigncode"), "sign", "-h", "sha256", "-certs", certificate, "-key", reference, "-in", program, "-out",
         out],
    ):
        done = stack.host(argv, check=False, timeout=10)
        assert done.returncode != 0, f"{argv[:2]} exits 0 although nothing was signed"
    done = stack.csign("run", "--", "false", check=False)
    assert done.returncode == 1, "csign run does not hand on the command's status"


# ---- I7: the application is a guest house ----

@pytest.mark.parametrize("uri", [RELEASE, FIRMWARE])
def test_i7_a_host_finds_everything_as_it_was(stack, uri):
    """Threads, fork, descriptors, signal handlers, and not a word on stdout or stderr."""
    done = stack.host([stack.build / "tests/e2e/guest", uri], check=False, timeout=90)
    assert (done.returncode, text(done.stdout), text(done.stderr)) == (0, "ok\n", "")


def test_i7_loading_the_provider_asks_nobody(fresh_stack):
    """A host that has csign.so in its configuration and does other things never talks to the sidecar."""
    stack = fresh_stack()
    stack.sidecar.kill()
    for argv in (["list", "-providers"], ["dgst", "-sha256", "/etc/hostname"], ["genpkey", "-algorithm", "EC", "-pkeyopt",
                                                                                "ec_paramgen_curve:P-256"]):
        done = stack.openssl(*argv, timeout=5)
        assert b"csign:" not in done.stderr
    stack.sidecar.start()


@pytest.mark.slow
@pytest.mark.uninstrumented
def test_i7_one_signature_leaks_nothing(stack, tmp_path):
    digest = tmp_path / "digest"
    digest.write_bytes(DIGEST)
    done = stack.run([tool("valgrind"), "--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect",
                      "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=9", tool("openssl"), "pkeyutl",
                      "-sign", "-provider", "csign", "-inkey", RELEASE, "-in", digest, "-pkeyopt", "digest:sha256",
                      "-out", tmp_path / "sig"], env=stack.environment(), timeout=120)
    assert b"definitely lost" not in done.stderr


# ---- I8: no bus needed ----

def test_i8_works_without_any_bus(stack, document, tmp_path):
    env = stack.environment()
    assert not [name for name in env if name.startswith("DBUS_")]
    env["DBUS_SESSION_BUS_ADDRESS"] = env["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={tmp_path}/no-bus"
    sign(stack, RELEASE, document, tmp_path / "sig", env=env)


def test_i8_the_users_socket_is_found_by_itself(stack, document, tmp_path):
    env = stack.environment()
    del env["CSIGN_BUS"]
    runtime = tmp_path / "runtime"
    (runtime / "csign").mkdir(parents=True)
    (runtime / "csign/sidecar.sock").symlink_to(stack.sidecar.socket)
    env["XDG_RUNTIME_DIR"] = str(runtime)
    sign(stack, RELEASE, document, tmp_path / "sig", env=env)


def test_i8_the_interface_is_the_same_on_a_bus(stack, bus_stack, document, tmp_path):
    sign(bus_stack, RELEASE, document, tmp_path / "sig")
    pem = bus_stack.public_key("acme/mobile/release", tmp_path)
    stack.plain_openssl("dgst", "-sha256", "-verify", pem, "-signature", tmp_path / "sig", document)
    introspection = bus_stack.run([tool("busctl"), f"--address={bus_stack.bus}", "--xml-interface", "introspect",
                                   "org.csign.Sidecar1", "/org/csign/Sidecar1"]).stdout.decode()
    with Peer(stack.sidecar.socket) as peer:
        (plain,) = peer.call("Introspect", "", interface="org.freedesktop.DBus.Introspectable")
    ours = re.compile(r'<interface name="org\.csign\.Sidecar1">.*?</interface>', re.DOTALL)
    assert ours.search(introspection)[0] == ours.search(plain)[0]


def test_i8_any_dbus_client_is_served(stack):
    """One that sends its first call in the same breath as BEGIN, as GDBus and libdbus may."""
    with Peer(stack.sidecar.socket, timeout=5, pipelined=False) as peer:
        assert peer.get_key("acme/mobile/release")["version"] == 1
