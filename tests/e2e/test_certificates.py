# SPDX-License-Identifier: Apache-2.0
"""Certificates: the built-in CA's two levels, renewal, revocation and its lists, outside CAs by hand, and what signing
makes of a certificate that ended.  Proven with stock openssl, which knows nothing of csign."""

import base64
import contextlib
import datetime
import json
import os
import re
import sqlite3

import pytest

from fake_clock import library
from stack import Stack, text, tool, wait_until
from test_service import UNKNOWN_KEY, Client, check_problem, sign_item

PUBLIC_URL = "http://pki.example:8080/csign"
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


@pytest.fixture(scope="module")
def pki():
    """Its certificates say where lists and authorities are served."""
    with Stack(service_conf={"public-url": PUBLIC_URL}, keys={}) as s:
        yield s


@pytest.fixture
def key(pki):
    return pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}")


@pytest.fixture(scope="module")
def ci(pki, tmp_path_factory):
    c = Client(pki, tmp_path_factory.mktemp("ci"), "acme/mobile/certificates").login()
    yield c
    c.close()


def current(stack, key, version=0):
    return stack.api("GET", f"/v1/keys/{key['id']}?version={version}", status=200)


def listed(stack, **query):
    words = "&".join(f"{k}={v}" for k, v in query.items())
    return stack.api("GET", f"/v1/certificates?{words}", status=200)["certificates"]


def add_certificate(stack, key, body, status=201, version=1):
    reply = stack.api("POST", f"/v1/keys/{key['id']}/versions/{version}/certificates", body)
    if status == 201:
        assert reply[0] == 201, reply[2]
        return reply[2]
    return reply


def renew(stack, key, **body):
    return add_certificate(stack, key, {"certificate": "builtin"} | body)


def revoke(stack, certificate, reason="superseded", **body):
    return stack.api("POST", f"/v1/certificates/{certificate['id']}/revocation", {"reason": reason} | body, status=200)


def authorities(stack, tsg="acme"):
    return stack.api("GET", f"/v1/authorities?tsg={tsg}", status=200)


def pem_of(stack, der, path, what="x509"):
    stack.plain_openssl(what, "-inform", "DER", "-out", path, input=base64.b64decode(der))
    return path


def shown(stack, pem, *options):
    return text(stack.plain_openssl("x509", "-in", pem, "-noout", *options).stdout)


class Files:
    """What a verifier has: the root, what the key's owner sends along, and lists."""

    def __init__(self, stack, folder, tsg="acme"):
        self.stack, self.folder = stack, folder
        self.all = authorities(stack, tsg)
        self.root, self.issuing = (next(a for a in self.all["authorities"] if a["kind"] == kind)
                                   for kind in ("root", "issuing"))
        self.root_pem = pem_of(stack, self.root["certificate"], folder / "root.pem")
        self.issuing_pem = pem_of(stack, self.issuing["certificate"], folder / "issuing.pem")

    def crl(self, authority):
        """Without any credential."""
        status, headers, der = self.stack.api("GET", f"/v1/authorities/{authority['id']}/crl", bearer="nobody")
        assert status == 200 and headers["Content-Type"] == "application/pkix-crl"
        path = self.folder / f"{authority['kind']}.crl.pem"
        self.stack.plain_openssl("crl", "-inform", "DER", "-out", path, input=der)
        return path

    def crl_number(self, authority):
        said = text(self.stack.plain_openssl("crl", "-in", self.crl(authority), "-noout", "-crlnumber").stdout)
        return int(said.split("=")[1], 16)

    def verify(self, leaf, *options, check=True):
        return self.stack.plain_openssl("verify", "-x509_strict", "-purpose", "any", "-CAfile", self.root_pem,
                                        "-untrusted", self.issuing_pem, *options, leaf, check=check)

    def verify_with_lists(self, leaf, check=True):
        lists = self.folder / "lists.pem"
        lists.write_bytes(self.crl(self.root).read_bytes() + self.crl(self.issuing).read_bytes())
        for option in ("-crl_check", "-crl_check_all"):
            done = self.verify(leaf, option, "-CRLfile", lists, check=check)
        return done


@pytest.fixture
def files(pki, tmp_path):
    return Files(pki, tmp_path)


# ---- the built-in CA ----

def test_a_root_tsg_has_a_root_and_an_issuing_authority(pki, files, key, tmp_path):
    assert [a["kind"] for a in files.all["authorities"]] == ["root", "issuing"]
    assert files.issuing["issuer"] == files.root["id"] and files.root["issuer"] is None
    assert PEM.findall(files.all["certificates"]) == [files.root_pem.read_text(), files.issuing_pem.read_text()]
    own, *above = key["certificates"]
    leaf = pem_of(pki, own, tmp_path / "leaf.pem")
    assert above == [files.issuing["certificate"], files.root["certificate"]]
    assert current(pki, key)["certificates"] == key["certificates"]
    files.verify(leaf)
    root, issuing, said = (shown(pki, p, "-text") for p in (files.root_pem, files.issuing_pem, leaf))
    assert "CA:TRUE, pathlen:1" in root and "CA:TRUE, pathlen:0" in issuing and "CA:FALSE" in said
    for ca in (root, issuing):
        assert re.search(r"X509v3 Key Usage: critical\n\s+Certificate Sign, CRL Sign\n", ca)
    assert re.search(r"X509v3 Key Usage: critical\n\s+Digital Signature\n", said)
    assert re.search(r"X509v3 Extended Key Usage: \n\s+Code Signing\n", said)
    for issuer, subject in ((root, issuing), (issuing, said)):
        identifier = re.search(r"Subject Key Identifier: \n\s+([0-9A-F:]+)", issuer)[1]
        assert re.search(rf"Authority Key Identifier: \n\s+(keyid:)?{identifier}\n", subject)
    assert f"URI:{PUBLIC_URL}/v1/authorities/{files.issuing['id']}/crl" in said
    assert f"CA Issuers - URI:{PUBLIC_URL}/v1/authorities/{files.issuing['id']}/certificate" in said
    assert f"URI:{PUBLIC_URL}/v1/authorities/{files.root['id']}/crl" in issuing


def test_an_authority_is_served_to_everybody(pki, files):
    for authority in (files.root, files.issuing):
        status, headers, der = pki.api("GET", f"/v1/authorities/{authority['id']}/certificate", bearer="nobody")
        assert status == 200 and headers["Content-Type"] == "application/pkix-cert"
        assert base64.b64encode(der).decode() == authority["certificate"]
    unknown = "ca_" + "a" * 26
    for what in ("crl", "certificate"):
        check_problem(pki.api("GET", f"/v1/authorities/{unknown}/{what}", bearer="nobody"), 404, "NotFound")


def test_tenants_have_authorities_of_their_own(pki, files, key, tmp_path):
    other = Files(pki, tmp_path_of(tmp_path, "other"), "other")
    leaf = pem_of(pki, key["certificates"][0], tmp_path / "leaf.pem")
    files.verify(leaf)
    assert other.verify(leaf, check=False).returncode != 0


def tmp_path_of(folder, name):
    (folder / name).mkdir()
    return folder / name


def test_without_a_public_url_certificates_name_none(stack, tmp_path):
    key = stack.add_key(f"acme/mobile/c-{os.urandom(4).hex()}")
    said = shown(stack, pem_of(stack, key["certificates"][0], tmp_path / "leaf.pem"), "-text")
    assert "CRL Distribution" not in said and "CA Issuers" not in said


@pytest.mark.parametrize("days,status", [(1, 201), (460, 201), (461, 400), (0, 400)])
def test_a_certificate_lives_at_most_460_days(pki, days, status):
    body = {"path": f"acme/mobile/c-{os.urandom(4).hex()}", "algorithm": "P-256", "validity_days": days}
    reply = pki.api("POST", "/v1/keys", body)
    assert reply[0] == status, reply[2]
    if status == 400:
        assert ("1 to 460 days" if days else "a whole number from 1") in reply[2]["detail"]


def test_the_longest_life_is_configured(fresh_stack):
    stack = fresh_stack(service_conf={"certificate-days": "30"}, keys={}, sidecar=False)
    key = stack.add_key("acme/mobile/short")
    (certificate,) = listed(stack, key=key["id"])
    assert certificate["days_left"] == 29
    check_problem(stack.api("POST", f"/v1/keys/{key['id']}/versions/1/certificates",
                            {"certificate": "builtin", "validity_days": 31}), 400, "BadRequest")


def test_the_authoritys_policy_is_in_its_certificates(pki, tmp_path):
    pki.api("POST", "/v1/tsgs", {"path": "policy"}, status=201)
    files = Files(pki, tmp_path, "policy")
    change = {"organization": "Acme Märchen GmbH", "country": "DE", "alternative_name": "URI:csign://{path}",
              "extended_key_usage": "codeSigning,lifetimeSigning"}
    changed = pki.api("PATCH", f"/v1/authorities/{files.issuing['id']}", change, status=200)
    assert {k: changed[k] for k in change} == change and changed["revision"] == 2
    key = pki.add_key("policy/release", subject="Release")
    leaf = pem_of(pki, key["certificates"][0], tmp_path / "leaf.pem")
    files.verify(leaf)
    said = shown(pki, leaf, "-text", "-nameopt", "utf8,sep_comma_plus")
    assert "C=DE,O=Acme Märchen GmbH,CN=Release" in said
    assert "URI:csign://policy/release" in said and "1.3.6.1.4.1.311.10.3.13" in said
    record = [r["record"] for r in pki.audit() if r["record"]["kind"] == "authority.change"][-1]["what"]
    assert record["organization"] == change["organization"] and not record.get("organization_before")


@pytest.mark.parametrize("change", [
    {"country": "DEU"}, {"country": "de"}, {"organization": "x" * 65}, {"organization": "a\nb"},
    {"extended_key_usage": "serverAuth"}, {"extended_key_usage": "emailProtection"}, {"extended_key_usage": ""},
    {"alternative_name": "@section"}, {"alternative_name": "URI:a,DNS:b"}, {"alternative_name": "dirName:x"},
    {"subject": "x"},
], ids=str)
def test_a_policy_that_cannot_be_is_refused(pki, files, change):
    check_problem(pki.api("PATCH", f"/v1/authorities/{files.issuing['id']}", change), 400, "BadRequest")
    assert authorities(pki) == files.all


def test_new_authorities_take_over(pki, tmp_path):
    pki.api("POST", "/v1/tsgs", {"path": "again"}, status=201)
    before = Files(pki, tmp_path_of(tmp_path, "before"), "again")
    old = pki.add_key("again/old")
    made = pki.api("POST", "/v1/authorities", {"tsg": "again"}, status=201)
    key = pki.add_key("again/new")
    after = Files(pki, tmp_path_of(tmp_path, "after"), "again")
    assert made["id"] == after.issuing["id"] != before.issuing["id"]
    after.verify(pem_of(pki, key["certificates"][0], tmp_path / "new.pem"))
    leaf = pem_of(pki, old["certificates"][0], tmp_path / "old.pem")
    before.verify_with_lists(leaf)
    assert len(after.all["authorities"]) == 4
    for tsg in ("acme/mobile", "nothing", ""):
        assert pki.api("POST", "/v1/authorities", {"tsg": tsg})[0] in (400, 404)


def test_an_authority_of_an_older_csign_goes_on(fresh_stack, tmp_path):
    """It signed itself and issues: as the system's does, which is put in its place."""
    stack = fresh_stack(keys={}, sidecar=False)
    stack.service.stop()
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        db.execute("UPDATE authorities SET created = created + 1000000000, "
                   "tsg = (SELECT id FROM tsgs WHERE path = 'acme') "
                   "WHERE tsg = (SELECT id FROM tsgs WHERE parent IS NULL)")
        db.commit()
    stack.service.start()
    old = authorities(stack)["authorities"][0]
    assert old["kind"] == "issuing" and old["issuer"] is None
    key = stack.add_key("acme/mobile/old")
    leaf = pem_of(stack, key["certificates"][0], tmp_path / "leaf.pem")
    root = pem_of(stack, old["certificate"], tmp_path / "root.pem")
    assert key["certificates"][1:] == [old["certificate"]]
    crl = tmp_path / "crl.pem"

    def verify():
        stack.plain_openssl("crl", "-inform", "DER", "-out", crl, input=stack.api(
            "GET", f"/v1/authorities/{old['id']}/crl")[2])
        return stack.plain_openssl("verify", "-x509_strict", "-purpose", "any", "-crl_check_all", "-CRLfile", crl,
                                   "-CAfile", root, leaf, check=False).returncode == 0

    assert verify()
    revoke(stack, listed(stack, key=key["id"])[0])
    assert not verify()


# ---- renewing ----

def test_renewal_keeps_the_key(pki, files, key, tmp_path):
    (first,) = listed(pki, key=key["id"])
    second = renew(pki, key)
    assert second["source"] == "builtin" and second["current"] and second["state"] == "valid"
    now = current(pki, key)
    assert now["certificates"] == second["certificates"] != key["certificates"]
    assert now["public_key"] == key["public_key"]
    leaf = pem_of(pki, now["certificates"][0], tmp_path / "leaf.pem")
    files.verify_with_lists(leaf)
    assert shown(pki, leaf, "-subject") == shown(pki, pem_of(pki, key["certificates"][0], tmp_path / "1.pem"), "-subject")
    assert base64.b64encode(pki.plain_openssl("pkey", "-pubin", "-outform", "DER", input=pki.plain_openssl(
        "x509", "-in", leaf, "-noout", "-pubkey").stdout).stdout).decode() == key["public_key"]
    assert {c["id"]: c["current"] for c in listed(pki, key=key["id"])} == {first["id"]: False, second["id"]: True}
    assert pki.api("GET", f"/v1/certificates/{second['id']}", status=200) == second
    record = [r["record"] for r in pki.audit(key=key["id"])][-1]
    assert record["kind"] == "certificate.renew" and record["what"]["certificate_serial"] == second["serial"]
    assert record["what"]["certificate_serial_before"] == first["serial"]


def test_renewal_keeps_the_terms_unless_asked(pki, tmp_path):
    key = pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", subject="Märchen", validity_days=30)
    same, other = renew(pki, key), renew(pki, key, subject="Else", validity_days=60)
    assert (same["subject"], same["days_left"]) == ("CN=Märchen", 29)
    assert (other["subject"], other["days_left"]) == ("CN=Else", 59)


def test_a_renewal_that_is_asked_for_again_happens_once(pki, key):
    path, headers = f"/v1/keys/{key['id']}/versions/1/certificates", {"Idempotency-Key": f"r-{key['id']}"}
    first, again = (pki.api("POST", path, {"certificate": "builtin"}, headers=headers) for _ in range(2))
    assert first[0] == again[0] == 201 and first[2] == again[2] and len(listed(pki, key=key["id"])) == 2


def test_a_key_without_a_certificate_gets_one_later(pki, ci):
    key = pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", certificate="none")
    assert key["certificates"] == [] and listed(pki, key=key["id"]) == []
    assert ci.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None))[0] == 201
    assert renew(pki, key)["subject"] == f"CN={key['path']}"


def test_machines_have_the_new_certificate_within_five_seconds(pki, key, tmp_path):
    """Nothing on the machine is touched: neither the sidecar nor its cache."""
    def of_sidecar():
        return text(pki.csign("cert", f"csign://{key['path']}").stdout)

    def of_provider():
        return text(pki.openssl("storeutl", "-certs", f"csign://{key['path']}").stdout)

    before = pem_of(pki, key["certificates"][0], tmp_path / "1.pem").read_text()
    assert before in of_sidecar() and before in of_provider()
    after = pem_of(pki, renew(pki, key)["certificates"][0], tmp_path / "2.pem").read_text()
    wait_until("the sidecar tells the new certificate", lambda: after in of_sidecar(), 5)
    assert after in of_provider() and before not in of_provider()


# ---- revoking ----

def test_a_revoked_certificate_is_on_the_list(pki, files, key, tmp_path):
    leaf = pem_of(pki, key["certificates"][0], tmp_path / "leaf.pem")
    files.verify_with_lists(leaf)
    number = files.crl_number(files.issuing)
    (certificate,) = listed(pki, key=key["id"])
    gone = revoke(pki, certificate, "key_compromise")
    assert gone["state"] == "revoked" and gone["revocation_reason"] == "key_compromise" and gone["revoked_at"]
    assert files.crl_number(files.issuing) > number
    done = files.verify_with_lists(leaf, check=False)
    assert done.returncode != 0 and b"certificate revoked" in done.stderr
    said = text(pki.plain_openssl("crl", "-in", files.crl(files.issuing), "-noout", "-text", "-CAfile",
                                  files.issuing_pem).stdout)
    assert re.search(rf"Serial Number: {certificate['serial'].upper()}\n.*\n.*\n\s+X509v3 CRL Reason Code: \n\s+Key Compromise",
                     said)
    assert "X509v3 Authority Key Identifier" in said
    record = [r["record"] for r in pki.audit(key=key["id"])][-1]
    assert record["kind"] == "certificate.revoke" and record["what"]["reason"] == "key_compromise"
    assert (record["what"]["state_before"], record["what"]["state"]) == ("valid", "revoked")


def test_changes_heed_if_match(pki, files, key):
    (certificate,) = listed(pki, key=key["id"])
    path = f"/v1/certificates/{certificate['id']}"
    assert pki.api("GET", path)[1]["ETag"] == '"1"'
    renewal = f"/v1/keys/{key['id']}/versions/1/certificates"
    for method, where, body in (("POST", path + "/revocation", {"reason": "superseded"}),
                                ("POST", renewal, {"certificate": "builtin"}),
                                ("PATCH", f"/v1/authorities/{files.issuing['id']}", {"country": "DE"})):
        check_problem(pki.api(method, where, body, headers={"If-Match": '"77"'}), 412, "PreconditionFailed", "if-match")
    assert len(listed(pki, key=key["id"])) == 1 and authorities(pki) == files.all
    assert pki.api("POST", path + "/revocation", {"reason": "superseded"}, headers={"If-Match": '"1"'})[0] == 200
    assert pki.api("GET", path)[1]["ETag"] == '"2"'
    was = current(pki, key)["revision"]
    assert pki.api("POST", renewal, {"certificate": "builtin"}, headers={"If-Match": f'"{was}"'})[0] == 201
    assert current(pki, key)["revision"] == was + 1


def test_the_list_is_made_once_and_kept(pki, files):
    assert files.crl(files.root).read_bytes() == files.crl(files.root).read_bytes()
    assert files.crl_number(files.issuing) == files.crl_number(files.issuing)


def test_a_revocation_can_begin_earlier(pki, files, key, tmp_path):
    (certificate,) = listed(pki, key=key["id"])
    begin = certificate["not_before"]
    for time in ("2001-01-01T00:00:00Z", "2901-01-01T00:00:00Z", "yesterday", begin[:-1]):
        check_problem(pki.api("POST", f"/v1/certificates/{certificate['id']}/revocation",
                              {"reason": "superseded", "time": time}), 400, "BadRequest")
    assert revoke(pki, certificate, time=begin)["revoked_at"] == begin
    check_problem(pki.api("POST", f"/v1/certificates/{certificate['id']}/revocation", {"reason": "superseded"}), 409,
                  "AlreadyExists")


@pytest.mark.parametrize("reason", ["certificate_hold", "", "keyCompromise", None])
def test_a_reason_is_one_of_the_list(pki, key, reason):
    (certificate,) = listed(pki, key=key["id"])
    check_problem(pki.api("POST", f"/v1/certificates/{certificate['id']}/revocation", {"reason": reason}), 400, "BadRequest")


def test_signing_with_a_revoked_certificate_is_refused(pki, ci, key):
    path, item = f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None)
    assert ci.api("POST", path, item)[0] == 201
    revoke(pki, listed(pki, key=key["id"])[0])
    check_problem(ci.api("POST", path, item), 403, "CertificateRevoked", "certificate-revoked")
    changed = pki.api("PATCH", f"/v1/keys/{key['id']}", {"policy": {"allow_revoked_certificate": True}}, status=200)
    assert changed["policy"]["allow_revoked_certificate"] and changed["state"] == "enabled"
    assert ci.api("POST", path, item)[0] == 201
    pki.api("PATCH", f"/v1/keys/{key['id']}", {"policy": {"allow_revoked_certificate": False}}, status=200)
    check_problem(ci.api("POST", path, item), 403, "CertificateRevoked", "certificate-revoked")
    renew(pki, key)
    assert ci.api("POST", path, item)[0] == 201
    what = [r["record"]["what"] for r in pki.audit(key=key["id"]) if r["record"]["kind"] == "key.change"]
    assert ["allow_revoked_certificate" in w["policy"] for w in what] == [True, False]
    assert ["allow_revoked_certificate" in w["policy_before"] for w in what] == [False, True]


def test_revoking_an_older_certificate_stops_nothing(pki, ci, key):
    first = listed(pki, key=key["id"])[0]
    renew(pki, key)
    revoke(pki, first)
    assert ci.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None))[0] == 201


# ---- outside CAs ----

class OutsideCa:
    """An authority of openssl's, with a root above it."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        for name in ("root", "sub"):
            stack.plain_openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / f"{name}.key")
        stack.plain_openssl("req", "-x509", "-new", "-key", folder / "root.key", "-subj", "/CN=Outside Root", "-days",
                            "100", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", folder / "root.pem")
        stack.plain_openssl("req", "-new", "-key", folder / "sub.key", "-subj", "/CN=Outside Sub", "-out",
                            folder / "sub.csr")
        self.sign(folder / "sub.csr", folder / "sub.pem", "basicConstraints=critical,CA:TRUE,pathlen:0", by="root")
        self.above = (folder / "sub.pem").read_text() + (folder / "root.pem").read_text()

    def sign(self, csr, out, extensions, by="sub", days="90", more=()):
        (self.folder / "ext").write_text(extensions + "\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n")
        self.stack.plain_openssl("x509", "-req", "-in", csr, "-CA", self.folder / f"{by}.pem", "-CAkey",
                                 self.folder / f"{by}.key", "-CAcreateserial", "-days", days, "-extfile",
                                 self.folder / "ext", "-out", out, *more)
        return out

    def issue(self, stack, key, days="90", extensions="extendedKeyUsage=codeSigning", more=()):
        csr = self.folder / "key.csr"
        csr.write_text(stack.api("GET", f"/v1/keys/{key['id']}/versions/1/csr", status=200)["csr"])
        return self.sign(csr, self.folder / "leaf.pem", extensions, days=days, more=more).read_text()


@pytest.fixture(scope="module")
def outside(pki, tmp_path_factory):
    return OutsideCa(pki, tmp_path_factory.mktemp("outside"))


@pytest.mark.parametrize("algorithm", ["P-256", "P-384", "P-521", "RSA-2048", "RSA-3072", "Ed25519"])
def test_a_request_is_signed_by_the_key(pki, algorithm, tmp_path):
    key = pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", algorithm, certificate="none")
    path, csr = f"/v1/keys/{key['id']}/versions/1/csr", tmp_path / "csr"
    csr.write_text(pki.api("GET", path, status=200)["csr"])
    done = pki.plain_openssl("req", "-in", csr, "-verify", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus")
    assert b"verify OK" in done.stdout + done.stderr
    assert f"Subject: CN={key['path']}" in text(done.stdout) and "Code Signing" in text(done.stdout)
    public = pki.plain_openssl("req", "-in", csr, "-noout", "-pubkey").stdout
    assert public == pki.public_key(key["path"], tmp_path).read_bytes()
    asked = {"subject": "Release", "organization": "Acme", "country": "DE", "alternative_name": "email:r@acme.example",
             "extended_key_usage": "codeSigning,emailProtection"}
    csr.write_text(pki.api("POST", path, asked, status=200)["csr"])
    said = text(pki.plain_openssl("req", "-in", csr, "-verify", "-noout", "-text", "-nameopt",
                                  "utf8,sep_comma_plus").stdout)
    assert "Subject: C=DE,O=Acme,CN=Release" in said and "Code Signing, E-mail Protection" in said
    assert "email:r@acme.example" in said
    assert [r["record"]["kind"] for r in pki.audit(key=key["id"])][-2:] == ["certificate.request"] * 2


def test_a_request_that_cannot_be_is_refused(pki, key):
    path = f"/v1/keys/{key['id']}/versions"
    for body in ({"subject": ""}, {"subject": "x" * 65}, {"country": "Germany"}, {"san": "DNS:x"},
                 {"extended_key_usage": "any"}, {"subject": "a\x01b"}):
        check_problem(pki.api("POST", f"{path}/1/csr", body), 400, "BadRequest")
    check_problem(pki.api("GET", f"{path}/2/csr"), 404, "KeyNotFound")
    check_problem(pki.api("GET", f"{path}/x/csr"), 400, "BadRequest")
    check_problem(pki.api("GET", f"/v1/keys/{UNKNOWN_KEY}/versions/1/csr"), 404, "KeyNotFound")
    pki.api("PATCH", f"/v1/keys/{key['id']}", {"state": "disabled"}, status=200)
    check_problem(pki.api("GET", f"{path}/1/csr"), 403, "KeyDisabled", "key-state")


def test_a_chain_of_an_outside_ca_is_taken_in(pki, outside, ci, key, tmp_path):
    leaf = outside.issue(pki, key)
    made = add_certificate(pki, key, {"chain": leaf + outside.above})
    assert made["source"] == "import" and made["authority"] is None and made["current"]
    assert "Outside Sub" in made["issuer"] and len(made["certificates"]) == 3
    assert current(pki, key)["certificates"] == made["certificates"]
    assert ci.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None))[0] == 201
    got = wait_for_chain(pki, key, leaf)
    assert PEM.findall(got) == PEM.findall(leaf + outside.above)
    (tmp_path / "leaf.pem").write_text(leaf)
    pki.plain_openssl("verify", "-purpose", "any", "-CAfile", outside.folder / "root.pem", "-untrusted",
                      outside.folder / "sub.pem", tmp_path / "leaf.pem")
    record = [r["record"] for r in pki.audit(key=key["id"]) if r["record"]["kind"] == "certificate.import"][-1]
    assert record["what"]["certificate_serial"] == made["serial"] and record["what"]["certificate_serial_before"]


def wait_for_chain(stack, key, leaf):
    """What the sidecar tells, once it is this leaf's."""
    def told():
        out = text(stack.csign("cert", f"csign://{key['path']}").stdout)
        return out if leaf.strip() in out else None

    return wait_until("the sidecar tells the new chain", told, 5)


def test_text_between_the_blocks_is_left_out(pki, outside, key):
    leaf = outside.issue(pki, key)
    chain = "subject=CN = x\n" + leaf + "\nissuer: y\n" + outside.above.replace("\n", "\r\n")
    assert len(add_certificate(pki, key, {"chain": chain})["certificates"]) == 3


def test_a_certificate_that_signed_itself_stands_alone(pki, key, tmp_path):
    own = tmp_path / "own.pem"
    pki.openssl("req", "-x509", "-new", "-key", f"csign://{key['path']}", "-subj", "/CN=Own", "-days", "30", "-out", own)
    made = add_certificate(pki, key, {"chain": own.read_text()})
    assert made["subject"] == made["issuer"] == "CN=Own" and len(made["certificates"]) == 1
    broken = PEM.findall(own.read_text())[0].splitlines()
    der = bytearray(base64.b64decode("".join(broken[1:-1])))
    der[-3] ^= 1
    spoiled = "\n".join((broken[0], base64.b64encode(der).decode(), broken[-1], ""))
    check_problem(add_certificate(pki, key, {"chain": spoiled}, 400), 400, "BadRequest", "chain-verify")


def bad_chains(stack, outside, key, tmp_path):
    """(what is wrong, chain, rule, words)"""
    leaf = outside.issue(stack, key)
    sub, root = PEM.findall(outside.above)
    lines = leaf.splitlines()
    other = stack.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", certificate="none")
    begin, end = lines[0], lines[-1]
    der = base64.b64decode("".join(lines[1:-1]))

    def block(data, head=begin, tail=end):
        return "\n".join((head, base64.b64encode(data).decode(), tail, ""))

    yield "no PEM", "nothing", None, "no certificate in PEM"
    yield "empty", "", None, "no certificate"
    yield "a private key", (outside.folder / "sub.key").read_text(), None, "private key"
    yield "a request", (outside.folder / "key.csr").read_text(), None, "CERTIFICATE REQUEST"
    yield "no end", leaf.replace(end, ""), None, "END line"
    yield "no base64", leaf.replace(lines[3], lines[3][:-1] + "!"), None, "base64"
    yield "cut", block(der[:-10]), None, "DER"
    yield "more behind", block(der + b"\0"), None, "DER"
    yield "no DER", block(os.urandom(300)), None, "DER"
    yield "large", block(os.urandom(17000)), None, "16 KiB"
    yield "many", leaf + sub * 8, None, "more than 8"
    yield "behind BEGIN", leaf.replace(begin, begin + " x"), None, "BEGIN line"
    yield "another key's", outside.issue(stack, other) + outside.above, "chain-key", "another public key"
    yield "alone", leaf, "chain-order", "whole chain"
    yield "the wrong way round", root + sub + leaf, "chain-order", "number 3"
    yield "a gap", leaf + root, "chain-order", "certificate 1"
    yield "twice", leaf + leaf + outside.above, "chain-order", "certificate 1"
    yield "too long", outside.issue(stack, key, days="4000") + outside.above, "chain-dates", "3660"
    yield "unknown and critical", outside.issue(stack, key, extensions="1.2.3.4=critical,ASN1:UTF8String:x") + outside.above, \
        "chain-verify", "critical extension"
    yield "weak", outside.issue(stack, key, more=["-sha1"]) + outside.above, "chain-verify", "too weak"


def test_a_bad_chain_is_refused_with_the_reason(pki, outside, key, tmp_path):
    before = current(pki, key)
    for what, chain, rule, words in bad_chains(pki, outside, key, tmp_path):
        reply = add_certificate(pki, key, {"chain": chain}, 400)
        check_problem(reply, 400, "BadRequest", rule)
        assert words in reply[2]["detail"], (what, reply[2])
    assert current(pki, key) == before and len(listed(pki, key=key["id"])) == 1


def test_an_authority_without_the_right_is_none(pki, outside, key, tmp_path):
    """A certificate that is no CA's cannot certify, nor one below a path length."""
    middle = pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", certificate="none")
    csr = tmp_path / "middle.csr"
    csr.write_text(pki.api("GET", f"/v1/keys/{middle['id']}/versions/1/csr", status=200)["csr"])
    for extensions, words in (("basicConstraints=critical,CA:FALSE", "invalid CA certificate"),
                              ("basicConstraints=critical,CA:TRUE", "path length")):
        outside.sign(csr, tmp_path / "middle.pem", extensions)
        leaf_csr = tmp_path / "leaf.csr"
        leaf_csr.write_text(pki.api("GET", f"/v1/keys/{key['id']}/versions/1/csr", status=200)["csr"])
        leaf = tmp_path / "leaf.pem"
        pki.openssl("x509", "-req", "-in", leaf_csr, "-CA", tmp_path / "middle.pem", "-CAkey", f"csign://{middle['path']}",
                    "-days", "9", "-set_serial", "77", "-extfile", outside.folder / "ext", "-out", leaf)
        reply = add_certificate(pki, key, {"chain": leaf.read_text() + (tmp_path / "middle.pem").read_text()
                                           + outside.above}, 400)
        check_problem(reply, 400, "BadRequest", "chain-verify")
        assert words in reply[2]["detail"], reply[2]


@pytest.mark.parametrize("body", [
    {}, {"certificate": "builtin", "chain": "x"}, {"certificate": "none"}, {"chain": "x", "subject": "y"},
    {"chain": "x", "validity_days": 3}, {"chain": 7}, {"certificate": "builtin", "surprise": 1},
    {"certificate": "builtin", "validity_days": 461}, {"certificate": "builtin", "subject": ""},
], ids=str)
def test_a_bad_request_for_a_certificate_is_refused(pki, key, body):
    check_problem(add_certificate(pki, key, body, 400), 400, "BadRequest")


# ---- what ended, and what will ----

def test_signing_with_an_expired_certificate_is_refused(pki, outside, ci, key, tmp_path):
    """An outside CA's that ends in seconds, by everybody's own clock."""
    csr = tmp_path / "csr"
    csr.write_text(pki.api("GET", f"/v1/keys/{key['id']}/versions/1/csr", status=200)["csr"])
    (tmp_path / "index").write_text("")
    (tmp_path / "ca.cnf").write_text(f"[ca]\ndefault_ca = d\n[d]\ndatabase = {tmp_path}/index\nnew_certs_dir = {tmp_path}\n"
                                     "rand_serial = yes\npolicy = p\ndefault_md = sha256\nx509_extensions = e\n"
                                     "[e]\nextendedKeyUsage = codeSigning\n[p]\ncommonName = supplied\n")
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
    pki.plain_openssl("ca", "-batch", "-notext", "-config", tmp_path / "ca.cnf", "-cert", outside.folder / "sub.pem",
                      "-keyfile", outside.folder / "sub.key", "-in", csr, "-out", tmp_path / "leaf.pem", "-enddate",
                      end.strftime("%y%m%d%H%M%SZ"))
    made = add_certificate(pki, key, {"chain": (tmp_path / "leaf.pem").read_text() + outside.above})
    path, item = f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None)
    assert made["state"] == "valid"
    refused = wait_until("the certificate ends", lambda: (r := ci.api("POST", path, item))[0] == 403 and r, 20)
    check_problem(refused, 403, "CertificateExpired", "certificate-expired")
    assert pki.api("GET", f"/v1/certificates/{made['id']}", status=200)["state"] == "expired"
    record = [r["record"] for r in pki.audit(key=key["id"]) if r["record"]["kind"] == "sign"][-1]
    assert record["rule"] == "certificate-expired" and record["result"] == "CertificateExpired"
    # As a program sees it, and what helps.
    (tmp_path / "x").write_text("x")
    done = pki.openssl("dgst", "-sha256", "-sign", f"csign://{key['path']}", "-out", tmp_path / "sig", tmp_path / "x",
                       check=False)
    assert done.returncode != 0 and b"certificate-expired" in done.stderr
    pki.api("PATCH", f"/v1/keys/{key['id']}", {"policy": {"allow_expired_certificate": True}}, status=200)
    assert ci.api("POST", path, item)[0] == 201
    pki.api("PATCH", f"/v1/keys/{key['id']}", {"policy": {"allow_expired_certificate": False}}, status=200)
    check_problem(ci.api("POST", path, item), 403, "CertificateExpired", "certificate-expired")
    renew(pki, key)
    assert ci.api("POST", path, item)[0] == 201
    reply = add_certificate(pki, key, {"chain": (tmp_path / "leaf.pem").read_text() + outside.above}, 400)
    check_problem(reply, 400, "BadRequest", "chain-dates")
    assert "expired at" in reply[2]["detail"]


def expiring(stack):
    return {d: stack.metrics()[f'certificates_expiring{{days="{d}"}}'] for d in (60, 30, 14, 7)}


def test_expiring_certificates_are_listed_and_counted(pki):
    before = expiring(pki)
    keys = {d: pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", validity_days=d) for d in (50, 20, 10, 5, 100)}
    assert [expiring(pki)[d] - before[d] for d in (60, 30, 14, 7)] == [4, 3, 2, 1]

    def found(days):
        mine = {k["id"]: d for d, k in keys.items()}
        return [mine[c["key"]] for c in listed(pki, expires_within=days, limit=200) if c["key"] in mine]

    assert found(60) == [5, 10, 20, 50] and found(7) == [5] and found(0) == []
    renew(pki, keys[5], validity_days=300)
    revoke(pki, listed(pki, key=keys[10]["id"])[0])
    assert found(60) == [20, 50]
    assert [expiring(pki)[d] - before[d] for d in (60, 30, 14, 7)] == [2, 1, 0, 0]


def test_the_list_has_pages(pki):
    for _ in range(3):
        pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}")
    seen, cursor = [], ""
    while True:
        page = pki.api("GET", f"/v1/certificates?limit=2&cursor={cursor}", status=200)
        assert len(page["certificates"]) <= 2
        seen += page["certificates"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    everything = listed(pki, limit=200)
    assert seen == everything and len({c["id"] for c in seen}) == len(seen)
    assert [c["not_after"] for c in seen] == sorted(c["not_after"] for c in seen)


@pytest.mark.parametrize("query,status,name", [
    ("cursor=x", 400, "BadRequest"), ("cursor=1-crt_x", 400, "BadRequest"), ("cursor=99999999999999999999-x", 400, "BadRequest"),
    ("expires_within=-1", 400, "BadRequest"), ("expires_within=99999", 400, "BadRequest"),
    (f"key={UNKNOWN_KEY}", 404, "KeyNotFound"), (f"key={UNKNOWN_KEY}&expires_within=3", 400, "BadRequest"),
])
def test_a_bad_query_is_refused(pki, query, status, name):
    check_problem(pki.api("GET", f"/v1/certificates?{query}"), status, name)


def test_an_account_administers_no_certificates(pki, ci, key):
    (certificate,) = listed(pki, key=key["id"])
    issuing = next(a for a in authorities(pki)["authorities"] if a["kind"] == "issuing")
    for method, path, body in (("GET", "/v1/certificates", None), ("GET", f"/v1/certificates/{certificate['id']}", None),
                               ("POST", f"/v1/certificates/{certificate['id']}/revocation", {"reason": "superseded"}),
                               ("POST", f"/v1/keys/{key['id']}/versions/1/certificates", {"certificate": "builtin"}),
                               ("GET", f"/v1/keys/{key['id']}/versions/1/csr", None),
                               ("POST", f"/v1/keys/{key['id']}/versions/1/csr", {}),
                               ("POST", "/v1/authorities", {"tsg": "acme"}),
                               ("PATCH", f"/v1/authorities/{issuing['id']}", {"country": "DE"})):
        check_problem(ci.api(method, path, body), 403, "NotPermitted", "role")


# ---- the command line ----

def test_the_life_of_a_certificate_by_hand(pki, outside, tmp_path):
    key = pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", validity_days=9)
    path = key["path"]
    lines = text(pki.csign("cert", "list", "--expiring", "10").stdout).splitlines()
    assert lines[0].split()[:2] == ["KEY", "VERSION"] and any(line.startswith(path) for line in lines)
    assert "Renewed the certificate of key csign://" + path in text(pki.csign("cert", "renew", path, "--validity-days",
                                                                             "90").stdout)
    assert path not in text(pki.csign("cert", "list", "--expiring", "10").stdout)
    new, old = json.loads(pki.csign("cert", "list", path, "--json").stdout)[::-1]
    assert new["current"] and not old["current"]
    assert "valid" in text(pki.csign("cert", "show", new["id"]).stdout)
    pem = tmp_path / "chain.pem"
    pki.csign("cert", "show", new["id"], "-o", pem)
    assert len(PEM.findall(pem.read_text())) == 3 and "Certificate:" not in pem.read_text()

    csr, leaf = tmp_path / "csr", tmp_path / "leaf.pem"
    pki.csign("cert", "csr", path, "--organization", "Acme GmbH", "-o", csr)
    assert b"O = Acme GmbH" in pki.plain_openssl("req", "-in", csr, "-noout", "-subject", "-verify").stdout
    outside.sign(csr, leaf, "extendedKeyUsage=codeSigning")
    leaf.write_text(leaf.read_text() + outside.above)
    assert "Imported the certificate" in text(pki.csign("cert", "import", f"csign://{path}@1", leaf).stdout)
    wait_for_chain(pki, key, PEM.findall(leaf.read_text())[0])

    argv = ("cert", "revoke", new["id"], "--reason", "superseded")
    refused = pki.csign(*argv, check=False)
    assert refused.returncode == 2 and b"--yes" in refused.stderr
    assert "Revoked certificate" in text(pki.csign(*argv, "--yes").stdout)
    assert pki.csign(*argv, "--yes", check=False).returncode == 6
    done = pki.csign("cert", "import", path, csr, check=False)
    assert done.returncode == 2 and b"CERTIFICATE REQUEST" in done.stderr


def test_authorities_by_hand(pki, files, key, tmp_path):
    root, crl, der = tmp_path / "acme.crt", tmp_path / "acme.crl", tmp_path / "root.der"
    pki.csign("ca", "export", "--tsg", "acme", "--which", "root", "-o", root)
    assert root.read_text() == files.root_pem.read_text()
    pki.csign("ca", "export", "--tsg", "acme/mobile", "--which", "root", "--format", "der", "-o", der)
    assert base64.b64encode(der.read_bytes()).decode() == files.root["certificate"]
    both = text(pki.csign("ca", "export", "--tsg", "acme").stdout)
    assert PEM.findall(both) == [files.root_pem.read_text(), files.issuing_pem.read_text()]
    leaf = pem_of(pki, key["certificates"][0], tmp_path / "leaf.pem")
    (tmp_path / "both.pem").write_text(both)
    pki.plain_openssl("verify", "-x509_strict", "-purpose", "any", "-CAfile", tmp_path / "both.pem", leaf)
    pki.csign("ca", "crl", "--tsg", "acme", "-o", crl)
    files.verify(leaf, "-crl_check", "-CRLfile", crl)
    pki.csign("ca", "crl", "--tsg", "acme", "--which", "root", "--format", "der", "-o", tmp_path / "root.crl")
    pki.plain_openssl("crl", "-inform", "DER", "-in", tmp_path / "root.crl", "-noout", "-CAfile", files.root_pem)
    shown_lines = text(pki.csign("ca", "show", "--tsg", "acme").stdout).splitlines()
    assert [line.split()[0] for line in shown_lines] == ["KIND", "root", "issuing"]
    pki.csign("ca", "policy", "--tsg", "other", "--organization", "Other Ltd")
    assert "Other Ltd" in text(pki.csign("ca", "show", "--tsg", "other").stdout)
    for argv in (("--which", "leaf"), ("--format", "p12"), ("--format", "der")):
        assert pki.csign("ca", "export", "--tsg", "acme", *argv, check=False).returncode == 2
    assert pki.csign("ca", "renew", "--tsg", "other", check=False).returncode == 2
    pki.csign("ca", "renew", "--tsg", "other", "--yes")
    assert len(authorities(pki, "other")["authorities"]) == 4


def test_authenticode_verifies_with_the_exported_root(pki, files, tmp_path):
    key = pki.add_key(f"acme/mobile/c-{os.urandom(4).hex()}", "RSA-2048")
    source, program, signed = tmp_path / "hello.c", tmp_path / "hello.exe", tmp_path / "signed.exe"
    source.write_text("int main(void) { return 0; }\n")
    pki.run([tool("x86_64-w64-mingw32-gcc"), "-o", program, source])
    chain, reference = tmp_path / "chain.pem", tmp_path / "key.pem"
    pki.csign("cert", f"csign://{key['path']}", "-o", chain)
    pki.csign("ref", f"csign://{key['path']}", "-o", reference)
    pki.host([tool("osslsigncode"), "sign", "-h", "sha256", "-certs", chain, "-key", reference, "-in", program, "-out",
              signed])

    def verify():
        done = pki.run([tool("osslsigncode"), "verify", "-CAfile", files.root_pem, "-CRLfile", files.crl(files.issuing),
                        "-in", signed], check=False)
        return b"Signature verification: ok" in done.stdout

    assert verify()
    revoke(pki, listed(pki, key=key["id"])[0])
    assert not verify()


def pages(who, limit):
    """Everything that the caller may see, in pages of that size."""
    found, cursor = [], ""
    while True:
        status, _, page = who.api("GET", f"/v1/certificates?limit={limit}&cursor={cursor}")
        assert status == 200 and len(page["certificates"]) <= limit, page
        found += page["certificates"]
        cursor = page["next_cursor"]
        if not cursor:
            assert len({c["id"] for c in found}) == len(found)
            return found


def test_roles_decide_which_certificates_one_sees(pki, tmp_path):
    who = Client(pki, tmp_path / "who", f"acme/w-{os.urandom(4).hex()}").login()
    keys = {tsg: pki.add_key(f"{tsg}/c-{os.urandom(4).hex()}") for tsg in ("acme/web", "acme/mobile", "other")}
    own = {tsg: listed(pki, key=key["id"])[0]["id"] for tsg, key in keys.items()}

    def grant(tsg, role="viewer"):
        pki.api("POST", "/v1/bindings", {"role": role, "principal": who.id, "tsg": tsg}, status=201)

    grant("acme/web")
    seen = pages(who, 1)
    assert own["acme/web"] in {c["id"] for c in seen} and {c["key_path"].split("/")[1] for c in seen} == {"web"}
    assert who.api("GET", f"/v1/certificates/{own['acme/web']}")[0] == 200
    check_problem(who.api("GET", f"/v1/certificates/{own['acme/mobile']}"), 403, "NotPermitted", "role")
    check_problem(who.api("GET", f"/v1/certificates/{own['other']}"), 404, "NotFound", "scope")
    revocation = {"reason": "superseded"}
    check_problem(who.api("POST", f"/v1/certificates/{own['acme/web']}/revocation", revocation), 403, "NotPermitted", "role")
    grant("acme/mobile")
    everything = pages(who, 3)
    assert pages(who, 200) == everything and {own["acme/web"], own["acme/mobile"]} <= {c["id"] for c in everything}
    grant("acme/web", "owner")
    for tsg, status in (("acme/mobile", 403), ("other", 404), ("acme/web", 201)):
        reply = who.api("POST", f"/v1/keys/{keys[tsg]['id']}/versions/1/certificates", {"certificate": "builtin"})
        assert reply[0] == status, reply[2]
        assert who.api("GET", f"/v1/keys/{keys[tsg]['id']}/versions/1/csr")[0] == (200 if status == 201 else status)
    assert who.api("POST", f"/v1/certificates/{own['acme/web']}/revocation", revocation)[0] == 200
    # Authorities are the root TSG's.
    issuing = authorities(pki)["authorities"][1]
    check_problem(who.api("PATCH", f"/v1/authorities/{issuing['id']}", {"country": "DE"}), 403, "NotPermitted", "role")
    check_problem(who.api("POST", "/v1/authorities", {"tsg": "acme"}), 403, "NotPermitted", "role")
    who.close()


# ---- time ----

@pytest.mark.uninstrumented
def test_two_days_later(fresh_stack, tmp_path):
    """The service's and the sidecar's clocks go two days ahead: a certificate of a day has ended, lists are new."""
    stack = fresh_stack(keys={})
    key = stack.add_key("acme/mobile/short", validity_days=1)
    files = Files(stack, tmp_path)
    numbers = files.crl_number(files.issuing)
    later = [tool("env"), f"LD_PRELOAD={library()}", "FAKETIME=+4d", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    for daemon in (stack.service, stack.sidecar):
        daemon.stop()
        daemon.argv = later + daemon.argv
        daemon.start()
    (certificate,) = listed(stack, expires_within=0)
    assert certificate["key"] == key["id"] and certificate["state"] == "expired"
    (tmp_path / "x").write_text("x")
    argv = ("dgst", "-sha256", "-sign", f"csign://{key['path']}", "-out", tmp_path / "sig", tmp_path / "x")
    done = stack.openssl(*argv, check=False)
    assert done.returncode != 0 and b"certificate-expired" in done.stderr
    # Half of the list's seven days are over.
    assert files.crl_number(files.issuing) == numbers + 1
    leaf = pem_of(stack, renew(stack, key)["certificates"][0], tmp_path / "leaf.pem")
    stack.openssl(*argv)
    at = int((datetime.datetime.now() + datetime.timedelta(days=4, hours=1)).timestamp())
    files.verify(leaf, "-attime", str(at))
