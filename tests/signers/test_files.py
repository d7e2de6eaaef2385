# SPDX-License-Identifier: Apache-2.0
"""Programs that sign files: Windows programs, boot loaders, kernel modules, IMA, updates, firmware."""

import base64
import json
import random
import re

from signers import BOTH, signer

RSA_ONLY = ("rsa2048", "rsa3072")

# ---- osslsigncode ----

WINDOWS = {"exe": "program.exe", "dll": "library.dll", "msi": "setup.msi", "cab": "files.cab"}


def osslsigncode(s, kind, *how):
    signed = f"signed.{kind}"
    s.sign("sign", *how, "-h", "sha256", "-in", s.ground.folder / WINDOWS[kind], "-out", signed)
    s.prove("osslsigncode", "verify", "-CAfile", s.ca, "-in", signed, says="Signature verification: ok")


@signer("osslsigncode: exe", program="osslsigncode", takes="file")
def test_osslsigncode_exe(s):
    osslsigncode(s, "exe", "-certs", s.crt("code"), "-key", s.ref)


@signer("osslsigncode: dll", program="osslsigncode", takes="file")
def test_osslsigncode_dll(s):
    osslsigncode(s, "dll", "-certs", s.crt("code"), "-key", s.ref)


@signer("osslsigncode: msi", program="osslsigncode", takes="file")
def test_osslsigncode_msi(s):
    osslsigncode(s, "msi", "-certs", s.crt("code"), "-key", s.ref)


@signer("osslsigncode: cab", program="osslsigncode", takes="file")
def test_osslsigncode_cab(s):
    osslsigncode(s, "cab", "-certs", s.crt("code"), "-key", s.ref)


PROVIDER = {"program": "osslsigncode", "takes": "URI", "works_in": ("forky",),
            "refusal": "Unknown option.*"}


def with_provider(s, kind):
    """?type=private: it would take the certificate that comes with the key before the one of -certs."""
    osslsigncode(s, kind, "-provider", "csign", "-certs", s.crt("code"), "-key", s.uri + "?type=private")


@signer("osslsigncode -provider csign: exe", **PROVIDER)
def test_osslsigncode_provider_exe(s):
    with_provider(s, "exe")


@signer("osslsigncode -provider csign: dll", **PROVIDER)
def test_osslsigncode_provider_dll(s):
    with_provider(s, "dll")


@signer("osslsigncode -provider csign: msi", **PROVIDER)
def test_osslsigncode_provider_msi(s):
    with_provider(s, "msi")


@signer("osslsigncode -provider csign: cab", **PROVIDER)
def test_osslsigncode_provider_cab(s):
    with_provider(s, "cab")


@signer("osslsigncode -provider csign, certificate from csign", **PROVIDER)
def test_osslsigncode_certs(s):
    """The service has issued a certificate itself; the URI gives that, too."""
    s.sign("sign", "-provider", "csign", "-certs", s.uri, "-key", s.uri, "-h", "sha256", "-in",
           s.ground.folder / "program.exe", "-out", "signed.exe")
    s.stack.csign("ca", "export", "--tsg", "acme", "-o", s.dir / "acme.pem")
    s.prove("osslsigncode", "verify", "-CAfile", "acme.pem", "-in", "signed.exe", says="Signature verification: ok")


# ---- boot ----

@signer("sbsign", package="sbsigntool", takes="file", keys=("p256", *RSA_ONLY))
def test_sbsign(s):
    s.sign("--key", s.ref, "--cert", s.crt("plain"), "--output", "signed.efi", s.ground.folder / "boot.efi")
    s.prove("sbverify", "--cert", s.crt("plain"), "signed.efi", says="Signature verification OK")


SYSTEMD = {"program": "systemd-sbsign", "package": "systemd-repart", "takes": "URI", "works_in": ("trixie", "forky")}


@signer("systemd-sbsign", **SYSTEMD)
def test_systemd_sbsign(s):
    s.sign("sign", "--private-key-source=provider:csign", f"--private-key={s.uri}",
           f"--certificate={s.crt('plain')}", "--output=signed.efi", s.ground.folder / "boot.efi")
    s.prove("sbverify", "--cert", s.crt("plain"), "signed.efi", says="Signature verification OK")


UKIFY = {"program": "ukify", "package": "systemd-ukify", "takes": "URI", "works_in": ("trixie", "forky")}


def ukify(s, *more):
    (s.dir / "os-release").write_text("ID=test\nVERSION_ID=1\n")
    s.sign("build", "--no-sign-kernel", f"--linux={s.ground.folder / 'boot.efi'}", "--uname=1.0",
           "--stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub", "--os-release=@os-release", "--cmdline=root=none",
           "--signtool=systemd-sbsign", "--signing-provider=csign", f"--secureboot-private-key={s.uri}",
           f"--secureboot-certificate={s.crt('plain')}", "--output=signed.efi", *more)
    s.prove("sbverify", "--cert", s.crt("plain"), "signed.efi", says="Signature verification OK")


@signer("ukify", **UKIFY)
def test_ukify(s):
    ukify(s)


def check_policies(s, text):
    """Each signature of a PCR policy is over the policy's digest."""
    policies = [p for bank in json.loads(text).values() for p in bank]
    assert policies
    for p in policies:
        (s.dir / "policy").write_bytes(bytes.fromhex(p["pol"]))
        (s.dir / "sig").write_bytes(base64.b64decode(p["sig"]))
        s.prove("openssl", "dgst", "-sha256", "-verify", s.pub, "-signature", "sig", "policy", says="Verified OK")


MEASURE = {"program": "systemd-measure", "package": "systemd", "keys": RSA_ONLY}


def measure(s, *key):
    done = s.sign("sign", f"--linux={s.ground.folder / 'boot.efi'}", "--bank=sha256", *key)
    check_policies(s, done.stdout)


@signer("systemd-measure sign", takes="URI", works_in=("trixie", "forky"), refusal="unrecognized option.*", **MEASURE)
def test_systemd_measure(s):
    measure(s, "--private-key-source=provider:csign", f"--private-key={s.uri}", f"--certificate={s.crt('plain')}")


@signer("systemd-measure sign, key file", takes="file", works_in=("trixie", "forky"),
        refusal="Failed to initialize TCTI context.*", **MEASURE)
def test_systemd_measure_file(s):
    """The older ones read the TPM's banks first."""
    measure(s, f"--private-key={s.ref}", f"--public-key={s.pub}")


MKIMAGE = {"program": "mkimage", "package": "u-boot-tools", "takes": "file"}

FIT = """/dts-v1/;
/ {
  description = "test";
  #address-cells = <1>;
  images {
    kernel {
      data = /incbin/("kernel");
      type = "kernel"; arch = "arm64"; os = "linux"; compression = "none"; load = <0>; entry = <0>;
      hash { algo = "sha256"; };
      signature { algo = "sha256,ALGORITHM"; key-name-hint = "dev"; };
    };
  };
  configurations {
    default = "one";
    one {
      kernel = "kernel";
      signature { algo = "sha256,ALGORITHM"; key-name-hint = "dev"; sign-images = "kernel"; };
    };
  };
};
"""


def mkimage(s, algorithm):
    (s.dir / "keys").mkdir()
    for name, path in (("dev.key", s.ref), ("dev.pem", s.ref), ("dev.crt", s.crt("plain"))):
        (s.dir / "keys" / name).symlink_to(path)
    (s.dir / "kernel").write_bytes(s.file.read_bytes())
    (s.dir / "fit.its").write_text(FIT.replace("ALGORITHM", algorithm))
    s.sign("-f", "fit.its", "-k", "keys", "-r", "fit.itb")


@signer("mkimage, FIT with RSA", keys=RSA_ONLY, **MKIMAGE)
def test_mkimage(s):
    """Debian has no fit_check_sign: an image's signature is over its data, so openssl can look."""
    mkimage(s, s.key)
    value = s.plain("fdtget", "-t", "bx", "fit.itb", "/images/kernel/signature", "value")
    (s.dir / "sig").write_bytes(bytes(int(b, 16) for b in value.split()))
    s.prove("openssl", "dgst", "-sha256", "-verify", s.pub, "-signature", "sig", "kernel", says="Verified OK")


@signer("mkimage, FIT with ECDSA", keys=("p256",), works_in=(), refusal="Can not extract ECDSA key",
        **MKIMAGE)
def test_mkimage_ecdsa(s):
    """It wants the numbers of the private key, by an old interface."""
    mkimage(s, "ecdsa256")


# ---- Linux ----

MODULE_MAGIC = b"~Module signature appended~\n"


def sign_file(s, digest):
    """What it appends is a CMS message, twelve bytes about it, and the magic."""
    module = s.ground.folder / "module.ko"
    s.sign(digest, s.ref, s.crt("plain"), module, "signed.ko")
    signed, size = (s.dir / "signed.ko").read_bytes(), module.stat().st_size
    assert signed.endswith(MODULE_MAGIC) and signed.startswith(module.read_bytes())
    length = int.from_bytes(signed[-len(MODULE_MAGIC) - 4:-len(MODULE_MAGIC)], "big")
    assert size + length + 12 + len(MODULE_MAGIC) == len(signed)
    (s.dir / "p7s").write_bytes(signed[size:size + length])
    s.prove("openssl", "cms", "-verify", "-binary", "-content", module, "-inform", "DER", "-in", "p7s",
            "-certfile", s.crt("plain"), "-CAfile", s.ca, "-purpose", "any", "-out", "content",
            says="CMS Verification successful")


@signer("kernel sign-file", program="sign-file", package="linux-kbuild-*", takes="file")
def test_sign_file(s):
    sign_file(s, "sha256")


@signer("evmctl ima_sign", program="evmctl", package="ima-evm-utils", takes="file")
def test_evmctl(s):
    (s.dir / "file").write_bytes(s.file.read_bytes())
    s.sign("ima_sign", "--sigfile", "-a", "sha256", "--key", s.ref, "file")
    s.plain("openssl", "x509", "-in", s.crt("plain"), "-outform", "DER", "-out", "crt.der")
    s.prove("evmctl", "ima_verify", "--sigfile", "-a", "sha256", "--key", "crt.der", "file",
            says="verification is OK")


def rauc_content(s):
    content = s.dir / "content"
    content.mkdir()
    (content / "rootfs.img").write_bytes(random.randbytes(65536))
    (content / "manifest.raucm").write_text("[update]\ncompatible=test\nversion=1\n\n[bundle]\nformat=verity\n\n"
                                            "[image.rootfs]\nfilename=rootfs.img\n")
    return content


@signer("rauc", takes="file")
def test_rauc(s):
    s.sign("bundle", f"--cert={s.crt('email')}", f"--key={s.ref}", rauc_content(s), "update.raucb")
    s.prove("rauc", "info", f"--keyring={s.ca}", "update.raucb", says="Compatible")


# ---- git ----

@signer("git commit -S, gpg.format=x509", program="git", takes="URI", keys=BOTH)
def test_git(s):
    """The wrapper of examples/ signs; git has gpgsm verify."""
    wrapper = s.stack.shared(s.ground.examples / "git-x509")
    s.plain("git", "init", "-q", "-b", "main", ".")
    for name, value in (("user.name", "Dev"), ("user.email", "dev@example.com"), ("gpg.format", "x509"),
                        ("gpg.x509.program", wrapper), ("user.signingKey", s.uri)):
        s.plain("git", "config", name, value)
    s.sign("commit", "-q", "--allow-empty", "-S", "-m", "signed")
    trust_for_gpgsm(s)
    try:
        s.prove("git", "-c", "gpg.x509.program=gpgsm", "verify-commit", "HEAD", says="Good signature from")
    finally:
        s.plain("gpgconf", "--kill", "gpg-agent")


def trust_for_gpgsm(s):
    home = s.dir / ".gnupg"
    home.mkdir(mode=0o700)
    (home / "gpgsm.conf").write_text("disable-crl-checks\n")
    s.stack.csign("ca", "export", "--tsg", "acme", "-o", s.dir / "acme.pem")
    s.plain("gpgsm", "--batch", "--import", "acme.pem")
    fingerprint = s.plain("openssl", "x509", "-in", "acme.pem", "-noout", "-fingerprint", "-sha1").split("=")[1]
    (home / "trustlist.txt").write_text(f"{fingerprint.strip()} S relax\n")
