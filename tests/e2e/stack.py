#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A whole csign on one machine, of the real programs of a build folder: csign-keystore and csign-service
(each under a user of its own when we are root), a sidecar on a private socket or a private bus, a small tree
of TSGs with keys, and an account that may sign.  For tests, benchmarks and hands:

    python3 tests/e2e/stack.py --build build -- openssl pkeyutl -sign -inkey csign://acme/mobile/release ...
    python3 tests/e2e/stack.py --build build -- bash

Everything lives in one temporary folder, which is gone afterwards.  Only processes started here are ended."""

import argparse
import base64
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The users of the two daemons when we are root: numbers that no package of Debian uses.
KEYSTORE_UID = 64201
SERVICE_UID = 64202
STRANGER_UID = 64203

TSGS = ("acme", "acme/mobile", "acme/web", "other")
KEYS = {
    "acme/mobile/release": "P-256",
    "acme/mobile/firmware": "RSA-3072",
    "acme/web/site": "P-256",
    "other/secret": "P-256",
}
ACCOUNT = "acme/mobile/ci"

READY_SECONDS = 30
STOP_SECONDS = 20

PROGRAMS = {
    "csign": "cli/csign",
    "csign-keystore": "service/keystore/csign-keystore",
    "csign-service": "service/csign-service",
    "csign-sidecar": "sidecar/csign-sidecar",
    "csign.so": "provider/csign.so",
}

PACKAGES = {
    "openssl": "openssl",
    "setpriv": "util-linux",
    "dbus-daemon": "dbus-daemon",
    "busctl": "systemd",
    "gdbus": "libglib2.0-bin",
    "osslsigncode": "osslsigncode",
    "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
    "valgrind": "valgrind",
    "gcc": "gcc",
    "strace": "strace",
    "sbverify": "sbsigntool",
    "evmctl": "ima-evm-utils",
    "mkimage": "u-boot-tools",
    "dtc": "device-tree-compiler",
    "fdtget": "device-tree-compiler",
    "script": "bsdutils",
    "nft": "nftables",
    "ip": "iproute2",
    "tpm2_create": "tpm2-tools",
    "tpm2-abrmd": "tpm2-abrmd libtss2-tcti-tabrmd0 tpm2-openssl",
}

SANITIZER_REPORT = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|: runtime error: ")

BUS_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>session</type>
 <listen>unix:path={socket}</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/>
 </policy>
</busconfig>
"""

OPENSSL_CNF = """.include /etc/ssl/openssl.cnf
[openssl_init]
providers = csign_providers
alg_section = csign_evp
[csign_providers]
default = csign_default_sect
csign = csign_sect
[csign_default_sect]
activate = 1
[csign_sect]
module = {module}
activate = 1
[csign_evp]
default_properties = ?provider!=csign
"""


class StackError(AssertionError):
    """Something of the stack did not do what it must; the text has the logs' ends."""


def tool(name):
    """The path of a program that tests need; a missing one is a failure that says which package has it."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise StackError(f"{name} is not installed: apt-get install {PACKAGES.get(name, name)}")
    return path


def wait_until(what, condition, seconds=10):
    """For facts that send no event.  Returns the condition's first true value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise StackError(f"waited {seconds} s in vain for: {what}")
        time.sleep(0.01)


def free_port():
    """Below the ephemeral range: there, a client that retries while the service is down could connect to
    itself and so take the service's port."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low = int(f.read().split()[0])
    while True:
        port = random.randrange(10000 if low > 12000 else 1024, low - 1)
        with contextlib.closing(socket.socket()) as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def as_user(uid, argv):
    """The command line that runs argv under another uid; as it is when we are not root."""
    if uid is None or os.geteuid() != 0:
        return list(argv)
    return [tool("setpriv"), f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *argv]


def in_tree(uid, argv):
    """The command line that runs argv in the tree of another release (tests/in-tree made it see our files)."""
    user = [] if uid is None else [f"--userspec={uid}:{uid}"]
    return [tool("chroot"), *user, os.environ["CSIGN_TREE"], *argv]


def sanitizers(build):
    """What a build was made with: "none", "address,undefined", ..."""
    path = pathlib.Path(build) / "meson-info/intro-buildoptions.json"
    if not path.exists():
        return "none"
    for option in json.loads(path.read_text()):
        if option["name"] == "b_sanitize":
            value = option["value"]
            return value if isinstance(value, str) else ",".join(value) or "none"
    return "none"


class Daemon:
    """One process with a log file; the same object starts it again after it was stopped or killed."""

    def __init__(self, name, argv, folder, env=None, uid=None, ready=True, tree=False):
        self.tree = tree  # runs in the tree of another release
        self.name, self.argv, self.uid, self.wants_ready = name, [str(a) for a in argv], uid, ready
        self.env = dict(env) if env is not None else base_env()
        self.log_path = pathlib.Path(folder) / f"{name}.log"
        self.process = None
        self.stopped = False  # by SIGSTOP

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=40):
        return f"---- {self.log_path.name} ----\n" + "\n".join(self.log().splitlines()[-lines:])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        assert not self.running(), f"{self.name} runs already"
        read_fd, write_fd = os.pipe()
        argv = self.argv + (["--ready-fd", str(write_fd)] if self.wants_ready else [])
        with open(self.log_path, "ab") as log:
            enter = in_tree if self.tree else as_user
            self.process = subprocess.Popen(enter(self.uid, argv), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.env, close_fds=True,
                                            pass_fds=[write_fd] if self.wants_ready else [])
        os.close(write_fd)
        try:
            if self.wants_ready:
                self._wait_ready(read_fd)
        finally:
            os.close(read_fd)
        return self

    def _wait_ready(self, fd):
        said, deadline = b"", time.monotonic() + READY_SECONDS
        while b"\n" not in said:
            readable, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            more = os.read(fd, 256) if readable else b""
            if more:
                said += more
                continue
            if readable:  # the other end closed: it says why in its log
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(STOP_SECONDS)
                raise StackError(f"{self.name} ended before it was ready, status {self.process.poll()}\n"
                                 + self.log_tail())
            raise StackError(f"{self.name} was not ready within {READY_SECONDS} s\n" + self.log_tail())

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL: the end that no program can prepare for."""
        if self.running():
            self.process.kill()
            self.process.wait()
        self.stopped = False

    @contextlib.contextmanager
    def frozen(self):
        """Alive, but answers nothing."""
        self.signal(signal.SIGSTOP)
        self.stopped = True
        try:
            yield self
        finally:
            if self.stopped and self.running():
                self.signal(signal.SIGCONT)
            self.stopped = False

    def stop(self):
        """SIGTERM; the daemon must end by itself, with status 0."""
        if not self.running():
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StackError(f"{self.name} did not end within {STOP_SECONDS} s of SIGTERM\n"
                             + self.log_tail()) from None
        if status != 0:
            raise StackError(f"{self.name} ended with status {status} on SIGTERM\n" + self.log_tail())

    def restart(self):
        self.stop()
        return self.start()

    def check_sanitizers(self):
        found = SANITIZER_REPORT.search(self.log())
        if found:
            raise StackError(f"{self.name}: a sanitizer reported\n" + self.log()[max(0, found.start() - 200):][:8000])


def base_env():
    """The caller's environment without what would lead to another csign or bus."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("CSIGN_", "DBUS_", "XDG_")) and k not in ("OPENSSL_CONF", "OPENSSL_MODULES")}
    env["LC_ALL"] = "C.UTF-8"
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:exitcode=99:allocator_may_return_null=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("LSAN_OPTIONS", f"suppressions={ROOT}/tests/e2e/lsan.supp:print_suppressions=0")
    return env


class Sidecar(Daemon):
    """A sidecar with a folder of its own: config, credential, socket.  An account's private key is made here and
    only its public half leaves.  bus: None, or the address of a bus on which it takes its name instead."""

    def __init__(self, stack, name, account=None, policy=None, bus=None, grant="user", uid=None, conf=None):
        self.stack, self.folder = stack, stack.folder / name
        self.config = self.folder / "config"
        self.config.mkdir(parents=True)
        self.socket = self.folder / "sidecar.sock"
        self.address = f"bus:{bus}" if bus else f"unix:path={self.socket}"
        self.account, self.client_id = None, ""
        self.uid_owner = uid
        if policy is not None:
            self.write_policy(policy)
        if account:
            self.login(account, conf or {})
        env = base_env()
        env["XDG_RUNTIME_DIR"], env["STATE_DIRECTORY"] = str(self.folder), str(self.folder / "state")
        super().__init__(name, [stack.program("csign-sidecar"), "--grant", grant, "--config", self.config,
                                "--bus", bus or "none", "--socket", self.socket], stack.folder, env, uid,
                         tree=stack.tree)
        self._own(self.folder)
        self._own(self.config)

    def _own(self, path):
        if self.uid_owner is not None and os.geteuid() == 0:
            os.chown(path, self.uid_owner, self.uid_owner)

    def login(self, account, conf):
        """Makes the account at the service and writes what `csign login` would write."""
        key = self.config / "credential.key"
        self.stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        key.chmod(0o600)
        self._own(key)
        public = self.stack.plain_openssl("pkey", "-in", key, "-pubout").stdout.decode()
        self.account = self.stack.api("POST", "/v1/accounts", {"path": account, "public_key": public}, status=201)
        self.client_id = self.account["id"]
        self.write_config(conf)

    def write_config(self, conf):
        values = {"service": self.stack.url, "client-id": self.client_id, "credential": self.config / "credential.key",
                  "service-ca": self.stack.ca} | conf
        path = self.config / "sidecar.conf"
        path.write_text("".join(f"{k} = {v}\n" for k, v in values.items() if v is not None))
        path.chmod(0o644)
        self._own(path)

    def write_policy(self, text):
        path = self.config / "policy.conf"
        path.write_text(text)
        path.chmod(0o644)
        self._own(path)

    def environment(self):
        """What a program needs to sign through this sidecar."""
        env = base_env()
        env["OPENSSL_CONF"] = str(self.stack.openssl_cnf)
        env["CSIGN_BUS"] = self.address
        return env


class Stack:
    """with Stack(build) as stack: ...  All daemons run and an account has logged in when it is entered.

    bus             start a private dbus-daemon too, and put the sidecar on it (stack.bus: its address)
    proxy           put tests/fake/keystore-proxy.py between service and keystore (stack.proxy: class Proxy)
    sidecar         False: none
    service_conf, keystore_conf, sidecar_conf   more names for the configuration files
    wrap            {"csign-service": ["valgrind", ...]}: put in front of a program
    tree            csign's own programs run in the tree that CSIGN_TREE names, too, with that release's OpenSSL"""

    def __init__(self, build=None, bus=False, proxy=False, sidecar=True, keys=None, policy=None,
                 service_conf=None, keystore_conf=None, sidecar_conf=None, wrap=None, keep=False,
                 tree=False):
        self.tree = tree
        self.build = pathlib.Path(build or os.environ.get("CSIGN_BUILD") or ROOT / "build").resolve()
        self.sanitize = sanitizers(self.build)
        self.options = {"bus": bus, "proxy": proxy, "sidecar": sidecar, "policy": policy}
        self.key_specs = KEYS if keys is None else keys
        self.service_conf, self.keystore_conf = service_conf or {}, keystore_conf or {}
        self.sidecar_conf, self.wrap, self.keep = sidecar_conf or {}, wrap or {}, keep
        self.daemons, self.keys, self.bus, self.proxy, self.sidecar = [], {}, None, None, None
        self.root = os.geteuid() == 0
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"

    # ---- life ----

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, traceback):
        self.stop(check=kind is None)

    def start(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="csign-", dir=temp_folder()))
        self.folder.chmod(0o755)
        self.openssl_cnf = self.folder / "openssl.cnf"
        try:
            self.openssl_cnf.write_text(OPENSSL_CNF.format(module=self.program("csign.so")))
            self._start_keystore()
            self._start_service()
            self._fill()
            if self.options["bus"]:
                self.start_bus()
            if self.options["sidecar"]:
                self.sidecar = self.add_sidecar("sidecar", ACCOUNT, policy=self.options["policy"], bus=self.bus,
                                                conf=self.sidecar_conf)
        except BaseException:
            self.stop(check=False)
            raise
        return self

    def stop(self, check=True):
        """Ends all daemons, the last started first; check: each must end well and have nothing to confess."""
        failures = []
        for daemon in reversed(self.daemons):
            try:
                daemon.stop()
                daemon.check_sanitizers()
            except StackError as e:
                failures.append(str(e))
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if failures and check:
            raise StackError("\n".join(failures))

    def program(self, name):
        path = self.build / PROGRAMS[name]
        if not path.exists():
            raise StackError(f"{path} is not there: meson setup {self.build} && meson compile -C {self.build}")
        return self.shared(path)

    def shared(self, path):
        """The file, or a copy of it that the daemons' users can reach."""
        if not self.root or reachable(path):
            return path
        copy = self.folder / "bin" / path.name
        if not copy.exists():
            copy.parent.mkdir(mode=0o755, exist_ok=True)
            shutil.copy2(path, copy)
            copy.chmod(0o755)
        return copy

    def add(self, daemon):
        daemon.argv = [*self.wrap.get(daemon.name, []), *daemon.argv]
        self.daemons.append(daemon)
        return daemon.start()

    def _private(self, name, uid):
        folder = self.folder / name
        folder.mkdir()
        folder.chmod(0o755 if name == "run" else 0o700)
        if self.root and uid is not None:
            os.chown(folder, uid, uid)
        return folder

    def _start_keystore(self):
        state, run = self._private("keystore", KEYSTORE_UID), self._private("run", KEYSTORE_UID)
        conf, self.keystore_socket = self.folder / "csign-keystore.conf", run / "keystore.sock"
        self.kek = state / "kek"
        write_conf(conf, {"socket": self.keystore_socket, "kek": self.kek,
                          "service-user": SERVICE_UID if self.root else os.geteuid()} | self.keystore_conf)
        program = self.program("csign-keystore")
        env = base_env()
        # It makes itself undumpable, and then LeakSanitizer cannot look at it.
        env["ASAN_OPTIONS"] += ":detect_leaks=0"
        self.run(self.as_user(KEYSTORE_UID, [program, "init-kek", "--kek", self.kek]), env=env)
        self.keystore = self.add(Daemon("csign-keystore", [program, "--config", conf], self.folder, env,
                                        KEYSTORE_UID, tree=self.tree))
        if self.options["proxy"]:
            self.proxy = Proxy(self, self._private("proxy", SERVICE_UID))

    def _start_service(self):
        self.state = self._private("service", SERVICE_UID)
        conf, key = self.folder / "csign-service.conf", self.state / "owner.key"
        write_conf(conf, {"listen": f"127.0.0.1:{self.port}", "issuer": self.url, "names": "localhost, 127.0.0.1",
                          "state-directory": self.state,
                          "keystore-socket": self.proxy.socket if self.proxy else self.keystore_socket}
                   | self.service_conf)
        program = self.program("csign-service")
        self.run(self.as_user(SERVICE_UID, [program, "init", "--config", conf, "--api-key-out", key, "--owner",
                                            "owner"]))
        self.service = self.add(Daemon("csign-service", [program, "--config", conf], self.folder, uid=SERVICE_UID,
                                       tree=self.tree))
        self.ca, self.api_key_file = self.folder / "ca.pem", self.folder / "api-key"
        shutil.copyfile(self.state / "ca.pem", self.ca)
        self.ca.chmod(0o644)
        shutil.copyfile(key, self.api_key_file)
        self.api_key_file.chmod(0o600)
        self.api_key = self.api_key_file.read_text().strip()

    def _fill(self):
        for path in TSGS:
            self.api("POST", "/v1/tsgs", {"path": path}, status=201)
        for path, algorithm in self.key_specs.items():
            self.add_key(path, algorithm)

    def add_key(self, path, algorithm="P-256", **more):
        self.keys[path] = self.api("POST", "/v1/keys", {"path": path, "algorithm": algorithm} | more, status=201)
        return self.keys[path]

    def set_key_state(self, path, state):
        return self.api("PATCH", f"/v1/keys/{self.keys[path]['id']}", {"state": state}, status=200)

    def add_sidecar(self, name, account=None, **options):
        return self.add(Sidecar(self, name, account, **options))

    def start_bus(self):
        folder = self.folder / "bus"
        folder.mkdir()
        conf, address = folder / "bus.conf", folder / "bus.sock"
        conf.write_text(BUS_CONF.format(socket=address))
        read_fd, write_fd = os.pipe()
        daemon = Daemon("dbus-daemon", [tool("dbus-daemon"), "--nofork", "--nopidfile", f"--config-file={conf}",
                                        f"--print-address={write_fd}"], self.folder, ready=False)
        with open(daemon.log_path, "ab") as log:
            daemon.process = subprocess.Popen(daemon.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=daemon.env, pass_fds=[write_fd])
        os.close(write_fd)
        self.daemons.append(daemon)
        with os.fdopen(read_fd) as f:
            if not f.readline():
                raise StackError("dbus-daemon did not start\n" + daemon.log_tail())
        self.bus = f"unix:path={address}"
        return self.bus

    def as_user(self, uid, argv):
        return in_tree(uid, argv) if self.tree else as_user(uid, argv)

    # ---- use ----

    def tree_argv(self, *argv):
        """The command line of a stock program that loads csign.so; in the tree if CSIGN_TREE names one."""
        argv = [tool(argv[0]), *map(str, argv[1:])]
        return in_tree(None, argv) if "CSIGN_TREE" in os.environ else argv

    def environment(self, sidecar=None):
        """For a program that signs (through a sidecar) and administers."""
        env = (sidecar or self.sidecar).environment() if sidecar or self.sidecar else base_env()
        env["CSIGN_SERVICE"], env["CSIGN_CA"] = self.url, str(self.ca)
        env["CSIGN_API_KEY_FILE"] = str(self.api_key_file)
        env["CSIGN_MODULE"] = str(self.program("csign.so"))
        env["XDG_CONFIG_HOME"] = str(self.folder / "xdg-config")
        if self.bus:
            env["DBUS_SESSION_BUS_ADDRESS"] = self.bus
        env["PATH"] = f"{self.program('csign').parent}:{env['PATH']}"
        return env

    env = environment

    def run(self, argv, env=None, check=True, timeout=60, **options):
        """subprocess.run with output kept, a deadline, and a failure that shows everything."""
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if "input" in options:
            options.pop("stdin")
        argv = [str(a) for a in argv]
        try:
            done = subprocess.run(argv, env=env or base_env(), timeout=timeout, capture_output=True, check=False,
                                  **options)
        except subprocess.TimeoutExpired as e:
            raise StackError(f"`{' '.join(argv)}` did not end within {timeout} s\n{text(e.stdout)}{text(e.stderr)}\n"
                             + self.logs()) from None
        if SANITIZER_REPORT.search(text(done.stderr)):
            raise StackError(f"`{' '.join(argv)}`: a sanitizer reported\n{text(done.stderr)}")
        if check and done.returncode != 0:
            raise StackError(f"`{' '.join(argv)}` ended with status {done.returncode}\n"
                             f"{text(done.stdout)}{text(done.stderr)}\n" + self.logs())
        return done

    def openssl(self, *argv, sidecar=None, env=None, uid=None, **options):
        """The distribution's openssl with csign.so loaded by its configuration."""
        return self.host([tool("openssl"), *argv], sidecar=sidecar, env=env, uid=uid, **options)

    def hosted(self, argv, sidecar=None, env=None, uid=None):
        """(argv, env) to start a stock program with csign.so in it: in another release's tree if CSIGN_TREE names
        one, with the sanitizer's runtime if csign.so needs it."""
        env = dict(env or self.environment(sidecar))
        if "CSIGN_TREE" in os.environ:
            return in_tree(uid, argv), env
        if "address" in self.sanitize:
            env["LD_PRELOAD"] = libasan()
        return as_user(uid, argv), env

    def host(self, argv, sidecar=None, env=None, uid=None, **options):
        """Any stock program with csign.so in it, to its end."""
        argv, env = self.hosted(argv, sidecar, env, uid)
        return self.run(argv, env=env, **options)

    def plain_openssl(self, *argv, **options):
        """The distribution's openssl as it is: proofs must not rest on what they prove."""
        return self.run(self.as_user(None, [tool("openssl"), *argv]), **options)

    def csign(self, *argv, sidecar=None, env=None, **options):
        # chroot goes to the root.
        folder = ["/usr/bin/env", f"--chdir={options['cwd']}"] if self.tree and "cwd" in options else []
        return self.run(self.as_user(None, [*folder, self.program("csign"), *argv]), env=env or self.environment(sidecar),
                        **options)

    def api(self, method, path, body=None, status=None, bearer=None, headers=None, raw=False):
        """One HTTP request as the owner.  With status: it must be that, and the JSON body is returned; without:
        (status, headers, body)."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=context)
        try:
            headers = {"Authorization": f"Bearer {bearer or self.api_key}"} | (headers or {})
            if body is not None and not raw:
                body, headers = json.dumps(body), {"Content-Type": "application/json"} | headers
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if "json" in (reply.getheader("Content-Type") or ""):
            content = json.loads(content)
        if status is None:
            return reply.status, reply.headers, content
        if reply.status != status:
            raise StackError(f"{method} {path} gave {reply.status}, not {status}: {content}\n" + self.logs())
        return content

    def audit(self, **filters):
        """All audit records in order, each with its parsed entry under "record"."""
        records, after = [], 0
        while True:
            query = urllib.parse.urlencode({"after": after, "limit": 200} | filters)
            page = self.api("GET", f"/v1/audit/records?{query}", status=200)
            records += [r | {"record": json.loads(r["entry"])} for r in page["records"]]
            if not page["records"] or not page["next"]:
                return records
            after = page["next"]

    def metrics(self):
        """{"signatures_total": 12.0, ...}, without labels, the product's prefix or comments."""
        _, _, content = self.api("GET", "/metrics")
        return {re.sub(r"^csign_(service_)?", "", line.split()[0]): float(line.split()[1])
                for line in text(content).splitlines() if line and not line.startswith("#")}

    def public_key(self, path, folder):
        """The key's public half as a PEM file, from the service and not through csign.so."""
        pem = pathlib.Path(folder) / (path.replace("/", "-") + ".pub.pem")
        self.plain_openssl("pkey", "-pubin", "-inform", "DER", "-out", pem,
                           input=base64.b64decode(self.keys[path]["public_key"]))
        return pem

    def certificate(self, path, folder):
        pem = pathlib.Path(folder) / (path.replace("/", "-") + ".crt.pem")
        self.plain_openssl("x509", "-inform", "DER", "-out", pem,
                           input=base64.b64decode(self.keys[path]["certificates"][0]))
        return pem

    def logs(self):
        return "\n".join(d.log_tail() for d in self.daemons)


class Proxy(Daemon):
    """Between service and keystore: counts what passes, and spoils signatures when told to."""

    def __init__(self, stack, folder):
        self.folder, self.socket = folder, folder / "keystore.sock"
        program = stack.shared(ROOT / "tests/fake/keystore-proxy.py")
        super().__init__("keystore-proxy", [sys.executable, program, "--listen", self.socket, "--keystore",
                                            stack.keystore_socket, "--control", folder],
                         stack.folder, uid=SERVICE_UID)
        stack.daemons.append(self)
        self.start()

    def count(self, op="sign"):
        """How many requests of this kind passed."""
        path = self.folder / f"count-{op}"
        return path.stat().st_size if path.exists() else 0

    @contextlib.contextmanager
    def corrupting(self):
        """Each signature that passes has one bit turned."""
        (self.folder / "corrupt").touch()
        try:
            yield
        finally:
            (self.folder / "corrupt").unlink()


def write_conf(path, values):
    path.write_text("".join(f"{k} = {v}\n" for k, v in values.items() if v is not None))
    path.chmod(0o644)


def temp_folder():
    """Short: a Unix socket's path has 107 characters."""
    folder = tempfile.gettempdir()
    return folder if len(folder) < 60 else "/tmp"


def reachable(path):
    """Whether every user can get at the file."""
    return all(parent.stat().st_mode & 0o001 for parent in path.parents) and path.stat().st_mode & 0o004


def libasan():
    return subprocess.run([tool("gcc"), "-print-file-name=libasan.so"], capture_output=True, check=True,
                          text=True).stdout.strip()


def text(data):
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""


def main():
    parser = argparse.ArgumentParser(description="Starts a whole csign, runs a command with the environment for it.")
    parser.add_argument("--build", help="the Meson build folder (default: $CSIGN_BUILD, else ./build)")
    parser.add_argument("--bus", action="store_true", help="the sidecar on a private D-Bus bus, not on a socket")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs behind")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("which command?  stack.py [--build DIR] [--bus] -- CMD")
    try:
        with Stack(args.build, bus=args.bus, keep=args.keep) as stack:
            print(f"stack.py: {stack.url}, sidecar {stack.sidecar.address}, folder {stack.folder}", file=sys.stderr)
            env = stack.environment()
            if "address" in stack.sanitize:
                env["LD_PRELOAD"] = libasan()
            return subprocess.run(command, env=env, check=False).returncode
    except StackError as e:
        print(f"stack.py: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
