# SPDX-License-Identifier: Apache-2.0
"""What a csign: URI gives beside the key, and what programs write when they are told to write the key."""

import base64
import re

import pytest

from stack import tool

from test_provider import EC, KEYS, RSA, ground, sig  # noqa: F401

pytestmark = pytest.mark.provider


def test_a_file_of_the_same_name_is_not_the_key(ground, sig, tmp_path):  # noqa: F811
    """With two slashes: with none, OpenSSL itself looks for a file first."""
    shadow = tmp_path / f"csign:{ground.path('p256')}"
    shadow.parent.mkdir(parents=True)
    ground.stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", shadow)
    for folder in (tmp_path, *shadow.parents[:len(shadow.parents) - len(tmp_path.parents)]):
        folder.chmod(0o755)
    ground.stack.host(["/usr/bin/env", f"--chdir={tmp_path}", tool("openssl"), "dgst", "-sha256", "-sign",
                       ground.uri("p256"), "-out", sig, ground.file])
    ground.verify("p256", sig)


# ---- certificates ----

def found(ground, *argv):  # noqa: F811
    """How many objects storeutl got.  That it ends at all is the loader's end of file."""
    out = ground.stack.openssl("storeutl", "-noout", *argv, ground.uri("p256"), timeout=10).stdout
    total = re.search(rb"Total found: (\d+)", out)
    return int(total[1]) if total else 0  # newer ones say nothing of nothing


def test_what_is_expected_is_what_is_loaded(ground):  # noqa: F811
    """A key, its certificate, and the two above it."""
    assert found(ground) == 4
    assert found(ground, "-keys") == 1
    assert found(ground, "-certs") == 3
    assert found(ground, "-crls") == 0


def of_certificate(ground, option):  # noqa: F811
    out = ground.stack.plain_openssl("x509", "-in", ground.crt["p256"], "-noout", option, "-sha256").stdout.decode()
    return out.split("=", 1)[1].strip()


def name_of(ground, option):  # noqa: F811
    """As storeutl reads it."""
    out = ground.stack.plain_openssl("x509", "-in", ground.crt["p256"], "-noout", option, "-nameopt",
                                     "multiline,-esc_msb").stdout.decode()
    return "/CN=" + re.search(r"commonName\s*= (.*)", out)[1].replace("/", "\\/")


def test_certificates_are_found(ground):  # noqa: F811
    subject, issuer = name_of(ground, "-subject"), name_of(ground, "-issuer")
    serial = "0x" + of_certificate(ground, "-serial")
    fingerprint = of_certificate(ground, "-fingerprint")
    spki = base64.b64decode("".join(ground.pub["p256"].read_text().splitlines()[1:-1]))
    key_fingerprint = ground.stack.plain_openssl("dgst", "-sha256", "-r", input=spki).stdout.split()[0].decode()
    cases = {
        ("-subject", subject): 1,
        ("-certs", "-subject", subject): 1,
        ("-subject", issuer): 1,
        ("-subject", "/CN=nobody"): 0,
        ("-issuer", issuer, "-serial", serial): 1,
        ("-issuer", issuer, "-serial", "0x17"): 0,
        ("-issuer", subject, "-serial", serial): 0,
        ("-fingerprint", fingerprint, "-sha256"): 1,
        ("-fingerprint", key_fingerprint, "-sha256"): 1,
        ("-certs", "-fingerprint", key_fingerprint, "-sha256"): 0,
        ("-fingerprint", "00" * 32, "-sha256"): 0,
        ("-alias", ground.path("p256")): 4,
        ("-alias", ground.path("p256").rpartition("/")[2]): 4,
        ("-alias", "p256"): 0,
    }
    assert {argv: found(ground, *argv) for argv in cases} == cases


@pytest.mark.parametrize("uri", ("csign://acme/mobile/nope", "csign://acme/mobile/", "csign://other/secret",
                                 "csign://acme//x", "csign:"))
@pytest.mark.parametrize("expect", ("-keys", "-certs", "-crls"))
def test_every_load_comes_to_an_end(ground, uri, expect):  # noqa: F811
    ground.stack.openssl("storeutl", "-noout", expect, uri, check=False, timeout=10)


# ---- writing the key ----

def written(ground, tmp_path, *argv):  # noqa: F811
    """What a command left in {out}, whether or not it says that it failed."""
    tmp_path.chmod(0o755)
    out = tmp_path / "out"
    done = ground.stack.openssl(*(str(a).format(out=out) for a in argv), check=False, timeout=10)
    return done.returncode, out.read_bytes() if out.exists() else b""


@pytest.mark.parametrize("name", KEYS)
def test_pkey_writes_a_reference(ground, sig, tmp_path, name):  # noqa: F811
    argv = ("pkey", "-in", ground.uri(name), "-out", "{out}")
    assert written(ground, tmp_path, *argv) == (0, ground.ref(name).read_bytes())
    ground.stack.openssl("dgst", "-sha256", "-sign", tmp_path / "out", "-out", sig, ground.file)
    ground.verify(name, sig)
    # Of a reference, too; and in the clear, for there is nothing to encrypt.
    argv = ("pkey", "-in", ground.ref(name), "-aes256", "-passout", "pass:word", "-out", "{out}")
    assert written(ground, tmp_path, *argv) == (0, ground.ref(name).read_bytes())
    assert ground.stack.openssl("pkey", "-in", ground.ref(name), "-pubout").stdout == ground.pub[name].read_bytes()


WAYS_TO_WRITE = {
    "pkey": ("pkey", "-in", "{key}", "-out", "{out}"),
    "pkey-encrypted": ("pkey", "-in", "{key}", "-aes128", "-passout", "pass:word", "-out", "{out}"),
    "pkey-traditional": ("pkey", "-in", "{key}", "-traditional", "-out", "{out}"),
    "pkey-der": ("pkey", "-in", "{key}", "-outform", "DER", "-out", "{out}"),
    "pkcs8": ("pkcs8", "-topk8", "-nocrypt", "-in", "{key}", "-out", "{out}"),
    "pkcs8-encrypted": ("pkcs8", "-topk8", "-passout", "pass:word", "-in", "{key}", "-out", "{out}"),
    "pkcs8-traditional": ("pkcs8", "-traditional", "-in", "{key}", "-out", "{out}"),
    "rsa": ("rsa", "-in", "{key}", "-out", "{out}"),
    "rsa-traditional": ("rsa", "-in", "{key}", "-traditional", "-out", "{out}"),
    "rsa-der": ("rsa", "-in", "{key}", "-outform", "DER", "-out", "{out}"),
    "ec": ("ec", "-in", "{key}", "-out", "{out}"),
    "ec-no-public": ("ec", "-in", "{key}", "-no_public", "-out", "{out}"),
    "ec-der": ("ec", "-in", "{key}", "-outform", "DER", "-out", "{out}"),
    "pkcs12": ("pkcs12", "-export", "-inkey", "{key}", "-in", "{crt}", "-passout", "pass:word", "-out", "{out}"),
    "storeutl": ("storeutl", "-keys", "-out", "{out}", "{key}"),
}


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_I1_nothing_is_written_like_a_private_key(ground, tmp_path, way):  # noqa: F811
    for name in ("rsa2048", "p256"):
        reference = ground.ref(name).read_bytes()
        for key in (ground.uri(name), ground.ref(name)):
            argv = (str(a).format(key=key, crt=ground.crt[name], out="{out}") for a in WAYS_TO_WRITE[way])
            (tmp_path / "out").unlink(missing_ok=True)
            status, content = written(ground, tmp_path, *argv)
            assert b"PRIVATE KEY" not in content
            if way == "storeutl":
                content = content[content.index(b"-----BEGIN"):content.rindex(b"-----\n") + 6]
            assert (status != 0 and content == b"") or content == reference


@pytest.mark.parametrize("name,command", [(k, "rsa") for k in RSA] + [(k, "ec") for k in EC])
def test_older_commands_show_the_public_half(ground, name, command):  # noqa: F811
    out = ground.stack.openssl(command, "-in", ground.uri(name), "-pubout").stdout
    assert out == ground.pub[name].read_bytes()


def test_keys_show_what_they_are(ground):  # noqa: F811
    for key in (ground.uri("p256"), ground.ref("p256")):
        text = ground.stack.openssl("pkey", "-in", key, "-noout", "-text").stdout.decode()
        assert "Private-Key: held by a csign service" in text
        text = ground.stack.openssl("pkey", "-in", key, "-noout", "-text_pub").stdout.decode()
        assert "csign" not in text and "NIST CURVE: P-256" in text


@pytest.mark.parametrize("name", EC)
def test_keys_only_sign(ground, tmp_path, name):  # noqa: F811
    line = ground.refused("signs, and does nothing else", "pkeyutl", "-derive", "-inkey", ground.uri(name), "-peerkey",
                          ground.pub[name], "-out", tmp_path / "secret")
    assert ground.path(name) in line
