# SPDX-License-Identifier: Apache-2.0
"""Grants: where an account is installed, for a user, for the machine, or for both."""

import json
import os
import subprocess

import pytest
from stack import STRANGER_UID, Daemon, base_env, tool, wait_until

RELEASE = "acme/mobile/release"

# A machine's own /etc and /run, seen by nobody else.
NAMESPACE = """
cp -a /etc {folder}/etc && mount --bind {folder}/etc /etc && mount -t tmpfs -o mode=755 tmpfs /run || exit 1
rm -rf /etc/csign; echo ready; exec sleep infinity
"""


def new_account(stack, folder):
    name, key = f"acme/mobile/grant-{os.urandom(4).hex()}", folder / f"{os.urandom(4).hex()}.key"
    made = json.loads(stack.csign("account", "create", name, "--key-out", key, "--json").stdout)
    return name, made["id"], key


class Machine:
    """With the two sidecars of root: his own, and the machine's."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        self.holder = subprocess.Popen([tool("unshare"), "--mount", "--propagation", "private", "sh", "-c",
                                        NAMESPACE.format(folder=folder)], stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        self.env = stack.environment() | {"XDG_RUNTIME_DIR": str(folder / "run"), "HOME": str(folder),
                                          "XDG_CONFIG_HOME": str(folder / "xdg"), "XDG_STATE_HOME": str(folder / "state")}
        for name in ("CSIGN_BUS", "DBUS_SESSION_BUS_ADDRESS"):
            self.env.pop(name, None)
        (folder / "run").mkdir()
        self.user, self.machine = self.sidecar("user"), self.sidecar("machine")

    def inside(self, *argv):
        return [tool("nsenter"), "-t", str(self.holder.pid), "-m", "-r", "--", *map(str, argv)]

    def sidecar(self, grant):
        daemon = Daemon(f"grant-{grant}-{self.folder.name}", self.inside(
            self.stack.program("csign-sidecar"), "--grant", grant, "--bus", "none"), self.folder, self.env)
        return self.stack.add(daemon)

    def csign(self, *argv, **options):
        return self.stack.run(self.inside(self.stack.program("csign"), *argv), env=self.env, **options)

    def login(self, account, *more, service=None, **options):
        _, client_id, key = account
        return self.csign("login", "--service", service or self.stack.url, "--ca", self.stack.ca, "--client-id",
                          client_id, "--key", key, *more, **options)

    def status(self):
        return json.loads(self.csign("status", "--json").stdout)

    def files(self):
        return {f"{folder.name}/{p.name}" for folder in (self.folder / "xdg/csign", self.folder / "etc/csign")
                if folder.exists() for p in folder.iterdir()}

    def end(self):
        for daemon in (self.user, self.machine):
            daemon.stop()
            daemon.check_sanitizers()
            self.stack.daemons.remove(daemon)
        self.holder.kill()
        self.holder.wait()


@pytest.fixture
def machine(stack, tmp_path):
    m = Machine(stack, tmp_path)
    yield m
    m.end()


@pytest.mark.root
def test_a_grant_for_both(machine, stack, tmp_path):
    account = new_account(stack, tmp_path)
    said = machine.login(account, "--for", "both").stdout.decode()
    assert said.count(f"as {account[0]}") == 2

    used = machine.status()
    assert (used["grant"], used["account"], used["address"]) == ("user", account[0],
                                                                  f"unix:path={tmp_path}/run/csign/sidecar.sock")
    assert 0 <= int(used["token-age"]) < 900 and used["clock-offset"] == "0"
    [other] = used["others"]
    assert (other["grant"], other["account"]) == ("machine", account[0])
    assert other["address"] == "unix:path=/run/csign/sidecar.sock"
    text = machine.csign("status")
    assert text.stdout.count(account[0].encode()) == 2 and b"not used" in text.stderr


@pytest.mark.root
def test_the_machine_s_grant_serves_who_has_none(machine, stack, tmp_path):
    account = new_account(stack, tmp_path)
    machine.user.stop()
    machine.login(account)  # root's default
    status = machine.status()
    assert status["grant"] == "machine" and "others" not in status
    assert machine.files() == {"csign/credential.key", "csign/service-ca.pem", "csign/sidecar.conf"}
    assert f"csign://{RELEASE}".encode() in machine.csign("keys").stdout
    machine.user.start()


@pytest.mark.root
def test_a_grant_without_its_sidecar_is_shown(machine, stack, tmp_path):
    machine.login(new_account(stack, tmp_path), "--for", "both")
    machine.machine.stop()
    [other] = machine.status()["others"]
    assert other["grant"] == "machine" and "not reachable" in other["last-error"]
    machine.machine.start()


@pytest.mark.root
def test_both_or_neither(machine, stack, tmp_path):
    """The machine's sidecar refuses: what the user's had proved goes, too."""
    account = new_account(stack, tmp_path)
    policy = tmp_path / "etc/csign/policy.conf"
    policy.parent.mkdir()
    policy.write_text("nonsense\n")
    failed = machine.login(account, "--for", "both", check=False)
    assert failed.returncode == 2 and str("policy.conf").encode() in failed.stderr
    assert machine.files() == {"csign/policy.conf"}
    assert machine.status()["account"] == ""


@pytest.mark.root
def test_logout(machine, stack, tmp_path):
    account = new_account(stack, tmp_path)
    machine.login(account, "--for", "both")
    refused = machine.csign("logout", "--for", "both", check=False)
    assert refused.returncode == 2 and b"--yes" in refused.stderr and len(machine.files()) == 3

    done = machine.csign("logout", "--for", "user", "--yes")
    assert b"forgotten" in done.stdout and b"What stays" in done.stderr
    status = machine.status()
    assert (status["grant"], status["client-id"], status["account"]) == ("user", "", "")
    assert "sidecar.conf" in status["last-error"]
    assert status["others"][0]["account"] == account[0]
    assert not list((tmp_path / "xdg/csign").iterdir())
    refused = machine.csign("keys", check=False)
    assert refused.returncode == 7 and b"csign login" in refused.stderr

    assert json.loads(machine.csign("logout", "--yes", "--json").stdout)["removed"] == "/etc/csign"
    assert not machine.files()
    again = machine.csign("logout", "--yes", check=False)
    assert again.returncode == 4 and b"no grant" in again.stderr
    machine.login(account, "--for", "both")
    assert machine.status()["account"] == account[0]


def test_status_says_when_the_credential_expires(stack, tmp_path):
    sidecar = stack.add_sidecar("grant-expiry", "acme/mobile/grant-expiry")
    try:
        shown = json.loads(stack.csign("account", "show", "acme/mobile/grant-expiry", "--json").stdout)
        [key] = shown["keys"]
        status = json.loads(stack.csign("status", "--json", sidecar=sidecar).stdout)
        assert status["credential-expires"] == (key["expires"] or "")
    finally:
        sidecar.stop()


def test_a_hangup_without_a_grant_forgets_it(stack):
    sidecar = stack.add_sidecar("grant-hangup", "acme/mobile/grant-hangup")
    try:
        (sidecar.config / "sidecar.conf").unlink()
        sidecar.signal(1)
        wait_until("the account is forgotten", lambda: "logged out" in sidecar.log())
        status = json.loads(stack.csign("status", "--json", sidecar=sidecar).stdout)
        assert status["client-id"] == "" and status["account"] == ""
    finally:
        sidecar.stop()


def test_logout_without_a_sidecar_says_so(stack, tmp_path):
    _, client_id, key = new_account(stack, tmp_path)
    bus, config = ("--bus", "unix:path=/nonexistent"), ("--config", tmp_path / "grant")
    stack.csign("login", *bus, "--service", stack.url, "--client-id", client_id, "--key", key, *config, check=False)
    assert b"no sidecar runs" in stack.csign("logout", *bus, *config, "--yes").stdout
    assert not list((tmp_path / "grant").iterdir())
    assert stack.csign("logout", *bus, "--config", tmp_path / "never", "--yes", check=False).returncode == 4
    assert not (tmp_path / "never").exists()


def test_what_both_cannot_have(stack, tmp_path):
    _, client_id, key = new_account(stack, tmp_path)
    argv = ("login", "--service", stack.url, "--client-id", client_id, "--key", key, "--for")
    for more, word in (("both",), b"CSIGN_BUS"), (("both", "--config", tmp_path), b"--config"), (("all",), b"'all'"):
        refused = stack.csign(*argv, *more, check=False)
        assert refused.returncode == 2 and word in refused.stderr


@pytest.mark.root
def test_the_machine_s_grant_is_root_s(stack):
    done = stack.run(stack.as_user(STRANGER_UID, [stack.program("csign"), "logout", "--for", "machine", "--yes"]),
                     env=base_env(), check=False)
    assert done.returncode == 2 and b"as root" in done.stderr
