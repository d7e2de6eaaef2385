# SPDX-License-Identifier: Apache-2.0
"""csign.so in stock programs: what they can do with a remote key, what is refused, and in which words.  Proofs are made by an openssl without csign."""

import base64
import itertools
import os
import socket
import subprocess

import pytest

from stack import wait_until

pytestmark = pytest.mark.provider

KEYS = {
    "rsa2048": "RSA-2048", "rsa3072": "RSA-3072", "rsa4096": "RSA-4096",
    "p256": "P-256", "p384": "P-384", "p521": "P-521",
}
RSA, EC = ("rsa2048", "rsa3072", "rsa4096"), ("p256", "p384", "p521")
HASHES = ("sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512")


class Ground:
    """A folder with a file to sign, and the keys that every test here uses."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        self.file = folder / "file"
        self.file.write_bytes(b"what is signed\n" * 100)
        for name, algorithm in KEYS.items():
            if self.path(name) not in stack.keys:
                stack.add_key(self.path(name), algorithm)
        self.pub = {k: stack.public_key(self.path(k), folder) for k in KEYS}
        self.crt = {k: stack.certificate(self.path(k), folder) for k in KEYS}
        self.refs = {}

    @staticmethod
    def path(name):
        return f"acme/mobile/provider-{name}"

    def uri(self, name):
        return f"csign://{self.path(name)}"

    def ref(self, name):
        if name not in self.refs:
            self.refs[name] = self.folder / f"{name}.ref.pem"
            self.refs[name].write_bytes(self.stack.csign("ref", self.uri(name)).stdout)
        return self.refs[name]

    def verify(self, name, sig, digest="sha256", *more):
        out = self.stack.plain_openssl("dgst", f"-{digest}", "-verify", self.pub[name], "-signature", sig, *more,
                                       self.file)
        assert b"Verified OK" in out.stdout

    def refused(self, word, *argv, **options):
        """One line of csign's in the output, with this in it; and the program fails."""
        done = self.stack.openssl(*argv, check=False, timeout=10, **options)
        lines = [line for line in done.stderr.decode().splitlines() if ":csign: " in line]
        assert done.returncode != 0
        assert len(lines) == 1, done.stderr.decode()
        assert word in lines[0]
        return lines[0]


@pytest.fixture(scope="module")
def ground(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("provider")
    folder.chmod(0o755)
    return Ground(stack, folder)


@pytest.fixture
def sig(ground):
    path = ground.folder / "sig"
    path.unlink(missing_ok=True)
    return path


# ---- loading ----

def test_I7_loading_connects_to_nothing(ground):
    nowhere = {**ground.stack.environment(), "CSIGN_BUS": "unix:path=/nowhere"}
    out = ground.stack.openssl("list", "-providers", env=nowhere)
    assert b"csign" in out.stdout and b"default" in out.stdout
    assert out.stdout.count(b"status: active") == 2


def test_only_provider_init_is_exported(ground):
    symbols = ground.stack.run(["nm", "-D", "--defined-only", ground.stack.program("csign.so")]).stdout.decode()
    assert [line.split()[-1] for line in symbols.splitlines()] == ["OSSL_provider_init"]


def test_it_links_libcrypto_alone(ground):
    text = ground.stack.run(["readelf", "-d", ground.stack.program("csign.so")]).stdout.decode()
    needed = {line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line}
    # Sanitizers bring their own.
    needed = {n for n in needed if not n.startswith(("libasan", "libubsan", "libtsan"))}
    assert needed == {"libcrypto.so.3", "libc.so.6"}


def test_a_listing_names_keys(ground):
    out = ground.stack.openssl("storeutl", "csign:").stdout.decode()
    for name in KEYS:
        assert f"Name: {ground.uri(name)}\n" in out
    assert "RSA-3072, version 1, enabled" in out
    assert "other/secret" not in out


@pytest.mark.parametrize("name", KEYS)
def test_a_uri_gives_key_and_certificate(ground, name):
    assert b"Total found: 4" in ground.stack.openssl("storeutl", "-noout", ground.uri(name)).stdout
    out = ground.stack.openssl("storeutl", "-certs", "-noout", ground.uri(name)).stdout
    assert b"Total found: 3" in out
    out = ground.stack.openssl("storeutl", "-noout", ground.uri(name) + "?type=private").stdout
    assert b"Total found: 1" in out
    assert ground.stack.openssl("pkey", "-in", ground.uri(name), "-pubout").stdout == ground.pub[name].read_bytes()
    assert ground.stack.openssl("x509", "-in", ground.uri(name)).stdout == \
        ground.stack.plain_openssl("x509", "-in", ground.crt[name]).stdout
    ground.stack.openssl("pkey", "-in", ground.uri(name), "-check", "-noout")


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_shown_to_people(ground, name):
    text = ground.stack.openssl("pkey", "-in", ground.uri(name), "-noout", "-text").stdout.decode()
    assert "held by a csign service" in text and ground.path(name) in text
    public = ground.stack.plain_openssl("pkey", "-pubin", "-in", ground.pub[name], "-noout", "-text").stdout.decode()
    # Releases indent and head it differently.
    assert [line.strip() for line in public.splitlines()][2:6] == \
        [line.strip() for line in text.splitlines()][6:10]


# ---- signatures ----

@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("digest", HASHES)
def test_dgst(ground, sig, name, digest):
    ground.stack.openssl("dgst", f"-{digest}", "-sign", ground.uri(name), "-out", sig, ground.file)
    ground.verify(name, sig, digest)
    out = ground.stack.openssl("dgst", f"-{digest}", "-prverify", ground.uri(name), "-signature", sig, ground.file)
    assert b"Verified OK" in out.stdout


@pytest.mark.parametrize("name", RSA)
@pytest.mark.parametrize("salt", ("digest", "max", "auto", "20", "0"))
def test_pss_with_every_form_of_salt(ground, sig, name, salt):
    pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt")
    for digest in ("sha256", "sha512"):
        ground.stack.openssl("dgst", f"-{digest}", "-sign", ground.uri(name), *pss, f"rsa_pss_saltlen:{salt}",
                             "-out", sig, ground.file)
        ground.verify(name, sig, digest, *pss, f"rsa_pss_saltlen:{'max' if salt == 'auto' else salt}")


def test_pss_with_another_mgf1_hash(ground, sig):
    pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_mgf1_md:sha512")
    ground.stack.openssl("dgst", "-sha256", "-sign", ground.uri("rsa2048"), *pss, "-out", sig, ground.file)
    ground.verify("rsa2048", sig, "sha256", *pss)


@pytest.mark.parametrize("name", KEYS)
def test_digests_made_elsewhere(ground, sig, name):
    digest = ground.folder / "digest"
    ground.stack.plain_openssl("dgst", "-sha384", "-binary", "-out", digest, ground.file)
    ground.stack.openssl("pkeyutl", "-sign", "-inkey", ground.uri(name), "-in", digest, "-pkeyopt", "digest:sha384",
                         "-out", sig)
    ground.verify(name, sig, "sha384")
    ground.stack.openssl("pkeyutl", "-sign", "-rawin", "-digest", "sha384", "-inkey", ground.uri(name), "-in",
                         ground.file, "-out", sig)
    ground.verify(name, sig, "sha384")


def test_a_digest_info_is_understood(ground, sig):
    info = ground.folder / "digest-info"
    digest = ground.stack.plain_openssl("dgst", "-sha256", "-binary", ground.file).stdout
    info.write_bytes(bytes.fromhex("3031300d060960864801650304020105000420") + digest)
    ground.stack.openssl("pkeyutl", "-sign", "-inkey", ground.uri("rsa2048"), "-in", info, "-out", sig)
    ground.verify("rsa2048", sig)


def test_default_need_not_be_named(ground, sig, tmp_path):
    """`-provider csign` alone switches off OpenSSL's own loading of default."""
    modules = tmp_path / "modules"
    modules.mkdir()
    tmp_path.chmod(0o755)
    (modules / "csign.so").symlink_to(ground.stack.program("csign.so"))
    env = {**ground.stack.environment(), "OPENSSL_CONF": "/dev/null", "OPENSSL_MODULES": str(modules)}
    for name in ("p256", "rsa3072"):
        ground.stack.openssl("pkeyutl", "-sign", "-provider", "csign", "-rawin", "-digest", "sha256", "-inkey",
                             ground.uri(name), "-in", ground.file, "-out", sig, env=env)
        ground.verify(name, sig)


# ---- documents ----

@pytest.mark.parametrize("name", KEYS)
def test_certificates_and_requests(ground, name):
    crt, csr = ground.folder / "self.crt", ground.folder / "csr"
    ground.stack.openssl("req", "-new", "-x509", "-key", ground.uri(name), "-subj", f"/CN={name}", "-out", crt)
    ground.stack.plain_openssl("verify", "-CAfile", crt, "-check_ss_sig", crt)
    text = ground.stack.plain_openssl("x509", "-in", crt, "-noout", "-text").stdout
    assert b"Field Type" not in text
    ground.stack.openssl("req", "-new", "-key", ground.uri(name), "-subj", f"/CN={name}", "-out", csr)
    assert b"OK" in ground.stack.plain_openssl("req", "-verify", "-noout", "-in", csr).stderr


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("more", ((), ("-noattr",), ("-keyopt", "rsa_padding_mode:pss")), ids=("plain", "noattr", "pss"))
@pytest.mark.parametrize("key", ("uri", "ref", "signer"))
def test_cms(ground, sig, name, more, key):
    if more and more[0] == "-keyopt" and name not in RSA:
        more = ()
    who = {"uri": ("-signer", ground.crt[name], "-inkey", ground.uri(name)),
           "ref": ("-signer", ground.crt[name], "-inkey", ground.ref(name)),
           "signer": ("-signer", ground.uri(name))}[key]
    ground.stack.openssl("cms", "-sign", "-binary", "-in", ground.file, *who, *more, "-outform", "DER", "-out", sig)
    ground.stack.plain_openssl("cms", "-verify", "-binary", "-content", ground.file, "-in", sig, "-inform", "DER",
                               "-noverify", "-certfile", ground.crt[name], "-out", os.devnull)


def test_smime(ground, sig):
    for name in ("rsa2048", "p256"):
        ground.stack.openssl("smime", "-sign", "-in", ground.file, "-signer", ground.crt[name], "-inkey",
                             ground.uri(name), "-out", sig)
        ground.stack.plain_openssl("smime", "-verify", "-in", sig, "-noverify", "-out", os.devnull)


def test_a_ca_signs(ground, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "index").touch()
    conf = tmp_path / "ca.cnf"
    conf.write_text(f"""[ca]
default_ca = own
[own]
private_key = {ground.uri("p384")}
certificate = {tmp_path}/ca.crt
database = {tmp_path}/index
new_certs_dir = {tmp_path}
rand_serial = yes
default_md = sha384
default_days = 1
policy = any
[any]
commonName = supplied
""")
    ground.stack.openssl("req", "-new", "-x509", "-key", ground.uri("p384"), "-subj", "/CN=ca", "-out",
                         tmp_path / "ca.crt")
    ground.stack.plain_openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                               "-keyout", tmp_path / "x.key", "-subj", "/CN=x", "-out", tmp_path / "x.csr")
    done = ground.stack.openssl("ca", "-batch", "-config", conf, "-in", tmp_path / "x.csr", "-out", tmp_path / "x.crt")
    assert b"Data Base Updated" in done.stderr or b"Database updated" in done.stderr
    ground.stack.plain_openssl("verify", "-CAfile", tmp_path / "ca.crt", tmp_path / "x.crt")


# ---- references ----

@pytest.mark.parametrize("name", KEYS)
def test_a_reference_is_loaded_without_asking(ground, sig, name):
    nowhere = {**ground.stack.environment(), "CSIGN_BUS": "unix:path=/nowhere"}
    out = ground.stack.openssl("pkey", "-in", ground.ref(name), "-pubout", env=nowhere)
    assert out.stdout == ground.pub[name].read_bytes()
    ground.refused("sidecar not reachable", "dgst", "-sha256", "-sign", ground.ref(name), "-out", sig, ground.file,
                   env=nowhere)
    ground.stack.openssl("dgst", "-sha256", "-sign", ground.ref(name), "-out", sig, ground.file)
    ground.verify(name, sig)


def test_a_damaged_reference_is_no_key(ground, sig):
    der = bytearray(base64.b64decode("".join(ground.ref("p256").read_text().splitlines()[1:-1])))
    bad = ground.folder / "bad.pem"
    for at in (3, 20, len(der) // 2, len(der) - 1):
        der[at] ^= 1
        bad.write_text("-----BEGIN CSIGN KEY REFERENCE-----\n" + base64.encodebytes(der).decode()
                       + "-----END CSIGN KEY REFERENCE-----\n")
        done = ground.stack.openssl("dgst", "-sha256", "-sign", bad, "-out", sig, ground.file, check=False, timeout=10)
        assert done.returncode != 0
        der[at] ^= 1


def test_a_reference_of_another_public_key_is_refused(ground, sig):
    """Its holder could be made to believe in another key's signature."""
    def der(name):
        return base64.b64decode("".join(ground.ref(name).read_text().splitlines()[1:-1]))

    other = der("p256")
    ground.stack.add_key("acme/mobile/provider-other")
    ref = ground.folder / "other.ref"
    ref.write_bytes(ground.stack.csign("ref", "csign://acme/mobile/provider-other").stdout)
    mixed = base64.b64decode("".join(ref.read_text().splitlines()[1:-1]))[:-65] + other[-65:]
    ref.write_text("-----BEGIN CSIGN KEY REFERENCE-----\n" + base64.encodebytes(mixed).decode()
                   + "-----END CSIGN KEY REFERENCE-----\n")
    ground.refused("key", "dgst", "-sha256", "-sign", ref, "-out", sig, ground.file)


# ---- refusals ----

def test_raw_rsa_is_refused(ground, sig):
    some = ground.folder / "48-bytes"
    some.write_bytes(os.urandom(48))
    for more in ((), ("-pkeyopt", "rsa_padding_mode:none")):
        ground.refused("csign: refused: raw RSA", "pkeyutl", "-sign", "-inkey", ground.uri("rsa3072"), "-in", some,
                       *more, "-out", sig)
    some.write_bytes(os.urandom(33))
    ground.refused("csign: refused: 33 bytes are not a digest", "pkeyutl", "-sign", "-inkey", ground.uri("p256"),
                   "-in", some, "-out", sig)


def test_wrong_lengths_and_hashes_are_refused(ground, sig):
    some = ground.folder / "48-bytes"
    some.write_bytes(os.urandom(48))
    for name in KEYS:
        ground.refused("a SHA256 digest has 32 bytes, not 48", "pkeyutl", "-sign", "-inkey", ground.uri(name), "-in",
                       some, "-pkeyopt", "digest:sha256", "-out", sig)
        for digest in ("sha1", "md5"):
            ground.refused("does not sign with hash", "dgst", f"-{digest}", "-sign", ground.uri(name), "-out", sig,
                           ground.file)
    assert not sig.exists() or sig.stat().st_size == 0


@pytest.mark.parametrize("name", KEYS)
def test_I1_a_private_key_is_never_exported(ground, name):
    leak = ground.folder / "leak"
    leak.unlink(missing_ok=True)
    ground.refused("stays there", "pkey", "-in", ground.uri(name), "-outform", "DER", "-out", leak)
    assert leak.read_bytes() == b""


def test_I5_refusals_are_one_line(ground, sig):
    sign = ("dgst", "-sha256", "-out", sig, "-sign")
    line = ground.refused("csign: there is no key 'acme/mobile/nope'", *sign, "csign://acme/mobile/nope", ground.file)
    assert "(rule scope, request req_" in line
    ground.refused("scope", *sign, "csign://other/secret", ground.file)
    ground.refused("'csign://acme//x'", *sign, "csign://acme//x", ground.file)
    ground.refused("not a key but a group of keys", *sign, "csign://acme/mobile/", ground.file)
    ground.refused("acme/mobile/provider-p256", *sign, ground.uri("p256") + "@77", ground.file)
    nowhere = {**ground.stack.environment(), "CSIGN_BUS": "unix:path=/nowhere"}
    ground.refused("csign: sidecar not reachable (unix:path=/nowhere): is csign-sidecar running?", *sign,
                   ground.uri("p256"), ground.file, env=nowhere)
    ground.refused("is not unix:path=PATH", *sign, ground.uri("p256"), ground.file,
                   env={**nowhere, "CSIGN_BUS": "nonsense"})


def test_a_silent_sidecar_is_given_up(ground, sig, tmp_path):
    """One that accepts and says nothing, at a timeout from openssl.cnf."""
    tmp_path.chmod(0o755)
    conf = tmp_path / "openssl.cnf"
    conf.write_text(ground.stack.openssl_cnf.read_text().replace("[csign_sect]\n", "[csign_sect]\ntimeout = 0.5\n"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "mute"))
        (tmp_path / "mute").chmod(0o666)
        s.listen(8)
        env = {**ground.stack.environment(), "CSIGN_BUS": f"unix:path={tmp_path}/mute", "OPENSSL_CONF": str(conf)}
        ground.refused("does not answer", "dgst", "-sha256", "-sign", ground.uri("p256"), "-out", sig, ground.file,
                       env=env)


def test_a_wrong_timeout_is_said(ground, sig, tmp_path):
    tmp_path.chmod(0o755)
    conf = tmp_path / "openssl.cnf"
    conf.write_text(ground.stack.openssl_cnf.read_text().replace("[csign_sect]\n", "[csign_sect]\ntimeout = soon\n"))
    ground.refused("timeout in openssl.cnf: 'soon'", "dgst", "-sha256", "-sign", ground.uri("p256"), "-out", sig,
                   ground.file, env={**ground.stack.environment(), "OPENSSL_CONF": str(conf)})


# ---- applications ----

def program(ground, name):
    return ground.stack.build / "tests/e2e/c" / name


@pytest.fixture
def modules(ground, tmp_path):
    """An environment in which providers are found by name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    tmp_path.chmod(0o755)
    (folder / "csign.so").symlink_to(ground.stack.program("csign.so"))
    return {**ground.stack.environment(), "OPENSSL_MODULES": str(folder)}


@pytest.mark.parametrize("name,version", list(itertools.product(("p256", "rsa3072"), ("tls1_2", "tls1_3"))))
def test_tls_servers_use_references(ground, name, version):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    argv, env = ground.stack.hosted(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key",
                                     str(ground.ref(name)), "-cert", str(ground.crt[name]), "-www", "-quiet"])
    server = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0

        wait_until("s_server listens", listens)
        out = ground.stack.plain_openssl("s_client", "-connect", f"127.0.0.1:{port}", f"-{version}", "-groups", "P-256",
                                         "-CAfile", ground.crt[name], "-partial_chain", "-purpose", "any", input=b"").stdout
        assert b"Verify return code: 0 (ok)" in out
    finally:
        server.terminate()
        server.wait()
