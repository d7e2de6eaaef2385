# SPDX-License-Identifier: Apache-2.0
"""Keys that hash for themselves: ML-DSA, of which 64 bytes travel, and Ed25519, whose messages travel whole.

ML-DSA needs OpenSSL 3.5 in every part of csign, so its tests run the whole stack in the tree that CSIGN_TREE names;
the host's own OpenSSL says what it lacks."""

import base64
import hashlib
import os
import subprocess

import pytest

from stack import Stack, free_port, text

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
        done = ml_dsa.stack.plain_openssl("s_client", "-connect", f"localhost:{port}", "-CAfile", ca,
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
