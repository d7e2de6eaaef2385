# SPDX-License-Identifier: Apache-2.0
"""csign osslsigncode and its kin: stock tools of this host that are given a URI; what they made is verified here once
more, by programs that know nothing of csign.  And tools that only say that they signed."""

import glob
import os
import random
import shutil
import signal
import subprocess

import pytest

from stack import StackError, base_env, text, tool, wait_until
from test_certificates import OutsideCa, add_certificate, wait_for_chain

pytestmark = pytest.mark.uninstrumented

RELEASE, FIRMWARE = "csign://acme/mobile/release", "csign://acme/mobile/firmware"
FAILS = object()  # any status but 0
BOTH = pytest.mark.parametrize("key", [RELEASE, FIRMWARE], ids=["P-256", "RSA-3072"])
MAGIC = b"~Module signature appended~\n"

C_SOURCES = {
    "a.exe": ("int main(void) { return 0; }\n", ()),
    "b.efi": ("long boot(void *handle, void *table) { return 0; }\n",
              ("-nostdlib", "-ffreestanding", "-shared", "-Wl,--subsystem,10", "-Wl,-e,boot")),
}

FIT = """/dts-v1/;
/ {
  description = "test";
  #address-cells = <1>;
  images {
    kernel {
      data = /incbin/("kernel");
      type = "kernel"; arch = "arm64"; os = "linux"; compression = "none"; load = <0>; entry = <0>;
      hash { algo = "sha256"; };
      signature { algo = "sha256,rsa3072"; key-name-hint = "dev"; PADDING };
    };
    fdt-1 {
      data = /incbin/("kernel");
      type = "flat_dt"; arch = "arm64"; compression = "none";
      hash-1 { algo = "sha256"; };
    };
  };
  configurations {
    default = "one";
    one {
      kernel = "kernel"; fdt = "fdt-1";
      signature { algo = "sha256,rsa3072"; key-name-hint = "prod"; sign-images = "kernel", "fdt"; PADDING };
    };
  };
};
"""


@pytest.fixture(scope="module")
def inputs(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name, (source, options) in C_SOURCES.items():
        (folder / f"{name}.c").write_text(source)
        stack.run([tool("x86_64-w64-mingw32-gcc"), *options, "-o", name, f"{name}.c"], cwd=folder)
    (folder / "m.c").write_text("int init_module(void) { return 0; }\n")
    stack.run([tool("gcc"), "-c", "-o", "m.ko", "m.c"], cwd=folder)
    (folder / "file").write_bytes(b"what is signed\n" * 100)
    (folder / "kernel").write_bytes(random.randbytes(5000))
    (folder / "fit.its").write_text(FIT.replace("PADDING", ""))
    (folder / "pss.its").write_text(FIT.replace("PADDING", 'padding = "pss";'))
    content = folder / "content"
    content.mkdir()
    (content / "rootfs.img").write_bytes(random.randbytes(65536))
    (content / "manifest.raucm").write_text("[update]\ncompatible=test\nversion=1\n\n[bundle]\nformat=verity\n\n"
                                            "[image.rootfs]\nfilename=rootfs.img\n")
    return folder


@pytest.fixture
def work(inputs, tmp_path):
    """A folder with copies of all inputs, and one for temporary files, which must be empty in the end."""
    folder = tmp_path / "work"
    shutil.copytree(inputs, folder)
    (tmp_path / "tmp").mkdir()
    yield folder
    assert not list((tmp_path / "tmp").iterdir()), "temporary files were left"


@pytest.fixture
def env(stack, work):
    made = {k: v for k, v in stack.environment().items() if k != "OPENSSL_CONF"}
    return made | {"TMPDIR": str(work.parent / "tmp")}


@pytest.fixture
def wrapped(stack, work, env):
    def run(*argv, status=0, more=None):
        done = stack.csign(*argv, env=env | (more or {}), cwd=work, check=False)
        said = text(done.stdout) + text(done.stderr)
        assert done.returncode == status if status is not FAILS else done.returncode, said
        return said
    return run


@pytest.fixture
def authority(stack, work):
    path = work / "acme.pem"
    stack.csign("ca", "export", "--tsg", "acme", "-o", path)
    return path


def certificate(stack, key, folder):
    return stack.certificate(key.removeprefix("csign://"), folder)


def stock(stack, work, *argv, **options):
    return text(stack.run([tool(argv[0]), *argv[1:]], cwd=work, env=base_env() | {"OPENSSL_CONF": "/dev/null"},
                          **options).stdout)


# ---- each tool signs, and others find the signature good ----

@BOTH
def test_osslsigncode(stack, work, wrapped, authority, key):
    wrapped("osslsigncode", "sign", "-key", key, "-h", "sha256", "-in", "a.exe", "-out", "b.exe")
    assert "Signature verification: ok" in stock(stack, work, "osslsigncode", "verify", "-CAfile", authority, "-in",
                                                 "b.exe")


def test_a_chain_that_ends_below_its_root(stack, work, wrapped):
    """As outside authorities hand them out: the last certificate that the key comes with is trusted as it is."""
    outside, name = OutsideCa(stack, work), f"acme/mobile/outside-{os.urandom(4).hex()}"
    key = stack.add_key(name, certificate="none")
    leaf = outside.issue(stack, key)
    add_certificate(stack, key, {"chain": leaf + (work / "sub.pem").read_text()})
    wait_for_chain(stack, key, leaf)
    wrapped("osslsigncode", "sign", "-key", f"csign://{name}", "-h", "sha256", "-in", "a.exe", "-out", "b.exe")
    assert "Signature verification: ok" in stock(stack, work, "osslsigncode", "verify", "-CAfile", work / "root.pem",
                                                 "-in", "b.exe")


def test_osslsigncode_names_no_output_option(wrapped, work):
    wrapped("osslsigncode", "sign", "-h", "sha256", "-key", FIRMWARE, "a.exe", "b.exe")
    assert (work / "b.exe").exists()


@BOTH
def test_sbsign(stack, work, wrapped, key):
    own = certificate(stack, key, work)
    wrapped("sbsign", "--key", key, "--output", "signed.efi", "b.efi")
    wrapped("sbsign", f"--key={key}", "b.efi")
    for name in ("signed.efi", "b.efi.signed"):
        assert "Signature verification OK" in stock(stack, work, "sbverify", "--cert", own, name)


def test_sbsign_detached(stack, work, wrapped):
    own = certificate(stack, FIRMWARE, work)
    wrapped("sbsign", "--key", FIRMWARE, "--detached", "--output", "b.p7s", "b.efi")
    assert "OK" in stock(stack, work, "sbverify", "--cert", own, "--detached", "b.p7s", "b.efi")
    wrapped("sbsign", "--key", FIRMWARE, "--detached", "b.efi")
    assert (work / "b.efi.pk7").exists()


def module_is_good(stack, work, key, name):
    signed, module = (work / name).read_bytes(), (work.parent / "work/original.ko").read_bytes()
    assert signed.startswith(module) and signed.endswith(MAGIC)
    length = int.from_bytes(signed[-len(MAGIC) - 4:-len(MAGIC)], "big")
    (work / "p7s").write_bytes(signed[len(module):len(module) + length])
    stock(stack, work, "openssl", "cms", "-verify", "-binary", "-content", "original.ko", "-inform", "DER", "-in",
          "p7s", "-certfile", certificate(stack, key, work), "-CAfile", "acme.pem", "-purpose", "any", "-out",
          "/dev/null")


@BOTH
def test_sign_file(stack, work, wrapped, authority, key):
    shutil.copy(work / "m.ko", work / "original.ko")
    own = certificate(stack, key, work)
    for argv, out in ((("m.ko", "1.ko"), "1.ko"), ((own, "m.ko", "2.ko"), "2.ko"), ((key, "m.ko", "3.ko"), "3.ko"),
                      (("m.ko",), "m.ko")):
        wrapped("sign-file", "sha256", key, *argv)
        module_is_good(stack, work, key, out)


@BOTH
def test_evmctl(stack, work, wrapped, key):
    stock(stack, work, "openssl", "x509", "-in", certificate(stack, key, work), "-outform", "DER", "-out", "own.der")
    for option in (("--key", key), (f"--key={key}",), ("-k", key), (f"-k{key}",)):
        wrapped("evmctl", "ima_sign", "--sigfile", "-a", "sha256", *option, "file")
        done = stack.run([tool("evmctl"), "ima_verify", "--sigfile", "-a", "sha256", "--key", "own.der", "file"],
                         cwd=work)
        assert b"verification is OK" in done.stdout + done.stderr
        (work / "file.sig").unlink()
    assert "one file after the other" in wrapped("evmctl", "ima_sign", "-r", "-k", key, ".", status=2)


@BOTH
def test_rauc(stack, work, wrapped, authority, key):
    wrapped("rauc", "bundle", f"--key={key}", "content", "one.raucb")
    wrapped("rauc", "bundle", "content", "two.raucb", "--cert", key, "--key", key)
    (work / "rauc.conf").write_text(f"[system]\ncompatible=test\nbootloader=noop\n[keyring]\npath={authority}\n"
                                    "check-purpose=codesign\n")
    for name in ("one.raucb", "two.raucb"):
        assert "Compatible" in stock(stack, work, "rauc", "--conf=rauc.conf", "info", name)


def fit_value(stack, work, fit, node):
    value = stock(stack, work, "fdtget", "-t", "bx", fit, node, "value")
    return bytes(int(b, 16) for b in value.split())


def test_mkimage(stack, work, wrapped):
    """Both signatures are there, under either hint; openssl itself can look at that of an image."""
    public = stack.public_key("acme/mobile/firmware", work)
    for option in (("-k", FIRMWARE), ("-G", FIRMWARE)):
        wrapped("mkimage", "-f", "fit.its", *option, "-r", "fit.itb")
        (work / "sig").write_bytes(fit_value(stack, work, "fit.itb", "/images/kernel/signature"))
        stock(stack, work, "openssl", "dgst", "-sha256", "-verify", public, "-signature", "sig", "kernel")
        assert len(fit_value(stack, work, "fit.itb", "/configurations/one/signature")) == 384
        (work / "fit.itb").unlink()


@pytest.mark.parametrize("options", [("-f", "pss.its"), ("-E", "-f", "fit.its"), ("-E", "-p", "4000", "-f", "fit.its"),
                                     ("-f", "fit.its", "-K", "control.dtb", "-r")], ids=" ".join)
def test_mkimage_in_other_forms(stack, work, wrapped, options):
    """PSS; the data behind the tree, near and far; the public key put into another tree."""
    stack.run([tool("dtc"), "-O", "dtb", "-p", "4096", "-o", "control.dtb"], cwd=work, input=b"/dts-v1/; / { };")
    wrapped("mkimage", *options, "-k", FIRMWARE, "fit.itb")


def test_mkimage_signs_an_image_again(stack, work, wrapped):
    stock(stack, work, "mkimage", "-f", "fit.its", "fit.itb")
    wrapped("mkimage", "-F", "-k", FIRMWARE, "-r", "fit.itb")
    assert len(fit_value(stack, work, "fit.itb", "/configurations/one/signature")) == 384


def test_mkimage_can_do_no_ecdsa(work, wrapped):
    (work / "ec.its").write_text((work / "fit.its").read_text().replace("rsa3072", "ecdsa256"))
    wrapped("mkimage", "-f", "ec.its", "-k", RELEASE, "fit.itb", status=FAILS)


# ---- certificates of the user ----

@pytest.fixture
def foreign(stack, work):
    """A certificate for the csign key from a CA that csign has never heard of."""
    run = stack.plain_openssl
    run("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=CA",
        "-addext", "keyUsage=critical,keyCertSign", cwd=work)
    public = stack.public_key("acme/mobile/firmware", work)
    (work / "ext").write_text("keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n"
                              "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    run("x509", "-new", "-force_pubkey", public, "-subj", "/CN=foreign", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-extfile", "ext", "-out", "foreign.pem", cwd=work)
    (work / "whole.pem").write_bytes((work / "foreign.pem").read_bytes() + (work / "ca.pem").read_bytes())


def test_a_certificate_of_the_user(stack, work, wrapped, foreign):
    sign = ("osslsigncode", "sign", "-h", "sha256", "-key", FIRMWARE, "-in", "a.exe")
    wrapped(*sign, "-certs", "whole.pem", "-out", "1.exe")
    wrapped(*sign, "-certs", "foreign.pem", "-out", "2.exe", more={"CSIGN_VERIFY_CA": str(work / "ca.pem")})
    for name in ("1.exe", "2.exe"):
        assert "CN=foreign" in stock(stack, work, "osslsigncode", "verify", "-CAfile", "ca.pem", "-in", name)
    # Nobody can say whether such a signature is good.
    wrapped(*sign, "-certs", "foreign.pem", "-out", "3.exe", status=9)
    wrapped("sbsign", "--key", FIRMWARE, "--cert", "foreign.pem", "--output", "signed.efi", "b.efi")
    wrapped("rauc", "bundle", "--key", FIRMWARE, "--cert=foreign.pem", "content", "u.raucb",
            more={"CSIGN_VERIFY_CA": str(work / "ca.pem")})


def test_a_certificate_of_another_key(work, wrapped, foreign):
    said = wrapped("sbsign", "--key", FIRMWARE, "--cert", "ca.pem", "b.efi", status=2)
    assert f"ca.pem has no certificate of {FIRMWARE}" in said
    said = wrapped("sbsign", "--key", FIRMWARE, "--cert", RELEASE, "b.efi", status=2)
    assert "two URIs" in said
    assert not (work / "b.efi.signed").exists()


# ---- what is refused ----

def test_misuse(stack, wrapped):
    assert "no csign:// URI" in wrapped("sbsign", "--key", "key.pem", "b.efi", status=2)
    assert "no csign:// URI" in wrapped("sign-file", "sha256", "m.ko", status=2)
    assert "only signs" in wrapped("osslsigncode", "verify", "-in", "a.exe", status=2)
    assert "verifies signed modules" in wrapped("sign-file", "-d", "sha256", FIRMWARE, "m.ko", status=2)
    for name in ("osslsigncode", "sbsign", "sign-file", "evmctl", "rauc", "mkimage"):
        assert f"Example:\n  csign {name} " in wrapped(name, "--help") == wrapped(name)
    wrapped("sbsign", "--key", "csign://acme/mobile/nope", "b.efi", status=4)
    wrapped("sbsign", "--key", FIRMWARE, "b.efi", status=3, more={"CSIGN_BUS": "unix:path=/nonexistent"})


def test_a_tool_that_is_missing_is_named_with_its_package(stack, work, env):
    for name, package in (("osslsigncode", "osslsigncode"), ("sbsign", "sbsigntool"), ("evmctl", "ima-evm-utils"),
                          ("rauc", "rauc"), ("mkimage", "u-boot-tools")):
        done = stack.csign(name, "sign", env=env | {"PATH": "/nonexistent"}, check=False)
        assert done.returncode == 4
        assert f"{name} is not installed: apt-get install {package}".encode() in done.stderr


def test_a_key_without_certificate(stack, wrapped):
    path = f"acme/mobile/bare-{os.urandom(4).hex()}"
    stack.add_key(path, certificate="none")
    assert "has no certificate" in wrapped("sbsign", "--key", f"csign://{path}", "b.efi", status=4)


def test_the_tool_s_status_is_csign_s(work, wrapped, fake):
    wrapped("osslsigncode", "sign", "-key", FIRMWARE, "-in", "nothing.exe", "-out", "b.exe", status=FAILS)
    assert not (work / "b.exe").exists()
    for status in (1, 42, 255):
        wrapped("osslsigncode", "sign", "-key", FIRMWARE, "-in", "a.exe", "-out", "b.exe", status=status,
                more=fake("osslsigncode", f"exit {status}"))


def test_a_key_that_may_not_sign(stack, work, wrapped):
    path = f"acme/mobile/wrapped-{os.urandom(4).hex()}"
    stack.add_key(path, "RSA-2048")
    stack.set_key_state(path, "disabled")
    assert "disabled" in wrapped("osslsigncode", "sign", "-key", f"csign://{path}", "-h", "sha256", "-in", "a.exe",
                                 "-out", "b.exe", status=FAILS)


# ---- tools that lie ----

REAL = {name: shutil.which(name) for name in ("osslsigncode", "sbsign", "evmctl", "rauc", "mkimage")}
REAL["sign-file"] = (sorted(glob.glob("/usr/lib/linux-kbuild-*/scripts/sign-file")) or [None])[-1]

CALLS = {
    "osslsigncode": (("sign", "-h", "sha256", "-key", FIRMWARE, "-in", "a.exe", "-out", "out"), "a.exe"),
    "sbsign": (("--key", FIRMWARE, "--output", "out", "b.efi"), "b.efi"),
    "sign-file": (("sha256", FIRMWARE, "m.ko", "out"), "m.ko"),
    "evmctl": (("ima_sign", "--sigfile", "-a", "sha256", "--key", FIRMWARE, "file"), "file"),
    "rauc": (("bundle", "--key", FIRMWARE, "content", "out"), "file"),
    "mkimage": (("-f", "fit.its", "-k", FIRMWARE, "out"), "plain.itb"),
}


@pytest.fixture
def fake(work, env):
    """Puts a script before the real tool, which it can call as $REAL; what is no signing goes to the real one."""
    def make(name, script):
        if not REAL[name]:
            raise StackError(f"{name} is not installed")
        path = work.parent / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\nREAL={REAL[name]}\ncase \" $* \" in *' verify '*|*' ima_verify '*|*' info '*) "
                        f"exec $REAL \"$@\";; esac\n{script}\n")
        path.chmod(0o755)
        return {"PATH": f"{path.parent}:{env['PATH']}"}
    return make


@pytest.mark.parametrize("name", CALLS)
def test_a_tool_that_does_nothing(stack, work, wrapped, fake, name):
    argv, _ = CALLS[name]
    assert name in wrapped(name, *argv, status=9, more=fake(name, "exit 0"))


@pytest.mark.parametrize("name", CALLS)
def test_a_tool_that_writes_no_signature(stack, work, wrapped, fake, name):
    argv, source = CALLS[name]
    stock(stack, work, "mkimage", "-f", "fit.its", "plain.itb")
    wrapped(name, *argv, status=9, more=fake(name, f"cp {source} {'file.sig' if name == 'evmctl' else 'out'}"))


@pytest.mark.parametrize("name", [n for n in CALLS if n != "evmctl"])
def test_an_older_signature_is_not_taken_for_the_new_one(work, wrapped, fake, name):
    argv, _ = CALLS[name]
    wrapped(name, *argv)
    assert "has not written out" in wrapped(name, *argv, status=9, more=fake(name, "exit 0"))


@pytest.mark.parametrize("name", CALLS)
def test_a_signature_of_another_key(stack, work, wrapped, fake, name):
    """A tool that uses a key of the same authority, but not the one that was asked for."""
    path = "acme/mobile/wrapped-other"
    if path not in stack.keys:
        stack.add_key(path, "RSA-3072")
    stack.csign("ref", path, "-o", work / "other.pem")
    stack.csign("cert", path, "-o", work / "other.crt")
    (work / "keys").mkdir()
    for hint in ("dev", "prod"):
        shutil.copy(work / "other.pem", work / f"keys/{hint}.key")
        shutil.copy(work / "other.crt", work / f"keys/{hint}.crt")
    replace = ('args=(); for a in "$@"; do case $a in */keys) a=keys;; */key.pem) a=other.pem;; '
               '*/chain.pem) a=other.crt;; esac; args+=("$a"); done; exec $REAL "${args[@]}"')
    argv, _ = CALLS[name]
    wrapped(name, *argv, status=9, more=fake(name, replace))


@pytest.mark.parametrize("name", CALLS)
def test_a_spoiled_result(work, wrapped, fake, name):
    """One bit of what was signed is turned, after the signature was made."""
    spoil = {
        "osslsigncode": "0x400", "sbsign": "0x400", "sign-file": "0x50", "rauc": "-400", "mkimage": "-kernel",
        "evmctl": "5",
    }[name]
    target = "file" if name == "evmctl" else "out"
    script = f"""$REAL "$@" || exit
python3 - <<'END'
path, at = {target!r}, {spoil!r}
data = bytearray(open(path, 'rb').read())
at = data.index(open('kernel', 'rb').read()) + 10 if at == '-kernel' else int(at, 0)
data[at] ^= 1
open(path, 'wb').write(data)
END"""
    argv, _ = CALLS[name]
    wrapped(name, *argv, status=9, more=fake(name, script))


@pytest.mark.parametrize("node,old,new", [("configuration", b"flat_dt", b"flat_du"),
                                          ("signature", b"prod\0", b"prof\0")])
def test_a_spoiled_configuration(work, wrapped, fake, node, old, new):
    """What a configuration's signature is over is more than an image: here an image that is not signed itself; but
    the signature nodes themselves are not under it."""
    script = f"""$REAL "$@" || exit
python3 -c "import pathlib; p = pathlib.Path('out'); d = p.read_bytes(); assert {old!r} in d
p.write_bytes(d.replace({old!r}, {new!r}))" """
    argv, _ = CALLS["mkimage"]
    said = wrapped("mkimage", *argv, status=9 if node == "configuration" else 0, more=fake("mkimage", script))
    assert node != "configuration" or "/configurations/one/signature is not signed by the key" in said


def test_a_node_that_mkimage_left_unsigned(work, wrapped, fake):
    """A second hint, for which there is no key, turns up behind csign's back; mkimage's failure is kept from it."""
    script = """sed -i 's/"prod"/"typo"/' fit.its; $REAL "$@"; exit 0"""
    argv, _ = CALLS["mkimage"]
    wrapped("mkimage", *argv, status=9, more=fake("mkimage", script))


# ---- the tool's world ----

LOOK = """
for a in "$@"; do case $a in */key.pem) key=$a;; esac; done
stat -c '%a %u' "$(dirname "$key")" "$key"; head -n 1 "$key"
grep -l 'PRIVATE' "$(dirname "$key")"/*; echo "conf=$OPENSSL_CONF"
"""


def test_the_temporary_folder_is_private(wrapped, fake):
    said = wrapped("osslsigncode", *CALLS["osslsigncode"][0], status=9, more=fake("osslsigncode", LOOK)).splitlines()
    assert said[:3] == [f"700 {os.geteuid()}", f"600 {os.geteuid()}", "-----BEGIN CSIGN KEY REFERENCE-----"]
    assert said[3].startswith("conf=/") and said[3].endswith("/openssl.cnf")


def test_the_verifier_knows_nothing_of_csign(work, env, stack):
    path = work.parent / "bin/sbverify"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\nenv > {work}/seen\nexec {tool('sbverify')} \"$@\"\n")
    path.chmod(0o755)
    stack.csign("sbsign", "--key", FIRMWARE, "b.efi", cwd=work, env=env | {"PATH": f"{path.parent}:{env['PATH']}"})
    seen = (work / "seen").read_text().splitlines()
    assert "OPENSSL_CONF=/dev/null" in seen
    assert not [line for line in seen if line.startswith(("CSIGN_BUS=", "CSIGN_MODULE=", "OPENSSL_MODULES="))]


@pytest.mark.parametrize("number,script,status", [
    (signal.SIGTERM, "exec sleep 60", 128 + 15),
    (signal.SIGHUP, "exec sleep 60", 128 + 1),
    (signal.SIGTERM, "trap 'exit 3' TERM; while :; do sleep 0.05; done", 3),
    (signal.SIGTERM, "trap 'exit 0' TERM; while :; do sleep 0.05; done", 9),
])
def test_signals_end_the_tool_and_leave_nothing(stack, work, env, fake, number, script, status):
    """The fixture looks that no temporary file is left.  A tool that then says 0 has signed nothing."""
    path = fake("osslsigncode", f"echo > began; {script}")
    with subprocess.Popen([stack.program("csign"), "osslsigncode", *CALLS["osslsigncode"][0]], cwd=work,
                          env=env | path, stderr=subprocess.DEVNULL) as process:
        wait_until("the tool runs", (work / "began").exists)
        assert list((work.parent / "tmp").iterdir())
        process.send_signal(number)
        assert process.wait(10) == status


def test_ctrl_c_reaches_tool_and_csign(stack, work, env, fake):
    path = fake("osslsigncode", "echo > began; exec sleep 60")
    with subprocess.Popen([stack.program("csign"), "osslsigncode", *CALLS["osslsigncode"][0]], cwd=work,
                          env=env | path, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until("the tool runs", (work / "began").exists)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 128 + 2


def test_a_signal_while_it_is_verified(stack, work, env):
    path = work.parent / "bin/sbverify"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho > began\nexec sleep 60\n")
    path.chmod(0o755)
    with subprocess.Popen([stack.program("csign"), "sbsign", "--key", FIRMWARE, "b.efi"], cwd=work,
                          env=env | {"PATH": f"{path.parent}:{env['PATH']}"}, stderr=subprocess.DEVNULL) as process:
        wait_until("the verifier runs", (work / "began").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + 15
