# SPDX-License-Identifier: Apache-2.0
"""The sidecar, as programs, operators and rude neighbours meet it: on its socket and on a bus."""

import concurrent.futures
import contextlib
import grp
import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

import pytest

from peer import DBusError, Peer, Variant
from stack import ACCOUNT, ROOT, STRANGER_UID, Daemon, as_user, base_env, temp_folder, text, tool, wait_until

RELEASE = "acme/mobile/release"
NOBODY = 65534  # a bus lets in only users that have a name
DIGEST = hashlib.sha256(b"what is signed").digest()
NAME, OBJECT, INTERFACE = "org.csign.Sidecar1", "/org/csign/Sidecar1", "org.csign.Sidecar1"


def sign(peer, key, digest=DIGEST, **options):
    return peer.sign(key["id"], key["version"], "ecdsa", "SHA256", digest, **options)


def refused(name, peer, member, signature, *values):
    """The text of the error, which must have that name."""
    with pytest.raises(DBusError) as e:
        peer.call(member, signature, *values)
    assert e.value.short == name, str(e.value)
    assert "\n" not in e.value.message
    return e.value.message


def verify(stack, tmp_path, path, signature, digest=DIGEST):
    (tmp_path / "digest").write_bytes(digest)
    (tmp_path / "signature").write_bytes(signature)
    stack.plain_openssl("pkeyutl", "-verify", "-pubin", "-inkey", stack.public_key(path, tmp_path), "-in",
                        tmp_path / "digest", "-sigfile", tmp_path / "signature", "-pkeyopt", "digest:sha256")


def as_stranger(code, *argv):
    """Runs Python with peer.py as a user whom nobody knows; gives what it prints."""
    script = (pathlib.Path(__file__).parent / "peer.py").read_text() + code
    done = subprocess.run(as_user(STRANGER_UID, [sys.executable, "-c", script, *map(str, argv)]), check=False,
                          capture_output=True, timeout=180, cwd="/", env=base_env())
    assert done.returncode == 0, text(done.stderr)
    return text(done.stdout)


def busctl(stack, *argv, check=True, uid=None):
    return stack.run(as_user(uid, [tool("busctl"), f"--address={stack.bus}", "--json=short", *argv]), check=check)


# ---- the interface ----

def interface_of(xml_text):
    found = xml.etree.ElementTree.fromstring(xml_text).find(f"interface[@name='{INTERFACE}']")
    methods = {m.get("name"): [(a.get("name"), a.get("type"), a.get("direction")) for a in m.findall("arg")]
               for m in found.findall("method")}
    properties = {p.get("name"): (p.get("type"), p.get("access"),
                                  {a.get("name"): a.get("value") for a in p.findall("annotation")})
                  for p in found.findall("property")}
    return methods, properties, [s.get("name") for s in found.findall("signal")]


def test_the_daemon_answers_what_the_document_says(stack, bus_stack):
    written = interface_of((ROOT / "sidecar/org.csign.Sidecar1.xml").read_text())
    with Peer(stack.sidecar.socket) as peer:
        assert interface_of(peer.call("Introspect", "", interface="org.freedesktop.DBus.Introspectable")[0]) == written
    done = stack.run([tool("busctl"), f"--address={bus_stack.bus}", "introspect", "--xml-interface", NAME, OBJECT])
    assert interface_of(done.stdout) == written


def test_the_version_is_a_property(stack):
    with Peer(stack.sidecar.socket) as peer:
        version = peer.call("Get", "ss", INTERFACE, "Version", interface="org.freedesktop.DBus.Properties")[0]
        assert version == peer.call("Status", "")[0]["version"]


def test_busctl_alone_lists_keys_and_signs(bus_stack, tmp_path):
    call = ["call", NAME, OBJECT, INTERFACE]
    keys, cursor = json.loads(busctl(bus_stack, *call, "ListKeys", "ssu", "", "", "200").stdout)["data"]
    assert cursor == ""
    key = next(k for k in keys if k["path"]["data"] == RELEASE)
    described = json.loads(busctl(bus_stack, *call, "GetKey", "su", RELEASE, "0").stdout)["data"][0]
    assert described["id"]["data"] == key["id"]["data"]
    assert bytes(described["public-key"]["data"]) == bytes(key["public-key"]["data"])
    assert len(described["certificates"]["data"]) >= 1 and "certificates" not in key

    signature, receipt = json.loads(busctl(
        bus_stack, *call, "Sign", "sussaya{sv}", key["id"]["data"], key["version"]["data"], "ecdsa", "SHA256",
        len(DIGEST), *DIGEST, 0).stdout)["data"]
    verify(bus_stack, tmp_path, RELEASE, bytes(signature))
    record = bus_stack.audit(request_id=receipt["request-id"]["data"])[0]
    assert record["number"] == receipt["record"]["data"]
    assert record["record"]["caller"]["exe"] == os.path.realpath(tool("busctl"))


def test_a_signature_has_its_receipt_and_its_evidence(stack, tmp_path):
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        signature, receipt = sign(peer, key)
    verify(stack, tmp_path, RELEASE, signature)
    record = stack.audit(request_id=receipt["request-id"])[0]
    assert record["number"] == receipt["record"]
    caller = record["record"]["caller"]
    assert (caller["uid"], caller["gid"], caller["pid"]) == (os.getuid(), os.getgid(), os.getpid())
    assert caller["exe"] == os.path.realpath(sys.executable) and "exe_note" not in caller


def test_keys_are_listed_in_pages(stack):
    with Peer(stack.sidecar.socket) as peer:
        whole, _ = peer.call("ListKeys", "ssu", "", "", 200)
        paths, cursor = [], ""
        while True:
            page, cursor = peer.call("ListKeys", "ssu", "", cursor, 1)
            assert len(page) <= 1
            paths += [k["path"] for k in page]
            if not cursor:
                break
    assert paths == [k["path"] for k in whole] and RELEASE in paths
    assert all(p.startswith("acme/mobile/") for p in paths)  # the account's scope


def test_status_tells_who_we_are(stack):
    with Peer(stack.sidecar.socket) as peer:
        sign(peer, peer.get_key(RELEASE))
        before = peer.call("Status", "")[0]
        sign(peer, peer.get_key(RELEASE))
        after = peer.call("Status", "")[0]
    assert after | {"calls": "", "signatures": ""} == before | {"calls": "", "signatures": ""}
    assert after["service"] == stack.url and after["grant"] == "user"
    assert (after["account"], after["scope"]) == (ACCOUNT, "acme/mobile")
    assert after["client-id"] == stack.sidecar.client_id and after["last-error"] == ""
    assert after["token-expires"] > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert int(after["signatures"]) == int(before["signatures"]) + 1


def test_arguments_are_checked_before_anybody_is_asked(fresh_stack):
    stack = fresh_stack()
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        stack.service.kill()
        args = [key["id"], 1, "ecdsa", "SHA256", DIGEST, {}]

        def with_(i, value):
            return [*args[:i], value, *args[i + 1:]]

        sign_as = [peer, "Sign", "sussaya{sv}"]
        assert "31" in refused("BadDigest", *sign_as, *with_(4, DIGEST[1:]))
        refused("BadDigest", *sign_as, *with_(4, b""))
        refused("BadDigest", *sign_as, *with_(4, bytes(65)))
        assert "frob" in refused("BadRequest", *sign_as, *with_(5, {"frob": Variant("s", "x")}))
        refused("BadRequest", *sign_as, *with_(5, {"salt-length": Variant("u", 32)}))
        refused("BadRequest", *sign_as, *with_(5, {"salt-length": Variant("s", "32")}))
        refused("BadRequest", *sign_as, *with_(5, {"public-key-sha256": Variant("ay", b"short")}))
        refused("KeyChanged", *sign_as, *with_(5, {"public-key-sha256": Variant("ay", bytes(32))}))
        refused("UnsupportedScheme", *sign_as, *with_(5, {"mgf1-hash": Variant("s", "SHA1")}))
        refused("BadRequest", *sign_as, *with_(0, "acme/mobile/release"))
        refused("BadRequest", *sign_as, *with_(1, 0))
        refused("UnsupportedScheme", *sign_as, *with_(2, "rsa-pss"))
        refused("UnsupportedScheme", *sign_as, *with_(2, "dsa"))
        refused("UnsupportedScheme", *sign_as, *with_(3, "SHA1"))
        refused("UnsupportedScheme", *sign_as, *with_(3, "MD5"))
        refused("BadRequest", peer, "GetKey", "su", "a//b", 0)
        refused("BadRequest", peer, "ListKeys", "ssu", "", "", 0)
        refused("BadRequest", peer, "ListKeys", "ssu", "", "", 201)
        refused("BadRequest", peer, "ListKeys", "ssu", "", "x" * 300, 10)
        with pytest.raises(DBusError, match="InvalidArgs"):
            peer.call("GetKey", "s", RELEASE)
        with pytest.raises(DBusError, match="UnknownMethod"):
            peer.call("Frob", "")


def test_the_public_key_that_is_believed_in_is_compared(stack):
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        right = hashlib.sha256(key["public-key"]).digest()
        assert sign(peer, key, **{"public-key-sha256": Variant("ay", right)})[0]


# ---- local policy ----

POLICY = """rules = release, rest
[release]
keys = acme/mobile/release
effect = deny
[rest]
uids = {uid}
keys = acme/mobile/*
effect = allow
"""


def test_the_policy_decides_and_names_its_rule(stack):
    sidecar = stack.add_sidecar("policy", "acme/mobile/policy", policy=POLICY.format(uid=os.getuid()))
    with Peer(stack.sidecar.socket) as peer:
        release = peer.get_key(RELEASE)
    with Peer(sidecar.socket) as peer:
        said = refused("LocalPolicy", peer, "GetKey", "su", RELEASE, 0)
        assert "(rule local-policy:release, request req_" in said and "policy.conf" in said
        assert "rule local-policy:release" in refused("LocalPolicy", peer, "Sign", "sussaya{sv}", release["id"], 1,
                                                      "ecdsa", "SHA256", DIGEST, {})
        assert "rule local-policy:default" in refused("LocalPolicy", peer, "GetKey", "su", "acme/web/site", 0)
        keys = [k["path"] for k in peer.call("ListKeys", "ssu", "", "", 200)[0]]
        assert RELEASE not in keys and "acme/mobile/firmware" in keys
        assert peer.get_key("acme/mobile/firmware")["algorithm"] == "RSA-3072"
    sidecar.stop()


def test_a_denied_caller_costs_the_service_nothing(stack):
    sidecar = stack.add_sidecar("denies-all", "acme/mobile/denies-all",
                                policy="rules = none\n[none]\nkeys = *\neffect = deny\n")
    before = stack.metrics()["tls_handshakes_total"]
    with Peer(sidecar.socket) as peer:
        refused("LocalPolicy", peer, "GetKey", "su", RELEASE, 0)
        refused("LocalPolicy", peer, "ListKeys", "ssu", "", "", 10)
        refused("LocalPolicy", peer, "Sign", "sussaya{sv}", "key_" + "a" * 26, 1, "ecdsa", "SHA256", DIGEST, {})
    assert stack.metrics()["tls_handshakes_total"] - before <= 2  # our own two questions
    sidecar.stop()


ASK_AS_STRANGER = """
import sys
with Peer(sys.argv[1]) as p:
    for member, signature, values in (("GetKey", "su", ("acme/mobile/release", 0)), ("Reload", "", ()),
                                      ("ListKeys", "ssu", ("", "", 10))):
        try:
            print(p.call(member, signature, *values))
        except DBusError as e:
            print(e)
    print(p.call("Status", "")[0]["grant"])
"""


@pytest.mark.root
def test_a_foreign_user_is_named_and_refused(stack):
    said = as_stranger(ASK_AS_STRANGER, stack.sidecar.socket).splitlines()
    assert len(said) == 4 and said[3] == "user"
    for line in said[:3]:
        assert line.startswith("org.csign.Sidecar1.Error.LocalPolicy: ") and f"uid {STRANGER_UID} " in line
    assert "rule local-policy:default" in said[0] and "rule local-policy:owner" in said[1]


@pytest.mark.root
def test_a_foreign_user_on_a_bus_is_named_and_refused(bus_stack):
    done = busctl(bus_stack, "call", NAME, OBJECT, INTERFACE, "GetKey", "su", RELEASE, "0", check=False,
                  uid=NOBODY)
    assert done.returncode != 0
    assert f"uid {NOBODY} " in text(done.stderr) and "rule local-policy:default" in text(done.stderr)


@pytest.mark.root
def test_a_foreign_user_is_let_in_by_a_rule(stack):
    sidecar = stack.add_sidecar("lets-in", "acme/mobile/lets-in", policy=f"rules = a\n[a]\nuids = {STRANGER_UID}\n"
                                "keys = acme/mobile/*\neffect = allow\n")
    said = as_stranger(ASK_AS_STRANGER, sidecar.socket).splitlines()
    assert "acme/mobile/release" in said[0] and "Error" not in said[0]
    with Peer(sidecar.socket) as peer:  # root is nobody special once there is a policy
        refused("LocalPolicy", peer, "GetKey", "su", RELEASE, 0)
    sidecar.stop()


# ---- configuration and credential ----

def sidecar_alone(stack, name, **options):
    """One whose configuration the test writes."""
    return stack.add_sidecar(name, None, **options)


def test_without_a_configuration_it_says_so_until_it_has_one(stack):
    sidecar = sidecar_alone(stack, "empty")
    with Peer(sidecar.socket) as peer:
        assert "sidecar.conf" in refused("NoCredential", peer, "GetKey", "su", RELEASE, 0)
        assert "sidecar.conf" in refused("NoCredential", peer, "Reload", "")
        assert peer.call("Status", "")[0]["last-error"]
        sidecar.login("acme/mobile/late", {})
        assert peer.call("Reload", "") == []
        assert sign(peer, peer.get_key(RELEASE))
        assert peer.call("Status", "")[0]["account"] == "acme/mobile/late"
    sidecar.stop()


def test_a_credential_that_others_can_read_is_refused(stack):
    sidecar = sidecar_alone(stack, "loose")
    sidecar.login("acme/mobile/loose", {})
    key = sidecar.config / "credential.key"
    with Peer(sidecar.socket) as peer:
        for mode in (0o644, 0o640, 0o604):
            key.chmod(mode)
            said = refused("BadCredential", peer, "Reload", "")
            assert str(key) in said and f"{mode:04o}" in said
        key.chmod(0o600)
        peer.call("Reload", "")
        key.chmod(0o644)
        refused("BadCredential", peer, "Reload", "")
        assert sign(peer, peer.get_key(RELEASE))  # what was loaded before still holds
    sidecar.stop()
    sidecar.start()  # and from the start: it serves, and says why it cannot sign
    with Peer(sidecar.socket) as peer:
        assert "0644" in refused("BadCredential", peer, "GetKey", "su", RELEASE, 0)
        assert "0644" in peer.call("Status", "")[0]["last-error"]
    sidecar.stop()


def test_reload_is_all_or_nothing(stack):
    sidecar = stack.add_sidecar("reloads", "acme/mobile/reloads")
    policy = sidecar.config / "policy.conf"
    with Peer(sidecar.socket) as peer:
        sidecar.write_policy("rules = a\n[a]\nkeys = *\neffect = maybe\n")
        assert f"{policy}:4" in refused("BadConfig", peer, "Reload", "")
        sidecar.write_policy("rules = a\n[a]\nkeys = *\neffect = deny\n")
        good = sidecar.client_id
        sidecar.client_id = "acc_" + "a" * 26
        sidecar.write_config({})
        refused("Unauthenticated", peer, "Reload", "")
        assert sign(peer, peer.get_key(RELEASE))  # neither the account nor the policy has changed
        sidecar.client_id = good
        sidecar.write_config({})
        peer.call("Reload", "")
        refused("LocalPolicy", peer, "GetKey", "su", RELEASE, 0)
    sidecar.stop()


@pytest.mark.parametrize("where,line,what", [
    ("sidecar.conf", "frob = 1", "frob"),
    ("sidecar.conf", "timeout = soon", "timeout"),
    ("sidecar.conf", "connections = 0", "connections"),
    ("sidecar.conf", "service = http://localhost", "https"),
    ("policy.conf", "rules = a\n[a]\nkeys = *\neffect = sure", "effect"),
])
def test_a_mistake_in_a_file_ends_the_start_with_its_line(stack, tmp_path, where, line, what):
    config = tmp_path / "config"
    config.mkdir()
    (config / "sidecar.conf").write_text(f"client-id = acc_{'a' * 26}\n" +
                                         ("" if line.startswith("service") else f"service = {stack.url}\n"))
    with open(config / where, "a", encoding="ascii") as f:
        f.write(line + "\n")
    (config / where).chmod(0o644)
    done = stack.run([stack.program("csign-sidecar"), "--config", config, "--bus", "none", "--socket",
                      tmp_path / "s"], check=False)
    assert done.returncode == 2
    number = len((config / where).read_text().splitlines())
    assert f"{where}:{number}" in text(done.stderr) and what in text(done.stderr)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("argv", [["--frob"], ["x"], ["--grant", "world"], ["--socket", "relative"],
                                  ["--ready-fd", "x"], ["--log-level", "loud"], ["--bus", ""]])
def test_a_wrong_command_line_is_status_2(stack, argv):
    done = stack.run([stack.program("csign-sidecar"), *argv], check=False)
    assert done.returncode == 2 and "csign-sidecar: " in text(done.stderr)


def test_help_and_version(stack):
    help_text = text(stack.run([stack.program("csign-sidecar"), "--help"]).stdout)
    page = (ROOT / "docs/man/csign-sidecar.8").read_text()
    for option in ("grant", "config", "socket", "bus", "ready-fd", "log-level"):
        assert f"--{option}" in help_text and f"Fl -{option}" in page
    assert max(map(len, help_text.splitlines())) <= 80
    assert text(stack.run([stack.program("csign-sidecar"), "--version"]).stdout).startswith("csign-sidecar ")


# ---- the socket ----

def test_the_socket_is_made_and_removed(stack, tmp_path):
    path = tmp_path / "deep/er/s"
    (tmp_path / "config").mkdir()
    old = os.umask(0o777)
    try:
        sidecar = Daemon("socket-test", [stack.program("csign-sidecar"), "--config", tmp_path / "config", "--bus",
                                         "none", "--socket", path], stack.folder)
    finally:
        os.umask(old)
    sidecar.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["s"]

    second = stack.run(sidecar.argv, check=False)  # one is enough
    assert second.returncode != 0 and "another sidecar" in text(second.stderr)

    sidecar.kill()
    assert path.exists()  # a stale one is replaced
    sidecar.start()
    Peer(path).socket.close()
    sidecar.stop()
    assert not path.exists()

    path.write_text("precious")  # and a file never is
    done = stack.run(sidecar.argv, check=False)
    assert done.returncode != 0 and "not a socket" in text(done.stderr) and path.read_text() == "precious"


def test_a_folder_that_others_can_write_is_no_place(stack, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (tmp_path / "config").mkdir()
    done = stack.run([stack.program("csign-sidecar"), "--config", tmp_path / "config", "--bus", "none", "--socket",
                      folder / "s"], check=False)
    assert done.returncode == 2 and "others can write" in text(done.stderr)


GARBAGE = [
    b"", b"\0", b"\r\n" * 50, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(512), b"\xff" * 70000,
    b"\0AUTH ANONYMOUS\r\nBEGIN\r\n", b"\0AUTH EXTERNAL 39393939\r\nBEGIN\r\n", b"\0AUTH EXTERNAL zz\r\n",
    b"\0AUTH DBUS_COOKIE_SHA1 00\r\n",
    b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n" + os.urandom(256),
    b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nl\1\0\1\xff\xff\xff\x7f\1\0\0\0\xff\xff\xff\x7f" + bytes(64),
    b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nl\1\0\1\0\0\0\0\1\0\0\0\0\0\0\0",
]


def test_a_thousand_connections_of_garbage(stack):
    """Malformed peers harm nobody: who signs meanwhile notices nothing, and afterwards all is as before."""
    sidecar, stop, failures, signed = stack.sidecar, threading.Event(), [], []
    at_work = threading.Event()

    def signer():
        try:
            with Peer(sidecar.socket, timeout=30) as peer:
                key = peer.get_key(RELEASE)
                while not stop.is_set():
                    signed.append(sign(peer, key))
                    at_work.set()
        except Exception as e:  # noqa: BLE001: whatever it is, the test fails with it
            failures.append(e)

    fds = len(os.listdir(f"/proc/{sidecar.pid}/fd"))
    thread = threading.Thread(target=signer)
    thread.start()
    assert at_work.wait(10), failures
    kept = []
    for i in range(1000):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(str(sidecar.socket))
        try:
            s.sendall(GARBAGE[i % len(GARBAGE)])
        except OSError:
            pass
        if i % 2:
            kept.append(s)
        else:
            s.close()
    with Peer(sidecar.socket) as peer:  # a full house makes room for a newcomer
        assert peer.get_key(RELEASE)
    assert len(os.listdir(f"/proc/{sidecar.pid}/fd")) < fds + 300
    for s in kept:
        s.close()
    stop.set()
    thread.join(30)
    assert not failures and signed
    wait_until("descriptors to be given back", lambda: len(os.listdir(f"/proc/{sidecar.pid}/fd")) <= fds + 4)
    assert sidecar.running()


CROWD = """
import sys
said, busy = {}, []
for i in range(1000):
    peer = Peer(sys.argv[1], timeout=30)
    peer.send("GetKey", "su", ("acme/mobile/not-cached", 0))
    if i < 256:
        busy.append(peer)
        continue
    kind, _, name, body = peer.receive()
    try:
        peer.receive()
    except (DBusError, OSError):
        said[f"{name}: {body[0]}"] = said.get(f"{name}: {body[0]}", 0) + 1
print(said)
"""


@pytest.mark.root
def test_a_thousand_connections_of_one_user(fresh_stack):
    """All 256 that a user may have are at work: who comes then hears that and is out.  Others are served as ever."""
    stack = fresh_stack(policy=f"rules = a\n[a]\nuids = 0, {STRANGER_UID}\nkeys = *\neffect = allow\n")
    with Peer(stack.sidecar.socket, timeout=30) as early:
        key = early.get_key(RELEASE)
        fds = len(os.listdir(f"/proc/{stack.sidecar.pid}/fd"))
        with stack.service.frozen():
            said = as_stranger(CROWD, stack.sidecar.socket)
            assert said.startswith("{'org.csign.Sidecar1.Error.RateLimited: ") and said.strip().endswith(": 744}"), said
            with Peer(stack.sidecar.socket) as late:
                assert late.call("Status", "")[0]["grant"] == "user"
            assert early.call("Status", "")
        assert sign(early, key)
    wait_until("descriptors to be given back", lambda: len(os.listdir(f"/proc/{stack.sidecar.pid}/fd")) <= fds + 8)


@pytest.mark.uninstrumented  # ASan's realloc() copies all of it for each piece that sd-bus reads
def test_a_message_of_128_mib(stack):
    """D-Bus allows it.  Nobody else notices, and the memory is given back."""
    part = bytes(63 << 20)  # an array has at most 64
    status = pathlib.Path(f"/proc/{stack.sidecar.pid}/status")
    rss = lambda: int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])  # noqa: E731
    with Peer(stack.sidecar.socket, timeout=30) as good, Peer(stack.sidecar.socket, timeout=60) as bad:
        key = good.get_key(RELEASE)
        sign(good, key)
        before = rss()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            sending = pool.submit(bad.call, "Sign", "ayay", part, part)
            while not sending.done():
                begin = time.monotonic()
                assert sign(good, key)
                assert time.monotonic() - begin < 5
            with pytest.raises((DBusError, OSError)):
                sending.result()
    wait_until("the memory to be given back", lambda: rss() < before + 8192)


def test_too_many_calls_at_once_are_refused(stack):
    """The quota of one connection; nobody else feels it."""
    with stack.service.frozen(), Peer(stack.sidecar.socket, timeout=60) as greedy:
        refusals = 0
        for _ in range(1100):
            greedy.send("GetKey", "su", ("acme/mobile/not-cached", 0))
        while not refusals:
            kind, _, name, _ = greedy.receive()
            assert kind == 3
            refusals += name.endswith(".RateLimited")
        with Peer(stack.sidecar.socket) as other:
            assert other.call("Status", "")[0]["grant"] == "user"
    with Peer(stack.sidecar.socket, timeout=60) as peer:
        assert wait_until("the sidecar to work again", lambda: works(peer), 40)


def works(peer):
    try:
        return sign(peer, peer.get_key(RELEASE))
    except DBusError as e:
        assert e.short in ("RateLimited", "Timeout", "ServiceUnavailable"), str(e)
        return False


# ---- trouble with the service ----

def test_a_dead_service_is_one_clear_line(fresh_stack):
    stack = fresh_stack()
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        sign(peer, key)
        stack.service.kill()
        begin = time.monotonic()
        said = refused("ServiceUnavailable", peer, "Sign", "sussaya{sv}", key["id"], 1, "ecdsa", "SHA256", DIGEST, {})
        assert stack.url in said and "request req_" in said
        said = refused("ServiceUnavailable", peer, "GetKey", "su", "acme/mobile/firmware", 0)
        assert stack.url in said
        assert time.monotonic() - begin < 5
        assert stack.url in peer.call("Status", "")[0]["last-error"]
        stack.service.start()
        assert sign(peer, key)
        assert peer.call("Status", "")[0]["last-error"] == ""


def test_a_silent_service_is_given_up_in_time(fresh_stack):
    stack = fresh_stack(sidecar_conf={"timeout": "1.5"})
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        sign(peer, key)
        with stack.service.frozen():
            begin = time.monotonic()
            for _ in range(70):  # more than one batch
                peer.send("Sign", "sussaya{sv}", (key["id"], 1, "ecdsa", "SHA256", DIGEST, {}))
            for _ in range(70):
                kind, _, name, body = peer.receive()
                assert kind == 3 and name.endswith((".Timeout", ".ServiceUnavailable")), (name, body)
            assert time.monotonic() - begin < 6
        assert wait_until("the sidecar to work again", lambda: works(peer), 5)


def test_another_authority_is_not_believed(stack, tmp_path):
    stack.plain_openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=another", "-keyout",
                        tmp_path / "k", "-out", tmp_path / "ca.pem")
    sidecar = stack.add_sidecar("wrong-ca", "acme/mobile/wrong-ca", conf={"service-ca": tmp_path / "ca.pem"})
    with Peer(sidecar.socket) as peer:
        said = refused("ServiceUnavailable", peer, "GetKey", "su", RELEASE, 0)
        assert "certificate" in said and stack.url in said
    sidecar.stop()


def test_a_token_that_is_refused_is_replaced_once(stack):
    sidecar = stack.add_sidecar("token", "acme/mobile/token")
    account = f"/v1/accounts/{sidecar.client_id}"
    with Peer(sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        sign(peer, key)
        stack.api("PATCH", account, {"state": "disabled"}, status=200)  # its tokens are void
        said = refused("Unauthenticated", peer, "Sign", "sussaya{sv}", key["id"], 1, "ecdsa", "SHA256", DIGEST, {})
        assert "request req_" in said
        stack.api("PATCH", account, {"state": "enabled"}, status=200)
        assert sign(peer, key)
    sidecar.stop()


def test_in_steady_state_nothing_is_paid_twice(stack):
    """G9, the sidecar's part: no handshake and no token per signature."""
    with Peer(stack.sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        for _ in range(50):
            sign(peer, key)
        before = stack.metrics()
        for _ in range(200):
            sign(peer, key)
        after = stack.metrics()
    assert after["signatures_total"] - before["signatures_total"] == 200
    assert after["tls_handshakes_total"] - before["tls_handshakes_total"] <= 2  # the metrics' own


def test_what_waits_goes_out_together(stack):
    """64 callers at once are few requests to the service."""
    with Peer(stack.sidecar.socket, timeout=30) as peer:
        key = peer.get_key(RELEASE)
        sign(peer, key)
        before = stack.metrics()
        serials = {peer.send("Sign", "sussaya{sv}", (key["id"], 1, "ecdsa", "SHA256", DIGEST, {})): None
                   for _ in range(256)}
        for _ in range(256):
            kind, serial, _, body = peer.receive()
            assert kind == 2
            serials[serial] = bytes(body[0])
        after = stack.metrics()
    assert len(set(serials.values())) == 256 and all(serials.values())
    commits = after["audit_commits_total"] - before["audit_commits_total"]
    assert after["audit_records_total"] - before["audit_records_total"] == 256
    assert commits < 128


# ---- the end ----

def test_sigterm_answers_what_is_under_way(fresh_stack):
    stack = fresh_stack(sidecar_conf={"timeout": "5"})
    with Peer(stack.sidecar.socket, timeout=30) as peer:
        key = peer.get_key(RELEASE)
        sign(peer, key)
        with stack.service.frozen():
            for _ in range(400):
                peer.send("Sign", "sussaya{sv}", (key["id"], 1, "ecdsa", "SHA256", DIGEST, {}))
            peer.get_key(RELEASE)  # known already, so nobody is asked: all of them have arrived
            stack.sidecar.signal(15)
            names = {}
            for _ in range(400):
                kind, _, name, _ = peer.receive()
                assert kind == 3
                names[name.rsplit(".", 1)[1]] = names.get(name.rsplit(".", 1)[1], 0) + 1
            assert set(names) <= {"SidecarUnavailable", "ServiceUnavailable", "Timeout"} and names["SidecarUnavailable"]
        wait_until("the sidecar's end", lambda: not stack.sidecar.running())
    assert stack.sidecar.process.returncode == 0


def test_the_credential_stays_in_the_process(stack):
    """Not dumpable, no core file, and neither key nor token in the log."""
    status = pathlib.Path(f"/proc/{stack.sidecar.pid}/limits").read_text()
    assert "Max core file size        0                    0" in status
    log = stack.sidecar.log()
    assert "cst_" not in log and "PRIVATE" not in log
    if "address" not in stack.sanitize and os.geteuid() == 0:
        done = stack.run(as_user(STRANGER_UID, ["cat", f"/proc/{stack.sidecar.pid}/environ"]), check=False)
        assert done.returncode != 0


# ---- the machine's sidecar on a system bus ----

SYSTEM_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>system</type>
 <listen>unix:path={socket}</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow user="*"/><deny own="*"/><deny send_type="method_call"/>
  <allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
  <allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
  <allow send_destination="org.freedesktop.DBus"/>
 </policy>
 <include>{policy}</include>
</busconfig>
"""


@pytest.mark.root
def test_the_bus_policy_lets_in_root_and_one_group(stack, tmp_path):
    """The installed policy on a bus of the system's kind, with users that every Debian has in the places of
    csign-sidecar and group csign."""
    owner, group = pwd.getpwnam("daemon"), grp.getgrnam("games")
    tmp_path = pathlib.Path(tempfile.mkdtemp(prefix="csign-", dir=temp_folder()))
    try:
        tmp_path.chmod(0o755)
        policy = (ROOT / "sidecar/org.csign.Sidecar1.conf").read_text()
        policy = policy.replace('user="csign-sidecar"', 'user="daemon"').replace('group="csign"', 'group="games"')
        (tmp_path / "policy.conf").write_text(policy)
        address = f"unix:path={tmp_path}/bus"
        (tmp_path / "bus.conf").write_text(SYSTEM_BUS.format(socket=tmp_path / "bus", policy=tmp_path / "policy.conf"))
        bus = Daemon("system-bus", [tool("dbus-daemon"), "--nofork", "--nopidfile",
                                    f"--config-file={tmp_path}/bus.conf"], tmp_path, ready=False).start()
        try:
            wait_until("the bus", (tmp_path / "bus").exists)
            ask_the_machines_sidecar(stack, tmp_path, address, owner.pw_uid, group.gr_gid)
        finally:
            bus.kill()
    finally:
        shutil.rmtree(tmp_path)


def ask_the_machines_sidecar(stack, folder, address, owner, group):
    config, run = folder / "config", folder / "run"
    config.mkdir()
    run.mkdir()
    os.chown(run, owner, owner)
    argv = [stack.program("csign-sidecar"), "--grant", "machine", "--config", config, "--bus", address, "--socket",
            run / "sidecar.sock"]
    refused_name = stack.run(as_user(NOBODY, argv[:-1] + [folder / "x"]), check=False)
    assert refused_name.returncode != 0  # nobody may not have the name
    sidecar = Daemon("machine-sidecar", argv, folder, uid=owner).start()

    def ask(uid, gid):
        return stack.run([tool("setpriv"), f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--", tool("busctl"),
                          f"--address={address}", "call", NAME, OBJECT, INTERFACE, "GetKey", "su", RELEASE, "0"],
                         check=False)

    try:
        for uid, gid in ((0, 0), (NOBODY, group)):
            said = text(ask(uid, gid).stderr)
            assert "sidecar.conf" in said, said  # NoCredential: it was reached
        assert "Access denied" in text(ask(NOBODY, NOBODY).stderr)
    finally:
        sidecar.stop()


# ---- a caller with the set-user-ID bit ----

@pytest.mark.root
@pytest.mark.uninstrumented
def test_the_environment_does_not_redirect_a_setuid_caller(stack, tmp_path):
    """Who starts it chooses its environment, and must not choose whom it asks."""
    folder = stack.folder / "setuid"
    folder.mkdir()
    folder.chmod(0o755)
    program, conf, trap = folder / "host-setuid", folder / "openssl.cnf", folder / "csign" / "sidecar.sock"
    shutil.copyfile(stack.build / "tests/e2e/c/host-setuid", program)
    conf.write_text(stack.openssl_cnf.read_text().replace("[csign_sect]\n",
                                                          f"[csign_sect]\nsidecar-address = {stack.sidecar.address}\n"))
    conf.chmod(0o644)
    stack.shared(stack.program("csign.so"))
    trap.parent.mkdir(mode=0o755)
    address = f"unix:path={trap}"
    env = base_env() | {"CSIGN_BUS": address, "XDG_RUNTIME_DIR": str(folder), "DBUS_SESSION_BUS_ADDRESS": address,
                        "DBUS_SYSTEM_BUS_ADDRESS": address, "OPENSSL_CONF": "/nonexistent", "OPENSSL_MODULES": "/nonexistent"}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(trap))
        trap.chmod(0o777)
        listener.listen()
        listener.settimeout(0.2)

        program.chmod(0o755)  # the trap works: without the bit it is walked into
        process = subprocess.Popen(as_user(STRANGER_UID, [program, conf, f"csign://{RELEASE}"]), env=env,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        listener.settimeout(20)
        listener.accept()[0].close()
        process.communicate(timeout=60)
        listener.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                listener.accept()[0].close()

        program.chmod(0o4755)
        done = stack.run(as_user(STRANGER_UID, [program, conf, f"csign://{RELEASE}"]), env=env)
        assert text(done.stdout) == f"signed as 0 for {STRANGER_UID}\n", text(done.stderr)
        with pytest.raises(TimeoutError):
            listener.accept()
