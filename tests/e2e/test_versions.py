# SPDX-License-Identifier: Apache-2.0
"""Versions of keys: rotation, what was loaded before it and what comes after, and versions that may sign no more."""

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

from peer import DBusError, Peer, Variant
from stack import text, wait_until
from test_service import DIGEST, UNKNOWN_KEY, Client, check_problem, check_signature, sign_item

provider = pytest.mark.provider


@pytest.fixture(scope="module")
def ci(stack, tmp_path_factory):
    """An account that reaches the keys of these tests."""
    c = Client(stack, tmp_path_factory.mktemp("versions"), f"acme/mobile/v-{os.urandom(4).hex()}").login()
    yield c
    c.close()


@pytest.fixture
def key(stack):
    return stack.add_key(f"acme/mobile/v-{os.urandom(4).hex()}")


def rotate(stack, key, **body):
    return stack.api("POST", f"/v1/keys/{key['id']}/versions", body, status=201)


def set_state(stack, key, version, state):
    return stack.api("PATCH", f"/v1/keys/{key['id']}/versions/{version}", {"state": state}, status=200)


def versions(stack, key):
    return stack.api("GET", f"/v1/keys/{key['id']}/versions", status=200)["versions"]


def sign(client, key, version):
    return client.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None, version=version))


def write_pem(stack, folder, name, *how, der):
    path = folder / f"{name}.pem"
    stack.plain_openssl(*how, "-inform", "DER", "-out", path, input=base64.b64decode(der))
    return path


def public_pem(stack, key, folder):
    return write_pem(stack, folder, f"public-{key['version']}", "pkey", "-pubin", der=key["public_key"])


def certificate_pem(stack, key, folder):
    return write_pem(stack, folder, f"certificate-{key['version']}", "x509", der=key["certificates"][0])


def certificate_terms(stack, key, folder):
    """(common name, days)"""
    shown = stack.plain_openssl("x509", "-in", certificate_pem(stack, key, folder), "-noout", "-subject", "-dates",
                                "-dateopt", "iso_8601").stdout.decode()
    begin, end = (time.mktime(time.strptime(t, "%Y-%m-%d %H:%M:%SZ")) for t in re.findall(r"=(\d{4}-.*)", shown))
    return re.search(r"CN = (.*)", shown).group(1), round((end - begin) / 86400)


# ---- rotation ----

def test_rotation_makes_the_next_version_the_primary(stack, key, tmp_path):
    second = rotate(stack, key)
    assert second["version"] == second["primary_version"] == 2 and second["version_state"] == "enabled"
    assert second["public_key"] != key["public_key"] and second["certificates"][0] != key["certificates"][0]
    for same in ("id", "path", "tsg", "name", "algorithm", "state", "description", "schemes", "created"):
        assert second[same] == key[same]
    assert stack.api("GET", f"/v1/keys/{key['id']}", status=200) == second
    assert stack.api("GET", f"/v1/keys/resolve?path={key['path']}", status=200) == second
    first = stack.api("GET", f"/v1/keys/resolve?path={key['path']}&version=1", status=200)
    assert first == key | {"primary_version": 2, "revision": 2}
    assert versions(stack, key) == [second, first]

    ca = tmp_path / "ca.pem"
    ca.write_text(stack.api("GET", "/v1/authorities?tsg=acme", status=200)["certificates"])
    stack.plain_openssl("verify", "-x509_strict", "-purpose", "any", "-CAfile", ca, certificate_pem(stack, second, tmp_path))
    held = stack.plain_openssl("x509", "-in", certificate_pem(stack, second, tmp_path), "-noout", "-pubkey").stdout
    assert held == public_pem(stack, second, tmp_path).read_bytes()


def test_a_certificate_is_like_the_one_before_unless_asked(stack, tmp_path):
    key = stack.add_key(f"acme/mobile/v-{os.urandom(4).hex()}", subject="Acme Märchen", validity_days=30)
    assert certificate_terms(stack, rotate(stack, key), tmp_path)[1] == 30
    assert stack.plain_openssl("x509", "-in", tmp_path / "certificate-2.pem", "-noout", "-subject").stdout == \
        stack.plain_openssl("x509", "-in", certificate_pem(stack, key, tmp_path), "-noout", "-subject").stdout
    assert certificate_terms(stack, rotate(stack, key, subject="Acme", validity_days=60), tmp_path) == ("Acme", 60)
    assert certificate_terms(stack, rotate(stack, key), tmp_path) == ("Acme", 60)
    assert rotate(stack, key, certificate="none")["certificates"] == []
    assert rotate(stack, key)["certificates"] == []
    assert certificate_terms(stack, rotate(stack, key, certificate="builtin"), tmp_path) == (key["path"], 365)


def test_rotations_are_in_the_log(stack, key):
    second = rotate(stack, key)
    set_state(stack, key, 1, "disabled")
    made, rotated, changed = (r["record"] for r in stack.audit(key=key["id"]))
    assert made["kind"] == "key.create" and rotated["kind"] == "key.rotate" and changed["kind"] == "key.change"
    serial = rotated["what"].pop("certificate_serial")
    assert rotated["what"] == {"key": key["id"], "path": key["path"], "tsg": key["tsg"], "from_version": "1",
                               "to_version": "2"}
    assert base64.b64decode(second["certificates"][0]).find(bytes.fromhex(serial)) > 0
    assert rotated["principal"]["type"] == "user" and rotated["result"] == "allowed"
    assert changed["what"] == {"key": key["id"], "path": key["path"], "tsg": key["tsg"], "version": "1",
                               "state": "disabled", "state_before": "enabled"}


def test_of_rotations_at_once_each_counts_or_is_refused(stack, key):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: stack.api("POST", f"/v1/keys/{key['id']}/versions", {}), range(16)))
    made = [body["version"] for status, _, body in replies if status == 201]
    for reply in replies:
        if reply[0] != 201:
            check_problem(reply, 409, "KeyChanged")
    assert made and sorted(made) == list(range(2, 2 + len(made)))
    assert [v["version"] for v in versions(stack, key)] == list(range(1 + len(made), 0, -1))
    kinds = [r["record"]["kind"] for r in stack.audit(key=key["id"])]
    assert kinds == ["key.create"] + ["key.rotate"] * len(made)


def test_a_rotation_that_is_sent_twice_counts_once(stack, key):
    header = {"Idempotency-Key": f"rotate-{os.urandom(8).hex()}"}
    path = f"/v1/keys/{key['id']}/versions"
    first, again = (stack.api("POST", path, {}, headers=header) for _ in range(2))
    assert first[0] == again[0] == 201 and first[2] == again[2] and first[2]["version"] == 2
    assert again[1]["Idempotency-Replayed"] == "true"
    assert [v["version"] for v in versions(stack, key)] == [2, 1]
    assert [r["record"]["kind"] for r in stack.audit(key=key["id"])] == ["key.create", "key.rotate"]


def test_without_the_key_store_nothing_is_rotated(fresh_stack):
    stack = fresh_stack(sidecar=False)
    key = stack.keys["acme/mobile/release"]
    stack.keystore.stop()
    status, _, body = stack.api("POST", f"/v1/keys/{key['id']}/versions", {})
    assert status == 503 and body["type"] == "urn:csign:error:KeystoreUnavailable"
    assert versions(stack, key) == [key]
    stack.keystore.start()
    wait_until("the key store is back",
               lambda: stack.api("POST", f"/v1/keys/{key['id']}/versions", {})[0] == 201)
    assert [v["version"] for v in versions(stack, key)] == [2, 1]


def test_versions_are_listed_in_pages(stack, key):
    for _ in range(4):
        rotate(stack, key, certificate="none")
    seen, cursor = [], ""
    while True:
        page = stack.api("GET", f"/v1/keys/{key['id']}/versions?limit=2&cursor={cursor}", status=200)
        seen.append([v["version"] for v in page["versions"]])
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == [[5, 4], [3, 2], [1]]


# ---- who may, and what is refused ----

def test_versions_have_their_key_s_scope(stack, key, ci, tmp_path):
    path = f"/v1/keys/{key['id']}/versions"
    status, _, body = ci.api("GET", path)
    assert status == 200 and body["versions"] == [key]
    check_problem(ci.api("POST", path, {}), 403, "NotPermitted", "role")
    check_problem(ci.api("PATCH", path + "/1", {"state": "disabled"}), 403, "NotPermitted", "role")
    with contextlib.closing(Client(stack, tmp_path / "web", f"acme/web/v-{os.urandom(4).hex()}").login()) as stranger:
        check_problem(stranger.api("GET", path), 404, "KeyNotFound", "scope")
        check_problem(stranger.api("POST", path, {}), 403, "NotPermitted", "role")
        check_problem(stranger.api("PATCH", path + "/1", {"state": "disabled"}), 403, "NotPermitted", "role")
        check_problem(sign(stranger, key, 1), 404, "KeyNotFound", "scope")
    assert versions(stack, key) == [key]


@pytest.mark.parametrize("method, more, body, status, name", [
    ("POST", "/versions", {"certificate": "public"}, 400, "BadRequest"),
    ("POST", "/versions", {"certificate": "none", "subject": "x"}, 400, "BadRequest"),
    ("POST", "/versions", {"certificate": "none", "validity_days": 3}, 400, "BadRequest"),
    ("POST", "/versions", {"validity_days": 461}, 400, "BadRequest"),
    ("POST", "/versions", {"subject": "x" * 65}, 400, "BadRequest"),
    ("POST", "/versions", {"algorithm": "RSA-2048"}, 400, "BadRequest"),
    ("POST", "/versions", [], 400, "BadRequest"),
    ("PATCH", "/versions/1", {"state": "primary"}, 400, "BadRequest"),
    ("PATCH", "/versions/1", {}, 400, "BadRequest"),
    ("PATCH", "/versions/2", {"state": "disabled"}, 404, "KeyNotFound"),
    ("PATCH", "/versions/0", {"state": "disabled"}, 400, "BadRequest"),
    ("PATCH", "/versions/-1", {"state": "disabled"}, 400, "BadRequest"),
    ("PATCH", "/versions/1x", {"state": "disabled"}, 400, "BadRequest"),
    ("PATCH", "/versions/4294967296", {"state": "disabled"}, 400, "BadRequest"),
    ("GET", "/versions?cursor=x", None, 400, "BadRequest"),
    ("GET", "/versions/1", None, 405, "BadRequest"),
    ("DELETE", "/versions/1", None, 405, "BadRequest"),
    ("GET", "?version=2", None, 404, "KeyNotFound"),
], ids=lambda v: str(v)[:40])
def test_a_bad_request_changes_nothing(stack, ci, method, more, body, status, name):
    key = stack.keys["acme/web/site"]
    check_problem(ci.api(method, f"/v1/keys/{key['id']}{more}", body, token=stack.api_key), status, name)
    assert versions(stack, key) == [key]


@pytest.mark.parametrize("method, more, body", [("GET", "", None), ("POST", "", {}), ("PATCH", "/1", {"state": "enabled"})])
def test_an_unknown_key_has_no_versions(stack, ci, method, more, body):
    check_problem(ci.api(method, f"/v1/keys/{UNKNOWN_KEY}/versions{more}", body, token=stack.api_key), 404, "KeyNotFound")


def test_a_version_that_is_not_there_is_told_only_to_who_reaches_the_key(stack, ci):
    key, other = stack.keys["acme/mobile/release"], stack.keys["other/secret"]
    detail = check_problem(ci.api("GET", f"/v1/keys/resolve?path={key['path']}&version=9"), 404, "KeyNotFound")["detail"]
    assert "no version 9" in detail
    check_problem(ci.api("GET", f"/v1/keys/resolve?path={other['path']}&version=9"), 403, "OutOfScope", "scope")
    check_problem(ci.api("GET", f"/v1/keys/{other['id']}?version=9"), 404, "KeyNotFound", "scope")


# ---- signing with versions ----

def test_each_version_signs_with_its_own_key(stack, key, ci, tmp_path):
    of = {1: key, 2: rotate(stack, key)}
    of[0] = of[2]
    for version, expect in of.items():
        status, _, body = sign(ci, key, version)
        assert status == 201
        check_signature(stack, expect, body["signature"], tmp_path)
        other = of[1] if expect is of[2] else of[2]
        (tmp_path / "signature").write_bytes(base64.b64decode(body["signature"]))
        wrong = stack.plain_openssl("pkeyutl", "-verify", "-pubin", "-inkey", public_pem(stack, other, tmp_path),
                                    "-sigfile", tmp_path / "signature", "-in", tmp_path / "digest", check=False)
        assert wrong.returncode != 0
        (record,) = stack.audit(request_id=body["request_id"])
        assert record["record"]["key"]["version"] == expect["version"]


def test_a_disabled_version_signs_no_more_at_once(stack, key, ci):
    rotate(stack, key)
    for _ in range(3):
        assert sign(ci, key, 1)[0] == 201
        assert set_state(stack, key, 1, "disabled")["version_state"] == "disabled"
        problem = check_problem(sign(ci, key, 1), 403, "KeyDisabled", "version-state")
        (record,) = stack.audit(request_id=problem["request_id"])
        record = record["record"]
        assert (record["result"], record["rule"], record["key"]["version"]) == ("KeyDisabled", "version-state", 1)
        assert sign(ci, key, 2)[0] == sign(ci, key, 0)[0] == 201
        assert set_state(stack, key, 1, "enabled")["version_state"] == "enabled"


def test_the_primary_version_can_be_disabled(stack, key, ci):
    rotate(stack, key)
    changed = set_state(stack, key, 2, "disabled")
    assert changed["version"] == changed["primary_version"] == 2 and changed["state"] == "enabled"
    for version in (0, 2):
        assert "primary" in check_problem(sign(ci, key, version), 403, "KeyDisabled", "version-state")["detail"]
    assert sign(ci, key, 1)[0] == 201
    rotate(stack, key)
    assert sign(ci, key, 0)[0] == 201
    check_problem(sign(ci, key, 2), 403, "KeyDisabled", "version-state")


def test_a_disabled_key_s_versions_are_all_disabled(stack, key, ci):
    rotate(stack, key)
    stack.set_key_state(key["path"], "disabled")
    set_state(stack, key, 1, "enabled")
    for version in (0, 1, 2):
        check_problem(sign(ci, key, version), 403, "KeyDisabled", "key-state")
    third = rotate(stack, key)
    assert third["state"] == "disabled"
    check_problem(sign(ci, key, 3), 403, "KeyDisabled", "key-state")


# ---- programs that live longer than a version ----

class Program:
    """host-hold: loads its key once."""

    def __init__(self, stack, key, folder):
        folder.chmod(0o755)
        self.sig = folder / f"sig-{os.urandom(4).hex()}"
        argv, env = stack.hosted([str(stack.build / "tests/e2e/c/host-hold"), str(key)])
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "loaded\n"

    def sign(self):
        self.process.stdin.write(f"{self.sig}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


def test_who_is_refused_and_loads_again_sees_the_key_as_it_is(stack, key, tmp_path):
    """What was looked up is remembered for two seconds, but not across a refusal."""
    tmp_path.chmod(0o755)
    argv, env = stack.hosted([str(stack.build / "tests/e2e/c/host-later"), f"csign://{key['path']}", "again"])
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        def say():
            process.stdin.write("\n")
            process.stdin.flush()
            return process.stdout.readline()

        assert process.stdout.readline() == "loaded\n"
        assert say() == "signed\n"
        rotate(stack, key)
        set_state(stack, key, 1, "disabled")
        with Peer(stack.sidecar.socket) as peer:
            wait_until("the path means version 2", lambda: peer.get_key(key["path"])["version"] == 2)
        assert say() in ("refused\n", "signed\n")  # the latter when all of this took two seconds
        assert say() == "signed\n"
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture
def program(stack, tmp_path):
    with contextlib.ExitStack() as all_of_them:
        def start(key):
            one = Program(stack, key, tmp_path)
            all_of_them.callback(one.end)
            return one
        yield start


def verify(stack, key, sig, folder):
    (folder / "data").write_bytes(b"data")
    done = stack.plain_openssl("dgst", "-sha256", "-verify", public_pem(stack, key, folder), "-signature", sig,
                               folder / "data", check=False)
    return b"Verified OK" in done.stdout


@provider
@pytest.mark.parametrize("algorithm", ("P-256", "RSA-2048"))
@pytest.mark.parametrize("how", ("uri", "csign ref", "openssl pkey"))
def test_what_was_loaded_before_a_rotation_signs_after_it(stack, program, tmp_path, algorithm, how):
    first = stack.add_key(f"acme/mobile/v-{os.urandom(4).hex()}", algorithm)
    name, uri = f"csign://{first['path']}", f"csign://{first['path']}"
    if how != "uri":
        name = tmp_path / "ref.pem"
        if how == "csign ref":
            stack.csign("ref", uri, "-o", name)
        else:
            stack.openssl("pkey", "-in", uri, "-out", name)
    running = program(name)
    assert running.sign() == "signed" and verify(stack, first, running.sig, tmp_path)
    second = rotate(stack, first)
    for _ in range(2):
        assert running.sign() == "signed"
        assert verify(stack, first, running.sig, tmp_path) and not verify(stack, second, running.sig, tmp_path)

    set_state(stack, first, 1, "disabled")
    said = running.sign()
    assert re.search(r"csign: version 1 of key '.*' is disabled \(rule version-state, request req_[a-z2-7]{26}\)", said)
    (record,) = stack.audit(request_id=re.search(r"req_\w+", said).group())
    assert record["record"]["result"] == "KeyDisabled"
    pinned = program(f"{uri}@2")
    assert pinned.sign() == "signed" and verify(stack, second, pinned.sig, tmp_path)
    set_state(stack, first, 1, "enabled")
    assert running.sign() == "signed" and verify(stack, first, running.sig, tmp_path)


@provider
def test_a_tls_server_goes_on_with_what_it_loaded(stack, key, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    tmp_path.chmod(0o755)
    certificate = certificate_pem(stack, key, tmp_path)
    argv, env = stack.hosted(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", f"csign://{key['path']}",
                              "-cert", str(certificate), "-www", "-quiet"])
    server = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def listens():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def handshake():
        done = stack.plain_openssl("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", certificate, "-partial_chain",
                                   "-purpose", "any", input=b"", check=False)
        return done.returncode == 0 and b"Verify return code: 0 (ok)" in done.stdout

    try:
        wait_until("s_server listens", listens)
        assert handshake()
        rotate(stack, key)
        assert handshake()
        set_state(stack, key, 1, "disabled")
        assert not handshake()
    finally:
        server.terminate()
        server.wait()


def test_a_new_load_gets_the_new_version_within_5_seconds_everywhere(stack, key):
    """On machines that loaded the old one in the moment before, and that nobody touches."""
    name = f"versions-{os.urandom(4).hex()}"
    with contextlib.ExitStack() as opened:
        machines = [stack.sidecar, stack.add_sidecar(name, f"acme/mobile/{name}")]
        opened.callback(machines[1].stop)
        peers = [opened.enter_context(Peer(m.socket)) for m in machines]
        assert [p.get_key(key["path"])["version"] for p in peers] == [1, 1]
        second, begin = rotate(stack, key), time.monotonic()
        for p in peers:
            wait_until("the path means version 2", lambda p=p: p.get_key(key["path"])["version"] == 2)
        took = time.monotonic() - begin
        assert took < 5, took
        print(f"a new load got version 2 after {took:.2f} s")
        for p in peers:
            assert p.get_key(key["path"])["public-key"] == base64.b64decode(second["public_key"])
            assert p.get_key(key["path"], 1)["public-key"] == base64.b64decode(key["public_key"])


def test_a_path_that_nobody_asked_for_is_the_new_version_at_once(stack, key):
    rotate(stack, key)
    with Peer(stack.sidecar.socket) as peer:
        assert peer.get_key(key["path"])["version"] == 2


def test_the_sidecar_tells_a_version_s_state(stack, key):
    rotate(stack, key)
    set_state(stack, key, 1, "disabled")
    with Peer(stack.sidecar.socket) as peer:
        assert [peer.get_key(key["path"], n)["state"] for n in (1, 2)] == ["disabled", "enabled"]


def test_the_public_key_of_another_version_is_refused(stack, key):
    second = rotate(stack, key)
    believed = {v["version"]: hashlib.sha256(base64.b64decode(v["public_key"])).digest() for v in (key, second)}
    with Peer(stack.sidecar.socket) as peer:
        for version, of in ((1, 1), (2, 2)):
            assert peer.sign(key["id"], version, "ecdsa", "SHA256", DIGEST,
                             **{"public-key-sha256": Variant("ay", believed[of])})[0]
        for version, of in ((1, 2), (2, 1)):
            with pytest.raises(DBusError) as e:
                peer.sign(key["id"], version, "ecdsa", "SHA256", DIGEST,
                          **{"public-key-sha256": Variant("ay", believed[of])})
            assert e.value.short == "KeyChanged"


def reference(stack, uri):
    return base64.b64decode("".join(text(stack.csign("ref", uri).stdout).splitlines()[1:-1]))


@provider
def test_a_reference_with_the_public_key_of_another_version_is_refused(stack, key, tmp_path):
    rotate(stack, key)
    refs = [reference(stack, f"csign://{key['path']}@{n}") for n in (1, 2)]
    assert [r[:-65] for r in refs][0] != refs[1][:-65]
    mixed, data = tmp_path / "mixed.pem", tmp_path / "data"
    data.write_bytes(b"data")
    tmp_path.chmod(0o755)
    mixed.write_text("-----BEGIN CSIGN KEY REFERENCE-----\n"
                     + base64.encodebytes(refs[1][:-65] + refs[0][-65:]).decode()
                     + "-----END CSIGN KEY REFERENCE-----\n")
    done = stack.openssl("dgst", "-sha256", "-sign", mixed, "-out", tmp_path / "sig", data, check=False, timeout=10)
    (line,) = [line for line in text(done.stderr).splitlines() if ":csign: " in line]
    assert done.returncode != 0 and "version 2 has another public key than the one that was loaded" in line


@provider
def test_store_uris_name_versions(stack, key, tmp_path):
    second = rotate(stack, key)
    for uri, expect in ((f"csign://{key['path']}@1", key), (f"csign://{key['path']}@2", second),
                        (f"csign:{key['path']}", second)):
        out = stack.openssl("storeutl", "-certs", uri).stdout
        assert certificate_pem(stack, expect, tmp_path).read_bytes() in out
        shown = stack.openssl("pkey", "-in", uri, "-pubout").stdout
        assert shown == public_pem(stack, expect, tmp_path).read_bytes()
    listing = text(stack.openssl("storeutl", "csign://acme/mobile/").stdout)
    assert f"Name: csign://{key['path']}\nP-256, version 2, enabled\n" in listing
    done = stack.openssl("pkey", "-in", f"csign://{key['path']}@3", "-pubout", check=False, timeout=10)
    assert done.returncode != 0 and b"has no version 3" in done.stderr


# ---- csign ----

def test_csign_rotates_and_disables(stack, tmp_path):
    path = f"acme/mobile/v-{os.urandom(4).hex()}"
    file, sig = tmp_path / "file", tmp_path / "sig"
    file.write_bytes(b"what is signed")

    def refused(status, words, *argv):
        done = stack.csign(*argv, check=False, timeout=5)
        lines = text(done.stderr).splitlines()
        assert done.returncode == status and len(lines) == 2 and words in lines[0], text(done.stderr)

    made = json.loads(stack.csign("key", "create", path, "--json").stdout)
    assert "version 2" in text(stack.csign("key", "rotate", path, "--subject", "Acme", "--validity-days", "7").stdout)
    third = json.loads(stack.csign("key", "rotate", made["id"], "--json").stdout)
    assert third["version"] == 3
    table = [line.split() for line in text(stack.csign("key", "versions", f"csign://{path}").stdout).splitlines()]
    assert [row[:3] for row in table[1:]] == [["3", "enabled", "yes"], ["2", "enabled", "-"], ["1", "enabled", "-"]]
    assert table[3][-1] == f"csign://{path}@1"
    assert [v["version"] for v in json.loads(stack.csign("key", "versions", path, "--json").stdout)] == [3, 2, 1]

    stack.csign("sign", "--key", f"{path}@1", file, "-o", sig)
    stack.csign("verify", "--key", f"{path}@1", "--signature", sig, file)
    refused(9, "NOT good", "verify", "--key", f"{path}@3", "--signature", sig, file)
    assert "Version 1 of key" in text(stack.csign("key", "disable", f"{path}@1").stdout)
    refused(6, "rule version-state", "sign", "--key", f"{path}@1", file, "-o", sig)
    assert "the primary one" in text(stack.csign("key", "disable", f"{path}@3").stdout)
    stack.csign("key", "enable", f"{path}@3")
    stack.csign("key", "enable", f"csign://{path}@1")
    stack.csign("sign", "--key", f"{path}@1", file, "-o", sig)

    log = text(stack.csign("audit", "list", "--key", path).stdout).splitlines()[1:]
    assert [(line.split()[2], line.split()[4]) for line in log][1:6] == [
        ("key.rotate", f"{path}@2"), ("key.rotate", f"{path}@3"), ("sign", f"{path}@1"), ("key.change", f"{path}@1"),
        ("sign", f"{path}@1")]

    for verb in ("rotate", "versions"):
        refused(2, "leave out the @1", "key", verb, f"{path}@1")
    refused(4, "has no version 9", "key", "show", f"{path}@9")
    refused(4, "has no version 9", "key", "disable", f"{path}@9")
    refused(4, "acme/mobile/nope", "key", "rotate", "acme/mobile/nope")
