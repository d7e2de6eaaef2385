# SPDX-License-Identifier: Apache-2.0
"""The packages on Debian 12, under its systemd: what an operator meets.  The tests share one machine, and each leaves
it signing; the last ones upgrade, remove and purge."""

import contextlib
import json
import re

import pytest

from conftest import NEXT
from machine import OBJECT, UNITS, wait_restarted
from stack import text, wait_until

RELEASE = "bookworm"
SERVICE, CREDENTIAL = "csign-sidecar.service", "/etc/csign/credential.key"


def evidence(machine):
    """Of the last signature: what the sidecar said of its caller."""
    out = text(machine.admin("audit", "list", "--last", "1", "--json").stdout)
    return json.loads(re.search(r'"caller":\s*(\{.*?\})', out, re.DOTALL)[1])


# ---- at work ----

def test_from_nothing_to_a_signature(machine):
    assert "Verified OK" in machine.smoke_said
    assert "The audit log is whole" in machine.smoke_said


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_sound_and_hardened(machine, unit):
    machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)
    verified = machine.run("systemd-analyze", "verify", "--man=no", f"/lib/systemd/system/{unit}")
    assert text(verified.stdout + verified.stderr) == ""
    assert machine.show(unit, "WatchdogUSec") == "30s"
    assert machine.show(unit, "Type") == "notify"


def test_each_daemon_has_its_user_and_no_more_than_it_needs(machine):
    for unit in UNITS:
        status = machine.sh(f"cat /proc/{machine.pid(unit)}/status")
        user = machine.sh(f"id -u {unit.removesuffix('.service')}").strip()
        assert re.search(r"^Uid:\s+(.*)", status, re.MULTILINE)[1].split() == [user] * 4
        capabilities = int(re.search(r"^CapEff:\s+(\w+)", status, re.MULTILINE)[1], 16)
        assert capabilities == (1 << 19 if unit == SERVICE else 0), "CAP_SYS_PTRACE is for the sidecar alone"
        assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    # A host that may not raise limits locks the keys' heap alone.
    ready = machine.journal("_SYSTEMD_UNIT=csign-keystore.service", "CSIGN_MEMORY_LOCKED=all",
                            "CSIGN_MEMORY_LOCKED=keys")
    assert ready, "the key store has not locked its memory"


def test_the_system_bus_starts_the_sidecar_for_a_member(machine):
    machine.run("systemctl", "stop", SERVICE)
    keys, cursor = machine.busctl("ListKeys", "ssu", "", "", "10")
    assert [k["path"]["data"] for k in keys] == ["acme/release"] and cursor == ""
    assert machine.is_active(SERVICE)


def test_busctl_alone_signs(machine):
    keys, _ = machine.busctl("ListKeys", "ssu", "", "", "10")
    digest = machine.run("openssl", "dgst", "-sha256", "-binary", "/var/tmp/smoke/data").stdout
    signature, receipt = machine.busctl("Sign", "sussaya{sv}", keys[0]["id"]["data"], "1", "ecdsa", "SHA256",
                                        len(digest), *digest, "0")
    machine.verify(bytes(signature))
    assert receipt["request-id"]["data"].startswith("req_")


def test_who_is_no_member_reaches_nothing_on_the_bus(machine):
    for method, *arguments in (("ListKeys", "ssu", "", "", "10"), ("Status",), ("Reload",)):
        done = machine.busctl(method, *arguments, user="outsider", check=False)
        assert done.returncode != 0
        assert "Access denied" in text(done.stderr)


def test_who_is_no_member_does_not_start_it(machine):
    machine.run("systemctl", "stop", SERVICE)
    assert machine.busctl("Status", user="outsider", check=False).returncode != 0
    assert not machine.is_active(SERVICE)
    machine.sign()


def test_who_is_no_member_is_told_so_on_the_socket(machine):
    done = machine.sign(user="outsider", check=False)
    assert done.returncode != 0
    assert "local-policy:default" in text(done.stderr)


def test_nobody_can_take_its_name_or_its_socket(machine):
    done = machine.run("busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su",
                       OBJECT[0], "0", user="signer", check=False)
    assert done.returncode != 0
    for command in (["rm", "-f"], ["touch"]):
        done = machine.run(*command, "/run/csign/sidecar.sock.new" if command == ["touch"] else
                           "/run/csign/sidecar.sock", user="csign-sidecar", check=False)
        assert done.returncode != 0, "not even the sidecar may change that folder"


def test_another_users_program_is_in_the_evidence(machine):
    machine.sign()
    caller = evidence(machine)
    assert caller["exe"] == "/usr/bin/openssl"
    assert caller["exe_sha256"] == machine.sh("sha256sum /usr/bin/openssl").split()[0]
    assert caller["uid"] == int(machine.sh("id -u signer"))


PROBE = """
use Errno;
my $pid = 0 + shift;  # a number, for syscall()
sub outcome { my ($what, $ok) = @_; print "$what=", $ok ? "yes" : $!{EPERM} || $!{EACCES} ? "denied" : "$!", "\\n"; }
outcome("exe", readlink "/proc/$pid/exe");
outcome("environ", open my $environ, "<", "/proc/$pid/environ");
outcome("mem", open my $mem, "+<", "/proc/$pid/mem");
outcome("ptrace", syscall(101, 0x4206, $pid, 0, 0) >= 0);  # PTRACE_SEIZE
outcome("process_vm_readv", syscall(310, $pid, 0, 0, 0, 0, 0) >= 0);
"""


@pytest.mark.parametrize("filtered", [True, False])
def test_of_its_capability_only_the_look_is_left(machine, filtered):
    """A program in the sidecar's place, in its unit; without the unit's filter it could do what that is against."""
    victim = machine.start("sleep", "600", user="signer")
    pid = wait_until("the victim", lambda: machine.run("pgrep", "-x", "sleep", check=False).stdout).decode().strip()
    machine.write("/etc/probe", PROBE)
    machine.write(f"/etc/systemd/system/{SERVICE}.d/probe.conf", f"""[Service]
Type=oneshot
Restart=no
ExecStart=
ExecStart=/usr/bin/perl /etc/probe {pid}
SyslogIdentifier=probe-{filtered}
{"" if filtered else "SystemCallFilter="}
""")
    try:
        machine.sh(f"systemctl daemon-reload; systemctl restart {SERVICE}")
    finally:
        machine.sh(f"kill {pid}; rm -r /etc/systemd/system/{SERVICE}.d; systemctl daemon-reload;"
                   f"systemctl stop {SERVICE}")
        victim.communicate()
    seen = dict(e["MESSAGE"].split("=") for e in machine.journal(f"SYSLOG_IDENTIFIER=probe-{filtered}"))
    able = "denied" if filtered else "yes"
    assert seen == {"exe": "yes", "environ": "denied", "mem": "denied", "ptrace": able, "process_vm_readv": able}
    machine.sign()


@contextlib.contextmanager
def mistake_in(machine, path):
    machine.sh(f"cp -p {path} /var/tmp/kept/good.conf; echo 'bad = 1' >>{path}")
    try:
        yield
    finally:
        machine.sh(f"mv /var/tmp/kept/good.conf {path}")


def test_a_reload_with_a_mistake_changes_nothing(machine):
    with mistake_in(machine, "/etc/csign/sidecar.conf"):
        assert machine.run("systemctl", "reload", SERVICE, check=False).returncode != 0
        assert machine.journal(f"_SYSTEMD_UNIT={SERVICE}", "CSIGN_METHOD=Reload", "CSIGN_ERROR=BadConfig")
        machine.sign()
    machine.run("systemctl", "reload", SERVICE)


def test_one_request_id_finds_a_refusal_in_both_journals(machine):
    refused = machine.run("csign", "cert", "csign://acme/none", user="signer", check=False)
    request = re.search(r"req_[a-z2-7]+", text(refused.stderr))[0]
    seen = {e["_SYSTEMD_UNIT"]: e for e in machine.journal(f"REQUEST_ID={request}")}
    assert set(seen) == {SERVICE, "csign-service.service"}
    for entry in seen.values():
        assert entry["CSIGN_ERROR"] == "KeyNotFound" and "acme/none" in entry["CSIGN_DETAIL"]
    assert seen[SERVICE]["CSIGN_METHOD"] == "GetKey" and "uid" in seen[SERVICE]["CSIGN_CALLER"]


# ---- in trouble ----

@pytest.mark.parametrize("unit", UNITS)
def test_a_crashed_daemon_is_back(machine, unit):
    before = machine.restarts(unit)
    machine.run("kill", "-KILL", machine.pid(unit))
    wait_restarted(machine, unit, before)
    machine.sign()


def test_a_daemon_that_hangs_is_ended_and_one_that_lives_is_not(machine):
    for unit in UNITS:
        machine.write(f"/etc/systemd/system/{unit}.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
    machine.sh("echo 'event-loops = 3' >>/etc/csign/csign-service.conf; systemctl daemon-reload")
    machine.run("systemctl", "restart", *UNITS)
    before = {unit: machine.restarts(unit) for unit in UNITS}
    for unit in UNITS:
        ping = machine.show(unit, "WatchdogTimestampMonotonic")
        wait_until(f"{unit} to say that it lives",
                   lambda u=unit, p=ping: machine.show(u, "WatchdogTimestampMonotonic") != p, 30)
    machine.sign()
    assert before == {unit: machine.restarts(unit) for unit in UNITS}

    machine.run("kill", "-STOP", *(machine.pid(unit) for unit in UNITS))
    for unit in UNITS:
        wait_restarted(machine, unit, before[unit])
        assert machine.journal(f"UNIT={unit}", "UNIT_RESULT=watchdog")
    machine.sign()
    machine.sh("rm -r /etc/systemd/system/csign-*.service.d; systemctl daemon-reload")
    machine.run("systemctl", "restart", *UNITS)


def test_a_configuration_that_is_wrong_is_not_tried_for_ever(machine):
    with mistake_in(machine, "/etc/csign/csign-service.conf"):
        assert machine.run("systemctl", "restart", "csign-service.service", check=False).returncode != 0
        assert machine.show("csign-service.service", "ActiveState") == "failed"
        assert machine.show("csign-service.service", "ExecMainStatus") == "2"
    machine.run("systemctl", "start", "csign-service.service")
    machine.sign()


def test_a_sidecar_that_cannot_start_keeps_nobody_waiting_and_one_restart_mends_it(machine):
    machine.run("systemctl", "stop", SERVICE)
    with mistake_in(machine, "/etc/csign/sidecar.conf"):
        refused = machine.run("csign", "keys", user="signer", check=False,
                              env={"CSIGN_BUS": "unix:path=/run/csign/sidecar.sock"})
        assert refused.returncode == 3 and "not reachable" in text(refused.stderr)
        assert machine.show("csign-sidecar.socket", "ActiveState") == "failed"
        entry = machine.journal(f"_SYSTEMD_UNIT={SERVICE}", "CSIGN_ERROR=BadConfig")[-1]
        assert "sidecar.conf" in entry["CSIGN_DETAIL"] and "bad" in entry["CSIGN_DETAIL"]
    machine.run("systemctl", "restart", SERVICE)
    machine.sign()


# ---- credentials that systemd keeps ----

@pytest.fixture
def without_key_file(machine):
    """The account's key and the KEK are out of reach but for the test, which hands them over."""
    machine.sh(f"""
        cd /etc/csign
        cp -p sidecar.conf csign-keystore.conf {CREDENTIAL} /var/lib/csign-keystore/kek /var/tmp/kept/
        sed -i /^credential/d sidecar.conf
        sed -i /^kek/d csign-keystore.conf
        rm {CREDENTIAL} /var/lib/csign-keystore/kek""")
    yield
    machine.sh(f"""
        rm -rf /etc/credstore /etc/credstore.encrypted
        cp -p /var/tmp/kept/sidecar.conf /var/tmp/kept/csign-keystore.conf /etc/csign/
        cp -p /var/tmp/kept/credential.key {CREDENTIAL}
        cp -p /var/tmp/kept/kek /var/lib/csign-keystore/kek
        systemctl restart csign-keystore.service csign-sidecar.service""")


def handed_over(machine):
    """Where the sidecar has the account's key from."""
    machine.run("systemctl", "restart", "csign-keystore.service", SERVICE)
    machine.sign()
    return machine.busctl("Status")[0]["credential"]


def test_systemd_hands_the_credential_and_the_kek_over(machine, without_key_file):
    machine.sh("""
        install -d -m 700 /etc/credstore
        install -m 400 /var/tmp/kept/credential.key /etc/credstore/csign.credential
        install -m 400 /var/tmp/kept/kek /etc/credstore/csign.kek""")
    assert handed_over(machine) == f"/run/credentials/{SERVICE}/csign.credential"


def test_systemd_hands_over_what_only_it_can_open(machine, without_key_file):
    machine.sh("""
        install -d -m 700 /etc/credstore.encrypted
        cd /etc/credstore.encrypted
        for pair in credential.key:csign.credential kek:csign.kek; do
                name=${pair#*:}.encrypted
                systemd-creds encrypt --with-key=host --name=$name /var/tmp/kept/${pair%:*} $name
        done""")
    assert handed_over(machine) == f"/run/credentials/{SERVICE}/csign.credential.encrypted"
    assert "PRIVATE KEY" not in machine.sh("cat /etc/credstore.encrypted/csign.credential.encrypted")


def test_without_a_kek_the_key_store_says_what_is_missing(machine, without_key_file):
    assert machine.run("systemctl", "restart", "csign-keystore.service", check=False).returncode != 0
    entry = machine.journal("_SYSTEMD_UNIT=csign-keystore.service", "CSIGN_ERROR=BadConfig")[-1]
    assert "kek is missing" in entry["CSIGN_DETAIL"]
    machine.run("systemctl", "reset-failed", "csign-keystore.service")


# ---- a user's own ----

def test_a_users_bus_starts_the_users_sidecar(machine):
    """Its grant is in the user's folder; without one the machine's sidecar answers, not an empty one of the user's."""
    machine.run("useradd", "--create-home", "dev")
    machine.run("loginctl", "enable-linger", "dev")
    uid = machine.sh("id -u dev").strip()
    env = {"HOME": machine.sh("getent passwd dev | cut -d: -f6").strip(), "XDG_RUNTIME_DIR": f"/run/user/{uid}"}
    wait_until("the user's bus", lambda: machine.run("test", "-S", f"/run/user/{uid}/bus", check=False).returncode == 0)
    before = text(machine.run("csign", "keys", user="dev", env=env, check=False).stderr)
    assert "local-policy:default" in before, "the machine's sidecar has not answered"

    machine.admin("account", "create", "acme/dev", "--key-out", "/var/tmp/kept/dev.key", "--json")
    account = json.loads(machine.admin("account", "show", "acme/dev", "--json").stdout)
    machine.sh("install -o dev -m 600 /var/tmp/kept/dev.key /var/tmp/dev.key")
    machine.run("csign", "login", "--service", "https://localhost:8443", "--ca", "/var/tmp/smoke/service-ca.pem",
                "--client-id", account["id"], "--key", "/var/tmp/dev.key", user="dev", env=env)
    assert "csign://acme/release" in text(machine.run("csign", "keys", user="dev", env=env).stdout)
    active = machine.run("systemctl", "--user", "is-active", "csign-sidecar.service", "csign-sidecar.socket",
                         user="dev", env=env)
    assert text(active.stdout).split() == ["active", "active"]
    assert text(machine.run("stat", "-c", "%U", f"/run/user/{uid}/csign/sidecar.sock").stdout) == "dev\n"


# ---- its end ----

SIGNER = """
while [ ! -e /var/tmp/enough ]; do
        if OPENSSL_CONF=/etc/csign/openssl.cnf openssl dgst -sha256 -sign csign://acme/release -out /var/tmp/s/sig \\
                /var/tmp/smoke/data; then
                echo signed >>/var/tmp/s/count
        else
                echo FAILED
        fi
done"""


def count(machine):
    return len(machine.sh("cat /var/tmp/s/count 2>/dev/null || true").splitlines())


PATIENCE = 1  # seconds for which the sidecar tries to reach a service that restarts


def outage(machine):
    """How long the service was away in the upgrade."""
    said = {e["MESSAGE"].split()[0]: int(e["__MONOTONIC_TIMESTAMP"]) / 1e6
            for e in machine.journal("SYSLOG_IDENTIFIER=csign-service")}
    return said["ready"] - said["stopping"]


def test_an_upgrade_in_place_is_not_noticed_by_who_signs(machine):
    machine.run("install", "-d", "-o", "signer", "/var/tmp/s")
    signer = machine.start("sh", "-c", SIGNER, user="signer")
    wait_until("signatures before the upgrade", lambda: count(machine) > 5, 30)
    pids = {unit: machine.pid(unit) for unit in UNITS}
    machine.install(f"*_{NEXT}_*.deb")
    assert NEXT in machine.sh("dpkg-query --show csign-sidecar")
    for unit in UNITS:
        assert machine.is_active(unit) and machine.pid(unit) != pids[unit], f"{unit} was not restarted"
    done = count(machine)
    wait_until("signatures after the upgrade", lambda: count(machine) > done + 5, 30)
    machine.run("touch", "/var/tmp/enough")
    said, _ = signer.communicate(timeout=60)
    assert text(said) == "" or outage(machine) > PATIENCE and "FAILED" in text(said)
    machine.sign()


OURS = ["csign-cli", "csign-doc", "csign-provider", "csign-service", "csign-sidecar"]


def test_removal_leaves_nothing_that_runs_and_everything_that_is_configured(machine):
    machine.run("loginctl", "terminate-user", "dev")
    machine.run("dpkg", "--remove", *OURS)
    for unit in (*UNITS, "csign-sidecar.socket", "csign-keystore.socket"):
        assert machine.show(unit, "LoadState") == "not-found"
    assert machine.run("pgrep", "-f", "/csign-", check=False).returncode == 1
    assert machine.run("test", "-e", "/run/csign/sidecar.sock", check=False).returncode == 1
    assert machine.busctl("Status", user="root", check=False).returncode != 0
    machine.sh("test -e /etc/csign/sidecar.conf; test -e /etc/csign/openssl.cnf; test -e /var/lib/csign-keystore/kek")


def test_purge_takes_its_own_and_leaves_the_users(machine):
    said = text(machine.run("dpkg", "--purge", *OURS).stdout)
    assert "/var/lib/csign-keystore is kept" in said
    found = machine.sh("find /etc /run /usr /var -xdev -path /var/tmp -prune -o -name '*csign*' -print").split()
    found = {f for f in found if not f.startswith("/var/lib/csign-service/csign.db-")}
    assert sorted(found - {"/var/lib/csign-packages"}) == [  # that one is tests/make-tree's
        "/etc/csign", "/etc/csign/csign-service.conf", "/var/lib/csign-keystore", "/var/lib/csign-service",
        "/var/lib/csign-service/csign.db"]
    assert sorted(machine.sh("ls /etc/csign").split()) == ["credential.key", "csign-service.conf", "service-ca.pem",
                                                          "sidecar.conf"]


def test_what_was_kept_serves_again(machine):
    machine.install()
    machine.run("systemctl", "start", "csign-keystore.service", "csign-service.service")
    machine.sign()
    assert "whole" in text(machine.admin("audit", "verify").stdout)
