# SPDX-License-Identifier: Apache-2.0
"""csign doctor: each mistake is found, named, and comes with what to do."""

import base64
import json
import os
import sqlite3
import subprocess
import time

import pytest

import fake_clock
from stack import BUS_CONF, STRANGER_UID, Stack, as_user, base_env, text, tool, wait_until

pytestmark = [pytest.mark.uninstrumented, pytest.mark.provider]

RELEASE, FIRMWARE = "acme/mobile/release", "acme/mobile/firmware"


def doctor(stack, *argv, env=None, **options):
    """(exit status, {check: finding}); every finding that is not good says what to do."""
    options.setdefault("timeout", 20)
    done = stack.csign("doctor", "--json", *argv, env=env, check=False, **options)
    found = json.loads(done.stdout)
    assert all(f.get("advice") for f in found if f["result"] != "OK"), found
    assert done.returncode == any(f["result"] == "FAIL" for f in found), found
    return done.returncode, {f["check"]: f for f in found}


def says(found, check, result, words):
    assert found[check]["result"] == result and words in found[check]["finding"], found


def others_are_good(found, *checks):
    assert {f["result"] for name, f in found.items() if name not in checks} == {"OK"}, found


@pytest.fixture(scope="module")
def stack():
    """In another release's tree csign is there, too: it looks at its OpenSSL."""
    with Stack(tree="CSIGN_TREE" in os.environ) as stack:
        yield stack


@pytest.fixture
def conf(stack, tmp_path):
    """The environment with another openssl.cnf: the good one, changed."""
    def make(*changes, content=None):
        made = content if content is not None else stack.openssl_cnf.read_text()
        for old, new in changes:
            assert old in made
            made = made.replace(old, new)
        path = tmp_path / "changed.cnf"
        path.write_text(made)
        return stack.environment() | {"OPENSSL_CONF": str(path)}
    return make


def test_all_is_well(stack, tmp_path):
    ref = tmp_path / "ref.pem"
    stack.csign("ref", RELEASE, "-o", ref)
    status, found = doctor(stack, "--ref", ref)
    assert status == 0 and set(found) == {"sidecar", "credential", "service", "keys", "module", "openssl.cnf",
                                          "provider order", "reference", "credential-expiry", "clock",
                                          "dns", "tcp", "tls", "ready"}
    others_are_good(found)
    shown = text(stack.csign("doctor").stdout)
    assert "provider order" in shown and "FAIL" not in shown


# ---- openssl.cnf ----

def test_the_conf_names_a_module_that_is_not_there(stack, conf):
    module = str(stack.program("csign.so"))
    for name in ("/nonexistent/csign.so", "nowhere.so"):
        status, found = doctor(stack, env=conf((module, name)))
        says(found, "openssl.cnf", "FAIL", f"{name}: No such file")
        assert status == 1 and "provider order" not in found
        others_are_good(found, "openssl.cnf")


def test_the_conf_s_module_does_not_load(stack, conf, tmp_path):
    bad = tmp_path / "csign.so"
    bad.write_text("no module")
    _, found = doctor(stack, env=conf((str(stack.program("csign.so")), str(bad))))
    says(found, "openssl.cnf", "FAIL", f"does not load: {bad}: ")


def test_csign_is_not_activated(stack, conf):
    _, found = doctor(stack, env=conf(("csign.so\nactivate = 1", "csign.so")))
    says(found, "openssl.cnf", "FAIL", "does not activate csign in [csign_sect]")


def test_a_broken_conf(stack, conf):
    _, found = doctor(stack, env=conf(content="openssl_conf = x\n[x]\nwhat is this\n"))
    says(found, "openssl.cnf", "FAIL", ":3: OpenSSL cannot read it")
    _, found = doctor(stack, env=conf(("[csign_providers]", "no_such_module = x\n[csign_providers]"),
                                      ("alg_section = csign_evp\n", "alg_section = csign_evp\nnonsense = x\n")))
    says(found, "openssl.cnf", "FAIL", "does not load")


def test_csign_before_default_without_the_property(stack, conf):
    first = ("default = csign_default_sect\ncsign = csign_sect", "csign = csign_sect\ndefault = csign_default_sect")
    none = ("default_properties = ?provider!=csign", "fips_mode = no")
    status, found = doctor(stack, env=conf(first, none))
    says(found, "provider order", "FAIL", "csign is listed before default")
    assert status == 1
    status, found = doctor(stack, env=conf(first))  # the property cures it
    assert status == 0 and found["provider order"]["result"] == "OK"
    _, found = doctor(stack, env=conf(none))
    says(found, "provider order", "FAIL", "there is no default_properties")
    assert "?provider!=csign" in found["provider order"]["advice"]


def test_csign_preferred_by_property(stack, conf):
    for bad in ("?provider=csign", "fips=no,?provider=csign", "?provider=csign,?fips=yes"):
        _, found = doctor(stack, env=conf(("?provider!=csign", bad)))
        says(found, "provider order", "FAIL", "first choice")


def test_properties_that_csign_does_not_have(stack, conf):
    """It is no FIPS module, and a program that demands one never sees its keys."""
    for bad in ("fips=yes", "fips=yes,?provider!=csign", "provider=default"):
        status, found = doctor(stack, env=conf(("?provider!=csign", bad)))
        says(found, "default_properties", "FAIL", f"{bad} leaves csign out")
        assert status == 1 and "?fips=yes" in found["default_properties"]["advice"]


@pytest.mark.tree
def test_fips_instead_of_default(stack, conf, tmp_path):
    """Which Debian has since trixie."""
    module = tmp_path / "fipsmodule.cnf"
    stack.plain_openssl("fipsinstall", "-module", "/usr/lib/x86_64-linux-gnu/ossl-modules/fips.so", "-out", module)
    fips = ((".include /etc/ssl/openssl.cnf\n", f".include /etc/ssl/openssl.cnf\n.include {module}\n"),
            ("default = csign_default_sect\n", "fips = fips_sect\nbase = csign_default_sect\n"),
            ("?provider!=csign", "?fips=yes,?provider!=csign"))
    status, found = doctor(stack, env=conf(*fips))
    says(found, "provider order", "OK", "fips provider comes first")
    assert status == 0


def test_default_is_not_active(stack, conf):
    for change in (("default = csign_default_sect\n", ""), ("default_sect]\nactivate = 1\n", "default_sect]\nx = y\n")):
        _, found = doctor(stack, env=conf(change))
        says(found, "default provider", "FAIL", "not active")


def test_the_conf_does_not_know_csign(stack, conf):
    status, found = doctor(stack, env=conf(content="# nothing\n"))
    says(found, "openssl.cnf", "WARN", "does not load csign")
    assert status == 0 and "csign run" in found["openssl.cnf"]["advice"]


# ---- the environment ----

def test_openssl_conf_names_no_file(stack, tmp_path):
    for name, words in (("/nonexistent", "No such file"), (tmp_path, "Is a directory"), ("", "No such file")):
        status, found = doctor(stack, env=stack.environment() | {"OPENSSL_CONF": str(name)})
        says(found, "OPENSSL_CONF", "FAIL", words)
        assert status == 1 and "goes on without" in found["OPENSSL_CONF"]["advice"]


@pytest.mark.root
def test_openssl_conf_cannot_be_read(stack):
    private = stack.folder / "private.cnf"
    private.write_text(stack.openssl_cnf.read_text())
    private.chmod(0o600)
    done = stack.run(as_user(STRANGER_UID, [stack.program("csign"), "doctor", "--json"]), check=False,
                     env=stack.environment() | {"OPENSSL_CONF": str(private)})
    found = {f["check"]: f for f in json.loads(done.stdout)}
    says(found, "OPENSSL_CONF", "FAIL", "Permission denied")


def test_sudo_takes_openssl_conf_away(stack):
    env = {k: v for k, v in stack.environment().items() if k != "OPENSSL_CONF"}
    sudo = {"SUDO_USER": "me", "SUDO_COMMAND": "/usr/bin/openssl"}
    status, found = doctor(stack, env=env | sudo)
    says(found, "sudo", "WARN", "me")
    assert status == 0 and "csign setup openssl --apply" in found["sudo"]["advice"]
    assert "sudo" not in doctor(stack, env=env)[1]
    assert "sudo" not in doctor(stack, env=stack.environment() | sudo)[1]


def test_openssl_modules_replaces_the_folder(stack, conf, tmp_path):
    module = str(stack.program("csign.so"))
    status, found = doctor(stack, env=stack.environment() | {"OPENSSL_MODULES": str(tmp_path)})
    says(found, "OPENSSL_MODULES", "WARN", f"'{tmp_path}' replaces /")
    others_are_good(found, "OPENSSL_MODULES")

    _, found = doctor(stack, env=conf((module, "csign.so")) | {"OPENSSL_MODULES": str(tmp_path)})
    says(found, "openssl.cnf", "FAIL", f"{tmp_path}/csign.so: No such file")
    (tmp_path / "csign.so").symlink_to(module)
    _, found = doctor(stack, env=conf((module, "csign.so")) | {"OPENSSL_MODULES": str(tmp_path)})
    says(found, "openssl.cnf", "OK", "loads csign")


def test_the_installed_module(stack):
    _, found = doctor(stack, env=stack.environment() | {"CSIGN_MODULE": "/nonexistent"})
    says(found, "module", "FAIL", "CSIGN_MODULE: cannot read '/nonexistent'")
    _, found = doctor(stack, env=stack.environment() | {"CSIGN_MODULE": "/etc/hostname"})
    says(found, "module", "FAIL", "does not load")


def test_a_module_that_hangs_or_crashes(stack, conf, tmp_path):
    """The doctor waits five seconds for it, and survives it."""
    for name, body, words in (("hangs", "for (;;) __builtin_ia32_pause();", "within 5 s"),
                              ("crashes", "__builtin_trap();", "crashes the program")):
        source, module = tmp_path / f"{name}.c", tmp_path / f"{name}.so"
        source.write_text("__attribute__((constructor)) static void start(void) { %s }\n" % body)
        stack.run(["gcc", "-shared", "-fPIC", "-o", module, source])
        began = time.monotonic()
        _, found = doctor(stack, env=conf((str(stack.program("csign.so")), str(module))))
        says(found, "openssl.cnf", "FAIL", words)
        assert time.monotonic() - began < 10


def test_a_shadow(stack, tmp_path):
    for name in ("csign:acme", "csign:"):
        shadow = tmp_path / name
        shadow.mkdir()
        status, found = doctor(stack, cwd=tmp_path)
        says(found, "shadow", "WARN", f"'{name}'")
        assert status == 0
        shadow.rmdir()
    (tmp_path / "csign:key").touch()
    says(doctor(stack, cwd=tmp_path)[1], "shadow", "WARN", "'csign:key'")


# ---- sidecar, credential, service ----

def test_no_sidecar(stack, conf):
    status, found = doctor(stack, env=stack.environment() | {"CSIGN_BUS": "unix:path=/nonexistent"})
    says(found, "sidecar", "FAIL", "/nonexistent")
    assert status == 1 and "service" not in found

    env = conf(("csign.so\n", "csign.so\nsidecar-address = unix:path=/elsewhere\n"))
    assert doctor(stack, env=env)[0] == 0  # CSIGN_BUS comes first
    del env["CSIGN_BUS"]
    says(doctor(stack, env=env)[1], "sidecar", "FAIL", "/elsewhere")


@pytest.fixture(scope="module")
def broken(request):
    """A stack of this file alone, for what breaks parts of it; each test mends it again."""
    from stack import Stack
    with Stack() as s:
        yield s


def test_a_frozen_sidecar(broken):
    began = time.monotonic()
    with broken.sidecar.frozen():
        _, found = doctor(broken)
    says(found, "sidecar", "FAIL", "")
    assert 4 < time.monotonic() - began < 9


def test_no_service(broken):
    broken.service.stop()
    try:
        status, found = doctor(broken)
        says(found, "service", "FAIL", "")
        assert status == 1
        says(found, "tcp", "FAIL", "refused")
        others_are_good(found, "service", "tcp")
    finally:
        broken.service.start()
    assert doctor(broken)[0] == 0


def test_a_frozen_service(broken):
    began = time.monotonic()
    with broken.service.frozen():
        _, found = doctor(broken)
    says(found, "service", "FAIL", "")
    assert time.monotonic() - began < 9


def test_a_credential_that_others_read(broken):
    key = broken.sidecar.config / "credential.key"
    key.chmod(0o644)
    try:
        _, found = doctor(broken)
        says(found, "credential", "FAIL", "0644")
    finally:
        key.chmod(0o600)


def test_no_credential(broken):
    empty = broken.add_sidecar("empty")
    _, found = doctor(broken, sidecar=empty)
    says(found, "credential", "FAIL", "no account")
    assert "csign login" in found["credential"]["advice"]


def test_a_refused_credential(broken):
    mine = broken.add_sidecar("refused", "acme/mobile/refused")
    broken.csign("account", "disable", "acme/mobile/refused")
    _, found = doctor(broken, sidecar=mine)
    says(found, "credential", "FAIL", "")
    assert "csign login" in found["credential"]["advice"]


def test_an_expired_credential(broken):
    mine = broken.add_sidecar("expired", "acme/mobile/expired")
    broken.service.stop()
    database = next(p for p in broken.state.iterdir() if p.suffix == ".db")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE accounts SET expires = 1 WHERE id = ?", (mine.client_id,))
        assert connection.total_changes == 1
    connection.close()
    broken.service.start()
    mine.restart()
    _, found = doctor(broken, sidecar=mine)
    says(found, "credential", "FAIL", "expired")
    assert "csign login" in found["credential"]["advice"]


def test_the_policy_of_this_machine(broken):
    strict = broken.add_sidecar("strict", "acme/mobile/strict",
                                policy="rules = no\n[no]\nuids = 4242\nkeys = *\neffect = allow\n")
    _, found = doctor(broken, sidecar=strict)
    assert any(f["result"] != "OK" and name in ("policy", "keys", "sidecar") for name, f in found.items()), found


# ---- the sidecar's side ----

def test_a_stale_environment(stack, tmp_path):
    good = stack.environment()
    status, found = doctor(stack, env=good | {"CSIGN_BUS": f"unix:path={tmp_path}/gone"})
    says(found, "environment", "FAIL", f"CSIGN_BUS leads to {tmp_path}/gone")
    assert status == 1 and "--ephemeral" in found["environment"]["advice"]

    for name, value in (("XDG_RUNTIME_DIR", f"{tmp_path}/run"),
                        ("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/bus,guid=1")):
        status, found = doctor(stack, env=good | {name: value})
        says(found, "environment", "WARN", f"{name} ")
        assert status == 0


def test_a_bus_that_forbids(broken, tmp_path):
    conf, address = tmp_path / "bus.conf", f"unix:path={tmp_path}/bus"
    conf.write_text(BUS_CONF.format(socket=tmp_path / "bus").replace(
        "</policy>", '<deny send_destination="org.csign.Sidecar1"/></policy>'))
    bus = subprocess.Popen([tool("dbus-daemon"), "--nofork", f"--config-file={conf}", "--print-address"],
                           stdout=subprocess.PIPE)
    try:
        assert bus.stdout.readline()
        sidecar = broken.add_sidecar("forbidden", "acme/mobile/forbidden", bus=address)
        _, found = doctor(broken, sidecar=sidecar)
        says(found, "bus-policy", "FAIL", "the bus forbids")
        assert "group csign" in found["bus-policy"]["advice"]
        sidecar.stop()
    finally:
        bus.kill()
        bus.wait()
        bus.stdout.close()


def test_an_old_credential(broken):
    mine = broken.add_sidecar("old", "acme/mobile/old")
    assert doctor(broken, sidecar=mine)[1]["credential"]["result"] == "OK"
    old = time.time() - 400 * 86400
    os.utime(mine.config / "credential.key", (old, old))
    status, found = doctor(broken, sidecar=mine)
    says(found, "credential", "WARN", "400 days old")
    assert status == 0 and "rotate" in found["credential"]["advice"]


def test_a_credential_that_ends_soon(broken, tmp_path):
    mine = broken.add_sidecar("soon", "acme/mobile/soon")
    assert doctor(broken, sidecar=mine)[1]["credential-expiry"]["result"] == "OK"
    key, public = mine.config / "credential.key", tmp_path / "new.pub"
    broken.plain_openssl("genpkey", "-algorithm", "ED25519", "-out", key)
    broken.plain_openssl("pkey", "-in", key, "-pubout", "-out", public)
    broken.csign("account", "key-add", "acme/mobile/soon", "--public-key", public, "--validity-days", "5")
    mine.restart()
    says(doctor(broken, sidecar=mine)[1], "credential-expiry", "WARN", "the account's key ends in ")


def test_a_wrong_clock(broken):
    broken.wrap["fast-clock"] = ["env", f"LD_PRELOAD={fake_clock.library()}", "FAKETIME=+2m",
                                 "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    mine = broken.add_sidecar("fast-clock", "acme/mobile/fast-clock")
    assert doctor(broken)[1]["clock"]["result"] == "OK"
    broken.csign("keys", sidecar=mine)
    status, found = doctor(broken, sidecar=mine)
    says(found, "clock", "WARN", "s behind this machine's")
    assert status == 0


def test_a_name_that_nobody_knows(broken):
    mine = broken.add_sidecar("nameless", "acme/mobile/nameless", conf={"service": "https://no-such-host.invalid:8443"})
    _, found = doctor(broken, sidecar=mine)
    says(found, "dns", "FAIL", "no-such-host.invalid: ")
    assert "tcp" not in found and "tls" not in found


def test_a_chain_that_leads_elsewhere(broken, tmp_path):
    key, other = tmp_path / "ca.key", tmp_path / "ca.pem"
    broken.plain_openssl("req", "-x509", "-newkey", "ED25519", "-nodes", "-keyout", key, "-out", other, "-subj",
                         "/CN=other", "-days", "2")
    mine = broken.add_sidecar("elsewhere", "acme/mobile/elsewhere", conf={"service-ca": other})
    _, found = doctor(broken, sidecar=mine)
    says(found, "tls", "FAIL", "certificate")
    assert found["tcp"]["result"] == "OK" and "ready" not in found


def test_a_service_that_is_not_ready(broken):
    broken.keystore.stop()
    try:
        # What the service found holds for a second.
        found = wait_until("it is not ready", lambda: {"OK": None}.get((f := doctor(broken)[1])["ready"]["result"], f))
        says(found, "ready", "FAIL", "key store")
        assert found["tls"]["result"] == "OK"
    finally:
        broken.keystore.start()


# ---- references ----

@pytest.fixture
def reference(stack, tmp_path):
    """A reference in a file, with some of its fields changed: DER by hand."""
    def der(tag, content):
        size = len(content)
        length = [size] if size < 128 else [0x81, size] if size < 256 else [0x82, size >> 8, size & 255]
        return bytes([tag, *length]) + content

    def make(path=RELEASE, of=None, version=1, key_id=None):
        key, public = stack.keys[path], base64.b64decode(stack.keys[of or path]["public_key"])
        body = (der(12, b"csign-ref-v1") + der(12, f"csign://{path}@{version}".encode()) + der(12, b"EC")
                + der(12, (key_id or key["id"]).encode()) + der(2, bytes([version])) + der(0xA0, public))
        file = tmp_path / "ref.pem"
        lines = base64.encodebytes(der(48, body)).decode()
        file.write_text(f"-----BEGIN CSIGN KEY REFERENCE-----\n{lines}-----END CSIGN KEY REFERENCE-----\n")
        return file
    return make


def test_a_reference_made_by_hand_is_good(stack, reference):
    assert doctor(stack, "--ref", reference())[1]["reference"]["result"] == "OK"


def test_a_reference_whose_key_is_gone(stack, reference):
    gone = f"acme/mobile/gone-{os.urandom(4).hex()}"
    stack.keys[gone] = stack.keys[RELEASE]
    try:
        _, found = doctor(stack, "--ref", reference(gone))
    finally:
        del stack.keys[gone]
    says(found, "reference", "FAIL", gone)
    assert "csign ref" in found["reference"]["advice"]


def test_a_reference_of_an_older_version(stack, reference):
    path = f"acme/mobile/doctor-{os.urandom(4).hex()}"
    stack.add_key(path)
    file = reference(path)
    stack.csign("key", "rotate", path)
    status, found = doctor(stack, "--ref", file)
    says(found, "reference", "WARN", f"names version 1 of {path}; new signatures are made with version 2")
    assert status == 0


def test_a_reference_of_a_disabled_version(stack, reference):
    path = f"acme/mobile/doctor-{os.urandom(4).hex()}"
    stack.add_key(path)
    stack.csign("key", "rotate", path)
    stack.csign("key", "disable", f"{path}@1")
    says(doctor(stack, "--ref", reference(path))[1], "reference", "FAIL", f"{path}@1 is disabled")


def test_a_reference_of_a_version_that_is_gone(stack, reference):
    _, found = doctor(stack, "--ref", reference(version=7))
    says(found, "reference", "FAIL", "7")
    assert "csign ref" in found["reference"]["advice"]


def test_a_reference_to_what_is_another_key_now(stack, reference):
    for file in (reference(of="acme/web/site"), reference(key_id=stack.keys["acme/web/site"]["id"])):
        _, found = doctor(stack, "--ref", file)
        says(found, "reference", "FAIL", "another key")


def test_a_reference_to_a_disabled_key(stack, reference):
    path = f"acme/mobile/doctor-{os.urandom(4).hex()}"
    stack.add_key(path)
    stack.set_key_state(path, "disabled")
    _, found = doctor(stack, "--ref", reference(path))
    says(found, "reference", "FAIL", "disabled")
    assert "enable" in found["reference"]["advice"]


def test_no_reference_at_all(stack, tmp_path):
    key = tmp_path / "key.pem"
    stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    says(doctor(stack, "--ref", key)[1], "reference", "FAIL", "holds a PRIVATE KEY")
    key.write_text("x")
    says(doctor(stack, "--ref", key)[1], "reference", "FAIL", "no PEM file")
    says(doctor(stack, "--ref", "/nonexistent")[1], "reference", "FAIL", "/nonexistent")
    assert base_env()
