# SPDX-License-Identifier: Apache-2.0
"""Keys that hash for themselves, Ed25519 and ML-DSA: what programs of which release take them.  Most tools have a say in
how the digest is made, and cannot; none of it is about csign, for a key file fares the same (tests/e2e/test_pure.py)."""

from signers import signer
from test_files import osslsigncode, rauc_content, sign_file
from test_openssl import ca_folder
from test_tls import curl, nginx, s_server

NAMES, LATER = ("bookworm", "trixie", "forky"), ("trixie", "forky")
PURE = {"keys": ("ed25519", "mldsa65"), "recipe": "ed25519-ml-dsa"}
OPENSSL = PURE | {"program": "openssl"}


def works(ed25519, ml_dsa=LATER):
    return {"ed25519": ed25519, "mldsa65": ml_dsa}


@signer("openssl pkeyutl -rawin", takes="URI", works_in=works(NAMES), **OPENSSL)
def test_pkeyutl(s):
    s.sign("pkeyutl", "-sign", "-rawin", "-inkey", s.uri, "-in", s.file, "-out", "sig")
    s.prove("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", s.pub, "-in", s.file, "-sigfile", "sig",
            says="Verified Successfully")


@signer("openssl dgst, no hash", takes="URI", works_in=works(LATER), refusal="Key type not supported.*", **OPENSSL)
def test_dgst(s):
    s.sign("dgst", "-sign", s.uri, "-out", "sig", s.file)
    s.prove("openssl", "dgst", "-verify", s.pub, "-signature", "sig", s.file, says="Verified OK")


@signer("openssl req and x509, pure keys", takes="URI", works_in=works(NAMES), **OPENSSL)
def test_req_x509(s):
    s.sign("req", "-new", "-key", s.uri, "-subj", "/CN=me", "-out", "csr")
    s.prove("openssl", "req", "-in", "csr", "-verify", "-noout", says="verify OK")
    s.sign("x509", "-req", "-in", s.ground.request, "-CA", s.crt("ca"), "-CAkey", s.uri, "-days", "30", "-out", "crt")
    s.prove("openssl", "verify", "-CAfile", s.ca, "-untrusted", s.crt("ca"), "crt", says="crt: OK")


@signer("openssl ca, pure keys", takes="URI", works_in=works(NAMES), **OPENSSL)
def test_ca(s):
    """Its default_md is passed over."""
    s.sign(*ca_folder(s), "-md", "default", "-in", s.ground.request, "-out", "crt")
    s.prove("openssl", "verify", "-CAfile", s.ca, "-untrusted", s.crt("ca"), "crt", says="crt: OK")


@signer("openssl cms -md sha512", takes="URI", works_in=works(LATER), refusal="csign: refused: hash sha512", **OPENSSL)
def test_cms(s):
    s.sign("cms", "-sign", "-binary", "-md", "sha512", "-in", s.file, "-signer", s.crt("email"), "-inkey", s.uri,
           "-outform", "DER", "-out", "p7s")
    s.prove("openssl", "cms", "-verify", "-binary", "-content", s.file, "-inform", "DER", "-in", "p7s", "-CAfile",
            s.ca, "-out", "content", says="CMS Verification successful")


@signer("openssl s_server, TLS 1.3, pure keys", takes="URI", works_in=works(NAMES), **OPENSSL)
def test_s_server(s):
    s_server(s, "tls1_3")


@signer("curl --cert, pure keys", program="curl", takes="file", works_in=works(NAMES), **PURE)
def test_curl(s):
    curl(s, "--key", s.ref)


@signer("nginx, pure keys", program="nginx", takes="file", works_in=works(NAMES), **PURE)
def test_nginx(s):
    with s.counted(), nginx(s, s.ref) as (_, port):
        s.prove("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", s.ca, "-verify_return_error",
                says="Verify return code: 0 (ok)")


# ---- tools that make the digest, or would like to ----

NONE = works((), ())
TOOL = PURE | {"refusal": r"signing not supported for this key type|pkcs7 add signature error|pkey nid=-?\d+|CMS_final|"
                          r"Failed to allocate PKCS# context|Failed to checking the consistency of a private key"}

@signer("osslsigncode, pure keys", program="osslsigncode", takes="file", works_in=NONE, **TOOL)
def test_osslsigncode(s):
    osslsigncode(s, "exe", "-certs", s.crt("code"), "-key", s.ref)


@signer("sbsign, pure keys", program="sbsign", package="sbsigntool", takes="file", works_in=NONE, **TOOL)
def test_sbsign(s):
    s.sign("--key", s.ref, "--cert", s.crt("plain"), "--output", "signed.efi", s.ground.folder / "boot.efi")
    s.prove("sbverify", "--cert", s.crt("plain"), "signed.efi", says="Signature verification OK")


@signer("systemd-sbsign, pure keys", program="systemd-sbsign", package="systemd-repart", takes="URI", works_in=NONE,
        **TOOL)
def test_systemd_sbsign(s):
    s.sign("sign", "--private-key-source=provider:csign", f"--private-key={s.uri}", f"--certificate={s.crt('plain')}",
           "--output=signed.efi", s.ground.folder / "boot.efi")
    s.prove("sbverify", "--cert", s.crt("plain"), "signed.efi", says="Signature verification OK")


@signer("kernel sign-file, pure keys", program="sign-file", package="linux-kbuild-*", takes="file",
        works_in=works((), ("forky",)), **TOOL)
def test_sign_file(s):
    sign_file(s, "sha512")


@signer("rauc, pure keys", program="rauc", takes="file", works_in=NONE, **TOOL)
def test_rauc(s):
    s.sign("bundle", f"--cert={s.crt('email')}", f"--key={s.ref}", rauc_content(s), "update.raucb")
    s.prove("rauc", "info", f"--keyring={s.ca}", "update.raucb", says="Compatible")
