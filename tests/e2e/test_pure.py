# SPDX-License-Identifier: Apache-2.0
"""Keys that hash for themselves: ML-DSA, of which 64 bytes travel, and Ed25519, whose messages travel whole.

ML-DSA needs OpenSSL 3.5 in every part of csign, so its tests run the whole stack in the tree that CSIGN_TREE names;
the host's own OpenSSL says what it lacks."""

import base64
import contextlib
import fcntl
import hashlib
import itertools
import os
import socket
import sqlite3
import ssl
import subprocess

import pytest

from peer import DBusError, Peer, Variant
from stack import Stack, base_env, free_port, text, tool, wait_until

ML_DSA = ("ML-DSA-44", "ML-DSA-65", "ML-DSA-87")
NEEDS = "ML-DSA needs OpenSSL 3.5 or newer"


def path(algorithm):
    return f"acme/mobile/pure-{algorithm.lower()}"


def uri(algorithm):
    return f"csign://{path(algorithm)}"


def refused(stack, word, *argv, **options):
    """One line of csign's in the output, with this in it; and the program fails."""
    done = stack.openssl(*argv, check=False, timeout=20, **options)
    lines = [line for line in done.stderr.decode().splitlines() if ":csign: " in line]
    assert done.returncode != 0
    assert len(lines) == 1, done.stderr.decode()
    assert word in lines[0], lines[0]
    return lines[0]


# ---- ML-DSA, where OpenSSL has it ----

class MlDsa:
    def __init__(self, stack):
        self.stack, self.folder = stack, stack.folder / "files"
        self.folder.mkdir()
        self.file, self.sig = self.folder / "file", self.folder / "sig"
        self.file.write_bytes(b"what is signed\n" * 1000)
        for algorithm in ML_DSA:
            stack.add_key(path(algorithm), algorithm)
        self.pub = {a: stack.public_key(path(a), self.folder) for a in ML_DSA}
        self.crt = {a: stack.certificate(path(a), self.folder) for a in ML_DSA}

    def verify(self, algorithm, *more, file=None):
        out = self.stack.plain_openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", self.pub[algorithm],
                                       "-in", file or self.file, "-sigfile", self.sig, *more).stdout
        assert b"Signature Verified Successfully" in out

    def sign(self, algorithm, *more, file=None):
        return self.stack.openssl("pkeyutl", "-sign", "-rawin", "-inkey", uri(algorithm), "-in", file or self.file,
                                  "-out", self.sig, *more)


@pytest.fixture(scope="module")
def ml_dsa():
    with Stack(tree=True) as stack:
        yield MlDsa(stack)


@pytest.mark.tree
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_ml_dsa_signs_and_stock_openssl_verifies(ml_dsa, algorithm):
    ml_dsa.sign(algorithm)
    ml_dsa.verify(algorithm)
    record = ml_dsa.stack.audit()[-1]["record"]
    assert (record["scheme"], record["hash"]) == (algorithm.lower(), "mu")
    assert len(record["digest"]) == 2 * 64, "64 bytes travel"
    out = ml_dsa.stack.openssl("pkeyutl", "-verify", "-rawin", "-inkey", uri(algorithm), "-in", ml_dsa.file,
                               "-sigfile", ml_dsa.sig).stdout
    assert b"Signature Verified Successfully" in out


@pytest.mark.tree
def test_mu_is_what_fips_204_says(ml_dsa):
    """By other hands than those that computed it: Python's SHAKE256 over the key, the context and the message."""
    spki = base64.b64decode(ml_dsa.stack.keys[path("ML-DSA-65")]["public_key"])
    tr = hashlib.shake_256(spki[-1952:]).digest(64)
    for context in (b"", b"a context", b"c" * 255):
        more = ("-pkeyopt", f"hexcontext-string:{context.hex()}") if context else ()
        ml_dsa.sign("ML-DSA-65", *more)
        ml_dsa.verify("ML-DSA-65", *more)
        mu = hashlib.shake_256(tr + bytes([0, len(context)]) + context + ml_dsa.file.read_bytes()).hexdigest(64)
        assert ml_dsa.stack.audit()[-1]["record"]["digest"] == mu
    out = ml_dsa.stack.plain_openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", ml_dsa.pub["ML-DSA-65"],
                                     "-in", ml_dsa.file, "-sigfile", ml_dsa.sig, check=False)
    assert out.returncode != 0, "the context counts"


@pytest.mark.tree
def test_mu_that_the_program_gives_is_signed(ml_dsa):
    mu = ml_dsa.folder / "mu"
    mu.write_bytes(os.urandom(64))
    ml_dsa.sign("ML-DSA-87", "-pkeyopt", "mu:1", file=mu)
    ml_dsa.verify("ML-DSA-87", "-pkeyopt", "mu:1", file=mu)
    assert ml_dsa.stack.audit()[-1]["record"]["digest"] == mu.read_bytes().hex()
    mu.write_bytes(os.urandom(65))
    refused(ml_dsa.stack, "a mu digest has 64 bytes, not 65", "pkeyutl", "-sign", "-rawin", "-inkey",
            uri("ML-DSA-87"), "-in", mu, "-out", ml_dsa.sig, "-pkeyopt", "mu:1")


@pytest.mark.tree
@pytest.mark.parametrize("option, word", (("message-encoding:0", "message-encoding"),
                                          ("deterministic:1", "deterministic"),
                                          ("hextest-entropy:" + "00" * 32, "test-entropy")))
def test_ml_dsa_refuses_what_it_cannot_honour(ml_dsa, option, word):
    line = refused(ml_dsa.stack, f"refused: {word}", "pkeyutl", "-sign", "-rawin", "-inkey", uri("ML-DSA-65"), "-in",
                   ml_dsa.file, "-out", ml_dsa.sig, "-pkeyopt", option)
    assert path("ML-DSA-65") in line


@pytest.mark.tree
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_ml_dsa_in_certificates_and_requests(ml_dsa, algorithm):
    crt, csr = ml_dsa.folder / "self.crt", ml_dsa.folder / "csr"
    ml_dsa.stack.openssl("req", "-new", "-x509", "-key", uri(algorithm), "-subj", "/CN=x", "-out", crt)
    ml_dsa.stack.plain_openssl("verify", "-CAfile", crt, "-check_ss_sig", crt)
    ml_dsa.stack.openssl("req", "-new", "-key", uri(algorithm), "-subj", "/CN=y", "-out", csr)
    done = ml_dsa.stack.plain_openssl("req", "-verify", "-noout", "-in", csr)
    assert b"verify OK" in done.stdout + done.stderr  # releases differ in where
    ml_dsa.stack.openssl("x509", "-req", "-in", csr, "-CA", crt, "-CAkey", uri(algorithm), "-out",
                         ml_dsa.folder / "issued.crt")
    ml_dsa.stack.plain_openssl("verify", "-CAfile", crt, "-partial_chain", ml_dsa.folder / "issued.crt")
    # The built-in authority's certificate for the key.
    shown = ml_dsa.stack.plain_openssl("x509", "-in", ml_dsa.crt[algorithm], "-noout", "-text").stdout
    assert f"Public Key Algorithm: {algorithm}".encode() in shown


@pytest.mark.tree
@pytest.mark.parametrize("algorithm", ML_DSA)
def test_ml_dsa_cms(ml_dsa, algorithm):
    """With -md, without which stock openssl 3.5 does not make one with a key file either."""
    ml_dsa.stack.openssl("cms", "-sign", "-binary", "-md", "sha512", "-in", ml_dsa.file, "-signer", uri(algorithm),
                         "-outform", "DER", "-out", ml_dsa.sig)
    ml_dsa.stack.plain_openssl("cms", "-verify", "-binary", "-content", ml_dsa.file, "-in", ml_dsa.sig, "-inform",
                               "DER", "-noverify", "-certfile", ml_dsa.crt[algorithm], "-out", os.devnull)


@pytest.mark.tree
def test_an_ml_dsa_reference_signs(ml_dsa):
    ref = ml_dsa.folder / "ref.pem"
    ref.write_bytes(ml_dsa.stack.csign("ref", uri("ML-DSA-65")).stdout)
    ml_dsa.stack.openssl("pkeyutl", "-sign", "-rawin", "-inkey", ref, "-in", ml_dsa.file, "-out", ml_dsa.sig)
    ml_dsa.verify("ML-DSA-65")


@pytest.mark.tree
def test_ml_dsa_by_csign(ml_dsa):
    sig = ml_dsa.folder / "csign.sig"
    ml_dsa.stack.csign("sign", "--key", uri("ML-DSA-65"), ml_dsa.file, "-o", sig)
    done = ml_dsa.stack.csign("verify", "--pubkey", ml_dsa.pub["ML-DSA-65"], "--signature", sig, ml_dsa.file)
    assert b"good" in done.stdout
    ml_dsa.sig.write_bytes(sig.read_bytes())
    ml_dsa.verify("ML-DSA-65")
    ml_dsa.file.with_suffix(".other").write_bytes(b"other")
    done = ml_dsa.stack.csign("verify", "--pubkey", ml_dsa.pub["ML-DSA-65"], "--signature", sig,
                              ml_dsa.file.with_suffix(".other"), check=False)
    assert done.returncode == 9


@pytest.mark.tree
def test_a_tls_server_with_an_ml_dsa_key(ml_dsa):
    port = free_port()
    server = subprocess.Popen(
        ml_dsa.stack.tree_argv("openssl", "s_server", "-accept", port, "-cert", ml_dsa.crt["ML-DSA-65"], "-key",
                               uri("ML-DSA-65"), "-www"),
        env=ml_dsa.stack.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert any(b"ACCEPT" in line for line in server.stdout)
        # The built-in authority of the key's root TSG is the trust.
        ca = ml_dsa.folder / "ca.pem"
        ca.write_text(ml_dsa.stack.api("GET", "/v1/authorities?tsg=acme", status=200)["certificates"])
        done = ml_dsa.stack.plain_openssl("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", ca,
                                          "-verify_return_error", "-purpose", "any", input=b"")
        assert b"Peer signature type: mldsa65" in done.stdout, text(done.stdout)
    finally:
        server.kill()
        server.wait()


@pytest.mark.tree
def test_ml_dsa_streams_large_files(ml_dsa):
    """An application that hands the message on in pieces; openssl's own commands read such files as a whole."""
    big = ml_dsa.folder / "big"
    with open(big, "wb") as f:
        f.truncate(1 << 30)
    program = ml_dsa.stack.build / "tests/e2e/c/host-stream"
    done = ml_dsa.stack.host([program, uri("ML-DSA-65"), big, ml_dsa.sig])
    assert int(done.stdout) < 50 * 1024
    assert len(ml_dsa.stack.audit()[-1]["record"]["digest"]) == 2 * 64
    ml_dsa.verify("ML-DSA-65", file=big)
    big.unlink()


# ---- ML-DSA, where OpenSSL lacks it ----

def test_without_openssl_3_5_there_is_no_ml_dsa(stack):
    status, _, body = stack.api("POST", "/v1/keys", {"path": path("ML-DSA-65"), "algorithm": "ML-DSA-65",
                                                     "certificate": "none"})
    if b"OpenSSL 3.0" not in stack.plain_openssl("version").stdout:
        assert status == 201
        return
    assert status == 400 and body["type"] == "urn:csign:error:UnsupportedScheme" and NEEDS in body["detail"], body
    done = stack.csign("key", "create", path("ML-DSA-87"), "--algorithm", "ML-DSA-87", check=False)
    assert done.returncode == 2 and NEEDS in text(done.stderr)


@pytest.mark.tree
def test_older_parts_beside_newer_ones_say_what_they_lack(ml_dsa):
    """csign.so and a sidecar on the host's OpenSSL, a service on the tree's."""
    if b"OpenSSL 3.0" not in subprocess.run(["openssl", "version"], capture_output=True, check=True).stdout:
        return
    ref = ml_dsa.folder / "ref.pem"
    ref.write_bytes(ml_dsa.stack.csign("ref", uri("ML-DSA-44")).stdout)
    for key in (uri("ML-DSA-44"), ref):
        done = ml_dsa.stack.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", ml_dsa.file],
                                env=ml_dsa.stack.environment(), check=False)
        assert done.returncode != 0 and f"csign: {NEEDS}" in text(done.stderr), text(done.stderr)

    ml_dsa.stack.tree = False
    try:
        old = ml_dsa.stack.add_sidecar("old", "acme/mobile/old")
        assert path("ML-DSA-44") in text(ml_dsa.stack.csign("keys", sidecar=old).stdout)
        done = ml_dsa.stack.csign("sign", "--key", uri("ML-DSA-44"), ml_dsa.file, sidecar=old, check=False)
        assert done.returncode == 2 and NEEDS in text(done.stderr), text(done.stderr)
    finally:
        ml_dsa.stack.tree = True


# ---- Ed25519 ----

ED = "acme/mobile/pure-ed25519"
MIB = 1 << 20


class Ed25519:
    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        self.file, self.sig = folder / "file", folder / "sig"
        self.file.write_bytes(b"what is signed\n" * 1000)
        if ED not in stack.keys:
            stack.add_key(ED, "Ed25519")
        self.key, self.uri = stack.keys[ED], f"csign://{ED}"
        self.pub, self.crt = stack.public_key(ED, folder), stack.certificate(ED, folder)

    def argv(self, file=None):
        return "pkeyutl", "-sign", "-rawin", "-inkey", self.uri, "-in", file or self.file, "-out", self.sig

    def verify(self, file=None):
        out = self.stack.plain_openssl("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", self.pub, "-in",
                                       file or self.file, "-sigfile", self.sig).stdout
        assert b"Signature Verified Successfully" in out

    def sized(self, size):
        path = self.folder / "sized"
        with open(path, "wb") as f:
            f.write(b"begin")
            f.truncate(size)
        return path


@pytest.fixture(scope="module")
def ed(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ed25519")
    folder.chmod(0o755)
    return Ed25519(stack, folder)


@pytest.mark.provider
@pytest.mark.parametrize("size", (1, 15000, 511 * 1024, 513 * 1024, 2 * MIB, 33 * MIB, 64 * MIB))
def test_ed25519_messages_travel_whole(ed, size):
    file = ed.sized(size)
    ed.stack.openssl(*ed.argv(file))
    ed.verify(file)
    record = ed.stack.audit()[-1]["record"]
    assert (record["scheme"], record["hash"]) == ("ed25519", "none")
    assert record["message_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "digest" not in record and record["result"] == "allowed"


@pytest.mark.provider
def test_ed25519_messages_have_a_limit(ed):
    refused(ed.stack, "a message of 67108865 bytes is too large to be signed whole: the limit is 67108864",
            *ed.argv(ed.sized(64 * MIB + 1)))
    conf = ed.folder / "openssl.cnf"
    conf.write_text(ed.stack.openssl_cnf.read_text().replace("[csign_sect]", "[csign_sect]\nmessage-max = 4K"))
    env = ed.stack.environment() | {"OPENSSL_CONF": str(conf)}
    refused(ed.stack, "the limit is 4096", *ed.argv(ed.sized(4097)), env=env)
    ed.stack.openssl(*ed.argv(ed.sized(4096)), env=env)
    conf.write_text(conf.read_text().replace("4K", "much"))
    refused(ed.stack, "message-max in openssl.cnf: 'much' is not a size", *ed.argv(), env=env)


@pytest.mark.provider
def test_ed25519_in_certificates_and_requests(ed):
    crt, csr = ed.folder / "self.crt", ed.folder / "csr"
    ed.stack.openssl("req", "-new", "-x509", "-key", ed.uri, "-subj", "/CN=x", "-out", crt)
    ed.stack.plain_openssl("verify", "-CAfile", crt, "-check_ss_sig", crt)
    ed.stack.openssl("req", "-new", "-key", ed.uri, "-subj", "/CN=y", "-out", csr)
    done = ed.stack.plain_openssl("req", "-verify", "-noout", "-in", csr)
    assert b"verify OK" in done.stdout + done.stderr
    issued = ed.folder / "issued.crt"
    ed.stack.openssl("x509", "-req", "-in", csr, "-CA", crt, "-CAkey", ed.uri, "-set_serial", "7", "-out", issued)
    ed.stack.plain_openssl("verify", "-CAfile", crt, "-partial_chain", issued)
    shown = ed.stack.plain_openssl("x509", "-in", ed.crt, "-noout", "-text").stdout
    assert b"Public Key Algorithm: ED25519" in shown


@pytest.mark.provider
def test_ed25519_verifies_and_is_shown(ed):
    ed.stack.openssl(*ed.argv())
    done = ed.stack.openssl("pkeyutl", "-verify", "-rawin", "-inkey", ed.uri, "-in", ed.file, "-sigfile", ed.sig)
    assert b"Signature Verified Successfully" in done.stdout
    assert b"held by a csign service" in ed.stack.openssl("pkey", "-in", ed.uri, "-noout", "-text").stdout
    assert ed.stack.openssl("pkey", "-in", ed.uri, "-pubout").stdout == ed.pub.read_bytes()
    written = ed.folder / "written.pem"
    ed.stack.openssl("pkey", "-in", ed.uri, "-out", written)
    assert written.read_bytes().startswith(b"-----BEGIN CSIGN KEY REFERENCE-----")
    assert b"PRIVATE KEY" not in written.read_bytes()


@pytest.mark.provider
def test_ed25519_by_reference_and_by_csign(ed):
    ref = ed.folder / "ref.pem"
    ref.write_bytes(ed.stack.csign("ref", ed.uri).stdout)
    ed.stack.openssl("pkeyutl", "-sign", "-rawin", "-inkey", ref, "-in", ed.file, "-out", ed.sig)
    ed.verify()
    ed.stack.csign("sign", "--key", ed.uri, ed.file, "-o", ed.sig)
    ed.verify()
    ed.stack.csign("verify", "--cert", ed.crt, "--signature", ed.sig, ed.file)
    ed.stack.csign("sign", "--key", ed.uri, os.devnull, "-o", ed.sig)  # nothing at all can be signed, too
    ed.stack.csign("verify", "--cert", ed.crt, "--signature", ed.sig, os.devnull)
    assert ed.stack.csign("verify", "--cert", ed.crt, "--signature", ed.sig, ed.file, check=False).returncode == 9


@pytest.mark.provider
def test_what_key_files_cannot_either(ed):
    """`dgst` and `cms` take an Ed25519 key of csign where, and only where, they take one from a file."""
    file_key, file_crt, out = ed.folder / "ed.key", ed.folder / "ed.crt", ed.folder / "out"
    ed.stack.plain_openssl("genpkey", "-algorithm", "ED25519", "-out", file_key)
    ed.stack.plain_openssl("req", "-x509", "-new", "-key", file_key, "-subj", "/CN=x", "-out", file_crt)

    def both(*argv):
        done = [ed.stack.openssl(*[{"KEY": k, "CRT": c}.get(a, a) for a in argv], check=False).returncode
                for k, c in ((file_key, file_crt), (ed.uri, ed.crt))]
        assert (done[0] == 0) == (done[1] == 0), argv
        return done[1] == 0

    newer = b"OpenSSL 3.0" not in ed.stack.openssl("version").stdout
    assert both("dgst", "-sign", "KEY", "-out", out, ed.file) == newer
    assert not both("dgst", "-sha256", "-sign", "KEY", "-out", out, ed.file)
    cms = ("cms", "-sign", "-binary", "-in", ed.file, "-signer", "CRT", "-inkey", "KEY", "-out", out)
    assert both(*cms, "-md", "sha512") == newer
    both(*cms)
    both(*cms, "-noattr")


@pytest.mark.provider
@pytest.mark.uninstrumented
def test_ed25519_in_pieces_and_across_a_fork(ed):
    """Each of the two processes signs what it gave, and nothing of the other's."""
    if b"OpenSSL 3.0" in ed.stack.openssl("version").stdout:
        return  # up to 3.3 it takes such messages in one piece only
    program, child = ed.stack.build / "tests/e2e/c/host-stream", ed.folder / "child.sig"
    ed.file.write_bytes(os.urandom(200000))
    try:
        ed.stack.host([program, ed.uri, ed.file, ed.sig, child])
        ed.verify()
        ed.sig.write_bytes(child.read_bytes())
        ed.file.write_bytes(ed.file.read_bytes()[:65536] + b"child")
        ed.verify()
    finally:
        ed.file.write_bytes(b"what is signed\n" * 1000)


# ---- SignMessage, as others may call it ----

def memory(content=b"message", seals=fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE):
    fd = os.memfd_create("message", os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def sign_message(ed, fd, scheme="ed25519", options=None, version=1, key=None):
    with Peer(ed.stack.sidecar.socket, fds=True) as peer:
        try:
            return peer.call("SignMessage", "susha{sv}", key or ed.key["id"], version, scheme, 0, options or {}, fds=[fd])
        finally:
            os.close(fd)


def test_sign_message_gives_signature_and_receipt(ed):
    spki = base64.b64decode(ed.key["public_key"])
    signature, receipt = sign_message(
        ed, memory(), options={"public-key-sha256": Variant("ay", hashlib.sha256(spki).digest())})
    record = ed.stack.audit(request_id=receipt["request-id"])[0]
    assert record["number"] == receipt["record"]
    assert record["record"]["caller"]["uid"] == os.geteuid()
    ed.file.with_suffix(".m").write_bytes(b"message")
    ed.sig.write_bytes(signature)
    ed.verify(ed.file.with_suffix(".m"))


@pytest.mark.parametrize("missing", (fcntl.F_SEAL_SEAL, fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE))
def test_memory_that_could_change_is_refused(ed, missing):
    every = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    with pytest.raises(DBusError) as caught:
        sign_message(ed, memory(seals=every & ~missing))
    assert caught.value.short == "BadRequest" and "sealed" in caught.value.message


def test_what_is_no_memory_is_refused(ed):
    for fd in (os.open(ed.file, os.O_RDONLY), os.open("/", os.O_RDONLY), os.pipe()[0]):
        with pytest.raises(DBusError) as caught:
            sign_message(ed, fd)
        assert caught.value.short == "BadRequest"


def test_each_method_signs_by_its_own_schemes(ed):
    for scheme in ("ecdsa", "rsa-pss", "ml-dsa-65", "none", ""):
        with pytest.raises(DBusError) as caught:
            sign_message(ed, memory(), scheme)
        assert caught.value.short == "UnsupportedScheme"
    with Peer(ed.stack.sidecar.socket) as peer:
        for hash_name in ("none", "SHA512", "mu"):
            with pytest.raises(DBusError) as caught:
                peer.call("Sign", "sussaya{sv}", ed.key["id"], 1, "ed25519", hash_name, bytes(64), {})
            assert caught.value.short == "UnsupportedScheme"
    with pytest.raises(DBusError) as caught:  # a key of another kind
        sign_message(ed, memory(), key=ed.stack.keys["acme/mobile/release"]["id"])
    assert caught.value.short == "UnsupportedScheme"
    with pytest.raises(DBusError) as caught:
        sign_message(ed, memory(), options={"public-key-sha256": Variant("ay", bytes(32))})
    assert caught.value.short == "KeyChanged"
    with pytest.raises(DBusError) as caught:
        sign_message(ed, memory(), options={"salt-length": Variant("u", 32)})
    assert caught.value.short == "BadRequest"


# ---- the service's side ----

def test_messages_of_accounts_alone(ed):
    """The owner's API key administers, and so may not sign; the refusal names the message by its hash."""
    status, _, body = ed.stack.api("POST", f"/v1/keys/{ed.key['id']}/messages?version=1&scheme=ed25519", b"message",
                                   headers={"Content-Type": "application/octet-stream"}, raw=True)
    assert status == 403 and body["type"] == "urn:csign:error:NotPermitted"
    record = ed.stack.audit(request_id=body["request_id"])[-1]["record"]
    assert record["message_sha256"] == hashlib.sha256(b"message").hexdigest()
    assert record["rule"] == "separation-of-duties"


@pytest.mark.parametrize("query, headers, word", (
    ("version=1&scheme=ecdsa", {}, "does not sign whole messages|not a scheme that signs whole messages"),
    ("version=1", {}, "not a scheme that signs whole messages"),
    ("version=x&scheme=ed25519", {}, "version"),
    ("version=1&scheme=ed25519&hash=none", {}, "hash"),
    ("version=1&scheme=ed25519", {"Content-Type": "application/json"}, "octet-stream"),
    ("version=1&scheme=ed25519", {"Csign-Caller": "!"}, "Csign-Caller"),
    ("version=1&scheme=ed25519", {"Csign-Caller": base64.b64encode(b"[]").decode()}, "object"),
    ("version=1&scheme=ed25519", {"Csign-Caller": base64.b64encode(b"{" + b" " * 4000 + b"}").decode()}, "2048"),
))
def test_malformed_messages_are_refused(ed, query, headers, word):
    status, _, body = ed.stack.api("POST", f"/v1/keys/{ed.key['id']}/messages?{query}", b"message", raw=True,
                                   headers={"Content-Type": "application/octet-stream"} | headers)
    assert status == 400 and any(w in body["detail"] for w in word.split("|")), body


def test_other_bodies_stay_small(ed):
    """The limit is raised for messages, and for them alone; a body is not read before it is known to be wanted."""
    for where in ("/v1/signatures", "/v1/keys", f"/v1/keys/{ed.key['id']}/signatures"):
        with contextlib.suppress(OSError):  # it may close before all of it was sent
            status, _, _ = ed.stack.api("POST", where, bytes(MIB), raw=True, headers={"Expect": "100-continue"})
            assert status == 413


def test_many_messages_at_once(ed):
    """More than the service takes at a time: each is signed, or refused in a sentence, and it can go on after."""
    file = ed.sized(4 * MIB)
    processes = [subprocess.Popen([str(ed.stack.program("csign")), "sign", "--key", ed.uri, str(file), "-o",
                                   str(ed.folder / f"sig-{i}")], env=ed.stack.environment(), stderr=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL) for i in range(12)]
    for i, process in enumerate(processes):
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0 or "message-max" in text(said), text(said)
        if process.returncode == 0:
            ed.sig.write_bytes((ed.folder / f"sig-{i}").read_bytes())
            ed.verify(file)
    for _ in range(10):
        ed.stack.openssl(*ed.argv(file))


def begin_message(stack, token):
    """A connection on which a large message has begun, and does not go on.  Returns it, and what came back."""
    connection = socket.create_connection(("127.0.0.1", stack.port), timeout=10)
    tls = ssl.create_default_context(cafile=str(stack.ca)).wrap_socket(connection, server_hostname="localhost")
    tls.sendall(f"POST /v1/keys/{stack.keys[ED]['id']}/messages?version=1&scheme=ed25519 HTTP/1.1\r\n"
                f"Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/octet-stream\r\n"
                f"Expect: 100-continue\r\nContent-Length: {4 * MIB}\r\n\r\n".encode())
    return tls, tls.recv(4096)


def test_only_known_clients_may_begin_large_messages(fresh_stack, tmp_path):
    """Others could keep the few places that there are."""
    tmp_path.chmod(0o755)
    stack = fresh_stack()
    ed, held = Ed25519(stack, tmp_path), []
    for token in ("csk_" + "a" * 43, "", "cst_" + "a" * 43) * 4:
        tls, answer = begin_message(stack, token)
        assert answer.startswith(b"HTTP/1.1 413"), answer
        tls.close()
    for _ in range(8):
        tls, answer = begin_message(stack, stack.api_key)
        assert answer.startswith(b"HTTP/1.1 100"), answer
        held.append(tls)
    refused(stack, "it has too many large ones at the moment", *ed.argv(ed.sized(2 * MIB)))
    stack.openssl(*ed.argv())
    ed.verify()
    for tls in held:
        tls.close()
    wait_until("the places are free again", lambda: stack.openssl(*ed.argv(ed.sized(2 * MIB)), check=False).returncode == 0)


def test_a_large_message_of_one_who_may_no_more_is_told_so(fresh_stack, tmp_path):
    """The refusal comes before the body was read, and yet says what it is about."""
    tmp_path.chmod(0o755)
    stack = fresh_stack()
    ed = Ed25519(stack, tmp_path)
    stack.openssl(*ed.argv(ed.sized(2 * MIB)))
    stack.api("PATCH", f"/v1/accounts/{stack.sidecar.client_id}", {"state": "disabled"}, status=200)
    refused(stack, "disabled", *ed.argv(ed.sized(2 * MIB)))


def test_a_token_that_is_not_known_any_more_is_replaced(fresh_stack, tmp_path):
    tmp_path.chmod(0o755)
    stack = fresh_stack()
    ed = Ed25519(stack, tmp_path)
    stack.openssl(*ed.argv(ed.sized(2 * MIB)))
    stack.service.stop()
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        db.execute("DELETE FROM tokens")
        db.commit()
    for path in stack.state.glob("csign.db*"):
        os.chown(path, *(os.stat(stack.state)[4:6]))
    stack.service.start()
    stack.openssl(*ed.argv(ed.sized(2 * MIB)))
    ed.verify(ed.sized(2 * MIB))


def test_limits_of_sidecar_and_service(fresh_stack, tmp_path):
    tmp_path.chmod(0o755)
    stack = fresh_stack(service_conf={"message-max": "1M"}, sidecar_conf={"message-max": "2M"})
    ed = Ed25519(stack, tmp_path)
    ed.stack.openssl(*ed.argv(ed.sized(MIB)))
    ed.verify(ed.sized(MIB))
    refused(stack, "the service does not take a message of 1048577 bytes", *ed.argv(ed.sized(MIB + 1)))
    refused(stack, "the limit is 2097152", *ed.argv(ed.sized(2 * MIB + 1)))
    ed.stack.openssl(*ed.argv(ed.sized(MIB)))


def test_I4_a_corrupt_signature_of_a_message_goes_nowhere(fresh_stack, tmp_path):
    tmp_path.chmod(0o755)
    stack = fresh_stack(proxy=True)
    ed = Ed25519(stack, tmp_path)
    stack.openssl(*ed.argv())
    assert stack.proxy.count("sign-message") == 1
    ed.sig.unlink()
    with stack.proxy.corrupting():
        refused(stack, "does not verify", *ed.argv())
    assert not ed.sig.exists() or ed.sig.stat().st_size == 0


def test_sign_message_through_a_bus(bus_stack, tmp_path):
    tmp_path.chmod(0o755)
    ed = Ed25519(bus_stack, tmp_path)
    file = ed.sized(40 * MIB)
    bus_stack.openssl(*ed.argv(file))
    ed.verify(file)


# ---- the program's own keys, with csign before default ----

class Own:
    """An openssl that looks to csign first, and a plain one of the same release."""

    def __init__(self, stack, folder, algorithm):
        self.stack, self.folder, self.algorithm = stack, folder, algorithm
        modules = folder / "modules"
        modules.mkdir()
        (modules / "csign.so").symlink_to(stack.program("csign.so"))
        self.env = base_env() | {"OPENSSL_CONF": os.devnull, "OPENSSL_MODULES": str(modules)}
        self.key, self.pub, self.crt, self.sig = (folder / n for n in ("own.key", "own.pub", "own.crt", "own.sig"))
        self.file = folder / "file"
        self.file.write_bytes(b"what is signed\n" * 100)

    def csign_first(self, verb, *argv, **options):
        return self.stack.openssl(verb, "-provider", "csign", "-provider", "default", *argv, env=self.env, **options)

    def plain(self, *argv, **options):
        return self.stack.host([tool("openssl"), *argv], env=base_env(), **options)

    def handshake(self, server_first, client_first):
        port = free_port()
        argv = ["openssl", "s_server", "-accept", port, "-cert", self.crt, "-key", self.key, "-www"]
        if server_first:
            argv[2:2] = ["-provider", "csign", "-provider", "default"]
        server = subprocess.Popen(self.stack.tree_argv(*argv), env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            assert any(b"ACCEPT" in line for line in server.stdout)
            client = self.csign_first if client_first else self.plain
            return client("s_client", "-connect", f"127.0.0.1:{port}", input=b"", check=False).stdout
        finally:
            server.kill()
            server.wait()


@pytest.mark.provider
@pytest.mark.uninstrumented  # s_server would need the sanitizer's library
@pytest.mark.parametrize("algorithm, peer", (("ED25519", "ed25519"), ("ML-DSA-44", "mldsa44"), ("ML-DSA-65", "mldsa65"),
                                             ("ML-DSA-87", "mldsa87")))
def test_I7_own_keys_are_left_alone(stack, tmp_path, algorithm, peer):
    tmp_path.chmod(0o755)
    own = Own(stack, tmp_path, algorithm)
    done = own.csign_first("genpkey", "-algorithm", algorithm, "-out", own.key, check=False)
    if algorithm != "ED25519" and b"OpenSSL 3.0" in own.plain("version").stdout:
        assert done.returncode != 0
        return
    own.csign_first("pkey", "-in", own.key, "-pubout", "-out", own.pub)
    own.csign_first("pkey", "-in", own.key, "-noout", "-check", "-text")
    for sign, verify in itertools.product((own.csign_first, own.plain), repeat=2):
        sign("pkeyutl", "-sign", "-rawin", "-inkey", own.key, "-in", own.file, "-out", own.sig)
        verify("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", own.pub, "-in", own.file, "-sigfile", own.sig)
    own.csign_first("req", "-x509", "-new", "-key", own.key, "-subj", "/CN=x", "-out", own.crt)
    own.plain("verify", "-CAfile", own.crt, "-check_ss_sig", own.crt)
    for server_first, client_first in ((True, False), (False, True), (True, True)):
        assert f"Peer signature type: {peer}".encode() in own.handshake(server_first, client_first)
