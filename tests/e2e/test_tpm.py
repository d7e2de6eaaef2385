# SPDX-License-Identifier: Apache-2.0
"""The account's key in a TPM (swtpm, tpm2-openssl): made there, used there, and of no use elsewhere."""

import json
import os
import subprocess

import pytest

from peer import DBusError, Peer
from stack import text, tool, wait_until
from test_sidecar import RELEASE
from tpm import Tpm

HANDLE = "0x81000001"
URI = f"handle:{HANDLE}"


def some_name(what):
    return f"{what}-{os.urandom(4).hex()}"


@pytest.fixture
def stack(bus_stack):
    return bus_stack


@pytest.fixture
def tpm(stack):
    t = Tpm(stack, some_name("tpm"))
    yield t
    t.end()


def sidecar_with(stack, tpm):
    s = stack.add_sidecar(some_name("tpm-sidecar"))
    s.stop()
    s.env |= tpm.environment()
    return s.start()


@pytest.fixture
def sidecar(stack, tpm):
    s = sidecar_with(stack, tpm)
    yield s
    s.stop()


def account(stack, public_key):
    return stack.api("POST", "/v1/accounts", {"path": f"acme/mobile/{some_name('tpm')}", "public_key": public_key},
                     status=201)


def login(stack, sidecar, client_id, key, *more, **options):
    return stack.csign("login", "--service", stack.url, "--ca", stack.ca, "--client-id", client_id, "--key", key,
                       "--config", sidecar.config, *more, sidecar=sidecar, **options)


def sign_and_verify(stack, sidecar, tmp_path):
    blob, signature = tmp_path / "blob", tmp_path / "signature"
    blob.write_bytes(os.urandom(64))
    stack.openssl("dgst", "-sha256", "-sign", f"csign://{RELEASE}", "-out", signature, blob, sidecar=sidecar)
    stack.plain_openssl("dgst", "-sha256", "-verify", stack.public_key(RELEASE, tmp_path), "-signature", signature,
                        blob)


@pytest.mark.parametrize("algorithm", ["ecc256:ecdsa-sha256", "ecc384:ecdsa-sha384"])
def test_a_key_that_is_only_in_the_tpm_logs_in_and_signs(stack, tpm, sidecar, tmp_path, algorithm):
    made = account(stack, tpm.persistent_key(HANDLE, algorithm))
    done = login(stack, sidecar, made["id"], URI, "--key-provider", "tpm2")
    assert made["path"] in text(done.stdout)
    assert sorted(p.name for p in sidecar.config.iterdir()) == ["service-ca.pem", "sidecar.conf"]
    sign_and_verify(stack, sidecar, tmp_path)

    status = json.loads(stack.csign("status", "--json", sidecar=sidecar).stdout)
    assert status["credential"] == URI and status["last-error"] == ""


def test_a_key_of_the_tpm_is_enrolled_by_a_code(stack, tpm, sidecar, tmp_path):
    def enroll(*more, **options):
        code = text(stack.csign("account", "enroll", name).stdout).strip()
        return stack.csign("enroll", "--service", stack.url, "--ca", stack.ca, "--code", code, "--config", sidecar.config,
                           *more, env=stack.environment(sidecar) | tpm.environment(), **options)

    name = f"acme/mobile/{some_name('tpm')}"
    tpm.persistent_key(HANDLE)
    for more, words in ((["--key-provider", "tpm2"], "wants the --key"),
                        (["--key", URI, "--key-provider", "tpm2", "--algorithm", "P-256"], "without --key"),
                        (["--key", "handle:0x81000077", "--key-provider", "tpm2"], "holds no private key")):
        done = enroll(*more, check=False)
        assert done.returncode != 0 and words in text(done.stderr), text(done.stderr)
        assert not list(sidecar.config.iterdir())
    assert name in text(enroll("--key", URI, "--key-provider", "tpm2").stdout)
    assert sorted(p.name for p in sidecar.config.iterdir()) == ["service-ca.pem", "sidecar.conf"]
    sign_and_verify(stack, sidecar, tmp_path)


def test_threads_take_turns_at_the_tpm(stack, tpm, sidecar, tmp_path):
    """Each new connection is a handshake with the key; each Reload opens it again and takes a token with it."""
    made = account(stack, tpm.persistent_key(HANDLE))
    login(stack, sidecar, made["id"], URI, "--key-provider", "tpm2")
    conf = sidecar.config / "sidecar.conf"
    conf.write_text(conf.read_text() + "connections = 8\n")
    sidecar.restart()
    argv, env = stack.hosted([tool("openssl"), "dgst", "-sha256", "-sign", f"csign://{RELEASE}", str(stack.ca)], sidecar)
    for _ in range(5):
        signers = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(12)]
        with Peer(sidecar.socket) as peer:
            peer.call("Reload", "")
        for s in signers:
            _, said = s.communicate(timeout=60)
            assert s.returncode == 0, text(said)
    sign_and_verify(stack, sidecar, tmp_path)


def test_a_file_for_this_tpm_is_useless_in_another(stack, tpm, sidecar, tmp_path):
    key = tmp_path / "tpm.pem"
    made = account(stack, tpm.key_file(key))
    assert "TSS2 PRIVATE KEY" in key.read_text()
    login(stack, sidecar, made["id"], key, "--key-provider", "tpm2")
    sign_and_verify(stack, sidecar, tmp_path)

    elsewhere = Tpm(stack, some_name("tpm"))
    other = sidecar_with(stack, elsewhere)
    done = login(stack, other, made["id"], key, "--key-provider", "tpm2", check=False)
    assert done.returncode == 7 and b"holds no private key" in done.stderr
    assert not list(other.config.iterdir())

    # Nor is it a key for who has no TPM at all.
    done = login(stack, other, made["id"], key, check=False)
    assert done.returncode == 7 and b"no unencrypted private key" in done.stderr
    other.stop()
    elsewhere.end()
    sign_and_verify(stack, sidecar, tmp_path)


def test_another_key_of_the_tpm_is_refused(stack, tpm, sidecar):
    made = account(stack, tpm.persistent_key(HANDLE))
    tpm.persistent_key("0x81000002")
    done = login(stack, sidecar, made["id"], "handle:0x81000002", "--key-provider", "tpm2", check=False)
    assert done.returncode == 7 and not list(sidecar.config.iterdir())
    login(stack, sidecar, made["id"], URI, "--key-provider", "tpm2")


def test_a_reload_finds_a_tpm_that_was_away(stack, tpm, sidecar, tmp_path):
    made = account(stack, tpm.persistent_key(HANDLE))
    login(stack, sidecar, made["id"], URI, "--key-provider", "tpm2")
    tpm.manager.kill()
    with Peer(sidecar.socket) as peer, pytest.raises(DBusError) as e:
        peer.call("Reload", "")
    assert "provider 'tpm2' does not start" in e.value.message
    tpm.manager.start()
    wait_until("the TPM is back", lambda: login(stack, sidecar, made["id"], URI, "--key-provider", "tpm2",
                                                check=False).returncode == 0)
    sign_and_verify(stack, sidecar, tmp_path)


def test_a_key_of_rsa_is_refused_with_the_reason(stack, tpm, sidecar):
    made = account(stack, tpm.persistent_key(HANDLE, "rsa2048"))
    done = login(stack, sidecar, made["id"], URI, "--key-provider", "tpm2", check=False)
    assert done.returncode == 7 and b"is not P-256 or P-384, as one of a provider must be" in done.stderr
    assert not list(sidecar.config.iterdir())


def test_what_is_missing_is_named(stack, tpm, sidecar):
    made = account(stack, tpm.persistent_key(HANDLE))
    for key, provider, words in (("handle:0x81000077", "tpm2", "holds no private key"),
                                 (URI, "tpm3", "provider 'tpm3' does not start"),
                                 (URI, "csign", "is no OpenSSL provider that can have the credential"),
                                 ("csign://" + RELEASE, "tpm2", "neither an absolute path nor a provider's URI")):
        done = login(stack, sidecar, made["id"], key, "--key-provider", provider, check=False)
        assert done.returncode != 0 and words in text(done.stderr), text(done.stderr)
        assert not list(sidecar.config.iterdir())


def test_a_key_file_for_a_provider_is_still_private(stack, tpm, sidecar, tmp_path):
    key = tmp_path / "tpm.pem"
    made = account(stack, tpm.key_file(key))
    login(stack, sidecar, made["id"], key, "--key-provider", "tpm2")
    (sidecar.config / "credential.key").chmod(0o644)
    sidecar.restart()
    done = stack.csign("keys", sidecar=sidecar, check=False)
    assert done.returncode == 7 and b"0644" in done.stderr
