# SPDX-License-Identifier: Apache-2.0
"""A Debian release booted with its own systemd, from a tree that stays as it is: what is written is in memory and gone
at the end.  Needs root.  It has a network of its own, with nothing but loopback."""

import contextlib
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from stack import StackError, text, tool, wait_until  # noqa: E402

BOOT_SECONDS = 60
UNITS = ("csign-keystore.service", "csign-service.service", "csign-sidecar.service")

OBJECT = ("org.csign.Sidecar1", "/org/csign/Sidecar1", "org.csign.Sidecar1")


class Machine:
    """with Machine(tree, packages) as m: m.run("systemctl", "status")"""

    def __init__(self, tree, packages):
        self.tree, self.packages = pathlib.Path(tree), pathlib.Path(packages)
        self.process, self.leader = None, None

    def __enter__(self):
        # It ends with us, however we end.  The key store locks its memory, which nspawn allows only who may anyway.
        self.process = subprocess.Popen(
            [tool("setpriv"), "--pdeathsig=TERM", tool("systemd-nspawn"), "--quiet", "--register=no", "--keep-unit",
             "--private-network", "--volatile=overlay", "--capability=CAP_IPC_LOCK",
             f"--bind-ro={self.packages}:/packages", "--directory", self.tree, "--boot"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            self.leader = wait_until("systemd-nspawn to start the tree's init", self._find_leader, BOOT_SECONDS)
            wait_until("the machine to be up", self._is_up, BOOT_SECONDS)
            # The tree's, which forbids packages to start anything; here they may.
            self.run("rm", "-f", "/usr/sbin/policy-rc.d")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        self.process.terminate()
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def _find_leader(self):
        if self.process.poll() is not None:
            raise StackError(f"systemd-nspawn: {text(self.process.stdout.read())}")
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in children:
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                    return pid
        return None

    def _is_up(self):
        return text(self.run("systemctl", "is-system-running", check=False).stdout).strip() in ("running", "degraded")

    # ---- use ----

    def argv(self, argv, user=None, env=None):
        variables = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "HOME": "/root" if user is None else "/tmp"}
        variables |= env or {}
        become = [] if user is None else ["runuser", "-u", user, "--"]
        return [tool("nsenter"), "-t", self.leader, "-m", "-p", "-i", "-u", "-n", "-C", "-r", "-w", "--", *become,
                "env", "-i", *(f"{k}={v}" for k, v in variables.items()), *(str(a) for a in argv)]

    def run(self, *argv, user=None, env=None, check=True, timeout=60, **options):
        """Ends with the output kept; with check a failure shows it, and the journal's end."""
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        if "input" in options:
            options.pop("stdin")
        done = subprocess.run(self.argv(argv, user, env), capture_output=True, check=False, timeout=timeout,
                              start_new_session=True, **options)
        if check and done.returncode != 0:
            journal = self.run("journalctl", "--no-pager", "-n", 40, check=False)
            raise StackError(f"`{' '.join(map(str, argv))}` ended with status {done.returncode}\n{text(done.stdout)}"
                             f"{text(done.stderr)}\n---- journal ----\n{text(journal.stdout)}")
        return done

    def start(self, *argv, **options):
        """Goes on beside the test."""
        return subprocess.Popen(self.argv(argv, **options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)

    def sh(self, script, **options):
        return text(self.run("sh", "-euc", script, **options).stdout)

    def write(self, path, content, mode="644"):
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, input=content.encode())

    # ---- units ----

    def show(self, unit, name):
        return text(self.run("systemctl", "show", "--value", "--property", name, unit).stdout).strip()

    def pid(self, unit):
        pid = int(self.show(unit, "MainPID"))
        assert pid > 0, f"{unit} does not run"
        return pid

    def restarts(self, unit):
        return int(self.show(unit, "NRestarts"))

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def journal(self, *fields):
        """The entries that have all the fields, each a dictionary."""
        out = text(self.run("journalctl", "--no-pager", "--output", "json", *fields).stdout)
        return [json.loads(line) for line in out.splitlines()]

    # ---- csign ----

    def install(self, pattern="*_0.1.0_*.deb"):
        return self.sh(f"dpkg --install $(ls /packages/{pattern} | grep -v dbgsym) 2>&1", timeout=180)

    def busctl(self, method, *arguments, user="signer", check=True):
        """The method's answer as JSON; without check what busctl ended with."""
        done = self.run("busctl", "--json=short", "call", *OBJECT, method, *arguments, user=user, check=check)
        return json.loads(done.stdout)["data"] if check else done

    def admin(self, *argv, **options):
        """`csign` of the service's owner."""
        env = {"CSIGN_SERVICE": "https://localhost:8443", "CSIGN_CA": "/var/tmp/smoke/service-ca.pem",
               "CSIGN_API_KEY_FILE": "/var/tmp/smoke/owner.key"}
        return self.run("csign", *argv, env=env, **options)

    def sign(self, user="signer", check=True, **options):
        """A signature by stock openssl, verified by stock openssl if there is one."""
        done = self.run("openssl", "dgst", "-sha256", "-sign", "csign://acme/release", "/var/tmp/smoke/data", user=user,
                        env={"OPENSSL_CONF": "/etc/csign/openssl.cnf"}, check=check, **options)
        if done.returncode == 0:
            self.verify(done.stdout)
        return done

    def verify(self, signature):
        self.run("openssl", "dgst", "-sha256", "-verify", "/var/tmp/smoke/release.pub", "-signature", "/dev/stdin",
                 "/var/tmp/smoke/data", input=signature)

    def smoke(self, script):
        """Runs debian/tests/smoke as autopkgtest does; what it has set up is for the tests that follow."""
        self.run("mkdir", "/var/tmp/smoke")
        self.run("mkdir", "--mode=700", "/var/tmp/kept")  # for tests that put something aside
        self.write("/var/tmp/smoke.sh", pathlib.Path(script).read_text(), "755")
        out = self.run("/var/tmp/smoke.sh", env={"AUTOPKGTEST_TMP": "/var/tmp/smoke"}, timeout=120)
        self.run("useradd", "outsider")
        return text(out.stdout)


def wait_restarted(machine, unit, before):
    """Until systemd has started the unit once more, and it is ready."""
    wait_until(f"{unit} to be restarted", lambda: machine.restarts(unit) > before and machine.is_active(unit), 60)
