# SPDX-License-Identifier: Apache-2.0
"""A signing machine gets its account by a code, and changes its key while it signs."""

import concurrent.futures
import json
import os
import secrets

import pytest

from stack import STRANGER_UID, text

RELEASE = "acme/mobile/release"


@pytest.fixture
def name():
    return f"acme/mobile/enr-{secrets.token_hex(5)}"


@pytest.fixture
def empty_sidecar(stack):
    sidecar = stack.add_sidecar(f"enr-{os.urandom(4).hex()}")
    yield sidecar
    sidecar.stop()


def code_for(stack, name, *more):
    return json.loads(stack.csign("account", "enroll", name, "--json", *more).stdout)


def enroll(stack, sidecar, code, *more, **options):
    return stack.csign("enroll", "--service", stack.url, "--ca", stack.ca, "--code", code, "--config", sidecar.config,
                       *more, sidecar=sidecar, **options)


def status_of(stack, sidecar):
    return json.loads(stack.csign("status", "--json", sidecar=sidecar).stdout)


def account_of(stack, name):
    return json.loads(stack.csign("account", "show", name, "--json").stdout)


def files_of(sidecar):
    return {p.name: (p.read_bytes(), p.stat().st_mode & 0o777) for p in sidecar.config.iterdir()}


@pytest.mark.parametrize("algorithm", ["P-256", "Ed25519", "RSA-3072"])
def test_enrollment_ends_with_a_working_login(stack, empty_sidecar, name, algorithm, tmp_path):
    enrollment = code_for(stack, name, "--validity-days", "30")
    done = enroll(stack, empty_sidecar, enrollment["code"], "--algorithm", algorithm)
    assert f"Enrolled: logged in to {stack.url} as {name}" in text(done.stdout)
    assert files_of(empty_sidecar)["credential.key"][1] == 0o600

    blob = tmp_path / "blob"
    blob.write_bytes(b"what is signed")
    stack.csign("sign", "--key", RELEASE, blob, "-o", tmp_path / "sig", sidecar=empty_sidecar)
    assert [k["algorithm"] for k in account_of(stack, name)["keys"]] == [algorithm]


def test_the_code_is_said_alone_to_take_it_along(stack, name):
    done = stack.csign("account", "enroll", name)
    assert len(text(done.stdout).strip()) == 57 and "Good once" in text(done.stderr)


def test_a_code_in_wrong_hands_is_revoked(stack, empty_sidecar, name):
    codes = [code_for(stack, name)["code"] for _ in range(2)]
    ids = [code.partition(".")[0] for code in codes]
    listed = text(stack.csign("account", "codes", name).stdout)
    assert all(i in listed for i in ids) and not any(code in listed for code in codes)
    stack.csign("account", "code-revoke", name, codes[0])
    stack.csign("account", "code-revoke", name, ids[1])
    assert "No code is open" in text(stack.csign("account", "codes", name).stderr)
    assert stack.csign("account", "code-revoke", name, ids[1], check=False).returncode == 4
    done = enroll(stack, empty_sidecar, codes[0], check=False)
    assert done.returncode == 7 and b"enrollment-code" in done.stderr and not files_of(empty_sidecar)


def test_a_code_that_is_refused_changes_nothing(stack, empty_sidecar, name):
    code = code_for(stack, name)["code"]
    wrong = code[:-1] + ("a" if code[-1] != "a" else "b")
    done = enroll(stack, empty_sidecar, wrong, check=False)
    assert done.returncode == 7 and b"enrollment-code" in done.stderr and not files_of(empty_sidecar)

    enroll(stack, empty_sidecar, code)
    before = files_of(empty_sidecar)
    done = enroll(stack, empty_sidecar, code, check=False)
    assert done.returncode == 7 and files_of(empty_sidecar) == before
    assert status_of(stack, empty_sidecar)["account"] == name


def test_a_new_code_takes_a_machine_to_another_account(stack, empty_sidecar, name):
    enroll(stack, empty_sidecar, code_for(stack, name)["code"])
    enroll(stack, empty_sidecar, code_for(stack, name + "-2")["code"])
    assert status_of(stack, empty_sidecar)["account"] == name + "-2"


def test_without_a_sidecar_the_files_stay_and_it_is_said(stack, name, tmp_path):
    code = code_for(stack, name)["code"]
    done = stack.csign("enroll", "--bus", "unix:path=/nonexistent", "--service", stack.url, "--ca", stack.ca, "--code", code,
                       "--config", tmp_path / "grant", check=False)
    assert done.returncode == 3 and b"no sidecar could prove it" in done.stderr
    assert (tmp_path / "grant/credential.key").exists() and account_of(stack, name)["last_used"]


def test_an_unreachable_service_uses_no_code_up(stack, empty_sidecar, name):
    code = code_for(stack, name)["code"]
    done = stack.csign("enroll", "--service", "https://localhost:1", "--code", code, "--config", empty_sidecar.config,
                       sidecar=empty_sidecar, check=False)
    assert done.returncode == 3 and not files_of(empty_sidecar)
    enroll(stack, empty_sidecar, code)


# ---- rotation ----

def rotate(stack, sidecar, *more, **options):
    return stack.csign("account", "rotate", "--config", sidecar.config, *more, sidecar=sidecar, **options)


def test_a_machine_changes_its_key_while_it_signs(stack, empty_sidecar, name, tmp_path):
    """Signing goes on all the while, in several programs at once, and none of them meets a refusal."""
    enroll(stack, empty_sidecar, code_for(stack, name)["code"])
    blob, stop = tmp_path / "blob", []
    blob.write_bytes(b"what is signed")

    def work(n):
        signed = 0
        while not stop:
            stack.csign("sign", "--key", RELEASE, blob, "-o", tmp_path / f"sig-{n}", sidecar=empty_sidecar)
            signed += 1
        return signed

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work, n) for n in range(3)]
        try:
            keys = [account_of(stack, name)["keys"][0]["thumbprint"]]
            for overlap in ("20", "20", "20"):
                before = files_of(empty_sidecar)["credential.key"]
                rotate(stack, empty_sidecar, "--overlap", overlap)
                after = files_of(empty_sidecar)["credential.key"]
                assert after[0] != before[0] and after[1] == 0o600
                keys.append(account_of(stack, name)["keys"][-1]["thumbprint"])
        finally:
            stop.append(True)
            counts = [w.result(120) for w in workers]
    assert min(counts) > 0 and len(set(keys)) == 4
    used = [r["record"] for r in stack.audit() if r["record"]["principal"].get("name") == name]
    assert all(r["result"] == "allowed" for r in used)
    assert sum(r["kind"] == "account.key-end" for r in used) == 3


def test_after_the_overlap_the_old_key_is_worth_nothing(stack, empty_sidecar, name, tmp_path):
    enroll(stack, empty_sidecar, code_for(stack, name)["code"])
    old = tmp_path / "old.key"
    old.write_bytes(files_of(empty_sidecar)["credential.key"][0])
    old.chmod(0o600)
    rotate(stack, empty_sidecar, "--overlap", "0")
    client_id = account_of(stack, name)["id"]
    done = stack.csign("login", "--service", stack.url, "--ca", stack.ca, "--client-id", client_id, "--key", old, "--config",
                       empty_sidecar.config, sidecar=empty_sidecar, check=False)
    assert done.returncode == 7
    assert status_of(stack, empty_sidecar)["account"] == name


def test_a_rotation_that_fails_leaves_the_old_key_at_work(stack, empty_sidecar, name, tmp_path):
    """The sidecar cannot be asked to go over: the new key is ended again."""
    enroll(stack, empty_sidecar, code_for(stack, name)["code"])
    before = files_of(empty_sidecar)
    done = rotate(stack, empty_sidecar, "--bus", "unix:path=/nonexistent", check=False)
    assert done.returncode == 3 and files_of(empty_sidecar) == before
    assert stack.csign("status", sidecar=empty_sidecar)
    ended = [r["record"]["what"]["key"] for r in stack.audit() if r["record"]["kind"] == "account.key-end"]
    keys = {k["id"]: k for k in account_of(stack, name)["keys"]}
    assert [k for k in keys if k in ended] and len([k for k in keys if k not in ended]) == 1
    rotate(stack, empty_sidecar)


def test_without_an_account_there_is_nothing_to_rotate(stack, empty_sidecar):
    done = rotate(stack, empty_sidecar, check=False)
    assert done.returncode == 7 and b"csign enroll" in done.stderr


@pytest.mark.root
def test_root_rotates_what_belongs_to_the_sidecars_user(stack, name):
    sidecar = stack.add_sidecar(f"enr-{os.urandom(4).hex()}", grant="machine", uid=STRANGER_UID)
    code = code_for(stack, name)["code"]
    enroll(stack, sidecar, code)
    key = sidecar.config / "credential.key"
    assert key.stat().st_uid == STRANGER_UID
    rotate(stack, sidecar)
    assert key.stat().st_uid == STRANGER_UID and key.stat().st_mode & 0o777 == 0o600
    assert status_of(stack, sidecar)["account"] == name
    sidecar.stop()


# ---- administration ----

def test_keys_networks_and_an_end_by_hand(stack, name, tmp_path):
    made = json.loads(stack.csign("account", "create", name, "--key-out", tmp_path / "key", "--json").stdout)
    public = tmp_path / "pub.pem"
    stack.plain_openssl("genpkey", "-algorithm", "ED25519", "-out", tmp_path / "second")
    stack.plain_openssl("pkey", "-in", tmp_path / "second", "-pubout", "-out", public)
    added = json.loads(stack.csign("account", "key-add", name, "--public-key", public, "--validity-days", "9", "--json").stdout)
    assert added["id"] in text(stack.csign("account", "keys", name).stdout)
    stack.csign("account", "key-remove", name, added["id"], "--yes")
    assert [k["id"] for k in account_of(stack, name)["keys"]] == [made["keys"][0]["id"]]

    stack.csign("account", "change", name, "--networks", "192.0.2.0/24, 2001:db8::/32", "--validity-days", "5")
    assert account_of(stack, name)["networks"] == ["192.0.2.0/24", "2001:db8::/32"]
    stack.csign("account", "change", name, "--networks", "any")
    assert account_of(stack, name)["networks"] == []
    assert stack.csign("account", "change", name, check=False).returncode == 2
    done = stack.csign("account", "change", name, "--networks", "10.0.0.1/8", check=False)
    assert done.returncode == 2 and b"bits behind" in done.stderr

    done = stack.csign("account", "delete", name, check=False)
    assert done.returncode == 2 and b"--yes" in done.stderr
    stack.csign("account", "delete", name, "--yes")
    assert stack.csign("account", "show", name, check=False).returncode == 4
