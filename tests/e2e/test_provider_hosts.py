# SPDX-License-Identifier: Apache-2.0
"""csign.so in applications that are not like the others: that wait long and are interrupted, that change their root and
user after loading their key, that are setuid, that ask by properties, that have no default provider, that run on hosts
with FIPS."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from peer import Peer
from stack import SERVICE_UID, STRANGER_UID, Stack, text, tool, wait_until

pytestmark = pytest.mark.provider

PATH = "acme/mobile/release"
RELEASE = f"csign://{PATH}"
POLICY = f"rules = us\n[us]\nuids = {os.geteuid()}, {STRANGER_UID}\nkeys = acme/*\neffect = allow\n"


class Ground:
    """A stack, and files that other users can read: a folder of pytest's they cannot."""

    def __init__(self, stack):
        self.stack, self.folder, self.own_calls = stack, stack.folder / "hosts", 0
        self.folder.mkdir()
        folder = self.folder
        self.file, self.sig, self.ref = folder / "file", folder / "sig", folder / "ref.pem"
        self.file.write_bytes(b"data")
        self.ref.write_bytes(stack.csign("ref", RELEASE).stdout)
        self.pub = stack.public_key(PATH, folder)
        self.modules = folder / "modules"
        self.modules.mkdir()
        (self.modules / "csign.so").symlink_to(stack.program("csign.so"))

    def program(self, name):
        return self.stack.build / "tests/e2e/c" / name

    def start(self, *argv, **options):
        argv, env = self.stack.hosted([str(a) for a in argv], **options)
        return subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def later(self, key, *what, **options):
        return self.stack.host([self.program("host-later"), key, *what], timeout=30, **options)

    def calls(self):
        """How many calls the sidecar has had from others."""
        with Peer(self.stack.sidecar.socket) as peer:
            self.own_calls += 1
            return int(peer.call("Status", "")[0]["calls"]) - self.own_calls

    def dgst(self, **options):
        return self.stack.openssl("dgst", "-sha256", "-sign", RELEASE, "-out", self.sig, self.file, **options)

    def signed(self):
        return [r["record"] for r in self.stack.audit() if r["record"]["kind"] == "sign"]

    def verify(self):
        self.stack.plain_openssl("dgst", "-sha256", "-verify", self.pub, "-signature", self.sig, self.file)

    def refused(self, done, *words):
        lines = [line for line in text(done.stderr).splitlines() if ":csign:" in line]
        assert done.returncode != 0 and len(lines) == 1, text(done.stderr)
        for word in words:
            assert word in lines[0], lines[0]


@pytest.fixture(scope="module")
def ground():
    with Stack(policy=POLICY) as stack:
        yield Ground(stack)


# ---- long waits ----

@contextlib.contextmanager
def waiting(ground, *argv):
    """The program runs, its signature has been asked for, and the answer will take as long as this does."""
    with ground.stack.keystore.frozen():
        calls, lookups = ground.calls(), 0 if str(ground.ref) in map(str, argv) else 1
        process = ground.start(*argv)
        wait_until("the call", lambda: ground.calls() > calls + lookups or process.poll() is not None)
        assert process.poll() is None, text(process.stderr.read())
        yield process


def end(process):
    out, err = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize("key", ("uri", "ref"))
def test_signals_do_not_disturb_a_wait(ground, key):
    """The application's timer ends each system call with EINTR; the signature comes all the same."""
    with waiting(ground, ground.program("host-later"), RELEASE if key == "uri" else ground.ref, "alarm") as process:
        dots = process.stdout.read(10)
    done = end(process)
    assert dots == b"." * 10, text(done.stderr)
    assert done.returncode == 0, text(done.stderr)
    assert done.stdout.lstrip(b".") == b"ok\n"


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
def test_a_waiting_signer_ends_at_once(ground, number):
    """Ctrl-C is the application's: csign has no handlers.  Nobody after it is disturbed, and at most the one operation
    is signed and recorded."""
    ground.sig.unlink(missing_ok=True)
    before = len(ground.signed())
    with waiting(ground, tool("openssl"), "dgst", "-sha256", "-sign", RELEASE, "-out", ground.sig, ground.file) as process:
        begin = time.monotonic()
        process.send_signal(number)
        done = end(process)
        assert time.monotonic() - begin < 5
    assert done.returncode == -number
    assert not ground.sig.exists() or ground.sig.stat().st_size == 0
    ground.dgst()
    ground.verify()
    assert len(ground.signed()) - before in (1, 2)


@pytest.mark.parametrize("key", ("uri", "ref"))
def test_a_fork_while_another_thread_waits(ground, key):
    """The child cannot use the connection that the other thread waits on, and does not wait for it."""
    with waiting(ground, ground.program("host-later"), RELEASE if key == "uri" else ground.ref, "fork") as process:
        calls = ground.calls()
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_until("the child's call", lambda: ground.calls() > calls or process.poll() is not None)
    done = end(process)
    assert done.returncode == 0, text(done.stderr)
    assert done.stdout == b"ok\n"


# ---- root, user and network ----

def jail(ground, name):
    """A folder in which there is nothing but the sidecar's socket, under its own name."""
    folder = ground.folder / name
    inside = pathlib.Path(f"{folder}{ground.stack.sidecar.socket}")
    inside.parent.mkdir(parents=True)
    os.link(ground.stack.sidecar.socket, inside)
    for part in [folder, *folder.rglob("*")]:
        part.chmod(part.stat().st_mode | 0o055)
    return folder


@pytest.mark.root
@pytest.mark.uninstrumented
@pytest.mark.parametrize("key", ("uri", "ref"))
def test_a_worker_signs_in_another_root_as_another_user(ground, key):
    """Of the old root it needs the sidecar's socket, and nothing else.  The sidecar sees who it has become."""
    folder = jail(ground, f"jail-{key}")
    done = ground.later(RELEASE if key == "uri" else ground.ref, "root", folder, STRANGER_UID)
    assert done.stdout == b"ok\n"
    caller = ground.signed()[-1]["caller"]
    assert (caller["uid"], caller["gid"]) == (STRANGER_UID, STRANGER_UID)


@pytest.mark.root
@pytest.mark.uninstrumented
def test_a_worker_that_cannot_reach_the_socket_says_so(ground, tmp_path):
    done = ground.later(RELEASE, "root", tmp_path, STRANGER_UID, check=False)
    ground.refused(done, "sidecar not reachable", str(ground.stack.sidecar.socket))


@pytest.mark.root
@pytest.mark.uninstrumented
def test_a_worker_whom_the_policy_does_not_know_is_refused(ground):
    done = ground.later(RELEASE, "root", "/", SERVICE_UID, check=False)
    ground.refused(done, "local-policy")


@pytest.mark.root
def test_a_network_of_its_own_changes_nothing(ground):
    ground.sig.unlink(missing_ok=True)
    ground.stack.host([tool("unshare"), "--net", tool("openssl"), "dgst", "-sha256", "-sign", RELEASE, "-out", ground.sig,
                       ground.file])
    ground.verify()


# ---- setuid ----

class Trap:
    """A socket that should not be connected to."""

    def __init__(self, path):
        self.path, self.n = path, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        path.chmod(0o777)
        self.socket.listen(8)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self.n += 1
                connection.close()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


VARIABLES = ("CSIGN_BUS", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS")


@pytest.mark.root
@pytest.mark.uninstrumented
@pytest.mark.parametrize("variable", VARIABLES)
def test_the_environment_does_not_lead_a_setuid_program_astray(ground, variable):
    """Whoever starts it could else put a sidecar of his own in its way.  The same program without the bit is led."""
    folder = ground.folder / variable
    path = folder / "csign/sidecar.sock"
    value = {"CSIGN_BUS": f"unix:path={path}", "XDG_RUNTIME_DIR": str(folder)}.get(variable, f"unix:path={path}")
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", variable: value}
    program = folder / "program"
    trap = Trap(path)
    shutil.copyfile(ground.program("host-context"), program)
    try:
        for mode, owner in ((0o755, 0), (0o4755, SERVICE_UID)):
            os.chown(program, owner, owner)
            program.chmod(mode)
            before = trap.n
            done = ground.stack.host([program, RELEASE, ground.modules, "default,csign", "-", folder / "out"], env=env,
                                     uid=STRANGER_UID, check=False, timeout=60)
            ground.refused(done, "sidecar")
            assert (trap.n > before) == (mode == 0o755), text(done.stderr)
    finally:
        trap.close()


# ---- properties, and contexts without default ----

# What is asked for: whether that can be csign.
PROPERTIES = {"-": True, "provider=csign": True, "?provider=csign": True, "?fips=yes": True,
              "provider=default": False, "fips=yes": False}


@pytest.mark.parametrize("providers", ("csign", "default,csign", "csign,default"))
@pytest.mark.parametrize("properties", PROPERTIES)
def test_own_contexts_and_properties(ground, properties, providers):
    """With default or without; what cannot be, OpenSSL says in its own words."""
    ground.sig.unlink(missing_ok=True)
    env = {**ground.stack.environment(), "OPENSSL_CONF": "/dev/null"}
    done = ground.stack.host([ground.program("host-context"), RELEASE, ground.modules, providers, properties, ground.sig],
                             env=env, check=False)
    if PROPERTIES[properties]:
        assert done.returncode == 0, text(done.stderr)
        ground.verify()
    else:
        assert done.returncode == 1 and not ground.sig.exists()
        assert "No store loader found" in text(done.stderr) and ":csign:" not in text(done.stderr)


# ---- FIPS ----

FIPS_CONF = """openssl_conf = openssl_init
.include {module}
[openssl_init]
providers = providers
alg_section = evp
[providers]
fips = fips_sect
base = base
csign = csign
[base]
activate = 1
[csign]
module = {csign}
activate = 1
[evp]
default_properties = {properties}
"""


class Fips:
    def __init__(self, ground, folder):
        self.ground, self.folder = ground, folder
        self.module, self.conf, self.key = folder / "fipsmodule.cnf", folder / "openssl.cnf", folder / "file.key"
        self.openssl("fipsinstall", "-module", "/usr/lib/x86_64-linux-gnu/ossl-modules/fips.so", "-out", self.module,
                     conf="/dev/null")
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", self.key,
                     conf="/dev/null")

    def write(self, properties):
        self.conf.write_text(FIPS_CONF.format(module=self.module, csign=self.ground.stack.program("csign.so"),
                                              properties=properties))

    def openssl(self, *argv, conf=None, **options):
        env = {**self.ground.stack.environment(), "OPENSSL_CONF": str(conf or self.conf)}
        return self.ground.stack.openssl(*argv, env=env, **options)

    def dgst(self, key, *more, **options):
        return self.openssl("dgst", *more, "-sha256", "-sign", key, "-out", self.ground.sig, self.ground.file, **options)


@pytest.fixture(scope="module")
def fips(ground):
    folder = ground.folder / "fips"
    folder.mkdir()
    return Fips(ground, folder)


@pytest.mark.tree
@pytest.mark.parametrize("properties", ("?fips=yes,?provider!=csign", "?fips=yes"))
def test_fips_is_preferred(ground, fips, properties):
    """With Debian's fips provider, and no default: the host's own keys are fips's, and csign's keys sign."""
    fips.write(properties)
    listed = fips.openssl("list", "-providers").stdout
    assert b"OpenSSL FIPS Provider" in listed and b"OpenSSL Default Provider" not in listed
    for key in (RELEASE, ground.ref):
        fips.dgst(key)
        ground.verify()
    fips.openssl("req", "-new", "-x509", "-key", RELEASE, "-subj", "/CN=x", "-out", fips.folder / "crt")
    ground.stack.plain_openssl("verify", "-CAfile", fips.folder / "crt", "-check_ss_sig", fips.folder / "crt")
    fips.dgst(fips.key)
    pub = fips.openssl("pkey", "-in", fips.key, "-pubout", "-out", fips.folder / "pub")
    assert pub.returncode == 0
    ground.stack.plain_openssl("dgst", "-sha256", "-verify", fips.folder / "pub", "-signature", ground.sig, ground.file)


@pytest.mark.tree
def test_fips_is_demanded(ground, fips):
    """csign is no FIPS module and does not pretend to be: it is left out, unless one operation asks for less."""
    fips.write("fips=yes")
    done = fips.dgst(RELEASE, check=False)
    assert done.returncode != 0 and "No store loader found" in text(done.stderr)
    fips.dgst(fips.key)
    fips.dgst(RELEASE, "-propquery", "?fips=yes")
    ground.verify()
