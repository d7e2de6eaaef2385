# SPDX-License-Identifier: Apache-2.0
"""The openssl program's own ways to sign."""

from signers import signer

CA = {"program": "openssl", "recipe": "openssl-ca"}
SIGN = {"program": "openssl", "recipe": "openssl-sign"}

CA_CONF = """[ca]
default_ca = me
[me]
database = index.txt
serial = serial
new_certs_dir = .
certificate = {certificate}
private_key = {key}
default_md = sha256
default_days = 30
default_crl_days = 30
policy = policy
unique_subject = no
[policy]
commonName = supplied
"""

TS_CONF = """[tsa]
default_tsa = me
[me]
serial = tsa-serial
default_policy = 1.2.3.4.1
digests = sha256, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
"""


@signer("openssl req", takes="URI", **CA)
def test_req(s):
    s.sign("req", "-new", "-key", s.uri, "-subj", "/CN=me", "-out", "csr")
    s.prove("openssl", "req", "-in", "csr", "-verify", "-noout", says="verify OK")


@signer("openssl x509, self-signed", takes="URI", **CA)
def test_x509_self(s):
    s.sign("x509", "-new", "-key", s.uri, "-subj", "/CN=me", "-days", "30", "-out", "crt")
    s.prove("openssl", "verify", "-CAfile", "crt", "-check_ss_sig", "crt", says="crt: OK")


@signer("openssl x509, as a CA", takes="URI", **CA)
def test_x509_ca(s):
    s.sign("x509", "-req", "-in", s.ground.request, "-CA", s.crt("ca"), "-CAkey", s.uri, "-days", "30",
           "-out", "crt")
    s.prove("openssl", "verify", "-CAfile", s.ca, "-untrusted", s.crt("ca"), "crt", says="crt: OK")


def ca_folder(s):
    (s.dir / "index.txt").touch()
    (s.dir / "serial").write_text("1000\n")
    (s.dir / "ca.cnf").write_text(CA_CONF.format(certificate=s.crt("ca"), key=s.uri))
    return "ca", "-batch", "-notext", "-config", "ca.cnf"


@signer("openssl ca", takes="URI", **CA)
def test_ca(s):
    ca = ca_folder(s)
    s.sign(*ca, "-in", s.ground.request, "-out", "crt")
    s.prove("openssl", "verify", "-CAfile", s.ca, "-untrusted", s.crt("ca"), "crt", says="crt: OK")


@signer("openssl ca -gencrl", takes="URI", **CA)
def test_ca_gencrl(s):
    s.sign(*ca_folder(s), "-gencrl", "-out", "crl")
    s.prove("openssl", "crl", "-in", "crl", "-noout", "-CAfile", s.crt("ca"), says="verify OK")


@signer("openssl ocsp", takes="URI", **CA)
def test_ocsp(s):
    (s.dir / "index.txt").write_text("V\t491231235959Z\t\t1000\tunknown\t/CN=localhost\n")
    s.plain("openssl", "ocsp", "-issuer", s.ca, "-serial", "0x1000", "-reqout", "req", "-no_nonce")
    s.sign("ocsp", "-index", "index.txt", "-CA", s.ca, "-rsigner", s.crt("ocsp"), "-rkey", s.uri, "-reqin", "req",
           "-respout", "resp", "-ndays", "1")
    s.prove("openssl", "ocsp", "-issuer", s.ca, "-serial", "0x1000", "-respin", "resp", "-CAfile", s.ca,
            "-no_nonce", says="Response verify OK")


@signer("openssl ts", takes="file", **SIGN)
def test_ts(s):
    (s.dir / "ts.cnf").write_text(TS_CONF)
    (s.dir / "tsa-serial").write_text("01\n")
    s.plain("openssl", "ts", "-query", "-data", s.file, "-sha256", "-cert", "-out", "tsq", "-config", "ts.cnf")
    s.sign("ts", "-reply", "-config", "ts.cnf", "-section", "me", "-queryfile", "tsq", "-signer", s.crt("stamp"),
           "-inkey", s.ref, "-out", "tsr")
    s.prove("openssl", "ts", "-verify", "-queryfile", "tsq", "-in", "tsr", "-CAfile", s.ca, says="Verification: OK")


@signer("openssl cms", takes="URI", **SIGN)
def test_cms(s):
    s.sign("cms", "-sign", "-binary", "-in", s.file, "-signer", s.crt("email"), "-inkey", s.uri, "-outform", "DER",
           "-out", "p7s")
    s.prove("openssl", "cms", "-verify", "-binary", "-content", s.file, "-inform", "DER", "-in", "p7s", "-CAfile",
            s.ca, "-out", "content", says="CMS Verification successful")


@signer("openssl cms, certificate from csign", takes="URI", **SIGN)
def test_cms_signer(s):
    """The service has issued a certificate itself; the URI gives that, too."""
    s.sign("cms", "-sign", "-binary", "-in", s.file, "-signer", s.uri, "-outform", "DER", "-out", "p7s")
    s.stack.csign("ca", "export", "--tsg", "acme", "-o", s.dir / "acme.pem")
    s.prove("openssl", "cms", "-verify", "-binary", "-content", s.file, "-inform", "DER", "-in", "p7s", "-CAfile",
            "acme.pem", "-purpose", "any", "-out", "content", says="CMS Verification successful")


@signer("openssl smime", takes="URI", **SIGN)
def test_smime(s):
    s.sign("smime", "-sign", "-text", "-md", "sha256", "-in", s.file, "-signer", s.crt("email"), "-inkey", s.uri,
           "-out", "mail")
    s.prove("openssl", "smime", "-verify", "-in", "mail", "-CAfile", s.ca, "-out", "content",
            says="Verification successful")


@signer("openssl dgst", takes="URI", **SIGN)
def test_dgst(s):
    s.sign("dgst", "-sha256", "-sign", s.uri, "-out", "sig", s.file)
    s.prove("openssl", "dgst", "-sha256", "-verify", s.pub, "-signature", "sig", s.file, says="Verified OK")


@signer("openssl pkeyutl", takes="URI", **SIGN)
def test_pkeyutl(s):
    s.plain("openssl", "dgst", "-sha256", "-binary", "-out", "hash", s.file)
    s.sign("pkeyutl", "-sign", "-inkey", s.uri, "-pkeyopt", "digest:sha256", "-in", "hash", "-out", "sig")
    s.prove("openssl", "dgst", "-sha256", "-verify", s.pub, "-signature", "sig", s.file, says="Verified OK")
