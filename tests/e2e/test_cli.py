# SPDX-License-Identifier: Apache-2.0
"""csign, the program: what a person types, what a script relies on."""

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess

import pytest

from stack import base_env, text, tool, wait_until

GROUPS = ("tsg", "key", "account", "ca", "audit", "kek", "setup", "policy", "user", "team", "project", "role")
RELEASE, FIRMWARE = "acme/mobile/release", "acme/mobile/firmware"


def output(done):
    return text(done.stdout) + text(done.stderr)


@pytest.fixture
def blob(tmp_path):
    path = tmp_path / "app.bin"
    path.write_bytes(os.urandom(70000))
    return path


@pytest.fixture
def refused(stack):
    """Runs csign, which has to end with this status, one error line with these words, and a line of advice."""
    def run(status, words, *argv, **options):
        done = stack.csign(*argv, check=False, timeout=5, **options)
        lines = text(done.stderr).splitlines()
        assert done.returncode == status, output(done)
        assert lines[0].startswith("csign: ") and words in lines[0], output(done)
        assert len(lines) == 2 and lines[1].startswith("  "), output(done)
        return lines[0]
    return run


# ---- the command line ----

def test_help_fits_a_screen(stack):
    lines = text(stack.csign("--help").stdout).splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80


def verbs(stack, *group):
    shown = text(stack.csign(*group, "--help").stdout)
    found = re.findall(r"^  ((?:%s )?[a-z-]+)" % "".join(group), shown, re.M)
    brief = re.findall(r"^    ([a-z -]+)$", shown, re.M)
    return [v.split() for v in [*found, *" ".join(brief).split()]]


def test_every_verb_has_an_example_and_is_in_the_manual(stack):
    from stack import ROOT
    manual = subprocess.run([tool("mandoc"), "-Tutf8", ROOT / "docs/man/csign.1"], capture_output=True, check=True)
    manual = re.sub(r".\x08", "", text(manual.stdout))
    found = verbs(stack)
    assert len(found) >= 23
    for verb in found:
        for sub in (verbs(stack, *verb) if verb[0] in GROUPS else [verb]):
            shown = text(stack.csign(*sub, "--help").stdout)
            assert f"Example:\n  csign {' '.join(sub)}" in shown
            assert " ".join(sub) in manual
            for option in re.findall(r"--[a-z-]+", shown.partition("Options:")[2].partition("Example:")[0]):
                assert option in manual, f"csign.1 does not know {' '.join(sub)} {option}"


@pytest.mark.parametrize("argv", [
    ["nonsense"], ["--nonsense"], ["sign", "--nonsense"], ["sign"], ["key"], ["key", "nonsense"],
    ["sign", "--key"], ["key", "create", "--validity-days", "-1", "x"], ["keys", "a", "b"], ["verify", "x"],
], ids=" ".join)
def test_misuse_is_status_2(refused, argv):
    refused(2, "", *argv)


def test_a_full_disk_is_no_success(stack):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([stack.program("csign"), "keys"], env=stack.environment(), stdout=full,
                              stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr


def test_colours_are_for_terminals(stack):
    def on_terminal(**more):
        here, there = pty.openpty()
        with subprocess.Popen([stack.program("csign"), "keys"], stdout=there, stderr=there, stdin=subprocess.DEVNULL,
                              env=stack.environment() | {"TERM": "xterm"} | more) as process:
            assert process.wait(10) == 0
        os.close(there)
        said = b""
        while select.select([here], [], [], 0)[0]:
            try:
                said += os.read(here, 4096)
            except OSError:
                break
        os.close(here)
        return said

    assert b"\033[32menabled" in on_terminal()
    assert b"\033" not in on_terminal(NO_COLOR="1")
    assert b"\033" not in stack.csign("keys").stdout


# ---- signing ----

@pytest.mark.parametrize("key,more", [(RELEASE, []), (RELEASE, ["--hash", "SHA384"]), (FIRMWARE, []),
                                      (FIRMWARE, ["--pss"]), (FIRMWARE, ["--pss", "--hash", "SHA3-512"])])
def test_sign_and_verify(stack, blob, refused, key, more):
    sig, other = blob.with_suffix(".sig"), blob.with_suffix(".other")
    stack.csign("sign", "--key", f"csign://{key}", *more, blob, "-o", sig)
    certificate = stack.certificate(key, blob.parent)
    assert "is good" in output(stack.csign("verify", "--key", key, *more, "--signature", sig, blob))
    assert "is good" in output(stack.csign("verify", "--cert", certificate, *more, "--signature", sig, blob,
                                           env=base_env()))
    other.write_bytes(blob.read_bytes() + b"!")
    refused(9, "NOT good", "verify", "--key", key, *more, "--signature", sig, other)


def test_what_cannot_be_signed_leaves_no_file(stack, blob, refused):
    sig = blob.with_suffix(".sig")
    refused(4, "acme/mobile/nope", "sign", "--key", "acme/mobile/nope", blob, "-o", sig)
    refused(5, "rule scope", "sign", "--key", "other/secret", blob, "-o", sig)
    refused(2, "MD5", "sign", "--key", RELEASE, "--hash", "MD5", blob, "-o", sig)
    refused(2, "--pss", "sign", "--key", RELEASE, "--pss", blob, "-o", sig)
    refused(2, "names a TSG", "sign", "--key", "csign://acme/mobile/", blob, "-o", sig)
    refused(3, "sidecar", "sign", "--bus", "unix:path=/nonexistent", "--key", RELEASE, blob, "-o", sig)
    assert not sig.exists()


def test_output_never_replaces_a_device(stack, blob):
    stack.csign("sign", "--key", RELEASE, blob, "-o", "/dev/null")
    assert not os.path.isfile("/dev/null")
    piped = stack.csign("sign", "--key", RELEASE, "-", "-o", "-", input=blob.read_bytes())
    blob.with_suffix(".sig").write_bytes(piped.stdout)
    stack.csign("verify", "--key", RELEASE, "--signature", blob.with_suffix(".sig"), blob)


# ---- run, openssl-conf, doctor ----

def run_env(stack, folder):
    env = {k: v for k, v in stack.environment().items() if k != "OPENSSL_CONF"}
    return env | {"CSIGN_MODULE": str(stack.program("csign.so")), "TMPDIR": str(folder)}


def test_run_is_the_command_and_leaves_nothing(stack, tmp_path):
    env = run_env(stack, tmp_path)
    assert b"csign" in stack.csign("run", "--", "cat", "/proc/self/environ", env=env).stdout
    for status, script in ((0, "true"), (7, "exit 7"), (128 + 9, "kill -9 $$")):
        assert stack.csign("run", "--", "sh", "-c", script, env=env, check=False).returncode == status
    assert stack.csign("run", "--", "/nonexistent", env=env, check=False).returncode == 127
    assert stack.csign("run", "--", "/dev/null", env=env, check=False).returncode == 126
    assert not list(tmp_path.iterdir())


def test_run_passes_signals_on(stack, tmp_path):
    began = tmp_path / "began"
    script = f"trap 'exit 5' TERM; touch {began}; while :; do sleep 0.05; done"
    with subprocess.Popen([stack.program("csign"), "run", "--", "sh", "-c", script],
                          env=run_env(stack, tmp_path)) as process:
        wait_until("the command runs", began.exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 5
    began.unlink()
    assert not list(tmp_path.iterdir())


@pytest.mark.uninstrumented
def test_run_makes_openssl_sign(stack, tmp_path, blob):
    sig = tmp_path / "sig"
    stack.csign("run", "--", "openssl", "dgst", "-sha256", "-sign", f"csign://{RELEASE}", "-out", sig, blob,
                env=run_env(stack, tmp_path))
    stack.plain_openssl("dgst", "-sha256", "-verify", stack.public_key(RELEASE, tmp_path), "-signature", sig, blob)


def findings(stack, **options):
    done = stack.csign("doctor", "--json", check=False, **options)
    return done.returncode, {f["check"]: f for f in json.loads(done.stdout)}


@pytest.mark.uninstrumented
def test_doctor_finds_what_is_wrong(stack, tmp_path):
    good = stack.environment() | {"CSIGN_MODULE": str(stack.program("csign.so"))}
    status, found = findings(stack, env=good)
    assert status == 0 and {f["result"] for f in found.values()} == {"OK"}, found

    status, found = findings(stack, env=good | {"CSIGN_BUS": "unix:path=/nonexistent"})
    assert status == 1 and found["sidecar"]["result"] == "FAIL" and found["sidecar"]["advice"]

    bad = tmp_path / "bad.cnf"
    bad.write_text(stack.openssl_cnf.read_text().replace("?provider!=csign", "?provider=csign"))
    status, found = findings(stack, env=good | {"OPENSSL_CONF": str(bad)})
    assert status == 1 and found["provider order"]["result"] == "FAIL"

    (tmp_path / "csign:acme").mkdir()
    status, found = findings(stack, env=good, cwd=tmp_path)
    assert status == 0 and found["shadow"]["result"] == "WARN"

    status, found = findings(stack, env=good | {"CSIGN_MODULE": "/etc/hostname"})
    assert status == 1 and found["module"]["result"] == "FAIL"


# ---- login ----

@pytest.fixture
def account(stack, tmp_path):
    """An account and its key, made by csign."""
    name = f"acme/mobile/cli-{os.urandom(4).hex()}"
    key = tmp_path / "account.key"
    made = json.loads(stack.csign("account", "create", name, "--key-out", key, "--json").stdout)
    assert key.stat().st_mode & 0o777 == 0o600
    return name, made["id"], key


@pytest.fixture
def empty_sidecar(stack):
    sidecar = stack.add_sidecar(f"cli-{os.urandom(4).hex()}")
    yield sidecar
    sidecar.stop()


def login(stack, sidecar, client_id, key, *more, service=None, **options):
    return stack.csign("login", "--service", service or stack.url, "--ca", stack.ca, "--client-id", client_id, "--key",
                       key, "--config", sidecar.config, *more, sidecar=sidecar, **options)


def grant_files(sidecar):
    return {p.name: (p.read_bytes(), p.stat().st_mode & 0o777) for p in sidecar.config.iterdir()}


def test_login(stack, account, empty_sidecar):
    name, client_id, key = account
    assert name in output(login(stack, empty_sidecar, client_id, key))
    assert grant_files(empty_sidecar)["credential.key"] == (key.read_bytes(), 0o600)
    keys = json.loads(stack.csign("keys", "--json", sidecar=empty_sidecar).stdout)
    assert f"csign://{RELEASE}" in [k["uri"] for k in keys]


def test_a_login_that_fails_changes_nothing(stack, account, empty_sidecar, tmp_path):
    name, client_id, key = account
    wrong = tmp_path / "wrong.key"
    stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", wrong)
    wrong.chmod(0o600)

    done = login(stack, empty_sidecar, client_id, wrong, check=False)
    assert done.returncode == 7 and not grant_files(empty_sidecar)

    login(stack, empty_sidecar, client_id, key)
    before = grant_files(empty_sidecar)
    for more in ({"key": wrong}, {"service": "https://localhost:1"}):
        done = login(stack, empty_sidecar, client_id, more.get("key", key), service=more.get("service"), check=False)
        assert done.returncode in (3, 7) and grant_files(empty_sidecar) == before
    assert name in output(stack.csign("status", sidecar=empty_sidecar))


def test_login_refuses_a_key_that_others_read(stack, account, empty_sidecar):
    _, client_id, key = account
    key.chmod(0o644)
    done = login(stack, empty_sidecar, client_id, key, check=False)
    assert done.returncode == 7 and b"0644" in done.stderr and not grant_files(empty_sidecar)


def test_login_keeps_other_settings(stack, account, empty_sidecar):
    _, client_id, key = account
    login(stack, empty_sidecar, client_id, key)
    conf = empty_sidecar.config / "sidecar.conf"
    conf.write_text(conf.read_text() + "connections = 2\n")
    login(stack, empty_sidecar, client_id, key)
    assert 'connections = "2"' in conf.read_text()


def test_login_without_a_sidecar_says_so(stack, account, tmp_path):
    _, client_id, key = account
    done = stack.csign("login", "--bus", "unix:path=/nonexistent", "--service", stack.url, "--client-id", client_id,
                       "--key", key, "--config", tmp_path / "grant", check=False)
    assert done.returncode == 3 and b"no sidecar could prove it" in done.stderr
    assert (tmp_path / "grant/credential.key").exists()


# ---- administration ----

def test_an_account_s_key_file_is_never_overwritten(stack, refused, tmp_path):
    key = tmp_path / "there"
    key.write_text("mine")
    refused_at = stack.csign("account", "create", "acme/mobile/never", "--key-out", key, check=False)
    assert refused_at.returncode == 6 and key.read_text() == "mine"
    refused(4, "acme/mobile/never", "account", "show", "acme/mobile/never")


def test_a_refused_account_leaves_no_key(stack, refused, tmp_path):
    refused(4, "nowhere", "account", "create", "nowhere/x", "--key-out", tmp_path / "key")
    assert not (tmp_path / "key").exists()


def test_key_states(stack, refused, blob):
    path = f"acme/mobile/cli-{os.urandom(4).hex()}"
    stack.csign("key", "create", path, "--description", "for a test")
    assert "for a test" in output(stack.csign("key", "show", f"csign://{path}"))
    stack.csign("key", "disable", path)
    refused(6, "rule key-state", "sign", "--key", path, blob, "-o", blob.with_suffix(".sig"))
    stack.csign("key", "enable", path)
    stack.csign("sign", "--key", path, blob)
    records = json.loads(stack.csign("audit", "list", "--key", path, "--json").stdout)
    assert [r["entry"]["result"] for r in records if r["entry"]["kind"] == "sign"] == ["KeyDisabled", "allowed"]
    refused(6, path, "key", "create", path)


def test_an_error_s_request_is_in_the_log(stack, refused, blob):
    line = refused(5, "rule scope", "sign", "--key", "other/secret", blob)
    assert re.search(r"request req_[a-z2-7]{26}\)$", line)


def test_json_everywhere(stack):
    for argv in (["status"], ["keys"], ["whoami"], ["tsg", "list"], ["key", "list"], ["key", "show", RELEASE],
                 ["account", "list"], ["audit", "list"], ["audit", "verify"]):
        done = stack.csign(*argv, "--json")
        json.loads(done.stdout)
        assert not done.stderr


def test_the_api_key_must_be_private(stack, refused, tmp_path):
    copy = tmp_path / "key"
    copy.write_bytes(stack.api_key_file.read_bytes())
    copy.chmod(0o640)
    refused(7, "0640", "whoami", "--api-key-file", copy)


def test_admin_conf_is_enough(stack, tmp_path):
    folder = tmp_path / "csign"
    folder.mkdir()
    (folder / "admin.conf").write_text(f"service = {stack.url}\nca = {stack.ca}\napi-key-file = {stack.api_key_file}\n")
    (folder / "admin.conf").chmod(0o600)
    env = base_env() | {"XDG_CONFIG_HOME": str(tmp_path)}
    assert "owner" in output(stack.csign("whoami", env=env))
    (folder / "admin.conf").write_text("servise = x\n")
    done = stack.csign("whoami", env=env, check=False)
    assert done.returncode == 2 and b"admin.conf:1" in done.stderr


# ---- the log ----

def test_audit_verify_finds_the_first_bad_record(fresh_stack):
    stack = fresh_stack(sidecar=False)
    whole = json.loads(stack.csign("audit", "verify", "--json").stdout)
    assert whole["good"] and whole["number"] >= 5
    stack.csign("audit", "verify", "--anchor", f"{whole['number']}:{whole['hash']}")
    late = stack.csign("audit", "verify", "--anchor", f"{whole['number'] + 1}:{whole['hash']}", check=False)
    assert late.returncode == 9

    database = next(p for p in stack.state.iterdir() if p.suffix == ".db")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE audit SET entry = replace(entry, 'acme', 'evil') WHERE number = 3")
    connection.close()
    done = stack.csign("audit", "verify", check=False)
    assert done.returncode == 9 and b"audit record 3:" in done.stderr
